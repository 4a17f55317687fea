"""Several nodes that share their director's state through etcd."""
import contextlib
import os
import random
import re
import signal
import threading
import time

import pytest

from etcd import PASSWORD, USER, Etcd
from handover import hand_over
from pki import Pki
from scripted_backend import close, hold
from test_control_docs import SECTIONS, members, names
from test_director import USERS, deliver, servers  # noqa: F401
from test_director_health import Probed, heal
from test_director_sticky import Ledger, Load
from test_metrics_docs import OF_A_CLUSTER, described, families
from waiting import wait_until

pytestmark = pytest.mark.needs("etcd")


@pytest.fixture
def etcd(directory):
    made = []

    def make(*args, **kwargs):
        made.append(Etcd(directory / f"etcd{len(made)}", *args,
                         prefix="/waypost/", **kwargs))
        return made[-1]
    yield make
    for cluster in made:
        cluster.stop()


class Node(Probed):
    """A waypost of a cluster. Their servers are equal, and probed."""

    def __init__(self, waypost, name, made, etcd, **settings):
        self.name = name
        super().__init__(waypost, made, **{
            "cluster_lease_time": "2 secs", "cluster_etcd_timeout": "1 secs",
            "cluster_etcd_urls": " ".join(etcd.urls), "cluster_node": name,
            **settings})

    def ring(self):
        return self.control.get("/v1/director/ring")

    def next(self, user):
        return self.user(user)["next"]

    def kill(self):
        """All of its processes, at once."""
        self.proxy.expect_exit = -signal.SIGKILL
        self.signal_all(signal.SIGKILL)

    def signal_all(self, number):
        for pid in [self.proxy.process.pid, *self.proxy.workers()]:
            os.kill(pid, number)


def agree(nodes):
    """All have seen the same, and have nothing to wait for."""
    def agreed():
        rings = [node.ring() for node in nodes]
        return all(r["agreed"] and r["in_step"] for r in rings) and \
            len({r["serial"] for r in rings}) == 1
    wait_until(agreed, "the nodes to agree")


def wait_states(node, name, *states):
    """Of the processes of the node with that name."""
    wait_until(lambda: sorted(n["state"] for n in node.ring()["nodes"]
                              if n["node"] == name) == list(states),
               f"{name}: {states}")


@pytest.fixture
def nodes(servers, waypost, etcd):  # noqa: F811
    made = servers(3)

    def make(count=3, cluster=None, **settings):
        cluster = cluster or etcd()
        return [Node(waypost, f"n{number}", made, cluster, **settings)
                for number in range(count)]
    return make


@contextlib.contextmanager
def delivering(node, user):
    """A client whose message for the user is under way, the server that has it,
    and another one."""
    old = node.server_of(user)
    old.on("dot", hold, times=1)
    with node.proxy.session() as client:
        client.start_data(user)
        client.send("x\r\n.\r\n")
        old.wait_held()
        yield client, old, node.other(old)


def test_all_nodes_route_alike(nodes):
    made = nodes()
    for user in USERS:
        assert len({node.next(user) for node in made}) == 1
    ring = made[0].ring()
    assert [node["node"] for node in ring["nodes"]] == ["n0", "n1", "n2"]
    assert [node["leads"] for node in ring["nodes"]].count(True) == 1
    assert ring["same_config"]


def test_metrics_are_those_of_the_page(nodes):
    made = nodes(2)
    deliver(made[0].proxy)
    agree(made)
    _, body = made[0].control.request(
        "/metrics", headers={"Accept": "application/openmetrics-text"})
    assert {name: what for name, what in families(body).items()
            if name.startswith(OF_A_CLUSTER)} == \
        {name: what for name, what in described().items()
         if name.startswith(OF_A_CLUSTER)}
    assert "waypost_cluster_in_step 1\n" in body
    assert "waypost_cluster_processes 2\n" in body


def test_the_ring_is_as_the_page_says(nodes):
    made, = nodes(1)
    said = SECTIONS[("GET", "/v1/director/ring")]
    there = members(made.ring())
    assert there <= names(said)
    assert names(said) <= there | {"problem"}


