/* Statement text: the SQL of the set-based statements, written from an entity table. statements.h says how they are
 * used.
 *
 * Threads    any; no state.
 */
#ifndef WORKER_POSTGRES_STATEMENT_TEXT_H
#define WORKER_POSTGRES_STATEMENT_TEXT_H

#include "workflows/model/entity.h"

/* How rows are taken: FOR NO KEY UPDATE SKIP LOCKED (PROTOCOL B1 a), the same but waiting its turn (B2), or, in test
 * builds with protections.row_locks off, not at all. */
enum row_lock
{
    ROW_LOCK_SKIP,
    ROW_LOCK_WAIT,
    ROW_LOCK_NONE,
};

/* The purpose of a kept statement. Its key: the entity (or the literal's address), the kind, and a detail: the columns
 * of an update or insert, the key count of a look, the enum row_lock of a lock. */
enum statement_kind
{
    STATEMENT_FIXED,
    STATEMENT_LOCK,
    STATEMENT_EXIST,
    STATEMENT_CHILDREN_EXIST,
    STATEMENT_CHILDREN_LOCK,
    STATEMENT_LOOK,
    STATEMENT_DRAW,
    STATEMENT_UPDATE,
    STATEMENT_UPDATE_BY_ID,
    STATEMENT_INSERT,
    STATEMENT_DELETE,
    STATEMENT_ADD,
    STATEMENT_AT_POSITIONS,
};

/* The entity's columns of a table alias t, unread ones apart, in its order, as statements_read_row reads them. */
void statement_write_columns(struct buffer *sql, const struct entity *entity);

/* Writes the text; returns the number of parameters. */
int statement_write(struct buffer *sql, const struct entity *entity, enum statement_kind kind, uint64_t detail);

#endif
