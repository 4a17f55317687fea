"""Under systemd, which is played here: notification, watchdog, sockets; and its
units as far as they can be tried without it."""
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time

import pytest

from confine import values
from control import Control
from lmtp_client import Client
from pki import Pki
from ports import LOCALHOST, free_port
from processes import gone
from scripted_backend import held_at_dot
from systemd import Activation, NotifySocket, Stuck, has_socket
from waiting import TIMEOUT, wait_until
from waypost import TOP, static_passdb

UNITS = TOP / "contrib" / "systemd"


@pytest.fixture
def notify(directory, monkeypatch):
    sock = NotifySocket(directory)
    monkeypatch.setenv("NOTIFY_SOCKET", sock.path)
    yield sock
    sock.close()


@pytest.fixture
def activated(instance):
    """activated(socket, ...): an instance that inherits them, and what holds
    them open."""
    made = []

    def make(*sockets, **kwargs):
        proxy = instance()
        made.append(Activation(proxy, [s(proxy) for s in sockets], **kwargs))
        return proxy, made[-1].sockets

    yield make
    for activation in made:
        activation.close()


# --- notification ---

def test_ready(backend, waypost, notify):
    proxy = waypost(static_passdb(backend))
    message, before = notify.wait("READY")
    assert message["READY"] == "1" and not before
    worker, = proxy.workers()
    assert str(worker) in message["STATUS"]
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250


def test_not_ready_when_it_cannot_start(backend, instance, notify):
    proxy = instance()
    proxy.write_config(static_passdb(backend) + "service lmtp {\n"
                       " inet_listener x {\n  address = 192.0.2.1\n"
                       "  port = 2424\n }\n}\n")
    assert proxy.run("-F").returncode != 0
    assert notify.message(0) is None


def reloaded(notify, since_us):
    message, before = notify.wait("RELOADING")
    assert message["RELOADING"] == "1" and "READY" not in before
    assert since_us <= int(message["MONOTONIC_USEC"]) <= \
        time.monotonic_ns() // 1000
    message, before = notify.wait("READY")
    assert "RELOADING" not in before
    return message["STATUS"]


def now_us():
    return time.monotonic_ns() // 1000


def test_reload(backend, waypost, notify):
    proxy = waypost(static_passdb(backend))
    notify.wait("READY")
    for config in (static_passdb(backend), "no_such_setting = yes\n"):
        proxy.write_config(config)
        since = now_us()
        proxy.signal(signal.SIGHUP)
        reloaded(notify, since)


def test_handover(backend, waypost, notify):
    proxy = waypost(static_passdb(backend))
    notify.wait("READY")
    for _ in range(2):
        since = now_us()
        proxy.signal(signal.SIGUSR2)
        status = reloaded(notify, since)
        worker = int(re.search(r"process (\d+)", status).group(1))
        assert worker in proxy.workers()
    proxy.write_config("no_such_setting = yes\n")
    since = now_us()
    proxy.signal(signal.SIGUSR2)
    assert str(worker) in reloaded(notify, since)


def test_draining(backend, waypost, notify):
    """Also in the status of another program."""
    control = Control(waypost(static_passdb(backend)))
    notify.wait("READY")
    assert status_of(notify, control.post, "/v1/drain") == "Draining"
    since = now_us()
    os.kill(control.get("/v1/status")["pid"], signal.SIGUSR2)
    assert reloaded(notify, since).split()[0] == "Draining"
    assert status_of(notify, control.post, "/v1/undrain") == "Serving"


def status_of(notify, do, arg):
    """The first word of the status that is told when that is done."""
    do(arg)
    return notify.wait("READY")[0]["STATUS"].split()[0]


def test_stopping(backend, waypost, notify):
    proxy = waypost(static_passdb(backend))
    notify.wait("READY")
    with held_at_dot(proxy, backend) as client:
        proxy.signal(signal.SIGTERM)
        message, _ = notify.wait("STOPPING")
        assert int(message["EXTEND_TIMEOUT_USEC"]) >= 5 * 1000000
        backend.release()
        assert client.reply() == 250
    proxy.wait_exit()
    assert notify.message(0) is None


