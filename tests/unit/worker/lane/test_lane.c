/* fake: batch */
#include "tests/fixtures/lane.h"

#include <sched.h>
#include <stdlib.h>

#include "worker/base/clock.h"

/* --- order and batches ------------------------------------------------------------------------------------------- */

static void deliveries_come_back_answered_in_the_order_they_were_given(void **state)
{
    struct delivery *given[100];
    const struct delivery *back[100];
    (void)state;
    begin_lane(7);
    make_deliveries(given, 100, 3);
    for (int i = 0; i < 100; i += 5)
        submit(given + i, 5);
    fake_await_completed(100);
    assert_int_equal(fake_completed(back, 100), 100);
    for (int i = 0; i < 100; i++)
    {
        assert_ptr_equal(back[i], given[i]);
        assert_int_equal(back[i]->answer, ANSWER_EVENT);
    }
    fake_assert_order();
}

static void a_batch_takes_all_that_waits_up_to_the_limit(void **state)
{
    struct delivery *given[10];
    struct fake_run runs[8];
    (void)state;
    begin_lane(4);
    stop_at_gate();
    make_deliveries(given, 10, 10);
    submit(given, 10);
    fake_open_gate();
    fake_await_completed(11);
    assert_int_equal(fake_runs(runs, 8), 4);
    assert_int_equal(runs[0].count, 1);
    assert_int_equal(runs[1].count, 4);
    assert_int_equal(runs[2].count, 4);
    assert_int_equal(runs[3].count, 2);
}

/* --- holding ----------------------------------------------------------------------------------------------------- */

/* PROTOCOL B2: one busy row does not stop the others. */
static void a_held_key_holds_back_its_own_deliveries_and_no_other(void **state)
{
    struct delivery *given[9];
    const struct delivery *back[9];
    (void)state;
    for (int class = 0; class < LOCK__COUNT; class ++)
        fake_settings()->locks[class].wait_us = MINUTE_US; /* no turn alone, however slow this is */
    begin_lane(10);
    make_deliveries(given, 9, 3);
    fake_fate(given[0])->busy = 3;
    submit(given, 9);
    fake_await_completed(9);
    assert_int_equal(fake_completed(back, 9), 9);
    /* Keys 2 and 3 are back before key 1, and key 1 is in order. */
    for (int i = 0; i < 6; i++)
        assert_int_not_equal(fake_fate(back[i])->key, 1);
    for (int i = 6; i < 9; i++)
    {
        assert_int_equal(fake_fate(back[i])->key, 1);
        assert_int_equal(fake_fate(back[i])->number, i - 6);
    }
    assert_int_equal(fake_fate(given[0])->runs, 4);
    fake_assert_order();
}

static void with_retry_off_a_busy_command_is_forgotten(void **state)
{
    struct delivery *given[3];
    const struct delivery *back[3];
    (void)state;
    fake_settings()->protections.retry = false;
    begin_lane(1);
    make_deliveries(given, 3, 3);
    fake_fate(given[1])->busy = 1;
    submit(given, 3);
    fake_await_completed(3);
    assert_int_equal(fake_completed(back, 3), 3);
    assert_int_equal(fake_committed(back, 3), 2);
    assert_int_equal(given[1]->answer, ANSWER_NOTHING);
    assert_int_equal(fake_fate(given[1])->runs, 1);
}

static void a_command_after_a_held_one_of_its_key_waits_behind_it(void **state)
{
    struct delivery *held, *later[3], *other;
    const struct delivery *back[5];
    (void)state;
    /* No retry before the later ones are there. */
    fake_settings()->retries[RETRY_DEFAULT] = (struct retry_policy){ "slow", 3, 50000, 1.0, 50000, 0 };
    begin_lane(10);
    held = fake_delivery(1);
    fake_fate(held)->busy = 1;
    submit(&held, 1);
    fake_await_runs(1);
    for (int i = 0; i < 3; i++)
        later[i] = fake_delivery(1);
    submit(later, 3);
    other = fake_delivery(2);
    submit(&other, 1);
    fake_await_completed(5);
    assert_int_equal(fake_completed(back, 5), 5);
    assert_ptr_equal(back[0], other);
    assert_ptr_equal(back[1], held);
    for (int i = 0; i < 3; i++)
        assert_ptr_equal(back[2 + i], later[i]);
    fake_assert_order();
}

