"""Local delivery to file systems that are full, read-only, gone, out of order, or cut
off from power: what the client is told is so, and afterwards all is well."""
import os

import pytest

from conftest import EXPECTED_SKIPS
from disks import CannotMount, Disk, run
from local_site import Site

pytestmark = pytest.mark.needs_root

SIZE = 30000
EXT4 = "mkfs.ext4", "-q", "-F", "-m", "0"
# No commits of the journal but for fsync().
LAZY = "loop,commit=1000"
MBOX = "userdb_mail=mbox:~/mail:INBOX=~/inbox"


class Disks(Site):
    """A site with users whose homes are disks."""

    def __init__(self, instance, request):
        super().__init__(instance, None)
        self.request = request
        self.disks, self.users, self.fields = {}, {}, {}
        self.client = None
        self.number = 0

    def add(self, name, *args, fields="", **kwargs):
        """A user with such a disk."""
        uid = 61010 + len(self.users)
        if not self.home(name).exists():
            self.make_home(name, uid)
        self.users[name], self.fields[name] = uid, fields
        try:
            self.disks[name] = Disk(self.home(name), *args, **kwargs)
        except CannotMount as exc:
            test = self.request.node
            if f"{test.path.name}::{test.originalname}" in EXPECTED_SKIPS:
                pytest.skip(str(exc))
            raise
        self.disks[name].own(uid)
        return self.disks[name]

    def passwd_line(self, name, uid):
        return super().passwd_line(name, uid).replace(
            "\n", f" {self.fields.get(name, '')}\n")

    def run(self, extra=""):
        self.start("lmtp_save_to_detail_mailbox = yes\n"
                   "lda_mailbox_autocreate = yes\n" + extra, users=self.users)
        self.client = self.proxy.session()

    def send(self, name, size=SIZE):
        self.number += 1
        body = b"Subject: %d\r\n\r\n" % self.number + \
            b"%.98d\r\n" % 0 * (size // 100) + b"the end\r\n"
        reply, = self.client.deliver(f"{name}@example.org", body)
        return reply

    def send_until_refused(self, name, size=SIZE):
        """How many were saved, and the reply to the one that was not."""
        for saved in range(1000):
            reply = self.send(name, size)
            if reply != 250:
                return saved, reply
        raise AssertionError(f"{name}'s disk has room for all mail")

    def count(self, name):
        """Mails, all of which are whole; and no draft or lock is left."""
        if "mbox:" in self.fields[name]:
            assert not list(self.home(name).rglob("*.lock"))
            texts = [path.read_bytes() for path in self.home(name).rglob("*")
                     if path.name in ("inbox", "a.b", "c")]
            assert all(text.endswith(b"\nthe end\n\n") for text in texts)
            count = b"".join(texts).count(b"\nthe end\n\n")
            assert b"".join(texts).count(b"From sender@example.net ") == count
            return count
        maildir = self.home(name) / "Maildir"
        texts = [path.read_bytes() for path in maildir.glob("**/new/*")]
        assert all(text.endswith(b"\nthe end\n") for text in texts)
        assert not list(maildir.glob("**/tmp/*"))
        assert len({text.partition(b"Subject: ")[2] for text in texts}) == \
            len(texts)
        return len(texts)

    def close(self):
        if self.client:
            self.client.close()
        for disk in self.disks.values():
            disk.detach()


@pytest.fixture
def site(instance, request):
    site = Disks(instance, request)
    yield site
    site.close()


def test_full(site):
    """Of bytes; of bytes before there is anything; of inodes; of bytes for an mbox."""
    disks = [site.add("anna", 8, *EXT4), site.add("ben", 8, *EXT4),
             site.add("dora", 8, *EXT4, fields=MBOX)]
    site.add("carl", 8, *EXT4, "-N", "32")
    site.run()
    for disk, leave in zip(disks, (300000, 0, 300000)):
        disk.fill(leave)
    for name, least in (("anna", 5), ("ben", 0), ("carl", 5), ("dora", 5)):
        saved, reply = site.send_until_refused(name)
        assert reply == f"452 4.3.1 <{name}@example.org> Insufficient system"
        assert saved >= least and site.count(name) == saved
    for disk in disks:
        disk.empty()
    next((site.home("carl") / "Maildir" / "new").iterdir()).unlink()
    for name in site.users:
        before = site.count(name)
        assert site.send(name) == 250
        assert site.count(name) == before + 1
    site.proxy.wait_log(r"to=<carl@example.org> .* error=\"cannot create \S+/tmp/")


def test_not_there(site):
    """Read-only, and not mounted; and there again."""
    anna, ben = (site.add(name, 8, *EXT4) for name in ("anna", "ben"))
    site.run()
    for name in site.users:
        assert site.send(name) == 250
    anna.remount("ro")
    ben.unmount()
    for name in site.users:
        for mailbox in (name, name + "+box"):
            assert site.send(mailbox) == f"451 4.2.0 <{mailbox}@example.org> "
    assert not list(site.home("ben").iterdir())
    anna.remount("rw")
    ben.mount()
    for name in site.users:
        assert site.send(name) == 250
        assert site.count(name) == 2


def test_power_is_cut(site):
    """What was answered with 250 is there, also in mailboxes and directories that were
    new."""
    disks = [site.add("anna", 8, *EXT4, options=LAZY),
             site.add("ben", 8, *EXT4, options=LAZY,
                      fields=MBOX)]
    site.run()
    for name in site.users:
        for mailbox in ("", "+a.b", "", "+a.b", "+c"):
            assert site.send(name + mailbox) == 250
    for disk in disks:
        (disk.path / "not_synced").touch()
        disk.cut_power()
    for name in site.users:
        assert site.send(name) == f"451 4.3.0 <{name}@example.org> "
    for disk in disks:
        disk.unmount()
        disk.mount()
    # Else nothing is lost here at all.
    assert not all((disk.path / "not_synced").exists() for disk in disks)
    maildir = site.home("anna") / "Maildir"
    assert [len(list((maildir / folder / "new").iterdir()))
            for folder in (".", ".a.b", ".c")] == [2, 2, 1]
    assert [(site.home("ben") / name).stat().st_size // SIZE
            for name in ("inbox", "mail/a.b", "mail/c")] == [2, 2, 1]
    # That counts for two minutes: what it says is not on the disk.
    (site.home("ben") / "mail" / "c.lock").unlink(missing_ok=True)
    for name in site.users:
        for mailbox in ("", "+a.b"):
            assert site.send(name + mailbox) == 250
        assert site.count(name) == 7


def test_quota_of_the_file_system(site):
    """EDQUOT is the user's own fault, unlike a full disk."""
    disk = site.add("anna", 120, "mkfs.btrfs", "-q", "-f")
    home = site.home("anna") / "home"
    for command in (("quota", "enable", disk.path),
                    ("subvolume", "create", home),
                    ("qgroup", "limit", "2M", home)):
        disk.need("btrfs", *command)
    os.chown(home, *[site.users["anna"]] * 2)
    site.fields["anna"] = f"userdb_mail=maildir:{home}"
    site.run()

    def count():
        texts = [path.read_bytes() for path in (home / "new").iterdir()]
        assert all(text.endswith(b"\nthe end\n") for text in texts)
        assert not list((home / "tmp").iterdir())
        return len(texts)

    saved, reply = site.send_until_refused("anna", 100000)
    assert reply == ("552 5.2.2 <anna@example.org> Quota exceeded (mailbox for "
                     "user is full)")
    assert saved == count() > 5
    site.proxy.wait_log("Disk quota exceeded")
    for path in (home / "new").iterdir():
        path.unlink()
    run("sync", "-f", home)
    assert site.send("anna", 100000) == 250
    assert count() == 1
