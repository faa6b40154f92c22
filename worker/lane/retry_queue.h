/* Retry queue: the keys of a lane that wait for a retry, each with its deliveries in order.
 *
 * A key is known by its 64-bit hash: two keys with one hash wait together, which costs time and nothing else.
 *
 * Threads    one owner, the lane.
 * Ownership  holds what is put in until it is taken out.
 * Failure    out of memory on a new key: retry_queue_put answers false, the caller runs the delivery again at once.
 */
#ifndef WORKER_LANE_RETRY_QUEUE_H
#define WORKER_LANE_RETRY_QUEUE_H

#include "worker/lane/held_keys.h"

struct retry_queue;

struct retry_queue *retry_queue_new(void);
void retry_queue_free(struct retry_queue *retry_queue); /* must be empty */

int retry_queue_keys(const struct retry_queue *retry_queue);

/* Whether a delivery of the same key that came before this one is held. */
bool retry_queue_blocks(const struct retry_queue *retry_queue, const struct delivery *delivery);

/* Puts the delivery among the ones of its key, in order of arrival. Where it is the first, its key is due at `due_us`
 * (monotonic). */
bool retry_queue_put(struct retry_queue *retry_queue, struct delivery *delivery, int64_t due_us);

/* Why the key of this delivery, which is its first, is held: for people. The text is copied. */
void retry_queue_say(struct retry_queue *retry_queue, const struct delivery *delivery, const char *reason);

/* Adds every key to the copy. */
void retry_queue_show(const struct retry_queue *retry_queue, const char *lane, struct held_keys *into);

/* A question about the first delivery of each key. */
typedef bool retry_queue_test_fn(const void *owner, const struct delivery *first, int64_t now_us);
/* How many keys pass the test. */
int retry_queue_count(const struct retry_queue *retry_queue, retry_queue_test_fn *test, const void *owner,
                      int64_t now_us);
/* The keys that pass the test are due now. */
void retry_queue_hurry(struct retry_queue *retry_queue, retry_queue_test_fn *test, const void *owner, int64_t now_us);

/* When the next key is due; INT64_MAX: no key is held. */
int64_t retry_queue_next_due(const struct retry_queue *retry_queue);

/* Takes up to `max` deliveries of one key that is due, in order, as a chain; the rest of the key stays, due at
 * once. NULL: no key is due. */
struct delivery *retry_queue_take_due(struct retry_queue *retry_queue, int64_t now_us, int max, int *ret_count);

/* Takes every delivery whose partition is revoked, as a chain. */
struct delivery *retry_queue_take_revoked(struct retry_queue *retry_queue);

#endif
