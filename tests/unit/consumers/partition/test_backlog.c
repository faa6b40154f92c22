#include "tests/fixtures/cmocka.h"

#include <string.h>

#include "consumers/partition/backlog.h"

enum
{
    SECOND_US = 1000000,
};

/* Unix and monotonic time of a test are far from each other. */
static const int64_t WALL_US = INT64_C(1764547200000000);
static struct backlog backlog;

static int set_up(void **state)
{
    (void)state;
    memset(&backlog, 0, sizeof(backlog));
    backlog_init(&backlog);
    return 0;
}

static void receive(uint64_t first, uint64_t behind, int64_t timestamp_us)
{
    backlog_take(&backlog, first, timestamp_us);
    backlog_note_received(&backlog, behind);
}

static void a_new_one_is_empty(void **state)
{
    (void)state;
    backlog_look(&backlog, 0, -1, false, SECOND_US);
    assert_int_equal(backlog_messages(&backlog), 0);
    assert_int_equal(backlog_age_us(&backlog, SECOND_US, WALL_US), 0);
    assert_int_equal(backlog_since_us(&backlog), 0);
}

static void messages_up_to_the_end_count_and_those_received_until_they_are_answered(void **state)
{
    (void)state;
    receive(0, 10, WALL_US - 7 * SECOND_US);
    backlog_look(&backlog, 110, 150, false, SECOND_US);
    assert_int_equal(backlog_messages(&backlog), 40 + 10);
    backlog_note_answered(&backlog, 4, 2);
    assert_int_equal(backlog_messages(&backlog), 40 + 6);
    backlog_note_answered(&backlog, 10, 10);
    backlog_look(&backlog, 150, 150, false, 2 * SECOND_US);
    assert_int_equal(backlog_messages(&backlog), 0);
    assert_int_equal(backlog_age_us(&backlog, 2 * SECOND_US, WALL_US), 0);
}

static void behind_the_mark_is_nothing_to_read(void **state)
{
    (void)state;
    /* Markers of transactions and aborted messages: the mark is past the last message that was read. */
    backlog_note_mark(&backlog, 120);
    backlog_look(&backlog, 110, 120, false, SECOND_US);
    assert_int_equal(backlog_messages(&backlog), 0);
    /* A transaction that has not ended. */
    backlog_look(&backlog, 110, 125, false, 2 * SECOND_US);
    assert_int_equal(backlog_messages(&backlog), 0);
    assert_int_equal(backlog_open_since_us(&backlog), 2 * SECOND_US);
    backlog_look(&backlog, 110, 126, false, 3 * SECOND_US);
    assert_int_equal(backlog_open_since_us(&backlog), 2 * SECOND_US);
    /* It has ended, and what came with it is read. */
    backlog_look(&backlog, 123, 126, false, 4 * SECOND_US);
    assert_int_equal(backlog_open_since_us(&backlog), 0);
    assert_int_equal(backlog_messages(&backlog), 3);
}

static void the_end_of_a_paused_partition_is_one_that_a_reader_can_get(void **state)
{
    (void)state;
    backlog_note_mark(&backlog, 120);
    backlog_look(&backlog, 110, 125, true, SECOND_US);
    assert_int_equal(backlog_messages(&backlog), 5);
    assert_int_equal(backlog_open_since_us(&backlog), 0);
}

static void a_backlog_is_never_negative(void **state)
{
    (void)state;
    backlog_look(&backlog, 200, 150, false, SECOND_US);
    assert_int_equal(backlog_messages(&backlog), 0);
    backlog_note_answered(&backlog, 5, 5); /* the publisher's number is newer than the poll thread's */
    assert_int_equal(backlog_messages(&backlog), 0);
    receive(5, 6, WALL_US + 60 * SECOND_US); /* the producer's clock runs ahead */
    backlog_look(&backlog, 200, 200, false, SECOND_US);
    assert_int_equal(backlog_messages(&backlog), 1);
    assert_int_equal(backlog_age_us(&backlog, SECOND_US, WALL_US), 0);
}

static void the_age_is_that_of_the_oldest_undecided_message(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++)
        receive((uint64_t)i * 5, (uint64_t)i * 5 + 5, WALL_US - (100 - i) * (int64_t)SECOND_US);
    backlog_look(&backlog, 50, 50, false, SECOND_US);
    assert_int_equal(backlog_age_us(&backlog, SECOND_US, WALL_US), 100 * (int64_t)SECOND_US);
    backlog_note_answered(&backlog, 30, 17);
    backlog_look(&backlog, 50, 50, false, SECOND_US);
    assert_int_equal(backlog_age_us(&backlog, SECOND_US, WALL_US), 97 * (int64_t)SECOND_US);
}

static void without_a_time_the_age_counts_from_when_the_backlog_is_known(void **state)
{
    (void)state;
    backlog_look(&backlog, 10, 20, false, 3 * SECOND_US);
    assert_int_equal(backlog_age_us(&backlog, 8 * SECOND_US, WALL_US), 5 * SECOND_US);
    receive(0, 1, 0);
    backlog_look(&backlog, 11, 20, false, 9 * SECOND_US);
    assert_int_equal(backlog_age_us(&backlog, 10 * SECOND_US, WALL_US), 7 * SECOND_US);
}

static void of_many_runs_the_oldest_and_the_newest_are_kept(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++)
        receive((uint64_t)i, (uint64_t)i + 1, WALL_US - (2000 - i) * (int64_t)SECOND_US);
    backlog_look(&backlog, 1000, 1000, false, SECOND_US);
    assert_int_equal(backlog_age_us(&backlog, SECOND_US, WALL_US), 2000 * (int64_t)SECOND_US);
    backlog_note_answered(&backlog, 999, 999);
    backlog_look(&backlog, 1000, 1000, false, SECOND_US);
    assert_int_equal(backlog_age_us(&backlog, SECOND_US, WALL_US), 1001 * (int64_t)SECOND_US);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_new_one_is_empty, set_up),
        cmocka_unit_test_setup(messages_up_to_the_end_count_and_those_received_until_they_are_answered, set_up),
        cmocka_unit_test_setup(behind_the_mark_is_nothing_to_read, set_up),
        cmocka_unit_test_setup(the_end_of_a_paused_partition_is_one_that_a_reader_can_get, set_up),
        cmocka_unit_test_setup(a_backlog_is_never_negative, set_up),
        cmocka_unit_test_setup(the_age_is_that_of_the_oldest_undecided_message, set_up),
        cmocka_unit_test_setup(without_a_time_the_age_counts_from_when_the_backlog_is_known, set_up),
        cmocka_unit_test_setup(of_many_runs_the_oldest_and_the_newest_are_kept, set_up),
    };
    return cmocka_run_group_tests_name("backlog", tests, NULL, NULL);
}
