#include "worker/postgres/statements.h"

#include <assert.h>
#include <stdlib.h>

#include "worker/postgres/statement_text.h"

struct statements
{
    struct pipeline *pipeline;
    struct array arrays[ENTITY_COLUMNS_MAX];
};

struct statements *statements_new(struct pipeline *pipeline)
{
    struct statements *statements = calloc(1, sizeof(*statements));
    if (statements)
        statements->pipeline = pipeline;
    return statements;
}

void statements_free(struct statements *statements)
{
    if (statements == NULL)
        return;
    for (int i = 0; i < ENTITY_COLUMNS_MAX; i++)
        array_done(&statements->arrays[i]);
    free(statements);
}

static struct statement *find(struct statements *statements, const struct entity *entity, enum statement_kind kind,
                              uint64_t detail)
{
    const uint64_t key[3] = { (uint64_t)(uintptr_t)entity, kind, detail };
    struct statement *statement = pipeline_statement(statements->pipeline, key);
    if (statement)
        return statement;

    struct buffer sql = BUFFER_EMPTY;
    int parameters = statement_write(&sql, entity, kind, detail);
    buffer_add_byte(&sql, '\0');
    if (buffer_failed(&sql))
    {
        buffer_done(&sql);
        return NULL;
    }
    size_t size;
    return pipeline_add_statement(statements->pipeline, key, buffer_take(&sql, &size), parameters);
}

/* --- sends ------------------------------------------------------------------------------------------------------- */

static bool send_arrays(struct statements *statements, struct statement *statement, const struct array *const *arrays,
                        int count)
{
    struct parameter_value values[ENTITY_COLUMNS_MAX];

    if (statement == NULL)
        return false;
    for (int i = 0; i < count; i++)
    {
        if (array_failed(arrays[i]))
            return false;
        values[i] = (struct parameter_value){ arrays[i]->bytes.at, (int)arrays[i]->bytes.size };
    }
    return pipeline_send(statements->pipeline, statement, values, count);
}

static bool send_own(struct statements *statements, struct statement *statement, int count)
{
    const struct array *arrays[ENTITY_COLUMNS_MAX];

    for (int i = 0; i < count; i++)
        arrays[i] = &statements->arrays[i];
    return send_arrays(statements, statement, arrays, count);
}

static void fill_ids(struct array *array, const struct column *column, const struct id *ids, int count)
{
    array_begin(array, column->kind == COLUMN_UUID ? ARRAY_UUID : ARRAY_INT8);
    for (int i = 0; i < count; i++)
        if (column->kind == COLUMN_UUID)
            array_add_id(array, ids[i]);
        else
            array_add_int64(array, (int64_t)ids[i].low);
}

static bool send_ids(struct statements *statements, const struct entity *entity, enum statement_kind kind,
                     uint64_t detail, const struct id *ids, int count)
{
    fill_ids(&statements->arrays[0], &entity->columns[0], ids, count);
    return send_own(statements, find(statements, entity, kind, detail), 1);
}

bool statements_send_lock(struct statements *statements, const struct entity *entity, const struct id *ids, int count,
                          enum row_lock lock)
{
    return send_ids(statements, entity, STATEMENT_LOCK, lock, ids, count);
}

bool statements_send_exist(struct statements *statements, const struct entity *entity, const struct id *ids, int count)
{
    return send_ids(statements, entity, STATEMENT_EXIST, 0, ids, count);
}

bool statements_send_children_exist(struct statements *statements, const struct entity *entity,
                                    const struct id *parents, int count)
{
    return send_ids(statements, entity, STATEMENT_CHILDREN_EXIST, 0, parents, count);
}

bool statements_send_children_lock(struct statements *statements, const struct entity *entity, const struct id *parents,
                                   int count, enum row_lock lock)
{
    return send_ids(statements, entity, STATEMENT_CHILDREN_LOCK, lock, parents, count);
}

