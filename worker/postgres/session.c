#include "worker/postgres/session.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/base/clock.h"
#include "worker/postgres/connect.h"
#include "worker/postgres/session_terms.h"
#include "worker/settings/settings.h"

enum
{
    STOP_CHECK_MS = 50, /* how often a wait looks at the stop flag */
    PARAMETERS_MAX = 16,
};

struct session
{
    const struct settings *settings;
    char application_name[64];
    PGconn *connection;
    struct connect_attempt connect_attempt;
    bool sent;   /* a statement's result is still out */
    bool unsent; /* part of it has not left yet */
    bool unfit;  /* the last one was refused: it did not meet the terms */
    char problem[320];
    char where[160];
    char sqlstate[6];
};

struct session *session_new(const struct settings *settings, const char *application_name)
{
    struct session *session = calloc(1, sizeof(*session));
    if (session == NULL)
        return NULL;
    session->settings = settings;
    snprintf(session->application_name, sizeof(session->application_name), "%s", application_name);
    snprintf(session->where, sizeof(session->where), "PostgreSQL");
    return session;
}

void session_free(struct session *session)
{
    if (session == NULL)
        return;
    session_close(session);
    free(session);
}

bool session_is_open(const struct session *session)
{
    return session->connection != NULL;
}

void session_close(struct session *session)
{
    PQfinish(session->connection);
    session->connection = NULL;
    session->sent = false;
}

int session_socket(const struct session *session)
{
    return session->connection ? PQsocket(session->connection) : -1;
}

bool session_is_unfit(const struct session *session)
{
    return session->unfit;
}

const char *session_problem(const struct session *session)
{
    return session->problem;
}

const char *session_where(const struct session *session)
{
    return session->where;
}

/* libpq's messages are several lines, and a password never stands in them. */
static void set_problem(struct session *session, const char *text)
{
    snprintf(session->problem, sizeof(session->problem), "%s", text);
    for (char *c = session->problem; *c; c++)
        if ((unsigned char)*c < ' ')
            *c = ' ';
    for (size_t end = strlen(session->problem); end > 0 && session->problem[end - 1] == ' '; end--)
        session->problem[end - 1] = '\0';
}

static bool lose(struct session *session, const char *why)
{
    set_problem(session, why);
    session_close(session);
    return false;
}

static bool lose_connection(struct session *session)
{
    set_problem(session, PQerrorMessage(session->connection));
    session_close(session);
    return false;
}

bool session_is_refused(struct session *session, const PGresult *result, const char **ret_sqlstate)
{
    ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)
        return false;
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    char text[sizeof(session->problem)];

    snprintf(session->sqlstate, sizeof(session->sqlstate), "%s", sqlstate ? sqlstate : "");
    snprintf(text, sizeof(text), "%s (SQLSTATE %s)", message ? message : "no message", session->sqlstate);
    set_problem(session, text);
    if (ret_sqlstate)
        *ret_sqlstate = session->sqlstate;
    return true;
}

/* Waits until the socket is ready; false: stopped, or the deadline has passed, and the session is closed. */
static bool wait_ready(struct session *session, short events, int64_t deadline_us, const struct session_stop *stop)
{
    for (;;)
    {
        if (stop && stop->flag && atomic_load_explicit(stop->flag, memory_order_relaxed))
            return lose(session, "stopped");
        if (stop && stop->deadline_us > 0 && stop->deadline_us < deadline_us)
            deadline_us = stop->deadline_us;
        int64_t left_us = deadline_us - monotonic_us();
        int64_t left_ms = left_us / 1000 + 1;
        if (left_us <= 0)
            return lose(session, "no answer within the time allowed");
        if (stop && stop->flag && left_ms > STOP_CHECK_MS)
            left_ms = STOP_CHECK_MS;
        struct pollfd waited[2] = { { .fd = PQsocket(session->connection), .events = events },
                                    { .fd = stop ? stop->fd : -1, .events = POLLIN } };
        int ready = poll(waited, 2, left_ms > 60000 ? 60000 : (int)left_ms);
        if (ready < 0 && errno != EINTR)
            return lose(session, strerror(errno));
        if (ready > 0 && waited[1].revents)
            return lose(session, "stopped");
        if (ready > 0 && waited[0].revents)
            return true;
    }
}

