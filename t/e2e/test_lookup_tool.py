"""waypost -l: the lookup of a RCPT, step by step."""
import os
import pwd
import re
import subprocess

import pytest

from http_sql import store, stores  # noqa: F401
from ports import LOCALHOST, free_port
from slapd import PEOPLE, ldif, user
from sql_stores import DIALECTS, says
from test_ldap import ldap_conf, slapd  # noqa: F401
from waypost import IS_ROOT, SANITIZER, TOP, USER

OK, USAGE, NO_USER, TEMPFAIL, CONFIG = 0, 64, 67, 75, 78
JOE = "joe@example.org"
MS = r"\d+\.\d ms"


# A file without anybody says nothing of who exists.
OTHERS = "somebody@else.example:::::::\n"


class Report:
    def __init__(self, result):
        self.status, self.stderr = result.returncode, result.stderr
        self.lines = result.stdout.split("\n")
        assert self.lines.pop() == ""
        self.text = result.stdout

    def get(self, key):
        """All that stands behind "key: ", or "key=", in order."""
        found = [re.match(rf"\s*{re.escape(key)}(?:: |=)(.*)", line)
                 for line in self.lines]
        return [match[1] for match in found if match]

    def part(self, heading):
        """The lines below the first one that starts with heading."""
        starts = [n for n, line in enumerate(self.lines)
                  if line.startswith(heading)]
        assert starts, self.text
        end = starts[0] + 1
        while end < len(self.lines) and self.lines[end].startswith(" "):
            end += 1
        return [line.strip() for line in self.lines[starts[0] + 1:end]]


def look(proxy, address=JOE, *options):
    extra = [arg for option in options for arg in ("-x", option)]
    result = proxy.run("-l", address, *extra)
    assert not SANITIZER.search(result.stderr), result.stderr
    return Report(result)


@pytest.fixture
def ready(instance):
    """ready(config, users, FILE=text): a configuration; {dir} in config is
    where its files are."""
    def make(config, users=None, defaults=True, **files):
        proxy = instance()
        if users is not None:
            proxy.write_file("users", users)
        for name, text in files.items():
            proxy.write_file(name, text)
        proxy.write_config(config.replace("{dir}", str(proxy.dir)), defaults)
        return proxy
    return make


def passdb(driver="static", args="nopassword=y proxy=y host=h", *settings):
    lines = [f"driver = {driver}", f"args = {args}", *settings]
    return "passdb {\n" + "".join(f"  {line}\n" for line in lines) + "}\n"


def static(*settings):
    return passdb("static", "nopassword=y proxy=y host=192.0.2.7 port=24",
                  *settings)


FILE = passdb("passwd-file", "{dir}/users")


# --- what it says ---

def test_the_whole_report(ready):
    proxy = ready("recipient_delimiter = +\n" +
                  passdb("passwd-file", "{dir}/users",
                         "default_fields = port=24",
                         "override_fields = proxy=y") +
                  static("skip = authenticated"),
                  "joe@example.org:::::::host=192.0.2.7 user=jim@example.org "
                  "protocol=smtp starttls=y source_ip=127.0.0.1 "
                  "proxy_timeout=9\n")
    report = look(proxy, "Joe+news@Example.org")
    runs_as = pwd.getpwuid(os.geteuid()).pw_name if not IS_ROOT else USER
    line = 1 + proxy.config_path.read_text().split("\n").index("passdb {")
    assert re.sub(MS, "T", report.text) == f"""\
recipient: Joe+news@Example.org
  client: rip=127.0.0.1 rport=0 lip={LOCALHOST} lport={proxy.port}
  runs as: {runs_as}
  name: joe@example.org
passdb 1: passwd-file, {proxy.config_path}:{line}
  default_fields: port=24
  asked: file={proxy.dir}/users
  asked: user=joe@example.org
  said: host=192.0.2.7
  said: user=jim@example.org
  said: protocol=smtp
  said: starttls=y
  said: source_ip=127.0.0.1
  said: proxy_timeout=9
  override_fields: proxy=y
  name: jim@example.org
  answer: found, result_success=return-ok, T
fields:
  port=24
  host=192.0.2.7
  protocol=smtp
  starttls=y
  source_ip=127.0.0.1
  proxy_timeout=9
  proxy=y
route:
  host=192.0.2.7
  port=24
  protocol=smtp
  tls=starttls
  certificate=checked
  note: no certificate can be checked: neither ssl_client_ca_file nor \
ssl_client_ca_dir is set
  source_ip=127.0.0.1
  proxy_timeout=9
  address=jim+news@example.org
time: T
"""
    assert report.status == OK
    assert report.stderr == ""


