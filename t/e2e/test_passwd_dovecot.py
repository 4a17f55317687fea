"""Extra fields of passwd-files, and the variables in them, beside what Dovecot makes
of the same file: doveadm auth lookup and doveadm user, and waypost -l.

	WAYPOST_RANDOM_SEED=7 WAYPOST_RANDOM_USERS=500 make check-e2e \\
		PYTEST_FLAGS="-k test_passwd_dovecot"

goes through five hundred users of another seed.
"""
import itertools
import os
import pathlib
import random
import re
import shutil
import subprocess
import tempfile

import pytest

import servers
from waiting import TIMEOUT
from waypost import SANITIZER, Waypost

pytestmark = pytest.mark.needs("dovecot")

SEED = int(os.environ.get("WAYPOST_RANDOM_SEED", "1"))
USERS = int(os.environ.get("WAYPOST_RANDOM_USERS", "20"))
CLIENT = ["lip=192.0.2.1", "rip=2001:db8::9", "lport=24", "rport=4711",
          "session=tHe+Session"]
TEMPFAIL = 75

NAMES = ["joe", "a.b-c_d", "12345", "0", "ann", "x", "_.-", "averylongname" * 4]
DOMAINS = ["example.org", "mail.example.org", "a", "7", "1.2.3.example", "-x.y", ""]

SHORT = "undsrlabm"
LONG = ["user", "username", "domain", "domain_first", "domain_last", "service",
        "rip", "lip", "rport", "lport", "real_rip", "real_lip", "real_rport",
        "real_lport", "orig_user", "orig_username", "orig_domain", "mech",
        "login_user", "login_username", "login_domain", "auth_user",
        "auth_username", "auth_domain", "remote_ip", "local_ip", "remote_port",
        "local_port", "client_id", "nope", ""]
MODIFIERS = "LUEXRHNMDT"
HASHES = ["md5", "sha1", "sha256", "sha384", "sha512", "sha3-256", "sha3-512",
          "pkcs5", "frob"]
OPTIONS = ["rounds=2", "rounds=0", "truncate=12", "truncate=64", "format=hex",
           "format=base64", "format=hexuc", "salt=x", "salt=%u"]
OPERATORS = ["==", "!=", "<", "<=", ">", ">=", "eq", "ne", "lt", "le", "gt", "ge",
             "*", "!*", "~", "!~", "=", ""]
TEXTS = ["", "a", "joe", "1", "12", "-3", "*", "*o*", "?o?", "^j", "[0-9]+", "x.y",
         "example.org", "[", "'", "\\"]
KEYS = ["f", "g", "h", "F", "a.b", "a-b", "mail", "uid", "gid", "home", "note",
        "forward_x", "f:protected", "g:remove", "h:frob", "userdb_x", "userdb_y",
        "userdb_mail", "userdb_quota_rule", "userdb_home", "nopassword", "reason", "event_x"]


