"""Mail for users of each userdb driver: it is there, theirs alone, and where the userdb
says; with each of its fields."""
import contextlib
import grp
import os
import pathlib
import pwd
import shutil

import pytest

from lmtp_client import Client
from slapd import PEOPLE, ldif
from sql_stores import Rqlite
from test_http_sql import stores  # noqa: F401
from test_ldap import ldap_conf, slapd  # noqa: F401
from waypost import IS_ROOT

pytestmark = pytest.mark.needs_root
JOE, UID, GID = "joe@example.org", 61001, 61002
BODY = b"Subject: hi\r\n\r\nhello\r\n"
LOCAL = "passdb {\n driver = static\n args = nopassword=y\n}\n"
LOCATION = "mail_location = maildir:~/Maildir\n"
NIS = "include /etc/ldap/schema/nis.schema"


class Site:
    """One user, whose home is there."""

    def __init__(self, instance):
        self.proxy = instance(as_root=IS_ROOT)
        self.home = self.make_home("home/joe", UID, GID)

    def make_home(self, name, uid, gid):
        home = self.proxy.dir / name
        home.mkdir(parents=True)
        os.chown(home, uid, gid)
        return home

    def start(self, userdb, extra="", passdb=LOCAL, location=LOCATION):
        self.proxy.start(passdb + location + userdb + extra)

    def file(self, name, text):
        return self.proxy.write_file(name, text)

    def deliver(self, address=JOE):
        with Client(self.proxy.address) as client:
            client.lhlo("client.example")
            assert client.mail() == 250
            reply = client.rcpt(address)
            if reply != 250:
                return reply
            return client.data(BODY, 1)[0]

    def expect(self, path=None, uid=UID, gid=GID):
        """One mail, below that Maildir."""
        mail, = pathlib.Path(path or self.home / "Maildir").glob("new/*")
        info = mail.stat()
        assert (info.st_uid, info.st_gid, info.st_mode & 0o777) == (uid, gid, 0o600)
        assert mail.read_bytes().endswith(b"\nSubject: hi\n\nhello\n")
        assert b"Delivered-To: joe" in mail.read_bytes()


@pytest.fixture
def site(instance):
    return Site(instance)


def userdb(driver, args="", more=""):
    return f"userdb {{\n driver = {driver}\n args = {args}\n {more}\n}}\n"


def test_static(site):
    site.start(userdb("static", f"uid={UID} gid={GID} home={site.home}"))
    assert site.deliver() == 250
    site.expect()


def test_passwd_file(site):
    path = site.file("users", f"{JOE}::{UID}:{GID}::{site.home}::\n")
    site.start(userdb("passwd-file", path))
    assert site.deliver() == 250
    site.expect()
    assert site.deliver("jane@example.org").code == 550


def test_prefetch(site):
    path = site.file("users", f"{JOE}:x::::::userdb_uid={UID} userdb_gid={GID} "
                     f"userdb_home={site.home}\n")
    site.start(userdb("prefetch"), passdb="passdb {\n driver = passwd-file\n"
               f" args = {path}\n}}\n")
    assert site.deliver() == 250
    site.expect()


def test_users_of_the_system(site):
    """games: it is in no group that could change anything."""
    user = pwd.getpwnam("games")
    home = site.make_home("home/games", user.pw_uid, user.pw_gid)
    site.start(userdb("passwd", "", f"override_fields = home={home}"),
               "auth_username_format = %Ln\nfirst_valid_uid = 1\n")
    assert site.deliver("games@example.org") == 250
    mail, = (home / "Maildir/new").iterdir()
    assert (mail.stat().st_uid, mail.stat().st_gid) == (user.pw_uid, user.pw_gid)
    assert site.deliver("no-such-user@example.org").code == 550
    assert site.deliver("root@example.org").code == 451


@pytest.mark.needs("slapd", "slapadd")
def test_ldap(slapd, site):
    server = slapd(ldif(f"uid=joe,{PEOPLE}", uid="joe", cn="joe", mail=JOE,
                        objectClass=["account", "extensibleObject"],
                        uidNumber=str(UID), gidNumber=str(GID),
                        homeDirectory=str(site.home), description="*:messages=1"),
                   extra=NIS)
    path = site.file("ldap", ldap_conf(server, attrs="cn=x", extra=(
        "user_filter = (&(objectClass=account)(mail=%u))\n"
        "user_attrs = homeDirectory=home,uidNumber=uid,gidNumber=gid,"
        "description=quota_rule\n")))
    site.start(userdb("ldap", path), "plugin {\n quota = maildir:U\n}\n")
    assert site.deliver() == 250
    site.expect()
    assert site.deliver().lines[0].startswith("5.2.2 ")
    assert site.deliver("jane@example.org").code == 550
    server.stop()
    assert site.deliver("ann@example.org").code == 451


