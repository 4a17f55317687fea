"""Local delivery: mail saved by processes that are the user."""
import contextlib
import ctypes
import os
import pathlib
import re
import signal
import socket
import struct
import subprocess
import threading

import pytest

from control import Control
from lmtp_client import dot_stuff
from scripted_backend import hold
from waiting import wait_until
from waypost import IS_ROOT

UIDS = {"anna": 61001, "ben": 61002}
# Others have to be done by then, however busy the machine is.
SHORT_TIME = "lmtp_delivery_timeout = 4 s\n"
BODY = b"Subject: hi\r\n\r\nhello\r\n.dot\r\n"
as_root = pytest.mark.needs_root


class Site:
    """A waypost with mail of several users. As root they have a uid each, else
    all mail is ours."""

    def __init__(self, instance, backend, roots=IS_ROOT):
        self.proxy = instance(as_root=roots or None)
        self.roots = roots
        self.mail = self.proxy.dir / "mail"
        self.mail.mkdir()
        self.mail.chmod(0o755)
        self.backend = backend
        for name, uid in UIDS.items():
            self.make_home(name, uid)

    def make_home(self, name, uid):
        home = self.mail / name
        home.mkdir()
        if self.roots:
            os.chown(home, uid, uid)
        elif IS_ROOT:
            home.chmod(0o777)

    def home(self, name):
        return self.mail / name

    def passwd_line(self, name, uid):
        ids = f"userdb_uid={uid} userdb_gid={uid} " if self.roots else ""
        return (f"{name}@example.org:::::::{ids}"
                f"userdb_home={self.home(name)}\n")

    def config(self, extra="", passdb="", users=None):
        text = passdb + "".join(self.passwd_line(*item) for item in
                                (UIDS if users is None else users).items())
        if self.backend:
            text += ("far@example.org:::::::proxy "
                     f"host={self.backend.host} port={self.backend.port}\n")
        self.proxy.write_file("passwd", text)
        return (f"passdb {{\n driver = passwd-file\n"
                f" args = {self.proxy.dir}/passwd\n}}\n"
                "userdb {\n driver = prefetch\n}\n"
                "mail_location = maildir:~/Maildir\n" + extra)

    def start(self, extra="", **kwargs):
        self.proxy.start(self.config(extra, **kwargs))
        return self.proxy

    def files(self, name, folder="new", box="Maildir"):
        path = self.home(name) / box / folder
        return sorted(path.iterdir()) if path.exists() else []

    def texts(self, name, **kwargs):
        return [path.read_bytes() for path in self.files(name, **kwargs)]


@pytest.fixture
def site(instance, backend):
    """A site that is not started yet."""
    return Site(instance, backend)


@pytest.fixture
def plain_site(instance, backend):
    """One that is not started by root."""
    return Site(instance, backend, roots=False)


def send(client, *rcpts, body=BODY):
    assert client.mail() == 250
    for rcpt in rcpts:
        assert client.rcpt(rcpt) == 250
    return client.data(body, len(rcpts))


def children(proxy, title):
    """Processes of the supervisor's with that word in their title."""
    found = []
    for pid in proxy.workers():
        try:
            line = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if title.encode() in line:
            found.append(pid)
    return found


