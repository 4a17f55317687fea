"""What the backends say is what the client hears."""

import re

import pytest

from waypost import static

RCPT = "<joe@example.org>"
BODY = "Subject: x\r\n\r\n"


@pytest.fixture
def answers(waypost, backend, client):
    """(reply to RCPT, reply after the dot or None) with this backend."""

    def ask(config="", **stages):
        server = backend(**stages)
        connection = client(waypost(static(server) + config))
        connection.server = server
        connection.lhlo()
        connection.mail()
        reply = connection.rcpt("joe@example.org")
        if reply.code != 250:
            return reply, None
        return reply, connection.body(BODY)[0]

    return ask


@pytest.mark.parametrize("said, heard", [
    ("250 2.1.5 Jolly good", "250 2.1.5 Jolly good"),
    ("250 ok", "250 2.1.0 ok"),
    ("250-2.1.5 one\r\n250 2.1.5 two", "250-2.1.5 one\n250 2.1.5 two"),
    ("550 5.7.1 Go away", f"550 5.7.1 {RCPT} Go away"),
    ("550 5.1.1 <other@x> No such user", f"550 5.1.1 {RCPT} No such user"),
    ("550 <other@x> No such user", f"550 5.0.0 {RCPT} No such user"),
    ("450 4.2.0 Greylisted: wait", f"450 4.2.0 {RCPT} Greylisted: wait"),
    ("452 later", f"452 4.0.0 {RCPT} later"),
    ("550-5.7.1 one\r\n550-5.7.1 two\r\n550 5.7.1 three",
     f"550-5.7.1 {RCPT} one\n550-5.7.1 {RCPT} two\n550 5.7.1 {RCPT} three"),
    ("555 5.5.4 Unsupported: \u00e4", f"555 5.5.4 {RCPT} Unsupported: \u00e4"),
    ("550 5.123.456 odd", f"550 5.123.456 {RCPT} odd"),
])
def test_reply_to_rcpt(answers, said, heard):
    reply, _ = answers(rcpt=said)
    assert str(reply) == heard


@pytest.mark.parametrize("said, heard", [
    ("250 2.0.0 Queued as 1234", f"250 2.0.0 {RCPT} ID Saved"),
    ("250 2.6.0 whatever", f"250 2.6.0 {RCPT} ID Saved"),
    ("250 ok", f"250 2.0.0 {RCPT} ID Saved"),
    ("552 5.2.2 Quota exceeded", f"552 5.2.2 {RCPT} Quota exceeded"),
    ("452 4.2.2 <joe@inside> full", f"452 4.2.2 {RCPT} full"),
    ("451 try later", f"451 4.0.0 {RCPT} try later"),
    ("554-5.7.1 one\r\n554 5.7.1 two",
     f"554-5.7.1 {RCPT} one\n554 5.7.1 {RCPT} two"),
])
def test_reply_to_message(answers, said, heard):
    _, reply = answers(dot=said)
    text = re.sub(r"> [A-Za-z0-9+/]{22} Saved", "> ID Saved", str(reply))
    assert text == heard


def test_reply_to_mail(answers):
    reply, _ = answers(mail="552 5.3.4 Too much for me")
    assert str(reply) == f"552 5.3.4 {RCPT} Too much for me"


def test_reply_to_data(answers):
    _, reply = answers(data="451 4.3.1 No room")
    assert str(reply) == f"451 4.3.1 {RCPT} No room"


def test_control_bytes_are_not_passed_on(answers):
    reply, _ = answers(rcpt=b"550 5.7.1 a\tb\x01c\x1b[31m\r\n")
    assert reply.code in (550, 451)
    assert not re.search(r"[\x00-\x1f\x7f]", reply.text)


@pytest.mark.parametrize("stage", ["rcpt", "dot"])
def test_reply_that_is_too_long(answers, stage):
    reply, final = answers(**{stage: "250-" + "x" * 400 + "\r\n250-" +
                              "\r\n250-".join(["y" * 400] * 20) +
                              "\r\n250 z"})
    answer = final or reply
    assert re.match(rf"451 4\.4\.0 {RCPT} Proxy failed \(bad reply, "
                    r"session=\S+\)", str(answer))


def test_replies_of_several_recipients(waypost, backend, client):
    def dot(conn):
        return {"a": "250 2.0.0 ok", "b": "552 5.2.2 full",
                "c": "451 4.2.0 locked"}[conn.rcpt[9]]

    connection = client(waypost(static(backend(dot=dot))))
    connection.start("a@example.org", "b@example.org", "c@example.org")
    replies = connection.body(BODY, 3)
    assert [str(reply).split(" ")[:3] for reply in replies] == [
        ["250", "2.0.0", "<a@example.org>"],
        ["552", "5.2.2", "<b@example.org>"],
        ["451", "4.2.0", "<c@example.org>"]]


def test_refused_recipient_gets_no_final_reply(waypost, backend, client):
    server = backend(rcpt=lambda conn: "550 5.1.1 no" if "b@" in conn.rcpt
                     else "250 2.1.5 ok")
    connection = client(waypost(static(server)))
    connection.lhlo()
    connection.mail()
    assert [connection.rcpt(f"{user}@example.org").code
            for user in "abc"] == [250, 550, 250]
    replies = connection.body(BODY, 2)
    assert ["<a@" in str(replies[0]), "<c@" in str(replies[1])] == \
        [True, True]
    assert connection.cmd("NOOP").code == 250


@pytest.mark.parametrize("verbose, pattern", [
    ("no", r"Proxy failed \(connect, session=[A-Za-z0-9+/]{22}\)"),
    ("yes", r"Proxy failed: .*refused.* \(session=[A-Za-z0-9+/]{22}\)"),
])
def test_verbose_replies(answers, backend, waypost, client, verbose, pattern):
    server = backend()
    server.stop()
    connection = client(waypost(
        static(server) + f"lmtp_verbose_replies = {verbose}\n"))
    connection.lhlo()
    connection.mail()
    assert re.fullmatch(rf"451 4\.4\.0 {RCPT} " + pattern,
                        str(connection.rcpt("joe@example.org")))


def test_verbose_reply_has_no_line_breaks(answers):
    reply, _ = answers("lmtp_verbose_replies = yes\n",
                       greeting="554-no\r\n554-service\r\n554 here")
    assert reply.code == 451 and len(reply.lines) == 1
