#include "workflows/parameters/parameters.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "workflows/base/calendar.h"

/* Where in the data we are: a chain of frames on the stack, printed as a JSON pointer only when something is wrong. */
struct place
{
    const struct place *outer;
    struct span name; /* of a member; null: an element */
    size_t index;
};

struct decoding
{
    const struct document *document;
    struct arena *arena;
    struct span *reterr;
};

enum
{
    SHOWN_NAME_MAX = 64,
    TABLE_SIZE_MAX = 64, /* parameters seen are a 64-bit mask */
};

/* --- failure ----------------------------------------------------------------------------------------------------- */

void parameters_add_pointer(struct buffer *into, struct span name)
{
    size_t size = name.size;
    if (size > SHOWN_NAME_MAX)
    {
        size = SHOWN_NAME_MAX;
        while (size > 0 && ((unsigned char)name.at[size] & 0xc0) == 0x80)
            size--; /* not in the middle of a character */
    }
    buffer_add_byte(into, '/');
    for (size_t i = 0; i < size; i++)
    {
        if (name.at[i] == '~')
            buffer_add_text(into, "~0");
        else if (name.at[i] == '/')
            buffer_add_text(into, "~1");
        else
            buffer_add_byte(into, name.at[i]);
    }
}

static void print_pointer(struct buffer *into, const struct place *place)
{
    if (!place)
        return;
    print_pointer(into, place->outer);
    if (place->name.at)
    {
        parameters_add_pointer(into, place->name);
        return;
    }
    buffer_add_byte(into, '/');
    buffer_add_int64(into, (int64_t)place->index);
}

static bool fail(const struct decoding *decoding, const struct place *place, const char *message)
{
    struct buffer pointer = BUFFER_EMPTY;
    print_pointer(&pointer, place);
    decoding->arena->failed = decoding->arena->failed || buffer_failed(&pointer);
    *decoding->reterr = parameters_failure(decoding->arena, buffer_span(&pointer), message);
    buffer_done(&pointer);
    return false;
}

struct span parameters_failure(struct arena *arena, struct span pointer, const char *message)
{
    struct buffer text = BUFFER_EMPTY;
    buffer_add_text(&text, "{\"parameter\":");
    buffer_add_json_string(&text, pointer);
    buffer_add_text(&text, ",\"message\":");
    buffer_add_json_string(&text, span_of(message));
    buffer_add_byte(&text, '}');
    struct span metadata = SPAN_NULL;
    if (buffer_failed(&text))
        arena->failed = true; /* the caller gives the batch up, as for any memory that could not be had */
    else
        metadata = arena_copy(arena, buffer_span(&text));
    buffer_done(&text);
    return metadata;
}

/* "expected a whole number from 0 to 10": `what`, then the range where the table gives one. */
static bool fail_range(const struct decoding *decoding, const struct place *place, const struct parameter *parameter,
                       const char *what, const char *unit)
{
    struct buffer text = BUFFER_EMPTY;
    buffer_add_text(&text, "expected ");
    buffer_add_text(&text, what);
    if (parameters_is_bounded(parameter))
    {
        buffer_add_text(&text, " of ");
        buffer_add_int64(&text, parameter->minimum);
        if (parameter->maximum != parameter->minimum)
        {
            buffer_add_text(&text, " to ");
            buffer_add_int64(&text, parameter->maximum);
        }
        buffer_add_text(&text, unit);
    }
    buffer_add_byte(&text, '\0');
    fail(decoding, place, buffer_failed(&text) ? what : text.at);
    buffer_done(&text);
    return false;
}

static bool fail_name(const struct decoding *decoding, const struct place *place, const struct names *names)
{
    struct buffer text = BUFFER_EMPTY;
    buffer_add_text(&text, "expected one of");
    for (int i = 1; i < names->count; i++)
    {
        buffer_add_byte(&text, ' ');
        buffer_add_text(&text, names->names[i]);
    }
    buffer_add_byte(&text, '\0');
    fail(decoding, place, buffer_failed(&text) ? "expected one of a list of words" : text.at);
    buffer_done(&text);
    return false;
}

/* --- scalars ----------------------------------------------------------------------------------------------------- */

bool parameters_is_bounded(const struct parameter *parameter)
{
    return parameter->minimum != 0 || parameter->maximum != 0;
}

static bool is_within(const struct parameter *parameter, int64_t value)
{
    return !parameters_is_bounded(parameter) || (value >= parameter->minimum && value <= parameter->maximum);
}

static bool decode_integer(const struct decoding *decoding, const struct place *place,
                           const struct parameter *parameter, const struct node *node, void *field)
{
    if (node->kind != NODE_INTEGER || !is_within(parameter, node->integer))
        return fail_range(decoding, place, parameter, "a whole number", "");
    *(struct field_int *)field = int_of(node->integer);
    return true;
}

