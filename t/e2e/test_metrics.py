"""Metrics: what is counted is what happened, and Prometheus reads it."""
import json
import os
import re
import signal
import subprocess
import threading
import urllib.request

import pytest

from control import Control
from hostile_ldap import BIND_RESULT, LdapScript, result
from local_site import children
from ports import LOCALHOST, free_port
from scripted_backend import hold
from waiting import TIMEOUT, wait_until
from waypost import IS_ROOT, TOP, static_passdb

SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$")
USERS = """\
passdb {{
  driver = passwd-file
  args = {path}
}}
"""


def scrape(proxy):
    """{name and labels: value}"""
    status, body = Control(proxy).request(
        "/metrics", headers={"Accept": "application/openmetrics-text"})
    assert status == 200
    lines = body.splitlines()
    assert lines[-1] == "# EOF"
    samples = {}
    for line in lines:
        if line.startswith("#"):
            continue
        name, labels, value = SAMPLE.match(line).groups()
        key = name if labels is None else f"{name}{{{labels}}}"
        assert key not in samples, f"{key} twice"
        samples[key] = float(value)
    return samples


def test_counts(backend, backends, instance):
    other = backends()
    other.on("rcpt", "550 5.2.1 no")
    proxy = instance()
    users = proxy.write_file("users", (
        f"joe:::::::proxy=y host={backend.host} port={backend.port}\n"
        f"ann:::::::proxy=y host={other.host} port={other.port}\n"))
    proxy.start(USERS.format(path=users) + "auth_username_format = %Ln\n")
    with proxy.session() as client:
        client.mail()
        assert client.rcpt("joe@example.org") == 250
        assert client.rcpt("ann@example.org") == "550 5.2.1"
        assert client.rcpt("bob@example.org") == "550 5.1.1"
        assert client.data("hello\r\n", 1)[0] == 250
        client.deliver(["joe@example.org"])
        counted = scrape(proxy)
    name = f"{backend.host}:{backend.port}"
    assert counted["waypost_sessions_open"] == 1
    assert counted["waypost_sessions_total"] == 1
    assert counted["waypost_transactions_total"] == 2
    assert counted["waypost_messages_total"] == 2
    assert counted["waypost_received_bytes_total"] > 7
    outcomes = {k: v for k, v in counted.items()
                if k.startswith("waypost_recipients_total")}
    assert sum(outcomes.values()) == 4
    assert outcomes['waypost_recipients_total{class="5xx",enhanced="5.2.1",'
                    'origin="backend"}'] == 1
    assert outcomes['waypost_recipients_total{class="5xx",enhanced="5.1.1",'
                    'origin="waypost"}'] == 1
    lookups = 'waypost_passdb_lookups_total{driver="passwd-file",result="%s"}'
    assert counted[lookups % "found"] == 3
    assert counted[lookups % "not_found"] == 1
    of = f'{{backend="{name}"}}'
    assert counted["waypost_backend_connections_total" + of] == 1
    assert counted["waypost_backend_transactions_total" + of] == 2
    assert counted["waypost_backend_reused_connections_total" + of] == 1
    phase = 'waypost_backend_phase_seconds_count{backend="%s",phase="%s"}'
    assert counted[phase % (name, "connect")] == 1
    assert counted[phase % (name, "rcpt")] == 2
    assert counted[phase % (name, "data")] == 2
    assert counted[phase % (name, "tls")] == 0
    refuses = f"{other.host}:{other.port}"
    assert counted[phase % (refuses, "rcpt")] == 1
    assert counted[phase % (refuses, "data")] == 0


