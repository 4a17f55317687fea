"""log_format = json: every line an object, with the fields of waypost-log(5)."""
import json
import re
import signal

import pytest

from ports import LOCALHOST
from waiting import wait_until
from waypost import TOP, static_passdb


class JsonLog:
    """A waypost that logs to a file."""

    def __init__(self, proxy, config):
        self.proxy = proxy
        self.path = proxy.dir / "run" / "log"
        proxy.start(f"log_format = json\nlog_path = {self.path}\n" + config)

    def lines(self):
        """Every whole line so far; all must be objects."""
        text = self.path.read_bytes()
        text = text[:text.rfind(b"\n") + 1].decode()  # must be UTF-8
        return [json.loads(line) for line in text.splitlines()]

    def events(self, event, count=1):
        """The first lines about that, once there are so many."""
        def find():
            found = [line for line in self.lines()
                     if line.get("event") == event]
            return found if len(found) >= count else None
        return wait_until(find, f"{count} lines of {event} in:\n"
                          f"{self.path.read_text()}")


@pytest.fixture
def json_log(instance):
    return lambda config: JsonLog(instance(), config)


def check_time(line):
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z",
                        line["time"])


def test_recipients_and_transactions(backend, json_log):
    backend.on("rcpt", lambda conn, rcpt: ["550-5.1.1 no", "550 5.1.1 way"]
               if rcpt[0] == "b" else "250 2.1.5 ok")
    backend.on("dot", lambda conn, rcpt: "452 4.2.2 full" if rcpt[0] == "c"
               else "250 2.0.0 ok")
    log = json_log(static_passdb(backend))
    with log.proxy.session() as client:
        address = client.sock.getsockname()
        client.mail("send+er@example.net")
        for name in "abc":
            client.rcpt(f"{name}@example.org")
        client.data("x", 2)
        one, two, three = sorted(log.events("recipient", 3),
                                 key=lambda line: line["to"])
        trans, = log.events("transaction")
    session = one["session"]
    for line in (one, two, three, trans):
        check_time(line)
        assert line["level"] == "info"
        assert line["process"] == "lmtp"
        assert line["pid"] in log.proxy.workers()
        assert line["instance"] == "waypost"
        assert line["session"] == session
        assert line["transaction"] == session
        assert line["from"] == "send+er@example.net"
    assert one["context"] == session
    assert two["context"] == session + ":R2"
    for line in (one, two, three):
        assert "as" not in line
        assert (line["host"], line["port"]) == (LOCALHOST, backend.port)
        assert (line["protocol"], line["tls"]) == ("lmtp", False)
        assert line["passdb"] == "static"
        for name in ("lookup_ms", "connect_ms", "rcpt_ms", "data_ms"):
            assert line[name] >= 0
    assert (one["result"], one["code"], one["enhanced"]) == \
        ("sent", 250, "2.0.0")
    assert (one["message"], two["message"]) == ("sent", "not sent")
    assert one["size"] == len(backend.messages[0].body)
    assert one["said"].startswith("250 2.0.0 ")
    assert "said" not in two and "said" not in three
    assert (two["result"], two["code"], two["enhanced"], two["reply"]) == \
        ("refused", 550, "5.1.1", "no\nway")
    assert two["size"] == 0
    assert (three["result"], three["code"], three["reply"]) == \
        ("deferred", 452, "full")
    assert "error" not in three
    assert trans["result"] == "partial"
    assert [trans[name] for name in ("recipients", "sent", "deferred",
                                     "refused", "unfinished")] == \
        [3, 1, 1, 1, 0]
    assert trans["size"] == one["size"]
    assert (trans["client"], trans["helo"]) == (address[0], "client.example")
    assert 0 <= trans["data_ms"] <= trans["duration_ms"]


def transaction_of(log, talk):
    with log.proxy.session() as client:
        talk(client)
        return log.events("transaction")[0]


def test_a_transaction_that_is_sent(backend, json_log):
    trans = transaction_of(json_log(static_passdb(backend)), lambda client:
                           client.deliver(["a@example.org", "b@example.org"]))
    assert (trans["result"], trans["recipients"], trans["sent"]) == \
        ("sent", 2, 2)


def test_a_recipient_by_another_name(backend, json_log):
    log = json_log(static_passdb(backend, "destuser=store@example.com"))
    with log.proxy.session() as client:
        client.deliver("joe+x@example.org")
    line, = log.events("recipient")
    assert (line["to"], line["as"]) == \
        ("joe+x@example.org", "store+x@example.com")


def test_a_transaction_that_is_reset(backend, json_log):
    def talk(client):
        client.mail()
        client.rcpt("a@example.org")
        client.command("RSET")
    trans = transaction_of(json_log(static_passdb(backend)), talk)
    assert (trans["result"], trans["unfinished"]) == ("aborted", 1)
    assert (trans["sent"], trans["size"], trans["data_ms"]) == (0, 0, 0)


def test_a_transaction_without_recipients(backend, json_log):
    def talk(client):
        client.mail()
        client.command("RSET")
    trans = transaction_of(json_log(static_passdb(backend)), talk)
    assert (trans["result"], trans["recipients"], trans["duration_ms"]) == \
        ("none", 0, 0)


def test_ids_count_transactions(backend, json_log):
    log = json_log(static_passdb(backend))
    with log.proxy.session() as client:
        client.deliver("a@example.org")
        client.deliver(["a@example.org", "b@example.org"])
    lines = log.events("recipient", 3)
    session = lines[0]["session"]
    assert [line["transaction"] for line in lines] == \
        [session, session + ":T2", session + ":T2"]
    assert {line["session"] for line in lines} == {session}
    trans = log.events("transaction", 2)[1]
    assert trans["transaction"] == trans["context"] == session + ":T2"


