"""Mail saved by waypost and mail saved by Dovecot: the same files, and Dovecot finds
what it needs in them."""
import os
import random
import re
import stat
import subprocess

import pytest

from maildir import HEAD, MESSAGE, NO_MAILBOX, OWNER, Maildirs, mails
from servers import find
from waiting import TIMEOUT

pytestmark = pytest.mark.needs("dovecot", "dovecot-lda")
USER = "joe@example.org"
MAILBOXES = ["INBOX", "A", "A.B", "Grüße.süß & co.日本語", "😀", "~x", "a b",
             "&AOk-", "x" * 200]


def server_with(dovecot, extra="", users=(USER, "ann@example.org")):
    server = dovecot(users=users, extra="lda_mailbox_autosubscribe = yes\n"
                     + extra)
    return server, {user: server.dir / "home" / user for user in users}


def fetch(server, what, mailbox="INBOX", user=USER):
    """A list of dictionaries, of the mails as doveadm has them."""
    text = server.doveadm("-f", "tab", "fetch", "-u", user, what, "mailbox",
                          mailbox, "all").decode()
    names, *lines = [line.split("\t") for line in text.splitlines()]
    return [dict(zip(names, line)) for line in lines]


def complaints(server):
    return re.findall(r".*(?:Error|Warning|Panic|corrupt).*", server.log())


BODIES = [
    b"", b"\n", b"no end", b"Subject: x\n\nbody\n", b"a\rb\r\nc\n\r\n",
    b"Subject: nul\n\n\0\n", b"\xff\xfe\n" * 1000, b"x\n" * 70000,
    bytes(random.Random(1).choices(b"a\n\r", k=150000)),
]


def test_sizes(dovecot, directory):
    """Dovecot believes S= and W=, so they have to be what it would count."""
    server, homes = server_with(dovecot)
    maildirs = Maildirs(directory)
    for body in BODIES:
        maildirs.save(homes[USER], message=body)
    seen = fetch(server, "size.physical size.virtual guid")
    counted = []
    for body in BODIES:
        file = HEAD + body
        counted.append((len(file), len(file) +
                        len(re.findall(rb"(?<!\r)\n", file))))
    assert [(int(mail["size.physical"]), int(mail["size.virtual"]))
            for mail in seen] == counted
    # What it finds when it counts itself.
    text = server.doveadm("fetch", "-u", USER, "text", "all")
    assert text.count(b"Return-Path:") == len(BODIES)
    assert not complaints(server)
    names = sorted(path.name for path in
                   (homes[USER] / "Maildir" / "cur").iterdir())
    for name, (size, vsize) in zip(names, counted):
        assert f",S={size},W={vsize}:2," in name


def test_received_date(dovecot, directory):
    server, homes = server_with(dovecot)
    Maildirs(directory).save(homes[USER])
    path, = (homes[USER] / "Maildir" / "new").iterdir()
    os.utime(path, (1, 1000000000))
    mail, = fetch(server, "date.received.unixtime")
    assert mail["date.received.unixtime"] == "1000000000"


