"""The process itself: standard streams that are closed, signals that mean nothing or an end, variables of Kubernetes."""

import os
import signal
import socket
import subprocess

from harness.commands import create_ticket, escalate
from harness.waiting import until
from harness.worker import Worker


class Blind(Worker):
    """Started without standard input, output and error."""

    def start(self):
        self.process = subprocess.Popen([self.binary, *self.arguments], env=self.environment, start_new_session=True,
                                        preexec_fn=lambda: [os.close(stream) for stream in (0, 1, 2)])  # noqa: PLW1509
        return self

    def port(self):
        return int(self.environment["INTERLOCK_HTTP_LISTEN"].rpartition(":")[2])

    def text(self, whole=False):
        return ""


def test_closed_standard_streams_are_not_what_is_opened_next(world):
    """A line of the log would go to PostgreSQL else."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    worker = Blind(world.binary, world.environment(http_listen=f"127.0.0.1:{port}"), world.log_directory / "blind.log")
    world.workers.append(worker)
    worker.start().wait_ready()
    assert [os.readlink(f"/proc/{worker.pid}/fd/{stream}") for stream in (0, 1, 2)] == ["/dev/null"] * 3
    assert world.ask(create_ticket(1)).outcome == "applied"
    assert worker.end() == 0


def test_a_hang_up_is_a_clean_end(world):
    worker = world.worker()
    world.publish(*[create_ticket(number) for number in range(1, 201)])
    until("it is at work", lambda: world.database.count("inbox") > 0)
    worker.signal(signal.SIGHUP)
    assert worker.wait(40) == 0 and "run: ending" in worker.text()
    worker.start().wait_ready()
    world.drain()
    world.check()


def test_signals_that_mean_nothing_change_nothing(world):
    worker = world.worker()
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGXFSZ, signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF,
                   signal.SIGIO, signal.SIGPIPE):
        worker.signal(number)
        assert world.ask(create_ticket(number)).outcome == "applied", number
    assert worker.ready() and worker.end() == 0


def test_a_service_called_interlock_does_not_stop_a_pod_called_interlock(world):
    links = {"INTERLOCK_PORT": "tcp://10.96.0.7:9464", "INTERLOCK_SERVICE_HOST": "10.96.0.7",
             "INTERLOCK_SERVICE_PORT": "9464", "INTERLOCK_PORT_9464_TCP_ADDR": "10.96.0.7"}
    worker = world.worker(**links)
    assert world.ask(create_ticket(1), escalate(1))[1].outcome == "applied"
    assert "INTERLOCK_PORT: ignored" in worker.text()
    done = world.verb("audit", "list", **links)
    assert done.returncode == 0 and "INTERLOCK_SERVICE_HOST: ignored" in done.stderr
