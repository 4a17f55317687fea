"""Where waypost listens, as whom it runs, and how connections spread."""
import grp
import os
import pathlib
import pwd
import re
import signal
import socket
import stat

import pytest

from lmtp_client import Client
from ports import LOCALHOST, free_port, other_host
from test_metrics import scrape
from waiting import TIMEOUT, wait_until
from waypost import IS_ROOT, USER, static_passdb


def test_default_unix_listener(backend, waypost):
    proxy = waypost(static_passdb(backend))
    with Client(proxy.socket) as client:
        assert client.lhlo() == 250
        assert client.deliver("joe@example.org")[0] == 250
    assert stat.S_IMODE(os.stat(proxy.socket).st_mode) == 0o666
    header = backend.wait_messages(1)[0].body.split(b"\r\n")[0]
    assert header == b"Received: from client.example"


def test_unix_listener_settings(backend, instance):
    proxy = instance()
    proxy.start(static_passdb(backend) + "service lmtp {\n"
                " unix_listener lmtp {\n  mode = 0600\n }\n"
                f" unix_listener {proxy.dir}/spool/other {{\n  mode = 0620\n }}\n"
                " unix_listener off {\n  mode = 0\n }\n}\n")
    assert stat.S_IMODE(os.stat(proxy.socket).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(proxy.dir / "spool" / "other").st_mode) == 0o620
    assert not (proxy.dir / "run" / "off").exists()
    with Client(str(proxy.dir / "spool" / "other")) as client:
        assert client.lhlo() == 250


def test_a_path_of_another_service(backend, waypost):
    """A reload: who may bring mail is not who may give orders."""
    mail = static_passdb(backend) + "service lmtp {\n unix_listener both {\n }\n}\n"
    orders = static_passdb(backend) + ("service lmtp {\n unix_listener lmtp {\n }\n}\n"
                                       "service ctl {\n unix_listener both {\n }\n}\n")
    proxy = waypost(mail)
    path = str(proxy.dir / "run" / "both")

    def greeting():
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(TIMEOUT)
            client.connect(path)
            client.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            return client.recv(4)

    for config in (mail, orders, mail):
        proxy.reload(config)
        wanted = b"HTTP" if config is orders else b"220 "
        # Threads hear of it one by one.
        wait_until(lambda wanted=wanted: greeting() == wanted, f"{wanted} from {path}")
    proxy.stop()
    assert not os.path.exists(path)


@pytest.mark.needs_root
def test_unix_listener_owner(backend, instance):
    proxy = instance(as_root=True)
    proxy.start(static_passdb(backend) + "service lmtp {\n"
                " unix_listener lmtp {\n  user = daemon\n  group = mail\n"
                "  mode = 0660\n }\n}\n")
    entry = os.stat(proxy.socket)
    assert entry.st_uid == pwd.getpwnam("daemon").pw_uid
    assert entry.st_gid == grp.getgrnam("mail").gr_gid
    assert entry.st_mode & 0o777 == 0o660


def test_sockets_are_removed_at_the_end(backend, waypost):
    proxy = waypost(static_passdb(backend))
    proxy.stop()
    assert not os.path.exists(proxy.socket)


def test_stale_socket_is_replaced(backend, instance):
    proxy = instance()
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(proxy.socket)
    stale.close()
    if IS_ROOT and not proxy.as_root:
        os.chown(proxy.socket, pwd.getpwnam(USER).pw_uid, -1)
    proxy.start(static_passdb(backend))
    with Client(proxy.socket) as client:
        assert client.lhlo() == 250


def test_several_inet_listeners(backend, instance):
    proxy = instance()
    ports = [free_port(), free_port(), free_port(other_host(20))]
    proxy.start(static_passdb(backend) + "service lmtp {\n"
                f" inet_listener one {{\n  address = {LOCALHOST}\n"
                f"  port = {ports[0]}\n }}\n"
                f" inet_listener two {{\n  address = {LOCALHOST} "
                f"{other_host(20)}\n  port = {ports[1]}\n }}\n"
                " inet_listener off {\n  port = 0\n }\n}\n")
    for address in [(LOCALHOST, ports[0]), (LOCALHOST, ports[1]),
                    (other_host(20), ports[1])]:
        with Client(address) as client:
            assert client.lhlo() == 250


