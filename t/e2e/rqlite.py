"""Real nodes of rqlite."""
import base64
import json
import pathlib
import ssl
import subprocess
import urllib.request

import servers
from ports import LOCALHOST, free_port
from waiting import TIMEOUT, wait_until


class Node:
    """pair: certificate and key, for HTTPS. users: of the file of -auth; the
    first may do everything."""

    def __init__(self, directory, number, join=(), pair=None, users=()):
        self.dir = pathlib.Path(directory) / f"rqlite{number}"
        self.port, self.raft = free_port(), f"{LOCALHOST}:{free_port()}"
        scheme = "https" if pair else "http"
        self.url = f"{scheme}://{LOCALHOST}:{self.port}"
        self.headers = {"Content-Type": "application/json"}
        args = [servers.find("rqlited"), "-node-id", str(number),
                "-http-addr", f"{LOCALHOST}:{self.port}",
                "-raft-addr", self.raft]
        if join:
            args += ["-join", ",".join(node.raft for node in join)]
        if pair:
            args += ["-http-cert", str(pair.cert), "-http-key", str(pair.key)]
        if users:
            args += ["-auth", str(self.write_users(directory, users))]
        self.process = subprocess.Popen(
            args + [str(self.dir)], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self.ready, "rqlite")

    def write_users(self, directory, users):
        login = f"{users[0]['username']}:{users[0]['password']}"
        self.headers["Authorization"] = "Basic " + base64.b64encode(
            login.encode()).decode()
        path = pathlib.Path(directory) / "rqlite-users.json"
        path.write_text(json.dumps(users))
        return path

    def get(self, path, body=None):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        request = urllib.request.Request(
            self.url + path, body and json.dumps(body).encode(), self.headers)
        with urllib.request.urlopen(request, timeout=TIMEOUT,
                                    context=context) as answer:
            return answer.read().decode()

    def ready(self):
        assert self.process.poll() is None
        try:
            return self.get("/readyz")
        except OSError:
            return None

    def is_leader(self):
        store = json.loads(self.get("/status"))["store"]
        return store["leader"]["addr"] == self.raft

    def execute(self, *statements):
        answer = json.loads(self.get("/db/execute?transaction",
                                     list(statements)))
        assert not any("error" in result for result in answer["results"]), \
            answer

    def add(self, backend, *users):
        self.add_all(backend, [user.rsplit("@", 1) for user in users])

    def add_all(self, backend, users):
        self.execute(*(
            ["INSERT INTO passdb (userid, domain, proxy, host, port) "
             "VALUES (?, ?, 'y', ?, ?)", userid, domain, backend.host,
             backend.port] for userid, domain in users))

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(TIMEOUT)
