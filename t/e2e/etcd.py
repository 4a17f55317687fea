"""A real etcd cluster in a directory of its own, spoken to by its JSON gateway."""
import base64
import contextlib
import json
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import threading
import urllib.error
import urllib.request

from ports import LOCALHOST, free_port
from servers import find
from waiting import TIMEOUT, wait_until

USER, PASSWORD = "way", "hush-hush"  # may use PREFIX only
ROOT_PASSWORD = "root-hush"
PREFIX = "k/"


def text64(text):
    return base64.b64encode(text.encode()).decode()


def prefix_end(prefix):
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


class Relay:
    """Passes the connections of other members on to a member. Who they are is
    in the header of their first request."""

    def __init__(self, cluster, number, port):
        self.cluster, self.number = cluster, number
        self.target = (LOCALHOST, port)
        self.listener = socket.create_server((LOCALHOST, 0))
        self.port = self.listener.getsockname()[1]
        self.passed = []  # who connected, and both sockets
        self.spawn(self.accept)

    @staticmethod
    def spawn(run, *args):
        threading.Thread(target=run, args=args, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.spawn(self.connect, client)

    def connect(self, client):
        server = None
        try:
            head = b""
            while b"\r\n\r\n" not in head:
                more = client.recv(65536)
                assert more
                head += more
            found = re.search(rb"X-Server-From: (\w+)", head)
            peer = found and found[1].decode()
            assert not self.cluster.is_cut(peer, self.number)
            server = socket.create_connection(self.target)
            server.sendall(head)
        except (AssertionError, OSError):
            client.close()
            if server:
                server.close()
            return
        self.passed.append((peer, client, server))
        if self.cluster.is_cut(peer, self.number):  # since just now
            self.drop(self.cluster.is_cut)
        self.spawn(self.pass_on, client, server)
        self.spawn(self.pass_on, server, client)

    @staticmethod
    def pass_on(source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for sock in (source, sink):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def drop(self, condition):
        for peer, *sockets in self.passed:
            if condition(peer, self.number):
                for sock in sockets:
                    with contextlib.suppress(OSError):
                        sock.shutdown(socket.SHUT_RDWR)

    def stop(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.drop(lambda *_: True)
        for _, *sockets in self.passed:
            for sock in sockets:
                sock.close()


class Member:
    def __init__(self, cluster, number, relays, host):
        self.name = f"m{number}"
        self.dir = cluster.dir / self.name
        scheme = "https" if cluster.pki else "http"
        self.url = f"{scheme}://{host}:{free_port(host)}"
        port = free_port(host)
        self.peer_listen = self.peer_url = f"http://{host}:{port}"
        self.relay = Relay(cluster, number, port) if relays else None
        if relays:
            self.peer_url = f"http://{LOCALHOST}:{self.relay.port}"
        self.process = None


class Etcd:
    """count members; with auth, USER has to log in, and may use prefix; with
    pki, TLS on both sides; with relays, members can be cut off from each other. A
    member that is killed or paused can be told to start() or resume()."""

    def __init__(self, directory, count=1, auth=False, pki=None,
                 relays=False, prefix=PREFIX):
        self.prefix = prefix
        self.dir = pathlib.Path(directory)
        self.dir.mkdir(mode=0o755)
        self.pki = pki
        self.context = None
        self.args = []
        if pki:
            self.use_tls(pki)
        self.token = self.lonely = self.lonely_id = None
        self.members = []
        for number in range(count):
            with self.place(number) as host:
                self.members.append(Member(self, number, relays, host))
        for number in range(count):
            self.launch(number)
        for number in range(count):
            self.wait_ready(number)
        if auth:
            self.enable_auth()

    def use_tls(self, pki):
        pair = pki.make(LOCALHOST, f"IP:{LOCALHOST}")
        # With a common name in it the gateway refuses everything as soon as
        # there is authentication.
        self.client_pair = pki.make("waypost", subject="/O=waypost")
        self.context = pki.client(pair=self.client_pair)
        self.args = ["--cert-file", pair.cert, "--key-file", pair.key,
                     "--trusted-ca-file", pki.ca.cert, "--client-cert-auth"]

    @property
    def urls(self):
        return [member.url for member in self.members]

    # --- members ---

    def place(self, number):
        """A context in which that member is started, and its address."""
        return contextlib.nullcontext(LOCALHOST)

    def launch(self, number):
        member = self.members[number]
        peers = ",".join(f"{m.name}={m.peer_url}" for m in self.members)
        with self.place(number), \
                open(self.dir / f"{member.name}.log", "ab") as log:
            member.process = subprocess.Popen(
                [find("etcd"), "--name", member.name, "--data-dir", member.dir,
                 "--listen-client-urls", member.url,
                 "--advertise-client-urls", member.url,
                 "--listen-peer-urls", member.peer_listen,
                 "--initial-advertise-peer-urls", member.peer_url,
                 "--initial-cluster", peers, "--initial-cluster-state", "new",
                 "--heartbeat-interval", "50", "--election-timeout", "500",
                 # A login costs as little as may be.
                 "--bcrypt-cost", "4",
                 *self.args],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=log)

    def wait_ready(self, number):
        """It knows of a leader, and answers what takes a quorum."""
        def ready():
            member = self.members[number]
            assert member.process.poll() is None, \
                (self.dir / f"{member.name}.log").read_text()
            try:
                return self.call("kv/range", {"key": text64("none")},
                                 number=number)
            except urllib.error.HTTPError as exc:
                return exc.code in (400, 401)  # it wants a token
            except OSError:
                return None
        wait_until(ready, f"etcd {number}")

    def start(self, number=0):
        """Again, behind kill()."""
        self.launch(number)
        self.wait_ready(number)

    def kill(self, number=0):
        self.members[number].process.kill()
        self.members[number].process.wait(TIMEOUT)

    def wipe(self, number=0):
        """Nothing is left of what a killed one knew."""
        shutil.rmtree(self.members[number].dir)

    def terminate(self, number=0):
        """As its administrator stops it."""
        self.members[number].process.terminate()
        self.members[number].process.wait(TIMEOUT)

    def pause(self, number=0):
        process = self.members[number].process
        process.send_signal(signal.SIGSTOP)
        tasks = pathlib.Path(f"/proc/{process.pid}/task")
        wait_until(lambda: all("State:\tT" in (task / "status").read_text()
                               for task in tasks.iterdir()), "etcd to stop")

    def resume(self, number=0):
        self.members[number].process.send_signal(signal.SIGCONT)

    # --- with relays ---

    def is_cut(self, peer, number):
        return self.lonely is not None and (
            number == self.lonely or peer == self.lonely_id)

    def cut_off(self, number):
        """No other member reaches it, nor does it reach them."""
        status = self.call("maintenance/status", {}, number)
        self.lonely_id = f"{int(status['header']['member_id']):x}"
        self.lonely = number
        for member in self.members:
            member.relay.drop(self.is_cut)

    def heal(self):
        self.lonely = None

    def leader(self, without=None):
        """The number of the leader, as a running member knows it."""
        def known():
            for number, member in enumerate(self.members):
                if member.process.poll() is not None or number == without:
                    continue
                status = self.call("maintenance/status", {}, number=number)
                if status.get("leader") == status["header"]["member_id"]:
                    return number + 1
            return None
        return wait_until(known, "a leader") - 1

    def stop(self):
        for member in self.members:
            if member.process.poll() is None:
                member.process.kill()
                member.process.send_signal(signal.SIGCONT)
        for member in self.members:
            member.process.wait(TIMEOUT)
            if member.relay:
                member.relay.stop()

    def log(self):
        return "".join(path.read_text(errors="replace")
                       for path in sorted(self.dir.glob("*.log")))

    # --- calls ---

    def call(self, path, body, number=None):
        """Asks that member, or the first one that runs."""
        if number is None:
            number = next(i for i, member in enumerate(self.members)
                          if member.process.poll() is None)
        headers = {"Authorization": self.token} if self.token else {}
        request = urllib.request.Request(
            f"{self.members[number].url}/v3/{path}",
            json.dumps(body).encode(), headers)
        return wait_until(lambda: self.ask(request), "a leader")

    def ask(self, request):
        """None: there is no leader just now."""
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT,
                                        context=self.context) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as exc:
            if exc.code == 503:
                return None
            raise

    def put(self, key, value, number=None):
        """Returns the revision."""
        answer = self.call("kv/put", {"key": text64(key),
                                      "value": text64(value)}, number)
        return int(answer["header"]["revision"])

    def get(self, key):
        kvs = self.call("kv/range", {"key": text64(key)}).get("kvs", [])
        return base64.b64decode(kvs[0].get("value", "")).decode() \
            if kvs else None

    def keys(self, prefix=PREFIX):
        """All of them, with their values."""
        answer = self.call("kv/range", {
            "key": text64(prefix), "range_end": text64(prefix_end(prefix))})
        return {base64.b64decode(kv["key"]).decode():
                base64.b64decode(kv.get("value", "")).decode()
                for kv in answer.get("kvs", [])}

    def delete(self, key):
        answer = self.call("kv/deleterange", {"key": text64(key)})
        return int(answer["header"]["revision"])

    def compact(self, revision):
        self.call("kv/compaction", {"revision": str(revision),
                                    "physical": True})

    def login(self):
        self.token = None
        self.token = self.call("auth/authenticate", {
            "name": "root", "password": ROOT_PASSWORD})["token"]

    def enable_auth(self):
        permission = {"permType": "READWRITE", "key": text64(self.prefix),
                      "range_end": text64(prefix_end(self.prefix))}
        for path, body in (
                ("user/add", {"name": "root", "password": ROOT_PASSWORD}),
                ("role/add", {"name": "root"}),
                ("user/grant", {"user": "root", "role": "root"}),
                ("user/add", {"name": USER, "password": PASSWORD}),
                ("role/add", {"name": "keys"}),
                ("role/grant", {"name": "keys", "perm": permission}),
                ("user/grant", {"user": USER, "role": "keys"}),
                ("enable", {})):
            self.call(f"auth/{path}", body)
        self.login()
