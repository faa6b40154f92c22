"""Waiting for a state, never for a time. This is the only place in the tests that pauses."""

import time


class NotReached(AssertionError):
    pass


def until(what, predicate, timeout=30.0, pause=0.03):
    """Asks again and again until the answer is true, and returns it. Fails after `timeout` seconds, saying what it
    waited for and the last answer."""
    deadline = time.monotonic() + timeout
    while True:
        answer = predicate()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise NotReached(f"after {timeout:g} s still not: {what} (last answer: {answer!r})")
        time.sleep(pause)


def holds_for(what, predicate, seconds, pause=0.05):
    """The other way round: fails as soon as the answer is false within the time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert predicate(), f"no longer: {what}"
        time.sleep(pause)
