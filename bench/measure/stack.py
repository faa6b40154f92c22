"""The private PostgreSQL, Redis and Kafka of a measurement, and fresh databases and topics for each run."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BASELINES = ROOT / "bench" / "baselines"
TEMPLATE = "bench_template"


class Failed(Exception):
    """A step of the measurement did not work; the text says which and why."""


def call(words, env=None, quiet=True, timeout=600, cwd=None):
    """Runs a program; its standard output, or Failed with what it said."""
    try:
        done = subprocess.run([str(w) for w in words], env=env, capture_output=quiet, text=True, timeout=timeout,
                              check=False, cwd=cwd)
    except (OSError, subprocess.TimeoutExpired) as failure:
        raise Failed(f"{words[0]}: {failure}") from failure
    if done.returncode != 0:
        raise Failed(f"{' '.join(str(w) for w in words)}: exit {done.returncode}\n{done.stdout or ''}{done.stderr or ''}")
    return done.stdout or ""


class Stack:
    def __init__(self, folder, port_base, tickets):
        self.folder, self.port_base, self.tickets = folder, port_base, tickets
        self.runs = 0

    def _verb(self, *words):
        return call([ROOT / "deploy" / "stack", *words, "--dir", self.folder])

    def up(self):
        self._verb("up", "--port-base", self.port_base)
        self.env = dict(line.split("=", 1) for line in self._verb("env").splitlines())
        self.env = {name: value.strip("'") for name, value in self.env.items()}
        self.pids = {name: int(Path(self.folder, "run", f"{file}.pid").read_text(encoding="ascii").split()[0])
                     for name, file in (("postgresql", "postgresql"), ("kafka", "kafka"), ("redis", "redis"))}

    def down(self):
        self._verb("down", "--now", "--delete")

    def url(self, database):
        return self.env["DATABASE_URL"].rsplit("/", 1)[0] + "/" + database

    def psql(self, database, *words):
        return call(["psql", "-qXAt", "-v", "ON_ERROR_STOP=1", "-d", self.url(database), *words])

    def prepare(self, interlock, template=TEMPLATE):
        """The database that every run begins with a copy of: migrated, filled, vacuumed."""
        self.psql("postgres", "-c", f"DROP DATABASE IF EXISTS {template}", "-c", f"CREATE DATABASE {template}")
        if interlock:
            call([interlock, "migrate", "up"], env=self.environment(template, {}))
        else:
            files = sorted((ROOT / "schema").glob("*.up.sql"))
            self.psql(template, "-c", "CREATE SCHEMA interlock", *[w for f in files for w in ("-f", f)])
        self.psql(template, "-v", f"tickets={self.tickets}", "-f", BASELINES / "tickets.sql",
                  "-f", BASELINES / "set_function.sql")

    def fresh_database(self, template=TEMPLATE):
        """A copy of the template, the last copy dropped, and a checkpoint: all begin with the same first writes of
        their pages."""
        self.runs += 1
        name = f"bench_{os.getpid()}_{self.runs}"
        old = self.psql("postgres", "-c", "SELECT datname FROM pg_database WHERE datname ~ '^bench_[0-9]+_'")
        for database in old.split():
            self.psql("postgres", "-c", f"DROP DATABASE {database} WITH (FORCE)")
        self.psql("postgres", "-c", f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy", "-c", "CHECKPOINT")
        return name

    def environment(self, database, settings):
        """The environment of a program: the services, and settings by their INTERLOCK_ names."""
        env = {**os.environ, **self.env, "DATABASE_URL": self.url(database)}
        env.update({f"INTERLOCK_{name}": str(value) for name, value in settings.items()})
        return env
