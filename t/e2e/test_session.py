"""Commands and replies of an LMTP session with the client."""

import re
import threading

import pytest

from backend import after
from lmtp import Closed
from waypost import static


@pytest.fixture
def session(waypost, backend, client):
    """A session after LHLO, with a backend that takes everything."""

    def start(config="", **stages):
        server = backend(**stages)
        proxy = waypost(static(server) + config)
        connection = client(proxy)
        connection.lhlo()
        connection.server, connection.proxy = server, proxy
        return connection

    return start


def test_greeting(waypost, backend, client):
    proxy = waypost(static(backend()))
    assert re.fullmatch(r"220 proxy\.test \S.*", str(client(proxy).greeting))


def test_login_greeting(waypost, backend, client):
    proxy = waypost(static(backend()) + "login_greeting = Hello there.\n")
    assert str(client(proxy).greeting) == "220 proxy.test Hello there."


def test_lhlo(session):
    reply = session().lhlo()
    assert reply.texts[0] == "proxy.test"
    assert reply.texts[1:] == ["8BITMIME", "ENHANCEDSTATUSCODES",
                               "PIPELINING", "SIZE", "SMTPUTF8"]


def test_lhlo_offers_what_is_set(session):
    reply = session("lmtp_max_message_size = 10M\nlmtp_dsn = yes\n").lhlo()
    assert "SIZE 10485760" in reply.texts
    assert "DSN" in reply.texts


@pytest.mark.parametrize("line, expected", [
    ("EHLO client.test", "500 5.5.1 Unknown command"),
    ("HELO client.test", "500 5.5.1 Unknown command"),
    ("FROBNICATE now", "500 5.5.1 Unknown command"),
    ("NOOP", "250 2.0.0 OK"),
    ("NOOP with words", "250 2.0.0 OK"),
    ("noop", "250 2.0.0 OK"),
    ("RSET", "250 2.0.0 OK"),
    ("VRFY joe", "252 2.3.3 Try RCPT instead"),
    ("STARTTLS", "502 5.5.1 TLS support is not enabled."),
    ("AUTH PLAIN x", "502 5.5.1 Unsupported command"),
    ("XCLIENT ADDR=192.0.2.1", "550 5.7.14 You are not from trusted IP"),
    ("RCPT TO:<joe@example.org>", "503 5.5.0 MAIL needed first"),
    ("DATA", "503 5.5.0 MAIL needed first"),
    ("MAIL FROM:<a@example.net>", "250 2.1.0 OK"),
])
def test_command(session, line, expected):
    assert str(session().cmd(line)) == expected


@pytest.mark.parametrize("line, code, enhanced", [
    ("LHLO", 501, ""),
    ("VRFY", 501, "5.5.4"),
    ("HELP", 214, "2.0.0"),
    ("", 500, "5.5.2"),
    ("\x01\x02", 500, "5.5.2"),
    ("NO-OP", 500, "5.5.2"),
    ("A" * 40, 500, "5.5.2"),
    (b"NOOP \xff\xfe", 500, "5.5.2"),
    ("MAIL", 501, "5.5.4"),
    ("MAIL TO:<a@example.net>", 501, "5.5.4"),
    ("MAIL FROM:", 501, "5.5.4"),
    ("MAIL FROM:a@example.net", 501, "5.5.4"),
    ("MAIL FROM: <a@example.net>", 501, "5.5.4"),
    ("MAIL FROM:<a@example.net", 501, "5.5.4"),
    ("MAIL FROM:<a b@example.net>", 501, "5.5.4"),
    ("MAIL FROM:<a@example.net>BODY=8BITMIME", 501, "5.5.4"),
    ("MAIL FROM:<a@example.net> BODY=WHAT", 501, "5.5.4"),
    ("MAIL FROM:<a@example.net> SIZE=x", 501, "5.5.4"),
    ("MAIL FROM:<a@example.net> SIZE=1 SIZE=1", 501, "5.5.4"),
    ("MAIL FROM:<a@example.net> BODY=BINARYMIME", 555, "5.5.4"),
    ("MAIL FROM:<a@example.net> RET=FULL", 555, "5.5.4"),
    ("MAIL FROM:<a@example.net> FROB=1", 555, "5.5.4"),
    ("MAIL FROM:<a@example.net> BODY=8BITMIME SIZE=100", 250, "2.1.0"),
    ("MAIL FROM:<>", 250, "2.1.0"),
    ('MAIL FROM:<"a b"@example.net>', 250, "2.1.0"),
    ("MAIL FROM:<@relay.test,@other.test:a@example.net>", 250, "2.1.0"),
    ("MAIL FROM:<a@[192.0.2.1]>", 250, "2.1.0"),
    ("MAIL FROM:<j\u00fcrgen@example.net>", 553, "5.6.7"),
    ("MAIL FROM:<j\u00fcrgen@example.net> SMTPUTF8", 250, "2.1.0"),
])
def test_syntax(session, line, code, enhanced):
    connection = session()
    reply = connection.cmd(line)
    assert (reply.code, reply.enhanced) == (code, enhanced), reply
    assert connection.cmd("NOOP").code == 250


