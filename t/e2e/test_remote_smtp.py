"""Delivery to SMTP servers: one reply for all recipients of a connection."""
import pytest

from waypost import file_passdb, static_passdb


@pytest.fixture
def smtp(backends):
    return backends(lmtp=False)


@pytest.fixture
def proxy(smtp, waypost):
    return waypost(static_passdb(smtp, "protocol=smtp"))


def test_ehlo(proxy, smtp):
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250
    assert smtp.commands[0] == "EHLO proxy.example"
    assert smtp.wait_messages(1)[0].rcpts == ["joe@example.org"]


def test_orcpt_only_where_it_is_offered(backends, instance):
    """Unlike with LMTP, where Dovecot takes it without saying so."""
    old = backends(lmtp=False)
    new = backends(lmtp=False, capabilities=["PIPELINING", "DSN"])
    proxy = instance()
    fields = "protocol=smtp destuser=j123@store.example"
    proxy.start(file_passdb(proxy, a=(old, fields), b=(new, fields)))
    with proxy.session() as client:
        assert [reply.code for reply in client.deliver(
            ["a@example.org", "b@example.org"])] == [250, 250]
    assert "RCPT TO:<j123@store.example>" in old.commands
    assert ("RCPT TO:<j123@store.example> ORCPT=rfc822;b@example.org"
            in new.commands)


@pytest.mark.parametrize("refusal", ["500 what?", "502 5.5.1 no"])
def test_helo_for_an_old_server(proxy, smtp, refusal):
    smtp.on("lhlo", lambda conn, line: refusal if line.startswith("EHLO")
            else "250 backend.example")
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250
    assert smtp.commands[:2] == ["EHLO proxy.example", "HELO proxy.example"]


@pytest.mark.parametrize("reply", [
    "250 2.0.0 queued", "451 4.3.0 later", "554 5.7.1 spam",
])
def test_one_reply_answers_all(proxy, smtp, reply):
    smtp.on("dot", reply)
    with proxy.session() as client:
        replies = client.deliver(["a@example.org", "b@example.org",
                                  "c@example.org"])
    code, enhanced, text = reply.split(" ", 2)
    for got, name in zip(replies, "abc"):
        assert got.code == int(code) and got.enhanced == enhanced
        assert got.text.startswith(f"<{name}@example.org> ")
        assert got.text.endswith(" Saved" if code == "250" else text)


def test_refused_recipient_among_accepted(proxy, smtp):
    smtp.on("rcpt", lambda conn, rcpt: "550 5.1.1 no" if rcpt[0] == "b"
            else "250 2.1.5 ok")
    with proxy.session() as client:
        client.mail()
        assert client.rcpt("a@example.org") == 250
        assert client.rcpt("b@example.org") == "550 5.1.1 <b@example.org> no"
        assert client.rcpt("c@example.org") == 250
        assert [r.code for r in client.data("x", 2)] == [250, 250]
    assert smtp.wait_messages(1)[0].rcpts == ["a@example.org",
                                              "c@example.org"]


def test_refused_data(proxy, smtp):
    smtp.on("data", "554 5.5.1 no")
    with proxy.session() as client:
        client.mail()
        client.rcpt("a@example.org")
        client.rcpt("b@example.org")
        assert [r.code for r in client.data("x", 2)] == [554, 554]


@pytest.mark.parametrize("stage", ["mail", "rcpt", "data", "dot"])
def test_a_server_that_wants_tls_first(proxy, smtp, stage):
    """That is for whoever wrote the passdb to mend, and no bounce."""
    smtp.on(stage, "530 5.7.0 Must issue a STARTTLS command first")
    rcpts = ["a@example.org", "b@example.org"]
    with proxy.session() as client:
        if stage in ("mail", "rcpt"):
            client.mail()
            replies = [client.rcpt(rcpt) for rcpt in rcpts]
        else:
            replies = client.deliver(rcpts)
    assert [(r.code, r.enhanced) for r in replies] == [(451, "4.7.0")] * 2
    proxy.wait_log(r'Error: .*to=<b@example.org>.*error="the server wants TLS .*530')


def test_lmtp_and_smtp_in_one_transaction(smtp, backend, instance):
    smtp.on("dot", "451 4.3.0 later")
    proxy = instance()
    proxy.start(file_passdb(proxy, a=(smtp, "protocol=smtp"), b=backend))
    with proxy.session() as client:
        replies = client.deliver(["a@example.org", "b@example.org"])
    assert [r.code for r in replies] == [451, 250]


def test_connections_are_pooled(proxy, smtp):
    with proxy.session() as client:
        for _ in range(3):
            assert client.deliver("joe@example.org")[0] == 250
    assert len(smtp.connections) == 1


def test_default_port_of_smtp(backends, waypost):
    """Port 25 may not be had by everybody, so only the attempt is seen."""
    proxy = waypost("lmtp_verbose_replies = yes\n"
                    "passdb {\n driver = static\n args = nopassword=y proxy=y "
                    "host=127.0.0.99 protocol=smtp\n}\n")
    with proxy.session() as client:
        client.mail()
        assert ":25" in client.rcpt("joe@example.org").text


def test_helo_means_no_extensions(proxy, smtp):
    smtp.on("lhlo", lambda conn, line: "500 what?" if line.startswith("EHLO")
            else ["250-backend.example", "250-PIPELINING", "250 SIZE"])
    with proxy.session() as client:
        client.mail(params=" BODY=8BITMIME SIZE=100")
        assert client.rcpt("a@example.org") == 250
        assert client.data("x", 1)[0] == 250
    assert "MAIL FROM:<sender@example.net>" in smtp.commands


def test_ehlo_refused_for_good(proxy, smtp):
    smtp.on("lhlo", "554 5.7.1 not you")
    with proxy.session() as client:
        client.mail()
        assert client.rcpt("a@example.org") == "451 4.4.0 "


def test_early_refusal_answers_all(proxy, smtp):
    smtp.on("body", "554 5.7.1 spam")
    with proxy.session() as client:
        client.start_data("a@example.org", "b@example.org")
        client.send(b"x" * 70 + b"\r\n")
        smtp.wait_closed(0)
        client.send(b"rest\r\n.\r\n")
        assert [r.raw[0] for r in client.replies(2)] == [
            "554 5.7.1 <a@example.org> spam", "554 5.7.1 <b@example.org> spam"]
