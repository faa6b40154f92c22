"""Face embeddings: at most one primary per user and model, whoever adds and removes at once."""

import itertools
import json
import random
import struct

import psycopg2
import pytest

from harness.commands import binary, command, event, structured
from harness.waiting import until

LENGTH = 512

@pytest.fixture
def pair(world):
    """A world with two workers that both own partitions, and the models 1 and 2."""
    for _ in range(2):
        world.worker()
    until("both own partitions",
          lambda: all(each.metric("interlock_partitions_assigned") > 0 for each in world.workers))
    models(world, 1, 2)
    return world


def models(world, *ids):
    for each in ids:
        world.database.execute("INSERT INTO interlock.face_model (id) VALUES (%s)", each)


def vector(seed):
    generator = random.Random(seed)
    return [generator.uniform(-1, 1) for _ in range(LENGTH)]


def single(value):
    """As PostgreSQL keeps it: rounded to single precision."""
    return struct.unpack("f", struct.pack("f", value))[0]


def add(user, model, number=None, **data):
    data = {"user_id": user, "model_id": model, "embedding_id": number, "vector": vector(number), "confidence": 0.9,
            **data}
    return command("face.add_embedding", {name: value for name, value in data.items() if value is not None})


def remove(user, model, number):
    return command("face.remove_embedding", {"user_id": user, "model_id": model, "embedding_id": number})


def verify(number, user, model, embedding):
    return command("face.record_verification", {"verification_id": number, "user_id": user, "model_id": model,
                                                "embedding_id": embedding, "result": "SUCCESS"})


def scatter(messages, partitions, seed=1):
    """Every message to a partition that its key did not choose."""
    mixed = list(messages)
    random.Random(seed).shuffle(mixed)
    turn = itertools.cycle(range(partitions))
    return [each.at(next(turn)) for each in mixed]


def outcome(told):
    return (told.outcome, told.reason)


def primaries(world):
    return world.database.rows("SELECT user_id, model_id, count(*) FILTER (WHERE is_primary), count(*) "
                               "FROM interlock.face_embedding GROUP BY 1, 2 ORDER BY 1, 2")


def gapless(told):
    """The versions of one user over all its applied commands."""
    steps = sorted((each.data["version"]["from"], each.data["version"]["to"]) for each in told
                   if each.outcome == "applied")
    return steps == [(step, step + 1) for step in range(len(steps))]


# ---- one after another --------------------------------------------------------------------------------------

def test_an_embedding_is_kept_as_it_was_said(shared, number):
    models(shared, number)
    told = shared.ask(add(number, number, number, validated=True, confidence=0.25))
    assert outcome(told) == ("applied", None) and told.key == f"face-user/{number}"
    assert told.data["operation"] == "CREATION" and told.data["version"] == {"from": 0, "to": 1}
    assert told.data["metadata"] == {"embedding_id": number, "model_id": number, "is_primary": True}
    row = shared.database.row("SELECT user_id, model_id, confidence, is_primary, validated, vector "
                              "FROM interlock.face_embedding WHERE id = %s", number)
    assert row[:5] == (number, number, 0.25, True, True)
    assert [single(each) for each in row[5]] == [single(each) for each in vector(number)]
    assert shared.database.row("SELECT version FROM interlock.face_user WHERE id = %s", number) == (1,)  # PROTOCOL B6


def test_the_primary_moves_on_request_and_on_removal(shared, number):
    models(shared, number)
    told = shared.ask(add(number, number, number), add(number, number, number + 1, is_primary=True),
                      add(number, number, number + 3, validated=True), add(number, number, number + 2, validated=True),
                      remove(number, number, number + 1), remove(number, number, number + 1),
                      remove(number, number, number + 3))
    assert [each.outcome for each in told] == ["applied"] * 5 + ["rejected", "applied"]
    assert told[1].data["metadata"]["demoted"] == number
    assert told[4].data["operation"] == "DELETION" and told[4].data["metadata"]["promoted"] == number + 3
    assert outcome(told[5]) == ("rejected", "not_found") and told[5].data["version"] == {"from": 5, "to": 5}
    assert told[6].data["metadata"]["promoted"] == number + 2
    assert shared.database.rows("SELECT id, is_primary FROM interlock.face_embedding WHERE user_id = %s ORDER BY id",
                                number) == [(number, False), (number + 2, True)]


