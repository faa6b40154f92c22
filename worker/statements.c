#include "worker/statements.h"

#include <assert.h>
#include <stdlib.h>

/* What a kept statement was made for: key[0] the entity (or the literal), key[1] the kind, key[2] columns or key count.
 */
enum statement_kind
{
    STATEMENT_FIXED,
    STATEMENT_LOCK,
    STATEMENT_EXIST,
    STATEMENT_CHILDREN_EXIST,
    STATEMENT_CHILDREN_LOCK,
    STATEMENT_LOOK,
    STATEMENT_DRAW,
    STATEMENT_UPDATE,
    STATEMENT_UPDATE_BY_ID,
    STATEMENT_INSERT,
    STATEMENT_DELETE,
    STATEMENT_ADD,
};

struct statements
{
    struct database *database;
    struct array arrays[ENTITY_COLUMNS_MAX];
};

struct statements *statements_new(struct database *database)
{
    struct statements *statements = calloc(1, sizeof(*statements));
    if (statements)
        statements->database = database;
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

/* --- texts ----------------------------------------------------------------------------------------------------- */

static const char *sql_type(enum column_kind kind)
{
    static const char *const types[] = {
        [COLUMN_INT64] = "int8", [COLUMN_INT32] = "int4", [COLUMN_BOOL] = "bool",
        [COLUMN_TEXT] = "text",  [COLUMN_NAME] = "text",  [COLUMN_TIME] = "timestamptz",
        [COLUMN_JSON] = "text",  [COLUMN_JSONB] = "text", [COLUMN_UUID] = "uuid",
    };
    return types[kind];
}

/* Which cast a text parameter needs on its way into the column. */
static const char *sql_cast(const struct column *column)
{
    if (column->kind == COLUMN_JSON)
        return "::json";
    if (column->kind == COLUMN_JSONB)
        return "::jsonb";
    if (column->kind == COLUMN_NAME && column->names->sql_type)
        return column->names->sql_type;
    return "";
}

static void add_number(struct buffer *sql, int number)
{
    buffer_add_int64(sql, number);
}

/* unnest in the select list, not in FROM: there each array is first spooled into a tuple store of its own, here the
 * arrays are walked in step. 100,000 rows of 16 columns into an empty table: 53 ms against 160 ms. */
static void add_unnest(struct buffer *sql, int parameter, const struct column *column)
{
    buffer_add_text(sql, "unnest($");
    add_number(sql, parameter);
    buffer_add_text(sql, "::");
    buffer_add_text(sql, sql_type(column->kind));
    buffer_add_text(sql, "[])");
}

static void add_table(struct buffer *sql, const struct entity *entity)
{
    buffer_add_text(sql, "interlock.");
    buffer_add_text(sql, entity->table);
}

static void add_columns(struct buffer *sql, const struct entity *entity)
{
    for (int i = 0; i < entity->column_count; i++)
    {
        buffer_add_text(sql, i ? ", t." : "t.");
        buffer_add_text(sql, entity->columns[i].name);
        if (entity->columns[i].kind == COLUMN_JSON || entity->columns[i].kind == COLUMN_JSONB ||
            (entity->columns[i].kind == COLUMN_NAME && entity->columns[i].names->sql_type))
            buffer_add_text(sql, "::text");
    }
}

static void add_where_any(struct buffer *sql, const struct column *column)
{
    buffer_add_text(sql, " t WHERE t.");
    buffer_add_text(sql, column->name);
    buffer_add_text(sql, column->kind == COLUMN_UUID ? " = ANY ($1::uuid[])" : " = ANY ($1::int8[])");
}

static int write_lock(struct buffer *sql, const struct entity *entity, const struct column *by, enum row_lock lock)
{
    /* Who waits takes rows in id order; who skips cannot deadlock. */
    static const char *const clauses[] = {
        [ROW_LOCK_SKIP] = " FOR NO KEY UPDATE SKIP LOCKED",
        [ROW_LOCK_WAIT] = " ORDER BY t.id FOR NO KEY UPDATE",
        [ROW_LOCK_NONE] = "",
    };

    buffer_add_text(sql, "SELECT ");
    add_columns(sql, entity);
    buffer_add_text(sql, ", t.ctid FROM ");
    add_table(sql, entity);
    add_where_any(sql, by);
    buffer_add_text(sql, clauses[lock]);
    return 1;
}

static int write_exist(struct buffer *sql, const struct entity *entity, const struct column *by)
{
    buffer_add_text(sql, "SELECT t.");
    buffer_add_text(sql, entity->columns[0].name);
    buffer_add_text(sql, ", t.");
    buffer_add_text(sql, by->name);
    buffer_add_text(sql, " FROM ");
    add_table(sql, entity);
    add_where_any(sql, by);
    return 1;
}

static int write_look(struct buffer *sql, const struct entity *entity, int key_count)
{
    buffer_add_text(sql, "SELECT k.place, ");
    add_columns(sql, entity);
    buffer_add_text(sql, " FROM (SELECT generate_subscripts($1::");
    buffer_add_text(sql, sql_type(entity->columns[0].kind));
    buffer_add_text(sql, "[], 1) - 1 AS place");
    for (int i = 0; i < key_count; i++)
    {
        buffer_add_text(sql, ", ");
        add_unnest(sql, i + 1, &entity->columns[i]);
        buffer_add_text(sql, " AS ");
        buffer_add_text(sql, entity->columns[i].name);
    }
    buffer_add_text(sql, ") k JOIN ");
    add_table(sql, entity);
    buffer_add_text(sql, " t ON ");
    for (int i = 0; i < key_count; i++)
    {
        buffer_add_text(sql, i ? " AND t." : "t.");
        buffer_add_text(sql, entity->columns[i].name);
        buffer_add_text(sql, " = k.");
        buffer_add_text(sql, entity->columns[i].name);
    }
    return key_count;
}

static int write_draw(struct buffer *sql, const struct entity *entity)
{
    buffer_add_text(sql, "SELECT interlock.");
    buffer_add_text(sql, entity->draw_ids);
    buffer_add_text(sql, "($1::int4)");
    return 1;
}

/* "c = d.c". A word that this program does not know, perhaps of a newer migration, was read as such and comes back as
 * an empty text: the column keeps it. */
static void add_setting(struct buffer *sql, const struct column *column)
{
    const char *const parts[] = { column->name,       " = CASE d.",     column->name,
                                  " WHEN '' THEN t.", column->name,     " ELSE d.",
                                  column->name,       sql_cast(column), " END" };
    const char *const plain[] = { column->name, " = d.", column->name, sql_cast(column) };
    bool word = column->kind == COLUMN_NAME;
    size_t count = word ? sizeof(parts) / sizeof(parts[0]) : sizeof(plain) / sizeof(plain[0]);

    for (size_t i = 0; i < count; i++)
        buffer_add_text(sql, word ? parts[i] : plain[i]);
}

static int write_update(struct buffer *sql, const struct entity *entity, uint64_t columns, bool by_id)
{
    int parameters = 1;

    buffer_add_text(sql, "UPDATE ");
    add_table(sql, entity);
    buffer_add_text(sql, " t SET ");
    for (int i = 1; i < entity->column_count; i++)
        if (columns & UINT64_C(1) << i)
        {
            buffer_add_text(sql, parameters++ > 1 ? ", " : "");
            add_setting(sql, &entity->columns[i]);
        }
    parameters = 1;
    buffer_add_text(sql, " FROM (SELECT ");
    if (by_id)
        add_unnest(sql, parameters++, &entity->columns[0]);
    else
    {
        buffer_add_text(sql, "unnest($1::tid[])");
        parameters++;
    }
    buffer_add_text(sql, " AS which");
    for (int i = 1; i < entity->column_count; i++)
        if (columns & UINT64_C(1) << i)
        {
            buffer_add_text(sql, ", ");
            add_unnest(sql, parameters++, &entity->columns[i]);
            buffer_add_text(sql, " AS ");
            buffer_add_text(sql, entity->columns[i].name);
        }
    buffer_add_text(sql, ") d WHERE t.");
    buffer_add_text(sql, by_id ? entity->columns[0].name : "ctid");
    buffer_add_text(sql, " = d.which");
    return parameters - 1;
}

static int write_insert(struct buffer *sql, const struct entity *entity, uint64_t columns)
{
    int parameters = 0;

    buffer_add_text(sql, "INSERT INTO ");
    add_table(sql, entity);
    for (int i = 0; i < entity->column_count; i++)
        if (columns & UINT64_C(1) << i)
        {
            buffer_add_text(sql, parameters++ ? ", " : " (");
            buffer_add_text(sql, entity->columns[i].name);
        }
    parameters = 0;
    buffer_add_text(sql, ") SELECT ");
    for (int i = 0; i < entity->column_count; i++)
        if (columns & UINT64_C(1) << i)
        {
            buffer_add_text(sql, parameters++ ? ", " : "");
            add_unnest(sql, parameters, &entity->columns[i]);
            buffer_add_text(sql, sql_cast(&entity->columns[i]));
        }
    return parameters;
}

/* "c = t.c + d.c" or "c = greatest(t.c, d.c)" for each counter column. */
static void add_additions(struct buffer *sql, const struct entity *entity, const char *added)
{
    for (int i = 1, n = 0; i < entity->column_count; i++)
    {
        const struct column *column = &entity->columns[i];
        if (!(column->flags & (COLUMN_ADDED | COLUMN_GREATEST)))
            continue;
        buffer_add_text(sql, n++ ? ", " : "");
        buffer_add_text(sql, column->name);
        buffer_add_text(sql, column->flags & COLUMN_ADDED ? " = t." : " = greatest(t.");
        buffer_add_text(sql, column->name);
        buffer_add_text(sql, column->flags & COLUMN_ADDED ? " + " : ", ");
        buffer_add_text(sql, added);
        buffer_add_text(sql, column->name);
        buffer_add_text(sql, column->flags & COLUMN_ADDED ? "" : ")");
    }
}

/* PROTOCOL B8: rows are taken in id order by the subselect, whatever order the join runs in. */
static int write_add(struct buffer *sql, const struct entity *entity)
{
    if (entity->upsert)
    {
        buffer_add_text(sql, "INSERT INTO ");
        add_table(sql, entity);
        buffer_add_text(sql, " AS t (");
        for (int i = 0; i < entity->column_count; i++)
        {
            buffer_add_text(sql, i ? ", " : "");
            buffer_add_text(sql, entity->columns[i].name);
        }
        buffer_add_text(sql, ") SELECT ");
        for (int i = 0; i < entity->column_count; i++)
        {
            buffer_add_text(sql, i ? ", " : "");
            add_unnest(sql, i + 1, &entity->columns[i]);
        }
        buffer_add_text(sql, " ON CONFLICT (id) DO UPDATE SET ");
        add_additions(sql, entity, "excluded.");
        return entity->column_count;
    }
    buffer_add_text(sql, "UPDATE ");
    add_table(sql, entity);
    buffer_add_text(sql, " t SET ");
    add_additions(sql, entity, "d.");
    buffer_add_text(sql, " FROM (SELECT ");
    for (int i = 0; i < entity->column_count; i++)
    {
        buffer_add_text(sql, i ? ", " : "");
        add_unnest(sql, i + 1, &entity->columns[i]);
        buffer_add_text(sql, " AS ");
        buffer_add_text(sql, entity->columns[i].name);
    }
    buffer_add_text(sql, ") d, (SELECT id FROM ");
    add_table(sql, entity);
    buffer_add_text(sql, " WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE) l WHERE t.id = l.id AND d.id = l.id");
    return entity->column_count;
}

static int write_delete(struct buffer *sql, const struct entity *entity)
{
    buffer_add_text(sql, "DELETE FROM ");
    add_table(sql, entity);
    add_where_any(sql, &entity->columns[0]);
    return 1;
}

static int write_statement(struct buffer *sql, const struct entity *entity, enum statement_kind kind, uint64_t detail)
{
    const struct column *key = &entity->columns[0];
    const struct column *parent = entity->parent >= 0 ? &entity->columns[entity->parent] : key;

    switch (kind)
    {
    case STATEMENT_LOCK:
        return write_lock(sql, entity, key, (enum row_lock)detail);
    case STATEMENT_EXIST:
        return write_exist(sql, entity, key);
    case STATEMENT_CHILDREN_EXIST:
        return write_exist(sql, entity, parent);
    case STATEMENT_CHILDREN_LOCK:
        return write_lock(sql, entity, parent, (enum row_lock)detail);
    case STATEMENT_LOOK:
        return write_look(sql, entity, (int)detail);
    case STATEMENT_DRAW:
        return write_draw(sql, entity);
    case STATEMENT_UPDATE:
        return write_update(sql, entity, detail, false);
    case STATEMENT_UPDATE_BY_ID:
        return write_update(sql, entity, detail, true);
    case STATEMENT_INSERT:
        return write_insert(sql, entity, detail);
    case STATEMENT_DELETE:
        return write_delete(sql, entity);
    case STATEMENT_ADD:
        return write_add(sql, entity);
    case STATEMENT_FIXED:
        break;
    }
    assert(false);
    return 0;
}

static struct statement *find(struct statements *statements, const struct entity *entity, enum statement_kind kind,
                              uint64_t detail)
{
    const uint64_t key[3] = { (uint64_t)(uintptr_t)entity, kind, detail };
    struct statement *statement = database_statement(statements->database, key);
    if (statement)
        return statement;

    struct buffer sql = BUFFER_EMPTY;
    int parameters = write_statement(&sql, entity, kind, detail);
    buffer_add_byte(&sql, '\0');
    if (buffer_failed(&sql))
    {
        buffer_done(&sql);
        return NULL;
    }
    size_t size;
    return database_add_statement(statements->database, key, buffer_take(&sql, &size), parameters);
}

/* --- sends ----------------------------------------------------------------------------------------------------- */

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
    return database_send(statements->database, statement, values, count);
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

