"""Numbers into text: lines for the terminal, tables for bench/README.md."""

import datetime
import os
import platform
import re
import statistics
import subprocess

from harness import comparison, costs

from .stack import ROOT, call

README = ROOT / "bench" / "README.md"
BEGIN, END = "<!-- results -->", "<!-- end of results -->"


def spread(values, form="{:,.0f}"):
    """The median, and how far the runs lie apart."""
    middle = statistics.median(values)
    if len(values) == 1 or not middle:
        return form.format(middle)
    return f"{form.format(middle)} ({form.format(min(values))} to {form.format(max(values))})"


def total_cpu(result):
    return sum(result["cpu_ms"].values())


def drain_line(result):
    cpu = " / ".join(f"{result['cpu_ms'][name]:.1f}" for name in ("worker", "postgresql", "kafka", "redis"))
    return (f"{result['rate']:9,.0f}/s; batch {result['batch']:.0f}, publication {result['publication']:.0f}; "
            f"CPU ms per 1,000: {cpu} = {total_cpu(result):.1f}; peak {result['memory_mib']:.0f} MiB; "
            f"WAL {result['wal_bytes']:.0f} B; others used {result['others']:.0%} of the machine")


def latency_line(result):
    values = " / ".join(f"{result[name] / 1000:.1f}" for name in ("p50_us", "p90_us", "p99_us", "p999_us", "max_us"))
    missing = f"; MISSING {result['missing']}" if result["missing"] else ""
    return (f"p50 / p90 / p99 / p99.9 / max ms: {values}; batch {result['batch']:.0f}; "
            f"{result['cores']:.2f} cores{missing}")


def drain_table(drains):
    lines = ["| delivery | commands/s | batch | CPU ms per 1,000: worker | PostgreSQL | Kafka | Redis | all | peak MiB | WAL B | HOT |",
             "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"]
    for delivery, runs in drains.items():
        def median(pick, form="{:.1f}"):
            return form.format(statistics.median(pick(r) for r in runs))
        lines.append("| " + " | ".join([
            delivery.replace("_", " "), spread([r["rate"] for r in runs]), median(lambda r: r["batch"], "{:.0f}"),
            *[median(lambda r, n=n: r["cpu_ms"][n]) for n in ("worker", "postgresql", "kafka", "redis")],
            median(total_cpu), median(lambda r: r["memory_mib"], "{:.0f}"), median(lambda r: r["wal_bytes"], "{:.0f}"),
            median(lambda r: r["hot_updates"], "{:.0%}")]) + " |")
    return lines


def baseline_table(runs, rate):
    names = {"single": "single (R1): one command a transaction, statement after statement",
             "piped": "piped (R2): the same in one pipelined round trip",
             "set": "set (R3): a set-based batch of 128, no Kafka, no network"}
    lines = ["| baseline | commands/s | clients | PostgreSQL CPU ms per 1,000 | Interlock to it |", "|---|---|--:|--:|--:|"]
    for kind, name in names.items():
        rates = [run[kind]["rate"] for run in runs]
        lines.append(f"| {name} | {spread(rates)} | {runs[-1][kind]['clients']} | "
                     f"{statistics.median(run[kind]['cpu_ms']['postgresql'] for run in runs):.0f} | "
                     + (f"{rate / statistics.median(rates):.1f} x |" if rate else "|"))
    return lines


def latency_table(results):
    lines = ["| delivery | rate | p50 ms | p90 | p99 | p99.9 | max | batch | cores used |", "|---|--:|--:|--:|--:|--:|--:|--:|--:|"]
    for result in results:
        values = " | ".join(f"{result[n] / 1000:.1f}" for n in ("p50_us", "p90_us", "p99_us", "p999_us", "max_us"))
        lines.append(f"| {result['delivery'].replace('_', ' ')} | {result['rate']:,} ({result['of']}) | {values} | "
                     f"{result['batch']:.0f} | {result['cores']:.2f} |")
    return lines


def growth_table(results, base):
    lines = ["| stream | commands/s | of the base | batch | all CPU ms per 1,000 | peak MiB |", "|---|--:|--:|--:|--:|--:|"]
    for name, r in results.items():
        share = f"{r['rate'] / base:.0%}" if base else ""
        lines.append(f"| {name} | {r['rate']:,.0f} | {share} | {r['batch']:.0f} | {total_cpu(r):.1f} | {r['memory_mib']:.0f} |")
    return lines