def test_ids_are_drawn_and_returned(shared, number):
    models(shared, number)
    told = shared.ask(*[add(number, number) for _ in range(5)])
    drawn = [each.data["metadata"]["embedding_id"] for each in told]
    assert len(set(drawn)) == 5
    assert [each.data["metadata"]["is_primary"] for each in told] == [True] + [False] * 4
    assert shared.database.rows("SELECT id FROM interlock.face_embedding WHERE user_id = %s ORDER BY id",
                                number) == [(each,) for each in sorted(drawn)]


def test_binary_mode_and_an_expected_version(shared, number):
    models(shared, number)
    data = {"user_id": number, "model_id": number, "embedding_id": number, "vector": vector(1), "confidence": 1}
    assert outcome(shared.ask(binary("face.add_embedding", data, expectedversion="0"))) == ("applied", None)
    later = {**data, "embedding_id": number + 1}
    assert outcome(shared.ask(binary("face.add_embedding", later, expectedversion="0"))) == ("rejected", "stale_object")
    assert outcome(shared.ask(binary("face.add_embedding", later, expectedversion="1"))) == ("applied", None)


BAD = [
    ({"vector": [0.5] * 511}, "/vector"), ({"vector": [0.5] * 513}, "/vector"), ({"vector": []}, "/vector"),
    ({"vector": "0.5"}, "/vector"), ({"vector": None}, "/vector"), ({"vector": {"0": 0.5}}, "/vector"),
    ({"vector": [0.5] * 100 + ["0.5"] + [0.5] * 411}, "/vector/100"),
    ({"vector": [0.5] * 511 + [None]}, "/vector/511"), ({"vector": [[0.5]] + [0.5] * 511}, "/vector/0"),
    ({"vector": [0.5] * 7 + [3.5e38] + [0.5] * 504}, "/vector/7"), ({"vector": [True] + [0.5] * 511}, "/vector/0"),
    ({"confidence": 1.01}, "/confidence"), ({"confidence": -0.01}, "/confidence"),
    ({"confidence": "high"}, "/confidence"),
    ({"validated": "yes"}, "/validated"), ({"is_primary": 1}, "/is_primary"), ({"embedding_id": -1}, "/embedding_id"),
    ({"user_id": 0}, "/user_id"), ({"model_id": "1"}, "/model_id"), ({"surprise": 1}, "/surprise"),
]


@pytest.mark.parametrize("changes, pointer", BAD,
                         ids=[f"{index}{row[1].replace('/', '_')}" for index, row in enumerate(BAD)])
def test_bad_data_is_refused_by_its_pointer(shared, number, changes, pointer):
    data = {"user_id": number, "model_id": number, "vector": vector(1), "confidence": 0.5, **changes}
    told = shared.ask(structured(event("face.add_embedding", data), f"face-user/{number}"))
    assert outcome(told) == ("rejected", "invalid_data")
    assert told.data["metadata"]["parameter"] == pointer


def test_values_that_are_not_numbers_make_no_command(shared, number):
    """NaN and Infinity are not JSON, and no double holds 1e999."""
    data = {"user_id": number, "model_id": number, "vector": [0.5] * 512, "confidence": 0.5}
    for word in ("NaN", "Infinity", "-Infinity", "1e999"):
        text = json.dumps(event("face.add_embedding", data)).replace("[0.5,", f"[{word},")
        message = structured(event("face.add_embedding", data), f"face-user/{number}")
        message.value = text.encode()
        shared.publish(message)
    shared.drain()
    assert shared.database.row("SELECT count(*) FROM interlock.face_embedding WHERE user_id = %s", number) == (0,)


def test_the_longest_vector_that_people_write_fits(shared, number):
    """512 doubles of full length stay far below the limit of a command."""
    models(shared, number)
    message = add(number, number, number, vector=[-1.2345678901234567e-30] * LENGTH)
    assert 12000 < len(message.value) < 64 * 1024
    assert outcome(shared.ask(message)) == ("applied", None)


