"""Everything that administrators can do to a cluster, in any order and at all nodes, while
mail comes in: nobody is at two servers at once, and nothing is lost."""
import random
import shutil

import pytest

from handover import hand_over
from test_cluster import Storm, agree, etcd, nodes, settle  # noqa: F401
from test_director import USERS, director, servers  # noqa: F401
from test_director_handover import Slow
from waiting import wait_until

pytestmark = pytest.mark.needs("etcd")


class Tempest(Storm):
    """A session may end with 421: its process is replaced."""
    ends = (EOFError,)

    def deliver(self, client, users):
        reply = client.mail()
        if reply == 421:
            raise EOFError
        assert reply == 250, reply
        taken = [user for user in users if client.rcpt(user).code == 250]
        if not taken:
            client.command("RSET")
            return
        replies = client.data("x\r\n", len(taken))
        with self.lock:
            self.messages += 1
            for user, reply in zip(taken, replies):
                self.accepted[user] += reply.code == 250


def change(chance, made, hosts):
    host, user = chance.choice(hosts), chance.choice(USERS)
    chance.choice(made).control.ctl("director", *chance.choice([
        ("drain", host), ("down", host), ("up", host), ("up", host),
        ("update", host, "0"), ("update", host, "100"), ("remove", host),
        ("add", host), ("flush", host), ("flush", "all"),
        ("move", user, host), ("move", user, host, "1"), ("unmove", user),
        ("ring", "adopt")]))


def test_administrators_reloads_and_new_programs(nodes):  # noqa: F811
    made = nodes(3, director_probe="no", lmtp_shutdown_timeout="1 min")
    for node in made:
        node.listed = director(node.made).strip()
    ledger = Slow(made[0].made)
    hosts = [server.host for server in made[0].made[1:]]
    chance = random.Random(7)
    with Tempest(made) as load:
        for number in range(12):
            for _ in range(3):
                change(chance, made, hosts)
                load.wait_more(2)
            node = chance.choice(made)
            if number % 2:
                node.proxy.write_config(node.config.replace(
                    node.listed, director(chance.sample(node.made, 2)).strip()))
            if number % 3:
                hand_over(node.proxy)
                node.attach()
            else:
                node.proxy.reload()
            load.wait_more(2)
        for host in hosts:
            made[0].control.ctl("director", "add", host)
            made[0].control.ctl("director", "up", host)
        wait_until(lambda: all(len(n.proxy.workers()) == 1 for n in made),
                   "the processes before to end")
        agree(made)
        load.wait_more(10)
    settle(ledger, load)
    assert load.accepted == ledger.delivered


def test_an_older_copy_of_etcd(nodes, etcd):  # noqa: F811
    """What was changed since is lost. Users are where the last view has sent them,
    though etcd knows an earlier one, and nobody is at two servers."""
    cluster = etcd(1)
    made = nodes(3, cluster, director_probe="no", lmtp_shutdown_timeout="1 min")
    ledger = Slow(made[0].made)
    hosts = [server.host for server in made[0].made]
    chance = random.Random(11)
    with Tempest(made) as load:
        for _ in range(3):
            for node in made:
                node.ok("up", hosts[0])
            agree(made)
            cluster.terminate()
            copy = cluster.members[0].dir.with_name("copy")
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(cluster.members[0].dir, copy)
            cluster.start()
            wait_until(lambda: all(n.ring()["in_step"] for n in made), "etcd")
            for user in USERS:
                made[0].control.ctl("director", "move", user,
                                    chance.choice(hosts))
            made[1].control.ctl("director", "drain", hosts[0])
            agree(made)
            marks = [node.proxy.mark() for node in made]
            cluster.kill()
            for node, mark in zip(made, marks):
                node.proxy.wait_log("etcd is lost", mark)
            cluster.wipe()
            shutil.copytree(copy, cluster.members[0].dir)
            cluster.start()
            wait_until(lambda: all(n.ring()["in_step"] for n in made), "etcd")
            load.wait_more(10)
            change(chance, made, hosts[1:])
            agree(made)
            load.wait_more(10)
    settle(ledger, load)
    assert load.accepted == ledger.delivered
