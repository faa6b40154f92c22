#include "worker/admin/migrate.h"

#include <stdio.h>
#include <stdlib.h>

#include "worker/admin/operator_action.h"
#include "worker/base/clock.h"
#include "worker/base/digest.h"
#include "worker/base/progress.h"
#include "worker/postgres/advisory_locks.h"
#include "worker/postgres/query.h"
#include "workflows/base/hex.h"

/* Released by the end of the transaction, so it holds through poolers too. */
static const char lock_sql[] = "SELECT pg_catalog.pg_advisory_xact_lock(" SQL_NUMBER(MIGRATE_LOCK_KEY) ")";

static const char make_schema_sql[] = "CREATE SCHEMA interlock";
static const char make_tables_sql[] = "CREATE TABLE IF NOT EXISTS interlock.schema_migration (\n"
                                      "    number     integer PRIMARY KEY CHECK (number > 0),\n"
                                      "    name       text NOT NULL,\n"
                                      "    checksum   text NOT NULL,\n"
                                      "    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()\n"
                                      ");\n"
                                      "CREATE TABLE IF NOT EXISTS interlock.schema_migration_log (\n"
                                      "    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,\n"
                                      "    happened_at timestamptz NOT NULL DEFAULT clock_timestamp(),\n"
                                      "    number      integer NOT NULL,\n"
                                      "    name        text NOT NULL,\n"
                                      "    direction   text NOT NULL CHECK (direction IN ('up', 'down')),\n"
                                      "    reason      text,\n"
                                      "    changed_by  text NOT NULL DEFAULT session_user\n"
                                      ")";

static const char *const state_names[] = { "pending", "applied", "changed", "unknown" };

const char *migrate_state_name(enum migrate_state state)
{
    return state_names[state];
}

static const char *script_text(const unsigned char *script)
{
    return (const char *)script;
}

void migrate_checksum(const struct migration *migration, char into[MIGRATE_CHECKSUM_SIZE])
{
    const struct span text = span_of(script_text(migration->up));
    uint8_t digest[DIGEST_SHA256_SIZE];

    into[0] = '\0';
    /* It fails only without memory or without the algorithm; an empty checksum then matches nothing. */
    if (!digest_sha256(&text, 1, digest))
        return;
    hex_print(digest, sizeof(digest), into);
    into[2 * sizeof(digest)] = '\0';
}

static bool run(PGconn *connection, const char *sql, struct buffer *reterr)
{
    QUERY_RESULT result = query_run(connection, sql, 0, NULL, reterr);
    return result != NULL;
}

static bool run_script(PGconn *connection, const char *script, const char *name, struct buffer *reterr)
{
    QUERY_RESULT result = query_run_script(connection, script, name, reterr);
    return result != NULL;
}

static void roll_back(PGconn *connection)
{
    /* A lost session has rolled back by itself. */
    QUERY_RESULT result = PQexec(connection, "ROLLBACK");
    (void)result;
}

/* --- applied migrations ------------------------------------------------------------------------------------------ */

static const struct migration *find_migration(int number)
{
    for (const struct migration *migration = migrations; migration->name; migration++)
        if (migration->number == number)
            return migration;
    return NULL;
}

static void start_status(struct migrate_status *status)
{
    memset(status, 0, sizeof(*status));
    for (const struct migration *migration = migrations; migration->name && status->count < MIGRATIONS_MAX; migration++)
    {
        struct migrate_row *row = &status->rows[status->count++];
        row->number = migration->number;
        row->state = MIGRATE_PENDING;
        snprintf(row->name, sizeof(row->name), "%s", migration->name);
        status->newest = migration->number;
    }
}

static void add_applied(struct migrate_status *status, int number, const char *name, const char *checksum,
                        const char *applied_at)
{
    const struct migration *migration = find_migration(number);
    struct migrate_row *row = NULL;
    for (int i = 0; i < status->count; i++)
        if (status->rows[i].number == number)
            row = &status->rows[i];
    if (!row && status->count == MIGRATIONS_MAX)
        return;
    if (!row)
        row = &status->rows[status->count++];
    char own[MIGRATE_CHECKSUM_SIZE] = "";
    if (migration)
        migrate_checksum(migration, own);
    row->number = number;
    row->state = !migration ? MIGRATE_UNKNOWN : strcmp(own, checksum) == 0 ? MIGRATE_APPLIED : MIGRATE_CHANGED;
    snprintf(row->name, sizeof(row->name), "%s", name);
    snprintf(row->applied_at, sizeof(row->applied_at), "%s", applied_at);
    if (number > status->applied)
        status->applied = number;
}

