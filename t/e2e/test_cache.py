"""Answers of passdbs that are kept (auth_cache_size)."""
import pytest

from sql_stores import hold
from test_http_sql import (JOE, heard, put, rcpt,  # noqa: F401
                           store, stores, with_sql)
from test_reload import reload

CACHE = "auth_cache_size = 1M\n"


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
    reload(proxy)
    assert rcpt(proxy) == 250
    assert len(store.requests) == 2
