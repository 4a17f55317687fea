"""Large messages: bounded memory, backends that do not wait for each other,
and a disk that is full."""

import os
import subprocess
import threading
import time

import pytest

from waiting import wait_for
from waypost import passwd_file, static, user_line

LINE = b"x" * 998 + b"\r\n"
MIB = 1 << 20


@pytest.fixture
def two(tmp, waypost, backend, client):
    """A session with a slow and a fast backend; slow waits for .event."""

    def start(config=""):
        event = threading.Event()

        def wait(_conn):
            event.wait(60)

        slow, fast = backend(body=wait, rcvbuf=65536), backend()
        (tmp / "users").write_text(user_line("slow@example.org", slow) +
                                   user_line("fast@example.org", fast))
        proxy = waypost(passwd_file(tmp / "users") +
                        "lmtp_add_received_header = no\n" + config)
        connection = client(proxy, timeout=60)
        connection.lhlo()
        connection.proxy, connection.event = proxy, event
        connection.slow, connection.fast = slow, fast
        return connection

    return start


def send_large(connection, size):
    block = LINE * 1000
    for _ in range(size // len(block)):
        connection.send(block)
    return size // len(block) * 1000


def test_slow_backend_does_not_delay_the_fast_one(two):
    connection = two()
    connection.envelope("slow@example.org", "fast@example.org")
    connection.ok("DATA", 354)
    before = connection.proxy.memory()
    lines = send_large(connection, 50 * MIB)
    connection.send(b".\r\n")
    message = connection.fast.wait_message()
    # The fast one has it all while the slow one has not begun to read.
    assert message.raw == LINE * lines
    assert connection.slow.messages == []
    grown = connection.proxy.memory() - before
    assert grown < 25 * 1024, f"{grown} KiB for a message of 50 MiB"
    connection.event.set()
    assert [reply.code for reply in connection.replies(2)] == [250, 250]
    assert connection.slow.messages[0].raw == LINE * lines


def test_spill_file_has_no_name(two, tmp):
    connection = two()
    connection.envelope("slow@example.org", "fast@example.org")
    connection.ok("DATA", 354)
    send_large(connection, 20 * MIB)
    connection.send(b".\r\n")
    connection.fast.wait_message()
    pid = connection.proxy.worker_pid()
    files = [os.readlink(f"/proc/{pid}/fd/{fd}")
             for fd in os.listdir(f"/proc/{pid}/fd")]
    assert any(str(tmp / "spool") in name and "(deleted)" in name
               for name in files), files
    assert os.listdir(tmp / "spool") == []
    connection.event.set()
    assert [reply.code for reply in connection.replies(2)] == [250, 250]
    connection.ok("NOOP")
    files = [os.readlink(f"/proc/{pid}/fd/{fd}")
             for fd in os.listdir(f"/proc/{pid}/fd")]
    assert not any("(deleted)" in name and "spool" in name for name in files)


def test_slow_single_backend_slows_the_client(tmp, waypost, backend, client):
    # Nobody else waits for the message: the client has to, not the disk.
    event = threading.Event()
    server = backend(body=lambda _conn: event.wait(60) and None,
                     rcvbuf=65536)
    proxy = waypost(static(server))
    connection = client(proxy, timeout=0.5)
    connection.start("joe@example.org")
    connection.ok("DATA", 354)
    sent = 0
    with pytest.raises(TimeoutError):
        while sent < 200 * MIB:
            sent += connection.sock.send(LINE * 100)
    assert sent < 30 * MIB
    pid = proxy.worker_pid()
    assert not any("spool" in os.readlink(f"/proc/{pid}/fd/{fd}")
                   for fd in os.listdir(f"/proc/{pid}/fd"))
    event.set()
    connection.sock.settimeout(30)
    connection.send(b"\r\n.\r\n")
    assert connection.reply().code == 250
    assert abs(len(server.messages[0].raw) - sent) < 1000


def test_memory_of_many_messages(waypost, backend, client):
    # Twenty messages of 5 MiB at once.
    server = backend()
    proxy = waypost(static(server))
    clients = [client(proxy, timeout=60) for _ in range(20)]
    for connection in clients:
        connection.start("joe@example.org")
        connection.ok("DATA", 354)
    before = proxy.memory()
    peak = 0
    for _ in range(5):
        for connection in clients:
            send_large(connection, MIB)
        peak = max(peak, proxy.memory())
    for connection in clients:
        connection.send(b".\r\n")
    assert [connection.reply().code for connection in clients] == [250] * 20
    assert peak - before < 40 * 1024, f"grew by {peak - before} KiB"


def no_room(connection, others_size=20 * MIB):
    """The slow one cannot be kept waiting: 452 for it alone."""
    connection.envelope("slow@example.org", "fast@example.org")
    connection.ok("DATA", 354)
    lines = send_large(connection, others_size)
    connection.send(b".\r\n")
    replies = connection.replies(2)
    assert (replies[0].code, replies[0].enhanced) == (452, "4.3.1")
    assert "<slow@example.org>" in replies[0].text
    assert replies[1].code == 250
    assert connection.fast.messages[0].raw == LINE * lines
    connection.event.set()
    connection.slow.wait_ended()
    assert connection.slow.messages == []
    # The session survives, and the next message passes.
    replies = connection.deliver("slow@example.org", "fast@example.org")
    assert [reply.code for reply in replies] == [250, 250]


def test_temp_dir_that_is_not_there(two, tmp):
    connection = two(f"mail_temp_dir = {tmp}/nowhere\n")
    no_room(connection)
    connection.proxy.wait_log(r"Error: .*nowhere")


def test_temp_dir_that_may_not_be_written(two, tmp):
    (tmp / "closed").mkdir(mode=0o555)
    os.chmod(tmp / "closed", 0o555)
    no_room(two(f"mail_temp_dir = {tmp}/closed\n"))


def test_full_disk(two, tmp, need_root, stopper):
    small = tmp / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m,mode=1777",
                    "waypost", small], check=True)
    stopper.add(lambda: subprocess.run(["umount", "-l", small], check=True))
    no_room(two(f"mail_temp_dir = {small}\n"))


