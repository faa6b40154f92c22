#include "worker/admin/explain.h"

#include "worker/admin/audit_query.h"

#define LETTER_NAME "l.topic || '/' || l.partition || '/' || l.kafka_offset"

#define AUDIT_ROW \
    "e.partition_id, e.kafka_offset, e.fence, e.changed_at, e.version_from, e.version_to, e.lock_wait_us, " \
    "e.transaction_us, e.event_id, e.outcome::text AS outcome, e.operation::text AS operation, e.aggregate, " \
    "e.command_source, e.command_id, e.command_type, e.reason, e.status_old, e.status_new"

#define LETTER_ROW \
    "d.kafka_offset, d.partition_id, d.first_failed_at, d.reason, d.state, d.state_at, d.action_id, d.attempts, " \
    "d.redrives, d.key, d.command_source, d.command_id, d.says"

/* The question, and the rows that stand for the command. The letter of an answered command is part of its story. */
#define ROWS_OF_IT \
    "WITH asked AS MATERIALIZED (SELECT CASE WHEN $1::text IS NOT NULL THEN encode(substr(sha256(convert_to($1, " \
    "'UTF8') || '\\x00'::bytea || convert_to($2::text, 'UTF8')), 1, 16), 'hex')::uuid END AS identity, (SELECT o.id " \
    "FROM interlock.partition_owner o WHERE o.topic = $3::text AND o.partition = $4::integer) AS part, $5::bigint AS " \
    "at), p AS MATERIALIZED (SELECT p.identity, p.partition_id, p.kafka_offset, p.reason, p.aggregate, p.place, " \
    "p.due_at, p.parked_at, p.parkings, p.returns, p.returned_at, p.returned_offset, p.action_id, p.pause_id, " \
    "p.cancelled_by, p.command_source, p.command_id, p.command_type, p.blocks, p.waits FROM interlock.parked_command " \
    "p, asked q WHERE CASE WHEN q.identity IS NOT NULL THEN p.identity = q.identity ELSE (p.partition_id = q.part " \
    "AND p.kafka_offset = q.at) OR (coalesce(p.returned_partition_id, p.partition_id) = q.part AND p.returned_offset " \
    "= q.at) END LIMIT 1), i AS MATERIALIZED (SELECT i.partition_id, i.kafka_offset, i.fence FROM interlock.inbox i " \
    "WHERE i.identity = (SELECT identity FROM asked) AND NOT i.parked), a AS MATERIALIZED (SELECT * FROM " \
    "(SELECT " AUDIT_ROW \
    " FROM i JOIN interlock.audit_event e USING (partition_id, kafka_offset, fence) UNION ALL SELECT " AUDIT_ROW \
    " FROM interlock.audit_event e WHERE e.partition_id = (SELECT part FROM asked) AND e.kafka_offset = (SELECT at " \
    "FROM asked) UNION ALL SELECT " AUDIT_ROW \
    " FROM interlock.audit_event e WHERE $6::uuid IS NOT NULL AND e.event_id = $6) e ORDER BY fence DESC LIMIT 1), l " \
    "AS MATERIALIZED (SELECT o.topic, o.partition, " LETTER_ROW " FROM " \
    "(SELECT * FROM (SELECT " LETTER_ROW " FROM interlock.dead_letter d " \
    "WHERE d.identity = (SELECT identity FROM asked) UNION ALL SELECT " LETTER_ROW \
    " FROM interlock.dead_letter d WHERE d.partition_id = (SELECT part FROM asked) AND " \
    "d.kafka_offset = (SELECT at FROM asked)) d ORDER BY first_failed_at DESC LIMIT 1) d JOIN " \
    "interlock.partition_owner o ON o.id = d.partition_id) "

#define ANSWER_WORDS \
    "coalesce(a.aggregate, 'no aggregate') || CASE WHEN a.outcome = 'rejected' THEN ': ' || a.reason || coalesce(', " \
    "its row had version ' || a.version_from || coalesce(', status ' || a.status_old, ''), ', no row was found') " \
    "ELSE coalesce(' version ' || a.version_from || '->' || a.version_to, '') || coalesce(', ' || a.operation, '') " \
    "END"

