"""Mail servers whose paths and users are compiled in, each in a root directory
of the test's own: Exim, OpenSMTPD, Cyrus. t/e2e/unpack-servers gets them."""
import os
import pathlib
import signal
import stat
import subprocess

from ports import LOCALHOST, free_port
from servers import SERVERS, accepts
from waiting import TIMEOUT, wait_until

USERS = {"root": 0, "nobody": 65534, "Debian-exim": 64901, "opensmtpd": 64902,
         "opensmtpq": 64903, "cyrus": 64904}
DEVICES = {"null": (1, 3), "urandom": (1, 9), "random": (1, 9)}


class Jailed:
    """files: path -> text; dirs: path -> owner, both within the jail."""

    def __init__(self, directory, files, dirs, *command):
        self.dir = pathlib.Path(directory)
        self.address = (LOCALHOST, free_port())
        self.host, self.port = self.address
        subprocess.run(["cp", "-al", f"{SERVERS}/root", self.dir], check=True)
        self.dir.chmod(0o755)
        self.write("etc/passwd", "".join(
            f"{name}:x:{uid}:{uid}::/:/bin/false\n"
            for name, uid in USERS.items()))
        self.write("etc/group", "mail:x:8:\n" + "".join(
            f"{name}:x:{uid}:\n" for name, uid in USERS.items()))
        for path, owner in {"tmp": "root", "run": "root", "var/run": "root",
                            **dirs}.items():
            (self.dir / path).mkdir(parents=True, exist_ok=True)
            os.chown(self.dir / path, USERS[owner], USERS[owner])
        (self.dir / "tmp").chmod(0o1777)
        (self.dir / "dev").mkdir()
        for name, number in DEVICES.items():
            os.mknod(self.dir / "dev" / name, stat.S_IFCHR | 0o666,
                     os.makedev(*number))
            (self.dir / "dev" / name).chmod(0o666)
        for path, text in files.items():
            self.write(path, text.format(host=self.host, port=self.port))
        self.start(command)

    def write(self, path, text):
        """A new file: the one that is there is everybody's."""
        path = self.dir / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(text)
        path.chmod(0o644)

    def start(self, command):
        with open(self.dir / "output", "wb") as output:
            self.process = subprocess.Popen(
                ["chroot", str(self.dir), *command], stdout=output,
                stderr=output, stdin=subprocess.DEVNULL, cwd="/",
                start_new_session=True, env={"PATH": "/usr/sbin:/usr/bin"})

        def up():
            assert self.process.poll() is None, self.log()
            return accepts(self.address)
        try:
            wait_until(up, command[0])
        except AssertionError:
            self.stop()
            raise AssertionError(self.log()) from None

    def log(self):
        paths = [self.dir / "output", *(self.dir / "spool/log").glob("*log")]
        return "".join(path.read_text(errors="replace") for path in paths)

    def wait_log(self, pattern):
        return wait_until(lambda: pattern in self.log(),
                          f"{pattern} in {self.log()}")

    def stop(self):
        """With all that it started, which is a session of its own."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            pass
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()


# --- Exim: takes everything by SMTP, and passes it on ---

EXIM_CONF = """\
primary_hostname = exim.example
spool_directory = /spool
log_file_path = /spool/log/%slog
local_interfaces = <; {{host}}
daemon_smtp_ports = {{port}}
acl_smtp_rcpt = any
{tls}keep_environment =
disable_ipv6
smtputf8_advertise_hosts =
chunking_advertise_hosts = {chunking}
host_lookup =
rfc1413_query_timeout = 0s
begin acl
any:
  deny local_parts = refused
       message = not here
  accept
begin routers
all:
  driver = manualroute
  route_list = * {host}
  self = send
  transport = out
begin transports
out:
  driver = smtp
  protocol = lmtp
  port = {port}
  allow_localhost
  multi_domain
  hosts_try_fastopen =
{transport}
begin retry
* * F,1h,1h
"""


class Exim(Jailed):
    """to: where it delivers, by LMTP."""

    def __init__(self, directory, to, chunking="*", transport="", tls=None,
                 tls_on_connect=False):
        """tls: certificate and key (pki.py); transport: options of it."""
        files = {}
        if tls:
            files = {"tls/cert": tls.cert.read_text(),
                     "tls/key": tls.key.read_text()}
            tls = ("tls_advertise_hosts = *\ntls_certificate = /tls/cert\n"
                   "tls_privatekey = /tls/key\n")
            if tls_on_connect:
                tls += "tls_on_connect_ports = {{port}}\n"
        conf = EXIM_CONF.format(
            host=to.address[0], port=to.port, chunking=chunking,
            transport=transport, tls=tls or "tls_advertise_hosts =\n")
        conf = conf.replace("{{port}}", "{port}")
        super().__init__(directory, {"etc/exim4/exim4.conf": conf, **files},
                         {"spool": "Debian-exim", "spool/log": "Debian-exim"},
                         "/usr/sbin/exim4", "-bdf", "-q1h")


# --- OpenSMTPD ---

# Its own LMTP client, or the one that it runs for each recipient.
SMTPD_ACTIONS = {
    "relay": 'relay host "lmtp://{host}:{port}"',
    "lmtp": 'lmtp "{host}:{port}" rcpt-to virtual {{ "@" = "nobody" }}',
}
SMTPD_CONF = """\
listen on {{host}} port {{port}} hostname opensmtpd.example
action "out" {action}
match from any for any action "out"
"""


class OpenSMTPD(Jailed):
    def __init__(self, directory, to, action="relay"):
        action = SMTPD_ACTIONS[action].format(host=to.address[0], port=to.port)
        conf = SMTPD_CONF.format(action=action.replace("{", "{{")
                                 .replace("}", "}}"))
        super().__init__(directory, {"etc/smtpd.conf": conf},
                         {"var/spool": "root"}, "/usr/sbin/smtpd", "-d")


# --- Cyrus ---

IMAPD_CONF = """\
configdirectory: /var/lib/cyrus
partition-default: /var/spool/cyrus
defaultpartition: default
sasl_pwcheck_method: alwaystrue
virtdomains: userid
defaultdomain: example.org
admins: cyrus
autocreate_post: yes
autocreate_quota: 0
duplicatesuppression: no
servername: cyrus.example
lmtp_downcase_rcpt: yes
{settings}
"""
CYRUS_CONF = """\
SERVICES {{
  lmtp cmd="/usr/lib/cyrus/bin/lmtpd -a" listen="{host}:{port}" prefork=0
}}
"""


class Cyrus(Jailed):
    """Users of example.org are made when mail for them comes in."""

    def __init__(self, directory, settings=""):
        dirs = {path: "cyrus" for path in (
            "var/lib/cyrus", "var/spool/cyrus", "run/cyrus",
            *(f"var/lib/cyrus/{name}" for name in
              ("db", "proc", "socket", "lock", "log", "msg", "ptclient")))}
        super().__init__(
            directory, {"etc/imapd.conf": IMAPD_CONF.format(settings=settings),
                        "etc/cyrus.conf": CYRUS_CONF},
            dirs, "/usr/lib/cyrus/bin/master", "-C", "/etc/imapd.conf", "-M",
            "/etc/cyrus.conf", "-p", "/run/master.pid")

    def mails(self):
        """Of all users, whose directories have names of Cyrus' own."""
        spool = self.dir / "var/spool/cyrus"
        return [path.read_bytes() for path in spool.glob("**/[0-9]*.")]
