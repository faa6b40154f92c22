#include "consumers/takeover/arrears_reading.h"

#include <stdlib.h>

#include "consumers/takeover/partition_owner_private.h"
#include "worker/batch/audit.h"
#include "worker/postgres/statement_text.h"

/* Positions that one statement looks at where rewinds cover them: what they cover has to be walked over. */
static const int64_t WINDOW = 1000000;

enum
{
    WINDOWS = 4, /* of one call */
};

/* --- a portion --------------------------------------------------------------------------------------------------- */

#define UNCOVERED \
    "t.partition_id = $1::int AND t.kafka_offset >= $2::bigint AND t.kafka_offset < $3::bigint AND NOT EXISTS " \
    "(SELECT FROM interlock.partition_rewind r WHERE r.partition_id = $1::int AND t.fence < r.fence AND " \
    "t.kafka_offset < r.below)"
#define PORTION_TEXT "20000" /* ARREARS_PORTION */

/* Rows that no rewind covers, from one position up to another. The first table's part walks its key alone. */
static const char portion_sql[] =
    "SELECT kafka_offset, fence, event_id, (extract(epoch FROM at) * 1000000)::bigint FROM ("
    "(SELECT k.kafka_offset, k.fence, e.event_id, e.changed_at AS at FROM (SELECT t.kafka_offset, t.fence FROM "
    "interlock.audit_event t WHERE " UNCOVERED " ORDER BY t.kafka_offset, t.fence LIMIT " PORTION_TEXT ") k JOIN "
    "interlock.audit_event e ON e.partition_id = $1::int AND e.kafka_offset = k.kafka_offset AND e.fence = k.fence) "
    "UNION ALL "
    "(SELECT t.kafka_offset, t.fence, NULL, t.first_failed_at FROM interlock.dead_letter t WHERE " UNCOVERED " "
    "ORDER BY t.kafka_offset LIMIT " PORTION_TEXT ")) recorded ORDER BY kafka_offset, fence LIMIT " PORTION_TEXT;

/* Behind the highest rewind nothing is covered: no window is needed. */
static const char covered_sql[] =
    "SELECT coalesce(max(below), 0) FROM interlock.partition_rewind WHERE partition_id = $1::int";

static bool take_rows(struct arrears *arrears, const PGresult *result)
{
    int count = PQntuples(result);

    free(arrears->rows);
    arrears->rows = calloc((size_t)count + 1, sizeof(*arrears->rows));
    arrears->count = arrears->missing = 0;
    arrears->has_dead_letters = false;
    if (arrears->rows == NULL)
        return false;
    for (int i = 0; i < count; i++)
    {
        struct recorded *row = &arrears->rows[i];
        row->offset = partition_owner_read_number(result, i, 0);
        row->fence = partition_owner_read_number(result, i, 1);
        if (!PQgetisnull(result, i, 2))
            id_parse_uuid(span_of(PQgetvalue(result, i, 2)), &row->event_id);
        row->recorded_at_us = partition_owner_read_number(result, i, 3);
        arrears->has_dead_letters = arrears->has_dead_letters || PQgetisnull(result, i, 2);
    }
    /* One position may have rows of several fences: a full portion ends before its last position. */
    if (count == ARREARS_PORTION)
        while (count > 0 &&
               arrears->rows[count - 1].offset == partition_owner_read_number(result, ARREARS_PORTION - 1, 0))
            count--;
    arrears->count = arrears->missing = count;
    return true;
}

static bool read_window(struct partition_owner *owners, struct owned_partition *owned, int64_t covered,
                        const struct session_stop *stop)
{
    struct arrears *arrears = owned->publisher.arrears;
    struct number_text id, from, to;
    int64_t end = arrears->next < covered ? arrears->next + WINDOW : INT64_MAX;
    const char *values[3] = { partition_owner_print_number(&id, owned->partition.partition_id),
                              partition_owner_print_number(&from, arrears->next),
                              partition_owner_print_number(&to, end) };
    PARTITION_OWNER_RESULT result = partition_owner_run(owners, portion_sql, 3, values, stop);

    if (result == NULL)
        return false;
    if (!take_rows(arrears, result))
        return partition_owner_fail(owners, "out of memory");
    bool full = PQntuples(result) == ARREARS_PORTION;
    arrears->last = !full && end == INT64_MAX;
    arrears->next = full ? partition_owner_read_number(result, ARREARS_PORTION - 1, 0) : end;
    return true;
}

