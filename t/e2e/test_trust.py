"""Who is believed, and who is told: XCLIENT and XRCPTFORWARD, referrals, the
PROXY protocol, and raw logs; with Dovecot, Postfix and HAProxy."""
import itertools
import pathlib
import re
import subprocess

import pytest

from lmtp_client import Client
from pki import Pki
from ports import LOCALHOST, free_port, other_host
from servers import accepts, find
from waiting import TIMEOUT, wait_until
from waypost import static_passdb

TRUSTED = "login_trusted_networks = 127.0.0.0/8\n"
XCLIENT = ("XCLIENT ADDR PORT PROTO HELO LOGIN SESSION TTL TIMEOUT",
           "XRCPTFORWARD", "PIPELINING", "ENHANCEDSTATUSCODES", "8BITMIME")


def xclients(backend):
    return [line for line in backend.commands if line.startswith("XCLIENT")]


@pytest.fixture
def telling(backends):
    """A backend that wants to be told."""
    return backends(capabilities=XCLIENT)


# --- XCLIENT ---

def test_xclient_in_and_out(telling, waypost):
    proxy = waypost(static_passdb(telling) + TRUSTED)
    with proxy.session() as client:
        assert client.command(
            "XCLIENT ADDR=192.0.2.7 PORT=4711 HELO=orig.example "
            "SESSION=front TTL=3") == "220 "
        client.lhlo()
        assert client.deliver("joe@example.org")[0] == 250
    assert xclients(telling) == [
        "XCLIENT HELO=orig.example PROTO=LMTP SESSION=front:P1 TTL=2 "
        "PORT=4711 ADDR=192.0.2.7"]
    assert b"([192.0.2.7])" in telling.messages[0].body
    proxy.wait_log("front: sent ")


def test_the_loop_ends(backend, waypost):
    """A proxy that sends to itself, by way of trust."""
    port = free_port("0.0.0.0")
    proxy = waypost(
        TRUSTED + "passdb {\n driver = static\n args = nopassword=y proxy=y "
        f"host=127.0.0.1 port={port}\n}}\nservice lmtp {{\n "
        f"inet_listener loop {{\n  address = 0.0.0.0\n  port = {port}\n }}\n"
        "}\nlmtp_proxy_ttl = 3\nlogin_trusted_networks = 127.0.0.0/8\n")
    with proxy.session() as client:
        client.mail()
        assert client.rcpt("joe@example.org") == "554 5.4.6 "


def test_next_address_is_told_too(backends, dns, waypost):
    """Where the server at the first one cannot be told."""
    first = backends(capabilities=XCLIENT, host=other_host(10))
    second = backends(capabilities=XCLIENT, host=other_host(11),
                      port=first.port)
    first.on("xclient", "421 4.3.2 not now")
    dns.zone["mail.example"] = [first.host, second.host]
    proxy = waypost(
        f"lmtp_proxy_dns_servers = {dns.server}\n{TRUSTED}"
        "passdb {\n driver = static\n args = nopassword=y proxy=y "
        f"host=mail.example port={first.port}\n}}\n")
    with proxy.session() as client:
        client.command("XCLIENT ADDR=192.0.2.7")
        client.lhlo()
        assert client.deliver("joe@example.org")[0] == 250
    assert len(xclients(first)) == 1
    told, = xclients(second)
    assert "ADDR=192.0.2.7" in told


def test_names_with_odd_characters(telling, waypost):
    proxy = waypost(static_passdb(telling) + TRUSTED)
    with proxy.session() as client:
        assert client.command("XCLIENT LOGIN=a+20b+2Bc ADDR=IPV6:2001:db8::7 "
                              "PORT=1") == "220 "
        client.lhlo()
        assert client.deliver("joe@example.org")[0] == 250
    assert "LOGIN=a+20b+2Bc " in xclients(telling)[0]
    assert xclients(telling)[0].endswith(" ADDR=2001:db8::7")


def test_allow_nets_is_about_the_client(telling, waypost):
    proxy = waypost(static_passdb(telling, "allow_nets=192.0.2.0/24")
                    + TRUSTED)
    with proxy.session() as client:
        client.mail()
        assert client.rcpt("joe@example.org").code != 250
        client.command("RSET")
        assert client.command("XCLIENT ADDR=192.0.2.7") == "220 "
        client.mail()
        assert client.rcpt("joe@example.org") == 250


