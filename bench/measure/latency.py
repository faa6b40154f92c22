"""From the time a command was meant to leave to its audit event at a read_committed reader, at a fixed rate."""

import json

from . import processes
from .stack import call
from .worker import Topics, Worker

PARTITIONS = 12


def linger_ms(rate):
    """A producer that sends each command by itself costs the broker more than the worker costs it; nobody does at such
    rates, and 5 ms is librdkafka's own default."""
    return 0 if rate <= 2000 else 5


def latency(stack, interlock, programs, rate, seconds, delivery, settings=None, log=None):
    database = stack.fresh_database()
    topics = Topics(stack, interlock, database, PARTITIONS, delivery)
    with Worker(topics, settings or {}, log) as worker:
        worker.await_partitions(PARTITIONS)
        meter = processes.Meter({"worker": worker.pid, **stack.pids}).start()
        text = call([programs / "bench_latency", "--topic", topics.commands, "--audit-topic", topics.audit,
                     "--rate", int(rate), "--seconds", seconds, "--tickets", stack.tickets, "--linger-ms", linger_ms(rate)],
                    env=stack.environment("postgres", {}))
        measured = meter.stop()
        metrics = worker.metrics()
    result = json.loads(text)
    batches = metrics.get("interlock_batches_total", 0)
    result["batch"] = metrics.get("interlock_batch_commands_total", 0) / batches if batches else 0.0
    result["cpu_ms"] = {name: 1e6 * used / max(1, result["count"]) for name, used in measured["cpu_s"].items()}
    result["cores"] = sum(measured["cpu_s"].values()) / measured["seconds"]
    return result
