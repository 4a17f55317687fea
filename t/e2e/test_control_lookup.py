"""The control interface: lookups as the running process does them."""
import json
import re
import subprocess

from control import CTL, Control
from http_sql import put, store, stores, with_sql  # noqa: F401
from sql_stores import hold
from waiting import TIMEOUT
from waypost import file_passdb, static_passdb


def test_lookup(backend, backends, instance):
    other = backends()
    proxy = instance()
    proxy.start(file_passdb(proxy, joe=backend))
    control = Control(proxy)
    found = control.ctl("auth", "lookup", "joe+box@example.org",
                        "rip=192.0.2.7")
    assert found.returncode == 0, found.stderr
    assert "192.0.2.7" in found.stdout
    assert f"{backend.port}" in found.stdout
    # The same as the tool says, but for the milliseconds.
    tool = proxy.run("-l", "joe+box@example.org", "-x", "rip=192.0.2.7")
    assert without_times(tool.stdout) == without_times(found.stdout)
    missing = control.ctl("auth", "lookup", "ann@example.org")
    assert missing.returncode == 67
    as_json = control.ctl("-f", "json", "auth", "lookup", "ann@example.org")
    assert as_json.returncode == json.loads(as_json.stdout)["exit_status"] == 67
    assert "550 5.1.1" in missing.stdout
    assert control.ctl("auth", "lookup", "@").returncode == 64
    wrong = control.ctl("auth", "lookup", "joe@example.org", "nonsense=1")
    assert wrong.returncode == 64
    assert "nonsense" in wrong.stderr
    # What runs is asked, and not what the file says meanwhile.
    proxy.write_config(static_passdb(other))
    again = control.ctl("auth", "lookup", "ann@example.org")
    assert again.returncode == 67
    assert control.ctl("reload").returncode == 0
    assert control.ctl("auth", "lookup", "ann@example.org").returncode == 0


def lookups_under_way(proxy, store, count):
    """As many lookups that the store does not answer."""
    store.script(*[hold] * count)
    started = [subprocess.Popen(
        [str(CTL), "-s", Control(proxy).path, "auth", "lookup",
         f"u{i}@example.org"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True) for i in range(count)]
    store.wait_requests(count)
    return started


def test_lookups_go_on_through_a_reload(store, backend, with_sql):
    for i in range(16):
        put(store, backend, f"u{i}@example.org")
    proxy = with_sql(store.config())
    control = Control(proxy)
    lookups = lookups_under_way(proxy, store, 16)
    assert control.request("/v1/auth/lookup?user=joe@example.org")[0] == 503
    proxy.write_config(static_passdb(backend))
    assert control.ctl("reload").returncode == 0
    # One that asked has left.
    lookups[0].terminate()
    assert control.ctl("status").returncode == 0
    store.release()
    for lookup in lookups[1:]:
        shown = lookup.communicate(timeout=TIMEOUT)[0]
        assert lookup.returncode == 0
        assert f"{backend.port}" in shown
    lookups[0].communicate(timeout=TIMEOUT)
    assert control.ctl("auth", "lookup", "joe@example.org").returncode == 0


def test_lookups_do_not_keep_it_from_ending(store, with_sql):
    proxy = with_sql(store.config())
    lookups = lookups_under_way(proxy, store, 3)
    assert Control(proxy).ctl("stop").returncode == 0
    assert proxy.wait_exit() == 0
    for lookup in lookups:
        lookup.communicate(timeout=TIMEOUT)
        assert lookup.returncode == 75
    store.release()


def without_times(text):
    text = re.sub(r"session: *\S+", "session:", text)
    return re.sub(r"[0-9.]+ ms", "ms", text)