@pytest.mark.needs("dovecot")
def test_dovecot_behind(dovecot, instance):
    """It takes XCLIENT again on each reuse, in one segment with the rest."""
    server = dovecot(extra=TRUSTED)
    proxy = instance()
    proxy.threads = 1
    proxy.start(static_passdb(server) + TRUSTED)
    for number in range(5):
        with proxy.session() as client:
            assert client.command(f"XCLIENT ADDR=192.0.2.{number} PORT=9 "
                                  f"SESSION=front{number}") == "220 "
            client.lhlo()
            assert client.deliver("joe@example.org")[0] == 250
    mails = server.wait_mails(5)
    seen = sorted(re.search(rb"id (front\d)\S*\n", mail).group(1)
                  for mail in mails)
    assert seen == [b"front%d" % number for number in range(5)]
    for mail in mails:
        ips = re.findall(rb"\(\[(.*?)\]\)", mail)
        number = re.search(rb"id front(\d)", mail).group(1)
        assert ips == [b"192.0.2." + number] * 2
    # Two of these were the test's own.
    assert len(re.findall("Connect from", server.log())) <= 3


@pytest.mark.needs("dovecot")
def test_dovecot_in_front(dovecot, telling, waypost):
    """Dovecot's proxy tells us who its client is, and its TTL."""
    proxy = waypost(static_passdb(telling, "forward_b=ours") + TRUSTED)
    front = dovecot(users=[], extra=(
        "lmtp_proxy = yes\n" + TRUSTED + "passdb {\n driver = static\n"
        " args = nopassword=y forward_a=theirs proxy=y "
        f"host={proxy.address[0]} port={proxy.port}\n}}\n"))
    with Client(front.address) as client:
        client.lhlo()
        assert client.command("XCLIENT ADDR=192.0.2.9 PORT=99 "
                              "HELO=first.example SESSION=one") == "220 "
        client.lhlo()
        assert client.deliver("joe@example.org")[0] == 250
    line, = xclients(telling)
    assert "HELO=first.example" in line and "ADDR=192.0.2.9" in line
    assert "PORT=99" in line and "TTL=4" in line, line
    assert re.search(r"SESSION=one\S*:P1\b", line), line
    rcpt, = [c for c in telling.commands if c.startswith("RCPT")]
    assert "XRCPTFORWARD=a+3Dtheirs+09b+3Dours" in rcpt


@pytest.mark.needs("postfix")
@pytest.mark.needs_root
def test_postfix_behind(postfix, instance):
    """It takes XCLIENT once: each client has a connection of its own."""
    mta = postfix("smtpd_authorized_xclient_hosts = 127.0.0.0/8\n"
                  "mynetworks = 127.0.0.0/8, 192.0.2.0/24\n"
                  "virtual_transport = discard\n")
    proxy = instance()
    proxy.threads = 1
    proxy.start(static_passdb(mta, "protocol=smtp") + TRUSTED)
    for number in (1, 2, 1):
        with proxy.session() as client:
            assert client.command(f"XCLIENT ADDR=192.0.2.{number} PORT=9 "
                                  "HELO=h.example") == "220 "
            for _ in range(2):
                client.lhlo()
                assert client.deliver("joe@example.org")[0] == 250
    # Postfix's log comes a little later than its replies.
    wait_until(lambda: len(re.findall(r"client=.*\[192\.0\.2\.1\]",
                                      mta.log())) >= 4, "Postfix's log")
    log = mta.log()
    assert len(re.findall(r"client=.*\[192\.0\.2\.1\]", log)) == 4
    assert len(re.findall(r"client=.*\[192\.0\.2\.2\]", log)) == 2
    assert "insufficient authorization" not in log
    assert len(re.findall(r"smtpd.*: connect from", log)) <= 4


@pytest.mark.needs("postfix")
@pytest.mark.needs_root
@pytest.mark.parametrize("protocols,code", [("all", 250), ("ipv4", 451)])
def test_postfix_and_a_client_by_ipv6(postfix, waypost, protocols, code):
    """Of which it takes no address without IPv6."""
    mta = postfix("smtpd_authorized_xclient_hosts = 127.0.0.0/8\n"
                  "mynetworks = 127.0.0.0/8, [2001:db8::]/32\n"
                  f"inet_protocols = {protocols}\n"
                  "virtual_transport = discard\n")
    proxy = waypost(static_passdb(mta, "protocol=smtp") + TRUSTED)
    with proxy.session() as client:
        assert client.command("XCLIENT ADDR=IPV6:2001:db8::7 PORT=9 "
                              "LOGIN=joe") == "220 "
        client.lhlo()
        assert client.mail() == 250
        assert client.rcpt("joe@example.org") == code
        if code == 451:
            proxy.wait_log("XCLIENT: 501 .*IPV6:2001:db8::7")
        else:
            mta.wait_log(r"client=.*\[2001:db8::7\].*sasl_username=joe")


