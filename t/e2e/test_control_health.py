"""/healthz and /readyz: for orchestrators and load balancers, who have no token."""
import contextlib
import http.client
import socket

import pytest

from control import Control
from ports import LOCALHOST, free_port
from systemd import Stuck
from test_control_access import HTTP, http_get
from waiting import TIMEOUT, wait_until
from waypost import static_passdb

PROBES = ["/healthz", "/readyz"]


def listener(port, **settings):
    return "".join(f"{name} = {value}\n" for name, value in settings.items()) + \
        HTTP.format(port=port, host=LOCALHOST, more="")


def test_probes_need_no_token_at_all(backend, waypost):
    """And there is nothing else without one: neither for who shows none, nor for
    who shows an empty one."""
    port = free_port()
    proxy = waypost(static_passdb(backend) + listener(port))
    for path in PROBES:
        assert http_get(port, path) == (200, "ok\n")
    for path in ("/metrics", "/v1/status", "/v1/config", "/nowhere"):
        for token in (None, "", " ", "x"):
            status, body = http_get(port, path, token)
            assert status == 403
            assert "without http_token" in body
    for path in ("/v1/stop", "/v1/drain", "/v1/reload", "/healthz"):
        assert http_get(port, path, "x", "POST")[0] in (403, 405)
    assert Control(proxy).get("/v1/status")["state"] == "serving"


def test_an_empty_token_opens_nothing(backend, waypost, directory):
    (directory / "token").write_text("\n")
    port = free_port()
    waypost(static_passdb(backend) +
            listener(port, http_token=f"<{directory}/token"))
    assert http_get(port, "/healthz") == (200, "ok\n")
    for token in (None, "", "\n"[:0], "x"):
        assert http_get(port, "/v1/status", token)[0] == 403


def test_a_token_that_comes_and_goes(backend, waypost):
    port = free_port()
    proxy = waypost(static_passdb(backend) + listener(port))
    control = Control(proxy)
    for token, status in (("sesame", 200), ("", 403)):
        proxy.write_config(static_passdb(backend) +
                           listener(port, http_token=token))
        assert control.ctl("reload").returncode == 0
        assert http_get(port, "/v1/status", "sesame")[0] == status
        assert http_get(port, "/readyz") == (200, "ok\n")


@pytest.mark.parametrize("token, warned", [("", False), ("sesame", True)])
def test_what_is_said_of_a_listener_for_all(backend, instance, token, warned):
    """Without a token there is nothing that could be read on the way."""
    proxy = instance()
    proxy.write_config(static_passdb(backend) + f"http_token = {token}\n" +
                       HTTP.format(port=8000, host="0.0.0.0", more=""))
    result = proxy.run("-t")
    assert result.returncode == 0
    assert ("can read http_token" in result.stderr) == warned


def test_what_they_say_while_it_drains(backend, waypost):
    port = free_port()
    proxy = waypost(static_passdb(backend) + listener(port))
    control = Control(proxy)
    assert control.ctl("ready").stdout == "ok\n"
    control.post("/v1/drain")
    assert http_get(port, "/healthz") == (200, "ok\n")
    assert http_get(port, "/readyz") == (503, "draining\n")
    ready = control.ctl("ready")
    assert (ready.returncode, ready.stderr) == (75, "waypostctl: draining\n")
    assert control.ctl("health").returncode == 0
    control.post("/v1/undrain")
    assert control.ctl("ready").returncode == 0


def test_a_thread_that_hangs(backend, waypost):
    """It is not well, but serves with the others; without any it does not."""
    port = free_port()
    proxy = waypost(static_passdb(backend) + listener(port))
    control = Control(proxy)
    worker, = proxy.workers()
    hangs = "a worker thread does not answer\n"
    with contextlib.ExitStack() as stuck:
        stuck.enter_context(Stuck(worker, "worker-0"))
        assert http_get(port, "/healthz") == (503, hangs)
        assert http_get(port, "/readyz") == (200, "ok\n")
        health = control.ctl("health")
        assert (health.returncode, health.stderr) == \
            (75, f"waypostctl: {hangs}")
        stuck.enter_context(Stuck(worker, "worker-1"))
        assert http_get(port, "/healthz") == (503, hangs)
        assert http_get(port, "/readyz") == (503, "no worker thread answers\n")
    wait_until(lambda: http_get(port, "/healthz")[0] == 200, "its recovery")
    assert http_get(port, "/readyz") == (200, "ok\n")


def test_many_who_ask_while_a_thread_hangs(backend, waypost):
    """One question is under way for them all, and all are answered."""
    port = free_port()
    proxy = waypost(static_passdb(backend) + listener(port))
    worker, = proxy.workers()
    with Stuck(worker, "worker-0"):
        kept = []
        for number in range(100):
            connection = http.client.HTTPConnection(LOCALHOST, port,
                                                    timeout=TIMEOUT)
            connection.request("GET", PROBES[number % 2])
            kept.append(connection)
        statuses = [connection.getresponse().status for connection in kept]
        assert statuses == [503, 200] * 50
        for connection in kept:
            connection.close()
        # Who is somebody is heard meanwhile.
        assert Control(proxy).get("/v1/stats")["sessions"] == 0


def test_head(backend, waypost):
    """Some load balancers ask so. The connection can be used again."""
    port = free_port()
    waypost(static_passdb(backend) + listener(port, http_token="sesame"))
    connection = http.client.HTTPConnection(LOCALHOST, port, timeout=TIMEOUT)
    for path in PROBES:
        connection.request("HEAD", path)
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"")
        assert answer.getheader("Content-Length") == "3"
    sock = connection.sock
    connection.request("HEAD", "/v1/status")
    assert connection.getresponse().read() == b""
    connection.request("GET", "/healthz")
    assert connection.getresponse().read() == b"ok\n"
    assert connection.sock is sock
    connection.close()


@pytest.mark.parametrize("path, method, allowed", [
    ("/healthz", "POST", "GET, HEAD"), ("/v1/status", "DELETE", "GET, HEAD"),
    ("/v1/reload", "GET", "POST"), ("/v1/reload", "HEAD", "POST"),
])
def test_methods_that_there_are_not(backend, waypost, path, method, allowed):
    port = free_port()
    waypost(static_passdb(backend) +
            listener(port, http_token="sesame", http_allow_changes="yes"))
    connection = http.client.HTTPConnection(LOCALHOST, port, timeout=TIMEOUT)
    connection.request(method, path,
                       headers={"Authorization": "Bearer sesame"})
    answer = connection.getresponse()
    assert (answer.status, answer.getheader("Allow")) == (405, allowed)
    connection.close()


def test_who_asks_does_not_keep_others_out(backend, waypost):
    """More who wait for an answer than there may be clients: somebody with the token
    gets in."""
    port = free_port()
    proxy = waypost(static_passdb(backend) +
                    listener(port, http_token="sesame"))
    worker, = proxy.workers()
    with Stuck(worker, "worker-0"):
        waiting = []
        for _ in range(300):
            sock = socket.create_connection((LOCALHOST, port), timeout=TIMEOUT)
            sock.sendall(b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n")
            waiting.append(sock)
        status, body = http_get(port, "/v1/status", "sesame")
        assert status == 200, body
    for sock in waiting:
        sock.close()
