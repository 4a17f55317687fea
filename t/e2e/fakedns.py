"""A name server that answers A and AAAA from a dictionary."""

import ipaddress
import socket
import struct
import threading

A, AAAA = 1, 28
SILENT = object()   # in a zone: never answer


class Server:
    """zone: name -> list of addresses, or SILENT. A name that is not there
    does not exist (NXDOMAIN)."""

    def __init__(self, zone):
        self.zone = zone
        self.queries = []
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.sock.settimeout(0.1)
        self.port = self.sock.getsockname()[1]
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    @property
    def setting(self):
        return f"lmtp_proxy_dns_servers = 127.0.0.1:{self.port}\n"

    def stop(self):
        self.stopping.set()
        self.thread.join()
        self.sock.close()

    def run(self):
        while not self.stopping.is_set():
            try:
                query, peer = self.sock.recvfrom(4096)
            except TimeoutError:
                continue
            answer = self.answer(query)
            if answer:
                self.sock.sendto(answer, peer)

    def answer(self, query):
        labels, pos = [], 12
        while query[pos]:
            labels.append(query[pos + 1:pos + 1 + query[pos]].decode())
            pos += 1 + query[pos]
        end = pos + 5
        kind = struct.unpack(">H", query[pos + 1:pos + 3])[0]
        name = ".".join(labels).lower()
        self.queries.append((name, kind))
        addresses = self.zone.get(name)
        if addresses is SILENT:
            return None
        records = []
        for text in addresses or []:
            address = ipaddress.ip_address(text)
            if (kind, address.version) in ((A, 4), (AAAA, 6)):
                records.append(b"\xc0\x0c" + struct.pack(
                    ">HHIH", kind, 1, 60, len(address.packed)) +
                    address.packed)
        flags = 0x8580 | (3 if addresses is None else 0)
        header = query[:2] + struct.pack(">HHHHH", flags, 1, len(records),
                                         0, 0)
        return header + query[12:end] + b"".join(records)