def manual_example():
    """What waypost(8) shows, and what it is shown for."""
    text = (TOP / "man" / "waypost.8").read_text()
    command, _, output = text.partition("\n$ waypost -l ")[2].partition("\n")
    return command, output.partition("\n.Ed\n")[0] + "\n"


def plain(text):
    return re.sub(MS, "T", re.sub(r"(waypost\.conf:)\d+", r"\1N", text))


@pytest.mark.needs("slapd", "slapadd")
def test_example_of_the_manual(slapd, ready):
    server = slapd(ldif(f"uid=joe,{PEOPLE}", uid="joe", mail=JOE,
                        objectClass=["account", "extensibleObject"],
                        host="mail1.example.org", carLicense="hunter22"))
    proxy = ready("recipient_delimiter = +\n" + FILE +
                  passdb("ldap", "{dir}/ldap",
                         "default_fields = proxy=y port=24"), OTHERS,
                  ldap=ldap_conf(server, attrs="host=host, carLicense=pass"))
    address, expected = manual_example()
    report = look(proxy, address)
    runs_as = report.get("runs as")[0]
    for ours, theirs in ((server.url(), "ldap://ldap.example.org"),
                         (str(proxy.dir), "/etc/waypost"),
                         (f"={LOCALHOST} ", "=127.0.0.1 "),
                         (f"lport={proxy.port}\n", "lport=24\n"),
                         (f"runs as: {runs_as}", "runs as: waypost")):
        report.text = report.text.replace(ours, theirs)
    assert plain(report.text) == plain(expected)


def test_static(ready):
    report = look(ready(static()))
    assert report.part("passdb 1: static")[:2] == ["said: nopassword=y",
                                                    "said: proxy=y"]
    assert report.part("route:") == ["host=192.0.2.7", "port=24",
                                     "protocol=lmtp", "tls=no",
                                     f"address={JOE}"]


def test_no_such_user(ready):
    report = look(ready(FILE, "ann@example.org:::::::\n"), "No@example.org")
    assert report.status == NO_USER
    assert report.get("reply") == ["550 5.1.1 <No@example.org> User doesn't "
                                   "exist: No@example.org"]
    assert report.get("answer")[0].startswith("not found, "
                                              "result_failure=continue, ")
    assert "route:" not in report.text and "fields:" not in report.lines


def test_no_route(ready):
    proxy = ready(FILE, "joe@example.org:::::::proxy host=h port=x\n"
                  "ann@example.org:::::::host=h\n"
                  "jim@example.org:::::::nologin\n")
    assert look(proxy).part("route: none") == [
        "note: port=x: not a number from 1 to 65535"]
    assert "not proxied" in look(proxy, "ann@example.org").get("note")[0]
    report = look(proxy, "jim@example.org")
    assert report.part("fields:") == ["nologin"]
    assert report.part("route: none") == []
    assert report.get("reply") == ["450 4.2.1 <jim@example.org> Login "
                                   "disabled"]
    assert report.status == OK


def test_file_of_a_domain(ready):
    """Which is read only when somebody asks for it."""
    proxy = ready(passdb("passwd-file", "username_format=%n {dir}/users.%d"),
                  **{"users.example.org": "joe:::::::proxy host=192.0.2.7\n"})
    report = look(proxy)
    assert report.status == OK
    assert report.get("asked") == [f"file={proxy.dir}/users.example.org",
                                   "user=joe"]
    report = look(proxy, "joe@example.net")
    assert report.status == NO_USER
    assert report.get("note") == ["there is no such file"]


