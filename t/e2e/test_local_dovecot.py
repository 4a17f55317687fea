"""Mail for recipients who are here, through waypost and through Dovecot's LMTP with
the same settings: the same headers, mailboxes, subscriptions and lines of the log."""
import os
import re

import pytest

from lmtp_client import Client
from maildir import in_order
from waiting import wait_until
from waypost import IS_ROOT

pytestmark = pytest.mark.needs("dovecot")

JOE, ANN = "joe@example.org", "ann@example.org"
TEXT = b"Subject: x\r\n\r\nhello\r\n"


class Both:
    """A waypost and a Dovecot with the same users and settings."""

    def __init__(self, dovecot, instance, settings):
        self.server = dovecot(users=(JOE, ANN), extra=settings)
        self.proxy = instance(as_root=IS_ROOT)
        self.homes = self.proxy.dir / "home"
        owner = self.server.owner
        self.homes.mkdir()
        os.chown(self.homes, owner.pw_uid, owner.pw_gid)
        self.proxy.write_file("users", "".join(
            f"{user}::{owner.pw_uid}:{owner.pw_gid}::{self.homes}/{user}::\n"
            for user in (JOE, ANN)))
        self.proxy.start(
            "lmtp_proxy = no\nmail_location = maildir:~/Maildir\n"
            "first_valid_uid = 1\nlda_mailbox_autocreate = yes\n"
            "lmtp_save_to_detail_mailbox = yes\n"
            "userdb {\n driver = passwd-file\n"
            f" args = {self.proxy.dir}/users\n}}\n" + settings)
        self.sides = ((self.server.address, self.server.homes),
                      (self.proxy.address, self.homes))

    def send(self, rcpts, sender="s@example.net", body=TEXT):
        """What the replies are, of both: codes of RCPTs, then of the message."""
        return [self.send_to(address, rcpts, sender, body)
                for address, _ in self.sides]

    @staticmethod
    def send_to(address, rcpts, sender, body):
        with Client(address) as client:
            client.lhlo("client.example")
            assert client.command(f"MAIL FROM:<{sender}>") == 250
            codes = [client.command(f"RCPT TO:{rcpt}").code for rcpt in rcpts]
            count = codes.count(250)
            return codes, [reply.code for reply in client.data(body, count)]

    def take(self, user=JOE):
        """The mails of a user, of both, by mailbox: they are gone then."""
        return [take(homes / user / "Maildir") for _, homes in self.sides]


def take(maildir):
    found = {}
    for path in in_order(maildir.glob("**/new/*")):
        box = str(path.parent.parent.relative_to(maildir))
        found.setdefault(box, []).append(path.read_bytes())
        path.unlink()
    return found


def shape(mail):
    """What stands in front of the message, but for names, ids and times."""
    head = mail.split(b"Subject: ", 1)[0].decode()
    head = re.sub(r"\n\s+", " ", head).replace("\r", "")
    head = re.sub(r"by \S+ with", "by HOST with", head)
    head = re.sub(r"\bid \S+", "id ID", head)
    # What is not safe in a word of Received is "?" there.
    head = re.sub(r"(for <.*) (.*>;)", r"\1?\2", head)
    return re.sub(r"; \w{3}, .*", "; DATE", head)


ORIGINAL = " ORCPT=rfc822;first@example.com"
ENVELOPES = {
    "one": [f"<{JOE}>"],
    "original": [f"<{JOE}>{ORIGINAL}"],
    "original-other": [f"<{JOE}> ORCPT=x400;abc"],
    "refused-too": ["<nobody@example.org>", f"<{JOE}>{ORIGINAL}"],
    "refused-later": [f"<{JOE}>", "<nobody@example.org>"],
    "two": [f"<{JOE}>", f"<{ANN}>"],
    "twice": [f"<{JOE}>", f"<{JOE}>"],
    "detail": ["<joe+x@example.org>"],
    "quoted": ['<"joe+a b"@example.org>'],
}
SENDERS = ["s@example.net", "", '"a b"@example.net', "a+b=c@example.net"]


