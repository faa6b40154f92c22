/* Refetch: reads single messages of a partition again, by their offsets.
 *
 * Threads    the caller's.
 * Ownership  a message is borrowed for the call of `see`.
 * Failure    false, with a message: not everything was read. A message that is not there any more is no failure: it is
 *            not seen.
 */
#ifndef CONSUMERS_TAKEOVER_REFETCH_H
#define CONSUMERS_TAKEOVER_REFETCH_H

#include <stdbool.h>
#include <stdint.h>

#include "workflows/base/buffer.h"

struct settings;
struct rd_kafka_message_s;

typedef bool refetch_fn(void *owner, struct rd_kafka_message_s *message);

/* `offsets` ascending. `see` answers false to end it as a failure of its own. */
bool refetch_messages(const struct settings *settings, const char *topic, int32_t partition, const int64_t *offsets,
                      int count, refetch_fn *see, void *owner, struct buffer *reterr);

#endif
