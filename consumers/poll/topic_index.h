/* Topic index: from a message's topic handle and partition to a number, without comparing names per message.
 *
 * Threads    one owner, the poll thread.
 * Ownership  handles are only compared: librdkafka keeps them while their topics are assigned, and the index is cleared
 *            with every assignment.
 */
#ifndef CONSUMERS_POLL_TOPIC_INDEX_H
#define CONSUMERS_POLL_TOPIC_INDEX_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>

enum
{
    TOPIC_INDEX_MAX = 64, /* topics; more only cost time */
};

struct topic_index
{
    struct topic_numbers
    {
        rd_kafka_topic_t *handle;
        int *at; /* by partition; -1: not there */
        int count;
    } topics[TOPIC_INDEX_MAX];
    int count;
};

/* Tells topic and partition of number i; false after the last one. */
typedef bool topic_index_entry_fn(const void *owner, int i, const char **ret_topic, int32_t *ret_partition);

/* The number of the partition, or -1. A handle that is new is looked up among all entries. */
int topic_index_find(struct topic_index *index, rd_kafka_topic_t *handle, int32_t partition,
                     topic_index_entry_fn *entry, const void *owner);

void topic_index_clear(struct topic_index *index);

#endif
