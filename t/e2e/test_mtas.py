"""Real clients and servers that Postfix's and Dovecot's tests do not cover:
swaks, Exim and OpenSMTPD in front, Exim and Cyrus behind.
"""
import re
import smtplib
import subprocess

import pytest

import jailed
import servers
from control import Control
from lmtp_client import Client
from pki import Pki
from waiting import TIMEOUT, wait_until
from waypost import static_passdb



@pytest.fixture
def cert(directory):
    return Pki(directory / "pki").make("proxy.example")


@pytest.fixture
def waypost(waypost, cert):
    """All of them offer STARTTLS."""
    return lambda config: waypost(
        config + f"ssl_cert = <{cert.cert}\nssl_key = <{cert.key}\n")


def came_with_tls(message):
    return re.search(rb"using TLSv1.*\swith\sLMTPS\s", message.body,
                     re.S) is not None


# --- swaks ---

WAYS = {"plain": [], "pipelined": ["--pipeline"], "tls": ["--tls"]}
each_way = pytest.mark.parametrize("way", WAYS)


def swaks(proxy, rcpts, *args, server=None):
    where = server or ["--server", proxy.address[0], "--port", str(proxy.port)]
    return subprocess.run(
        [servers.find("swaks"), "--protocol", "LMTP", *where,
         "--from", "sender@example.net", "--to", ",".join(rcpts),
         "--helo", "swaks.example", *args], capture_output=True, text=True,
        stdin=subprocess.DEVNULL, timeout=TIMEOUT, check=False)


@each_way
@pytest.mark.needs("swaks")
def test_swaks(backend, waypost, way):
    proxy = waypost(static_passdb(backend))
    result = swaks(proxy, ["joe@example.org"], "--body", "one\n.\n..two\n",
                   *WAYS[way])
    assert result.returncode == 0, result.stdout
    message, = backend.wait_messages(1)
    assert message.rcpts == ["joe@example.org"]
    assert message.sender == "sender@example.net"
    assert came_with_tls(message) == (way == "tls")
    assert b"\r\n\r\none\r\n.\r\n..two\r\n" in message.body


@each_way
@pytest.mark.needs("swaks")
def test_swaks_is_refused(backend, waypost, way):
    backend.on("rcpt", "550 5.7.1 not for you")
    proxy = waypost(static_passdb(backend))
    result = swaks(proxy, ["joe@example.org"], *WAYS[way])
    assert result.returncode == 24  # no recipient was accepted
    assert "550 5.7.1 <joe@example.org> not for you" in result.stdout


@pytest.mark.needs("swaks")
@pytest.mark.parametrize("trusted", [True, False])
def test_swaks_as_a_proxy(backend, waypost, trusted):
    proxy = waypost(static_passdb(backend) + (
        "login_trusted_networks = 127.0.0.0/8\n" if trusted else ""))
    result = swaks(proxy, ["joe@example.org"], "--xclient-addr", "192.0.2.7",
                   "--xclient-port", "4711", "--xclient-helo", "far.example")
    if trusted:
        assert result.returncode == 0, result.stdout
        assert b"([192.0.2.7])" in backend.wait_messages(1)[0].body
    else:  # it was not offered
        assert result.returncode != 0
        assert not backend.messages


@pytest.mark.needs("swaks")
def test_swaks_over_a_unix_socket(backend, waypost):
    proxy = waypost(static_passdb(backend))
    result = swaks(proxy, ["joe@example.org"],
                   server=["--socket", proxy.socket])
    assert result.returncode == 0, result.stdout
    backend.wait_messages(1)


@each_way
@pytest.mark.needs("swaks", "dovecot")
def test_from_swaks_to_dovecot(dovecot, waypost, way):
    server = dovecot()
    proxy = waypost(static_passdb(server))
    result = swaks(proxy, ["joe@example.org"], "--header", "Subject: swaks",
                   *WAYS[way])
    assert result.returncode == 0, result.stdout
    assert b"Subject: swaks" in server.wait_mails(1)[0]


# --- MTAs in front ---

def inject(mta, rcpts, text="Subject: hi\r\n\r\n.hello\r\n..\r\n"):
    with smtplib.SMTP(*mta.address, timeout=TIMEOUT) as smtp:
        smtp.sendmail("sender@example.net", rcpts, text)


CLEAR = "  hosts_avoid_tls = *\n"
TLS = "  hosts_require_tls = *\n  tls_verify_hosts =\n" \
      "  tls_try_verify_hosts =\n"
FRONT = {
    "exim": (jailed.Exim, {"transport": CLEAR}),
    "exim-data": (jailed.Exim, {
        "transport": CLEAR + "  hosts_try_chunking =\n"}),
    "exim-tls": (jailed.Exim, {"transport": TLS}),
    "opensmtpd": (jailed.OpenSMTPD, {}),
    "opensmtpd-lmtp": (jailed.OpenSMTPD, {"action": "lmtp"}),
}


@pytest.fixture(params=[
    pytest.param(name, marks=pytest.mark.needs(
        "exim4" if kind is jailed.Exim else "smtpd"))
    for name, (kind, _) in FRONT.items()])
