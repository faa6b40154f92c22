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

struct pipeline *pipeline_new(const struct settings *settings, const char *application_name)
{
    struct pipeline *pipeline = calloc(1, sizeof(*pipeline));
    if (pipeline == NULL)
        return NULL;
    pipeline->settings = settings;
    snprintf(pipeline->application_name, sizeof(pipeline->application_name), "%s", application_name);
    snprintf(pipeline->where, sizeof(pipeline->where), "not connected yet");
    pipeline->kind = SESSION_LANE;
    return pipeline;
}

void pipeline_only_try(struct pipeline *pipeline)
{
    assert(pipeline->connection == NULL);
    pipeline->kind = SESSION_TRIAL;
}

static void forget_results(struct pipeline *pipeline)
{
    for (int i = 0; i < pipeline->sent_count; i++)
        PQclear(pipeline->sent[i].result);
    pipeline->sent_count = 0;
    pipeline->synced = false;
}

static void free_statement(struct statement *statement)
{
    free(statement->sql);
    free(statement);
}

/* The session has no prepared statement, or it is not known which. */
static void forget_prepared(struct pipeline *pipeline)
{
    for (int i = 0; i < STATEMENT_BUCKETS; i++)
        for (struct statement *s = pipeline->statements[i]; s; s = s->next)
            s->prepared = false;
    pipeline->prepared_count = 0;
}

void pipeline_close(struct pipeline *pipeline)
{
    forget_results(pipeline);
    PQfinish(pipeline->connection);
    pipeline->connection = NULL;
    forget_prepared(pipeline);
}

void pipeline_free(struct pipeline *pipeline)
{
    if (pipeline == NULL)
        return;
    pipeline_close(pipeline);
    for (int i = 0; i < STATEMENT_BUCKETS; i++)
        for (struct statement *s = pipeline->statements[i], *next; s; s = next)
        {
            next = s->next;
            free_statement(s);
        }
    free(pipeline);
}

bool pipeline_is_connected(const struct pipeline *pipeline)
{
    return pipeline->connection != NULL;
}

const struct failure *pipeline_failure(const struct pipeline *pipeline)
{
    return &pipeline->failure;
}

void pipeline_forget_failure(struct pipeline *pipeline)
{
    memset(&pipeline->failure, 0, sizeof(pipeline->failure));
    pipeline->failed_at = -1;
}

int pipeline_failed_at(const struct pipeline *pipeline)
{
    return pipeline->failed_at;
}

bool pipeline_is_unreplicated(const struct pipeline *pipeline)
{
    return pipeline->unreplicated;
}

const char *pipeline_where(const struct pipeline *pipeline)
{
    return pipeline->where;
}

const PGresult *pipeline_result(const struct pipeline *pipeline, int index)
{
    assert(index >= 0 && index < pipeline->sent_count);
    return pipeline->sent[index].result;
}

bool pipeline_is_tagged(const struct pipeline *pipeline, int index, const char *tag)
{
    assert(index >= 0 && index < pipeline->sent_count);
    return strcmp(PQcmdStatus(pipeline->sent[index].result), tag) == 0;
}

/* --- failures ---------------------------------------------------------------------------------------------------- */

/* The session died, or was never there: no SQLSTATE may be had. */
bool pipeline_fail_session(struct pipeline *pipeline, const char *message)
{
    struct failure *failure = &pipeline->failure;

    memset(failure, 0, sizeof(*failure));
    failure->class = FAILURE_SESSION;
    utf8_copy_line(failure->message, sizeof(failure->message), message);
    pipeline->failed_at = -1;
    pipeline_close(pipeline);
    return false;
}

bool pipeline_fail_connection(struct pipeline *pipeline)
{
    char message[160] = "";
    utf8_copy_line(message, sizeof(message), PQerrorMessage(pipeline->connection));
    return pipeline_fail_session(pipeline, message);
}

