"""Clients that go wrong: no message is delivered that was not finished, and
nobody else is harmed."""
import contextlib
import random
import select

import pytest

from lmtp_client import Client, dot_stuff
from scripted_backend import hold
from waiting import TIMEOUT, wait_until
from waypost import file_passdb, static_passdb


@pytest.fixture
def proxy(backend, waypost):
    return waypost(static_passdb(backend))


def still_works(proxy):
    with proxy.session() as client:
        assert client.deliver("after@example.org")[0] == 250


STEPS = [b"LHLO c\r\n", b"MAIL FROM:<s@example.net>\r\n",
         b"RCPT TO:<joe@example.org>\r\n", b"DATA\r\n", b"half a message\r\n"]


@pytest.mark.parametrize("how", ["close", "reset", "half_close"])
@pytest.mark.parametrize("steps", range(len(STEPS) + 1))
def test_gone_after(proxy, backend, steps, how):
    client = proxy.connect()
    for step in STEPS[:steps]:
        client.send(step)
        if step != STEPS[-1]:
            client.reply()
    getattr(client, how)()
    if how == "half_close":
        client.expect_closed()
    proxy.wait_log(r"Disconnect from 127\.")
    client.close()
    still_works(proxy)
    assert [m.rcpts for m in backend.messages] == [["after@example.org"]]


@pytest.mark.parametrize("how", ["close", "reset"])
def test_gone_in_the_middle_of_a_command(proxy, how):
    client = proxy.connect()
    client.send(b"LHL")
    getattr(client, how)()
    proxy.wait_log(r"Disconnect from 127\.")
    still_works(proxy)


@pytest.mark.parametrize("part", [b".", b".\r", b"\r\n.", b"\r\n.\r"])
def test_gone_within_the_final_dot(proxy, backend, part):
    client = proxy.session()
    client.start_data("joe@example.org")
    client.send(b"x\r\n" + part)
    client.close()
    proxy.wait_log(r"Disconnect from 127\.")
    still_works(proxy)
    assert [m.rcpts for m in backend.messages] == [["after@example.org"]]


@pytest.mark.parametrize("how", ["close", "reset"])
def test_gone_while_waiting_for_rcpt(proxy, backend, how):
    backend.on("rcpt", hold, times=1)
    client = proxy.session()
    client.mail()
    client.send("RCPT TO:<joe@example.org>\r\n")
    backend.wait_held()
    getattr(client, how)()
    backend.release()
    proxy.wait_log(r"Disconnect from 127\.")
    still_works(proxy)
    assert [m.rcpts for m in backend.messages] == [["after@example.org"]]


@pytest.mark.parametrize("how", ["close", "reset"])
def test_gone_while_waiting_for_the_outcome(proxy, backend, how):
    """The message was complete: it takes its course, and the log tells."""
    backend.on("dot", hold, times=1)
    client = proxy.session()
    client.start_data("joe@example.org")
    client.send("x\r\n.\r\n")
    backend.wait_held()
    getattr(client, how)()
    backend.release()
    proxy.wait_log(r": sent .*to=<joe@example\.org>")
    still_works(proxy)


def test_gone_before_the_first_of_two_outcomes(backends, instance):
    """That the first cannot be told any more does not end the second."""
    one, two = backends(), backends()
    proxy = instance()
    proxy.start(file_passdb(proxy, a=one, b=two))
    client = proxy.session()
    for backend in (one, two):
        backend.on("dot", hold)
    client.start_data("a@example.org", "b@example.org")
    client.send("x\r\n.\r\n")
    one.wait_held()
    two.wait_held()
    client.reset()
    one.release()
    proxy.wait_log(r": sent .*to=<a@example\.org>")
    two.release()
    proxy.wait_log(r": sent .*to=<b@example\.org>")


def test_gone_while_connecting_to_the_backend(backends, waypost):
    backend = backends()
    backend.on("connect", hold, times=1)
    proxy = waypost(static_passdb(backend))
    client = proxy.session()
    client.mail()
    client.send("RCPT TO:<joe@example.org>\r\n")
    backend.wait_held()
    client.reset()
    backend.release()
    proxy.wait_log(r"Disconnect from 127\.")
    still_works(proxy)