@pytest.mark.parametrize("value", ["final", "none", "original"])
def test_headers(dovecot, instance, value):
    both = Both(dovecot, instance, f"lmtp_hdr_delivery_address = {value}\n")
    for name, rcpts in ENVELOPES.items():
        theirs, ours = both.send(rcpts)
        assert ours == theirs, name
        theirs, ours = both.take()
        assert ours.keys() == theirs.keys(), name
        for box, mails in theirs.items():
            assert [shape(mail) for mail in ours[box]] == \
                [shape(mail) for mail in mails], name
        both.take(ANN)


def test_senders(dovecot, instance):
    both = Both(dovecot, instance, "lmtp_add_received_header = no\n")
    for sender in SENDERS:
        theirs, ours = both.send([f"<{JOE}>"], sender)
        assert ours == theirs
        theirs, ours = both.take()
        assert ours == theirs
        assert ours["."][0].startswith(f"Return-Path: <{sender}>\n".encode())


DUPLICATES = [
    ["<joe@example.org>", "<joe@EXAMPLE.org>", f"<{ANN}>", "<joe@example.ORG>"],
    ['<"joe"@example.org>', f"<{JOE}>"], [f"<@a.example:{JOE}>", f"<{JOE}>"],
    [f"<{JOE}>", "<joe+@example.org>"], [f"<{JOE}>", "<joe+x@example.org>"],
    ["<joe+x@example.org>", "<joe+X@example.org>", "<joe+x@Example.Org>"],
    [f"<{JOE}>{ORIGINAL}", f"<{JOE}>{ORIGINAL}"]]


def test_duplicates(dovecot, instance):
    """One mail, and a reply each."""
    both = Both(dovecot, instance, "")
    for rcpts in DUPLICATES:
        theirs, ours = both.send(rcpts)
        assert ours == theirs and ours[1] == [250] * len(rcpts), rcpts
        for user in (JOE, ANN):
            theirs, ours = [{box: len(texts) for box, texts in side.items()}
                            for side in both.take(user)]
            assert ours == theirs, rcpts


# What stands behind the +.
DETAILS = ["", "lists", "INBOX", "inbox", "a.b", "a.b.c", "A", "a b", "a/b",
           "..", ".a", "a.", "a..b", "~x", "~", "&AOk-", "&", "x" * 100, "%",
           "*", "new", "cur", "tmp", "a+b", "-x", "'"]


def place(both, detail):
    rcpt = f'<"joe+{detail}"@example.org>' if re.search(r'[ .]', detail) else \
        f"<joe+{detail}@example.org>"
    replies = both.send([rcpt])
    return replies, both.take()


@pytest.mark.parametrize("settings", [
    "", "lda_mailbox_autosubscribe = yes\n", "lda_mailbox_autocreate = no\n",
    "lda_mailbox_autocreate = no\nlda_mailbox_autosubscribe = yes\n",
    "lmtp_save_to_detail_mailbox = no\n"])
def test_details(dovecot, instance, settings):
    both = Both(dovecot, instance, settings)
    differing = {}
    for detail in DETAILS:
        (theirs, ours), mails = place(both, detail)
        places = [{box: len(texts) for box, texts in side.items()}
                  for side in mails]
        if (theirs, places[0]) != (ours, places[1]):
            differing[detail] = ((theirs, places[0]), (ours, places[1]))
    assert not differing, "\n".join(map(str, differing.items()))
    subscribed = [homes / JOE / "Maildir/subscriptions"
                  for _, homes in both.sides]
    theirs, ours = (path.read_text() if path.exists() else None
                    for path in subscribed)
    assert ours == theirs


# --- the log ---

FORMAT = ("msgid=%m s=<%s> f=<%f> e=<%e> e=<%{from_envelope}> p=%p w=%w "
          "to=<%{to_envelope}> %{msgid} %{subject} %{from} %{size} %{vsize} "
          "%Us %.3s %%: %$")
