#include "worker/admin/prune.h"

#include <stdio.h>
#include <stdlib.h>

#include "worker/admin/operator_action.h"
#include "worker/base/progress.h"
#include "worker/postgres/query.h"

enum
{
    STRETCH_BLOCKS = 4096, /* 32 MiB: well below a second */
};

const char *const prune_tables[] = { "inbox", "dead_letter", NULL };

static const char size_sql[] = "SELECT pg_relation_size(('interlock.' || $1)::regclass) / "
                               "current_setting('block_size')::bigint";

/* schema/0014 has the rules, for a role that has no other right. Counting and deleting differ in $2 alone. */
static const char prune_sql[] = "SELECT interlock.prune_rows($1, $2::boolean, $3::text[], $4::integer[], $5::bigint[], "
                                "$6::bigint * interval '1 microsecond', $7::tid, $8::tid)";

static int64_t ask_number(PGconn *connection, const char *sql, int count, const char *const *values,
                          struct buffer *reterr)
{
    QUERY_RESULT result = query_run(connection, sql, count, values, reterr);
    return result && PQntuples(result) == 1 ? strtoll(PQgetvalue(result, 0, 0), NULL, 10) : -1;
}

static int64_t delete_stretch(PGconn *connection, const char *const *values, int64_t action, struct buffer *reterr)
{
    char outcome[48];
    QUERY_RESULT begin = query_run(connection, TRANSACTION_BEGIN, 0, NULL, reterr);
    int64_t gone = begin ? ask_number(connection, prune_sql, 8, values, reterr) : -1;

    snprintf(outcome, sizeof(outcome), "%lld deleted", (long long)gone);
    if (gone < 0 || (gone > 0 && !operator_action_add_item(connection, action, values[0], outcome, reterr)))
        return -1; /* the caller ends the session, and with it the transaction */
    return query_commit(connection, reterr) ? gone : -1;
}

int64_t prune_run(PGconn *connection, const char *table, const struct prune_log_starts *starts, int64_t older_than_us,
                  int64_t action, struct buffer *reterr)
{
    bool executes = action != PRUNE_COUNTS;
    const char *const name[] = { table };
    char age[32];
    int64_t total = 0;

    if (buffer_failed(&starts->offsets) || buffer_failed(&starts->topics) || buffer_failed(&starts->partitions))
    {
        buffer_add_text(reterr, "out of memory");
        return -1;
    }
    snprintf(age, sizeof(age), "%lld", (long long)older_than_us);
    progress_stage("stretches of %s", table);
    int64_t blocks = ask_number(connection, size_sql, 1, name, reterr);
    /* A table without a block is asked, too: a wrong age is refused whatever there is. */
    for (int64_t from = 0; blocks >= 0 && (from < blocks || from == 0); from += STRETCH_BLOCKS)
    {
        char first[32], behind[32];
        progress_count(from / STRETCH_BLOCKS, (blocks + STRETCH_BLOCKS - 1) / STRETCH_BLOCKS);
        snprintf(first, sizeof(first), "(%lld,0)", (long long)from);
        snprintf(behind, sizeof(behind), "(%lld,0)", (long long)from + STRETCH_BLOCKS);
        const char *const values[] = { table,
                                       executes ? "true" : "false",
                                       starts->topics.at,
                                       starts->partitions.at,
                                       starts->offsets.at,
                                       age,
                                       first,
                                       behind };
        int64_t gone = executes ? delete_stretch(connection, values, action, reterr)
                                : ask_number(connection, prune_sql, 8, values, reterr);
        if (gone < 0)
            return -1;
        total += gone;
    }
    return blocks < 0 ? -1 : total;
}

/* --- log starts -------------------------------------------------------------------------------------------------- */

static void add_element(struct buffer *array, const char *text)
{
    buffer_add_byte(array, array->size == 0 ? '{' : ',');
    buffer_add_text(array, text); /* letters, digits, . _ and -: Kafka's topic names need no quotes */
}

void prune_log_starts_add(struct prune_log_starts *starts, const char *topic, int32_t partition, int64_t offset)
{
    char number[32];
    add_element(&starts->topics, topic);
    snprintf(number, sizeof(number), "%d", partition);
    add_element(&starts->partitions, number);
    snprintf(number, sizeof(number), "%lld", (long long)offset);
    add_element(&starts->offsets, number);
}

void prune_log_starts_end(struct prune_log_starts *starts)
{
    struct buffer *const arrays[] = { &starts->topics, &starts->partitions, &starts->offsets };
    for (size_t i = 0; i < 3; i++)
    {
        buffer_add_text(arrays[i], arrays[i]->size == 0 ? "{}" : "}");
        buffer_add_byte(arrays[i], '\0');
    }
}

void prune_log_starts_done(struct prune_log_starts *starts)
{
    buffer_done(&starts->topics);
    buffer_done(&starts->partitions);
    buffer_done(&starts->offsets);
}
