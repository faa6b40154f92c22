#include "worker/postgres/statement_text.h"

#include <assert.h>

static const char *sql_type(enum column_kind kind)
{
    static const char *const types[] = {
        [COLUMN_INT64] = "int8", [COLUMN_INT32] = "int4",       [COLUMN_BOOL] = "bool",     [COLUMN_TEXT] = "text",
        [COLUMN_NAME] = "text",  [COLUMN_TIME] = "timestamptz", [COLUMN_JSON] = "text",     [COLUMN_JSONB] = "text",
        [COLUMN_UUID] = "uuid",  [COLUMN_NUMBER] = "float8",    [COLUMN_VECTOR] = "float4", [COLUMN_BYTES] = "bytea",
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

/* A number in words of SQL that takes one after another: the bounds of the slices of a flat array. */
static void add_bounds(struct buffer *sql, int parameter, int first)
{
    buffer_add_text(sql, "generate_series(");
    add_number(sql, first);
    buffer_add_text(sql, ", cardinality($");
    add_number(sql, parameter);
    buffer_add_text(sql, "::float4[]), ");
    add_number(sql, VECTOR_LENGTH);
    buffer_add_text(sql, ")");
}

/* PostgreSQL has no arrays of arrays: vectors follow one another in one flat array and are cut out of it, in step
 * with what is unnested. Binary, because the text of a vector costs more to print and to parse than all the rest. */
static void add_slices(struct buffer *sql, int parameter)
{
    buffer_add_text(sql, "($");
    add_number(sql, parameter);
    buffer_add_text(sql, "::float4[])[");
    add_bounds(sql, parameter, 1);
    buffer_add_text(sql, " : ");
    add_bounds(sql, parameter, VECTOR_LENGTH);
    buffer_add_text(sql, "]");
}

/* unnest in the select list, not in FROM: there each array is first spooled into a tuple store of its own, here the
 * arrays are walked in step. 100,000 rows of 16 columns into an empty table: 53 ms against 160 ms. */
static void add_unnest(struct buffer *sql, int parameter, const struct column *column)
{
    if (column->kind == COLUMN_VECTOR)
    {
        add_slices(sql, parameter);
        return;
    }
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

void statement_write_columns(struct buffer *sql, const struct entity *entity)
{
    for (int i = 0; i < entity->column_count; i++)
    {
        if (entity->columns[i].flags & COLUMN_UNREAD)
            continue;
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
    statement_write_columns(sql, entity);
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
    statement_write_columns(sql, entity);
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

/* "c = d.c". A word that this program does not know, possibly of a newer migration, was read as such and comes back as
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

static int write_at_positions(struct buffer *sql, const struct entity *entity)
{
    buffer_add_text(sql, "SELECT ");
    statement_write_columns(sql, entity);
    buffer_add_text(sql, " FROM (SELECT unnest($1::int4[]) AS p, unnest($2::int8[]) AS o) k JOIN ");
    add_table(sql, entity);
    buffer_add_text(sql, " t ON t.partition_id = k.p AND t.kafka_offset = k.o");
    return 2;
}

int statement_write(struct buffer *sql, const struct entity *entity, enum statement_kind kind, uint64_t detail)
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
    case STATEMENT_AT_POSITIONS:
        return write_at_positions(sql, entity);
    case STATEMENT_FIXED:
        break;
    }
    assert(false);
    return 0;
}
