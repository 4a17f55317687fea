"""The demonstration that ./quickstart gives, and what that does without root."""
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from waypost import BINARY, TOP

MARK = "WAYPOST_DEMO_MARK"


def who_has(mark):
    """The processes with this in their environment."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"{MARK}={mark}".encode() in path.read_bytes().split(b"\0"):
                found.append(path.parent.name)
        except OSError:
            pass
    return found


def test_demo_shows_who_went_where(directory):
    env = dict(os.environ, WAYPOST=str(BINARY), WAYPOST_TOP=str(TOP),
               TMPDIR=str(directory), **{MARK: directory.name})
    result = subprocess.run(
        [sys.executable, "-B", str(pathlib.Path(__file__).parent / "demo.py")],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, env=env,
        timeout=120, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert who_has(directory.name) == []
    assert os.listdir(directory) == []
    lines = [line.split() for line in result.stdout.split("\n")
             if line.startswith("    ")]
    places = [(words[0], words[1], words[2]) for words in lines
              if len(words) > 3 and words[1] in ("mail1", "mail2", "nobody")]
    assert places == [
        ("joe@example.org", "mail1", "250"), ("ann@example.org", "mail2", "250"),
        ("eve@example.org", "mail1", "250"), ("ann@example.org", "mail2", "250"),
        ("joe+news@example.org", "mail1", "250"),
        ("nobody@example.org", "nobody", "550"),
        ("tom@example.org", "mail2", "250"),
        ("bob@example.org", "mail2", "250")]
    assert "virtual_transport = lmtp:inet:" in result.stdout


STUB = """#!/bin/sh
echo "$(basename "$0")" "$@" >>"$CALLS"
"""


@pytest.mark.parametrize("usable", [True, False])
def test_quickstart_without_root(directory, usable):
    """It says what to install, and goes on if what that is for is there."""
    stubs = {name: STUB for name in ("autoreconf", "automake", "cc", "make", "nproc",
                                     "python3")}
    stubs["apt-get"] = STUB
    stubs["id"] = "#!/bin/sh\necho 1000\n"
    stubs["dpkg-query"] = "#!/bin/sh\nexit 1\n"
    stubs["pkg-config"] = f"#!/bin/sh\nexit {0 if usable else 1}\n"
    shutil.copy(TOP / "quickstart", directory)
    for name, text in {**stubs, "../configure": STUB}.items():
        path = directory / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    calls = directory / "calls"
    calls.touch()
    (directory / "configure.ac").touch()
    result = subprocess.run(
        [directory / "quickstart"], stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=60, check=False,
        env={"PATH": f"{directory}/bin:/usr/bin:/bin", "CALLS": str(calls)})
    assert "apt-get install autoconf " in result.stdout
    called = [line.split()[0] for line in calls.read_text().splitlines()]
    assert (result.returncode == 0) == usable, result.stderr
    assert "apt-get" not in called
    assert ("python3" in called) == ("make" in called) == usable
