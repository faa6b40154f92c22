/* fake: pq */
#include "tests/fixtures/cmocka.h"

#include <stdlib.h>

#include "tests/fakes/pq.h"
#include "worker/postgres/statements.h"
#include "worker/settings/settings.h"

/* --- two small entities ------------------------------------------------------------------------------------------ */

static const char *const words[] = { NULL, "RED", "GREEN" };
static const struct names colours = { words, 3, NULL };
static const struct names moods = { words, 3, "::interlock.mood" };

struct thing
{
    struct field_int id, parent_id, seq, at;
    bool flag;
    int colour, mood;
    struct span name, info, extra;
};

static const struct column thing_columns[] = {
    COLUMN(thing, id, COLUMN_INT64, 0, NULL),    COLUMN(thing, parent_id, COLUMN_INT64, 0, NULL),
    COLUMN(thing, seq, COLUMN_INT32, 0, NULL),   COLUMN(thing, at, COLUMN_TIME, 0, NULL),
    COLUMN(thing, flag, COLUMN_BOOL, 0, NULL),   COLUMN(thing, colour, COLUMN_NAME, 0, &colours),
    COLUMN(thing, mood, COLUMN_NAME, 0, &moods), COLUMN(thing, name, COLUMN_TEXT, 0, NULL),
    COLUMN(thing, info, COLUMN_JSONB, 0, NULL),  COLUMN(thing, extra, COLUMN_JSON, 0, NULL),
};

enum
{
    PARENT_ID = 1,
    SEQ = 2,
    MOOD = 6,
    INFO = 8,
    EXTRA = 9,
};

static const struct entity thing = {
    .table = "thing",
    .row_size = sizeof(struct thing),
    .columns = thing_columns,
    .column_count = ENTITY_COLUMN_COUNT(thing_columns),
    .key_count = 1,
    .parent = PARENT_ID,
    .root = true,
    .draw_ids = "draw_thing_ids",
};

struct counter
{
    struct id id;
    struct field_int uses, last_used;
};

static const struct column counter_columns[] = {
    COLUMN(counter, id, COLUMN_UUID, COLUMN_FIXED, NULL),
    COLUMN(counter, uses, COLUMN_INT64, COLUMN_ADDED, NULL),
    COLUMN(counter, last_used, COLUMN_TIME, COLUMN_GREATEST, NULL),
};

#define COUNTER(...) \
    { \
        .table = "counter", .row_size = sizeof(struct counter), .columns = counter_columns, \
        .column_count = ENTITY_COLUMN_COUNT(counter_columns), .key_count = 2, .parent = COLUMN_NOT_THERE, __VA_ARGS__ \
    }

static const struct entity counter = COUNTER(.upsert = false);
static const struct entity upserted_counter = COUNTER(.upsert = true);

/* A child with a table of its own, and a column that is written only. */
struct part
{
    struct field_int id, thing_id;
    const float *vector;
    bool flag;
};

static const struct column part_columns[] = {
    COLUMN(part, id, COLUMN_INT64, COLUMN_FIXED, NULL),
    COLUMN(part, thing_id, COLUMN_INT64, 0, NULL),
    COLUMN(part, vector, COLUMN_VECTOR, COLUMN_FIXED | COLUMN_UNREAD, NULL),
    COLUMN(part, flag, COLUMN_BOOL, COLUMN_UNIQUE, NULL),
};

static const struct entity part = {
    .table = "part",
    .row_size = sizeof(struct part),
    .columns = part_columns,
    .column_count = ENTITY_COLUMN_COUNT(part_columns),
    .key_count = 1,
    .parent = 1,
    .parent_entity = &thing,
};

#define ALL_COLUMNS \
    "t.id, t.parent_id, t.seq, t.at, t.flag, t.colour, t.mood::text, t.name, t.info::text, t.extra::text"

/* --- the scene --------------------------------------------------------------------------------------------------- */

static struct settings settings;
static struct pipeline *pipeline;
static struct statements *statements;
static const struct id ids[] = { { 0, 3 }, { 0, 7 } };

static int set_up(void **state)
{
    static const struct pq_row rows[] = { PQ_STARTS, PQ_SETS_UP, PQ_END };
    static char url[] = "";
    (void)state;
    settings.database.url = url;
    settings.database.connect_timeout_us = settings.database.statement_timeout_us = 1000000;
    settings.protections.transaction = settings.protections.session_terms = true;
    pipeline = pipeline_new(&settings, "test");
    statements = pipeline ? statements_new(pipeline) : NULL;
    pq_play(rows);
    return statements && pipeline_connect(pipeline, NULL) ? 0 : -1;
}

