"""Other people's clients: a stock Python client, kcat, a JSON Schema validator."""

import json
import os
import re
import subprocess
import sys

import pytest
from jsonschema import Draft202012Validator

from harness.bad_input import INVALID, data_of
from harness.commands import command, create_job, create_ticket, event
from harness.stack import ROOT
from harness.waiting import until


def test_a_stock_client_publishes_and_reads_back(world):
    world.worker()
    done = subprocess.run([sys.executable, ROOT / "tests/system/stock_client.py", "--commands", world.topic, "--audit",
                           world.audit_topic, "--ticket", "77"], capture_output=True, text=True, timeout=50, check=False,
                          env={**os.environ, "KAFKA_BOOTSTRAP": world.stack.bootstrap})
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines() == [
        "ticket.create: applied ticket/77 version 0 -> 1 person None -> None",
        "ticket.escalate: applied ticket/77 version 1 -> 2 person None -> None",
        "ticket.assign: applied ticket/77 version 2 -> 3 person None -> 9",
    ]


def test_kcat_publishes_from_the_shell(world):
    world.worker()
    line = f"ticket/5|{json.dumps(event('ticket.create', {'ticket_id': 5, 'priority': 'LOW'}, id='from-the-shell'))}\n"
    subprocess.run(["kcat", "-P", "-b", world.stack.bootstrap, "-t", world.topic, "-K", "|"], input=line, text=True,
                   timeout=20, check=True)
    told = until("it is answered", world.audit.all)
    assert told[0].identity == ("/system-tests", "from-the-shell") and told[0].outcome == "applied"


# ---- README's first command ---------------------------------------------------------------------------

def shown(language, holds):
    """The block of README that holds the word."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return next(block for block in re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
                if holds in block)


def as_here(world, text):
    """With the topics and the program of this test."""
    for name, here in (("interlock.commands", world.topic), ("interlock.audit", world.audit_topic),
                       ("build/release/interlock", str(world.binary))):
        text = text.replace(name, here)
    return text


def test_readme_s_first_program_prints_the_event_of_its_command(world):
    world.worker()
    program = [sys.executable, "-c", as_here(world, shown("python", "CloudEvent"))]
    for outcome, reason in (("applied", None), ("rejected", "already_exists")):
        done = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False, env=world.environment())
        assert (done.returncode, done.stderr) == (0, "")
        answer = json.loads(done.stdout)
        assert (answer["subject"], answer["data"]["outcome"], answer["data"]["reason"]) == ("ticket/42", outcome, reason)


def test_readme_s_command_from_the_shell_is_applied_once(world, tmp_path):
    worker = world.worker()
    world.ask(create_ticket(42))
    subprocess.run(["bash", "-euc", as_here(world, shown("sh", "commands.jsonl"))], cwd=tmp_path, timeout=60, check=True,
                   env=world.environment())
    until("the second copy is seen", lambda: worker.metric("interlock_dedupe_hits_total") == 1)
    world.drain()
    assert world.database.rows("SELECT command_id, version_to FROM interlock.audit_event WHERE command_source = '/demo'") == [
        ("demo-1", 2)]


# ---- the schema that the program describes itself with ------------------------------------------------

@pytest.fixture(scope="module")
def schemas(binary):
    """Type -> schema of its data, however the document arranges them."""
    done = subprocess.run([binary, "describe", "--json-schema"], capture_output=True, text=True, timeout=20, check=True,
                          env={"PATH": os.environ["PATH"]})
    document = json.loads(done.stdout)
    Draft202012Validator.check_schema(document)
    return document


def accepts(document, type_, data):
    """The document judges whole commands."""
    return not list(Draft202012Validator(document).iter_errors(event(type_, data)))


TYPES = ["ticket.create", "ticket.transition", "ticket.assign", "ticket.escalate", "ticket.append_history",
         "ticket.bulk_update", "job.create", "job.transition", "job.autoclose", "job.autoclose_checkpoints",
         "job.update_checkpoint", "json.merge", "json.append", "face.record_verification",
         "face.add_embedding", "face.remove_embedding"]


@pytest.mark.parametrize("type_", TYPES)
def test_the_schema_accepts_real_commands(schemas, type_):
    assert accepts(schemas, type_, data_of(type_))


# Rules that the schema does not state: that a time is one and follows another (`format` is a note to a validator), what a field of
# free JSON holds, that one of two members is there.
BEYOND_A_SCHEMA = ("expires_at", "2026-02-30", "yesterday", "'starts_at': '2026-11-24'", "jobneed/01",
                   "9223372036854775808", "assigned_person_id': Ellipsis", "'other_info': []", "{'value': [1]}",
                   "{'value': 1}")


@pytest.mark.parametrize("type_, changes", [row for row in INVALID if not any(word in str(row[1]) for word in BEYOND_A_SCHEMA)
                                            and 1.0 not in row[1].values()],
                         ids=lambda value: str(value)[:40])
def test_the_schema_refuses_what_the_worker_refuses(schemas, type_, changes):
    assert not accepts(schemas, type_, data_of(type_, **changes))


def test_asyncapi_names_every_type_and_topic(binary):
    done = subprocess.run([binary, "describe", "--asyncapi"], capture_output=True, text=True, timeout=20, check=True,
                          env={"PATH": os.environ["PATH"]})
    document = json.loads(done.stdout)
    assert document["asyncapi"].startswith(("2.", "3."))
    for word in TYPES + ["interlock.commands", "interlock.audit", "interlock.commands.dlq"]:
        assert word in done.stdout, word


def test_types_are_listed(binary):
    done = subprocess.run([binary, "describe", "types"], capture_output=True, text=True, timeout=20, check=True,
                          env={"PATH": os.environ["PATH"]})
    for type_ in TYPES:
        assert type_ in done.stdout


def test_an_event_of_its_own_schema_is_applied(world):
    """The same data that the schema was asked about, sent for real."""
    world.worker()
    told = world.ask(create_ticket(1), create_job(1, checkpoints=1),
                     *[command(type_, data_of(type_)) for type_ in TYPES
                       if type_ not in ("ticket.create", "job.create") and not type_.startswith("face.")])
    assert {each.reason for each in told} <= {None}, [(each.data["command"]["type"], each.reason) for each in told]
