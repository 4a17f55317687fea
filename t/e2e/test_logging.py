"""Logs: where they go, what stands in them, that they can be rotated."""
import os
import re
import signal
import socket
import threading
import time

import pytest

from ports import LOCALHOST
from scripted_backend import hold
from waiting import wait_until
from waypost import static_passdb


def read(path):
    return path.read_text(errors="surrogateescape") if path.exists() else ""


def wait_in(path, pattern):
    wait_until(lambda: re.search(pattern, read(path), re.M),
               f"{pattern} in {path.name}, which has:\n{read(path)}")
    return re.search(pattern, read(path), re.M)


def log_dir(proxy):
    """A directory that only the user who starts waypost may write to."""
    return proxy.dir / "run"


LINE = (r"Info: (?P<id>\S+): sent from=<sender@example\.net> "
        r"to=<(?P<to>[^>]*)> (as=<(?P<as>[^>]*)> )?at=(?P<at>\S+) "
        r"size=(?P<size>\d+) lookup=\d+ connect=\d+ rcpt=\d+ data=\d+ "
        r"reply=\"(?P<reply>[^\"]*)\" said=\"(?P<said>[^\"]*)\"$")


def test_line_of_a_finished_recipient(backend, waypost):
    backend.on("dot", '250 2.0.0 Ok: queued as "B2D3F9FE862"')
    proxy = waypost(static_passdb(backend, "destuser=store@example.com"))
    with proxy.session() as client:
        reply, = client.deliver("joe+x@example.org", "a: b\r\n\r\nbody\r\n")
    line = re.search(LINE, proxy.wait_log(LINE))
    assert line["to"] == "joe+x@example.org"
    assert line["as"] == "store+x@example.com"
    assert line["at"] == f"{LOCALHOST}:{backend.port}"
    assert int(line["size"]) == len(backend.messages[0].body)
    assert line["reply"].startswith("250 2.0.0 ")
    assert line["id"] in reply.text
    assert line["said"] == "250 2.0.0 Ok: queued as 'B2D3F9FE862'"


@pytest.mark.parametrize("stage,phase", [("connect", "connect"), ("rcpt", "rcpt"),
                                         ("dot", "data")])
def test_milliseconds_of_each_phase(backend, waypost, stage, phase):
    backend.on(stage, hold)
    proxy = waypost(static_passdb(backend))
    begun = time.monotonic()
    with proxy.session() as client:
        client.send("MAIL FROM:<sender@example.net>\r\nRCPT TO:<joe@example.org>\r\n"
                    "DATA\r\n")
        if stage == "dot":
            assert [r.code for r in client.replies(3)] == [250, 250, 354]
            client.send("x\r\n.\r\n")
        backend.wait_held()
        held = time.monotonic()
        wait_until(lambda: time.monotonic() - held > 0.3, "a while")
        backend.release()
        if stage != "dot":
            assert [r.code for r in client.replies(3)] == [250, 250, 354]
            client.send("x\r\n.\r\n")
        assert client.reply() == 250
    line = proxy.wait_log(LINE)
    took = {name: int(ms) for name, ms in
            re.findall(r" (lookup|connect|rcpt|data)=(\d+)", line)}
    assert took[phase] >= 300
    # What is one phase's is no other's.
    assert sum(took.values()) <= (time.monotonic() - begun) * 1000 + len(took)


def test_refusal_of_a_backend_is_information(backend, waypost):
    backend.on("rcpt", "550 5.1.1 no such user")
    proxy = waypost(static_passdb(backend))
    with proxy.session() as client:
        client.mail()
        client.rcpt("joe@example.org")
    proxy.wait_log(r"Info: \S+: not sent .*to=<joe@example\.org>.*"
                   r"reply=\"550 5\.1\.1 no such user\"")


def test_our_failure_is_an_error(backend, waypost):
    backend.stop()
    proxy = waypost(static_passdb(backend))
    with proxy.session() as client:
        client.mail()
        client.rcpt("joe@example.org")
    proxy.wait_log(r"Error: \S+: not sent .*to=<joe@example\.org>.*"
                   r"reply=\"451 4\.4\.0 ")


def test_why_a_backend_failed_is_in_the_log(backend, waypost):
    """Also without lmtp_verbose_replies, which is for the client."""
    backend.stop()
    proxy = waypost(static_passdb(backend))
    with proxy.session() as client:
        client.mail()
        client.rcpt("joe@example.org")
    proxy.wait_log(rf"Error: .*{backend.port}.*refused")


def test_connect_and_disconnect(backend, waypost):
    proxy = waypost(static_passdb(backend))
    with proxy.session() as client:
        client.quit()
    proxy.wait_log(r"Info: \S+: Connect from 127\.")
    proxy.wait_log(r"Info: \S+: Disconnect from 127\.\S+: ")


def test_untrusted_text_cannot_make_lines(backend, waypost):
    backend.on("rcpt", b"550 5.1.1 a\x1b[31mb\x7fc\\d\r\n")
    proxy = waypost(static_passdb(backend) + "mail_debug = yes\n"
                    "auth_debug = yes\n")
    with proxy.session() as client:
        client.command("LHLO a\\b\u00e9")
        client.mail()
        client.rcpt("joe@example.org")
        client.command("NOOP \x1b[0m\tFake: line")
    proxy.wait_log("not sent .*joe@example")
    proxy.wait_log("Disconnect")
    for line in proxy.lines:
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", line), line


