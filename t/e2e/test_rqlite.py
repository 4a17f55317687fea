"""The passdb http-sql and a real rqlite (PATH, or t/e2e/build-rqlite): one node,
and a cluster of three that loses its leader."""
import json
import signal
import urllib.error

import pytest

from http_sql import (HOSTILE_CONFIG, JOE, check_hostile_users,  # noqa: F401
                      hostile_users, rcpt, with_sql)
from pki import Pki
from ports import LOCALHOST
from rqlite import Node
from sql_stores import QUERY, SCHEMA
from test_store_docs import Page, as_backend, heard, shown_host
from test_store_docs import documented  # noqa: F401 (a fixture)
from waiting import wait_until

pytestmark = pytest.mark.needs("rqlited")


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


def test_without_a_leader(cluster, backend, with_sql):
    """With level = none the last node goes on, and is taken back."""
    nodes = cluster(3)
    nodes[0].add(backend, JOE)
    wait_until(lambda: '"values"' in nodes[2].get(
        "/db/query?level=none", ["SELECT 1 FROM passdb"]), "the copy")
    proxy = with_sql(config(nodes[2:], "level = none\ntimeout = 2 secs\n"))
    assert rcpt(proxy) == 250
    for node in nodes[:2]:
        node.stop()
    nodes[2].process.send_signal(signal.SIGSTOP)
    for _ in range(3):
        assert rcpt(proxy) == "451 4.3.0 "
    proxy.wait_log("is down")
    nodes[2].process.send_signal(signal.SIGCONT)
    proxy.wait_log("is up again")
    assert rcpt(proxy) == 250
    with pytest.raises(urllib.error.HTTPError, match="503"):
        nodes[2].get("/readyz")


def test_blobs(cluster, backend, with_sql):
    nodes = cluster(1)
    nodes[0].add(backend, JOE, "ann@example.org")
    nodes[0].execute("ALTER TABLE passdb ADD COLUMN bytes BLOB",
                     "UPDATE passdb SET bytes = x'00ff' WHERE userid = 'joe'")
    proxy = with_sql(config(nodes).replace("destuser", "bytes AS destuser"))
    assert rcpt(proxy) == "451 4.3.0 "
    proxy.wait_log("column destuser is a blob")
    assert rcpt(proxy, "ann@example.org") == 250


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
