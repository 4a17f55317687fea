"""What hostile clients of the control interface cost: memory is measured, and has
a limit, whoever they are; mail goes on meanwhile."""
import contextlib
import http.client
import socket

import pytest

from control import Control
from ports import LOCALHOST, free_port, other_host
from processes import has_tsan, is_sanitized, open_fds, rss
from test_control import large_answer
from test_spool import MIB
from waiting import TIMEOUT, wait_until
from waypost import static_passdb

TOKEN = "Authorization: Bearer sesame\r\n"
HEAD = f"HTTP/1.1\r\nHost: a\r\n{TOKEN}"
# With sanitizers memory is not measured.
CLIENTS, PIPELINED = (300, 200) if is_sanitized() else (1000, 2000)


def http_config(port):
    return ("http_token = sesame\nservice http {\n  inet_listener http {\n"
            f"    address = {LOCALHOST}\n    port = {port}\n  }}\n}}\n")


class Crowd:
    """Clients who do not read: on TCP, and as many on the UNIX socket, unless
    they would be welcome there."""

    def __init__(self, proxy, count=CLIENTS, tcp_only=False, source=LOCALHOST):
        self.socks = []
        for number in range(count):
            if number % 2 and not tcp_only:
                sock = socket.socket(socket.AF_UNIX)
                sock.settimeout(TIMEOUT)
                sock.connect(Control(proxy).path)
            else:
                sock = socket.create_connection((LOCALHOST, proxy.http),
                                                TIMEOUT, (source, 0))
            self.socks.append(sock)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        for sock in self.socks:
            sock.close()

    def send(self, *pieces):
        for piece in pieces:
            data = piece.encode()
            for sock in self.socks:
                try:
                    sock.setblocking(False)
                    sock.send(data)
                except OSError:
                    pass  # has been closed, or does not read either

    def closed(self):
        """How many the server has."""
        count = 0
        for sock in self.socks:
            sock.setblocking(False)
            try:
                count += sock.recv(65536) == b""
            except BlockingIOError:
                pass
            except ConnectionError:
                count += 1
        return count

    def ask(self, path, together):
        """From somebody who may. Each has a part of an answer in the end, unless
        none will come; together: at a time, or one after the other."""
        request = f"GET {path} {HEAD}\r\n".encode()
        for sock in self.socks:
            with contextlib.suppress(ConnectionError):
                sock.sendall(request)
                if not together:
                    sock.recv(1, socket.MSG_PEEK)
        for sock in self.socks:
            with contextlib.suppress(ConnectionError):
                sock.recv(1, socket.MSG_PEEK)


@pytest.fixture
def proxy(backend, instance):
    one = instance()
    one.http = free_port()
    one.start(static_passdb(backend) + http_config(one.http))
    with one.session() as client:
        client.deliver("joe@example.org")
    answers(one)
    return one


