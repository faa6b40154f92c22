"""A worker that sleeps with commands in its memory while another one takes its place, and then wakes."""

from .commands import create_ticket, transition
from .proxy import Proxy, Silence
from .waiting import until

TICKETS = 40


def applied_late(world, fence):
    """How many of the sleeper's commands were applied after a later one of their ticket; `fence`: whether the protection
    is on.

    Commands wait in the memory of a worker that is stopped; the group is moved past them, another worker goes on;
    then the sleeper wakes. Commands that it still applies come after later ones. It must not hear from Kafka that it is
    no member any more before it had the time to: its connection is silent by then, and its session a long one."""
    numbers = range(1, TICKETS + 1)
    settings = {"protections_fence": "true" if fence else "false", "worker_lanes": "8",
                "retries_lock_acquisition_longest": "200ms", "retries_database_operation_longest": "200ms",
                "retries_default_longest": "200ms", "retries_aggressive_longest": "200ms"}
    silence = Silence()
    proxy = Proxy(world.stack.bootstrap, silence)
    try:
        sleeper = world.worker(KAFKA_BOOTSTRAP=proxy.address, consumers_session_timeout="60s", **settings)
        world.ask(*[create_ticket(number) for number in numbers])
        world.drain()
        early = [transition(number, "OPEN") for number in numbers]
        with world.database.holding("SELECT 1 FROM interlock.ticket WHERE id = ANY(%s) FOR UPDATE", list(numbers)):
            world.publish(*early)
            until("the commands wait in memory", lambda: sleeper.metric("interlock_held_keys") >= TICKETS, 20)
            silence.begin()
            sleeper.stop()
        world.kafka.expel(world.group, f"interlock.{world.group}.0.0", world.topic)
        world.kafka.move_offsets(world.group, world.topic, world.kafka.ends(world.topic))
        late = [transition(number, "CANCELLED") for number in numbers]
        world.publish(*late)
        world.worker(consumers_static="false", **settings)
        world.await_events(late, 40)
        return wake(world, sleeper, fence, early)
    finally:
        proxy.close()


def wake(world, sleeper, fence, early):
    applied = "SELECT count(*) FROM interlock.audit_event WHERE command_id = ANY(%s)"
    identities = [each.identity[1] for each in early]
    sleeper.cont()
    if fence:
        until("a batch is refused", lambda: sleeper.metric("interlock_fence_rejections_total") > 0, 20)
        until("it holds none of them any more", lambda: sleeper.metric("interlock_held_keys") == 0, 20)
    else:
        until("all of them are applied late", lambda: world.database.value(applied, identities) == len(early), 20)
    return world.database.value(applied, identities)
