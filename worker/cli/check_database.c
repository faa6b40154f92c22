/* The needs of a worker in PostgreSQL, asked one at a time, so that each line has its remedy. */
#include <stdio.h>
#include <stdlib.h>

#include "worker/admin/migrate.h"
#include "worker/cli/check.h"
#include "worker/postgres/query.h"

enum
{
    VERSION_MINIMUM = 150000,   /* NULLS NOT DISTINCT in schema/0006 */
    SESSIONS_BESIDES_LANES = 4, /* of a process: slot, takeovers, publisher's bookkeeping, returner */
};

/* The rights that a worker uses on each table; roles.sql grants them. */
static const struct
{
    const char *relation;
    const char *rights; /* as has_table_privilege and, except DELETE, has_any_column_privilege know them */
} grants[] = {
    { "interlock.inbox", "SELECT" },
    { "interlock.inbox", "INSERT" },
    { "interlock.inbox", "UPDATE" },
    { "interlock.parked_command", "INSERT" },
    { "interlock.parked_command", "UPDATE" },
    { "interlock.parked_command", "DELETE" },
    { "interlock.audit_event", "SELECT" },
    { "interlock.audit_event", "INSERT" },
    { "interlock.audit_also", "INSERT" },
    { "interlock.dead_letter", "SELECT" },
    { "interlock.dead_letter", "INSERT" },
    { "interlock.consumer_group", "INSERT" },
    { "interlock.partition_owner", "INSERT" },
    { "interlock.partition_owner", "UPDATE" },
    { "interlock.partition_published", "INSERT" },
    { "interlock.partition_published", "UPDATE" },
    { "interlock.partition_rewind", "INSERT" },
    { "interlock.parking", "UPDATE" },
    { "interlock.crash_suspect", "INSERT" },
    { "interlock.crash_suspect", "UPDATE" },
    { "interlock.ticket", "INSERT" },
    { "interlock.ticket", "UPDATE" },
    { "interlock.ticket_history", "INSERT" },
    { "interlock.escalation_matrix", "SELECT" },
    { "interlock.job", "INSERT" },
    { "interlock.job", "UPDATE" },
    { "interlock.job", "DELETE" },
    { "interlock.jobneed", "INSERT" },
    { "interlock.jobneed", "UPDATE" },
    { "interlock.face_model", "UPDATE" },
    { "interlock.face_user", "INSERT" },
    { "interlock.face_user", "UPDATE" },
    { "interlock.face_embedding", "INSERT" },
    { "interlock.face_embedding", "UPDATE" },
    { "interlock.face_embedding", "DELETE" },
    { "interlock.face_embedding_counter", "UPDATE" },
    { "interlock.face_verification_log", "INSERT" },
};

/* The first field of a statement, or NULL and a line in the report. */
static bool ask(struct check *check, PGconn *connection, const char *what, const char *sql, int count,
                const char *const *values, char *into, size_t size)
{
    struct buffer fault = BUFFER_EMPTY;
    QUERY_RESULT result = query_run(connection, sql, count, values, &fault);
    if (result)
        snprintf(into, size, "%s", PQntuples(result) > 0 && query_text(result, 0, 0) ? query_text(result, 0, 0) : "");
    else
        check_add_text(check, CHECK_FIX, what, &fault);
    buffer_done(&fault);
    return result != NULL;
}

static void check_version(struct check *check, PGconn *connection)
{
    int version = PQserverVersion(connection);
    check_add(check, version >= VERSION_MINIMUM ? CHECK_OK : CHECK_FIX, "postgresql", "version %d.%d%s",
              version / 10000, version % 10000, version >= VERSION_MINIMUM ? "" : ": 15 or later is needed");
}

static void check_encoding(struct check *check, PGconn *connection)
{
    char text[64];
    if (!ask(check, connection, "encoding", "SHOW server_encoding", 0, NULL, text, sizeof(text)))
        return;
    bool good = strcmp(text, "UTF8") == 0;
    check_add(check, good ? CHECK_OK : CHECK_FIX, "encoding", "%s%s", text,
              good ? "" : ": commands are UTF-8: create the database with ENCODING 'UTF8'");
}

