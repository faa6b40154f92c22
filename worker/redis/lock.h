/* Lock: the outer layer, one Redis script per batch (PROTOCOL P5, L2). Only worker/redis/ includes hiredis.
 *
 * It saves work: two writers of one aggregate do not both load it. Correctness never rests on it. Redis gone, slow,
 * lying or empty: the batch goes on without it, counted.
 *
 * Threads    one lock per lane; not shared.
 * Ownership  names are borrowed for the call.
 * Failure    never an error to the caller: LOCK_DEGRADED, and lock_reason says why. Reconnects by itself with backoff.
 */
#ifndef WORKER_REDIS_LOCK_H
#define WORKER_REDIS_LOCK_H

#include "workflows/base/span.h"

struct lock;

struct lock_options
{
    const char *url;    /* redis://[:password@]host:port[/db] or unix:path; NULL or "": no Redis, always degraded */
    const char *prefix; /* "interlock:" */
    const char *owner;  /* PROTOCOL L2: group/slot/nonce/cell/lane: the value of every lock */
    int64_t connect_timeout_us, command_timeout_us;
};

struct lock *lock_new(const struct lock_options *options);
void lock_free(struct lock *lock);

enum lock_result
{
    LOCK_TAKEN,    /* every name is ours, or refused, per name */
    LOCK_DEGRADED, /* Redis did not answer: go on without */
    LOCK_AT_REST,  /* not asked: see lock_rest_until */
};

struct lock_name
{
    struct span name; /* aggregate key */
    int64_t lease_us;
    bool refused; /* out: somebody else holds it */
    bool taken;   /* out: ours to release */
};

/* One round trip for all names. *ret_valid_until_us: monotonic time, measured from before the call, until which the
 * shortest lease holds. */
enum lock_result lock_acquire(struct lock *lock, struct lock_name *names, int count, int64_t *ret_valid_until_us);

/* Extends every taken name whose value is still ours (compare and pexpire in one script). */
enum lock_result lock_extend(struct lock *lock, const struct lock_name *names, int count, int64_t *ret_valid_until_us);

/* Releases every taken name whose value is still ours (compare and delete in one script). lock_release_send does not
 * wait: its answer is read before the next call. */
void lock_release_send(struct lock *lock, const struct lock_name *names, int count);

/* Until then no lane of the process talks to Redis: whatever ends the process meanwhile, it was not Redis (PROTOCOL
 * L2). Returns whether no call is under way any more. */
bool lock_rest_until(int64_t until_us);

/* Why the last call was degraded: host, port and error; "" when it was not. */
const char *lock_reason(const struct lock *lock);

#endif
