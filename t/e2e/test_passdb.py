"""Who is this recipient: the chain, its drivers, the fields they return."""
import hashlib
import os
import signal

import pytest

from lmtp_client import Client
from ports import LOCALHOST, other_host
from waiting import wait_until


def line(user, backend, fields=""):
    return (f"{user}:::::::proxy=y host={backend.host} port={backend.port} "
            f"{fields}\n")


PASSWD_FILE = """\
passdb {{
  driver = passwd-file
  args = {dir}/users
}}
"""


@pytest.fixture
def with_users(instance):
    """with_users(lines, config): a proxy with a passwd-file."""
    def start(lines, config=""):
        proxy = instance()
        proxy.write_file("users", lines)
        return proxy.start(PASSWD_FILE.format(dir=proxy.dir) + config)
    return start


def rcpt(proxy, address, params=""):
    """The reply to one RCPT of a session of its own."""
    with proxy.session() as client:
        assert client.mail() == 250
        return client.rcpt(address, params)


def sent_to(backend):
    """The commands for recipients that a backend heard."""
    return [c for c in backend.commands if c.startswith("RCPT")]


# --- found or not ---

def test_users_go_where_the_file_says(backends, with_users):
    one, two = backends(), backends()
    proxy = with_users("# comment\n\n" + line("joe@example.org", one) +
                       line("ann@example.org", two))
    with proxy.session() as client:
        replies = client.deliver(["joe@example.org", "ann@example.org"])
        assert [r.code for r in replies] == [250, 250]
    assert one.wait_messages(1)[0].rcpts == ["joe@example.org"]
    assert two.wait_messages(1)[0].rcpts == ["ann@example.org"]


def test_unknown_user(backend, with_users):
    proxy = with_users(line("joe@example.org", backend))
    assert rcpt(proxy, "No+detail@example.org").raw == [
        "550 5.1.1 <No+detail@example.org> User doesn't exist: "
        "No@example.org"]


def test_user_with_a_forbidden_character_does_not_exist(backend, with_users):
    proxy = with_users(line("joe@example.org", backend))
    assert rcpt(proxy, "jo#e@example.org") == "550 5.1.1 "


def test_user_that_is_not_proxied(with_users):
    """There is no local delivery: not the sender's fault."""
    proxy = with_users("joe@example.org:::::::host=192.0.2.1\n")
    assert rcpt(proxy, "joe@example.org") == "451 4.3.5 <joe@example.org> "
    proxy.wait_log(r"Error: .*joe@example\.org.*not proxied")


def test_names_are_compared_in_lower_case(backend, with_users):
    proxy = with_users(line("joe@example.org", backend))
    assert rcpt(proxy, "Joe@Example.ORG") == 250
    # The address changes then, and the old one goes along.
    assert sent_to(backend) == [
        "RCPT TO:<joe@example.org> ORCPT=rfc822;Joe@Example.ORG"]


def test_username_format(backend, with_users):
    proxy = with_users(line("joe", backend), "auth_username_format = %Ln\n")
    assert rcpt(proxy, "joe@whatever.example") == 250


def test_default_realm(backend, with_users):
    proxy = with_users(line("joe@example.org", backend),
                       "auth_default_realm = example.org\n")
    assert rcpt(proxy, "joe") == 250


# --- fields ---

@pytest.mark.parametrize("field,named", [
    ("port=0", "port"), ("port=65536", "port"), ("port=abc", "port"),
    ("port=", "port"), ("hostip=mail.example", "hostip"),
    ("source_ip=nowhere", "source_ip"), ("protocol=imap", "protocol"),
    ("proxy_timeout=soon", "proxy_timeout"), ("host=", "host"),
    ("host=a/b", "host"), ("host=010.0.0.1", "host"), ("host=127.1", "host"),
    ("destuser=a\\sb@", "destuser"),
])
def test_malformed_fields(backend, with_users, field, named):
    proxy = with_users(line("joe@example.org", backend, field) +
                       line("ann@example.org", backend))
    assert rcpt(proxy, "joe@example.org").raw[0].startswith(
        "451 4.3.5 <joe@example.org> ")
    proxy.wait_log(rf"Error: .*joe@example\.org.*{named}")
    assert rcpt(proxy, "ann@example.org") == 250


