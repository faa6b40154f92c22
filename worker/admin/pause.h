/* Pause, for operators: a row of interlock.pause, which batches and poll threads obey (PROTOCOL L5), and its end.
 *
 * A pause is in force everywhere when nothing that was begun before its commit is left:
 *   - every batch holds its partitions' locks before it reads which pauses there are, and so does a takeover: those that
 *     held one at the commit are waited for (pg_locks). pg_snapshot_xmin would not do: a batch that has read the pauses
 *     and has not written yet has no transaction id;
 *   - of a topic or partition, its owner says when it reads nothing more and has nothing in flight.
 *
 * Threads    one owner per connection; no state.
 * Ownership  texts are borrowed; results are the caller's (PQclear).
 * Failure    NULL, false or -1, and one line in *reterr.
 */
#ifndef WORKER_ADMIN_PAUSE_H
#define WORKER_ADMIN_PAUSE_H

#include <libpq-fe.h>

#include "workflows/base/buffer.h"

struct pause_request
{
    const char *scope, *target; /* as the columns; "" for the scope all */
    bool keeps_order;
    const char *ends_at; /* RFC 3339, or NULL; with `for_us` > 0: so long after PostgreSQL's now */
    int64_t for_us;
};

/* --- looking ----------------------------------------------------------------------------------------------------- */

enum pause_column
{
    PAUSE_ID,
    PAUSE_SCOPE,
    PAUSE_TARGET,
    PAUSE_ORDER, /* keep, pass */
    PAUSE_SINCE,
    PAUSE_UNTIL, /* NULL: until it is resumed */
    PAUSE_ACTOR,
    PAUSE_REASON,
    PAUSE_COMMANDS,   /* that wait for it, or behind one that does */
    PAUSE_AGGREGATES, /* of these */
    PAUSE_RESUMED,    /* NULL: in force */
    PAUSE_RESUMED_BY, /* the actor; NULL: in force, or ended by itself */
    PAUSE__COLUMNS,
};

/* In force; `all`: the last 100 that ended, too; `id` not NULL: that one. */
PGresult *pause_list(PGconn *connection, bool all, const char *id, struct buffer *reterr);

/* Of the commands that the audit has of the last hour, at most 10,000 of each partition: how many match, and how many
 * there are. *ret_matching is -1 where the audit does not hold what the scope asks for. */
bool pause_share(PGconn *connection, const struct pause_request *request, int64_t *ret_matching, int64_t *ret_all,
                 struct buffer *reterr);
/* How many commands wait for pauses. */
int64_t pause_waiting(PGconn *connection, struct buffer *reterr);
/* How many partitions a pause of topics or partitions concerns. */
int64_t pause_partitions(PGconn *connection, const struct pause_request *request, struct buffer *reterr);

/* --- beginning ---------------------------------------------------------------------------------------------------- */

/* Within the caller's transaction. Returns its id; 0: one of this scope and target is in force already, *ret_other. */
int64_t pause_insert(PGconn *connection, const struct pause_request *request, int64_t action, int64_t *ret_other,
                     struct buffer *reterr);

/* After its commit: who holds partitions' locks. Texts for pause_older. */
PGresult *pause_older_begin(PGconn *connection, struct buffer *reterr);
/* Which of them do still: pid, name of the session; and (topics and partitions) which owners have not answered yet:
 * topic/partition, slot of the owner. */
PGresult *pause_older(PGconn *connection, const PGresult *begun, struct buffer *reterr);
PGresult *pause_owners(PGconn *connection, int64_t id, struct buffer *reterr);

/* --- ending ------------------------------------------------------------------------------------------------------- */

/* Within the caller's transaction. Locks the pause. 1: in force, 0: ended already, -1: there is none, or *reterr. */
int pause_lock(PGconn *connection, const char *id, struct buffer *reterr);
/* Ends it: what waits returns in the order of its places, so many a second (0: at once). Returns how many. */
int64_t pause_resume(PGconn *connection, const char *id, int64_t action, int64_t rate, struct buffer *reterr);

#endif
