"""md5-ring beside Dovecot's own director: each user goes to the same server."""
import json
import socket
import urllib.parse

import pytest

from control import Control, UnixConnection
from ports import LOCALHOST, free_port
from waiting import TIMEOUT

pytestmark = pytest.mark.needs("dovecot")

DIRECTOR = """\
director_servers = {host}:{port}
director_mail_servers = {servers}
director_username_hash = {format}
service director {{
  chroot =
  unix_listener director-admin {{
    mode = 0600
  }}
  inet_listener {{
    address = {host}
    port = {port}
  }}
}}
"""
# The user's domain is the tag, which is empty for users without one.
PASSDB = ("passdb {\n driver = static\n"
          " args = nopassword=y proxy=y port=24 director_tag=%d\n}\n")
USERS = 10000  # for each tag, which makes 100,000
BATCH = 100  # asked at once


class Director:
    """What doveadm director speaks to."""

    def __init__(self, server):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(TIMEOUT)
        self.sock.connect(str(server.dir / "run" / "director-admin"))
        self.file = self.sock.makefile("rwb")
        self.file.write(b"VERSION\tdirector-doveadm\t1\t0\n")
        assert self.ask().startswith("VERSION\tdirector-doveadm\t")

    def ask(self, *words):
        if words:
            self.file.write("\t".join(words).encode() + b"\n")
        self.file.flush()
        return self.file.readline().decode().rstrip("\n")

    def set_weight(self, address, weight):
        assert self.ask("HOST-UPDATE", address, str(weight)) == "OK"

    def hashed(self, users, tag):
        """The address of each, or nothing."""
        self.file.write("".join(f"USER-LOOKUP\t{user}\t{tag}\n"
                                for user in users).encode())
        return [self.ask().split("\t")[2] for _ in users]

    def close(self):
        self.file.close()
        self.sock.close()


class Routes:
    """What the running process would choose, many users at once."""

    def __init__(self, proxy):
        self.connection = UnixConnection(Control(proxy).path)
        self.connection.connect()
        self.file = self.connection.sock.makefile("rb")

    def answer(self):
        head = iter(self.file.readline, b"\r\n")
        size, = (int(line.split()[1]) for line in head
                 if line.lower().startswith(b"content-length:"))
        return json.loads(self.file.read(size))

    def addresses(self, users):
        """The address of each, or nothing."""
        self.connection.sock.sendall("".join(
            f"GET /v1/route?user={urllib.parse.quote(user)} HTTP/1.1\r\n"
            "Host: localhost\r\n\r\n" for user in users).encode())
        return [self.answer().get("ip") or "" for _ in users]

    def close(self):
        self.file.close()
        self.connection.close()


def weighted(servers, weights):
    """The list as Dovecot cannot write it."""
    return " ".join(f"{host}*{weights[host]}{at}{tag}" if host in weights
                    else host + at + tag
                    for host, at, tag in (server.partition("@")
                                          for server in servers.split()))


@pytest.mark.parametrize("servers, tags, weights, form", [
    ("10.0.0.1-10.0.0.9", [""], {}, "%Lu"),
    ("10.7.0.3 10.7.0.1 2001:db8::1-2001:db8::4", [""], {}, "%u"),
    ("10.0.0.1-10.0.0.5 10.1.0.1-10.1.0.7@x 10.2.0.1@y.example", ["", "x",
     "y.example", "unknown"], {}, "%Ln"),
    ("10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4@x 10.0.0.5@x 10.0.0.6@z", ["", "x",
     "z"], {"10.0.0.1": 50, "10.0.0.3": 0, "10.0.0.4": 1000, "10.0.0.5": 7,
            "10.0.0.6": 0}, "%Lu"),
    ("10.0.0.1-10.0.0.200", [""], {}, "%{username}-%Ld"),
])
def test_same_servers(dovecot, waypost, servers, tags, weights, form):
    port = free_port()
    director = Director(dovecot(extra=DIRECTOR.format(
        host=LOCALHOST, port=port, servers=servers, format=form)))
    for address, weight in weights.items():
        director.set_weight(address, weight)
    proxy = waypost(f"{PASSDB}director_mail_servers = "
                    f"{weighted(servers, weights)}\n"
                    f"director_username_hash = {form}\n"
                    "auth_username_format =\n")
    routes = Routes(proxy)
    used = set()
    for tag in tags:
        for first in range(0, USERS, BATCH):
            users = [f"User.{number}" + (f"@{tag}" if tag else "")
                     for number in range(first, first + BATCH)]
            expected = director.hashed(users, tag)
            assert routes.addresses(users) == expected, users
            used.update(expected)
    assert len(used) > 1
    routes.close()
    director.close()
