"""The old system: every change a read, a computation in the program and a write, without a lock, on as many connections
at once."""

import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg2
import psycopg2.extras

from scenarios.description import attendance_uuid

CONNECTIONS = 100
ANSWER_SECONDS = 30


class OldSystem:
    def __init__(self, url):
        self.connections = [self.connect(url) for _ in range(CONNECTIONS)]
        self.threads = ThreadPoolExecutor(CONNECTIONS)

    @staticmethod
    def connect(url):
        connection = psycopg2.connect(url, application_name="old pattern")
        connection.autocommit = True
        return connection

    def close(self):
        self.threads.shutdown()
        for each in self.connections:
            each.close()

    def run(self, scenario, b):
        """Returns how many of them believe that they changed something."""
        count = min(scenario.old.connections, CONNECTIONS)
        barrier = threading.Barrier(count)
        shares = [range(start, scenario.old.connections, count) for start in range(count)]
        done = [self.threads.submit(self.share, connection, barrier, scenario.old, numbers, b)
                for connection, numbers in zip(self.connections, shares)]
        return sum(each.result(ANSWER_SECONDS) for each in done)

    def share(self, connection, barrier, old, numbers, b):
        changed = 0
        with connection.cursor() as cursor:
            barrier.wait(ANSWER_SECONDS)
            for n in numbers:
                changed += any([self.do(cursor, step, n, b) for step in old.steps(n)])
        return changed

    @staticmethod
    def do(cursor, step, n, b):
        parameters = {"b": b, "n": n, "uuid": attendance_uuid(b)}
        try:
            for statement in step.before:
                cursor.execute(statement, parameters)
            cursor.execute(step.read, parameters)
            row = cursor.fetchone()
            for statement in step.after:
                cursor.execute(statement, parameters)
        except psycopg2.errors.LockNotAvailable:
            return False  # "system busy": the old system logged it and forgot the work
        computed = step.compute(row, n)
        if computed is None:
            return False
        values = {name: psycopg2.extras.Json(value) if isinstance(value, dict) else value
                  for name, value in computed.items()}
        try:
            for statement in step.writes:
                cursor.execute(statement, {**parameters, **values})
        except psycopg2.errors.DeadlockDetected:
            return False  # an error that nobody tries again
        return True
