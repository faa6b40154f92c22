/* Lane: one thread that owns a PostgreSQL session and a Redis connection and runs batches of the deliveries given to
 * it.
 *
 * Order: deliveries with equal lane_hash are run in the order they were given, whatever fails; a key that waits for a
 * retry holds back its own deliveries only (PROTOCOL B2, B4, B5).
 *
 * Threads    lane_submit, lane_revoke, lane_await_quiet, lane_is_ready, lane_held, lane_ask_stop: any thread. The rest:
 *            the owner's.
 * Locks      one mutex, never held while a batch runs or `complete` is called.
 * Ownership  takes deliveries, gives them back answered through `complete`.
 */
#ifndef WORKER_LANE_LANE_H
#define WORKER_LANE_LANE_H

#include "worker/delivery.h"
#include "worker/lane/held_keys.h"

struct settings;

struct lanes_options
{
    const struct settings *settings;
    int cell;               /* number of the cell, for thread names and lock values */
    const char *lock_owner; /* PROTOCOL L2: "group/slot/nonce/cell"; the lane is appended */
    delivery_decode_fn *decode;
    /* Receives a chain (by `next`) of answered deliveries. Called on lane threads; must be quick. */
    void (*complete)(void *owner, struct delivery *chain);
    void *owner;
    /* Monotonic: what is answered earlier is not seen earlier, so commands are collected until shortly before. NULL, or
     * a time in the past: at once. Writer: the cell's publisher. */
    const atomic_int_fast64_t *seen_us;
};

struct lane;

/* Starts the thread; NULL: out of memory or threads. */
struct lane *lane_new(const struct lanes_options *options, int number);

/* `last` is the end of the chain that begins with `first`. */
void lane_submit(struct lane *lane, struct delivery *first, struct delivery *last, int count);
void lane_revoke(struct lane *lane);
bool lane_await_quiet(struct lane *lane, int64_t deadline_us);
bool lane_is_ready(struct lane *lane, char *why, size_t why_size);
void lane_held(struct lane *lane, struct held_keys *into);

/* Asks the lane to end: a batch that runs may go on until the deadline, deliveries that wait are dropped. */
void lane_ask_stop(struct lane *lane, int64_t deadline_us);
/* Joins the thread of a lane that was asked to stop, and frees it. */
void lane_free(struct lane *lane);

#endif