bool migrate_read_status(PGconn *connection, struct migrate_status *ret, struct buffer *reterr)
{
    start_status(ret);
    QUERY_RESULT table =
        query_run(connection, "SELECT to_regclass('interlock.schema_migration') IS NOT NULL", 0, NULL, reterr);
    if (!table)
        return false;
    if (strcmp(PQgetvalue(table, 0, 0), "t") != 0)
        return true;
    QUERY_RESULT rows = query_run(connection,
                                  "SELECT number, name, checksum, to_char(applied_at AT TIME ZONE 'UTC',"
                                  " 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"
                                  " FROM interlock.schema_migration ORDER BY number",
                                  0, NULL, reterr);
    if (!rows)
        return false;
    for (int i = 0; i < PQntuples(rows); i++)
        add_applied(ret, atoi(PQgetvalue(rows, i, 0)), PQgetvalue(rows, i, 1), PQgetvalue(rows, i, 2),
                    PQgetvalue(rows, i, 3));
    return true;
}

static void add_row_name(const struct migrate_row *row, struct buffer *into)
{
    char text[96];
    snprintf(text, sizeof(text), "%04d_%s", row->number, row->name);
    buffer_add_text(into, text);
}

static bool refuse_row(const struct migrate_row *row, const char *why, struct buffer *reterr)
{
    buffer_add_text(reterr, "migration ");
    add_row_name(row, reterr);
    buffer_add_text(reterr, why);
    return false;
}

/* States that no program may build on: another text than ours, or a hole. */
static bool check_applied(const struct migrate_status *status, struct buffer *reterr)
{
    for (int i = 0; i < status->count; i++)
    {
        const struct migrate_row *row = &status->rows[i];
        if (row->state == MIGRATE_CHANGED)
            return refuse_row(row,
                              " was changed after it was applied: its SHA-256 is not the one in "
                              "interlock.schema_migration. Restore its text, and put the change into a new migration",
                              reterr);
        if (row->state == MIGRATE_PENDING && row->number < status->applied)
            return refuse_row(row, " is not applied, but later ones are: interlock.schema_migration was edited",
                              reterr);
    }
    return true;
}

bool migrate_is_current(const struct migrate_status *status, bool allow_newer, struct buffer *reterr)
{
    if (!check_applied(status, reterr))
        return false;
    for (int i = 0; i < status->count; i++)
    {
        const struct migrate_row *row = &status->rows[i];
        if (row->state == MIGRATE_PENDING)
            return refuse_row(row, " is not applied: run `interlock migrate up`", reterr);
        if (row->state == MIGRATE_UNKNOWN && !allow_newer)
            return refuse_row(row, " is not known to this program: the schema is newer, use the newer program", reterr);
    }
    return true;
}

/* --- changing ---------------------------------------------------------------------------------------------------- */

/* Opens the transaction of one step: lock, then look. */
static bool begin_step(PGconn *connection, struct migrate_status *status, struct buffer *reterr)
{
    progress_stage("waiting for other migrations");
    return run(connection, TRANSACTION_BEGIN, reterr) && run(connection, lock_sql, reterr) &&
           migrate_read_status(connection, status, reterr) && check_applied(status, reterr);
}

/* The schema and the list of applied migrations. CREATE SCHEMA asks for a right that its owner need not have later. */
static bool make_list(PGconn *connection, struct buffer *reterr)
{
    QUERY_RESULT there = query_run(connection, "SELECT to_regnamespace('interlock') IS NOT NULL", 0, NULL, reterr);
    if (!there)
        return false;
    if (strcmp(PQgetvalue(there, 0, 0), "t") != 0 && !run(connection, make_schema_sql, reterr))
        return false;
    return run_script(connection, make_tables_sql, "interlock.schema_migration", reterr);
}

