"""Fixtures: everything that a test starts is stopped, and checked, after it."""

import os
import pathlib
import shutil
import signal
import tempfile

import pytest

import backend as backend_module
import fakedns
import lmtp
import servers
import waypost as waypost_module

SKIPS = pathlib.Path(__file__).with_name("expected_skips")


@pytest.hookimpl(tryfirst=True, hookwrapper=True)
def pytest_runtest_makereport(item):
    outcome = yield
    setattr(item, "report_" + outcome.get_result().when, outcome.get_result())


@pytest.fixture(autouse=True)
def watchdog():
    """No test hangs for ever."""

    def ring(_number, _frame):
        pytest.fail("the test hangs")

    signal.signal(signal.SIGALRM, ring)
    signal.alarm(90)
    yield
    signal.alarm(0)


@pytest.fixture
def need(request):
    """need("dovecot"): the test fails when it is not installed, unless its
    name stands in expected_skips."""

    def check(program):
        if shutil.which(program, path=os.environ["PATH"] +
                        ":/usr/sbin:/usr/local/sbin"):
            return
        if request.node.name in SKIPS.read_text().split():
            pytest.skip(f"{program} is not installed")
        pytest.fail(f"{program} is not installed")

    return check


@pytest.fixture
def need_root():
    if not waypost_module.is_root():
        pytest.skip("needs root")


@pytest.fixture
def tmp(request):
    """A directory with a short name, that every user may enter."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="wp", dir="/tmp"))
    path.chmod(0o755)
    (path / "spool").mkdir()
    (path / "spool").chmod(0o1777)
    yield path
    report = getattr(request.node, "report_call", None)
    if report is None or not report.failed:
        shutil.rmtree(path, ignore_errors=True)


class Stopper:
    """Calls the stop functions of what was made, the last one first."""

    def __init__(self):
        self.stops = []

    def add(self, stop):
        self.stops.append(stop)

    def finish(self):
        errors = []
        for stop in reversed(self.stops):
            try:
                stop()
            except AssertionError as error:
                errors.append(str(error))
        assert not errors, "\n".join(errors)


@pytest.fixture
def stopper():
    stopper = Stopper()
    yield stopper
    stopper.finish()


@pytest.fixture
def waypost(request, tmp, stopper):
    """Starts waypost: waypost(config) -> Waypost."""
    started = []

    def start(config, **options):
        process = waypost_module.Waypost(tmp, config, **options)
        started.append(process)
        return process

    yield start
    report = getattr(request.node, "report_call", None)
    for process in started:
        if report is not None and report.failed:
            print(f"--- log of waypost (directory {tmp}):\n" + process.log())
        if not getattr(process, "stopped", False):
            process.stop()


@pytest.fixture
def backend(stopper):
    """Starts a scripted server: backend(rcpt="550 no") -> Backend."""

    def start(**options):
        server = backend_module.Backend(**options)
        stopper.add(server.stop)
        return server

    return start


@pytest.fixture
def client(stopper):
    """Connects: client(waypost) -> Client, after the greeting."""

    def connect(where, **options):
        address = getattr(where, "address", where)
        connection = lmtp.Client(address, **options)
        stopper.add(connection.close)
        return connection

    return connect


@pytest.fixture
def dns(stopper):
    """A name server: dns({"name": ["192.0.2.1"]}) -> Server."""

    def start(zone):
        server = fakedns.Server(zone)
        stopper.add(server.stop)
        return server

    return start


@pytest.fixture
def dovecot(tmp, need, stopper):
    """Starts a Dovecot with an LMTP listener."""
    need("dovecot")

    def start(users, **options):
        number = len(list(tmp.glob("dovecot*")))
        server = servers.Dovecot(tmp / f"dovecot{number}", users, **options)
        stopper.add(server.stop)
        return server

    return start


@pytest.fixture
def postfix(tmp, need, need_root, stopper):
    """Starts a Postfix that passes example.org on over LMTP."""
    need("postfix")

    def start(port, **options):
        server = servers.Postfix(tmp / "postfix", port, **options)
        stopper.add(server.stop)
        return server

    return start
