"""Host names of backends, asked of lmtp_proxy_dns_servers."""
import signal

import pytest

from fake_dns import NXDOMAIN, SERVFAIL, TYPE_A, TYPE_AAAA, FakeDns
from ports import LOCALHOST, other_host
from scripted_backend import then_close
from waiting import wait_until


@pytest.fixture
def start(instance, dns):
    def run(backend, host="mail.example", more=""):
        proxy = instance()
        proxy.threads = 1
        return proxy.start(
            f"lmtp_proxy_dns_servers = {dns.server}\n{more}"
            f"passdb {{\n driver = static\n args = nopassword=y proxy=y "
            f"host={host} port={backend.port}\n}}\n")
    return run


def outcome(proxy, rcpt="joe@example.org"):
    with proxy.session() as client:
        assert client.mail() == 250
        reply = client.rcpt(rcpt)
        return client.data("x", 1)[0] if reply == 250 else reply


def test_answer(start, dns, backend):
    dns.zone["mail.example"] = [LOCALHOST]
    assert outcome(start(backend)) == 250
    assert {kind for _, kind in dns.queries} == {TYPE_A, TYPE_AAAA}


def test_unknown_name(start, backend):
    proxy = start(backend)
    reply = outcome(proxy)
    assert reply == "451 4.4.0 <joe@example.org> Proxy failed (DNS lookup,"


def test_name_without_addresses(start, dns, backend):
    dns.zone["mail.example"] = []
    assert outcome(start(backend)) == "451 4.4.0 "


@pytest.mark.parametrize("failure", [SERVFAIL, NXDOMAIN, "drop"])
def test_server_trouble(start, dns, backend, failure):
    dns.fail["mail.example"] = failure
    proxy = start(backend, more="lmtp_proxy_dns_timeout = 1 secs\n")
    assert outcome(proxy) == \
        "451 4.4.0 <joe@example.org> Proxy failed (DNS lookup,"


def test_verbose_reply(start, dns, backend):
    proxy = start(backend, more="lmtp_verbose_replies = yes\n")
    assert "Proxy failed: " in outcome(proxy).text


def test_case_of_the_name(start, dns, backend):
    dns.zone["mail.example"] = [LOCALHOST]
    assert outcome(start(backend, host="MAIL.Example")) == 250


def test_literals_are_not_looked_up(start, dns, backend):
    assert outcome(start(backend, host=backend.host)) == 250
    assert dns.queries == []


def test_answers_are_kept_for_their_ttl(start, dns, backend):
    dns.zone["mail.example"] = [LOCALHOST]
    proxy = start(backend, more="lmtp_proxy_pool_max_idle = 0\n")
    for _ in range(5):
        assert outcome(proxy) == 250
    assert len(backend.connections) == 5
    assert len([q for q in dns.queries if q[1] == TYPE_A]) == 1


def test_changed_address_is_used_after_the_ttl(start, dns, backends):
    old = backends(host=other_host(10))
    new = backends(host=other_host(11), port=old.port)
    dns.ttl = 1
    dns.zone["mail.example"] = [old.host]
    proxy = start(old, more="lmtp_proxy_pool_max_idle = 0\n")
    assert outcome(proxy) == 250
    dns.zone["mail.example"] = [new.host]

    def moved():
        assert outcome(proxy) == 250
        return new.messages
    wait_until(moved, "a message at the new address")


def test_both_families(start, dns, backends):
    """IPv6 refuses, IPv4 answers."""
    backend = backends()
    dns.zone["mail.example"] = ["::1", LOCALHOST]
    assert outcome(start(backend)) == 250


@pytest.mark.parametrize("stage, act", [
    ("connect", "421 4.3.2 not now"), ("connect", "554 5.3.2 never"),
    ("connect", then_close("220 for a moment")), ("lhlo", "451 4.3.0 later"),
    ("lhlo", "what?"), ("connect", then_close(b"421-not now\r\n")),
], ids=["421", "554", "closes", "lhlo", "garbage", "half a reply"])
def test_next_address_when_the_first_is_not_fit(start, dns, backends, stage,
                                                act):
    """A server that answers, but not with anything that helps."""
    first = backends(host=other_host(10))
    second = backends(host=other_host(11), port=first.port)
    first.on(stage, act)
    dns.zone["mail.example"] = [first.host, second.host]
    proxy = start(first)
    assert outcome(proxy) == 250
    assert len(first.connections) == 1
    assert len(second.messages) == 1


def test_source_ip_of_the_other_family_is_passed_over(start, dns, backends):
    backend = backends()
    dns.zone["mail.example"] = ["::1", LOCALHOST]
    proxy = start(backend, host="mail.example source_ip=127.0.0.5")
    assert outcome(proxy) == 250
    assert backend.connections[0].peer[0] == "127.0.0.5"


def test_lookup_of_one_recipient_does_not_hold_up_others(instance, dns,
                                                         backend):
    dns.fail["slow.example"] = "drop"
    proxy = instance()
    proxy.write_file(
        "users", f"slow@example.org:::::::proxy host=slow.example port=24\n"
        f"fast@example.org:::::::proxy host={backend.host} "
        f"port={backend.port}\n")
    proxy.start(f"lmtp_proxy_dns_servers = {dns.server}\n"
                "lmtp_proxy_dns_timeout = 2 secs\n"
                f"passdb {{\n driver = passwd-file\n"
                f" args = {proxy.dir}/users\n}}\n")
    with proxy.session() as client:
        client.send("MAIL FROM:<s@example.net>\r\n"
                    "RCPT TO:<slow@example.org>\r\n"
                    "RCPT TO:<fast@example.org>\r\n")
        backend.wait_command("RCPT TO:<fast@example.org>")
        assert [r.code for r in client.replies(3)] == [250, 451, 250]


