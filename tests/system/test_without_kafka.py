"""Kafka does not answer: each verb and the worker say where they asked, what the error is and for how long, in their own
words alone."""

import contextlib
import re
import subprocess

import pytest

from harness.commands import create_ticket
from harness.waiting import until

NOWHERE = "127.0.0.1:1"
REFUSED = "Connection refused; is Kafka running there?"


@pytest.mark.parametrize("words", [("topics", "create", "--reason", "test"), ("topics", "plan"), ("audit", "verify")])
def test_a_verb_says_which_address_does_not_answer_and_nothing_else(world, words):
    for output in ("text", "json"):
        done = world.verb(*words, "--output", output, KAFKA_BOOTSTRAP=NOWHERE)
        assert (done.returncode, done.stdout) == (1, ""), output
        (line,) = done.stderr.splitlines()
        assert f"Kafka at {NOWHERE}" in line and line.endswith(REFUSED), line


def test_publish_says_after_two_seconds_who_does_not_answer(world, tmp_path):
    path = tmp_path / "one.jsonl"
    path.write_bytes(create_ticket(1).value + b"\n")
    said = tmp_path / "said"
    with open(said, "wb") as errors:
        publish = subprocess.Popen([world.binary, "publish", path], env=world.environment(KAFKA_BOOTSTRAP=NOWHERE),
                                   stdout=subprocess.DEVNULL, stderr=errors)
        try:
            until("it says something", lambda: said.read_text().endswith("\n"), 20)
        finally:
            publish.kill()
            publish.wait()
    (line,) = said.read_text().splitlines()
    assert line.startswith(f"publish: Kafka at {NOWHERE} has not answered for 2 s: ") and REFUSED in line


def test_a_worker_that_starts_says_where_kafka_does_not_answer_and_for_how_long(world):
    worker = world.worker(ready=False, KAFKA_BOOTSTRAP=NOWHERE)
    seen = []

    def why():
        with contextlib.suppress(OSError):
            seen.append(worker.get("/readyz")[1])
        return seen and re.search(rf"waiting for \d+ s: Kafka at {NOWHERE}, topic {re.escape(world.topic)}: ", seen[-1]) \
            and REFUSED in seen[-1]
    until("it says so", why, 30)
    assert not any("consumer group to assign" in each for each in seen), seen
