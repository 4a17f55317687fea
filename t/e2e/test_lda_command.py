"""lda_command: mail saved by a program that runs as the user."""
import json
import os
import pwd
import re
import shutil
import signal

import pytest

from lmtp_client import to_bytes
from processes import is_gone, wait_gone
from servers import find
from waiting import wait_until
from waypost import IS_ROOT
from waypost import USER as USER_OF_TESTS

UID = 61001
OTHER_UID = 61004  # of no other test
# Whose all mail is when waypost is not started by root.
USER_UID = pwd.getpwnam(USER_OF_TESTS).pw_uid if IS_ROOT else os.getuid()
USER = "joe@example.org"
BODY = b"Subject: hi\r\n\r\nhello\r\n.dot\r\n"
TEXT = BODY.replace(b"\r\n", b"\n")
LARGE = b"Subject: x\r\n\r\n" + b"1234567890\r\n" * 100000
as_root = pytest.mark.needs_root


def send(proxy, *rcpts, body=BODY, sender="sender@example.net"):
    with proxy.session() as client:
        return client.deliver(rcpts, body, sender)


class Site:
    """A waypost whose users share a home, with a script as the command."""

    def __init__(self, proxy, uid=UID):
        self.proxy = proxy
        self.uid = uid
        self.roots = proxy.as_root
        self.home = proxy.dir / "home"
        self.home.mkdir()
        if IS_ROOT:
            os.chown(self.home, uid, uid)
            self.home.chmod(0o777)
        self.program = proxy.dir / "lda"

    def script(self, text, interpreter="/bin/sh"):
        self.program.write_text(f"#!{interpreter}\n{text}\n")
        self.program.chmod(0o755)

    def config(self, args="", extra=""):
        ids = f"uid={self.uid} gid={self.uid} " if self.roots else ""
        return ("lmtp_proxy = no\nuserdb {\n driver = static\n"
                f" args = allow_all_users=yes {ids}home={self.home}\n}}\n"
                f'lda_command = "{self.program} {args}"\n{extra}')

    def start(self, script, args="", extra="", **kwargs):
        self.script(script, **kwargs)
        self.proxy.start(self.config(args, extra))

    def send(self, rcpt=USER, body=BODY, sender="sender@example.net"):
        return send(self.proxy, rcpt, body=body, sender=sender)[0]

    def file(self, name="mail"):
        return (self.home / name).read_bytes()

    def pids(self, name="pids"):
        return [int(word) for word in self.file(name).split()]


@pytest.fixture(params=["users", pytest.param("one user", marks=as_root)]
                if IS_ROOT else ["one user"])
def site(instance, request):
    """Not started yet; as root, also one whose processes live on."""
    return Site(instance(as_root=request.param == "users" or None))


@pytest.fixture
def one(instance):
    return Site(instance(as_root=IS_ROOT or None))


def expect(reply, code, enhanced, text, user=USER):
    assert (reply.code, reply.lines) == (code,
                                         [f"{enhanced} <{user}> {text}"])


def expect_temporary(reply, user=USER):
    expect(reply, 451, "4.3.0", "Temporary internal error", user)


# --- what it gets ---

REPORT = r"""
import json, os, resource, sys
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
json.dump({
    "argv": sys.argv[1:], "env": dict(os.environ), "cwd": os.getcwd(),
    "ids": [os.getresuid(), os.getresgid(), os.getgroups()],
    "fds": sorted(int(fd) for fd in os.listdir("/proc/self/fd")),
    "status": {key: value.split() for key, value in status.items()},
    "limits": {name: resource.getrlimit(getattr(resource, name)) for name in
               ("RLIMIT_CORE", "RLIMIT_CPU", "RLIMIT_NPROC",
                "RLIMIT_NOFILE")},
    "leader": [os.getpid() == os.getsid(0), os.getpid() == os.getpgid(0)],
    "umask": os.umask(0),
    "stdin": sys.stdin.buffer.read().decode()}, open("report", "w"))
"""


def report(site):
    return json.loads(site.file("report"))


