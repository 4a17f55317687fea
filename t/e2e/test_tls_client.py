"""TLS with backends: the passdb fields ssl and starttls."""
import contextlib
import re
import ssl
import subprocess

import pytest

from pki import Pki
from ports import LOCALHOST, other_host
from scripted_backend import close, silent

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
MODES = ["ssl", "starttls"]
BIG = b"Subject: big\r\n\r\n" + b"0123456789abcdef" * 64 * 1024 * 4 + b"\r\n"
NAME = "backend.example"


@pytest.fixture
def pki(directory):
    return Pki(directory / "pki")


@pytest.fixture
def tls_backend(backends, pki):
    """tls_backend(mode): one with a certificate for backend.example."""
    def make(mode, pair=None, version=None, client_ca=None, **kwargs):
        context = pki.server(pair or pki.make(NAME), version, client_ca)
        server = backends(tls=context, starttls=mode == "starttls", **kwargs)
        server.names = []
        context.sni_callback = (
            lambda sock, name, ctx: server.names.append(name))
        return server

    return make


def to_backend(server, fields, host=NAME):
    """Under the name of its certificate, at its address."""
    return (f"passdb {{\n  driver = static\n  args = nopassword=y proxy=y "
            f"host={host} hostip={server.host} port={server.port} {fields}\n"
            "}\n")


@pytest.fixture
def to(waypost, pki):
    """to(server, fields): a waypost that trusts the CA."""
    def start(server, fields, config="", host=NAME):
        proxy = waypost(to_backend(server, fields, host) +
                        f"ssl_client_ca_file = {pki.ca.cert}\n" + config)
        return proxy

    return start


def rcpt(proxy):
    with proxy.session() as client:
        client.mail()
        return client.rcpt("joe@example.org")


def refused(proxy, reply, reason):
    """A recipient is refused for now, and the log says why, as an error."""
    got = rcpt(proxy)
    assert got == reply, got
    proxy.wait_log(rf"Error: .*not sent .*{reason}")


def heard(server):
    return [line for line in server.commands if not line.startswith("LHLO")]


# --- it works ---

@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("mode", MODES)
def test_delivery(tls_backend, to, mode, version):
    server = tls_backend(mode, version=version)
    proxy = to(server, f"{mode}=yes")
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250
        assert client.deliver("joe@example.org")[0] == 250
    assert len(server.wait_messages(2)) == 2
    conn, = server.connections
    assert conn.secured and server.names == [NAME]
    hellos = [line for line in conn.commands if line.startswith("LHLO")]
    assert len(hellos) == (2 if mode == "starttls" else 1)


@pytest.mark.parametrize("mode", MODES)
def test_smtp(tls_backend, to, mode):
    server = tls_backend(mode, lmtp=False)
    proxy = to(server, f"{mode}=yes protocol=smtp")
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250
    assert server.messages and server.connections[0].secured


@pytest.mark.parametrize("mode", MODES)
def test_large_mail(tls_backend, to, mode):
    server = tls_backend(mode)
    proxy = to(server, f"{mode}=yes")
    with proxy.session() as client:
        assert client.deliver("joe@example.org", BIG)[0] == 250
    assert server.wait_messages(1)[0].text == BIG


def test_tls_on_both_sides(tls_backend, to, pki):
    server, pair = tls_backend("starttls"), pki.make("proxy.example")
    proxy = to(server, "starttls=yes",
               f"ssl_cert = <{pair.cert}\nssl_key = <{pair.key}\n")
    with proxy.session() as client:
        client.starttls(pki.client())
        client.lhlo()
        assert client.deliver("joe@example.org", BIG)[0] == 250
    assert server.wait_messages(1)[0].text == BIG


def test_address_in_the_certificate(tls_backend, to, pki):
    server = tls_backend("ssl", pki.make(f"IP:{LOCALHOST}"))
    proxy = to(server, "ssl=yes", host=LOCALHOST)
    assert rcpt(proxy) == 250
    assert server.names == [None]


def test_client_certificate(tls_backend, to, pki):
    server = tls_backend("ssl", client_ca=pki.ca.cert)
    pair = pki.make("proxy.example")
    proxy = to(server, "ssl=yes",
               f"ssl_client_cert = <{pair.cert}\n"
               f"ssl_client_key = <{pair.key}\n")
    assert rcpt(proxy) == 250
    subject = server.connections[0].sock.getpeercert()["subject"]
    assert subject == ((("commonName", "proxy.example"),),)


