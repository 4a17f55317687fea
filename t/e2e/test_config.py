"""The configuration: Dovecot's language, its errors, what -n and friends
print, and Debian's own tree."""
import pathlib
import re
import shutil
import signal
import subprocess

import pytest

from lmtp_client import Client
from pki import Pki
from waiting import TIMEOUT
from waypost import TOP, Waypost, static_passdb

PASSDB = "passdb {\n driver = static\n args = nopassword=y proxy=y host=h\n}\n"


@pytest.fixture
def check(instance):
    """check(config): the result of waypost -t."""
    def run(config, *args, defaults=True):
        proxy = instance()
        proxy.write_config(config, defaults)
        run.proxy = proxy
        return proxy.run(*(args or ("-t",)))
    return run


def where(result, name="waypost.conf"):
    """Line numbers that errors name."""
    return [int(n) for n in re.findall(re.escape(name) + r":(\d+)",
                                       result.stderr)]


def test_good_configuration(check):
    result = check(PASSDB)
    assert result.returncode == 0, result.stderr


def test_missing_file(binary, directory):
    proxy = Waypost(directory, binary)
    for args in ("-t", "-n", "-F"):
        result = proxy.run(args)
        assert result.returncode != 0
        assert "waypost.conf" in result.stderr


def test_unknown_name_and_the_nearest(check):
    result = check("lmtp_proxy = yes\nlmtp_proxi = yes\n" + PASSDB,
                   defaults=False)
    assert result.returncode != 0
    assert where(result) == [2]
    assert "lmtp_proxi" in result.stderr
    assert re.search(r"lmtp_proxy\b", result.stderr.split("lmtp_proxi", 1)[1])


def test_several_errors_at_once(check):
    result = check("lmtp_proxy = yes\nfrob = 1\nlmtp_client_timeout = soon\n"
                   "lmtp_max_recipients = many\nlmtp_verbose_replies = maybe\n"
                   + PASSDB, defaults=False)
    assert result.returncode != 0
    assert where(result) == [2, 3, 4, 5]


@pytest.mark.parametrize("bad", [
    "passdb {\n", "}\n", "service lmtp { user = x }\n", "no equals sign\n",
    "lmtp_client_timeout = 5\n", "lmtp_client_timeout = 5 parsecs\n",
    "lmtp_max_message_size = 1X\n", "lmtp_bare_newlines = whatever\n",
    "lmtp_hdr_delivery_address = alternative\n",
    "lmtp_client_workarounds = frob\n", "!include nowhere\n",
    "lmtp_client_timeout = 0\n", "base_dir = relative\n",
    "service lmtp {\n inet_listener x {\n  port = 99999\n }\n}\n",
    "service lmtp {\n unix_listener x {\n  mode = 999\n }\n}\n",
    "local notanetwork {\n}\n", "remote 1.2.3.4/99 {\n}\n",
])
def test_errors_name_file_and_line(check, bad):
    result = check(PASSDB + bad)
    assert result.returncode != 0
    assert where(result), result.stderr


@pytest.mark.parametrize("driver", ["sql", "lua", "dict"])
def test_later_drivers_are_refused_by_name(check, driver):
    result = check(f"passdb {{\n driver = {driver}\n args = /x\n}}\n")
    assert result.returncode != 0
    assert driver in result.stderr
    assert ("waypost-http-sql(5)" in result.stderr) == (driver == "sql")


def test_without_lmtp_proxy(check):
    result = check("protocols = lmtp\n" + PASSDB, defaults=False)
    assert result.returncode != 0
    assert "lmtp_proxy" in result.stderr


def test_without_passdb(check):
    result = check("")
    assert result.returncode != 0
    assert "passdb" in result.stderr


def test_passdb_with_a_bad_variable(check):
    result = check("passdb {\n driver = static\n"
                   " args = nopassword=y proxy=y host=%{frob}\n}\n")
    assert result.returncode != 0
    assert "frob" in result.stderr


