"""The audit's four questions on a long history, and what a plan says of how they are answered. The tests ask which index
answers them; bench/run measures how long it takes."""

import re
from pathlib import Path

HISTORY = Path(__file__).with_name("audit_history.sql")
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


def indexes_of(plan):
    return sorted(set(re.findall(r"(?:using|Bitmap Index Scan on) (audit_\w+)", plan)))


def reads_a_whole_table(plan):
    return re.search(r"Seq Scan on (audit_event|audit_also)", plan) is not None
