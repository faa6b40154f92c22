#include "workflows/model/rows_private.h"

#include <assert.h>

enum
{
    LOOK_BUCKETS_MIN = 64, /* as BUCKETS_MIN of rows.c */
    IDS_MIN = 16,
};

/* --- needs ------------------------------------------------------------------------------------------------------- */

void rows_want(struct rows *rows, const struct entity *entity, struct id id)
{
    rows_find_or_make(rows, entity, id, ROW_WANTED);
}

void rows_want_children(struct rows *rows, const struct entity *entity, struct id id)
{
    struct row *row = rows_find_or_make(rows, entity, id, ROW_WANTED);
    if (row)
        row->children_wanted = true;
}

void rows_want_ids(struct rows *rows, const struct entity *entity, int count)
{
    rows->sets[entity->place].ids_wanted += count;
}

/* --- looks ------------------------------------------------------------------------------------------------------- */

/* Equal numbers hash alike: 0 and -0 are equal. */
static uint64_t number_bits(double value)
{
    uint64_t bits;
    value = value == 0 ? 0 : value;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static uint64_t column_hash(uint64_t hash, const struct column *column, const void *content)
{
    const void *field = entity_field_const(column, content);
    switch (column->kind)
    {
    case COLUMN_INT64:
    case COLUMN_INT32:
    case COLUMN_TIME:
        return mix(hash, (uint64_t)((const struct field_int *)field)->value);
    case COLUMN_NUMBER:
        return mix(hash, number_bits(((const struct field_number *)field)->value));
    case COLUMN_BOOL:
        return mix(hash, *(const bool *)field);
    case COLUMN_NAME:
        return mix(hash, (uint64_t) * (const int *)field);
    case COLUMN_UUID:
        return mix(mix(hash, ((const struct id *)field)->high), ((const struct id *)field)->low);
    case COLUMN_TEXT:
    case COLUMN_JSON:
    case COLUMN_JSONB:
    case COLUMN_BYTES:
        break;
    case COLUMN_VECTOR:
        return hash; /* no key */
    }
    const struct span *text = field;
    for (size_t i = 0; i < text->size; i++)
        hash = mix(hash, (unsigned char)text->at[i]);
    return hash;
}

static uint64_t key_hash(const struct entity *entity, int key_count, const void *key)
{
    uint64_t hash = mix((uint64_t)entity->place, (uint64_t)key_count);
    for (int i = 0; i < key_count; i++)
        hash = column_hash(hash, &entity->columns[i], key);
    return hash;
}

static bool key_equal(const struct entity *entity, int key_count, const void *a, const void *b)
{
    for (int i = 0; i < key_count; i++)
        if (!column_equal(&entity->columns[i], a, b))
            return false;
    return true;
}

static struct row_look *look_find(const struct rows *rows, const struct entity *entity, int key_count, const void *key,
                                  uint64_t hash)
{
    if (!rows->look_buckets)
        return NULL;
    struct row_look *look = rows->look_buckets[hash & (rows->look_bucket_count - 1)];
    while (look && !(look->hash == hash && look->entity == entity && look->key_count == key_count &&
                     key_equal(entity, key_count, look->key, key)))
        look = look->bucket;
    return look;
}

static bool looks_grow(struct rows *rows)
{
    size_t bucket_count = rows->look_bucket_count ? rows->look_bucket_count * 2 : LOOK_BUCKETS_MIN;
    struct row_look **buckets = arena_take_zeroed(rows->arena, bucket_count * sizeof(struct row_look *));
    if (!buckets)
        return false;
    for (struct row_look *look = rows->looks; look; look = look->next)
    {
        struct row_look **bucket = &buckets[look->hash & (bucket_count - 1)];
        look->bucket = *bucket;
        *bucket = look;
    }
    rows->look_buckets = buckets;
    rows->look_bucket_count = bucket_count;
    return true;
}

void rows_want_look(struct rows *rows, const struct entity *entity, int key_count, const void *key)
{
    assert(key_count >= 1 && key_count <= entity->key_count);
    uint64_t hash = key_hash(entity, key_count, key);
    if (look_find(rows, entity, key_count, key, hash))
        return;
    if (rows->look_count >= rows->look_bucket_count && !looks_grow(rows))
        return;
    struct row_look *look = arena_take_zeroed(rows->arena, sizeof(*look));
    void *own_key = arena_take(rows->arena, entity->row_size);
    if (!look || !own_key)
        return;
    memcpy(own_key, key, entity->row_size);
    look->entity = entity;
    look->key_count = key_count;
    look->key = own_key;
    look->hash = hash;
    struct row_look **bucket = &rows->look_buckets[hash & (rows->look_bucket_count - 1)];
    look->bucket = *bucket;
    *bucket = look;
    *(rows->last_look ? &rows->last_look->next : &rows->looks) = look;
    rows->last_look = look;
    rows->look_count++;
}

static const struct row *look_first(const struct rows *rows, const struct entity *entity, int key_count,
                                    const void *key)
{
    const struct row_look *look = look_find(rows, entity, key_count, key, key_hash(entity, key_count, key));
    return look ? look->first : NULL;
}

static const void *look_content(const struct row *row)
{
    while (row && row->state != ROW_SEEN)
        row = row->sibling;
    return row ? row->current : NULL;
}

const void *rows_look(const struct rows *rows, const struct entity *entity, int key_count, const void *key)
{
    /* The batch's own version of a row is later than the one that the look saw (PROTOCOL B3). */
    const struct row *own = entity->key_count == 1 ? rows_find(rows, entity, rows_key_id(entity, key)) : NULL;
    if (own && (own->state == ROW_LOADED || own->state == ROW_NEW))
        return own->current;
    if (own && own->state == ROW_DELETED)
        return NULL;
    return look_content(look_first(rows, entity, key_count, key));
}

/* From the content back to its row, so that walking a thousand answers does not search for each of them. */
const void *rows_look_next(const struct rows *rows, const struct entity *entity, int key_count, const void *key,
                           const void *row)
{
    (void)rows;
    (void)key_count;
    (void)key;
    const struct row *owner = image_owner(entity, row);
    return owner->state == ROW_SEEN ? look_content(owner->sibling) : NULL; /* else the batch's own: see rows_look */
}

/* --- loaded rows ------------------------------------------------------------------------------------------------- */

static void hang_loaded(struct rows *rows, struct row *row)
{
    const struct entity *entity = row->entity;
    if (entity->parent == COLUMN_NOT_THERE)
        return;
    const struct field_int *parent_id = entity_field_const(&entity->columns[entity->parent], row->loaded);
    struct row *parent = parent_id->set ? rows_find(rows, entity_parent(entity), id_of(parent_id->value)) : NULL;
    if (parent && parent != row)
        rows_hang_child(row, parent);
}

struct row_look *rows_looks(const struct rows *rows)
{
    return rows->looks;
}

int rows_ids_wanted(const struct rows *rows, const struct entity *entity)
{
    const struct row_set *set = &rows->sets[entity->place];
    return set->ids_wanted > set->ids_given ? set->ids_wanted - set->ids_given : 0;
}

void rows_give_id(struct rows *rows, const struct entity *entity, int64_t id)
{
    struct row_set *set = &rows->sets[entity->place];
    if (set->ids_given == set->ids_capacity)
    {
        int capacity = set->ids_capacity ? set->ids_capacity * 2 : IDS_MIN;
        int64_t *ids = arena_take(rows->arena, (size_t)capacity * sizeof(*ids));
        if (!ids)
            return;
        if (set->ids_given)
            memcpy(ids, set->ids, (size_t)set->ids_given * sizeof(*ids));
        set->ids = ids;
        set->ids_capacity = capacity;
    }
    set->ids[set->ids_given++] = id;
}

struct row *rows_load(struct rows *rows, const struct entity *entity, struct id id)
{
    struct row *row = rows_find_or_make(rows, entity, id, ROW_WANTED);
    if (!row)
        return NULL;
    row->loaded = image_loaded(row);
    memset(row->loaded, 0, entity->row_size);
    return row;
}

void rows_settle(struct rows *rows, struct row *row, enum row_state state)
{
    row->state = state;
    if (state != ROW_LOADED && state != ROW_SEEN)
    {
        row->loaded = row->current = NULL;
        return;
    }
    assert(row->loaded);
    row->current = image_current(row);
    memcpy(row->current, row->loaded, row->entity->row_size);
    if (state == ROW_LOADED)
        hang_loaded(rows, row);
}

struct row *rows_answer(struct rows *rows, struct row_look *look)
{
    struct row *row = rows_make(rows->arena, look->entity, id_of(0), ROW_WANTED);
    if (!row)
        return NULL;
    row->loaded = image_loaded(row);
    memset(row->loaded, 0, look->entity->row_size);
    *(look->last ? &look->last->sibling : &look->first) = row;
    look->last = row;
    return row;
}

struct row *rows_first_appended(const struct rows *rows, const struct entity *entity)
{
    return rows->sets[entity->place].first_appended;
}

int rows_appended_count(const struct rows *rows, const struct entity *entity)
{
    return rows->sets[entity->place].appended_count;
}
