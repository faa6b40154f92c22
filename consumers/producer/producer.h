/* Producer: the handle that events and dead letters go out by, from its making to its end, and one publication after
 * another on it. It decides nothing: whether to send again after a failure is the publisher's (PROTOCOL K3).
 *
 * Exactly-once: begin, the offsets, send..., commit, back to back, in one Kafka transaction (PROTOCOL K2).
 * At-least-once: begin and commit are the wait for the delivery reports; their owner commits offsets.
 *
 * rd_kafka_flush is never called: in 2.0.2 it answers in steps of 10 ms. The delivery reports are polled instead.
 *
 * Threads    one owner, the publisher.
 * Ownership  events are copied by librdkafka; group metadata and offsets are borrowed.
 * Failure    PRODUCER_BROKEN: nothing is known about what was sent; the handle must be replaced. producer_problem
 *            says why.
 */
#ifndef CONSUMERS_PRODUCER_PRODUCER_H
#define CONSUMERS_PRODUCER_PRODUCER_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdint.h>

#include "consumers/partition/audit_positions.h"

struct settings;
struct delivery;
struct producer;

enum producer_result
{
    PRODUCER_DONE,
    PRODUCER_AGAIN,  /* not yet: call again */
    PRODUCER_BROKEN, /* throw it away */
};

/* `transactional_id` NULL: at-least-once. Never NULL itself; what failed is told by producer_open. */
struct producer *producer_new(const struct settings *settings);
void producer_free(struct producer *producer);

/* Makes the handle when there is none, and brings it to where a transaction may begin: init_transactions. Waits up to
 * `wait_us`; PRODUCER_AGAIN: call again. */
enum producer_result producer_open(struct producer *producer, const char *transactional_id, int64_t wait_us);
bool producer_is_open(const struct producer *producer);

/* A call failed, or the guard saw a request that did not come back: replace the handle before the next begin. */
bool producer_is_suspect(const struct producer *producer);

/* On the audit topic, behind every event that this handle has published, or, before the first, behind what was there:
 * what is published later is not before them. None: not known. */
const struct audit_positions *producer_positions(const struct producer *producer);

/* Ends the handle, in bounded time. */
void producer_close(struct producer *producer);

enum producer_result producer_begin(struct producer *producer);
/* The offsets, before the events: while the broker still writes the markers of the transaction before, it answers
 * CONCURRENT_TRANSACTIONS. 2.0.2 repeats the request for offsets after retry.backoff.ms, that for partitions of events
 * only after a fixed 20 ms; after the offsets the events meet a coordinator that is free. At-least-once: does nothing.
 */
enum producer_result producer_send_offsets(struct producer *producer, const rd_kafka_topic_partition_list_t *offsets,
                                           const rd_kafka_consumer_group_metadata_t *group, int64_t deadline_us);
/* An event, or a dead letter by the delivery's answer. */
enum producer_result producer_send(struct producer *producer, const struct delivery *delivery);
/* Waits for the delivery reports, then commits. */
enum producer_result producer_commit(struct producer *producer, int64_t deadline_us);

/* Serves the handle's callbacks while nothing is published. */
void producer_idle(struct producer *producer);

/* A quota: how long from now the brokers read nothing that the producer sends, so that a transaction begun meanwhile
 * would only wait. 0: not at all. At the most MUTED_MAX_US: who lowers a quota by mistake and raises it again is not
 * to wait for the first one's time. */
int64_t producer_muted_us(const struct producer *producer);

const char *producer_problem(const struct producer *producer);

#endif
