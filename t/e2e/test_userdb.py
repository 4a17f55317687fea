"""userdb { }: who a recipient is on this machine, as waypost -l shows it."""
import os
import pwd
import re
import subprocess

import pytest

from http_sql import stores  # noqa: F401
from servers import Dovecot, find
from slapd import PEOPLE, ldif
from sql_stores import Rqlite
from test_ldap import ldap_conf, slapd  # noqa: F401
from test_lookup_tool import (JOE, MS, TEMPFAIL, look, passdb,
                              ready)  # noqa: F401
from waiting import TIMEOUT

LOCAL = passdb("static", "nopassword=y")
NIS = "include /etc/ldap/schema/nis.schema"


def userdb(driver, args="", *settings):
    lines = [f"driver = {driver}", f"args = {args}", *settings]
    return "userdb {\n" + "".join(f"  {line}\n" for line in lines) + "}\n"


def found(proxy, address=JOE):
    """The user, and what is known of it."""
    report = look(proxy, address)
    assert report.status == TEMPFAIL  # as long as nobody delivers
    assert report.stderr == ""
    return report.get("user") + report.part("user:")


def failed(proxy, address=JOE):
    """What is said of why nobody can tell."""
    report = look(proxy, address)
    assert report.status == TEMPFAIL
    assert report.get("user") == ["failed"], report.text
    return "\n".join(report.get("note")[:-1])  # the last: no delivery


def test_the_whole_report(ready):
    proxy = ready("recipient_delimiter = +\n" + LOCAL +
                  userdb("passwd-file", "{dir}/nobody") +
                  userdb("passwd-file", "{dir}/users", "name = virtual",
                         "default_fields = uid=5000 gid=5000",
                         "override_fields = nice=5"),
                  "joe@example.org:secret::5001::/srv/joe::userdb_mail="
                  "maildir:%h/Mail/%n userdb_quota_rule=*:storage=1G\n",
                  nobody="jane::5:5::::\n")
    report = look(proxy, "Joe+news@Example.org")
    text = re.sub(MS, "T", report.text)
    text = re.sub(r"waypost\.conf:\d+", "waypost.conf", text)
    assert text.partition("fields:\n")[2] == f"""\
userdb 1: passwd-file, {proxy.config_path}
  asked: file={proxy.dir}/nobody
  asked: user=joe@example.org
  answer: not found, result_failure=continue, T
userdb 2: passwd-file virtual, {proxy.config_path}
  default_fields: uid=5000
  default_fields: gid=5000
  asked: file={proxy.dir}/users
  asked: user=joe@example.org
  said: gid=5001
  said: home=/srv/joe
  said: mail=maildir:/srv/joe/Mail/joe
  said: quota_rule=*:storage=1G
  override_fields: nice=5
  answer: found, result_success=return-ok, T
user: joe@example.org
  uid=5000
  gid=5001
  home=/srv/joe
  mail=maildir:/srv/joe/Mail/joe
  quota_rule=*:storage=1G
  nice=5
route: none
  note: not proxied, and local delivery is not available: the passdb must \
return proxy and host
reply: 451 4.3.5 <Joe+news@Example.org> Local delivery is not available
time: T
"""


def test_proxied_recipients_are_no_users(ready):
    proxy = ready(passdb() + userdb("static", "uid=5"))
    report = look(proxy)
    assert report.get("user") == []
    assert report.get("host") == ["h", "h"]


# --- drivers ---

def test_static(ready):
    proxy = ready(LOCAL + userdb("static", "uid=root gid=0 home=/srv/%d/%n "
                                 "mail=maildir:~/Maildir"))
    assert found(proxy) == [JOE, "uid=0", "gid=0",
                            "home=/srv/example.org/joe",
                            "mail=maildir:~/Maildir"]


def test_users_of_the_system(ready):
    entry = pwd.getpwuid(os.getuid())
    proxy = ready("auth_username_format = %Ln\n" + LOCAL + userdb("passwd"))
    assert found(proxy, f"{entry.pw_name}@example.org") == [
        entry.pw_name, f"uid={entry.pw_uid}", f"gid={entry.pw_gid}",
        f"home={entry.pw_dir}", f"system_groups_user={entry.pw_name}"]
    assert found(proxy, "no-such-user@example.org") == ["none"]


