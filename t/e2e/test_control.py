"""The control interface and waypostctl."""
import json
import os
import re
import signal
import socket
import subprocess
import threading

import pytest

from control import CTL, Control, UnixConnection
from handover import Load, all_accounted_for, hand_over
from lmtp_client import Client, Disconnected
from processes import has_tsan
from scripted_backend import held_at_dot, hold
from waiting import TIMEOUT, wait_until
from waypost import TOP, static_passdb


# --- what it shows ---

def test_status(backend, waypost):
    proxy = waypost(static_passdb(backend))
    control = Control(proxy)
    clients = [proxy.session() for _ in range(3)]
    status = control.get("/v1/status")
    assert status["sessions"] == 3
    assert status["state"] == "serving"
    assert status["hostname"] == "proxy.example"
    assert status["pid"] == proxy.process.pid
    assert [status["worker_pid"]] == proxy.workers()
    assert status["threads"] == 2
    assert 0 < status["uptime_seconds"] < 60
    shown = control.ctl("status")
    assert shown.returncode == 0
    assert re.search(r"^sessions +3$", shown.stdout, re.M)
    for client in clients:
        client.close()


def test_who_shows_sessions_and_their_transactions(backend, waypost):
    backend.on("dot", hold)
    proxy = waypost(static_passdb(backend))
    control = Control(proxy)
    with proxy.session() as busy, proxy.connect() as idle:
        busy.start_data("joe@example.org",
                        "ann@example.org",
                        sender="s@example.net")
        busy.send("x\r\n.\r\n")
        backend.wait_held()
        sessions = control.get("/v1/sessions")["sessions"]
        assert len(sessions) == 2
        shown = {s["state"]: s for s in sessions}
        assert shown["idle"]["helo"] is None
        assert shown["idle"]["transaction"] is None
        assert shown["outcomes"]["helo"] == "client.example"
        host, port = idle.sock.getsockname()
        assert shown["idle"]["client"] == f"{host}:{port}"
        transaction = shown["outcomes"]["transaction"]
        assert transaction["from"] == "s@example.net"
        assert transaction["recipients"] == ["joe@example.org",
                                             "ann@example.org"]
        assert transaction["accepted"] == 2
        assert transaction["size_bytes"] == 3
        table = control.ctl("who", "joe@*").stdout.splitlines()
        assert len(table) == 2
        assert table[1].split()[0] == shown["outcomes"]["id"]
        assert table[1].split()[-1] == "s@example.net"
        backend.release()
        busy.reply()


@pytest.mark.parametrize("pattern, count", [
    ("*", 2), ("joe@example.org", 1), ("JOE@*.org", 1), ("127.0.0.?", 2),
    ("client.*", 1), ("s@example.net", 1), ("nobody", 0), ("", 0),
])
def test_patterns(backend, waypost, pattern, count):
    proxy = waypost(static_passdb(backend))
    control = Control(proxy)
    with proxy.session() as one, proxy.connect():
        one.mail("s@example.net")
        one.rcpt("joe@example.org")
        shown = json.loads(control.ctl("-f", "json", "who", pattern).stdout)
        assert shown["total"] == count
        assert len(shown["sessions"]) == count


def test_limit(backend, waypost):
    proxy = waypost(static_passdb(backend))
    control = Control(proxy)
    clients = [proxy.session() for _ in range(8)]
    answer = control.get("/v1/sessions?limit=1")
    assert answer["total"] == 8
    assert len(answer["sessions"]) == proxy.threads
    for bad in ("-1", "x", "", "1x", "1000000"):
        assert control.request(f"/v1/sessions?limit={bad}")[0] == 400
    for client in clients:
        client.close()


def large_answer(ask):
    """What is shown once all threads have answered in time: megabytes may take a busy
    machine longer than the control interface waits for a thread."""
    def whole():
        status, body = ask()
        assert status == 200
        return body.endswith('"workers_missing":0}\n') and body
    return wait_until(whole, "an answer of all threads")


