"""Postfix looks up where mail goes: tables socketmap and tcp, with what
doc/postfix.md says."""
import os
import re
import smtplib
import socket
import stat
import subprocess

import pytest

import servers as programs
from control import Control
from handover import hand_over
from pki import Pki
from ports import LOCALHOST, free_port
from test_director import servers, whereabouts  # noqa: F401
from test_postfix import inject, status
from test_store_docs import Page
from waiting import TIMEOUT, wait_until
from waypost import TOP

PAGE = Page("../postfix")
USERS = [f"user{number}@example.org" for number in range(24)]
NOBODY = "nobody@example.org"
OTHERS = """\
fixed@example.org:::::::proxy host=192.0.2.7 port=2424
six@example.org:::::::proxy host=2001:db8::7 port=24
smtp@example.org:::::::proxy host=192.0.2.7 port=25 protocol=smtp
tls@example.org:::::::proxy host=192.0.2.7 port=24 ssl=any-cert
starttls@example.org:::::::proxy host=192.0.2.7 port=24 starttls=any-cert
jim@example.org:::::::proxy port=24 nologin reason=Moved
bad@example.org:::::::proxy host=192.0.2.7 port=x
local@example.org:::::::nopassword
bob@example.org:::::::proxy host=192.0.2.7 port=24 destuser=rob@example.org
"""


class Maps:
    """waypost with a socketmap listener, and servers behind the director."""

    def __init__(self, proxy, lmtp, config="", others=OTHERS):
        self.proxy, self.lmtp, self.config = proxy, lmtp, config
        self.port = free_port()
        self.socketmap = f"socketmap:inet:{LOCALHOST}:{self.port}:director"
        self.tcp = f"tcp:{LOCALHOST}:{self.port}"
        proxy.write_file("users", others + "".join(
            f"{user}:::::::proxy port={lmtp[0].port}\n" for user in USERS))
        PAGE.write(proxy, [("127.0.0.1", LOCALHOST),
                           ("2481", str(self.port))])
        proxy.start(self.settings())

    def settings(self):
        return ("passdb {\n driver = passwd-file\n args = "
                f"{self.proxy.dir}/users\n}}\ndirector_mail_servers = " +
                " ".join(server.host for server in self.lmtp) +
                "\n" + self.config + "!include conf.d/*.conf\n")

    def main_cf(self, number=0):
        """A configuration of the page."""
        text = PAGE.blocks("cf")[number]
        text = text.replace("127.0.0.1:24\n",
                            f"{LOCALHOST}:{self.proxy.port}\n")
        text = text.replace("/run/waypost/", f"{self.proxy.dir}/run/")
        return text.replace("127.0.0.1:2481", f"{LOCALHOST}:{self.port}")

    def connect(self):
        sock = socket.create_connection((LOCALHOST, self.port), TIMEOUT)
        sock.settimeout(TIMEOUT)
        return sock


@pytest.fixture
def maps(instance, servers):  # noqa: F811
    def make(as_root=False, **options):
        return Maps(instance(as_root=as_root), servers(2), **options)
    return make


def postmap(key, table):
    """What it says on stdout; None when there is no such entry; else why
    that is not known."""
    result = subprocess.run(
        [programs.find("postmap"), "-q", key, table],
        stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=TIMEOUT, check=False)
    if result.returncode == 0:
        assert result.stderr == ""
        return result.stdout.rstrip("\n")
    assert result.stdout == ""
    return result.stderr or None


def request(key, name="director"):
    text = f"{name} {key}".encode()
    return b"%d:%b," % (len(text), text)


def netstring(file):
    size = b""
    while not size.endswith(b":"):
        byte = file.read(1)
        assert byte, f"closed after {size!r}"
        size += byte
    text = file.read(int(size[:-1]))
    assert file.read(1) == b","
    return text.decode()


# --- what the answers are ---

