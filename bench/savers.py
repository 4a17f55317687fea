"""The contestants of bench/local: who saves mail into Maildirs."""
import os
import pathlib
import pwd
import re
import subprocess
import time

import measure
import peers
import servers

DOMAIN = "example.org"
FIRST_UID = 61000
VMAIL = pwd.getpwnam("nobody")
FSYNC = {True: "optimized", False: "never"}


class Saver(peers.Server):
    """Has a Maildir for each of the users, of the uid that owner() says."""
    one_uid = False
    can_do_without_fsync = True
    rounds = 0

    def __init__(self, directory, options, fsync):
        super().__init__(directory, None)
        self.options, self.fsync = options, fsync
        self.mail = self.dir / "mail"
        self.mail.mkdir(mode=0o755)
        for number in range(options.users):
            self.make_maildir(number)
        self.configure()

    def owner(self, number):
        return VMAIL.pw_uid if self.one_uid else FIRST_UID + number

    def home(self, number):
        return self.mail / f"user{number}"

    def make_maildir(self, number):
        box = self.home(number) / "Maildir"
        for path in (box.parent, box, box / "new", box / "cur", box / "tmp"):
            self.make_directory(path, number)

    def make_directory(self, path, number):
        path.mkdir(mode=0o700)
        os.chown(path, self.owner(number), self.owner(number))

    def passwd(self):
        """A passwd-file of all users, which waypost and Dovecot both read."""
        path = self.dir / "passwd"
        path.write_text("".join(
            f"user{number}@{DOMAIN}::{self.owner(number)}:"
            f"{self.owner(number)}::{self.home(number)}::\n"
            for number in range(self.options.users)))
        path.chmod(0o644)
        return path

    def write(self, name, text):
        path = self.dir / name
        path.write_text(text)
        path.chmod(0o644)
        return path

    def used(self):
        return measure.cpu(self.pid)

    def deliver(self, load, messages):
        """(seconds, CPU seconds) that it took."""
        return self.feed("lmtp", load, messages)

    def feed(self, protocol, load, messages):
        with start_load(self.options, load, messages, protocol,
                        self.port) as sender:
            before = self.used()
            seconds, _ = go(sender)
            time.sleep(0.1)  # lines of the log; children that end
            return seconds, self.used() - before

    def saved(self):
        """(user's number, path) of every mail."""
        for number in range(self.options.users):
            new = self.home(number) / "Maildir" / "new"
            for name in os.listdir(new):
                yield number, new / name


    def put_aside(self):
        """Leaves every Maildir without new mail."""
        for number in range(self.options.users):
            new = self.home(number) / "Maildir" / "new"
            if os.listdir(new):
                new.rename(self.home(number) / f"seen{self.rounds}")
                self.make_directory(new, number)
        self.rounds += 1


