"""Postfix in front: it delivers through waypost, and draws the right
conclusions from each reply."""
import re
import signal
import smtplib

import pytest

from scripted_backend import close, hold
from waiting import TIMEOUT
from waypost import file_passdb, static_passdb

pytestmark = [pytest.mark.needs("postfix"), pytest.mark.needs_root]


def inject(mta, rcpts, text="Subject: hi\r\n\r\nhello\r\n",
           sender="sender@example.net", **options):
    with smtplib.SMTP(*mta.address, timeout=TIMEOUT) as smtp:
        smtp.sendmail(sender, rcpts, text, **options)


def through(proxy):
    return f"virtual_transport = lmtp:inet:{proxy.address[0]}:{proxy.port}\n"


def status(mta, rcpt):
    return mta.wait_log(rf"to=<{re.escape(rcpt)}>.*status=(\w+) \((.*)\)")[-1]


def test_from_postfix_to_dovecot(dovecot, waypost, postfix):
    users = ["joe@example.org", "ann@example.org"]
    server = dovecot(users=users)
    proxy = waypost(static_passdb(server))
    mta = postfix(through(proxy))
    inject(mta, users + ["nobody@example.org"])
    for user in users:
        assert len(server.wait_mails(1, user)) == 1
        assert status(mta, user)[0] == "sent"
    assert status(mta, "nobody@example.org")[0] == "bounced"


def test_over_a_unix_socket(backend, waypost, postfix):
    proxy = waypost(static_passdb(backend))
    mta = postfix(f"virtual_transport = lmtp:unix:{proxy.socket}\n")
    inject(mta, ["joe@example.org"])
    backend.wait_messages(1)
    assert status(mta, "joe@example.org")[0] == "sent"


@pytest.mark.parametrize("stage", ["rcpt", "dot"])
def test_each_recipients_fate(backend, waypost, postfix, stage):
    outcomes = {"good@example.org": "250 2.0.0 ok",
                "full@example.org": "452 4.2.2 over quota",
                "gone@example.org": "550 5.1.1 no such user"}
    backend.on(stage, lambda conn, rcpt: outcomes[rcpt])
    proxy = waypost(static_passdb(backend))
    mta = postfix(through(proxy))
    inject(mta, list(outcomes))
    assert status(mta, "good@example.org")[0] == "sent"
    assert status(mta, "full@example.org")[0] == "deferred"
    assert "over quota" in status(mta, "full@example.org")[1]
    assert status(mta, "gone@example.org")[0] == "bounced"


def test_dead_backend_defers(backends, instance, postfix):
    dead, alive = backends(), backends()
    dead.stop()
    proxy = instance()
    proxy.start(file_passdb(proxy, dead=dead, alive=alive))
    mta = postfix(through(proxy))
    inject(mta, ["dead@example.org", "alive@example.org"])
    assert status(mta, "dead@example.org")[0] == "deferred"
    assert status(mta, "alive@example.org")[0] == "sent"
    assert len(alive.messages) == 1


def test_lost_after_the_dot_defers(backend, waypost, postfix):
    backend.on("dot", close)
    proxy = waypost(static_passdb(backend))
    mta = postfix(through(proxy))
    inject(mta, ["joe@example.org"])
    assert status(mta, "joe@example.org")[0] == "deferred"


def test_waypost_stopped_while_postfix_waits(backend, waypost, postfix):
    """TERM lets the message finish; Postfix sees a delivery."""
    backend.on("dot", hold)
    proxy = waypost(static_passdb(backend))
    mta = postfix(through(proxy))
    inject(mta, ["joe@example.org"])
    backend.wait_held()
    proxy.signal(signal.SIGTERM)
    proxy.wait_log("stopping")
    backend.release()
    assert status(mta, "joe@example.org")[0] == "sent"
    assert proxy.wait_exit() == 0


def test_many_messages(backend, waypost, postfix):
    """Postfix keeps its connections to us, and we ours to the backend."""
    proxy = waypost(static_passdb(backend))
    mta = postfix(through(proxy))
    with smtplib.SMTP(*mta.address, timeout=TIMEOUT) as smtp:
        for number in range(50):
            smtp.sendmail("sender@example.net",
                          [f"u{number}@example.org", "all@example.org"],
                          f"Subject: {number}\r\n\r\n.\r\n..\r\n")
    messages = backend.wait_messages(50)
    subjects = sorted(int(re.search(rb"Subject: (\d+)", m.body).group(1))
                      for m in messages)
    assert subjects == list(range(50))
    assert all(m.body.endswith(b"\r\n\r\n.\r\n..\r\n") for m in messages)


def test_smtputf8_and_8bitmime(backends, waypost, postfix):
    backend = backends(capabilities=["PIPELINING", "8BITMIME", "SMTPUTF8",
                                     "ENHANCEDSTATUSCODES"])
    proxy = waypost(static_passdb(backend) + "auth_username_chars =\n")
    mta = postfix(through(proxy))
    with smtplib.SMTP(*mta.address, timeout=TIMEOUT) as smtp:
        smtp.ehlo()
        smtp.mail("s\u00e9nder@example.net", ["SMTPUTF8", "BODY=8BITMIME"])
        smtp.rcpt("j\u00f6e@example.org")
        smtp.data("Subject: gr\u00fc\u00dfe\r\n\r\nx\r\n".encode())
    message, = backend.wait_messages(1)
    assert message.sender == "s\u00e9nder@example.net"
    assert message.rcpts == ["j\u00f6e@example.org"]
    assert "gr\u00fc\u00dfe".encode() in message.body


def test_deferred_mail_arrives_once_the_backend_is_back(backend, backends,
                                                        waypost, postfix):
    proxy = waypost(static_passdb(backend))
    backend.stop()
    mta = postfix(through(proxy))
    inject(mta, ["joe@example.org"])
    assert status(mta, "joe@example.org")[0] == "deferred"
    again = backends(host=backend.host, port=backend.port)
    mta.flush()
    assert again.wait_messages(1)[0].rcpts == ["joe@example.org"]
    mta.wait_log(r"to=<joe@example\.org>.*status=sent")
    assert len(again.messages) == 1


def test_postfix_as_an_smtp_backend(backend, waypost, postfix):
    """Behind us it takes mail over SMTP, and passes it on over LMTP."""
    behind = postfix(f"virtual_transport = lmtp:inet:{backend.host}:"
                     f"{backend.port}\nsmtpd_relay_restrictions = "
                     "reject_unauth_destination\n")
    proxy = waypost("passdb {\n driver = static\n args = nopassword=y "
                    f"proxy=y host={behind.address[0]} "
                    f"port={behind.address[1]} protocol=smtp\n}}\n")
    with proxy.session() as client:
        replies = client.deliver(["joe@example.org", "ann@example.org"],
                                 "Subject: x\r\n\r\n.dot\r\n")
        assert [r.code for r in replies] == [250, 250]
        client.mail()
        assert client.rcpt("joe@elsewhere.example").code // 100 == 5
    backend.wait_messages(1)
    assert status(behind, "joe@example.org")[0] == "sent"
    assert status(behind, "ann@example.org")[0] == "sent"
    assert all(message.body.endswith(b"\r\n.dot\r\n")
               for message in backend.messages)