def test_nobody_listens_there(backend, instance, directory, monkeypatch):
    """That is no reason not to serve."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(directory / "nothing"))
    proxy = instance()
    proxy.start(static_passdb(backend))
    proxy.wait_log("Warning: systemd: NOTIFY_SOCKET: No such file")
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250


# --- the watchdog ---

@pytest.fixture
def watched(backend, waypost, notify, monkeypatch):
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    proxy = waypost(static_passdb(backend))
    notify.wait("READY")
    return proxy


def answers(notify):
    for _ in range(3):
        message, _ = notify.wait("WATCHDOG")
        assert message == {"WATCHDOG": "1"}


def is_silent(proxy, notify):
    """What was on its way is behind the next two reloads, which the control
    thread and the supervisor still do."""
    for _ in range(2):
        proxy.signal(signal.SIGHUP)
        notify.wait("READY")
    message = notify.message(1)
    assert message is None, message


def test_watchdog(watched, notify):
    answers(notify)


def test_watchdog_of_a_thread_that_hangs(watched, notify):
    answers(notify)
    worker, = watched.workers()
    for name in ("worker-0", "worker-1"):
        with Stuck(worker, name):
            is_silent(watched, notify)
        answers(notify)


def test_watchdog_of_a_process_that_hangs(watched, notify):
    answers(notify)
    worker, = watched.workers()
    os.kill(worker, signal.SIGSTOP)
    wait_until(lambda: notify.message(1) is None, "silence")
    os.kill(worker, signal.SIGCONT)
    answers(notify)


def test_watchdog_after_a_handover(watched, notify):
    watched.signal(signal.SIGUSR2)
    notify.wait("RELOADING")
    notify.wait("READY")
    answers(notify)
    worker = max(watched.workers())
    os.kill(worker, signal.SIGKILL)
    notify.wait("READY")
    answers(notify)


def test_watchdog_of_somebody_else(backend, waypost, notify, monkeypatch):
    monkeypatch.setenv("WATCHDOG_USEC", "1000")
    monkeypatch.setenv("WATCHDOG_PID", "1")
    waypost(static_passdb(backend))
    notify.wait("READY")
    assert notify.message(0.2) is None


# --- socket activation ---

def inet(proxy):
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(proxy.address)
    return sock


def other_inet(_proxy):
    sock = socket.socket()
    sock.bind((LOCALHOST, 0))
    return sock


def unix(proxy):
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(proxy.socket)
    os.chmod(proxy.socket, 0o666)
    shutil.chown(proxy.socket, **({"user": "nobody"} if os.geteuid() == 0
                                  else {"user": os.geteuid()}))
    return sock


def delivers(proxy, address=None):
    with Client(address or proxy.address) as client:
        assert client.lhlo() == 250
        assert client.deliver("joe@example.org")[0] == 250


def test_inherited_sockets_are_used(backend, activated):
    proxy, sockets = activated(inet, unix)
    # Who came before the service was there is served.
    early = Client(proxy.address, greeting=False)
    proxy.start(static_passdb(backend))
    assert early.reply() == 220
    early.close()
    worker, = proxy.workers()
    for sock in sockets:
        assert has_socket(proxy.process.pid, sock)
        assert has_socket(worker, sock)
    delivers(proxy)
    delivers(proxy, proxy.socket)
    assert "closing it" not in proxy.log


def test_inherited_sockets_outlive_the_service(backend, activated):
    proxy, _ = activated(inet, unix)
    proxy.start(static_passdb(backend))
    proxy.signal(signal.SIGTERM)
    assert proxy.wait_exit() == 0
    assert os.path.exists(proxy.socket)
    Client(proxy.socket, greeting=False).close()
    Client(proxy.address, greeting=False).close()


def test_other_sockets_are_opened(backend, activated):
    proxy, (sock,) = activated(inet)
    proxy.start(static_passdb(backend))
    assert has_socket(proxy.process.pid, sock)
    delivers(proxy)
    delivers(proxy, proxy.socket)


def test_sockets_that_nobody_wants(backend, activated):
    proxy, (sock, stranger) = activated(inet, other_inet)
    proxy.start(static_passdb(backend))
    host, port = stranger.getsockname()
    assert f"no listener is configured for {host}:{port}, closing it" in \
        proxy.log
    assert not has_socket(proxy.process.pid, stranger)
    worker, = proxy.workers()
    assert not has_socket(worker, stranger)
    assert has_socket(worker, sock)


@pytest.mark.parametrize("number,expect", [
    (signal.SIGHUP, "configuration reloaded"),
    (signal.SIGUSR2, "has taken over"),
])
def test_inherited_sockets_stay(backend, activated, number, expect):
    proxy, sockets = activated(inet, unix)
    proxy.start(static_passdb(backend))
    for _ in range(2):
        mark = proxy.mark()
        proxy.signal(number)
        proxy.wait_log(expect, mark)
    wait_until(lambda: len(proxy.workers()) == 1, "one worker process")
    worker, = proxy.workers()
    for sock in sockets:
        assert has_socket(worker, sock)
    delivers(proxy)
    delivers(proxy, proxy.socket)
    proxy.signal(signal.SIGTERM)
    assert proxy.wait_exit() == 0
    assert os.path.exists(proxy.socket)


@pytest.mark.needs_root
def test_inherited_sockets_where_nobody_may_write(backend, activated):
    """As in /var/spool/postfix/private with ProtectSystem=strict."""
    def queue(proxy):
        (proxy.dir / "queue").mkdir(mode=0o711)
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(f"{proxy.dir}/queue/lmtp")
        os.chmod(f"{proxy.dir}/queue/lmtp", 0o600)
        shutil.chown(f"{proxy.dir}/queue/lmtp", "nobody", "nogroup")
        return sock
    proxy, (sock,) = activated(queue)
    path = proxy.dir / "queue"
    script = proxy.dir / "read-only"
    script.write_text(f"#!/bin/sh\nexec unshare -m sh -c 'mount --bind {path} {path} "
                      f"&& mount -o remount,ro,bind {path} && exec {proxy.binary} "
                      "\"$@\"' sh \"$@\"\n")
    script.chmod(0o755)
    proxy.binary = str(script)
    config = (static_passdb(backend) + f"service lmtp {{\n unix_listener {path}/lmtp "
              "{\n  user = nobody\n  group = nogroup\n  mode = 0600\n }\n}\n")
    proxy.start(config)
    assert has_socket(proxy.process.pid, sock)
    delivers(proxy, f"{path}/lmtp")
    proxy.write_config(config.replace("0600", "0666"))
    proxy.signal(signal.SIGHUP)
    proxy.wait_log(r"chown \S+/queue/lmtp: Read-only file system: .* SocketMode")
    delivers(proxy, f"{path}/lmtp")


def say_to_journal(proxy, *command):
    """Runs it until it ends: its status, and what the journal gets."""
    with open(proxy.dir / "journal", "wb") as journal:
        there = os.fstat(journal.fileno())
        result = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=journal, stderr=journal,
            env=dict(proxy.environment(),
                     JOURNAL_STREAM=f"{there.st_dev}:{there.st_ino}"),
            timeout=TIMEOUT, check=False, **proxy.user())
    return result.returncode, (proxy.dir / "journal").read_text()


@pytest.mark.needs_root
def test_where_nobody_may_write_systemd_has_to_open(backend, instance):
    """And the journal knows that it is why nothing starts."""
    proxy = instance(as_root=True)
    (proxy.dir / "queue").mkdir()
    path = proxy.dir / "queue"
    proxy.write_config(static_passdb(backend) +
                       f"service lmtp {{\n unix_listener {path}/lmtp {{\n }}\n}}\n")
    status, said = say_to_journal(
        proxy, "unshare", "-m", "sh", "-c", f"mount --bind {path} {path} && mount -o "
        f"remount,ro,bind {path} && exec {proxy.binary} -F -c {proxy.config_path}")
    assert status == 1
    assert re.search(r"^<2>waypost: Fatal: \S+: unix_listener \S+: cannot listen on "
                     r"\S+/queue/lmtp: Read-only file system: .*systemd.socket", said,
                     re.M), said


def test_configuration_errors_are_errors_in_the_journal(backend, instance):
    proxy = instance()
    proxy.write_config(static_passdb(backend) + "no_such_setting = yes\n")
    status, said = say_to_journal(proxy, proxy.binary, "-F", "-c", proxy.config_path)
    assert status == 78
    assert re.match(rf"<3>{proxy.config_path}:\d+: .*no_such_setting", said), said


def test_sockets_for_another_process(backend, activated):
    """They are not used; the address is in use then."""
    proxy, (sock,) = activated(inet, pid="1")
    proxy.write_config(static_passdb(backend))
    proxy.launch()
    proxy.expect_exit = 1
    proxy.wait_log("Fatal: .*Address already in use")
    proxy.wait_exit()


def test_inherited_in_the_background(backend, activated):
    proxy, (sock,) = activated(inet)
    proxy.write_config(static_passdb(backend))
    result = subprocess.run(
        [proxy.binary, "-c", str(proxy.config_path)], cwd=proxy.dir,
        stdin=subprocess.DEVNULL, capture_output=True, text=True,
        env=proxy.environment(), pass_fds=proxy.pass_fds, timeout=TIMEOUT,
        check=False, **proxy.user())
    assert result.returncode == 0, result.stderr
    pid = int((proxy.dir / "run" / "master.pid").read_text())
    try:
        assert has_socket(pid, sock)
        delivers(proxy)
    finally:
        os.kill(pid, signal.SIGTERM)
    gone(pid)


# --- the units ---

def service(binary):
    return (UNITS / "waypost.service.in").read_text().replace(
        "@sbindir@/waypost", str(binary))


def tool(name, *args, **kwargs):
    return subprocess.run([name, *map(str, args)], capture_output=True,
                          text=True, timeout=TIMEOUT * 3, check=False, **kwargs)


@pytest.mark.needs("systemd-analyze")
def test_units_are_well_formed(directory, binary):
    (directory / "waypost.service").write_text(service(binary))
    shutil.copy(UNITS / "waypost.socket", directory)
    result = tool("systemd-analyze", "verify", "--man=no",
                  "./waypost.service", "./waypost.socket", cwd=directory)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""


@pytest.mark.needs("systemd-analyze")
def test_exposure(directory, binary):
    (directory / "waypost.service").write_text(service(binary))
    result = tool("systemd-analyze", "security", "--offline=true",
                  "--threshold=30", "--no-pager", "./waypost.service",
                  cwd=directory)
    assert result.returncode == 0, result.stdout


def test_only_what_may_pass_is_tried_again(instance, backend):
    """waypost exits with what the unit names when it is the configuration."""
    hopeless, = values(service("waypost"), "RestartPreventExitStatus")
    another = ("service lmtp {\n inet_listener another {\n"
               f"  address = {LOCALHOST}\n  port = {free_port()}\n }}\n}}\n")
    proxy = instance()
    proxy.write_config("no_such_setting = yes\n")
    assert str(proxy.run("-F").returncode) in hopeless
    assert str(proxy.run("-F", "--no-such-option").returncode) in hopeless
    instance().start(static_passdb(backend) + another)
    proxy.write_config(static_passdb(backend) + another)
    result = proxy.run("-F")
    assert "in use" in result.stderr
    assert str(result.returncode) not in ["0", *hopeless]


@pytest.mark.needs_root
def test_nss_that_fails_is_tried_again(instance, backend):
    """Where /etc/passwd and /etc/group cannot be read, nor anything else be asked."""
    hopeless, = values(service("waypost"), "RestartPreventExitStatus")
    proxy = instance(as_root=True)
    nsswitch = proxy.write_file("nsswitch", "passwd: files\ngroup: files\n")
    unreadable = proxy.dir / "unreadable"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(unreadable))
    proxy.prefix = [*proxy.prefix, "unshare", "--mount", "sh", "-c",
                    f"mount --bind {nsswitch} /etc/nsswitch.conf && "
                    f"mount --bind {unreadable} /etc/passwd && "
                    f"mount --bind {unreadable} /etc/group && exec \"$@\"", "-"]
    proxy.write_config(static_passdb(backend) +
                       "default_internal_group = nogroup\n"
                       "service lmtp {\n extra_groups = mail\n}\n")
    result = proxy.run("-t")
    assert result.returncode == 0
    for name in ("default_internal_user: cannot look up user",
                 "default_internal_group: cannot look up group",
                 r"extra_groups \}: cannot look up group 'mail'"):
        assert re.search(r"\.conf:\d+: warning: .*" + name, result.stderr), \
            result.stderr
    result = proxy.run("-F")
    assert "Fatal: default_internal_user: cannot look up user" in result.stderr
    assert str(result.returncode) not in ["0", *hopeless]


@pytest.mark.needs_root
@pytest.mark.needs("systemd-sysusers", "systemd-tmpfiles")
def test_sysusers_and_tmpfiles(directory):
    (directory / "etc").mkdir()
    result = tool("systemd-sysusers", f"--root={directory}",
                  UNITS / "sysusers.conf")
    assert "Creating user 'waypost'" in result.stdout + result.stderr
    result = tool("systemd-tmpfiles", "--create", f"--root={directory}",
                  UNITS / "tmpfiles.conf")
    assert result.returncode == 0, result.stderr
    assert (directory / "run" / "waypost").stat().st_mode & 0o7777 == 0o755
    users = (directory / "etc" / "passwd").read_text()
    state = (directory / "var" / "lib" / "waypost").stat()
    assert state.st_mode & 0o7777 == 0o750
    assert f"waypost:x:{state.st_uid}:{state.st_gid}:" in users


@pytest.mark.needs_root
def test_capabilities_suffice(backend, instance, binary):
    """All that the supervisor does as root, with those of the unit."""
    names = re.search(r"^CapabilityBoundingSet=(.*)$", service(binary),
                      re.M).group(1).split()
    bounding = ",".join(["-all"] + [f"+{name[4:].lower()}" for name in names])
    proxy = instance(as_root=True)
    script = proxy.dir / "confined"
    script.write_text("#!/bin/sh\nexec setpriv --no-new-privs "
                      f"--bounding-set={bounding} {binary} \"$@\"\n")
    script.chmod(0o755)
    proxy.binary = str(script)
    port = free_port()
    pair = Pki(proxy.dir / "pki").make("proxy.example")
    pair.key.chmod(0o400)
    shutil.chown(pair.key, "nobody")
    proxy.start(static_passdb(backend) + f"ssl_client_cert = <{pair.cert}\n"
                f"ssl_client_key = <{pair.key}\n"
                "service lmtp {\n unix_listener mine {\n  user = daemon\n"
                "  group = mail\n  mode = 0660\n }\n"
                f" inet_listener x {{\n  address = {LOCALHOST}\n"
                f"  port = {port}\n }}\n}}\n")
    status = pathlib.Path(f"/proc/{proxy.process.pid}/status").read_text()
    assert re.search(r"^CapBnd:\t0+[1-9a-f]", status, re.M)
    assert not re.search(r"^CapBnd:\t\w*f{8}$", status, re.M)
    assert (proxy.dir / "run" / "mine").owner() == "daemon"
    delivers(proxy)
    for number, expect in ((signal.SIGHUP, "configuration reloaded"),
                           (signal.SIGUSR2, "has taken over")):
        mark = proxy.mark()
        proxy.signal(number)
        proxy.wait_log(expect, mark)
    wait_until(lambda: len(proxy.workers()) == 1, "one worker process")
    # It must be able to kill a process of another user.
    worker, = proxy.workers()
    os.kill(worker, signal.SIGSTOP)
    proxy.signal(signal.SIGINT)
    proxy.wait_log(f"worker process {worker} killed by signal 9")
    assert proxy.wait_exit() == 0
