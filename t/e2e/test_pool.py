"""Upstream connections: kept, shared, limited, and never used dirty."""
import threading

import pytest

from scripted_backend import close, hold, reset, then_close
from test_metrics import scrape
from waiting import wait_on, wait_until
from waypost import file_passdb, static_passdb


def wait_idle(proxy, backend):
    """Until a connection is there for the next transaction."""
    name = ("waypost_backend_idle_connections"
            f'{{backend="{backend.host}:{backend.port}"}}')
    wait_until(lambda: scrape(proxy)[name] == 1, "an idle connection")


@pytest.fixture
def proxy(backend, instance):
    proxy = instance()
    proxy.threads = 1  # each worker thread has a pool of its own
    return proxy.start(static_passdb(backend))


def test_reuse_between_transactions(proxy, backend):
    with proxy.session() as client:
        for _ in range(10):
            assert client.deliver("joe@example.org")[0] == 250
    assert len(backend.connections) == 1
    assert len(backend.messages) == 10


def test_reuse_between_sessions(proxy, backend):
    for _ in range(10):
        with proxy.session() as client:
            assert client.deliver("joe@example.org")[0] == 250
            client.quit()
    assert len(backend.connections) == 1


def test_no_reuse_when_turned_off(backend, waypost):
    proxy = waypost(static_passdb(backend) + "lmtp_proxy_pool_max_idle = 0\n")
    with proxy.session() as client:
        for _ in range(3):
            assert client.deliver("joe@example.org")[0] == 250
    assert len(backend.wait_connections(3)) == 3


def test_max_age(backend, instance):
    proxy = instance()
    proxy.threads = 1
    proxy.start(static_passdb(backend) +
                "lmtp_proxy_pool_max_age = 1 secs\n")
    with proxy.session() as client:
        def another():
            assert client.deliver("joe@example.org")[0] == 250
            return len(backend.connections) > 1
        wait_until(another, "a second connection")
    assert backend.wait_closed(0) == "quit"


def test_different_targets_do_not_share(backend, instance):
    proxy = instance()
    proxy.threads = 1
    proxy.start(file_passdb(
        proxy, a=backend, b=(backend, "source_ip=127.0.0.78"), c=backend))
    with proxy.session() as client:
        for name in "abc":
            assert client.deliver(f"{name}@example.org")[0] == 250
    assert len(backend.connections) == 2
    assert backend.connections[1].peer[0] == "127.0.0.78"


def test_after_a_refused_recipient(proxy, backend):
    backend.on("rcpt", "550 5.1.1 no", times=1)
    with proxy.session() as client:
        client.mail()
        assert client.rcpt("a@example.org") == 550
        client.command("RSET")
        assert client.deliver("b@example.org")[0] == 250
    assert len(backend.connections) == 1
    # The open transaction was reset before the connection was used again.
    commands = backend.connections[0].commands
    assert commands.index("RSET") < commands.index(
        "RCPT TO:<b@example.org>")


def test_after_a_client_that_left_before_data(proxy, backend):
    with proxy.session() as client:
        client.mail()
        assert client.rcpt("a@example.org") == 250
    backend.wait_command("RSET")
    wait_idle(proxy, backend)
    with proxy.session() as client:
        assert client.deliver("b@example.org")[0] == 250
    assert len(backend.connections) == 1
    assert backend.messages[0].rcpts == ["b@example.org"]


def test_not_after_a_client_that_left_in_data(proxy, backend):
    client = proxy.session()
    client.start_data("a@example.org")
    client.send(b"half of\r\n")
    client.close()
    with proxy.session() as client:
        assert client.deliver("b@example.org")[0] == 250
    assert [m.rcpts for m in backend.messages] == [["b@example.org"]]
    assert len(backend.connections) == 2


def test_closed_idle(proxy, backend):
    """A connection that the backend closes while it is idle."""
    backend.on("idle", close, times=1)
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250
        backend.wait_closed(0)
        assert client.deliver("joe@example.org")[0] == 250
    assert len(backend.connections) == 2


