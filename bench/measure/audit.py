"""The audit's questions on a table of a million rows: how long each takes, and by what it is read."""

import json
import re
import statistics
import time

from .stack import BASELINES, Failed, call

LIMIT_MS = 50
REPEATS = 5
LONG_AGO = ("--since", "1440h", "--until", "1416h")  # one day, two months back

# The four questions of the domain, each at its easiest and at its worst.
QUESTIONS = {
    "aggregate": ("--aggregate", "ticket/4711"),
    "aggregate with one in 50 of all rows": ("--aggregate", "ticket/1"),
    "the same, one day two months ago": ("--aggregate", "ticket/1", *LONG_AGO),
    "the same, 1,000 rows": ("--aggregate", "ticket/1", "--limit", "1000"),
    "operation": ("--operation", "STATUS_CHANGE"),
    "operation, a rare one": ("--operation", "DELETION"),
    "operation, one day two months ago": ("--operation", "HISTORY_APPEND", *LONG_AGO),
    "author": ("--author", "user/77"),
    "author of a fifth of all rows, one day two months ago": ("--author", "user/2", *LONG_AGO),
    "author who never was": ("--author", "user/0"),
    "status change": ("--status", "NEW:OPEN"),
    "status change, one day two months ago": ("--status", "OPEN:RESOLVED", *LONG_AGO),
    "status change from": ("--status-from", "ONHOLD"),
    "status change to": ("--status-to", "CLOSED"),
    "status change to, a rare one": ("--status-to", "CANCELLED"),
    "the newest of all": (),
}


def fill(stack, rows):
    database = stack.fresh_database()
    started = time.monotonic()
    stack.psql(database, "-v", f"rows={rows}", "-f", BASELINES / "audit.sql")
    return database, time.monotonic() - started


def _explain(interlock, env, words):
    text = call([interlock, "audit", "list", *words, "--explain"], env=env)
    times = re.findall(r"^(?:Planning|Execution) Time: ([\d.]+) ms$", text, re.M)
    if len(times) != 2:
        raise Failed(f"no times in the plan:\n{text}")
    return sum(map(float, times)), text


def indexes_of(plan):
    return sorted(set(re.findall(r"(?:using|Bitmap Index Scan on) (audit_\w+)", plan)))


def reads_a_whole_table(plan):
    return re.search(r"Seq Scan on (audit_event|audit_also)", plan) is not None


def questions(stack, interlock, rows):
    """Name to its times. A question that reads a whole table is an error whatever its time."""
    database, fill_s = fill(stack, rows)
    env = stack.environment(database, {})
    results = {}
    for name, words in QUESTIONS.items():
        first_ms, plan = _explain(interlock, env, words)
        if reads_a_whole_table(plan):
            raise Failed(f"{name} reads a whole table:\n{plan}")
        times = [_explain(interlock, env, words)[0] for _ in range(REPEATS)]
        verb_ms, answer = [], ""
        for _ in range(REPEATS):
            started = time.monotonic()
            answer = call([interlock, "audit", "list", *words, "--output", "json"], env=env)
            verb_ms.append(1000 * (time.monotonic() - started))
        results[name] = {"words": words, "rows": len(json.loads(answer)["events"]), "first_ms": first_ms,
                         "ms": statistics.median(times), "worst_ms": max(times), "verb_ms": statistics.median(verb_ms),
                         "indexes": indexes_of(plan), "plan": plan}
    return {"rows": rows, "fill_s": fill_s, "questions": results}
