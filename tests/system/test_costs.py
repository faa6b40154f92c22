"""harness/costs.py and harness/plots.py: the figures, tables and plots of bench/run cost, from recorded figures."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness import costs
from harness.comparison import Unfit

HARNESS = Path(costs.__file__).parent
PNG = b"\x89PNG\r\n\x1a\n"


def sample(at, events, batches, cpu):
    return {"at": at, "events": events, "batches": batches, "commands": events, "publications": events / 100,
            "cpu": {"worker": cpu, "postgresql": 2 * cpu, "kafka": 0.0, "redis": 0.0}}


RECORDED = [sample(0, 0, 0, 0.0), sample(1, 90, 90, 5.0), sample(2, 200, 100, 6.0), sample(3, 400, 110, 6.1),
            sample(4, 980, 139, 6.4), sample(9, 1000, 140, 9.9)]


def result(asked=1000, rate=1000.0, **more):
    return {"asked": asked, "rate": rate, "missing": 0, "cores": {"worker": 0.5, "postgresql": 0.25, "kafka": 1.0, "redis": 0.0},
            "cpu_ms": {"worker": 500.0, "postgresql": 250.0, "kafka": 1000.0, "redis": 0.0}, "p50_us": 20000, "p99_us": 40000,
            "p999_us": 60000, "batch_mean": 4.0, "batch_median": 3.0, "postgresql_per_s": 250.0, "kafka_per_s": 100.0, **more}


def idle():
    return result(0, 0.0, cpu_ms=None, batch_mean=None, batch_median=None, p50_us=None, p99_us=None, p999_us=None)


# --- one run -----------------------------------------------------------------------------------------------------


def test_the_warm_up_and_the_last_events_do_not_count():
    found = costs.span(RECORDED, 200, 1000)
    assert found["rate"] == pytest.approx((980 - 200) / 2)
    assert found["cores"]["worker"] == pytest.approx((6.4 - 6.0) / 2)
    assert found["cpu_ms"]["postgresql"] == pytest.approx(1e6 * 0.8 / 780)
    assert found["batch_mean"] == pytest.approx(780 / 39)
    assert found["postgresql_per_s"] == pytest.approx(39 / 2)
    assert found["kafka_per_s"] == pytest.approx(7.8 / 2)


def test_the_median_batch_counts_a_step_as_often_as_it_has_batches():
    samples = [{"batches": b, "commands": c} for b, c in ((0, 0), (10, 10), (10, 10), (13, 310))]
    assert costs.batch_median(samples) == 1
    assert costs.batch_median(samples[:1]) is None


@pytest.mark.parametrize("samples, why", [
    ([], "0 of 1,000 events came, 760 are needed"),
    (RECORDED[:4], "400 of 1,000 events came, 760 are needed"),
    (RECORDED[:1] + RECORDED[4:], "there are not two samples"),
    (RECORDED[:4] + RECORDED[5:], "there are not two samples with 70% of them"),
])
def test_samples_without_a_span_are_refused(samples, why):
    with pytest.raises(Unfit, match=why):
        costs.span(samples, 200, 1000)


def test_an_idle_worker_has_cores_and_nothing_per_command():
    found = costs.idle([sample(0, 5, 5, 1.0), sample(10, 5, 5, 1.5)])
    assert (found["rate"], found["cpu_ms"], found["batch_mean"]) == (0, None, None)
    assert found["cores"]["worker"] == pytest.approx(0.05)
    with pytest.raises(Unfit, match="fewer than two samples"):
        costs.idle([])


@pytest.mark.parametrize("run, kept", [
    (result(rate=970.0), True), (result(rate=969.0), False), (result(missing=1), False), (idle(), True),
    (result(costs.DRAIN, 40000.0), True),
])
def test_a_rate_is_kept_up_with_from_97_percent_on_and_with_nothing_missing(run, kept):
    assert costs.kept_up(run) is kept


# --- several -----------------------------------------------------------------------------------------------------


def row(lines, start):
    return next([cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith(start))


def test_the_table_has_medians_and_gaps_where_there_is_no_figure():
    runs = [result(p50_us=value) for value in (10000, 90000, 30000)]
    lines = costs.table({0: [idle()], 1000: runs})
    header = row(lines, "| commands")
    at = dict(zip(header, row(lines, "| 1,000/s")))
    assert (at["p50 ms"], at["cores: all"], at["CPU ms per 1,000: all"]) == ("30.0", "1.750", "1,750.0")
    at_rest = dict(zip(header, row(lines, "| idle")))
    assert (at_rest["p50 ms"], at_rest["batch, mean"], at_rest["cores: worker"]) == ("", "", "0.500")


def test_a_rate_that_was_not_kept_up_with_is_named_with_what_was_reached():
    lines = costs.table({10000: [result(10000, 9990.0), result(10000, 4321.0, missing=7)]})
    assert "| 10,000/s: **not kept up** in 1 of 2 runs: 4,321/s, 7 events missing |" in "\n".join(lines)
    pairs = [{"this": result(10000, 4321.0), "other": result(10000, 10000.0)}]
    assert any("| new at 10,000/s: **not kept up** in 1 of 1 runs: 4,321/s |" in line
               for line in costs.comparison_table({10000: pairs}, {"this": "new", "other": "old"}))


def test_a_backlog_of_the_warm_up_is_named():
    lines = costs.table({1000: [result(rate=1030.0), result(rate=1160.0)]})
    assert "| 1,000/s: **not steady, a backlog of the warm-up** in 1 of 2 runs: 1,160/s |" in "\n".join(lines)


def test_ratios_are_those_of_the_pairs_with_their_spread():
    pairs = [{"this": result(p50_us=1000 * a), "other": result(p50_us=1000 * b)} for a, b in ((90, 100), (190, 200), (33, 30))]
    lines = costs.comparison_table({1000: pairs}, {"this": "new", "other": "old"})
    assert row(lines, "| 1,000/s | p50 ms") == ["1,000/s", "p50 ms", "100.0", "90.0", "0.950", "0.900 to 1.100"]
    assert row(lines, "| 1,000/s | cores: Redis")[2:] == ["0.000", "0.000", "", ""]


def test_an_idle_pair_has_no_latency_row():
    lines = costs.comparison_table({0: [{"this": idle(), "other": idle()}]}, {"this": "new", "other": "old"})
    assert not any("p50" in line for line in lines) and any("cores: worker" in line for line in lines)


# --- options -----------------------------------------------------------------------------------------------------


def test_points_are_rates_and_the_drain():
    assert [costs.point_of(word) for word in ("0", "3000", "drain")] == [0, 3000, costs.DRAIN]


@pytest.mark.parametrize("word", ["-1", "1.5", "fast", "", "1000001"])
def test_another_word_is_refused_by_its_name(word):
    with pytest.raises(Unfit, match=f"^--rates {word}: not a rate"):
        costs.point_of(word)


@pytest.mark.parametrize("points, seconds, pairs, why", [
    ([10, 10], 5, None, "--rates names 10 twice"),
    ([], 2, None, "--seconds 2: at least 3"),
    ([], 5, 2, "--pairs 2: at least 3"),
])
def test_measurements_that_tell_nothing_are_refused(points, seconds, pairs, why):
    with pytest.raises(Unfit, match=f"^{why}$"):
        costs.check(points, seconds, pairs)
    costs.check([10], 3, None)


# --- plots -------------------------------------------------------------------------------------------------------


def draw(kind, data, path):
    return subprocess.run([sys.executable, "-m", "harness.plots", kind, path], cwd=HARNESS.parent, input=json.dumps(data),
                          capture_output=True, text=True, check=False)


def points(*sides):
    return [[0, [{side: idle() for side in sides}]], [1000, [{side: result() for side in sides}] * 3],
            [costs.DRAIN, [{side: result(costs.DRAIN, 40000.0, p50_us=None, p99_us=None, p999_us=None) for side in sides}]]]


@pytest.mark.parametrize("kind, data", [
    ("cost", {"sides": {"this": "new"}, "points": {"exactly_once": points("this")}}),
    ("cost", {"sides": {"this": "new", "other": "old"},
              "points": {name: points("this", "other") for name in ("exactly_once", "at_least_once")}}),
    ("cost", {"sides": {"this": "new"}, "points": {"at_least_once": points("this")[:1]}}),
    ("against", {"title": "new against old", "rows": [
        {"name": "commands/s", "this": 90, "other": 100, "ratio": 0.95, "least": 0.9, "greatest": 1.1}]}),
])
def test_a_plot_is_written(tmp_path, kind, data):
    done = draw(kind, data, tmp_path / "plot.png")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "plot.png").read_bytes().startswith(PNG)


def test_a_plot_without_its_figures_is_not_written(tmp_path):
    assert draw("against", {"title": "new against old"}, tmp_path / "plot.png").returncode != 0
    assert not (tmp_path / "plot.png").exists()