def test_missing_host(with_users):
    proxy = with_users("joe@example.org:::::::proxy\n")
    assert rcpt(proxy, "joe@example.org") == "451 4.3.5 "
    proxy.wait_log(r"Error: .*joe@example\.org.*host")


def test_proxy_counts_by_being_there(backend, with_users):
    proxy = with_users(line("joe@example.org", backend).replace(
        "proxy=y", "proxy=no"))
    assert rcpt(proxy, "joe@example.org") == 250


def test_unknown_fields_mean_nothing(backend, with_users):
    proxy = with_users(line("joe@example.org", backend,
                            "frob=1 userdb_uid=5 forward_x=y nodelay"))
    assert rcpt(proxy, "joe@example.org") == 250


def test_destuser(backend, with_users):
    proxy = with_users(line("joe@example.org", backend,
                            "destuser=j123@store.example"))
    reply = rcpt(proxy, "joe+box@example.org")
    assert reply == 250
    assert sent_to(backend) == ["RCPT TO:<j123+box@store.example> "
                                "ORCPT=rfc822;joe+2Bbox@example.org"]


def test_replies_name_the_clients_address(backend, with_users):
    proxy = with_users(line("joe@example.org", backend,
                            "destuser=j123@store.example"))
    backend.on("rcpt", "550 5.1.1 <j123@store.example> unknown", times=1)
    assert rcpt(proxy, "joe@example.org").raw == [
        "550 5.1.1 <joe@example.org> unknown"]
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0].text.startswith(
            "<joe@example.org> ")


def test_user_field(backend, with_users):
    proxy = with_users(line("joe@example.org", backend,
                            "user=joseph@example.com"))
    assert rcpt(proxy, "joe@example.org") == 250
    assert sent_to(backend)[0].startswith("RCPT TO:<joseph@example.com>")


def test_clients_own_orcpt_wins(backends, with_users):
    backend = backends(capabilities=["PIPELINING", "DSN"])
    proxy = with_users(line("joe@example.org", backend,
                            "destuser=j123@store.example"))
    assert rcpt(proxy, "joe@example.org",
                " ORCPT=rfc822;list@example.net") == 250
    assert sent_to(backend) == [
        "RCPT TO:<j123@store.example> ORCPT=rfc822;list@example.net"]


@pytest.mark.parametrize("choking", [
    "555 5.5.4 no ORCPT here", "501 5.5.4 what?", "504 5.5.4 not implemented",
    "500 5.5.2 syntax"])
def test_orcpt_is_dropped_for_a_peer_that_chokes_on_it(backend, with_users,
                                                       choking):
    backend.on("rcpt", lambda conn, rcpt: choking
               if "ORCPT" in conn.commands[-1] else "250 2.1.5 ok")
    proxy = with_users(line("joe@example.org", backend,
                            "destuser=j123@store.example"))
    assert rcpt(proxy, "joe@example.org") == 250


def test_hostip_is_where_the_connection_goes(backend, with_users):
    proxy = with_users(f"joe@example.org:::::::proxy host=nowhere.invalid "
                       f"hostip={backend.host} port={backend.port}\n")
    assert rcpt(proxy, "joe@example.org") == 250
    backend.wait_connections(1)


def test_hostip_tells_servers_of_one_name_apart(backends, with_users):
    one = backends(host=other_host(10))
    two = backends(host=other_host(11), port=one.port)
    proxy = with_users("".join(
        f"{user}@example.org:::::::proxy host=mail.example "
        f"hostip={server.host} port={server.port}\n"
        for user, server in (("joe", one), ("ann", two))))
    with proxy.session() as client:
        replies = client.deliver(["joe@example.org", "ann@example.org"])
        assert [reply.code for reply in replies] == [250, 250]
    assert one.messages[0].rcpts == ["joe@example.org"]
    assert two.messages[0].rcpts == ["ann@example.org"]


def test_source_ip(backend, with_users):
    proxy = with_users(line("joe@example.org", backend,
                            "source_ip=127.0.0.77"))
    assert rcpt(proxy, "joe@example.org") == 250
    assert backend.wait_connections(1)[0].peer[0] == "127.0.0.77"


