"""Who is this recipient: drivers, the chain, and the fields they return."""

import os
import re

import pytest

from backend import SILENCE
from waiting import wait_for
from waypost import passwd_file, static, user_line

BODY = "Subject: x\r\n\r\ntext\r\n"


def write(path, text):
    """Replaces a file at once, as administrators should."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.rename(path)


def ask(client, where, rcpt):
    """The reply to RCPT in a session of its own."""
    connection = client(where)
    connection.lhlo()
    connection.mail()
    reply = connection.rcpt(rcpt)
    connection.close()
    return reply


@pytest.fixture
def users(tmp, waypost):
    """waypost with a passwd-file of these lines."""

    def start(*lines, config=""):
        write(tmp / "users", "".join(lines))
        return waypost(passwd_file(tmp / "users") + config)

    return start


@pytest.fixture
def fielded(users, client):
    """The reply to joe@example.org, whose passdb fields are given."""

    def reply(fields, config=""):
        proxy = users(f"joe@example.org:::::::{fields}\n", config=config)
        connection = client(proxy)
        connection.lhlo()
        connection.mail()
        connection.proxy = proxy
        connection.answer = connection.rcpt("joe@example.org")
        return connection

    return reply


# --- drivers ---

def test_static_with_variables(waypost, backend, client):
    server = backend()
    proxy = waypost(static(server, "destuser=%Ln.%d@%{hostname}"))
    connection = client(proxy)
    connection.lhlo()
    assert connection.deliver("Joe+x@example.org")[0].code == 250
    message = server.messages[0]
    assert re.fullmatch(r"joe\.example\.org\+x@\S+", message.recipients[0])


def test_passwd_file_routes_each_user(users, backend, client):
    one, two = backend(), backend()
    proxy = users("# a comment\n", "\n", user_line("joe@example.org", one),
                  user_line("jim@example.org", two))
    connection = client(proxy)
    connection.lhlo()
    connection.deliver("joe@example.org", "jim@example.org")
    assert one.messages[0].recipients == ["joe@example.org"]
    assert two.messages[0].recipients == ["jim@example.org"]


def test_unknown_user(users, backend, client):
    proxy = users(user_line("joe@example.org", backend()))
    assert str(ask(client, proxy, "nobody@example.org")) == \
        "550 5.1.1 <nobody@example.org> User doesn't exist: " \
        "nobody@example.org"


def test_detail_is_no_part_of_the_user(users, backend, client):
    server = backend()
    proxy = users(user_line("joe@example.org", server))
    assert str(ask(client, proxy, "no+body@example.org")) == \
        "550 5.1.1 <no+body@example.org> User doesn't exist: no@example.org"
    assert ask(client, proxy, "joe+x@example.org").code == 250
    assert server.commands("RCPT")[0].startswith("RCPT TO:<joe+x@example.org>")


def test_recipient_delimiter(users, backend, client):
    server = backend()
    proxy = users(user_line("joe@example.org", server),
                  config="recipient_delimiter = -_\n")
    for rcpt in ("joe-x@example.org", "joe_x@example.org"):
        assert ask(client, proxy, rcpt).code == 250
    assert ask(client, proxy, "joe+x@example.org").code == 550


def test_user_name_in_lower_case(users, backend, client):
    server = backend()
    proxy = users(user_line("joe@example.org", server))
    assert ask(client, proxy, "JOE@Example.ORG").code == 250
    assert server.commands("RCPT") == [
        "RCPT TO:<joe@example.org> ORCPT=rfc822;JOE@Example.ORG"]


def test_user_name_as_it_is(users, backend, client):
    server = backend()
    proxy = users(user_line("JOE@example.org", server),
                  config="auth_username_format = %u\n")
    assert ask(client, proxy, "JOE@example.org").code == 250
    assert ask(client, proxy, "joe@example.org").code == 550
    assert server.commands("RCPT") == ["RCPT TO:<JOE@example.org>"]


def test_user_name_with_odd_characters(users, backend, client):
    line = user_line("o'neil@example.org", backend())
    proxy = users(line)
    assert ask(client, proxy, "o'neil@example.org").code == 550
    proxy.stop()
    proxy = users(line, config="auth_username_chars =\n")
    assert ask(client, proxy, "o'neil@example.org").code == 250


def test_user_without_domain(users, backend, client):
    proxy = users(user_line("joe@example.org", backend()),
                  config="auth_default_realm = example.org\n")
    assert ask(client, proxy, "joe").code == 250


def test_passwd_file_per_domain(tmp, waypost, backend, client):
    server = backend()
    write(tmp / "users.example.org", user_line("joe", server))
    proxy = waypost(passwd_file(f"username_format=%n {tmp}/users.%d"))
    assert ask(client, proxy, "joe@example.org").code == 250
    assert ask(client, proxy, "joe@example.com").code == 550
    assert ask(client, proxy, "joe@..").code in (501, 550)


def test_file_is_read_again(tmp, users, backend, client):
    one, two = backend(rcpt="250 2.1.5 one"), backend(rcpt="250 2.1.5 two")
    proxy = users(user_line("joe@example.org", one))
    assert ask(client, proxy, "joe@example.org").text == "2.1.5 one"
    write(tmp / "users", user_line("joe@example.org", two) +
          user_line("new@example.org", two))
    wait_for(lambda: ask(client, proxy, "joe@example.org").text ==
             "2.1.5 two", "the new file")
    assert ask(client, proxy, "new@example.org").code == 250


def test_change_of_the_same_size(tmp, users, backend, client):
    one, two = backend(rcpt="250 2.1.5 one"), backend(rcpt="250 2.1.5 two")
    proxy = users(user_line("joe@example.org", one))
    assert ask(client, proxy, "joe@example.org").text == "2.1.5 one"
    path = tmp / "users"
    path.write_text(user_line("joe@example.org", two))
    wait_for(lambda: ask(client, proxy, "joe@example.org").text ==
             "2.1.5 two", "the new file")


def test_broken_lines_cost_their_users_only(users, backend, client):
    server = backend()
    proxy = users(user_line("joe@example.org", server),
                  "bad@example.org\n",
                  "worse@example.org:::::::proxy=y host=%{what\n",
                  user_line("jim@example.org", server),
                  "joe@example.org:::::::proxy=y host=192.0.2.1\n")
    proxy.wait_log(r"Error: .*/users:2: user bad@example\.org: ")
    proxy.wait_log(r"Error: .*/users:3: user worse@example\.org: ")
    proxy.wait_log(r"Error: .*/users:5: user joe@example\.org ")
    assert ask(client, proxy, "joe@example.org").code == 250
    assert ask(client, proxy, "jim@example.org").code == 250
    for user in ("bad@example.org", "worse@example.org"):
        assert ask(client, proxy, user).code == 451


def test_vanished_file(tmp, users, backend, client):
    proxy = users(user_line("joe@example.org", backend()))
    (tmp / "users").unlink()
    proxy.wait_log(r"Error: .*/users.*going on with what was read before")
    assert ask(client, proxy, "joe@example.org").code == 250
    assert ask(client, proxy, "nobody@example.org").code == 550


def test_file_that_is_not_there_yet(tmp, waypost, backend, client):
    proxy = waypost(passwd_file(tmp / "users"))
    proxy.wait_log(r"Error: .*/users")
    assert ask(client, proxy, "joe@example.org").code == 451
    write(tmp / "users", user_line("joe@example.org", backend()))
    wait_for(lambda: ask(client, proxy, "joe@example.org").code == 250,
             "the file to be read")


def test_file_that_may_not_be_read(tmp, waypost, client, need_root):
    (tmp / "users").write_text("joe@example.org:::::::proxy=y\n")
    os.chmod(tmp / "users", 0o600)
    proxy = waypost(passwd_file(tmp / "users"))
    proxy.wait_log(r"Error: .*/users.*Permission denied")
    assert ask(client, proxy, "joe@example.org").code == 451


# --- the chain ---

def block(path, *settings):
    lines = "".join(f"  {setting}\n" for setting in settings)
    return f"passdb {{\n  driver = passwd-file\n  args = {path}\n{lines}}}\n"


@pytest.fixture
def chain(tmp, waypost, backend):
    """waypost with blocks over files a, b; {a} and {b} are their paths."""

    def start(config, a="", b=""):
        target = backend(rcpt="250 2.1.5 a"), backend(rcpt="250 2.1.5 b")
        write(tmp / "a", a.format(a=target[0].port, b=target[1].port))
        write(tmp / "b", b.format(a=target[0].port, b=target[1].port))
        return waypost(config.format(a=tmp / "a", b=tmp / "b"))

    return start


JOE_A = "joe@example.org:::::::proxy=y host=127.0.0.1 port={a}\n"
JOE_B = "joe@example.org:::::::proxy=y host=127.0.0.1 port={b}\n"
JIM_B = "jim@example.org:::::::proxy=y host=127.0.0.1 port={b}\n"


@pytest.mark.parametrize("first, joe, jim", [
    ((), "250 2.1.5 a", "250 2.1.5 b"),
    (("result_failure = return-fail",), "250 2.1.5 a", "550"),
    (("result_failure = return",), "250 2.1.5 a", "550"),
    (("result_success = continue",), "250 2.1.5 b", "250 2.1.5 b"),
    (("pass = yes",), "250 2.1.5 b", "250 2.1.5 b"),
    (("result_success = return-fail",), "550", "250 2.1.5 b"),
    (("deny = yes",), "550", "250 2.1.5 b"),
    (("master = yes",), "250 2.1.5 b", "250 2.1.5 b"),
    (("mechanisms = plain",), "250 2.1.5 b", "250 2.1.5 b"),
    (("mechanisms = none plain",), "250 2.1.5 a", "250 2.1.5 b"),
    (("username_filter = jim@* !x",), "250 2.1.5 b", "250 2.1.5 b"),
    (("username_filter = j*@example.org",), "250 2.1.5 a", "250 2.1.5 b"),
    (("username_filter = !joe@*",), "250 2.1.5 b", "250 2.1.5 b"),
])
def test_chain(chain, client, first, joe, jim):
    proxy = chain(block("{a}", *first) + block("{b}"), a=JOE_A,
                  b=JOE_B + JIM_B)
    for user, expected in (("joe", joe), ("jim", jim)):
        reply = str(ask(client, proxy, user + "@example.org"))
        assert reply.startswith(expected), f"{user}: {reply}"


def test_continue_ok_keeps_the_result(chain, client):
    proxy = chain(block("{a}", "result_success = continue-ok") + block("{b}"),
                  a=JOE_A, b=JIM_B)
    assert str(ask(client, proxy, "joe@example.org")) == "250 2.1.5 a"


def test_later_fields_replace_earlier_ones(chain, client):
    proxy = chain(block("{a}", "result_success = continue-ok") + block("{b}"),
                  a="joe@example.org:::::::proxy=y host=127.0.0.1 port=1\n",
                  b="joe@example.org:::::::port={b}\n")
    assert str(ask(client, proxy, "joe@example.org")) == "250 2.1.5 b"


@pytest.mark.parametrize("skip, joe, jim", [
    ("never", "250 2.1.5 b", "250 2.1.5 b"),
    ("authenticated", "250 2.1.5 a", "250 2.1.5 b"),
    ("unauthenticated", "250 2.1.5 b", "550"),
])
def test_skip(chain, client, skip, joe, jim):
    proxy = chain(block("{a}", "result_success = continue-ok") +
                  block("{b}", f"skip = {skip}"), a=JOE_A, b=JOE_B + JIM_B)
    for user, expected in (("joe", joe), ("jim", jim)):
        reply = str(ask(client, proxy, user + "@example.org"))
        assert reply.startswith(expected), f"{user}: {reply}"


def test_default_and_override_fields(chain, client):
    proxy = chain(
        block("{a}", "default_fields = proxy=y host=127.0.0.1 port=1",
              "override_fields = host=127.0.0.1"),
        a="joe@example.org:::::::port={a} host=192.0.2.1\n")
    assert str(ask(client, proxy, "joe@example.org")) == "250 2.1.5 a"


@pytest.mark.parametrize("fields, expected", [
    ("host=127.0.0.1:remove port={a} host=127.0.0.1", "250 2.1.5 a"),
])
def test_fields_are_in_order(chain, client, fields, expected):
    proxy = chain(block("{a}"),
                  a="joe@example.org:::::::proxy=y " + fields + "\n")
    assert str(ask(client, proxy, "joe@example.org")) == expected


def test_protected_and_remove(chain, client):
    # port:protected does not replace; destuser:remove takes away.
    proxy = chain(
        block("{a}", "result_success = continue-ok") + block("{b}"),
        a="joe@example.org:::::::proxy=y host=127.0.0.1 port={a} "
          "destuser=other@example.org nologin=y\n",
        b="joe@example.org:::::::port:protected={b} destuser:remove= "
          "nologin:remove=\n")
    assert str(ask(client, proxy, "joe@example.org")) == "250 2.1.5 a"


def test_passdb_that_cannot_look_up(chain, client):
    # As on Debian: pam comes first, the proxying passdb behind it.
    proxy = chain("passdb {{\n  driver = pam\n}}\n" + block("{a}"), a=JOE_A)
    proxy.wait_log(r"Warning: .*pam")
    assert ask(client, proxy, "joe@example.org").code == 250
    reply = ask(client, proxy, "nobody@example.org")
    assert (reply.code, reply.enhanced) == (451, "4.3.0")


def test_internal_failure_returns(chain, client):
    proxy = chain(block("/nowhere/users", "result_internalfail = return-fail")
                  + block("{a}"), a=JOE_A)
    assert ask(client, proxy, "joe@example.org").code == 451


def test_internal_failure_is_no_bounce(chain, client):
    proxy = chain(block("/nowhere/users") + block("{a}"), a=JOE_A)
    assert ask(client, proxy, "joe@example.org").code == 250
    assert ask(client, proxy, "nobody@example.org").code == 451


# --- fields ---

def test_destuser(fielded, backend):
    server = backend()
    connection = fielded(f"proxy=y host=127.0.0.1 port={server.port} "
                         "destuser=jim@inside.test")
    assert connection.answer.code == 250
    assert server.commands("RCPT") == [
        "RCPT TO:<jim@inside.test> ORCPT=rfc822;joe@example.org"]
    assert str(connection.body(BODY)[0]).startswith(
        "250 2.0.0 <joe@example.org> ")


def test_destuser_keeps_the_detail(users, backend, client):
    server = backend()
    proxy = users(user_line("joe@example.org", server, "destuser=jim"))
    assert ask(client, proxy, "joe+x+y@example.org").code == 250
    assert server.commands("RCPT") == [
        "RCPT TO:<jim+x+y> ORCPT=rfc822;joe+2Bx+2By@example.org"]


def test_orcpt_of_the_client_stays(users, backend, client):
    server = backend()
    connection = client(users(user_line("joe@example.org", server,
                                        "destuser=jim@example.org")))
    connection.lhlo()
    connection.mail()
    connection.ok("RCPT TO:<joe@example.org> ORCPT=rfc822;first@example.org")
    assert server.commands("RCPT") == [
        "RCPT TO:<jim@example.org> ORCPT=rfc822;first@example.org"]


def test_orcpt_is_tried_without(users, backend, client):
    # A server that does not know it, though we need it for the old address.
    server = backend(rcpt=lambda conn: "555 5.5.4 what?" if "ORCPT" in
                     conn.rcpt else "250 2.1.5 ok")
    proxy = users(user_line("joe@example.org", server,
                            "destuser=jim@example.org"))
    assert ask(client, proxy, "joe@example.org").code == 250
    assert server.commands("RCPT")[-1] == "RCPT TO:<jim@example.org>"


def test_user_field(fielded, backend):
    server = backend()
    assert fielded(f"proxy=y host=127.0.0.1 port={server.port} "
                   "user=jim@example.org").answer.code == 250
    assert server.commands("RCPT")[0].startswith("RCPT TO:<jim@example.org>")


def test_destuser_with_quoted_local_part(fielded, backend):
    server = backend()
    assert fielded(f"proxy=y host=127.0.0.1 port={server.port} "
                   "destuser=a..b@example.org").answer.code == 250
    assert server.commands("RCPT")[0].startswith('RCPT TO:<"a..b"@example.org>')


def test_hostip(fielded, backend):
    # The name is never looked up.
    server = backend()
    connection = fielded("proxy=y host=no.such.invalid hostip=127.0.0.1 "
                         f"port={server.port}")
    assert connection.answer.code == 250


def test_source_ip(fielded, backend):
    server = backend()
    assert fielded(f"proxy=y host=127.0.0.1 port={server.port} "
                   "source_ip=127.0.0.9").answer.code == 250
    assert server.connections[0].peer[0] == "127.0.0.9"


def test_port_defaults_to_the_listeners(users, backend, client, tmp):
    proxy = users("joe@example.org:::::::proxy=y host=127.0.0.77\n")
    server = backend(host="127.0.0.77", port=proxy.port)
    assert ask(client, proxy, "joe@example.org").code == 250
    assert len(server.connections) == 1


def test_protocol_smtp(fielded, backend):
    server = backend(protocol="smtp")
    connection = fielded(f"proxy=y host=127.0.0.1 port={server.port} "
                         "protocol=smtp")
    assert connection.answer.code == 250
    assert server.commands("EHLO") == ["EHLO proxy.test"]


def test_proxy_timeout(fielded, backend):
    server = backend(dot=SILENCE)
    connection = fielded(f"proxy=y host=127.0.0.1 port={server.port} "
                         "proxy_timeout=1")
    reply = connection.body(BODY)[0]
    assert re.match(r"451 4\.4\.0 <joe@example\.org> Remote server not "
                    r"answering \(transaction timed out", str(reply))


def test_proxy_maybe_elsewhere(fielded, backend):
    server = backend()
    assert fielded("proxy_maybe=y host=127.0.0.1 "
                   f"port={server.port}").answer.code == 250


def test_proxy_maybe_here(users, client):
    proxy = users("joe@example.org:::::::proxy_maybe=y host=127.0.0.1\n")
    reply = ask(client, proxy, "joe@example.org")
    assert (reply.code, reply.enhanced) == (451, "4.3.5")


def test_not_proxied(fielded):
    connection = fielded("uid=1000")
    assert (connection.answer.code, connection.answer.enhanced) == \
        (451, "4.3.5")
    connection.proxy.wait_log(r"Error: .*joe@example\.org")


def test_loop(users, client):
    proxy = users("joe@example.org:::::::proxy=y host=127.0.0.1\n")
    assert str(ask(client, proxy, "joe@example.org")) == \
        "554 5.4.6 <joe@example.org> Proxying loops to itself"


@pytest.mark.parametrize("fields, expected", [
    ("nologin=y", "450 4.2.1 <joe@example.org> Login disabled"),
    ("nologin", "450 4.2.1 <joe@example.org> Login disabled"),
    ("nologin=y proxy=y host=127.0.0.1",
     "450 4.2.1 <joe@example.org> Login disabled"),
    ("nologin=y reason=Moving", "450 4.2.1 <joe@example.org> Moving"),
    ("tempfail=y", "451 4.3.0 <joe@example.org> Temporary failure"),
    ("tempfail=y reason=Later", "451 4.3.0 <joe@example.org> Later"),
])
def test_refused_by_fields(fielded, fields, expected):
    assert str(fielded(fields).answer) == expected


@pytest.mark.parametrize("nets, code", [
    ("127.0.0.1", 250),
    ("192.0.2.0/24,127.0.0.0/8", 250),
    ("192.0.2.0/24", 550),
    ("2001:db8::/32", 550),
    ("local", 550),
])
def test_allow_nets(fielded, backend, nets, code):
    server = backend()
    assert fielded(f"proxy=y host=127.0.0.1 port={server.port} "
                   f"allow_nets={nets}").answer.code == code


def test_allow_nets_local(users, backend, client):
    proxy = users(user_line("joe@example.org", backend(), "allow_nets=local"))
    assert ask(client, str(proxy.socket), "joe@example.org").code == 250


@pytest.mark.parametrize("fields, field, value", [
    ("proxy=y", "host", ""),
    ("proxy=y host=", "host", ""),
    ("proxy=y host=127.0.0.1 port=99999", "port", "99999"),
    ("proxy=y host=127.0.0.1 port=0", "port", "0"),
    ("proxy=y host=127.0.0.1 port=lmtp", "port", "lmtp"),
    ("proxy=y host=127.0.0.1 port=-1", "port", "-1"),
    ("proxy=y host=127.0.0.1 port=24x", "port", "24x"),
    ("proxy=y host=mx hostip=no-ip", "hostip", "no-ip"),
    ("proxy=y host=mx hostip=127.0.0.256", "hostip", "127.0.0.256"),
    ("proxy=y host=127.0.0.1 source_ip=x", "source_ip", "x"),
    ("proxy=y host=127.0.0.1 protocol=imap", "protocol", "imap"),
    ("proxy=y host=127.0.0.1 proxy_timeout=abc", "proxy_timeout", "abc"),
    ("proxy=y host=127.0.0.1 proxy_timeout=30s", "proxy_timeout", "30s"),
    ("proxy=y host=127.0.0.1 destuser=a@", "destuser", "a@"),
    ("proxy=y host=127.0.0.1 destuser=a@b@c", "destuser", "a@b@c"),
    ("proxy=y host=127.0.0.1 destuser=", "destuser", ""),
    ("proxy=y host=127.0.0.1 destuser=a>b@c", "destuser", "a>b@c"),
    ("proxy=y host=127.0.0.1 ssl=yes", "ssl", ""),
    ("proxy=y host=127.0.0.1 starttls=any-cert", "starttls", ""),
    ("proxy=y host=127.0.0.1 allow_nets=junk", "allow_nets", "junk"),
])
def test_malformed_field(fielded, fields, field, value):
    connection = fielded(fields)
    assert (connection.answer.code, connection.answer.enhanced) == \
        (451, "4.3.5"), connection.answer
    assert "<joe@example.org>" in connection.answer.text
    line = connection.proxy.wait_log(
        rf"Error: .*joe@example\.org.*\b{field}\b").string
    assert value in line


def test_unknown_fields_are_ignored(fielded, backend):
    server = backend()
    assert fielded(f"proxy=y host=127.0.0.1 port={server.port} "
                   "userdb_uid=5 colour=green forward_x=1 "
                   "proxy_nopipelining=y").answer.code == 250


def test_same_target_is_one_connection(users, backend, client):
    server = backend()
    proxy = users(user_line("joe@example.org", server),
                  user_line("jim@example.org", server, "proxy_timeout=10"))
    connection = client(proxy)
    connection.start("joe@example.org", "jim@example.org")
    assert len(server.connections) == 1
    assert len(server.commands("MAIL")) == 1


def test_other_source_is_another_connection(users, backend, client):
    server = backend()
    proxy = users(user_line("joe@example.org", server),
                  user_line("jim@example.org", server, "source_ip=127.0.0.9"))
    connection = client(proxy)
    connection.start("joe@example.org", "jim@example.org")
    assert len(server.connections) == 2