def test_n_shows_what_differs(check):
    result = check(PASSDB + "lmtp_client_timeout = 1 min\n"
                   "lmtp_verbose_replies = no\n", "-n")
    assert result.returncode == 0, result.stderr
    assert re.search(r"^lmtp_client_timeout = 1 min", result.stdout, re.M)
    assert "lmtp_verbose_replies" not in result.stdout
    assert re.search(r"^passdb \{\n  driver = static\n  args = .*\n\}",
                     result.stdout, re.M)
    assert re.search(r"inet_listener lmtp \{", result.stdout)


def test_big_n_shows_defaults_that_are_set(check):
    result = check(PASSDB + "lmtp_verbose_replies = no\n", "-N")
    assert re.search(r"^lmtp_verbose_replies = no", result.stdout, re.M)


def test_a_and_d_show_everything(check):
    full = check(PASSDB + "lmtp_client_timeout = 1 min\n", "-a")
    defaults = check(PASSDB + "lmtp_client_timeout = 1 min\n", "-d")
    for result in (full, defaults):
        assert result.returncode == 0, result.stderr
        for name in ("lmtp_proxy_connect_timeout", "recipient_delimiter",
                     "log_path", "base_dir", "auth_username_chars"):
            assert re.search(rf"^{name} =", result.stdout, re.M), name
    assert re.search(r"^lmtp_client_timeout = 1 min", full.stdout, re.M)
    assert re.search(r"^lmtp_client_timeout = 5 min", defaults.stdout, re.M)


def test_d_needs_no_file(binary, directory):
    proxy = Waypost(directory, binary)
    result = proxy.run("-d")
    assert "lmtp_proxy = no" in result.stdout


def test_n_output_is_a_configuration(check):
    first = check(PASSDB + "login_greeting = a # b\nhostname = x.example\n",
                  "-n")
    second = check(first.stdout, "-n", defaults=False)
    assert second.returncode == 0, second.stderr

    def settings(text):
        return [line for line in text.split("\n")
                if not line.startswith("#")]
    assert settings(first.stdout) == settings(second.stdout)


def test_settings_of_dovecot_without_effect_are_listed(check):
    result = check(PASSDB + "mail_cache_fields = flags\n"
                   "imap_idle_notify_interval = 2 mins\n"
                   "plugin {\n quota = maildir:User quota\n}\n", "-n")
    assert result.returncode == 0, result.stderr
    assert "mail_cache_fields" in result.stdout
    assert "imap_idle_notify_interval" in result.stdout


def test_bad_options(binary, directory):
    proxy = Waypost(directory, binary)
    proxy.write_config(PASSDB)
    for args in (["-x"], ["extra"], ["-c"]):
        result = proxy.run(*args)
        assert result.returncode not in (0, 1)
        assert "usage" in result.stderr


def test_includes_and_files_and_variables(instance, backend):
    proxy = instance()
    (proxy.dir / "conf.d").mkdir()
    proxy.write_file("conf.d/10-a.conf", "login_greeting = from a\n")
    proxy.write_file("conf.d/20-b.conf", "!include ../deep.inc\n")
    proxy.write_file("deep.inc", "hostname = deep.example\n")
    proxy.write_file("greeting", "from a file\n")
    proxy.start(static_passdb(backend) +
                "!include conf.d/*.conf\n!include_try conf.d/*.nothing\n"
                "!include_try nowhere.conf\n"
                "login_greeting = $login_greeting and more\n")
    with proxy.connect() as client:
        assert client.greeting == "220 deep.example from a and more"


def test_file_as_value(instance, backend):
    proxy = instance()
    proxy.write_file("host", "from-file.example")
    proxy.start(static_passdb(backend) + "hostname = <host\n")
    with proxy.connect() as client:
        assert client.greeting == "220 from-file.example "


def test_env(instance, backend, monkeypatch):
    monkeypatch.setenv("WP_NAME", "env.example")
    proxy = instance()
    proxy.start(static_passdb(backend) + "hostname = $ENV:WP_NAME\n")
    with proxy.connect() as client:
        assert client.greeting == "220 env.example "


