"""The same work by pgbench alone: what a worker on this PostgreSQL could be measured by."""

import re

from . import processes
from .stack import BASELINES, Failed, call

SET_SIZE = 128
CLIENTS = {"single": (8, 16, 32), "piped": (8, 16, 32), "set": (2, 4)}


def _scripts(kind):
    if kind == "set":
        return ["-f", BASELINES / "set.sql"]
    return ["-f", f"{BASELINES / kind}_escalate.sql@1", "-f", f"{BASELINES / kind}_append.sql@1"]


def _run(stack, kind, clients, seconds):
    database = stack.fresh_database()
    meter = processes.Meter({"postgresql": stack.pids["postgresql"]}).start()
    text = call(["pgbench", "-n", "-M", "prepared", "-T", seconds, "-c", clients, "-j", 2, "-D", "n=0",
                 "-D", f"tickets={stack.tickets}", "-D", f"size={SET_SIZE}", *_scripts(kind), stack.url(database)])
    measured = meter.stop()
    rate = float(re.search(r"^tps = ([\d.]+)", text, re.M).group(1)) * (SET_SIZE if kind == "set" else 1)
    if not re.search(r"^number of failed transactions: 0 ", text, re.M) or "aborted" in text:
        raise Failed(text)
    return {"rate": rate, "clients": clients, "others": measured["others"],
            "cpu_ms": {"postgresql": 1e6 * measured["cpu_s"]["postgresql"] / (rate * seconds)}}


def baselines(stack, seconds, say):
    """The best client count of each."""
    best = {}
    for kind, counts in CLIENTS.items():
        for clients in counts:
            result = _run(stack, kind, clients, seconds)
            say(f"  {kind:7} {clients:3} clients: {result['rate']:9,.0f}/s, "
                f"PostgreSQL {result['cpu_ms']['postgresql']:.0f} ms per 1,000")
            if kind not in best or result["rate"] > best[kind]["rate"]:
                best[kind] = result
    return best