#define LAST_PRUNE \
    "(SELECT 'action ' || x.id || ' by ' || x.actor || ', ' || interlock.ago(x.at) || ': ' || x.reason FROM " \
    "interlock.operator_action x WHERE x.verb = 'prune' ORDER BY x.id DESC LIMIT 1)"

/* The command that stands before it. */
#define FRONT \
    "(SELECT f.command_source || ' ' || f.command_id || ' (' || f.reason || ')' FROM interlock.parked_command f " \
    "WHERE f.aggregate = p.aggregate AND f.place < p.place AND (p.waits OR (f.blocks AND f.partition_id = " \
    "p.partition_id)) ORDER BY f.place DESC LIMIT 1)"

static const char *const command_parts[] = {
    ROWS_OF_IT,
    "SELECT CASE WHEN p.identity IS NOT NULL THEN CASE WHEN p.cancelled_by IS NOT NULL OR p.reason IN ('redriven', "
    "'replayed') THEN 'in flight' WHEN p.reason = 'paused' THEN 'paused' WHEN p.reason = 'notbefore' THEN 'parked "
    "early' WHEN p.reason = 'behind' THEN 'parked behind' ELSE 'parked held' END WHEN a.event_id IS NOT NULL THEN "
    "CASE WHEN a.kafka_offset >= coalesce(w.published, 0) THEN 'answered but not published' ELSE a.outcome END WHEN "
    "l.topic IS NOT NULL THEN 'dead letter' END, ",
    /* headline */
    "CASE WHEN p.identity IS NOT NULL THEN coalesce(p.aggregate, 'no aggregate') || ', ' || CASE WHEN p.cancelled_by "
    "IS NOT NULL THEN 'it returns to be rejected as cancelled: ' || interlock.action_words(p.cancelled_by) WHEN "
    "p.reason IN "
    "('redriven', 'replayed') THEN 'brought back by ' || coalesce(interlock.action_words(p.action_id), 'an "
    "operator') || CASE WHEN p.returned_at IS NULL THEN ', not returned yet' ELSE ', returned ' || "
    "interlock.ago(p.returned_at) END WHEN p.reason = 'paused' THEN coalesce((SELECT z.scope || ' ' || z.target || ' "
    "by ' || x.actor || ': ' || x.reason || coalesce(', until ' || interlock.clock(z.ends_at), ', until it is "
    "resumed') FROM interlock.pause z JOIN interlock.operator_action x ON x.id = z.action_id WHERE z.id = "
    "p.pause_id), 'by a pause') WHEN p.reason = 'notbefore' THEN 'due ' || interlock.clock(p.due_at) || coalesce(', "
    "' || CASE WHEN p.due_at > now() THEN 'in ' || justify_interval(date_trunc('second', p.due_at - now())) END, ', "
    "now') WHEN p.reason = 'behind' THEN 'behind ' || coalesce(" FRONT
    ", 'nothing any more: it returns now') ELSE 'its row was busy when it was tried ' || p.parkings || ' times, "
    "again at ' || interlock.clock(p.due_at) END WHEN a.event_id IS NOT NULL THEN CASE WHEN a.kafka_offset >= "
    "coalesce(w.published, 0) THEN a.outcome || ' ' ELSE '' END || interlock.ago(a.changed_at) || ': ' || " ANSWER_WORDS
    " || CASE WHEN a.kafka_offset < w.published THEN '; its event is published' ELSE '' END WHEN l.topic IS NOT NULL "
    "THEN '(' || l.state || ') since ' || interlock.ago(l.first_failed_at) || ': ' || l.reason || coalesce(': ' || "
    "l.says, '') END, ",
    /* next */
    "CASE WHEN p.identity IS NOT NULL THEN CASE WHEN p.reason = 'paused' THEN 'interlock resume ' || "
    "coalesce(p.pause_id::text, 'ID') WHEN p.reason = 'behind' THEN 'look at what is in front: interlock explain "
    "--key ' || p.aggregate WHEN p.reason = 'notbefore' THEN 'wait; or let it return now: interlock parked release' "
    "WHEN p.reason IN ('redriven', 'replayed') AND p.returned_at IS NULL THEN 'wait; or interlock action stop ' || "
    "p.action_id WHEN p.reason = 'held' THEN 'end the session that holds the row; it returns by itself' ELSE 'wait' "
    "END WHEN a.event_id IS NOT NULL THEN CASE WHEN a.kafka_offset >= coalesce(w.published, 0) THEN 'interlock "
    "status' ELSE coalesce('nothing to do; its aggregate: interlock explain --key ' || a.aggregate, 'nothing to do') "
    "END WHEN l.topic IS NOT NULL THEN 'interlock dlq show ' || " LETTER_NAME " END, ",
    /* story */
    "nullif(concat('  ' || coalesce(interlock.clock(l.first_failed_at) || '  dead letter ' || " LETTER_NAME
    " || ', ' || l.reason || E'\\n', ''), '  ' || interlock.clock(l.state_at) || '  ' || l.state || coalesce(': ' || "
    "interlock.action_words(l.action_id), '') || E'\\n', '  ' || interlock.clock(p.parked_at) || '  ' || 'parked: ' "
    "|| p.reason || ', ' || p.returns || ' returns' || E'\\n', '  ' || interlock.clock(a.changed_at) || '  ' || "
    "a.outcome || ' in ' || round(a.transaction_us / 1000.0, 1) || ' ms, lock wait ' || round(a.lock_wait_us / "
    "1000.0, 1) || ' ms, fence ' || a.fence || E'\\n'), ''), coalesce(o.topic, l.topic), coalesce(o.partition, "
    "l.partition), coalesce(p.kafka_offset, a.kafka_offset, l.kafka_offset), coalesce(p.aggregate, a.aggregate, "
    "l.key), a.event_id IS NOT NULL AND p.identity IS NULL AND a.kafka_offset < coalesce(w.published, 0), "
    "a.event_id, coalesce(p.command_source, a.command_source, l.command_source), coalesce(p.command_id, "
    "a.command_id, l.command_id) FROM asked q LEFT JOIN p ON true LEFT JOIN a ON true LEFT JOIN l ON true LEFT JOIN "
    "interlock.partition_owner o ON o.id = coalesce(p.partition_id, a.partition_id, l.partition_id) LEFT JOIN "
    "interlock.partition_published w ON w.partition_id = coalesce(p.partition_id, a.partition_id, l.partition_id)",
};