def test_embeddings_from_before_and_from_elsewhere(shared, number):
    models(shared, number)
    for each in (number, number + 1):
        shared.database.execute("INSERT INTO interlock.face_embedding (id, user_id, model_id) VALUES (%s, %s, %s)", each,
                                number, number)
    told = shared.ask(remove(number, number, number), add(number, number, number + 2))
    assert [outcome(each) for each in told] == [("applied", None)] * 2
    assert gapless(told)
    assert shared.database.rows("SELECT id, is_primary FROM interlock.face_embedding WHERE user_id = %s ORDER BY id",
                                number) == [(number + 1, False), (number + 2, True)]


# ---- at once --------------------------------------------------------------------------------------------------

@pytest.mark.seconds(90)
def test_many_additions_at_once_leave_one_primary(pair):
    """Two processes, wrong partitions: 40 first embeddings of one user and model, and of five other users."""
    messages = [add(1, 1, 100 + each) for each in range(40)]
    messages += [add(2 + each % 5, 1 + each % 2, 1000 + each) for each in range(60)]
    told = pair.ask(*scatter(messages, pair.partitions), timeout=60)
    assert {outcome(each) for each in told} == {("applied", None)}
    assert all(row[2] == 1 for row in primaries(pair)) and len(primaries(pair)) == 11
    for user in range(1, 7):
        assert gapless([each for each in told if each.subject == f"face-user/{user}"])
    pair.drain()
    pair.check(ordered=False)


@pytest.mark.seconds(120)
def test_additions_removals_and_verifications_at_once(pair):
    """Primaries are demoted, removed and promoted from all sides; counters go on whatever becomes of the embedding."""
    pair.ask(*[add(user, 1, 10 * user + each, validated=True) for user in (1, 2) for each in range(10)])
    messages = [remove(user, 1, 10 * user + each) for user in (1, 2) for each in range(8)]
    messages += [add(user, 1, 100 * user + each, validated=True, is_primary=True) for user in (1, 2)
                 for each in range(10)]
    messages += [verify(1000 + each, 1 + each % 2, 1, 10 * (1 + each % 2) + each % 10) for each in range(200)]
    told = pair.ask(*scatter(messages, pair.partitions), timeout=90)
    assert all(row[2] == 1 for row in primaries(pair)) and [row[3] for row in primaries(pair)] == [12, 12]
    counted = [each for each in told if each.data["command"]["type"] == "face.record_verification"]
    assert {outcome(each) for each in counted} <= {("applied", None), ("rejected", "not_found")}
    applied = sum(each.outcome == "applied" for each in counted)
    assert applied >= 40, "the embeddings that stay are verified 40 times"
    assert pair.database.row("SELECT verification_count FROM interlock.face_model WHERE id = 1") == (applied,)
    assert pair.database.value("SELECT sum(verification_count) FROM interlock.face_embedding_counter") == applied
    others = [each for each in told if each.data["command"]["type"] != "face.record_verification"]
    assert {each.outcome for each in others} == {"applied"}
    pair.drain()
    pair.check(ordered=False)


def stream(count, seed):
    generator = random.Random(seed)
    messages = []
    for _ in range(count):
        number = generator.randrange(1, 25)
        user, model = 1 + number % 3, 1 + number % 2
        if generator.random() < 0.6:
            messages.append(add(user, model, number, validated=generator.random() < 0.5,
                                is_primary=generator.random() < 0.3))
        else:
            messages.append(remove(user, model, number))
    return messages


def predicted(messages):
    """The rules, command by command: the outcomes and the rows that are left."""
    rows, outcomes = {}, []
    for message in messages:
        data = json.loads(message.value)["data"]
        number, user, model = data["embedding_id"], data["user_id"], data["model_id"]
        same = [each for each in rows.values() if (each["user"], each["model"]) == (user, model)]
        if "vector" in data:
            if number in rows:
                outcomes.append("rejected")
                continue
            primary = [each for each in same if each["primary"]]
            wins = not primary or data["is_primary"]
            for each in primary if wins else []:
                each["primary"] = False
            rows[number] = {"user": user, "model": model, "primary": wins, "validated": data["validated"]}
        elif number not in rows:
            outcomes.append("rejected")
            continue
        else:
            gone = rows.pop(number)
            heirs = sorted(each for each in rows if (rows[each]["user"], rows[each]["model"]) == (user, model)
                           and rows[each]["validated"])
            if gone["primary"] and heirs:
                rows[heirs[0]]["primary"] = True
        outcomes.append("applied")
    return outcomes, [(number, each["user"], each["model"], each["primary"], each["validated"])
                      for number, each in sorted(rows.items())]