def test_gauges_go_up_and_down(backend, waypost):
    backend.on("dot", hold)
    proxy = waypost(static_passdb(backend)
                    + "lmtp_proxy_pool_max_connections = 1\n")
    of = f'{{backend="{backend.host}:{backend.port}"}}'

    def gauges():
        now = scrape(proxy)
        return [now[f"waypost_backend_{kind}{of}"] for kind in
                ("open_connections", "idle_connections",
                 "waiting_transactions")]

    with proxy.session() as one, proxy.session() as two:
        one.start_data("joe@example.org")
        one.send("x\r\n.\r\n")
        backend.wait_held()
        assert gauges() == [1, 0, 0]
        two.mail()
        two.send("RCPT TO:<ann@example.org>\r\n")
        wait_until(lambda: gauges() == [1, 0, 1], "one that waits")
        backend.release()
        assert one.reply() == 250
        assert two.reply() == 250
        assert gauges() == [1, 0, 0]
        two.command("RSET")
        wait_until(lambda: gauges() == [1, 1, 0], "an idle connection")
    table = Control(proxy).ctl("pool").stdout.splitlines()
    assert table[1].split()[:4] == [f"{backend.host}:{backend.port}", "1",
                                    "0", "0"]
    backend.on("dot", "250 OK")


def test_connections_that_fail(waypost, backend):
    port = free_port()
    proxy = waypost("passdb {\n  driver = static\n"
                    f"  args = proxy=y host={LOCALHOST} port={port} "
                    "nopassword=y\n}\n")
    with proxy.session() as client:
        client.mail()
        assert client.rcpt("joe@example.org") == 451
    counted = scrape(proxy)
    of = f'{{backend="{LOCALHOST}:{port}"}}'
    assert counted["waypost_backend_failed_connections_total" + of] == 1
    assert counted["waypost_backend_open_connections" + of] == 0


def test_lookups_that_wait(backend, instance):
    """Also those of sessions that began before a reload."""
    go_on = threading.Event()

    def late(connection):
        bind = connection.request()
        assert go_on.wait(TIMEOUT)
        connection.send(result(bind.id, BIND_RESULT))
        while True:
            connection.send(result(connection.request().id))

    server = LdapScript(late)
    proxy = instance()
    proxy.threads = 2
    path = proxy.write_file("ldap.conf.ext",
                            f"uris = {server.url}\nbase = dc=org\n")
    passdb = f"passdb {{\n  driver = ldap\n  args = {path}\n}}\n"
    proxy.start(passdb)
    control = Control(proxy)
    gauge = 'waypost_passdb_waiting_lookups{driver="ldap"}'

    def waiting():
        return scrape(proxy).get(gauge, 0)

    def ask(client, count):
        client.send("MAIL FROM:<>\r\n")
        client.send("".join(f"RCPT TO:<u{i}@example.org>\r\n"
                            for i in range(count)))

    try:
        with proxy.session() as one, proxy.session() as two:
            assert waiting() == 0
            ask(one, 3)
            ask(two, 2)
            wait_until(lambda: waiting() == 5, "those that wait")
            proxy.write_config(passdb + "lmtp_max_recipients = 7\n")
            assert control.ctl("reload").returncode == 0
            with proxy.session() as three:
                ask(three, 1)
                wait_until(lambda: waiting() == 6, "one more")
                go_on.set()
                for client, count in ((one, 4), (two, 3), (three, 2)):
                    assert client.replies(count)[-1] == "550 5.1.1"
            assert waiting() == 0
    finally:
        server.stop()