@pytest.mark.parametrize("fields,expected", [
    ("nologin", "450 4.2.1 <joe@example.org> "),
    ("nologin reason=Moving", "450 4.2.1 <joe@example.org> Moving"),
    ("tempfail", "451 4.3.0 <joe@example.org> "),
    ("tempfail reason=Moving", "451 4.3.0 <joe@example.org> Moving"),
])
def test_nologin_and_tempfail(backend, with_users, fields, expected):
    proxy = with_users(line("joe@example.org", backend, fields))
    assert rcpt(proxy, "joe@example.org") == expected
    assert not backend.connections


def test_allow_nets(backend, with_users):
    proxy = with_users(
        line("in@example.org", backend, "allow_nets=127.0.0.0/8,10.0.0.0/8") +
        line("out@example.org", backend, "allow_nets=192.0.2.0/24") +
        line("bad@example.org", backend, "allow_nets=what"))
    assert rcpt(proxy, "in@example.org") == 250
    assert rcpt(proxy, "out@example.org") == 550
    assert rcpt(proxy, "bad@example.org") == "451 4.3.5"


def test_field_suffixes(backends, instance):
    one, two = backends(), backends()
    proxy = instance()
    proxy.write_file(
        "users", f"a@example.org:::::::host:protected={two.host} "
        f"port:protected={two.port}\n"
        f"b@example.org:::::::proxy:remove\n")
    proxy.start(f"passdb {{\n driver = passwd-file\n args = {proxy.dir}/users\n"
                f" default_fields = proxy=y host={one.host} port={one.port}\n"
                f"}}\n")
    assert rcpt(proxy, "a@example.org") == 250
    one.wait_connections(1)
    assert not two.connections
    assert rcpt(proxy, "b@example.org") == "451 4.3.5 "


def test_default_and_override_fields(backends, instance):
    one, two = backends(), backends()
    proxy = instance()
    proxy.write_file("users", f"a@example.org:::::::port={two.port}\n"
                     f"b@example.org:::::::\n")
    proxy.start(f"passdb {{\n driver = passwd-file\n args = {proxy.dir}/users\n"
                f" default_fields = proxy=y port={one.port}\n"
                f" override_fields = host={one.host}\n}}\n")
    assert rcpt(proxy, "a@example.org") == 250
    assert rcpt(proxy, "b@example.org") == 250
    assert sent_to(two) == ["RCPT TO:<a@example.org>"]
    assert sent_to(one) == ["RCPT TO:<b@example.org>"]


# --- loops ---

def test_proxying_to_ourself(with_users):
    proxy = with_users("joe@example.org:::::::proxy host=" + LOCALHOST + "\n")
    assert rcpt(proxy, "joe@example.org") == \
        "554 5.4.6 <joe@example.org> Proxying loops to itself"


def test_proxying_to_ourself_by_name(instance, dns):
    dns.zone["self.example"] = [LOCALHOST]
    proxy = instance()
    proxy.start(f"lmtp_proxy_dns_servers = {dns.server}\n"
                "passdb {\n driver = static\n"
                " args = nopassword=y proxy=y host=self.example\n}\n")
    assert rcpt(proxy, "joe@example.org") == "554 5.4.6 "


def test_proxy_maybe(backend, instance):
    proxy = instance()
    proxy.write_file(
        "users", f"self@example.org:::::::proxy_maybe host={LOCALHOST}\n"
        f"away@example.org:::::::proxy_maybe host={backend.host} "
        f"port={backend.port}\n")
    proxy.start(PASSWD_FILE.format(dir=proxy.dir))
    assert rcpt(proxy, "self@example.org") == "451 4.3.5 "
    assert rcpt(proxy, "away@example.org") == 250


# --- static and variables ---

@pytest.mark.parametrize("template,expected", [
    ("%n@store.example", "joe@store.example"),
    ("%Un@%Ld", "JOE@example.org"),
    ("%u", "joe@example.org"),
    ("%{user}", "joe@example.org"),
    ("%{username}@%{domain_first}.x", "joe@example.org.x"),
    ("%1n.%2.3d@y.example", "j.amp@y.example"),
    ("%Ms@z.example", hashlib.md5(b"lmtp").hexdigest() + "@z.example"),
    ("%{if;%d;eq;example.org;yes;no}@z.example", "yes@z.example"),
    ("%n-%s@z.example", "joe-lmtp@z.example"),
])
def test_variables(backend, waypost, template, expected):
    proxy = waypost(
        f"passdb {{\n driver = static\n args = nopassword=y proxy=y "
        f"host={backend.host} port={backend.port} destuser={template}\n}}\n")
    assert rcpt(proxy, "joe@example.org") == 250
    assert sent_to(backend)[0].split(">")[0] == f"RCPT TO:<{expected}"


