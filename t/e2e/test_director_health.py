"""Servers that fail their probes, and where their users go meanwhile."""
import time

import pytest

from handover import hand_over
from scripted_backend import close
from test_director import USERS, deliver, servers  # noqa: F401
from test_director_state import (Directed, place, restart_all,  # noqa: F401
                                 took)
from waiting import wait_until

FAST = {"director_probe_interval": "100 ms", "director_probe_timeout": "2 s",
        "director_probe_max_interval": "100 ms", "director_slow_start": "0",
        "director_user_expire": "1 hour"}


def sections(made):
    return "".join(f"director_backend s{number} {{\n"
                   f"  servers = {server.host}\n  port = {server.port}\n}}\n"
                   for number, server in enumerate(made))


class Probed(Directed):
    def __init__(self, waypost, made, **settings):
        self.made = made
        lines = {**FAST, **settings}
        self.config = (
            "passdb {\n  driver = static\n  args = nopassword=y proxy=y\n}\n"
            + sections(made) + "".join(f"{name} = {value}\n"
                                       for name, value in lines.items()))
        self.proxy = waypost(self.config)
        self.attach()


@pytest.fixture
def probed(servers, waypost):  # noqa: F811
    def make(count=3, **settings):
        return Probed(waypost, servers(count), **settings)
    return make


def kill(server):
    server.on("connect", close)


def heal(server):
    server.script.pop("connect")


def wait_probes(server, count):
    """Until there were so many more."""
    goal = len(server.connections) + count
    wait_until(lambda: len(server.connections) >= goal, "probes")


def test_users_of_a_dead_server_go_elsewhere_and_come_back(probed):
    world = probed()
    deliver(world.proxy)
    gone = world.made[0]
    its = [user for user in USERS if took(gone, user)]
    kill(gone)
    world.wait_health(gone, "down")
    world.proxy.wait_log(rf"Error: director: {gone.host} is down: ")
    count = len(gone.messages)
    deliver(world.proxy)
    assert len(gone.messages) == count
    others = [user for user in USERS if user not in its]
    assert {took(s, user) for user in others for s in world.made} == {0, 2}
    heal(gone)
    world.wait_health(gone, "up")
    world.proxy.wait_log(rf"Info: director: {gone.host} is up: ")
    world.ok("flush", "all")
    deliver(world.proxy)
    assert all(took(gone, user) == 2 for user in its)


def test_health_and_administrators_do_not_disturb_each_other(probed):
    world = probed()
    gone = world.made[0]
    world.ok("drain", gone.host)
    kill(gone)
    world.wait_health(gone, "down")
    assert world.status()[gone.host]["admin"] == "drain"
    world.ok("up", gone.host)
    assert world.status()[gone.host]["health"] == "down"
    heal(gone)
    world.wait_health(gone, "up")
    status = world.status()[gone.host]
    assert status["admin"] == "up" and status["health_why"]


def test_all_dead_is_a_panic(probed):
    world = probed(2)
    for server in world.made:
        kill(server)
    for server in world.made:
        world.wait_health(server, "down")
    world.proxy.wait_log("director_panic_threshold")
    for user in USERS[:4]:
        assert world.server_of(user) in world.made
    plan = world.control.get("/v1/director/plan?change=update&weight=100"
                             f"&host={world.made[0].host}")
    assert plan["moved_share"] == 0
    for server in world.made:
        heal(server)
    deliver(world.proxy)
    for server in world.made:
        world.wait_health(server, "up")
    world.proxy.wait_log("enough servers are up again")


def test_accepted_before_the_fall(probed):
    """Who was accepted there stays there, whatever probes say."""
    world = probed()
    user = USERS[0]
    home = world.server_of(user)
    with world.proxy.session() as client:
        assert client.mail() == 250
        assert client.rcpt(user) == 250
        kill(home)
        world.wait_health(home, "down")
        replies = client.data("Subject: x\r\n\r\nx\r\n", 1)
        assert replies[0] == 250
    assert took(home, user) == 1
    deliver(world.proxy, [user])
    assert took(home, user) == 1


def test_down_is_kept_over_a_restart(probed, place):  # noqa: F811
    world = probed(director_state_file=place / "director.json")
    gone = world.made[0]
    kill(gone)
    world.wait_health(gone, "down")
    restart_all(world.proxy)
    assert world.status()[gone.host]["health"] == "down"
    heal(gone)
    world.wait_health(gone, "up")


