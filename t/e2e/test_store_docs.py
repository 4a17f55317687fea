"""The pages of doc/stores: what they say to write has to be right, and where
the store can be had, to work."""
import base64
import os
import pathlib
import re
import subprocess

import pytest

import servers
from clickhouse import ClickhouseServer
from pki import Pki
from ports import LOCALHOST, free_port
from slapd import BASE, DN, PASSWORD, Slapd, ldif
from sql_stores import Libsql, Neon, Postgrest, Rqlite
from waiting import TIMEOUT, wait_until
from waypost import TOP

STORES = TOP / "doc" / "stores"
NAMES = ["active-directory", "clickhouse", "libsql", "neon-postgres",
         "openldap", "passwd-file", "postgrest", "rqlite"]
# A paragraph, and the block behind it.
BLOCK = re.compile(r"^((?:[^\n]+\n)+)\n```(\w*)\n(.*?)^```$", re.M | re.S)
MAIL_HOST, MAIL_PORT = "192.0.2.10", "24"


class Page:
    def __init__(self, name):
        self.text = (STORES / f"{name}.md").read_text()
        self.found = BLOCK.findall(self.text)

    def blocks(self, language):
        return [text for _, kind, text in self.found if kind == language]

    def files(self):
        """{path below /etc/waypost: text}"""
        named = [(re.search("`/etc/waypost/([^`]+)`", before), text)
                 for before, kind, text in self.found if not kind]
        return {match[1]: text for match, text in named if match}

    def write(self, proxy, changes=()):
        """Files as the page has them, but for where they are and changes,
        pairs for re.sub()."""
        (proxy.dir / "conf.d").mkdir(exist_ok=True)
        for name, text in self.files().items():
            text = text.replace("/etc/waypost/", f"{proxy.dir}/")
            for pattern, value in changes:
                text = re.sub(pattern, value, text, flags=re.M)
            proxy.write_file(name, text)


@pytest.fixture
def documented(instance):
    """documented(page, changes, config): a proxy configured by a page."""
    def start(page, changes=(), config=""):
        proxy = instance()
        page.write(proxy, changes)
        return proxy.start(config + "!include conf.d/*.conf\n")
    return start


def rcpt(proxy, address):
    with proxy.session() as client:
        assert client.mail() == 250
        return client.rcpt(address)


def shown_host(proxy, address):
    """Where waypost -l says that the recipient goes."""
    result = proxy.run("-l", address)
    assert result.returncode == 0, result.stdout + result.stderr
    return re.search(r"^route:\n  host=(.*)$", result.stdout, re.M)[1]


def heard(backend):
    """Whom it was asked for."""
    found = [re.match("RCPT TO:<(.*?)>", line) for line in backend.commands]
    return [match[1] for match in found if match]


def as_backend(text, backend):
    """SQL whose users live on backend."""
    return text.replace(f"'{MAIL_HOST}', {MAIL_PORT}",
                        f"'{backend.host}', {backend.port}")


# --- every page ---

def test_there_is_a_page_for_each_store():
    assert sorted(path.stem for path in STORES.iterdir()) == NAMES
    makefile = (TOP / "Makefile.am").read_text()
    assert [name for name in NAMES
            if f"doc/stores/{name}.md" not in makefile] == []
    assert "(doc/stores" in (TOP / "README.md").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_page_has_what_it_takes(name):
    text = Page(name).text
    assert re.findall("^## (.*)$", text, re.M)[1:4] == [
        "waypost", "Check it", "What goes wrong"]
    assert re.search(r"^\| the log says \|", text, re.M)
    assert "jane@example.org" in text or "joe" in text


@pytest.mark.parametrize("name", NAMES)
def test_configuration_is_right(instance, directory, name):
    """No error and no warning, and the passdb is there."""
    page, proxy = Page(name), instance()
    page.write(proxy)
    ca = Pki(directory / "pki").ca.cert
    proxy.write_file("ca.pem", ca.read_text())
    proxy.write_config("!include conf.d/*.conf\n")
    result = proxy.run("-t")
    assert (result.returncode, result.stderr) == (0, "")
    result = proxy.run("-n")
    driver = {"openldap": "ldap", "active-directory": "ldap",
              "passwd-file": "passwd-file"}.get(name, "http-sql")
    assert f"  driver = {driver}\n" in result.stdout, result.stderr


# --- passwd-file ---

def test_passwd_file(backend, documented):
    proxy = documented(Page("passwd-file"), [
        (f"host={MAIL_HOST} port={MAIL_PORT}",
         f"host={backend.host} port={backend.port}")])
    assert rcpt(proxy, "joe@example.org") == 250
    assert rcpt(proxy, "Bob+lists@example.org") == 250
    assert heard(backend) == ["joe@example.org", "robert+lists@example.org"]
    assert shown_host(proxy, "joe@example.org") == backend.host
    assert rcpt(proxy, "old@example.org") == "450 4.2.1 "
    assert rcpt(proxy, "nobody@example.org") == "550 5.1.1 "


# --- OpenLDAP ---

