#include "worker/prune.h"

#include <stdio.h>
#include <stdlib.h>

#include "worker/query.h"

enum
{
    STRETCH_BLOCKS = 4096, /* 32 MiB: well below a second */
};

const struct prune_table prune_tables[] = {
    { "inbox", "NOT t.parked", "recorded_at" },
    { "dead_letter", "true", "first_failed_at" },
    { .name = NULL },
};

static const char size_sql[] = "SELECT pg_relation_size($1::regclass) / current_setting('block_size')::bigint";

/* What may go: $1 topics, $2 partitions, $3 log starts, $4 age in microseconds, $5 and $6 the stretch. */
static const char from_sql[] = " interlock.partition_owner o, unnest($1::text[], $2::integer[], $3::bigint[])"
                               " AS s (topic, partition, log_start)"
                               " WHERE o.topic = s.topic AND o.partition = s.partition AND t.partition_id = o.id"
                               " AND t.kafka_offset < least(o.published, s.log_start)"
                               " AND t.ctid >= $5::tid AND t.ctid < $6::tid AND ";

static void add_name(struct buffer *into, const char *table)
{
    buffer_add_text(into, "interlock.");
    buffer_add_text(into, table);
}

/* Counting and deleting differ in nothing but their first words. */
static void write_statement(const struct prune_table *table, bool executes, struct buffer *into)
{
    buffer_add_text(into, executes ? "WITH gone AS (DELETE FROM " : "SELECT count(*) FROM ");
    add_name(into, table->name);
    buffer_add_text(into, executes ? " t USING" : " t,");
    buffer_add_text(into, from_sql);
    buffer_add_text(into, table->condition);
    buffer_add_text(into, " AND t.");
    buffer_add_text(into, table->written_at);
    buffer_add_text(into, " < now() - $4::bigint * interval '1 microsecond'");
    buffer_add_text(into, executes ? " RETURNING 1) SELECT count(*) FROM gone" : "");
    buffer_add_byte(into, '\0');
}

static int64_t ask_number(PGconn *connection, const char *sql, int count, const char *const *values,
                          struct buffer *reterr)
{
    QUERY_RESULT result = query_run(connection, sql, count, values, reterr);
    return result && PQntuples(result) == 1 ? strtoll(PQgetvalue(result, 0, 0), NULL, 10) : -1;
}

static int64_t prune_blocks(PGconn *connection, const char *sql, int64_t blocks, const struct prune_log_starts *starts,
                            const char *age, struct buffer *reterr)
{
    int64_t total = 0;
    for (int64_t from = 0; from < blocks; from += STRETCH_BLOCKS)
    {
        char first[32], behind[32];
        snprintf(first, sizeof(first), "(%lld,0)", (long long)from);
        snprintf(behind, sizeof(behind), "(%lld,0)", (long long)from + STRETCH_BLOCKS);
        const char *const values[] = {
            starts->topics.at, starts->partitions.at, starts->offsets.at, age, first, behind
        };
        int64_t gone = ask_number(connection, sql, 6, values, reterr);
        if (gone < 0)
            return -1;
        total += gone;
    }
    return total;
}

int64_t prune_run(PGconn *connection, const struct prune_table *table, const struct prune_log_starts *starts,
                  int64_t older_than_us, bool executes, struct buffer *reterr)
{
    struct buffer sql = BUFFER_EMPTY, name = BUFFER_EMPTY;
    char age[32];
    int64_t gone = -1;
    snprintf(age, sizeof(age), "%lld", (long long)older_than_us);
    add_name(&name, table->name);
    buffer_add_byte(&name, '\0');
    write_statement(table, executes, &sql);
    if (buffer_failed(&sql) || buffer_failed(&name) || buffer_failed(&starts->offsets) ||
        buffer_failed(&starts->topics) || buffer_failed(&starts->partitions))
        buffer_add_text(reterr, "out of memory");
    else
    {
        const char *const values[] = { name.at };
        int64_t blocks = ask_number(connection, size_sql, 1, values, reterr);
        if (blocks >= 0)
            gone = prune_blocks(connection, sql.at, blocks, starts, age, reterr);
    }
    buffer_done(&sql);
    buffer_done(&name);
    return gone;
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