def start_load(options, load, messages, protocol, target, *flags):
    sender = subprocess.Popen(
        [str(word) for word in (
            options.deliveries, *flags, "-r", load.rcpts, "-s", load.sessions,
            "-u", load.users, "-z", load.size, protocol, target, messages)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    if sender.stdout.readline() != "ready\n":
        raise SystemExit(f"bench: {sender.args} failed")
    return sender


def go(sender):
    """Lets it begin: (seconds, CPU seconds) of its own."""
    output, _ = sender.communicate("\n")
    if sender.returncode != 0:
        raise SystemExit(f"bench: {sender.args} failed")
    return [float(word) for word in output.split()]


class Plain(Saver):
    """No server at all: as many writers as there are mails at a time."""
    name, title = "plain", "plain writes"
    one_uid = True

    def configure(self):
        pass

    def deliver(self, load, messages):
        with start_load(self.options, load.all_at_once(), messages, "plain",
                        self.mail, *(["-f"] if self.fsync else [])) as writer:
            return go(writer)

    def stop(self):
        pass


class Waypost(Saver):
    """A process that becomes the user."""
    name, title = "waypost", "waypost, as each user"
    service = ids = ""

    def configure(self):
        self.launch([self.options.waypost, "-F", "-c", self.write(
            "waypost.conf",
            f"base_dir = {self.dir}/run\nlog_path = {self.dir}/log\n"
            "protocols = lmtp\nlmtp_proxy = no\n"
            f"default_internal_user = nobody\n{self.ids}"
            "mail_location = maildir:~/Maildir\n"
            f"mail_fsync = {FSYNC[self.fsync]}\n"
            f"lmtp_max_deliveries = {self.options.processes}\n"
            f"userdb {{\n  driver = passwd-file\n  args = {self.passwd()}\n}}\n"
            "service lmtp {\n  process_min_avail = 1\n"
            f"  inet_listener lmtp {{\n    address = {peers.HOST}\n"
            f"    port = {self.port}\n  }}\n}}\n")])


class WaypostPool(Waypost):
    """All mail is one user's: mail_uid."""
    name, title = "waypost-pool", "waypost, one uid"
    one_uid = True
    ids = f"mail_uid = {VMAIL.pw_uid}\nmail_gid = {VMAIL.pw_uid}\n"


class Dovecot(Saver):
    name, title = "dovecot", "Dovecot, as each user"
    user = ""

    def configure(self):
        (self.dir / "state").mkdir()
        self.launch([peers.find("dovecot"), "-F", "-c", self.write(
            "dovecot.conf",
            f"base_dir = {self.dir}/run\nstate_dir = {self.dir}/state\n"
            f"log_path = {self.dir}/log\nprotocols = lmtp\nssl = no\n"
            "default_internal_user = dovecot\ndefault_login_user = dovenull\n"
            "postmaster_address = postmaster@example.org\n"
            "mail_location = maildir:~/Maildir\n"
            f"mail_fsync = {FSYNC[self.fsync]}\n"
            "default_process_limit = 500\ndefault_vsz_limit = 0\n"
            "service anvil {\n  chroot =\n}\nservice stats {\n  chroot =\n}\n"
            f"passdb {{\n  driver = static\n  args = nopassword=y\n}}\n"
            f"userdb {{\n  driver = passwd-file\n  args = {self.passwd()}\n}}\n"
            f"service lmtp {{\n{self.user}"
            "  unix_listener lmtp {\n    mode = 0\n  }\n"
            f"  inet_listener lmtp {{\n    address = {peers.HOST}\n"
            f"    port = {self.port}\n  }}\n}}\n")])


class DovecotPool(Dovecot):
    """Its processes for LMTP are the one user from the start."""
    name, title = "dovecot-pool", "Dovecot, one uid"
    one_uid = True
    user = f"  user = {VMAIL.pw_name}\n"


# Mail is held until it is to be delivered.
POSTFIX = """\
smtpd_data_restrictions = check_client_access static:HOLD
local_header_rewrite_clients =
in_flow_delay = 0
"""


class Postfix(Saver):
    """virtual(8), from the queue: mail is held, and what is measured begins when
    it is let go. It cannot do without fsync."""
    name, title = "postfix", "Postfix, virtual(8)"
    can_do_without_fsync = False
    at_a_time = 0  # deliveries; 0: it does not run
    destinations = """\
virtual_mailbox_base = {mail}
virtual_mailbox_maps = texthash:{dir}/boxes
virtual_uid_maps = texthash:{dir}/ids
virtual_gid_maps = texthash:{dir}/ids
"""

    def start(self):
        self.postfix("postfix", "start")

    def postfix(self, program, *args):
        subprocess.run([peers.find(program), "-c", str(self.dir / "conf"), *args],
                       stdin=subprocess.DEVNULL, capture_output=True, check=True)

    def configure(self):
        for name in ("queue", "conf", "data"):
            (self.dir / name).mkdir(mode=0o755)
        owner = pwd.getpwnam("postfix")
        os.chown(self.dir / "data", owner.pw_uid, owner.pw_gid)
        users = range(self.options.users)
        self.write("boxes", "".join(
            f"user{n}@{DOMAIN} user{n}/Maildir/\n" for n in users))
        self.write("ids", "".join(
            f"user{n}@{DOMAIN} {self.owner(n)}\n" for n in users))
        self.write("conf/main.cf", servers.without_earlier(
            servers.MAIN_CF.format(
                dir=self.dir,
                settings=(POSTFIX + self.destinations).format(
                    dir=self.dir, mail=self.mail))))

    def limit(self, at_a_time):
        """Runs it so that so many deliver, as with the others."""
        if self.at_a_time == at_a_time:
            return
        self.stop()
        self.write("conf/master.cf", servers.MASTER_CF.format(
            port=f"{peers.HOST}:{self.port}") + "".join(
                f"{name} unix - n n - {at_a_time} {name}\n"
                for name in ("virtual", "local")))
        self.start()
        self.at_a_time = at_a_time
        end = time.monotonic() + 30
        while not self.master() and time.monotonic() < end:
            time.sleep(0.01)

    def master(self):
        try:
            text = (self.dir / "queue" / "pid" / "master.pid").read_text()
        except FileNotFoundError:
            return 0
        return int(text or 0)

    @property
    def pid(self):
        return self.master()

    def deliver(self, load, messages):
        self.limit(load.all_at_once().sessions)
        with start_load(self.options, load, messages, "smtp",
                        self.port) as sender:
            go(sender)
        self.postfix("postsuper", "-H", "ALL")
        with open(self.dir / "maillog", "rb") as log:
            log.seek(0, os.SEEK_END)
            before, start = self.used(), time.monotonic()
            self.postfix("postqueue", "-f")
            self.wait_sent(log, messages * load.rcpts)
            seconds = time.monotonic() - start
        time.sleep(0.1)
        return seconds, self.used() - before

    def wait_sent(self, log, count):
        end, text = time.monotonic() + 120, b""
        while count > 0:
            text += log.read()
            lines, _, text = text.rpartition(b"\n")
            count -= len(re.findall(rb"status=sent", lines))
            if time.monotonic() > end:
                raise SystemExit(f"bench: {self.name}: {count} mails are missing")
            time.sleep(0.005)

    def stop(self):
        pid = self.master()
        if self.at_a_time == 0:
            return
        self.postfix("postfix", "stop")
        while pid and os.path.exists(f"/proc/{pid}"):
            time.sleep(0.01)
        self.at_a_time = 0


class PostfixLocal(Postfix):
    """local(8), whose users are the system's: they are in a file that only its processes
    see as /etc/passwd. It looks for no aliases and no .forward."""
    name, title = "postfix-local", "Postfix, local(8)"
    destinations = """\
mydestination = example.org
virtual_mailbox_domains =
home_mailbox = Maildir/
forward_path =
"""

    def start(self):
        users = self.write("users", pathlib.Path("/etc/passwd").read_text() +
                           "".join(f"user{n}:x:{self.owner(n)}:{self.owner(n)}::"
                                   f"{self.home(n)}:/bin/false\n"
                                   for n in range(self.options.users)))
        subprocess.run(["unshare", "--mount", "sh", "-c",
                        'mount --bind "$1" /etc/passwd && exec "$2" -c "$3" start',
                        "sh", str(users), peers.find("postfix"),
                        str(self.dir / "conf")],
                       stdin=subprocess.DEVNULL, capture_output=True, check=True)


SAVERS = {cls.name: cls for cls in (Plain, Waypost, WaypostPool, Dovecot,
                                    DovecotPool, Postfix, PostfixLocal)}
