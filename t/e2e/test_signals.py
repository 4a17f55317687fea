"""How it ends: TERM, INT, twice."""
import os
import signal
import threading
import time

import pytest

from lmtp_client import Client, Disconnected
from processes import gone, is_stopped
from scripted_backend import held_at_dot, hold
from waiting import wait_until
from waypost import static_passdb


def test_term_without_sessions(backend, waypost):
    proxy = waypost(static_passdb(backend))
    proxy.signal(signal.SIGTERM)
    assert proxy.wait_exit() == 0


def test_term_tells_the_idle(backend, waypost):
    proxy = waypost(static_passdb(backend))
    clients = [proxy.session() for _ in range(5)]
    proxy.signal(signal.SIGTERM)
    for client in clients:
        assert client.reply() == "421 4.3.2 proxy.example Shutting down"
        client.expect_closed()
    assert proxy.wait_exit() == 0


def test_term_stops_accepting(backend, waypost):
    proxy = waypost(static_passdb(backend))
    with held_at_dot(proxy, backend) as client:
        proxy.signal(signal.SIGTERM)

        def refused():
            try:
                Client(proxy.address, greeting=False).close()
            except OSError:
                return True
            return False
        wait_until(refused, "the listener to close")
        backend.release()
        assert client.reply() == 250
        assert client.reply() == "421 4.3.2 "
    assert proxy.wait_exit() == 0


@pytest.mark.parametrize("stage", ["rcpt", "body", "dot"])
def test_term_lets_transactions_finish(backend, waypost, stage):
    if stage != "body":
        backend.on(stage, hold)
    proxy = waypost(static_passdb(backend))
    with proxy.session() as client:
        client.mail()
        if stage == "rcpt":
            client.send("RCPT TO:<joe@example.org>\r\n")
            backend.wait_held()
            proxy.signal(signal.SIGTERM)
            proxy.wait_log("stopping")
            backend.release()
            assert client.reply() == 250
            assert client.data("x", 1)[0] == 250
        else:
            client.rcpt("joe@example.org")
            client.command("DATA")
            client.send("x\r\n" + (".\r\n" if stage == "dot" else ""))
            if stage == "dot":
                backend.wait_held()
            proxy.signal(signal.SIGTERM)
            proxy.wait_log("stopping")
            backend.release()
            if stage == "body":
                client.send(".\r\n")
            assert client.reply() == 250
        assert client.reply() == "421 4.3.2 "
        client.expect_closed()
    assert proxy.wait_exit() == 0
    assert len(backend.messages) == 1


@pytest.mark.parametrize("stopped_before", [False, True])
def test_term_to_all_processes(backend, waypost, stopped_before):
    """As service managers do: the worker process hears it twice, of which once
    from the supervisor, in whatever order."""
    backend.on("dot", hold)
    proxy = waypost(static_passdb(backend))
    worker, = proxy.workers()
    with proxy.session() as client, proxy.session() as idle:
        client.start_data("joe@example.org")
        client.send("x\r\n.\r\n")
        backend.wait_held()
        pids = [proxy.process.pid, worker]
        for pid in pids if stopped_before else reversed(pids):
            os.kill(pid, signal.SIGTERM)
            # The worker process has heard it.
            if not idle.buffer:
                assert idle.line().startswith("421 4.3.2 ")
                idle.buffer = b"heard"
        proxy.wait_log("stopping")
        backend.release()
        assert client.reply() == 250
    assert proxy.wait_exit() == 0


def test_shutdown_timeout(backend, waypost):
    proxy = waypost(static_passdb(backend) +
                    "lmtp_shutdown_timeout = 1 secs\n")
    with held_at_dot(proxy, backend) as client:
        proxy.signal(signal.SIGTERM)
        assert proxy.wait_exit() == 0
        # Not answered: no 250 for what may not have been delivered.
        try:
            assert client.reply().code in (421, 451)
        except Disconnected:
            pass
        backend.release()


@pytest.mark.parametrize("first,second", [
    (signal.SIGTERM, signal.SIGTERM), (signal.SIGTERM, signal.SIGINT),
    (signal.SIGINT, None),
])
def test_stop_at_once(backend, waypost, first, second):
    proxy = waypost(static_passdb(backend) +
                    "lmtp_shutdown_timeout = 1 hours\n")
    proxy.expect_exit = 0
    with held_at_dot(proxy, backend):
        start = time.monotonic()
        proxy.signal(first)
        if second is not None:
            proxy.wait_log("stopping")
            proxy.signal(second)
        proxy.wait_exit()
        assert time.monotonic() - start < 15
    backend.release()


def test_backends_hear_quit_at_the_end(backend, waypost):
    proxy = waypost(static_passdb(backend))
    with proxy.session() as client:
        client.deliver("joe@example.org")
    proxy.signal(signal.SIGTERM)
    assert proxy.wait_exit() == 0
    assert backend.wait_closed(0) == "quit"


