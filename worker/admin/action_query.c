#include "worker/admin/action_query.h"

#include <stdio.h>
#include <stdlib.h>

#include "worker/admin/operator_action.h"

#define WAITING_OF(action) \
    "p.action_id = " action " AND p.reason IN ('redriven', 'replayed') AND p.returned_at IS NULL AND p.returns = 0"

#define OF_FOUND WAITING_OF("f.id")
#define AT_AGO SQL_AGO("f.at")
#define AT_TIME SQL_TIME("f.at")
#define BEFORE_TIME SQL_TIME("f.before")
#define ITEM_TIME SQL_TIME("i.at")

#define ACTION_ROWS \
    "SELECT f.id, " AT_AGO \
    ", f.verb, f.actor || CASE WHEN f.db_user <> f.actor THEN ' (' || f.db_user || ')' ELSE '' " \
    "END, i.items || coalesce(': ' || i.outcomes, ''), f.reason, " AT_TIME \
    ", f.host || ', interlock ' || f.version, f.filter::text, nullif(concat_ws(', ', '--before ' || " BEFORE_TIME \
    ", '--expect ' || f.expected), ''), w.waits, json_build_object('id', f.id, 'at', " AT_TIME \
    ", 'verb', f.verb, 'actor', f.actor, 'db_user', f.db_user, 'host', f.host, 'version', f.version, 'reason', " \
    "f.reason, 'filter', f.filter, 'expected', f.expected, 'before', " BEFORE_TIME \
    ", 'items', i.items, 'outcomes', coalesce(i.counts, '{}'), 'waiting', w.waits)::text FROM found f " \
    "CROSS JOIN LATERAL (SELECT coalesce(sum(n), 0)::bigint AS items, string_agg(n || ' ' || outcome, ', ' ORDER BY " \
    "outcome) AS outcomes, json_object_agg(outcome, n ORDER BY outcome) AS counts FROM (SELECT outcome, count(*) AS " \
    "n FROM interlock.operator_item WHERE action_id = f.id GROUP BY outcome) o) i " \
    "CROSS JOIN LATERAL (SELECT count(*) AS waits FROM interlock.parked_command p WHERE " OF_FOUND ") w " \
    "ORDER BY f.id DESC"

static const char list_sql[] =
    "WITH found AS MATERIALIZED (SELECT * FROM interlock.operator_action a WHERE ($1::text IS NULL OR a.verb = $1 "
    "OR a.verb LIKE $1 || ' %') AND ($2::text IS NULL OR a.actor = $2 OR a.db_user = $2) "
    "AND ($3::timestamptz IS NULL OR a.at >= $3) ORDER BY a.id DESC LIMIT $4::bigint) " ACTION_ROWS;

static const char one_sql[] =
    "WITH found AS MATERIALIZED (SELECT * FROM interlock.operator_action a WHERE a.id = $1::bigint) " ACTION_ROWS;

static const char items_sql[] = "SELECT " ITEM_TIME ", i.subject, i.outcome, json_build_object('at', " ITEM_TIME
                                ", 'subject', i.subject, 'outcome', i.outcome)::text FROM interlock.operator_item i "
                                "WHERE i.action_id = $1::bigint ORDER BY i.at, i.subject LIMIT $2::bigint";

/* A letter is named as the verbs of dead letters name it. */
#define WAITING_ROWS \
    "SELECT p.identity, coalesce((SELECT o.topic || '/' || o.partition || '/' || d.kafka_offset " \
    "FROM interlock.dead_letter d JOIN interlock.partition_owner o ON o.id = d.partition_id " \
    "WHERE d.identity = p.identity AND d.state = 'redriving' LIMIT 1), p.command_source || ' ' || p.command_id) " \
    "FROM interlock.parked_command p WHERE " WAITING_OF("$1::bigint") " ORDER BY p.place"

static const char waiting_sql[] = WAITING_ROWS;
static const char locked_sql[] = WAITING_ROWS " FOR UPDATE OF p";
static const char take_sql[] = "SELECT interlock.take_back($1::bigint, $2::uuid)";
static const char reopen_sql[] = "UPDATE interlock.dead_letter SET state = 'open', state_at = clock_timestamp(), "
                                 "action_id = $1::bigint WHERE identity = $2::uuid AND state = 'redriving'";

PGresult *action_query_list(PGconn *connection, const struct action_filter *filter, struct buffer *reterr)
{
    const char *const values[] = { filter->verb, filter->actor, filter->since, filter->limit ? filter->limit : "100" };

    return query_run(connection, list_sql, 4, values, reterr);
}

PGresult *action_query_one(PGconn *connection, const char *id, struct buffer *reterr)
{
    return query_run(connection, one_sql, 1, &id, reterr);
}

PGresult *action_query_items(PGconn *connection, const char *id, const char *limit, struct buffer *reterr)
{
    const char *const values[] = { id, limit };

    return query_run(connection, items_sql, 2, values, reterr);
}

PGresult *action_query_waiting(PGconn *connection, const char *id, bool locks, struct buffer *reterr)
{
    return query_run(connection, locks ? locked_sql : waiting_sql, 1, &id, reterr);
}

int64_t action_take_back(PGconn *connection, int64_t by, const PGresult *waiting, struct buffer *reterr)
{
    char action[24];
    int64_t taken = 0;

    snprintf(action, sizeof(action), "%lld", (long long)by);
    for (int row = 0; row < PQntuples(waiting); row++)
    {
        const char *const values[] = { action, PQgetvalue(waiting, row, 0) };
        QUERY_RESULT answer = query_run(connection, take_sql, 2, values, reterr);
        if (answer == NULL)
            return -1;
        if (strcmp(PQgetvalue(answer, 0, 0), "t") != 0)
            continue;
        QUERY_RESULT reopened = query_run(connection, reopen_sql, 2, values, reterr);
        if (reopened == NULL ||
            !operator_action_add_item(connection, by, PQgetvalue(waiting, row, 1), "taken back", reterr))
            return -1;
        taken++;
    }
    return taken;
}
