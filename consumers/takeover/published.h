/* Published: the bookkeeping of what was published of each partition (PROTOCOL R1), in a table of its own, because it
 * changes all the time and the fence's row is read by every batch.
 *
 * With `published` stands where on the audit topic the events from there on can only be: what a later look-up begins
 * with.
 *
 * Threads    one owner, the publisher, on the session of the books.
 * Failure    false: nothing was changed, and partition_owner_problem says why; a raise that fails only costs a later
 * look-up.
 */
#ifndef CONSUMERS_TAKEOVER_PUBLISHED_H
#define CONSUMERS_TAKEOVER_PUBLISHED_H

#include "consumers/takeover/partition_owner.h"

/* Sends what owned partitions have reached (published_reached) to PostgreSQL, every few seconds, without waiting.
 * `wait_us` > 0: at once, and waits for the answer: for the end. `from`: the positions after everything that was
 * published so far. */
void published_raise(struct partition_owner *owners, struct owned_partition *const *owned_partitions, int count,
                     const struct audit_positions *from, int64_t wait_us);

/* Everything recorded before `to` is on the topic: for an owned partition that is not read yet. */
bool published_pass(struct partition_owner *owners, const struct owned_partition *owned, int64_t to,
                    const struct session_stop *stop);

/* The end of a look-up: everything recorded before `below` is published, and the owned partition begins at `start`
 * (OFFSET_NONE: the earliest message). Where that lies below, a rewind is written down. */
bool published_begin_at(struct partition_owner *owners, struct owned_partition *owned, int64_t below, int64_t start,
                        const struct session_stop *stop);

#endif
