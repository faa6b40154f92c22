#include "worker/admin/pause.h"

#include <stdio.h>
#include <stdlib.h>

#include "worker/postgres/advisory_locks.h"
#include "worker/postgres/query.h"

#define TIME_TEXT(column) "to_char(" column " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"

enum
{
    SHARE_OF_PARTITION = 10000,
};

/* Those behind a paused command wait with it; one that waits for a pause of its own counts for that. */
#define PAUSED_AT TIME_TEXT("z.paused_at")
#define ENDS_AT TIME_TEXT("z.ends_at")
#define RESUMED_AT TIME_TEXT("z.resumed_at")
static const char list_sql[] =
    "SELECT z.id, z.scope, z.target, CASE WHEN z.keeps_order THEN 'keep' ELSE 'pass' END, " PAUSED_AT ", " ENDS_AT
    ", a.actor, a.reason, w.commands, w.aggregates, " RESUMED_AT
    ", (SELECT b.actor FROM interlock.operator_action b WHERE b.id = z.resumed_by) FROM interlock.pause z JOIN "
    "interlock.operator_action a ON a.id = z.action_id, LATERAL (SELECT count(*) AS commands, count(DISTINCT "
    "q.aggregate) AS aggregates FROM (SELECT p.aggregate FROM interlock.parked_command p WHERE p.pause_id = z.id "
    "UNION ALL SELECT p.aggregate FROM interlock.parked_command p WHERE p.pause_id IS NULL AND p.reason = "
    "'behind' AND EXISTS (SELECT FROM interlock.parked_command e WHERE e.aggregate = p.aggregate AND e.place < "
    "p.place AND e.pause_id = z.id)) q) w WHERE CASE WHEN $2::integer IS NOT NULL THEN z.id = $2::integer WHEN "
    "$1::boolean THEN true ELSE z.resumed_at IS NULL END ORDER BY z.resumed_at IS NOT NULL, z.id DESC LIMIT 100";

static const char *const matches_sql[][2] = {
    { "all", "true" },
    { "topic", "o.topic = $1::text" },
    { "partition", "o.topic || '/' || o.partition = $1::text" },
    { "type", "e.command_type = $1::text" },
    { "key", "e.aggregate = $1::text" },
};

static const char waiting_sql[] = "SELECT count(*) FROM interlock.parked_command WHERE pause_id IS NOT NULL";

#define OF_SCOPE(scope, target) \
    "(" scope " = 'all' OR (" scope " = 'topic' AND o.topic = " target ") OR (" scope \
    " = 'partition' AND o.topic || '/' " \
    "|| o.partition = " target "))"

static const char partitions_sql[] =
    "SELECT count(*) FROM interlock.partition_owner o WHERE " OF_SCOPE("$1::text", "$2::text");

static const char other_sql[] =
    "SELECT id FROM interlock.pause WHERE resumed_at IS NULL AND (ends_at IS NULL OR ends_at > "
    "clock_timestamp()) AND scope = $1::text AND target = $2::text ORDER BY id LIMIT 1";
static const char insert_sql[] =
    "INSERT INTO interlock.pause (scope, target, keeps_order, ends_at, action_id) VALUES ($1::text, $2::text, "
    "$3::boolean, CASE WHEN $5::bigint > 0 THEN clock_timestamp() + $5::bigint * interval '1 microsecond' "
    "ELSE $4::timestamptz END, $6::bigint) RETURNING id";

/* Locks of two keys have objsubid 2. */
#define LOCKS_SQL \
    "SELECT array_agg(DISTINCT l.virtualtransaction) FROM pg_locks l WHERE l.locktype = 'advisory' AND l.granted AND " \
    "l.classid = " SQL_NUMBER(PARTITION_OWNER_LOCK_CLASS) " AND l.objsubid = 2 AND l.database = (SELECT d.oid FROM " \
                                                          "pg_database d WHERE d.datname = current_database())"
static const char older_begin_sql[] = LOCKS_SQL;
static const char older_sql[] =
    "SELECT DISTINCT l.pid, coalesce(a.application_name, '') FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid) "
    "WHERE l.locktype = 'advisory' AND l.granted AND l.classid = " SQL_NUMBER(
        PARTITION_OWNER_LOCK_CLASS) " AND "
                                    "l.objsubid = 2 AND l.virtualtransaction = ANY ($1::text[]) ORDER BY 1";
static const char owners_sql[] =
    "SELECT o.topic || '/' || o.partition, coalesce(o.owner_slot::text, '?') FROM interlock.pause z "
    "JOIN interlock.partition_owner o ON " OF_SCOPE(
        "z.scope", "z.target") " LEFT JOIN interlock.partition_published p "
                               "ON p.partition_id = o.id AND p.fence = o.fence WHERE z.id = $1::integer AND "
                               "o.owned AND "
                               "coalesce(p.pause_epoch, 0) < (SELECT max(k.pause_epoch) FROM interlock.parking k) AND "
                               "z.resumed_at IS NULL "
                               "ORDER BY o.topic, o.partition";

static const char lock_sql[] = "SELECT resumed_at IS NULL FROM interlock.pause WHERE id = $1::integer FOR UPDATE";
static const char end_sql[] = "UPDATE interlock.pause SET resumed_at = clock_timestamp(), resumed_by = $2::bigint "
                              "WHERE id = $1::integer";
