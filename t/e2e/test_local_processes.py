"""Local delivery: the processes that save mail, how they end, and whose mail each
saves."""
import contextlib
import hashlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import threading

from lmtp_client import dot_stuff
from local_site import (BODY, as_root, children, crew_of, send, site,  # noqa: F401
                        wait_for_crew)
from processes import is_gone, is_stopped, wait_gone
from waiting import wait_until
from worker_takeover import take_descriptor

# Others have to be done by then, however busy the machine is.
SHORT_TIME = "lmtp_delivery_timeout = 4 s\n"


def send_to_nobody(site, client):
    """A message that no process takes, since all are stopped. Returns these."""
    crew = wait_for_crew(site.proxy)
    for pid in crew:
        os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: all(is_stopped(pid) for pid in crew), "them to stop")
    client.start_data("anna@example.org")
    client.send(dot_stuff(BODY))
    return crew


def test_processes_that_are_killed_are_replaced(site):
    proxy = site.start()
    with proxy.session() as client:
        for pid in send_to_nobody(site, client):
            os.kill(pid, signal.SIGKILL)
        assert client.reply() == 250
        assert len(site.files("anna")) == 1
    proxy.wait_log("delivery process .* killed by signal 9")


def test_who_saves_was_there_before(site):
    """Nobody waits for a process to be started."""
    proxy = site.start()
    crew = wait_for_crew(proxy)
    deliver_to(proxy, "anna")
    saver, = savers(site, "anna")
    assert saver in crew
    # Another one takes its place.
    wait_until(lambda: len(set(children(proxy, "delivery")) - {saver}) >= 4 or
               not site.roots, "one who waits")


def test_too_late(site):
    proxy = site.start("lmtp_delivery_timeout = 1 s\n")
    with proxy.session() as client:
        crew = send_to_nobody(site, client)
        reply = client.reply()
        assert (reply.code, reply.lines) == (451, ["4.3.0 <anna@example.org> Temporary "
                               "internal error"])
        for pid in crew:
            os.kill(pid, signal.SIGCONT)
    proxy.reload(site.config())
    with proxy.session() as client:
        assert send(client, "ben@example.org") == [250]
    wait_until(lambda: site.files("ben"), "ben's mail")
    assert site.files("anna") == []


def kept_process(site):
    """Who has saved a mail of anna's and waits for more, and what it has open."""
    deliver_to(site.proxy, "anna")
    pid = savers(site, "anna")[-1]
    try:
        return pid, [os.readlink(path) for path in
                     pathlib.Path(f"/proc/{pid}/fd").iterdir()]
    except FileNotFoundError:
        return None


@as_root
def test_who_has_become_a_user(site):
    """It tells the crew nothing any more, and ends with it, however long it may be
    asked for more."""
    proxy = site.start()
    pid, files = wait_until(lambda: kept_process(site), "a process")
    assert not [name for name in files if "eventfd" in name]
    worker, = children(proxy, "worker")
    os.kill(worker, signal.SIGSTOP)
    os.kill(crew_of(proxy), signal.SIGKILL)
    # By itself it would stay for 20 seconds.
    wait_until(lambda: is_gone(pid), "its end", timeout=10)
    os.kill(worker, signal.SIGCONT)
    deliver_to(proxy, "anna")


def test_who_does_not_end_is_killed(site):
    """Also who says that it has nothing to do."""
    proxy = site.start("lmtp_delivery_timeout = 1 s\n")
    pids = [*wait_for_crew(proxy), crew_of(proxy)]
    for pid in pids[:-1]:
        os.kill(pid, signal.SIGSTOP)
    proxy.write_config(site.config("mail_location =\n"))
    proxy.signal(signal.SIGHUP)
    # 26 seconds: all that a delivery may take, and some.
    wait_until(lambda: all(map(is_gone, pids)), "them to be killed", timeout=120)


