/* The bytes of a server on Redis' port, in pieces: measured as the lock's link does, byte by byte it must come to the
 * same, and what is let through is one reply for hiredis, of a kind that we asked for. */
#include <hiredis/hiredis.h>
#include <stdlib.h>

#include "worker/redis/reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check_reply(struct span text)
{
    redisReader *reader = redisReaderCreate();
    void *reply = NULL;
    if (!reader || redisReaderFeed(reader, text.at, text.size) != REDIS_OK)
        abort();
    /* It may still refuse a number of 19 digits; it must not wait for more, or make an array. */
    if (redisReaderGetReply(reader, &reply) == REDIS_OK && (!reply || ((redisReply *)reply)->type == REDIS_REPLY_ARRAY))
        abort();
    if (reply)
        freeReplyObject(reply);
    redisReaderFree(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct span left = { (const char *)bytes, size };
    size_t measured;
    const char *why = NULL;

    while (left.size > 0 && redis_reply_measure(left, &measured, &why) == LOCK_REPLY_WHOLE)
    {
        if (measured == 0 || measured > left.size || measured > LOCK_REPLY_MAX)
            abort();
        size_t early = 0;
        for (size_t part = 0; part < measured; part += 1 + part / 16)
            if (redis_reply_measure((struct span){ left.at, part }, &early, &why) != LOCK_REPLY_PART)
                abort();
        check_reply((struct span){ left.at, measured });
        left = (struct span){ left.at + measured, left.size - measured };
    }
    if (left.size >= LOCK_REPLY_MAX && redis_reply_measure(left, &measured, &why) == LOCK_REPLY_PART)
        abort();
    return 0;
}