def test_several_passdbs(ready):
    """The second is asked because of result_success, the third is not, the
    fifth knows more, and the last one never gets its turn."""
    proxy = ready(
        passdb("static", "a=1 b=1 proxy=y", "result_success = continue-ok",
               "name = first") +
        passdb("passwd-file", "{dir}/missing",
               "result_internalfail = return-fail") +
        passdb("passwd-file", "{dir}/users", "skip = authenticated") +
        passdb("passwd-file", "{dir}/users", "username_filter = *@other") +
        passdb("static", "b=2 host=192.0.2.7", "result_success = return") +
        static(), OTHERS, missing=OTHERS)
    report = look(proxy)
    assert [line.split(",")[0] for line in report.lines
            if line.startswith("passdb")] == [
        "passdb 1: static first", "passdb 2: passwd-file",
        "passdb 3: passwd-file", "passdb 4: passwd-file", "passdb 5: static"]
    assert report.get("skipped") == ["skip=authenticated", "username_filter"]
    assert [re.sub(MS, "T", text) for text in report.get("answer")] == [
        "found, result_success=continue-ok, T",
        "not found, result_failure=continue, T",
        "found, result_success=return, T"]
    assert report.part("fields:") == ["a=1", "b=2", "proxy=y",
                                      "host=192.0.2.7"]
    assert report.status == OK


def test_failed_passdb_in_a_chain(ready):
    """Nobody is said not to exist while one passdb cannot say."""
    proxy = ready(passdb("pam", "") + FILE, OTHERS)
    report = look(proxy)
    assert report.status == TEMPFAIL
    assert [text.split(", ")[:2] for text in report.get("answer")] == [
        ["failed", "result_internalfail=continue"],
        ["not found", "result_failure=continue"]]
    assert report.get("reply") == [
        f"451 4.3.0 <{JOE}> Configured passdbs don't support credentials "
        "lookups"]


def test_denied(ready):
    report = look(ready(passdb("passwd-file", "{dir}/users", "deny = yes") +
                        static(), JOE + ":::::::\n"))
    assert report.status == NO_USER
    assert report.get("answer")[0].startswith("found, deny=yes, ")
    assert report.get("note") == ["found in a deny passdb"]


# --- as a RCPT does ---

CASES = {
    "unknown": ("x@example.org", ""),
    "detail": ("joe+a@example.org", ""),
    "forbidden": ("jo#e@example.org", ""),
    "no domain": ("ann", "auth_default_realm = example.org\n"),
    "translated": ("joe%example.org@x", "auth_username_chars =\n"
                   "auth_username_format = %{username}\n"
                   'auth_username_translation = "%@"\n'),
    "quoted": ('"joe"@example.org', ""),
    "nologin": ("nologin@example.org", ""),
    "reason": ("reason@example.org", ""),
    "tempfail": ("tempfail@example.org", ""),
    "not proxied": ("local@example.org", ""),
    "no host": ("nohost@example.org", ""),
    "bad port": ("badport@example.org", ""),
    "bad field": ("badnets@example.org", ""),
    "refused": ("nets@example.org", ""),
    "loop": ("loop@example.org", ""),
    "maybe us": ("maybe@example.org", ""),
    "us elsewhere": ("other@example.org", "auth_proxy_self = 192.0.2.5\n"),
    "dots": ("a..b@example.org", ""),
    "malformed": ("joe@", ""),
    "space": ("a b@example.org", ""),
}


