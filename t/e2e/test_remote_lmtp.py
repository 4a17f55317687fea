"""Delivery to LMTP servers: addresses, grouping, the words used."""
import socket
import time

import pytest

from ports import LOCALHOST, other_host
from scripted_backend import hold, silent
from waypost import file_passdb, static_passdb


def test_lhlo_with_our_name(backend, waypost):
    proxy = waypost(static_passdb(backend))
    with proxy.session() as client:
        client.deliver("joe@example.org")
    assert backend.commands[0] == "LHLO proxy.example"


def test_protocol_lmtp_by_name(backend, waypost):
    proxy = waypost(static_passdb(backend, "protocol=lmtp"))
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250


def test_recipients_of_one_backend_share_a_transaction(backend, waypost):
    proxy = waypost(static_passdb(backend))
    with proxy.session() as client:
        client.deliver(["a@example.org", "b@example.org", "c@example.org"])
    message, = backend.wait_messages(1)
    assert message.rcpts == ["a@example.org", "b@example.org",
                             "c@example.org"]
    assert len(backend.connections) == 1


def test_each_backend_gets_its_own_recipients(backends, instance):
    one, two = backends(), backends()
    proxy = instance()
    proxy.start(file_passdb(proxy, a=one, b=two, c=one))
    with proxy.session() as client:
        replies = client.deliver(["a@example.org", "b@example.org",
                                  "c@example.org"], "x: y\r\n\r\nbody\r\n")
        assert [r.code for r in replies] == [250] * 3
    first, = one.wait_messages(1)
    second, = two.wait_messages(1)
    assert first.rcpts == ["a@example.org", "c@example.org"]
    assert second.rcpts == ["b@example.org"]
    assert first.text == second.text == b"x: y\r\n\r\nbody\r\n"


def test_dead_backend_fails_only_its_own(backends, instance):
    dead, alive = backends(), backends()
    dead.stop()
    proxy = instance()
    proxy.start(file_passdb(proxy, dead=dead, alive=alive))
    with proxy.session() as client:
        client.mail()
        assert client.rcpt("dead@example.org") == "451 4.4.0 "
        assert client.rcpt("alive@example.org") == 250
        assert client.data("x", 1)[0] == 250


def test_backend_without_accepted_recipients_gets_no_data(backends, instance):
    picky, happy = backends(), backends()
    picky.on("rcpt", "550 5.1.1 no")
    proxy = instance()
    proxy.start(file_passdb(proxy, p=picky, h=happy))
    with proxy.session() as client:
        client.mail()
        assert client.rcpt("p@example.org") == 550
        assert client.rcpt("h@example.org") == 250
        assert client.data("x", 1)[0] == 250
    assert "DATA" not in picky.commands


def test_proxy_timeout_is_per_recipient(backends, instance):
    one, two = backends(), backends()
    one.on("dot", hold)
    two.on("dot", hold)
    proxy = instance()
    proxy.start(file_passdb(proxy, a=(one, "proxy_timeout=1"), b=two))
    with proxy.session() as client:
        client.start_data("a@example.org", "b@example.org")
        client.send("x\r\n.\r\n")
        reply = client.reply()
        assert reply == "451 4.4.0 <a@example.org> Remote server not answering"
        two.release()
        assert client.reply() == 250


def test_longest_proxy_timeout_of_a_transaction_counts(backends, instance):
    one, clock = backends(), backends()
    one.on("dot", hold)
    clock.on("dot", silent)
    proxy = instance()
    proxy.start(file_passdb(
        proxy, a=(one, "proxy_timeout=1"), b=(one, "proxy_timeout=60"),
        c=(one, "proxy_timeout=1"), clock=(clock, "proxy_timeout=2")))
    with proxy.session() as client:
        client.start_data(*(f"{name}@example.org"
                            for name in ("clock", "a", "b", "c")))
        client.send("x\r\n.\r\n")
        assert client.reply() == 451
        one.release()
        assert [client.reply().code for _ in "abc"] == [250, 250, 250]


def test_data_timeout_is_a_setting(backend, waypost):
    backend.on("dot", hold)
    proxy = waypost(static_passdb(backend) +
                    "lmtp_proxy_data_timeout = 1 secs\n")
    with proxy.session() as client:
        client.mail()
        client.rcpt("joe@example.org")
        assert client.data("x", 1)[0] == \
            "451 4.4.0 <joe@example.org> Remote server not answering"


