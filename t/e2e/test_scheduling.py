"""How the kernel schedules the threads that serve."""
import os
import pathlib

import pytest

from lmtp_client import Client
from waypost import CONFINED, static_passdb


def policies(pid):
    """By the names of the threads."""
    return {(task / "comm").read_text().strip():
            os.sched_getscheduler(int(task.name))
            for task in pathlib.Path(f"/proc/{pid}/task").iterdir()}


def start(proxy, backend, prefix):
    proxy.prefix = [*prefix, *proxy.prefix]
    proxy.start(static_passdb(backend))
    with Client(proxy.socket) as client:
        assert client.lhlo() == 250
        assert client.deliver("joe@example.org")[0] == 250
    worker, = proxy.workers()
    return policies(worker)


@pytest.mark.parametrize("prefix", [
    [], pytest.param(CONFINED, marks=pytest.mark.needs("systemd-analyze"))],
    ids=["as it is", "confined"])
def test_threads_that_serve_do_not_preempt(backend, instance, prefix):
    """Nobody who talks to waypost is put aside the moment that he has written."""
    proxy = instance()
    threads = start(proxy, backend, prefix)
    assert threads.pop("worker-0") == threads.pop("worker-1") == os.SCHED_BATCH
    assert set(threads.values()) == {os.SCHED_OTHER}
    assert set(policies(proxy.process.pid).values()) == {os.SCHED_OTHER}


def test_a_policy_that_was_chosen_stays(backend, instance):
    threads = start(instance(), backend, ["chrt", "--idle", "0"])
    assert set(threads.values()) == {os.SCHED_IDLE}
