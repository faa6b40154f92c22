"""The program's description of itself, judged by stock tools: JSON Schema before a validator, together with commands that
are good and that are wrong; AsyncAPI before AsyncAPI's own parser; both against what a worker really answers."""

import json
import math
import os
import subprocess
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from harness.commands import Message, aggregate_of, event, structured
from harness.stack import ROOT
from harness.waiting import until

EXAMPLES = json.loads((ROOT / "tests/examples/commands.json").read_text())
TYPES = sorted(EXAMPLES)


def describe(binary, *words, **environment):
    done = subprocess.run([binary, "describe", *words], capture_output=True, text=True, timeout=20, check=False,
                          env={"PATH": os.environ["PATH"], **environment})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def validators(binary):
    """Type -> the validator of its whole command."""
    made = {}
    for type_ in [each["type"] for each in describe(binary, "types", "--output", "json")]:
        schema = describe(binary, "--json-schema", type_)
        Draft202012Validator.check_schema(schema)
        made[type_] = Draft202012Validator(schema)
    return made


@pytest.fixture(scope="module")
def tried(binary, tmp_path_factory):
    """The commands that tests/unit/workflows/test_workflow_bad_parameters.c put before the decoder, and what that said."""
    program = Path(binary).parent / "tests/workflows/test_workflow_bad_parameters"
    assert os.access(program, os.X_OK), f"{program} is not there: build its target"
    path = tmp_path_factory.mktemp("tried") / "list"
    done = subprocess.run([program], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
                          env={**os.environ, "BAD_PARAMETERS_LIST": str(path)})
    assert done.returncode == 0, done.stdout + done.stderr
    found = defaultdict(list)
    for line in path.read_text().splitlines():
        each = json.loads(line)
        found[each["expected"]].append(each)
    return found