@pytest.mark.seconds(120)
@pytest.mark.parametrize("batch_max", [1, 1000])
def test_batches_of_any_size_leave_what_the_rules_say(world, batch_max):
    """All on one partition, so that their order is known; before there is a worker, so that batches fill up."""
    messages = stream(400, seed=20261124)
    world.publish(*[each.at(0).keyed("one") for each in messages])
    models(world, 1, 2)
    world.worker(worker_batch_max=str(batch_max))
    told = world.await_events(messages, timeout=90)
    outcomes, rows = predicted(messages)
    assert [each.outcome for each in told] == outcomes
    assert world.database.rows("SELECT id, user_id, model_id, is_primary, validated FROM interlock.face_embedding "
                               "ORDER BY id") == rows


# ---- the schema -----------------------------------------------------------------------------------------------

REFUSED = [
    "INSERT INTO interlock.face_embedding (id, user_id, model_id, is_primary) VALUES (1, 1, 1, true), (2, 1, 1, true)",
    "INSERT INTO interlock.face_embedding (id, user_id, model_id, confidence) VALUES (1, 1, 1, 1.5)",
    "INSERT INTO interlock.face_embedding (id, user_id, model_id, confidence) VALUES (1, 1, 1, 'NaN')",
    "INSERT INTO interlock.face_user (id) VALUES (0)", "INSERT INTO interlock.face_user (id, version) VALUES (1, -1)",
] + [f"INSERT INTO interlock.face_embedding (id, user_id, model_id, vector) VALUES (1, 1, 1, {what})" for what in (
    "array_fill(1::real, ARRAY[511])", "array_fill(1::real, ARRAY[2, 256])", "'{}'",
    "array_fill(NULL::real, ARRAY[512])",
    "array_append(array_fill(1::real, ARRAY[511]), 'NaN')", "array_append(array_fill(1::real, ARRAY[511]), 'Infinity')",
    "array_append(array_fill(1::real, ARRAY[511]), '-Infinity')",
    "array_append(array_fill(1::real, ARRAY[511]), NULL)")]


@pytest.mark.parametrize("statement", REFUSED, ids=[str(index) for index in range(len(REFUSED))])
def test_the_schema_refuses_what_the_rules_refuse(shared, statement):
    if not shared.database.value("SELECT count(*) FROM interlock.face_model WHERE id = 1"):
        models(shared, 1)
    with pytest.raises(psycopg2.errors.IntegrityError):
        shared.database.execute(statement)


@pytest.mark.seconds(60)
def test_the_migration_keeps_what_was_there_both_ways(world):
    """Down to before embeddings had vectors, rows as they were then, up again."""
    steps = 0
    while world.database.value("SELECT to_regclass('interlock.face_user')"):
        assert world.verb("migrate", "down", "--execute", "--reason", "test").returncode == 0
        steps += 1
        assert steps < 20
    models(world, 1)
    world.database.execute("INSERT INTO interlock.face_embedding (id, user_id, model_id) "
                           "VALUES (1, 5, 1), (2, 6, 1), (3, 5, 1)")
    world.database.execute("INSERT INTO interlock.face_embedding_counter (id, verification_count) VALUES (1, 9)")
    assert world.verb("migrate", "up").returncode == 0
    assert world.database.rows("SELECT id, version FROM interlock.face_user ORDER BY id") == [(5, 0), (6, 0)]
    world.worker()
    told = world.ask(add(5, 1, 4), remove(5, 1, 1), verify(1, 6, 1, 2))
    told.append(world.ask(verify(2, 5, 1, 4)))
    told.append(world.ask(remove(5, 1, 4)))
    assert {outcome(each) for each in told} == {("applied", None)}
    assert gapless([each for each in told if each.subject == "face-user/5"])
    world.workers[0].end()
    for _ in range(steps):
        assert world.verb("migrate", "down", "--execute", "--reason", "test").returncode == 0
    assert world.database.rows("SELECT id, user_id FROM interlock.face_embedding ORDER BY id") == [(2, 6), (3, 5)]
    assert world.database.rows("SELECT id, verification_count FROM interlock.face_embedding_counter") == [(2, 1)]
    assert world.verb("migrate", "up").returncode == 0
