"""What can be seen of processes from outside."""
import os
import pathlib
import re

from waiting import wait_until
from waypost import BINARY


def gone(pid):
    """Waits for its end, and for whoever started it to take note."""
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"), f"{pid} to be gone")


def is_gone(pid):
    """Whether it is, or only waits for somebody to take note."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return stat.rpartition(")")[2].split()[0] in "ZX"


def wait_gone(pids):
    wait_until(lambda: all(map(is_gone, pids)), f"the end of {pids}")


def is_stopped(pid):
    """Whether every thread is (it takes a moment)."""
    return all(stat.read_text().rpartition(")")[2].split()[0] == "T"
               for stat in pathlib.Path(f"/proc/{pid}/task").glob("*/stat"))


def memory_of(proxy, name):
    worker, = proxy.workers()
    status = pathlib.Path(f"/proc/{worker}/status").read_text()
    return int(re.search(rf"{name}:\s+(\d+)", status).group(1)) * 1024


def rss(proxy):
    return memory_of(proxy, "VmRSS")


def peak(proxy):
    """The most that it ever had."""
    return memory_of(proxy, "VmHWM")


def fds_of(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def open_fds(proxy):
    worker, = proxy.workers()
    return fds_of(worker)


def has_tsan():
    """What only one thread does for long is slow there, and says nothing new."""
    return b"__tsan_init" in BINARY.read_bytes()


def is_sanitized():
    """Sanitizers have their own idea of memory."""
    return has_tsan() or b"__asan_init" in BINARY.read_bytes()
