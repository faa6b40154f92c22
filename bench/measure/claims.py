"""The claims of the replaced system about itself, and the same here: updates lost, lock timeouts, what protection costs."""

import copy
import re
import tempfile
from pathlib import Path

from harness import comparison

from . import attacks
from .drain import drain
from .stack import BASELINES, Failed, call
from .worker import Topics, Worker

PARTITIONS = 12
OLD_CLIENTS = 8
OLD_TICKETS = 10

# Without: what PostgreSQL and Redis do for no other reason than protection. Audit and Kafka stay as they are.
WITHOUT = {"PROTECTIONS_INBOX": "false", "PROTECTIONS_ROW_LOCKS": "false", "PROTECTIONS_FENCE": "false",
           "REDIS_ENABLED": "false"}
BATCHES = (1000, 1)


def old_pattern(stack, seconds):
    """Read, compute in the client, write back: what the replaced system did, without a lock, by pgbench."""
    database = stack.fresh_database()
    first = stack.psql(database, "-c", f"SELECT sum(level) FROM interlock.ticket WHERE id <= {OLD_TICKETS}")
    text = call(["pgbench", "-n", "-T", seconds, "-c", OLD_CLIENTS, "-j", 2, "-D", f"tickets={OLD_TICKETS}",
                 "-f", BASELINES / "old_pattern.sql", stack.url(database)])
    done = int(re.search(r"^number of transactions actually processed: (\d+)", text, re.M).group(1))
    last = stack.psql(database, "-c", f"SELECT sum(level) FROM interlock.ticket WHERE id <= {OLD_TICKETS}")
    return {"done": done, "lost": done - (int(last) - int(first))}


def _second(topics, port):
    """The same topics and group, seen by a second process with a port of its own."""
    other = copy.copy(topics)
    other.settings = {**topics.settings, "HTTP_LISTEN": f"127.0.0.1:{port}"}
    return other


def _await_end(workers, count):
    def drained(_metrics):
        both = [worker.metrics() for worker in workers]
        received = sum(m.get("interlock_messages_received_total", 0) for m in both)
        return received >= count and all(m.get("interlock_inflight", 1) == 0 for m in both)
    workers[0].await_metrics(drained, 300, f"the end of {count} commands", pause=0.1)
    return [worker.metrics() for worker in workers]


def attack(stack, interlock, programs, rounds, log):
    """All six attacks, by two processes; what is missing, and how many commands waited for a lock without getting it."""
    database = stack.fresh_database()
    stack.psql(database, *[word for sql in attacks.rows_sql(rounds) for word in ("-c", sql)])
    topics = Topics(stack, interlock, database, PARTITIONS, "exactly_once")
    second = _second(topics, stack.port_base + 9)
    with Worker(topics, {}, log) as one, Worker(second, {}, log) as two:
        for worker in (one, two):
            worker.await_metrics(lambda m: m.get("interlock_partitions_assigned", 0) >= PARTITIONS // 2, 60, "its partitions")
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
            count = attacks.write(file, rounds)
            call([programs / "bench_load", "--topic", topics.commands, "--lines", file.name],
                 env=stack.environment("postgres", {}))
        metrics = _await_end([one, two], count)

    def total(name):
        return int(sum(m.get(name, 0) for m in metrics))
    wrong = {}
    for name, (times, sql) in attacks.JUDGEMENT.items():
        wrong[name] = (2 * rounds * times, int(stack.psql(database, "-c", sql.replace(":rounds", str(rounds)))))
    answered = int(stack.psql(database, "-c", "SELECT count(*) FROM interlock.audit_event"))
    if answered != count:
        raise Failed(f"{count} commands, {answered} answers")
    return {"commands": count, "wrong": wrong, "lost": sum(value for _, value in wrong.values()),
            "timeouts": total("interlock_lock_degraded_total") + total("interlock_parked_total"),
            "refused": total("interlock_lock_refused_total"), "busy": total("interlock_busy_rows_total")}


def cost(stack, interlock, programs, counts, runs, log, say):
    """With and without protection, side by side: batch size to lists of pairs."""
    pairs = {batch: [] for batch in BATCHES}
    for run in range(runs):
        for batch, found in pairs.items():
            pair = {}
            for name in comparison.order(("with", "without"), run):
                pair[name] = drain(stack, interlock, programs, counts[batch], log=log, inbox=name == "with",
                                   settings={"WORKER_BATCH_MAX": batch, **(WITHOUT if name == "without" else {})})
                say(f"cost, batches of {batch}, run {run + 1}, {name}: {pair[name]['rate']:,.0f}/s, "
                    f"{pair[name]['command_us']:.0f} us a command in its lane")
            found.append(pair)
    return pairs


def is_test_build(interlock, stack):
    try:
        call([interlock, "describe", "settings"], env=stack.environment("postgres", WITHOUT))
        return True
    except Failed:
        return False


def protection_cpu(result):
    """CPU ms per 1,000 where the protection works; what Kafka uses is the same, and swings by more than the rest."""
    return sum(result["cpu_ms"][name] for name in ("worker", "postgresql", "redis"))


def ratio(pairs, pick):
    return comparison.ratio(pairs, pick, "with", "without")


def preset_build(root, say):
    """A build in which protections can be switched off; with the same optimisation as the release."""
    say("building (test: as the release, and protections can be switched off)")
    call(["cmake", "--preset", "test"])
    folder = Path(root) / "build" / "test"
    call(["cmake", "--build", folder], timeout=1200)
    return folder
