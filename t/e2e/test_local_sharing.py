"""Local delivery: one mail for several users who have the same rights."""
import os
import re
import signal

from control import Control
from lmtp_client import dot_stuff
from local_site import (BODY, UIDS, as_root, children,  # noqa: F401
                        plain_site, send, site)
from processes import is_stopped
from waiting import wait_until
from waypost import IS_ROOT


def links(site, *names):
    """How many names the one mail of each has, and whether it is one file."""
    stats = [path.stat() for name in names for path in site.files(name)]
    assert len(stats) == len(names)
    assert all(stat.st_mode & 0o777 == 0o600 for stat in stats)
    return [stat.st_nlink for stat in stats], \
        len({stat.st_ino for stat in stats}) == 1


def deliver(site, *names):
    with site.proxy.session() as client:
        replies = send(client, *(f"{name}@example.org" for name in names))
        assert replies == [250] * len(names)
    return links(site, *dict.fromkeys(names))


def groups_of(names, size):
    return [names[start:start + size] for start in range(0, len(names), size)]


def share(site, groups, wanted, deliver=deliver):
    """Delivers to one group after the other, until one has links as wanted, and returns
    it: who may share a mail waits a moment for it, which a busy machine may exceed."""
    for names in groups:
        found = deliver(site, *names)
        if found == wanted:
            return names
    raise AssertionError(f"{found} is not {wanted}")


def links_and_modes(site, *names):
    with site.proxy.session() as client:
        assert send(client, *(f"{name}@example.org" for name in names)) == \
            [250] * len(names)
    stats = [site.files(name)[0].stat() for name in names]
    return [(stat.st_nlink, stat.st_mode & 0o777) for stat in stats]


def start_for_one_user(site, extra="", count=3):
    """All mail is one user's. Returns the names of those who have some."""
    names = [f"user{number}" for number in range(count)]
    uid = UIDS["anna"]
    for name in names:
        site.make_home(name, uid)
    ids = f"mail_uid = {uid}\nmail_gid = {uid}\n" if site.roots else ""
    lines = "".join(f"{name}@example.org:::::::userdb_home={site.home(name)}\n"
                    for name in names)
    site.proxy.start(site.config(ids + extra, passdb=lines, users={}))
    return names


def test_recipients_share_a_file(plain_site):
    names = share(plain_site, groups_of(start_for_one_user(plain_site, count=60), 3),
                  ([3, 3, 3], True))
    text, = set(plain_site.texts(names[0]) + plain_site.texts(names[2]))
    assert b"Delivered-To" not in text and text.endswith(b"\nhello\n.dot\n")
    assert len({path.name for name in names
                for path in plain_site.files(name)}) == 3
    assert all(plain_site.files(name, "tmp") == [] for name in names)
    with plain_site.proxy.session() as client:
        assert send(client, f"{names[0]}@example.org") == [250]
    assert sorted(path.stat().st_nlink
                  for path in plain_site.files(names[0])) == [1, 3]


@as_root
def test_recipients_share_a_file_of_mail_uid(site):
    names = share(site, groups_of(start_for_one_user(site, count=60), 3),
                  ([3, 3, 3], True),
                  lambda site, *names: deliver(site, *names, names[1]))
    assert site.files(names[2])[0].stat().st_uid == UIDS["anna"]


@as_root
def test_only_those_with_the_same_uid_share(site):
    users = {f"{name}{number}": uid for number in range(20) for name, uid in
             (("anna", 61001), ("ben", 61002), ("carl", 61001))}
    for name, uid in users.items():
        site.make_home(name, uid)
    site.start(users=users)
    _, ben, _ = share(site, groups_of(list(users), 3), ([2, 1, 2], False))
    assert site.files(ben)[0].stat().st_uid == 61002


def test_nobody_shares_who_need_not(plain_site):
    names = start_for_one_user(plain_site, "maildir_copy_with_hardlinks = no\n")
    assert deliver(plain_site, *names) == ([1, 1, 1], False)


def test_what_others_may_read_is_not_shared(plain_site):
    groups = groups_of(start_for_one_user(plain_site, count=60), 3)
    for _, name, _ in groups:
        box = plain_site.home(name) / "Maildir"
        for path in (box, box / "new", box / "cur", box / "tmp"):
            path.mkdir()
            path.chmod(0o777)
    names = share(plain_site, groups, [(2, 0o600), (1, 0o666), (2, 0o600)],
                  links_and_modes)
    assert all(len(plain_site.files(name)) == 1 for name in names)


def test_quota_counts_what_is_shared(plain_site):
    names = share(plain_site, groups_of(start_for_one_user(
        plain_site, "plugin {\n quota = maildir:U\n quota_rule = *:messages=1\n}\n",
        count=60), 3), ([3, 3, 3], True))
    for name in names:
        sizes = (plain_site.home(name) / "Maildir" / "maildirsize").read_text()
        size = plain_site.files(name)[0].stat().st_size
        assert f"{size} 1" in sizes
    with plain_site.proxy.session() as client:
        assert send(client, *(f"{name}@example.org" for name in names)) == \
            [552, 552, 552]


def test_one_that_fails_fails_alone(plain_site):
    names = start_for_one_user(plain_site)
    plain_site.home(names[0]).chmod(0o555)
    if IS_ROOT:
        os.chown(plain_site.home(names[0]), 0, 0)
    with plain_site.proxy.session() as client:
        assert send(client, *(f"{name}@example.org" for name in names)) == \
            [451, 250, 250]
    assert links(plain_site, *names[1:]) == ([1, 1], False)


def test_nobody_waits_long_for_another(plain_site):
    names = start_for_one_user(plain_site, "lmtp_delivery_timeout = 5 mins\n")
    proxy = plain_site.proxy
    with proxy.session() as client:
        crew = wait_until(lambda: len(children(proxy, "delivery")) >= 4 and
                          children(proxy, "delivery"), "a crew")
        for pid in crew:
            os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: all(is_stopped(pid) for pid in crew), "them to stop")
        client.start_data(*(f"{name}@example.org" for name in names))
        client.send(dot_stuff(BODY))

        def under_way():
            return re.search(r"^waypost_deliveries_under_way (\d+)$",
                             Control(proxy).request("/metrics")[1], re.M)[1]

        wait_until(lambda: under_way() == "3", "those who have waited")
        for pid in crew:
            os.kill(pid, signal.SIGCONT)
        assert client.replies(3) == [250, 250, 250]
    assert links(plain_site, *names) == ([1, 1, 1], False)


def deliver_twice(site, *names):
    """In one message."""
    rcpts = names + names[::-1]
    with site.proxy.session() as client:
        replies = send(client, *(f"{name}@example.org" for name in rcpts))
    assert replies == [250] * len(rcpts)
    for name, reply in zip(rcpts, replies):
        assert f"<{name}@example.org>" in reply.lines[0]
    return links(site, *names)


def test_many_recipients(plain_site):
    """Each of them twice."""
    names = start_for_one_user(plain_site, count=200)
    share(plain_site, groups_of(names, 40), ([40] * 40, True), deliver_twice)
