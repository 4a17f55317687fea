"""lib/etcd/ and a real etcd, by t/tools/etcd_client, which says what it tells its
user."""
import contextlib
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading

import pytest

from etcd import PASSWORD, PREFIX, USER, Etcd
from pki import Pki
from waiting import TIMEOUT, wait_on, wait_until
from waypost import BINARY, SANITIZER

pytestmark = pytest.mark.needs("etcd")
TOOLS = pathlib.Path(os.environ.get("WAYPOST_TOOLS",
                                    BINARY.parent / "t" / "tools"))


class Client:
    """lines is what it has said; seen what wait() has passed of it."""

    def __init__(self, urls, options=(), password=None, timeout_ms=6000):
        environ = {**os.environ, "ETCD_PASSWORD": password or ""}
        self.process = subprocess.Popen(
            [TOOLS / "etcd_client", "-t", str(timeout_ms), *options, PREFIX,
             *urls], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, env=environ)
        self.lines, self.errors, self.seen = [], [], 0
        self.changed = threading.Condition()
        self.threads = [
            threading.Thread(target=self.collect, args=pair, daemon=True)
            for pair in ((self.process.stdout, self.lines),
                         (self.process.stderr, self.errors))]
        for thread in self.threads:
            thread.start()

    def collect(self, pipe, lines):
        for line in pipe:
            with self.changed:
                lines.append(line.rstrip("\n"))
                self.changed.notify_all()

    def tell(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def wait(self, pattern):
        """A line behind those that were waited for."""
        number = self.find(pattern, self.seen)
        self.seen = number + 1
        return self.lines[number]

    def find(self, pattern, start):
        def found():
            return next((number + 1 for number in
                         range(start, len(self.lines))
                         if re.fullmatch(pattern, self.lines[number])), None)
        try:
            return wait_on(self.changed, found, pattern) - 1
        except AssertionError as exc:
            raise AssertionError(f"{exc}\n" + "\n".join(
                self.lines + self.errors)) from None

    def wait_settled(self, revision):
        while int(self.wait("settled .*").split()[1]) < revision:
            pass

    def ask(self, command):
        """Has it do something; what is told meanwhile can be waited for."""
        start = len(self.lines)
        self.tell(command)
        return self.lines[self.find("done|not-done|error .*|member .*|revoked",
                                    start)]

    def state(self):
        """The keys as they are told."""
        keys = {}
        for line in self.lines[:self.seen]:
            verb, _, rest = line.partition(" ")
            if verb == "begins":
                keys = {}
            elif verb == "put":
                key, _, value = rest.partition("=")
                keys[key] = value
            elif verb == "gone":
                del keys[rest]
        return keys

    def count(self, verb):
        return sum(line.split(" ")[0] == verb for line in self.lines)

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)
        status = pathlib.Path(f"/proc/{self.process.pid}/status")
        wait_until(lambda: "State:\tT" in status.read_text(),
                   "the client to stop")

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def stop(self):
        """Ends it, and returns all that it has ever said."""
        if self.process.poll() is None:
            self.process.stdin.close()
        try:
            self.process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        for thread in self.threads:
            thread.join(TIMEOUT)
        text = "\n".join(self.lines + self.errors)
        assert not SANITIZER.search(text), text
        return text


@pytest.fixture
def etcd(directory):
    """etcd(count, ...): a cluster."""
    made = []

    def make(*args, **kwargs):
        made.append(Etcd(directory / f"etcd{len(made)}", *args, **kwargs))
        return made[-1]

    yield make
    for cluster in made:
        cluster.stop()


@pytest.fixture
def client():
    """client(urls, ...): one that has begun."""
    made = []

    def make(*args, **kwargs):
        made.append(Client(*args, **kwargs))
        return made[-1]

    yield make
    for one in made:
        one.resume()
        print(one.stop())


def from_leader(cluster):
    """All URLs, the leader's first."""
    leader = cluster.leader()
    return cluster.urls[leader:] + cluster.urls[:leader]