static int tear_down(void **state)
{
    static const struct pq_row rows[] = { PQ_FINISHES, PQ_END };
    (void)state;
    pq_play(rows);
    statements_free(statements);
    pipeline_free(pipeline);
    pq_end();
    return 0;
}

/* The next send prepares exactly this. */
static void expect(const char *sql)
{
    static struct pq_row rows[3];
    rows[0] = (struct pq_row)PQ_PREPARES(sql);
    rows[1] = (struct pq_row)PQ_EXECUTES(NULL);
    rows[2] = (struct pq_row)PQ_END;
    pq_play(rows);
}

/* The next send uses what is prepared. */
static void expect_prepared(const char *name)
{
    static struct pq_row rows[2];
    rows[0] = (struct pq_row)PQ_EXECUTES(name);
    rows[1] = (struct pq_row)PQ_END;
    pq_play(rows);
}

/* The element at `at` of an array parameter of fixed-size elements. */
static int64_t element(int parameter, int at, size_t size)
{
    struct span array = pq_parameter(parameter);
    const char *value = array.at + 20 + (size_t)at * (size + 4) + 4;
    return size == 8 ? array_read_int64(value) : array_read_int32(value);
}

static int32_t length(int parameter)
{
    return array_read_int32(pq_parameter(parameter).at + 12);
}

/* --- reads ------------------------------------------------------------------------------------------------------- */

static void rows_are_taken_as_the_lock_says(void **state)
{
    (void)state;
    expect("SELECT " ALL_COLUMNS
           ", t.ctid FROM interlock.thing t WHERE t.id = ANY ($1::int8[]) FOR NO KEY UPDATE SKIP LOCKED");
    assert_true(statements_send_lock(statements, &thing, ids, 2, ROW_LOCK_SKIP));
    assert_int_equal(pq_parameter_count(), 1);
    assert_int_equal(length(0), 2);
    assert_int_equal(element(0, 0, 8), 3);
    assert_int_equal(element(0, 1, 8), 7);
    expect("SELECT " ALL_COLUMNS
           ", t.ctid FROM interlock.thing t WHERE t.id = ANY ($1::int8[]) ORDER BY t.id FOR NO KEY UPDATE");
    assert_true(statements_send_lock(statements, &thing, ids, 2, ROW_LOCK_WAIT));
    expect("SELECT " ALL_COLUMNS ", t.ctid FROM interlock.thing t WHERE t.id = ANY ($1::int8[])");
    assert_true(statements_send_lock(statements, &thing, ids, 2, ROW_LOCK_NONE));
}

static void existence_is_asked_without_a_lock(void **state)
{
    (void)state;
    expect("SELECT t.id, t.id FROM interlock.thing t WHERE t.id = ANY ($1::int8[])");
    assert_true(statements_send_exist(statements, &thing, ids, 2));
    expect("SELECT t.id, t.parent_id FROM interlock.thing t WHERE t.parent_id = ANY ($1::int8[])");
    assert_true(statements_send_children_exist(statements, &thing, ids, 2));
}

static void children_are_taken_by_their_parents(void **state)
{
    (void)state;
    expect("SELECT " ALL_COLUMNS
           ", t.ctid FROM interlock.thing t WHERE t.parent_id = ANY ($1::int8[]) FOR NO KEY UPDATE SKIP LOCKED");
    assert_true(statements_send_children_lock(statements, &thing, ids, 2, ROW_LOCK_SKIP));
    expect("SELECT " ALL_COLUMNS
           ", t.ctid FROM interlock.thing t WHERE t.parent_id = ANY ($1::int8[]) ORDER BY t.id FOR NO KEY UPDATE");
    assert_true(statements_send_children_lock(statements, &thing, ids, 2, ROW_LOCK_WAIT));
}

static void unread_columns_are_not_loaded(void **state)
{
    (void)state;
    expect("SELECT t.id, t.thing_id, t.flag, t.ctid FROM interlock.part t WHERE t.thing_id = ANY ($1::int8[]) "
           "FOR NO KEY UPDATE SKIP LOCKED");
    assert_true(statements_send_children_lock(statements, &part, ids, 2, ROW_LOCK_SKIP));
    expect("SELECT t.id, t.thing_id FROM interlock.part t WHERE t.thing_id = ANY ($1::int8[])");
    assert_true(statements_send_children_exist(statements, &part, ids, 2));
}

