#include "worker/admin/letters.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/base/topic_name.h"
#include "worker/postgres/query.h"

#define TIME_TEXT(column) "to_char(" column " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
#define LETTER_TEXT "o.topic || '/' || o.partition || '/' || d.kafka_offset"
/* The values of a filter, in this order, are the first parameters of every statement here. The server plans a statement
 * with its values, so a condition on null costs nothing. */
#define FILTERED \
    "($1::text IS NULL OR d.state = $1) AND ($2::text IS NULL OR d.reason = $2) AND ($3::text IS NULL OR d.key = $3) " \
    "AND ($4::text IS NULL OR d.command_type = $4) AND ($5::text IS NULL OR o.topic = $5) " \
    "AND ($6::timestamptz IS NULL OR d.first_failed_at >= $6) AND ($7::timestamptz IS NULL OR d.first_failed_at <= " \
    "$7) " \
    "AND ($8::text[] IS NULL OR (o.topic, o.partition, d.kafka_offset) IN " \
    "(SELECT * FROM unnest($8::text[], $9::int[], $10::bigint[])))"
#define LETTERS "interlock.dead_letter d JOIN interlock.partition_owner o ON o.id = d.partition_id"

enum
{
    FILTER_VALUES = 10,
    NUMBER_MAX = 24,
};

static const char select_sql[] =
    "SELECT " LETTER_TEXT
    ", " TIME_TEXT("d.first_failed_at") ", greatest(extract(epoch FROM clock_timestamp() - "
                                        "d.first_failed_at)::bigint, 0), d.reason, d.key, d.command_type, "
                                        "d.command_source, d.command_id, d.says, d.state, " TIME_TEXT(
                                            "d.state_at") ", d.bytes, d.attempts, d.redrives, d.action_id, d.identity, "
                                                          "encode(d.digest, 'hex'), "
                                                          "d.partition_id, d.kafka_offset, o.topic, o.partition, "
                                                          "o.fence, (extract(epoch FROM d.first_failed_at) * "
                                                          "1000000)::bigint FROM " LETTERS " WHERE " FILTERED;
static const char *const orders[] = {
    [LETTERS_NEWEST] = " ORDER BY d.first_failed_at DESC LIMIT $11::bigint",
    [LETTERS_IN_TOPIC] = " ORDER BY o.topic, o.partition, d.kafka_offset, d.first_failed_at LIMIT $11::bigint",
    [LETTERS_LOCKED] =
        " ORDER BY o.topic, o.partition, d.kafka_offset, d.first_failed_at LIMIT $11::bigint FOR UPDATE OF d",
};
static const char count_sql[] = "SELECT state, count(*) FROM interlock.dead_letter GROUP BY state";
static const char count_filtered_sql[] = "SELECT count(*) FROM " LETTERS " WHERE " FILTERED;
static const char move_sql[] =
    "WITH moved AS (UPDATE interlock.dead_letter d SET state = $11, state_at = clock_timestamp(), action_id = "
    "$13::bigint FROM interlock.partition_owner o WHERE o.id = d.partition_id AND " FILTERED " RETURNING " LETTER_TEXT
    " AS subject) "
    "INSERT INTO interlock.operator_item (action_id, subject, outcome) SELECT $13::bigint, subject, $12 FROM moved";
static const char history_sql[] = "SELECT a.id, " TIME_TEXT(
    "i.at") ", a.actor, a.verb, i.outcome, a.reason FROM interlock.operator_item i JOIN interlock.operator_action a ON "
            "a.id = i.action_id WHERE i.subject = $1 ORDER BY i.at, a.id";
static const char applied_sql[] =
    "SELECT count(*), min(e.version_to), max(e.version_to) FROM interlock.audit_event e WHERE e.aggregate = $1 AND "
    "e.changed_at > $2::timestamptz AND e.outcome = 'applied'";

const struct letter_column_name letter_columns[LETTER_SHOWN__COUNT] = {
    [LETTER_ID] = { "letter", false },         [LETTER_FAILED_AT] = { "failed_at", false },
    [LETTER_AGE_S] = { "age_s", true },        [LETTER_CAUSE] = { "cause", false },
    [LETTER_KEY] = { "key", false },           [LETTER_TYPE] = { "type", false },
    [LETTER_SOURCE] = { "source", false },     [LETTER_COMMAND_ID] = { "id", false },
    [LETTER_SAYS] = { "says", false },         [LETTER_STATE] = { "state", false },
    [LETTER_STATE_AT] = { "state_at", false }, [LETTER_BYTES] = { "bytes", true },
    [LETTER_ATTEMPTS] = { "attempts", true },  [LETTER_REDRIVES] = { "redrives", true },
    [LETTER_ACTION] = { "action", true },      [LETTER_IDENTITY] = { "identity", false },
};

/* --- filters ----------------------------------------------------------------------------------------------------- */

static bool is_number(const char *text, size_t size, size_t digits_max)
{
    return size > 0 && size <= digits_max && strspn(text, "0123456789") >= size;
}

static void add_element(struct buffer *array, const char *text, size_t size)
{
    buffer_add_byte(array, array->size == 0 ? '{' : ',');
    buffer_add(array, text, size);
}

