"""The verbs that speak with Kafka: topics, publish, audit verify."""

import contextlib
import json
import re
import socket

import pytest
from confluent_kafka.admin import NewTopic

from harness.commands import create_ticket, escalate, event
from harness.proxy import Proxy, TopicsLate
from harness.waiting import until


def ok(done):
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_topics_are_planned_and_created(world):
    settings = {"kafka_topics": f"{world.name}.a,{world.name}.b", "kafka_audit_topic": f"{world.name}.c"}
    wanted = {f"{world.name}.{name}" for name in ("a", "b", "c", "a.dlq", "b.dlq")}
    plan = world.verb("topics", "plan", "--output", "json", **settings)
    assert plan.returncode == 3 and {each["topic"] for each in json.loads(plan.stdout)} == wanted
    assert not wanted & set(world.kafka.admin.list_topics(timeout=10).topics), "a plan creates nothing"
    ok(world.verb("topics", "create", "--partitions", "3", **settings))
    assert len(world.kafka.partitions(f"{world.name}.a")) == 3
    assert world.kafka.topic_settings(f"{world.name}.a")["cleanup.policy"] == "delete"
    days = 24 * 60 * 60 * 1000
    assert int(world.kafka.topic_settings(f"{world.name}.a.dlq")["retention.ms"]) == 30 * days
    report = json.loads(world.verb("check", "--output", "json", **settings).stdout)
    says = {row["says"].split(":")[0]: row for row in report["checks"] if row["check"] == "dead letters"}
    assert says[f"{world.name}.a.dlq"]["result"] == "ok" and "kept 720 h" in says[f"{world.name}.a.dlq"]["says"]
    ok(world.verb("topics", "plan", **settings))
    ok(world.verb("topics", "create", "--partitions", "5", **settings))
    assert len(world.kafka.partitions(f"{world.name}.a")) == 3, "an existing topic stays as it is"


def test_check_says_that_letters_whose_bytes_go_early_cannot_be_redriven(world):
    name = world.name + ".short"
    made = [NewTopic(name, 1, 1), NewTopic(name + ".dlq", 1, 1, config={"retention.ms": "604800000"})]
    for future in world.kafka.admin.create_topics(made).values():
        future.result(30)
    report = json.loads(world.verb("check", "--output", "json", kafka_topics=name).stdout)
    row = next(row for row in report["checks"] if row["check"] == "dead letters")
    assert row["result"] == "note" and "kept 168 h: after that a letter is a row without bytes" in row["says"]


@pytest.mark.parametrize("answers", [3, 1000])
def test_create_waits_for_what_it_made_and_says_what_is_in_the_way(world, answers):
    """As a broker that has just started: it has made a topic, and does not know it."""
    late = TopicsLate(f"{world.name}.a", answers)
    with contextlib.closing(Proxy(world.stack.bootstrap, late)) as proxy:
        done = world.verb("topics", "create", kafka_topics=f"{world.name}.a", KAFKA_BOOTSTRAP=proxy.address)
    assert late.left < answers, "the broker's answers were not changed"
    if answers == 3:
        assert "created" in ok(done) and late.left == 0
    else:
        assert done.returncode == 1 and "missing: Broker: Unknown topic or partition" in done.stdout


def test_a_compacted_command_topic_is_refused(world):
    """PROTOCOL K1."""
    name = world.name + ".compacted"
    world.kafka.admin.create_topics([NewTopic(name, 1, 1, config={"cleanup.policy": "compact"})])[name].result(30)
    done = world.verb("topics", "plan", kafka_topics=name)
    assert done.returncode == 3 and "compact" in done.stdout + done.stderr
    assert "compact" in world.verb("check", kafka_topics=name).stdout


def test_check_says_what_happens_to_a_topic_that_is_created_again(world):
    """Whether a worker can notice it depends on the library that it runs with."""
    library = tuple(map(int, re.search(r"librdkafka (\d+)\.(\d+)", world.verb("version").stdout).groups()))
    report = json.loads(world.verb("check", "--output", "json").stdout)
    result, says = {row["check"]: (row["result"], row["says"]) for row in report["checks"]}["topic ids"]
    assert "stop the workers before a topic is deleted" in says
    if library < (2, 3):
        assert result == "note" and "librdkafka 2." in says and "below that position are not read" in says
    else:
        assert result == "ok" and "noticed within 3 s, and read from its beginning" in says
    assert "topic ids" in world.verb("check").stdout


# ---- publish ------------------------------------------------------------------------------------------

def lines(numbers, **attributes):
    return "".join(json.dumps(event("ticket.create", {"ticket_id": number, "priority": "LOW"}, **attributes)) + "\n"
                   for number in numbers)


@pytest.mark.parametrize("way", ["a file", "standard input", "standard input without a dash"])
def test_publish_keys_and_delivers_and_counts(world, tmp_path, way):
    world.worker()
    text = lines(range(1, 101))
    if way == "a file":
        (tmp_path / "events").write_text(text)
        said = ok(world.verb("publish", tmp_path / "events"))
    else:
        said = ok(world.verb("publish", *(["-"] if "without" not in way else []), stdin=text))
    assert "100" in said
    until("all are answered", lambda: len(world.audit.all()) == 100)
    world.drain()
    world.check()
    assert {each.key for each in world.evidence().records} == {f"ticket/{number}".encode() for number in range(1, 101)}


def test_publish_puts_a_key_where_a_stock_client_would(world):
    """One aggregate, one partition, whoever publishes it."""
    world.worker()
    ok(world.verb("publish", "-", stdin=lines([1, 2, 3]) + lines([1, 2, 3])))
    world.drain()
    places = {}
    for record in world.evidence().records:
        places.setdefault(record.key, set()).add(record.partition)
    assert len(places) == 3 and all(len(each) == 1 for each in places.values())


def test_publish_tells_a_line_that_is_no_event(world):
    done = world.verb("publish", "-", stdin=lines([1]) + "nonsense\n" + lines([2]))
    assert done.returncode == 1 and "2" in done.stderr


@pytest.mark.seconds(90)
@pytest.mark.parametrize("words", [["publish", "-"], ["topics", "plan"], ["topics", "create"], ["audit", "verify"],
                                   ["replay", "--topic", "interlock.commands"]], ids=lambda words: "_".join(words[:2]))
def test_a_verb_says_once_and_with_the_address_that_no_broker_is_there(world, words):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        done = world.verb(*words, stdin=lines([1]), KAFKA_BOOTSTRAP=address, timeout=80)
    assert done.returncode == 1 and f"{address} failed: Connection refused; is Kafka running there?" in done.stderr
    assert "kafka: " not in done.stderr, done.stderr                 # librdkafka's own lines


def test_publish_to_a_topic_that_is_not_there_fails(world):
    done = world.verb("publish", "--topic", world.topic + ".nowhere", "-", stdin=lines([1]))
    assert done.returncode == 1 and "nowhere" in done.stderr


# ---- audit verify ---------------------------------------------------------------------------------------

def test_the_audit_agrees_with_its_topic(world):
    world.worker()
    world.ask(*[create_ticket(number) for number in range(1, 41)], *[escalate(number) for number in range(1, 41)])
    world.drain()
    assert "80" in ok(world.verb("audit", "verify"))