def place_of(error):
    """The JSON pointer of what a validator complains of."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in error.absolute_path)


# ---- JSON Schema -----------------------------------------------------------------------------------------

def test_every_type_has_a_schema_and_an_example(validators):
    assert sorted(validators) == TYPES


def test_all_types_stand_in_one_document_in_which_a_command_is_of_exactly_one(binary, validators):
    document = describe(binary, "--json-schema")
    Draft202012Validator.check_schema(document)
    judge = Draft202012Validator(document)
    for type_ in TYPES:
        assert not list(judge.iter_errors(event(type_, EXAMPLES[type_][0]))), type_
        alone = {name: value for name, value in validators[type_].schema.items() if name != "$schema"}
        assert document["$defs"][type_] == alone
    assert list(judge.iter_errors(event("ticket.paint", {})))


@pytest.mark.parametrize("type_", TYPES)
def test_the_schema_accepts_the_examples(validators, type_):
    for data in EXAMPLES[type_]:
        validators[type_].validate(event(type_, data))


def test_the_schema_accepts_what_the_decoder_accepts(validators, tried):
    assert len(tried["good"]) > 400
    for each in tried["good"]:
        errors = list(validators[each["type"]].iter_errors(event(each["type"], each["data"])))
        assert not errors, f"{each['type']}{each['pointer']}: {errors[0].message[:200]}"


def test_the_schema_refuses_what_the_decoder_refuses_and_at_the_same_place(validators, tried):
    assert len(tried["refused"]) > 2000
    for each in tried["refused"]:
        errors = list(validators[each["type"]].iter_errors(event(each["type"], each["data"])))
        assert errors, f"{each['type']}{each['pointer']}: accepted"
        # A missing or unknown member is said of the object around it.
        wanted = "/data" + each["pointer"]
        around = wanted.rpartition("/")[0]
        assert {place_of(error) for error in errors} & {wanted, around}, (each["pointer"], errors[0].message[:200])


def test_refusals_that_only_the_decoder_can_make_are_known_and_listed(validators, tried):
    """A text is limited in bytes and counted in characters; JSON Schema knows no infinity; a pattern has no calendar."""
    kinds = Counter()
    for each in tried["refused_by_us"]:
        validator = validators[each["type"]]
        validator.validate(event(each["type"], each["data"]))
        schema, value = validator.schema["properties"]["data"], each["data"]
        for step in each["pointer"][1:].split("/"):
            schema = schema["items"] if isinstance(value, list) else schema["properties"][step]
            value = value[int(step) if isinstance(value, list) else step]
        if isinstance(value, float):
            kinds["1e400"] += value == math.inf and "number" in schema["type"]
        elif "format" in schema:
            kinds["leap"] += value.startswith("2026-02-29")
        else:
            kinds["bytes"] += len(value) <= schema["maxLength"] and len(value.encode()) > schema["x-maxBytes"]
    assert sum(kinds.values()) == len(tried["refused_by_us"]) and min(kinds.values()) > 5 and len(kinds) == 3, kinds


def test_the_schema_judges_the_attributes_too(validators):
    validator = validators["ticket.escalate"]
    good = event("ticket.escalate", {"ticket_id": 1}, subject="ticket/1", time="2026-11-24T09:00:00Z", partitionkey="ticket/1",
                 correlationid="c", causationid="d", actor="user/1", tenant="acme", expectedversion=3, somethingelse=True,
                 traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", notbefore="2026-11-24T09:00:00Z")
    validator.validate(good)
    for name, wrong in (("specversion", "0.3"), ("id", ""), ("id", "x" * 129), ("id", 7), ("source", ""),
                        ("source", "/" + "x" * 128), ("type", "ticket.create"), ("subject", ""), ("actor", 7), ("data", []),
                        ("expectedversion", -1), ("expectedversion", "3"), ("notbefore", 7), ("UPPER", "x")):
        assert list(validator.iter_errors({**good, name: wrong})), (name, wrong)
    for name in ("specversion", "id", "source", "type", "data"):
        assert list(validator.iter_errors({key: value for key, value in good.items() if key != name})), name


# ---- what a worker answers ------------------------------------------------------------------------------------

def test_events_and_dead_letters_are_as_described(shared, binary):
    commands = [structured(event(type_, data), aggregate_of_example(type_, data)) for type_ in TYPES
                for data in EXAMPLES[type_]]
    told = shared.ask(*commands)
    schema = describe(binary, "--json-schema")
    judge = Draft202012Validator({"$schema": schema["$schema"], **schema["$defs"]["interlock.audit"]})
    for each in told:
        assert each.reason not in ("invalid_data", "unknown_type"), (each.body["data"], each.reason)
        judge.validate(each.body)
    assert {"applied", "rejected"} <= {each.outcome for each in told}

    shared.publish(Message(b"not a command", "x"))
    headers = describe(binary, "--asyncapi")["components"]["messages"]["dead_letter"]["headers"]
    letter = wait_for_letter(shared)
    Draft202012Validator(headers).validate({name: value.decode() for name, value in letter.headers})


def aggregate_of_example(type_, data):
    """Good enough as a Kafka key: the order of these commands does not matter."""
    try:
        return aggregate_of(type_, data)
    except KeyError:
        return type_


def wait_for_letter(world):
    return until("the dead letter", world.letters.all)[0]


# ---- AsyncAPI ---------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def parser():
    done = subprocess.run([ROOT / "tests/asyncapi/install"], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def parsed(parser, document):
    done = subprocess.run(["node", ROOT / "tests/asyncapi/check.mjs", parser], input=json.dumps(document), capture_output=True,
                          text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


ERROR, WARNING = 0, 1  # the parser's severities; above them are hints, like "there is a newer AsyncAPI"


@pytest.mark.seconds(360)  # the first run installs the parser
def test_the_parser_of_asyncapi_accepts_the_document(binary, parser):
    found = parsed(parser, describe(binary, "--asyncapi"))
    assert not [each for each in found["diagnostics"] if each["severity"] <= WARNING]
    assert found["version"].startswith("3.")
    assert found["channels"] == ["interlock.commands", "interlock.audit", "interlock.commands.dlq"]
    assert [each["action"] for each in found["operations"]] == ["receive", "send", "send"]
    assert sorted(found["messages"]) == sorted(TYPES + ["interlock.audit", "interlock.operator", "dead_letter"])
    assert found["payloads"] == len(TYPES) + 2


@pytest.mark.seconds(360)
def test_the_topics_of_the_settings_are_its_channels(binary, parser):
    found = parsed(parser, describe(binary, "--asyncapi", INTERLOCK_KAFKA_TOPICS="first,second",
                                    INTERLOCK_KAFKA_AUDIT_TOPIC="told"))
    assert not [each for each in found["diagnostics"] if each["severity"] <= WARNING]
    assert found["channels"] == ["first", "second", "told", "first.dlq", "second.dlq"]


@pytest.mark.seconds(360)
def test_the_parser_refuses_a_document_that_is_wrong(binary, parser):
    """The judge judges: each of these is one member away from the real document."""
    def spoilt(*path, value):
        document = describe(binary, "--asyncapi")
        inner = document
        for step in path[:-1]:
            inner = inner[step]
        inner[path[-1]] = value
        return parsed(parser, document)
    for wrong in (spoilt("operations", "send_audit", "action", value="shout"),
                  spoilt("operations", "send_audit", "channel", value={"$ref": "#/channels/nowhere"}),
                  spoilt("channels", "audit", "colour", value="red"),
                  spoilt("components", "schemas", "job.create", "type", value="thing")):
        assert wrong["version"] is None and [each for each in wrong["diagnostics"] if each["severity"] == ERROR]


def test_the_payloads_are_the_schemas(binary, validators):
    schemas = describe(binary, "--asyncapi")["components"]["schemas"]
    for type_, validator in validators.items():
        assert schemas[type_] == {name: value for name, value in validator.schema.items() if name != "$schema"}


def test_every_type_names_its_retry_policy(binary):
    """And the policies that are nobody's own are those of locks and of the database."""
    policies = {each["type"]: each["retry_policy"] for each in describe(binary, "types", "--output", "json")}
    assert set(policies.values()) == {"default", "aggressive", "conservative"}
    assert policies["attendance.punch"] == "aggressive" and policies["ticket.bulk_update"] == "conservative"
