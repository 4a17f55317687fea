"""The configuration file and the command line."""

import pathlib
import re
import shutil
import subprocess

import pytest

from waypost import WAYPOST, Waypost, environment, run, static

GOOD = """\
protocols = lmtp
lmtp_proxy = yes
default_internal_user = nobody
default_internal_group = nogroup
base_dir = {dir}/run
passdb {{
  driver = static
  args = nopassword=y proxy=y host=127.0.0.1 port=24
}}
"""


@pytest.fixture
def conf(tmp):
    """Writes waypost.conf: the good one, then text. Returns its path."""

    def write(text="", good=True):
        path = tmp / "waypost.conf"
        path.write_text((GOOD.format(dir=tmp) if good else "") + text)
        return path

    return write


def lines_before(path, text):
    """The number of the line that text stands in."""
    for number, line in enumerate(path.read_text().split("\n"), 1):
        if text in line:
            return number
    raise AssertionError(text)


# --- the command line ---

def test_version():
    result = run("-V")
    assert result.returncode == 0
    assert re.fullmatch(r"(waypost )?\d+\.\d+\S*\n", result.stdout)


def test_check_of_a_good_one(conf):
    result = run("-t", "-c", conf())
    assert (result.returncode, result.stderr) == (0, "")


def test_check_opens_nothing(conf, tmp):
    run("-t", "-c", conf())
    assert not (tmp / "run").exists()


@pytest.mark.parametrize("args", [("-x",), ("-n", "-a"), ("-c",), ("more",),
                                  ("-t", "-n")])
def test_usage(args):
    result = run(*args)
    assert result.returncode != 0
    assert "usage:" in result.stderr
    assert result.stdout == ""


def test_missing_file(tmp):
    for args in (("-t",), ("-n",), ("-F",), ()):
        result = run(*args, "-c", tmp / "nothing.conf")
        assert result.returncode != 0
        assert f"{tmp}/nothing.conf" in result.stderr


def test_directory_as_file(tmp):
    result = run("-t", "-c", tmp)
    assert result.returncode != 0 and str(tmp) in result.stderr


@pytest.mark.parametrize("args", [("-t",), ("-n",), ("-N",), ("-a",),
                                  ("-F",), ()])
def test_every_action_reports_errors(conf, args):
    path = conf("no_such_thing = 1\n")
    result = run(*args, "-c", path)
    assert result.returncode != 0
    number = lines_before(path, "no_such_thing")
    assert f"{path}:{number}: " in result.stderr
    assert result.stdout == ""


# --- dumps ---

def settings(text):
    """Setting lines at the top level of a dump."""
    return dict(re.findall(r"^(\w+) = ?(.*)$", text, re.M))


def test_dump_of_changes(conf):
    result = run("-n", "-c", conf("login_greeting = Waypost ready.\n"
                                  "lmtp_max_recipients = 5\n"))
    assert result.returncode == 0
    found = settings(result.stdout)
    assert found["lmtp_proxy"] == "yes"
    assert found["lmtp_max_recipients"] == "5"
    assert "login_greeting" not in found
    assert "driver = static" in result.stdout


def test_dump_of_what_is_set(conf):
    path = conf("login_greeting = Waypost ready.\n")
    found = settings(run("-N", "-c", path).stdout)
    assert found["login_greeting"] == "Waypost ready."
    assert "hostname" not in found


def test_dump_of_all(conf):
    found = settings(run("-a", "-c", conf()).stdout)
    assert found["lmtp_proxy"] == "yes"
    assert found["lmtp_proxy_pool_max_idle"] in ("30 secs", "30s", "30 s")
    assert len(found) > 40


def test_dump_of_defaults(conf):
    found = settings(run("-d", "-c", conf()).stdout)
    assert found["lmtp_proxy"] == "no"
    assert found["lmtp_max_recipients"] == "1000"


@pytest.mark.parametrize("mode", ["-n", "-N", "-a"])
def test_dump_can_be_read_again(conf, tmp, mode):
    first = run(mode, "-c", conf("""
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
  hostname = x.test
}
remote 192.0.2.0/24 {
  lmtp_verbose_replies = yes
}
passdb {
  driver = passwd-file
  args = username_format=%n /etc/%d/users
  deny = yes
}
"""))
    assert first.returncode == 0, first.stderr
    again = tmp / "again.conf"
    again.write_text(first.stdout)
    second = run(mode, "-c", again)
    assert second.returncode == 0, second.stderr
    assert second.stdout.replace(str(again), "") == \
        first.stdout.replace(str(tmp / "waypost.conf"), "")


def test_settings_without_effect_are_listed(conf):
    result = run("-n", "-c", conf("imap_capability = x\nmail_max_keyword_"
                                  "length = 50\n"))
    assert result.returncode == 0, result.stderr
    comments = [line for line in result.stdout.split("\n")
                if line.startswith("#")]
    assert any("imap_capability" in line for line in comments)
    assert any("mail_max_keyword_length" in line for line in comments)


