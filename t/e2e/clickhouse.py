"""A real ClickHouse server, with everything in a directory of its own."""
import pathlib
import subprocess
import urllib.error
import urllib.request

import servers
from ports import LOCALHOST, free_port
from waiting import TIMEOUT, wait_until

CONFIG = """\
<yandex>
  <logger><level>warning</level><log>{dir}/log</log>
    <errorlog>{dir}/errors</errorlog></logger>
  <http_port>{port}</http_port>
  <tcp_port>{tcp}</tcp_port>
  <listen_host>{host}</listen_host>
  <path>{dir}/data/</path>
  <tmp_path>{dir}/tmp/</tmp_path>
  <users_config>users.xml</users_config>
  <default_profile>default</default_profile>
  <default_database>default</default_database>
  <mark_cache_size>5368709</mark_cache_size>
</yandex>
"""
USERS = """\
<yandex>
  <profiles>
    <default></default>
    <lookup>
      <readonly>1</readonly><max_execution_time>2</max_execution_time>
      <max_result_rows>10</max_result_rows><max_threads>1</max_threads>
    </lookup>
  </profiles>
  <users>
    <default>
      <password></password><profile>default</profile><quota>default</quota>
      <networks><ip>127.0.0.0/8</ip></networks>
    </default>
    <waypost>
      <password>hush</password><profile>lookup</profile><quota>default</quota>
      <networks><ip>127.0.0.0/8</ip></networks>
    </waypost>
  </users>
  <quotas><default></default></quotas>
</yandex>
"""


class ClickhouseServer:
    dialect = "clickhouse"

    def __init__(self, directory):
        self.dir = pathlib.Path(directory)
        self.dir.mkdir(mode=0o755)
        self.port = free_port()
        self.url = f"http://{LOCALHOST}:{self.port}"
        (self.dir / "config.xml").write_text(CONFIG.format(
            dir=self.dir, host=LOCALHOST, port=self.port, tcp=free_port()))
        (self.dir / "users.xml").write_text(USERS)
        self.process = None
        self.start()
        self.sql("CREATE TABLE passdb (userid String, domain String, "
                 "proxy String, host String, port Nullable(UInt16), "
                 "destuser Nullable(String)) ENGINE = MergeTree "
                 "ORDER BY (domain, userid)")

    def start(self):
        self.process = subprocess.Popen(
            [servers.find("clickhouse-server"),
             f"--config-file={self.dir}/config.xml"], cwd=self.dir,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)

        def up():
            assert self.process.poll() is None, self.log()
            return servers.accepts((LOCALHOST, self.port))
        wait_until(up, "ClickHouse")

    def log(self):
        path = self.dir / "errors"
        return path.read_text(errors="replace") if path.exists() else ""

    def sql(self, statement):
        request = urllib.request.Request(self.url, statement.encode())
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as exc:
            raise AssertionError(exc.read().decode()) from None

    def add(self, user, **fields):
        self.add_all([(user, fields)])

    def add_all(self, users):
        """One INSERT: each is a part on the disk."""
        def literal(value):
            if value is None:
                return "NULL"
            text = str(value).replace("\\", "\\\\").replace("'", "\\'")
            return f"'{text}'"
        rows = []
        for user, fields in users:
            local, _, domain = user.rpartition("@")
            rows.append(", ".join([
                literal(fields.get("userid", local)),
                literal(fields.get("domain", domain)), "'y'",
                literal(fields["host"]), str(fields["port"]),
                literal(fields.get("destuser"))]))
        self.sql("INSERT INTO passdb VALUES " +
                 ", ".join(f"({row})" for row in rows))

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def config(self, more="", query=None):
        query = query or ("SELECT proxy, host, port, destuser FROM passdb "
                          "WHERE userid = '%n' AND domain = '%d'")
        return (f"url = {self.url}\ndialect = clickhouse\n"
                f"header = X-ClickHouse-User: waypost\n"
                f"header = X-ClickHouse-Key: hush\n"
                f"password_query = {query}\n{more}")