def test_names_that_a_file_brings(ready):
    proxy = ready(LOCAL + userdb("passwd-file", "{dir}/users"),
                  "joe@example.org::root:root::::\n"
                  "bad@example.org::no-such-user:0::::\n"
                  "big@example.org::4294967295:0::::\n"
                  "rel@example.org::5:5::srv::\n")
    assert found(proxy) == [JOE, "uid=0", "gid=0"]
    assert failed(proxy, "bad@example.org") == \
        "field uid: there is no user 'no-such-user'"
    assert failed(proxy, "big@example.org") == \
        "field uid: 4294967295 is too large"
    assert failed(proxy, "rel@example.org") == \
        "field home: 'srv' is not an absolute path"


def test_no_name_leads_out_of_a_directory(ready):
    proxy = ready("auth_username_chars =\n" + LOCAL +
                  userdb("static", "allow_all_users=yes home=/srv/%d/%n"))
    assert "has a '..' in it" in failed(proxy, '".."@example.org')
    assert "has a '..' in it" in failed(proxy, '"../../etc"@example.org')
    assert found(proxy, '"a/b"@example.org')[1:] == ["home=/srv/example.org/a/b"]


def test_prefetch(ready):
    proxy = ready(passdb("passwd-file", "{dir}/users") + userdb("prefetch"),
                  "joe@example.org:::::::user=jim userdb_uid=5 "
                  "userdb_home=/srv/%n\njane@example.org:::::::\n")
    assert found(proxy) == ["jim", "uid=5", "home=/srv/joe"]
    assert failed(proxy, "jane@example.org") == \
        "the passdbs gave no fields userdb_NAME"


def person(name, **attributes):
    return ldif(f"uid={name},{PEOPLE}", uid=name, cn=name,
                objectClass=["account", "extensibleObject"], **attributes)


@pytest.mark.needs("slapd", "slapadd")
def test_ldap(slapd, ready):
    server = slapd(person("joe", mail=JOE, uidNumber="5001",
                          gidNumber="5002", homeDirectory="/srv/joe",
                          description="*:storage=1G") +
                   person("bad", mail="bad@example.org", uidNumber="-5") +
                   person("twin", mail="twin@example.org") +
                   person("twin2", mail="twin@example.org"), extra=NIS)
    filters = "user_filter = (&(objectClass=account)(mail=%u))\n"
    proxy = ready("auth_username_chars =\n" +
                  passdb("ldap", "{dir}/ldap") + LOCAL +
                  userdb("ldap", "{dir}/ldap", "override_fields = nice=1"),
                  ldap=ldap_conf(server, attrs="cn=x", extra=filters))
    assert found(proxy) == [JOE, "uid=5001", "gid=5002", "home=/srv/joe",
                            "nice=1"]
    assert found(proxy, "jane@example.org") == ["none"]
    assert found(proxy, '"*"@example.org') == ["none"]
    assert failed(proxy, "bad@example.org").endswith(
        "field uid: there is no user '-5'")
    assert "more than one entry" in failed(proxy, "twin@example.org")
    proxy.write_file("ldap", ldap_conf(server, attrs="cn=x", extra=filters + (
        "user_attrs = =home=/home/%Ln, =uid=5, description=quota_rule, "
        "=mail=maildir:%{ldap:homeDirectory}\n")))
    assert found(proxy) == [JOE, "uid=5", "home=/home/joe",
                            "mail=maildir:/srv/joe",
                            "quota_rule=*:storage=1G", "nice=1"]
    alone = ready("auth_lookup_timeout = 1 secs\n" + LOCAL +
                  userdb("ldap", "{dir}/ldap"), ldap=ldap_conf(server))
    server.stop()
    assert failed(alone) == "no answer within auth_lookup_timeout"


