"""Stores that answer SQL over HTTP as their specifications say, on top of
SQLite, so that a query that an address has changed does what it says.

	store = Rqlite()
	store.add("joe@example.org", host="192.0.2.1")
	store.script(raw(b"HTTP/1.1 500 ..."))  # for the next lookup
	store.script(hold)                      # silence until release()
"""
import base64
import json
import re
import socket
import sqlite3
import ssl
import threading
import urllib.parse

from ports import LOCALHOST
from waiting import TIMEOUT, wait_on

COLUMNS = ("host", "port", "proxy", "destuser", "nologin", "starttls")
SCHEMA = ("CREATE TABLE passdb (userid TEXT, domain TEXT, proxy TEXT, "
          "host TEXT, port INTEGER, destuser TEXT, nologin TEXT, "
          "starttls TEXT, n REAL)")
QUERY = ("SELECT proxy, host, port, destuser, nologin FROM passdb "
         "WHERE userid = '%n' AND domain = '%d'")


class Request:
    def __init__(self, method, target, headers, body):
        self.method, self.target = method, target
        self.headers, self.body = headers, body
        self.path, _, self.query = target.partition("?")

    @property
    def json(self):
        return json.loads(self.body)


def response(status, body, headers=(), kind="application/json"):
    if not isinstance(body, bytes):
        body = (body if isinstance(body, str) else json.dumps(body)).encode()
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}",
             f"Content-Type: {kind}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def raw(data):
    """Bytes, and then the connection closes."""
    def act(store, conn, _request):
        conn.sendall(data)
        return False
    return act


def says(status, body, headers=()):
    """An answer that is complete."""
    def act(store, conn, _request):
        conn.sendall(response(status, body, headers))
        return True
    return act


def hold(store, conn, request):
    """Silence until store.release(), then the usual answer."""
    assert store.released.wait(TIMEOUT)
    conn.sendall(store.respond(request))
    return True


def slowly(store, conn, request):
    """Byte by byte, until the other side has had enough."""
    try:
        for byte in store.respond(request):
            conn.sendall(bytes([byte]))
            if store.closing.wait(0.2):
                break
    except OSError:
        pass
    return False


class Store:
    """A dialect has answer(request), which returns (status, body)."""
    dialect = None
    query = QUERY
    extra = ""

    def __init__(self, tls=None, host=LOCALHOST, port=0):
        self.db = sqlite3.connect(":memory:", check_same_thread=False)
        self.db.execute(SCHEMA)
        self.lock = threading.Lock()
        self.changed = threading.Condition()
        self.requests, self.probes = [], []
        self.acts, self.probe_acts = [], []
        self.connections = 0
        self.released, self.closing = threading.Event(), threading.Event()
        self.tls = tls
        self.listener = socket.create_server((host, port))
        self.port = self.listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://{host}:{self.port}"
        self.open = set()
        threading.Thread(target=self.accept, daemon=True).start()

    def add(self, user, **fields):
        local, _, domain = user.rpartition("@")
        row = {"userid": local, "domain": domain, "proxy": "y", **fields}
        names = ", ".join(row)
        marks = ", ".join("?" * len(row))
        self.db.execute(f"INSERT INTO passdb ({names}) VALUES ({marks})",
                        list(row.values()))

    def script(self, *acts):
        self.acts.extend(acts)

    def release(self):
        self.released.set()

    def select(self, sql, params):
        with self.lock:
            cursor = self.db.execute(sql, params)
            return ([column[0] for column in cursor.description],
                    [list(row) for row in cursor.fetchall()])

    def wait_requests(self, count):
        wait_on(self.changed, lambda: len(self.requests) >= count,
                f"{count} requests")
        return self.requests

    # --- HTTP ---

    def accept(self):
        while True:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return
            with self.changed:
                self.connections += 1
                self.open.add(conn)
            threading.Thread(target=self.serve, args=(conn,),
                             daemon=True).start()

    def serve(self, conn):
        raw_conn = conn
        try:
            if self.tls:
                conn = self.tls.wrap_socket(conn, server_side=True)
            with conn.makefile("rb") as stream:
                while self.serve_one(conn, stream):
                    pass
        except (OSError, ssl.SSLError):
            pass
        finally:
            conn.close()
            with self.changed:
                self.open.discard(raw_conn)

    def serve_one(self, conn, stream):
        line = stream.readline()
        if not line:
            return False
        method, target, _ = line.decode("latin-1").split(" ")
        headers = {}
        while (line := stream.readline().decode("latin-1").rstrip("\r\n")):
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        body = stream.read(int(headers.get("content-length", 0)))
        request = Request(method, target, headers, body)
        with self.changed:
            if self.is_probe(request):
                self.probes.append(request)
                acts = self.probe_acts
            else:
                self.requests.append(request)
                acts = self.acts
            act = acts.pop(0) if acts else None
            self.changed.notify_all()
        if act:
            return act(self, conn, request)
        conn.sendall(self.respond(request))
        return True

    def is_probe(self, request):
        return request.method == "GET"

    def respond(self, request):
        if self.is_probe(request):
            return response(200, "ok")
        try:
            status, body = self.answer(request)
        except sqlite3.Error as exc:
            status, body = self.failure(str(exc))
        return response(status, body)

    def stop(self):
        self.closing.set()
        self.released.set()
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        with self.changed:
            conns = list(self.open)
        for conn in conns:
            try:
                conn.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    # --- configuration ---

    def config(self, more="", query=None, url=None):
        return (f"url = {url or self.url}\ndialect = {self.dialect}\n"
                f"password_query = {query or self.query}\n{self.extra}{more}")


