/* Letter bytes: the messages of dead letters, whole: from the command topic at their offset, where the digest says that
 * they are the same; else from the dead letters, which are kept for longer.
 *
 * Threads    runs on the caller's thread; its Kafka clients have ended when it returns.
 * Ownership  the deliveries belong to the pool that the caller gave.
 * Failure    false, with a message: Kafka could not be asked. A letter that is nowhere is no failure.
 */
#ifndef CONSUMERS_ADMIN_LETTER_BYTES_H
#define CONSUMERS_ADMIN_LETTER_BYTES_H

#include "worker/base/digest.h"
#include "worker/base/topic_name.h"
#include "worker/delivery.h"
#include "workflows/base/buffer.h"

struct settings;
struct delivery_pool;

enum letter_place
{
    LETTER_NOWHERE, /* gone from both topics */
    LETTER_IN_COMMANDS,
    LETTER_IN_DLQ,
    LETTER_CUT, /* only in the dead letters, and cut there: it was too long for the topic */
};

struct letter_bytes
{
    char topic[TOPIC_NAME_MAX + 1];
    int32_t partition;
    int64_t offset, failed_us;
    uint8_t digest[DIGEST_SHA256_SIZE];

    enum letter_place place;   /* out */
    struct delivery *delivery; /* out; NULL: LETTER_NOWHERE */
    int64_t dlq_offset;        /* out: LETTER_IN_DLQ, LETTER_CUT */
    int32_t dlq_partition;
};

/* In any order; fastest sorted by topic, partition, offset. Ends at `bytes_max` bytes in all: *ret_full then, and the
 * letters from there on are not looked for. */
bool letter_bytes_read(const struct settings *settings, struct delivery_pool *pool, struct letter_bytes *letters,
                       int count, size_t bytes_max, bool *ret_full, struct buffer *reterr);

/* The message as it is parked: the original's key, its headers without what dead letters and returns add, `value` in place
 * of its own unless that is null, and the count of redrives. `causation`, not NULL: the causationid of an edited copy.
 * NULL: no memory. */
struct delivery *letter_bytes_returned(struct delivery_pool *pool, const struct delivery *original, struct span value,
                                       const char *causation, int redrives, bool untried);

#endif