def test_hash_of_the_user_picks_a_backend(backends, waypost):
    ports = [backends(host=f"127.11.1.{i}", port=0) for i in range(2)]
    proxy = waypost(
        "passdb {\n driver = static\n args = nopassword=y proxy=y "
        "host=127.11.1.%2Nu port=%{if;%2Nu;eq;0;" +
        f"{ports[0].port};{ports[1].port}" + "}\n}\n")
    for number in range(16):
        assert rcpt(proxy, f"u{number}@example.org") == 250
    assert all(len(sent_to(b)) > 0 for b in ports)


def test_passwd_file_per_domain(backend, instance):
    proxy = instance()
    proxy.write_file("users.example.org", line("joe", backend))
    proxy.start(f"passdb {{\n driver = passwd-file\n"
                f" args = username_format=%n {proxy.dir}/users.%d\n}}\n")
    assert rcpt(proxy, "joe@example.org") == 250
    assert rcpt(proxy, "joe@example.com") == "550 5.1.1 "
    assert rcpt(proxy, "ann@example.org") == "550 5.1.1 "


# --- passwd-file over time ---

def test_file_is_read_again_when_it_changes(backends, with_users):
    one, two = backends(), backends()
    proxy = with_users(line("joe@example.org", one))
    assert rcpt(proxy, "joe@example.org") == 250
    assert rcpt(proxy, "ann@example.org") == 550
    proxy.write_file("users", line("joe@example.org", two) +
                     line("ann@example.org", one))
    wait_until(lambda: rcpt(proxy, "ann@example.org") == 250, "the new file")
    assert rcpt(proxy, "joe@example.org") == 250
    assert sent_to(two) == ["RCPT TO:<joe@example.org>"]


def test_file_written_in_place(backend, with_users):
    proxy = with_users(line("joe@example.org", backend))
    with open(proxy.dir / "users", "a") as users:
        users.write(line("ann@example.org", backend))
    wait_until(lambda: rcpt(proxy, "ann@example.org") == 250, "the new line")


def test_broken_line_costs_that_user_only(backend, with_users):
    proxy = with_users(line("joe@example.org", backend) + "broken\n" +
                       line("ann@example.org", backend))
    proxy.wait_log(r"Error: .*users.*2")
    assert rcpt(proxy, "joe@example.org") == 250
    assert rcpt(proxy, "ann@example.org") == 250
    assert rcpt(proxy, "broken") == "451 4.3.0"


def test_user_twice(backends, with_users):
    one, two = backends(), backends()
    proxy = with_users(line("joe@example.org", one) +
                       line("joe@example.org", two))
    proxy.wait_log(r"Error: .*users.*2")
    assert rcpt(proxy, "joe@example.org") == 250
    assert sent_to(one) and not sent_to(two)


def test_vanished_file_keeps_the_last_good_data(backend, with_users):
    proxy = with_users(line("joe@example.org", backend))
    os.unlink(proxy.dir / "users")
    proxy.wait_log(r"(Error|Warning): .*users")
    assert rcpt(proxy, "joe@example.org") == 250
    proxy.write_file("users", line("ann@example.org", backend))
    wait_until(lambda: rcpt(proxy, "ann@example.org") == 250, "the new file")


def test_emptied_file_keeps_the_last_good_data(backend, with_users):
    """"some-query > users" has emptied it before the first line comes."""
    proxy = with_users(line("joe@example.org", backend))
    with open(proxy.dir / "users", "w") as users:
        proxy.wait_log(r"Error: passwd-file .*users: is empty: .*; going on with")
        assert rcpt(proxy, "joe@example.org") == 250
        proxy.signal(signal.SIGHUP)
        proxy.wait_log("configuration reloaded")
        assert rcpt(proxy, "joe@example.org") == 250
        users.write(line("ann@example.org", backend))
    wait_until(lambda: rcpt(proxy, "ann@example.org") == 250, "the new lines")
    assert rcpt(proxy, "joe@example.org") == 550
    # Whoever means it says so.
    proxy.write_file("users", "# nobody\n")
    wait_until(lambda: rcpt(proxy, "ann@example.org") == 550, "the comment")


