/* Parked summary: the two questions on PostgreSQL, and what is printed of their answers. */
#include "tests/fixtures/cmocka.h"

#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "consumers/parking/parked_summary.h"
#include "tests/fixtures/engine.h"
#include "tests/fixtures/result.h"

enum
{
    COUNT_COLUMNS = 10,
    STUCK_COLUMNS = 7,
};

/* --- the answers ------------------------------------------------------------------------------------------------- */

/* The commands, early, held, behind, next due, oldest, paused, redriven, replayed, next early. */
static const char *const counted[COUNT_COLUMNS] = {
    "28", "1", "2", "3", "2026-11-24T09:00:00.000000Z", "2026-11-23T09:00:00.000000Z", "6", "7", "8", ""
};

static json_t *printed(const struct parked_summary *summary)
{
    struct buffer json = BUFFER_EMPTY;

    parked_summary_print(summary, &json);
    assert_false(buffer_failed(&json));
    json_t *root = json_loadb(json.at, json.size, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(root);
    buffer_done(&json);
    return root;
}

static void assert_number(const json_t *root, const char *name, int64_t value)
{
    assert_true(json_is_integer(json_object_get(root, name)));
    assert_int_equal(json_integer_value(json_object_get(root, name)), value);
}

static void every_number_is_printed_under_its_name(void **state)
{
    static const struct
    {
        const char *name;
        int64_t value;
    } numbers[] = { { "commands", 28 }, { "early", 1 },    { "held", 2 },    { "behind", 3 },
                    { "paused", 6 },    { "redriven", 7 }, { "replayed", 8 } };
    struct parked_summary summary = { .stuck_count = 0 };
    PGresult *rows = result_of(1, COUNT_COLUMNS, counted);
    (void)state;

    parked_summary_count(&summary, rows);
    json_t *root = printed(&summary);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
        assert_number(root, numbers[i].name, numbers[i].value);
    assert_string_equal(json_string_value(json_object_get(root, "next_due")), counted[4]);
    assert_string_equal(json_string_value(json_object_get(root, "oldest")), counted[5]);
    assert_true(json_is_null(json_object_get(root, "next_early")));
    assert_int_equal(json_array_size(json_object_get(root, "stuck")), 0);
    json_decref(root);
    PQclear(rows);
}

static void a_stuck_command_is_named_with_its_place(void **state)
{
    static const char *const named[] = {
        "ticket/1", "ticket.escalate", "say \"hi\"\n", "commands", "3", "2026-11-24T09:00:00.000000Z", "4"
    };
    struct parked_summary summary = { .stuck_count = 0 };
    PGresult *rows = result_of(1, STUCK_COLUMNS, named);
    (void)state;

    parked_summary_name(&summary, rows);
    json_t *root = printed(&summary), *stuck = json_array_get(json_object_get(root, "stuck"), 0);
    assert_string_equal(json_string_value(json_object_get(stuck, "aggregate")), named[0]);
    assert_string_equal(json_string_value(json_object_get(stuck, "type")), named[1]);
    assert_string_equal(json_string_value(json_object_get(stuck, "topic")), named[3]);
    assert_number(stuck, "partition", 3);
    assert_string_equal(json_string_value(json_object_get(stuck, "since")), named[5]);
    assert_number(stuck, "parkings", 4);
    /* One line of a log. */
    assert_null(strchr(summary.stuck[0].id, '\n'));
    json_decref(root);
    PQclear(rows);
}

static void long_names_are_cut_and_no_more_than_five_are_kept(void **state)
{
    char name[400];
    const char *named[(PARKED_STUCK_MAX + 1) * STUCK_COLUMNS];
    struct parked_summary summary = { .stuck_count = 0 };
    (void)state;

    memset(name, 'a', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    for (int i = 0; i < (PARKED_STUCK_MAX + 1) * STUCK_COLUMNS; i++)
        named[i] = i % STUCK_COLUMNS == 4 || i % STUCK_COLUMNS == 6 ? "1" : name;
    PGresult *rows = result_of(PARKED_STUCK_MAX + 1, STUCK_COLUMNS, named);
    parked_summary_name(&summary, rows);
    assert_int_equal(summary.stuck_count, PARKED_STUCK_MAX);
    assert_int_equal(strlen(summary.stuck[PARKED_STUCK_MAX - 1].id), sizeof(summary.stuck[0].id) - 1);
    json_t *root = printed(&summary);
    assert_int_equal(json_array_size(json_object_get(root, "stuck")), PARKED_STUCK_MAX);
    json_decref(root);
    PQclear(rows);
}

/* --- the questions ----------------------------------------------------------------------------------------------- */

static int parked_count;

static void park(const char *reason, const char *due, const char *returned)
{
    parked_count++;
    engine_ask("INSERT INTO interlock.parked_command (identity, kafka_offset, fence, partition_id, parked_at, due_at, "
               "blocks, waits, reason, aggregate, command_source, command_id, command_type, value, returned_at) VALUES "
               "(gen_random_uuid(), %d, 1, %d, '2026-11-24T08:00:00Z'::timestamptz + %d * interval '1 s', "
               "'2026-11-24T%sZ', true, false, '%s', %s, '/test', 'c-%d', 'ticket.escalate', 'bytes', %s)",
               parked_count, (int)engine.partitions[2].partition_id, parked_count, due, reason,
               parked_count == 1 ? "NULL" : "'ticket/1'", parked_count, returned);
}

static struct parked_summary ask(void)
{
    struct parked_summary summary = { .stuck_count = 0 };
    PGresult *counts = PQexec(engine.sql, parked_count_sql), *names = PQexec(engine.sql, parked_stuck_sql);

    assert_int_equal(PQresultStatus(counts), PGRES_TUPLES_OK);
    assert_int_equal(PQresultStatus(names), PGRES_TUPLES_OK);
    parked_summary_count(&summary, counts);
    parked_summary_name(&summary, names);
    PQclear(counts);
    PQclear(names);
    return summary;
}

static void without_parked_commands_every_number_is_0(void **state)
{
    (void)state;
    struct parked_summary summary = ask();
    assert_int_equal(summary.commands, 0);
    assert_string_equal(summary.next_due, "");
    assert_string_equal(summary.oldest, "");
    assert_int_equal(summary.stuck_count, 0);
}

static void commands_are_counted_by_their_reasons(void **state)
{
    static const char *const reasons[] = { "notbefore", "held", "behind", "paused", "redriven", "replayed" };
    (void)state;

    parked_count = 0;
    for (int i = 0; i < 6; i++)
        for (int n = 0; n <= i; n++)
            park(reasons[i], "09:00:00", "NULL");
    struct parked_summary summary = ask();
    assert_int_equal(summary.commands, 21);
    assert_int_equal(summary.early, 1);
    assert_int_equal(summary.held, 2);
    assert_int_equal(summary.behind, 3);
    assert_int_equal(summary.paused, 4);
    assert_int_equal(summary.redriven, 5);
    assert_int_equal(summary.replayed, 6);
    assert_string_equal(summary.oldest, "2026-11-24T08:00:01.000000Z");
}

static void a_command_that_waits_for_another_is_not_the_next_one_that_is_due(void **state)
{
    (void)state;
    parked_count = 0;
    park("behind", "09:00:01", "NULL");
    park("paused", "09:00:02", "NULL");
    park("notbefore", "09:00:03", "now()");
    park("held", "09:00:04", "NULL");
    park("notbefore", "09:00:05", "NULL");
    struct parked_summary summary = ask();
    assert_string_equal(summary.next_due, "2026-11-24T09:00:04.000000Z");
    assert_string_equal(summary.next_early, "2026-11-24T09:00:05.000000Z");
}

static void the_first_that_are_held_are_named(void **state)
{
    (void)state;
    parked_count = 0;
    for (int i = 0; i < PARKED_STUCK_MAX + 1; i++)
        park("held", "09:00:00", "NULL");
    park("behind", "09:00:00", "NULL");
    /* The row of the first is the last of the table, and no index tells the order. */
    engine_ask("UPDATE interlock.parked_command SET parkings = 2 WHERE command_id = 'c-1'");
    engine_ask("SET enable_indexscan = off");
    engine_ask("SET enable_bitmapscan = off");
    struct parked_summary summary = ask();
    engine_ask("RESET enable_indexscan");
    engine_ask("RESET enable_bitmapscan");
    assert_int_equal(summary.stuck_count, PARKED_STUCK_MAX);
    assert_string_equal(summary.stuck[0].id, "c-1");
    assert_string_equal(summary.stuck[0].aggregate, "");
    assert_string_equal(summary.stuck[1].aggregate, "ticket/1");
    assert_string_equal(summary.stuck[4].id, "c-5");
    assert_string_equal(summary.stuck[4].topic, "commands");
    assert_string_equal(summary.stuck[4].partition, "2");
    assert_string_equal(summary.stuck[4].parked_at, "2026-11-24T08:00:05.000000Z");
    assert_string_equal(summary.stuck[4].parkings, "1");
}

int main(void)
{
    const struct CMUnitTest answers[] = {
        cmocka_unit_test(every_number_is_printed_under_its_name),
        cmocka_unit_test(a_stuck_command_is_named_with_its_place),
        cmocka_unit_test(long_names_are_cut_and_no_more_than_five_are_kept),
    };
    const struct CMUnitTest questions[] = {
        ENGINE_TEST(without_parked_commands_every_number_is_0),
        ENGINE_TEST(commands_are_counted_by_their_reasons),
        ENGINE_TEST(a_command_that_waits_for_another_is_not_the_next_one_that_is_due),
        ENGINE_TEST(the_first_that_are_held_are_named),
    };
    int failed = cmocka_run_group_tests(answers, NULL, NULL);
    return failed || !engine_has_postgresql()
               ? failed
               : cmocka_run_group_tests(questions, engine_group_set_up, engine_group_tear_down);
}
