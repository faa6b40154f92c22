"""CPU, latency, batches and transactions at a fixed rate, idle and at a drain."""

import json
import subprocess
import time

from harness import costs
from harness.comparison import Unfit

from . import processes
from .drain import drain
from .latency import PARTITIONS, linger_ms
from .stack import TEMPLATE, Failed
from .worker import Topics, Worker

WARM_UP_S = 2
SAMPLE_S = 0.25  # of /metrics and /proc: a few are a thousandth of a core
COUNTERS = {"events": "interlock_events_published_total", "batches": "interlock_batches_total",
            "commands": "interlock_batch_commands_total", "publications": "interlock_publications_total"}


def _sample(worker, meter):
    metrics = worker.metrics()
    return {"at": time.monotonic(), "cpu": meter.cpu(), **{name: metrics.get(of, 0) for name, of in COUNTERS.items()}}


def _idle(worker, meter, seconds):
    time.sleep(WARM_UP_S)
    before = _sample(worker, meter)
    time.sleep(seconds)
    return costs.idle([before, _sample(worker, meter)])


def _at_rate(worker, meter, words, env, warm, total):
    """The generator's own figures, and those of the samples while it runs."""
    samples = []
    with subprocess.Popen([str(word) for word in words], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as process:
        while process.poll() is None:
            samples.append(_sample(worker, meter))
            time.sleep(SAMPLE_S)
        text, complaint = process.communicate()
    if process.returncode != 0:
        raise Failed(f"{words[0]}: exit {process.returncode}\n{complaint}")
    said = json.loads(text)
    return {**said, **costs.span(samples, warm, total - said["missing"])}


def _of_drain(result):
    """A drain, with the names that the other points have."""
    rate = result["window"]["rate"]
    return {**result, "rate": rate, "cpu_ms": result["window"]["cpu_ms"], "missing": 0,
            "cores": {name: used * rate / 1e6 for name, used in result["window"]["cpu_ms"].items()},
            "batch_mean": result["batch"], "postgresql_per_s": rate / result["batch"],
            "kafka_per_s": rate / result["publication"]}


def measure(stack, interlock, programs, point, delivery, seconds, count, log, template=TEMPLATE):
    """One run at one point (costs.POINTS)."""
    try:
        if point == costs.DRAIN:
            result = _of_drain(drain(stack, interlock, programs, count, delivery=delivery, log=log, template=template,
                                     windowed=True))
            return {**result, "asked": point}
        topics = Topics(stack, interlock, stack.fresh_database(template), PARTITIONS, delivery)
        with Worker(topics, {}, log) as worker:
            worker.await_partitions(PARTITIONS)
            meter = processes.Meter({"worker": worker.pid, **stack.pids}).start()
            if point == costs.IDLE:
                result = {**_idle(worker, meter, seconds), "missing": 0}
            else:
                words = [programs / "bench_latency", "--topic", topics.commands, "--audit-topic", topics.audit,
                         "--rate", point, "--seconds", seconds, "--warm-up", WARM_UP_S, "--tickets", stack.tickets,
                         "--linger-ms", linger_ms(point)]
                result = _at_rate(worker, meter, words, stack.environment("postgres", {}), point * WARM_UP_S,
                                  point * (WARM_UP_S + seconds))
            others = meter.stop()["others"]
        return {**result, "asked": point, "others": others}
    except Unfit as unfit:
        raise Failed(f"{delivery.replace('_', ' ')}, {costs.name_of(point)}: {unfit}") from unfit
