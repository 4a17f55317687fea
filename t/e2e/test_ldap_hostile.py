"""passdb { driver = ldap } and servers that are broken, or mean harm: whoever
needs them gets a 451 in time, others go on, and nothing grows without end.
What goes wrong on the way in is in test_ldap_binds.py."""
import concurrent.futures
import random
import re
import signal
import socket

import pytest

import hostile_ldap as ldap
from hostile_ldap import (BIND_RESULT, DONE, EXTENDED_RESULT, SEARCH,
                          Directory, LdapScript, ber, entry, message, notice,
                          reference, result)
from processes import open_fds
from test_hostile import Growth
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
# Seconds, where all that is asked is answered.
PATIENT = 10


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


TEMPORARY = re.compile(r"451 4\.(3\.[05]|4\.3) <[a-z0-9]+@example\.org> "
                       r"(Temporary|Internal) user lookup failure"
                       r"(: [a-z ]+)?")


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
    "negative-code": (asked(lambda i: result(i, code=255)), BROKEN),
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


@pytest.mark.parametrize("name", ["http", "length", "notice", "extended",
                                  "entry-of-noise", "entry-without-end"])
def test_the_next_server_is_asked(backend, scripts, with_ldap, name):
    bad = scripts(NONSENSE[name][0])
    good = scripts(Directory(backend))
    proxy = with_ldap(f"{bad.url} {good.url}", timeout=4)
    assert rcpt(proxy) == 250
    proxy.wait_log(rf"Error: passdb ldap: {re.escape(bad.url)}: .*"
                   + NONSENSE[name][1])


# --- answers that come strangely, or are strange ---

def joe_gets(make, **kwargs):
    """A script for Directory."""
    return lambda connection, request: connection.send(
        make(request.id, **kwargs))


def both(proxy):
    """The replies for joe and for sue, who are asked for together."""
    with proxy.session() as client:
        assert client.mail() == 250
        return client.pipeline(*[f"RCPT TO:<{user}>" for user in (JOE, SUE)])


def test_byte_by_byte(backend, scripts, with_ldap):
    def slowly(connection, request):
        for byte in directory.answer(request):
            connection.send(bytes([byte]))

    directory = Directory(backend, slowly)
    proxy = with_ldap(scripts(directory), timeout=PATIENT)
    assert [r.code for r in both(proxy)] == [250, 250]
    assert "Error" not in proxy.log


def test_answer_and_then_the_end(backend, scripts, with_ldap):
    """What was said counts, and the connection is replaced."""
    def script(connection):
        connection.send(Directory(backend).answer(connection.search()))

    server = scripts(script)
    proxy = with_ldap(server, timeout=PATIENT)
    for i in range(3):
        assert rcpt(proxy) == 250
        assert server.count == i + 1
    assert "Error" not in proxy.log


def test_idle_connection_that_ends_when_it_is_used(backend, scripts,
                                                   with_ldap):
    """As when the server closes it at that moment, or a firewall has forgotten
    it. Nobody notices."""
    def script(connection):
        connection.send(directory.answer(connection.search()))
        request = connection.request()
        if connection.server.count == 1:
            return
        connection.send(directory.answer(request))
        connection.until_closed()

    directory = Directory(backend)
    server = scripts(script)
    proxy = with_ldap(server, timeout=PATIENT)
    assert rcpt(proxy) == 250
    assert [r.code for r in both(proxy)] == [250, 250]
    assert server.count == 2
    assert "Error" not in proxy.log


def test_half_closed_connection(scripts, with_ldap):
    def script(connection):
        connection.search()
        connection.sock.shutdown(socket.SHUT_WR)
        connection.until_closed()

    server = scripts(script)
    check(with_ldap(server), "connection closed", server.url)
    assert server.count == 3


def test_answers_out_of_order_and_doubled(backend, scripts, with_ldap):
    """The first answer to a search is the answer."""
    def script(connection):
        connection.bind()
        first, second = connection.request(), connection.request()
        for request in (second, first):
            connection.send(directory.answer(request) +
                            result(request.id, code=ldap.NO_OBJECT) +
                            directory.answer(request) * 2)
        connection.until_closed()

    directory = Directory(backend)
    proxy = with_ldap(scripts(script), timeout=PATIENT)
    assert [r.code for r in both(proxy)] == [250, 250]
    assert "Error" not in proxy.log


