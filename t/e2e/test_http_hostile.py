"""The passdb http-sql, and stores that speak HTTP badly or with malice."""
import fcntl
import gzip
import json
import re
import sys
import termios
import threading
import zlib

import pytest

from http_sql import (JOE, TEMPORARY, put, rcpt, store, stores,  # noqa: F401
                      with_sql)
from sql_stores import Postgrest, raw, response, says
from waiting import TIMEOUT, wait_until

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
ROWS = {"results": [{"columns": ["host"], "values": [["192.0.2.1"]]}]}


def worker_kb(proxy):
    """The most memory that the worker process ever had."""
    pid, = proxy.workers()
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read())[1])


def endless(start, again):
    """start, and then again until the other side has had enough."""
    def act(store, conn, _request):
        try:
            conn.sendall(start)
            while not store.closing.is_set():
                conn.sendall(again)
        except OSError:
            pass
        return False
    return act


def usual(before=b"", change=lambda data: data, close=False):
    """The right answer, with something in front of it, or changed."""
    def act(store, conn, request):
        conn.sendall(before + change(store.respond(request)))
        return not close
    return act


def body(data, *headers):
    """An answer of raw bytes."""
    return raw(response(200, data, headers))


def chunked(data):
    head, _, content = data.partition(b"\r\n\r\n")
    head = re.sub(rb"\r\nContent-Length: \d+", b"", head)
    chunks = b"".join(b"1;ext=\"x\"\r\n%c\r\n" % byte for byte in content)
    return (head + b"\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks +
            b"0\r\nX-Trailer: x\r\n\r\n")


def version(number):
    return lambda data: data.replace(b"HTTP/1.1", b"HTTP/" + number, 1)


def until_close(data):
    return re.sub(rb"\r\nContent-Length: \d+", b"", version(b"1.0")(data))


def kind(name):
    return lambda data: data.replace(b"application/json", name)


def unread(conn):
    """Bytes that were sent and have not arrived."""
    return int.from_bytes(fcntl.ioctl(conn, termios.TIOCOUTQ, b"\0" * 4),
                          sys.byteorder)


def drip(store, conn, request):
    for byte in store.respond(request):
        conn.sendall(bytes([byte]))
        wait_until(lambda: unread(conn) == 0, "each byte alone")
    return True


@pytest.mark.parametrize("act", [
    drip, usual(b"HTTP/1.1 100 Continue\r\n\r\n"),
    usual(b"HTTP/1.1 102 Processing\r\n\r\n" * 3 +
          b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"),
    usual(change=chunked),
    usual(change=version(b"1.0"), close=True),
    usual(change=until_close, close=True),
    usual(change=lambda d: d.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n"
                                     b"\r\n", 1)),
    # What it is is told by what it says.
    usual(change=kind(b"text/html")), usual(change=kind(b"")),
    usual(change=lambda d: d.replace(b"Whatever", b"")),
    usual(change=lambda d: d.replace(b"\r\n\r\n", b"\r\n" + b"X: " +
                                     b"x" * 8000 + b"\r\n\r\n", 1)),
    usual(change=lambda d: d.replace(b"\r\n\r\n", b"\r\nSet-Cookie: a=b\r\n"
                                     b"Strict-Transport-Security: "
                                     b"max-age=9999\r\nAlt-Svc: "
                                     b'h2="192.0.2.1:1"\r\n\r\n', 1)),
])
def test_odd_but_right(store, backend, with_sql, act):
    put(store, backend)
    store.script(act, act)
    proxy = with_sql(store.config())
    for _ in range(3):
        assert rcpt(proxy) == 250
    assert "Error" not in proxy.log
    assert all("cookie" not in request.headers for request in store.requests)


