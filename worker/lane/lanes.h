/* Pool: the lanes of one cell. Deliveries with equal lane_hash run one after another in order, others in parallel.
 *
 * Threads    pool_submit, pool_revoke, pool_is_full: the cell's poll thread. Lanes are the pool's own threads.
 * Locks      one mutex per lane, never two at once, never held while a batch runs.
 * Ownership  pool_submit takes the delivery; `complete` gives it back, on a lane's thread, in batches.
 * Failure    infrastructure failures are waited out inside (PROTOCOL B4); a delivery always comes back with an answer.
 */
#ifndef WORKER_LANE_LANES_H
#define WORKER_LANE_LANES_H

#include "worker/lane/lane.h"

struct pool;

/* Starts the lanes; they connect by themselves and retry for ever. NULL: out of memory or threads (*reterr static). */
struct pool *pool_new(const struct pool_options *options, const char **reterr);

/* Takes a chain (by `next`) of deliveries, in order of receipt; wakes each lane at most once. */
void pool_submit(struct pool *pool, struct delivery *chain);

/* An epoch was revoked (its ownership's `revoked` is set): waiting deliveries of it are answered ANSWER_DROPPED at
 * once; a batch in flight ends by itself. */
void pool_revoke(struct pool *pool, uint64_t epoch);

/* Waits until nothing of the epoch is in a batch, or the deadline (monotonic). True: nothing is. */
bool pool_await_quiet(struct pool *pool, uint64_t epoch, int64_t deadline_us);

/* Whether the lanes can reach PostgreSQL, and why not (static or lane-owned text copied into `why`). */
bool pool_is_ready(struct pool *pool, char *why, size_t why_size);

/* Adds the keys that the lanes hold back, as they were up to a second ago. Any thread. */
void pool_held(struct pool *pool, struct held *into);

/* Ends the lanes: in-flight batches finish until the deadline, what waits is answered ANSWER_DROPPED. */
void pool_free(struct pool *pool, int64_t deadline_us);

#endif