def test_a_change_reaches_all(nodes):
    made = nodes()
    host = made[0].made[0].host
    made[0].ok("drain", host)
    agree(made)
    for node in made:
        assert node.status()[host]["admin"] == "drain"
        assert host not in [node.next(user) for user in USERS]
    made[2].ok("up", host)
    agree(made)
    assert host in [made[1].next(user) for user in USERS]


def test_a_user_waits_for_deliveries_at_another_node(nodes):
    here, there = nodes(2)
    user = USERS[0]
    with delivering(here, user) as (client, old, new), \
            there.proxy.session() as other:
        there.ok("move", user, new.host)
        other.mail()
        other.send(f"RCPT TO:<{user}>\r\n")
        other.expect_silence(1)
        assert not there.ring()["agreed"]
        assert not new.messages
        old.release()
        assert client.reply() == 250
        assert other.reply() == 250
        assert other.data("x", 1)[0] == 250
    agree([here, there])
    assert new.messages[0].rcpts == [user]


def test_users_who_are_not_moved_do_not_wait(nodes):
    here, there = nodes(2)
    user = USERS[0]
    with delivering(here, user) as (client, old, new):
        stays = next(u for u in USERS if here.server_of(u) is not old)
        there.ok("move", user, new.host)
        deliver(there.proxy, [stays])
        deliver(here.proxy, [stays])
        old.release()
        assert client.reply() == 250


def test_etcd_is_lost(nodes, etcd):
    cluster = etcd()
    made = nodes(2, cluster)
    user = USERS[0]
    server = made[0].server_of(user)
    cluster.kill()
    for node in made:
        node.proxy.wait_log("etcd is lost")
    deliver(made[0].proxy, [user])
    assert server.messages
    assert "etcd is lost" in made[0].refused("drain", server.host)
    assert not made[0].ring()["in_step"]
    mark = made[0].proxy.mark()
    cluster.start()
    made[0].proxy.wait_log("in step with etcd", mark)
    agree(made)
    made[0].ok("drain", server.host)
    agree(made)
    assert made[1].next(user) != server.host


def test_a_dead_server_is_lost_by_the_majority(nodes):
    made = nodes(3)
    server = made[0].made[0]
    its = [user for user in USERS if made[0].server_of(user) is server]
    server.on("connect", close)
    for node in made:
        node.proxy.wait_log(f"cluster has lost {server.host}")
        deliver(node.proxy, its)
    wait_until(lambda: "3 of 3 nodes" in
               made[0].status()[server.host]["health_why"], "all votes")
    server.script.pop("connect")
    for node in made:
        node.proxy.wait_log(f"cluster has {server.host} back")
    agree(made)
    assert made[2].next(its[0]) == server.host


def test_a_node_that_alone_cannot_use_a_server_says_so_at_once(servers, waypost,  # noqa: F811
                                                               etcd):
    """And moves nobody: the others deliver there."""
    made, cluster = servers(3), etcd()
    alone = Node(waypost, "n0", made, cluster, director_probe="rcpt",
                 director_probe_user="probe@example.org")
    other = Node(waypost, "n1", made, cluster)
    user = USERS[0]
    server = alone.server_of(user)

    def rcpt(_conn, argument):
        return ("550 5.1.1 no" if "probe@" in argument else "250 2.1.5 ok")
    server.on("rcpt", rcpt)
    alone.proxy.wait_log(f"this node finds {server.host} dead")

    def answer():
        with alone.proxy.session() as client:
            client.mail()
            return client.rcpt(user)
    wait_until(lambda: answer().code == 451, "the finding to count")
    assert answer().enhanced == "4.4.1"
    alone.proxy.wait_log("cannot be reached")
    assert not server.messages
    deliver(alone.proxy, [next(u for u in USERS
                               if alone.server_of(u) is not server)])
    deliver(other.proxy, [user])
    assert server.messages and alone.next(user) == server.host
    server.script.pop("rcpt")
    alone.proxy.wait_log(f"this node finds {server.host} well")
    wait_until(lambda: answer() == 250, "etcd to say that nobody has lost it")


def test_a_node_that_finds_most_servers_dead_tries_them(servers, waypost,  # noqa: F811
                                                        etcd):
    made, cluster = servers(3), etcd()
    alone = Node(waypost, "n0", made, cluster, director_probe="rcpt",
                 director_probe_user="probe@example.org")
    Node(waypost, "n1", made, cluster)
    for server in made:
        server.on("rcpt", lambda _conn, argument:
                  "550 5.1.1 no" if "probe@" in argument else "250 2.1.5 ok")
    for server in made:
        alone.proxy.wait_log(f"this node finds {server.host} dead")
    deliver(alone.proxy)


