"""The body between client and backends: streaming, bounded, spilled."""
import os
import pathlib
import subprocess

import pytest

from lmtp_client import dot_stuff
from processes import is_sanitized, rss
from scripted_backend import hold
from waiting import wait_until
from waypost import file_passdb, static_passdb

MIB = 1024 * 1024


def spill_files(proxy):
    """Unlinked files in mail_temp_dir that a worker holds open."""
    found = []
    for pid in proxy.workers():
        for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
            try:
                target = os.readlink(fd)
            except FileNotFoundError:
                continue
            if target.startswith(str(proxy.dir / "spool")):
                found.append(target)
    return found


def test_body_is_sent_on_while_it_comes_in(backend, waypost):
    proxy = waypost(static_passdb(backend))
    with proxy.session() as client:
        client.start_data("joe@example.org")
        client.send(b"Subject: early\r\n\r\n" + b"x" * 4000 + b"\r\n")
        wait_until(lambda: backend.connections[0].messages and
                   b"Subject: early" in backend.connections[0].messages[0].raw,
                   "the first part at the backend")
        client.send(".\r\n")
        assert client.reply() == 250


def test_slow_backend_does_not_delay_the_fast_one(backends, instance):
    fast, slow = backends(), backends(rcvbuf=4096)
    slow.on("body", hold)
    proxy = instance()
    proxy.start(file_passdb(proxy, fast=fast, slow=slow))
    body = (b"y" * 78 + b"\r\n") * (20 * MIB // 80)
    with proxy.session() as client:
        client.start_data("fast@example.org", "slow@example.org")
        client.send(dot_stuff(body))
        message, = fast.wait_messages(1)
        slow.wait_held()
        assert message.text == body
        assert spill_files(proxy)
        assert all("(deleted)" in name for name in spill_files(proxy))
        assert os.listdir(proxy.dir / "spool") == []
        slow.release()
        assert [r.code for r in client.replies(2)] == [250, 250]
    assert slow.wait_messages(1)[0].text == body
    wait_until(lambda: not spill_files(proxy), "the spill file to be closed")


def test_memory_is_bounded(backends, instance):
    if "san" in os.environ.get("ASAN_OPTIONS", "") or is_sanitized():
        pytest.skip("sanitizers have their own idea of memory")
    fast, slow = backends(), backends(rcvbuf=4096)
    slow.on("body", hold)
    proxy = instance()
    proxy.start(file_passdb(proxy, fast=fast, slow=slow))
    with proxy.session() as client:
        client.deliver(["fast@example.org"])
        before = rss(proxy)
        client.start_data("fast@example.org", "slow@example.org")
        client.send(dot_stuff((b"y" * 78 + b"\r\n") * (30 * MIB // 80)))
        fast.wait_messages(2)
        assert rss(proxy) - before < 3 * MIB
        slow.release()
        assert [r.code for r in client.replies(2)] == [250, 250]


def test_single_slow_backend_holds_the_client_back(backends, waypost):
    """One reader: nothing is spilled, the client waits."""
    slow = backends(rcvbuf=4096)
    slow.on("body", hold)
    proxy = waypost(static_passdb(slow))
    with proxy.session() as client:
        client.start_data("joe@example.org")
        client.sock.setblocking(False)
        sent = 0
        wire = (b"y" * 78 + b"\r\n") * (100 * MIB // 80)
        try:
            while sent < len(wire):
                sent += client.sock.send(wire[sent:sent + 65536])
        except BlockingIOError:
            slow.wait_held()
        assert sent < 50 * MIB
        assert not spill_files(proxy)
        slow.release()


def test_window_is_a_setting(backends, instance):
    fast, slow = backends(), backends(rcvbuf=4096)
    slow.on("body", hold)
    proxy = instance()
    proxy.start("lmtp_spool_memory = 64M\n" +
                file_passdb(proxy, fast=fast, slow=slow))
    with proxy.session() as client:
        client.start_data("fast@example.org", "slow@example.org")
        client.send(dot_stuff(b"y\r\n" * (8 * MIB // 3)))
        fast.wait_messages(1)
        assert not spill_files(proxy)
        slow.release()
        assert [r.code for r in client.replies(2)] == [250, 250]


def test_no_place_to_spill(backends, instance):
    """452 4.3.1 for those who needed it, and the session survives."""
    fast, slow = backends(), backends(rcvbuf=4096)
    slow.on("body", hold, times=1)
    proxy = instance()
    proxy.start(f"mail_temp_dir = {proxy.dir}/nowhere\n" +
                file_passdb(proxy, fast=fast, slow=slow))
    with proxy.session() as client:
        client.start_data("fast@example.org", "slow@example.org")
        client.send(dot_stuff(b"y\r\n" * (8 * MIB // 3)))
        fast.wait_messages(1)
        slow.release()
        assert client.reply() == 250
        assert client.reply() == "452 4.3.1 <slow@example.org> "
        assert client.deliver(["fast@example.org", "slow@example.org"])[1] == 250
    proxy.wait_log(r"Error: .*nowhere")


@pytest.mark.needs_root
def test_disk_full(backends, instance):
    """ENOSPC on the spill file, on a real full file system."""
    fast, slow = backends(), backends(rcvbuf=4096)
    slow.on("body", hold, times=1)
    proxy = instance()
    small = proxy.dir / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=1777",
                       "none", str(small)], check=False).returncode != 0:
        pytest.skip("root may not mount here")
    try:
        proxy.start(f"mail_temp_dir = {small}\n" +
                    file_passdb(proxy, fast=fast, slow=slow))
        with proxy.session() as client:
            client.start_data("fast@example.org", "slow@example.org")
            client.send(dot_stuff(b"y\r\n" * (16 * MIB // 3)))
            fast.wait_messages(1)
            slow.release()
            assert client.reply() == 250
            assert client.reply() == "452 4.3.1 <slow@example.org> "
            assert client.deliver(["fast@example.org",
                                   "slow@example.org"])[1] == 250
        proxy.stop()
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_vanishing_client_with_a_spilled_body(backends, instance):
    fast, slow = backends(), backends(rcvbuf=4096)
    slow.on("body", hold)
    proxy = instance()
    proxy.start(file_passdb(proxy, fast=fast, slow=slow))
    client = proxy.session()
    client.start_data("fast@example.org", "slow@example.org")
    client.send(b"y\r\n" * (8 * MIB // 3))
    wait_until(lambda: spill_files(proxy), "a spill file")
    client.reset()
    wait_until(lambda: not spill_files(proxy), "the spill file to be closed")
    slow.release()
    fast.wait_closed(0)
    slow.wait_closed(0)
    assert not fast.messages and not slow.messages


def test_spill_files_are_private(backends, instance):
    fast, slow = backends(), backends(rcvbuf=4096)
    slow.on("body", hold)
    proxy = instance()
    proxy.start(file_passdb(proxy, fast=fast, slow=slow))
    with proxy.session() as client:
        client.start_data("fast@example.org", "slow@example.org")
        client.send(b"y\r\n" * (8 * MIB // 3))
        wait_until(lambda: spill_files(proxy), "a spill file")
        for pid in proxy.workers():
            for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
                if os.readlink(fd).startswith(str(proxy.dir / "spool")):
                    assert os.stat(fd).st_mode & 0o077 == 0
        slow.release()
        client.send(".\r\n")
        assert [r.code for r in client.replies(2)] == [250, 250]


def test_waiting_for_a_slow_backend_costs_nothing(backends, instance):
    """CPU time, not a busy loop."""
    fast, slow = backends(), backends(rcvbuf=4096)
    slow.on("body", hold)
    proxy = instance()
    proxy.start(file_passdb(proxy, fast=fast, slow=slow))

    def cpu():
        worker, = proxy.workers()
        fields = pathlib.Path(f"/proc/{worker}/stat").read_text().rsplit(
            ")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    with proxy.session() as client:
        client.start_data("slow@example.org", "fast@example.org")
        client.send(dot_stuff(b"y\r\n" * (8 * MIB // 3)))
        fast.wait_messages(1)
        before = cpu()
        client.expect_silence(1)
        assert cpu() - before < 0.3
        slow.release()
        assert [r.code for r in client.replies(2)] == [250, 250]


def test_no_permission_to_spill(backends, instance):
    fast, slow = backends(), backends(rcvbuf=4096)
    slow.on("body", hold, times=1)
    proxy = instance()
    closed = proxy.dir / "closed"
    closed.mkdir(mode=0o555)
    proxy.start(f"mail_temp_dir = {closed}\n" +
                file_passdb(proxy, fast=fast, slow=slow))
    with proxy.session() as client:
        client.start_data("fast@example.org", "slow@example.org")
        client.send(b"first\r\n")
        wait_until(lambda: fast.connections[0].messages and
                   b"first" in fast.connections[0].messages[0].raw,
                   "the first line")
        client.send(dot_stuff(b"y\r\n" * (16 * MIB // 3)))
        fast.wait_messages(1)
        slow.release()
        assert client.reply() == 250
        assert client.reply() == "452 4.3.1 <slow@example.org> "
    proxy.wait_log(r"Error: .*closed.*Permission denied")