def test_missing_client_certificate(tls_backend, to, pki):
    server = tls_backend("ssl", client_ca=pki.ca.cert)
    proxy = to(server, "ssl=yes")
    assert rcpt(proxy).code == 451
    assert not server.commands


def test_ca_directory(tls_backend, waypost, pki, directory):
    hashes = directory / "cas"
    hashes.mkdir(mode=0o755)
    name = subprocess.run(["openssl", "x509", "-hash", "-noout", "-in",
                           pki.ca.cert], check=True, capture_output=True,
                          text=True).stdout.strip()
    (hashes / f"{name}.0").write_bytes(pki.ca.cert.read_bytes())
    server = tls_backend("ssl")
    proxy = waypost(to_backend(server, "ssl=yes") +
                    f"ssl_client_ca_dir = {hashes}\n")
    assert rcpt(proxy) == 250


# --- certificates that do not verify ---

def wrong(pki, directory, how):
    if how == "expired":
        return pki.make(NAME, days=-1)
    if how == "another host":
        return pki.make("other.example")
    if how == "self-signed":
        return pki.self_signed(NAME)
    return Pki(directory / "stranger").make(NAME)


REASONS = {"expired": "certificate has expired",
           "another host": "hostname mismatch",
           "self-signed": "self-signed certificate",
           "unknown CA": "unable to get local issuer certificate"}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("how", list(REASONS))
def test_untrusted(tls_backend, to, pki, directory, mode, how):
    server = tls_backend(mode, wrong(pki, directory, how))
    proxy = to(server, f"{mode}=yes")
    refused(proxy, "451 4.7.5 <joe@example.org> Proxy failed (certificate, ",
            REASONS[how])
    assert heard(server) == (["STARTTLS"] if mode == "starttls" else [])
    proxy.reload(to_backend(server, f"{mode}=any-cert"))
    assert rcpt(proxy) == 250


def test_valid_certificate_not_required(tls_backend, to, pki):
    server = tls_backend("ssl", pki.self_signed("whoever"))
    proxy = to(server, "ssl=yes", "ssl_client_require_valid_cert = no\n")
    assert rcpt(proxy) == 250


def test_no_ca_at_all(tls_backend, waypost):
    server = tls_backend("ssl")
    proxy = waypost(to_backend(server, "ssl=yes"))
    refused(proxy, "451 4.7.5 ", "neither ssl_client_ca_file nor "
            "ssl_client_ca_dir is set")
    assert not server.connections


def test_others_are_not_affected(tls_backend, backends, instance, pki):
    bad, good, clear = (tls_backend("ssl", pki.self_signed(NAME)),
                        tls_backend("ssl"), backends())
    proxy = instance()
    proxy.write_file("users", "".join(
        f"{user}@example.org:::::::proxy host={NAME} hostip={b.host} "
        f"port={b.port} {tls}\n" for user, b, tls in (
            ("bad", bad, "ssl=yes"), ("good", good, "ssl=yes"),
            ("clear", clear, ""))))
    proxy.start(f"passdb {{\n driver = passwd-file\n"
                f" args = {proxy.dir}/users\n}}\n"
                f"ssl_client_ca_file = {pki.ca.cert}\n")
    with proxy.session() as client:
        client.mail()
        assert client.rcpt("bad@example.org") == "451 4.7.5 "
        assert client.rcpt("good@example.org") == 250
        assert client.rcpt("clear@example.org") == 250
        assert [r.code for r in client.data("hi\r\n", 2)] == [250, 250]
    assert not bad.messages


# --- backends that do not do as they should ---

def test_starttls_not_offered(backend, to):
    proxy = to(backend, "starttls=yes")
    refused(proxy, "451 4.7.4 <joe@example.org> Proxy failed (TLS, ",
            "does not offer STARTTLS")
    assert not heard(backend)


def test_smtp_without_extensions(backends, to):
    server = backends(lmtp=False)
    server.on("lhlo", "500 5.5.1 what?", times=1)
    proxy = to(server, "starttls=yes protocol=smtp")
    refused(proxy, "451 4.7.4 ", "does not offer STARTTLS")
    assert [line[:4] for line in server.commands] == ["EHLO", "HELO"]


def test_what_was_offered_in_clear_is_forgotten(tls_backend, to):
    """An EHLO that fails under TLS leaves an SMTP server without extensions,
    whatever it, or somebody in between, had said in clear."""
    server = tls_backend("starttls", lmtp=False)
    server.on("lhlo", lambda conn, arg: server.usual("lhlo", conn)
              if not conn.secured else "502 5.5.1 no" if arg.startswith("EHLO")
              else "250 hi")
    proxy = to(server, "starttls=yes protocol=smtp")
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250
    segments = b"\0".join(server.connections[0].segments)
    assert b"MAIL FROM:<sender@example.net>\r\n\0RCPT" in segments, segments


