/* Query: PostgreSQL for the verbs that ask a few questions and end. Blocking, text in, text out. The pool's own
 * sessions are elsewhere (worker/postgres/pipeline.h, session.h): they must never block without a bound.
 *
 * Threads    one owner per connection.
 * Ownership  connections and results are the caller's: QUERY_CONNECTION and QUERY_RESULT end them with their scope.
 * Failure    NULL, and one line in *reterr: the failed call, SQLSTATE, the primary message. Never DETAIL, which may
 *            quote rows, and never a password.
 */
#ifndef WORKER_POSTGRES_QUERY_H
#define WORKER_POSTGRES_QUERY_H

#include <libpq-fe.h>

#include "worker/postgres/session_terms.h"
#include "worker/settings/settings.h"

#define QUERY_CONNECTION __attribute__((cleanup(query_closep))) PGconn *
#define QUERY_RESULT __attribute__((cleanup(query_clearp))) PGresult *

/* Opens database.url and sets the parameters that such a session needs. `application`: its name in pg_stat_activity. */
PGconn *query_connect(const struct settings *settings, enum session_kind kind, const char *application,
                      struct buffer *reterr);

/* One statement with text parameters (NULL is SQL null). */
PGresult *query_run(PGconn *connection, const char *sql, int count, const char *const *values, struct buffer *reterr);

/* Several statements separated by semicolons, no parameters; the result is the last one's. `name` is said in the
 * message, with the line at which the server stopped. */
PGresult *query_run_script(PGconn *connection, const char *script, const char *name, struct buffer *reterr);

/* COMMIT of a transaction that failed answers ROLLBACK, without an error. */
bool query_commit(PGconn *connection, struct buffer *reterr);

void query_closep(PGconn **connection);
void query_clearp(PGresult **result);

/* A field as text; NULL for SQL null. */
const char *query_text(const PGresult *result, int row, int column);

#endif
