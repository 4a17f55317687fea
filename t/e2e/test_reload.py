"""HUP: everything is read again, and no transaction fails for it."""

import threading

import pytest

from backend import after
from lmtp import Client
from waiting import wait_for
from waypost import free_port, passwd_file, static, user_line

BODY = "Subject: x\r\n\r\n"
RELOADED = "configuration reloaded"
KEPT = "going on with the old configuration"


def service(text):
    return "service lmtp {\n" + text + "}\n"


def reload(proxy, config, result=RELOADED):
    proxy.write_config(config)
    proxy.wait_log(result, proxy.reload())


def test_passdb(waypost, backend, client):
    one, two = backend(), backend()
    proxy = waypost(static(one))
    old = client(proxy)
    old.lhlo()
    assert old.deliver("joe@example.org")[0].code == 250
    reload(proxy, static(two))
    new = client(proxy)
    new.lhlo()
    assert new.deliver("joe@example.org")[0].code == 250
    assert (len(one.messages), len(two.messages)) == (1, 1)
    # A session goes on with the settings that it started with.
    assert old.deliver("joe@example.org")[0].code == 250
    assert (len(one.messages), len(two.messages)) == (2, 1)


def test_another_driver(tmp, waypost, backend, client):
    server = backend()
    (tmp / "users").write_text(user_line("joe@example.org", server))
    proxy = waypost(static(server))
    reload(proxy, passwd_file(tmp / "users"))
    connection = client(proxy)
    connection.lhlo()
    connection.mail()
    assert connection.rcpt("joe@example.org").code == 250
    assert connection.rcpt("jim@example.org").code == 550


def test_passwd_file_is_read_at_once(tmp, waypost, backend, client):
    server = backend()
    (tmp / "users").write_text(user_line("joe@example.org", server))
    proxy = waypost(passwd_file(tmp / "users"))
    (tmp / "users").write_text(user_line("jim@example.org", server))
    reload(proxy, passwd_file(tmp / "users"))
    connection = client(proxy)
    connection.lhlo()
    connection.mail()
    assert connection.rcpt("jim@example.org").code == 250
    assert connection.rcpt("joe@example.org").code == 550


def test_settings_of_sessions(waypost, backend, client):
    server = backend()
    proxy = waypost(static(server) + "login_greeting = one\n")
    assert client(proxy).greeting.text == "proxy.test one"
    reload(proxy, static(server) + "login_greeting = two\n")
    assert client(proxy).greeting.text == "proxy.test two"


def test_listener_added_and_removed(waypost, backend, client):
    server = backend()
    port = free_port()
    extra = service(f"inet_listener two {{\n address = 127.0.0.1\n"
                    f" port = {port}\n }}\nunix_listener more {{\n"
                    " mode = 0666\n }\n")
    proxy = waypost(static(server))
    kept = client(proxy)
    reload(proxy, static(server) + extra)
    through_new = client(("127.0.0.1", port))
    through_new.lhlo()
    assert client(str(proxy.dir / "run/more")).greeting.code == 220
    assert client(proxy).greeting.code == 220

    reload(proxy, static(server))

    def refused():
        try:
            Client(("127.0.0.1", port)).close()
            return False
        except (ConnectionRefusedError, ConnectionResetError):
            return True

    wait_for(refused, "the listener to go away")
    assert not (proxy.dir / "run/more").exists()
    # Sessions that came in there stay.
    assert through_new.deliver("joe@example.org")[0].code == 250
    kept.ok("NOOP")


@pytest.mark.parametrize("stage", ["mail", "rcpt", "data", "final"])
def test_transaction_under_way(waypost, backend, client, stage):
    event = threading.Event()
    server = backend(dot=after(event, "250 2.0.0 ok"))
    other = backend()
    proxy = waypost(static(server))
    connection = client(proxy)
    connection.lhlo()
    steps = [("mail", "MAIL FROM:<>\r\n"),
             ("rcpt", "RCPT TO:<joe@example.org>\r\n"),
             ("data", "DATA\r\n"), ("final", BODY + ".\r\n")]
    for name, text in steps:
        connection.send(text)
        if name != "final":
            assert connection.reply().code in (250, 354)
        if name == stage:
            reload(proxy, static(other))
    event.set()
    assert connection.reply().code == 250
    assert len(server.messages) == 1 and other.messages == []


@pytest.mark.parametrize("broken, complaint", [
    ("no_such_setting = 5\n", r"no_such_setting"),
    ("lmtp_max_recipients = many\n", "lmtp_max_recipients"),
    ("service lmtp {\n", "conf"),
    ("passdb {\n driver = ldap\n args = x\n}\n", "ldap"),
    ("log_path = /nowhere/at/all\n", "/nowhere"),
])
def test_broken_configuration(waypost, backend, client, broken, complaint):
    server = backend()
    proxy = waypost(static(server) + "login_greeting = old\n")
    connection = client(proxy)
    connection.start("joe@example.org")
    since = proxy.mark()
    reload(proxy, static(server) + "login_greeting = new\n" + broken, KEPT)
    proxy.wait_log("Error: .*" + complaint, since)
    assert client(proxy).greeting.text == "proxy.test old"
    assert connection.body(BODY)[0].code == 250
    reload(proxy, static(server) + "login_greeting = newer\n")
    assert client(proxy).greeting.text == "proxy.test newer"


def test_listener_that_cannot_be_opened(waypost, backend, client):
    server = backend()
    proxy = waypost(static(server) + "login_greeting = old\n")
    reload(proxy, static(server) + "login_greeting = new\n" + service(
        f"inet_listener two {{\n address = 127.0.0.1\n port = {server.port}\n"
        "}\n"), KEPT)
    assert client(proxy).greeting.text == "proxy.test old"


def test_configuration_that_vanished(waypost, backend, client):
    proxy = waypost(static(backend()))
    proxy.path.unlink()
    proxy.wait_log(KEPT, proxy.reload())
    assert client(proxy).greeting.code == 220


def test_many_reloads_lose_nothing(waypost, backend, client):
    server = backend()
    proxy = waypost(static(server))
    stop = threading.Event()
    sent, problems = [], []

    def load():
        try:
            while not stop.is_set():
                connection = client(proxy)
                connection.lhlo()
                for _ in range(5):
                    replies = connection.deliver("joe@example.org")
                    assert replies[0].code == 250, replies
                    sent.append(1)
                connection.quit()
        except Exception as error:  # whatever it is, the test shows it
            problems.append(repr(error))

    threads = [threading.Thread(target=load) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(10):
        reload(proxy, static(server) + f"login_greeting = {number}\n")
    stop.set()
    for thread in threads:
        thread.join()
    assert problems == []
    assert len(server.messages) == len(sent) > 0


def test_same_worker_process(waypost, backend):
    server = backend()
    proxy = waypost(static(server))
    pid = proxy.worker_pid()
    reload(proxy, static(server))
    assert proxy.worker_pid() == pid


def test_debugging_on_and_off(waypost, backend, client):
    server = backend()
    proxy = waypost(static(server))
    client(proxy).lhlo()
    assert proxy.count_log("Debug: ") == 0
    reload(proxy, static(server) + "mail_debug = yes\n")
    client(proxy).lhlo()
    proxy.wait_log("Debug: ")
