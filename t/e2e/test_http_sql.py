"""The passdb http-sql: stores that answer SQL over HTTP."""
import re
import socket
import threading

import pytest

from control import Control
from http_sql import (HOSTILE_CONFIG, JOE, PASSDB, TEMPORARY,  # noqa: F401
                      check_hostile_users, heard, hostile_users, put, rcpt,
                      store, stores, with_sql)
from ports import LOCALHOST, free_port
from sql_stores import (DIALECTS, Libsql, Neon, Postgrest, hold, raw, says,
                        slowly)
from waiting import TIMEOUT, wait_until


# --- every dialect ---

@pytest.mark.parametrize("kind", DIALECTS)
def test_users_are_found(stores, backend, with_sql, kind):
    store = stores(kind)
    put(store, backend, destuser="j@store.example")
    put(store, backend, "ann@example.org")
    proxy = with_sql(store.config(), "auth_debug = yes\n")
    with proxy.session() as client:
        replies = client.deliver([JOE, "ann@example.org"])
        assert [r.code for r in replies] == [250, 250]
    assert backend.wait_messages(1)[0].rcpts == ["j@store.example",
                                                 "ann@example.org"]
    assert "hush" not in proxy.log


@pytest.mark.parametrize("kind", DIALECTS)
def test_no_row_is_not_found(stores, with_sql, kind):
    assert rcpt(with_sql(stores(kind).config())) == "550 5.1.1 "


@pytest.mark.parametrize("kind", DIALECTS)
def test_two_rows_are_an_error(stores, backend, with_sql, kind):
    store = stores(kind)
    put(store, backend)
    put(store, backend)
    proxy = with_sql(store.config())
    assert rcpt(proxy).raw == [TEMPORARY]
    proxy.wait_log(rf"Error: .*{JOE}.*2 rows for one user")


@pytest.mark.parametrize("kind", DIALECTS)
def test_null_is_absent(stores, backend, with_sql, kind):
    """nologin counts by being there."""
    store = stores(kind)
    put(store, backend)
    put(store, backend, "no@example.org", nologin="")
    proxy = with_sql(store.config())
    assert rcpt(proxy) == 250
    assert rcpt(proxy, "no@example.org") == "450 4.2.1 "


@pytest.mark.parametrize("kind", DIALECTS)
def test_query_that_the_store_refuses(stores, with_sql, kind):
    store = stores(kind)
    query = store.query.replace("userid", "nosuch")
    proxy = with_sql(store.config(query=query))
    assert rcpt(proxy).raw == [TEMPORARY]
    proxy.wait_log(rf"Error: .*{JOE}.*no such column: nosuch")


@pytest.mark.parametrize("kind", DIALECTS)
def test_no_address_changes_a_query(stores, backend, with_sql, kind):
    """Each of them is looked up as it is, and so not found; those that are in
    the store are found."""
    store = stores(kind)
    put(store, backend)
    users = hostile_users()
    known = users[::7]
    for _, userid, domain in known:
        put(store, backend, userid=userid, domain=domain)
    check_hostile_users(with_sql(store.config(), HOSTILE_CONFIG), users, known)
    assert store.db.execute("SELECT count(*) FROM passdb").fetchone()[0] == \
        len(known) + 1


@pytest.mark.parametrize("kind", DIALECTS[:-1])
@pytest.mark.parametrize("where", (
    "userid = '%Ln' AND domain = %Ld", "userid||'@'||domain='%n@%d'",
    "userid='%{username}'AND domain='%{domain}'",
    "userid = '%{if;%{username};eq;joe;joe;%{username}}' AND domain = '%d'"))
def test_ways_to_write_a_query(stores, backend, with_sql, kind, where):
    """With modifiers, as parts of one literal, without quotes: a variable stays
    a value."""
    store = stores(kind)
    users = hostile_users()[::9]
    known = users[::3]
    for _, userid, domain in known:
        put(store, backend, userid=userid, domain=domain)
    proxy = with_sql(store.config(
        query=f"SELECT proxy, host, port FROM passdb WHERE {where}"),
        HOSTILE_CONFIG)
    check_hostile_users(proxy, users, known)


