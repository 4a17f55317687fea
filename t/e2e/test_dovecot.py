"""Dovecot as the backend: deliver through waypost, read the mail back."""
import base64
import email
import re

import pytest

from lmtp_client import Client
from waypost import file_passdb, static_passdb

pytestmark = pytest.mark.needs("dovecot")


def test_mail_arrives(dovecot, waypost):
    server = dovecot()
    proxy = waypost(static_passdb(server))
    with proxy.session() as client:
        reply, = client.deliver("joe@example.org",
                                "Subject: hello\r\n\r\n.dot\r\n..\r\nend\r\n")
        assert reply == 250
    mail, = server.wait_mails(1)
    message = email.message_from_bytes(mail)
    assert message["Subject"] == "hello"
    assert message.get_payload() == ".dot\n..\nend\n"
    assert message["Return-Path"] == "<sender@example.net>"
    assert message["Delivered-To"] == "joe@example.org"
    received = message.get_all("Received")
    assert len(received) == 2
    assert "by proxy.example with LMTP" in received[1]


def test_read_back_through_doveadm(dovecot, waypost):
    server = dovecot()
    proxy = waypost(static_passdb(server))
    with proxy.session() as client:
        client.deliver("joe@example.org", "Subject: find me\r\n\r\nbody\r\n")
    server.wait_mails(1)
    text = server.doveadm("fetch", "-u", "joe@example.org",
                          "hdr.subject body", "all")
    assert b"find me" in text and b"body" in text


def test_unknown_user_is_what_dovecot_says(dovecot, waypost):
    server = dovecot()
    proxy = waypost(static_passdb(server))
    with proxy.session() as client:
        client.mail()
        assert client.rcpt("nobody@example.org").raw == [
            "550 5.1.1 <nobody@example.org> User doesn't exist: "
            "nobody@example.org"]
        assert client.rcpt("joe@example.org") == 250
        assert client.data("x", 1)[0] == 250


def test_several_recipients(dovecot, waypost):
    users = [f"u{n}@example.org" for n in range(10)]
    server = dovecot(users=users)
    proxy = waypost(static_passdb(server))
    with proxy.session() as client:
        assert {r.code for r in client.deliver(users)} == {250}
    for user in users:
        assert len(server.wait_mails(1, user)) == 1


def test_two_servers(dovecot, instance):
    one = dovecot(users=["joe@example.org"])
    two = dovecot(users=["ann@example.org"])
    proxy = instance()
    proxy.start(file_passdb(proxy, joe=one, ann=two))
    with proxy.session() as client:
        replies = client.deliver(["joe@example.org", "ann@example.org"],
                                 "Subject: both\r\n\r\nx\r\n")
        assert [r.code for r in replies] == [250, 250]
    assert len(one.wait_mails(1, "joe@example.org")) == 1
    assert len(two.wait_mails(1, "ann@example.org")) == 1


def test_detail_becomes_a_folder(dovecot, waypost):
    server = dovecot()
    proxy = waypost(static_passdb(server))
    with proxy.session() as client:
        assert client.deliver("joe+lists@example.org")[0] == 250
    assert len(server.wait_mails(1, folder=".lists")) == 1


def test_destuser(dovecot, waypost):
    server = dovecot(users=["store-joe@example.com"])
    proxy = waypost(static_passdb(server, "destuser=store-%u".replace(
        "%u", "%n@example.com")))
    with proxy.session() as client:
        reply, = client.deliver("joe@example.org")
        assert reply.text.startswith("<joe@example.org> ")
    mail, = server.wait_mails(1, "store-joe@example.com")
    # Dovecot takes our ORCPT, which it does not announce.
    assert b"Delivered-To: store-joe@example.com" in mail


def test_large_mail(dovecot, waypost):
    server = dovecot()
    proxy = waypost(static_passdb(server))
    body = base64.encodebytes(bytes(range(256)) * 20000)
    with proxy.session() as client:
        reply, = client.deliver(
            "joe@example.org",
            b"Subject: large\r\n\r\n" + body.replace(b"\n", b"\r\n"))
        assert reply == 250
    mail, = server.wait_mails(1)
    assert mail.endswith(body)


