"""The passdb http-sql with several stores, of which some are dead."""
import concurrent.futures
import contextlib
import random
import signal
import socket
import threading

import pytest

from http_sql import (JOE, certificates, put, rcpt, stores,  # noqa: F401
                      with_sql)
from ports import LOCALHOST, other_host
from sql_stores import DIALECTS, Clickhouse, hold, raw, says, slowly
from test_http_sql import cut
from test_ldap_hostile import leave_or_stay
from waiting import TIMEOUT, wait_until


@pytest.fixture
def hole():
    """A port that answers no connection: its queue is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((LOCALHOST, 0))
        listener.listen(0)
        for _ in range(4):
            conn = stack.enter_context(socket.socket())
            conn.setblocking(False)
            conn.connect_ex(listener.getsockname())
        yield f"http://{LOCALHOST}:{listener.getsockname()[1]}"


def thousand(client, user=JOE):
    assert client.mail() == 250
    client.send(f"RCPT TO:<{user}>\r\n" * 1000)
    return [reply.code for reply in client.replies(1000)]


def test_a_black_hole_and_1000_lookups(stores, backend, with_sql, hole):
    """Who waits for a connection to it goes on to the next store as soon as it
    is known to be down, not when its own time is up."""
    two = stores()
    put(two, backend)
    proxy = with_sql(two.config(
        "timeout = 10 mins\nconnect_timeout = 300 msecs\n"
        "max_connections = 4\n", url=f"{hole} {two.url}"),
        "auth_lookup_timeout = 2 mins\n")
    with proxy.session() as client:
        assert set(thousand(client)) == {250}
    assert len(two.requests) == 1000
    proxy.wait_log(rf"Error: passdb http-sql: {hole} is down: ")


def test_1000_lookups_do_not_hammer_a_dead_store(stores, backend, with_sql):
    one, two = stores(), stores()
    one.script(*[raw(b"")] * 1000)
    put(two, backend)
    proxy = with_sql(one.config(f"url = {two.url}\nmax_connections = 4\n"
                                "timeout = 2 mins\n"),
                     "auth_lookup_timeout = 2 mins\n")
    with proxy.session() as client:
        assert set(thousand(client)) == {250}
    assert len(one.requests) <= 5, "those under way, and one behind them"
    assert two.connections <= 4


@pytest.mark.parametrize("url", ("{hole}", "{hole} {hole}"))
def test_all_dead_and_1000_lookups(stores, with_sql, hole, url):
    """All are told, once it is known; and then at once."""
    proxy = with_sql(stores().config(
        "timeout = 2 mins\nconnect_timeout = 300 msecs\n"
        "max_connections = 4\n", url=url.format(hole=hole)),
        "auth_lookup_timeout = 1 mins\n")
    with proxy.session() as client:
        assert set(thousand(client)) == {451}
    assert "auth_lookup_timeout" not in proxy.log
    proxy.wait_log(rf"Error: .*{JOE}: .*{hole}: it is down")
    assert rcpt(proxy) == "451 4.3.0 "


class Gate:
    """hold, for one request."""
    def __init__(self):
        self.open = threading.Event()

    def __call__(self, store, conn, request):
        assert self.open.wait(TIMEOUT)
        conn.sendall(store.respond(request))
        return True


def test_a_busy_store_is_not_down(stores, backend, with_sql):
    """One that answers others while a lookup's time runs out. (If it were, a
    burst would make outages of itself.)"""
    one, two = stores(), stores()
    put(one, backend)
    put(two, backend)
    first, second = Gate(), Gate()
    one.script(first, second)
    proxy = with_sql(one.config(f"url = {two.url}\nmax_connections = 1\n"
                                "timeout = 3 secs\n"))
    with proxy.session() as client:
        assert client.mail() == 250
        client.send(f"RCPT TO:<{JOE}>\r\n" * 2)
        one.wait_requests(1)
        first.open.set()
        assert [reply.code for reply in client.replies(2)] == [250, 250]
    second.open.set()
    proxy.wait_log(rf"Error: .*{JOE}: {one.url}: no answer within 3000 ms")
    assert rcpt(proxy) == 250
    assert len(one.requests) == 3 and len(two.requests) == 1
    assert " is down" not in proxy.log


def test_order_and_recovery(stores, backend, with_sql):
    """The first that is up; back to the first once it has answered a probe, and
    at the next failure the next again."""
    three = [stores() for _ in range(3)]
    for store in three:
        put(store, backend)
    proxy = with_sql(three[0].config(
        url=" ".join(store.url for store in three)))
    assert rcpt(proxy) == 250
    assert [len(s.requests) for s in three] == [1, 0, 0]
    for store in three[:2]:
        store.script(says(503, "busy"))
        store.probe_acts.append(hold)
    assert rcpt(proxy) == 250
    assert [len(s.requests) for s in three] == [2, 1, 1]
    assert rcpt(proxy) == 250
    assert [len(s.requests) for s in three] == [2, 1, 2]
    for store in three[:2]:
        store.release()
        proxy.wait_log(rf"{store.url} is up again")
    assert [len(s.probes) for s in three] == [1, 1, 0]
    assert rcpt(proxy) == 250
    assert [len(s.requests) for s in three] == [3, 1, 2]


def test_a_probe_that_is_answered_badly(stores, backend, with_sql):
    """5xx is no answer; and the store gets no lookup while it is down."""
    one, two = stores(Clickhouse), stores(Clickhouse)
    put(one, backend)
    put(two, backend)
    refusals = [raw(b"HTTP/1.1 503 x\r\nContent-Length: 0\r\n\r\n")]
    one.probe_acts = [*refusals, hold]
    one.script(raw(b""))
    proxy = with_sql(one.config(f"url = {two.url}\n"))
    for _ in range(10):
        assert rcpt(proxy) == 250
    one.release()
    proxy.wait_log(rf"{one.url} is up again")
    assert len(one.requests) == 1 and len(one.probes) == 2
    assert [probe.path for probe in one.probes] == ["/ping"] * 2
    assert rcpt(proxy) == 250
    assert len(one.requests) == 2


@pytest.mark.parametrize("more,target", [
    ("", "/readyz"), ("level = weak\n", "/readyz"),
    ("level = none\n", "/readyz?noleader")])
def test_probe_of_rqlite(stores, backend, with_sql, more, target):
    """A node answers with level = none, also when it is not ready for want of a
    leader."""
    one, two = stores(), stores()
    put(two, backend)
    one.script(raw(b""))
    proxy = with_sql(one.config(f"url = {two.url}\n{more}"))
    assert rcpt(proxy) == 250
    proxy.wait_log(rf"{one.url} is up again")
    assert [probe.target for probe in one.probes] == [target]


@pytest.mark.needs("openssl")
def test_address_that_takes_no_tls(stores, backend, with_sql, dns,
                                   certificates):
    """It accepts connections, and then says nothing."""
    store = stores(tls=certificates[3])
    put(store, backend)
    with socket.create_server((other_host(1), store.port)):
        dns.zone["sql.example"] = [other_host(1), LOCALHOST]
        proxy = with_sql(store.config(
            "connect_timeout = 300 msecs\n"
            f"tls_ca_cert_file = {certificates[0]}\n",
            url=f"https://sql.example:{store.port}"),
            f"lmtp_proxy_dns_servers = {dns.server}\n")
        assert rcpt(proxy) == 250
    assert "Error" not in proxy.log


def twice(store, conn, request):
    conn.sendall(store.respond(request) * 2)
    return True


def in_pieces(store, conn, request):
    for byte in store.respond(request):
        conn.sendall(bytes([byte]))
    return True


class Chaos:
    """Acts of a store that does anything, until it is told to be good, but says
    of nobody that they do not exist."""
    acts = [raw(b""), raw(b"HTTP/1.1 200 OK\r\n"), raw(b"\0" * 99), cut, slowly,
            twice, in_pieces, says(200, "{"), says(200, "<html>no</html>"),
            says(200, " " * 70000), says(301, "", ["Location: /"]),
            says(401, "who?"), says(429, "later"), says(500, "oops"),
            says(502, "bad gateway"), says(503, "leader not found")]

    def __init__(self, seed):
        self.random, self.good = random.Random(seed), False

    def __bool__(self):
        return not self.good

    def pop(self, _):
        return self.random.choice(self.acts) if self.random.random() < 0.5 \
            else None


CACHE = "auth_cache_size = 1 M\nauth_cache_ttl = 1 ms\n"


@pytest.mark.parametrize("kind,cache", [
    *((kind, "") for kind in DIALECTS), (Clickhouse, CACHE)])
def test_chaos(stores, backend, with_sql, kind, cache):
    """Nobody is ever said not to exist, and in the end all is well."""
    pair = [stores(kind), stores(kind)]
    users = [f"u{i}@example.org" for i in range(60)]
    for store in pair:
        for user in users:
            put(store, backend, user)
        store.acts = store.probe_acts = Chaos(pair.index(store))
    proxy = with_sql(pair[0].config(
        f"url = {pair[1].url}\ntimeout = 2 secs\n"), cache)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        clients = [pool.submit(leave_or_stay, proxy, seed)
                   for seed in range(4)]
        proxy.signal(signal.SIGHUP)
        codes = [code for client in clients for code in client.result()]
    assert set(codes) <= {250, 451} and 250 in codes
    for store in pair:
        store.acts.good = True

    def all_is_well():
        with proxy.session() as client:
            assert client.mail() == 250
            replies = client.pipeline(*[f"RCPT TO:<{user}>" for user in users])
            return {reply.code for reply in replies} == {250}

    wait_until(all_is_well, "the stores to be fine")
