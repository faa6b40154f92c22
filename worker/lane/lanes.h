/* Lanes: the lanes of one cell. Deliveries with equal lane_hash run one after another in order, others in parallel.
 *
 * Threads    lanes_submit, lanes_revoke: the cell's poll thread. Lanes are the pool's own threads.
 * Locks      one mutex per lane, never two at once, never held while a batch runs.
 * Ownership  lanes_submit takes the delivery; `complete` gives it back, on a lane's thread, in batches.
 * Failure    infrastructure failures are waited out inside (PROTOCOL B4); a delivery always comes back with an answer.
 */
#ifndef WORKER_LANE_LANES_H
#define WORKER_LANE_LANES_H

#include "worker/lane/lane.h"

struct lanes;

/* Starts the lanes; they connect by themselves and retry for ever. NULL: out of memory or threads (*reterr static). */
struct lanes *lanes_new(const struct lanes_options *options, const char **reterr);

/* Takes a chain (by `next`) of deliveries, in order of receipt; wakes each lane at most once. */
void lanes_submit(struct lanes *lanes, struct delivery *chain);

/* Partitions were revoked (their `revoked` is set): their waiting deliveries are answered ANSWER_DROPPED at once; a
 * batch in flight ends by itself. */
void lanes_revoke(struct lanes *lanes);

/* Waits until no revoked delivery is in a batch, or the deadline (monotonic). False: the deadline has passed. */
bool lanes_await_quiet(struct lanes *lanes, int64_t deadline_us);

/* Whether the lanes can reach PostgreSQL, and why not (static or lane-owned text copied into `why`). */
bool lanes_is_ready(struct lanes *lanes, char *why, size_t why_size);

/* Adds the keys that the lanes hold back, as they were up to a second ago. Any thread. */
void lanes_held(struct lanes *lanes, struct held_keys *into);

/* Ends the lanes: in-flight batches finish until the deadline, deliveries that wait are answered ANSWER_DROPPED. */
void lanes_free(struct lanes *lanes, int64_t deadline_us);

#endif