@pytest.mark.parametrize("case", CASES)
def test_as_rcpt_answers(ready, case):
    """For every kind of answer that is ours: the same, word by word."""
    address, config = CASES[case]
    proxy = ready("recipient_delimiter = +\n" + config + FILE)
    users = f"""\
joe@example.org:::::::nologin reason=for@joe
ann@example.org:::::::nologin reason=for@ann
nologin@example.org:::::::nologin
reason@example.org:::::::nologin reason=Moved
tempfail@example.org:::::::tempfail
local@example.org:::::::host=192.0.2.7
nohost@example.org:::::::proxy
badport@example.org:::::::proxy host=192.0.2.7 port=x
badnets@example.org:::::::proxy host=192.0.2.7 allow_nets=x
nets@example.org:::::::proxy host=192.0.2.7 allow_nets=192.0.2.0/24
loop@example.org:::::::proxy host={LOCALHOST} port={proxy.port}
maybe@example.org:::::::proxy_maybe host={LOCALHOST} port={proxy.port}
other@example.org:::::::proxy_maybe host=192.0.2.5
"""
    proxy.write_file("users", users)
    report = look(proxy, address)
    proxy.launch()
    proxy.wait_log("^ready$")
    with proxy.session() as client:
        assert client.mail() == 250
        assert report.get("reply") == client.rcpt(address).raw
    assert report.status == {"550": NO_USER, "450": OK, "554": CONFIG,
                             "501": USAGE}.get(report.get("reply")[0][:3],
                                               report.status)


def test_route_of_a_rcpt(ready, backend):
    """The address and the fields that the backend hears are those reported."""
    proxy = ready("recipient_delimiter = +\nlogin_trusted_networks = "
                  "127.0.0.0/8\n" +
                  passdb("static", f"proxy=y host={backend.host} "
                         f"port={backend.port} destuser=%n-x@%{{rip}} "
                         "forward_seen=%{passdb:forward_a}"))
    report = look(proxy, "joe+a@example.org", "forward_a=b",
                  "rip=127.0.0.1")
    proxy.launch()
    proxy.wait_log("^ready$")
    with proxy.session() as client:
        assert client.mail() == 250
        assert client.rcpt("joe+a@example.org", " XRCPTFORWARD=YT1i") == 250
    heard = [c for c in backend.commands if c.startswith("RCPT")]
    assert heard[0].startswith(f"RCPT TO:<{report.get('address')[0]}>")
    assert f"port={backend.port}" in report.part("route:")
    assert "forward_seen=b" in report.part("fields:")


def test_proxy_maybe_by_name(ready, dns):
    dns.zone.update({"us.example": ["192.0.2.8", LOCALHOST],
                     "them.example": ["192.0.2.8"]})
    proxy = ready(f"lmtp_proxy_dns_servers = {dns.server}\n" +
                  passdb("static", "proxy_maybe=y host=%d"))
    report = look(proxy, "joe@us.example")
    assert sorted(report.part("dns: us.example")) == [
        f"address={LOCALHOST}", "address=192.0.2.8"]
    assert report.status == TEMPFAIL
    assert report.get("reply") == ["451 4.3.5 <joe@us.example> Local delivery "
                                   "is not available"]
    report = look(proxy, "joe@them.example")
    assert report.status == OK
    assert "host=them.example" in report.part("route:")
    assert look(proxy, "joe@none.example").part("dns: none.example") == [
        "note: host not found"]


def test_settings_of_the_connection(ready):
    """recipient_delimiter of a filter: by address, and by the name that a
    client of TLS asks for."""
    for where, delimiter, *cases in (
            ("local 192.0.2.1", "_", ([], "a_b-c.d"), (["lip=192.0.2.1"], "a"),
             (["lip=192.0.2.1", "real_lip=192.0.2.3"], "a_b-c.d")),
            ("remote 192.0.2.2", "-", (["rip=192.0.2.2"], "a_b")),
            ("local_name mx.example.org", ".",
             (["local_name=mx.example.org"], "a_b-c"))):
        proxy = ready("recipient_delimiter = +\n" + where + " {\n"
                      f"  recipient_delimiter = {delimiter}\n}}\n" + static())
        for options, name in cases:
            report = look(proxy, "a_b-c.d+e@x", *options)
            assert report.get("name") == [f"{name}@x"], options


def test_nothing_but_an_address(ready):
    proxy = ready(static())
    assert look(proxy, "joe@example.org> BODY=8BITMIME <").status == USAGE
    assert look(proxy, "").status == USAGE


# --- -x ---