def front(request, jail):
    """front(proxy): an MTA that delivers through it."""
    kind, options = FRONT[request.param]

    def start(proxy):
        mta = jail(kind, proxy, **options)
        mta.uses_tls = request.param == "exim-tls"
        return mta
    return start


@pytest.mark.needs_root
def test_mta_in_front(backend, waypost, front):
    proxy = waypost(static_passdb(backend))
    mta = front(proxy)
    inject(mta, ["joe@example.org"])
    message, = backend.wait_messages(1)
    assert message.rcpts == ["joe@example.org"]
    assert came_with_tls(message) == mta.uses_tls
    assert message.body.endswith(b"Subject: hi\r\n\r\n.hello\r\n..\r\n")


@pytest.mark.needs_root
@pytest.mark.needs("dovecot")
def test_from_mta_to_dovecot(dovecot, waypost, front):
    server = dovecot()
    proxy = waypost(static_passdb(server))
    mta = front(proxy)
    body = "Subject: large\r\n\r\n" + "0123456789\r\n" * 100000
    inject(mta, ["joe@example.org"], body)
    mail, = server.wait_mails(1)
    assert mail.endswith(b"\n\n" + b"0123456789\n" * 100000)


@pytest.mark.needs_root
@pytest.mark.parametrize("stage", ["rcpt", "dot"])
def test_mta_hears_of_failures(backend, waypost, front, stage):
    """For good: it bounces (which comes through us, too). For now: it keeps
    the mail."""
    backend.on(stage, lambda conn, rcpt: {
        "gone@example.org": "550 5.1.1 no such user",
        "full@example.org": "452 4.2.2 over quota"}.get(rcpt, "250 2.0.0 ok"))
    proxy = waypost(static_passdb(backend))
    mta = front(proxy)
    inject(mta, ["gone@example.org"])
    inject(mta, ["full@example.org"])
    mta.wait_log("5.1.1 <gone@example.org> no such user")
    mta.wait_log("4.2.2 <full@example.org> over quota")
    if "mail.lmtp" in mta.log():
        return  # it takes each failure for one that passes
    bounce = wait_until(
        lambda: [m for m in backend.messages
                 if m.rcpts == ["sender@example.net"]], "the bounce")
    assert bounce[0].sender == ""


@pytest.mark.needs_root
@pytest.mark.needs("postfix")
def test_postfix_in_front_with_tls(backend, waypost, postfix):
    proxy = waypost(static_passdb(backend))
    mta = postfix("lmtp_tls_security_level = encrypt\nvirtual_transport = "
                  f"lmtp:inet:{proxy.address[0]}:{proxy.port}\n")
    inject(mta, ["joe@example.org", "ann@example.org"])
    message, = backend.wait_messages(1)
    assert sorted(message.rcpts) == ["ann@example.org", "joe@example.org"]
    assert came_with_tls(message)


@pytest.mark.needs_root
@pytest.mark.needs("postfix")
def test_postfix_as_an_smtp_backend_with_tls(backend, waypost, postfix, cert):
    behind = postfix(
        f"virtual_transport = lmtp:inet:{backend.host}:{backend.port}\n"
        f"smtpd_tls_security_level = encrypt\nsmtpd_tls_cert_file = "
        f"{cert.cert}\nsmtpd_tls_key_file = {cert.key}\n")
    proxy = waypost(static_passdb(behind, "protocol=smtp starttls=any-cert"))
    with proxy.session() as client:
        for _ in range(2):
            assert client.deliver("joe@example.org")[0] == 250
    assert all(b"with ESMTPS" in m.body for m in backend.wait_messages(2))


# OpenSMTPD is not asked for several recipients: as an LMTP client it takes the
# second reply to a message for noise, and sends the message again.
@pytest.mark.needs_root
@pytest.mark.needs("exim4")
@pytest.mark.parametrize("chunking", ["*", ""], ids=["bdat", "data"])
def test_each_recipients_fate_in_exim(backend, waypost, jail, chunking):
    backend.on("dot", lambda conn, rcpt: {
        "gone@example.org": "550 5.1.1 no such user",
        "full@example.org": "452 4.2.2 over quota"}.get(rcpt, "250 2.0.0 ok"))
    proxy = waypost(static_passdb(backend))
    exim = jail(jailed.Exim, proxy,
                transport=f"  hosts_try_chunking = {chunking}\n")
    inject(exim, ["joe@example.org", "gone@example.org", "full@example.org",
                  "ann@example.org"])
    exim.wait_log("over quota")
    exim.wait_log("-> ann@example.org")
    log = exim.log()
    for rcpt in ("joe", "ann"):
        assert re.search(rf"[=-]> {rcpt}@example\.org .*Saved", log), log
    assert re.search(r"\*\* gone@example\.org .*no such user", log), log
    assert re.search(r"== full@example\.org .*over quota", log), log