def test_file_that_is_not_there_yet(backend, instance):
    proxy = instance()
    proxy.start(PASSWD_FILE.format(dir=proxy.dir))
    proxy.wait_log(r"Error: .*users")
    assert rcpt(proxy, "joe@example.org") == "451 4.3.0 "
    proxy.write_file("users", line("joe@example.org", backend))
    wait_until(lambda: rcpt(proxy, "joe@example.org") == 250, "the file")


def test_names_with_quotes_are_found_as_written(backend, with_users):
    proxy = with_users(line("o'neil@example.org", backend),
                       "auth_username_chars =\n")
    assert rcpt(proxy, "o'neil@example.org") == 250


# --- the chain ---

def chain(proxy, *blocks):
    """Blocks of (file name, its lines or None, settings)."""
    text = ""
    for name, lines, settings in blocks:
        if lines is None:
            text += f"passdb {{\n {settings}\n}}\n"
            continue
        proxy.write_file(name, lines)
        text += (f"passdb {{\n driver = passwd-file\n"
                 f" args = {proxy.dir}/{name}\n {settings}\n}}\n")
    return text


def test_second_passdb_is_asked_when_the_first_does_not_know(backends,
                                                             instance):
    one, two = backends(), backends()
    proxy = instance()
    proxy.start(chain(proxy, ("a", line("joe@example.org", one), ""),
                      ("b", line("joe@example.org", two) +
                       line("ann@example.org", two), "")))
    assert rcpt(proxy, "joe@example.org") == 250
    assert rcpt(proxy, "ann@example.org") == 250
    assert sent_to(one) == ["RCPT TO:<joe@example.org>"]
    assert sent_to(two) == ["RCPT TO:<ann@example.org>"]


@pytest.mark.parametrize("path", ["nobody", "%d.denied"])
def test_an_empty_file_denies_nobody(backend, instance, path):
    """Until somebody is put there, it is usual; who is not found elsewhere is nobody."""
    proxy = instance()
    proxy.write_file("nobody", "")
    proxy.write_file("example.org.denied", "")
    proxy.start(f"passdb {{\n driver = passwd-file\n args = {proxy.dir}/{path}\n"
                " deny = yes\n}\n" +
                chain(proxy, ("users", line("joe@example.org", backend), "")))
    assert rcpt(proxy, "joe@example.org") == 250
    assert rcpt(proxy, "ann@example.org") == "550 5.1.1 "


def test_deny(backend, instance):
    proxy = instance()
    proxy.start(chain(proxy, ("denied", "joe@example.org:\n", "deny = yes"),
                      ("b", line("joe@example.org", backend) +
                       line("ann@example.org", backend), "")))
    assert rcpt(proxy, "joe@example.org") == 550
    assert rcpt(proxy, "ann@example.org") == 250


def test_pass_merges_fields(backend, instance):
    proxy = instance()
    proxy.start(chain(
        proxy, ("a", f"joe@example.org:::::::port={backend.port}\n",
                "pass = yes"),
        ("b", f"joe@example.org:::::::proxy host={backend.host}\n", "")))
    assert rcpt(proxy, "joe@example.org") == 250


def test_continue_ok(backend, instance):
    proxy = instance()
    proxy.start(chain(
        proxy, ("a", line("joe@example.org", backend),
                "result_success = continue-ok"),
        ("b", "nobody:\n", "")))
    assert rcpt(proxy, "joe@example.org") == 250


def test_return_fail(backend, instance):
    proxy = instance()
    proxy.start(chain(
        proxy, ("a", line("joe@example.org", backend),
                "result_failure = return-fail"),
        ("b", line("ann@example.org", backend), "")))
    assert rcpt(proxy, "joe@example.org") == 250
    assert rcpt(proxy, "ann@example.org") == 550


def test_username_filter(backend, instance):
    proxy = instance()
    proxy.start(chain(
        proxy, ("a", line("joe@example.org", backend) +
                line("joe@example.com", backend),
                "username_filter = *@example.org !ann@*"),
        ("b", "nobody:\n", "")))
    assert rcpt(proxy, "joe@example.org") == 250
    assert rcpt(proxy, "joe@example.com") == 550