static void check_durability(struct check *check, PGconn *connection)
{
    char commit[64], sync[64];
    if (!ask(check, connection, "durability", "SHOW synchronous_commit", 0, NULL, commit, sizeof(commit)) ||
        !ask(check, connection, "durability", "SHOW fsync", 0, NULL, sync, sizeof(sync)))
        return;
    if (strcmp(commit, "off") == 0 || strcmp(commit, "local") == 0 || strcmp(commit, "remote_write") == 0)
        check_add(check, CHECK_FIX, "durability",
                  "synchronous_commit = %s: a crash would lose commands whose offsets are committed; set it to on",
                  commit);
    else if (strcmp(sync, "on") != 0)
        check_add(check, CHECK_NOTE, "durability",
                  "fsync = %s: a crash of the machine loses what was committed; never in production", sync);
    else
        check_add(check, CHECK_OK, "durability", "synchronous_commit = %s, fsync = on", commit);
}

static void check_role(struct check *check, PGconn *connection)
{
    char text[80];
    static const char sql[] =
        "SELECT CASE WHEN rolsuper THEN 'is a superuser' WHEN pg_has_role(current_user,"
        " (SELECT relowner FROM pg_class WHERE oid = to_regclass('interlock.audit_event')), 'USAGE')"
        " THEN 'owns the tables' END FROM pg_roles WHERE rolname = current_user";
    if (!ask(check, connection, "role", sql, 0, NULL, text, sizeof(text)))
        return;
    if (*text)
        check_add(check, CHECK_NOTE, "role", "%s %s: in production connect as interlock_worker (schema/roles.sql)",
                  PQuser(connection), text);
    else
        check_add(check, CHECK_OK, "role", "%s", PQuser(connection));
}

static void check_grants(struct check *check, PGconn *connection)
{
    /* A row is deleted whole: there is no such right on a column. */
    static const char sql[] = "SELECT CASE WHEN $2 = 'DELETE' THEN has_table_privilege($1, $2) "
                              "ELSE has_any_column_privilege($1, $2) END";
    struct buffer missing = BUFFER_EMPTY;
    char text[8];
    for (size_t i = 0; i < sizeof(grants) / sizeof(*grants); i++)
    {
        const char *const values[] = { grants[i].relation, grants[i].rights };
        if (!ask(check, connection, "grants", sql, 2, values, text, sizeof(text)))
            break;
        if (strcmp(text, "t") == 0)
            continue;
        buffer_add_text(&missing, missing.size > 0 ? ", " : "missing: ");
        buffer_add_text(&missing, grants[i].rights);
        buffer_add_text(&missing, " on ");
        buffer_add_text(&missing, grants[i].relation);
    }
    if (missing.size > 0)
    {
        buffer_add_text(&missing, ": run psql -f schema/roles.sql");
        check_add_text(check, CHECK_FIX, "grants", &missing);
    }
    else
        check_add(check, CHECK_OK, "grants", "all that a worker needs");
    buffer_done(&missing);
}

/* The locks behind fences and slots (PROTOCOL O1, O4). A role that may take advisory locks may take these. */
static void check_advisory(struct check *check, PGconn *connection)
{
    static const char sql[] =
        "SELECT CASE WHEN NOT has_function_privilege('pg_advisory_xact_lock(int,int)', 'EXECUTE') THEN 'no' "
        "WHEN has_function_privilege('public', 'pg_advisory_xact_lock(int,int)', 'EXECUTE') THEN 'all' ELSE '' END";
    char text[8];
    if (!ask(check, connection, "advisory locks", sql, 0, NULL, text, sizeof(text)))
        return;
    if (strcmp(text, "no") == 0)
        check_add(check, CHECK_FIX, "advisory locks",
                  "%s may not take them: connect as interlock_worker, or GRANT EXECUTE on the pg_advisory functions",
                  PQuser(connection));
    else if (*text)
        check_add(check, CHECK_NOTE, "advisory locks",
                  "every role that may connect to this database can take the locks of the partitions and stop all "
                  "work: run psql "
                  "-f schema/roles.sql");
    else
        check_add(check, CHECK_OK, "advisory locks", "for the roles of schema/roles.sql only");
}

static bool check_schema(struct check *check, PGconn *connection)
{
    struct migrate_status status;
    struct buffer fault = BUFFER_EMPTY;
    bool good = migrate_read_status(connection, &status, &fault) && migrate_is_current(&status, false, &fault);
    if (good)
        check_add(check, CHECK_OK, "schema", "migrated up to %04d", status.applied);
    else
        check_add_text(check, CHECK_FIX, "schema", &fault);
    buffer_done(&fault);
    return good;
}

