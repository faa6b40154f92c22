/* How a pipeline's session begins: connecting, its terms (PROTOCOL O6), pipeline mode. */
#include "worker/postgres/pipeline_private.h"

#include <assert.h>
#include <poll.h>
#include <stdio.h>

#include "worker/base/clock.h"
#include "worker/settings/settings.h"
#include "workflows/base/utf8.h"

static bool fail_connecting(struct pipeline *pipeline)
{
    char message[sizeof(pipeline->failure.message)], sqlstate[6];

    connect_explain(pipeline->connection, message, sizeof(message), sqlstate);
    pipeline_fail_session(pipeline, message);
    memcpy(pipeline->failure.sqlstate, sqlstate, sizeof(sqlstate));
    return false;
}

static bool finish_connecting(struct pipeline *pipeline, int64_t deadline_us, const atomic_bool *stop)
{
    for (PostgresPollingStatusType status = PGRES_POLLING_WRITING; status != PGRES_POLLING_OK;
         status = PQconnectPoll(pipeline->connection))
    {
        if (status == PGRES_POLLING_FAILED)
            return fail_connecting(pipeline);
        if (!pipeline_wait_socket(pipeline, status == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline_us, stop))
            return false;
    }
    return true;
}

/* A question to a session that is not in pipeline mode yet. Bounded, as all waiting is: a server may stop answering
 * between any two messages. NULL: the session is lost. */
static PGresult *ask(struct pipeline *pipeline, const char *sql, int64_t deadline_us)
{
    PGresult *result = NULL, *end = NULL;

    if (!PQsendQueryParams(pipeline->connection, sql, 0, NULL, NULL, NULL, NULL, 0))
    {
        pipeline_fail_connection(pipeline);
        return NULL;
    }
    if (!pipeline_flush(pipeline, deadline_us) || !pipeline_next(pipeline, deadline_us, &result))
        return NULL;
    if (!pipeline_next(pipeline, deadline_us, &end))
    {
        PQclear(result);
        return NULL;
    }
    PQclear(end);
    return result;
}

/* The session is not fit for use, because of `problem` or the server's message; it is closed. */
static bool refuse_session(struct pipeline *pipeline, const PGresult *answer, const char *problem)
{
    struct failure kept;

    pipeline_fail_result(pipeline, answer, -1);
    if (problem)
    {
        pipeline->failure.class = FAILURE_OURS;
        utf8_copy_line(pipeline->failure.message, sizeof(pipeline->failure.message), problem);
    }
    kept = pipeline->failure;
    pipeline_close(pipeline);
    pipeline->failure = kept;
    return false;
}

/* One of the two statements of worker/postgres/session_terms.h; `expected`: its answer where all is well, NULL: any. */
static bool ask_terms(struct pipeline *pipeline, const struct buffer *sql, bool written, const char *expected,
                      int64_t deadline_us)
{
    if (!written)
        return pipeline_fail_session(pipeline, "out of memory");
    PGresult *answer = ask(pipeline, sql->at, deadline_us);
    if (pipeline->connection == NULL)
        return false;
    bool answered = PQresultStatus(answer) == PGRES_TUPLES_OK;
    const char *problem = answered && expected ? PQgetvalue(answer, 0, 0) : NULL;
    bool good = answered && (problem == NULL || strcmp(problem, expected) == 0);
    if (!good)
        refuse_session(pipeline, answer, problem);
    PQclear(answer);
    return good;
}

/* PROTOCOL O6. With protections.session_terms off, which only tests do, they are not set, only looked at. */
static bool set_up_session(struct pipeline *pipeline, int64_t deadline_us)
{
    const struct settings *settings = pipeline->settings;
    struct buffer set = BUFFER_EMPTY, look = BUFFER_EMPTY;
    bool sets = settings->protections.session_terms;

    bool good = (!sets || ask_terms(pipeline, &set, session_terms_write_set(pipeline->kind, settings, &set), NULL,
                                    deadline_us)) &&
                ask_terms(pipeline, &look, session_terms_write_look(pipeline->kind, settings, &look), "", deadline_us);
    buffer_done(&set);
    buffer_done(&look);
    return good;
}

static bool try_to_connect(struct pipeline *pipeline, int64_t deadline_us, const atomic_bool *stop)
{
    static const char *const names[] = { "application_name",
                                         "keepalives_idle",
                                         "keepalives_interval",
                                         "keepalives_count",
                                         "tcp_user_timeout",
                                         "target_session_attrs",
                                         NULL };
    const char *attributes = pipeline->kind == SESSION_TRIAL ? "any" : "read-write";
    const char *const values[] = { pipeline->application_name, "15", "5", "3", "20000", attributes, NULL };

    pipeline->connection = connect_begin(&pipeline->connect_attempt, pipeline->settings->database.url, names, values);
    if (pipeline->connection == NULL)
        return pipeline_fail_session(pipeline, "out of memory");
    if (PQstatus(pipeline->connection) == CONNECTION_BAD)
        return fail_connecting(pipeline);
    if (!finish_connecting(pipeline, deadline_us, stop))
        return false;
    connect_end(pipeline->connection);
    snprintf(pipeline->where, sizeof(pipeline->where), "%s:%s", PQhost(pipeline->connection),
             PQport(pipeline->connection));
    PQsetNoticeReceiver(pipeline->connection, pipeline_on_notice, pipeline);
    if (PQsetnonblocking(pipeline->connection, 1) != 0)
        return pipeline_fail_connection(pipeline);
    if (!set_up_session(pipeline, deadline_us))
        return false;
    return PQenterPipelineMode(pipeline->connection) == 1 || pipeline_fail_connection(pipeline);
}

bool pipeline_connect(struct pipeline *pipeline, const atomic_bool *stop)
{
    assert(pipeline->connection == NULL);
    int64_t deadline_us = monotonic_us() + pipeline->settings->database.connect_timeout_us;

    if (try_to_connect(pipeline, deadline_us, stop))
        return true;
    if (monotonic_us() >= deadline_us)
        connect_timed_out(&pipeline->connect_attempt);
    return false;
}
