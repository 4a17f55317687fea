"""Errors that repeat are held back and counted; no recipient goes without its
line."""
import re

from waypost import static_passdb

COUNT = r"Error: \S+: (\d+) more like this in the last \d+ s: not sent "


def fail(proxy, names):
    """Recipients whose backend does not answer."""
    with proxy.session() as client:
        client.mail()
        for name in names:
            assert client.rcpt(f"{name}@example.org") == 451


def errors(proxy):
    return [line for line in proxy.lines if "Error: " in line]


def test_a_dead_backend(backend, waypost):
    backend.stop()
    proxy = waypost(static_passdb(backend) + "log_error_burst = 3\n")
    names = [f"u{i}" for i in range(20)]
    fail(proxy, names)
    # Nothing else happens: it comes by itself, after ten seconds.
    line = proxy.wait_log(COUNT)
    assert re.search(COUNT, line).group(1) == "17"
    assert f":{backend.port}" in line
    for name in names:
        assert len([line for line in proxy.lines if " not sent " in line and
                    f" to=<{name}@" in line and " more like " not in line]) == 1
    assert len(errors(proxy)) == 4
    assert len([line for line in proxy.lines
                if "Info: " in line and "not sent" in line]) == 17


def test_what_is_held_back_is_said_at_the_end(backend, waypost):
    backend.stop()
    proxy = waypost(static_passdb(backend) + "log_error_burst = 1\n")
    fail(proxy, "abc")
    proxy.stop()
    assert re.search(COUNT, proxy.log).group(1) == "2"


def test_no_limit(backend, waypost):
    backend.stop()
    proxy = waypost(static_passdb(backend) + "log_error_burst = 0\n")
    fail(proxy, [f"u{i}" for i in range(60)])
    proxy.stop()
    assert len(errors(proxy)) == 60


def test_passdb_errors_of_all_users_are_alike(waypost):
    """The place in the program says what is alike, not the user."""
    proxy = waypost("log_error_burst = 2\npassdb {\n driver = passwd-file\n"
                    " args = /nonexistent/users\n}\n")
    fail(proxy, [f"u{i}" for i in range(10)])
    proxy.stop()
    lines = [line for line in errors(proxy) if "passdb passwd-file: user" in
             line]
    assert len(lines) == 3, proxy.log
    assert re.search(r"Error: \S+: 8 more like this in the last \d+ s: "
                     r"passdb passwd-file: user u1@example.org: ", lines[2])


def test_backends_are_told_apart(backends, waypost):
    one, two = backends(), backends()
    for backend in (one, two):
        backend.stop()
    proxy = waypost(
        "log_error_burst = 2\npassdb {\n driver = static\n"
        f" args = nopassword=y proxy=y host={one.host} "
        f"port=%{{if;%n;eq;a;{one.port};{two.port}}}\n}}\n")
    fail(proxy, ["a"] * 5 + ["b"] * 2)
    proxy.stop()
    for port, wanted in ((one.port, 3), (two.port, 2)):
        assert len([line for line in errors(proxy)
                    if f"at={one.host}:{port} " in line]) == wanted