def uids_of(pid):
    """Real, effective and saved uid."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return re.search(r"^Uid:\t(\d+)\t(\d+)\t(\d+)", status, re.M).groups()


# --- what is delivered ---


def test_mail_is_saved_as_the_user(site):
    proxy = site.start()
    with proxy.session() as client:
        reply, = send(client, "anna@example.org")
    assert reply == 250
    assert re.fullmatch(r"2\.0\.0 <anna@example\.org> \S+ Saved",
                        reply.lines[0]), reply
    path, = site.files("anna")
    assert site.files("anna", "tmp") == []
    text = path.read_bytes()
    assert text.startswith(b"Return-Path: <sender@example.net>\n"
                           b"Delivered-To: anna@example.org\n"
                           b"Received: from client.example ")
    assert text.endswith(b"Subject: hi\n\nhello\n.dot\n")
    assert b"\r" not in text
    if site.roots:
        assert (path.stat().st_uid, path.stat().st_gid) == (61001, 61001)
    proxy.wait_log(r"sent from=<sender@example\.net> to=<anna@example\.org> "
                   r"at=here size=\d+ .*reply=\"250 2\.0\.0 ")


@as_root
def test_users_of_different_uids_in_one_transaction(site):
    proxy = site.start()
    with proxy.session() as client:
        assert send(client, "anna@example.org",
                    "ben@example.org") == [250, 250]
    for name, uid in UIDS.items():
        path, = site.files(name)
        assert path.stat().st_uid == uid
        assert b"Delivered-To" not in path.read_bytes()


def test_local_and_remote_recipients_answer_in_order(site, backend):
    proxy = site.start()
    backend.on("body", hold)
    with proxy.session() as client:
        assert client.mail() == 250
        for name in ("anna", "far", "ben"):
            assert client.rcpt(f"{name}@example.org") == 250
        assert client.command("DATA") == 354
        client.send(dot_stuff(BODY))
        assert client.reply() == 250
        wait_until(lambda: site.files("ben"), "ben's mail")
        client.expect_silence()
        backend.release()
        far, ben = client.replies(2)
    assert (far, ben) == (250, 250)
    assert "<ben@example.org>" in ben.lines[0]
    message, = backend.wait_messages(1)
    assert message.text.endswith(BODY)
    assert len(site.files("anna")) == len(site.files("ben")) == 1


def test_a_backend_that_fails_fails_its_own(site, backend):
    proxy = site.start()
    backend.on("final", "554 5.0.0 no")
    with proxy.session() as client:
        replies = send(client, "far@example.org", "anna@example.org")
    assert replies[1] == 250
    assert len(site.files("anna")) == 1


def test_unknown_user(site):
    proxy = site.start()
    with proxy.session() as client:
        assert client.mail() == 250
        reply = client.rcpt("nobody@example.org")
        assert (reply.code, reply.lines) == (550, ["5.1.1 <nobody@example.org> User doesn't "
                               "exist: nobody@example.org"])
        assert client.rcpt("anna@example.org") == 250


def test_without_lmtp_proxy_no_passdb_is_asked(site):
    ids = f"uid={UIDS['anna']} gid={UIDS['anna']} " if site.roots else ""
    site.proxy.start("lmtp_proxy = no\n"
                     "mail_location = maildir:~/Maildir\n"
                     "userdb {\n driver = static\n args = allow_all_users=yes "
                     f"{ids}home={site.mail}/%n\n}}\n")
    with site.proxy.session() as client:
        assert send(client, "anna@example.org") == [250]
    assert len(site.files("anna")) == 1


def test_without_mail_location_all_is_as_before(site):
    config = site.config().replace("mail_location", "#mail_location")
    proxy = site.proxy.start(config)
    with proxy.session() as client:
        assert client.mail() == 250
        assert client.rcpt("anna@example.org") == 451
    assert children(proxy, "delivery") == []


def test_proxy_maybe_that_is_ourself(site):
    ids = "userdb_uid=61001 userdb_gid=61001 " if site.roots else ""
    line = (f"anna@example.org:::::::proxy_maybe host={site.proxy.address[0]} "
            f"port={site.proxy.port} {ids}userdb_home={site.home('anna')}\n")
    proxy = site.start(passdb=line, users={"ben": 61002})
    with proxy.session() as client:
        assert send(client, "anna@example.org") == [250]
    assert len(site.files("anna")) == 1


def test_the_same_recipient_twice_is_one_mail(site):
    proxy = site.start()
    with proxy.session() as client:
        replies = send(client, "anna@example.org", "ben@example.org",
                       "anna@example.org")
    assert replies == [250, 250, 250]
    assert replies[2].lines[0].startswith("2.0.0 <anna@example.org> ")
    assert len(site.files("anna")) == 1


def test_detail_is_a_mailbox(site):
    proxy = site.start("lmtp_save_to_detail_mailbox = yes\n"
                       "lda_mailbox_autocreate = yes\n")
    with proxy.session() as client:
        assert send(client, "anna+lists@example.org") == [250]
    assert len(site.files("anna", box="Maildir/.lists")) == 1
    assert site.files("anna") == []


def test_detail_without_a_mailbox_is_inbox(site):
    proxy = site.start("lmtp_save_to_detail_mailbox = yes\n")
    with proxy.session() as client:
        assert send(client, "anna+lists@example.org",
                    "ben+@example.org") == [250, 250]
    assert len(site.files("anna")) == len(site.files("ben")) == 1


def test_into_an_mbox(site):
    config = site.config().replace("maildir:~/Maildir",
                                   "mbox:~/mail:INBOX=~/inbox")
    proxy = site.proxy.start(config)
    with proxy.session() as client:
        for _ in range(2):
            assert send(client, "anna@example.org") == [250]
    text = (site.home("anna") / "inbox").read_bytes()
    assert text.startswith(b"From sender@example.net ")
    assert text.count(b"\nhello\n.dot\n") == 2


def test_large_mail_by_chunks_and_by_data(site):
    proxy = site.start()
    body = b"Subject: x\r\n\r\n" + b".234567890\r\n" * 100000
    with proxy.session() as client:
        assert send(client, "anna@example.org", body=body) == [250]
        assert client.mail() == 250
        assert client.rcpt("ben@example.org") == 250
        client.send(b"BDAT %d LAST\r\n" % len(body) + body)
        assert client.reply() == 250
    for name in UIDS:
        text, = site.texts(name)
        assert text.endswith(body.replace(b"\r\n", b"\n"))
    assert os.listdir(proxy.dir / "spool") == []


def test_no_place_for_a_large_message(site):
    proxy = site.start()
    (proxy.dir / "spool").rename(proxy.dir / "elsewhere")
    body = b"Subject: x\r\n\r\n" + b"1234567890\r\n" * 100000
    with proxy.session() as client:
        reply, = send(client, "anna@example.org", body=body)
        assert reply.lines[0].startswith("4.3.1 <anna@example.org> ")
        assert send(client, "anna@example.org") == [250]
    proxy.wait_log("could not be kept in mail_temp_dir")
    assert len(site.files("anna")) == 1


def test_waypost_l_says_so(site):
    proxy = site.proxy
    proxy.write_config(site.config())
    result = proxy.run("-l", "anna@example.org")
    assert result.returncode == 0, result.stdout
    assert "\nroute: here\n" in result.stdout
    result = proxy.run("-l", "nobody@example.org")
    assert "550 5.1.1 <nobody@example.org> " in result.stdout


def test_the_control_interface_says_so(site):
    proxy = site.start()
    answer = Control(proxy).get("/v1/route?user=anna@example.org")
    assert (answer["kind"], answer["code"]) == ("local", None)
    answer = Control(proxy).get("/v1/route?user=nobody@example.org")
    assert (answer["kind"], answer["code"]) == ("refuse", 550)
    status, _ = Control(proxy).request("/v1/auth_http", headers={
        "Auth-Method": "plain", "Auth-User": "anna@example.org",
        "Auth-Protocol": "imap", "Client-IP": "192.0.2.1"})
    assert status == 200


# --- failures ---


def test_home_that_cannot_be_written_to(site):
    proxy = site.start()
    site.home("anna").chmod(0o555)
    if not site.roots and IS_ROOT:
        os.chown(site.home("anna"), 0, 0)
    with proxy.session() as client:
        first, second = send(client, "anna@example.org", "ben@example.org")
        assert first.lines[0].startswith("4.2.0 <anna@example.org> ")
        assert second == 250
        site.home("anna").chmod(0o777)
        assert send(client, "anna@example.org") == [250]
    assert len(site.files("anna")) == 1
    proxy.wait_log(r"not sent .* to=<anna.* error=\"cannot make "
                   r"directory \S+/anna/Maildir: Permission denied")


@as_root
@pytest.mark.parametrize("uid", [0, 499, 62000])
def test_uids_that_are_not_valid(site, uid):
    proxy = site.start("last_valid_uid = 61999\n",
                       users={"anna": uid, "ben": 61002})
    with proxy.session() as client:
        assert client.mail() == 250
        reply = client.rcpt("anna@example.org")
        assert (reply.code, reply.lines) == (451, ["4.3.0 <anna@example.org> Temporary "
                               "internal error"])
        assert client.rcpt("ben@example.org") == 250
    proxy.wait_log(f"user anna@example.org has uid {uid}, which is not valid")


def mount_tmpfs(path, options):
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path],
                   check=True)


@as_root
@pytest.mark.parametrize("options", ["size=64k", "nr_inodes=12"])
def test_full_disk(site, options):
    home = site.home("anna")
    try:
        mount_tmpfs(home, options + ",uid=61001,gid=61001,mode=700")
    except subprocess.CalledProcessError:
        pytest.skip("this machine lets nobody mount anything")
    try:
        proxy = site.start()
        body = b"Subject: x\r\n\r\n" + b"1234567890\r\n" * 1000
        with proxy.session() as client:
            replies = [send(client, "anna@example.org", body=body)[0]
                       for _ in range(20)]
            bad = [reply for reply in replies if reply != 250]
            assert bad and bad[0].lines[0].startswith("4.3.1 <anna")
            good = len(replies) - len(bad)
            assert good == len(site.files("anna"))
            assert site.files("anna", "tmp") == []
            site.files("anna")[0].unlink()
            assert send(client, "anna@example.org", body=body) == [250]
    finally:
        subprocess.run(["umount", "-l", home], check=True)


def test_files_may_have_a_limited_size(site):
    """What does not fit is not taken, whole, and nobody dies of it."""
    config = site.config().replace("maildir:~/Maildir",
                                   "mbox:~/mail:INBOX=~/inbox")
    site.proxy.prefix = [*site.proxy.prefix, "prlimit", "--fsize=1000000"]
    proxy = site.proxy.start(config)
    worker, = children(proxy, "worker")
    inbox = site.home("anna") / "inbox"
    full = b"From a@example.net\n\n" + b"123456789\n" * 99500 + b"\n"
    inbox.write_bytes(full)
    if site.roots:
        os.chown(inbox, 61001, 61001)
    elif IS_ROOT:
        inbox.chmod(0o666)
    with proxy.session() as client:
        for lines in (1000, 100000):
            body = b"Subject: x\r\n\r\n" + b"1234567890\r\n" * lines
            reply, = send(client, "anna@example.org", body=body)
            assert reply.lines[0].startswith("4.")
            assert inbox.read_bytes() == full
        assert send(client, "anna@example.org") == [250]
    proxy.wait_log("not sent .*cannot write .*/inbox: File too large")
    assert children(proxy, "worker") == [worker]
    assert "killed" not in proxy.log


# --- processes ---


def is_stopped(pid):
    return ") T " in pathlib.Path(f"/proc/{pid}/stat").read_text()


def wait_for_crew(proxy):
    return wait_until(lambda: len(children(proxy, "delivery")) >= 4 and
                      children(proxy, "delivery"), "a crew")


def send_to_nobody(site, client):
    """A message that no process takes, since all are stopped. Returns these."""
    crew = wait_for_crew(site.proxy)
    for pid in crew:
        os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: all(is_stopped(pid) for pid in crew), "them to stop")
    assert client.mail() == 250
    assert client.rcpt("anna@example.org") == 250
    assert client.command("DATA") == 354
    client.send(dot_stuff(BODY))
    return crew


def test_processes_that_are_killed_are_replaced(site):
    proxy = site.start()
    with proxy.session() as client:
        for pid in send_to_nobody(site, client):
            os.kill(pid, signal.SIGKILL)
        assert client.reply() == 250
        assert len(site.files("anna")) == 1
    proxy.wait_log("delivery process .* killed by signal 9")


def test_too_late(site):
    proxy = site.start(SHORT_TIME)
    with proxy.session() as client:
        crew = send_to_nobody(site, client)
        reply = client.reply()
        assert (reply.code, reply.lines) == (451, ["4.3.0 <anna@example.org> Temporary "
                               "internal error"])
        for pid in crew:
            os.kill(pid, signal.SIGCONT)
        assert send(client, "ben@example.org") == [250]
    wait_until(lambda: site.files("ben"), "ben's mail")
    assert site.files("anna") == []


def test_the_worker_process_dies(site):
    proxy = site.start()
    crew = wait_for_crew(proxy)
    mark = proxy.mark()
    worker, = children(proxy, "worker")
    os.kill(worker, signal.SIGKILL)
    proxy.wait_log("is ready", mark)
    with proxy.session() as client:
        assert send(client, "anna@example.org") == [250]
    wait_until(lambda: not set(crew) & set(proxy.workers()), "its crew to go")


def test_a_reload_counts_for_those_who_wait_already(site):
    proxy = site.start()
    with proxy.session() as client:
        assert send(client, "anna+box@example.org") == [250]
    assert len(site.files("anna")) == 1
    proxy.write_config(site.config("lda_mailbox_autocreate = yes\n"
                                   "lmtp_save_to_detail_mailbox = yes\n"))
    mark = proxy.mark()
    proxy.signal(signal.SIGHUP)
    proxy.wait_log("configuration reloaded", mark)
    with proxy.session() as client:
        assert send(client, "anna+box@example.org") == [250]
    assert len(site.files("anna", box="Maildir/.box")) == 1


def test_the_program_is_replaced_meanwhile(site):
    proxy = site.start()
    with proxy.session() as client:
        assert client.mail() == 250
        assert client.rcpt("anna@example.org") == 250
        assert client.command("DATA") == 354
        mark = proxy.mark()
        proxy.signal(signal.SIGUSR2)
        proxy.wait_log("has taken over", mark)
        with proxy.session() as other:
            assert send(other, "ben@example.org") == [250]
        client.send(dot_stuff(BODY))
        assert client.reply() == 250
    assert len(site.files("anna")) == len(site.files("ben")) == 1


def test_a_stop_waits_for_deliveries(site):
    proxy = site.start()
    with proxy.session() as client:
        crew = send_to_nobody(site, client)
        proxy.signal(signal.SIGTERM)
        proxy.wait_log("stopping")
        for pid in crew:
            os.kill(pid, signal.SIGCONT)
        assert client.reply() == 250
    assert proxy.wait_exit() == 0
    assert len(site.files("anna")) == 1


def test_one_user_leaves_room_for_others(site, backend):
    proxy = site.start("lmtp_user_concurrency_limit = 2\n")
    with proxy.session() as first, proxy.session() as second:
        for client in (first, second):
            assert client.mail() == 250
            assert client.rcpt("anna@example.org") == 250
            assert client.rcpt("far@example.org") == 250
        with proxy.session() as third:
            assert third.mail() == 250
            for name in ("anna", "far"):
                reply = third.rcpt(f"{name}@example.org")
                assert reply == (f"451 4.3.0 <{name}@example.org> Too many "
                                 "concurrent deliveries for user")
            assert third.rcpt("ben@example.org") == 250
            assert first.command("RSET") == 250
            assert third.rcpt("anna@example.org") == 250
            assert third.rcpt("far@example.org") == 250
            assert third.data(BODY, 3) == [250, 250, 250]


def test_what_hangs_is_ended(site):
    config = site.config(SHORT_TIME).replace(
        "maildir:~/Maildir", "mbox:~/mail:INBOX=~/inbox")
    proxy = site.proxy.start(config)
    # Another program holds the mailbox.
    (site.home("anna") / "inbox").touch()
    lock = site.home("anna") / "inbox.lock"
    lock.touch()
    for path in (lock, site.home("anna") / "inbox"):
        if site.roots:
            os.chown(path, 61001, 61001)
    with proxy.session() as client:
        first, second = send(client, "anna@example.org", "ben@example.org")
        assert (first, second) == (451, 250)
        proxy.wait_log("delivery process .* took longer than "
                       "lmtp_delivery_timeout")
        assert (site.home("anna") / "inbox").read_bytes() == b""
        lock.unlink()
        assert send(client, "anna@example.org") == [250]


def test_every_message_is_accounted_for(site):
    """Whatever is killed: 250 is a mail, 451 is one at most, none is a part."""
    proxy = site.start()
    stop = threading.Event()
    body = b"Subject: %d\r\n\r\n" + b"0123456789\r\n" * 2000 + b"the end\r\n"

    def kill_some():
        while not stop.is_set():
            for pid in children(proxy, "delivery")[::2]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            stop.wait(0.05)

    killer = threading.Thread(target=kill_some)
    killer.start()
    try:
        with proxy.session() as client:
            replies = [send(client, "anna@example.org", body=body % number)[0]
                       for number in range(60)]
    finally:
        stop.set()
        killer.join()
    texts = site.texts("anna")
    assert all(text.endswith(b"\nthe end\n") for text in texts)
    saved = {int(re.search(rb"^Subject: (\d+)$", text, re.M).group(1))
             for text in texts}
    assert len(saved) == len(texts)
    for number, reply in enumerate(replies):
        assert reply.code in (250, 451)
        assert number in saved or reply == 451


# --- one mail for several ---


def links(site, *names):
    """How many names the one mail of each has, and whether it is one file."""
    stats = [path.stat() for name in names for path in site.files(name)]
    assert len(stats) == len(names)
    assert all(stat.st_mode & 0o777 == 0o600 for stat in stats)
    return [stat.st_nlink for stat in stats], \
        len({stat.st_ino for stat in stats}) == 1


def deliver(site, *names):
    with site.proxy.session() as client:
        replies = send(client, *(f"{name}@example.org" for name in names))
        assert replies == [250] * len(names)
    return links(site, *dict.fromkeys(names))


def start_for_one_user(site, extra="", count=3):
    """All mail is one user's. Returns the names of those who have some."""
    names = [f"user{number}" for number in range(count)]
    uid = UIDS["anna"]
    for name in names:
        site.make_home(name, uid)
    ids = f"mail_uid = {uid}\nmail_gid = {uid}\n" if site.roots else ""
    lines = "".join(f"{name}@example.org:::::::userdb_home={site.home(name)}\n"
                    for name in names)
    site.proxy.start(site.config(ids + extra, passdb=lines, users={}))
    return names


