/* Held: what is shown of the keys that are held back: how many, since when, and the ones that wait longest.
 *
 * A copy, bounded and free of pointers, so that it may be read while the lane that owns the commands goes on.
 *
 * Threads    values; no state. The copy is its owner's.
 * Failure    none: what is too long is cut, what is no text is shown as '?'.
 */
#ifndef WORKER_LANE_HELD_KEYS_H
#define WORKER_LANE_HELD_KEYS_H

#include "worker/delivery.h"
#include "workflows/base/buffer.h"

enum
{
    HELD_SHOWN = 20, /* keys told apart; the others are only counted */
};

/* A key, by the first of its commands. */
struct held_key_copy
{
    int64_t since_us, next_us; /* monotonic: held since, tried again at */
    int64_t offset;
    int32_t partition;
    int attempts;
    int commands; /* that wait, the first included */
    char lane[16];
    char topic[250];
    char key[72];     /* the message's, or "#" and its hash */
    char reason[232]; /* for people */
};

struct held
{
    int64_t keys;
    int64_t oldest_us; /* monotonic: since when the first of all waits; 0: none does */
    int shown;
    struct held_key_copy longest[HELD_SHOWN]; /* by since_us */
};

void held_clear(struct held *held);

/* Counts a key. Where it belongs among the longest held, its place is returned to be filled; else NULL. */
struct held_key_copy *held_place(struct held *held, int64_t since_us);

/* What the delivery itself says; since_us is kept. */
void held_describe(struct held_key_copy *copy, const struct delivery *delivery, const char *lane, const char *reason);

void held_merge(struct held *into, const struct held *from);

/* A JSON object. */
void held_print(const struct held *held, int64_t now_us, struct buffer *json);

#endif