@pytest.mark.parametrize("option,variable", [
    ("lip=192.0.2.9", "%l"), ("lip=2001:db8::9", "%{lip}"),
    ("lport=99", "%a"), ("rip=192.0.2.9", "%r"), ("rport=99", "%b"),
    ("real_lip=192.0.2.9", "%{real_lip}"), ("real_lport=99", "%{real_lport}"),
    ("real_rip=192.0.2.9", "%{real_rip}"), ("real_rport=99", "%{real_rport}"),
    ("session=abc", "%{session}"), ("service=lmtp", "%s"),
    ("forward_x=y z", "%{passdb:forward_x}"),
    ("local_name=mx.example.org", "%{local_name}"),
])
def test_options_are_variables(ready, option, variable):
    proxy = ready(passdb("static", f"proxy=y host=h port=24 x=<{variable}>"))
    value = option.partition("=")[2]
    assert f"x=<{value}>" in look(proxy, JOE, option).part("fields:")


def test_defaults_of_options(ready):
    proxy = ready(passdb("static", "proxy=y host=h port=24 "
                         "x=%r:%b:%l:%a:%{real_rip}:%{real_lport}"))
    assert f"x=127.0.0.1:0:{LOCALHOST}:{proxy.port}:127.0.0.1:{proxy.port}" \
        in look(proxy).part("fields:")


def test_tls_of_the_client(ready):
    proxy = ready(passdb("static", "proxy=y host=h port=24 x=<%c:%k>"))
    for options, value in (
            ([], ":"), (["rip=" + LOCALHOST], "secured:"),
            (["rip=192.0.2.9"], ":"),
            (["rip=192.0.2.9", "secured=yes", "cert=yes"], "secured:valid")):
        assert f"x=<{value}>" in look(proxy, JOE, *options).part("fields:")


def test_port_of_the_client_is_that_of_the_backend(ready):
    """Without port and protocol: as for the connection that it stands for."""
    proxy = ready(passdb("static", "proxy=y host=192.0.2.7"))
    assert look(proxy).get("port") == [str(proxy.port)]
    assert look(proxy, JOE, "lport=2525").get("port") == ["2525"]


@pytest.mark.parametrize("args", [
    ("-l",), ("-x", "lip=192.0.2.1"), ("-l", JOE, "ann@example.org"),
    ("-l", JOE, "-l", JOE), ("-l", JOE, "-n"), ("-t", "-x", "lip=192.0.2.1"),
    ("-l", JOE, "-x", "lip"), ("-l", JOE, "-x", "frob=1"),
    ("-l", JOE, "-x", "lip=1"), ("-l", JOE, "-x", "lport=x"),
    ("-l", JOE, "-x", "service=imap"),
])
def test_usage(ready, args):
    result = ready(static()).run(*args)
    assert result.returncode == USAGE
    assert result.stdout == ""
    assert "-l" in result.stderr or "-x" in result.stderr


def test_unknown_option_names_the_others(ready):
    result = ready(static()).run("-l", JOE, "-x", "fro\x1bb=1")
    assert "fro\\x1bb" in result.stderr
    assert "real_rport session secured cert local_name" in result.stderr


# --- LDAP ---

@pytest.mark.needs("slapd", "slapadd")
def test_ldap(backend, slapd, ready):
    server = slapd(user(JOE, backend, carLicense="geheim99"))
    proxy = ready("auth_username_chars =\n" +
                  passdb("ldap", "{dir}/ldap"), ldap=ldap_conf(
        server, attrs="host=host, telephoneNumber=port, =proxy=y, "
        "carLicense=pass"))
    report = look(proxy, "Joe@example.org")
    said = report.part("passdb 1: ldap")
    said[5] = said[5].replace("\\x5c40", "@")
    assert said[:7] == [
        f"asked: servers={server.url()}", f"asked: base={PEOPLE}",
        f"asked: filter=(&(objectClass=account)(mail={JOE}))",
        "asked: scope=subtree",
        "asked: attributes=host telephoneNumber carLicense",
        f"from: uid={JOE},{PEOPLE}",
        f"said: host={backend.host}"]
    assert "said: pass=<hidden>" in said
    assert f"port={backend.port}" in report.part("route:")
    assert "geheim" not in report.text + report.stderr
    assert report.status == OK and report.stderr == ""
    report = look(proxy, "*@example.org")
    assert report.status == NO_USER
    assert r"(mail=\x5c2a@example.org)" in report.text


