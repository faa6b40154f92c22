/* Takeover: how a tenure begins. First the committed offset is read from Kafka (PROTOCOL O5), then the fence is raised
 * in PostgreSQL (PROTOCOL O3, R1), then the first offset to fetch is known.
 *
 * Threads    one owner, the publisher.
 * Ownership  tenures are borrowed for the call.
 * Failure    takeover_round leaves what it could not take for the next round; takeover_problem says why.
 */
#ifndef CONSUMERS_TAKEOVER_H
#define CONSUMERS_TAKEOVER_H

#include <librdkafka/rdkafka.h>

#include "consumers/tenure.h"

struct settings;
struct takeover;

struct takeover *takeover_new(const struct settings *settings);
void takeover_free(struct takeover *takeover);

/* Tries every tenure once; a revoked one ends the round. Those taken over are moved behind the others, in order;
 * returns how many are left in front. */
int takeover_round(struct takeover *takeover, struct tenure **tenures, int count);

/* PROTOCOL O5, K3: what Kafka has as committed. False: not known yet. */
bool takeover_read_committed(struct takeover *takeover, rd_kafka_topic_partition_list_t *offsets);

/* See ownership_give_back. */
void takeover_give_back(struct takeover *takeover, struct tenure *const *tenures, int count, int64_t wait_us);

/* Tells PostgreSQL what is published (ownership_raise). True: nothing is left to tell. */
bool takeover_raise_published(struct takeover *takeover, struct tenure *const *tenures, int count, int64_t wait_us);

const char *takeover_problem(const struct takeover *takeover);

#endif
