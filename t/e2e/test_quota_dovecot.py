"""Quota beside Dovecot's and Courier's: the same rules, the same maildirsize."""
import os
import pathlib
import re
import shutil
import subprocess
import threading

import pytest

from lmtp_client import Client
from servers import find
from waiting import TIMEOUT

pytestmark = pytest.mark.needs("dovecot", "dovecot-lda")

USER = "joe@example.org"
COURIER = "deliverquota.maildrop"
PLUGIN = "mail_plugins = quota\nplugin {{\n{settings}}}\n"
TOOL = pathlib.Path(os.environ.get("WAYPOST", "waypost")).parent / "t/quota_tool"


class Site:
    """A Dovecot with quota, and the same settings for the tool."""

    def __init__(self, dovecot, directory, settings):
        """settings: names and values as in plugin { }."""
        text = "".join(f"  {name} = {value}\n" for name, value in settings)
        self.dovecot = dovecot(extra=PLUGIN.format(settings=text))
        self.options = []  # for Dovecot's programs
        self.home = self.dovecot.dir / "home" / USER
        self.maildir = self.home / "Maildir"
        self.settings = []
        self.add(settings)
        self.directory = directory
        self.program = shutil.copy(TOOL, directory)
        if find(COURIER):
            shutil.copy(find(COURIER), directory)
        self.owner = {"user": self.dovecot.owner.pw_uid,
                      "group": self.dovecot.owner.pw_gid,
                      "extra_groups": []} if os.geteuid() == 0 else {}
        self.empty()

    def add(self, settings):
        """Some for the tool."""
        self.settings += [f"{name}={value.replace('%%', '%')}"
                          for name, value in settings]

    def set_rules(self, rules):
        """In the place of those that the site had."""
        named = [("quota_rule" + (str(i + 1) if i else ""), rule)
                 for i, rule in enumerate(rules)]
        self.settings = self.settings[:1]
        self.add(named)
        self.options = [word for name, rule in named
                        for word in ("-o", f"plugin/{name}={rule}")]

    def run(self, *args, **kwargs):
        """A program as the user."""
        return subprocess.run(args, capture_output=True, timeout=6 * TIMEOUT,
                              check=False, **self.owner, **kwargs)

    def empty(self):
        """No mail at all."""
        shutil.rmtree(self.home, ignore_errors=True)
        self.run("mkdir", "-p", *(self.maildir / sub
                                  for sub in ("cur", "new", "tmp")))

    def fill(self, count, size=1000, folder=""):
        """Mails that were there before, with their size in their names."""
        self.run("mkdir", "-p", self.maildir / folder / "cur")
        for number in range(count):
            (self.maildir / folder / "cur" /
             f"1.M{number}P1.h,S={size},W={size}:2,S").touch()

    def tool(self, *args):
        result = self.run(self.program, *self.settings, self.maildir, *args)
        assert result.returncode == 0, result.stderr
        return result.stdout.decode()

    def courier(self, mail, *quota):
        """Has Courier deliver."""
        return self.run(self.directory / COURIER, self.maildir, *quota,
                        input=mail)

    def ours(self):
        """Bytes and messages as we know them."""
        return tuple(int(n) for n in self.tool("get").split()[:2])

    def theirs(self):
        """The same as Dovecot knows them, with KiB for bytes."""
        table = self.dovecot.doveadm(*self.options, "-f", "tab", "quota", "get",
                                     "-u", USER)
        rows = [line.split("\t") for line in table.decode().splitlines()[1:]]
        return tuple(int(row[2]) for row in rows)

    def truth(self):
        """The same, counted."""
        sizes = [path.stat().st_size for sub in ("new", "cur")
                 for path in (self.maildir / sub).iterdir()]
        return sum(sizes), len(sizes)

    def lda(self, size, mailbox):
        """Whether Dovecot saves a mail of that size there: otherwise it is refused
        (EX_NOPERM), or comes to INBOX."""
        mail = b"Subject: x\n\n"
        mail += b"x" * (size - len(mail) - 1) + b"\n"
        folder = "." + re.sub("(?i)^inbox", "INBOX", mailbox)
        folder = folder if folder != ".INBOX" else ""
        result = self.run(find("dovecot-lda"), "-e", "-c",
                          str(self.dovecot.config), "-o", "log_path=/dev/stderr",
                          *self.options, "-m", mailbox, input=mail,
                          env={"HOME": str(self.home), "USER": USER,
                               "PATH": os.environ["PATH"]})
        assert result.returncode in (os.EX_OK, os.EX_NOPERM), result.stderr
        return any((self.maildir / folder / "new").glob(f"*,S={size},*"))


