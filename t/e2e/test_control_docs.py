"""waypost-control(7) has every path, and every member of every answer."""
import json
import re
import urllib.parse

import pytest

from control import Control
from scripted_backend import held_at_dot
from waypost import TOP, static_passdb

PAGE = (TOP / "man/waypost-control.7").read_text()
TABLE = re.compile(r'\{ "(GET|POST)", "(/\S+)",')
PARAMETERS = set()
for source in (TOP / "proxy/control").glob("*.c"):
    PARAMETERS |= set(re.findall(
        r'(?:control_(?:param|number)|need)\([^"]*"(\w+)"',
        source.read_text()))


def names(text):
    """What stands in .Va, and in items of lists."""
    found = set()
    for line in re.findall(r"^\.(?:It )?Va (.*)$", text, re.M):
        found |= {word for word in line.split() if re.fullmatch(r"\w+", word)}
    return found


def sections():
    """{(method, path): what the page says of it}"""
    text = PAGE[PAGE.index(".Sh PATHS"):PAGE.index(".Sh METRICS")]
    parts = re.split(r"^\.It Cm (GET|POST) (\S+)\n", text, flags=re.M)[1:]
    return {(parts[i], parts[i + 1]): parts[i + 2]
            for i in range(0, len(parts), 3)}


SECTIONS = sections()
EVERYWHERE = names(PAGE[PAGE.index(".Ss Requests and answers"):
                        PAGE.index(".Sh PATHS")])
# Whose answers are described where.
AS = {"/v1/drain": "/v1/sessions/kick", "/v1/undrain": "/v1/sessions/kick"}
QUERIES = {
    "/v1/sessions/kick": "pattern=nobody",
    "/v1/auth/lookup": "user=joe@example.org",
    "/v1/log/level": "level=default",
    "/v1/rawlog/on": "pattern=joe&dir={dir}",
    "/v1/route": "user=directed@example.org",
    "/v1/director/user": "user=joe",
    "/v1/director/plan": "change=down&host=10.0.0.1",
    "/v1/director/move": "user=joe&host=10.0.0.1",
    "/v1/director/unmove": "user=joe",
    **{f"/v1/director/{change}": f"host={host}&weight=7"
       for change, host in [
           ("add", "10.0.0.3"), ("remove", "10.0.0.3"),
           ("update", "10.0.0.1"), ("up", "10.0.0.1"),
           ("drain", "10.0.0.1"), ("down", "10.0.0.1"),
           ("flush", "all")]},
}
# What an answer has in some states only; other tests see it.
SOMETIMES = {
    "/v1/director": {"name", "admin_by", "admin_at", "weight_by", "weight_at",
                     "presence_by", "presence_at", "health_why", "health_at"},
    "/v1/director/user": {"moved", "moved_by", "moved_at", "moved_until",
                          "moved_seconds", "current", "deliveries",
                          "expires_seconds"},
    "/v1/route": {"method", "hash", "hash_of", "tag"},
    "/v1/director/map": {"key", "ip", "deliveries"},
}
TEXTS = ["/healthz", "/readyz", "/metrics", "/v1/config", "/v1/auth_http",
         "/v1/director/dump"]
OF_A_CLUSTER = ["/v1/director/ring",  # see test_cluster.py
                "/v1/director/ring/remove", "/v1/director/ring/adopt"]


def members(value):
    """The names of all members, those of members included."""
    if isinstance(value, list):
        return set().union(*map(members, value))
    if not isinstance(value, dict):
        return set()
    return set(value).union(*map(members, value.values()))


def described(method, path):
    text = SECTIONS[(method, path)]
    if path in AS:
        text += SECTIONS[("POST", AS[path])]
    return names(text)


def table():
    return TABLE.findall((TOP / "proxy/control/control.c").read_text())


def test_every_path_is_there():
    assert len(table()) > 20
    assert set(table()) == set(SECTIONS)


@pytest.fixture
def busy(backend, waypost):
    """One that has something to show everywhere."""
    proxy = waypost(static_passdb(backend) + "auth_cache_size = 1M\n"
                    "director_mail_servers = 10.0.0.1 10.0.0.2\n")
    control = Control(proxy)
    directory = proxy.make_dir("raw")
    quoted = urllib.parse.quote(str(directory))
    control.post(f"/v1/rawlog/on?pattern=ann&dir={quoted}")
    with proxy.session() as refused:
        backend.on("rcpt", "garbage")
        refused.mail()
        refused.rcpt("ann@example.org")
    backend.on("rcpt", "250 OK")
    with held_at_dot(proxy, backend):
        yield control, quoted
        backend.release()


def test_every_member_is_there(busy):
    control, directory = busy
    for method, path in table():
        if path in TEXTS or path == "/v1/stop" or path in OF_A_CLUSTER:
            continue
        query = QUERIES.get(path, "").format(dir=directory)
        status, body = control.request(f"{path}?{query}", method)
        assert status == 200, (path, body)
        there = members(json.loads(body))
        if path in ("/v1/sessions", "/v1/pool", "/v1/rawlog",
                    "/v1/log/errors"):
            assert len(there) > 3, f"{path} shows nothing: {body}"
        said = described(method, path)
        assert sorted(there - said - EVERYWHERE) == [], path
        sometimes = SOMETIMES.get(path, set())
        assert sorted(said - there - PARAMETERS - EVERYWHERE - sometimes) == [], path


@pytest.mark.parametrize("path, method", [
    ("/v1/nothing", "GET"), ("/v1/status", "POST"),
    ("/v1/sessions?limit=x", "GET"), ("/v1/rawlog/on", "POST"),
])
def test_refusals_say_why(busy, path, method):
    control, _ = busy
    status, body = control.request(path, method)
    assert status in (400, 404, 405)
    assert set(json.loads(body)) == {"error"} <= EVERYWHERE
