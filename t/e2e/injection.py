"""System calls of a running process that fail, or are its last ones: strace attached
to one thread, with its counters of calls from there on."""
import os
import pathlib
import re
import subprocess

from processes import is_gone
from waiting import TIMEOUT, wait_until

# They cannot fail, or only when there is no memory, which ends any process.
NEVER_FAIL = {"brk", "exit", "exit_group", "futex", "getegid", "geteuid", "getgid",
              "getpid", "getppid", "getrandom", "gettid", "getuid", "madvise",
              "mmap", "mprotect", "munmap", "restart_syscall", "rt_sigreturn",
              "sched_yield", "sigaltstack", "umask"}


class Call:
    """One call that was seen: name, number (which of that name), line (with paths
    beside descriptors), late (whoever looks at it says what that is)."""

    def __init__(self, name, number, line):
        self.name, self.number, self.line = name, number, line
        self.late = False

    def fail(self, error):
        return f"inject={self.name}:error={error}:when={self.number}"

    def kill(self):
        return f"inject={self.name}:signal=KILL:when={self.number}"


class Trace:
    """with Trace(directory, tid, expression) as trace: ... trace.lines"""

    def __init__(self, directory, tid, expression=None):
        self.tid = tid
        self.path = pathlib.Path(directory) / f"strace.{tid}"
        inject = ["-e", expression] if expression else []
        self.process = subprocess.Popen(
            ["strace", "-y", "-s", "16", "-o", str(self.path), "-p", str(tid),
             *inject], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True)
        said = self.process.stderr.readline()
        assert "attached" in said, said
        # It stands there once the call that it waits in is traced.
        wait_until(lambda: self.path.read_text(), "the first call")

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        """Lets it go; of one that is dead strace has to say so yet."""
        if not self.process.stderr.closed:
            if not is_gone(self.tid):
                self.process.terminate()
            self.end()

    def end(self):
        """Waits for the end of what is traced."""
        self.process.stderr.read()
        self.process.wait(TIMEOUT)
        self.process.stderr.close()

    @property
    def lines(self):
        return self.path.read_text(errors="replace").splitlines()

    def injected(self):
        return any("(INJECTED)" in line for line in self.lines)

    def killed(self):
        return "+++ killed by SIGKILL +++" in self.lines

    def calls(self):
        """Those that can fail, and were not only begun."""
        counts, calls = {}, []
        for line in self.lines:
            match = re.match(r"(\w+)\(.*\) += ", line)
            if not match:
                continue
            name = match.group(1)
            counts[name] = counts.get(name, 0) + 1
            if name not in NEVER_FAIL:
                calls.append(Call(name, counts[name], line))
        return calls


def is_in_call(tid, *numbers):
    """Whether it waits in one of these calls; a number for each architecture."""
    try:
        text = pathlib.Path(f"/proc/{tid}/syscall").read_text()
    except OSError:
        return False
    return text.split()[0] in map(str, numbers)


def threads(pid):
    return sorted(map(int, os.listdir(f"/proc/{pid}/task")))
