/* Topic ids: which topic of a name Kafka has. One that is deleted and created again has another id, and its offsets
 * begin again: a position in the former one means nothing (PROTOCOL O5).
 *
 * librdkafka tells them from 2.3 on, where this program was built with such a version; brokers have them from 2.8 on.
 *
 * Threads    any; a watch has one owner.
 * Ownership  a watch ends before the client that it asks by.
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
    TOPIC_WATCH_S = 3, /* between two looks of a watch */
};

/* False: this library, or the one that the program was built with, cannot tell them. */
bool topic_ids_are_told(void);

/* The id of one command topic. */
typedef void topic_id_fn(void *owner, const char *topic, const char *id);

/* Asks for the ids of the command topics and waits. False: no answer. */
bool topic_ids_read(const struct settings *settings, rd_kafka_t *client, int64_t wait_us, topic_id_fn *tell,
                    void *owner);

/* Asks every TOPIC_WATCH_S, without waiting. */
struct topic_watch
{
    rd_kafka_queue_t *answer; /* of the question that is out; NULL: none is */
    int64_t asked_us;         /* monotonic; when the last question went out */
};

void topic_watch_step(struct topic_watch *watch, const struct settings *settings, rd_kafka_t *client, int64_t now_us,
                      topic_id_fn *tell, void *owner);
void topic_watch_end(struct topic_watch *watch);

#endif