static const char forgotten_sql[] =
    "WITH pruned AS MATERIALIZED (SELECT max(pruned_below) AS below FROM interlock.partition_published), a AS "
    "MATERIALIZED (SELECT " AUDIT_ROW
    " FROM interlock.audit_event e WHERE (SELECT below FROM pruned) > 0 AND e.command_source = $1::text AND "
    "e.command_id = $2::text ORDER BY e.changed_at DESC LIMIT 1) SELECT 'forgotten', a.outcome || ' ' || "
    "interlock.ago(a.changed_at) || ': ' || " ANSWER_WORDS
    " || '; its inbox row was pruned' || coalesce(': ' || " LAST_PRUNE
    ", ''), 'nothing to do; sent again, it would be a new command', NULL, o.topic, o.partition, "
    "a.kafka_offset, a.aggregate, true, a.event_id, a.command_source, a.command_id FROM a JOIN "
    "interlock.partition_owner o ON o.id = a.partition_id";

static const char place_sql[] =
    "SELECT w.published, coalesce(w.pruned_below, 0), " LAST_PRUNE
    ", z.says, z.id FROM (SELECT 1) one LEFT JOIN interlock.partition_owner o ON o.topic = $1::text AND "
    "o.partition = $2::integer LEFT JOIN interlock.partition_published w ON w.partition_id = o.id LEFT JOIN LATERAL "
    "(SELECT z.id, trim(z.scope || ' ' || z.target) || ' by ' || x.actor || ': ' || x.reason || coalesce(', until ' "
    "|| interlock.clock(z.ends_at), ', until it is resumed') AS says FROM interlock.pause z JOIN "
    "interlock.operator_action x ON x.id = z.action_id WHERE z.resumed_at IS NULL AND (z.ends_at IS NULL OR "
    "z.ends_at > now()) AND (z.scope = 'all' OR (z.scope = 'topic' AND z.target = $1) OR (z.scope = 'partition' AND "
    "z.target = $1 || '/' || $2::text)) LIMIT 1) z ON true";

