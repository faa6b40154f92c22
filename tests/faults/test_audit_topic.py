"""The audit topic refuses what the worker publishes. Commands go on being applied, nothing is acknowledged to the
group, the worker says what an operator has to do, and when that is done exactly one set of events comes."""

import pytest
from confluent_kafka.admin import (AclBinding, AclBindingFilter, AclOperation, AclPermissionType, AlterConfigOpType,
                                   ConfigEntry, ConfigResource, ResourcePatternType, ResourceType)

from brokers import cluster, gentle, wide  # noqa: F401  fixtures
from check.evidence import to_event
from harness.broker import PrivateBroker, free_ports, stack_with
from harness.fixtures import finish
from harness.kafka import Tail
from harness.waiting import holds_for, until
from trial import Trial, running

SETTING, DELETED = AlterConfigOpType.SET, AlterConfigOpType.DELETE


def configure(world, name, value):
    """Of the audit topic; None: as before."""
    entry = ConfigEntry(name, value, incremental_operation=DELETED if value is None else SETTING)
    resource = ConfigResource(ConfigResource.Type.TOPIC, world.audit_topic, incremental_configs=[entry])
    world.kafka.admin.incremental_alter_configs([resource])[resource].result(30)


def reason(worker):
    """Why it is not ready."""
    return worker.get("/readyz")[1]


def acknowledged(world):
    """The group's offsets; {}: nobody says."""
    return world.kafka.committed(world.group, world.topic, stable=False)


def refused_for_a_while(trial, worker, *says):
    """Waits for the facts that must be true while the audit topic refuses everything; the load runs."""
    world = trial.world
    for each in says:
        until(f"/readyz says: {each}", lambda each=each: each in reason(worker), 60)
    committed = until("the offsets are known", lambda: acknowledged(world), 60)
    trial.progress(60)
    rebuilds = worker.metric("interlock_producer_rebuilds_total")
    holds_for("nothing is acknowledged", lambda: acknowledged(world) in ({}, committed), 3)
    assert worker.get("/healthz")[0] == 200 and worker.get("/readyz")[0] == 503
    for each in says:
        assert each in worker.text()
    rate = (worker.metric("interlock_producer_rebuilds_total") - rebuilds) / 3
    trial.note(rebuilds_per_second=round(rate, 1))
    assert rate < 2, "each attempt leaves what it aborted in the topics: fewer and fewer of them"


@pytest.mark.fault(25)
@pytest.mark.seconds(180)
def test_events_are_too_large_for_the_audit_topic(trial):
    """Its max.message.bytes was lowered under the worker."""
    worker, = trial.workers(1)
    with gentle(trial.load()):
        trial.progress(30)
        configure(trial.world, "max.message.bytes", "100")
        refused_for_a_while(trial, worker, "Message size too large", "raise the topic's max.message.bytes")
        configure(trial.world, "max.message.bytes", None)
        trial.recovered()
    worker.wait_ready()
    trial.judge()


@pytest.mark.fault(25)
@pytest.mark.seconds(180)
def test_the_audit_topic_is_missing(trial):
    """Deleted under a ready worker, before its first event: with the topic its events would be gone."""
    world = trial.world
    worker, = trial.workers(1)
    world.audit.close()
    world.kafka.admin.delete_topics([world.audit_topic], operation_timeout=30)[world.audit_topic].result(30)
    with gentle(trial.load()):
        refused_for_a_while(trial, worker, "Unknown topic", "interlock topics create")
        world.kafka.create_topics({world.audit_topic: 3})
        world.audit = Tail(world.stack.bootstrap, world.audit_topic, to_event)
        world.tails.append(world.audit)
        trial.recovered()
    worker.wait_ready()
    trial.judge()


# ---- replicas -----------------------------------------------------------------------------------------------------

@pytest.mark.long
@pytest.mark.fault(25)
@pytest.mark.seconds(400)
def test_the_audit_topic_has_too_few_replicas_in_sync(wide, cluster):
    """All three must have an event, and one of the three brokers is down."""
    world = wide.world
    configure(world, "min.insync.replicas", "3")
    worker, = wide.workers(1)
    with gentle(wide.load()):
        wide.progress(30)
        cluster.stop(wide.random.choice(list(cluster.nodes)))
        refused_for_a_while(wide, worker, "of 3 replicas in sync", "min.insync.replicas")
        cluster.start_missing()
        wide.recovered()
    worker.wait_ready()
    wide.judge()