@pytest.mark.parametrize("stage,expected", [
    ("connect", "connect"), ("lhlo", "connect"),
])
def test_connect_timeout_covers_greeting_and_lhlo(backend, waypost, stage,
                                                  expected):
    backend.on(stage, hold)
    proxy = waypost(static_passdb(backend) +
                    "lmtp_proxy_connect_timeout = 1 secs\n")
    with proxy.session() as client:
        client.mail()
        reply = client.rcpt("joe@example.org")
    assert reply.code == 451 and reply.enhanced == "4.4.0"
    assert f"({expected}, session=" in reply.text


@pytest.mark.parametrize("stage", ["mail", "rcpt", "data"])
def test_command_timeout(backend, waypost, stage):
    backend.on(stage, hold)
    proxy = waypost(static_passdb(backend) +
                    "lmtp_proxy_command_timeout = 2 secs\n")
    with proxy.session() as client:
        client.mail()
        reply = client.rcpt("joe@example.org")
        if stage == "data":
            assert reply == 250
            reply, = client.data("x", 1)
        assert reply == "451 4.4.0 <joe@example.org> Proxy failed (timed out"


@pytest.mark.needs_ipv6
def test_ipv6_backend(backends, waypost):
    backend = backends(host="::1")
    proxy = waypost(static_passdb(backend))
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250
    proxy.wait_log(rf"sent .* at=\[::1\]:{backend.port}")


def test_lookup_by_name(backend, dns, waypost):
    dns.zone["mail.example"] = [LOCALHOST]
    proxy = waypost(
        f"lmtp_proxy_dns_servers = {dns.server}\n"
        f"passdb {{\n driver = static\n args = nopassword=y proxy=y "
        f"host=mail.example port={backend.port}\n}}\n")
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250
    proxy.wait_log(rf"sent .* at=mail\.example:{backend.port}")


def test_dead_address_first(dns, backends, waypost):
    """A host with two addresses, the first of which refuses."""
    alive = backends(host=other_host(1))
    dns.zone["mail.example"] = [other_host(2), alive.host]
    proxy = waypost(
        f"lmtp_proxy_dns_servers = {dns.server}\n"
        f"passdb {{\n driver = static\n args = nopassword=y proxy=y "
        f"host=mail.example port={alive.port}\n}}\n")
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250


def test_silent_address_first(dns, backends, waypost):
    """The first address never answers SYN: the second is tried meanwhile."""
    alive = backends(host=other_host(3))
    full = backends(host=other_host(4), port=alive.port, accept=False)
    full.sock.listen(0)
    blockers = []
    for _ in range(4):
        blocker = socket.socket()
        blocker.setblocking(False)
        blocker.connect_ex(full.address)
        blockers.append(blocker)
    dns.zone["mail.example"] = [full.host, alive.host]
    proxy = waypost(
        f"lmtp_proxy_dns_servers = {dns.server}\n"
        f"passdb {{\n driver = static\n args = nopassword=y proxy=y "
        f"host=mail.example port={alive.port}\n}}\n")
    start = time.monotonic()
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250
    assert time.monotonic() - start < 15  # the kernel would try for minutes
    for blocker in blockers:
        blocker.close()


def test_every_address_dead(dns, waypost):
    dns.zone["mail.example"] = [other_host(5), other_host(6)]
    proxy = waypost(
        f"lmtp_proxy_dns_servers = {dns.server}\nlmtp_verbose_replies = yes\n"
        "passdb {\n driver = static\n args = nopassword=y proxy=y "
        "host=mail.example port=9\n}\n")
    with proxy.session() as client:
        client.mail()
        reply = client.rcpt("joe@example.org")
    assert reply == "451 4.4.0 "
    assert other_host(5) in reply.text and other_host(6) in reply.text


def test_default_port_is_the_one_the_client_came_to(backends, instance):
    """As in Dovecot, when the passdb gives neither port nor protocol."""
    proxy = instance()
    backend = backends(host=other_host(7), port=proxy.port)
    proxy.start("passdb {\n driver = static\n args = nopassword=y proxy=y "
                f"host={backend.host}\n}}\n")
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250


def test_quit_when_a_connection_ends(backend, waypost):
    proxy = waypost(static_passdb(backend) +
                    "lmtp_proxy_pool_max_idle = 1 secs\n")
    with proxy.session() as client:
        client.deliver("joe@example.org")
    assert backend.wait_closed(0) == "quit"


