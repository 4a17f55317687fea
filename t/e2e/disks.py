"""File systems of their own for tests, in files: full, read-only, out of order."""
import fcntl
import os
import pathlib
import struct
import subprocess

from servers import PATH
from waiting import TIMEOUT, wait_until

EXT4_IOC_SHUTDOWN = 0x8004587d
NOLOGFLUSH = 2


class CannotMount(Exception):
    """This machine lets nobody mount anything, or not this."""


def run(*command):
    return subprocess.run(command, capture_output=True, timeout=TIMEOUT * 3,
                          text=True, check=False,
                          env={**os.environ, "PATH": PATH})


class Disk:
    """One that is mounted at a directory."""

    def __init__(self, path, size, *mkfs, options="loop"):
        """size in MiB; mkfs: the program and its options."""
        self.path = pathlib.Path(path)
        self.image = self.path.with_name(self.path.name + ".disk")
        self.options = options
        with open(self.image, "wb") as file:
            file.truncate(size << 20)
        self.need(*mkfs, self.image)
        self.mount()

    @staticmethod
    def need(*command):
        result = run(*command)
        if result.returncode != 0:
            raise CannotMount(f"{command}: {result.stderr.strip()}")

    def mount(self):
        self.need("mount", "-o", self.options, self.image, self.path)

    def remount(self, option):
        assert run("mount", "-o", f"remount,{option}", self.path).returncode == 0

    def unmount(self):
        """Once nobody uses it any more."""
        wait_until(lambda: run("umount", self.path).returncode == 0, "umount")

    def detach(self):
        run("umount", "-l", self.path)

    def own(self, uid):
        os.chown(self.path, uid, uid)
        run("sync", "-f", self.path)

    def fill(self, leave):
        """Takes all room but for so many bytes."""
        file = os.open(self.path / "filler", os.O_WRONLY | os.O_CREAT)
        info = os.statvfs(self.path)
        room = info.f_bavail * info.f_frsize - leave
        # All of the rest may be too much: what it is kept in takes room, too.
        for room in range(room, room - (64 << 10), -(4 << 10)):
            try:
                os.posix_fallocate(file, 0, room)
                break
            except OSError:
                os.ftruncate(file, 0)
        os.close(file)

    def empty(self):
        (self.path / "filler").unlink()

    def cut_power(self):
        """From here on, all fails, and what is not on the disk never will be."""
        fd = os.open(self.path, os.O_RDONLY)
        fcntl.ioctl(fd, EXT4_IOC_SHUTDOWN, struct.pack("I", NOLOGFLUSH))
        os.close(fd)
