"""The passdb http-sql and a real rqlite (PATH, or t/e2e/build-rqlite): one node,
and a cluster of three that loses its leader."""
import base64
import json
import pathlib
import ssl
import subprocess
import urllib.request

import pytest

import servers
from http_sql import (HOSTILE_CONFIG, JOE, check_hostile_users,  # noqa: F401
                      hostile_users, rcpt, with_sql)
from pki import Pki
from ports import LOCALHOST, free_port
from sql_stores import QUERY, SCHEMA
from test_store_docs import Page, as_backend, heard, shown_host
from test_store_docs import documented  # noqa: F401 (a fixture)
from waiting import TIMEOUT, wait_until

pytestmark = pytest.mark.needs("rqlited")


class Node:
    """pair: certificate and key, for HTTPS. users: of the file of -auth; the
    first may do everything."""

    def __init__(self, directory, number, join=(), pair=None, users=()):
        self.dir = pathlib.Path(directory) / f"rqlite{number}"
        self.port, self.raft = free_port(), f"{LOCALHOST}:{free_port()}"
        scheme = "https" if pair else "http"
        self.url = f"{scheme}://{LOCALHOST}:{self.port}"
        self.headers = {"Content-Type": "application/json"}
        args = [servers.find("rqlited"), "-node-id", str(number),
                "-http-addr", f"{LOCALHOST}:{self.port}",
                "-raft-addr", self.raft]
        if join:
            args += ["-join", ",".join(node.raft for node in join)]
        if pair:
            args += ["-http-cert", str(pair.cert), "-http-key", str(pair.key)]
        if users:
            args += ["-auth", str(self.write_users(directory, users))]
        self.process = subprocess.Popen(
            args + [str(self.dir)], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self.ready, "rqlite")

    def write_users(self, directory, users):
        login = f"{users[0]['username']}:{users[0]['password']}"
        self.headers["Authorization"] = "Basic " + base64.b64encode(
            login.encode()).decode()
        path = pathlib.Path(directory) / "rqlite-users.json"
        path.write_text(json.dumps(users))
        return path

    def get(self, path, body=None):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        request = urllib.request.Request(
            self.url + path, body and json.dumps(body).encode(), self.headers)
        with urllib.request.urlopen(request, timeout=TIMEOUT,
                                    context=context) as answer:
            return answer.read().decode()

    def ready(self):
        assert self.process.poll() is None
        try:
            return self.get("/readyz")
        except OSError:
            return None

    def is_leader(self):
        store = json.loads(self.get("/status"))["store"]
        return store["leader"]["addr"] == self.raft

    def execute(self, *statements):
        answer = json.loads(self.get("/db/execute?transaction",
                                     list(statements)))
        assert not any("error" in result for result in answer["results"]), \
            answer

    def add(self, backend, *users):
        self.add_all(backend, [user.rsplit("@", 1) for user in users])

    def add_all(self, backend, users):
        self.execute(*(
            ["INSERT INTO passdb (userid, domain, proxy, host, port) "
             "VALUES (?, ?, 'y', ?, ?)", userid, domain, backend.host,
             backend.port] for userid, domain in users))

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(TIMEOUT)


@pytest.fixture
def cluster(directory):
    """cluster(count): nodes with an empty table; the first is the leader."""
    nodes = []

    def start(count):
        for number in range(count):
            nodes.append(Node(directory, number + 1, nodes[:1]))
        nodes[0].execute(SCHEMA)
        return nodes

    yield start
    for node in nodes:
        node.stop()


def config(nodes, more=""):
    return (f"url = {' '.join(node.url for node in nodes)}\n"
            f"dialect = rqlite\npassword_query = {QUERY}\n{more}")


def test_lookups(cluster, backend, with_sql):
    nodes = cluster(1)
    nodes[0].add(backend, JOE, "twice@example.org", "twice@example.org")
    proxy = with_sql(config(nodes))
    assert rcpt(proxy) == 250
    assert rcpt(proxy, "nobody@example.org") == "550 5.1.1 "
    assert rcpt(proxy, "twice@example.org") == "451 4.3.0 "
    nodes[0].execute("DROP TABLE passdb")
    assert rcpt(proxy) == "451 4.3.0 "
    proxy.wait_log(f"Error: .*{JOE}.*no such table")


def test_no_address_changes_a_query(cluster, backend, with_sql):
    nodes = cluster(1)
    users = hostile_users()
    known = users[::7]
    nodes[0].add_all(backend, [user[1:] for user in known])
    check_hostile_users(with_sql(config(nodes), HOSTILE_CONFIG), users, known)


@pytest.mark.parametrize("level", ("none", "weak"))
def test_leader_is_lost_under_load(cluster, backend, with_sql, level):
    """No recipient is refused; with level = none none is even deferred."""
    nodes = cluster(3)
    nodes[0].add(backend, JOE)
    assert nodes[0].is_leader()
    wait_until(lambda: all('"values"' in node.get(
        "/db/query?level=none", ["SELECT 1 FROM passdb"])
        for node in nodes), "the copies")
    proxy = with_sql(config(nodes, f"level = {level}\ntimeout = 2 secs\n"))
    with proxy.session() as client:
        assert client.mail() == 250
        client.send(f"RCPT TO:<{JOE}>\r\n" * 100)
        first = client.replies(50)
        nodes[0].stop()
        client.send(f"RCPT TO:<{JOE}>\r\n" * 100)
        codes = {reply.code for reply in first + client.replies(150)}
    assert codes <= ({250} if level == "none" else {250, 451})
    wait_until(lambda: rcpt(proxy) == 250, "a new leader")


def test_as_documented(directory, backend, documented):
    """The table, the users, the levels and TLS of its page."""
    page, pki = Page("rqlite"), Pki(directory / "pki")
    users = json.loads(page.blocks("json")[0])
    node = Node(directory, 1, pair=pki.make(f"IP:{LOCALHOST}"), users=users)
    try:
        node.execute(*filter(None, map(str.strip, as_backend(
            page.blocks("sql")[0], backend).split(";"))))
        changes = [(r"^(url = .*\n)+", f"url = {node.url}\n"),
                   (r"^tls_ca_cert_file = .*",
                    f"tls_ca_cert_file = {pki.ca.cert}")]
        proxy = documented(page, changes)
        assert rcpt(proxy) == 250
        assert rcpt(proxy, "bob@example.org") == 250
        assert heard(backend) == [JOE, "robert@example.org"]
        assert shown_host(proxy, JOE) == backend.host
        assert rcpt(proxy, "nobody@example.org") == "550 5.1.1 "
        assert "Error" not in proxy.log
        wrong = documented(page, changes + [("change-me", "wrong")])
        assert rcpt(wrong) == "451 4.3.0 "
        wrong.wait_log("HTTP status 401")
    finally:
        node.stop()
