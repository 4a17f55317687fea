"""HUP when files of ours are gone."""
import shutil
import signal

from lmtp_client import Client
from waypost import static_passdb


def test_base_dir_that_was_cleaned_away_comes_back(backend, instance):
    proxy = instance()
    base_dir = proxy.dir / "spool" / "base"
    proxy.start(static_passdb(backend) + f"base_dir = {base_dir}\n")
    shutil.rmtree(base_dir)
    mark = proxy.mark()
    proxy.signal(signal.SIGHUP)
    proxy.wait_log("configuration reloaded", mark)
    with Client(str(base_dir / "lmtp")) as client:
        assert client.lhlo() == 250
        assert client.deliver("joe@example.org")[0] == 250
