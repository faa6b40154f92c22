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
} scene;

__typeof__(rd_kafka_metadata) __wrap_rd_kafka_metadata;
__typeof__(contact_problem) __wrap_contact_problem;

rd_kafka_resp_err_t __wrap_rd_kafka_metadata(rd_kafka_t *client, int all, rd_kafka_topic_t *topic,
                                             const struct rd_kafka_metadata **ret, int wait_ms)
{
    (void)client, (void)all, (void)topic;
    scene.questions++;
    *ret = NULL;
    assert_in_range(wait_ms, 1, 1000);
    return scene.answers ? RD_KAFKA_RESP_ERR_NO_ERROR : RD_KAFKA_RESP_ERR__TRANSPORT;
}

bool __wrap_contact_problem(const rd_kafka_t *client, char *into, size_t size)
{
    (void)client;
    snprintf(into, size, "%s", scene.has_reason ? "refused" : "");
    return scene.has_reason;
}

static int set_up(void **state)
{
    static char bootstrap[] = "somewhere:9092";
    (void)state;

    memset(&scene, 0, sizeof(scene));
    scene.settings.kafka.bootstrap = bootstrap;
    return 0;
}

static enum reach_state step(int64_t now_us)
{
    rd_kafka_t *consumer = (rd_kafka_t *)(void *)&scene; /* nobody looks into it */
    return reach_step(&scene.reach, &scene.settings, consumer, now_us, scene.why, sizeof(scene.why));
}

static void without_a_doubt_nothing_is_asked(void **state)
{
    (void)state;

    for (int64_t now_us = S; now_us < 100 * S; now_us += S / 10)
        assert_int_equal(step(now_us), REACH_SAME);
    assert_int_equal(scene.questions, 0);
}

static void a_silent_broker_is_reported_with_address_reason_and_time(void **state)
{
    (void)state;

    scene.has_reason = true;
    reach_doubt(&scene.reach, 7 * S, 10 * S);
    assert_int_equal(step(10 * S), REACH_SILENT);
    assert_string_equal(scene.why, "somewhere:9092 has not answered for 3 s: refused");
    scene.has_reason = false;
    assert_int_equal(step(11 * S), REACH_SAME); /* not asked all the time */
    reach_doubt(&scene.reach, 11 * S, 11 * S);  /* and the beginning is not forgotten */
    assert_int_equal(step(12 * S), REACH_SILENT);
    assert_non_null(strstr(scene.why, "somewhere:9092 has not answered for 5 s: connections are accepted"));
    scene.answers = true;
    assert_int_equal(step(15 * S), REACH_BACK);
    assert_int_equal(step(16 * S), REACH_SAME);
    assert_int_equal(scene.questions, 3);
}

static void a_doubt_that_was_wrong_is_not_told(void **state)
{
    (void)state;

    scene.answers = true;
    for (int64_t now_us = 10 * S; now_us < 20 * S; now_us += S / 10)
    {
        reach_doubt(&scene.reach, now_us, now_us);
        assert_int_equal(step(now_us), REACH_SAME);
    }
    assert_in_range(scene.questions, 4, 6);
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
