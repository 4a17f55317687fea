"""What tests of the passdb http-sql share: a store, who is in it, and a proxy that
asks it."""
import re

import pytest

from pki import Pki
from sql_stores import Rqlite

PASSDB = "passdb {{\n  driver = http-sql\n  args = {dir}/sql.conf.ext\n}}\n"
JOE = "joe@example.org"
TEMPORARY = f"451 4.3.0 <{JOE}> Temporary user lookup failure"


@pytest.fixture
def stores():
    made = []

    def make(kind=Rqlite, **kwargs):
        made.append(kind(**kwargs))
        return made[-1]

    yield make
    for store in made:
        store.stop()


@pytest.fixture
def store(stores):
    return stores()


@pytest.fixture
def with_sql(instance):
    """with_sql(text of sql.conf.ext, config): a proxy that asks a store."""
    def start(text, config="", threads=1, ready=True):
        proxy = instance()
        proxy.threads = threads
        proxy.write_file("sql.conf.ext", text)
        config = PASSDB.format(dir=proxy.dir) + config
        if ready:
            return proxy.start(config)
        proxy.write_config(config)
        return proxy
    return start


def put(store, backend, user=JOE, **fields):
    store.add(user, **{"host": backend.host, "port": backend.port, **fields})


def rcpt(proxy, address=JOE):
    with proxy.session() as client:
        assert client.mail() == 250
        return client.rcpt(address)


def heard(backend):
    return [c for c in backend.commands if c.startswith("RCPT")]


def hostile_names():
    """Local parts that mean something to SQL, JSON, URLs or log files."""
    words = ["'", "''", "\\", "\\'", "'\\", "\\\\'", '"', '\\"', "`", ";",
             "--", "/*", "*/", "%", "%u", "%%", "%27", "$1", "$$", "?", "?1",
             ":n", "@n", "{n}", "{n:String}", "[", "]", "(", ")", ",", "&",
             "=", "#", "|", "<", ">", "^", "~", "!", "*", "_", "{", "}",
             "eq.", "not.eq.x", "null", "in.(a,b)"]
    tails = ["", "x", " OR 1=1", " OR '1'='1", "; DROP TABLE passdb",
             " UNION SELECT 'y','192.0.2.9',25,NULL,NULL", "--"]
    return [f"joe{word}{tail}" for word in words for tail in tails]


def hostile_users():
    """Local parts and domains, as (local part of the address, %n, %d). What is
    behind the first @ of a name is its domain, also when it is quoted."""
    names = hostile_names()
    plain = [name for name in names if "@" not in name]
    users = [(name, name.lower(), "example.org") for name in plain]
    users += [(f"joe@x{name[3:]}", "joe", f"x{name[3:].lower()}@example.org")
              for name in names]
    assert len(plain) >= 200 and len(users) >= 400
    return users


HOSTILE_CONFIG = "auth_username_chars =\nrecipient_delimiter =\n"


def check_hostile_users(proxy, users, known):
    """Each of them is looked up as it is: only those that are known exist."""
    with proxy.session() as client:
        assert client.mail() == 250
        for user in users:
            reply = client.rcpt(quoted(user[0]) + "@example.org")
            expected = "250 " if user in known else "550 5.1.1 "
            assert reply == expected, (user, reply, proxy.log[-2000:])


def quoted(name):
    return '"' + re.sub(r'(["\\])', r"\\\1", name) + '"'


@pytest.fixture
def certificates(directory):
    """The paths of a CA, a certificate for sql.example and its key, and a
    server's context with these."""
    pki = Pki(directory / "pki")
    pair = pki.make("sql.example")
    return pki.ca.cert, *pair, pki.server(pair)
