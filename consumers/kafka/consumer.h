/* Consumer: the handle that reads the command topics in the group, from its making to its end.
 *
 * Threads    the poll thread.
 * Ownership  the handle is the caller's until consumer_close.
 * Failure    consumer_open answers NULL and says what it waits for.
 */
#ifndef CONSUMERS_KAFKA_CONSUMER_H
#define CONSUMERS_KAFKA_CONSUMER_H

#include <librdkafka/rdkafka.h>

#include "workflows/base/buffer.h"

struct settings;

typedef void consumer_rebalance_fn(rd_kafka_t *consumer, rd_kafka_resp_err_t what,
                                   rd_kafka_topic_partition_list_t *partitions, void *owner);

/* librdkafka's errors that belong to no call. Called by polls. */
typedef void consumer_error_fn(rd_kafka_t *consumer, int error, const char *reason, void *owner);

/* Makes a handle, waits a moment for the topics, and subscribes. `slot` and `cell` name a static member. */
rd_kafka_t *consumer_open(const struct settings *settings, int slot, int cell, consumer_rebalance_fn *on_rebalance,
                          consumer_error_fn *on_error, void *owner, struct buffer *reterr);

/* The command topics; the caller destroys. */
rd_kafka_topic_partition_list_t *consumer_topics(const struct settings *settings);

/* Leaves the group (2.0.2 may hang in a close after a broker was away): callbacks are served meanwhile. A static member
 * leaves nothing: its partitions wait for it until the session timeout. Bounded by 5 s and, except
 * for a last moment, by the deadline. */
void consumer_leave(rd_kafka_t *consumer, int64_t deadline_us);

/* Ends the handle, bounded in the same way; false: it did not end in time and is abandoned. */
bool consumer_close(rd_kafka_t *consumer, int64_t deadline_us);

#endif
