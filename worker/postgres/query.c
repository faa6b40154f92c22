#include "worker/postgres/query.h"

#include <stdio.h>
#include <stdlib.h>

#include "worker/postgres/connect.h"

void query_closep(PGconn **connection)
{
    if (*connection)
        PQfinish(*connection);
    *connection = NULL;
}

void query_clearp(PGresult **result)
{
    if (*result)
        PQclear(*result);
    *result = NULL;
}

const char *query_text(const PGresult *result, int row, int column)
{
    return PQgetisnull(result, row, column) ? NULL : PQgetvalue(result, row, column);
}

/* libpq's messages end with newlines and may have several lines: one is enough for a line of ours. */
static void add_first_line(struct buffer *into, const char *text)
{
    buffer_add(into, text, strcspn(text, "\n"));
}

/* One of the two statements of worker/postgres/session_terms.h; `looks`: its answer must be empty. */
static bool ask_terms(PGconn *connection, const struct buffer *sql, bool written, bool looks, struct buffer *reterr)
{
    if (!written)
    {
        buffer_add_text(reterr, "out of memory");
        return false;
    }
    QUERY_RESULT result = PQexec(connection, sql->at);
    bool answered = result && PQresultStatus(result) == PGRES_TUPLES_OK;
    const char *problem = answered && looks ? PQgetvalue(result, 0, 0) : "";
    if (!answered)
        add_first_line(reterr, PQerrorMessage(connection));
    buffer_add_text(reterr, problem);
    return answered && *problem == '\0';
}

/* PROTOCOL O6. With protections.session_terms off, which only tests do, they are not set, only looked at. */
static bool set_up(PGconn *connection, enum session_kind kind, const struct settings *settings, struct buffer *reterr)
{
    struct buffer set = BUFFER_EMPTY, look = BUFFER_EMPTY, fault = BUFFER_EMPTY;
    bool sets = settings->protections.session_terms;

    bool good = (!sets || ask_terms(connection, &set, session_terms_write_set(kind, settings, &set), false, &fault)) &&
                ask_terms(connection, &look, session_terms_write_look(kind, settings, &look), true, &fault);
    if (!good)
    {
        buffer_add_text(reterr, "PostgreSQL at ");
        settings_add_url(settings->database.url, reterr);
        buffer_add_text(reterr, ": ");
        buffer_add_span(reterr, buffer_span(&fault));
    }
    buffer_done(&set);
    buffer_done(&look);
    buffer_done(&fault);
    return good;
}

PGconn *query_connect(const struct settings *settings, enum session_kind kind, const char *application,
                      struct buffer *reterr)
{
    char timeout[24];
    /* libpq counts in seconds, and below 2 it takes 2. */
    snprintf(timeout, sizeof(timeout), "%lld", (long long)((settings->database.connect_timeout_us + 999999) / 1000000));
    /* A statement may take as long as it takes, but the network may not: without these a host that is gone is waited
     * for for two hours. */
    const char *const names[] = { "dbname",
                                  "connect_timeout",
                                  "application_name",
                                  "keepalives_idle",
                                  "keepalives_interval",
                                  "keepalives_count",
                                  "tcp_user_timeout",
                                  kind == SESSION_READS ? NULL : "target_session_attrs",
                                  NULL };
    const char *const values[] = { settings->database.url, timeout, application, "10", "5", "3", "15000",
                                   "read-write",           NULL };
    PGconn *connection = PQconnectdbParams(names, values, 1);
    if (connection && PQstatus(connection) == CONNECTION_OK)
    {
        PQsetErrorVerbosity(connection, PQERRORS_TERSE);
        if (!set_up(connection, kind, settings, reterr))
            query_closep(&connection);
        return connection;
    }
    buffer_add_text(reterr, "PostgreSQL at ");
    settings_add_url(settings->database.url, reterr);
    buffer_add_text(reterr, " cannot be reached: ");
    char why[512] = "out of memory", sqlstate[6];
    if (connection)
        connect_explain(connection, why, sizeof(why), sqlstate);
    buffer_add_text(reterr, why);
    query_closep(&connection);
    return NULL;
}

/* The line of the script at which the server stopped, from its position counted in characters; 0: not known. */
static int failed_line(const PGresult *result, const char *script)
{
    const char *position = PQresultErrorField(result, PG_DIAG_STATEMENT_POSITION);
    long characters = position ? atol(position) : 0;
    if (characters <= 0)
        return 0;
    int line = 1;
    for (const char *at = script; *at && characters > 1; at++)
    {
        line += *at == '\n';
        /* Bytes that continue a UTF-8 sequence are no characters of their own. */
        characters -= ((unsigned char)at[1] & 0xC0) != 0x80;
    }
    return line;
}

static bool is_good(const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

static void add_failure(PGconn *connection, const PGresult *result, struct buffer *reterr)
{
    const char *sqlstate = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
    const char *message = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
    if (!sqlstate || !message)
    {
        buffer_add_text(reterr, "the session was lost: ");
        add_first_line(reterr, PQerrorMessage(connection));
        return;
    }
    add_first_line(reterr, message);
    buffer_add_text(reterr, " (SQLSTATE ");
    buffer_add_text(reterr, sqlstate);
    buffer_add_text(reterr, ")");
}

PGresult *query_run(PGconn *connection, const char *sql, int count, const char *const *values, struct buffer *reterr)
{
    PGresult *result = PQexecParams(connection, sql, count, NULL, values, NULL, NULL, 0);
    if (result && is_good(result))
        return result;
    buffer_add_text(reterr, "PostgreSQL: ");
    add_failure(connection, result, reterr);
    query_clearp(&result);
    return NULL;
}

PGresult *query_run_script(PGconn *connection, const char *script, const char *name, struct buffer *reterr)
{
    PGresult *result = PQexec(connection, script);
    if (result && is_good(result))
        return result;
    int line = result ? failed_line(result, script) : 0;
    buffer_add_text(reterr, name);
    if (line > 0)
    {
        buffer_add_text(reterr, ":");
        buffer_add_int64(reterr, line);
    }
    buffer_add_text(reterr, ": ");
    add_failure(connection, result, reterr);
    query_clearp(&result);
    return NULL;
}

bool query_commit(PGconn *connection, struct buffer *reterr)
{
    QUERY_RESULT result = query_run(connection, "COMMIT", 0, NULL, reterr);
    if (!result)
        return false;
    const char *tag = PQcmdStatus(result);
    if (strcmp(tag, "COMMIT") == 0)
        return true;
    buffer_add_text(reterr, "PostgreSQL answered COMMIT with ");
    buffer_add_text(reterr, tag);
    return false;
}
