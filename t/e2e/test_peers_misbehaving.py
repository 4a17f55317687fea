"""Backends that go wrong, each way by name: 4xx for their own recipients, at
once where that can be known, and nothing else harmed."""
import socket
import threading

import pytest

from lmtp_client import Client
from ports import free_port, LOCALHOST
from scripted_backend import (close, hold, reset, silent, slowly,
                              then_close)
from waiting import TIMEOUT
from waypost import file_passdb, static_passdb

STAGES = ["connect", "lhlo", "mail", "rcpt", "data", "body", "dot"]
# Only for those that say nothing: who is well has to answer in time, too.
QUICK = ("lmtp_proxy_connect_timeout = 2 secs\n"
         "lmtp_proxy_command_timeout = 2 secs\n"
         "lmtp_proxy_data_timeout = 2 secs\n")


@pytest.fixture
def proxy(backend, waypost):
    return waypost(static_passdb(backend))


@pytest.fixture
def quick(backend, waypost):
    return waypost(static_passdb(backend) + QUICK)


def attempt(client, body="Subject: x\r\n\r\nbody\r\n", rcpts=("joe@example.org",)):
    """The last reply of each recipient, however far it got."""
    assert client.mail() == 250
    outcome = {rcpt: client.rcpt(rcpt) for rcpt in rcpts}
    accepted = [rcpt for rcpt in rcpts if outcome[rcpt] == 250]
    if accepted:
        for rcpt, reply in zip(accepted, client.data(body, len(accepted))):
            outcome[rcpt] = reply
    else:
        assert client.command("RSET") == 250
    return [outcome[rcpt] for rcpt in rcpts]


def assert_recovers(proxy, backend, client):
    """The session goes on, and the next message gets through."""
    backend.script.clear()
    backend.release()
    assert attempt(client)[0] == 250


def test_refused(instance):
    proxy = instance()
    proxy.start(f"passdb {{\n driver = static\n args = nopassword=y proxy=y "
                f"host={LOCALHOST} port={free_port()}\n}}\n")
    with proxy.session() as client:
        reply, = attempt(client)
        assert reply == "451 4.4.0 <joe@example.org> Proxy failed (connect,"
    proxy.wait_log(r"Error: .*not sent .*reply=\"451 4\.4\.0")


@pytest.mark.parametrize("stage", STAGES)
def test_killed_at(proxy, backend, stage):
    backend.on(stage, reset)
    with proxy.session() as client:
        reply, = attempt(client, "x" * 100000)
        assert reply.code == 451 and reply.enhanced == "4.4.0"
        assert_recovers(proxy, backend, client)


@pytest.mark.parametrize("stage", STAGES)
def test_closed_at(proxy, backend, stage):
    backend.on(stage, close)
    with proxy.session() as client:
        reply, = attempt(client)
        assert reply.code == 451 and reply.enhanced == "4.4.0"
        assert_recovers(proxy, backend, client)


@pytest.mark.parametrize("ending", [then_close, lambda reply: reply],
                         ids=["closing", "staying"])
@pytest.mark.parametrize("stage", STAGES)
def test_421_at(proxy, backend, stage, ending):
    backend.on(stage, ending("421 4.3.2 going down"))
    with proxy.session() as client:
        reply, = attempt(client)
        assert reply.code == 451 and reply.enhanced == "4.4.0"
        assert client.command("NOOP") == 250  # not the client's 421
        assert_recovers(proxy, backend, client)


@pytest.mark.parametrize("stage", [s for s in STAGES if s != "body"])
def test_silent_at(quick, backend, stage):
    backend.on(stage, silent)
    with quick.session() as client:
        reply, = attempt(client)
        assert reply.code == 451 and reply.enhanced == "4.4.0"
        assert_recovers(quick, backend, client)


@pytest.mark.parametrize("garbage", [
    b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00\x01\x02\x03\r\n",
    b"25\r\n", b"999 what\r\n", b"250-one\r\n550 two\r\n", b"\r\n",
    b"250" + b"x" * 100000, b"x" * 100000 + b"\r\n", b"-25 hm\r\n",
    b"2\x8050 x\r\n",
], ids=["http", "nul", "short", "999", "mixed", "empty", "endless-line",
        "long-line", "dash", "high-byte"])
@pytest.mark.parametrize("stage", ["connect", "lhlo", "mail", "rcpt", "data",
                                   "dot"])