# --- how it is asked ---

def test_variables_become_parameters(store, with_sql):
    proxy = with_sql(store.config(
        query="SELECT host FROM passdb WHERE userid = '%Un-%d' AND n = %a "
        "AND domain LIKE 'x%%' AND host <> 'it''s'"))
    assert rcpt(proxy, "joe@example.org") == "550 "
    request = store.requests[0]
    assert request.json == [[
        "SELECT host FROM passdb WHERE userid = ? AND n = ? AND domain LIKE "
        "'x%' AND host <> 'it''s'", "JOE-example.org", str(proxy.port)]]
    assert request.target == "/db/query"
    assert request.headers["content-type"] == "application/json"
    assert "expect" not in request.headers


def test_rqlite_options(store, with_sql):
    proxy = with_sql(store.config("level = none\nfreshness = 2 secs\n"
                                  "freshness_strict = yes\n",
                                  url=store.url + "/prefix/"))
    rcpt(proxy)
    assert store.requests[0].target == \
        "/prefix/db/query?level=none&freshness=2000ms&freshness_strict"


@pytest.mark.parametrize("version", (2, 3))
def test_hrana_versions(stores, backend, with_sql, version):
    store = stores(Libsql)
    put(store, backend)
    assert rcpt(with_sql(store.config(f"hrana_version = {version}\n"))) == 250
    assert store.requests[0].path == f"/v{version}/pipeline"


def test_postgrest_function(stores, backend, with_sql):
    store = stores(Postgrest)
    put(store, backend)
    proxy = with_sql(store.config("schema = mail\n",
        query='POST /rpc/passdb {"n": "%n", "d": "%d"}'))
    assert rcpt(proxy) == 250
    assert rcpt(proxy, "other@example.org") == "550 "
    assert store.requests[0].headers["content-profile"] == "mail"
    assert store.requests[0].headers["accept-profile"] == "mail"


def test_authentication(store, backend, with_sql, directory):
    put(store, backend)
    secret = directory / "secret"
    secret.write_text("hush\n")
    secret.chmod(0o644)
    proxy = with_sql(store.config(
        f"auth = basic\nuser = way\npassword = <{secret}\n"
        f"header = X-One: 1\nheader = X-Key: hush:2\n"),
        "auth_debug = yes\n")
    assert rcpt(proxy) == 250
    headers = store.requests[0].headers
    assert headers["authorization"] == "Basic d2F5Omh1c2g="
    assert headers["x-one"] == "1" and headers["x-key"] == "hush:2"
    assert "hush" not in proxy.log and "d2F5" not in proxy.log


def test_bearer_token(store, backend, with_sql, directory):
    put(store, backend)
    secret = directory / "secret"
    secret.write_text("ey.J.x\n")
    secret.chmod(0o644)
    proxy = with_sql(store.config(f"auth = bearer\ntoken = <{secret}\n"))
    assert rcpt(proxy) == 250
    assert store.requests[0].headers["authorization"] == "Bearer ey.J.x"


@pytest.mark.needs_root
def test_files_that_only_root_may_read(instance, store, backend):
    put(store, backend)
    proxy = instance(as_root=True)
    for name, text in (("secret", "hush\n"),
                       ("sql.conf.ext", store.config(
                           f"auth = bearer\ntoken = <{proxy.dir}/secret\n"))):
        proxy.write_file(name, text).chmod(0o600)
    proxy.start(PASSDB.format(dir=proxy.dir))
    assert rcpt(proxy) == 250
    assert store.requests[0].headers["authorization"] == "Bearer hush"


def test_proxy_of_the_environment_is_not_used(store, backend, with_sql,
                                              monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://{LOCALHOST}:{free_port()}")
    put(store, backend)
    assert rcpt(with_sql(store.config())) == 250


# --- what goes wrong ---

ROW = {"columns": ["proxy", "host"], "types": ["text", "text"]}


def cut(store, conn, request):
    conn.sendall(store.respond(request)[:-20])
    return False


def cut_chunk(store, conn, request):
    conn.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                 b"40\r\n{\"results\":")
    return False


