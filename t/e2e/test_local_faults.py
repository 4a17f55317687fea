"""Each system call of a delivery fails, or is the last one of the process that saves,
of the worker process, or of the supervisor: what the client is told is so, there is a
whole mail or none, and the next delivery works. Which calls there are, a good delivery
shows."""
import contextlib
import grp
import os
import re
import shutil
import signal
import threading

import pytest

from injection import Trace, is_in_call, threads
from lmtp_client import Disconnected
from local_site import UIDS, Site, children, crew_of
from processes import is_gone, wait_gone
from waiting import wait_until

pytestmark = [pytest.mark.needs_root, pytest.mark.needs("strace")]

RECVFROM = 45, 207  # on x86_64, aarch64
ALL = bool(os.environ.get("WAYPOST_FAULTS"))  # each error of each call: minutes
LINES = b"0123456789\n" * 20
MANY = 5000 if ALL else 200
INTERNAL = "451 4.3.0 "
# What is said when a call for the mail fails.
REPLIES = {"ENOSPC": "452 4.3.1 ", "EDQUOT": "452 4.2.2 ", "EACCES": "451 4.2.0 ",
           "EPERM": "451 4.2.0 ", "EROFS": "451 4.2.0 ", "ENOENT": "451 4.2.0 ",
           "ESTALE": "451 4.2.0 "}
FULL = "ENOSPC", "EDQUOT", "EIO", "EROFS", "ESTALE"
NAMES = *FULL, "ENOENT", "EACCES"
# Of a call that is not listed: EIO.
ERRORS = {
    "openat": (*NAMES, "EMFILE", "ENOMEM"), "mkdir": (*NAMES, "ENOMEM"),
    "renameat2": NAMES, "rename": NAMES, "unlink": NAMES, "write": FULL,
    "writev": FULL, "pwrite64": FULL, "fsync": FULL, "ftruncate": FULL,
    "close": ("EIO", "ENOSPC", "EDQUOT"), "access": ("EIO", "EACCES", "ESTALE"),
    "newfstatat": ("EIO", "ESTALE", "ENOENT", "EACCES", "ENOMEM"),
    "fchown": ("EPERM", "EIO", "EROFS"), "fchmod": ("EPERM", "EIO", "EROFS"),
    "utimensat": ("EPERM", "EIO", "EROFS"), "fcntl": ("ENOLCK", "EIO"),
    "getdents64": ("EIO", "ENOENT"), "recvmsg": ("ENOMEM",), "poll": ("ENOMEM",),
}


class Kind:
    """A way to be set up: options, the mailbox, and what is there before."""

    extra, folder, location = "", "", "maildir:~/Maildir"
    lives_on = False  # the process is there for the next mail, too
    users = UIDS

    def config(self, site):
        return site.config(
            "lmtp_max_deliveries = 1\nquota_full_tempfail = yes\n"
            "lda_mailbox_autocreate = yes\nlda_mailbox_autosubscribe = yes\n"
            "lmtp_save_to_detail_mailbox = yes\n" + self.extra,
            users=self.users).replace(
                "maildir:~/Maildir", self.location)

    def prepare(self, home):
        for sub in ("new", "tmp"):
            for path in (home / "Maildir" / sub).glob("*"):
                path.unlink()

    def texts(self, home):
        """All mails that somebody could see."""
        return [path.read_bytes() for sub in ("new", "cur")
                for path in home.glob(f"Maildir/**/{sub}/*")]

    def check(self, home):
        """That nothing was left behind."""
        assert not list(home.glob("Maildir/**/tmp/*"))
        assert not list(home.glob("**/*.lock"))

    def is_beside(self, line):
        """Whether it is a call that no mail is lost or refused for."""
        return False


class AllIsThere(Kind):
    pass


class AllIsNew(Kind):
    """The mailbox is made on the way, and Maildir, too."""

    folder = "+a.b"

    def prepare(self, home):
        shutil.rmtree(home / "Maildir", ignore_errors=True)


