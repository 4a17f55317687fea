"""Under the seccomp filters of the unit for systemd: all that waypost does is
allowed. Whatever is not kills it."""
import http.client
import os
import re
import signal

import pytest

from confine import allowed, values
from control import Control
from handover import die, hand_over
from pki import Pki
from ports import LOCALHOST, free_port
from waiting import TIMEOUT
from waypost import CONFINED, TOP

UNIT = (TOP / "contrib/systemd/waypost.service.in").read_text()
CONFIG = """\
passdb {{
  driver = passwd-file
  args = {users}
}}
auth_username_format = %Ln
auth_cache_size = 1M
lmtp_proxy_dns_servers = {dns.server}
debug_log_path = {log}
ssl = yes
ssl_cert = <{pair.cert}
ssl_key = <{pair.key}
ssl_client_ca_file = {ca}
http_token = sesame
service http {{
  inet_listener http {{
    address = {host}
    port = {port}
    ssl = yes
  }}
}}
"""
BIG = "Subject: big\r\n\r\n" + ("x" * 70 + "\r\n") * 30000
# Of a program that makes calls which have to fail.
CALLS = """\
import mmap, socket
try:
    socket.socket(socket.AF_NETLINK)
except OSError as exc:
    print(exc.strerror)
try:
    mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC)
except OSError as exc:
    print(exc.strerror)
"""
pytestmark = pytest.mark.needs("systemd-analyze")


@pytest.fixture(params=[
    False, pytest.param(True, marks=pytest.mark.needs_root)])
def confined(request, instance):
    proxy = instance(as_root=request.param)
    proxy.prefix = CONFINED
    return proxy


def test_the_filter_is_one():
    calls = allowed(UNIT)
    assert {"read", "execve", "prlimit64", "setuid"} <= calls
    assert not {"mount", "ptrace", "reboot", "init_module",
                "sched_setaffinity", "keyctl", "bpf"} & calls
    assert values(UNIT, "RestrictAddressFamilies") == [
        ["AF_UNIX", "AF_INET", "AF_INET6"]]


def test_what_is_not_allowed_fails(confined):
    """So the next one could, too."""
    confined.binary = "/usr/bin/python3"
    confined.config_path = "import os; os.sched_setaffinity(0, {0})"
    assert confined.run().returncode == -signal.SIGSYS
    confined.config_path = CALLS
    assert confined.run().stdout == (
        "Address family not supported by protocol\n"
        "Operation not permitted\n")


@pytest.fixture
def pki(directory):
    return Pki(directory / "pki")


@pytest.fixture
def running(backends, dns, confined, pki):
    """A running one, with TLS on both sides, DNS, a cache, a log file, the
    control interface on TCP; and its backend."""
    backend = backends(tls=pki.server(pki.make("mx.example.org")),
                       starttls=True)
    dns.zone["mx.example.org"] = [backend.host]
    users = confined.write_file(
        "users", "joe:::::::proxy=y starttls=yes host=mx.example.org "
                 f"port={backend.port}\n")
    confined.http = free_port()
    confined.start(CONFIG.format(
        users=users, dns=dns, log=confined.dir / "run" / "debug.log",
        pair=pki.make("proxy.example", f"IP:{LOCALHOST}"), ca=pki.ca.cert,
        host=LOCALHOST, port=confined.http))
    return confined, backend


def delivers(proxy, pki, body="Subject: x\r\n\r\nx\r\n"):
    with proxy.session() as client:
        client.starttls(pki.client())
        assert client.lhlo() == 250
        assert client.deliver("joe@example.org", body)[0] == 250


def scrape(proxy, pki):
    connection = http.client.HTTPSConnection(LOCALHOST, proxy.http,
                                             timeout=TIMEOUT, context=pki.client())
    connection.request("GET", "/metrics",
                       headers={"Authorization": "Bearer sesame"})
    assert connection.getresponse().status == 200
    connection.close()


def is_filtered(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return re.search(r"^Seccomp:\t2$", file.read(), re.M) is not None


def test_all_of_its_life(running, pki):
    proxy, backend = running
    control = Control(proxy)
    assert is_filtered(proxy.process.pid)
    assert all(is_filtered(pid) for pid in proxy.workers())
    raw = proxy.make_dir("raw")
    control.post(f"/v1/rawlog/on?pattern=joe@*&dir={raw}")
    control.post("/v1/log/level?level=debug")
    delivers(proxy, pki, BIG)
    scrape(proxy, pki)
    for args in (["status"], ["who"], ["pool"], ["auth", "lookup", "joe"],
                 ["config", "origins"], ["log", "reopen"], ["reload"],
                 ["drain"], ["undrain"]):
        result = control.ctl(*args)
        assert result.returncode == 0, (args, result.stderr)
    hand_over(proxy)
    delivers(proxy, pki)
    die(proxy)
    delivers(proxy, pki)
    assert len(backend.messages) == 3
    assert list(raw.iterdir())
    assert os.stat(proxy.dir / "run" / "debug.log").st_size > 0
    proxy.signal(signal.SIGINT)
    assert proxy.wait_exit() == 0
    assert "signal 31" not in proxy.log
