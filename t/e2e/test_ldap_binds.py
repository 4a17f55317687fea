"""passdb { driver = ldap } and servers that go wrong before there is
anything to ask: connecting, TLS, the bind."""
import signal
import socket
import ssl
import threading

import pytest

import hostile_ldap as ldap
from hostile_ldap import (BIND_RESULT, EXTENDED, EXTENDED_RESULT, Directory,
                          entry, notice, result)
from pki import Pki
from ports import LOCALHOST, free_port
# pylint: disable=unused-import
from test_ldap_hostile import (ANN, ATTRS, CONF, JOE, MIB, OTHER,  # noqa: F401
                               check, is_temporary, rcpt, says, scripts,
                               with_ldap)
from waiting import TIMEOUT, wait_until


# --- on the way in ---

def answers_bind(make, more=lambda connection: connection.until_closed()):
    def script(connection):
        connection.send(make(connection.request().id))
        more(connection)
    return script


def nothing(_connection):
    pass


@pytest.mark.parametrize("script,why", [
    (answers_bind(lambda i: result(i, BIND_RESULT, 49)),
     r"bind: Invalid credentials \(49\)"),
    (answers_bind(lambda i: result(i, BIND_RESULT, 14)), r"bind: .*\(14\)"),
    (answers_bind(lambda i: result(i, BIND_RESULT, 2, text="a\r\nb\\")),
     r"bind: Protocol error \(2\): a\\x0d\\x0ab\\x5c$"),
    (answers_bind(lambda i: result(i, BIND_RESULT, 2, text="x" * MIB)),
     r"bind: Protocol error \(2\): x{1000}$"),
    (answers_bind(result), OTHER),
    (answers_bind(lambda i: result(i, EXTENDED_RESULT)), OTHER),
    (answers_bind(lambda i: entry(i, "dc=x", {})), "no answer to the bind"),
    (answers_bind(lambda i: notice()), "ends the connection"),
    (answers_bind(lambda i: b"SSH-2.0-x\r\n"), "does not speak LDAP"),
    (answers_bind(lambda i: b""), "no answer to the bind"),
    (answers_bind(lambda i: b"", nothing), "connection closed"),
    (nothing, "connection closed"),
    (lambda connection: connection.wait(), "no answer to the bind"),
    (lambda connection: connection.send(b"\0"), "does not speak LDAP"),
    # let in, and then not
    (answers_bind(lambda i: result(i, BIND_RESULT), nothing),
     "connection closed"),
    (answers_bind(lambda i: result(i, BIND_RESULT) + b"\0"),
     "does not speak LDAP"),
    (answers_bind(lambda i: result(i, BIND_RESULT) + notice()),
     "ends the connection"),
])
def test_binds_that_fail(scripts, with_ldap, script, why):
    """The server is tried again now and then, and not again and again."""
    server = scripts(script)
    proxy = with_ldap(server, "connect_timeout = 1 secs\n")
    check(proxy, why, server.url)
    assert is_temporary(rcpt(proxy))
    # After 0.1, 0.2, 0.4, ... seconds, in the two seconds of each lookup.
    assert server.count <= 10


def test_slow_bind(backend, scripts, with_ldap):
    go = threading.Event()

    def script(connection):
        request = connection.request()
        assert go.wait(TIMEOUT)
        connection.send(result(request.id, BIND_RESULT))
        connection.send(Directory(backend).answer(connection.request()))
        connection.until_closed()

    server = scripts(script)
    proxy = with_ldap(server, "connect_timeout = 20 secs\n", timeout=20)
    with proxy.session() as client, proxy.session() as other:
        assert client.mail() == 250
        client.send(f"RCPT TO:<{JOE}>\r\n")
        assert other.deliver(ANN)[0] == 250
        wait_until(lambda: server.requests, "the bind")
        go.set()
        assert client.reply() == 250
    assert "Error" not in proxy.log


def test_connect_refused(with_ldap):
    url = f"ldap://{LOCALHOST}:{free_port()}"
    check(with_ldap(url), "Connection refused", url)