def test_no_final_dot_without_the_clients(backend, waypost):
    """The body is sent on while it comes in, its end is not."""
    proxy = waypost(static_passdb(backend))
    client = proxy.session()
    client.start_data("joe@example.org")
    client.send(b"x" * 78 + b"\r\n")
    backend.wait_command("DATA")
    client.close()
    assert backend.wait_closed(0) != "quit"
    assert backend.messages == []


def test_whole_dialogue(backend, waypost):
    proxy = waypost(static_passdb(backend))
    with proxy.session() as client:
        client.deliver(["a@example.org", "b@example.org"])
    assert backend.connections[0].commands == [
        "LHLO proxy.example", "MAIL FROM:<sender@example.net>",
        "RCPT TO:<a@example.org>", "RCPT TO:<b@example.org>", "DATA"]


@pytest.mark.parametrize("reply", [
    "250 backend.example",
    ["250-backend.example", "250-X-FROB a b c", "250-AUTH PLAIN LOGIN",
     "250-SIZE junk", "250-", "250 pipelining"],
])
def test_strange_capabilities(backend, waypost, reply):
    backend.on("lhlo", reply)
    proxy = waypost(static_passdb(backend))
    with proxy.session() as client:
        assert [r.code for r in client.deliver(
            ["a@example.org", "b@example.org"])] == [250, 250]


@pytest.mark.parametrize("offered,sent", [
    (["8bitmime"], ["BODY=8BITMIME"]), (["SIZE"], ["SIZE=1000"]),
    (["size 5000000"], ["SIZE=1000"]), (["SMTPUTF8", "DSN"], []),
    (["SIZE", "8BITMIME"], ["BODY=8BITMIME", "SIZE=1000"]),
])
def test_parameters_as_offered(backends, waypost, offered, sent):
    backend = backends(capabilities=["PIPELINING"] + offered)
    proxy = waypost(static_passdb(backend))
    with proxy.session() as client:
        assert client.mail(params=" BODY=8BITMIME SIZE=1000") == 250
        assert client.rcpt("joe@example.org") == 250
    assert sorted(backend.commands[1].split()[2:]) == sent


def test_smtputf8_recipient_needs_the_peer(backends, waypost):
    able = backends(capabilities=["SMTPUTF8", "8BITMIME"])
    proxy = waypost(static_passdb(able) + "auth_username_chars =\n")
    with proxy.session() as client:
        assert client.mail(params=" SMTPUTF8") == 250
        assert client.rcpt("k\u00e4the@example.org") == 250
        assert client.data("x", 1)[0] == 250
    assert able.messages[0].rcpts == ["k\u00e4the@example.org"]


def test_original_utf8_address(backends, waypost):
    """RFC 6533 3: of type utf-8, and what xtext would write as +2B in its own way."""
    able = backends(capabilities=["PIPELINING", "SMTPUTF8", "DSN"])
    proxy = waypost(static_passdb(able, "destuser=box@store.example") +
                    "auth_username_chars =\n")
    with proxy.session() as client:
        assert client.mail(params=" SMTPUTF8") == 250
        assert client.rcpt("k\u00e4the+x@example.org") == 250
    assert able.commands[2] == ("RCPT TO:<box+x@store.example> "
                                "ORCPT=utf-8;k\u00e4the\\x{2B}x@example.org")


def test_utf8_address_that_the_passdb_gives(backends, instance):
    """The client has not heard of SMTPUTF8: what it said is no reason to bounce."""
    able = backends(capabilities=["PIPELINING", "SMTPUTF8"])
    unable = backends()
    proxy = instance()
    name = "destuser=k\u00e4the@store.example"
    proxy.start(file_passdb(proxy, able=(able, name), unable=(unable, name),
                            plain=able))
    with proxy.session() as client:
        client.begin("able@example.org")
        assert client.rcpt("unable@example.org") == "451 4.3.5 <unable@example.org> "
        assert client.rcpt("plain@example.org") == 250
        assert [r.code for r in client.data("x", 2)] == [250, 250]
        # MAIL has gone without it.
        client.begin("plain@example.org")
        assert client.rcpt("able@example.org") == "451 4.3.5 <able@example.org> "
        assert client.data("x", 1)[0] == 250
    assert [c for c in able.commands if c.startswith("MAIL")] == [
        "MAIL FROM:<sender@example.net> SMTPUTF8", "MAIL FROM:<sender@example.net>"]
    assert not unable.messages
    proxy.wait_log("Error: .*to=<unable@example.org>.*SMTPUTF8")
