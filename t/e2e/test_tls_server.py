"""TLS with clients: STARTTLS, and TLS from the first byte."""
import contextlib
import re
import select
import signal
import smtplib
import socket
import ssl
import subprocess

import pytest

from lmtp_client import Client, Disconnected, dot_stuff
from pki import Pki
from ports import LOCALHOST, free_port
from waiting import TIMEOUT, wait_until
from waypost import static_passdb

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
BIG = b"Subject: big\r\n\r\n" + b"0123456789abcdef" * 64 * 1024 * 4 + b"\r\n"


@pytest.fixture
def pki(directory):
    return Pki(directory / "pki")


@pytest.fixture
def cert(pki):
    return pki.make("proxy.example")


def ssl_settings(pair, prefix="ssl"):
    return f"{prefix}_cert = <{pair.cert}\n{prefix}_key = <{pair.key}\n"


@pytest.fixture
def secure(instance, backend, cert):
    """secure(config): a waypost with a certificate; .tls_address: TLS from the
    first byte."""
    def start(config="", pair=cert, to=backend, fields=""):
        proxy = instance()
        proxy.tls_address = (LOCALHOST, free_port())
        proxy.base = (
            static_passdb(to, fields) +
            "service lmtp {\n inet_listener lmtps {\n  ssl = yes\n"
            f"  address = {LOCALHOST}\n  port = {proxy.tls_address[1]}\n }}\n"
            "}\n" + config)
        proxy.start(proxy.base + (ssl_settings(pair) if pair else ""))
        return proxy

    return start


@pytest.fixture
def proxy(secure):
    return secure()


def received(message):
    return re.match(rb"(Received: (?:.*\r\n[ \t])*.*\r\n)",
                    message.body).group(1).decode()


# --- STARTTLS ---

@pytest.mark.parametrize("version", VERSIONS)
def test_starttls(proxy, backend, pki, version):
    with proxy.session() as client:
        assert "STARTTLS" in client.lhlo().lines
        client.starttls(pki.client(version))
        assert client.sock.version() == version.name.replace("v1_", "v1.")
        assert "STARTTLS" not in client.lhlo().lines
        assert client.deliver("joe@example.org")[0] == 250
        assert client.quit() == 221
    message, = backend.wait_messages(1)
    assert re.search(
        rf"\r\n\t\(using {version.name.replace('v1_', 'v1.')} with cipher "
        r"[-\w]+ \(\d+/\d+ bits\)\)\r\n\tby proxy\.example with LMTPS\r\n",
        received(message))
    proxy.wait_log(r"TLS with 127\.0\.0\.1: TLSv1\.\d with cipher .*, for "
                   r"proxy\.example$")
    proxy.wait_log(r"Disconnect from 127\.0\.0\.1: Logged out, TLS$")


def test_clear_sessions_say_so(proxy, backend):
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250
    header = received(backend.wait_messages(1)[0])
    assert "with LMTP\r\n" in header and "using" not in header


def test_everything_is_forgotten(proxy, pki, backend):
    with proxy.session() as client:
        assert client.mail() == 250
        assert client.rcpt("joe@example.org") == 250
        client.starttls(pki.client())
        assert client.rcpt("joe@example.org") == "503 5.5.0 MAIL needed first"
        assert client.deliver("joe@example.org")[0] == 250
    assert "Received: from unknown " in received(backend.wait_messages(1)[0])


def test_xclient_is_forgotten_and_can_be_said_again(secure, pki, backend):
    """In clear anybody could have said it."""
    proxy = secure("login_trusted_networks = 127.0.0.0/8\n"
                   "login_greeting = %r\n")
    with proxy.session() as client:
        assert client.command("XCLIENT ADDR=192.0.2.7") == 220
        client.lhlo()
        client.starttls(pki.client())
        client.lhlo()
        assert client.deliver("joe@example.org")[0] == 250
        reply = client.command("XCLIENT ADDR=192.0.2.8")
        assert reply.text.endswith("192.0.2.8")
        client.lhlo()
        assert client.deliver("joe@example.org")[0] == 250
    first, second = (received(m) for m in backend.wait_messages(2))
    assert "192.0.2" not in first
    assert "([192.0.2.8])" in second and "LMTPS" in second