def audit_line(name, result):
    return (f"{name}: {result['ms']:.1f} ms (first {result['first_ms']:.1f}, slowest {result['worst_ms']:.1f}), "
            f"{result['rows']} rows, the verb {result['verb_ms']:.0f} ms")


def audit_table(measured, limit_ms):
    lines = [f"{measured['rows']:,} audit rows, filled in {measured['fill_s']:.0f} s. Planning and execution in PostgreSQL, "
             f"median of five, none may pass {limit_ms} ms; *verb*: the whole program, process and connection included. "
             "*Read by* is from the plan that `--plan` prints.", "",
             "| question | options | rows | ms | slowest | first | verb | read by |", "|---|---|--:|--:|--:|--:|--:|---|"]
    for name, r in measured["questions"].items():
        lines.append(f"| {name} | `{' '.join(r['words']) or '(none)'}` | {r['rows']:,} | {r['ms']:.1f} | {r['worst_ms']:.1f} | "
                     f"{r['first_ms']:.1f} | {r['verb_ms']:.0f} | {', '.join(r['indexes'])} |")
    return lines


def history_table(by_batch):
    """The cost of an append after histories of different lengths; `by_batch`: batch size to length to result."""
    lines = ["| entries before | appends a transaction | transaction us an append | of the first | PostgreSQL CPU ms per 1,000 | "
             "worker CPU ms per 1,000 |", "|--:|--:|--:|--:|--:|--:|"]
    for batch, lengths in by_batch.items():
        base = next(iter(lengths.values()))["transaction_us"]
        for length, r in lengths.items():
            lines.append(f"| {length:,} | up to {batch:,} | {r['transaction_us']:.1f} | {r['transaction_us'] / base:.0%} | "
                         f"{r['postgresql_ms']:.1f} | {r['worker_ms']:.1f} |")
    return lines


def claims_table(old, attack, pairs, ratio, cpu):
    """The claims of the replaced system, the old pattern here, and Interlock."""
    share = attack["timeouts"] / attack["commands"]
    lines = ["| claim | the old system said | the old pattern here | Interlock |", "|---|---|---|---|",
             f"| updates lost | 40 to 50 % | {old['lost'] / old['done']:.0%} of {old['done']:,} escalations of 10 tickets, "
             f"8 connections | {attack['lost']} of {attack['commands']:,} commands of the six attacks, two processes |",
             f"| lock timeouts under the six attacks | below 0.01 % | | {attack['timeouts']} of {attack['commands']:,} = "
             f"{share:.4%} ({attack['refused']:,} locks found taken, {attack['busy']:,} rows found busy, all waited for) |"]
    for batch, said in ((1000, ""), (1, "+40 %, +5 ms")):
        found = pairs[batch]

        def median(name, pick, found=found):
            return statistics.median(pick(pair[name]) for pair in found)
        extra_us = median("with", lambda r: r["command_us"]) - median("without", lambda r: r["command_us"])
        lines.append(
            f"| cost of all protection, {'batches of up to 1,000' if batch > 1 else 'one command a transaction'} | {said} | | "
            f"{ratio(found, cpu) - 1:+.0%} CPU of worker, PostgreSQL and Redis ({median('with', cpu):.1f} against "
            f"{median('without', cpu):.1f} ms per 1,000), {ratio(found, lambda r: r['command_us']) - 1:+.0%} time in the lane "
            f"({extra_us / 1000:+.3f} ms a command), rate {ratio(found, lambda r: r['rate']):.2f} x |")
    lines += ["", "| attack | commands | lost or doubled |", "|---|--:|--:|"]
    lines += [f"| {name} | {sent:,} | {wrong} |" for name, (sent, wrong) in attack["wrong"].items()]
    return lines


def against_rows(pairs):
    """Name to what comparison.compared finds in it."""
    picks = {"commands/s": lambda r: r["window"]["rate"]}
    for process, name in (("worker", "worker"), ("postgresql", "PostgreSQL"), ("kafka", "Kafka"), ("redis", "Redis")):
        picks[f"CPU ms per 1,000: {name}"] = lambda r, process=process: r["window"]["cpu_ms"][process]
    picks["all"] = lambda r: sum(r["window"]["cpu_ms"].values())
    picks["WAL bytes a command"] = lambda r: r["wal_bytes"]
    picks["commands a batch"] = lambda r: r["batch"]
    picks["events a publication"] = lambda r: r["publication"]
    return {name: comparison.compared(pairs, pick, "this", "other") for name, pick in picks.items()}


