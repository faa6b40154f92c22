#include "workflows/model/rows_private.h"

#include <assert.h>

enum
{
    BUCKETS_MIN = 64, /* per entity; a power of two, doubled when there are as many rows */
};

/* --- memory ------------------------------------------------------------------------------------------------------ */

struct row *rows_make(struct arena *arena, const struct entity *entity, struct id id, enum row_state state)
{
    struct row *row = arena_take(arena, aligned(sizeof(struct row)) + 2 * aligned(entity->row_size));
    if (row)
        *row = (struct row){ .entity = entity, .id = id, .state = state };
    return row;
}

static void *spare_of(struct rows *rows)
{
    assert(arena_failed(rows->arena));
    memset(rows->spare, 0, rows->spare_size);
    return rows->spare;
}

struct rows *rows_new(struct arena *arena)
{
    struct rows *rows = arena_take_zeroed(arena, sizeof(*rows));
    if (!rows)
        return NULL;
    rows->arena = arena;
    for (int i = 0; entities[i]; i++)
        if (entities[i]->row_size > rows->spare_size)
            rows->spare_size = entities[i]->row_size;
    rows->spare = arena_take(arena, rows->spare_size);
    rows->met_busy = arena_take_zeroed(arena, sizeof(*rows->met_busy));
    return rows->spare && rows->met_busy ? rows : NULL;
}

/* --- finding ----------------------------------------------------------------------------------------------------- */

static size_t bucket_of(struct id id, size_t bucket_count)
{
    return (size_t)mix(mix(0, id.low), id.high) & (bucket_count - 1);
}

struct row *rows_find(const struct rows *rows, const struct entity *entity, struct id id)
{
    const struct row_set *set = &rows->sets[entity->place];
    if (!set->buckets)
        return NULL;
    struct row *row = set->buckets[bucket_of(id, set->bucket_count)];
    while (row && !id_equal(row->id, id))
        row = row->bucket;
    return row;
}

static bool set_grow(struct rows *rows, struct row_set *set)
{
    size_t bucket_count = set->bucket_count ? set->bucket_count * 2 : BUCKETS_MIN;
    struct row **buckets = arena_take_zeroed(rows->arena, bucket_count * sizeof(struct row *));
    if (!buckets)
        return false;
    for (struct row *row = set->first; row; row = row->next)
    {
        struct row **bucket = &buckets[bucket_of(row->id, bucket_count)];
        row->bucket = *bucket;
        *bucket = row;
    }
    set->buckets = buckets;
    set->bucket_count = bucket_count;
    return true;
}

struct row *rows_find_or_make(struct rows *rows, const struct entity *entity, struct id id, enum row_state state)
{
    assert(entity->key_count == 1);
    struct row *row = rows_find(rows, entity, id);
    if (row)
        return row;
    struct row_set *set = &rows->sets[entity->place];
    if ((size_t)set->count >= set->bucket_count && !set_grow(rows, set))
        return NULL;
    row = rows_make(rows->arena, entity, id, state);
    if (!row)
        return NULL;
    struct row **bucket = &set->buckets[bucket_of(id, set->bucket_count)];
    row->bucket = *bucket;
    *bucket = row;
    *(set->last ? &set->last->next : &set->first) = row;
    set->last = row;
    set->count++;
    return row;
}

/* --- key columns ------------------------------------------------------------------------------------------------- */

struct id rows_key_id(const struct entity *entity, const void *content)
{
    const struct column *key = &entity->columns[0];
    if (key->kind == COLUMN_UUID)
        return *(const struct id *)entity_field_const(key, content);
    return id_of(((const struct field_int *)entity_field_const(key, content))->value);
}

static void key_set(const struct entity *entity, void *content, struct id id)
{
    const struct column *key = &entity->columns[0];
    if (key->kind == COLUMN_UUID)
        *(struct id *)entity_field(key, content) = id;
    else
        *(struct field_int *)entity_field(key, content) = int_of((int64_t)id.low);
}

/* --- children ---------------------------------------------------------------------------------------------------- */

static int id_order(struct id a, struct id b)
{
    if (a.high != b.high)
        return a.high < b.high ? -1 : 1;
    return a.low == b.low ? 0 : a.low < b.low ? -1 : 1;
}

static void child_unhang(struct row *row)
{
    struct row *parent = row->parent, *before = NULL;
    for (struct row *child = parent->children; child != row; child = child->sibling)
        before = child;
    *(before ? &before->sibling : &parent->children) = row->sibling;
    if (parent->last_child == row)
        parent->last_child = before;
    row->parent = row->sibling = NULL;
}

