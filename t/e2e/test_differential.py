"""The same dialogues through waypost and through Dovecot's LMTP proxy, with the
same users and backends: the same codes, but for what DIFFERENCES lists.

A dialogue is a list of steps. A step is a command, or bytes that are sent as
they are; what it leads to is one word for each step: the codes of its replies,
"-" for no reply, "closed" when the server has left. Where it is not clear how
many replies there will be, VRFY behind a step marks their end.
"""
import dataclasses
import pathlib
import shutil
import tempfile

import pytest

import servers
from lmtp_client import Client, Disconnected, to_bytes
from ports import free_port
from scripted_backend import Backend, close, reset, slowly, then_close
from waypost import TOP, Waypost

pytestmark = pytest.mark.needs("dovecot")


@dataclasses.dataclass(frozen=True)
class Lines:
    """Bytes, and how many replies there are to them."""
    data: bytes
    count: int = 1


@dataclasses.dataclass(frozen=True)
class Marked:
    """Bytes that may have any number of replies, but leave the session able to
    take a command."""
    data: bytes


@dataclasses.dataclass(frozen=True)
class Message:
    """DATA, and after a 354 a message with any number of replies."""


HELLO = "LHLO client.example"
MAIL = "MAIL FROM:<s@example.net>"
RCPT = "RCPT TO:<joe@example.org>"
ANN = "RCPT TO:<ann@example.org>"
BODY = b"Subject: x\r\n\r\nhello\r\n.\r\n"
TEXT = BODY[:-3]
START = [HELLO, MAIL, RCPT]


def bdat(data, last=False):
    return b"BDAT %d%s\r\n%s" % (len(data), b" LAST" if last else b"", data)


def chunk(data, last=False):
    return Lines(bdat(data, last))


# --- what a client may say ---

# Commands where the session is at four places of its life.
COMMANDS = {
    "lhlo": "LHLO again.example", "lhlo-no-name": "LHLO",
    "lhlo-ipv6": "LHLO [IPv6:::1]", "lhlo-two-words": "LHLO a b",
    "lhlo-utf8": "LHLO gr\u00fc\u00dfe.example", "lhlo-odd": "LHLO a_b!c",
    "helo": "HELO x", "ehlo": "EHLO x",
    "mail": MAIL, "rcpt": RCPT, "rset": "RSET", "noop": "NOOP",
    "noop-text": "NOOP some text", "rset-text": "RSET now",
    "vrfy": "VRFY joe", "vrfy-alone": "VRFY", "expn": "EXPN list",
    "help": "HELP", "quit": "QUIT", "quit-text": "QUIT now",
    "starttls": "STARTTLS", "starttls-text": "STARTTLS now",
    "auth": "AUTH PLAIN", "auth-initial": "AUTH PLAIN AGEAYg==",
    "xclient": "XCLIENT ADDR=192.0.2.1", "xclient-alone": "XCLIENT",
    "etrn": "ETRN example.org", "burl": "BURL imap://x LAST",
    "unknown": "FROB", "unknown-args": "FROB a b c",
    "empty": "", "space": " ", "leading-space": " NOOP",
    "trailing-space": "NOOP ", "lower-case": "noop", "tab": "NOOP\tx",
    "digits": "12345", "http": "GET / HTTP/1.1", "long-verb": "X" * 33,
    "verb-of-32": "X" * 32, "nul": "NOOP a\0b", "high": b"NOOP \xff\xfe",
    "utf8": "NOOP gr\u00fc\u00dfe", "control": "NOOP \x01",
    "data-args": "DATA now", "bdat-alone": Lines(b"BDAT\r\n"),
}
PLACES = {
    "at-start": [], "after-lhlo": [HELLO], "after-mail": [HELLO, MAIL],
    "after-rcpt": START,
}

