"""passdb { driver = ldap } with real OpenLDAP servers."""
import re
import signal
import socket
import threading
import time

import pytest

from pki import Pki
from ports import LOCALHOST
from slapd import BASE, DN, PASSWORD, PEOPLE, Slapd, ldif, user
from waiting import wait_until

pytestmark = pytest.mark.needs("slapd", "slapadd")

ATTRS = ("host=host, telephoneNumber=port, =proxy=y, "
         "userPassword=password")
CONF = """\
uris = {url}
dn = {dn}
dnpass = "{password}"
base = {people}
pass_filter = (&(objectClass=account)(mail=%u))
pass_attrs = {attrs}
"""


@pytest.fixture
def slapd(directory):
    """slapd(entries, ...): a running server."""
    made = []

    def make(*args, **kwargs):
        made.append(Slapd(directory / f"l{len(made)}", *args, **kwargs))
        return made[-1]

    yield make
    for server in made:
        server.stop()


def ldap_conf(url, attrs=ATTRS, extra="", dn=DN, people=PEOPLE):
    if not isinstance(url, str):
        url = url.url()
    return CONF.format(url=url, dn=dn, password=PASSWORD, people=people,
                       attrs=attrs) + extra


@pytest.fixture
def with_ldap(instance):
    """with_ldap(conf, config): a proxy that asks an LDAP server."""
    made = []

    def start(conf, config="", before=""):
        proxy = instance()
        made.append(proxy)
        path = proxy.write_file("ldap.conf.ext", conf)
        return proxy.start(before + "passdb {\n driver = ldap\n"
                           f" args = {path}\n}}\n" + config)

    yield start
    for proxy in made:
        print(f"--- waypost on {proxy.address} ---\n{proxy.log}")


def rcpt(proxy, address):
    """The reply to one RCPT of a session of its own."""
    with proxy.session() as client:
        assert client.mail() == 250
        return client.rcpt(address)


# --- found or not ---

def test_users_go_where_the_directory_says(backends, slapd, with_ldap):
    one, two = backends(), backends()
    proxy = with_ldap(ldap_conf(slapd(user("joe@example.org", one) +
                                      user("ann@example.org", two))))
    with proxy.session() as client:
        replies = client.deliver(["joe@example.org", "ann@example.org"])
        assert [r.code for r in replies] == [250, 250]
    assert one.wait_messages(1)[0].rcpts == ["joe@example.org"]
    assert two.wait_messages(1)[0].rcpts == ["ann@example.org"]
    assert rcpt(proxy, "no@example.org") == "550 5.1.1 "
    assert "Error" not in proxy.log


def test_users_are_looked_up_as_they_are_written(backend, slapd, with_ldap):
    """%u is what auth_username_format makes of the address."""
    proxy = with_ldap(ldap_conf(slapd(user("joe@example.org", backend))))
    assert rcpt(proxy, "JOE+detail@Example.org") == 250


def test_two_entries_are_nobody(backend, slapd, with_ldap):
    server = slapd(user("a", backend, mail="joe@example.org") +
                   user("b", backend, mail="joe@example.org") +
                   user("c", backend, mail="joe@example.org") +
                   user("ann@example.org", backend))
    proxy = with_ldap(ldap_conf(server))
    assert rcpt(proxy, "joe@example.org") == "451 4.3.0 "
    line = proxy.wait_log(r"Error: .*joe@example\.org.*more than one entry")
    assert len(re.findall(rf"uid=[abc],{PEOPLE}", line)) == 2
    assert rcpt(proxy, "ann@example.org") == 250


def test_size_limit_of_the_server(backend, slapd, with_ldap):
    server = slapd(user("a", backend, mail="joe@example.org") +
                   user("b", backend, mail="joe@example.org") +
                   user("ann@example.org", backend),
                   database="sizelimit 1")
    proxy = with_ldap(ldap_conf(server))
    assert rcpt(proxy, "joe@example.org") == "451 4.3.0 "
    proxy.wait_log(rf"more than one entry: uid=[ab],{PEOPLE}")
    assert rcpt(proxy, "ann@example.org") == 250


