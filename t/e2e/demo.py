#!/usr/bin/python3
"""What ./quickstart shows: two servers with mailboxes, waypost in front of them,
and messages whose recipients live here and there. The servers are waypost, too."""
import os
import pathlib
import shutil
import sys
import tempfile

sys.dont_write_bytecode = True

from waypost import IS_ROOT, Waypost  # noqa: E402

MAIL_UID = 65534 if IS_ROOT else os.getuid()  # whose all mailboxes are
MAIL_GID = 65534 if IS_ROOT else os.getgid()

USERS = {"mail1": ["joe@example.org", "eve@example.org"],
         "mail2": ["ann@example.org", "bob@example.org", "tom@example.org"]}
MESSAGES = [
    ("alice@example.net", "Lunch", ["joe@example.org", "ann@example.org",
                                    "eve@example.org"]),
    ("news@example.com", "News", ["ann@example.org", "joe+news@example.org",
                                  "nobody@example.org", "tom@example.org",
                                  "bob@example.org"]),
]
CONFIG = """\
passdb {{
  driver = passwd-file
  args = {dir}/users
}}
"""


MAILBOXES = """\
passdb {{
  driver = static
  args = nopassword=y
}}
userdb {{
  driver = passwd-file
  args = {dir}/users
}}
mail_location = maildir:~/Maildir
lmtp_save_to_detail_mailbox = yes
lda_mailbox_autocreate = yes
hostname = {name}.example
"""


class Mailboxes:
    """A waypost that has the mailboxes of users."""

    def __init__(self, directory, name, users):
        directory.mkdir(mode=0o755)
        self.proxy = Waypost(directory, as_root=IS_ROOT)
        self.host, self.port = self.proxy.address[0], self.proxy.port
        lines = [self.line(directory / "homes" / user, user)
                 for user in users]
        self.proxy.write_file("users", "".join(lines))
        self.homes = directory / "homes"
        self.proxy.start(MAILBOXES.format(dir=self.proxy.dir, name=name))
        self.stop = self.proxy.stop

    @staticmethod
    def line(home, user):
        home.mkdir(parents=True)
        os.chown(home, MAIL_UID, MAIL_GID)
        return f"{user}::{MAIL_UID}:{MAIL_GID}::{home}::\n"

    def mails(self, user, folder):
        new = self.homes / user / "Maildir" / folder / "new"
        return [path.read_bytes() for path in new.glob("*")]


def say(text=""):
    print(text, flush=True)


def found_in(mailboxes, rcpt, subject):
    """The server that has the message in the recipient's mailbox."""
    user = rcpt.split("@")[0].split("+")[0] + "@example.org"
    folder = "." + rcpt.split("@")[0].split("+")[1] if "+" in rcpt else ""
    for name, server in mailboxes.items():
        if any(f"Subject: {subject}\n".encode() in mail
               for mail in server.mails(user, folder)):
            return name
    return "nobody"


def send(client, sender, subject, rcpts):
    """The last reply to each recipient."""
    client.mail(sender)
    outcome = {rcpt: client.rcpt(rcpt) for rcpt in rcpts}
    accepted = [rcpt for rcpt in rcpts if outcome[rcpt] == 250]
    body = f"From: {sender}\r\nSubject: {subject}\r\n\r\nHello.\r\n"
    for rcpt, reply in zip(accepted, client.data(body, len(accepted))):
        outcome[rcpt] = reply
    return outcome


def show_users(mailboxes):
    say("The passwd-file says where each user lives:")
    lines = [f"{user}:::::::proxy=y host={mailboxes[name].host} "
             f"port={mailboxes[name].port}"
             for name, users in USERS.items() for user in users]
    for line in lines:
        say("    " + line)
    say()
    return "\n".join(lines) + "\n"


def run(directory, mailboxes):
    proxy = Waypost(directory / "waypost", as_root=IS_ROOT)
    for name, users in USERS.items():
        server = mailboxes[name] = Mailboxes(directory / name, name, users)
        say(f"{name}, a waypost with mailboxes, listens at {server.host}:"
            f"{server.port}")
    say(f"waypost listens at {proxy.address[0]}:{proxy.port}")
    say()
    proxy.write_file("users", show_users(mailboxes))
    good = True
    try:
        proxy.start(CONFIG.format(dir=proxy.dir))
        with proxy.session() as client:
            for sender, subject, rcpts in MESSAGES:
                say(f'"{subject}" from {sender}, one message to '
                    f"{len(rcpts)} recipients:")
                outcome = send(client, sender, subject, rcpts)
                for rcpt, reply in outcome.items():
                    place = found_in(mailboxes, rcpt, subject)
                    good = good and (place != "nobody") == (reply == 250)
                    say(f"    {rcpt:<22} {place:<8} {reply.raw[-1]}")
                say()
            client.quit()
    finally:
        proxy.stop()
    return good


def how_to(mta_port=2424):
    say(f"""\
To have an MTA send its mail through waypost, let waypost listen somewhere, for
example at 127.0.0.1:{mta_port}, and name that place to the MTA. Postfix, main.cf:

    virtual_mailbox_domains = example.org
    virtual_transport = lmtp:inet:127.0.0.1:{mta_port}

README.md has a whole configuration; man/waypost.conf.5 tells of every setting.
Everything that was started has been stopped again.""")


def main():
    directory = pathlib.Path(tempfile.mkdtemp(prefix="wp-"))
    os.chmod(directory, 0o755)
    (directory / "waypost").mkdir(mode=0o755)
    mailboxes = {}
    try:
        good = run(directory, mailboxes)
    finally:
        for server in mailboxes.values():
            server.stop()
        shutil.rmtree(directory, ignore_errors=True)
    how_to()
    if not good:
        say("demo: what was answered is not what was delivered")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
