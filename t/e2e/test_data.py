"""The body: what arrives is what was sent, and its end is where it was."""
import hashlib
import os
import random

import pytest

from lmtp_client import dot_stuff
from waypost import file_passdb, static_passdb


@pytest.fixture
def proxy(backend, waypost):
    return waypost(static_passdb(backend) + "lmtp_add_received_header = no\n")


def deliver_raw(proxy, wire):
    """DATA with these bytes as they are; the reply to the message."""
    with proxy.session() as client:
        client.start_data("joe@example.org")
        client.send(wire)
        return client.reply()


BODIES = [
    b"", b"\r\n", b".\r\n", b"..\r\n", b"...\r\n", b".x\r\n", b"x\r\n.\r\ny\r\n",
    b"x\r\n..\r\n", b"x\r\n.y\r\n", b"\r\n\r\n\r\n", b"no newline at the end",
    b"a: b\r\n\r\n" + b"x" * 998 + b"\r\n", b"x" * 100000 + b"\r\n",
    bytes(range(128, 256)) * 50 + b"\r\n", b"a\r\n" * 50000,
    b".\r\n" * 5000, b"\r\n" * 50000,
]


@pytest.mark.parametrize("number", range(len(BODIES)))
def test_bodies_arrive_unchanged(proxy, backend, number):
    body = BODIES[number]
    with proxy.session() as client:
        assert client.deliver("joe@example.org", body)[0] == 250
    expected = body if not body or body.endswith(b"\r\n") else body + b"\r\n"
    assert backend.wait_messages(1)[0].body == expected


def test_dot_stuffing_passes_as_it_is(proxy, backend):
    wire = b"..\r\n.x\r\n..y\r\n.\r\n"
    assert deliver_raw(proxy, wire) == 250
    assert bytes(backend.wait_messages(1)[0].raw) == wire


@pytest.mark.parametrize("size", [1, 4095, 4096, 4097, 65535, 65536, 131072,
                                  131073, 1000003, 10000000])
def test_sizes(proxy, backend, size):
    source = random.Random(size)
    body = bytes(source.choices(b"abc.\n", k=size)).replace(b"\n", b"\r\n")
    with proxy.session() as client:
        assert client.deliver("joe@example.org", body)[0] == 250
    expected = body if body.endswith(b"\r\n") else body + b"\r\n"
    got = backend.wait_messages(1)[0].body
    assert hashlib.sha256(got).digest() == hashlib.sha256(expected).digest()


@pytest.mark.parametrize("cut", range(1, 12))
def test_end_of_data_in_pieces(proxy, backend, cut):
    """The end may be cut anywhere."""
    wire = b"x\r\n..\r\ny\r\n.\r\nNOOP\r\n"
    with proxy.session() as client:
        client.start_data("joe@example.org")
        client.send(wire[:cut])
        backend.wait_command("DATA")
        client.send(wire[cut:])
        assert [r.code for r in client.replies(2)] == [250, 250]
    assert backend.wait_messages(1)[0].body == b"x\r\n.\r\ny\r\n"


# --- smuggling ---

ENDS = [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r",
        b"\r\n.\r\r\n", b"\n.\r", b"\r\n.\0\r\n", b"\r\n\0.\r\n", b"\0\r\n.\n",
        b"\r\r\n.\r\r\n", b"\n\n.\n\n", b"\r\n.\n\r\n", b"\n\r\n.\n",
        b"\r\n \b.\r\n", b"\r.\n", b"\r\n.\x85\r\n"]
SMUGGLED = (b"MAIL FROM:<evil@example.net>\r\nRCPT TO:<victim@example.org>\r\n"
            b"DATA\r\nSubject: smuggled\r\n\r\ngotcha\r\n.\r\n")


def lax_ends(wire):
    """Where a receiver with a lax idea of the end would stop: any line that
    is a dot, with CR, LF or both as its ends, NULs passed over."""
    lines = wire.replace(b"\0", b"").replace(b"\r\n", b"\n").replace(
        b"\r", b"\n").split(b"\n")
    return lines.count(b".")


@pytest.mark.parametrize("policy", ["normalize", "reject", "pass", None])
@pytest.mark.parametrize("end", ENDS)
def test_no_smuggling(backend, waypost, policy, end):
    """Whatever the policy, nobody sees two messages where one was sent: not
    we (inwards), and by default not the most lax of backends (outwards)."""
    proxy = waypost(static_passdb(backend) +
                    "lmtp_add_received_header = no\n" +
                    (f"lmtp_bare_newlines = {policy}\n" if policy else ""))
    reply = deliver_raw(proxy, b"Subject: x\r\n\r\nfirst" + end + SMUGGLED)
    assert reply.code in (250, 550)
    for message in backend.messages:
        assert message.rcpts == ["joe@example.org"]
        assert b"gotcha" in message.raw
        assert lax_ends(bytes(message.raw)) == 1
    assert len(backend.messages) == (1 if reply == 250 else 0)
    assert not any("victim" in c for c in backend.commands)


