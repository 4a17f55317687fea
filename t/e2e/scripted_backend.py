"""LMTP and SMTP servers that do as they are told, and write down what they
hear.

	backend.on("rcpt", "550 5.1.1 no such user")
	backend.on("data", close)            # at DATA, the connection dies
	backend.on("dot", hold, times=1)     # only for the first message

Stages: connect, lhlo, starttls, xclient, mail, rcpt, data, body (the first bytes
of the message), dot, chunk (one that is not the last), rset, noop, quit, idle (after a
transaction). What happens at a stage is a
reply ("250 2.0.0 ok", or a list of lines for one reply of several), bytes sent
as they are, or a function of (connection, argument) that returns one of these
or None, which means no reply.
"""
import contextlib
import re
import socket
import ssl
import struct
import threading

from lmtp_client import to_bytes
from ports import LOCALHOST
from waiting import TIMEOUT, wait_on

CAPABILITIES = ("PIPELINING", "ENHANCEDSTATUSCODES", "8BITMIME")


STAGES = {"connect", "lhlo", "starttls", "xclient", "mail", "rcpt", "data", "body",
          "chunk", "dot", "rset", "noop", "quit", "idle"}


class Closed(Exception):
    """The script, or the peer, ended the connection."""


def close(conn, _arg):
    """The connection ends in an orderly way (FIN)."""
    raise Closed


def reset(conn, _arg):
    """The connection is torn down (RST), as when a server is killed."""
    conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                         struct.pack("ii", 1, 0))
    raise Closed


def hold(conn, _arg):
    """Silence until backend.release(), then the usual reply."""
    conn.backend.wait_release(conn)
    return conn.backend.usual(conn.stage, conn)


@contextlib.contextmanager
def held_at_dot(proxy, backend):
    """A client with a whole message, which the backend holds until it is released."""
    backend.on("dot", hold)
    with proxy.session() as client:
        client.start_data("joe@example.org")
        client.send("x\r\n.\r\n")
        backend.wait_held()
        yield client


def silent(conn, _arg):
    """No reply at all; the connection stays."""
    return None


def slowly(reply):
    """The reply byte by byte."""
    def act(conn, _arg):
        for byte in to_bytes(reply) + b"\r\n":
            conn.send(bytes([byte]))
    return act


def then_close(reply):
    """The reply, and then the end."""
    def act(conn, _arg):
        conn.reply(reply)
        raise Closed
    return act


class Message:
    def __init__(self, sender, rcpts):
        self.sender, self.rcpts = sender, rcpts
        self.raw = bytearray()  # as on the wire, with its end
        self.chunks = []        # sizes, where it came with BDAT
        self.complete = False

    @property
    def body(self):
        """Without dot-stuffing and end."""
        assert self.complete
        if self.chunks:
            return bytes(self.raw)
        body = bytes(self.raw[:-3])
        if body.startswith(b"."):
            body = body[1:]
        return body.replace(b"\r\n.", b"\r\n")

    @property
    def text(self):
        """Without the Received: header that the proxy puts in front."""
        return re.sub(rb"\AReceived: .*?\r\n(?![ \t])", b"", self.body,
                      flags=re.S)


