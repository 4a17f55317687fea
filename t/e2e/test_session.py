"""The LMTP server: commands, their order, their replies, its limits."""
import pytest

from waypost import file_passdb, static_passdb


@pytest.fixture
def proxy(backend, waypost):
    return waypost(static_passdb(backend))


def test_greeting_names_host_and_text(proxy):
    with proxy.connect() as client:
        assert client.greeting.raw == ["220 proxy.example Waypost ready."]


def test_login_greeting(backend, waypost):
    proxy = waypost(static_passdb(backend) + "login_greeting = Hello there.\n")
    with proxy.connect() as client:
        assert client.greeting.raw == ["220 proxy.example Hello there."]


def test_lhlo_lists_what_works_and_nothing_else(proxy):
    with proxy.connect() as client:
        reply = client.lhlo()
        assert reply == 250
        assert reply.lines[0] == "proxy.example"
        offered = {line.split()[0] for line in reply.lines[1:]}
        assert offered == {"8BITMIME", "CHUNKING", "ENHANCEDSTATUSCODES",
                           "PIPELINING", "SIZE", "SMTPUTF8"}


@pytest.mark.parametrize("verb", ["EHLO", "HELO"])
def test_smtp_greetings_are_refused(proxy, verb):
    with proxy.connect() as client:
        assert client.command(f"{verb} client.example") == "500 5.5.1 "
        assert client.lhlo() == 250


def test_lhlo_needs_a_name(proxy):
    with proxy.connect() as client:
        assert client.command("LHLO") == 501


def test_whole_message(proxy, backend):
    with proxy.session() as client:
        assert client.mail() == "250 2.1.0 OK"
        assert client.rcpt("joe@example.org") == "250 2.1.5 "
        assert client.command("DATA") == "354 OK"
        client.send("Subject: x\r\n\r\nhello\r\n.\r\n")
        reply = client.reply()
        assert reply.code == 250 and reply.enhanced == "2.0.0"
        assert reply.text.startswith("<joe@example.org> ")
        assert reply.text.endswith(" Saved")
        assert client.quit() == "221 2.0.0 Bye"
    message, = backend.wait_messages(1)
    assert message.sender == "sender@example.net"
    assert message.rcpts == ["joe@example.org"]
    assert message.text == b"Subject: x\r\n\r\nhello\r\n"


def test_commands_in_any_case(proxy):
    with proxy.connect() as client:
        assert client.command("lhlo client.example") == 250
        assert client.command("mail from:<a@example.net>") == 250
        assert client.command("rCpT tO:<b@example.org>") == 250
        assert client.command("rset") == 250
        assert client.command("quit") == 221


def test_mail_before_lhlo_is_taken(proxy):
    with proxy.connect() as client:
        assert client.mail() == "250 2.1.0 OK"


def test_order_of_commands(proxy):
    with proxy.session() as client:
        assert client.rcpt("joe@example.org") == "503 5.5.0 MAIL needed first"
        assert client.command("DATA") == "503 5.5.0 MAIL needed first"
        assert client.mail() == 250
        assert client.mail() == "503 5.5.0 MAIL already given"
        assert client.command("DATA") == "503 5.5.0 No valid recipients"
        assert client.rcpt("joe@example.org") == 250


def test_rset_forgets_the_transaction(proxy, backend):
    with proxy.session() as client:
        assert client.mail() == 250
        assert client.rcpt("joe@example.org") == 250
        assert client.command("RSET") == "250 2.0.0 OK"
        assert client.command("DATA") == 503
        assert client.mail() == 250
        assert client.command("DATA") == "503 5.5.0 No valid recipients"
        assert client.command("RSET") == 250
        assert client.deliver("ann@example.org")[0] == 250
    message, = backend.wait_messages(1)
    assert message.rcpts == ["ann@example.org"]


def test_lhlo_again_resets(proxy):
    with proxy.session() as client:
        assert client.mail() == 250
        assert client.lhlo("again.example") == 250
        assert client.mail() == 250


def test_small_commands(proxy):
    with proxy.session() as client:
        assert client.command("NOOP") == "250 2.0.0 OK"
        assert client.command("NOOP with words") == 250
        assert client.command("VRFY joe") == "252 2.3.3 Try RCPT instead"
        assert client.command("HELP") == "214 2.0.0 "
        assert client.command("STARTTLS") == "502 5.5.1 "
        assert client.command("AUTH PLAIN AAAA") == "502 5.5.1 "
        assert client.command("XCLIENT ADDR=192.0.2.1") == "550 5.7.14 "
        assert client.command("FROB") == "500 5.5.1 Unknown command"


