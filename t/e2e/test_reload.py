"""HUP: everything is read again, and no transaction fails."""
import os
import pathlib
import pwd
import re
import signal
import socket
import threading

import pytest

from lmtp_client import Client
from ports import LOCALHOST, free_port
from scripted_backend import hold
from waiting import wait_until
from waypost import USER, file_passdb, static_passdb


def listener(name, port):
    return (f"service lmtp {{\n inet_listener {name} {{\n"
            f"  address = {LOCALHOST}\n  port = {port}\n }}\n}}\n")


def test_new_sessions_get_the_new_settings(backend, waypost):
    proxy = waypost(static_passdb(backend))
    old = proxy.session()
    proxy.reload(static_passdb(backend) + "login_greeting = New.\n")
    with proxy.connect() as client:
        assert client.greeting == "220 proxy.example New."
    assert old.deliver("joe@example.org")[0] == 250
    old.close()


def test_new_passdb(backends, waypost):
    one, two = backends(), backends()
    proxy = waypost(static_passdb(one))
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250
    proxy.reload(static_passdb(two))
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250
    assert len(two.wait_messages(1)) == 1


def test_running_transaction_goes_on(backend, waypost):
    backend.on("dot", hold)
    proxy = waypost(static_passdb(backend))
    with proxy.session() as client:
        client.start_data("joe@example.org")
        client.send("half\r\n")
        proxy.reload()
        client.send("other half\r\n.\r\n")
        backend.wait_held()
        proxy.reload()
        backend.release()
        assert client.reply() == 250
        assert client.deliver("joe@example.org")[0] == 250


def test_added_and_removed_listeners(backend, instance):
    proxy = instance()
    first, second = free_port(), free_port()
    proxy.start(static_passdb(backend) + listener("first", first))
    old = Client((LOCALHOST, first))
    proxy.reload(static_passdb(backend) + listener("second", second))
    Client((LOCALHOST, second)).quit()
    wait_until(lambda: refused((LOCALHOST, first)), "the old one to close")
    assert old.lhlo() == 250
    assert old.deliver("joe@example.org")[0] == 250
    old.close()


def refused(address):
    try:
        Client(address).close()
    except OSError:
        return True
    return False


def test_kept_unix_socket_stays_the_same(backend, waypost):
    proxy = waypost(static_passdb(backend))
    inode = os.stat(proxy.socket).st_ino
    proxy.reload()
    assert os.stat(proxy.socket).st_ino == inode
    Client(proxy.socket).quit()


@pytest.mark.parametrize("broken", [
    "frobnicate = yes\n", "lmtp_proxy = maybe\n", "passdb {\n",
    "passdb {\n driver = lua\n}\n", "!include nowhere.conf\n",
])
def test_broken_configuration_keeps_the_old_one(backend, waypost, broken):
    proxy = waypost(static_passdb(backend))
    proxy.reload(static_passdb(backend) + broken,
                 r"Error: .*(old configuration)")
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250
    proxy.reload(static_passdb(backend) + "login_greeting = Better.\n")
    with proxy.connect() as client:
        assert client.greeting == "220 proxy.example Better."


def test_listener_that_cannot_be_opened_keeps_the_old_ones(backend, instance):
    proxy = instance()
    proxy.start(static_passdb(backend))
    with socket.socket() as taken:
        taken.bind((LOCALHOST, 0))
        taken.listen()
        proxy.reload(static_passdb(backend) +
                     listener("taken", taken.getsockname()[1]),
                     r"Error: .*(in use|old configuration)")
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250


def test_same_worker(backend, waypost):
    proxy = waypost(static_passdb(backend))
    before = proxy.workers()
    proxy.reload()
    assert proxy.workers() == before


def test_reloads_under_load(backend, waypost):
    """Clients come and go and pipeline while HUP after HUP comes in: every
    message is answered 250 and arrives."""
    proxy = waypost(static_passdb(backend))
    done = threading.Event()
    counts, failures = [], []

    def run():
        count = 0
        try:
            while not done.is_set():
                with proxy.session() as client:
                    for _ in range(3):
                        assert client.deliver("joe@example.org")[0] == 250
                        count += 1
        except Exception as exc:
            failures.append(repr(exc))
        counts.append(count)
    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for number in range(10):
            proxy.reload(static_passdb(backend) +
                         f"login_greeting = Number {number}.\n")
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert not failures
    assert sum(counts) == len(backend.messages) > 0