def test_a_node_that_is_away_holds_changes_back(nodes):
    """It may go on by its last view: users leave dead servers only."""
    made = nodes(3)
    user = USERS[0]
    server = made[0].server_of(user)
    made[2].kill()
    wait_until(lambda: any(n["state"] == "away"
                           for n in made[0].ring()["nodes"]), "n2 away")
    assert "held back, since node n2 is away" in \
        made[0].ok("drain", server.host)
    assert made[1].next(user) == server.host
    deliver(made[1].proxy, [user])
    dead = made[0].other(server)
    dead.on("connect", close)
    made[0].proxy.wait_log(f"cluster has lost {dead.host}")
    made[0].ok("ring", "remove", "n2")
    agree(made[:2])
    assert made[1].next(user) != server.host
    assert "no such node" in made[0].refused("ring", "remove", "n2")
    assert "is there" in made[0].refused("ring", "remove", "n1")


def test_a_server_that_is_back_stays_lost_while_a_node_is_away(nodes):
    """Which may have its users there, and does not know where they are now."""
    made = nodes(3)
    here = made[0]
    server = here.server_of(USERS[0])
    made[2].kill()
    wait_states(here, "n2", "away")
    server.on("connect", close)
    here.proxy.wait_log(f"lost {server.host}; node n2 is away, and goes on")
    heal(server)
    here.proxy.wait_log("1 servers are well again, and stay lost while node n2")
    assert metric(here, "waypost_cluster_kept_lost_servers") == "1"
    assert here.next(USERS[0]) != server.host
    here.ok("ring", "remove", "n2")
    here.proxy.wait_log(f"cluster has {server.host} back")
    agree(made[:2])
    assert metric(here, "waypost_cluster_kept_lost_servers") == "0"


def metric(node, name):
    _, body = node.control.request("/metrics")
    return re.search(rf"^{name} (.*)$", body, re.M)[1]


def rcpt(node, user):
    with node.proxy.session() as client:
        client.mail()
        return client.rcpt(user)


def die_and_return(node, server):
    """As that node finds."""
    mark = node.proxy.mark()
    server.on("connect", close)
    node.proxy.wait_log(f"this node finds {server.host} dead", mark)
    heal(server)
    node.proxy.wait_log(f"this node finds {server.host} well", mark)


def test_a_server_that_died_while_etcd_was_lost_is_doubted(nodes, etcd):
    """Others may have it lost, and its users elsewhere."""
    cluster = etcd()
    here, there = nodes(2, cluster)
    server, second = here.server_of(USERS[0]), here.other(
        here.server_of(USERS[0]))
    stays = next(u for u in USERS if here.server_of(u) is second)
    cluster.kill()
    for node in here, there:
        node.proxy.wait_log("etcd is lost")
    die_and_return(here, server)
    here.proxy.wait_log("1 servers were dead and are well again, and etcd is")
    reply = rcpt(here, USERS[0])
    assert (reply.code, reply.enhanced) == (451, "4.4.1")
    here.proxy.wait_log("etcd has not said since then")
    answer = here.control.get(f"/v1/route?user={USERS[0]}")
    assert (answer["kind"], answer["code"]) == ("tempfail", 451)
    deliver(here.proxy, [stays])
    assert metric(here, "waypost_cluster_doubted_servers") == "1"
    mark = here.proxy.mark()
    cluster.start()
    here.proxy.wait_log("in step with etcd", mark)
    wait_until(lambda: rcpt(here, USERS[0]) == 250, "the end of the doubt")
    assert metric(here, "waypost_cluster_doubted_servers") == "0"
    agree([here, there])


def test_no_more_are_doubted_than_the_threshold_allows(nodes, etcd):
    """Routing goes on for as long as etcd is lost."""
    cluster = etcd()
    here, = nodes(1, cluster)
    first = here.server_of(USERS[0])
    cluster.kill()
    here.proxy.wait_log("etcd is lost")
    die_and_return(here, first)
    wait_until(lambda: rcpt(here, USERS[0]) == 451, "the doubt")
    die_and_return(here, here.other(first))
    wait_until(lambda: rcpt(here, USERS[0]) == 250, "the threshold")
    deliver(here.proxy)