/* PROTOCOL O2: one consumer group per schema. */
static void check_group(struct check *check, PGconn *connection, const struct settings *settings)
{
    char text[256];
    if (!ask(check, connection, "consumer group", "SELECT group_id FROM interlock.consumer_group", 0, NULL, text,
             sizeof(text)))
        return;
    if (*text == '\0')
        check_add(check, CHECK_OK, "consumer group", "%s (none has started yet)", settings->kafka.group);
    else if (strcmp(text, settings->kafka.group) == 0)
        check_add(check, CHECK_OK, "consumer group", "%s", text);
    else
        check_add(check, CHECK_FIX, "consumer group",
                  "%s has this schema, not %s: set kafka.group, or use another database", text, settings->kafka.group);
}

static void check_sessions(struct check *check, PGconn *connection, const struct settings *settings)
{
    char text[32];
    static const char sql[] = "SELECT current_setting('max_connections')::int"
                              " - current_setting('superuser_reserved_connections')::int";
    if (!ask(check, connection, "sessions", sql, 0, NULL, text, sizeof(text)))
        return;
    long needed = (long)(settings->consumers.count * (settings->worker.lanes + SESSIONS_BESIDES_LANES));
    check_add(check, needed <= atol(text) ? CHECK_OK : CHECK_FIX, "sessions",
              "this process takes up to %ld of the server's %s%s", needed, text,
              needed <= atol(text) ? "" : ": raise max_connections, or lower worker.lanes or consumers.count");
}

static bool read_backend(PGconn *connection, const char *around, char *into, size_t size, struct buffer *reterr)
{
    QUERY_RESULT begin = query_run(connection, TRANSACTION_BEGIN, 0, NULL, reterr);
    QUERY_RESULT backend = begin ? query_run(connection, "SELECT pg_backend_pid()", 0, NULL, reterr) : NULL;
    if (!backend)
        return false;
    snprintf(into, size, "%s", PQgetvalue(backend, 0, 0));
    QUERY_RESULT end = *around ? query_run(connection, around, 0, NULL, reterr) : NULL;
    return end || !*around;
}

/* PROTOCOL O1: slots are session locks, and a pooler in transaction mode gives every transaction another session. Two
 * transactions of one connection show it when a second connection has taken the session in between. */
static void check_pooler(struct check *check, PGconn *connection, const struct settings *settings)
{
    char first[24] = "", other[24] = "", second[24] = "";
    struct buffer fault = BUFFER_EMPTY;
    QUERY_CONNECTION rival = query_connect(settings, SESSION_CHECKS, "interlock check", &fault);
    bool asked = rival && read_backend(connection, "COMMIT", first, sizeof(first), &fault) &&
                 read_backend(rival, "", other, sizeof(other), &fault) &&
                 read_backend(connection, "COMMIT", second, sizeof(second), &fault);
    if (!asked)
        check_add_text(check, CHECK_FIX, "pooler", &fault);
    else if (strcmp(first, second) != 0 || strcmp(first, other) == 0)
        check_add(check, CHECK_FIX, "pooler",
                  "two transactions of one connection ran in two sessions: a pooler in transaction mode stands in "
                  "between; connect to PostgreSQL itself, or in session mode");
    else
        check_add(check, CHECK_OK, "pooler", "a connection keeps its session");
    buffer_done(&fault);
}

void check_database(struct check *check, const struct settings *settings)
{
    struct buffer fault = BUFFER_EMPTY;
    QUERY_CONNECTION connection = query_connect(settings, SESSION_CHECKS, "interlock check", &fault);
    if (!connection)
    {
        check_add_text(check, CHECK_FIX, "postgresql", &fault);
        buffer_done(&fault);
        return;
    }
    buffer_done(&fault);
    check_version(check, connection);
    check_encoding(check, connection);
    check_durability(check, connection);
    if (check_schema(check, connection))
    {
        check_role(check, connection);
        check_grants(check, connection);
        check_advisory(check, connection);
        check_group(check, connection, settings);
    }
    check_sessions(check, connection, settings);
    check_pooler(check, connection, settings);
}