def test_backends_are_told_of_tls(secure, pki, backends):
    telling = backends(capabilities=("XCLIENT ADDR CLIENT-TRANSPORT DESTNAME",))
    proxy = secure(to=telling)
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250
        client.starttls(pki.client())
        client.lhlo()
        assert client.deliver("joe@example.org")[0] == 250
    assert [line for line in telling.commands
            if line.startswith("XCLIENT")] == [
        "XCLIENT CLIENT-TRANSPORT=insecure ADDR=127.0.0.1",
        "XCLIENT CLIENT-TRANSPORT=TLS DESTNAME=proxy.example ADDR=127.0.0.1"]


def v2_header(*tlvs):
    """A PROXY header for a client at 192.0.2.9."""
    tail = b"".join(bytes([kind]) + len(value).to_bytes(2, "big") + value
                    for kind, value in tlvs)
    return (b"\r\n\r\n\0\r\nQUIT\n\x21\x11" +
            (12 + len(tail)).to_bytes(2, "big") +
            socket.inet_aton("192.0.2.9") + socket.inet_aton(LOCALHOST) +
            b"\0\x01\0\x18" + tail)


AUTHORITY, SSL = 2, 0x20
CLIENT_SSL, CLIENT_CERT = 1, 2


@pytest.mark.parametrize("header, said, want", [
    ("unix", None, "1secured-2-3"),
    ("clear", None, "1-2-3"),
    ("clear", "starttls", "1secured-2valid-3proxy.example"),
    ("tls", None, "1secured-2-3lb.example"),
    ("cert", None, "1secured-2valid-3"),
    ("clear", "CLIENT-TRANSPORT=TLSv1.3 DESTNAME=b.example",
     "1secured-2-3b.example"),
    ("clear", "CLIENT-TRANSPORT=insecure", "1-2-3"),
    ("unix", "CLIENT-TRANSPORT=insecure", "1-2-3"),
    ("tls", "CLIENT-TRANSPORT=insecure", "1-2-3lb.example")])
def test_lookups_know_of_tls(secure, pki, backend, header, said, want):
    port = free_port()
    proxy = secure(
        f"ssl_ca = <{pki.ca.cert}\nssl_verify_client_cert = yes\n"
        "ssl_require_crl = no\nhaproxy_trusted_networks = 127.0.0.0/8\n"
        "login_trusted_networks = 192.0.2.0/24 local\n"
        f"service lmtp {{\n inet_listener behind {{\n  address = {LOCALHOST}\n"
        f"  port = {port}\n  haproxy = yes\n }}\n}}\n",
        fields="destuser=1%c-2%k-3%{local_name}@x")
    headers = {
        "clear": v2_header(),
        "tls": v2_header((AUTHORITY, b"lb.example"),
                         (SSL, bytes([CLIENT_SSL]) + b"\0\0\0\0")),
        "cert": v2_header((SSL, bytes([CLIENT_SSL | CLIENT_CERT]) +
                           b"\0\0\0\0"))}
    with Client(proxy.socket if header == "unix" else (LOCALHOST, port),
                greeting=False) as client:
        client.send(headers.get(header, b""))
        assert client.reply() == 220
        client.lhlo()
        if said == "starttls":
            client.starttls(pki.client(pair=pki.make("client.example")))
            client.lhlo()
        elif said:
            assert client.command(f"XCLIENT {said}") == 220
            client.lhlo()
        assert client.deliver("joe@example.org")[0] == 250
    message, = backend.wait_messages(1)
    assert message.rcpts == [f"{want}@x"]


def test_proxy_header_before_tls(secure, pki, backend, cert):
    port = free_port()
    proxy = secure(
        "haproxy_trusted_networks = 127.0.0.0/8\n"
        f"service lmtp {{\n inet_listener both {{\n  address = {LOCALHOST}\n"
        f"  port = {port}\n  ssl = yes\n  haproxy = yes\n }}\n}}\n")
    with socket.create_connection((LOCALHOST, port), TIMEOUT) as sock:
        sock.sendall(f"PROXY TCP4 192.0.2.9 {LOCALHOST} 1 {port}\r\n".encode())
        tls = pki.client().wrap_socket(sock, server_hostname="proxy.example")
        assert tls.recv(100).startswith(b"220 ")
        tls.sendall(b"QUIT\r\n")
        assert tls.recv(100).startswith(b"221 ")
        tls.close()
    proxy.wait_log(r"Connect from 192\.0\.2\.9 \(proxied\)")
    proxy.wait_log(r"Disconnect from 192\.0\.2\.9: Logged out, TLS$")