@pytest.mark.needs("postmap")
def test_transports(maps):
    site = maps()
    for table in (site.socketmap, site.tcp):
        assert [postmap(f"{user}@example.org", table) for user in (
            "fixed", "six", "smtp", "tls", "starttls")] == [
                "lmtp:[192.0.2.7]:2424", "lmtp:[ipv6:2001:db8::7]:24",
                "smtp:[192.0.2.7]:25", "lmtp-tls:[192.0.2.7]:24",
                "lmtp-starttls:[192.0.2.7]:24"]
        for user in USERS[:4]:
            answer = Control(site.proxy).get(f"/v1/route?user={user}")
            assert postmap(user, table) == \
                f"lmtp:[{answer['ip']}]:{answer['port']}"


@pytest.mark.needs("postmap")
def test_moved_users(maps):
    site = maps()
    ips = {server.host for server in site.lmtp}
    here = postmap(USERS[0], site.socketmap)
    other, = [ip for ip in ips if f"[{ip}]" not in here]
    Control(site.proxy).post(
        f"/v1/director/move?user={USERS[0]}&host={other}")
    assert postmap(USERS[0], site.socketmap) == \
        f"lmtp:[{other}]:{site.lmtp[0].port}"


@pytest.mark.needs("postmap")
@pytest.mark.parametrize("key", [
    NOBODY, "local@example.org", "*", "joe", "joe@", "@example.org",
    "example.org", ".org", "a b@example.org", "<a@example.org>", "100%@x"])
def test_no_entry(maps, key):
    site = maps()
    assert postmap(key, site.socketmap) is None
    assert postmap(key, site.tcp) is None


@pytest.mark.needs("postmap")
@pytest.mark.parametrize("user, why", [
    ("jim", "Moved"), ("bad", "Internal user lookup failure"),
    ("bob", "known as rob@example.org to the server, which a transport "
     "cannot say")])
def test_not_known_now(maps, user, why):
    site = maps()
    assert why in postmap(f"{user}@example.org", site.socketmap)
    assert "socketmap:" in postmap(f"{user}@example.org", site.socketmap)
    with site.connect() as sock:
        sock.sendall(f"get {user}@example.org\n".encode())
        assert sock.makefile().readline() == \
            f"400 {why}\n".replace(" ", "%20").replace("400%20", "400 ")
    # Postfix asks the other table ten times, a second apart.


@pytest.mark.needs("postmap")
def test_another_map(maps):
    site = maps()
    answer = postmap(USERS[0], site.socketmap.replace("director", "users"))
    assert "the only map is director" in answer


def test_names_of_servers(maps, dns):
    dns.zone["mail.example.org"] = [LOCALHOST]
    site = maps(config=f"lmtp_proxy_dns_servers = {dns.server}\n", others=(
        "joe@example.org:::::::proxy host=mail.example.org port=24\n"
        "ann@example.org:::::::proxy host=gone.example.org port=24\n"))
    with site.connect() as sock:
        file = sock.makefile("rb")

        def ask(user):
            sock.sendall(request(f"{user}@example.org"))
            return netstring(file)
        assert ask("joe") == f"OK lmtp:[{LOCALHOST}]:24"
        assert ask("ann").startswith("TEMP gone.example.org: ")


def test_metrics(maps):
    site = maps()
    with site.connect() as sock:
        file = sock.makefile("rb")
        for user in ("fixed", "bob", "nobody", "local", "jim", "bad"):
            sock.sendall(request(f"{user}@example.org"))
            netstring(file)
        sock.sendall(request("*"))
        netstring(file)
    _, text = Control(site.proxy).request("/metrics")
    assert re.findall(r'^waypost_answers_total{kind="(\w+)"} (\d+)', text,
                      re.M) == [("remote", "2"), ("local", "1"),
                                ("refuse", "1"), ("tempfail", "2")]


# --- mail ---

@pytest.mark.needs_root
@pytest.mark.needs("postfix")
@pytest.mark.parametrize("table", [0, 1, 2])
def test_postfix_delivers(maps, postfix, table):
    """To the director's servers; all others are for waypost."""
    site = maps(as_root=True, config=PAGE.blocks("")[1])
    mta = postfix(site.main_cf() + (site.main_cf(table) if table else ""))
    inject(mta, USERS + [NOBODY])
    for user in USERS:
        assert status(mta, user)[0] == "sent"
    where = whereabouts(site.lmtp)
    assert set(where) == set(USERS) and len(set(where.values())) == 2
    for user, server in where.items():
        answer = Control(site.proxy).get(f"/v1/route?user={user}")
        assert answer["ip"] == server.host
    state, why = status(mta, NOBODY)
    assert state == "bounced" and "550 5.1.1" in why
    assert Control(site.proxy).get("/v1/stats")["recipients_2xx"] == 0


