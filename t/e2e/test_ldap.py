"""passdb { driver = ldap } with real OpenLDAP servers."""
import re
import socket
import ssl
import subprocess

import pytest

from hostile_ldap import BIND, Directory, LdapScript
from pki import Pki, openssl
from ports import LOCALHOST, free_port
from slapd import BASE, DN, PASSWORD, PEOPLE, Slapd, ldif, user
from waiting import TIMEOUT

pytestmark = pytest.mark.needs("slapd", "slapadd")

ATTRS = ("host=host, telephoneNumber=port, =proxy=y, "
         "userPassword=password")
CONF = """\
uris = {url}
dn = {dn}
dnpass = "{password}"
base = {people}
pass_filter = (&(objectClass=account)(mail=%u))
pass_attrs = {attrs}
"""


@pytest.fixture
def slapd(directory):
    """slapd(entries, ...): a running server."""
    made = []

    def make(*args, **kwargs):
        made.append(Slapd(directory / f"l{len(made)}", *args, **kwargs))
        return made[-1]

    yield make
    for server in made:
        server.stop()


def ldap_conf(url, attrs=ATTRS, extra="", dn=DN, people=PEOPLE):
    if not isinstance(url, str):
        url = url.url()
    return CONF.format(url=url, dn=dn, password=PASSWORD, people=people,
                       attrs=attrs) + extra


@pytest.fixture
def with_ldap(instance):
    """with_ldap(conf, config): a proxy that asks an LDAP server."""
    made = []

    def start(conf, config="", before=""):
        proxy = instance()
        made.append(proxy)
        path = proxy.write_file("ldap.conf.ext", conf)
        return proxy.start(before + "passdb {\n driver = ldap\n"
                           f" args = {path}\n}}\n" + config)

    yield start
    for proxy in made:
        print(f"--- waypost on {proxy.address} ---\n{proxy.log}")


def rcpt(proxy, address):
    """The reply to one RCPT of a session of its own."""
    with proxy.session() as client:
        assert client.mail() == 250
        return client.rcpt(address)


# --- found or not ---

def test_users_go_where_the_directory_says(backends, slapd, with_ldap):
    one, two = backends(), backends()
    proxy = with_ldap(ldap_conf(slapd(user("joe@example.org", one) +
                                      user("ann@example.org", two))))
    with proxy.session() as client:
        replies = client.deliver(["joe@example.org", "ann@example.org"])
        assert [r.code for r in replies] == [250, 250]
    assert one.wait_messages(1)[0].rcpts == ["joe@example.org"]
    assert two.wait_messages(1)[0].rcpts == ["ann@example.org"]
    assert rcpt(proxy, "no@example.org") == "550 5.1.1 "
    assert "Error" not in proxy.log


def test_users_are_looked_up_as_they_are_written(backend, slapd, with_ldap):
    """%u is what auth_username_format makes of the address."""
    proxy = with_ldap(ldap_conf(slapd(user("joe@example.org", backend))))
    assert rcpt(proxy, "JOE+detail@Example.org") == 250


def test_two_entries_are_nobody(backend, slapd, with_ldap):
    server = slapd(user("a", backend, mail="joe@example.org") +
                   user("b", backend, mail="joe@example.org") +
                   user("c", backend, mail="joe@example.org") +
                   user("ann@example.org", backend))
    proxy = with_ldap(ldap_conf(server))
    assert rcpt(proxy, "joe@example.org") == "451 4.3.0 "
    line = proxy.wait_log(r"Error: .*joe@example\.org.*more than one entry")
    assert len(re.findall(rf"uid=[abc],{PEOPLE}", line)) == 2
    assert rcpt(proxy, "ann@example.org") == 250


def test_size_limit_of_the_server(backend, slapd, with_ldap):
    server = slapd(user("a", backend, mail="joe@example.org") +
                   user("b", backend, mail="joe@example.org") +
                   user("ann@example.org", backend),
                   database="sizelimit 1")
    proxy = with_ldap(ldap_conf(server))
    assert rcpt(proxy, "joe@example.org") == "451 4.3.0 "
    proxy.wait_log(rf"more than one entry: uid=[ab],{PEOPLE}")
    assert rcpt(proxy, "ann@example.org") == 250


