"""Commands sent without waiting: worked on together, answered in order."""
import threading

import pytest

from lmtp_client import dot_stuff
from scripted_backend import hold, silent
from waypost import file_passdb, static_passdb


def test_whole_transaction_in_one_segment(backend, waypost):
    proxy = waypost(static_passdb(backend))
    with proxy.connect() as client:
        client.send("LHLO c\r\nMAIL FROM:<s@example.net>\r\n"
                    "RCPT TO:<a@example.org>\r\nRCPT TO:<b@example.org>\r\n"
                    "DATA\r\n")
        assert [r.code for r in client.replies(5)] == \
            [250, 250, 250, 250, 354]
        client.send(b"one\r\n.\r\nMAIL FROM:<s@example.net>\r\n"
                    b"RCPT TO:<c@example.org>\r\nDATA\r\n")
        assert [r.code for r in client.replies(5)] == \
            [250, 250, 250, 250, 354]
        client.send(b"two\r\n.\r\nQUIT\r\n")
        assert [r.code for r in client.replies(2)] == [250, 221]
        client.expect_closed()
    one, two = backend.wait_messages(2)
    assert (one.rcpts, one.text) == (["a@example.org", "b@example.org"],
                                     b"one\r\n")
    assert (two.rcpts, two.text) == (["c@example.org"], b"two\r\n")


def test_body_in_the_same_segment_as_data(backend, waypost):
    """A client that pipelines more than RFC 2920 allows still gets sense."""
    proxy = waypost(static_passdb(backend))
    with proxy.session() as client:
        client.send(b"MAIL FROM:<s@example.net>\r\nRCPT TO:<a@example.org>\r\n"
                    b"DATA\r\n" + dot_stuff(b"x: y\r\n\r\n.z\r\n") +
                    b"NOOP\r\n")
        assert [r.code for r in client.replies(5)] == \
            [250, 250, 354, 250, 250]
    assert backend.wait_messages(1)[0].text == b"x: y\r\n\r\n.z\r\n"


def test_mail_and_rcpt_leave_in_one_segment(backend, waypost):
    proxy = waypost(static_passdb(backend))
    with proxy.session() as client:
        client.pipeline("MAIL FROM:<s@example.net>", "RCPT TO:<a@example.org>",
                        "RCPT TO:<b@example.org>", "RCPT TO:<c@example.org>")
    assert b"MAIL FROM:<s@example.net>\r\nRCPT TO:<a@example.org>\r\n" \
        b"RCPT TO:<b@example.org>\r\nRCPT TO:<c@example.org>\r\n" in \
        backend.connections[0].segments


def test_no_pipelining_to_a_peer_without_it(backends, waypost):
    backend = backends(capabilities=["8BITMIME"])
    proxy = waypost(static_passdb(backend))
    with proxy.session() as client:
        codes = [r.code for r in client.pipeline(
            "MAIL FROM:<s@example.net>", "RCPT TO:<a@example.org>",
            "RCPT TO:<b@example.org>")]
        assert codes == [250, 250, 250]
        assert [r.code for r in client.data("x", 2)] == [250, 250]
    for segment in backend.connections[0].segments:
        if segment[:4] in (b"MAIL", b"RCPT", b"DATA"):
            assert segment.count(b"\r\n") == 1


def test_recipients_are_forwarded_concurrently_and_answered_in_order(
        backends, instance):
    slow, fast = backends(), backends()
    slow.on("rcpt", hold)
    proxy = instance()
    proxy.start(file_passdb(proxy, slow=slow, fast=fast))
    with proxy.session() as client:
        client.send("MAIL FROM:<s@example.net>\r\n"
                    "RCPT TO:<slow@example.org>\r\n"
                    "RCPT TO:<fast@example.org>\r\n"
                    "RCPT TO:<nobody@example.org>\r\n")
        slow.wait_held()
        fast.wait_command("RCPT TO:<fast@example.org>")
        client.expect_silence()
        slow.release()
        assert [r.code for r in client.replies(4)] == [250, 250, 250, 550]


