"""What tests share in which another program goes on, or another worker process, and
clients who send mail meanwhile."""
import os
import shutil
import signal

import pytest

from clients import Clients
from lmtp_client import Client
from waiting import wait_until


def hand_over(proxy, expect="has taken over"):
    """Returns the worker process that serves then."""
    mark = proxy.mark()
    proxy.signal(signal.SIGUSR2)
    line = proxy.wait_log(expect, mark)
    return int(line.split("worker process ")[1].split()[0])


@pytest.fixture
def own_binary(instance, directory, binary):
    """An instance whose program a test may replace, and a way to do that."""
    path = directory / "waypost"
    proxy = instance()
    proxy.binary = str(path)

    def replace(source=binary):
        """As a package does: the running program keeps its file."""
        new = directory / "waypost.new"
        if source is None:
            path.unlink()
            return
        if isinstance(source, bytes):
            new.write_bytes(source)
            new.chmod(0o755)
        else:
            shutil.copy(source, new)
        new.rename(path)

    replace()
    return proxy, replace


class Load(Clients):
    """Clients who send mail, and count what becomes of it. Each reply is
    either 250, or 421 before anything was sent for good."""

    def __init__(self, proxy, clients=6):
        super().__init__((number,) for number in range(clients))
        self.proxy = proxy
        self.saved, self.deferred = 0, 0

    def run(self, number):
        try:
            while not self.ended.is_set():
                # Every other client sends one message for each connection.
                self.session(1 if number % 2 else 4)
        except Exception as exc:
            self.problems.append(repr(exc))

    def session(self, messages):
        address = self.proxy.address
        with Client(address, greeting=False) as client:
            greeting = client.reply()
            assert greeting == 220, greeting
            reply = client.lhlo()
            assert reply == 250, reply
            for number in range(messages):
                if not self.message(client, first=number == 0):
                    return

    def message(self, client, first):
        try:
            client.send("MAIL FROM:<sender@example.net>\r\n")
        except OSError:
            # There is nobody any more who could read it; but a 421 to read.
            pass
        reply = client.reply()
        if reply == 421:
            assert not first, "nothing could be sent at all"
            with self.lock:
                self.deferred += 1
            return False
        assert reply == 250, reply
        reply = client.rcpt("joe@example.org")
        assert reply == 250, reply
        reply, = client.data("Subject: hi\r\n\r\nhello\r\n", 1)
        assert reply == 250, reply
        with self.lock:
            self.saved += 1
        return True

    def wait_more(self, count=10):
        goal = self.saved + count
        wait_until(lambda: self.saved >= goal or self.problems, "messages")


def all_accounted_for(load, backend):
    assert not load.problems
    assert load.saved == len(backend.messages) > 0


def refuses(proxy):
    with Client(proxy.address, greeting=False) as client:
        return client.reply() == 421


def die(proxy):
    """Returns the worker process that serves then."""
    mark = proxy.mark()
    os.kill(proxy.workers()[-1], signal.SIGKILL)
    line = proxy.wait_log("is ready", mark)
    return int(line.split("worker process ")[1].split()[0])


def script(binary, action):
    """A program that is fine while it is checked, and does something else
    before it starts in earnest."""
    return f"""#!/bin/sh
case $1 in
-t) exec {binary} "$@" ;;
esac
{action}
exec {binary} "$@"
""".encode()
