"""A backlog is loaded, then the worker is started and timed until all of it is applied and published."""

import time

from harness.comparison import Unfit, window
from harness.costs import batch_median

from . import processes
from .stack import TEMPLATE, Failed, call
from .worker import Topics, Worker

MIX_OPTIONS = ("duplicates", "refusals", "undecodable", "hot-keys")


def _load(stack, programs, topics, count, mix):
    words = [programs / "bench_load", "--topic", topics.commands, "--count", count, "--tickets", stack.tickets]
    for name in MIX_OPTIONS:
        if mix.get(name):
            words += [f"--{name}", mix[name]]
    return int(call(words, env=stack.environment("postgres", {})))


def _verify(stack, programs, topics, count, distinct, mix, with_inbox):
    """The measurement counts only if every command got its one row and the offsets moved over all of them."""
    committed = int(call([programs / "bench_load", "--topic", topics.commands, "--committed", topics.group],
                         env=stack.environment("postgres", {})))
    inbox, audit, dead, applied = (int(v) for v in stack.psql(
        topics.database, "-c", "SELECT (SELECT count(*) FROM interlock.inbox), (SELECT count(*) FROM interlock.audit_event), "
        "(SELECT count(*) FROM interlock.dead_letter), "
        "(SELECT count(*) FROM interlock.audit_event WHERE outcome = 'applied')").strip().split("|"))
    if committed < count:
        raise Failed(f"the group has committed {committed} of {count}")
    expected = distinct if mix.get("duplicates") else count - dead
    if inbox != (expected if with_inbox else 0) or audit != expected or (dead and not mix.get("undecodable")):
        raise Failed(f"{count} messages, {distinct} distinct commands: {inbox} inbox rows, {audit} audit rows, {dead} dead letters")
    return {"audit": audit, "dead": dead, "applied": applied}


def _hot_share(stack, database):
    row = stack.psql(database, "-c", "SELECT n_tup_hot_upd, n_tup_upd FROM pg_stat_user_tables WHERE relname = 'ticket'")
    hot, all_updates = (int(v) for v in row.strip().split("|"))
    return hot / all_updates if all_updates else 0.0


def _wal_bytes(stack):
    return int(stack.psql("postgres", "-c", "SELECT pg_current_wal_lsn() - '0/0'::pg_lsn").split(".")[0])


class Samples:
    """On the way: seconds, events whose offsets are committed, and the CPU that each process has used."""

    def __init__(self, meter):
        self.meter, self.taken, self.batches = meter, [], []

    def take(self, metrics):
        self.taken.append((time.monotonic(), metrics.get("interlock_events_published_total", 0), self.meter.cpu()))
        self.batches.append({"batches": metrics.get("interlock_batches_total", 0),
                             "commands": metrics.get("interlock_batch_commands_total", 0)})


def drain(stack, interlock, programs, count, delivery="exactly_once", partitions=12, mix=None, settings=None, log=None,
          inbox=True, template=TEMPLATE, windowed=False):
    """One run. Rates count messages, whatever became of them. `inbox` false: with settings that write no inbox rows.
    `windowed`: also the rate and the CPU of the part of it that comparison.WINDOW names."""
    mix = mix or {}
    database = stack.fresh_database(template)
    topics = Topics(stack, interlock, database, partitions, delivery)
    distinct = _load(stack, programs, topics, count, mix)
    started = time.monotonic()
    with Worker(topics, settings or {}, log) as worker:
        meter = processes.Meter({"worker": worker.pid, **stack.pids})
        before, wal = worker.await_start(), _wal_bytes(stack)
        meter.start()
        samples = Samples(meter)
        metrics = worker.await_drained(count, samples.take if windowed else None)
        measured = meter.stop()
        memory = worker.peak_memory_mib()
        whole = time.monotonic() - started
        wal = _wal_bytes(stack) - wal
        # Per-table statistics reach the shared view a moment after the transactions.
        time.sleep(1)
    rest = count - before.get("interlock_events_published_total", 0)
    batches = metrics.get("interlock_batches_total", 0)
    result = {
        "rate": rest / measured["seconds"], "seconds": measured["seconds"], "whole_s": whole,
        "cpu_ms": {name: 1e6 * used / rest for name, used in measured["cpu_s"].items()},
        "others": measured["others"], "memory_mib": memory, "wal_bytes": wal / rest,
        "batch": metrics.get("interlock_batch_commands_total", 0) / batches if batches else 0.0,
        "publication": metrics.get("interlock_events_published_total", 0) /
        max(1.0, metrics.get("interlock_publications_total", 0)),
        # Of the transactions and the lock scripts, per command: what one command waits for in its lane, when alone.
        "command_us": 1e6 * (metrics.get("interlock_transaction_seconds_total", 0) +
                             metrics.get("interlock_lock_wait_seconds_total", 0)) /
        max(1.0, metrics.get("interlock_batch_commands_total", 0)),
        "hot_updates": _hot_share(stack, database),
        "splits": metrics.get("interlock_batch_splits_total", 0), "retries": metrics.get("interlock_batch_retries_total", 0),
        "degraded": metrics.get("interlock_lock_degraded_total", 0), "busy": metrics.get("interlock_busy_rows_total", 0),
    }
    if windowed:
        try:
            result["window"] = window(samples.taken, count)
            result["batch_median"] = batch_median(samples.batches)
        except Unfit as unfit:
            raise Failed(str(unfit)) from unfit
    result.update(_verify(stack, programs, topics, count, distinct, mix, inbox))
    return result
