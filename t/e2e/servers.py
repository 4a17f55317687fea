"""Real servers: Dovecot as a backend, Postfix in front. Each has its own
configuration and directories, and takes nothing from those of the system."""

import email
import os
import pathlib
import pwd
import signal
import smtplib
import socket
import subprocess

from waiting import TIMEOUT, wait_for
from waypost import free_port, is_root

SBIN = os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin"
ENV = {**os.environ, "PATH": SBIN}


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


DOVECOT_CONF = """\
base_dir = {dir}/run
state_dir = {dir}/state
log_path = {dir}/log
protocols = lmtp
ssl = no
listen = 127.0.0.1
{users}
mail_location = maildir:~/Maildir
hostname = {name}
passdb {{
  driver = passwd-file
  args = {dir}/users
}}
userdb {{
  driver = passwd-file
  args = {dir}/users
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {port}
  }}
}}
{extra}
"""

# Everything as one ordinary user, who may not chroot().
DOVECOT_ORDINARY = """\
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
"""


class Dovecot:
    """users: names with domains, for which it delivers to Maildirs."""

    def __init__(self, directory, users, name="dovecot.test", extra=""):
        self.dir = directory
        self.port = free_port()
        self.host = "127.0.0.1"
        directory.mkdir()
        mail = directory / "mail"
        mail.mkdir()
        owner = pwd.getpwnam("mail") if is_root() else \
            pwd.getpwuid(os.getuid())
        if is_root():
            os.chown(mail, owner.pw_uid, owner.pw_gid)
        (directory / "users").write_text("".join(
            f"{user}:{{PLAIN}}x:{owner.pw_uid}:{owner.pw_gid}::{mail}/{user}\n"
            for user in users))
        identity = "first_valid_uid = 1\n"
        if not is_root():
            group = subprocess.run(["id", "-gn"], text=True, check=True,
                                   capture_output=True).stdout.strip()
            identity += DOVECOT_ORDINARY.format(user=owner.pw_name,
                                                group=group)
        self.conf = directory / "dovecot.conf"
        self.conf.write_text(DOVECOT_CONF.format(
            dir=directory, users=identity, name=name, port=self.port,
            extra=extra))
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            ["dovecot", "-F", "-c", self.conf], env=ENV,
            stdin=subprocess.DEVNULL)
        wait_for(lambda: listens(self.port), "Dovecot to listen", 30)

    def restart(self):
        self.stop()
        self.start()

    def log(self):
        return (self.dir / "log").read_text(errors="replace")

    def mails(self, user):
        """The raw messages in a user's INBOX, in order of delivery."""
        new = self.dir / "mail" / user / "Maildir" / "new"
        if not new.is_dir():
            return []
        return [path.read_bytes() for path in sorted(new.iterdir())]

    def mail(self, user):
        """The only message of a user, parsed."""
        mails = self.mails(user)
        assert len(mails) == 1, f"{user} has {len(mails)} mails\n" + self.log()
        return email.message_from_bytes(mails[0])

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(TIMEOUT)


POSTFIX_MAIN = """\
compatibility_level = 3.6
queue_directory = {dir}/queue
data_directory = {dir}/data
daemon_directory = /usr/lib/postfix/sbin
command_directory = /usr/sbin
meta_directory = /etc/postfix
mail_owner = postfix
setgid_group = postdrop
maillog_file = {dir}/maillog
maillog_file_prefixes = {dir}
myhostname = postfix.test
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
alias_database =
local_recipient_maps =
virtual_mailbox_domains = example.org
virtual_transport = lmtp:inet:127.0.0.1:{port}
smtpd_relay_restrictions = permit_mynetworks, reject
smtputf8_enable = yes
notify_classes =
bounce_template_file =
minimal_backoff_time = 300s
message_size_limit = 0
{extra}
"""

POSTFIX_MASTER = """\
{smtp} inet n - n - - smtpd
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
smtp unix - - n - - discard
relay unix - - n - - discard
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
showq unix n - n - - showq
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


class Postfix:
    """Passes mail for example.org on to 127.0.0.1:port over LMTP."""

    def __init__(self, directory, port, extra=""):
        self.dir = directory
        self.smtp_port = free_port()
        directory.mkdir()
        (directory / "queue").mkdir()
        (directory / "data").mkdir()
        owner = pwd.getpwnam("postfix")
        os.chown(directory / "data", owner.pw_uid, owner.pw_gid)
        self.conf = directory / "conf"
        self.conf.mkdir()
        (self.conf / "main.cf").write_text(POSTFIX_MAIN.format(
            dir=directory, port=port, extra=extra))
        (self.conf / "master.cf").write_text(POSTFIX_MASTER.format(
            smtp=f"127.0.0.1:{self.smtp_port}"))
        self.command("start")
        wait_for(lambda: listens(self.smtp_port), "Postfix to listen", 30)

    def command(self, *args):
        result = subprocess.run(["postfix", "-c", self.conf, *args], text=True,
                                capture_output=True, env=ENV, check=False)
        assert result.returncode == 0, result.stdout + result.stderr + \
            self.log()

    def log(self):
        path = pathlib.Path(self.dir / "maillog")
        return path.read_text(errors="replace") if path.exists() else ""

    def send(self, sender, rcpts, message, **options):
        with smtplib.SMTP("127.0.0.1", self.smtp_port,
                          timeout=30) as smtp:
            smtp.sendmail(sender, rcpts, message, **options)

    def sendmail(self, sender, rcpts, message):
        subprocess.run(["sendmail", "-C", self.conf / "main.cf", "-f", sender,
                        "--", *rcpts], input=message, check=True, env=ENV)

    def queue(self):
        return subprocess.run(["postqueue", "-c", self.conf, "-j"], text=True,
                              capture_output=True, env=ENV,
                              check=True).stdout

    def wait_empty(self, timeout=30):
        """Until nothing is under way any more."""
        wait_for(lambda: not self.queue(), "an empty queue", timeout)

    def stop(self):
        self.command("stop")
