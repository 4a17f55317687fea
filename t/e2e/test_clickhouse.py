"""The passdb http-sql and a real ClickHouse."""
import re

import pytest

from clickhouse import ClickhouseServer
from http_sql import (HOSTILE_CONFIG, JOE, TEMPORARY,  # noqa: F401
                      check_hostile_users, hostile_users, put, rcpt, with_sql)
from waiting import wait_until

pytestmark = pytest.mark.needs("clickhouse-server")


@pytest.fixture
def store(directory):
    server = ClickhouseServer(directory / "clickhouse")
    yield server
    server.stop()


def test_lookups(store, backend, with_sql):
    """Found, with NULL and a number; not found; twice; the wrong password."""
    put(store, backend)
    put(store, backend, "d@example.org", destuser="x@store.example")
    put(store, backend, "twice@example.org")
    put(store, backend, "twice@example.org")
    proxy = with_sql(store.config())
    with proxy.session() as client:
        replies = client.deliver([JOE, "d@example.org"])
        assert [r.code for r in replies] == [250, 250]
    assert backend.wait_messages(1)[0].rcpts == [JOE, "x@store.example"]
    assert rcpt(proxy, "nobody@example.org") == "550 5.1.1 "
    assert rcpt(proxy, "twice@example.org") == "451 4.3.0 "
    proxy.wait_log("2 rows for one user")
    wrong = with_sql(store.config().replace("hush", "wrong"))
    assert rcpt(wrong).raw == [TEMPORARY]
    wrong.wait_log(rf"Error: .*{JOE}.*HTTP status \d+: Code: \d+, ")


@pytest.mark.parametrize("query,log", [
    ("SELECT host FROM nosuch WHERE userid = '%n'", "HTTP status 404: Code: "),
    ("SELECT nosuch FROM passdb", "HTTP status 404: Code: "),
    ("SELEC '%n'", "HTTP status 400: Code: 62"),
    ("SELECT sleep(3), '%n'", "(HTTP status 500: Code: |no answer within)"),
    ("SELECT throwIf(number = 2) FROM system.numbers LIMIT 5",
     "HTTP status 500: Code: "),
    ("SELECT '%n' FORMAT TabSeparated", "no JSON"),
    ("SELECT [1, 2] AS host", "column host holds an array"),
    ("SELECT number FROM system.numbers LIMIT 1000",
     "HTTP status 500: Code: 396"),
])
def test_errors(store, backend, with_sql, query, log):
    proxy = with_sql(store.config(query=query))
    assert rcpt(proxy).raw == [TEMPORARY]
    line = proxy.wait_log(rf"Error: .*{JOE}.*{re.escape(store.url)}: ")
    assert re.search(log, line), line


# With all users, and where the variables stand otherwise, with each seventh.
@pytest.mark.parametrize("where, step", (
    ("userid = '%n' AND domain = '%d'", 1),
    ("concat(userid, '@', domain) = '%n@%d'", 7),
    ("userid='%{username}'AND domain=%{domain}", 7),
    ("(userid, domain) IN ('%n', '%d')", 7)))
def test_no_address_changes_a_query(store, backend, with_sql, where, step):
    users = hostile_users()[::step]
    known = users[::7]
    store.add_all([("", {"host": backend.host, "port": backend.port,
                         "userid": userid, "domain": domain})
                   for _, userid, domain in known])
    proxy = with_sql(store.config(
        query=f"SELECT proxy, host, port FROM passdb WHERE {where}"),
        HOSTILE_CONFIG)
    check_hostile_users(proxy, users, known)
    assert store.sql("SELECT count() FROM passdb") == f"{len(known)}\n"


def test_restart(store, backend, with_sql):
    put(store, backend)
    proxy = with_sql(store.config())
    assert rcpt(proxy) == 250
    store.stop()
    assert rcpt(proxy).raw == [TEMPORARY]
    store.start()
    wait_until(lambda: rcpt(proxy) == 250, "the store's return")


def test_many_lookups(store, backend, with_sql):
    users = [f"u{i}@example.org" for i in range(500)]
    fields = {"host": backend.host, "port": backend.port}
    store.add_all([(user, fields) for user in users])
    proxy = with_sql(store.config("timeout = 1 mins\n"),
                     "auth_lookup_timeout = 1 mins\n")
    with proxy.session() as client:
        assert client.mail() == 250
        client.send("".join(f"RCPT TO:<{user}>\r\n" for user in users))
        assert all(reply == 250 for reply in client.replies(len(users)))
    assert "Error" not in proxy.log
