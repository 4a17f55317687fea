"""Saving into a Maildir with t/maildir_save, as the user whose mail it is."""
import collections
import itertools
import os
import pwd
import re
import shutil
import subprocess
import tempfile

from waiting import TIMEOUT
from waypost import BINARY, IS_ROOT

PROGRAM = BINARY.parent / "t" / "maildir_save"
OWNER = pwd.getpwnam("nobody") if IS_ROOT else pwd.getpwuid(os.getuid())
# enum local_status; those before FAILED are only said by commands.
SAVED, NO_MAILBOX, OVER_QUOTA, TOO_BIG, NO_SPACE, NO_ACCESS, GONE, _, _, _, _, _, _, \
    FAILED = range(14)
MESSAGE = b"Subject: x\n\nbody\nof three\nlines\n"
HEAD = b"Return-Path: <sender@example.net>\n"


class Maildirs:
    """A directory with homes, and the program where that user may run it."""

    def __init__(self, directory):
        self.dir = directory
        self.program = shutil.copy(PROGRAM, directory)
        self.homes = directory / "homes"
        self.homes.mkdir()
        self.own(self.homes)

    @staticmethod
    def own(path):
        if IS_ROOT:
            os.chown(path, OWNER.pw_uid, OWNER.pw_gid)

    def command(self, home, mailbox="INBOX", location="maildir:~/Maildir",
                options=()):
        return [self.program, *options, location, str(home), mailbox]

    def run(self, command, message=MESSAGE):
        """What came of it: (exit status, [(status, errno, text)])."""
        user = {"user": OWNER.pw_uid, "group": OWNER.pw_gid,
                "extra_groups": []} if IS_ROOT else {}
        # One of its own: several may be under way.
        with tempfile.TemporaryFile(dir=self.dir) as stdin:
            stdin.write(message)
            stdin.seek(0)
            done = subprocess.run(command, stdin=stdin, capture_output=True,
                                  timeout=TIMEOUT * 5, check=False,
                                  cwd=self.dir, **user)
        assert not done.stderr, done.stderr.decode()
        return done.returncode, [
            (int(status), int(error), text) for status, error, text in
            re.findall(r"(\d+) (\d+) (.*)\n", done.stdout.decode())]

    def save(self, home, mailbox="INBOX", message=MESSAGE, **kwargs):
        """Saves, which has to work; returns the warnings."""
        code, results = self.run(self.command(home, mailbox, **kwargs), message)
        assert code == 0, results
        return [text for _, _, text in results if text]


def in_order(paths):
    """As they were saved: the numbers in their names are not of one length."""
    return sorted(paths, key=lambda path: (
        [int(number) for number in re.findall(r"\d+", path.name)[:2]], path.name))


def mails(folder):
    """What is in a folder's new and cur."""
    return sorted(path.read_bytes() for sub in ("new", "cur")
                  for path in (folder / sub).glob("*"))


def drafts(folder):
    return list((folder / "tmp").glob("*"))


def numbered(lines):
    """System calls that strace has written down: (name, which of that name, line)."""
    counts = collections.Counter()
    for line in lines:
        name = line.partition("(")[0]
        counts[name] += 1
        yield name, counts[name], line


def delivery_calls(lines, home):
    """Those of a delivery itself, until it tells how it went."""
    its = itertools.dropwhile(lambda call: f"{home}/" not in call[2],
                              numbered(lines))
    return list(itertools.takewhile(
        lambda call: not re.match(r"\w+\(1,", call[2]), its))