PATHS = {
    "empty": "", "null": "<>", "no-brackets": "joe@example.org",
    "open": "<joe@example.org", "closed": "joe@example.org>",
    "no-domain": "<joe>", "no-local": "<@example.org>", "at": "<@>",
    "two-at": "<a@b@c>", "dots": "<a..b@example.org>",
    "leading-dot": "<.a@example.org>", "trailing-dot": "<a.@example.org>",
    "quoted": '<"a b"@example.org>', "quoted-at": '<"a@b"@example.org>',
    "quote-open": '<"a@example.org>', "space": "<a b@example.org>",
    "route": "<@x.example,@y.example:joe@example.org>",
    "literal": "<joe@[192.0.2.1]>", "literal-ipv6": "<joe@[IPv6:::1]>",
    "bad-literal": "<joe@[999]>", "domain-dots": "<joe@example..org>",
    "domain-dash": "<joe@-example.org>", "domain-underscore": "<joe@a_b.org>",
    "postmaster": "<postmaster>", "blank-before": " <joe@example.org>",
    "blank-after": "<joe@example.org> ", "two": "<joe@example.org><x@y>",
    "garbage-after": "<joe@example.org>x", "angle-twice": "<<joe@example.org>>",
    "high": "<j\u00f6e@example.org>", "control": "<j\x01oe@example.org>",
    "escaped": '<"a\\"b"@example.org>', "detail": "<joe+x@example.org>",
    "upper": "<JOE@EXAMPLE.ORG>", "upper-domain": "<joe@EXAMPLE.org>",
    "long-local": "<" + "a" * 65 + "@example.org>",
    "longer-local": "<" + "a" * 300 + "@example.org>",
    "long-domain": "<a@" + "b" * 300 + ".org>",
    "percent": "<joe%x@example.org>", "quote": "<o'neil@example.org>",
    "slash": "<a/b@example.org>", "equals": "<a=b@example.org>",
}
MAIL_PARAMS = {
    "7bit": "BODY=7BIT", "8bitmime": "BODY=8BITMIME",
    "binarymime": "BODY=BINARYMIME", "body-bad": "BODY=9BIT",
    "body-empty": "BODY=", "body-alone": "BODY", "body-lower": "body=8bitmime",
    "body-twice": "BODY=7BIT BODY=7BIT", "size": "SIZE=1000",
    "size-bad": "SIZE=x", "size-zero": "SIZE=0", "smtputf8": "SMTPUTF8",
    "auth": "AUTH=<>", "envid": "ENVID=x", "ret": "RET=FULL",
    "unknown": "FROB=1", "unknown-flag": "FROB", "equals": "=x",
    "dash": "-x=1", "value-equals": "FROB=a=b", "spaces": " BODY=7BIT",
    "trailing": "BODY=7BIT ",
}
RCPT_PARAMS = {
    "orcpt": "ORCPT=rfc822;joe@example.org",
    "orcpt-local": "ORCPT=rfc822;joe", "orcpt-other": "ORCPT=x400;abc",
    "orcpt-xtext": "ORCPT=rfc822;joe+2Bx@example.org",
    "orcpt-bad-xtext": "ORCPT=rfc822;joe+zz@example.org",
    "orcpt-empty": "ORCPT=", "orcpt-no-type": "ORCPT=joe@example.org",
    "orcpt-twice": "ORCPT=rfc822;a ORCPT=rfc822;a", "orcpt-alone": "ORCPT",
    "notify": "NOTIFY=NEVER", "notify-bad": "NOTIFY=x", "unknown": "FROB=1",
    "body": "BODY=8BITMIME", "xrcptforward": "XRCPTFORWARD=a+3Db",
    "xrcptforward-bad": "XRCPTFORWARD=+zz",
}
SYNTAX = {
    "mail-alone": [HELLO, "MAIL"], "mail-no-from": [HELLO, "MAIL <s@x>"],
    "mail-to": [HELLO, "MAIL TO:<s@example.net>"],
    "mail-space": [HELLO, "MAIL FROM :<s@example.net>"],
    "mail-lower": [HELLO, "mail from:<s@example.net>"],
    "rcpt-alone": [HELLO, MAIL, "RCPT"],
    "rcpt-from": [HELLO, MAIL, "RCPT FROM:<joe@example.org>"],
    "rcpt-lower": [HELLO, MAIL, "rcpt to:<joe@example.org>"],
    "mail-long": [HELLO, MAIL + " " + "X" * 4000],
    "line-too-long": [HELLO, "NOOP " + "x" * 9000, "NOOP"],
    "line-4096": [HELLO, "NOOP " + "x" * 4091],
    "bare-lf": [HELLO, Lines(b"NOOP\nNOOP\r\n", 2)],
    "bare-cr": [HELLO, Marked(b"NOOP\rNOOP\r\n")],
    "ten-bad": [HELLO] + ["FROB"] * 10 + ["NOOP"],
    "eleven-bad": [HELLO] + ["FROB"] * 11 + ["NOOP"],
    "bad-forgiven": [HELLO] + ["FROB"] * 9 + ["NOOP"] + ["FROB"] * 9 + ["NOOP"],
    "bad-sequences": [HELLO] + ["DATA"] * 12,
    "mail-twice": [HELLO, MAIL, MAIL], "data-first": [HELLO, "DATA"],
    "no-lhlo": [MAIL, RCPT, "DATA", Lines(BODY)],
    "no-mail": [HELLO, RCPT], "no-rcpt": [HELLO, MAIL, "DATA"],
    "nobody-only": [HELLO, MAIL, "RCPT TO:<nobody@example.org>", "DATA"],
    "lhlo-resets": START + [HELLO, "DATA"],
    "rset-resets": START + ["RSET", "DATA", MAIL, RCPT, "RSET", RCPT],
    "after-quit": [HELLO, Lines(b"QUIT\r\nNOOP\r\n"), "NOOP"],
    "rcpt-twice": [HELLO, MAIL, RCPT, RCPT, "DATA", Lines(BODY, 2)],
    "good-and-bad": [HELLO, MAIL, RCPT, "RCPT TO:<nobody@example.org>",
                     "RCPT TO:<>", ANN, "DATA", Lines(BODY, 2)],
    "two-messages": START + ["DATA", Lines(BODY), MAIL, ANN, "DATA",
                             Lines(BODY)],
    "pipelined": [Lines(f"{HELLO}\r\n{MAIL}\r\n{RCPT}\r\n{ANN}\r\nDATA\r\n"
                        .encode() + BODY + b"NOOP\r\nQUIT\r\n", 9)],
    "pipelined-none-valid": [
        HELLO, Lines(f"{MAIL}\r\nRCPT TO:<nobody@example.org>\r\nDATA\r\n"
                     "RSET\r\n".encode(), 4)],
    "mail-in-body": START + ["DATA", Lines(b"MAIL FROM:<x@y>\r\n" + BODY)],
    "empty-body": START + ["DATA", Lines(b".\r\n"), "NOOP"],
    "dots": START + ["DATA", Lines(b"..\r\n.x\r\n" + BODY), "NOOP"],
    "bare-lf-dot": START + ["DATA", Lines(b"x\n.\r\ny\r\n.\r\n"), "NOOP"],
    "bare-dot-lf": START + ["DATA", Lines(b"x\r\n.\ny\r\n.\r\n"), "NOOP"],
    "bare-lf-dot-lf": START + ["DATA", Lines(b"x\n.\ny\r\n.\r\n"), "NOOP"],
    "nul-in-body": START + ["DATA", Lines(b"x\0y\r\n.\r\n"), "NOOP"],
    "null-sender": [HELLO, "MAIL FROM:<>", RCPT, "DATA", Lines(BODY)],
    "many-rcpts": [HELLO, MAIL, Lines(b"RCPT TO:<joe@example.org>\r\n" * 200,
                                      200), "DATA", Lines(BODY, 200)],
}
CHUNKS = {
    "whole": START + [chunk(TEXT, True), "NOOP"],
    "parts": START + [chunk(TEXT), chunk(TEXT), chunk(TEXT, True), "NOOP"],
    "last-zero": START + [chunk(TEXT), chunk(b"", True), "NOOP"],
    "only-zero": START + [chunk(b"", True), "NOOP"],
    "zero": START + [chunk(b""), chunk(TEXT, True)],
    "dots": START + [chunk(b".\r\n..\r\n.\r\n", True), "NOOP"],
    "two-rcpts": START + [ANN, chunk(TEXT), Lines(bdat(TEXT, True), 2)],
    "pipelined": START + [Lines(bdat(TEXT) + bdat(TEXT) + bdat(b"", True) +
                                b"NOOP\r\n", 4)],
    "all-pipelined": [HELLO, Lines(
        f"{MAIL}\r\n{RCPT}\r\n".encode() + bdat(TEXT, True) + b"NOOP\r\n", 4)],
    "rset": START + [chunk(TEXT), "RSET", "NOOP"] + START[1:] +
            [chunk(TEXT, True)],
    "quit": START + [chunk(TEXT), "QUIT"],
    "lhlo": START + [chunk(TEXT), HELLO, MAIL],
    "noop": START + [chunk(TEXT), "NOOP", chunk(TEXT, True)],
    "vrfy": START + [chunk(TEXT), "VRFY x", chunk(TEXT, True)],
    "mail-between": START + [chunk(TEXT), MAIL, chunk(TEXT, True)],
    "rcpt-between": START + [chunk(TEXT), ANN, chunk(TEXT, True)],
    "data-between": START + [chunk(TEXT), "DATA", chunk(TEXT, True)],
    "after-data": START + ["DATA", Lines(BODY), chunk(TEXT, True)],
    "no-mail": [HELLO, chunk(TEXT), "NOOP"],
    "no-mail-last": [HELLO, Marked(bdat(TEXT, True)), "NOOP"],
    "no-rcpt": [HELLO, MAIL, chunk(TEXT), "NOOP"],
    "no-rcpt-last": [HELLO, MAIL, Marked(bdat(TEXT, True)), "NOOP"],
    "no-rcpt-last-zero": [HELLO, MAIL, Marked(bdat(b"", True)), "NOOP"],
    "no-rcpt-then-rcpt": [HELLO, MAIL, chunk(TEXT), RCPT,
                          Marked(bdat(TEXT, True)), "NOOP"],
    "nobody": [HELLO, MAIL, "RCPT TO:<nobody@example.org>",
               Marked(bdat(TEXT, True)), "NOOP"],
    "no-size": START + [Lines(b"BDAT\r\n"), "NOOP"],
    "not-a-number": START + [Lines(b"BDAT x\r\n"), "NOOP"],
    "negative": START + [Lines(b"BDAT -1\r\n"), "NOOP"],
    "plus": START + [Lines(b"BDAT +1\r\n"), "NOOP"],
    "hex": START + [Lines(b"BDAT 0x1\r\n"), "NOOP"],
    "overflow": START + [Lines(b"BDAT 99999999999999999999\r\n"), "NOOP"],
    "bad-keyword": START + [Lines(b"BDAT 3 LOST\r\nabc"), "NOOP"],
    "lower-last": START + [Lines(b"bdat 3 last\r\nabc"), "NOOP"],
    "three-words": START + [Lines(b"BDAT 3 LAST x\r\nabc"), "NOOP"],
    "leading-zeros": START + [Lines(b"BDAT 0003 LAST\r\nabc"), "NOOP"],
    "two-messages": START + [chunk(TEXT, True), MAIL, ANN, chunk(TEXT, True)],
}