@pytest.mark.needs("slapd", "slapadd")
def test_ldap_says_no(backend, slapd, ready):
    server = slapd(user("a", backend, mail=JOE) + user("b", backend, mail=JOE))
    proxy = ready(passdb("ldap", "{dir}/ldap"), ldap=ldap_conf(server))
    assert look(proxy, "no@example.org").status == NO_USER
    report = look(proxy)
    assert report.status == TEMPFAIL
    assert "more than one entry" in report.get("note")[0]
    assert report.get("reply") == [
        f"451 4.3.0 <{JOE}> Temporary user lookup failure"]


@pytest.mark.needs("slapd", "slapadd")
def test_ldap_server_that_answers(backend, slapd, ready):
    server = slapd(user(JOE, backend))
    dead = f"ldap://{LOCALHOST}:{free_port()}"
    proxy = ready(passdb("ldap", "{dir}/ldap"),
                  ldap=ldap_conf(f"{dead} {server.url()}"))
    report = look(proxy)
    assert report.status == OK
    assert [a for a in report.get("asked") if a.startswith("server")] == [
        f"servers={dead} {server.url()}", f"server={server.url()}"]
    assert dead in report.stderr


def test_ldap_that_is_down(ready):
    url = f"ldap://{LOCALHOST}:{free_port()}"
    proxy = ready("auth_lookup_timeout = 1 secs\n" +
                  passdb("ldap", "{dir}/ldap"), ldap=ldap_conf(url))
    report = look(proxy)
    assert report.status == TEMPFAIL
    assert report.get("note") == ["no answer within auth_lookup_timeout"]
    assert report.get("answer")[0].startswith("none, auth_lookup_timeout, ")
    assert report.get("reply") == [
        f"451 4.4.3 <{JOE}> Temporary user lookup failure: no answer in time"]
    assert re.search(rf"Error: passdb ldap: {url}: .*refused", report.stderr)


# --- SQL over HTTP ---

@pytest.mark.parametrize("kind", DIALECTS)
def test_http_sql(stores, ready, kind):
    store = stores(kind)
    store.add(JOE, host="192.0.2.7", port=24)
    proxy = ready("auth_cache_size = 1M\n" +
                  passdb("http-sql", "{dir}/sql"), sql=store.config())
    report = look(proxy)
    assert report.status == OK
    asked = report.get("asked")
    assert asked[0].startswith("query=")
    assert "?1" in asked[0] and "?2" in asked[0] and "joe" not in asked[0]
    assert asked[1:3] == ["?1=joe", "?2=example.org"]
    assert asked[3] == f"store={store.url}"
    assert "said: host=192.0.2.7" in report.part("passdb 1: http-sql")
    assert "hush" not in report.text + report.stderr
    assert look(proxy, "no@example.org").status == NO_USER


def test_next_store_is_asked(stores, ready):
    store = stores()
    store.add(JOE, host="192.0.2.7", port=24)
    dead = f"http://{LOCALHOST}:{free_port()}"
    proxy = ready(passdb("http-sql", "{dir}/sql"), sql=store.config().replace(
        store.url, f"{dead} {store.url}"))
    report = look(proxy)
    assert report.status == OK
    assert [a for a in report.get("asked") if a.startswith("store")] == [
        f"store={dead}", f"store={store.url}"]
    assert dead in report.get("note")[0]


@pytest.mark.parametrize("answer,why", [
    (says(500, "broken\x1b[31m"), r"HTTP status 500: broken\\x1b\[31m"),
    (says(200, "{"), "no JSON"),
])
def test_store_that_answers_badly(store, ready, answer, why):
    store.script(answer)
    report = look(ready(passdb("http-sql", "{dir}/sql"), sql=store.config()))
    assert report.status == TEMPFAIL
    assert re.search(why, report.get("note")[0])
    assert report.get("reply")[0].startswith("451 4.3.0 ")


