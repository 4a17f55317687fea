"""The answer of a RCPT for other daemons: /v1/route and nginx's auth_http."""
import signal
import subprocess
import urllib.parse

import pytest

import servers
from control import Control, UnixConnection
from ports import LOCALHOST
from test_lookup_tool import look
from waiting import TIMEOUT

USERS = """\
joe@example.org:::::::proxy host=127.0.0.1 port={port} protocol=lmtp
ann@example.org:::::::proxy port={port}
jim@example.org:::::::proxy nologin reason=Moved
bad@example.org:::::::proxy host=127.0.0.1 port=x
loc@example.org:::::::nopassword
"""
NOBODY = "no@example.org"


@pytest.fixture
def proxy(backends, instance):
    made = instance()
    backend = backends(host=LOCALHOST)
    made.write_file("users", USERS.format(port=backend.port))
    made.start(f"passdb {{\n driver = passwd-file\n args = {made.dir}/users\n"
               f"}}\ndirector_mail_servers = {LOCALHOST}\n"
               "auth_http_imap_port = 1143\n")
    return made


def route(proxy, user, extra=""):
    return Control(proxy).get("/v1/route?user=" +
                              urllib.parse.quote(user) + extra)


def auth(proxy, user, protocol="imap", method="plain", attempt=1):
    """The fields of the answer that begin with Auth-."""
    connection = UnixConnection(Control(proxy).path)
    try:
        connection.request("GET", "/v1/auth_http", headers={
            "Auth-Method": method, "Auth-User": user,
            "Auth-Pass": "never-in-a-log", "Auth-Protocol": protocol,
            "Auth-Login-Attempt": str(attempt), "Client-IP": "192.0.2.1"})
        answer = connection.getresponse()
        assert answer.status == 200
        return {name: value for name, value in answer.getheaders()
                if name.startswith("Auth-")}
    finally:
        connection.close()


@pytest.mark.needs_root
@pytest.mark.needs("strace")
def test_the_system_is_not_asked_who_we_are(proxy, directory):
    """It may take its time, while the control loop has others to serve."""
    trace = directory / "trace"
    worker, = proxy.workers()
    strace = subprocess.Popen(
        [servers.find("strace"), "-f", "-e", "trace=openat,connect", "-p",
         str(worker), "-o", str(trace)], stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True)
    assert "attached" in strace.stderr.readline()
    assert route(proxy, "joe@example.org")["kind"] == "remote"
    strace.send_signal(signal.SIGINT)
    strace.communicate(timeout=TIMEOUT)
    assert "/etc/passwd" not in trace.read_text()


@pytest.mark.parametrize("user", ["joe@example.org", "ann@example.org"])
def test_remote(proxy, user):
    answer, report = route(proxy, user), look(proxy, user)
    assert (answer["kind"], answer["user"]) == ("remote", user)
    for name in ("host", "port", "protocol", "tls", "address"):
        assert report.get(name)[-1] == str(answer[name])
    assert answer["ip"] == answer["host"]
    assert answer["code"] is None and answer["reason"] is None
    if user.startswith("ann"):
        assert report.get("hash") == [answer["director"]["hash"]]
    else:
        assert answer["director"] is None


@pytest.mark.parametrize("user, kind", [
    ("jim@example.org", "tempfail"), ("bad@example.org", "tempfail"),
    ("loc@example.org", "local"), (NOBODY, "refuse")])
def test_others(proxy, user, kind):
    """Code and text are the RCPT's."""
    answer = route(proxy, user)
    assert answer["kind"] == kind
    assert answer["host"] is None and answer["director"] is None
    with proxy.session() as client:
        client.mail()
        line = client.rcpt(user).raw[0]
    assert line.startswith(f"{answer['code']} ")
    assert line.endswith(f"<{user}> {answer['reason']}")


def test_wrong_questions(proxy):
    for query in ("", "?user=a&ip=x", "?user=a&service=imap"):
        assert Control(proxy).request("/v1/route" + query)[0] == 400
    assert route(proxy, "a b")["code"] == 501


def test_auth_http(proxy):
    assert auth(proxy, "ann%40example.org") == {
        "Auth-Status": "OK", "Auth-Server": LOCALHOST, "Auth-Port": "1143"}
    assert auth(proxy, "ann@example.org", "pop3")["Auth-Port"] == "110"
    first = auth(proxy, NOBODY)
    assert first["Auth-Status"] == "[AUTHENTICATIONFAILED] " \
        "Invalid login or password"
    assert first["Auth-Wait"] == "3"
    assert "Auth-Wait" not in auth(proxy, NOBODY, attempt=10)
    assert auth(proxy, "jim@example.org", "smtp")["Auth-Status"] == "Moved"
    assert auth(proxy, "jim@example.org", "pop3")["Auth-Status"] == \
        "[SYS/TEMP] Moved"
    assert auth(proxy, "joe@example.org", "nntp")["Auth-Status"] != "OK"
    assert auth(proxy, "joe@example.org", method="apop")[
        "Auth-Status"] != "OK"
    assert "Auth-Wait" in auth(proxy, "%zz")
    assert "never-in-a-log" not in proxy.log


def test_reload(proxy):
    assert route(proxy, "joe@example.org")["kind"] == "remote"
    proxy.reload("passdb {\n driver = static\n args = nopassword=y "
                 "proxy=y host=127.0.0.9 port=1\n}\n")
    assert route(proxy, "joe@example.org")["host"] == "127.0.0.9"


@pytest.mark.parametrize("port", ["0", "65536"])
def test_no_port(instance, port):
    assert f"auth_http_pop3_port: not a port: {port}" in \
        instance().refusal(f"auth_http_pop3_port = {port}\n")