def test_secrets_are_not_dumped(conf, tmp):
    (tmp / "key").write_text("topsecret\n")
    result = run("-a", "-c", conf(f"ssl_key = <{tmp}/key\n"))
    assert "topsecret" not in result.stdout


# --- errors ---

@pytest.mark.parametrize("line, word", [
    ("lmtp_prxy = yes", "lmtp_proxy"),
    ("lmtp_max_recipient = 5", "lmtp_max_recipients"),
    ("loginn_greeting = x", "login_greeting"),
    ("lmtp_proxy_pool_max_age_ = 5s", "lmtp_proxy_pool_max_age"),
    ("imap_capabilty = x", "imap_capability"),
])
def test_unknown_name(conf, line, word):
    path = conf(line + "\n")
    result = run("-t", "-c", path)
    assert result.returncode != 0
    assert f"{path}:{lines_before(path, line)}: " in result.stderr
    assert line.split()[0] in result.stderr
    assert f'"{word}"' in result.stderr or f"'{word}'" in result.stderr


def test_all_errors_are_reported(conf):
    path = conf("lmtp_frob = 1\nlmtp_verbose_replies = maybe\n"
                "lmtp_client_timeout = 5\nservice lmtp {\n  colour = red\n}\n"
                "lmtp_max_recipients = -1\n")
    result = run("-t", "-c", path)
    assert result.returncode != 0
    for word in ("lmtp_frob", "lmtp_verbose_replies", "lmtp_client_timeout",
                 "colour", "lmtp_max_recipients"):
        number = lines_before(path, word)
        assert re.search(rf"^{re.escape(str(path))}:{number}: .*{word}",
                         result.stderr, re.M), word


@pytest.mark.parametrize("text", [
    "lmtp_verbose_replies = maybe",
    "lmtp_client_timeout = 5",
    "lmtp_client_timeout = 5 fortnights",
    "lmtp_max_message_size = big",
    "lmtp_max_recipients = 99999999999",
    "lmtp_hdr_delivery_address = alternative",
    "lmtp_client_workarounds = all-of-them",
    "lmtp_bare_newlines = keep",
    "mail_temp_dir = relative/path",
    "base_dir = relative",
    "syslog_facility = nonsense",
    "service lmtp {\n  inet_listener x {\n    port = 99999\n  }\n}",
    "service lmtp {\n  inet_listener x {\n    port = 24\n"
    "    address = not an address\n  }\n}",
    "service lmtp {\n  unix_listener x {\n    mode = 0999\n  }\n}",
    "service lmtp {",
    "}",
    "lmtp_proxy",
    "service lmtp { user = x }",
    "remote junk {\n  lmtp_verbose_replies = yes\n}",
    "!include /nowhere/at/all.conf",
    "ssl_key = </nowhere/at/all",
    "passdb {\n  driver = no-such-driver\n}",
    "passdb {\n  args = x\n}",
    "passdb {\n  driver = static\n  args = host=%{nonsense\n}",
    "passdb {\n  driver = passwd-file\n}",
    "passdb {\n  driver = passwd-file\n  args = frob=1 /etc/users\n}",
    "passdb {\n  driver = static\n  result_success = perhaps\n}",
])
def test_error(conf, text):
    path = conf(text + "\n")
    result = run("-t", "-c", path)
    assert result.returncode != 0
    assert re.search(rf"{re.escape(str(path))}(:\d+)?: ", result.stderr), \
        result.stderr
    assert "warning" not in result.stderr.split("\n")[0]


@pytest.mark.parametrize("text, words", [
    ("passdb {\n  driver = ldap\n  args = /etc/x\n}\n",
     ("ldap", "not supported")),
    ("passdb {\n  driver = sql\n  args = /etc/x\n}\n",
     ("sql", "not supported")),
    ("lmtp_proxy = no\n", ("lmtp_proxy",)),
    ("service lmtp {\n  inet_listener x {\n    port = 24\n    ssl = yes\n"
     "  }\n}\n", ("ssl", "not supported")),
    ("service lmtp {\n  inet_listener x {\n    port = 24\n    haproxy = yes\n"
     "  }\n}\n", ("haproxy", "not supported")),
])
def test_what_comes_later_is_refused_by_name(conf, text, words):
    path = conf(text)
    result = run("-t", "-c", path)
    assert result.returncode != 0
    for word in words:
        assert word in result.stderr


def test_lmtp_proxy_is_needed(conf, tmp):
    path = conf(f"base_dir = {tmp}\npassdb {{\n  driver = static\n"
                "  args = host=127.0.0.1\n}\n", good=False)
    result = run("-t", "-c", path)
    assert result.returncode != 0
    assert "lmtp_proxy" in result.stderr


