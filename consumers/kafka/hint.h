/* Hint: what an operator can do about an error of Kafka, said right after the error in log and /readyz. An error
 * that passes by itself has none.
 *
 * Threads    any; no state.
 */
#ifndef CONSUMERS_KAFKA_HINT_H
#define CONSUMERS_KAFKA_HINT_H

#include <librdkafka/rdkafka.h>
#include <stddef.h>

/* "; what to do", or "". */
const char *hint_for_error(rd_kafka_resp_err_t error);

/* Why events of a topic might not be answered, from the topic's metadata: it is not there, a partition has no leader,
 * or fewer replicas than it should. librdkafka asks again and again in silence then. "" when nothing is to be seen. */
void hint_for_topic(const struct rd_kafka_metadata_topic *topic, char *into, size_t size);

#endif
