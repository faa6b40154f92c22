/* Hold: the keys of a lane that wait for a retry, each with its deliveries in order.
 *
 * A key is known by its 64-bit hash: two keys with one hash wait together, which costs time and nothing else.
 *
 * Threads    one owner, the lane.
 * Ownership  holds what is put in until it is taken out.
 * Failure    out of memory on a new key: hold_put answers false, the caller runs the delivery again at once.
 */
#ifndef WORKER_LANE_RETRY_QUEUE_H
#define WORKER_LANE_RETRY_QUEUE_H

#include "worker/lane/held_keys.h"

struct hold;

struct hold *hold_new(void);
void hold_free(struct hold *hold); /* must be empty */

int hold_keys(const struct hold *hold);

/* Whether a delivery of the same key that came before this one is held. */
bool hold_blocks(const struct hold *hold, const struct delivery *delivery);

/* Puts the delivery among the ones of its key, in order of arrival. Where it is the first, its key is due at `due_us`
 * (monotonic). */
bool hold_put(struct hold *hold, struct delivery *delivery, int64_t due_us);

/* Why the key of this delivery, which is its first, is held: for people. The text is copied. */
void hold_say(struct hold *hold, const struct delivery *delivery, const char *reason);

/* Adds every key to the copy. */
void hold_show(const struct hold *hold, const char *lane, struct held *into);

/* What is asked of the first delivery of each key. */
typedef bool hold_test_fn(const void *owner, const struct delivery *first, int64_t now_us);
/* How many keys pass the test. */
int hold_count(const struct hold *hold, hold_test_fn *test, const void *owner, int64_t now_us);
/* Makes those that pass it due now. */
void hold_hurry(struct hold *hold, hold_test_fn *test, const void *owner, int64_t now_us);

/* When the next key is due; INT64_MAX when none is held. */
int64_t hold_next_due(const struct hold *hold);

/* Takes up to `max` deliveries of one key that is due, in order, as a chain; what is left of the key stays, due at
 * once. NULL: none is due. */
struct delivery *hold_take_due(struct hold *hold, int64_t now_us, int max, int *ret_count);

/* Takes every delivery whose ownership is revoked, as a chain. */
struct delivery *hold_take_revoked(struct hold *hold);

#endif
