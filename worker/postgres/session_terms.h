/* Session terms: everything that a session with PostgreSQL rests on, in one table (PROTOCOL O6). Defaults of the
 * server, the database, the role, PGOPTIONS and PGCLIENTENCODING change none of it: each term is set when a session
 * begins, and read back from the server in a second statement; a session that does not meet them is not used, and says
 * which.
 *
 * Threads    constants; the caller owns the buffers.
 * Failure    false: out of memory.
 */
#ifndef WORKER_POSTGRES_SESSION_TERMS_H
#define WORKER_POSTGRES_SESSION_TERMS_H

#include "workflows/base/buffer.h"

struct settings;

enum session_kind
{
    SESSION_LANE = 1,    /* worker/postgres/pipeline.h: batches */
    SESSION_BOOKS = 2,   /* session.h: slot, ownership, returner, sweep */
    SESSION_WRITES = 4,  /* query.h: migrate, prune */
    SESSION_READS = 8,   /* query.h: audit */
    SESSION_CHECKS = 16, /* query.h: check, which has lines of its own for encoding and durability */
    SESSION_TRIAL = 32,  /* pipeline.h: batches that are only tried; a role that may only read will do */
};

/* A transaction says itself what its statements see: after a wait for a lock a later statement has to have a new
 * snapshot (PROTOCOL O4). */
#define TRANSACTION_BEGIN "BEGIN ISOLATION LEVEL READ COMMITTED"

/* The statement that sets them; the one that reads them back, whose only field is empty where all are met, else a
 * sentence. Both end with NUL. */
bool session_terms_write_set(enum session_kind kind, const struct settings *settings, struct buffer *into);
bool session_terms_write_look(enum session_kind kind, const struct settings *settings, struct buffer *into);

#endif
