"""Each metric is in waypost-control(7), with its type and labels, and what
contrib/ asks for is one of them."""
import json
import re
import subprocess

import pytest

from control import Control
from waiting import TIMEOUT
from waypost import TOP, static_passdb

PAGE = (TOP / "man/waypost-control.7").read_text()
ALERTS = TOP / "contrib/prometheus/waypost-alerts.yml"
DASHBOARD = TOP / "contrib/grafana/waypost.json"
SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? \S+$")
LABEL = re.compile(r'(\w+)="(?:[^"\\]|\\.)*"(?:,|$)')
SUFFIXES = {"counter": ["_total"], "gauge": [""], "info": ["_info"],
            "histogram": ["_bucket", "_sum", "_count"]}
OF_A_CLUSTER = "waypost_cluster_"  # see test_cluster.py
OF_USERDBS = "waypost_userdb_"  # see test_metrics.py
# What Prometheus adds by itself.
ADDED = {"instance", "job"}


def described():
    """{name: (type, labels)}"""
    found = {}
    section = PAGE[PAGE.index(".Sh METRICS"):PAGE.index(".Sh SEE ALSO")]
    for line in re.findall(r"^\.It (.*)$", section, re.M):
        names, _, rest = line.partition(" Pq ")
        kind, _, labels = rest.partition(" by ")
        for name in re.findall(r"waypost_\w+", names):
            assert name not in found, f"{name} twice"
            found[name] = kind, frozenset(labels.split(", ")) - {""}
    return found


@pytest.fixture
def scraped(backend, waypost):
    """A scrape, in OpenMetrics, of one that has something to show everywhere."""
    proxy = waypost(static_passdb(backend) + "auth_cache_size = 1M\n"
                    "director_mail_servers = 10.0.0.1 10.0.0.2\n"
                    "mail_location = maildir:~/Maildir\n"
                    "userdb {\n driver = static\n args = home=/srv\n}\n")
    with proxy.session() as client:
        client.deliver("joe@example.org")
        status, body = Control(proxy).request(
            "/metrics", headers={"Accept": "application/openmetrics-text"})
    assert status == 200
    return body


def families(body):
    """{name: (type, labels)}, as the page has them: with _total and _info, and
    a histogram once. Each sample has to be of the family above it."""
    found, said = {}, None
    for line in body.splitlines():
        if line.startswith("# TYPE "):
            family, kind = line.split()[2:]
            assert said is None, f"{said} has no sample"
            said = family
            assert kind in SUFFIXES, line
            names = [family + suffix for suffix in SUFFIXES[kind]]
            public = family if kind == "histogram" else names[0]
        if line.startswith("#"):
            continue
        name, labels = SAMPLE.match(line).groups()
        assert name in names, line
        said = None
        keys = LABEL.findall(labels or "")
        assert LABEL.sub("", labels or "") == "", line
        if name.endswith("_bucket"):
            keys.remove("le")
        assert "le" not in keys, line
        assert found.setdefault(public, (kind, frozenset(keys))) == \
            (kind, frozenset(keys)), line
    return found


def test_the_page_has_each_metric(scraped):
    there, page = families(scraped), described()
    assert len(there) > 30
    assert there == {name: what for name, what in page.items()
                     if not name.startswith((OF_A_CLUSTER, OF_USERDBS))}


def test_each_family_has_a_help_and_its_unit(scraped):
    for name in re.findall(r"^# TYPE (\S+)", scraped, re.M):
        assert re.search(rf"^# HELP {name} \w", scraped, re.M), name
        unit = re.search(r"_(seconds|bytes)$", name)
        stated = re.search(rf"^# UNIT {name} (\w+)$", scraped, re.M)
        assert (unit and unit[1]) == (stated and stated[1]), name


# --- contrib ---

