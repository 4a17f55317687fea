"""An LMTP client that does what it is told, proper or not."""

import re
import socket
import struct

from waiting import TIMEOUT


class Reply:
    """One reply, with all its lines as they came."""

    def __init__(self, lines):
        self.lines = lines
        self.code = int(lines[0][:3])
        self.texts = [line[4:] for line in lines]
        self.text = self.texts[0]
        match = re.match(r"([245]\.\d{1,3}\.\d{1,3}) ", self.text)
        self.enhanced = match.group(1) if match else ""

    def __str__(self):
        return "\n".join(self.lines)

    def __repr__(self):
        return repr(str(self))

    def __eq__(self, other):
        return str(self) == str(other)


class Closed(Exception):
    """The server closed the connection."""


class Client:
    """A connection. address: (host, port), or the path of a socket."""

    def __init__(self, address, greet=True, timeout=TIMEOUT, source=None):
        if isinstance(address, tuple):
            self.sock = socket.create_connection(
                address, timeout=timeout, source_address=source)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        else:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(timeout)
            self.sock.connect(str(address))
        self.pending = b""
        self.greeting = self.reply() if greet else None

    # --- bytes ---

    def send(self, data):
        self.sock.sendall(data.encode() if isinstance(data, str) else data)

    def line(self):
        while b"\n" not in self.pending:
            try:
                data = self.sock.recv(65536)
            except ConnectionResetError:
                data = b""
            if not data:
                raise Closed(f"in the middle of {self.pending!r}"
                             if self.pending else "closed")
            self.pending += data
        line, self.pending = self.pending.split(b"\n", 1)
        assert line.endswith(b"\r"), f"line without CR: {line!r}"
        return line[:-1].decode("utf-8", "surrogateescape")

    def at_eof(self):
        """True once the server has closed; anything else it says fails."""
        assert self.pending == b"", f"unexpected: {self.pending!r}"
        try:
            data = self.sock.recv(1000)
        except ConnectionResetError:
            return True
        assert data == b"", f"unexpected: {data!r}"
        return True

    def is_silent(self, seconds=0.2):
        """Whether nothing comes for that long."""
        if self.pending:
            return False
        timeout = self.sock.gettimeout()
        self.sock.settimeout(seconds)
        try:
            self.pending += self.sock.recv(65536)
            return False
        except TimeoutError:
            return True
        finally:
            self.sock.settimeout(timeout)

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def close(self):
        self.sock.close()

    def reset(self):
        """Closes with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                             struct.pack("ii", 1, 0))
        self.sock.close()

    # --- commands ---

    def reply(self):
        lines = [self.line()]
        while lines[-1][3:4] == "-":
            lines.append(self.line())
        assert all(re.match(r"[2-5]\d\d[ -]", line) for line in lines), lines
        return Reply(lines)

    def replies(self, count):
        return [self.reply() for _ in range(count)]

    def cmd(self, line):
        self.send(line + "\r\n" if isinstance(line, str) else line + b"\r\n")
        return self.reply()

    def ok(self, line, code=250):
        reply = self.cmd(line)
        assert reply.code == code, f"{line}: {reply}"
        return reply

    def lhlo(self, name="client.test"):
        return self.ok(f"LHLO {name}")

    def mail(self, sender="sender@example.net", params=""):
        return self.ok(f"MAIL FROM:<{sender}>{params}")

    def rcpt(self, rcpt, params=""):
        return self.cmd(f"RCPT TO:<{rcpt}>{params}")

    def start(self, *rcpts, sender="sender@example.net"):
        """LHLO, MAIL, RCPTs that must all be taken."""
        self.lhlo()
        self.envelope(*rcpts, sender=sender)
        return self

    def envelope(self, *rcpts, sender="sender@example.net"):
        self.mail(sender)
        for rcpt in rcpts:
            self.ok(f"RCPT TO:<{rcpt}>")

    def body(self, body, count=1):
        """DATA and a body in wire form, without the final dot."""
        self.ok("DATA", 354)
        self.send(body if isinstance(body, bytes) else body.encode())
        self.send(b".\r\n")
        return self.replies(count)

    def deliver(self, *rcpts, body="Subject: x\r\n\r\ntext\r\n",
                sender="sender@example.net"):
        """A whole transaction after LHLO; the replies after the dot."""
        self.envelope(*rcpts, sender=sender)
        return self.body(body, len(rcpts))

    def quit(self):
        reply = self.cmd("QUIT")
        assert reply.code == 221
        self.at_eof()
        self.close()