@pytest.mark.parametrize("act,log", [
    (raw(b"HTT"), "Empty reply"),
    (raw(OK + b"Content-Le"), "no JSON, or cut off"),
    (raw(OK + b"Content-Length: 20\r\n\r\n"), "closed.*HTTP status 200"),
    (raw(OK + b"Content-Length: -5\r\n\r\n"), "Content-Length"),
    (raw(OK + b"Content-Length: 99999999999999999999999\r\n\r\n"),
     "no JSON, or cut off"),
    (raw(OK + b"Content-Length: 2\r\n\r\n" + json.dumps(ROWS).encode()),
     "no JSON, or cut off"),
    (raw(CHUNKED + b"5\r\n{\"re"), "HTTP status 200"),
    (raw(CHUNKED + b"5\r\n{\"resXX"), "HTTP status 200"),
    (raw(CHUNKED + b"fffffffffffffffff\r\n"), "HTTP status 200"),
    (raw(CHUNKED + b"-1\r\n\r\n"), "HTTP status 200"),
    (raw(CHUNKED + b"zz\r\n\r\n"), "HTTP status 200"),
    (raw(CHUNKED + b"0\r\n"), "HTTP status 200|no JSON"),
    (raw(b"HTTP/1.0 200 OK\r\n\r\n" + json.dumps(ROWS).encode()[:-1]),
     "no JSON, or cut off"),
    (raw(b"HTTP/2 200\r\n\r\n{}"), "does not hold one result"),
    (raw(b"HTTP/200 OK\r\nContent-Length: 2\r\n\r\n{}"),
     "the answer has no status"),
    (raw(b"HTTP/1.1 045 x\r\nContent-Length: 2\r\n\r\n{}"),
     "Unsupported response code|no status"),
    (raw(b"HTTP/1.1 999 x\r\nContent-Length: 0\r\n\r\n"), "999"),
    (raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"),
     "HTTP status 101"),
    (raw(b"HTTP/1.1 206 Partial\r\nContent-Length: 2\r\n\r\n{}"),
     "HTTP status 206"),
    (raw(b"\x16\x03\x01\x00\x05hello"), "HTTP/0.9|Weird"),
    (endless(OK, b"X-Header: " + b"x" * 1000 + b"\r\n"), "headers are too l"),
    (endless(OK + b"X: ", b"x" * 4096), "headers are too large"),
    (endless(b"", b"HTTP/1.1 102 Processing\r\nX: x\r\n\r\n"),
     "headers are too large"),
    (endless(b"", b"x" * 4096), "HTTP/0.9|Weird"),
    (endless(OK + b"\r\n", b" " * 4096), "the answer is too large"),
    (endless(CHUNKED, b"1000\r\n" + b" " * 4096 + b"\r\n"),
     "the answer is too large"),
    (endless(CHUNKED, b"1\r\n \r\n" * 999), "the answer is too large"),
    (endless(CHUNKED + b"1;", b"x" * 4096), "no answer within 2000 ms"),
    (endless(CHUNKED + b"2\r\n{}\r\n0\r\n", b"X: " + b"x" * 900 + b"\r\n"),
     "headers are too large"),
    # Nobody asked for compression, and who does it all the same is not
    # allowed to fill the memory.
    (body(gzip.compress(json.dumps(ROWS).encode()),
          "Content-Encoding: gzip"), "no JSON"),
    (body(gzip.compress(b" " * 10**7), "Content-Encoding: gzip"), "no JSON"),
    (raw(OK + b"Transfer-Encoding: gzip\r\n\r\n" +
         gzip.compress(b" " * 10**7)), "too large|HTTP status 200"),
    (raw(OK + b"Transfer-Encoding: deflate, chunked\r\n\r\n" + b"%x\r\n" %
         len(zlib.compress(b" " * 10**7)) + zlib.compress(b" " * 10**7) +
         b"\r\n0\r\n\r\n"), "too large|HTTP status 200"),
    (body("[" * 20000), "no JSON"),
    (body('{"a":' * 10000), "no JSON"),
    (body('{"results":[],"results":' + json.dumps(ROWS["results"]) + "}"),
     "no JSON.*duplicate"),
    (body('{"error":"\\ud800"}'), "no JSON"),
    (body(b"\xef\xbb\xbf" + json.dumps(ROWS).encode()), "no JSON"),
    (body(json.dumps(ROWS).encode() + b"\0"), "no JSON"),
    (body(b"\0\x01\x1b[2J"), r"no JSON.*\?\\x01\\x1b"),
    (body({"results": [{"error": {"code": 5}, "columns": ["host"]}]}),
     "the store says"),
    (body({"error": ["x"], **ROWS}), "the store says"),
])
def test_failures(store, backend, with_sql, act, log):
    put(store, backend)
    # Only one that answers for ever is waited for in vain.
    patience = "2 secs" if "no answer" in log else "10 secs"
    proxy = with_sql(store.config(f"timeout = {patience}\n"))
    store.script(act)
    before = worker_kb(proxy)
    assert rcpt(proxy).raw == [TEMPORARY]
    line = proxy.wait_log(rf"Error: .*{JOE}.*{re.escape(store.url)}: ")
    assert re.search(log, line), line
    assert len(line) < 1000
    assert worker_kb(proxy) - before < 8000, "what it may take is 64 kB"
    assert "accept-encoding" not in store.requests[0].headers
    # Nothing of the answer is left for the next one.
    assert rcpt(proxy) == 250
    assert rcpt(proxy, "nobody@example.org") == "550 "


@pytest.mark.parametrize("status", (301, 302, 303, 307, 308))
def test_redirects_are_not_followed(stores, backend, with_sql, status):
    one, two = stores(), stores()
    put(two, backend)
    one.script(says(status, "", [f"Location: {two.url}/db/query"]))
    proxy = with_sql(one.config())
    assert rcpt(proxy).raw == [TEMPORARY]
    proxy.wait_log(rf"Error: .*{re.escape(one.url)}: HTTP status {status}: "
                   "redirects are not followed")
    assert not two.requests and not two.connections


# --- connections that are kept ---

def close_without_a_word(_store, _conn, _request):
    return False


def test_connection_closed_under_a_request(store, backend, with_sql):
    """A kept connection that ends just when the next lookup is sent on it."""
    put(store, backend)
    proxy = with_sql(store.config())
    assert rcpt(proxy) == 250
    store.script(close_without_a_word)
    assert rcpt(proxy) == 250
    assert len(store.requests) == 3 and store.connections == 2
    assert "Error" not in proxy.log


