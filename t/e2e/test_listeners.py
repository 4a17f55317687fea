"""Where waypost listens, and how it spreads what it accepts."""

import grp
import os
import pwd
import socket
import stat

import pytest

from lmtp import Client
from waiting import wait_for
from waypost import free_port, open_files_limit, static


def greets(address):
    connection = Client(address)
    code = connection.greeting.code
    connection.close()
    return code == 220


def service(text):
    return "service lmtp {\n" + text + "}\n"


def test_default_socket(waypost, backend, client):
    proxy = waypost(static(backend()), listener=False)
    assert stat.S_IMODE(os.stat(proxy.socket).st_mode) == 0o666
    connection = client(str(proxy.socket))
    connection.lhlo()
    assert connection.deliver("joe@example.org")[0].code == 250


def test_received_through_a_socket(waypost, backend, client):
    server = backend()
    connection = client(str(waypost(static(server)).socket))
    connection.lhlo()
    connection.deliver("joe@example.org")
    assert server.messages[0].raw.startswith(
        b"Received: from client.test\r\n\tby proxy.test with LMTP\r\n")


def test_ipv6(waypost, backend, client):
    port = free_port("::1")
    server = backend()
    waypost(static(server) + service(
        f"inet_listener lmtp {{\n address = ::1\n port = {port}\n }}\n"),
        listener=False)
    connection = client(("::1", port))
    connection.lhlo()
    connection.deliver("joe@example.org")
    assert b"([::1])" in server.messages[0].raw.split(b"\r\n")[0] or \
        b"([IPv6:::1])" in server.messages[0].raw.split(b"\r\n")[0]


def test_several(waypost, backend, tmp):
    ports = [free_port() for _ in range(3)]
    waypost(static(backend()) + service(f"""
  inet_listener one {{
    address = 127.0.0.1 127.0.0.2
    port = {ports[0]}
  }}
  inet_listener two {{
    address = 127.0.0.3, ::1
    port = {ports[1]}
  }}
  inet_listener off {{
    port = 0
  }}
  unix_listener extra {{
    mode = 0600
  }}
  unix_listener {tmp}/elsewhere {{
    mode = 0660
  }}
  unix_listener none {{
    mode = 0
  }}
"""), listener=False)
    for address in (("127.0.0.1", ports[0]), ("127.0.0.2", ports[0]),
                    ("127.0.0.3", ports[1]), ("::1", ports[1]),
                    tmp / "run/lmtp", tmp / "run/extra", tmp / "elsewhere"):
        assert greets(address), address
    for address in (("127.0.0.3", ports[0]), ("127.0.0.1", ports[1])):
        with pytest.raises(ConnectionRefusedError):
            Client(address)
    assert not (tmp / "run/none").exists()
    assert stat.S_IMODE(os.stat(tmp / "run/extra").st_mode) == 0o600
    assert stat.S_IMODE(os.stat(tmp / "elsewhere").st_mode) == 0o660


def test_listen(waypost, backend):
    port = free_port()
    waypost(static(backend()) + "listen = 127.0.0.5, 127.0.0.6\n" + service(
        f"inet_listener lmtp {{\n port = {port}\n }}\n"), listener=False)
    assert greets(("127.0.0.5", port)) and greets(("127.0.0.6", port))
    with pytest.raises(ConnectionRefusedError):
        Client(("127.0.0.1", port))


def test_listen_everywhere(waypost, backend, client):
    # The default, "*, ::": no address twice, and loops are still seen.
    port = free_port()
    waypost("passdb {\n driver = static\n args = nopassword=y proxy=y "
            "host=127.0.0.1\n}\n" + service(
                f"inet_listener lmtp {{\n port = {port}\n }}\n"),
            listener=False)
    assert greets(("127.0.0.1", port)) and greets(("::1", port))
    connection = client(("127.0.0.1", port))
    connection.lhlo()
    connection.mail()
    assert connection.rcpt("joe@example.org").code == 554


def test_owner_of_a_socket(waypost, backend, tmp, need_root):
    user, group = pwd.getpwnam("mail"), grp.getgrnam("daemon")
    waypost(static(backend()) + service("""
  unix_listener mine {
    mode = 0640
    user = mail
    group = daemon
  }
"""))
    status = os.stat(tmp / "run/mine")
    assert (status.st_uid, status.st_gid) == (user.pw_uid, group.gr_gid)
    assert stat.S_IMODE(status.st_mode) == 0o640


def test_socket_left_behind(waypost, backend, tmp):
    (tmp / "run").mkdir()
    old = socket.socket(socket.AF_UNIX)
    old.bind(str(tmp / "run/lmtp"))
    old.close()
    proxy = waypost(static(backend()))
    assert greets(str(proxy.socket))


def test_protocols_without_lmtp(waypost, backend):
    proxy = waypost(static(backend()) + "protocols = imap\n", wait=False)
    proxy.wait_log("protocols does not name lmtp")
    proxy.wait_ready()
    with pytest.raises(ConnectionRefusedError):
        Client(proxy.address)