static void a_uuid_is_asked_for_as_a_uuid(void **state)
{
    (void)state;
    expect("SELECT t.id, t.uses, t.last_used, t.ctid FROM interlock.counter t WHERE t.id = ANY ($1::uuid[]) "
           "FOR NO KEY UPDATE SKIP LOCKED");
    assert_true(statements_send_lock(statements, &counter, ids, 2, ROW_LOCK_SKIP));
    assert_int_equal(pq_parameter(0).size, 20 + 2 * 20);
}

static void looks_answer_with_their_place(void **state)
{
    struct thing keys[] = { { .id = int_of(5), .parent_id = int_of(50) },
                            { .id = int_of(6), .parent_id = int_of(60) } };
    const void *const rows[] = { &keys[0], &keys[1] };
    (void)state;
    expect("SELECT k.place, " ALL_COLUMNS " FROM (SELECT generate_subscripts($1::int8[], 1) - 1 AS place, "
           "unnest($1::int8[]) AS id) k JOIN interlock.thing t ON t.id = k.id");
    assert_true(statements_send_look(statements, &thing, 1, rows, 2));
    expect("SELECT k.place, " ALL_COLUMNS " FROM (SELECT generate_subscripts($1::int8[], 1) - 1 AS place, "
           "unnest($1::int8[]) AS id, unnest($2::int8[]) AS parent_id) k "
           "JOIN interlock.thing t ON t.id = k.id AND t.parent_id = k.parent_id");
    assert_true(statements_send_look(statements, &thing, 2, rows, 2));
    assert_int_equal(pq_parameter_count(), 2);
    assert_int_equal(element(1, 1, 8), 60);
}

static void ids_are_drawn_by_their_function(void **state)
{
    (void)state;
    expect("SELECT interlock.draw_thing_ids($1::int4)");
    assert_true(statements_send_draw(statements, &thing, 258));
    assert_int_equal(pq_parameter(0).size, 4);
    assert_int_equal(array_read_int32(pq_parameter(0).at), 258);
}

/* --- writes ------------------------------------------------------------------------------------------------------ */

/* A row as the batch holds it. */
static struct row row_of(struct thing *content, const uint8_t place[TID_SIZE])
{
    struct row row = { .entity = &thing, .state = ROW_LOADED, .current = content };
    memcpy(row.ctid, place, TID_SIZE);
    return row;
}

static const uint8_t first_place[TID_SIZE] = { 0, 0, 1, 2, 0, 7 }, second_place[TID_SIZE] = { 0, 0, 1, 2, 0, 8 };

static void an_update_sets_the_columns_that_are_asked_for_in_the_rows_at_their_places(void **state)
{
    struct thing a = { .id = int_of(5), .seq = int_of(9), .mood = 2, .info = SPAN_LITERAL("{}") },
                 b = { .id = int_of(6) };
    struct row row_a = row_of(&a, first_place), row_b = row_of(&b, second_place);
    const struct row *const rows[] = { &row_a, &row_b };
    (void)state;
    expect("UPDATE interlock.thing t SET seq = d.seq, mood = CASE d.mood WHEN '' THEN t.mood ELSE "
           "d.mood::interlock.mood END, info = d.info::jsonb, "
           "extra = d.extra::json FROM (SELECT unnest($1::tid[]) AS which, unnest($2::int4[]) AS seq, "
           "unnest($3::text[]) AS mood, unnest($4::text[]) AS info, unnest($5::text[]) AS extra) d "
           "WHERE t.ctid = d.which");
    uint64_t columns = 1u << SEQ | 1u << MOOD | 1u << INFO | 1u << EXTRA;
    assert_true(statements_send_update(statements, &thing, columns, rows, 2, false));
    assert_int_equal(pq_parameter_count(), 5);
    assert_int_equal(array_read_int32(pq_parameter(0).at + 8), ARRAY_TID);
    assert_memory_equal(pq_parameter(0).at + 24, first_place, TID_SIZE);
    assert_memory_equal(pq_parameter(0).at + 24 + TID_SIZE + 4, second_place, TID_SIZE);
    assert_int_equal(element(1, 0, 4), 9);
}