def test_nobody_accepts(with_ldap):
    with socket.create_server((LOCALHOST, 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        others = []
        for _ in range(8):  # until the queue is full
            others.append(socket.socket())
            others[-1].setblocking(False)
            others[-1].connect_ex((LOCALHOST, port))
        url = f"ldap://{LOCALHOST}:{port}"
        check(with_ldap(url, "connect_timeout = 1 secs\n"), "timed out", url)
        for sock in others:
            sock.close()


def test_silent_dns(with_ldap):
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.bind((LOCALHOST, 0))
        server = f"{LOCALHOST}:{sock.getsockname()[1]}"
        check(with_ldap("ldap://ldap.example", "connect_timeout = 1 secs\n",
                        config=f"lmtp_proxy_dns_servers = {server}\n"),
              "timeout in DNS", "ldap://ldap.example")


def test_unknown_name(dns, with_ldap):
    check(with_ldap("ldap://ldap.example",
                    config=f"lmtp_proxy_dns_servers = {dns.server}\n"),
          "host not found", "ldap://ldap.example")


# --- the end, and a reload, in the middle of all that ---

def says_nothing(connection):
    connection.until_closed()


STATES = {
    "bind": (says_nothing, "", "ldap"),
    "search": (says(b""), "", "ldap"),
    "starttls": (says_nothing, "tls = yes\n", "ldap"),
    "handshake": (says_nothing, "", "ldaps"),
}


@pytest.fixture(params=STATES)
def stuck(request, scripts, with_ldap):
    """A server, a proxy, and a client with a lookup that waits for it."""
    script, extra, scheme = STATES[request.param]
    server = scripts(script)
    url = server.url.replace("ldap:", f"{scheme}:")
    proxy = with_ldap(url, "connect_timeout = 8 secs\n" + extra,
                      timeout=8)
    with proxy.session() as client:
        assert client.mail() == 250
        client.send(f"RCPT TO:<{JOE}>\r\n")
        wait_until(lambda: len(server.requests) == 2 if request.param ==
                   "search" else server.count, "the server to be asked")
        yield server, proxy, client


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_end_in_the_middle(stuck, number):
    """Nothing is left behind (the leak checker looks), nothing hangs."""
    _, proxy, _ = stuck
    proxy.signal(number)
    assert proxy.wait_exit() == 0


def test_client_that_leaves(stuck):
    _, proxy, client = stuck
    client.reset()
    proxy.wait_log("Disconnect")
    assert rcpt(proxy, ANN) == 250


def test_reload_in_the_middle(stuck, backend, scripts):
    """Who comes later asks the new server; the old one is let go."""
    server, proxy, client = stuck
    good = scripts(Directory(backend))
    proxy.write_file("ldap.conf.ext", CONF.format(url=good.url, attrs=ATTRS,
                                                  extra=""))
    proxy.reload()
    assert rcpt(proxy) == 250
    assert server.serving == 1
    client.reset()
    wait_until(lambda: server.serving == 0, "the old connection to end")
    assert rcpt(proxy) == 250


# --- TLS ---

def start_tls(make, more=lambda connection: connection.until_closed()):
    """Answers StartTLS."""
    def script(connection):
        request = connection.request()
        assert request.kind == EXTENDED
        assert ldap.START_TLS.decode() in request
        connection.send(make(request.id))
        more(connection)
    return script


def injects(data):
    def more(connection):
        connection.sock.recv(1)  # the handshake has begun
        connection.send(data)
        connection.until_closed()
    return more


TLS_OK = EXTENDED_RESULT
INJECTED = result(2, BIND_RESULT) + entry(3, "dc=x", {"host": "evil"})


@pytest.mark.parametrize("script,why", [
    (start_tls(lambda i: result(i, TLS_OK, 2)), r"StartTLS: Protocol error"),
    (start_tls(lambda i: result(i, TLS_OK, 52)), r"StartTLS: .*\(52\)"),
    (start_tls(lambda i: result(i, BIND_RESULT)), OTHER),
    (start_tls(result), OTHER),
    (start_tls(lambda i: notice()), "ends the connection"),
    (start_tls(lambda i: b""), "no answer to StartTLS"),
    (start_tls(lambda i: b"", nothing), "connection closed"),
    (start_tls(lambda i: result(i, TLS_OK) + INJECTED),
     "StartTLS: the server went on in clear"),
    (start_tls(lambda i: result(i, TLS_OK) + INJECTED[:1]),
     "StartTLS: the server went on in clear"),
    (start_tls(lambda i: INJECTED + result(i, TLS_OK), injects(b"\0" * 99)),
     "TLS|SSL"),
    (start_tls(lambda i: result(i, TLS_OK), injects(INJECTED)), "TLS|SSL"),
    (start_tls(lambda i: result(i, TLS_OK)),
     "timeout in the TLS handshake"),
    (start_tls(lambda i: result(i, TLS_OK), nothing), ""),
])
def test_start_tls_that_fails(scripts, with_ldap, script, why):
    """Nothing that matters is ever said in clear, or believed."""
    server = scripts(script)
    proxy = with_ldap(server, "tls = yes\nconnect_timeout = 1 secs\n"
                      "tls_require_cert = never\n")
    check(proxy, why, server.url)
    assert {r.kind for r in server.requests} == {EXTENDED}
    assert not any("secret" in r for r in server.requests)


@pytest.mark.parametrize("script,why", [
    (lambda connection: connection.wait(), "timeout in the TLS handshake"),
    (nothing, ""),
    (lambda connection: connection.send(b"HTTP/1.1 400 x\r\n\r\n"),
     "TLS|SSL|wrong version"),
    (lambda connection: connection.send(result(1, BIND_RESULT)),
     "TLS|SSL|wrong version"),
])
def test_ldaps_that_is_none(scripts, with_ldap, script, why):
    server = scripts(script)
    url = server.url.replace("ldap:", "ldaps:")
    check(with_ldap(url, "connect_timeout = 1 secs\n"), why, url)


@pytest.fixture
def pki(directory):
    return Pki(directory / "pki")


@pytest.mark.parametrize("names,days,why", [
    ([f"IP:{LOCALHOST}"], -1, "certificate has expired"),
    (["elsewhere.example"], 2, "mismatch"),
    (["IP:127.0.0.99"], 2, "mismatch"),
    (["*"], 2, "mismatch"),
])
def test_certificates(backend, scripts, with_ldap, pki, names, days, why):
    context = pki.server(pki.make(*names, days=days))
    server = scripts(Directory(backend), tls=context)
    proxy = with_ldap(server, f"tls_ca_cert_file = {pki.ca.cert}\n")
    check(proxy, why, server.url)
    assert not server.requests
    good = scripts(Directory(backend),
                   tls=pki.server(pki.make(f"IP:{LOCALHOST}")))
    proxy = with_ldap(f"{server.url} {good.url}",
                      f"tls_ca_cert_file = {pki.ca.cert}\n")
    assert rcpt(proxy) == 250


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_tls(scripts, with_ldap, pki):
    context = pki.server(pki.make(f"IP:{LOCALHOST}"))
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    server = scripts(nothing, tls=context)
    check(with_ldap(server, f"tls_ca_cert_file = {pki.ca.cert}\n"),
          "version|alert", server.url)