static void a_command_past_its_longest_wait_has_a_turn_alone(void **state)
{
    struct delivery *given[6];
    (void)state;
    begin_lane(10);
    make_deliveries(given, 6, 2);
    fake_fate(given[0])->busy = FAKE_FOR_EVER;
    submit(given, 6);
    fake_await_completed(6);
    assert_int_equal(fake_fate(given[0])->waited, 1);
    struct fake_run runs[SOME_MAX];
    int count = fake_runs(runs, SOME_MAX), turns = 0;
    for (int i = 0; i < count; i++)
        if (runs[i].waiting)
        {
            turns++;
            assert_int_equal(runs[i].count, 1);
            assert_int_equal(runs[i].first_number, 0);
        }
    assert_int_equal(turns, 1);
    for (int i = 1; i < 6; i++)
        assert_int_equal(fake_fate(given[i])->waited, 0);
    fake_assert_order();
}

static void a_turn_without_success_is_followed_by_another_longest_wait(void **state)
{
    struct delivery *given[3];
    (void)state;
    begin_lane(10);
    make_deliveries(given, 3, 1);
    fake_fate(given[0])->busy = FAKE_FOR_EVER;
    fake_fate(given[0])->waits_in_vain = 2;
    int64_t begun_us = monotonic_us();
    submit(given, 3);
    fake_await_completed(3);
    assert_int_equal(fake_fate(given[0])->waited, 3);
    assert_true(monotonic_us() - begun_us >= 3 * fake_settings()->locks[0].wait_us);
    assert_int_equal(fake_fate(given[0])->recorded_refusals, 0);
    fake_assert_order();
}

/* PROTOCOL L4: turns of its own without success do not set the time back. */
static void a_command_held_too_long_is_parked_alone(void **state)
{
    struct delivery *given[6];
    (void)state;
    begin_lane(10);
    fake_settings()->worker.park_after_us = 600000; /* room for two turns on a busy machine */
    make_deliveries(given, 6, 2);
    fake_fate(given[0])->busy = fake_fate(given[0])->waits_in_vain = FAKE_FOR_EVER;
    int64_t begun_us = monotonic_us();
    submit(given, 6);
    fake_await_completed(6);
    assert_true(monotonic_us() - begun_us >= fake_settings()->worker.park_after_us);
    assert_int_equal(fake_fate(given[0])->parked, 1);
    assert_true(fake_fate(given[0])->waited > 1);
    for (int i = 1; i < 6; i++)
        assert_int_equal(fake_fate(given[i])->parked, 0);
    fake_assert_order();
}

static atomic_int_fast64_t blocked_us;

/* Answers wait behind what is held in the partition of the deliveries, since then. */
static void block_since(struct delivery *const *deliveries, int64_t since_us)
{
    struct partition *partition = (struct partition *)(uintptr_t)deliveries[0]->partition;

    atomic_store(&blocked_us, since_us);
    if (partition->blocked_us != &blocked_us) /* the lane reads it by now */
        partition->blocked_us = &blocked_us;
}

/* PROTOCOL L3: long before its next try, and before park_after. */
static void a_held_command_in_the_way_of_answers_is_parked(void **state)
{
    struct delivery *given[6];
    (void)state;
    fake_settings()->retries[RETRY_DEFAULT] = (struct retry_policy){ "slow", 3, MINUTE_US, 1.0, MINUTE_US, 0 };
    fake_settings()->worker.park_when_blocking_us = 50000;
    begin_lane(10);
    make_deliveries(given, 6, 2);
    fake_fate(given[0])->busy = FAKE_FOR_EVER;
    block_since(given, 0);
    submit(given, 6);
    fake_await_completed(3);
    int64_t blocked_since_us = monotonic_us();
    block_since(given, blocked_since_us);
    fake_await_completed(6);
    assert_true(monotonic_us() - blocked_since_us >= fake_settings()->worker.park_when_blocking_us);
    assert_int_equal(fake_fate(given[0])->parked, 1);
    assert_int_equal(fake_fate(given[2])->parked, 0); /* its batch marks the commands after it */
    fake_assert_order();
}

