"""Host names of the director's servers, and of the etcd that it shares its state in."""
import re
import shlex
import subprocess

import pytest

from etcd import Etcd
from fake_dns import FakeDns
from ports import LOCALHOST
from test_cluster import Node
from test_director import deliver, director, passdb, servers  # noqa: F401

ONE, TWO = "one.example", "two.example"


def told_to_do(text):
    """The command in what waypost says."""
    found = re.search(r"waypost\.conf:\d+: director_mail_servers: "
                      r"'one\.example' is no address, and no name that "
                      r"/etc/hosts has; DNS is not asked\. Write addresses in "
                      r"place of names, or add to /etc/hosts what this "
                      r"prints: (getent hosts .*)", text)
    assert found, text
    return found[1]


def test_names_that_are_not_in_the_hosts_file(instance, servers, dns):  # noqa: F811
    """All are named, by -t, by a start and by a reload; nobody asks DNS."""
    made = servers(1)
    good = (f"lmtp_proxy_dns_servers = {dns.server}\n" + passdb(made[0]))
    bad = good + director([made[0], ONE, f"{TWO}@x"])
    proxy, other = instance(), instance()
    dns.zone[ONE] = dns.zone[TWO] = [made[0].host]
    wanted = f"getent hosts {ONE} {TWO}"
    assert told_to_do(proxy.refusal(bad)) == wanted
    other.write_config(bad)
    other.expect_exit = 78
    other.launch()
    other.wait_log("^exited ")
    assert other.wait_exit() == 78
    assert told_to_do(other.log) == wanted
    proxy.start(good + director(made))
    mark = proxy.mark()
    proxy.reload(bad, "getent hosts")
    assert told_to_do("\n".join(proxy.lines[mark:])) == wanted
    deliver(proxy)
    assert made[0].messages and not dns.queries


@pytest.mark.needs_root
def test_what_it_says_is_to_be_done(instance, servers):  # noqa: F811
    made = servers(2)
    dns = FakeDns(port=53)
    dns.zone[ONE], dns.zone[TWO] = [made[0].host], [made[1].host]
    proxy = instance(as_root=True)
    hosts = proxy.write_file("hosts", "127.0.0.1 localhost\n")
    resolv = proxy.write_file("resolv.conf", f"nameserver {LOCALHOST}\n")
    proxy.prefix = [*proxy.prefix, "unshare", "--mount", "sh", "-c",
                    f"mount --bind {resolv} /etc/resolv.conf && "
                    f"mount --bind {hosts} /etc/hosts && exec \"$@\"", "-"]
    config = passdb(made[0]) + director([ONE, TWO])
    command = told_to_do(proxy.refusal(config))
    printed = subprocess.run([*proxy.prefix, *shlex.split(command)], check=True,
                             capture_output=True, text=True, timeout=60).stdout
    with open(hosts, "a", encoding="ascii") as file:
        file.write(printed)
    dns.stop()
    deliver(proxy.start(config))
    assert all(server.messages for server in made)


@pytest.mark.needs("etcd")
def test_a_reload_changes_who_is_asked_for_etcd(waypost, servers, dns, directory):  # noqa: F811
    """Also while no member of etcd can be reached."""
    etcd = Etcd(directory / "etcd", prefix="/waypost/")
    other = FakeDns({"etcd.example": [LOCALHOST]})
    dns.zone["etcd.example"] = [LOCALHOST]
    url = etcd.urls[0].replace(LOCALHOST, "etcd.example")
    try:
        node = Node(waypost, "n0", servers(1), etcd, cluster_etcd_urls=url,
                    lmtp_proxy_dns_servers=dns.server)
        assert dns.queries
        etcd.kill()
        node.proxy.wait_log("etcd is lost")
        dns.fail["etcd.example"] = "drop"
        node.proxy.reload(node.config.replace(dns.server, other.server))
        mark = node.proxy.mark()
        etcd.start()
        other.wait_query("etcd.example")
        node.proxy.wait_log("in step with etcd", mark)
    finally:
        etcd.stop()
        other.stop()