@as_root
def test_what_processes_claim(site):
    """Those of all mail's user say when they work: whatever they say, mail is saved."""
    site.proxy.start(site.config("mail_uid = 61001\nmail_gid = 61001\n",
                                 users={"anna": 61001}))
    claims = [take_descriptor(pid, "eventfd") for pid in wait_for_crew(site.proxy)]
    for number in (1, 1, 2, 3, 2**64 - 2):
        for claim in claims:
            with contextlib.suppress(BlockingIOError):
                os.write(claim, number.to_bytes(8, "little"))
        deliver_to(site.proxy, "anna")
    for claim in claims:
        os.close(claim)
    assert len(site.files("anna")) == 5


def test_the_worker_process_dies(site):
    proxy = site.start()
    crew = wait_for_crew(proxy)
    mark = proxy.mark()
    worker, = children(proxy, "worker")
    os.kill(worker, signal.SIGKILL)
    proxy.wait_log("is ready", mark)
    with proxy.session() as client:
        assert send(client, "anna@example.org") == [250]
    wait_until(lambda: not set(crew) & set(proxy.deliverers()), "its crew to go")


def test_the_crew_dies(site):
    """Who waits ends, and others take their places."""
    proxy = site.start()
    members = wait_for_crew(proxy)
    crew = crew_of(proxy)
    mark = proxy.mark()
    os.kill(crew, signal.SIGKILL)
    proxy.wait_log(f"delivery crew {crew} killed by signal 9", mark)
    wait_gone(members)
    with proxy.session() as client:
        assert send(client, "anna@example.org") == [250]
    assert len(site.files("anna")) == 1
    assert crew_of(proxy) != crew


def test_the_crew_is_nothing_for_people(binary):
    program = pathlib.Path(binary).with_name("waypost-deliver")
    result = subprocess.run([program], capture_output=True, text=True, check=False)
    assert result.returncode == 64
    assert "only waypost starts this program" in result.stderr
    result = subprocess.run([program, "--version"], capture_output=True, text=True,
                            check=True)
    assert result.stdout.startswith("waypost ")


def test_the_crew_has_next_to_no_libraries(site):
    """Each of its forks would copy them. Digests come when a setting wants one."""
    proxy = site.start()

    def libraries():
        return set(re.findall(r"/lib(\w+)[^/\n]*\.so",
                              pathlib.Path(f"/proc/{crew_of(proxy)}/maps").read_text()))

    wait_for_crew(proxy)
    assert "c" in libraries()
    assert libraries() <= {"c", "m", "asan", "ubsan", "tsan", "gcc_s", "stdc", "dl",
                           "pthread"}
    proxy.write_config(site.config("deliver_log_format = %{sha256:user} %Mu\n"))
    proxy.signal(signal.SIGHUP)
    wait_until(lambda: "crypto" in libraries(), "what hashes")
    with proxy.session() as client:
        assert send(client, "anna@example.org") == [250]
    user = b"anna@example.org"
    proxy.wait_log(f"{hashlib.sha256(user).hexdigest()} {hashlib.md5(user).hexdigest()}")


def test_the_supervisor_dies(site):
    proxy = site.start()
    pids = wait_for_crew(proxy) + proxy.workers()
    proxy.expect_exit = -signal.SIGKILL
    proxy.process.kill()
    wait_gone(pids)


def test_there_is_a_crew_where_there_is_local_delivery(site):
    proxy = site.start()
    pids = [*wait_for_crew(proxy), crew_of(proxy)]
    proxy.write_config(site.config("mail_location =\n"))
    proxy.signal(signal.SIGHUP)
    wait_gone(pids)
    assert children(proxy, "delivery crew") == []
    proxy.write_config(site.config())
    proxy.signal(signal.SIGHUP)
    wait_for_crew(proxy)


def test_a_reload_counts_for_those_who_wait_already(site):
    proxy = site.start()
    with proxy.session() as client:
        assert send(client, "anna+box@example.org") == [250]
    assert len(site.files("anna")) == 1
    proxy.reload(site.config("lda_mailbox_autocreate = yes\n"
                             "lmtp_save_to_detail_mailbox = yes\n"))
    with proxy.session() as client:
        assert send(client, "anna+box@example.org") == [250]
    assert len(site.files("anna", box="Maildir/.box")) == 1