def test_garbage_at(proxy, backend, stage, garbage):
    backend.on(stage, garbage)
    with proxy.session() as client:
        reply, = attempt(client)
        assert reply.code == 451 and reply.enhanced == "4.4.0", reply
        assert_recovers(proxy, backend, client)


@pytest.mark.parametrize("stage,reply", [
    ("connect", "354 huh"), ("connect", "150 wait"),
    ("lhlo", "354 huh"), ("mail", "354 huh"), ("rcpt", "354 huh"),
    ("data", "250 2.0.0 already?"), ("data", "220 hello"),
    ("dot", "354 more?"),
])
def test_wrong_kind_of_reply(proxy, backend, stage, reply):
    """Above all: 250 to DATA is no delivery."""
    backend.on(stage, reply)
    with proxy.session() as client:
        outcome, = attempt(client)
        assert outcome.code == 451, outcome
        assert_recovers(proxy, backend, client)


@pytest.mark.parametrize("reply", ["554 5.3.2 no service", "550 go away",
                                   "450 4.3.2 busy"])
@pytest.mark.parametrize("stage", ["connect", "lhlo"])
def test_refused_session_is_no_bounce(proxy, backend, stage, reply):
    """The server said nothing about the recipient."""
    backend.on(stage, reply)
    with proxy.session() as client:
        outcome, = attempt(client)
        assert outcome.code == 451 and outcome.enhanced == "4.4.0"


def test_slow_at_every_stage(backend, waypost):
    proxy = waypost(static_passdb(backend))
    for stage in ("connect", "mail", "rcpt", "data", "dot"):
        backend.on(stage, slowly(backend.usual(stage, None)), times=1)
    with proxy.session() as client:
        assert attempt(client)[0] == 250


def test_slow_capabilities(backend, waypost):
    backend.on("lhlo", slowly("250-backend.example\r\n250-PIPELINING\r\n"
                              "250 8BITMIME"))
    proxy = waypost(static_passdb(backend))
    with proxy.session() as client:
        assert attempt(client)[0] == 250


def test_replies_with_bare_newlines(backend, waypost):
    backend.on("connect", b"220 hello\n")
    backend.on("dot", b"250 2.0.0 ok\n")
    proxy = waypost(static_passdb(backend))
    with proxy.session() as client:
        assert attempt(client)[0] == 250


def test_long_multi_line_greeting(backend, waypost):
    backend.on("connect", ["220-line %d" % i for i in range(50)] + ["220 go"])
    proxy = waypost(static_passdb(backend))
    with proxy.session() as client:
        assert attempt(client)[0] == 250


@pytest.mark.parametrize("stage", ["connect", "lhlo", "rcpt", "dot"])
def test_endless_reply(proxy, backend, stage):
    """Nothing that a peer sends may grow for ever."""
    def flood(conn, _arg):
        for _ in range(20000):
            conn.send(b"250-and another line of it\r\n")
    backend.on(stage, flood)
    with proxy.session() as client:
        reply, = attempt(client)
        assert reply.code == 451 and reply.enhanced == "4.4.0"


@pytest.mark.parametrize("reply", ["552 5.3.4 too big", "451 4.3.0 no room"])
@pytest.mark.parametrize("closing", [False, True])
def test_early_reply(proxy, backend, reply, closing):
    """A refusal while the body is still on its way."""
    backend.on("body", then_close(reply) if closing else reply)
    with proxy.session() as client:
        outcome, = attempt(client, "x" * 3000000)
        assert outcome.code in (int(reply[:3]), 451), outcome
        assert_recovers(proxy, backend, client)


def test_early_refusal_is_the_recipients_reply(proxy, backend):
    """The reply is there before the client has sent its end."""
    backend.on("body", "552 5.3.4 too big")
    with proxy.session() as client:
        client.start_data("joe@example.org")
        client.send(b"x" * 70 + b"\r\n")
        backend.wait_closed(0)
        client.send(b"rest\r\n.\r\n")
        assert client.reply() == "552 5.3.4 <joe@example.org> too big"
    assert not backend.messages


def test_early_success_is_no_delivery(proxy, backend):
    """250 before the final dot, and then gone: nothing was delivered."""
    backend.on("body", then_close("250 2.0.0 thanks"))
    with proxy.session() as client:
        client.start_data("joe@example.org")
        client.send(b"x" * 70 + b"\r\n")
        backend.wait_closed(0)
        client.send(b"rest\r\n.\r\n")
        assert client.reply().code == 451


