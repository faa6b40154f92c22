#include "workflows/document/tree.h"

#include "workflows/document/decimal.h"
#include "workflows/document/text.h"

enum
{
    ROOM_MIN = 8, /* children that a new container has room for */
};

enum form
{
    FORM_NEW,     /* made for a place that was not there; what it is depends on what follows */
    FORM_WRITTEN, /* a value in `text` */
    FORM_OBJECT,  /* opened: `children` */
    FORM_ARRAY,
};

struct value
{
    enum form form;
    struct span key; /* of a member */
    struct span text;
    struct value *children;
    size_t count, room;
};

struct json_tree
{
    struct arena *arena;
    struct value root;
};

static const char no_memory[] = "no memory";

static struct value written(struct span text)
{
    return (struct value){ .form = FORM_WRITTEN, .text = text };
}

struct json_tree *json_tree_new(struct arena *arena, struct span text)
{
    struct json_tree *tree = arena_take(arena, sizeof(*tree));
    if (tree)
        *tree = (struct json_tree){ arena, written(text) };
    return tree;
}

/* --- opening ----------------------------------------------------------------------------------------------------- */

static bool make_room(struct json_tree *tree, struct value *value, size_t count)
{
    if (count <= value->room)
        return true;
    size_t room = count > 2 * value->room ? count : 2 * value->room;
    room = room < ROOM_MIN ? ROOM_MIN : room;
    struct value *children = arena_take(tree->arena, room * sizeof(*children));
    if (!children)
        return false;
    if (value->count)
        memcpy(children, value->children, value->count * sizeof(*children));
    value->children = children;
    value->room = room;
    return true;
}

static const char *open_object(struct json_tree *tree, struct value *value)
{
    struct json_member *members;
    size_t count;
    if (!json_text_read_object(tree->arena, value->text, &members, &count) || !make_room(tree, value, count))
        return arena_failed(tree->arena) ? no_memory : "leads into what is no JSON";
    value->form = FORM_OBJECT;
    value->count = count;
    for (size_t i = 0; i < count; i++)
    {
        value->children[i] = written(members[i].value);
        value->children[i].key = members[i].key;
    }
    return NULL;
}

static const char *open_array(struct json_tree *tree, struct value *value)
{
    struct span *elements;
    size_t count;
    if (!json_text_read_array(tree->arena, value->text, &elements, &count) || !make_room(tree, value, count))
        return arena_failed(tree->arena) ? no_memory : "leads into what is no JSON";
    value->form = FORM_ARRAY;
    value->count = count;
    for (size_t i = 0; i < count; i++)
        value->children[i] = written(elements[i]);
    return NULL;
}

static bool is_space(char byte)
{
    return byte == ' ' || byte == '\n' || byte == '\t' || byte == '\r';
}

static char first_byte(const struct value *value)
{
    size_t at = 0;
    while (at < value->text.size && is_space(value->text.at[at]))
        at++;
    return at < value->text.size ? value->text.at[at] : '\0';
}

/* Turns a written object or array into children; other values stay as they are. */
static const char *open_value(struct json_tree *tree, struct value *value)
{
    if (value->form != FORM_WRITTEN)
        return NULL;
    char byte = first_byte(value);
    return byte == '{' ? open_object(tree, value) : byte == '[' ? open_array(tree, value) : NULL;
}

/* --- places ------------------------------------------------------------------------------------------------------ */

static struct value *find_member(const struct value *object, struct span key)
{
    for (size_t i = 0; i < object->count; i++)
        if (span_equal(object->children[i].key, key))
            return &object->children[i];
    return NULL;
}

/* *ret NULL: there is no such child. *ret_fits: it could be added, as the last. */
static const char *find_child(struct json_tree *tree, struct value *value, struct span step, struct value **ret,
                              bool *ret_fits)
{
    *ret = NULL;
    *ret_fits = false;
    const char *why = open_value(tree, value);
    if (why)
        return why;
    if (value->form == FORM_OBJECT)
    {
        *ret = find_member(value, step);
        *ret_fits = true;
        return NULL;
    }
    if (value->form != FORM_ARRAY)
        return NULL;
    size_t index;
    enum pointer_index kind = pointer_read_index(step, &index);
    if (kind == POINTER_NO_INDEX)
        return "leads into an array by what is no index";
    if (kind == POINTER_AT_INDEX && index < value->count)
        *ret = &value->children[index];
    *ret_fits = kind == POINTER_AFTER_END || index == value->count;
    return NULL;
}

/* The value at the pointer, or NULL in *ret, and the value it lies in (NULL for the root). */
static const char *find(struct json_tree *tree, const struct pointer *pointer, struct value **ret_in,
                        struct value **ret)
{
    *ret_in = NULL;
    *ret = &tree->root;
    for (size_t i = 0; i < pointer->count && *ret; i++)
    {
        bool fits;
        *ret_in = *ret;
        const char *why = find_child(tree, *ret_in, pointer->steps[i], ret, &fits);
        if (why)
            return why;
    }
    return NULL;
}