def test_recipients_share_a_file(plain_site):
    names = start_for_one_user(plain_site)
    assert deliver(plain_site, *names) == ([3, 3, 3], True)
    text, = set(plain_site.texts(names[0]) + plain_site.texts(names[2]))
    assert b"Delivered-To" not in text and text.endswith(b"\nhello\n.dot\n")
    assert len({path.name for name in names
                for path in plain_site.files(name)}) == 3
    assert all(plain_site.files(name, "tmp") == [] for name in names)
    with plain_site.proxy.session() as client:
        assert send(client, "user0@example.org") == [250]
    assert sorted(path.stat().st_nlink
                  for path in plain_site.files("user0")) == [1, 3]


@as_root
def test_recipients_share_a_file_of_mail_uid(site):
    names = start_for_one_user(site)
    assert deliver(site, *names, names[1]) == ([3, 3, 3], True)
    assert site.files(names[2])[0].stat().st_uid == UIDS["anna"]


@as_root
def test_only_those_with_the_same_uid_share(site):
    site.make_home("carl", 61001)
    site.start(users={**UIDS, "carl": 61001})
    assert deliver(site, "anna", "ben", "carl") == ([2, 1, 2], False)
    assert site.files("ben")[0].stat().st_uid == 61002


def test_nobody_shares_who_need_not(plain_site):
    names = start_for_one_user(plain_site, "maildir_copy_with_hardlinks = no\n")
    assert deliver(plain_site, *names) == ([1, 1, 1], False)


