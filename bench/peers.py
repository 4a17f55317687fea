"""The contestants, and what stands around them: smtp-sink, smtp-source."""
import hashlib
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
IS_ROOT = os.geteuid() == 0
HOST = "127.0.0.1"


def find(program):
    path = shutil.which(program, path=PATH)
    if path is None:
        raise SystemExit(f"bench: {program} is not installed")
    return path


def free_port():
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        return sock.getsockname()[1]


def wait_for_port(port, process, output, seconds=30):
    end = time.monotonic() + seconds
    while True:
        with socket.socket() as sock:
            if sock.connect_ex((HOST, port)) == 0:
                return
        if process.poll() is not None or time.monotonic() > end:
            raise SystemExit(f"bench: {process.args} did not start: " +
                             output.read_text(errors="replace"))
        time.sleep(0.01)


def pinned(cpu, command):
    """The command, on that CPU only (None: anywhere)."""
    return command if cpu is None else \
        ["taskset", "-c", str(cpu)] + [str(word) for word in command]


class Server:
    """A process with a port and a directory of its own."""

    def __init__(self, directory, cpu):
        self.dir = pathlib.Path(directory)
        self.dir.mkdir(mode=0o755)
        self.cpu = cpu
        self.port = free_port()
        self.process = None

    def launch(self, command, stdout="out", **kwargs):
        with open(self.dir / stdout, "wb") as out:
            self.process = subprocess.Popen(
                pinned(self.cpu, command), stdin=subprocess.DEVNULL,
                stdout=out, stderr=subprocess.STDOUT, **kwargs)
        wait_for_port(self.port, self.process, self.dir / stdout)

    @property
    def pid(self):
        return self.process.pid

    def stop(self):
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Sink(Server):
    """smtp-sink, counting; with dump, it keeps every message."""

    def __init__(self, directory, cpu, dump=False):
        super().__init__(directory, cpu)
        os.chmod(self.dir, 0o777)
        command = [find("smtp-sink"), "-L", "-c", "-m", "5000"]
        if dump:
            command += ["-D", str(self.dir / "dump")]
        if IS_ROOT:
            command += ["-u", "nobody"]
        self.launch(command + [f"{HOST}:{self.port}", "4096"])

    def count(self):
        """Messages received since the start."""
        with open(self.dir / "out", "rb") as file:
            file.seek(max(0, os.path.getsize(self.dir / "out") - 100))
            found = re.findall(rb"mesg=(\d+)", file.read())
        return int(found[-1]) if found else 0

    def messages(self):
        """Of a sink that dumps: (Message-Id, hash of the payload) of each."""
        text = (self.dir / "dump").read_bytes()
        for part in text.split(b"X-Client-Addr: ")[1:]:
            head, _, payload = part.partition(b"\n\n")
            ident = re.search(rb"Message-Id: (\S+)", head).group(1)
            yield ident, hashlib.sha256(payload).hexdigest()


class ChunkSink(Sink):
    """bench/sink, which can do BDAT; it keeps nothing."""

    def __init__(self, directory, cpu, program, chunking):
        Server.__init__(self, directory, cpu)
        self.launch([program] + ["-c"] * chunking + [HOST, str(self.port)])


class TlsFront(Server):
    """HAProxy before a sink, so that there is one that speaks TLS."""

    def __init__(self, directory, cpu, sink, pem):
        super().__init__(directory, cpu)
        self.count = sink.count
        haproxy(self, f" ssl crt {pem}", sink.port)


