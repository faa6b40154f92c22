#include "worker/postgres/array.h"

/* PostgreSQL counts microseconds from 2000-01-01 UTC. */
static const int64_t postgres_epoch_us = INT64_C(946684800) * 1000000;

enum
{
    HEADER_SIZE = 20, /* dimensions, has-null flag, element type, length, lower bound: 4 bytes each */
    HAS_NULL_AT = 4,
    LENGTH_AT = 12,
};

static void put32(char *at, uint32_t value)
{
    value = __builtin_bswap32(value);
    memcpy(at, &value, sizeof(value));
}

static void put64(char *at, uint64_t value)
{
    value = __builtin_bswap64(value);
    memcpy(at, &value, sizeof(value));
}

void array_begin(struct array *array, enum array_type type)
{
    char header[HEADER_SIZE];

    buffer_clear(&array->bytes);
    array->count = 0;
    put32(header, 1);
    put32(header + HAS_NULL_AT, 0);
    put32(header + 8, type);
    put32(header + LENGTH_AT, 0);
    put32(header + 16, 1);
    buffer_add(&array->bytes, header, sizeof(header));
}

void array_done(struct array *array)
{
    buffer_done(&array->bytes);
}

/* Room for one element of `size` bytes with its length word; counts it. NULL: out of memory. */
static char *element(struct array *array, size_t size)
{
    if (!buffer_reserve(&array->bytes, size + 4))
        return NULL;
    char *at = array->bytes.at + array->bytes.size;
    array->bytes.size += size + 4;
    put32(at, (uint32_t)size);
    put32(array->bytes.at + LENGTH_AT, (uint32_t)++array->count);
    return at + 4;
}

void array_add_null(struct array *array)
{
    if (!buffer_reserve(&array->bytes, 4))
        return;
    put32(array->bytes.at + array->bytes.size, UINT32_MAX);
    array->bytes.size += 4;
    put32(array->bytes.at + HAS_NULL_AT, 1);
    put32(array->bytes.at + LENGTH_AT, (uint32_t)++array->count);
}

void array_add_int64(struct array *array, int64_t value)
{
    char *at = element(array, 8);
    if (at)
        put64(at, (uint64_t)value);
}

void array_add_int32(struct array *array, int32_t value)
{
    char *at = element(array, 4);
    if (at)
        put32(at, (uint32_t)value);
}

void array_add_number(struct array *array, double value)
{
    int64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    array_add_int64(array, bits);
}

void array_add_bool(struct array *array, bool value)
{
    char *at = element(array, 1);
    if (at)
        *at = value ? 1 : 0;
}

void array_add_time(struct array *array, int64_t unix_us)
{
    array_add_int64(array, unix_us == ARRAY_TIME_INFINITE ? unix_us : unix_us - postgres_epoch_us);
}

void array_add_bytes(struct array *array, const void *bytes, size_t size)
{
    char *at = element(array, size);
    if (at && size > 0)
        memcpy(at, bytes, size);
}

void array_add_id(struct array *array, struct id id)
{
    char *at = element(array, 16);
    if (at)
    {
        put64(at, id.high);
        put64(at + 8, id.low);
    }
}

static void add_integer(struct array *array, enum column_kind kind, struct field_int field)
{
    if (!field.set)
        array_add_null(array);
    else if (kind == COLUMN_INT32)
        array_add_int32(array, (int32_t)field.value);
    else if (kind == COLUMN_TIME)
        array_add_time(array, field.value);
    else
        array_add_int64(array, field.value);
}

static void add_number(struct array *array, struct field_number field)
{
    if (field.set)
        array_add_number(array, field.value);
    else
        array_add_null(array);
}

static void add_vector(struct array *array, const float *vector)
{
    for (int i = 0; i < VECTOR_LENGTH; i++)
        if (vector)
        {
            uint32_t bits;
            memcpy(&bits, &vector[i], sizeof(bits));
            array_add_int32(array, (int32_t)bits);
        }
        else
            array_add_null(array);
}

static void add_span(struct array *array, struct span text)
{
    if (text.at)
        array_add_bytes(array, text.at, text.size);
    else
        array_add_null(array);
}

void array_add_field(struct array *array, const struct column *column, const void *row)
{
    const void *field = entity_field_const(column, row);

    switch (column->kind)
    {
    case COLUMN_INT64:
    case COLUMN_INT32:
    case COLUMN_TIME:
        add_integer(array, column->kind, *(const struct field_int *)field);
        break;
    case COLUMN_NUMBER:
        add_number(array, *(const struct field_number *)field);
        break;
    case COLUMN_BOOL:
        array_add_bool(array, *(const bool *)field);
        break;
    case COLUMN_TEXT:
    case COLUMN_JSON:
    case COLUMN_JSONB:
    case COLUMN_BYTES:
        add_span(array, *(const struct span *)field);
        break;
    case COLUMN_NAME:
    {
        int name = *(const int *)field;
        if (name == NAME_UNKNOWN)
        {
            array_add_bytes(array, "", 0); /* no word: an update leaves the column as it is (statements.c) */
            break;
        }
        add_span(array, span_of(column->names->names[name]));
        break;
    }
    case COLUMN_UUID:
        array_add_id(array, *(const struct id *)field);
        break;
    case COLUMN_VECTOR:
        add_vector(array, *(const float *const *)field);
        break;
    }
}

enum array_type array_type_of(enum column_kind kind)
{
    static const enum array_type types[] = {
        [COLUMN_INT64] = ARRAY_INT8,    [COLUMN_INT32] = ARRAY_INT4,    [COLUMN_BOOL] = ARRAY_BOOL,
        [COLUMN_TEXT] = ARRAY_TEXT,     [COLUMN_NAME] = ARRAY_TEXT,     [COLUMN_TIME] = ARRAY_TIMESTAMPTZ,
        [COLUMN_JSON] = ARRAY_TEXT,     [COLUMN_JSONB] = ARRAY_TEXT,    [COLUMN_UUID] = ARRAY_UUID,
        [COLUMN_NUMBER] = ARRAY_FLOAT8, [COLUMN_VECTOR] = ARRAY_FLOAT4, [COLUMN_BYTES] = ARRAY_BYTEA,
    };
    return types[kind];
}

int64_t array_read_int64(const char *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof(value));
    return (int64_t)__builtin_bswap64(value);
}

double array_read_number(const char *at)
{
    int64_t bits = array_read_int64(at);
    double value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

int32_t array_read_int32(const char *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof(value));
    return (int32_t)__builtin_bswap32(value);
}

int64_t array_read_time(const char *at)
{
    int64_t read = array_read_int64(at);
    return read == ARRAY_TIME_INFINITE ? read : read + postgres_epoch_us;
}

struct id array_read_id(const char *at)
{
    return id_of_bytes(at);
}
