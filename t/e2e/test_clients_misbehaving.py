"""Clients that do what they should not."""

import os
import threading

import pytest

from backend import after
from waiting import wait_for
from waypost import static

BODY = "Subject: x\r\n\r\ntext\r\n"


@pytest.fixture
def proxy(waypost, backend):
    def start(config="", **stages):
        server = backend(**stages)
        process = waypost(static(server) + config)
        process.server = server
        return process

    return start


def works(client, process):
    connection = client(process)
    connection.lhlo()
    assert connection.deliver("check@example.org")[0].code == 250
    connection.quit()


STAGES = {
    "greeting": "",
    "partial": "LHL",
    "lhlo": "LHLO x\r\n",
    "mail": "LHLO x\r\nMAIL FROM:<a@example.net>\r\n",
    "rcpt": "LHLO x\r\nMAIL FROM:<a@example.net>\r\n"
            "RCPT TO:<joe@example.org>\r\n",
    "data": "LHLO x\r\nMAIL FROM:<a@example.net>\r\n"
            "RCPT TO:<joe@example.org>\r\nDATA\r\n",
    "header": "LHLO x\r\nMAIL FROM:<a@example.net>\r\n"
              "RCPT TO:<joe@example.org>\r\nDATA\r\nSubject: x\r\n",
    "body": "LHLO x\r\nMAIL FROM:<a@example.net>\r\n"
            "RCPT TO:<joe@example.org>\r\nDATA\r\nSubject: x\r\n\r\n"
            + "half\r\n" * 20000,
    "before the dot": "LHLO x\r\nMAIL FROM:<a@example.net>\r\n"
                      "RCPT TO:<joe@example.org>\r\nDATA\r\nSubject: x\r\n"
                      "\r\ntext\r\n",
    "in the dot": "LHLO x\r\nMAIL FROM:<a@example.net>\r\n"
                  "RCPT TO:<joe@example.org>\r\nDATA\r\nSubject: x\r\n"
                  "\r\ntext\r\n.",
    "in the dot's line": "LHLO x\r\nMAIL FROM:<a@example.net>\r\n"
                         "RCPT TO:<joe@example.org>\r\nDATA\r\nSubject: x\r\n"
                         "\r\ntext\r\n.\r",
}


@pytest.mark.parametrize("how", ["close", "reset", "half_close"])
@pytest.mark.parametrize("stage", STAGES)
def test_gone(proxy, client, stage, how):
    # Nothing is delivered, and what the backend was told is taken back.
    process = proxy()
    connection = client(process)
    connection.send(STAGES[stage])
    lines = STAGES[stage].count("\r\n", 0, STAGES[stage].find("Subject")
                                if "Subject" in STAGES[stage] else None)
    connection.replies(lines)
    getattr(connection, how)()
    process.wait_log("Disconnect from 127.0.0.1")
    works(client, process)
    messages = [m.recipients for m in process.server.messages]
    assert messages == [["check@example.org"]]


def test_gone_while_recipient_is_asked(proxy, client):
    event = threading.Event()
    process = proxy(rcpt=after(event, "250 2.1.5 ok"))
    connection = client(process)
    connection.send(STAGES["rcpt"])
    process.server.wait_command("RCPT")
    connection.reset()
    process.wait_log("Disconnect from 127.0.0.1")
    event.set()
    works(client, process)


def test_gone_after_the_dot(proxy, client):
    # The message is complete: it takes its course, and the log says so.
    event = threading.Event()
    process = proxy(dot=after(event, "250 2.0.0 ok"))
    connection = client(process)
    connection.start("joe@example.org")
    connection.ok("DATA", 354)
    connection.send(BODY + ".\r\n")
    process.server.wait_message()
    connection.reset()
    event.set()
    process.wait_log(r"sent from=<sender@example\.net> "
                     r"to=<joe@example\.org>.* reply=\"250 ")
    works(client, process)


def test_byte_by_byte(proxy, client):
    process = proxy("lmtp_add_received_header = no\n")
    connection = client(process)
    for byte in (STAGES["data"] + "Subject: x\r\n\r\n..dot\r\n.\r\n"
                 "QUIT\r\n").encode():
        connection.send(bytes([byte]))
    assert [reply.code for reply in connection.replies(6)] == \
        [250, 250, 250, 354, 250, 221]
    assert process.server.messages[0].raw == b"Subject: x\r\n\r\n..dot\r\n"


def test_half_close_after_everything(proxy, client):
    event = threading.Event()
    process = proxy(dot=after(event, "250 2.0.0 ok"))
    connection = client(process)
    connection.send(STAGES["data"] + BODY + ".\r\n")
    connection.half_close()
    process.server.wait_message()
    event.set()
    assert [reply.code for reply in connection.replies(5)] == \
        [250, 250, 250, 354, 250]
    assert connection.at_eof()