def test_the_program_is_replaced_meanwhile(site):
    proxy = site.start()
    with proxy.session() as client:
        client.start_data("anna@example.org")
        crew = crew_of(proxy)
        mark = proxy.mark()
        proxy.signal(signal.SIGUSR2)
        proxy.wait_log("has taken over", mark)
        with proxy.session() as other:
            assert send(other, "ben@example.org") == [250]
        assert crew in children(proxy, "delivery crew")
        client.send(dot_stuff(BODY))
        assert client.reply() == 250
    assert len(site.files("anna")) == len(site.files("ben")) == 1
    wait_gone([crew])


def test_the_crew_dies_after_the_program_is_replaced(site):
    """That of the old worker process, of which the new program knows what it needs."""
    proxy = site.start()
    with proxy.session() as client:
        client.start_data("anna@example.org")
        crew = crew_of(proxy)
        mark = proxy.mark()
        proxy.signal(signal.SIGUSR2)
        proxy.wait_log("has taken over", mark)
        os.kill(crew, signal.SIGKILL)
        proxy.wait_log(f"delivery crew {crew} killed by signal 9", mark)
        client.send(dot_stuff(BODY))
        assert client.reply() == 250
    assert len(site.files("anna")) == 1


def test_a_program_that_cannot_deliver_does_not_take_over(site, directory):
    """waypost-deliver belongs to it."""
    proxy = site.proxy
    for name in ("waypost", "waypost-deliver"):
        shutil.copy(pathlib.Path(proxy.binary).with_name(name), directory)
    proxy.binary = str(directory / "waypost")
    site.start()
    crew = crew_of(proxy)
    (directory / "waypost-deliver").unlink()
    mark = proxy.mark()
    proxy.signal(signal.SIGUSR2)
    proxy.wait_log("new program: local delivery needs the program .*/waypost-deliver: "
                   "No such file", mark)
    proxy.wait_log("going on with the running program", mark)
    # Ours is still known, by no name.
    os.kill(crew, signal.SIGKILL)
    with proxy.session() as client:
        assert send(client, "anna@example.org") == [250], proxy.log


def test_no_start_without_the_program(site, directory):
    proxy = site.proxy
    shutil.copy(proxy.binary, directory / "waypost")
    proxy.binary = str(directory / "waypost")
    proxy.write_config(site.config())
    proxy.launch()
    proxy.expect_exit = 78
    proxy.wait_log("local delivery needs the program .*/waypost-deliver: No such "
                   "file")
    assert proxy.wait_exit() == 78
    result = proxy.run("-t")
    assert result.returncode == 78
    assert "local delivery needs the program" in result.stderr
    proxy.write_config(site.config("mail_location =\n"))
    assert proxy.run("-t").returncode == 0


def test_a_stop_waits_for_deliveries(site):
    proxy = site.start()
    with proxy.session() as client:
        crew = send_to_nobody(site, client)
        proxy.signal(signal.SIGTERM)
        proxy.wait_log("stopping")
        for pid in crew:
            os.kill(pid, signal.SIGCONT)
        assert client.reply() == 250
    assert proxy.wait_exit() == 0
    assert len(site.files("anna")) == 1


def test_one_user_leaves_room_for_others(site, backend):
    proxy = site.start("lmtp_user_concurrency_limit = 2\n")
    with proxy.session() as first, proxy.session() as second:
        for client in (first, second):
            assert client.mail() == 250
            assert client.rcpt("anna@example.org") == 250
            assert client.rcpt("far@example.org") == 250
        with proxy.session() as third:
            assert third.mail() == 250
            for name in ("anna", "far"):
                reply = third.rcpt(f"{name}@example.org")
                assert reply == (f"451 4.3.0 <{name}@example.org> Too many "
                                 "concurrent deliveries for user")
            assert third.rcpt("ben@example.org") == 250
            assert first.command("RSET") == 250
            assert third.rcpt("anna@example.org") == 250
            assert third.rcpt("far@example.org") == 250
            assert third.data(BODY, 3) == [250, 250, 250]


