"""Settings of Dovecot that would change where mail goes, and that waypost lacks."""
import re
import subprocess

import pytest

import servers
from waypost import Waypost

PASSDB = "lmtp_proxy = yes\npassdb {\n driver = static\n args = proxy=y host=192.0.2.1\n}\n"
LOCAL = (PASSDB + "mail_location = maildir:~/Maildir\nuserdb {\n driver = static\n"
         " args = uid=65534 gid=65534 home=/nowhere/%u\n}\n")
MBOX = LOCAL.replace("maildir:~/Maildir", "mbox:~/mail:INBOX=/var/mail/%n")
RING = PASSDB + "director_mail_servers = 192.0.2.1 192.0.2.2\n"
DETAILS = LOCAL + "lmtp_save_to_detail_mailbox = yes\n"


def namespace(text):
    return "namespace inbox {\n inbox = yes\n " + text + "\n}\n"


MISSED = [
    (RING, "director_flush_socket = /bin/flush\n",
     "director_flush_socket has no effect: "),
    (RING, "director_servers = 192.0.2.7 192.0.2.8\n",
     "director_servers has no effect: "),
    (PASSDB, "protocol lmtp {\n auth_socket_path = inet:192.0.2.9\n}\n",
     "auth_socket_path has no effect: "),
    (PASSDB, "service lmtp {\n chroot = /srv\n}\n", "chroot has no effect: "),
    (LOCAL, "mail_chroot = /srv\n", "mail_chroot has no effect: "),
    (LOCAL, "mail_plugins = quota sieve\n", "mail_plugins: sieve: no effect "),
    (LOCAL, "mail_plugins = quota\nprotocol lmtp {\n"
     " mail_plugins = $mail_plugins sieve, notify\n}\n",
     "mail_plugins: sieve notify: no effect "),
    (MBOX, "mbox_write_locks = fcntl\n", "mbox_write_locks has no effect: "),
    (DETAILS, namespace("mailbox Junk {\n  auto = subscribe\n }"), "auto: without "),
    (LOCAL, "mail_location = mdbox:~/mdbox\n", "no mail can be saved there: "),
    (LOCAL, "protocol lmtp {\n mail_location = maildir:~/M:DIRNAME=x\n}\n",
     "no mail can be saved there: "),
    (LOCAL, namespace("location = ~/Maildir"), "no mail can be saved there: "),
    (LOCAL, "mail_location = maildir:%d/%n\n", "no mail can be saved there: "),
]

HARMLESS = [
    (PASSDB, "director_servers = 192.0.2.7 192.0.2.8\ndirector_flush_socket = /x\n"
     "mail_chroot = /srv\nmail_plugins = sieve\nmail_privileged_group = mail\n" +
     namespace("location = maildir:/elsewhere")),
    (RING, "director_servers = 192.0.2.7\n"),
    (RING, "director_servers = 192.0.2.7 192.0.2.8\n"
     "cluster_etcd_urls = http://192.0.2.1:2379\n"),
    (PASSDB, "auth_socket_path = auth-userdb\nprotocol lmtp {\n"
     " auth_socket_path = /run/dovecot/director-userdb\n}\n"),
    (LOCAL, "mail_plugins = quota sieve\nprotocol lmtp {\n mail_plugins = quota\n}\n"),
    (LOCAL, "protocol imap {\n mail_plugins = imap_quota acl\n}\n"),
    (LOCAL, "mail_privileged_group = mail\nmbox_write_locks = fcntl\n"),
    (MBOX, "mbox_write_locks = fcntl dotlock\n"),
    (MBOX, "mail_privileged_group = mail\n"),
    (LOCAL, namespace("location = maildir:~/elsewhere")),
    (LOCAL, "mail_location = maildir:~/%{if;%d;eq;a:b;x;y}:INDEX=/i/%u:ALT=/x\n"),
    (LOCAL, "mail_location = maildir:/m/%d/%n/::x:LAYOUT=fs\n"),
    (LOCAL, "mail_location = maildir:%h/Maildir\n"),
    (LOCAL, "mail_location = maildir:%Lh/Maildir/:INDEX=%{home}/Maildir/\n"),
    (LOCAL, "mail_location = mdbox:~/x\n" + namespace("location = maildir:~/Maildir")),
    (LOCAL, "mail_location = mdbox:~/x\nlda_command = /bin/true\n"),
    (DETAILS, namespace("separator = /")),
    (LOCAL, namespace("location =\n separator = /\n mailbox Junk {\n  auto = create\n }")),
    (LOCAL, namespace("location = maildir:~/Maildir")),
    (LOCAL, "namespace other {\n prefix = o/\n location = maildir:~/other\n}\n"),
    (DETAILS, namespace("separator = .\n mailbox Junk {\n  auto = no\n }")),
    (DETAILS, "lda_mailbox_autocreate = yes\n" +
     namespace("mailbox Junk {\n  auto = create\n }")),
    (LOCAL, "lda_command = /bin/true\nmail_plugins = sieve\nmail_chroot = /srv\n" +
     namespace("location = maildir:/elsewhere")),
]


