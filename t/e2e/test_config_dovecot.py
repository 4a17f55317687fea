"""What a configuration means for a connection, beside what Dovecot's doveconf says
that it means: settings in filters of all kinds, in one another and repeated, with
includes, variables, quotes, continued lines and files.

	WAYPOST_RANDOM_SEED=7 WAYPOST_RANDOM_CONFIGS=1000 make check-e2e \\
		PYTEST_FLAGS="-k test_config_dovecot"

goes through a thousand configurations of another seed.
"""
import ipaddress
import os
import pathlib
import random
import re
import subprocess

import pytest

import servers
from waiting import TIMEOUT

pytestmark = pytest.mark.needs("doveconf")

SEED = int(os.environ.get("WAYPOST_RANDOM_SEED", "1"))
CONFIGS = int(os.environ.get("WAYPOST_RANDOM_CONFIGS", "30"))
TOOL = pathlib.Path(os.environ.get("WAYPOST_TOOLS", "t/tools"), "settings_for")

LOCALS = ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.9/24", "10.1.2.3",
          "10.1.2.3/32", "2001:db8::/32", "2001:db8:1::/48", "2001:db8:1::1"]
REMOTES = ["192.0.0.0/9", "192.0.2.0/24", "192.0.2.0/25", "192.0.2.7",
           "2001:db8:8000::/33", "2001:db8:9::1"]
NAMES = ["mx.example", '"mx.example  a.example"', "*.example", "MX.Example",
         "a.example", "m?.example", "?x.example", "m*.example", "?x*.example",
         '"?b*.example  mx.example"', "*.y.example", "x.*.example"]
PROTOCOLS = ["lmtp", "lmtp", "lmtp", "!imap", "!pop3", "imap", "!lmtp"]
HOSTS = {
    "local": ["10.1.2.3", "10.1.2.4", "10.1.9.9", "10.9.9.9", "172.16.0.1",
              "2001:db8:1::1", "2001:db8:1::2", "2001:db8:2::1", None],
    "remote": ["192.0.2.7", "192.0.2.8", "192.0.2.200", "192.1.1.1",
               "172.16.0.2", "2001:db8:9::1", "2001:db8:8001::1", None],
    "lname": ["mx.example", "mx1.example", "my.example", "ax.example", "axe.example",
              "abc.example", "m.example", "a.example", "b.example", "x.y.example",
              "z.y.example", "x.z.example", None],
}

GREETING, OTHER_TEXT = "login_greeting", "ssl_cipher_list"
WORDS = ["a", "B", "c d", "e  f", "x#y", "it's", '"quoted"', "$x", "a\\b",
         "{", "}", "<f", "=", "\t"]
# Values of settings that both of them have.
VALUES = {
    "hostname": ["one.example", "two.example", "three.example"],
    "mail_temp_dir": ["/tmp", "/var/tmp", "/tmp/"],
    "recipient_delimiter": ["+", "-", "+-", ""],
    "login_trusted_networks": ["10.0.0.0/8", "::1 127.0.0.1", ""],
    "lmtp_verbose_replies": ["yes", "no"],
    "mail_debug": ["yes", "no", "y"],
    "lmtp_add_received_header": ["yes", "no", "Yes"],
    "lmtp_hdr_delivery_address": ["final", "none", "original"],
    "lmtp_client_workarounds": ["", "mailbox-for-path"],
    "ssl_options": ["no_ticket", ""],
    "ssl_prefer_server_ciphers": ["yes", "no"],
}
FROM_FILE = "ssl_curve_list"
TEXTS = [GREETING, OTHER_TEXT, FROM_FILE]
MARK = "---"
DEFAULT_GREETINGS = "Dovecot (Debian) ready.", "Waypost ready."
PROCESS = {
    "auth_default_realm": ["a.example", "b.example"],
    "info_log_path": ["/tmp/a", "/tmp/b"],
    "auth_cache_ttl": ["1 mins", "2 hours"],
}
PLUGIN = {"quota_rule": "*:storage=%dM", "quota_rule2": "Trash:storage=+%d%%%%",
          "quota_grace": "%d%%%%"}
LISTENER = {
    "inet_listener": {"port": ["0", "24", "2424"], "haproxy": ["yes", "no"],
                      "address": ["127.0.0.1", "::1", ""]},
    "unix_listener": {"mode": ["0700", "0600", "0666"], "user": ["", "root"]},
}
BASE = """\
ssl = no
instance_name = ---
hostname = base.example
login_greeting = one greeting
ssl_cipher_list = one list
ssl_curve_list = one curve
lmtp_proxy = yes
mail_location = maildir:~/Maildir
userdb {
  driver = static
  args = uid=1001 gid=1001 home=/nowhere
}
plugin {
  quota = maildir:User quota
}
"""
PASSDB = "passdb {\n  driver = static\n  args = nopassword=y at=%s\n}\n"


