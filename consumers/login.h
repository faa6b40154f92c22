/* Login: what of a handle's SASL settings is known not to work with the librdkafka at hand, before it connects. What
 * the broker says of the others is in contact.h.
 *
 * Threads    any; no state.
 */
#ifndef CONSUMERS_LOGIN_H
#define CONSUMERS_LOGIN_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>

#include "workflows/buffer.h"

enum
{
    LOGIN_SCRAM_CURED = 0x020601ff, /* librdkafka 2.6.1: the first whose SCRAM Kafka 4 takes */
};

/* False, with a message: no connection can ever come of it. */
bool login_is_possible(const rd_kafka_conf_t *conf, struct buffer *reterr);

/* True: newer brokers refuse it as a false password. */
bool login_is_doubtful(const rd_kafka_conf_t *conf);

#endif
