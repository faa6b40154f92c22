/* Array: a one-dimensional PostgreSQL array in binary form, built element by element as the parameter of a set-based
 * statement. Binary, because text parameters cost a tenth of the rate (measured).
 *
 * Threads    one owner.
 * Ownership  the bytes live in the array's buffer until array_begin is called again or array_done.
 * Failure    out of memory: array_failed.
 */
#ifndef WORKER_POSTGRES_ARRAY_H
#define WORKER_POSTGRES_ARRAY_H

#include "workflows/model/entity.h"

enum array_type /* element type OIDs, pg_type.dat */
{
    ARRAY_BOOL = 16,
    ARRAY_INT8 = 20,
    ARRAY_INT4 = 23,
    ARRAY_TEXT = 25,
    ARRAY_FLOAT4 = 700,
    ARRAY_FLOAT8 = 701,
    ARRAY_TIMESTAMPTZ = 1184,
    ARRAY_UUID = 2950,
    ARRAY_BYTEA = 17,
    ARRAY_TID = 27,
};

struct array
{
    struct buffer bytes;
    int count;
};

void array_begin(struct array *array, enum array_type type);
void array_done(struct array *array);

void array_add_null(struct array *array);
void array_add_int64(struct array *array, int64_t value);
void array_add_int32(struct array *array, int32_t value);
void array_add_number(struct array *array, double value);
void array_add_bool(struct array *array, bool value);
#define ARRAY_TIME_INFINITE INT64_MAX /* a time of PostgreSQL that comes after all others */
void array_add_time(struct array *array, int64_t unix_us);
void array_add_bytes(struct array *array, const void *bytes, size_t size); /* text, bytea, uuid */
void array_add_id(struct array *array, struct id id);                      /* as uuid */

/* The field of a row that a column names, as an element; a vector as VECTOR_LENGTH elements. */
void array_add_field(struct array *array, const struct column *column, const void *row);

enum array_type array_type_of(enum column_kind kind);

static inline bool array_failed(const struct array *array)
{
    return buffer_failed(&array->bytes);
}

/* Nothing was added. An array that ran out of memory is not empty: its statement must not be skipped. */
static inline bool array_is_empty(const struct array *array)
{
    return array->count == 0 && !array_failed(array);
}

/* Big-endian reads of binary results; microseconds since 2000 to Unix. */
int64_t array_read_int64(const char *at);
double array_read_number(const char *at);
int32_t array_read_int32(const char *at);
int64_t array_read_time(const char *at);
struct id array_read_id(const char *at);

#endif
