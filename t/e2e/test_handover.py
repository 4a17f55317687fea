"""USR2: another program goes on, and no client notices."""
import os
import pathlib
import re
import shutil
import signal
import stat
import subprocess
import threading

import pytest

import servers
from control import CTL, Control, UnixConnection
from lmtp_client import Client, Disconnected
from ports import LOCALHOST, free_port
from scripted_backend import hold
from test_spool import is_sanitized
from waiting import wait_until
from waypost import IS_ROOT, static_passdb

# How often under load: WAYPOST_HANDOVERS, or as often as half a minute allows.
TIMES = int(os.environ.get("WAYPOST_HANDOVERS",
                           "25" if is_sanitized() else "50"))


def hand_over(proxy, expect="has taken over"):
    """Returns the worker process that serves then."""
    mark = proxy.mark()
    proxy.signal(signal.SIGUSR2)
    line = proxy.wait_log(expect, mark)
    return int(line.split("worker process ")[1].split()[0])


def fails(proxy, *expect):
    mark = proxy.mark()
    proxy.signal(signal.SIGUSR2)
    for pattern in expect:
        proxy.wait_log(pattern, mark)


def gone(pid):
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"), f"{pid} to be gone")


@pytest.fixture
def own_binary(instance, directory, binary):
    """An instance whose program a test may replace, and a way to do that."""
    path = directory / "waypost"
    proxy = instance()
    proxy.binary = str(path)

    def replace(source=binary):
        """As a package does: the running program keeps its file."""
        new = directory / "waypost.new"
        if source is None:
            path.unlink()
            return
        if isinstance(source, bytes):
            new.write_bytes(source)
            new.chmod(0o755)
        else:
            shutil.copy(source, new)
        new.rename(path)

    replace()
    return proxy, replace


# --- under load ---

class Load:
    """Clients who send mail, and count what becomes of it. Each reply is
    either 250, or 421 before anything was sent for good."""

    def __init__(self, proxy, clients=6):
        self.proxy = proxy
        self.done = threading.Event()
        self.lock = threading.Lock()
        self.saved, self.deferred = 0, 0
        self.problems = []
        self.threads = [threading.Thread(target=self.run, args=(number,))
                        for number in range(clients)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *exc):
        self.done.set()
        for thread in self.threads:
            thread.join()

    def run(self, number):
        try:
            while not self.done.is_set():
                # Every other client sends one message for each connection.
                self.session(1 if number % 2 else 4)
        except Exception as exc:
            self.problems.append(repr(exc))

    def session(self, messages):
        address = self.proxy.address
        with Client(address, greeting=False) as client:
            greeting = client.reply()
            assert greeting == 220, greeting
            reply = client.lhlo()
            assert reply == 250, reply
            for number in range(messages):
                if not self.message(client, first=number == 0):
                    return

    def message(self, client, first):
        try:
            client.send("MAIL FROM:<sender@example.net>\r\n")
        except OSError:
            # There is nobody any more who could read it; but a 421 to read.
            pass
        reply = client.reply()
        if reply == 421:
            assert not first, "nothing could be sent at all"
            with self.lock:
                self.deferred += 1
            return False
        assert reply == 250, reply
        reply = client.rcpt("joe@example.org")
        assert reply == 250, reply
        reply, = client.data("Subject: hi\r\n\r\nhello\r\n", 1)
        assert reply == 250, reply
        with self.lock:
            self.saved += 1
        return True

    def wait_more(self, count=10):
        goal = self.saved + count
        wait_until(lambda: self.saved >= goal or self.problems, "messages")


def all_accounted_for(load, backend):
    assert not load.problems
    assert load.saved == len(backend.messages) > 0


