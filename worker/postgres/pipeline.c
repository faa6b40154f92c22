#include "worker/postgres/pipeline_private.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "worker/base/clock.h"
#include "worker/postgres/session_terms.h"
#include "worker/settings/settings.h"
#include "workflows/base/utf8.h"

enum
{
    STOP_CHECK_MS = 200, /* how long a wait may go on before it looks whether it is to stop */
};

struct database *database_new(const struct settings *settings, const char *application_name)
{
    struct database *database = calloc(1, sizeof(*database));
    if (database == NULL)
        return NULL;
    database->settings = settings;
    snprintf(database->application_name, sizeof(database->application_name), "%s", application_name);
    snprintf(database->where, sizeof(database->where), "not connected yet");
    return database;
}

static void forget_results(struct database *database)
{
    for (int i = 0; i < database->sent_count; i++)
        PQclear(database->sent[i].result);
    database->sent_count = 0;
    database->synced = false;
}

static void free_statement(struct statement *statement)
{
    free(statement->sql);
    free(statement);
}

/* None is there in the session, or it is not known which. */
static void forget_prepared(struct database *database)
{
    for (int i = 0; i < STATEMENT_BUCKETS; i++)
        for (struct statement *s = database->statements[i]; s; s = s->next)
            s->prepared = false;
    database->prepared_count = 0;
}

void database_close(struct database *database)
{
    forget_results(database);
    PQfinish(database->connection);
    database->connection = NULL;
    forget_prepared(database);
}

void database_free(struct database *database)
{
    if (database == NULL)
        return;
    database_close(database);
    for (int i = 0; i < STATEMENT_BUCKETS; i++)
        for (struct statement *s = database->statements[i], *next; s; s = next)
        {
            next = s->next;
            free_statement(s);
        }
    free(database);
}

bool database_is_connected(const struct database *database)
{
    return database->connection != NULL;
}

const struct failure *database_failure(const struct database *database)
{
    return &database->failure;
}

void database_forget_failure(struct database *database)
{
    memset(&database->failure, 0, sizeof(database->failure));
    database->failed_at = -1;
}

int database_failed_at(const struct database *database)
{
    return database->failed_at;
}

bool database_is_unreplicated(const struct database *database)
{
    return database->unreplicated;
}

const char *database_where(const struct database *database)
{
    return database->where;
}

const PGresult *database_result(const struct database *database, int index)
{
    assert(index >= 0 && index < database->sent_count);
    return database->sent[index].result;
}

bool database_is_tagged(const struct database *database, int index, const char *tag)
{
    assert(index >= 0 && index < database->sent_count);
    return strcmp(PQcmdStatus(database->sent[index].result), tag) == 0;
}

/* --- failures -------------------------------------------------------------------------------------------------- */

/* The session died, or was never there: no SQLSTATE may be had. */
static bool fail_session(struct database *database, const char *message)
{
    struct failure *failure = &database->failure;

    memset(failure, 0, sizeof(*failure));
    failure->class = FAILURE_SESSION;
    utf8_copy_line(failure->message, sizeof(failure->message), message);
    database->failed_at = -1;
    database_close(database);
    return false;
}

static bool fail_connection(struct database *database)
{
    char message[160] = "";
    utf8_copy_line(message, sizeof(message), PQerrorMessage(database->connection));
    return fail_session(database, message);
}

static void fail_result(struct database *database, const PGresult *result, int index)
{
    struct failure *failure = &database->failure;
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);

    memset(failure, 0, sizeof(*failure));
    failure->class = failure_classify(sqlstate);
    utf8_copy_line(failure->sqlstate, sizeof(failure->sqlstate), sqlstate);
    utf8_copy_line(failure->constraint, sizeof(failure->constraint),
                   PQresultErrorField(result, PG_DIAG_CONSTRAINT_NAME));
    utf8_copy_line(failure->column, sizeof(failure->column), PQresultErrorField(result, PG_DIAG_COLUMN_NAME));
    utf8_copy_line(failure->message, sizeof(failure->message), PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
    database->failed_at = index;
}

