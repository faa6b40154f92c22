"""Anything, in any order, for a long time; and nothing at all, for a long time."""

import pytest

from soak import ALLOWED, SAMPLES_MIN, SLOPES_SECONDS, Slope, Soak, complaints, goes_on, round_seconds, slopes_of
from trial import minutes

LONG = 60 * minutes()


def test_a_slope_is_seen():
    """The judge itself: noise is flat, a leak of a page a sample is not."""
    noise = [(at, 50000 + 37 * (at * 7919 % 23)) for at in range(0, 1800, 60)]
    assert Slope(noise).is_flat("rss_kib")
    assert not Slope([(at, value + 4 * at) for at, value in noise]).is_flat("rss_kib")
    assert not Slope([(at, 30 + at // 300) for at in range(0, 1800, 60)]).is_flat("descriptors")


def test_a_byte_that_every_command_leaks_is_seen():
    """The judge itself, with the heap of a sound worker in half an hour, in which it applied 5,000 commands: malloc's
    least chunk is 32 bytes."""
    heap = [10247.6, 10251.7, 10256.3, 10258.7, 10268.9, 10273.7, 10277.0, 10277.6, 10279.5, 10282.9, 10284.0, 10286.4,
            10285.7, 10285.7]
    sound = [(134 * place, each) for place, each in enumerate(heap)]
    leaking = [(at, value + at / 1800 * 5000 * 32 / 1024) for at, value in sound]
    assert Slope(sound).is_flat("heap_kib")
    assert not Slope(leaking).is_flat("heap_kib")


def test_the_heap_may_step_once_and_not_climb():
    """The judge itself, with the heap of two sound workers in half an hour: a full batch of a kind that was new came late."""
    one = [11476.3, 11475.5, 11475.2, 11469.3, 11638.6, 11630.9, 11632.2, 11631.2]
    other = [10891.2, 10887.5, 10891.6, 10890.1, 10905.3, 10908.6, 10911.2, 10903.5, 10907.4, 10953.6, 10954.8]
    names = ["heap_kib"]
    for heap in (one, other):
        warm = [heap[0]] * len(heap) + heap  # before them, what counts as warming up
        steps = [(110 * place, {"heap_kib": each}) for place, each in enumerate(warm)]
        assert slopes_of(steps, names)["heap_kib"].is_flat("heap_kib")
        stairs = [(at, {"heap_kib": used["heap_kib"] + 60 * (place // 3)}) for place, (at, used) in enumerate(steps)]
        climbs = [(at, {"heap_kib": used["heap_kib"] + 10 * place}) for place, (at, used) in enumerate(steps)]
        for grows in (stairs, climbs):
            assert not slopes_of(grows, names)["heap_kib"].is_flat("heap_kib")


def test_resident_memory_may_step_once_and_not_climb():
    """The judge itself: a worker's resident memory in a soak in which a backlog of two minutes came late."""
    memory = [17248, 17456, 17624, 17780, 17784, 17820, 17956, 17960, 17984, 17988, 18084, 18180, 18168, 18176, 18184,
              20120, 20308]
    climbs = [(110 * place, each + 400 * place) for place, each in enumerate(memory)]
    stairs = [(110 * place, each + 2000 * (place // 4)) for place, each in enumerate(memory)]
    names = ["rss_kib"]
    assert slopes_of([(110 * place, {"rss_kib": each}) for place, each in enumerate(memory)], names)["rss_kib"].is_flat(
        "rss_kib")
    for grows in (climbs, stairs):
        assert not slopes_of([(at, {"rss_kib": each}) for at, each in grows], names)["rss_kib"].is_flat("rss_kib")


def test_a_long_soak_with_few_samples_is_no_proof():
    """The judge itself: without slopes a short run passes and a long one does not."""
    samples = [(60 * place, dict.fromkeys(ALLOWED, 1000)) for place in range(SAMPLES_MIN)]
    enough = slopes_of(samples, ALLOWED)
    assert set(enough) == set(ALLOWED) and complaints(samples, enough, SLOPES_SECONDS) == []
    few = samples[1:]
    assert slopes_of(few, ALLOWED) == {} and complaints(few, {}, SLOPES_SECONDS - 1) == []
    assert "9 samples in 600 s are too few" in complaints(few, {}, SLOPES_SECONDS)[0]
    leak = [(at, {**used, "descriptors": 1000 + at}) for at, used in samples]
    found, = complaints(leak, slopes_of(leak, ALLOWED), 1)
    assert found.startswith("descriptors: +")


def test_a_soak_whose_rests_were_long_goes_on_until_it_has_its_samples():
    """The judge itself: 8 samples in half an hour were all that four busy loops left."""
    assert goes_on(1799, 1800, SAMPLES_MIN) and not goes_on(1800, 1800, SAMPLES_MIN)
    assert goes_on(1800, 1800, SAMPLES_MIN - 2) and not goes_on(2700, 1800, SAMPLES_MIN - 2)
    assert not goes_on(20, 20, 1), "no slopes are wanted"


@pytest.mark.parametrize("minutes_in_all", [30, 60, 600])
def test_a_third_of_half_an_hour_has_rounds_enough(minutes_in_all):
    """More than are needed, for each is longer than its load."""
    quiet = 60 * minutes_in_all / 3
    assert quiet >= SLOPES_SECONDS and quiet / round_seconds(quiet) >= 2 * SAMPLES_MIN


@pytest.mark.breaks_stack
@pytest.mark.fault(28)
@pytest.mark.seconds(int(LONG * 2 + 300))
def test_random_faults_leave_no_trace_and_no_slope(trial):
    """20 s, which are too few for slopes, or --minutes, which have some from ten on."""
    soak = Soak(trial).run(LONG or 20)
    wrong = soak.note()
    trial.judge(within=120)
    assert wrong == []


@pytest.mark.long
@pytest.mark.fault(28)
@pytest.mark.seconds(int(LONG * 2 + 300))
def test_a_quiet_time_has_no_slope(trial):
    """A third of --minutes, without a fault: half an hour of them is the least that is judged by slopes."""
    soak = Soak(trial, faults=False, victims=0).run(LONG / 3)
    wrong = soak.note()
    trial.judge()
    assert wrong == []
