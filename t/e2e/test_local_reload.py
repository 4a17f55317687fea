"""Local delivery by settings that are others than when the client came."""
import os
import signal

import pytest

from lmtp_client import dot_stuff
from local_site import (BODY, UIDS, children, crew_of, send, site,  # noqa: F401
                        wait_for_crew)
from processes import wait_gone

as_root = pytest.mark.needs_root


def config(site, name):  # noqa: F811
    ids = f"mail_uid = {UIDS[name]}\nmail_gid = {UIDS[name]}\n"
    lines = f"anna@example.org:::::::userdb_home={site.home('anna')}\n"
    return site.config(ids, passdb=lines, users={})


@as_root
def test_clients_who_came_before_mail_uid_changed(site):  # noqa: F811
    """Their mail cannot be saved, time and again, and nobody is hurt."""
    site.home("anna").chmod(0o777)
    proxy = site.proxy
    proxy.start(config(site, "anna"))
    with proxy.session() as client:
        assert send(client, "anna@example.org") == [250]
        worker = children(proxy, "worker")
        mark = proxy.mark()
        os.rename(site.home("anna") / "Maildir", site.home("anna") / "old")
        proxy.write_config(config(site, "ben"))
        proxy.signal(signal.SIGHUP)
        proxy.wait_log("configuration reloaded", mark)
        for _ in range(3):
            assert send(client, "anna@example.org") == [451]
    with proxy.session() as client:
        assert send(client, "anna@example.org") == [250]
    assert children(proxy, "worker") == worker
    assert "malformed request" not in proxy.log


def test_clients_who_came_before_local_delivery_was_turned_off(site):  # noqa: F811
    """They need not wait until lmtp_delivery_timeout is over."""
    proxy = site.start("lmtp_delivery_timeout = 10 mins\n")
    with proxy.session() as client, proxy.session() as other:
        assert send(client, "anna@example.org") == [250]
        other.start_data("ben@example.org")
        crew = [*wait_for_crew(proxy), crew_of(proxy)]
        proxy.reload(site.config("mail_location =\n"))
        wait_gone(crew)
        assert send(client, "anna@example.org", "ben@example.org") == [451, 451]
        other.send(dot_stuff(BODY))
        assert other.reply() == 451
        proxy.wait_log("save failed to INBOX: no delivery process has answered: a "
                       "reload has turned local delivery off", count=3)
        proxy.reload(site.config())
        assert send(client, "anna@example.org") == [250]
    assert len(site.files("anna")) == 2
    assert site.files("ben") == []
