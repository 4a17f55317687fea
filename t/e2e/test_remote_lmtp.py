"""What LMTP backends hear."""

import pytest

from backend import CAPS, hello
from waiting import wait_for
from waypost import static

BODY = "Subject: x\r\n\r\n"


@pytest.fixture
def session(waypost, backend, client):
    def start(config="", **stages):
        server = backend(**stages)
        connection = client(waypost(static(server) + config))
        connection.server = server
        connection.lhlo()
        return connection

    return start


def test_dialogue(session):
    connection = session()
    connection.deliver("joe@example.org", "jim@example.org")
    assert connection.server.connections[0].commands == [
        "LHLO proxy.test", "MAIL FROM:<sender@example.net>",
        "RCPT TO:<joe@example.org>", "RCPT TO:<jim@example.org>", "DATA"]


@pytest.mark.parametrize("caps, given, passed_on", [
    ((), " BODY=8BITMIME SIZE=1000", ""),
    (("8BITMIME",), " BODY=8BITMIME SIZE=1000", " BODY=8BITMIME"),
    (("SIZE",), " BODY=8BITMIME SIZE=1000", " SIZE=1000"),
    (("SIZE 5000000", "8BITMIME"), " BODY=7BIT SIZE=1000",
     " BODY=7BIT SIZE=1000"),
    (("size", "8bitmime"), " BODY=8BITMIME", " BODY=8BITMIME"),
    (("SIZE", "8BITMIME"), "", ""),
    (("SMTPUTF8", "8BITMIME"), " SMTPUTF8", " SMTPUTF8"),
])
def test_mail_parameters(session, caps, given, passed_on):
    connection = session(caps=("PIPELINING", *caps))
    connection.mail("a@example.net", given)
    assert connection.rcpt("joe@example.org").code == 250
    line = connection.server.commands("MAIL")[0]
    assert line.startswith("MAIL FROM:<a@example.net>")
    assert sorted(line.split(" ")[2:]) == sorted(passed_on.split())


def test_smtputf8_needs_the_peer(session):
    connection = session(caps=("PIPELINING", "8BITMIME"))
    connection.mail("j\u00fc@example.net", " SMTPUTF8")
    reply = connection.rcpt("joe@example.org")
    assert (reply.code, reply.enhanced) == (550, "5.6.7")
    assert connection.server.commands("MAIL") == []


def test_smtputf8_addresses(session):
    connection = session("auth_username_chars =\n",
                         caps=(*CAPS, "SMTPUTF8"))
    connection.mail("j\u00fc@example.net", " SMTPUTF8")
    assert connection.rcpt("k\u00e4the@example.org").code == 250
    assert connection.body(BODY)[0].code == 250
    message = connection.server.messages[0]
    assert message.sender == "j\u00fc@example.net"
    assert message.recipients == ["k\u00e4the@example.org"]


def test_dsn_parameters(session):
    connection = session("lmtp_dsn = yes\n", caps=(*CAPS, "DSN"))
    connection.mail("a@example.net", " RET=HDRS ENVID=x+2By")
    assert connection.rcpt("joe@example.org", " NOTIFY=SUCCESS,FAILURE "
                           "ORCPT=rfc822;o+2Bx@example.org").code == 250
    mail, rcpt = connection.server.connections[0].commands[1:3]
    assert set(mail.split()[2:]) == {"RET=HDRS", "ENVID=x+2By"}
    assert set(rcpt.split()[2:]) == {"NOTIFY=SUCCESS,FAILURE",
                                     "ORCPT=rfc822;o+2Bx@example.org"}


def test_notify_needs_the_peer(session):
    connection = session("lmtp_dsn = yes\n")
    connection.mail()
    reply = connection.rcpt("joe@example.org", " NOTIFY=SUCCESS")
    assert (reply.code, reply.enhanced) == (555, "5.5.4")


def test_orcpt_is_left_out_where_unknown(session):
    connection = session()
    connection.mail()
    connection.ok("RCPT TO:<joe@example.org> ORCPT=rfc822;jim@example.org")
    assert connection.server.commands("RCPT") == ["RCPT TO:<joe@example.org>"]


def test_body_is_passed_on_while_it_comes(session):
    connection = session("lmtp_add_received_header = no\n")
    connection.envelope("joe@example.org")
    connection.ok("DATA", 354)
    connection.send("Subject: x\r\n\r\nfirst half\r\n")
    conn = connection.server.connections[0]
    wait_for(lambda: b"first half" in conn.received, "the first half")
    connection.send("second half\r\n.\r\n")
    assert connection.reply().code == 250


def test_dot_is_not_sent_before_the_clients(session):
    connection = session()
    connection.envelope("joe@example.org")
    connection.ok("DATA", 354)
    connection.send("Subject: x\r\n\r\ntext\r\n")
    conn = connection.server.connections[0]
    wait_for(lambda: b"text" in conn.received, "the body")
    assert connection.is_silent()
    assert connection.server.messages == []
    connection.send(".\r\n")
    assert connection.reply().code == 250


def test_ipv6_backend(waypost, backend, client):
    server = backend(host="::1")
    connection = client(waypost(
        "passdb {\n  driver = static\n  args = nopassword=y proxy=y "
        f"host=::1 port={server.port}\n}}\n"))
    connection.lhlo()
    assert connection.deliver("joe@example.org")[0].code == 250


def test_multiline_greeting(session):
    connection = session(greeting="220-backend.test\r\n220-welcome\r\n220 go")
    assert connection.deliver("joe@example.org")[0].code == 250


def test_lhlo_without_capabilities(session):
    connection = session(lhlo="250 backend.test")
    assert connection.deliver("joe@example.org")[0].code == 250


def test_lhlo_with_unknown_capabilities(session):
    connection = session(lhlo=hello(
        (*CAPS, "X-FROB a b c", "AUTH PLAIN LOGIN", "SIZE junk")))
    assert connection.deliver("joe@example.org")[0].code == 250


def test_connect_is_not_repeated_for_each_recipient(session):
    connection = session()
    connection.start(*[f"u{number}@example.org" for number in range(50)])
    assert len(connection.server.connections) == 1
