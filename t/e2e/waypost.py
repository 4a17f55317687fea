"""The program under test: started with a configuration, watched, stopped."""
import codecs
import contextlib
import os
import pathlib
import pwd
import re
import resource
import select
import shutil
import signal
import subprocess
import sys
import threading

from lmtp_client import Client
from ports import LOCALHOST, free_port
from waiting import TIMEOUT, wait_on, wait_until

TOP = pathlib.Path(os.environ.get("WAYPOST_TOP",
                                  pathlib.Path(__file__).parents[2]))
BINARY = pathlib.Path(os.environ.get("WAYPOST", TOP / "waypost"))
SANITIZER = re.compile(r"(Address|Leak|Thread|Memory|UndefinedBehavior)"
                       r"Sanitizer|runtime error:")
# As root, waypost starts as this user unless a test wants it to start as root.
USER = "nobody"
IS_ROOT = os.geteuid() == 0
AS_ROOT = IS_ROOT and bool(os.environ.get("WAYPOST_E2E_ROOT"))
# Under the seccomp filters of the unit for systemd.
CONFINED = [sys.executable, str(pathlib.Path(__file__).with_name("confine.py")),
            str(TOP / "contrib/systemd/waypost.service.in")]
ALL_CONFINED = bool(os.environ.get("WAYPOST_CONFINED"))

DEFAULTS = """\
base_dir = {dir}/run
protocols = lmtp
hostname = proxy.example
mail_temp_dir = {dir}/spool
default_internal_user = {user}
lmtp_proxy = yes
lmtp_shutdown_timeout = 20 secs
service lmtp {{
  process_min_avail = {threads}
  inet_listener lmtp {{
    address = {host}
    port = {port}
  }}
}}
"""


def static_passdb(backend, fields=""):
    """Every user lives on backend."""
    return (f"passdb {{\n  driver = static\n  args = nopassword=y proxy=y "
            f"host={backend.host} port={backend.port} {fields}\n}}\n")


def file_passdb(proxy, **users):
    """A passwd-file of example.org. users: name=backend, or name=(backend,
    further fields)."""
    places = {name: place if isinstance(place, tuple) else (place, "")
              for name, place in users.items()}
    proxy.write_file("users", "".join(
        f"{name}@example.org:::::::proxy host={b.host} port={b.port} {fields}\n"
        for name, (b, fields) in places.items()))
    return (f"passdb {{\n driver = passwd-file\n"
            f" args = {proxy.dir}/users\n}}\n")


