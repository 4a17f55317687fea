"""The control interface: who may use it, and clients that misbehave."""
import http.client
import os
import pwd
import shutil
import signal
import socket
import ssl
import subprocess

import pytest

from control import CTL, Control, UnixConnection
from pki import Pki
from ports import LOCALHOST, free_port
from processes import is_stopped
from waiting import TIMEOUT, wait_until
from waypost import static_passdb

HTTP = """\
service http {{
  inet_listener http {{
    address = {host}
    port = {port}
    {more}
  }}
}}
"""


def http_get(port, path, token=None, method="GET", tls=None):
    if tls is None:
        connection = http.client.HTTPConnection(LOCALHOST, port, timeout=TIMEOUT)
    else:
        connection = http.client.HTTPSConnection("localhost", port,
                                                 timeout=TIMEOUT, context=tls)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


# --- who may ---

@pytest.mark.needs_root
def test_only_its_owner_may_use_the_socket(backend, waypost):
    proxy = waypost(static_passdb(backend), as_root=True)
    control = Control(proxy)
    mode = os.stat(control.path).st_mode & 0o777
    assert mode == 0o600
    nobody = pwd.getpwnam("daemon")
    copy = shutil.copy(CTL, proxy.dir)
    run = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    result = subprocess.run([copy, "-s", control.path, "status"], check=False,
                            capture_output=True, text=True, timeout=TIMEOUT, **run)
    assert result.returncode == 77
    assert "Permission denied" in result.stderr
    assert control.ctl("status").returncode == 0


@pytest.mark.needs_root
@pytest.mark.parametrize("groups, status", [(["mail"], 0), ([], 77)])
def test_a_group_may_use_it(backend, waypost, groups, status):
    proxy = waypost(static_passdb(backend)
                    + "service ctl {\n  unix_listener ctl {\n"
                      "    mode = 0660\n    group = mail\n  }\n}\n",
                    as_root=True)
    control = Control(proxy)
    user = pwd.getpwnam("daemon")
    copy = shutil.copy(CTL, proxy.dir)
    result = subprocess.run([copy, "-s", control.path, "status"], check=False,
                            capture_output=True, text=True, timeout=TIMEOUT,
                            user=user.pw_uid, group=user.pw_gid,
                            extra_groups=groups)
    assert result.returncode == status, result.stderr


@pytest.mark.needs_root
def test_a_connection_is_judged_by_who_made_it(backend, waypost):
    """Somebody who connected while the mode was wider: it counts now."""
    proxy = waypost(static_passdb(backend), as_root=True)
    control = Control(proxy)
    user = pwd.getpwnam("daemon")
    worker = proxy.workers()[0]
    os.chmod(control.path, 0o666)
    code = ("import socket, sys\n"
            "s = socket.socket(socket.AF_UNIX)\n"
            "s.connect(sys.argv[1])\n"
            "print('connected', flush=True)\n"
            "sys.stdin.readline()\n"
            "s.sendall(b'GET /v1/status HTTP/1.0\\r\\n\\r\\n')\n"
            "print(s.makefile().readline().split()[1])\n")
    # The worker process does not accept yet.
    os.kill(worker, signal.SIGSTOP)
    wait_until(lambda: is_stopped(worker), "it to stop")
    with subprocess.Popen(["python3", "-c", code, control.path],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True, user=user.pw_uid, group=user.pw_gid,
                          extra_groups=[]) as other:
        assert other.stdout.readline() == "connected\n"
        os.chmod(control.path, 0o600)
        os.kill(worker, signal.SIGCONT)
        assert other.communicate("go\n", timeout=TIMEOUT)[0] == "403\n"
    proxy.wait_log("control: user .* may not use")


def test_tcp_wants_the_token(backend, waypost):
    port = free_port()
    proxy = waypost(static_passdb(backend) + "http_token = sesame\n"
                    + HTTP.format(port=port, host=LOCALHOST, more=""))
    assert http_get(port, "/healthz") == (200, "ok\n")
    assert http_get(port, "/readyz") == (200, "ok\n")
    for token in (None, "", "sesam", "sesame1", "SESAME", "sesamesesame"):
        assert http_get(port, "/v1/status", token)[0] == 401
        assert http_get(port, "/nowhere", token)[0] == 401
    assert http_get(port, "/v1/status", "sesame")[0] == 200
    assert http_get(port, "/v1/reload", "sesame", "POST")[0] == 403
    proxy.write_config(static_passdb(backend) + "http_token = sesame\n"
                       "http_allow_changes = yes\n"
                       + HTTP.format(port=port, host=LOCALHOST, more=""))
    assert Control(proxy).ctl("reload").returncode == 0
    assert http_get(port, "/v1/reload", "sesame", "POST")[0] == 200