/* A warning with a detail inside COMMIT is the one of a wait for the standby that was given up (PROTOCOL R6); texts are
 * in the server's language, so its codes tell: 01000, or 57P01 when the session ends with it. To take another warning
 * for it costs one more COMMIT. */
static void on_notice(void *owner, const PGresult *result)
{
    struct database *database = owner;
    const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);

    if (severity && strcmp(severity, "WARNING") == 0 && sqlstate &&
        PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL) &&
        (strcmp(sqlstate, "01000") == 0 || strcmp(sqlstate, "57P01") == 0))
        database->unreplicated = true;
}

/* --- connecting ------------------------------------------------------------------------------------------------ */

static bool wait_socket(struct database *database, short events, int64_t deadline_us, const atomic_bool *stop)
{
    for (;;)
    {
        if (stop && atomic_load(stop))
            return fail_session(database, "stopped");
        int64_t left_us = deadline_us - monotonic_us();
        if (left_us <= 0)
        {
            fail_session(database, "no answer within the time allowed");
            database->failure.late = true;
            return false;
        }
        struct pollfd waited = { .fd = PQsocket(database->connection), .events = events };
        int64_t left_ms = left_us / 1000 + 1;
        int ready = poll(&waited, 1, left_ms < STOP_CHECK_MS ? (int)left_ms : STOP_CHECK_MS);
        if (ready > 0)
            return true;
        if (ready < 0 && errno != EINTR)
            return fail_session(database, strerror(errno));
    }
}

static bool fail_connecting(struct database *database)
{
    char message[sizeof(database->failure.message)], sqlstate[6];

    connecting_tell(database->connection, message, sizeof(message), sqlstate);
    fail_session(database, message);
    memcpy(database->failure.sqlstate, sqlstate, sizeof(sqlstate));
    return false;
}

static bool finish_connecting(struct database *database, int64_t deadline_us, const atomic_bool *stop)
{
    for (PostgresPollingStatusType status = PGRES_POLLING_WRITING; status != PGRES_POLLING_OK;
         status = PQconnectPoll(database->connection))
    {
        if (status == PGRES_POLLING_FAILED)
            return fail_connecting(database);
        if (!wait_socket(database, status == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline_us, stop))
            return false;
    }
    return true;
}

/* What a session is asked before it is in pipeline mode. Bounded, as all waiting is: a server may stop answering
 * between any two messages. NULL: the session is lost. */
static PGresult *ask(struct database *database, const char *sql, int64_t deadline_us)
{
    PGresult *result = NULL, *end = NULL;

    if (!PQsendQueryParams(database->connection, sql, 0, NULL, NULL, NULL, NULL, 0))
    {
        fail_connection(database);
        return NULL;
    }
    if (!database_flush(database, deadline_us) || !database_next(database, deadline_us, &result))
        return NULL;
    if (!database_next(database, deadline_us, &end))
    {
        PQclear(result);
        return NULL;
    }
    PQclear(end);
    return result;
}

/* The session is not fit for use: `complaint`, or what the server says; then it is closed. */
static bool refuse_session(struct database *database, const PGresult *answer, const char *complaint)
{
    struct failure kept;

    fail_result(database, answer, -1);
    if (complaint)
    {
        database->failure.class = FAILURE_OURS;
        utf8_copy_line(database->failure.message, sizeof(database->failure.message), complaint);
    }
    kept = database->failure;
    database_close(database);
    database->failure = kept;
    return false;
}