# --- what the passdb may say; ours is where {users} live ---

FIELDS = {
    "plain": "proxy host={host} port={port}",
    "proxy-no": "proxy=no host={host} port={port}",
    "no-proxy": "host={host} port={port}",
    "no-host": "proxy port={port}",
    "hostip": "proxy host=nowhere.example hostip={host} port={port}",
    "hostip-bad": "proxy host={host} hostip=x port={port}",
    "port-bad": "proxy host={host} port=x",
    "port-zero": "proxy host={host} port=0",
    "port-large": "proxy host={host} port=65536",
    "port-closed": "proxy host={host} port={closed}",
    "protocol-lmtp": "proxy host={host} port={port} protocol=lmtp",
    "protocol-bad": "proxy host={host} port={port} protocol=pop3",
    "protocol-smtp": "proxy host={host} port={smtp_port} protocol=smtp",
    "timeout": "proxy host={host} port={port} proxy_timeout=200",
    "timeout-bad": "proxy host={host} port={port} proxy_timeout=x",
    "source-ip": "proxy host={host} port={port} source_ip={host}",
    "source-ip-bad": "proxy host={host} port={port} source_ip=x",
    "destuser": "proxy host={host} port={port} destuser=other@example.org",
    "destuser-bad": "proxy host={host} port={port} destuser=a@b@c",
    "destuser-empty": "proxy host={host} port={port} destuser=",
    "user": "proxy host={host} port={port} user=other@example.org",
    "nologin": "proxy host={host} port={port} nologin",
    "nologin-reason": "proxy host={host} port={port} nologin reason=away",
    "nologin-no-host": "nologin reason=away",
    "tempfail": "proxy host={host} port={port} tempfail",
    "reason": "proxy host={host} port={port} reason=away",
    "unknown": "proxy host={host} port={port} frob=1 delay_until=1",
    "allow-nets": "proxy host={host} port={port} allow_nets=192.0.2.0/24",
    "allow-nets-local": "proxy host={host} port={port} allow_nets=127.0.0.0/8",
    "maybe": "proxy_maybe host={host} port={port}",
    "maybe-self": "proxy_maybe host={self_host} port={self_port}",
    "maybe-and-proxy": "proxy proxy_maybe host={host} port={port}",
    "maybe-and-proxy-self": "proxy proxy_maybe host={self_host} port={self_port}",
    "self": "proxy host={self_host} port={self_port}",
    "self-renamed": "proxy host={self_host} port={self_port} "
                    "destuser=plain@example.org",
    "nopassword": "proxy host={host} port={port} nopassword",
    "starttls-not-offered": "proxy host={host} port={port} starttls=any-cert",
    "tls-not-spoken": "proxy host={host} port={port} ssl=any-cert",
}