bool letter_filter_add(struct letter_filter *filter, const char *id)
{
    const char *last = strrchr(id, '/'), *middle = last;

    while (middle && middle > id && middle[-1] != '/')
        middle--;
    if (middle == NULL || middle <= id + 1)
        return false;
    size_t topic = (size_t)(middle - 1 - id);
    if (topic > TOPIC_NAME_MAX ||
        strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != topic ||
        !is_number(middle, (size_t)(last - middle), 9) || !is_number(last + 1, strlen(last + 1), 18))
        return false;
    add_element(&filter->topics, id, topic);
    add_element(&filter->partitions, middle, (size_t)(last - middle));
    add_element(&filter->offsets, last + 1, strlen(last + 1));
    return true;
}

bool letter_filter_is_given(const struct letter_filter *filter)
{
    return filter->cause || filter->key || filter->type || filter->topic || filter->since || filter->topics.size > 0;
}

void letter_filter_done(struct letter_filter *filter)
{
    buffer_done(&filter->topics);
    buffer_done(&filter->partitions);
    buffer_done(&filter->offsets);
}

/* The arrays' ends, for the time of a statement. */
struct ended
{
    struct buffer texts[3];
    const char *values[FILTER_VALUES + 3];
};

static bool begin_values(struct ended *ended, const struct letter_filter *filter, struct buffer *reterr)
{
    const struct buffer *const arrays[] = { &filter->topics, &filter->partitions, &filter->offsets };
    const char *const plain[] = { filter->state, filter->cause, filter->key,   filter->type,
                                  filter->topic, filter->since, filter->before };
    bool failed = false;

    memset(ended, 0, sizeof(*ended));
    memcpy(ended->values, plain, sizeof(plain));
    for (int i = 0; i < 3; i++)
    {
        failed = failed || buffer_failed(arrays[i]);
        if (arrays[i]->size == 0)
            continue;
        buffer_add_span(&ended->texts[i], buffer_span(arrays[i]));
        buffer_add(&ended->texts[i], "}", 2);
        failed = failed || buffer_failed(&ended->texts[i]);
        ended->values[7 + i] = ended->texts[i].at;
    }
    if (failed)
        buffer_add_text(reterr, "out of memory");
    return !failed;
}

static void end_values(struct ended *ended)
{
    for (int i = 0; i < 3; i++)
        buffer_done(&ended->texts[i]);
}

/* `more`: the values after those of the filter. */
static PGresult *run_filtered(PGconn *connection, const char *sql, const struct letter_filter *filter,
                              const char *const *more, int more_count, struct buffer *reterr)
{
    struct ended ended;
    PGresult *result = NULL;

    if (begin_values(&ended, filter, reterr))
    {
        for (int i = 0; i < more_count; i++)
            ended.values[FILTER_VALUES + i] = more[i];
        result = query_run(connection, sql, FILTER_VALUES + more_count, ended.values, reterr);
    }
    end_values(&ended);
    return result;
}

static const char *print_number(char into[NUMBER_MAX], int64_t number)
{
    snprintf(into, NUMBER_MAX, "%lld", (long long)number);
    return into;
}

/* --- statements -------------------------------------------------------------------------------------------------- */

PGresult *letters_select(PGconn *connection, const struct letter_filter *filter, enum letter_order order, int64_t limit,
                         struct buffer *reterr)
{
    char number[NUMBER_MAX], sql[sizeof(select_sql) + 160];
    const char *const more[] = { print_number(number, limit) };

    snprintf(sql, sizeof(sql), "%s%s", select_sql, orders[order]);
    return run_filtered(connection, sql, filter, more, 1, reterr);
}

PGresult *letters_count(PGconn *connection, struct buffer *reterr)
{
    return query_run(connection, count_sql, 0, NULL, reterr);
}

int64_t letters_count_filtered(PGconn *connection, const struct letter_filter *filter, struct buffer *reterr)
{
    QUERY_RESULT counted = run_filtered(connection, count_filtered_sql, filter, NULL, 0, reterr);
    return counted ? strtoll(PQgetvalue(counted, 0, 0), NULL, 10) : -1;
}

PGresult *letters_group(PGconn *connection, const struct letter_filter *filter, const char *by, int64_t limit,
                        struct buffer *reterr)
{
    const char *column = strcmp(by, "cause") == 0 ? "d.reason" : strcmp(by, "type") == 0 ? "d.command_type" : "d.key";
    char number[NUMBER_MAX], sql[2048];
    const char *const more[] = { print_number(number, limit) };

    snprintf(sql, sizeof(sql),
             "SELECT %s, count(*), " TIME_TEXT("min(d.first_failed_at)") ", " TIME_TEXT(
                 "max(d.first_failed_at)") " FROM " LETTERS " WHERE " FILTERED
                                           " GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT $11::bigint",
             column);
    return run_filtered(connection, sql, filter, more, 1, reterr);
}

int64_t letters_move(PGconn *connection, const struct letter_filter *filter, const char *state, const char *outcome,
                     int64_t action, struct buffer *reterr)
{
    char number[NUMBER_MAX];
    const char *const more[] = { state, outcome, print_number(number, action) };

    QUERY_RESULT moved = run_filtered(connection, move_sql, filter, more, 3, reterr);
    return moved ? strtoll(PQcmdTuples(moved), NULL, 10) : -1;
}

PGresult *letters_history(PGconn *connection, const char *id, struct buffer *reterr)
{
    return query_run(connection, history_sql, 1, &id, reterr);
}

PGresult *letters_applied_since(PGconn *connection, const char *aggregate, const char *failed_at, struct buffer *reterr)
{
    const char *const values[] = { aggregate, failed_at };
    return query_run(connection, applied_sql, 2, values, reterr);
}
