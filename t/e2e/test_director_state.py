"""Servers that come, go and drain, and where their users are meanwhile."""
import json
import os
import pathlib
import signal
import tempfile

import pytest

from control import Control
from scripted_backend import hold
from test_director import (USERS, deliver, director, passdb,  # noqa: F401
                           servers)
from waiting import wait_until


class Directed:
    def __init__(self, waypost, made, **settings):
        self.made = made
        self.config = passdb(made[0]) + director(made, **settings)
        self.proxy = waypost(self.config)
        self.attach()

    def attach(self):
        self.control = Control(self.proxy)

    def ok(self, *words):
        run = self.control.ctl("director", *words)
        assert run.returncode == 0, run.stderr
        return run.stdout

    def refused(self, *words):
        run = self.control.ctl("director", *words)
        assert run.returncode != 0
        return run.stderr

    def status(self):
        answer = self.control.get("/v1/director")
        return {backend["ip"]: backend for backend in answer["backends"]}

    def user(self, name):
        return self.control.get(f"/v1/director/user?user={name}")

    def server_of(self, name):
        place = self.user(name)["next"]
        return next(s for s in self.made if s.host == place)

    def other(self, server):
        return next(s for s in self.made if s is not server)

    def wait_health(self, server, health):
        wait_until(lambda: self.status()[server.host]["health"] == health,
                   f"health {health} of {server.host}")


@pytest.fixture
def directed(servers, waypost):  # noqa: F811
    def make(count=3, **settings):
        return Directed(waypost, servers(count), **settings)
    return make


@pytest.fixture
def place():
    """A directory that the worker process may write to."""
    with tempfile.TemporaryDirectory(prefix="wp-state-") as path:
        place = pathlib.Path(path)
        place.chmod(0o777)
        yield place


def restart_worker(proxy):
    mark = proxy.mark()
    for pid in proxy.workers():
        os.kill(pid, signal.SIGKILL)
    proxy.wait_log("worker process .* is ready", mark)


def restart_all(proxy):
    proxy.signal(signal.SIGTERM)
    assert proxy.wait_exit() == 0
    mark = proxy.mark()
    proxy.launch()
    proxy.wait_log("^ready$", mark)


def took(server, user):
    return sum(user in message.rcpts for message in server.messages)


def test_status_shows_servers_and_users(directed):
    world = directed()
    deliver(world.proxy)
    status = world.status()
    assert set(status) == {server.host for server in world.made}
    assert sum(s["users"] for s in status.values()) == len(USERS)
    for server in world.made:
        assert status[server.host]["users"] == len(
            {user for m in server.messages for user in m.rcpts})
        assert status[server.host]["deliveries"] == 0
    table = world.ok("status").splitlines()
    assert table[0].split()[:4] == ["SERVER", "NAME", "TAG", "ADMIN"]
    assert len(table) == 4


def test_status_of_a_user(directed):
    world = directed()
    user = USERS[0]
    home = world.server_of(user)
    answer = world.user(user)
    assert "current" not in answer
    assert answer["hashed"] == answer["next"] == home.host
    deliver(world.proxy, [user])
    answer = world.user(user)
    assert answer["current"] == home.host
    assert 890 < answer["expires_seconds"] <= 900
    assert f"hashed      {home.host}" in world.ok("status", user)


def test_drained_users_stay_until_idle(directed):
    world = directed(director_user_expire="1 hour")
    user, late = USERS[0], None
    home = world.server_of(user)
    late = next(u for u in USERS[1:] if world.server_of(u) is home)
    deliver(world.proxy, [user])
    world.ok("drain", home.host)
    for name, is_home in ((user, True), (late, False)):
        route = world.control.get(f"/v1/route?user={name}")
        assert (route["host"] == home.host) is is_home
        look = world.control.ctl("auth", "lookup", name).stdout
        assert ("the user is there" in look) is is_home
    deliver(world.proxy, [user, late])
    assert took(home, user) == 2
    assert took(home, late) == 0
    world.ok("up", home.host)
    deliver(world.proxy, [late])  # who is elsewhere now
    assert took(home, late) == 0


def test_drained_users_leave_when_idle(directed):
    world = directed(director_user_expire="1 ms")
    user = USERS[0]
    home = world.server_of(user)
    deliver(world.proxy, [user])
    world.ok("drain", home.host)

    def left():
        deliver(world.proxy, [user])
        return any(took(s, user) for s in world.made if s is not home)
    wait_until(left, "a move")


def test_down_lets_deliveries_end_first(directed):
    world = directed()
    user = USERS[0]
    home = world.server_of(user)
    home.on("dot", hold, times=1)
    with world.proxy.session() as first, world.proxy.session() as second:
        first.start_data(user)
        first.send(b"Subject: x\r\n\r\nx\r\n.\r\n")
        home.wait_held()
        world.ok("down", home.host)
        assert second.mail() == 250
        second.send(f"RCPT TO:<{user}>\r\n".encode())
        second.expect_silence()
        assert world.user(user)["current"] == home.host
        home.release()
        assert first.reply() == 250
        assert second.reply() == 250
        assert [r.code for r in second.data("Subject: y\r\n\r\ny\r\n",
                                            1)] == [250]
    assert took(home, user) == 1
    assert sum(took(s, user) for s in world.made) == 2


