/* Client: what the measuring programs need of Kafka.
 *
 * Failure    any ends the program with a message: a measurement that went on would say something else.
 */
#ifndef BENCH_CLIENT_H
#define BENCH_CLIENT_H

#include <stdint.h>

#include <librdkafka/rdkafka.h>

struct client_option
{
    const char *name, *value;
};

/* `options` ends with name NULL. bootstrap.servers is KAFKA_BOOTSTRAP of the environment. */
rd_kafka_t *client_new(rd_kafka_type_t type, const struct client_option *options,
                       void (*delivered)(rd_kafka_t *, const rd_kafka_message_t *, void *));

/* Puts a message into the producer's queue, and waits while that is full. */
void client_produce(rd_kafka_t *producer, rd_kafka_topic_t *topic, const void *key, size_t key_size, const void *value,
                    size_t value_size);

/* Every partition of the topic. */
rd_kafka_topic_partition_list_t *client_partitions(rd_kafka_t *client, const char *topic);

void client_fail(const char *what, const char *why) __attribute__((noreturn));

#endif