def test_deliveries(directory, instance):
    """As root the user is nobody."""
    home = directory / "home"
    home.mkdir()
    home.chmod(0o777)
    proxy = instance()
    ids = "uid=65534 gid=65534 " if IS_ROOT else ""
    proxy.start("lmtp_proxy = no\nmail_location = maildir:~/Maildir\n"
                "lmtp_rcpt_check_quota = yes\n"
                "plugin {\n quota = maildir:U\n quota_rule = *:messages=2\n}\n"
                "userdb {\n driver = static\n args = allow_all_users=yes "
                f"{ids}home={home}/%n\n}}\n")
    wait_until(lambda: scrape(proxy)["waypost_delivery_processes_limit"] == 20,
               "a crew")
    counted = scrape(proxy)
    assert counted['waypost_deliveries_total{result="saved"}'] == 0
    with proxy.session() as client:
        for _ in range(2):
            assert client.deliver("joe@example.org",
                                  "Subject: x\r\n\r\nx\r\n")[0] == 250
        client.mail()
        assert client.rcpt("joe@example.org") == 552
        (home / "ann").write_text("no directory")
        assert client.rcpt("ann@example.org") == 250
        assert client.data("x\r\n", 1)[0].code == 451
        counted = scrape(proxy)
    assert counted['waypost_deliveries_total{result="saved"}'] == 2
    assert sum(v for k, v in counted.items()
               if k.startswith("waypost_deliveries_total")) == 3
    sizes = sum(path.stat().st_size
                for path in (home / "joe" / "Maildir" / "new").iterdir())
    assert counted["waypost_delivered_bytes_total"] == sizes
    over = 'waypost_delivery_over_quota_total{phase="%s"}'
    assert (counted[over % "rcpt"], counted[over % "data"]) == (1, 0)
    phase = 'waypost_delivery_phase_seconds_count{phase="%s"}'
    assert (counted[phase % "rcpt"], counted[phase % "data"]) == (4, 3)
    assert counted["waypost_deliveries_under_way"] == 0
    assert counted["waypost_deliveries_waiting"] == 0
    assert counted["waypost_delivery_links_total"] == 0
    with proxy.session() as client:
        assert client.deliver(["bob@example.org", "eve@example.org"])
    counted = scrape(proxy)
    assert counted["waypost_delivery_links_total"] == 1
    assert counted['waypost_deliveries_total{result="saved"}'] == 4


def test_processes_that_deliver(directory, instance):
    """What the crew counts gets to where it is shown."""
    proxy = instance()
    proxy.start("lmtp_proxy = no\nmail_location = maildir:~/Maildir\n"
                "lmtp_max_deliveries = 3\n"
                "userdb {\n driver = static\n args = uid=65534 gid=65534 "
                f"home={directory}\n}}\n")
    ended = 'waypost_delivery_processes_ended_total{how="%s"}'

    def counts():
        now = scrape(proxy)
        return [now["waypost_delivery_processes" + kind] for kind in
                ("_started_total", "", "_busy", "_limit")] + \
            [now[ended % how] for how in
             ("well", "timed_out", "killed", "failed")]

    wait_until(lambda: counts() == [3, 3, 0, 3, 0, 0, 0, 0], "a crew")
    status = Control(proxy).get("/v1/status")
    assert (status["deliveries"], status["deliveries_max"]) == (0, 3)
    assert "deliveries max" in Control(proxy).ctl("status").stdout
    # Those who were just forked have another title.
    os.kill(wait_until(lambda: children(proxy, "delivery"), "one of them")[0],
            signal.SIGKILL)
    wait_until(lambda: counts() == [4, 3, 0, 3, 0, 0, 1, 0], "a new one")
    proxy.signal(signal.SIGHUP)
    wait_until(lambda: counts() == [7, 3, 0, 3, 3, 0, 1, 0], "three new ones")


def test_labels_are_bounded(backend, waypost):
    """Whatever backends there are, and whatever they answer."""
    proxy = waypost("passdb {\n  driver = static\n"
                    f"  args = proxy=y hostip={backend.host} host=%n.example "
                    f"port={backend.port} nopassword=y\n}}\n")
    count = 0

    def answer(conn, _arg):
        nonlocal count
        count += 1
        conn.reply(f"450 4.{count % 1000}.{count % 7} no")

    backend.on("rcpt", answer)
    with proxy.session() as client:
        client.mail()
        assert {reply.code for reply in client.pipeline(
            *[f"RCPT TO:<u{i}@x>" for i in range(300)])} == {450}
    counted = scrape(proxy)
    backends_seen = [k for k in counted
                     if k.startswith("waypost_backend_transactions_total")]
    assert len(backends_seen) <= 257
    assert sum(counted[k] for k in backends_seen) == 300
    outcomes = [k for k in counted if k.startswith("waypost_recipients_total")]
    assert len(outcomes) <= 64
    assert sum(counted[k] for k in outcomes) == 300


