/* Entity: one PostgreSQL table as C sees it. The engine makes its load, lock, update and insert statements from this
 * table once per connection; a column is named here and nowhere else in C.
 *
 * Threads    const data.
 *
 * A row in memory is a plain struct; a column says where its field lies. Fields by kind:
 *   COLUMN_INT64, COLUMN_INT32   struct field_int (null: set == false)
 *   COLUMN_TIME                  struct field_int, Unix microseconds
 *   COLUMN_NUMBER                struct field_number, finite (a CHECK says so)
 *   COLUMN_BOOL                  bool, never null
 *   COLUMN_TEXT, COLUMN_JSON, COLUMN_JSONB  struct span; JSON as text
 *   COLUMN_BYTES                 struct span, of any bytes
 *   COLUMN_NAME                  int: an index of `names`; 0 is null, NAME_UNKNOWN a text that is not in the list
 *   COLUMN_UUID                  struct id, never null
 *   COLUMN_VECTOR                const float *, VECTOR_LENGTH of them; null in all rows of a batch or in none
 */
#ifndef WORKFLOWS_MODEL_ENTITY_H
#define WORKFLOWS_MODEL_ENTITY_H

#include "workflows/model/id.h"

struct field_int
{
    int64_t value;
    bool set;
};

struct field_number
{
    double value;
    bool set;
};

#define INT_NULL ((struct field_int){ 0, false })
#define NUMBER_NULL ((struct field_number){ 0, false })

static inline struct field_int int_of(int64_t value)
{
    return (struct field_int){ value, true };
}

static inline struct field_number number_of(double value)
{
    return (struct field_number){ value, true };
}

enum
{
    NAME_UNKNOWN = -1,
};

/* A closed set of words (a status set, a priority): names[0] is NULL, then the words in order. */
struct names
{
    const char *const *names;
    int count;            /* with names[0] */
    const char *sql_type; /* "::schema.enum" where PostgreSQL keeps the words as an enum, NULL for text */
};

int names_find(const struct names *names, struct span word); /* 0 = not there */

enum column_kind
{
    COLUMN_INT64,
    COLUMN_INT32,
    COLUMN_BOOL,
    COLUMN_TEXT,
    COLUMN_NAME,
    COLUMN_TIME,
    COLUMN_JSON,
    COLUMN_JSONB,
    COLUMN_BYTES,
    COLUMN_UUID,
    COLUMN_NUMBER,
    COLUMN_VECTOR,
};

enum
{
    VECTOR_LENGTH = 512, /* of every vector: face embeddings are the only ones */
};

enum column_flag
{
    COLUMN_FIXED = 1,    /* written by the insert, never by an update */
    COLUMN_ADDED = 2,    /* counters: SET c = c + $ */
    COLUMN_GREATEST = 4, /* counters: SET c = greatest(c, $) */
    COLUMN_UNREAD = 8,   /* written by the insert; never loaded, never updated: large, and nobody decides by it */
    COLUMN_UNIQUE = 16,  /* a flag that one row of several may have: given up before it is taken (PROTOCOL B1) */
};

struct column
{
    const char *name;
    enum column_kind kind;
    size_t offset;
    unsigned flags;
    const struct names *names;
};

/* The column of a row's struct that has the name of its member. */
#define COLUMN(row, member, kind, flags, names) \
    { \
#member, kind, offsetof(struct row, member), flags, names \
    }

enum
{
    ENTITIES_MAX = 32,       /* of entities[] */
    ENTITY_COLUMNS_MAX = 64, /* a set of columns is a 64-bit mask */
    COLUMN_NOT_THERE = -1,
};