def test_it_is_the_user_and_little_more(site):
    site.start(REPORT, extra="lda_command_processes = 99\n",
               interpreter="/usr/bin/python3")
    reply = site.send()
    assert reply == 250
    assert re.fullmatch(rf"2\.0\.0 <{USER}> \S+ Saved", reply.lines[0])
    seen = report(site)
    uid = UID if site.roots else seen["ids"][0][0]
    assert uid != 0
    assert seen["ids"][0] == [uid] * 3
    if site.roots:
        assert seen["ids"][1:] == [[UID] * 3, [UID]]
    assert seen["status"]["NoNewPrivs"] == ["1"]
    assert seen["status"]["Seccomp"] == ["2"]
    for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(seen["status"][name][0], 16) == 0
    # Nothing is blocked or ignored but what Python itself ignores, and 32 and 33,
    # which the C library keeps for itself, when whoever started us has it so.
    assert int(seen["status"]["SigBlk"][0], 16) == 0
    ignored = int(seen["status"]["SigIgn"][0], 16)
    assert not [number for number in range(1, 65) if ignored >> number - 1 & 1
                and number not in (signal.SIGPIPE, signal.SIGXFSZ, 32, 33)]
    assert seen["limits"]["RLIMIT_CORE"] == [0, 0]
    assert seen["limits"]["RLIMIT_NPROC"] == [99, 99]
    assert 0 < seen["limits"]["RLIMIT_CPU"][0] <= 121
    assert seen["limits"]["RLIMIT_NOFILE"][0] <= 1024
    assert seen["leader"] == [True, True]
    assert seen["umask"] == 0o077
    # The fourth is that of the list itself.
    assert [fd for fd in seen["fds"] if fd > 2] in ([], [3])
    seen["env"].pop("LC_CTYPE", None)  # Python's own
    assert seen["env"] == {
        "PATH": "/usr/local/bin:/usr/bin:/bin", "USER": USER,
        "LOGNAME": USER, "HOME": str(site.home)}
    assert seen["cwd"] == str(site.home)
    assert re.fullmatch(
        r"Return-Path: <sender@example\.net>\n"
        rf"Delivered-To: {re.escape(USER)}\nReceived: from [^\0]+?\n"
        r"Subject: hi\n\nhello\n\.dot\n", seen["stdin"])
    site.proxy.wait_log(r"sent from=<sender@example\.net> to=<joe@example\.org> "
                        r"at=here .*reply=\"250 2\.0\.0 ")


WORDS = ("-u%u -n %n -d %d --home=%h <%{from_envelope}> %{from_envelope} "
         "-a<%{to_envelope}> -r<%{rcpt_to}> -m%{mailbox} -x%{detail} "
         "%{if;%d;eq;example.org;a b;c} $(id) `id` ;|& 'a b' %%")


def test_each_word_is_one_argument(one):
    one.start(REPORT, WORDS, "lmtp_save_to_detail_mailbox = yes\n",
              interpreter="/usr/bin/python3")
    rcpt = '"joe+;$(id) `id` \'x"@example.org'
    assert one.send(rcpt) == 250
    assert report(one)["argv"] == [
        "-ujoe@example.org", "-n", "joe", "-d", "example.org",
        f"--home={one.home}", "<sender@example.net>", "sender@example.net",
        f"-a<{rcpt}>", f"-r<{rcpt}>", "-m;$(id) `id` 'x",
        "-x;$(id) `id` 'x", "a b", "$(id)", "`id`", ";|&", "'a", "b'", "%"]
    # A bounce has no sender, and its argument is there all the same.
    assert one.send("joe+d@example.org", sender="") == 250
    assert report(one)["argv"][6:9] == ["<>", "", "-a<joe+d@example.org>"]


def test_no_user_is_an_option(one):
    one.start("cat >/dev/null; echo \"$*\" >mail", "-k %u")
    reply = one.send("-x@example.org")
    expect_temporary(reply, "-x@example.org")
    one.proxy.wait_log(r'error="lda_command: \\x22?"?%u"? would be the option '
                       r'"?-x@example\.org|%u.* would be the option')
    assert not (one.home / "mail").exists()
    assert one.send() == 250
    assert one.file() == b"-k joe@example.org\n"


@pytest.mark.parametrize("args", ["-- %u", "-k%u", "--user=%u", "<%u>"])
def test_a_user_called_like_an_option(one, args):
    one.start("cat >/dev/null; echo \"$*\" >mail", args)
    assert one.send("-x@example.org") == 250
    assert one.file().decode() == args.replace("%u", "-x@example.org") + "\n"


