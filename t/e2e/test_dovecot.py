"""A real Dovecot as the backend."""

import re

from waypost import passwd_file, static, user_line

MESSAGE = ("From: a@example.net\r\nTo: joe@example.org\r\n"
           "Subject: From end to end\r\n\r\nHello.\r\n..dot\r\n")


def test_delivery(waypost, dovecot, client):
    server = dovecot(["joe@example.org", "jim@example.org"])
    connection = client(waypost(static(server)))
    connection.lhlo()
    replies = connection.deliver("joe@example.org", "jim@example.org",
                                 body=MESSAGE)
    assert [reply.code for reply in replies] == [250, 250]
    for user in ("joe@example.org", "jim@example.org"):
        mail = server.mail(user)
        assert mail["Subject"] == "From end to end"
        assert mail["Return-Path"] == "<sender@example.net>"
        assert mail.get_payload().replace("\r\n", "\n") == "Hello.\n.dot\n"
        received = mail.get_all("Received")
        assert len(received) == 2
        assert "by proxy.test with LMTP" in received[1]


def test_unknown_user(waypost, dovecot, client):
    server = dovecot(["joe@example.org"])
    connection = client(waypost(static(server)))
    connection.lhlo()
    connection.mail()
    assert str(connection.rcpt("nobody@example.org")) == \
        "550 5.1.1 <nobody@example.org> User doesn't exist: " \
        "nobody@example.org"
    assert connection.rcpt("joe@example.org").code == 250
    assert connection.body(MESSAGE)[0].code == 250
    assert len(server.mails("joe@example.org")) == 1


def test_two_servers(tmp, waypost, dovecot, client):
    one = dovecot(["joe@example.org"])
    two = dovecot(["jim@example.org"])
    (tmp / "users").write_text(user_line("joe@example.org", one) +
                               user_line("jim@example.org", two))
    connection = client(waypost(passwd_file(tmp / "users")))
    connection.lhlo()
    replies = connection.deliver("joe@example.org", "jim@example.org",
                                 "joe+detail@example.org", body=MESSAGE)
    assert [reply.code for reply in replies] == [250] * 3
    assert len(one.mails("joe@example.org")) >= 1
    assert len(two.mails("jim@example.org")) == 1
    assert two.mails("joe@example.org") == one.mails("jim@example.org") == []


def test_renamed_user(waypost, dovecot, client):
    server = dovecot(["joe@inside.test"])
    connection = client(waypost(static(server, "destuser=%n@inside.test")))
    connection.lhlo()
    assert connection.deliver("joe@example.org", body=MESSAGE)[0].code == 250
    assert server.mail("joe@inside.test")["Delivered-To"] == \
        "joe@inside.test"


def test_connection_is_reused(waypost, dovecot, client):
    server = dovecot(["joe@example.org"])
    connection = client(waypost(static(server)))
    connection.lhlo()
    for _ in range(20):
        assert connection.deliver("joe@example.org",
                                  body=MESSAGE)[0].code == 250
    assert len(server.mails("joe@example.org")) == 20
    assert len(re.findall("Connect from", server.log())) <= 3


def test_large_message(waypost, dovecot, client):
    server = dovecot(["joe@example.org"])
    connection = client(waypost(static(server)), timeout=60)
    connection.lhlo()
    text = "".join(f"{number:06d} " + "x" * 70 + "\r\n"
                   for number in range(65536))
    assert connection.deliver("joe@example.org",
                              body="Subject: x\r\n\r\n" + text)[0].code == 250
    raw = server.mails("joe@example.org")[0]
    assert raw.endswith(text.replace("\r\n", "\n").encode())


def test_stopped_and_started(waypost, dovecot, client):
    server = dovecot(["joe@example.org"])
    proxy = waypost(static(server))
    connection = client(proxy)
    connection.lhlo()
    assert connection.deliver("joe@example.org", body=MESSAGE)[0].code == 250
    server.restart()
    assert connection.deliver("joe@example.org", body=MESSAGE)[0].code == 250
    assert len(server.mails("joe@example.org")) == 2


def test_waypost_behind_dovecots_proxy(waypost, backend, dovecot, client):
    # Dovecot's own LMTP proxy in front of waypost.
    server = backend()
    proxy = waypost(static(server))
    front = dovecot([], extra="lmtp_proxy = yes\npassdb {\n  driver = static\n"
                    "  args = nopassword=y proxy=y host=127.0.0.1 "
                    f"port={proxy.port}\n}}\n")
    connection = client(("127.0.0.1", front.port))
    connection.lhlo()
    replies = connection.deliver("joe@example.org", "jim@example.org",
                                 body=MESSAGE)
    assert [reply.code for reply in replies] == [250, 250]
    assert server.messages[0].recipients == ["joe@example.org",
                                             "jim@example.org"]
    assert server.messages[0].body.endswith(
        MESSAGE.replace("..dot", ".dot").encode())
