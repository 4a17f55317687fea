"""passdb { driver = ldap } and servers that are broken, or mean harm: whoever
needs them gets a 451 in time, others go on, and nothing grows without end."""
import re
import socket
import ssl
import threading

import pytest

import hostile_ldap as ldap
from hostile_ldap import (BIND, BIND_RESULT, DONE, EXTENDED, EXTENDED_RESULT,
                          SEARCH, Directory, LdapScript, ber, entry, message,
                          notice, reference, result)
from pki import Pki
from ports import LOCALHOST, free_port
from test_hostile import Growth
from test_limits import open_fds
from waiting import wait_until

JOE, ANN, SUE = "joe@example.org", "ann@example.org", "sue@example.org"
ATTRS = "host=host, telephoneNumber=port, =proxy=y"
CONF = """\
uris = {url}
dn = cn=proxy
dnpass = secret
base = dc=org
pass_filter = (mail=%u)
pass_attrs = {attrs}
{extra}"""
# ann lives elsewhere; who else there is, only the LDAP server knows.
PASSDBS = """\
auth_lookup_timeout = {timeout} secs
passdb {{
  driver = static
  username_filter = ann@*
  args = nopassword=y proxy=y host={backend.host} port={backend.port}
}}
passdb {{
  driver = ldap
  args = {path}
}}
"""
MIB = 1024 * 1024


@pytest.fixture
def scripts():
    """scripts(script): a server that does what the script says."""
    made = []

    def make(*args, **kwargs):
        made.append(LdapScript(*args, **kwargs))
        return made[-1]

    yield make
    for server in made:
        server.stop()


@pytest.fixture
def with_ldap(instance, backend):
    """with_ldap(url): a proxy with a single thread, which everybody has to
    share."""
    made = []

    def start(url, extra="", attrs=ATTRS, config="", timeout=2):
        proxy = instance()
        made.append(proxy)
        proxy.threads = 1
        path = proxy.write_file("ldap.conf.ext", CONF.format(
            url=getattr(url, "url", url), attrs=attrs, extra=extra))
        return proxy.start(PASSDBS.format(path=path, backend=backend,
                                          timeout=timeout) + config)

    yield start
    for proxy in made:
        print(f"--- waypost on {proxy.address} ---\n{proxy.log}")


def rcpt(proxy, address=JOE):
    with proxy.session() as client:
        assert client.mail() == 250
        return client.rcpt(address)


TEMPORARY = re.compile(r"451 4\.(3\.0|4\.3) <[a-z]+@example\.org> "
                       r"Temporary user lookup failure(: [a-z ]+)?")


def is_temporary(reply):
    return bool(TEMPORARY.fullmatch(reply.raw[-1])) and len(reply.raw) == 1


def check(proxy, why, url=""):
    """joe gets a temporary failure, and nobody waits for him."""
    with proxy.session() as client, proxy.session() as other:
        assert client.mail() == 250
        client.send(f"RCPT TO:<{JOE}>\r\n")
        assert other.deliver(ANN)[0] == 250
        reply = client.reply()
        assert is_temporary(reply), reply
        assert client.rcpt(ANN) == 250
    proxy.wait_log(rf"Error: passdb ldap: {re.escape(url)}.*{why}")


# --- what is no LDAP, or no answer to what was asked ---

def says(data):
    """Says it where the answer to a search should be, and waits."""
    def script(connection):
        connection.search()
        connection.send(data)
        connection.until_closed()
    return script


def asked(make):
    """The same, with the id of the search known."""
    def script(connection):
        connection.send(make(connection.search().id))
        connection.until_closed()
    return script


OK = b"\x0a\x01\x00\x04\x00\x04\x00"  # the inside of a result
BROKEN = "broken message"
OTHER = "an answer to something else"
SILENT = "no answer to searches"

NONSENSE = {
    "http": (says(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
             "does not speak LDAP"),
    "zeros": (says(bytes(4096)), "does not speak LDAP"),
    "length": (says(b"\x30\x84\x7f\xff\xff\xff"), "more than is taken"),
    "length-of-8": (says(b"\x30\x88" + b"\xff" * 8), BROKEN),
    "length-of-127": (says(b"\x30" + b"\xff" * 200), BROKEN),
    "just-too-long": (says(b"\x30\x83\x40\x00\x01"), "more than is taken"),
    "indefinite": (says(b"\x30\x80\x02\x01\x02\x65\x00\x00"), BROKEN),
    "empty": (says(b"\x30\x00"), BROKEN),
    "only-an-id": (says(b"\x30\x03\x02\x01\x02"), BROKEN),
    "inner-length": (says(b"\x30\x05\x02\x7f\x02\x65\x00"), BROKEN),
    "empty-id": (says(message(b"", ber(DONE, OK))), BROKEN),
    "long-id": (says(message(b"\0" * 9, ber(DONE, OK))), BROKEN),
    "negative-id": (says(message(-2, ber(DONE, OK))), BROKEN),
    "most-negative-id": (says(message(-2**31, ber(DONE, OK))), BROKEN),
    "id-0": (says(result(0)), "ends the connection"),
    "bind-id-0": (says(result(0, BIND_RESULT)), "ends the connection"),
    "extended-id-0": (says(result(0, EXTENDED_RESULT)),
                      "ends the connection"),
    "notice": (says(notice()), "ends the connection"),
    "notice-of-another-form": (says(notice(b"\0\0\0")),
                               "ends the connection"),
    "unknown-id": (asked(lambda i: result(i + 40)), SILENT),
    "largest-id": (asked(lambda i: result(2**31 - 1)), SILENT),
    "bind-again": (asked(lambda i: result(i, BIND_RESULT)), OTHER),
    "extended": (asked(lambda i: result(i, EXTENDED_RESULT)), OTHER),
    "old-bind": (asked(lambda i: result(1, BIND_RESULT)), SILENT),
    "request": (asked(lambda i: message(i, ber(SEARCH, OK))), BROKEN),
    "no-code": (asked(lambda i: message(i, ber(DONE, b"\x04\0\x04\0"))),
                BROKEN),
    "no-text": (asked(lambda i: message(i, ber(DONE, b"\x0a\1\0\x04\0"))),
                BROKEN),
    "huge-code": (asked(lambda i: message(
        i, ber(DONE, b"\x0a\x09" + b"\xff" * 9 + b"\x04\0\x04\0"))), BROKEN),
    "entry-of-nothing": (asked(lambda i: message(i, ber(ldap.ENTRY))),
                         BROKEN),
    "entry-of-noise": (asked(lambda i: message(
        i, ber(ldap.ENTRY, b"\x04\x01x\x30\x7fabc"))), BROKEN),
    "values-of-noise": (asked(lambda i: message(i, ber(
        ldap.ENTRY, ber(4, "x"),
        ber(0x30, ber(0x30, ber(4, "host"), b"\x31\x7f\x04\x01a"))))),
        BROKEN),
    "entry-without-end": (asked(lambda i: entry(i, "dc=x", {"host": "h"})),
                          SILENT),
    "half-a-message": (asked(lambda i: result(i)[:-1]), SILENT),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense(scripts, with_ldap, name):
    script, why = NONSENSE[name]
    server = scripts(script)
    proxy = with_ldap(server)
    check(proxy, why, server.url)
