"""Clients and backends that do whatever chance has them do, all at once, and then
the accounts: nobody heard of a delivery that was not made, of a refusal that nobody
said, of more or fewer replies than were due, and nothing went to anybody else.

	WAYPOST_RANDOM_SEED=7 WAYPOST_RANDOM_MESSAGES=200 make check-e2e \\
		PYTEST_FLAGS="-k test_random"

repeats what a seed did, with more messages for each client.
"""
import os
import random
import re
import signal
import threading
import time

import pytest

from chaos import KINDS, ChaosBackend, Ledger
from handover import hand_over
from lmtp_client import Client, Disconnected, dot_stuff
from waiting import wait_until

SEED = os.environ.get("WAYPOST_RANDOM_SEED")
MESSAGES = int(os.environ.get("WAYPOST_RANDOM_MESSAGES", "20"))
CLIENTS = 8
UNKNOWN = "unknown.example"
ODD = [b"\n", b"\r", b"\0", b"\n.\n", b"\n.\r\n", b"\r.\r\n", b"\r\n.\n",
       b"\r\n.\r", b"\r\n.\0\r\n", b"\r\0\n.\r\n", b"\r\n.\r\r\n"]
HARM = b"MAIL FROM:<x@harm>\r\nRCPT TO:<victim@b0.example>\r\nDATA\r\n"


class Plan:
    """A transaction: what the client will do, and then what it heard."""

    def __init__(self, name, dice):
        self.name, self.dice = name, dice
        self.sender = f"{name}@sender.example"
        self.rcpts = [f"{name}r{i}@{self.domain()}"
                      for i in range(dice.choice([1, 1, 1, 2, 3, 6]))]
        self.odd = dice.random() < 0.2
        self.body = self.make_body()
        self.mode = dice.choice(["lockstep", "group", "group", "chunks"])
        self.gives_up = dice.choice(
            [None] * 12 + ["rcpt", "data", "half", "end", "rset", "quit"])
        self.unfinished = False    # the message never was all sent
        self.rcpt_codes, self.final_codes = {}, {}

    def domain(self):
        if self.dice.random() < 0.06:
            return UNKNOWN
        return f"b{self.dice.randrange(len(KINDS))}.example"

    def make_line(self):
        text = b"%s %d" % (self.name.encode(), self.dice.getrandbits(64))
        return self.dice.choice([b"", b".", b"..", b". "]) + text

    def make_body(self):
        count = self.dice.choice([0, 1, 10, 10, 100, 100, 5000])
        lines = [self.make_line() for _ in range(count)]
        if self.odd:
            for _ in range(5):
                at = self.dice.randrange(len(lines) + 1)
                lines.insert(at, self.dice.choice(ODD) + HARM)
        return b"Subject: %s\r\n\r\n" % self.name.encode() + \
            b"".join(line + b"\r\n" for line in lines)

    def is_mine(self, text):
        """Whether what a backend got is this message."""
        if not self.odd:
            return text == self.body
        # What bare line ends become is test_data.py's.
        changes = bytes.maketrans(b"", b""), b"\r\n\0."
        return text.translate(*changes) == self.body.translate(*changes)


