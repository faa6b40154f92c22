/* Row holders: which sessions hold a lock of the rows of an aggregate, found by the transaction that a row names as its
 * last locker. pg_blocking_pids knows only who waits now, and a held command does not wait at the server.
 *
 * A row that several sessions have locked together names none of them, so then nobody is found.
 *
 * Threads    constants; one owner per connection.
 * Ownership  the connection is borrowed, the result is the caller's (query.h).
 * Failure    false or NULL: the key is no aggregate's, PostgreSQL did not answer, or memory is out.
 */
#ifndef WORKER_POSTGRES_ROW_HOLDERS_H
#define WORKER_POSTGRES_ROW_HOLDERS_H

#include "worker/postgres/query.h"
#include "workflows/base/buffer.h"

enum row_holder_column
{
    ROW_HOLDER_PID,
    ROW_HOLDER_PROGRAM,
    ROW_HOLDER_ROLE,
    ROW_HOLDER_STATE, /* null: it is hidden from this role */
    ROW_HOLDER_SINCE, /* in its transaction, RFC 3339; null: the same */
    ROW_HOLDER_AGE_S, /* the same in seconds */
};

/* The statement, which ends with NUL. A row for each session, three at most. */
bool row_holders_write_sql(struct span key, struct buffer *into);

/* For a verb: the sessions that hold a table of the aggregate, and if there are none, those that hold its rows. */
PGresult *row_holders_find(PGconn *connection, struct span key, struct buffer *reterr);

/* "locked by pid 4711 (psql, idle in transaction for 60 s)". */
void row_holders_add_words(const PGresult *rows, int row, struct buffer *into);

#endif
