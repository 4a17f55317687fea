"""Answers of passdbs that are kept (auth_cache_size)."""
import pytest

from control import Control
from hostile_ldap import SEARCH, Directory
from http_sql import (JOE, PASSDB, TEMPORARY, heard, put, rcpt,  # noqa: F401
                      store, stores, with_sql)
from lmtp_client import Client
from sql_stores import hold, raw, says
from test_ldap_hostile import ATTRS, CONF, scripts  # noqa: F401
from waiting import TIMEOUT, wait_until

CACHE = "auth_cache_size = 1M\n"
PATIENCE = "auth_lookup_timeout = 1 mins\n"


def test_one_question_for_many_recipients(store, backend, with_sql):
    put(store, backend)
    proxy = with_sql(store.config(), CACHE)
    assert [rcpt(proxy).code for _ in range(5)] == [250] * 5
    assert rcpt(proxy, "JOE@example.org") == 250
    assert len(store.requests) == 1
    assert len(heard(backend)) == 6


def test_equal_lookups_at_once_are_one(store, backend, with_sql):
    put(store, backend)
    store.script(hold)
    proxy = with_sql(store.config(), CACHE)
    with proxy.session() as client:
        client.send("MAIL FROM:<s@example.net>\r\n" +
                    f"RCPT TO:<{JOE}>\r\n" * 20)
        store.wait_requests(1)
        store.release()
        assert {r.code for r in client.replies(21)} == {250}
    assert len(store.requests) == 1


def test_that_there_is_no_such_user_is_kept_apart(store, backend, with_sql):
    proxy = with_sql(store.config(), CACHE + "auth_cache_negative_ttl = 0\n")
    assert rcpt(proxy) == "550 5.1.1 "
    put(store, backend)
    assert rcpt(proxy) == 250
    assert rcpt(proxy) == 250
    assert len(store.requests) == 2


@pytest.mark.parametrize("config,codes", [("", [250, 451]),
                                          (CACHE, [250, 250])])
def test_a_dead_store_leaves_what_is_kept(stores, backend, with_sql, config,
                                          codes):
    store = stores()
    put(store, backend)
    proxy = with_sql(store.config(), config + "auth_cache_ttl = 1 ms\n")
    assert rcpt(proxy).code == codes[0]
    store.stop()
    assert rcpt(proxy).code == codes[1]
    if config:
        proxy.wait_log("an answer that has expired")


def test_reload_empties_it(store, backend, with_sql):
    put(store, backend)
    proxy = with_sql(store.config(), CACHE)
    assert rcpt(proxy) == 250
    proxy.reload()
    assert rcpt(proxy) == 250
    assert len(store.requests) == 2


def ask(proxy, address=JOE, **kwargs):
    """In a session of its own, which goes on."""
    client = Client(proxy.address, **kwargs)
    assert client.lhlo() == 250 and client.mail() == 250
    return client, client.rcpt(address)


def test_all_workers_share_it(store, backend, with_sql):
    put(store, backend)
    proxy = with_sql(store.config(), CACHE, threads=4)
    # Sessions that stay spread over the threads.
    clients = [ask(proxy) for _ in range(8)]
    assert {reply.code for _, reply in clients} == {250}
    assert len(store.requests) == 1
    for client, _ in clients:
        client.close()


@pytest.mark.parametrize("where,users,requests", [
    # What the query does not ask for makes no difference,
    ("userid = '%n'", ("joe@example.org", "joe@example.net", "joe@x"), 1),
    ("userid = '%Ln'", ("joe@example.org", "Joe@example.org"), 1),
    ("userid = 'joe'", ("ann@example.org", "bob@example.net"), 1),
    # and what it asks for does.
    ("userid = '%n' AND domain <> '%d'",
     ("joe@example.net", "joe@example.com"), 2),
    ("userid = '%n' OR userid = '%d'", ("joe@x", "x@joe"), 2),
    ("userid = '%n' AND domain <> '%u'", ("joe@x", "joe@y"), 2),
])
def test_the_key_is_what_the_query_asks_for(store, backend, with_sql, where,
                                            users, requests):
    put(store, backend)
    proxy = with_sql(store.config(
        query=f"SELECT proxy, host, port FROM passdb WHERE {where}"),
        CACHE + "auth_username_format =\n")
    for _ in range(2):
        for user in users:
            assert rcpt(proxy, user) == 250
    assert len(store.requests) == requests