class DebianSlapd:
    """slapd with the configuration that Debian's package begins with."""
    admin, password = "cn=admin,dc=example,dc=org", "admin's"

    def __init__(self, directory):
        self.dir = pathlib.Path(directory)
        for path in (self.dir, self.dir / "db", self.dir / "conf"):
            path.mkdir(mode=0o755)
        text = pathlib.Path("/usr/share/slapd/slapd.init.ldif").read_text()
        for old, new in (
                ("@SUFFIX@", "dc=example,dc=org"),
                ("@PASSWORD@", self.password),
                ("/var/run/slapd", str(self.dir)),
                ("/var/lib/ldap", f"{self.dir}/db"),
                ("gidNumber=0+uidNumber=0",
                 f"gidNumber={os.getegid()}+uidNumber={os.geteuid()}")):
            text = text.replace(old, new)
        self.run("slapadd", "-n0", "-F", f"{self.dir}/conf", stdin=text)
        self.port = free_port()
        self.ldapi = f"ldapi://{self.dir}/ldapi".replace("/", "%2F") \
            .replace("ldapi:%2F%2F", "ldapi://")
        self.process = subprocess.Popen(
            [servers.find("slapd"), "-d0", "-F", f"{self.dir}/conf", "-h",
             f"ldap://{LOCALHOST}:{self.port} {self.ldapi}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        wait_until(lambda: servers.accepts((LOCALHOST, self.port)), "slapd")
        self.add("dn: dc=example,dc=org\nobjectClass: organization\n"
                 "objectClass: dcObject\ndc: example\no: example\n")

    @staticmethod
    def run(program, *args, stdin=""):
        result = subprocess.run(
            [servers.find(program), *args], input=stdin, text=True,
            capture_output=True, timeout=TIMEOUT, check=False)
        assert result.returncode == 0, (args, stdin, result.stderr)

    def add(self, text):
        self.run("ldapadd", "-x", "-D", self.admin, "-w", self.password,
                 "-H", self.ldapi, stdin=text)

    def configure(self, *args, stdin=""):
        self.run("ldapmodify", "-Q", "-Y", "EXTERNAL", "-H", self.ldapi,
                 *args, stdin=stdin)

    def stop(self):
        self.process.terminate()
        self.process.wait(TIMEOUT)


@pytest.fixture
def debian_slapd(directory):
    server = DebianSlapd(directory / "slapd")
    yield server
    server.stop()


@pytest.mark.needs("slapd", "slapadd", "ldapadd", "ldapmodify")
def test_openldap(directory, backend, dns, debian_slapd, documented):
    """With its schema, index, access rules, certificate and users."""
    page, pki = Page("openldap"), Pki(directory / "pki")
    pair = pki.make("ldap1.example.org")
    access, certificates, users = page.blocks("ldif")
    schema, = re.findall(r"ldapadd -Q .* -f (/\S+)", page.text)
    debian_slapd.configure("-a", "-f", schema)
    debian_slapd.configure(stdin=access)
    for name, path in (("ca", pki.ca.cert), ("cert", pair.cert),
                       ("key", pair.key)):
        certificates = certificates.replace(f"/etc/ldap/tls/{name}.pem",
                                            str(path))
    debian_slapd.configure(stdin=certificates)
    debian_slapd.add(users)
    dns.zone["ldap1.example.org"] = [LOCALHOST]
    dns.zone["mail1.example.org"] = [backend.host]
    proxy = documented(page, [
        (r"^uris = .*", "uris = ldap://ldap1.example.org:"
         f"{debian_slapd.port}"),
        (r"^tls_ca_cert_file = .*", f"tls_ca_cert_file = {pki.ca.cert}"),
        ("=port=24", f"=port={backend.port}"),
    ], f"lmtp_proxy_dns_servers = {dns.server}\n")
    assert rcpt(proxy, "j.doe@example.org") == 250
    assert rcpt(proxy, "JANE@example.org") == 250
    assert heard(backend)[0] == "jane@example.org"
    assert rcpt(proxy, "nobody@example.org") == "550 5.1.1 "
    assert shown_host(proxy, "jane@example.org") == "mail1.example.org"
    assert "Error" not in proxy.log
    wrong = documented(page, [
        (r"^uris = .*", f"uris = ldap://{LOCALHOST}:{debian_slapd.port}"),
        (r"^tls.*", ""), ("change-me", "wrong"),
    ], "auth_lookup_timeout = 1 secs\n")
    assert rcpt(wrong, "jane@example.org") == 451
    wrong.wait_log(r"bind: Invalid credentials \(49\)")


# --- Active Directory ---

# What its schema has, as far as a lookup is concerned.
AD_SCHEMA = """
attributetype ( 1.2.840.113556.1.2.210 NAME 'proxyAddresses'
  EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
attributetype ( 1.2.840.113556.1.4.8 NAME 'userAccountControl'
  EQUALITY integerMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.782 NAME 'objectCategory'
  EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.2214 NAME 'msDS-cloudExtensionAttribute1'
  EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
objectclass ( 1.2.840.113556.1.5.9 NAME 'user' SUP organizationalPerson
  STRUCTURAL MAY ( mail $ proxyAddresses $ userAccountControl $
  objectCategory $ msDS-cloudExtensionAttribute1 ) )
"""


def ad_user(name, **attributes):
    return ldif(f"CN={name},OU=Staff,{BASE}", objectClass="user", cn=name,
                sn=name, objectCategory="person",
                **{"userAccountControl": "512", **attributes})


@pytest.mark.needs("slapd", "slapadd", "ldapmodify")
def test_active_directory(directory, backend, dns, documented):
    """Its filter and its users, in an OpenLDAP with such a schema."""
    page = Page("active-directory")
    server = Slapd(directory / "slapd", extra=AD_SCHEMA, entries=ldif(
        f"OU=Staff,{BASE}", objectClass="organizationalUnit", ou="Staff") +
        ad_user("Jane Doe") + ad_user(
            "Gone", userAccountControl="514", mail="gone@example.org",
            proxyAddresses="SMTP:gone@example.org",
            **{"msDS-cloudExtensionAttribute1": "mail1.example.org"}))
    try:
        users, = page.blocks("ldif")
        DebianSlapd.run("ldapmodify", "-x", "-D", f"cn=root,{BASE}", "-w",
                        "root", "-H", server.url(), stdin=users)
        dns.zone["mail1.example.org"] = [backend.host]
        proxy = documented(page, [
            (r"^uris = .*", f"uris = {server.url()}"),
            (r"^tls_ca_cert_file = .*", ""), (r"^dn = .*", f"dn = {DN}"),
            (r"^dnpass = .*", f'dnpass = "{PASSWORD}"'),
            ("=port=24", f"=port={backend.port}"),
        ], f"lmtp_proxy_dns_servers = {dns.server}\n")
        assert rcpt(proxy, "J.Doe@example.org") == 250
        assert rcpt(proxy, "jane@example.org") == 250
        assert heard(backend) == ["jane@example.org"] * 2
        assert rcpt(proxy, "gone@example.org") == "550 5.1.1 "
        assert rcpt(proxy, "nobody@example.org") == "550 5.1.1 "
    finally:
        server.stop()


# --- databases ---

class DocumentedClickhouse(ClickhouseServer):
    """With the user of the page, and its table."""
    page = Page("clickhouse")

    def start(self):
        (self.dir / "users.d").mkdir(exist_ok=True)
        xml, = self.page.blocks("xml")
        (self.dir / "users.d" / "waypost.xml").write_text(xml)
        super().start()

    def create(self, backend):
        self.sql("DROP TABLE passdb")
        for block in self.page.blocks("sql"):
            for statement in as_backend(block, backend).split(";\n"):
                if statement.strip():
                    self.sql(statement)


@pytest.mark.needs("clickhouse-server")
def test_clickhouse(directory, backend, documented):
    server = DocumentedClickhouse(directory / "clickhouse")
    try:
        server.create(backend)
        proxy = documented(server.page, [
            (r"^url = .*", f"url = {server.url}")])
        assert rcpt(proxy, "joe@example.org") == 250
        assert rcpt(proxy, "bob@example.org") == 250
        assert heard(backend)[1] == "robert@example.org"
        assert shown_host(proxy, "joe@example.org") == backend.host
        assert rcpt(proxy, "nobody@example.org") == "550 5.1.1 "
        wrong = documented(server.page, [
            (r"^url = .*", f"url = {server.url}"), ("change-me", "wrong")])
        assert rcpt(wrong, "joe@example.org") == "451 4.3.0 "
        wrong.wait_log("HTTP status 401: Code: 193, .*Wrong password")
    finally:
        server.stop()


def basic(text):
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize("kind,name,authorization", [
    (Rqlite, "rqlite", basic("waypost:change-me")),
    (Libsql, "libsql", "Bearer eyJhbGciOiJFZERTQSJ9"),
    (Neon, "neon-postgres", ""),
    (Postgrest, "postgrest", "Bearer eyJhbGciOiJIUzI1NiJ9"),
])
def test_other_databases(backend, documented, kind, name, authorization):
    """The page's table in SQLite, behind what speaks as the store does."""
    page, store = Page(name), kind()
    sql = as_backend(page.blocks("sql")[0], backend)
    store.db.executescript(
        "DROP TABLE passdb; ATTACH ':memory:' AS mail;" +
        sql.replace("CREATE SCHEMA mail;", ""))
    try:
        proxy = documented(page, [
            (r"^(url = .*\n)+", f"url = {store.url}\n"),
            (r"^tls_ca_cert_file = .*", ""),
            (r"^postgresql://.*", "postgresql://u:hush@db.example/mail")])
        assert rcpt(proxy, "joe@example.org") == 250
        assert rcpt(proxy, "bob@example.org") == 250
        assert heard(backend) == ["joe@example.org", "robert@example.org"]
        assert rcpt(proxy, "nobody@example.org") == "550 5.1.1 "
        assert store.requests[0].headers.get("authorization", "").startswith(
            authorization)
    finally:
        store.stop()
