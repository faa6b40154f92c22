"""Many parked commands are due at one time (PROTOCOL L4): what comes back a second does not depend on how many there
are."""

import os
import time

import pytest

from harness.commands import create_ticket, escalate
from harness.parking import in_seconds, parked
from harness.waiting import until

MANY = int(os.environ.get("PARKED_MANY", "200000"))
AT_LEAST = 500  # a second, on a machine three times as slow as one that does 1,500

# Copies of one that is parked, each under an id, an identity and an aggregate of its own; none of their tickets is there.
FILL = r"""
WITH one AS (SELECT p.*, i.body_digest FROM interlock.parked_command p JOIN interlock.inbox i USING (identity)),
many AS MATERIALIZED (SELECT n, 'many-' || n AS id FROM generate_series(1, %s) n),
named AS MATERIALIZED (SELECT m.n, m.id, encode(substr(sha256(convert_to(o.command_source, 'UTF8') || '\x00'::bytea
    || convert_to(m.id, 'UTF8')), 1, 16), 'hex')::uuid AS identity FROM many m, one o),
seen AS (INSERT INTO interlock.inbox (identity, body_digest, kafka_offset, fence, partition_id, parked)
    SELECT n.identity, o.body_digest, o.kafka_offset, o.fence, o.partition_id, true FROM named n, one o)
INSERT INTO interlock.parked_command (identity, kafka_offset, fence, partition_id, due_at, blocks, waits, reason,
    aggregate, command_source, command_id, command_type, kafka_key, headers, value)
SELECT n.identity, o.kafka_offset, o.fence, (SELECT min(id) FROM interlock.partition_owner) + n.n %% 6, now(), false,
    false, 'notbefore', 'ticket/' || 100 + n.n, o.command_source, n.id, o.command_type,
    convert_to('ticket/' || 100 + n.n, 'UTF8'), o.headers, convert_to(regexp_replace(replace(replace(
    convert_from(o.value, 'UTF8'), '"template"', '"' || n.id || '"'), '"ticket_id": 1', '"ticket_id": ' || 100 + n.n),
    '"notbefore": "[0-9]{4}-', '"notbefore": "1999-'), 'UTF8')
FROM named n, one o
"""


@pytest.mark.fault(32)
@pytest.mark.seconds(240 + MANY // 2000)
def test_a_thousand_come_back_a_second_however_many_are_due(trial):
    world = trial.world
    worker = world.worker()
    world.ask(create_ticket(1))
    world.publish(escalate(1, id="template", notbefore=in_seconds(300 * 86400)))
    until("it is parked", lambda: parked(world) == 1, 20)
    world.database.execute(FILL, MANY)
    before, begun = worker.metric("interlock_parked_returns_total"), time.monotonic()
    wanted = min(MANY, 12 * AT_LEAST)
    until("some seconds' worth have come back",
          lambda: worker.metric("interlock_parked_returns_total") - before >= wanted, 120, pause=0.1)
    rate = (worker.metric("interlock_parked_returns_total") - before) / (time.monotonic() - begun)
    until("as many are decided", lambda: MANY + 1 - parked(world) >= wanted, 120, pause=0.5)
    decided = (MANY + 1 - parked(world)) / (time.monotonic() - begun)
    trial.note(parked=MANY, returned_a_second=round(rate), decided_a_second=round(decided))
    print(f"{MANY} parked: {rate:.0f} returned a second, {decided:.0f} decided a second")
    assert rate >= AT_LEAST
    worker.kill()
    # The rest is let go: what was made by hand is on no topic, so the checker is not asked.
    world.database.execute("TRUNCATE interlock.parked_command")