static const char workers_sql[] =
    "SELECT http, slot FROM interlock.worker_seen WHERE http IS NOT NULL AND seen_at > now() - interval '1 minute' "
    "ORDER BY slot";

static const char owner_sql[] =
    "SELECT (p ->> 'watermark')::bigint, (p ->> 'in_flight')::bigint, c ->> 'waits_for', h ->> 'key', h ->> "
    "'held_s', h ->> 'reason', (h ->> 'offset')::bigint, h ->> 'commands' FROM jsonb_array_elements($1::jsonb -> "
    "'cells') c, jsonb_array_elements(c -> 'partitions') p LEFT JOIN LATERAL (SELECT h FROM jsonb_array_elements(c "
    "-> 'held' -> 'longest') h WHERE h ->> 'topic' = $2::text AND h ->> 'partition' = $3::text AND (h ->> 'key' = "
    "$5::text OR h ->> 'offset' = $4::text) LIMIT 1) h ON true WHERE p ->> 'topic' = $2 AND p ->> 'partition' = $3 "
    "AND (p ->> 'taken')::boolean LIMIT 1";

/* From a worker's /status, as owner_sql. */
static const char holding_sql[] = "SELECT EXISTS (SELECT FROM jsonb_array_elements($1::jsonb -> 'cells') c WHERE (c -> "
                                  "'held' ->> 'keys')::bigint > 0)";

static const char key_sql[] =
    "WITH a AS MATERIALIZED (SELECT * FROM (SELECT " AUDIT_ROW
    " FROM interlock.audit_event e WHERE e.aggregate = $1::text ORDER BY e.changed_at DESC LIMIT $2::bigint) a ORDER "
    "BY changed_at), p AS MATERIALIZED (SELECT p.place, p.reason, p.due_at, p.parked_at, p.command_source, "
    "p.command_id, p.command_type FROM interlock.parked_command p WHERE p.aggregate = $1 ORDER BY p.place LIMIT "
    "100), l AS MATERIALIZED (SELECT o.topic, o.partition, d.kafka_offset, d.first_failed_at, d.reason FROM "
    "interlock.dead_letter d JOIN interlock.partition_owner o ON o.id = d.partition_id WHERE d.key = $1 AND d.state "
    "= 'open' ORDER BY d.first_failed_at LIMIT 100) SELECT kind, line, next, look FROM (SELECT 1 AS part, "
    "row_number() OVER (ORDER BY a.changed_at) AS nr, 'answer' AS kind, interlock.clock(a.changed_at) || '  ' || "
    "rpad(a.outcome, 10) || ' ' || CASE WHEN a.outcome = 'rejected' THEN a.reason ELSE coalesce('version ' || "
    "a.version_from || '->' || a.version_to, '') END || '  ' || a.command_type || '  ' || a.command_source || ' ' || "
    "a.command_id AS line, NULL::text AS next, NULL::boolean AS look FROM a UNION ALL SELECT 2, row_number() OVER "
    "(ORDER BY l.first_failed_at), 'letter', interlock.clock(l.first_failed_at) || '  dead letter ' || l.reason || "
    "'  ' || " LETTER_NAME
    ", NULL, NULL FROM l UNION ALL SELECT 3, p.place, 'parked', interlock.clock(p.parked_at) || '  parked     ' || "
    "p.reason || ', due ' || interlock.clock(p.due_at) || '  ' || p.command_type || '  ' || p.command_source || ' ' "
    "|| p.command_id, NULL, NULL FROM p UNION ALL SELECT 0, 0, 'head', CASE WHEN (SELECT count(*) FROM p) > 0 THEN "
    "(SELECT 'parked ' || reason FROM p ORDER BY place LIMIT 1) || ': ' || (SELECT count(*) FROM p) || ' commands "
    "wait; ' WHEN (SELECT count(*) FROM l) > 0 THEN 'dead letter: ' WHEN (SELECT count(*) FROM a) > 0 THEN 'nothing "
    "waits: ' ELSE 'not found: ' END || $1 || coalesce(' is at version ' || (SELECT max(version_to) FROM a), ' has "
    "no answer') || ', ' || (SELECT count(*) FROM l) || ' open dead letters', CASE WHEN (SELECT count(*) FROM p) > 0 "
    "THEN (SELECT 'interlock explain --source ' || command_source || ' --id ' || command_id FROM p ORDER BY place "
    "LIMIT 1) WHEN (SELECT count(*) FROM l) > 0 THEN (SELECT 'interlock dlq show ' || " LETTER_NAME
    " FROM l ORDER BY first_failed_at LIMIT 1) WHEN (SELECT count(*) FROM a) > 0 THEN 'nothing to do' ELSE 'look at "
    "the key again; a command of it may not have been read yet: interlock explain --source S --id I' END, (SELECT "
    "count(*) FROM p) + (SELECT count(*) FROM l) > 0 OR (SELECT count(*) FROM a) = 0) x ORDER BY part, nr";

