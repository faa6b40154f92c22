#include "worker/admin/parked_commands.h"

#include <stdio.h>
#include <stdlib.h>

#include "worker/postgres/query.h"

#define TIME_TEXT(column) "to_char(" column " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"

/* Parameters 1 to 10, of which each may be null. */
#define CONDITIONS \
    " ($1::bigint[] IS NULL OR p.place = ANY ($1::bigint[])) AND ($2::text IS NULL OR p.aggregate = $2::text) " \
    "AND ($3::text IS NULL OR p.command_type = $3::text) AND ($4::text IS NULL OR p.command_source = $4::text) " \
    "AND ($5::text IS NULL OR p.command_id = $5::text) AND ($6::text IS NULL OR p.tenant = $6::text) " \
    "AND ($7::text IS NULL OR p.reason = $7::text) AND ($8::integer IS NULL OR p.pause_id = $8::integer) " \
    "AND ($9::timestamptz IS NULL OR p.parked_at <= $9::timestamptz) " \
    "AND (NOT coalesce($10::boolean, false) OR p.cancelled_by IS NULL) "

enum
{
    CONDITION_COUNT = 10,
};

const struct parked_column_name parked_columns[PARKED__COLUMNS] = {
    [PARKED_PLACE] = { "place", true },
    [PARKED_AGGREGATE] = { "aggregate", false },
    [PARKED_REASON] = { "reason", false },
    [PARKED_DUE] = { "due", false },
    [PARKED_BEHIND] = { "behind", true },
    [PARKED_RETURNS] = { "returns", true },
    [PARKED_PARKINGS] = { "parkings", true },
    [PARKED_TYPE] = { "type", false },
    [PARKED_SOURCE] = { "source", false },
    [PARKED_ID] = { "id", false },
    [PARKED_TENANT] = { "tenant", false },
    [PARKED_PARKED_AT] = { "parked_at", false },
    [PARKED_PAUSE] = { "pause", true },
    [PARKED_TOPIC] = { "topic", false },
    [PARKED_PARTITION] = { "partition", true },
    [PARKED_OFFSET] = { "offset", true },
    [PARKED_RETURNED_AT] = { "returned_at", false },
    [PARKED_RELEASED_BY] = { "released_by", true },
    [PARKED_CANCELLED_BY] = { "cancelled_by", true },
};

/* The command that one waits for is the nearest one before it that it may not pass. */
#define DUE_AT TIME_TEXT("p.due_at")
#define PARKED_AT TIME_TEXT("p.parked_at")
#define RETURNED_AT TIME_TEXT("p.returned_at")
static const char list_sql[] =
    "SELECT p.place, p.aggregate, p.reason, CASE WHEN isfinite(p.due_at) THEN " DUE_AT
    " END, (SELECT max(e.place) FROM interlock.parked_command e WHERE e.aggregate = p.aggregate AND e.place < "
    "p.place AND (p.waits OR (e.blocks AND e.partition_id = p.partition_id))), p.returns, p.parkings, "
    "p.command_type, p.command_source, p.command_id, p.tenant, " PARKED_AT
    ", p.pause_id, o.topic, o.partition, p.kafka_offset, " RETURNED_AT
    ", p.released_by, p.cancelled_by FROM interlock.parked_command p JOIN interlock.partition_owner o ON o.id = "
    "p.partition_id WHERE" CONDITIONS "ORDER BY p.place LIMIT $11::bigint";
static const char count_sql[] =
    "SELECT p.reason, count(*) FROM interlock.parked_command p WHERE" CONDITIONS "GROUP BY 1 ORDER BY 2 DESC, 1";
static const char lock_sql[] = "SELECT count(*) FROM (SELECT FROM interlock.parked_command p WHERE" CONDITIONS
                               "AND p.cancelled_by IS NULL ORDER BY p.place FOR UPDATE) locked";

