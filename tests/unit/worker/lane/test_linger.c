#include "tests/fixtures/cmocka.h"

#include "worker/lane/linger.h"

static const int64_t LONGEST_US = 10000; /* worker.batch_linger */
static const int64_t NOW_US = 50000000;

/* Commands that come one every gap_us, taken one at a time up to NOW_US. */
static struct linger at_a_gap_of(int64_t gap_us)
{
    struct linger linger = { 0 };

    for (int64_t at_us = NOW_US - 50 * gap_us; at_us <= NOW_US; at_us += gap_us)
        linger_note_taken(&linger, 1, at_us);
    return linger;
}

static void the_first_command_of_all_goes_at_once(void **state)
{
    struct linger linger = { 0 };
    (void)state;

    assert_true(linger_until_us(&linger, LONGEST_US, 0, NOW_US) <= NOW_US);
}

static void a_command_that_is_alone_goes_at_once(void **state)
{
    struct linger linger = at_a_gap_of(LONGEST_US);
    (void)state;

    assert_true(linger_until_us(&linger, LONGEST_US, 0, NOW_US) <= NOW_US);
    assert_true(linger_until_us(&linger, LONGEST_US, NOW_US - 1, NOW_US) <= NOW_US);
}

static void commands_that_come_fast_wait_for_others(void **state)
{
    struct linger linger = at_a_gap_of(LONGEST_US / LINGER_FOR - 2);
    (void)state;

    assert_int_equal(linger_until_us(&linger, LONGEST_US, 0, NOW_US), NOW_US + LONGEST_US);
    linger = at_a_gap_of(LONGEST_US / LINGER_FOR + 2);
    assert_int_equal(linger_until_us(&linger, LONGEST_US, 0, NOW_US), NOW_US);
}

static void a_batch_that_had_many_says_how_fast_they_come(void **state)
{
    struct linger linger = { 0 };
    (void)state;

    for (int i = 0; i < 50; i++)
        linger_note_taken(&linger, 100, NOW_US + i * LONGEST_US);
    assert_int_equal(linger.gap_us, LONGEST_US / 100 + 1);
}

static void commands_wait_until_a_run_ends_just_before_the_next_publication(void **state)
{
    struct linger linger = at_a_gap_of(LONGEST_US);
    (void)state;

    for (int i = 0; i < 50; i++)
        linger_note_run(&linger, 3, 2000);
    assert_int_equal(linger_until_us(&linger, LONGEST_US, NOW_US + 8000, NOW_US), NOW_US + 8000 - 3000);
    /* It cannot end in time any more: the next publication is the one after, or it is late. */
    assert_int_equal(linger_until_us(&linger, LONGEST_US, NOW_US + 2999, NOW_US), NOW_US);
}

static void the_longer_of_both_waits_counts(void **state)
{
    struct linger linger = at_a_gap_of(100);
    (void)state;

    assert_int_equal(linger_until_us(&linger, LONGEST_US, NOW_US + 4000, NOW_US), NOW_US + LONGEST_US);
    assert_int_equal(linger_until_us(&linger, LONGEST_US, NOW_US + 15000, NOW_US), NOW_US + 15000);
}

static void a_publication_that_is_far_away_is_not_awaited_for_long(void **state)
{
    struct linger linger = { 0 };
    (void)state;

    assert_int_equal(linger_until_us(&linger, LONGEST_US, NOW_US + 60000000, NOW_US), NOW_US + LINGER_MAX_US);
}

static void a_large_batch_says_nothing_of_a_small_one(void **state)
{
    struct linger linger = { 0 };
    (void)state;

    linger_note_run(&linger, 1, 1000);
    linger_note_run(&linger, LINGER_RUN_SHORT + 1, 90000);
    linger_note_run(&linger, 0, 0);
    assert_int_equal(linger.run_us, 1000);
    linger_note_run(&linger, LINGER_RUN_SHORT, 5000);
    assert_int_equal(linger.run_us, 2000);
}

static void the_setting_switches_both_waits_off(void **state)
{
    struct linger linger = at_a_gap_of(100);
    (void)state;

    assert_int_equal(linger_until_us(&linger, 0, NOW_US + 8000, NOW_US), NOW_US);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_command_of_all_goes_at_once),
        cmocka_unit_test(a_command_that_is_alone_goes_at_once),
        cmocka_unit_test(commands_that_come_fast_wait_for_others),
        cmocka_unit_test(a_batch_that_had_many_says_how_fast_they_come),
        cmocka_unit_test(commands_wait_until_a_run_ends_just_before_the_next_publication),
        cmocka_unit_test(the_longer_of_both_waits_counts),
        cmocka_unit_test(a_publication_that_is_far_away_is_not_awaited_for_long),
        cmocka_unit_test(a_large_batch_says_nothing_of_a_small_one),
        cmocka_unit_test(the_setting_switches_both_waits_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
