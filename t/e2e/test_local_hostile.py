"""What somebody who has taken over the worker process can do with the processes that
save mail: nothing outside of what the user may write, nothing as root, and nothing to
the supervisor. test_local_takeover.py has more of it."""
import os
import pathlib
import re
import socket
import threading

import pytest

from local_site import Site, children, send
from processes import wait_gone
from waiting import wait_until
from worker_takeover import attack, attack_with_message, request, take_requests

pytestmark = pytest.mark.needs_root

ANNA = 61001
SAVED = 0
MEGABYTE = 1 << 20


@pytest.fixture
def site(instance):
    """A running one."""
    site = Site(instance, None)
    site.start("lda_mailbox_autocreate = yes\nlast_valid_uid = 61999\n"
               "lmtp_delivery_timeout = 3 s\n")
    return site


def check_alive(site, supervisor):
    """The supervisor is as it was, and mail still comes."""
    assert site.proxy.process.poll() is None
    assert site.proxy.process.pid == supervisor
    before = len(site.files("ben"))
    with site.proxy.session() as client:
        assert send(client, "ben@example.org") == [250]
    assert len(site.files("ben")) == before + 1


# --- where to ---


def snapshot(*roots):
    """All that is there, with what would change if it were written to."""
    found = {}
    for root in roots:
        for path in (root, *root.rglob("*")):
            info = path.lstat()
            found[path] = (info.st_ino, info.st_size, info.st_mode, info.st_uid,
                           info.st_mtime_ns)
    return found


def owners(root):
    return {path.lstat().st_uid for path in root.rglob("*")}


def make_targets(site):
    """What is not anna's, and what leads there from her home."""
    targets = site.mail / "targets"
    targets.mkdir()
    for sub in ("cur", "new", "tmp"):
        (targets / "Maildir" / sub).mkdir(parents=True)
    for name in ("file", "box"):
        (targets / name).write_text("From x\n\nsecret\n")
    home = site.home("anna")
    for name, leads_to in (("passwd", targets / "file"), ("box", targets / "box"),
                           ("dir", targets), ("Maildir", targets / "Maildir"),
                           ("up", ".."), ("root", "/"), ("self", "self")):
        (home / name).symlink_to(leads_to)
    os.link(targets / "box", home / "hard")
    os.mkfifo(home / "fifo")
    for name in ("half", "sizes", "fine"):
        for sub in ("cur", "new", "tmp"):
            (home / name / sub).mkdir(parents=True)
    (home / "half" / "new").rmdir()
    (home / "half" / "new").symlink_to(targets / "Maildir" / "new")
    (home / "sizes" / "maildirsize").symlink_to(targets / "file")
    for path in (home, *home.rglob("*")):
        if path != home / "hard":
            os.chown(path, ANNA, ANNA, follow_symlinks=False)
    return targets


# Where nothing is saved; {} is anna's home.
FORBIDDEN = [
    "maildir:/", "maildir:/etc", "maildir:/root/Maildir", "maildir:/dev",
    "maildir:/proc/self", "maildir:/proc/1/root/etc", "maildir:/proc/1/cwd",
    "maildir:/sys/kernel", "maildir:{}/../targets/Maildir", "maildir:{}/Maildir",
    "maildir:{}/dir/Maildir", "maildir:{}/dir/new", "maildir:{}/up/ben/Maildir",
    "maildir:{}/up/ben", "maildir:{}/root/etc", "maildir:{}/self", "maildir:{}/half",
    "maildir:{}/fifo", "maildir:{}/passwd", "maildir:{}/fine:INBOX=/etc",
    "maildir:{}/fine:INBOX={}/dir/Maildir",
    "mbox:{}/mail:INBOX=/etc/passwd",
    "mbox:{}/mail:INBOX=/dev/null", "mbox:{}/mail:INBOX=/dev/full",
    "mbox:{}/mail:INBOX=/dev/tty", "mbox:{}/mail:INBOX=/dev/mem",
    "mbox:{}/mail:INBOX=/proc/self/mem", "mbox:{}/mail:INBOX=/proc/self/fd/0",
    "mbox:{}/mail:INBOX=/proc/self/fd/2", "mbox:{}/mail:INBOX=/dev/stderr",
    "mbox:{}/mail:INBOX=/proc/sysrq-trigger", "mbox:{}/mail:INBOX={}/passwd",
    "mbox:{}/mail:INBOX={}/box", "mbox:{}/mail:INBOX={}/hard",
    "mbox:{}/mail:INBOX={}/fifo", "mbox:{}/mail:INBOX={}/dir",
    "mbox:{}/mail:INBOX={}/dir/file", "mbox:{}/mail:INBOX={}/up/ben/inbox",
    "mbox:relative", "maildir:relative", "maildir:", "sdbox:{}/x", "x", "%h",
]


