"""The audit's questions on a table of a million rows: how long each takes, and by what it is read."""

import json
import re
import statistics
import time

from harness.audit_questions import HISTORY, QUESTIONS, indexes_of, reads_a_whole_table

from .stack import Failed, call

LIMIT_MS = 50
REPEATS = 5


def fill(stack, rows):
    database = stack.fresh_database()
    started = time.monotonic()
    stack.psql(database, "-v", f"rows={rows}", "-f", HISTORY)
    return database, time.monotonic() - started


def _explain(interlock, env, words):
    text = call([interlock, "audit", "list", *words, "--plan"], env=env)
    times = re.findall(r"^(?:Planning|Execution) Time: ([\d.]+) ms$", text, re.M)
    if len(times) != 2:
        raise Failed(f"no times in the plan:\n{text}")
    return sum(map(float, times)), text


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