@pytest.mark.parametrize("make,code,why", [
    # None of them, or not now
    (lambda i: reference(i) + result(i), 550, None),
    (lambda i: reference(i) + entry(i, "dc=x", {}) + result(i), 451,
     "joe.*host is not given"),
    (lambda i: result(i, code=ldap.REFERRAL, more=ber(
        0xa3, ber(4, "ldap://elsewhere.example/"))), 451,
     r"joe.*Referral \(10\)"),
    (lambda i: result(i, code=ldap.NO_OBJECT), 451,
     r"joe.*No such object \(32\)"),
    (lambda i: result(i, code=ldap.IN_PROGRESS), 451, r"joe.*\(14\)"),
    (lambda i: result(i, code=127), 451, r"joe.*\(127\)"),
    (lambda i: entry(i, "dc=a", {}) + entry(i, "dc=b", {}) + result(i), 451,
     "joe.*more than one entry: dc=a, dc=b"),
    (lambda i: entry(i, "dc=a", {}) * 1000 + result(i), 451,
     "joe.*more than one entry: dc=a, dc=a"),
    (lambda i: entry(i, "dc=a", {}) + result(i, code=4), 451,
     "joe.*more than one entry: dc=a"),
    (lambda i: entry(i, "dc=a", {}) + result(i, code=1), 451,
     r"joe.*Operations error \(1\)"),
    (lambda i: entry(i, "dc=a", {"host": "x" * MIB}) + result(i), 451,
     "joe.*entry dc=a: it is too large"),
    (lambda i: entry(i, "dc=a", {"host": ["x"] * 20000}) + result(i), 451,
     "joe.*entry dc=a: it is too large"),
    (lambda i: entry(i, "dc=a", {f"a{n}": "x" for n in range(5000)}) +
     result(i), 451, "joe.*entry dc=a: it is too large"),
    (lambda i: entry(i, "dc=a", {"x" * MIB: "x"}) + result(i), 451,
     "joe.*entry dc=a: it is too large"),
    (lambda i: entry(i, "d" * MIB, {"host": []}) + result(i), 451,
     "joe.*host is not given"),
    (lambda i: entry(i, "dc=a", {"host": "a\0b"}) + result(i), 451,
     "joe.*entry dc=a: the value of host holds a NUL byte"),
])
def test_answers_for_one(backend, scripts, with_ldap, make, code, why):
    """What is wrong with one answer concerns nobody else, not even on the
    same connection."""
    server = scripts(Directory(backend, joe_gets(make)))
    proxy = with_ldap(server, timeout=PATIENT)
    for _ in range(2):
        joe, sue = both(proxy)
        assert (joe.code, sue.code) == (code, 250)
        assert code == 550 or is_temporary(joe)
    assert server.count == 1
    if why:
        line = proxy.wait_log(rf"Error: .*{why}")
        assert server.url in line or r"\(" not in why
    else:
        assert "Error" not in proxy.log


def test_server_that_dies_of_one_search(backend, scripts, with_ldap):
    """It takes nobody else down: what was lost twice is asked alone."""
    def script(connection):
        connection.bind()
        while True:
            requests = connection.batch()
            if any("joe@" in request for request in requests):
                return
            for request in requests:
                connection.send(Directory(backend).answer(request))

    server = scripts(script)
    proxy = with_ldap(server, timeout=10)
    with proxy.session() as client:
        assert client.mail() == 250
        users = [f"u{i}@example.org" for i in range(10)]
        users.insert(5, JOE)
        replies = client.pipeline(*[f"RCPT TO:<{user}>" for user in users])
        assert [r.code for r in replies] == [250] * 5 + [451] + [250] * 5
    proxy.wait_log(rf"Error: .*{JOE}: search .*: connection closed")


# --- without end ---

