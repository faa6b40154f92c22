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

/* --- a portion -------------------------------------------------------------------------------------------------- */

#define UNCOVERED                                                                                                      \
    "t.partition_id = $1::int AND t.kafka_offset >= $2::bigint AND t.kafka_offset < $3::bigint AND NOT EXISTS "        \
    "(SELECT FROM interlock.partition_rewind r WHERE r.partition_id = $1::int AND t.fence < r.fence AND "              \
    "t.kafka_offset < r.below)"
#define PORTION_TEXT "20000" /* ARREARS_PORTION */

/* What no rewind covers, from one position up to another. The first table's part walks its key alone. */
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
        row->offset = ownership_read_number(result, i, 0);
        row->fence = ownership_read_number(result, i, 1);
        if (!PQgetisnull(result, i, 2))
            id_parse_uuid(span_of(PQgetvalue(result, i, 2)), &row->event_id);
        row->recorded_at_us = ownership_read_number(result, i, 3);
        arrears->has_dead_letters = arrears->has_dead_letters || PQgetisnull(result, i, 2);
    }
    /* One position may have rows of several fences: a full portion ends before its last position. */
    if (count == ARREARS_PORTION)
        while (count > 0 && arrears->rows[count - 1].offset == ownership_read_number(result, ARREARS_PORTION - 1, 0))
            count--;
    arrears->count = arrears->missing = count;
    return true;
}

static bool read_window(struct ownership_books *books, struct tenure *tenure, int64_t covered,
                        const struct session_stop *stop)
{
    struct arrears *arrears = tenure->arrears;
    struct number_text id, from, to;
    int64_t end = arrears->next < covered ? arrears->next + WINDOW : INT64_MAX;
    const char *values[3] = { ownership_print_number(&id, tenure->ownership.partition_id),
                              ownership_print_number(&from, arrears->next), ownership_print_number(&to, end) };
    OWNERSHIP_RESULT result = ownership_run(books, portion_sql, 3, values, stop);

    if (result == NULL)
        return false;
    if (!take_rows(arrears, result))
        return ownership_fail(books, "out of memory");
    bool full = PQntuples(result) == ARREARS_PORTION;
    arrears->last = !full && end == INT64_MAX;
    arrears->next = full ? ownership_read_number(result, ARREARS_PORTION - 1, 0) : end;
    return true;
}

bool arrears_read(struct ownership_books *books, struct tenure *tenure, const struct session_stop *stop)
{
    struct arrears *arrears = tenure->arrears;
    struct number_text id;
    const char *values[1] = { ownership_print_number(&id, tenure->ownership.partition_id) };
    OWNERSHIP_RESULT result = ownership_run(books, covered_sql, 1, values, stop);

    if (result == NULL)
        return false;
    int64_t covered = ownership_read_number(result, 0, 0);
    for (int i = 0; i < WINDOWS && arrears->count == 0 && !arrears->last; i++)
        if (!read_window(books, tenure, covered, stop))
            return false;
    if (arrears->count > 0)
        arrears->state = ARREARS_LOOKED_UP;
    else if (arrears->last)
        arrears->state = ARREARS_KNOWN;
    return true;
}

/* --- full rows -------------------------------------------------------------------------------------------------- */

struct pairs
{
    struct buffer offsets, fences;
};

static void add_pair(struct pairs *pairs, const struct recorded *row)
{
    struct number_text text;

    ownership_add_element(&pairs->offsets, ownership_print_number(&text, row->offset));
    ownership_add_element(&pairs->fences, ownership_print_number(&text, row->fence));
}

static PGresult *load(struct ownership_books *books, const struct tenure *tenure, const char *sql, bool in_binary,
                      struct pairs *pairs, const struct session_stop *stop)
{
    struct number_text id;
    PGresult *result = NULL;

    ownership_end_list(&pairs->offsets);
    ownership_end_list(&pairs->fences);
    const char *values[3] = { ownership_print_number(&id, tenure->ownership.partition_id), pairs->offsets.at,
                              pairs->fences.at };
    if (sql == NULL || buffer_failed(&pairs->offsets) || buffer_failed(&pairs->fences))
        ownership_fail(books, "out of memory");
    else
        result =
            in_binary ? ownership_run_binary(books, sql, 3, values, stop) : ownership_run(books, sql, 3, values, stop);
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

PGresult *arrears_load_events(struct ownership_books *books, const struct tenure *tenure, int first, int behind,
                              const struct session_stop *stop)
{
    struct pairs pairs = { BUFFER_EMPTY, BUFFER_EMPTY };
    struct buffer sql = BUFFER_EMPTY;

    add_pairs(&pairs, tenure->arrears, first, behind, true);
    buffer_add_text(&sql, "SELECT ");
    statement_write_columns(&sql, &entity_audit_event);
    buffer_add_text(&sql, " FROM unnest($2::bigint[], $3::bigint[]) k (o, f) JOIN interlock.audit_event t ON "
                          "t.partition_id = $1::int AND t.kafka_offset = k.o AND t.fence = k.f "
                          "ORDER BY t.kafka_offset, t.fence");
    buffer_add_byte(&sql, '\0');
    PGresult *result = load(books, tenure, buffer_failed(&sql) ? NULL : sql.at, true, &pairs, stop);
    buffer_done(&sql);
    return result;
}

PGresult *arrears_load_dead_letters(struct ownership_books *books, const struct tenure *tenure, int first, int behind,
                                    const struct session_stop *stop)
{
    static const char sql[] =
        "SELECT t.kafka_offset, (extract(epoch FROM t.first_failed_at) * 1000000)::bigint, encode(t.digest, 'hex'), "
        "t.reason FROM unnest($2::bigint[], $3::bigint[]) k (o, f) JOIN interlock.dead_letter t ON "
        "t.partition_id = $1::int AND t.kafka_offset = k.o AND t.fence = k.f ORDER BY t.kafka_offset";
    struct pairs pairs = { BUFFER_EMPTY, BUFFER_EMPTY };

    add_pairs(&pairs, tenure->arrears, first, behind, false);
    return load(books, tenure, sql, false, &pairs, stop);
}
