"""Pipelined commands: recipients of one group go out together, replies come
in order."""

import socket
import threading

import pytest

from backend import after
from waypost import passwd_file, static, user_line


@pytest.fixture
def routed(tmp, waypost):
    """waypost with a passwd-file: routed(joe=backend, ...)."""

    def start(config="", **users):
        (tmp / "users").write_text("".join(
            user_line(f"{user}@example.org", target)
            for user, target in users.items()))
        return waypost(passwd_file(tmp / "users") + config)

    return start


BODY = "Subject: x\r\n\r\ntext\r\n"


def test_whole_session_in_one_segment(waypost, backend, client):
    server = backend()
    connection = client(waypost(static(server)))
    connection.send("LHLO client.test\r\nMAIL FROM:<a@example.net>\r\n"
                    "RCPT TO:<joe@example.org>\r\n"
                    "RCPT TO:<jim@example.org>\r\nDATA\r\n" + BODY + ".\r\n"
                    "MAIL FROM:<b@example.net>\r\n"
                    "RCPT TO:<ann@example.org>\r\nDATA\r\n" + BODY + ".\r\n"
                    "NOOP\r\nQUIT\r\n")
    codes = [reply.code for reply in connection.replies(13)]
    assert codes == [250, 250, 250, 250, 354, 250, 250, 250, 250, 354, 250,
                     250, 221]
    assert connection.at_eof()
    assert [m.recipients for m in server.messages] == \
        [["joe@example.org", "jim@example.org"], ["ann@example.org"]]


def test_recipients_are_asked_together(routed, backend, client):
    # Each backend answers only when all three were asked.
    barrier = threading.Barrier(3)

    def rcpt(conn):
        barrier.wait(10)
        return f"250 2.1.5 port {conn.backend.port}"

    servers = [backend(rcpt=rcpt) for _ in range(3)]
    connection = client(routed(a=servers[0], b=servers[1], c=servers[2]))
    connection.send("LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@example.org>\r\n"
                    "RCPT TO:<b@example.org>\r\nRCPT TO:<c@example.org>\r\n")
    replies = connection.replies(5)[2:]
    assert [str(reply) for reply in replies] == \
        [f"250 2.1.5 port {server.port}" for server in servers]


def test_backend_gets_a_group_in_one_go(waypost, backend, client):
    # MAIL is not answered before the RCPTs are there.
    def mail(conn):
        while conn.pending.count(b"RCPT") < 3:
            conn.read()
        return "250 2.1.0 ok"

    connection = client(waypost(static(backend(mail=mail))))
    connection.send("LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@example.org>\r\n"
                    "RCPT TO:<b@example.org>\r\nRCPT TO:<c@example.org>\r\n")
    assert [reply.code for reply in connection.replies(5)] == [250] * 5


def test_backend_without_pipelining(waypost, backend, client):
    early = []

    def look(conn):
        conn.sock.settimeout(0.1)
        try:
            early.append(conn.sock.recv(1000, socket.MSG_PEEK))
        except TimeoutError:
            pass
        conn.sock.settimeout(None)
        early.append(conn.pending)
        return "250 2.0.0 ok"

    server = backend(caps=("ENHANCEDSTATUSCODES",), mail=look, rcpt=look)
    connection = client(waypost(static(server)))
    connection.send("LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@example.org>\r\n"
                    "RCPT TO:<b@example.org>\r\nRCPT TO:<c@example.org>\r\n"
                    "DATA\r\n" + BODY + ".\r\n")
    assert [reply.code for reply in connection.replies(9)] == \
        [250] * 5 + [354] + [250] * 3
    assert early and not any(early)


def test_replies_in_order_with_one_slow_backend(routed, backend, client):
    event = threading.Event()
    slow = backend(rcpt=after(event, "250 2.1.5 slow"))
    fast = backend(rcpt="250 2.1.5 fast")
    connection = client(routed(slow=slow, fast=fast))
    connection.send("LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<slow@example.org>\r\n"
                    "RCPT TO:<fast@example.org>\r\n")
    connection.replies(2)
    fast.wait_command("RCPT")
    assert connection.is_silent()
    event.set()
    assert [str(reply) for reply in connection.replies(2)] == \
        ["250 2.1.5 slow", "250 2.1.5 fast"]


@pytest.mark.parametrize("first, second", [("slow", "fast"),
                                           ("fast", "slow")])