def test_authority_in_the_proxy_header(secure, pki):
    """It counts until the client itself asks for a name."""
    port = free_port()
    proxy = secure(
        "haproxy_trusted_networks = 127.0.0.0/8\n"
        f"service lmtp {{\n inet_listener both {{\n  address = {LOCALHOST}\n"
        f"  port = {port}\n  ssl = yes\n  haproxy = yes\n }}\n}}\n"
        "local_name other.example {\n hostname = other.example\n" +
        ssl_settings(pki.make("other.example")) + "}\n")
    header = (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x1c" +
              socket.inet_aton("192.0.2.9") + socket.inet_aton(LOCALHOST) +
              b"\0\x01\0\x18\x02\0\x0dother.example")
    context = pki.client()
    context.check_hostname = False
    for name, host in ((None, b"other.example"),
                       ("proxy.example", b"proxy.example")):
        with socket.create_connection((LOCALHOST, port), TIMEOUT) as sock:
            sock.sendall(header)
            tls = context.wrap_socket(sock, server_hostname=name)
            assert tls.recv(100).startswith(b"220 " + host + b" ")
            tls.close()
    proxy.wait_log(r"TLS with 192\.0\.2\.9: .* for proxy\.example")


def test_starttls_behind_a_pipelined_rcpt(proxy, pki, backend):
    with proxy.session() as client:
        replies = client.pipeline("MAIL FROM:<a@b>", "RCPT TO:<joe@example.org>",
                                  "STARTTLS")
        assert [r.code for r in replies] == [250, 250, 220]
        client.handshake(pki.client())
        assert client.lhlo() == 250


def test_starttls_where_it_cannot_be(proxy, pki):
    with proxy.session() as client:
        assert client.command("STARTTLS now") == "501 5.5.4 "
        client.starttls(pki.client())
        assert client.command("STARTTLS") == (
            "502 5.5.1 TLS is already active.")
        assert client.lhlo() == 250


@pytest.mark.parametrize("config", ["", "ssl = no\n"])
def test_not_offered(secure, waypost, backend, cert, config):
    proxy = waypost(static_passdb(backend) + config +
                    (ssl_settings(cert) if config else ""))
    with proxy.session() as client:
        assert "STARTTLS" not in client.lhlo().lines
        assert client.command("STARTTLS") == (
            "502 5.5.1 TLS support is not enabled.")


# --- injection ---

@pytest.mark.parametrize("injected", [
    "NOOP\r\n", "MAIL FROM:<evil@example.net>\r\n",
    "LHLO evil\r\nMAIL FROM:<evil@example.net>\r\nRCPT TO:<joe@example.org>\r\n"
    "DATA\r\nhi\r\n.\r\n", "half a li", "\n" * 1000,
    "BDAT 1000 LAST\r\n"])
def test_injected_behind_starttls(proxy, pki, backend, injected):
    with proxy.session() as client:
        client.send("STARTTLS\r\n" + injected)
        assert client.reply() == 220
        client.handshake(pki.client())
        assert client.lhlo() == 250
        assert client.mail() == 250
        client.expect_silence(0.05)
        assert client.rcpt("joe@example.org") == 250
    proxy.wait_log(rf"Warning: .*dropped {len(injected)} bytes in clear")
    assert not backend.messages


def test_injected_behind_commands_that_wait(proxy, pki):
    """STARTTLS waits in the buffer, and what is behind it comes later."""
    with proxy.session() as client:
        client.send("MAIL FROM:<a@b>\r\nRCPT TO:<joe@example.org>\r\n"
                    "STARTTLS\r\nRSET\r\nNOOP\r\n")
        assert [r.code for r in client.replies(3)] == [250, 250, 220]
        client.handshake(pki.client())
        assert client.command("NOOP") == 250
        client.expect_silence(0.05)