def test_missing_base(slapd, with_ldap):
    proxy = with_ldap(ldap_conf(slapd(), people=f"ou=typo,{BASE}"))
    assert rcpt(proxy, "joe@example.org") == "451 4.3.0 "
    proxy.wait_log(rf"base ou=typo,{BASE}.*No such object")


def test_base_with_variables(backend, slapd, with_ldap):
    """Only what a variable says may be missing."""
    server = slapd(
        ldif(f"ou=example.org,{PEOPLE}", objectClass="organizationalUnit",
             ou="example.org") +
        ldif(f"uid=ann,ou=example.org,{PEOPLE}",
             objectClass=["account", "extensibleObject"], uid="ann",
             mail="ann@example.org", host=backend.host,
             telephoneNumber=str(backend.port)))
    proxy = with_ldap(ldap_conf(server, people=f"ou=%d,{PEOPLE}"))
    assert rcpt(proxy, "ann@example.org") == 250
    assert rcpt(proxy, "joe@example.org") == 550
    assert rcpt(proxy, "joe@elsewhere.org") == 550
    proxy = with_ldap(ldap_conf(server, people=f"ou=%d,ou=typo,{BASE}"))
    assert rcpt(proxy, "ann@example.org") == 451


def test_base_made_of_the_domain(backend, slapd, with_ldap):
    proxy = with_ldap(ldap_conf(slapd(user("joe@example.org", backend)),
                                people="ou=people,dc=%Dd"))
    assert rcpt(proxy, "joe@example.org") == 250
    assert rcpt(proxy, "joe@nowhere.org") == 451


def test_empty_base(backend, slapd, with_ldap):
    """All that the server has, if it knows what that is: as in Active Directory's
    global catalogue."""
    entries = user("joe@example.org", backend)
    proxy = with_ldap(ldap_conf(
        slapd(entries, extra=f'defaultsearchbase "{BASE}"\n'), people=""))
    assert rcpt(proxy, "joe@example.org") == 250
    assert rcpt(proxy, "ann@example.org") == "550 5.1.1 "
    assert "base is empty" in proxy.run("-t").stderr
    proxy = with_ldap(ldap_conf(slapd(entries), people=""))
    assert rcpt(proxy, "joe@example.org") == "451 4.3.0 "
    proxy.wait_log(r"No such object \(32\)")


@pytest.mark.parametrize("scope,base,found", [
    ("subtree", BASE, True),
    ("onelevel", PEOPLE, True),
    ("onelevel", BASE, False),
    ("base", PEOPLE, False),
    ("base", f"uid=joe\\40example.org,{PEOPLE}", True),
])
def test_scope(backend, slapd, with_ldap, scope, base, found):
    server = slapd(user("joe@example.org", backend))
    proxy = with_ldap(ldap_conf(server, people=base,
                                extra=f"scope = {scope}\n"))
    assert rcpt(proxy, "joe@example.org") == (250 if found else 550)


@pytest.mark.parametrize("deref,base,found", [
    ("never", PEOPLE, 550), ("searching", PEOPLE, 250),
    ("finding", PEOPLE, 550), ("always", PEOPLE, 250),
    # An alias in the place of the base
    ("never", f"ou=old,{BASE}", 550), ("finding", f"ou=old,{BASE}", 250),
])
def test_deref(backend, slapd, with_ldap, deref, base, found):
    server = slapd(
        ldif(f"ou=away,{BASE}", objectClass="organizationalUnit", ou="away") +
        user("joe@example.org", backend) +
        ldif(f"ou=old,{BASE}", objectClass=["alias", "extensibleObject"],
             ou="old", aliasedObjectName=PEOPLE))
    server.stop()
    server.add_offline(ldif(
        f"uid=alias,{PEOPLE}", objectClass=["alias", "extensibleObject"],
        uid="alias", aliasedObjectName=f"uid=sue,ou=away,{BASE}") + ldif(
        f"uid=sue,ou=away,{BASE}", objectClass=["account", "extensibleObject"],
        uid="sue", mail="sue@example.org", host=backend.host,
        telephoneNumber=str(backend.port)))
    server.start()
    proxy = with_ldap(ldap_conf(server, people=base,
                                extra=f"deref = {deref}\n"))
    who = "sue" if base == PEOPLE else "joe"
    assert rcpt(proxy, f"{who}@example.org") == found


