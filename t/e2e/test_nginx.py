"""nginx in front of the mail servers, with the configuration of doc/nginx.md:
users reach the server that their mail is delivered to."""
import base64
import collections
import socket

import pytest

from control import Control
from nginx import PASSWORD, MailServer, Nginx, mail_servers
from pki import Pki
from ports import free_port
from test_director import servers, whereabouts  # noqa: F401
from test_store_docs import Page
from waiting import TIMEOUT, wait_until
from waypost import LOCALHOST, TOP

pytestmark = pytest.mark.needs("nginx")
USERS = [f"user{number}@example.org" for number in range(24)]
NOBODY = "nobody@example.org"
PAGE = Page("../nginx")


# Up to the answer to a login.
DIALOGUES = {
    "imap": lambda user, password: [
        b"a LOGIN {%d}" % len(user), user + b" {%d}" % len(password),
        password],
    "pop3": lambda user, password: [b"USER " + user, b"PASS " + password],
    "smtp": lambda user, password: [
        b"EHLO client.example",
        b"AUTH PLAIN " + base64.b64encode(b"\0" + user + b"\0" + password)],
}


class World:
    """waypost, LMTP and mail servers on the same addresses, nginx."""

    def __init__(self, directory, proxy, lmtp, users=None, extra="",
        config="", token="change-me"):
        self.proxy, self.lmtp = proxy, lmtp
        self.mail, self.mail_ports = mail_servers(len(lmtp))
        self.auth_port = free_port()
        users = {**dict.fromkeys(USERS, ""), **(users or {})}
        proxy.write_file("users", "".join(
            f"{user}:::::::proxy port={lmtp[0].port} {fields}\n"
            for user, fields in users.items()))
        PAGE.write(proxy, [
            ("127.0.0.1", LOCALHOST), ("2480", str(self.auth_port))] + [
            (f"_{protocol}_port = .*", f"_{protocol}_port = {port}")
            for protocol, port in self.mail_ports.items()])
        proxy.start(
            "passdb {\n driver = passwd-file\n args = "
            f"{proxy.dir}/users\n}}\n" + config + "director_mail_servers = " +
            " ".join(server.host for server in lmtp) +
            "\n!include conf.d/*.conf\n")
        pki = Pki(directory / "pki")
        self.tls = pki.client()
        self.tls.check_hostname = False
        self.nginx = Nginx(
            directory / "nginx",
            PAGE.blocks("nginx")[0].replace("change-me", token),
            pki.make("mail.example.org"), self.auth_port, extra)

    def login(self, protocol, user, password=PASSWORD):
        """True when the mail server answers afterwards; else what the client
        hears instead."""
        with socket.create_connection(
                (LOCALHOST, self.nginx.ports[protocol]), TIMEOUT) as sock, \
                self.tls.wrap_socket(sock) as tls:
            file = tls.makefile("rwb")
            file.readline()
            for line in DIALOGUES[protocol](user.encode(), password.encode()):
                file.write(line + b"\r\n")
                file.flush()
                answer = file.readline().decode().rstrip("\r\n")
                while answer[3:4] == "-":
                    answer = file.readline().decode().rstrip("\r\n")
            if not answer.startswith(("a OK", "+OK", "235")):
                return answer
            file.write(b"b NOOP\r\n" if protocol == "imap" else b"NOOP\r\n")
            file.flush()
            return file.readline().endswith(b" done\r\n")

    def logins(self):
        return {server.host: server.logins for server in self.mail}

    def stop(self):
        self.nginx.stop()
        for server in self.mail:
            server.stop()
        print(f"--- nginx ---\n{self.nginx.log()}")


@pytest.fixture
def world(directory, instance, servers):  # noqa: F811
    """world(...): running, with two servers."""
    made = []

    def make(**options):
        made.append(World(directory, instance(), servers(2), **options))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def test_users_reach_the_server_of_their_mail(world):
    site = world()
    with site.proxy.session() as client:
        assert {reply.code for reply in client.deliver(USERS)} == {250}
    where = whereabouts(site.lmtp)
    assert len(set(where.values())) == 2
    for user in USERS:
        for protocol in ("imap", "pop3", "smtp"):
            assert site.login(protocol, user) is True, protocol
    for user, server in where.items():
        assert {host: sorted(protocol for protocol, name, _ in logins
                             if name == user)
                for host, logins in site.logins().items()} == {
                    one.host: ["imap", "pop3", "smtp"] if one is server else []
                    for one in site.lmtp}


