"""Users without host, spread over director_mail_servers."""
import re

import pytest

from ports import other_host
from test_lookup_tool import OK, TEMPFAIL, look, ready  # noqa: F401

USERS = [f"user{number}@example.org" for number in range(40)]


@pytest.fixture
def servers(backends):
    """servers(count): backends on addresses of their own, with one port."""
    def make(count):
        while True:
            made = [backends(host=other_host(0))]
            try:
                for number in range(1, count):
                    made.append(backends(host=other_host(number),
                                         port=made[0].port))
                return made
            except OSError:  # taken there: with another port, then
                pass
    return make


def director(servers, **settings):
    text = "director_mail_servers = " + " ".join(
        server if isinstance(server, str) else server.host
        for server in servers) + "\n"
    return text + "".join(f"{name} = {value}\n"
                          for name, value in settings.items())


def passdb(server, fields=""):
    return ("passdb {\n  driver = static\n  args = nopassword=y proxy=y "
            f"port={server.port} {fields}\n}}\n")


def whereabouts(made):
    """Which users have mail where; nobody may have some in two places."""
    where = {}
    for server in made:
        for message in server.messages:
            for user in message.rcpts:
                assert where.setdefault(user, server) == server
    return where


def deliver(proxy, users=USERS):
    with proxy.session() as client:
        assert {reply.code for reply in client.deliver(users)} == {250}


@pytest.mark.parametrize("method", ["md5-ring", "rendezvous"])
def test_each_user_has_one_server(servers, waypost, method):
    made = servers(3)
    proxy = waypost(passdb(made[0]) + director(made, director_hash=method))
    deliver(proxy)
    for user in USERS:
        deliver(proxy, [user.upper()])
    where = whereabouts(made)
    assert set(where) == set(USERS)  # auth_username_format has %Lu
    assert set(where.values()) == set(made)
    for user in USERS[:3]:
        report = look(proxy, user)
        assert report.status == OK
        assert report.get("director") == [method]
        assert report.get("hash_of") == [user]
        assert report.get("host")[-1] == where[user].host


def test_what_the_lookup_shows(ready):  # noqa: F811
    proxy = ready("passdb {\n driver = static\n args = nopassword=y proxy=y "
                  "port=24 director_tag=%d\n}\n" +
                  director(["10.0.0.1", "10.0.0.2@a.example"],
                           director_username_hash="%Ln"))
    report = look(proxy, "Joe@a.example")
    assert report.status == OK
    # md5("joe")
    assert report.part("route:")[:6] == [
        "director=md5-ring", "hash=8ff32489f92f3341", "hash_of=joe",
        "director_tag=a.example", "host=10.0.0.2", "port=24"]
    report = look(proxy, "joe@b.example")
    assert report.status == TEMPFAIL
    assert "director_tag=b.example: director_mail_servers has no server " \
        "with this tag" in report.text


def test_tags(servers, instance):
    one, two, three = servers(3)
    proxy = instance()
    proxy.write_file("users", "".join(
        f"{user}:::::::proxy port={one.port} {fields}\n"
        for user, fields in (("joe@example.org", ""),
                             ("ann@example.org", "director_tag=x"),
                             ("bob@example.org", "director_tag=nowhere"),
                             ("eve@example.org", "director_tag=off"),
                             ("jim@example.org", f"host={three.host}"))))
    proxy.start(f"passdb {{\n driver = passwd-file\n args = {proxy.dir}/users"
                "\n}\n" + director([one, two.host + "@x",
                                    three.host + "*0@off"]))
    with proxy.session() as client:
        client.mail()
        assert client.rcpt("joe@example.org") == 250
        assert client.rcpt("ann@example.org") == 250
        for user in ("bob", "eve"):
            assert client.rcpt(f"{user}@example.org").raw == [
                f"451 4.3.5 <{user}@example.org> Internal user lookup failure"]
        assert client.rcpt("jim@example.org") == 250
        assert [r.code for r in client.data("x", 3)] == [250] * 3
    assert whereabouts([one, two, three]) == {
        "joe@example.org": one, "ann@example.org": two,
        "jim@example.org": three}
    for user, tag in (("bob", "nowhere"), ("eve", "off")):
        proxy.wait_log(rf"Error: .*user {user}@example\.org: passdb returned "
                       rf"director_tag={tag}: director_mail_servers has no "
                       r"server with this tag")