def test_variables_that_are_empty(backend, slapd, with_ldap):
    """A user without a domain."""
    server = slapd(user("joe@example.org", backend) +
                   user("ann", backend) + user("bob@", backend))
    proxy = with_ldap(ldap_conf(
        server, extra="pass_filter = (|(mail=%n@%d)(uid=%n)(cn=%d))\n"))
    assert rcpt(proxy, "ann") == 250
    assert rcpt(proxy, "bob") == 250
    assert rcpt(proxy, "joe") == 550
    assert rcpt(proxy, "joe@example.org") == 250
    proxy = with_ldap(ldap_conf(server, extra="pass_filter = (uid=%d)\n"))
    assert rcpt(proxy, "joe") == 550
    # A DN with an empty value is no DN: that is no answer.
    proxy = with_ldap(ldap_conf(server, people=f"uid=%d,{PEOPLE}"))
    assert rcpt(proxy, "joe") == "451 4.3.0 "
    proxy.wait_log(r"base uid=,ou=people.*\(\d+\)")


# --- fields ---

def test_templates(backend, slapd, with_ldap):
    server = slapd(
        user("joe@example.org", backend, description=["one", "two"],
             title="l", l="Berlin", seeAlso=f"cn=site,{BASE}") +
        ldif(f"cn=site,{BASE}", objectClass=["device", "extensibleObject"],
             cn="site", host=backend.host,
             telephoneNumber=str(backend.port)))
    proxy = with_ldap(ldap_conf(server, attrs=(
        "@site=%{ldap:seeAlso}, =host=%{ldap:host@site}, "
        "telephoneNumber@site=port, =proxy=y, "
        "=destuser=%n-%{ldap:l:none}-%{ldap:o:none}-%{ldap_ptr:title}, "
        "=x1=%{ldap_multi:description:;:-}/%{ldap_multi:o:,:no}, "
        "l=x2=<%$>, o=x3=never, !ou, =x4=%{ldap_dn}")),
        "auth_debug = yes\n")
    assert rcpt(proxy, "joe@example.org") == 250
    assert any("joe-Berlin-none-Berlin" in c for c in backend.commands)
    line = proxy.wait_log(r"Debug: .*found.* x1=")
    assert "x1=one;two/no" in line or "x1=two;one/no" in line
    assert " x2=<Berlin>" in line and " x3=" not in line
    assert " x4=uid=" in line


def test_secrets_are_not_logged(backends, slapd, with_ldap):
    """Not even when there are too many of them."""
    backend = backends()
    server = slapd(user("joe@example.org", backend,
                        description=["hush-1", "hush-2"], title="hush-3"))
    proxy = with_ldap(ldap_conf(
        server, attrs=ATTRS + ", description=pass, "
        "=proxy_secret=%{ldap:title}"),
        "auth_debug = yes\n")
    assert rcpt(proxy, "joe@example.org") == 250
    proxy.wait_log("description has several values")
    proxy.wait_log("Debug: .*found")
    assert "hush" not in proxy.log and PASSWORD not in proxy.log


def test_dangling_pointer(backend, slapd, with_ldap):
    server = slapd(user("joe@example.org", backend,
                        seeAlso=f"cn=nowhere,{BASE}") +
                   user("ann@example.org", backend))
    proxy = with_ldap(ldap_conf(server, attrs=f"@x=seeAlso, {ATTRS}, "
                                "l@x=where"))
    assert rcpt(proxy, "joe@example.org") == "451 4.3.0 "
    proxy.wait_log(rf"points to \(base cn=nowhere,{BASE}.*No such object")
    assert rcpt(proxy, "ann@example.org") == 250


def test_large_attribute(backend, slapd, with_ldap):
    """It fails who needs it, and nobody else."""
    server = slapd(user("joe@example.org", backend,
                        description="x" * 1024 * 1024) +
                   user("ann@example.org", backend))
    proxy = with_ldap(ldap_conf(server))
    assert rcpt(proxy, "joe@example.org") == 250
    proxy = with_ldap(ldap_conf(server, attrs=ATTRS + ", description=x"))
    with proxy.session() as client:
        assert client.mail() == 250
        replies = client.pipeline(*["RCPT TO:<joe@example.org>",
                                    "RCPT TO:<ann@example.org>"] * 20)
        assert [r.code for r in replies] == [451, 250] * 20
    proxy.wait_log(r"Error: .*joe@example\.org.*it is too large")


