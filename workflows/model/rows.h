/* Rows: the rows one batch works on. `needs` says which are wanted, the engine loads them, `decide` reads and edits
 * them, the engine writes what changed.
 *
 * Commands of one batch are decided one after another on the same rows (PROTOCOL B3, folding); each command's edits are
 * one step, kept by rows_keep or undone by rows_undo: a refusal leaves no trace.
 *
 * Threads    one owner, the lane of the batch.
 * Ownership  everything lives in the batch's arena.
 * Failure    out of memory shows in arena_failed; the batch is given up and tried again. Until then every call for a
 *            row to write answers with memory that may be written, so decide has nothing to check. rows_take_id without
 *            an id left shows the same way: a drawn id met a named one in the batch; the next try draws others.
 */
#ifndef WORKFLOWS_MODEL_ROWS_H
#define WORKFLOWS_MODEL_ROWS_H

#include "workflows/base/arena.h"
#include "workflows/model/entity.h"

enum row_state
{
    ROW_WANTED,  /* asked for, not loaded yet */
    ROW_ABSENT,  /* there is no such row */
    ROW_BUSY,    /* there is one, and somebody else holds it (PROTOCOL B2) */
    ROW_LOADED,  /* locked and loaded */
    ROW_SEEN,    /* loaded without a lock: look-ups; never edited */
    ROW_NEW,     /* to be inserted */
    ROW_DELETED, /* loaded, to be deleted */
    ROW_ADDED,   /* a counter's additions */
};

struct row
{
    const struct entity *entity;
    struct id id; /* of entities with one key column */
    enum row_state state;
    bool children_wanted;                    /* of a root: load the rows whose parent it is */
    bool reborn;                             /* ROW_LOADED: deleted, then inserted again: another row of this id */
    uint32_t step;                           /* the last command that edited it */
    uint8_t ctid[8];                         /* of a locked row: where its table keeps it; for the engine */
    void *loaded;                            /* as PostgreSQL has it; NULL for new rows */
    void *current;                           /* as the batch has it now */
    struct row *next;                        /* all rows of its entity, in the order they came */
    struct row *bucket;                      /* hash chain */
    struct row *parent, *children, *sibling; /* children of a root, by id; look at their states */
    struct row *last_child;
};

struct rows;

struct rows *rows_new(struct arena *arena);

/* --- needs: before loading --------------------------------------------------------------------------------------- */

/* A row to lock and load. */
void rows_want(struct rows *rows, const struct entity *entity, struct id id);
/* A root row, named by its own entity, and all its children, of whatever entity. */
void rows_want_children(struct rows *rows, const struct entity *entity, struct id id);
/* A row to look at without a lock, by all key columns of the entity, or by the first `key_count` of them (then
 * several rows may answer). `key` is a row struct in which the key columns are set. */
void rows_want_look(struct rows *rows, const struct entity *entity, int key_count, const void *key);
/* `count` ids for new rows, drawn from the entity's sequence. */
void rows_want_ids(struct rows *rows, const struct entity *entity, int count);

/* --- decide ------------------------------------------------------------------------------------------------------ */

/* The row's current content for reading, or NULL when there is none (absent or deleted). */
const void *rows_read(const struct rows *rows, const struct entity *entity, struct id id);
/* The same for looked-up rows: the first with this key prefix, and the next one after `row`. A row looked up by its
 * id that this batch has locked or made itself is answered as the batch has it now (PROTOCOL B3). */
const void *rows_look(const struct rows *rows, const struct entity *entity, int key_count, const void *key);
const void *rows_look_next(const struct rows *rows, const struct entity *entity, int key_count, const void *key,
                           const void *row);
/* Children of a root in id order that exist now, new ones included: for (c = first; c; c = next). `entity` is the
 * children's. */
const void *rows_first_child(const struct rows *rows, const struct entity *entity, struct id parent);
const void *rows_next_child(const struct rows *rows, const struct entity *entity, const void *child);

/* The row's current content for changing. The row must exist and be locked. */
void *rows_edit(struct rows *rows, const struct entity *entity, struct id id);
/* A new row, zeroed except for its key; NULL when there is one already. `id` must have been wanted or drawn. */
void *rows_insert(struct rows *rows, const struct entity *entity, struct id id);
/* The same for a child row: its parent column is set, and it is among its parent's children at once. */
void *rows_insert_child(struct rows *rows, const struct entity *entity, struct id id, struct id parent);
void rows_delete(struct rows *rows, const struct entity *entity, struct id id);
/* A row that is only ever added (history, logs): zeroed. */
void *rows_append(struct rows *rows, const struct entity *entity);
/* The additions to a counter row; fields start at zero and are added to what is there. */
void *rows_add(struct rows *rows, const struct entity *entity, struct id id);
/* The next id that was drawn for the entity and that no command of this batch has named a row by; 0 when there is none
 * left (see Failure). */
int64_t rows_take_id(struct rows *rows, const struct entity *entity);

/* --- the engine's side ------------------------------------------------------------------------------------------- */

struct row *rows_find(const struct rows *rows, const struct entity *entity, struct id id);
struct row *rows_first(const struct rows *rows, const struct entity *entity); /* not appended ones */
int rows_count(const struct rows *rows, const struct entity *entity);

/* A look that a `want` asked for and that is not answered yet: see rows.c for the iteration. */
struct row_look
{
    const struct entity *entity;
    int key_count;
    const void *key;
    bool answered;
    struct row *first; /* answers, chained by `sibling` */
    struct row_look *next;
    struct row *last;
    struct row_look *bucket; /* hash chain */
    uint64_t hash;
};
struct row_look *rows_looks(const struct rows *rows);
int rows_ids_wanted(const struct rows *rows, const struct entity *entity); /* and not given yet */
void rows_give_id(struct rows *rows, const struct entity *entity, int64_t id);

/* Hands a loaded row in: fields filled by the engine into row->loaded (row_size bytes, zeroed). rows_settle then makes
 * `current` a copy and sets the state. A child is hung under its parent. */
struct row *rows_load(struct rows *rows, const struct entity *entity, struct id id);
void rows_settle(struct rows *rows, struct row *row, enum row_state state);
struct row *rows_answer(struct rows *rows, struct row_look *look); /* a further looked-up row to fill */

/* Appended rows in order. */
struct row *rows_first_appended(const struct rows *rows, const struct entity *entity);
int rows_appended_count(const struct rows *rows, const struct entity *entity);

/* One command's step. Edited rows of the step are in the list of rows_edits (any order, each once),
 * `before` is the content before the step, or NULL when the row did not exist. */
void rows_begin(struct rows *rows);
void rows_keep(struct rows *rows);
void rows_undo(struct rows *rows);
/* Tells whether the step met a row that somebody else holds: it read like an absent one, so the step's outcome
 * means nothing; it is undone and its key held back (PROTOCOL B2). */
bool rows_met_busy(const struct rows *rows);
struct row_edit
{
    struct row *row;
    const void *before;
    enum row_state state_before;
    bool reborn_before;
    struct row_edit *next;
};
/* The edits of the step since rows_begin: with counters, without appended rows. */
struct row_edit *rows_edits(const struct rows *rows);

#endif