def test_hups_in_quick_succession(backend, waypost):
    proxy = waypost(static_passdb(backend))
    for _ in range(20):
        proxy.signal(signal.SIGHUP)
    proxy.write_config(static_passdb(backend) + "login_greeting = Last.\n")
    proxy.signal(signal.SIGHUP)

    def last():
        with proxy.connect() as client:
            return client.greeting == "220 proxy.example Last."
    wait_until(last, "the last configuration")


@pytest.mark.parametrize("stage", ["mail", "rcpt", "data", "dot"])
def test_transaction_keeps_its_passdb(backends, waypost, stage):
    one, two = backends(), backends()
    one.on("dot", hold)
    proxy = waypost(static_passdb(one))
    with proxy.session() as client:
        for name, line in (("mail", "MAIL FROM:<>\r\n"),
                           ("rcpt", "RCPT TO:<joe@example.org>\r\n"),
                           ("data", "DATA\r\n"), ("dot", "x\r\n.\r\n")):
            client.send(line)
            if name != "dot":
                assert client.reply().code in (250, 354)
            if name == stage:
                proxy.reload(static_passdb(two))
        one.release()
        assert client.reply() == 250
    assert len(one.messages) == 1 and not two.messages


def test_vanished_configuration_keeps_the_old_one(backend, waypost):
    proxy = waypost(static_passdb(backend))
    proxy.config_path.unlink()
    proxy.reload(expect=r"Error: .*(old configuration|waypost\.conf)")
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250


def test_another_driver_and_its_file(backend, waypost):
    """The file is read before the reload is over."""
    proxy = waypost(static_passdb(backend))
    for name in ("joe", "ann"):
        proxy.reload(file_passdb(proxy, **{name: backend}))
        with proxy.session() as client:
            client.mail()
            assert client.rcpt(f"{name}@example.org") == 250
            assert client.rcpt("jim@example.org") == 550


def test_debugging_on_and_off(backend, waypost):
    proxy = waypost(static_passdb(backend))

    def session_is_debugged():
        mark = proxy.mark()
        proxy.session().quit()
        proxy.wait_log("Disconnect", mark)
        return "Debug: " in "\n".join(proxy.lines[mark:])

    assert not session_is_debugged()
    # The worker has its logs a moment after the supervisor's last word.
    proxy.reload(static_passdb(backend) + "mail_debug = yes\n")
    wait_until(session_is_debugged, "debugging")
    proxy.reload(static_passdb(backend))
    wait_until(lambda: not session_is_debugged(), "no more debugging")



def test_what_waits_for_a_restart_is_said(backend, instance):
    """waypost(8), SIGHUP. All else in the same configuration counts at once."""
    proxy = instance()
    proxy.start(static_passdb(backend))
    other = proxy.make_dir("other")
    before = proxy.workers()
    mark = proxy.mark()
    proxy.reload(static_passdb(backend) + f"base_dir = {other}\nlogin_greeting = New.\n"
                 "service lmtp {\n process_min_avail = 3\n}\n")
    proxy.wait_log("Warning: base_dir and .* after a restart", mark)
    proxy.wait_log(r"Warning: service lmtp \{ process_min_avail \} .* a restart", mark)
    assert proxy.workers() == before
    assert (proxy.dir / "run" / "master.pid").exists()
    assert not os.path.exists(proxy.socket)
    with Client(str(other / "lmtp")) as client:
        assert client.greeting == "220 proxy.example New."
        client.lhlo()
        assert client.deliver("joe@example.org")[0] == 250


@pytest.mark.needs_root
def test_another_user_waits_for_a_restart(backend, instance):
    proxy = instance(as_root=True)
    proxy.start(static_passdb(backend))
    before = proxy.workers()
    mark = proxy.mark()
    proxy.reload(static_passdb(backend) + "service lmtp {\n user = daemon\n}\n")
    proxy.wait_log("Warning: .* the worker's user and groups .* after a restart", mark)
    assert proxy.workers() == before
    status = pathlib.Path(f"/proc/{before[0]}/status").read_text()
    uid = pwd.getpwnam(USER).pw_uid
    assert re.search(rf"^Uid:\t{uid}\t{uid}\t{uid}\t", status, re.M)