def test_too_many_bad_commands(proxy):
    with proxy.session() as client:
        for _ in range(10):
            assert client.command("FROB") == "500 5.5.1 "
        assert client.command("FROB") == \
            "421 4.7.0 proxy.example Too many invalid commands."
        client.expect_closed()


def test_good_commands_forgive_bad_ones(proxy):
    with proxy.session() as client:
        for _ in range(3):
            for _ in range(9):
                assert client.command("FROB") == 500
            assert client.command("NOOP") == 250


def test_max_bad_commands_is_a_setting(backend, waypost):
    proxy = waypost(static_passdb(backend) + "lmtp_max_bad_commands = 2\n")
    with proxy.session() as client:
        client.command("FROB")
        client.command("FROB")
        assert client.command("FROB") == "421 4.7.0 "
        client.expect_closed()


def test_long_lines_are_refused(proxy):
    with proxy.session() as client:
        assert client.command("NOOP " + "x" * 10000) == \
            "500 5.5.2 Line too long"
        assert client.command("NOOP") == 250
        assert client.command("NOOP " + "x" * 200000) == "500 5.5.2 "
        assert client.command("NOOP " + "x" * 4000) == 250


@pytest.mark.parametrize("line", [
    "", " NOOP", "MA\0IL FROM:<a@example.net>", "\x80\x81",
])
def test_no_command_at_all(proxy, line):
    with proxy.session() as client:
        client.send(line.encode("latin-1") + b"\r\n")
        assert client.reply().code == 500
        assert client.command("NOOP") == 250


BROKEN_PATHS = ["<a@>", "<@example.net>", "<a@@example.net>",
                "<\"a@example.net>", "<a@[1.2.3.4>"]


@pytest.mark.parametrize("path", [
    "<", ">", "<a@example.net", "a@example.net", "<a b@example.net>",
    "<a@exa mple.net>", "<a@-example.net x>",
])
def test_bad_paths(proxy, path):
    with proxy.session() as client:
        assert client.command(f"MAIL FROM:{path}") == "501 5.5.4 "
        assert client.mail() == 250
        assert client.command(f"RCPT TO:{path}") == "501 5.5.4 "
        assert client.rcpt("joe@example.org") == 250


@pytest.mark.parametrize("path", BROKEN_PATHS)
def test_broken_recipients(proxy, path):
    with proxy.session() as client:
        assert client.mail() == 250
        assert client.command(f"RCPT TO:{path}") == "501 5.5.4 "
        assert client.rcpt("joe@example.org") == 250


@pytest.mark.parametrize("path", BROKEN_PATHS)
def test_broken_senders_are_passed_on_as_they_are(proxy, backend, path):
    """As in Dovecot: the mail is there, and its sender is not ours to judge."""
    with proxy.session() as client:
        assert client.deliver("joe@example.org", sender=path[1:-1])[0] == 250
    assert any(c.startswith(f"MAIL FROM:{path}") for c in backend.commands)


@pytest.mark.parametrize("local", ["a..b", ".a", "a."])
def test_dots_in_a_local_part(proxy, backend, local):
    """As in Dovecot: such mailboxes exist. With quotes they are legal."""
    with proxy.session() as client:
        assert client.deliver(f"{local}@example.org")[0] == 250
    assert backend.commands[2] == f'RCPT TO:<"{local}"@example.org>'


def test_null_recipient(proxy):
    with proxy.session() as client:
        assert client.mail() == 250
        assert client.rcpt("") == "501 5.5.4 "


def test_null_sender(proxy, backend):
    with proxy.session() as client:
        assert client.deliver("joe@example.org", sender="")[0] == 250
    assert backend.wait_messages(1)[0].sender == ""
    assert any(line.startswith("MAIL FROM:<>") for line in backend.commands)


def test_recipient_without_domain(proxy, backend):
    with proxy.session() as client:
        assert client.deliver("joe")[0] == 250
    assert backend.wait_messages(1)[0].rcpts == ["joe"]