@pytest.mark.parametrize("act,log", [
    (says(200, {"results": [{"error": "no such table: passdb"}]}),
     "no such table: passdb"),
    (says(200, {"error": "leader not found"}), "leader not found"),
    (says(200, {"results": []}), "does not hold one result"),
    (says(200, {"results": [{"rows_affected": 1}]}), "no columns"),
    (says(200, {"results": [{**ROW, "values": [["y"]]}]}),
     "not an array of 2 columns"),
    (says(200, {"results": [{**ROW, "values": {"y": 1}}]}), "are an array and"
     " an object"),
    (says(200, {"results": [{**ROW, "values": [["y", ["a"]]]}]}),
     "column host holds an array"),
    (says(200, {"results": [{**ROW, "values": [["y", {}]]}]}),
     "column host holds an object"),
    (says(200, {"results": [{**ROW, "values": ["y", "z"]}]}),
     "not an array of 2 columns"),
    (says(200, "[]"), "does not hold one result"),
    (says(200, ""), "no JSON, or cut off"),
    (says(200, "<html>proxy</html>"), "no JSON, or cut off.*<html>proxy"),
    (says(200, '{"results":[{"columns":["host"],"values":[["a"]]}]} Code: 241'
               ), "no JSON, or cut off.*Code: 241"),
    (says(200, b'{"error":"\xff"}'), "no JSON"),
    (says(200, '{"error":"a\\u0000b"}'), "no JSON"),
    (says(200, "[" * 10000), "no JSON"),
    (says(200, " " * 70000), "the answer is too large"),
    (says(200, "{}", [f"X-{i}: " + "x" * 8000 for i in range(12)]),
     "headers are too large"),
    (says(301, "", ["Location: http://192.0.2.1/db/query"]),
     "HTTP status 301: redirects are not followed"),
    (says(307, "", ["Location: /db/query"]),
     "HTTP status 307: redirects are not followed"),
    (says(400, "bad query"), "HTTP status 400: bad query"),
    (says(401, "who are you"), "HTTP status 401: who are you"),
    (says(404, ""), "HTTP status 404"),
    (says(500, "oops\nerr"), r"HTTP status 500: oops\\x0aerr"),
    (says(503, "leader not found"), "HTTP status 503: leader not found"),
    (says(204, ""), "HTTP status 204"),
    (cut, "(transfer closed|end of response).*HTTP status 200"),
    (cut_chunk, "(transfer closed|outstanding|chunk)"),
    (raw(b""), "Empty reply from server"),
    (raw(b"220 smtp.example ESMTP\r\n"), "(HTTP/0.9|Weird)"),
    (raw(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"), "Error: .*"),
    (raw(b"HTTP/1.1 200 OK\r\n"), "Error: .*"),
])
def test_failures_are_temporary(store, backend, with_sql, act, log):
    put(store, backend)
    proxy = with_sql(store.config())
    store.script(act)
    assert rcpt(proxy).raw == [TEMPORARY]
    line = proxy.wait_log(rf"Error: .*{JOE}.*{re.escape(store.url)}: ")
    assert re.search(log, line), line
    # One failure is no reason not to ask again.
    assert rcpt(proxy) == 250


@pytest.mark.parametrize("act", (hold, slowly))
def test_slow_answers(store, backend, with_sql, act):
    put(store, backend)
    put(store, backend, "ann@example.org")
    proxy = with_sql(store.config("timeout = 2 secs\n"))
    store.script(act)
    with proxy.session() as one, proxy.session() as two:
        assert one.mail() == 250 and two.mail() == 250
        one.send(f"RCPT TO:<{JOE}>\r\n")
        store.wait_requests(1)
        assert two.rcpt("ann@example.org") == 250
        assert one.reply().raw == [TEMPORARY]
    proxy.wait_log(r"Error: .*no answer within 2000 ms")
    assert rcpt(proxy) == 250


def test_deadline_of_all_together(stores, backend, with_sql):
    one, two = stores(), stores()
    one.script(hold)
    two.script(hold)
    proxy = with_sql(one.config(f"url = {two.url}\ntimeout = 2 secs\n"),
                     "auth_lookup_timeout = 3 secs\n")
    assert rcpt(proxy) == "451 4.4.3 "
    proxy.wait_log("no answer within auth_lookup_timeout")
    assert len(two.wait_requests(1)) == 1


def test_client_that_leaves(store, backend, with_sql):
    put(store, backend)
    proxy = with_sql(store.config())
    store.script(hold)
    client = proxy.session()
    assert client.mail() == 250
    client.send(f"RCPT TO:<{JOE}>\r\n")
    store.wait_requests(1)
    client.reset()
    assert rcpt(proxy) == 250


# --- connections ---

def test_connections_are_kept(store, backend, with_sql):
    put(store, backend)
    proxy = with_sql(store.config())
    for _ in range(10):
        assert rcpt(proxy) == 250
    assert store.connections == 1


def test_connection_that_the_store_closed(store, backend, with_sql):
    put(store, backend)
    proxy = with_sql(store.config())
    assert rcpt(proxy) == 250
    for conn in list(store.open):
        conn.shutdown(socket.SHUT_RDWR)
    wait_until(lambda: not store.open, "the end of the connection")
    assert rcpt(proxy) == 250
    assert "Error" not in proxy.log


def test_all_connections_that_the_store_closed(store, backend, with_sql):
    put(store, backend)
    store.script(*[hold] * 8)
    proxy = with_sql(store.config())
    with proxy.session() as client:
        assert client.mail() == 250
        client.send(f"RCPT TO:<{JOE}>\r\n" * 8)
        store.wait_requests(8)
        store.release()
        assert {reply.code for reply in client.replies(8)} == {250}
        for conn in list(store.open):
            conn.shutdown(socket.SHUT_RDWR)
        wait_until(lambda: not store.open, "the end of the connections")
        client.send(f"RCPT TO:<{JOE}>\r\n" * 8)
        assert {reply.code for reply in client.replies(8)} == {250}
    assert store.connections == 16
    assert "Error" not in proxy.log


def test_many_lookups_over_few_connections(store, backend, with_sql):
    users = [f"u{i}@example.org" for i in range(200)]
    for user in users:
        put(store, backend, user)
    store.script(*[hold] * 3)
    proxy = with_sql(store.config("max_connections = 3\ntimeout = 1 mins\n"),
                     "auth_lookup_timeout = 1 mins\n")
    with proxy.session() as client:
        assert client.mail() == 250
        client.send("".join(f"RCPT TO:<{user}>\r\n" for user in users))
        store.wait_requests(3)
        store.release()
        assert all(reply == 250 for reply in client.replies(200))
    assert store.connections == 3
    assert len(store.requests) == 200


def test_waiting_for_a_connection_has_an_end(store, backend, with_sql):
    put(store, backend)
    store.script(hold)
    proxy = with_sql(store.config("max_connections = 1\ntimeout = 600 msecs\n"
                                  ))
    with proxy.session() as client:
        assert client.mail() == 250
        client.send(f"RCPT TO:<{JOE}>\r\n" * 2)
        assert [r.code for r in client.replies(2)] == [451, 451]
    proxy.wait_log("no connection was free within 600 ms|"
                   "no answer within 600 ms", count=2)


def test_too_many_lookups_look_different_from_a_dead_store(store, backend,
                                                           with_sql):
    put(store, backend)
    go_on = threading.Event()

    def answers_late(store, conn, request):
        assert go_on.wait(TIMEOUT)
        conn.sendall(store.respond(request))
        return True

    store.script(answers_late, hold)
    proxy = with_sql(store.config("max_connections = 1\ntimeout = 3 secs\n"))
    with proxy.session() as client:
        assert client.mail() == 250
        client.send(f"RCPT TO:<{JOE}>\r\n")
        store.wait_requests(1)
        client.send("RCPT TO:<ann@example.org>\r\n"
                    "RCPT TO:<sue@example.org>\r\n")
        wait_until(lambda: Control(proxy).get("/v1/stats")["waiting_lookups"]
                   == 2, "those that wait")
        go_on.set()
        assert [r.code for r in client.replies(3)] == [250, 451, 451]
    proxy.wait_log(r"ann@example.org.*no answer within 3000 ms, of which it "
                   r"waited \d+ ms for a free connection, max_connections = 1")
    proxy.wait_log(r"sue@example.org.*no connection was free within 3000 ms, "
                   r"max_connections = 1")
    assert "is down" not in proxy.log


# --- several stores, and dead ones ---

def test_next_store_is_asked(stores, backend, with_sql):
    one, two = stores(), stores()
    put(two, backend)
    acts = [says(500, "no"), says(200, {"error": "no leader"}),
            says(404, "no"), says(200, "{")]
    one.script(*acts)
    proxy = with_sql(one.config(f"url = {two.url}\n"))
    for _ in acts:
        assert rcpt(proxy) == 250
    assert len(one.requests) == len(two.requests) == len(acts)
    # That one does not know the user is its answer.
    assert rcpt(proxy) == "550 "


def test_dead_store_is_probed_and_not_hammered(stores, backend, with_sql):
    one, two = stores(), stores()
    put(one, backend)
    put(two, backend)
    port = one.port
    one.stop()
    proxy = with_sql(one.config(url=f"{one.url} {two.url}"))
    for _ in range(20):
        assert rcpt(proxy) == 250
    assert len(two.requests) == 20
    proxy.wait_log(rf"Error: passdb http-sql: {re.escape(one.url)} is down: ")
    failed = [line for line in proxy.lines
              if JOE in line and one.url in line]
    assert len(failed) == 1
    again = stores(port=port)
    put(again, backend)
    proxy.wait_log(rf"{re.escape(one.url)} is up again")
    assert rcpt(proxy) == 250
    assert len(again.requests) == 1


def test_what_a_query_leads_to_takes_no_store_down(store, backend, with_sql):
    """Else one address could keep all others from being looked up."""
    put(store, backend)
    proxy = with_sql(store.config())
    acts = [says(200, " " * 70000), says(500, "x"), says(400, "x"),
            says(200, {"error": "x"}), says(200, "{")]
    store.script(*acts)
    for _ in acts:
        assert rcpt(proxy).raw == [TEMPORARY]
    assert rcpt(proxy) == 250


def test_all_stores_dead(with_sql, stores, backend):
    store = stores()
    port = store.port
    store.stop()
    proxy = with_sql(store.config())
    for _ in range(5):
        assert rcpt(proxy).raw == [TEMPORARY]
    proxy.wait_log(rf"Error: .*{JOE}: all stores are down", count=2)
    put(stores(port=port), backend)
    proxy.wait_log("is up again")
    assert rcpt(proxy) == 250


def test_stop_with_a_lookup_and_a_probe_under_way(stores, with_sql, store):
    dead = stores()
    dead.stop()
    proxy = with_sql(store.config(f"timeout = 20 secs\nurl = {dead.url}\n"))
    store.script(hold)
    client = proxy.session()
    assert client.mail() == 250
    client.send(f"RCPT TO:<{JOE}>\r\n")
    store.wait_requests(1)
    proxy.stop()
    client.close()


def test_reload_reads_the_file_again(stores, backends, with_sql):
    one, two = stores(), stores()
    first, second = backends(), backends()
    put(one, first)
    put(two, second)
    proxy = with_sql(one.config())
    assert rcpt(proxy) == 250
    proxy.write_file("sql.conf.ext", "url = ftp://x\n")
    proxy.reload(expect=r"sql\.conf\.ext:1: url: ")
    assert rcpt(proxy) == 250
    proxy.write_file("sql.conf.ext", two.config())
    proxy.reload()
    wait_until(lambda: rcpt(proxy) == 250 and heard(second), "the new store")


# --- configuration ---

@pytest.mark.parametrize("change,message", [
    ("urll = x\n", r':5: unknown setting "urll" \(did you mean "url"\?\)'),
    ("url = ftp://x\n", ":5: url: a URL has to start with"),
    ("url = http://u:p@x\n", ":5: url: a user or a password cannot"),
    ("url = http://x/?a\n", ":5: url: the URL has a query"),
    ("url = http://x:0\n", ":5: url: the URL's port"),
    ("dialect = mysql\n", ":5: dialect: 'mysql' is none of"),
    ("timeout = 0\n", ":5: timeout: it cannot be 0"),
    ("max_connections = 0\n", ":5: max_connections: it has to be"),
    ("schema = x\n", ":5: schema: only for dialect = postgrest"),
    ("auth = basic\n", ":5: auth: basic needs user"),
    ("token = x\n", ":5: token: it needs auth = bearer"),
    ("auth = bearer\ntoken = </nowhere/at/all\n",
     ":6: token: cannot read /nowhere/at/all"),
    ("tls_cert_file = /nowhere/at/all\n", ":5: tls_cert_file: cannot read"),
    ("header = nonsense\n", ":5: header: it is not of the form"),
    ("freshness_strict = yes\n", ":3: dialect: freshness_strict needs"),
    ("password_query = SELECT '%q'\n",
     ":5: password_query: unknown variable %q"),
    ("password_query = SELECT 'x\n", r":5: password_query: a quote \('\)"),
    ('password_query = SELECT "%u"\n', ":5: password_query: a variable stands "
     "in a quoted name"),
    ("password_query = SELECT ?\n", r":5: password_query: the character \?"),
    ("password_query = SELECT 1 -- '%u'\n", ":5: password_query: comments"),
    ("password_query =\n", ":5: password_query: it is missing"),
    ("user_query = SELECT '%q'\n", ":5: user_query: unknown variable %q"),
])
def test_what_is_wrong_is_said_at_start(store, with_sql, change, message):
    proxy = with_sql("# comment\n" + store.config() + change, ready=False)
    result = proxy.run("-t")
    assert result.returncode != 0
    lines = result.stderr.splitlines()
    assert any(re.search(r"/sql\.conf\.ext" + message, line)
               for line in lines), result.stderr
    assert "secret" not in result.stderr


def test_missing_file(with_sql, store):
    proxy = with_sql(store.config(), ready=False)
    (proxy.dir / "sql.conf.ext").unlink()
    result = proxy.run("-t")
    assert result.returncode != 0
    assert re.search(r"waypost\.conf:\d+: passdb http-sql: .*sql\.conf\.ext",
                     result.stderr)


@pytest.mark.parametrize("kind,query,message", [
    (Postgrest, "SELECT 1", "has to start with"),
    (Postgrest, "GET /passdb?%n=eq.x", "behind a column's"),
    (Postgrest, "GET /passdb?a=%n", "behind a column's"),
    (Postgrest, "GET /passdb?a=neq.%n", "behind a column's"),
    (Postgrest, "GET /passdb?select=eq.%n", "behind a column's"),
    (Postgrest, "GET /%n?a=eq.x", "behind a column's"),
    (Postgrest, 'POST /rpc/f {"a": %n}', "The body|the body"),
    (Postgrest, 'POST /rpc/f {"%n": 1}', "member's name"),
    (Postgrest, 'POST /rpc/f {"a": "%n"', "the body"),
    (Neon, "SELECT +$1", r"the character \$"),
    (Neon, "SELECT E'%u'", "a literal with a prefix"),
])
def test_queries_that_are_refused(stores, with_sql, kind, query, message):
    proxy = with_sql(stores(kind).config(query=query), ready=False)
    result = proxy.run("-t")
    assert result.returncode != 0
    assert re.search(r"sql\.conf\.ext:3: password_query: .*" + message,
                     result.stderr), result.stderr