@pytest.mark.skipif(has_tsan(), reason="a thread has two seconds for 4 MiB")
def test_an_answer_has_an_end(instance):
    """However much there is to show."""
    proxy = instance()
    proxy.threads = 1
    users = proxy.write_file("users", "# nobody\n")
    proxy.start(f"passdb {{\n  driver = passwd-file\n  args = {users}\n}}\n")
    address = "{}@" + ".".join(["x" * 60] * 3) + ".example"
    clients = [proxy.session() for _ in range(30)]
    for client in clients:
        client.mail()
        client.pipeline(*[f"RCPT TO:<{address.format(i)}>"
                          for i in range(900)])
    body = large_answer(
        lambda: Control(proxy).request("/v1/sessions?limit=100000"))
    assert 4 * 2 ** 20 < len(body) < 5 * 2 ** 20
    answer = json.loads(body)
    assert answer["total"] == 30 > len(answer["sessions"]) > 15
    for client in clients:
        client.close()


def test_what_clients_say_stays_one_line(backend, waypost):
    proxy = waypost(static_passdb(backend))
    control = Control(proxy)
    with proxy.connect() as client:
        assert client.lhlo("\u00e4\\\"b") == 250
        sessions = control.get("/v1/sessions")["sessions"]
        assert sessions[0]["helo"] == "\u00e4\\\"b"
        assert "\u00e4\\x5c\"b" in control.ctl("who").stdout


def test_config_says_what_is_in_force(backend, waypost):
    proxy = waypost(static_passdb(backend) + "http_token = sesame\n")
    control = Control(proxy)
    shown = control.ctl("config").stdout
    assert "hostname = proxy.example\n" in shown
    assert "sesame" not in shown
    origins = control.ctl("config", "origins").stdout
    assert f"hostname = proxy.example  # {proxy.config_path}:3\n" in origins
    assert "lmtp_max_recipients = 1000\n" in control.ctl("config",
                                                         "all").stdout
    # Not what the file says meanwhile.
    proxy.write_config(static_passdb(backend) + "lmtp_max_recipients = 7\n")
    assert "lmtp_max_recipients = 7\n" not in control.ctl("config").stdout
    assert control.ctl("reload").returncode == 0
    assert "lmtp_max_recipients = 7\n" in control.ctl("config").stdout


# --- what it changes ---

def test_kick(backend, waypost):
    proxy = waypost(static_passdb(backend))
    control = Control(proxy)
    with proxy.session() as one, proxy.connect() as other:
        one.mail("s@example.net")
        shown = control.ctl("kick", "s@example.net")
        assert shown.stdout == "sessions kicked: 1\n"
        assert control.ctl("-q", "kick", "nobody").stdout == ""
        assert one.reply() == ("421 4.3.2 proxy.example Kicked by the "
                               "administrator")
        one.expect_closed()
        assert other.lhlo() == 250
    assert control.request("/v1/sessions/kick", "POST")[0] == 400


def test_kick_waits_for_the_outcome_of_a_message(backend, waypost):
    proxy = waypost(static_passdb(backend))
    control = Control(proxy)
    with held_at_dot(proxy, backend) as client:
        assert control.post("/v1/sessions/kick?pattern=*")["sessions"] == 1
        backend.release()
        assert client.reply() == 250
        assert client.reply() == "421 4.3.2 "


def test_drain(backend, waypost):
    proxy = waypost(static_passdb(backend))
    control = Control(proxy)
    with proxy.session() as busy, proxy.session() as idle:
        busy.mail()
        busy.rcpt("joe@example.org")
        drain = subprocess.Popen([str(CTL), "-s", control.path, "-f", "json",
                                  "drain"], stdout=subprocess.PIPE)
        assert idle.reply() == "421 4.3.2 "
        with Client(proxy.address, greeting=False) as late:
            assert late.reply() == "421 4.3.2 "
        assert control.request("/readyz") == (503, "draining\n")
        assert control.request("/healthz") == (200, "ok\n")
        assert control.get("/v1/status")["state"] == "draining"
        assert drain.poll() is None
        assert busy.data("x\r\n", 1)[0] == 250
        assert busy.reply() == "421 4.3.2 "
    answer = json.loads(drain.communicate(timeout=TIMEOUT)[0])
    assert answer["sessions"] == 2
    assert drain.returncode == 0
    assert control.ctl("undrain").returncode == 0
    assert control.request("/readyz") == (200, "ok\n")
    with proxy.session() as client:
        client.deliver(["joe@example.org"])