/* Those behind them were put off for as long as it would have taken: their turn begins again. */
#define HURRY_BEHIND(done) \
    "behind AS (UPDATE interlock.parked_command p SET next_at = NULL WHERE p.next_at IS NOT NULL AND p.aggregate IN " \
    "(SELECT d.aggregate FROM " done " d) AND p.identity NOT IN (SELECT d.identity FROM " done " d)) "

static const char *const act_sql[] = {
    [PARKED_RELEASE] =
        "WITH released AS (UPDATE interlock.parked_command p SET released_by = $11::bigint, pause_id = NULL, "
        "due_at = least(p.due_at, clock_timestamp()), next_at = NULL WHERE" CONDITIONS "AND p.cancelled_by IS NULL "
        "RETURNING p.identity, p.aggregate, p.command_source || ' ' || p.command_id AS subject), "
        "told AS (INSERT INTO interlock.operator_item (action_id, subject, outcome) "
        "SELECT $11::bigint, left(subject, 512), 'released' FROM released), " HURRY_BEHIND(
            "released") "SELECT count(*) FROM released",
    [PARKED_CANCEL] =
        "WITH cancelled AS (UPDATE interlock.parked_command p SET cancelled_by = $11::bigint, pause_id = NULL, "
        "due_at = least(p.due_at, clock_timestamp()), next_at = NULL WHERE" CONDITIONS "AND p.cancelled_by IS NULL "
        "RETURNING p.identity, p.aggregate), " HURRY_BEHIND("cancelled") "SELECT count(*) FROM cancelled",
};

static const char left_sql[] = "SELECT count(*) FROM interlock.parked_command WHERE cancelled_by = $1::bigint";

static void fill(const struct parked_filter *filter, const char **values)
{
    const char *const conditions[CONDITION_COUNT] = { filter->places,       filter->key,   filter->type,
                                                      filter->source,       filter->id,    filter->tenant,
                                                      filter->reason,       filter->pause, filter->before,
                                                      filter->not_cancelled };

    for (int i = 0; i < CONDITION_COUNT; i++)
        values[i] = conditions[i];
}

static int64_t ask_number(PGconn *connection, const char *sql, int count, const char *const *values,
                          struct buffer *reterr)
{
    QUERY_RESULT result = query_run(connection, sql, count, values, reterr);
    return result && PQntuples(result) == 1 ? strtoll(PQgetvalue(result, 0, 0), NULL, 10) : -1;
}

PGresult *parked_commands_list(PGconn *connection, const struct parked_filter *filter, const char *limit,
                               struct buffer *reterr)
{
    const char *values[CONDITION_COUNT + 1];

    fill(filter, values);
    values[CONDITION_COUNT] = limit;
    return query_run(connection, list_sql, CONDITION_COUNT + 1, values, reterr);
}

PGresult *parked_commands_count(PGconn *connection, const struct parked_filter *filter, struct buffer *reterr)
{
    const char *values[CONDITION_COUNT];

    fill(filter, values);
    return query_run(connection, count_sql, CONDITION_COUNT, values, reterr);
}

int64_t parked_commands_lock(PGconn *connection, const struct parked_filter *filter, struct buffer *reterr)
{
    const char *values[CONDITION_COUNT];

    fill(filter, values);
    return ask_number(connection, lock_sql, CONDITION_COUNT, values, reterr);
}

int64_t parked_commands_act(PGconn *connection, const struct parked_filter *filter, enum parked_act act, int64_t action,
                            struct buffer *reterr)
{
    const char *values[CONDITION_COUNT + 1];
    char id[24];

    fill(filter, values);
    snprintf(id, sizeof(id), "%lld", (long long)action);
    values[CONDITION_COUNT] = id;
    return ask_number(connection, act_sql[act], CONDITION_COUNT + 1, values, reterr);
}

int64_t parked_commands_left(PGconn *connection, int64_t action, struct buffer *reterr)
{
    char id[24];
    const char *const values[] = { id };

    snprintf(id, sizeof(id), "%lld", (long long)action);
    return ask_number(connection, left_sql, 1, values, reterr);
}