def open_fds(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def test_handovers_under_load(backend, waypost):
    proxy = waypost(static_passdb(backend))
    hand_over(proxy)
    fds = open_fds(proxy.process.pid)
    with Load(proxy) as load:
        for _ in range(TIMES):
            load.wait_more()
            hand_over(proxy)
        load.wait_more()
    all_accounted_for(load, backend)
    wait_until(lambda: len(proxy.workers()) == 1, "the old ones to end")
    assert open_fds(proxy.process.pid) <= fds


def test_reloads_under_load(backend, waypost):
    proxy = waypost(static_passdb(backend))
    with Load(proxy) as load:
        for _ in range(TIMES):
            load.wait_more()
            mark = proxy.mark()
            proxy.signal(signal.SIGHUP)
            proxy.wait_log("configuration reloaded", mark)
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
        [servers.find("smtp-sink"), "-L", "-c", "-m", "5000",
         *(("-u", "nobody") if IS_ROOT else ()),
         f"inet:{LOCALHOST}:{port}", "1000"],
        stdout=counts, stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: servers.accepts((LOCALHOST, port)), "smtp-sink")
        proxy = waypost("passdb {\n driver = static\n args = nopassword=y "
                        f"proxy=y host={LOCALHOST} port={port}\n}}\n")
        source = subprocess.Popen(
            [servers.find("smtp-source"), "-L", "-s", "20", "-m", "5000",
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
    assert heard.rstrip().endswith(b"mesg=5000"), heard[-100:]
    assert proxy.log.count("sent from=") == 5000


# --- what goes on, and what begins anew ---

def test_same_process_new_worker(backend, waypost):
    proxy = waypost(static_passdb(backend))
    old, = proxy.workers()
    new = hand_over(proxy)
    assert new != old
    gone(old)
    assert proxy.workers() == [new]
    pid_file = proxy.dir / "run" / "master.pid"
    assert int(pid_file.read_text()) == proxy.process.pid
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250
    with Client(proxy.socket) as client:
        assert client.lhlo() == 250


def test_pid_file_stays_locked(backend, waypost):
    proxy = waypost(static_passdb(backend))
    hand_over(proxy)
    result = proxy.run("-F")
    assert result.returncode != 0
    assert "already running" in result.stderr


def test_transaction_goes_on_in_the_old_worker(backend, waypost):
    backend.on("dot", hold)
    proxy = waypost(static_passdb(backend))
    old, = proxy.workers()
    with proxy.session() as client:
        client.mail()
        client.rcpt("joe@example.org")
        client.command("DATA")
        client.send("half\r\n")
        new = hand_over(proxy)
        client.send("other half\r\n.\r\n")
        backend.wait_held()
        assert proxy.workers() == [old, new]
        again = hand_over(proxy)
        backend.release()
        assert client.reply() == 250
        assert client.reply() == "421 4.3.2 "
    gone(old)
    gone(new)
    assert proxy.workers() == [again]


def test_client_who_has_just_come_may_send(backend, waypost):
    proxy = waypost(static_passdb(backend))
    old, = proxy.workers()
    with proxy.connect() as fresh, proxy.session() as used:
        used.deliver("joe@example.org")
        hand_over(proxy)
        assert used.reply() == "421 4.3.2 "
        assert fresh.lhlo() == 250
        assert fresh.deliver("joe@example.org")[0] == 250
        assert fresh.reply() == "421 4.3.2 "
    gone(old)


def test_transaction_that_has_begun_may_go_on(backend, waypost):
    proxy = waypost(static_passdb(backend))
    with proxy.session() as client:
        client.deliver("joe@example.org")
        client.mail()
        hand_over(proxy)
        assert client.rcpt("joe@example.org") == 250
        assert client.data("x", 1)[0] == 250
        assert client.reply() == "421 4.3.2 "


def test_client_who_is_ahead_hears_all_replies(backend, waypost):
    """What it has sent behind its message is read, not answered with a reset,
    which would take replies away that it has not read yet."""
    backend.on("dot", hold)
    proxy = waypost(static_passdb(backend))
    with proxy.session() as client:
        client.mail()
        client.rcpt("joe@example.org")
        client.command("DATA")
        client.send("x\r\n.\r\n" + "NOOP\r\n" * 50000)
        backend.wait_held()
        hand_over(proxy)
        backend.release()
        assert client.reply() == 250
        reply = client.reply()
        while reply == 250:
            reply = client.reply()
        assert reply == "421 4.3.2 "
        assert client.buffer == b"" and client.sock.recv(1) == b""


def test_old_worker_has_until_the_shutdown_timeout(backend, waypost):
    backend.on("dot", hold)
    proxy = waypost(static_passdb(backend) + "lmtp_shutdown_timeout = 1 s\n")
    old, = proxy.workers()
    with proxy.session() as client:
        client.mail()
        client.rcpt("joe@example.org")
        client.command("DATA")
        client.send("x\r\n.\r\n")
        backend.wait_held()
        hand_over(proxy)
        gone(old)
        backend.release()


def test_old_worker_is_killed_when_it_hangs(backend, waypost):
    """Also when another program has come meanwhile."""
    proxy = waypost(static_passdb(backend) + "lmtp_shutdown_timeout = 1 s\n")
    old, = proxy.workers()
    os.kill(old, signal.SIGSTOP)
    hand_over(proxy)
    hand_over(proxy)
    proxy.wait_log(f"worker process {old} killed by signal 9")
    gone(old)


def test_configuration_is_read_again(backend, waypost):
    proxy = waypost(static_passdb(backend))
    proxy.write_config(static_passdb(backend) + "login_greeting = New.\n")
    hand_over(proxy)

    def greeted_anew():
        # The old process may take one more before it hears of the new one.
        with proxy.connect() as client:
            return client.greeting == "220 proxy.example New."
    wait_until(greeted_anew, "the new configuration")


def test_listener_that_is_gone_is_closed(backend, instance):
    proxy = instance()
    proxy.start(static_passdb(backend))
    proxy.write_config(f"base_dir = {proxy.dir}/run\nprotocols = lmtp\n"
                       "lmtp_proxy = yes\nservice lmtp {\n"
                       " unix_listener other {\n }\n}\n"
                       "default_internal_user = nobody\n" +
                       static_passdb(backend), defaults=False)
    hand_over(proxy)

    def refused():
        try:
            proxy.connect().close()
        except Disconnected:
            return False
        except OSError:
            return True
        return False
    wait_until(refused, "the listener to close")
    assert stat.S_ISSOCK((proxy.dir / "run" / "other").stat().st_mode)
    with Client(str(proxy.dir / "run" / "other")) as client:
        assert client.lhlo() == 250


def test_worker_that_dies_later_is_replaced(backend, waypost):
    proxy = waypost(static_passdb(backend))
    worker = hand_over(proxy)
    mark = proxy.mark()
    os.kill(worker, signal.SIGKILL)
    proxy.wait_log("is ready", mark)
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250


def test_reload_and_logs_after_a_handover(backend, instance):
    proxy = instance()
    log = proxy.dir / "run" / "log"
    proxy.start(static_passdb(backend) + f"info_log_path = {log}\n")
    pid = proxy.process.pid

    def logged(text, since=0):
        wait_until(lambda: log.exists() and text in log.read_text()[since:],
                   text)
    proxy.signal(signal.SIGUSR2)
    logged("has taken over")
    log.rename(proxy.dir / "run" / "log.1")
    proxy.signal(signal.SIGUSR1)
    logged("logs reopened")
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250
    logged("sent from=")
    proxy.signal(signal.SIGHUP)
    logged("configuration reloaded")
    assert proxy.process.pid == pid


def test_in_the_background(backend, instance):
    proxy = instance()
    log = proxy.dir / "run" / "log"
    proxy.write_config(static_passdb(backend) + f"log_path = {log}\n")
    result = proxy.run()
    assert result.returncode == 0, result.stderr
    pid = int((proxy.dir / "run" / "master.pid").read_text())
    try:
        for count in range(1, 3):
            os.kill(pid, signal.SIGUSR2)
            wait_until(lambda: log.read_text().count("has taken over") == count,
                       "the handover")
        with proxy.session() as client:
            assert client.deliver("joe@example.org")[0] == 250
    finally:
        os.kill(pid, signal.SIGTERM)
    gone(pid)
    assert "Error" not in log.read_text()


@pytest.mark.needs_root
def test_as_root(backend, waypost):
    proxy = waypost(static_passdb(backend), as_root=True)
    old, = proxy.workers()
    new = hand_over(proxy)
    gone(old)
    assert pathlib.Path(f"/proc/{new}").stat().st_uid != 0
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250


# --- what was ordered holds ---

def refuses(proxy):
    with Client(proxy.address, greeting=False) as client:
        return client.reply() == 421


def die(proxy):
    """Returns the worker process that serves then."""
    mark = proxy.mark()
    os.kill(proxy.workers()[-1], signal.SIGKILL)
    line = proxy.wait_log("is ready", mark)
    return int(line.split("worker process ")[1].split()[0])


@pytest.mark.parametrize("replace", [hand_over, die])
def test_drain_holds(backend, waypost, replace):
    proxy = waypost(static_passdb(backend))
    control = Control(proxy)
    control.post("/v1/drain")
    for _ in range(2):
        old = control.get("/v1/status")["worker_pid"]
        new = replace(proxy)
        gone(old)
        status = control.get("/v1/status")
        assert (status["state"], status["worker_pid"]) == ("draining", new)
        assert refuses(proxy)
        assert control.request("/readyz") == (503, "draining\n")
        assert "\nwaypost_draining 1\n" in control.request("/metrics")[1]
    control.post("/v1/undrain")
    assert not refuses(proxy)
    gone_with(proxy, control, replace)
    assert not refuses(proxy)
    assert control.request("/readyz") == (200, "ok\n")
    assert "\nwaypost_draining 0\n" in control.request("/metrics")[1]


def gone_with(proxy, control, replace):
    old = control.get("/v1/status")["worker_pid"]
    replace(proxy)
    gone(old)


@pytest.mark.parametrize("replace", [hand_over, die])
def test_log_level_holds(backend, waypost, replace):
    proxy = waypost(static_passdb(backend))
    control = Control(proxy)
    control.post("/v1/log/level?level=debug")
    gone_with(proxy, control, replace)
    with proxy.session() as client:
        client.deliver("joe@example.org")
    proxy.wait_log("Debug: .*user joe@example.org")
    control.post("/v1/log/level?level=default")
    gone_with(proxy, control, replace)
    mark = proxy.mark()
    with proxy.session() as client:
        client.deliver("ann@example.org")
    proxy.wait_log("to=<ann@example.org>", mark)
    assert not [line for line in proxy.lines[mark:] if "Debug:" in line]


@pytest.mark.parametrize("replace", [hand_over, die])
def test_rawlogs_hold(backend, waypost, replace):
    proxy = waypost(static_passdb(backend))
    control = Control(proxy)
    directory = proxy.dir / "raw"
    directory.mkdir()
    directory.chmod(0o777)

    def written(name):
        with proxy.session() as client:
            client.deliver([f"{name}@example.org"], body=f"to {name}\r\n")
        return any(f"to {name}" in file.read_text()
                   for file in directory.iterdir())

    for pattern in ("ann@*", "joe@*"):
        control.post(f"/v1/rawlog/on?pattern={pattern}&dir={directory}")
    for _ in range(2):
        gone_with(proxy, control, replace)
        shown = control.get("/v1/rawlog")["rawlogs"]
        assert [rule["pattern"] for rule in shown] == ["ann@*", "joe@*"]
        assert all(3500 < rule["left_seconds"] <= 3600 for rule in shown)
    assert written("ann")
    assert not written("bob")
    control.post("/v1/rawlog/off?pattern=joe@*")
    gone_with(proxy, control, replace)
    assert not written("joe")
    control.post("/v1/rawlog/off")
    gone_with(proxy, control, replace)
    assert control.get("/v1/rawlog")["rawlogs"] == []


def test_as_many_rawlogs_as_there_may_be(backend, waypost):
    """Also of the text that hands them over."""
    proxy = waypost(static_passdb(backend))
    control = Control(proxy)
    for i in range(100):
        control.post(f"/v1/rawlog/on?dir=/tmp&pattern={i:02}" + "x" * 64)
    for replace in (hand_over, die):
        gone_with(proxy, control, replace)
        assert len(control.get("/v1/rawlog")["rawlogs"]) == 100


def test_a_rawlog_reaches_sessions_of_the_old_process(backend, waypost):
    proxy = waypost(static_passdb(backend))
    control = Control(proxy)
    directory = proxy.dir / "raw"
    directory.mkdir()
    directory.chmod(0o777)
    with proxy.session() as client:
        client.mail()
        hand_over(proxy)
        control.post(f"/v1/rawlog/on?pattern=ann@*&dir={directory}")
        # The old process hears it from the supervisor, sooner or later.
        wait_until(lambda: client.rcpt("ann@example.org") == 250 and
                   list(directory.iterdir()), "a rawlog")


def test_a_rawlog_that_nobody_has_heard_yet(backend, waypost):
    """Its worker process was killed behind its request, which the supervisor
    had not read."""
    proxy = waypost(static_passdb(backend))
    control = Control(proxy)
    worker, = proxy.workers()
    proxy.signal(signal.SIGSTOP)
    waits = UnixConnection(control.path)
    waits.request("POST", "/v1/rawlog/on?pattern=ann@*&dir=/tmp")
    # By the second one, all that came before the first is done.
    for _ in range(2):
        control.get("/v1/status")
    os.kill(worker, signal.SIGKILL)
    waits.close()
    mark = proxy.mark()
    proxy.signal(signal.SIGCONT)
    proxy.wait_log("is ready", mark)
    rule, = control.get("/v1/rawlog")["rawlogs"]
    assert rule["pattern"] == "ann@*"


def test_a_drain_that_nobody_has_heard_yet(backend, waypost):
    """The worker process was killed behind its answer, before the supervisor
    came to read what it had been told."""
    proxy = waypost(static_passdb(backend))
    control = Control(proxy)
    worker, = proxy.workers()
    proxy.signal(signal.SIGSTOP)
    for _ in range(5):
        control.post("/v1/log/level?level=debug")
    control.post("/v1/drain")
    os.kill(worker, signal.SIGKILL)
    mark = proxy.mark()
    proxy.signal(signal.SIGCONT)
    proxy.wait_log("is ready", mark)
    assert refuses(proxy)


def test_drain_while_the_program_is_replaced(backend, own_binary, binary):
    """The old worker process is told, after the new one has begun to start."""
    proxy, replace = own_binary
    proxy.start(static_passdb(backend))
    control = Control(proxy)
    old, = proxy.workers()
    replace(script(binary, f"touch {proxy.dir}/run/behind; while test ! -e "
                           f"{proxy.dir}/run/go; do sleep 0.01; done"))
    proxy.signal(signal.SIGUSR2)
    wait_until((proxy.dir / "run" / "behind").exists, "the new program")
    assert control.post("/v1/drain")["sessions"] == 0
    (proxy.dir / "run" / "go").touch()
    proxy.wait_log("has taken over")
    gone(old)
    wait_until(lambda: control.get("/v1/status")["state"] == "draining",
               "the new one to hear of it")
    assert refuses(proxy)


def test_drain_waits_for_sessions_of_the_old_process(backend, waypost):
    backend.on("dot", hold)
    proxy = waypost(static_passdb(backend))
    control = Control(proxy)
    with proxy.session() as client:
        client.mail()
        client.rcpt("joe@example.org")
        client.command("DATA")
        client.send("x\r\n.\r\n")
        backend.wait_held()
        with subprocess.Popen([str(CTL), "-s", control.path, "drain"],
                              stdout=subprocess.PIPE, text=True) as drain:
            assert drain.stdout.readline() == "draining: 1 sessions left\n"
            hand_over(proxy)
            status = control.get("/v1/status")
            assert (status["sessions"], status["other_workers"]) == (0, 1)
            assert drain.poll() is None
            backend.release()
            assert client.reply() == 250
            assert client.reply() == "421 4.3.2 "
            client.close()
            assert drain.communicate(timeout=20)[0] == "drained\n"
        assert drain.returncode == 0
    wait_until(lambda: control.get("/v1/status")["other_workers"] == 0,
               "the old one to be gone")


# --- what does not work leaves all as it is ---

def still_serves(proxy, worker):
    assert worker in proxy.workers()
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250


def test_program_at_the_path_is_executed(backend, own_binary):
    proxy, replace = own_binary
    proxy.start(static_passdb(backend))
    before = os.stat(f"/proc/{proxy.process.pid}/exe").st_ino
    replace()
    hand_over(proxy)
    after = os.stat(f"/proc/{proxy.process.pid}/exe").st_ino
    assert before != after == os.stat(proxy.binary).st_ino


def test_path_with_a_symbolic_link(backend, own_binary, directory):
    """What it leads to is decided when it is needed."""
    proxy, replace = own_binary
    (directory / "current").symlink_to(directory / "waypost")
    shutil.copy(directory / "waypost", directory / "next")
    proxy.binary = str(directory / "current")
    proxy.start(static_passdb(backend))
    (directory / "current").unlink()
    (directory / "current").symlink_to(directory / "next")
    hand_over(proxy)
    assert os.readlink(f"/proc/{proxy.process.pid}/exe") == \
        str(directory / "next")


@pytest.mark.parametrize("program,expect", [
    (None, "cannot execute .*: No such file"),
    (b"\x7fELF and nothing", "cannot execute .*: Exec format error"),
    (b"#!/bin/sh\nexit 0\n", "ended with status 0, without consent"),
    (b"#!/bin/sh\necho Pardon? >&2\nexit 3\n", "new program: Pardon"),
    (b"#!/bin/sh\nkill -SEGV $$\n", "killed by signal 11"),
])
def test_bad_program(backend, own_binary, program, expect):
    proxy, replace = own_binary
    proxy.start(static_passdb(backend))
    worker, = proxy.workers()
    replace(program)
    fails(proxy, expect, "Error: handover to .* failed")
    still_serves(proxy, worker)
    replace()
    hand_over(proxy)
    gone(worker)


def test_bad_configuration(backend, waypost):
    proxy = waypost(static_passdb(backend))
    worker, = proxy.workers()
    proxy.write_config(static_passdb(backend) + "no_such_setting = yes\n")
    fails(proxy, "new program: .*no_such_setting", "Error: handover to .*")
    still_serves(proxy, worker)
    proxy.config_path.unlink()
    fails(proxy, "new program: .*waypost.conf", "Error: handover to .*")
    still_serves(proxy, worker)
    proxy.write_config(static_passdb(backend))
    hand_over(proxy)


def script(binary, action):
    """A program that is fine while it is checked, and does something else
    before it starts in earnest."""
    return f"""#!/bin/sh
case $1 in
-t) exec {binary} "$@" ;;
esac
{action}
exec {binary} "$@"
""".encode()


@pytest.mark.parametrize("action", ["echo no_such_setting = yes >>{}",
                                    "rm {}"])
def test_configuration_breaks_behind_the_check(backend, own_binary, binary,
                                               action):
    """The new program goes on with the old worker and what that works with."""
    proxy, replace = own_binary
    proxy.start(static_passdb(backend))
    proxy.dir.chmod(0o777)
    proxy.config_path.chmod(0o666)
    worker, = proxy.workers()
    replace(script(binary, action.format(proxy.config_path)))
    fails(proxy, "going on with the old configuration")
    still_serves(proxy, worker)
    # It is a supervisor like any other: it replaces, reloads, hands over.
    mark = proxy.mark()
    os.kill(worker, signal.SIGKILL)
    proxy.wait_log("is ready", mark)
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250
    proxy.config_path.unlink(missing_ok=True)
    proxy.write_config(static_passdb(backend))
    mark = proxy.mark()
    proxy.signal(signal.SIGHUP)
    proxy.wait_log("configuration reloaded", mark)


@pytest.mark.parametrize("breaks", [False, True])
def test_old_worker_dies_behind_the_check(backend, own_binary, binary, breaks):
    """There is nobody who could go on; the old configuration is there still."""
    proxy, replace = own_binary
    proxy.start(static_passdb(backend))
    proxy.config_path.chmod(0o666)
    worker, = proxy.workers()
    action = f"kill -KILL {worker}"
    if breaks:
        action += f"; echo no_such_setting = yes >>{proxy.config_path}"
    replace(script(binary, action))
    mark = proxy.mark()
    proxy.signal(signal.SIGUSR2)
    proxy.wait_log(f"worker process {worker} killed by signal 9", mark)
    proxy.wait_log("is ready" if breaks else "has taken over", mark)
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250
    assert len(proxy.workers()) == 1


def test_usr2_without_a_worker(backend, own_binary):
    """While the next one has to wait because too many have died."""
    proxy, replace = own_binary
    proxy.start(static_passdb(backend))

    def kill_again():
        for worker in proxy.workers():
            os.kill(worker, signal.SIGKILL)
        return "dies too often, waiting 1600 ms" in proxy.log
    wait_until(kill_again, "too many deaths")
    assert not proxy.workers()
    replace()
    proxy.signal(signal.SIGUSR2)
    wait_until(lambda: re.search(r"is ready|has taken over",
                                 proxy.log.rpartition("dies too often")[2]),
               "a worker process")
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250


def test_new_worker_does_not_start(backend, instance):
    """The listener that the new configuration names is taken."""
    proxy = instance()
    proxy.start(static_passdb(backend))
    worker, = proxy.workers()
    proxy.write_config(static_passdb(backend) +
                       "service lmtp {\n inet_listener x {\n"
                       f"  address = {backend.host}\n"
                       f"  port = {backend.port}\n }}\n}}\n")
    fails(proxy, "Error: handover failed, going on with the old conf.*"
          "cannot listen")
    still_serves(proxy, worker)
    proxy.write_config(static_passdb(backend))
    hand_over(proxy)
    gone(worker)


def test_new_worker_cannot_be_forked(backend, own_binary, binary):
    proxy, replace = own_binary
    if proxy.as_root:
        pytest.skip("root is not limited")
    proxy.start(static_passdb(backend))
    worker, = proxy.workers()
    replace(script(
        # The leak checker would want a process, too.
        binary, "ulimit -p 1; export ASAN_OPTIONS=detect_leaks=0"))
    fails(proxy, "Error: handover failed, going on with the old conf.*: fork")
    still_serves(proxy, worker)


@pytest.mark.needs_root
def test_new_worker_says_that_it_cannot(backend, own_binary, binary):
    """The new program may not give root up."""
    proxy, replace = own_binary
    proxy.as_root = True
    proxy.start(static_passdb(backend))
    worker, = proxy.workers()
    replace(script("setpriv --bounding-set -setuid " + str(binary), ""))
    fails(proxy, "Error: handover failed, going on with the old conf.*"
          "cannot become user")
    proxy.wait_log("failed with status 1")
    still_serves(proxy, worker)


# --- while something else goes on ---

def test_usr2_during_usr2(backend, waypost):
    proxy = waypost(static_passdb(backend))
    for _ in range(10):
        proxy.signal(signal.SIGUSR2)
    proxy.write_config(static_passdb(backend) + "login_greeting = Last.\n")
    proxy.signal(signal.SIGUSR2)

    def last():
        with proxy.connect() as client:
            return client.greeting == "220 proxy.example Last."
    wait_until(last, "the last configuration")
    wait_until(lambda: len(proxy.workers()) == 1, "one worker process")


def test_usr2_while_the_program_starts(backend, waypost):
    """It may be about yet another program."""
    proxy = waypost(static_passdb(backend))
    for number in range(5):
        mark = proxy.mark()
        proxy.signal(signal.SIGUSR2)
        proxy.wait_log("executing", mark)
        proxy.signal(signal.SIGUSR2)
        proxy.wait_log("has taken over", mark, count=2)


def test_hup_during_usr2(backend, waypost):
    proxy = waypost(static_passdb(backend))
    proxy.signal(signal.SIGUSR2)
    proxy.write_config(static_passdb(backend) + "login_greeting = Last.\n")
    proxy.signal(signal.SIGHUP)
    proxy.wait_log("has taken over")

    def last():
        with proxy.connect() as client:
            return client.greeting == "220 proxy.example Last."
    wait_until(last, "the last configuration")


@pytest.mark.parametrize("wait", ["handing over", "executing", "goes on",
                                  "has taken over"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_during_usr2(backend, waypost, wait, number):
    proxy = waypost(static_passdb(backend))
    proxy.signal(signal.SIGUSR2)
    proxy.wait_log(wait)
    proxy.signal(number)
    assert proxy.wait_exit() == 0
    assert not os.path.exists(proxy.socket)
    assert not (proxy.dir / "run" / "master.pid").exists()


def test_stop_with_old_workers(backend, waypost):
    """TERM waits for the transactions of all of them."""
    backend.on("dot", hold)
    proxy = waypost(static_passdb(backend))
    clients = []
    for _ in range(3):
        client = proxy.session()
        client.mail()
        client.rcpt("joe@example.org")
        client.command("DATA")
        client.send("x\r\n.\r\n")
        clients.append(client)
        backend.wait_held(len(clients))
        hand_over(proxy)
    fresh = proxy.connect()
    proxy.signal(signal.SIGTERM)
    assert fresh.reply() == "421 4.3.2 "
    backend.release()
    for client in clients:
        assert client.reply() == 250
        client.close()
    fresh.close()
    assert proxy.wait_exit() == 0


def test_term_to_an_old_worker(backend, waypost):
    """It is stopping already; that is no reason to give up what it does."""
    backend.on("dot", hold)
    proxy = waypost(static_passdb(backend))
    old, = proxy.workers()
    with proxy.session() as client, proxy.connect() as fresh:
        client.mail()
        client.rcpt("joe@example.org")
        client.command("DATA")
        client.send("x\r\n.\r\n")
        backend.wait_held()
        hand_over(proxy)
        os.kill(old, signal.SIGTERM)
        assert fresh.reply() == "421 4.3.2 "
        backend.release()
        assert client.reply() == 250
    gone(old)


def test_old_worker_dies(backend, waypost):
    """That is not taken for the death of the new one."""
    backend.on("dot", hold)
    proxy = waypost(static_passdb(backend))
    old, = proxy.workers()
    with proxy.session() as client:
        client.mail()
        client.rcpt("joe@example.org")
        client.command("DATA")
        client.send("x\r\n.\r\n")
        backend.wait_held()
        new = hand_over(proxy)
        os.kill(old, signal.SIGKILL)
        proxy.wait_log(f"worker process {old} killed by signal 9")
        backend.release()
    assert proxy.workers() == [new]


@pytest.mark.parametrize("text", ["", "nonsense", "waypost-3 pid=1 lock=3 "
                                  "conf=4,5 orders=0"])
def test_state_that_nobody_handed_over(backend, instance, monkeypatch, text):
    monkeypatch.setenv("WAYPOST_HANDOVER", text)
    proxy = instance()
    proxy.write_config(static_passdb(backend))
    result = proxy.run("-F")
    assert result.returncode == 1
    assert "Fatal:" in result.stderr
    result = proxy.run("-t")
    assert result.returncode == 1
    assert "ready to take over" not in result.stdout
