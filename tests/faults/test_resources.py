"""No memory, no thread, no descriptor, little stack: at the start and while a batch runs. The worker ends cleanly, with
a code and a line that says so, or tries again; either way every command is applied once. In the long tier each allocation
fails once, else some, chosen by the seed. starve.c is what lets them fail."""

import os
import re
import resource

import pytest

from harness.commands import (Message, append, command, create_job, create_ticket, escalate, job_transition,
                              transition)
from harness.bounds import descriptors, is_sanitized
from harness.waiting import until
from starve import EVERY, Starve
from trial import minutes

SAMPLE = 6  # of each phase, in the quick tier
WHY = re.compile(r"out of memory|no thread|threads|open files|cannot start", re.IGNORECASE)
# Not hiredis: 0.14 dies in redisBufferWrite, which does not look whether it got a new buffer.
LIBRARIES = "libpq,libjansson,libconfig,libcrypto"


@pytest.fixture
def starve(trial, tmp_path):
    made = Starve(trial.world.binary, tmp_path)
    yield made
    made.close()


def ended(worker):
    return not worker.runs()


def settled(worker):
    """Ended, or ready: without its endpoint, when there was no memory for that one."""
    if "http: out of memory; going on without" in worker.text():
        return ended(worker) or "partitions are taken over" in worker.text()
    return ended(worker) or worker.get("/readyz")[0] == 200


def judge_end(worker, number):
    """An end must be one that was meant: a code, and a reason in the log. A signal is not."""
    assert worker.process.returncode in (1, 2), f"call {number}: {worker.process.returncode}\n{worker.text()[-2000:]}"
    assert WHY.search(worker.text()), f"call {number}: no reason\n{worker.text()[-2000:]}"


def some(trial, total):
    """All of them when there is time, else a few."""
    numbers = range(1, total + 1)
    return numbers if minutes() else sorted(trial.random.sample(numbers, min(SAMPLE, total)))


def batch(round_):
    """A bit of everything: rows made, changed and refused, JSON, a duplicate, a dead letter, a bulk command."""
    first = 1 + 3 * round_
    job = 100000 + 10 * round_
    again = escalate(first)
    return [create_ticket(first), create_ticket(first + 1), again, append(first, {"round": round_}),
            transition(first, "OPEN"), create_job(job, checkpoints=2), job_transition(job, "INPROGRESS"),
            command("json.append", {"aggregate": f"jobneed/{job}", "field": "other_info", "key": "k", "value": round_,
                                    "max_length": 20}),
            command("json.apply", {"aggregate": f"jobneed/{job}", "field": "other_info",
                                   "operations": [{"op": "increment", "path": "/n", "by": 2}]}),
            command("ticket.bulk_update", {"ticket_ids": [first], "priority": "HIGH"}),
            escalate(first + 2), command("ticket.escalate", {"ticket_id": "no number"}, key=f"ticket/{first}"),
            again, Message(b"{bad", f"ticket/{first}")]


# ---- memory --------------------------------------------------------------------------------------------------------

@pytest.mark.fault(27)
@pytest.mark.seconds(int(120 + 1200 * (minutes() > 0)))
def test_the_start_runs_out_of_memory(trial, starve):
    """At one allocation each time: it ends and says why, or is ready all the same."""
    worker = trial.world.worker(**starve.environment())
    total, ends = starve.memory.count, 0
    assert total > 50, "starve.c is not in it"
    worker.end()
    for number in some(trial, total):
        starve.memory.fail(number)
        worker.start()
        until(f"allocation {number} failed: it ended or is ready", lambda: settled(worker), 60)
        if ended(worker):
            judge_end(worker, f"{number} of {total}, {starve.where(starve.memory)}")
            ends += 1
        worker.kill()
    starve.memory.spare()
    trial.world.publish(*batch(0))
    worker.start().wait_ready()
    trial.note(allocations=total, ended=ends)
    judge_batches(trial, 1)


def starve_batches(trial, starve, worker):
    """Returns how many allocations one batch needs, and how often the worker ended."""
    worker.kill()
    worker.start().wait_ready()
    starve.memory.fail(EVERY)
    trial.world.publish(*batch(0))
    trial.world.drain()
    total, ends = starve.memory.count, 0
    for round_, number in enumerate(some(trial, total), 1):
        starve.memory.spare()  # where one round needed fewer, the start of the next must not be hit
        worker.kill()
        worker.start().wait_ready()
        starve.memory.fail(number)
        trial.world.publish(*batch(round_))
        until(f"allocation {number} failed: the batch is through, or it ended",
              lambda: ended(worker) or trial.world.is_drained(), 60)
        if ended(worker):
            judge_end(worker, f"{number} of {total}, {starve.where(starve.memory)}")
            ends += 1
            worker.start().wait_ready()
            trial.world.drain()
    starve.memory.spare()
    return total, ends


def judge_batches(trial, count):
    until("the dead letters are there", lambda: len(trial.world.letters.all()) >= count, 60)
    trial.judge(letters=count)
    # Nothing was refused that is not refused in a run with memory enough.
    expected = {"applied": 10 * count, "rejected:not_found": count, "rejected:invalid_data": count}
    assert trial.world.outcomes() == expected


@pytest.mark.fault(27)
@pytest.mark.seconds(int(180 + 2400 * (minutes() > 0)))
def test_a_batch_runs_out_of_memory(trial, starve):
    worker = trial.world.worker(**starve.environment())
    total, ends = starve_batches(trial, starve, worker)
    trial.note(allocations=total, ended=ends)
    judge_batches(trial, 1 + (total if minutes() else SAMPLE))