@pytest.mark.needs_ipv6
def test_ipv6_listener(backend, instance):
    proxy = instance()
    port = free_port("::1")
    proxy.start(static_passdb(backend) + "service lmtp {\n inet_listener six "
                f"{{\n  address = ::1\n  port = {port}\n }}\n}}\n")
    with Client(("::1", port)) as client:
        client.lhlo()
        client.deliver("joe@example.org")
    header = backend.wait_messages(1)[0].body.split(b"\r\n")[0]
    assert b"([::1])" in header or b"[IPv6:::1]" in header


def test_listen_is_the_default_address(backend, instance):
    proxy = instance()
    port = free_port("0.0.0.0")
    proxy.start(f"listen = {other_host(21)}, 127.0.0.1\n" +
                static_passdb(backend) + "service lmtp {\n"
                f" inet_listener any {{\n  port = {port}\n }}\n}}\n")
    Client((other_host(21), port)).quit()
    Client(("127.0.0.1", port)).quit()
    with pytest.raises(ConnectionRefusedError):
        Client((other_host(22), port))


@pytest.mark.needs_ipv6
def test_all_addresses(backend, instance):
    proxy = instance()
    port = free_port("0.0.0.0")
    proxy.start(static_passdb(backend) + "service lmtp {\n"
                f" inet_listener any {{\n  port = {port}\n }}\n}}\n")
    Client(("127.0.0.1", port)).quit()
    Client(("::1", port)).quit()


def test_port_in_use(backend, instance):
    with socket.socket() as taken:
        taken.bind((LOCALHOST, 0))
        taken.listen()
        proxy = instance()
        proxy.write_config(static_passdb(backend) + "service lmtp {\n"
                           f" inet_listener x {{\n  address = {LOCALHOST}\n"
                           f"  port = {taken.getsockname()[1]}\n }}\n}}\n")
        result = proxy.run("-F")
    assert result.returncode != 0
    assert "in use" in result.stderr
    assert "ready" not in result.stderr.split("\n")


@pytest.mark.parametrize("both", [True, False])
def test_reuse_port(backend, instance, both):
    """Another instance may listen there, too, if both say so."""
    port = free_port()
    config = static_passdb(backend) + (
        f"service lmtp {{\n inet_listener x {{\n  address = {LOCALHOST}\n"
        f"  port = {port}\n  reuse_port = yes\n }}\n}}\n")
    instance().start(config)
    other = instance()
    if both:
        other.start(config)
        return
    other.write_config(config.replace("reuse_port = yes", "reuse_port = no"))
    result = other.run("-F")
    assert result.returncode != 0
    assert "in use" in result.stderr


def test_second_instance_is_refused(backend, waypost):
    proxy = waypost(static_passdb(backend))
    result = proxy.run("-F")
    assert result.returncode != 0
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250


def test_protocols_without_lmtp(backend, instance):
    proxy = instance()
    proxy.start("protocols = imap\n" + static_passdb(backend))
    proxy.wait_log("protocols")
    assert not os.path.exists(proxy.socket)
    with pytest.raises(ConnectionRefusedError):
        Client(proxy.address)