MESSAGES = {
    "plain": b"Subject: hello\r\nMessage-ID: <1@example.net>\r\n"
             b"From: Joe Doe <doe@example.com>\r\n\r\nbody\r\n",
    "none": b"\r\nbody\r\n",
    "folded": b"Subject: a\r\n b\r\n  c\r\nmessage-id:\r\n <1@x>\r\n"
              b"FROM: \"Doe, J.\" (x) <doe@example.com>, b@c\r\n\r\n",
    "twice": b"Subject: a\r\nSubject: b\r\nFrom: a@b\r\nFrom: c@d\r\n\r\n",
    "bare": b"From: doe@example.com (Joe)\r\nSubject:   x   \r\n\r\n",
    "group": b"From: Friends: a@b, c@d;\r\n\r\n",
    "several": b"From: a@b, c@d\r\nMessage-ID: x <1@x> (y) <2@x>\r\n\r\n",
    "no-id": b"Message-ID: abc\r\n\r\n", "bad-id": b"Message-ID: <a> <b@c\r\n\r\n",
    "second-id": b"Message-ID: <a> <b@c>\r\n\r\n",
    "bare-first": b"From: nobody, joe@example.org\r\n\r\n",
    "empty-first": b"From: , joe@example.org\r\n\r\n",
    "angle-first": b"From: <>, joe@example.org\r\n\r\n",
    "route": b"From: J <@a,@b:joe@example.org>\r\n\r\n",
    "bad-from": b"From: nobody\r\nSubject:\r\n\r\n",
    "control": b"Subject: a\x01b\x1b[31mc\r\nMessage-ID: <\x02@x>\r\n\r\n",
    "original": b"X-Original-To: <Old@example.com>\r\nX-Original-To: b@c\r\n\r\n",
    "original-bad": b"X-Original-To: old\r\n\r\n",
    "encoded": b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe_von?=\r\n =?ISO-8859-1?B?ZvxyIQ==?= x"
               b" =?windows-1252?q?=80=81?=\r\nFrom: =?utf-8?q?J=C3=BC?= <j@x>\r\n\r\n",
    "encoded-badly": b"Subject: =?bad =?utf-8?q?a=ff=00=1b?= =?utf-8?x?b?=\xff \xfc"
                     b" =?utf-8?b?w7x!?=\r\n\r\n",
    "encoded-long": b"Subject: =?utf-8?q?" + b"=C3=BC" * 60 + b"?=\r\n\r\n",
    "long": b"Subject: " + b"x" * 300 + b"\r\nMessage-ID: <" + b"y" * 300 +
            b"@x>\r\n\r\n",
}


def wait_lines(lines, count):
    def find():
        found = [re.search(r"msgid=.*", line) for line in lines()]
        found = [match.group() for match in found if match]
        return found if len(found) >= count else None
    return wait_until(find, f"{count} lines of deliveries")


def test_lines_of_the_log(dovecot, instance):
    both = Both(dovecot, instance, f'deliver_log_format = "{FORMAT}"\n'
                "lda_original_recipient_header = X-Original-To\n"
                "hostname = same.example\nlmtp_add_received_header = no\n")
    count, differing = 0, {}
    for name, body in MESSAGES.items():
        for rcpt in (f"<{JOE}>", f"<joe+x@example.org>{ORIGINAL}"):
            theirs, ours = both.send([rcpt], body=body)
            assert ours == theirs, name
            count += 1
            theirs = wait_lines(lambda: both.server.log().splitlines(), count)
            # %.3s may have cut a character.
            ours = [line.encode(errors="surrogateescape").decode(errors="replace")
                    for line in wait_lines(lambda: both.proxy.lines, count)]
            if ours[-1] != theirs[-1]:
                differing[name] = (theirs[-1], ours[-1])
    assert not differing, "\n".join(map(str, differing.items()))


def test_mailboxes_in_the_log(dovecot, instance):
    """As the sender has written them; after one that cannot be, the INBOX."""
    both = Both(dovecot, instance, 'deliver_log_format = "msgid=%$"\n')
    count = 0
    for name in ("inbox.x", "INBOX.y", "Inbox", "INBOX", "lists", "a.b", "A"):
        both.send([f"<joe+{name}@example.org>"])
        count += 1
        lines = [wait_lines(of, count)[-1] for of in (
            lambda: both.server.log().splitlines(), lambda: both.proxy.lines)]
        assert lines == [f"msgid=saved mail to {name}"] * 2