def test_new_connection_closed_under_a_request(store, backend, with_sql):
    put(store, backend)
    store.script(close_without_a_word)
    proxy = with_sql(store.config())
    assert rcpt(proxy).raw == [TEMPORARY]
    assert len(store.requests) == 1


class AnswersTwice:
    """The answer, and once that was read, one that nobody has asked for."""
    def __init__(self):
        self.read, self.sent = threading.Event(), threading.Event()

    def __call__(self, store, conn, request):
        conn.sendall(store.respond(request))
        assert self.read.wait(TIMEOUT)
        conn.sendall(store.respond(request))
        wait_until(lambda: unread(conn) == 0, "the kernel of the other side")
        self.sent.set()
        return True


@pytest.mark.parametrize("more", (False, True))
def test_an_answer_nobody_asked_for(store, backends, with_sql, more):
    """It must not become the answer for the next user. Stores at the same
    address are the same for the HTTP client."""
    one, two = backends(), backends()
    put(store, one)
    put(store, two, "ann@example.org")
    twice = AnswersTwice()
    store.script(*[says(404, "")] * more, twice)
    proxy = with_sql(store.config(f"url = {store.url}/more\n" * more +
                                  "max_connections = 1\n"))
    assert rcpt(proxy) == 250
    twice.read.set()
    assert twice.sent.wait(TIMEOUT)
    assert rcpt(proxy, "ann@example.org") == 250
    assert not [c for c in one.commands if "ann" in c]
    assert [c for c in two.commands if "ann" in c]


def test_two_answers_at_once(store, backends, with_sql):
    one, two = backends(), backends()
    put(store, one)
    put(store, two, "ann@example.org")
    store.script(usual(change=lambda data: data * 2))
    proxy = with_sql(store.config("max_connections = 1\n"))
    assert rcpt(proxy) == 250
    assert rcpt(proxy, "ann@example.org") == 250
    assert not [c for c in one.commands if "ann" in c]


# --- what is in the rows ---

def one_row(**columns):
    return says(200, {"results": [{"columns": list(columns),
                                   "values": [list(columns.values())]}]})


@pytest.mark.parametrize("columns", [
    {"host": "127.0.0.1\r\nRCPT TO:<x@y>"}, {"host": "127.0.0.1\n"},
    {"host": ""}, {"host": 5}, {"host": "127.0.0.1 192.0.2.1"},
    {"port": "x"}, {"port": True}, {"port": 24.5}, {"port": -1},
    {"port": 65536}, {"port": 2**62}, {"port": ""},
    {"destuser": "x>\r\nRCPT TO:<y"}, {"destuser": "x\r\n"},
    {"destuser": "x\0y"},
    {"user": ""}, {"user": "x>\r\nRCPT TO:<y"},
    {"": "x"}, {"protocol": "x"}, {"ssl": "maybe"},
])
def test_values_that_cannot_be(store, backend, with_sql, columns):
    """They defer, and reach neither a backend nor a client."""
    row = {"proxy": "y", "host": backend.host, "port": backend.port}
    proxy = with_sql(store.config())
    store.script(one_row(**{**row, **columns}))
    reply = rcpt(proxy)
    assert reply.code // 100 == 4, reply
    assert len(reply.raw) == 1
    assert not [c for c in backend.commands if c.startswith("RCPT")]
    proxy.wait_log(rf"(Error|Info): .*{JOE}")


@pytest.mark.parametrize("columns", [
    {}, {"port": "24.0"}, {"proxy": True}, {"proxy": 1}, {"proxy": ""},
    {"x" * 5000: "y"}, {"a b\r\n": "x\r\n"}, {"forward_x": "a\r\nb\tc"},
    {"host:remove": None, "port:remove": None}, {"nosuch": [1][0]},
    {"password": "{PLAIN}\n"}, {"proxy_timeout": 5.0}, {"destuser": ">"},
])
def test_values_that_do_no_harm(store, backend, with_sql, columns):
    row = {"proxy": "y", "host": backend.host, "port": backend.port}
    if "port" in columns:
        columns = {"port": float(backend.port)}
    proxy = with_sql(store.config(), "auth_debug = yes\n")
    store.script(one_row(**{**row, **columns}))
    assert rcpt(proxy) == 250
    lines = [line for line in proxy.lines if "x\r" in line or "\x1b" in line]
    assert not lines


def test_the_same_column_twice(store, backend, with_sql):
    """The last one counts, as with passdb fields everywhere."""
    proxy = with_sql(store.config())
    store.script(says(200, {"results": [{
        "columns": ["proxy", "host", "port", "host"],
        "values": [["y", "192.0.2.1", backend.port, backend.host]]}]}))
    assert rcpt(proxy) == 250


def test_an_error_that_looks_like_a_row(stores, with_sql):
    store = stores(Postgrest)
    store.script(says(200, {"code": "PGRST301", "details": None, "hint": None,
                            "message": "JWT expired"}))
    proxy = with_sql(store.config())
    assert rcpt(proxy).raw == [TEMPORARY]
    proxy.wait_log("the store says: JWT expired")