/* Those behind them are not looked at before their time: their turn begins again. */
static const char resume_sql[] =
    "WITH locked AS MATERIALIZED (SELECT p.identity, p.aggregate, p.place FROM interlock.parked_command p "
    "WHERE p.pause_id = $1::integer FOR UPDATE), "
    "waiting AS (SELECT l.identity, row_number() OVER (ORDER BY l.place) - 1 AS i FROM locked l), "
    "due AS (UPDATE interlock.parked_command p SET pause_id = NULL, next_at = NULL, due_at = now() + "
    "CASE WHEN $2::bigint > 0 THEN w.i * interval '1 second' / $2::bigint ELSE interval '0' END FROM waiting w "
    "WHERE p.identity = w.identity), "
    "behind AS (UPDATE interlock.parked_command p SET next_at = NULL WHERE p.next_at IS NOT NULL AND p.pause_id IS "
    "NULL "
    "AND p.aggregate IN (SELECT l.aggregate FROM locked l)) SELECT count(*) FROM locked";

static int64_t ask_number(PGconn *connection, const char *sql, int count, const char *const *values,
                          struct buffer *reterr)
{
    QUERY_RESULT result = query_run(connection, sql, count, values, reterr);
    return result && PQntuples(result) == 1 ? strtoll(PQgetvalue(result, 0, 0), NULL, 10) : -1;
}

/* --- looking ----------------------------------------------------------------------------------------------------- */

PGresult *pause_list(PGconn *connection, bool all, const char *id, struct buffer *reterr)
{
    const char *const values[] = { all ? "true" : "false", id };
    return query_run(connection, list_sql, 2, values, reterr);
}

bool pause_share(PGconn *connection, const struct pause_request *request, int64_t *ret_matching, int64_t *ret_all,
                 struct buffer *reterr)
{
    const char *const values[] = { request->target };
    const char *matches = NULL;
    char sql[1024];

    *ret_matching = *ret_all = -1;
    for (size_t i = 0; i < sizeof(matches_sql) / sizeof(*matches_sql); i++)
        if (strcmp(matches_sql[i][0], request->scope) == 0)
            matches = matches_sql[i][1];
    if (matches == NULL)
        return true;
    snprintf(sql, sizeof(sql),
             "SELECT count(*) FILTER (WHERE %s), count(*) FROM interlock.partition_owner o, LATERAL (SELECT "
             "r.command_type, r.aggregate, r.changed_at FROM interlock.audit_event r WHERE r.partition_id = o.id "
             "ORDER BY r.kafka_offset DESC LIMIT %d) e WHERE e.changed_at > now() - interval '1 hour' "
             "AND $1::text IS NOT NULL",
             matches, SHARE_OF_PARTITION);
    QUERY_RESULT counted = query_run(connection, sql, 1, values, reterr);
    if (counted == NULL)
        return false;
    *ret_matching = strtoll(PQgetvalue(counted, 0, 0), NULL, 10);
    *ret_all = strtoll(PQgetvalue(counted, 0, 1), NULL, 10);
    return true;
}

int64_t pause_waiting(PGconn *connection, struct buffer *reterr)
{
    return ask_number(connection, waiting_sql, 0, NULL, reterr);
}

int64_t pause_partitions(PGconn *connection, const struct pause_request *request, struct buffer *reterr)
{
    const char *const values[] = { request->scope, request->target };
    return ask_number(connection, partitions_sql, 2, values, reterr);
}

/* --- beginning --------------------------------------------------------------------------------------------------- */

int64_t pause_insert(PGconn *connection, const struct pause_request *request, int64_t action, int64_t *ret_other,
                     struct buffer *reterr)
{
    char for_us[24], action_text[24];
    const char *const values[] = { request->scope,   request->target, request->keeps_order ? "true" : "false",
                                   request->ends_at, for_us,          action_text };

    snprintf(for_us, sizeof(for_us), "%lld", (long long)request->for_us);
    snprintf(action_text, sizeof(action_text), "%lld", (long long)action);
    *ret_other = 0;
    QUERY_RESULT other = query_run(connection, other_sql, 2, values, reterr);
    if (other == NULL)
        return -1;
    if (PQntuples(other) > 0)
    {
        *ret_other = strtoll(PQgetvalue(other, 0, 0), NULL, 10);
        return 0;
    }
    return ask_number(connection, insert_sql, 6, values, reterr);
}

PGresult *pause_older_begin(PGconn *connection, struct buffer *reterr)
{
    return query_run(connection, older_begin_sql, 0, NULL, reterr);
}

PGresult *pause_older(PGconn *connection, const PGresult *begun, struct buffer *reterr)
{
    const char *const values[] = { query_text(begun, 0, 0) };
    return query_run(connection, older_sql, 1, values, reterr);
}

PGresult *pause_owners(PGconn *connection, int64_t id, struct buffer *reterr)
{
    char text[24];
    const char *const values[] = { text };

    snprintf(text, sizeof(text), "%lld", (long long)id);
    return query_run(connection, owners_sql, 1, values, reterr);
}

/* --- ending ------------------------------------------------------------------------------------------------------ */

int pause_lock(PGconn *connection, const char *id, struct buffer *reterr)
{
    const char *const values[] = { id };
    QUERY_RESULT locked = query_run(connection, lock_sql, 1, values, reterr);

    if (locked == NULL || PQntuples(locked) == 0)
        return -1;
    return *PQgetvalue(locked, 0, 0) == 't';
}

int64_t pause_resume(PGconn *connection, const char *id, int64_t action, int64_t rate, struct buffer *reterr)
{
    char action_text[24], rate_text[24];
    const char *const end_values[] = { id, action_text };
    const char *const values[] = { id, rate_text };

    snprintf(action_text, sizeof(action_text), "%lld", (long long)action);
    snprintf(rate_text, sizeof(rate_text), "%lld", (long long)rate);
    QUERY_RESULT ended = query_run(connection, end_sql, 2, end_values, reterr);
    return ended ? ask_number(connection, resume_sql, 2, values, reterr) : -1;
}