/* Children come mostly in id order, so the end is tried first. */
void rows_hang_child(struct row *row, struct row *parent)
{
    if (row->parent == parent)
        return;
    if (row->parent)
        child_unhang(row);
    struct row *before = parent->last_child;
    if (before && id_order(before->id, row->id) > 0)
    {
        before = NULL;
        for (struct row *child = parent->children; id_order(child->id, row->id) < 0; child = child->sibling)
            before = child;
    }
    struct row **link = before ? &before->sibling : &parent->children;
    row->sibling = *link;
    *link = row;
    row->parent = parent;
    if (!row->sibling)
        parent->last_child = row;
}

/* Reading says what it could not see: a row in another's hands reads like an absent one. */
static bool exists_now(const struct rows *rows, const struct row *row)
{
    if (row && row->state == ROW_BUSY)
        *rows->met_busy = true;
    return row && row_exists(row);
}

static const void *child_content(const struct rows *rows, const struct entity *entity, const struct row *row)
{
    while (row && (row->entity != entity || !exists_now(rows, row)))
        row = row->sibling;
    return row ? row->current : NULL;
}

const void *rows_first_child(const struct rows *rows, const struct entity *entity, struct id parent)
{
    const struct row *row = rows_find(rows, entity_parent(entity), parent);
    return row ? child_content(rows, entity, row->children) : NULL;
}

const void *rows_next_child(const struct rows *rows, const struct entity *entity, const void *child)
{
    const struct row *row = rows_find(rows, entity, rows_key_id(entity, child));
    return row ? child_content(rows, entity, row->sibling) : NULL;
}

/* --- reading ----------------------------------------------------------------------------------------------------- */

const void *rows_read(const struct rows *rows, const struct entity *entity, struct id id)
{
    const struct row *row = rows_find(rows, entity, id);
    return exists_now(rows, row) ? row->current : NULL;
}

/* --- changing ---------------------------------------------------------------------------------------------------- */

/* Notes the row as it is before the step changes it, once a step. */
static void journal(struct rows *rows, struct row *row)
{
    assert(rows->in_step);
    if (row->step == rows->step)
        return;
    bool there = row_exists(row) || row->state == ROW_ADDED;
    size_t size = there ? row->entity->row_size : 0;
    struct row_edit *edit = arena_take(rows->arena, aligned(sizeof(*edit)) + size);
    if (!edit)
        return;
    void *before = there ? (char *)edit + aligned(sizeof(*edit)) : NULL;
    if (there)
        memcpy(before, row->current, size);
    *edit = (struct row_edit){
        .row = row, .before = before, .state_before = row->state, .reborn_before = row->reborn, .next = rows->edits
    };
    rows->edits = edit;
    row->step = rows->step;
}

void *rows_edit(struct rows *rows, const struct entity *entity, struct id id)
{
    struct row *row = rows_find(rows, entity, id);
    if (!row && arena_failed(rows->arena))
        return spare_of(rows);
    assert(row && (row->state == ROW_LOADED || row->state == ROW_NEW));
    journal(rows, row);
    return row->current;
}

static void *begin_content(struct row *row, enum row_state state)
{
    row->state = state;
    row->current = image_current(row);
    memset(row->current, 0, row->entity->row_size);
    key_set(row->entity, row->current, row->id);
    return row->current;
}

void *rows_insert(struct rows *rows, const struct entity *entity, struct id id)
{
    struct row *row = rows_find_or_make(rows, entity, id, ROW_ABSENT);
    if (!row)
        return spare_of(rows);
    if (exists_now(rows, row) || row->state == ROW_BUSY)
        return NULL;
    assert(row->state == ROW_ABSENT || row->state == ROW_DELETED);
    journal(rows, row);
    /* Deleted and inserted again within one batch: PostgreSQL has the row as it was, with columns that were never read,
     * so it is deleted and inserted there, too. */
    row->reborn = row->state == ROW_DELETED;
    return begin_content(row, row->reborn ? ROW_LOADED : ROW_NEW);
}

void *rows_insert_child(struct rows *rows, const struct entity *entity, struct id id, struct id parent)
{
    assert(entity->parent != COLUMN_NOT_THERE);
    void *content = rows_insert(rows, entity, id);
    if (!content)
        return NULL;
    *(struct field_int *)entity_field(&entity->columns[entity->parent], content) = int_of((int64_t)parent.low);
    struct row *row = rows_find(rows, entity, id);
    struct row *root = rows_find(rows, entity_parent(entity), parent);
    assert(root || arena_failed(rows->arena));
    if (row && root)
        rows_hang_child(row, root);
    return content;
}

