"""What was ordered at the control interface holds when another program goes on, or
another worker process."""
import os
import signal
import subprocess

import pytest

from control import CTL, Control, UnixConnection
from handover import die, hand_over, own_binary, refuses, script  # noqa: F401
from processes import gone
from scripted_backend import held_at_dot
from waiting import TIMEOUT, wait_until
from waypost import static_passdb


@pytest.mark.parametrize("replace", [hand_over, die])
def test_drain_holds(backend, waypost, replace):
    proxy = waypost(static_passdb(backend))
    control = Control(proxy)
    control.post("/v1/drain")
    for _ in range(2):
        old = control.get("/v1/status")["worker_pid"]
        new = replace(proxy)
        gone(old)
        status = control.get("/v1/status")
        assert (status["state"], status["worker_pid"]) == ("draining", new)
        assert refuses(proxy)
        assert control.request("/readyz") == (503, "draining\n")
        assert "\nwaypost_draining 1\n" in control.request("/metrics")[1]
    control.post("/v1/undrain")
    assert not refuses(proxy)
    gone_with(proxy, control, replace)
    assert not refuses(proxy)
    assert control.request("/readyz") == (200, "ok\n")
    assert "\nwaypost_draining 0\n" in control.request("/metrics")[1]


def gone_with(proxy, control, replace):
    old = control.get("/v1/status")["worker_pid"]
    replace(proxy)
    gone(old)


@pytest.mark.parametrize("replace", [hand_over, die])
def test_log_level_holds(backend, waypost, replace):
    proxy = waypost(static_passdb(backend))
    control = Control(proxy)
    control.post("/v1/log/level?level=debug")
    gone_with(proxy, control, replace)
    with proxy.session() as client:
        client.deliver("joe@example.org")
    proxy.wait_log("Debug: .*user joe@example.org")
    control.post("/v1/log/level?level=default")
    gone_with(proxy, control, replace)
    mark = proxy.mark()
    with proxy.session() as client:
        client.deliver("ann@example.org")
    proxy.wait_log("to=<ann@example.org>", mark)
    assert not [line for line in proxy.lines[mark:] if "Debug:" in line]


@pytest.mark.parametrize("replace", [hand_over, die])
def test_rawlogs_hold(backend, waypost, replace):
    proxy = waypost(static_passdb(backend))
    control = Control(proxy)
    directory = proxy.make_dir("raw")

    def written(name):
        with proxy.session() as client:
            client.deliver([f"{name}@example.org"], body=f"to {name}\r\n")
        return any(f"to {name}" in file.read_text()
                   for file in directory.iterdir())

    for pattern in ("ann@*", "joe@*"):
        control.post(f"/v1/rawlog/on?pattern={pattern}&dir={directory}")
    for _ in range(2):
        gone_with(proxy, control, replace)
        shown = control.get("/v1/rawlog")["rawlogs"]
        assert [rule["pattern"] for rule in shown] == ["ann@*", "joe@*"]
        assert all(3500 < rule["left_seconds"] <= 3600 for rule in shown)
    assert written("ann")
    assert not written("bob")
    control.post("/v1/rawlog/off?pattern=joe@*")
    gone_with(proxy, control, replace)
    assert not written("joe")
    control.post("/v1/rawlog/off")
    gone_with(proxy, control, replace)
    assert control.get("/v1/rawlog")["rawlogs"] == []


def test_as_many_rawlogs_as_there_may_be(backend, waypost):
    """Also of the text that hands them over."""
    proxy = waypost(static_passdb(backend))
    control = Control(proxy)
    for i in range(100):
        control.post(f"/v1/rawlog/on?dir=/tmp&pattern={i:02}" + "x" * 64)
    for replace in (hand_over, die):
        gone_with(proxy, control, replace)
        assert len(control.get("/v1/rawlog")["rawlogs"]) == 100


def test_a_rawlog_reaches_sessions_of_the_old_process(backend, waypost):
    proxy = waypost(static_passdb(backend))
    control = Control(proxy)
    directory = proxy.make_dir("raw")
    with proxy.session() as client:
        client.mail()
        hand_over(proxy)
        control.post(f"/v1/rawlog/on?pattern=ann@*&dir={directory}")
        # The old process hears it from the supervisor, sooner or later.
        wait_until(lambda: client.rcpt("ann@example.org") == 250 and
                   list(directory.iterdir()), "a rawlog")


def test_a_rawlog_that_nobody_has_heard_yet(backend, waypost):
    """Its worker process was killed behind its request, which the supervisor
    had not read."""
    proxy = waypost(static_passdb(backend))
    control = Control(proxy)
    worker, = proxy.workers()
    proxy.signal(signal.SIGSTOP)
    waits = UnixConnection(control.path)
    waits.request("POST", "/v1/rawlog/on?pattern=ann@*&dir=/tmp")
    # By the second one, all that came before the first is done.
    for _ in range(2):
        control.get("/v1/status")
    os.kill(worker, signal.SIGKILL)
    waits.close()
    mark = proxy.mark()
    proxy.signal(signal.SIGCONT)
    proxy.wait_log("is ready", mark)
    rule, = control.get("/v1/rawlog")["rawlogs"]
    assert rule["pattern"] == "ann@*"


def test_a_drain_that_nobody_has_heard_yet(backend, waypost):
    """The worker process was killed behind its answer, before the supervisor
    came to read what it had been told."""
    proxy = waypost(static_passdb(backend))
    control = Control(proxy)
    worker, = proxy.workers()
    proxy.signal(signal.SIGSTOP)
    for _ in range(5):
        control.post("/v1/log/level?level=debug")
    control.post("/v1/drain")
    os.kill(worker, signal.SIGKILL)
    mark = proxy.mark()
    proxy.signal(signal.SIGCONT)
    proxy.wait_log("is ready", mark)
    assert refuses(proxy)


def test_drain_while_the_program_is_replaced(backend, own_binary, binary):
    """The old worker process is told, after the new one has begun to start."""
    proxy, replace = own_binary
    proxy.start(static_passdb(backend))
    control = Control(proxy)
    old, = proxy.workers()
    replace(script(binary, f"touch {proxy.dir}/run/behind; while test ! -e "
                           f"{proxy.dir}/run/go; do sleep 0.01; done"))
    proxy.signal(signal.SIGUSR2)
    wait_until((proxy.dir / "run" / "behind").exists, "the new program")
    assert control.post("/v1/drain")["sessions"] == 0
    (proxy.dir / "run" / "go").touch()
    proxy.wait_log("has taken over")
    gone(old)
    wait_until(lambda: control.get("/v1/status")["state"] == "draining",
               "the new one to hear of it")
    assert refuses(proxy)


def test_drain_waits_for_sessions_of_the_old_process(backend, waypost):
    proxy = waypost(static_passdb(backend))
    control = Control(proxy)
    with held_at_dot(proxy, backend) as client:
        with subprocess.Popen([str(CTL), "-s", control.path, "drain"],
                              stdout=subprocess.PIPE, text=True) as drain:
            assert drain.stdout.readline() == "draining: 1 sessions left\n"
            hand_over(proxy)
            status = control.get("/v1/status")
            assert (status["sessions"], status["other_workers"]) == (0, 1)
            assert drain.poll() is None
            backend.release()
            assert client.reply() == 250
            assert client.reply() == "421 4.3.2 "
            client.close()
            assert drain.communicate(timeout=TIMEOUT)[0] == "drained\n"
        assert drain.returncode == 0
    wait_until(lambda: control.get("/v1/status")["other_workers"] == 0,
               "the old one to be gone")
