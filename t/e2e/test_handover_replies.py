"""USR2 and HUP under load, with every single reply accounted for: what backends say
is numbered, and each number is heard once, by the client whom it is for."""
import itertools
import signal
import threading

import pytest

from handover import Load, hand_over
from lmtp_client import Client, dot_stuff
from test_handover_load import TIMES
from waiting import wait_until

LARGE = 300_000  # bytes: a message that takes a while


class Scribe:
    """Backends that number what they say of recipients, and write it down. The
    number is in the enhanced code, which passes as it is."""

    def __init__(self, backends):
        self.numbers = itertools.count(1)
        self.lock = threading.Lock()
        self.said = {}  # number: (address, code)
        self.backends = backends
        for backend in backends:
            backend.on("rcpt", lambda conn, address: self.say(
                address, 550 if address.startswith("no.") else 250))
            backend.on("dot", lambda conn, address: self.say(
                address, 452 if address.startswith("late.") else 250))

    def say(self, address, code):
        with self.lock:
            number = next(self.numbers)
            self.said[number] = address, code
        # No subject that means something, such as that of a referral.
        return (f"{code} {code // 100}.{10 + number // 1000}.{number % 1000} "
                f"noted {address}")


class Accountant(Load):
    """Clients who write down what they hear. Half of them pipeline."""

    def __init__(self, proxy):
        super().__init__(proxy)
        self.names = itertools.count(1)
        self.heard = {}  # number: (address, code)
        self.sent = {}   # name: recipients who were accepted at RCPT
        self.bodies = {}

    def session(self, messages):
        with Client(self.proxy.address, greeting=False) as client:
            for reply in (client.reply(), client.lhlo()):
                assert reply.code in (220, 250), reply
            for number in range(messages):
                if not self.transaction(client, first=number == 0,
                                        pipelines=messages > 1):
                    return

    def hear(self, reply, address, code):
        assert reply.code == code and address in reply.text, reply
        _, thousands, rest = map(int, reply.enhanced.split("."))
        number = (thousands - 10) * 1000 + rest
        with self.lock:
            assert number not in self.heard, f"{reply} twice"
            self.heard[number] = address, code

    def start(self, client, commands, pipelines, first):
        """The reply to MAIL; None for 421, which is nobody's answer to more."""
        data = "".join(line + "\r\n" for line in
                       (commands if pipelines else commands[:1]))
        try:
            client.send(data)
        except OSError:
            pass  # there is still a 421 to read
        reply = client.reply()
        if reply == 421:
            assert not first, "nothing could be sent at all"
            client.expect_closed()
            with self.lock:
                self.deferred += 1
            return None
        assert reply == 250, reply
        return reply

    def transaction(self, client, first, pipelines):
        name = f"m{next(self.names)}"
        whom = [f"{kind}.{name}@{domain}.example" for kind, domain in
                (("ok", "a"), ("no", "a"), ("late", "b"), ("ok", "none"),
                 ("ok", "b"))]
        commands = [f"MAIL FROM:<{name}@example.net>",
                    *[f"RCPT TO:<{address}>" for address in whom], "DATA"]
        if self.start(client, commands, pipelines, first) is None:
            return False
        accepted = []
        for command, address in zip(commands[1:], whom):
            reply = client.reply() if pipelines else client.command(command)
            if "none" in address:
                assert reply == "550 5.1.1", reply
            else:
                self.hear(reply, address, 550 if address[:3] == "no." else 250)
            if reply == 250:
                accepted.append(address)
        reply = client.reply() if pipelines else client.command("DATA")
        assert reply == 354, reply
        self.finish(client, name, accepted)
        return True

    def finish(self, client, name, accepted):
        size = LARGE if int(name[1:]) % 5 == 0 else 10
        body = f"Subject: {name}\r\n\r\n" + "x" * 70 + "\r\n"
        body += ("." + "y" * 70 + "\r\n") * (size // 73)
        with self.lock:
            self.sent[name] = accepted
            self.bodies[name] = body.encode()
        client.send(dot_stuff(body))
        for address in accepted:
            self.hear(client.reply(), address,
                      452 if address.startswith("late.") else 250)
        with self.lock:
            self.saved += 1


def check_books(load, scribe):
    """Each reply that was said was heard, and each message is there once."""
    assert not load.problems
    assert load.saved == len(load.sent) > TIMES
    assert load.heard == scribe.said
    there = []
    for backend, domain in zip(scribe.backends, "ab"):
        for message in backend.messages:
            name = message.sender.partition("@")[0]
            there.append((name, domain))
            assert message.rcpts == [address for address in load.sent[name]
                                     if address.endswith(f"@{domain}.example")]
            assert message.text == load.bodies[name]
    assert sorted(there) == sorted((name, domain) for name in load.sent
                                   for domain in "ab")


@pytest.fixture
def books(backends, instance):
    one, two = backends(), backends()
    proxy = instance()
    users = proxy.write_file("users", "".join(
        f"{domain}.example:::::::proxy=y host={backend.host} "
        f"port={backend.port}\n" for domain, backend in (("a", one), ("b", two))))
    proxy.start("passdb {\n  driver = passwd-file\n"
                f"  args = username_format=%d {users}\n}}\n")
    return proxy, Scribe([one, two])


def test_every_reply_over_handovers(books):
    proxy, scribe = books
    with Accountant(proxy) as load:
        for _ in range(TIMES):
            load.wait_more()
            hand_over(proxy)
        load.wait_more()
    check_books(load, scribe)
    wait_until(lambda: len(proxy.workers()) == 1, "the old ones to end")


def test_every_reply_over_reloads(books):
    proxy, scribe = books
    with Accountant(proxy) as load:
        for _ in range(TIMES):
            load.wait_more()
            mark = proxy.mark()
            proxy.signal(signal.SIGHUP)
            proxy.wait_log("configuration reloaded", mark)
        load.wait_more()
    check_books(load, scribe)
    assert load.deferred == 0