@pytest.mark.parametrize("line, code, enhanced", [
    ("RCPT TO:<>", 501, "5.5.4"),
    ("RCPT", 501, "5.5.4"),
    ("RCPT FROM:<joe@example.org>", 501, "5.5.4"),
    ("RCPT TO:joe@example.org", 501, "5.5.4"),
    ("RCPT TO:<joe@example.org> FROB=1", 555, "5.5.4"),
    ("RCPT TO:<joe@example.org> NOTIFY=WHAT", 501, "5.5.4"),
    ("RCPT TO:<joe@example.org> ORCPT=rfc822", 501, "5.5.4"),
    ("RCPT TO:<j\u00fc@example.org>", 553, "5.6.7"),
    ("RCPT TO:<joe@example.org>", 250, "2.1.5"),
    ("rcpt to:<joe@example.org>", 250, "2.1.5"),
    ("RCPT TO:<joe>", 250, "2.1.5"),
    ('RCPT TO:<"joe"@example.org>', 250, "2.1.5"),
    ("RCPT TO:<@relay.test:joe@example.org>", 250, "2.1.5"),
    ("RCPT TO:<joe@example.org> ORCPT=rfc822;jim@example.org", 250, "2.1.5"),
    ("MAIL FROM:<b@example.net>", 503, "5.5.0"),
    ("DATA", 503, "5.5.0"),
    ("DATA now", 501, "5.5.4"),
])
def test_syntax_in_transaction(session, line, code, enhanced):
    connection = session()
    connection.mail()
    reply = connection.cmd(line)
    assert (reply.code, reply.enhanced) == (code, enhanced), reply
    assert connection.cmd("NOOP").code == 250


def test_texts_of_sequence_errors(session):
    connection = session(rcpt="550 5.1.1 no")
    connection.mail()
    assert str(connection.cmd("MAIL FROM:<b@example.net>")) == \
        "503 5.5.0 MAIL already given"
    assert str(connection.cmd("DATA")) == "503 5.5.0 No valid recipients"
    assert connection.rcpt("joe@example.org").code == 550
    assert str(connection.cmd("DATA")) == "503 5.5.0 No valid recipients"


def test_mail_before_lhlo(waypost, backend, client):
    server = backend()
    connection = client(waypost(static(server)))
    assert connection.deliver("joe@example.org")[0].code == 250
    assert b"Received: from unknown" in server.wait_message().body


def test_bdat_ends_the_session(session):
    # What follows it is not a command.
    connection = session()
    connection.send("BDAT 6 LAST\r\nRSET\r\n")
    assert connection.reply().code == 502
    assert connection.at_eof()


def test_quit(session):
    connection = session()
    assert str(connection.cmd("QUIT")) == "221 2.0.0 Bye"
    assert connection.at_eof()


def test_rset_forgets_the_transaction(session):
    connection = session()
    connection.envelope("joe@example.org")
    assert connection.cmd("RSET").code == 250
    assert str(connection.cmd("DATA")) == "503 5.5.0 MAIL needed first"
    assert connection.deliver("jim@example.org")[0].code == 250
    assert [m.recipients for m in connection.server.messages] == \
        [["jim@example.org"]]


