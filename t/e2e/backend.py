"""Scripted LMTP and SMTP servers, each in threads of its own.

What a backend does at a stage is an action:
  "250 2.0.0 text"   a reply (or several, with CRLF between); CRLF is added
  b"..."             bytes as they are
  SILENCE            says nothing, and goes on reading
  HANG               says nothing and reads nothing until the end
  CLOSE, RESET       ends the connection (RESET: with RST)
  EOF                half-closes: sends FIN and goes on reading
  a list             several of these, one after the other
  a function         called with the connection; returns an action

Stages: greeting, lhlo, ehlo, helo, mail, rcpt, data, body (354 is out, nothing
is read yet; default: nothing), dot (once for each accepted recipient, with
LMTP), rset, noop, quit, other.
"""

import re
import socket
import struct
import threading

from waiting import TIMEOUT, wait_for


class Token:
    def __init__(self, name):
        self.name = name

    def __repr__(self):
        return self.name


SILENCE = Token("SILENCE")
HANG = Token("HANG")
CLOSE = Token("CLOSE")
RESET = Token("RESET")
EOF = Token("EOF")

CAPS = ("PIPELINING", "ENHANCEDSTATUSCODES", "8BITMIME")


def hello(caps=CAPS, name="backend.test"):
    lines = [name, *caps]
    return "\r\n".join(["250-" + line for line in lines[:-1]] +
                       ["250 " + lines[-1]])


def sequence(*actions):
    """One after the other, at each call; the last one stays."""
    left = list(actions)

    def action(_conn):
        return left.pop(0) if len(left) > 1 else left[0]

    return action


def after(event, action):
    """Waits for the event first."""

    def wait(_conn):
        assert event.wait(TIMEOUT * 6), "event never came"
        return action

    return wait


class Gone(Exception):
    """The peer, or we, closed the connection."""


class Message:
    def __init__(self, conn, mail, rcpts, raw):
        self.conn = conn
        self.mail = mail    # the command
        self.rcpts = rcpts  # the accepted commands
        self.raw = raw      # as received, without the final ".CRLF"

    @property
    def sender(self):
        return path_of(self.mail)

    @property
    def recipients(self):
        return [path_of(rcpt) for rcpt in self.rcpts]

    @property
    def body(self):
        """Without dot-stuffing."""
        return re.sub(rb"(^|\r\n)\.", rb"\1", self.raw)


def path_of(command):
    return re.match(r"(?:MAIL FROM|RCPT TO):<(.*?)>( |$)", command).group(1)


class Connection:
    """One accepted connection, with everything that was heard on it."""

    def __init__(self, backend, sock, peer):
        self.backend = backend
        self.sock = sock
        self.peer = peer
        self.commands = []
        self.messages = []
        self.received = bytearray()
        self.pending = b""
        self.ended = None   # "quit", "eof", "reset", "closed" (by us)
        self.mail = None
        self.rcpts = []
        self.rcpt = None    # the one that "rcpt" or "dot" is about
        self.thread = threading.Thread(target=self.run, daemon=True)

    # --- for scripts ---

    def send(self, data):
        try:
            self.sock.sendall(data)
        except OSError:
            raise Gone("reset") from None

    def read(self, size=65536):
        """Reads some bytes into pending."""
        try:
            data = self.sock.recv(size)
        except OSError:
            raise Gone("reset") from None
        if not data:
            raise Gone("eof")
        self.received += data
        self.pending += data

    def close(self, reset=False):
        if reset:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                 struct.pack("ii", 1, 0))
        # shutdown() also wakes a thread that reads; RST needs a plain close.
        if not reset:
            try:
                self.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.sock.close()

    # --- the protocol ---

    def line(self):
        while b"\r\n" not in self.pending:
            self.read()
        line, self.pending = self.pending.split(b"\r\n", 1)
        return line.decode("utf-8", "surrogateescape")

    def perform(self, action):
        """Carries out an action. Returns the first digit of a reply, or ''."""
        if callable(action):
            return self.perform(action(self))
        if isinstance(action, list):
            return [self.perform(one) for one in action][-1]
        if action is None or action is SILENCE:
            return ""
        if action is HANG:
            self.backend.stopped.wait()
            raise Gone("closed")
        if action in (CLOSE, RESET):
            self.close(action is RESET)
            raise Gone("closed")
        if action is EOF:
            self.sock.shutdown(socket.SHUT_WR)
            return ""
        if isinstance(action, str):
            action = action.encode("utf-8", "surrogateescape") + b"\r\n"
        self.send(action)
        return action[:1].decode("latin-1")

    def stage(self, name):
        return self.perform(self.backend.on[name])

    def read_body(self):
        """Everything up to CRLF.CRLF, and nothing else ends it."""
        body = bytearray(self.pending)
        self.pending = b""
        scanned = 0
        while True:
            if body.startswith(b".\r\n"):
                end = 0
                break
            end = body.find(b"\r\n.\r\n", scanned)
            if end >= 0:
                end += 2
                break
            scanned = max(0, len(body) - 4)
            try:
                self.read()
            finally:
                body += self.pending
                self.pending = b""
                self.partial = body
        self.pending = bytes(body[end + 3:])
        return bytes(body[:end])

    def data(self):
        mail, rcpts = self.mail, self.rcpts
        if self.stage("data") != "3":
            return
        self.stage("body")
        raw = self.read_body()
        self.mail, self.rcpts = None, []
        message = Message(self, mail, rcpts, raw)
        with self.backend.lock:
            self.messages.append(message)
        replies = rcpts if self.backend.protocol == "lmtp" else rcpts[:1]
        for self.rcpt in replies:
            self.stage("dot")

    def command(self, line):
        self.commands.append(line)
        verb = line.split(" ")[0].lower()
        if verb == "mail":
            if self.stage("mail") == "2":
                self.mail = line
        elif verb == "rcpt":
            self.rcpt = line
            if self.stage("rcpt") == "2":
                self.rcpts.append(line)
        elif verb == "data":
            self.data()
        elif verb == "rset":
            self.mail, self.rcpts = None, []
            self.stage("rset")
        elif verb == "quit":
            self.stage("quit")
            self.close()
            raise Gone("quit")
        else:
            self.stage(verb if verb in self.backend.on else "other")

    def run(self):
        try:
            self.stage("greeting")
            while True:
                self.command(self.line())
        except Gone as gone:
            self.ended = str(gone)
        except OSError:
            self.ended = "reset"
        self.sock.close()


