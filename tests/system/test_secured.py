"""Kafka as installations have it, TLS, logins and rights: what a worker needs is named and is enough, and whoever is
turned away is told why, by every verb and by readiness."""

import datetime
import json
import re

import pytest
from confluent_kafka import Consumer

from harness.broker import stack_with
from harness.commands import Message, create_ticket, escalate
from harness.fixtures import finish
from harness.secured import SecuredBroker
from harness.waiting import until


pytestmark = pytest.mark.seconds(180)  # the first waits for the broker


@pytest.fixture(scope="module")
def secured():
    with SecuredBroker() as broker:
        yield broker


@pytest.fixture
def world(request, make_world, stack, secured):
    made = make_world(request.node.name.removeprefix("test_"), stack=stack_with(stack, secured.bootstrap))
    yield made
    finish(request, made)


# ---- who is turned away ----

def false_authority(secured):
    return secured.settings_of("worker", ssl_ca_location=secured.certificates.other_authority)


def false_host_name(secured):
    return {**secured.settings_of("worker"), "KAFKA_BOOTSTRAP": secured.sasl_by_name}


def false_password(secured):
    return secured.settings_of("worker", sasl_password="guessed")


def false_mechanism(secured):
    return secured.settings_of("worker", sasl_mechanisms="SCRAM-SHA-256")


def no_tls(secured):
    return secured.settings_of("worker", security_protocol="sasl_plaintext")


TURNED_AWAY = {
    false_authority: "certificate verify failed",
    false_host_name: "the certificate is not of this host name",
    false_password: "Invalid username or password",
    false_mechanism: "broker's supported mechanisms: PLAIN,SCRAM-SHA-512",
    no_tls: "might be caused by incorrect security.protocol configuration",
}


@pytest.mark.parametrize("fault", TURNED_AWAY, ids=lambda fault: fault.__name__)
def test_whoever_is_turned_away_is_told_why_and_by_whom(world, secured, fault):
    settings, reason = fault(secured), TURNED_AWAY[fault]
    address = settings["KAFKA_BOOTSTRAP"]
    worker = world.worker(ready=False, **settings)
    for verb, stdin in ((("check",), None), (("topics", "plan"), None), (("audit", "verify"), None),
                        (("publish",), create_ticket(1).value.decode())):
        done = world.verb(*verb, stdin=stdin, **settings)
        told = done.stdout + done.stderr
        assert done.returncode != 0 and reason in told and address in told, (verb, told)
    until("readiness says it", lambda: reason in worker.get("/readyz")[1] and address in worker.get("/readyz")[1])
    assert reason in worker.text()


# ---- rights ----

def lines_of(world, role):
    """Of kafka-acls.sh, as `describe acls` prints them."""
    done = world.verb("describe", "acls", "--output", "json")
    return [each["command"] for each in json.loads(done.stdout)["acls"] if each["role"] == role]


@pytest.fixture
def allowed(world, secured):
    """Each role has exactly what is printed for it. A function of a role: the settings of its user."""
    secured.forbid_everything()
    for role in ("worker", "publisher", "reader", "sweeper", "operator"):
        secured.allow(role, *lines_of(world, role))
    return secured.settings_of


def read_as(secured, user, topic, count, group):
    """A stock consumer."""
    consumer = Consumer(secured.client(user, **{"group.id": group, "auto.offset.reset": "earliest"}))
    consumer.subscribe([topic])
    got = []
    try:
        until(f"{user} has read {count}", lambda: got.extend(consumer.consume(10, 0.2)) or len(got) >= count, 30)
    finally:
        consumer.close()
    assert all(each.error() is None for each in got), [str(each.error()) for each in got]
    return got


def test_the_rights_that_describe_acls_prints_are_all_that_each_role_needs(world, secured, allowed):
    settings = allowed("worker")
    checked = world.verb("check", **settings)
    assert checked.returncode == 0, checked.stdout
    assert "all that a worker needs, each tried" in checked.stdout
    assert "--operation DescribeConfigs --topic" in checked.stdout, "which no worker needs: it is a note"
    worker = world.worker(**settings)
    lines = "\n".join(each.value.decode() for each in (create_ticket(1), create_ticket(2)))
    published = world.verb("publish", stdin=lines, **allowed("publisher"))
    assert published.returncode == 0 and published.stdout.startswith("2 published"), published.stderr
    soon = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=1)).isoformat()
    world.ask(escalate(1, notbefore=soon))  # parked, and back through its topic
    world.publish(Message(b"{", "ticket/1"))
    until("the dead letter is there", world.letters.all)
    assert len(read_as(secured, "reader", world.audit_topic, 3, f"{world.group}.reports")) == 3
    world.drain()
    verified = world.verb("audit", "verify", **allowed("reader"))
    assert verified.returncode == 0, verified.stderr
    world.database.execute("INSERT INTO interlock.jobneed (id, starts_at, expires_at, status, identifier, type) VALUES"
                           " (1, now() - interval '2 days', now() - interval '1 hour', 'ASSIGNED', 'TASK', 'SCHEDULE')")
    world.remember_rows()
    swept = world.verb("sweep", "jobs", "--execute", "--reason", "a test", **allowed("sweeper"))
    assert swept.returncode == 0, swept.stderr
    planned = world.verb("topics", "plan", **allowed("operator"))
    assert planned.returncode == 0, planned.stdout + planned.stderr
    made = world.verb("topics", "create", **allowed("operator"))
    assert made.returncode == 0, made.stdout + made.stderr
    unseen = world.verb("topics", "plan", **allowed("sweeper"))
    assert unseen.returncode == 3 and "interlock describe acls" in unseen.stdout, "it is not said that they are missing"
    assert worker.ready()
    assert worker.end() == 0
    world.check()


