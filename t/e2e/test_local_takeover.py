"""Local delivery: a worker process that somebody has taken over.
test_local_hostile.py has more of it."""
import os
import signal
import socket

import pytest

from local_site import as_root, children, send, site  # noqa: F401
from worker_takeover import (attack, attack_with_message, link,
                             message_and_link, request, take_requests)


@as_root
@pytest.mark.parametrize("values", [
    {"uid": 0}, {"uid": 0, "gid": 0}, {"gid": 0}, {"uid": 2**32 - 1},
    {"gid": 2**32 - 1}, {"uid": 499}, {"uid": 62000}, {"chroot": "/"},
    {"chroot": "/root"}])
def test_the_worker_cannot_name_just_anybody(site, values):
    proxy = site.start("last_valid_uid = 61999\n")
    secret = site.mail / "root"
    secret.mkdir()
    secret.chmod(0o777)
    mark = proxy.mark()
    with take_requests(proxy) as requests:
        assert attack(requests, request(f"maildir:{secret}/Maildir",
                                        **values)) == b""
    proxy.wait_log("delivery: user anna has", mark)
    assert list(secret.iterdir()) == []
    with proxy.session() as client:
        assert send(client, "anna@example.org") == [250]


@as_root
def test_the_worker_gets_no_further_than_the_user(site):
    proxy = site.start()
    secret = site.mail / "root"
    secret.mkdir(mode=0o770)
    secret.chmod(0o770)
    with take_requests(proxy) as requests:
        answer = attack(requests, request(
            f"maildir:{secret}/Maildir", groups="root", groups_user="root"))
        assert b"Permission denied" in answer
        answer = attack(requests, request(
            f"maildir:{site.home('ben')}/Maildir"))
        assert b"Permission denied" in answer
        answer = attack(requests, request(
            f"maildir:{site.home('anna')}/../../../x/Maildir"))
        assert answer[0] != 0
    assert list(secret.iterdir()) == site.files("ben") == []


@as_root
@pytest.mark.parametrize("packet", [
    b"x", b"\1" * 100, request("maildir:/x")[:-1], request("maildir:/x") + b"x",
    request("maildir:/x", size=2**63),
    request("maildir:/x", rules=[("quota", "maildir:U")]),
    request("maildir:/x", rules=[("quota_warning", "bytes=1 exec:/bin/sh")])])
def test_the_worker_talks_nonsense(site, packet):
    proxy = site.start()
    mark = proxy.mark()
    with take_requests(proxy) as requests:
        assert attack(requests, packet) == b""
    proxy.wait_log("made a malformed request, killing it", mark)
    proxy.wait_log("is ready", mark)
    with proxy.session() as client:
        assert send(client, "anna@example.org") == [250]


@as_root
@pytest.mark.parametrize("count", [0, 1, 3, 64, 200])
def test_the_worker_passes_the_wrong_number_of_descriptors(site, count):
    proxy = site.start()
    mark = proxy.mark()
    null = os.open("/dev/null", os.O_RDWR)
    with take_requests(proxy) as requests:
        packet = request(f"maildir:{site.home('anna')}/Maildir")
        if count == 0:
            requests.send(packet)
        else:
            socket.send_fds(requests, [packet], [null] * count)
    os.close(null)
    proxy.wait_log("made a malformed request, killing it", mark)
    proxy.wait_log("is ready", mark)
    with proxy.session() as client:
        assert send(client, "anna@example.org") == [250]
    assert len(site.files("anna")) == 1


@as_root
def test_the_worker_passes_descriptors_of_every_kind(site):
    proxy = site.start()
    packet = request(f"maildir:{site.home('anna')}/Maildir")
    kinds = [os.open("/dev/zero", os.O_RDWR), os.open("/", os.O_RDONLY),
             os.open("/etc/passwd", os.O_RDONLY), os.eventfd(0),
             os.open("/", os.O_PATH), *os.pipe(),
             *(end.detach() for end in socket.socketpair())]
    with take_requests(proxy) as requests:
        for fd in kinds:
            if not os.path.isfile(f"/proc/self/fd/{fd}"):
                answer = attack_with_message(requests, packet, fd)
                assert b"is not the message" in answer
            socket.send_fds(requests, [packet], [fd, fd])
    for fd in kinds:
        os.close(fd)
    with proxy.session() as client:
        assert send(client, "anna@example.org") == [250]
    proxy.wait_log("sent from=")
    assert "killing" not in proxy.log


@as_root
def test_the_worker_hangs_up(site):
    proxy = site.start()
    mark = proxy.mark()
    with take_requests(proxy) as requests:
        requests.shutdown(socket.SHUT_WR)
    with proxy.session() as client:
        assert send(client, "anna@example.org") == [451]
        worker, = children(proxy, "worker")
        os.kill(worker, signal.SIGKILL)
    proxy.wait_log("is ready", mark)
    with proxy.session() as client:
        assert send(client, "anna@example.org") == [250]


@as_root
def test_the_worker_floods(site):
    proxy = site.start("lmtp_max_deliveries = 3\n")
    packet = request(f"maildir:{site.home('anna')}/Maildir")
    most, links, answers = 0, [], []
    with take_requests(proxy) as requests, \
            message_and_link() as (message, _, _):
        for _ in range(200):
            ours, theirs = link()
            socket.send_fds(requests, [packet], [theirs, message])
            os.close(theirs)
            links.append(ours)
            most = max(most, len(children(proxy, "delivery")))
        for ours in links:
            answers.append(os.read(ours, 4096))
            os.close(ours)
    assert most <= 3
    assert all(b"msgid=unspecified: saved mail to INBOX" in answer and
               answer.count(b"/Maildir/new/") == 1 for answer in answers)
    assert len(site.files("anna")) == 200
    with proxy.session() as client:
        assert send(client, "ben@example.org") == [250]


@as_root
def test_the_worker_cannot_have_mail_linked_that_is_not_the_message(site):
    """Nor anything else that the user has."""
    site.make_home("carl", 61001)
    site.start(users={"anna": 61001, "carl": 61001})
    secret = site.home("anna") / "secret"
    secret.write_bytes(b"hell0")
    other = site.home("anna") / "same"
    other.write_bytes(b"hello")
    link = site.home("anna") / "link"
    link.symlink_to(other)
    fifo = site.home("anna") / "fifo"
    os.mkfifo(fifo)
    for path in (secret, other, fifo):
        os.chown(path, 61001, 61001)
        path.chmod(0o600)
    linked = []
    with take_requests(site.proxy) as requests:
        for path in (secret, link, fifo, site.home("anna"), "/etc/shadow",
                     other):
            answer = attack(requests, request(
                f"maildir:{site.home('carl')}/Maildir", copy=str(path)))
            assert answer[0] == 0
            linked.append(answer[-1])
    assert linked == [0, 0, 0, 0, 0, 1]
    assert site.texts("carl") == [b"hello"] * 6
    assert (secret.stat().st_nlink, other.stat().st_nlink) == (1, 2)


def test_an_empty_packet(site):
    """The worker process is replaced, and an error says why."""
    proxy = site.start()
    mark = proxy.mark()
    with take_requests(proxy) as requests:
        requests.send(b"")
        proxy.wait_log("delivery: empty packet", mark)
    proxy.wait_log("made a malformed request, killing it", mark)
    proxy.wait_log("is ready", mark)
    with proxy.session() as client:
        assert send(client, "anna@example.org") == [250]
