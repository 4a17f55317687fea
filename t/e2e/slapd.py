"""A real OpenLDAP server in a directory of its own."""
import base64
import contextlib
import pathlib
import signal
import socket
import subprocess
import threading
import urllib.parse

from hostile_ldap import SEARCH, Request, take
from ports import LOCALHOST, free_port
from servers import accepts, find
from waiting import TIMEOUT, wait_on, wait_until

BASE = "dc=example,dc=org"
PEOPLE = f"ou=people,{BASE}"
DN, PASSWORD = f"cn=proxy,{BASE}", "se#cret"

CONF = """\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {dir}/pid
argsfile {dir}/args
loglevel none
authz-regexp "gidNumber=.*,cn=peercred,cn=external,cn=auth" "cn=local,{base}"
authz-regexp "cn=client" "cn=local,{base}"
{extra}
database mdb
suffix {base}
rootdn cn=root,{base}
rootpw root
directory {dir}/db
maxsize 268435456
index objectClass,uid,mail eq
access to attrs=userPassword by anonymous auth by * none
access to * {access}
{database}
"""


def ldif(dn, **attributes):
    """An entry; values may hold anything."""
    lines = [("dn", dn)]
    for name, values in attributes.items():
        if isinstance(values, (str, bytes)):
            values = [values]
        lines += [(name, value) for value in values]
    text = []
    for name, value in lines:
        raw = value.encode() if isinstance(value, str) else value
        text.append(f"{name}:: {base64.b64encode(raw).decode()}")
    return "\n".join(text) + "\n\n"


def escape_dn(value):
    """A value in a DN (RFC 4514)."""
    return "".join(c if c.isalnum() and c.isascii() else
                   "".join(f"\\{b:02x}" for b in c.encode()) for c in value)


def user(name, backend, **attributes):
    """A user who lives on backend."""
    attributes = {"mail": name, "host": backend.host,
                  "telephoneNumber": str(backend.port), **attributes}
    return ldif(f"uid={escape_dn(name)},{PEOPLE}",
                objectClass=["account", "extensibleObject"], uid=name,
                **attributes)


class Slapd:
    """urls: of ldap, ldaps, ldapi, as many as wanted."""

    def __init__(self, directory, entries="", kinds=("ldap",), extra="",
                 access="by anonymous auth by users read", database=""):
        self.dir = pathlib.Path(directory)
        for path in (self.dir, self.dir / "db"):
            path.mkdir(mode=0o755)
        self.ports = {kind: free_port() for kind in kinds
                      if kind != "ldapi"}
        self.kinds = kinds
        (self.dir / "slapd.conf").write_text(CONF.format(
            dir=self.dir, base=BASE, extra=extra, access=access,
            database=database))
        self.add_offline(
            ldif(BASE, objectClass=["organization", "dcObject"], o="x",
                 dc="example") +
            ldif(PEOPLE, objectClass="organizationalUnit", ou="people") +
            ldif(DN, objectClass=["organizationalRole",
                                  "simpleSecurityObject"],
                 cn="proxy", userPassword=PASSWORD) + entries)
        self.process = None
        self.start()

    def add_offline(self, entries):
        (self.dir / "ldif").write_text(entries)
        subprocess.run([find("slapadd"), "-q", "-f",
                        str(self.dir / "slapd.conf"), "-l",
                        str(self.dir / "ldif")], check=True, timeout=TIMEOUT,
                       capture_output=True)

    def url(self, kind="ldap", host=LOCALHOST):
        if kind == "ldapi":
            return "ldapi://" + urllib.parse.quote(f"{self.dir}/ldapi",
                                                   safe="")
        return f"{kind}://{host}:{self.ports[kind]}"

    def start(self):
        self.process = subprocess.Popen(
            [find("slapd"), "-f", str(self.dir / "slapd.conf"), "-d", "0",
             "-h", " ".join(self.url(kind) for kind in self.kinds)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=open(self.dir / "log", "ab"))

        def up():
            assert self.process.poll() is None, \
                (self.dir / "log").read_text()
            return all(accepts((LOCALHOST, port))
                       for port in self.ports.values())
        wait_until(up, "slapd")
        if "ldapi" in self.kinds:
            wait_until((self.dir / "ldapi").exists, "ldapi")
            (self.dir / "ldapi").chmod(0o777)

    def send_signal(self, number):
        self.process.send_signal(number)

    def freeze(self):
        """It says nothing any more, until SIGCONT."""
        self.send_signal(signal.SIGSTOP)
        tasks = pathlib.Path(f"/proc/{self.process.pid}/task")
        wait_until(lambda: all(
            "State:\tT" in (task / "status").read_text()
            for task in tasks.iterdir()), "slapd to stop")

    def stop(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.send_signal(signal.SIGCONT)
            self.send_signal(number)
        try:
            self.process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Relay:
    """Passes connections on to a server: counts them and the searches, and can
    hold answers back."""

    def __init__(self, port, host=LOCALHOST):
        self.target = (host, port)
        self.listener = socket.create_server((LOCALHOST, 0))
        self.url = f"ldap://{LOCALHOST}:{self.listener.getsockname()[1]}"
        self.changed = threading.Condition()
        self.count = self.ended = self.searches = 0
        self.open = threading.Event()
        self.sockets = []
        self.release()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.count += 1
            try:
                server = socket.create_connection(self.target)
            except OSError:
                client.close()
                self.ended += 1
                continue
            self.sockets += [client, server]
            for run in (self.requests, self.answers):
                threading.Thread(target=self.pass_on, daemon=True,
                                 args=(run, client, server)).start()

    def pass_on(self, run, client, server):
        with contextlib.suppress(OSError):
            run(client, server)
        for sock in (client, server):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        if run == self.answers:
            self.ended += 1

    def requests(self, client, server):
        data = b""
        while more := client.recv(65536):
            data += more
            while found := take(data):
                data = found[2]
                with self.changed:
                    self.searches += Request(found[1]).kind == SEARCH
                    self.changed.notify_all()
            server.sendall(more)

    def answers(self, client, server):
        while data := server.recv(65536):
            self.open.wait()
            client.sendall(data)

    def hold(self):
        self.open.clear()

    def release(self):
        self.open.set()

    def wait_searches(self, count):
        wait_on(self.changed, lambda: self.searches >= count,
                f"{count} searches")

    def stop(self):
        self.release()
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for sock in self.sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