def test_half_close_with_replies_owed(proxy, client):
    event = threading.Event()
    process = proxy(rcpt=after(event, "250 2.1.5 ok"))
    connection = client(process)
    connection.send(STAGES["rcpt"] + "QUIT\r\n")
    connection.half_close()
    process.server.wait_command("RCPT")
    event.set()
    assert [reply.code for reply in connection.replies(4)] == \
        [250, 250, 250, 221]
    assert connection.at_eof()


def test_never_reading(proxy, client):
    # Commands whose replies nobody takes: memory must not grow with them.
    process = proxy()
    connection = client(process, timeout=0.5)
    sent = 0
    with pytest.raises(TimeoutError):
        while sent < 100_000_000:
            sent += connection.sock.send(b"FROB\r\nNOOP\r\n" * 1000)
    assert process.memory() < 300 * 1024
    idle = process.cpu_seconds()
    works(client, process)
    wait_for(lambda: process.cpu_seconds() - idle < 1, "an idle process")


def test_never_reading_in_the_end(proxy, client):
    # With a timeout such a client is got rid of.
    process = proxy("lmtp_client_timeout = 1s\n")
    connection = client(process, timeout=0.3)
    with pytest.raises((TimeoutError, ConnectionError)):
        while True:
            connection.sock.send(b"NOOP\r\n" * 1000)
    process.wait_log("Disconnect from 127.0.0.1")


def test_command_of_a_megabyte(proxy, client):
    process = proxy()
    connection = client(process)
    connection.send("NOOP " + "x" * (1 << 20) + "\r\nNOOP\r\n")
    assert str(connection.reply()) == "500 5.5.2 Line too long"
    assert connection.reply().code == 250


def test_line_without_an_end(proxy, client):
    process = proxy()
    connection = client(process)
    before = process.memory()
    for _ in range(64):
        connection.send(b"x" * (1 << 20))
    assert process.memory() < before + 32 * 1024
    connection.send("\r\nNOOP\r\n")
    assert [reply.code for reply in connection.replies(2)] == [500, 250]


def test_garbage(proxy, client):
    process = proxy()
    connection = client(process)
    connection.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" +
                    bytes(range(256)) * 20 + b"\r\nNOOP\r\n")
    codes = []
    while 250 not in codes and 421 not in codes:
        codes.append(connection.reply().code)
    assert set(codes[:-1]) <= {500}
    works(client, process)


def test_http(proxy, client):
    process = proxy()
    connection = client(process)
    connection.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 70\r\n"
                    "Accept: */*\r\n\r\nMAIL FROM:<a@example.net>\r\n"
                    "RCPT TO:<joe@example.org>\r\n")
    replies = connection.replies(7)
    assert [reply.code for reply in replies[:5]] == [500] * 5


def test_pipelined_garbage_around_a_message(proxy, client):
    process = proxy()
    connection = client(process)
    connection.send("FROB\r\n" + STAGES["data"] + BODY + ".\r\n"
                    "\x00\x01\r\nQUIT\r\n")
    assert [reply.code for reply in connection.replies(8)] == \
        [500, 250, 250, 250, 354, 250, 500, 221]


def test_random_bytes(proxy, client):
    process = proxy()
    for _ in range(20):
        connection = client(process)
        try:
            connection.send(os.urandom(5000))
        except ConnectionError:
            pass
        connection.reset()
    works(client, process)


def test_connects_and_leaves(proxy, client):
    # As health checks do.
    process = proxy()
    for _ in range(200):
        client(process, greet=False).close()
    works(client, process)
    assert process.count_log("Error:") == 0


def test_second_message_while_the_first_is_answered(proxy, client):
    event = threading.Event()
    process = proxy(dot=after(event, "250 2.0.0 ok"))
    connection = client(process)
    connection.send(STAGES["data"] + BODY + ".\r\n" +
                    STAGES["data"][8:] + BODY + ".\r\nQUIT\r\n")
    process.server.wait_message()
    event.set()
    assert [reply.code for reply in connection.replies(10)] == \
        [250, 250, 250, 354, 250, 250, 250, 354, 250, 221]
    assert len(process.server.messages) == 2


def test_input_that_waits_is_bounded(proxy, client):
    # Megabytes of commands behind a RCPT that is not answered yet.
    event = threading.Event()
    process = proxy(rcpt=after(event, "250 2.1.5 ok"))
    connection = client(process, timeout=0.5)
    connection.send(STAGES["rcpt"])
    connection.replies(2)
    process.server.wait_command("RCPT")
    before = process.memory()
    with pytest.raises(TimeoutError):
        for _ in range(20000):
            connection.sock.sendall(b"NOOP\r\n" * 1000)
    assert process.memory() < before + 32 * 1024
    event.set()
    connection.sock.settimeout(10)
    assert connection.reply().code == 250
