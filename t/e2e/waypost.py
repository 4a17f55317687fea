"""The program under test as a process."""

import os
import re
import resource
import signal
import socket
import subprocess
import threading
import time

from lmtp import Client
from waiting import TIMEOUT, wait_for

WAYPOST = os.path.abspath(os.environ.get("WAYPOST", "./waypost"))

# What no run may ever write to stderr.
TROUBLE = re.compile(
    r"AddressSanitizer|UndefinedBehaviorSanitizer|ThreadSanitizer|"
    r"LeakSanitizer|MemorySanitizer|runtime error:|[Pp]anic:|PANIC|"
    r"Assertion|killed with signal|killed by signal")

COMMON = """\
base_dir = {dir}/run
default_internal_user = nobody
default_internal_group = nogroup
protocols = lmtp
lmtp_proxy = yes
hostname = proxy.test
mail_temp_dir = {dir}/spool
lmtp_shutdown_timeout = 10s
log_timestamp = "%H:%M:%S.%{{usecs}} "
"""

LISTENER = """\
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {port}
  }}
}}
"""


def free_port(host="127.0.0.1"):
    """A port that the kernel says is free."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as sock:
        sock.bind((host, 0))
        return sock.getsockname()[1]


def static(target, fields=""):
    """A passdb that sends every user to target (a backend or a port)."""
    port = target if isinstance(target, int) else target.port
    return ("passdb {\n  driver = static\n  args = nopassword=y proxy=y "
            f"host=127.0.0.1 port={port} {fields}\n}}\n")


def passwd_file(path):
    return f"passdb {{\n  driver = passwd-file\n  args = {path}\n}}\n"


def user_line(user, target=None, fields=""):
    """A line of a passwd-file. target: a backend, or None."""
    if target is not None:
        fields = f"proxy=y host={target.host} port={target.port} {fields}"
    return f"{user}:::::::{fields}\n"


def children_of(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children",
                  encoding="ascii") as file:
            return [int(child) for child in file.read().split()]
    except FileNotFoundError:
        return []


def environment():
    env = dict(os.environ)
    env.setdefault("ASAN_OPTIONS", "")
    env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
    env["TZ"] = "UTC"
    return env


def run(*args, timeout=TIMEOUT):
    """Runs waypost to its end."""
    result = subprocess.run([WAYPOST, *map(str, args)], text=True,
                            errors="surrogateescape", timeout=timeout,
                            stdin=subprocess.DEVNULL, capture_output=True,
                            env=environment(), check=False)
    assert not TROUBLE.search(result.stderr), result.stderr
    return result


class Waypost:
    """A running waypost. config: what the test is about; listener: whether
    an inet listener on self.port is added; common: whether COMMON is."""

    def __init__(self, directory, config, listener=True, common=True,
                 args=(), wait=True, limits=None):
        self.dir = directory
        self.path = directory / "waypost.conf"
        self.port = free_port()
        self.address = ("127.0.0.1", self.port)
        self.socket = directory / "run" / "lmtp"
        self.listener, self.common = listener, common
        self.lines = []
        self.ready = False
        self.changed = threading.Condition()
        self.trouble = TROUBLE
        self.write_config(config)
        self.process = subprocess.Popen(
            [WAYPOST, "-F", "-c", str(self.path), *args],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, env=environment(), preexec_fn=limits)
        self.pid = self.process.pid
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        if wait:
            self.wait_ready()

    def write_config(self, config):
        text = COMMON.format(dir=self.dir) if self.common else ""
        if self.listener:
            text += LISTENER.format(port=self.port)
        new = self.path.with_suffix(".new")
        new.write_text(text + config)
        new.rename(self.path)

    # --- its log, on stderr ---

    def read(self):
        for line in self.process.stderr:
            text = line.decode("utf-8", "surrogateescape").rstrip("\n")
            with self.changed:
                self.lines.append(text)
                self.ready = self.ready or text == "ready"
                self.changed.notify_all()
        with self.changed:
            self.lines.append("<end of stderr>")
            self.changed.notify_all()

    def log(self):
        with self.changed:
            return "\n".join(self.lines)

    def wait_ready(self, timeout=3 * TIMEOUT):
        end = time.monotonic() + timeout
        with self.changed:
            while not self.ready:
                assert self.lines[-1:] != ["<end of stderr>"], (
                    "did not start:\n" + self.log())
                assert self.changed.wait(end - time.monotonic()), (
                    "not ready:\n" + self.log())

    def mark(self):
        """A place in the log, for wait_log()."""
        with self.changed:
            return len(self.lines)

    def find_log(self, pattern, since=0):
        with self.changed:
            for line in self.lines[since:]:
                match = re.search(pattern, line)
                if match:
                    return match
        return None

    def wait_log(self, pattern, since=0, timeout=TIMEOUT):
        end = time.monotonic() + timeout
        with self.changed:
            while True:
                match = self.find_log(pattern, since)
                if match:
                    return match
                left = end - time.monotonic()
                assert left > 0 and self.changed.wait(left), (
                    f"no {pattern!r} in the log:\n" + self.log())

    def count_log(self, pattern):
        with self.changed:
            return sum(1 for line in self.lines if re.search(pattern, line))

    # --- its processes ---

    def worker_pid(self):
        pids = children_of(self.pid)
        assert len(pids) == 1, pids
        return pids[0]

    def memory(self, key="VmRSS", pid=None):
        """A figure of the worker process, in KiB."""
        with open(f"/proc/{pid or self.worker_pid()}/status",
                  encoding="ascii") as file:
            return int(re.search(rf"{key}:\s+(\d+) kB", file.read()).group(1))

    def cpu_seconds(self):
        with open(f"/proc/{self.worker_pid()}/stat",
                  encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def signal(self, number):
        os.kill(self.pid, number)

    def reload(self):
        since = self.mark()
        self.signal(signal.SIGHUP)
        return since

    def wait_exit(self, timeout=3 * TIMEOUT):
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError("does not end:\n" + self.log()) from None
        self.reader.join(TIMEOUT)
        return code

    def expect_trouble(self, allowed):
        """Takes one pattern off what must not be in the log."""
        self.trouble = re.compile("|".join(
            part for part in TROUBLE.pattern.split("|") if part not in allowed))

    def stop(self, code=0):
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        try:
            ended = self.wait_exit()
        except AssertionError:
            for pid in children_of(self.pid):
                os.kill(pid, signal.SIGKILL)
            self.process.kill()
            self.process.wait()
            raise
        log = self.log()
        assert not self.trouble.search(log), log
        assert ended == code, f"exit status {ended}\n" + log

    # --- its clients ---

    def client(self, **options):
        return Client(self.address, **options)


def is_root():
    return os.geteuid() == 0


def open_files_limit(count):
    """For limits=: the most descriptors the process may have."""
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))


__all__ = ["Waypost", "children_of", "free_port", "is_root",
           "open_files_limit", "passwd_file", "run", "static", "user_line",
           "wait_for"]