def test_passdbs_with_the_same_query(stores, backend, with_sql):
    one, two = stores(), stores()
    put(two, backend)
    proxy = with_sql(one.config(), ready=False)
    proxy.write_file("two.conf.ext", two.config())
    proxy.start((PASSDB + PASSDB.replace("sql.conf", "two.conf"))
                .format(dir=proxy.dir) + CACHE)
    for _ in range(3):
        assert rcpt(proxy) == 250
    assert len(one.requests) == len(two.requests) == 1


def test_what_expired_is_asked_again(stores, backends, with_sql):
    one, two = backends(), backends()
    store = stores()
    put(store, one)
    proxy = with_sql(store.config(), CACHE + "auth_cache_ttl = 1 ms\n")
    assert rcpt(proxy) == 250
    store.db.execute("UPDATE passdb SET host = ?, port = ?",
                     (two.host, two.port))
    wait_until(lambda: rcpt(proxy) == 250 and heard(two), "the new answer")
    store.db.execute("DELETE FROM passdb")
    wait_until(lambda: rcpt(proxy) == "550 5.1.1 ", "the newest answer")


def test_a_dead_store_bounces_nobody(stores, backend, with_sql):
    """Not for an expired answer that there is no such user."""
    store = stores()
    proxy = with_sql(store.config(), CACHE +
                     "auth_cache_negative_ttl = 1 ms\n")
    assert rcpt(proxy) == "550 5.1.1 "
    store.stop()
    wait_until(lambda: rcpt(proxy).raw == [TEMPORARY], "the first question")
    assert rcpt(proxy).raw == [TEMPORARY]


@pytest.mark.parametrize("act", [
    hold, raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"),
    says(500, "no"), says(200, {"error": "no"}), says(200, "{"),
    says(302, "", ["Location: /x"])])
def test_a_failing_store_leaves_what_is_kept(store, backend, with_sql, act):
    put(store, backend)
    proxy = with_sql(store.config("timeout = 700 msecs\n"),
                     CACHE + "auth_cache_ttl = 1 ms\n")
    wait_until(lambda: rcpt(proxy) == 250, "an answer in time")
    store.script(act)
    wait_until(lambda: rcpt(proxy) == 250 and not store.acts, "a question")
    proxy.wait_log(rf"Error: .*{JOE}.*{store.url}: ")
    proxy.wait_log("an answer that has expired")


def test_failures_are_not_kept(store, backend, with_sql):
    put(store, backend)
    proxy = with_sql(store.config(), CACHE)
    store.script(says(500, "no"), says(200, {"error": "no"}))
    assert [rcpt(proxy).code for _ in range(3)] == [451, 451, 250]


def test_bounded_while_strangers_are_asked_for(store, backend, with_sql):
    """The user who gets mail stays, and those who were tried once go."""
    put(store, backend)
    proxy = with_sql(store.config("timeout = 1 mins\n"),
                     "auth_cache_size = 64k\n" + PATIENCE)
    names = [f"nobody{i}@example.org" for i in range(1000)]
    assert rcpt(proxy) == 250
    for start in range(0, 1000, 100):
        with proxy.session() as client:
            assert client.mail() == 250
            client.send(f"RCPT TO:<{JOE}>\r\n" + "".join(
                f"RCPT TO:<{name}>\r\n" for name in names[start:start + 100]))
            codes = [reply.code for reply in client.replies(101)]
            assert codes == [250] + [550] * 100
    assert len(store.requests) == 1001
    assert rcpt(proxy, names[-1]) == "550 "
    assert len(store.requests) == 1001
    assert rcpt(proxy, names[0]) == "550 "
    assert len(store.requests) == 1002


def test_who_waits_for_the_answer_of_one_that_leaves(store, backend, with_sql):
    put(store, backend)
    store.script(hold)
    proxy = with_sql(store.config(), CACHE)
    first, second = proxy.session(), proxy.session()
    for client in first, second:
        assert client.mail() == 250
        client.send(f"RCPT TO:<{JOE}>\r\n")
        store.wait_requests(1)
    first.reset()
    store.release()
    assert second.reply() == 250
    second.close()


def test_all_workers_at_once_and_reloads(store, backend, with_sql):
    """For the thread sanitizer: hits, misses, expiry, eviction, a new cache."""
    users = [f"u{i}@example.org" for i in range(60)]
    for user in users:
        put(store, backend, user)
    proxy = with_sql(store.config("timeout = 1 mins\n"),
                     "auth_cache_size = 8k\nauth_cache_ttl = 20 ms\n" + PATIENCE,
                     threads=4)
    for _ in range(3):
        clients = [proxy.session() for _ in range(8)]
        for client in clients:
            client.send("MAIL FROM:<s@example.net>\r\n" + "".join(
                f"RCPT TO:<{user}>\r\n" for user in users * 5))
        proxy.reload()
        for client in clients:
            codes = {reply.code for reply in client.replies(301)}
            assert codes == {250}, proxy.log[-2000:]
            client.close()


