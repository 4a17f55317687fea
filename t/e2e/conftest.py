"""Fixtures of the end-to-end tests.

A test writes its configuration inline and says what the backends do:

	def test_it(backend, waypost):
	    proxy = waypost(static_passdb(backend))
	    with proxy.session() as client:
	        ...
"""
import os
import pathlib
import shutil
import signal
import sys
import tempfile

import pytest

import servers
from fake_dns import FakeDns
from ports import has_ipv6
from scripted_backend import Backend
from waypost import BINARY, IS_ROOT, Waypost

if not sys.pycache_prefix:
    sys.dont_write_bytecode = True  # the source stays as it is
# Shells ignore it for what they run in the background, and all that starts there does.
signal.signal(signal.SIGQUIT, signal.SIG_DFL)
# Their assertions say what was compared, like those of tests.
pytest.register_assert_rewrite("handover", "http_sql", "local_site",
                               "worker_takeover")
# Seconds for one test: more than any needs, with the longer forms of HACKING.md too.
LIMIT = int(os.environ.get("WAYPOST_E2E_LIMIT", "300"))
EXPECTED_SKIPS = {
    line.strip()
    for line in (pathlib.Path(__file__).parent / "expected_skips")
    .read_text().splitlines() if line.strip() and not line.startswith("#")
}


def pytest_configure(config):
    config.addinivalue_line("markers",
                            "needs(program, ...): servers that must be there")
    config.addinivalue_line("markers", "needs_root: can only run as root")
    config.addinivalue_line("markers", "needs_ipv6: ::1 has to be there")


def pytest_runtest_setup(item):
    if item.get_closest_marker("needs_root") and not IS_ROOT:
        pytest.skip("needs root")
    if item.get_closest_marker("needs_ipv6") and not has_ipv6():
        pytest.skip("this machine has no ::1")
    missing = [program for mark in item.iter_markers("needs")
               for program in mark.args if not servers.find(program)]
    if not missing:
        return
    name = f"{item.path.name}::{item.originalname}"
    text = f"{name} needs {', '.join(missing)}"
    if name in EXPECTED_SKIPS:
        pytest.skip(text)
    pytest.fail(text + " (see t/e2e/expected_skips)", pytrace=False)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    """A test that hangs, wherever, fails and says where."""
    def give_up(_signal, _frame):
        pytest.fail(f"takes longer than {LIMIT} s")

    signal.signal(signal.SIGALRM, give_up)
    signal.alarm(LIMIT)
    yield
    signal.alarm(0)


@pytest.fixture(scope="session")
def binary():
    """The program, at a place where any user can run it."""
    if not BINARY.exists():
        pytest.exit(f"{BINARY}: build it first, or set WAYPOST", 2)
    if not IS_ROOT:
        yield BINARY.resolve()
        return
    directory = tempfile.mkdtemp(prefix="waypost-bin-")
    os.chmod(directory, 0o755)
    shutil.copy(BINARY.with_name("waypost-deliver"), directory)
    yield shutil.copy(BINARY, directory)
    shutil.rmtree(directory)


@pytest.fixture
def directory():
    """A short path (for UNIX sockets) that every user may look into."""
    path = tempfile.mkdtemp(prefix="wp-")
    os.chmod(path, 0o755)
    yield pathlib.Path(path)
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def instance(directory, binary):
    """instance(as_root=False): a Waypost that is not started yet. Its log is shown
    when a test fails."""
    made = []

    def make(**kwargs):
        path = directory / f"w{len(made)}"
        path.mkdir()
        path.chmod(0o755)
        made.append(Waypost(path, binary, **kwargs))
        return made[-1]

    yield make
    problems = []
    for waypost in made:
        try:
            waypost.stop()
        except AssertionError as exc:
            problems.append(str(exc))
        print(f"--- waypost on {waypost.address} ---\n{waypost.log}")
    assert not problems, "\n".join(problems)


@pytest.fixture
def waypost(instance):
    """waypost(config): a running one."""
    def start(config, **kwargs):
        return instance(**kwargs).start(config)

    return start


@pytest.fixture
def backends():
    """backends(...): one more scripted server, as Backend(...)."""
    made = []

    def make(*args, **kwargs):
        made.append(Backend(*args, **kwargs))
        return made[-1]

    yield make
    for server in made:
        server.stop()


@pytest.fixture
def backend(backends):
    """One scripted LMTP server."""
    return backends()


@pytest.fixture
def dns():
    server = FakeDns()
    yield server
    server.stop()


@pytest.fixture
def dovecot(directory):
    """dovecot(): a real LMTP server that keeps its mail in Maildirs."""
    made = []

    def make(**kwargs):
        path = directory / f"d{len(made)}"
        made.append(servers.Dovecot(path, **kwargs))
        return made[-1]

    yield make
    for server in made:
        server.stop()


@pytest.fixture
def postfix(directory):
    """postfix(main_cf): a real MTA. Only root can run one."""
    made = []

    def make(settings):
        path = directory / f"p{len(made)}"
        made.append(servers.Postfix(path, settings))
        return made[-1]

    yield make
    for server in made:
        server.stop()


@pytest.fixture
def jail(directory):
    """jail(jailed.Exim, ...): a real server that can only run as root."""
    made = []

    def make(kind, *args, **kwargs):
        made.append(kind(directory / f"j{len(made)}", *args, **kwargs))
        return made[-1]

    yield make
    for server in made:
        server.stop()
        print(f"--- {type(server).__name__} ---\n{server.log()}")
