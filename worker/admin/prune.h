/* Prune: forgets commands that can no longer come again. An inbox row exists so that a command that comes a second time
 * is known; a dead letter's row, so that its letter is published once. Both may go when Kafka cannot bring the message
 * any more and the publisher will not send it again (PROTOCOL R8): below what the group has published, below the first
 * offset that the partition still has, older than the retention, and not parked. A publisher's duplicate that comes
 * later than that is a new command.
 *
 * The tables have no index for this: their insert is on the path of every command. They are read once from front to
 * back, a stretch of blocks a statement, each a transaction of its own: no lock and no snapshot is held for long.
 *
 * The values that are read may change meanwhile. An offset that goes back (a takeover after a rewind) stops at the
 * log's start, and that only rises; a recreated topic begins at 0, so that no offset of it lies below its start.
 *
 * Threads    one owner of the connection.
 * Ownership  the log starts are the caller's.
 * Failure    -1, with a message.
 */
#ifndef WORKER_ADMIN_PRUNE_H
#define WORKER_ADMIN_PRUNE_H

#include <libpq-fe.h>

#include "workflows/base/buffer.h"

/* Three array literals of PostgreSQL, of equal length: topic, partition, first offset. */
struct prune_log_starts
{
    struct buffer topics, partitions, offsets;
};

void prune_log_starts_add(struct prune_log_starts *starts, const char *topic, int32_t partition, int64_t offset);
void prune_log_starts_end(struct prune_log_starts *starts); /* no more are added */
void prune_log_starts_done(struct prune_log_starts *starts);

extern const char *const prune_tables[]; /* ends with NULL */

enum
{
    PRUNE_COUNTS = 0, /* instead of an action: nothing is deleted */
};

/* Rows of the table that may go, older than so many microseconds. With the id of an operator action they are gone: each
 * stretch is a transaction that deletes them and adds an item of how many. */
int64_t prune_run(PGconn *connection, const char *table, const struct prune_log_starts *starts, int64_t older_than_us,
                  int64_t action, struct buffer *reterr);

#endif