def test_http_sql(stores, site):
    store = stores(Rqlite)
    store.db.execute("CREATE TABLE users (userid, uid, gid, home)")
    store.db.execute("INSERT INTO users VALUES (?, ?, ?, ?)",
                     ("joe", UID, GID, str(site.home)))
    path = site.file("sql", store.config(
        "user_query = SELECT home, uid, gid FROM users WHERE userid = '%n'\n"))
    site.start(userdb("http-sql", path))
    assert site.deliver() == 250
    site.expect()
    assert site.deliver("jane@example.org").code == 550
    store.stop()
    assert site.deliver("ann@example.org").code == 451


def test_whom_only_the_userdb_knows(site):
    """The passdb has others: one of them without proxy, and nothing of the userdb's."""
    users = site.file("users", f"{JOE}::{UID}:{GID}::{site.home}::\n")
    passdb = site.file("passdb", "ann@example.org:::::::\n"
                       "far@example.org:::::::proxy host=127.0.0.1 port=1\n")
    site.start(userdb("passwd-file", users), passdb="passdb {\n driver = passwd-file\n"
               f" args = {passdb}\n}}\n")
    assert site.deliver() == 250
    site.expect()
    for name, reply in (("ann", "550 5.1.1 "), ("nobody", "550 5.1.1 "),
                        ("far", "451 4.4.0 ")):
        assert site.deliver(f"{name}@example.org") == reply
    site.file("users", f"{JOE}::{UID}:{GID}::{site.home}::\nfar@example.org::"
              f"{UID}:{GID}::{site.home}::\n")
    assert site.deliver("far@example.org").code == 451
    site.expect()


def test_the_first_that_knows_the_user(site):
    first = site.file("first", f"ann@example.org::{UID}:{GID}::/nowhere::\n")
    second = site.file("second", f"{JOE}::{UID}:{GID}::{site.home}::\n")
    site.start(userdb("passwd-file", first) + userdb("passwd-file", second) +
               userdb("static", "allow_all_users=yes uid=1 home=/nowhere"))
    assert site.deliver() == 250
    site.expect()


# --- fields, and the settings in their place ---

def test_mail_and_user(site):
    """The name that the userdb gives is the one that variables have."""
    other = site.make_home("home/other", UID, GID)
    path = site.file("users", f"{JOE}::{UID}:{GID}::{other}::userdb_user=boss@x.example "
                     f"userdb_mail=maildir:{other}/Mail:LAYOUT=fs:INDEX={other}/idx:"
                     f"CONTROL={other}/control\n")
    site.start(userdb("passwd-file", path),
               'deliver_log_format = "for %u: %$"\nlda_mailbox_autocreate = yes\n'
               "lmtp_save_to_detail_mailbox = yes\nlda_mailbox_autosubscribe = yes\n")
    assert site.deliver() == 250
    site.expect(other / "Mail")
    site.proxy.wait_log("for boss@x.example: saved mail to INBOX")
    assert site.deliver("joe+a/b@example.org") == 250
    site.expect(other / "Mail/a/b")
    assert (other / "control/subscriptions").read_text() == "V\t2\n\na\tb\n"
    assert not (other / "Mail/subscriptions").exists()


def test_mail_uid_mail_gid_and_mail_home(site):
    site.start(userdb("static", "allow_all_users=yes"),
               f"mail_uid = {UID}\nmail_gid = {GID}\n"
               f"mail_home = {site.home.parent}/%n\n")
    assert site.deliver() == 250
    site.expect()


@pytest.mark.parametrize("group", [None, "games"])
def test_the_user_of_service_lmtp(site, group):
    """Where nobody else says whose the mail is."""
    nobody = pwd.getpwnam("nobody")
    gid = pwd.getpwnam("games").pw_gid if group else nobody.pw_gid
    os.chown(site.home, nobody.pw_uid, gid)
    path = site.file("users", f"{JOE}:::::{site.home}::\n"
                     f"ann@example.org::{UID}:{GID}::{site.proxy.dir}/home/ann::\n")
    ann = site.make_home("home/ann", UID, GID)
    site.start(userdb("passwd-file", path),
               "service lmtp {\n user = nobody\n" +
               (f" group = {group}\n" if group else "") + "}\n")
    assert site.deliver() == 250
    site.expect(uid=nobody.pw_uid, gid=gid)
    assert site.deliver("ann@example.org") == 451
    site.proxy.wait_log("see mail_uid, mail_gid and service lmtp { user }")
    assert not (ann / "Maildir").exists()