FLOODS = {
    "entries": lambda i: entry(i, "dc=x", {"host": "h"}),
    "large-entries": lambda i: entry(i, "dc=x", {"host": "h" * MIB}),
    "references": reference,
    "intermediate": lambda i: message(i, ber(ldap.INTERMEDIATE)),
    "results-of-nothing": lambda i: result(i + 40),
    "entries-of-nothing": lambda i: entry(i + 40, "dc=x", {"host": "h"}),
}


@pytest.mark.parametrize("name", FLOODS)
def test_flood(backend, scripts, with_ldap, name):
    """Much is not an answer: the server counts as silent."""
    def script(connection):
        data = FLOODS[name](connection.search().id)
        data *= 65536 // len(data) + 1
        while True:
            connection.send(data)

    bad, good = scripts(script), scripts(Directory(backend))
    proxy = with_ldap(bad)
    check(proxy, SILENT, bad.url)
    with Growth(proxy, 16 * MIB):
        for _ in range(3):
            assert is_temporary(rcpt(proxy))
    proxy = with_ldap(f"{bad.url} {good.url}", timeout=4)
    assert rcpt(proxy) == 250
    # At most a new connection of each stays, for the next search.
    wait_until(lambda: bad.serving <= 2, "the flood to end")


def test_trickle(backend, scripts, with_ldap):
    """A message that never ends, for one byte after another comes."""
    def script(connection):
        connection.search()
        connection.send(b"\x30\x83\x3f\xff\xff")
        while not connection.server.over.wait(0.05):
            connection.send(b"\0")

    bad, good = scripts(script), scripts(Directory(backend))
    check(with_ldap(bad), SILENT, bad.url)
    proxy = with_ldap(f"{bad.url} {good.url}", timeout=4)
    assert rcpt(proxy) == 250


def test_answers_that_come_too_late(backend, scripts, with_ldap):
    """They are no sign of life for who still waits."""
    def script(connection):
        connection.bind()
        requests = [connection.request() for _ in range(7)]
        # Three of them in time: 4 seconds.
        for request, pause in zip(requests, (1, 1, 1, 1.8, 1.2, 1.2, 1.2)):
            connection.server.over.wait(pause)
            connection.send(directory.answer(request))
        connection.until_closed()

    directory = Directory(backend)
    bad, good = scripts(script), scripts(directory)
    proxy = with_ldap(f"{bad.url} {good.url}", timeout=4)
    with proxy.session() as client:
        assert client.mail() == 250
        replies = client.pipeline(*[f"RCPT TO:<u{i}@example.org>"
                                    for i in range(7)])
        assert [r.code for r in replies] == [250] * 3 + [451] * 4
        assert client.rcpt(JOE) == 250
    proxy.wait_log(rf"Error: passdb ldap: {re.escape(bad.url)}: {SILENT}")


def test_flood_of_many(backend, scripts, with_ldap):
    """Forgotten searches take no memory, and no room for ever."""
    def script(connection):
        connection.bind()
        connection.until_closed()

    server = scripts(script)
    proxy = with_ldap(server, timeout=1)
    users = [f"u{i}@example.org" for i in range(500)]

    def ask():
        with proxy.session() as client:
            assert client.mail() == 250
            for reply in client.pipeline(*[f"RCPT TO:<{u}>" for u in users]):
                assert is_temporary(reply)
    ask()
    fds = open_fds(proxy)
    with Growth(proxy, 2 * MIB):
        for _ in range(3):
            ask()
    assert open_fds(proxy) <= fds + 2


# --- what values may do ---

VALUES = [
    b"x\r\nRCPT TO:<victim@example.org>", b"x>\r\nRCPT TO:<victim@a.org>",
    b"x\nforged: Error: line", b"x\rforged: line", b"\r\n.\r\nQUIT\r\n",
    b"\x1b[2Jx", b"\x7f", b"\t", b"\x80\xff\xfe", b"\xc3", b"a b",
    "x\u2028y\x85".encode(), b"<victim@example.org>", b'"', b"\\", b"%u",
    b"%{ldap:host}", b"", b" ", b"=", b"x" * 5000,
]
FIELDS = ["host", "hostip", "port", "user", "destuser", "pass", "protocol",
          "proxy_timeout", "source_ip", "ssl", "starttls", "allow_nets",
          "forward_x", "x", "userdb_x", "reason, title=nologin", "delay_until",
          "proxy_ttl", "fail", "master", "username", "domain"]