@pytest.mark.needs_root
@pytest.mark.needs("postfix")
def test_postfix_refuses_for_a_while(maps, postfix):
    """Whom waypost cannot tell about; everybody while it is down."""
    site = maps()
    mta = postfix(site.main_cf())
    for user in ("jim@example.org", USERS[0]):
        with pytest.raises(smtplib.SMTPRecipientsRefused) as refusal:
            inject(mta, [user])
        assert refusal.value.recipients[user][0] == 451
        site.proxy.stop()
    site.proxy.launch()
    site.proxy.wait_log("^ready$", count=2)

    def accepted():
        try:
            inject(mta, [USERS[0]])
        except smtplib.SMTPRecipientsRefused as refused:
            assert refused.recipients[USERS[0]][0] == 451
            return False
        return True
    # A process of Postfix that started meanwhile asks again after 30 seconds.
    wait_until(accepted, "Postfix", 60)
    assert status(mta, USERS[0])[0] == "sent"


@pytest.mark.needs_root
@pytest.mark.needs("postfix")
def test_postfix_waits(backends, maps, postfix):
    """With what is in its queue while waypost is down."""
    site = maps(config="director_probe = no\n")
    hosts = [(server.host, server.port) for server in site.lmtp]
    mta = postfix(site.main_cf())
    for server in site.lmtp:
        server.stop()
    inject(mta, [USERS[0]])
    assert status(mta, USERS[0])[0] == "deferred"
    site.proxy.stop()
    mta.flush()
    deferred = rf"to=<{re.escape(USERS[0])}>.*status=deferred.*"
    mta.wait_log(deferred, count=2)
    again = [backends(host=host, port=port) for host, port in hosts]
    site.proxy.launch()
    site.proxy.wait_log("^ready$", count=2)
    mta.flush()
    mta.wait_log(rf"to=<{re.escape(USERS[0])}>.*status=sent")
    assert list(whereabouts(again)) == [USERS[0]]


@pytest.mark.needs_root
@pytest.mark.needs("postfix")
def test_postfix_uses_tls(directory, backends, maps, postfix):
    """With the transport of the page."""
    pki = Pki(directory / "pki")
    server = backends(tls=pki.server(pki.make("backend.example")),
                      starttls=True)
    site = maps(others=f"joe@example.org:::::::proxy host={server.host} "
                f"port={server.port} starttls=any-cert\n")
    mta = postfix(site.main_cf())
    inject(mta, ["joe@example.org"])
    assert status(mta, "joe@example.org")[0] == "deferred"
    assert not server.messages
    master = (mta.dir / "conf" / "master.cf").read_text()
    mta.write("master.cf", master + PAGE.blocks("cf")[3].replace(
        "- y -", "- n -"))
    mta.postfix("reload")
    mta.flush()
    mta.wait_log(r"to=<joe@example\.org>.*status=sent")
    assert server.messages and server.connections[-1].secured


@pytest.mark.needs_root
@pytest.mark.needs_ipv6
@pytest.mark.needs("postfix")
def test_postfix_over_ipv6(backends, maps, postfix):
    server = backends(host="::1")
    site = maps(others="joe@example.org:::::::proxy host=::1 "
                f"port={server.port}\n")
    mta = postfix(site.main_cf() + "inet_protocols = all\n")
    inject(mta, ["joe@example.org"])
    assert status(mta, "joe@example.org")[0] == "sent"
    assert server.messages[0].rcpts == ["joe@example.org"]


# --- the listeners ---

@pytest.mark.needs("postmap")
def test_unix_socket(maps):
    site = maps(config="service socketmap {\n unix_listener map {\n"
                "  mode = 0640\n }\n}\n")
    path = site.proxy.dir / "run" / "map"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert postmap("fixed@example.org", f"socketmap:unix:{path}:director") \
        == "lmtp:[192.0.2.7]:2424"
    site.proxy.stop()
    assert not path.exists()