def test_term_while_the_client_sends(backend, waypost):
    """TERM between any two bytes: whatever was answered 250 is there."""
    proxy = waypost(static_passdb(backend))
    saved = 0
    with proxy.session() as client:
        with pytest.raises((AssertionError, Disconnected, OSError)):
            for number in range(20000):  # it takes what it takes
                if number == 20:
                    proxy.signal(signal.SIGTERM)
                if client.deliver("joe@example.org")[0] == 250:
                    saved += 1
    assert proxy.wait_exit() == 0
    assert saved >= 20
    assert len(backend.messages) >= saved


def test_supervisor_killed_takes_the_worker_with_it(backend, waypost):
    proxy = waypost(static_passdb(backend))
    worker, = proxy.workers()
    proxy.expect_exit = -signal.SIGKILL
    proxy.signal(signal.SIGKILL)
    proxy.wait_exit()
    gone(worker)


def test_start_again_after_a_kill(backend, instance):
    proxy = instance()
    proxy.start(static_passdb(backend))
    worker, = proxy.workers()
    proxy.signal(signal.SIGKILL)
    proxy.wait_exit()
    gone(worker)
    proxy.reader.join()
    proxy.lines.clear()
    proxy.start(static_passdb(backend))
    with Client(proxy.socket) as client:
        assert client.lhlo() == 250


def test_usr2_does_no_harm(backend, waypost):
    proxy = waypost(static_passdb(backend))
    proxy.signal(signal.SIGUSR2)
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250


# --- nothing that was answered is lost ---

def test_worker_killed_under_load(backend, waypost):
    """Whatever was answered 250 is with the backend, whenever the worker
    process dies."""
    proxy = waypost(static_passdb(backend))
    done = threading.Event()
    saved, problems = [], []

    def run(name):
        number = 0
        while not done.is_set():
            number += 1
            subject = f"Subject: {name}-{number}-"
            try:
                with proxy.session() as client:
                    reply, = client.deliver("joe@example.org",
                                            subject + "\r\n\r\n")
                    if reply == 250:
                        saved.append(subject)
            except (Disconnected, OSError):
                pass
            except AssertionError as exc:
                problems.append(str(exc))
    threads = [threading.Thread(target=run, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            goal = len(saved) + 20
            wait_until(lambda: len(saved) >= goal, "messages")
            os.kill(wait_until(proxy.workers, "a worker")[0], signal.SIGKILL)
        goal = len(saved) + 20
        wait_until(lambda: len(saved) >= goal, "messages after it all")
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert not problems
    arrived = b"".join(bytes(m.raw) for m in backend.messages).decode()
    assert [subject for subject in saved if subject not in arrived] == []


def test_connections_wait_for_the_next_worker(backend, waypost):
    proxy = waypost(static_passdb(backend))
    worker, = proxy.workers()
    os.kill(worker, signal.SIGSTOP)
    wait_until(lambda: is_stopped(worker), "the worker to be stopped")
    client = proxy.connect(greeting=False)
    os.kill(worker, signal.SIGKILL)
    assert client.reply() == 220
    assert client.lhlo() == 250
    client.close()


# --- in the background ---

def test_daemon(backend, instance):
    """Without -F the command returns once everything is ready."""
    proxy = instance()
    proxy.write_config(static_passdb(backend) +
                       f"log_path = {proxy.dir}/run/log\n")
    result = proxy.run()
    assert result.returncode == 0, result.stderr
    assert "ready" in result.stderr.split("\n")
    pid = int((proxy.dir / "run" / "master.pid").read_text())
    try:
        assert os.getsid(pid) != os.getsid(0)
        with proxy.session() as client:
            assert client.deliver("joe@example.org")[0] == 250
    finally:
        os.kill(pid, signal.SIGTERM)
    gone(pid)
    assert "sent from=" in (proxy.dir / "run" / "log").read_text()
    assert not (proxy.dir / "run" / "master.pid").exists()


def test_daemon_that_cannot_start(backend, instance):
    proxy = instance()
    proxy.write_config(static_passdb(backend) + "service lmtp {\n"
                       " inet_listener x {\n  address = 192.0.2.1\n"
                       "  port = 2424\n }\n}\n")
    result = proxy.run()
    assert result.returncode != 0
    assert "192.0.2.1" in result.stderr
    assert "ready" not in result.stderr.split("\n")


def test_term_while_a_backend_is_connected_to(backend, waypost):
    backend.on("connect", hold)
    proxy = waypost(static_passdb(backend))
    with proxy.session() as client:
        client.mail()
        client.send("RCPT TO:<joe@example.org>\r\n")
        backend.wait_held()
        proxy.signal(signal.SIGTERM)
        proxy.wait_log("stopping")
        backend.release()
        assert client.reply() == 250
        assert client.data("x", 1)[0] == 250
        assert client.reply() == "421 4.3.2 "
    assert proxy.wait_exit() == 0
