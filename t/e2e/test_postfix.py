"""A real Postfix in front, and behind."""

from waiting import wait_for
from waypost import passwd_file, static, user_line

MESSAGE = ("From: a@example.net\r\nTo: joe@example.org\r\n"
           "Subject: From Postfix\r\n\r\nHello.\r\n.dot\r\n")


def test_postfix_to_dovecot(tmp, waypost, dovecot, postfix):
    one = dovecot(["joe@example.org"])
    two = dovecot(["jim@example.org"])
    (tmp / "users").write_text(user_line("joe@example.org", one) +
                               user_line("jim@example.org", two))
    proxy = waypost(passwd_file(tmp / "users"))
    front = postfix(proxy.port)
    front.send("a@example.net", ["joe@example.org", "jim@example.org"],
               MESSAGE)
    front.sendmail("a@example.net", ["joe@example.org"],
                   MESSAGE.replace("\r\n", "\n").encode())
    front.wait_empty()
    log = front.log()
    assert log.count("status=sent") == 3, log
    assert len(one.mails("joe@example.org")) == 2
    assert two.mail("jim@example.org").get_payload().replace("\r\n", "\n") \
        == "Hello.\n.dot\n"


def test_unknown_user_bounces_and_the_others_do_not(tmp, waypost, backend,
                                                    postfix):
    server = backend()
    (tmp / "users").write_text(user_line("joe@example.org", server))
    front = postfix(waypost(passwd_file(tmp / "users")).port)
    front.send("a@example.net", ["joe@example.org", "no@example.org"],
               MESSAGE)
    front.wait_empty()
    log = front.log()
    assert "dsn=5.1.1, status=bounced" in log
    assert "User doesn't exist: no@example.org" in log
    assert server.wait_message().recipients == ["joe@example.org"]


def test_dead_backend_defers(waypost, backend, postfix):
    server = backend()
    proxy = waypost(static(server))
    server.stop()
    front = postfix(proxy.port)
    front.send("a@example.net", ["joe@example.org"], MESSAGE)
    wait_for(lambda: "status=deferred" in front.log(), "the deferral", 20)
    assert "dsn=4.4.0" in front.log()
    assert "joe@example.org" in front.queue()
    again = backend(port=server.port)
    front.command("flush")
    again.wait_message()
    front.wait_empty()
    assert len(again.messages) == 1


def test_utf8_and_8bit(waypost, backend, postfix):
    server = backend(caps=("PIPELINING", "8BITMIME", "SMTPUTF8"))
    front = postfix(waypost(static(server) +
                            "auth_username_chars =\n").port)
    front.send("k\u00e4the@example.net", ["j\u00fc@example.org"],
               "Subject: \u20ac\r\n\r\n\u00e4\u00f6\u00fc\r\n".encode(),
               mail_options=["SMTPUTF8", "BODY=8BITMIME"])
    message = server.wait_message()
    assert message.recipients == ["j\u00fc@example.org"]
    assert "\u00e4\u00f6\u00fc".encode() in message.body
    front.wait_empty()


def test_many_messages_reuse_connections(waypost, backend, postfix):
    server = backend()
    front = postfix(waypost(static(server)).port)
    for number in range(30):
        front.send("a@example.net",
                   [f"u{number}-{rcpt}@example.org" for rcpt in range(3)],
                   MESSAGE)
    front.wait_empty(60)
    assert sum(len(message.recipients) for message in server.messages) == 90
    assert len(server.connections) < 30


def test_postfix_as_smtp_backend(waypost, backend, postfix, client):
    # Behind: waypost speaks SMTP to it, it passes on over LMTP.
    server = backend()
    behind = postfix(server.port)
    proxy = waypost(static(behind.smtp_port, "protocol=smtp"))
    connection = client(proxy)
    connection.lhlo()
    replies = connection.deliver("joe@example.org", "jim@example.org",
                                 body=MESSAGE.replace("\r\n.dot",
                                                      "\r\n..dot"))
    assert [reply.code for reply in replies] == [250, 250]
    connection.mail()
    assert connection.rcpt("joe@elsewhere.test").code // 100 == 5
    connection.quit()
    server.wait_message()
    behind.wait_empty()
    assert sorted(rcpt for message in server.messages
                  for rcpt in message.recipients) == \
        ["jim@example.org", "joe@example.org"]
    assert server.messages[0].body.endswith(b"Hello.\r\n.dot\r\n")
