/* Contact: why the brokers could not be talked to, per handle, in librdkafka's words and with the address:
 * "sasl_ssl://kafka-1:9093/bootstrap: SSL handshake failed: ... certificate verify failed ...". The error of a call
 * that needed a broker says no more than that there was none.
 *
 * Threads    any: librdkafka's own threads note, the thread that waits for an answer reads.
 * Locks      one mutex, held for a copy.
 * Ownership  a note lives until its handle has ended (contact_forget).
 * Failure    without memory nothing is noted.
 */
#ifndef CONSUMERS_KAFKA_CONTACT_H
#define CONSUMERS_KAFKA_CONTACT_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stddef.h>

#include "workflows/base/buffer.h"

enum
{
    CONTACT_TEXT_MAX = 400,
};

void contact_note(const rd_kafka_t *client, const char *text);
void contact_forget(const rd_kafka_t *client);

/* The last failure to connect or to log in. False, and "", where none is known, or where it is so old that librdkafka
 * would have told it again. */
bool contact_problem(const rd_kafka_t *client, char *into, size_t size);

/* True where another attempt with the same settings must fail as well: certificates, passwords, mechanisms, protocols.
 */
bool contact_is_refused(const rd_kafka_t *client);

/* Adds what a call's error means: its text and what can be done about it (consumers/kafka/hint.h), or, where the error
 * says only that no broker was reached, the reason for that. */
void contact_explain(const rd_kafka_t *client, rd_kafka_resp_err_t error, struct buffer *into);

/* rd_kafka_metadata for `topic` (NULL: every topic), which waits no longer than it makes sense to: not where the
 * brokers refused us. */
rd_kafka_resp_err_t contact_metadata(rd_kafka_t *client, rd_kafka_topic_t *topic,
                                     const struct rd_kafka_metadata **ret_metadata, int wait_ms);

#endif