class Quota(Kind):
    """With a maildirsize that is there."""

    extra = ("plugin {\n quota = maildir:U\n quota_rule = *:storage=1G\n}\n")

    def prepare(self, home):
        super().prepare(home)
        if (home / "Maildir").exists():
            (home / "Maildir" / "maildirsize").write_text("1073741824S\n0 0\n")

    def is_beside(self, line):
        # Mails are counted, for which there is also opendir(3).
        return "maildirsize" in line or "O_NONBLOCK" in line or \
            line.startswith(("getdents64", "newfstatat"))


class QuotaAnew(Quota):
    """With one that has to be made."""

    def prepare(self, home):
        super().prepare(home)
        (home / "Maildir" / "maildirsize").unlink(missing_ok=True)


class Shared(Kind):
    """A Maildir of another group, which all in it is given to."""

    extra = "mail_access_groups = mail\n"

    def prepare(self, home):
        super().prepare(home)
        maildir = home / "Maildir"
        if maildir.exists():
            maildir.chmod(0o770)
            os.chown(maildir, -1, grp.getgrnam("mail").gr_gid)


class OneUser(Kind):
    """Whom all mail belongs to, so that a process saves one mail after the other."""

    extra = "mail_uid = 61001\nmail_gid = 61001\n"
    lives_on = True
    users = dict.fromkeys(UIDS, 61001)


class Mbox(Kind):
    location = "mbox:~/mail:INBOX=~/inbox"
    first = b"From x Mon Nov 30 11:00:00 2026\nSubject: x\n\nx\n\n"

    def prepare(self, home):
        lock = home / "inbox.lock"
        # It always says whose it is, so that it need not grow old.
        assert not lock.exists() or lock.stat().st_size > 0
        if (home / "inbox").exists():
            (home / "inbox").write_bytes(self.first)

    def texts(self, home):
        text = (home / "inbox").read_bytes()
        assert text.startswith(self.first)
        mails = text[len(self.first):].split(b"From sender@example.net ")
        assert not mails[0].strip(b"\n")
        return [mail.rstrip(b"\n") + b"\n" for mail in mails[1:]]

    def is_beside(self, line):
        return any(part in line for part in
                   ("inbox.lock", "O_TMPFILE", "(deleted)"))


KINDS = [AllIsThere, AllIsNew, Shared, Quota, QuotaAnew, Mbox]