def test_skip(backends, instance):
    one, two = backends(), backends()
    proxy = instance()
    both = "joe@example.org"
    proxy.start(chain(
        proxy, ("a", line(both, one), "result_success = continue-ok"),
        ("b", line(both, two), "skip = authenticated")))
    assert rcpt(proxy, both) == 250
    assert sent_to(one) and not sent_to(two)


def test_driver_that_needs_a_password_is_an_internal_failure(backend,
                                                             instance):
    """What it might have known makes "not found" a 4xx."""
    proxy = instance()
    proxy.start(chain(proxy, ("", None, "driver = pam"),
                      ("b", line("joe@example.org", backend), "")))
    proxy.wait_log(r"[Ww]arning.*pam")
    assert rcpt(proxy, "joe@example.org") == 250
    assert rcpt(proxy, "ann@example.org") == "451 4.3.0 "


def test_missing_file_in_a_chain_is_an_internal_failure(backend, instance):
    proxy = instance()
    proxy.start(f"passdb {{\n driver = passwd-file\n"
                f" args = {proxy.dir}/nowhere\n}}\n" +
                chain(proxy, ("b", line("joe@example.org", backend), "")))
    assert rcpt(proxy, "joe@example.org") == 250
    assert rcpt(proxy, "ann@example.org") == "451 4.3.0 "


def test_auth_debug_shows_the_lookup(backend, with_users):
    proxy = with_users(line("joe@example.org", backend), "auth_debug = yes\n")
    rcpt(proxy, "joe@example.org")
    proxy.wait_log(r"Debug: .*joe@example\.org")


def test_change_of_the_same_size(backends, with_users):
    one, two = backends(), backends(host=LOCALHOST)
    proxy = with_users(line("joe@example.org", one))
    assert rcpt(proxy, "joe@example.org") == 250
    assert len(str(one.port)) == len(str(two.port))
    proxy.write_file("users", line("joe@example.org", two))

    def moved():
        rcpt(proxy, "joe@example.org")
        return sent_to(two)
    wait_until(moved, "the new line")


def test_file_that_may_not_be_read(instance):
    proxy = instance()
    path = proxy.write_file("users", "joe@example.org:::::::proxy host=x\n")
    path.chmod(0)
    proxy.start(PASSWD_FILE.format(dir=proxy.dir))
    proxy.wait_log(r"Error: .*users.*Permission denied \(the user of the worker")
    assert rcpt(proxy, "joe@example.org") == "451 4.3.0 "


def test_many_users(backend, with_users):
    proxy = with_users("".join(line(f"u{n}@example.org", backend)
                               for n in range(100000)))
    for number in (0, 50000, 99999):
        assert rcpt(proxy, f"u{number}@example.org") == 250
    assert rcpt(proxy, "u100000@example.org") == 550


@pytest.mark.parametrize("settings,joe,ann", [
    ("", "a", "b"),
    ("result_success = continue", "b", "b"),
    ("result_success = return-fail", 451, "b"),  # as Dovecot
    ("result_failure = return", "a", 550),
    ("result_failure = return-fail", "a", 550),
    ("pass = yes", "b", "b"),
    ("deny = yes", 550, "b"),
    ("master = yes", "b", "b"),
    ("mechanisms = plain login", "b", "b"),
    ("mechanisms = none plain", "a", "b"),
    ("username_filter = ann@*", "b", "b"),
    ("username_filter = !joe@*", "b", "b"),
    ("username_filter = j*@example.org", "a", "b"),
])
def test_rules_of_the_first_passdb(backends, instance, settings, joe, ann):
    """joe is in both, ann only in the second."""
    one, two = backends(), backends()
    one.on("rcpt", "250 2.1.5 a")
    two.on("rcpt", "250 2.1.5 b")
    proxy = instance()
    proxy.start(chain(
        proxy, ("a", line("joe@example.org", one), settings),
        ("b", line("joe@example.org", two) + line("ann@example.org", two),
         "")))
    for user, expected in (("joe", joe), ("ann", ann)):
        reply = rcpt(proxy, f"{user}@example.org")
        assert expected in (reply.code, reply.text), reply