def test_our_failure(backend, json_log):
    backend.stop()
    log = json_log(static_passdb(backend))
    with log.proxy.session() as client:
        client.mail()
        client.rcpt("a@example.org")
    line, = log.events("recipient")
    assert (line["level"], line["result"], line["code"]) == \
        ("error", "deferred", 451)
    assert "refused" in line["error"]
    # An error says all of it, for those who see nothing but the message.
    assert line["message"].startswith("not sent from=<sender@example.net> ")
    assert line["error"] in line["message"]


def test_sessions(backend, json_log):
    log = json_log(static_passdb(backend))
    with log.proxy.session() as client:
        address = client.sock.getsockname()
        client.deliver("a@example.org")
        client.quit()
    connect, = log.events("connect")
    disconnect, = log.events("disconnect")
    for line in (connect, disconnect):
        assert line["session"] == line["context"]
        assert (line["client"], line["client_port"]) == address
        assert (line["server"], line["server_port"]) == log.proxy.address
    assert connect["proxied"] is False
    assert disconnect["reason"] == "Logged out"
    assert (disconnect["tls"], disconnect["transactions"]) == (False, 1)


def test_untrusted_bytes(backend, json_log):
    backend.on("rcpt", b'550 5.1.1 a"b\\c \xff\xc3\xa4 {"x":1}\r\n')
    log = json_log(static_passdb(backend) + "mail_debug = yes\n"
                   "auth_debug = yes\nauth_username_chars =\n")
    with log.proxy.session() as client:
        client.send(b'LHLO a\\b"\xe9\r\n')
        client.reply()
        client.mail('"a\\"b,\\\\"@example.net')
        client.rcpt('"joe\\" <"@example.org')
    line, = log.events("recipient")
    assert line["reply"] == 'a"b\\c \ufffd\u00e4 {"x":1}'
    assert line["from"] == '"a\\"b,\\\\"@example.net'
    assert line["to"] == '"joe\\" <"@example.org'
    log.events("disconnect")


def test_the_page_has_every_field(backend, json_log):
    page = (TOP / "man" / "waypost-log.5").read_text()
    known = {}
    section = None
    for line in page.splitlines():
        if line.startswith(".Ss event: "):
            section = line.split()[-1]
        elif line.startswith(".It Li "):
            known.setdefault(section, set()).update(
                re.findall(r"\w+", line[len(".It Li "):]))
    log = json_log(static_passdb(backend, "destuser=x@example.org") +
                   "log_error_burst = 1\n")
    with log.proxy.session() as client:
        client.deliver("a@example.org")
        backend.stop()
        client.mail()
        for name in "bcd":
            client.rcpt(f"{name}@example.org")
    log.events("recipient", 4)
    log.events("disconnect")
    log.proxy.stop()
    lines = log.lines()
    assert {"connect", "disconnect", "recipient", "transaction", "burst"} <= \
        {line.get("event") for line in lines}
    for line in lines:
        event = line.get("event")
        assert set(line) <= known[None] | known.get(event, set()), line
    for event in ("recipient", "transaction", "connect", "disconnect"):
        seen = set().union(*(line for line in lines
                             if line.get("event") == event))
        assert known[event] <= seen, event


def test_both_processes(backend, json_log):
    log = json_log(static_passdb(backend))
    log.proxy.signal(signal.SIGUSR1)
    wait_until(lambda: [line for line in log.lines()
                        if "reopened" in line["message"]], "logs reopened")
    assert {line["process"] for line in log.lines()} >= {"master"}
    pids = {line["pid"] for line in log.lines()
            if line["process"] == "master"}
    assert pids == {log.proxy.process.pid}


def test_the_format_changes_with_a_reload(backend, instance):
    proxy = instance()
    path = proxy.dir / "run" / "log"
    proxy.start(static_passdb(backend) + f"log_path = {path}\n")
    with proxy.session() as client:
        client.deliver("a@example.org")
        proxy.write_config(static_passdb(backend) + f"log_path = {path}\n"
                           "log_format = json\n")
        proxy.signal(signal.SIGHUP)

        def arrives():
            client.deliver("b@example.org")
            return '"to":"b@example.org"' in path.read_text()
        wait_until(arrives, "JSON for the session that goes on")


def test_text_has_no_line_for_a_transaction(backend, waypost):
    proxy = waypost(static_passdb(backend))
    with proxy.session() as client:
        client.deliver("joe@example.org")
        client.quit()
    proxy.wait_log("Disconnect from")
    proxy.stop()
    assert len([line for line in proxy.lines if "Info: " in line and
                "lmtp(" in line]) == 3, proxy.log


def test_priorities_for_the_journal(backend, waypost):
    backend.on("rcpt", lambda conn, rcpt: conn.sock.close())
    proxy = waypost(static_passdb(backend) + "mail_debug = yes\n"
                    "auth_debug = yes\nlog_stderr_priorities = yes\n")
    with proxy.session() as client:
        client.mail()
        client.rcpt("joe@example.org")
    proxy.wait_log(r"^<6>lmtp\(\d+\): \S+: Connect from ")
    proxy.wait_log(r"^<7>lmtp\(\d+\): Debug: ")
    proxy.wait_log(r"^<3>lmtp\(\d+\): Error: \S+: not sent ")
    proxy.wait_log(r"^<6>master: worker process \d+ is ready")