class World:
    """A site of such a kind, and mails that are counted."""

    def __init__(self, instance, kind):
        self.kind = kind
        self.site = Site(instance, None)
        self.proxy = self.site.proxy
        self.proxy.threads = 1
        self.home = self.site.home("anna")
        self.lines = LINES
        self.number = 0
        self.client = None
        self.proxy.start(kind.config(self.site))
        for name, uid in kind.users.items():
            os.chown(self.site.home(name), uid, uid)
        # What cannot be prepared is made by a first one.
        self.connect()
        assert self.send() == 250

    def connect(self):
        if self.client:
            self.client.close()
        self.client = self.proxy.session()

    def is_idle(self):
        """The process that waits for the next request, and nothing else goes on."""
        try:
            pids = children(self.proxy, "delivery")
        except OSError:
            return None
        return pids[0] if len(pids) == 1 and is_in_call(pids[0], *RECVFROM) else None

    def idle(self):
        return wait_until(self.is_idle, "a process that waits")

    def body(self):
        return b"Subject: %d\n\n" % self.number + self.lines + b"the end\n"

    def send(self, *rcpts):
        """The reply, or replies to several; None: the session is over."""
        self.number += 1
        rcpts = rcpts or (f"anna{self.kind.folder}@example.org",)
        replies = [None] * len(rcpts)
        try:
            assert self.client.mail() == 250
            for rcpt in rcpts:
                assert self.client.rcpt(rcpt) == 250
            assert self.client.command("DATA") == 354
            self.client.send(self.body().replace(b"\n", b"\r\n") + b".\r\n")
            for i in range(len(rcpts)):
                replies[i] = self.client.reply()
        except (Disconnected, OSError):
            pass
        return replies if len(rcpts) > 1 else replies[0]

    def count(self, home=None):
        """How often the last mail is there. None is there in part."""
        texts = self.kind.texts(home or self.home)
        for text in texts:
            assert text.startswith(b"Return-Path: <sender@example.net>\n") or \
                self.kind.location.startswith("mbox"), text
            assert text.endswith(self.lines + b"the end\n"), text
        return sum(b"Subject: %d\n" % self.number in text for text in texts)

    def attempt(self, expression=None):
        """A mail under strace: its reply, and the trace."""
        self.kind.prepare(self.home)
        with Trace(self.proxy.dir, self.idle(), expression) as trace:
            reply = self.send()
            if self.kind.lives_on:
                self.idle()
            else:
                trace.end()
        return reply, trace

    def calls(self):
        reply, trace = self.attempt()
        assert reply == 250 and self.count() == 1
        calls = trace.calls()
        assert calls[0].name == "recvfrom" and len(calls) > 25, trace.lines
        # Once a mail is in new for good, what comes is about other things.
        names = [call.name for call in calls]
        done = names.index("renameat2") + 1 if "renameat2" in names else len(names)
        done += "fsync" in names[done:] and names[done:].index("fsync")
        for call in calls[done + 1:]:
            call.late = True
        return calls

    def check_next(self):
        self.kind.prepare(self.home)
        assert self.send() == 250
        assert self.count() == 1


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def world(instance, request):
    world = World(instance, request.param())
    yield world
    world.client.close()


def may_be_saved(world, call, error):
    """Whether the mail need not be refused because of that."""
    if str(world.home) not in call.line or call.late or \
            world.kind.is_beside(call.line):
        return True
    if call.name == "close" and "/tmp/" not in call.line.partition("anna/")[2]:
        return True
    # What is not there is made, or is not needed; instead of a mailbox for which
    # there is no room, there is INBOX.
    return error == "ENOENT" or call.name in ("access", "unlink") or \
        (error == "EDQUOT" and world.kind.folder) or \
        (error == "EPERM" and call.name == "fchown") or \
        (error == "EACCES" and "O_DIRECTORY" in call.line)


def check_reply(world, call, error, reply):
    """What is said is so, and is what this error is called."""
    what = f"{error} of {call.line}: {reply}"
    about_mail = str(world.home) in call.line
    saved = world.count()
    if reply == 250:
        assert saved == 1 and may_be_saved(world, call, error), what
        return
    # A mail is there if only the answer could not be given.
    assert saved <= (0 if about_mail else 1), what
    said = REPLIES.get(error, INTERNAL) if about_mail else INTERNAL
    assert reply == said or (error == "ENOENT" and reply == INTERNAL), what


def injections(world):
    """All calls, and each error of the first for the mail that has that name; of what
    is in all worlds once, and elsewhere one error after the other."""
    turn, seen = 0, set()
    for call in world.calls():
        errors = ERRORS.get(call.name, ("EIO",))
        about_mail = str(world.home) in call.line
        if not (about_mail or isinstance(world.kind, AllIsThere) or ALL):
            continue
        first = about_mail and call.name not in seen
        if first:
            seen.add(call.name)
        if not (first and isinstance(world.kind, AllIsThere) or ALL):
            turn += 1
            errors = errors[turn % len(errors)],
        yield from ((call, error) for error in errors)


def test_a_call_fails(world):
    for call, error in injections(world):
        reply, trace = world.attempt(call.fail(error))
        assert trace.injected(), call.line
        check_reply(world, call, error, reply)
        if call.name != "unlink":
            world.kind.check(world.home)
    world.check_next()
    assert "malformed" not in world.proxy.log


