"""Worker processes: started with settings in the environment, watched through /readyz, /metrics and their log."""

import json
import os
import re
import signal
import subprocess
import urllib.error
import urllib.request

from .waiting import until

LISTENS = re.compile(r"http.{0,80}?127\.0\.0\.1:(\d+)", re.IGNORECASE)
SANITIZER = re.compile(r"ERROR: \w+Sanitizer|runtime error:|WARNING: ThreadSanitizer|Assertion .* failed|SUMMARY: ")


class Worker:
    def __init__(self, binary, environment, log, settings_file=None):
        self.binary, self.environment, self.log = binary, environment, log
        self.arguments = ["run"] + (["--config", str(settings_file)] if settings_file else [])
        self.process = None
        self.stopped = False
        self.log_start = 0

    def start(self):
        assert self.process is None or self.process.poll() is not None, "it runs already"
        self.log_start = self.log.stat().st_size if self.log.exists() else 0
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([self.binary, *self.arguments], env=self.environment, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, start_new_session=True)
        self.stopped = False
        return self

    def text(self, whole=False):
        with open(self.log, "rb") as log:
            log.seek(0 if whole else self.log_start)
            return log.read().decode("utf-8", "replace")

    def runs(self):
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self):
        return self.process.pid

    # ---- over HTTP ----

    def port(self):
        found = LISTENS.findall(self.text())
        return int(found[-1]) if found else None

    def get(self, path, timeout=3):
        """(status, body); (0, why) when nobody answers."""
        port = self.port()
        if not port:
            return (0, "no port in the log yet")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=timeout) as answer:
                return (answer.status, answer.read().decode())
        except urllib.error.HTTPError as error:
            return (error.code, error.read().decode())
        except OSError as error:
            return (0, str(error))

    def ready(self):
        assert self.runs(), f"the worker ended with {self.process.returncode}:\n{self.text()[-3000:]}"
        return self.get("/readyz")[0] == 200

    def at_a_fault_point(self):
        return re.search("^fault point .*, time ", self.text(), re.MULTILINE)

    def wait_ready(self, timeout=60, or_at_a_fault_point=False):
        until("the worker is ready",
              lambda: (or_at_a_fault_point and self.at_a_fault_point()) or self.ready(), timeout)
        return self

    def metrics(self, timeout=3):
        """Name (with labels) -> value."""
        status, body = self.get("/metrics", timeout)
        assert status == 200, f"/metrics answered {status}: {body[:200]}"
        numbers = {}
        for line in body.splitlines():
            if line and not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                numbers[name] = float(value)
        return numbers

    def metric(self, name):
        """The sum over its labels."""
        return sum(value for key, value in self.metrics().items() if key.split("{")[0] == name)

    # ---- signals ----

    def signal(self, number):
        os.kill(self.pid, number)

    def kill(self):
        if self.runs():
            self.signal(signal.SIGKILL)
            self.process.wait(20)
        self.stopped = False

    def stop(self):
        """SIGSTOP: it does not end, it sleeps."""
        self.signal(signal.SIGSTOP)
        self.stopped = True

    def cont(self):
        self.signal(signal.SIGCONT)
        self.stopped = False

    def term(self):
        self.signal(signal.SIGTERM)

    def wait(self, timeout=60):
        return self.process.wait(timeout)

    def end(self, timeout=60):
        """Drains and stops; returns the exit code."""
        if not self.runs():
            return self.process.returncode if self.process else None
        if self.stopped:
            self.cont()
        self.term()
        return self.wait(timeout)

    # ---- afterwards ----

    def complaints(self):
        """The report of a sanitizer or of an assertion of ours."""
        return [line for line in self.text(whole=True).splitlines() if SANITIZER.search(line)]

    def rss_kib(self):
        with open(f"/proc/{self.pid}/status", encoding="ascii") as status:
            return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1))


def run_verb(binary, environment, *arguments, stdin=None, timeout=60):
    """One run of the program to its end."""
    return subprocess.run([binary, *[str(each) for each in arguments]], env=environment, input=stdin, timeout=timeout,
                          capture_output=True, text=True, check=False)


def json_lines(text):
    """The output of `--output json`: one document, or one a line."""
    try:
        document = json.loads(text)
        return document if isinstance(document, list) else [document]
    except ValueError:
        return [json.loads(line) for line in text.splitlines() if line.strip()]
