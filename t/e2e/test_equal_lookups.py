"""Equal lookups under way at the same time are made once, whichever threads the
sessions are on that want to know (passdb/flight.h)."""
import contextlib
import subprocess
import threading

import pytest

from control import CTL, Control
from hostile_ldap import SEARCH, Directory, LdapScript
from http_sql import JOE, PASSDB, put, rcpt
from sql_stores import Rqlite, hold
from test_ldap_hostile import ATTRS, CONF, is_temporary
from test_metrics import scrape
from waiting import TIMEOUT, wait_until

THREADS = 4
# Nobody is answered from the cache here.
CACHE = "auth_cache_size = 1M\nauth_cache_negative_ttl = 0\n"
# An LDAP server that says nothing for half of that is asked once more.
PATIENCE = "auth_lookup_timeout = 60 secs\n"
LDAP = PASSDB.replace("http-sql", "ldap").replace("sql.conf", "ldap.conf")


def silent(store, conn, request):
    """Says nothing until the store stops."""
    store.closing.wait(TIMEOUT)
    return False


class Http:
    """A store that does not answer before it is told to."""
    passdb, file = PASSDB, "sql.conf.ext"

    def __init__(self, backend):
        self.store = Rqlite()
        put(self.store, backend)
        self.release, self.stop = self.store.release, self.store.stop
        self.wait_asked = self.store.wait_requests
        self.conf = self.store.config("timeout = 60 secs\n")
        self.store.script(hold, hold)

    def never_answers(self):
        self.store.acts[:] = [silent] * 20

    def asked(self):
        return len(self.store.requests)


class Ldap:
    """The same."""
    passdb, file = LDAP, "ldap.conf.ext"

    def __init__(self, backend):
        self.lock, self.released, self.held = threading.Lock(), False, []
        self.directory = Directory(backend, self.hostile)
        self.server = LdapScript(self.directory)
        self.stop = self.server.stop
        self.conf = CONF.format(url=self.server.url, attrs=ATTRS, extra="")

    def hostile(self, connection, request):
        with self.lock:
            self.held.append((connection, request))
            self.answer_held()

    def answer_held(self):
        while self.released and self.held:
            connection, request = self.held.pop(0)
            with contextlib.suppress(OSError):
                connection.send(self.directory.answer(request))

    def never_answers(self):
        self.directory.hostile = lambda connection, request: None

    def release(self):
        with self.lock:
            self.released = True
            self.answer_held()

    def asked(self):
        return sum(r.kind == SEARCH and JOE in r for r in self.server.requests)

    def wait_asked(self, count):
        wait_until(lambda: self.asked() >= count, f"{count} searches")


@pytest.fixture
def slow(request, backend):
    store = request.param(backend)
    yield store
    store.release()
    store.stop()


each_store = pytest.mark.parametrize("slow", [Http, Ldap], indirect=True)
a_store = pytest.mark.parametrize("slow", [Http], indirect=True)


@pytest.fixture
def proxy_of(instance):
    def start(store, config=PATIENCE):
        proxy = instance()
        proxy.threads = THREADS
        proxy.write_file(store.file, store.conf)
        return proxy.start(store.passdb.format(dir=proxy.dir) + CACHE + config)
    return start


def missed(proxy):
    return scrape(proxy)["waypost_passdb_cache_misses_total"]


def ask(proxy, count, user=JOE):
    """Sessions, spread over the threads, that all wait for the answer."""
    before = missed(proxy)
    clients = [proxy.session() for _ in range(count)]
    for client in clients:
        assert client.mail() == 250
        client.send(f"RCPT TO:<{user}>\r\n")
    wait_until(lambda: missed(proxy) - before == count, f"{count} lookups")
    return clients


def answers(clients):
    replies = [client.reply() for client in clients]
    for client in clients:
        client.close()
    return replies