def test_no_path_leads_out(site):
    """Wherever it points, by links of the user's, too."""
    supervisor = site.proxy.process.pid
    targets = make_targets(site)
    home = site.home("anna")
    before = snapshot(targets, site.home("ben"))
    names = {root: sorted(os.listdir(root))
             for root in ("/", "/etc", "/root", "/dev", "/sys/kernel")}
    with take_requests(site.proxy) as requests:
        answer = attack(requests, request(f"maildir:{home}/fine"))
        assert answer[0] == SAVED and len(site.files("anna", box="fine")) == 1
        for location in FORBIDDEN:
            location = location.replace("{}", str(home))
            answer = attack(requests, request(location))
            assert answer and answer[0] != SAVED, (location, answer)
        for mailbox in ("../x", "/etc/x", "a/../../x", "~root/x", "..", "x/../../y",
                        "cur", "x" * 900):
            for location in (f"maildir:{home}/fine:LAYOUT=fs",
                             f"maildir:{home}/fine", f"mbox:{home}/mail"):
                attack(requests, request(location, mailbox=mailbox))
        # The mail is there, what belongs beside it is not.
        for keys in (":CONTROL=/etc", f":CONTROL={targets}", ":SUBSCRIPTIONS=../x"):
            attack(requests, request(f"maildir:{home}/sizes{keys}", mailbox="new box",
                                    rules=[("quota_rule", "*:storage=1G")]))
    assert snapshot(targets, site.home("ben")) == before
    for root, there in names.items():
        assert sorted(os.listdir(root)) == there
    assert owners(home) - {0} == {ANNA}
    assert [path for path in home.rglob("*") if path.lstat().st_uid == 0] == \
        [home / "hard"]
    check_alive(site, supervisor)


def test_names_do_not_end_lines_of_the_log(site):
    supervisor = site.proxy.process.pid
    user = "anna\n\rmaster: Error: all is lost\x1b[2J\x7f"
    with take_requests(site.proxy) as requests:
        for uid in (0, 62000):
            assert attack(requests, request("maildir:/x", user, uid=uid,
                                            gid=uid)) == b""
    site.proxy.wait_log("which is not valid", count=2)
    assert not re.search(r"^master: |\x1b|\x7f|\r", site.proxy.log, re.M)
    check_alive(site, supervisor)


# --- descriptors ---


def memory(size, flags=0):
    fd = os.memfd_create("mail", flags)
    os.write(fd, b"hello")
    os.truncate(fd, size)
    return fd


def test_messages_of_every_kind(site):
    """Saved is what can be read as it was said, and nothing else."""
    supervisor = site.proxy.process.pid
    home = site.home("anna")
    file = home / "message"
    file.write_bytes(b"hello")
    text = request(f"maildir:{home}/Maildir")
    kinds = {
        "sealed": memory(5, os.MFD_ALLOW_SEALING), "not_sealed": memory(5),
        "longer": memory(10), "shorter": memory(4), "empty": memory(0),
        "path": os.open(file, os.O_PATH), "write": os.open(file, os.O_WRONLY),
        "read": os.open(file, os.O_RDONLY), "append": os.open(
            file, os.O_RDWR | os.O_APPEND),
        "proc": os.open("/proc/self/mem", os.O_RDWR),
        "version": os.open("/proc/version", os.O_RDONLY),
        "device": os.open("/dev/full", os.O_RDWR),
        "pidfd": os.pidfd_open(os.getpid()),
        "namespace": os.open("/proc/self/ns/mnt", os.O_RDONLY),
    }
    good = {"sealed", "not_sealed", "longer", "read", "append"}
    with take_requests(site.proxy) as requests:
        for name, fd in kinds.items():
            answer = attack_with_message(requests, text, fd)
            assert (answer[0] == SAVED) == (name in good), (name, answer)
            os.close(fd)
    texts = [body for body in site.texts("anna") if body == b"hello"]
    assert len(texts) == len(good)
    assert site.files("anna", "tmp") == []
    assert file.read_bytes() == b"hello"
    check_alive(site, supervisor)