# --- what a backend may do, at each stage ---

REPLIES = {
    "4xx": "450 4.2.1 not now", "5xx": "550 5.7.1 never",
    "421": "421 4.3.2 going down", "421-closing":
        then_close("421 4.3.2 going down"),
    "5xx-closing": then_close("554 5.3.2 no service"),
    "4xx-plain": "450 not now", "5xx-plain": "550 never",
    "5xx-alone": "550", "class-mismatch": "550 4.2.2 which?",
    "lines": ["450-4.2.1 one", "450 4.2.1 two"],
    "lines-mixed": b"450-4.2.1 one\r\n550 5.1.1 two\r\n",
    "odd-code": "499 4.9.9 odd", "600": "600 6.0.0 huh", "150": "150 huh",
    "closed": close, "reset": reset, "garbage": b"\x00\x01garbage\r\n",
    "http": b"HTTP/1.1 400 Bad Request\r\n", "short": b"25\r\n",
    "long": b"450 4.2.1 " + b"x" * 9000 + b"\r\n",
    "byte-by-byte": slowly("450 4.2.1 slow"),
    "address": "550 5.1.1 <joe@example.org> unknown",
    "other-address": "550 5.1.1 <who@example.net> unknown",
}
DENIED = {"wants-tls": "530 5.7.0 Must issue a STARTTLS command first"}
STAGES = {
    "connect": REPLIES,
    "lhlo": REPLIES,
    "mail": {**REPLIES, **DENIED, "2xx-plain": "250 fine", "251": "251 2.1.5 fine"},
    "rcpt": {**REPLIES, **DENIED, "2xx-plain": "250 fine",
             "251": "251 2.1.5 will forward", "252": "252 2.1.5 perhaps"},
    "data": {**REPLIES, **DENIED, "354-lines": ["354-one", "354 two"],
             "250": "250 2.0.0 already?"},
    "dot": {**REPLIES, **DENIED, "2xx-plain": "250 fine", "2xx-alone": "250",
            "2xx-enhanced": "250 2.6.0 queued", "251": "251 2.0.0 fine",
            "354": "354 more?"},
}