@pytest.mark.needs("slapd", "slapadd")
def test_ldap_defaults(slapd, ready):
    """user_filter and user_attrs of Dovecot."""
    server = slapd(ldif(f"uid=joe,{PEOPLE}", uid="joe", cn="joe",
                        objectClass=["account", "posixAccount"],
                        uidNumber="5001", gidNumber="5002",
                        homeDirectory="/srv/joe"),
                   extra=NIS)
    proxy = ready("auth_username_format = %Ln\n" + LOCAL +
                  userdb("ldap", "{dir}/ldap"), ldap=ldap_conf(server))
    assert found(proxy) == ["joe", "uid=5001", "gid=5002", "home=/srv/joe"]


def test_http_sql(stores, ready):
    store = stores(Rqlite)
    store.db.execute("CREATE TABLE users (userid, uid, gid, home, mail)")
    store.db.executemany("INSERT INTO users VALUES (?, ?, ?, ?, ?)", [
        ("joe", 5001, "root", "/srv/joe", None),
        ("bad", "frob", 5, "/srv/bad", None)])
    query = ("user_query = SELECT home, uid, gid, mail FROM users "
             "WHERE userid = '%n'\n")
    proxy = ready(LOCAL + userdb("http-sql", "{dir}/sql"),
                  sql=store.config(query))
    assert found(proxy) == [JOE, "uid=5001", "gid=0", "home=/srv/joe"]
    assert found(proxy, "jane@example.org") == ["none"]
    assert failed(proxy, "bad@example.org") == \
        "field uid: there is no user 'frob'"
    store.stop()
    assert store.url in failed(proxy)


# --- the configuration ---

@pytest.mark.parametrize("section, why", [
    (userdb("nope"), "unknown userdb driver nope (there are http-sql, ldap, "
     "passwd, passwd-file, prefetch, static)"),
    (userdb(""), "the userdb has no driver"),
    (userdb("static", "uid=no-such-user"),
     "userdb static: args: uid: there is no user 'no-such-user'"),
    (userdb("static", "home=%{nope}"),
     "userdb static: args: home: unknown variable %{nope}"),
    (userdb("prefetch", "", "override_fields = gid=no-such-group"),
     "userdb prefetch: override_fields: gid: there is no group "
     "'no-such-group'"),
    (userdb("static", "", "skip = authenticated"), "skip: "),
    (userdb("static", "", "deny = yes"), "deny"),
    (userdb("ldap", "/nowhere/at/all"), "/nowhere/at/all"),
    (userdb("http-sql", "{dir}/sql"), "user_query: it is missing"),
    (userdb("ldap", "{dir}/ldap"), "user_filter: "),
])
def test_errors(ready, section, why):
    proxy = ready(LOCAL + section, sql=Rqlite.config(Rqlite, url="http://x"),
                  ldap=ldap_conf("ldap://x", extra="user_filter = (\n"))
    result = proxy.run("-t")
    assert result.returncode != 0
    assert why in result.stderr


def test_drivers_that_there_are_not(ready):
    proxy = ready(LOCAL + userdb("sql", "/etc/dovecot/dovecot-sql.conf.ext"))
    result = proxy.run("-t")
    assert result.returncode == 0
    assert "warning: userdb driver sql is not supported in this version" in \
        result.stderr
    report = look(proxy)
    assert report.get("note")[0] == "this driver is not supported"
    assert report.get("user") == ["failed"]


def test_sections_are_shown(ready):
    proxy = ready(LOCAL + userdb("prefetch", "", "result_failure = return"))
    shown = proxy.run("-n").stdout
    assert "userdb {\n  driver = prefetch\n  result_failure = return\n}" in \
        shown
    assert "without effect" not in shown


def test_protocol_lmtp_comes_first(ready):
    proxy = ready(LOCAL + userdb("static", "uid=5") +
                  "protocol lmtp {\n" + userdb("static", "uid=6") + "}\n")
    assert found(proxy) == [JOE, "uid=6"]


# --- beside Dovecot ---