def test_files_by_level(backend, instance):
    proxy = instance()
    logs = log_dir(proxy)
    proxy.start(static_passdb(backend) +
                f"log_path = {logs}/err.log\ninfo_log_path = {logs}/info.log\n"
                f"debug_log_path = {logs}/debug.log\nmail_debug = yes\n")
    with proxy.session() as client:
        client.deliver("joe@example.org")
    backend.on("rcpt", lambda conn, rcpt: conn.sock.close())
    with proxy.session() as client:
        client.mail()
        client.rcpt("ann@example.org")
    wait_in(logs / "info.log", r"sent from=.*joe@example\.org")
    wait_in(logs / "err.log", r"Error: .*ann@example\.org")
    wait_in(logs / "debug.log", r"Debug: ")
    assert "joe@example.org" not in read(logs / "err.log")
    assert "Debug:" not in read(logs / "info.log")
    assert not [line for line in proxy.lines if "joe@" in line]


def test_protocol_lmtp_info_log_path(backend, instance):
    """Dovecot's way to give LMTP a log of its own."""
    proxy = instance()
    logs = log_dir(proxy)
    proxy.start(static_passdb(backend) +
                f"log_path = {logs}/all.log\n"
                f"protocol lmtp {{\n info_log_path = {logs}/lmtp.log\n}}\n")
    with proxy.session() as client:
        client.deliver("joe@example.org")
    wait_in(logs / "lmtp.log", r"sent from=.*joe@example\.org")
    backend.on("rcpt", lambda conn, rcpt: conn.sock.close())
    with proxy.session() as client:
        client.mail()
        client.rcpt("ann@example.org")
    wait_in(logs / "all.log", r"Error: .*ann@example\.org")
    wait_in(logs / "lmtp.log", r"(?s)Disconnect.*Disconnect")
    assert "Error: " not in read(logs / "lmtp.log")
    assert "joe@" not in read(logs / "all.log")


@pytest.mark.needs_root
def test_files_that_only_root_may_write(backend, instance):
    """The supervisor opens them, the worker writes."""
    proxy = instance(as_root=True)
    logs = proxy.dir / "logs"
    logs.mkdir(mode=0o700)
    proxy.start(static_passdb(backend) + f"log_path = {logs}/log\n")
    with proxy.session() as client:
        client.deliver("joe@example.org")
    wait_in(logs / "log", r"sent from=.*joe@example\.org")
    (logs / "log").rename(logs / "log.1")
    proxy.signal(signal.SIGUSR1)
    wait_until((logs / "log").exists, "the new log")
    with proxy.session() as client:
        client.deliver("ann@example.org")
    wait_in(logs / "log", r"sent from=.*ann@example\.org")


def test_usr1_reopens(backend, instance):
    proxy = instance()
    logs = log_dir(proxy)
    proxy.start(static_passdb(backend) + f"log_path = {logs}/log\n")
    with proxy.session() as client:
        client.deliver("one@example.org")
        wait_in(logs / "log", "one@example")
        (logs / "log").rename(logs / "log.1")
        client.deliver("two@example.org")
        wait_in(logs / "log.1", "two@example")
        proxy.signal(signal.SIGUSR1)
        wait_in(logs / "log", "logs reopened")

        def arrives():
            client.deliver("three@example.org")
            return "three@example" in read(logs / "log")
        wait_until(arrives, "lines in the new log")


def test_log_timestamp(backend, instance):
    proxy = instance()
    proxy.start(static_passdb(backend) + 'log_timestamp = "%Y-%m-%dT%H:%M:%S "\n')
    with proxy.session() as client:
        client.deliver("joe@example.org")
    proxy.wait_log(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d lmtp\(\d+\): Info: ")


def test_debug_is_off_by_default(backend, waypost):
    proxy = waypost(static_passdb(backend))
    with proxy.session() as client:
        client.deliver("joe@example.org")
    proxy.wait_log("Disconnect")
    assert "Debug:" not in proxy.log


def test_log_that_cannot_be_opened(backend, instance):
    proxy = instance()
    loop = proxy.dir / "loop"
    loop.symlink_to(loop)
    for path, error in (f"{proxy.dir}/nowhere/log", "no directory .*/nowhere$"), \
            (proxy.dir, "is a directory"), (loop, "/loop: Too many"):
        proxy.write_config(static_passdb(backend) + f"log_path = {path}\n")
        result = proxy.run("-F")
        assert result.returncode != 0
        assert re.search(error, result.stderr, re.M)


def test_broken_log_on_reload_keeps_the_old(backend, instance):
    proxy = instance()
    proxy.start(static_passdb(backend))
    proxy.reload(static_passdb(backend) +
                 f"log_path = {proxy.dir}/nowhere/log\n",
                 r"Error: .*log_path: there is no directory .*/nowhere")
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250
    proxy.wait_log("sent from=.*joe@example")


@pytest.mark.needs_root
def test_syslog(backend, instance):
    """With a syslogd of our own, if there is none on this machine."""
    if os.path.exists("/dev/log"):
        pytest.skip("this machine has a syslogd")
    lines, changed = [], threading.Condition()
    daemon = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    daemon.bind("/dev/log")
    os.chmod("/dev/log", 0o666)

    def read_lines():
        while True:
            data = daemon.recv(65536)
            if data == b"end":
                return
            with changed:
                lines.append(data.decode(errors="replace"))
                changed.notify_all()
    thread = threading.Thread(target=read_lines)
    thread.start()
    try:
        proxy = instance()
        proxy.start("log_path = syslog\nsyslog_facility = local3\n" +
                    static_passdb(backend))
        with proxy.session() as client:
            client.deliver("joe@example.org")
        wait_until(lambda: [text for text in lines if "sent from=" in text],
                   "a line in syslog")
        line = [text for text in lines if "sent from=" in text][0]
        # local3.info = 19 * 8 + 6
        assert line.startswith("<158>")
        proxy.stop()
    finally:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"end", "/dev/log")
        thread.join()
        daemon.close()
        os.unlink("/dev/log")


