"""Real servers beside waypost: Dovecot as a backend, Postfix in front.
bench/savers.py has the same Postfix."""
import grp
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess

from lmtp_client import Client
from maildir import in_order
from ports import LOCALHOST, free_port
from waiting import TIMEOUT, wait_until

# What t/e2e/unpack-servers unpacked, and t/e2e/build-rqlite built.
SERVERS = pathlib.Path(os.environ.get("WAYPOST_SERVERS", "mail-servers"))
PATH = ":".join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin",
                 "/usr/lib/dovecot", f"{SERVERS}/root/usr/sbin",
                 f"{SERVERS}/root/usr/lib/cyrus/bin", f"{SERVERS}/bin"])


def find(program):
    """Where a program is, or None."""
    return shutil.which(program, path=PATH)


def accepts(address):
    with socket.socket() as sock:
        return sock.connect_ex(address) == 0


DOVECOT_CONF = """\
base_dir = {dir}/run
state_dir = {dir}/state
log_path = {dir}/log
protocols = lmtp
ssl = no
hostname = {name}
postmaster_address = postmaster@example.org
default_internal_user = {internal}
default_internal_group = {internal_group}
default_login_user = {login}
first_valid_uid = 1
mail_location = maildir:~/Maildir
lda_mailbox_autocreate = yes
lmtp_save_to_detail_mailbox = yes
passdb {{
  driver = passwd-file
  args = {dir}/users
}}
userdb {{
  driver = passwd-file
  args = {dir}/users
}}
service lmtp {{
  unix_listener lmtp {{
    mode = 0
  }}
  inet_listener lmtp {{
    address = {host}
    port = {port}
  }}
  inet_listener lmtps {{
    address = {host}
    port = {tls_port}
    ssl = yes
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
{extra}
"""