def test_binary_attribute(backend, slapd, with_ldap):
    server = slapd(user("joe@example.org", backend,
                        jpegPhoto=b"\xff\xd8\xff\xe0\x00\x10JFIF"))
    proxy = with_ldap(ldap_conf(server, attrs=ATTRS + ", jpegPhoto=x"))
    assert rcpt(proxy, "joe@example.org") == "451 4.3.0 "
    proxy.wait_log(r"jpegPhoto holds a NUL byte")


# --- how to get in ---

def test_wrong_password(slapd, with_ldap):
    proxy = with_ldap(ldap_conf(slapd()).replace(PASSWORD, "wrong"),
                      "auth_lookup_timeout = 1 secs\n")
    assert rcpt(proxy, "joe@example.org") == 451
    proxy.wait_log(r"Error: .*bind: Invalid credentials \(49\)")


def test_anonymous(backend, slapd, with_ldap):
    server = slapd(user("joe@example.org", backend), access="by * read")
    conf = ldap_conf(server)
    conf = re.sub(r"(?m)^dn.*\n", "", conf)
    assert rcpt(with_ldap(conf), "joe@example.org") == 250


def test_unix_socket_with_external(backend, slapd, with_ldap):
    server = slapd(user("joe@example.org", backend), kinds=("ldapi",),
                   access=f'by dn.base="cn=local,{BASE}" read by * none')
    proxy = with_ldap(ldap_conf(server.url("ldapi"), extra="sasl_bind = yes\n"
                                "sasl_mech = EXTERNAL\n"))
    assert rcpt(proxy, "joe@example.org") == 250


@pytest.fixture
def pki(directory):
    return Pki(directory / "pki")


def server_cert(pki):
    return pki.make("localhost", f"IP:{LOCALHOST}")


def tls(pki, pair=None, extra=""):
    """The lines of slapd.conf."""
    pair = pair or server_cert(pki)
    return (f"TLSCACertificateFile {pki.ca.cert}\n"
            f"TLSCertificateFile {pair.cert}\n"
            f"TLSCertificateKeyFile {pair.key}\n{extra}")


@pytest.mark.parametrize("kind,extra", [("ldaps", ""),
                                        ("ldap", "tls = yes\n")])
def test_tls(backend, slapd, with_ldap, pki, kind, extra):
    server = slapd(user("joe@example.org", backend), kinds=(kind,),
                   extra=tls(pki) + "security ssf=128\n")
    proxy = with_ldap(ldap_conf(
        server.url(kind), extra=extra +
        f"tls_ca_cert_file = {pki.ca.cert}\n"))
    assert rcpt(proxy, "joe@example.org") == 250
    assert "Error" not in proxy.log


@pytest.mark.parametrize("kind,extra", [("ldaps", ""),
                                        ("ldap", "tls = yes\n")])
@pytest.mark.parametrize("name,ca,why", [
    ("elsewhere.example", True, "mismatch"),
    ("", False, "certificate verify failed"),
])
def test_certificate_that_does_not_verify(backend, slapd, with_ldap, pki,
                                          kind, extra, name, ca, why):
    server = slapd(user("joe@example.org", backend), kinds=(kind,),
                   extra=tls(pki, pki.make(name) if name else None))
    conf = ldap_conf(server.url(kind), extra=extra +
                     (f"tls_ca_cert_file = {pki.ca.cert}\n" if ca else ""))
    proxy = with_ldap(conf, "auth_lookup_timeout = 1 secs\n")
    assert rcpt(proxy, "joe@example.org") == 451
    proxy.wait_log(rf"Error: .*{why}")
    proxy = with_ldap(conf + "tls_require_cert = never\n")
    assert rcpt(proxy, "joe@example.org") == 250