def test_source_route_is_dropped(proxy, backend):
    with proxy.session() as client:
        assert client.mail("@a.example,@b.example:s@example.net") == 250
        assert client.rcpt("@relay.example:joe@example.org") == 250
        assert client.data("x", 1)[0].text.startswith("<joe@example.org> ")
    message, = backend.wait_messages(1)
    assert message.sender == "s@example.net"
    assert message.rcpts == ["joe@example.org"]


@pytest.mark.parametrize("local", [
    '"joe blow"', '"joe@home"', '"a\\"b"', "o'neil", "a=b/c", "x!y#z",
])
def test_unusual_local_parts_cross_unchanged(backend, waypost, local):
    proxy = waypost(static_passdb(backend) +
                    "auth_username_chars =\nauth_username_format = %u\n")
    with proxy.session() as client:
        reply, = client.deliver(f"{local}@example.org")
        assert reply.text.startswith(f"<{local}@example.org> ")
    assert backend.wait_messages(1)[0].rcpts == [f"{local}@example.org"]


def test_client_workarounds_off(proxy):
    with proxy.session() as client:
        assert client.command("MAIL FROM: <a@example.net>") == 501
        assert client.command("MAIL FROM:a@example.net") == 501


def test_client_workarounds(backend, waypost):
    proxy = waypost(static_passdb(backend) +
                    "lmtp_client_workarounds = whitespace-before-path "
                    "mailbox-for-path\n")
    with proxy.session() as client:
        assert client.command("MAIL FROM: <a@example.net>") == 250
        assert client.command("RCPT TO: joe@example.org") == 250
        assert client.data("x", 1)[0] == 250
    message, = backend.wait_messages(1)
    assert (message.sender, message.rcpts) == ("a@example.net",
                                               ["joe@example.org"])


@pytest.mark.parametrize("params", [
    " SIZE=x", " SIZE=1 SIZE=2", " SIZE=99999999999999999999999", " BODY=",
    " BODY=FOO", " BODY=7BIT BODY=7BIT", " SMTPUTF8=yes",
])
def test_bad_mail_parameters(proxy, params):
    with proxy.session() as client:
        reply = client.mail(params=params)
        assert reply.code in (501, 555) and reply.enhanced == "5.5.4"


@pytest.mark.parametrize("params", [
    " FROB", " BODY=BINARYMIME", " AUTH=<>", " RET=FULL", " ENVID=x",
])
def test_parameters_that_are_not_offered(proxy, params):
    with proxy.session() as client:
        assert client.mail(params=params) == "555 5.5.4 "


def test_parameters_pass_to_a_peer_that_takes_them(backends, waypost):
    backend = backends(capabilities=["PIPELINING", "SIZE 1000000", "8BITMIME",
                                     "SMTPUTF8"])
    proxy = waypost(static_passdb(backend))
    with proxy.session() as client:
        assert client.mail(params=" SIZE=100 BODY=8BITMIME") == 250
        assert client.rcpt("joe@example.org") == 250
        assert client.data("x", 1)[0] == 250
    mail, = [c for c in backend.commands if c.startswith("MAIL")]
    assert "BODY=8BITMIME" in mail.split()
    assert any(word.startswith("SIZE=") for word in mail.split())


def test_parameters_stay_away_from_a_peer_without_them(backends, waypost):
    backend = backends(capabilities=[])
    proxy = waypost(static_passdb(backend))
    with proxy.session() as client:
        assert client.mail(params=" SIZE=100 BODY=7BIT") == 250
        assert client.rcpt("joe@example.org") == 250
    mail, = [c for c in backend.commands if c.startswith("MAIL")]
    assert mail == "MAIL FROM:<sender@example.net>"


def test_smtputf8_only_to_a_peer_that_offers_it(backends, waypost, instance):
    able = backends(capabilities=["PIPELINING", "8BITMIME", "SMTPUTF8"])
    unable = backends(capabilities=["PIPELINING", "8BITMIME"])
    proxy = instance()
    proxy.start(file_passdb(proxy, able=able, unable=unable))
    with proxy.session() as client:
        assert client.mail("s\u00e9nder@example.net", " SMTPUTF8") == 250
        assert client.rcpt("able@example.org") == 250
        assert client.rcpt("unable@example.org") == "550 5.6.7 "
        assert client.data("x", 1)[0] == 250
    assert able.wait_messages(1)[0].sender == "s\u00e9nder@example.net"
    assert any("SMTPUTF8" in line for line in able.commands)
    assert not unable.messages