static void a_held_command_in_nobodys_way_waits_for_its_row(void **state)
{
    struct delivery *given[4];
    (void)state;
    fake_settings()->worker.park_when_blocking_us = 10000;
    begin_lane(10);
    make_deliveries(given, 4, 1);
    fake_fate(given[0])->busy = 60;
    block_since(given, 0);
    submit(given, 4);
    fake_await_completed(4);
    assert_int_equal(fake_fate(given[0])->parked, 0);
    fake_assert_order();
}

static void all_that_is_in_the_way_is_parked_as_one_batch(void **state)
{
    static struct fake_run runs[SOME_MAX];
    struct delivery *given[9];
    int parks = 0;
    (void)state;
    fake_settings()->retries[RETRY_DEFAULT] = (struct retry_policy){ "slow", 3, MINUTE_US, 1.0, MINUTE_US, 0 };
    fake_settings()->worker.park_when_blocking_us = 20000;
    begin_lane(10);
    make_deliveries(given, 9, 9);
    for (int i = 0; i < 9; i++)
        fake_fate(given[i])->busy = FAKE_FOR_EVER;
    block_since(given, 0);
    submit(given, 9);
    fake_await_runs(1);
    block_since(given, 1);
    fake_await_completed(9);
    int count = fake_runs(runs, SOME_MAX);
    for (int i = 0; i < count; i++)
        parks += runs[i].park;
    assert_int_equal(parks, 1);
}

/* PROTOCOL B5: a busy row by the policy of the command's workflow, a refused lock by that of locks. */
static void a_busy_row_and_a_refused_lock_have_delays_of_their_own(void **state)
{
    (void)state;
    for (int refused = 0; refused <= 1; refused++)
    {
        struct delivery *delivery;
        enum retry_kind policy = refused ? RETRY_LOCK_ACQUISITION : workflow_retry(workflows[0]);
        fake_settings()->retries[policy] = (struct retry_policy){ "own", 3, 60000, 1.0, 60000, 0 };
        fake_settings()->retries[refused ? RETRY_DEFAULT : RETRY_LOCK_ACQUISITION] =
            (struct retry_policy){ "other", 3, MINUTE_US, 1.0, MINUTE_US, 0 };
        if (!refused)
            begin_lane(10);
        delivery = fake_delivery(1);
        fake_fate(delivery)->busy = 1;
        fake_fate(delivery)->lock_refused = refused;
        int64_t begun_us = monotonic_us();
        submit(&delivery, 1);
        fake_await_completed(1 + refused);
        assert_true(monotonic_us() - begun_us >= 60000);
    }
}

/* While a turn waits for its rows nobody else of the lane is served. */
static void many_turns_share_one_wait(void **state)
{
    enum
    {
        BUSY = 9,
        RUNS_MAX = 20000,
    };
    static struct fake_run runs[RUNS_MAX];
    int turns = 0;
    (void)state;
    fake_settings()->database.lock_timeout_us = 4000000;
    begin_lane(10);
    for (uint64_t key = 1; key <= BUSY; key++)
    {
        struct delivery *delivery = fake_delivery(key);
        fake_fate(delivery)->busy = fake_fate(delivery)->waits_in_vain = FAKE_FOR_EVER;
        submit(&delivery, 1);
    }
    while (turns < 3 * BUSY)
    {
        int count = fake_runs(runs, RUNS_MAX);
        turns = 0;
        for (int i = 0; i < count; i++)
            turns += runs[i].waiting;
        sched_yield();
    }
    int64_t longest_us = 0;
    int count = fake_runs(runs, RUNS_MAX);
    for (int i = 0, seen = 0; i < count; i++)
    {
        seen += runs[i].waiting;
        if (runs[i].waiting && seen > 2 * BUSY && runs[i].wait_us > longest_us)
            longest_us = runs[i].wait_us;
        assert_true(!runs[i].waiting || runs[i].wait_us > 0);
    }
    /* A second for all of them, not for each. */
    assert_true(longest_us <= 1000000);
    int shared = 0;
    for (int i = 0; i < count; i++)
        shared += runs[i].waiting && runs[i].wait_us < 1000000;
    assert_true(shared > 0);
}

