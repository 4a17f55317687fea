"""What arrives at a backend is what the client sent, and nothing else ends a
message than CRLF.CRLF."""

import random
import re

import pytest

from waypost import static

PLAIN = "lmtp_add_received_header = no\n"
POLICIES = ("normalize", "reject", "pass")


@pytest.fixture
def session(waypost, backend, client):
    def start(config="", **stages):
        server = backend(**stages)
        connection = client(waypost(static(server) + PLAIN + config))
        connection.server = server
        connection.lhlo()
        return connection

    return start


def passed_on(connection, body):
    """Sends a body in wire form; what the backend got, in wire form."""
    connection.envelope("joe@example.org")
    assert connection.body(body)[0].code == 250
    return connection.server.messages[-1].raw


@pytest.mark.parametrize("body", [
    b"",
    b"\r\n",
    b"text without a header\r\n",
    b"Subject: x\r\n\r\n",
    b"..\r\n",
    b"...\r\n",
    b"..one dot\r\n...two dots\r\ntext. \r\n . \r\n",
    b"Subject: x\r\n\r\n..\r\n..\r\n..\r\n",
    b"8-bit: \xe4\xf6\xfc\xff\x80 \xe2\x82\xac\r\n",
    bytes(b for b in range(1, 256) if b not in (10, 13)) + b"\r\n",
    b"x" * 100000 + b"\r\n",
    b"\r\n" * 100000,
    (b"." * 70 + b"\r\n") * 1000,
    b"\t\x0b\x0c\x1a\x7f\r\n",
])
def test_unchanged(session, body):
    assert passed_on(session(), body) == body


