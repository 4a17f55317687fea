"""As process 1 of a container, or nearly so."""
import ctypes
import os
import signal
import subprocess

import pytest

from waiting import wait_until
from waypost import static_passdb

PR_SET_CHILD_SUBREAPER = 36


def become_subreaper():
    if ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError("PR_SET_CHILD_SUBREAPER")


def test_orphans_are_buried(backend, instance):
    """Who loses its parent becomes a child of ours."""
    proxy = instance()
    read_end, write_end = os.pipe()
    pid_file = proxy.dir / "run" / "orphan"
    script = proxy.dir / "start"
    # The orphan lives until the test closes its end of the pipe.
    script.write_text(f"#!/bin/bash\n(read x <&{read_end} & "
                      f"echo $! >{pid_file})\n"
                      f"exec {proxy.binary} \"$@\"\n")
    script.chmod(0o755)
    proxy.binary = str(script)
    proxy.pass_fds = (read_end,)
    proxy.limit_fds = become_subreaper
    proxy.max_fds = True
    proxy.start(static_passdb(backend))
    os.close(read_end)
    orphan = int(pid_file.read_text())
    worker, = set(proxy.workers()) - {orphan}
    assert orphan in proxy.workers()
    os.close(write_end)
    wait_until(lambda: proxy.workers() == [worker], "the orphan to be buried")
    assert not os.path.exists(f"/proc/{orphan}")
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250
    assert "Error" not in proxy.log


def can_unshare():
    return subprocess.run(["unshare", "--pid", "--fork", "--mount-proc",
                           "true"], capture_output=True,
                          check=False).returncode == 0


@pytest.mark.needs_root
def test_process_1(backend, instance):
    """TERM, HUP and USR2 work there, where signals without a handler do not
    arrive."""
    if not can_unshare():
        pytest.skip("no PID namespaces here")
    proxy = instance(as_root=True)
    script = proxy.dir / "contain"
    script.write_text("#!/bin/sh\nexec unshare --pid --fork --mount-proc "
                      f"--kill-child {proxy.binary} \"$@\"\n")
    script.chmod(0o755)
    proxy.binary = str(script)
    proxy.start(static_passdb(backend))
    one, = proxy.workers()
    assert (proxy.dir / "run" / "master.pid").read_text() == "1\n"
    for number, expect in ((signal.SIGHUP, "configuration reloaded"),
                           (signal.SIGUSR1, "logs reopened"),
                           (signal.SIGUSR2, "has taken over")):
        mark = proxy.mark()
        os.kill(one, number)
        proxy.wait_log(expect, mark)
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250
    os.kill(one, signal.SIGTERM)
    assert proxy.wait_exit() == 0


def test_log_to_stdout(backend, instance):
    proxy = instance()
    proxy.stdout = subprocess.PIPE
    proxy.start(static_passdb(backend) + "info_log_path = /dev/stdout\n")
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250
    proxy.signal(signal.SIGUSR2)
    seen = []
    for line in proxy.process.stdout:
        seen.append(line)
        if b"has taken over" in line:
            break
    assert any(b"sent from=" in line for line in seen)
    proxy.signal(signal.SIGTERM)
    proxy.process.stdout.read()
    assert proxy.wait_exit() == 0
    proxy.process.stdout.close()
    assert "sent from=" not in proxy.log
