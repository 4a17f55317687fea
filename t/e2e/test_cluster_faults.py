"""Three nodes, three etcd members and three servers, each on a host of its own,
under continuous delivery, while one of them dies, falls silent or is cut off: each
message is accounted for, and nobody is at two servers at once.

WAYPOST_E2E_PAUSE: for how many seconds processes are stopped. WAYPOST_E2E_REPORT: a
file that gets a line for each fault. WAYPOST_FAULTS: all of them with Dovecots, too."""
import collections
import contextlib
import os
import pathlib
import random
import re
import signal
import threading
import time

import pytest

from clients import Clients
from lmtp_client import Disconnected
from netns import Network, SpreadEtcd
from scripted_backend import Backend, reset
from servers import Dovecot
from test_cluster import Node, agree
from test_director import USERS as ALL_USERS
from test_director_health import heal
from waiting import wait_until
from witness import Conversation, Ledger, Witness

pytestmark = [pytest.mark.needs("etcd", "ip"), pytest.mark.needs_root]
USERS = ALL_USERS[:24]
PAUSE = float(os.environ.get("WAYPOST_E2E_PAUSE", "3"))
REPORT = os.environ.get("WAYPOST_E2E_REPORT")
# Between the messages of a client: there is always one under way somewhere, and
# CPU is left for what is tested.
PACE = 0.05
# What is in flight to a host that falls silent waits no longer.
TIMEOUTS = {"lmtp_proxy_connect_timeout": "2 secs",
            "lmtp_proxy_command_timeout": "5 secs",
            "lmtp_proxy_data_timeout": "5 secs",
            # Servers that are well are found so on a machine that is busy, too.
            "director_probe_timeout": "5 secs"}
NODES, MEMBERS, SERVERS = (
    [f"{kind}{number}" for number in range(3)]
    for kind in ("node", "etcd", "server"))


# --- who delivers ---

class Post(Clients):
    """Two clients at each node, who deliver until they are told to stop. Each
    message has a name of its own."""

    def __init__(self, nodes, fault):
        self.fault = fault.replace(" ", "-")
        super().__init__((n, node) for node in nodes for n in range(2))
        self.accepted = set()  # (message, user)
        self.refused = collections.Counter()  # replies
        self.unheard = 0
        self.longest = (0, "nobody")
        self.count = collections.Counter()  # of accepted, for each node

    def run(self, number, node):
        chance = random.Random(f"{number} {node.name}")
        serial = 0
        while not self.ended.is_set():
            try:
                with node.proxy.session() as client:
                    client.sock.settimeout(PAUSE + 60)
                    while not self.ended.is_set():
                        serial += 1
                        self.deliver(node, client, chance.sample(USERS, 3),
                                     f"{self.fault}.{node.name}.{number}."
                                     f"{serial}")
                        self.ended.wait(PACE)
            except (OSError, Disconnected):
                self.ended.wait(0.05)
            except Exception as problem:  # shown by the test
                self.problems.append((node.name, problem))
                return

    def deliver(self, node, client, users, message):
        if client.mail(f"{message}@example.net") != 250:
            raise Disconnected
        begun = {user: time.monotonic() for user in users}
        taken = []
        for user in users:
            reply = client.rcpt(user)
            if reply == 250:
                taken.append(user)
            else:
                self.note(node, message, user, reply, begun)
        if not taken:
            client.command("RSET")
            return
        try:
            assert client.command("DATA") == 354
            client.send(f"Message-ID: <{message}@example.net>\r\n\r\nx\r\n"
                        ".\r\n")
            for user in taken.copy():
                self.note(node, message, user, client.reply(), begun)
                taken.remove(user)
        finally:
            self.unheard += len(taken)

    def note(self, node, message, user, reply, begun):
        wait = time.monotonic() - begun[user]
        with self.lock:
            if reply == 250:
                self.accepted.add((message, user))
                self.count[node.name] += 1
            else:
                text = re.sub(r" <.*?>|, session=[^)]*", "", reply.raw[-1])
                self.refused[f"{node.name}: {text}"] += 1
            self.longest = max(self.longest,
                               (wait, f"{user} at {node.name}, {reply.code}"))

    def wait_more(self, nodes, count=10):
        """More messages are accepted, at each of these nodes."""
        goals = {node.name: self.count[node.name] + count for node in nodes}
        wait_until(lambda: self.problems or all(
            self.count[name] >= goal for name, goal in goals.items()),
            f"more messages at {list(goals)}, {self.refused}")


