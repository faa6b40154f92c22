/* Set aside: the row of a parked command, which waits in PostgreSQL and comes back (PROTOCOL L4). Columns that others
 * write, or that PostgreSQL fills, are not here. The row of a dead letter is made of others' columns too (letters.c).
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

extern const struct entity entity_parked_command;

#endif