def test_byte_by_byte(proxy, backend):
    with proxy.connect() as client:
        client.send_slowly("LHLO c\r\nMAIL FROM:<s@example.net>\r\n"
                           "RCPT TO:<joe@example.org>\r\nDATA\r\n")
        assert [r.code for r in client.replies(4)] == [250, 250, 250, 354]
        client.send_slowly(dot_stuff("Subject: x\r\n\r\n.dot\r\n..\r\nend\r\n"))
        assert client.reply() == 250
        client.send_slowly("QUIT\r\n")
        assert client.reply() == 221
    assert backend.wait_messages(1)[0].text == \
        b"Subject: x\r\n\r\n.dot\r\n..\r\nend\r\n"


def test_never_reading(backend, waypost):
    """A client that only sends: it is not read from for ever, and its replies
    do not pile up."""
    proxy = waypost(static_passdb(backend) + "lmtp_client_timeout = 2 secs\n")
    client = Client(proxy.address, rcvbuf=4096)
    client.sock.settimeout(1)
    sent = 0
    with pytest.raises(OSError):
        while sent < 64 * 1024 * 1024:
            sent += client.sock.send(b"NOOP\r\n" * 10000)
    still_works(proxy)
    proxy.wait_log(r"Disconnect from .*inactivity")
    client.close()


def test_never_reading_its_outcomes(backend, waypost):
    """Messages keep being delivered as long as the replies have room; then
    the session ends, and each delivery is in the log."""
    proxy = waypost(static_passdb(backend) + "lmtp_client_timeout = 2 secs\n")
    client = Client(proxy.address, rcvbuf=4096)
    client.send(b"LHLO c\r\n" + 1000 * (
        b"MAIL FROM:<s@example.net>\r\nRCPT TO:<joe@example.org>\r\n"
        b"DATA\r\nx\r\n.\r\n"))
    proxy.wait_log(r"Disconnect from .*inactivity")
    still_works(proxy)
    assert len(backend.messages) > 10
    proxy.wait_log(": sent from=", count=len(backend.messages))
    client.close()


def test_silent_client(backend, waypost):
    proxy = waypost(static_passdb(backend) + "lmtp_client_timeout = 1 secs\n")
    with proxy.session() as client:
        assert client.reply() == \
            "421 4.4.2 proxy.example Disconnected for inactivity"
        client.expect_closed()


def test_silent_in_data(backend, waypost):
    proxy = waypost(static_passdb(backend) + "lmtp_client_timeout = 1 secs\n")
    with proxy.session() as client:
        client.start_data("joe@example.org")
        client.send("half\r\n")
        assert client.reply() == "421 4.4.2 "
        client.expect_closed()
    still_works(proxy)
    assert [m.rcpts for m in backend.messages] == [["after@example.org"]]


def test_dripping_in_data(backend, waypost):
    """A byte now and then is not enough; nor does it make a message."""
    proxy = waypost(static_passdb(backend) + "lmtp_client_timeout = 1 secs\n"
                    "lmtp_client_min_rate = 1 M\n")
    with proxy.session() as client:
        client.start_data("joe@example.org")
        for _ in range(int(10 * TIMEOUT)):
            if select.select([client.sock], [], [], 0.1)[0]:
                break
            client.send("x")
        assert client.reply() == "421 4.4.2 "
    still_works(proxy)
    assert [m.rcpts for m in backend.messages] == [["after@example.org"]]


def test_waiting_client_is_not_silent(backend, waypost):
    """While we owe an answer, the client's timeout does not run out."""
    backend.on("rcpt", hold)
    proxy = waypost(static_passdb(backend) + "lmtp_client_timeout = 1 secs\n")
    with proxy.session() as client:
        client.mail()
        client.send("RCPT TO:<joe@example.org>\r\n")
        client.expect_silence(2.5)
        backend.release()
        assert client.reply() == 250


def test_http_client(proxy):
    with proxy.connect() as client:
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert {r.code for r in client.replies(3)} == {500}


def test_tls_client(proxy):
    with proxy.connect() as client:
        client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" +
                    bytes(range(256)) * 2 + b"\r\n")
        assert client.reply().code == 500


