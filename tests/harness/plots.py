"""The plots of bench/run. It runs this with the Python of the tests, which has matplotlib: PLOT FILE <data (JSON)."""

import json
import sys

import matplotlib

matplotlib.use("Agg")  # without a screen
from matplotlib import pyplot  # noqa: E402

from harness import costs  # noqa: E402

SIZE = (12, 9)
LATENCIES = ("p50 ms", "p99 ms", "p99.9 ms")


def _positions(points):
    return range(len(points)), [costs.name_of(point) for point in points]


def _line(axes, runs, figure, label, style):
    """`runs`: point to runs. Where a figure is missing (an idle worker has no latency) the line has a gap."""
    values = [costs.median(found, costs.FIGURES[figure][0]) for found in runs.values()]
    axes.plot(range(len(values)), [float("nan") if v is None else v for v in values], style, label=label, markersize=4)


def cost(data, path):
    """`data`: sides (side to its name), and points: delivery to a list of [point, pairs]. A row of axes a delivery: CPU by
    process, latency."""
    figure, rows = pyplot.subplots(len(data["points"]), 2, figsize=SIZE, squeeze=False)
    for (cores, latency), (delivery, points) in zip(rows, data["points"].items()):
        for side, style in zip(data["sides"], ("o-", "s--")):
            runs = {point: [pair[side] for pair in pairs] for point, pairs in points}
            of = f", {data['sides'][side]}" if len(data["sides"]) > 1 else ""
            for name in (*costs.PROCESSES.values(), "all"):
                _line(cores, runs, f"cores: {name}", name + of, style)
            for name in LATENCIES:
                _line(latency, runs, name, name + of, style)
        for axes, title in ((cores, "cores in use"), (latency, "latency in ms")):
            ticks, names = _positions([point for point, _ in points])
            axes.set_xticks(ticks, names, rotation=30)
            axes.set_title(f"{delivery.replace('_', ' ')}: {title}")
            axes.grid(True, alpha=0.3)
            axes.legend(fontsize="x-small")
        if any(costs.median([pair["this"] for pair in pairs], costs.FIGURES["p50 ms"][0]) for _, pairs in points):
            latency.set_yscale("log")
    _save(figure, path)


def against(data, path):
    """`data`: title, and rows: name, ratio, least, greatest."""
    figure, axes = pyplot.subplots(figsize=(SIZE[0], 1.5 + 0.5 * len(data["rows"])))
    rows = list(reversed(data["rows"]))
    ratios = [row["ratio"] for row in rows]
    spread = [[row["ratio"] - row["least"] for row in rows], [row["greatest"] - row["ratio"] for row in rows]]
    axes.errorbar(ratios, range(len(rows)), xerr=spread, fmt="o", capsize=4)
    axes.axvline(1, color="grey", linewidth=1)
    axes.set_yticks(range(len(rows)), [row["name"] for row in rows])
    axes.set_title(data["title"])
    axes.grid(True, alpha=0.3)
    _save(figure, path)


def _save(figure, path):
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


if __name__ == "__main__":
    {"cost": cost, "against": against}[sys.argv[1]](json.load(sys.stdin), sys.argv[2])