static bool refuse_connecting(struct session *session)
{
    char text[sizeof(session->problem)];

    connect_explain(session->connection, text, sizeof(text), session->sqlstate);
    return lose(session, text);
}

static bool try_to_connect(struct session *session, int64_t deadline_us, const struct session_stop *stop)
{
    static const char *const names[] = { "application_name", "keepalives_idle",  "keepalives_interval",
                                         "keepalives_count", "tcp_user_timeout", NULL };
    const char *const values[] = { session->application_name, "10", "5", "3", "15000", NULL };

    session->connection = connect_begin(&session->connect_attempt, session->settings->database.url, names, values);
    if (session->connection == NULL)
        return lose(session, "out of memory");
    if (PQstatus(session->connection) == CONNECTION_BAD)
        return refuse_connecting(session);
    for (PostgresPollingStatusType status = PGRES_POLLING_WRITING; status != PGRES_POLLING_OK;
         status = PQconnectPoll(session->connection))
    {
        /* It is the host that is being tried now, of several. */
        if (PQhost(session->connection))
            snprintf(session->where, sizeof(session->where), "PostgreSQL at %s:%s", PQhost(session->connection),
                     PQport(session->connection));
        if (status == PGRES_POLLING_FAILED)
            return refuse_connecting(session);
        if (!wait_ready(session, status == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline_us, stop))
            return false;
    }
    connect_end(session->connection);
    snprintf(session->where, sizeof(session->where), "PostgreSQL at %s:%s", PQhost(session->connection),
             PQport(session->connection));
    return PQsetnonblocking(session->connection, 1) == 0 || lose_connection(session);
}

/* Takes in one result when it is there. SESSION_ANSWERED with *ret NULL is the end of the statement. */
static enum session_answer next_result(struct session *session, PGresult **ret)
{
    int unsent = PQflush(session->connection);
    if (unsent < 0 || !PQconsumeInput(session->connection))
    {
        lose_connection(session);
        return SESSION_LOST;
    }
    session->unsent = unsent > 0;
    if (session->unsent || PQisBusy(session->connection))
        return SESSION_BUSY;
    *ret = PQgetResult(session->connection);
    return SESSION_ANSWERED;
}

/* The last result of the statement that is out: one statement has one, and a NULL after it. */
static bool wait_result(struct session *session, int64_t deadline_us, const struct session_stop *stop, PGresult **ret)
{
    PGresult *last = NULL;

    for (;;)
    {
        PGresult *result = NULL;
        enum session_answer answer = next_result(session, &result);
        if (answer == SESSION_BUSY &&
            wait_ready(session, session->unsent ? POLLIN | POLLOUT : POLLIN, deadline_us, stop))
            continue;
        if (answer != SESSION_ANSWERED)
        {
            PQclear(last);
            return false;
        }
        if (result == NULL)
            break;
        PQclear(last);
        last = result;
    }
    session->sent = false;
    *ret = last;
    if (last && PQstatus(session->connection) == CONNECTION_OK)
        return true;
    PQclear(last);
    return lose_connection(session);
}

static bool send_statement(struct session *session, const char *sql, int count, const char *const *values,
                           bool in_binary)
{
    assert(count <= PARAMETERS_MAX && !session->sent);
    if (session->connection == NULL)
        return lose(session, "not connected");
    if (!PQsendQueryParams(session->connection, sql, count, NULL, values, NULL, NULL, in_binary) ||
        PQflush(session->connection) < 0)
        return lose_connection(session);
    session->sent = true;
    return true;
}

bool session_send(struct session *session, const char *sql, int count, const char *const *values)
{
    return send_statement(session, sql, count, values, false);
}

static PGresult *run_statement(struct session *session, const char *sql, int count, const char *const *values,
                               bool in_binary, int64_t wait_us, const struct session_stop *stop)
{
    int64_t deadline_us = monotonic_us() + wait_us;
    PGresult *result = NULL;

    if (session->sent)
    {
        if (!wait_result(session, deadline_us, stop, &result))
            return NULL;
        PQclear(result);
        result = NULL;
    }
    if (!send_statement(session, sql, count, values, in_binary) || !wait_result(session, deadline_us, stop, &result))
        return NULL;
    return result;
}

