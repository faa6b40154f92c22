#include "worker/postgres/blockers.h"

#include "worker/postgres/advisory_locks.h"

/* pid, role and application of any session may be seen by everybody. */
static const char from_sql[] =
    "SELECT coalesce(string_agg(DISTINCT format('pid %s, role %s, application %s', l.pid, coalesce(a.usename, '?'), "
    "coalesce(nullif(a.application_name, ''), '?')), '; '), '') FROM pg_catalog.pg_locks l "
    "LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid "
    "JOIN pg_catalog.pg_database d ON d.oid = l.database AND d.datname = current_database() "
    "WHERE l.locktype = 'advisory' AND l.granted AND l.pid <> pg_backend_pid() AND l.objsubid = 2 "
    "AND l.classid = " SQL_NUMBER(PARTITION_OWNER_LOCK_CLASS) "::oid";

static const char *const conditions[] = {
    [BLOCKERS_OF_BATCH] = " AND l.mode = 'ExclusiveLock'",
    [BLOCKERS_OF_TAKEOVER] = " AND a.usename IS DISTINCT FROM current_user",
};

bool blockers_write_sql(enum blockers_of whose, const int32_t *partition_ids, int count, struct buffer *into)
{
    buffer_add_text(into, from_sql);
    buffer_add_text(into, conditions[whose]);
    buffer_add_text(into, " AND l.objid = ANY ('{");
    for (int i = 0; i < count; i++)
    {
        if (i > 0)
            buffer_add_byte(into, ',');
        buffer_add_int64(into, partition_ids[i]);
    }
    buffer_add_text(into, "}'::oid[])");
    buffer_add_byte(into, '\0');
    return !buffer_failed(into);
}