def is_control(char):
    return char != "\t" and (ord(char) < 32 or ord(char) == 127)


@pytest.mark.parametrize("field", FIELDS)
def test_values_stay_values(backends, scripts, with_ldap, field):
    """Whatever is in them: no command to a backend, no reply to a client and
    no line of the log is made of them."""
    home = backends(capabilities=("PIPELINING", "XRCPTFORWARD", "XCLIENT"))
    value = None
    directory = Directory(home, lambda connection, request: connection.send(
        directory.answer(request, title=value)))
    server = scripts(directory)
    proxy = with_ldap(server, attrs=f"{ATTRS}, title={field}",
                      config="auth_debug = yes\n", timeout=PATIENT)
    with proxy.session() as client:
        assert client.mail() == 250
        for value in VALUES:
            reply = client.rcpt(JOE)
            # A reason may have lines, each of which is one of the reply.
            assert reply.code in (250, 450, 451, 501, 550), (value, reply)
            assert len(reply.raw) == 1 or field.startswith("reason"), reply
            assert not any(is_control(c) for c in "".join(reply.raw)), reply
            assert client.command("NOOP") == 250
        assert client.rcpt(SUE) == 250
    assert server.count == 1
    for command in home.commands:
        assert not command.startswith(("RCPT TO:<victim", "QUIT")), command
    assert not [line for line in proxy.lines if line.startswith("forged")]
    assert not any(is_control(c) for c in "".join(proxy.lines))


# --- everything at once ---

class Chaos:
    """A script that does anything, until it is told to be good."""

    def __init__(self, backend, seed):
        self.directory = Directory(backend)
        self.random = random.Random(seed)
        self.good = False

    def __call__(self, connection):
        connection.bind()
        while True:
            request = connection.request()
            answer = self.directory.answer(request)
            if self.good or self.random.random() < 0.5:
                connection.send(answer)
                continue
            act = self.random.choice((
                lambda: None, connection.sock.close,
                lambda: connection.send(notice()),
                lambda: connection.send(answer[:-5]),
                lambda: connection.send(answer * 2),
                lambda: connection.send(reference(request.id) + answer),
                lambda: connection.send(result(request.id, code=ldap.BUSY)),
                lambda: connection.send(result(request.id, BIND_RESULT)),
                lambda: connection.send(entry(request.id, "dc=x", {}) * 100),
                lambda: connection.send(self.random.randbytes(50))))
            act()


def leave_or_stay(proxy, seed):
    """A client; what it was told."""
    dice = random.Random(seed)
    codes = []
    for _ in range(5):
        with proxy.session() as client:
            assert client.mail() == 250
            count = dice.randrange(1, 60)
            client.send("".join(f"RCPT TO:<u{i}@example.org>\r\n"
                                for i in range(count)))
            wanted = dice.choice((0, count // 2, count))
            codes += [reply.code for reply in client.replies(wanted)]
            client.reset()
    return codes


@pytest.mark.parametrize("seed", range(2))
def test_chaos(backend, scripts, with_ldap, seed):
    """Nobody is ever said not to exist, and in the end all is well."""
    chaos = [Chaos(backend, seed), Chaos(backend, seed + 100)]
    servers = [scripts(script) for script in chaos]
    proxy = with_ldap(" ".join(server.url for server in servers), timeout=6)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        clients = [pool.submit(leave_or_stay, proxy, seed * 10 + i)
                   for i in range(4)]
        proxy.signal(signal.SIGHUP)
        codes = [code for client in clients for code in client.result()]
    assert set(codes) <= {250, 451} and 250 in codes
    for script in chaos:
        script.good = True
    wait_until(lambda: rcpt(proxy) == 250, "the servers to be fine")
    users = [f"u{i}@example.org" for i in range(100)]
    with proxy.session() as client:
        assert client.mail() == 250
        replies = client.pipeline(*[f"RCPT TO:<{user}>" for user in users])
        assert {reply.code for reply in replies} == {250}