def test_nobody_is_doubted_with_a_threshold_of_0(nodes, etcd):
    cluster = etcd()
    here, = nodes(1, cluster)
    cluster.kill()
    here.proxy.wait_log("etcd is lost")
    die_and_return(here, here.server_of(USERS[0]))
    wait_until(lambda: rcpt(here, USERS[0]) == 451, "the doubt")
    here.proxy.reload(here.config + "director_panic_threshold = 0\n")
    wait_until(lambda: rcpt(here, USERS[0]) == 250, "the threshold")


def test_who_has_slept_asks_first(nodes):
    """A server may have died and be back."""
    here, there = nodes(2)
    worker, = here.proxy.workers()
    with here.proxy.session() as client:
        client.mail()
        os.kill(worker, signal.SIGSTOP)
        end = time.monotonic() + 3
        client.send(f"RCPT TO:<{USERS[0]}>\r\n")
        wait_states(there, "n0", "away")
        wait_until(lambda: time.monotonic() > end, "the end")
        os.kill(worker, signal.SIGCONT)
        assert client.reply() == 250
    here.proxy.wait_log("this process has slept for .* deliveries wait")
    agree([here, there])
    deliver(here.proxy)


def test_a_node_that_stops_is_not_waited_for(nodes):
    made = nodes(2)
    host = made[0].made[0].host
    made[1].proxy.signal(signal.SIGTERM)
    assert made[1].proxy.wait_exit() == 0
    agree(made[:1])
    made[0].ok("drain", host)
    agree(made[:1])
    assert len(made[0].ring()["nodes"]) == 1
    made[1].proxy.launch()
    wait_until(lambda: len(made[0].ring()["nodes"]) == 2, "n1 back")
    agree(made)
    assert made[1].status()[host]["admin"] == "drain"


def test_a_node_that_stops_soon_after_a_crash_has_said_goodbye(nodes):
    """While the lease of the process that died still runs."""
    made = nodes(2, cluster_lease_time="5 secs")
    proxy = made[0].proxy

    def its():
        return [n for n in made[1].ring()["nodes"] if n["node"] == "n0"]
    mark = proxy.mark()
    os.kill(proxy.workers()[0], signal.SIGKILL)
    proxy.wait_log("worker process .* is ready", mark)
    wait_until(lambda: len(its()) == 2, "the new process beside the old")
    proxy.signal(signal.SIGTERM)
    assert proxy.wait_exit() == 0
    wait_until(lambda: not its(), "the end of the lease")


def test_no_ready_without_etcd(nodes, etcd):
    cluster = etcd()
    made, = nodes(1, cluster)
    cluster.kill()
    made.proxy.signal(signal.SIGTERM)
    assert made.proxy.wait_exit() == 0
    mark = made.proxy.mark()
    made.proxy.launch()
    made.proxy.wait_log("waiting for the cluster's view", mark)
    made.proxy.wait_log("etcd is lost", mark)
    assert "ready" not in made.proxy.lines[mark:]
    # It can be asked, and knows nothing.
    assert made.control.get("/v1/director")["backends"] == []
    assert made.control.get("/v1/director/map")["users"] == []
    assert not made.control.get("/v1/director/ring")["in_step"]
    assert made.control.request("/v1/director/dump") == (200, "")
    for what in "user?user=joe", f"plan?change=down&host={made.made[0].host}":
        assert made.control.request(f"/v1/director/{what}")[0] == 400
    cluster.start()
    made.proxy.wait_log("^ready$", mark)
    deliver(made.proxy, USERS[:1])


def test_a_worker_that_dies_is_replaced_in_step(nodes):
    made = nodes(2)
    mark = made[0].proxy.mark()
    for pid in made[0].proxy.workers():
        os.kill(pid, signal.SIGKILL)
    made[0].proxy.wait_log("worker process .* is ready", mark)
    made[0].proxy.wait_log("in step with etcd", mark)
    agree(made)
    deliver(made[0].proxy)


def test_another_hash_is_refused(nodes):
    made = nodes(1)
    made[0].proxy.reload(made[0].config + "director_hash = rendezvous\n",
                         "stop all nodes first")
    deliver(made[0].proxy)