def test_lines_of_many_sessions_do_not_mix(backend, waypost):
    proxy = waypost(static_passdb(backend))

    def run():
        with proxy.session() as client:
            for _ in range(20):
                client.deliver(["a@example.org", "b@example.org"])
    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    proxy.wait_log(LINE, count=320)
    for line in proxy.lines:
        assert re.match(r"(\w{3} \d\d \d\d:\d\d:\d\d (lmtp|master)[(:]|ready$)",
                        line), line


def test_outcomes_of_one_message(backend, waypost):
    """A line for each recipient, once, under its own id."""
    backend.on("rcpt", lambda conn, rcpt: ["550-5.1.1 no", "550 5.1.1 way"]
               if rcpt[0] == "b" else "250 2.1.5 ok")
    backend.on("dot", lambda conn, rcpt: "452 4.2.2 full" if rcpt[0] == "c"
               else "250 2.0.0 ok")
    proxy = waypost(static_passdb(backend))
    with proxy.session() as client:
        client.mail()
        for name in "abc":
            client.rcpt(f"{name}@example.org")
        client.data("x", 2)
    lines = [proxy.wait_log(rf"to=<{name}@example\.org>.* reply=")
             for name in "abc"]
    ids = [re.search(r"(\S+): (not )?sent ", line).group(1) for line in lines]
    assert ids[1:] == [ids[0] + ":R2", ids[0] + ":R3"]
    assert ": sent " in lines[0] and " reply=\"250 2.0.0 " in lines[0]
    assert ": not sent " in lines[1]
    assert " reply=\"550 5.1.1 no / way\"" in lines[1]
    assert " reply=\"452 4.2.2 full\"" in lines[2]
    assert all("Info: " in line for line in lines)
    assert len([line for line in proxy.lines if " reply=" in line]) == 3


def test_addresses_cannot_forge_items(backend, waypost):
    """What begins with < or a quote ends with the first > or quote behind it."""
    proxy = waypost(static_passdb(backend) + "auth_username_chars =\n")
    with proxy.session() as client:
        client.deliver("joe@example.org",
                       sender='"x> to=<victim@example.org"@example.net')
    line = proxy.wait_log(": sent from=")
    assert "to=<joe@example.org>" in line
    assert re.findall(r" (?:to|from)=<([^>]*)>", line) == [
        '"x? to=<victim@example.org"@example.net', "joe@example.org"]


def test_replies_cannot_forge_items(backend, waypost):
    proxy = waypost(static_passdb(backend))
    name = '"a\\" at=1.2.3.4:5 error=\\"b"@example.org'
    with proxy.session() as client:
        client.mail("a@example.net")
        assert client.rcpt(name) == 550
    line = proxy.wait_log(": not sent from=")
    items = re.sub(r'"[^"]*"', "", line.split("reply=")[1])
    assert items == ""
    assert "a' at=1.2.3.4:5 error='b@example.org" in line


def test_microseconds(backend, waypost):
    proxy = waypost(static_passdb(backend) +
                    'log_timestamp = "%H:%M:%S.%{usecs} "\n')
    proxy.connect().close()
    proxy.wait_log(r"^\d\d:\d\d:\d\d\.\d{6} lmtp\(\d+\): Info: ")


def test_files_are_appended_to(backend, instance):
    proxy = instance()
    log = log_dir(proxy) / "log"
    log.write_text("an old line\n")
    log.chmod(0o666)
    proxy.start(static_passdb(backend) + f"log_path = {log}\n")
    proxy.connect().close()
    wait_in(log, "Connect from")
    assert read(log).startswith("an old line\n")


def test_long_addresses_stay_one_line(backend, waypost):
    proxy = waypost(static_passdb(backend))
    name = "x" * 200
    with proxy.session() as client:
        client.deliver(f"{name}@example.org")
    assert " reply=\"250 " in proxy.wait_log(rf"sent .*to=<{name}@")
