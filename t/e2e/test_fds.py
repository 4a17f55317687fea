"""File descriptors run out: sessions that are there get what they need, clients
who come are told 421 or wait, and all is well again afterwards."""
import os
import pathlib
import re
import resource
import signal

from control import Control
from lmtp_client import Client
from ports import LOCALHOST, free_port
from scripted_backend import hold
from waiting import wait_until
from waypost import file_passdb, static_passdb

LIMIT = 90


def nofile(pid):
    limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
    return re.search(r"Max open files\s+(\S+)\s+(\S+)", limits).groups()


def fill(proxy):
    """Clients until the first one is refused, which is the last one."""
    clients = []
    while True:
        client = proxy.connect()
        if client.greeting != 220:
            assert client.greeting.raw[0].startswith("421 4.3.2 ")
            client.expect_closed()
            client.close()
            return clients
        assert client.lhlo() == 250
        clients.append(client)
        assert len(clients) < LIMIT


def started(instance, config):
    proxy = instance()
    proxy.max_fds = LIMIT
    return proxy.start(config)


def test_limit_is_raised(backend, instance):
    proxy = instance()
    proxy.limit_fds = lambda: resource.setrlimit(resource.RLIMIT_NOFILE,
                                                 (64, 128))
    proxy.max_fds = 128
    proxy.start(static_passdb(backend))
    assert nofile(proxy.process.pid) == ("128", "128")
    worker, = proxy.workers()
    assert nofile(worker) == ("128", "128")


def test_how_many_sessions_there_may_be(backend, instance):
    """Whatever the settings say, a client takes a descriptor."""
    proxy = started(instance, static_passdb(backend))
    clients = fill(proxy)
    status = Control(proxy).get("/v1/status")
    assert len(clients) <= status["sessions_max"] <= LIMIT / 2
    assert f"\nwaypost_sessions_limit {status['sessions_max']}\n" in \
        Control(proxy).request("/metrics")[1]
    for client in clients:
        client.close()


def test_limit_of_service_lmtp(backend, instance):
    """Where descriptors are enough."""
    proxy = instance().start(static_passdb(backend) +
                             "service lmtp {\n process_limit = 2\n client_limit = 3\n}\n")
    assert Control(proxy).get("/v1/status")["sessions_max"] == 6


def test_accepted_sessions_get_their_backends(backend, instance):
    """Each of them a connection of its own, all at the same time."""
    backend.on("dot", hold)
    proxy = started(instance, static_passdb(backend))
    clients = fill(proxy)
    assert len(clients) > 10
    proxy.wait_log("Warning: file descriptors run short")
    for client in clients:
        client.start_data("joe@example.org")
        client.send("x\r\n.\r\n")
    backend.wait_held(len(clients))
    backend.release()
    for client in clients:
        assert client.reply() == 250
        client.close()
    assert len(backend.messages) == len(clients)


def test_clients_are_welcome_again(backend, instance):
    proxy = started(instance, static_passdb(backend))
    clients = fill(proxy)
    count = len(clients)
    for client in clients[::2]:
        client.close()
    client = proxy.let_in()
    assert client.lhlo() == 250
    assert client.deliver("joe@example.org")[0] == 250
    client.close()
    for client in clients[1::2]:
        client.close()
    # One line, however many were refused.
    assert proxy.log.count("run short") == 1
    wait_until(lambda: "Disconnect" in proxy.log, "the sessions to end")
    clients = wait_until(lambda: refill(proxy, count - 2), "room for all")
    for client in clients:
        client.close()


def refill(proxy, count):
    """That many, but for what the pool keeps open."""
    clients = fill(proxy)
    if len(clients) >= count:
        return clients
    for client in clients:
        client.close()
    return None


def test_none_is_left(backends, instance):
    """Every session wants several backends: some have to wait for the sender's
    next attempt. Who connects then waits, and is served later."""
    servers = [backends() for _ in range(4)]
    for server in servers:
        server.on("rcpt", hold)
    proxy = instance()
    proxy.max_fds = LIMIT
    proxy.start(file_passdb(proxy, **{f"u{n}": b
                                      for n, b in enumerate(servers)}))
    clients = fill(proxy)
    for client in clients:
        client.send("MAIL FROM:<s@example.net>\r\n" + "".join(
            f"RCPT TO:<u{n}@example.org>\r\n" for n in range(len(servers))))
    proxy.wait_log("Too many open files")
    late = proxy.connect(greeting=False)
    proxy.wait_log("Error: accept: .*; trying again every")
    for server in servers:
        server.release()
    codes = []
    for client in clients:
        assert client.reply() == 250
        codes += [reply.code for reply in client.replies(len(servers))]
        client.close()
    assert set(codes) == {250, 451}
    # The connections to backends stay in the pool, and would do for it.
    assert late.reply().code in (220, 421)
    late.close()

    def serves():
        with proxy.connect() as client:
            return client.greeting == 220 and client.lhlo() == 250 and \
                client.mail() == 250 and client.rcpt("u0@example.org") == 250
    wait_until(serves, "recovery")


def test_reload_when_none_is_left_for_clients(backend, instance):
    """A new listener comes all the same."""
    proxy = started(instance, static_passdb(backend))
    clients = fill(proxy)
    port = free_port()
    proxy.reload(static_passdb(backend) +
                 "service lmtp {\n inet_listener x {\n"
                 f"  address = {LOCALHOST}\n  port = {port}\n }}\n}}\n")
    for client in clients:
        client.close()

    def welcome():
        with Client((LOCALHOST, port)) as client:
            return client.greeting == 220
    wait_until(welcome, "room")


def holders(proxy, path):
    """The processes of the service that have path open."""
    pids = [proxy.process.pid, *proxy.workers()]
    return [pid for pid in pids
            for fd in os.listdir(f"/proc/{pid}/fd")
            if os.path.realpath(f"/proc/{pid}/fd/{fd}") == str(path)]


def test_descriptors_of_who_starts_it_stay_there(backend, instance):
    """Such as root's, of a file that the worker process could not open itself; or a
    lock's, that would be held for as long as the service runs."""
    proxy = instance()
    secret = (proxy.dir / "secret").resolve()
    secret.write_text("x")
    with open(secret, encoding="ascii") as file:
        proxy.pass_fds = (file.fileno(),)
        proxy.start(static_passdb(backend))
        assert holders(proxy, secret) == []
        proxy.signal(signal.SIGUSR2)
        proxy.wait_log("goes on with worker process")
        assert holders(proxy, secret) == []
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250