/* columns[0 .. key_count) are the key. Entities with key_count 1 are found by `struct id`. */
struct entity
{
    const char *table; /* without the schema */
    size_t row_size;
    const struct column *columns;
    int column_count;
    int key_count;
    /* Whose rows it holds, root or child; AGGREGATE_NONE: look-ups, appended rows, counters. */
    enum aggregate_kind aggregate;
    int parent; /* column that names the root's id, a number, in child rows; or COLUMN_NOT_THERE */
    const struct entity *parent_entity; /* the roots' entity where children have a table of their own; else NULL */
    bool root;                          /* has a version: see below */
    /* Names in an audit record for child rows: of the list of those that a command changed, and of their id. */
    const char *children, *child_id;
    const char *draw_ids; /* SQL function that draws new ids, without the schema, or NULL */
    int place;            /* its index in entities[] */
    bool upsert;          /* counters: the first addition makes the row */

    /* Column indexes the engine itself reads or writes, COLUMN_NOT_THERE where a table has none. */
    int version, modified_at, modified_by, created_at, status, person, group;
};

#define ENTITY_COLUMN_COUNT(columns) ((int)(sizeof(columns) / sizeof((columns)[0])))

/* For look-ups, appended rows and counters: none of the columns that the engine keeps in roots. */
#define ENTITY_WITHOUT_VERSION \
    .aggregate = AGGREGATE_NONE, .parent = COLUMN_NOT_THERE, .version = COLUMN_NOT_THERE, \
    .modified_at = COLUMN_NOT_THERE, .modified_by = COLUMN_NOT_THERE, .created_at = COLUMN_NOT_THERE, \
    .status = COLUMN_NOT_THERE, .person = COLUMN_NOT_THERE, .group = COLUMN_NOT_THERE

extern const struct entity entity_ticket, entity_ticket_history, entity_escalation_matrix;
/* The table ticket seen by its jobneed: the mirror of ticket_one_per_jobneed. Looked at, never written. */
extern const struct entity entity_ticket_of_jobneed;
extern const struct entity entity_job, entity_jobneed;
extern const struct entity entity_attendance, entity_geofence, entity_geofence_vertex, entity_shift;
/* The table job seen by the person of a geofence assignment. Looked at, never written. */
extern const struct entity entity_geofence_assignment;
extern const struct entity entity_face_user, entity_face_model, entity_face_embedding, entity_face_model_counter,
    entity_face_embedding_counter, entity_face_verification_log;
extern const struct entity entity_behaviour_profile, entity_behavioural_event;

enum entity_order /* the order of entities[] */
{
    PLACE_JOB,
    PLACE_JOBNEED,
    PLACE_TICKET,
    PLACE_ESCALATION_MATRIX,
    PLACE_TICKET_OF_JOBNEED,
    PLACE_ATTENDANCE,
    PLACE_GEOFENCE_ASSIGNMENT,
    PLACE_GEOFENCE,
    PLACE_GEOFENCE_VERTEX,
    PLACE_SHIFT,
    PLACE_BEHAVIOUR_PROFILE,
    PLACE_FACE_MODEL,
    PLACE_FACE_USER, /* before its children */
    PLACE_FACE_EMBEDDING,
    PLACE_TICKET_HISTORY,
    PLACE_FACE_VERIFICATION_LOG,
    PLACE_BEHAVIOURAL_EVENT,
    PLACE_FACE_MODEL_COUNTER,
    PLACE_FACE_EMBEDDING_COUNTER,
    PLACE__COUNT,
};

/* Every entity, in the one order in which tables are locked and written; ends with NULL. */
extern const struct entity *const entities[];

/* The entity of the rows that a child row's parent column names. */
static inline const struct entity *entity_parent(const struct entity *entity)
{
    return entity->parent_entity ? entity->parent_entity : entity;
}

/* Tells whether a column of the entity has the flag. */
bool entity_has(const struct entity *entity, enum column_flag flag);

/* Typed access to a field by its column. */
static inline void *entity_field(const struct column *column, void *row)
{
    return (char *)row + column->offset;
}

static inline const void *entity_field_const(const struct column *column, const void *row)
{
    return (const char *)row + column->offset;
}

/* Tells whether the two rows hold the same in this column. */
bool column_equal(const struct column *column, const void *a, const void *b);

/* The mask of columns, key and unread ones apart, in which the two rows differ. */
uint64_t entity_difference(const struct entity *entity, const void *before, const void *after);

#endif