def test_state_is_the_next_process_s(probed, place):  # noqa: F811
    path = place / "director.json"
    world = probed(director_state_file=path)
    with world.proxy.session() as client:
        client.mail()
        hand_over(world.proxy)
        world.attach()
        world.ok("drain", world.made[0].host)
        for change, health in (kill, "down"), (heal, "up"):
            change(world.made[1])
            world.wait_health(world.made[1], health)
            for _ in range(5):
                wait_probes(world.made[2], 1)
                assert '"drain"' in path.read_text()


def test_probes_are_polite_and_go_as_far_as_they_shall(probed):
    world = probed(1, director_probe="rcpt",
                   director_probe_user="probe@example.org")
    server, = world.made
    server.wait_command("(?i)RCPT TO:<probe@example.org>")
    server.wait_command("(?i)QUIT")
    assert not server.messages


def test_no_probes(probed):
    world = probed(2, director_probe="no")
    deliver(world.proxy)
    assert all(len(server.messages) > 0 for server in world.made)
    assert {s["health"] for s in world.status().values()} == {"up"}


def test_deliveries_hurry_the_probes(probed):
    world = probed(2, director_probe_interval="8 s",
                   director_probe_max_interval="8 s", director_probe_fall=2)
    gone = world.server_of(USERS[0])
    kill(gone)
    with world.proxy.session() as client:
        client.mail()
        assert client.rcpt(USERS[0]).code == 451
    world.wait_health(gone, "down")
    why = world.status()[gone.host]["health_why"]
    assert why


def test_a_director_that_is_taken_away(probed):
    world = probed()
    world.ok("move", USERS[0], world.made[0].host, "1")
    pids = world.proxy.workers()
    world.proxy.reload("passdb {\n  driver = static\n"
                       f"  args = proxy=y host={world.made[0].host}\n}}\n")
    for server in world.made:
        kill(server)
    time.sleep(1.5)  # past the end of the move
    assert world.proxy.workers() == pids


@pytest.fixture
def learned(servers, waypost):  # noqa: F811
    """Only the passdb knows the port."""
    def make(fields="", **settings):
        made = servers(3)
        world = Directed(waypost, made, **{**FAST, **settings})
        if fields:
            world.proxy.reload(world.config.replace(
                "proxy=y port", f"proxy=y {fields} port"))
        return world
    return make


def test_a_port_of_the_passdb_is_probed_from_the_first_delivery_on(learned):
    world = learned()
    gone = world.server_of(USERS[0])
    assert all(not server.connections for server in world.made)
    deliver(world.proxy, USERS[:1])
    gone.wait_command("(?i)QUIT")
    kill(gone)
    world.wait_health(gone, "down")
    deliver(world.proxy, USERS[:1])
    heal(gone)
    world.wait_health(gone, "up")


def test_a_dead_server_is_probed_as_deliveries_try_it(learned):
    world = learned()
    gone = world.server_of(USERS[0])
    kill(gone)
    with world.proxy.session() as client:
        client.mail()
        assert client.rcpt(USERS[0]).code == 451
    world.wait_health(gone, "down")
    deliver(world.proxy, USERS[:1])


def test_the_protocol_of_the_passdb_is_that_of_probes(learned):
    world = learned("protocol=smtp")
    deliver(world.proxy, USERS[:1])
    server = next(s for s in world.made if s.messages)
    server.wait_command("(?i)QUIT")
    commands = [c for conn in server.connections for c in conn.commands]
    assert not [c for c in commands if c.upper().startswith("LHLO")]
    assert world.status()[server.host]["health"] == "up"


def test_another_port_of_the_passdb_is_learned(learned, backends):
    """What was probed before is dead by then, and not its port."""
    world = learned()
    server = world.server_of(USERS[0])
    deliver(world.proxy, USERS[:1])
    server.wait_command("(?i)QUIT")
    second = backends(host=server.host)
    world.proxy.reload(world.config.replace(f"port={server.port}",
                                            f"port={second.port}"))
    deliver(world.proxy, USERS[:1])
    second.wait_command("(?i)QUIT")
    kill(server)
    wait_probes(second, 8)
    assert world.status()[server.host]["health"] == "up"
    kill(second)
    world.wait_health(server, "down")