def test_what_hangs_is_ended(site):
    config = site.config(SHORT_TIME).replace(
        "maildir:~/Maildir", "mbox:~/mail:INBOX=~/inbox")
    proxy = site.proxy.start(config)
    # Another program holds the mailbox.
    (site.home("anna") / "inbox").touch()
    lock = site.home("anna") / "inbox.lock"
    lock.touch()
    for path in (lock, site.home("anna") / "inbox"):
        if site.roots:
            os.chown(path, 61001, 61001)
    with proxy.session() as client:
        first, second = send(client, "anna@example.org", "ben@example.org")
        assert (first, second) == (451, 250)
        proxy.wait_log("delivery process .* took longer than "
                       "lmtp_delivery_timeout")
        assert (site.home("anna") / "inbox").read_bytes() == b""
        lock.unlink()
        assert send(client, "anna@example.org") == [250]


def test_every_message_is_accounted_for(site):
    """Whatever is killed: 250 is a mail, 451 is one at most, none is a part."""
    proxy = site.start()
    stop = threading.Event()
    body = b"Subject: %d\r\n\r\n" + b"0123456789\r\n" * 2000 + b"the end\r\n"

    replies = []

    def kill_some():
        """The longer nobody gets to save anything, the more time they have."""
        pause = seen = 0
        while not stop.wait(pause):
            for pid in children(proxy, "delivery")[::2]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            pause = 0.05 if len(replies) > seen else max(pause * 1.1, 0.05)
            seen = len(replies)

    killer = threading.Thread(target=kill_some)
    killer.start()
    try:
        with proxy.session() as client:
            for number in range(60):
                replies += send(client, "anna@example.org", body=body % number)
    finally:
        stop.set()
        killer.join()
    texts = site.texts("anna")
    assert all(text.endswith(b"\nthe end\n") for text in texts)
    saved = {int(re.search(rb"^Subject: (\d+)$", text, re.M).group(1))
             for text in texts}
    assert len(saved) == len(texts)
    for number, reply in enumerate(replies):
        assert reply.code in (250, 451)
        assert number in saved or reply == 451


# --- more mail for the same user ---


def savers(site, name):
    """The process that has saved each mail of a user."""
    return [int(re.search(r"P(\d+)\.", path.name).group(1))
            for path in site.files(name)]


def deliver_to(proxy, name):
    with proxy.session() as client:
        assert send(client, f"{name}@example.org") == [250]


def test_a_process_saves_more_mail_of_the_same_user(site):
    proxy = site.start()

    def one_process():
        """In a pause, hers might go."""
        with proxy.session() as client:
            for name in ("ben", "anna", "anna", "anna"):
                assert send(client, f"{name}@example.org") == [250]
        pids = set(savers(site, "anna")[-3:])
        same = pids == set(savers(site, "ben")[-1:])
        return len(pids) == 1 and same != site.roots and pids

    pids = wait_until(one_process, "one process that saves all of a user's mail")
    # Nobody wants it any more; without root, it saves other mail then.
    if site.roots:
        wait_until(lambda: not os.path.exists(f"/proc/{min(pids)}"), "its end")


def test_a_process_that_ended_while_nobody_wanted_it(site):
    proxy = site.start()
    for _ in range(5):
        deliver_to(proxy, "anna")
        with contextlib.suppress(ProcessLookupError):
            os.kill(savers(site, "anna")[-1], signal.SIGKILL)
        deliver_to(proxy, "anna")
    assert len(site.files("anna")) == 10


def test_no_place_for_others_is_taken(site):
    """As many processes as there may be, all of them another user's."""
    users = {f"u{n}": 61001 + n for n in range(12)}
    for name, uid in users.items():
        site.make_home(name, uid)
    proxy = site.start("lmtp_max_deliveries = 2\n", users=users)
    with proxy.session() as client:
        for _ in range(2):
            assert send(client, *(f"{name}@example.org"
                                  for name in users)) == [250] * len(users)
    assert len(children(proxy, "delivery")) <= 2
