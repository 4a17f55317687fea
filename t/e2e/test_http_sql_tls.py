"""The passdb http-sql: names of stores, and TLS."""
import pathlib
import re
import ssl

import pytest

from http_sql import (JOE, PASSDB, TEMPORARY, certificates, put,  # noqa: F401
                      rcpt, store, stores, with_sql)
from pki import Pki, openssl
from ports import LOCALHOST, other_host


def test_name_of_a_store(store, backend, with_sql, dns):
    put(store, backend)
    dns.zone["sql.example"] = [other_host(1), LOCALHOST]
    proxy = with_sql(store.config(url=f"http://sql.example:{store.port}"),
                     f"lmtp_proxy_dns_servers = {dns.server}\n")
    for _ in range(3):
        assert rcpt(proxy) == 250
    assert store.requests[0].headers["host"] == f"sql.example:{store.port}"
    assert "Error" not in proxy.log


def test_name_that_does_not_exist(store, with_sql, dns):
    proxy = with_sql(store.config(url=f"http://nx.example:{store.port}"),
                     f"lmtp_proxy_dns_servers = {dns.server}\n")
    assert rcpt(proxy).raw == [TEMPORARY]
    proxy.wait_log("DNS lookup of nx.example failed: ")


def test_dns_that_does_not_answer(store, backend, with_sql, dns):
    """It takes the time of the store that has the name, and no more."""
    put(store, backend)
    dns.fail["sql.example"] = "drop"
    url = f"http://sql.example:{store.port}"
    proxy = with_sql(store.config("timeout = 2 secs\n",
                                  url=f"{url} {store.url}"),
                     f"lmtp_proxy_dns_servers = {dns.server}\n")
    assert rcpt(proxy) == 250
    proxy.wait_log(rf"Error: .*{JOE}: {url}: no answer from DNS within 2000 ms")
    assert rcpt(proxy) == 250
    assert proxy.log.count("no answer from DNS") == 2, "and that it is down"


@pytest.mark.needs("openssl")
@pytest.mark.parametrize("name,more,works,log", [
    ("sql.example", "tls_ca_cert_file = {ca}\n", True, ""),
    ("other.example", "tls_ca_cert_file = {ca}\n", False,
     "no alternative certificate subject name matches"),
    ("sql.example", "", False, "unable to get local issuer certificate"),
    ("other.example", "tls_require_cert = never\n", True, ""),
    ("other.example", "tls_ca_cert_file = {ca}\ntls_require_cert = allow\n",
     True, ""),
    ("sql.example", "tls_ca_cert_dir = {dir}\n", True, ""),
    ("sql.example", "tls_ca_cert_dir = {empty}\n", False,
     "unable to get local issuer certificate"),
])
def test_tls(stores, backend, with_sql, dns, certificates, name, more, works,
             log):
    ca, _, _, context = certificates
    store = stores(tls=context)
    put(store, backend)
    dns.zone[name] = [LOCALHOST]
    hashed = ca.parent / "hashed"
    (hashed / "empty").mkdir(parents=True)
    link = openssl("x509", "-hash", "-noout", "-in", ca).decode().strip()
    (hashed / f"{link}.0").symlink_to(ca)
    more = more.format(ca=ca, dir=hashed, empty=hashed / "empty")
    proxy = with_sql(store.config(more,
                                  url=f"https://{name}:{store.port}"),
                     f"lmtp_proxy_dns_servers = {dns.server}\n")
    reply = rcpt(proxy)
    if works:
        assert reply == 250
        assert rcpt(proxy) == 250
        assert store.connections == 1, "it is kept"
    else:
        assert reply.raw == [TEMPORARY]
        proxy.wait_log(log)


@pytest.mark.needs("openssl")
def test_client_certificate(stores, backend, with_sql, certificates):
    ca, cert, key, context = certificates
    context.load_verify_locations(ca)
    context.verify_mode = ssl.CERT_REQUIRED
    store = stores(tls=context)
    put(store, backend)
    more = "tls_require_cert = never\n"
    assert rcpt(with_sql(store.config(more))).raw == [TEMPORARY]
    assert rcpt(with_sql(store.config(
        more + f"tls_cert_file = {cert}\ntls_key_file = {key}\n"))) == 250


