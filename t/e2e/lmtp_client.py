"""An LMTP client that can do everything that clients do, right and wrong."""
import socket
import struct

from waiting import TIMEOUT


class Reply:
    """code, enhanced ("2.1.0" or ""), lines (texts without codes), text."""

    def __init__(self, raw_lines):
        self.raw = raw_lines
        self.code = int(raw_lines[0][:3])
        self.lines = [line[4:] for line in raw_lines]
        first, _, rest = self.lines[-1].partition(" ")
        parts = first.split(".")
        self.enhanced = ""
        self.text = self.lines[-1]
        if len(parts) == 3 and all(p.isdigit() for p in parts):
            self.enhanced, self.text = first, rest

    def __eq__(self, other):
        """A reply equals its code, or the start of its last line."""
        if isinstance(other, int):
            return self.code == other
        return self.raw[-1].startswith(other)

    def __repr__(self):
        return f"Reply({self.raw!r})"


class Disconnected(Exception):
    """The server closed the connection."""


def to_bytes(data):
    return data.encode("utf-8") if isinstance(data, str) else bytes(data)


def dot_stuff(body):
    """The wire form of a message, with its end."""
    body = to_bytes(body)
    if body.startswith(b"."):
        body = b"." + body
    body = body.replace(b"\r\n.", b"\r\n..")
    if body and not body.endswith(b"\r\n"):
        body += b"\r\n"
    return body + b".\r\n"


class Client:
    def __init__(self, address, greeting=True, source=None, rcvbuf=None,
                 tls=None, **tls_options):
        """address: (host, port) or the path of a UNIX socket. tls: a context,
        for TLS from the first byte."""
        if isinstance(address, str):
            self.sock = socket.socket(socket.AF_UNIX)
        else:
            family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
            self.sock = socket.socket(family)
            if rcvbuf:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF,
                                     rcvbuf)
            if source:
                self.sock.bind((source, 0))
        self.sock.settimeout(TIMEOUT)
        self.sock.connect(address)
        if not isinstance(address, str):
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        if tls:
            self.handshake(tls, **tls_options)
        self.greeting = self.reply() if greeting else None

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    # --- bytes ---

    def send(self, data):
        self.sock.sendall(to_bytes(data))

    def send_slowly(self, data):
        """Byte by byte, each in a segment of its own."""
        for byte in to_bytes(data):
            self.sock.sendall(bytes([byte]))

    def line(self):
        while b"\n" not in self.buffer:
            try:
                data = self.sock.recv(65536)
            except ConnectionResetError:
                data = b""
            if not data:
                raise Disconnected(f"after {self.buffer!r}")
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        assert line.endswith(b"\r"), f"bare LF in {line!r}"
        return line[:-1].decode("utf-8", "surrogateescape")

    def reply(self):
        lines = [self.line()]
        assert len(lines[0]) >= 3 and lines[0][:3].isdigit(), lines
        while lines[-1][3:4] == "-":
            lines.append(self.line())
            assert lines[-1][:3] == lines[0][:3], lines
        return Reply(lines)

    def replies(self, count):
        return [self.reply() for _ in range(count)]

    def expect_closed(self):
        """Nothing more comes, and the server closes."""
        try:
            line = self.line()
        except Disconnected:
            return
        raise AssertionError(f"expected the end of the session, got {line!r}")

    def expect_silence(self, seconds=0.2):
        """Nothing comes for a while."""
        self.sock.settimeout(seconds)
        try:
            data = self.buffer or self.sock.recv(1)
        except (socket.timeout, TimeoutError):
            return
        finally:
            self.sock.settimeout(TIMEOUT)
        raise AssertionError(f"expected silence, got {data!r}")

    # --- commands ---

    def command(self, line):
        self.send(to_bytes(line) + b"\r\n")
        return self.reply()

    def pipeline(self, *lines):
        """All in one segment; the replies in order."""
        self.send(b"".join(to_bytes(line) + b"\r\n" for line in lines))
        return self.replies(len(lines))

    def lhlo(self, name="client.example"):
        return self.command(f"LHLO {name}")

    def mail(self, sender="sender@example.net", params=""):
        return self.command(f"MAIL FROM:<{sender}>{params}")

    def rcpt(self, address, params=""):
        return self.command(f"RCPT TO:<{address}>{params}")

    def begin(self, *rcpts, sender="sender@example.net"):
        """A transaction; all recipients must be accepted."""
        reply = self.mail(sender)
        assert reply == 250, reply
        for rcpt in rcpts:
            reply = self.rcpt(rcpt)
            assert reply == 250, reply

    def start_data(self, *rcpts, **kwargs):
        """The same up to DATA; what is sent next is the body."""
        self.begin(*rcpts, **kwargs)
        reply = self.command("DATA")
        assert reply == 354, reply

    def data(self, body, count):
        """DATA and body; count replies."""
        reply = self.command("DATA")
        assert reply == 354, reply
        self.send(dot_stuff(body))
        return self.replies(count)

    def deliver(self, rcpts, body="Subject: hi\r\n\r\nhello\r\n",
                sender="sender@example.net"):
        """A whole transaction; all recipients must be accepted. Returns the
        reply of each."""
        if isinstance(rcpts, str):
            rcpts = [rcpts]
        self.begin(*rcpts, sender=sender)
        return self.data(body, len(rcpts))

    # --- TLS ---

    def handshake(self, tls, name="proxy.example", session=None):
        """Goes on under TLS; name is sent, and must be the server's."""
        self.sock = tls.wrap_socket(self.sock, server_hostname=name,
                                    session=session,
                                    suppress_ragged_eofs=False)

    def starttls(self, tls, **options):
        reply = self.command("STARTTLS")
        assert reply == "220 2.0.0 ", reply
        assert not self.buffer
        self.handshake(tls, **options)

    # --- leaving ---

    def quit(self):
        reply = self.command("QUIT")
        self.expect_closed()
        self.close()
        return reply

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def close(self):
        self.sock.close()

    def reset(self):
        """Closes with RST, as a client that dies does."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                             struct.pack("ii", 1, 0))
        self.sock.close()