def test_pages_and_changes(etcd, client):
    cluster = etcd()
    for number in range(600):
        revision = cluster.put(f"{PREFIX}{number}", f"v {number}")
    cluster.put("other", "x")
    mirror = client(cluster.urls)
    mirror.wait_settled(revision)
    expected = {f"{PREFIX}{number}": f"v {number}" for number in range(600)}
    assert mirror.state() == expected
    cluster.put(PREFIX + "7", "")
    cluster.delete(PREFIX + "8")
    cluster.put("other", "y")
    mirror.wait_settled(cluster.put(PREFIX + "new\nline", "ä"))
    expected[PREFIX + "7"] = ""
    del expected[PREFIX + "8"]
    expected[PREFIX + "new\\x0aline"] = "ä"
    assert mirror.state() == expected
    assert mirror.count("begins") == 1


def test_transactions(etcd, client):
    cluster = etcd()
    mirror = client(cluster.urls)
    mirror.wait("settled .*")
    assert mirror.ask(f"create {PREFIX}a one two") == "done"
    assert mirror.ask(f"create {PREFIX}a three") == "not-done"
    assert cluster.get(PREFIX + "a") == "one two"
    assert mirror.ask("member") == f"member {cluster.urls[0]}"


def test_leader_is_killed(etcd, client):
    cluster = etcd(3)
    urls = from_leader(cluster)
    dead = cluster.urls.index(urls[0])
    mirror = client(urls)
    mirror.wait("settled .*")
    mirror.wait_settled(cluster.put(PREFIX + "a", "1"))
    cluster.kill(dead)
    assert mirror.ask(f"create {PREFIX}b 2") == "done"
    cluster.leader()
    mirror.wait_settled(cluster.put(PREFIX + "c", "3"))
    assert mirror.state() == {PREFIX + "a": "1", PREFIX + "b": "2",
                              PREFIX + "c": "3"}
    assert mirror.count("lost") == 0
    assert mirror.ask("member") != f"member {urls[0]}"
    cluster.start(dead)
    mirror.wait_settled(cluster.put(PREFIX + "d", "4"))
    assert mirror.count("begins") == 1


def test_member_is_stopped_and_the_watch_moves(etcd, client):
    """Nobody asks for anything; etcd says that it ends."""
    cluster = etcd(3)
    mirror = client(cluster.urls)
    mirror.wait("settled .*")
    cluster.terminate(0)
    cluster.leader()
    mirror.wait_settled(cluster.put(PREFIX + "a", "1"))
    assert mirror.count("lost") == 0


def test_leader_hangs(etcd, client):
    """Its connections stay open, the watch too."""
    cluster = etcd(3)
    urls = from_leader(cluster)
    mirror = client(urls)
    mirror.wait("settled .*")
    hung = cluster.urls.index(urls[0])
    cluster.pause(hung)
    other = cluster.urls.index(urls[1])

    def put():
        try:
            return cluster.put(PREFIX + "a", "1", other)
        except OSError:
            return None
    mirror.wait_settled(wait_until(put, "another leader"))
    assert mirror.ask("member") != f"member {urls[0]}"
    assert mirror.count("lost") == 0
    cluster.resume(hung)


@pytest.mark.parametrize("first", ["leader", "follower"])
def test_member_is_cut_off(etcd, client, first):
    """It answers, and its watch stays open, but it reaches no other member: so
    it tells nothing new, and goes on counting terms by itself."""
    cluster = etcd(3, relays=True)
    lonely = cluster.leader()
    if first == "follower":
        lonely = (lonely + 1) % 3
    other = (lonely + 1) % 3
    mirror = client(cluster.urls[lonely:] + cluster.urls[:lonely],
                    timeout_ms=4000)
    mirror.wait("settled .*")
    mirror.tell("lease 10")
    mirror.wait("granted")
    assert mirror.ask(f"create-leased {PREFIX}node up") == "done"
    cluster.cut_off(lonely)
    cluster.leader(without=lonely)
    revision = cluster.put(PREFIX + "a", "1", other)
    mirror.wait_settled(revision)
    assert mirror.ask("member") != f"member {cluster.urls[lonely]}"
    cluster.heal()
    cluster.wait_ready(lonely)
    mirror.wait_settled(cluster.put(PREFIX + "b", "1", lonely))
    assert mirror.state() == {PREFIX + "node": "up", PREFIX + "a": "1",
                              PREFIX + "b": "1"}
    assert mirror.count("lost") == mirror.count("lease-lost") == 0


