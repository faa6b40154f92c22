#include "tests/fixtures/cmocka.h"

#include <stdlib.h>

#include "consumers/publish/portion.h"

/* PROTOCOL K3: smaller publications after silence, down to one delivery. */

static void a_portion_shrinks_to_a_single_delivery_and_grows_to_the_largest(void **state)
{
    struct portion portion = PORTION_NEW;
    int failures = 0, quick = 0;
    (void)state;

    for (; portion.bytes > 1; failures++)
        assert_true(portion_note_failed(&portion, portion.bytes, 0));
    assert_false(portion_note_failed(&portion, 1000, 0));
    assert_int_equal(portion.bytes, 1);
    for (; portion.bytes < PORTION_MAX; quick++)
        assert_false(portion_note_done(&portion, portion.bytes, true, 0));
    assert_true(failures < 25 && quick < 50);
}

static void one_that_failed_is_halved_and_not_what_it_might_have_been(void **state)
{
    struct portion portion = { PORTION_MAX };
    (void)state;

    assert_true(portion_note_failed(&portion, 1000, 0));
    assert_int_equal(portion.bytes, 500);
    /* An older one was larger. */
    assert_true(portion_note_failed(&portion, 1000, 0));
    assert_int_equal(portion.bytes, 250);
}

static void offsets_alone_say_nothing_of_the_size(void **state)
{
    struct portion portion = PORTION_NEW;
    (void)state;

    assert_false(portion_note_failed(&portion, 0, 0));
    assert_int_equal(portion.bytes, PORTION_FIRST);
}

static void only_a_quick_and_full_one_is_followed_by_a_larger(void **state)
{
    struct portion portion = PORTION_NEW;
    (void)state;

    assert_false(portion_note_done(&portion, PORTION_FIRST - 1, true, 0));
    assert_false(portion_note_done(&portion, PORTION_FIRST, false, 0));
    assert_false(portion_note_done(&portion, PORTION_FIRST, true, PORTION_MUTED_MUCH_US + 1));
    assert_int_equal(portion.bytes, PORTION_FIRST);
    assert_false(portion_note_done(&portion, PORTION_FIRST + 700, true, PORTION_MUTED_MUCH_US));
    assert_int_equal(portion.bytes, PORTION_FIRST + PORTION_FIRST / 4);
}

static void one_that_makes_a_quota_wait_for_long_is_followed_by_one_that_does_not(void **state)
{
    struct portion portion = { PORTION_MAX };
    (void)state;

    assert_true(portion_note_done(&portion, 1000000, true, 4 * PORTION_MUTED_US));
    assert_int_equal(portion.bytes, 250000);
    assert_false(portion_note_done(&portion, 250000, true, PORTION_MUTED_US));
    assert_int_equal(portion.bytes, 250000);
}

static void after_a_failure_under_a_quota_one_delivery_asks_how_long_it_lasts(void **state)
{
    struct portion portion = { PORTION_MAX };
    (void)state;

    assert_true(portion_note_failed(&portion, PORTION_MAX, 1));
    assert_int_equal(portion.bytes, 1);
    assert_false(portion_note_done(&portion, 700, true, 5 * PORTION_MUTED_US));
    assert_int_equal(portion.bytes, 1);
    assert_false(portion_note_done(&portion, 700, true, 1000));
    assert_int_equal(portion.bytes, 1400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_portion_shrinks_to_a_single_delivery_and_grows_to_the_largest),
        cmocka_unit_test(one_that_failed_is_halved_and_not_what_it_might_have_been),
        cmocka_unit_test(offsets_alone_say_nothing_of_the_size),
        cmocka_unit_test(only_a_quick_and_full_one_is_followed_by_a_larger),
        cmocka_unit_test(one_that_makes_a_quota_wait_for_long_is_followed_by_one_that_does_not),
        cmocka_unit_test(after_a_failure_under_a_quota_one_delivery_asks_how_long_it_lasts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
