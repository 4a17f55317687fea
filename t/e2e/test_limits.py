"""Limits on what one client may ask for."""

import pytest

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


def test_recipients(session):
    connection = session("lmtp_max_recipients = 3\n")
    connection.envelope("a@example.org", "b@example.org", "c@example.org")
    reply = connection.rcpt("d@example.org")
    assert (reply.code, reply.enhanced) == (452, "4.5.3")
    assert [r.code for r in connection.body(BODY, 3)] == [250] * 3
    connection.envelope("d@example.org")
    assert connection.body(BODY)[0].code == 250


def test_recipients_pipelined(session):
    connection = session("lmtp_max_recipients = 2\n")
    connection.send("MAIL FROM:<>\r\n" + "RCPT TO:<a@example.org>\r\n" * 4 +
                    "DATA\r\n" + BODY + ".\r\n")
    assert [reply.code for reply in connection.replies(8)] == \
        [250, 250, 250, 452, 452, 354, 250, 250]


def test_recipients_without_limit(session):
    connection = session("lmtp_max_recipients = 0\n")
    connection.mail()
    connection.send("RCPT TO:<a@example.org>\r\n" * 1500)
    assert {reply.code for reply in connection.replies(1500)} == {250}


def test_default_limit_of_recipients(session):
    connection = session()
    connection.mail()
    connection.send("RCPT TO:<a@example.org>\r\n" * 1001)
    codes = [reply.code for reply in connection.replies(1001)]
    assert codes == [250] * 1000 + [452]


def test_size_told_beforehand(session):
    connection = session("lmtp_max_message_size = 1000\n")
    reply = connection.cmd("MAIL FROM:<> SIZE=1001")
    assert (reply.code, reply.enhanced) == (552, "5.3.4")
    connection.ok("MAIL FROM:<> SIZE=1000")


def test_size_found_out(session):
    connection = session("lmtp_max_message_size = 1000\n")
    connection.envelope("a@example.org", "b@example.org")
    connection.ok("DATA", 354)
    connection.send("x" * 100 + "\r\n")
    connection.send(("y" * 98 + "\r\n") * 20 + ".\r\n")
    replies = connection.replies(2)
    assert [(r.code, r.enhanced) for r in replies] == [(552, "5.3.4")] * 2
    assert "<b@example.org>" in replies[1].text
    connection.server.wait_ended()
    assert connection.server.messages == []
    assert connection.deliver("a@example.org", body=BODY)[0].code == 250


@pytest.mark.parametrize("size, code", [(1000, 250), (1001, 552)])
def test_size_exactly(session, size, code):
    # The size of the message as the client has it: line ends count, the
    # final dot does not.
    connection = session("lmtp_max_message_size = 1000\n")
    connection.envelope("a@example.org")
    assert connection.body("x" * (size - 2) + "\r\n")[0].code == code


def test_large_size_parameter(session):
    connection = session()
    assert connection.cmd("MAIL FROM:<> SIZE=18446744073709551615").code in \
        (250, 501, 552)
    assert connection.cmd("RSET").code == 250
    assert connection.cmd("MAIL FROM:<> SIZE=99999999999999999999999").code \
        in (501, 552)