def test_utf8_address_needs_the_parameter(proxy):
    with proxy.session() as client:
        assert client.mail("s\u00e9nder@example.net") == "553 5.6.7 "
        assert client.mail() == 250
        assert client.rcpt("j\u00f6e@example.org") == "553 5.6.7 "


def test_orcpt_is_passed_to_a_peer_with_dsn(backends, waypost):
    backend = backends(capabilities=["PIPELINING", "DSN"])
    proxy = waypost(static_passdb(backend))
    with proxy.session() as client:
        assert client.mail() == 250
        assert client.rcpt("joe@example.org",
                           " ORCPT=rfc822;old+2Bx@example.org") == 250
    assert "RCPT TO:<joe@example.org> ORCPT=rfc822;old+2Bx@example.org" in \
        backend.commands


def test_notify_needs_a_peer_with_dsn(backends, waypost):
    backend = backends(capabilities=["PIPELINING", "DSN"])
    proxy = waypost(static_passdb(backend))
    with proxy.session() as client:
        assert client.mail() == 250
        assert client.rcpt("joe@example.org", " NOTIFY=SUCCESS") == 250
    assert "RCPT TO:<joe@example.org> NOTIFY=SUCCESS" in backend.commands


def test_notify_without_dsn_is_refused(proxy):
    with proxy.session() as client:
        assert client.mail() == 250
        assert client.rcpt("joe@example.org", " NOTIFY=SUCCESS") == \
            "555 5.5.4 "
        assert client.rcpt("joe@example.org", " NOTIFY=NEVER,DELAY") == 501


def test_recipient_delimiter_hides_the_detail_from_the_lookup(instance,
                                                              backend):
    proxy = instance()
    proxy.start("recipient_delimiter = -+\n" +
                file_passdb(proxy, joe=backend))
    with proxy.session() as client:
        client.deliver(["joe+lists@example.org", "joe-a+b@example.org"])
    assert backend.wait_messages(1)[0].rcpts == \
        ["joe+lists@example.org", "joe-a+b@example.org"]


def test_several_transactions_in_one_session(proxy, backend):
    with proxy.session() as client:
        for number in range(5):
            reply, = client.deliver("joe@example.org", f"n: {number}\r\n\r\n")
            assert reply == 250
    assert [m.text for m in backend.wait_messages(5)] == \
        [b"n: %d\r\n\r\n" % number for number in range(5)]


def test_received_header(proxy, backend):
    with proxy.session() as client:
        client.deliver("joe@example.org")
        client.deliver(["joe@example.org", "ann@example.org"])
    one, two = backend.wait_messages(2)
    header = one.body.split(b"\r\nSubject:")[0]
    assert header.startswith(b"Received: from client.example ([127.")
    assert b"by proxy.example with LMTP" in header
    assert b"(envelope-from <sender@example.net>)" in header
    assert b"for <joe@example.org>;" in header
    assert b"for <" not in two.body.split(b"\r\nSubject:")[0]


def test_received_header_off(backend, waypost):
    proxy = waypost(static_passdb(backend) + "lmtp_add_received_header = no\n")
    with proxy.session() as client:
        client.deliver("joe@example.org", "a: b\r\n\r\nc\r\n")
    assert backend.wait_messages(1)[0].body == b"a: b\r\n\r\nc\r\n"


@pytest.mark.parametrize("value,expected", [
    ("none", None), ("final", b"joe@example.org"),
    ("original", b"old@example.org"),
])
def test_hdr_delivery_address(backend, waypost, value, expected):
    proxy = waypost(static_passdb(backend) +
                    f"lmtp_hdr_delivery_address = {value}\n")
    with proxy.session() as client:
        assert client.mail() == 250
        assert client.rcpt("joe@example.org",
                           " ORCPT=rfc822;old@example.org") == 250
        assert client.data("x: y\r\n\r\n", 1)[0] == 250
    header = backend.wait_messages(1)[0].body.split(b"\r\nx: y")[0]
    if expected is None:
        assert b"for <" not in header
    else:
        assert b"for <" + expected + b">" in header