bool statements_send_delete(struct statements *statements, const struct entity *entity, const struct id *ids, int count)
{
    return send_ids(statements, entity, STATEMENT_DELETE, 0, ids, count);
}

static void fill_column(struct array *array, const struct column *column, const void *const *rows, int count)
{
    array_begin(array, array_type_of(column->kind));
    for (int i = 0; i < count; i++)
        array_add_field(array, column, rows[i]);
}

static void fill_current(struct array *array, const struct column *column, const struct row *const *rows, int count)
{
    array_begin(array, array_type_of(column->kind));
    for (int i = 0; i < count; i++)
        array_add_field(array, column, rows[i]->current);
}

bool statements_send_look(struct statements *statements, const struct entity *entity, int key_count,
                          const void *const *keys, int count)
{
    for (int i = 0; i < key_count; i++)
        fill_column(&statements->arrays[i], &entity->columns[i], keys, count);
    return send_own(statements, find(statements, entity, STATEMENT_LOOK, (uint64_t)key_count), key_count);
}

bool statements_send_draw(struct statements *statements, const struct entity *entity, int count)
{
    struct statement *statement = find(statements, entity, STATEMENT_DRAW, 0);
    int32_t wanted = (int32_t)__builtin_bswap32((uint32_t)count);
    struct parameter_value value = { (const char *)&wanted, sizeof(wanted) };

    return statement && pipeline_send(statements->pipeline, statement, &value, 1);
}

static void fill_places(struct array *array, const struct row *const *rows, int count)
{
    array_begin(array, ARRAY_TID);
    for (int i = 0; i < count; i++)
        array_add_bytes(array, rows[i]->ctid, TID_SIZE);
}

bool statements_send_update(struct statements *statements, const struct entity *entity, uint64_t columns,
                            const struct row *const *rows, int count, bool by_id)
{
    enum statement_kind kind = by_id ? STATEMENT_UPDATE_BY_ID : STATEMENT_UPDATE;
    int n = 0;

    if (by_id)
        fill_current(&statements->arrays[n++], &entity->columns[0], rows, count);
    else
        fill_places(&statements->arrays[n++], rows, count);
    for (int i = 1; i < entity->column_count; i++)
        if (columns & UINT64_C(1) << i)
            fill_current(&statements->arrays[n++], &entity->columns[i], rows, count);
    return send_own(statements, find(statements, entity, kind, columns), n);
}

static bool is_set(const struct column *column, const void *row)
{
    const void *field = entity_field_const(column, row);

    switch (column->kind)
    {
    case COLUMN_INT64:
    case COLUMN_INT32:
    case COLUMN_TIME:
        return ((const struct field_int *)field)->set;
    case COLUMN_NUMBER:
        return ((const struct field_number *)field)->set;
    case COLUMN_TEXT:
    case COLUMN_JSON:
    case COLUMN_JSONB:
    case COLUMN_BYTES:
        return ((const struct span *)field)->at != NULL;
    case COLUMN_NAME:
        return *(const int *)field != 0;
    case COLUMN_VECTOR:
        return *(const float *const *)field != NULL;
    case COLUMN_BOOL:
    case COLUMN_UUID:
        return true;
    }
    return true;
}

/* Columns that are null in every row are left out: a null costs PostgreSQL as much as a value on its way in. */
static uint64_t columns_in_use(const struct entity *entity, const void *const *rows, int count)
{
    uint64_t columns = 0;

    for (int i = 0; i < entity->column_count; i++)
        for (int r = 0; r < count; r++)
            if (is_set(&entity->columns[i], rows[r]))
            {
                columns |= UINT64_C(1) << i;
                break;
            }
    return columns;
}

bool statements_send_insert(struct statements *statements, const struct entity *entity, const void *const *rows,
                            int count)
{
    uint64_t columns = columns_in_use(entity, rows, count);
    int n = 0;

    for (int i = 0; i < entity->column_count; i++)
        if (columns & UINT64_C(1) << i)
            fill_column(&statements->arrays[n++], &entity->columns[i], rows, count);
    return send_own(statements, find(statements, entity, STATEMENT_INSERT, columns), n);
}

