"""Mail comes in while others read, move and expunge it: by waypost into a Maildir with
a quota, by Dovecot's IMAP out of it. WAYPOST_IMAP_MAILS says how many (300)."""
import collections
import imaplib
import os
import pathlib
import re
import shutil
import subprocess
import threading
import time

import pytest

from lmtp_client import dot_stuff
from ports import LOCALHOST, free_port
from servers import find
from test_quota import USER, Site
from waiting import TIMEOUT

pytestmark = pytest.mark.needs("dovecot", "/usr/lib/dovecot/imap")

MAILS = int(os.environ.get("WAYPOST_IMAP_MAILS", "300"))
SENDERS = 4
RULES = (("quota_rule", "*:storage=10G"),)
COURIER = "deliverquota.maildrop"
TOOL = pathlib.Path(os.environ.get("WAYPOST", "waypost")).parent / "t/quota_tool"
IMAP = """\
protocols = lmtp imap
disable_plaintext_auth = no
mail_max_userip_connections = 100
service imap-login {{
  chroot =
  inet_listener imap {{
    address = {host}
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
"""


def body_of(number):
    """Of any size up to some thousand bytes, with and without an end of line that is
    our own, so that S= and W= differ from each other and from mail to mail."""
    return (b"Subject: %d\r\n\r\n" % number + b"x" * (number % 97) + b"\r\n" +
            b"0123456789\r\n" * (number * 7 % 301) + b"the end\r\n")


class Threads:
    """Work at the same time; what goes wrong in one is the test's failure."""

    def __init__(self):
        self.threads, self.failures = [], []
        self.senders_left = SENDERS

    def add(self, work, *args):
        def run():
            try:
                work(*args)
            except BaseException as exc:  # pylint: disable=broad-except
                self.failures.append(exc)
        self.threads.append(threading.Thread(target=run))

    def run(self):
        for thread in self.threads:
            thread.start()
        for thread in self.threads:
            thread.join()
        if self.failures:
            raise self.failures[0]


class Storm(Threads):
    def __init__(self, site, port):
        super().__init__()
        self.site, self.port = site, port
        self.sent = 0  # senders that are done
        self.seen = collections.Counter()
        self.kept = set()

    def connect(self):
        client = imaplib.IMAP4(LOCALHOST, self.port, timeout=TIMEOUT)
        client.login(USER, "x")
        return client

    def send(self, first):
        try:
            with self.site.proxy.session() as client:
                for number in range(first, MAILS, SENDERS):
                    client.send(f"MAIL FROM:<a@example.net>\r\nRCPT TO:<{USER}>"
                                "\r\nDATA\r\n")
                    assert client.replies(3) == [250, 250, 354]
                    client.send(dot_stuff(body_of(number)))
                    assert client.reply() == 250
        finally:
            self.sent += 1

    def is_over(self):
        return self.failures or (self.sent == SENDERS and
                                 len(self.seen) >= MAILS)

    def read(self):
        """Fetches what is new; then keeps a third of it, moves one, expunges one."""
        client = self.connect()
        client.create("Archive")
        client.select("INBOX")
        last = 0
        end = time.monotonic() + TIMEOUT * (1 + MAILS / 100)
        while not self.is_over():
            assert time.monotonic() < end, f"{len(self.seen)} of {MAILS} seen"
            _, answer = client.uid("FETCH", f"{last + 1}:*",
                                   "(UID RFC822.SIZE BODY.PEEK[])")
            new = sorted(self.parse(entry) for entry in answer
                         if isinstance(entry, tuple))
            new = [(uid, number) for uid, number in new if uid > last]
            for uid, number in new:
                self.seen[number] += 1
                last = uid
            self.sort_out(client, new)
        client.logout()

    @staticmethod
    def parse(entry):
        """UID and number of a mail; it has to be as it was sent."""
        head, text = entry
        uid, size = (int(re.search(rb"%s (\d+)" % name, head).group(1))
                     for name in (b"UID", b"RFC822.SIZE"))
        number = int(re.search(rb"^Subject: (\d+)\r$", text, re.M).group(1))
        assert size == len(text), (head, len(text))
        assert text.endswith(b"\r\n" + body_of(number)), text
        return uid, number

    def sort_out(self, client, new):
        for fate in ("move", "expunge"):
            uids = ",".join(str(uid) for uid, number in new
                            if number % 3 == ("move", "expunge").index(fate))
            if not uids:
                continue
            if fate == "move":
                assert client.uid("MOVE", uids, "Archive")[0] == "OK"
            else:
                client.uid("STORE", uids, "+FLAGS.SILENT", "(\\Deleted)")
                assert client.uid("EXPUNGE", uids)[0] == "OK"

    def browse(self):
        """Somebody else has the mailbox open, lists it, and changes flags, which has
        files renamed."""
        client = self.connect()
        client.select("INBOX")
        while not self.is_over():
            client.list()
            client.status("INBOX", "(MESSAGES UIDNEXT UNSEEN)")
            _, answer = client.uid("FETCH", "1:*", "(UID FLAGS RFC822.SIZE)")
            uids = re.findall(rb"UID (\d+)", b" ".join(filter(None, answer)))
            for uid in uids[-3:]:
                client.uid("STORE", uid.decode(), "+FLAGS.SILENT", "(\\Seen)")
        client.logout()


