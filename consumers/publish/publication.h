/* Publication: deliveries that go out together: of several partitions the contiguous prefix of answered ones, with the
 * offset each partition is then committed at (PROTOCOL K1, K2). It can be sent again as it is, or as a smaller one
 * (PROTOCOL K3).
 *
 * Threads    one owner, the publisher.
 * Ownership  holds deliveries popped from the watermarks until publication_release gives them back.
 * Failure    sending answers as the producer does; the publication itself is not changed by it.
 */
#ifndef CONSUMERS_PUBLISH_PUBLICATION_H
#define CONSUMERS_PUBLISH_PUBLICATION_H

#include "consumers/message/delivery_pool.h"
#include "consumers/partition/partition.h"
#include "consumers/producer/producer.h"

enum
{
    PUBLICATION_EVENTS_MAX = 10000,     /* librdkafka's queue takes 100,000 */
    PUBLICATION_DELIVERIES_MAX = 50000, /* with those that have nothing to publish */
    PUBLICATION_RECORD = 100,           /* bytes of a record besides its value, about */
};

struct part
{
    struct owned_partition *owned;
    struct delivery *first, *last;
    int count, events, dead_letters;
    size_t bytes; /* of messages, as they are counted in flight */
    int64_t next_offset;
};

struct publication
{
    struct part *parts;
    int count, capacity;
    int deliveries;
    int64_t sends; /* bytes to be sent, as portion.h counts them */
};

#define PUBLICATION_EMPTY ((struct publication){ NULL, 0, 0, 0, 0 })

/* Pops prefixes of live owned partitions, beginning with number `start`, up to the caps, and `bytes`. False: nothing is
 * there (or no memory for the list of parts). */
bool publication_gather(struct publication *publication, struct owned_partition *const *owned_partitions, int count,
                        int start, int64_t bytes);

/* Gives the deliveries past `bytes` back to the watermarks; at least one stays. Without memory for that nothing
 * changes. */
void publication_trim(struct publication *publication, int64_t bytes);

/* The moment up to which one attempt may last: `longest_us` from now, and no longer than each owned partition may
 * publish. */
int64_t publication_deadline(const struct publication *publication, int64_t longest_us);

/* One attempt at all of it, up to the deadline. */
enum producer_result publication_send(const struct publication *publication, struct producer *producer,
                                      const rd_kafka_consumer_group_metadata_t *group, int64_t deadline_us);

/* The offsets it commits; the caller destroys. */
rd_kafka_topic_partition_list_t *publication_offsets(const struct publication *publication);

enum part_outcome
{
    PART_REACHED,
    PART_NOT_REACHED,
    PART_GONE_BACK, /* Kafka has less than it acknowledged to this owner before */
};

/* The outcome of a part, by the offsets that Kafka has committed. A commit that is not ours says nothing: somebody may
 * have moved the group meanwhile (PROTOCOL R1). */
enum part_outcome publication_outcome(const struct part *part, const rd_kafka_topic_partition_list_t *committed);

/* A part is published: its events go into the metrics. `now_us`: wall clock. */
void publication_count(const struct part *part, int64_t now_us);

/* Gives back the deliveries of one part and takes the part out. */
void publication_release(struct publication *publication, int index, struct delivery_pool *delivery_pool);

void publication_done(struct publication *publication);

#endif