# --- settings of both proxies ---

SETTINGS = {
    "plain": "",
    "lenient": "lmtp_client_workarounds = whitespace-before-path "
               "mailbox-for-path\n",
    "trusting": "login_trusted_networks = 127.0.0.0/8\n",
}

# What is said to a proxy that trusts the client.
TRUSTED = {
    "all": ["XCLIENT ADDR=192.0.2.1 PORT=1234 PROTO=ESMTP HELO=x LOGIN=joe "
            "SESSION=abc TTL=3 TIMEOUT=10"],
    "ipv6": ["XCLIENT ADDR=IPV6:2001:db8::1"],
    "ipv6-bare": ["XCLIENT ADDR=2001:db8::1"],
    "unavailable": ["XCLIENT ADDR=[UNAVAILABLE] PORT=[UNAVAILABLE] "
                    "HELO=[UNAVAILABLE] LOGIN=[UNAVAILABLE]"],
    "tempunavail": ["XCLIENT ADDR=[TEMPUNAVAIL]"],
    "no-parameters": ["XCLIENT"], "bad-address": ["XCLIENT ADDR=x"],
    "bad-port": ["XCLIENT PORT=x"], "large-port": ["XCLIENT PORT=65536"],
    "bad-proto": ["XCLIENT PROTO=HTTP"], "proto": ["XCLIENT PROTO=LMTP"],
    "bad-ttl": ["XCLIENT TTL=x"], "negative-ttl": ["XCLIENT TTL=-1"],
    "bad-timeout": ["XCLIENT TIMEOUT=x"], "empty": ["XCLIENT ADDR="],
    "unknown": ["XCLIENT FROB=1"], "no-value": ["XCLIENT ADDR"],
    "bad-xtext": ["XCLIENT HELO=a+zz"], "xtext": ["XCLIENT HELO=a+2Db"],
    "twice": ["XCLIENT HELO=a", "XCLIENT HELO=b"],
    "lower": ["xclient addr=192.0.2.1"],
    "in-transaction": [MAIL, "XCLIENT ADDR=192.0.2.1"],
    "resets": ["XCLIENT HELO=x", RCPT, HELLO, MAIL, RCPT],
    "ttl-0": ["XCLIENT TTL=0", HELLO, MAIL, RCPT],
    "ttl-1": ["XCLIENT TTL=1", HELLO, MAIL, RCPT],
    "long": ["XCLIENT HELO=" + "x" * 600],
    "forward": [MAIL, RCPT + " XRCPTFORWARD=a+3Db"],
    "forward-empty": [MAIL, RCPT + " XRCPTFORWARD="],
    "forward-bad": [MAIL, RCPT + " XRCPTFORWARD=+zz"],
    "forward-no-equals": [MAIL, RCPT + " XRCPTFORWARD=abc"],
    "forward-twice": [MAIL, RCPT + " XRCPTFORWARD=a+3Db XRCPTFORWARD=a+3Db"],
}


