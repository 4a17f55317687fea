"""Settings of TLS with clients, from the configuration to the handshake."""
import ssl

import pytest

from lmtp_client import Client
from pki import RSA, openssl
from test_tls_server import cert, pki, secure, ssl_settings  # noqa: F401

TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
AES128 = "ECDHE-ECDSA-AES128-GCM-SHA256"
AES256 = "ECDHE-ECDSA-AES256-GCM-SHA384"


def cipher(proxy, context):
    with Client(proxy.tls_address, tls=context) as client:
        assert client.lhlo() == 250
        return client.sock.cipher()[0]


def test_key_with_a_password(secure, cert, pki):  # noqa: F811
    key = cert.key.with_name("locked.key")
    openssl("ec", "-in", cert.key, "-aes128", "-passout", "pass:geheim",
            "-out", key)
    key.chmod(0o644)
    assert b"ENCRYPTED" in key.read_bytes()
    config = (f"ssl_cert = <{cert.cert}\nssl_key = <{key}\n"
              "ssl_key_password = {}\n")
    proxy = secure(config.format("geheim"), pair=None)
    assert cipher(proxy, pki.client(TLS13))
    proxy.write_config(proxy.base.replace("geheim", "falsch"))
    result = proxy.run("-t")
    assert result.returncode == 78 and "ssl_key" in result.stderr


@pytest.mark.parametrize("name", [
    AES128, "ECDHE-RSA-AES128-GCM-SHA256"])
def test_second_certificate(secure, pki, name):  # noqa: F811
    """Each client gets the one that it can use."""
    other = pki.make("proxy.example", key=RSA)
    proxy = secure(ssl_settings(other, "ssl_alt"))
    context = pki.client(TLS12)
    context.set_ciphers(name)
    assert cipher(proxy, context) == name


@pytest.mark.parametrize("ours,seen", [("no", AES128), ("yes", AES256)])
def test_whose_order_of_ciphers(secure, pki, ours, seen):  # noqa: F811
    proxy = secure(f"ssl_cipher_list = {AES256}:{AES128}\n"
                   f"ssl_prefer_server_ciphers = {ours}\n")
    context = pki.client(TLS12)
    context.set_ciphers(f"{AES128}:{AES256}")
    assert cipher(proxy, context) == seen


def test_cipher_suites(secure, pki):  # noqa: F811
    name = "TLS_CHACHA20_POLY1305_SHA256"
    proxy = secure(f"ssl_cipher_suites = {name}\n")
    assert cipher(proxy, pki.client(TLS13)) == name


def test_groups(secure, pki):  # noqa: F811
    proxy = secure("ssl_curve_list = P-384\n")
    context = pki.client(TLS13)
    context.set_ecdh_curve("prime256v1")
    with pytest.raises(ssl.SSLError):
        cipher(proxy, context)
    context = pki.client(TLS13)
    context.set_ecdh_curve("secp384r1")
    assert cipher(proxy, context)


@pytest.mark.parametrize("options,tickets", [
    ("", True), ("no_compression", True), ("no_ticket", False)])
def test_tickets(secure, pki, options, tickets):  # noqa: F811
    proxy = secure(f"ssl_options = {options}\n")
    with Client(proxy.tls_address, tls=pki.client(TLS12)) as client:
        assert client.lhlo() == 250
        assert client.sock.session.has_ticket == tickets