class Dovecot:
    """Dovecot's LMTP server with its own users and Maildirs."""

    def __init__(self, directory, users=("joe@example.org",), extra="",
                 name="dovecot.example", prepare=None, host=LOCALHOST,
                 port=None, homes=None):
        """prepare: called with the server before it starts. homes: the
        directory of the users', when it is shared with other servers."""
        self.dir = pathlib.Path(directory)
        self.address = (host, port or free_port(host))
        self.host, self.port = self.address
        self.tls_port = free_port(host)  # with ssl = yes in extra
        self.homes = homes or self.dir / "home"
        root = os.geteuid() == 0
        self.owner = pwd.getpwnam("nobody" if root else
                                  pwd.getpwuid(os.getuid()).pw_name)
        me = self.owner.pw_name
        group = grp.getgrgid(self.owner.pw_gid).gr_name
        self.config = self.dir / "dovecot.conf"
        for path in (self.dir, self.homes, self.dir / "state"):
            path.mkdir(mode=0o755, exist_ok=path == homes)
        os.chown(self.homes, self.owner.pw_uid, self.owner.pw_gid)
        self.set_users(users)
        self.config.write_text(DOVECOT_CONF.format(
            dir=self.dir, host=self.host, port=self.port,
            tls_port=self.tls_port, name=name,
            extra=extra, internal="dovecot" if root else me,
            internal_group="dovecot" if root else group,
            login="dovenull" if root else me))
        self.process = None
        if prepare:
            prepare(self)
        self.start()

    def set_users(self, users):
        uid, gid = self.owner.pw_uid, self.owner.pw_gid
        (self.dir / "users").write_text("".join(
            f"{user}:{{PLAIN}}x:{uid}:{gid}::{self.homes}/{user}::\n"
            for user in users))

    def start(self):
        self.process = subprocess.Popen(
            [find("dovecot"), "-F", "-c", str(self.config)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT)

        def up():
            assert self.process.poll() is None, self.log()
            return accepts(self.address)
        wait_until(up, "Dovecot")
        Client(self.address).quit()

    def log(self):
        path = self.dir / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def mails(self, user="joe@example.org", folder=""):
        """The messages of a user, as bytes."""
        maildir = self.homes / user / "Maildir" / folder
        return [path.read_bytes().replace(b"\r\n", b"\n")
                for sub in ("new", "cur")
                for path in in_order((maildir / sub).glob("*"))]

    def wait_mails(self, count=1, user="joe@example.org", folder=""):
        return wait_until(
            lambda: self.mails(user, folder)
            if len(self.mails(user, folder)) >= count else None,
            f"{count} mails of {user}")

    def doveadm(self, *args):
        return subprocess.run(
            [find("doveadm"), "-c", str(self.config), *args], check=True,
            capture_output=True, timeout=TIMEOUT).stdout

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


MAIN_CF = """\
compatibility_level = 3.6
queue_directory = {dir}/queue
data_directory = {dir}/data
maillog_file = {dir}/maillog
maillog_file_prefixes = {dir}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4

myhostname = mta.example
mydestination =
mynetworks = 127.0.0.0/8
alias_maps =
alias_database =
local_recipient_maps =
smtputf8_enable = yes
minimal_backoff_time = 300s
smtpd_recipient_restrictions = permit_mynetworks, reject
smtpd_relay_restrictions = permit_mynetworks, reject
virtual_mailbox_domains = example.org
{settings}
"""

MASTER_CF = """\
{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


def without_earlier(text):
    """A main.cf with only the last setting of each name. Postfix would do with all,
    but each of its processes would log a warning, also postlogd, of itself to itself,
    before it reads: for ever, if the others filled its queue first."""
    settings = {}
    for name, value in re.findall(r"^(\w+) *=(.*(?:\n[ \t].*)*)", text, re.M):
        settings[name] = f"{name} ={value}\n"
    return "".join(settings.values())


class Postfix:
    """Postfix with its own queue, taking mail by SMTP."""

    def __init__(self, directory, settings):
        self.dir = pathlib.Path(directory)
        self.address = (LOCALHOST, free_port())
        self.host, self.port = self.address
        owner = pwd.getpwnam("postfix")
        for path in (self.dir, self.dir / "queue", self.dir / "conf"):
            path.mkdir(mode=0o755)
        (self.dir / "data").mkdir(mode=0o700)
        os.chown(self.dir / "data", owner.pw_uid, owner.pw_gid)
        self.write("main.cf", without_earlier(
            MAIN_CF.format(dir=self.dir, settings=settings)))
        self.write("master.cf", MASTER_CF.format(
            port=f"{self.host}:{self.port}"))
        result = self.postfix("start")
        assert result.returncode == 0, result.stderr
        wait_until(lambda: accepts(self.address), "Postfix")

    def write(self, name, text):
        path = self.dir / "conf" / name
        path.write_text(text)
        path.chmod(0o644)

    def postfix(self, command):
        return subprocess.run(
            [find("postfix"), "-c", str(self.dir / "conf"), command],
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=TIMEOUT, check=False)

    def flush(self):
        """Tries the mail again that was deferred: also what has yet to get where
        that is kept, of which the log speaks already."""
        deferred = self.dir / "queue" / "deferred"
        wait_until(lambda: any(path.is_file() for path in deferred.rglob("*")),
                   "deferred mail")
        self.postfix("flush")

    def log(self):
        path = self.dir / "maillog"
        return path.read_text(errors="replace") if path.exists() else ""

    def wait_log(self, pattern, count=1):
        try:
            return wait_until(
                lambda: (lambda found: found if len(found) >= count else None)
                (re.findall(pattern, self.log())), f"{pattern} in the log")
        except AssertionError as exc:
            raise AssertionError(f"{exc}\n{self.log()}") from None

    def stop(self):
        self.postfix("stop")
        pid_file = self.dir / "queue" / "pid" / "master.pid"
        if pid_file.exists():
            pid = int(pid_file.read_text().split()[0])
            wait_until(lambda: not pathlib.Path(f"/proc/{pid}").exists(),
                       "the end of Postfix")
