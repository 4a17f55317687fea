"""Metrics one by one: each goes up with what it counts, and only then; and a real
Prometheus takes every line, whatever names are in it."""
import json
import os
import pathlib
import re
import subprocess
import time
import urllib.request

import pytest

from control import Control
from ports import LOCALHOST, free_port
from scripted_backend import hold
from systemd import Stuck
from http_sql import put, store, stores, with_sql  # noqa: F401
from test_metrics import scrape
from test_tls_client import pki, tls_backend, to_backend  # noqa: F401
from test_tls_server import cert, secure  # noqa: F401
from waiting import TIMEOUT, wait_until
from waypost import static_passdb

PHASE = 'waypost_backend_phase_seconds_%s{backend="%s",phase="%s"%s}'


def deliver(proxy, rcpt="joe@example.org"):
    with proxy.session() as client:
        assert client.deliver(rcpt)[0] == 250


def phases(proxy, name):
    counted = scrape(proxy)
    return {phase: counted[PHASE % ("count", name, phase, "")]
            for phase in ("dns", "connect", "tls", "rcpt", "data")}


# --- phases ---

def test_dns(dns, backend, waypost):
    """Once for each connection, and not for an address."""
    dns.zone["mail.example"] = [LOCALHOST]
    proxy = waypost(f"lmtp_proxy_dns_servers = {dns.server}\n"
                    "passdb {\n driver = static\n args = nopassword=y proxy=y "
                    f"host=mail.example port={backend.port}\n}}\n")
    deliver(proxy)
    assert phases(proxy, f"mail.example:{backend.port}") == {
        "dns": 1, "connect": 1, "tls": 0, "rcpt": 1, "data": 1}


@pytest.mark.parametrize("mode", ["ssl", "starttls"])
def test_tls(waypost, pki, tls_backend, mode):  # noqa: F811
    server = tls_backend(mode)
    proxy = waypost(to_backend(server, f"{mode}=yes") +
                    f"ssl_client_ca_file = {pki.ca.cert}\n")
    deliver(proxy)
    assert phases(proxy, f"backend.example:{server.port}") == {
        "dns": 0, "connect": 1, "tls": 1, "rcpt": 1, "data": 1}


@pytest.mark.parametrize("stage", ["rcpt", "dot"])
def test_how_long_a_phase_takes(backend, waypost, stage):
    """A histogram is of that phase, and of no other."""
    backend.on(stage, hold)
    proxy = waypost(static_passdb(backend))
    with proxy.session() as client:
        client.mail()
        client.send("RCPT TO:<joe@example.org>\r\n")
        if stage == "dot":
            assert client.reply() == 250
            assert client.command("DATA") == 354
            client.send("x\r\n.\r\n")
        backend.wait_held()
        name = f"{backend.host}:{backend.port}"
        connect = scrape(proxy)[PHASE % ("sum", name, "connect", "")]
        begun = time.monotonic()
        wait_until(lambda: time.monotonic() - begun > 0.3, "a while")
        backend.release()
        assert client.reply() == 250
        counted = scrape(proxy)
    phase = {"rcpt": "rcpt", "dot": "data"}[stage]
    assert counted[PHASE % ("bucket", name, phase, ',le="0.25"')] == 0
    assert counted[PHASE % ("bucket", name, phase, ',le="+Inf"')] == 1
    assert 0.25 < counted[PHASE % ("sum", name, phase, "")] < TIMEOUT
    assert counted[PHASE % ("sum", name, "connect", "")] == connect


def test_how_long_a_lookup_takes(store, backend, with_sql):  # noqa: F811
    put(store, backend)
    proxy = with_sql(store.config())
    deliver(proxy)
    seconds = 'waypost_passdb_lookup_seconds_%s{driver="http-sql"}'
    counted = scrape(proxy)
    assert counted[seconds % "count"] == 1
    assert 0 < counted[seconds % "sum"] < TIMEOUT


# --- sums ---