def test_names_of_files_in_the_log(dovecot, instance):
    both = Both(dovecot, instance,
                'deliver_log_format = "msgid=<%{storage_id}>: %$"\n')
    both.send([f"<{JOE}>"])
    for (_, homes), lines in zip(both.sides, (
            lambda: both.server.log().splitlines(), lambda: both.proxy.lines)):
        path, = (homes / JOE / "Maildir/new").iterdir()
        line, = wait_lines(lines, 1)
        assert line == f"msgid=<{path.name}>: saved mail to INBOX"


def test_times_in_the_log(dovecot, instance):
    both = Both(dovecot, instance, "deliver_log_format = msgid=%{delivery_time} "
                "%{session_time}\n")
    both.send([f"<{JOE}>"])
    for lines in (lambda: both.server.log().splitlines(),
                  lambda: both.proxy.lines):
        line, = wait_lines(lines, 1)
        times = re.fullmatch(r"msgid=(\d+) (\d+)", line)
        assert times and max(map(int, times.groups())) < 60000


# --- the namespace of INBOX ---

NAMESPACES = {
    "separator": " separator = /\n",
    "prefix": " prefix = INBOX.\n separator = .\n",
    "another-prefix": " prefix = My/\n separator = /\n",
    "location": " location = maildir:~/Maildir/below\n separator = /\n",
    "fs": " location = maildir:~/Maildir:LAYOUT=fs\n separator = .\n",
}


@pytest.mark.parametrize("name", NAMESPACES)
def test_namespace(dovecot, instance, name):
    both = Both(dovecot, instance,
                f"namespace inbox {{\n inbox = yes\n{NAMESPACES[name]}}}\n"
                "lda_mailbox_autosubscribe = yes\n"
                'deliver_log_format = "msgid=%$"\n')
    details = ["", "x", "a/b", "a.b", "INBOX.c", "inbox", "InBox", "inbox/d"]
    for count, detail in enumerate(details, 1):
        replies, mails = place(both, detail)
        theirs, ours = [{box: len(texts) for box, texts in side.items()}
                        for side in mails]
        assert ours == theirs and replies[0] == replies[1], detail
        # Those that fail come first in Dovecot's log, for themselves.
        theirs, ours = [
            [line for line in wait_lines(lines, count) if "saved" in line]
            for lines in (lambda: both.server.log().splitlines(),
                          lambda: both.proxy.lines)]
        assert ours == theirs, detail
    theirs, ours = [sorted(homes.glob(f"{JOE}/Maildir/**/subscriptions"))
                    for _, homes in both.sides]
    assert [path.read_text() for path in ours] == \
        [path.read_text() for path in theirs]


def test_quota_by_the_names_of_a_namespace(dovecot, instance):
    """Rules have the prefix and the separator of the namespace."""
    both = Both(dovecot, instance,
                "namespace inbox {\n inbox = yes\n prefix = INBOX/\n"
                " separator = /\n}\nmail_plugins = quota\n"
                "plugin {\n quota = maildir:U\n quota_rule = *:bytes=2000\n"
                " quota_rule2 = INBOX/a/b:ignore\n"
                " quota_rule3 = INBOX/c:bytes=+3000\n quota_grace = 0\n}\n")
    body = b"Subject: x\r\n\r\n" + b"x" * 1300 + b"\r\n"
    seen = []
    for detail in ("a/b", "a/b", "", "", "c", "c", "c"):
        replies, mails = both.send([f"<joe+{detail}@example.org>" if detail
                                    else f"<{JOE}>"], body=body), None
        assert replies[0] == replies[1], (detail, replies)
        mails = [{str(path.parent.parent.relative_to(homes)): 1
                  for path in homes.glob(f"{JOE}/Maildir/**/new/*")}
                 for _, homes in both.sides]
        assert mails[0] == mails[1], detail
        seen.append(replies[1][1])
    assert [250] in seen and [552] in seen
