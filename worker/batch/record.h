/* Batch record: the audit record of a command, filled while it is decided. For worker/batch/decide.c and
 * worker/batch/record.c.
 *
 * Threads    the lane's.
 * Ownership  texts live in the batch's arena.
 * Failure    no memory: the arena has failed, and the batch is given up.
 */
#ifndef WORKER_BATCH_RECORD_H
#define WORKER_BATCH_RECORD_H

#include "worker/batch/item.h"

/* The part of the record that does not depend on the outcome. */
void record_begin(struct batch *batch, struct item *item);

/* Version, status, person and group of the command's own aggregate before and after; `before` NULL: it was not there.
 */
void record_change(struct audit_record *record, const struct entity *entity, const void *before, const void *after);

/* The rest of the record of an applied command, whose step is not kept yet: operation, metadata, further aggregates
 * (PROTOCOL B7). False: the event would be too large (PROTOCOL R5), or list more aggregates than it may. */
bool record_tale(struct batch *batch, struct item *item, const struct decision *decision);
bool record_is_too_large(const struct audit_record *record);

struct span record_aggregate(struct batch *batch, struct aggregate aggregate);
struct span record_text(struct batch *batch, const struct buffer *text);
/* For assertions: the column's field is a field_int. */
static inline bool record_is_number(const struct column *column)
{
    return column->kind == COLUMN_INT64 || column->kind == COLUMN_INT32 || column->kind == COLUMN_TIME;
}

/* A number of the row; null where it has no such column, or there is no row. */
struct field_int record_number(const struct entity *entity, int column, const void *content);
/* A deleted row is judged by its content before. */
bool record_is_root(const struct row *row, const void *before);

#endif
