"""BDAT (RFC 3030) in and out, with real servers behind."""
import pytest

from lmtp_client import to_bytes
from waypost import file_passdb, static_passdb

BODY = (b"Subject: chunks\r\n\r\n.dot\r\n..\r\n.\r\nMAIL FROM:<evil@x>\r\n"
        b"\r\nend\r\n")
CHUNKING = pytest.mark.parametrize("chunking", ["yes", "no"])


@pytest.fixture
def proxy(backend, waypost):
    return waypost(static_passdb(backend))


def bdat(client, data, last=False):
    client.send(b"BDAT %d%s\r\n%s" % (len(data), b" LAST" if last else b"",
                                      to_bytes(data)))


def arrives(server, body):
    mail, = server.wait_mails(1)
    assert mail.endswith(b"\n" + body.replace(b"\r\n", b"\n"))


@CHUNKING
@pytest.mark.needs("dovecot")
def test_bdat_into_dovecot(dovecot, waypost, chunking):
    server = dovecot()
    proxy = waypost(static_passdb(server) +
                    f"lmtp_proxy_chunking = {chunking}\n")
    with proxy.session() as client:
        client.begin("joe@example.org")
        bdat(client, BODY, last=True)
        assert client.reply() == 250
    arrives(server, BODY)


@CHUNKING
@pytest.mark.needs("dovecot")
def test_data_into_dovecot(dovecot, waypost, chunking):
    server = dovecot()
    proxy = waypost(static_passdb(server) +
                    f"lmtp_proxy_chunking = {chunking}\n")
    with proxy.session() as client:
        client.begin("joe@example.org")
        assert client.data(BODY, 1)[0] == 250
    arrives(server, BODY)


@pytest.mark.parametrize("offered", [True, False])
def test_binarymime_is_a_setting(backend, waypost, offered):
    """Nobody here takes it: then a recipient is refused before the body."""
    proxy = waypost(static_passdb(backend) +
                    ("lmtp_binarymime = yes\n" if offered else ""))
    with proxy.session() as client:
        assert ("BINARYMIME" in client.lhlo().lines) == offered
        reply = client.mail(params=" BODY=BINARYMIME")
        if offered:
            assert reply == 250
            assert client.rcpt("joe@example.org") == \
                "554 5.6.3 <joe@example.org> "
        else:
            assert reply == 555
    assert not backend.messages


@pytest.mark.needs("dovecot")
def test_large_in_small_chunks(dovecot, waypost):
    server = dovecot()
    proxy = waypost(static_passdb(server))
    line = b"x" * 70 + b"\r\n"
    parts = [b"Subject: large\r\n\r\n"] + [line * 500] * 100
    with proxy.session() as client:
        client.begin("joe@example.org")
        for number, part in enumerate(parts):
            bdat(client, part, last=number == 100)
        assert [r.code for r in client.replies(101)] == [250] * 101
    arrives(server, b"".join(parts))


@pytest.mark.needs("dovecot")
def test_two_backends_one_without(backends, dovecot, instance):
    """Each gets the message in the form that it takes."""
    server, plain = dovecot(users=["joe@example.org"]), backends()
    proxy = instance()
    proxy.start(file_passdb(proxy, joe=server, ann=plain))
    with proxy.session() as client:
        client.begin("joe@example.org", "ann@example.org")
        bdat(client, BODY[:20])
        bdat(client, BODY[20:], last=True)
        assert [r.code for r in client.replies(3)] == [250, 250, 250]
    arrives(server, BODY)
    plain.wait_messages(1)
    assert plain.messages[0].text == BODY


def test_client_gone_in_a_chunk(backend, proxy):
    with proxy.session() as client:
        client.begin("joe@example.org")
        bdat(client, BODY)
        assert client.reply() == "250 2.0.0 Added"
        client.send("BDAT 1000 LAST\r\nhalf of it")
    backend.wait_closed(0)
    assert backend.messages == []


def test_octets_without_a_transaction_are_no_commands(proxy):
    with proxy.session() as client:
        bdat(client, b"MAIL FROM:<evil@x>\r\n", last=True)
        assert client.reply() == "503 5.5.0 MAIL needed first"
        assert client.command("RSET") == 250
        client.send("BDAT lots LAST\r\nQUIT\r\n")
        assert client.reply() == "501 5.5.4 "
        client.expect_closed()


@pytest.mark.parametrize("chunk", [b"BDAT 7 LOST\r\nnobody\n",
                                   b"BDAT 7\r\nnobody\n"])
def test_nothing_is_delivered_without_a_chunk_that_was_refused(proxy, backend,
                                                               chunk):
    """For its keyword, or because nobody was there to have it."""
    with proxy.session() as client:
        assert client.mail() == 250
        if b"LOST" in chunk:
            assert client.rcpt("ann@example.org") == 250
        client.send(chunk)
        assert client.reply().code in (501, 503)
        assert client.rcpt("joe@example.org") == 250
        for last in (False, True):
            bdat(client, BODY, last)
            assert client.reply() == "503 5.5.0 "
        assert client.command("DATA") == "503 5.5.0 "
        assert client.command("RSET") == 250
        client.begin("joe@example.org")
        bdat(client, BODY, last=True)
        assert client.reply() == 250
    assert [m.text for m in backend.wait_messages(1)] == [BODY]