def test_the_delivery_is_killed(world):
    for call in world.calls():
        if not (str(world.home) in call.line or ALL or
                isinstance(world.kind, AllIsThere)):
            continue
        reply, trace = world.attempt(call.kill())
        assert trace.killed(), call.line
        saved = world.count()
        assert (reply, saved) == (250, 1) or (reply == INTERNAL and saved <= 1), \
            (call.line, reply, saved)
    world.check_next()


@pytest.mark.parametrize("taken", [False, True])
def test_a_part_in_an_mbox(instance, taken):
    """A process that is killed may leave one there. The next one cuts it off, unless
    somebody has taken its lock away: then it stays, as a mail of its own."""
    world = World(instance, Mbox())
    world.lines *= 1000
    writes = [call for call in world.calls() if call.name == "pwrite64"]
    assert len(writes) > 3
    reply, trace = world.attempt(writes[2].kill())
    assert reply == INTERNAL and trace.killed()
    inbox = world.home / "inbox"
    part = inbox.read_bytes()
    assert not part.endswith(b"the end\n\n")
    if taken:
        (world.home / "inbox.lock").unlink()
    world.lines = LINES
    assert world.send() == 250
    start = part.rstrip(b"\n") if taken else world.kind.first
    whole = inbox.read_bytes()
    assert whole.startswith(start)
    assert re.fullmatch((rb"\n\n+" if taken else b"") +
                        rb"From sender@example.net .*\n\n" + LINES +
                        b"the end\n\n", whole.removeprefix(start), re.S), whole
    if not taken:
        world.proxy.wait_log("had left a part of a mail in .*inbox, which was cut off")
    world.client.close()


def test_a_question_fails(instance):
    """Whether there is room, at RCPT: when nobody knows, there is, or it is asked
    later."""
    kind = Quota()
    kind.extra += "lmtp_rcpt_check_quota = yes\n"
    world = World(instance, kind)
    with contextlib.closing(world.client) as client:
        def ask(expression=None):
            kind.prepare(world.home)
            with Trace(world.proxy.dir, world.idle(), expression) as trace:
                assert client.mail() == 250
                reply = client.rcpt("anna@example.org")
                trace.end()
            assert client.command("RSET") == 250
            return reply, trace

        reply, good = ask()
        assert reply == 250
        assert str(world.home) in "".join(call.line for call in good.calls())
        for call in good.calls():
            if str(world.home) in call.line:
                reply, trace = ask(call.fail("EIO"))
                assert trace.injected() and reply == 250, (call.line, reply)
            reply, trace = ask(call.kill())
            assert trace.killed() and reply in (250, INTERNAL), (call.line, reply)
        assert world.send() == 250


def test_nothing_is_leaked(instance):
    """Where one process saves many mails, and all goes wrong."""
    world = World(instance, OneUser())
    pid = world.idle()
    before = os.listdir(f"/proc/{pid}/fd")
    for call in world.calls():
        # A close() that fails here does not take place.
        if str(world.home) in call.line and call.name != "close":
            reply, trace = world.attempt(call.fail("EIO"))
            assert trace.injected(), call.line
            check_reply(world, call, "EIO", reply)
            world.kind.check(world.home)
    assert world.idle() == pid
    assert os.listdir(f"/proc/{pid}/fd") == before
    world.check_next()
    world.client.close()


# --- the other processes ---


