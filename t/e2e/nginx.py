"""nginx as a mail proxy, and the mail servers behind it: IMAP, POP3 and
submission, as far as a login."""
import base64
import re
import signal
import socket
import subprocess
import threading

import servers
from ports import LOCALHOST, free_port, other_host
from waiting import TIMEOUT, wait_until

PROTOCOLS = "imap", "pop3", "smtp"
PASSWORD = "secret word"


class Connection:
    """One session of a user with a mail server."""

    def __init__(self, server, sock, protocol):
        self.server, self.sock, self.protocol = server, sock, protocol
        self.file = sock.makefile("rwb")
        self.client = None  # as the PROXY protocol tells

    def send(self, text):
        self.file.write(text.encode() + b"\r\n")
        self.file.flush()

    def line(self):
        line = self.file.readline()
        if not line:
            raise EOFError
        return line.decode().rstrip("\r\n")

    def login(self, user, password):
        """Whether it is right."""
        ok = password == PASSWORD
        if ok:
            self.server.logins.append((self.protocol, user, self.client))
        return ok

    def imap_words(self):
        """The words of a command, of which nginx makes literals."""
        words, line = [], self.line()
        while line.endswith("}"):
            start, _, size = line[:-1].rpartition("{")
            self.send("+ go on")
            words += start.split() + [self.file.read(int(size)).decode()]
            line = self.line()
        return words + line.split()

    def imap(self):
        self.send("* OK imap ready")
        while True:
            tag, command, *args = self.imap_words()
            if command.upper() == "LOGIN":
                user, password = args
                if not self.login(user, password):
                    self.send(f"{tag} NO [AUTHENTICATIONFAILED] not you")
                    continue
            self.send(f"{tag} OK done")

    def pop3(self):
        self.send("+OK pop3 ready")
        user = None
        while True:
            command, _, arg = self.line().partition(" ")
            if command == "USER":
                user = arg
            if command == "PASS" and not self.login(user, arg):
                self.send("-ERR [AUTH] not you")
                continue
            self.send("+OK done")

    def smtp(self):
        self.send("220 smtp ready")
        while True:
            command, _, arg = self.line().partition(" ")
            if command == "AUTH":
                _, user, password = base64.b64decode(
                    arg.split()[1]).decode().split("\0")
                self.send("235 2.7.0 welcome" if self.login(user, password)
                          else "535 5.7.8 not you")
            elif command == "EHLO":
                self.send("250-smtp\r\n250 AUTH PLAIN")
            else:
                self.send("250 2.0.0 done")

    def run(self):
        try:
            if self.server.proxy_protocol:
                self.client = self.line().split()[2]
            getattr(self, self.protocol)()
        except (EOFError, OSError, ValueError):
            pass
        self.file.close()
        self.sock.close()


class MailServer:
    """Writes down who has logged in: logins has (protocol, user, client)."""

    def __init__(self, host, ports):
        self.host, self.logins, self.proxy_protocol = host, [], False
        self.listeners = []
        for protocol in PROTOCOLS:
            try:
                listener = socket.create_server(
                    (host, ports[protocol]), backlog=1000,
                    family=socket.AF_INET6 if ":" in host else socket.AF_INET)
            except OSError:
                self.stop()
                raise
            self.listeners.append(listener)
            threading.Thread(target=self.accept, args=(listener, protocol),
                             daemon=True).start()

    def accept(self, listener, protocol):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            sock.settimeout(TIMEOUT * 3)
            threading.Thread(target=Connection(self, sock, protocol).run,
                             daemon=True).start()

    def stop(self):
        for listener in self.listeners:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()


def mail_servers(count):
    """Servers on addresses of their own, and the ports that all have."""
    while True:
        ports = {protocol: free_port(other_host(0)) for protocol in PROTOCOLS}
        made = []
        try:
            for number in range(count):
                made.append(MailServer(other_host(number), ports))
            return made, ports
        except OSError:  # taken there
            for server in made:
                server.stop()


class Nginx:
    """With the configuration of a page: text, at addresses of the test's."""

    def __init__(self, directory, text, pair, auth_port, extra=""):
        self.dir = directory
        self.dir.mkdir(mode=0o755)
        self.ports = {}
        for pattern, value in (
                ("/run/nginx.pid", f"{self.dir}/pid"),
                ("/var/log/nginx/error.log", f"{self.dir}/log"),
                ("/etc/ssl/mail/cert.pem", str(pair.cert)),
                ("/etc/ssl/mail/key.pem", str(pair.key)),
                ("127.0.0.1:2480", f"{LOCALHOST}:{auth_port}"),
                ("server_name", extra + "server_name")):
            assert pattern in text, pattern
            text = text.replace(pattern, value, 1)
        text = re.sub(r"listen (\d+) ssl;\s+protocol (\w+);", self.listen,
                      text)
        assert sorted(self.ports) == sorted(PROTOCOLS)
        self.config = self.dir / "nginx.conf"
        self.config.write_text(text)
        self.start()

    def listen(self, match):
        port = self.ports[match[2]] = free_port()
        return f"listen {LOCALHOST}:{port} ssl; protocol {match[2]};"

    def start(self):
        with open(self.dir / "output", "wb") as output:
            self.process = subprocess.Popen(
                [servers.find("nginx"), "-e", str(self.dir / "log"), "-c",
                 str(self.config), "-g", "daemon off;"],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output)

        def up():
            assert self.process.poll() is None, self.log()
            return all(servers.accepts((LOCALHOST, port))
                       for port in self.ports.values())
        wait_until(up, "nginx")

    def log(self):
        return "".join((self.dir / name).read_text(errors="replace")
                       for name in ("output", "log")
                       if (self.dir / name).exists())

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