def test_lost_during_data_fails_only_its_own(backends, instance):
    lost, fine = backends(), backends()
    lost.on("body", reset)
    proxy = instance()
    proxy.start(file_passdb(proxy, lost=lost, fine=fine))
    with proxy.session() as client:
        outcomes = attempt(client, "x" * 1000000,
                           ["lost@example.org", "fine@example.org"])
    assert [r.code for r in outcomes] == [451, 250]
    assert len(fine.wait_messages(1)[0].text) == 1000002


def test_lost_reply_is_never_retried(proxy, backend):
    """Gone between the dot and its reply: perhaps delivered, so 451, and no
    second copy."""
    backend.on("dot", close, times=1)
    with proxy.session() as client:
        assert attempt(client)[0] == 451
    assert len(backend.connections) == 1
    assert len(backend.messages) == 1


def test_some_replies_then_gone(proxy, backend):
    """Those who were answered were answered."""
    backend.on("dot", lambda conn, rcpt: "250 2.0.0 ok" if rcpt[0] == "a"
               else close(conn, rcpt))
    with proxy.session() as client:
        outcomes = attempt(client, rcpts=["a@example.org", "b@example.org",
                                          "c@example.org"])
    assert [r.code for r in outcomes] == [250, 451, 451]


def test_half_close(proxy, backend):
    """The backend ends its side but would still read."""
    def shut(conn, _arg):
        conn.sock.shutdown(socket.SHUT_WR)
    backend.on("rcpt", shut)
    with proxy.session() as client:
        assert attempt(client)[0] == 451
        assert_recovers(proxy, backend, client)


def test_stops_reading(backends, instance):
    """A backend that takes no more of the body is given up after a while; the
    others are not held up."""
    stuck, fine = backends(rcvbuf=4096), backends()
    stuck.on("body", hold)
    proxy = instance()
    proxy.start("lmtp_proxy_data_timeout = 2 secs\n" +
                file_passdb(proxy, stuck=stuck, fine=fine))
    with proxy.session() as client:
        outcomes = attempt(client, "x" * 20000000,
                           ["stuck@example.org", "fine@example.org"])
    assert [r.code for r in outcomes] == [451, 250]


def test_too_few_replies(quick, backend):
    backend.on("dot", lambda conn, rcpt: "250 2.0.0 ok" if rcpt[0] == "a"
               else None)
    with quick.session() as client:
        outcomes = attempt(client, rcpts=["a@example.org", "b@example.org"])
    assert [r.code for r in outcomes] == [250, 451]


def test_backend_that_is_restarted(backend, backends, instance):
    proxy = instance()
    proxy.start(static_passdb(backend))
    with proxy.session() as client:
        assert attempt(client)[0] == 250
        backend.stop()
        assert attempt(client)[0] == 451
        again = backends(host=backend.host, port=backend.port)
        assert attempt(client)[0] == 250
        assert len(again.messages) == 1


def test_many_sessions_with_a_backend_that_dies(proxy, backend):
    """Each client gets an answer for each recipient, whatever happens."""
    backend.on("dot", reset, times=5)
    backend.on("rcpt", close, times=5)
    results = []

    def run():
        with Client(proxy.address) as client:
            client.lhlo()
            for _ in range(5):
                results.append(attempt(client)[0].code)
    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 40
    assert set(results) <= {250, 451}
    assert results.count(250) <= len(backend.messages)


# --- beside a backend that is well ---

FAILURES = {
    "close": close, "reset": reset, "silent": silent,
    "421": "421 4.3.2 going down", "garbage": "rubbish",
    "half close": lambda conn, _arg: conn.sock.shutdown(socket.SHUT_WR),
}


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("stage", STAGES)
def test_others_are_not_harmed(backends, instance, stage, failure):
    """One backend fails at each stage, in each way; the other's recipient is
    delivered to exactly once, and so are its next ones."""
    bad, good = backends(), backends()
    bad.on(stage, FAILURES[failure])
    proxy = instance()
    proxy.start((QUICK if failure == "silent" else "") +
                file_passdb(proxy, bad=bad, good=good))
    with proxy.session() as client:
        outcomes = attempt(client, rcpts=["bad@example.org",
                                          "good@example.org"])
        if (stage, failure) == ("body", "silent"):
            assert outcomes[0] == 250  # it just goes on reading
        else:
            assert outcomes[0].code == 451, outcomes[0]
            assert outcomes[0].enhanced == "4.4.0"
        assert outcomes[1] == 250
        assert attempt(client, rcpts=["good@example.org"])[0] == 250
    assert [m.rcpts for m in good.messages] == [["good@example.org"]] * 2
    proxy.wait_log(r"not sent .*to=<bad@" if outcomes[0] == 451
                   else r": sent .*to=<bad@")


