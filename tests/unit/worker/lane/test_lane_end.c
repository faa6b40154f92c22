/* fake: batch */
#include "tests/fixtures/lane.h"

#include <sched.h>
#include <stdlib.h>

#include "worker/base/clock.h"

/* Revocations, and the end of a lane. */

/* --- revoking ---------------------------------------------------------------------------------------------------- */

static int count_dropped(int completed)
{
    const struct delivery *back[SOME_MAX];
    int dropped = 0;
    assert_int_equal(fake_completed(back, SOME_MAX), completed);
    for (int i = 0; i < completed; i++)
        dropped += back[i]->answer == ANSWER_DROPPED;
    return dropped;
}

static void a_revocation_drops_what_waits_and_what_is_held(void **state)
{
    struct delivery *held[4], *waiting[5];
    (void)state;
    fake_settings()->retries[RETRY_DEFAULT] = (struct retry_policy){ "slow", 3, MINUTE_US, 1.0, MINUTE_US, 0 };
    begin_lane(10);
    for (int i = 0; i < 4; i++)
        held[i] = fake_delivery(1);
    fake_fate(held[0])->busy = FAKE_FOR_EVER;
    submit(held, 4);
    fake_await_runs(1);
    struct delivery *inside = stop_at_gate();
    make_deliveries(waiting, 5, 5);
    submit(waiting, 5);
    fake_revoke_epoch();
    lane_revoke(lane);
    assert_false(lane_await_quiet(lane, monotonic_us())); /* one is in a batch */
    fake_open_gate();
    assert_true(lane_await_quiet(lane, monotonic_us() + MINUTE_US));
    fake_await_completed(10);
    assert_int_equal(count_dropped(10), 9);
    assert_int_equal(inside->answer, ANSWER_EVENT); /* a batch in flight ends by itself */
    fake_assert_order();
}

static void a_revocation_leaves_the_deliveries_of_another_epoch(void **state)
{
    struct delivery *old[6], *young[6];
    (void)state;
    begin_lane(10);
    stop_at_gate();
    make_deliveries(old, 6, 2);
    fake_revoke_epoch();
    make_deliveries(young, 6, 2);
    submit(old, 6);
    submit(young, 6);
    lane_revoke(lane);
    fake_open_gate();
    assert_true(lane_await_quiet(lane, monotonic_us() + MINUTE_US));
    fake_await_completed(13);
    assert_int_equal(count_dropped(13), 6);
    for (int i = 0; i < 6; i++)
        assert_int_equal(young[i]->answer, ANSWER_EVENT);
    fake_assert_order();
}

static void a_revocation_ends_the_retries_of_a_batch(void **state)
{
    enum
    {
        MANY = 64,
    };
    static enum batch_end ends[MANY];
    struct delivery *given[4];
    (void)state;
    for (int i = 0; i < MANY; i++)
        ends[i] = BATCH_AGAIN;
    fake_settings()->retries[RETRY_DATABASE_OPERATION] =
        (struct retry_policy){ "slow", 3, MINUTE_US, 1.0, MINUTE_US, 0 };
    begin_lane(10);
    fake_await_connects(1);
    fake_script(ends, MANY, "55P03");
    make_deliveries(given, 4, 4);
    submit(given, 4);
    fake_await_runs(1);
    fake_revoke_epoch();
    lane_revoke(lane);
    assert_true(lane_await_quiet(lane, monotonic_us() + MINUTE_US / 2));
    fake_await_completed(4);
    assert_int_equal(count_dropped(4), 4);
    fake_script(NULL, 0, NULL);
}

static void a_revocation_does_not_wait_for_postgresql(void **state)
{
    struct delivery *given[4];
    (void)state;
    fake_refuse_connects(FAKE_FOR_EVER);
    begin_lane(10);
    make_deliveries(given, 4, 4);
    submit(given, 4);
    fake_await_connects(1);
    fake_revoke_epoch();
    lane_revoke(lane);
    assert_true(lane_await_quiet(lane, monotonic_us() + MINUTE_US / 2));
    fake_await_completed(4);
    assert_int_equal(count_dropped(4), 4);
}

static void await_ready(void)
{
    char why[256];
    for (int64_t until_us = monotonic_us() + MINUTE_US / 2; !lane_is_ready(lane, why, sizeof(why)); sched_yield())
        assert_true(monotonic_us() < until_us);
}