class RandomClient:
    """One connection after the other. problems: what should not have been."""

    def __init__(self, address, number, seed, may_break):
        self.address, self.number = address, number
        self.dice = random.Random(f"{seed} client {number}")
        self.told = f"192.0.2.{number + 1}"
        self.plans, self.problems = [], []
        self.may_break = may_break  # the proxy's process may end
        self.client = None

    def run(self):
        try:
            for turn in range(MESSAGES):
                plan = Plan(f"c{self.number}t{turn}", self.dice)
                self.plans.append(plan)
                self.attempt(plan)
        except Exception as exc:
            self.problems.append(f"{self.plans[-1].name}: {exc!r}")
        finally:
            self.leave()

    def attempt(self, plan):
        try:
            self.connect()
            self.transact(plan)
        except (Disconnected, OSError):
            self.leave()
            if not self.may_break and not plan.gives_up:
                raise

    def connect(self):
        if self.client:
            return
        self.client = Client(self.address)
        assert self.client.greeting == 220, self.client.greeting
        self.send(b"XCLIENT ADDR=%s\r\n" % self.told.encode())
        self.expect(220)
        self.send(b"LHLO client.example\r\n")
        self.expect(250)

    def leave(self):
        if self.client:
            self.client.close()
        self.client = None

    def send(self, data):
        """In as many segments as chance has it."""
        for _ in range(self.dice.choice([0, 0, 0, 1, 3])):
            at = self.dice.randrange(len(data) + 1)
            self.client.send(data[:at])
            data = data[at:]
        self.client.send(data)

    def hear(self):
        """The next reply. That a session ends, between transactions or with its
        process, is no reply to what was said."""
        reply = self.client.reply()
        if reply == 421 and self.may_break:
            raise Disconnected("by the proxy")
        return reply

    def expect(self, *codes):
        reply = self.hear()
        assert reply.code in codes, (codes, reply)
        return reply

    def give_up(self):
        getattr(self.client, self.dice.choice(["close", "reset"]))()
        raise Disconnected("by choice")

    # --- a transaction ---

    def transact(self, plan):
        accepted = self.say_envelope(plan)
        if plan.gives_up == "rset" or not accepted:
            plan.unfinished = True
            self.send(b"RSET\r\n")
            self.expect(250)
        elif plan.mode == "chunks":
            self.say_chunks(plan, accepted)
        else:
            self.say_message(plan, accepted)
        if plan.gives_up == "quit":
            self.send(b"QUIT\r\n")
            self.expect(221)
            self.client.expect_closed()
            self.leave()
            return
        # Nothing more was said than was due.
        self.send(b"VRFY joe\r\n")
        self.expect(252)

    def hear_rcpt(self, plan, rcpt):
        reply = self.hear()
        plan.rcpt_codes[rcpt] = reply.code
        if reply.code // 100 != 2:
            assert f"<{rcpt}>" in reply.raw[-1], reply
        return reply.code // 100 == 2

    def say_envelope(self, plan):
        """Returns who was accepted. In a group DATA is said, too, and
        answered."""
        lines = [f"MAIL FROM:<{plan.sender}>"]
        lines += [f"RCPT TO:<{rcpt}>" for rcpt in plan.rcpts]
        if plan.mode == "lockstep":
            self.send(lines.pop(0).encode() + b"\r\n")
            self.expect(250)
            accepted = []
            for line, rcpt in zip(lines, plan.rcpts):
                self.send(line.encode() + b"\r\n")
                if self.hear_rcpt(plan, rcpt):
                    accepted.append(rcpt)
            if plan.gives_up == "rcpt":
                plan.unfinished = True
                self.give_up()
            return accepted
        if plan.mode == "group" and plan.gives_up != "rset":
            lines.append("DATA")
        self.send("".join(line + "\r\n" for line in lines).encode())
        if plan.gives_up == "rcpt":
            plan.unfinished = True
            self.give_up()
        self.expect(250)
        accepted = [r for r in plan.rcpts if self.hear_rcpt(plan, r)]
        if lines[-1] == "DATA":
            self.expect(354 if accepted else 503)
        return accepted

    def say_message(self, plan, accepted):
        if plan.mode == "lockstep":
            self.send(b"DATA\r\n")
            self.expect(354)
        wire = dot_stuff(plan.body)
        if plan.gives_up in ("data", "half"):
            plan.unfinished = True
            self.send(wire[:0 if plan.gives_up == "data" else
                           self.dice.randrange(len(wire))])
            self.give_up()
        self.send(wire)
        self.hear_outcomes(plan, accepted)

    def say_chunks(self, plan, accepted):
        cuts = sorted(self.dice.randrange(len(plan.body) + 1)
                      for _ in range(self.dice.randrange(4)))
        parts = [plan.body[a:b] for a, b in
                 zip([0, *cuts], [*cuts, len(plan.body)])]
        if plan.gives_up in ("data", "half"):
            plan.unfinished = True
            parts = parts[:-1]
        last = not plan.unfinished
        self.send(b"".join(
            b"BDAT %d%s\r\n%s" % (len(part), b" LAST" if last and at ==
                                  len(parts) - 1 else b"", part)
            for at, part in enumerate(parts)))
        if plan.unfinished:
            self.give_up()
        for _ in parts[:-1]:
            self.expect(250)
        self.hear_outcomes(plan, accepted)

    def hear_outcomes(self, plan, accepted):
        if plan.gives_up == "end":
            self.give_up()
        for rcpt in accepted:
            reply = self.hear()
            plan.final_codes[rcpt] = reply.code
            if reply.code // 100 != 2:
                assert f"<{rcpt}>" in reply.raw[-1], reply
            else:
                assert reply.text.endswith(" Saved"), reply


# --- the accounts ---