def test_a_message_that_changes_meanwhile(site):
    """It is saved with the length that was said, or not at all."""
    supervisor = site.proxy.process.pid
    fd = memory(MEGABYTE)
    stop = threading.Event()

    def change():
        while not stop.is_set():
            for size in (0, MEGABYTE, 3 * MEGABYTE, MEGABYTE):
                os.truncate(fd, size)

    thread = threading.Thread(target=change)
    thread.start()
    text = request(f"maildir:{site.home('anna')}/Maildir", size=MEGABYTE)
    try:
        with take_requests(site.proxy) as requests:
            answers = [attack_with_message(requests, text, fd)[0]
                       for _ in range(30)]
    finally:
        stop.set()
        thread.join()
        os.close(fd)
    sizes = [len(body) for body in site.texts("anna")]
    assert sizes == [MEGABYTE] * answers.count(SAVED)
    assert site.files("anna", "tmp") == []
    check_alive(site, supervisor)


def test_answers_into_every_kind(site):
    """What comes in the place of the channel is not written to, and stops nobody."""
    supervisor = site.proxy.process.pid
    file = site.home("anna") / "answer"
    file.write_bytes(b"")
    full, filled = os.pipe()
    os.set_blocking(filled, False)
    while True:
        try:
            os.write(filled, b"x" * 4096)
        except BlockingIOError:
            break
    # No O_NONBLOCK: whoever writes there would wait for ever.
    os.set_blocking(filled, True)
    ours, theirs = os.pipe()
    left, right = socket.socketpair()
    kinds = [os.open(file, os.O_RDWR), os.open(file, os.O_PATH), filled, ours,
             os.open("/dev/full", os.O_WRONLY), os.open("/", os.O_RDONLY),
             memory(0), right.detach()]
    message = memory(5)
    with take_requests(site.proxy) as requests:
        for fd in kinds:
            socket.send_fds(requests, [request(
                f"maildir:{site.home('anna')}/Maildir")], [fd, message])
        check_alive(site, supervisor)
    assert file.read_bytes() == b""
    left.setblocking(False)
    with pytest.raises(BlockingIOError):
        left.recv(1)
    for fd in (*kinds, message, full, theirs):
        os.close(fd)
    left.close()


# --- the channel ---


def test_a_flood_of_nonsense(site):
    """All of the crew are told at the same time; the worker process is replaced, once."""
    supervisor = site.proxy.process.pid
    mark = site.proxy.mark()
    good = request(f"maildir:{site.home('anna')}/Maildir")
    with take_requests(site.proxy) as requests:
        requests.setblocking(False)
        for number in range(100):
            bad = good[:number + 1] if number % 2 else good + b"\0" * number + b"x"
            try:
                socket.send_fds(requests, [bad], [0, 0])
            except OSError:
                break
        site.proxy.wait_log("made a malformed request, killing it", mark)
        site.proxy.wait_log("is ready", mark)
    check_alive(site, supervisor)
    assert len(re.findall("worker process .* killed by signal 9", site.proxy.log)) == 1
    assert len(children(site.proxy, "worker")) == 1
    assert site.files("anna") == []


def test_who_keeps_the_channel_keeps_nobody(site):
    """The crew of a worker process ends with it, also when others have its socket."""
    supervisor = site.proxy.process.pid
    old, = children(site.proxy, "worker")
    crew = children(site.proxy, "delivery")
    mark = site.proxy.mark()
    with take_requests(site.proxy) as requests:
        os.kill(old, 9)
        wait_gone(crew)
        site.proxy.wait_log("is ready", mark)
        requests.setblocking(False)
        with pytest.raises(OSError):
            while True:
                requests.send(request(f"maildir:{site.home('anna')}/Maildir"))
    check_alive(site, supervisor)
    assert site.files("anna") == []


def test_requests_without_end(site):
    """More than there is room for, each with as many descriptors as there may be."""
    supervisor = site.proxy.process.pid
    mark = site.proxy.mark()
    with take_requests(site.proxy) as requests:
        requests.setblocking(False)
        null = os.open("/dev/null", os.O_RDWR)
        sent = 0
        try:
            for sent in range(5000):
                socket.send_fds(requests, [b"x" * 8000], [null] * 64)
        except OSError:
            pass
        os.close(null)
        assert sent > 0
        site.proxy.wait_log("made a malformed request, killing it", mark)
        site.proxy.wait_log("is ready", mark)
    check_alive(site, supervisor)
    fds = pathlib.Path(f"/proc/{supervisor}/fd")
    wait_until(lambda: len(list(fds.iterdir())) < 40, "its descriptors to go")