@pytest.mark.parametrize("text,greeting", [
    ('"quoted # text"', "quoted # text"), ("'single'", "single"),
    ('"with \\"inner\\" quotes"', 'with "inner" quotes'),
    ("plain text # comment", "plain text"),
    ("continued \\\n   line", "continued line"),
    ('"  kept  "', "  kept  "),
])
def test_values(waypost, backend, text, greeting):
    proxy = waypost(static_passdb(backend) + f"login_greeting = {text}\n")
    with proxy.connect() as client:
        assert client.greeting.raw == [f"220 proxy.example {greeting}"]


def test_filters(instance, backend):
    """protocol, local and remote; the more specific one wins."""
    proxy = instance()
    proxy.start(
        static_passdb(backend) +
        "login_greeting = global\nprotocol imap {\n"
        " login_greeting = imap\n}\nremote 127.0.0.61 {\n"
        " login_greeting = one remote\n}\nremote 127.0.0.60/30 {\n"
        " login_greeting = remote net\n}\n"
        "local 127.0.0.1 {\n lmtp_verbose_replies = yes\n}\n")

    def greeting(source):
        with proxy.connect(source=source) as client:
            return client.greeting.text
    assert greeting("127.0.0.1") == "proxy.example global"
    assert greeting("127.0.0.62") == "proxy.example remote net"
    assert greeting("127.0.0.61") == "proxy.example one remote"


def test_filters_that_conflict(check):
    """Whichever of them is meant, the other one's connections are no accident."""
    result = check(PASSDB + "remote 192.0.2.0/24 {\n login_greeting = a\n}\n"
                   "local 192.0.2.1 {\n login_greeting = b\n}\n",
                   defaults=False)
    assert result.returncode == 78
    assert where(result)[-2:] == [6, 9], result.stderr
    assert "login_greeting: " in result.stderr
    assert "set it in one of them only" in result.stderr


def test_protocol_not(waypost, backend):
    proxy = waypost(static_passdb(backend) + "protocol !lmtp {\n"
                    " login_greeting = no\n}\nprotocol !imap {\n"
                    " login_greeting = yes\n}\n")
    with proxy.connect() as client:
        assert client.greeting == "220 proxy.example yes"


# --- TLS ---

@pytest.fixture
def tls_files(directory):
    """Paths of a certificate and its key."""
    cert, key = directory / "cert.pem", directory / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-subj",
                    "/CN=proxy.example", "-keyout", key, "-out", cert],
                   check=True, capture_output=True)
    key.chmod(0o644)
    return cert, key


def test_n_never_shows_keys(check, tls_files):
    cert, key = tls_files
    config = (PASSDB + f"ssl_cert = <{cert}\nssl_key = <{key}\n"
              "ssl_key_password = hunter2\n"
              "local_name x {\n  ssl_key_password = hunter3\n}\n")
    secret = key.read_text().split("\n")[1]
    for option in ("-n", "-N", "-a", "-t"):
        result = check(config, option)
        assert result.returncode == 0, result.stderr
        assert "hunter" not in result.stdout + result.stderr
        assert secret not in result.stdout + result.stderr
        if option != "-t":
            assert f"\nssl_key = <{key}\n" in result.stdout
            assert result.stdout.count("ssl_key_password = # hidden\n") == 2


@pytest.mark.parametrize("name", ["ssl_cert", "ssl_key", "ssl_ca",
                                  "ssl_client_key"])
def test_missing_file_of_a_setting(check, name):
    result = check(f"{name} = <nowhere.pem\n" + PASSDB, defaults=False)
    assert result.returncode != 0
    assert where(result) == [1]
    assert re.search(rf"{name}: cannot read /.*/nowhere\.pem", result.stderr)


def test_protocol_of_tls_that_is_none(check):
    result = check(PASSDB + "ssl_min_protocol = TLSv1.4\n")
    assert result.returncode != 0
    assert where(result)
    assert "ANY TLSv1 TLSv1.1 TLSv1.2 TLSv1.3 LATEST" in result.stderr


def test_path_without_its_sign(check, tls_files):
    result = check(f"ssl_cert = {tls_files[0]}\nssl_key = {tls_files[1]}\n"
                   + PASSDB)
    assert result.returncode != 0
    assert "\"<\"" in result.stderr