@pytest.mark.needs_root
def test_unix_socket_is_not_for_everybody(maps):
    site = maps(config="service socketmap {\n unix_listener map {\n"
                "  mode = 0600\n }\n}\n")
    path = site.proxy.dir / "run" / "map"
    code = ("import os, socket\n"
            "sock = socket.socket(socket.AF_UNIX)\n"
            "os.setegid(1)\nos.seteuid(1)\n"
            f"sock.connect({str(path)!r})\n")
    result = subprocess.run(["python3", "-c", code], capture_output=True,
                            text=True, timeout=TIMEOUT, check=False)
    assert "PermissionError" in result.stderr


def test_reload(maps):
    """Listeners come and go; connections of those that stay go on."""
    site = maps()
    with site.connect() as sock:
        file = sock.makefile("rb")
        sock.sendall(request("fixed@example.org"))
        assert netstring(file) == "OK lmtp:[192.0.2.7]:2424"
        second = free_port()
        site.proxy.reload(site.settings() + "service socketmap {\n"
                          " inet_listener two {\n  address = "
                          f"{LOCALHOST}\n  port = {second}\n }}\n}}\n")
        with socket.create_connection((LOCALHOST, second), TIMEOUT) as other:
            other.sendall(request("six@example.org"))
            assert netstring(other.makefile("rb")) == \
                "OK lmtp:[ipv6:2001:db8::7]:24"
            sock.sendall(request("six@example.org"))
            assert netstring(file) == "OK lmtp:[ipv6:2001:db8::7]:24"
            site.proxy.reload(site.settings())
            assert other.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((LOCALHOST, second), TIMEOUT)


@pytest.mark.parametrize("listener, error", [
    ("inet_listener x {\n port = 1\n}", "x: service socketmap needs an "
     "address"),
    ("inet_listener x {\n address = ::1\n port = 1\n ssl = yes\n}",
     "x: service socketmap knows neither ssl nor haproxy"),
    ("inet_listener x {\n address = ::1\n port = 1\n haproxy = yes\n}",
     "x: service socketmap knows neither ssl nor haproxy"),
    ("unix_listener x {\n user = no-such-user\n}", "user 'no-such-user'"),
    ("client_limit = 3", "client_limit"),
])
def test_wrong_configuration(instance, listener, error):
    assert error in instance().refusal(
        "passdb {\n driver = static\n args = nopassword=y\n}\n"
        f"service socketmap {{\n{listener}\n}}\n")


# --- clients who are no Postfix ---

@pytest.mark.parametrize("data, answer", [
    (b"100000:director " + b"a" * 100000 + b",",
     "30:PERM no netstring, or too long,"),
    (b"get " + b"a" * 100000 + b"\n", "400 too%20long\n"),
    (b"\0\1\2", "400 not%20a%20request%20of%20socketmap%20or%20tcp\n"),
    (b"GET /v1/status HTTP/1.1\r\n\r\n",
     "400 not%20a%20request%20of%20socketmap%20or%20tcp\n"),
    (b"\x16\x03\x01\x02\0\x01", "400 not%20a%20request%20of%20socketmap%20or"
     "%20tcp\n"),
    (b"4:a bc!", "30:PERM no netstring, or too long,"),
])
def test_no_requests(maps, data, answer):
    """They are told so, and the connection ends."""
    site = maps()
    with site.connect() as sock:
        sock.sendall(data)
        assert sock.makefile("rb").read().decode() == answer


