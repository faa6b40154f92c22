/* Set aside: the row of a parked command, which waits in PostgreSQL and comes back (PROTOCOL L4), and the row of a dead
 * letter. Columns that others write, or that PostgreSQL fills, are not here: of a letter its state, and what is copied
 * from other rows (letters.c).
 *
 * Threads    values; no state.
 * Ownership  spans are borrowed from whoever filled the row.
 */
#ifndef WORKER_BATCH_SET_ASIDE_H
#define WORKER_BATCH_SET_ASIDE_H

#include "workflows/model/entity.h"

struct parked_row
{
    struct id identity;
    struct field_int kafka_offset, fence, partition_id, due_at; /* due_at: Unix microseconds, or ARRAY_TIME_INFINITE */
    bool blocks, waits;
    struct span reason, aggregate, command_source, command_id, command_type;
    struct span kafka_key, headers, value, tenant;
    struct field_int pause_id; /* the pause that it waits for; null: none */
};

/* A text that is null cannot be kept, or is not known. */
struct letter_row
{
    struct field_int partition_id, kafka_offset;
    struct span digest;
    struct field_int fence, first_failed_at, bytes, attempts; /* bytes: of the message's value */
    struct span reason, key, says, command_source, command_id, command_type;
};

extern const struct entity entity_parked_command, entity_dead_letter;

#endif