void pipeline_fail_result(struct pipeline *pipeline, const PGresult *result, int index)
{
    struct failure *failure = &pipeline->failure;
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);

    memset(failure, 0, sizeof(*failure));
    failure->class = failure_classify(sqlstate);
    utf8_copy_line(failure->sqlstate, sizeof(failure->sqlstate), sqlstate);
    utf8_copy_line(failure->constraint, sizeof(failure->constraint),
                   PQresultErrorField(result, PG_DIAG_CONSTRAINT_NAME));
    utf8_copy_line(failure->column, sizeof(failure->column), PQresultErrorField(result, PG_DIAG_COLUMN_NAME));
    utf8_copy_line(failure->message, sizeof(failure->message), PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
    pipeline->failed_at = index;
}

/* A warning with a detail inside COMMIT is the one of a wait for the standby that was given up (PROTOCOL R6); texts are
 * in the server's language, so its codes tell: 01000, or 57P01 when the session ends with it. To take another warning
 * for it costs one more COMMIT. */
void pipeline_on_notice(void *owner, const PGresult *result)
{
    struct pipeline *pipeline = owner;
    const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);

    if (severity && strcmp(severity, "WARNING") == 0 && sqlstate &&
        PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL) &&
        (strcmp(sqlstate, "01000") == 0 || strcmp(sqlstate, "57P01") == 0))
        pipeline->unreplicated = true;
}

bool pipeline_wait_socket(struct pipeline *pipeline, short events, int64_t deadline_us, const atomic_bool *stop)
{
    for (;;)
    {
        if (stop && atomic_load(stop))
            return pipeline_fail_session(pipeline, "stopped");
        int64_t left_us = deadline_us - monotonic_us();
        if (left_us <= 0)
        {
            pipeline_fail_session(pipeline, "no answer within the time allowed");
            pipeline->failure.late = true;
            return false;
        }
        struct pollfd waited = { .fd = PQsocket(pipeline->connection), .events = events };
        int64_t left_ms = left_us / 1000 + 1;
        int ready = poll(&waited, 1, left_ms < STOP_CHECK_MS ? (int)left_ms : STOP_CHECK_MS);
        if (ready > 0)
            return true;
        if (ready < 0 && errno != EINTR)
            return pipeline_fail_session(pipeline, strerror(errno));
    }
}

/* --- the pipeline ------------------------------------------------------------------------------------------------ */

/* A Sync ends a transaction. With protections.transaction off, which only tests do, each statement has its own. */
static bool end_send(struct pipeline *pipeline)
{
    pipeline->sent_count++;
    return pipeline->settings->protections.transaction || PQpipelineSync(pipeline->connection) == 1 ||
           pipeline_fail_connection(pipeline);
}

static bool begin_send(struct pipeline *pipeline)
{
    if (pipeline->connection == NULL)
        return pipeline_fail_session(pipeline, "not connected");
    if (pipeline->synced)
        forget_results(pipeline);
    assert(pipeline->sent_count < PIPELINE_PIPELINE_MAX);
    pipeline->sent[pipeline->sent_count].with_prepare = pipeline->sent[pipeline->sent_count].with_deallocate = false;
    pipeline->sent[pipeline->sent_count].result = NULL;
    return true;
}

bool pipeline_send_text(struct pipeline *pipeline, const char *sql)
{
    if (!begin_send(pipeline))
        return false;
    if (!PQsendQueryParams(pipeline->connection, sql, 0, NULL, NULL, NULL, NULL, 1))
        return pipeline_fail_connection(pipeline);
    return end_send(pipeline);
}

/* The one that was not used for longest leaves the session and the list. */
static bool give_up_one(struct pipeline *pipeline)
{
    struct statement **oldest = NULL;
    char sql[32];

    for (int i = 0; i < STATEMENT_BUCKETS; i++)
        for (struct statement **at = &pipeline->statements[i]; *at; at = &(*at)->next)
            if ((*at)->prepared && (oldest == NULL || (*at)->used < (*oldest)->used))
                oldest = at;
    struct statement *gone = *oldest;
    snprintf(sql, sizeof(sql), "DEALLOCATE %s", gone->name);
    if (!PQsendQueryParams(pipeline->connection, sql, 0, NULL, NULL, NULL, NULL, 1))
        return pipeline_fail_connection(pipeline);
    pipeline->sent[pipeline->sent_count].with_deallocate = true;
    pipeline->prepared_count--;
    *oldest = gone->next;
    free_statement(gone);
    return true;
}

