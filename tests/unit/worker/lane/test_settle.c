/* fake: batch */
#include "tests/fixtures/lane.h"

#include <sched.h>
#include <string.h>

#include "worker/base/clock.h"

/* A run to its end: as a whole, in halves, alone. */

/* --- splitting --------------------------------------------------------------------------------------------------- */

/* PROTOCOL B4: halves in the order of offsets, then alone. */
static void a_failed_batch_runs_again_in_halves_in_order_then_alone(void **state)
{
    struct delivery *given[8];
    struct fake_run runs[32];
    (void)state;
    begin_lane(10);
    stop_at_gate();
    for (int i = 0; i < 8; i++)
        given[i] = fake_delivery(1);
    fake_fate(given[5])->sqlstate = "23514";
    fake_fate(given[5])->refusals = FAKE_FOR_EVER;
    submit(given, 8);
    fake_open_gate();
    fake_await_completed(9);
    assert_int_equal(fake_runs(runs, 32), 9);
    assert_run(&runs[1], 8, 0, BATCH_SPLIT);
    assert_run(&runs[2], 4, 0, BATCH_DONE);
    assert_run(&runs[3], 4, 4, BATCH_SPLIT);
    assert_run(&runs[4], 2, 4, BATCH_SPLIT);
    assert_run(&runs[5], 1, 4, BATCH_DONE);
    assert_run(&runs[6], 1, 5, BATCH_SPLIT);
    assert_true(runs[7].refused);
    assert_int_equal(runs[7].first_number, 5);
    assert_run(&runs[8], 2, 6, BATCH_DONE);
    fake_assert_order();
}

static void two_culprits_of_one_batch_are_both_found(void **state)
{
    struct delivery *given[16];
    (void)state;
    begin_lane(16);
    stop_at_gate();
    make_deliveries(given, 16, 4);
    fake_fate(given[3])->sqlstate = fake_fate(given[12])->sqlstate = "22003";
    fake_fate(given[3])->refusals = fake_fate(given[12])->refusals = FAKE_FOR_EVER;
    submit(given, 16);
    fake_open_gate();
    fake_await_completed(17);
    for (int i = 0; i < 16; i++)
        assert_int_equal(fake_fate(given[i])->recorded_refusals, i == 3 || i == 12);
    fake_assert_order();
}

static void a_conflict_is_decided_again_three_times_before_it_is_recorded(void **state)
{
    static const char *const codes[] = { "23505", "23503", "23P01" };
    (void)state;
    begin_lane(10);
    for (int i = 0; i < 3; i++)
    {
        struct delivery *delivery = fake_delivery((uint64_t)(1 + i));
        fake_fate(delivery)->sqlstate = codes[i];
        fake_fate(delivery)->refusals = FAKE_FOR_EVER;
        submit(&delivery, 1);
        fake_await_completed(1 + i);
        assert_int_equal(fake_fate(delivery)->runs, 1 + 3 + 1);
        assert_int_equal(fake_fate(delivery)->recorded_refusals, 1);
    }
}

static void a_conflict_that_passes_is_never_recorded(void **state)
{
    (void)state;
    begin_lane(10);
    struct delivery *delivery = fake_delivery(1);
    fake_fate(delivery)->sqlstate = "23505";
    fake_fate(delivery)->refusals = 3;
    submit(&delivery, 1);
    fake_await_completed(1);
    assert_int_equal(fake_fate(delivery)->recorded_refusals, 0);
    assert_int_equal(fake_fate(delivery)->runs, 4);
}

static void a_transient_failure_alone_is_held_and_tried_again(void **state)
{
    struct delivery *given[4];
    (void)state;
    begin_lane(10);
    stop_at_gate();
    make_deliveries(given, 4, 2);
    fake_fate(given[0])->sqlstate = "40P01";
    fake_fate(given[0])->refusals = 6;
    submit(given, 4);
    fake_open_gate();
    fake_await_completed(5);
    assert_int_equal(fake_fate(given[0])->recorded_refusals, 0);
    assert_int_equal(fake_fate(given[0])->alone, 6);
    fake_assert_order();
}

static void the_later_ones_of_a_culprits_key_wait_for_its_record(void **state)
{
    struct delivery *given[4];
    const struct delivery *back[5];
    (void)state;
    begin_lane(10);
    stop_at_gate();
    make_deliveries(given, 4, 2);
    fake_fate(given[0])->sqlstate = "55P03"; /* held, while halves with its followers are still to run */
    fake_fate(given[0])->refusals = 4;
    submit(given, 4);
    fake_open_gate();
    fake_await_completed(5);
    assert_int_equal(fake_completed(back, 5), 5);
    assert_ptr_equal(back[1], given[1]);
    assert_ptr_equal(back[2], given[3]);
    assert_ptr_equal(back[3], given[0]);
    assert_ptr_equal(back[4], given[2]);
    fake_assert_order();
}

/* PROTOCOL B5: nothing is ever dropped. */
static void a_refusal_that_cannot_be_recorded_is_held_and_never_dropped(void **state)
{
    struct delivery *given[2];
    (void)state;
    begin_lane(10);
    make_deliveries(given, 2, 1);
    fake_fate(given[0])->sqlstate = "23514";
    fake_fate(given[0])->refusals = FAKE_FOR_EVER;
    fake_fate(given[0])->record_refusals = 3;
    submit(given, 2);
    fake_await_completed(2);
    assert_int_equal(fake_fate(given[0])->recorded_refusals, 4);
    fake_assert_order();
}