def test_cache(store, backend, with_sql):  # noqa: F811
    put(store, backend)
    proxy = with_sql(store.config(), "auth_cache_size = 1M\n"
                     "auth_cache_negative_ttl = 1 hours\n")
    for rcpt, count in (("joe@example.org", 3), ("ann@example.org", 2)):
        for _ in range(count):
            with proxy.session() as client:
                client.mail()
                client.rcpt(rcpt)
    counted = scrape(proxy)
    cache = {name: counted[f"waypost_passdb_cache_{name}"] for name in
             ("hits_total", "misses_total", "stale_hits_total",
              "evictions_total", "entries")}
    assert cache == {"hits_total": 3, "misses_total": 2, "stale_hits_total": 0,
                     "evictions_total": 0, "entries": 2}
    assert 0 < counted["waypost_passdb_cache_bytes"] < 1024 * 1024
    assert Control(proxy).get("/v1/stats")["cached_lookups"] == 3
    assert Control(proxy).ctl("auth", "cache", "flush").returncode == 0
    assert scrape(proxy)["waypost_passdb_cache_entries"] == 0


def test_tls_sessions(secure, pki):  # noqa: F811
    proxy = secure()
    with proxy.session() as one, proxy.session():
        one.starttls(pki.client())
        assert one.lhlo() == 250
        counted = scrape(proxy)
    assert counted["waypost_tls_sessions_total"] == 1
    assert counted["waypost_sessions_total"] == 2


def test_refused_connections(backend, waypost):
    proxy = waypost(static_passdb(backend))
    Control(proxy).post("/v1/drain")
    for _ in range(3):
        client = proxy.connect()
        assert client.greeting == 421
        client.close()
    counted = scrape(proxy)
    assert counted["waypost_refused_connections_total"] == 3
    assert counted["waypost_draining"] == 1


def test_bytes_are_those_of_the_messages(backend, waypost):
    proxy = waypost(static_passdb(backend))
    body = "Subject: x\r\n\r\n" + "y" * 1000 + "\r\n"
    with proxy.session() as client:
        client.deliver("joe@example.org", body)
        client.deliver(["joe@example.org", "ann@example.org"], body)
        client.mail()
        client.rcpt("joe@example.org")
        client.command("DATA")
        client.send("not whole\r\n")
    counted = scrape(proxy)
    assert counted["waypost_messages_total"] == 2
    assert counted["waypost_received_bytes_total"] == 2 * len(body)


# --- the process ---

def test_process(backend, waypost):
    proxy = waypost(static_passdb(backend))
    worker, = proxy.workers()
    clients = [proxy.session() for _ in range(7)]
    counted = scrape(proxy)
    # What a scrape itself takes: its connection.
    there = len(os.listdir(f"/proc/{worker}/fd"))
    assert abs(counted["waypost_open_fds"] - there) <= 1
    limits = pathlib.Path(f"/proc/{worker}/limits").read_text()
    soft = re.search(r"Max open files\s+(\d+)", limits)[1]
    assert counted["waypost_max_fds"] == int(soft)
    assert 0 <= time.time() - counted["waypost_start_time_seconds"] < TIMEOUT
    version = proxy.run("-V").stdout.split()[1]
    assert counted[f'waypost_build_info{{version="{version}"}}'] == 1
    assert counted["waypost_worker_threads"] == 2
    assert counted["waypost_worker_threads_stuck"] == 0
    assert counted["waypost_event_loop_lag_seconds"] < 2  # or it would be stuck
    for client in clients:
        client.close()
    fewer = counted["waypost_open_fds"] - 7
    wait_until(lambda: scrape(proxy)["waypost_open_fds"] == fewer,
               "descriptors to be closed")


def test_a_thread_that_hangs(backend, instance):
    """What it has counted is not taken back."""
    proxy = instance()
    proxy.threads = 1
    proxy.start(static_passdb(backend))
    for _ in range(4):
        deliver(proxy)
    before = scrape(proxy)
    worker, = proxy.workers()
    with Stuck(worker, "worker-0"):
        counted = scrape(proxy)
    assert counted["waypost_worker_threads_stuck"] == 1
    assert counted["waypost_event_loop_lag_seconds"] >= 2
    for name in ("waypost_messages_total", "waypost_sessions_total"):
        assert counted[name] == before[name] == 4
    assert scrape(proxy)["waypost_worker_threads_stuck"] == 0


