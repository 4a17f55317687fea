"""What the backend says is what the client hears; what we say ourselves."""
import re

import pytest

from scripted_backend import held_at_dot
from waypost import static_passdb


@pytest.fixture
def proxy(backend, waypost):
    return waypost(static_passdb(backend))


@pytest.mark.parametrize("theirs,ours", [
    ("550 5.1.1 <joe@x> no such user", "550 5.1.1 <joe@example.org> no such user"),
    ("550 5.1.1 no such user", "550 5.1.1 <joe@example.org> no such user"),
    ("552 5.2.2 over quota", "552 5.2.2 <joe@example.org> over quota"),
    ("450 4.2.0 busy", "450 4.2.0 <joe@example.org> busy"),
    ("550 no enhanced code", "550 5.0.0 <joe@example.org> no enhanced code"),
    ("452 later", "452 4.0.0 <joe@example.org> later"),
    ("554 5.7.1 5.7.1 twice", "554 5.7.1 <joe@example.org> 5.7.1 twice"),
])
@pytest.mark.parametrize("stage", ["rcpt", "dot", "mail"])
def test_refusals_pass_verbatim(proxy, backend, stage, theirs, ours):
    backend.on(stage, theirs)
    with proxy.session() as client:
        assert client.mail() == 250
        reply = client.rcpt("joe@example.org")
        if stage == "dot":
            assert reply == 250
            reply, = client.data("x", 1)
        assert reply.raw == [ours]


def test_refused_data_is_each_recipients_reply(proxy, backend):
    backend.on("data", "451 4.3.0 not now")
    with proxy.session() as client:
        client.mail()
        client.rcpt("a@example.org")
        client.rcpt("b@example.org")
        assert [r.raw[0] for r in client.data("x", 2)] == [
            "451 4.3.0 <a@example.org> not now",
            "451 4.3.0 <b@example.org> not now"]
        backend.on("data", "354 ok")
        assert client.deliver("a@example.org")[0] == 250


@pytest.mark.parametrize("theirs,ours", [
    ("250 2.1.5 fine", "250 2.1.5 fine"),
    ("250 fine", "250 2.1.0 fine"),
    ("251 2.1.5 will forward", "251 2.1.5 will forward"),
])
def test_accepted_rcpt(proxy, backend, theirs, ours):
    backend.on("rcpt", theirs)
    with proxy.session() as client:
        client.mail()
        assert client.rcpt("joe@example.org").raw == [ours]


def test_multi_line_refusal(proxy, backend):
    backend.on("rcpt", ["550-5.7.1 first", "550-5.7.1 second",
                        "550 5.7.1 third"])
    with proxy.session() as client:
        client.mail()
        assert client.rcpt("joe@example.org").raw == [
            "550-5.7.1 <joe@example.org> first",
            "550-5.7.1 <joe@example.org> second",
            "550 5.7.1 <joe@example.org> third"]


def test_saved_text_holds_the_session_id(proxy, backend):
    with proxy.session() as client:
        first, second = client.deliver(["a@example.org", "b@example.org"])
        third, = client.deliver("a@example.org")
    ids = [re.fullmatch(r"<\S+> (\S+) Saved", r.text).group(1)
           for r in (first, second, third)]
    assert re.fullmatch(r"[A-Za-z0-9+/]{22}", ids[0])
    assert ids[1] == ids[0] + ":R2"
    assert ids[2] == ids[0] + ":T2"
    for name in ids:
        proxy.wait_log(re.escape(name) + ": sent ")


def test_saved_keeps_their_enhanced_code(proxy, backend):
    backend.on("dot", "250 2.6.0 queued as 123")
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0].enhanced == "2.6.0"


