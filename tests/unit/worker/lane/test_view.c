/* fake: batch */
#include "tests/fixtures/lane.h"

#include <sched.h>
#include <string.h>

#include "worker/base/clock.h"
#include "worker/base/metrics.h"

/* --- what others see --------------------------------------------------------------------------------------------- */

/* Polls, for there is nothing to wait on. */
static struct held_keys await_held(int64_t keys)
{
    static struct held_keys held;
    int64_t deadline_us = monotonic_us() + MINUTE_US / 2;
    do
    {
        assert_true(monotonic_us() < deadline_us);
        sched_yield();
        held_keys_clear(&held);
        lane_held(lane, &held);
    } while (held.keys != keys);
    return held;
}

static void held_keys_are_shown_and_gone_afterwards(void **state)
{
    struct delivery *given[9];
    (void)state;
    fake_settings()->retries[RETRY_DEFAULT] = (struct retry_policy){ "slow", 3, 50000, 1.0, 50000, 0 };
    fake_settings()->locks[0].wait_us = 20 * (int64_t)SECOND_US;
    begin_lane(10);
    make_deliveries(given, 9, 3);
    fake_fate(given[0])->busy = 60;
    fake_fate(given[1])->busy = 60;
    submit(given, 9);
    struct held_keys held = await_held(2);
    assert_true(held.oldest_us > 0 && held.oldest_us <= monotonic_us());
    assert_int_equal(held.longest[0].commands, 3);
    assert_true(held.longest[0].attempts > 0);
    assert_non_null(strstr(held.longest[0].reason, "busy"));
    assert_string_equal(held.longest[0].lane, "lane-0.0");
    assert_int_equal(metrics_get(METRIC_HELD_KEYS), 2);
    fake_await_completed(9);
    await_held(0);
    assert_int_equal(metrics_get(METRIC_HELD_KEYS), 0);
}

/* Held within a second of the copy before, and due only much later: the copy is made again all the same. */
static void a_key_held_just_after_another_is_shown_soon(void **state)
{
    (void)state;
    fake_settings()->retries[RETRY_DEFAULT] =
        (struct retry_policy){ "slow", 3, 20 * (int64_t)SECOND_US, 1.0, 20 * (int64_t)SECOND_US, 0 };
    begin_lane(10);
    for (uint64_t key = 1; key <= 2; key++)
    {
        struct delivery *delivery = fake_delivery(key);
        fake_fate(delivery)->busy = FAKE_FOR_EVER;
        submit(&delivery, 1);
        fake_await_runs((int)key);
    }
    int64_t begun_us = monotonic_us();
    await_held(2);
    assert_true(monotonic_us() - begun_us < 5 * SECOND_US);
}

static void the_keys_of_a_batch_that_is_stuck_are_shown_too(void **state)
{
    static const enum batch_end ends[] = { BATCH_STUCK, BATCH_STUCK };
    struct delivery *given[6];
    (void)state;
    begin_lane(10);
    fake_await_connects(1);
    fake_script(ends, 2, "53100");
    make_deliveries(given, 6, 3);
    submit(given, 6);
    struct held_keys held = await_held(3);
    assert_int_equal(held.longest[0].commands, 2);
    assert_int_equal(held.longest[0].attempts, 1);
    assert_non_null(strstr(held.longest[0].reason, "resources, SQLSTATE 53100"));
    assert_true(held.longest[0].next_us <= monotonic_us() + SECOND_US);
    fake_await_completed(6);
    await_held(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LANE_TEST(held_keys_are_shown_and_gone_afterwards),
        LANE_TEST(a_key_held_just_after_another_is_shown_soon),
        LANE_TEST(the_keys_of_a_batch_that_is_stuck_are_shown_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
