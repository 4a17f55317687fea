"""passdb { driver = ldap } and real OpenLDAP servers that come and go."""
import concurrent.futures
import re
import signal
import threading
import time

import pytest

from hostile_ldap import BUSY, Directory, LdapScript, result
from slapd import Relay, user
from test_hostile import Growth
# pylint: disable=unused-import
from test_ldap import ldap_conf, rcpt, slapd, with_ldap  # noqa: F401
from waiting import wait_until

pytestmark = pytest.mark.needs("slapd", "slapadd")

JOE = "joe@example.org"

USERS = [f"u{i}@example.org" for i in range(100)]
TIMEOUT_2S = "auth_lookup_timeout = 2 secs\n"


def everybody(backend):
    return "".join(user(name, backend) for name in USERS)


def send_rcpts(client, users):
    client.send("".join(f"RCPT TO:<{name}>\r\n" for name in users))


def rcpt_all(proxy, users, expected=250):
    with proxy.session() as client:
        assert client.mail() == 250
        replies = client.pipeline(*[f"RCPT TO:<{name}>" for name in users])
        assert [r.code for r in replies] == [expected] * len(users), replies


@pytest.fixture
def relays():
    """relays(server): a way to a Slapd that shows and holds what passes."""
    made = []

    def make(server):
        made.append(Relay(server.ports["ldap"]))
        return made[-1]

    yield make
    for relay in made:
        relay.stop()


def test_searches_are_pipelined_over_few_connections(backend, slapd, relays,
                                                     with_ldap):
    server = slapd(everybody(backend))
    relay = relays(server)
    proxy = with_ldap(ldap_conf(relay.url))
    with proxy.session() as client:
        assert client.mail() == 250
        send_rcpts(client, USERS)
        assert [r.code for r in client.replies(100)] == [250] * 100
        relay.hold()
        send_rcpts(client, USERS)
        # As many as the settings let, without an answer to any.
        relay.wait_searches(len(USERS) + 2 * 32)
        relay.release()
        assert [r.code for r in client.replies(100)] == [250] * 100
    assert relay.count == 2
    assert relay.searches == 2 * len(USERS)


def test_more_than_slapd_lets_wait(backend, slapd, with_ldap):
    """It closes connections with too many requests."""
    server = slapd(everybody(backend), extra="conn_max_pending_auth 80\n")
    proxy = with_ldap(ldap_conf(server))
    for _ in range(3):
        rcpt_all(proxy, USERS * 3)
    assert "Error" not in proxy.log


def test_restart_in_the_middle_of_a_thousand_searches(backend, slapd, relays,
                                                      with_ldap):
    """No lookup fails: what was not answered is asked again."""
    server = slapd(everybody(backend))
    relay = relays(server)
    proxy = with_ldap(ldap_conf(relay.url, extra="max_connections = 1\n"
                                "max_outstanding = 500\n"))
    clients = [proxy.session() for _ in range(10)]
    for client in clients:  # so that all threads are connected
        assert client.mail() == 250
        assert client.rcpt(USERS[0]) == 250
    server.freeze()
    for client in clients:
        send_rcpts(client, USERS)
    relay.wait_searches(10 + 1000)
    server.stop(signal.SIGKILL)
    server.start()
    for client in clients:
        assert [r.code for r in client.replies(100)] == [250] * 100
        client.close()
    proxy.wait_log(r"Error: passdb ldap: .*")
    proxy.wait_log(r"works again, after")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_restarts_under_load(backend, slapd, with_ldap, number):
    """However the server ends, nobody is refused, or even deferred."""
    server = slapd(everybody(backend))
    proxy = with_ldap(ldap_conf(server))
    over, codes, rounds = threading.Event(), set(), [0] * 3

    def ask(number):
        with proxy.session() as client:
            while not over.is_set():
                assert client.mail() == 250
                send_rcpts(client, USERS)
                codes.update(r.code for r in client.replies(len(USERS)))
                assert client.command("RSET") == 250
                rounds[number] += 1

    def all_go_on():
        """No search meets two restarts: one that did too often is given up."""
        before = list(rounds)
        wait_until(lambda: all(now > was + 1 for now, was in
                               zip(rounds, before)), "rounds of all")

    with concurrent.futures.ThreadPoolExecutor() as pool:
        clients = [pool.submit(ask, number) for number in range(len(rounds))]
        try:
            for _ in range(5):
                all_go_on()
                server.stop(number)
                server.start()
        finally:
            over.set()
        for client in clients:
            client.result()
    assert codes == {250}