PGresult *explain_command(PGconn *connection, const struct explain_target *target, struct buffer *reterr)
{
    const char *const values[] = { target->source,    target->id,     target->topic,
                                   target->partition, target->offset, target->event };
    struct buffer sql = BUFFER_EMPTY;

    for (size_t i = 0; i < sizeof(command_parts) / sizeof(command_parts[0]); i++)
        buffer_add_text(&sql, command_parts[i]);
    buffer_add_byte(&sql, '\0');
    if (buffer_failed(&sql))
        buffer_add_text(reterr, "out of memory");
    PGresult *rows = buffer_failed(&sql) ? NULL : query_run(connection, sql.at, 6, values, reterr);
    buffer_done(&sql);
    return rows;
}

PGresult *explain_forgotten(PGconn *connection, const struct explain_target *target, struct buffer *reterr)
{
    const char *const values[] = { target->source, target->id };

    return query_run(connection, forgotten_sql, 2, values, reterr);
}

PGresult *explain_metadata(PGconn *connection, const char *event, struct buffer *reterr)
{
    bool may;

    if (!audit_query_metadata(connection, &may, reterr) || !may)
        return NULL;
    return query_run(connection, "SELECT metadata FROM interlock.audit_event WHERE event_id = $1::uuid", 1, &event,
                     reterr);
}

PGresult *explain_place(PGconn *connection, const struct explain_target *target, struct buffer *reterr)
{
    const char *const values[] = { target->topic, target->partition };

    return query_run(connection, place_sql, 2, values, reterr);
}

PGresult *explain_workers(PGconn *connection, struct buffer *reterr)
{
    return query_run(connection, workers_sql, 0, NULL, reterr);
}

PGresult *explain_owner(PGconn *connection, const char *status, const struct explain_target *target, const char *key,
                        struct buffer *reterr)
{
    const char *const values[] = { status, target->topic, target->partition, target->offset, key };

    return query_run(connection, owner_sql, 5, values, reterr);
}

bool explain_holds_back(PGconn *connection, const char *status)
{
    struct buffer fault = BUFFER_EMPTY;
    QUERY_RESULT rows = query_run(connection, holding_sql, 1, &status, &fault);

    buffer_done(&fault);
    return rows && PQntuples(rows) == 1 && strcmp(PQgetvalue(rows, 0, 0), "t") == 0;
}

PGresult *explain_key(PGconn *connection, const char *key, const char *last, struct buffer *reterr)
{
    const char *const values[] = { key, last };

    return query_run(connection, key_sql, 2, values, reterr);
}