def test_clear_text_instead_of_the_handshake(proxy, backend):
    with proxy.session() as client:
        assert client.command("STARTTLS") == 220
        client.send("MAIL FROM:<evil@example.net>\r\nNOOP\r\n")
        with pytest.raises((Disconnected, AssertionError)):
            while True:
                client.reply()
    proxy.wait_log(r"Disconnect from .*: TLS handshake failed: ")
    assert not backend.commands


# --- TLS from the first byte ---

@pytest.mark.parametrize("version", VERSIONS)
def test_immediate(proxy, backend, pki, version):
    with Client(proxy.tls_address, tls=pki.client(version)) as client:
        assert client.greeting == "220 proxy.example "
        assert "STARTTLS" not in client.lhlo().lines
        assert client.command("STARTTLS") == (
            "502 5.5.1 TLS is already active.")
        assert client.deliver("joe@example.org")[0] == 250
        assert client.quit() == 221
    assert "with LMTPS" in received(backend.wait_messages(1)[0])


def test_openssl_s_client(proxy, pki):
    result = subprocess.run(
        ["openssl", "s_client", "-quiet", "-connect",
         f"{LOCALHOST}:{proxy.port}", "-starttls", "lmtp", "-CAfile",
         pki.ca.cert, "-verify_return_error", "-verify_hostname",
         "proxy.example"], input=b"QUIT\r\n", capture_output=True,
        timeout=TIMEOUT, check=False)
    assert b"221 2.0.0 Bye" in result.stdout, result.stderr


def test_clear_text_to_a_tls_listener(proxy):
    with Client(proxy.tls_address, greeting=False) as client:
        client.send("LHLO x\r\n")
        assert b"250" not in client.sock.recv(100)
    proxy.wait_log(r"the peer does not speak TLS")
    with proxy.session() as client:
        assert client.command("NOOP") == 250


def test_no_certificate_for_this_client(secure, cert):
    """Only those who come from elsewhere have one."""
    proxy = secure("remote 192.0.2.0/24 {\n" + ssl_settings(cert) + "}\n",
                   pair=None)
    with Client(proxy.tls_address, greeting=False) as client:
        client.expect_closed()
    proxy.wait_log("no ssl_cert for this connection")


# --- the two directions of a large mail ---

@pytest.mark.parametrize("version", VERSIONS)
def test_large_mail(proxy, backend, pki, version):
    with Client(proxy.tls_address, tls=pki.client(version)) as client:
        client.lhlo()
        assert client.deliver("joe@example.org", BIG)[0] == 250
    assert backend.wait_messages(1)[0].text == BIG


def test_large_chunk(proxy, backend, pki):
    with Client(proxy.tls_address, tls=pki.client()) as client:
        client.lhlo()
        client.mail()
        client.rcpt("joe@example.org")
        client.send(f"BDAT {len(BIG)} LAST\r\n".encode() + BIG)
        assert client.reply() == 250
    assert backend.wait_messages(1)[0].text == BIG


# --- ends ---

def start_body(address, context):
    client = Client(address, tls=context)
    client.lhlo()
    client.start_data("joe@example.org")
    client.send("Subject: x\r\n\r\nhalf a mess")
    return client


def test_cut_off_body_is_never_delivered(proxy, backend, pki):
    """FIN without close_notify: anybody on the way can send that."""
    client = start_body(proxy.tls_address, pki.client())
    backend.wait_command("^DATA")
    socket.socket(fileno=client.sock.detach()).close()
    proxy.wait_log(r"Disconnect from .*, TLS$")
    assert backend.wait_closed() in ("eof", "reset")
    assert not backend.messages


def test_ended_body_is_never_delivered(proxy, backend, pki):
    """The same with close_notify."""
    client = start_body(proxy.tls_address, pki.client())
    backend.wait_command("^DATA")
    client.sock.setblocking(False)
    with contextlib.suppress(ssl.SSLError):
        client.sock.unwrap()
    client.close()
    proxy.wait_log(r"Disconnect from .*, TLS$")
    assert backend.wait_closed() in ("eof", "reset")
    assert not backend.messages


def test_cut_off_behind_a_final_dot_in_clear(proxy, backend, pki):
    """What comes in clear in the middle of TLS ends the session."""
    client = start_body(proxy.tls_address, pki.client())
    backend.wait_command("^DATA")
    raw = socket.socket(fileno=client.sock.detach())
    raw.sendall(b"\r\n.\r\nQUIT\r\n")
    proxy.wait_log(r"Disconnect from .*, TLS$")
    raw.close()
    assert not backend.messages