def test_quorum_is_lost(etcd, client):
    cluster = etcd(3)
    mirror = client(cluster.urls, timeout_ms=1500)
    mirror.wait("settled .*")
    mirror.wait_settled(cluster.put(PREFIX + "a", "1"))
    cluster.pause(1)
    cluster.pause(2)
    mirror.wait("lost .*")
    assert mirror.ask(f"create {PREFIX}b 2").startswith("error ")
    cluster.resume(1)
    cluster.resume(2)
    mirror.wait("begins")
    mirror.wait("settled .*")
    assert mirror.state()[PREFIX + "a"] == "1"
    assert mirror.count("lost") == 1


def test_all_agree_after_failures(etcd, client):
    """One after the other, while three clients at different members write."""
    cluster = etcd(3, relays=True)
    mirrors = [client(cluster.urls[number:] + cluster.urls[:number])
               for number in range(3)]
    for number, (fail, recover) in enumerate((
            (cluster.kill, cluster.start), (cluster.pause, cluster.resume),
            (cluster.cut_off, lambda _: cluster.heal()),
            (cluster.terminate, cluster.start))):
        victim = number % 3
        fail(victim)
        for mirror in mirrors:
            mirror.tell(f"create {PREFIX}{number}-{id(mirror)} x")
        recover(victim)
        cluster.wait_ready(victim)
        revision = cluster.put(PREFIX + "last", str(number))
        cluster.compact(revision)
        for mirror in mirrors:
            mirror.wait_settled(revision)
    for mirror in mirrors:
        wait_until(lambda: sum(mirror.count(verb) for verb in
                               ("done", "not-done", "error")) == 4, "answers")
    revision = cluster.put(PREFIX + "end", "")
    for mirror in mirrors:
        mirror.wait_settled(revision)
        assert mirror.state() == cluster.keys()


def test_compaction_while_away(etcd, client):
    cluster = etcd()
    for name in "abc":
        revision = cluster.put(PREFIX + name, "1")
    mirror = client(cluster.urls)
    mirror.wait_settled(revision)
    mirror.pause()
    cluster.kill()
    cluster.start()
    cluster.delete(PREFIX + "b")
    cluster.put(PREFIX + "c", "2")
    cluster.compact(cluster.put(PREFIX + "d", "1"))
    mirror.resume()
    assert "compacted" in mirror.wait("lost .*")
    mirror.wait("begins")
    mirror.wait("settled .*")
    assert mirror.state() == {PREFIX + "a": "1", PREFIX + "c": "2",
                              PREFIX + "d": "1"}


def test_all_data_is_lost(etcd, client):
    """A cluster of the same name with lower revisions."""
    cluster = etcd()
    for name in "abc":
        revision = cluster.put(PREFIX + name, "1")
    mirror = client(cluster.urls, timeout_ms=1000)
    mirror.wait_settled(revision)
    cluster.kill()
    cluster.wipe()
    cluster.start()
    revision = cluster.put(PREFIX + "x", "1")
    mirror.wait("lost .*")
    mirror.wait_settled(revision)
    assert mirror.state() == {PREFIX + "x": "1"}


def test_tokens_die_with_a_restart(etcd, client):
    cluster = etcd(auth=True)
    mirror = client(cluster.urls, ["-u", USER], PASSWORD)
    mirror.wait("settled .*")
    assert mirror.ask(f"create {PREFIX}a 1") == "done"
    for name in "bc":
        cluster.kill()
        cluster.start()
        cluster.login()
        mirror.wait_settled(cluster.put(PREFIX + name, "1"))
        assert mirror.ask(f"create {PREFIX}{name}2 1") == "done"
    assert mirror.count("lost") == 0
    refused = mirror.ask("create other 1")
    assert refused.startswith("error ") and "permission denied" in refused
    text = mirror.stop()
    assert PASSWORD not in text