def test_undrain_ends_a_drain_that_waits(backend, waypost):
    proxy = waypost(static_passdb(backend))
    control = Control(proxy)
    with proxy.session() as busy:
        busy.mail()
        busy.rcpt("joe@example.org")
        with subprocess.Popen([str(CTL), "-s", control.path, "drain"],
                              stderr=subprocess.PIPE, text=True) as drain:
            wait_until(lambda: control.get("/v1/status")["state"] ==
                       "draining", "the drain")
            control.post("/v1/undrain")
            assert "serves again" in drain.communicate(timeout=TIMEOUT)[1]
        assert drain.returncode == 75


def test_not_ready_while_no_passdb_answers(backend, instance):
    proxy = instance()
    missing = proxy.dir / "users"
    proxy.start("passdb {\n  driver = passwd-file\n"
                f"  args = {missing}\n}}\n")
    control = Control(proxy)
    assert control.request("/readyz") == (200, "ok\n")
    with proxy.session() as client:
        client.mail()
        assert client.rcpt("joe@example.org") == 451
        assert control.request("/readyz") == (503, "no passdb answers\n")
        assert control.request("/healthz") == (200, "ok\n")
        proxy.write_file("users", "joe@example.org:::::::proxy=y "
                                  f"host={backend.host} port={backend.port}\n")
        wait_until(lambda: client.rcpt("joe@example.org") == 250,
                   "the file to be read")
    assert control.request("/readyz") == (200, "ok\n")


def test_reload(backend, backends, waypost):
    proxy = waypost(static_passdb(backend))
    control = Control(proxy)
    other = backends()
    proxy.write_config(static_passdb(other))
    assert control.ctl("reload").returncode == 0
    with proxy.session() as client:
        client.deliver(["joe@example.org"])
    assert len(other.messages) == 1


def test_a_reload_that_fails_says_why(backend, waypost):
    proxy = waypost(static_passdb(backend))
    control = Control(proxy)
    proxy.write_config(static_passdb(backend) + "nonsense = 1\n")
    result = control.ctl("reload")
    assert result.returncode == 78
    assert "nonsense" in result.stderr
    with proxy.session() as client:
        client.deliver(["joe@example.org"])


