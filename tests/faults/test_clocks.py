"""The wall clock jumps by an hour: of a worker, of Redis's host, of PostgreSQL's. Deadlines, leases and pauses are
measured on the monotonic clock, and what is written down is PostgreSQL's time, so nobody notices."""

import time

import pytest
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from harness.commands import append, create_ticket, escalate
from harness.load import TICKETS
from harness.parking import in_seconds
from harness.postgresql import make_world_on, postgresql_seed, servers  # noqa: F401
from harness.redis_server import PrivateRedis
from harness.waiting import holds_for, until
from harness.wall_clock import HOUR, WallClock
from trial import Trial, running

SESSION = 2  # seconds: short, so that a member that went silent is soon missed
RISING = """SELECT count(*) FROM (
    SELECT changed_at <= lag(changed_at) OVER (PARTITION BY aggregate ORDER BY version_to) AS back
    FROM interlock.audit_event WHERE outcome = 'applied' AND aggregate LIKE 'ticket/%%' AND version_to IS NOT NULL) t
    WHERE back"""


@pytest.fixture
def clock():
    with WallClock() as made:
        yield made


@pytest.fixture
def redis_clock():
    with WallClock() as made:
        yield made


def silent_for_a_session(world):
    """Nothing is published, so that nothing but a clock wakes who sleeps. False: the group has lost a member."""
    members = world.kafka.group_members(world.group)
    try:
        holds_for("all are members", lambda: world.kafka.group_members(world.group) == members, 2 * SESSION, pause=0.3)
        return True
    except AssertionError:
        return False


def waits_for_its_time(world, number):
    """An early command is returned when PostgreSQL's clock says so, neither an hour early nor an hour late."""
    early = append(number, "early", notbefore=in_seconds(1.5))
    before = world.database.value("SELECT now() + interval '1 second'")
    world.publish(early)
    world.await_events([early])
    assert world.database.value("SELECT changed_at FROM interlock.audit_event WHERE command_id = %s",
                                early.identity[1]) > before
    return early


@pytest.mark.fault(18)
@pytest.mark.seconds(150)
def test_a_worker_s_clock_and_redis_s_jump_by_an_hour(trial, clock, redis_clock):
    """There, under load; and back, at rest, when librdkafka's threads do nothing but wait."""
    world = trial.world
    with PrivateRedis(redis_clock.environment()) as redis:
        worker = world.worker(REDIS_URL=redis.url, consumers_session_timeout=f"{SESSION}s",
                              redis_command_timeout="20s", **clock.environment())
        with trial.load(burst=10) as load:
            load.pause = 0.05
            for jumper, seconds in ((clock, HOUR), (redis_clock, HOUR), (redis_clock, -HOUR), (clock, -HOUR),
                                    (clock, 0)):
                trial.progress(20)
                jumper.jump(seconds)
                trial.progress(20)
        for seconds in (HOUR, 0):  # each step the other way is an hour, too
            clock.jump(seconds)
            early = waits_for_its_time(world, 1)
            load.distinct[early.identity] = early
        world.drain()
        clock.jump(-HOUR)
        assert silent_for_a_session(world), "the group has lost its member"
        trial.recovered()
        assert worker.metric("interlock_lock_degraded_total") == 0
    trial.judge()


@pytest.mark.fault(18)
@pytest.mark.seconds(60)
def test_a_changed_row_is_later_though_postgresql_s_clock_went_back(trial):
    """PROTOCOL R4: changed_at rises with every change of a row, by a microsecond where the clock does not."""
    world = trial.world
    world.worker()
    world.ask(*[create_ticket(number) for number in range(1, 6)])
    world.drain()
    # The same as a clock that was set back by an hour since.
    world.database.execute("UPDATE interlock.ticket SET modified_at = modified_at + interval '1 hour'")
    world.ask(*[escalate(1 + step % 5) for step in range(50)])
    ahead = world.database.rows("SELECT a.changed_at > now() + interval '59 minutes', "
                                "t.modified_at = max(a.changed_at) OVER (PARTITION BY t.id) "
                                "FROM interlock.audit_event a JOIN interlock.ticket t "
                                "ON a.aggregate = 'ticket/' || t.id WHERE a.version_to > 1")
    assert ahead == [(True, True)] * 50
    assert world.database.value(RISING) == 0
    trial.judge()


@pytest.mark.fault(18)
def test_topics_of_events_and_dead_letters_carry_the_broker_s_time(world):
    """A broker refuses what is stamped an hour ahead of its own clock, so a worker's clock must not stamp it."""
    names = {"KAFKA_TOPICS": f"{world.name}.made", "KAFKA_AUDIT_TOPIC": f"{world.name}.made.audit"}
    settings = {name.lower(): each for name, each in names.items()}
    create = ("topics", "create", "--partitions", "1")
    until("they are made, and seen", lambda: world.verb(*create, **settings).returncode == 0)
    kinds = [world.kafka.topic_settings(names["KAFKA_TOPICS"] + suffix)["message.timestamp.type"]
             for suffix in ("", ".audit", ".dlq")]
    assert kinds == ["CreateTime", "LogAppendTime", "LogAppendTime"]


# ---- long --------------------------------------------------------------------------------------------------