def make_pem(directory):
    """Certificate (P-256) and key in one file, which HAProxy wants."""
    pem, key = pathlib.Path(directory) / "pem", pathlib.Path(directory) / "key"
    subprocess.run(
        [find("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
         "/CN=bench.example", "-keyout", str(key), "-out", str(pem)],
        check=True, capture_output=True)
    with open(pem, "ab") as file:
        file.write(key.read_bytes())
    pem.chmod(0o644)
    return pem


class Tls:
    """Who speaks TLS: the clients, the servers."""

    def __init__(self, pem=None, clients=False, servers=False):
        self.pem, self.clients, self.servers = pem, clients, servers

    def listener(self):
        return "    ssl = yes\n" if self.clients else ""

    def settings(self):
        return (f"ssl = yes\nssl_cert = <{self.pem}\nssl_key = <{self.pem}\n"
                if self.clients else "")

    def fields(self):
        return " ssl=any-cert" if self.servers else ""


# --- contestants ---

def haproxy(server, bind, port, options=""):
    """TCP mode, to one port; bind and options: of either side's TLS."""
    config = server.dir / "haproxy.cfg"
    config.write_text(
        "global\n  maxconn 8000\n  nbthread 1\n"
        "defaults\n  mode tcp\n  timeout connect 5s\n"
        "  timeout client 5m\n  timeout server 5m\n"
        f"frontend in\n  bind {HOST}:{server.port}{bind}\n"
        "  default_backend out\n"
        f"backend out\n  server sink {HOST}:{port}{options}\n")
    server.launch([find("haproxy"), "-db", "-f", str(config)])


class HAProxy(Server):
    """It only copies bytes, to one server."""
    name = "haproxy"
    title = "HAProxy TCP"
    routes = False

    def __init__(self, directory, cpu, sinks, _users, _options, tls=Tls()):
        super().__init__(directory, cpu)
        haproxy(self, f" ssl crt {tls.pem}" if tls.clients else "",
                sinks[0].port, " ssl verify none" if tls.servers else "")


def passdb(sinks, users, tls):
    """Static for one sink, a passwd-file (the same for all) for more."""
    if users is None:
        return ("passdb {\n  driver = static\n  args = nopassword=y proxy=y "
                f"host={HOST} port={sinks[0].port}{tls.fields()}\n}}\n")
    return f"passdb {{\n  driver = passwd-file\n  args = {users}\n}}\n"


class Dovecot(Server):
    """Its LMTP proxy, with the settings that Debian ships."""
    name = "dovecot"
    title = "Dovecot 2.3"
    routes = True

    def __init__(self, directory, cpu, sinks, users, _options, tls=Tls()):
        super().__init__(directory, cpu)
        me = pwd.getpwuid(os.getuid()).pw_name
        config = self.dir / "dovecot.conf"
        config.write_text(
            f"base_dir = {self.dir}/run\nstate_dir = {self.dir}/state\n"
            f"log_path = {self.dir}/log\nprotocols = lmtp\nssl = no\n"
            f"default_internal_user = {'dovecot' if IS_ROOT else me}\n"
            f"default_login_user = {'dovenull' if IS_ROOT else me}\n"
            "mail_location = maildir:~/Maildir\n"
            "default_process_limit = 3000\n"
            "default_client_limit = 10000\ndefault_vsz_limit = 0\n"
            "service anvil {\n  chroot =\n}\nservice stats {\n  chroot =\n}\n"
            f"service lmtp {{\n  inet_listener lmtp {{\n"
            f"    address = {HOST}\n    port = {self.port}\n{tls.listener()}  }}\n}}\n"
            "lmtp_proxy = yes\n" + tls.settings() +
            passdb(sinks, users, tls))
        if not IS_ROOT:
            with open(config, "a") as file:
                file.write("default_internal_group = "
                           f"{__import__('grp').getgrgid(os.getgid())[0]}\n")
        (self.dir / "state").mkdir()
        self.launch([find("dovecot"), "-F", "-c", str(config)])


class Waypost(Server):
    name = "waypost"
    title = "waypost"
    routes = True

    def __init__(self, directory, cpu, sinks, users, options, tls=Tls()):
        super().__init__(directory, cpu)
        config = self.dir / "waypost.conf"
        config.write_text(
            f"base_dir = {self.dir}/run\nlog_path = {self.dir}/log\n"
            "protocols = lmtp\nlmtp_proxy = yes\n"
            "default_internal_user = nobody\n"
            f"service lmtp {{\n  process_min_avail = {options.threads}\n"
            "  client_limit = 20000\n  inet_listener lmtp {\n"
            f"    address = {HOST}\n    port = {self.port}\n{tls.listener()}  }}\n}}\n" +
            tls.settings() + passdb(sinks, users, tls))
        config.chmod(0o644)
        self.launch([options.waypost, "-F", "-c", str(config)])


class Scraped(Waypost):
    """Somebody asks for its metrics each second."""
    name = "scraped"
    title = "waypost, scraped"

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.over = threading.Event()
        self.scraper = threading.Thread(target=self.scrape, daemon=True)
        self.scraper.start()

    def ask(self):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(self.dir / "run" / "ctl"))
            sock.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            answer = b""
            while data := sock.recv(65536):
                answer += data
        if b"waypost_messages_total" not in answer:
            raise SystemExit("bench: no metrics")

    def scrape(self):
        while not self.over.wait(1):
            self.ask()

    def stop(self):
        self.over.set()
        self.scraper.join()
        super().stop()


CONTESTANTS = {cls.name: cls for cls in (HAProxy, Dovecot, Waypost, Scraped)}


# --- load ---

def source(port, cpu, messages, sessions, size, rcpts, keep):
    """Sends with smtp-source, which fails at the first unexpected reply."""
    command = [find("smtp-source"), "-L", "-4", "-C", "20",
               "-m", messages, "-s", sessions, "-l", size, "-r", rcpts,
               "-f", "sender@example.net", "-t", "user@example.org"]
    if keep:
        command.append("-d")
    result = subprocess.run(
        [str(word) for word in pinned(cpu, command + [f"{HOST}:{port}"])],
        stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if result.returncode != 0:
        raise SystemExit("bench: smtp-source failed: " +
                         result.stderr.decode())


def source_rcpts(count):
    """The recipients that smtp-source makes."""
    return ["user@example.org"] + [f"{n}user@example.org"
                                   for n in range(2, count + 1)]