class HalfClosing:
    """A client under TLS that can end its own side only."""

    def __init__(self, address, pki):
        self.sock = socket.create_connection(address, TIMEOUT)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = pki.client().wrap_bio(self.incoming, self.outgoing,
                                         server_hostname="proxy.example")
        self.until_done(self.tls.do_handshake)

    def until_done(self, step):
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                self.sock.sendall(self.outgoing.read())
                data = self.sock.recv(65536)
                assert data
                self.incoming.write(data)

    def say(self, text):
        self.tls.write(text)
        self.sock.sendall(self.outgoing.read())

    def half_close(self):
        with contextlib.suppress(ssl.SSLError):  # the other half is missing
            self.tls.unwrap()
        self.sock.sendall(self.outgoing.read())

    def read_to_the_end(self):
        """To the other side's close_notify."""
        said = b""
        with contextlib.suppress(ssl.SSLZeroReturnError):
            while True:
                said += self.until_done(lambda: self.tls.read(65536))
        return said.decode()


def test_half_closed(proxy, backend, pki):
    """close_notify behind the last command: what was asked for is answered,
    and the answer ends with a close_notify, too."""
    client = HalfClosing(proxy.tls_address, pki)
    client.say(b"LHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<joe@example.org>\r\n"
               b"DATA\r\n")
    client.say(dot_stuff("hi\r\n"))
    client.half_close()
    lines = client.read_to_the_end().split("\r\n")
    client.sock.close()
    assert [line[:4] for line in lines if line[3:4] == " "] == [
        "220 ", "250 ", "250 ", "250 ", "354 ", "250 "]
    assert backend.wait_messages(1)


def test_orderly_end_has_close_notify(proxy, pki):
    with Client(proxy.tls_address, tls=pki.client()) as client:
        client.lhlo()
        assert client.command("QUIT") == 221
        assert client.sock.recv(1) == b""  # SSLEOFError without


def test_stalled_handshake(secure, pki):
    proxy = secure("lmtp_client_timeout = 2 secs\n")
    with Client(proxy.tls_address, greeting=False) as silent, \
            proxy.session() as half:
        assert half.command("STARTTLS") == 220
        half.send(b"\x16\x03\x01\x02\x00\x01")
        for client in (silent, half):
            client.expect_closed()
    proxy.wait_log("Disconnect from .*: TLS handshake timed out$", count=2)


def test_handshake_byte_by_byte(secure):
    """Its time does not start again with each byte."""
    proxy = secure("lmtp_client_timeout = 300 msecs\n")
    hello = b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03" + bytes(500)
    with Client(proxy.tls_address, greeting=False) as client:
        for byte in hello:
            client.send(bytes([byte]))
            if select.select([client.sock], [], [], 0.02)[0]:
                break
        else:
            raise AssertionError("still there")
        client.expect_closed()
    proxy.wait_log("Disconnect from .*: TLS handshake timed out$")


