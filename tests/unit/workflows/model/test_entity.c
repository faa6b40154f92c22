#include "tests/fixtures/core.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The schema as text, all up-migrations one after another. */
static char *schema;

static int read_schema(void **state)
{
    (void)state;
    glob_t files;
    struct buffer text = BUFFER_EMPTY;
    char piece[4096];
    if (glob("schema/*.up.sql", 0, NULL, &files) != 0)
        return -1;
    for (size_t i = 0; i < files.gl_pathc; i++)
    {
        FILE *file = fopen(files.gl_pathv[i], "r");
        if (!file)
            return -1;
        for (size_t size; (size = fread(piece, 1, sizeof(piece), file)) > 0;)
            buffer_add(&text, piece, size);
        fclose(file);
    }
    globfree(&files);
    buffer_add_byte(&text, '\0');
    size_t size;
    schema = buffer_take(&text, &size);
    return 0;
}

static int drop_schema(void **state)
{
    (void)state;
    free(schema);
    return 0;
}

/* The text between "CREATE TABLE interlock.<table> (" and the line that closes it. */
static struct span table_text(const char *table)
{
    char head[128];
    snprintf(head, sizeof(head), "CREATE TABLE interlock.%s (\n", table);
    const char *begin = strstr(schema, head);
    if (!begin)
        fail_msg("no table %s", table);
    begin += strlen(head);
    return (struct span){ begin, (size_t)(strstr(begin, "\n)") + 1 - begin) };
}

/* The lines of what later migrations add to the table, after `from`; a null span when there is no more. */
static struct span added_text(const char *table, const char *from)
{
    char head[128];
    snprintf(head, sizeof(head), "ALTER TABLE interlock.%s\n", table);
    const char *begin = strstr(from, head);
    if (!begin)
        return SPAN_NULL;
    begin += strlen(head);
    return (struct span){ begin, (size_t)(strstr(begin, ";\n") + 2 - begin) };
}

/* The definition of a column: from behind its name to the next line that begins a column or a constraint. `before`:
 * what stands before the name. */
static struct span column_text(struct span table, const char *before, const char *name)
{
    char head[128];
    size_t head_size = (size_t)snprintf(head, sizeof(head), "    %s%s ", before, name);
    for (const char *at = table.at; at < table.at + table.size; at = strchr(at, '\n') + 1)
    {
        if (strncmp(at, head, head_size) != 0)
            continue;
        const char *end = strchr(at, '\n') + 1;
        while (strncmp(end, "     ", 5) == 0)
            end = strchr(end, '\n') + 1;
        return (struct span){ at + head_size, (size_t)(end - at) - head_size };
    }
    return SPAN_NULL;
}

/* The definition of a column of a table, whichever migration made it. */
static struct span find_column(const char *table, const char *name)
{
    struct span text = column_text(table_text(table), "", name);
    for (struct span added = added_text(table, schema); !text.at && added.at; added = added_text(table, added.at))
        text = column_text(added, "ADD COLUMN ", name);
    return text;
}

static bool contains(struct span text, const char *word)
{
    return memmem(text.at, text.size, word, strlen(word)) != NULL;
}

static const char *const sql_types[] = {
    [COLUMN_INT64] = "bigint",  [COLUMN_INT32] = "integer",
    [COLUMN_BOOL] = "boolean",  [COLUMN_TEXT] = "text",
    [COLUMN_NAME] = "text",     [COLUMN_TIME] = "timestamptz",
    [COLUMN_JSON] = "json",     [COLUMN_JSONB] = "jsonb",
    [COLUMN_UUID] = "uuid",     [COLUMN_NUMBER] = "double precision",
    [COLUMN_VECTOR] = "real[]",
};

static void every_column_in_c_is_in_the_schema_with_its_type(void **state)
{
    (void)state;
    for (int e = 0; entities[e]; e++)
        for (int i = 0; i < entities[e]->column_count; i++)
        {
            const struct column *column = &entities[e]->columns[i];
            struct span text = find_column(entities[e]->table, column->name);
            if (!text.at)
                fail_msg("%s has no column %s", entities[e]->table, column->name);
            while (text.size && *text.at == ' ')
                text.at++, text.size--;
            const char *type = sql_types[column->kind];
            if (strncmp(text.at, type, strlen(type)) != 0 || !strchr(" ,\n", text.at[strlen(type)]))
                fail_msg("%s.%s is not %s", entities[e]->table, column->name, type);
        }
}