# --- servers ---

class Register:
    """Scripted servers, which write down who is active when: from RCPT to the
    reply to the message, or the end of the connection."""

    def __init__(self, network, _directory):
        self.network = network
        self.lock = threading.Lock()
        self.active = collections.defaultdict(list)
        self.overlaps = []
        self.delivered = collections.Counter()
        self.dead = set()  # connections
        self.servers = []
        for name in SERVERS:
            with network.inside(name) as host:
                self.servers.append(Backend(host, 24))
        for server in self.servers:
            server.on("rcpt", self.came).on("dot", self.left)
            server.on("rset", self.gave_up)

    def refuse_dead(self, conn):
        if conn in self.dead:
            reset(conn, None)

    def came(self, conn, user):
        with self.lock:
            self.refuse_dead(conn)
            here = [c for c in self.active[user]
                    if not c.closed and c not in self.dead]
            self.active[user] = here + [conn]
            places = {c.backend.host for c in self.active[user]}
            if len(places) > 1:
                self.overlaps.append((user, places))
        return conn.backend.usual("rcpt", conn)

    def left(self, conn, user):
        with self.lock:
            self.refuse_dead(conn)
            message = conn.sender.partition("@")[0]
            self.delivered[message, user] += 1
            self.active[user].remove(conn)
        return conn.backend.usual("dot", conn)

    def gave_up(self, conn, _line):
        with self.lock:
            for here in self.active.values():
                here[:] = [c for c in here if c is not conn]
        return conn.backend.usual("rset", conn)

    def kill(self, server):
        server.on("connect", reset)
        with self.lock:
            self.dead |= set(server.connections)

    def revive(self, server):
        heal(server)

    def stop(self):
        for name, server in zip(SERVERS, self.servers):
            with self.network.inside(name):
                server.stop()


Place = collections.namedtuple("Place", "host port")


class Dovecots:
    """Dovecot three times, with the same Maildirs, and each behind a relay that
    writes down who is active there."""

    def __init__(self, network, directory):
        self.network = network
        self.ledger = Ledger()
        self.overlaps = self.ledger.overlaps
        self.servers, self.dovecots, self.witnesses = [], [], []
        for name in SERVERS:
            with network.inside(name) as host:
                self.start(name, host, directory)

    def start(self, name, host, directory):
        dovecot = Dovecot(directory / name, users=USERS, host=host,
                          homes=directory / "homes")
        self.dovecots.append(dovecot)
        self.witnesses.append(Witness(self.ledger, host, 24, dovecot.address))
        self.servers.append(Place(host, 24))

    def processes(self, server):
        return family(self.dovecots[self.servers.index(server)].process.pid)

    @property
    def delivered(self):
        found = collections.Counter()
        for user in USERS:
            for mail in self.dovecots[0].mails(user):
                name = re.search(rb"^Message-ID: <(.*)@", mail, re.M | re.I)
                found[name[1].decode(), user] += 1
        return found

    def kill(self, server):
        self.ledger.unhear(server.host)
        for pid in self.processes(server):
            os.kill(pid, signal.SIGKILL)
        self.dovecots[self.servers.index(server)].process.wait()

    def revive(self, server):
        number = self.servers.index(server)
        with self.network.inside(SERVERS[number]):
            self.dovecots[number].start()
        self.ledger.hear(server.host)

    def stop(self):
        for each in self.witnesses + self.dovecots:
            each.stop()
        assert self.ledger.visits > len(OF_SERVERS)


def family(pid):
    """A process and all that it has started."""
    path = pathlib.Path(f"/proc/{pid}/task/{pid}/children")
    return [pid] + [below for child in path.read_text().split()
                    for below in family(int(child))]


# --- all together ---