def right_in(line):
    """As check and readiness show it."""
    return line[line.index(" --operation "):]


def test_each_right_that_is_missing_is_named_by_check_and_by_readiness(world, secured, allowed):
    lines = lines_of(world, "worker")
    assert len(lines) == 8
    for missing in lines:
        secured.take("worker", missing)
        worker = world.worker(ready=False, worker_lanes=1, **allowed("worker"))
        checked = world.verb("check", **allowed("worker"))
        named = [each for each in checked.stdout.splitlines() if each.startswith("fix")]
        assert checked.returncode == 3 and len(named) == 1, checked.stdout
        assert named[0].endswith("--allow-principal User:worker" + right_in(missing)), named
        until(f"readiness names{right_in(missing)}", lambda: right_in(missing) in worker.get("/readyz")[1])
        assert right_in(missing) in worker.text()
        worker.kill()
        secured.allow("worker", missing)


def test_a_right_taken_from_a_running_worker_ends_its_readiness(world, secured, allowed):
    lines = lines_of(world, "worker")
    taken = [each for each in lines if each.endswith(f"Read --topic {world.topic}") or "--group" in each
             or f"Write --topic {world.audit_topic}" in each]
    assert len(taken) == 3
    worker = world.worker(**allowed("worker"))
    world.ask(create_ticket(1))
    for line in taken:
        secured.take("worker", line)
        waiting = escalate(1)
        world.publish(waiting)
        until(f"readiness names{right_in(line)}", lambda: right_in(line) in worker.get("/readyz")[1])
        secured.allow("worker", line)
        world.await_events([waiting])
        until("it is ready again", worker.ready)
    assert worker.end() == 0
    world.drain()
    world.check()


def test_check_leaves_neither_messages_nor_offsets_nor_a_rebalance(world, secured, allowed):
    worker = world.worker(**allowed("worker"))
    world.ask(create_ticket(1))
    world.drain()

    def state():
        return (world.kafka.ends(world.topic), world.kafka.ends(world.dlq_topic),
                world.kafka.committed(world.group, world.topic), world.letters.all(), len(world.audit.all()))
    before, offsets = state(), sum(world.kafka.ends(world.audit_topic).values())
    for _ in range(2):
        assert world.verb("check", **allowed("worker")).returncode == 0
    assert state() == before
    assert sum(world.kafka.ends(world.audit_topic).values()) == offsets + 4, "an aborted message and its mark, twice"
    assert worker.text().count("joining group") == 1
    world.ask(escalate(1))
    assert worker.end() == 0
    world.check()


def test_a_certificate_is_a_login_too(world, secured):
    secured.forbid_everything()
    secured.allow("worker", *lines_of(world, "worker"))
    settings = secured.settings_of_certificate("worker")
    assert world.verb("check", **settings).returncode == 0
    worker = world.worker(**settings)
    world.ask(create_ticket(1))
    assert worker.end() == 0


def test_scram_logs_in_or_its_defect_is_named_before_anything_is_connected_to(world, secured):
    secured.forbid_everything()
    secured.allow("worker", *lines_of(world, "worker"))
    settings = secured.settings_of("worker", sasl_mechanisms="SCRAM-SHA-512")
    library = re.search(r"librdkafka (\d+)\.(\d+)\.(\d+)", world.verb("version").stdout).groups()
    checked = world.verb("check", "--offline", **settings)
    if tuple(map(int, library)) >= (2, 6, 1):
        assert "SCRAM" not in checked.stdout
        assert world.verb("check", **settings).returncode == 0
        return
    assert checked.returncode == 0 and "2.6.1" in checked.stdout and "SCRAM" in checked.stdout
    tried = world.verb("check", **settings)
    assert tried.returncode == 3 and "invalid credentials" in tried.stdout and "before 2.6.1" in tried.stdout
    worker = world.worker(ready=False, **settings)
    until("readiness says it", lambda: "before 2.6.1" in worker.get("/readyz")[1])


def test_the_lines_are_as_kafka_s_own_tool_takes_them(world, secured):
    secured.forbid_everything()
    line = [each for each in lines_of(world, "worker") if "--resource-pattern-type" in each][0]
    words = line.replace(secured.sasl, secured.bootstrap).split()
    assert words[0] == "kafka-acls.sh"
    done = secured.tool("org.apache.kafka.tools.AclCommand", "--bootstrap-server", secured.bootstrap, *words[3:])
    assert done.returncode == 0, done.stdout + done.stderr
    secured.take("interlock_worker", line)
