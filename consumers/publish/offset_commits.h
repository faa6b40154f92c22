/* Offset commits of the at-least-once mode: one is out at a time, the next carries what has gathered meanwhile.
 *
 * The consumer's handle is the poll thread's, but rd_kafka_commit_queue only enqueues an operation for librdkafka's own
 * thread, which makes it safe from any thread; the answer comes to a queue of ours. A commit that reaches the broker
 * after a revoke sets the offset to one whose prefix is published: at the worst messages are read again. With
 * exactly-once no plain commit is ever made (PROTOCOL K2).
 *
 * Threads    one owner, the publisher.
 * Ownership  the consumer must stay until offset_commits_forget.
 * Failure    a refused commit is made again with the next offsets.
 */
#ifndef CONSUMERS_PUBLISH_OFFSET_COMMITS_H
#define CONSUMERS_PUBLISH_OFFSET_COMMITS_H

#include <librdkafka/rdkafka.h>

#include "consumers/partition/partition.h"

struct offset_commits
{
    rd_kafka_queue_t *queue;
    rd_kafka_topic_partition_list_t *out; /* the commit that is not answered yet */
    bool answered, good;
};

#define OFFSET_COMMITS_EMPTY ((struct offset_commits){ NULL, NULL, false, false })

/* Takes in an answer, waiting up to `wait_ms` for it, raises published_reached of the owned partitions, and sends what
 * their `committed` is ahead by. True: something is out. */
bool offset_commits_step(struct offset_commits *commits, rd_kafka_t *consumer,
                         struct owned_partition *const *owned_partitions, int count, int wait_ms);

void offset_commits_forget(struct offset_commits *commits);

#endif