def test_keys_survive_a_reload(instance, backend, tls_files):
    """A long chain goes to the worker, which cannot read the files."""
    cert, key = tls_files
    cert.write_text(cert.read_text() * 40)
    proxy = instance()
    config = (static_passdb(backend) +
              f"ssl_cert = <{cert}\nssl_key = <{key}\n")
    proxy.start(config)
    proxy.reload(config + "login_greeting = again\n")
    with proxy.connect() as client:
        assert client.greeting.text.endswith("again")


# --- whole trees ---

DEBIAN = pathlib.Path("/usr/share/dovecot")


@pytest.fixture
def debian_tree(directory, backend, tls_files):
    """Debian's dovecot tree with nothing but lmtp_proxy = yes uncommented,
    another certificate, whose key is not only for root, and a static passdb in
    local.conf."""
    tree = directory / "dovecot"
    shutil.copytree(DEBIAN, tree, ignore=lambda d, names: [
        name for name in names if not name.startswith(("conf.d", "dovecot"))
        and not name.endswith((".conf", ".ext"))])
    path = tree / "conf.d" / "20-lmtp.conf"
    text = path.read_text()
    assert "#lmtp_proxy = no" in text
    path.write_text(text.replace("#lmtp_proxy = no", "lmtp_proxy = yes"))
    path = tree / "conf.d" / "10-ssl.conf"
    text = path.read_text()
    for file, suffix in zip(tls_files, ("pem", "key")):
        assert f"</etc/dovecot/private/dovecot.{suffix}" in text
        text = text.replace(f"/etc/dovecot/private/dovecot.{suffix}",
                            str(file))
    path.write_text(text)
    (tree / "local.conf").write_text(static_passdb(backend))
    return tree


@pytest.mark.needs("dovecot")
def test_debians_tree_loads(debian_tree, instance):
    proxy = instance()
    proxy.config_path = debian_tree / "dovecot.conf"
    result = proxy.run("-t")
    assert result.returncode == 0, result.stderr
    assert "pam" in result.stderr
    result = proxy.run("-n")
    assert "lmtp_proxy = yes" in result.stdout


@pytest.mark.needs("dovecot")
def test_debians_tree_works(debian_tree, instance, backend):
    """Paths, user and log moved, as not to touch the system's own."""
    proxy = instance()
    proxy.config_path = debian_tree / "dovecot.conf"
    with open(debian_tree / "local.conf", "a") as file:
        file.write(f"base_dir = {proxy.dir}/run\nlog_path = /dev/stderr\n"
                   "default_internal_user = nobody\n")
    with open(debian_tree / "conf.d" / "99-protocols.conf", "w") as file:
        file.write("protocols = lmtp\n")
    proxy.launch()
    proxy.wait_log(r"^ready$|^exited ")
    assert "ready" in proxy.lines, proxy.log
    with Client(proxy.socket) as client:
        client.lhlo()
        assert client.deliver("joe@example.org")[0] == 250
    assert backend.wait_messages(1)[0].rcpts == ["joe@example.org"]


def test_shipped_examples(instance):
    """As installed, with what nobody can guess in local.conf."""
    proxy = instance()
    shutil.copytree(TOP / "conf.d", proxy.dir / "conf.d")
    (proxy.dir / "conf.d" / "waypost.conf").rename(proxy.config_path)
    proxy.write_file("local.conf", "lmtp_proxy = yes\n" + PASSDB)
    result = proxy.run("-t")
    assert result.returncode == 0, result.stderr
    result = proxy.run("-n")
    assert [line.split(" =")[0] for line in result.stdout.split("\n")
            if re.match(r"\w+ =", line)] == ["lmtp_proxy"]