def test_all_servers_have_tags(servers, waypost):
    one, = servers(1)
    proxy = waypost(passdb(one) + director([one.host + "@x"]))
    with proxy.session() as client:
        client.mail()
        assert client.rcpt("joe@example.org").code == 451
    proxy.wait_log(r"Error: .*no host, and director_mail_servers has no server "
                   r"without a tag")


def test_without_director_a_host_is_needed(servers, waypost):
    one, = servers(1)
    proxy = waypost(passdb(one, "director_tag=x"))
    with proxy.session() as client:
        client.mail()
        assert client.rcpt("joe@example.org").code == 451
    proxy.wait_log(r"Error: .*proxy is set, but host is not given")


def test_new_list_by_reload(servers, waypost):
    made = servers(3)
    proxy = waypost(passdb(made[0]) + director(made))
    deliver(proxy)
    before = whereabouts(made)
    counts = [len(server.messages) for server in made]
    with proxy.session() as client:
        proxy.reload(passdb(made[0]) + director(made[:2]))
        # Sessions go on, their users go elsewhere.
        user = next(user for user in USERS if before[user] == made[2])
        assert client.deliver(user)[0] == 250
    deliver(proxy)
    assert len(made[2].messages) == counts[2]
    for server, count in zip(made[:2], counts):
        for message in server.messages[count:]:
            for user in message.rcpts:
                assert before[user] in (server, made[2]), user


def test_broken_list_keeps_the_old_one(servers, waypost):
    one, = servers(1)
    proxy = waypost(passdb(one) + director([one]))
    proxy.reload(passdb(one) + director(["10.0.0.9-10.0.0.1"]),
                 r"Error: .*director_mail_servers: '10\.0\.0\.9-10\.0\.0\.1': "
                 r"the last address is before the first")
    deliver(proxy, USERS[:2])


@pytest.mark.parametrize("text, problem", [
    ("director_mail_servers = no-such-host.invalid",
     "director_mail_servers: 'no-such-host.invalid' is no address"),
    ("director_mail_servers = 10.0.0.1*2000",
     "director_mail_servers: '*2000': not a weight from 0 to 1000"),
    ("director_username_hash = %q", "director_username_hash: "),
    ("director_hash = ring", "director_hash"),
    ("director_backend x {\n servers = 10.0.0.1*2000\n}",
     "director_backend x: '*2000': not a weight from 0 to 1000"),
    ("director_backend x {\n servers = 10.0.0.1\n port = 65536\n}",
     "director_backend x: port: 65536 is beyond 65535"),
    ("director_backend x {\n servers = 10.0.0.1\n weight = 1001\n}",
     "director_backend x: weight: 1001 is beyond 1000"),
    ("director_backend x {\n servers = 10.0.0.1\n}\n"
     "director_backend y {\n servers = 10.0.0.1\n ssl = yes\n}",
     "director_backend y: 10.0.0.1 is there twice, with another port, "
     "protocol or TLS"),
])
def test_what_is_wrong_with_the_settings(instance, text, problem):
    said = instance().refusal(
        "passdb {\n driver = static\n args = proxy=y\n}\n" + text + "\n")
    assert re.search(rf"waypost\.conf:\d+: {re.escape(problem)}", said), said


def test_backends_with_ports_and_protocols_of_their_own(backends, waypost):
    lmtp, smtp = backends(), backends(host=other_host(0), lmtp=False)
    proxy = waypost(
        "passdb {\n driver = static\n"
        " args = nopassword=y proxy=y director_tag=%d\n}\n"
        f"director_backend one {{\n servers = {lmtp.host}\n"
        f" port = {lmtp.port}\n tag = lmtp.example\n}}\n"
        f"director_backend two {{\n servers = {smtp.host}@smtp.example\n"
        f" port = {smtp.port}\n protocol = smtp\n}}\n")
    with proxy.session() as client:
        client.deliver(["joe@lmtp.example", "joe@smtp.example"])
    assert [m.rcpts for m in lmtp.messages] == [["joe@lmtp.example"]]
    assert [m.rcpts for m in smtp.messages] == [["joe@smtp.example"]]