static void every_column_of_a_table_with_aggregates_is_in_c_but_the_generated(void **state)
{
    (void)state;
    for (int e = 0; entities[e]; e++)
    {
        if (!entities[e]->root)
            continue;
        struct span table = table_text(entities[e]->table);
        int count = 0;
        for (const char *at = table.at; at < table.at + table.size; at = strchr(at, '\n') + 1)
            if (strncmp(at, "    ", 4) == 0 && at[4] >= 'a' && at[4] <= 'z')
                count++;
        count -= contains(table, "GENERATED ALWAYS AS (");
        for (struct span added = added_text(entities[e]->table, schema); added.at;
             added = added_text(entities[e]->table, added.at))
            for (const char *at = added.at; at < added.at + added.size; at = strchr(at, '\n') + 1)
            {
                struct span line = { at, (size_t)(strchr(at, '\n') - at) };
                count += strncmp(at, "    ADD COLUMN ", 15) == 0 && !contains(line, "GENERATED ALWAYS AS (");
            }
        assert_int_equal(count, entities[e]->column_count);
    }
}

static void every_word_set_is_the_check_of_its_column(void **state)
{
    (void)state;
    for (int e = 0; entities[e]; e++)
        for (int i = 0; i < entities[e]->column_count; i++)
        {
            const struct column *column = &entities[e]->columns[i];
            assert_true((column->kind == COLUMN_NAME) == (column->names != NULL));
            if (!column->names)
                continue;
            struct span text = find_column(entities[e]->table, column->name);
            const char *list = memmem(text.at, text.size, " IN (", 5);
            assert_non_null(list);
            struct span words = { list, text.size - (size_t)(list - text.at) };
            int quotes = 0;
            for (size_t n = 0; n < words.size; n++)
                quotes += words.at[n] == '\'';
            assert_int_equal(quotes, 2 * (column->names->count - 1));
            assert_null(column->names->names[0]);
            for (int n = 1; n < column->names->count; n++)
            {
                char quoted[64];
                snprintf(quoted, sizeof(quoted), "'%s'", column->names->names[n]);
                assert_true(contains(words, quoted));
                assert_int_equal(names_find(column->names, span_of(column->names->names[n])), n);
            }
        }
}

static void every_function_that_draws_ids_is_in_the_schema(void **state)
{
    (void)state;
    for (int e = 0; entities[e]; e++)
    {
        char head[128];
        snprintf(head, sizeof(head), "CREATE FUNCTION interlock.%s(",
                 entities[e]->draw_ids ? entities[e]->draw_ids : "refuse_change");
        assert_non_null(strstr(schema, head));
    }
}

static void check_index(const struct entity *entity, int index, const char *name, enum column_kind kind)
{
    if (index == COLUMN_NOT_THERE)
        return;
    assert_true(index > 0 && index < entity->column_count);
    assert_string_equal(entity->columns[index].name, name);
    assert_int_equal(entity->columns[index].kind, kind);
}

/* With it PROTOCOL B6: every aggregate is a root row with a version. */
static void entities_stand_at_their_places_with_their_keys_first(void **state)
{
    (void)state;
    for (int e = 0; entities[e]; e++)
    {
        const struct entity *entity = entities[e];
        assert_int_equal(entity->place, e);
        assert_true(entity->column_count <= ENTITY_COLUMNS_MAX && entity->key_count <= entity->column_count);
        assert_true(e < ENTITIES_MAX && entity->key_count >= 1);
        assert_int_equal(entity->columns[0].offset, 0); /* the key is the first field, too */
        for (int i = 0; i < entity->column_count; i++)
            assert_true(entity->columns[i].offset < entity->row_size);
        assert_true(entity->root == (entity->version != COLUMN_NOT_THERE));
        assert_true((entity->root || entity->parent_entity) == (entity->aggregate != AGGREGATE_NONE));
        if (entity->parent_entity) /* roots are locked first, and are of the same aggregate */
        {
            assert_true(entity->parent_entity->root && entity->parent_entity->place < entity->place);
            assert_int_equal(entity->parent_entity->aggregate, entity->aggregate);
            assert_true(entity->parent > 0 && entity->columns[entity->parent].kind == COLUMN_INT64);
        }
        check_index(entity, entity->version, "version", COLUMN_INT64);
        check_index(entity, entity->modified_at, "modified_at", COLUMN_TIME);
        check_index(entity, entity->modified_by, "modified_by", COLUMN_TEXT);
        check_index(entity, entity->created_at, "created_at", COLUMN_TIME);
        check_index(entity, entity->status, "status", COLUMN_NAME);
        check_index(entity, entity->person, "assigned_person_id", COLUMN_INT64);
        check_index(entity, entity->group, "assigned_group_id", COLUMN_INT64);
        if (!entity->parent_entity)
            check_index(entity, entity->parent, "parent_id", COLUMN_INT64);
    }
    assert_null(entities[PLACE__COUNT]);
    /* a referenced row is written first */
    assert_true(PLACE_JOB < PLACE_JOBNEED && PLACE_JOBNEED < PLACE_TICKET && PLACE_TICKET < PLACE_TICKET_HISTORY);
    assert_true(PLACE_FACE_VERIFICATION_LOG < PLACE_FACE_MODEL_COUNTER); /* counters last: PROTOCOL B8 */
}

