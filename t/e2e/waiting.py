"""Waiting for a state, with a deadline: no test guesses how long to sleep."""

import time

TIMEOUT = 10


def wait_for(condition, what, timeout=TIMEOUT):
    """Polls until condition() is true and returns its value."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {timeout} s in vain for {what}")
        time.sleep(0.005)