def test_cache(waypost, instance, backend):
    proxy = waypost(static_passdb(backend) + "auth_cache_size = 1M\n")
    control = Control(proxy)
    assert control.get("/v1/auth/cache")["enabled"] is True
    assert control.get("/v1/auth/cache")["size_bytes"] == 1024 * 1024
    assert control.ctl("auth", "cache", "flush").returncode == 0
    assert "waypost_passdb_cache_entries" in scrape(proxy)
    plain = waypost(static_passdb(backend))
    assert Control(plain).get("/v1/auth/cache")["enabled"] is False
    assert "waypost_passdb_cache_entries" not in scrape(plain)


@pytest.mark.needs("promtool")
def test_promtool_finds_nothing_wrong(backend, waypost):
    proxy = waypost(static_passdb(backend) + "auth_cache_size = 1M\n")
    with proxy.session() as client:
        client.deliver(["joe@example.org"])
    status, body = Control(proxy).request("/metrics")
    assert status == 200
    result = subprocess.run(["promtool", "check", "metrics"], input=body,
                            capture_output=True, text=True, timeout=TIMEOUT,
                            check=False)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""


@pytest.mark.needs("promtool")
def test_promtool_takes_the_alerts():
    result = subprocess.run(
        ["promtool", "check", "rules",
         TOP / "contrib/prometheus/waypost-alerts.yml"],
        capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


PROMETHEUS = """\
scrape_configs:
- job_name: waypost
  scrape_interval: 1s
  authorization:
    credentials: sesame
  static_configs:
  - targets: ['{host}:{port}']
"""


@pytest.mark.needs("prometheus")
def test_a_real_prometheus_scrapes_it(backend, waypost, directory):
    port, own = free_port(), free_port()
    proxy = waypost(static_passdb(backend) + "http_token = sesame\n"
                    "service http {\n  inet_listener http {\n"
                    f"    address = {LOCALHOST}\n    port = {port}\n  }}\n}}\n")
    with proxy.session() as client:
        client.deliver(["joe@example.org"])
    config = directory / "prometheus.yml"
    config.write_text(PROMETHEUS.format(host=LOCALHOST, port=port))
    prometheus = subprocess.Popen(
        ["prometheus", f"--config.file={config}",
         f"--storage.tsdb.path={directory}/tsdb",
         f"--web.listen-address={LOCALHOST}:{own}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def ask(query):
        url = f"http://{LOCALHOST}:{own}/api/v1/query?query={query}"
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
                return json.load(answer)["data"]["result"]
        except OSError:
            return []

    try:
        result = wait_until(lambda: ask("waypost_messages_total"),
                            "the first scrape", timeout=60)
        assert result[0]["value"][1] == "1"
        assert ask("up")[0]["value"][1] == "1"
        assert ask("waypost_build_info")
    finally:
        prometheus.terminate()
        prometheus.wait(TIMEOUT)


def test_scraping_does_not_disturb(backend, waypost):
    """Nothing is lost, and all of it is counted, while it is looked at."""
    proxy = waypost(static_passdb(backend))
    over = threading.Event()

    def look():
        while not over.is_set():
            scrape(proxy)

    looker = threading.Thread(target=look)
    looker.start()
    with proxy.session() as client:
        for _ in range(50):
            client.deliver(["joe@example.org", "ann@example.org"])
    over.set()
    looker.join()
    counted = scrape(proxy)
    assert counted["waypost_messages_total"] == 50
    assert sum(v for k, v in counted.items()
               if k.startswith("waypost_recipients_total")) == 100
    assert len(backend.messages) == 50
