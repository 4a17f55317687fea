"""Quota of mail that is delivered here, beside a Dovecot with the same settings."""
import re

import pytest

from lmtp_client import Client
from processes import gone
from waiting import wait_until
from waypost import IS_ROOT

pytestmark = pytest.mark.needs("dovecot")

USER = "joe@example.org"
QUOTA = ("quota", "maildir:User quota")
PLUGIN = "plugin {{\n{settings}}}\n"
OVER = f"552 5.2.2 <{USER}> Quota exceeded (mailbox for user is full)"


def plugin(settings):
    return PLUGIN.format(settings="".join(
        f" {name} = {value}\n" for name, value in settings))


class Site:
    """A waypost that saves into the Maildirs of a Dovecot."""

    def __init__(self, dovecot, instance):
        self.make_dovecot = dovecot
        self.dovecot = None
        self.proxy = instance(as_root=IS_ROOT)

    def start(self, *settings, extra="", fields="", theirs=None):
        """settings: names and values as in plugin { }, which theirs overrides for
        Dovecot; fields: more of the userdb's."""
        settings = (QUOTA, *settings)
        self.dovecot = self.make_dovecot(
            extra="mail_plugins = quota\n" + plugin(theirs or settings))
        self.proxy.start(self.config(settings, extra, fields))
        return self.proxy

    def config(self, settings, extra="", fields=""):
        owner = self.dovecot.owner
        return ("lmtp_proxy = no\nmail_location = maildir:~/Maildir\n"
                "lda_mailbox_autocreate = yes\n"
                "lmtp_save_to_detail_mailbox = yes\n"
                "userdb {\n driver = static\n args = allow_all_users=yes "
                f"uid={owner.pw_uid} gid={owner.pw_gid} "
                f"home={self.dovecot.dir}/home/%u {fields}\n}}\n"
                + plugin(settings) + extra)

    def send(self, size=1000, rcpt=USER, address=None):
        """The reply to a mail of about that size."""
        with Client(address) if address else self.proxy.connect() as client:
            assert client.lhlo() == 250
            reply, = client.deliver(rcpt, b"Subject: x\r\n\r\n" +
                                    b"%.98d\r\n" % 0 * (size // 100))
        return reply

    def maildir(self):
        return self.dovecot.dir / "home" / USER / "Maildir"

    def count(self, folder=""):
        return len(self.dovecot.mails(USER, folder))

    def truth(self):
        """KiB and number of all that is there."""
        sizes = [path.stat().st_size
                 for path in self.maildir().rglob("*,S=*")]
        return (sum(sizes) + 1023) // 1024, len(sizes)

    def theirs(self):
        """The same, as Dovecot knows it from our maildirsize."""
        table = self.dovecot.doveadm("-f", "tab", "quota", "get", "-u", USER)
        rows = [line.split("\t") for line in table.decode().splitlines()[1:]]
        return tuple(int(row[2]) for row in rows)

    def expect_agreement(self):
        before = (self.maildir() / "maildirsize").read_bytes()
        assert self.theirs() == self.truth()
        assert (self.maildir() / "maildirsize").read_bytes() == before


@pytest.fixture
def site(dovecot, instance):
    """A site that is not started yet."""
    return Site(dovecot, instance)


# --- limits ---


def test_bytes(site):
    proxy = site.start(("quota_rule", "*:storage=10"), ("quota_grace", "0"))
    assert site.send(6000) == 250
    assert site.send(6000) == OVER
    proxy.wait_log(r'quota "User quota" is exceeded: 6\d\d\d of 10240 bytes')
    assert site.send(1000) == 250
    assert site.count() == 2
    site.expect_agreement()
    # Who reads the mail makes room.
    site.dovecot.doveadm("expunge", "-u", USER, "mailbox", "INBOX", "all")
    assert site.send(6000) == 250
    site.expect_agreement()


@pytest.mark.parametrize("location, rcpt", [
    ("maildir:~/Maildir", f"joe+a@{USER.partition('@')[2]}"),
    ("maildir:~/Maildir:INBOX=~/in/box", USER),
    ("maildir:~/Maildir:INBOX=~/Maildir/.INBOX", USER),
    ("maildir:~/Maildir:LAYOUT=fs", f"joe+a@{USER.partition('@')[2]}"),
    ("maildir:~/Maildir:CONTROL=~/control/of/mail", USER)])
def test_the_first_mails_of_all(site, location, rcpt):
    """What they are counted in may have to be made."""
    proxy = site.start(("quota_rule", "*:messages=2"),
                       extra=f"mail_location = {location}\n")
    assert [site.send(rcpt=rcpt).code for _ in range(3)] == [250, 250, 552]
    path, = (site.dovecot.dir / "home" / USER).rglob("maildirsize")
    assert path.parent.name == ("mail" if "CONTROL" in location else "Maildir")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    limit, *lines = path.read_text().splitlines()
    assert limit == "2C"
    assert sum(int(line.split()[1]) for line in lines) == 2
    assert "maildirsize: " not in proxy.log


def test_mail_in_an_mbox(site):
    """There is no maildirsize: as in Dovecot, nothing is counted, and that is said."""
    proxy = site.start(("quota_rule", "*:messages=1"),
                       extra="mail_location = mbox:~/mail\n"
                       "lmtp_rcpt_check_quota = yes\n")
    for _ in range(2):
        mark = proxy.mark()
        assert site.send() == 250
        proxy.wait_log("quota 'User quota' counts nothing", mark)
    inbox = site.dovecot.dir / "home" / USER / "mail" / "inbox"
    assert inbox.read_bytes().count(b"\nSubject: x\n") == 2


def test_messages(site):
    site.start(("quota_rule", "*:messages=2"))
    assert [site.send().code for _ in range(3)] == [250, 250, 552]
    assert site.count() == 2
    site.expect_agreement()


def test_other_users_have_their_own(site):
    site.start(("quota_rule", "*:messages=1"))
    assert site.send() == 250
    with site.proxy.session() as client:
        assert client.mail() == 250
        for rcpt in ("ann@example.org", USER, "ben@example.org"):
            assert client.rcpt(rcpt) == 250
        replies = client.data(b"Subject: x\r\n\r\n", 3)
    assert replies == [250, 552, 250]
    assert site.count() == 1


def test_reply_of_a_full_mailbox(site):
    site.start(("quota_rule", "*:messages=1"),
               ("quota_exceeded_message", "100%% of %n's room is used"),
               extra="quota_full_tempfail = yes\n")
    assert site.send() == 250
    assert site.send() == f"452 4.2.2 <{USER}> 100% of joe's room is used"


@pytest.mark.parametrize("grace, codes", [
    ("10%%", [250, 250, 552]), ("3k", [250, 250, 552]),
    ("500", [250, 552, 552]), ("0", [250, 552, 552])])
def test_grace(site, grace, codes):
    """One last mail that ends a little behind the limit."""
    site.start(("quota_rule", "*:storage=20"), ("quota_grace", grace))
    sizes = (10000, 11000, 11000)
    assert [site.send(size).code for size in sizes] == codes
    site.expect_agreement()


def test_too_large_a_mail_waits(site):
    proxy = site.start(("quota_max_mail_size", "5k"))
    assert site.send(6000) == f"451 4.2.0 <{USER}> "
    proxy.wait_log("quota_max_mail_size is 5120")
    assert site.send(4000) == 250
    assert site.count() == 1
    assert site.send(6000, address=site.dovecot.address).code == 451


def test_noenforcing(site):
    site.start(("quota", "maildir:User quota:noenforcing"),
               ("quota_rule", "*:messages=1"))
    assert [site.send().code for _ in range(3)] == [250] * 3
    site.expect_agreement()
    assert site.theirs()[1] == 3


# --- rules ---


def test_a_mailbox_that_may_take_more(site):
    site.start(("quota_rule", "*:messages=2"),
               ("quota_rule2", "lists:messages=+1"))
    detail = "joe+lists@example.org"
    assert [site.send().code for _ in range(3)] == [250, 250, 552]
    assert site.send(rcpt=detail) == 250
    assert site.send(rcpt=detail) == 552
    assert (site.count(), site.count(".lists")) == (2, 1)
    site.expect_agreement()


def test_a_mailbox_that_does_not_count(site):
    site.start(("quota_rule", "*:messages=1"), ("quota_rule2", "lists:ignore"))
    assert site.send() == 250
    assert site.send(rcpt="joe+lists@example.org") == 250
    assert site.count(".lists") == 1
    assert site.theirs()[1] == 1


@pytest.mark.parametrize("dovecots", [False, True])
def test_mail_for_a_full_mailbox_comes_to_inbox(site, dovecots):
    """As Dovecot has it: what a rule takes away from one is INBOX's."""
    site.start(("quota_rule", "*:messages=3"),
               ("quota_rule2", "lists:messages=-2"))
    address = site.dovecot.address if dovecots else None
    codes = [site.send(rcpt="joe+lists@example.org", address=address).code
             for _ in range(4)]
    assert codes == [250, 250, 250, 552]
    assert (site.count(), site.count(".lists")) == (2, 1)


def test_a_rule_of_the_userdb(site):
    limit = (QUOTA, ("quota_rule", "*:messages=3"))
    site.start(("quota_rule", "*:messages=1"), theirs=limit,
               fields="quota_rule=*:messages=3")
    assert [site.send().code for _ in range(4)] == [250, 250, 250, 552]
    site.expect_agreement()


def test_a_rule_of_the_userdb_that_is_none(site):
    proxy = site.start(("quota_rule", "*:messages=1"),
                       fields="quota_rule=*:messages=many")
    assert site.send() == 451
    proxy.wait_log('quota_rule: .*many')
    assert site.count() == 0


def test_nobody_knows_how_much_there_is(site):
    proxy = site.start(("quota_rule", "*:messages=1"))
    assert site.send() == 250
    (site.maildir() / "maildirsize").unlink()
    (site.maildir() / "maildirsize").mkdir()
    assert [site.send().code for _ in range(2)] == [250, 250]
    proxy.wait_log("sent .*maildirsize is no file: remove it", count=2)
    assert site.count() == 3


# --- RCPT ---


def test_recipients_are_checked(site):
    proxy = site.start(("quota_rule", "*:messages=1"),
                       extra="lmtp_rcpt_check_quota = yes\n")
    assert site.send() == 250
    with proxy.session() as client:
        assert client.mail() == 250
        assert client.rcpt(USER) == OVER
        assert client.rcpt("joe+lists@example.org").code == 552
        assert client.rcpt("ann@example.org") == 250
        assert client.data(b"Subject: x\r\n\r\n", 1) == [250]
    assert len(site.dovecot.mails("ann@example.org")) == 1
    site.expect_agreement()


def test_recipients_are_checked_when_pipelined(site):
    proxy = site.start(("quota_rule", "*:messages=1"),
                       extra="lmtp_rcpt_check_quota = yes\n"
                             "quota_full_tempfail = yes\n")
    assert site.send() == 250
    with proxy.session() as client:
        client.send(f"MAIL FROM:<s@example.net>\r\nRCPT TO:<{USER}>\r\n"
                    "RCPT TO:<ann@example.org>\r\nDATA\r\n")
        assert [reply.code for reply in client.replies(4)] == \
            [250, 452, 250, 354]
        client.send("Subject: x\r\n\r\n.\r\n")
        assert client.reply() == 250


def test_passed_on_recipients_are_not_checked(site, backend):
    site.dovecot = site.make_dovecot()
    settings = (QUOTA, ("quota_rule", "*:messages=1"))
    config = site.config(settings, extra="lmtp_rcpt_check_quota = yes\n"
                         "passdb {\n driver = static\n args = proxy=y "
                         f"host={backend.host} port={backend.port} "
                         "nopassword=y\n}\n")
    site.proxy.start(config.replace("lmtp_proxy = no", "lmtp_proxy = yes"))
    for _ in range(2):
        assert site.send() == 250
    assert len(backend.wait_messages(2)) == 2
    assert not site.maildir().exists()


# --- warnings ---


@pytest.fixture
def script(site, directory):
    """A program that writes down how it is called, into the user's home."""
    def make(body='echo "$0 $* $USER $(id -u)" >>"$HOME/calls"\n'):
        path = directory / "warn"
        path.write_text("#!/bin/sh\n" + body)
        path.chmod(0o755)
        for parent in (directory, *directory.parents):
            if not parent.stat().st_mode & 0o001:
                parent.chmod(parent.stat().st_mode | 0o011)
        return path
    return make


def calls(site):
    path = site.dovecot.dir / "home" / USER / "calls"
    return path.read_text().splitlines() if path.exists() else []


def test_warnings(site, script):
    path = script()
    site.start(("quota_rule", "*:messages=4"),
               ("quota_warning", f"messages=100%% exec:{path} full  %u"),
               ("quota_warning2", f"messages=50%% exec:{path} half %n"))
    uid = site.dovecot.owner.pw_uid
    half = f"{path} half joe {USER} {uid}"
    full = f"{path} full {USER} {USER} {uid}"
    assert site.send() == 250
    assert site.send() == 250
    wait_until(lambda: calls(site) == [half], "the first warning")
    assert site.send() == 250
    assert site.send() == 250
    wait_until(lambda: calls(site) == [half, full], "the second warning")
    assert site.send() == 552
    assert calls(site) == [half, full]
    site.expect_agreement()


def test_a_warning_does_not_hold_up_the_reply(site, script):
    path = script('echo $$ >"$HOME/calls"\nexec sleep 1000\n')
    site.start(("quota_rule", "*:messages=4"),
               ("quota_warning", f"messages=25%% exec:{path}"),
               extra="lmtp_delivery_timeout = 3 s\n")
    assert site.send() == 250
    wait_until(lambda: calls(site), "the warning")
    assert site.send() == 250
    pid, = calls(site)
    gone(pid)
    assert site.send() == 250


def test_a_warning_that_cannot_be_run(site):
    proxy = site.start(("quota_rule", "*:messages=4"),
                       ("quota_warning", "messages=25%% exec:/nope/nope x"))
    assert site.send() == 250
    proxy.wait_log("quota_warning: cannot run /nope/nope: No such file")
    assert site.count() == 1


def test_a_warning_of_dovecots_services(site):
    proxy = site.start(("quota_rule", "*:messages=4"),
                       ("quota_warning", "messages=25%% quota-warning 25 %u"))
    advice = r"[\"']quota-warning 25 .*write the program as exec:/PATH"
    proxy.wait_log("quota_warning: " + advice)
    assert site.send() == 250
    proxy.wait_log("sent .*" + advice)


def test_a_user_cannot_add_arguments(site, script):
    path = script()
    proxy = site.start(("quota_rule", "*:messages=4"),
                       ("quota_warning", f"messages=25%% exec:{path} %u"),
                       extra="auth_username_chars =\n")
    with proxy.session() as client:
        assert client.mail() == 250
        assert client.rcpt('"joe x"@example.org') == 250
        assert client.data(b"Subject: x\r\n\r\n", 1) == [451]
    proxy.wait_log("quota_warning: .*a variable's value has a blank")


# --- settings ---


def test_all_of_it_has_an_effect(site):
    site.dovecot = site.make_dovecot()
    settings = (QUOTA, ("quota_rule", "*:storage=1G"),
                ("quota_rule2", "Trash:storage=+10%%"), ("sieve", "~/x"),
                ("quota_max_mail_size", "1M"), ("quota_vsizes", "yes"))
    site.proxy.write_config(site.config(settings))
    result = site.proxy.run("-n")
    assert result.returncode == 0, result.stderr
    effect, _, without = result.stdout.partition("# accepted, without effect")
    for name, value in settings[:3]:
        assert f"  {name} = {value}\n" in effect
    assert without.count("plugin / ") == 2
    assert "sieve" in without and "quota_vsizes" in without


def test_settings_of_protocol_lmtp_count(site):
    site.start(("quota_rule", "*:messages=9"),
               extra="protocol lmtp {\n plugin {\n quota_rule = *:messages=1\n"
                     " }\n}\n")
    assert [site.send().code for _ in range(2)] == [250, 552]


def test_roots_of_namespaces(site):
    """What the documentation of Dovecot has for a namespace beside that of INBOX."""
    settings = (("quota", "maildir:User quota:ns="),
                ("quota_rule", "*:messages=2"),
                ("quota2", "maildir:Shared quota:ns=Public/"),
                ("quota2_rule", "*:messages=1"))
    namespaces = ("namespace inbox {\n inbox = yes\n separator = /\n}\n"
                  "namespace public {\n type = public\n prefix = Public/\n"
                  " separator = /\n location = maildir:~/public\n}\n")
    site.dovecot = site.make_dovecot(
        extra="mail_plugins = quota\n" + namespaces + plugin(settings))
    proxy = site.proxy.start(site.config(settings, namespaces))
    assert re.search(r"warning: quota2: has no effect: .* prefix is \"\"",
                     proxy.log)
    assert [site.send().code for _ in range(3)] == [250, 250, 552]
    assert site.send(address=site.dovecot.address) == 552
    assert site.theirs()[:2] == site.truth()


def test_a_backend_of_dovecots_own(site):
    site.dovecot = site.make_dovecot()
    config = site.config((("quota", "count:User quota"),), extra="passdb {\n"
                         " driver = static\n args = proxy host=127.0.0.1\n}\n")
    site.proxy.write_config(config)
    result = site.proxy.run("-t")
    assert result.returncode != 0
    assert "the backend count needs Dovecot's own delivery" in result.stderr
    # A proxy alone may share such settings.
    site.proxy.write_config(config.replace("mail_location", "#mail_location")
                            .replace("lmtp_proxy = no", "lmtp_proxy = yes"))
    result = site.proxy.run("-t")
    assert result.returncode == 0, result.stderr
