"""Connections to backends are kept and used again, within limits."""

import threading
import time

import pytest

from backend import CLOSE, after, sequence
from waiting import wait_for
from waypost import static

# The pool belongs to a worker thread: one of them makes reuse certain.
ONE = "service lmtp {\n  process_min_avail = 1\n}\n"
BODY = "Subject: x\r\n\r\n"


@pytest.fixture
def session(waypost, backend, client):
    """A session with one backend; session.another() opens one more."""

    def start(config="", fields="", **stages):
        server = backend(**stages)
        proxy = waypost(static(server, fields) + ONE + config)

        def another():
            connection = client(proxy)
            connection.lhlo()
            connection.server, connection.proxy = server, proxy
            connection.another = another
            return connection

        return another()

    return start


def delivered(connection):
    reply = connection.deliver("joe@example.org")[0]
    assert reply.code == 250, reply


def test_reuse_within_a_session(session):
    connection = session()
    for _ in range(5):
        delivered(connection)
    assert len(connection.server.connections) == 1
    assert len(connection.server.messages) == 5
    assert len(connection.server.commands("LHLO")) == 1


def test_reuse_by_another_session(session):
    connection = session()
    delivered(connection)
    connection.quit()
    delivered(connection.another())
    assert len(connection.server.connections) == 1


def test_parallel_sessions_have_their_own(session):
    connection = session()
    other = connection.another()
    connection.envelope("joe@example.org")
    other.envelope("jim@example.org")
    assert len(connection.server.connections) == 2
    for each in (connection, other):
        assert each.body(BODY)[0].code == 250
    delivered(connection)
    assert len(connection.server.connections) == 2


def test_max_idle_zero_never_reuses(session):
    connection = session("lmtp_proxy_pool_max_idle = 0\n")
    delivered(connection)
    delivered(connection)
    assert len(connection.server.connections) == 2
    assert [connection.server.wait_ended(i) for i in (0, 1)] == \
        ["quit", "quit"]


def test_idle_connection_ends_with_quit(session):
    connection = session("lmtp_proxy_pool_max_idle = 1s\n")
    delivered(connection)
    start = time.monotonic()
    assert connection.server.wait_ended() == "quit"
    assert time.monotonic() - start > 0.5
    delivered(connection)
    assert len(connection.server.connections) == 2


def test_old_connection_is_not_reused(session):
    connection = session("lmtp_proxy_pool_max_age = 1s\n")
    end = time.monotonic() + 10
    while len(connection.server.connections) < 2:
        assert time.monotonic() < end
        delivered(connection)
    assert connection.server.wait_ended(0) == "quit"
    assert len(connection.server.connections[0].messages) >= 1


def test_refused_recipient_does_not_cost_the_connection(session):
    connection = session(rcpt=sequence("550 5.1.1 no", "250 2.1.5 ok"))
    connection.mail()
    assert connection.rcpt("joe@example.org").code == 550
    connection.ok("RSET")
    delivered(connection)
    # What the abandoned transaction left is cleared away first.
    commands = connection.server.connections[0].commands
    assert len(connection.server.connections) == 1
    assert "RSET" in commands
    assert commands.index("RSET") < len(commands) - 3


def test_accepted_then_reset_by_client(session):
    connection = session()
    connection.envelope("joe@example.org")
    connection.ok("RSET")
    connection.server.wait_command("RSET")
    delivered(connection)
    assert len(connection.server.connections) == 1
    assert len(connection.server.messages) == 1
    assert connection.server.messages[0].recipients == ["joe@example.org"]


def test_rset_that_fails_costs_the_connection(session):
    connection = session(rset="500 5.5.1 what?")
    connection.envelope("joe@example.org")
    connection.ok("RSET")
    connection.server.wait_ended(0)
    delivered(connection)
    assert len(connection.server.connections) == 2


def test_client_gone_before_data_frees_the_connection(session):
    connection = session()
    connection.envelope("joe@example.org")
    connection.close()
    connection.server.wait_command("RSET")
    delivered(connection.another())
    assert len(connection.server.connections) == 1


def test_closed_while_idle(session):
    connection = session()
    delivered(connection)
    connection.server.connections[0].close()
    connection.server.wait_ended(0)
    for _ in range(3):
        delivered(connection)


def test_reset_while_idle(session):
    connection = session()
    delivered(connection)
    connection.server.connections[0].close(reset=True)
    for _ in range(3):
        delivered(connection)


def test_speaks_while_idle(session):
    # 421 and a close, as a server does that times out or stops.
    connection = session()
    delivered(connection)
    conn = connection.server.connections[0]
    conn.send(b"421 4.4.2 bye\r\n")
    wait_for(lambda: conn.ended, "the end of the connection")
    delivered(connection)
    assert len(connection.server.connections) == 2


@pytest.mark.parametrize("action", [
    "421 4.4.2 timed out", CLOSE, ["421 4.4.2 timed out", CLOSE],
])
def test_dies_on_first_command_of_reuse(session, action):
    # The client does not notice.
    connection = session(mail=sequence("250 2.1.0 ok", action,
                                       "250 2.1.0 ok"))
    delivered(connection)
    delivered(connection)
    assert len(connection.server.connections) == 2
    assert len(connection.server.messages) == 2