def test_what_others_may_read_is_not_shared(plain_site):
    names = start_for_one_user(plain_site)
    box = plain_site.home(names[1]) / "Maildir"
    for path in (box, box / "new", box / "cur", box / "tmp"):
        path.mkdir()
        path.chmod(0o777)
    with plain_site.proxy.session() as client:
        assert send(client, *(f"{name}@example.org" for name in names)) == \
            [250, 250, 250]
    assert [plain_site.files(name)[0].stat().st_nlink
            for name in names] == [2, 1, 2]
    assert plain_site.files(names[1])[0].stat().st_mode & 0o777 == 0o666


def test_quota_counts_what_is_shared(plain_site):
    names = start_for_one_user(
        plain_site, "plugin {\n quota = maildir:U\n quota_rule = *:messages=1\n}\n")
    assert deliver(plain_site, *names) == ([3, 3, 3], True)
    for name in names:
        sizes = (plain_site.home(name) / "Maildir" / "maildirsize").read_text()
        size = plain_site.files(name)[0].stat().st_size
        assert f"{size} 1" in sizes
    with plain_site.proxy.session() as client:
        assert send(client, *(f"{name}@example.org" for name in names)) == \
            [552, 552, 552]


def test_one_that_fails_fails_alone(plain_site):
    names = start_for_one_user(plain_site)
    plain_site.home(names[0]).chmod(0o555)
    if IS_ROOT:
        os.chown(plain_site.home(names[0]), 0, 0)
    with plain_site.proxy.session() as client:
        assert send(client, *(f"{name}@example.org" for name in names)) == \
            [451, 250, 250]
    assert links(plain_site, *names[1:]) == ([1, 1], False)


