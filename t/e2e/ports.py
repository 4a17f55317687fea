"""Addresses for servers under test.

Each run has a loopback address of its own (127.x.y.z), so that runs side by
side, and the ports that the kernel picks for outgoing connections, never get in
the way; the ports themselves are the kernel's choice.
"""
import os
import socket

_pid = os.getpid()
LOCALHOST = f"127.{100 + _pid % 100}.{_pid // 100 % 250}.{_pid // 25000 % 250 + 1}"


_given = set()


def free_port(host=LOCALHOST, kind=socket.SOCK_STREAM):
    """A port on which nobody listens, and that nobody was given before: whoever
    was may not listen yet."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    while True:
        with socket.socket(family, kind) as sock:
            sock.bind((host, 0))
            port = sock.getsockname()[1]
        if (host, kind, port) not in _given:
            _given.add((host, kind, port))
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