def test_new_connection_that_dies_is_not_retried(session):
    connection = session(mail=CLOSE)
    connection.mail()
    reply = connection.rcpt("joe@example.org")
    assert (reply.code, reply.enhanced) == (451, "4.4.0")
    assert len(connection.server.connections) == 1


def test_extra_reply_costs_the_connection(session):
    connection = session(dot="250 2.0.0 ok\r\n250 2.0.0 and more")
    delivered(connection)
    delivered(connection)
    assert len(connection.server.connections) == 2


def test_max_connections(session):
    event = threading.Event()
    connection = session("lmtp_proxy_pool_max_connections = 2\n",
                         dot=after(event, "250 2.0.0 ok"))
    clients = [connection] + [connection.another() for _ in range(5)]
    for each in clients[:2]:
        each.envelope("joe@example.org")
        each.ok("DATA", 354)
        each.send(BODY + ".\r\n")
    for each in clients[2:]:
        each.send("MAIL FROM:<>\r\nRCPT TO:<joe@example.org>\r\nDATA\r\n")
        assert each.reply().code == 250
        assert each.is_silent(0.05)
    assert len(connection.server.connections) == 2
    event.set()
    for each in clients[2:]:
        assert each.reply().code == 250
        assert each.reply().code == 354
        each.send(BODY + ".\r\n")
    for each in clients:
        assert each.reply().code == 250
    assert len(connection.server.messages) == 6
    assert len(connection.server.connections) == 2


def test_max_connections_over_all_workers(waypost, backend, client):
    server = backend()
    proxy = waypost(static(server) +
                    "lmtp_proxy_pool_max_connections = 1\n"
                    "service lmtp {\n  process_min_avail = 4\n}\n")
    clients = [client(proxy) for _ in range(8)]
    for each in clients:
        each.send("LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<joe@example.org>\r\n"
                  "DATA\r\n")
    answered = []

    def talk(each):
        assert [reply.code for reply in each.replies(4)] == \
            [250, 250, 250, 354]
        assert len(server.open_connections()) == 1
        each.send(BODY + ".\r\n")
        answered.append(each.reply().code)

    threads = [threading.Thread(target=talk, args=(each,))
               for each in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answered == [250] * 8
    assert len(server.messages) == 8


def test_wait_for_a_connection_ends(session):
    connection = session("lmtp_proxy_pool_max_connections = 1\n"
                         "lmtp_proxy_pool_wait_timeout = 1s\n")
    connection.envelope("joe@example.org")
    other = connection.another()
    other.mail()
    reply = other.rcpt("joe@example.org")
    assert (reply.code, reply.enhanced) == (451, "4.4.5")
    assert connection.body(BODY)[0].code == 250
    other.ok("RSET")
    delivered(other)


def test_waiter_that_goes_away(session):
    connection = session("lmtp_proxy_pool_max_connections = 1\n")
    connection.envelope("joe@example.org")
    other = connection.another()
    other.mail()
    other.send("RCPT TO:<joe@example.org>\r\n")
    assert other.is_silent(0.1)
    other.reset()
    third = connection.another()
    third.mail()
    third.send("RCPT TO:<joe@example.org>\r\n")
    assert third.is_silent(0.1)
    assert connection.body(BODY)[0].code == 250
    assert third.reply().code == 250
    assert third.body(BODY)[0].code == 250


def test_fair_queue(session):
    connection = session("lmtp_proxy_pool_max_connections = 1\n")
    connection.envelope("joe@example.org")
    waiting = []
    for number in range(4):
        other = connection.another()
        other.send(f"MAIL FROM:<{number}@example.net>\r\n"
                   "RCPT TO:<joe@example.org>\r\n")
        assert other.reply().code == 250
        assert other.is_silent(0.05)
        waiting.append(other)
    assert connection.body(BODY)[0].code == 250
    for other in waiting:
        assert other.reply().code == 250
        assert other.body(BODY)[0].code == 250
    assert [message.sender for message in connection.server.messages] == \
        ["sender@example.net"] + [f"{n}@example.net" for n in range(4)]


def test_no_limit_on_others(tmp, waypost, backend, client):
    # The limit is each backend's own.
    one, two = backend(), backend()
    (tmp / "users").write_text("".join(
        f"{user}@example.org:::::::proxy=y host=127.0.0.1 port={server.port}\n"
        for user, server in (("a", one), ("b", two))))
    proxy = waypost(f"passdb {{\n  driver = passwd-file\n"
                    f"  args = {tmp}/users\n}}\n" + ONE +
                    "lmtp_proxy_pool_max_connections = 1\n")
    for user in "ab":
        client(proxy).start(f"{user}@example.org")


def test_reuse_with_source_address(session):
    connection = session(fields="source_ip=127.0.0.8")
    delivered(connection)
    delivered(connection.another())
    assert [conn.peer[0] for conn in connection.server.connections] == \
        ["127.0.0.8"]


def test_limit_holds_after_backend_trouble(session):
    # Places of connections that failed are free again.
    connection = session("lmtp_proxy_pool_max_connections = 1\n",
                         greeting=sequence("554 no", CLOSE,
                                           "220 backend.test"))
    for code in (451, 451, 250):
        connection.mail()
        assert connection.rcpt("joe@example.org").code == code
        connection.ok("RSET")