def test_missing_base(slapd, with_ldap):
    proxy = with_ldap(ldap_conf(slapd(), people=f"ou=typo,{BASE}"))
    assert rcpt(proxy, "joe@example.org") == "451 4.3.0 "
    proxy.wait_log(rf"base ou=typo,{BASE}.*No such object")


def test_base_with_variables(backend, slapd, with_ldap):
    """Only what a variable says may be missing."""
    server = slapd(
        ldif(f"ou=example.org,{PEOPLE}", objectClass="organizationalUnit",
             ou="example.org") +
        ldif(f"uid=ann,ou=example.org,{PEOPLE}",
             objectClass=["account", "extensibleObject"], uid="ann",
             mail="ann@example.org", host=backend.host,
             telephoneNumber=str(backend.port)))
    proxy = with_ldap(ldap_conf(server, people=f"ou=%d,{PEOPLE}"))
    assert rcpt(proxy, "ann@example.org") == 250
    assert rcpt(proxy, "joe@example.org") == 550
    assert rcpt(proxy, "joe@elsewhere.org") == 550
    proxy = with_ldap(ldap_conf(server, people=f"ou=%d,ou=typo,{BASE}"))
    assert rcpt(proxy, "ann@example.org") == 451


def test_base_made_of_the_domain(backend, slapd, with_ldap):
    proxy = with_ldap(ldap_conf(slapd(user("joe@example.org", backend)),
                                people="ou=people,dc=%Dd"))
    assert rcpt(proxy, "joe@example.org") == 250
    assert rcpt(proxy, "joe@nowhere.org") == 451


# --- fields ---

def test_templates(backend, slapd, with_ldap):
    server = slapd(
        user("joe@example.org", backend, description=["one", "two"],
             title="l", l="Berlin", seeAlso=f"cn=site,{BASE}") +
        ldif(f"cn=site,{BASE}", objectClass=["device", "extensibleObject"],
             cn="site", host=backend.host,
             telephoneNumber=str(backend.port)))
    proxy = with_ldap(ldap_conf(server, attrs=(
        "@site=%{ldap:seeAlso}, =host=%{ldap:host@site}, "
        "telephoneNumber@site=port, =proxy=y, "
        "=destuser=%n-%{ldap:l:none}-%{ldap:o:none}-%{ldap_ptr:title}, "
        "=x1=%{ldap_multi:description:;:-}/%{ldap_multi:o:,:no}, "
        "l=x2=<%$>, o=x3=never, !ou, =x4=%{ldap_dn}")),
        "auth_debug = yes\n")
    assert rcpt(proxy, "joe@example.org") == 250
    assert any("joe-Berlin-none-Berlin" in c for c in backend.commands)
    line = proxy.wait_log(r"Debug: .*found.* x1=")
    assert "x1=one;two/no" in line or "x1=two;one/no" in line
    assert " x2=<Berlin>" in line and " x3=" not in line
    assert " x4=uid=" in line


def test_dangling_pointer(backend, slapd, with_ldap):
    server = slapd(user("joe@example.org", backend,
                        seeAlso=f"cn=nowhere,{BASE}") +
                   user("ann@example.org", backend))
    proxy = with_ldap(ldap_conf(server, attrs=f"@x=seeAlso, {ATTRS}, "
                                "l@x=where"))
    assert rcpt(proxy, "joe@example.org") == "451 4.3.0 "
    proxy.wait_log(rf"points to \(base cn=nowhere,{BASE}.*No such object")
    assert rcpt(proxy, "ann@example.org") == 250


def test_large_attribute(backend, slapd, with_ldap):
    """It fails who needs it, and nobody else."""
    server = slapd(user("joe@example.org", backend,
                        description="x" * 1024 * 1024) +
                   user("ann@example.org", backend))
    proxy = with_ldap(ldap_conf(server))
    assert rcpt(proxy, "joe@example.org") == 250
    proxy = with_ldap(ldap_conf(server, attrs=ATTRS + ", description=x"))
    with proxy.session() as client:
        assert client.mail() == 250
        replies = client.pipeline(*["RCPT TO:<joe@example.org>",
                                    "RCPT TO:<ann@example.org>"] * 20)
        assert [r.code for r in replies] == [451, 250] * 20
    proxy.wait_log(r"Error: .*joe@example\.org.*it is too large")