def test_start_tls_refused(backend, slapd, with_ldap):
    """Nothing goes on in clear."""
    server = slapd(user("joe@example.org", backend), access="by * read")
    proxy = with_ldap(ldap_conf(server, extra="tls = yes\n"),
                      "auth_lookup_timeout = 1 secs\n")
    assert rcpt(proxy, "joe@example.org") == 451
    proxy.wait_log(r"Error: .*StartTLS: ")


@pytest.mark.parametrize("kind,extra", [("ldaps", ""),
                                        ("ldap", "tls = yes\n")])
def test_client_certificate(backend, slapd, with_ldap, pki, kind, extra):
    client = pki.make("client")
    server = slapd(user("joe@example.org", backend), kinds=(kind,),
                   extra=tls(pki, extra="TLSVerifyClient demand\n"),
                   access=f'by dn.base="cn=local,{BASE}" read by * none')
    proxy = with_ldap(ldap_conf(
        server.url(kind), extra=f"{extra}tls_ca_cert_file = {pki.ca.cert}\n"
        f"tls_cert_file = {client.cert}\n"
        f"tls_key_file = {client.key}\n"
        "sasl_bind = yes\nsasl_mech = EXTERNAL\n"))
    assert rcpt(proxy, "joe@example.org") == 250


def test_authorization_id(backend, with_ldap):
    """Whom a bind says that we are."""
    server = LdapScript(Directory(backend))
    proxy = with_ldap(ldap_conf(server.url, extra="sasl_bind = yes\n"
                                "sasl_mech = EXTERNAL\n"
                                "sasl_authz_id = u:somebody\n"))
    assert rcpt(proxy, "joe@example.org") == 250
    bind = server.requests[0]
    assert bind.kind == BIND
    assert "EXTERNAL" in bind and "u:somebody" in bind
    assert PASSWORD not in bind
    server.stop()


def test_hosts(backend, slapd, with_ldap):
    server = slapd(user("joe@example.org", backend))
    hosts = f"{LOCALHOST}:{free_port()} {LOCALHOST}:{server.ports['ldap']}"
    proxy = with_ldap(ldap_conf(server).replace(f"uris = {server.url()}",
                                                f"hosts = {hosts}"))
    assert rcpt(proxy, "joe@example.org") == 250


@pytest.mark.parametrize("kind,extra", [("ldaps", ""),
                                        ("ldap", "tls = yes\n")])
def test_certificate_of_a_name(backend, dns, slapd, with_ldap, pki, kind,
                               extra):
    """It is for the name in the URL, and its CA is one of a directory."""
    dns.zone["ldap.example"] = dns.zone["other.example"] = [LOCALHOST]
    server = slapd(user("joe@example.org", backend), kinds=(kind,),
                   extra=tls(pki, pki.make("ldap.example")))
    openssl("rehash", pki.dir)
    conf = ldap_conf(server.url(kind, "ldap.example"), extra=extra +
                     f"tls_ca_cert_dir = {pki.dir}\n")
    config = f"lmtp_proxy_dns_servers = {dns.server}\n"
    assert rcpt(with_ldap(conf, config), "joe@example.org") == 250
    proxy = with_ldap(conf.replace("ldap.example", "other.example"),
                      config + "auth_lookup_timeout = 1 secs\n")
    assert rcpt(proxy, "joe@example.org") == 451
    proxy.wait_log(r"Error: .*other\.example.*mismatch")


@pytest.mark.parametrize("cipher,reply", [("AES128-GCM-SHA256", 250),
                                          ("CHACHA20-POLY1305", 451)])
def test_ciphers(backend, with_ldap, pki, cipher, reply):
    context = pki.server(server_cert(pki), ssl.TLSVersion.TLSv1_2)
    context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
    server = LdapScript(Directory(backend), tls=context)
    proxy = with_ldap(ldap_conf(server.url, extra=
                                f"tls_ca_cert_file = {pki.ca.cert}\n"
                                f"tls_cipher_suite = ECDHE-ECDSA-{cipher}\n"),
                      "auth_lookup_timeout = 5 secs\n")
    assert rcpt(proxy, "joe@example.org") == reply
    server.stop()


def test_names_are_resolved_by_dns(backend, dns, slapd, with_ldap):
    dns.zone["ldap.example"] = [LOCALHOST]
    server = slapd(user("joe@example.org", backend))
    proxy = with_ldap(ldap_conf(server.url(host="ldap.example")),
                      f"lmtp_proxy_dns_servers = {dns.server}\n")
    assert rcpt(proxy, "joe@example.org") == 250


