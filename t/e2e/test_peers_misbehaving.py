"""Backends that do what they should not: each costs its own recipients a
temporary failure, never a message, never a bounce, never the session."""

import re
import socket
import threading

import pytest

from backend import CLOSE, EOF, HANG, RESET, SILENCE, after, hello
from waypost import free_port, passwd_file, static, user_line

BODY = "Subject: x\r\n\r\ntext\r\n"
SHORT = ("lmtp_proxy_connect_timeout = 1s\n"
         "lmtp_proxy_command_timeout = 1s\n"
         "lmtp_proxy_data_timeout = 1s\n")
FAILED = r"451 4\.4\.0 <bad@example\.org> Proxy failed \({}, session=\S+\)"


@pytest.fixture
def pair(tmp, waypost, backend, client):
    """A session with a bad backend for bad@ and a good one for good@."""

    def start(config="", port=None, bad_host="127.0.0.1", **stages):
        good = backend()
        bad = backend(**stages) if port is None else None
        (tmp / "users").write_text(
            user_line("good@example.org", good) +
            "bad@example.org:::::::proxy=y "
            f"host={bad_host} port={port or bad.port}\n" +
            "worse@example.org:::::::proxy=y "
            f"host={bad_host} port={port or bad.port}\n")
        proxy = waypost(passwd_file(tmp / "users") + config)
        connection = client(proxy)
        connection.lhlo()
        connection.good, connection.bad = good, bad
        connection.proxy = proxy
        return connection

    return start


def send(connection, *users, body=BODY):
    """Replies to RCPT and after the dot, by user."""
    users = users or ("bad", "good")
    connection.send("MAIL FROM:<a@example.net>\r\n" + "".join(
        f"RCPT TO:<{user}@example.org>\r\n" for user in users))
    assert connection.reply().code == 250
    rcpt = dict(zip(users, connection.replies(len(users))))
    taken = [user for user in users if rcpt[user].code == 250]
    final = {}
    if taken:
        connection.ok("DATA", 354)
        connection.send(body + ".\r\n")
        final = dict(zip(taken, connection.replies(len(taken))))
        for user, reply in final.items():
            assert f"<{user}@example.org>" in reply.text
    else:
        connection.ok("RSET")
    return rcpt, final


def goes_on(connection):
    """The session, and the good backend's recipient, are well."""
    rcpt, final = send(connection, "good")
    assert rcpt["good"].code == 250 and final["good"].code == 250


def fails_at_rcpt(connection, why):
    rcpt, final = send(connection)
    assert re.fullmatch(FAILED.format(why), str(rcpt["bad"])), rcpt["bad"]
    assert final["good"].code == 250
    assert connection.good.messages[0].recipients == ["good@example.org"]
    if connection.bad:
        assert connection.bad.messages == []
    goes_on(connection)


def fails_at_end(connection, why):
    rcpt, final = send(connection)
    assert rcpt["bad"].code == 250
    assert re.fullmatch(FAILED.format(why), str(final["bad"])), final["bad"]
    assert final["good"].code == 250
    goes_on(connection)


# --- getting through at all ---

def test_refused(pair):
    fails_at_rcpt(pair(port=free_port()), "connect")


def test_unreachable(pair):
    # A broadcast address: connect() fails at once.
    fails_at_rcpt(pair(port=24, bad_host="255.255.255.255"), "connect")


def test_never_accepts(pair, stopper):
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen(0)
    stopper.add(sock.close)
    port = sock.getsockname()[1]
    # Fills the queue of the listener: further SYNs are dropped.
    fillers = []
    for _ in range(3):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(("127.0.0.1", port))
        fillers.append(filler)
        stopper.add(filler.close)
    fails_at_rcpt(pair(SHORT, port=port), "connect")


def test_dead_address_first(waypost, dns, backend, client):
    server = backend()
    # Nobody listens on the first address; the second one is the server.
    names = dns({"mx.test": ["127.0.0.66", "127.0.0.1"]})
    connection = client(waypost(
        "passdb {\n  driver = static\n  args = nopassword=y proxy=y "
        f"host=mx.test port={server.port}\n}}\n" + names.setting))
    connection.lhlo()
    assert connection.deliver("joe@example.org")[0].code == 250


def test_never_greets(pair):
    fails_at_rcpt(pair(SHORT, greeting=SILENCE), "connect")


def test_greets_late(pair):
    event = threading.Event()
    connection = pair(greeting=after(event, "220 here I am"))
    connection.send("MAIL FROM:<>\r\nRCPT TO:<bad@example.org>\r\n")
    assert connection.reply().code == 250
    assert connection.is_silent()
    event.set()
    assert connection.reply().code == 250
    assert connection.body(BODY)[0].code == 250