def get(proxy, path):
    connection = http.client.HTTPConnection(LOCALHOST, proxy.http, timeout=TIMEOUT)
    try:
        connection.request("GET", path,
                           headers={"Authorization": "Bearer sesame"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def answers(proxy):
    assert Control(proxy).request("/healthz") == (200, "ok\n")
    assert get(proxy, "/healthz") == (200, "ok\n")


def costs(proxy, before, limit):
    """What the worker process has grown by, now."""
    grown = rss(proxy) - before
    print(f"grown by {grown / MIB:.1f} MiB, of {limit / MIB:.0f}")
    assert is_sanitized() or grown < limit


BODY = "POST /v1/reload " + HEAD + "Content-Length: 65536\r\n\r\n"
CROWDS = {
    "silent": [""],
    "slow": list("GET /metrics HTTP/1.1\r\nX: "),
    "long line": ["GET /" + "x" * 8000],
    "many fields": ["GET / HTTP/1.1\r\n" + "A: b\r\n" * 1300],
    "endless field": ["GET / HTTP/1.1\r\nA: "] + ["x" * 60000] * 5,
    "half a body": [BODY, "x" * 65000],
    "endless body": [BODY.replace("65536", "999999999")] + ["x" * 60000] * 5,
    "pipelined": ["GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n" * PIPELINED],
    "no HTTP": ["\x16\x03\x01" + "\x00" * 60000],
}


@pytest.mark.parametrize("kind", CROWDS)
def test_many_clients(proxy, kind):
    """At most 256 by TCP and 64 on the UNIX socket are there at a time."""
    before, fds = rss(proxy), open_fds(proxy)
    with Crowd(proxy, tcp_only=kind == "pipelined") as crowd:
        crowd.send(*CROWDS[kind])
        answers(proxy)
        # 64 KiB of a body for each of 320, and as much that is free again, of those
        # who have made room, but lies in between.
        costs(proxy, before, 40 * MIB)
        with proxy.session() as client:
            client.deliver("joe@example.org")
    # The other thread may have a connection to the backend by now.
    wait_until(lambda: open_fds(proxy) <= fds + 1, "descriptors to be closed")


def ask_on(connection, path, headers=None):
    connection.request("GET", path, headers=headers or {})
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 200


@pytest.mark.parametrize("kind", ["silent", "pipelined", "half a body"])
def test_a_crowd_makes_room_for_itself(proxy, kind):
    """It comes from another address than those who were there before, and have shown
    no token either; there are 256 places."""
    few = [http.client.HTTPConnection(LOCALHOST, proxy.http, timeout=TIMEOUT)
           for _ in range(2)]
    for connection in few:
        ask_on(connection, "/healthz")
        connection.auto_open = 0
    with Crowd(proxy, 300, tcp_only=True, source=other_host(1)) as crowd:
        crowd.send(*CROWDS[kind])
        wait_until(lambda: crowd.closed() >= 300 - 256 + len(few),
                   "the crowd to make room")
        ask_on(few[0], "/healthz")
        ask_on(few[1], "/metrics", {"Authorization": "Bearer sesame"})
        for connection in few:
            connection.close()


def large_sessions(proxy):
    """Sessions that take some MiB to show."""
    address = "{}@" + ".".join(["x" * 60] * 3) + ".example"
    clients = [proxy.session() for _ in range(30)]
    for client in clients:
        client.mail()
        client.pipeline(*[f"RCPT TO:<{address.format(i)}>"
                          for i in range(900)])
    return clients


# All of it is done by one thread at a time.
not_with_tsan = pytest.mark.skipif(has_tsan(), reason="megabytes take too long")


@not_with_tsan
@pytest.mark.parametrize("together", [True, False])
def test_sessions_that_nobody_reads(proxy, together):
    clients = large_sessions(proxy)
    path = "/v1/sessions?limit=100000"
    assert len(large_answer(lambda: get(proxy, path))) > 4 * MIB
    before = rss(proxy)
    with Crowd(proxy, 120 if together else 40) as crowd:
        crowd.ask(path, together)
        costs(proxy, before, 80 * MIB)
    wait_until(lambda: get(proxy, path)[0] == 200, "room again")
    for client in clients:
        client.close()


@not_with_tsan
def test_metrics_that_nobody_reads(backend, instance):
    """Of as many backends as are counted one by one."""
    proxy = instance()
    proxy.http = free_port()
    proxy.start("passdb {\n  driver = static\n  args = nopassword=y proxy=y "
                f"hostip={backend.host} host=%n.example port={backend.port}\n}}\n"
                + http_config(proxy.http))
    with proxy.session() as client:
        client.mail()
        client.pipeline(*[f"RCPT TO:<u{i}@x>" for i in range(300)])
    status, body = get(proxy, "/metrics")
    assert status == 200 and len(body) > MIB
    before = rss(proxy)
    with Crowd(proxy, 20 if is_sanitized() else 120) as crowd:
        crowd.ask("/metrics", together=True)
        costs(proxy, before, 80 * MIB)
    wait_until(lambda: get(proxy, "/metrics")[0] == 200, "room again")