def test_next_address_hears_nothing_in_clear(tls_backend, dns, waypost, pki):
    """The server at the first one went wrong after STARTTLS."""
    first = tls_backend("starttls", host=other_host(10))
    second = tls_backend("starttls", host=other_host(11), port=first.port)
    first.on("lhlo", lambda conn, arg: "451 4.3.0 later" if conn.secured
             else first.usual("lhlo", conn))
    dns.zone[NAME] = [first.host, second.host]
    proxy = waypost(f"lmtp_proxy_dns_servers = {dns.server}\n"
                    f"ssl_client_ca_file = {pki.ca.cert}\npassdb {{\n"
                    " driver = static\n args = nopassword=y proxy=y "
                    f"starttls=yes host={NAME} port={first.port}\n}}\n")
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250
    assert first.connections[0].secured
    assert second.connections[0].secured
    assert heard(second)[0] == "STARTTLS"


def test_the_next_address_does_not_hide_what_is_wrong(tls_backend, dns, waypost,
                                                      pki):
    """With the first: localhost is ::1, too, where mostly nobody listens."""
    first = tls_backend("starttls", pki.make("other.example"))
    dns.zone[NAME] = [first.host, other_host(12)]
    proxy = waypost(f"lmtp_proxy_dns_servers = {dns.server}\n"
                    f"ssl_client_ca_file = {pki.ca.cert}\npassdb {{\n"
                    " driver = static\n args = nopassword=y proxy=y "
                    f"starttls=yes host={NAME} port={first.port}\n}}\n")
    refused(proxy, "451 4.7.5 ", rf'error="{first.host}:{first.port}: .*certificate.*; '
            rf"then connect\({other_host(12)}:\d+\) failed")


@pytest.mark.parametrize("reply", ["454 4.7.0 not now", "502 5.5.1 no"])
def test_starttls_refused(tls_backend, to, reply):
    server = tls_backend("starttls")
    server.on("starttls", reply)
    proxy = to(server, "starttls=yes")
    refused(proxy, "451 4.4.0 ", f"STARTTLS: {reply}")
    assert heard(server) == ["STARTTLS"]


@pytest.mark.parametrize("injected", ["250 x", "250-x\r\n250 STARTTLS"])
def test_replies_injected_behind_starttls(tls_backend, to, injected):
    server = tls_backend("starttls")
    server.on("starttls", f"220 go\r\n{injected}")
    proxy = to(server, "starttls=yes")
    assert rcpt(proxy).code == 451
    assert not [c for c in heard(server) if c != "STARTTLS"]


def test_tls_port_that_speaks_clear(backend, to):
    proxy = to(backend, "ssl=yes")
    refused(proxy, "451 4.7.4 ", "the peer does not speak TLS")
    assert not heard(backend)


@pytest.mark.parametrize("mode", MODES)
def test_stalled_handshake(tls_backend, backend, to, mode):
    server = tls_backend("starttls") if mode == "starttls" else backend
    server.on("connect", silent if mode == "ssl" else "220 hi")

    def stall(conn, arg):
        conn.reply("220 go")
        server.wait_release(conn)
        close(conn, arg)
    server.on("starttls", stall)
    proxy = to(server, f"{mode}=yes",
               "lmtp_proxy_connect_timeout = 500 msecs\n")
    refused(proxy, "451 4.4.0 ", "connect timed out")


def test_closed_in_the_handshake(tls_backend, to):
    server = tls_backend("starttls")
    server.on("starttls", lambda conn, arg: conn.reply("220 go") or
              close(conn, arg))
    proxy = to(server, "starttls=yes")
    refused(proxy, "451 4.7.4 ", "TLS handshake failed")


def half_close(conn, arg):
    """close_notify in place of a reply, and the end once it is answered."""
    with contextlib.suppress(OSError):
        conn.sock.unwrap()
    close(conn, arg)


@pytest.mark.parametrize("how", [close, half_close])
@pytest.mark.parametrize("stage", ["dot", "data", "rcpt"])
def test_cut_off(tls_backend, to, stage, how):
    """Never 250 for what the backend did not say."""
    server = tls_backend("ssl")
    server.on(stage, how)
    proxy = to(server, "ssl=yes")
    with proxy.session() as client:
        client.mail()
        reply = client.rcpt("joe@example.org")
        if stage != "rcpt":
            assert reply == 250
            reply = client.data("hi\r\n", 1)[0]
        assert reply.code == 451