def test_421_while_idle(proxy, backend):
    backend.on("idle", then_close("421 4.4.2 idle for too long"), times=1)
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250
        backend.wait_closed(0)
        assert client.deliver("joe@example.org")[0] == 250


@pytest.mark.parametrize("how", [close, reset, then_close("421 4.3.2 bye")])
def test_dead_on_reuse_is_replaced_silently(proxy, backend, how):
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250
        backend.on("mail", how, times=1)
        assert client.deliver("joe@example.org")[0] == 250
    assert len(backend.connections) == 2
    assert len(backend.messages) == 2


def test_dead_on_first_use_is_not_retried(proxy, backend):
    backend.on("mail", close)
    with proxy.session() as client:
        client.mail()
        assert client.rcpt("joe@example.org") == 451
    assert len(backend.connections) == 1


def test_word_out_of_turn_spoils_a_connection(proxy, backend):
    backend.on("idle", "250 2.0.0 and another thing", times=1)
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250
        backend.wait_closed(0)
        assert client.deliver("joe@example.org")[0] == 250
    assert len(backend.connections) == 2


def test_one_reply_too_many_is_never_the_next_ones(proxy, backend):
    """Two replies for one recipient, in one segment."""
    backend.on("dot", b"250 2.0.0 ok\r\n250 2.0.0 again\r\n", times=1)
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0].code in (250, 451)
        backend.on("rcpt", "550 5.1.1 no")
        client.mail()
        assert client.rcpt("ann@example.org") == 550


def deliver_in_thread(proxy, results, index):
    def run():
        with proxy.session() as client:
            client.mail()
            reply = client.rcpt(f"u{index}@example.org")
            if reply == 250:
                reply, = client.data("x", 1)
            results[index] = reply
    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_max_connections(backend, instance):
    """Over the limit, sessions take turns; nobody fails."""
    backend.on("dot", hold)
    proxy = instance()
    proxy.threads = 2
    proxy.start(static_passdb(backend) +
                "lmtp_proxy_pool_max_connections = 2\n")
    results = {}
    threads = [deliver_in_thread(proxy, results, i) for i in range(8)]
    backend.wait_held(2)
    assert len(backend.connections) == 2
    backend.release()
    for thread in threads:
        thread.join()
    assert {r.code for r in results.values()} == {250}
    # The backend may not know yet which of them are closed.
    wait_on(backend.changed, lambda: len(
        [c for c in backend.connections if c.closed is None]) <= 2, "the limit")


def test_waiting_for_a_connection_has_an_end(backend, instance):
    backend.on("dot", hold)
    proxy = instance()
    proxy.threads = 1
    proxy.start(static_passdb(backend) +
                "lmtp_proxy_pool_max_connections = 1\n"
                "lmtp_proxy_pool_wait_timeout = 1 secs\n")
    results = {}
    thread = deliver_in_thread(proxy, results, 0)
    backend.wait_held(1)
    with proxy.session() as client:
        client.mail()
        assert client.rcpt("late@example.org") == \
            "451 4.4.5 <late@example.org> Proxy failed"
    backend.release()
    thread.join()
    assert results[0] == 250


def test_concurrent_sessions_share_what_they_open(proxy, backend):
    results = {}
    threads = [deliver_in_thread(proxy, results, i) for i in range(20)]
    for thread in threads:
        thread.join()
    assert {r.code for r in results.values()} == {250}
    count = len(backend.connections)
    for _ in range(3):
        with proxy.session() as client:
            assert client.deliver("joe@example.org")[0] == 250
    assert len(backend.connections) == count
    wait_on(backend.changed, lambda: len(backend.messages) == 23, "all")


ONE_CONNECTION = "lmtp_proxy_pool_max_connections = 1\n"


@pytest.fixture
def narrow(backend, instance):
    """A proxy that may have one connection to its backend."""
    proxy = instance()
    proxy.threads = 1
    return proxy.start(static_passdb(backend) + ONE_CONNECTION)


