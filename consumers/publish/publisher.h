/* Publisher: the second thread of a cell. It takes what the lanes answered, keeps the watermarks, and publishes the
 * contiguous prefix: events, dead letters and offsets in one Kafka transaction (PROTOCOL K1-K3). It also takes
 * partitions over, because it owns the session and the readers that this needs (PROTOCOL O3, O5).
 *
 * Threads    publisher_complete: lanes. publisher_take_over, publisher_finish, publisher_set_consumer: the poll thread.
 *            publisher_problem: any. Everything else happens on the publisher's own thread.
 * Locks      none of its own; see consumers/publish/mailbox.h and consumers/kafka/problem.h.
 * Ownership  takes deliveries and gives them back to the delivery pool; holds a reference on every owned partition
 *            that it was asked for.
 * Failure    waits until Kafka and PostgreSQL work again; only deliveries of an ended partition are dropped.
 */
#ifndef CONSUMERS_PUBLISH_PUBLISHER_H
#define CONSUMERS_PUBLISH_PUBLISHER_H

#include <librdkafka/rdkafka.h>

#include "consumers/partition/partition.h"

struct settings;
struct slot;
struct delivery_pool;
struct publisher;

struct publisher_options
{
    const struct settings *settings;
    int cell;
    const struct slot *slot; /* NULL in unit tests: slot 0, held */
    struct delivery_pool *delivery_pool;
    /* Called on the publisher's thread: there is room again; or, with `news`, an owned partition changed its state. */
    void (*wake)(void *owner, bool news);
    void *owner;
};

struct publisher *publisher_new(const struct publisher_options *options, const char **reterr);
/* Ends the thread. Answers that are not published yet are given back: call publisher_finish first. */
void publisher_free(struct publisher *publisher);

/* The pool's `complete`. */
void publisher_complete(void *publisher, struct delivery *chain);

/* Asks for owned partitions to be taken over; each ends up in PARTITION_OWNED, or is revoked before. `group` (taken in
 * the ASSIGN callback, now the publisher's) replaces the former one; NULL keeps it. */
void publisher_take_over(struct publisher *publisher, struct owned_partition *const *owned_partitions, int count,
                         rd_kafka_consumer_group_metadata_t *group);

/* Publishes the prefix of everything it holds, then ends all owned partitions it holds. The owned partitions' `revoked`
 * and `give_up_us` are set before. Waits until that is done or the deadline; false: not done yet (it goes on by itself,
 * and publishes nothing past give_up_us). */
bool publisher_finish(struct publisher *publisher, int64_t deadline_us);

/* At-least-once: offsets are committed through the consumer's handle, which must stay until publisher_finish, or until
 * NULL is set. */
void publisher_set_consumer(struct publisher *publisher, rd_kafka_t *consumer);

/* Monotonic, with exactly-once: no publication begins before, so what is answered earlier is not seen earlier. 0: at
 * once. Lives as long as the publisher. */
const atomic_int_fast64_t *publisher_next_us(const struct publisher *publisher);

/* True: `into` says what it waits for. */
bool publisher_problem(struct publisher *publisher, char *into, size_t size);

#endif