def test_lhlo_forgets_the_transaction(session):
    connection = session()
    connection.envelope("joe@example.org")
    connection.lhlo()
    assert str(connection.cmd("DATA")) == "503 5.5.0 MAIL needed first"


def test_transactions_in_one_session(session):
    connection = session()
    replies = [connection.deliver("joe@example.org")[0] for _ in range(3)]
    ids = [re.fullmatch(r"250 2\.0\.0 <joe@example\.org> (\S+) Saved",
                        str(reply)).group(1) for reply in replies]
    assert ids[1:] == [ids[0] + ":T2", ids[0] + ":T3"]
    assert re.fullmatch(r"[A-Za-z0-9+/]{22}", ids[0])


def test_recipients_have_ids(session):
    replies = session().deliver("joe@example.org", "jim@example.org")
    first, second = (str(reply).split()[3] for reply in replies)
    assert second == first + ":R2"


def test_too_many_bad_commands(session):
    connection = session()
    for _ in range(10):
        assert connection.cmd("FROB").code == 500
    assert connection.cmd("FROB").code == 500
    assert str(connection.reply()) == \
        "421 4.7.0 proxy.test Too many invalid commands."
    assert connection.at_eof()


def test_good_command_forgives(session):
    connection = session("lmtp_max_bad_commands = 3\n")
    for _ in range(4):
        for _ in range(3):
            assert connection.cmd("FROB").code == 500
        assert connection.cmd("NOOP").code == 250


def test_pipelined_bad_commands_end_in_order(session):
    connection = session("lmtp_max_bad_commands = 2\n")
    connection.send("FROB\r\n" * 50)
    assert [reply.code for reply in connection.replies(4)] == \
        [500, 500, 500, 421]
    assert connection.at_eof()


def test_silent_client(session):
    connection = session("lmtp_client_timeout = 1s\n")
    assert str(connection.reply()) == \
        "421 4.4.2 proxy.test Disconnected for inactivity"
    assert connection.at_eof()


def test_client_silent_in_body(session):
    connection = session("lmtp_client_timeout = 1s\n")
    connection.envelope("joe@example.org")
    connection.ok("DATA", 354)
    connection.send("Subject: x\r\n\r\nhalf")
    assert connection.reply().code == 421
    assert connection.at_eof()
    assert connection.server.wait_ended() in ("eof", "reset")
    assert connection.server.messages == []


def test_client_that_waits_is_not_silent(session):
    event = threading.Event()
    connection = session("lmtp_client_timeout = 1s\n",
                         rcpt=after(event, "250 2.1.5 ok"))
    connection.mail()
    connection.send("RCPT TO:<joe@example.org>\r\n")
    assert connection.is_silent(2.5)
    event.set()
    assert connection.reply().code == 250


@pytest.mark.parametrize("length, code", [(4096, 250), (4200, 500),
                                          (100000, 500)])
def test_long_command(session, length, code):
    connection = session()
    reply = connection.cmd("NOOP " + "x" * length)
    assert reply.code == code
    if code == 500:
        assert str(reply) == "500 5.5.2 Line too long"
    assert connection.cmd("NOOP").code == 250


@pytest.mark.parametrize("workarounds, line, code", [
    ("", "RCPT TO: <joe@example.org>", 501),
    ("whitespace-before-path", "RCPT TO: <joe@example.org>", 250),
    ("whitespace-before-path", "RCPT TO:joe@example.org", 501),
    ("mailbox-for-path", "RCPT TO:joe@example.org", 250),
    ("mailbox-for-path", "RCPT TO: joe@example.org", 501),
    ("mailbox-for-path whitespace-before-path", "RCPT TO: joe@example.org",
     250),
])
def test_workarounds(session, workarounds, line, code):
    connection = session(f"lmtp_client_workarounds = {workarounds}\n")
    connection.mail()
    assert connection.cmd(line).code == code