class Backend:
    """A server on a port of its own. stages: actions by stage."""

    def __init__(self, protocol="lmtp", caps=CAPS, host="127.0.0.1", port=0,
                 rcvbuf=0, **stages):
        self.protocol = protocol
        self.on = {
            "greeting": "220 backend.test ready",
            "lhlo": hello(caps) if protocol == "lmtp" else "500 what?",
            "ehlo": hello(caps) if protocol == "smtp" else "500 what?",
            "helo": "250 backend.test" if protocol == "smtp" else "500 what?",
            "mail": "250 2.1.0 sender ok",
            "rcpt": "250 2.1.5 recipient ok",
            "data": "354 go on",
            "body": SILENCE,
            "dot": "250 2.0.0 delivered",
            "rset": "250 2.0.0 reset",
            "noop": "250 2.0.0 ok",
            "quit": "221 2.0.0 bye",
            "other": "500 5.5.1 unknown",
        }
        assert set(stages) <= set(self.on), set(stages) - set(self.on)
        self.on.update(stages)
        self.lock = threading.RLock()
        self.stopped = threading.Event()
        self.connections = []
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.listener = socket.socket(family)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if rcvbuf:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF,
                                     rcvbuf)
        self.listener.bind((host, port))
        self.listener.listen(128)
        self.host, self.port = self.listener.getsockname()[:2]
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def accept(self):
        while not self.stopped.is_set():
            try:
                sock, peer = self.listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            conn = Connection(self, sock, peer)
            with self.lock:
                self.connections.append(conn)
            conn.thread.start()

    def stop(self):
        """Stops listening and closes every connection."""
        self.stopped.set()
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        self.thread.join(TIMEOUT)
        for conn in list(self.connections):
            conn.close()

    # --- what was heard ---

    @property
    def messages(self):
        with self.lock:
            return [message for conn in self.connections
                    for message in conn.messages]

    def commands(self, verb=""):
        """All commands that start with verb, in order by connection."""
        return [line for conn in list(self.connections)
                for line in list(conn.commands) if line.startswith(verb)]

    def wait_message(self, count=1):
        wait_for(lambda: len(self.messages) >= count, f"message {count}")
        return self.messages[count - 1]

    def wait_command(self, verb, count=1):
        return wait_for(lambda: len(self.commands(verb)) >= count and
                        self.commands(verb), f"{verb} at the backend")

    def wait_connections(self, count=1):
        wait_for(lambda: len(self.connections) >= count,
                 f"{count} connections")
        return self.connections[count - 1]

    def wait_ended(self, index=0):
        return wait_for(lambda: len(self.connections) > index and
                        self.connections[index].ended,
                        f"the end of connection {index}")

    def open_connections(self):
        return [conn for conn in list(self.connections) if not conn.ended]