void rows_delete(struct rows *rows, const struct entity *entity, struct id id)
{
    struct row *row = rows_find(rows, entity, id);
    if (!row && arena_failed(rows->arena))
        return;
    assert(row && (row->state == ROW_LOADED || row->state == ROW_NEW));
    journal(rows, row);
    /* Inserted and deleted within one batch cancels: PostgreSQL never hears of it. */
    row->state = row->state == ROW_NEW ? ROW_ABSENT : ROW_DELETED;
    row->current = NULL;
}

void *rows_add(struct rows *rows, const struct entity *entity, struct id id)
{
    struct row *row = rows_find_or_make(rows, entity, id, ROW_ABSENT);
    if (!row)
        return spare_of(rows);
    journal(rows, row);
    if (row->state == ROW_ADDED)
        return row->current;
    void *content = begin_content(row, ROW_ADDED);
    for (int i = 0; i < entity->column_count; i++)
        if (entity->columns[i].flags & COLUMN_ADDED)
            *(struct field_int *)entity_field(&entity->columns[i], content) = int_of(0);
    return content;
}

static struct row_set *set_touch(struct rows *rows, const struct entity *entity)
{
    struct row_set *set = &rows->sets[entity->place];
    assert(rows->in_step);
    if (set->step == rows->step)
        return set;
    set->step = rows->step;
    set->mark_appended = set->last_appended;
    set->mark_count = set->appended_count;
    set->mark_taken = set->ids_taken;
    set->touched = rows->touched;
    rows->touched = set;
    return set;
}

void *rows_append(struct rows *rows, const struct entity *entity)
{
    struct row_set *set = set_touch(rows, entity);
    struct row *row = rows_make(rows->arena, entity, id_of(0), ROW_NEW);
    if (!row)
        return spare_of(rows);
    row->current = image_current(row);
    memset(row->current, 0, entity->row_size);
    *(set->last_appended ? &set->last_appended->next : &set->first_appended) = row;
    set->last_appended = row;
    set->appended_count++;
    return row->current;
}

int64_t rows_take_id(struct rows *rows, const struct entity *entity)
{
    struct row_set *set = set_touch(rows, entity);
    while (set->ids_taken < set->ids_given)
    {
        int64_t id = set->ids[set->ids_taken++];
        /* The sequence skips rows in use, but cannot see a row that an earlier command of this batch made. */
        const struct row *row = rows_find(rows, entity, id_of(id));
        if (!row || row->state == ROW_ABSENT)
            return id;
    }
    rows->arena->failed = true;
    return 0;
}

/* --- the engine's side ------------------------------------------------------------------------------------------- */

struct row *rows_first(const struct rows *rows, const struct entity *entity)
{
    return rows->sets[entity->place].first;
}

int rows_count(const struct rows *rows, const struct entity *entity)
{
    return rows->sets[entity->place].count;
}

void rows_begin(struct rows *rows)
{
    assert(!rows->in_step);
    rows->in_step = true;
    rows->step++;
    *rows->met_busy = false;
    rows->edits = NULL;
    rows->touched = NULL;
}

void rows_keep(struct rows *rows)
{
    assert(rows->in_step);
    rows->in_step = false;
}

void rows_undo(struct rows *rows)
{
    assert(rows->in_step);
    rows->in_step = false;
    for (struct row_edit *edit = rows->edits; edit; edit = edit->next)
    {
        struct row *row = edit->row;
        row->state = edit->state_before;
        row->reborn = edit->reborn_before;
        row->current = edit->before ? image_current(row) : NULL;
        if (edit->before)
            memcpy(row->current, edit->before, row->entity->row_size);
    }
    for (struct row_set *set = rows->touched; set; set = set->touched)
    {
        set->last_appended = set->mark_appended;
        *(set->last_appended ? &set->last_appended->next : &set->first_appended) = NULL;
        set->appended_count = set->mark_count;
        set->ids_taken = set->mark_taken;
    }
    rows->edits = NULL;
    rows->touched = NULL;
}

bool rows_met_busy(const struct rows *rows)
{
    return *rows->met_busy;
}

struct row_edit *rows_edits(const struct rows *rows)
{
    return rows->edits;
}