static void an_update_of_rows_that_are_not_locked_finds_them_by_id(void **state)
{
    struct thing content = { .id = int_of(5), .seq = int_of(9) };
    struct row row = row_of(&content, first_place);
    const struct row *const rows[] = { &row };
    (void)state;
    expect("UPDATE interlock.thing t SET seq = d.seq FROM (SELECT unnest($1::int8[]) AS which, "
           "unnest($2::int4[]) AS seq) d WHERE t.id = d.which");
    assert_true(statements_send_update(statements, &thing, 1u << SEQ, rows, 1, true));
    assert_int_equal(element(0, 0, 8), 5);
}

static void an_insert_leaves_out_what_is_null_in_every_row(void **state)
{
    struct thing a = { .id = int_of(5), .name = SPAN_LITERAL("") }, b = { .id = int_of(6), .seq = int_of(1) };
    const void *const rows[] = { &a, &b };
    (void)state;
    /* A boolean is never null. An empty text is not null. */
    expect("INSERT INTO interlock.thing (id, seq, flag, name) SELECT unnest($1::int8[]), unnest($2::int4[]), "
           "unnest($3::bool[]), unnest($4::text[])");
    assert_true(statements_send_insert(statements, &thing, rows, 2));
    assert_int_equal(pq_parameter_count(), 4);
    assert_int_equal(array_read_int32(pq_parameter(1).at + 4), 1); /* it has a null */
    assert_int_equal(length(1), 2);
}

static void an_insert_of_everything_names_every_column_and_its_cast(void **state)
{
    struct thing row = { int_of(1), int_of(2), int_of(3),         int_of(4),          true,
                         1,         2,         SPAN_LITERAL("n"), SPAN_LITERAL("{}"), SPAN_LITERAL("[]") };
    const void *const rows[] = { &row };
    (void)state;
    expect("INSERT INTO interlock.thing (id, parent_id, seq, at, flag, colour, mood, name, info, extra) "
           "SELECT unnest($1::int8[]), unnest($2::int8[]), unnest($3::int4[]), unnest($4::timestamptz[]), "
           "unnest($5::bool[]), unnest($6::text[]), unnest($7::text[])::interlock.mood, unnest($8::text[]), "
           "unnest($9::text[])::jsonb, unnest($10::text[])::json");
    assert_true(statements_send_insert(statements, &thing, rows, 1));
}

static void vectors_go_in_one_flat_array_and_are_cut_out_of_it(void **state)
{
    static float numbers[2][VECTOR_LENGTH];
    struct part a = { int_of(1), int_of(5), numbers[0], false }, b = { int_of(2), int_of(5), numbers[1], true };
    const void *const rows[] = { &a, &b };
    const float last = 0.1F;
    (void)state;
    numbers[1][VECTOR_LENGTH - 1] = last;
    expect("INSERT INTO interlock.part (id, thing_id, vector, flag) SELECT unnest($1::int8[]), unnest($2::int8[]), "
           "($3::float4[])[generate_series(1, cardinality($3::float4[]), 512) : "
           "generate_series(512, cardinality($3::float4[]), 512)], unnest($4::bool[])");
    assert_true(statements_send_insert(statements, &part, rows, 2));
    assert_int_equal(array_read_int32(pq_parameter(2).at + 8), ARRAY_FLOAT4);
    assert_int_equal(length(2), 2 * VECTOR_LENGTH);
    int32_t bits = (int32_t)element(2, 2 * VECTOR_LENGTH - 1, 4);
    assert_memory_equal(&bits, &last, sizeof(bits));
    a.vector = b.vector = NULL;
    expect("INSERT INTO interlock.part (id, thing_id, flag) SELECT unnest($1::int8[]), unnest($2::int8[]), "
           "unnest($3::bool[])");
    assert_true(statements_send_insert(statements, &part, rows, 2));
}

static void rows_are_deleted_by_their_key(void **state)
{
    (void)state;
    expect("DELETE FROM interlock.thing t WHERE t.id = ANY ($1::int8[])");
    assert_true(statements_send_delete(statements, &thing, ids, 2));
}