class World:
    def __init__(self, network, waypost, directory, kind):
        self.network = network
        self.cleanup = contextlib.ExitStack()
        try:
            self.etcd = SpreadEtcd(directory / "etcd", network, MEMBERS,
                                   prefix="/waypost/")
            self.cleanup.callback(self.etcd.stop)
            self.register = kind(network, directory)
            self.cleanup.callback(self.register.stop)
            self.servers = self.register.servers
            self.nodes = [self.start(waypost, name) for name in NODES]
        except BaseException:
            self.cleanup.close()
            raise

    def start(self, waypost, name):
        with self.network.inside(name) as host:
            return Node(lambda config: waypost(config, host=host), name,
                        self.servers, self.etcd, **TIMEOUTS)

    @property
    def others(self):
        """All nodes but the one to which it happens."""
        return self.nodes[:2]

    @property
    def victim(self):
        return self.nodes[2]

    def wait_away(self):
        def away():
            return any(node["node"] == self.victim.name and
                       node["state"] == "away"
                       for node in self.others[0].ring()["nodes"])
        wait_until(away, f"{self.victim.name} to be away")

    def wait_back(self):
        wait_until(lambda: all(node["state"] == "there" for node in
                               self.others[0].ring()["nodes"]),
                   f"{self.victim.name} to be back")
        agree(self.nodes)

    def change(self, post, nodes=None):
        """Users are moved about, by administrators at these nodes."""
        nodes = nodes or self.nodes
        chance = random.Random(7)
        for _ in range(6):
            host = chance.choice(self.servers[1:]).host
            words = chance.choice([("drain", host), ("up", host),
                                   ("move", chance.choice(USERS), host)])
            chance.choice(nodes).control.ctl("director", *words)
            post.wait_more(nodes, 3)


@pytest.fixture
def world(waypost, directory):
    made = []

    def make(kind):
        made.append(World(network, waypost, directory, kind))
        return made[-1]
    network = Network(NODES + MEMBERS + SERVERS)
    try:
        yield make
    finally:
        for each in made:
            each.cleanup.close()
        network.close()


# --- faults ---

def server_dies(world, post):
    server = world.servers[0]
    world.register.kill(server)
    for node in world.nodes:
        node.wait_health(server, "down")
    post.wait_more(world.nodes)
    world.register.revive(server)
    for node in world.nodes:
        node.wait_health(server, "up")


def node_dies(world, post):
    world.victim.kill()
    world.victim.proxy.wait_log("^exited ")
    world.wait_away()
    world.change(post, world.others)
    with world.network.inside(world.victim.name):
        world.victim.proxy.launch()
    world.victim.proxy.expect_exit = 0
    world.wait_back()


def etcd_leader_dies(world, post):
    leader = world.etcd.leader()
    world.etcd.kill(leader)
    world.change(post)
    world.etcd.start(leader)


def etcd_leader_is_alone(world, post):
    leader = world.etcd.leader()
    others = [name for number, name in enumerate(MEMBERS) if number != leader]
    with severed(world, "both", MEMBERS[leader], others):
        world.etcd.leader(without=leader)
        world.change(post)


@contextlib.contextmanager
def severed(world, way, host, others):
    pairs = [pair for other in others for pair in
             [(host, other)] * (way != "from") + [(other, host)] * (way != "to")]
    for pair in pairs:
        world.network.cut(*pair)
    try:
        yield
    finally:
        for pair in pairs:
            world.network.mend(*pair)


def node_without_etcd(way):
    def happen(world, post):
        mark = world.victim.proxy.mark()
        with severed(world, way, world.victim.name, MEMBERS):
            world.victim.proxy.wait_log("etcd is lost", mark)
            world.wait_away()
            world.change(post, world.others)
            post.wait_more(world.nodes)
        world.wait_back()
    return happen


def node_without_a_server(way):
    def happen(world, post):
        server = world.servers[0]
        mark = world.victim.proxy.mark()
        with severed(world, way, world.victim.name, SERVERS[:1]):
            world.victim.proxy.wait_log(f"finds {server.host} dead", mark)
            post.wait_more(world.nodes)
            assert world.others[0].status()[server.host]["health"] == "up"
        world.victim.proxy.wait_log(f"finds {server.host} well", mark)
    return happen