def test_binary_attribute(backend, slapd, with_ldap):
    server = slapd(user("joe@example.org", backend,
                        jpegPhoto=b"\xff\xd8\xff\xe0\x00\x10JFIF"))
    proxy = with_ldap(ldap_conf(server, attrs=ATTRS + ", jpegPhoto=x"))
    assert rcpt(proxy, "joe@example.org") == "451 4.3.0 "
    proxy.wait_log(r"jpegPhoto holds a NUL byte")


# --- how to get in ---

def test_wrong_password(slapd, with_ldap):
    proxy = with_ldap(ldap_conf(slapd()).replace(PASSWORD, "wrong"),
                      "auth_lookup_timeout = 1 secs\n")
    assert rcpt(proxy, "joe@example.org") == 451
    proxy.wait_log(r"Error: .*bind: Invalid credentials \(49\)")


def test_anonymous(backend, slapd, with_ldap):
    server = slapd(user("joe@example.org", backend), access="by * read")
    conf = ldap_conf(server)
    conf = re.sub(r"(?m)^dn.*\n", "", conf)
    assert rcpt(with_ldap(conf), "joe@example.org") == 250


def test_unix_socket_with_external(backend, slapd, with_ldap):
    server = slapd(user("joe@example.org", backend), kinds=("ldapi",),
                   access=f'by dn.base="cn=local,{BASE}" read by * none')
    proxy = with_ldap(ldap_conf(server.url("ldapi"), extra="sasl_bind = yes\n"
                                "sasl_mech = EXTERNAL\n"))
    assert rcpt(proxy, "joe@example.org") == 250


@pytest.fixture
def pki(directory):
    return Pki(directory / "pki")


def server_cert(pki):
    return pki.make("localhost", f"IP:{LOCALHOST}")


def tls(pki, pair=None, extra=""):
    """The lines of slapd.conf."""
    pair = pair or server_cert(pki)
    return (f"TLSCACertificateFile {pki.ca.cert}\n"
            f"TLSCertificateFile {pair.cert}\n"
            f"TLSCertificateKeyFile {pair.key}\n{extra}")


@pytest.mark.parametrize("kind,extra", [("ldaps", ""),
                                        ("ldap", "tls = yes\n")])
def test_tls(backend, slapd, with_ldap, pki, kind, extra):
    server = slapd(user("joe@example.org", backend), kinds=(kind,),
                   extra=tls(pki) + "security ssf=128\n")
    proxy = with_ldap(ldap_conf(
        server.url(kind), extra=extra +
        f"tls_ca_cert_file = {pki.ca.cert}\n"))
    assert rcpt(proxy, "joe@example.org") == 250
    assert "Error" not in proxy.log


@pytest.mark.parametrize("kind,extra", [("ldaps", ""),
                                        ("ldap", "tls = yes\n")])
@pytest.mark.parametrize("name,ca,why", [
    ("elsewhere.example", True, "mismatch"),
    ("", False, "certificate verify failed"),
])
def test_certificate_that_does_not_verify(backend, slapd, with_ldap, pki,
                                          kind, extra, name, ca, why):
    server = slapd(user("joe@example.org", backend), kinds=(kind,),
                   extra=tls(pki, pki.make(name) if name else None))
    conf = ldap_conf(server.url(kind), extra=extra +
                     (f"tls_ca_cert_file = {pki.ca.cert}\n" if ca else ""))
    proxy = with_ldap(conf, "auth_lookup_timeout = 1 secs\n")
    assert rcpt(proxy, "joe@example.org") == 451
    proxy.wait_log(rf"Error: .*{why}")
    proxy = with_ldap(conf + "tls_require_cert = never\n")
    assert rcpt(proxy, "joe@example.org") == 250


def test_start_tls_refused(backend, slapd, with_ldap):
    """Nothing goes on in clear."""
    server = slapd(user("joe@example.org", backend), access="by * read")
    proxy = with_ldap(ldap_conf(server, extra="tls = yes\n"),
                      "auth_lookup_timeout = 1 secs\n")
    assert rcpt(proxy, "joe@example.org") == 451
    proxy.wait_log(r"Error: .*StartTLS: ")


