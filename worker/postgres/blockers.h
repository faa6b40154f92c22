/* Blockers: who holds the advisory locks of partitions (worker/postgres/advisory_locks.h) that a batch or a takeover
 * waits for. Asked after the wait, from pg_locks, because pg_blocking_pids knows only who waits now.
 *
 * Threads    constants.
 * Failure    false: out of memory.
 */
#ifndef WORKER_POSTGRES_BLOCKERS_H
#define WORKER_POSTGRES_BLOCKERS_H

#include "workflows/base/buffer.h"

enum blockers_of
{
    BLOCKERS_OF_BATCH,    /* which wants them shared: who has them exclusively */
    BLOCKERS_OF_TAKEOVER, /* which wants them exclusively and ends sessions of its own role: all others */
};

/* The statement. Its only field: "pid 7, role r, application a; ..."; empty: nobody any more. Ends with NUL. */
bool blockers_write_sql(enum blockers_of whose, const int32_t *partition_ids, int count, struct buffer *into);

#endif