def test_server_that_always_hangs_up(slapd, with_ldap):
    """A search is not repeated for ever."""
    fake = LdapScript(lambda connection: connection.search())
    proxy = with_ldap(ldap_conf(fake.url))
    assert rcpt(proxy, JOE) == "451 4.3.0 "
    assert fake.count == 3
    fake.stop()


def test_server_that_is_busy(backend, slapd, with_ldap):
    """The next one is asked."""
    server = slapd(user(JOE, backend))
    fake = LdapScript(Directory(backend, lambda connection, request:
                                connection.send(result(request.id,
                                                       code=BUSY))))
    proxy = with_ldap(ldap_conf(f"{fake.url} {server.url()}"))
    assert rcpt(proxy, JOE) == 250
    proxy.wait_log(r"Error: .*Server is busy \(51\)")
    proxy = with_ldap(ldap_conf(fake.url))
    assert rcpt(proxy, JOE) == "451 4.3.0 "
    fake.stop()


def test_dead_server_is_probed_and_not_hammered(backend, with_ldap):
    """However many ask. After a while nobody waits any more."""
    fake = LdapScript(lambda connection: None)
    proxy = with_ldap(ldap_conf(fake.url), TIMEOUT_2S)
    begin = time.monotonic()
    rcpt_all(proxy, USERS, 451)
    assert rcpt(proxy, JOE) == 451
    proxy.wait_log(r"Error: passdb ldap: .*connection closed")
    rcpt_all(proxy, USERS * 10, 451)
    seconds = time.monotonic() - begin
    # 0.1, 0.2, ... 2 s apart, in each of two threads.
    assert fake.count <= 2 * (6 + seconds / 2)
    assert len(re.findall("Error: passdb ldap: ", proxy.log)) <= 2
    fake.stop()


def test_silent_server_delays_nobody_else(backend, slapd, with_ldap):
    """Its lookups end in time; others go on; it is taken back."""
    server = slapd(user("joe@example.org", backend))
    proxy = with_ldap(ldap_conf(server), TIMEOUT_2S, before=(
        "passdb {\n driver = static\n username_filter = ann*\n"
        f" args = nopassword=y proxy=y host={backend.host} "
        f"port={backend.port}\n}}\n"))
    assert rcpt(proxy, "joe@example.org") == 250
    server.freeze()
    begin = time.monotonic()
    with proxy.session() as client, proxy.session() as other:
        assert client.mail() == 250
        client.send("RCPT TO:<joe@example.org>\r\n")
        assert other.mail() == 250
        assert other.rcpt("ann@example.org") == 250
        assert client.reply().raw == [
            "451 4.4.3 <joe@example.org> Temporary user lookup failure: "
            "no answer in time"]
    assert time.monotonic() - begin < 10
    proxy.wait_log(r"Error: .*no answer within auth_lookup_timeout")
    server.send_signal(signal.SIGCONT)
    wait_until(lambda: rcpt(proxy, "joe@example.org") == 250, "the server")


