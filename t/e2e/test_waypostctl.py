"""waypostctl's words: help, exit statuses, and what a table does not show."""
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess

import pytest

from control import CTL, Control
from systemd import Stuck
from test_control import complete
from waiting import TIMEOUT, wait_until
from waypost import TOP, static_passdb

PAGE = (TOP / "man/waypostctl.8").read_text()


def ctl(*args, **kwargs):
    return subprocess.run([str(CTL), *args], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=TIMEOUT,
                          check=False, **kwargs)


# --- help ---

@pytest.mark.parametrize("args", [["-h"], ["--help"], ["--help", "status"],
                                  ["-q", "--help"], ["nonsense", "--help"]])
def test_help(args):
    result = ctl(*args)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("usage: waypostctl")
    assert "\n  log reopen " in result.stdout


def test_help_says_what_options_are():
    """Those of the page."""
    named = set(re.findall(r"^  (-\w)", ctl("-h").stdout, re.M))
    assert named == {f"-{name}" for name in re.findall(r"^\.It Fl (\w)", PAGE, re.M)}


@pytest.mark.parametrize("args, hint", [
    (["statu"], 'there is no command "statu" (did you mean "status"?)'),
    (["x\x1by"], 'there is no command "x\\x1by"\n'), (["-x"], "usage"),
])
def test_what_is_no_command(args, hint):
    result = ctl(*args)
    assert (result.returncode, result.stdout) == (64, "")
    assert hint in result.stderr and "\x1b" not in result.stderr
    assert result.stderr.endswith("waypostctl --help lists the commands\n")


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_version(option):
    result = ctl(option)
    assert (result.returncode, result.stderr) == (0, "")
    assert re.fullmatch(r"waypost \d+\.\d+\.\d+\n", result.stdout)


@pytest.mark.parametrize("args, shown", [
    (["stop", "--help"], ["stop", "stop"]), (["kick", "--help"], ["kick"]),
    (["drain", "--help"], ["drain"]), (["log", "--help"], ["log"] * 3),
    (["rawlog", "on", "x", "--help"], ["rawlog"] * 3),
])
def test_help_for_a_command_does_nothing(backend, waypost, args, shown):
    proxy = waypost(static_passdb(backend))
    control = Control(proxy)
    result = control.ctl(*args)
    assert (result.returncode, result.stderr) == (0, "")
    assert re.findall(r"^  (\w+)", result.stdout, re.M) == shown
    assert "control: POST" not in proxy.log
    assert control.get("/v1/status")["state"] == "serving"


def test_the_page_has_every_command():
    """What has a word to choose is an item with an argument."""
    items = [line.split() for line in
             re.findall(r"^\.It Cm (.*)$", PAGE, re.M)]
    for command in ctl("-w").stdout.splitlines():
        words = command.split()
        assert any(words == item[:len(words)] or
                   (words[:-1] == item[:len(words) - 1] and
                    item[len(words) - 1:len(words)] in
                    (["Op"], ["Ar"], ["Cm"]))
                   for item in items), command


@pytest.mark.parametrize("words, offered", [
    (("--",), ["--help", "--version"]), (("-",), [
        "--help", "--version", "-V", "-f", "-h", "-q", "-s", "-w"]),
    (("stop", "--h"), ["--help"]), (("he",), ["health"]),
])
def test_completion_of_options(words, offered):
    assert complete(*words) == offered


# --- exit statuses ---

