"""A waypost that saves mail of users who are here, and what tests of that share."""
import os
import pathlib
import re

import pytest

from maildir import in_order
from waiting import wait_until
from waypost import IS_ROOT

UIDS = {"anna": 61001, "ben": 61002}
BODY = b"Subject: hi\r\n\r\nhello\r\n.dot\r\n"
as_root = pytest.mark.needs_root


class Site:
    """A waypost with mail of several users. As root they have a uid each, else
    all mail is ours."""

    def __init__(self, instance, backend, roots=IS_ROOT):
        self.proxy = instance(as_root=roots or None)
        self.roots = roots
        self.mail = self.proxy.dir / "mail"
        self.mail.mkdir()
        self.mail.chmod(0o755)
        self.backend = backend
        for name, uid in UIDS.items():
            self.make_home(name, uid)

    def make_home(self, name, uid):
        home = self.mail / name
        home.mkdir()
        if self.roots:
            os.chown(home, uid, uid)
        elif IS_ROOT:
            home.chmod(0o777)

    def home(self, name):
        return self.mail / name

    def passwd_line(self, name, uid):
        ids = f"userdb_uid={uid} userdb_gid={uid} " if self.roots else ""
        return (f"{name}@example.org:::::::{ids}"
                f"userdb_home={self.home(name)}\n")

    def config(self, extra="", passdb="", users=None):
        text = passdb + "".join(self.passwd_line(*item) for item in
                                (UIDS if users is None else users).items())
        if self.backend:
            text += ("far@example.org:::::::proxy "
                     f"host={self.backend.host} port={self.backend.port}\n")
        self.proxy.write_file("passwd", text)
        return (f"passdb {{\n driver = passwd-file\n"
                f" args = {self.proxy.dir}/passwd\n}}\n"
                "userdb {\n driver = prefetch\n}\n"
                "mail_location = maildir:~/Maildir\n" + extra)

    def start(self, extra="", **kwargs):
        self.proxy.start(self.config(extra, **kwargs))
        return self.proxy

    def files(self, name, folder="new", box="Maildir"):
        path = self.home(name) / box / folder
        return in_order(path.iterdir()) if path.exists() else []

    def texts(self, name, **kwargs):
        return [path.read_bytes() for path in self.files(name, **kwargs)]


@pytest.fixture
def site(instance, backend):
    """A site that is not started yet."""
    return Site(instance, backend)


@pytest.fixture
def plain_site(instance, backend):
    """One that is not started by root."""
    return Site(instance, backend, roots=False)


def send(client, *rcpts, body=BODY):
    return client.deliver(rcpts, body)


def children(proxy, title):
    """Processes below the supervisor with that title: a worker, a delivery crew, or a
    delivery."""
    found = []
    # One that was just forked still has the crew's title.
    for pid in proxy.deliverers() if title == "delivery" else proxy.workers():
        try:
            line = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if f": {title}\0".encode() in line:
            found.append(pid)
    return found


def crew_of(proxy):
    """Also right behind a start, or the death of another one."""
    crew, = wait_until(lambda: children(proxy, "delivery crew"), "a crew")
    return crew


def uids_of(pid):
    """Real, effective and saved uid."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return re.search(r"^Uid:\t(\d+)\t(\d+)\t(\d+)", status, re.M).groups()


def wait_for_crew(proxy):
    return wait_until(lambda: len(children(proxy, "delivery")) >= 4 and
                      children(proxy, "delivery"), "a crew")
