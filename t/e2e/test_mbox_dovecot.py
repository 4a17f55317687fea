"""Mail saved by waypost in mboxes: Dovecot reads it, beside its own; and neither
hurts the other when both write."""
import email
import errno
import re
import socket
import subprocess
import threading
import time

import pytest

from maildir import (HEAD, MESSAGE, NO_SPACE, SAVED, Maildirs,
                     delivery_calls)
from servers import find
from test_maildir_faults import CALLS
from waiting import TIMEOUT

pytestmark = pytest.mark.needs("dovecot", "dovecot-lda", "strace")
USER = "joe@example.org"
LOCATION = "mbox:~/mail:INBOX=~/spool/inbox"
BODY = b"Subject: x\n\nFrom here\n>From there\nno end"


def started(dovecot, directory):
    server = dovecot(extra=f"mail_location = {LOCATION}\n")
    return server, server.dir / "home" / USER, Maildirs(directory)


def save(maildirs, home, mailbox="INBOX", message=MESSAGE, options=("-as",)):
    return maildirs.save(home, mailbox, message, location=LOCATION,
                         options=options)


def theirs(server, message=MESSAGE, mailbox="INBOX"):
    subprocess.run([find("dovecot-lda"), "-c", str(server.config), "-d", USER,
                    "-m", mailbox], input=message, check=True, timeout=TIMEOUT)


def texts(server, mailbox="INBOX"):
    """The messages without what Dovecot adds to them."""
    out = server.doveadm("fetch", "-u", USER, "text", "mailbox", mailbox, "all")
    found = []
    for text in re.split(rb"^text:\n", out, flags=re.M)[1:]:
        message = email.message_from_bytes(text.replace(b"\f\n", b""))
        found.append((message["Subject"], message.get_payload().rstrip("\n")))
    return found


def test_dovecot_reads_it(dovecot, directory):
    server, home, maildirs = started(dovecot, directory)
    for _ in range(2):
        assert not save(maildirs, home, message=BODY)
        theirs(server, BODY)
    assert texts(server) == [("x", text) for text in (
        ">From here\n>From there\nno end", "From here\n>From there\nno end") * 2]
    assert not re.findall("Error|Warning", server.log())


def test_mailboxes(dovecot, directory):
    server, home, maildirs = started(dovecot, directory)
    names = ["A", "é/ü b", "&", "x.y"]
    for name in names:
        assert not save(maildirs, home, name)
        theirs(server, mailbox=name)
        assert len(texts(server, name)) == 2
    assert set(server.doveadm("mailbox", "list", "-s", "-u", USER).decode()
               .splitlines()) == set(names)


def test_no_sender_sets_what_dovecot_keeps_there(dovecot, directory):
    server, home, maildirs = started(dovecot, directory)
    save(maildirs, home, message=b"X-IMAPbase: 5 999999\nStatus: RO\nX-UID: 77\n"
         b"Content-Length: 3\nX-Status: D\n" + MESSAGE)
    out = server.doveadm("-f", "flow", "fetch", "-u", USER, "uid flags",
                         "all").decode()
    assert "uid=1 " in out and "Seen" not in out and "Deleted" not in out
    assert texts(server) == [("x", "body\nof three\nlines")]


def leave_part(maildirs, home):
    """What a process leaves that is killed after its first line: its lock, and that."""
    mbox = home / "spool" / "inbox"
    start = b"From sender@example.net  Mon Nov 30 11:00:00 2026\n"
    with subprocess.Popen(["true"]) as process:
        process.wait()
    lock = mbox.with_name("inbox.lock")
    lock.write_bytes(f"{process.pid}:{socket.gethostname()}".encode() + b"\0%d\0"
                     % mbox.stat().st_size + start + b"\0")
    lock.chmod(0o600)
    maildirs.own(lock)
    with open(mbox, "ab") as file:
        file.write(start + b"Subject: part\n\nbo")
    return mbox


def test_a_lock_that_was_left_behind(dovecot, directory):
    """For Dovecot it is as its own are; then the part stays."""
    server, home, maildirs = started(dovecot, directory)
    save(maildirs, home)
    whole = leave_part(maildirs, home)
    before = time.monotonic()
    theirs(server)
    assert time.monotonic() - before < 60  # it need not grow old
    assert whole.read_bytes().count(b"\nof three\nlines\n") == 2
    leave_part(maildirs, home)
    warning, = save(maildirs, home)
    assert warning.endswith("inbox, which was cut off")
    text = whole.read_bytes()
    assert text.count(b"\nof three\nlines\n") == 3
    assert text.count(b"\nSubject: part\n") == 1
    assert not list(whole.parent.glob("*.lock"))
    assert not re.findall("Error|Panic", server.log())


def test_all_at_once(dovecot, directory):
    """Four write, two of them Dovecot, and one reads."""
    server, home, maildirs = started(dovecot, directory)
    save(maildirs, home)
    errors = []

    def run(work):
        def thread():
            try:
                for _ in range(10):
                    work()
            except Exception as exc:  # pylint: disable=broad-except
                errors.append(exc)
        return threading.Thread(target=thread)
    threads = [run(work) for work in [
        lambda: save(maildirs, home), lambda: save(maildirs, home),
        lambda: theirs(server), lambda: theirs(server),
        lambda: texts(server)]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert texts(server) == [("x", "body\nof three\nlines")] * 41
    assert not re.findall("Error|Warning|Panic", server.log())


def traced(maildirs, home, *args):
    log = maildirs.dir / "strace.log"
    log.unlink(missing_ok=True)
    log.touch()
    maildirs.own(log)
    code, results = maildirs.run(
        ["strace", "-qq", "-o", str(log), "-E", "TZ=UTC0", "-E",
         "ASAN_OPTIONS=detect_leaks=0",
         "-e", f"trace={CALLS},ftruncate,pwrite64,fcntl", *args,
         *maildirs.command(home, location=LOCATION, options=("-a",))])
    return code, results, log.read_text().splitlines()


def test_a_call_fails(directory):
    """The mbox is as it was before, or has the whole mail."""
    maildirs = Maildirs(directory)
    home = maildirs.homes / "joe"
    save(maildirs, home)
    mbox = home / "spool" / "inbox"
    _, _, lines = traced(maildirs, home)
    calls = delivery_calls(lines, home)
    assert {"pwrite64", "fsync", "fcntl"} <= {name for name, _, _ in calls}
    for name, number, line in calls:
        before = mbox.read_bytes()
        code, results, log = traced(
            maildirs, home, "-e", f"inject={name}:error=ENOSPC:when={number}")
        assert any("(INJECTED)" in entry for entry in log), line
        (status, error, _), = results
        after = mbox.read_bytes()
        assert after.startswith(before), line
        if status == SAVED:
            assert after[len(before):].count(MESSAGE) == 1, line
            # A lock can be made in two ways.
            assert name in ("close", "write", "unlink", "linkat") or \
                "zoneinfo" in line or "O_TMPFILE" in line, line
        else:
            assert (code, status, error) == (1, NO_SPACE, errno.ENOSPC), line
            assert after == before, line
        (mbox.parent / "inbox.lock").unlink(missing_ok=True)
    assert mbox.read_bytes().count(b"From sender@example.net  ") == \
        mbox.read_bytes().count(HEAD)