@pytest.mark.needs_root
def test_files_that_only_root_can_read(backend, slapd, instance, pki):
    """dnpass stays between root and the directory."""
    client = pki.make("client")
    server = slapd(user("joe@example.org", backend), kinds=("ldaps",),
                   extra=tls(pki))
    proxy = instance(as_root=True)
    path = proxy.write_file("ldap.conf.ext", ldap_conf(
        server.url("ldaps"), extra=f"tls_ca_cert_file = {pki.ca.cert}\n"
        f"tls_cert_file = {client.cert}\n"
        f"tls_key_file = {client.key}\n"))
    path.chmod(0o600)
    client.key.chmod(0o600)
    config = f"passdb {{\n driver = ldap\n args = {path}\n}}\n"
    proxy.start(config)
    assert rcpt(proxy, "joe@example.org") == 250
    proxy.reload()
    assert rcpt(proxy, "joe@example.org") == 250
    assert PASSWORD not in proxy.run("-n").stdout + proxy.log


@pytest.mark.needs_root
@pytest.mark.needs("unshare", "mount", "hostname")
def test_our_own_name_is_not_looked_up(instance, directory):
    """libldap wants to know it. Nothing may wait for a DNS server."""
    proxy = instance(as_root=True)
    path = proxy.write_file("ldap.conf.ext", ldap_conf("ldap://x"))
    proxy.write_config(f"passdb {{\n driver = ldap\n args = {path}\n}}\n")
    (directory / "resolv.conf").write_text(f"nameserver {LOCALHOST}\n")
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.bind((LOCALHOST, 53))
        sock.setblocking(False)
        result = subprocess.run(
            ["unshare", "-um", "sh", "-c", "hostname mx.nowhere.example && "
             'mount --bind "$0" /etc/resolv.conf && exec "$@"',
             str(directory / "resolv.conf"), proxy.binary, "-c",
             str(proxy.config_path), "-t"], env=proxy.environment(),
            capture_output=True, timeout=TIMEOUT, check=False)
        assert result.returncode == 0, result.stderr
        with pytest.raises(BlockingIOError):
            sock.recv(512)


# --- hostile addresses ---

SPECIAL = "*()\\|&!=<>~,+\"#;/ '%{}[]@^`$?:"


def hostile_local_parts():
    """At least 200 local parts that mean something to LDAP."""
    parts = ["*", "*)(uid=*", "*)(|(mail=*", "joe)(mail=*",
             "joe*", "j*e", "*)(objectClass=*))(&(a=b", ")(", "(", ")",
             "joe\\2a", "\\2a", "\\", "\\\\", "joe\\", "%u", "%{ldap:mail}",
             "%{if;1;==;1;joe;x}", "$", "%$", "joe,ou=people", "joe+x=y",
             "#joe", " joe", "joe ", "joe)(&)", "joe))(|(uid=joe",
             "joe;x", "joe=x", "<joe>", "joe>", "cn=admin", "admin)(&)",
             "*)(userPassword=*", "joe)(!(mail=x", "|(mail=*)", "(mail=*)",
             "=*", "~=", "joe:dn:=x", ":dn:2.5.13.5:=x", "joe*)(mail=*joe",
             "{0}", "x" * 60 + "*", "()" * 30, "((((", "))))", "\\00",
             "\\28\\29", "%2a", "*" * 64]
    parts += [f"joe{c}" for c in SPECIAL] + [f"{c}joe" for c in SPECIAL]
    parts += [f"j{c}oe" for c in SPECIAL] + [f"joe{c}{c}" for c in SPECIAL]
    parts += [f"*{c}*" for c in SPECIAL] + [f"){c}(mail=*" for c in SPECIAL]
    # Directories do not see blanks around a value, and %n ends at the first @:
    # these are the same user, or make a DN that is none.
    return [part for part in parts if part.strip() not in ("joe", "")
            and not part.startswith(("joe@", "@"))]