def run_queue(exim):
    subprocess.run(["chroot", str(exim.dir), "/usr/sbin/exim4", "-qff"],
                   stdin=subprocess.DEVNULL, capture_output=True, cwd="/",
                   env={"PATH": "/usr/sbin:/usr/bin"}, timeout=TIMEOUT, check=True)


@pytest.mark.needs_root
@pytest.mark.needs("exim4")
def test_exim_is_told_421_and_keeps_its_connection(backend, waypost, jail):
    """Drained, it is a host that cannot be reached for now, and all mail waits; then
    Exim hands one connection from message to message."""
    proxy = waypost(static_passdb(backend))
    control = Control(proxy)
    exim = jail(jailed.Exim, proxy, transport=CLEAR)
    control.post("/v1/drain")
    rcpts = [f"u{number}@example.org" for number in range(4)]
    for rcpt in rcpts:
        inject(exim, [rcpt])
        exim.wait_log(f"== {rcpt}")
    assert "421" in exim.log() and "**" not in exim.log()
    assert not backend.messages
    control.post("/v1/undrain")
    mark = proxy.mark()
    run_queue(exim)
    wait_until(lambda: exim.log().count(" Completed") == len(rcpts), exim.log())
    assert sorted(m.rcpts[0] for m in backend.wait_messages(4)) == rcpts
    assert len(re.findall(r"=> u\d@.*\]\* ", exim.log())) == 3, exim.log()
    proxy.wait_log("Disconnect from", mark)
    assert sum("Connect from" in line for line in proxy.lines[mark:]) == 1


# --- servers behind ---

def smtp_passdb(server):
    return static_passdb(server, "protocol=smtp")


@pytest.mark.needs_root
@pytest.mark.needs("exim4")
@pytest.mark.parametrize("chunking", ["*", ""], ids=["bdat", "data"])
def test_exim_as_an_smtp_backend(backend, waypost, jail, chunking):
    exim = jail(jailed.Exim, backend, chunking=chunking)
    proxy = waypost(smtp_passdb(exim))
    body = "Subject: x\r\n\r\n.dot\r\n..\r\n" + "line\r\n" * 50000
    with proxy.session() as client:
        assert [r.code for r in client.deliver(
            ["joe@example.org", "ann@example.org"], body)] == [250, 250]
        assert client.mail() == 250
        assert client.rcpt("refused@example.org") == \
            "550 5.0.0 <refused@example.org> not here"
        assert client.rcpt("joe@example.org") == 250
        assert client.data(body, 1)[0] == 250
    first, second = backend.wait_messages(2)
    assert sorted(map(len, (first.rcpts, second.rcpts))) == [1, 2]
    assert first.body.endswith(body.encode())
    assert second.body.endswith(body.encode())


@pytest.mark.needs_root
@pytest.mark.needs("exim4")
@pytest.mark.parametrize("mode", ["starttls", "ssl"])
def test_exim_as_an_smtp_backend_with_tls(backend, waypost, jail, cert, mode):
    exim = jail(jailed.Exim, backend, tls=cert, tls_on_connect=mode == "ssl")
    proxy = waypost(static_passdb(exim, f"protocol=smtp {mode}=any-cert"))
    with proxy.session() as client:
        for _ in range(2):
            assert client.deliver("joe@example.org")[0] == 250
    for message in backend.wait_messages(2):
        assert b"with esmtps" in message.body


@pytest.mark.needs_root
@pytest.mark.needs("lmtpd")
@pytest.mark.parametrize("count", [1, 5])
def test_into_cyrus(waypost, jail, count):
    cyrus = jail(jailed.Cyrus)
    proxy = waypost(static_passdb(cyrus))
    rcpts = [f"user{n}@example.org" for n in range(count)]
    body = "\r\n\r\n.dot\r\n..\r\n" + "line\r\n" * 10000
    with proxy.session() as client:
        for _ in range(2):
            assert [r.code for r in client.deliver(
                rcpts, "Subject: cyrus" + body)] == [250] * count
    mails = cyrus.mails()
    assert len(mails) == 2 * count
    # Cyrus completes the header.
    assert all(mail.endswith(body.encode()) for mail in mails)
    assert all(b"by proxy.example with LMTP" in mail for mail in mails)


@pytest.mark.needs_root
@pytest.mark.needs("lmtpd")
def test_what_cyrus_says_passes(waypost, jail):
    """The same as it says to who asks it directly, and another recipient is
    not harmed."""
    cyrus = jail(jailed.Cyrus, "maxmessagesize: 1000\n")
    proxy = waypost(static_passdb(cyrus) + "lmtp_bare_newlines = pass\n")
    bodies = ["Subject: x\r\n\r\n" + "large\r\n" * 1000,
              "Subject: x\r\n\r\nnul \0 nul\r\n", "no header\x80\r\n",
              "Subject: x\r\n\r\nfine\r\n"]

    def outcomes(address):
        with Client(address) as client:
            assert client.lhlo() == 250
            seen = []
            for body in bodies:
                reply, = client.deliver("joe@example.org", body)
                seen.append((reply.code, reply.enhanced))
                client.command("RSET")
            return seen
    assert outcomes(proxy.address) == outcomes(cyrus.address)
