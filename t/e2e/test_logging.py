"""The log: one line for each recipient, where the settings say."""

import re

import pytest

from waiting import wait_for
from waypost import free_port, static

LINE = re.compile(
    r"(?P<stamp>.*?)(?P<process>lmtp\(\d+\): )?(?P<level>\w+): "
    r"(?P<id>[A-Za-z0-9+/]{22}\S*?): (?P<what>sent|not sent) "
    r"from=<(?P<sender>.*?)> to=<(?P<rcpt>.*?)>"
    r"(?: as=<(?P<final>.*?)>)?(?: at=(?P<at>\S+))? size=(?P<size>\d+) "
    r"lookup=(?P<lookup>\d+) connect=(?P<connect>\d+) rcpt=(?P<rcpt_ms>\d+) "
    r"data=(?P<data>\d+) reply=\"(?P<reply>.*)\"")


@pytest.fixture
def session(waypost, backend, client):
    def start(config="", fields="", **stages):
        server = backend(**stages)
        proxy = waypost(static(server, fields) + config)
        connection = client(proxy)
        connection.lhlo()
        connection.server, connection.proxy = server, proxy
        return connection

    return start


def outcome(proxy, rcpt):
    line = proxy.wait_log(rf"to=<{re.escape(rcpt)}>.* reply=").string
    match = LINE.fullmatch(line)
    assert match, line
    return match


def test_line_of_a_recipient(session):
    connection = session("lmtp_add_received_header = no\n")
    reply = connection.deliver("joe@example.org",
                               body="Subject: x\r\n\r\n")[0]
    match = outcome(connection.proxy, "joe@example.org")
    assert match["level"] == "Info"
    assert match["what"] == "sent"
    assert match["sender"] == "sender@example.net"
    assert match["at"] == f"127.0.0.1:{connection.server.port}"
    assert match["size"] == "14"
    assert match["id"] in reply.text
    assert re.fullmatch(r"250 2\.0\.0 \S+ Saved", match["reply"])
    for phase in ("lookup", "connect", "rcpt_ms", "data"):
        assert int(match[phase]) < 10000


def test_final_address(session):
    connection = session(fields="destuser=jim@inside.test")
    connection.deliver("joe@example.org")
    assert outcome(connection.proxy, "joe@example.org")["final"] == \
        "jim@inside.test"


def test_line_for_each_outcome(session):
    def rcpt(conn):
        return "550 5.1.1 no" if "b@" in conn.rcpt else "250 2.1.5 ok"

    def dot(conn):
        return "452 4.2.2 full" if "c@" in conn.rcpt else "250 2.0.0 ok"

    connection = session(rcpt=rcpt, dot=dot)
    connection.mail()
    for user in "abc":
        connection.rcpt(f"{user}@example.org")
    connection.body("Subject: x\r\n\r\n", 2)
    first = outcome(connection.proxy, "a@example.org")
    refused = outcome(connection.proxy, "b@example.org")
    full = outcome(connection.proxy, "c@example.org")
    assert (first["what"], refused["what"], full["what"]) == \
        ("sent", "not sent", "not sent")
    assert refused["reply"] == "550 5.1.1 no"
    assert full["reply"] == "452 4.2.2 full"
    # Refusals of others are information, not errors of ours.
    assert {first["level"], refused["level"], full["level"]} == {"Info"}
    assert refused["id"] == first["id"] + ":R2"
    assert connection.proxy.count_log(r"reply=") == 3


def test_own_trouble_is_an_error(waypost, client):
    proxy = waypost(static(free_port()))
    connection = client(proxy)
    connection.lhlo()
    connection.mail()
    connection.rcpt("joe@example.org")
    match = outcome(proxy, "joe@example.org")
    assert match["level"] == "Error"
    assert match["reply"].startswith("451 4.4.0 Proxy failed (connect")


def test_connect_and_disconnect(session):
    connection = session()
    connection.quit()
    proxy = connection.proxy
    opened = proxy.wait_log(r"Info: (\S+): Connect from 127\.0\.0\.1$")
    closed = proxy.wait_log(r"Info: (\S+): Disconnect from 127\.0\.0\.1: "
                            "Logged out")
    assert opened.group(1) == closed.group(1)


def test_multi_line_reply_is_one_line(session):
    connection = session(rcpt="550-5.7.1 one\r\n550 5.7.1 two")
    connection.mail()
    connection.rcpt("joe@example.org")
    assert outcome(connection.proxy, "joe@example.org")["reply"] == \
        "550 5.7.1 one / two"