def test_never_accepts(instance):
    """SYNs to a full queue are dropped."""
    proxy = instance()
    with socket.socket() as full:
        full.bind((LOCALHOST, 0))
        full.listen(0)
        blockers = [socket.socket() for _ in range(4)]
        for blocker in blockers:
            blocker.setblocking(False)
            blocker.connect_ex(full.getsockname())
        proxy.start("lmtp_proxy_connect_timeout = 1 secs\npassdb {\n"
                    " driver = static\n args = nopassword=y proxy=y "
                    f"host={LOCALHOST} port={full.getsockname()[1]}\n}}\n")
        with proxy.session() as client:
            assert attempt(client)[0] == \
                "451 4.4.0 <joe@example.org> Proxy failed (connect,"
        for blocker in blockers:
            blocker.close()


def test_unreachable(instance):
    proxy = instance()
    proxy.start("passdb {\n driver = static\n args = nopassword=y proxy=y "
                "host=255.255.255.255 port=24\n}\n")
    with proxy.session() as client:
        assert attempt(client)[0] == \
            "451 4.4.0 <joe@example.org> Proxy failed (connect,"


# --- out of step ---

@pytest.mark.parametrize("ending", [None, close], ids=["staying", "closing"])
def test_answer_before_the_message(backends, instance, ending):
    """354 and 250 in one segment, with the client's message all there: that
    250 was said about nothing."""
    hasty, calm = backends(), backends()
    told = threading.Event()

    def both(conn, _arg):
        told.wait(TIMEOUT)
        conn.send(b"354 go on\r\n250 2.0.0 done\r\n")
        return ending(conn, _arg) if ending else None
    hasty.on("data", both)
    proxy = instance()
    proxy.start(file_passdb(proxy, hasty=hasty, calm=calm))
    with proxy.session() as client:
        client.start_data("hasty@example.org", "calm@example.org")
        client.send("x\r\n.\r\n")
        calm.wait_messages(1)
        told.set()
        assert [r.code for r in client.replies(2)] == [451, 250]


@pytest.mark.parametrize("stage,said", [
    ("connect", ["220 hello", "220 hello again"]),
    ("lhlo", ["250 backend.example", "250 and more"]),
    ("mail", ["250 ok", "250 ok", "250 ok"]),
    ("rcpt", ["250 ok", "550 not ok"]),
    ("data", ["354 go", "354 go"]),
])
def test_replies_that_nobody_asked_for(proxy, backend, stage, said):
    """Whatever comes of it, what it says is not taken for other answers."""
    backend.on(stage, said, times=1)
    with proxy.session() as client:
        reply, = attempt(client)
        assert reply.code == 451 or backend.messages
        backend.on("rcpt", "550 5.1.1 no")
        assert attempt(client, rcpts=["ann@example.org"])[0] == \
            "550 5.1.1 <ann@example.org> no"


@pytest.mark.parametrize("refusal,second", [
    ("452 4.3.1 no room", "452 4.3.1 <b@example.org> no room"),
    ("554 5.6.0 not for you", "451 4.4.0 <b@example.org> Proxy failed"),
])
def test_early_refusal_of_two(proxy, backend, refusal, second):
    """For now: it goes for all. For good: only for whose turn it is."""
    backend.on("body", refusal)
    with proxy.session() as client:
        client.start_data("a@example.org", "b@example.org")
        client.send(b"x" * 70 + b"\r\n")
        backend.wait_closed(0)
        client.send(b".\r\n")
        code, enhanced, text = refusal.split(" ", 2)
        assert client.reply().raw == [
            f"{code} {enhanced} <a@example.org> {text}"]
        assert client.reply() == second
    assert not backend.messages


def test_hanging_backend_does_not_hold_up_sessions(backends, instance):
    bad, good = backends(), backends()
    bad.on("rcpt", hold)
    proxy = instance()
    proxy.start(file_passdb(proxy, bad=bad, good=good))
    stuck = [proxy.session() for _ in range(10)]
    for client in stuck:
        client.send("MAIL FROM:<>\r\nRCPT TO:<bad@example.org>\r\n")
    bad.wait_held(10)
    with proxy.session() as client:
        for _ in range(10):
            assert client.deliver("good@example.org")[0] == 250
    bad.release()
    for client in stuck:
        client.close()
