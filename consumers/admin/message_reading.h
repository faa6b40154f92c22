/* Message reading: reads ranges of the command topics without the group, each message decoded as a worker would. For
 * `explain`, which looks for one command, and for `replay`, which looks at all of a range.
 *
 * Threads    runs on the caller's thread.
 * Ownership  what is seen is borrowed for the call.
 * Failure    false, with a message: not everything was read.
 */
#ifndef CONSUMERS_ADMIN_MESSAGE_READING_H
#define CONSUMERS_ADMIN_MESSAGE_READING_H

#include "worker/base/topic_name.h"
#include "worker/delivery.h"
#include "workflows/base/buffer.h"

struct settings;

struct message_range
{
    char topic[TOPIC_NAME_MAX + 1];
    int32_t partition;
    int64_t from, to; /* offsets; `to` is not read */
};

struct message_ranges
{
    struct message_range *at;
    int count;
    bool failed; /* out of memory */
};

/* Every partition of every command topic, from its log's start to its end. */
bool message_ranges_read(const struct settings *settings, struct message_ranges *ret, struct buffer *reterr);
void message_ranges_done(struct message_ranges *ranges);

/* Leaves of each range what was written since `since_us`, Unix microseconds. */
bool message_ranges_since(const struct settings *settings, struct message_ranges *ranges, int64_t since_us,
                          struct buffer *reterr);

struct message_seen
{
    const struct message_range *range;
    const struct delivery *delivery;
    const struct command *command; /* NULL: it cannot be read as one, delivery->dead_reason says why */
};

/* False ends the reading, which is no failure. */
typedef bool message_seen_fn(void *owner, const struct message_seen *seen);

/* One range after another, within each in the order of the offsets, as a read_committed reader gets them. */
bool message_read(const struct settings *settings, const struct message_ranges *ranges, message_seen_fn *see,
                  void *owner, struct buffer *reterr);

#endif
