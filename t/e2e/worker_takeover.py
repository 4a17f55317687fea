"""What somebody who has taken over the worker process can say to the processes that
save mail."""
import contextlib
import ctypes
import os
import socket
import struct

import pytest

from local_site import children


def take_requests(proxy):
    """The worker process's end of the channel for deliveries."""
    worker, = children(proxy, "worker")
    kinds = {}
    for line in open("/proc/net/unix").read().splitlines()[1:]:
        parts = line.split()
        kinds[parts[6]] = parts[4]
    found = []
    for fd in map(int, os.listdir(f"/proc/{worker}/fd")):
        target = os.readlink(f"/proc/{worker}/fd/{fd}")
        inode = target.removeprefix("socket:[").rstrip("]")
        if kinds.get(inode) == "0005":
            found.append(fd)
    # The first is for the supervisor.
    assert len(found) == 2
    return socket.socket(fileno=steal(worker, max(found)))


def steal(pid, number):
    """A process's descriptor."""
    pidfd = os.pidfd_open(pid)
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.syscall(438, pidfd, number, 0)  # pidfd_getfd
    os.close(pidfd)
    if fd < 0:
        pytest.skip("this machine lets nobody take a descriptor")
    return fd


def take_descriptor(pid, kind):
    """That of a process whose kind /proc shows so."""
    number, = (int(fd) for fd in os.listdir(f"/proc/{pid}/fd")
               if kind in os.readlink(f"/proc/{pid}/fd/{fd}"))
    return steal(pid, number)


def string(text):
    data = text.encode()
    return struct.pack("<H", len(data)) + data + b"\0"


def request(location, user="anna", home="/", mailbox="INBOX", uid=61001, gid=61001,
            size=5, chroot="", groups="", groups_user="", rules=(), copy="", head=""):
    """To save "hello"."""
    return (struct.pack("<BBIIQQIQI", 4, 0, uid, gid, size, 1700000000, 0,
                        1 << 62, 0) +
            b"".join(map(string, (user, home, chroot, location, mailbox,
                                  groups_user, groups, "", "anna@example.org",
                                  "", "", copy))) +
            bytes([len(rules)]) +
            b"".join(string(text) for rule in rules for text in rule) +
            string(head))


def link():
    """What an answer comes through: our end, theirs."""
    return [end.detach() for end in
            socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)]


@contextlib.contextmanager
def message_and_link():
    message = os.memfd_create("mail")
    os.write(message, b"hello")
    ours, theirs = link()
    yield message, ours, theirs
    for fd in (message, ours, theirs):
        with contextlib.suppress(OSError):
            os.close(fd)


def attack(requests, packet, fds=None):
    """Returns the answer; b"" when there is none."""
    with message_and_link() as (message, ours, theirs):
        socket.send_fds(requests, [packet],
                        [theirs, message] if fds is None else fds)
        os.close(theirs)
        return os.read(ours, 4096)


def attack_with_message(requests, packet, fd):
    ours, theirs = link()
    socket.send_fds(requests, [packet], [theirs, fd])
    os.close(theirs)
    answer = os.read(ours, 4096)
    os.close(ours)
    return answer
