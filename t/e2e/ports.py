"""Addresses for servers under test.

Each run has a loopback address of its own (127.x.y.z), so that runs side by
side, and the ports that the kernel picks for outgoing connections, never get in
the way; the ports themselves are the kernel's choice.
"""
import collections
import os
import socket

_pid = os.getpid()
LOCALHOST = f"127.{100 + _pid % 100}.{_pid // 100 % 250}.{_pid // 25000 % 250 + 1}"


_given = set()
# So many are bound by us, too, so that the kernel gives them to nobody who asks
# for any: whoever was given one may not listen yet.
_kept = collections.deque(maxlen=200)


def free_port(host=LOCALHOST):
    """A port of TCP on which nobody listens, and that nobody else gets."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    while True:
        sock = socket.socket(family)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, 0))
        _kept.append(sock)
        port = sock.getsockname()[1]
        if (host, port) not in _given:
            _given.add((host, port))
            return port


def other_host(number):
    """Further addresses of this machine."""
    parts = LOCALHOST.split(".")
    return f"127.{parts[1]}.{parts[2]}.{200 + number % 50}"


def has_ipv6():
    """Whether this machine has ::1 (containers often have not)."""
    try:
        free_port("::1")
    except OSError:
        return False
    return True