/* PROTOCOL B8: the rows are taken in the order of their ids, whatever the join does. */
static void counters_are_added_to_in_the_order_of_their_ids(void **state)
{
    struct counter row = { { 1, 2 }, int_of(3), int_of(4) };
    const void *const rows[] = { &row };
    (void)state;
    expect(
        "UPDATE interlock.counter t SET uses = t.uses + d.uses, last_used = greatest(t.last_used, d.last_used) "
        "FROM (SELECT unnest($1::uuid[]) AS id, unnest($2::int8[]) AS uses, unnest($3::timestamptz[]) AS last_used) d, "
        "(SELECT id FROM interlock.counter WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE) l "
        "WHERE t.id = l.id AND d.id = l.id");
    assert_true(statements_send_add(statements, &counter, rows, 1));
    expect("INSERT INTO interlock.counter AS t (id, uses, last_used) SELECT unnest($1::uuid[]), unnest($2::int8[]), "
           "unnest($3::timestamptz[]) ON CONFLICT (id) DO UPDATE SET uses = t.uses + excluded.uses, "
           "last_used = greatest(t.last_used, excluded.last_used)");
    assert_true(statements_send_add(statements, &upserted_counter, rows, 1));
}

/* --- keeping ----------------------------------------------------------------------------------------------------- */

static void a_text_is_made_and_prepared_once(void **state)
{
    (void)state;
    expect("DELETE FROM interlock.thing t WHERE t.id = ANY ($1::int8[])");
    assert_true(statements_send_delete(statements, &thing, ids, 2));
    expect_prepared("s0");
    assert_true(statements_send_delete(statements, &thing, ids, 1));
    assert_int_equal(length(0), 1);
}

static void the_kind_the_entity_and_the_columns_tell_statements_apart(void **state)
{
    struct thing content = { .id = int_of(5) };
    struct row row = row_of(&content, first_place);
    const struct row *const rows[] = { &row };
    (void)state;
    expect("UPDATE interlock.thing t SET seq = d.seq FROM (SELECT unnest($1::tid[]) AS which, "
           "unnest($2::int4[]) AS seq) d WHERE t.ctid = d.which");
    assert_true(statements_send_update(statements, &thing, 1u << SEQ, rows, 1, false));
    expect("UPDATE interlock.thing t SET parent_id = d.parent_id FROM (SELECT unnest($1::tid[]) AS which, "
           "unnest($2::int8[]) AS parent_id) d WHERE t.ctid = d.which");
    assert_true(statements_send_update(statements, &thing, 1u << PARENT_ID, rows, 1, false));
    expect_prepared("s0");
    assert_true(statements_send_update(statements, &thing, 1u << SEQ, rows, 1, false));
    expect_prepared("s1");
    assert_true(statements_send_update(statements, &thing, 1u << PARENT_ID, rows, 1, false));
}

static void fixed_texts_take_the_arrays_they_are_given(void **state)
{
    static const char sql[] = "SELECT $1::int8[], $2::text[]";
    struct array numbers = { BUFFER_EMPTY, 0 }, texts = { BUFFER_EMPTY, 0 };
    const struct array *const arrays[] = { &numbers, &texts };
    (void)state;
    array_begin(&numbers, ARRAY_INT8);
    array_add_int64(&numbers, 12);
    array_begin(&texts, ARRAY_TEXT);
    expect(sql);
    assert_true(statements_send_fixed(statements, sql, arrays, 2));
    assert_int_equal(pq_parameter_count(), 2);
    assert_int_equal(element(0, 0, 8), 12);
    assert_int_equal(length(1), 0);
    expect_prepared("s0");
    assert_true(statements_send_fixed(statements, sql, arrays, 2));
    array_done(&numbers);
    array_done(&texts);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(rows_are_taken_as_the_lock_says),
        TEST(existence_is_asked_without_a_lock),
        TEST(children_are_taken_by_their_parents),
        TEST(unread_columns_are_not_loaded),
        TEST(a_uuid_is_asked_for_as_a_uuid),
        TEST(looks_answer_with_their_place),
        TEST(ids_are_drawn_by_their_function),
        TEST(an_update_sets_the_columns_that_are_asked_for_in_the_rows_at_their_places),
        TEST(an_update_of_rows_that_are_not_locked_finds_them_by_id),
        TEST(an_insert_leaves_out_what_is_null_in_every_row),
        TEST(an_insert_of_everything_names_every_column_and_its_cast),
        TEST(vectors_go_in_one_flat_array_and_are_cut_out_of_it),
        TEST(rows_are_deleted_by_their_key),
        TEST(counters_are_added_to_in_the_order_of_their_ids),
        TEST(a_text_is_made_and_prepared_once),
        TEST(the_kind_the_entity_and_the_columns_tell_statements_apart),
        TEST(fixed_texts_take_the_arrays_they_are_given),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