def uids(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return {int(word) for line in re.findall(r"^[UG]id:(.*)", status, re.M)
            for word in line.split()}


@pytest.mark.needs_root
def test_worker_gives_root_up(backend, instance):
    proxy = instance(as_root=True)
    proxy.start(static_passdb(backend))
    worker, = proxy.workers()
    assert 0 not in uids(worker)
    assert 0 in uids(proxy.process.pid)
    status = pathlib.Path(f"/proc/{worker}/status").read_text()
    assert re.search(r"^CapEff:\t0+$", status, re.M)
    assert re.search(r"^Groups:\t(65534 ?)?$", status, re.M)
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250


@pytest.mark.needs_root
def test_service_user(backend, instance):
    proxy = instance(as_root=True)
    proxy.start(static_passdb(backend) +
                "service lmtp {\n user = daemon\n}\n")
    worker, = proxy.workers()
    assert uids(worker) >= {pwd.getpwnam("daemon").pw_uid}
    assert 0 not in uids(worker)


@pytest.mark.needs_root
@pytest.mark.parametrize("user,text", [
    ("no-such-user", "no-such-user"), ("root", "root"),
])
def test_users_that_will_not_do(backend, instance, user, text):
    proxy = instance(as_root=True)
    proxy.write_config(static_passdb(backend) +
                       f"default_internal_user = {user}\n")
    result = proxy.run("-F")
    assert result.returncode != 0
    assert text in result.stderr


def cpu_of_threads(pid):
    """How the sockets of sessions spread cannot be seen from outside, but CPU
    time of each thread can: {thread: nanoseconds}"""
    return {task.name: int((task / "schedstat").read_text().split()[0])
            for task in pathlib.Path(f"/proc/{pid}/task").iterdir()}


def test_few_long_lived_connections_spread(backend, instance):
    """Four clients on two workers: two each, so that both work as much."""
    proxy = instance()
    proxy.threads = 2
    proxy.start(static_passdb(backend))
    worker, = proxy.workers()
    clients = [proxy.session() for _ in range(4)]
    before = cpu_of_threads(worker)
    for client in clients:
        client.send("NOOP\r\n" * 2000)
    for client in clients:
        client.replies(2000)
    now = cpu_of_threads(worker)
    *_, second, first = sorted(now[task] - before.get(task, 0) for task in now)
    assert second > first / 4
    for client in clients:
        client.close()


# The worker process leaves INT, HUP, USR1 and USR2 to the supervisor.
DEADLY = ["KILL", "TERM", "ABRT", "SEGV", "BUS", "FPE", "ILL", "TRAP", "SYS", "QUIT",
          "ALRM", "XCPU"]


@pytest.mark.parametrize("name", DEADLY)
def test_killed_worker_is_replaced(backend, instance, name):
    number = signal.Signals["SIG" + name]
    proxy = instance()
    proxy.start(static_passdb(backend))
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250
    worker, = proxy.workers()
    os.kill(worker, number)
    if number == signal.SIGTERM:
        wait_until(lambda: worker not in proxy.workers(), "its end")
    else:
        proxy.wait_log(rf"worker process {worker} (killed by signal|failed)")
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250
    assert worker not in proxy.workers()
    # A sanitizer's report about the signal that we sent is no finding.
    proxy.lines[:] = [line for line in proxy.lines
                      if "Sanitizer" not in line]


def test_client_limit(backend, instance):
    proxy = instance()
    proxy.start(static_passdb(backend) +
                "service lmtp {\n client_limit = 3\n process_limit = 1\n}\n")
    clients = [proxy.session() for _ in range(3)]
    with proxy.connect() as client:
        assert client.greeting.raw[0].startswith("421 4.3.2 ")
        client.expect_closed()
    proxy.wait_log("Warning: .*limit")
    clients.pop().quit()
    proxy.let_in().close()
    for client in clients:
        assert client.deliver("joe@example.org")[0] == 250
        client.close()


def test_each_thread_gets_a_few_long_lived_connections(backend, instance):
    """Each worker thread has a pool of its own: as many connections at the
    backend as there are threads that deliver."""
    proxy = instance()
    proxy.threads = 4
    port = free_port()
    proxy.start(static_passdb(backend) + "service lmtp {\n inet_listener two "
                f"{{\n  address = {LOCALHOST}\n  port = {port}\n }}\n}}\n")
    clients = [Client(address) for address in
               (proxy.address, (LOCALHOST, port), proxy.socket,
                proxy.address)]
    for client in clients:
        client.lhlo()
        assert client.deliver("joe@example.org")[0] == 250
    assert len(backend.connections) == 4
    for client in clients:
        client.close()


def test_newcomers_go_where_others_have_left(backend, instance):
    proxy = instance()
    proxy.threads = 2
    proxy.start(static_passdb(backend))
    clients = [proxy.session() for _ in range(8)]
    for client in clients[::2]:
        client.quit()
    # The line about its end comes before a session is none any more.
    wait_until(lambda: scrape(proxy)["waypost_sessions_open"] == 4, "four to be gone")
    newcomers = [proxy.session() for _ in range(4)]
    for client in newcomers:
        assert client.deliver("joe@example.org")[0] == 250
    assert len(backend.connections) == 1
    for client in clients[1::2]:
        assert client.deliver("joe@example.org")[0] == 250
    assert len(backend.connections) == 2
    for client in newcomers + clients[1::2]:
        client.close()


def test_settings_of_service_lmtp_that_have_no_effect(backend, waypost):
    """They are Dovecot's, and about its processes."""
    proxy = waypost(static_passdb(backend) + "service lmtp {\n service_count = 1\n"
                    " executable = lmtp -L\n}\n")
    result = proxy.run("-t")
    assert (result.returncode, result.stderr) == (0, "")
    worker = proxy.workers()
    for _ in range(3):
        with proxy.session() as client:
            assert client.deliver("joe@example.org")[0] == 250
    assert proxy.workers() == worker
