"""Certificates for tests, made by openssl(1) when they are needed."""
import collections
import ssl
import subprocess

Cert = collections.namedtuple("Cert", "cert key")  # paths


def openssl(*args):
    return subprocess.run(["openssl", *map(str, args)], check=True,
                          stdin=subprocess.DEVNULL,
                          capture_output=True).stdout


EC = "ec", "-pkeyopt", "ec_paramgen_curve:P-256"
RSA = ("rsa:2048",)


class Pki:
    """A CA, and what it signs. Whoever may read the directory may read keys."""

    def __init__(self, directory, name="ca"):
        self.dir = directory
        self.dir.mkdir()
        self.dir.chmod(0o755)
        self.count = 0
        self.ca = self.self_signed(name)

    def paths(self):
        self.count += 1
        return Cert(self.dir / f"{self.count}.pem",
                    self.dir / f"{self.count}.key")

    def self_signed(self, name):
        pair = self.paths()
        openssl("req", "-x509", "-newkey", *EC, "-nodes", "-days", 2,
                "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}",
                "-keyout", pair.key, "-out", pair.cert)
        pair.key.chmod(0o644)
        return pair

    def make(self, *names, days=2, key=EC, subject=None):
        """A certificate for names: hosts, or "IP:127.0.0.1". days -1: it has
        expired. subject: "/O=x" instead of the common name."""
        pair, request = self.paths(), self.dir / "request"
        alt = ",".join(n if n.startswith("IP:") else f"DNS:{n}"
                       for n in names)
        extensions = self.dir / "extensions"
        extensions.write_text(f"subjectAltName={alt}\n")
        openssl("req", "-new", "-newkey", *key, "-nodes", "-subj",
                subject or f"/CN={names[0]}", "-keyout", pair.key, "-out",
                request)
        openssl("x509", "-req", "-in", request, "-CA", self.ca.cert, "-CAkey",
                self.ca.key, "-CAcreateserial", "-days", days, "-extfile",
                extensions, "-out", pair.cert)
        pair.key.chmod(0o644)
        return pair

    def server(self, pair, version=None, client_ca=None):
        """A server's ssl.SSLContext."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*pair)
        limit(context, version)
        if client_ca:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(client_ca)
        return context

    def client(self, version=None, pair=None):
        """A client's, which trusts this CA only."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.ca.cert)
        limit(context, version)
        if pair:
            context.load_cert_chain(*pair)
        return context


def limit(context, version):
    if version:
        context.minimum_version = context.maximum_version = version
