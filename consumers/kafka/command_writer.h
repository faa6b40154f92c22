/* Command writer: puts messages on a command topic and learns which of them the broker took. For the publish verb.
 *
 * Threads    one caller.
 * Ownership  key and value are copied by command_writer_send.
 * Failure    a message that was not delivered is counted, with the last reason; nothing is retried beyond librdkafka's
 *            own idempotent retries.
 */
#ifndef CONSUMERS_KAFKA_COMMAND_WRITER_H
#define CONSUMERS_KAFKA_COMMAND_WRITER_H

#include "workflows/base/buffer.h"

struct settings;
struct command_writer;

struct command_writer_counts
{
    long delivered, failed;
    char last_error[480]; /* of a failed one; "" when none failed */
};

/* Called once, when messages wait and nothing was reported for `silent_us`; `why` is librdkafka's reason, or "". */
typedef void command_writer_silence_fn(void *owner, const char *why);
void command_writer_on_silence(struct command_writer *writer, int64_t silent_us, command_writer_silence_fn *tell,
                               void *owner);

struct command_writer *command_writer_new(const struct settings *settings, const char *topic, struct buffer *reterr);
void command_writer_free(struct command_writer *writer);

/* A null key spreads. Waits while the client's queue is full. False: refused at once, *reterr says why. */
bool command_writer_send(struct command_writer *writer, struct span key, struct span value, struct buffer *reterr);

/* Waits until every message is answered, or `wait_us` passed; returns how many are still out. For callers that look at
 * something else between two waits. */
int command_writer_wait(struct command_writer *writer, int64_t wait_us);

/* Waits until every message is answered, or `wait_us` passed; what is still out then counts as failed. */
struct command_writer_counts command_writer_finish(struct command_writer *writer, int64_t wait_us);

#endif