def test_large_message(session):
    # 20 MiB of lines of all kinds, dots at their starts included.
    generator = random.Random(1)
    lines = [generator.randbytes(generator.randrange(80)).translate(
        None, b"\r\n\0") for _ in range(5000)]
    lines = [b"." + line if line.startswith(b".") else line for line in lines]
    block = b"\r\n".join(lines) + b"\r\n"
    body = block * (20 * 1024 * 1024 // len(block) + 1)
    assert passed_on(session(), body) == body


def test_many_sizes(session):
    # Around the sizes of buffers.
    connection = session()
    for size in (1, 2, 4094, 4095, 4096, 4097, 16382, 16383, 16384, 16385,
                 16386, 65534, 65535, 65536, 65537, 131070, 131071, 131072,
                 131073, 131074):
        body = b"x" * size + b"\r\n"
        assert passed_on(connection, body) == body


def test_dots_at_every_place(session):
    # The end in every position relative to the reads.
    connection = session()
    for size in range(16370, 16390):
        body = b"x" * size + b"\r\n..\r\n"
        assert passed_on(connection, body) == body


def test_empty_message_with_received(waypost, backend, client):
    server = backend()
    connection = client(waypost(static(server)))
    connection.lhlo()
    connection.envelope("joe@example.org")
    assert connection.body(b"")[0].code == 250
    assert server.messages[0].raw.startswith(b"Received: ")
    assert server.messages[0].raw.endswith(b"\r\n")


# --- smuggling ---

# What some server or other has taken for the end of a message.
ENDS = [
    b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r",
    b"\r.\n", b"\n.\r", b"\n\n.\r\n", b"\r\r\n.\r\n", b"\r\r.\r\r",
    b"\r\n\0.\r\n", b"\r\n.\0\r\n", b"\0\r\n.\r\0\n", b"\r\n.\r\r\n",
    b"\n.\n\n", b"\r\0\n.\r\n", b"\r\n\r.\r\n", b"\r\n.\r\0\n",
    b"\n\r.\n\r", b"\x85.\x85", b"\r\n\0\0.\0\0\r\n",
]
SMUGGLED = b"MAIL FROM:<evil@example.net>\r\nRCPT TO:<joe@example.org>\r\n" \
    b"DATA\r\nSubject: smuggled\r\n\r\nevil\r\n"

# A lax end: a line with only a dot, lines being what any server thinks.
LAX = re.compile(rb"(?:\r|\n)\0*\.\0*(?:\r|\n)")


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("end", ENDS)
def test_smuggling(session, policy, end):
    # Sent in one go, as by an outbound server that passed it on as it was.
    connection = session(f"lmtp_bare_newlines = {policy}\n")
    connection.envelope("joe@example.org")
    connection.ok("DATA", 354)
    connection.send(b"Subject: x\r\n\r\ntext" + end + SMUGGLED +
                    b"\r\n.\r\n")
    reply = connection.reply()
    proper = end.endswith(b"\r\n.\r\n")
    if proper:
        return
    # It was one message, for the proxy and for the backend.
    assert connection.cmd("NOOP").code == 250
    assert len(connection.server.messages) <= 1
    assert "MAIL FROM:<evil@example.net>" not in \
        connection.server.commands("MAIL")
    if policy == "reject" and end != b"\x85.\x85":
        assert (reply.code, reply.enhanced) == (550, "5.6.0")
        assert connection.server.messages == []
    else:
        assert reply.code == 250
        raw = connection.server.messages[0].raw
        assert not LAX.search(raw), raw
        assert b"evil" in raw


@pytest.mark.parametrize("policy", POLICIES)
def test_what_leaves_has_no_lax_end(session, policy):
    # Everything that six bytes of these can spell, around a dot.
    connection = session(f"lmtp_bare_newlines = {policy}\n")
    generator = random.Random(2)
    for _ in range(40):
        middle = bytes(generator.choice(b"\r\n.\0x") for _ in range(300))
        body = re.sub(rb"\r\n\.(?=\r\n)", b"\r\nx", b"\r\n" + middle)
        body = re.sub(rb"^(\r\n)\.\r\n", rb"\1x\r\n", body)
        while b"\r\n.\r\n" in body + b"\r\n.\r\n"[:0]:
            body = body.replace(b"\r\n.\r\n", b"\r\nx\r\n")
        connection.envelope("joe@example.org")
        connection.ok("DATA", 354)
        connection.send(body + b"x\r\n.\r\n")
        reply = connection.reply()
        assert reply.code == 250 or policy == "reject", reply
        if policy != "pass":
            for message in connection.server.messages:
                assert not LAX.search(b"\r\n" + message.raw), message.raw
    assert connection.cmd("NOOP").code == 250


@pytest.mark.parametrize("given, normal", [
    (b"a\nb\r\n", b"a\r\nb\r\n"),
    (b"a\rb\r\n", b"a\r\nb\r\n"),
    (b"a\0b\r\n", b"ab\r\n"),
    (b"a\n\nb\r\n", b"a\r\n\r\nb\r\n"),
    (b"a\n\rb\r\n", b"a\r\n\r\nb\r\n"),
])
def test_normalize(session, given, normal):
    # The default.
    assert passed_on(session(), given) == normal


@pytest.mark.parametrize("body", [b"a\nb\r\n", b"a\rb\r\n", b"a\0b\r\n"])
def test_pass(session, body):
    assert passed_on(session("lmtp_bare_newlines = pass\n"), body) == body


@pytest.mark.parametrize("body", [b"a\nb\r\n", b"a\rb\r\n", b"a\0b\r\n"])
def test_reject(session, body):
    connection = session("lmtp_bare_newlines = reject\n")
    connection.envelope("joe@example.org", "jim@example.org")
    replies = connection.body(body, 2)
    assert [(reply.code, reply.enhanced) for reply in replies] == \
        [(550, "5.6.0")] * 2
    assert "<jim@example.org>" in replies[1].text
    assert connection.server.messages == []
    assert connection.deliver("joe@example.org")[0].code == 250


def test_nothing_smuggles_out_of_a_client(session):
    # Only CRLF.CRLF ends the data: what looks like an end is text.
    connection = session()
    connection.envelope("joe@example.org")
    connection.ok("DATA", 354)
    connection.send(b"one\n.\nQUIT\r\n")
    assert connection.is_silent()
    connection.send(b".\r\n")
    assert connection.reply().code == 250
    assert connection.server.messages[0].body == b"one\r\n.\r\nQUIT\r\n"