static bool decode_number(const struct decoding *decoding, const struct place *place, const struct parameter *parameter,
                          const struct node *node, void *field)
{
    double value = node->kind == NODE_INTEGER ? (double)node->integer : node->number;
    bool number = node->kind == NODE_INTEGER || node->kind == NODE_NUMBER;
    if (!number || (parameters_is_bounded(parameter) &&
                    (value < (double)parameter->minimum || value > (double)parameter->maximum)))
        return fail_range(decoding, place, parameter, "a number", "");
    *(struct field_number *)field = (struct field_number){ value, true };
    return true;
}

static bool decode_text(const struct decoding *decoding, const struct place *place, const struct parameter *parameter,
                        const struct node *node, void *field)
{
    if (node->kind != NODE_STRING || !is_within(parameter, (int64_t)node->text.size))
        return fail_range(decoding, place, parameter, "a text", " bytes");
    *(struct span *)field = node->text;
    return true;
}

/* The kinds that need nothing but the node. */
static bool decode_scalar(const struct decoding *decoding, const struct place *place, const struct parameter *parameter,
                          const struct node *node, void *field)
{
    bool text = node->kind == NODE_STRING;
    int64_t time;
    struct id id;
    switch (parameter->kind)
    {
    case PARAMETER_ID:
        if (node->kind != NODE_INTEGER || node->integer < 1)
            return fail(decoding, place, "expected an id, a whole number of at least 1");
        *(struct field_int *)field = int_of(node->integer);
        return true;
    case PARAMETER_BOOLEAN:
        if (node->kind != NODE_TRUE && node->kind != NODE_FALSE)
            return fail(decoding, place, "expected true or false");
        *(struct field_bool *)field = (struct field_bool){ node->kind == NODE_TRUE, true };
        return true;
    case PARAMETER_NAME:
        *(int *)field = text ? names_find(parameter->names, node->text) : 0;
        return *(int *)field > 0 || fail_name(decoding, place, parameter->names);
    case PARAMETER_TIME:
        if (!text || !parameters_parse_time(node->text, &time))
            return fail(decoding, place, "expected an RFC 3339 time like 2026-11-24T09:00:00Z");
        *(struct field_int *)field = int_of(time);
        return true;
    case PARAMETER_UUID:
        if (!text || !id_parse_uuid(node->text, &id))
            return fail(decoding, place, "expected a uuid");
        *(struct field_id *)field = (struct field_id){ id, true };
        return true;
    case PARAMETER_AGGREGATE:
        if (!text || !aggregate_parse(node->text, field))
            return fail(decoding, place, "expected an aggregate like jobneed/7");
        return true;
    case PARAMETER_DECIMAL:
        if (node->kind != NODE_INTEGER && node->kind != NODE_NUMBER)
            return fail(decoding, place, "expected a number");
        *(const struct node **)field = node;
        return true;
    case PARAMETER_JSON:
        *(const struct node **)field = node;
        return true;
    default:
        assert(false); /* decode_value handles the others */
        return false;
    }
}

/* --- containers -------------------------------------------------------------------------------------------------- */

static bool decode_object(const struct decoding *decoding, const struct place *place, const struct parameter *table,
                          const struct node *object, char *into);

