#!/usr/bin/env python3
"""Runs a program under the seccomp filters that systemd makes of a unit.

	confine.py UNIT PROGRAM ARGUMENT...

What SystemCallFilter does not name kills the process, so that nobody overlooks
it; systemd would have it fail. MemoryDenyWriteExecute, RestrictAddressFamilies
and RestrictNamespaces have calls fail, as there.
"""
import ctypes
import errno
import functools
import os
import re
import socket
import subprocess
import sys

ALLOW, KILL, ERRNO = 0x7fff0000, 0x80000000, 0x00050000
MASKED, EQUAL = 7, 4  # enum scmp_compare
FAMILIES = 46
PROT_WRITE, PROT_EXEC, SHM_EXEC = 2, 4, 0o100000
NAMESPACES = 0x7e020080  # all CLONE_NEW flags, but that of times
CLONE_NEWTIME = 0x80


class Compare(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int),
                ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


@functools.cache
def library():
    """systemd needs it, too."""
    lib = ctypes.CDLL("libseccomp.so.2")
    lib.seccomp_init.restype = ctypes.c_void_p
    lib.seccomp_init.argtypes = [ctypes.c_uint32]
    lib.seccomp_load.argtypes = [ctypes.c_void_p]
    lib.seccomp_syscall_resolve_name.argtypes = [ctypes.c_char_p]
    lib.seccomp_rule_add_array.argtypes = [
        ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint,
        ctypes.POINTER(Compare)]
    return lib


class Filter:
    """What is not said otherwise is answered with default."""

    def __init__(self, default):
        self.lib = library()
        self.context = self.lib.seccomp_init(default)
        assert self.context

    def rule(self, action, name, *compares):
        """A name that this machine does not know is passed over."""
        number = self.lib.seccomp_syscall_resolve_name(name.encode())
        if number < 0:
            return
        array = (Compare * len(compares))(*compares)
        status = self.lib.seccomp_rule_add_array(
            self.context, action, number, len(compares), array)
        assert status == 0, (name, status)

    def load(self):
        status = self.lib.seccomp_load(self.context)
        assert status == 0, status


def groups():
    """{"@group": members}, as systemd knows them."""
    text = subprocess.run(["systemd-analyze", "syscall-filter", "--no-pager"],
                          check=True, capture_output=True, text=True).stdout
    found, name = {}, None
    for line in text.splitlines():
        word = line.strip()
        if line.startswith("@"):
            name = word
            found[name] = []
        elif word and not word.startswith("#") and name:
            found[name].append(word)
    return found


def expand(names, known):
    for name in names:
        if name.startswith("@"):
            yield from expand(known[name], known)
        else:
            yield name


def values(unit, directive):
    return [line.split() for line in
            re.findall(rf"^{directive}=(.*)$", unit, re.M)]


def allowed(unit):
    """The first line says whether it is a list of what may be called."""
    known, calls = groups(), set(expand(["@default"], groups()))
    for names in values(unit, "SystemCallFilter"):
        if names[0].startswith("~"):
            calls -= set(expand([names[0][1:], *names[1:]], known))
        else:
            calls |= set(expand(names, known))
    return calls


def filter_calls(unit):
    filter_ = Filter(KILL)
    for name in sorted(allowed(unit)):
        filter_.rule(ALLOW, name)
    filter_.load()


def filter_memory():
    filter_, fail = Filter(ALLOW), ERRNO | errno.EPERM
    both = PROT_WRITE | PROT_EXEC
    filter_.rule(fail, "mmap", Compare(2, MASKED, both, both))
    filter_.rule(fail, "mprotect", Compare(2, MASKED, PROT_EXEC, PROT_EXEC))
    filter_.rule(fail, "pkey_mprotect",
                 Compare(2, MASKED, PROT_EXEC, PROT_EXEC))
    filter_.rule(fail, "shmat", Compare(2, MASKED, SHM_EXEC, SHM_EXEC))
    filter_.load()


def filter_families(unit):
    filter_ = Filter(ALLOW)
    names, = values(unit, "RestrictAddressFamilies")
    wanted = {int(getattr(socket, name)) for name in names}
    for family in set(range(FAMILIES)) - wanted:
        filter_.rule(ERRNO | errno.EAFNOSUPPORT, "socket",
                     Compare(0, EQUAL, family, 0))
    filter_.load()


def filter_namespaces():
    filter_, fail = Filter(ALLOW), ERRNO | errno.EPERM
    filter_.rule(fail, "setns")
    for bit in range(32):
        if NAMESPACES & ~CLONE_NEWTIME & 1 << bit:
            for name in ("unshare", "clone"):
                filter_.rule(fail, name,
                             Compare(0, MASKED, 1 << bit, 1 << bit))
    filter_.load()


def main():
    with open(sys.argv[1], encoding="ascii") as file:
        unit = file.read()
    for word in ("MemoryDenyWriteExecute=yes", "RestrictNamespaces=yes",
                 "SystemCallErrorNumber=EPERM"):
        assert word in unit.split("\n"), word
    filter_memory()
    filter_families(unit)
    filter_namespaces()
    filter_calls(unit)
    os.execv(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
