"""Peers that mean harm: nothing grows without end, nobody else waits, and what
one party says is never taken for another's words. What merely goes wrong is in
test_clients_misbehaving.py and test_peers_misbehaving.py, what DATA may hide in
test_data.py.
"""
import socket
import threading

import pytest

from lmtp_client import Client, Disconnected, dot_stuff
from processes import is_sanitized, peak, rss
from scripted_backend import CAPABILITIES, close, silent
from test_data import ENDS, SMUGGLED, lax_ends
from test_peers_misbehaving import QUICK, STAGES, attempt
from waypost import static_passdb

MIB = 1024 * 1024
POLICIES = ["normalize", "reject", "pass"]


@pytest.fixture
def proxy(backend, waypost):
    return waypost(static_passdb(backend) + QUICK)


@pytest.fixture
def chunking(backends):
    """A backend that takes BDAT."""
    return backends(capabilities=[*CAPABILITIES, "CHUNKING"])


class Growth:
    """with Growth(proxy, limit): the worker may grow by so much, at its peak:
    what is free in the end, malloc() gives back to the system, or not."""

    def __init__(self, proxy, limit):
        self.proxy, self.limit = proxy, limit
        proxy.session().quit()  # what the first session allocates

    def __enter__(self):
        self.before = rss(self.proxy)

    def __exit__(self, exc_type, *_exc):
        if exc_type is None and not is_sanitized():
            assert peak(self.proxy) - self.before < self.limit


def still_works(proxy):
    with proxy.session() as client:
        assert client.deliver("after@example.org")[0] == 250


def bdat(data, last=False):
    return b"BDAT %d%s\r\n%s" % (len(data), b" LAST" if last else b"", data)


def assert_one_message(backend, count=1):
    """Of joe's, with all of the text in it, and nothing else was said."""
    assert len(backend.messages) == count
    for message in backend.messages:
        assert message.rcpts == ["joe@example.org"]
        assert b"gotcha" in message.raw
    assert not any("victim" in c for c in backend.commands)


# --- smuggling with chunks, inwards and outwards ---

def proxy_with(waypost, backend, policy):
    return waypost(static_passdb(backend) +
                   "lmtp_add_received_header = no\n"
                   f"lmtp_bare_newlines = {policy}\n")


CRLF_ENDS = [b"\r\n.\r\n", b"\r\n..\r\n", b"\r\n.\r\n.\r\n"]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("end", ENDS + CRLF_ENDS)
def test_bdat_into_data(backend, waypost, policy, end):
    """A chunk may hold what ends a message of DATA. It does not, there: not
    for us, and not for a backend with an idea of its own."""
    proxy = proxy_with(waypost, backend, policy)
    body = b"Subject: x\r\n\r\nfirst" + end + SMUGGLED
    with proxy.session() as client:
        client.begin("joe@example.org")
        client.send(bdat(body, last=True))
        reply = client.reply()
        assert client.command("NOOP") == 250
    refused = policy == "reject" and end not in CRLF_ENDS and reply == 550
    assert reply == 250 or refused
    assert_one_message(backend, 0 if refused else 1)
    for message in backend.messages:
        assert lax_ends(bytes(message.raw)) == 1
        if end in CRLF_ENDS:
            assert message.body == body


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("end", ENDS + CRLF_ENDS)
def test_bdat_into_bdat(chunking, waypost, policy, end):
    """The sizes are right whatever was changed, and pass means the same
    octets."""
    proxy = proxy_with(waypost, chunking, policy)
    body = b"Subject: x\r\n\r\nfirst" + end + SMUGGLED
    with proxy.session() as client:
        client.begin("joe@example.org")
        client.send(bdat(body, last=True))
        reply = client.reply()
    refused = policy == "reject" and end not in CRLF_ENDS and reply == 550
    assert reply == 250 or refused
    assert_one_message(chunking, 0 if refused else 1)
    for message in chunking.messages:
        assert message.chunks and sum(message.chunks) == len(message.raw)
        if policy == "pass" or end in CRLF_ENDS:
            assert message.body == body
        # What it would be if it went on with DATA.
        if policy == "normalize":
            assert lax_ends(dot_stuff(message.body)) == 1


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("end", ENDS)
def test_data_into_bdat(chunking, waypost, policy, end):
    proxy = proxy_with(waypost, chunking, policy)
    with proxy.session() as client:
        client.start_data("joe@example.org")
        client.send(b"Subject: x\r\n\r\nfirst" + end + SMUGGLED)
        reply = client.reply()
        assert client.command("NOOP") == 250
    assert reply.code in (250, 550)
    assert_one_message(chunking, 1 if reply == 250 else 0)
    for message in chunking.messages:
        assert sum(message.chunks) == len(message.raw)
        if policy == "normalize":
            assert lax_ends(dot_stuff(message.body)) == 1


