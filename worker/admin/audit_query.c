#include "worker/admin/audit_query.h"

#include <stdio.h>

#include "worker/base/identity.h"
#include "workflows/base/hex.h"

#define TIME_TEXT(column) "to_char(" column " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"

const struct audit_column_name audit_columns[AUDIT_COLUMN__COUNT] = {
    [AUDIT_TIME] = { "time", AUDIT_COLUMN_TEXT, TIME_TEXT("e.changed_at") },
    [AUDIT_OPERATION] = { "operation", AUDIT_COLUMN_TEXT, "e.operation" },
    [AUDIT_OUTCOME] = { "outcome", AUDIT_COLUMN_TEXT, "e.outcome" },
    [AUDIT_REASON] = { "reason", AUDIT_COLUMN_TEXT, "e.reason" },
    [AUDIT_AGGREGATE] = { "aggregate", AUDIT_COLUMN_TEXT, "e.aggregate" },
    [AUDIT_VERSION_FROM] = { "version_from", AUDIT_COLUMN_NUMBER, "e.version_from" },
    [AUDIT_VERSION_TO] = { "version_to", AUDIT_COLUMN_NUMBER, "e.version_to" },
    [AUDIT_STATUS_OLD] = { "status_old", AUDIT_COLUMN_TEXT, "e.status_old" },
    [AUDIT_STATUS_NEW] = { "status_new", AUDIT_COLUMN_TEXT, "e.status_new" },
    [AUDIT_PERSON_OLD] = { "person_old", AUDIT_COLUMN_NUMBER, "e.person_old" },
    [AUDIT_PERSON_NEW] = { "person_new", AUDIT_COLUMN_NUMBER, "e.person_new" },
    [AUDIT_GROUP_OLD] = { "group_old", AUDIT_COLUMN_NUMBER, "e.group_old" },
    [AUDIT_GROUP_NEW] = { "group_new", AUDIT_COLUMN_NUMBER, "e.group_new" },
    [AUDIT_CHANGED_BY] = { "changed_by", AUDIT_COLUMN_TEXT, "e.changed_by" },
    [AUDIT_COMMAND_TYPE] = { "command_type", AUDIT_COLUMN_TEXT, "e.command_type" },
    [AUDIT_COMMAND_SOURCE] = { "command_source", AUDIT_COLUMN_TEXT, "e.command_source" },
    [AUDIT_COMMAND_ID] = { "command_id", AUDIT_COLUMN_TEXT, "e.command_id" },
    [AUDIT_EVENT_ID] = { "event_id", AUDIT_COLUMN_TEXT, "e.event_id" },
    [AUDIT_CORRELATION_ID] = { "correlation_id", AUDIT_COLUMN_TEXT, "e.correlation_id" },
    [AUDIT_TRACEPARENT] = { "traceparent", AUDIT_COLUMN_TEXT, "e.traceparent" },
    [AUDIT_LOCK_WAIT_US] = { "lock_wait_us", AUDIT_COLUMN_NUMBER, "e.lock_wait_us" },
    [AUDIT_TRANSACTION_US] = { "transaction_us", AUDIT_COLUMN_NUMBER, "e.transaction_us" },
    [AUDIT_METADATA] = { "metadata", AUDIT_COLUMN_JSON, "e.metadata" },
    [AUDIT_ALSO] = { "also", AUDIT_COLUMN_JSON, "e.also" },
    [AUDIT_TOPIC] = { "topic", AUDIT_COLUMN_TEXT, "p.topic" },
    [AUDIT_PARTITION] = { "partition", AUDIT_COLUMN_NUMBER, "p.partition" },
    [AUDIT_OFFSET] = { "offset", AUDIT_COLUMN_NUMBER, "e.kafka_offset" },
    [AUDIT_FENCE] = { "fence", AUDIT_COLUMN_NUMBER, "e.fence" },
};

enum
{
    VALUES_MAX = 8,
};

/* A statement and its parameters as they gather. */
struct draft
{
    struct buffer sql;
    const char *values[VALUES_MAX];
    int count;
    bool metadata; /* the role may read that column */
};