def tree(root):
    """The names below root with type, mode, group and content; for mails, without
    what is different each time. Not what only Dovecot keeps."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if re.search(r"dovecot[.-]|control/\.", name):
            continue
        info = path.lstat()
        key = re.sub(r"(new|cur|tmp)/\d+\.M\d+P\d+\.[^,]+", r"\1/MAIL", name)
        key = re.sub(r",S=\d+,W=\d+$", "", key)
        found[key] = (stat.filemode(info.st_mode), info.st_gid,
                      path.read_bytes()
                      if path.is_file() and "/MAIL" not in key else None)
    return found


def deliver_both(server, homes, maildirs, mailboxes, location, separator=None):
    """Each mailbox once: Dovecot for ann, waypost for joe."""
    options = ["-as"] + (["-S", separator] if separator else [])
    for mailbox in mailboxes:
        subprocess.run([find("dovecot-lda"), "-c", str(server.config), "-d",
                        "ann@example.org", "-m", mailbox], input=MESSAGE,
                       check=True, timeout=TIMEOUT)
        assert not maildirs.save(homes[USER], mailbox, location=location,
                                 options=options)


def differences(homes):
    """What there is only once, as {name: (theirs, ours)}. Dovecot 2.3 marks also the
    INBOX that it makes as a folder, which is wrong in Maildir++ and was given up
    later."""
    for name in ("Maildir", "Maildir/.INBOX", "elsewhere/in"):
        (homes["ann@example.org"] / name / "maildirfolder").unlink(missing_ok=True)
    theirs, ours = tree(homes["ann@example.org"]), tree(homes[USER])
    assert len(ours) > 4
    return {name: (theirs.get(name), ours.get(name))
            for name in theirs.keys() | ours.keys()
            if theirs.get(name) != ours.get(name)}


@pytest.mark.parametrize("location", [
    "maildir:~/Maildir", "maildir:~/Maildir:LAYOUT=fs",
    "maildir:~/Maildir:CONTROL=~/control",
    "maildir:~/Maildir:INBOX=~/Maildir/.INBOX:SUBSCRIPTIONS=subs",
    "maildir:~/Maildir:INBOX=~/elsewhere/in", "maildir:~/Maildir:LAYOUT=FS",
    "maildir:~/Maildir:LAYOUT=Maildir++"])
def test_the_same_tree(dovecot, directory, location):
    server, homes = server_with(dovecot, f"mail_location = {location}\n")
    names = [name for name in MAILBOXES if name not in ("~x",)]
    names += ["inbox", "Inbox.x", "inboxes.x", "A.inbox"]
    if "layout=fs" in location.lower():
        names = [name.replace(".", "/") for name in names]
    deliver_both(server, homes, Maildirs(directory), names, location)
    assert not differences(homes)
    assert not complaints(server)


@pytest.mark.needs_root
@pytest.mark.parametrize("mode, group, keys", [
    (0o755, OWNER.pw_gid, ""), (0o2770, OWNER.pw_gid, ""), (0o2770, 8, ""),
    (0o750, OWNER.pw_gid, ""), (0o700, 8, ""),
    (0o755, OWNER.pw_gid, ":LAYOUT=Maildir++")])
def test_the_same_modes_and_groups(dovecot, directory, mode, group, keys):
    """Of a Maildir that was there before."""
    location = "maildir:~/Maildir" + keys
    server, homes = server_with(dovecot, f"mail_location = {location}\n")
    for home in homes.values():
        for path in (home, home / "Maildir"):
            path.mkdir()
            os.chown(path, OWNER.pw_uid, group)
        (home / "Maildir").chmod(mode)
    deliver_both(server, homes, Maildirs(directory), ["INBOX", "A", "A.B.C"],
                 location)
    assert not differences(homes)


@pytest.mark.needs_root
@pytest.mark.parametrize("mode", [0o755, 0o2775, 0o2750])
def test_the_same_home(dovecot, directory, mode):
    """Which is made on the way."""
    server, homes = server_with(dovecot)
    (server.dir / "home").chmod(mode)
    deliver_both(server, homes, Maildirs(directory), ["INBOX"],
                 "maildir:~/Maildir")
    assert not differences(homes)
    modes = {stat.filemode(home.stat().st_mode) for home in homes.values()}
    assert len(modes) == 1


@pytest.mark.parametrize("layout, separator", [
    ("Maildir++", "/"), ("Maildir++", "^"), ("fs", "."), ("fs", "^")])
def test_separators(dovecot, directory, layout, separator):
    location = f"maildir:~/Maildir:LAYOUT={layout}"
    server, homes = server_with(
        dovecot, f"mail_location = {location}\n"
        f"namespace inbox {{\n inbox = yes\n separator = {separator}\n}}\n")
    names = ["INBOX", "A", separator.join("AB"), separator.join(["A b", "é", "&"])]
    deliver_both(server, homes, Maildirs(directory), names, location, separator)
    assert not differences(homes)


def test_dovecot_lists_what_was_made(dovecot, directory):
    server, homes = server_with(dovecot)
    maildirs = Maildirs(directory)
    names = [name for name in MAILBOXES if name != "~x"]
    for name in names:
        maildirs.save(homes[USER], name, options=["-as"])
        assert len(fetch(server, "guid", name)) == 1
    assert set(server.doveadm("mailbox", "list", "-s", "-u", USER).decode()
               .splitlines()) == set(names) - {"INBOX"}
    assert not complaints(server)


@pytest.mark.parametrize("layout", ["maildir++", "fs"])
def test_dovecot_finds_new_mailboxes_at_once(dovecot, directory, layout):
    """Although it keeps an index of those that it knows."""
    location = f"maildir:~/Maildir:LAYOUT={layout}"
    server, homes = server_with(dovecot, f"mail_location = {location}\n")
    maildirs = Maildirs(directory)
    names = ["INBOX"]

    def listed():
        return sorted(server.doveadm("mailbox", "list", "-u", USER).decode()
                      .split())
    maildirs.save(homes[USER], location=location)
    for name in "abc":
        assert listed() == sorted(names)
        maildirs.save(homes[USER], name, location=location, options=["-a"])
        names.append(name)
    assert listed() == sorted(names)


def test_links(dovecot, directory):
    """One file for several mailboxes is several mails to Dovecot."""
    server, homes = server_with(dovecot)
    maildirs = Maildirs(directory)
    maildirs.save(homes[USER], options=["-l", "-c", "5"])
    inodes = {path.stat().st_ino for path in
              (homes[USER] / "Maildir" / "new").iterdir()}
    assert len(inodes) == 1
    assert len({mail["guid"] for mail in fetch(server, "guid")}) == 5
    server.doveadm("flags", "add", "-u", USER, "\\Seen", "1")
    server.doveadm("expunge", "-u", USER, "mailbox", "INBOX", "seen")
    assert mails(homes[USER] / "Maildir") == [HEAD + MESSAGE] * 4
    assert not complaints(server)


def test_dovecot_reads_while_mail_arrives(dovecot, directory):
    """Each mail is seen once, whole, in the order in which it came."""
    server, homes = server_with(dovecot)
    maildirs = Maildirs(directory)
    maildirs.save(homes[USER])
    for _ in range(4):
        maildirs.save(homes[USER], options=["-n", "-c", "250"])
        assert {mail["size.physical"] for mail in
                fetch(server, "size.physical")} == {str(len(HEAD + MESSAGE))}
    seen = fetch(server, "uid guid")
    assert len(seen) == 1001
    assert [mail["uid"] for mail in seen] == [str(n + 1) for n in range(1001)]

    def moment(mail):
        sec, usec = re.match(r"(\d+)\.M(\d+)P", mail["guid"]).groups()
        return int(sec), int(usec)
    assert [moment(mail) for mail in seen] == sorted(map(moment, seen))
    assert not complaints(server)


def test_names_that_dovecot_refuses(dovecot, directory):
    server, homes = server_with(dovecot)
    maildirs = Maildirs(directory)
    for name in ("..", "../x", "a/b", ".a", "a..b", "/etc", "~x", "a\x01",
                 "x" * 256):
        code, results = maildirs.run(
            maildirs.command(homes[USER], name, options=["-a"]))
        assert (code, results[0][0]) == (1, NO_MAILBOX), name
        with pytest.raises(subprocess.CalledProcessError):
            server.doveadm("mailbox", "create", "-u", USER, name)
            print(f"Dovecot made {name!r}")