/* PROTOCOL B4: twice in a row it is the batch that takes too long, and not the server. */
static void two_deadlines_of_our_own_in_a_row_make_halves(void **state)
{
    static const enum batch_end ends[] = { BATCH_SESSION, BATCH_SESSION };
    struct delivery *given[8];
    struct fake_run runs[8];
    (void)state;
    begin_lane(10);
    fake_await_connects(1);
    fake_script(ends, 2, "late");
    make_deliveries(given, 8, 8);
    submit(given, 8);
    fake_await_completed(8);
    int count = fake_runs(runs, 8);
    assert_int_equal(runs[count - 1].count, 4);
    assert_int_equal(runs[count - 2].count, 4);
    fake_assert_order();
}

/* --- failures that are nobody's ---------------------------------------------------------------------------------- */

static void nobodys_fault_runs_the_same_batch_again(void **state)
{
    static const enum batch_end ends[] = { BATCH_AGAIN, BATCH_AGAIN, BATCH_AGAIN };
    struct delivery *given[5];
    struct fake_run runs[8];
    (void)state;
    begin_lane(10);
    fake_script(ends, 3, "23505");
    make_deliveries(given, 5, 5);
    submit(given, 5);
    fake_await_completed(5);
    assert_int_equal(fake_runs(runs, 8), 4);
    for (int i = 0; i < 3; i++)
        assert_run(&runs[i], 5, 0, BATCH_AGAIN);
    assert_run(&runs[3], 5, 0, BATCH_DONE);
    fake_assert_order();
}

static void a_lost_session_is_opened_again_and_the_batch_runs_again(void **state)
{
    static const enum batch_end ends[] = { BATCH_SESSION, BATCH_SESSION };
    struct delivery *given[3];
    char why[256];
    (void)state;
    begin_lane(10);
    fake_await_connects(1);
    fake_script(ends, 2, "57P01");
    fake_refuse_connects(2);
    make_deliveries(given, 3, 3);
    submit(given, 3);
    fake_await_completed(3);
    assert_true(fake_connects() >= 5);
    assert_true(lane_is_ready(lane, why, sizeof(why)));
    fake_assert_order();
}

/* A statement that ends its server process every time would else drive PostgreSQL from one recovery into the next. */
static void sessions_lost_one_after_another_are_opened_more_slowly(void **state)
{
    static const enum batch_end ends[] = { BATCH_SESSION, BATCH_SESSION, BATCH_SESSION };
    (void)state;
    fake_settings()->retries[RETRY_DATABASE_OPERATION] = (struct retry_policy){ "slow", 3, 30000, 1.0, 30000, 0 };
    begin_lane(10);
    fake_await_connects(1);
    struct delivery *delivery = fake_delivery(1);
    fake_script(ends, 3, "57P02");
    int64_t begun_us = monotonic_us();
    submit(&delivery, 1);
    fake_await_completed(1);
    assert_true(monotonic_us() - begun_us >= 2 * 30000); /* the first one is opened again at once */
    assert_int_equal(fake_fate(delivery)->runs, 4);
}

static void without_postgresql_the_lane_is_not_ready_and_says_why(void **state)
{
    char why[256] = "";
    (void)state;
    fake_refuse_connects(FAKE_FOR_EVER);
    begin_lane(10);
    fake_await_connects(2); /* the first refusal has been told by then */
    assert_false(lane_is_ready(lane, why, sizeof(why)));
    assert_non_null(strstr(why, "lane-0.0"));
    assert_non_null(strstr(why, "PostgreSQL does not answer"));
    fake_refuse_connects(0);
    struct delivery *delivery = fake_delivery(1);
    submit(&delivery, 1);
    fake_await_completed(1);
    assert_true(lane_is_ready(lane, why, sizeof(why)));
}

/* Polls, for there is nothing to wait on. */
static void await_not_ready(char *why, size_t why_size)
{
    int64_t deadline_us = monotonic_us() + MINUTE_US / 2;
    while (lane_is_ready(lane, why, why_size))
    {
        assert_true(monotonic_us() < deadline_us);
        sched_yield();
    }
}

static void a_fault_of_ours_drops_nothing_and_says_what_it_is(void **state)
{
    static const enum batch_end ends[] = { BATCH_STUCK };
    struct delivery *given[3];
    char why[256] = "";
    (void)state;
    begin_lane(10);
    fake_await_connects(1);
    fake_script(ends, 1, "42P01");
    make_deliveries(given, 3, 3);
    submit(given, 3);
    fake_await_runs(1);
    await_not_ready(why, sizeof(why)); /* until the next attempt, a second later */
    assert_non_null(strstr(why, "42P01"));
    assert_non_null(strstr(why, "ours"));
    fake_await_completed(3);
    assert_true(lane_is_ready(lane, why, sizeof(why)));
    assert_int_equal(fake_fate(given[0])->recorded_refusals, 0);
    fake_assert_order();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LANE_TEST(a_failed_batch_runs_again_in_halves_in_order_then_alone),
        LANE_TEST(two_culprits_of_one_batch_are_both_found),
        LANE_TEST(a_conflict_is_decided_again_three_times_before_it_is_recorded),
        LANE_TEST(a_conflict_that_passes_is_never_recorded),
        LANE_TEST(a_transient_failure_alone_is_held_and_tried_again),
        LANE_TEST(the_later_ones_of_a_culprits_key_wait_for_its_record),
        LANE_TEST(a_refusal_that_cannot_be_recorded_is_held_and_never_dropped),
        LANE_TEST(two_deadlines_of_our_own_in_a_row_make_halves),
        LANE_TEST(nobodys_fault_runs_the_same_batch_again),
        LANE_TEST(a_lost_session_is_opened_again_and_the_batch_runs_again),
        LANE_TEST(sessions_lost_one_after_another_are_opened_more_slowly),
        LANE_TEST(without_postgresql_the_lane_is_not_ready_and_says_why),
        LANE_TEST(a_fault_of_ours_drops_nothing_and_says_what_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