class Writer:
    """Makes up the lines of users."""

    def __init__(self, dice):
        self.dice = dice

    def number(self):
        return self.dice.choice(["", "0", "1", "3", "03", "007", "16", "-1", "-2",
                                 "-04", "99"])

    def variable(self, depth=0):
        dice = self.dice
        spec = ""
        if dice.random() < 0.3:
            spec += self.number()
            if dice.random() < 0.6:
                spec += "." + self.number()
        for _ in range(dice.choice([0, 0, 1, 1, 2, 3])):
            spec += dice.choice(MODIFIERS)
        kind = dice.randrange(12)
        if kind < 4:
            return f"%{spec}{dice.choice(SHORT)}"
        if kind < 8:
            return f"%{spec}{{{dice.choice(LONG[:-2])}}}"
        if kind == 8:
            return dice.choice(["%%", "%", f"%{spec}{{{dice.choice(LONG)}}}",
                                "%z", "%{", "%{user", "%5%", "%L%", "%}"])
        if kind == 9:
            options = dice.sample(OPTIONS, dice.choice([0, 1, 1, 2, 3]))
            options.sort(key=lambda option: option.startswith("salt"))
            return (f"%{spec}{{{dice.choice(HASHES)}"
                    f"{';' * bool(options)}{','.join(options)}:"
                    f"{dice.choice(LONG[:6])}}}")
        if kind == 10 and depth < 2:
            return self.condition(depth)
        return (f"%{spec}{{{dice.choice(['passdb', 'userdb'])}:"
                f"{dice.choice(['f', 'g', 'x', 'mail', 'user'])}"
                f"{dice.choice(['', ':', ':default'])}}}")

    def operand(self, depth):
        if self.dice.random() < 0.5:
            return self.variable(depth + 1)
        return self.dice.choice(TEXTS[:-1])  # a backslash would hide the end

    def condition(self, depth):
        # Dovecot has the one that is not taken fail, too: so it never does.
        operators = OPERATORS[6:-4] if depth else OPERATORS
        parts = [self.operand(depth), self.dice.choice(operators),
                 self.operand(depth), self.operand(depth), self.operand(depth)]
        if self.dice.random() < 0.15:
            parts = parts[:self.dice.randrange(2, 5)]
        return "%{if;" + ";".join(parts) + "}"

    def value(self):
        return "".join(
            self.dice.choice([self.variable, lambda: self.dice.choice(TEXTS)])()
            for _ in range(self.dice.choice([1, 1, 2, 3])))

    def field(self):
        key = self.dice.choice(KEYS)
        kind = self.dice.randrange(10)
        if kind == 0:
            return key
        if kind == 1:
            return self.dice.choice([f"{key}=", "", f"{key}==x", f"{key}=a=b", "=x",
                                     f"={key}=x"])
        return f"{key}={self.value()}"

    def parts(self, name):
        """What may stand in front of the fields, and more or less of it."""
        parts = [name, "{PLAIN}x", "1001", "1002", "", f"/home/{name}", ""]
        kind = self.dice.randrange(20)
        if kind < 3:
            return parts[:self.dice.randrange(2, 8)]
        if kind == 3:
            return [*parts, "", self.dice.choice(
                ["maildir:/x/%Lu", "maildir:/x ", ":x"])]
        if kind < 7:
            number = self.dice.randrange(1, 7)
            parts[number] = "" if 2 <= number <= 3 else self.dice.choice(
                ["", "x y", "%u", "/bin/sh", "~/x", "1.5", "-1", "%"])
        return parts

    def line(self, name):
        parts = self.parts(name)
        if len(parts) == 7:
            fields = self.dice.choice([1, 1, 2, 4, 6])
            parts += [" ".join(self.field() for _ in range(fields))]
        again = f"{name}:x:1:2::/:again=1\n" * (self.dice.random() < 0.05)
        end = self.dice.choice(["\n"] * 8 + ["\r\n", "\n\n# x\n"] +
                               [" \n"] * (len(parts) > 7))
        return ":".join(parts) + end + again


def make_users():
    dice = random.Random(f"passwd {SEED}")
    writer = Writer(dice)
    users = {}
    while len(users) < USERS:
        domain = dice.choice(DOMAINS)
        name = f"{dice.choice(NAMES)}{len(users)}" + ("@" + domain) * bool(domain)
        users[name] = writer.line(name)
    return users


LINES = make_users()


@pytest.fixture(scope="module")
def both(binary):
    """(Dovecot, waypost), with the same file of users."""
    top = pathlib.Path(tempfile.mkdtemp(prefix="wp-"))
    top.chmod(0o755)
    text = "".join(LINES.values())

    def prepare(server):
        (server.dir / "users").write_text(text)
    dovecot = servers.Dovecot(top / "d", users=[], prepare=prepare,
                              extra="auth_username_chars =\n")
    (top / "w").mkdir(mode=0o755)
    waypost = Waypost(top / "w", binary)
    waypost.write_file("users", text)
    block = f"{{\n driver = passwd-file\n args = {waypost.dir}/users\n}}\n"
    waypost.write_config(f"passdb {block}userdb {block}auth_username_chars =\n"
                         "mail_location = maildir:~/Maildir\n")
    yield dovecot, waypost
    dovecot.stop()
    shutil.rmtree(top, ignore_errors=True)