/* One of the two statements of worker/postgres/session_terms.h; `expected`: its answer where all is well, NULL: any. */
static bool ask_terms(struct database *database, const struct buffer *sql, bool written, const char *expected,
                      int64_t deadline_us)
{
    if (!written)
        return fail_session(database, "out of memory");
    PGresult *answer = ask(database, sql->at, deadline_us);
    if (database->connection == NULL)
        return false;
    bool answered = PQresultStatus(answer) == PGRES_TUPLES_OK;
    const char *complaint = answered && expected ? PQgetvalue(answer, 0, 0) : NULL;
    bool good = answered && (complaint == NULL || strcmp(complaint, expected) == 0);
    if (!good)
        refuse_session(database, answer, complaint);
    PQclear(answer);
    return good;
}

/* PROTOCOL O6. With protections.session_terms off, which only tests do, they are not set, only looked at. */
static bool set_up_session(struct database *database, int64_t deadline_us)
{
    const struct settings *settings = database->settings;
    struct buffer set = BUFFER_EMPTY, look = BUFFER_EMPTY;
    bool sets = settings->protections.session_terms;

    bool good = (!sets ||
                 ask_terms(database, &set, session_terms_write_set(SESSION_LANE, settings, &set), NULL, deadline_us)) &&
                ask_terms(database, &look, session_terms_write_look(SESSION_LANE, settings, &look), "", deadline_us);
    buffer_done(&set);
    buffer_done(&look);
    return good;
}

static bool try_to_connect(struct database *database, int64_t deadline_us, const atomic_bool *stop)
{
    static const char *const names[] = { "application_name", "keepalives_idle",  "keepalives_interval",
                                         "keepalives_count", "tcp_user_timeout", NULL };
    const char *const values[] = { database->application_name, "15", "5", "3", "20000", NULL };

    database->connection = connecting_begin(&database->connecting, database->settings->database.url, names, values);
    if (database->connection == NULL)
        return fail_session(database, "out of memory");
    if (PQstatus(database->connection) == CONNECTION_BAD)
        return fail_connecting(database);
    if (!finish_connecting(database, deadline_us, stop))
        return false;
    connecting_end(database->connection);
    snprintf(database->where, sizeof(database->where), "%s:%s", PQhost(database->connection),
             PQport(database->connection));
    PQsetNoticeReceiver(database->connection, on_notice, database);
    if (PQsetnonblocking(database->connection, 1) != 0)
        return fail_connection(database);
    if (!set_up_session(database, deadline_us))
        return false;
    return PQenterPipelineMode(database->connection) == 1 || fail_connection(database);
}

bool database_connect(struct database *database, const atomic_bool *stop)
{
    assert(database->connection == NULL);
    int64_t deadline_us = monotonic_us() + database->settings->database.connect_timeout_us;

    if (try_to_connect(database, deadline_us, stop))
        return true;
    if (monotonic_us() >= deadline_us)
        connecting_time_out(&database->connecting);
    return false;
}

/* --- the pipeline ---------------------------------------------------------------------------------------------- */

/* A Sync ends a transaction. With protections.transaction off, which only tests do, each statement has its own. */
static bool end_send(struct database *database)
{
    database->sent_count++;
    return database->settings->protections.transaction || PQpipelineSync(database->connection) == 1 ||
           fail_connection(database);
}

static bool begin_send(struct database *database)
{
    if (database->connection == NULL)
        return fail_session(database, "not connected");
    if (database->synced)
        forget_results(database);
    assert(database->sent_count < DATABASE_PIPELINE_MAX);
    database->sent[database->sent_count].with_prepare = database->sent[database->sent_count].with_deallocate = false;
    database->sent[database->sent_count].result = NULL;
    return true;
}

bool database_send_text(struct database *database, const char *sql)
{
    if (!begin_send(database))
        return false;
    if (!PQsendQueryParams(database->connection, sql, 0, NULL, NULL, NULL, NULL, 1))
        return fail_connection(database);
    return end_send(database);
}

