"""waypostctl stats on a terminal."""
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import threading

import pytest

from control import CTL, Control
from waiting import TIMEOUT, wait_on
from waypost import static_passdb

ROWS = 16  # of the table
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def take_terminal():
    """Whoever runs the tests in the background has them ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Screen:
    """What a terminal shows of what is written to it. It knows no more than the
    two sequences that stats needs; any other is an error."""

    def __init__(self, rows, cols):
        self.rows, self.cols = rows, cols
        self.lines = [""] * rows
        self.at = 0        # the cursor's line
        self.refreshes = 0
        self.scrolled = 0
        self.rest = ""

    def resize(self, rows, cols):
        self.rows, self.cols = rows, cols
        self.lines = (self.lines + [""] * rows)[:rows]
        self.at = min(self.at, rows - 1)

    def feed(self, text):
        text = self.rest + text
        while text:
            escape = ESCAPE.match(text)
            if escape:
                self.obey(escape[0])
                text = text[escape.end():]
            elif text[0] == "\x1b":
                break
            else:
                self.put(text[0])
                text = text[1:]
        self.rest = text

    def obey(self, sequence):
        if sequence == "\x1b[H":
            self.at = 0
            self.refreshes += 1
        else:
            assert sequence == "\x1b[J", repr(sequence)
            # The cursor is at the line's begin, wherever this is said.
            self.lines[self.at:] = [""] * (self.rows - self.at)

    def put(self, char):
        if char == "\n":
            self.line_feed()
        elif char != "\r":
            if len(self.lines[self.at]) == self.cols:
                self.line_feed()
            self.lines[self.at] += char

    def line_feed(self):
        if self.at + 1 == self.rows:
            self.scrolled += 1
            self.lines = self.lines[1:] + [""]
        else:
            self.at += 1


class Terminal:
    """waypostctl on a terminal of its own."""

    def __init__(self, *args, rows=24, cols=80):
        self.master, self.slave = pty.openpty()
        self.screen = Screen(rows, cols)
        self.changed = threading.Condition()
        self.set_size(rows, cols)
        self.before = termios.tcgetattr(self.slave)
        self.process = subprocess.Popen(
            [str(CTL), *args], stdin=self.slave, stdout=self.slave,
            stderr=self.slave, start_new_session=True,
            preexec_fn=take_terminal)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def set_size(self, rows, cols):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ,
                    struct.pack("HHHH", rows, cols, 0, 0))

    def resize(self, rows, cols):
        """To be followed by a refresh, for which the terminal has that size."""
        with self.changed:
            self.set_size(rows, cols)
            self.screen.resize(rows, cols)

    def read(self):
        while True:
            data = os.read(self.master, 65536)
            with self.changed:
                self.screen.feed(data.rstrip(b"\0").decode())
                self.changed.notify_all()
                if data.endswith(b"\0"):
                    return

    def wait_refreshes(self, count):
        """That many more of them, whole: the cursor is behind the last."""
        goal = self.screen.refreshes + count
        wait_on(self.changed, lambda: self.screen.refreshes >= goal and
                self.screen.at > 0, "refreshes")

    def wait_lines(self, count):
        """A refresh may come in pieces. Returns the lines when they are so many."""
        def whole():
            lines = [line for line in self.screen.lines if line]
            return len(lines) == count and self.screen.at == count and lines
        return wait_on(self.changed, whole, f"{count} lines")

    def key(self, key):
        os.write(self.master, key)

    def wait(self):
        return self.process.wait(TIMEOUT)

    def shown(self):
        with self.changed:
            return list(self.screen.lines)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        # Ends the reader.
        attributes = termios.tcgetattr(self.slave)
        attributes[1] &= ~termios.OPOST
        termios.tcsetattr(self.slave, termios.TCSADRAIN, attributes)
        os.write(self.slave, b"\0")
        self.reader.join(TIMEOUT)
        os.close(self.slave)
        os.close(self.master)


@pytest.fixture
def terminal(backend, waypost):
    proxy = waypost(static_passdb(backend))
    opened = []

    def make(*args, **kwargs):
        opened.append(Terminal("-s", Control(proxy).path, "stats", *args,
                               **kwargs))
        return opened[-1]

    make.proxy = proxy
    yield make
    for one in opened:
        one.close()


def test_refreshed_in_place(terminal):
    tty = terminal("3")
    with terminal.proxy.session() as client:
        client.deliver("joe@example.org")
        assert tty.wait() == 0
        wait_on(tty.changed, lambda: tty.screen.refreshes == 3 and
                tty.screen.at == ROWS, "the last refresh")
    assert (tty.screen.refreshes, tty.screen.scrolled) == (3, 0)
    lines = tty.shown()
    assert re.fullmatch(r"sessions +1", lines[0])
    assert re.fullmatch(r"waiting messages +0", lines[ROWS - 1])
    assert lines[ROWS:] == [""] * (24 - ROWS)


@pytest.mark.parametrize("rows, cols", [(ROWS + 1, 36), (ROWS, 80), (5, 20),
                                        (2, 4), (200, 300)])
def test_any_size(terminal, rows, cols):
    tty = terminal(rows=rows, cols=cols)
    tty.wait_refreshes(2)
    lines = tty.wait_lines(min(ROWS, rows - 1))
    assert tty.screen.scrolled == 0
    assert lines[0].startswith("sess")


def test_resized(terminal):
    """From the next refresh on, it is all as large as it may be."""
    tty = terminal()
    tty.wait_refreshes(1)
    tty.wait_lines(ROWS)
    tty.resize(8, 30)
    tty.wait_refreshes(2)
    lines = tty.wait_lines(7)
    assert tty.screen.scrolled == 0
    assert all(len(line) <= 30 for line in lines)
    tty.resize(40, 100)
    tty.wait_refreshes(2)
    tty.wait_lines(ROWS)
    assert tty.screen.scrolled == 0


def test_interrupted(terminal):
    """The terminal is as it was, and the cursor is below the table."""
    tty = terminal()
    tty.wait_refreshes(2)
    tty.key(b"\x03")
    assert tty.wait() == -signal.SIGINT
    wait_on(tty.changed, lambda: tty.screen.at == ROWS, "the end of the table")
    assert termios.tcgetattr(tty.slave) == tty.before
    lines = tty.shown()
    assert lines[0].startswith("sessions")
    assert lines[ROWS] in ("", "^C")
    assert tty.screen.rest == ""


def test_waypost_ends_meanwhile(terminal):
    """The table stays, and the reason stands below it."""
    tty = terminal()
    tty.wait_refreshes(1)
    terminal.proxy.stop()
    assert tty.wait() == 69
    wait_on(tty.changed, lambda: tty.screen.at > ROWS, "the reason")
    lines = tty.shown()
    assert lines[0].startswith("sessions")
    assert lines[ROWS].startswith("waypostctl: ")