def test_normalize(backend, waypost):
    proxy = waypost(static_passdb(backend) +
                    "lmtp_add_received_header = no\n"
                    "lmtp_bare_newlines = normalize\n")
    assert deliver_raw(proxy, b"a\nb\rc\r\nd\0e\r\r\nf\n\n.\r\n.\r\n") == 250
    # Each bare CR or LF is a line end, NUL is nothing.
    body = bytes(backend.wait_messages(1)[0].raw)
    assert body.startswith(b"a\r\nb\r\nc\r\nde\r\n")
    assert b"\0" not in body
    assert b"\r\r" not in body and b"\n\n" not in body


@pytest.mark.parametrize("bad", [b"a\nb", b"a\rb", b"a\0b"])
def test_reject(backend, waypost, bad):
    proxy = waypost(static_passdb(backend) + "lmtp_bare_newlines = reject\n")
    with proxy.session() as client:
        client.start_data("joe@example.org")
        client.send(b"x\r\n" + bad + b"\r\n.\r\n")
        assert client.reply() == "550 5.6.0 <joe@example.org> "
        assert client.deliver("joe@example.org")[0] == 250
    assert len(backend.wait_messages(1)) == 1


@pytest.mark.parametrize("harmless", [b"a\nb", b"a\rb", b"a\0b", b"a\r\r\nb"])
def test_pass(backend, waypost, harmless):
    proxy = waypost(static_passdb(backend) +
                    "lmtp_add_received_header = no\n"
                    "lmtp_bare_newlines = pass\n")
    assert deliver_raw(proxy, harmless + b"\r\n.\r\n") == 250
    assert backend.wait_messages(1)[0].body == harmless + b"\r\n"


def test_commands_behind_the_end_are_commands(proxy, backend):
    with proxy.session() as client:
        client.start_data("joe@example.org")
        client.send(b"x\r\n.\r\nMAIL FROM:<b@example.net>\r\nRSET\r\n")
        assert [r.code for r in client.replies(3)] == [250, 250, 250]


def test_random_bytes(proxy, backend):
    """By default everything but bare CR, LF and NUL crosses as it is."""
    body = os.urandom(200000).translate(None, b"\r\n\0") + b"\r\n"
    with proxy.session() as client:
        assert client.deliver("joe@example.org", body)[0] == 250
    assert backend.wait_messages(1)[0].body == body


def test_same_bytes_for_each_of_several_backends(backends, instance):
    many = [backends() for _ in range(4)]
    proxy = instance()
    proxy.start(file_passdb(proxy, **{f"u{i}": b
                                      for i, b in enumerate(many)}))
    body = b"".join(b"%d .\r\n.line\r\n" % i for i in range(100000))
    with proxy.session() as client:
        replies = client.deliver([f"u{i}@example.org" for i in range(4)],
                                 body)
        assert [r.code for r in replies] == [250] * 4
    for backend in many:
        assert backend.wait_messages(1)[0].text == body


def test_wire_form_is_the_same_on_both_sides(proxy, backend):
    body = dot_stuff(b".a\r\n..b\r\n\r\n.\r\nc\r\n")
    assert deliver_raw(proxy, body) == 250
    assert bytes(backend.wait_messages(1)[0].raw) == body


@pytest.mark.parametrize("policy", ["normalize", "reject", "pass"])
def test_no_lax_end_ever_leaves(backend, waypost, policy):
    """Bodies of nothing but what ends are made of."""
    proxy = waypost(static_passdb(backend) +
                    "lmtp_add_received_header = no\n"
                    f"lmtp_bare_newlines = {policy}\n")
    source = random.Random(1)
    with proxy.session() as client:
        for _ in range(60):
            body = bytes(source.choices(b"\r\n.\0x", k=300)) + b"x\r\n"
            while b"\r\n.\r\n" in b"\r\n" + body:
                body = (b"\r\n" + body).replace(b"\r\n.\r\n",
                                                b"\r\nx\r\n")[2:]
            client.start_data("joe@example.org")
            client.send(body + b".\r\n")
            assert client.reply() == (550 if policy == "reject" else 250)
        assert client.command("NOOP") == 250
    assert len(backend.messages) == (0 if policy == "reject" else 60)
    for message in backend.messages:
        assert lax_ends(bytes(message.raw)) == 1, message.raw


def test_dots_at_the_borders_of_reads(proxy, backend):
    with proxy.session() as client:
        for size in list(range(4090, 4100)) + list(range(16378, 16390)):
            body = b"x" * size + b"\r\n.\r\n..\r\n"
            assert client.deliver("joe@example.org", body)[0] == 250
            assert backend.messages[-1].body == body


def test_empty_message(backend, waypost):
    """With a Received header of ours, and nothing else."""
    proxy = waypost(static_passdb(backend))
    assert deliver_raw(proxy, b".\r\n") == 250
    body = backend.wait_messages(1)[0].body
    assert body.startswith(b"Received: ") and body.endswith(b"\r\n")