def test_nobody_waits_long_for_another(plain_site):
    names = start_for_one_user(plain_site, "lmtp_delivery_timeout = 5 mins\n")
    proxy = plain_site.proxy
    with proxy.session() as client:
        crew = wait_until(lambda: len(children(proxy, "delivery")) >= 4 and
                          children(proxy, "delivery"), "a crew")
        for pid in crew:
            os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: all(is_stopped(pid) for pid in crew), "them to stop")
        assert client.mail() == 250
        for name in names:
            assert client.rcpt(f"{name}@example.org") == 250
        assert client.command("DATA") == 354
        client.send(dot_stuff(BODY))

        def under_way():
            return re.search(r"^waypost_deliveries_under_way (\d+)$",
                             Control(proxy).request("/metrics")[1], re.M)[1]

        wait_until(lambda: under_way() == "1", "the first one")
        wait_until(lambda: under_way() == "3", "those who have waited")
        for pid in crew:
            os.kill(pid, signal.SIGCONT)
        assert client.replies(3) == [250, 250, 250]
    assert links(plain_site, *names) == ([1, 1, 1], False)


def test_many_recipients(plain_site):
    """Some of them twice."""
    names = start_for_one_user(plain_site, count=40)
    with plain_site.proxy.session() as client:
        replies = send(client, *(f"{name}@example.org"
                                 for name in names + names[::-1]))
    assert replies == [250] * 80
    for name, reply in zip(names + names[::-1], replies):
        assert f"<{name}@example.org>" in reply.lines[0]
    assert links(plain_site, *names) == ([40] * 40, True)