# --- referrals ---

def test_referral(backends, waypost):
    first, second = backends(), backends()
    first.on("rcpt", lambda conn, rcpt: "250 2.1.5 ok" if rcpt[0] == "a" else
             f"550 5.2.900 <{rcpt}> {second.host}:{second.port} Referral")
    proxy = waypost(static_passdb(first))
    with proxy.session() as client:
        replies = client.deliver(["ann@example.org", "joe@example.org",
                                  "jim@example.org"])
        assert [reply.code for reply in replies] == [250, 250, 250]
    assert first.messages[0].rcpts == ["ann@example.org"]
    message, = second.wait_messages(1)
    assert message.rcpts == ["joe@example.org", "jim@example.org"]
    proxy.wait_log(f"sent from=.* to=<joe@.* at={second.host}:{second.port} ")
    proxy.wait_log("<joe@example.org> is referred from ")


def test_referral_to_a_name(backends, dns, waypost):
    first, second = backends(), backends(host=other_host(10))
    first.on("rcpt", f"550 5.2.900 mail.example:{second.port} Referral")
    dns.zone["mail.example"] = [second.host]
    proxy = waypost(static_passdb(first) +
                    f"lmtp_proxy_dns_servers = {dns.server}\n")
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250
    assert second.messages[0].rcpts == ["joe@example.org"]


def routed_and_referred(first, second):
    """ann's mail is at second, and so is joe's, which first knows."""
    first.on("rcpt", f"550 5.2.900 {second.host}:{second.port} Referral")
    return "".join(
        f"passdb {{\n driver = static\n args = nopassword=y proxy=y "
        f"host={server.host} port={server.port}\n username_filter = {user}\n}}\n"
        for user, server in (("joe@*", first), ("ann@*", second)))


@pytest.mark.parametrize("capabilities, config, order, shared", [
    ((), "", ["ann", "joe"], True),
    ((), "", ["joe", "ann"], True),
    (XCLIENT, "", ["ann", "joe"], True),
    # ann's TTL is more than joe's connection may be told.
    (XCLIENT, "", ["joe", "ann"], False),
    (XCLIENT, "lmtp_proxy_xclient = no\n", ["joe", "ann"], True)])
def test_referral_to_where_others_are(backends, waypost, capabilities, config,
                                      order, shared):
    first, second = backends(), backends(capabilities=capabilities)
    proxy = waypost(routed_and_referred(first, second) + config)
    rcpts = [f"{user}@example.org" for user in order]
    with proxy.session() as client:
        assert [r.code for r in client.deliver(rcpts)] == [250, 250]
    assert len(second.connections) == (1 if shared else 2)
    assert [m.rcpts for m in second.messages] == (
        [rcpts] if shared else [[rcpt] for rcpt in rcpts])
    if capabilities and not config:
        assert sorted(re.search(r" TTL=(\d)", line).group(1)
                      for line in xclients(second)) == (
            ["5"] if shared else ["4", "5"])


def test_referral_to_where_the_message_has_begun(backends, waypost):
    """Behind DATA there is no RCPT: joe's mail takes a connection of its own."""
    first, second = backends(), backends(capabilities=["PIPELINING"])
    proxy = waypost(routed_and_referred(first, second))
    with proxy.session() as client:
        client.lhlo()
        client.send("MAIL FROM:<a@b>\r\nRCPT TO:<ann@x>\r\nRCPT TO:<joe@x>\r\n"
                    "DATA\r\n")
        assert [r.code for r in client.replies(4)] == [250, 250, 250, 354]
        client.send(b"Subject: hi\r\n\r\nhello\r\n.\r\n")
        assert [r.code for r in client.replies(2)] == [250, 250]
    assert sorted(m.rcpts for m in second.wait_messages(2)) == [
        ["ann@x"], ["joe@x"]]


def test_referral_with_a_user(backends, waypost):
    first, second = backends(), backends()
    first.on("rcpt", "550 5.2.900 <x> store%2B1@example.com@"
             f"{second.host}:{second.port} Referral")
    proxy = waypost(static_passdb(first))
    with proxy.session() as client:
        assert client.deliver("joe+detail@example.org")[0] == 250
    message, = second.wait_messages(1)
    assert message.rcpts == ["store+1+detail@example.com"]