def test_without_a_uid_nobody_is_delivered_to(site):
    path = site.file("users", f"{JOE}:::::{site.home}::\n")
    site.start(userdb("passwd-file", path))
    assert site.deliver().code == 451
    site.proxy.wait_log("the userdb names no uid, and mail_uid is not set")


@pytest.mark.parametrize("how", ["field", "home"])
def test_chroot(site, how):
    """Paths are below it; what is outside of it cannot be reached by a link."""
    root = site.home.parent
    outside = site.make_home("outside", UID, GID)
    ends = {"field": f"/joe::chroot={root}", "home": f"{root}/./joe::"}[how]
    ends = ends.replace("::chroot", "::userdb_chroot")
    path = site.file("users", f"{JOE}::{UID}:{GID}::{ends}\n")
    site.start(userdb("passwd-file", path), f"valid_chroot_dirs = {root}\n")
    assert site.deliver() == 250
    site.expect()
    shutil.rmtree(site.home / "Maildir")
    (site.home / "Maildir").symlink_to(outside)
    assert site.deliver().code == 451
    assert list(outside.iterdir()) == []


def test_a_chroot_that_is_not_valid(site):
    path = site.file("users", f"{JOE}::{UID}:{GID}::/joe::userdb_chroot="
                     f"{site.home.parent}\n")
    site.start(userdb("passwd-file", path), "valid_chroot_dirs = /srv\n")
    assert site.deliver().code == 451
    site.proxy.wait_log("which is in none of valid_chroot_dirs")
    assert list(site.home.iterdir()) == []


@pytest.mark.parametrize("field, setting", [
    ("userdb_mail_access_groups=games", ""), ("", "mail_access_groups = games\n"),
    ("", "")])
def test_groups(site, field, setting):
    """A Maildir that only a group may write to."""
    gid = pwd.getpwnam("games").pw_gid
    shared = site.proxy.dir / "shared"
    shared.mkdir()
    os.chown(shared, 0, gid)
    shared.chmod(0o2770)
    path = site.file("users", f"{JOE}::{UID}:{GID}::{site.home}::{field} "
                     f"userdb_mail=maildir:{shared}/Maildir\n")
    site.start(userdb("passwd-file", path), setting)
    wanted = 250 if field or setting else 451
    assert site.deliver().code == wanted
    assert len(list(shared.glob("Maildir/new/*"))) == (wanted == 250)


def somebody_in_a_group():
    """A user of the system, and a group that is not the user's own."""
    for group in grp.getgrall():
        for name in group.gr_mem:
            with contextlib.suppress(KeyError):
                if group.gr_gid not in (0, pwd.getpwnam(name).pw_gid):
                    return name, group.gr_gid
    pytest.skip("nobody here is in a second group")


def test_groups_of_somebody(site):
    """system_groups_user brings the further groups of that user, as in Dovecot."""
    name, gid = somebody_in_a_group()
    shared = site.proxy.dir / "shared"
    shared.mkdir()
    os.chown(shared, 0, gid)
    shared.chmod(0o2770)
    lines = "".join(f"{user}::{UID}:{GID}::{site.home}::{field} "
                    f"userdb_mail=maildir:{shared}/Maildir\n" for user, field in (
                        (JOE, f"userdb_system_groups_user={name}"),
                        ("ann@example.org", "")))
    site.start(userdb("passwd-file", site.file("users", lines)))
    assert site.deliver("ann@example.org").code == 451
    assert site.deliver() == 250
    assert len(list(shared.glob("Maildir/new/*"))) == 1


@pytest.mark.parametrize("setting, gid", [
    ("first_valid_gid = 61003", GID), ("last_valid_gid = 61001", GID),
    ("last_valid_uid = 61000", GID), ("first_valid_uid = 61002", GID),
    ("first_valid_gid = 0", 0)])
def test_ids_out_of_range(site, setting, gid):
    path = site.file("users", f"{JOE}::{UID}:{gid}::{site.home}::\n")
    site.start(userdb("passwd-file", path), setting + "\n")
    reply = site.deliver()
    assert reply == f"451 4.3.0 <{JOE}> Temporary internal error"
    site.proxy.wait_log("which is not valid: see (first|last)_valid_|is not valid")
    assert list(site.home.iterdir()) == []
