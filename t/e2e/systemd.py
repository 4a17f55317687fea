"""What systemd does for a service, as far as a service can see: the socket that
it is told about, sockets that are open already, and one thread that hangs."""
import ctypes
import os
import select
import socket

from waiting import TIMEOUT, wait_until


class NotifySocket:
    """$NOTIFY_SOCKET. Messages are dictionaries, in order."""

    def __init__(self, directory):
        self.path = str(directory / "notify")
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(self.path)
        os.chmod(self.path, 0o777)

    def close(self):
        self.sock.close()

    def message(self, timeout=TIMEOUT):
        """The next one; None if none comes."""
        if not select.select([self.sock], [], [], timeout)[0]:
            return None
        text = self.sock.recv(4096).decode()
        return dict(line.split("=", 1) for line in text.split("\n"))

    def wait(self, key):
        """The next message with key, and the keys of those before it."""
        before = []
        while True:
            message = self.message()
            assert message is not None, f"no {key}; but {before}"
            if key in message:
                return message, before
            before += message

    def drop_pending(self):
        while self.message(0):
            pass


class Activation:
    """Sockets that are open before the service is. Starts it through a program
    that puts them where they belong."""

    def __init__(self, proxy, sockets, pid="$$"):
        self.sockets = sockets
        for sock in sockets:
            sock.listen(64)
        fds = [sock.fileno() for sock in sockets]
        program = proxy.dir / "activate"
        program.write_text(f"""#!/usr/bin/python3
import fcntl, os, sys
fds, first_free = {fds}, {3 + len(fds)}
copies = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, first_free) for fd in fds]
for number, copy in enumerate(copies):
    os.dup2(copy, 3 + number)
for fd in fds:
    if fd >= first_free:
        os.close(fd)
os.environ["LISTEN_FDS"] = str(len(fds))
os.environ["LISTEN_PID"] = "{pid}".replace("$$", str(os.getpid()))
os.environ["LISTEN_FDNAMES"] = "waypost.socket"
os.execv("{proxy.binary}", ["{proxy.binary}"] + sys.argv[1:])
""")
        program.chmod(0o755)
        proxy.binary = str(program)
        proxy.pass_fds = fds

    def close(self):
        for sock in self.sockets:
            sock.close()


def inode(sock):
    return os.fstat(sock.fileno()).st_ino


def has_socket(pid, sock):
    """Whether the process has this very socket open."""
    target = f"socket:[{inode(sock)}]"
    directory = f"/proc/{pid}/fd"
    for name in os.listdir(directory):
        try:
            if os.readlink(f"{directory}/{name}") == target:
                return True
        except FileNotFoundError:
            pass
    return False


# --- one thread that hangs ---

_libc = ctypes.CDLL(None, use_errno=True)
PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 0x4206, 0x4207
WALL = 0x40000000


def _ptrace(request, tid):
    _libc.ptrace.argtypes = [ctypes.c_long] * 2 + [ctypes.c_void_p] * 2
    if _libc.ptrace(request, tid, None, None) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class Stuck:
    """Stops one thread of a process; the others run."""

    def __init__(self, pid, name):
        def find():
            for tid in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{tid}/comm") as comm:
                    if comm.read().strip() == name:
                        return int(tid)
            return None
        self.tid = wait_until(find, f"thread {name}")

    def __enter__(self):
        _ptrace(PTRACE_SEIZE, self.tid)
        _ptrace(PTRACE_INTERRUPT, self.tid)
        os.waitpid(self.tid, WALL)
        return self

    def __exit__(self, *exc):
        _ptrace(PTRACE_DETACH, self.tid)