def client_hello(pki):
    """The first bytes of a client's handshake."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = pki.client().wrap_bio(incoming, outgoing,
                                server_hostname="proxy.example")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


def test_slow_handshakes_by_the_hundreds(secure, pki, backend):
    """Others are served in the meantime, with TLS, from first to last."""
    proxy = secure("lmtp_client_timeout = 60 secs\n")
    hello = client_hello(pki)

    def deliver():
        with Client(proxy.tls_address, tls=pki.client()) as client:
            client.lhlo()
            assert client.deliver("joe@example.org")[0] == 250

    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(Client(proxy.tls_address, greeting=False))
                for _ in range(200)]
        for at in range(0, len(hello) - 1, 50):
            for client in slow:
                client.send(hello[at:at + 50][:len(hello) - 1 - at])
            if at % 100 == 0:
                deliver()
        deliver()
        # They had all the time that they needed.
        for client in slow[:10]:
            client.send(hello[-1:])
            assert client.sock.recv(1) == b"\x16"
    deliver()


def test_stop_ends_handshakes(secure):
    proxy = secure("lmtp_shutdown_timeout = 1 hour\n")
    with Client(proxy.tls_address, greeting=False) as client:
        proxy.wait_log("Connect from")
        proxy.signal(signal.SIGTERM)
        client.expect_closed()
    assert proxy.wait_exit() == 0


def test_many_that_come_and_go(proxy, pki):
    """At each point of the handshake."""
    hello = bytes(range(200))
    clients = [Client(proxy.tls_address, greeting=False) for _ in range(60)]
    for number, client in enumerate(clients):
        client.send(b"\x16\x03\x01\x02\x00" [:number % 6] +
                    hello[:number * (number % 2)])
        (client.close, client.reset)[number // 2 % 2]()
    wait_until(lambda: proxy.log.count("Disconnect from") >= 60,
               "all to be gone")
    with Client(proxy.tls_address, tls=pki.client()) as client:
        assert client.lhlo() == 250


def test_renegotiation_is_refused(proxy, pki):
    """s_client asks for one when it reads a line that begins with R."""
    process = subprocess.Popen(
        ["timeout", str(TIMEOUT), "openssl", "s_client", "-tls1_2", "-connect",
         "%s:%d" % proxy.tls_address, "-CAfile", pki.ca.cert],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT)
    try:
        process.stdin.write(b"LHLO x\n")
        process.stdin.flush()
        while not process.stdout.readline().startswith(b"250 "):
            pass
        process.stdin.write(b"R\n")
        process.stdin.flush()
        output = process.stdout.read()
    finally:
        process.kill()
        process.wait()
    assert b"no renegotiation" in output
    with proxy.session() as client:
        assert client.command("NOOP") == 250


# --- certificates ---

def test_new_certificate_on_reload(proxy, pki, cert):
    new = pki.make("new.example")
    proxy.base += ssl_settings(new)
    with Client(proxy.tls_address, tls=pki.client()) as old:
        proxy.reload(proxy.base)
        with Client(proxy.tls_address, tls=pki.client(),
                    name="new.example") as client:
            assert client.lhlo() == 250
        assert old.lhlo() == 250
        assert old.deliver("joe@example.org")[0] == 250


def break_it(pki, cert, how):
    if how == "key of another":
        return ssl_settings(cert._replace(key=pki.ca.key)), "ssl_cert and ssl_key"
    broken = pki.paths()
    text = (cert.cert if how == "ssl_cert" else cert.key).read_text()
    broken.cert.write_text(text[:len(text) // 2])
    broken.key.write_text(text[:len(text) // 2])
    if how == "ssl_cert":
        return ssl_settings(cert._replace(cert=broken.cert)), how
    return ssl_settings(cert._replace(key=broken.key)), how


@pytest.mark.parametrize("how", ["ssl_cert", "ssl_key", "key of another"])
def test_broken_certificate_keeps_the_old(proxy, pki, cert, how):
    config, word = break_it(pki, cert, how)
    line = (proxy.config_path.read_text() + config).count("\n") - 1
    if how == "ssl_key":
        line += 1
    mark = proxy.mark()
    with open(proxy.config_path, "a", encoding="utf-8") as file:
        file.write(config)
    proxy.signal(signal.SIGHUP)
    proxy.wait_log(rf"waypost\.conf:{line}: {word}: ", mark)
    with Client(proxy.tls_address, tls=pki.client()) as client:
        assert client.lhlo() == 250
    result = proxy.run("-t")
    assert result.returncode != 0
    assert f"waypost.conf:{line}: {word}: " in result.stderr
    assert result.stderr.count("\n") == 1


def test_ciphers_that_are_none(proxy):
    with open(proxy.config_path, "a", encoding="utf-8") as file:
        file.write("ssl_cipher_list = FROB\nssl_curve_list = FROB\n")
    result = proxy.run("-t")
    assert re.search(r"waypost\.conf:\d+: ssl_cipher_list: ", result.stderr)


def test_missing_client_ca_is_an_error(proxy):
    with open(proxy.config_path, "a", encoding="utf-8") as file:
        file.write("local_name x {\n ssl_client_ca_file = /no/such\n}\n"
                   "local_name y {\n ssl_client_ca_file = /no/such\n}\n")
    result = proxy.run("-t")
    assert result.returncode != 0
    assert len(re.findall(r"waypost\.conf:\d+: ssl_client_ca_file: /no/such",
                          result.stderr)) == 2, result.stderr


# --- SNI ---

def test_sni_picks_certificate_and_settings(secure, pki, backends):
    other = backends()
    proxy = secure(
        "local_name \"other.example *.others.example\" {\n" +
        ssl_settings(pki.make("other.example", "*.others.example")) +
        " hostname = other.example\n lmtp_max_message_size = 1M\n}\n")
    for name, host in (("proxy.example", "proxy.example"),
                       ("other.example", "other.example"),
                       ("a.others.example", "other.example")):
        with Client(proxy.tls_address, tls=pki.client(), name=name) as client:
            assert client.greeting == f"220 {host} "
            assert ("SIZE 1048576" in client.lhlo().lines) == (
                host == "other.example")
        with proxy.session() as client:
            client.starttls(pki.client(), name=name)
            assert client.lhlo().lines[0] == host
    assert not other.connections


def test_without_sni(proxy, pki):
    context = pki.client()
    context.check_hostname = False
    with Client(proxy.tls_address, tls=context, name=None) as client:
        assert client.lhlo() == 250
    proxy.wait_log(r"TLS with .* bits\)$")


# --- client certificates ---

@pytest.mark.parametrize("version", VERSIONS)
def test_client_certificate_required(secure, pki, directory, version):
    proxy = secure(f"ssl_ca = <{pki.ca.cert}\nssl_verify_client_cert = yes\n"
                   "ssl_require_crl = no\n")
    good = pki.make("client.example")
    with Client(proxy.tls_address, tls=pki.client(version, good)) as client:
        assert client.lhlo() == 250
    proxy.wait_log(r"TLS with .*, certificate of CN=client\.example")
    stranger = Pki(directory / "other").make("client.example")
    for pair in (None, stranger):
        with pytest.raises((OSError, Disconnected)):
            Client(proxy.tls_address, tls=pki.client(version, pair))
    proxy.wait_log(r"Disconnect from .*: TLS handshake failed: the peer sent "
                   r"no certificate")
    proxy.wait_log(r"Disconnect from .*: TLS handshake failed: certificate "
                   r"verify failed")


# --- protocol ---

def test_oldest_protocol(secure, pki):
    proxy = secure("ssl_min_protocol = TLSv1.3\n")
    with pytest.raises(ssl.SSLError):
        Client(proxy.tls_address, tls=pki.client(ssl.TLSVersion.TLSv1_2))
    with Client(proxy.tls_address,
                tls=pki.client(ssl.TLSVersion.TLSv1_3)) as client:
        assert client.lhlo() == 250


@pytest.mark.parametrize("version", VERSIONS)
def test_sessions_are_resumed(proxy, pki, version):
    """By whatever thread serves the next connection."""
    context, session = pki.client(version), None
    for number in range(6):
        with Client(proxy.tls_address, tls=context,
                    session=session) as client:
            client.lhlo()
            assert client.sock.session_reused == (number > 0)
            session = client.sock.session
            client.quit()
    proxy.wait_log("TLS with .*, resumed$", count=5)


def test_verbose_ssl(secure, pki):
    proxy = secure("verbose_ssl = yes\n")
    with Client(proxy.tls_address, tls=pki.client()) as client:
        client.lhlo()
    proxy.wait_log("TLS: .*read client hello")


# --- Postfix ---

@pytest.mark.needs("postfix")
@pytest.mark.needs_root
def test_postfix_that_insists(proxy, postfix, backend, pki):
    mta = postfix(f"virtual_transport = lmtp:inet:{LOCALHOST}:{proxy.port}\n"
                  "lmtp_tls_security_level = secure\n"
                  "lmtp_tls_secure_cert_match = proxy.example\n"
                  f"lmtp_tls_CAfile = {pki.ca.cert}\n"
                  "lmtp_tls_loglevel = 1\n")
    with smtplib.SMTP(*mta.address, timeout=TIMEOUT) as smtp:
        smtp.sendmail("a@example.net", ["joe@example.org"],
                      "Subject: hi\r\n\r\nhello\r\n")
    assert "with LMTPS" in received(backend.wait_messages(1)[0])
    mta.wait_log(r"Verified TLS connection established")
    mta.wait_log(r"status=sent")