@pytest.fixture
def check(instance):
    def run(config):
        proxy = instance()
        proxy.write_config(config)
        return proxy.run("-t")
    return run


@pytest.mark.parametrize("base,config,warning", MISSED)
def test_what_would_matter_draws_a_warning(check, base, config, warning):
    plain, result = check(base), check(base + config)
    assert plain.stderr == ""
    assert result.returncode == 0, result.stderr
    line, = result.stderr.splitlines()
    assert f"warning: {warning}" in line
    place = int(line.split("waypost.conf:")[1].split(":")[0])
    assert place > base.count("\n")


@pytest.mark.parametrize("base,config", HARMLESS)
def test_what_would_not_matter_draws_none(check, base, config):
    result = check(base + config)
    assert (result.returncode, result.stderr) == (0, "")


def names_of_dovecot(directory):
    """Name and default of all settings outside of sections, as doveconf has them."""
    empty = directory / "empty.conf"
    empty.write_text("")
    output = subprocess.run([servers.find("doveconf"), "-c", empty, "-d"], check=True,
                            capture_output=True, text=True).stdout
    return dict(re.findall(r"^(\w+) = ?(.*)$", output, re.M))


def other(value):
    if value in ("yes", "no"):
        return "no" if value == "yes" else "yes"
    number, _, unit = value.partition(" ")
    if number.isdigit():
        return f"{int(number) + 3} {unit}".strip()
    return value + "x"


@pytest.mark.needs("doveconf")
def test_every_name_of_dovecot_is_heard(binary, directory):
    """With another value each is either honoured, or refused, or listed."""
    proxy = Waypost(directory, binary)
    lines = [f"{name} = {other(value)}"
             for name, value in names_of_dovecot(directory).items()]
    assert len(lines) > 250
    while True:
        proxy.write_config(PASSDB + "\n".join(lines) + "\n", defaults=False)
        result = proxy.run("-n")
        refused = {int(number) - 1 - PASSDB.count("\n") for number in
                   re.findall(r"waypost\.conf:(\d+): (?!warning)", result.stderr)}
        if not refused:
            break
        lines = [line for i, line in enumerate(lines) if i not in refused]
    assert result.returncode == 0, result.stderr
    assert len(lines) > 200
    for line in lines:
        name = line.partition(" ")[0]
        assert (f"\n{name} = " in "\n" + result.stdout or
                f"\n#   {name} (" in result.stdout), line


# Those of older versions that Dovecot takes, all the same.
OLDER = """auth_count auth_executable auth_process_size auth_user dbox_rotate_days
    dbox_rotate_min_size dbox_rotate_size director_consistent_hashing fsync_disable
    login_chroot login_dir login_executable login_max_connections
    login_max_processes_count login_process_per_connection login_process_size
    login_processes_count mail_drop_priv_before_exec mail_executable
    mail_log_max_lines_per_sec mail_process_size maildir_copy_preserve_filename
    max_mail_processes sieve sieve_storage ssl_ca_file ssl_cert_file
    ssl_dh_parameters_length ssl_disable ssl_key_file ssl_listen
    ssl_parameters_regenerate ssl_protocols""".split()


@pytest.mark.needs("doveconf")
@pytest.mark.parametrize("name", OLDER)
def test_names_of_older_versions(check, directory, name):
    setting = f"{name} = {'1' if 'size' in name else 'yes'}\n"
    theirs = directory / "dovecot.conf"
    theirs.write_text(setting)
    result = subprocess.run([servers.find("doveconf"), "-n", "-c", theirs], check=True,
                            capture_output=True, text=True)
    assert "Warning: Obsolete setting" in result.stderr
    ours = check(PASSDB + setting)
    assert ours.returncode == 0
    line, = ours.stderr.splitlines()
    assert f": warning: {name} has " in line


def test_a_configuration_of_dovecot_2_4(check):
    """Why its settings are unknown is said first."""
    result = check("dovecot_config_version = 2.4.0\nmail_driver = maildir\n" + PASSDB)
    assert result.returncode != 0
    first, *_ = [line for line in result.stderr.splitlines()
                 if "Dovecot 2.4: here, settings are those of 2.3" in line]
    assert "warning: dovecot_config_version is of" in first
    assert 'unknown setting "mail_driver"' in result.stderr