class Accounts:
    """Mails for two at a time, in a world in which processes are killed."""

    def __init__(self, instance, kind=AllIsThere):
        self.world = World(instance, kind())
        self.proxy = self.world.proxy
        self.site = self.world.site

    def prepare(self):
        for name in UIDS:
            self.world.kind.prepare(self.site.home(name))

    def send(self):
        return self.world.send(*(f"{name}@example.org" for name in UIDS))

    def saved(self, name):
        return self.world.count(self.site.home(name))

    def check(self, replies, what):
        for name, reply in zip(UIDS, replies):
            saved = self.saved(name)
            assert saved == 1 if reply == 250 else saved <= 1, (what, reply, saved)

    def trace(self, tids, expression=None):
        """A message while these threads are traced: replies and traces."""
        self.prepare()
        self.world.idle()
        with contextlib.ExitStack() as stack:
            traces = [stack.enter_context(Trace(self.proxy.dir, tid, expression))
                      for tid in tids]
            replies = self.send()
            wait_until(lambda: any(map(is_gone, tids)) or self.world.is_idle(),
                       "the end of the deliveries")
        return replies, traces

    def kill_all(self, pick, calls):
        """Kills pick(), a thread, at each of them."""
        hits = 0
        for call in calls:
            pids = [*self.proxy.workers(), self.proxy.process.pid]
            replies, (trace,) = self.trace([pick()], call.kill())
            hits += trace.killed()
            self.world.client.close()
            self.proxy.signal(signal.SIGTERM)
            wait_gone(pids)
            self.check(replies, call.line)
            self.start_again()
        # The last ones come later than the last reply, and not always.
        assert hits > len(calls) * 3 // 4
        self.prepare()
        assert self.send() == [250, 250]

    def start_again(self):
        self.proxy.wait_log("^exited")
        self.proxy.reader.join()
        self.proxy.lines.clear()
        self.proxy.launch()
        self.proxy.wait_log("^ready$")
        self.world.connect()


@pytest.fixture
def accounts(instance):
    accounts = Accounts(instance)
    yield accounts
    accounts.world.client.close()


def test_a_link_fails(instance):
    """The second user of one uid gets the first one's file; and if not, a file."""
    accounts = Accounts(instance, OneUser)
    idle = accounts.world.idle
    accounts.send()  # makes what there is to be made
    replies, (trace,) = accounts.trace([idle()])
    assert replies == [250, 250]
    calls = trace.calls()
    names = [call.name for call in calls]
    second = names.index("recvmsg", names.index("recvmsg") + 1)
    assert "linkat" in [call.name for call in calls[second:]]
    for call in calls[second + 1:]:
        if "/mail/" not in call.line:
            continue
        for error in ERRORS.get(call.name, ("EIO", "ENOSPC"))[:2 if ALL else 1]:
            replies, (trace,) = accounts.trace([idle()], call.fail(error))
            assert trace.injected(), call.line
            accounts.check(replies, call.line)
            assert replies[0] == 250
            assert replies[1] == 250 or accounts.saved("ben") == 0, call.line
            assert not list(accounts.site.mail.glob("*/Maildir/tmp/*"))
        replies, (trace,) = accounts.trace([idle()], call.kill())
        assert trace.killed() and replies[0] == 250
        accounts.check(replies, call.line)
    accounts.world.client.close()


def worker_of(proxy):
    pid, = children(proxy, "worker")
    return pid


def busy_thread(accounts):
    """Which thread of the worker process has the session, and its calls until the
    last reply."""
    replies, traces = accounts.trace(threads(worker_of(accounts.proxy)))
    assert replies == [250, 250]
    busy, = [i for i, trace in enumerate(traces)
             if any("memfd_create" in line for line in trace.lines)]
    calls = traces[busy].calls()
    names = [call.name for call in calls]
    assert {"memfd_create", "sendmsg", "socketpair"} <= set(names)
    return busy, calls[:len(names) - names[::-1].index("sendto")]


def test_the_worker_process_is_killed(accounts):
    busy, calls = busy_thread(accounts)
    start = [call.name for call in calls].index("memfd_create") - 1
    accounts.kill_all(lambda: threads(worker_of(accounts.proxy))[busy],
                      calls if ALL else calls[start:])


def test_the_supervisor_has_no_part_in_deliveries(accounts):
    replies, (trace,) = accounts.trace([accounts.proxy.process.pid])
    assert replies == [250, 250] and not trace.calls()


