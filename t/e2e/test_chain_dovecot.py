"""What becomes of a user in a chain of passdbs, beside what Dovecot makes of the same
chain: doveadm auth lookup, and waypost -l.

	WAYPOST_RANDOM_SEED=7 WAYPOST_RANDOM_CASES=200 make check-e2e \\
		PYTEST_FLAGS="-k test_chain_dovecot"

goes through two hundred chains of another seed. Passdbs that fail are not among them: what
of theirs differs is in DOVECOT.md.
"""
import os
import pathlib
import random
import shutil
import tempfile

import pytest

import servers
from test_passwd_dovecot import ask_passdb, passdb_of_dovecot
from waypost import Waypost

pytestmark = pytest.mark.needs("dovecot")

SEED = int(os.environ.get("WAYPOST_RANDOM_SEED", "1"))
CASES = int(os.environ.get("WAYPOST_RANDOM_CASES", "30"))
# Whom one half of the files have, the other, both, or none.
USERS = ["a", "b", "both", "none"]

RESULTS = ["return-ok", "return", "return-fail", "continue", "continue-ok",
           "continue-fail"]
FIELDS = ["f=1", "f=2", "g=%u", "g=x", "h=", "h", "f:protected=3", "f:remove",
          "g:remove=", "userdb_x=1", "userdb_x=2", "k=%{passdb:f:none}", "nopassword",
          "forward_a=%{userdb:x}", "f:default=9"]


class Writer:
    """Makes up chains."""

    def __init__(self, dice, directory):
        self.dice, self.directory = dice, directory

    def fields(self):
        return " ".join(self.dice.sample(FIELDS, self.dice.choice([0, 1, 1, 2, 4])))

    def passwd_file(self, name):
        members = self.dice.choice([["a", "both"], ["b", "both"], USERS[:3], []])
        path = self.directory / name
        path.write_text("#\n" + "".join(f"{user}:{{PLAIN}}x::::::{self.fields()}\n"
                                        for user in members))
        path.chmod(0o644)
        return f" driver = passwd-file\n args = username_format=%n {path}\n"

    def driver(self, name):
        if self.dice.random() < 0.4:
            return f" driver = static\n args = password=x {self.fields()}\n"
        return self.passwd_file(name)

    def passdb(self, name, domain):
        dice = self.dice
        text = self.driver(name) + f" username_filter = *@{domain}\n"
        for setting in ("result_success", "result_failure"):
            if dice.random() < 0.5:
                text += f" {setting} = {dice.choice(RESULTS)}\n"
        if dice.random() < 0.3:
            text += f" skip = {dice.choice(['never', 'authenticated', 'unauthenticated'])}\n"
        if dice.random() < 0.1:
            text += " deny = yes\n"
        for setting in ("default_fields", "override_fields"):
            if dice.random() < 0.3:
                text += f" {setting} = {self.fields()}\n"
        return "passdb {\n" + text + "}\n"

    def chain(self, number):
        return "".join(self.passdb(f"{number}.{place}", f"case{number}.example")
                       for place in range(self.dice.choice([1, 2, 3, 3, 4])))


def make_chains(directory):
    writer = Writer(random.Random(f"chain {SEED}"), directory)
    return [writer.chain(number) for number in range(CASES)]


@pytest.fixture(scope="module")
def world(binary):
    """(Dovecot, waypost, chains)."""
    top = pathlib.Path(tempfile.mkdtemp(prefix="wp-"))
    top.chmod(0o755)
    chains = make_chains(top)

    def prepare(server):
        text = server.config.read_text()
        start = text.index("passdb {")
        server.config.write_text(text[:start] + "".join(chains) +
                                 text[text.index("}\n", start) + 2:])
    dovecot = servers.Dovecot(top / "d", prepare=prepare)
    (top / "w").mkdir(mode=0o755)
    waypost = Waypost(top / "w", binary)
    waypost.write_config("".join(chains))
    yield dovecot, waypost, chains
    dovecot.stop()
    shutil.rmtree(top, ignore_errors=True)


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("case", range(CASES))
def test_same_answer(world, case, user):
    dovecot, waypost, chains = world
    name = f"{user}@case{case}.example"
    ours, _ = ask_passdb(waypost, name)
    assert ours == passdb_of_dovecot(dovecot, name), chains[case]