/* Whoever holds many rows for long must not stop the lane: between two turns the other keys have a batch. */
static void many_turns_leave_room_for_what_is_new(void **state)
{
    enum
    {
        BUSY = 20,
        RUNS_MAX = 20000,
    };
    static struct fake_run runs[RUNS_MAX];
    (void)state;
    begin_lane(10);
    for (uint64_t key = 1; key <= BUSY; key++)
    {
        struct delivery *delivery = fake_delivery(key);
        fake_fate(delivery)->busy = fake_fate(delivery)->waits_in_vain = FAKE_FOR_EVER;
        submit(&delivery, 1);
    }
    /* A turn of key 1 stands still until all the others are due for theirs. */
    int64_t until_us = monotonic_us() + 4 * fake_settings()->locks[0].wait_us;
    while (monotonic_us() < until_us)
        sched_yield();
    fake_close_gate(1);
    fake_await_at_gate(1);
    until_us = monotonic_us() + 4 * fake_settings()->locks[0].wait_us;
    while (monotonic_us() < until_us)
        sched_yield();
    struct delivery *young = fake_delivery(3000);
    submit(&young, 1);
    int before = fake_runs(runs, RUNS_MAX);
    fake_open_gate();
    fake_await_completed(1);
    int count = fake_runs(runs, RUNS_MAX), turns = 0;
    for (int i = before; i < count && runs[i].first_key != 3000; i++)
        turns += runs[i].waiting;
    assert_true(turns <= 2);
}

static void a_waiting_turn_that_postgresql_refuses_is_recorded_as_refused(void **state)
{
    struct delivery *given[3];
    (void)state;
    begin_lane(10);
    make_deliveries(given, 3, 1);
    fake_fate(given[0])->busy = FAKE_FOR_EVER;
    fake_fate(given[0])->waits_in_vain = 1;
    fake_fate(given[0])->sqlstate = "23514";
    submit(given, 3);
    fake_await_completed(3);
    assert_int_equal(fake_fate(given[0])->recorded_refusals, 1);
    fake_assert_order();
}

/* --- everything at once ------------------------------------------------------------------------------------------ */

static void order_survives_any_mixture_of_trouble(void **state)
{
    enum
    {
        COUNT = 3000,
        KEYS = 23,
    };
    static const char *const codes[] = { "23514", "23505", "40P01", "22003", "57014" };
    struct delivery **given = calloc(COUNT, sizeof(*given));
    unsigned seed = 4711;
    (void)state;
    assert_non_null(given);
    begin_lane(32);
    make_deliveries(given, COUNT, KEYS);
    for (int i = 0; i < COUNT; i++)
    {
        struct fate *fate = fake_fate(given[i]);
        switch (rand_r(&seed) % 40)
        {
        case 0:
            fate->busy = 1 + rand_r(&seed) % 4;
            break;
        case 1:
            fate->sqlstate = codes[rand_r(&seed) % 5];
            fate->refusals = 1 + rand_r(&seed) % 6;
            break;
        case 2:
            if (rand_r(&seed) % 10 == 0)
                fate->busy = FAKE_FOR_EVER;
            break;
        default:
            break;
        }
    }
    for (int i = 0; i < COUNT;)
    {
        int count = 1 + rand_r(&seed) % 50;
        count = count < COUNT - i ? count : COUNT - i;
        submit(given + i, count);
        i += count;
    }
    fake_await_completed(COUNT);
    fake_assert_order();
    free(given);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LANE_TEST(deliveries_come_back_answered_in_the_order_they_were_given),
        LANE_TEST(a_batch_takes_all_that_waits_up_to_the_limit),
        LANE_TEST(a_held_key_holds_back_its_own_deliveries_and_no_other),
        LANE_TEST(with_retry_off_a_busy_command_is_forgotten),
        LANE_TEST(a_command_after_a_held_one_of_its_key_waits_behind_it),
        LANE_TEST(a_command_past_its_longest_wait_has_a_turn_alone),
        LANE_TEST(a_turn_without_success_is_followed_by_another_longest_wait),
        LANE_TEST(many_turns_leave_room_for_what_is_new),
        LANE_TEST(many_turns_share_one_wait),
        LANE_TEST(a_held_command_in_the_way_of_answers_is_parked),
        LANE_TEST(a_held_command_in_nobodys_way_waits_for_its_row),
        LANE_TEST(all_that_is_in_the_way_is_parked_as_one_batch),
        LANE_TEST(a_busy_row_and_a_refused_lock_have_delays_of_their_own),
        LANE_TEST(a_command_held_too_long_is_parked_alone),
        LANE_TEST(a_waiting_turn_that_postgresql_refuses_is_recorded_as_refused),
        LANE_TEST(order_survives_any_mixture_of_trouble),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