def test_the_supervisor_is_killed(accounts):
    """Meanwhile, who saves the mail does so."""
    proxy = accounts.proxy
    pids = [*proxy.deliverers(), *proxy.workers()]
    accounts.prepare()
    os.kill(accounts.world.idle(), signal.SIGSTOP)
    client = accounts.world.client
    assert client.pipeline("MAIL FROM:<sender@example.net>",
                           "RCPT TO:<anna@example.org>", "DATA") == [250, 250, 354]
    client.send(accounts.world.body().replace(b"\n", b"\r\n") + b".\r\n")
    member, = children(proxy, "delivery")
    proxy.expect_exit = -signal.SIGKILL
    proxy.process.kill()
    proxy.process.wait()
    # The kernel may have, since nobody else would any more.
    with contextlib.suppress(ProcessLookupError):
        os.kill(member, signal.SIGCONT)
    wait_gone(pids)
    assert accounts.saved("anna") <= 1


def test_the_crew_is_killed(accounts):
    """At each of its calls: whoever is at work goes on, and another crew goes on from
    there."""
    proxy, worker = accounts.proxy, worker_of(accounts.proxy)
    replies, (trace,) = accounts.trace([crew_of(proxy)])
    assert replies == [250, 250]
    calls = trace.calls()
    names = [call.name for call in calls]
    assert {"eventfd2", "clone", "wait4"} <= set(names)
    # For the second mail, it does all that again.
    end = names.index("eventfd2", names.index("eventfd2") + 1)
    hits = 0
    for call in calls if ALL else calls[:end]:
        crew = crew_of(proxy)
        replies, (trace,) = accounts.trace([crew], call.kill())
        accounts.check(replies, call.line)
        if trace.killed():
            hits += 1
            wait_gone([crew])
    assert hits > end * 3 // 4
    proxy.wait_log("delivery crew .* killed by signal 9", count=hits)
    accounts.prepare()
    assert accounts.send() == [250, 250]
    assert worker_of(proxy) == worker


# Errors of calls that the worker process makes for a mail that is here. Those of its
# loop and of its client's connection are not about mail.
WORKER_ERRORS = {
    "memfd_create": ("EMFILE", "ENOMEM"), "socketpair": ("EMFILE",), "close": ("EIO",),
    "write": ("ENOSPC", "EIO"), "openat": ("EMFILE", "ENOSPC", "EROFS", "EACCES"),
    "unlink": ("EIO",), "sendfile": ("ENOSPC", "EIO"), "fcntl": ("EPERM",),
    "sendmsg": ("ETOOMANYREFS", "ENOBUFS", "EMFILE"), "read": ("EIO",),
}
NO_ROOM = "452 4.3.1 "


@pytest.mark.parametrize("size", ["small", "large"])
def test_the_worker_process_has_failures(accounts, size):
    """What cannot be kept, or handed on, is refused for now, and nobody else's
    business."""
    accounts.world.lines *= 1 if size == "small" else 700
    busy, calls = busy_thread(accounts)
    tid = threads(worker_of(accounts.proxy))[busy]
    seen = set()
    for call in calls:
        kind = call.line.partition(", ")[0]
        if call.name not in WORKER_ERRORS or kind in seen:
            continue
        # Without the call, it stays open, and nobody learns of the end.
        if re.match(r"close\(\d+<(socket|UNIX)", kind):
            continue
        seen.add(kind)
        for error in WORKER_ERRORS[call.name]:
            replies, (trace,) = accounts.trace([tid], call.fail(error))
            assert trace.injected(), call.line
            accounts.check(replies, call.line)
            for reply in replies:
                assert reply in (250, NO_ROOM, INTERNAL), call.line
    assert {"memfd_create", "sendmsg", "read"} <= {
        kind.partition("(")[0] for kind in seen}
    accounts.prepare()
    assert accounts.send() == [250, 250]
    assert tid in threads(worker_of(accounts.proxy))