def test_each_recipient_has_its_own_outcome_in_order(proxy, backend):
    outcomes = {"a@example.org": "250 2.0.0 ok",
                "b@example.org": "552 5.2.2 over quota",
                "c@example.org": "451 4.2.0 busy",
                "d@example.org": "250 2.0.0 ok"}
    backend.on("dot", lambda conn, rcpt: outcomes[rcpt])
    backend.on("rcpt", lambda conn, rcpt: "250 ok" if rcpt in outcomes
               else "550 5.1.1 unknown")
    with proxy.session() as client:
        client.mail()
        codes = [client.rcpt(r).code for r in
                 ["a@example.org", "b@example.org", "no@example.org",
                  "c@example.org", "d@example.org"]]
        assert codes == [250, 250, 550, 250, 250]
        assert [(r.code, r.text.split()[0]) for r in client.data("x", 4)] == [
            (250, "<a@example.org>"), (552, "<b@example.org>"),
            (451, "<c@example.org>"), (250, "<d@example.org>")]


def test_duplicate_recipients_each_have_a_reply(proxy, backend):
    with proxy.session() as client:
        replies = client.deliver(["a@example.org", "a@example.org"])
        assert [r.code for r in replies] == [250, 250]


@pytest.mark.parametrize("verbose", ["no", "yes"])
def test_connect_failure(backend, waypost, verbose):
    backend.stop()
    proxy = waypost(static_passdb(backend) +
                    f"lmtp_verbose_replies = {verbose}\n")
    with proxy.session() as client:
        client.mail()
        reply = client.rcpt("joe@example.org")
    assert reply == "451 4.4.0 <joe@example.org> Proxy failed"
    if verbose == "yes":
        assert re.search(r"Proxy failed: .*refused.* \(session=\S+\)$",
                         reply.text)
    else:
        assert re.search(r"Proxy failed \(connect, session=\S+\)$",
                         reply.text)
        assert backend.host not in reply.text


def test_control_bytes_of_a_peer_do_not_reach_the_client(proxy, backend):
    backend.on("rcpt", b"550 5.1.1 a\x07b\x1b[0m\r\n")
    with proxy.session() as client:
        client.mail()
        reply = client.rcpt("joe@example.org")
        assert reply.code in (550, 451)
        assert not re.search(r"[\x00-\x1f\x7f]", reply.raw[0])


def test_positive_replies_wait_for_the_backend(proxy, backend):
    """250 after the message means that the backend said 250."""
    with held_at_dot(proxy, backend) as client:
        client.expect_silence()
        backend.release()
        assert client.reply() == 250


@pytest.mark.parametrize("stage", ["rcpt", "dot"])
def test_multi_line_replies(proxy, backend, stage):
    backend.on(stage, ["450-4.7.1 one", "450-4.7.1 <joe@inside> two",
                       "450 4.7.1 three"])
    with proxy.session() as client:
        client.mail()
        reply = client.rcpt("joe@example.org")
        if stage == "dot":
            reply, = client.data("x", 1)
        assert [line[:27] for line in reply.raw] == [
            "450-4.7.1 <joe@example.org>", "450-4.7.1 <joe@example.org>",
            "450 4.7.1 <joe@example.org>"]
        assert reply.text.endswith(" three")


def test_multi_line_success_passes_at_rcpt(proxy, backend):
    backend.on("rcpt", ["250-2.1.5 one", "250 2.1.5 two"])
    with proxy.session() as client:
        client.mail()
        assert client.rcpt("joe@example.org").raw == ["250-2.1.5 one",
                                                      "250 2.1.5 two"]


def test_text_beyond_ascii_passes(proxy, backend):
    backend.on("rcpt", "550 5.1.1 Postf\u00e4cher voll")
    with proxy.session() as client:
        client.mail()
        assert client.rcpt("joe@example.org").text.endswith(
            "Postf\u00e4cher voll")


def test_verbose_reply_stays_one_line(backend, waypost):
    backend.on("connect", ["554-no", "554-service", "554 here"])
    proxy = waypost(static_passdb(backend) + "lmtp_verbose_replies = yes\n")
    with proxy.session() as client:
        client.mail()
        reply = client.rcpt("joe@example.org")
        assert reply.code == 451 and len(reply.raw) == 1
        assert "service" in reply.text