def test_a_moved_user_goes_elsewhere(world):
    site = world()
    assert site.login("imap", USERS[0]) is True
    there, = [host for host, logins in site.logins().items() if logins]
    other, = set(site.logins()) - {there}
    control = Control(site.proxy)
    control.post(f"/v1/director/move?user={USERS[0]}&host={other}")
    assert site.login("imap", USERS[0]) is True
    assert [name for _, name, _ in site.logins()[other]] == [USERS[0]]
    control.post(f"/v1/director/unmove?user={USERS[0]}")
    control.post(f"/v1/director/down?host={there}")
    assert site.login("pop3", USERS[0]) is True
    assert len(site.logins()[other]) == 2


@pytest.mark.parametrize("protocol, unknown, wrong", [
    ("imap", "a NO [AUTHENTICATIONFAILED] Invalid login or password",
     "a NO [AUTHENTICATIONFAILED] not you"),
    ("pop3", "-ERR [AUTH] Invalid login or password", "-ERR [AUTH] not you"),
    ("smtp", "535 5.7.8 Invalid login or password", "535 5.7.8 not you"),
])
def test_wrong_users_and_passwords(world, protocol, unknown, wrong):
    site = world()
    assert site.login(protocol, NOBODY) == unknown
    assert site.login(protocol, USERS[0], "guessed") == wrong
    assert not any(site.logins().values())
    assert "guessed" not in site.proxy.log
    assert PASSWORD not in site.proxy.log


@pytest.mark.parametrize("protocol, answer", [
    ("imap", "a NO [UNAVAILABLE] Moved"), ("pop3", "-ERR [SYS/TEMP] Moved"),
    ("smtp", "454 4.7.0 Moved"),
])
def test_not_now(world, protocol, answer):
    site = world(users={"jim@example.org": "nologin reason=Moved"})
    assert site.login(protocol, "jim@example.org") == answer


BROKEN = [("imap", "* BAD internal server error"),
          ("pop3", "-ERR internal server error"),
          ("smtp", "451 4.3.2 Internal server error")]


@pytest.mark.parametrize("protocol, answer", BROKEN)
def test_waypost_is_down(world, protocol, answer):
    site = world()
    site.proxy.stop()
    assert site.login(protocol, USERS[0]) == answer
    site.proxy.launch()
    site.proxy.wait_log("^ready$", count=2)
    assert site.login(protocol, USERS[0]) is True


@pytest.mark.parametrize("protocol, answer", BROKEN)
def test_wrong_token(world, protocol, answer):
    site = world(token="wrong")
    assert site.login(protocol, USERS[0]) == answer
    wait_until(lambda: "did not send server or port" in site.nginx.log(),
               "nginx to log the answer")


# What nginx escapes is what the user wrote.
@pytest.mark.parametrize("written, there", [
    ("joe+list@example.org", True), ("J\u00f6e@example.org", True),
    ('"us er"@example.org', True), ("a%zz@example.org", True),
    ("%75ser0@example.org", False), ("user0@example.org ", False),
    ("user0@example.org\\", False),
])
def test_names(world, written, there):
    site = world(users=dict.fromkeys([
        "joe@example.org", "J\u00f6e@example.org", "us er@example.org",
        "a%zz@example.org"], ""),
                 config="auth_username_chars =\nauth_username_format = %u\n")
    answer = site.login("imap", written)
    logins = [name for logins in site.logins().values()
              for _, name, _ in logins]
    if there:
        assert answer is True and logins == [written]
    else:
        assert answer.startswith("a NO ") and not logins, answer


def test_mail_servers_learn_who_the_client_is(world):
    site = world(extra=PAGE.blocks("nginx")[1])
    for server in site.mail:
        server.proxy_protocol = True
    assert site.login("imap", USERS[0]) is True
    (_, _, client), = sum(site.logins().values(), [])
    assert client.startswith("127.")


@pytest.mark.needs_ipv6
def test_ipv6(world):
    site = world(users={"six@example.org": "host=::1"})
    server = MailServer("::1", site.mail_ports)
    try:
        for protocol in ("imap", "pop3", "smtp"):
            assert site.login(protocol, "six@example.org") is True
    finally:
        server.stop()
    assert len(server.logins) == 3


def test_everybody_at_once(world):
    """As after a restart of nginx."""
    site, count = world(), 400
    files = []
    for _ in range(count):
        sock = socket.create_connection(
            (LOCALHOST, site.nginx.ports["imap"]), TIMEOUT)
        files.append(site.tls.wrap_socket(sock).makefile("rwb"))
    for file in files:
        file.readline()
    for number, file in enumerate(files):
        file.write(f'a LOGIN {USERS[number % len(USERS)]} "{PASSWORD}"\r\n'
                   .encode())
    for file in files:
        file.flush()
    answers = collections.Counter(file.readline() for file in files)
    assert answers == {b"a OK done\r\n": count}


def test_the_page_is_installed():
    assert "doc/nginx.md" in (TOP / "Makefile.am").read_text()
    assert "(doc/nginx.md)" in (TOP / "README.md").read_text()