def kib(amount):
    return (amount[0] + 1023) // 1024, amount[1]


RULES = [
    # rules, mailbox, sizes of mails that come to 9 mails of 1000 bytes
    (["*:bytes=10000"], "INBOX", [1000, 1999, 2000, 2001]),
    (["*:bytes=9000"], "INBOX", [13, 1000]),
    (["*:bytes=9001"], "INBOX", [13, 901, 902]),
    (["*:storage=10"], "INBOX", [2264, 2265]),
    (["*:messages=9"], "INBOX", [100]),
    (["*:messages=10"], "INBOX", [100]),
    (["?:bytes=9000"], "INBOX", [100]),
    (["*:bytes=9000", "Trash:bytes=+1000"], "Trash", [1900, 1901]),
    (["*:bytes=9000", "Trash:bytes=+1000"], "INBOX", [100]),
    (["*:bytes=10000", "Trash:bytes=+10%%"], "Trash", [3000, 3001]),
    (["*:bytes=10000", "Trash:bytes=-5%%"], "Trash", [1500, 1501]),
    (["*:bytes=10000", "Trash:bytes=-20000"], "Trash", [50000]),
    (["*:bytes=9000", "Trash:ignore"], "Trash", [50000]),
    (["*:bytes=9000", "Tr*:bytes=+1000"], "Trash", [1900, 1901]),
    (["*:bytes=9000", "Tr?sh:bytes=+0", "Trash:bytes=+1000"], "Trash", [100]),
    (["*:bytes=9000", "trash:bytes=+1000"], "Trash", [100]),
    (["*:bytes=9000", "inbox:bytes=+1000"], "INBOX", [1900, 1901]),
    (["*:bytes=9000", "INBOX:bytes=+1000"], "Inbox", [1900, 1901]),
    (["*:bytes=9000", "INBOX.x:bytes=+1000"], "inbox.x", [1900, 1901]),
    (["*:bytes=0", "Trash:bytes=+10"], "Trash", [50000]),
    (["*:messages=100", "Trash:bytes=+10"], "Trash", [100]),
    (["*:backend=10000S,10C"], "INBOX", [2000, 2001]),
    (["*:ignore"], "INBOX", [50000]),
    (["*:bytes=9000:messages=20", "Trash:bytes=+50%%:messages=-60%%"], "Trash",
     [100]),
]


def test_same_decisions(dovecot, directory):
    """Which mails are saved."""
    site = Site(dovecot, directory, [("quota", "maildir:U")])
    for rules, mailbox, sizes in RULES:
        site.set_rules(rules)
        for size in sizes:
            site.empty()
            site.fill(9)
            said = site.tool("allows", mailbox, str(size))
            assert (said == "yes\n") == site.lda(size, mailbox), (rules, size,
                                                                  said)


FILES = ["10000S\n", "10000S", "", "10000S\n1 1\nx\n", "10000S\n1 1 junk\n",
         "10000S\n  1   1\n", "10000S\n1 1\n\n2 2\n", "10000S\n-5 1\n",
         "10000S\n5 -1\n", "10000S\n1 1\0\n", "10000S,\n1 1\n",
         "10000S,5X\n1 1\n", "10000\n1 1\n", "0C,10000S\n1 1\n",
         "10000s\n1 1\n", "5S,10000S\n1 1\n", "10000S\r\n1 1\r\n",
         "10000S\n1.5 1\n", "10000S\n1\n", "20000S\n1 1\n",
         "10000S\n10001 1\n", "10000S\n10000 1\n1 1\n",
         "10000S\n1 1\n" + "0 0\n" * 1276, "10000S\n1 1\n" + "0 0\n" * 1277]