/* An unread column cannot be compared, a unique one is a flag: what the engine does with them rests on that. */
static void flags_stand_where_they_mean_something(void **state)
{
    (void)state;
    for (int e = 0; entities[e]; e++)
        for (int i = 0; i < entities[e]->column_count; i++)
        {
            const struct column *column = &entities[e]->columns[i];
            assert_true(!(column->flags & COLUMN_UNIQUE) || column->kind == COLUMN_BOOL);
            assert_true(column->kind != COLUMN_VECTOR || column->flags & COLUMN_UNREAD);
            assert_true(!(column->flags & COLUMN_UNREAD) || i >= entities[e]->key_count);
        }
    assert_true(entity_has(&entity_face_embedding, COLUMN_UNIQUE));
    assert_false(entity_has(&entity_ticket, COLUMN_UNIQUE));
}

static void the_difference_of_two_rows_is_the_mask_of_their_columns(void **state)
{
    (void)state;
    struct ticket_row a = { .id = int_of(1), .comments = SPAN_LITERAL("x") }, b = a;
    b.id = int_of(2); /* the key does not count */
    assert_int_equal(entity_difference(&entity_ticket, &a, &b), 0);
    b.level = int_of(0);
    b.escalated = true;
    b.status = TICKET_OPEN;
    b.comments = SPAN_LITERAL("y");
    uint64_t mask = entity_difference(&entity_ticket, &a, &b);
    for (int i = 0; i < entity_ticket.column_count; i++)
    {
        const char *name = entity_ticket.columns[i].name;
        bool differs = strcmp(name, "level") == 0 || strcmp(name, "escalated") == 0 || strcmp(name, "status") == 0 ||
                       strcmp(name, "comments") == 0;
        assert_int_equal(mask >> i & 1, differs);
    }
    b = a;
    b.comments = SPAN_LITERAL("");
    a.comments = SPAN_NULL; /* null is not the empty text, and 0 is a number */
    b.level = int_of(0);
    a.level = INT_NULL;
    assert_int_equal(__builtin_popcountll(entity_difference(&entity_ticket, &a, &b)), 2);
    a.level = (struct field_int){ 77, false };
    b = a;
    b.level.value = 78; /* the value of a null is nothing */
    assert_int_equal(entity_difference(&entity_ticket, &a, &b), 0);
    static const float numbers[VECTOR_LENGTH];
    struct face_embedding_row seen = { .id = int_of(1) }, next = { .id = int_of(1), .vector = numbers };
    assert_int_equal(entity_difference(&entity_face_embedding, &seen, &next), 0); /* nobody knows what it was */
    next.is_primary = true;
    assert_int_equal(__builtin_popcountll(entity_difference(&entity_face_embedding, &seen, &next)), 1);
}

static void words_are_found_whole_only(void **state)
{
    (void)state;
    assert_int_equal(names_find(&names_ticket_status, SPAN_LITERAL("OPEN")), TICKET_OPEN);
    static const char *const others[] = { "", "O", "OPE", "OPENS", "open", "OPEN ", "NEW\nOPEN" };
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_int_equal(names_find(&names_ticket_status, span_of(others[i])), 0);
    assert_int_equal(names_find(&names_ticket_status, SPAN_NULL), 0);
    assert_int_equal(names_find(&names_ticket_status, (struct span){ "OPEN\0", 5 }), 0);
    assert_text(names_word(&names_ticket_status, TICKET_OPEN), "OPEN");
    assert_text(names_word(&names_ticket_status, 0), NULL);
    assert_text(names_word(&names_ticket_status, NAME_UNKNOWN), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_column_in_c_is_in_the_schema_with_its_type),
        cmocka_unit_test(every_column_of_a_table_with_aggregates_is_in_c_but_the_generated),
        cmocka_unit_test(every_word_set_is_the_check_of_its_column),
        cmocka_unit_test(every_function_that_draws_ids_is_in_the_schema),
        cmocka_unit_test(entities_stand_at_their_places_with_their_keys_first),
        cmocka_unit_test(flags_stand_where_they_mean_something),
        cmocka_unit_test(the_difference_of_two_rows_is_the_mask_of_their_columns),
        cmocka_unit_test(words_are_found_whole_only),
    };
    return cmocka_run_group_tests(tests, read_schema, drop_schema);
}