/* The one that was not used for longest leaves the session and the list. */
static bool give_up_one(struct database *database)
{
    struct statement **oldest = NULL;
    char sql[32];

    for (int i = 0; i < STATEMENT_BUCKETS; i++)
        for (struct statement **at = &database->statements[i]; *at; at = &(*at)->next)
            if ((*at)->prepared && (oldest == NULL || (*at)->used < (*oldest)->used))
                oldest = at;
    struct statement *gone = *oldest;
    snprintf(sql, sizeof(sql), "DEALLOCATE %s", gone->name);
    if (!PQsendQueryParams(database->connection, sql, 0, NULL, NULL, NULL, NULL, 1))
        return fail_connection(database);
    database->sent[database->sent_count].with_deallocate = true;
    database->prepared_count--;
    *oldest = gone->next;
    free_statement(gone);
    return true;
}

static bool prepare(struct database *database, struct statement *statement)
{
    if (database->prepared_count >= DATABASE_PREPARED_MAX && !give_up_one(database))
        return false;
    if (!PQsendPrepare(database->connection, statement->name, statement->sql, 0, NULL))
        return fail_connection(database);
    database->sent[database->sent_count].with_prepare = true;
    database->prepared_count++;
    statement->prepared = true;
    return true;
}

bool database_send(struct database *database, struct statement *statement, const struct parameter_value *values,
                   int count)
{
    const char *texts[STATEMENT_PARAMETERS_MAX];
    int lengths[STATEMENT_PARAMETERS_MAX];
    int formats[STATEMENT_PARAMETERS_MAX];

    assert(count == statement->parameter_count && count <= STATEMENT_PARAMETERS_MAX);
    if (!begin_send(database))
        return false;
    statement->used = ++database->sends;
    if (!statement->prepared && !prepare(database, statement))
        return false;
    for (int i = 0; i < count; i++)
    {
        texts[i] = values[i].at;
        lengths[i] = values[i].size;
        formats[i] = 1;
    }
    if (!PQsendQueryPrepared(database->connection, statement->name, count, texts, lengths, formats, 1))
        return fail_connection(database);
    return end_send(database);
}

bool database_flush(struct database *database, int64_t deadline_us)
{
    for (;;)
    {
        int left = PQflush(database->connection);
        if (left == 0)
            return true;
        if (left < 0)
            return fail_connection(database);
        if (!wait_socket(database, POLLIN | POLLOUT, deadline_us, NULL))
            return false;
        if (!PQconsumeInput(database->connection))
            return fail_connection(database);
    }
}

bool database_next(struct database *database, int64_t deadline_us, PGresult **ret)
{
    while (PQisBusy(database->connection))
    {
        if (!wait_socket(database, POLLIN, deadline_us, NULL))
            return false;
        if (!PQconsumeInput(database->connection))
            return fail_connection(database);
    }
    *ret = PQgetResult(database->connection);
    return true;
}

