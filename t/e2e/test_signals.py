"""Signals, and the death of the worker process."""

import os
import signal
import subprocess
import threading
import time

import pytest

from backend import SILENCE, after
from lmtp import Client, Closed
from waiting import wait_for
from waypost import WAYPOST, children_of, environment, static

BODY = "Subject: x\r\n\r\n"


def refuses(address):
    try:
        Client(address, greet=False).close()
        return False
    except OSError:
        return True


def test_term_when_idle(waypost, backend, client):
    proxy = waypost(static(backend()))
    idle, fresh = client(proxy), client(proxy)
    idle.lhlo()
    assert idle.deliver("joe@example.org")[0].code == 250
    proxy.signal(signal.SIGTERM)
    for connection in (idle, fresh):
        assert str(connection.reply()) == \
            "421 4.3.2 proxy.test Shutting down"
        assert connection.at_eof()
    assert proxy.wait_exit() == 0
    assert not proxy.socket.exists()
    assert not (proxy.dir / "run/master.pid").exists()


@pytest.mark.parametrize("stage", ["rcpt", "data", "final"])
def test_term_lets_transactions_finish(waypost, backend, client, stage):
    event = threading.Event()
    server = backend(dot=after(event, "250 2.0.0 ok"))
    proxy = waypost(static(server))
    connection = client(proxy)
    connection.start("joe@example.org")
    if stage == "rcpt":
        proxy.signal(signal.SIGTERM)
        wait_for(lambda: refuses(proxy.address), "the listener to close")
    connection.ok("DATA", 354)
    if stage == "data":
        proxy.signal(signal.SIGTERM)
        wait_for(lambda: refuses(proxy.address), "the listener to close")
    connection.send(BODY + ".\r\n")
    if stage == "final":
        server.wait_message()
        proxy.signal(signal.SIGTERM)
        wait_for(lambda: refuses(proxy.address), "the listener to close")
    event.set()
    assert connection.reply().code == 250
    assert connection.reply().code == 421
    assert connection.at_eof()
    assert proxy.wait_exit() == 0
    assert len(server.messages) == 1


def test_term_waits_only_so_long(waypost, backend, client):
    proxy = waypost(static(backend(dot=SILENCE)) +
                    "lmtp_shutdown_timeout = 1s\n")
    connection = client(proxy)
    connection.start("joe@example.org")
    connection.ok("DATA", 354)
    connection.send(BODY + ".\r\n")
    proxy.signal(signal.SIGTERM)
    start = time.monotonic()
    assert proxy.wait_exit() == 0
    assert time.monotonic() - start < 6
    # Not delivered, as far as anyone knows: never 2xx.
    try:
        assert connection.reply().code // 100 == 4
    except Closed:
        pass


def stuck(client, proxy):
    connection = client(proxy)
    connection.start("joe@example.org")
    connection.ok("DATA", 354)
    connection.send(BODY + ".\r\n")
    return connection


def no_success(connection):
    try:
        while True:
            assert connection.reply().code // 100 == 4
    except Closed:
        pass


def test_second_term(waypost, backend, client):
    server = backend(dot=SILENCE)
    proxy = waypost(static(server) + "lmtp_shutdown_timeout = 60s\n")
    connection = stuck(client, proxy)
    server.wait_message()
    proxy.signal(signal.SIGTERM)
    wait_for(lambda: refuses(proxy.address), "the listener to close")
    assert proxy.process.poll() is None
    proxy.signal(signal.SIGTERM)
    assert proxy.wait_exit(8) == 0
    no_success(connection)


def test_int(waypost, backend, client):
    server = backend(dot=SILENCE)
    proxy = waypost(static(server) + "lmtp_shutdown_timeout = 60s\n")
    connection = stuck(client, proxy)
    idle = client(proxy)
    server.wait_message()
    proxy.signal(signal.SIGINT)
    assert proxy.wait_exit(8) == 0
    no_success(connection)
    no_success(idle)


def test_int_after_term(waypost, backend, client):
    server = backend(dot=SILENCE)
    proxy = waypost(static(server) + "lmtp_shutdown_timeout = 60s\n")
    stuck(client, proxy)
    server.wait_message()
    proxy.signal(signal.SIGTERM)
    wait_for(lambda: refuses(proxy.address), "the listener to close")
    proxy.signal(signal.SIGINT)
    assert proxy.wait_exit(8) == 0


def test_term_while_backend_is_connected_to(waypost, backend, client):
    event = threading.Event()
    server = backend(greeting=after(event, "220 backend"))
    proxy = waypost(static(server))
    connection = client(proxy)
    connection.lhlo()
    connection.send("MAIL FROM:<>\r\nRCPT TO:<joe@example.org>\r\n")
    assert connection.reply().code == 250
    server.wait_connections()
    proxy.signal(signal.SIGTERM)
    wait_for(lambda: refuses(proxy.address), "the listener to close")
    event.set()
    assert connection.reply().code == 250
    assert connection.body(BODY)[0].code == 250
    assert connection.reply().code == 421
    assert proxy.wait_exit() == 0


def test_usr1_reopens_logs(waypost, backend, client, tmp):
    log = tmp / "log"
    proxy = waypost(static(backend()) + f"log_path = {log}\n")
    client(proxy)
    wait_for(lambda: "Connect from" in log.read_text(), "the first line")
    log.rename(tmp / "log.1")
    proxy.signal(signal.SIGUSR1)
    wait_for(log.exists, "the new file")
    before = (tmp / "log.1").read_text()
    wait_for(lambda: "reopened" in log.read_text(), "the line about it")
    wait_for(lambda: client(proxy) and "Connect from" in log.read_text(),
             "the worker's lines in the new file")
    size = len((tmp / "log.1").read_text())
    client(proxy).quit()
    wait_for(lambda: "Logged out" in log.read_text(), "the last line")
    assert len((tmp / "log.1").read_text()) == size >= len(before)


