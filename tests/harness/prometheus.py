"""The text that Prometheus reads, judged by the rules of `promtool check metrics` that can be broken here."""

import re
import subprocess

from .stack import ROOT

SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*",?)*\})? (\S+)')
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count")}
ABBREVIATED = {"s", "ms", "us", "ns", "sec", "b", "kb", "mb", "gb", "m", "h", "d"}


def faults_of_name(name, kind):
    if kind == "counter" and not name.endswith("_total"):
        yield f"{name}: a counter ends with _total"
    if kind != "counter" and name.endswith("_total"):
        yield f"{name}: only a counter ends with _total"
    if kind != "histogram" and name.endswith(("_count", "_sum", "_bucket")):
        yield f"{name}: only a histogram ends so"
    if set(name.split("_")) & ABBREVIATED:
        yield f"{name}: an abbreviated unit"
    if kind in name.split("_"):
        yield f"{name}: the type is a part of the name"
    if name != name.lower() or ":" in name:
        yield f"{name}: lower case letters, digits and _"


def faults(text):
    """The rules that the text breaks, a line each."""
    kinds, helped, seen, current = {}, set(), set(), None
    for line in text.splitlines():
        if line.startswith("# HELP "):
            _, _, name, says = line.split(" ", 3)
            if name in helped or not says:
                yield f"{name}: a second help text, or an empty one"
            helped.add(name)
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            if name in kinds:
                yield f"{name}: its series do not stand together"
            kinds[name], current = kind, name
            yield from faults_of_name(name, kind)
        else:
            sample = SAMPLE.fullmatch(line)
            if not sample:
                yield f"not a sample: {line}"
                continue
            name, labels, value = sample.groups()
            if name not in [current, *(f"{current}{suffix}" for suffix in SUFFIXES.get(kinds.get(current), ()))]:
                yield f"{name}: not behind its own head"
            if (name, labels) in seen:
                yield f"{name}{labels or ''}: twice"
            seen.add((name, labels))
            float(value)
    yield from (f"{name}: no help text" for name in kinds.keys() - helped)


def promtool():
    """Its path, or None and why not."""
    done = subprocess.run([ROOT / "tests/promtool/install"], capture_output=True, text=True, timeout=120, check=False)
    return (done.stdout.strip(), None) if done.returncode == 0 else (None, done.stderr.strip())