def test_a_reload_neither_joins_nor_leaves(nodes, etcd):
    cluster = etcd()
    made = nodes(2, cluster)
    proxy, config = made[0].proxy, made[0].config
    without = re.sub("(?ms)^director_backend .*?^}\n", "", config)
    for others in (without, re.sub("(?m)^cluster_etcd_urls.*\n", "", config)):
        proxy.reload(others, "reload failed.*changes? with a restart")
    # It still takes part, and so nobody waits for it.
    made[1].ok("drain", made[0].made[0].host)
    agree(made)
    deliver(proxy)


def test_how_etcd_is_talked_to_changes_with_the_process(nodes):
    """A reload takes all the rest."""
    made, = nodes(1)
    proxy, mark = made.proxy, made.proxy.mark()
    proxy.reload(made.config + "cluster_lease_time = 20 secs\n"
                 "lmtp_verbose_replies = yes\n")
    proxy.wait_log("as before until the process is replaced", mark)
    made.ok("drain", made.made[0].host)
    mark = proxy.mark()
    proxy.signal(signal.SIGUSR2)
    proxy.wait_log("has taken over", mark)
    proxy.reload(made.config + "cluster_lease_time = 20 secs\n")
    assert not [line for line in proxy.lines[mark:] if "as before" in line]


def test_a_director_of_its_own_joins_no_cluster_by_a_reload(nodes, etcd):
    cluster = etcd()
    alone, = nodes(1, cluster, cluster_etcd_urls="")
    alone.proxy.reload(
        alone.config.replace("cluster_etcd_urls = ",
                             "cluster_etcd_urls = " + cluster.urls[0]),
        "reload failed.*changes? with a restart")
    deliver(alone.proxy)


def test_a_reload_is_for_all(nodes):
    made = nodes(2)
    host = made[0].made[0].host
    made[0].proxy.reload(made[0].config.replace(
        f"  servers = {host}\n", f"  servers = {host}\n  weight = 0\n"))
    wait_until(lambda: host not in [made[1].next(u) for u in USERS],
               "the other node to follow")
    agree(made)
    assert made[0].ring()["same_config"]
    assert not made[1].ring()["same_config"]


def others(node):
    """Whose configuration is not the cluster's."""
    return [n["node"] for n in node.ring()["nodes"] if n["other_config"]]


def test_a_reload_for_another_reason_changes_no_servers(nodes):
    made = nodes(2)
    host = made[0].made[0].host
    stale = made[1].config
    made[0].proxy.reload(made[0].config.replace(
        f"  servers = {host}\n", f"  servers = {host}\n  weight = 0\n"))
    wait_until(lambda: others(made[0]) == ["n1"], "n1's list to be another")
    made[1].proxy.wait_log("are not the cluster's, which are used")
    wait_until(lambda: all(made[0].next(user) != host for user in USERS),
               "a view by the other list")
    agree(made)
    serial = made[0].ring()["serial"]
    made[1].proxy.reload(stale + "lmtp_client_timeout = 77 secs\n")
    made[1].ok("drain", made[0].made[1].host)
    agree(made)
    assert made[0].ring()["serial"] == serial + 1
    assert made[1].status()[host]["weight"] == 0
    assert others(made[1]) == ["n1"]


def test_a_restart_changes_no_servers_until_they_are_adopted(nodes):
    made = nodes(2)
    host = made[0].made[0].host
    made[1].proxy.signal(signal.SIGTERM)
    assert made[1].proxy.wait_exit() == 0
    made[1].proxy.write_config(made[1].config.replace(
        f"  servers = {host}\n", f"  servers = {host}\n  weight = 0\n"))
    mark = made[1].proxy.mark()
    made[1].proxy.launch()
    made[1].proxy.wait_log("is ready", mark)
    wait_until(lambda: others(made[0]) == ["n1"], "n1 with its list")
    assert made[1].status()[host]["weight"] == 100
    assert "yes" in made[0].ok("ring", "status").splitlines()[2].split()
    assert "are the cluster's" in made[1].ok("ring", "adopt")
    agree(made)
    assert made[0].status()[host]["weight"] == 0
    assert others(made[0]) == ["n0"]
    made[1].ok("ring", "adopt")


