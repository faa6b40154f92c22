/* Event id: the id of a command's audit event, derived and never drawn, so that the same decision always has the same
 * id (PROTOCOL R3).
 *
 * Threads    any.
 * Failure    false: no memory; the id is all zeros and must not be used.
 */
#ifndef WORKER_BATCH_EVENT_ID_H
#define WORKER_BATCH_EVENT_ID_H

#include "workflows/base/span.h"

enum
{
    EVENT_ID_SIZE = 16,
};

/* RFC 4122 version 5 over "<identity in hexadecimal>/<topic>/<partition>/<offset>" in the namespace of this project.
 * False: no memory, and `ret` is zero. */
bool event_id_make(const uint8_t identity[16], struct span topic, int32_t partition, int64_t offset,
                   uint8_t ret[EVENT_ID_SIZE]);

#endif