class Connection:
    def __init__(self, backend, sock, peer):
        self.backend, self.sock, self.peer = backend, sock, peer
        self.buffer = b""
        self.commands = []   # lines, without CRLF
        self.segments = []   # what each recv() brought
        self.messages = []   # complete or not
        self.stage = "connect"
        self.sender, self.rcpts = None, []
        self.chunking = False  # between two chunks of a message
        self.said = b""      # to us, at this stage
        self.closed = None   # "quit", "eof", "reset" or "script"
        self.tls_error = None  # why the handshake failed
        sock.settimeout(TIMEOUT * 3)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, data):
        try:
            self.sock.sendall(data)
        except OSError as exc:
            self.closed = "reset"
            raise Closed from exc
        self.said += data

    def reply(self, what):
        if isinstance(what, str):
            what = to_bytes(what) + b"\r\n"
        elif isinstance(what, (list, tuple)):
            what = b"".join(to_bytes(line) + b"\r\n" for line in what)
        self.send(what)

    def fill(self):
        try:
            data = self.sock.recv(self.backend.read_size)
        except ConnectionResetError as exc:
            self.closed = "reset"
            raise Closed from exc
        except OSError as exc:
            self.closed = self.closed or "script"
            raise Closed from exc
        if not data:
            self.closed = "eof"
            raise Closed
        self.buffer += data
        self.segments.append(data)

    def read_line(self):
        while b"\r\n" not in self.buffer:
            self.fill()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        line = line.decode("utf-8", "surrogateescape")
        with self.backend.changed:
            self.commands.append(line)
            self.backend.changed.notify_all()
        return line

    def act(self, stage, arg=""):
        """Does what the script says for this stage. Returns the code of the
        reply, 0 for none."""
        self.stage, self.said = stage, b""
        action = self.backend.action(stage, self)
        if callable(action):
            action = action(self, arg)
        if action is not None:
            self.reply(action)
        last = self.said.splitlines()[-1:] or [b""]
        return int(last[0][:3]) if last[0][:3].isdigit() else 0

    # --- TLS ---

    def handshake(self):
        try:
            self.sock = self.backend.tls.wrap_socket(self.sock,
                                                     server_side=True)
        except (OSError, ValueError) as exc:
            self.tls_error = exc
            raise Closed from exc

    @property
    def secured(self):
        return isinstance(self.sock, ssl.SSLSocket)

    def starttls(self):
        if self.act("starttls") == 220:
            self.sender, self.rcpts = None, []
            self.handshake()

    # --- the protocol ---

    def read_body(self):
        message = Message(self.sender, list(self.rcpts))
        raw = message.raw
        with self.backend.changed:
            self.messages.append(message)
        if not self.buffer:
            self.fill()
        self.act("body")
        while True:
            start = max(0, len(raw) - 4)
            raw += self.buffer
            self.buffer = b""
            end = raw.find(b"\r\n.\r\n", start) + 5
            if raw.startswith(b".\r\n"):
                end = 3
            if end != 4:
                break
            self.fill()
        self.buffer = bytes(raw[end:])
        del raw[end:]
        with self.backend.changed:
            message.complete = True
            self.backend.changed.notify_all()
        return message

    def data(self):
        if not self.rcpts:
            self.reply("503 5.5.1 no valid recipients")
            return
        if self.act("data") != 354:
            return
        self.answer(self.read_body())

    def bdat(self, line):
        _, size, *last = line.split()
        message = self.messages[-1] if self.chunking else None
        if message is None:
            message = Message(self.sender, list(self.rcpts))
            with self.backend.changed:
                self.messages.append(message)
        self.chunking = not last
        message.chunks.append(int(size))
        while len(self.buffer) < int(size):
            self.fill()
        message.raw += self.buffer[:int(size)]
        self.buffer = self.buffer[int(size):]
        if not last:
            self.act("chunk")
            return
        with self.backend.changed:
            message.complete = True
            self.backend.changed.notify_all()
        self.answer(message)

    def answer(self, message):
        for rcpt in (message.rcpts if self.backend.lmtp
                     else message.rcpts[:1]):
            self.act("dot", rcpt)
        self.sender, self.rcpts = None, []
        self.stage = "idle"
        if self.backend.has_action("idle"):
            self.act("idle")

    def rcpt(self, line):
        address = re.match(r"RCPT TO:<(.*?)>(?: |$)", line).group(1)
        if self.act("rcpt", address) // 100 == 2:
            self.rcpts.append(address)

    def mail(self, line):
        """Real servers refuse it within a transaction."""
        if self.sender is not None:
            self.reply("503 5.5.1 MAIL already given")
            return
        self.sender = re.match(r"MAIL FROM:<(.*?)>", line).group(1)
        self.rcpts = []
        if self.act("mail", line) // 100 in (4, 5):
            self.sender = None

    def command(self, line):
        verb = line[:4].upper()
        if verb in ("LHLO", "EHLO", "HELO"):
            self.sender = None
            self.act("lhlo", line)
        elif verb == "MAIL":
            self.mail(line)
        elif verb == "RCPT":
            self.rcpt(line)
        elif verb == "DATA":
            self.data()
        elif verb == "BDAT":
            self.bdat(line)
        elif verb == "RSET":
            self.sender, self.rcpts = None, []
            self.chunking = False
            self.act("rset", line)
        elif verb == "XCLI":
            self.sender = None
            self.act("xclient", line)
        elif verb == "NOOP":
            self.act("noop", line)
        elif line == "STARTTLS" and self.backend.tls and not self.secured:
            self.starttls()
        elif verb == "QUIT":
            self.closed = "quit"
            self.act("quit", line)
            raise Closed
        else:
            self.reply("500 5.5.1 unknown command")

    def run(self):
        try:
            if self.backend.tls and not self.backend.starttls:
                self.handshake()
            self.act("connect")
            while True:
                self.command(self.read_line())
        except Closed:
            pass
        finally:
            self.sock.close()
            with self.backend.changed:
                self.closed = self.closed or "script"
                self.backend.changed.notify_all()