def test_passdb_is_needed(conf):
    path = conf("lmtp_proxy = yes\n", good=False)
    result = run("-t", "-c", path)
    assert result.returncode != 0
    assert "passdb" in result.stderr


def test_warnings_are_no_errors(conf):
    path = conf("passdb {\n  driver = pam\n}\n")
    result = run("-t", "-c", path)
    assert result.returncode == 0
    assert re.search(r"warning: .*pam", result.stderr, re.I)


# --- the language ---

def test_language(conf, tmp):
    (tmp / "more").mkdir()
    (tmp / "more/10-one.conf").write_text("lmtp_max_recipients = 11\n")
    (tmp / "more/20-two.conf").write_text(
        "lmtp_max_recipients = 12 # comment\n")
    (tmp / "greeting").write_text("from a file")
    path = conf("""
!include more/*.conf
!include_try nowhere/*.conf
!include_try nothing.conf
login_greeting = <greeting
hostname = "quoted.test"
lmtp_client_workarounds = whitespace-before-path \\
    mailbox-for-path
mail_temp_dir = /var/tmp
recipient_delimiter = "#"
lmtp_max_message_size = 5 M
lmtp_client_timeout = 2 mins
protocol lmtp {
  lmtp_client_workarounds = $lmtp_client_workarounds
}
""")
    result = run("-n", "-c", path)
    assert result.returncode == 0, result.stderr
    found = settings(result.stdout)
    assert found["lmtp_max_recipients"] == "12"
    assert found["hostname"].strip('"') == "quoted.test"
    assert found["recipient_delimiter"].strip('"') == "#"
    assert set(found["lmtp_client_workarounds"].split()) == \
        {"whitespace-before-path", "mailbox-for-path"}


def test_environment(conf, tmp):
    path = conf("login_greeting = $ENV:WAYPOST_TEST_GREETING\n")
    env = environment()
    env["WAYPOST_TEST_GREETING"] = "from outside"
    result = subprocess.run([WAYPOST, "-n", "-c", path], env=env, text=True,
                            capture_output=True, check=False, timeout=10)
    assert settings(result.stdout)["login_greeting"] == "from outside"


def test_recursive_include(conf):
    path = conf("!include waypost.conf\n")
    result = run("-t", "-c", path)
    assert result.returncode != 0 and "ecursive" in result.stderr


def test_relative_path(conf):
    path = conf()
    result = subprocess.run([WAYPOST, "-t", "-c",
                             path.name], cwd=path.parent, text=True,
                            capture_output=True, check=False, timeout=10,
                            env=environment())
    assert result.returncode == 0, result.stderr


# --- Debian's tree ---

def debian_tree(tmp, need):
    need("dovecot")
    source = next((pathlib.Path(path) for path in
                   ("/usr/share/dovecot", "/etc/dovecot")
                   if pathlib.Path(path, "conf.d/20-lmtp.conf").exists()),
                  None)
    if source is None:
        pytest.fail("Dovecot's example configuration is not installed")
    tree = tmp / "dovecot"
    tree.mkdir()
    shutil.copy(source / "dovecot.conf", tree)
    shutil.copytree(source / "conf.d", tree / "conf.d")
    for path in source.glob("*.ext"):
        shutil.copy(path, tree)
    lmtp = tree / "conf.d/20-lmtp.conf"
    text = lmtp.read_text()
    assert "#lmtp_proxy = no" in text
    lmtp.write_text(text.replace("#lmtp_proxy = no", "lmtp_proxy = yes"))
    return tree


def test_debian_tree_loads(tmp, need):
    tree = debian_tree(tmp, need)
    (tree / "local.conf").write_text(
        "passdb {\n  driver = static\n"
        "  args = nopassword=y proxy=y host=127.0.0.1\n}\n")
    result = run("-n", "-c", tree / "dovecot.conf")
    assert result.returncode == 0, result.stderr
    assert re.search(r"warning: .*pam", result.stderr, re.I)
    assert settings(result.stdout)["lmtp_proxy"] == "yes"


def test_debian_tree_works(tmp, need, backend, client, stopper):
    tree = debian_tree(tmp, need)
    server = backend()
    (tree / "local.conf").write_text(f"base_dir = {tmp}/run\n" +
                                     static(server))

    class Debian(Waypost):
        def write_config(self, config):
            self.path = tree / "dovecot.conf"

    proxy = Debian(tmp, "")
    stopper.add(proxy.stop)
    connection = client(str(tmp / "run/lmtp"))
    connection.lhlo()
    assert connection.deliver("joe@example.org")[0].code == 250
    assert server.messages[0].recipients == ["joe@example.org"]
    assert re.search(r"Warning: .*pam|warning: .*pam", proxy.log())


def test_shipped_example_loads(tmp):
    top = pathlib.Path(__file__).resolve().parents[2]
    result = run("-t", "-c", top / "conf.d/waypost.conf")
    assert "unknown" not in result.stderr, result.stderr
