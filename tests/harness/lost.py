"""The state after a failover to a standby that lacked the last commits: what is published is beyond what is there."""

from .waiting import until

LOSE = """SET session_replication_role = replica; WITH lost AS (SELECT partition_id, kafka_offset, fence FROM interlock.audit_event
    WHERE aggregate = ANY (%s)), a AS (DELETE FROM interlock.audit_event e USING lost l WHERE (e.partition_id, e.kafka_offset,
    e.fence) = (l.partition_id, l.kafka_offset, l.fence)), h AS (DELETE FROM interlock.ticket_history WHERE 'ticket/' || ticket_id =
    ANY (%s)), t AS (DELETE FROM interlock.ticket WHERE 'ticket/' || id = ANY (%s))
    DELETE FROM interlock.inbox i USING lost l WHERE (i.partition_id, i.kafka_offset, i.fence) = (l.partition_id, l.kafka_offset, l.fence)"""


def published(world):
    until("all is known to be published", lambda: world.lag() == 0 and world.database.value(
        "SELECT count(*) FROM interlock.audit_event a JOIN interlock.partition_published p USING (partition_id) "
        "WHERE a.kafka_offset >= p.published") == 0)


def lose(world, keys, rows=True):
    """Every command of these tickets; `rows` false: their rows stay, and only the record of the commands goes."""
    published(world)
    world.database.execute(LOSE, keys, keys, keys if rows else [])
