"""The system calls of one message, which bench/README.md explains one by one: each
more of them costs more than most of our own code."""
import re
import signal
import subprocess

import pytest

import servers
from waiting import TIMEOUT
from waypost import static_passdb

MESSAGES = 40
PIPELINED = (b"MAIL FROM:<s@example.net>\r\nRCPT TO:<joe@example.org>\r\n"
             b"DATA\r\n")
SOCKETS = ("recvfrom", "sendto", "sendmsg")
# What memory, logs, threads and sanitizers need now and then.
NOW_AND_THEN = {"write", "writev", "futex", "mmap", "munmap", "madvise", "brk",
                "mprotect", "sched_yield", "clock_gettime", "getpid", "gettid",
                "restart_syscall", "gettimeofday", "nanosleep"}


class Trace:
    """with Trace(proxy) as trace: what its worker process asks the system for."""

    def __init__(self, proxy):
        self.pid, = proxy.workers()
        self.counts = {}

    def __enter__(self):
        self.strace = subprocess.Popen(
            [servers.find("strace"), "-f", "-c", "-U", "calls,name", "-p",
             str(self.pid)], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        line = self.strace.stderr.readline()
        assert "attached" in line, line
        return self

    def __exit__(self, *_exc):
        self.strace.send_signal(signal.SIGINT)
        _, text = self.strace.communicate(timeout=TIMEOUT)
        self.counts = {name: int(count) / MESSAGES for count, name in
                       re.findall(r"^ *(\d+) (\w+)$", text, re.M)
                       if name != "total"}


def in_step(client):
    for line, code in ((b"MAIL FROM:<s@example.net>\r\n", 250),
                       (b"RCPT TO:<joe@example.org>\r\n", 250),
                       (b"DATA\r\n", 354)):
        client.send(line)
        assert client.reply() == code
    client.send(b"x" * 4000 + b"\r\n.\r\n")
    assert client.reply() == 250


def pipelined(client):
    client.send(PIPELINED)
    assert [r.code for r in client.replies(3)] == [250, 250, 354]
    client.send(b"x" * 4000 + b"\r\n.\r\n")
    assert client.reply() == 250


def new_connection(proxy):
    with proxy.session() as client:
        in_step(client)
        client.quit()


@pytest.fixture
def proxy(backend, instance):
    proxy = instance()
    proxy.threads = 1
    proxy.start(static_passdb(backend))
    new_connection(proxy)  # opens the connection to the backend
    return proxy


def sockets(trace):
    return sum(trace.counts.get(name, 0) for name in SOCKETS)


def others(trace, *expected):
    """Calls that nobody has thought of."""
    known = {*SOCKETS, "epoll_wait", *expected} | NOW_AND_THEN
    return {name for name, count in trace.counts.items()
            if name not in known and count > 0.1}


@pytest.mark.needs_root
@pytest.mark.needs("strace")
@pytest.mark.parametrize("message,least,most", [(in_step, 14, 15),
                                                (pipelined, 8, 11)])
def test_connection_that_stays(proxy, message, least, most):
    """Of a client that waits for each reply, 4 reads and 4 replies, and 3 and 3
    of the backend. One that pipelines has 2 and 2, and so has the backend, whose
    replies may come one by one."""
    with proxy.session() as client:
        message(client)
        with Trace(proxy) as trace:
            for _ in range(MESSAGES):
                message(client)
    assert least - 0.5 < sockets(trace) < most, trace.counts
    assert trace.counts["epoll_wait"] <= 8, trace.counts
    assert not others(trace), trace.counts


@pytest.mark.needs_root
@pytest.mark.needs("strace")
def test_new_connection_each_time(proxy):
    """The greeting, LHLO and QUIT besides; the backend's connection is kept."""
    with Trace(proxy) as trace:
        for _ in range(MESSAGES):
            new_connection(proxy)
    assert sockets(trace) <= 14 + 5 + 1, trace.counts
    assert trace.counts["accept4"] <= 1.2, trace.counts
    assert trace.counts["close"] <= 1.2, trace.counts
    assert trace.counts["epoll_ctl"] <= 2.2, trace.counts
    assert not others(trace, "accept4", "close", "epoll_ctl", "shutdown"), \
        trace.counts
