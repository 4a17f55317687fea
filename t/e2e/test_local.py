"""Local delivery: mail saved by processes that are the user."""
import grp
import os
import pwd
import re
import subprocess

import pytest

from control import Control
from lmtp_client import dot_stuff
from local_site import (BODY, UIDS, as_root, children, crew_of,  # noqa: F401
                        plain_site, send, site, uids_of, wait_for_crew)
from scripted_backend import hold, reset
from waiting import wait_until
from waypost import IS_ROOT


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
        client.start_data(*(f"{name}@example.org"
                            for name in ("anna", "far", "ben")))
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


def test_several_backends_of_which_some_fail(site, backend, backends):
    """Each recipient has the fate of his own: one server dies in the middle of the
    message, one refuses it, one takes it, one mailbox is none, and others are fine."""
    dead, strict = backends(), backends()
    fars = {"far": backend, "dead": dead, "strict": strict}
    dead.on("body", reset)
    strict.on("dot", "552 5.2.3 too large for me")
    lines = "".join(f"{name}@example.org:::::::proxy host={server.host} "
                    f"port={server.port}\n" for name, server in fars.items()
                    if name != "far")
    (site.home("ben") / "Maildir").write_text("no directory")
    proxy = site.start(passdb=lines)
    names = ["dead", "anna", "far", "ben", "strict", "anna+x", "dead", "far"]
    body = b"Subject: big\r\n\r\n" + b"%.98d\r\n" % 0 * 20000
    with proxy.session() as client:
        replies = send(client, *(f"{name}@example.org" for name in names), body=body)
        assert [reply.code for reply in replies] == \
            [451, 250, 250, 451, 552, 250, 451, 250]
        for name, reply in zip(names, replies):
            assert f"<{name}@example.org>" in reply.lines[0]
        assert replies[4].lines[0].startswith("5.2.3 ")
        assert send(client, "anna@example.org", "far@example.org") == [250, 250]
    texts = site.texts("anna")
    assert [text.endswith(body.replace(b"\r\n", b"\n")) for text in texts] == \
        [True, True, False]
    first, _ = backend.wait_messages(2)
    assert first.text.endswith(body)
    assert len(first.rcpts) == 2


def test_a_backend_that_fails_fails_its_own(site, backend):
    proxy = site.start()
    backend.on("dot", "554 5.0.0 no")
    with proxy.session() as client:
        assert send(client, "far@example.org", "anna@example.org") == [554, 250]
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


@as_root
def test_into_mboxes_of_the_system(site):
    """Where only a group may make files."""
    spool = site.mail / "spool"
    spool.mkdir()
    group = grp.getgrnam("mail").gr_gid
    os.chown(spool, 0, group)
    spool.chmod(0o2775)
    location = f"mail_location = mbox:~/mail:INBOX={spool}/%n\n"
    proxy = site.start(location)
    with proxy.session() as client:
        assert send(client, "anna@example.org") == [451]
    proxy.reload(site.config(location + "mail_privileged_group = mail\n"
                             "first_valid_gid = 1000\n"))
    with proxy.session() as client:
        assert send(client, "anna@example.org", "ben@example.org") == [250, 250]
        assert send(client, "anna@example.org") == [250]
    assert {path.name: (path.stat().st_uid, path.stat().st_gid,
                        path.stat().st_mode & 0o7777,
                        path.read_bytes().count(b"\nhello\n"))
            for path in spool.iterdir()} == {
        "anna": (UIDS["anna"], group, 0o600, 2),
        "ben": (UIDS["ben"], group, 0o600, 1)}


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
    site.proxy.prefix = [*site.proxy.prefix, "prlimit", "--fsize=4000000"]
    proxy = site.proxy.start(config)
    worker, = children(proxy, "worker")
    inbox = site.home("anna") / "inbox"
    full = b"From a@example.net\n\n" + b"123456789\n" * 399500 + b"\n"
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
def test_the_user_of_service_lmtp_has_the_same_processes(site):
    """As with mail_uid: they are nobody else, and save one mail after the other."""
    for name in UIDS:
        site.home(name).chmod(0o777)
    text = "".join(f"{name}@example.org:::::::userdb_home={site.home(name)}\n"
                   for name in UIDS)
    proxy = site.proxy.start(site.config("service lmtp {\n user = nobody\n}\n",
                                         passdb=text, users={}))
    nobody = pwd.getpwnam("nobody").pw_uid
    # Their title comes before they are the user, and that before they wait.
    wait_until(lambda: [uids_of(pid) for pid in wait_for_crew(proxy)] ==
               [(str(nobody),) * 3] * 4, "them to be nobody")
    crew, before = crew_of(proxy), set(children(proxy, "delivery"))
    with proxy.session() as client:
        assert send(client, "anna@example.org", "ben@example.org") == [250, 250]
    assert site.files("ben")[0].stat().st_uid == nobody
    after = set(children(proxy, "delivery"))
    # Whoever has died has died somehow: the log does not have all ways.
    ended = re.findall(r"^waypost_delivery_processes_.*$",
                       Control(proxy).request("/metrics")[1], re.M)
    assert (crew_of(proxy), before - after) == (crew, set()), ended


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
    wait_until(lambda: {uids_of(pid) for pid in wait_for_crew(proxy)} ==
               {("61001",) * 3}, "them all to be that user")
    assert site.files("ben")[0].stat().st_uid == 61001
