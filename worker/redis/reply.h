/* Redis reply: where a reply of Redis ends, before anything is made of it. Whatever answers on Redis' port may send
 * any bytes; hiredis only gets a reply that is whole, no larger than LOCK_REPLY_MAX, and of a kind that our
 * requests are answered with. An array is not: hiredis would take memory for as many elements as its first line
 * promises.
 *
 * Threads    pure functions.
 * Failure    LOCK_REPLY_REFUSED, and why.
 */
#ifndef WORKER_REDIS_REPLY_H
#define WORKER_REDIS_REPLY_H

#include "workflows/base/span.h"

enum
{
    LOCK_REPLY_MAX = 64 * 1024, /* PROTOCOL L2: the longest of ours, INFO, has a few KiB */
    LOCK_REPLY_LINE_MAX = 4096,
};

enum redis_reply
{
    LOCK_REPLY_WHOLE,
    LOCK_REPLY_PART, /* more bytes have to come: never where there are LOCK_REPLY_MAX */
    LOCK_REPLY_REFUSED,
};

/* Of the bytes received so far; *ret_size: of the first reply, if it is whole. */
enum redis_reply redis_reply_measure(struct span received, size_t *ret_size, const char **reterr);

#endif
