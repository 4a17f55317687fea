"""deliver_log_format: the line for a mail that is saved here, as far as no Dovecot is
needed to tell what it should be (test_local_dovecot.py has one)."""
import json
import os
import re

import pytest

from control import Control
from maildir import in_order
from waypost import AS_ROOT, IS_ROOT

USER = "joe@example.org"
BODY = b"Message-ID: <1@x>\r\nSubject: hi\r\n\r\nhello\r\n"


@pytest.fixture
def site(instance):
    """start(settings): a waypost that saves mail into Maildirs. passdb: its users."""
    proxy = instance()
    home = proxy.dir / "home"
    home.mkdir()
    if IS_ROOT:
        home.chmod(0o777)

    ids = "uid=61001 gid=61001 " if AS_ROOT else ""

    def start(settings="", passdb=""):
        proxy.home = home
        proxy.write_file("passwd", passdb)
        return proxy.start(
            f"lmtp_proxy = {'yes' if passdb else 'no'}\n"
            "passdb {\n driver = passwd-file\n"
            f" args = {proxy.dir}/passwd\n}}\nmail_location = maildir:~/Maildir\n"
            "userdb {\n driver = static\n args = allow_all_users=yes "
            f"{ids}home={home}\n}}\n" + settings)
    return start


def send(proxy, *rcpts, body=BODY):
    with proxy.session() as client:
        return client.deliver(rcpts, body)


def test_the_default(site):
    proxy = site()
    assert send(proxy, USER) == [250]
    line = proxy.wait_log("msgid=")
    assert re.search(r"Info: \S+: msgid=<1@x>: saved mail to INBOX$", line)


def test_none(site):
    proxy = site("deliver_log_format =\n")
    assert send(proxy, USER) == [250]
    proxy.wait_log("sent from=")
    assert not [line for line in proxy.lines if "saved mail to" in line]


def test_one_for_each_mail(site):
    proxy = site("deliver_log_format = %u %n %d %{to_envelope} %$\n")
    assert send(proxy, USER, "ann@example.org", USER) == [250] * 3
    proxy.wait_log("sent from=", count=3)
    lines = [line for line in proxy.lines if "saved mail to" in line]
    assert len(lines) == 2
    assert re.search(r"joe@example\.org joe example\.org joe@example\.org "
                     r"saved mail to INBOX$", "\n".join(lines), re.M)


def test_one_that_is_not_saved(site):
    proxy = site("deliver_log_format = \"for %u: %$\"\n")
    box = proxy.home / "Maildir"
    box.write_text("no directory")
    assert send(proxy, USER) == [451]
    proxy.wait_log(rf"for {USER}: save failed to INBOX: cannot \S+ .*Maildir")


def test_one_whose_process_dies(site):
    """Another program holds the mailbox, until the time is over."""
    proxy = site("mail_location = mbox:~/mail:INBOX=~/inbox\n"
                 "lmtp_delivery_timeout = 2 s\nlog_format = json\n"
                 'deliver_log_format = "%m %s %f %e %u %w: %$"\n')
    (proxy.home / "inbox.lock").touch()
    (proxy.home / "inbox").touch()
    body = b"From: a@b\r\n" + BODY
    assert send(proxy, USER, body=body) == [451]
    line = json.loads(proxy.wait_log("save failed"))
    assert re.fullmatch(rf"<1@x> hi a@b sender@example\.net {USER} \d+: save failed to "
                        "INBOX: the delivery process ended without an answer",
                        line["message"])
    assert (line["event"], line["to"]) == ("delivery", USER)


def test_one_that_no_process_can_be_asked_for(site):
    """What the userdb says is longer than a request can be: it is said, and counted."""
    proxy = site(passdb="", settings="mail_location = maildir:/" + "x" * 1100 + "\n")
    assert send(proxy, USER) == [451]
    line = proxy.wait_log("save failed to INBOX: ")
    assert re.search(r"msgid=<1@x>: .*mail_location has 11\d\d bytes", line)
    text = Control(proxy).request("/metrics")[1]
    assert 'waypost_deliveries_total{result="failed"} 1' in text


def test_what_others_wrote_ends_no_line(site):
    proxy = site("deliver_log_format = \"s=<%s> %$\"\n")
    body = ("Subject: a\x01\x7f\x9b\\n \u202e\r\n\tb Error: \u00e4"
            .encode("utf-8", "surrogateescape") + b"\xff\r\n\r\n")
    assert send(proxy, USER, body=body) == [250]
    line = proxy.wait_log("saved mail to")
    assert "s=<a??\u009b\\x5cn \u202e b Error: \u00e4\ufffd> saved" in line


def test_as_json(site):
    proxy = site("log_format = json\n")
    assert send(proxy, USER) == [250]
    line = json.loads(proxy.wait_log("saved mail to"))
    assert line["event"] == "delivery"
    assert line["message"] == "msgid=<1@x>: saved mail to INBOX"
    assert line["to"] == USER
    assert line["transaction"].startswith(line["session"])


@pytest.mark.parametrize("setting, why", [
    ("deliver_log_format = %x", "unknown variable %x"),
    ("deliver_log_format = %{rcpt_to}", "unknown variable"),
    ("lda_original_recipient_header = X-Original-To:", "without its colon"),
])
def test_settings_that_cannot_be(instance, setting, why):
    assert why in instance().refusal(setting + "\n")


def test_only_one_recipient_is_named(site, backend):
    """Of those who are here, and of all; whoever was refused does not count."""
    proxy = site(passdb=f"far@example.org:::::::proxy host={backend.host} "
                 f"port={backend.port}\n")
    with proxy.session() as client:
        for rcpts in ([USER, "far@example.org"], [USER, "<>"]):
            assert client.mail() == 250
            codes = [client.command(f"RCPT TO:<{rcpt}>".replace("<<>>", "<>"))
                     for rcpt in rcpts]
            count = codes.count(250)
            assert client.data(BODY, count) == [250] * count
    box = proxy.home / "Maildir/new"
    mixed, alone = in_order(box.iterdir())
    mixed, alone = mixed.read_bytes(), alone.read_bytes()
    assert f"Delivered-To: {USER}\n".encode() in mixed
    assert b"for <" not in mixed
    assert f"Delivered-To: {USER}\n".encode() in alone
    assert f"for <{USER}>".encode() in alone
    message, = backend.wait_messages(1)
    assert b"for <" not in message.text
    assert b"Delivered-To" not in message.text
    assert os.listdir(box.parent / "tmp") == []