def test_same_files(dovecot, directory):
    """Which files are believed, and what comes in their place."""
    site = Site(dovecot, directory, [("quota", "maildir:U"),
                                     ("quota_rule", "*:bytes=10000")])
    for text in FILES:
        seen = []
        for look in (site.theirs, lambda: kib(site.ours())):
            site.empty()
            site.fill(2)
            path = site.maildir / "maildirsize"
            path.write_text(text)
            if os.geteuid() == 0:
                os.chown(path, site.owner["user"], site.owner["group"])
            seen.append((look(), path.read_text()))
        assert seen[0] == seen[1], repr(text[:60])


@pytest.mark.parametrize("folders, want", [
    ({"": 1, ".Trash": 2, ".Trash.sub": 4, ".Gel&APY-scht.alt": 8, ".Sent": 16}, 21),
    ({"": 1, ".INBOX": 2, ".inbox": 4, ".Inbox.y": 8, ".INBOX.x": 16,
      ".inboxes": 32}, 49),
    ({"": 1, ".a&b": 2, ".Gelöscht": 4, ".A..B": 8, ".A.": 16, "x": 32}, 25)])
def test_folders(dovecot, directory, folders, want):
    """What counts of a Maildir counts for Dovecot."""
    site = Site(dovecot, directory, [
        ("quota", "maildir:U"), ("quota_rule", "*:bytes=100000"),
        ("quota_rule2", "Trash:ignore"), ("quota_rule3", "Gelöscht*:ignore")])
    for folder, mails in folders.items():
        site.fill(mails, folder=folder)
    assert site.ours() == (1000 * want, want)
    (site.maildir / "maildirsize").unlink()
    assert site.theirs() == kib((1000 * want, want))


def deliver(address, count, size, failures):
    """Mails to Dovecot, each in a transaction."""
    try:
        with Client(address) as client:
            assert client.command("LHLO x") == 250
            for number in range(count):
                body = b"Subject: x\r\n\r\n" + b"x" * (size + number)
                assert client.deliver(USER, body) == [250]
    except Exception as exc:  # pylint: disable=broad-except
        failures.append(exc)


def deliver_courier(site, count, size, failures):
    """Mails by Courier's program, each in a process."""
    for number in range(count):
        result = site.courier(b"Subject: x\n\n" + b"x" * (size + number))
        if result.returncode != 0:
            failures.append(result)


def storm(site, threads, mails, courier=0):
    """Dovecot and we save mails at the same time, each in several processes, and in
    some of them Courier."""
    failures = []
    workers = [threading.Thread(target=deliver,
                                args=(site.dovecot.address, mails, 50 * number,
                                      failures))
               for number in range(threads)]
    workers += [threading.Thread(target=deliver_courier,
                                 args=(site, mails, 70 * number, failures))
                for number in range(courier)]
    for worker in workers:
        worker.start()
    tools = [subprocess.Popen(
        [site.program, *site.settings, site.maildir, "save",
         *(str(1000 * number + i) for i in range(mails))],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, **site.owner)
        for number in range(threads)]
    for tool in tools:
        assert tool.communicate(timeout=6 * TIMEOUT)[1] == b""
        assert tool.returncode == 0
    for worker in workers:
        worker.join()
    assert not failures
    assert site.truth()[1] == (2 * threads + courier) * mails


def test_storm(dovecot, directory):
    """As long as nobody makes the file anew, it is right to the byte."""
    site = Site(dovecot, directory, [("quota", "maildir:U"),
                                     ("quota_rule", "*:storage=1G")])
    assert site.theirs() == (0, 0)
    inode = (site.maildir / "maildirsize").stat().st_ino
    storm(site, threads=4, mails=50)
    assert (site.maildir / "maildirsize").stat().st_ino == inode
    assert site.ours() == site.truth()
    assert site.theirs() == kib(site.truth())