def quoted(local):
    escaped = local.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def test_hostile_local_parts_find_nobody(backend, slapd, with_ldap):
    """Names and domains are values, whatever stands in them: in the filter,
    in the base, and in both."""
    parts = hostile_local_parts()
    assert len(parts) >= 200
    server = slapd(user("joe@example.org", backend) +
                   user("joe", backend))
    confs = [
        ldap_conf(server),
        ldap_conf(server, people=f"uid=%u,{PEOPLE}"),
        ldap_conf(server, people=f"uid=%n,{PEOPLE}", extra=
                  "pass_filter = (|(uid=%n)(mail=%u)(cn=*%d))\n"),
    ]
    for conf in confs:
        proxy = with_ldap(conf, "auth_username_chars =\n"
                          "recipient_delimiter =\n")
        with proxy.session() as client:
            assert client.mail() == 250
            for local in parts:
                reply = client.rcpt(f"{quoted(local)}@example.org")
                assert reply == "550 5.1.1 ", (local, reply, conf)
            assert client.rcpt("joe@example.org") == 250
        assert "Error" not in proxy.log


def hostile_domains():
    """Literals: behind a colon they may hold almost anything."""
    parts = ["*)(mail=*", "people,ou=x", "example,dc=org", "a.b", ".",
             "people,dc=example,dc=org", "%{ldap:mail}", "%u", "*)(|(mail=*",
             "x)(!(mail=x", "*))(|(mail=*", "(&)", "(|)", "#", "%00", "%2a"]
    marks = [c for c in SPECIAL if c not in "[]\\ "]
    for form in ("{0}", "*{0}", "{0}*", "people{0}", "x{0}(mail=*", "a.{0}.b",
                 "{0}{0}", "){0}(ou=people"):
        parts += [form.format(c) for c in marks]
    return [f"[x:{part}]" for part in parts] + ["-", "x--1", "127.0.0.1"]


def test_hostile_domains(backend, slapd, with_ldap):
    domains = hostile_domains()
    assert len(domains) >= 200
    server = slapd(user("joe@example.org", backend))
    for base in (f"ou=%d,{BASE}", f"ou=people,dc=%Dd,{BASE}", PEOPLE):
        proxy = with_ldap(
            ldap_conf(server, people=base, extra=
                      "pass_filter = (|(ou=%d)(mail=%n@%d)(cn=*%d))\n"),
            "auth_username_chars =\n")
        with proxy.session() as client:
            assert client.mail() == 250
            for domain in domains:
                reply = client.rcpt(f"joe@{domain}")
                assert reply == "550 5.1.1 ", (domain, reply)
        assert "Error" not in proxy.log


def test_users_with_every_special_character(backends, slapd, with_ldap):
    """They are found, each only as what it is, by filter and by DN."""
    backend = backends(capabilities=("PIPELINING", "SMTPUTF8", "8BITMIME"))
    names = [f"a{c}b@example.org" for c in SPECIAL if c not in '@'] + \
        ["aäb@example.org", "# b@example.org", " a b @example.org"]
    server = slapd("".join(user(name, backend, mail=f"m{i}@x", cn=name)
                           for i, name in enumerate(names)))
    proxy = with_ldap(
        ldap_conf(server, people=f"uid=%u,{PEOPLE}",
                  extra="pass_filter = (cn=%u)\n"),
        "auth_username_chars =\nrecipient_delimiter =\n")
    with proxy.session() as client:
        assert client.mail(params=" SMTPUTF8") == 250
        for name in names:
            local, domain = name.rsplit("@", 1)
            reply = client.rcpt(f"{quoted(local)}@{domain}")
            assert reply == 250, (name, reply)


# --- configuration ---

