"""Backends by name."""

import pytest

from fakedns import SILENT
from waypost import free_port


def passdb(host, port, fields=""):
    return ("passdb {\n  driver = static\n  args = nopassword=y proxy=y "
            f"host={host} port={port} {fields}\n}}\n")


@pytest.fixture
def session(waypost, dns, backend, client):
    """A session; the zone has the backend's address for mx.test."""

    def start(zone, config="", host="mx.test", port=None, fields=""):
        server = backend()
        names = dns(zone)
        connection = client(waypost(
            passdb(host, port or server.port, fields) + names.setting +
            config))
        connection.server, connection.names = server, names
        connection.lhlo()
        return connection

    return start


def failed(connection, why="DNS lookup"):
    connection.mail()
    reply = connection.rcpt("joe@example.org")
    assert str(reply).startswith(
        f"451 4.4.0 <joe@example.org> Proxy failed ({why}, session="), reply
    connection.ok("RSET")


def test_name(session):
    connection = session({"mx.test": ["127.0.0.1"]})
    assert connection.deliver("joe@example.org")[0].code == 250
    assert ("mx.test", 1) in connection.names.queries


def test_several_addresses_of_both_kinds(session):
    # Dead ones before the one that works.
    connection = session({"mx.test": ["::2", "127.0.0.71", "127.0.0.72",
                                      "127.0.0.1"]})
    assert connection.deliver("joe@example.org")[0].code == 250


def test_silent_address_first(session):
    # Nothing answers at 192.0.2.0/24: the next one is tried meanwhile.
    connection = session({"mx.test": ["192.0.2.1", "127.0.0.1"]},
                         "lmtp_proxy_connect_timeout = 20s\n")
    connection.sock.settimeout(5)
    assert connection.deliver("joe@example.org")[0].code == 250


def test_no_such_name(session):
    connection = session({})
    failed(connection)


def test_name_without_addresses(session):
    failed(session({"mx.test": []}))


def test_all_addresses_dead(session):
    failed(session({"mx.test": ["127.0.0.71", "127.0.0.72"]}), "connect")


def test_silent_name_server(session):
    failed(session({"mx.test": SILENT}, "lmtp_proxy_dns_timeout = 1s\n"))


def test_name_server_that_is_not_there(waypost, client):
    connection = client(waypost(
        passdb("mx.test", 24) + "lmtp_proxy_dns_timeout = 1s\n"
        f"lmtp_proxy_dns_servers = 127.0.0.1:{free_port()}\n"))
    connection.lhlo()
    failed(connection)


def test_literals_are_not_looked_up(session):
    connection = session({}, host="127.0.0.1")
    assert connection.deliver("joe@example.org")[0].code == 250
    assert connection.names.queries == []


def test_name_is_asked_again_for_a_new_connection(session):
    connection = session({"mx.test": ["127.0.0.71"]})
    failed(connection, "connect")
    connection.names.zone["mx.test"] = ["127.0.0.1"]
    assert connection.deliver("joe@example.org")[0].code == 250


def test_search_list_is_not_used(session):
    # A name without dots is asked for as it is.
    connection = session({"mx": ["127.0.0.1"]}, host="mx")
    assert connection.deliver("joe@example.org")[0].code == 250
    assert {name for name, _ in connection.names.queries} == {"mx"}


def test_slow_name_does_not_hold_up_others(tmp, waypost, dns, backend,
                                           client):
    server = backend()
    names = dns({"slow.test": SILENT})
    (tmp / "users").write_text(
        "slow@example.org:::::::proxy=y host=slow.test port=24\n"
        "joe@example.org:::::::proxy=y host=127.0.0.1 "
        f"port={server.port}\n")
    proxy = waypost(f"passdb {{\n  driver = passwd-file\n"
                    f"  args = {tmp}/users\n}}\n" + names.setting)
    stuck = client(proxy)
    stuck.lhlo()
    stuck.send("MAIL FROM:<>\r\nRCPT TO:<slow@example.org>\r\n")
    other = client(proxy)
    other.lhlo()
    assert other.deliver("joe@example.org")[0].code == 250


def test_loop_by_name(waypost, dns, client):
    names = dns({"mx.test": ["127.0.0.1"]})
    # Without a port it is the one that the client came to.
    proxy = waypost("passdb {\n  driver = static\n  args = nopassword=y "
                    "proxy=y host=mx.test\n}\n" + names.setting)
    connection = client(proxy)
    connection.lhlo()
    connection.mail()
    assert str(connection.rcpt("joe@example.org")) == \
        "554 5.4.6 <joe@example.org> Proxying loops to itself"


def test_proxy_maybe_by_name(waypost, dns, client):
    names = dns({"mx.test": ["127.0.0.1"]})
    proxy = waypost("passdb {\n  driver = static\n  args = nopassword=y "
                    "proxy_maybe=y host=mx.test\n}\n" + names.setting)
    connection = client(proxy)
    connection.lhlo()
    connection.mail()
    reply = connection.rcpt("joe@example.org")
    assert (reply.code, reply.enhanced) == (451, "4.3.5")


@pytest.mark.parametrize("host", ["mx.test.", "MX.TEST"])
def test_spellings(session, host):
    connection = session({"mx.test": ["127.0.0.1"]}, host=host)
    assert connection.deliver("joe@example.org")[0].code == 250


def test_gone_during_lookup(session):
    connection = session({"mx.test": SILENT})
    connection.mail()
    connection.send("RCPT TO:<joe@example.org>\r\n")
    assert connection.is_silent(0.1)
    connection.reset()
