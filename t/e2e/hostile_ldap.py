"""An LDAP server that does what a test says, right or wrong.

A script is a function that is called with each connection, in a thread of its
own. What it writes is made of the pieces below, or is any bytes at all.
"""
import contextlib
import socket
import threading

from ports import LOCALHOST

BIND, SEARCH, EXTENDED, UNBIND = 0x60, 0x63, 0x77, 0x42
BIND_RESULT, ENTRY, DONE, REFERENCE, EXTENDED_RESULT, INTERMEDIATE = \
    0x61, 0x64, 0x65, 0x73, 0x78, 0x79
SUCCESS, PROTOCOL_ERROR, REFERRAL, IN_PROGRESS, NO_OBJECT, \
    INVALID_CREDENTIALS, BUSY = 0, 2, 10, 14, 32, 49, 51
NOTICE_OF_DISCONNECTION = b"1.3.6.1.4.1.1466.20036"
START_TLS = b"1.3.6.1.4.1.1466.20037"


# --- BER ---

def ber(tag, *parts):
    """An element. Strings are UTF-8."""
    body = b"".join(p.encode() if isinstance(p, str) else p for p in parts)
    return bytes([tag, 0x84]) + len(body).to_bytes(4, "big") + body


def message(number, *ops):
    """number: an id, or the bytes of what stands in its place."""
    if isinstance(number, int):
        number = number.to_bytes(4, "big", signed=True)
    return ber(0x30, ber(0x02, number), *ops)


def result(number, kind=DONE, code=SUCCESS, matched="", text="", more=b""):
    return message(number, ber(kind, bytes([0x0a, 1, code]),
                               ber(0x04, matched), ber(0x04, text), more))


def entry(number, dn, attributes):
    """attributes: a dictionary of values, or lists of them."""
    parts = []
    for name, values in attributes.items():
        if isinstance(values, (str, bytes)):
            values = [values]
        parts.append(ber(0x30, ber(0x04, name),
                         ber(0x31, *(ber(0x04, v) for v in values))))
    return message(number, ber(ENTRY, ber(0x04, dn), ber(0x30, *parts)))


def reference(number, url="ldap://127.0.0.1:1/dc=elsewhere"):
    return message(number, ber(REFERENCE, ber(0x04, url)))


def notice(number=0, text="go away"):
    """What a server says before it ends a connection."""
    return result(number, EXTENDED_RESULT, 52, text=text,
                  more=ber(0x8a, NOTICE_OF_DISCONNECTION))


def take(data):
    """The first element of data: tag, contents, the rest. None: there is
    more to come."""
    if len(data) < 2:
        return None
    octets = data[1] & 0x7f if data[1] & 0x80 else 0
    if len(data) < 2 + octets:
        return None
    size = int.from_bytes(data[2:2 + octets], "big") if octets else data[1]
    end = 2 + octets + size
    return (data[0], data[2 + octets:end], data[end:]) \
        if len(data) >= end else None


class Request:
    def __init__(self, body):
        _, number, rest = take(body)
        self.id = int.from_bytes(number, "big")
        self.kind, self.body, _ = take(rest)

    def __contains__(self, text):
        """Whether a name or value is in it."""
        return text.encode() in self.body


class Connection:
    """What a script works with."""

    def __init__(self, server, sock):
        self.server, self.sock = server, sock
        self.data = b""

    def request(self):
        """The next one; ends the script when there is none."""
        while (found := take(self.data)) is None:
            more = self.sock.recv(65536)
            if not more:
                raise ConnectionError
            self.data += more
        self.data = found[2]
        request = Request(found[1])
        if request.kind == UNBIND:
            raise ConnectionError
        with self.server.changed:
            self.server.requests.append(request)
            self.server.changed.notify_all()
        return request

    def batch(self):
        """All that have come by now, at least one."""
        requests = [self.request()]
        while take(self.data):
            requests.append(self.request())
        return requests

    def bind(self):
        """Lets the client in."""
        request = self.request()
        assert request.kind == BIND, hex(request.kind)
        self.send(result(request.id, BIND_RESULT))

    def search(self):
        """The same, and the first search."""
        self.bind()
        return self.request()

    def send(self, data):
        self.sock.sendall(data)

    def until_closed(self):
        """Reads, and says nothing, as long as the client stays."""
        while self.sock.recv(65536):
            pass

    def wait(self):
        """Does not even read, until the server stops."""
        self.server.over.wait()


class LdapScript:
    """script: see above. tls: an ssl.SSLContext for connections that are TLS
    from the start."""

    def __init__(self, script, tls=None):
        self.script, self.tls = script, tls
        self.listener = socket.create_server((LOCALHOST, 0))
        self.port = self.listener.getsockname()[1]
        self.url = f"ldap{'s' if tls else ''}://{LOCALHOST}:{self.port}"
        self.over = threading.Event()
        self.changed = threading.Condition()
        self.count = 0  # of connections
        self.requests = []
        self.problems = []
        self.sockets = []
        self.serving = 0  # connections that are there now
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            with self.changed:
                self.count += 1
                self.sockets.append(sock)
                self.changed.notify_all()
            threading.Thread(target=self.serve, args=(sock,),
                             daemon=True).start()

    def serve(self, sock):
        with self.changed:
            self.serving += 1
        self.run(sock)
        with self.changed:
            self.serving -= 1

    def run(self, sock):
        try:
            if self.tls:
                sock = self.tls.wrap_socket(sock, server_side=True)
            self.script(Connection(self, sock))
        except OSError:
            pass  # the client left, or the test is over
        except Exception as exc:
            self.problems.append(exc)
            raise
        # Not before what was sent can have arrived.
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(65536):
                pass
        sock.close()

    def stop(self):
        self.over.set()
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for sock in self.sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            if sock.fileno() >= 0:
                sock.close()
        assert not self.problems, self.problems


class Directory:
    """A script that answers as it should: everybody lives on backend. But for
    joe, if there is something else: hostile(connection, request)."""

    def __init__(self, backend, hostile=None):
        self.backend, self.hostile = backend, hostile

    def attributes(self, **more):
        return {"host": self.backend.host,
                "telephoneNumber": str(self.backend.port), **more}

    def answer(self, request, **more):
        return entry(request.id, "uid=x,dc=org", self.attributes(**more)) + \
            result(request.id)

    def __call__(self, connection):
        connection.bind()
        while True:
            request = connection.request()
            if self.hostile and "joe@" in request:
                self.hostile(connection, request)
            else:
                connection.send(self.answer(request))
