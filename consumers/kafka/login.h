/* Login: what can be said of a handle's settings of TLS and SASL before it connects: what cannot work with the
 * librdkafka at hand, and what is not protected. The broker's answers are in contact.h.
 *
 * Threads    any; no state.
 */
#ifndef CONSUMERS_KAFKA_LOGIN_H
#define CONSUMERS_KAFKA_LOGIN_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>

#include "workflows/base/buffer.h"

enum
{
    LOGIN_SCRAM_CURED = 0x020601ff, /* librdkafka 2.6.1: the first whose SCRAM Kafka 4 takes */
};

/* False, with a message: no connection can ever come of it. */
bool login_is_possible(const rd_kafka_conf_t *conf, struct buffer *reterr);

/* True: newer brokers refuse it as a false password. */
bool login_is_doubtful(const rd_kafka_conf_t *conf);

/* The part of the connection that is not encrypted or not verified; NULL: there is none. */
const char *login_find_bare(const rd_kafka_conf_t *conf);

#endif
