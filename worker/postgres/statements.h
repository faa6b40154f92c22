/* Statements: the set-based SQL of a batch, made from the entity tables (workflows/model/entity.h) once per session
 * owner and kept. Every statement takes arrays, so one prepared text serves any batch size.
 *
 * Threads    one owner, the lane.
 * Ownership  borrows the pipeline; owns its parameter buffers.
 * Failure    false from a send: the session is lost or memory is out; pipeline_failure() tells.
 */
#ifndef WORKER_POSTGRES_STATEMENTS_H
#define WORKER_POSTGRES_STATEMENTS_H

#include "worker/postgres/pipeline.h"
#include "worker/postgres/statement_text.h"
#include "workflows/model/rows.h"

struct statements;

struct statements *statements_new(struct pipeline *pipeline);
void statements_free(struct statements *statements);

/* Row reads. Each is one statement in the pipeline. */
bool statements_send_lock(struct statements *statements, const struct entity *entity, const struct id *ids, int count,
                          enum row_lock lock);
bool statements_send_exist(struct statements *statements, const struct entity *entity, const struct id *ids, int count);
bool statements_send_children_exist(struct statements *statements, const struct entity *entity,
                                    const struct id *parents, int count);
bool statements_send_children_lock(struct statements *statements, const struct entity *entity, const struct id *parents,
                                   int count, enum row_lock lock);
/* Looks with the same entity and key count; answers carry the look's place (0-based) in the first column. */
bool statements_send_look(struct statements *statements, const struct entity *entity, int key_count,
                          const void *const *keys, int count);
bool statements_send_draw(struct statements *statements, const struct entity *entity, int count);

enum
{
    TID_SIZE = 6, /* binary tid: block number, item number */
};

/* Where a locked row lies: the last column of statements_send_lock and _children_lock, TID_SIZE bytes. */
const char *statements_read_ctid(const PGresult *result, int row);

/* Row writes. Rows are pointers to row structs of the entity.
 *
 * An update finds its rows by their places: a row that this transaction has locked stays where it is until it is
 * updated, so the index need not be asked a second time. Rows that are not locked (protections.row_locks off) are found
 * by id: `by_id`. */
bool statements_send_update(struct statements *statements, const struct entity *entity, uint64_t columns,
                            const struct row *const *rows, int count, bool by_id);
bool statements_send_insert(struct statements *statements, const struct entity *entity, const void *const *rows,
                            int count);
bool statements_send_delete(struct statements *statements, const struct entity *entity, const struct id *ids,
                            int count);
/* Counters: rows sorted by id. */
bool statements_send_add(struct statements *statements, const struct entity *entity, const void *const *rows,
                         int count);

/* Rows of the engine's own tables by position: partition ids (int4) and offsets (int8). */
bool statements_send_at_positions(struct statements *statements, const struct entity *entity,
                                  const struct array *partitions, const struct array *offsets);

/* A statement of fixed text with one or more array parameters; `sql` is a literal (its address is the key). */
bool statements_send_fixed(struct statements *statements, const char *sql, const struct array *const *arrays,
                           int count);

/* Fills row fields from the columns of a result, from result column `from` on, in the entity's column order, without
 * COLUMN_UNREAD. Texts are copied into the arena. */
void statements_read_row(const PGresult *result, int row, int from, const struct entity *entity, struct arena *arena,
                         void *into);
struct id statements_read_id(const PGresult *result, int row, int column, const struct column *of);

#endif