static bool prepare(struct pipeline *pipeline, struct statement *statement)
{
    if (pipeline->prepared_count >= PIPELINE_PREPARED_MAX && !give_up_one(pipeline))
        return false;
    if (!PQsendPrepare(pipeline->connection, statement->name, statement->sql, 0, NULL))
        return pipeline_fail_connection(pipeline);
    pipeline->sent[pipeline->sent_count].with_prepare = true;
    pipeline->prepared_count++;
    statement->prepared = true;
    return true;
}

bool pipeline_send(struct pipeline *pipeline, struct statement *statement, const struct parameter_value *values,
                   int count)
{
    const char *texts[STATEMENT_PARAMETERS_MAX];
    int lengths[STATEMENT_PARAMETERS_MAX];
    int formats[STATEMENT_PARAMETERS_MAX];

    assert(count == statement->parameter_count && count <= STATEMENT_PARAMETERS_MAX);
    if (!begin_send(pipeline))
        return false;
    statement->used = ++pipeline->sends;
    if (!statement->prepared && !prepare(pipeline, statement))
        return false;
    for (int i = 0; i < count; i++)
    {
        texts[i] = values[i].at;
        lengths[i] = values[i].size;
        formats[i] = 1;
    }
    if (!PQsendQueryPrepared(pipeline->connection, statement->name, count, texts, lengths, formats, 1))
        return pipeline_fail_connection(pipeline);
    return end_send(pipeline);
}

bool pipeline_flush(struct pipeline *pipeline, int64_t deadline_us)
{
    for (;;)
    {
        int left = PQflush(pipeline->connection);
        if (left == 0)
            return true;
        if (left < 0)
            return pipeline_fail_connection(pipeline);
        if (!pipeline_wait_socket(pipeline, POLLIN | POLLOUT, deadline_us, NULL))
            return false;
        if (!PQconsumeInput(pipeline->connection))
            return pipeline_fail_connection(pipeline);
    }
}

bool pipeline_next(struct pipeline *pipeline, int64_t deadline_us, PGresult **ret)
{
    while (PQisBusy(pipeline->connection))
    {
        if (!pipeline_wait_socket(pipeline, POLLIN, deadline_us, NULL))
            return false;
        if (!PQconsumeInput(pipeline->connection))
            return pipeline_fail_connection(pipeline);
    }
    *ret = PQgetResult(pipeline->connection);
    return true;
}