def test_what_is_said_behind_start_tls_in_clear(with_ldap):
    """Somebody on the way put it there (CVE-2011-0411)."""
    ok = bytes.fromhex("300c02010178070a010004000400")
    fake = LdapScript(ok + bytes.fromhex("300c02010261070a010004000400"),
                      close=False, bind=False)
    proxy = with_ldap(ldap_conf(fake.url, extra="tls = yes\n"), TIMEOUT_2S)
    assert rcpt(proxy, "joe@example.org") == 451
    proxy.wait_log(r"Error: .*StartTLS: the server went on in clear")
    fake.stop()


def test_server_that_is_busy(backend, slapd, with_ldap):
    """The next one is asked."""
    server = slapd(user("joe@example.org", backend))
    fake = LdapScript(bytes.fromhex("300c02010265070a013304000400"),
                      close=False)
    proxy = with_ldap(ldap_conf(f"{fake.url} {server.url()}"))
    assert rcpt(proxy, "joe@example.org") == 250
    proxy.wait_log(r"Error: .*Server is busy \(51\)")
    proxy = with_ldap(ldap_conf(fake.url))
    assert rcpt(proxy, "joe@example.org") == 451
    fake.stop()


def test_client_certificate(backend, slapd, with_ldap, pki):
    client = pki.make("client")
    server = slapd(user("joe@example.org", backend), kinds=("ldaps",),
                   extra=tls(pki, extra="TLSVerifyClient demand\n"),
                   access=f'by dn.base="cn=local,{BASE}" read by * none')
    proxy = with_ldap(ldap_conf(
        server.url("ldaps"), extra=f"tls_ca_cert_file = {pki.ca.cert}\n"
        f"tls_cert_file = {client.cert}\n"
        f"tls_key_file = {client.key}\n"
        "sasl_bind = yes\nsasl_mech = EXTERNAL\n"))
    assert rcpt(proxy, "joe@example.org") == 250


def test_names_are_resolved_by_dns(backend, dns, slapd, with_ldap):
    dns.zone["ldap.example"] = [LOCALHOST]
    server = slapd(user("joe@example.org", backend))
    proxy = with_ldap(ldap_conf(server.url(host="ldap.example")),
                      f"lmtp_proxy_dns_servers = {dns.server}\n")
    assert rcpt(proxy, "joe@example.org") == 250


@pytest.mark.needs_root
def test_files_that_only_root_can_read(backend, slapd, instance, pki):
    """dnpass stays between root and the directory."""
    client = pki.make("client")
    server = slapd(user("joe@example.org", backend), kinds=("ldaps",),
                   extra=tls(pki))
    proxy = instance(as_root=True)
    path = proxy.write_file("ldap.conf.ext", ldap_conf(
        server.url("ldaps"), extra=f"tls_ca_cert_file = {pki.ca.cert}\n"
        f"tls_cert_file = {client.cert}\n"
        f"tls_key_file = {client.key}\n"))
    path.chmod(0o600)
    client.key.chmod(0o600)
    config = f"passdb {{\n driver = ldap\n args = {path}\n}}\n"
    proxy.start(config)
    assert rcpt(proxy, "joe@example.org") == 250
    proxy.signal(signal.SIGHUP)
    proxy.wait_log("configuration reloaded")
    assert rcpt(proxy, "joe@example.org") == 250
    assert PASSWORD not in proxy.run("-n").stdout + proxy.log


# --- servers that come and go ---

USERS = [f"u{i}@example.org" for i in range(100)]
TIMEOUT_2S = "auth_lookup_timeout = 2 secs\n"


def everybody(backend):
    return "".join(user(name, backend) for name in USERS)


def rcpt_all(proxy, users, expected=250):
    with proxy.session() as client:
        assert client.mail() == 250
        replies = client.pipeline(*[f"RCPT TO:<{name}>" for name in users])
        assert [r.code for r in replies] == [expected] * len(users), replies


def test_searches_are_pipelined_over_few_connections(backend, slapd,
                                                     with_ldap):
    server = slapd(everybody(backend))
    relay = Relay(server.ports["ldap"])
    proxy = with_ldap(ldap_conf(relay.url))
    rcpt_all(proxy, USERS)
    assert relay.count <= 2
    relay.stop()