# --- one user for all mail ---


def test_not_started_by_root(plain_site):
    proxy = plain_site.start()
    with proxy.session() as client:
        for _ in range(10):
            assert send(client, "anna@example.org",
                        "ben@example.org") == [250, 250]
    assert len(plain_site.files("anna")) == 10
    assert len(plain_site.files("ben")) == 10
    assert plain_site.files("anna")[0].stat().st_uid == uid_of(proxy)


def uid_of(proxy):
    return int(uids_of(proxy.process.pid)[1])


def test_another_uid_without_root(plain_site):
    proxy = plain_site.proxy
    config = plain_site.config(passdb="carl@example.org:::::::userdb_uid=61003"
                               f" userdb_gid=61003 userdb_home={proxy.dir}\n")
    proxy.start(config)
    with proxy.session() as client:
        assert client.mail() == 250
        assert client.rcpt("carl@example.org") == 451
        assert client.rcpt("anna@example.org") == 250
    proxy.wait_log(r"user carl@example.org has uid 61003 and gid 61003, but "
                   r"all mail has uid \d+")


@as_root
def test_mail_uid(site):
    site.home("ben").chmod(0o777)
    text = ("ben@example.org:::::::"
            f"userdb_home={site.home('ben')}\n")
    config = site.config("mail_uid = 61001\nmail_gid = 61001\n",
                         passdb=text, users={"anna": 61001})
    proxy = site.proxy.start(config)
    with proxy.session() as client:
        assert send(client, "anna@example.org",
                    "ben@example.org") == [250, 250]
    crew = children(proxy, "delivery")
    assert crew
    for pid in crew:
        assert uids_of(pid) == ("61001", "61001", "61001")
    assert site.files("ben")[0].stat().st_uid == 61001


# --- more mail for the same user ---


def savers(site, name):
    """The process that has saved each mail of a user."""
    return [int(re.search(r"P(\d+)\.", path.name).group(1))
            for path in site.files(name)]


def deliver_to(proxy, name):
    with proxy.session() as client:
        assert send(client, f"{name}@example.org") == [250]


def test_a_process_saves_more_mail_of_the_same_user(site):
    proxy = site.start()
    with proxy.session() as client:
        for name in ("anna", "ben", "anna", "anna"):
            assert send(client, f"{name}@example.org") == [250]
    pids = set(savers(site, "anna"))
    assert len(pids) == 1 and len(site.files("anna")) == 3
    assert (pids == set(savers(site, "ben"))) != site.roots
    # Nobody wants it any more; without root, it saves other mail then.
    if site.roots:
        wait_until(lambda: not os.path.exists(f"/proc/{min(pids)}"), "its end")


def test_a_process_that_ended_while_nobody_wanted_it(site):
    proxy = site.start()
    for _ in range(5):
        deliver_to(proxy, "anna")
        pid = int(re.search(r"P(\d+)\.", max(
            site.files("anna"), key=lambda path: path.stat().st_mtime_ns).name)
            .group(1))
        os.kill(pid, signal.SIGKILL)
        deliver_to(proxy, "anna")
    assert len(site.files("anna")) == 10