# --- the pool ---

@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("mode", MODES)
def test_sessions_are_resumed(tls_backend, to, mode, version):
    server = tls_backend(mode, version=version)
    proxy = to(server, f"{mode}=yes", "lmtp_proxy_pool_max_idle = 0\n"
               "service lmtp {\n  process_min_avail = 1\n}\n")
    with proxy.session() as client:
        for _ in range(4):
            assert client.deliver("joe@example.org")[0] == 250
    assert len(server.wait_connections(4)) == 4
    server.wait_closed()
    stats = server.tls.session_stats()
    assert stats["hits"] == 3, stats


def test_modes_do_not_share_connections(tls_backend, instance, pki):
    """A connection whose certificate nobody looked at is for nobody else."""
    server = tls_backend("starttls", pki.self_signed(NAME))
    proxy = instance()
    proxy.threads = 1
    proxy.write_file("users", "".join(
        f"{user}@example.org:::::::proxy host={NAME} hostip={server.host} "
        f"port={server.port} {tls}\n" for user, tls in (
            ("any", "starttls=any-cert"), ("strict", "starttls=yes"),
            ("clear", ""))))
    proxy.start(f"passdb {{\n driver = passwd-file\n"
                f" args = {proxy.dir}/users\n}}\n"
                f"ssl_client_ca_file = {pki.ca.cert}\n")
    with proxy.session() as client:
        assert client.deliver("any@example.org")[0] == 250
        client.mail()
        assert client.rcpt("strict@example.org") == "451 4.7.5 "
        client.command("RSET")
        assert client.deliver("any@example.org")[0] == 250
        assert client.deliver("clear@example.org")[0] == 250
    assert [conn.secured for conn in server.connections
            if conn.messages] == [True, False]


def test_connection_limit_and_other_terms(tls_backend, instance, pki):
    """An idle connection of other terms gives its place up, not itself."""
    server = tls_backend("starttls")
    proxy = instance()
    proxy.threads = 1
    config = (f"passdb {{\n driver = passwd-file\n args = {proxy.dir}/users\n}}\n"
              f"ssl_client_ca_file = {pki.ca.cert}\n"
              "lmtp_proxy_pool_max_connections = 1\n")
    proxy.write_file("users", f"joe@example.org:::::::proxy host={NAME} "
                     f"hostip={server.host} port={server.port} starttls=yes\n")
    proxy.start(config)
    with proxy.session() as old:
        assert old.deliver("joe@example.org")[0] == 250
        proxy.reload(config + "ssl_min_protocol = TLSv1.3\n")
        with proxy.session() as new:
            assert new.deliver("joe@example.org")[0] == 250
        assert old.deliver("joe@example.org")[0] == 250
    assert len(server.connections) == 3


def test_new_ca_on_reload(tls_backend, to, directory):
    """No connection and no session that the old one vouched for is used."""
    server = tls_backend("ssl")
    proxy = to(server, "ssl=yes")
    assert rcpt(proxy) == 250
    other = Pki(directory / "other")
    proxy.reload(to_backend(server, "ssl=yes") +
                 f"ssl_client_ca_file = {other.ca.cert}\n")
    refused(proxy, "451 4.7.5 ", "certificate verify failed")


# --- Dovecot ---

@pytest.mark.needs("dovecot")
@pytest.mark.parametrize("mode", MODES)
def test_dovecot(dovecot, waypost, pki, mode):
    pair = pki.make(NAME)
    server = dovecot(extra=f"ssl = yes\nssl_cert = <{pair.cert}\n"
                     f"ssl_key = <{pair.key}\n")
    if mode == "ssl":
        server.port = server.tls_port
    proxy = waypost(to_backend(server, f"{mode}=yes") +
                    f"ssl_client_ca_file = {pki.ca.cert}\n")
    body = b"Subject: big\r\n\r\n" + b"0123456789abcdef\r\n" * 40000
    with proxy.session() as client:
        assert client.deliver("joe@example.org", body)[0] == 250
        assert client.deliver("joe@example.org")[0] == 250
    mails = server.wait_mails(2)
    assert max(map(len, mails)) > 16 * 40000
    for mail in mails:
        assert re.search(rb"\(using TLSv1\.[23] with cipher .*\)\n\tby "
                         rb"dovecot\.example with LMTPS", mail)