def test_pipelining(maps):
    """In order, although the client does not read yet."""
    site, count = maps(), 4000
    with site.connect() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        keys = ["fixed@example.org", "*", "six@example.org", NOBODY]
        want = ["OK lmtp:[192.0.2.7]:2424", "NOTFOUND ",
                "OK lmtp:[ipv6:2001:db8::7]:24", "NOTFOUND "]
        data = b"".join(map(request, keys)) * (count // 4)
        sock.setblocking(False)
        sent = 0
        while sent < len(data):
            try:
                sent += sock.send(data[sent:])
            except BlockingIOError:
                break
        sock.settimeout(TIMEOUT)
        file = sock.makefile("rb")
        done = 0
        while sent < len(data):
            assert netstring(file) == want[done % 4]
            done += 1
            try:
                sent += sock.send(data[sent:sent + 1000])
            except BlockingIOError:
                pass
        for number in range(done, count):
            assert netstring(file) == want[number % 4]


def test_crowd(maps):
    """Those who keep connections and say nothing make room for who asks."""
    site, crowd = maps(), []
    with site.connect() as asking:
        file = asking.makefile("rb")
        for number in range(400):
            crowd.append(site.connect())
            crowd[-1].sendall([b"", b"1", b"get a", b"20:director "]
                              [number % 4])
            if number % 100 == 0:
                asking.sendall(request("fixed@example.org"))
                assert netstring(file) == "OK lmtp:[192.0.2.7]:2424"
    with site.connect() as late:
        late.sendall(request("fixed@example.org"))
        assert netstring(late.makefile("rb")) == "OK lmtp:[192.0.2.7]:2424"
    fds = os.listdir(f"/proc/{site.proxy.workers()[0]}/fd")
    assert len(fds) < 256 + 100
    for sock in crowd:
        sock.close()


@pytest.fixture
def stuck(maps, dns):
    """A site, and a client whose lookup waits for a name server."""
    dns.fail["gone.example.org"] = "drop"
    site = maps(config=f"lmtp_proxy_dns_servers = {dns.server}\n",
                others=OTHERS + "joe@example.org:::::::proxy "
                "host=gone.example.org port=24\n")
    sock = site.connect()
    sock.sendall(request("joe@example.org") + request("fixed@example.org"))
    wait_until(lambda: dns.queries, "a question to the server")
    yield site, sock
    sock.close()


def test_others_need_not_wait(stuck):
    site, sock = stuck
    with site.connect() as other:
        other.sendall(request("six@example.org"))
        assert netstring(other.makefile("rb")).startswith("OK ")
    sock.settimeout(0.1)
    with pytest.raises(TimeoutError):
        sock.recv(1)


@pytest.mark.parametrize("end", ["client", "listener", "waypost"])
def test_what_ends_during_a_lookup(stuck, end):
    site, sock = stuck
    if end == "client":
        sock.close()
        with site.connect() as other:
            other.sendall(request("six@example.org"))
            assert netstring(other.makefile("rb")).startswith("OK ")
    elif end == "listener":
        (site.proxy.dir / "conf.d" / "socketmap.conf").unlink()
        site.proxy.reload(site.settings().replace(
            "!include conf.d/*.conf\n", ""))
        assert sock.recv(1) == b""
    else:
        site.proxy.stop()
        assert sock.makefile("rb").read() in (
            b"", b"18:TEMP Shutting down,")


def test_handover(maps):
    """Who is idle is sent to the new process, who comes finds it there."""
    site = maps()
    with site.connect() as idle:
        file = idle.makefile("rb")
        idle.sendall(request("fixed@example.org"))
        assert netstring(file) == "OK lmtp:[192.0.2.7]:2424"
        hand_over(site.proxy)
        assert file.read() == b""
    with site.connect() as sock:
        sock.sendall(request("fixed@example.org"))
        assert netstring(sock.makefile("rb")) == "OK lmtp:[192.0.2.7]:2424"


def test_stop_while_clients_wait(maps):
    site = maps()
    with site.connect() as idle, site.connect() as half:
        idle.sendall(request("fixed@example.org"))
        assert netstring(idle.makefile("rb")).startswith("OK ")
        half.sendall(b"20:direc")
        site.proxy.stop()
        assert idle.recv(1) == b""


# --- the page ---

def test_page():
    assert "doc/postfix.md" in (TOP / "Makefile.am").read_text()
    assert "(doc/postfix.md)" in (TOP / "README.md").read_text()


@pytest.mark.needs("postfix")
def test_configurations_of_the_page_are_right(instance):
    for block in PAGE.blocks(""):
        proxy = instance()
        proxy.write_config("passdb {\n driver = static\n args = nopassword=y "
                           "proxy=y host=192.0.2.1\n}\n" + block)
        result = proxy.run("-t")
        assert (result.returncode, result.stderr) == (0, "")
