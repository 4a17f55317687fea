"""USR2: another program goes on, and no client notices."""
import os
import pathlib
import signal
import stat

import pytest

from handover import hand_over
from lmtp_client import Client, Disconnected
from processes import gone
from scripted_backend import held_at_dot, hold
from waiting import wait_until
from waypost import static_passdb


# --- what goes on, and what begins anew ---

def test_same_process_new_worker(backend, waypost):
    proxy = waypost(static_passdb(backend))
    old, = proxy.workers()
    new = hand_over(proxy)
    assert new != old
    gone(old)
    assert proxy.workers() == [new]
    pid_file = proxy.dir / "run" / "master.pid"
    assert int(pid_file.read_text()) == proxy.process.pid
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250
    with Client(proxy.socket) as client:
        assert client.lhlo() == 250


def test_pid_file_stays_locked(backend, waypost):
    proxy = waypost(static_passdb(backend))
    hand_over(proxy)
    result = proxy.run("-F")
    assert result.returncode != 0
    assert "already running" in result.stderr


def test_transaction_goes_on_in_the_old_worker(backend, waypost):
    backend.on("dot", hold)
    proxy = waypost(static_passdb(backend))
    old, = proxy.workers()
    with proxy.session() as client:
        client.start_data("joe@example.org")
        client.send("half\r\n")
        new = hand_over(proxy)
        client.send("other half\r\n.\r\n")
        backend.wait_held()
        assert proxy.workers() == [old, new]
        again = hand_over(proxy)
        backend.release()
        assert client.reply() == 250
        assert client.reply() == "421 4.3.2 "
    gone(old)
    gone(new)
    assert proxy.workers() == [again]


def test_client_who_has_just_come_may_send(backend, waypost):
    proxy = waypost(static_passdb(backend))
    old, = proxy.workers()
    with proxy.connect() as fresh, proxy.session() as used:
        used.deliver("joe@example.org")
        hand_over(proxy)
        assert used.reply() == "421 4.3.2 "
        assert fresh.lhlo() == 250
        assert fresh.deliver("joe@example.org")[0] == 250
        assert fresh.reply() == "421 4.3.2 "
    gone(old)


def test_transaction_that_has_begun_may_go_on(backend, waypost):
    proxy = waypost(static_passdb(backend))
    with proxy.session() as client:
        client.deliver("joe@example.org")
        client.mail()
        hand_over(proxy)
        assert client.rcpt("joe@example.org") == 250
        assert client.data("x", 1)[0] == 250
        assert client.reply() == "421 4.3.2 "


def test_client_who_is_ahead_hears_all_replies(backend, waypost):
    """What it has sent behind its message is read, not answered with a reset,
    which would take replies away that it has not read yet."""
    backend.on("dot", hold)
    proxy = waypost(static_passdb(backend))
    with proxy.session() as client:
        client.start_data("joe@example.org")
        client.send("x\r\n.\r\n" + "NOOP\r\n" * 50000)
        backend.wait_held()
        hand_over(proxy)
        backend.release()
        assert client.reply() == 250
        reply = client.reply()
        while reply == 250:
            reply = client.reply()
        assert reply == "421 4.3.2 "
        assert client.buffer == b"" and client.sock.recv(1) == b""


def test_old_worker_has_until_the_shutdown_timeout(backend, waypost):
    proxy = waypost(static_passdb(backend) + "lmtp_shutdown_timeout = 1 s\n")
    old, = proxy.workers()
    with held_at_dot(proxy, backend):
        hand_over(proxy)
        gone(old)
        backend.release()


def test_old_worker_is_killed_when_it_hangs(backend, waypost):
    """Also when another program has come meanwhile."""
    proxy = waypost(static_passdb(backend) + "lmtp_shutdown_timeout = 1 s\n")
    old, = proxy.workers()
    os.kill(old, signal.SIGSTOP)
    hand_over(proxy)
    hand_over(proxy)
    proxy.wait_log(f"worker process {old} killed by signal 9")
    gone(old)


def test_configuration_is_read_again(backend, waypost):
    proxy = waypost(static_passdb(backend))
    proxy.write_config(static_passdb(backend) + "login_greeting = New.\n")
    hand_over(proxy)

    def greeted_anew():
        # The old process may take one more before it hears of the new one.
        with proxy.connect() as client:
            return client.greeting == "220 proxy.example New."
    wait_until(greeted_anew, "the new configuration")


def test_listener_that_is_gone_is_closed(backend, instance):
    proxy = instance()
    proxy.start(static_passdb(backend))
    proxy.write_config(f"base_dir = {proxy.dir}/run\nprotocols = lmtp\n"
                       "lmtp_proxy = yes\nservice lmtp {\n"
                       " unix_listener other {\n }\n}\n"
                       "default_internal_user = nobody\n" +
                       static_passdb(backend), defaults=False)
    hand_over(proxy)

    def refused():
        try:
            proxy.connect().close()
        except Disconnected:
            return False
        except OSError:
            return True
        return False
    wait_until(refused, "the listener to close")
    assert stat.S_ISSOCK((proxy.dir / "run" / "other").stat().st_mode)
    with Client(str(proxy.dir / "run" / "other")) as client:
        assert client.lhlo() == 250


def test_worker_that_dies_later_is_replaced(backend, waypost):
    proxy = waypost(static_passdb(backend))
    worker = hand_over(proxy)
    mark = proxy.mark()
    os.kill(worker, signal.SIGKILL)
    proxy.wait_log("is ready", mark)
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250