def wait_waiting(proxy, backend, count):
    """Until so many transactions wait for a connection."""
    name = ("waypost_backend_waiting_transactions"
            f'{{backend="{backend.host}:{backend.port}"}}')
    wait_until(lambda: scrape(proxy)[name] == count, f"{count} that wait")


def test_waiting_sessions_are_served_in_order(narrow, backend):
    first = narrow.session()
    first.mail()
    assert first.rcpt("joe@example.org") == 250
    waiting = []
    for number in range(4):
        client = narrow.session()
        assert client.mail(f"{number}@example.net") == 250
        client.send("RCPT TO:<joe@example.org>\r\n")
        waiting.append(client)
        wait_waiting(narrow, backend, len(waiting))
    assert first.data("x", 1)[0] == 250
    for client in waiting:
        assert client.reply() == 250
        assert client.data("x", 1)[0] == 250
    assert [m.sender for m in backend.messages] == \
        ["sender@example.net"] + [f"{n}@example.net" for n in range(4)]


def test_waiting_session_that_goes_away(narrow, backend):
    first = narrow.session()
    first.mail()
    assert first.rcpt("joe@example.org") == 250
    gone, patient = narrow.session(), narrow.session()
    for number, client in enumerate((gone, patient), 1):
        client.mail()
        client.send("RCPT TO:<joe@example.org>\r\n")
        wait_waiting(narrow, backend, number)
    gone.reset()
    wait_waiting(narrow, backend, 1)
    assert first.data("x", 1)[0] == 250
    assert patient.reply() == 250
    assert patient.data("x", 1)[0] == 250


def test_place_of_a_failed_connection_is_free_again(narrow, backend):
    backend.on("connect", "554 5.3.2 no", times=1)
    with narrow.session() as client:
        client.mail()
        assert client.rcpt("joe@example.org") == 451
        assert client.rcpt("joe@example.org") == 250
        assert client.data("x", 1)[0] == 250


def test_limit_is_each_backends_own(backends, instance):
    one, two = backends(), backends()
    proxy = instance()
    proxy.start(file_passdb(proxy, a=one, b=two) + ONE_CONNECTION)
    first = proxy.session()
    first.mail()
    assert first.rcpt("a@example.org") == 250
    with proxy.session() as client:
        assert client.deliver("b@example.org")[0] == 250
    assert first.data("x", 1)[0] == 250


def test_failed_rset_spoils_a_connection(proxy, backend):
    backend.on("rset", "500 5.5.1 what?")
    with proxy.session() as client:
        client.mail()
        assert client.rcpt("a@example.org") == 250
        client.command("RSET")
        backend.wait_closed(0)
        assert client.deliver("b@example.org")[0] == 250
    assert len(backend.connections) == 2


def limited(instance, backend, threads=1, config=""):
    proxy = instance()
    proxy.threads = threads
    return proxy.start(static_passdb(backend) +
                       "lmtp_proxy_pool_max_connections = 1\n" + config)


def test_limit_is_for_all_workers_together(backend, instance):
    """Eight clients over four workers, one connection at a time."""
    proxy = limited(instance, backend, threads=4)
    results = {}

    def alone(conn, _rcpt):
        # What came before may have ended without its thread knowing yet.
        wait_until(lambda: [c for c in backend.connections
                            if c.closed is None] == [conn],
                   "the others to be closed")
        return "250 2.0.0 ok"

    backend.on("dot", alone)
    threads = [deliver_in_thread(proxy, results, i) for i in range(8)]
    for thread in threads:
        thread.join()
    assert [results[i].code for i in range(8)] == [250] * 8


def test_open_sessions_do_not_share_one(proxy, backend):
    """Two transactions at once are two connections; both are kept."""
    with proxy.session() as one, proxy.session() as other:
        for client in (one, other):
            client.mail()
            client.rcpt("joe@example.org")
        assert len(backend.connections) == 2
        for client in (one, other):
            assert client.data("x", 1)[0] == 250
        for client in (one, other, one):
            assert client.deliver("joe@example.org")[0] == 250
    assert len(backend.connections) == 2