@pytest.mark.parametrize("greeting", [
    "554 5.7.1 not you", "421 4.3.2 busy", "450 later", "354 what?",
    ["220-two", CLOSE], CLOSE, RESET, EOF, b"\x80\x00\xff\r\n", "hello there",
    b"SSH-2.0-OpenSSH_9.2\r\n", "2200 too long", "22 short", b"\r\n",
    "220-one\r\n250 other",
])
def test_bad_greeting(pair, greeting):
    # A 5xx is no answer about the recipient: it is no bounce.
    connection = pair(SHORT, greeting=greeting)
    fails_at_rcpt(connection, "(connect|connection lost|bad reply)")


@pytest.mark.parametrize("reply", [
    "554 5.7.1 not you", "421 4.3.2 busy", "450 later", "500 unknown",
    "354 what?", CLOSE, RESET, EOF, SILENCE, "garbage",
])
def test_bad_reply_to_lhlo(pair, reply):
    connection = pair(SHORT, lhlo=reply)
    fails_at_rcpt(connection, "(connect|connection lost|bad reply)")


# --- each stage ---

@pytest.mark.parametrize("stage", ["mail", "rcpt"])
@pytest.mark.parametrize("action, why", [
    ("421 4.3.2 going down", "connection lost"),
    (["421 4.3.2 going down", CLOSE], "connection lost"),
    (CLOSE, "connection lost"),
    (RESET, "connection lost"),
    (EOF, "connection lost"),
    (SILENCE, "timed out"),
    (HANG, "timed out"),
    ("rubbish", "bad reply"),
    (b"\x00\x01\x02\r\n", "bad reply"),
    ("354 go on", "bad reply"),
    ("250-endless\r\n" * 1000, "bad reply"),
    (b"x" * 100000, "bad reply"),
    ("199 1.0.0 what", "bad reply"),
    (["250-half", CLOSE], "connection lost"),
])
def test_envelope(pair, stage, action, why):
    fails_at_rcpt(pair(SHORT, **{stage: action}), why)


@pytest.mark.parametrize("action, why", [
    ("421 4.3.2 going down", "connection lost"),
    (["421 4.3.2 going down", CLOSE], "connection lost"),
    (CLOSE, "connection lost"),
    (RESET, "connection lost"),
    (EOF, "connection lost"),
    (SILENCE, "timed out"),
    ("rubbish", "bad reply"),
    ("250 2.0.0 delivered, honestly", "bad reply"),
    ("220 what?", "bad reply"),
])
def test_data(pair, action, why):
    connection = pair(SHORT, data=action)
    fails_at_end(connection, why)
    assert connection.bad.messages == []


@pytest.mark.parametrize("action, why", [
    (CLOSE, "connection lost"),
    (RESET, "connection lost"),
    (EOF, "connection lost"),
    ("421 4.3.2 going down", "connection lost"),
    (["421 4.3.2 going down", CLOSE], "connection lost"),
    ("250 2.0.0 delivered already", "bad reply"),
    ("354 once more", "bad reply"),
    ("rubbish", "bad reply"),
])
def test_in_body(pair, action, why):
    # The client goes on sending until the end.
    connection = pair(SHORT, body=action)
    connection.envelope("bad@example.org", "good@example.org")
    connection.ok("DATA", 354)
    for _ in range(20):
        connection.send("x" * 998 + "\r\n")
    connection.send(".\r\n")
    bad, good = connection.replies(2)
    assert re.fullmatch(FAILED.format(why), str(bad)), bad
    assert good.code == 250
    goes_on(connection)


@pytest.mark.parametrize("refusal, first, second", [
    ("452 4.3.1 no room", "452 4.3.1 <bad@example.org> no room",
     "452 4.3.1 <worse@example.org> no room"),
    ("554 5.6.0 not for bad", "554 5.6.0 <bad@example.org> not for bad",
     "451 4.4.0 <worse@example.org> Proxy failed"),
    (["552 5.2.2 full", CLOSE], "552 5.2.2 <bad@example.org> full",
     "451 4.4.0 <worse@example.org> Proxy failed"),
])
def test_early_refusal(pair, refusal, first, second):
    connection = pair(body=refusal)
    connection.envelope("bad@example.org", "worse@example.org",
                        "good@example.org")
    connection.ok("DATA", 354)
    # The refusal comes before the end of the body.
    connection.send("Subject: x\r\n\r\n")
    connection.proxy.wait_log(r"to=<worse@example\.org>")
    connection.send(".\r\n")
    replies = connection.replies(3)
    assert str(replies[0]) == first
    assert str(replies[1]).startswith(second)
    assert replies[2].code == 250
    assert connection.bad.messages == []
    goes_on(connection)


@pytest.mark.parametrize("action, why", [
    ("421 4.3.2 going down", "connection lost"),
    (["421 4.3.2 going down", CLOSE], "connection lost"),
    (CLOSE, "connection lost"),
    (RESET, "connection lost"),
    (EOF, "connection lost"),
    ("rubbish", "bad reply"),
    ("354 go on", "bad reply"),
    (["250-2.0.0 not the end", CLOSE], "connection lost"),
])
def test_after_the_dot(pair, action, why):
    # Whether it was delivered is unknown: 4xx, and nowhere else again.
    connection = pair(SHORT, dot=action)
    fails_at_end(connection, why)
    assert len(connection.bad.connections) == 1


