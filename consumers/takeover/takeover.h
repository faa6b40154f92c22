/* Takeover: how an owned partition begins. First the committed offset is read from Kafka (PROTOCOL O5), then the fence
 * is raised in PostgreSQL (PROTOCOL O3). Where the commit is one of ours, that is all; else what is recorded and may
 * not be published is looked up, and published where it is missing (PROTOCOL R1).
 *
 * Threads    one owner, the publisher.
 * Ownership  owned partitions are borrowed for the call; those that a search is on for are held.
 * Failure    takeover_round leaves what it could not take for the next round; takeover_problem says why.
 */
#ifndef CONSUMERS_TAKEOVER_TAKEOVER_H
#define CONSUMERS_TAKEOVER_TAKEOVER_H

#include <librdkafka/rdkafka.h>

#include "consumers/partition/partition.h"
#include "consumers/producer/producer.h"

struct settings;
struct takeover;

struct takeover *takeover_new(const struct settings *settings);
void takeover_free(struct takeover *takeover);

/* The means to publish recorded events. */
struct takeover_means
{
    struct producer *producer;
    const rd_kafka_consumer_group_metadata_t *group;
};

/* Tries every owned partition once; a revoked one ends the round. Those taken over are moved after the others; returns
 * how many are left in front. The producer may be broken afterwards. */
int takeover_round(struct takeover *takeover, const struct takeover_means *means,
                   struct owned_partition **owned_partitions, int count);

/* The next round goes on with something: it should come at once. */
bool takeover_is_busy(const struct takeover *takeover);

/* PROTOCOL O5, K3: what Kafka has as committed. False: not known yet. */
bool takeover_read_committed(struct takeover *takeover, rd_kafka_topic_partition_list_t *offsets);

/* See partition_owner_give_back. */
void takeover_give_back(struct takeover *takeover, struct owned_partition *const *owned_partitions, int count,
                        int64_t wait_us);

/* Tells PostgreSQL what is published; see published_raise. */
void takeover_raise_published(struct takeover *takeover, const struct takeover_means *means,
                              struct owned_partition *const *owned_partitions, int count, int64_t wait_us);

/* See topic_watch_step. */
void takeover_watch_topics(struct takeover *takeover, struct owned_partition *const *owned_partitions, int count);

const char *takeover_problem(const struct takeover *takeover);

#endif
