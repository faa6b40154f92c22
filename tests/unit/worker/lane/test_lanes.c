/* fake: batch */
#include "tests/fixtures/cmocka.h"

#include <stdlib.h>

#include "tests/fakes/batch.h"
#include "worker/base/clock.h"

enum
{
    LANES = 4,
    MINUTE_US = 60 * 1000000,
};

static struct lanes *lanes;

static void begin_pool(void)
{
    struct lanes_options options = fake_options();
    const char *why = "";
    lanes = lanes_new(&options, &why);
    assert_non_null(lanes);
}

static int set_up(void **state)
{
    (void)state;
    fake_begin(LANES, 16);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fake_open_gate();
    lanes_free(lanes, 0);
    lanes = NULL;
    fake_end();
    return 0;
}

static void submit(struct delivery *const *deliveries, int count)
{
    lanes_submit(lanes, fake_chain(deliveries, count));
}

static void a_chain_is_dealt_out_to_the_lanes_and_every_key_stays_in_order(void **state)
{
    enum
    {
        COUNT = 1000,
        KEYS = 37,
    };
    struct delivery *given[COUNT];
    (void)state;
    begin_pool();
    for (int i = 0; i < COUNT; i++)
        given[i] = fake_delivery((uint64_t)(1 + i % KEYS));
    submit(given, COUNT);
    fake_await_completed(COUNT);
    fake_assert_order();
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(given[i]->answer, ANSWER_EVENT);
}

static void a_lane_that_stands_still_does_not_stop_the_others(void **state)
{
    enum
    {
        COUNT = 40,
    };
    struct delivery *given[COUNT];
    int others = 0;
    (void)state;
    begin_pool();
    fake_close_gate(1);
    for (int i = 0; i < COUNT; i++)
        given[i] = fake_delivery((uint64_t)(1 + i % (LANES * 2)));
    for (int i = 0; i < COUNT; i++)
        others += fake_fate(given[i])->key % LANES != 1; /* the fake's hashes deal keys out by their remainder */
    submit(given, COUNT);
    fake_await_completed(others);
    const struct delivery *back[COUNT];
    int count = fake_completed(back, COUNT);
    for (int i = 0; i < count; i++)
        assert_int_not_equal(fake_fate(back[i])->key % LANES, 1);
    fake_open_gate();
    fake_await_completed(COUNT);
    fake_assert_order();
}

static void the_pool_is_ready_when_every_lane_is(void **state)
{
    char why[256] = "";
    (void)state;
    fake_refuse_connects(FAKE_FOR_EVER);
    begin_pool();
    fake_await_connects(LANES);
    assert_false(lanes_is_ready(lanes, why, sizeof(why)));
    assert_non_null(strstr(why, "lane-0."));
    fake_refuse_connects(0);
    for (uint64_t key = 0; key < LANES; key++)
    {
        struct delivery *delivery = fake_delivery(LANES + key);
        submit(&delivery, 1);
    }
    fake_await_completed(LANES);
    assert_true(lanes_is_ready(lanes, why, sizeof(why)));
}

static void a_revocation_is_quiet_when_every_lane_is(void **state)
{
    enum
    {
        COUNT = 100,
    };
    struct delivery *given[COUNT];
    const struct delivery *back[COUNT];
    (void)state;
    begin_pool();
    fake_close_gate(1);
    for (int i = 0; i < COUNT; i++)
        given[i] = fake_delivery((uint64_t)(1 + i % 20));
    submit(given, COUNT);
    fake_await_at_gate(1);
    fake_revoke_epoch();
    lanes_revoke(lanes);
    assert_false(lanes_await_quiet(lanes, monotonic_us() + 1000));
    fake_open_gate();
    assert_true(lanes_await_quiet(lanes, monotonic_us() + MINUTE_US / 2));
    /* Quiet means that nothing of it is to come any more: all are back. */
    assert_int_equal(fake_completed(back, COUNT), COUNT);
    fake_assert_order();
}

static void freeing_the_pool_gives_everything_back(void **state)
{
    enum
    {
        COUNT = 500,
    };
    struct delivery *given[COUNT];
    const struct delivery *back[COUNT];
    (void)state;
    begin_pool();
    fake_close_gate(0);
    for (int i = 0; i < COUNT; i++)
        given[i] = fake_delivery((uint64_t)(1 + i % 50));
    submit(given, COUNT);
    fake_await_at_gate(LANES);
    fake_open_gate();
    lanes_free(lanes, monotonic_us() + MINUTE_US);
    lanes = NULL;
    assert_int_equal(fake_completed(back, COUNT), COUNT);
    fake_assert_order();
}

static void a_pool_that_was_never_used_ends_at_once(void **state)
{
    (void)state;
    begin_pool();
    lanes_free(lanes, monotonic_us() + MINUTE_US);
    lanes = NULL;
    lanes_free(NULL, 0);
}

static void script_trouble(struct delivery *delivery, unsigned *seed)
{
    static const char *const codes[] = { "23514", "23505", "40P01", "22003", "57014", "55P03" };
    struct fate *fate = fake_fate(delivery);
    int what = rand_r(seed) % 60;

    if (what == 0)
        fate->busy = 1 + rand_r(seed) % 3;
    if (what == 1)
    {
        fate->sqlstate = codes[rand_r(seed) % 6];
        fate->refusals = 1 + rand_r(seed) % 5;
    }
    if (what == 2 && rand_r(seed) % 20 == 0)
        fate->busy = FAKE_FOR_EVER;
}

/* Rebalance after rebalance with trouble of every kind: each delivery comes back once, and each key in order. */
static void order_and_completeness_survive_trouble_and_rebalances(void **state)
{
    enum
    {
        EPOCHS = 12,
        COUNT = 1500,
        KEYS = 61,
    };
    static const enum batch_end ends[] = { BATCH_AGAIN, BATCH_SESSION, BATCH_AGAIN };
    struct delivery *given[COUNT];
    unsigned seed = 99;
    int submitted = 0;
    (void)state;
    fake_settings()->worker.batch_linger_us = 200;
    begin_pool();
    for (int epoch = 0; epoch < EPOCHS; epoch++)
    {
        for (int i = 0; i < COUNT; i++)
        {
            given[i] = fake_delivery((uint64_t)(1 + rand_r(&seed) % KEYS));
            script_trouble(given[i], &seed);
        }
        for (int i = 0, count; i < COUNT; i += count)
        {
            count = 1 + rand_r(&seed) % 200;
            count = count < COUNT - i ? count : COUNT - i;
            submit(given + i, count);
        }
        submitted += COUNT;
        fake_script(ends, 3, "57P01");
        fake_await_completed(submitted - rand_r(&seed) % COUNT);
        fake_revoke_epoch();
        lanes_revoke(lanes);
        assert_true(lanes_await_quiet(lanes, monotonic_us() + MINUTE_US / 2));
        fake_await_completed(submitted);
    }
    fake_assert_order();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_chain_is_dealt_out_to_the_lanes_and_every_key_stays_in_order),
        TEST(a_lane_that_stands_still_does_not_stop_the_others),
        TEST(the_pool_is_ready_when_every_lane_is),
        TEST(a_revocation_is_quiet_when_every_lane_is),
        TEST(freeing_the_pool_gives_everything_back),
        TEST(a_pool_that_was_never_used_ends_at_once),
        TEST(order_and_completeness_survive_trouble_and_rebalances),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