def test_port_in_use(waypost, backend):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        proxy = waypost(static(backend()) + service(
            f"inet_listener two {{\n address = 127.0.0.1\n port = {port}\n"
            "}\n"), wait=False)
        proxy.stopped = True
        assert proxy.wait_exit() != 0
    assert f"127.0.0.1:{port}" in proxy.log()
    assert "in use" in proxy.log()
    assert not proxy.ready


def test_second_instance(waypost, backend):
    first = waypost(static(backend()))
    second = waypost(static(backend()), wait=False)
    second.stopped = True
    assert second.wait_exit() != 0
    assert greets(first.address)
    assert greets(str(first.socket))


def test_connection_limit(waypost, backend, client):
    proxy = waypost(static(backend()) + service(
        "process_limit = 1\nclient_limit = 3\nprocess_min_avail = 2\n"))
    clients = [client(proxy) for _ in range(3)]
    for connection in clients:
        assert connection.greeting.code == 220
    refused = client(proxy)
    assert (refused.greeting.code, refused.greeting.enhanced) == \
        (421, "4.3.2")
    assert refused.at_eof()
    proxy.wait_log("Warning: .*client_limit")
    clients[0].quit()
    wait_for(lambda: greets(proxy.address), "a free place")
    for connection in clients[1:]:
        connection.ok("NOOP")


def test_even_spread(waypost, backend, client):
    # Each worker thread has a pool of its own: as many connections at the
    # backend as threads that delivered. Clients that stay are few.
    server = backend()
    proxy = waypost(static(server) + service("process_min_avail = 4\n"))
    clients = [client(proxy) for _ in range(4)]
    for connection in clients:
        connection.lhlo()
        assert connection.deliver("joe@example.org")[0].code == 250
    assert len(server.connections) == 4


def test_even_spread_over_several_listeners(waypost, backend, client):
    server = backend()
    port = free_port()
    proxy = waypost(static(server) + service(
        "process_min_avail = 4\n"
        f"inet_listener two {{\n address = 127.0.0.1\n port = {port}\n }}\n"))
    clients = [client(where) for where in
               (proxy, ("127.0.0.1", port), str(proxy.socket), proxy)]
    for connection in clients:
        connection.lhlo()
        assert connection.deliver("joe@example.org")[0].code == 250
    assert len(server.connections) == 4


def test_places_of_clients_that_left(waypost, backend, client):
    # Those that stay are spread whoever left before.
    server = backend()
    proxy = waypost(static(server) + service("process_min_avail = 2\n"))
    clients = [client(proxy) for _ in range(8)]
    for connection in clients[::2]:
        connection.quit()
    wait_for(lambda: proxy.count_log("Disconnect from") == 4, "four to leave")
    for connection in clients[1::2]:
        connection.ok("NOOP")
    newcomers = [client(proxy) for _ in range(4)]
    for connection in newcomers:
        connection.lhlo()
        assert connection.deliver("joe@example.org")[0].code == 250
    assert len(server.connections) == 2


def test_out_of_descriptors(waypost, backend, client):
    # The process runs out of files: it says so, waits, and goes on.
    proxy = waypost(static(backend()) + service("process_min_avail = 1\n"),
                    limits=open_files_limit(60))
    socks = [socket.create_connection(proxy.address, timeout=5)
             for _ in range(80)]
    proxy.wait_log("Error: accept: ")
    used = proxy.cpu_seconds()
    for sock in socks:
        sock.close()
    wait_for(lambda: greets(proxy.address), "descriptors again")
    connection = client(proxy)
    connection.lhlo()
    assert connection.deliver("joe@example.org")[0].code == 250
    assert proxy.cpu_seconds() - used < 2


def test_worker_is_not_root(waypost, backend, need_root):
    proxy = waypost(static(backend()))
    nobody = pwd.getpwnam("nobody").pw_uid
    with open(f"/proc/{proxy.worker_pid()}/status",
              encoding="ascii") as file:
        status = dict(line.split(":", 1) for line in file)
    assert set(status["Uid"].split()) == {str(nobody)}
    assert "0" not in status["Gid"].split()
    assert "0" not in status["Groups"].split()
    assert int(status["CapEff"], 16) == 0
    assert int(status["CapPrm"], 16) == 0


def test_worker_runs_as_the_services_user(waypost, backend, need_root):
    proxy = waypost(static(backend()) + service("user = mail\n"))
    with open(f"/proc/{proxy.worker_pid()}/status",
              encoding="ascii") as file:
        status = dict(line.split(":", 1) for line in file)
    assert status["Uid"].split()[1] == str(pwd.getpwnam("mail").pw_uid)


@pytest.mark.parametrize("user", ["no-such-user", "root"])
def test_user_that_will_not_do(waypost, backend, need_root, user):
    proxy = waypost(static(backend()) + service(f"user = {user}\n"),
                    wait=False)
    proxy.stopped = True
    assert proxy.wait_exit() != 0
    assert user in proxy.log()
    assert not proxy.ready
