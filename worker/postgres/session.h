/* Session: one PostgreSQL session for rare, short statements: the slot, takeovers, the bookkeeping of what is
 * published. Text in, text out, one statement at a time. The lanes' pipelines are in worker/postgres/pipeline.h.
 *
 * Threads    one owner.
 * Ownership  results are the caller's (PQclear). The session keeps `stop` by reference.
 * Failure    session_run returns NULL when the session is gone: it is closed then, session_problem says why, and
 *            session_connect opens a new one. A statement that the server refused is a result like any other.
 */
#ifndef WORKER_POSTGRES_SESSION_H
#define WORKER_POSTGRES_SESSION_H

#include <libpq-fe.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct settings;
struct session;

/* Reasons to end a wait early; all may be unset (NULL, -1, 0). */
struct session_stop
{
    const atomic_bool *flag; /* looked at several times a second */
    int fd;                  /* readable = stop */
    int64_t deadline_us;     /* monotonic: stop by then in any case; 0: no deadline */
};

struct session *session_new(const struct settings *settings, const char *application_name);
void session_free(struct session *session);

/* Replaces a session that may be open. It sets the terms of a session (worker/postgres/session_terms.h). The bound is
 * database.connect_timeout. */
bool session_connect(struct session *session, const struct session_stop *stop);
bool session_is_open(const struct session *session);
/* The last session_connect reached a server and the session did not meet the terms
 * (worker/postgres/session_terms.h).
 */
bool session_is_unfit(const struct session *session);
void session_close(struct session *session);
int session_socket(const struct session *session); /* -1: closed */

/* Runs one statement and waits for its result, `wait_us` at the longest: later than that the session is closed. */
PGresult *session_run(struct session *session, const char *sql, int count, const char *const *values, int64_t wait_us,
                      const struct session_stop *stop);

/* The same with a result in binary, for statements_read_row. */
PGresult *session_run_binary(struct session *session, const char *sql, int count, const char *const *values,
                             int64_t wait_us, const struct session_stop *stop);

/* Sends one statement without waiting for its result; session_collect says whether it is there by now. A statement
 * that is still out is waited for by the next session_run. */
bool session_send(struct session *session, const char *sql, int count, const char *const *values);
enum session_answer
{
    SESSION_NONE_SENT,
    SESSION_BUSY,
    SESSION_ANSWERED,
    SESSION_LOST,
};
enum session_answer session_collect(struct session *session, PGresult **ret);

/* Reads unrequested messages of the server; false: the session is gone. */
bool session_listen(struct session *session);

/* Why the last call failed, one line, no secrets; host:port of the last attempt. */
const char *session_problem(const struct session *session);
const char *session_where(const struct session *session);

/* True, and SQLSTATE and message copied to where session_problem reads, when the result is an error. */
bool session_is_refused(struct session *session, const PGresult *result, const char **ret_sqlstate);

#endif