@pytest.mark.parametrize("given, passed_on", [
    ("joe@example.org", "joe@example.org"),
    ("joe+detail@example.org", "joe+detail@example.org"),
    ('"joe x"@example.org', '"joe x"@example.org'),
    ("@a.test,@b.test:joe@example.org", "joe@example.org"),
    ("joe@[192.0.2.1]", "joe@[192.0.2.1]"),
])
def test_recipient_as_the_backend_sees_it(session, given, passed_on):
    connection = session("auth_username_chars =\n")
    assert connection.deliver(given)[0].code == 250
    assert connection.server.messages[0].recipients == [passed_on]


@pytest.mark.parametrize("given, passed_on", [
    ("", ""),
    ("a@example.net", "a@example.net"),
    ("@relay.test:a@example.net", "a@example.net"),
    ('"a b"@example.net', '"a b"@example.net'),
])
def test_sender_as_the_backend_sees_it(session, given, passed_on):
    connection = session()
    assert connection.deliver("joe@example.org", sender=given)[0].code == 250
    assert connection.server.messages[0].sender == passed_on


def test_received_header(session):
    connection = session()
    connection.deliver("joe@example.org", body="Subject: x\r\n\r\ntext\r\n")
    body = connection.server.messages[0].body.decode()
    match = re.fullmatch(
        r"Received: from client\.test \(\[127\.0\.0\.1\]\)\r\n"
        r"\tby proxy\.test with LMTP\r\n"
        r"\tid (\S+)\r\n"
        r"\t\(envelope-from <sender@example\.net>\)\r\n"
        r"\tfor <joe@example\.org>; "
        r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d \+0000\r\n"
        r"Subject: x\r\n\r\ntext\r\n", body)
    assert match, body


def test_received_hides_recipients_from_each_other(session):
    connection = session()
    connection.deliver("joe@example.org", "jim@example.org")
    body = connection.server.messages[0].body
    assert b"Received: " in body and b"for <" not in body


@pytest.mark.parametrize("value, shown", [
    ("final", b"for <joe@example.org>"),
    ("original", b"for <jim@example.org>"),
    ("none", None),
])
def test_hdr_delivery_address(session, value, shown):
    connection = session(f"lmtp_hdr_delivery_address = {value}\n")
    connection.mail()
    connection.ok("RCPT TO:<joe@example.org> ORCPT=rfc822;jim@example.org")
    connection.body("Subject: x\r\n\r\n")
    body = connection.server.messages[0].body
    assert (b"for <" in body) == (shown is not None)
    assert shown is None or shown in body


def test_no_received_header(session):
    connection = session("lmtp_add_received_header = no\n")
    connection.deliver("joe@example.org", body="Subject: x\r\n\r\n")
    assert connection.server.messages[0].raw == b"Subject: x\r\n\r\n"


def test_helo_name_cannot_break_the_header(session):
    connection = session()
    connection.ok("LHLO a) evil (b\\")
    connection.deliver("joe@example.org")
    header = connection.server.messages[0].body.split(b"\r\n")[0]
    assert header.count(b"(") == 1 and b"\\" not in header


def test_settings_by_filter(waypost, backend, client):
    proxy = waypost(static(backend()) + """
login_greeting = for all
remote 192.0.2.0/24 {
  login_greeting = for others
}
remote 127.0.0.0/8 {
  login_greeting = for local clients
}
protocol lmtp {
  hostname = lmtp.test
}
protocol imap {
  hostname = imap.test
}
""")
    assert str(client(proxy).greeting) == "220 lmtp.test for local clients"
    assert str(client(str(proxy.socket)).greeting) == \
        "220 lmtp.test for all"


def test_closes_after_421(session):
    connection = session("lmtp_client_timeout = 1s\n")
    assert connection.reply().code == 421
    with pytest.raises((Closed, OSError)):
        connection.send("NOOP\r\n")
        connection.reply()
        connection.reply()


def test_many_sessions(waypost, backend, client):
    server = backend()
    proxy = waypost(static(server))
    clients = [client(proxy) for _ in range(50)]
    for connection in clients:
        connection.start("joe@example.org")
    for connection in clients:
        assert connection.body("Subject: x\r\n\r\n")[0].code == 250
    assert len(server.messages) == 50