def test_many_backends_at_once(backends, instance):
    many = [backends() for _ in range(8)]
    for backend in many:
        backend.on("rcpt", hold)
    proxy = instance()
    proxy.start(file_passdb(proxy, **{f"u{i}": b
                                      for i, b in enumerate(many)}))
    with proxy.session() as client:
        client.send("MAIL FROM:<s@example.net>\r\n" + "".join(
            f"RCPT TO:<u{i}@example.org>\r\n" for i in range(8)))
        for backend in many:
            backend.wait_held()
        for backend in reversed(many):
            backend.release()
        assert [r.code for r in client.replies(9)] == [250] * 9
        assert [r.code for r in client.data("x", 8)] == [250] * 8
    for i, backend in enumerate(many):
        assert backend.wait_messages(1)[0].rcpts == [f"u{i}@example.org"]


def test_data_waits_for_the_recipients(backend, waypost):
    backend.on("rcpt", hold)
    proxy = waypost(static_passdb(backend))
    with proxy.session() as client:
        client.send("MAIL FROM:<s@example.net>\r\nRCPT TO:<a@example.org>\r\n"
                    "DATA\r\n")
        backend.wait_held()
        client.expect_silence()
        backend.release()
        assert [r.code for r in client.replies(3)] == [250, 250, 354]


def test_data_after_refused_recipients(backend, waypost):
    backend.on("rcpt", "550 5.1.1 no")
    proxy = waypost(static_passdb(backend))
    with proxy.session() as client:
        assert [r.code for r in client.pipeline(
            "MAIL FROM:<s@example.net>", "RCPT TO:<a@example.org>",
            "RCPT TO:<b@example.org>", "DATA", "RSET", "NOOP")] == \
            [250, 550, 550, 503, 250, 250]


def test_rset_and_quit_wait_their_turn(backend, waypost):
    backend.on("rcpt", hold)
    proxy = waypost(static_passdb(backend))
    with proxy.session() as client:
        client.send("MAIL FROM:<s@example.net>\r\nRCPT TO:<a@example.org>\r\n"
                    "RSET\r\nQUIT\r\n")
        backend.wait_held()
        client.expect_silence()
        backend.release()
        assert [r.code for r in client.replies(4)] == [250, 250, 250, 221]
        client.expect_closed()


def test_errors_between_recipients_keep_their_place(backend, waypost):
    backend.on("rcpt", hold, times=1)
    proxy = waypost(static_passdb(backend))
    with proxy.session() as client:
        client.send("MAIL FROM:<s@example.net>\r\nRCPT TO:<a@example.org>\r\n"
                    "RCPT TO:<broken\r\nRCPT TO:<b@example.org>\r\n"
                    "FROB\r\nRCPT TO:<c@example.org>\r\n")
        backend.wait_held()
        backend.release()
        assert [r.code for r in client.replies(6)] == \
            [250, 250, 501, 250, 500, 250]


def test_outcomes_in_order_whoever_answers_first(backends, instance):
    slow, fast = backends(), backends()
    slow.on("dot", hold)
    proxy = instance()
    proxy.start(file_passdb(proxy, slow=slow, fast=fast))
    with proxy.session() as client:
        client.pipeline("MAIL FROM:<s@example.net>",
                        "RCPT TO:<slow@example.org>",
                        "RCPT TO:<fast@example.org>")
        client.command("DATA")
        client.send("x\r\n.\r\n")
        slow.wait_held()
        fast.wait_messages(1)
        client.expect_silence()
        slow.release()
        first, second = client.replies(2)
    assert first.text.startswith("<slow@example.org>")
    assert second.text.startswith("<fast@example.org>")


def test_long_pipeline_of_small_commands(backend, waypost):
    proxy = waypost(static_passdb(backend))
    with proxy.session() as client:
        client.send("NOOP\r\n" * 20000)
        assert {r.code for r in client.replies(20000)} == {250}


def test_client_that_pipelines_and_leaves_gets_its_mail_delivered_or_not(
        backend, waypost):
    """QUIT behind the final dot: the message goes through first."""
    proxy = waypost(static_passdb(backend))
    with proxy.session() as client:
        client.send(b"MAIL FROM:<s@example.net>\r\nRCPT TO:<a@example.org>\r\n"
                    b"DATA\r\nx\r\n.\r\nQUIT\r\n")
        client.half_close()
        assert [r.code for r in client.replies(5)] == \
            [250, 250, 354, 250, 221]
        client.expect_closed()
    backend.wait_messages(1)


