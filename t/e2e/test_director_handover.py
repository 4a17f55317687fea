"""While the program is replaced two processes have deliveries, each by what it knows of
the director's servers: a user is at one server nevertheless."""
import contextlib
import os
import random
import re
import signal
import threading
import time

import pytest

from control import Control
from handover import hand_over
from scripted_backend import hold
from test_director import USERS, deliver, director, passdb, servers  # noqa: F401
from test_director_sticky import Ledger, Load
from test_director_state import directed, place, took  # noqa: F401
from waiting import wait_until

SETTINGS = {"director_user_expire": "1 ms", "director_probe": "no",
            "lmtp_shutdown_timeout": "1 min"}


@contextlib.contextmanager
def busy_before(world, user, change):
    """A message for the user is under way when another process takes over, which by
    the change sends him to another server. His client, and the server where he is."""
    server = world.server_of(user)
    server.on("dot", hold, times=1)
    with world.proxy.session() as client:
        client.start_data(user)
        client.send("x\r\n.\r\n")
        server.wait_held()
        change(server)
        world.serves = hand_over(world.proxy)
        world.attach()
        yield client, server


@contextlib.contextmanager
def session_of_the_new(world):
    """The old process may have accepted one more client."""
    for _ in range(100):
        mark = world.proxy.mark()
        with world.proxy.session() as client:
            line = world.proxy.wait_log("Connect from", mark)
            if f"({world.serves})" in line:
                yield client
                return
    raise AssertionError("the old process still accepts")


def wait_alone(world):
    wait_until(lambda: len(world.proxy.workers()) == 1, "the old process to end")


def counted(world, name):
    """By the process that has taken over."""
    body = Control(world.proxy).request("/metrics")[1]
    return int(re.search(rf"^waypost_director_{name} (\d+)$", body, re.M).group(1))


def without(world, server):
    """A configuration that does not have that server."""
    world.proxy.write_config(passdb(server) + director(
        [s for s in world.made if s is not server], **SETTINGS))


@pytest.mark.parametrize("how", ["drain", "down", "move", "update"])
def test_he_stays_until_that_is_over(directed, place, how):  # noqa: F811
    world = directed(director_state_file=place / "state", **SETTINGS)
    user = USERS[0]

    def change(server):
        world.ok(*{"move": ("move", user, world.other(server).host),
                   "update": ("update", server.host, "0"),
                   }.get(how, (how, server.host)))
    with busy_before(world, user, change) as (client, server):
        assert world.server_of(user) is not server
        answer = world.user(user)
        assert answer["goes"] == server.host
        assert answer["why"] == (
            "the process that this one replaces has deliveries there")
        with session_of_the_new(world) as other:
            assert other.deliver(user)[0] == 250
        assert counted(world, "followed_users_total") == 1
        assert counted(world, "process_waits_total") == 0
        assert counted(world, "shared_users") == 1
        server.release()
        assert client.reply() == 250
    assert took(server, user) == 2
    wait_alone(world)
    deliver(world.proxy, [user])
    assert took(world.server_of(user), user) == 1


def test_he_waits_for_a_server_that_is_none_any_more(directed):  # noqa: F811
    world = directed(**SETTINGS)
    user = USERS[0]
    with busy_before(world, user, lambda server: without(world, server)) as \
            (client, server), session_of_the_new(world) as other:
        other.mail()
        other.send(f"RCPT TO:<{user}>\r\n")
        other.expect_silence(1)
        answer = world.user(user)
        assert answer["goes"] == world.server_of(user).host != server.host
        assert answer["why"].endswith(
            ", once those of the process that this one replaces are over")
        assert counted(world, "process_waits_total") == 1
        server.release()
        assert client.reply() == 250
        assert other.reply() == 250
        assert other.data("x", 1)[0] == 250
    assert took(server, user) == 1
    assert took(world.server_of(user), user) == 1


def test_nobody_is_waited_for_who_is_dead(directed):  # noqa: F811
    world = directed(**SETTINGS)
    user = USERS[0]
    with busy_before(world, user, lambda server: without(world, server)):
        old = world.proxy.workers()[0]
        os.kill(old, signal.SIGKILL)
        wait_until(lambda: old not in world.proxy.workers(), "its end")
        deliver(world.proxy, [user])
    assert took(world.server_of(user), user) == 1


class Slow(Ledger):
    """Of servers that take their time, so that users are there for long."""

    def left(self, conn, user):
        time.sleep(0.02)
        return super().left(conn, user)


class Storm(Load):
    """Sessions that end now and then, some of them with a process."""

    def __init__(self, proxy):
        super().__init__(proxy)
        self.threads += [threading.Thread(target=self.run, args=(number,))
                         for number in range(4, 12)]

    def run(self, number):
        chance = random.Random(number)
        try:
            while not self.ended.is_set():
                with self.proxy.session() as client:
                    self.messages_of(client, chance)
        except Exception as problem:  # shown by the test
            self.problems.append(problem)

    def messages_of(self, client, chance):
        for _ in range(20):
            if self.ended.is_set() or client.mail() == 421:
                return
            users = chance.sample(USERS[:24], 3)
            taken = [user for user in users if client.rcpt(user).code == 250]
            if not taken:
                client.command("RSET")
                continue
            self.count(taken, client.data("x\r\n", len(taken)))

    def count(self, taken, replies):
        with self.lock:
            self.messages += 1
            for user, reply in zip(taken, replies):
                self.accepted[user] += reply.code == 250


def test_under_load(directed):  # noqa: F811
    """Each process has other servers than the one before."""
    world = directed(5, **SETTINGS)
    ledger = Slow(world.made)
    chance = random.Random(31)
    with Storm(world.proxy) as load:
        for _ in range(8):
            load.wait_more(10)
            world.proxy.write_config(passdb(world.made[0]) + director(
                chance.sample(world.made, 3), **SETTINGS))
            hand_over(world.proxy)
    assert not load.problems, load.problems
    assert not ledger.overlaps, ledger.overlaps[:5]
    assert load.accepted == ledger.delivered