@pytest.mark.long
@pytest.mark.fault(25)
@pytest.mark.seconds(400)
def test_two_of_three_brokers_are_down(wide, cluster):
    """Nothing can be published, not even commands."""
    world = wide.world
    worker, = wide.workers(1)
    with gentle(wide.load()):
        wide.progress(30)
        for number in wide.random.sample(list(cluster.nodes), 2):
            cluster.kill(number)
        until("it is not ready, and says why", lambda: worker.get("/readyz")[0] == 503, 90)
        wide.note(said=reason(worker))
        assert worker.get("/healthz")[0] == 200
        cluster.start_missing()
        wide.recovered()
    worker.wait_ready()
    wide.judge()


# ---- what the worker may do ---------------------------------------------------------------------------------------

GRANTS = {  # the least that it needs
    "commands": (ResourceType.TOPIC, "{topic}", [AclOperation.READ]),
    "group": (ResourceType.GROUP, "{group}", [AclOperation.READ]),
    "events": (ResourceType.TOPIC, "{audit}", [AclOperation.WRITE]),
    "letters": (ResourceType.TOPIC, "{dlq}", [AclOperation.WRITE]),
    "transactions": (ResourceType.TRANSACTIONAL_ID, "interlock.{group}.", [AclOperation.WRITE]),
}


class GuardedBroker(PrivateBroker):
    """A second listener for the user `worker`, who may do what was granted and nothing else."""

    def __init__(self):
        super().__init__()
        self.guarded = f"127.0.0.1:{free_ports(1)[0]}"
        for name in ("listeners", "advertised.listeners"):
            self.settings[name] += f",WORKER://{self.guarded}"
        self.settings["listener.security.protocol.map"] += ",WORKER:SASL_PLAINTEXT"
        self.settings.update({
            "listener.name.worker.sasl.enabled.mechanisms": "PLAIN",
            "listener.name.worker.plain.sasl.jaas.config":
                'org.apache.kafka.common.security.plain.PlainLoginModule required user_worker="open";',
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
        })

    def use(self, world):
        """The settings with which a worker of this world is that user."""
        world.settings["KAFKA_BOOTSTRAP"] = self.guarded
        for kind in ("consumer", "producer"):
            world.settings.update({
                f"kafka_{kind}_security_protocol": "SASL_PLAINTEXT", f"kafka_{kind}_sasl_mechanisms": "PLAIN",
                f"kafka_{kind}_sasl_username": "worker", f"kafka_{kind}_sasl_password": "open"})


def bindings(world, name):
    kind, pattern, operations = GRANTS[name]
    resource = pattern.format(topic=world.topic, group=world.group, audit=world.audit_topic, dlq=world.dlq_topic)
    how = ResourcePatternType.PREFIXED if resource.endswith(".") else ResourcePatternType.LITERAL
    return [(kind, resource, how, "User:worker", "*", each, AclPermissionType.ALLOW) for each in operations]


def grant(world, *names):
    wanted = [AclBinding(*each) for name in names for each in bindings(world, name)]
    for future in world.kafka.admin.create_acls(wanted).values():
        future.result(30)


def revoke(world, name):
    for future in world.kafka.admin.delete_acls([AclBindingFilter(*each) for each in bindings(world, name)]).values():
        assert future.result(30)


@pytest.fixture
def guarded(request, make_world, stack):
    with GuardedBroker() as broker:
        world = make_world(request.node.name.removeprefix("test_"), stack=stack_with(stack, broker.bootstrap))
        broker.use(world)
        grant(world, *GRANTS)
        with running(Trial(world, 25, request.node.name)) as trial:
            yield trial
        finish(request, world)


@pytest.mark.long
@pytest.mark.fault(25)
@pytest.mark.seconds(400)
def test_the_worker_may_not_write_any_more(guarded):
    """First to the audit topic, then under its transactional id; each is granted again."""
    world = guarded.world
    worker, = guarded.workers(1)
    with gentle(guarded.load()):
        guarded.progress(30)
        for name, says in (("events", "grant our user Write on the topics of events"),
                           ("transactions", "grant our user Write on the transactional ids")):
            revoke(world, name)
            refused_for_a_while(guarded, worker, "uthorization failed", says)
            grant(world, name)
            guarded.recovered()
            worker.wait_ready()
    guarded.judge()