def test_final_replies_in_order(routed, backend, client, first, second):
    event = threading.Event()
    slow = backend(dot=after(event, "250 2.0.0 ok"))
    fast = backend()
    connection = client(routed(slow=slow, fast=fast))
    connection.start(f"{first}@example.org", f"{second}@example.org")
    connection.ok("DATA", 354)
    connection.send(BODY + ".\r\n")
    fast.wait_message()
    if first == "fast":
        assert "<fast@example.org>" in str(connection.reply())
    assert connection.is_silent()
    event.set()
    if first == "slow":
        assert "<slow@example.org>" in str(connection.reply())
    assert f"<{second}@example.org>" in str(connection.reply())


def test_dead_backend_fails_its_own_recipient(routed, backend, client):
    alive, dead = backend(), backend()
    dead.stop()
    connection = client(routed(a=alive, b=dead, c=alive))
    connection.send("LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@example.org>\r\n"
                    "RCPT TO:<b@example.org>\r\nRCPT TO:<c@example.org>\r\n"
                    "DATA\r\n" + BODY + ".\r\n")
    replies = connection.replies(8)[2:]
    assert [reply.code for reply in replies] == [250, 451, 250, 354, 250, 250]
    assert replies[1].text.startswith("4.4.0 <b@example.org> Proxy failed (")
    assert "<a@example.org>" in replies[4].text
    assert "<c@example.org>" in replies[5].text


def test_many_recipients_over_four_backends(routed, backend, client):
    def rcpt(conn):
        return "250 2.1.5 " + conn.rcpt[9:].split("@", maxsplit=1)[0]

    servers = [backend(rcpt=rcpt) for _ in range(4)]
    users = {f"u{number}": servers[number % 4] for number in range(100)}
    connection = client(routed(**users))
    connection.send("LHLO x\r\nMAIL FROM:<>\r\n" + "".join(
        f"RCPT TO:<{user}@example.org>\r\n" for user in users) +
        "DATA\r\n" + BODY + ".\r\n")
    connection.replies(2)
    assert [reply.text for reply in connection.replies(100)] == \
        [f"2.1.5 {user}" for user in users]
    assert connection.reply().code == 354
    assert [str(reply).split()[2] for reply in connection.replies(100)] == \
        [f"<{user}@example.org>" for user in users]
    assert [len(server.messages) for server in servers] == [1] * 4


def test_errors_keep_their_place(routed, backend, client):
    connection = client(routed(a=backend(), b=backend()))
    connection.send("LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@example.org>\r\n"
                    "RCPT TO:<broken\r\nRCPT TO:<nobody@example.org>\r\n"
                    "FROB\r\nRCPT TO:<b@example.org>\r\nNOOP\r\nDATA\r\n" +
                    BODY + ".\r\n")
    assert [reply.code for reply in connection.replies(11)] == \
        [250, 250, 250, 501, 550, 500, 250, 250, 354, 250, 250]


def test_rset_waits_for_replies(routed, backend, client):
    event = threading.Event()
    server = backend(rcpt=after(event, "250 2.1.5 ok"))
    connection = client(routed(a=server))
    connection.send("LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@example.org>\r\n"
                    "RSET\r\nMAIL FROM:<b@example.net>\r\n")
    connection.replies(2)
    server.wait_command("RCPT")
    assert connection.is_silent()
    event.set()
    assert [str(reply) for reply in connection.replies(3)] == \
        ["250 2.1.5 ok", "250 2.0.0 OK", "250 2.1.0 OK"]


def test_data_without_accepted_recipients_is_no_body(routed, backend, client):
    # The client was told 503 to DATA: what it sends next are commands.
    connection = client(routed(a=backend(rcpt="550 5.1.1 no")))
    connection.send("LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@example.org>\r\n"
                    "DATA\r\nNOOP\r\n")
    assert [reply.code for reply in connection.replies(5)] == \
        [250, 250, 550, 503, 250]


def test_body_behind_data_that_ends_in_pieces(waypost, backend, client):
    server = backend()
    connection = client(waypost(static(server) +
                                "lmtp_add_received_header = no\n"))
    connection.send("LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@example.org>\r\n"
                    "DATA\r\nSubject: x\r\n\r\n")
    connection.replies(4)
    connection.send("text\r\n.")
    server.wait_command("DATA")
    connection.send("\r\nRSET\r\n")
    assert [reply.code for reply in connection.replies(2)] == [250, 250]
    assert server.messages[0].raw == b"Subject: x\r\n\r\ntext\r\n"