static void a_lane_whose_work_was_taken_while_it_could_not_connect_is_ready_again_by_itself(void **state)
{
    static const enum batch_end lost[] = { BATCH_SESSION };
    struct delivery *given = fake_delivery(1);
    (void)state;
    begin_lane(10);
    fake_await_connects(1);
    fake_script(lost, 1, "");
    fake_refuse_connects(FAKE_FOR_EVER);
    submit(&given, 1);
    fake_await_connects(3); /* by then it has said that it waits */
    fake_revoke_epoch();
    lane_revoke(lane);
    assert_true(lane_await_quiet(lane, monotonic_us() + MINUTE_US / 2));
    fake_await_completed(1);
    fake_refuse_connects(0);
    await_ready();
}

static void a_lane_whose_refused_work_was_taken_is_ready_again_by_itself(void **state)
{
    static const enum batch_end stuck[] = { BATCH_STUCK, BATCH_STUCK, BATCH_STUCK, BATCH_STUCK };
    struct delivery *given = fake_delivery(1);
    (void)state;
    begin_lane(10);
    fake_await_connects(1);
    fake_script(stuck, 4, "42P01");
    submit(&given, 1);
    fake_await_runs(1);
    fake_revoke_epoch();
    lane_revoke(lane);
    assert_true(lane_await_quiet(lane, monotonic_us() + MINUTE_US / 2));
    fake_await_completed(1);
    await_ready();
    fake_script(NULL, 0, NULL);
}

static void quiet_needs_no_revocation_to_be_told(void **state)
{
    (void)state;
    begin_lane(10);
    assert_true(lane_await_quiet(lane, monotonic_us()));
}

/* --- the end ----------------------------------------------------------------------------------------------------- */

static void the_end_drops_what_waits_and_lets_the_batch_finish(void **state)
{
    struct delivery *held, *waiting[5];
    (void)state;
    fake_settings()->retries[RETRY_DEFAULT] = (struct retry_policy){ "slow", 3, MINUTE_US, 1.0, MINUTE_US, 0 };
    begin_lane(10);
    held = fake_delivery(1);
    fake_fate(held)->busy = FAKE_FOR_EVER;
    submit(&held, 1);
    fake_await_runs(1);
    struct delivery *inside = stop_at_gate();
    make_deliveries(waiting, 5, 5);
    submit(waiting, 5);
    lane_ask_stop(lane, monotonic_us() + MINUTE_US);
    fake_open_gate();
    lane_free(lane);
    lane = NULL;
    fake_await_completed(7);
    assert_int_equal(count_dropped(7), 6);
    assert_int_equal(inside->answer, ANSWER_EVENT);
}

static void a_batch_that_cannot_end_is_dropped_at_the_deadline(void **state)
{
    enum
    {
        MANY = 100000,
    };
    struct delivery *given[4];
    enum batch_end *ends = calloc(MANY, sizeof(*ends));
    (void)state;
    assert_non_null(ends);
    for (int i = 0; i < MANY; i++)
        ends[i] = BATCH_AGAIN;
    begin_lane(10);
    fake_await_connects(1);
    fake_script(ends, MANY, "55P03");
    make_deliveries(given, 4, 2);
    submit(given, 4);
    fake_await_runs(2);
    int64_t deadline_us = monotonic_us() + 50000;
    end_lane(deadline_us);
    assert_true(monotonic_us() >= deadline_us);
    fake_await_completed(4);
    assert_int_equal(count_dropped(4), 4);
    fake_script(NULL, 0, NULL);
    free(ends);
}

static void a_lane_that_never_had_postgresql_ends_too(void **state)
{
    struct delivery *given[3];
    (void)state;
    fake_refuse_connects(FAKE_FOR_EVER);
    begin_lane(10);
    make_deliveries(given, 3, 3);
    submit(given, 3);
    fake_await_connects(1);
    end_lane(monotonic_us());
    fake_await_completed(3);
    assert_int_equal(count_dropped(3), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LANE_TEST(a_revocation_drops_what_waits_and_what_is_held),
        LANE_TEST(a_revocation_leaves_the_deliveries_of_another_epoch),
        LANE_TEST(a_revocation_ends_the_retries_of_a_batch),
        LANE_TEST(a_revocation_does_not_wait_for_postgresql),
        LANE_TEST(a_lane_whose_work_was_taken_while_it_could_not_connect_is_ready_again_by_itself),
        LANE_TEST(a_lane_whose_refused_work_was_taken_is_ready_again_by_itself),
        LANE_TEST(quiet_needs_no_revocation_to_be_told),
        LANE_TEST(the_end_drops_what_waits_and_lets_the_batch_finish),
        LANE_TEST(a_batch_that_cannot_end_is_dropped_at_the_deadline),
        LANE_TEST(a_lane_that_never_had_postgresql_ends_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
