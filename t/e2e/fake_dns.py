"""A DNS server that answers what a test wants (A and AAAA, over UDP)."""
import ipaddress
import socket
import struct
import threading

from ports import LOCALHOST
from waiting import TIMEOUT, wait_on

TYPE_A, TYPE_AAAA = 1, 28
NOERROR, SERVFAIL, NXDOMAIN = 0, 2, 3


class FakeDns:
    """zone: name -> list of addresses; dns.fail[name] = SERVFAIL or "drop"."""

    def __init__(self, zone=None, ttl=60, port=0):
        self.zone = dict(zone or {})
        self.fail = {}
        self.ttl = ttl
        self.queries = []
        self.changed = threading.Condition()
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((LOCALHOST, port))
        self.server = f"{LOCALHOST}:{self.sock.getsockname()[1]}"
        self.closing = False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    @staticmethod
    def parse(query):
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += 1 + query[at]
        kind, = struct.unpack("!H", query[at + 1:at + 3])
        return ".".join(labels).lower(), kind, query[12:at + 5]

    def records(self, name, kind):
        version = {TYPE_A: 4, TYPE_AAAA: 6}.get(kind)
        return [ipaddress.ip_address(text).packed
                for text in self.zone.get(name, [])
                if ipaddress.ip_address(text).version == version]

    def answer(self, query):
        name, kind, question = self.parse(query)
        with self.changed:
            self.queries.append((name, kind))
            self.changed.notify_all()
        fail = self.fail.get(name)
        if fail == "drop":
            return None
        code = fail or (NOERROR if name in self.zone else NXDOMAIN)
        records = [] if code else self.records(name, kind)
        reply = query[:2] + struct.pack("!HHHHH", 0x8580 | code, 1,
                                        len(records), 0, 0) + question
        for data in records:
            reply += struct.pack("!HHHIH", 0xc00c, kind, 1, self.ttl,
                                 len(data)) + data
        return reply

    def run(self):
        while True:
            query, peer = self.sock.recvfrom(4096)
            if self.closing:
                return
            reply = self.answer(query)
            if reply is not None:
                self.sock.sendto(reply, peer)

    def wait_query(self, name, count=1):
        wait_on(self.changed,
                lambda: sum(1 for q in self.queries if q[0] == name) >= count,
                f"DNS query for {name}")

    def stop(self):
        self.closing = True
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"stop", self.sock.getsockname())
        self.thread.join(TIMEOUT)
        self.sock.close()