class Writer:
    """Makes up one configuration."""

    def __init__(self, dice, directory):
        self.dice, self.dir = dice, directory
        self.files = 0
        # Few of them at a time: the more filters match, the more often Dovecot
        # refuses all of it.
        self.kinds = dice.choice([
            ["protocol"], ["local"], ["remote"], ["local", "protocol"],
            ["local", "remote"], ["local_name", "protocol"], ["local_name"],
            ["remote", "protocol"], ["local", "protocol"],
            ["local", "local_name", "remote", "protocol"]])
        self.settings = dice.sample(sorted(VALUES), 2) + TEXTS
        self.passdbs = 0

    def file(self, text):
        self.files += 1
        name = f"part{self.files}.conf"
        (self.dir / name).write_text(text)
        return name

    # --- values ---

    def quoted(self, text):
        quote = self.dice.choice("\"'")
        return quote + re.sub(r"([\\\"'])", r"\\\1", text) + quote

    def text(self, name):
        """A value of a setting that may be any text."""
        kind = self.dice.randrange(12)
        if kind == 0:
            return ""
        if name == FROM_FILE and kind < 6:
            return self.dice.choice([
                "<" + self.file(f"{self.dice.random()} \n\tx\n"),
                f"${FROM_FILE}"])
        if kind == 2:
            return f"${name} more"
        if kind == 3:
            return self.dice.choice(TEXTS[:2]).join(["a  $", " \t b"])
        if kind == 4:
            return f"one \\\n   two{self.dice.randrange(9)} \\\n\tthree"
        words = [self.dice.choice(WORDS) for _ in range(3)]
        if name != FROM_FILE:
            words = [word for word in words if word != "\t"]
        text = " ".join(words) + str(self.dice.randrange(99))
        if kind < 8:
            return self.quoted(text)
        if kind == 8:
            return text.lstrip("<$ \t").replace("$", "x") + " # comment"
        return f"value {self.dice.randrange(99)}"

    def setting(self):
        name = self.dice.choice(self.settings)
        if name in TEXTS:
            value = self.text(name)
        else:
            value = self.dice.choice(VALUES[name])
            if self.dice.random() < 0.2:
                value = self.quoted(value)
        equals = self.dice.choice([" = ", "=", " =", "  =\t"])
        return f"{name}{equals}{value}\n"

    # --- blocks ---

    def net(self, kind, outer):
        nets = {"local": LOCALS, "remote": REMOTES}[kind]
        if outer:
            parent = ipaddress.ip_network(outer, strict=False)
            nets = [n for n in nets
                    if ipaddress.ip_network(n, strict=False).version ==
                    parent.version and
                    ipaddress.ip_network(n, strict=False).subnet_of(parent)]
        return self.dice.choice(nets)

    def filter(self, around, depth):
        order = ["local", "local_name", "remote", "protocol"]
        inside = [order.index(kind) for kind in around]
        kinds = [k for k in self.kinds
                 if all(order.index(k) >= i for i in inside) and
                 (k in ("local", "remote") or k not in around)]
        if not kinds:
            return ""
        kind = self.dice.choice(kinds)
        if kind == "protocol":
            name = self.dice.choice(PROTOCOLS)
        elif kind == "local_name":
            name = self.dice.choice(NAMES)
        else:
            name = self.net(kind, around.get(kind))
        body = self.block({**around, kind: name}, depth + 1)
        return f"{kind} {name} {{\n{body}}}\n"

    def plugin(self):
        name = self.dice.choice(sorted(PLUGIN))
        value = PLUGIN[name] % self.dice.randrange(1, 9)
        return f"plugin {{\n  {name} = {value}\n}}\n"

    def passdb(self):
        self.passdbs += 1
        return PASSDB % self.passdbs

    def listener(self):
        kind = self.dice.choice(["inet_listener", "unix_listener"])
        name = self.dice.choice({"inet_listener": ["a", "b"],
                                 "unix_listener": ["lmtp", "x/y"]}[kind])
        text = ""
        for _ in range(self.dice.randrange(3)):
            key = self.dice.choice(sorted(LISTENER[kind]))
            text += f"    {key} = {self.dice.choice(LISTENER[kind][key])}\n"
        return f"  {kind} {name} {{\n{text}  }}\n"

    def service(self):
        """Listeners that are there more than once, with other settings."""
        text = ""
        for _ in range(self.dice.randrange(1, 4)):
            if self.dice.random() < 0.3:
                text += f"  process_limit = {self.dice.randrange(1, 9)}\n"
            else:
                text += self.listener()
        return f"service lmtp {{\n{text}}}\n"

    def block(self, around, depth):
        text = ""
        for _ in range(self.dice.randrange(1, 5)):
            kind = self.dice.randrange(12)
            general = set(around) <= {"protocol"}
            if kind < 5 or depth > 2:
                text += self.setting()
            elif kind == 5 and general:
                name = self.dice.choice(sorted(PROCESS))
                text += f"{name} = {self.dice.choice(PROCESS[name])}\n"
            elif kind == 6 and general:
                text += self.plugin()
            elif kind == 7 and general:
                text += self.passdb()
            elif kind == 8:
                text += "!include " + self.file(self.setting()) + "\n"
            elif kind == 9:
                text += self.dice.choice(["# nothing\n", "\n", "  \t\n"])
            else:
                text += self.filter(around, depth)
        return text

    def config(self):
        text = BASE + self.passdb() + self.setting()
        for _ in range(self.dice.randrange(1, 6)):
            text += self.filter({}, 0)
            if self.dice.random() < 0.3:
                text += self.setting()
        if self.dice.random() < 0.2:
            text += self.plugin()
        for _ in range(self.dice.choice([0, 0, 1, 2, 3])):
            text += self.service()
        return text