def test_nothing_is_adopted_without_etcd(nodes, etcd):
    cluster = etcd()
    made = nodes(1, cluster)
    cluster.kill()
    made[0].proxy.wait_log("etcd is lost")
    assert "etcd is lost" in made[0].refused("ring", "adopt")


def test_a_move_for_a_time(nodes):
    made = nodes(2)
    user = USERS[0]
    old = made[0].server_of(user)
    new = made[0].other(old)
    made[1].ok("move", user, new.host, "1")
    agree(made)
    wait_until(lambda: made[0].next(user) == old.host, "the end of the move")
    agree(made)
    assert f"waypostctl director move '{user}'" not in made[0].ok("dump")
    made[1].ok("move", user, new.host)
    assert f"waypostctl director move '{user}' '{new.host}@'" in \
        made[1].ok("dump")


def test_handover(nodes):
    here, there = nodes(2)
    user = USERS[0]
    with delivering(here, user) as (client, old, new):
        hand_over(here.proxy)
        there.ok("move", user, new.host)
        with there.proxy.session() as other:
            other.mail()
            other.send(f"RCPT TO:<{user}>\r\n")
            other.expect_silence(0.5)
            assert not new.messages
            old.release()
            assert client.reply() == 250
            assert other.reply() == 250
    agree([here, there])


@pytest.mark.parametrize("which", ["older", "younger"])
def test_a_process_that_lost_its_lease_is_not_forgotten(nodes, which):
    """Another one of its node is there. It goes on by the last view."""
    here, there = nodes(2, lmtp_shutdown_timeout="1 min")
    user = USERS[0]
    with delivering(here, user) as (client, old, new):
        older, = here.proxy.workers()
        hand_over(here.proxy)
        younger, = set(here.proxy.workers()) - {older}
        pid = {"older": older, "younger": younger}[which]
        os.kill(pid, signal.SIGSTOP)
        wait_states(there, "n0", "away", "there")
        assert "held back, since node n0 is away" in \
            there.ok("move", user, new.host)
        assert there.next(user) == old.host
        os.kill(pid, signal.SIGCONT)
        wait_states(there, "n0", "there", "there")
        with there.proxy.session() as other:
            wait_until(lambda: there.next(user) == new.host, "the move")
            other.mail()
            other.send(f"RCPT TO:<{user}>\r\n")
            other.expect_silence(0.5)
            assert not new.messages
            old.release()
            assert client.reply() == 250
            assert other.reply() == 250
    agree([here, there])


@pytest.mark.parametrize("which", ["older", "younger"])
def test_a_process_that_dies_without_a_lease_is_not_waited_for(nodes, which):
    here, there = nodes(2, lmtp_shutdown_timeout="1 min")
    user = USERS[0]
    with delivering(here, user) as (_client, old, new):
        older, = here.proxy.workers()
        hand_over(here.proxy)
        younger, = set(here.proxy.workers()) - {older}
        pid = {"older": older, "younger": younger}[which]
        os.kill(pid, signal.SIGSTOP)
        wait_states(there, "n0", "away", "there")
        there.ok("move", user, new.host)
        os.kill(pid, signal.SIGKILL)
        if which == "younger":
            old.release()
        wait_until(lambda: there.next(user) == new.host, "the move")
    agree([here, there])


def test_with_a_password_and_tls(nodes, etcd, directory):
    pki = Pki(directory / "pki")
    cluster = etcd(auth=True, pki=pki)
    # A handshake and a login may take a while.
    made = nodes(2, cluster, cluster_etcd_timeout="3 secs",
                 cluster_lease_time="6 secs", cluster_etcd_user=USER,
                 cluster_etcd_password=PASSWORD,
                 cluster_etcd_ca=f"<{pki.ca.cert}",
                 cluster_etcd_cert=f"<{cluster.client_pair.cert}",
                 cluster_etcd_key=f"<{cluster.client_pair.key}")
    made[0].ok("drain", made[0].made[0].host)
    agree(made)
    mark = made[1].proxy.mark()
    cluster.kill()
    made[1].proxy.wait_log("etcd is lost", mark)
    cluster.start()  # tokens are gone
    made[1].proxy.wait_log("in step with etcd", mark)
    agree(made)
    made[1].ok("up", made[0].made[0].host)
    agree(made)
    assert PASSWORD not in made[0].proxy.log
    shown = made[0].proxy.run("-c", made[0].proxy.config_path, "-n")
    assert PASSWORD not in shown.stdout