class Rqlite(Store):
    """https://rqlite.io/docs/api: /db/query with [[sql, value...]]."""
    dialect = "rqlite"

    def answer(self, request):
        assert request.path.endswith("/db/query")
        assert request.method == "POST"
        (sql, *params), = request.json
        columns, rows = self.select(sql, params)
        result = {"columns": columns, "types": ["text"] * len(columns)}
        if rows:
            result["values"] = rows
        return 200, {"results": [result]}

    def failure(self, text):
        return 200, {"results": [{"error": text}]}


class Libsql(Store):
    """Hrana 3 over HTTP."""
    dialect = "libsql"

    @staticmethod
    def value(value):
        if value is None:
            return {"type": "null"}
        if isinstance(value, int):
            return {"type": "integer", "value": str(value)}
        if isinstance(value, float):
            return {"type": "float", "value": value}
        if isinstance(value, bytes):
            return {"type": "blob", "base64": base64.b64encode(value).decode()}
        return {"type": "text", "value": value}

    def answer(self, request):
        assert request.path in ("/v2/pipeline", "/v3/pipeline")
        body = request.json
        execute, close = body["requests"]
        assert body["baton"] is None and close == {"type": "close"}
        stmt = execute["stmt"]
        assert all(arg["type"] == "text" for arg in stmt["args"])
        columns, rows = self.select(stmt["sql"],
                                    [arg["value"] for arg in stmt["args"]])
        result = {"cols": [{"name": name, "decltype": None}
                           for name in columns],
                  "rows": [[self.value(v) for v in row] for row in rows],
                  "affected_row_count": 0, "last_insert_rowid": None}
        return 200, {"baton": None, "base_url": None, "results": [
            {"type": "ok", "response": {"type": "execute", "result": result}},
            {"type": "ok", "response": {"type": "close"}}]}

    def failure(self, text):
        return 200, {"baton": None, "base_url": None, "results": [
            {"type": "error", "error": {"message": text,
                                        "code": "SQLITE_ERROR"}},
            {"type": "ok", "response": {"type": "close"}}]}


class Neon(Store):
    dialect = "neon"
    extra = "connection_string = postgresql://u:hush@db.example/mail\n"

    def answer(self, request):
        assert request.path == "/sql"
        assert request.headers["neon-connection-string"] == \
            "postgresql://u:hush@db.example/mail"
        assert request.headers["neon-raw-text-output"] == "true"
        assert request.headers["neon-array-mode"] == "true"
        body = request.json
        sql = re.sub(r"\$(\d+)", r"?\1", body["query"])
        columns, rows = self.select(sql, body["params"])
        rows = [[None if v is None else str(v) for v in row] for row in rows]
        return 200, {"command": "SELECT", "rowCount": len(rows), "rows": rows,
                     "fields": [{"name": name, "dataTypeID": 25}
                                for name in columns], "rowAsArray": True}

    def failure(self, text):
        return 400, {"message": text, "code": "42601", "severity": "ERROR"}


class Clickhouse(Store):
    """Literals as ClickHouse reads them: a backslash escapes."""
    dialect = "clickhouse"

    def answer(self, request):
        query = dict(urllib.parse.parse_qsl(request.query))
        assert query["default_format"] == "JSONCompact"
        assert query["wait_end_of_query"] == "1"
        params = []

        def literal(match):
            params.append(re.sub(r"\\(.)", r"\1", match[1], flags=re.S))
            return "?"
        sql = re.sub(r"'((?:[^'\\]|\\.)*)'", literal, request.body.decode(),
                     flags=re.S)
        columns, rows = self.select(sql, params)
        return 200, {"meta": [{"name": name, "type": "String"}
                              for name in columns],
                     "data": rows, "rows": len(rows),
                     "statistics": {"elapsed": 0.001}}

    def failure(self, text):
        return 400, f"Code: 62, e.displayText() = DB::Exception: {text}"


class Postgrest(Store):
    """Filters column=eq.value of one table, and one function."""
    dialect = "postgrest"
    query = ("GET /passdb?userid=eq.%n&domain=eq.%d"
             "&select=proxy,host,port,destuser,nologin")

    def is_probe(self, request):
        return request.path == "/"

    def answer(self, request):
        if request.path == "/rpc/passdb":
            args = request.json
            where = {"userid": args["n"], "domain": args["d"]}
            names = COLUMNS
        else:
            assert request.path == "/passdb" and request.method == "GET"
            pairs = [part.split("=", 1) for part in request.query.split("&")]
            pairs = [(urllib.parse.unquote(k), urllib.parse.unquote(v))
                     for k, v in pairs]
            args = dict(pairs)
            assert len(args) == len(pairs) == 3, request.query
            names = args.pop("select").split(",")
            where = {}
            for name, value in args.items():
                assert value.startswith("eq.")
                where[name] = value[3:]
        sql = (f"SELECT {', '.join(names)} FROM passdb WHERE " +
               " AND ".join(f"{name} = ?" for name in where))
        columns, rows = self.select(sql, list(where.values()))
        return 200, [dict(zip(columns, row)) for row in rows]

    def failure(self, text):
        return 400, {"code": "42601", "message": text, "details": None,
                     "hint": None}


DIALECTS = (Rqlite, Libsql, Clickhouse, Neon, Postgrest)
