"""Waiting for something to come true, without guessing how long it takes."""
import os
import time

# Generous: only a failing test ever waits this long.
TIMEOUT = float(os.environ.get("WAYPOST_E2E_TIMEOUT", "60"))


def wait_until(condition, what, timeout=None):
    """Returns condition()'s first true value; fails after the timeout."""
    end = time.monotonic() + (TIMEOUT if timeout is None else timeout)
    pause = 0.001
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"timed out waiting for {what}")
        time.sleep(pause)
        pause = min(pause * 2, 0.05)


def wait_on(cond, predicate, what, timeout=None):
    """The same on a threading.Condition: woken when something changes."""
    with cond:
        value = None

        def check():
            nonlocal value
            value = predicate()
            return value

        if not cond.wait_for(check, TIMEOUT if timeout is None else timeout):
            raise AssertionError(f"timed out waiting for {what}")
        return value