def test_no_option_takes_the_next_argument(one):
    one.start("cat >/dev/null; echo \"$*\" >mail", "-f%{from_envelope} -k")
    expect_temporary(one.send(sender=""))
    one.proxy.wait_log("is empty: the next argument would take its place")
    assert one.send() == 250


@pytest.mark.parametrize("setting, why", [
    ("lda_command = dovecot-lda -d %u", "absolute path"),
    ("lda_command = /bin/cat -%u", "makes an option of a value"),
    ("lda_command = /bin/cat %{nonsense}", "unknown variable"),
    ("lda_command = /bin/cat %{msgid}", "unknown variable"),
])
def test_settings_that_cannot_be(instance, setting, why):
    assert why in instance().refusal(setting + "\n")


# --- what it says ---

CODES = {
    0: (250, "2.0.0", None), 1: (451, "4.3.0", "Temporary internal error"),
    64: (451, "4.3.5", "Internal configuration error"),
    65: (554, "5.6.0", "Message is malformed"),
    67: (550, "5.1.1", "User doesn't exist"),
    68: (451, "4.3.0", "Temporary internal error"),
    69: (554, "5.3.0", "Message cannot be delivered"),
    70: (451, "4.3.0", "Temporary internal error"),
    71: (451, "4.3.0", "Temporary internal error"),
    72: (451, "4.3.5", "Internal configuration error"),
    73: (452, "4.2.2", "Mailbox cannot take the message"),
    74: (451, "4.3.0", "Temporary internal error"),
    75: (451, "4.3.0", "Temporary internal error"),
    76: (451, "4.3.0", "Temporary internal error"),
    77: (550, "5.7.1", "Message was refused"),
    78: (451, "4.3.5", "Internal configuration error"),
    126: (451, "4.3.5", "Internal configuration error"),
    127: (451, "4.3.5", "Internal configuration error"),
    255: (451, "4.3.0", "Temporary internal error"),
}


def test_exit_codes(site):
    site.start("cat >/dev/null; echo secret >&2; exit $(cat code)")
    for code, (reply_code, enhanced, text) in CODES.items():
        (site.home / "code").write_text(str(code))
        reply = site.send()
        if text:
            expect(reply, reply_code, enhanced, text)
            site.proxy.wait_log(rf"lda_command: \S+ ended with status {code}"
                                r"( \(EX_[A-Z]+\))?, saying secret")
        else:
            assert reply == reply_code


def test_one_for_each_recipient(site):
    site.start("cat >/dev/null; case $1 in ann@*) exit 67;; esac; "
               "echo $1 >>mail", "%u")
    assert send(site.proxy, *(f"{name}@example.org" for name in (
        "joe", "ann", "ben"))) == [250, 550, 250]
    assert sorted(site.file().split()) == [b"ben@example.org",
                                           b"joe@example.org"]


@pytest.mark.parametrize("name", ["SEGV", "KILL", "TERM", "ALRM"])
def test_signals(site, name):
    site.start(f"cat >/dev/null; kill -{name} $$")
    expect_temporary(site.send())
    number = getattr(signal, "SIG" + name)
    site.proxy.wait_log(rf"lda_command: \S+ was killed by signal {number} ")


def test_what_it_says_is_escaped_and_short(site):
    site.start(r"cat >/dev/null; i=0; while [ $i -lt 2000 ]; do "
               r"echo 'line of noise'; i=$((i+1)); done; "
               r"printf 'the\033[31m end\000\nreally\377\n' >&2; exit 75")
    expect_temporary(site.send())
    line = site.proxy.wait_log(r"not sent .*status 75")
    assert r"saying ...line of noise" not in line
    assert re.search(r"saying \.\.\..*noise the\\x1b\[31m end ?  ?really",
                     line), line
    assert len(line) < 1500


def test_what_it_says_although_it_is_saved(site):
    site.start("cat >mail; echo 'disk is nearly full' >&2")
    assert site.send() == 250
    site.proxy.wait_log(r"sent .*saying disk is nearly full")


# --- programs that misbehave ---


def test_one_that_hangs(site):
    site.start("trap '' TERM; echo $$ >pids; cat >/dev/null; "
               "while :; do sleep 1000 & echo $! >>pids; wait; done",
               extra="lmtp_delivery_timeout = 3 s\n")
    expect_temporary(site.send())
    site.proxy.wait_log("lda_command: .* was killed by signal 9 .* after "
                        "lmtp_delivery_timeout")
    wait_until(lambda: all(map(is_gone, site.pids())), "their end")
    site.script("cat >mail")
    assert site.send() == 250
    assert site.file().endswith(TEXT)


