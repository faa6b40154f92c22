/* Spread: whether a message with a key lies in the partition that murmur2 gives its key. A producer with another
 * partitioner than the others spreads one aggregate's commands over two partitions, and their order is lost silently.
 *
 * Threads    struct spread: the poll thread. spread_sample: any.
 * Ownership  handles are only compared, and the table is cleared with every assignment.
 * Failure    while Kafka does not say how many partitions a topic has, its messages are not judged; it is asked again
 *            5 s later.
 */
#ifndef CONSUMERS_MESSAGE_SPREAD_H
#define CONSUMERS_MESSAGE_SPREAD_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdint.h>

#include "workflows/base/buffer.h"

enum
{
    SPREAD_TOPICS_MAX = 64, /* further ones are not judged */
};

struct spread
{
    uint64_t epoch; /* assignment epoch that the counts are of: new partitions come with a new one */
    int count;
    struct spread_topic
    {
        rd_kafka_topic_t *handle;
        int32_t partitions; /* 0: not known */
        int64_t next_us;    /* not known: when Kafka is asked again, monotonic */
    } topics[SPREAD_TOPICS_MAX];
};

/* Counts the message where it lies elsewhere, and says so at most once a minute. Asks Kafka once for each topic and
 * epoch, and again until it answers, which takes up to half a second. */
void spread_note(struct spread *spread, rd_kafka_t *consumer, uint64_t epoch, const rd_kafka_message_t *message);

struct settings;

struct spread_sampled
{
    int64_t keyed, elsewhere;
};

/* Looks at the last messages of each of the topic's partitions, for a few seconds at the most. False with a message. */
bool spread_sample(const struct settings *settings, const char *topic, int partitions, struct spread_sampled *ret,
                   struct buffer *reterr);

#endif