class Accounts:
    def __init__(self, clients, backends, ledger, killed):
        self.backends, self.ledger, self.killed = backends, ledger, killed
        self.plans = {plan.name: (plan, client) for client in clients
                      for plan in client.plans}
        self.problems = ledger.wrongs + [
            problem for client in clients for problem in client.problems]

    def plan_of(self, address):
        return self.plans[re.match(r"(c\d+t\d+)", address).group(1)]

    def wrong(self, *what):
        self.problems.append(" ".join(map(str, what)))

    def check_rcpt(self, plan, rcpt, code):
        domain = rcpt.partition("@")[2]
        if domain == UNKNOWN:
            if code != 550:
                self.wrong(rcpt, "unknown:", code)
            return
        heard = self.ledger.codes(int(domain[1]), ("mail", plan.sender),
                                  ("rcpt", rcpt), ("data", plan.sender))
        if code != 451 and code not in heard:
            self.wrong(rcpt, "RCPT:", code, "said:", heard)

    def check_final(self, plan, rcpt, code):
        number = int(rcpt.partition("@")[2][1])
        heard = self.ledger.codes(number, ("dot", rcpt))
        if code // 100 != 2:
            heard |= self.ledger.codes(number, ("early", rcpt),
                                       ("data", plan.sender))
        if code != 451 and code not in heard:
            self.wrong(rcpt, "heard", code, "said:", heard)

    def check_answered(self, rcpt, plan, log):
        """What a backend said in an orderly way is what the client heard."""
        code, heard = self.ledger.clean[rcpt], plan.final_codes.get(rcpt)
        if heard is None and (plan.gives_up or self.killed):
            return
        late = re.search(rf"to=<{re.escape(rcpt)}>.*error=\"no reply", log)
        if heard != code and not late:
            self.wrong(rcpt, "heard", heard, "although", code, "was said")

    def check_message(self, backend, message):
        """All of one transaction, which was all sent, and is its text."""
        names = {self.plan_of(rcpt)[0].name for rcpt in message.rcpts}
        plan = self.plan_of(message.rcpts[0])[0]
        if len(names) != 1 or message.sender != plan.sender:
            self.wrong("mixed:", message.sender, message.rcpts)
        if plan.unfinished:
            self.wrong(plan.name, "was never finished, but is at",
                       backend.number)
        if not plan.is_mine(message.text):
            self.wrong(plan.name, "was changed:", message.text[:2000],
                       plan.body[:2000])

    def check_backend(self, backend):
        for line in backend.commands:
            if "victim" in line or "harm" in line:
                self.wrong("smuggled:", line)
            if line.startswith("RCPT TO:") and \
                    f"@b{backend.number}.example>" not in line:
                self.wrong("at", backend.number, "instead:", line)
        for message in backend.messages:
            self.check_message(backend, message)

    def check_taken(self):
        """Nobody has it twice, and backends were told of the right client."""
        takers = self.ledger.taken
        for rcpt in set(takers):
            if takers.count(rcpt) > 1:
                self.wrong(rcpt, "has it", takers.count(rcpt), "times")
        for rcpt, (number, told) in self.ledger.told.items():
            asks = "XCLIENT ADDR" in self.backends[number].capabilities
            if told != (self.plan_of(rcpt)[1].told if asks else None):
                self.wrong(rcpt, "is said to be of", told)

    def check_log(self, log):
        logged = {}
        # Behind "more like this" is one of the lines that it is about.
        for fate, rcpt in re.findall(
                r"^(?!.* more like this ).*: (not sent|sent) from=\S+ "
                r"to=<([^>]*)>", log, re.M):
            if rcpt in logged:
                self.wrong(rcpt, "is logged as", logged[rcpt], "and", fate)
            logged[rcpt] = fate
        for plan, _client in self.plans.values():
            for rcpt, code in plan.final_codes.items():
                fate = "sent" if code // 100 == 2 else "not sent"
                if logged.get(rcpt) != fate and not self.killed:
                    self.wrong(rcpt, code, "is logged as", logged.get(rcpt))

    def balance(self, log):
        for plan, _client in self.plans.values():
            for rcpt, code in plan.rcpt_codes.items():
                self.check_rcpt(plan, rcpt, code)
            for rcpt, code in plan.final_codes.items():
                self.check_final(plan, rcpt, code)
        for rcpt in self.ledger.clean:
            self.check_answered(rcpt, self.plan_of(rcpt)[0], log)
        for backend in self.backends:
            self.check_backend(backend)
        self.check_taken()
        self.check_log(log)

    def share_delivered(self):
        codes = [code for plan, _client in self.plans.values()
                 for code in plan.final_codes.values()]
        return codes.count(250) / max(1, len(codes))