@pytest.mark.parametrize("end", [b"\r\n.\r\n", b"\n.\n", b"\r.\r", b"\r\n.\n"])
def test_ends_cut_into_chunks(backend, waypost, end):
    """An end of which each octet comes in a chunk of its own."""
    proxy = proxy_with(waypost, backend, "normalize")
    with proxy.session() as client:
        client.begin("joe@example.org")
        text = b"first" + end
        for at in range(len(text)):
            client.send(bdat(text[at:at + 1]))
        client.send(bdat(SMUGGLED, last=True))
        assert {r.code for r in client.replies(len(text) + 1)} == {250}
    assert_one_message(backend)
    assert lax_ends(bytes(backend.messages[0].raw)) == 1


@pytest.mark.parametrize("size", [
    b"-1", b"-0", b"+5", b"0x10", b"1e3", b"5.0", b"", b"LAST", b"5LAST",
    b"\xd9\xa3", b"%d" % 2 ** 63, b"%d" % (2 ** 64 - 1), b"%d" % 2 ** 64,
    b"%d LAST" % (2 ** 64 + 5), b"9" * 3000,
    b"9" * 5000, b"5\0", b"5\tLAST",
])
def test_sizes_that_are_none(proxy, backend, size):
    """Nobody can tell how much follows, so nothing of it is a command."""
    with proxy.session() as client:
        client.begin("joe@example.org")
        client.send(b"BDAT " + size + b"\r\n" + SMUGGLED)
        assert client.reply().code in (500, 501)
        client.expect_closed()
    assert backend.messages == []
    assert not any("victim" in c for c in backend.commands)
    still_works(proxy)


@pytest.mark.parametrize("size", [2 ** 31 - 1, 2 ** 31, 2 ** 32, 2 ** 63 - 1])
@pytest.mark.parametrize("last", [b"", b" LAST"])
def test_huge_chunks(waypost, backend, size, last):
    """As much as comes is taken, as fast as the backend takes it. All of it
    is the message."""
    proxy = waypost(static_passdb(backend))
    with proxy.session() as client, Growth(proxy, MIB):
        client.begin("joe@example.org")
        client.send(b"BDAT %d%s\r\n" % (size, last) + SMUGGLED)
        client.send((b"x" * 78 + b"\r\n") * 100000)
        client.half_close()
        client.expect_closed()
    assert backend.messages == []
    assert not any("victim" in c for c in backend.commands)
    still_works(proxy)


def test_sum_of_chunks_cannot_overflow(backend, waypost):
    proxy = waypost(static_passdb(backend) + "lmtp_max_message_size = 1000\n")
    with proxy.session() as client:
        client.begin("joe@example.org")
        client.send(bdat(b"x" * 900) + bdat(b"x" * 900))
        first, second = client.replies(2)
        assert first == 250 and second == 552
        client.send(b"BDAT %d LAST\r\n" % (2 ** 63 - 1) + SMUGGLED)
        client.half_close()
        client.expect_closed()
    assert backend.messages == []
    still_works(proxy)


# --- much of everything ---

# Each recipient takes about 1,400 bytes while its transaction lasts.
@pytest.mark.parametrize("limit,accepted,memory", [(None, 1000, 4),
                                                   (0, 10000, 16)])
def test_ten_thousand_recipients(backend, waypost, limit, accepted, memory):
    proxy = waypost(static_passdb(backend) + (
        "" if limit is None else f"lmtp_max_recipients = {limit}\n"))
    count = 10000
    with proxy.session() as client, Growth(proxy, memory * MIB):
        assert client.mail() == 250
        lines = b"".join(b"RCPT TO:<u%d@example.org>\r\n" % n
                         for n in range(count))
        sender = threading.Thread(target=client.send, args=[lines])
        sender.start()
        replies = client.replies(count)
        sender.join()
        assert [r.code for r in replies] == \
            [250] * accepted + [452] * (count - accepted)
        assert {r.enhanced for r in replies[accepted:]} <= {"4.5.3"}
        assert {r.code for r in client.data("x", accepted)} == {250}
    assert len(backend.wait_messages(1)[0].rcpts) == accepted
    still_works(proxy)


