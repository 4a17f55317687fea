"""Each system call of a delivery fails once, or is the last one before the process is
killed: there is a whole mail in new or none, what the program says is so, and the
next delivery works."""
import errno
import re
import subprocess

import pytest

from maildir import (FAILED, HEAD, MESSAGE, NO_SPACE, SAVED, Maildirs,
                     delivery_calls, drafts, mails)

pytestmark = pytest.mark.needs("strace")
CALLS = ("open,openat,mkdir,mkdirat,stat,lstat,newfstatat,fstat,statx,access,"
         "faccessat,faccessat2,pread64,writev,write,fchmod,fchown,utimensat,fsync,"
         "fdatasync,syncfs,close,rename,renameat,renameat2,link,linkat,unlink,"
         "unlinkat,read")
STATUS = {"ENOSPC": NO_SPACE, "EIO": FAILED}
# What the delivery does without, or has another way for.
HARMLESS = {"access", "link", "linkat", "lstat", "close", "read"}


class Faults:
    def __init__(self, directory, options=("-as",), mailbox="A.B", before=()):
        self.maildirs = Maildirs(directory)
        self.options, self.mailbox, self.before = options, mailbox, before
        self.there = before.count(mailbox)
        self.tries = 0

    def strace(self, *args):
        """A new home, and the delivery there under strace."""
        self.tries += 1
        home = self.maildirs.homes / str(self.tries)
        home.mkdir()
        self.maildirs.own(home)
        for mailbox in self.before:
            self.maildirs.save(home, mailbox, options=("-a",))
        log = self.maildirs.dir / f"strace.{self.tries}"
        log.touch()
        self.maildirs.own(log)
        command = self.maildirs.command(home, self.mailbox,
                                        options=self.options)
        code, results = self.maildirs.run(
            ["strace", "-qq", "-o", str(log), "-E",
             "ASAN_OPTIONS=detect_leaks=0", "-e", f"trace={CALLS}", *args,
             *command])
        return home, code, results, log.read_text().splitlines()

    def calls(self):
        home, code, results, lines = self.strace()
        assert code == 0, results
        calls = delivery_calls(lines, home)
        assert len(calls) > 10, lines
        return calls

    def folder(self, home):
        return home / "Maildir" / ("" if self.mailbox == "INBOX" else
                                   "." + self.mailbox)

    def check_next(self, home, count):
        """That all is well afterwards."""
        self.maildirs.save(home, self.mailbox, options=("-as",))
        assert mails(self.folder(home)) == [HEAD + MESSAGE] * (count + 1)


KINDS = {
    "all_is_new": {},
    "all_is_there": {"before": ("A.B",)},
    "copies": {"mailbox": "INBOX", "options": ("-l", "-c", "2"),
               "before": ("INBOX",)},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("error", STATUS)
def test_a_call_fails(directory, kind, error):
    faults = Faults(directory, **KINDS[kind])
    for name, number, line in faults.calls():
        home, code, results, log = faults.strace(
            "-e", f"inject={name}:error={error}:when={number}")
        assert any("(INJECTED)" in entry for entry in log), line
        assert not drafts(faults.folder(home)), line
        saved = 0
        for status, number_r, text in results:
            saved += status == SAVED
            if status != SAVED:
                assert (status, number_r) == (
                    STATUS[error], getattr(errno, error)), (line, text)
                assert re.match(r"cannot .*/", text), text
        assert code == (0 if saved == len(results) else 1), line
        if code == 0 and not any(text for _, _, text in results):
            assert name in HARMLESS, line
        faults.check_next(home, saved + faults.there)


@pytest.mark.parametrize("kind", KINDS)
def test_killed(directory, kind):
    faults = Faults(directory, **KINDS[kind])
    for name, number, line in faults.calls():
        home, code, results, _ = faults.strace(
            "-e", f"inject={name}:signal=KILL:when={number}")
        assert code != 0 and not results, line
        there = mails(faults.folder(home))
        assert there == [HEAD + MESSAGE] * len(there), line
        assert len(there) >= faults.there, line
        for lock in home.rglob("*.lock"):
            lock.unlink()
        faults.check_next(home, len(there))


def test_a_signal_comes_between(directory):
    """EINTR where a call may end so early."""
    faults = Faults(directory, before=("A.B",))
    calls = [(name, number) for name, number, _ in faults.calls()
             if name in ("pread64", "writev")]
    assert {name for name, _ in calls} == {"pread64", "writev"}
    for name, number in calls:
        home, code, results, log = faults.strace(
            "-e", f"inject={name}:error=EINTR:when={number}")
        assert any("(INJECTED)" in entry for entry in log)
        assert code == 0, results
        assert mails(faults.folder(home)) == [HEAD + MESSAGE] * 2


def test_a_file_system_without_noreplace(directory):
    faults = Faults(directory, before=("A.B",))
    for error in ("EINVAL", "ENOSYS"):
        home, code, results, log = faults.strace(
            "-e", f"inject=renameat2:error={error}:when=1+")
        assert any("(INJECTED)" in entry for entry in log)
        assert code == 0, results
        assert mails(faults.folder(home)) == [HEAD + MESSAGE] * 2


def test_a_file_system_that_cannot_sync_directories(directory):
    faults = Faults(directory, before=("A.B",))
    _, last = [number for name, number, _ in faults.calls() if name == "fsync"]
    home, code, results, log = faults.strace(
        "-e", f"inject=fsync:error=EINVAL:when={last}")
    assert any("(INJECTED)" in entry for entry in log)
    assert code == 0 and results == [(SAVED, 0, "")]
    assert mails(faults.folder(home)) == [HEAD + MESSAGE] * 2


@pytest.mark.parametrize("name", ["openat", "renameat2"])
def test_a_name_that_is_there(directory, name):
    """The next one is taken; but not for ever."""
    faults = Faults(directory, before=("A.B",))
    first = [number for call, number, line in faults.calls()
             if call == name and (name == "renameat2" or "O_EXCL" in line)][0]
    home, code, results, _ = faults.strace(
        "-e", f"inject={name}:error=EEXIST:when={first}")
    assert code == 0, results
    assert mails(faults.folder(home)) == [HEAD + MESSAGE] * 2
    home, code, results, _ = faults.strace(
        "-e", f"inject={name}:error=EEXIST:when={first}+")
    assert code == 1 and results[0][:2] == (FAILED, errno.EEXIST)
    assert not drafts(faults.folder(home))
    faults.check_next(home, 1)


def test_it_is_synced(directory):
    """The file before it is moved, the directory afterwards; and neither with
    mail_fsync = never."""
    faults = Faults(directory, before=("A.B",))
    order = [name for name, _, _ in faults.calls()
             if name in ("fsync", "renameat2")]
    assert order == ["fsync", "renameat2", "fsync"]
    faults.options = ("-asn",)
    assert "fsync" not in [name for name, _, _ in faults.calls()]


def test_what_is_made_is_synced(directory):
    """One for each directory and for the file of subscriptions, too."""
    faults = Faults(directory)
    names = [name for name, _, _ in faults.calls()]
    assert names.count("fsync") == names.count("mkdir") + 3


def test_as_few_calls_as_that(directory):
    """What a small mail costs when all is there."""
    faults = Faults(directory, before=("A.B",))
    names = [name for name, _, line in faults.calls()]
    assert len(names) <= 20, names


def test_strace_is_the_one_we_know():
    """That a call under injection really does not happen."""
    assert "inject" in subprocess.run(["strace", "--help"], capture_output=True,
                                      text=True, check=True).stdout