def node_without_network(world, post):
    world.network.unplug(world.victim.name)
    world.wait_away()
    world.change(post, world.others)
    world.network.plug(world.victim.name)
    world.wait_back()


def waiter(world):
    """For lines in the logs of nodes, from now on."""
    marks = {node.name: node.proxy.mark() for node in world.nodes}

    def wait(nodes, pattern):
        for node in nodes:
            node.proxy.wait_log(pattern, marks[node.name])
    return wait


def server_dies_beside(world, post):
    """Of a node that can say nothing, and hears nothing of it."""
    server = world.servers[0]
    wait = waiter(world)
    with severed(world, "both", world.victim.name, MEMBERS):
        world.wait_away()
        world.register.kill(server)
        wait(world.nodes, f"finds {server.host} dead")
        wait(world.others, f"lost {server.host}; node")
        post.wait_more(world.nodes)
        world.register.revive(server)
        wait(world.nodes, f"finds {server.host} well")
        post.wait_more(world.nodes, 20)
    world.wait_back()
    for node in world.nodes:
        node.wait_health(server, "up")


@contextlib.contextmanager
def paused(pids):
    """For PAUSE at least."""
    end = time.monotonic() + PAUSE
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
        wait_until(lambda: time.monotonic() > end, "the end", PAUSE + 1)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def node_sleeps(world, post):
    with paused(family(world.victim.proxy.process.pid)):
        world.wait_away()
        world.change(post, world.others)
    world.wait_back()


def node_sleeps_over(world, post):
    """A server dies, and is back when it wakes."""
    server = world.servers[0]
    wait = waiter(world)
    with paused(family(world.victim.proxy.process.pid)):
        world.wait_away()
        world.register.kill(server)
        wait(world.others, f"lost {server.host}; node")
        post.wait_more(world.others)
        world.register.revive(server)
        wait(world.others, "well again, and stay lost")
    world.wait_back()


def etcd_leader_sleeps(world, post):
    leader = world.etcd.leader()
    with paused([world.etcd.members[leader].process.pid]):
        world.change(post)


def server_sleeps(world, post):
    server = world.servers[0]
    world.register.ledger.unhear(server.host)
    with paused(world.register.processes(server)):
        for node in world.nodes:
            node.wait_health(server, "down")
        post.wait_more(world.nodes)
    world.register.ledger.hear(server.host)
    for node in world.nodes:
        node.wait_health(server, "up")


def server_without_network(world, post):
    server = world.servers[0]
    world.register.ledger.unhear(server.host)
    world.network.unplug(SERVERS[0])
    for node in world.nodes:
        node.wait_health(server, "down")
    post.wait_more(world.nodes)
    world.network.plug(SERVERS[0])
    world.register.ledger.hear(server.host)
    for node in world.nodes:
        node.wait_health(server, "up")


FAULTS = {
    "server dies": server_dies,
    "node dies": node_dies,
    "etcd leader dies": etcd_leader_dies,
    "etcd leader without the others": etcd_leader_is_alone,
    "node without etcd": node_without_etcd("both"),
    "node to etcd": node_without_etcd("to"),
    "etcd to node": node_without_etcd("from"),
    "node without a server": node_without_a_server("both"),
    "node to a server": node_without_a_server("to"),
    "server to a node": node_without_a_server("from"),
    "node without network": node_without_network,
    "node sleeps": node_sleeps,
    "server dies beside a node without etcd": server_dies_beside,
    "server dies while a node sleeps": node_sleeps_over,
    "etcd leader sleeps": etcd_leader_sleeps,
}
# What a server does that nobody hears any more is not waited for.
UNSEEN = {
    "server sleeps": server_sleeps,
    "server without network": server_without_network,
}