def test_proxy_maybe_by_name(instance, dns, backend):
    dns.zone["self.example"] = [LOCALHOST]
    dns.zone["away.example"] = [backend.host]
    proxy = instance()
    proxy.write_file(
        "users", "self@example.org:::::::proxy_maybe host=self.example\n"
        f"away@example.org:::::::proxy_maybe host=away.example "
        f"port={backend.port}\n")
    proxy.start(f"lmtp_proxy_dns_servers = {dns.server}\n"
                f"passdb {{\n driver = passwd-file\n"
                f" args = {proxy.dir}/users\n}}\n")
    assert outcome(proxy, "self@example.org") == "451 4.3.5 "
    assert outcome(proxy, "away@example.org") == 250


def test_name_server_that_is_not_there(instance, backend):
    proxy = instance()
    proxy.start(f"lmtp_proxy_dns_servers = {LOCALHOST}:9\n"
                "lmtp_proxy_dns_timeout = 2 secs\n"
                "passdb {\n driver = static\n args = nopassword=y proxy=y "
                f"host=mail.example port={backend.port}\n}}\n")
    assert outcome(proxy) == "451 4.4.0 "


def test_client_gone_during_the_lookup(start, dns, backend):
    dns.fail["mail.example"] = "drop"
    proxy = start(backend, more="lmtp_proxy_dns_timeout = 1 secs\n")
    client = proxy.session()
    client.mail()
    client.send("RCPT TO:<joe@example.org>\r\n")
    dns.wait_query("mail.example")
    client.reset()
    proxy.wait_log("Disconnect from")


def test_failures_are_remembered_only_shortly(start, dns, backend):
    """A dead name server is not asked over and over, and comes back."""
    dns.fail["mail.example"] = SERVFAIL
    proxy = start(backend, more="lmtp_proxy_dns_timeout = 1 secs\n")
    assert outcome(proxy) == 451
    asked = len(dns.queries)
    for _ in range(5):
        assert outcome(proxy) == 451
    assert len(dns.queries) <= asked + 4
    dns.fail.clear()
    dns.zone["mail.example"] = [LOCALHOST]
    wait_until(lambda: outcome(proxy) == 250, "the name to be known")


@pytest.mark.parametrize("host", ["mail", "mail.example."])
def test_names_are_asked_for_as_they_are(start, dns, backend, host):
    """No search list, and a dot at the end is no harm."""
    dns.zone[host.rstrip(".")] = [LOCALHOST]
    assert outcome(start(backend, host=host)) == 250
    assert {name for name, _ in dns.queries} == {host.rstrip(".")}


# --- which servers are asked ---

def by_name(backend, servers):
    return (f"lmtp_proxy_dns_servers = {servers}\npassdb {{\n driver = static\n"
            f" args = nopassword=y proxy=y host=mail.example "
            f"port={backend.port}\n}}\n")


@pytest.fixture
def other_dns():
    server = FakeDns()
    yield server
    server.stop()


def test_several_servers(waypost, dns, backend):
    """The first one is not there."""
    dns.zone["mail.example"] = [LOCALHOST]
    assert outcome(waypost(by_name(
        backend, f"{other_host(3)}:9 {dns.server}"))) == 250


@pytest.mark.parametrize("servers", ["nonsense", "ns.example.org",
                                     "192.0.2.1:99999", "192.0.2.1; ::1"])
def test_servers_that_are_none(instance, backend, servers):
    proxy = instance()
    proxy.write_config(by_name(backend, servers))
    result = proxy.run("-t")
    assert result.returncode == 78
    assert "lmtp_proxy_dns_servers" in result.stderr
    assert "not the address of a name server" in result.stderr


def test_reload_with_other_servers(waypost, dns, other_dns, backend):
    """The sessions that come now ask the new ones, and for all names."""
    dns.zone["mail.example"] = [other_host(4)]  # where nobody listens
    other_dns.zone["mail.example"] = [LOCALHOST]
    proxy = waypost(by_name(backend, dns.server))
    assert outcome(proxy) == 451
    proxy.write_config(by_name(backend, other_dns.server))
    mark = proxy.mark()
    proxy.signal(signal.SIGHUP)
    proxy.wait_log("reloaded", since=mark)
    assert outcome(proxy) == 250


def test_reload_with_servers_that_are_none(waypost, dns, backend):
    dns.zone["mail.example"] = [LOCALHOST]
    proxy = waypost(by_name(backend, dns.server))
    proxy.write_config(by_name(backend, "nonsense"))
    mark = proxy.mark()
    proxy.signal(signal.SIGHUP)
    proxy.wait_log("lmtp_proxy_dns_servers", since=mark)
    assert outcome(proxy) == 250


@pytest.mark.needs_root
def test_system_gets_another_name_server(instance, backend):
    """As when the network comes up after the service."""
    dns = FakeDns(port=53)
    dns.zone["mail.example"] = [LOCALHOST]
    proxy = instance(as_root=True)
    resolv = proxy.write_file("resolv.conf", "# nobody yet\n")
    proxy.prefix = [*proxy.prefix, "unshare", "--mount", "sh", "-c",
                    f"mount --bind {resolv} /etc/resolv.conf && exec \"$@\"",
                    "-"]
    proxy.start(by_name(backend, "") + "lmtp_proxy_dns_timeout = 1 secs\n")
    assert outcome(proxy) == 451
    resolv.write_text(f"nameserver {LOCALHOST}\n")
    wait_until(lambda: outcome(proxy) == 250, "the new name server to be asked")
    dns.stop()
