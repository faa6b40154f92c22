/* Held keys: a report of the keys that are held back: how many, since when, and the ones that wait longest.
 *
 * A copy, bounded and free of pointers, so that it may be read while the lane that owns the commands goes on.
 *
 * Threads    values; no state. The copy is its owner's.
 * Failure    none: long texts are cut, bytes that are not text are shown as '?'.
 */
#ifndef WORKER_LANE_HELD_KEYS_H
#define WORKER_LANE_HELD_KEYS_H

#include "worker/base/topic_name.h"
#include "worker/delivery.h"
#include "workflows/base/buffer.h"

enum
{
    HELD_KEYS_SHOWN = 20, /* keys that are listed; the others are only counted */
};

/* A key, by the first of its commands. */
struct held_key
{
    int64_t since_us, next_us; /* monotonic: held since, tried again at */
    int64_t offset;
    int32_t partition;
    int attempts;
    int commands; /* that wait, the first included */
    char lane[16];
    char topic[TOPIC_NAME_MAX + 1];
    char key[72];     /* the message's, or "#" and its hash */
    char reason[232]; /* for people */
};

struct held_keys
{
    int64_t keys;
    int64_t oldest_us; /* monotonic: since when the first of all waits; 0: no key waits */
    int shown;
    struct held_key longest[HELD_KEYS_SHOWN]; /* by since_us */
};

void held_keys_clear(struct held_keys *held);

/* Counts a key. Where it belongs among the longest held, its place is returned to be filled; else NULL. */
struct held_key *held_keys_place(struct held_keys *held, int64_t since_us);

/* Fills the copy from the delivery; since_us is kept. */
void held_keys_describe(struct held_key *copy, const struct delivery *delivery, const char *lane, const char *reason);

void held_keys_merge(struct held_keys *into, const struct held_keys *from);

/* A JSON object. */
void held_keys_print(const struct held_keys *held, int64_t now_us, struct buffer *json);

#endif
