#include "tests/fixtures/cmocka.h"

#include "consumers/publish/pacing.h"

static void a_command_that_came_through_at_once_is_published_at_once(void **state)
{
    struct pacing pacing = { 0 };
    (void)state;

    pacing_note(&pacing, 1000000, 1000000 + PACING_YOUNG_US);
    pacing.answered = 1;
    assert_int_equal(pacing_due_us(&pacing, 0), 1000000 + PACING_YOUNG_US);
}

static void a_backlog_waits_a_quarter_of_its_age(void **state)
{
    struct pacing pacing = { 0 };
    (void)state;

    pacing_note(&pacing, 0, PACING_YOUNG_US + 80000);
    pacing.answered = 100;
    assert_int_equal(pacing_due_us(&pacing, 0), PACING_YOUNG_US + 80000 + 20000);
}

static void a_publication_never_waits_longer_than_the_limit(void **state)
{
    struct pacing pacing = { 0 };
    (void)state;

    pacing_note(&pacing, 0, 60000000);
    pacing.answered = 100;
    assert_int_equal(pacing_due_us(&pacing, 0), 60000000 + PACING_MAX_US);
}

static void the_settings_may_ask_for_more(void **state)
{
    struct pacing pacing = { 0 };
    (void)state;

    pacing_note(&pacing, 0, 5000);
    pacing.answered = 1;
    assert_int_equal(pacing_due_us(&pacing, 500000), 505000);
}

static void enough_answers_are_published_at_once(void **state)
{
    struct pacing pacing = { 0 };
    (void)state;

    pacing_note(&pacing, 0, 60000000);
    pacing.answered = PACING_ENOUGH;
    assert_int_equal(pacing_due_us(&pacing, 500000), 60000000);
}

static void the_wait_counts_from_the_first_answer_by_the_oldest(void **state)
{
    struct pacing pacing = { 0 };
    (void)state;

    pacing_note(&pacing, 1000000, 1001000);
    pacing.answered = 1;
    pacing_note(&pacing, 1002000 - PACING_YOUNG_US - 40000, 1002000);
    pacing.answered = 2;
    assert_int_equal(pacing_due_us(&pacing, 0), 1001000 + 10000);
}

static void the_next_publication_begins_a_new_wait(void **state)
{
    struct pacing pacing = { 0 };
    (void)state;

    pacing_note(&pacing, 0, 60000000);
    pacing.answered = 0;
    pacing_note(&pacing, 70000000, 70000100);
    pacing.answered = 1;
    assert_int_equal(pacing_due_us(&pacing, 0), 70000100);
}

/* A transaction that took so long has just ended, at 1000000. */
static struct pacing after_a_transaction_of(int64_t took_us)
{
    struct pacing pacing = { 0 };

    pacing_begin(&pacing, 1000000 - took_us);
    pacing_end(&pacing, 1000000);
    return pacing;
}

static void after_a_transaction_the_broker_gets_its_rest(void **state)
{
    struct pacing pacing = after_a_transaction_of(1000);
    (void)state;

    pacing_note(&pacing, 1000000, 1000500);
    pacing.answered = 1;
    assert_int_equal(pacing_due_us(&pacing, 0), 1000000 + PACING_REST_US);
    pacing.answered = 0;
    pacing_note(&pacing, 2000000, 2000500);
    pacing.answered = 1;
    assert_int_equal(pacing_due_us(&pacing, 0), 2000500);
}

static void the_lanes_are_told_when_the_next_may_begin(void **state)
{
    struct pacing pacing = { 0 };
    (void)state;

    assert_int_equal(pacing_next_us(&pacing), 0);
    pacing = after_a_transaction_of(5000);
    assert_int_equal(pacing_next_us(&pacing), 1000000 + PACING_REST_US);
    /* Of the present one the end is estimated, by the last ones. */
    pacing_begin(&pacing, 1100000);
    assert_int_equal(pacing_next_us(&pacing), 1100000 + 5000 + PACING_REST_US);
    pacing_end(&pacing, 1100000 + 9000);
    assert_int_equal(pacing_next_us(&pacing), 1109000 + PACING_REST_US);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_command_that_came_through_at_once_is_published_at_once),
        cmocka_unit_test(a_backlog_waits_a_quarter_of_its_age),
        cmocka_unit_test(a_publication_never_waits_longer_than_the_limit),
        cmocka_unit_test(the_settings_may_ask_for_more),
        cmocka_unit_test(enough_answers_are_published_at_once),
        cmocka_unit_test(the_wait_counts_from_the_first_answer_by_the_oldest),
        cmocka_unit_test(the_next_publication_begins_a_new_wait),
        cmocka_unit_test(after_a_transaction_the_broker_gets_its_rest),
        cmocka_unit_test(the_lanes_are_told_when_the_next_may_begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