def test_more_than_slapd_lets_wait(backend, slapd, with_ldap):
    """It closes connections with too many requests."""
    server = slapd(everybody(backend), extra="conn_max_pending_auth 40\n")
    proxy = with_ldap(ldap_conf(server))
    for _ in range(3):
        rcpt_all(proxy, USERS * 3)
    assert "Error" not in proxy.log


class Relay:
    """Passes connections to a server, counts them, and can hold back."""

    def __init__(self, port, host=LOCALHOST):
        self.target = (host, port)
        self.listener = socket.create_server((LOCALHOST, 0))
        self.url = f"ldap://{LOCALHOST}:{self.listener.getsockname()[1]}"
        self.count = 0
        self.open = threading.Event()  # answers pass
        self.open.set()
        self.sockets = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.count += 1
            try:
                server = socket.create_connection(self.target)
            except OSError:
                client.close()
                continue
            self.sockets += [client, server]
            for a, b, gate in ((client, server, None),
                               (server, client, self.open)):
                threading.Thread(target=self.copy, args=(a, b, gate),
                                 daemon=True).start()

    @staticmethod
    def copy(source, target, gate):
        try:
            while data := source.recv(65536):
                if gate:
                    gate.wait()
                target.sendall(data)
        except OSError:
            pass
        for sock in (source, target):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def drop(self):
        """All connections end."""
        for sock in self.sockets:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def stop(self):
        self.open.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.drop()


def test_restart_in_the_middle_of_many_searches(backend, slapd, with_ldap):
    """No lookup fails: what was not answered is asked again."""
    server = slapd(everybody(backend))
    proxy = with_ldap(ldap_conf(server))
    rcpt_all(proxy, USERS[:10])
    server.freeze()
    clients = [proxy.session() for _ in range(10)]
    for client in clients:
        assert client.mail() == 250
        client.send("".join(f"RCPT TO:<{name}>\r\n" for name in USERS))
    time.sleep(0.3)  # so that they are on their way
    server.stop(signal.SIGKILL)
    server.start()
    for client in clients:
        assert [r.code for r in client.replies(100)] == [250] * 100
        client.close()
    proxy.wait_log(r"Error: passdb ldap: .*")
    proxy.wait_log(r"works again, after")


def test_connections_that_are_lost_again_and_again(backend, slapd, with_ldap):
    """A search is not repeated for ever."""
    server = slapd(user("joe@example.org", backend))
    relay = Relay(server.ports["ldap"])
    proxy = with_ldap(ldap_conf(relay.url))
    assert rcpt(proxy, "joe@example.org") == 250
    relay.stop()
    fake = LdapScript()  # binds, and hangs up when asked
    proxy = with_ldap(ldap_conf(fake.url))
    assert rcpt(proxy, "joe@example.org") == "451 4.3.0 "
    assert fake.count == 3
    fake.stop()


class LdapScript:
    """Answers a bind with success, and then does as it is told."""
    BIND_OK = bytes.fromhex("300c02010161070a010004000400")

    def __init__(self, answer=b"", close=True, bind=True):
        self.listener = socket.create_server((LOCALHOST, 0))
        self.url = f"ldap://{LOCALHOST}:{self.listener.getsockname()[1]}"
        self.count = 0
        self.answer, self.close, self.bind = answer, close, bind
        self.sockets = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.count += 1
            self.sockets.append(sock)
            threading.Thread(target=self.serve, args=(sock,),
                             daemon=True).start()

    def serve(self, sock):
        try:
            if self.bind:
                sock.recv(65536)
                sock.sendall(self.BIND_OK)
                sock.recv(65536)
            sock.sendall(self.answer)
            if self.close:
                sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for sock in self.sockets:
            sock.close()


