"""The demonstration that ./quickstart gives."""
import os
import pathlib
import subprocess
import sys

from waypost import BINARY, TOP


def test_demo_shows_who_went_where():
    env = dict(os.environ, WAYPOST=str(BINARY), WAYPOST_TOP=str(TOP))
    result = subprocess.run(
        [sys.executable, "-B", str(pathlib.Path(__file__).parent / "demo.py")],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, env=env,
        timeout=120, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
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