# --- the world ---

def random_config(dice, directory):
    return (f"passdb {{\n driver = passwd-file\n"
            f" args = username_format=%d {directory}/domains\n}}\n"
            "login_trusted_networks = 127.0.0.0/8\n"
            "lmtp_proxy_xclient = yes\n"
            "lmtp_proxy_connect_timeout = 2 secs\n"
            "lmtp_proxy_command_timeout = 2 secs\n"
            "lmtp_proxy_data_timeout = 3 secs\n"
            f"lmtp_proxy_chunking = {dice.choice(['yes', 'yes', 'no'])}\n"
            f"lmtp_spool_memory = {dice.choice(['8 k', '128 k'])}\n"
            "lmtp_proxy_pool_wait_timeout = 5 secs\n"
            f"lmtp_proxy_pool_max_connections = {dice.choice([0, 2, 4])}\n"
            "lmtp_proxy_pool_max_idle = "
            f"{dice.choice(['0', '100 msecs', '30 secs'])}\n")


def reload_now(proxy):
    proxy.signal(signal.SIGHUP)


def kill_workers(proxy):
    for pid in proxy.workers():
        os.kill(pid, signal.SIGKILL)


class Disturbance(threading.Thread):
    """Does something to the proxy again and again, at least once, until stop(). A
    worker process that dies often is not replaced at once, so it has to end."""

    def __init__(self, what, proxy, seconds, times):
        super().__init__(daemon=True)
        self.what, self.proxy = what, proxy
        self.seconds, self.times = seconds, times
        self.over = threading.Event()

    def run(self):
        for _ in range(self.times):
            self.what(self.proxy)
            if self.over.wait(self.seconds):
                break

    def stop(self):
        self.over.set()
        self.join()


def run_all(clients):
    threads = [threading.Thread(target=client.run) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def check_calm(proxy, backends):
    """Once all behave, everybody is served, also by what is left in pools."""
    for backend in backends:
        backend.wild = False
    for turn in range(3):
        with proxy.session() as client:
            for backend in backends:
                rcpt = f"c0t0calm{turn}@b{backend.number}.example"
                reply, = client.deliver(rcpt)
                assert reply == 250, (rcpt, reply)


# What is done to the proxy meanwhile, after so many seconds each, and how often.
DISTURBANCES = {"alone": (None, 0, 0), "reloads": (reload_now, 0.3, 1000),
                "handovers": (hand_over, 0.6, 1000), "kills": (kill_workers, 0.8, 6)}


@pytest.mark.parametrize("disturbance", DISTURBANCES)
@pytest.mark.parametrize("seed", [SEED] if SEED else ["1", "2"])
def test_accounts_balance(instance, seed, disturbance):
    dice, ledger = random.Random(seed), Ledger()
    backends = [ChaosBackend(number, seed, ledger, **kind)
                for number, kind in enumerate(KINDS)]
    proxy = instance()
    proxy.threads = dice.choice([1, 2])
    proxy.write_file("domains", "".join(
        f"b{b.number}.example:::::::proxy host={b.host} port={b.port} "
        f"protocol={'lmtp' if b.lmtp else 'smtp'}\n" for b in backends))
    proxy.start(random_config(dice, proxy.dir))
    killed = disturbance == "kills"
    what, *often = DISTURBANCES[disturbance]
    clients = [RandomClient(proxy.address, number, seed,
                            killed or what == hand_over)
               for number in range(CLIENTS)]
    disturbing = what and Disturbance(what, proxy, *often)
    if disturbing:
        disturbing.start()
    run_all(clients)
    if disturbing:
        disturbing.stop()
    accounts = Accounts(clients, backends, ledger, killed)
    wait_until(lambda: not proxy_is_busy(proxy), "the proxy to be done")
    accounts.balance(proxy.log)
    for backend in backends:
        backend.ledger = Ledger()
    wait_until(lambda: len(proxy.workers()) == 1, "the old processes to end")
    check_calm(proxy, backends)
    for backend in backends:
        backend.stop()
    assert not accounts.problems, "\n".join(
        [f"seed {seed}, {disturbance}:", *accounts.problems[:20]])
    assert accounts.share_delivered() > (0.1 if killed else 0.5)


def proxy_is_busy(proxy):
    """Whether it may still write lines of transactions that clients left."""
    before = proxy.mark()
    time.sleep(0.3)
    return proxy.mark() != before
