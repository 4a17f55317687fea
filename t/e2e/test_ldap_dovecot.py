"""pass_attrs and what they make of entries, beside what Dovecot makes of the same file
and the same server: doveadm auth lookup, and waypost -l.

	WAYPOST_RANDOM_SEED=7 WAYPOST_RANDOM_CASES=200 make check-e2e \\
		PYTEST_FLAGS="-k test_ldap_dovecot"

goes through two hundred values of pass_attrs of another seed.
"""
import os
import pathlib
import random
import shutil
import tempfile

import pytest

import servers
from slapd import BASE, DN, PASSWORD, PEOPLE, Slapd, ldif
from test_passwd_dovecot import ask_passdb, passdb_of_dovecot
from waypost import Waypost

pytestmark = pytest.mark.needs("dovecot", "slapd", "slapadd")

SEED = int(os.environ.get("WAYPOST_RANDOM_SEED", "1"))
CASES = int(os.environ.get("WAYPOST_RANDOM_CASES", "25"))
USERS = ["ann", "bob", "cem"]

# Of people, and of what they point to.
ATTRIBUTES = ["description", "title", "l", "st", "street", "o", "mail", "seeAlso",
              "Title", "none"]
VALUES = ["x", "a b", " a ", "a=b", "a,b", "%u", "%%", "%", "%{ldap:l}", "1", "yes", "no",
          "é", "a\tb", "{PLAIN}x", ":", "a:b", "'", '"', "\\"]
FIELDS = ["f", "g", "h", "F", "a.b", "note", "forward_x", "userdb_x", "event_x",
          "f:protected", "g:remove"]
SITE = f"cn=site,{BASE}"


def make_entries(dice, names):
    entries = ldif(SITE, objectClass=["device", "extensibleObject"], cn="site",
                   l="Berlin", title="street", description=["d", "e"])
    for number, name in enumerate(names):
        attributes = {"mail": name, "uid": f"u{number}"}
        for attribute in ATTRIBUTES[:6]:
            count = dice.choice([0, 1, 1, 2])
            if count:
                attributes[attribute] = dice.sample(VALUES, count)
        if dice.random() < 0.7:
            attributes["seeAlso"] = SITE
        if dice.random() < 0.3:
            attributes["title"] = dice.choice(["l", "st", "none"])
        entries += ldif(f"uid=u{number},{PEOPLE}",
                        objectClass=["account", "extensibleObject"], **attributes)
    return entries


class Writer:
    """Makes up values of pass_attrs."""

    def __init__(self, dice):
        self.dice = dice

    def attribute(self):
        name = self.dice.choice(ATTRIBUTES)
        return name + "@site" * (self.dice.random() < 0.15)

    def variable(self):
        dice = self.dice
        kind = dice.randrange(7)
        spec = dice.choice(["", "", "", "L", "U", "2.3", "3", "-2"])
        if kind < 4:
            default = dice.choice(["", "", ":", ":none", ":a b"])
            return f"%{spec}{{ldap:{self.attribute()}{default}}}"
        if kind == 4:
            return f"%{spec}{{ldap_ptr:{dice.choice(['title', 'l', 'none'])}}}"
        return dice.choice(["%u", "%n", "%d", "%%", "%Ln", "%{user}"])

    def template(self):
        return "".join(
            self.dice.choice([self.variable, lambda: self.dice.choice(
                ["x", "a b", "-", ";", "/", "=", ""])])()
            for _ in range(self.dice.choice([1, 1, 2, 3])))

    def item(self):
        dice = self.dice
        kind = dice.randrange(12)
        field = dice.choice(FIELDS)
        if kind < 4:
            return f"{self.attribute()}={field}"
        if kind == 4:
            text = dice.choice(["%$", "<%$>", "x%$%u", "%L$", "x", "%$%$", ""])
            return f"{self.attribute()}={field}={text}"
        if kind == 5:
            return dice.choice([self.attribute(), "", " ", f"={field}"])
        return f"={field}={self.template()}"

    def pass_attrs(self):
        items = [self.item() for _ in range(self.dice.choice([1, 2, 4, 6]))]
        if "@site" in "".join(items):
            # With fields of text alone beside it, Dovecot fails.
            items = [item for item in items
                     if "%{ldap:" in item or not item.startswith("=")]
            items.insert(0, "@site=%{ldap:seeAlso}")
        return self.dice.choice([",", ", "]).join(items)


def make_cases():
    dice = random.Random(f"ldap {SEED}")
    writer = Writer(dice)
    names = [f"{user}@case{number}.example" for number in range(CASES)
             for user in USERS]
    return [writer.pass_attrs() for _ in range(CASES)], make_entries(dice, names)


PASS_ATTRS, ENTRIES = make_cases()


def write_configuration(directory, slapd):
    """The passdbs of all cases."""
    text = ""
    for number, attrs in enumerate(PASS_ATTRS):
        path = directory / f"ldap{number}.ext"
        path.write_text(f"uris = {slapd.url()}\ndn = {DN}\ndnpass = \"{PASSWORD}\"\n"
                        f"base = {PEOPLE}\npass_filter = (mail=%u)\n"
                        f"pass_attrs = {attrs},=nopassword=%{{ldap:uid}}\n")
        path.chmod(0o644)
        text += ("passdb {\n driver = ldap\n"
                 f" args = {path}\n username_filter = *@case{number}.example\n}}\n")
    return text


@pytest.fixture(scope="module")
def both(binary):
    """(Dovecot, waypost), with the same server."""
    top = pathlib.Path(tempfile.mkdtemp(prefix="wp-"))
    top.chmod(0o755)
    slapd = Slapd(top / "l", ENTRIES)
    passdbs = write_configuration(top, slapd)

    def prepare(server):
        text = server.config.read_text()
        start = text.index("passdb {")
        server.config.write_text(
            text[:start] + passdbs + text[text.index("}\n", start) + 2:])
    dovecot = servers.Dovecot(top / "d", prepare=prepare)
    (top / "w").mkdir(mode=0o755)
    waypost = Waypost(top / "w", binary)
    waypost.write_config(passdbs)
    yield dovecot, waypost
    dovecot.stop()
    slapd.stop()
    shutil.rmtree(top, ignore_errors=True)


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("case", range(CASES))
def test_same_fields(both, case, user):
    dovecot, waypost = both
    name = f"{user}@case{case}.example"
    ours, _ = ask_passdb(waypost, name)
    assert ours == passdb_of_dovecot(dovecot, name), PASS_ATTRS[case]