def dovecot_says(server, name):
    """The name and the fields, "none" or "failed"."""
    result = subprocess.run(
        [find("doveadm"), "-c", str(server.config), "user", "-u", name],
        capture_output=True, text=True, timeout=TIMEOUT)
    if result.returncode == 0:
        pairs = (line.partition(":") for line in
                 result.stdout.splitlines()[1:])
        fields = {key.strip(): value.strip() for key, _, value in pairs
                  if key.strip()}
        return [fields.pop("user")] + sorted(
            f"{key}={value}" if value else key
            for key, value in fields.items())
    return ["none" if "doesn't exist" in result.stderr + result.stdout
            else "failed"]


def waypost_says(proxy, name):
    said = look(proxy, name).get("user")
    if said in (["none"], ["failed"]):
        return said
    user, *fields = found(proxy, name)
    return [user] + sorted(fields)


FILE_USERS = """\
joe@example.org::1001:1002::/srv/joe::userdb_mail=maildir:~/x/%n userdb_q=%%1
num@example.org::1001:1002::::
named@example.org::daemon:daemon::/srv/%u::
old@example.org::1001:1002::/srv/old:::mbox:/var/mail/%n
short@example.org::1001:1002
pass@example.org:{PLAIN}x
nogid@example.org::1001
none@example.org:::::::
plain@example.org::1001:1002::/srv/plain::proxy host=x userdb_a:protected=1
import@example.org::1001:1002::/h::userdb_uid=1003 userdb_home:remove=
"""
FILE_NAMES = [line.partition(":")[0] for line in FILE_USERS.splitlines()]
SYSTEM_NAMES = ["daemon@example.org", "no-such-user@example.org"]


@pytest.mark.needs("dovecot", "doveadm")
@pytest.mark.parametrize("config, names", [
    (userdb("passwd-file", "{dir}/list"), FILE_NAMES + ["jane@example.org"]),
    (userdb("passwd-file", "{dir}/list", "default_fields = uid=7 mail=x:~/%d",
            "override_fields = home=/o/%n gid:protected=8 q:remove nice=1"),
     FILE_NAMES),
    (userdb("static", "allow_all_users=yes uid=daemon gid=5 home=/srv/%d/%1n "
            "mail=maildir:~/%Un x"), ["Joe@Example.org"]),
    (userdb("static", "allow_all_users=yes uid=5 tempfail"), [JOE]),
    (userdb("static", "allow_all_users=yes uid=5 gid=5 user=%n"), [JOE]),
    ("auth_username_format = %Ln\n" + userdb(
        "passwd", "", "override_fields = home=/srv/%u"), SYSTEM_NAMES),
    (userdb("passwd-file", "{dir}/list", "result_success = continue-ok") +
     userdb("static", "allow_all_users=yes home=/second a=b", "skip = found") +
     userdb("static", "allow_all_users=yes mail=m:/third", "skip = notfound"),
     [JOE, "jane@example.org", "named@example.org"]),
    (userdb("passwd-file", "{dir}/list", "result_failure = return") +
     userdb("static", "allow_all_users=yes home=/second"),
     [JOE, "jane@example.org"]),
], ids=lambda value: "")
def test_answers_are_those_of_dovecot(directory, ready, config, names):
    def prepare(server):
        text = server.config.read_text()
        start, end = text.index("userdb {"), text.index("service lmtp {")
        (server.dir / "list").write_text(FILE_USERS)
        server.config.write_text(
            text[:start] + config.replace("{dir}", str(server.dir)) +
            text[end:])

    server = Dovecot(directory / "dovecot", prepare=prepare)
    try:
        proxy = ready(LOCAL + config, list=FILE_USERS)
        ours = {name: waypost_says(proxy, name) for name in names}
        theirs = {name: dovecot_says(server, name) for name in names}
        assert ours == theirs, server.log()
    finally:
        server.stop()


@pytest.mark.needs("dovecot", "doveadm")
def test_bad_ids_do_not_bounce(directory, ready):
    """Dovecot says of such a line that there is no user."""
    users = "joe@example.org::no-such-user:5::::\n"
    server = Dovecot(directory / "dovecot")
    try:
        (server.dir / "users").write_text(users)
        proxy = ready(LOCAL + userdb("passwd-file", "{dir}/users"), users)
        assert dovecot_says(server, JOE) == ["none"]
        assert waypost_says(proxy, JOE) == ["failed"]
    finally:
        server.stop()