static bool is_good(const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

/* One statement's answer: its result, then the NULL that ends it. */
static bool read_answer(struct database *database, int64_t deadline_us, int index, PGresult **ret)
{
    PGresult *result = NULL, *end = NULL;

    if (!database_next(database, deadline_us, &result))
        return false;
    if (result == NULL)
        return fail_session(database, "the server ended a pipeline early");
    if (!database_next(database, deadline_us, &end))
    {
        PQclear(result);
        return false;
    }
    PQclear(end);
    if (!is_good(result) && PQresultStatus(result) != PGRES_PIPELINE_ABORTED && database->failure.class == FAILURE_NONE)
        fail_result(database, result, index);
    *ret = result;
    return true;
}

static bool read_end(struct database *database, int64_t deadline_us)
{
    PGresult *sync = NULL;
    if (!database_next(database, deadline_us, &sync))
        return false;
    bool ended = sync && PQresultStatus(sync) == PGRES_PIPELINE_SYNC;
    PQclear(sync);
    return ended || fail_session(database, "the server did not end the pipeline");
}

static bool read_answers(struct database *database, int64_t deadline_us)
{
    FAULT_POINT_CUTS(PIPELINE_SENT, database);
    for (int i = 0; i < database->sent_count; i++)
    {
        for (int extra = database->sent[i].with_prepare + database->sent[i].with_deallocate; extra > 0; extra--)
        {
            PGresult *result = NULL;
            if (!read_answer(database, deadline_us, i, &result))
                return false;
            PQclear(result);
        }
        if (!read_answer(database, deadline_us, i, &database->sent[i].result))
            return false;
        if (!database->settings->protections.transaction && !read_end(database, deadline_us))
            return false;
    }
    return read_end(database, deadline_us);
}

bool database_sync(struct database *database)
{
    if (database->connection == NULL)
        return fail_session(database, "not connected");
    memset(&database->failure, 0, sizeof(database->failure));
    database->failed_at = -1;
    database->unreplicated = false;
    /* The server ends a statement by its own timeout; this deadline is for a server or network that is gone. */
    int64_t deadline_us = monotonic_us() + 2 * database->settings->database.statement_timeout_us + 5000000;
    if (!PQpipelineSync(database->connection))
        return fail_connection(database);
    if (!database_flush(database, deadline_us) || !read_answers(database, deadline_us))
        return false;
    database->synced = true;
    if (database->failure.class == FAILURE_NONE)
        return true;
    bool any_prepare = false;
    for (int i = 0; i < database->sent_count; i++)
        any_prepare = any_prepare || database->sent[i].with_prepare;
    struct failure kept = database->failure;
    int failed_at = database->failed_at;
    if (kept.class == FAILURE_SESSION || PQstatus(database->connection) == CONNECTION_BAD)
        database_close(database);
    else if (any_prepare)
    {
        /* Which of them the server kept is not known for sure: drop all of them, outside of the failed transaction. */
        forget_results(database);
        forget_prepared(database);
        if (!database_rollback(database) || !database_send_text(database, "DEALLOCATE ALL"))
            return false;
        (void)PQpipelineSync(database->connection);
        (void)(database_flush(database, deadline_us) && read_answers(database, deadline_us));
        if (database->connection)
            forget_results(database);
    }
    database->failure = kept;
    database->failed_at = failed_at;
    return false;
}

bool database_rollback(struct database *database)
{
    struct failure kept = database->failure;
    int failed_at = database->failed_at;

    if (database->connection == NULL)
        return false;
    if (PQtransactionStatus(database->connection) == PQTRANS_IDLE)
        return true;
    bool done = database_send_text(database, "ROLLBACK") && database_sync(database);
    /* Behind statements that had been sent and failed only now it was skipped with them. */
    if (!done && database->connection && PQtransactionStatus(database->connection) != PQTRANS_IDLE)
        done = database_send_text(database, "ROLLBACK") && database_sync(database);
    if (database->connection)
        forget_results(database);
    database->failure = kept;
    database->failed_at = failed_at;
    return done;
}

/* --- statements ------------------------------------------------------------------------------------------------ */

static unsigned bucket_of(const uint64_t key[3])
{
    uint64_t mixed = (key[0] * 31 + key[1]) * UINT64_C(0x9E3779B97F4A7C15) + key[2];
    return (unsigned)((mixed ^ mixed >> 29) % STATEMENT_BUCKETS);
}

struct statement *database_statement(struct database *database, const uint64_t key[3])
{
    for (struct statement *s = database->statements[bucket_of(key)]; s; s = s->next)
        if (memcmp(s->key, key, sizeof(s->key)) == 0)
            return s;
    return NULL;
}

struct statement *database_add_statement(struct database *database, const uint64_t key[3], char *sql, int parameters)
{
    struct statement *statement = calloc(1, sizeof(*statement));
    if (statement == NULL || sql == NULL)
    {
        free(statement);
        free(sql);
        return NULL;
    }
    memcpy(statement->key, key, sizeof(statement->key));
    snprintf(statement->name, sizeof(statement->name), "s%d", database->statement_count++);
    statement->sql = sql;
    statement->parameter_count = parameters;
    statement->next = database->statements[bucket_of(key)];
    database->statements[bucket_of(key)] = statement;
    return statement;
}