def test_no_place_for_others_is_taken(site):
    """As many processes as there may be, all of them another user's."""
    users = {f"u{n}": 61001 + n for n in range(12)}
    for name, uid in users.items():
        site.make_home(name, uid)
    proxy = site.start("lmtp_max_deliveries = 2\n", users=users)
    with proxy.session() as client:
        for _ in range(2):
            assert send(client, *(f"{name}@example.org"
                                  for name in users)) == [250] * len(users)
    assert len(children(proxy, "delivery")) <= 2


# --- a worker process that somebody has taken over ---


def take_requests(proxy):
    """The worker process's end of the channel for deliveries."""
    worker, = children(proxy, "worker")
    kinds = {}
    for line in open("/proc/net/unix").read().splitlines()[1:]:
        parts = line.split()
        kinds[parts[6]] = parts[4]
    found = []
    for fd in map(int, os.listdir(f"/proc/{worker}/fd")):
        target = os.readlink(f"/proc/{worker}/fd/{fd}")
        inode = target.removeprefix("socket:[").rstrip("]")
        if kinds.get(inode) == "0005":
            found.append(fd)
    # The first is for the supervisor.
    assert len(found) == 2
    pidfd = os.pidfd_open(worker)
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.syscall(438, pidfd, max(found), 0)  # pidfd_getfd
    os.close(pidfd)
    if fd < 0:
        pytest.skip("this machine lets nobody take a descriptor")
    return socket.socket(fileno=fd)


def string(text):
    data = text.encode()
    return struct.pack("<H", len(data)) + data + b"\0"


def request(location, uid=61001, gid=61001, size=5, chroot="", groups="",
            groups_user="", rules=(), copy=""):
    return (struct.pack("<BBIIQQIQI", 4, 0, uid, gid, size, 1700000000, 0,
                        1 << 62, 0) +
            b"".join(map(string, ("anna", "/", chroot, location, "INBOX",
                                  groups_user, groups, "", "anna@example.org",
                                  "", "", copy))) +
            bytes([len(rules)]) +
            b"".join(string(text) for rule in rules for text in rule) +
            string(""))


def link():
    """What an answer comes through: our end, theirs."""
    return [end.detach() for end in
            socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)]


@contextlib.contextmanager
def message_and_link():
    message = os.memfd_create("mail")
    os.write(message, b"hello")
    ours, theirs = link()
    yield message, ours, theirs
    for fd in (message, ours, theirs):
        with contextlib.suppress(OSError):
            os.close(fd)


def attack(requests, packet, fds=None):
    """Returns the answer; b"" when there is none."""
    with message_and_link() as (message, ours, theirs):
        socket.send_fds(requests, [packet],
                        [theirs, message] if fds is None else fds)
        os.close(theirs)
        return os.read(ours, 4096)


@as_root
@pytest.mark.parametrize("values", [
    {"uid": 0}, {"uid": 0, "gid": 0}, {"gid": 0}, {"uid": 2**32 - 1},
    {"gid": 2**32 - 1}, {"uid": 499}, {"uid": 62000}, {"chroot": "/"},
    {"chroot": "/root"}])
def test_the_worker_cannot_name_just_anybody(site, values):
    proxy = site.start("last_valid_uid = 61999\n")
    secret = site.mail / "root"
    secret.mkdir()
    secret.chmod(0o777)
    mark = proxy.mark()
    with take_requests(proxy) as requests:
        assert attack(requests, request(f"maildir:{secret}/Maildir",
                                        **values)) == b""
    proxy.wait_log("delivery: user anna has", mark)
    assert list(secret.iterdir()) == []
    with proxy.session() as client:
        assert send(client, "anna@example.org") == [250]


@as_root
def test_the_worker_gets_no_further_than_the_user(site):
    proxy = site.start()
    secret = site.mail / "root"
    secret.mkdir(mode=0o770)
    secret.chmod(0o770)
    with take_requests(proxy) as requests:
        answer = attack(requests, request(
            f"maildir:{secret}/Maildir", groups="root", groups_user="root"))
        assert b"Permission denied" in answer
        answer = attack(requests, request(
            f"maildir:{site.home('ben')}/Maildir"))
        assert b"Permission denied" in answer
        answer = attack(requests, request(
            f"maildir:{site.home('anna')}/../../../x/Maildir"))
        assert answer[0] != 0
    assert list(secret.iterdir()) == site.files("ben") == []


@as_root
@pytest.mark.parametrize("packet", [
    b"x", b"\1" * 100, request("maildir:/x")[:-1], request("maildir:/x") + b"x",
    request("maildir:/x", size=2**63),
    request("maildir:/x", rules=[("quota", "maildir:U")]),
    request("maildir:/x", rules=[("quota_warning", "bytes=1 exec:/bin/sh")])])
def test_the_worker_talks_nonsense(site, packet):
    proxy = site.start()
    mark = proxy.mark()
    with take_requests(proxy) as requests:
        assert attack(requests, packet) == b""
    proxy.wait_log("made a malformed request, killing it", mark)
    proxy.wait_log("is ready", mark)
    with proxy.session() as client:
        assert send(client, "anna@example.org") == [250]


