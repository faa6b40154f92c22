#include "worker/batch/audit_change.h"

#include <assert.h>
#include <stdlib.h>

#include "worker/base/digest.h"
#include "workflows/base/hex.h"
#include "workflows/document/text.h"

enum
{
    DIGEST_TEXT_MAX = 112, /* {"bytes":18446744073709551615,"sha256":"64 digits"} */
    MEMBER_FRAME = 18,     /* of "key":{"old":...,"new":...} without key and values, and a comma */
};

void audit_change_begin_member(struct buffer *into, const char *name)
{
    if (into->size && into->at[into->size - 1] != '{')
        buffer_add_byte(into, ',');
    buffer_add_byte(into, '"');
    buffer_add_text(into, name);
    buffer_add_text(into, "\":");
}

void audit_change_print_digest(struct span text, struct buffer *into)
{
    uint8_t digest[DIGEST_SHA256_SIZE];
    char text_of_digest[2 * DIGEST_SHA256_SIZE];

    if (!digest_sha256(&text, 1, digest))
    {
        into->failed = true;
        return;
    }
    buffer_add_text(into, "{\"bytes\":");
    buffer_add_int64(into, (int64_t)text.size);
    buffer_add_text(into, ",\"sha256\":\"");
    hex_print(digest, sizeof(digest), text_of_digest);
    buffer_add(into, text_of_digest, sizeof(text_of_digest));
    buffer_add_text(into, "\"}");
}

/* --- JSON columns ------------------------------------------------------------------------------------------------ */

/* A key whose value is another one: its name and values as they are printed; absent is null. */
struct key_change
{
    struct span name, old, new;
};

static struct span keep(struct arena *arena, struct buffer *text)
{
    arena->failed = arena->failed || buffer_failed(text);
    struct span copy = arena_copy(arena, buffer_span(text));
    buffer_done(text);
    return copy;
}

static struct span print_plain(struct arena *arena, struct span json)
{
    struct buffer text = BUFFER_EMPTY;
    if (!json.at)
        return SPAN_LITERAL("null");
    /* No row has a text that is not JSON; such a text is shown as a string all the same. */
    if (!json_text_print_plain(arena, json, &text))
    {
        buffer_clear(&text);
        buffer_add_json_string(&text, json);
    }
    return keep(arena, &text);
}

static int compare_members(const void *a, const void *b)
{
    struct span left = ((const struct json_member *)a)->key, right = ((const struct json_member *)b)->key;
    size_t size = left.size < right.size ? left.size : right.size;
    int order = size ? memcmp(left.at, right.at, size) : 0;
    return order ? order : (left.size > right.size) - (left.size < right.size);
}

static void add_key(struct arena *arena, struct key_change *changes, size_t *count, const struct json_member *old,
                    const struct json_member *new)
{
    assert(old || new);
    if (old && new &&span_equal(old->value, new->value))
        return;
    struct key_change change = { .old = print_plain(arena, old ? old->value : SPAN_NULL),
                                 .new = print_plain(arena, new ? new->value : SPAN_NULL) };
    if (old && new &&span_equal(change.old, change.new))
        return;
    struct buffer name = BUFFER_EMPTY;
    buffer_add_json_string(&name, old ? old->key : new->key);
    change.name = keep(arena, &name);
    changes[(*count)++] = change;
}

/* The keys in which two objects differ, in the order of their bytes. NULL: they are not both objects. */
static struct key_change *find_changes(struct arena *arena, struct span before, struct span after, size_t *ret_count)
{
    struct json_member *old, *new;
    size_t old_count, new_count;
    *ret_count = 0;
    if (!before.at || !after.at || !json_text_read_object(arena, before, &old, &old_count) ||
        !json_text_read_object(arena, after, &new, &new_count))
        return NULL;
    struct key_change *changes = arena_take(arena, (old_count + new_count + 1) * sizeof(*changes));
    if (!changes)
        return NULL;
    qsort(old, old_count, sizeof(*old), compare_members);
    qsort(new, new_count, sizeof(*new), compare_members);
    for (size_t i = 0, n = 0; i < old_count || n < new_count;)
    {
        int order = i == old_count ? 1 : n == new_count ? -1 : compare_members(&old[i], &new[n]);
        add_key(arena, changes, ret_count, order <= 0 ? &old[i] : NULL, order >= 0 ? &new[n] : NULL);
        i += order <= 0;
        n += order >= 0;
    }
    assert(*ret_count <= old_count + new_count); /* as many as there is room for */
    return changes;
}