@pytest.mark.parametrize("stage", ["rcpt", "dot"])
def test_backend_may_answer_everything_in_one_segment(backend, waypost, stage):
    """Replies that come in one piece, and in pieces within a line."""
    answers = []

    def collect(conn, rcpt):
        answers.append(b"250 2.0.0 " + rcpt.encode() + b"\r\n")
        if stage == "rcpt" and len(answers) < 3:
            conn.rcpts.append(rcpt)
        if len(answers) == 3:
            whole = b"".join(answers)
            conn.send(whole[:20])
            conn.send(whole[20:45])
            conn.send(whole[45:])
        return None

    backend.on(stage, collect)
    proxy = waypost(static_passdb(backend))
    with proxy.session() as client:
        rcpts = [f"{c}@example.org" for c in "abc"]
        assert [r.code for r in client.pipeline(
            "MAIL FROM:<s@example.net>",
            *[f"RCPT TO:<{r}>" for r in rcpts])] == [250] * 4
        assert [r.code for r in client.data("x", 3)] == [250] * 3


def test_silent_backend_delays_only_its_own(backends, instance):
    dead, alive = backends(), backends()
    dead.on("rcpt", silent)
    proxy = instance()
    proxy.start("lmtp_proxy_command_timeout = 2 secs\n" +
                file_passdb(proxy, dead=dead, alive=alive))
    with proxy.session() as client:
        assert [r.code for r in client.pipeline(
            "MAIL FROM:<s@example.net>", "RCPT TO:<dead@example.org>",
            "RCPT TO:<alive@example.org>")] == [250, 451, 250]
        assert client.data("x", 1)[0] == 250


def test_large_body_behind_everything(backend, waypost):
    """More than is read ahead, sent without waiting for 354."""
    backend.on("rcpt", hold)
    proxy = waypost(static_passdb(backend))
    body = b"half\r\n" * 100000
    with proxy.session() as client:
        sender = threading.Thread(target=client.send, args=(
            b"MAIL FROM:<s@example.net>\r\nRCPT TO:<a@example.org>\r\n"
            b"DATA\r\n" + dot_stuff(body) + b"QUIT\r\n",))
        sender.start()
        backend.wait_held()
        backend.release()
        assert [r.code for r in client.replies(5)] == \
            [250, 250, 354, 250, 221]
        sender.join()
    assert backend.wait_messages(1)[0].text == body


def test_next_message_behind_the_first(backend, waypost):
    backend.on("dot", hold, times=1)
    proxy = waypost(static_passdb(backend))
    message = (b"MAIL FROM:<s@example.net>\r\nRCPT TO:<a@example.org>\r\n"
               b"DATA\r\nx\r\n.\r\n")
    with proxy.session() as client:
        client.send(message + message + b"QUIT\r\n")
        backend.wait_held()
        backend.release()
        assert [r.code for r in client.replies(9)] == \
            [250, 250, 354, 250] * 2 + [221]
    assert len(backend.messages) == 2


def test_many_recipients_over_some_backends(backends, instance):
    servers = [backends() for _ in range(4)]
    for server in servers:
        server.on("rcpt", lambda conn, rcpt: f"250 2.1.5 {rcpt}")
    proxy = instance()
    names = [f"u{number}" for number in range(100)]
    proxy.start(file_passdb(proxy, **{
        name: servers[number % 4] for number, name in enumerate(names)}))
    with proxy.session() as client:
        replies = client.pipeline(
            "MAIL FROM:<s@example.net>",
            *[f"RCPT TO:<{name}@example.org>" for name in names])
        assert [r.text for r in replies[1:]] == \
            [f"{name}@example.org" for name in names]
        replies = client.data("x", 100)
    assert [r.text.split()[0] for r in replies] == \
        [f"<{name}@example.org>" for name in names]
    assert [len(server.messages) for server in servers] == [1] * 4


def test_finished_outcomes_do_not_wait_for_later_ones(backends, instance):
    slow, fast = backends(), backends()
    slow.on("dot", hold)
    proxy = instance()
    proxy.start(file_passdb(proxy, slow=slow, fast=fast))
    with proxy.session() as client:
        client.pipeline("MAIL FROM:<s@example.net>",
                        "RCPT TO:<fast@example.org>",
                        "RCPT TO:<slow@example.org>")
        client.command("DATA")
        client.send("x\r\n.\r\n")
        slow.wait_held()
        assert client.reply().text.startswith("<fast@example.org> ")
        client.expect_silence()
        slow.release()
        assert client.reply().text.startswith("<slow@example.org> ")