def test_referrals_in_a_circle(backends, waypost):
    first, second = backends(), backends()
    for one, other in ((first, second), (second, first)):
        one.on("rcpt", f"550 5.2.900 {other.host}:{other.port} Referral")
    proxy = waypost(static_passdb(first))
    with proxy.session() as client:
        client.mail()
        assert client.rcpt("joe@example.org") == (
            "554 5.4.6 <joe@example.org> Proxying loops to itself")
    assert len(first.connections) == len(second.connections) == 1


def test_referrals_without_end(backends, waypost):
    chain = [backends() for _ in range(5)]
    for one, other in zip(chain, chain[1:]):
        one.on("rcpt", f"550 5.2.900 {other.host}:{other.port} Referral")
    proxy = waypost(static_passdb(chain[0]) + "lmtp_proxy_ttl = 3\n")
    with proxy.session() as client:
        client.mail()
        assert client.rcpt("joe@example.org") == (
            "554 5.4.6 <joe@example.org> Proxying appears to be looping "
            "(TTL=0)")
    assert [len(server.connections) for server in chain] == [1, 1, 1, 1, 0]


def test_referrals_without_end_of_a_client_with_a_high_ttl(backends, waypost):
    server = backends(host="0.0.0.0")
    numbers = itertools.count(2)
    server.on("rcpt", lambda conn, rcpt: "550 5.2.900 127.0.0."
              f"{next(numbers)}:{server.port} Referral")
    proxy = waypost(TRUSTED + "passdb {\n driver = static\n args = "
                    "nopassword=y proxy=y host=127.0.0.1 "
                    f"port={server.port}\n}}\n")
    with proxy.session() as client:
        client.command("XCLIENT TTL=100")
        client.lhlo()
        client.mail()
        assert client.rcpt("joe@example.org") == (
            "554 5.4.6 <joe@example.org> Proxying appears to be looping "
            "(TTL=0)")
    assert len(server.connections) == 17


# --- HAProxy ---

HAPROXY_CFG = """\
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
listen lmtp
  bind {host}:{port}{tls}
  server waypost {to}:{to_port} {how}
"""