PGresult *session_run(struct session *session, const char *sql, int count, const char *const *values, int64_t wait_us,
                      const struct session_stop *stop)
{
    return run_statement(session, sql, count, values, false, wait_us, stop);
}

PGresult *session_run_binary(struct session *session, const char *sql, int count, const char *const *values,
                             int64_t wait_us, const struct session_stop *stop)
{
    return run_statement(session, sql, count, values, true, wait_us, stop);
}

/* One of the two statements of worker/postgres/session_terms.h; `looks`: its answer must be empty. */
static bool ask_terms(struct session *session, const struct buffer *sql, bool written, bool looks, int64_t deadline_us,
                      const struct session_stop *stop)
{
    if (!written)
        return lose(session, "out of memory");
    PGresult *result = session_run(session, sql->at, 0, NULL, deadline_us - monotonic_us(), stop);
    if (result == NULL)
        return false;
    bool refused = session_is_refused(session, result, NULL);
    session->unfit = !refused && looks && PQgetvalue(result, 0, 0)[0] != '\0';
    if (session->unfit)
        set_problem(session, PQgetvalue(result, 0, 0));
    PQclear(result);
    if (refused || session->unfit)
        session_close(session);
    return !refused && !session->unfit;
}

/* PROTOCOL O6. With protections.session_terms off, which only tests do, they are not set, only looked at. */
static bool set_up(struct session *session, int64_t deadline_us, const struct session_stop *stop)
{
    const struct settings *settings = session->settings;
    struct buffer set = BUFFER_EMPTY, look = BUFFER_EMPTY;
    bool sets = settings->protections.session_terms;

    bool good =
        (!sets ||
         ask_terms(session, &set, session_terms_write_set(SESSION_BOOKS, settings, &set), false, deadline_us, stop)) &&
        ask_terms(session, &look, session_terms_write_look(SESSION_BOOKS, settings, &look), true, deadline_us, stop);
    buffer_done(&set);
    buffer_done(&look);
    return good;
}

bool session_connect(struct session *session, const struct session_stop *stop)
{
    int64_t deadline_us = monotonic_us() + session->settings->database.connect_timeout_us;

    session_close(session);
    session->unfit = false;
    if (try_to_connect(session, deadline_us, stop) && set_up(session, deadline_us, stop))
        return true;
    if (monotonic_us() >= deadline_us)
        connect_timed_out(&session->connect_attempt);
    return false;
}

enum session_answer session_collect(struct session *session, PGresult **ret)
{
    if (session->connection == NULL)
        return SESSION_LOST;
    if (!session->sent)
        return SESSION_NONE_SENT;
    PGresult *result = NULL, *end = NULL;
    enum session_answer answer = next_result(session, &result);
    if (answer != SESSION_ANSWERED)
        return answer;
    /* The NULL after the result comes with the same packet in all but rare cases: a short wait suffices. */
    if (result)
    {
        enum session_answer ended;
        int64_t deadline_us = monotonic_us() + 1000000;
        while ((ended = next_result(session, &end)) == SESSION_BUSY)
            if (!wait_ready(session, POLLIN, deadline_us, NULL))
                break;
        if (ended != SESSION_ANSWERED)
        {
            PQclear(result);
            return SESSION_LOST;
        }
        PQclear(end);
    }
    session->sent = false;
    *ret = result;
    return SESSION_ANSWERED;
}

bool session_listen(struct session *session)
{
    if (session->connection == NULL)
        return false;
    if (!PQconsumeInput(session->connection) || PQstatus(session->connection) != CONNECTION_OK)
        return lose_connection(session);
    /* A backend that was asked to stop says so and closes; the message alone is a result without a statement. */
    struct pollfd gone = { .fd = PQsocket(session->connection), .events = POLLIN };
    if (poll(&gone, 1, 0) > 0 && (gone.revents & (POLLHUP | POLLERR)))
        return lose(session, "the server closed the session");
    return true;
}