@each_store
def test_one_question(slow, proxy_of):
    proxy = proxy_of(slow)
    clients = ask(proxy, 12)
    slow.wait_asked(1)
    slow.release()
    assert answers(clients) == [250] * 12
    assert slow.asked() == 1
    counted = scrape(proxy)
    assert sum(value for name, value in counted.items()
               if name.startswith("waypost_passdb_lookups_total")) == 1


@a_store
def test_one_question_where_nobody_lives(slow, proxy_of):
    proxy = proxy_of(slow)
    clients = ask(proxy, 12, "nobody@example.org")
    slow.release()
    assert answers(clients) == ["550 5.1.1 "] * 12
    assert slow.asked() == 1


@each_store
def test_the_store_dies(slow, proxy_of):
    slow.never_answers()
    proxy = proxy_of(slow, "auth_lookup_timeout = 5 secs\n")
    clients = ask(proxy, 12)
    slow.wait_asked(1)
    slow.stop()
    assert all(is_temporary(reply) for reply in answers(clients))


@each_store
def test_the_store_says_nothing(slow, proxy_of):
    slow.never_answers()
    proxy = proxy_of(slow, "auth_lookup_timeout = 1 secs\n")
    assert answers(ask(proxy, 12)) == ["451 4.4.3 "] * 12


@each_store
@pytest.mark.parametrize("count", [THREADS, 3 * THREADS])
def test_the_client_for_whom_it_was_asked_leaves(slow, proxy_of, count):
    """One of the others is asked for: on its thread, or on another one."""
    proxy = proxy_of(slow)
    first, = ask(proxy, 1)
    slow.wait_asked(1)
    clients = ask(proxy, count)
    assert slow.asked() == 1
    first.reset()
    slow.wait_asked(2)
    slow.release()
    assert answers(clients) == [250] * count
    assert slow.asked() == 2


@a_store
def test_others_leave(slow, proxy_of):
    """Than the one for whom it was asked: that one's lookup goes on."""
    proxy = proxy_of(slow)
    first = ask(proxy, 1)
    slow.wait_asked(1)
    clients = ask(proxy, 11)
    for client in clients[::2]:
        client.reset()
    wait_until(lambda: len(Control(proxy).get("/v1/sessions")["sessions"]) ==
               6, "six sessions")
    slow.release()
    assert answers(first + clients[1::2]) == [250] * 6
    assert slow.asked() == 1


@a_store
def test_all_leave(slow, proxy_of):
    proxy = proxy_of(slow)
    for client in ask(proxy, 12):
        client.reset()
    wait_until(lambda: not Control(proxy).get("/v1/sessions")["sessions"],
               "no session")
    slow.release()
    assert rcpt(proxy) == 250


@each_store
def test_reload_meanwhile(slow, proxy_of):
    """Who asked with the old configuration gets its answer, once; the new one
    asks by itself."""
    proxy = proxy_of(slow)
    first, = ask(proxy, 1)
    slow.wait_asked(1)
    old = ask(proxy, 11)
    proxy.reload()
    new = ask(proxy, 12)
    slow.wait_asked(2)
    first.reset()
    slow.wait_asked(3)
    slow.release()
    assert answers(old + new) == [250] * 23
    assert slow.asked() == 3


@a_store
def test_stop_meanwhile(slow, proxy_of):
    """Nobody waits for whom nobody asks any more."""
    proxy = proxy_of(slow, PATIENCE + "lmtp_shutdown_timeout = 1 secs\n")
    clients = ask(proxy, 12)
    proxy.stop()
    for client in clients:
        client.close()


@a_store
def test_waypostctl_follows_too(slow, proxy_of):
    proxy = proxy_of(slow)
    clients = ask(proxy, 2)
    slow.wait_asked(1)
    with subprocess.Popen([CTL, "-s", Control(proxy).path, "auth", "lookup",
                           JOE], stdout=subprocess.PIPE, text=True) as ctl:
        wait_until(lambda: missed(proxy) == 3, "the third lookup")
        slow.release()
        report, _ = ctl.communicate(timeout=TIMEOUT)
    assert "an equal lookup at the same time" in report
    assert answers(clients) == [250, 250]
    assert slow.asked() == 1