@pytest.mark.long
@pytest.mark.fault(18)
@pytest.mark.seconds(300)
def test_steady_waits_keep_a_member_whose_clock_went_back(trial, clock, make_world, request):
    """Without them a thread of librdkafka that waits for a second waits for an hour: no heartbeat, and nobody to learn
    that the group has lost it."""
    shown = {}
    for steady in ("false", "true"):
        world = trial.world if steady == "true" else make_world("clock without")
        clock.jump(0)
        world.worker(protections_steady_waits=steady, consumers_session_timeout=f"{SESSION}s", **clock.environment())
        world.ask(create_ticket(1))
        world.drain()
        clock.jump(-HOUR)
        kept = silent_for_a_session(world)
        late, began = escalate(1), time.monotonic()
        world.publish(late)
        try:
            world.await_events([late], 30 if steady == "true" else 3 * SESSION)
            shown[steady] = f"answered after {time.monotonic() - began:.1f} s"
        except AssertionError:
            shown[steady] = f"no event {3 * SESSION} s later"
        shown[steady] = f"{'still a member' if kept else 'no member any more'}; {shown[steady]}"
        clock.jump(0)
        world.await_events([late], 60)
        world.drain()
    assert shown["false"].startswith("no member any more; no event"), shown
    assert shown["true"].startswith("still a member; answered"), shown
    trial.defence("steady waits", "the clock is set back by an hour, the worker is at rest",
                  shown["false"], shown["true"])
    trial.judge()


def stamped_by_broker(world):
    """As `topics create` makes it; the harness's topics are a broker's default."""
    resource = ConfigResource(ResourceType.TOPIC, world.audit_topic, incremental_configs=[
        ConfigEntry("message.timestamp.type", "LogAppendTime", incremental_operation=AlterConfigOpType.SET)])
    for future in world.kafka.admin.incremental_alter_configs([resource]).values():
        future.result(30)


@pytest.mark.long
@pytest.mark.fault(18)
@pytest.mark.seconds(300)
def test_a_clock_two_hours_ahead_only_delays_events(trial, clock):
    """More than brokers take in a record. Where the topic carries the broker's time nobody notices."""
    world = trial.world
    worker = world.worker(**clock.environment())
    with trial.load(burst=10) as load:
        load.pause = 0.1
        trial.progress(50)
        clock.jump(2 * HOUR)
        until("it says what to do", lambda: "message.timestamp.type" in worker.text(), 60)
        published = worker.metric("interlock_events_published_total")
        trial.progress(50)
        assert worker.metric("interlock_events_published_total") == published
        clock.jump(0)
        held = trial.recovered()
        stamped_by_broker(world)
        clock.jump(2 * HOUR)
        stamped = trial.recovered()
    trial.defence("the broker's time on events", "a worker's clock is two hours ahead",
                  f"no event until it is right; then after {held} ms", f"as ever: an event after {stamped} ms")
    trial.judge()


@pytest.fixture
def trial_of_its_time(servers, make_world_on, clock, request):  # noqa: F811
    """On a PostgreSQL whose clock jumps."""
    server = servers.primary()
    server.stop()
    server.environment = clock.environment()
    server.start()
    with running(Trial(make_world_on(server), 18, request.node.name)) as made:
        yield made


@pytest.mark.long
@pytest.mark.fault(18)
@pytest.mark.seconds(300)
def test_postgresql_s_clock_jumps_by_an_hour(trial_of_its_time, clock):
    """Forward and back under load. It decides when an early command is due."""
    trial, world = trial_of_its_time, trial_of_its_time.world
    trial.workers(2)
    with trial.load(burst=20) as load:
        for seconds in (HOUR, 0, -HOUR, 0):
            trial.progress(100)
            clock.jump(seconds)
            trial.progress(100)
            trial.recovered()
        early = append(1, "early", notbefore=in_seconds(HOUR / 2))
        load.distinct[early.identity] = early
        world.publish(early)
        until("it is parked", lambda: world.database.count("parked_command") == 1, 30)
        clock.jump(HOUR)
        world.await_events([early], 30)
    world.drain()
    assert world.database.value(RISING) == 0
    trial.judge()


@pytest.mark.long
@pytest.mark.fault(18)
@pytest.mark.seconds(300)
def test_a_lock_that_redis_s_clock_made_last_an_hour_delays_its_ticket_only(trial, redis_clock):
    """PROTOCOL L2: nobody gives it back; past the lock's longest wait each of its commands goes on without it."""
    world, number = trial.world, TICKETS
    with PrivateRedis(redis_clock.environment()) as redis:
        worker = world.worker(REDIS_URL=redis.url)
        with trial.load(burst=10) as load:
            load.pause = 0.05
            trial.progress(50)
            until("it is locked by a worker that died", lambda: redis.ask(
                "SET", f"{world.name}:ticket/{number}", "group/7/nonce/0/0", "NX", "PX", 10000) == "OK", 30)
            redis_clock.jump(-HOUR)
            began = time.monotonic()
            waiting = [escalate(number) for _ in range(10)]
            for each in waiting:
                load.distinct[each.identity] = each
            world.publish(*waiting)
            world.await_events(waiting, 120)
            took = time.monotonic() - began
            trial.progress(50)
        assert redis.ask("PTTL", f"{world.name}:ticket/{number}") > 1000 * HOUR / 2
        trial.note(ten_commands_behind_the_lock_s=round(took, 1), refused=worker.metric("interlock_lock_refused_total"))
        redis_clock.jump(0)
    trial.judge()