@pytest.fixture
def site(dovecot, instance):
    port = free_port()
    site = Site(lambda extra: dovecot(extra=extra + IMAP.format(
        host=LOCALHOST, port=port)), instance)
    site.imap_port = port
    return site


def check_files(site):
    """The files say what they are: S= bytes, and W= with CRLF."""
    files = list(site.maildir().rglob("*,S=*"))
    for path in files:
        size, vsize = map(int, re.search(r",S=(\d+),W=(\d+)", path.name).groups())
        text = path.read_bytes()
        assert (size, vsize) == (len(text), len(text) + text.count(b"\n")), path
    return len(files)


def as_owner(site):
    owner = site.dovecot.owner
    return {"user": owner.pw_uid, "group": owner.pw_gid,
            "extra_groups": []} if os.geteuid() == 0 else {}


def tool(site, directory, command):
    """Bytes and messages as we know them, or count them."""
    program = shutil.copy(TOOL, directory)
    done = subprocess.run(
        [program, "quota=maildir:User quota",
         "quota_rule=*:storage=10G", site.maildir(), command],
        capture_output=True, check=True, timeout=TIMEOUT, **as_owner(site))
    return tuple(map(int, done.stdout.split()[:2]))


def courier(site, directory):
    """The same as Courier counts them when there is no file: it delivers one more
    mail, which is not counted here."""
    (site.maildir() / "maildirsize").unlink()
    program = shutil.copy(find(COURIER), directory)
    mail = b"Subject: x\n\nx\n"
    done = subprocess.run(
        [program, site.maildir(), f"{10 << 30}S"], input=mail, check=False,
        capture_output=True, timeout=TIMEOUT, **as_owner(site))
    assert done.returncode == 0, done
    lines = (site.maildir() / "maildirsize").read_text().splitlines()[1:]
    counts = [tuple(map(int, line.split())) for line in lines]
    return tuple(sum(column) - less
                 for column, less in zip(zip(*counts), (len(mail), 1)))


def in_kib(amount):
    return (amount[0] + 1023) // 1024, amount[1]


@pytest.mark.needs(COURIER)
def test_everybody_at_once(site, directory):
    """Each mail is seen exactly once; files, Dovecot, Courier and we agree on what is
    there."""
    site.start(*RULES)
    storm = Storm(site, site.imap_port)
    for first in range(SENDERS):
        storm.add(storm.send, first)
    storm.add(storm.read)
    storm.add(storm.browse)
    began = time.monotonic()
    storm.run()
    print(f"{MAILS} mails in {time.monotonic() - began:.1f} s")
    assert storm.seen == dict.fromkeys(range(MAILS), 1)
    kept = len(range(2, MAILS, 3))
    moved = len(range(0, MAILS, 3))
    assert (site.count(), site.count(".Archive")) == (kept, moved)
    assert check_files(site) == kept + moved
    assert not list((site.maildir() / "tmp").iterdir())
    problems = re.findall(r".*(?:Error|Warning|Panic|Fatal|orrupt).*",
                          site.dovecot.log())
    assert not problems, problems[:5]
    check_quota(site, directory)


def check_quota(site, directory):
    sizes = [path.stat().st_size for path in site.maildir().rglob("*,S=*")]
    truth = sum(sizes), len(sizes)
    known = tool(site, directory, "get")
    assert site.theirs() == in_kib(known)
    # A few are not counted, or twice, when Dovecot makes the file anew meanwhile.
    print(f"maildirsize says {known}, truth is {truth}")
    assert abs(known[1] - truth[1]) <= 4 + MAILS // 100
    assert tool(site, directory, "recalculate") == truth
    assert site.theirs() == in_kib(truth)
    site.dovecot.doveadm("quota", "recalc", "-u", USER)
    assert tool(site, directory, "get") == truth
    assert courier(site, directory) == truth
