/* Audit positions: an offset of each partition of the audit topic, behind which something is to be looked for.
 *
 * Threads    a value; its owner alone touches it.
 * Ownership  audit_positions_done frees.
 * Failure    where memory is out the positions become none: then everything is looked at.
 */
#ifndef CONSUMERS_PARTITION_AUDIT_POSITIONS_H
#define CONSUMERS_PARTITION_AUDIT_POSITIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "workflows/base/buffer.h"

struct audit_positions
{
    int64_t *at;
    int count; /* partitions; 0: nothing is known. One that is not among them came later: its offset is 0 */
};

#define AUDIT_POSITIONS_NONE ((struct audit_positions){ NULL, 0 })

void audit_positions_done(struct audit_positions *positions);

/* Raises the position of a partition, 0 or more. */
void audit_positions_raise(struct audit_positions *positions, int32_t partition, int64_t offset);

/* To the lower one of each partition; where `from` knows nothing, nothing is known. */
void audit_positions_lower(struct audit_positions *positions, const struct audit_positions *from);

bool audit_positions_copy(struct audit_positions *positions, const struct audit_positions *from);

/* PostgreSQL's text of a bigint[]. */
void audit_positions_print(const struct audit_positions *positions, struct buffer *into);
void audit_positions_read(struct audit_positions *positions, const char *text);

#endif