def test_endless_line(proxy):
    with proxy.connect() as client:
        for _ in range(100):
            client.send(b"x" * 65536)
        client.send("\r\nNOOP\r\n")
        assert [r.code for r in client.replies(2)] == [500, 250]


def test_many_that_come_and_go(proxy, backend):
    clients = [proxy.connect(greeting=False) for _ in range(100)]
    for number, client in enumerate(clients):
        (client.close, client.reset)[number % 2]()
    wait_until(lambda: proxy.log.count("Disconnect from") >= 100,
               "all to be gone")
    still_works(proxy)


def test_connect_and_say_nothing(proxy):
    """Load balancers' probes: no errors in the log."""
    proxy.connect(greeting=False).close()
    proxy.wait_log(r"Disconnect from")
    assert "Error" not in proxy.log


def test_input_that_waits_is_bounded(backend, waypost):
    """Megabytes of commands behind a RCPT that is not answered yet."""
    backend.on("rcpt", hold)
    proxy = waypost(static_passdb(backend))
    with proxy.session() as client:
        client.mail()
        client.send("RCPT TO:<joe@example.org>\r\n")
        backend.wait_held()
        client.sock.setblocking(False)
        line, sent = b"NOOP " + b"x" * 993 + b"\r\n", 0
        try:
            while sent < 100 * 1024 * 1024:
                sent += client.sock.send(line * 100)
        except BlockingIOError:
            pass
        assert sent < 50 * 1024 * 1024
        client.sock.settimeout(TIMEOUT)
        backend.release()
        assert client.reply() == 250
        assert {r.code for r in client.replies(sent // len(line))} == {250}


def test_random_bytes(proxy):
    """Noise ends in errors, not in harm."""
    source = random.Random(4)
    for _ in range(20):
        with proxy.connect() as client:
            with contextlib.suppress(ConnectionError):
                client.send(bytes(source.choices(range(256), k=20000)))
                client.half_close()
                while client.sock.recv(65536):
                    pass
    still_works(proxy)


def test_noise_around_a_message(proxy, backend):
    with proxy.session() as client:
        client.send(b"\xff\xfe\r\nMAIL FROM:<s@example.net>\r\nFROB\r\n"
                    b"RCPT TO:<joe@example.org>\r\nRCPT TO:<\xff>\r\nDATA\r\n"
                    b"x\r\n.\r\n\0\0\r\nQUIT\r\n")
        assert [r.code // 100 for r in client.replies(9)] == \
            [5, 2, 5, 2, 5, 3, 2, 5, 2]
    assert backend.wait_messages(1)[0].rcpts == ["joe@example.org"]


@pytest.mark.parametrize("how", ["close", "reset", "half_close"])
@pytest.mark.parametrize("size", [1000, 120000, 1000000])
def test_gone_after_a_pipelined_part(proxy, backend, how, size):
    """Envelope, DATA and a part of the body, without waiting for 354."""
    client = proxy.connect()
    client.send(b"".join(STEPS[:4]) + b"half\r\n" * (size // 6))
    client.replies(4)
    getattr(client, how)()
    proxy.wait_log(r"Disconnect from 127\.")
    client.close()
    still_works(proxy)
    assert [m.rcpts for m in backend.messages] == [["after@example.org"]]


def test_reset_is_noticed_while_a_backend_is_waited_for(proxy, backend):
    """Not only once the backend has answered."""
    backend.on("rcpt", hold, times=1)
    client = proxy.session()
    client.mail()
    client.send("RCPT TO:<joe@example.org>\r\n")
    backend.wait_held()
    client.reset()
    proxy.wait_log(r"Disconnect from 127\.")
    backend.release()
    still_works(proxy)


def test_half_close_with_replies_owed(proxy, backend):
    backend.on("dot", hold)
    with proxy.session() as client:
        client.send("MAIL FROM:<s@example.net>\r\n"
                    "RCPT TO:<joe@example.org>\r\nDATA\r\nx\r\n.\r\n")
        client.half_close()
        backend.wait_held()
        backend.release()
        assert [r.code for r in client.replies(4)] == [250, 250, 354, 250]
        client.expect_closed()