@pytest.mark.parametrize("skip,joe,ann", [
    ("never", "b", "b"), ("authenticated", "a", "b"),
    ("unauthenticated", "b", 550),
])
def test_skip_of_the_second_passdb(backends, instance, skip, joe, ann):
    one, two = backends(), backends()
    one.on("rcpt", "250 2.1.5 a")
    two.on("rcpt", "250 2.1.5 b")
    proxy = instance()
    proxy.start(chain(
        proxy, ("a", line("joe@example.org", one),
                "result_success = continue-ok"),
        ("b", line("joe@example.org", two) + line("ann@example.org", two),
         f"skip = {skip}")))
    for user, expected in (("joe", joe), ("ann", ann)):
        reply = rcpt(proxy, f"{user}@example.org")
        assert expected in (reply.code, reply.text), reply


def test_later_fields_replace_earlier_ones(backend, instance):
    proxy = instance()
    proxy.start(chain(
        proxy, ("a", f"joe@example.org:::::::proxy host={backend.host} "
                "port=9 nologin destuser=other@example.org\n",
                "result_success = continue-ok"),
        ("b", f"joe@example.org:::::::port={backend.port} nologin:remove "
         "destuser:remove host:protected=192.0.2.1\n", "")))
    assert rcpt(proxy, "joe@example.org") == 250
    assert sent_to(backend) == ["RCPT TO:<joe@example.org>"]


def test_internal_failure_may_end_the_chain(backend, instance):
    proxy = instance()
    proxy.start(f"passdb {{\n driver = passwd-file\n"
                f" args = {proxy.dir}/nowhere\n"
                " result_internalfail = return-fail\n}\n" +
                chain(proxy, ("b", line("joe@example.org", backend), "")))
    assert rcpt(proxy, "joe@example.org") == 451


@pytest.mark.parametrize("fields", [
    "allow_nets=junk", "delay_until=soon", "port=-1", "port=24x",
    "hostip=127.0.0.256", "proxy_timeout=30s", "destuser=", "destuser=a@",
    "destuser=a@b>c",
])
def test_malformed_field_is_named_with_its_value(backend, with_users, fields):
    name, value = fields.split("=")
    proxy = with_users(line("joe@example.org", backend, fields))
    assert rcpt(proxy, "joe@example.org") == "451 4.3.5 <joe@example.org> "
    assert value in proxy.wait_log(rf"Error: .*joe@example\.org.*\b{name}\b")


def test_clients_orcpt_goes_where_none_is_offered(backend, with_users):
    """The address changes: without it the backend never hears of the old."""
    proxy = with_users(line("joe@example.org", backend,
                            "destuser=j123@store.example"))
    assert rcpt(proxy, "joe@example.org",
                " ORCPT=rfc822;list@example.net") == 250
    assert sent_to(backend) == [
        "RCPT TO:<j123@store.example> ORCPT=rfc822;list@example.net"]


def test_clients_orcpt_is_dropped_for_an_address_that_stays(backend,
                                                            with_users):
    proxy = with_users(line("joe@example.org", backend))
    assert rcpt(proxy, "joe@example.org",
                " ORCPT=rfc822;list@example.net") == 250
    assert sent_to(backend) == ["RCPT TO:<joe@example.org>"]


def test_destuser_that_needs_quotes(backend, with_users):
    proxy = with_users(line("joe@example.org", backend,
                            "destuser=a..b@example.com"))
    assert rcpt(proxy, "joe@example.org") == 250
    assert sent_to(backend)[0].startswith('RCPT TO:<"a..b"@example.com> ')


def test_allow_nets_local_is_a_unix_socket(backend, with_users):
    proxy = with_users(line("joe@example.org", backend, "allow_nets=local"))
    assert rcpt(proxy, "joe@example.org") == 550
    with Client(proxy.socket) as client:
        client.lhlo()
        client.mail()
        assert client.rcpt("joe@example.org") == 250


def test_other_timeout_does_not_split_a_transaction(backend, with_users):
    proxy = with_users(line("joe@example.org", backend) +
                       line("ann@example.org", backend, "proxy_timeout=10") +
                       line("jim@example.org", backend,
                            "source_ip=127.0.0.79"))
    with proxy.session() as client:
        client.deliver(["joe@example.org", "ann@example.org",
                        "jim@example.org"])
    assert sorted(message.rcpts for message in backend.messages) == [
        ["jim@example.org"], ["joe@example.org", "ann@example.org"]]
