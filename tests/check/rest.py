"""I6 and I7: everything is done within a time, and nothing uses more than it may. Both are seen while they are waited
for: `await_rest` asks until all is done or the time is over, and looks at the processes each time."""

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

from .violation import Violation, about_row

PAUSE_SECONDS = 0.2
UNITS = {"rss_mib": "MiB of memory", "descriptors": "descriptors", "threads": "threads", "connections": "connections"}
# The names under which a worker's sessions stand in pg_stat_activity: its lanes, its slot, its cells and its returner.
SESSIONS = ("SELECT count(*) AS count FROM pg_stat_activity WHERE datname = current_database() AND (application_name "
            "LIKE 'lane-%' OR application_name IN ('interlock slot', 'interlock ownership', 'interlock returner'))")
BLOCKING = "SELECT count(*) AS count FROM interlock.parked_command WHERE blocks"


@dataclass
class Usage:
    """The most that was seen. pid None: of all workers together."""

    pid: object
    peak: dict
    gone: bool = False

    def see(self, found):
        for name, value in found.items():
            self.peak[name] = max(self.peak.get(name, 0), value)


def of_process(pid):
    """Memory as the kernel remembers its highest."""
    process = Path(f"/proc/{pid}")
    peak_kib = re.search(r"VmHWM:\s+(\d+)", (process / "status").read_text(encoding="ascii"))
    return {"rss_mib": int(peak_kib.group(1)) / 1024, "descriptors": len(os.listdir(process / "fd")),
            "threads": len(os.listdir(process / "task"))}


class Observer:
    """Looks at processes and at their sessions in PostgreSQL."""

    def __init__(self, pids, ask):
        self.processes, self.sessions, self.ask = [Usage(pid, {}) for pid in pids], Usage(None, {}), ask

    def look(self):
        for process in self.processes:
            try:
                process.see(of_process(process.pid))
            except (OSError, AttributeError):
                process.gone = True
        self.sessions.see({"connections": self.ask(SESSIONS)})

    def usage(self):
        return self.processes + [self.sessions]


def await_rest(is_at_rest, within, look=lambda: None):
    """Seconds until it was, or None."""
    began = time.monotonic()
    while True:
        look()
        if is_at_rest():
            return time.monotonic() - began
        if time.monotonic() - began > within:
            return None
        time.sleep(PAUSE_SECONDS)


# ---- I6 ------------------------------------------------------------------------------------------------------

def alive(evidence, commands, options):
    if options.within is None:
        return
    waiting = {}
    for command in commands:
        place = (command.record.topic, command.record.partition)
        if command.record.offset >= max(evidence.committed.get(place, 0), 0):
            best = waiting.get(place)
            waiting[place] = command if best is None or command.record.offset < best.record.offset else best
    for place, end in evidence.ends.items():
        stands = max(evidence.committed.get(place, 0), 0)
        if stands < end:
            first = waiting.get(place)
            told = (first.identity, first.record.position, first.aggregate_key, first.record.at) if first else \
                (None, (*place, stands))
            yield Violation("I6", f"after {options.within:g} s {place[0]}/{place[1]} stands at {stands} of {end}",
                            *told)
    for row in evidence.parked:
        if row["blocks"]:
            yield about_row("I6", f"after {options.within:g} s a command is still parked, due {row['due_at']}", row)


# ---- I7 ------------------------------------------------------------------------------------------------------

def bounded(evidence, options):
    for usage in evidence.usage:
        whose = f"process {usage.pid}" if usage.pid is not None else "the group"
        if usage.gone:
            yield Violation("I7", f"{whose} is not there: nobody can tell what it used")
        for name, cap in (options.caps or {}).items():
            if cap is not None and usage.peak.get(name, 0) > cap:
                yield Violation("I7", f"{whose} used {usage.peak[name]:g} {UNITS[name]}, {cap:g} are allowed")