# --- a real Prometheus ---

PROMETHEUS = """\
scrape_configs:
- job_name: waypost
  scrape_interval: 1s
  authorization:
    credentials: sesame
  static_configs:
  - targets: ['{host}:{port}']
"""


class Prometheus:
    def __init__(self, directory, target):
        self.address = f"{LOCALHOST}:{free_port()}"
        config = directory / "prometheus.yml"
        config.write_text(PROMETHEUS.format(host=LOCALHOST, port=target))
        self.process = subprocess.Popen(
            ["prometheus", f"--config.file={config}",
             f"--storage.tsdb.path={directory}/tsdb",
             f"--web.listen-address={self.address}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def get(self, path):
        try:
            with urllib.request.urlopen(f"http://{self.address}{path}",
                                        timeout=TIMEOUT) as answer:
                return json.load(answer)["data"]
        except OSError:
            return None

    def ask(self, query):
        """{labels: value}, of the newest samples."""
        data = self.get(f"/api/v1/query?query={query}") or {"result": []}
        return [(sample["metric"], float(sample["value"][1]))
                for sample in data["result"]]

    def stop(self):
        self.process.terminate()
        self.process.wait(TIMEOUT)


NAMES = ["\u00e4.example", "\u00f6.example", 'a"b', "a\\b", "a\\x5cb", "{}",
         "a;b", "'"]


@pytest.fixture
def everything(backend, instance):
    """One that has something to show everywhere, and backends with names that
    nobody should have; and the port of its http listener."""
    proxy, port = instance(), free_port()
    users = proxy.write_file("users", "".join(
        f"u{number}:::::::proxy=y hostip={backend.host} port={backend.port} "
        f"host={name}\n" for number, name in enumerate(NAMES)))
    proxy.start("auth_cache_size = 1M\nauth_username_format = %Ln\n"
                f"passdb {{\n driver = passwd-file\n args = {users}\n}}\n"
                "director_mail_servers = 10.0.0.1 10.0.0.2\n"
                "mail_location = maildir:~/Maildir\n"
                "userdb {\n driver = static\n args = home=/srv\n}\n"
                "http_token = sesame\nservice http {\n inet_listener http {\n"
                f"  address = {LOCALHOST}\n  port = {port}\n }}\n}}\n")
    for number in range(len(NAMES)):
        deliver(proxy, f"u{number}@example.org")
    return proxy, port


@pytest.mark.needs("promtool")
def test_promtool_finds_nothing_wrong(everything):
    proxy, _ = everything
    status, body = Control(proxy).request("/metrics")
    assert status == 200
    result = subprocess.run(["promtool", "check", "metrics"], input=body,
                            capture_output=True, text=True, timeout=TIMEOUT,
                            check=False)
    assert (result.returncode, result.stdout + result.stderr) == (0, "")


@pytest.mark.needs("prometheus")
def test_prometheus_takes_every_line(everything, backend, directory):
    """None is taken for another, and all of it is OpenMetrics."""
    proxy, port = everything
    lines = scrape(proxy)
    prometheus = Prometheus(directory, port)
    try:
        wait_until(lambda: prometheus.ask("up"), "the first scrape", timeout=60)
        target, = prometheus.get("/api/v1/targets")["activeTargets"]
        assert (target["health"], target["lastError"]) == ("up", "")
        taken = prometheus.ask("scrape_samples_scraped")[0][1]
        assert taken == len(lines)
        assert prometheus.ask("scrape_samples_post_metric_relabeling")[0][1] == \
            taken
        seen = {labels["backend"]: value for labels, value in
                prometheus.ask("waypost_backend_transactions_total")}
        assert len(seen) == len(NAMES) and set(seen.values()) == {1}
        assert f"\u00e4.example:{backend.port}" in seen
        kinds = prometheus.get("/api/v1/metadata")
        assert kinds["waypost_backend_phase_seconds"][0]["type"] == "histogram"
        assert kinds["waypost_received_bytes"][0]["unit"] == "bytes"
    finally:
        prometheus.stop()