def test_reload_and_logs_after_a_handover(backend, instance):
    proxy = instance()
    log = proxy.dir / "run" / "log"
    proxy.start(static_passdb(backend) + f"info_log_path = {log}\n")
    pid = proxy.process.pid

    def logged(text, since=0):
        wait_until(lambda: log.exists() and text in log.read_text()[since:],
                   text)
    proxy.signal(signal.SIGUSR2)
    logged("has taken over")
    log.rename(proxy.dir / "run" / "log.1")
    proxy.signal(signal.SIGUSR1)
    logged("logs reopened")
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250
    logged("sent from=")
    proxy.signal(signal.SIGHUP)
    logged("configuration reloaded")
    assert proxy.process.pid == pid


def test_in_the_background(backend, instance):
    proxy = instance()
    log = proxy.dir / "run" / "log"
    proxy.write_config(static_passdb(backend) + f"log_path = {log}\n")
    result = proxy.run()
    assert result.returncode == 0, result.stderr
    pid = int((proxy.dir / "run" / "master.pid").read_text())
    try:
        for count in range(1, 3):
            os.kill(pid, signal.SIGUSR2)
            wait_until(lambda: log.read_text().count("has taken over") == count,
                       "the handover")
        with proxy.session() as client:
            assert client.deliver("joe@example.org")[0] == 250
    finally:
        os.kill(pid, signal.SIGTERM)
    gone(pid)
    assert "Error" not in log.read_text()


@pytest.mark.needs_root
def test_as_root(backend, waypost):
    proxy = waypost(static_passdb(backend), as_root=True)
    old, = proxy.workers()
    new = hand_over(proxy)
    gone(old)
    assert pathlib.Path(f"/proc/{new}").stat().st_uid != 0
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250


# --- while something else goes on ---

def test_usr2_during_usr2(backend, waypost):
    proxy = waypost(static_passdb(backend))
    for _ in range(10):
        proxy.signal(signal.SIGUSR2)
    proxy.write_config(static_passdb(backend) + "login_greeting = Last.\n")
    proxy.signal(signal.SIGUSR2)

    def last():
        with proxy.connect() as client:
            return client.greeting == "220 proxy.example Last."
    wait_until(last, "the last configuration")
    wait_until(lambda: len(proxy.workers()) == 1, "one worker process")


def test_usr2_while_the_program_starts(backend, waypost):
    """It may be about yet another program."""
    proxy = waypost(static_passdb(backend))
    for number in range(5):
        mark = proxy.mark()
        proxy.signal(signal.SIGUSR2)
        proxy.wait_log("executing", mark)
        proxy.signal(signal.SIGUSR2)
        proxy.wait_log("has taken over", mark, count=2)


def test_hup_during_usr2(backend, waypost):
    proxy = waypost(static_passdb(backend))
    proxy.signal(signal.SIGUSR2)
    proxy.write_config(static_passdb(backend) + "login_greeting = Last.\n")
    proxy.signal(signal.SIGHUP)
    proxy.wait_log("has taken over")

    def last():
        with proxy.connect() as client:
            return client.greeting == "220 proxy.example Last."
    wait_until(last, "the last configuration")


@pytest.mark.parametrize("wait", ["handing over", "executing", "goes on",
                                  "has taken over"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_during_usr2(backend, waypost, wait, number):
    proxy = waypost(static_passdb(backend))
    proxy.signal(signal.SIGUSR2)
    proxy.wait_log(wait)
    proxy.signal(number)
    assert proxy.wait_exit() == 0
    assert not os.path.exists(proxy.socket)
    assert not (proxy.dir / "run" / "master.pid").exists()


def test_stop_with_old_workers(backend, waypost):
    """TERM waits for the transactions of all of them."""
    backend.on("dot", hold)
    proxy = waypost(static_passdb(backend))
    clients = []
    for _ in range(3):
        client = proxy.session()
        client.start_data("joe@example.org")
        client.send("x\r\n.\r\n")
        clients.append(client)
        backend.wait_held(len(clients))
        hand_over(proxy)
    fresh = proxy.connect()
    proxy.signal(signal.SIGTERM)
    assert fresh.reply() == "421 4.3.2 "
    backend.release()
    for client in clients:
        assert client.reply() == 250
        client.close()
    fresh.close()
    assert proxy.wait_exit() == 0


def test_term_to_an_old_worker(backend, waypost):
    """It is stopping already; that is no reason to give up what it does."""
    backend.on("dot", hold)
    proxy = waypost(static_passdb(backend))
    old, = proxy.workers()
    with proxy.session() as client, proxy.connect() as fresh:
        client.start_data("joe@example.org")
        client.send("x\r\n.\r\n")
        backend.wait_held()
        hand_over(proxy)
        os.kill(old, signal.SIGTERM)
        assert fresh.reply() == "421 4.3.2 "
        backend.release()
        assert client.reply() == 250
    gone(old)


def test_old_worker_dies(backend, waypost):
    """That is not taken for the death of the new one."""
    proxy = waypost(static_passdb(backend))
    old, = proxy.workers()
    with held_at_dot(proxy, backend):
        new = hand_over(proxy)
        os.kill(old, signal.SIGKILL)
        proxy.wait_log(f"worker process {old} killed by signal 9")
        backend.release()
    assert proxy.workers() == [new]


@pytest.mark.parametrize("text", ["", "nonsense", "waypost-3 pid=1 lock=3 "
                                  "conf=4,5 orders=0"])
def test_state_that_nobody_handed_over(backend, instance, monkeypatch, text):
    monkeypatch.setenv("WAYPOST_HANDOVER", text)
    proxy = instance()
    proxy.write_config(static_passdb(backend))
    result = proxy.run("-F")
    assert result.returncode == 1
    assert "Fatal:" in result.stderr
    result = proxy.run("-t")
    assert result.returncode == 1
    assert "ready to take over" not in result.stdout
