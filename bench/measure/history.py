"""The cost of an append to a ticket's history that is long already."""

import json
import statistics
import tempfile

from . import processes
from .stack import call
from .worker import Topics, Worker

LENGTHS = (0, 1000, 10000, 100000)
TICKET = 1


def _commands(file, count):
    for number in range(count):
        event = {"specversion": "1.0", "id": f"append-{number}", "source": "/bench", "type": "ticket.append_history",
                 "actor": "user/9", "data": {"ticket_id": TICKET, "entry": {
                     "people_id": 9, "who": "user/9", "action": "NOTE", "details": {"text": "seen on site, called back"}}}}
        file.write(json.dumps(event) + "\n")
    file.flush()


def _fill(stack, database, length):
    stack.psql(database, "-c", "INSERT INTO interlock.ticket_history (ticket_id, seq, occurred_at, people_id, who, action,"
               f" details) SELECT {TICKET}, n, now(), 9, 'user/9', 'NOTE', '{{\"text\": \"seen on site, called back\"}}'"
               f" FROM generate_series(1, {length}) n",
               "-c", f"UPDATE interlock.ticket SET history_count = {length} WHERE id = {TICKET}",
               "-c", "VACUUM (ANALYZE) interlock.ticket_history", "-c", "CHECKPOINT")


def append(stack, interlock, length, count, batch_max, log):
    """One length: `count` appends to one ticket, at most `batch_max` in a transaction."""
    database = stack.fresh_database()
    _fill(stack, database, length)
    topics = Topics(stack, interlock, database, 1, "exactly_once")
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        _commands(file, count)
        call([interlock, "publish", file.name], env=topics.environment())
    with Worker(topics, {"WORKER_BATCH_MAX": batch_max}, log) as worker:
        meter = processes.Meter({"worker": worker.pid, **stack.pids}).start()
        metrics = worker.await_drained(count)
        measured = meter.stop()
    there = stack.psql(database, "-c", "SELECT t.history_count, count(*), max(seq) FROM interlock.ticket t JOIN"
                       f" interlock.ticket_history h ON h.ticket_id = t.id WHERE t.id = {TICKET} GROUP BY 1").strip()
    if there != f"{length + count}|{length + count}|{length + count}":
        raise AssertionError(f"{count} appends behind {length}: count, rows, last number are {there}")
    return {"postgresql_ms": 1e6 * measured["cpu_s"]["postgresql"] / count,
            "worker_ms": 1e6 * measured["cpu_s"]["worker"] / count,
            "transaction_us": 1e6 * metrics["interlock_transaction_seconds_total"] / count,
            "others": measured["others"]}


def history(stack, interlock, runs, count, batch_max, log, say):
    """Length to the median of its runs; the lengths take turns, so that a slow minute is nobody's alone."""
    found = {length: [] for length in LENGTHS}
    for run in range(runs):
        for length, results in found.items():
            results.append(append(stack, interlock, length, count, batch_max, log))
            say(f"history of {length:,}, run {run + 1}: {results[-1]['transaction_us']:.1f} us of transaction an append")
    return {length: {name: statistics.median(result[name] for result in results) for name in results[0]}
            for length, results in found.items()}