def test_one_that_is_late_may_still_say_so(site):
    site.start("trap 'exit 67' TERM; cat >/dev/null; sleep 1000 & wait",
               extra="lmtp_delivery_timeout = 3 s\n")
    expect(site.send(), 550, "5.1.1", "User doesn't exist")


def test_one_that_never_reads_hangs_too(site):
    site.start("exec sleep 1000", extra="lmtp_delivery_timeout = 1 s\n")
    expect_temporary(site.send(body=LARGE))


def test_one_that_floods_its_output(site):
    site.start("cat >mail; head -c 50000000 /dev/zero; echo; echo done")
    assert site.send() == 250
    assert site.file().endswith(TEXT)
    line = site.proxy.wait_log("sent .*saying")
    assert len(line) < 1500


def test_one_that_floods_for_ever(site):
    site.start("cat >/dev/null; yes", extra="lmtp_delivery_timeout = 1 s\n")
    expect_temporary(site.send())


LINGER = """
import os, signal, sys, time
sys.stdin.buffer.read()
signal.signal(signal.SIGTERM, signal.SIG_IGN)
ready, told = os.pipe()
for far in (False, True):
    if os.fork() == 0:
        if far:
            os.setsid()
            if os.fork() > 0:
                os._exit(0)
        open("pids", "a").write(f"{os.getpid()} ")
        os.write(told, b"x")
        time.sleep(1000)
while len(os.read(ready, 1)) and os.read(ready, 1):
    break
"""


def test_what_it_leaves_behind_is_ended(site):
    """Also a daemon that has left the process group and its parents."""
    site.start(LINGER, interpreter="/usr/bin/python3")
    for count in (2, 4):
        assert site.send() == 250
        assert len(site.pids()) == count
        assert all(map(is_gone, site.pids()))