def bytes_read(proxy):
    """By the processes that look users up, from files and sockets."""
    return sum(int(re.search(r"rchar: (\d+)",
                             pathlib.Path(f"/proc/{pid}/io").read_text())[1])
               for pid in proxy.workers())


@pytest.mark.needs("openssl")
def test_cas_of_the_system_are_read_at_the_start(stores, with_sql, dns,
                                                 certificates):
    """And not by each connection, while all others wait."""
    system = pathlib.Path("/etc/ssl/certs/ca-certificates.crt")
    assert system.stat().st_size > 50000, "too small to be noticed"
    store = stores(tls=certificates[3])
    dns.zone["sql.example"] = [LOCALHOST]
    proxy = with_sql(store.config(url=f"https://sql.example:{store.port}"),
                     f"lmtp_proxy_dns_servers = {dns.server}\n")
    before = bytes_read(proxy)
    assert rcpt(proxy).raw == [TEMPORARY]
    proxy.wait_log("unable to get local issuer certificate")
    assert bytes_read(proxy) - before < 50000


@pytest.mark.needs("openssl")
@pytest.mark.needs_root
def test_tls_files_that_only_root_may_read(instance, stores, backend, dns,
                                           certificates):
    ca, cert, key, context = certificates
    context.load_verify_locations(ca)
    context.verify_mode = ssl.CERT_REQUIRED
    store = stores(tls=context)
    put(store, backend)
    dns.zone["sql.example"] = [LOCALHOST]
    proxy = instance(as_root=True)
    for path in (ca, cert, key):
        path.chmod(0o600)
    proxy.write_file("sql.conf.ext", store.config(
        f"tls_ca_cert_file = {ca}\ntls_cert_file = {cert}\n"
        f"tls_key_file = {key}\n", url=f"https://sql.example:{store.port}"))
    proxy.start(PASSDB.format(dir=proxy.dir) +
                f"lmtp_proxy_dns_servers = {dns.server}\n")
    assert rcpt(proxy) == 250


@pytest.mark.needs("openssl")
def test_certificate_and_key_in_one_file(stores, backend, with_sql,
                                         certificates, directory):
    ca, cert, key, context = certificates
    context.load_verify_locations(ca)
    context.verify_mode = ssl.CERT_REQUIRED
    store = stores(tls=context)
    put(store, backend)
    both = directory / "both.pem"
    both.write_text(cert.read_text() + key.read_text())
    assert rcpt(with_sql(store.config(
        f"tls_require_cert = never\ntls_cert_file = {both}\n"))) == 250


@pytest.mark.needs("openssl")
@pytest.mark.parametrize("more,message", [
    ("tls_ca_cert_file = {bad}\n", "tls_ca_cert_file: not certificates"),
    ("tls_ca_cert_file = {key}\n", "tls_ca_cert_file: no certificate"),
    ("tls_ca_cert_file = {none}\n", "tls_ca_cert_file: .* nothing in PEM"),
    ("tls_ca_cert_dir = {bad}\n", "tls_ca_cert_dir: .*no such directory"),
    ("tls_cert_file = {bad}\ntls_key_file = {key}\n",
     "tls_cert_file: not a certificate"),
    ("tls_cert_file = {cert}\n", "tls_key_file: not a private key"),
    ("tls_cert_file = {cert}\ntls_key_file = {other}\n",
     "tls_cert_file: private key mismatch"),
    ("tls_key_file = {key}\n", "tls_key_file: it needs tls_cert_file"),
    ("tls_cipher_suite = NOSUCH\n", "tls_cipher_suite: no cipher match"),
])
def test_tls_settings_that_cannot_work(with_sql, store, certificates,
                                       directory, more, message):
    ca, cert, key, _ = certificates
    bad, none = directory / "bad.pem", directory / "none.pem"
    bad.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n"
                   "-----END CERTIFICATE-----\n")
    none.write_text("hello\n")
    other = Pki(directory / "others").ca.key
    for path in (bad, none):
        path.chmod(0o644)
    more = more.format(bad=bad, none=none, cert=cert, key=key, other=other)
    result = with_sql(store.config(more), ready=False).run("-t")
    assert result.returncode != 0
    assert re.search(r"sql\.conf\.ext(:\d+)?: " + message, result.stderr), \
        result.stderr