@pytest.fixture
def haproxy(tmp_path):
    processes = []

    def start(to, to_port, how, tls=""):
        port = free_port()
        config = tmp_path / f"haproxy-{port}.cfg"
        config.write_text(HAPROXY_CFG.format(
            host=LOCALHOST, port=port, to=to, to_port=to_port, how=how,
            tls=tls))
        processes.append(subprocess.Popen(
            [find("haproxy"), "-db", "-f", str(config)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL))
        wait_until(lambda: accepts((LOCALHOST, port)), "HAProxy")
        return LOCALHOST, port
    yield start
    for process in processes:
        process.terminate()
        process.wait(TIMEOUT)


@pytest.fixture
def balanced(backend, waypost):
    """A proxy with a listener for HAProxy, and that listener's port."""
    port = free_port()
    proxy = waypost(
        static_passdb(backend) + "haproxy_trusted_networks = 127.0.0.0/8\n"
        "login_greeting = %r to %l\nhaproxy_timeout = 1s\nservice lmtp {\n"
        f" inet_listener ha {{\n  address = {LOCALHOST}\n  port = {port}\n"
        "  haproxy = yes\n }\n}\n")
    return proxy, port


@pytest.mark.needs("haproxy")
@pytest.mark.parametrize("how", ["send-proxy", "send-proxy-v2",
                                 "send-proxy-v2-ssl-cn"])
def test_behind_haproxy(balanced, backend, haproxy, how):
    proxy, port = balanced
    address = haproxy(LOCALHOST, port, how)
    with Client(address, source="127.9.8.7") as client:
        assert client.greeting.text.endswith(f"127.9.8.7 to {LOCALHOST}")
        client.lhlo()
        assert client.deliver("joe@example.org")[0] == 250
    assert b"([127.9.8.7])" in backend.messages[0].body
    proxy.wait_log("Connect from 127.9.8.7 ")


@pytest.mark.needs("haproxy")
@pytest.mark.parametrize("how", ["send-proxy-v2-ssl", "send-proxy-v2-ssl-cn",
                                 "send-proxy-v2 proxy-v2-options "
                                 "ssl,cert-cn,ssl-cipher,authority"])
def test_behind_haproxy_that_terminates_tls(backends, waypost, haproxy,
                                            directory, how):
    """The backend hears of it, and the lookup, although it came in clear."""
    telling = backends(capabilities=("XCLIENT CLIENT-TRANSPORT DESTNAME",))
    pki, port = Pki(directory / "pki"), free_port()
    pair = pki.make("proxy.example")
    proxy = waypost(
        f"ssl_cert = <{pair.cert}\nssl_key = <{pair.key}\n" +
        static_passdb(telling, "destuser=%c-%{local_name}@x") +
        "haproxy_trusted_networks = 127.0.0.0/8\nservice lmtp {\n"
        f" inet_listener ha {{\n  address = {LOCALHOST}\n  port = {port}\n"
        "  haproxy = yes\n }\n}\n")
    pem = directory / "haproxy.pem"
    pem.write_bytes(b"".join(pathlib.Path(part).read_bytes()
                             for part in pair))
    address = haproxy(LOCALHOST, port, how, f" ssl crt {pem}")
    with Client(address, tls=pki.client()) as client:
        assert "STARTTLS" not in client.lhlo().lines
        assert client.command("STARTTLS") == (
            "502 5.5.1 TLS is already active.")
        assert client.deliver("joe@example.org")[0] == 250
    name = "proxy.example" if "authority" in how else ""
    assert telling.messages[0].rcpts == [f"secured-{name}@x"]
    assert xclients(telling) == [
        "XCLIENT CLIENT-TRANSPORT=TLS" + (f" DESTNAME={name}" if name else "")]
    cipher = r"TLS_\w+" if "cipher" in how else "a cipher"
    proxy.wait_log(rf"Connect from .* \(proxied: TLSv1\.3 with {cipher}\)")


@pytest.mark.parametrize("text,log", [
    (b"LHLO x\r\n", "closed: "),
    (b"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n", "closed: "),
    (b"\r\n\r\n\0\r\nQUIT\n\x99\x11\0\0", "closed: "),
    (b"PROXY TCP4", "closed: no PROXY header within haproxy_timeout"),
])
def test_malformed_headers(balanced, text, log):
    proxy, port = balanced
    mark = proxy.mark()
    client = Client((LOCALHOST, port), greeting=False)
    client.send(text)
    client.expect_closed()
    proxy.wait_log(log, since=mark)


def test_untrusted_balancer(backend, waypost):
    port = free_port()
    proxy = waypost(
        static_passdb(backend) + "haproxy_trusted_networks = 192.0.2.0/24\n"
        f"service lmtp {{\n inet_listener ha {{\n  address = {LOCALHOST}\n"
        f"  port = {port}\n  haproxy = yes\n }}\n}}\n")
    client = Client((LOCALHOST, port), greeting=False)
    client.expect_closed()
    proxy.wait_log("closed: not in haproxy_trusted_networks")


# --- raw logs ---

def rawlog(path, suffix):
    files = sorted(path.glob("*" + suffix))
    return [re.sub(rb"(?m)^\d+\.\d+ ", b"", file.read_bytes())
            for file in files]


def test_rawlogs(backend, instance):
    proxy = instance()
    for name in ("raw-127.0.0.1", "up"):
        proxy.make_dir(name)
    proxy.start(static_passdb(backend)
                + f"lmtp_rawlog_dir = {proxy.dir}/raw-%r%u\n"
                f"lmtp_proxy_rawlog_dir = {proxy.dir}/up\n")
    with proxy.session(source="127.0.0.1") as client:
        for _ in range(2):
            assert client.deliver("joe@example.org", "Subject: x\r\n\r\n"
                                  "body\r\n")[0] == 250
        client.quit()
    proxy.wait_log("Logged out")
    said, = rawlog(proxy.dir / "raw-127.0.0.1", ".in")
    told, = rawlog(proxy.dir / "raw-127.0.0.1", ".out")
    assert said.startswith(b"LHLO ") and said.endswith(b"QUIT\r\n")
    assert said.count(b"Subject: x\r\n\r\nbody\r\n.\r\n") == 2
    assert told.startswith(b"220 ") and told.count(b"Saved\r\n") == 2
    assert told.endswith(b"221 2.0.0 Bye\r\n")
    conn, = backend.connections
    there, = rawlog(proxy.dir / "up", ".out")
    back, = rawlog(proxy.dir / "up", ".in")
    assert there.startswith(b"LHLO ") and back.startswith(b"220 ")
    assert there == b"".join(conn.segments)


def test_rawlogs_that_cannot_be_written(backend, instance):
    """No directory: silence. One that is none: a line in the log."""
    proxy = instance()
    proxy.write_file("none", "")
    proxy.start(static_passdb(backend)
                + f"lmtp_rawlog_dir = {proxy.dir}/none\n"
                f"lmtp_proxy_rawlog_dir = {proxy.dir}/missing\n")
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250
    proxy.wait_log("lmtp_rawlog_dir: rawlog .*Not a directory")
    assert "missing" not in proxy.log