def dialogues():
    """id -> (settings, steps, what the backend does at which stage)."""
    made = {}

    def add(name, steps, script=None, settings="plain"):
        made[name] = (settings, steps, script or {})
    for place, before in PLACES.items():
        for name, command in COMMANDS.items():
            add(f"{place}-{name}", [*before, command, "NOOP"])
    for name, path in PATHS.items():
        add(f"from-{name}", [HELLO, f"MAIL FROM:{path}"])
        add(f"to-{name}", [HELLO, MAIL, f"RCPT TO:{path}"])
        add(f"lenient-from-{name}", [HELLO, f"MAIL FROM:{path}"], None,
            "lenient")
        add(f"lenient-to-{name}", [HELLO, MAIL, f"RCPT TO:{path}"], None,
            "lenient")
    for name, steps in TRUSTED.items():
        add(f"trusted-{name}", [HELLO, *steps, "NOOP"], None, "trusting")
    for name, param in MAIL_PARAMS.items():
        add(f"mail-param-{name}", [HELLO, f"{MAIL} {param}"])
    for name, param in RCPT_PARAMS.items():
        add(f"rcpt-param-{name}", [HELLO, MAIL, f"{RCPT} {param}"])
    for name, steps in SYNTAX.items():
        add(f"syntax-{name}", steps)
    for name, steps in CHUNKS.items():
        add(f"bdat-{name}", steps)
    for name in FIELDS:
        address = f"RCPT TO:<{name}@example.org>"
        add(f"passdb-{name}", [HELLO, MAIL, address, "NOOP"])
    for stage, replies in STAGES.items():
        for name, reply in replies.items():
            steps = [HELLO, MAIL, RCPT]
            # Dovecot may crash where two recipients lose their server in DATA,
            # and what the second of them hears may be a matter of time.
            if stage not in ("data", "dot") and name not in ("5xx-closing",
                                                             "long"):
                steps.append(ANN)
            add(f"backend-{stage}-{name}", [*steps, Message(), "NOOP"],
                {stage: reply})
    return made


DIALOGUES = dialogues()

# --- the deliberate differences: (why, dialogues, Dovecot, waypost) ---

