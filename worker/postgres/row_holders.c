#include "worker/postgres/row_holders.h"

#include "workflows/model/entity.h"
#include "workflows/model/id.h"

/* Everybody may see pid, role and application of any session, and whoever has pg_monitor the rest. */
static const char from_sql[] =
    "SELECT DISTINCT a.pid, coalesce(nullif(a.application_name, ''), '?'), coalesce(a.usename, '?'), a.state, "
    "to_char(a.xact_start AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') FROM pg_catalog.pg_locks l "
    "JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid WHERE l.locktype = 'transactionid' AND l.granted "
    "AND a.pid <> pg_backend_pid() AND l.transactionid IN (";

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

bool row_holders_write_sql(struct span key, struct buffer *into)
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
    buffer_add_text(into, from_sql);
    for (int i = 0; entities[i]; i++)
    {
        const struct entity *entity = entities[i];
        if (entity->aggregate != aggregate.kind || (!entity->root && entity->parent == COLUMN_NOT_THERE))
            continue;
        buffer_add_text(into, first ? "" : " UNION ALL ");
        add_rows(into, entity, slash + 1);
        first = false;
    }
    buffer_add_text(into, ") LIMIT 3");
    buffer_add_byte(into, '\0');
    return !first && !buffer_failed(into);
}
