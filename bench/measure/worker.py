"""The worker under measurement: started, watched by its own metrics, ended."""

import re
import signal
import subprocess
import time
import urllib.request

from . import processes
from .stack import Failed, call

START_S, DRAIN_S, STOP_S = 60, 600, 30


class Topics:
    """Fresh topics and a fresh group for one run."""

    def __init__(self, stack, interlock, database, partitions, delivery):
        self.stack, self.interlock, self.database = stack, interlock, database
        name = f"{database}.{delivery}"
        self.commands, self.audit, self.group = f"{name}.commands", f"{name}.audit", name
        self.settings = {
            "KAFKA_TOPICS": self.commands, "KAFKA_AUDIT_TOPIC": self.audit, "KAFKA_GROUP": self.group,
            "KAFKA_DELIVERY": delivery, "HTTP_LISTEN": f"127.0.0.1:{stack.port_base + 8}", "LOG_LEVEL": "warning",
        }
        call([interlock, "topics", "create", "--partitions", partitions], env=self.environment())

    def environment(self, more=None):
        return self.stack.environment(self.database, {**self.settings, **(more or {})})


class Worker:
    def __init__(self, topics, settings, log):
        self.topics, self.settings, self.log = topics, settings, log

    def __enter__(self):
        self.output = open(self.log, "ab")
        self.process = subprocess.Popen([self.topics.interlock, "run"], env=self.topics.environment(self.settings),
                                        stdout=self.output, stderr=self.output)
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.output.close()

    @property
    def pid(self):
        return self.process.pid

    def metrics(self):
        """The plain ones by name; {} while it does not answer yet."""
        listen = self.topics.settings["HTTP_LISTEN"]
        try:
            with urllib.request.urlopen(f"http://{listen}/metrics", timeout=5) as answer:
                text = answer.read().decode()
        except OSError:
            text = ""
        if self.process.poll() is not None:
            raise Failed(f"the worker ended with {self.process.returncode}; see {self.log}")
        return {name: float(value) for name, value in re.findall(r"^(\w+) ([-+.\de]+)$", text, re.M)}

    def await_metrics(self, condition, seconds, what, pause=0.01):
        deadline = time.monotonic() + seconds
        while True:
            metrics = self.metrics()
            if metrics and condition(metrics):
                return metrics
            if time.monotonic() > deadline:
                raise Failed(f"{what} did not come within {seconds} s; metrics: {metrics}; see {self.log}")
            time.sleep(pause)

    def await_start(self):
        """Until the first message was received."""
        return self.await_metrics(lambda m: m.get("interlock_messages_received_total", 0) > 0, START_S, "a message")

    def await_partitions(self, count):
        return self.await_metrics(lambda m: m.get("interlock_partitions_assigned", 0) >= count, START_S, "partitions")

    def await_drained(self, received, watch=None):
        """`watch` is called with all metrics on the way."""
        def drained(metrics):
            if watch:
                watch(metrics)
            return metrics.get("interlock_messages_received_total", 0) >= received and metrics.get("interlock_inflight", 1) == 0
        return self.await_metrics(
            drained, DRAIN_S, f"the end of {received} messages", pause=0.05)

    def peak_memory_mib(self):
        return processes.peak_memory_mib(self.pid)