class Waypost:
    """One instance. stderr is its log."""

    def __init__(self, directory, binary=BINARY, as_root=False,
                 host=LOCALHOST):
        self.dir = pathlib.Path(directory)
        self.binary = str(binary)
        # None: not even where all others are started by root.
        self.as_root = as_root is not None and (as_root or AS_ROOT) and IS_ROOT
        self.address = (host, free_port(host))
        self.host, self.port = self.address
        self.socket = str(self.dir / "run" / "lmtp")
        self.config_path = self.dir / "waypost.conf"
        self.threads = 2
        self.max_fds = None  # a limit of descriptors for each process
        self.pass_fds = ()   # what else it inherits, under these numbers
        self.prefix = CONFINED if ALL_CONFINED else []
        self.stdout = subprocess.DEVNULL
        self.changed = threading.Condition()
        self.read_lines, self.read_part = [], ""
        self.process = None
        self.expect_exit = 0
        self.make_dirs()

    def make_dirs(self):
        for name in ("run", "spool"):
            path = self.dir / name
            path.mkdir(exist_ok=True)
            path.chmod(0o777 if name == "spool" else 0o755)
            if IS_ROOT and not self.as_root:
                shutil.chown(path, USER)

    def write_config(self, config, defaults=True):
        text = config
        if defaults:
            text = DEFAULTS.format(dir=self.dir, host=self.host,
                                   port=self.port, user=USER,
                                   threads=self.threads) + config
        self.config_path.write_text(text)
        self.config_path.chmod(0o644)

    def write_file(self, name, text):
        """A file beside the configuration, replaced as a whole."""
        path = self.dir / name
        temporary = self.dir / (name + ".new")
        if isinstance(text, str):
            temporary.write_text(text)
        else:
            temporary.write_bytes(text)
        temporary.chmod(0o644)
        temporary.rename(path)
        return path

    def make_dir(self, name):
        """A directory that each of its processes may write to."""
        path = self.dir / name
        path.mkdir()
        path.chmod(0o777)
        return path

    # --- running ---

    def environment(self):
        env = dict(os.environ)
        env.pop("PYTEST_CURRENT_TEST", None)
        asan = env.get("ASAN_OPTIONS", "")
        if self.as_root or self.prefix:
            # The worker gave root up, or is confined, and may not be traced,
            # not even by the leak checker in itself.
            asan += ":detect_leaks=0"
        env["ASAN_OPTIONS"] = asan
        env["UBSAN_OPTIONS"] = "print_stacktrace=1"
        return env

    def user(self):
        if not IS_ROOT or self.as_root:
            return {}
        entry = pwd.getpwnam(USER)
        return {"user": entry.pw_uid, "group": entry.pw_gid,
                "extra_groups": []}

    def run(self, *args, timeout=TIMEOUT):
        """Runs to the end, as waypost -n does."""
        result = subprocess.run(
            [*self.prefix, self.binary, "-c", str(self.config_path), *args],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout,
            cwd=self.dir, env=self.environment(), check=False, **self.user())
        result.stdout, result.stderr = (
            text.decode(errors="surrogateescape")
            for text in (result.stdout, result.stderr))
        return result

    def refusal(self, config):
        """What -t says of a configuration that it does not take."""
        self.write_config(config)
        result = self.run("-t")
        assert result.returncode != 0
        return result.stderr

    def limit_fds(self):
        limits = (self.max_fds, self.max_fds)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)

    def launch(self, *args):
        if self.process is not None:
            self.reader.join(TIMEOUT)
        self.process = subprocess.Popen(
            [*self.prefix, self.binary, "-c", str(self.config_path), "-F",
             *args],
            preexec_fn=self.limit_fds if self.max_fds else None,
            stdin=subprocess.DEVNULL, stdout=self.stdout,
            stderr=subprocess.PIPE, cwd=self.dir, env=self.environment(),
            pass_fds=self.pass_fds, **self.user())
        self.ended = False
        self.decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        os.set_blocking(self.process.stderr.fileno(), False)
        self.reader = threading.Thread(target=self.read_stderr, daemon=True)
        self.reader.start()

    def start(self, config, defaults=True):
        self.write_config(config, defaults)
        self.launch()
        self.wait_log(r"^ready$|^exited ")
        if self.process.poll() is not None or "ready" not in self.lines:
            raise AssertionError("waypost did not start:\n" + self.log)
        return self

    def read_stderr(self):
        poll = select.poll()
        poll.register(self.process.stderr, select.POLLIN)
        while not self.drain():
            poll.poll()
        status = self.process.wait()
        with self.changed:
            self.read_lines.append(f"exited {status}")
            self.changed.notify_all()

    def drain(self):
        """Takes what stands in the log's pipe; returns whether that has ended.
        Only LF ends a line: a CR that gets there is to be seen."""
        with self.changed:
            if self.process is None or self.ended:
                return True
            data = b""
            with contextlib.suppress(BlockingIOError):
                while piece := os.read(self.process.stderr.fileno(), 1 << 16):
                    data += piece
                self.ended = True
            text = self.read_part + self.decoder.decode(data, self.ended)
            *lines, self.read_part = text.split("\n")
            if self.ended and self.read_part:
                lines.append(self.read_part)
                self.read_part = ""
            self.read_lines += lines
            self.changed.notify_all()
            return self.ended

    def signal(self, number):
        self.process.send_signal(number)

    def reload(self, config=None, expect="configuration reloaded"):
        """HUP, until the log says what comes of it."""
        mark = self.mark()
        if config is not None:
            self.write_config(config)
        self.signal(signal.SIGHUP)
        return self.wait_log(expect, mark)

    def workers(self):
        """Process ids of the supervisor's children."""
        path = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        return [int(pid) for pid in open(path).read().split()]

    def deliverers(self):
        """Those of the crews, its children's children."""
        pids = []
        for crew in self.workers():
            with contextlib.suppress(OSError):
                path = f"/proc/{crew}/task/{crew}/children"
                pids += map(int, open(path).read().split())
        return pids

    def wait_exit(self):
        return self.process.wait(TIMEOUT)

    def stop(self):
        """TERM must always end it with 0, and no sanitizer may complain."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        try:
            status = self.wait_exit()
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError("waypost did not stop:\n" + self.log)
        finally:
            self.reader.join(TIMEOUT)
        reports = [line for line in self.lines if SANITIZER.search(line)]
        assert not reports, self.log
        assert status == self.expect_exit, f"status {status}:\n{self.log}"
        assert "PANIC" not in self.log.upper().replace(
            "DIRECTOR_PANIC_THRESHOLD", ""), self.log

    # --- the log ---

    @property
    def lines(self):
        """Of the log: all that has been written until now."""
        self.drain()
        return self.read_lines

    @property
    def log(self):
        return "\n".join(self.lines)

    def mark(self):
        """For wait_log(): only what comes after this."""
        return len(self.lines)

    def wait_log(self, pattern, since=0, count=1):
        """The first line that matches, once count of them do."""
        def find():
            found = [line for line in self.lines[since:]
                     if re.search(pattern, line)]
            return found[0] if len(found) >= count else None
        try:
            return wait_on(self.changed, find, f"log line {pattern}")
        except AssertionError as exc:
            raise AssertionError(f"{exc}\n{self.log}") from None

    # --- clients ---

    def connect(self, **kwargs):
        return Client(self.address, **kwargs)

    def let_in(self):
        """A client, once there is room for one."""
        def attempt():
            client = self.connect()
            if client.greeting == 220:
                return client
            client.close()
            return None
        return wait_until(attempt, "room for a client")

    def session(self, **kwargs):
        """A client that has said LHLO."""
        client = self.connect(**kwargs)
        reply = client.lhlo()
        assert reply == 250, reply
        return client
