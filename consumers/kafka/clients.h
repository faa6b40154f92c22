/* Clients: how rd_kafka handles are made here and thrown away. The settings that are not the operator's to choose stand
 * in one table in clients.c, each with its reason.
 *
 * Threads    any; the handle made belongs to the caller's thread.
 * Ownership  the caller destroys with clients_destroy.
 * Failure    NULL with a message. librdkafka 2.0.2 may free twice when rd_kafka_new fails with interceptors set
 *            (confluentinc/librdkafka 4142): the caller treats it as not startable.
 */
#ifndef CONSUMERS_KAFKA_CLIENTS_H
#define CONSUMERS_KAFKA_CLIENTS_H

#include <librdkafka/rdkafka.h>

#include "workflows/base/buffer.h"

struct settings;

enum client_kind
{
    CLIENT_CONSUMER,      /* of the command topics, in the group */
    CLIENT_TRANSACTIONAL, /* the exactly-once publisher */
    CLIENT_IDEMPOTENT,    /* the at-least-once publisher, and the publish verb */
    CLIENT_READER,        /* unsubscribed, read_committed: committed offsets (PROTOCOL O5), scans of a topic */
    CLIENT_ADMIN,
    CLIENT_PROBE, /* a producer of messages that no broker takes (rights.h) */
};

/* Whether librdkafka's own warnings go to the log, as they do at first. A verb that a person waits for tells what went
 * wrong itself, once and with the address. Before the first handle. */
void clients_log_news(bool wanted);

/* Settings of one kind; the caller adds callbacks and ids by clients_set, then calls clients_new. */
rd_kafka_conf_t *clients_conf(const struct settings *settings, enum client_kind kind, struct buffer *reterr);
bool clients_set(rd_kafka_conf_t *conf, const char *name, const char *value, struct buffer *reterr);

/* Takes the conf, also on failure. */
rd_kafka_t *clients_new(enum client_kind kind, rd_kafka_conf_t *conf, struct buffer *reterr);
/* A CLIENT_READER that also tells the end of each partition. NULL: *reterr says why. */
rd_kafka_t *clients_new_reader(const struct settings *settings, struct buffer *reterr);

/* Destroys within `wait_us`. A handle that does not end by then (2.0.2 is known to hang after a broker went away,
 * issues 4674 and 4486) is left to a thread of its own; false then. NULL is fine. */
bool clients_destroy(rd_kafka_t *client, int64_t wait_us);

/* Makes a handle of each kind that a worker needs, connects it to nothing, and ends it: false, with a message, where
 * the operator's pairs (kafka.consumer, kafka.producer) or the files they name cannot work. */
bool clients_try(const struct settings *settings, struct buffer *reterr);

/* Names the parts of the connections to the brokers that are not encrypted or not verified. False: there are none. */
bool clients_find_bare(const struct settings *settings, struct buffer *into);

/* Settings that are known not to work with newer brokers, and why, before any connection. False: there are none. */
bool clients_doubt(const struct settings *settings, struct buffer *into);

/* librdkafka's producev takes `void *` for keys and values that it only copies (RD_KAFKA_MSG_F_COPY). */
static inline void *clients_copied(const char *at)
{
    union
    {
        const char *in;
        void *out;
    } without_const = { at };
    return without_const.out;
}

/* max.poll.interval.ms of every consumer (PROTOCOL O7): JoinGroup's own deadline, and how long the group waits for a
 * member that is to rejoin, which may drain before that. */
int64_t clients_poll_interval_us(const struct settings *settings);

/* A text setting of a handle's conf, for limits that are librdkafka's own. */
int64_t clients_number(const rd_kafka_conf_t *conf, const char *name, int64_t otherwise);

/* "NAME: text" of an error, and destroys it. */
void clients_describe(rd_kafka_error_t *error, struct buffer *into);

#endif
