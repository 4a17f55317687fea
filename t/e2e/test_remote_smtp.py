"""SMTP backends."""

import pytest

from waypost import static

BODY = "Subject: x\r\n\r\n"


@pytest.fixture
def session(waypost, backend, client):
    def start(config="", **stages):
        server = backend(protocol="smtp", **stages)
        connection = client(waypost(static(server, "protocol=smtp") + config))
        connection.server = server
        connection.lhlo()
        return connection

    return start


def test_dialogue(session):
    connection = session()
    assert connection.deliver("joe@example.org")[0].code == 250
    assert connection.server.connections[0].commands == [
        "EHLO proxy.test", "MAIL FROM:<sender@example.net>",
        "RCPT TO:<joe@example.org>", "DATA"]


@pytest.mark.parametrize("said, code, enhanced", [
    ("250 2.0.0 queued", 250, "2.0.0"),
    ("250 queued", 250, "2.0.0"),
    ("554 5.6.0 spam", 554, "5.6.0"),
    ("451 later", 451, "4.0.0"),
])
def test_one_reply_answers_all(session, said, code, enhanced):
    connection = session(dot=said)
    rcpts = [f"{user}@example.org" for user in "abc"]
    replies = connection.deliver(*rcpts)
    assert [(reply.code, reply.enhanced) for reply in replies] == \
        [(code, enhanced)] * 3
    for rcpt, reply in zip(rcpts, replies):
        assert f"<{rcpt}>" in str(reply)
    assert len(connection.server.messages) == 1


@pytest.mark.parametrize("refusal", ["500 5.5.1 what?", "502 not here"])
def test_helo_fallback(session, refusal):
    connection = session(ehlo=refusal)
    assert connection.deliver("joe@example.org")[0].code == 250
    assert connection.server.connections[0].commands[:3] == [
        "EHLO proxy.test", "HELO proxy.test",
        "MAIL FROM:<sender@example.net>"]


def test_helo_has_no_extensions(session):
    connection = session(ehlo="500 what?")
    connection.mail(params=" BODY=8BITMIME SIZE=10")
    assert connection.rcpt("joe@example.org").code == 250
    assert connection.server.commands("MAIL") == [
        "MAIL FROM:<sender@example.net>"]


def test_ehlo_refused_for_good(session):
    connection = session(ehlo="550 5.7.1 not you")
    connection.mail()
    assert connection.rcpt("joe@example.org").code == 451


def test_without_pipelining(session):
    connection = session(caps=("8BITMIME",))
    replies = connection.deliver(*[f"{user}@example.org" for user in "abcd"])
    assert [reply.code for reply in replies] == [250] * 4


def test_partly_refused_recipients(session):
    connection = session(rcpt=lambda conn: "550 5.1.1 no" if "b@" in conn.rcpt
                         else "250 ok")
    connection.mail()
    assert [connection.rcpt(f"{user}@example.org").code
            for user in "abc"] == [250, 550, 250]
    assert [reply.code for reply in connection.body(BODY, 2)] == [250, 250]


def test_early_refusal_answers_all(session):
    connection = session(body="554 5.6.0 enough")
    connection.envelope("a@example.org", "b@example.org")
    connection.ok("DATA", 354)
    connection.send(BODY + ".\r\n")
    assert [reply.code for reply in connection.replies(2)] == [554, 554]


def test_lmtp_and_smtp_on_one_message(tmp, waypost, backend, client):
    lmtp, smtp = backend(), backend(protocol="smtp", dot="250 2.0.0 queued")
    (tmp / "users").write_text(
        f"a@example.org:::::::proxy=y host=127.0.0.1 port={lmtp.port}\n"
        f"b@example.org:::::::proxy=y host=127.0.0.1 port={smtp.port} "
        "protocol=smtp\n")
    connection = client(waypost(
        f"passdb {{\n  driver = passwd-file\n  args = {tmp}/users\n}}\n"))
    connection.lhlo()
    replies = connection.deliver("b@example.org", "a@example.org")
    assert [reply.code for reply in replies] == [250, 250]
    assert lmtp.messages[0].recipients == ["a@example.org"]
    assert smtp.messages[0].recipients == ["b@example.org"]