static void add(struct draft *draft, const char *sql)
{
    buffer_add_text(&draft->sql, sql);
}

/* $N for a value; the same number for the same value given again. */
static void add_value(struct draft *draft, const char *value)
{
    int number = 0;
    while (number < draft->count && draft->values[number] != value)
        number++;
    if (number == draft->count && draft->count < VALUES_MAX)
        draft->values[draft->count++] = value;
    add(draft, "$");
    buffer_add_int64(&draft->sql, number + 1);
}

static void add_condition(struct draft *draft, const char *before, const char *value, const char *after)
{
    if (!value)
        return;
    add(draft, before);
    add_value(draft, value);
    add(draft, after);
}

/* The columns of a row that an answer is made of: `*` would ask for the right to each. */
static void add_row(struct draft *draft)
{
    add(draft,
        "e.changed_at, e.operation, e.outcome, e.reason, e.aggregate, e.version_from, e.version_to, e.status_old, "
        "e.status_new, e.person_old, e.person_new, e.group_old, e.group_new, e.changed_by, e.command_type, "
        "e.command_source, e.command_id, e.event_id, e.correlation_id, e.traceparent, e.lock_wait_us, "
        "e.transaction_us, e.also, e.partition_id, e.kafka_offset, e.fence, ");
    add(draft, draft->metadata ? "e.metadata" : "NULL AS metadata");
}

static void add_columns(struct draft *draft)
{
    add(draft, "SELECT ");
    for (int i = 0; i < AUDIT_COLUMN__COUNT; i++)
    {
        add(draft, audit_columns[i].sql);
        add(draft, i + 1 < AUDIT_COLUMN__COUNT ? ", " : "");
    }
    add(draft, " FROM ");
}

/* Everything but the aggregate. `time` is the column of the table whose index is used. */
static void add_conditions(struct draft *draft, const struct audit_filter *filter, const char *time)
{
    add_condition(draft, " AND e.operation = ", filter->operation, "::interlock.operation");
    add_condition(draft, " AND e.changed_by = ", filter->author, "");
    if (filter->status_from || filter->status_to)
        /* The words of the partial index: without them it is not used. */
        add(draft, " AND e.status_old IS DISTINCT FROM e.status_new");
    add_condition(draft, " AND e.status_old = ", filter->status_from, "");
    add_condition(draft, " AND e.status_new = ", filter->status_to, "");
    if (filter->since)
    {
        add(draft, " AND ");
        add(draft, time);
        add_condition(draft, " >= ", filter->since, "::timestamptz");
    }
    if (filter->until)
    {
        add(draft, " AND ");
        add(draft, time);
        add_condition(draft, " < ", filter->until, "::timestamptz");
    }
}

/* The newest rows of one source of rows. Each has its own limit, so that an index read backwards ends early. */
static void add_newest(struct draft *draft, const char *time, const char *limit)
{
    add(draft, " ORDER BY ");
    add(draft, time);
    add(draft, " DESC LIMIT ");
    add_value(draft, limit);
    add(draft, "::bigint");
}

/* One source of rows: audit_event under one more condition. */
static void add_source(struct draft *draft, const struct audit_filter *filter, const char *condition, const char *value,
                       const char *limit)
{
    add(draft, "(SELECT ");
    add_row(draft);
    add(draft, " FROM interlock.audit_event e WHERE ");
    add(draft, condition);
    if (value)
        add_value(draft, value);
    add_conditions(draft, filter, "e.changed_at");
    add_newest(draft, "e.changed_at", limit);
    add(draft, ")");
}

/* PROTOCOL B7: commands that changed the aggregate besides their own. */
static void add_also(struct draft *draft, const struct audit_filter *filter, const char *limit)
{
    add(draft, " UNION ALL (SELECT ");
    add_row(draft);
    add(draft, " FROM interlock.audit_also a JOIN interlock.audit_event e"
               " USING (partition_id, kafka_offset, fence) WHERE a.aggregate = ");
    add_value(draft, filter->aggregate);
    add_conditions(draft, filter, "a.changed_at");
    add_newest(draft, "a.changed_at", limit);
    add(draft, ")");
}

