/* Restoring: publishes what a portion of arrears lacks (PROTOCOL R1): events from their rows, dead letters from their
 * messages, in the order of their offsets.
 *
 * Exactly-once: small Kafka transactions, each with the offset at which the owned partition will begin, so that the
 * broker refuses them to a worker that is not the owner now. The offset is marked as ours in the last one alone, and
 * only where everything that is published lies below it: what a worker that dies in between has published is found again.
 *
 * A dead letter whose message Kafka has not any more cannot be published: its row has no copy. The log names it.
 *
 * Threads    one owner, the publisher.
 * Failure    false: `problem` says why; the producer may have to be replaced.
 */
#ifndef CONSUMERS_TAKEOVER_RESTORING_H
#define CONSUMERS_TAKEOVER_RESTORING_H

#include "consumers/producer/producer.h"
#include "consumers/takeover/arrears_reading.h"

struct restoring
{
    const struct settings *settings;
    struct partition_owner *owners;
    struct producer *producer;
    const rd_kafka_consumer_group_metadata_t *group; /* NULL: at-least-once */
    int64_t offset;                                  /* to be committed with it */
    char problem[400];
};

bool restoring_run(struct restoring *restoring, struct owned_partition *owned, const struct session_stop *stop);

#endif