def test_client_vanishes_in_a_large_body(two):
    connection = two()
    connection.envelope("slow@example.org", "fast@example.org")
    connection.ok("DATA", 354)
    send_large(connection, 10 * MIB)
    connection.reset()
    connection.proxy.wait_log("Disconnect from 127.0.0.1")
    connection.event.set()
    assert connection.fast.wait_ended() in ("eof", "reset")
    assert connection.slow.wait_ended() in ("eof", "reset")
    assert connection.fast.messages == connection.slow.messages == []


def test_spool_memory_setting(two):
    # With a window of 8 MiB a message of 4 MiB does not reach the disk.
    connection = two("lmtp_spool_memory = 8M\n")
    connection.envelope("slow@example.org", "fast@example.org")
    connection.ok("DATA", 354)
    send_large(connection, 4 * MIB)
    connection.send(b".\r\n")
    connection.fast.wait_message()
    pid = connection.proxy.worker_pid()
    assert not any("spool" in os.readlink(f"/proc/{pid}/fd/{fd}")
                   for fd in os.listdir(f"/proc/{pid}/fd"))
    connection.event.set()
    assert [reply.code for reply in connection.replies(2)] == [250, 250]


def test_idle_after_a_large_message(two):
    # No busy loop while a slow backend is waited for.
    connection = two()
    connection.envelope("slow@example.org", "fast@example.org")
    connection.ok("DATA", 354)
    send_large(connection, 5 * MIB)
    connection.send(b".\r\n")
    connection.fast.wait_message()
    used = connection.proxy.cpu_seconds()
    time.sleep(1)   # measures the CPU of an idle second
    assert connection.proxy.cpu_seconds() - used < 0.3
    connection.event.set()
    wait_for(lambda: connection.slow.messages, "the slow one")
    assert [reply.code for reply in connection.replies(2)] == [250, 250]