static int compare_ids(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a;
    int64_t right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

/* The ids keep their order; a sorted copy tells in n log n whether they are distinct. */
static bool are_distinct(const struct decoding *decoding, const int64_t *ids, size_t count)
{
    struct arena_mark mark = arena_mark(decoding->arena);
    int64_t *sorted = arena_take(decoding->arena, count * sizeof(*sorted));
    if (!sorted)
        return true; /* the arena has failed: nobody will use the answer */
    memcpy(sorted, ids, count * sizeof(*sorted));
    qsort(sorted, count, sizeof(*sorted), compare_ids);
    bool distinct = true;
    for (size_t i = 1; i < count && distinct; i++)
        distinct = sorted[i - 1] != sorted[i];
    arena_rewind(decoding->arena, mark);
    return distinct;
}

static bool decode_ids(const struct decoding *decoding, const struct place *place, const struct parameter *parameter,
                       const struct node *node, void *field)
{
    if (node->kind != NODE_ARRAY || !is_within(parameter, node->count))
        return fail_range(decoding, place, parameter, "an array", " ids");
    int64_t *ids = arena_take(decoding->arena, node->count * sizeof(*ids));
    if (!ids)
        return fail(decoding, place, "no memory");
    size_t count = 0;
    for (const struct node *child = document_first(decoding->document, node); child;
         child = document_next(decoding->document, node, child))
    {
        struct place element = { place, SPAN_NULL, count };
        if (child->kind != NODE_INTEGER || child->integer < 1)
            return fail(decoding, &element, "expected an id, a whole number of at least 1");
        ids[count++] = child->integer;
    }
    if (!are_distinct(decoding, ids, count))
        return fail(decoding, place, "an id stands there twice");
    *(struct field_ids *)field = (struct field_ids){ ids, count };
    return true;
}

static bool decode_vector(const struct decoding *decoding, const struct place *place, const struct parameter *parameter,
                          const struct node *node, void *field)
{
    if (node->kind != NODE_ARRAY || !is_within(parameter, node->count))
        return fail_range(decoding, place, parameter, "an array", " numbers");
    float *numbers = arena_take(decoding->arena, node->count * sizeof(*numbers));
    if (!numbers)
        return fail(decoding, place, "no memory");
    size_t count = 0;
    for (const struct node *child = document_first(decoding->document, node); child;
         child = document_next(decoding->document, node, child))
    {
        struct place element = { place, SPAN_NULL, count };
        double value = child->kind == NODE_INTEGER ? (double)child->integer : child->number;
        bool number = child->kind == NODE_INTEGER || child->kind == NODE_NUMBER;
        if (!number || !(fabs(value) <= (double)FLT_MAX))
            return fail(decoding, &element, "expected a number that single precision can hold");
        numbers[count++] = (float)value;
    }
    *(struct field_vector *)field = (struct field_vector){ numbers, count };
    return true;
}

static bool decode_objects(const struct decoding *decoding, const struct place *place,
                           const struct parameter *parameter, const struct node *node, void *field)
{
    if (node->kind != NODE_ARRAY || !is_within(parameter, node->count))
        return fail_range(decoding, place, parameter, "an array", " objects");
    char *elements = arena_take_zeroed(decoding->arena, node->count * parameter->member_size);
    if (!elements)
        return fail(decoding, place, "no memory");
    size_t count = 0;
    for (const struct node *child = document_first(decoding->document, node); child;
         child = document_next(decoding->document, node, child))
    {
        struct place element = { place, SPAN_NULL, count };
        if (!decode_object(decoding, &element, parameter->members, child, elements + count * parameter->member_size))
            return false;
        count++;
    }
    *(struct field_objects *)field = (struct field_objects){ elements, count };
    return true;
}

/* Neither we nor PostgreSQL can calculate with 1e400. */
static bool is_finite(const struct decoding *decoding, const struct node *node)
{
    const struct node *end = &decoding->document->nodes[node->next];
    for (; node < end; node++)
    {
        if (node->kind == NODE_NUMBER && !isfinite(node->number))
            return false;
    }
    return true;
}

static void clear(const struct parameter *parameter, void *field)
{
    if (parameter->kind == PARAMETER_TEXT)
        *(struct span *)field = SPAN_CLEARED;
    else
        *(struct field_int *)field = INT_CLEARED;
}

static bool decode_value(const struct decoding *decoding, const struct place *place, const struct parameter *parameter,
                         const struct node *node, char *into)
{
    bool open = parameter->kind == PARAMETER_JSON || node->kind == NODE_NUMBER;
    void *field = into + parameter->offset;
    if (node->kind == NODE_NULL && (parameter->flags & PARAMETER_NULLABLE))
    {
        if ((parameter->flags & PARAMETER_CLEARABLE) == PARAMETER_CLEARABLE)
            clear(parameter, field);
        return true;
    }
    if (open && !is_finite(decoding, node))
        return fail(decoding, place, "a number beyond the range of a double");
    switch (parameter->kind)
    {
    case PARAMETER_INTEGER:
        return decode_integer(decoding, place, parameter, node, field);
    case PARAMETER_NUMBER:
        return decode_number(decoding, place, parameter, node, field);
    case PARAMETER_TEXT:
        return decode_text(decoding, place, parameter, node, field);
    case PARAMETER_IDS:
        return decode_ids(decoding, place, parameter, node, field);
    case PARAMETER_VECTOR:
        return decode_vector(decoding, place, parameter, node, field);
    case PARAMETER_OBJECT:
        return decode_object(decoding, place, parameter->members, node, field);
    case PARAMETER_OBJECTS:
        return decode_objects(decoding, place, parameter, node, field);
    default:
        return decode_scalar(decoding, place, parameter, node, field);
    }
}

/* The table's index of the name, or -1. Members mostly come in the table's order, so the search begins at `expected`.
 */
static int find_parameter(const struct parameter *table, int count, int expected, struct span name)
{
    for (int i = 0; i < count; i++)
    {
        int index = expected + i < count ? expected + i : expected + i - count;
        if (span_is(name, table[index].name))
            return index;
    }
    return -1;
}

static bool decode_object(const struct decoding *decoding, const struct place *place, const struct parameter *table,
                          const struct node *object, char *into)
{
    if (object->kind != NODE_OBJECT)
        return fail(decoding, place, "expected an object");
    int count = 0;
    while (table[count].name)
        count++;
    assert(count <= TABLE_SIZE_MAX);
    uint64_t seen = 0;
    int expected = 0;
    for (const struct node *child = document_first(decoding->document, object); child;
         child = document_next(decoding->document, object, child))
    {
        struct place member = { place, child->key, 0 };
        int index = find_parameter(table, count, expected, child->key);
        if (index < 0)
            return fail(decoding, &member, "no such parameter");
        if (!decode_value(decoding, &member, &table[index], child, into))
            return false;
        seen |= UINT64_C(1) << index;
        expected = index + 1;
    }
    for (int index = 0; index < count; index++)
    {
        struct place member = { place, span_of(table[index].name), 0 };
        if ((table[index].flags & PARAMETER_REQUIRED) && !(seen >> index & 1))
            return fail(decoding, &member, "is required");
    }
    return true;
}

bool parameters_decode(const struct parameter *table, const struct document *document, const struct node *object,
                       struct arena *arena, void *into, struct span *reterr)
{
    struct decoding decoding = { document, arena, reterr };
    return decode_object(&decoding, NULL, table, object, into);
}

/* --- texts ------------------------------------------------------------------------------------------------------- */

/* `count` digits at `at`, or -1. */
static int parse_digits(struct span text, size_t at, size_t count)
{
    int value = 0;
    if (text.size < at + count)
        return -1;
    for (size_t i = at; i < at + count; i++)
    {
        if (text.at[i] < '0' || text.at[i] > '9')
            return -1;
        value = value * 10 + (text.at[i] - '0');
    }
    return value;
}

/* "Z" or "+05:30", the whole rest of the text: minutes east of UTC. */
static bool parse_zone(struct span text, int *ret_minutes)
{
    if (text.size == 1 && (text.at[0] == 'Z' || text.at[0] == 'z'))
    {
        *ret_minutes = 0;
        return true;
    }
    int hours = parse_digits(text, 1, 2);
    int minutes = parse_digits(text, 4, 2);
    if (text.size != 6 || (text.at[0] != '+' && text.at[0] != '-') || text.at[3] != ':' || hours < 0 || hours > 23 ||
        minutes < 0 || minutes > 59)
        return false;
    *ret_minutes = (hours * 60 + minutes) * (text.at[0] == '-' ? -1 : 1);
    return true;
}

/* ".123456789": microseconds, finer digits are cut off; returns the length with the point, 0 when there is none. */
static size_t parse_fraction(struct span text, int64_t *ret_us)
{
    *ret_us = 0;
    if (text.size < 2 || text.at[0] != '.')
        return 0;
    size_t at = 1;
    int64_t weight = 100000;
    for (; at < text.size && text.at[at] >= '0' && text.at[at] <= '9'; at++)
    {
        *ret_us += weight * (text.at[at] - '0');
        weight /= 10;
    }
    return at > 1 ? at : 0;
}

bool parameters_parse_time(struct span text, int64_t *ret_unix_us)
{
    int zone;
    return parameters_parse_local_time(text, ret_unix_us, &zone);
}

bool parameters_parse_local_time(struct span text, int64_t *ret_unix_us, int *ret_offset_minutes)
{
    int year = parse_digits(text, 0, 4);
    int month = parse_digits(text, 5, 2);
    int day = parse_digits(text, 8, 2);
    int hour = parse_digits(text, 11, 2);
    int minute = parse_digits(text, 14, 2);
    int second = parse_digits(text, 17, 2);
    if (text.size < 20 || text.at[4] != '-' || text.at[7] != '-' || (text.at[10] | 0x20) != 't' || text.at[13] != ':' ||
        text.at[16] != ':')
        return false;
    if (year < 0 || month < 1 || month > 12 || day < 1 || day > calendar_month_length(year, month) || hour < 0 ||
        hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60)
        return false;
    int64_t fraction;
    int zone;
    size_t behind = 19 + parse_fraction((struct span){ text.at + 19, text.size - 19 }, &fraction);
    if (behind == text.size || !parse_zone((struct span){ text.at + behind, text.size - behind }, &zone))
        return false;
    int64_t minutes = calendar_days(year, month, day) * 1440 + hour * 60 + minute - zone;
    /* RFC 3339 knows leap seconds, Unix time does not: the last one of a day is the first moment of the next. */
    if (second == 60 && (minutes % 1440 + 1440) % 1440 != 1439)
        return false;
    int64_t unix_us = (minutes * 60 + second) * 1000000 + (second == 60 ? 0 : fraction);
    /* A time that cannot be printed again with four digits of year is refused. */
    if (unix_us < calendar_days(0, 1, 1) * INT64_C(86400000000) ||
        unix_us >= calendar_days(10000, 1, 1) * INT64_C(86400000000))
        return false;
    *ret_unix_us = unix_us;
    *ret_offset_minutes = zone;
    return true;
}
