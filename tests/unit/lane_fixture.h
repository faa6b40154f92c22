/* Lane fixture: one lane on the scripted batch_run of fakes/batch.h.
 *
 * Threads    the test's.
 * Failure    cmocka's asserts.
 */
#ifndef TESTS_UNIT_LANE_FIXTURE_H
#define TESTS_UNIT_LANE_FIXTURE_H

/* cmocka wants these first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "tests/fakes/batch.h"
#include "worker/base/clock.h"
#include "worker/lane/lane.h"

enum
{
    SOME_MAX = 1000,
    SECOND_US = 1000000,
    MINUTE_US = 60 * SECOND_US,
};

static struct lane *lane;

static inline void begin_lane(int batch_max)
{
    struct pool_options options = fake_options();
    fake_settings()->worker.batch_max = batch_max;
    lane = lane_new(&options, 0);
    assert_non_null(lane);
}

static inline void end_lane(int64_t deadline_us)
{
    if (lane == NULL)
        return;
    lane_ask_stop(lane, deadline_us);
    lane_free(lane);
    lane = NULL;
}

static inline int set_up(void **state)
{
    (void)state;
    fake_begin(1, 10);
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    fake_open_gate();
    end_lane(0);
    fake_end();
    return 0;
}

static inline void submit(struct delivery *const *deliveries, int count)
{
    lane_submit(lane, fake_chain(deliveries, count), deliveries[count - 1], count);
}

/* `count` deliveries, with keys that go round from 1 to `keys`. */
static inline void make(struct delivery **into, int count, int keys)
{
    for (int i = 0; i < count; i++)
        into[i] = fake_delivery((uint64_t)(1 + i % keys));
}

/* Lets the lane stand with a batch in hand, so that what is submitted now waits together. */
static inline struct delivery *stop_at_gate(void)
{
    struct delivery *delivery = fake_delivery(4000);
    fake_close_gate(4000);
    submit(&delivery, 1);
    fake_await_at_gate(1);
    return delivery;
}

#define LANE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