def test_auth_is_enabled_later(etcd, client):
    cluster = etcd()
    mirror = client(cluster.urls, ["-u", USER], PASSWORD)
    mirror.wait("settled .*")
    assert mirror.ask(f"create {PREFIX}a 1") == "done"
    cluster.enable_auth()
    assert mirror.ask(f"create {PREFIX}b 1") == "done"
    assert mirror.count("lost") == 0


@pytest.mark.parametrize("options, password, why", [
    (["-u", USER], "wrong-hush", "invalid user ID or password"),
    ([], None, "user name is empty"),
])
def test_not_let_in(etcd, client, options, password, why):
    cluster = etcd(auth=True)
    mirror = client(cluster.urls, options, password)
    assert why in mirror.wait("lost .*")
    assert "wrong-hush" not in mirror.stop()


def test_tls(etcd, client, directory):
    pki = Pki(directory / "pki")
    cluster = etcd(pki=pki, auth=True)
    pair = cluster.client_pair
    mirror = client(cluster.urls, ["-a", pki.ca.cert, "-c", pair.cert, "-k",
                                   pair.key, "-u", USER], PASSWORD)
    mirror.wait("settled .*")
    mirror.wait_settled(cluster.put(PREFIX + "a", "1"))
    assert mirror.ask(f"create {PREFIX}b 1") == "done"


def test_tls_with_a_common_name(etcd, client, directory):
    """Which etcd does not take through its gateway when users log in."""
    pki = Pki(directory / "pki")
    cluster = etcd(pki=pki, auth=True)
    pair = pki.make("waypost")
    mirror = client(cluster.urls, ["-a", pki.ca.cert, "-c", pair.cert, "-k",
                                   pair.key, "-u", USER], PASSWORD, 1000)
    assert re.search("CommonName of client .*our certificate must have no "
                     "common name", mirror.wait("lost .*"))


def test_tls_of_somebody_else(etcd, client, directory):
    pki = Pki(directory / "pki")
    cluster = etcd(pki=pki)
    other = Pki(directory / "other")
    pair = cluster.client_pair
    mirror = client(cluster.urls, ["-a", other.ca.cert, "-c", pair.cert, "-k",
                                   pair.key], timeout_ms=1000)
    assert "certificate" in mirror.wait("lost .*")
    stranger = client(cluster.urls, ["-a", pki.ca.cert], timeout_ms=1000)
    stranger.wait("lost .*")


def test_lease_lives_and_dies_with_its_client(etcd, client):
    cluster = etcd(3)
    mirror = client(cluster.urls)
    mirror.wait("settled .*")
    one = client(cluster.urls)
    one.tell("lease 2")
    one.wait("granted")
    assert one.ask(f"create-leased {PREFIX}node up") == "done"
    mirror.wait(f"put {PREFIX}node=up")
    # Longer than its time, by the clock of another key with as much.
    other = client(cluster.urls)
    other.tell("lease 2")
    other.wait("granted")
    assert other.ask(f"create-leased {PREFIX}clock x") == "done"
    mirror.wait(f"put {PREFIX}clock=x")
    other.process.kill()
    mirror.wait(f"gone {PREFIX}clock")
    assert PREFIX + "node" in mirror.state()
    one.process.kill()
    mirror.wait(f"gone {PREFIX}node")


def test_lease_is_revoked(etcd, client):
    cluster = etcd()
    one = client(cluster.urls)
    one.wait("settled .*")
    one.tell("lease 600")
    one.wait("granted")
    assert one.ask(f"create-leased {PREFIX}node up") == "done"
    one.wait(f"put {PREFIX}node=up")
    assert one.ask("revoke") == "revoked"
    assert cluster.get(PREFIX + "node") is None
    one.wait(f"gone {PREFIX}node")
    assert one.count("lease-lost") == 0


def test_lease_is_lost_with_etcd_and_comes_back(etcd, client):
    cluster = etcd()
    one = client(cluster.urls, timeout_ms=500)
    one.wait("settled .*")
    one.tell("lease 2")
    one.wait("granted")
    cluster.pause()
    assert "2 s" in one.wait("lease-lost .*")
    cluster.resume()
    one.wait("granted")
    assert one.ask(f"create-leased {PREFIX}node up") == "done"