    return statement && database_send(statements->database, statement, &value, 1);
}

static void fill_places(struct array *array, const struct row *const *rows, int count)
{
    array_begin(array, ARRAY_TID);
    for (int i = 0; i < count; i++)
        array_add_bytes(array, rows[i]->place, TID_SIZE);
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
    case COLUMN_TEXT:
    case COLUMN_JSON:
    case COLUMN_JSONB:
        return ((const struct span *)field)->at != NULL;
    case COLUMN_NAME:
        return *(const int *)field != 0;
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

bool statements_send_fixed(struct statements *statements, const char *sql, const struct array *const *arrays, int count)
{
    const uint64_t key[3] = { (uint64_t)(uintptr_t)sql, STATEMENT_FIXED, 0 };
    struct statement *statement = database_statement(statements->database, key);

    if (statement == NULL)
        statement = database_add_statement(statements->database, key, strdup(sql), count);
    return send_arrays(statements, statement, arrays, count);
}

/* --- reads ----------------------------------------------------------------------------------------------------- */

static struct field_int read_int(const PGresult *result, int row, int at, enum column_kind kind)
{
    const char *value = PQgetvalue(result, row, at);

    if (PQgetisnull(result, row, at))
        return INT_NULL;
    if (kind == COLUMN_TIME)
        return int_of(array_read_time(value));
    switch (PQgetlength(result, row, at))
    {
    case 2:
        return int_of((int16_t)__builtin_bswap16(*(const uint16_t *)(const void *)value));
    case 4:
        return int_of(array_read_int32(value));
    default:
        return int_of(array_read_int64(value));
    }
}

static void read_field(const PGresult *result, int row, int at, const struct column *column, struct arena *arena,
                       void *into)
{
    bool null = PQgetisnull(result, row, at) != 0;
    struct span text = { PQgetvalue(result, row, at), (size_t)PQgetlength(result, row, at) };

    switch (column->kind)
    {
    case COLUMN_INT64:
    case COLUMN_INT32:
    case COLUMN_TIME:
        *(struct field_int *)entity_field(column, into) = read_int(result, row, at, column->kind);
        break;
    case COLUMN_BOOL:
        *(bool *)entity_field(column, into) = !null && *text.at != 0;
        break;
    case COLUMN_TEXT:
    case COLUMN_JSON:
    case COLUMN_JSONB:
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
    }
}

void statements_read_row(const PGresult *result, int row, int from, const struct entity *entity, struct arena *arena,
                         void *into)
{
    for (int i = 0; i < entity->column_count; i++)
        read_field(result, row, from + i, &entity->columns[i], arena, into);
}

struct id statements_read_id(const PGresult *result, int row, int column, const struct column *of)
{
    const char *at = PQgetvalue(result, row, column);
    return of->kind == COLUMN_UUID ? array_read_id(at) : id_of(array_read_int64(at));
}

const char *statements_read_place(const PGresult *result, int row)
{
    return PQgetvalue(result, row, PQnfields(result) - 1);
}