bool arrears_read(struct partition_owner *owners, struct owned_partition *owned, const struct session_stop *stop)
{
    struct arrears *arrears = owned->publisher.arrears;
    struct number_text id;
    const char *values[1] = { partition_owner_print_number(&id, owned->partition.partition_id) };
    PARTITION_OWNER_RESULT result = partition_owner_run(owners, covered_sql, 1, values, stop);

    if (result == NULL)
        return false;
    int64_t covered = partition_owner_read_number(result, 0, 0);
    for (int i = 0; i < WINDOWS && arrears->count == 0 && !arrears->last; i++)
        if (!read_window(owners, owned, covered, stop))
            return false;
    if (arrears->count > 0)
        arrears->state = ARREARS_LOOKED_UP;
    else if (arrears->last)
        arrears->state = ARREARS_KNOWN;
    return true;
}

/* --- full rows --------------------------------------------------------------------------------------------------- */

struct pairs
{
    struct buffer offsets, fences;
};

static void add_pair(struct pairs *pairs, const struct recorded *row)
{
    struct number_text text;

    partition_owner_add_element(&pairs->offsets, partition_owner_print_number(&text, row->offset));
    partition_owner_add_element(&pairs->fences, partition_owner_print_number(&text, row->fence));
}

static PGresult *load(struct partition_owner *owners, const struct owned_partition *owned, const char *sql,
                      bool in_binary, struct pairs *pairs, const struct session_stop *stop)
{
    struct number_text id;
    PGresult *result = NULL;

    partition_owner_end_list(&pairs->offsets);
    partition_owner_end_list(&pairs->fences);
    const char *values[3] = { partition_owner_print_number(&id, owned->partition.partition_id), pairs->offsets.at,
                              pairs->fences.at };
    if (sql == NULL || buffer_failed(&pairs->offsets) || buffer_failed(&pairs->fences))
        partition_owner_fail(owners, "out of memory");
    else
        result = in_binary ? partition_owner_run_binary(owners, sql, 3, values, stop)
                           : partition_owner_run(owners, sql, 3, values, stop);
    buffer_done(&pairs->offsets);
    buffer_done(&pairs->fences);
    return result;
}

static void add_pairs(struct pairs *pairs, const struct arrears *arrears, int first, int behind, bool events)
{
    for (int i = first; i < behind; i++)
        if (recorded_is_event(&arrears->rows[i]) == events && !arrears->rows[i].found)
            add_pair(pairs, &arrears->rows[i]);
}

PGresult *arrears_load_events(struct partition_owner *owners, const struct owned_partition *owned, int first,
                              int behind, const struct session_stop *stop)
{
    struct pairs pairs = { BUFFER_EMPTY, BUFFER_EMPTY };
    struct buffer sql = BUFFER_EMPTY;

    add_pairs(&pairs, owned->publisher.arrears, first, behind, true);
    buffer_add_text(&sql, "SELECT ");
    statement_write_columns(&sql, &entity_audit_event);
    buffer_add_text(&sql, " FROM unnest($2::bigint[], $3::bigint[]) k (o, f) JOIN interlock.audit_event t ON "
                          "t.partition_id = $1::int AND t.kafka_offset = k.o AND t.fence = k.f "
                          "ORDER BY t.kafka_offset, t.fence");
    buffer_add_byte(&sql, '\0');
    PGresult *result = load(owners, owned, buffer_failed(&sql) ? NULL : sql.at, true, &pairs, stop);
    buffer_done(&sql);
    return result;
}

PGresult *arrears_load_dead_letters(struct partition_owner *owners, const struct owned_partition *owned, int first,
                                    int behind, const struct session_stop *stop)
{
    static const char sql[] =
        "SELECT t.kafka_offset, (extract(epoch FROM t.first_failed_at) * 1000000)::bigint, encode(t.digest, 'hex'), "
        "t.reason FROM unnest($2::bigint[], $3::bigint[]) k (o, f) JOIN interlock.dead_letter t ON "
        "t.partition_id = $1::int AND t.kafka_offset = k.o AND t.fence = k.f ORDER BY t.kafka_offset";
    struct pairs pairs = { BUFFER_EMPTY, BUFFER_EMPTY };

    add_pairs(&pairs, owned->publisher.arrears, first, behind, false);
    return load(owners, owned, sql, false, &pairs, stop);
}