bool statements_send_add(struct statements *statements, const struct entity *entity, const void *const *rows, int count)
{
    for (int i = 0; i < entity->column_count; i++)
        fill_column(&statements->arrays[i], &entity->columns[i], rows, count);
    return send_own(statements, find(statements, entity, STATEMENT_ADD, 0), entity->column_count);
}

bool statements_send_at_positions(struct statements *statements, const struct entity *entity,
                                  const struct array *partitions, const struct array *offsets)
{
    const struct array *arrays[2] = { partitions, offsets };
    return send_arrays(statements, find(statements, entity, STATEMENT_AT_POSITIONS, 0), arrays, 2);
}

bool statements_send_fixed(struct statements *statements, const char *sql, const struct array *const *arrays, int count)
{
    const uint64_t key[3] = { (uint64_t)(uintptr_t)sql, STATEMENT_FIXED, 0 };
    struct statement *statement = pipeline_statement(statements->pipeline, key);

    if (statement == NULL)
        statement = pipeline_add_statement(statements->pipeline, key, strdup(sql), count);
    return send_arrays(statements, statement, arrays, count);
}

/* --- reads ------------------------------------------------------------------------------------------------------- */

static struct field_int read_int(struct span value, enum column_kind kind)
{
    if (kind == COLUMN_TIME)
        return int_of(array_read_time(value.at));
    switch (value.size)
    {
    case 2:
        return int_of((int16_t)__builtin_bswap16(*(const uint16_t *)(const void *)value.at));
    case 4:
        return int_of(array_read_int32(value.at));
    default:
        return int_of(array_read_int64(value.at));
    }
}

static void read_field(const PGresult *result, int row, int at, const struct column *column, struct arena *arena,
                       void *into)
{
    struct span text = { PQgetvalue(result, row, at), (size_t)PQgetlength(result, row, at) };
    bool null = text.size == 0 && PQgetisnull(result, row, at); /* a null has the length 0 */

    switch (column->kind)
    {
    case COLUMN_INT64:
    case COLUMN_INT32:
    case COLUMN_TIME:
        *(struct field_int *)entity_field(column, into) = null ? INT_NULL : read_int(text, column->kind);
        break;
    case COLUMN_NUMBER:
        *(struct field_number *)entity_field(column, into) = null ? NUMBER_NULL : number_of(array_read_number(text.at));
        break;
    case COLUMN_BOOL:
        *(bool *)entity_field(column, into) = !null && *text.at != 0;
        break;
    case COLUMN_TEXT:
    case COLUMN_JSON:
    case COLUMN_JSONB:
    case COLUMN_BYTES:
        *(struct span *)entity_field(column, into) = null ? SPAN_NULL : arena_copy(arena, text);
        break;
    case COLUMN_NAME:
    {
        int name = null ? 0 : names_find(column->names, text);
        *(int *)entity_field(column, into) = null || name ? name : NAME_UNKNOWN;
        break;
    }
    case COLUMN_UUID:
        *(struct id *)entity_field(column, into) = null ? (struct id){ 0, 0 } : array_read_id(text.at);
        break;
    case COLUMN_VECTOR:
        break; /* written, never read */
    }
}

void statements_read_row(const PGresult *result, int row, int from, const struct entity *entity, struct arena *arena,
                         void *into)
{
    for (int i = 0; i < entity->column_count; i++)
        if (!(entity->columns[i].flags & COLUMN_UNREAD))
            read_field(result, row, from++, &entity->columns[i], arena, into);
}

struct id statements_read_id(const PGresult *result, int row, int column, const struct column *of)
{
    const char *at = PQgetvalue(result, row, column);
    return of->kind == COLUMN_UUID ? array_read_id(at) : id_of(array_read_int64(at));
}

const char *statements_read_ctid(const PGresult *result, int row)
{
    return PQgetvalue(result, row, PQnfields(result) - 1);
}
