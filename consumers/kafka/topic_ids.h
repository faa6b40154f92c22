/* Topic ids: which topic of a name Kafka has. One that is deleted and created again has another id, and its offsets
 * begin again: a position in the former one means nothing (PROTOCOL O5).
 *
 * librdkafka tells them from 2.3 on, where this program was built with such a version; brokers have them from 2.8 on.
 * The client that asks does nothing else: 2.8.0 gets no offsets of a topic after it has asked for the id.
 *
 * Threads    any, each with a client of its own.
 * Ownership  the caller destroys the queue of an answer, before its client.
 * Failure    an id that is not told is not known; nothing else stops for it.
 */
#ifndef CONSUMERS_KAFKA_TOPIC_IDS_H
#define CONSUMERS_KAFKA_TOPIC_IDS_H

#include <stdbool.h>
#include <stdint.h>

#include <librdkafka/rdkafka.h>

struct settings;

enum
{
    TOPIC_ID_SIZE = 32,
    TOPIC_WATCH_S = 3, /* a worker asks this often (takeover/topic_watch.h) */
};

/* False: this library, or the one that the program was built with, cannot tell them. */
bool topic_ids_are_told(void);

/* Asks for the ids of the command topics. An answer, which may be that there was none in time, comes to the queue.
 * NULL: they are not told. */
rd_kafka_queue_t *topic_ids_ask(const struct settings *settings, rd_kafka_t *client, int64_t wait_us);

/* The id of one command topic. */
typedef void topic_id_fn(void *owner, const char *topic, const char *id);

/* Waits for the answer. False: it is not there yet. */
bool topic_ids_take(rd_kafka_queue_t *answer, int64_t wait_us, topic_id_fn *tell, void *owner);

/* Asks and waits. */
void topic_ids_read(const struct settings *settings, rd_kafka_t *client, int64_t wait_us, topic_id_fn *tell,
                    void *owner);

#endif
