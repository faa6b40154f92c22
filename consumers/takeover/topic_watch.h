/* Topic watch: notices that a command topic was deleted and created again (PROTOCOL O5). A takeover learns the ids of
 * its topics; while the partitions are owned they are asked for again now and then.
 *
 * Threads    one owner, the publisher.
 * Ownership  a client of its own, made when it is first needed. Partitions are borrowed for the call.
 * Failure    without an answer nothing is noticed until there is one.
 */
#ifndef CONSUMERS_TAKEOVER_TOPIC_WATCH_H
#define CONSUMERS_TAKEOVER_TOPIC_WATCH_H

#include <librdkafka/rdkafka.h>

#include "consumers/partition/partition.h"

struct settings;

struct topic_watch
{
    const struct settings *settings;
    rd_kafka_t *client;
    rd_kafka_queue_t *answer; /* to the question that is out; NULL: none is */
    int64_t asked_us;         /* monotonic; when the last one went out */
};

void topic_watch_done(struct topic_watch *watch);

/* Before the committed offsets are read, so that a topic which is created again in between is noticed later. Waits. */
void topic_watch_learn(struct topic_watch *watch, struct owned_partition *const *partitions, int count,
                       int64_t wait_us);

/* Asks, or looks for the answer, and does not wait. A partition whose topic has another id is marked as recreated; one
 * that has no id yet takes the first that Kafka answers. */
void topic_watch_step(struct topic_watch *watch, struct owned_partition *const *partitions, int count, int64_t now_us);

#endif
