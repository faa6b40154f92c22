/* Envelope source: the parts of a message that the envelope reads, without Kafka, so that every case can be tested
 * without a broker.
 *
 * Threads    one owner.
 * Ownership  borrows the message.
 */
#ifndef CONSUMERS_MESSAGE_ENVELOPE_SOURCE_H
#define CONSUMERS_MESSAGE_ENVELOPE_SOURCE_H

#include "workflows/base/span.h"

struct envelope_source
{
    struct span key, value; /* null: none */
    /* `header` NULL: the message has no headers, and neither function is called. The last header of that name; false:
     * there is none. */
    bool (*header)(void *owner, const char *name, struct span *ret_value);
    /* The header at the cursor, which begins at 0 and is moved on; false: there are no more. */
    bool (*next_header)(void *owner, size_t *cursor, struct span *ret_name, struct span *ret_value);
    void *owner;
};

#endif