static bool is_good(const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

/* One statement's answer: its result, then the NULL that ends it. */
static bool read_answer(struct pipeline *pipeline, int64_t deadline_us, int index, PGresult **ret)
{
    PGresult *result = NULL, *end = NULL;

    if (!pipeline_next(pipeline, deadline_us, &result))
        return false;
    if (result == NULL)
        return pipeline_fail_session(pipeline, "the server ended a pipeline early");
    if (!pipeline_next(pipeline, deadline_us, &end))
    {
        PQclear(result);
        return false;
    }
    PQclear(end);
    if (!is_good(result) && PQresultStatus(result) != PGRES_PIPELINE_ABORTED && pipeline->failure.class == FAILURE_NONE)
        pipeline_fail_result(pipeline, result, index);
    *ret = result;
    return true;
}

static bool read_end(struct pipeline *pipeline, int64_t deadline_us)
{
    PGresult *sync = NULL;
    if (!pipeline_next(pipeline, deadline_us, &sync))
        return false;
    bool ended = sync && PQresultStatus(sync) == PGRES_PIPELINE_SYNC;
    PQclear(sync);
    return ended || pipeline_fail_session(pipeline, "the server did not end the pipeline");
}

static bool read_answers(struct pipeline *pipeline, int64_t deadline_us)
{
    FAULT_POINT_CUTS(PIPELINE_SENT, pipeline);
    for (int i = 0; i < pipeline->sent_count; i++)
    {
        for (int extra = pipeline->sent[i].with_prepare + pipeline->sent[i].with_deallocate; extra > 0; extra--)
        {
            PGresult *result = NULL;
            if (!read_answer(pipeline, deadline_us, i, &result))
                return false;
            PQclear(result);
        }
        if (!read_answer(pipeline, deadline_us, i, &pipeline->sent[i].result))
            return false;
        if (!pipeline->settings->protections.transaction && !read_end(pipeline, deadline_us))
            return false;
    }
    return read_end(pipeline, deadline_us);
}

bool pipeline_sync(struct pipeline *pipeline)
{
    if (pipeline->connection == NULL)
        return pipeline_fail_session(pipeline, "not connected");
    memset(&pipeline->failure, 0, sizeof(pipeline->failure));
    pipeline->failed_at = -1;
    pipeline->unreplicated = false;
    /* The server ends a statement by its own timeout; this deadline is for a server or network that is gone. */
    int64_t deadline_us = monotonic_us() + 2 * pipeline->settings->database.statement_timeout_us + 5000000;
    if (!PQpipelineSync(pipeline->connection))
        return pipeline_fail_connection(pipeline);
    if (!pipeline_flush(pipeline, deadline_us) || !read_answers(pipeline, deadline_us))
        return false;
    pipeline->synced = true;
    if (pipeline->failure.class == FAILURE_NONE)
        return true;
    bool any_prepare = false;
    for (int i = 0; i < pipeline->sent_count; i++)
        any_prepare = any_prepare || pipeline->sent[i].with_prepare;
    struct failure kept = pipeline->failure;
    int failed_at = pipeline->failed_at;
    if (kept.class == FAILURE_SESSION || PQstatus(pipeline->connection) == CONNECTION_BAD)
        pipeline_close(pipeline);
    else if (any_prepare)
    {
        /* Which of them the server kept is not known for sure: drop all of them, outside of the failed transaction. */
        forget_results(pipeline);
        forget_prepared(pipeline);
        if (!pipeline_rollback(pipeline) || !pipeline_send_text(pipeline, "DEALLOCATE ALL"))
            return false;
        (void)PQpipelineSync(pipeline->connection);
        (void)(pipeline_flush(pipeline, deadline_us) && read_answers(pipeline, deadline_us));
        if (pipeline->connection)
            forget_results(pipeline);
    }
    pipeline->failure = kept;
    pipeline->failed_at = failed_at;
    return false;
}

bool pipeline_rollback(struct pipeline *pipeline)
{
    struct failure kept = pipeline->failure;
    int failed_at = pipeline->failed_at;

    if (pipeline->connection == NULL)
        return false;
    if (PQtransactionStatus(pipeline->connection) == PQTRANS_IDLE)
        return true;
    bool done = pipeline_send_text(pipeline, "ROLLBACK") && pipeline_sync(pipeline);
    /* Statements sent before it have failed only now: it was skipped with them. */
    if (!done && pipeline->connection && PQtransactionStatus(pipeline->connection) != PQTRANS_IDLE)
        done = pipeline_send_text(pipeline, "ROLLBACK") && pipeline_sync(pipeline);
    if (pipeline->connection)
        forget_results(pipeline);
    pipeline->failure = kept;
    pipeline->failed_at = failed_at;
    return done;
}

/* --- statements -------------------------------------------------------------------------------------------------- */

static unsigned bucket_of(const uint64_t key[3])
{
    uint64_t mixed = (key[0] * 31 + key[1]) * UINT64_C(0x9E3779B97F4A7C15) + key[2];
    return (unsigned)((mixed ^ mixed >> 29) % STATEMENT_BUCKETS);
}

struct statement *pipeline_statement(struct pipeline *pipeline, const uint64_t key[3])
{
    for (struct statement *s = pipeline->statements[bucket_of(key)]; s; s = s->next)
        if (memcmp(s->key, key, sizeof(s->key)) == 0)
            return s;
    return NULL;
}

struct statement *pipeline_add_statement(struct pipeline *pipeline, const uint64_t key[3], char *sql, int parameters)
{
    struct statement *statement = calloc(1, sizeof(*statement));
    if (statement == NULL || sql == NULL)
    {
        free(statement);
        free(sql);
        return NULL;
    }
    memcpy(statement->key, key, sizeof(statement->key));
    snprintf(statement->name, sizeof(statement->name), "s%d", pipeline->statement_count++);
    statement->sql = sql;
    statement->parameter_count = parameters;
    statement->next = pipeline->statements[bucket_of(key)];
    pipeline->statements[bucket_of(key)] = statement;
    return statement;
}
