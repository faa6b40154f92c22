#include "worker/postgres/row_holders.h"

#include "workflows/model/entity.h"
#include "workflows/model/id.h"

/* Everybody may see pid, role and application of any session, and whoever has pg_monitor the rest. */
#define HOLDERS \
    "SELECT DISTINCT a.pid, coalesce(nullif(a.application_name, ''), '?'), coalesce(a.usename, '?'), a.state, " \
    "to_char(a.xact_start AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), " \
    "extract(epoch FROM statement_timestamp() - a.xact_start)::bigint " \
    "FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid " \
    "WHERE l.granted AND a.pid <> pg_backend_pid() AND "

static const char of_rows_sql[] = HOLDERS "l.locktype = 'transactionid' AND l.transactionid IN (";
/* Names are resolved without a lock, so this is answered while the tables cannot be read. */
static const char of_tables_sql[] =
    HOLDERS "l.locktype = 'relation' AND l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', "
            "'AccessExclusiveLock') AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = "
            "current_database()) AND l.relation IN (";

/* The id was parsed, so the text has digits, and those of a uuid, alone. */
static void add_condition(struct buffer *into, const struct entity *entity, int column, const char *id)
{
    buffer_add_text(into, entity->columns[column].name);
    buffer_add_text(into, " = '");
    buffer_add_text(into, id);
    buffer_add_text(into, "'");
}

static void add_rows(struct buffer *into, const struct entity *entity, const char *id)
{
    buffer_add_text(into, "SELECT t.xmax FROM interlock.");
    buffer_add_text(into, entity->table);
    buffer_add_text(into, " t WHERE ");
    if (entity->root)
        add_condition(into, entity, 0, id);
    if (entity->parent == COLUMN_NOT_THERE)
        return;
    buffer_add_text(into, entity->root ? " OR " : "");
    add_condition(into, entity, entity->parent, id);
}

static void add_table(struct buffer *into, const struct entity *entity, const char *id)
{
    (void)id;
    buffer_add_text(into, "to_regclass('interlock.");
    buffer_add_text(into, entity->table);
    buffer_add_text(into, "')");
}

/* `add` for each table that has rows of the aggregate. */
static bool write_sql(struct span key, const char *from, const char *between,
                      void (*add)(struct buffer *into, const struct entity *entity, const char *id),
                      struct buffer *into)
{
    struct aggregate aggregate;
    char printed[AGGREGATE_KEY_MAX];
    bool first = true;

    if (!aggregate_parse(key, &aggregate))
        return false;
    size_t size = aggregate_print(aggregate, printed);
    const char *slash = memchr(printed, '/', size);
    if (slash == NULL)
        return false;
    printed[size] = '\0';
    buffer_add_text(into, from);
    for (int i = 0; entities[i]; i++)
    {
        const struct entity *entity = entities[i];
        if (entity->aggregate != aggregate.kind || (!entity->root && entity->parent == COLUMN_NOT_THERE))
            continue;
        buffer_add_text(into, first ? "" : between);
        add(into, entity, slash + 1);
        first = false;
    }
    buffer_add_text(into, ") LIMIT 3");
    buffer_add_byte(into, '\0');
    return !first && !buffer_failed(into);
}

bool row_holders_write_sql(struct span key, struct buffer *into)
{
    return write_sql(key, of_rows_sql, " UNION ALL ", add_rows, into);
}

PGresult *row_holders_find(PGconn *connection, struct span key, struct buffer *reterr)
{
    struct buffer of_tables = BUFFER_EMPTY, of_rows = BUFFER_EMPTY;
    PGresult *rows = NULL;

    buffer_add_text(&of_rows, "SET lock_timeout = '1s'; ");
    if (!write_sql(key, of_tables_sql, ", ", add_table, &of_tables) || !row_holders_write_sql(key, &of_rows))
        buffer_add_text(reterr, "the key names no aggregate");
    else
    {
        rows = query_run(connection, of_tables.at, 0, NULL, reterr);
        if (rows && PQntuples(rows) == 0)
        {
            PQclear(rows);
            rows = query_run_script(connection, of_rows.at, "row holders", reterr);
        }
    }
    buffer_done(&of_tables);
    buffer_done(&of_rows);
    return rows;
}

void row_holders_add_words(const PGresult *rows, int row, struct buffer *into)
{
    const char *state = query_text(rows, row, ROW_HOLDER_STATE), *age = query_text(rows, row, ROW_HOLDER_AGE_S);

    buffer_add_text(into, "locked by pid ");
    buffer_add_text(into, query_text(rows, row, ROW_HOLDER_PID));
    buffer_add_text(into, " (");
    buffer_add_text(into, query_text(rows, row, ROW_HOLDER_PROGRAM));
    buffer_add_text(into, state ? ", " : "");
    buffer_add_text(into, state ? state : "");
    buffer_add_text(into, age ? " for " : "");
    buffer_add_text(into, age ? age : "");
    buffer_add_text(into, age ? " s)" : ")");
}