def test_store_that_is_down(ready, store):
    proxy = ready(passdb("http-sql", "{dir}/sql"), sql=store.config())
    store.stop()
    report = look(proxy)
    assert report.status == TEMPFAIL
    assert store.url in report.get("note")[0]


# --- what goes wrong ---

def test_wrong_configuration(ready):
    proxy = ready(passdb("static", "proxy=y host=%{frob}"))
    result = proxy.run("-l", JOE)
    assert result.returncode == CONFIG
    line = 1 + proxy.config_path.read_text().split("\n").index("passdb {")
    assert f"{proxy.config_path}:{line}: " in result.stderr
    assert result.stdout == ""


def test_wrong_file_of_a_driver(ready):
    proxy = ready(passdb("ldap", "{dir}/ldap"),
                  ldap="base = x\nuris = ldap://localhost\nfrob = 1\n")
    result = proxy.run("-l", JOE)
    assert result.returncode == CONFIG
    assert f"{proxy.dir}/ldap:3: " in result.stderr


def test_missing_configuration(instance):
    result = instance().run("-l", JOE)
    assert result.returncode == CONFIG
    assert "waypost.conf" in result.stderr


def test_file_that_cannot_be_read(ready):
    proxy = ready(FILE, "")
    (proxy.dir / "users").unlink()
    (proxy.dir / "users").mkdir()
    report = look(proxy)
    assert report.status == TEMPFAIL
    assert "could not be read" in report.get("note")[0]
    assert f"{proxy.dir}/users" in report.stderr


@pytest.mark.needs_root
def test_files_are_read_by_whom_they_will_be(ready, instance):
    """Root may read what the worker process may not."""
    proxy = instance(as_root=True)
    proxy.write_file("users", "joe@example.org:::::::proxy host=192.0.2.7\n")
    proxy.write_config(FILE.replace("{dir}", str(proxy.dir)))
    assert look(proxy).status == OK
    (proxy.dir / "users").chmod(0o600)
    report = look(proxy)
    assert report.get("runs as") == [USER]
    assert report.status == TEMPFAIL
    assert "could not be read" in report.get("note")[0]


# --- what is not shown ---

def test_secrets_are_hidden(ready):
    proxy = ready(passdb("static", "proxy=y host=h port=24 pass=hunter22 "
                         "api_token=hunter33 forward_secret=hunter44 "
                         "userdb_private_key=hunter55 password=hunter66 "
                         "passdb_import=pass2=hunter88",
                         "default_fields = pass=hunter77",
                         "override_fields = x=%{passdb:pass} "
                         "y=%{passdb:userdb_private_key}"))
    report = look(proxy, JOE, "forward_token=hunter99")
    assert "hunter" not in report.text + report.stderr
    assert report.text.count("<hidden>") >= 12
    assert {"x=<hidden>", "y=<hidden>", "pass=<hidden>"} <= set(
        report.part("fields:"))


def test_text_from_outside_is_escaped(ready, store):
    store.add(JOE, host="h\x1b[2J\n", destuser="a\u009bb\\")
    proxy = ready(passdb("http-sql", "{dir}/sql"), sql=store.config())
    report = look(proxy)
    assert "said: host=h\\x1b[2J\\x0a" in report.part("passdb 1:")
    assert "said: destuser=a\\xc2\\x9bb\\x5c" in report.part("passdb 1:")
    report = look(proxy, "a\x1b[2J@example.org")
    assert report.get("recipient") == ["a\\x1b[2J@example.org"]
    assert report.status == USAGE
    for text in (report.text, report.stderr):
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", text)


def test_output_that_nobody_reads(ready):
    proxy = ready(static())
    with open("/dev/full", "w") as full:
        result = subprocess.run(
            [proxy.binary, "-c", str(proxy.config_path), "-l", JOE],
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=30,
            cwd=proxy.dir, env=proxy.environment(), check=False,
            **proxy.user())
    assert result.returncode == 1
    assert "standard output" in result.stderr
