"""Nothing that a peer can grow grows for ever, and much at once works."""
import threading

import pytest

from lmtp_client import Client
from processes import is_sanitized, open_fds, rss
from scripted_backend import hold
from waiting import wait_until
from waypost import file_passdb, static_passdb


def test_many_sessions_at_once(backend, waypost):
    proxy = waypost(static_passdb(backend))
    clients = [proxy.connect(greeting=False) for _ in range(300)]
    for client in clients:
        assert client.reply() == 220
        client.send("LHLO c\r\nMAIL FROM:<s@example.net>\r\n"
                    "RCPT TO:<joe@example.org>\r\nDATA\r\n")
    for client in clients:
        assert [r.code for r in client.replies(4)] == [250, 250, 250, 354]
        client.send("x\r\n.\r\n")
    for client in clients:
        assert client.reply() == 250
        client.close()
    assert len(backend.wait_messages(300)) == 300


def test_nothing_leaks_over_many_sessions(backend, waypost):
    proxy = waypost(static_passdb(backend) + "lmtp_proxy_pool_max_idle = 0\n")

    def burst(count):
        for _ in range(count):
            with proxy.session() as client:
                client.deliver(["a@example.org", "b@example.org"])
    first, more = (20, 50) if is_sanitized() else (50, 200)
    burst(first)
    wait_until(lambda: proxy.log.count("Disconnect") == first, "all gone")
    fds, memory = open_fds(proxy), rss(proxy)
    burst(more)
    wait_until(lambda: proxy.log.count("Disconnect") == first + more, "all gone")
    wait_until(lambda: open_fds(proxy) <= fds, "descriptors to be closed")
    if not is_sanitized():
        assert rss(proxy) - memory < 1024 * 1024


def test_nothing_leaks_in_one_long_session(backend, waypost):
    if is_sanitized():
        pytest.skip("sanitizers have their own idea of memory")
    proxy = waypost(static_passdb(backend))
    with proxy.session() as client:
        for _ in range(100):
            client.deliver("a@example.org")
        memory = rss(proxy)
        for _ in range(1000):
            client.deliver("a@example.org")
        assert rss(proxy) - memory < 512 * 1024


def test_idle_sessions_are_small(backend, waypost):
    if is_sanitized():
        pytest.skip("sanitizers have their own idea of memory")
    proxy = waypost(static_passdb(backend))
    proxy.session().quit()
    before = rss(proxy)
    clients = [proxy.session() for _ in range(400)]
    assert (rss(proxy) - before) / 400 < 8192
    for client in clients:
        client.close()


def test_client_limit_counts_right(backend, instance):
    """Sessions that end make room, however they end."""
    proxy = instance()
    proxy.start(static_passdb(backend) +
                "service lmtp {\n client_limit = 5\n process_limit = 1\n}\n")
    for number in range(30):
        client = proxy.let_in()
        (client.close, client.reset, client.quit)[number % 3]()
    clients = wait_until(lambda: five_clients(proxy), "room for five")
    with proxy.connect() as client:
        assert client.greeting.raw[0].startswith("421 4.3.2 ")
    for client in clients:
        client.close()


def five_clients(proxy):
    clients = [proxy.connect() for _ in range(5)]
    if all(client.greeting == 220 for client in clients):
        return clients
    for client in clients:
        client.close()
    return None


def test_default_limit_is_process_limit_times_client_limit(backend, instance):
    proxy = instance()
    proxy.start(static_passdb(backend) +
                "default_process_limit = 2\ndefault_client_limit = 2\n")
    clients = [proxy.session() for _ in range(4)]
    with proxy.connect() as client:
        assert client.greeting.raw[0].startswith("421 4.3.2 ")
    for client in clients:
        client.close()


def test_concurrent_messages_of_every_kind(backends, instance):
    """Many clients, several backends, some of which refuse or drop."""
    good, picky, flaky = backends(), backends(), backends()
    picky.on("rcpt", "550 5.1.1 no")
    flaky.on("dot", "451 4.3.0 later")
    proxy = instance()
    proxy.start(file_passdb(proxy, good=good, picky=picky, flaky=flaky))
    failures = []

    def run(number):
        try:
            with Client(proxy.address) as client:
                client.lhlo()
                for turn in range(15):
                    codes = [r.code for r in client.pipeline(
                        "MAIL FROM:<s@example.net>",
                        "RCPT TO:<good@example.org>",
                        "RCPT TO:<picky@example.org>",
                        "RCPT TO:<flaky@example.org>",
                        "RCPT TO:<nobody@example.org>")]
                    assert codes == [250, 250, 550, 250, 550], codes
                    if (number + turn) % 3 == 0:
                        assert client.command("RSET") == 250
                        continue
                    body = b"%d.%d\r\n" % (number, turn) * 2000
                    codes = [r.code for r in client.data(body, 2)]
                    assert codes == [250, 451], codes
        except Exception as exc:
            failures.append(repr(exc))
    threads = [threading.Thread(target=run, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(good.messages) == 12 * 10
    assert len({m.text for m in good.messages}) == 12 * 10


def test_reset_of_many_pending_recipients(backend, waypost):
    backend.on("rcpt", hold)
    proxy = waypost(static_passdb(backend))
    client = proxy.session()
    client.send("MAIL FROM:<s@example.net>\r\n" + "".join(
        f"RCPT TO:<u{n}@example.org>\r\n" for n in range(500)))
    backend.wait_held()
    client.reset()
    backend.release()
    proxy.wait_log("Disconnect from")
    with proxy.session() as client:
        assert client.deliver("after@example.org")[0] == 250