def connections(dice, count):
    """The first host of each kind is in most networks."""
    return [{kind: dice.choice(hosts[:1] * 4 + hosts)
             for kind, hosts in HOSTS.items()} for _ in range(count)]


def every_connection():
    return [{"local": local, "remote": remote, "lname": name}
            for local in HOSTS["local"] for remote in HOSTS["remote"]
            for name in HOSTS["lname"] if can_be(local, remote)]


def can_be(local, remote):
    return not local or not remote or (":" in local) == (":" in remote)


def options(connection):
    given = {**connection, "protocol": "lmtp"}
    return [word for key, value in given.items() if value is not None
            for word in ("-f", f"{key}={value}")]


# --- what Dovecot says ---

class Conflict(Exception):
    """Dovecot refuses to say what counts for a connection. args: the setting."""


def doveconf(path, connection, names):
    """The values for a connection. A mark between them, since some are of several
    lines."""
    words = [word for name in names for word in (name, "instance_name")]
    result = subprocess.run(
        [servers.find("doveconf"), "-c", path, "-x", "-h", *options(connection),
         *words], capture_output=True, timeout=TIMEOUT)
    conflict = re.search(rb"Conflict in setting (\w+)", result.stderr)
    if conflict:
        raise Conflict(conflict[1].decode())
    assert result.returncode == 0, result.stderr.decode()
    values = result.stdout.decode().split(f"\n{MARK}\n")
    assert len(values) == len(names) + 1, values
    return dict(zip(names, values))


def unescape(text):
    return re.sub(r"\\x([0-9a-f]{2})", lambda m: chr(int(m[1], 16)), text)


def waypost_says(path, wanted):
    """Lists of (name, value): for the process, and for each connection; or what
    is wrong."""
    words = [c[k] or "-" for c in wanted for k in ("local", "remote", "lname")]
    result = subprocess.run([TOOL, path, *words], capture_output=True,
                            timeout=TIMEOUT)
    if result.returncode:
        assert result.returncode == 1, result.stderr.decode()
        return None, result.stderr.decode()
    blocks = result.stdout.decode().removesuffix("\n\n").split("\n\n")
    return [[tuple(map(unescape, line.split("=", 1)))
             for line in block.split("\n")] for block in blocks], None


def compare(path, writer, dice):
    some = connections(dice, 6)
    ours, errors = waypost_says(path, some)
    if ours is None:
        return refused(path, errors)
    names = writer.settings
    for connection, values in zip(some, ours[1:]):
        values = dict(values)
        try:
            theirs = doveconf(path, connection, names)
        except Conflict as why:
            assert not can_be(connection["local"], connection["remote"]), (
                f"{connection}: only Dovecot refuses {why}")
            continue
        assert {n: values[n] for n in names} == \
            {n: theirs[n].replace(*DEFAULT_GREETINGS) for n in names}, connection
    compare_process(path, ours[0])
    return "same"