@pytest.mark.parametrize("answer,why", [
    (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak LDAP"),
    (b"\x30\x84\x7f\xff\xff\xff", "more than is taken"),
    (b"\x30\x80", "broken message"),
    (b"\x30\x05\x02\x01\x02\x65\x00", "broken message"),
    (bytes.fromhex("30240201007824" "0a0134040004008a16")
     + b"1.3.6.1.4.1.1466.20036"[:22], "ends the connection"),
])
def test_servers_that_talk_nonsense(with_ldap, answer, why):
    fake = LdapScript(answer, close=False)
    proxy = with_ldap(ldap_conf(fake.url))
    assert rcpt(proxy, "joe@example.org") == "451 4.3.0 "
    proxy.wait_log(rf"Error: passdb ldap: .*{why}")
    assert fake.count == 3
    fake.stop()


def test_dead_server_is_probed_and_not_hammered(backend, with_ldap):
    """However many ask. After a while nobody waits any more."""
    fake = LdapScript(b"", bind=False)
    proxy = with_ldap(ldap_conf(fake.url), TIMEOUT_2S)
    begin = time.monotonic()
    rcpt_all(proxy, USERS, 451)
    assert rcpt(proxy, "joe@example.org") == 451
    proxy.wait_log(r"Error: passdb ldap: .*connection closed")
    rcpt_all(proxy, USERS * 10, 451)
    seconds = time.monotonic() - begin
    # 0.1, 0.2, ... 2 s apart, in each of two threads.
    assert fake.count <= 2 * (6 + seconds / 2)
    assert len(re.findall("Error: passdb ldap: ", proxy.log)) <= 2
    fake.stop()


def test_silent_server_delays_nobody_else(backend, slapd, with_ldap):
    """Its lookups end in time; others go on; it is taken back."""
    server = slapd(user("joe@example.org", backend))
    proxy = with_ldap(ldap_conf(server), TIMEOUT_2S, before=(
        "passdb {\n driver = static\n username_filter = ann*\n"
        f" args = nopassword=y proxy=y host={backend.host} "
        f"port={backend.port}\n}}\n"))
    assert rcpt(proxy, "joe@example.org") == 250
    server.freeze()
    begin = time.monotonic()
    with proxy.session() as client, proxy.session() as other:
        assert client.mail() == 250
        client.send("RCPT TO:<joe@example.org>\r\n")
        assert other.mail() == 250
        assert other.rcpt("ann@example.org") == 250
        assert client.reply().raw == [
            "451 4.4.3 <joe@example.org> Temporary user lookup failure: "
            "no answer in time"]
    assert time.monotonic() - begin < 10
    proxy.wait_log(r"Error: .*no answer within auth_lookup_timeout")
    server.send_signal(signal.SIGCONT)
    wait_until(lambda: rcpt(proxy, "joe@example.org") == 250, "the server")


def test_other_server_takes_over_and_gives_back(backends, slapd, with_ldap):
    """The first that works is asked."""
    one, two = backends(), backends()
    first = slapd(user("joe@example.org", one))
    second = slapd(user("joe@example.org", two))
    first.stop()
    proxy = with_ldap(ldap_conf(f"{first.url()} {second.url()}"))
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250
        two.wait_messages(1)
        first.start()
        proxy_back = lambda: (client.deliver("joe@example.org"),
                              one.messages)[1]
        wait_until(proxy_back, "the first server")
        first.freeze()
        count = len(two.messages)
        assert client.deliver("joe@example.org")[0] == 250
        two.wait_messages(count + 1)
        first.stop()


def test_idle_connection_that_the_server_closes(backend, slapd, with_ldap):
    server = slapd(user("joe@example.org", backend), extra="idletimeout 1\n")
    relay = Relay(server.ports["ldap"])
    proxy = with_ldap(ldap_conf(relay.url))
    proxy_threads = 2
    with proxy.session() as client:
        assert client.mail() == 250
        assert client.rcpt("joe@example.org") == 250
        # slapd looks for idle connections now and then.
        wait_until(lambda: all(is_closed(s) for s in relay.sockets[1::2]),
                   "the end of the connection")
        assert client.rcpt("joe@example.org") == 250
    assert relay.count == proxy_threads
    assert "Error" not in proxy.log
    relay.stop()


def is_closed(sock):
    try:
        return sock.getpeername() is None
    except OSError:
        return True


def test_reload_in_the_middle(backend, slapd, with_ldap):
    server = slapd(everybody(backend))
    proxy = with_ldap(ldap_conf(server))
    with proxy.session() as client:
        assert client.mail() == 250
        client.send("".join(f"RCPT TO:<{name}>\r\n" for name in USERS))
        proxy.signal(signal.SIGHUP)
        assert [r.code for r in client.replies(100)] == [250] * 100
    proxy.wait_log("configuration reloaded")
    rcpt_all(proxy, USERS)


def test_clients_that_leave(backend, slapd, with_ldap):
    """Answers to searches that nobody waits for do no harm."""
    server = slapd(everybody(backend))
    relay = Relay(server.ports["ldap"])
    proxy = with_ldap(ldap_conf(relay.url))
    rcpt_all(proxy, USERS[:5])
    relay.open.clear()
    for _ in range(5):
        client = proxy.session()
        assert client.mail() == 250
        client.send("".join(f"RCPT TO:<{name}>\r\n" for name in USERS))
        client.reset()
    relay.open.set()
    rcpt_all(proxy, USERS)
    assert "Error" not in proxy.log
    relay.stop()


# --- hostile addresses ---

SPECIAL = "*()\\|&!=<>~,+\"#;/ '%{}[]@^`$?:"


def hostile_local_parts():
    """At least 200 local parts that mean something to LDAP."""
    parts = ["*", "*)(uid=*", "*)(|(mail=*", "joe)(mail=*",
             "joe*", "j*e", "*)(objectClass=*))(&(a=b", ")(", "(", ")",
             "joe\\2a", "\\2a", "\\", "\\\\", "joe\\", "%u", "%{ldap:mail}",
             "%{if;1;==;1;joe;x}", "$", "%$", "joe,ou=people", "joe+x=y",
             "#joe", " joe", "joe ", "joe)(&)", "joe))(|(uid=joe",
             "joe;x", "joe=x", "<joe>", "joe>", "cn=admin", "admin)(&)",
             "*)(userPassword=*", "joe)(!(mail=x", "|(mail=*)", "(mail=*)",
             "=*", "~=", "joe:dn:=x", ":dn:2.5.13.5:=x", "joe*)(mail=*joe",
             "{0}", "x" * 60 + "*", "()" * 30, "((((", "))))", "\\00",
             "\\28\\29", "%2a", "*" * 64]
    parts += [f"joe{c}" for c in SPECIAL] + [f"{c}joe" for c in SPECIAL]
    parts += [f"j{c}oe" for c in SPECIAL] + [f"joe{c}{c}" for c in SPECIAL]
    parts += [f"*{c}*" for c in SPECIAL] + [f"){c}(mail=*" for c in SPECIAL]
    # Directories do not see blanks around a value, and %n ends at the first @:
    # these are the same user, or make a DN that is none.
    return [part for part in parts if part.strip() not in ("joe", "")
            and not part.startswith(("joe@", "@"))]


def quoted(local):
    escaped = local.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def test_hostile_local_parts_find_nobody(backend, slapd, with_ldap):
    """Names and domains are values, whatever stands in them: in the filter,
    in the base, and in both."""
    parts = hostile_local_parts()
    assert len(parts) >= 200
    server = slapd(user("joe@example.org", backend) +
                   user("joe", backend))
    confs = [
        ldap_conf(server),
        ldap_conf(server, people=f"uid=%u,{PEOPLE}"),
        ldap_conf(server, people=f"uid=%n,{PEOPLE}", extra=
                  "pass_filter = (|(uid=%n)(mail=%u)(cn=*%d))\n"),
    ]
    for conf in confs:
        proxy = with_ldap(conf, "auth_username_chars =\n"
                          "recipient_delimiter =\n")
        with proxy.session() as client:
            assert client.mail() == 250
            for local in parts:
                reply = client.rcpt(f"{quoted(local)}@example.org")
                assert reply == "550 5.1.1 ", (local, reply, conf)
            assert client.rcpt("joe@example.org") == 250
        assert "Error" not in proxy.log


def test_hostile_domains(backend, slapd, with_ldap):
    server = slapd(user("joe@example.org", backend))
    proxy = with_ldap(ldap_conf(server, people=f"ou=%d,{BASE}", extra=
                                "pass_filter = (|(ou=%d)(mail=%n@%d))\n"),
                      "auth_username_chars =\n")
    with proxy.session() as client:
        assert client.mail() == 250
        for domain in ["*", "[*]", "[IPv6:*)(mail=*]", "a*", "people,ou=x",
                       "[people]", "[x)(mail=*]", "x\\2a", "[\\2a]"]:
            reply = client.rcpt(f"joe@{domain}")
            assert reply.code in (501, 550), (domain, reply)
        assert "Error" not in proxy.log


def test_users_with_every_special_character(backends, slapd, with_ldap):
    """They are found, each only as what it is, by filter and by DN."""
    backend = backends(capabilities=("PIPELINING", "SMTPUTF8", "8BITMIME"))
    names = [f"a{c}b@example.org" for c in SPECIAL if c not in '@'] + \
        ["aäb@example.org", "# b@example.org", " a b @example.org"]
    server = slapd("".join(user(name, backend, mail=f"m{i}@x", cn=name)
                           for i, name in enumerate(names)))
    proxy = with_ldap(
        ldap_conf(server, people=f"uid=%u,{PEOPLE}",
                  extra="pass_filter = (cn=%u)\n"),
        "auth_username_chars =\nrecipient_delimiter =\n")
    with proxy.session() as client:
        assert client.mail(params=" SMTPUTF8") == 250
        for name in names:
            local, domain = name.rsplit("@", 1)
            reply = client.rcpt(f"{quoted(local)}@{domain}")
            assert reply == 250, (name, reply)


# --- configuration ---

@pytest.mark.parametrize("extra,line,why", [
    ("frobnicate = 1\n", 7, "unknown setting frobnicate"),
    ("pass_filtr = (a=b)\n", 7, r"did you mean pass_filter\?"),
    ("scope = tree\n", 7, "scope: "),
    ("uris = http://x\n", 7, "uris: http://x: not an ldap://"),
    ("uris = ldap://x:99999\n", 7, "uris: .*bad port"),
    ("uris = ldap://x/dc=org\n", 7, "uris: .*only host and port"),
    ("pass_filter = (uid=%u\n", 7, "pass_filter: "),
    ("pass_filter =\n", 7, "pass_filter is empty"),
    ("pass_filter = (uid=%x)\n", 7, "pass_filter: unknown variable %x"),
    ("base = no dn\n", 7, "base: "),
    ("base =\n", 7, "base is not set"),
    ("pass_attrs = =\n", 7, "pass_attrs: "),
    ("pass_attrs = a b=c\n", 7, "pass_attrs: .*not the name of an attr"),
    ("pass_attrs = =x=%{ldap:a@b}\n", 7, "pass_attrs: .*no @b"),
    ("ldap_version = 2\n", 7, "ldap_version"),
    ("dnpass =\n", 7, "dn needs dnpass"),
    ("sasl_bind = yes\nsasl_mech = GSSAPI\n", 8, "EXTERNAL"),
    ("tls_cert_file = /x\n", 7, "need each other"),
    ("tls = yes\ntls_ca_cert_file = /nowhere\n", 8, "/nowhere"),
    ("tls = yes\nuris = ldapi:///\n", 7, "StartTLS is for ldap://"),
    ("section {\n", 7, "name = value"),
    ("max_outstanding = 0\n", 7, "from 1 to 512"),
])
def test_errors_name_file_and_line(instance, extra, line, why):
    proxy = instance()
    path = proxy.write_file("ldap.conf.ext",
                            ldap_conf("ldap://x", extra=extra))
    proxy.write_config(f"passdb {{\n driver = ldap\n args = {path}\n}}\n")
    result = proxy.run("-t")
    assert result.returncode != 0
    assert re.search(rf"^{path}:{line if 'dn needs' not in why else 2}: "
                     rf".*{why}", result.stderr, re.M), result.stderr


def test_settings_without_effect_are_named(instance):
    proxy = instance()
    path = proxy.write_file("ldap.conf.ext", ldap_conf(
        "ldap://x", extra="auth_bind = yes\nblocking = yes\n"
        "user_attrs = homeDirectory=home\n"))
    proxy.write_config(f"passdb {{\n driver = ldap\n args = {path}\n}}\n")
    result = proxy.run("-t")
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("without effect here: auth_bind, blocking, "
                               "user_attrs") == 1


def test_relative_and_missing_files(instance):
    proxy = instance()
    for args in ("x.conf", "/no/such/file"):
        proxy.write_config(f"passdb {{\n driver = ldap\n args = {args}\n}}\n")
        result = proxy.run("-t")
        assert result.returncode != 0
        assert re.search(r"waypost\.conf:\d+: passdb ldap: ", result.stderr)
