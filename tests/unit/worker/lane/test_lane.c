/* fake: batch */
#include "tests/fixtures/lane.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "worker/base/clock.h"
#include "worker/base/metrics.h"

static void assert_run(const struct fake_run *run, int count, int first_number, enum batch_end end)
{
    assert_int_equal(run->count, count);
    assert_int_equal(run->first_number, first_number);
    assert_int_equal(run->end, end);
    assert_false(run->verdict);
    assert_false(run->waiting);
}

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

static void what_comes_after_a_held_one_waits_behind_it(void **state)
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

static void a_turn_in_vain_is_followed_by_another_longest_wait(void **state)
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
    assert_int_equal(fake_fate(given[0])->verdicts, 0);
    fake_assert_order();
}

/* PROTOCOL L4: turns of its own that were in vain do not set the time back. */
static void a_command_held_too_long_is_parked_alone(void **state)
{
    struct delivery *given[6];
    (void)state;
    begin_lane(10);
    fake_settings()->worker.park_after_us = 60000;
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
    assert_int_equal(fake_fate(given[2])->parked, 0); /* what stands behind it is told so by its batch */
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

static void a_waiting_turn_that_postgresql_refuses_becomes_a_verdict(void **state)
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
    assert_int_equal(fake_fate(given[0])->verdicts, 1);
    fake_assert_order();
}

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
    assert_true(runs[7].verdict);
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
        assert_int_equal(fake_fate(given[i])->verdicts, i == 3 || i == 12);
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
        assert_int_equal(fake_fate(delivery)->verdicts, 1);
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
    assert_int_equal(fake_fate(delivery)->verdicts, 0);
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
    assert_int_equal(fake_fate(given[0])->verdicts, 0);
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
static void a_verdict_that_cannot_be_recorded_is_held_and_never_dropped(void **state)
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
    assert_int_equal(fake_fate(given[0])->verdicts, 4);
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
    assert_int_equal(fake_fate(given[0])->verdicts, 0);
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
        LANE_TEST(what_comes_after_a_held_one_waits_behind_it),
        LANE_TEST(a_command_past_its_longest_wait_has_a_turn_alone),
        LANE_TEST(a_turn_in_vain_is_followed_by_another_longest_wait),
        LANE_TEST(many_turns_leave_room_for_what_is_new),
        LANE_TEST(many_turns_share_one_wait),
        LANE_TEST(a_held_command_in_the_way_of_answers_is_parked),
        LANE_TEST(a_held_command_in_nobodys_way_waits_for_its_row),
        LANE_TEST(all_that_is_in_the_way_is_parked_as_one_batch),
        LANE_TEST(a_busy_row_and_a_refused_lock_have_delays_of_their_own),
        LANE_TEST(two_deadlines_of_our_own_in_a_row_make_halves),
        LANE_TEST(a_command_held_too_long_is_parked_alone),
        LANE_TEST(a_waiting_turn_that_postgresql_refuses_becomes_a_verdict),
        LANE_TEST(a_failed_batch_runs_again_in_halves_in_order_then_alone),
        LANE_TEST(two_culprits_of_one_batch_are_both_found),
        LANE_TEST(a_conflict_is_decided_again_three_times_before_it_is_recorded),
        LANE_TEST(a_conflict_that_passes_is_never_recorded),
        LANE_TEST(a_transient_failure_alone_is_held_and_tried_again),
        LANE_TEST(the_later_ones_of_a_culprits_key_wait_for_its_record),
        LANE_TEST(a_verdict_that_cannot_be_recorded_is_held_and_never_dropped),
        LANE_TEST(nobodys_fault_runs_the_same_batch_again),
        LANE_TEST(a_lost_session_is_opened_again_and_the_batch_runs_again),
        LANE_TEST(sessions_lost_one_after_another_are_opened_more_slowly),
        LANE_TEST(without_postgresql_the_lane_is_not_ready_and_says_why),
        LANE_TEST(a_fault_of_ours_drops_nothing_and_says_what_it_is),
        LANE_TEST(order_survives_any_mixture_of_trouble),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