/* The place, made where it is not there yet. */
static const char *reach(struct json_tree *tree, const struct pointer *pointer, struct value **ret)
{
    struct value *value = &tree->root;
    for (size_t i = 0; i < pointer->count; i++)
    {
        struct value *child;
        bool fits;
        if (value->form == FORM_NEW)
            value->form = FORM_OBJECT;
        const char *why = find_child(tree, value, pointer->steps[i], &child, &fits);
        if (why)
            return why;
        if (!child && !fits)
            return value->form == FORM_ARRAY ? "leads beyond the end of an array"
                                             : "leads into a value that is neither object nor array";
        if (!child)
        {
            if (!make_room(tree, value, value->count + 1))
                return no_memory;
            child = &value->children[value->count++];
            *child = (struct value){ .form = FORM_NEW, .key = pointer->steps[i] };
        }
        value = child;
    }
    *ret = value;
    return NULL;
}

/* --- changes ----------------------------------------------------------------------------------------------------- */

static void put(struct value *place, struct span text)
{
    struct span key = place->key;
    *place = written(text);
    place->key = key;
}

const char *json_tree_set(struct json_tree *tree, const struct pointer *pointer, struct span value)
{
    struct value *place;
    const char *why = reach(tree, pointer, &place);
    if (!why)
        put(place, value);
    return why;
}

const char *json_tree_increment(struct json_tree *tree, const struct pointer *pointer, struct span by)
{
    struct value *place;
    const char *why = reach(tree, pointer, &place);
    if (why)
        return why;
    char byte = place->form == FORM_NEW ? '0' : first_byte(place);
    if (byte != '-' && (byte < '0' || byte > '9'))
        return "leads to what is no number";
    struct decimal present = { 0, 0 }, step, sum;
    if ((place->form == FORM_WRITTEN && !decimal_parse(place->text, &present)) || !decimal_parse(by, &step) ||
        !decimal_add(present, step, &sum))
        return "leads to a number, or would make one, that 64 bits do not hold exactly";
    struct buffer text = BUFFER_EMPTY;
    decimal_print(sum, &text);
    struct span copy = buffer_failed(&text) ? SPAN_NULL : arena_copy(tree->arena, buffer_span(&text));
    buffer_done(&text);
    tree->arena->failed = tree->arena->failed || !copy.at;
    put(place, copy);
    return copy.at ? NULL : no_memory;
}

const char *json_tree_append(struct json_tree *tree, const struct pointer *pointer, struct span value)
{
    struct value *place;
    const char *why = reach(tree, pointer, &place);
    if (!why)
        why = open_value(tree, place);
    if (why)
        return why;
    if (place->form == FORM_NEW)
        place->form = FORM_ARRAY;
    if (place->form != FORM_ARRAY)
        return "leads to what is no array";
    if (!make_room(tree, place, place->count + 1))
        return no_memory;
    place->children[place->count++] = written(value);
    return NULL;
}

const char *json_tree_remove(struct json_tree *tree, const struct pointer *pointer)
{
    struct value *in, *value;
    const char *why = find(tree, pointer, &in, &value);
    if (why || !value)
        return why;
    if (!in)
        return "expected a place in the field: the whole of it cannot be removed";
    memmove(value, value + 1, (size_t)(in->children + in->count - (value + 1)) * sizeof(*value));
    in->count--;
    return NULL;
}

/* --- reading ----------------------------------------------------------------------------------------------------- */

static void print_value(const struct value *value, struct buffer *into)
{
    if (value->form == FORM_WRITTEN)
    {
        buffer_add_span(into, value->text);
        return;
    }
    buffer_add_byte(into, value->form == FORM_ARRAY ? '[' : '{');
    for (size_t i = 0; i < value->count; i++)
    {
        if (i)
            buffer_add_byte(into, ',');
        if (value->form == FORM_OBJECT)
        {
            buffer_add_json_string(into, value->children[i].key);
            buffer_add_byte(into, ':');
        }
        print_value(&value->children[i], into); /* as deep as a pointer has steps */
    }
    buffer_add_byte(into, value->form == FORM_ARRAY ? ']' : '}');
}

void json_tree_print(const struct json_tree *tree, struct buffer *into)
{
    print_value(&tree->root, into);
}

const char *json_tree_test(struct json_tree *tree, const struct pointer *pointer, struct span value, bool *ret)
{
    struct value *in, *present;
    const char *why = find(tree, pointer, &in, &present);
    *ret = false;
    if (why || !present)
        return why;
    struct buffer text = BUFFER_EMPTY;
    print_value(present, &text);
    tree->arena->failed = tree->arena->failed || buffer_failed(&text);
    *ret = json_text_equal(tree->arena, buffer_span(&text), value);
    buffer_done(&text);
    return arena_failed(tree->arena) ? no_memory : NULL;
}