def test_size_is_announced_and_enforced(backend, waypost):
    proxy = waypost(static_passdb(backend) + "lmtp_max_message_size = 10k\n")
    with proxy.connect() as client:
        assert "SIZE 10240" in client.lhlo().lines
        assert client.mail(params=" SIZE=10241") == "552 5.3.4 "
        assert client.mail(params=" SIZE=10240") == 250
        assert client.rcpt("joe@example.org") == 250
        reply, = client.data("x" * 20000, 1)
        assert reply == "552 5.3.4 <joe@example.org> "
        assert client.deliver("joe@example.org", "x" * 9000)[0] == 250
    assert len(backend.wait_messages(1)) == 1


def test_max_recipients(backend, waypost):
    proxy = waypost(static_passdb(backend) + "lmtp_max_recipients = 3\n")
    with proxy.session() as client:
        assert client.mail() == 250
        for number in range(3):
            assert client.rcpt(f"u{number}@example.org") == 250
        assert client.rcpt("u3@example.org") == "452 4.5.3 "
        assert [r.code for r in client.data("x", 3)] == [250] * 3
        assert client.deliver("joe@example.org")[0] == 250


def test_many_recipients(proxy, backend):
    rcpts = [f"u{number}@example.org" for number in range(1000)]
    with proxy.session() as client:
        client.mail()
        client.send("".join(f"RCPT TO:<{rcpt}>\r\n" for rcpt in rcpts))
        assert [r.code for r in client.replies(1000)] == [250] * 1000
        replies = client.data("x", 1000)
    assert [r.text.split()[0] for r in replies] == [f"<{r}>" for r in rcpts]
    assert backend.wait_messages(1)[0].rcpts == rcpts


def test_helo_name_cannot_break_the_header(proxy, backend):
    with proxy.connect() as client:
        client.lhlo("evil (by good.example) \\")
        client.deliver("joe@example.org")
    header = backend.wait_messages(1)[0].body.split(b"\r\n")[0]
    assert b"(by" not in header and b"\\" not in header


def test_size_exactly_at_the_limit(backend, waypost):
    proxy = waypost(static_passdb(backend) + "lmtp_max_message_size = 1000\n")
    with proxy.session() as client:
        assert client.deliver("joe@example.org", "x" * 998 + "\r\n")[0] == 250
        assert client.deliver("joe@example.org",
                              "x" * 999 + "\r\n")[0] == "552 5.3.4 "


def test_headers_without_lookalikes_of_an_end(proxy, backend):
    """A sender may hold what would end the header, were it let."""
    with proxy.session() as client:
        client.mail('"a>) for <x"@example.net')
        client.rcpt("joe@example.org")
        assert client.data("Subject: x\r\n\r\n", 1)[0] == 250
    header = backend.wait_messages(1)[0].body.split(b"\r\nSubject:")[0]
    assert header.count(b"\r\n") == 4
    assert b'\t(envelope-from <"a>??for?<x"@example.net>)\r\n' in header


@pytest.mark.parametrize("line,expected", [
    ("VRFY", "501 5.5.4 "), ("LHLO", "501 "), ("NO-OP", "500 5.5.2 "),
    ("A" * 40, "500 5.5.2 "), ("\x01\x02", "500 5.5.2 "),
    ("RSET now", "501 5.5.4 "), ("QUIT now", "501 5.5.4 "),
    ("MAIL", "501 5.5.4 "), ("MAIL TO:<a@example.net>", "501 5.5.4 "),
    ("MAIL FROM:", "501 5.5.4 "),
    ("MAIL FROM:<a@example.net>BODY=8BITMIME", "501 5.5.4 "),
    ("RCPT FROM:<joe@example.org>", "503 5.5.0 "),
])
def test_syntax(proxy, line, expected):
    with proxy.session() as client:
        assert client.command(line) == expected
        assert client.command("NOOP") == 250


@pytest.mark.parametrize("line,expected", [
    ("RCPT", "501 5.5.4 "), ("RCPT FROM:<joe@example.org>", "501 5.5.4 "),
    ("RCPT TO:<joe@example.org> FROB=1", "555 5.5.4 "),
    ("RCPT TO:<joe@example.org> NOTIFY=WHAT", "501 5.5.4 "),
    ("RCPT TO:<joe@example.org> ORCPT=rfc822", "501 5.5.4 "),
    ("DATA now", "501 5.5.4 "),
])
def test_syntax_in_a_transaction(proxy, line, expected):
    with proxy.session() as client:
        assert client.mail() == 250
        assert client.command(line) == expected
        assert client.rcpt("joe@example.org") == 250