def is_asleep(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        return file.read().rpartition(")")[2].split()[0] == "S"


def test_a_reload_that_was_under_way_is_another_one(backend, waypost):
    """What was written after that had read the configuration."""
    proxy = waypost(static_passdb(backend))
    control = Control(proxy)
    pid, (worker,) = proxy.process.pid, proxy.workers()
    os.kill(worker, signal.SIGSTOP)
    mark = proxy.mark()
    proxy.signal(signal.SIGHUP)
    proxy.wait_log("reloading", mark)
    wait_until(lambda: is_asleep(pid), "the supervisor to wait for an answer")
    os.kill(pid, signal.SIGSTOP)
    proxy.write_config(static_passdb(backend) + "nonsense = 1\n")
    os.kill(worker, signal.SIGCONT)
    assert control.request("/healthz") == (200, "ok\n")
    with subprocess.Popen([str(CTL), "-s", control.path, "reload"],
                          stderr=subprocess.PIPE, text=True) as reload:
        proxy.wait_log("control: POST /v1/reload", mark)
        os.kill(pid, signal.SIGCONT)
        assert "nonsense" in reload.communicate(timeout=TIMEOUT)[1]
    assert reload.returncode == 78


def test_stop(backend, waypost):
    proxy = waypost(static_passdb(backend))
    control = Control(proxy)
    with held_at_dot(proxy, backend) as client:
        assert control.ctl("stop").returncode == 0
        backend.release()
        assert client.reply() == 250
    assert proxy.wait_exit() == 0
    assert control.ctl("status").returncode == 69


def test_stop_now(backend, waypost):
    proxy = waypost(static_passdb(backend))
    control = Control(proxy)
    with held_at_dot(proxy, backend) as client:
        assert control.ctl("stop", "now").returncode == 0
        assert client.reply() == "421 4.3.2 "
    assert proxy.wait_exit() == 0
    backend.release()


def test_connections_go_to_the_program_that_takes_over(backend, waypost):
    """Prometheus keeps its connection: it must not see the old one for long."""
    proxy = waypost(static_passdb(backend))
    kept = UnixConnection(Control(proxy).path)

    def worker():
        kept.request("GET", "/v1/status")
        return json.loads(kept.getresponse().read())["worker_pid"]

    with proxy.session() as client:
        client.mail()
        client.rcpt("joe@example.org")
        old = worker()
        new = hand_over(proxy)
        assert kept.sock.recv(1) == b""
        kept.close()
        assert worker() == new != old
        kept.close()
        assert client.data("x\r\n", 1)[0] == 250


def test_log_reopen(backend, waypost, directory):
    proxy = waypost(static_passdb(backend)
                    + f"info_log_path = {directory}/w0/run/info.log\n")
    control = Control(proxy)
    path = directory / "w0" / "run" / "info.log"
    path.rename(directory / "w0" / "run" / "old.log")
    assert control.ctl("log", "reopen").returncode == 0
    wait_until(path.exists, "the new log file")


def test_log_errors(backend, waypost):
    backend.on("rcpt", "garbage")
    proxy = waypost(static_passdb(backend))
    control = Control(proxy)
    assert control.get("/v1/log/errors")["lines"] == []
    with proxy.session() as client:
        client.mail()
        client.rcpt("joe@example.org")
    lines = control.get("/v1/log/errors")["lines"]
    assert lines[-1]["level"] == "error"
    assert "to=<joe@example.org>" in lines[-1]["text"]
    assert lines[-1]["time"].endswith("Z")
    shown = control.ctl("log", "errors").stdout.splitlines()
    assert len(shown) == len(lines) + 1
    assert "to=<joe@example.org>" in shown[-1]


def test_log_level(backend, waypost):
    proxy = waypost(static_passdb(backend))
    control = Control(proxy)
    with proxy.session() as client:
        client.deliver(["joe@example.org"])
        assert "Debug:" not in proxy.log
        assert control.ctl("log", "level", "debug").returncode == 0
        client.deliver(["ann@example.org"])
        proxy.wait_log(r"Debug: .*passdb static: user ann@example.org")
        assert control.ctl("log", "level", "default").returncode == 0
        mark = proxy.mark()
        client.deliver(["bob@example.org"])
        proxy.wait_log("to=<bob@example.org>", mark)
        assert not [line for line in proxy.lines[mark:] if "Debug:" in line]
    assert control.ctl("log", "level", "loud").returncode == 64


def test_changes_are_logged(backend, waypost):
    proxy = waypost(static_passdb(backend))
    Control(proxy).ctl("kick", "a\nb")
    proxy.wait_log(r"control: POST /v1/sessions/kick\?pattern=a%0Ab$")


def test_requests_while_sessions_come_and_go(backend, waypost):
    """Each is answered, however much is going on."""
    proxy = waypost(static_passdb(backend))
    control = Control(proxy)
    over = threading.Event()
    delivered = []

    def load():
        while not over.is_set():
            with proxy.session() as client:
                client.deliver(["joe@example.org", "ann@example.org"])
                delivered.append(1)

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(50):
        for path in ("/v1/sessions", "/v1/status", "/v1/config"):
            assert control.request(path)[0] == 200
    over.set()
    for thread in threads:
        thread.join()
    assert len(backend.messages) == len(delivered)


class LoadThatMayBeRefused(Load):
    """Clients come again when they were sent away; but once a recipient was
    accepted, the message has to be."""

    def session(self, messages):
        try:
            with Client(self.proxy.address) as client:
                if client.greeting != 220 or client.lhlo() != 250:
                    return
                for _ in range(messages):
                    if (client.mail() != 250
                            or client.rcpt("joe@example.org") != 250):
                        return
                    self.message_data(client)
        except (Disconnected, OSError):
            pass

    def message_data(self, client):
        try:
            reply, = client.data("Subject: hi\r\n\r\nhello\r\n", 1)
        except (Disconnected, OSError) as exc:
            raise AssertionError("no reply to a message") from exc
        assert reply == 250, reply
        with self.lock:
            self.saved += 1


SAID = {
    "auth cache flush": "cache flushed\n",
    "reload": "configuration reloaded\n",
    "log reopen": "log files are opened again\n",
    "log level debug": "log level set\n",
    "rawlog on x /tmp 60": "written from now on\n",
    "rawlog off": "no more for new sessions\n",
    "drain": "draining: 0 sessions left\ndrained\n",
    "undrain": "serving\n",
    "director add 10.0.0.3": "server added\n",
    "director update 10.0.0.3 50": "weight set\n",
    "director drain 10.0.0.3": "server gets no new users\n",
    "director down 10.0.0.3": "server is down\n",
    "director up 10.0.0.3": "server is up\n",
    "director flush all": "users flushed\n",
    "director remove 10.0.0.3": "server removed\n",
    "director move joe 10.0.0.1": "user moved\n",
    "director unmove joe": "user goes where the hash says\n",
    "director kick nobody": "sessions kicked: 0\n",
    "stop": "stopping\n",
}


@pytest.mark.parametrize("options", [[], ["-q"], ["-f", "json"]])
def test_what_was_done_is_said(backend, waypost, options):
    proxy = waypost(static_passdb(backend) + "auth_cache_size = 1M\n"
                    "director_mail_servers = 10.0.0.1 10.0.0.2\n")
    control = Control(proxy)
    for command, said in SAID.items():
        result = control.ctl(*options, *command.split())
        assert (result.returncode, result.stderr) == (0, ""), command
        if options == ["-f", "json"]:
            assert isinstance(json.loads(result.stdout), dict), command
        else:
            assert result.stdout == ("" if options else said), command
    assert proxy.wait_exit() == 0


COMMANDS = [
    "status", "health", "ready", "stats 1", "who *example*", "kick nobody@*", "pool",
    "auth lookup joe@example.org", "auth cache status", "auth cache flush",
    "reload", "log reopen", "log errors", "log level debug",
    "log level default", "rawlog on joe@* {dir} 60", "rawlog list",
    "rawlog off", "config", "config changed", "config set", "config all",
    "config origins", "drain", "undrain",
    "director status", "director status joe", "director map",
    "director plan add 10.0.0.3", "director plan remove 10.0.0.1",
    "director plan update 10.0.0.1 50", "director plan up 10.0.0.1",
    "director plan drain 10.0.0.1", "director plan down 10.0.0.1",
    "director add 10.0.0.3", "director remove 10.0.0.3",
    "director update 10.0.0.1 50", "director drain 10.0.0.1",
    "director down 10.0.0.1", "director up 10.0.0.1",
    "director flush all", "director move joe 10.0.0.1",
    "director unmove joe", "director kick nobody@example.org",
    "director dump", "director map -f {dir}/users",
]
OF_A_CLUSTER = "director ring"  # see test_cluster.py


def test_every_command_under_load(backend, waypost):
    proxy = waypost(static_passdb(backend) + "auth_cache_size = 1M\n"
                    "director_mail_servers = 10.0.0.1 10.0.0.2\n")
    control = Control(proxy)
    directory = proxy.make_dir("raw")
    (directory / "users").write_text("joe@example.org\n\nann@example.org\n")
    there = control.ctl("-w").stdout.splitlines()
    assert there and not [
        words for words in there if words not in ("stop", "stop now")
        and not words.startswith(OF_A_CLUSTER)
        and not any((command + " ").startswith(words + " ")
                    for command in COMMANDS)]
    with LoadThatMayBeRefused(proxy) as load:
        for command in COMMANDS:
            if command != "undrain":
                load.wait_more()
            result = control.ctl(*command.format(dir=directory).split())
            assert result.returncode == 0, (command, result.stderr)
        load.wait_more()
        assert control.ctl("stop").returncode == 0
        assert proxy.wait_exit() == 0
    all_accounted_for(load, backend)


# --- waypostctl itself ---

def test_stats(backend, waypost):
    proxy = waypost(static_passdb(backend))
    control = Control(proxy)
    with proxy.session() as client:
        client.deliver(["joe@example.org", "ann@example.org"])
        stats = control.get("/v1/stats")
        assert stats["sessions"] == stats["sessions_total"] == 1
        assert stats["messages"] == 1
        assert stats["recipients_2xx"] == 2
        assert stats["recipients_4xx"] == stats["recipients_5xx"] == 0
        assert stats["lookups"] == 2
        assert stats["connections_open"] == 1
        live = subprocess.Popen([str(CTL), "-s", control.path, "stats", "1"],
                                stdout=subprocess.PIPE, text=True)
        client.deliver(["bob@example.org"])
        shown = live.communicate(timeout=TIMEOUT)[0]
    assert live.returncode == 0
    assert re.search(r"^sessions +1$", shown, re.M), shown
    assert re.search(r"^recipients 2xx/s +[01]\.\d$", shown, re.M), shown
    assert control.ctl("stats", "x").returncode == 64
    lines = control.ctl("-f", "json", "stats", "2").stdout.splitlines()
    assert [json.loads(line)["messages"] for line in lines] == [2, 2]


def complete(*words):
    """What bash offers for the last of the words."""
    script = (". \"$1\"; shift; COMP_WORDS=(\"$@\"); "
              "COMP_CWORD=$(($# - 1)); _waypostctl \"$1\"; "
              "printf '%s\\n' \"${COMPREPLY[@]}\"")
    result = subprocess.run(
        ["bash", "-c", script, "bash",
         str(TOP / "contrib" / "completion" / "waypostctl"), str(CTL), *words],
        capture_output=True, text=True, check=True, timeout=TIMEOUT)
    return sorted(set(result.stdout.split()))


@pytest.mark.parametrize("words, offered", [
    (("st",), ["stats", "status", "stop"]),
    (("log", ""), ["errors", "level", "reopen"]),
    (("log", "level", ""), ["debug", "default"]),
    (("-s", "/x", "auth", "c"), ["cache"]),
    (("auth", "cache", ""), ["flush", "status"]),
    (("config", "o"), ["origins"]),
    (("-f", ""), ["json", "table"]),
    (("-q", "dr"), ["drain"]),
    (("nonsense", ""), []),
])
def test_completion(words, offered):
    assert complete(*words) == offered


@pytest.mark.parametrize("args", [
    [], ["nonsense"], ["kick"], ["status", "x"], ["log"], ["-x"],
    ["who", "a", "1", "b"],
])
def test_usage(directory, args):
    result = subprocess.run([str(CTL), *args], check=False, text=True,
                            capture_output=True, timeout=TIMEOUT)
    assert result.returncode == 64
    assert "usage: waypostctl" in result.stderr


@pytest.mark.parametrize("args", [
    ["status"], ["stats"], ["-f", "json", "stats"], ["stats", "1"],
])
def test_no_waypost(directory, args):
    result = subprocess.run([str(CTL), "-s", str(directory / "none"),
                             *args], check=False, text=True,
                            capture_output=True, timeout=TIMEOUT)
    assert result.returncode == 69
    assert "is waypost running?" in result.stderr


def test_answers_of_others(directory):
    """What is no waypost does not confuse it."""
    path = str(directory / "sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        for answer in (b"", b"220 me ESMTP\r\n",
                       b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}",
                       b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{x"):
            ctl = subprocess.Popen([str(CTL), "-s", path, "status"],
                                   stderr=subprocess.PIPE)
            conn, _ = listener.accept()
            conn.recv(1000)
            conn.sendall(answer)
            conn.close()
            assert ctl.wait(TIMEOUT) in (69, 76)
            ctl.stderr.close()


def test_help_is_about_what_was_asked(waypost, backend):
    control = Control(waypost(static_passdb(backend)))
    lines = control.ctl("rawlog").stderr.splitlines()
    assert [line.split()[:2] for line in lines[1:] if line[2] != " "] == [
        ["rawlog", "list"], ["rawlog", "on"], ["rawlog", "off"]]
    everything = control.ctl("-h")
    assert everything.returncode == 0
    assert "auth lookup" in everything.stdout
    assert "no-such-thing" in control.ctl("no-such-thing").stderr


def test_a_failed_reload_says_why_in_whole_lines(waypost, backend):
    proxy = waypost(static_passdb(backend))
    proxy.write_config(static_passdb(backend) + "no_such_setting = 1\n")
    error = Control(proxy).ctl("reload").stderr
    assert "no_such_setting" in error
    assert not error.rstrip("\n").endswith("\\x0a"), error
