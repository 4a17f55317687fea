"""Each system call for a quota fails once, or is the last one before the process is
killed: maildirsize is right then, or off by the one mail, and right once it is made
anew."""
import itertools
import os
import pathlib
import re
import subprocess

import pytest

from maildir import numbered
from waiting import TIMEOUT

pytestmark = pytest.mark.needs("strace")

TOOL = pathlib.Path(os.environ.get("WAYPOST", "waypost")).parent / "t/quota_tool"
SETTINGS = ["quota=maildir:U", "quota_rule=*:storage=1G"]
CALLS = ("open,openat,newfstatat,fstat,stat,pread64,fcntl,getdents64,write,fchmod,"
         "fchown,rename,unlink,mkdir")
SIZE = 700
# What the file says before.
FILES = {
    "good": "1073741824S\n2000 2\n",
    "other_limit": "1000S\n2000 2\n",
    "broken": "1073741824S\nx\n",
    "missing": None,
}


class Faults:
    def __init__(self, directory, text):
        self.dir, self.text, self.tries = directory, text, 0

    def new_maildir(self):
        """One with two mails of 1000 bytes."""
        self.tries += 1
        maildir = self.dir / f"m{self.tries}"
        for sub in ("cur", "new", "tmp"):
            (maildir / sub).mkdir(parents=True)
        for number in range(2):
            (maildir / "cur" / f"{number}.h,S=1000:2,").touch()
        if self.text is not None:
            (maildir / "maildirsize").write_text(self.text)
        return maildir

    def run(self, *args):
        return subprocess.run(args, capture_output=True, text=True,
                              timeout=TIMEOUT, check=False)

    def save(self, *options):
        """A mail, under strace."""
        maildir = self.new_maildir()
        log = self.dir / f"strace.{self.tries}"
        result = self.run("strace", "-qq", "-o", str(log), "-E",
                          "ASAN_OPTIONS=detect_leaks=0", "-e", f"trace={CALLS}",
                          *options, str(TOOL), *SETTINGS, str(maildir), "save",
                          str(SIZE))
        return maildir, result, log.read_text().splitlines()

    def calls(self):
        """Those for the quota: (name, which of that name, line)."""
        maildir, result, lines = self.save()
        assert result.returncode == 0, result.stderr
        assert self.known(maildir) == (2000 + SIZE, 3)
        its = itertools.dropwhile(lambda call: f"{maildir}/" not in call[2],
                                  numbered(lines))
        # The mail itself is the tool's own business.
        calls = [call for call in its
                 if ".tool,S=" not in call[2] and '"xxx' not in call[2]]
        assert len(calls) > 10, lines
        return calls

    def known(self, maildir, command="get"):
        result = self.run(str(TOOL), *SETTINGS, str(maildir), command)
        assert result.returncode == 0, result.stderr
        return tuple(int(word) for word in result.stdout.split()[:2])


def check(faults, maildir, result, line):
    saved = len(list((maildir / "new").iterdir()))
    truth = (2000 + saved * SIZE, 2 + saved)
    known = faults.known(maildir)
    if result.returncode == 0:
        assert saved == 1 and known == truth, line
    else:
        assert known in (truth, (2000, 2)), line
    assert faults.known(maildir, "recalculate") == truth, line
    assert faults.known(maildir) == truth, line


@pytest.mark.parametrize("file", FILES)
def test_a_call_fails(directory, file):
    faults = Faults(directory, FILES[file])
    for name, number, line in faults.calls():
        maildir, result, log = faults.save(
            "-e", f"inject={name}:error=EIO:when={number}")
        assert any("(INJECTED)" in entry for entry in log), line
        assert result.returncode in (0, 1), (line, result.stderr)
        if result.returncode == 1:
            assert re.match(r"cannot .*/", result.stderr), line
        assert not list((maildir / "tmp").iterdir()), line
        check(faults, maildir, result, line)


@pytest.mark.parametrize("file", FILES)
def test_killed(directory, file):
    faults = Faults(directory, FILES[file])
    for name, number, line in faults.calls():
        maildir, result, _ = faults.save(
            "-e", f"inject={name}:signal=KILL:when={number}")
        assert result.returncode != 0, line
        check(faults, maildir, result, line)