def against_table(pairs, names):
    """`names`: of this and of the other revision. Ratios are those of the pairs: their median, and how far they lie apart."""
    lines = [f"{len(pairs)} pairs of {pairs[0]['this']['audit']:,} commands, exactly once, in turn on one stack, after a pair "
             f"that is thrown away; rate and CPU between {comparison.WINDOW[0]:.0%} and {comparison.WINDOW[1]:.0%} of the "
             "committed offsets. Medians; the ratio is the median of those of the pairs, with the least and the greatest. "
             "Others used " + spread([pair[side]["others"] for pair in pairs for side in ("this", "other")], "{:.0%}") +
             " of the machine.", "",
             f"| | {names['other']} | {names['this']} | ratio | least to greatest |", "|---|--:|--:|--:|---|"]
    for name, found in against_rows(pairs).items():
        form = "{:,.1f}" if "CPU" in name or name == "all" else "{:,.0f}"
        lines.append(f"| {name} | {form.format(found['other'])} | {form.format(found['this'])} | {found['ratio']:.3f} | "
                     f"{found['least']:.3f} to {found['greatest']:.3f} |")
    return lines


def cost_line(result):
    form = {name: (pick(result), text) for name, (pick, text) in costs.FIGURES.items()}
    return "; ".join(f"{name} {text.format(value)}" for name, (value, text) in form.items() if value is not None)


def cost_section(measured, names, seconds):
    """`measured`: delivery to point to pairs of runs; `names`: of the sides, one without another revision."""
    runs = [run for points in measured.values() for pairs in points.values() for pair in pairs for run in pair.values()]
    pairs = next(pairs for points in measured.values() for pairs in points.values())
    lines = [f"Each rate for {seconds} s, after a warm-up that is thrown away; {len(pairs)} "
             + ("pairs, in turn on one stack" if len(names) > 1 else "runs of each" if len(pairs) > 1 else "run of each")
             + ". Others used " + spread([run["others"] for run in runs], "{:.0%}") + " of the machine."]
    for delivery, points in measured.items():
        lines += ["", f"#### {delivery.replace('_', ' ').capitalize()}", ""]
        lines += (costs.comparison_table(points, names) if len(names) > 1 else
                  costs.table({point: [pair["this"] for pair in pairs] for point, pairs in points.items()}))
    return lines


def machine():
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        model = re.search(r"^model name\s*: (.*)$", file.read(), re.M)
    with open("/proc/meminfo", encoding="ascii") as file:
        memory = int(file.readline().split()[1]) // 1024 // 1024
    versions = (ROOT / "deploy" / "versions").read_text(encoding="utf-8")
    kafka = re.search(r"^KAFKA_VERSION=(.*)$", versions, re.M).group(1)
    postgresql = call(["psql", "--version"]).split()[2]
    redis = re.search(r"v=([\d.]+)", call(["redis-server", "--version"])).group(1)
    java = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr.split('"')[1]
    return (f"{os.cpu_count()} cores ({model.group(1) if model else platform.machine()}), {memory} GiB, Linux "
            f"{platform.release()}; PostgreSQL {postgresql}, Redis {redis}, Kafka {kafka} on Java {java}; "
            f"everything, the clients included, on these cores, over loopback")


def write_readme(sections):
    """`sections`: title to lines. Only what was measured now is replaced."""
    text = README.read_text(encoding="utf-8")
    head, rest = text.split(BEGIN, 1)
    old, tail = rest.split(END, 1)
    kept = dict(re.findall(r"^### (.*?)\n\n(.*?)(?=^### |\Z)", old.strip() + "\n", re.M | re.S))
    stamp = f"Measured {datetime.date.today().isoformat()} on {machine()}."
    for title, lines in sections.items():
        kept[title] = stamp + "\n\n" + "\n".join(lines) + "\n"
    body = "\n".join(f"### {title}\n\n{content.strip()}\n" for title, content in sorted(kept.items()))
    README.write_text(f"{head}{BEGIN}\n\n{body}\n{END}{tail}", encoding="utf-8")