static size_t least_size(struct span value)
{
    return value.size < DIGEST_TEXT_MAX ? value.size : DIGEST_TEXT_MAX;
}

/* The value where there is room for it, else its digest. `spare` is the room left when all values take the least. */
static void add_value(struct span value, size_t *spare, struct buffer *into)
{
    size_t more = value.size - least_size(value);
    if (more > *spare)
    {
        audit_change_print_digest(value, into);
        return;
    }
    *spare -= more;
    buffer_add_span(into, value);
}

static void add_pair(struct span old, struct span new, size_t *spare, struct buffer *into)
{
    buffer_add_text(into, "{\"old\":");
    add_value(old, spare, into);
    buffer_add_text(into, ",\"new\":");
    add_value(new, spare, into);
    buffer_add_byte(into, '}');
}

/* A value that is not an object, or in which too many keys changed, is shown whole. */
static void add_whole(struct arena *arena, const char *name, struct span before, struct span after, bool digests,
                      struct buffer *into)
{
    struct span old = print_plain(arena, before), new = print_plain(arena, after);
    if (span_equal(old, new))
        return;
    audit_change_begin_member(into, name);
    assert(least_size(old) + least_size(new) <= AUDIT_JSON_MAX - MEMBER_FRAME); /* or `spare` would be without bound */
    size_t spare = AUDIT_JSON_MAX - MEMBER_FRAME - least_size(old) - least_size(new);
    if (!digests)
    {
        add_pair(old, new, &spare, into);
        return;
    }
    buffer_add_text(into, "{\"old\":");
    audit_change_print_digest(old, into);
    buffer_add_text(into, ",\"new\":");
    audit_change_print_digest(new, into);
    buffer_add_byte(into, '}');
}

/* Nothing where the two are equal: a text from PostgreSQL has other spaces than one that was printed here. */
static void print_json(struct arena *arena, const char *name, struct span before, struct span after,
                       struct buffer *into)
{
    size_t count, least = 2;
    const struct key_change *changes = find_changes(arena, before, after, &count);
    for (size_t i = 0; i < count; i++)
        least += MEMBER_FRAME + changes[i].name.size + least_size(changes[i].old) + least_size(changes[i].new);
    if (!changes || least > AUDIT_JSON_MAX)
        add_whole(arena, name, before, after, changes != NULL, into);
    if (!changes || least > AUDIT_JSON_MAX || count == 0)
        return;
    size_t spare = AUDIT_JSON_MAX - least;
    audit_change_begin_member(into, name);
    for (size_t i = 0; i < count; i++)
    {
        buffer_add_byte(into, i ? ',' : '{');
        buffer_add_span(into, changes[i].name);
        buffer_add_byte(into, ':');
        add_pair(changes[i].old, changes[i].new, &spare, into);
    }
    buffer_add_byte(into, '}');
}

/* --- columns ----------------------------------------------------------------------------------------------------- */

static void print_text(struct span text, enum audit_detail detail, struct buffer *into)
{
    if (detail != AUDIT_WHOLE && text.at && text.size > DIGEST_TEXT_MAX)
        audit_change_print_digest(text, into);
    else
        buffer_add_json_string(into, text);
}