def test_silent_after_the_dot(pair):
    connection = pair(SHORT, dot=SILENCE)
    _, final = send(connection)
    assert re.match(r"451 4\.4\.0 <bad@example\.org> Remote server not "
                    r"answering \(transaction timed out", str(final["bad"]))
    assert final["good"].code == 250
    goes_on(connection)


def test_dies_between_two_final_replies(pair):
    # What was said holds; what was not is unknown.
    count = []

    def dot(_conn):
        count.append(1)
        return "250 2.0.0 ok" if len(count) == 1 else CLOSE

    connection = pair(dot=dot)
    _, final = send(connection, "bad", "worse", "good")
    assert final["bad"].code == 250
    assert final["worse"].code == 451
    assert final["good"].code == 250
    goes_on(connection)


def test_stops_reading(pair):
    # It reads nothing of a large body, and says nothing.
    connection = pair(SHORT, body=HANG)
    body = "Subject: x\r\n\r\n" + ("x" * 998 + "\r\n") * 8000
    _, final = send(connection, body=body)
    assert final["bad"].code == 451
    assert final["good"].code == 250
    goes_on(connection)


def test_lost_backend_does_not_hold_up_others(pair):
    # A backend that is lost during DATA fails nobody else.
    connection = pair(body=CLOSE)
    _, final = send(connection, "good", "bad")
    assert final["good"].code == 250
    assert re.fullmatch(FAILED.format("connection lost"), str(final["bad"]))
    assert len(connection.good.messages) == 1


@pytest.mark.parametrize("stage, extra", [
    ("greeting", "220 hello\r\n220 hello again"),
    ("lhlo", hello() + "\r\n250 more"),
    ("mail", "250 ok\r\n250 ok\r\n250 ok"),
    ("rcpt", "250 ok\r\n550 not ok"),
    ("data", "354 go\r\n354 go"),
    ("data", "354 go\r\n250 done"),
])
def test_extra_replies(pair, stage, extra):
    # Out of step: nothing that it says counts as a delivery.
    connection = pair(SHORT, **{stage: extra})
    rcpt, final = send(connection)
    assert rcpt["bad"].code == 451 or final["bad"].code == 451 or \
        connection.bad.messages
    assert final["good"].code == 250
    goes_on(connection)


def test_extra_final_reply(pair):
    connection = pair(dot="250 2.0.0 ok\r\n550 5.1.1 not ok")
    _, final = send(connection)
    assert final["bad"].code == 250
    _, final = send(connection)
    assert final["bad"].code == 250
    assert len(connection.bad.connections) == 2


def test_reply_byte_by_byte(pair):
    def slowly(text):
        def action(conn):
            for byte in text + b"\r\n":
                conn.send(bytes([byte]))
            return SILENCE

        return action

    connection = pair(greeting=slowly(b"220-backend\r\n220 test"),
                      lhlo=slowly(hello().encode()))
    rcpt, final = send(connection)
    assert rcpt["bad"].code == 250 and final["bad"].code == 250


def test_bare_lf_in_replies(pair):
    connection = pair(greeting=b"220 backend\n",
                      lhlo=b"250-backend\n250 PIPELINING\n")
    _, final = send(connection)
    assert final["bad"].code == 250


def test_trouble_is_logged(pair):
    connection = pair(SHORT, greeting="554 5.7.1 not you")
    send(connection)
    line = connection.proxy.wait_log(
        r"Error: .*not sent .*to=<bad@example\.org>").string
    assert "451 4.4.0" in line


def test_refusal_is_no_error(pair):
    connection = pair(rcpt="550 5.1.1 no such user")
    send(connection)
    line = connection.proxy.wait_log(
        r"not sent .*to=<bad@example\.org>").string
    assert "Error:" not in line


def test_backend_that_comes_back(pair, backend):
    port = free_port()
    connection = pair(port=port)
    rcpt, _ = send(connection)
    assert rcpt["bad"].code == 451
    backend(port=port)
    rcpt, final = send(connection)
    assert final["bad"].code == 250


def test_one_hanging_backend_among_many_sessions(pair, client):
    # Sessions of others do not notice.
    connection = pair(rcpt=HANG)
    stuck = []
    for _ in range(10):
        other = client(connection.proxy)
        other.lhlo()
        other.send("MAIL FROM:<>\r\nRCPT TO:<bad@example.org>\r\n")
        stuck.append(other)
    for _ in range(10):
        goes_on(connection)
    for other in stuck:
        other.reset()


def test_static_backend_dead_for_everybody(waypost, client):
    connection = client(waypost(static(free_port())))
    connection.lhlo()
    for _ in range(3):
        connection.mail()
        assert connection.rcpt("joe@example.org").code == 451
        connection.ok("RSET")