@pytest.mark.parametrize("number", [signal.SIGUSR2, signal.SIGPIPE])
def test_signals_without_effect(waypost, backend, client, number):
    proxy = waypost(static(backend()))
    proxy.signal(number)
    assert client(proxy).greeting.code == 220


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV,
                                    signal.SIGABRT, signal.SIGBUS])
def test_worker_killed(waypost, backend, client, number):
    server = backend()
    proxy = waypost(static(server))
    proxy.expect_trouble({"AddressSanitizer", "UndefinedBehaviorSanitizer",
                          "ThreadSanitizer", "killed by signal",
                          "killed with signal"})
    old = client(proxy)
    old.start("joe@example.org")
    old.ok("DATA", 354)
    old.send("Subject: half\r\n")
    pid = proxy.worker_pid()
    os.kill(pid, number)
    no_success(old)
    proxy.wait_log(rf"Error: .*{pid} .*(signal {int(number)}\b|status)")
    connection = client(proxy)
    connection.lhlo()
    assert connection.deliver("joe@example.org")[0].code == 250
    assert client(str(proxy.socket)).greeting.code == 220
    assert proxy.worker_pid() != pid
    assert len(server.messages) == 1


def test_connections_wait_for_the_next_worker(waypost, backend, client):
    # The listeners stay open: nobody is refused.
    proxy = waypost(static(backend()))
    proxy.expect_trouble({"killed by signal", "killed with signal"})
    os.kill(proxy.worker_pid(), signal.SIGKILL)
    for _ in range(5):
        assert client(proxy).greeting.code == 220


def test_nothing_answered_is_lost(waypost, backend, client):
    server = backend()
    proxy = waypost(static(server))
    proxy.expect_trouble({"killed by signal", "killed with signal"})
    stop = threading.Event()
    answered, problems = [], []

    def load(name):
        number = 0
        while not stop.is_set():
            number += 1
            try:
                connection = client(proxy)
                connection.lhlo()
                reply = connection.deliver(
                    f"{name}@example.org",
                    body=f"Subject: {name}-{number}-\r\n\r\n")[0]
                if reply.code == 250:
                    answered.append(f"Subject: {name}-{number}-")
                elif reply.code // 100 != 4:
                    problems.append(str(reply))
                connection.close()
            except (Closed, OSError):
                pass
            except AssertionError as error:
                # MAIL or RCPT were refused for now; anything else is not so.
                if ": 4" not in str(error):
                    problems.append(str(error))

    threads = [threading.Thread(target=load, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for _ in range(4):
        goal = len(answered) + 20
        wait_for(lambda: len(answered) >= goal, "messages", 20)
        pid = wait_for(lambda: (children_of(proxy.pid) or [0])[0], "a worker")
        os.kill(pid, signal.SIGKILL)
    goal = len(answered) + 20
    wait_for(lambda: len(answered) >= goal, "messages after it all", 20)
    stop.set()
    for thread in threads:
        thread.join()
    assert problems == []
    arrived = b"\n".join(message.raw for message in server.messages).decode()
    assert [text for text in answered if text not in arrived] == []


def test_worker_stops_with_its_supervisor(waypost, backend):
    proxy = waypost(static(backend()))
    worker = proxy.worker_pid()
    os.kill(proxy.pid, signal.SIGKILL)
    proxy.stopped = True
    proxy.process.wait()
    wait_for(lambda: not os.path.exists(f"/proc/{worker}"),
             "the worker to end")


def test_daemon(tmp, backend, client, waypost):
    # Without -F the command returns once everything is ready.
    config = waypost(static(backend()))
    config.stop()
    config.stopped = True
    with open(config.path, "a", encoding="ascii") as file:
        file.write(f"log_path = {tmp}/log\n")
    result = subprocess.run([WAYPOST, "-c", config.path], text=True,
                            timeout=30, stdin=subprocess.DEVNULL,
                            capture_output=True, env=environment(),
                            check=False)
    assert result.returncode == 0, result.stderr
    assert "ready" in result.stderr.split("\n")
    pid = int((tmp / "run/master.pid").read_text())
    try:
        connection = client(config.address)
        connection.lhlo()
        assert connection.deliver("joe@example.org")[0].code == 250
        assert os.getsid(pid) != os.getsid(0)
    finally:
        os.kill(pid, signal.SIGTERM)
    wait_for(lambda: not os.path.exists(f"/proc/{pid}"), "the daemon's end",
             20)
    log = (tmp / "log").read_text()
    assert "Connect from 127.0.0.1" in log
    assert not config.trouble.search(log), log


def test_daemon_that_cannot_start(tmp, waypost, backend):
    config = waypost(static(backend()))
    config.stop()
    config.stopped = True
    with open(config.path, "a", encoding="ascii") as file:
        file.write(f"log_path = {tmp}/log\nservice lmtp {{\n"
                   "inet_listener bad {\naddress = 192.0.2.1\nport = 24\n"
                   "}\n}\n")
    result = subprocess.run([WAYPOST, "-c", config.path], text=True,
                            timeout=30, stdin=subprocess.DEVNULL,
                            capture_output=True, env=environment(),
                            check=False)
    assert result.returncode != 0
    assert "192.0.2.1" in result.stderr
    assert "ready" not in result.stderr.split("\n")