def test_an_administrator_who_comes_second_is_told(nodes):
    """Of two who change the same at the same time; others are not disturbed."""
    made = nodes(3)
    host = made[0].made[0].host
    answers = []

    def update(node, weight):
        run = node.control.ctl("director", "update", host, str(weight))
        answers.append((run.returncode, run.stderr))
    for _ in range(5):
        threads = [threading.Thread(target=update, args=(node, 40 + number))
                   for number, node in enumerate(made)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert any(code == 0 for code, _ in answers)
    assert all("at the same time" in text for code, text in answers if code)
    agree(made)
    assert len({node.status()[host]["weight"] for node in made}) == 1


class Storm(Load):
    """Load on several nodes, some of which may be down."""

    ends = ()  # how a session may end

    def __init__(self, made):
        super().__init__(None)
        self.made = made
        self.threads = [threading.Thread(target=self.run_at, args=(n, node))
                        for node in made for n in range(2)]
        self.down = set()
        self.longest = 0

    def run_at(self, number, node):
        chance = random.Random(number)
        while not self.ended.is_set():
            try:
                with node.proxy.session() as client:
                    while not self.ended.is_set():
                        self.deliver(client, chance.sample(USERS, 3))
            except self.ends:
                pass
            except Exception as problem:  # shown by the test
                if node in self.down:
                    self.ended.wait(0.05)
                elif not self.ended.is_set():
                    self.problems.append((node.name, problem))
                    return


def storm_changes(chance, hosts):
    host = chance.choice(hosts)
    return chance.choice([
        ("drain", host), ("down", host), ("up", host), ("up", host),
        ("update", host, str(chance.choice([0, 50, 100]))),
        ("move", chance.choice(USERS), host),
        ("move", chance.choice(USERS), host, "1"),
    ])


def settle(ledger, load):
    assert not load.problems, load.problems
    assert not ledger.overlaps, ledger.overlaps[:5]


def test_nobody_is_at_two_servers_while_all_is_changed(nodes):
    """Administrators at all three nodes, under continuous delivery by all."""
    made = nodes(3, director_probe="no")
    ledger = Ledger(made[0].made)
    hosts = [server.host for server in made[0].made[1:]]
    chance = random.Random(23)
    with Storm(made) as load:
        for _ in range(40):
            chance.choice(made).control.ctl(
                "director", *storm_changes(chance, hosts))
            load.wait_more()
    settle(ledger, load)
    assert load.accepted == ledger.delivered


def test_nobody_is_at_two_servers_while_nodes_and_etcd_die(nodes, etcd):
    """kill -9 of a node, of etcd's leader, and a node that sleeps."""
    cluster = etcd(3)
    made = nodes(3, cluster, director_probe="no")
    ledger = Ledger(made[0].made)
    hosts = [server.host for server in made[0].made[1:]]
    chance = random.Random(42)

    def change(count=5):
        for _ in range(count):
            chance.choice(made[:2]).control.ctl(
                "director", *storm_changes(chance, hosts))
            load.wait_more()
    with Storm(made) as load:
        change()
        leader = cluster.leader()
        cluster.kill(leader)
        change()
        cluster.start(leader)
        change()
        load.down.add(made[2])
        made[2].signal_all(signal.SIGSTOP)
        wait_until(lambda: any(n["state"] == "away"
                               for n in made[0].ring()["nodes"]), "n2 away")
        change()
        made[2].signal_all(signal.SIGCONT)
        wait_until(lambda: all(n["state"] == "there"
                               for n in made[0].ring()["nodes"]), "n2 back")
        agree(made)
        change()
    settle(ledger, load)
    assert load.accepted == ledger.delivered


def test_nobody_is_at_two_servers_while_servers_die(nodes):
    made = nodes(3)
    ledger = Ledger(made[0].made)
    with Storm(made) as load:
        for number in range(4):
            server = made[0].made[number % 3]
            ledger.kill(server)
            made[0].wait_health(server, "down")
            load.wait_more(10)
            heal(server)
            made[0].wait_health(server, "up")
            agree(made)
            load.wait_more(10)
    settle(ledger, load)
    assert load.accepted == ledger.delivered