static bool record_step(PGconn *connection, const struct migration *migration, bool up, const char *reason,
                        struct buffer *reterr)
{
    char number[16], checksum[MIGRATE_CHECKSUM_SIZE];
    snprintf(number, sizeof(number), "%d", migration->number);
    migrate_checksum(migration, checksum);
    const char *const row[] = { number, migration->name, checksum };
    const char *const line[] = { number, migration->name, up ? "up" : "down", reason };
    QUERY_RESULT list =
        up ? query_run(connection,
                       "INSERT INTO interlock.schema_migration (number, name, checksum) VALUES ($1, $2, $3)", 3, row,
                       reterr)
           : query_run(connection, "DELETE FROM interlock.schema_migration WHERE number = $1", 1, row, reterr);
    if (!list)
        return false;
    QUERY_RESULT log = query_run(connection,
                                 "INSERT INTO interlock.schema_migration_log (number, name, direction, reason)"
                                 " VALUES ($1, $2, $3, $4)",
                                 4, line, reterr);
    return log != NULL;
}

/* Behind the step: the one that makes the tables of actions is recorded, too; the one that takes them away is not. */
static bool record_action(PGconn *connection, const struct migration *migration, bool up, const struct migrate_by *by,
                          struct buffer *reterr)
{
    QUERY_RESULT there =
        query_run(connection, "SELECT to_regclass('interlock.operator_outbox') IS NOT NULL", 0, NULL, reterr);
    const struct operator_action action = { .verb = up ? "migrate up" : "migrate down",
                                            .actor = by->actor,
                                            .reason = by->reason ? by->reason : "migrate" };
    char subject[96];

    if (there == NULL || strcmp(PQgetvalue(there, 0, 0), "t") != 0)
        return there != NULL;
    snprintf(subject, sizeof(subject), "%04d_%s", migration->number, migration->name);
    int64_t id = operator_action_insert(connection, &action, reterr);
    return id > 0 && operator_action_add_item(connection, id, subject, up ? "applied" : "undone", reterr);
}

/* A statement that waits for a lock is seen by the time since then. */
static void tell_progress(const struct migration *migration, bool up)
{
    time_t now = (time_t)(wall_us() / 1000000);
    struct tm parts;
    char since[16];

    gmtime_r(&now, &parts);
    strftime(since, sizeof(since), "%H:%M:%SZ", &parts);
    progress_stage("%04d_%s is being %s since %s", migration->number, migration->name, up ? "applied" : "undone",
                   since);
}

static bool run_step(PGconn *connection, const struct migration *migration, bool up, const struct migrate_by *by,
                     struct buffer *reterr)
{
    char name[96];
    tell_progress(migration, up);
    snprintf(name, sizeof(name), "%04d_%s.%s.sql", migration->number, migration->name, up ? "up" : "down");
    return (!up || make_list(connection, reterr)) &&
           run_script(connection, script_text(up ? migration->up : migration->down), name, reterr) &&
           record_step(connection, migration, up, by->reason, reterr) &&
           record_action(connection, migration, up, by, reterr) && query_commit(connection, reterr);
}

static void report_step(const struct migration *migration, const char *what, struct buffer *report)
{
    char line[128];
    snprintf(line, sizeof(line), "%04d_%s: %s\n", migration->number, migration->name, what);
    buffer_add_text(report, line);
}

bool migrate_up(PGconn *connection, int to, const struct migrate_by *by, struct buffer *report, struct buffer *reterr)
{
    struct migrate_status status;
    for (const struct migration *migration = migrations; migration->name; migration++)
    {
        if (to != MIGRATE_TO_NEWEST && migration->number > to)
            break;
        bool begun = begin_step(connection, &status, reterr);
        if (begun && status.applied >= migration->number)
        {
            roll_back(connection);
            continue;
        }
        if (!begun || !run_step(connection, migration, true, by, reterr))
        {
            roll_back(connection);
            return false;
        }
        report_step(migration, "applied", report);
    }
    return true;
}

bool migrate_down(PGconn *connection, int to, const struct migrate_by *by, struct buffer *report, struct buffer *reterr)
{
    struct migrate_status status;
    for (;;)
    {
        if (!begin_step(connection, &status, reterr))
        {
            roll_back(connection);
            return false;
        }
        if (status.applied <= to)
        {
            roll_back(connection);
            return true;
        }
        const struct migration *migration = find_migration(status.applied);
        if (!migration)
        {
            roll_back(connection);
            return refuse_row(&status.rows[status.count - 1],
                              " is not known to this program: undo it with the newer one", reterr);
        }
        if (!run_step(connection, migration, false, by, reterr))
        {
            roll_back(connection);
            return false;
        }
        report_step(migration, "undone", report);
    }
}
