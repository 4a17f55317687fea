"""Users who are moved for a time, of a cluster whose etcd is lost when that is over."""
import time

import pytest

from test_cluster import USERS, agree, etcd, nodes, servers  # noqa: F401
from waiting import wait_until

pytestmark = pytest.mark.needs("etcd")


def test_they_return_when_etcd_is_back(nodes, etcd):  # noqa: F811
    cluster = etcd()
    made = nodes(2, cluster)
    agree(made)
    user, home = USERS[0], made[0].next(USERS[0])
    away = next(s.host for s in made[0].made if s.host != home)
    start = time.monotonic()
    made[0].ok("move", user, away, "6")
    wait_until(lambda: made[1].next(user) == away, "the move")
    cluster.pause()
    wait_until(lambda: all(not node.ring()["in_step"] for node in made) and
               time.monotonic() > start + 8, "etcd to be lost, and the time over")
    assert all(node.next(user) == away for node in made)
    cluster.resume()
    wait_until(lambda: all(node.next(user) == home for node in made),
               "the user to be back")
    for node in made:
        assert "users who were moved for a time" not in node.proxy.log