def flush(proxy):
    assert Control(proxy).ctl("auth", "cache", "flush").returncode == 0


def test_flush_empties_it(store, backend, with_sql):
    put(store, backend)
    proxy = with_sql(store.config(), CACHE)
    assert rcpt(proxy) == 250
    flush(proxy)
    assert rcpt(proxy) == 250
    assert rcpt(proxy) == 250
    assert len(store.requests) == 2


def test_flush_while_somebody_waits(stores, backends, with_sql):
    """Whose answer is from before is nobody else's."""
    old, new, store = backends(), backends(), stores()
    put(store, new)
    stale = store.respond

    def hold_old(store, conn, request):
        store.released.wait(TIMEOUT)
        conn.sendall(stale(request).replace(str(new.port).encode(),
                                            str(old.port).encode()))
        return True

    store.script(hold_old)
    proxy = with_sql(store.config(), CACHE)
    with proxy.session() as client:
        assert client.mail() == 250
        client.send(f"RCPT TO:<{JOE}>\r\n")
        store.wait_requests(1)
        flush(proxy)
        assert rcpt(proxy) == 250
        store.release()
        assert client.reply() == 250
    assert rcpt(proxy) == 250
    assert len(heard(old)) == 1 and len(heard(new)) == 2
    assert len(store.requests) == 2


def test_a_user_who_has_left_is_not_taken_from_it(stores, backend, with_sql):
    """The old answer is gone, also where it is not kept that there is none."""
    store = stores()
    put(store, backend)
    proxy = with_sql(store.config(), CACHE + "auth_cache_ttl = 1 ms\n"
                     "auth_cache_negative_ttl = 0\n")
    assert rcpt(proxy) == 250
    store.db.execute("DELETE FROM passdb")
    wait_until(lambda: rcpt(proxy) == "550 5.1.1 ", "the news")
    store.stop()
    wait_until(lambda: rcpt(proxy).raw == [TEMPORARY], "the end")


# --- LDAP ---

@pytest.fixture
def with_ldap(instance, backend, scripts):
    """with_ldap(filter, attributes): a proxy, and a function that counts the
    searches."""
    def start(search, attrs):
        directory = Directory(backend)
        server = scripts(directory)
        proxy = instance()
        proxy.threads = 1
        path = proxy.write_file("ldap.conf.ext", CONF.format(
            url=server.url, attrs=attrs, extra=f"pass_filter = {search}\n"))
        proxy.start(f"passdb {{\n driver = ldap\n args = {path}\n}}\n" + CACHE)
        return proxy, lambda: sum(r.kind == SEARCH for r in server.requests)
    return start


USERS = ("joe@example.org", "joe@example.net", "ann@example.org")


@pytest.mark.parametrize("search,attrs,searches,heard_as", [
    ("(mail=%u)", ATTRS, 3, USERS),
    ("(mail=%n)", ATTRS, 2, USERS),
    # What stands in pass_attrs counts, too,
    ("(mail=%n)", ATTRS + ", =destuser=x-%u", 3,
     ("x-joe@example.org", "x-joe@example.net", "x-ann@example.org")),
    ("(mail=x)", ATTRS + ", =destuser=%n@%{ldap:host}", 2,
     ("joe@{host}", "joe@{host}", "ann@{host}")),
    # but not where it depends on the entry whether it does.
    ("(mail=x)", ATTRS + ", =destuser=%{if;%{ldap:host};ne;;%u;none}", 6,
     USERS),
])
def test_the_key_of_ldap(with_ldap, backend, search, attrs, searches,
                         heard_as):
    proxy, count = with_ldap(search, attrs)
    for _ in range(2):
        for user in USERS:
            assert rcpt(proxy, user) == 250
    assert count() == searches
    names = [name.format(host=backend.host) for name in heard_as] * 2
    assert [command.split(">")[0] for command in heard(backend)] == [
        f"RCPT TO:<{name}" for name in names]


def test_values_in_the_key_of_ldap_do_not_run_together(with_ldap, backend):
    proxy, count = with_ldap(
        "(mail=x)", ATTRS + ", =destuser=%n%{ldap:host}%d@x")
    for user in ("ab@c", "a@bc"):
        assert rcpt(proxy, user) == 250
    assert count() == 2
    assert [c.split("@")[0] for c in heard(backend)] == [
        f"RCPT TO:<{n}{backend.host}{d}" for n, d in (("ab", "c"), ("a", "bc"))]