LONG = [b"", b"LHLO ", b"MAIL FROM:<", b"MAIL FROM:<s@x> ", b"RCPT TO:<",
        b'RCPT TO:<"', b"RCPT TO:<@a,@", b"RCPT TO:<joe@example.org> ORCPT=",
        b"DATA ", b"VRFY ", b"NOOP ", b"XCLIENT ", b"AUTH PLAIN ",
        b"STARTTLS "]


def test_commands_of_a_megabyte(backend, waypost):
    proxy = waypost(static_passdb(backend) + "lmtp_max_bad_commands = 100\n")
    with proxy.session() as client, Growth(proxy, MIB):
        client.begin("joe@example.org")
        for start in LONG:
            for filler in (b"x", b" ", b"\xff", b"=", b"@"):
                client.send(start + filler * MIB + b"\r\n")
                assert client.reply() == "500 5.5.2 "
                assert client.command("NOOP") == 250
        assert client.data("x", 1)[0] == 250


def test_pipelined_garbage(proxy, backend):
    """Megabytes of bad commands in one go: some replies, and the end."""
    with proxy.connect() as client, Growth(proxy, MIB):
        def flood():
            try:
                client.send(b"\x00\xff\x7f what?\r\n" * 400000)
            except OSError:
                pass
        sender = threading.Thread(target=flood)
        sender.start()
        codes = []
        try:
            while True:
                codes.append(client.reply().code)
        except Disconnected:
            pass
        sender.join()
        assert codes == [500] * 10 + [421]
    still_works(proxy)


PARTS = [b"LHL", b"LHLO c\r\nMAIL FROM:<s@exam",
         b"LHLO c\r\nMAIL FROM:<s@example.net>\r\nRCPT TO:<joe@ex",
         b"LHLO c\r\nMAIL FROM:<s@example.net>\r\nRCPT TO:<joe@example.org>\r\n"
         b"DATA\r\nSubject: slow\r\n\r\nand slow",
         b"LHLO c\r\nMAIL FROM:<s@example.net>\r\nRCPT TO:<joe@example.org>\r\n"
         b"BDAT 100000 LAST\r\nslow"]


def test_slowloris_by_the_hundreds(backend, waypost):
    """None of them gets to the end of what it says; others are served in the
    meantime, from first to last."""
    proxy = waypost(static_passdb(backend) + "lmtp_client_timeout = 60 secs\n")
    slow = [(Client(proxy.address), PARTS[n % len(PARTS)])
            for n in range(400)]
    longest = max(map(len, PARTS))
    for at in range(longest):
        for client, part in slow:
            if at < len(part):
                client.send(part[at:at + 1])
        if at % 20 == 0:
            still_works(proxy)
    for _ in range(20):
        for client, _part in slow:
            client.send(b"x")
        still_works(proxy)
    done = [m.rcpts for m in backend.messages]
    assert done == [["after@example.org"]] * len(done)
    for client, _part in slow:
        client.close()
    still_works(proxy)


# --- backends ---

EVERYTHING = [
    "PIPELINING", "ENHANCEDSTATUSCODES", "8BITMIME", "CHUNKING", "BINARYMIME",
    "SMTPUTF8", "DSN", "SIZE 18446744073709551615", "XRCPTFORWARD",
    "XCLIENT ADDR PORT PROTO HELO LOGIN SESSION TTL TIMEOUT", "STARTTLS",
    "AUTH PLAIN LOGIN", "ETRN", "BURL imap", "DELIVERBY 1", "FUTURERELEASE 1 1",
    "MT-PRIORITY", "LIMITS RCPTMAX=1 MAILMAX=1", "REQUIRETLS", "VRFY", "HELP"]


@pytest.mark.parametrize("stage", ["mail", "rcpt", "data", "chunk", "dot"])
def test_announces_everything_and_answers_nothing(backends, waypost, stage):
    backend = backends(capabilities=EVERYTHING)
    asked = []
    backend.on(stage, lambda conn, _arg: asked.append(conn))
    proxy = waypost(static_passdb(backend) + QUICK)
    with proxy.session() as client:
        assert client.mail() == 250
        reply = client.rcpt("joe@example.org")
        if reply == 250:
            client.send(bdat(b"x" * 300000) + bdat(b"x" * 300000, True))
            # Who takes BDAT is not asked for DATA.
            assert client.replies(2)[1].code == (451 if asked else 250)
        else:
            assert reply.code == 451 and reply.enhanced == "4.4.0"
        assert client.command("RSET") == 250


ODD = [["SIZE -1"], ["SIZE x"], ["SIZE " + "9" * 100], ["SIZE"],
       ["PIPELINING PIPELINING"], ["XCLIENT " + "A " * 200], ["=", "-", "\x7f"],
       ["8BITMIME\t", "CHUNKING x"], ["X" * 400], ["PIPELINING"] * 50]


