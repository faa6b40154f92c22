/* Explain: the knowledge of PostgreSQL of one command, as a verdict with its story, and of one aggregate. The rest,
 * messages that no row stands for, is judged with the owner of the partition and Kafka (worker/cli/explaining.c).
 *
 * Threads    one owner per connection; no state.
 * Ownership  the connection is borrowed, results are the caller's (query.h).
 * Failure    NULL, and one line in *reterr.
 */
#ifndef WORKER_ADMIN_EXPLAIN_H
#define WORKER_ADMIN_EXPLAIN_H

#include "worker/postgres/query.h"

/* A command by its identity (source and id), by its position, or by its event; the other texts are NULL. */
struct explain_target
{
    const char *source, *id;
    const char *topic, *partition, *offset;
    const char *event;
};

/* One row. Verdict null: PostgreSQL has no row of it. */
enum explain_column
{
    EXPLAIN_VERDICT,
    EXPLAIN_HEADLINE, /* behind the verdict */
    EXPLAIN_NEXT,
    EXPLAIN_STORY, /* lines, each with its end; or null */
    EXPLAIN_TOPIC, /* where its message is or was */
    EXPLAIN_PARTITION,
    EXPLAIN_OFFSET,
    EXPLAIN_AGGREGATE,
    EXPLAIN_ANSWERED, /* t: its answer is out */
    EXPLAIN_EVENT,
    EXPLAIN_SOURCE,
    EXPLAIN_ID,
    EXPLAIN_COLUMN__COUNT,
};

PGresult *explain_command(PGconn *connection, const struct explain_target *target, struct buffer *reterr);

/* Audit rows of commands whose inbox rows were pruned: no index has source and id, so the table is read. No row where
 * nothing was ever pruned. The same columns. */
PGresult *explain_forgotten(PGconn *connection, const struct explain_target *target, struct buffer *reterr);

/* Of a rejected command: the reason in detail, for a role that may read it. NULL with an empty *reterr: it may not. */
PGresult *explain_metadata(PGconn *connection, const char *event, struct buffer *reterr);

/* A position that no row has: who knows of it. One row: published (null: nobody has owned the partition), pruned_below,
 * the last prune ("action 5 by anna, 2 h ago"; null: none), the pause in force for it (null: none), its id. */
enum explain_place_column
{
    EXPLAIN_PLACE_PUBLISHED,
    EXPLAIN_PLACE_PRUNED,
    EXPLAIN_PLACE_PRUNE,
    EXPLAIN_PLACE_PAUSE,
    EXPLAIN_PLACE_PAUSE_ID,
};
PGresult *explain_place(PGconn *connection, const struct explain_target *target, struct buffer *reterr);

/* The workers' addresses, a row each: http, slot. */
PGresult *explain_workers(PGconn *connection, struct buffer *reterr);

/* From a worker's /status, which PostgreSQL reads as JSON: of the partition whether it is taken, watermark, in_flight,
 * unpublished_us, waits_for; of the key whose first command is held, since when in seconds, reason, position, number of
 * commands. No row: the worker does not own the partition. `key` NULL: the one that is held at the offset. */
enum explain_owner_column
{
    EXPLAIN_OWNER_WATERMARK,
    EXPLAIN_OWNER_IN_FLIGHT,
    EXPLAIN_OWNER_WAITS_FOR,
    EXPLAIN_OWNER_HELD_KEY,
    EXPLAIN_OWNER_HELD_S,
    EXPLAIN_OWNER_HELD_WHY,
    EXPLAIN_OWNER_HELD_OFFSET,
    EXPLAIN_OWNER_HELD_COMMANDS,
};
PGresult *explain_owner(PGconn *connection, const char *status, const struct explain_target *target, const char *key,
                        struct buffer *reterr);

/* From a worker's /status: whether it holds a command back. */
bool explain_holds_back(PGconn *connection, const char *status);

/* The last `last` answers of an aggregate, what is parked of it, its open letters: a line each, oldest first; then one
 * row with kind 'head': the headline, the next step, and whether something needs a look. */
enum explain_key_column
{
    EXPLAIN_KEY_KIND,
    EXPLAIN_KEY_LINE,
    EXPLAIN_KEY_NEXT,
    EXPLAIN_KEY_LOOK,
};
PGresult *explain_key(PGconn *connection, const char *key, const char *last, struct buffer *reterr);

#endif