def test_many_messages_over_few_connections(dovecot, instance):
    server = dovecot()
    proxy = instance()
    proxy.threads = 1
    proxy.start(static_passdb(server))
    for _ in range(5):
        with proxy.session() as client:
            for _ in range(10):
                assert client.deliver("joe@example.org")[0] == 250
    assert len(server.wait_mails(50)) == 50
    connects = len(re.findall("Connect from", server.log()))
    assert connects <= 4  # two of them were the test's own


def test_dovecot_restarts(dovecot, waypost):
    server = dovecot()
    proxy = waypost(static_passdb(server))
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250
        server.stop()
        client.mail()
        assert client.rcpt("joe@example.org") == "451 4.4.0 "
        client.command("RSET")
        server.start()
        assert client.deliver("joe@example.org")[0] == 250


def test_temporary_failure_of_dovecot(dovecot, waypost):
    """The mailbox cannot be written: Dovecot's word passes."""
    server = dovecot()
    proxy = waypost(static_passdb(server))
    home = server.dir / "home" / "joe@example.org"
    home.write_text("in the way")
    with proxy.session() as client:
        client.mail()
        reply = client.rcpt("joe@example.org")
        if reply == 250:
            reply, = client.data("x", 1)
        assert reply.code == 451


def test_dovecot_as_a_proxy_behind_us(dovecot, waypost):
    """Two hops: waypost, then a Dovecot proxy, then Dovecot."""
    last = dovecot()
    middle = dovecot(name="middle.example", extra=(
        "lmtp_proxy = yes\npassdb {\n driver = static\n args = nopassword=y "
        f"proxy=y host={last.host} port={last.port}\n}}\n"),
        users=[])
    proxy = waypost(static_passdb(middle))
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250
    mail, = last.wait_mails(1)
    assert len(email.message_from_bytes(mail).get_all("Received")) == 3


def test_same_as_dovecots_own_proxy(dovecot, waypost):
    """What a client sees of us and of Dovecot's proxy is the same."""
    last = dovecot()
    theirs = dovecot(name="proxy.example", extra=(
        "lmtp_proxy = yes\npassdb {\n driver = static\n args = nopassword=y "
        f"proxy=y host={last.host} port={last.port}\n}}\n"), users=[])
    proxy = waypost(static_passdb(last))

    def conversation(address):
        seen = []
        with Client(address) as client:
            client.lhlo()
            for line in ("NOOP", "FROB", "RCPT TO:<x@example.org>", "DATA",
                         "MAIL FROM:<s@example.net>",
                         "MAIL FROM:<s@example.net>", "DATA",
                         "RCPT TO:<nobody@example.org>",
                         "RCPT TO:<joe@example.org>", "VRFY x", "RSET",
                         "HELO x", "STARTTLS"):
                seen.append((line, client.command(line).raw))
            reply, = client.deliver("joe@example.org")
            seen.append((reply.code, reply.enhanced,
                         re.sub(r" \S+ Saved", " ID Saved", reply.text)))
            seen.append(client.quit().raw)
        return seen
    assert conversation(proxy.address) == conversation(theirs.address)


def test_dovecots_proxy_in_front_of_us(dovecot, backend, waypost):
    proxy = waypost(static_passdb(backend))
    front = dovecot(users=[], extra=(
        "lmtp_proxy = yes\npassdb {\n driver = static\n args = nopassword=y "
        f"proxy=y host={proxy.address[0]} port={proxy.port}\n}}\n"))
    with Client(front.address) as client:
        client.lhlo()
        replies = client.deliver(["joe@example.org", "ann@example.org"],
                                 "Subject: x\r\n\r\n.dot\r\n")
        assert [r.code for r in replies] == [250, 250]
    message, = backend.wait_messages(1)
    assert message.rcpts == ["joe@example.org", "ann@example.org"]
    assert message.body.endswith(b"Subject: x\r\n\r\n.dot\r\n")