def test_readme_configuration(instance, backend):
    """What README says to begin with has to work."""
    text = (TOP / "README.md").read_text()
    config = re.search(r"`/etc/waypost/waypost.conf`:\n\n```\n(.*?)```", text,
                       re.S).group(1)
    proxy = instance()
    proxy.write_file("users", f"joe@example.org:::::::proxy=y "
                     f"host={backend.host} port={backend.port}\n")
    config = config.replace("/etc/waypost/users", f"{proxy.dir}/users")
    config = config.replace("address = 127.0.0.1",
                            f"address = {proxy.address[0]}")
    config = config.replace("port = 2424", f"port = {proxy.port}")
    config = re.sub(r"default_internal_user = .*",
                    "default_internal_user = nobody", config)
    config = re.sub(r"default_internal_group = .*",
                    "default_internal_group = nogroup", config)
    proxy.start(f"base_dir = {proxy.dir}/run\n" + config, defaults=False)
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250


def documented_configurations():
    """Those in the examples of the manual pages, and TLS in README."""
    page = (TOP / "man/waypost.8").read_text()
    texts = re.findall(r"\.Bd -literal.*?\n(.*?)\.Ed\n", page, re.S)
    texts = [text for text in texts if "driver =" in text]
    assert len(texts) == 2
    for name, heading, count in (("waypost.conf.5", "EXAMPLE", 1),
                                 ("waypost-passdb.7", "EXAMPLES", 2),
                                 ("waypost-userdb.7", "EXAMPLES", 2)):
        page = (TOP / "man" / name).read_text().replace("\\-", "-")
        page = page.split(f"\n.SH {heading}\n")[1].split("\n.SH")[0]
        found = re.findall(r"\.nf\n(.*?)\n\.fi", page, re.S)
        assert len(found) == count
        texts += [text if "passdb {" in text else text + "\n" + PASSDB
                  for text in found]
    readme = (TOP / "README.md").read_text().split("### With TLS\n")[1]
    texts.append(re.search(r"```\n(.*?)```", readme, re.S).group(1) + PASSDB)
    return texts


@pytest.mark.parametrize("number", range(8))
def test_examples_of_the_documentation(check, directory, number):
    pki = Pki(directory / "pki")
    pair = pki.make("proxy.example")
    (directory / "ldap").write_text("uris = ldap://localhost\nbase = dc=x\n")
    (directory / "users").write_text("joe@example.org:::::::host=h\n")
    config = documented_configurations()[number]
    for path, real in (("/etc/waypost/tls/cert.pem", pair.cert),
                       ("/etc/waypost/tls/key.pem", pair.key),
                       ("/etc/ssl/certs/ca-certificates.crt", pki.ca.cert),
                       ("/etc/waypost/dovecot-ldap.conf.ext",
                        directory / "ldap")):
        config = config.replace(path, str(real))
    config = re.sub("/etc/waypost/(users|left|sites)",
                    str(directory / "users"), config)
    result = check(config)
    assert (result.returncode, result.stderr) == (0, "")


# --- odds and ends ---

@pytest.mark.parametrize("option", ["-V", "--version"])
def test_version(binary, directory, option):
    result = Waypost(directory, binary).run(option)
    assert result.returncode == 0
    assert re.search(r"waypost \d+\.\d+", result.stdout)


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help(binary, directory, option):
    """Every option that the manual has, and no other."""
    result = Waypost(directory, binary).run(option)
    assert (result.returncode, result.stderr) == (0, "")
    page = (TOP / "man" / "waypost.8").read_text()
    page = page[page.index("The options are:"):page.index("Once every listener")]
    assert set(re.findall(r"^  (-\w)", result.stdout, re.M)) == \
        {"-" + name for name in re.findall(r"^\.It Fl (\w)", page, re.M)}


def test_check_opens_nothing(check):
    result = check(PASSDB)
    assert result.returncode == 0
    assert list((check.proxy.dir / "run").iterdir()) == []


def test_warnings_are_no_errors(check):
    result = check("protocols = imap\n" + PASSDB)
    assert result.returncode == 0
    assert "protocols" in result.stderr


def test_recursive_include(check):
    result = check(PASSDB + "!include waypost.conf\n")
    assert result.returncode != 0
    assert where(result)