def test_escaping(session):
    # Nobody writes lines of his own into the log.
    connection = session("mail_debug = yes\n",
                         rcpt=b"550 5.7.1 \xe2\x82\xac \x1b[31m \\ \x07\r\n")
    connection.ok("LHLO evil\x7f\\")
    connection.mail("a\u00e4@example.net", " SMTPUTF8")
    connection.rcpt("joe@example.org")
    connection.send(b"NOOP \x1b]0;title\x07\r\n")
    connection.reply()
    connection.quit()
    connection.proxy.wait_log("Disconnect")
    text = connection.proxy.log()
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text)


def test_quotes_of_addresses_do_not_forge_items(session):
    connection = session("auth_username_chars =\n")
    connection.mail('"x> to=<victim@example.org"@example.net')
    connection.rcpt("joe@example.org")
    connection.body("Subject: x\r\n\r\n")
    line = connection.proxy.wait_log("sent from=").string
    assert "to=<joe@example.org>" in line


def test_files(session, tmp):
    connection = session(
        f"log_path = {tmp}/error.log\ninfo_log_path = {tmp}/info.log\n"
        f"debug_log_path = {tmp}/debug.log\nmail_debug = yes\n",
        fields="port=99999")
    connection.mail()
    assert connection.rcpt("joe@example.org").code == 451
    connection.quit()
    info = tmp / "info.log"
    wait_for(lambda: "Disconnect" in info.read_text(), "the last line")
    assert "port=99999" in (tmp / "error.log").read_text()
    assert "port=99999" not in info.read_text()
    assert "Connect from" not in (tmp / "error.log").read_text()
    assert "Debug: " in (tmp / "debug.log").read_text()
    assert "Debug: " not in info.read_text()
    # Nothing but "ready" on stderr.
    lines = [line for line in connection.proxy.log().split("\n")
             if "Connect" in line or "Debug" in line]
    assert lines == []


def test_info_path_for_lmtp(session, tmp):
    connection = session(f"log_path = {tmp}/all.log\nprotocol lmtp {{\n"
                         f"  info_log_path = {tmp}/lmtp.log\n}}\n")
    connection.deliver("joe@example.org")
    log = tmp / "lmtp.log"
    wait_for(lambda: log.exists() and "sent from=" in log.read_text(),
             "the line")


def test_log_file_is_appended_to(session, tmp):
    (tmp / "log").write_text("an old line\n")
    session(f"log_path = {tmp}/log\n")
    wait_for(lambda: "Connect from" in (tmp / "log").read_text(), "a line")
    assert (tmp / "log").read_text().startswith("an old line\n")


@pytest.mark.parametrize("setting, pattern", [
    ('"%Y-%m-%dT%H:%M:%S "', r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d \S"),
    ('"%b %d %H:%M:%S "', r"\w{3} [ \d]\d \d\d:\d\d:\d\d \S"),
    ('"%H:%M:%S.%{usecs} "', r"\d\d:\d\d:\d\d\.\d{6} \S"),
])
def test_timestamp(session, setting, pattern):
    connection = session(f"log_timestamp = {setting}\n")
    line = connection.proxy.wait_log("Connect from").string
    assert re.match(pattern, line), line


def test_debug_off(session):
    connection = session()
    connection.deliver("joe@example.org")
    outcome(connection.proxy, "joe@example.org")
    assert connection.proxy.count_log("Debug: ") == 0


def test_auth_debug(session):
    connection = session("auth_debug = yes\n")
    connection.deliver("joe@example.org")
    connection.proxy.wait_log(r"Debug: .*joe@example\.org")


def test_mail_debug(session):
    connection = session("mail_debug = yes\n")
    connection.deliver("joe@example.org")
    connection.proxy.wait_log(r"Debug: .*RCPT TO:<joe@example\.org>")


def test_long_addresses_do_not_break_lines(session):
    connection = session()
    name = "x" * 200
    connection.deliver(f"{name}@example.org", sender="y" * 64 + "@example.net")
    outcome(connection.proxy, f"{name}@example.org")


def test_lines_of_threads_do_not_mix(waypost, backend, client):
    proxy = waypost(static(backend()) +
                    "service lmtp {\n process_min_avail = 4\n}\n")
    clients = [client(proxy) for _ in range(8)]
    for connection in clients:
        connection.send("LHLO x\r\n" + ("MAIL FROM:<>\r\n" + "".join(
            f"RCPT TO:<u{number}@example.org>\r\n" for number in range(10)) +
            "DATA\r\nSubject: x\r\n\r\n.\r\n") * 10)
    for connection in clients:
        connection.replies(1 + 10 * (1 + 10 + 1 + 10))
    wait_for(lambda: proxy.count_log(r"sent from=") == 800, "all lines")
    lines = [line for line in proxy.log().split("\n") if "sent" in line]
    assert all(LINE.fullmatch(line) for line in lines)