class Backend:
    """A server on an address of its own. lmtp: False for SMTP. tls: a context,
    for TLS from the first byte, or with starttls behind that command."""

    def __init__(self, host=LOCALHOST, port=0, lmtp=True,
                 capabilities=CAPABILITIES, rcvbuf=None, accept=True,
                 tls=None, starttls=False):
        self.tls, self.starttls = tls, starttls
        self.family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.lmtp, self.capabilities = lmtp, list(capabilities)
        self.read_size = 65536
        self.changed = threading.Condition()
        self.connections = []
        self.script = {}
        self.released = threading.Event()
        self.held = 0
        self.stopped = False
        self.threads = []
        self.sock = socket.socket(self.family)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if rcvbuf:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.sock.bind((host, port))
        self.host, self.port = host, self.sock.getsockname()[1]
        self.address = (self.host, self.port)
        self.sock.listen(512)
        if accept:
            self.spawn(self.accept_loop)

    def spawn(self, function, *args):
        thread = threading.Thread(target=function, args=args, daemon=True)
        self.threads.append(thread)
        thread.start()

    def accept_loop(self):
        while True:
            try:
                sock, peer = self.sock.accept()
            except OSError:
                return
            conn = Connection(self, sock, peer)
            with self.changed:
                self.connections.append(conn)
                self.changed.notify_all()
            self.spawn(conn.run)

    # --- the script ---

    def on(self, stage, action, times=None):
        """What happens at stage, for the next times that it is reached
        (None: always, when nothing with a count is left)."""
        assert stage in STAGES, stage
        with self.changed:
            rules = self.script.setdefault(stage, [])
            if times is None:
                rules[:] = [rule for rule in rules if rule[1] is not None]
            rules.append([action, times])
        return self

    def has_action(self, stage):
        return bool(self.script.get(stage))

    def action(self, stage, conn):
        with self.changed:
            rules = self.script.get(stage, [])
            for rule in sorted(rules, key=lambda r: r[1] is None):
                if rule[1] is None:
                    return rule[0]
                rule[1] -= 1
                if rule[1] == 0:
                    rules.remove(rule)
                return rule[0]
        return self.usual(stage, conn)

    def usual(self, stage, conn):
        """What a well-behaved server says."""
        if stage == "lhlo":
            lines = ["backend.example"] + self.capabilities
            if self.starttls and not conn.secured:
                lines.append("STARTTLS")
            return [f"250{'-' if i < len(lines) - 1 else ' '}{line}"
                    for i, line in enumerate(lines)]
        return {
            "connect": f"220 backend.example {'LMTP' if self.lmtp else 'ESMTP'}",
            "starttls": "220 2.0.0 go ahead",
            "mail": "250 2.1.0 ok",
            "rcpt": "250 2.1.5 ok",
            "data": "354 go ahead",
            "dot": "250 2.0.0 delivered",
            "chunk": "250 2.0.0 more",
            "rset": "250 2.0.0 ok",
            "noop": "250 2.0.0 ok",
            "xclient": "220 backend.example again",
            "quit": "221 2.0.0 bye",
        }.get(stage)

    def wait_release(self, conn):
        with self.changed:
            self.held += 1
            self.changed.notify_all()
        self.released.wait(TIMEOUT * 3)
        with self.changed:
            self.held -= 1

    def release(self):
        """Ends every hold, now and later."""
        self.released.set()

    # --- what was heard ---

    @property
    def messages(self):
        """Complete ones."""
        return [message for conn in list(self.connections)
                for message in list(conn.messages) if message.complete]

    @property
    def commands(self):
        return [line for conn in list(self.connections)
                for line in list(conn.commands)]

    def wait_held(self, count=1):
        wait_on(self.changed, lambda: self.held >= count,
                f"{count} connections to be held, {self.held} are")

    def wait_connections(self, count=1):
        wait_on(self.changed, lambda: len(self.connections) >= count,
                f"{count} connections, got {len(self.connections)}")
        return self.connections

    def wait_messages(self, count=1):
        return wait_on(self.changed,
                       lambda: self.messages
                       if len(self.messages) >= count else None,
                       f"{count} messages")

    def wait_command(self, pattern, count=1):
        return wait_on(self.changed,
                       lambda: sum(1 for line in self.commands
                                   if re.search(pattern, line)) >= count,
                       f"command {pattern}, got {self.commands}")

    def wait_closed(self, index=-1):
        """How the connection ended."""
        conn = self.connections[index]
        return wait_on(self.changed, lambda: conn.closed, "end of connection")

    # --- end ---

    def stop(self):
        """Stops listening and closes every connection. The port is kept: the
        kernel gives it to nobody who does not ask for it by number."""
        if self.stopped:
            return
        self.stopped = True
        self.released.set()
        for sock in [self.sock] + [conn.sock for conn in self.connections]:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.sock.close()
        self.sock = socket.socket(self.family)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind((self.host, self.port))
        for thread in self.threads:
            thread.join(TIMEOUT)