static void draft_list(struct draft *draft, const struct audit_filter *filter)
{
    const char *limit = filter->limit ? filter->limit : "100";

    add(draft, "SELECT found.* FROM (");
    if (filter->aggregate)
    {
        add_source(draft, filter, "e.aggregate = ", filter->aggregate, limit);
        add_also(draft, filter, limit);
    }
    else
        add_source(draft, filter, "true", NULL, limit);
    add(draft, ") found");
    add_newest(draft, "found.changed_at", limit);
}

/* Wraps a statement over audit_event into the columns of every answer. */
static void wrap(struct draft *outer, const struct draft *inner)
{
    add_columns(outer);
    add(outer, "(");
    buffer_add_span(&outer->sql, buffer_span(&inner->sql));
    add(outer, ") e LEFT JOIN interlock.partition_owner p ON p.id = e.partition_id"
               " ORDER BY e.changed_at, e.partition_id, e.kafka_offset");
    memcpy(outer->values, inner->values, sizeof(outer->values));
    outer->count = inner->count;
}

static PGresult *run_draft(PGconn *connection, struct draft *draft, struct buffer *reterr)
{
    buffer_add_byte(&draft->sql, '\0');
    PGresult *result = NULL;
    if (buffer_failed(&draft->sql))
        buffer_add_text(reterr, "out of memory");
    else
        result = query_run(connection, draft->sql.at, draft->count, draft->values, reterr);
    buffer_done(&draft->sql);
    return result;
}

bool audit_query_metadata(PGconn *connection, bool *ret, struct buffer *reterr)
{
    QUERY_RESULT may = query_run(
        connection, "SELECT has_column_privilege('interlock.audit_event', 'metadata', 'SELECT')", 0, NULL, reterr);
    *ret = may && PQntuples(may) == 1 && strcmp(PQgetvalue(may, 0, 0), "t") == 0;
    return may != NULL;
}

PGresult *audit_query_list(PGconn *connection, const struct audit_filter *filter, bool plan, struct buffer *reterr)
{
    struct draft inner = { .count = 0 }, outer = { .count = 0 };
    if (!audit_query_metadata(connection, &inner.metadata, reterr))
        return NULL;
    draft_list(&inner, filter);
    add(&outer, plan ? "EXPLAIN (ANALYZE, BUFFERS) " : "");
    wrap(&outer, &inner);
    buffer_done(&inner.sql);
    return run_draft(connection, &outer, reterr);
}

static PGresult *query_where(PGconn *connection, const char *from, const char *value, struct buffer *reterr)
{
    struct draft inner = { .count = 0 }, outer = { .count = 0 };
    if (!audit_query_metadata(connection, &inner.metadata, reterr))
        return NULL;
    add(&inner, "SELECT ");
    add_row(&inner);
    add(&inner, from);
    add_value(&inner, value);
    add(&inner, "::uuid LIMIT 1");
    wrap(&outer, &inner);
    buffer_done(&inner.sql);
    return run_draft(connection, &outer, reterr);
}

/* The inbox's key, as PostgreSQL takes a uuid. */
static bool print_identity(const char *source, const char *id, char into[2 * DIGEST_SIZE + 1])
{
    uint8_t identity[DIGEST_SIZE];
    if (!identity_make(span_of(source), span_of(id), identity))
        return false;
    hex_print(identity, DIGEST_SIZE, into);
    into[2 * DIGEST_SIZE] = '\0';
    return true;
}

PGresult *audit_query_command(PGconn *connection, const char *source, const char *id, struct buffer *reterr)
{
    char identity[2 * DIGEST_SIZE + 1];
    if (!print_identity(source, id, identity))
    {
        buffer_add_text(reterr, "SHA-256 is not available");
        return NULL;
    }
    return query_where(connection,
                       " FROM interlock.inbox i JOIN interlock.audit_event e"
                       " USING (partition_id, kafka_offset, fence) WHERE i.identity = ",
                       identity, reterr);
}

PGresult *audit_query_event(PGconn *connection, const char *event_id, struct buffer *reterr)
{
    return query_where(connection, " FROM interlock.audit_event e WHERE e.event_id = ", event_id, reterr);
}
