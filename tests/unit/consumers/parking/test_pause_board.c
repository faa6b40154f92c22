#include "tests/fixtures/cmocka.h"

#include <stdlib.h>
#include <string.h>

#include "consumers/parking/pause_board.h"

static struct pause_board *board;

static int set_up(void **state)
{
    (void)state;
    board = pause_board_new();
    return board == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    pause_board_free(board);
    return 0;
}

/* Pairs of scope and target, as they are read from PostgreSQL. */
static void set(int64_t epoch, int count, const char *const (*pairs)[2])
{
    static char name[] = "column";
    PGresAttDesc columns[2] = { { .name = name }, { .name = name } };
    PGresult *rows = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
    char copy[64];

    PQsetResultAttrs(rows, 2, columns);
    for (int i = 0; i < count; i++)
        for (int column = 0; column < 2; column++)
            PQsetvalue(rows, i, column, strcpy(copy, pairs[i][column]), (int)strlen(pairs[i][column]));
    pause_board_set(board, epoch, rows, 0, 1);
    PQclear(rows);
}

static bool covers(const char *topic, int32_t partition, int64_t expected_epoch)
{
    int64_t epoch;
    bool covers = pause_board_covers(board, topic, partition, &epoch);

    assert_int_equal(epoch, expected_epoch);
    return covers;
}

static void a_board_that_was_never_set_has_no_version_and_covers_nothing(void **state)
{
    (void)state;
    assert_int_equal(pause_board_version(board), 0);
    assert_false(covers("commands", 0, 0));
}

static void a_topic_and_a_partition_are_matched_as_a_whole(void **state)
{
    static const char *const pairs[][2] = { { "topic", "jobs" }, { "partition", "commands/1" } };
    (void)state;

    set(5, 2, pairs);
    assert_true(covers("jobs", 3, 5));
    assert_false(covers("jobs2", 3, 5));
    assert_true(covers("commands", 1, 5));
    assert_false(covers("commands", 11, 5));
    assert_false(covers("commands", 0, 5));
}

static void a_pause_of_everything_covers_everything(void **state)
{
    static const char *const pairs[][2] = { { "all", "" } };
    (void)state;

    set(1, 1, pairs);
    assert_true(covers("commands", 0, 1));
    set(2, 0, NULL);
    assert_false(covers("commands", 0, 2));
}

static void pauses_of_commands_are_no_matter_of_partitions(void **state)
{
    static const char *const pairs[][2] = { { "type", "commands" }, { "key", "commands/0" }, { "topic", "jobs" } };
    (void)state;

    set(1, 3, pairs);
    assert_false(covers("commands", 0, 1));
    assert_true(covers("jobs", 0, 1));
}

static void the_version_rises_only_where_something_changed(void **state)
{
    static const char *const pairs[][2] = { { "topic", "jobs" } }, *const others[][2] = { { "topic", "commands" } };
    uint64_t version;
    (void)state;

    set(1, 0, NULL);
    assert_int_equal(version = pause_board_version(board), 1);
    set(1, 1, pairs);
    assert_int_equal(pause_board_version(board), version + 1);
    set(1, 1, pairs);
    assert_int_equal(pause_board_version(board), version + 1);
    set(1, 1, others);
    assert_int_equal(pause_board_version(board), version + 2);
    set(2, 1, others); /* another snapshot: whoever obeys tells it again */
    assert_int_equal(pause_board_version(board), version + 3);
}

static void partitions_that_obey_are_taken_once_however_many(void **state)
{
    int count;
    (void)state;

    assert_null(pause_board_take_obeyed(board, &count));
    assert_int_equal(count, 0);
    for (int32_t i = 0; i < 200; i++)
        assert_true(
            pause_board_note_obeyed(board, &(struct pause_obeyed){ .partition_id = i, .fence = 3, .epoch = 9 }));
    struct pause_obeyed *obeyed = pause_board_take_obeyed(board, &count);
    assert_int_equal(count, 200);
    for (int32_t i = 0; i < 200; i++)
        assert_true(obeyed[i].partition_id == i && obeyed[i].fence == 3 && obeyed[i].epoch == 9);
    free(obeyed);
    assert_null(pause_board_take_obeyed(board, &count));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_board_that_was_never_set_has_no_version_and_covers_nothing),
        TEST(a_topic_and_a_partition_are_matched_as_a_whole),
        TEST(a_pause_of_everything_covers_everything),
        TEST(pauses_of_commands_are_no_matter_of_partitions),
        TEST(the_version_rises_only_where_something_changed),
        TEST(partitions_that_obey_are_taken_once_however_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
