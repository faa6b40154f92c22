/* Parameters: the table of a command's data. One table decodes, validates, and prints the JSON Schema.
 *
 * Threads    const data; decoding keeps no state.
 * Failure    the first wrong member by its JSON pointer, what it was, and what is accepted.
 */
#ifndef WORKFLOWS_PARAMETERS_PARAMETERS_H
#define WORKFLOWS_PARAMETERS_PARAMETERS_H

#include "workflows/parameters/command.h"

enum parameter_kind
{
    PARAMETER_ID,        /* struct field_int, 1 .. 2^63-1 */
    PARAMETER_INTEGER,   /* struct field_int, minimum .. maximum */
    PARAMETER_NUMBER,    /* struct field_number, finite, minimum .. maximum */
    PARAMETER_DECIMAL,   /* const struct node *, any number, to be read as written */
    PARAMETER_BOOLEAN,   /* struct field_bool */
    PARAMETER_TEXT,      /* struct span, up to `maximum` bytes (and at least `minimum`) */
    PARAMETER_NAME,      /* int, index of `names`; 0 = absent */
    PARAMETER_TIME,      /* struct field_int, Unix microseconds; RFC 3339 text with offset or Z */
    PARAMETER_UUID,      /* struct field_id */
    PARAMETER_AGGREGATE, /* struct aggregate, text like "jobneed/7" */
    PARAMETER_JSON,      /* const struct node *, any value */
    PARAMETER_IDS,       /* struct field_ids: array of ids, minimum .. maximum elements, distinct */
    PARAMETER_OBJECT,    /* nested struct laid out by `members` at `offset` */
    PARAMETER_OBJECTS,   /* struct field_objects: array of structs laid out by `members`, minimum .. maximum elements */
    PARAMETER_VECTOR,    /* struct field_vector: array of minimum .. maximum finite numbers of single precision */
};

struct field_bool
{
    bool value;
    bool set;
};
struct field_id
{
    struct id value;
    bool set;
};
struct field_ids
{
    const int64_t *at;
    size_t count;
};
struct field_vector
{
    const float *at;
    size_t count;
};
struct field_objects
{
    void *at;
    size_t count;
};

enum parameter_flag
{
    PARAMETER_REQUIRED = 1,
    PARAMETER_NULLABLE = 2, /* JSON null is accepted and reads as absent */
    PARAMETER_OPTIONAL = 4, /* may be absent; a null is a value of its own, if the kind has one */
    /* As nullable, for ids, integers, times and texts: int_is_cleared and its like distinguish null from absent. */
    PARAMETER_CLEARABLE = 8 | PARAMETER_NULLABLE,
};

/* The field of a clearable parameter after a null: not set, as after an absent one, but with these values. */
#define INT_CLEARED ((struct field_int){ 1, false })
#define SPAN_CLEARED ((struct span){ NULL, 1 })

static inline bool int_is_cleared(struct field_int field)
{
    return !field.set && field.value == INT_CLEARED.value;
}

static inline bool span_is_cleared(struct span text)
{
    return !text.at && text.size == SPAN_CLEARED.size;
}

struct parameter
{
    const char *name;
    enum parameter_kind kind;
    size_t offset;
    unsigned flags;
    int64_t minimum, maximum; /* see the kind; for ids and times unused; both 0: no limits of its own */
    const struct names *names;
    const struct parameter *members; /* PARAMETER_OBJECT(S): ends with name NULL */
    size_t member_size;              /* PARAMETER_OBJECTS: size of one element's struct */
    const char *description;         /* one line for the schema */
};

/* A row of a table for the member of the same name of `struct owner`; further fields follow, the description at least.
 */
#define PARAMETER(owner, member, kind_name, need, ...) \
    { \
        .name = #member, .kind = PARAMETER_##kind_name, .offset = offsetof(struct owner, member), \
        .flags = PARAMETER_##need, __VA_ARGS__ \
    }

/* Decodes `object` by the table (ends with name NULL) into `into` (zeroed by the caller). Unknown members, wrong
 * kinds, out of range, missing: false, with *reterr set to metadata JSON {"parameter":"/x/0/y","message":"..."}. */
bool parameters_decode(const struct parameter *table, const struct document *document, const struct node *object,
                       struct arena *arena, void *into, struct span *reterr);

/* The metadata of a refusal, in the arena: {"parameter":"/level","message":"..."}. Null when there is no memory; then
 * the arena has failed. */
struct span parameters_failure(struct arena *arena, struct span pointer, const char *message);

/* One step of a JSON pointer (RFC 6901), with its '/'. The name comes from outside: it is cut to 64 bytes, so that what
 * is said about it does not grow with it. */
void parameters_add_pointer(struct buffer *into, struct span name);

/* Whether `minimum` and `maximum` mean anything. */
bool parameters_is_bounded(const struct parameter *parameter);

/* The JSON Schema (2020-12) of the table as an object schema. */
void parameters_print_schema(const struct parameter *table, struct buffer *into);

/* Its members for a time and for an aggregate after their type: ",\"pattern\":...". */
extern const char parameters_time_schema[];
void parameters_add_aggregate_pattern(struct buffer *into);

/* RFC 3339 to Unix microseconds; false when it is not one. The offset in which it is written: minutes east of UTC. */
bool parameters_parse_time(struct span text, int64_t *ret_unix_us);
bool parameters_parse_local_time(struct span text, int64_t *ret_unix_us, int *ret_offset_minutes);

#endif
