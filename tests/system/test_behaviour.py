"""Behaviour profiles on the real path: what is learned, kept exactly over PostgreSQL and back, and lost by no race."""

import itertools
import math

import pytest

from harness.commands import command

users = itertools.count(1000)


@pytest.fixture
def user():
    return next(users)


@pytest.fixture(scope="module", autouse=True)
def checked(shared):
    yield
    shared.drain()
    # I2 replays by tests/check/model.py, which has no profiles: tests/property compares these.
    assert [str(each) for each in shared.violations() if each.invariant != "I2"] == []


def observe(user, probability, record=1, attributes=None, **more):
    data = {"user_id": user, "attendance_uuid": f"00000000-0000-4000-8000-{record:012d}",
            "fraud_probability": probability, "face": {"verified": True, "confidence": 0.9}, **more}
    return command("behaviour.update_profile", data, **(attributes or {}))


def profile(world, user, columns):
    return world.database.row(f"SELECT {columns} FROM interlock.behaviour_profile WHERE id = %s", user)


def outcome(event):
    return (event.outcome, event.reason)


def test_the_first_observation_makes_the_profile(shared, user):
    told = shared.ask(observe(user, 0, attributes={"actor": "user/9"}))
    assert outcome(told) == ("applied", None) and told.subject == told.key == f"behaviour/{user}"
    assert told.data["operation"] == "CREATION" and told.data["version"] == {"from": 0, "to": 1}
    assert profile(shared, user, "version, fraud_risk_score, regularity, arrival_average, anomaly_history, arrivals, "
                                 "frequent_locations, modified_by") == (1, 0, 0.5, None, [], {}, {}, "user/9")


def test_an_expected_version_of_0_creates_once(shared, user):
    told = shared.ask(*[observe(user, 0.5, attributes={"expectedversion": 0}) for _ in range(2)])
    assert [outcome(each) for each in told] == [("applied", None), ("rejected", "stale_object")]
    assert profile(shared, user, "version") == (1,)


def test_risk_average_and_regularity_are_kept_to_the_last_bit(shared, user):
    risk, average, minutes = 0.0, None, []
    for step in range(12):
        probability, minute = (step * 37 % 100) / 100, 500 + step * step % 47
        told = shared.ask(observe(user, probability, step, punch_in=f"2026-11-{step + 1:02d}T"
                                  f"{minute // 60:02d}:{minute % 60:02d}:30Z"))
        assert outcome(told) == ("applied", None)
        minutes.append(minute)
        risk = min(1.0, 0.3 * probability + 0.7 * risk) if probability > 0 else risk
        average = 0.9 * average + 0.1 * minute if average is not None else minute
    mean = sum(minutes) / len(minutes)
    deviation = math.sqrt(sum((minute - mean) ** 2 for minute in minutes) / len(minutes))
    found = profile(shared, user, "fraud_risk_score, arrival_average, regularity")
    assert found[:2] == (risk, average)
    assert found[2] == pytest.approx(1 - deviation / 120, abs=1e-12)
    assert len(profile(shared, user, "arrivals")[0]) == 12


def test_observations_of_many_at_once_all_count(shared, user):
    """Race 8: the old code read the profile, computed, wrote. 200 commands, on partitions of the wrong keys."""
    messages = [observe(user, 0.5, step, anomaly={"n": step}, punch_in="2026-11-24T09:00:00Z",
                        location={"latitude": 12.9716, "longitude": 77.5946}).at(step % shared.partitions)
                for step in range(200)]
    told = shared.ask(*messages)
    assert all(outcome(each) == ("applied", None) for each in told)
    assert sorted(each.data["version"]["to"] for each in told) == list(range(1, 201))
    version, events, locations, regularity, risk, history = profile(
        shared, user, "version, event_count, frequent_locations, regularity, fraud_risk_score, anomaly_history")
    assert (version, events, locations, regularity) == (200, 200, {"12.971600,77.594600": 200}, 1)
    assert risk == pytest.approx(0.5) and len(history) == 50
    last = sorted(told, key=lambda each: each.data["version"]["to"])[-50:]
    position = {message.identity: step for step, message in enumerate(messages)}
    assert history == [{"n": position[each.identity]} for each in last]
    assert shared.database.row("SELECT count(*), count(DISTINCT attendance_id), min(seq), max(seq) FROM "
                               "interlock.behavioural_event WHERE user_id = %s", user) == (200, 200, 1, 200)


def test_an_observation_delivered_again_counts_once(shared, user):
    message = observe(user, 1, location={"latitude": 1, "longitude": 2})
    shared.ask(message)
    shared.publish(message, message)
    shared.ask(observe(user, 0))
    assert profile(shared, user, "version, fraud_risk_score, frequent_locations") == (2, 0.3, {"1.000000,2.000000": 1})


@pytest.mark.parametrize("field, value", [
    ("anomaly_history", [{"kind": "late"}]),
    ("arrivals", {"00000000-0000-4000-8000-000000000009": "2026-11-24T09:00:00.000000Z"}),
    ("frequent_locations", {"1.000000,2.000000": 41}),
])
def test_the_json_fields_may_be_replaced_and_are_gone_on_with(shared, user, field, value):
    shared.ask(observe(user, 0))
    told = shared.ask(command("json.replace", {"aggregate": f"behaviour/{user}", "field": field, "value": value}))
    assert outcome(told) == ("applied", None)
    assert profile(shared, user, field) == (value,)
    shared.ask(observe(user, 0, anomaly="odd", punch_in="2026-11-24T10:00:00Z",
                       location={"latitude": 1, "longitude": 2}))
    found = profile(shared, user, field)[0]
    assert found == {"anomaly_history": [{"kind": "late"}, "odd"],
                     "arrivals": {**(value if field == "arrivals" else {}),
                                  "00000000-0000-4000-8000-000000000001": "2026-11-24T10:00:00.000000Z"},
                     "frequent_locations": {"1.000000,2.000000": 42}}[field]


@pytest.mark.parametrize("column, value", [("fraud_risk_score", 1.01), ("fraud_risk_score", "NaN"),
                                           ("regularity", -0.1), ("arrival_average", 1440),
                                           ("arrival_average", "Infinity")])
def test_the_schema_refuses_what_cannot_be(shared, user, column, value):
    shared.ask(observe(user, 0))
    with pytest.raises(Exception, match="check constraint"):
        shared.database.execute(f"UPDATE interlock.behaviour_profile SET {column} = %s WHERE id = %s", value, user)


def test_a_refused_observation_leaves_no_trace(shared, user):
    for bad in ({"fraud_probability": 2}, {"punch_in": "now"}, {"location": {"latitude": 91, "longitude": 0}},
                {"face": {"verified": 1, "confidence": 0}}, {"anomaly": "x" * 1100}):
        told = shared.ask(observe(user, **{"probability": 0.5, **bad}) if "fraud_probability" not in bad
                          else observe(user, bad["fraud_probability"]))
        assert outcome(told) == ("rejected", "invalid_data")
        assert told.data["metadata"]["parameter"].startswith("/" + next(iter(bad)))
    assert profile(shared, user, "version") is None
    assert shared.database.value("SELECT count(*) FROM interlock.behavioural_event WHERE user_id = %s", user) == 0