@pytest.mark.parametrize("extra,line,why", [
    ("frobnicate = 1\n", 7, 'unknown setting "frobnicate"'),
    ("pass_filtr = (a=b)\n", 7, 'did you mean "pass_filter"'),
    ("scope = tree\n", 7, "scope: "),
    ("uris = http://x\n", 7, "uris: http://x: not an ldap://"),
    ("uris = ldap://x:99999\n", 7, "uris: .*bad port"),
    ("uris = ldap://x/dc=org\n", 7, "uris: .*only host and port"),
    ("pass_filter = (uid=%u\n", 7, "pass_filter: "),
    ("pass_filter =\n", 7, "pass_filter is empty"),
    ("pass_filter = (uid=%x)\n", 7, "pass_filter: unknown variable %x"),
    ("base = no dn\n", 7, "base: "),
    ("pass_attrs = =\n", 7, "pass_attrs: "),
    ("pass_attrs = a b=c\n", 7, "pass_attrs: .*not the name of an attr"),
    ("pass_attrs = =x=%{ldap:a@b}\n", 7, "pass_attrs: .*no @b"),
    ("ldap_version = 2\n", 7, "ldap_version"),
    ("dnpass =\n", 7, "dn needs dnpass"),
    ("sasl_bind = yes\nsasl_mech = GSSAPI\n", 8, "EXTERNAL"),
    ("tls_cert_file = /x\n", 7, "need each other"),
    ("tls = yes\ntls_ca_cert_file = /nowhere\n", 8, "/nowhere"),
    ("tls = yes\nuris = ldapi:///\n", 7, "StartTLS is for ldap://"),
    ("section {\n", 7, "name = value"),
    ("max_outstanding = 0\n", 7, "from 1 to 512"),
])
def test_errors_name_file_and_line(instance, extra, line, why):
    proxy = instance()
    path = proxy.write_file("ldap.conf.ext",
                            ldap_conf("ldap://x", extra=extra))
    said = proxy.refusal(f"passdb {{\n driver = ldap\n args = {path}\n}}\n")
    assert re.search(rf"^{path}:{line if 'dn needs' not in why else 2}: "
                     rf".*{why}", said, re.M), said


def test_settings_without_effect_are_named(instance):
    proxy = instance()
    path = proxy.write_file("ldap.conf.ext", ldap_conf(
        "ldap://x", extra="auth_bind = yes\nblocking = yes\n"
        "iterate_attrs = uid=user\n"))
    proxy.write_config(f"passdb {{\n driver = ldap\n args = {path}\n}}\n")
    result = proxy.run("-t")
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("without effect here: auth_bind, blocking, "
                               "iterate_attrs") == 1


ALL_SETTINGS = {
    "hosts": "ldap.example.org", "uris": "ldap://127.0.0.1",
    "dn": "cn=dovecot,dc=example,dc=org", "dnpass": "secret",
    "sasl_bind": "no", "sasl_mech": "", "sasl_realm": "",
    "sasl_authz_id": "", "tls": "no", "tls_ca_cert_file": "",
    "tls_ca_cert_dir": "", "tls_cipher_suite": "", "tls_cert_file": "",
    "tls_key_file": "", "tls_require_cert": "hard", "ldaprc_path": "",
    "debug_level": "0", "auth_bind": "yes",
    "auth_bind_userdn": "cn=%u,ou=people,o=org", "ldap_version": "3",
    "base": "dc=example, dc=org", "deref": "never", "scope": "subtree",
    "user_attrs": "homeDirectory=home,uidNumber=uid,gidNumber=gid",
    "user_filter": "(&(objectClass=posixAccount)(uid=%u))",
    "pass_attrs": "uid=user,userPassword=password,\\\n"
                  "  homeDirectory=userdb_home,uidNumber=userdb_uid",
    "pass_filter": "(&(objectClass=posixAccount)(uid=%u))",
    "iterate_attrs": "uid=user", "default_pass_scheme": "CRYPT",
    "iterate_filter": "(objectClass=posixAccount)", "blocking": "no",
    "userdb_warning_disable": "yes",
}


def test_all_settings_of_dovecot(instance):
    """Each as it may stand in a file of Dovecot's, with its comments."""
    proxy = instance()
    path = proxy.write_file("ldap.conf.ext", "".join(
        f"# Some words about {name}.\n#{name} =\n{name} = {value}\n\n"
        for name, value in ALL_SETTINGS.items()))
    proxy.write_config(f"passdb {{\n driver = ldap\n args = {path}\n}}\n")
    result = proxy.run("-t")
    assert result.returncode == 0, result.stderr
    assert "Error" not in result.stderr


def test_relative_and_missing_files(instance):
    proxy = instance()
    for args in ("x.conf", "/no/such/file"):
        said = proxy.refusal(
            f"passdb {{\n driver = ldap\n args = {args}\n}}\n")
        assert re.search(r"waypost\.conf:\d+: passdb ldap: ", said)