@as_root
@pytest.mark.parametrize("count", [0, 1, 3, 64, 200])
def test_the_worker_passes_the_wrong_number_of_descriptors(site, count):
    proxy = site.start()
    mark = proxy.mark()
    null = os.open("/dev/null", os.O_RDWR)
    with take_requests(proxy) as requests:
        packet = request(f"maildir:{site.home('anna')}/Maildir")
        if count == 0:
            requests.send(packet)
        else:
            socket.send_fds(requests, [packet], [null] * count)
    os.close(null)
    proxy.wait_log("made a malformed request, killing it", mark)
    proxy.wait_log("is ready", mark)
    with proxy.session() as client:
        assert send(client, "anna@example.org") == [250]
    assert len(site.files("anna")) == 1


@as_root
def test_the_worker_passes_descriptors_of_every_kind(site):
    proxy = site.start()
    packet = request(f"maildir:{site.home('anna')}/Maildir")
    kinds = [os.open("/dev/zero", os.O_RDWR), os.open("/", os.O_RDONLY),
             os.open("/etc/passwd", os.O_RDONLY), os.eventfd(0),
             os.open("/", os.O_PATH), *os.pipe(),
             *(end.detach() for end in socket.socketpair())]
    with take_requests(proxy) as requests:
        for fd in kinds:
            if not os.path.isfile(f"/proc/self/fd/{fd}"):
                answer = attack_with_message(requests, packet, fd)
                assert b"is not the message" in answer
            socket.send_fds(requests, [packet], [fd, fd])
    for fd in kinds:
        os.close(fd)
    with proxy.session() as client:
        assert send(client, "anna@example.org") == [250]
    proxy.wait_log("sent from=")
    assert "killing" not in proxy.log


def attack_with_message(requests, packet, fd):
    ours, theirs = link()
    socket.send_fds(requests, [packet], [theirs, fd])
    os.close(theirs)
    answer = os.read(ours, 4096)
    os.close(ours)
    return answer


@as_root
def test_the_worker_hangs_up(site):
    proxy = site.start()
    mark = proxy.mark()
    with take_requests(proxy) as requests:
        requests.shutdown(socket.SHUT_WR)
    with proxy.session() as client:
        assert send(client, "anna@example.org") == [451]
        worker, = children(proxy, "worker")
        os.kill(worker, signal.SIGKILL)
    proxy.wait_log("is ready", mark)
    with proxy.session() as client:
        assert send(client, "anna@example.org") == [250]


@as_root
def test_the_worker_floods(site):
    proxy = site.start("lmtp_max_deliveries = 3\n")
    packet = request(f"maildir:{site.home('anna')}/Maildir")
    most, links, answers = 0, [], []
    with take_requests(proxy) as requests, \
            message_and_link() as (message, _, _):
        for _ in range(200):
            ours, theirs = link()
            socket.send_fds(requests, [packet], [theirs, message])
            os.close(theirs)
            links.append(ours)
            most = max(most, len(children(proxy, "delivery")))
        for ours in links:
            answers.append(os.read(ours, 4096))
            os.close(ours)
    assert most <= 3
    assert all(b"msgid=unspecified: saved mail to INBOX" in answer and
               answer.count(b"/Maildir/new/") == 1 for answer in answers)
    assert len(site.files("anna")) == 200
    with proxy.session() as client:
        assert send(client, "ben@example.org") == [250]


@as_root
def test_the_worker_cannot_have_mail_linked_that_is_not_the_message(site):
    """Nor anything else that the user has."""
    site.make_home("carl", 61001)
    site.start(users={"anna": 61001, "carl": 61001})
    secret = site.home("anna") / "secret"
    secret.write_bytes(b"hell0")
    other = site.home("anna") / "same"
    other.write_bytes(b"hello")
    link = site.home("anna") / "link"
    link.symlink_to(other)
    fifo = site.home("anna") / "fifo"
    os.mkfifo(fifo)
    for path in (secret, other, fifo):
        os.chown(path, 61001, 61001)
        path.chmod(0o600)
    linked = []
    with take_requests(site.proxy) as requests:
        for path in (secret, link, fifo, site.home("anna"), "/etc/shadow",
                     other):
            answer = attack(requests, request(
                f"maildir:{site.home('carl')}/Maildir", copy=str(path)))
            assert answer[0] == 0
            linked.append(answer[-1])
    assert linked == [0, 0, 0, 0, 0, 1]
    assert site.texts("carl") == [b"hello"] * 6
    assert (secret.stat().st_nlink, other.stat().st_nlink) == (1, 2)


def test_an_empty_packet(site):
    """The worker process is replaced, and an error says why."""
    proxy = site.start()
    mark = proxy.mark()
    with take_requests(proxy) as requests:
        requests.send(b"")
        proxy.wait_log("delivery: empty packet", mark)
    proxy.wait_log("made a malformed request, killing it", mark)
    proxy.wait_log("is ready", mark)
    with proxy.session() as client:
        assert send(client, "anna@example.org") == [250]