static void print_field(const struct column *column, const void *content, enum audit_detail detail, struct buffer *into)
{
    const void *field = content ? entity_field_const(column, content) : NULL;
    const struct field_int *integer = field;
    const struct field_number *number = field;
    char uuid[UUID_TEXT_SIZE];

    switch (column->kind)
    {
    case COLUMN_INT64:
    case COLUMN_INT32:
        if (!integer || !integer->set)
            break;
        buffer_add_int64(into, integer->value);
        return;
    case COLUMN_TIME:
        if (!integer || !integer->set)
            break;
        buffer_add_byte(into, '"');
        buffer_add_time(into, integer->value);
        buffer_add_byte(into, '"');
        return;
    case COLUMN_NUMBER:
        if (!number || !number->set)
            break;
        buffer_add_number(into, number->value);
        return;
    case COLUMN_BOOL:
        if (!field)
            break;
        buffer_add_text(into, *(const bool *)field ? "true" : "false");
        return;
    case COLUMN_TEXT:
    case COLUMN_JSON:
    case COLUMN_JSONB:
        print_text(field ? *(const struct span *)field : SPAN_NULL, detail, into);
        return;
    case COLUMN_NAME:
        if (!field || *(const int *)field <= 0)
            break;
        buffer_add_json_string(into, span_of(column->names->names[*(const int *)field]));
        return;
    case COLUMN_UUID:
        if (!field)
            break;
        id_print_uuid(*(const struct id *)field, uuid);
        buffer_add_json_string(into, (struct span){ uuid, sizeof(uuid) });
        return;
    case COLUMN_BYTES:  /* of no aggregate */
    case COLUMN_VECTOR: /* never loaded */
        break;
    }
    buffer_add_text(into, "null");
}

static void print_column(const struct column *column, const void *before, const void *after, enum audit_detail detail,
                         struct arena *arena, struct buffer *into)
{
    if (column->kind == COLUMN_JSON || column->kind == COLUMN_JSONB)
    {
        struct arena_mark mark = arena_mark(arena);
        print_json(arena, column->name, *(const struct span *)entity_field_const(column, before),
                   after ? *(const struct span *)entity_field_const(column, after) : SPAN_NULL, into);
        arena_rewind(arena, mark);
        return;
    }
    audit_change_begin_member(into, column->name);
    buffer_add_text(into, "{\"old\":");
    print_field(column, before, detail, into);
    buffer_add_text(into, ",\"new\":");
    print_field(column, after, detail, into);
    buffer_add_byte(into, '}');
}

static uint64_t bit_of(int column)
{
    assert(column == COLUMN_NOT_THERE || (column >= 0 && column < 64));
    return column == COLUMN_NOT_THERE ? 0 : (uint64_t)1 << column;
}

/* Columns that the event shows elsewhere, or that say nothing about a row of this aggregate. */
static uint64_t left_out(const struct entity *entity)
{
    return bit_of(entity->version) | bit_of(entity->modified_at) | bit_of(entity->modified_by) |
           bit_of(entity->created_at) | bit_of(entity->parent);
}

/* The columns of a row that had a value: those that differ from a row of nulls. */
static uint64_t filled(const struct entity *entity, const void *content)
{
    uint64_t mask = 0;
    for (int i = entity->key_count; i < entity->column_count; i++)
    {
        const struct column *column = &entity->columns[i];
        const void *field = entity_field_const(column, content);
        bool set = true;
        if (column->kind == COLUMN_INT64 || column->kind == COLUMN_INT32 || column->kind == COLUMN_TIME)
            set = ((const struct field_int *)field)->set;
        else if (column->kind == COLUMN_NUMBER)
            set = ((const struct field_number *)field)->set;
        else if (column->kind == COLUMN_TEXT || column->kind == COLUMN_JSON || column->kind == COLUMN_JSONB)
            set = ((const struct span *)field)->at != NULL;
        else if (column->kind == COLUMN_NAME)
            set = *(const int *)field > 0;
        if (set && !(column->flags & COLUMN_UNREAD))
            mask |= bit_of(i);
    }
    return mask;
}

void audit_change_print(const struct entity *entity, const void *before, const void *after, enum audit_detail detail,
                        struct arena *arena, struct buffer *into)
{
    uint64_t mask = after ? entity_difference(entity, before, after) : filled(entity, before);
    mask &= ~left_out(entity);
    for (int i = entity->key_count; i < entity->column_count; i++)
        if (mask >> i & 1)
            print_column(&entity->columns[i], before, after, detail, arena, into);
}
