"""HUP when files of ours are gone."""
import shutil

from lmtp_client import Client
from waypost import static_passdb


def test_base_dir_that_was_cleaned_away_comes_back(backend, instance):
    proxy = instance()
    base_dir = proxy.dir / "spool" / "base"
    proxy.start(static_passdb(backend) + f"base_dir = {base_dir}\n")
    shutil.rmtree(base_dir)
    proxy.reload()
    with Client(str(base_dir / "lmtp")) as client:
        assert client.lhlo() == 250
        assert client.deliver("joe@example.org")[0] == 250