def expressions():
    """All that is asked of Prometheus."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    found = [target["expr"] for panel in panels for target in panel["targets"]]
    rules = re.split(r"^  - alert:", ALERTS.read_text(), flags=re.M)[1:]
    for rule in rules:
        found.append(re.search(r"expr:(.*?)\n    for:", rule, re.S)[1])
    assert len(found) > 20
    return found


def known_by_samples():
    """{name of a sample: labels}"""
    known = {"up": frozenset()}
    for name, (kind, labels) in described().items():
        if kind != "histogram":
            known[name] = labels
            continue
        for suffix in SUFFIXES[kind]:
            known[name + suffix] = labels | (
                {"le"} if suffix == "_bucket" else set())
    return known


def test_contrib_asks_for_what_there_is():
    known = known_by_samples()
    asked = set()
    for text in expressions():
        names = re.findall(r"\b(?:waypost_\w+|up\b)", text)
        assert names, text
        asked |= set(names)
        labels = set()
        for name in names:
            assert name in known, (name, text)
            labels |= known[name]
        used = set(re.findall(r"(\w+)\s*(?:=~|!=|=)\s*\"", text))
        for group in re.findall(r"\bby \(([^)]*)\)", text):
            used |= set(group.split(", "))
        assert used <= labels | ADDED, text
    waiting = {name for name in known if "waiting" in name
               and not name.startswith(OF_USERDBS)}
    assert len(waiting) == 3 and waiting <= asked


def test_panels_do_not_overlap():
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"])
                 for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells


RULES = """\
rule_files: ['{alerts}']
evaluation_interval: 1m
tests:
- interval: 1m
  input_series:
  - series: 'waypost_passdb_waiting_lookups{{driver="ldap",instance="a"}}'
    values: '0 0 1x10 0x5'
  - series: 'waypost_director_backends{{admin="up",health="down",instance="a"}}'
    values: '0 0 2x10 0x5'
  - series: 'waypost_director_backends{{admin="down",health="down",instance="a"}}'
    values: '3x20'
  - series: 'waypost_deliveries_total{{result="saved",instance="a"}}'
    values: '0+100x20'
  - series: 'waypost_deliveries_total{{result="no_space",instance="a"}}'
    values: '0x5 0+10x15'
  - series: 'waypost_deliveries_waiting{{instance="a"}}'
    values: '0 0 9x10 0x5'
  - series: 'waypost_delivery_processes_ended_total{{how="well",instance="a"}}'
    values: '0+100x20'
  - series: 'waypost_delivery_processes_ended_total{{how="killed",instance="a"}}'
    values: '0x5 1x15'
  alert_rule_test:
  - {{eval_time: 5m, alertname: WaypostLookupsWait}}
  - eval_time: 8m
    alertname: WaypostLookupsWait
    exp_alerts:
    - exp_labels: {{severity: warning, driver: ldap, instance: a}}
      exp_annotations:
        summary: Lookups wait for connections of passdb ldap on a
        description: Its servers do not answer, or not fast enough; RCPT is answered late, or 451.
  - {{eval_time: 14m, alertname: WaypostLookupsWait}}
  - {{eval_time: 5m, alertname: WaypostDirectorServerDown}}
  - eval_time: 8m
    alertname: WaypostDirectorServerDown
    exp_alerts:
    - exp_labels: {{severity: warning, admin: up, health: down, instance: a}}
      exp_annotations:
        summary: 2 of the director's servers are down for a
  - {{eval_time: 5m, alertname: WaypostDeliveriesFail}}
  - eval_time: 18m
    alertname: WaypostDeliveriesFail
    exp_alerts:
    - exp_labels: {{severity: critical, instance: a}}
      exp_annotations:
        summary: More than 5 % of the mail for users on a cannot be saved
        description: waypost_deliveries_total says why, by result; no_space is a full disk.
  - {{eval_time: 5m, alertname: WaypostDeliveriesWait}}
  - eval_time: 8m
    alertname: WaypostDeliveriesWait
    exp_alerts:
    - exp_labels: {{severity: warning, instance: a}}
      exp_annotations:
        summary: Mail waits for processes that save it on a
        description: See lmtp_max_deliveries, and how long the disk takes.
  - {{eval_time: 5m, alertname: WaypostDeliveryProcessesDie}}
  - eval_time: 8m
    alertname: WaypostDeliveryProcessesDie
    exp_alerts:
    - exp_labels: {{severity: warning, how: killed, instance: a}}
      exp_annotations:
        summary: "Processes that save mail on a end badly: killed"
"""


@pytest.mark.needs("promtool")
def test_alerts_about_what_waits(directory):
    path = directory / "rules.yml"
    path.write_text(RULES.format(alerts=ALERTS))
    result = subprocess.run(["promtool", "test", "rules", path],
                            capture_output=True, text=True, timeout=TIMEOUT,
                            check=False)
    assert result.returncode == 0, result.stdout + result.stderr