def report(post, register, fault):
    """What became of all messages."""
    line = (f"{type(register).__name__}: {fault}: {len(post.accepted)} "
            f"accepted, {sum(post.refused.values())} refused, {post.unheard} "
            f"unheard; {len(register.overlaps)} overlaps; longest wait "
            f"{post.longest[0]:.2f} s ({post.longest[1]})")
    print(line, *(f"{count} {text}" for text, count in post.refused.items()),
          sep="\n")
    if REPORT:
        with open(REPORT, "a") as file:
            file.write(line + "\n")


def account(post, register):
    """Each 250 is one message in one mailbox; nothing is there twice."""
    delivered = register.delivered
    assert not post.problems
    assert not register.overlaps, register.overlaps[:5]
    lost = [one for one in post.accepted if delivered[one] == 0]
    assert not lost, lost[:5]
    twice = [one for one, count in delivered.items() if count > 1]
    assert not twice, twice[:5]


def move_users(world, post):
    """There and back: all are agreed on it when the fault comes."""
    for word in "drain", "up":
        wait_until(lambda: world.nodes[0].control.ctl(
            "director", word, world.servers[2].host).returncode == 0,
            "etcd to be well after the last fault")
        agree(world.nodes)
        post.wait_more(world.nodes)


def run(world, fault, happen):
    with Post(world.nodes, fault) as post:
        move_users(world, post)
        try:
            happen(world, post)
            agree(world.nodes)
            post.wait_more(world.nodes)
        finally:
            report(post, world.register, fault)
    account(post, world.register)


@pytest.mark.parametrize("fault", FAULTS)
def test_nobody_is_at_two_servers(world, fault):
    run(world(Register), fault, FAULTS[fault])


# Those that a real server may take otherwise than a scripted one; WAYPOST_FAULTS: all.
OF_SERVERS = {fault: happen for fault, happen in {**FAULTS, **UNSEEN}.items()
              if fault in ("server dies", "node dies", "node to a server",
                           "node without network", "server sleeps",
                           "server without network")
              or os.environ.get("WAYPOST_FAULTS")}


@pytest.mark.needs("dovecot")
def test_dovecots_lose_nothing(world):
    made = world(Dovecots)
    for fault, happen in OF_SERVERS.items():
        run(made, fault, happen)


class Nowhere:
    def shutdown(self, _how):
        pass


def test_the_relays_see_who_is_at_two_servers():
    """With all in one go, as clients pipeline, and a message that looks like
    commands."""
    ledger = Ledger()
    one, two = (Conversation(ledger, host, Nowhere(), Nowhere())
                for host in ("one", "two"))
    one.server_says(b"220 hello\r\n")
    one.client_says(b"LHLO x\r\nMAIL FROM:<x>\r\nRCPT TO:<ann>\r\n"
                    b"RCPT TO:<bob>\r\nRCPT TO:<joe>\r\nDATA\r\n")
    one.server_says(b"250-one\r\n250 X\r\n250 OK\r\n250 OK\r\n250 OK\r\n550 no"
                    b"\r\n354 go\r\n")
    one.client_says(b"RCPT TO:<eve>\r\n.")
    two.client_says(b"MAIL FROM:<x>\r\nRCPT TO:<joe>\r\nRCPT TO:<eve>\r\n")
    assert not ledger.overlaps
    two.client_says(b"RCPT TO:<bob>\r\n")
    assert ledger.overlaps == [("bob", {"one", "two"})]
    one.client_says(b"\r\n")
    one.server_says(b"250 saved\r\n")
    two.client_says(b"RCPT TO:<ann>\r\n")
    assert len(ledger.overlaps) == 1
    one.server_says(b"250 saved\r\n")
    assert ledger.active["bob"] == [two]
    two.client_says(b"RSET\r\n")
    one.client_says(b"MAIL FROM:<x>\r\nRCPT TO:<bob>\r\nBDAT 4\r\nRSET"
                    b"BDAT 2 LAST\r\n\r\n")
    one.server_says(b"250 OK\r\n250 OK\r\n250 2 bytes\r\n")
    assert ledger.active["bob"] == [one]
    ledger.unhear("two")
    two.client_says(b"RCPT TO:<bob>\r\n")
    assert len(ledger.overlaps) == 1
    one.server_says(b"250 saved\r\n")
    assert ledger.active["bob"] == [two]