def test_move_and_unmove(directed):
    world = directed()
    user = USERS[0]
    home = world.server_of(user)
    there = world.other(home)
    deliver(world.proxy, [user])
    world.ok("move", user, there.host)
    deliver(world.proxy, [user])
    assert took(there, user) == 1
    answer = world.user(user)
    assert answer["moved"] == answer["current"] == there.host
    assert answer["hashed"] == home.host
    world.ok("unmove", user)
    deliver(world.proxy, [user])  # stays for director_user_expire
    assert took(there, user) == 2
    world.ok("flush", there.host)
    deliver(world.proxy, [user])
    assert took(home, user) == 2
    assert "not moved" in world.refused("unmove", user)


def test_moves_for_a_time(directed):
    world = directed(director_user_expire="1 ms")
    user = USERS[0]
    home = world.server_of(user)
    world.ok("move", user, world.other(home).host, "3")
    assert world.server_of(user) is not home
    wait_until(lambda: world.server_of(user) is home, "the end of the move")


def test_weights_and_presence(directed):
    world = directed()
    first, second, third = world.made
    world.ok("update", first.host, "0")
    world.ok("remove", second.host)
    deliver(world.proxy)
    assert {s.host for s in world.made if s.messages} == {third.host}
    assert world.status()[first.host]["weight"] == 0
    assert second.host not in world.status()
    world.ok("add", second.host)
    world.ok("flush", "all")
    deliver(world.proxy)
    assert second.messages
    assert "no server" in world.refused("up", "192.0.2.1")
    assert "weight" in world.refused("update", first.host, "1001")
    assert "names are not looked up" in world.refused("add", "nowhere.example")


def test_plan_moves_nobody(directed):
    world = directed(director_hash="rendezvous")
    before = {user: world.server_of(user) for user in USERS}
    gone = world.made[0]
    plan = world.control.get(
        f"/v1/director/plan?change=down&host={gone.host}")
    assert 0.30 < plan["moved_share"] < 0.37
    assert {move["from"] for move in plan["moves"]} == {gone.host}
    assert world.status()[gone.host]["admin"] == "up"
    assert before == {user: world.server_of(user) for user in USERS}
    assert "%" in world.ok("plan", "add", "127.99.0.1")


def test_state_is_kept(directed, place):
    path = place / "director.json"
    world = directed(director_state_file=path)
    user = USERS[0]
    home = world.server_of(user)
    there = world.other(home)
    world.ok("move", user, there.host)
    world.ok("drain", home.host)
    world.ok("update", there.host, "7")
    before = world.status()
    assert before[home.host]["admin_by"]
    assert json.loads(path.read_text())["version"] == 1
    for restart in (restart_worker, restart_all):
        restart(world.proxy)
        assert world.status() == before
    assert world.server_of(user) is there


def test_broken_state_is_put_aside(directed, place):
    path = place / "director.json"
    path.write_text("{")
    path.chmod(0o666)
    world = directed(director_state_file=path)
    world.proxy.wait_log("director_state_file")
    assert path.with_name("director.json.broken").read_text() == "{"
    world.ok("drain", world.made[0].host)
    assert json.loads(path.read_text())["backends"]


def test_unreadable_state_is_put_aside(directed, place):
    path = place / "director.json"
    path.mkdir()
    (path / "file").write_text("")
    world = directed(director_state_file=path)
    world.proxy.wait_log("director_state_file")
    assert (path.with_name("director.json.broken") / "file").exists()
    world.ok("drain", world.made[0].host)
    assert json.loads(path.read_text())["backends"]


def test_state_that_cannot_be_kept_is_said(directed, place):
    world = directed(director_state_file=place / "no" / "director.json")
    host = world.made[0].host
    assert "will not be after a restart" in world.refused("drain", host)
    assert world.status()[host]["admin"] == "drain"


def test_without_a_director(backends, waypost):
    proxy = waypost(passdb(backends()))
    run = Control(proxy).ctl("director", "status")
    assert run.returncode != 0
    assert "director_mail_servers" in run.stderr


def test_the_users_of_a_file(directed, directory):
    world = directed()
    path = directory / "users"
    path.write_text("".join(f"{user}\r\n" for user in USERS) + "\n")
    deliver(world.proxy, USERS[:3])
    lines = [line.split() for line in
             world.ok("map", "-f", str(path)).splitlines()]
    assert lines[0] == ["USER", "SERVER", "NEXT"]
    assert [line[0] for line in lines[1:]] == USERS
    for user, place, after in lines[1:]:
        assert place == after == world.server_of(user).host
    here = world.made[0].host
    some = world.ok("map", "-f", str(path), here).splitlines()[1:]
    assert [line.split()[0] for line in some] == \
        [user for user in USERS if world.server_of(user).host == here]
    assert "no such file" in world.refused("map", "-f", "/nowhere/users")
    assert "usage" in world.refused("map", "-f")
