"""The control interface, as a client of it sees it."""
import http.client
import json
import socket
import subprocess

from waiting import TIMEOUT
from waypost import BINARY

CTL = BINARY.parent / "waypostctl"


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=TIMEOUT)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(TIMEOUT)
        self.sock.connect(self.path)


class Control:
    """Requests to one instance, each on a connection of its own."""

    def __init__(self, proxy):
        self.path = str(proxy.dir / "run" / "ctl")

    def request(self, path, method="GET", headers=None):
        """Status and body."""
        connection = UnixConnection(self.path)
        try:
            connection.request(method, path, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def get(self, path):
        status, body = self.request(path)
        assert status == 200, (status, body)
        return json.loads(body)

    def post(self, path):
        status, body = self.request(path, "POST")
        assert status == 200, (status, body)
        return json.loads(body)

    def ctl(self, *args, **kwargs):
        """waypostctl, run to its end."""
        return subprocess.run([str(CTL), "-s", self.path, *args],
                              stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=TIMEOUT, check=False,
                              **kwargs)