@pytest.mark.parametrize("body", [BODY, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("script", [
    "exit 0", "exec <&-; sleep 0.1", "head -n 1", "head -c 100 >/dev/null; exit",
], ids=["nothing", "closed", "a line", "a part"])
def test_one_that_does_not_read_it_all_has_not_saved_it(site, script, body):
    site.start(script)
    expect_temporary(site.send(body=body))
    site.proxy.wait_log("ended with status 0 without having read all of the "
                        "mail")


def test_one_that_need_not_read_to_refuse(site):
    site.start("exit 77")
    expect(site.send(body=LARGE), 550, "5.7.1", "Message was refused")


def test_one_that_reads_slowly(site):
    site.start("while dd bs=7777 count=1 2>/dev/null >part; [ -s part ]; do "
               "cat part >>mail; done")
    assert site.send(body=LARGE) == 250
    assert site.file().endswith(LARGE.replace(b"\r\n", b"\n"))


def test_one_that_has_its_child_read(site):
    site.start("cat >mail & wait")
    # A shell's background job reads from /dev/null.
    expect_temporary(site.send())
    site.script("exec 3<&0; cat <&3 >mail & wait")
    assert site.send() == 250
    assert site.file().endswith(TEXT)


def test_one_that_is_not_there(site):
    site.start("cat >mail")
    site.program.unlink()
    expect(site.send(), 451, "4.3.5", "Internal configuration error")
    site.proxy.wait_log("lda_command: cannot run .*: No such file")
    site.script("cat >mail")
    site.program.chmod(0o644)
    expect(site.send(), 451, "4.3.5", "Internal configuration error")
    site.proxy.wait_log("lda_command: cannot run .*: Permission denied")
    site.script("cat >mail", interpreter="/no/such/shell")
    expect(site.send(), 451, "4.3.5", "Internal configuration error")
    site.program.write_text("no program\n")
    expect(site.send(), 451, "4.3.5", "Internal configuration error")
    site.proxy.wait_log("lda_command: cannot run .*: Exec format error")
    site.script("cat >mail")
    assert site.send() == 250


def test_one_that_is_not_there_from_the_start(one):
    one.proxy.write_config(one.config())
    result = one.proxy.run("-t")
    assert result.returncode == 0
    assert re.search(r"lda_command: \S+/lda: No such file", result.stderr)


def test_no_home(site):
    site.start(REPORT.replace('"report"', f'"{site.home}/report"'),
               interpreter="/usr/bin/python3")
    site.proxy.reload(site.config().replace(
        f"home={site.home}", f"home={site.home}/none"))
    assert site.send() == 250
    assert report(site)["cwd"] == "/"
    assert report(site)["env"]["HOME"] == f"{site.home}/none"


def test_one_that_forks_too_much(instance):
    """The number counts all processes of the user, who has no others."""
    one = Site(instance(as_root=IS_ROOT or None), OTHER_UID)
    one.start("""
import os, sys, time
sys.stdin.buffer.read()
made = 0
try:
    while made < 500:
        if os.fork() == 0:
            time.sleep(1000)
        made += 1
except BlockingIOError:
    pass
open("mail", "w").write(str(made))
sys.exit(0 if made < 40 else 75)
""", extra="lda_command_processes = 40\n", interpreter="/usr/bin/python3")
    assert one.send() == 250
    if one.roots:
        assert 30 < int(one.file()) < 40


def test_it_gains_no_privileges(site):
    """Nor new namespaces, mounts, roots; setuid programs are programs like others."""
    id_program = site.proxy.dir / "id"
    shutil.copy("/usr/bin/id", id_program)
    id_program.chmod(0o4755)
    site.start(f"cat >/dev/null; exec 2>/dev/null; {id_program} -u >mail; "
               "unshare -U true && echo BAD >>mail; "
               "mount -t tmpfs none . && echo BAD >>mail; "
               "/usr/sbin/chroot / true && echo BAD >>mail; id -u >>mail")
    assert site.send() == 250
    uid = UID if site.roots else USER_UID
    assert site.file().decode() == f"{uid}\n{uid}\n"


def test_it_ends_with_the_process_that_delivers(site):
    site.start("echo $$ $PPID >pids; cat >/dev/null; exec sleep 1000")
    with site.proxy.session() as client:
        client.start_data(USER)
        client.send(to_bytes(BODY) + b".\r\n")
        pids = wait_until(lambda: (site.home / "pids").exists() and
                          len(site.pids()) == 2 and site.pids(), "the script")
        os.kill(pids[1], signal.SIGKILL)
        expect_temporary(client.reply())
    wait_gone(pids[:1])


def test_a_reload_counts(site):
    site.start("cat >mail", extra="mail_location = maildir:~/Maildir\n")
    assert site.send() == 250
    site.proxy.reload(re.sub("lda_command.*", "", site.config(
        extra="mail_location = maildir:~/Maildir\n")))
    assert site.send() == 250
    assert len(list((site.home / "Maildir/new").iterdir())) == 1


def test_only_for_commands_there_are_programs(one):
    """Without one, processes that deliver may run nothing (local_confine_test.c says
    so), and need to run nothing."""
    one.proxy.start(re.sub("lda_command.*", "", one.config(
        extra="mail_location = maildir:~/Maildir\n")))
    assert one.send() == 250


# --- stores of Dovecot's ---

LDA = ("lda_command = {lda} -c {config} -e -d%u -f<%{{from_envelope}}> "
       "-a<%{{to_envelope}}> -r<%{{rcpt_to}}> -m%{{mailbox}}\n")
PLUGINS = """
mail_plugins = quota
plugin {
  quota = count:User quota
  quota_rule = *:messages=2
  quota_vsizes = yes
}
"""
# Who runs dovecot-lda need not read keys, nor be anybody for auth.
OPEN = """
service auth {{
  unix_listener auth-userdb {{
    mode = 0666
  }}
}}
service config {{
  unix_listener config {{
    mode = 0666
  }}
}}
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
log_path = {log}
mail_location = {location}
"""


class Store:
    """A Dovecot that only its dovecot-lda brings mail to."""

    def __init__(self, dovecot, instance, location, extra=""):
        def prepare(server):
            log = server.dir / "lda.log"
            log.touch()
            log.chmod(0o666)
            text = server.config.read_text() + OPEN.format(
                log=log, location=location) + extra
            server.config.write_text(text)
            server.config.chmod(0o644)
        self.server = dovecot(prepare=prepare,
                              users=(USER, "ann@example.org"))
        self.proxy = instance(as_root=IS_ROOT)
        owner = self.server.owner
        self.config = (
            "lmtp_proxy = no\nlmtp_save_to_detail_mailbox = yes\n"
            f"first_valid_uid = 1\nmail_location = {location}\n" +
            extra +
            "userdb {\n driver = static\n args = allow_all_users=yes "
            f"uid={owner.pw_uid} gid={owner.pw_gid} "
            f"home={self.server.homes}/%u\n}}\n" +
            LDA.format(lda=find("dovecot-lda"), config=self.server.config))

    def log(self):
        return (self.server.log() + self.proxy.log +
                (self.server.dir / "lda.log").read_text())

    def fetch(self, user=USER, mailbox="INBOX"):
        table = self.server.doveadm("-f", "flow", "fetch", "-u", user, "text",
                                    "mailbox", mailbox, "all")
        return table.replace(b"\r\n", b"\n")


@pytest.mark.needs("dovecot", "dovecot-lda")
@pytest.mark.parametrize("location", ["mdbox:~/mdbox", "sdbox:~/sdbox"])
def test_dovecots_store(dovecot, instance, location):
    store = Store(dovecot, instance, location)
    proxy = store.proxy.start(store.config) or store.proxy
    replies = send(proxy, USER, "ann@example.org", "nobody@example.org")
    assert replies == [250, 250, 550], store.log()
    assert "5.1.1 <nobody@example.org> User doesn't exist" in replies[2].lines
    # Two at once for one user are too much for Dovecot while it makes its store.
    assert send(proxy, "joe+lists@example.org") == [250], store.log()
    for user, mailbox in ((USER, "INBOX"), (USER, "lists"),
                          ("ann@example.org", "INBOX")):
        text = store.fetch(user, mailbox)
        assert b"Return-Path: <sender@example.net>\n" in text
        assert text.rstrip(b"\n\f").endswith(TEXT.rstrip(b"\n")), text
    assert send(proxy, USER, body=LARGE, sender="") == [250]
    assert LARGE.replace(b"\r\n", b"\n") in store.fetch()
    log = (store.server.dir / "lda.log").read_text()
    assert "saved mail to INBOX" in log
    assert not re.search("Error|Panic|Fatal", log), log


@pytest.mark.needs("dovecot", "dovecot-lda")
def test_dovecots_quota_is_dovecots(dovecot, instance):
    """Its backend count is none of ours, which is no error then."""
    store = Store(dovecot, instance, "mdbox:~/mdbox", PLUGINS)
    store.proxy.start(store.config)
    assert [send(store.proxy, USER)[0].code for _ in range(3)] == \
        [250, 250, 550]
    store.proxy.wait_log(r"EX_NOPERM\), saying Quota exceeded")
    assert store.fetch().count(b"Return-Path:") == 2


SIEVE = """
protocol lda {{
  mail_plugins = $mail_plugins sieve
}}
plugin {{
  sieve = file:~/sieve;active=~/.dovecot.sieve
}}
submission_host = {host}:{port}
"""
SCRIPT = """\
require ["envelope", "fileinto", "mailbox", "reject", "subaddress"];
if header :contains "subject" "spam" { reject "None of that."; }
elsif header :contains "subject" "void" { discard; }
elsif envelope :detail "to" "work" { fileinto :create "work"; }
"""


@pytest.mark.needs("dovecot", "dovecot-lda", "sievec")
def test_sieve(dovecot, instance, backends):
    """Pigeonhole's: where a mail goes, that nobody wants it, and what it sends."""
    relay = backends(lmtp=False)
    store = Store(dovecot, instance, "maildir:~/Maildir",
                  SIEVE.format(host=relay.host, port=relay.port))
    script = store.server.homes / USER / ".dovecot.sieve"
    script.parent.mkdir(exist_ok=True)
    script.write_text(SCRIPT)
    if IS_ROOT:
        for path in (script, script.parent):
            os.chown(path, store.server.owner.pw_uid, store.server.owner.pw_gid)
    store.proxy.start(store.config)
    for rcpt, subject in [(USER, "one"), ("joe+work@example.org", "two"),
                          (USER, "void"), (USER, "spam")]:
        body = f"Subject: {subject}\r\n\r\nhello\r\n".encode()
        assert send(store.proxy, rcpt, body=body) == [250], store.log()
    assert re.findall(rb"Subject: (.*)", store.fetch()) == [b"one"]
    assert re.findall(rb"Subject: (.*)", store.fetch(mailbox="work")) == [b"two"]
    refusal, = relay.messages
    assert refusal.rcpts == ["sender@example.net"]
    assert b"None of that." in refusal.body
