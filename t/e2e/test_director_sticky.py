"""One user is never at two servers at once, whatever happens to the servers
under continuous delivery; and nothing that was answered 250 is lost."""
import collections
import random
import threading

from clients import Clients
from scripted_backend import reset
from test_director import servers  # noqa: F401
from test_director_health import heal, probed  # noqa: F401
from waiting import wait_until

USERS = [f"u{number}@example.org" for number in range(24)]
SESSIONS = 4
ROUNDS = 60


class Ledger:
    """Who is active where, as the servers see it: from RCPT to the reply to
    the message."""

    def __init__(self, made):
        self.lock = threading.Lock()
        self.active = collections.defaultdict(collections.Counter)
        self.overlaps = []
        self.delivered = collections.Counter()
        self.dead = set()  # connections
        for server in made:
            server.on("rcpt", self.came)
            server.on("dot", self.left)

    def kill(self, server):
        """At once: with all connections, and who was active there."""
        server.on("connect", reset)
        with self.lock:
            self.dead |= set(server.connections)
            for here in self.active.values():
                here.pop(server.host, None)

    def came(self, conn, user):
        with self.lock:
            if conn in self.dead:
                reset(conn, user)
            here = self.active[user]
            here[conn.backend.host] += 1
            if len(here) > 1:
                self.overlaps.append((user, dict(here)))
        return conn.backend.usual("rcpt", conn)

    def left(self, conn, user):
        with self.lock:
            if conn in self.dead:
                reset(conn, user)
            self.delivered[user] += 1
            here = self.active[user]
            here[conn.backend.host] -= 1
            if here[conn.backend.host] == 0:
                del here[conn.backend.host]
        return conn.backend.usual("dot", conn)


class Load(Clients):
    """Sessions that deliver until they are told to stop."""

    def __init__(self, proxy):
        super().__init__((number,) for number in range(SESSIONS))
        self.proxy = proxy
        self.accepted = collections.Counter()
        self.messages = 0

    def run(self, number):
        chance = random.Random(number)
        try:
            with self.proxy.session() as client:
                while not self.ended.is_set():
                    self.deliver(client, chance.sample(USERS, 3))
        except Exception as problem:  # shown by the test
            self.problems.append(problem)

    def deliver(self, client, users):
        assert client.mail() == 250
        taken = [user for user in users if client.rcpt(user).code == 250]
        if not taken:
            client.command("RSET")
            return
        replies = client.data("Subject: x\r\n\r\nx\r\n", len(taken))
        with self.lock:
            self.messages += 1
            for user, reply in zip(taken, replies):
                self.accepted[user] += reply.code == 250

    def wait_more(self, count=3):
        goal = self.messages + count
        wait_until(lambda: self.problems or self.messages >= goal,
                   "more messages")


def changes(chance, hosts):
    host = chance.choice(hosts)
    return chance.choice([
        ("drain", host), ("down", host), ("up", host), ("up", host),
        ("flush", host), ("flush", "all"),
        ("update", host, str(chance.choice([0, 50, 100]))),
        ("move", chance.choice(USERS), host),
        ("move", chance.choice(USERS), host, "1"),
        ("remove", host), ("add", host),
    ])


def test_while_administrators_change_all(probed):  # noqa: F811
    world = probed(4, director_user_expire="50 ms", director_probe="no")
    ledger = Ledger(world.made)
    hosts = [server.host for server in world.made[1:]]  # one always stays
    chance = random.Random(17)
    with Load(world.proxy) as load:
        for _ in range(ROUNDS):
            world.control.ctl("director", *changes(chance, hosts))
            load.wait_more()
    assert not load.problems
    assert not ledger.overlaps
    assert load.accepted == ledger.delivered
    assert sum(load.accepted.values()) > 3 * ROUNDS
    assert len({m for s in world.made for m in [s.host] if s.messages}) == 4


def test_while_servers_die_and_come_back(probed):  # noqa: F811
    """What was under way at a dead server is over, and gets 4xx."""
    world = probed(3, director_user_expire="50 ms")
    ledger = Ledger(world.made)
    with Load(world.proxy) as load:
        for number in range(6):
            server = world.made[number % 3]
            ledger.kill(server)
            world.wait_health(server, "down")
            load.wait_more(10)
            heal(server)
            world.wait_health(server, "up")
            load.wait_more(10)
    assert not load.problems
    assert not ledger.overlaps
    assert load.accepted == ledger.delivered
