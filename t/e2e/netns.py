"""Hosts on a network of their own, in network namespaces, which are gone with the
last process in them. Only root can make any.

A thread is on one host at a time, and so are the sockets and the processes that it
makes, for as long as they live; a new thread starts where its maker is."""
import contextlib
import ctypes
import os
import subprocess

from etcd import Etcd

CLONE_NEWNET = 0x40000000
NETWORK = "10.1.0"
HUB = "hub"
NOBODY = "02:00:00:00:00:00"  # no host has that
libc = ctypes.CDLL(None, use_errno=True)


def succeed(status):
    if status != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def here():
    """The namespace that this thread is in, as a descriptor."""
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def ip(*words):
    subprocess.run(["ip", *words], check=True, stdin=subprocess.DEVNULL)


class Network:
    """Hosts of these names at one switch, on whose own host the maker is until
    close()."""

    def __init__(self, names):
        self.spaces = {}
        self.addresses = {HUB: f"{NETWORK}.254"}
        self.devices = {HUB: "hub0"}
        self.before = here()
        try:
            self.add(HUB)
            ip("link", "add", "name", "hub0", "type", "bridge",
               "forward_delay", "0")
            self.set_up(HUB)
            for number, name in enumerate(names, 1):
                self.addresses[name] = f"{NETWORK}.{number}"
                self.devices[name] = "eth0"
                self.attach(name)
        except BaseException:
            self.close()
            raise

    def add(self, name):
        """A namespace, which the maker is in then."""
        succeed(libc.unshare(CLONE_NEWNET))
        self.spaces[name] = here()
        ip("link", "set", "dev", "lo", "up")

    def set_up(self, name):
        device = self.devices[name]
        ip("addr", "add", f"{self.addresses[name]}/24", "dev", device)
        ip("link", "set", "dev", device, "up")

    def attach(self, name):
        with self.inside(HUB):
            self.add(name)
        place = f"/proc/{os.getpid()}/fd/{self.spaces[name]}"
        ip("link", "add", "name", name, "type", "veth",
           "peer", "name", "eth0", "netns", place)
        ip("link", "set", "dev", name, "master", "hub0", "up")
        with self.inside(name):
            self.set_up(name)

    @contextlib.contextmanager
    def inside(self, name):
        """On that host; gives its address."""
        before = here()
        succeed(libc.setns(self.spaces[name], CLONE_NEWNET))
        try:
            yield self.addresses[name]
        finally:
            succeed(libc.setns(before, CLONE_NEWNET))
            os.close(before)

    # --- faults ---

    def cut(self, source, sink):
        """Nothing that source sends arrives at sink; no one is told."""
        with self.inside(source):
            ip("neigh", "replace", self.addresses[sink], "lladdr", NOBODY,
               "dev", self.devices[source], "nud", "permanent")

    def mend(self, source, sink):
        with self.inside(source):
            ip("neigh", "del", self.addresses[sink],
               "dev", self.devices[source])

    def unplug(self, name):
        """The cable of that host is pulled."""
        with self.inside(HUB):
            ip("link", "set", "dev", name, "down")

    def plug(self, name):
        with self.inside(HUB):
            ip("link", "set", "dev", name, "up")

    def close(self):
        succeed(libc.setns(self.before, CLONE_NEWNET))
        for space in [self.before, *self.spaces.values()]:
            os.close(space)


class SpreadEtcd(Etcd):
    """A member on each of these hosts."""

    def __init__(self, directory, network, hosts, **kwargs):
        self.network, self.hosts = network, hosts
        super().__init__(directory, len(hosts), **kwargs)

    def place(self, number):
        return self.network.inside(self.hosts[number])
