/* Row holders: which sessions hold a lock of the rows of an aggregate, found by the transaction that a row names as its
 * last locker. pg_blocking_pids knows only who waits now, and a held command does not wait at the server.
 *
 * A row that several sessions have locked together names none of them, so then nobody is found.
 *
 * Threads    constants.
 * Failure    false: the key is no aggregate's, or memory is out.
 */
#ifndef WORKER_POSTGRES_ROW_HOLDERS_H
#define WORKER_POSTGRES_ROW_HOLDERS_H

#include "workflows/base/buffer.h"

/* The statement, which ends with NUL. A row for each session, three at most: pid, application, role, state (null: it is
 * hidden from this role), since when it is in its transaction (RFC 3339; null: the same). */
bool row_holders_write_sql(struct span key, struct buffer *into);

#endif