def test_client_that_slept_has_lost_its_lease(etcd, client):
    cluster = etcd()
    one = client(cluster.urls)
    one.wait("settled .*")
    one.tell("lease 2")
    one.wait("granted")
    assert one.ask(f"create-leased {PREFIX}node up") == "done"
    one.wait(f"put {PREFIX}node=up")
    one.pause()
    wait_until(lambda: cluster.get(PREFIX + "node") is None, "its end")
    one.resume()
    start = one.seen
    one.wait("lease-lost .*")
    one.wait("granted")
    one.find(f"gone {PREFIX}node", start)


class Silencer:
    """Passes connections on to a member, and can have those with a watch say
    nothing any more, as if what is between had forgotten them."""

    def __init__(self, url):
        host, _, port = url.removeprefix("http://").rpartition(":")
        self.target = (host, int(port))
        self.listener = socket.create_server((host, 0))
        self.url = f"http://{host}:{self.listener.getsockname()[1]}"
        self.watches, self.silent, self.questions = [], set(), 0
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client = self.listener.accept()[0]
                server = socket.create_connection(self.target)
                for run in (self.ask, self.answer):
                    threading.Thread(target=run, args=(client, server),
                                     daemon=True).start()

    def ask(self, client, server):
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                if b"POST /v3/watch" in data:
                    self.watches.append(client)
                self.questions += b"min_mod_revision" in data
                server.sendall(data)
            server.shutdown(socket.SHUT_RDWR)

    def answer(self, client, server):
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                if client not in self.silent:
                    client.sendall(data)
            client.shutdown(socket.SHUT_RDWR)

    def silence(self):
        self.silent.update(self.watches)

    def wait_questions(self, count):
        until = self.questions + count
        wait_until(lambda: self.questions >= until, f"{count} questions")


@pytest.fixture
def silencer():
    made = []

    def make(url):
        made.append(Silencer(url))
        return made[-1]
    yield make
    for one in made:
        one.listener.close()


@pytest.mark.parametrize("change", ["put", "delete", "both"])
def test_watch_that_is_silently_dead(etcd, client, silencer, change):
    cluster = etcd()
    for name in "abc":
        cluster.put(PREFIX + name, "1")
    between = silencer(cluster.urls[0])
    mirror = client([between.url], timeout_ms=2000)
    mirror.wait("settled .*")
    wait_until(lambda: len(between.watches) == 1, "the watch")
    mirror.wait_settled(cluster.put(PREFIX + "a", "2"))
    between.silence()
    if change != "delete":
        revision = cluster.put(PREFIX + "d", "1")
    if change != "put":
        revision = cluster.delete(PREFIX + "b")
    mirror.wait_settled(revision)
    assert mirror.state() == cluster.keys()
    assert mirror.count("lost") == 0
    assert len(between.watches) == 2


def test_a_watch_that_lives_is_not_doubted(etcd, client, silencer):
    """Whatever becomes of keys, and of those of others."""
    cluster = etcd()
    for number in range(120):
        cluster.put(f"{PREFIX}{number}", "1")
    between = silencer(cluster.urls[0])
    mirror = client([between.url], timeout_ms=2000)
    mirror.wait("settled .*")
    mirror.tell("lease 20")
    mirror.wait("granted")
    assert mirror.ask(f"create-leased {PREFIX}leased x") == "done"
    for number in range(0, 120, 3):
        cluster.delete(f"{PREFIX}{number}")
        cluster.put(f"{PREFIX}{number + 1}", "2")
        cluster.put(f"{PREFIX}new{number}", "1")
        cluster.put("other", str(number))
    cluster.delete(PREFIX + "new0")
    cluster.put(PREFIX + "new0", "again")
    assert mirror.ask("revoke") == "revoked"
    mirror.wait("gone k/leased")
    cluster.delete("other")
    revision = cluster.put(PREFIX + "last", "1")
    mirror.wait_settled(revision)
    between.wait_questions(5)
    assert len(between.watches) == 1
    assert mirror.state() == cluster.keys()
    assert mirror.count("begins") == 1
