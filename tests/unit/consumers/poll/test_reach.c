/* wrap: rd_kafka_metadata contact_problem */
#include "tests/fixtures/cmocka.h"

#include <stdio.h>
#include <string.h>

#include "consumers/kafka/contact.h"
#include "consumers/poll/reach.h"
#include "worker/settings/settings.h"

#define S INT64_C(1000000)

static struct
{
    struct settings settings;
    struct reach reach;
    bool answers, has_reason;
    int questions;
    char why[400];
} world;

__typeof__(rd_kafka_metadata) __wrap_rd_kafka_metadata;
__typeof__(contact_problem) __wrap_contact_problem;

rd_kafka_resp_err_t __wrap_rd_kafka_metadata(rd_kafka_t *client, int all, rd_kafka_topic_t *topic,
                                             const struct rd_kafka_metadata **ret, int wait_ms)
{
    (void)client, (void)all, (void)topic;
    world.questions++;
    *ret = NULL;
    assert_in_range(wait_ms, 1, 1000);
    return world.answers ? RD_KAFKA_RESP_ERR_NO_ERROR : RD_KAFKA_RESP_ERR__TRANSPORT;
}

bool __wrap_contact_problem(const rd_kafka_t *client, char *into, size_t size)
{
    (void)client;
    snprintf(into, size, "%s", world.has_reason ? "refused" : "");
    return world.has_reason;
}

static int set_up(void **state)
{
    static char bootstrap[] = "somewhere:9092";
    (void)state;

    memset(&world, 0, sizeof(world));
    world.settings.kafka.bootstrap = bootstrap;
    return 0;
}

static enum reach_state step(int64_t now_us)
{
    return reach_step(&world.reach, &world.settings, NULL, now_us, world.why, sizeof(world.why));
}

static void without_a_doubt_nothing_is_asked(void **state)
{
    (void)state;

    for (int64_t now_us = S; now_us < 100 * S; now_us += S / 10)
        assert_int_equal(step(now_us), REACH_SAME);
    assert_int_equal(world.questions, 0);
}

static void a_silent_broker_is_reported_with_address_reason_and_time(void **state)
{
    (void)state;

    world.has_reason = true;
    reach_doubt(&world.reach, 7 * S, 10 * S);
    assert_int_equal(step(10 * S), REACH_SILENT);
    assert_string_equal(world.why, "somewhere:9092 has not answered for 3 s: refused");
    world.has_reason = false;
    assert_int_equal(step(11 * S), REACH_SAME); /* not asked all the time */
    reach_doubt(&world.reach, 11 * S, 11 * S);  /* and the beginning is not forgotten */
    assert_int_equal(step(12 * S), REACH_SILENT);
    assert_non_null(strstr(world.why, "somewhere:9092 has not answered for 5 s: connections are accepted"));
    world.answers = true;
    assert_int_equal(step(15 * S), REACH_BACK);
    assert_int_equal(step(16 * S), REACH_SAME);
    assert_int_equal(world.questions, 3);
}

static void a_doubt_that_was_wrong_is_not_told(void **state)
{
    (void)state;

    world.answers = true;
    for (int64_t now_us = 10 * S; now_us < 20 * S; now_us += S / 10)
    {
        reach_doubt(&world.reach, now_us, now_us);
        assert_int_equal(step(now_us), REACH_SAME);
    }
    assert_in_range(world.questions, 4, 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(without_a_doubt_nothing_is_asked, set_up),
        cmocka_unit_test_setup(a_silent_broker_is_reported_with_address_reason_and_time, set_up),
        cmocka_unit_test_setup(a_doubt_that_was_wrong_is_not_told, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