@pytest.mark.parametrize("length,code", [(4000, 250), (4096, 250),
                                         (4200, 500)])
def test_length_of_a_line(proxy, length, code):
    with proxy.session() as client:
        assert client.command("NOOP " + "x" * length) == code
        assert client.command("NOOP") == 250


def test_bad_commands_in_one_segment_end_in_order(backend, waypost):
    proxy = waypost(static_passdb(backend) + "lmtp_max_bad_commands = 2\n")
    with proxy.session() as client:
        client.send("FROB\r\n" * 50)
        assert [r.code for r in client.replies(3)] == [500, 500, 421]
        client.expect_closed()


def test_dsn_is_offered_when_set(backends, waypost):
    backend = backends(capabilities=["PIPELINING", "DSN"])
    proxy = waypost(static_passdb(backend) + "lmtp_dsn = yes\n")
    with proxy.connect() as client:
        assert "DSN" in client.lhlo().lines
        assert client.mail(params=" RET=HDRS ENVID=x+2By") == 250
        assert client.rcpt("joe@example.org",
                           " NOTIFY=SUCCESS,FAILURE") == 250
    mail, rcpt = backend.commands[1:3]
    assert set(mail.split()[2:]) == {"RET=HDRS", "ENVID=x+2By"}
    assert rcpt.endswith(" NOTIFY=SUCCESS,FAILURE")


def test_client_without_lhlo_is_unknown(proxy, backend):
    with proxy.connect() as client:
        assert client.deliver("joe@example.org")[0] == 250
    assert backend.wait_messages(1)[0].body.startswith(
        b"Received: from unknown ([127.")


@pytest.mark.parametrize("workarounds,line,code", [
    ("whitespace-before-path", "RCPT TO: <joe@example.org>", 250),
    ("whitespace-before-path", "RCPT TO:joe@example.org", 501),
    ("mailbox-for-path", "RCPT TO:joe@example.org", 250),
    ("mailbox-for-path", "RCPT TO: joe@example.org", 501),
])
def test_each_workaround_is_its_own(backend, waypost, workarounds, line,
                                    code):
    proxy = waypost(static_passdb(backend) +
                    f"lmtp_client_workarounds = {workarounds}\n")
    with proxy.session() as client:
        assert client.mail() == 250
        assert client.command(line) == code


def test_too_large_for_all_recipients(backend, waypost):
    proxy = waypost(static_passdb(backend) + "lmtp_max_message_size = 1k\n")
    with proxy.session() as client:
        replies = client.deliver(["a@example.org", "b@example.org"],
                                 "y\r\n" * 2000)
        assert [r.code for r in replies] == [552, 552]
        assert replies[1].text.startswith("<b@example.org> ")
    assert backend.wait_closed(0) != "quit"
    assert not backend.messages


def test_max_recipients_of_one_group(backend, waypost):
    proxy = waypost(static_passdb(backend) + "lmtp_max_recipients = 2\n")
    with proxy.session() as client:
        assert [r.code for r in client.pipeline(
            "MAIL FROM:<s@example.net>", *["RCPT TO:<a@example.org>"] * 4,
            "DATA")] == [250, 250, 250, 452, 452, 354]
        client.send("x\r\n.\r\n")
        assert [r.code for r in client.replies(2)] == [250, 250]


def test_limits_that_the_manual_names(proxy):
    """waypost.conf(5), SIZE LIMITS: what is just as large, and one more."""
    local = "x" * (254 - len("@example.org"))
    orcpt = "RCPT TO:<joe@example.org> ORCPT=x;"
    for command, reply in (
            ("Y" * 32, "500 5.5.1 "), ("Y" * 33, "500 5.5.2 "),
            ("NOOP " + "x" * 4096, "250 "),
            ("NOOP " + "x" * (4096 + 33), "500 5.5.2 Line too long"),
            (f"RCPT TO:<{local}@example.org>", "250 "),
            (f"RCPT TO:<x{local}@example.org>", "501 5.5.4 "),
            (orcpt + "x" * 498, "250 "), (orcpt + "x" * 499, "501 5.5.4 ")):
        with proxy.session() as client:
            client.mail()
            assert client.command(command) == reply, command