def doveadm(dovecot, *args):
    result = subprocess.run([servers.find("doveadm"), "-c", dovecot.config, *args],
                            capture_output=True, timeout=TIMEOUT)
    return result.returncode, result.stdout.decode(errors="replace")


def facts():
    return [word for fact in ["service=lmtp", *CLIENT] for word in ("-x", fact)]


def passdb_of_dovecot(dovecot, name):
    """Fields, or why there are none."""
    status, text = doveadm(dovecot, "auth", "lookup", *facts(), name)
    if status:
        return "fails" if status == TEMPFAIL else "nobody"
    fields = dict(re.findall(r"^  (\S+) *(?:: (.*)|)$", text, re.M))
    fields.pop("user", None)
    return fields


def userdb_of_dovecot(dovecot, name):
    status, text = doveadm(dovecot, "user", *facts(), name)
    if status:
        return "fails" if status == TEMPFAIL else "nobody"
    return dict(re.findall(r"^(\S+)\t?(.*)$", text, re.M)[1:])


def unescape(text):
    return re.sub(r"\\x([0-9a-f]{2})", lambda m: chr(int(m[1], 16)), text)


def fields_below(text, heading, word=""):
    """The fields in the lines behind a heading, of those that begin with word."""
    below = text.split(f"\n{heading}", 1)[1].split("\n")[1:]
    indented = itertools.takewhile(lambda line: line.startswith("  "), below)
    found = [line[2:].removeprefix(word).partition("=") for line in indented
             if line[2:].startswith(word) and not line.startswith("  name: ")]
    return {key: unescape(value) for key, _, value in found}


def ask_passdb(waypost, name):
    """What the passdb says, and all that is printed."""
    words = [word for fact in CLIENT for word in ("-x", fact)]
    result = waypost.run("-l", name, *words)
    assert not SANITIZER.search(result.stderr), result.stderr
    if "\nfields:\n" in result.stdout:
        return fields_below(result.stdout, "fields:"), result.stdout
    return "fails" if result.returncode == TEMPFAIL else "nobody", None


def look(waypost, name):
    """What passdb and userdb say."""
    passdb, text = ask_passdb(waypost, name)
    if text is None:
        return passdb, None
    if re.search(r"^  (answer: failed|note: field home: )", text, re.M):
        return passdb, "fails"
    if "\n  answer: not found" in text:
        return passdb, "nobody"
    return passdb, fields_below(text, "userdb 1: ", "said: ")


def without_nothing(fields):
    """doveadm has words for a field that is not there, or without a value."""
    if isinstance(fields, str):
        return fields
    usual = {"uid": "", "gid": "", "home": "", "mail": "maildir:~/Maildir"}
    return {key: value for key, value in fields.items()
            if usual.get(key) != value and (key, value) not in
            [("mail", ""), ("mail", "yes")]}


@pytest.mark.parametrize("name", LINES)
def test_same_fields(both, name):
    dovecot, waypost = both
    passdb, userdb = look(waypost, name)
    assert passdb == passdb_of_dovecot(dovecot, name), LINES[name]
    # doveadm goes on, and takes what has a percent sign for settings; and it asks no
    # passdb first.
    if userdb is None or "%" in str(userdb) or \
            re.search(r"userdb_\S*\{passdb:", LINES[name]):
        return
    theirs = userdb_of_dovecot(dovecot, name)
    assert without_nothing(userdb) == without_nothing(theirs), LINES[name]
