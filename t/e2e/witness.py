"""Who is active at real LMTP servers, and when: seen by relays in front of them."""
import collections
import contextlib
import re
import socket
import threading


class Ledger:
    """Of all servers. A user is active from RCPT, before the server has it, to the
    reply to the message, before the client has that, or the end of the connection."""

    def __init__(self):
        self.lock = threading.Lock()
        self.active = collections.defaultdict(list)  # connections
        self.overlaps = []
        self.visits = 0
        self.unheard = set()  # hosts whom nobody hears
        self.dead = set()  # connections to such a host

    def came(self, user, conn):
        with self.lock:
            if conn.host in self.unheard:
                self.dead.add(conn)
            self.visits += 1
            here = self.active[user]
            here.append(conn)
            places = {c.host for c in here if c not in self.dead}
            if len(places) > 1:
                self.overlaps.append((user, places))

    def left(self, user, conn):
        with self.lock, contextlib.suppress(ValueError):
            self.active[user].remove(conn)

    def gone(self, conn):
        with self.lock:
            for here in self.active.values():
                here[:] = [c for c in here if c is not conn]

    def unhear(self, host):
        """What it does from now on is not waited for, nor what it has begun."""
        with self.lock:
            self.unheard.add(host)
            self.dead |= {c for here in self.active.values() for c in here
                          if c.host == host}

    def hear(self, host):
        with self.lock:
            self.unheard.discard(host)


class Conversation:
    """One connection; both directions are read by threads of their own."""

    def __init__(self, ledger, host, client, server):
        self.ledger, self.host = ledger, host
        self.sockets = (client, server)
        self.lock = threading.Lock()
        self.asked = collections.deque([("greeting", None)])
        self.accepted = []
        self.said, self.answered = b"", b""
        self.body, self.chunk = False, 0

    def client_says(self, data):
        self.said += data
        while self.said:
            if self.chunk:
                count = min(self.chunk, len(self.said))
                self.said, self.chunk = self.said[count:], self.chunk - count
                continue
            line, end, rest = self.said.partition(b"\r\n")
            if not end:
                return
            self.said = rest
            if not self.body:
                self.command(line.decode("latin-1"))
            elif line == b".":
                self.body = False
                self.asked.append(("message", None))

    def command(self, line):
        words = line.split()
        verb = words[0].upper() if words else ""
        user = None
        if verb == "RCPT":
            user = re.search("<(.*?)>", line)[1]
            self.ledger.came(user, self)
        elif verb in ("RSET", "MAIL"):
            self.ledger.gone(self)
            self.accepted.clear()
        elif verb == "BDAT":
            self.chunk = int(words[1])
            if words[-1].upper() == "LAST":
                verb = "message"
        self.asked.append((verb, user))

    def server_says(self, data):
        *lines, self.answered = (self.answered + data).split(b"\r\n")
        for line in lines:
            if line[3:4] != b"-":
                self.reply(line.decode("latin-1"))

    def reply(self, line):
        if not self.asked:  # 421, out of turn
            return
        verb, user = self.asked[0]
        if verb == "message" and self.accepted:
            self.ledger.left(self.accepted.pop(0), self)
            if self.accepted:
                return
        self.asked.popleft()
        if verb == "RCPT" and line.startswith("2"):
            self.accepted.append(user)
        elif verb == "RCPT":
            self.ledger.left(user, self)
        elif verb == "DATA" and line.startswith("354"):
            self.body = True

    def pass_on(self, source, sink, hear):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                with self.lock:
                    hear(data)
                sink.sendall(data)
        self.ledger.gone(self)
        for sock in self.sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def start(self):
        client, server = self.sockets
        for args in ((client, server, self.client_says),
                     (server, client, self.server_says)):
            threading.Thread(target=self.pass_on, args=args,
                             daemon=True).start()


class Witness:
    """In front of a server that is on the same host, at port."""

    def __init__(self, ledger, host, port, target):
        self.ledger, self.host, self.target = ledger, host, target
        self.listener = socket.create_server((host, port), backlog=100)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self.target)
            except OSError:
                client.close()
                continue
            Conversation(self.ledger, self.host, client, server).start()

    def stop(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