def test_a_form_that_there_is_not():
    result = subprocess.run([str(CTL), "-f", "xml", "status"],
                            capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (
        64, "waypostctl: -f takes json or table\n")


def test_exit_statuses(backend, waypost, directory):
    proxy = waypost(static_passdb(backend) +
                    "director_mail_servers = 10.0.0.1\n")
    control = Control(proxy)
    (directory / "users").write_text("joe\n")
    statuses = {}
    for status, *args in (
            (0, "status"), (0, "director", "map", "-f", directory / "users"),
            (64, "nonsense"), (64, "log", "level", "loud"),
            (64, "rawlog", "on", "x", "relative"), (64, "stats", "0"),
            (66, "director", "map", "-f", directory / "none"),
            (67, "auth", "lookup", "joe@example.org"),
            (78, "director", "ring")):
        if args[:2] == ["auth", "lookup"]:
            users = proxy.write_file("users", "ann@example.org:::::::\n")
            proxy.write_config("passdb {\n  driver = passwd-file\n"
                               f"  args = {users}\n}}\n"
                               "director_mail_servers = 10.0.0.1\n")
            assert control.ctl("reload").returncode == 0
        result = control.ctl(*map(str, args))
        statuses[status] = result
        assert result.returncode == status, (args, result.stderr)
        assert bool(result.stderr) == (status not in (0, 67))
    control.post("/v1/drain")
    assert control.ctl("ready").returncode == 75
    for options in ([], ["-f", "json"]):
        with open("/dev/full", "w", encoding="ascii") as full:
            for args in (["status"], ["config"], ["stats", "2"], ["--help"]):
                result = subprocess.run(
                    [str(CTL), "-s", control.path, *options, *args],
                    stdout=full, stderr=subprocess.PIPE, text=True,
                    timeout=TIMEOUT, check=False)
                assert result.returncode == 74, args
                assert "cannot write" in result.stderr
    proxy.write_config("nonsense = 1\n")
    assert control.ctl("reload").returncode == 78
    proxy.stop()
    for args in (["status"], ["stats"], ["drain"],
                 ["director", "map", "-f", str(directory / "users")]):
        assert control.ctl(*args).returncode == 69
    assert ctl("-s", "/" + "x" * 200, "status").returncode == 69


@pytest.mark.parametrize("config", ["", "director_mail_servers = 10.0.0.1\n"])
def test_what_needs_a_cluster(backend, waypost, config):
    """Or a director: it is said, and nothing else happens."""
    proxy = waypost(static_passdb(backend) + config)
    control = Control(proxy)
    worker, = proxy.workers()
    commands = ["ring", "ring status", "ring remove x", "ring adopt"]
    if not config:
        commands += ["status", "status joe", "map", "plan down 10.0.0.1",
                     "add 10.0.0.2", "remove 10.0.0.1", "update 10.0.0.1 3",
                     "up 10.0.0.1", "drain 10.0.0.1", "down 10.0.0.1",
                     "flush all", "move joe 10.0.0.1", "unmove joe", "dump"]
    for command in commands:
        result = control.ctl("director", *command.split())
        assert result.returncode == 78, (command, result.stderr)
        assert " is not set" in result.stderr
    assert proxy.workers() == [worker]


def test_the_page_has_every_exit_status():
    statuses = {int(number) for number in re.findall(
        r"^\.It (\d+)$", PAGE[PAGE.index(".Sh EXIT STATUS"):], re.M)}
    source = "".join(path.read_text() for path in (TOP / "ctl").glob("*.c"))
    used = {getattr(os, name) for name in set(re.findall(r"\bEX_\w+", source))}
    assert statuses | {0} == used | {0}


def test_an_answer_that_is_no_json(directory):
    path = str(directory / "sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        with subprocess.Popen([str(CTL), "-s", path, "status"],
                              stderr=subprocess.PIPE, text=True) as client:
            conn, _ = listener.accept()
            conn.recv(1000)
            conn.sendall(b"HTTP/1.1 503 Busy\r\nContent-Length: 12\r\n\r\n"
                         b"\x1b[2Jgo away\n")
            conn.close()
            assert client.communicate(timeout=TIMEOUT)[1] == \
                "waypostctl: \\x1b[2Jgo away\n"
        assert client.returncode == 75


@pytest.mark.needs_root
@pytest.mark.parametrize("command", ["status", "stats", "drain"])
def test_who_may_not(backend, waypost, command):
    """The socket is there, so that waypost runs is not the question."""
    proxy = waypost(static_passdb(backend), as_root=True)
    control = Control(proxy)
    user = pwd.getpwnam("daemon")
    copy = shutil.copy(CTL, proxy.dir)
    result = subprocess.run([copy, "-s", control.path, command], check=False,
                            capture_output=True, text=True, timeout=TIMEOUT,
                            user=user.pw_uid, group=user.pw_gid,
                            extra_groups=[])
    assert result.returncode == 77
    assert result.stderr == f"waypostctl: {control.path}: Permission denied\n"


@pytest.mark.needs_root
def test_whom_the_configuration_does_not_name_any_more(backend, waypost):
    """Their group is taken from the socket with a reload, not with the next
    start."""
    named = ("service ctl {\n  unix_listener ctl {\n    mode = 0660\n    "
             "user = daemon\n    group = mail\n  }\n}\n")
    proxy = waypost(static_passdb(backend) + named, as_root=True)
    control = Control(proxy)

    def owners():
        stat = os.stat(control.path)
        return stat.st_uid, stat.st_gid, stat.st_mode & 0o777

    daemon = pwd.getpwnam("daemon")
    copy = shutil.copy(CTL, proxy.dir)

    def status():
        return subprocess.run(
            [copy, "-s", control.path, "status"], check=False,
            capture_output=True, timeout=TIMEOUT, user=daemon.pw_uid,
            group=daemon.pw_gid, extra_groups=["mail"]).returncode

    assert owners()[0] == daemon.pw_uid and status() == 0
    proxy.write_config(static_passdb(backend) +
                       named.replace("user = daemon", "")
                       .replace("group = mail", ""))
    assert control.ctl("reload").returncode == 0
    assert owners() == (0, os.getgid(), 0o660)
    assert status() == 77
    proxy.write_config(static_passdb(backend) + named)
    assert control.ctl("reload").returncode == 0
    assert status() == 0


# --- what a table does not show ---

def test_sessions_that_are_not_shown(backend, instance):
    proxy = instance()
    proxy.threads = 1
    proxy.start(static_passdb(backend))
    control = Control(proxy)
    clients = [proxy.session() for _ in range(5)]
    shown = control.ctl("who", "*", "2")
    assert len(shown.stdout.splitlines()) == 3
    assert shown.stderr == "waypostctl: 5 fit; not all are shown\n"
    for args in (["who"], ["who", "nobody"], ["-f", "json", "who", "*", "2"]):
        assert control.ctl(*args).stderr == ""
    for client in clients:
        client.close()


@pytest.mark.parametrize("args", [["who"], ["pool"], ["kick", "nobody"]])
def test_threads_that_do_not_answer(backend, instance, args):
    proxy = instance()
    proxy.threads = 1
    proxy.start(static_passdb(backend))
    worker, = proxy.workers()
    with Stuck(worker, "worker-0"):
        result = Control(proxy).ctl(*args)
    assert result.returncode == 0
    assert result.stderr == ("waypostctl: 1 worker threads do not answer: what "
                             "they have is not included\n")


def test_how_old_a_transaction_is(backend, waypost):
    proxy = waypost(static_passdb(backend))
    control = Control(proxy)
    with proxy.session() as client:
        client.mail("s@example.net")
        client.rcpt("joe@example.org")
        title, line = control.ctl("who").stdout.splitlines()
    at = title.index("MAIL")
    assert re.match(r"\d+\.\ds", line[:at + 4].split()[-1])


# --- single commands, to the end ---

def test_a_rawlog_ends_when_its_time_is_over(backend, waypost):
    proxy = waypost(static_passdb(backend))
    control = Control(proxy)
    directory = proxy.dir / "raw"
    directory.mkdir()
    directory.chmod(0o777)

    def files(rcpt):
        before = set(directory.iterdir())
        with proxy.session() as client:
            client.deliver([rcpt])
        return set(directory.iterdir()) - before

    for pattern, seconds in (("ann@*", "1"), ("joe@*", "600")):
        assert control.ctl("rawlog", "on", pattern, str(directory),
                           seconds).returncode == 0
    wait_until(lambda: [rule["pattern"] for rule in
                        control.get("/v1/rawlog")["rawlogs"]] == ["joe@*"],
               "the end of one")
    assert not files("ann@example.org")
    assert files("joe@example.org")
    assert re.search(r"^joe@\* .* 9m\d\ds$",
                     control.ctl("rawlog", "list").stdout, re.M)


def test_pool_says_how_many_found_a_connection(backend, instance):
    proxy = instance()
    proxy.threads = 1
    proxy.start(static_passdb(backend))
    control = Control(proxy)
    with proxy.session() as client:
        for _ in range(4):
            client.deliver(["joe@example.org"])
    wait_until(lambda: control.get("/v1/pool")["backends"][0]["idle"] == 1,
               "an idle connection")
    shown, = control.get("/v1/pool")["backends"]
    assert (shown["connections"], shown["transactions"], shown["reused"],
            shown["reuse_ratio"], shown["busy"]) == (1, 4, 3, 0.75, 0)
    title, line = control.ctl("pool").stdout.splitlines()
    assert dict(zip(title.split(), line.split()))["REUSED"] == "75.0%"


def test_the_last_thousand_errors(backend, waypost):
    """The oldest have made room; warnings and information are not errors of it."""
    backend.on("rcpt", "garbage")
    proxy = waypost(static_passdb(backend) + "log_error_burst = 0\n"
                    "lmtp_max_recipients = 100000\n")
    control = Control(proxy)
    with proxy.session() as client:
        client.mail()
        client.pipeline(*[f"RCPT TO:<u{number}@example.org>"
                          for number in range(1100)])
    lines = [line for line in control.get("/v1/log/errors")["lines"]]
    assert len(lines) == 1000
    assert {line["level"] for line in lines} <= {"warning", "error"}
    times = [line["time"] for line in lines]
    assert times == sorted(times)
    assert "to=<u1099@example.org>" in lines[-1]["text"]
    assert not any("to=<u0@example.org>" in line["text"] for line in lines)
    assert len(control.ctl("log", "errors").stdout.splitlines()) == 1001


def test_origins_are_those_of_included_files(backend, instance):
    proxy = instance()
    other = proxy.write_file("more.conf", "\nlmtp_max_recipients = 7\n")
    proxy.start(static_passdb(backend) + f"!include {other}\n")
    shown = Control(proxy).ctl("config", "origins").stdout
    assert f"lmtp_max_recipients = 7  # {other}:2\n" in shown


def test_reloads_at_once(backend, waypost):
    """Each is answered, and the last configuration holds."""
    proxy = waypost(static_passdb(backend))
    control = Control(proxy)
    proxy.write_config(static_passdb(backend) + "lmtp_max_recipients = 7\n")
    started = [subprocess.Popen([str(CTL), "-s", control.path, "reload"],
                                stdout=subprocess.PIPE, text=True)
               for _ in range(20)]
    for one in started:
        assert one.communicate(timeout=TIMEOUT * 3)[0] == \
            "configuration reloaded\n"
        assert one.returncode == 0
    assert "lmtp_max_recipients = 7\n" in control.ctl("config").stdout


def test_a_reload_while_another_program_takes_over(backend, waypost):
    """It is one of two things, and never waited for in vain."""
    proxy = waypost(static_passdb(backend))
    control = Control(proxy)
    for _ in range(10):
        mark = proxy.mark()
        proxy.signal(signal.SIGUSR2)
        result = control.ctl("reload")
        assert (result.returncode, result.stderr) in [
            (0, ""), (75, "waypostctl: waypost stops, or another program takes "
                          "over\n")]
        proxy.wait_log("has taken over", mark)