LISTED = [
    ("RFC 5321 4.1.1.9 lets NOOP have a text",
     "*-noop-text *-utf8", "501 5.5.4", "250 2.0.0"),
    ("RFC 5321 3.5.1: it is known, and not implemented",
     "*-expn", "500 5.5.1", "502 5.5.1"),
    ("RFC 5321 4.5.1 wants every server to have HELP",
     "*-help", "500 5.5.1", "214 2.0.0"),
    ("No command at all is bad syntax, not an unknown command",
     "*-empty *-space *-leading-space", "500 5.5.1", "500 5.5.2"),
    ("Where a chunk without a size ends nobody knows, and its octets may look "
     "like commands",
     "*-bdat-alone bdat-no-size bdat-not-a-number bdat-negative bdat-plus "
     "bdat-hex bdat-overflow", "250 2.0.0", "closed"),
    ("RFC 3030 2: there are no recipients to add once the message has begun",
     "bdat-rcpt-between", "250 2.1.5", "503 5.5.0"),
    ("An odd sender is the next server's to judge: the mail may be good",
     "from-quote-open lenient-from-quote-open", "501 5.5.4", "250 2.1.0"),
    ("A path has both of its brackets, or none",
     "lenient-from-closed", "250 2.1.0", "501 5.5.4"),
    ("RFC 6531 3.5: no UTF-8 in an address without SMTPUTF8",
     "from-high lenient-from-high", "250 2.1.0", "553 5.6.7"),
    ("RFC 6531 3.5: no UTF-8 in an address without SMTPUTF8",
     "to-high lenient-to-high", "501 5.5.4", "553 5.6.7"),
    ("RFC 5321 4.5.3.1.3: an address has at most 254 octets",
     "from-longer-local from-long-domain lenient-from-longer-local "
     "lenient-from-long-domain", "250 2.1.0", "501 5.5.4"),
    ("RFC 5321 4.5.3.1.3: an address has at most 254 octets",
     "to-longer-local to-long-domain lenient-to-longer-local "
     "lenient-to-long-domain", "550 5.1.1", "501 5.5.4"),
    ("SIZE and SMTPUTF8 are announced",
     "mail-param-size mail-param-size-zero mail-param-smtputf8",
     "555 5.5.4", "250 2.1.0"),
    ("The parameter is known, its value is bad",
     "mail-param-body-empty mail-param-size-bad rcpt-param-notify-bad",
     "555 5.5.4", "501 5.5.4"),
    ("One blank more in front of a parameter harms nobody",
     "mail-param-spaces", "501 5.5.4", "250 2.1.0"),
    ("Only CR LF . CR LF ends a message: anything else is SMTP smuggling",
     "syntax-bare-lf-dot syntax-bare-dot-lf syntax-bare-lf-dot-lf",
     "500 5.5.1", "250 2.0.0"),
    ("Without `mail_location` and a userdb there is no local delivery, and our "
     "data at fault is no bounce",
     "passdb-no-proxy passdb-no-host passdb-maybe-self "
     "passdb-maybe-and-proxy-self passdb-hostip-bad "
     "passdb-port-bad passdb-port-zero passdb-port-large passdb-protocol-bad "
     "passdb-timeout-bad passdb-source-ip-bad", "550 5.1.1", "451 4.3.5"),
    ("Without `mail_location` and a userdb there is no local delivery, and our "
     "data at fault is no bounce",
     "passdb-destuser-empty", "550 5.3.5", "451 4.3.5"),
    ("nologin and tempfail hold mail back for now",
     "passdb-nologin passdb-nologin-reason", "250 2.1.5", "450 4.2.1"),
    ("nologin and tempfail hold mail back for now",
     "passdb-nologin-no-host", "550 5.1.1", "450 4.2.1"),
    ("nologin and tempfail hold mail back for now",
     "passdb-tempfail", "250 2.1.5", "451 4.3.0"),
    ("Who refuses the session has said nothing about a recipient",
     "backend-connect-4xx backend-connect-4xx-plain "
     "backend-connect-byte-by-byte backend-lhlo-4xx backend-lhlo-4xx-plain "
     "backend-lhlo-byte-by-byte",
     "450 4.0.0; 450 4.0.0", "451 4.4.0; 451 4.4.0"),
    ("Who refuses the session has said nothing about a recipient",
     "backend-connect-5xx backend-connect-5xx-plain backend-connect-5xx-alone "
     "backend-connect-class-mismatch backend-connect-address "
     "backend-connect-other-address backend-lhlo-5xx backend-lhlo-5xx-plain "
     "backend-lhlo-5xx-alone backend-lhlo-class-mismatch backend-lhlo-address "
     "backend-lhlo-other-address",
     "550 5.0.0; 550 5.0.0", "451 4.4.0; 451 4.4.0"),
    ("Who refuses the session has said nothing about a recipient",
     "backend-connect-5xx-closing backend-lhlo-5xx-closing",
     "554 5.0.0", "451 4.4.0"),
    ("A refusal of several lines is a refusal; Dovecot's process dies of it",
     "backend-connect-lines backend-lhlo-lines",
     "closed", "451 4.4.0; 451 4.4.0; 503 5.5.0; 250 2.0.0"),
    ("A refusal of several lines is a refusal; Dovecot's process dies of it",
     "backend-mail-lines backend-rcpt-lines",
     "closed", "450 4.2.1; 450 4.2.1; 503 5.5.0; 250 2.0.0"),
    ("A refusal of several lines is a refusal; Dovecot's process dies of it",
     "backend-data-lines backend-dot-lines",
     "closed", "354, 450 4.2.1; 250 2.0.0"),
    ("Servers' codes pass as they are, unusual ones too",
     "backend-mail-odd-code backend-rcpt-odd-code",
     "451 4.4.0; 451 4.4.0", "499 4.9.9; 499 4.9.9"),
    ("Servers' codes pass as they are, unusual ones too",
     "backend-data-odd-code backend-dot-odd-code",
     "354, 451 4.4.0", "354, 499 4.9.9"),
    ("Servers' codes pass as they are, unusual ones too",
     "backend-dot-251", "354, 250 2.0.0", "354, 251 2.0.0"),
    ("A server that hangs up in place of its reply to RCPT has not given one",
     "backend-mail-5xx-closing", "554 5.3.2", "451 4.4.0"),
    ("TLS and a login are between the server and us: what is missing is no bounce",
     "backend-mail-wants-tls backend-rcpt-wants-tls",
     "530 5.7.0; 530 5.7.0", "451 4.7.0; 451 4.7.0"),
    ("TLS and a login are between the server and us: what is missing is no bounce",
     "backend-data-wants-tls backend-dot-wants-tls",
     "354, 530 5.7.0", "354, 451 4.7.0"),
    ("250 means delivered: this server has not even been sent the message",
     "backend-data-250", "354, 250 2.0.0", "354, 451 4.4.0"),
    ("354 is no outcome of a delivery",
     "backend-dot-354", "354, 354 3.0.0", "354, 451 4.4.0"),
    ("Postfix's XCLIENT_README has it: not known for now",
     "trusted-tempunavail", "501 5.5.4", "220"),
    ("An XCLIENT that says nothing is malformed",
     "trusted-no-parameters", "220", "501 5.5.4"),
    ("No name has more than 255 octets", "trusted-long", "220", "501 5.5.4"),
    ("A parameter is given once, and with a value",
     "trusted-forward-empty trusted-forward-twice",
     "250 2.1.5", "501 5.5.4"),
    ("RFC 3463 3.8 has codes for a want of security",
     "passdb-starttls-not-offered passdb-tls-not-spoken",
     "451 4.4.0", "451 4.7.4"),
]


def listed():
    """id -> (Dovecot, waypost, why); "*-x" is x at each place."""
    made = {}
    for why, names, theirs, ours in LISTED:
        for name in names.split():
            for place in PLACES if name[0] == "*" else [""]:
                made[name.replace("*", place)] = (theirs, ours, why)
    return made


