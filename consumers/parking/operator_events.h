/* Operator events: the actions of operators as events on the audit topic (CONTRACT.md), by the returner's thread and
 * with its producer. At least once: an action stays in interlock.operator_outbox until the broker has confirmed its
 * event, which has the same id and the same bytes every time. Readers of command events pass over them: their first
 * member is not the id (consumers/takeover/topic_scan.h).
 *
 * Threads    one owner, the returner.
 * Ownership  keeps the topic's name by reference; keeps its messages' places until their reports have come.
 * Failure    `ask` has said why; an event that was not confirmed is published again half a minute later.
 */
#ifndef CONSUMERS_PARKING_OPERATOR_EVENTS_H
#define CONSUMERS_PARKING_OPERATOR_EVENTS_H

#include <librdkafka/rdkafka.h>

#include "consumers/parking/claims.h"

struct operator_events;

struct operator_events *operator_events_new(const char *audit_topic, claims_ask_fn *ask, void *owner);
void operator_events_free(struct operator_events *events);

/* One round: forgets what was confirmed, and publishes what waits; once a second at most. */
void operator_events_step(struct operator_events *events, rd_kafka_t *producer);

/* Whether a delivery report is of one of these events; then it is noted. */
bool operator_events_report(struct operator_events *events, const rd_kafka_message_t *message);

#endif