def test_files_as_values_are_not_shown(instance):
    """They may be keys."""
    proxy = instance()
    path = proxy.write_file("key", "topsecret")
    proxy.write_config(PASSDB + f"lmtp_proxy = yes\nlogin_greeting = <{path}\n")
    for option in ("-n", "-a"):
        result = proxy.run(option)
        assert result.returncode == 0, result.stderr
        assert f"\nlogin_greeting = <{path}\n" in result.stdout
        assert "topsecret" not in result.stdout


def test_directory_as_file(instance):
    proxy = instance()
    proxy.config_path = proxy.dir
    result = proxy.run("-t")
    assert result.returncode != 0
    assert str(proxy.dir) in result.stderr


# --- what -t finds, and what it leaves alone ---

@pytest.mark.parametrize("bad", [
    "syslog_facility = nonsense\n",
    "service lmtp {\n inet_listener x {\n  port = 24\n"
    "  address = not an address\n }\n}\n",
    "passdb {\n driver = passwd-file\n}\n",
    "passdb {\n driver = passwd-file\n args = frob=1 /etc/users\n}\n",
    "passdb {\n driver = static\n args = host=%{nonsense\n}\n",
    "passdb {\n driver = static\n result_success = perhaps\n}\n",
    "passdb {\n driver = no-such-driver\n}\n", "passdb {\n args = x\n}\n",
    "lmtp_max_recipients = 99999999999\n", "lmtp_max_recipients = -1\n",
    "mail_temp_dir = relative/path\n", "login_greeting = </nowhere/at/all\n",
])
def test_t_finds_what_a_start_would(check, bad):
    result = check(PASSDB + bad)
    assert result.returncode != 0
    assert result.stderr != ""
    assert "warning" not in result.stderr.split("\n")[0]


# Something of everything that can be wrong.
MANY = """\
lmtp_proxy = yes
login_greeting = hello %{frob}
auth_username_format = %Q
service lmtp {
  inet_listener a {
    port = 24
    address = bad.one.invalid
  }
  inet_listener b {
    port = 24
    address = bad.two.invalid
  }
  unix_listener c {
    user = no-such-user
    group = no-such-group
  }
  unix_listener d {
    mode = 999
  }
}
passdb {
  driver = nope
}
passdb {
  driver = static
  args = host=%{frob}
  override_fields = port=%{frob}
}
passdb {
  driver = passwd-file
}
no_such_setting = 1
"""
MANY_LINES = [2, 3, 5, 9, 13, 13, 18, 21, 24, 24, 29, 32]


@pytest.mark.parametrize("action", ["-t", "-F"])
def test_everything_is_reported_at_once(check, action):
    result = check(MANY, action, defaults=False)
    assert result.returncode == 78
    assert sorted(where(result)) == MANY_LINES
    assert result.stdout == ""


def test_reload_reports_everything_at_once(waypost, backend):
    proxy = waypost(static_passdb(backend))
    proxy.write_config(MANY, defaults=False)
    proxy.signal(signal.SIGHUP)
    proxy.wait_log("going on with the old configuration")
    lines = [int(n) for n in re.findall(r"Error: \S*waypost\.conf:(\d+): ",
                                        proxy.log)]
    assert sorted(lines) == MANY_LINES
    with proxy.session() as client:
        assert client.deliver("joe@example.org")[0] == 250


def test_a_long_report_is_cut(check):
    result = check("passdb {\n driver = nope\n}\n" * 300)
    assert result.returncode == 78
    assert len(where(result)) == 100
    assert result.stderr.endswith("more errors are not shown\n")


@pytest.mark.parametrize("greeting,bad", [
    ("%x", "%x"), ("%l %{user}", "%{user}"), ("%{if;%s;eq;a;%l;%d}", "%d"),
    ("%{lip", "%{lip"),
])
@pytest.mark.parametrize("around", ["%s", "protocol lmtp {\n%s}\n",
                                    "remote 192.0.2.1 {\n%s}\n"])
def test_bad_variable_in_the_greeting(check, greeting, bad, around):
    setting = f"login_greeting = {greeting}\n"
    result = check(PASSDB + around.replace("%s", setting), defaults=False)
    text = [line for line in result.stderr.split("\n")
            if "login_greeting" in line]
    assert result.returncode == 78
    assert len(text) == 1 and text[0].endswith(bad)
    assert f"waypost.conf:{6 if '{' in around else 5}: " in text[0]