def test_a_token_from_a_file_over_tls(backend, waypost, directory):
    pki = Pki(directory / "pki")
    cert = pki.make("localhost")
    (directory / "token").write_text("open sesame\n")
    port = free_port()
    waypost(static_passdb(backend)
            + f"http_token = <{directory}/token\n"
              f"ssl_cert = <{cert.cert}\nssl_key = <{cert.key}\n"
            + HTTP.format(port=port, host="127.0.0.1", more="ssl = yes"))
    tls = ssl.create_default_context(cafile=str(pki.ca.cert))
    assert http_get(port, "/v1/status", "open sesame", tls=tls)[0] == 200
    assert http_get(port, "/v1/status", "open", tls=tls)[0] == 401
    with pytest.raises(OSError):
        http_get(port, "/v1/status", "open sesame")


@pytest.mark.parametrize("config, error", [
    ("http_allow_changes = yes\n"
     + HTTP.format(port=8000, host="127.0.0.1", more=""),
     "http_allow_changes needs http_token"),
    ("http_token = x\n" + HTTP.format(port=8000, host="127.0.0.1", more="haproxy = yes"),
     "does not know haproxy"),
    ("http_token = x\n" + HTTP.format(port=8000, host="127.0.0.1", more="ssl = yes"),
     "ssl = yes needs ssl_cert"),
    ("service ctl {\n  inet_listener x {\n    port = 1\n  }\n}\n",
     "inet_listener"),
    ("service ctl {\n  unix_listener x {\n    user = no-such-user\n  }\n}\n",
     "there is no user 'no-such-user'"),
])
def test_configurations_that_are_wrong(instance, backend, config, error):
    proxy = instance()
    proxy.write_config(static_passdb(backend) + config)
    result = proxy.run("-t")
    assert result.returncode == 78
    assert error in result.stderr


# --- clients that misbehave ---

def test_garbage_and_slow_clients_do_no_harm(backend, waypost):
    proxy = waypost(static_passdb(backend))
    control = Control(proxy)
    socks = []
    for data in (b"", b"G", b"\x16\x03\x01\x02\x00\x01", b"EHLO x\r\n",
                 b"GET /v1/sessions HTTP/1.1\r\nHost: a\r\n\r\n" * 1000,
                 b"POST /v1/reload HTTP/1.1\r\nHost: a\r\n"
                 b"Content-Length: 60000\r\n\r\n" + b"x" * 30000):
        for _ in range(5):
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(TIMEOUT)
            sock.connect(control.path)
            sock.setblocking(False)
            try:
                sock.send(data)
            except OSError:
                pass
            socks.append(sock)
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250
        assert control.get("/v1/status")["sessions"] == 1
    for sock in socks:
        sock.close()


def test_one_of_too_many_connections_is_closed(backend, waypost):
    """All may be here; one that is idle makes room, so that nobody is kept out."""
    proxy = waypost(static_passdb(backend))
    control = Control(proxy)
    kept = []
    for _ in range(64):
        connection = UnixConnection(control.path)
        connection.request("GET", "/v1/status")
        assert connection.getresponse().read()
        kept.append(connection)
    assert control.request("/healthz") == (200, "ok\n")
    closed = 0
    for connection in kept:
        connection.auto_open = 0
        try:
            connection.request("GET", "/healthz")
            assert connection.getresponse().read() == b"ok\n"
        except ConnectionError:
            closed += 1
        connection.close()
    assert closed == 1


def idle_after(port, data):
    """A connection of somebody without the token, who stays."""
    sock = socket.create_connection((LOCALHOST, port), timeout=TIMEOUT)
    sock.sendall(data)
    if data.endswith(b"\r\n\r\n"):
        assert sock.recv(1000)
    return sock


@pytest.mark.parametrize("data", [
    b"", b"GET /v1/sta", b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /v1/status HTTP/1.1\r\nHost: a\r\n\r\n",
])
def test_who_has_no_token_makes_room(backend, waypost, data):
    port = free_port()
    waypost(static_passdb(backend) + "http_token = sesame\n"
            + HTTP.format(port=port, host=LOCALHOST, more=""))
    scraper = http.client.HTTPConnection(LOCALHOST, port, timeout=TIMEOUT)

    def scrape():
        scraper.request("GET", "/metrics",
                        headers={"Authorization": "Bearer sesame"})
        answer = scraper.getresponse()
        answer.read()
        assert answer.status == 200

    scraper.connect()
    sock = scraper.sock
    scrape()
    socks = [idle_after(port, data) for _ in range(300)]
    scrape()
    assert scraper.sock is sock
    assert http_get(port, "/v1/status", "sesame")[0] == 200
    for sock in socks:
        sock.close()
    scraper.close()