def test_other_server_takes_over_and_gives_back(backends, slapd, with_ldap):
    """The first that works is asked."""
    one, two = backends(), backends()
    first = slapd(user("joe@example.org", one))
    second = slapd(user("joe@example.org", two))
    first.stop()
    proxy = with_ldap(ldap_conf(f"{first.url()} {second.url()}"))
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250
        two.wait_messages(1)
        first.start()
        proxy_back = lambda: (client.deliver("joe@example.org"),
                              one.messages)[1]
        wait_until(proxy_back, "the first server")
        first.freeze()
        count = len(two.messages)
        assert client.deliver("joe@example.org")[0] == 250
        two.wait_messages(count + 1)
        first.stop()


def test_idle_connection_that_the_server_closes(backend, slapd, relays,
                                                with_ldap):
    server = slapd(user("joe@example.org", backend), extra="idletimeout 1\n")
    relay = relays(server)
    proxy = with_ldap(ldap_conf(relay.url))
    with proxy.session() as client:
        assert client.mail() == 250
        assert client.rcpt("joe@example.org") == 250
        # slapd looks for idle connections now and then.
        wait_until(lambda: relay.ended, "the end of the connection")
        assert client.rcpt("joe@example.org") == 250
    assert relay.count == 2
    assert "Error" not in proxy.log


def test_reload_in_the_middle(backend, slapd, relays, with_ldap):
    """What is under way goes on, as it was configured."""
    server = slapd(everybody(backend))
    relay = relays(server)
    proxy = with_ldap(ldap_conf(relay.url))
    with proxy.session() as client:
        assert client.mail() == 250
        assert client.rcpt(USERS[0]) == 250
        relay.hold()
        send_rcpts(client, USERS)
        relay.wait_searches(1 + 32)
        proxy.write_file("ldap.conf.ext", ldap_conf(server))
        proxy.reload()
        rcpt_all(proxy, USERS)
        relay.release()
        assert [r.code for r in client.replies(100)] == [250] * 100
        assert not relay.ended
    # With the last session that needs them, the connections end.
    wait_until(lambda: relay.ended == relay.count, "the old connections")
    assert relay.searches == 1 + len(USERS)
    assert "Error" not in proxy.log


def test_clients_that_leave(backend, slapd, relays, with_ldap):
    """Answers to searches that nobody waits for do no harm."""
    server = slapd(everybody(backend))
    relay = relays(server)
    proxy = with_ldap(ldap_conf(relay.url))
    clients = [proxy.session() for _ in range(6)]
    for client in clients:
        assert client.mail() == 250
        assert client.rcpt(USERS[0]) == 250
    relay.hold()
    for client in clients:
        send_rcpts(client, USERS)
    relay.wait_searches(6 + 2 * 32)
    for client in clients:
        client.reset()
    proxy.wait_log("Disconnect", count=6)
    relay.release()
    rcpt_all(proxy, USERS)
    assert "Error" not in proxy.log


def test_nothing_grows(backend, slapd, with_ldap):
    server = slapd(everybody(backend))
    proxy = with_ldap(ldap_conf(server))
    with proxy.session() as client:
        def ask(times):
            for _ in range(times):
                assert client.mail() == 250
                send_rcpts(client, USERS)
                assert {r.code for r in client.replies(100)} == {250}
                assert client.command("RSET") == 250
        ask(10)
        with Growth(proxy, 256 * 1024):
            ask(50)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_end_in_the_middle(backend, slapd, relays, with_ldap, number):
    """The process ends while searches are under way, in both threads."""
    server = slapd(everybody(backend))
    relay = relays(server)
    proxy = with_ldap(ldap_conf(relay.url),
                      "lmtp_shutdown_timeout = 1 secs\n")
    clients = [proxy.session() for _ in range(4)]
    for client in clients:
        assert client.mail() == 250
        assert client.rcpt(USERS[0]) == 250
    relay.hold()
    for client in clients:
        send_rcpts(client, USERS)
    relay.wait_searches(4 + 2 * 32)
    proxy.signal(number)
    assert proxy.wait_exit() == 0
    for client in clients:
        client.close()