@pytest.mark.needs(COURIER)
def test_storm_with_courier(dovecot, directory):
    """All three know where the others are."""
    site = Site(dovecot, directory, [("quota", "maildir:U"),
                                     ("quota_rule", "*:storage=1G")])
    assert site.theirs() == (0, 0)
    inode = (site.maildir / "maildirsize").stat().st_ino
    storm(site, threads=2, mails=40, courier=2)
    assert (site.maildir / "maildirsize").stat().st_ino == inode
    assert site.ours() == site.truth()
    assert site.theirs() == kib(site.truth())


@pytest.mark.needs(COURIER)
def test_courier_takes_over(dovecot, directory):
    """A file that we made anew is one for Courier, too, and the other way."""
    site = Site(dovecot, directory, [("quota", "maildir:U"),
                                     ("quota_rule", "*:bytes=5000:messages=4")])
    site.fill(3)
    site.tool("recalculate")
    path = site.maildir / "maildirsize"
    assert path.read_text() == "5000S,4C\n3000 3\n"
    failures = []
    deliver_courier(site, 1, 500, failures)
    assert not failures
    assert path.read_text().startswith("5000S,4C\n3000 3\n")
    assert site.ours() == (3512, 4)
    assert site.tool("allows", "INBOX", "100") != "yes\n"
    deliver_courier(site, 1, 500, failures)
    assert failures[0].returncode == os.EX_NOPERM
    path.unlink()
    result = site.courier(b"Subject: x\n\n", "5000S,9C")
    assert result.returncode == 0, result
    site.set_rules(["*:bytes=5000:messages=9"])
    before = path.read_text()
    assert site.ours() == (3524, 5)
    assert path.read_text() == before


def test_storm_in_which_the_file_is_made_anew(dovecot, directory):
    """Dovecot may count a mail twice, or not, when somebody makes the file anew
    at that moment: whoever does so next puts that right."""
    site = Site(dovecot, directory, [("quota", "maildir:U"),
                                     ("quota_rule", "*:storage=1G")])
    assert site.theirs() == (0, 0)
    inode = (site.maildir / "maildirsize").stat().st_ino
    storm(site, threads=4, mails=250)
    assert (site.maildir / "maildirsize").stat().st_ino != inode
    assert kib(site.ours()) == site.theirs()
    # one mail of each delivery that was under way then, and there was no more
    # than one time for each 500 of the 2000 mails
    assert abs(site.ours()[1] - site.truth()[1]) <= 4 * 8
    site.tool("recalculate")
    assert site.ours() == site.truth()
    assert site.theirs() == kib(site.truth())
    site.dovecot.doveadm("quota", "recalc", "-u", USER)
    assert site.ours() == site.truth()


def test_same_warnings(dovecot, directory):
    """The same mails have the same warnings run."""
    log = directory / "warnings"
    log.touch()
    log.chmod(0o666)
    script = directory / "warn"
    script.write_text(f'#!/bin/sh\necho "$@" >>{log}\n')
    script.chmod(0o755)
    site = Site(dovecot, directory, [
        ("quota", "maildir:U"), ("quota_rule", "*:bytes=10000:messages=9"),
        ("quota_warning", f"storage=95%% exec:{script} 95"),
        ("quota_warning2", f"storage=80%% exec:{script} 80"),
        ("quota_warning3", f"messages=3 exec:{script} three"),
        ("quota_warning4", f"messages=100%% exec:{script} all"),
        ("quota_warning5", f"-storage=80%% exec:{script} below")])
    fired = []
    sizes = [1000, 1000, 100, 5000, 900, 100, 1500, 100]
    for size in sizes:
        site.lda(size, "INBOX")
        fired.append(log.read_text().split())
        log.write_text("")
    assert ["95"] in fired and ["80"] in fired and ["three"] in fired
    site.empty()
    for size, theirs in zip(sizes, fired):
        result = site.run(site.program, *site.settings, site.maildir, "save",
                          str(size))
        assert [line.split()[-1] for line in
                result.stdout.decode().splitlines()] == theirs, size
