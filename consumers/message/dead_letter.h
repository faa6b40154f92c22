/* Dead letter: a message that cannot be read as a command, as it is put on <topic>.dlq (CONTRACT.md): raw bytes,
 * original key and headers, and what happened to it. Names of ours that the message carries already (it was redriven)
 * are replaced, never appended. Over the producer's limit it is cut, because a message that cannot be produced would
 * stop the cell for ever (PROTOCOL R5).
 *
 * Threads    pure; the caller's.
 * Ownership  key and value point into the delivery; the headers are handed to rd_kafka_producev or dead_letter_done.
 * Failure    false: out of memory.
 */
#ifndef CONSUMERS_MESSAGE_DEAD_LETTER_H
#define CONSUMERS_MESSAGE_DEAD_LETTER_H

#include <librdkafka/rdkafka.h>

#include "worker/delivery.h"

struct dead_letter
{
    struct span key, value;
    rd_kafka_headers_t *headers;
};

/* `limit`: the producer's message.max.bytes. */
bool dead_letter_make(const struct delivery *delivery, const char *group, size_t limit, struct dead_letter *ret);
void dead_letter_done(struct dead_letter *letter);

#endif