@pytest.mark.parametrize("number", range(len(ODD)))
def test_odd_capabilities(backends, waypost, number):
    backend = backends(capabilities=ODD[number])
    proxy = waypost(static_passdb(backend) + QUICK)
    with proxy.session() as client:
        for _ in range(2):
            assert attempt(client)[0].code in (250, 451)
    assert proxy.process.poll() is None


@pytest.mark.parametrize("lines", [5000, 200000])
def test_capabilities_of_thousands_of_lines(backend, proxy, lines):
    def flood(conn, _arg):
        for number in range(lines):
            conn.send(b"250-X-CAPABILITY-%d with an argument\r\n" % number)
        return "250 PIPELINING"
    backend.on("lhlo", flood)
    with proxy.session() as client, Growth(proxy, MIB):
        for _ in range(3):
            reply, = attempt(client)
            assert reply.code == 451 and reply.enhanced == "4.4.0"


@pytest.mark.parametrize("flood", [
    b"250 2.0.0 ok\r\n", b"250-and\r\n", b"x", b"\r\n", b"\0",
    b"421 4.3.2 x\r\n",
], ids=["replies", "lines", "no-lines", "empty", "nul", "421"])
def test_floods_while_nobody_asks(proxy, backend, flood):
    """On a kept connection: it goes, and none of it answers anything."""
    backend.on("idle", lambda conn, _arg: [
        conn.send(flood * 10000) for _ in range(50)] and None, times=1)
    with proxy.session() as client, Growth(proxy, MIB):
        assert client.deliver("joe@example.org")[0] == 250
        backend.wait_closed(0)
        backend.on("rcpt", "550 5.1.1 no")
        assert client.mail() == 250
        assert client.rcpt("ann@example.org") == "550 5.1.1 "


def half_close(conn, _arg):
    conn.sock.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("stage", STAGES)
def test_half_closed_by_the_backend(proxy, backend, stage):
    """It would still read, but never answer."""
    backend.on(stage, half_close)
    with proxy.session() as client:
        reply, = attempt(client)
        assert reply.code == 451 and reply.enhanced == "4.4.0"
        backend.script.clear()
        assert attempt(client)[0] == 250


@pytest.mark.parametrize("say", [b"", b"BDAT 10\r\nhalf", b"BDAT 4\r\nhalf",
                                 b"BDAT 4\r\nhalfBDAT 0", b"DATA\r\nhalf\r\n.",
                                 b"BDAT 9 LAST\r\nhalf"])
def test_half_closed_by_the_client(proxy, backend, say):
    with proxy.session() as client:
        client.begin("joe@example.org")
        client.send(say)
        client.half_close()
        with pytest.raises(Disconnected):
            while True:
                assert client.reply().code in (250, 354)
    still_works(proxy)
    assert [m.rcpts for m in backend.messages] == [["after@example.org"]]


@pytest.mark.parametrize("text", [
    b"a\rb", b"a\0b", b"a\x1b[31mb", b"a\x80\xffb", b"a\r\r", b"\t \t",
    b"a\x85\xe2\x80\xa8b", b"%s%n", b"250 2.0.0 ok",
])
@pytest.mark.parametrize("stage", ["rcpt", "dot"])
def test_texts_of_replies_stay_texts(proxy, backend, stage, text):
    """One reply to the client, and one line in the log."""
    backend.on(stage, b"550 5.1.1 " + text + b"\r\n")
    with proxy.session() as client:
        reply, = attempt(client)
        assert reply.code in (451, 550)
        assert len(reply.lines) == 1
        assert not set(reply.raw[0]) & set("\r\n\0\x1b")
        assert client.command("NOOP") == 250
    assert not any(set(line) & set("\r\0\x1b") for line in proxy.lines)


@pytest.mark.parametrize("how", [close, half_close, silent])
def test_chunks_into_nowhere(backends, waypost, how):
    """The backend goes between two chunks: the client's next ones are read and
    dropped, and its last one says so."""
    backend = backends(capabilities=[*CAPABILITIES, "CHUNKING"])
    backend.on("chunk", how)
    proxy = waypost(static_passdb(backend) + QUICK)
    with proxy.session() as client, Growth(proxy, MIB):
        client.begin("joe@example.org")
        for _ in range(40):
            client.send(bdat(b"x" * 100000))
        client.send(bdat(SMUGGLED, last=True))
        replies = client.replies(41)
        assert replies[-1].code == 451
        backend.script.clear()
        assert attempt(client)[0] == 250
    assert not any("victim" in c for c in backend.commands)
