"""Mailboxes that hang, on a file system that lets nobody write: whose they are waits,
and nobody else."""
import re
import time

import pytest

from conftest import EXPECTED_SKIPS
from control import Control
from disks import CannotMount, Disk, run
from lmtp_client import dot_stuff
from local_site import BODY, Site, send
from scripted_backend import hold
from waiting import wait_until

pytestmark = pytest.mark.needs_root
UID = 61001
# Far longer than four processes need, far shorter than any time limit.
SOON = 20


class Frozen(Site):
    """Users of one uid, of whom the first's home is a disk that can be frozen."""

    def __init__(self, instance, backend, request):
        super().__init__(instance, backend, roots=True)
        self.users = {f"user{number}": UID for number in range(4)}
        for name in self.users:
            self.make_home(name, UID)
        try:
            self.disk = Disk(self.home("user0"), 16, "mkfs.ext4", "-q", "-F")
        except CannotMount as exc:
            if f"{request.node.path.name}::{request.node.originalname}" in \
                    EXPECTED_SKIPS:
                pytest.skip(str(exc))
            raise
        self.disk.own(UID)

    def freeze(self):
        assert run("fsfreeze", "-f", self.disk.path).returncode == 0

    def thaw(self):
        run("fsfreeze", "-u", self.disk.path)

    def has_mail(self, name, count=1):
        return len(self.files(name)) == count


@pytest.fixture
def frozen(instance, backend, request):
    site = Frozen(instance, backend, request)
    yield site
    site.thaw()
    site.proxy.stop()
    site.disk.unmount()


def begin(client, names):
    """Their message, all of it. Nobody has answered yet."""
    assert client.mail() == 250
    for name in names:
        assert client.rcpt(f"{name}@example.org") == 250
    assert client.command("DATA") == 354
    client.send(dot_stuff(BODY))


def test_nobody_waits_for_one_whose_mailbox_hangs(frozen):
    """Not even those who might have shared its mail."""
    proxy = frozen.start("lmtp_delivery_timeout = 1 mins\n", users=frozen.users)
    names = list(frozen.users)
    with proxy.session() as client:
        assert send(client, *(f"{name}@example.org" for name in names)) == [250] * 4
        # How long it usually takes is known by then.
        for _ in range(10):
            assert send(client, "user0@example.org") == [250]
        frozen.freeze()
        start = time.monotonic()
        begin(client, names)
        wait_until(lambda: all(frozen.has_mail(name, 2) for name in names[1:]),
                   "mail of those whose mailboxes do not hang")
        assert time.monotonic() - start < SOON
        with proxy.session() as other:
            assert send(other, "user1@example.org") == [250]
        assert time.monotonic() - start < SOON
        client.expect_silence()  # the first one's reply comes first
        frozen.thaw()
        assert client.replies(4) == [250] * 4
    assert frozen.has_mail("user0", 12)
    assert frozen.files("user0", "tmp") == []


def test_it_holds_up_no_backend_either(frozen, backend):
    proxy = frozen.start("lmtp_delivery_timeout = 1 mins\n", users=frozen.users)
    with proxy.session() as client:
        assert send(client, "user0@example.org") == [250]
        frozen.freeze()
        begin(client, ["user1", "far", "user0", "user2"])
        assert client.replies(2) == [250, 250]
        backend.wait_messages(1)
        wait_until(lambda: frozen.has_mail("user2"), "user2's mail")
        frozen.thaw()
        assert client.replies(2) == [250, 250]


def test_what_hangs_for_too_long_is_refused(frozen):
    """By then its process cannot even be killed; it is when the disk is back."""
    proxy = frozen.start("lmtp_delivery_timeout = 4 s\n", users=frozen.users)
    with proxy.session() as client:
        assert send(client, "user0@example.org") == [250]
        frozen.freeze()
        begin(client, ["user0", "user1"])
        replies = client.replies(2)
        assert [reply.code for reply in replies] == [451, 250]
        with proxy.session() as other:
            assert send(other, "user2@example.org") == [250]
        text = Control(proxy).request("/metrics")[1]
        assert re.search(r'^waypost_deliveries_total{result="no_answer"} 1$', text,
                         re.M)
        frozen.thaw()
        assert send(client, "user0@example.org") == [250]
    # One that was given up may still be saved, whole.
    assert len(frozen.files("user0")) in (2, 3)
    assert all(text.endswith(b"\nhello\n.dot\n") for text in frozen.texts("user0"))


@pytest.mark.parametrize("kind", ["hang", "refuse"])
def test_those_behind_a_backend_do_not_hold_up_mail_here(frozen, backend, kind):
    proxy = frozen.start(users=frozen.users)
    if kind == "hang":
        backend.on("body", hold)
    else:
        backend.on("dot", "554 5.0.0 no")
    codes = [250 if kind == "hang" else 554, 250, 250]

    def is_shared():
        first, second = (frozen.files(name)[-1].stat() for name in ("user1", "user2"))
        return first.st_ino == second.st_ino

    def shared_another_time():
        """Who may share a mail waits a moment for it, which a busy machine exceeds."""
        begin(client, ["far", "user1", "user2"])
        assert [reply.code for reply in client.replies(3)] == codes
        return is_shared()

    with proxy.session() as client:
        begin(client, ["far", "user1", "user2"])
        wait_until(lambda: frozen.has_mail("user1") and frozen.has_mail("user2"),
                   "mail that is here")
        if kind == "hang":
            client.expect_silence()
            backend.release()
        assert [reply.code for reply in client.replies(3)] == codes
        if not is_shared():
            wait_until(shared_another_time, "a mail that is shared")
