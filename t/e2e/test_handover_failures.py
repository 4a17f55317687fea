"""USR2 when the new program, or its configuration, does not work: all stays as it
was."""
import contextlib
import os
import re
import shutil
import signal

import pytest

from handover import hand_over, own_binary, script  # noqa: F401
from processes import gone
from waiting import wait_until
from waypost import static_passdb


def fails(proxy, *expect):
    mark = proxy.mark()
    proxy.signal(signal.SIGUSR2)
    for pattern in expect:
        proxy.wait_log(pattern, mark)


def still_serves(proxy, worker):
    assert worker in proxy.workers()
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250


def test_program_at_the_path_is_executed(backend, own_binary):
    proxy, replace = own_binary
    proxy.start(static_passdb(backend))
    before = os.stat(f"/proc/{proxy.process.pid}/exe").st_ino
    replace()
    hand_over(proxy)
    after = os.stat(f"/proc/{proxy.process.pid}/exe").st_ino
    assert before != after == os.stat(proxy.binary).st_ino


def test_path_with_a_symbolic_link(backend, own_binary, directory):
    """What it leads to is decided when it is needed."""
    proxy, replace = own_binary
    (directory / "current").symlink_to(directory / "waypost")
    shutil.copy(directory / "waypost", directory / "next")
    proxy.binary = str(directory / "current")
    proxy.start(static_passdb(backend))
    (directory / "current").unlink()
    (directory / "current").symlink_to(directory / "next")
    hand_over(proxy)
    assert os.readlink(f"/proc/{proxy.process.pid}/exe") == \
        str(directory / "next")


@pytest.mark.parametrize("program,expect", [
    (None, "cannot execute .*: No such file"),
    (b"\x7fELF and nothing", "cannot execute .*: Exec format error"),
    (b"#!/bin/sh\nexit 0\n", "ended with status 0, without consent"),
    (b"#!/bin/sh\necho Pardon? >&2\nexit 3\n", "new program: Pardon"),
    (b"#!/bin/sh\nkill -SEGV $$\n", "killed by signal 11"),
])
def test_bad_program(backend, own_binary, program, expect):
    proxy, replace = own_binary
    proxy.start(static_passdb(backend))
    worker, = proxy.workers()
    replace(program)
    fails(proxy, expect, "Error: handover to .* failed")
    still_serves(proxy, worker)
    replace()
    hand_over(proxy)
    gone(worker)


def test_bad_configuration(backend, waypost):
    proxy = waypost(static_passdb(backend))
    worker, = proxy.workers()
    proxy.write_config(static_passdb(backend) + "no_such_setting = yes\n")
    fails(proxy, "new program: .*no_such_setting", "Error: handover to .*")
    still_serves(proxy, worker)
    proxy.config_path.unlink()
    fails(proxy, "new program: .*waypost.conf", "Error: handover to .*")
    still_serves(proxy, worker)
    proxy.write_config(static_passdb(backend))
    hand_over(proxy)


@pytest.mark.parametrize("action", ["echo no_such_setting = yes >>{}",
                                    "rm {}"])
def test_configuration_breaks_behind_the_check(backend, own_binary, binary,
                                               action):
    """The new program goes on with the old worker and what that works with."""
    proxy, replace = own_binary
    proxy.start(static_passdb(backend))
    proxy.dir.chmod(0o777)
    proxy.config_path.chmod(0o666)
    worker, = proxy.workers()
    replace(script(binary, action.format(proxy.config_path)))
    fails(proxy, "going on with the old configuration")
    still_serves(proxy, worker)
    # It is a supervisor like any other: it replaces, reloads, hands over.
    mark = proxy.mark()
    os.kill(worker, signal.SIGKILL)
    proxy.wait_log("is ready", mark)
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250
    proxy.config_path.unlink(missing_ok=True)
    proxy.reload(static_passdb(backend))


@pytest.mark.parametrize("breaks", [False, True])
def test_old_worker_dies_behind_the_check(backend, own_binary, binary, breaks):
    """There is nobody who could go on; the old configuration is there still."""
    proxy, replace = own_binary
    proxy.start(static_passdb(backend))
    proxy.config_path.chmod(0o666)
    worker, = proxy.workers()
    action = f"kill -KILL {worker}"
    if breaks:
        action += f"; echo no_such_setting = yes >>{proxy.config_path}"
    replace(script(binary, action))
    mark = proxy.mark()
    proxy.signal(signal.SIGUSR2)
    proxy.wait_log(f"worker process {worker} killed by signal 9", mark)
    proxy.wait_log("is ready" if breaks else "has taken over", mark)
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250
    assert len(proxy.workers()) == 1


def test_usr2_without_a_worker(backend, own_binary):
    """While the next one has to wait because too many have died."""
    proxy, replace = own_binary
    proxy.start(static_passdb(backend))

    def kill_again():
        for worker in proxy.workers():
            with contextlib.suppress(ProcessLookupError):  # of the kill before
                os.kill(worker, signal.SIGKILL)
        return "dies too often, waiting 1600 ms" in proxy.log
    wait_until(kill_again, "too many deaths")
    assert not proxy.workers()
    replace()
    proxy.signal(signal.SIGUSR2)
    wait_until(lambda: re.search(r"is ready|has taken over",
                                 proxy.log.rpartition("dies too often")[2]),
               "a worker process")
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250


def test_new_worker_does_not_start(backend, instance):
    """The listener that the new configuration names is taken."""
    proxy = instance()
    proxy.start(static_passdb(backend))
    worker, = proxy.workers()
    proxy.write_config(static_passdb(backend) +
                       "service lmtp {\n inet_listener x {\n"
                       f"  address = {backend.host}\n"
                       f"  port = {backend.port}\n }}\n}}\n")
    fails(proxy, "Error: handover failed, going on with the old conf.*"
          "cannot listen")
    still_serves(proxy, worker)
    proxy.write_config(static_passdb(backend))
    hand_over(proxy)
    gone(worker)


def test_new_worker_cannot_be_forked(backend, own_binary, binary):
    proxy, replace = own_binary
    if proxy.as_root:
        pytest.skip("root is not limited")
    proxy.start(static_passdb(backend))
    worker, = proxy.workers()
    replace(script(
        # The leak checker would want a process, too.
        binary, "ulimit -p 1; export ASAN_OPTIONS=detect_leaks=0"))
    fails(proxy, "Error: handover failed, going on with the old conf.*: fork")
    still_serves(proxy, worker)


@pytest.mark.needs_root
def test_new_worker_says_that_it_cannot(backend, own_binary, binary):
    """The new program may not give root up."""
    proxy, replace = own_binary
    proxy.as_root = True
    proxy.start(static_passdb(backend))
    worker, = proxy.workers()
    replace(script("setpriv --bounding-set -setuid " + str(binary), ""))
    fails(proxy, "Error: handover failed, going on with the old conf.*"
          "cannot become user")
    proxy.wait_log("failed with status 1")
    still_serves(proxy, worker)