def compare_process(path, ours):
    theirs = doveconf(path, {}, PROCESS)
    values = dict(ours)
    assert {n: values[n].removesuffix("s") for n in PROCESS} == \
        {n: theirs[n].removesuffix("s") for n in PROCESS}
    assert listeners_of_waypost(ours) == listeners_of_dovecot(path)
    text = doveconf(path, {}, ["passdb"])["passdb"]
    assert [v for n, v in ours if n == "args"] == \
        re.findall(r"^ *args = (.*)$", text, re.M)
    text = doveconf(path, {}, ["plugin"])["plugin"]
    assert {n.removeprefix("plugin "): v for n, v in ours
            if n.startswith("plugin ")} == \
        dict(re.findall(r"^ *(\w+) = (.*)$", text, re.M))


def listeners_of_waypost(ours):
    """Also what is set for the service itself, under None."""
    found, settings = {}, {}
    for name, value in ours:
        if name == "process_limit":
            found[None] = {name: value}
        if name in LISTENER:
            settings = found[name, value] = {}
        elif name == "passdb":
            break
        settings[name] = value
    return {where: {name: value for name, value in settings.items()
                    if where is None or name in LISTENER[where[0]]}
            for where, settings in found.items()}


def listeners_of_dovecot(path):
    text = doveconf(path, {}, ["service/lmtp"])["service/lmtp"]
    found = {None: {"process_limit": re.search(r"process_limit = (\d+)", text)[1]}}
    for kind, name, body in re.findall(r"^  (\w+) (\S+) \{\n(.*?)^  \}", text,
                                       re.M | re.S):
        found[kind, name] = {
            key: value for key, value in re.findall(r"^ *(\w+) = (.*)$", body, re.M)
            if key in LISTENER[kind]}
    return found


def refused(path, errors):
    """What waypost refuses, Dovecot refuses for some connection."""
    ours = set(re.findall(r":\d+: (\w+): \S+:\d+ sets it too", errors))
    assert ours, errors
    theirs = set()
    for connection in every_connection():
        try:
            doveconf(path, connection, ["hostname"])
        except Conflict as why:
            theirs.add(str(why))
        if theirs & ours:
            return "conflict"
    raise AssertionError(f"only waypost refuses {ours}:\n{errors}")


STATIC = "driver = static\nargs = a=1\n"
BOTH_REFUSE = [
    "local ::1 {\nauth_cache_ttl = 1 hours\n}\n",
    "remote ::1 {\nprotocol imap {\nauth_mechanisms = plain\n}\n}\n",
    "local_name a {\nbase_dir = /tmp\n}\n",
    "local_name a {\nlast_valid_gid = 9\n}\n",
    "remote ::1 {\npassdb {\n" + STATIC + "}\n}\n",
    "local ::1 {\nprotocol lmtp {\nuserdb {\n" + STATIC + "}\n}\n}\n",
    "passdb a {\n" + STATIC + "}\npassdb A {\n" + STATIC + "}\n",
    "userdb a {\n" + STATIC + "}\nuserdb a {\n" + STATIC + "}\n",
    ("protocol pop3 {\npassdb a {\n" + STATIC + "}\n}\n") * 2,
]
BOTH_ACCEPT = [
    "local ::1 {\nauth_socket_path = x\nlog_path = /tmp/x\n}\n",
    "remote ::1 {\nmail_max_userip_connections = 5\n}\n",
    "passdb a {\n" + STATIC + "}\nprotocol lmtp {\npassdb a {\n" + STATIC + "}\n}\n",
    ("passdb {\nname = a\n" + STATIC + "}\n") * 2,
    "passdb a {\n" + STATIC + "}\nuserdb a {\ndriver = passwd\n}\n",
]


@pytest.mark.parametrize("text, accepted", [(text, False) for text in BOTH_REFUSE] +
                         [(text, True) for text in BOTH_ACCEPT])
def test_what_is_refused(directory, text, accepted):
    path = directory / "waypost.conf"
    path.write_text(BASE + PASSDB % 1 + text)
    result = subprocess.run([servers.find("doveconf"), "-n", "-c", path],
                            capture_output=True, timeout=TIMEOUT)
    _, errors = waypost_says(path, [])
    assert (result.returncode == 0, errors is None) == (accepted, accepted), (
        result.stderr, errors)


@pytest.mark.parametrize("seed", range(CONFIGS))
def test_same_values(directory, seed):
    dice = random.Random(f"{SEED} {seed}")
    writer = Writer(dice, directory)
    path = directory / "waypost.conf"
    path.write_text(writer.config())
    try:
        compare(path, writer, dice)
    except AssertionError:
        for file in sorted(directory.iterdir()):
            print(f"--- {file.name}\n{file.read_text()}")
        raise
