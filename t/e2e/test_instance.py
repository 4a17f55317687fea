"""What tells one instance from another in the process list."""
import grp
import pathlib

import pytest

from waypost import static_passdb


def proc(pid, name):
    return pathlib.Path(f"/proc/{pid}/{name}").read_text()


def test_instance_name_is_in_the_title(backend, waypost):
    proxy = waypost(static_passdb(backend) + "instance_name = wp-two\n")
    worker, = proxy.workers()
    assert proc(worker, "cmdline").rstrip("\0") == "wp-two: worker"


@pytest.mark.needs_root
def test_default_internal_group(backend, instance):
    proxy = instance(as_root=True)
    proxy.start(static_passdb(backend) + "default_internal_group = mail\n")
    worker, = proxy.workers()
    gids = [line.split()[1:] for line in proc(worker, "status").splitlines()
            if line.startswith("Gid:")]
    assert gids == [[str(grp.getgrnam("mail").gr_gid)] * 4]