@pytest.mark.long
@pytest.mark.fault(27)
@pytest.mark.seconds(3600)
def test_libraries_run_out_of_memory_in_a_batch(trial, tmp_path):
    """The same of libpq, jansson and OpenSSL: each allocation of theirs."""
    starve = Starve(trial.world.binary, tmp_path, LIBRARIES)
    worker = trial.world.worker(**starve.environment())
    total, ends = starve_batches(trial, starve, worker)
    starve.close()
    trial.note(allocations=total, ended=ends)
    judge_batches(trial, 1 + total)


@pytest.mark.fault(27)
@pytest.mark.seconds(120)
def test_there_is_no_memory_for_a_while(trial, starve):
    """Every allocation fails while commands come; later there is memory again."""
    worker = trial.world.worker(**starve.environment())
    trial.world.publish(*batch(0))
    trial.world.drain()
    starve.memory.fail(1, EVERY)
    trial.world.publish(*batch(1))
    until("it needed memory", lambda: starve.memory.failed > 0, 30)
    until("it tries again, or ended", lambda: ended(worker) or starve.memory.failed > 20, 60)
    starve.memory.spare()
    if ended(worker):
        judge_end(worker, "all")
        worker.start()
    worker.wait_ready()
    trial.note(failed=starve.memory.failed)
    judge_batches(trial, 2)


# ---- threads and stacks --------------------------------------------------------------------------------------------

@pytest.mark.fault(27)
@pytest.mark.seconds(120)
def test_each_thread_in_turn_cannot_be_started(trial, starve):
    worker = trial.world.worker(**starve.environment())
    total = starve.threads.count
    assert total >= 7
    worker.end()
    for number in range(1, total + 1) if minutes() else sorted(trial.random.sample(range(1, total + 1), 4)):
        starve.threads.fail(number)
        worker.start()
        until(f"without thread {number} it ends, or is ready", lambda: starve.threads.failed and settled(worker), 60)
        if ended(worker):
            judge_end(worker, f"thread {number} of {total}")
            assert "thread" in worker.text()
        else:  # one of a client that looks at rights, and is tried again
            worker.end()
    starve.threads.spare()
    trial.world.publish(*batch(0))
    worker.start().wait_ready()
    judge_batches(trial, 1)


@pytest.mark.fault(27)
@pytest.mark.seconds(120)
def test_a_small_stack_is_enough(trial):
    """Threads do not take the size of theirs from `ulimit -s`; the deepest commands are applied under a small one."""
    worker = trial.world.worker(start=False)
    kib = 1024 if is_sanitized(trial.world.binary) else 128  # its frames are larger; the main thread has only this
    under_limit(worker, f"--stack={kib * 1024}")
    worker.start().wait_ready()
    deep = 1
    for _ in range(13):
        deep = {"k": [deep]}
    more = [append(1, deep) for _ in range(20)]
    trial.world.publish(*batch(0), *more)
    assert {each.outcome for each in trial.world.await_events(more)} == {"applied"}
    until("the dead letter is there", lambda: trial.world.letters.all(), 60)
    trial.judge(letters=1)


# ---- descriptors ---------------------------------------------------------------------------------------------------

def under_limit(worker, limit):
    worker.arguments = [limit, worker.binary, *worker.arguments]
    worker.binary = "/usr/bin/prlimit"


@pytest.mark.fault(27)
@pytest.mark.seconds(60)
def test_too_few_descriptors_are_reported_at_the_start(trial):
    worker = trial.world.worker(start=False)
    under_limit(worker, "--nofile=100")
    worker.start()
    until("it ends", lambda: ended(worker), 30)
    assert worker.process.returncode == 1
    assert "100 open files are allowed (ulimit -n" in worker.text()


@pytest.mark.fault(27)
@pytest.mark.seconds(150)
def test_descriptors_run_out_while_the_worker_runs(trial):
    """No file can be opened any more when all its sessions are ended: it waits and says so; then it goes on."""
    worker = trial.world.worker()
    trial.world.publish(*batch(0))
    trial.world.drain()
    soft, hard = resource.prlimit(worker.pid, resource.RLIMIT_NOFILE)
    # A limit below what is open already lets nothing be opened, whatever is closed meanwhile.
    resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (3, hard))
    trial.world.database.end_sessions()
    until("it says what it lacks", lambda: "Too many open files" in worker.text(), 60)
    until("it is not ready, or cannot even say so", lambda: worker.get("/readyz")[0] != 200, 30)
    trial.world.publish(*batch(1))
    assert worker.runs() and len(descriptors(worker.pid)) > 3
    resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (soft, hard))
    worker.wait_ready(90)
    judge_batches(trial, 2)


@pytest.mark.fault(27)
@pytest.mark.seconds(60)
def test_a_settings_file_that_cannot_be_opened_is_named(trial, tmp_path):
    """Not there, no file, and no right to read it (which root has)."""
    forbidden = tmp_path / "forbidden.conf"
    forbidden.write_text("", encoding="utf-8")
    forbidden.chmod(0)
    cases = [tmp_path / "missing.conf", tmp_path] + ([forbidden] if os.geteuid() else [])
    for path in cases:
        done = trial.world.verb("run", "--config", path)
        assert done.returncode == 1 and str(path) in done.stderr, (path, done)
