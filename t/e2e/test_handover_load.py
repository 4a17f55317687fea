"""USR2 and HUP under load: all mail is accounted for."""
import os
import signal
import subprocess

import pytest

from processes import fds_of, is_sanitized
import servers
from handover import Load, all_accounted_for, hand_over
from ports import LOCALHOST, free_port
from waiting import wait_until
from waypost import IS_ROOT, static_passdb

# How often under load: WAYPOST_HANDOVERS, or as often as half a minute allows.
TIMES = int(os.environ.get("WAYPOST_HANDOVERS",
                           "10" if is_sanitized() else "50"))
MESSAGES = 1000 if is_sanitized() else 5000


def test_handovers_under_load(backend, waypost):
    proxy = waypost(static_passdb(backend))
    hand_over(proxy)
    fds = fds_of(proxy.process.pid)
    with Load(proxy) as load:
        for _ in range(TIMES):
            load.wait_more()
            hand_over(proxy)
        load.wait_more()
    all_accounted_for(load, backend)
    wait_until(lambda: len(proxy.workers()) == 1, "the old ones to end")
    assert fds_of(proxy.process.pid) <= fds


def test_reloads_under_load(backend, waypost):
    proxy = waypost(static_passdb(backend))
    with Load(proxy) as load:
        for _ in range(TIMES):
            load.wait_more()
            proxy.reload()
        load.wait_more()
    all_accounted_for(load, backend)
    assert load.deferred == 0


def test_everything_at_once_under_load(backend, waypost):
    """HUP and USR2, whenever they come: in the end all is as it should be."""
    proxy = waypost(static_passdb(backend))
    with Load(proxy) as load:
        for number in range(10):
            proxy.signal(signal.SIGUSR2)
            proxy.signal(signal.SIGHUP)
            load.wait_more(number)
            proxy.signal(signal.SIGUSR2)
            load.wait_more()
    all_accounted_for(load, backend)
    hand_over(proxy)
    wait_until(lambda: len(proxy.workers()) == 1, "the old ones to end")


@pytest.mark.needs("smtp-source", "smtp-sink")
def test_postfix_tools_under_load(waypost, directory):
    """A client that sends as fast as it can, with one connection for each
    message, and gives up at the first reply that it does not like."""
    port = free_port()
    counts = open(directory / "counts", "w+b")
    sink = subprocess.Popen(
        [servers.find("smtp-sink"), "-L", "-c", "-m", str(MESSAGES),
         *(("-u", "nobody") if IS_ROOT else ()),
         f"inet:{LOCALHOST}:{port}", "1000"],
        stdout=counts, stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: servers.accepts((LOCALHOST, port)), "smtp-sink")
        proxy = waypost("passdb {\n driver = static\n args = nopassword=y "
                        f"proxy=y host={LOCALHOST} port={port}\n}}\n")
        source = subprocess.Popen(
            [servers.find("smtp-source"), "-L", "-s", "20", "-m", str(MESSAGES),
             "-l", "4000", "-f", "a@example.org", "-t", "b@example.org",
             f"inet:{LOCALHOST}:{proxy.port}"], stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True)
        count = 0
        while source.poll() is None:
            hand_over(proxy)
            count += 1
        output, _ = source.communicate()
        assert source.returncode == 0, output
        assert count > 1
    finally:
        sink.terminate()
        sink.wait()
        counts.seek(0)
        heard = counts.read()
        counts.close()
    assert heard.rstrip().endswith(b"mesg=%d" % MESSAGES), heard[-100:]
    wait_until(lambda: proxy.log.count("sent from=") == MESSAGES, "the log")
