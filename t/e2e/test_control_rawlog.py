"""The control interface: rawlogs that are switched on and off."""
from control import Control
from waiting import wait_until
from waypost import static_passdb


def rawlogs(directory):
    return [p.read_text() for p in sorted(directory.iterdir())]


def test_rawlog_of_a_user(backend, waypost):
    proxy = waypost(static_passdb(backend))
    control = Control(proxy)
    directory = proxy.make_dir("raw")
    with proxy.session() as client:
        client.deliver(["joe@example.org"])
        assert control.ctl("rawlog", "on", "Ann@*", str(directory),
                           "60").returncode == 0
        client.deliver(["joe@example.org"])
        assert rawlogs(directory) == []
        client.deliver(["ann+box@example.org"], body="secret\r\n")
    texts = rawlogs(directory)
    assert any("secret" in text for text in texts)
    assert not any("joe@example.org" in text for text in texts)
    shown = control.ctl("rawlog", "list").stdout.splitlines()
    assert shown[1].split()[:2] == ["Ann@*", str(directory)]
    count = len(texts)
    assert control.ctl("rawlog", "off", "ann@*").returncode == 0
    with proxy.session() as client:
        client.deliver(["ann@example.org"])
    assert len(rawlogs(directory)) == count
    assert control.get("/v1/rawlog")["rawlogs"] == []


def test_a_rawlog_of_a_user_is_of_the_backend_too(backend, instance):
    proxy = instance()
    proxy.threads = 1
    proxy.start(static_passdb(backend))
    control = Control(proxy)
    directory = proxy.make_dir("raw")
    control.post(f"/v1/rawlog/on?pattern=ann@*&dir={directory}")
    with proxy.session() as client:
        client.deliver(["ann@example.org"], body="for ann\r\n")
    assert len([t for t in rawlogs(directory) if "for ann" in t]) == 2
    # But no longer than it is for that one.
    with proxy.session() as client:
        client.deliver(["joe@example.org"], body="private\r\n")
    assert len(backend.connections) == 1
    assert not any("private" in text for text in rawlogs(directory))


def test_rawlog_of_a_peer(backend, waypost):
    proxy = waypost(static_passdb(backend))
    control = Control(proxy)
    directory = proxy.make_dir("raw")
    assert control.ctl("rawlog", "on", "127.0.0.*",
                       str(directory)).returncode == 0
    with proxy.session() as client:
        client.quit()
    wait_until(lambda: any("QUIT" in text for text in rawlogs(directory)),
               "the rawlog")
    assert control.ctl("rawlog", "off").returncode == 0
    assert control.get("/v1/rawlog")["rawlogs"] == []


def test_rawlog_ends_by_itself(backend, waypost):
    proxy = waypost(static_passdb(backend))
    control = Control(proxy)
    directory = proxy.make_dir("raw")
    assert control.ctl("rawlog", "on", "x", str(directory),
                       "0").returncode == 0
    assert control.get("/v1/rawlog")["rawlogs"] == []


def test_rawlogs_that_cannot_be(backend, waypost):
    proxy = waypost(static_passdb(backend))
    control = Control(proxy)
    result = control.ctl("rawlog", "on", "x", "/no/such/dir")
    assert result.returncode == 64
    assert "cannot write" in result.stderr
    assert control.ctl("rawlog", "on", "x", "relative").returncode == 64
    assert control.ctl("rawlog", "on", "x", "/tmp", "1x").returncode == 64
    for i in range(100):
        control.post(f"/v1/rawlog/on?pattern={i}&dir=/tmp")
    assert control.request("/v1/rawlog/on?pattern=x&dir=/tmp",
                           "POST")[0] == 503