DIFFERENCES = listed()


@pytest.fixture(scope="module")
def worlds(binary):
    """worlds(name): both proxies with the settings of that name."""
    made, started = {}, []
    top = pathlib.Path(tempfile.mkdtemp(prefix="wp-"))
    top.chmod(0o755)

    def get(name):
        if name not in made:
            (top / name).mkdir(mode=0o755)
            made[name] = World(top / name, binary, SETTINGS[name], started)
        return made[name]

    yield get
    for thing in reversed(started):
        thing.stop()
    shutil.rmtree(top, ignore_errors=True)


class World:
    """Both proxies, and the scripted backends behind them. Whatever has to be
    stopped is added to started."""

    def __init__(self, directory, binary, settings, started):
        self.backend, self.smtp = Backend(), Backend(lmtp=False)
        started += [self.backend, self.smtp]
        config = settings + ("lmtp_proxy = yes\npassdb {{\n driver = "
                             "passwd-file\n args = {0}/routes\n}}\n")
        (directory / "w").mkdir(mode=0o755)
        waypost = Waypost(directory / "w", binary)
        started.append(waypost)
        self.write_routes(directory / "w", waypost.address)
        # Each dialogue has its own connections to the backends.
        waypost.start(config.format(directory / "w") +
                      "lmtp_proxy_pool_max_idle = 0\n")
        dovecot = servers.Dovecot(
            directory / "d", users=[], name="proxy.example",
            extra=config.format(directory / "d"),
            prepare=lambda server: self.write_routes(server.dir,
                                                     server.address))
        started.append(dovecot)
        self.proxies = {"dovecot": dovecot.address, "waypost": waypost.address}

    def write_routes(self, directory, address):
        places = {"host": self.backend.host, "port": self.backend.port,
                  "smtp_port": self.smtp.port, "closed": free_port(),
                  "self_host": address[0], "self_port": address[1]}
        routes = {**FIELDS, "joe": FIELDS["plain"], "ann": FIELDS["plain"],
                  "o'neil": FIELDS["plain"], "a..b": FIELDS["plain"],
                  ".a": FIELDS["plain"], "a.": FIELDS["plain"]}
        path = directory / "routes"
        path.write_text("".join(
            f"{name}@example.org:::::::{fields.format(**places)}\n"
            for name, fields in routes.items()))
        path.chmod(0o644)

    def script(self, script):
        self.backend.script.clear()
        for stage, action in script.items():
            self.backend.on(stage, action)


def say(reply):
    return f"{reply.code} {reply.enhanced}".strip()


MARK = "252 2.3.3"


def take(client, step):
    """Sends a step and says what came of it."""
    if isinstance(step, Message):
        go = say(client.command("DATA"))
        return f"{go}, {take(client, Marked(BODY))}" if go == "354" else go
    if isinstance(step, Marked):
        client.send(step.data + b"VRFY mark\r\n")
        replies = []
        while not replies or replies[-1] != MARK:
            replies.append(say(client.reply()))
        return ", ".join(replies[:-1]) or "-"
    if not isinstance(step, Lines):
        step = Lines(to_bytes(step) + b"\r\n")
    client.send(step.data)
    return ", ".join(say(reply) for reply in client.replies(step.count))


def transcript(address, steps):
    seen = []
    with Client(address) as client:
        for step in steps:
            try:
                seen.append(take(client, step))
            except (Disconnected, ConnectionError):
                seen.append("closed")
                break
    return seen


def apart(theirs, ours):
    """What is left of both without what is the same at start and end."""
    theirs, ours = list(theirs), list(ours)
    for end in (0, -1):
        while theirs and ours and theirs[end] == ours[end]:
            del theirs[end], ours[end]
    return "; ".join(theirs), "; ".join(ours)


@pytest.mark.parametrize("name", DIALOGUES)
def test_same_replies(worlds, name):
    settings, steps, script = DIALOGUES[name]
    world, seen = worlds(settings), {}
    for proxy, address in world.proxies.items():
        world.script(script)
        seen[proxy] = transcript(address, steps)
    expected = DIFFERENCES.get(name, ("", ""))[:2]
    assert apart(seen["dovecot"], seen["waypost"]) == expected, seen


def test_what_is_listed_is_tested_and_documented():
    assert not set(DIFFERENCES) - set(DIALOGUES)
    rows = [[cell.strip() for cell in line.strip("|").split("|")]
            for line in (TOP / "DOVECOT.md").read_text().splitlines()
            if line.startswith("| ")]
    reasons = {why for _, _, why in DIFFERENCES.values()}
    assert reasons <= {row[-1] for row in rows}