def test_the_crew_has_failures(accounts):
    """A process that cannot be started is started later."""
    crew = crew_of(accounts.proxy)
    for name, error in (("eventfd2", "EMFILE"), ("clone", "EAGAIN")):
        replies, (trace,) = accounts.trace(
            [crew], f"inject={name}:error={error}:when=1")
        assert trace.injected() and replies == [250, 250]
        accounts.check(replies, name)
    accounts.proxy.wait_log("cannot start a delivery process", count=2)
    assert crew_of(accounts.proxy) == crew


def test_the_supervisor_has_failures(accounts):
    """A crew that cannot be started is started later."""
    supervisor = accounts.proxy.process.pid
    for name, error in (("socketpair", "EMFILE"), ("clone", "EAGAIN"),
                        ("memfd_create", "EMFILE"), ("sendmsg", "ENOBUFS")):
        crew = crew_of(accounts.proxy)
        accounts.world.idle()
        with Trace(accounts.proxy.dir, supervisor,
                   f"inject={name}:error={error}:when=1") as trace:
            os.kill(crew, signal.SIGKILL)
            wait_gone([crew])
            wait_until(trace.injected, "the failure")
            accounts.prepare()
            assert accounts.send() == [250, 250]
        accounts.check([250, 250], name)
    accounts.proxy.wait_log("cannot start a delivery crew", count=2)


class Sender(threading.Thread):
    """Sends numbered mails, whatever happens to the servers."""

    def __init__(self, proxy, numbers):
        super().__init__()
        self.proxy, self.numbers = proxy, numbers
        self.codes = {}  # of each number; None: no reply

    def run(self):
        numbers = iter(self.numbers)
        while True:
            with contextlib.suppress(Disconnected, OSError, AssertionError):
                with self.proxy.session() as client:
                    for number in numbers:
                        self.send(client, number)
                    return

    def send(self, client, number):
        self.codes[number] = None
        user = list(UIDS)[number % 2]
        replies = client.pipeline("MAIL FROM:<a@example.net>",
                                  f"RCPT TO:<{user}@example.org>", "DATA")
        if replies == [250, 250, 354]:
            client.send(b"Subject: %d\r\n\r\n" % number +
                        LINES.replace(b"\n", b"\r\n") * 50 + b"the end\r\n.\r\n")
            self.codes[number] = client.reply().code


def test_all_is_killed_under_load(instance):
    """Processes of all kinds, at any time; meanwhile the configuration is read again
    and the program is replaced."""
    site = Site(instance, None)
    proxy = site.start()
    senders = [Sender(proxy, range(first, MANY, 4)) for first in range(4)]

    def kill(title):
        with contextlib.suppress(OSError, IndexError):
            os.kill(children(proxy, title)[0], signal.SIGKILL)

    def deeds():
        for last in (lambda: kill("worker"), lambda: proxy.signal(signal.SIGHUP),
                     lambda: kill("worker"), lambda: proxy.signal(signal.SIGUSR2)):
            yield from [lambda: kill("delivery")] * 8
            yield lambda: kill("delivery crew")
            yield last

    for sender in senders:
        sender.start()
    for number, deed in enumerate(deeds()):
        wait_until(lambda: sum(len(sender.codes) for sender in senders) >=
                   (number + 1) * MANY // 41, "some more mail")
        deed()
    for sender in senders:
        sender.join()
    assert proxy.process.poll() is None
    proxy.signal(signal.SIGTERM)
    proxy.wait_exit()
    texts = site.texts("anna") + site.texts("ben")
    assert all(text.endswith(LINES * 50 + b"the end\n") for text in texts)
    saved = [int(re.search(rb"^Subject: (\d+)$", text, re.M).group(1))
             for text in texts]
    codes = {number: code for sender in senders
             for number, code in sender.codes.items()}
    assert len(codes) == MANY and list(codes.values()).count(250) > MANY // 2
    assert len(saved) == len(set(saved)), "saved twice"
    assert {number for number, code in codes.items() if code == 250} <= set(saved)