def test_variables_in_the_greeting(waypost, backend):
    proxy = waypost(static_passdb(backend) + "login_greeting = "
                    "%Us %l %{rip} %{hostname} %{if;%r;eq;%l;same;other}\n")
    with proxy.connect(source=proxy.address[0]) as client:
        assert client.greeting.text == (
            f"proxy.example LMTP {proxy.address[0]} {proxy.address[0]} "
            "proxy.example same")


@pytest.mark.parametrize("config,warning", [
    ("service lmpt {\n}\n", 'no service "lmpt" (did you mean "lmtp"?)'),
    ("protocol lmpt {\n}\n", 'no protocol "lmpt" (did you mean "lmtp"?)'),
    ("protocol !lmpt {\n}\n", 'no protocol "lmpt" (did you mean "lmtp"?)'),
    ("service quota-warning {\n executable = script /bin/true\n}\n", None),
    ("service managesieve-login {\n}\nprotocol sieve {\n}\n", None),
])
def test_mistyped_section_names(check, config, warning):
    result = check(PASSDB + config)
    assert result.returncode == 0
    if warning is None:
        assert result.stderr == ""
    else:
        assert warning in result.stderr
        assert "warning: " in result.stderr and where(result)


@pytest.mark.parametrize("name,nearest", [
    ("lmtp_max_recipient", "lmtp_max_recipients"),
    ("loginn_greeting", "login_greeting"),
    ("lmtp_proxy_pool_max_age_", "lmtp_proxy_pool_max_age"),
    ("imap_capabilty", "imap_capability"),
])
def test_nearest_name(check, name, nearest):
    result = check(PASSDB + f"{name} = 1\n")
    assert result.returncode != 0
    assert re.search(rf"{name}\W.*\W{nearest}\W", result.stderr)


@pytest.mark.parametrize("action", ["-t", "-n", "-N", "-a", "-F"])
def test_every_action_reports_errors(check, action):
    result = check(PASSDB + "no_such_thing = 1\n", action)
    assert result.returncode != 0
    assert where(result)
    assert result.stdout == ""


@pytest.mark.parametrize("args, hint", [
    (["-c", "/nowhere"], "/nowhere: No such file or directory (-c names another"),
    (["x\x1by"], "not x\\x1by\n"), (["-x", "lip=::1"], "-x is for -l only\n"),
    (["-n", "-a"], "at a time\n"),
])
def test_what_to_do_about_an_error(binary, directory, args, hint):
    result = subprocess.run([binary, *args], check=False, capture_output=True, text=True,
                            cwd=directory, timeout=TIMEOUT)
    assert result.returncode in (64, 78) and result.stdout == ""
    assert hint in result.stderr and "\x1b" not in result.stderr


@pytest.mark.parametrize("args", [("-n", "-a"), ("-t", "-n"), ("-V", "-t")])
def test_one_action_at_a_time(check, args):
    result = check(PASSDB, *args)
    assert result.returncode != 0
    assert "usage" in result.stderr and result.stdout == ""


@pytest.mark.parametrize("mode", ["-n", "-N", "-a"])
def test_dumps_can_be_read_again(check, mode):
    config = PASSDB + """
login_greeting = "  two # words  "
lmtp_client_workarounds = mailbox-for-path whitespace-before-path
service lmtp {
  inet_listener one {
    port = 2424
    address = 127.0.0.1 ::1
  }
  unix_listener /tmp/some/where {
    mode = 0600
  }
}
protocol lmtp {
  hostname = x.example
}
remote 192.0.2.0/24 {
  lmtp_verbose_replies = yes
}
passdb {
  driver = passwd-file
  args = username_format=%n /etc/%d/users
  deny = yes
}
"""
    first = check(config, mode)
    assert first.returncode == 0, first.stderr
    second = check(first.stdout, mode, defaults=False)
    assert second.returncode == 0, second.stderr

    def settings(text):
        return [line for line in text.split("\n")
                if not line.startswith("#")]
    assert settings(first.stdout) == settings(second.stdout)
