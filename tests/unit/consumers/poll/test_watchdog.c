/* wrap: group_owners_ask */
#include "tests/fixtures/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumers/kafka/group_owners.h"
#include "consumers/poll/watchdog.h"
#include "worker/base/metrics.h"
#include "worker/settings/settings.h"

/* PROTOCOL O7, with a clock and a group of the test's own. */

#define S INT64_C(1000000)

static struct
{
    struct settings settings;
    struct watchdog watchdog;
    enum group_answer answer;
    int unowned, questions;
    int64_t now_us;
} scene;

__typeof__(group_owners_ask) __wrap_group_owners_ask;

enum group_answer __wrap_group_owners_ask(const struct settings *settings, int *ret_unowned, char *why, size_t why_size)
{
    (void)settings;
    scene.questions++;
    *ret_unowned = scene.unowned;
    snprintf(why, why_size, "%s", scene.answer == GROUP_SILENT ? "no answer" : "");
    return scene.answer;
}

static int set_up(void **state)
{
    (void)state;
    memset(&scene, 0, sizeof(scene));
    scene.settings.consumers.drain_timeout_us = 10 * S;
    scene.settings.consumers.session_timeout_us = 10 * S;
    scene.settings.consumers.watchdog_us = 30 * S;
    scene.settings.protections.watchdog = true;
    scene.answer = GROUP_UNOWNED;
    scene.unowned = 6;
    scene.now_us = 1000 * S;
    watchdog_init(&scene.watchdog, &scene.settings, 0);
    watchdog_begin(&scene.watchdog, scene.now_us);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    watchdog_done(&scene.watchdog);
    return 0;
}

/* Step by step through a time, as the poll thread does. Seconds until it wants a new consumer, or -1. */
static double seconds_to_rebuild(enum extent extent, uint64_t epoch, int seconds)
{
    for (int64_t from_us = scene.now_us; scene.now_us < from_us + seconds * S; scene.now_us += S / 10)
        if (watchdog_step(&scene.watchdog, extent, epoch, scene.now_us))
            return (double)(scene.now_us - from_us) / (double)S;
    return -1;
}

static bool is_content(void)
{
    char why[320];
    return watchdog_is_content(&scene.watchdog, why, sizeof(why));
}

static void a_cell_without_an_assignment_gets_a_new_consumer_after_the_time_allowed(void **state)
{
    int64_t before = metrics_get(METRIC_CONSUMER_REBUILDS);
    (void)state;

    double seconds = seconds_to_rebuild(EXTENT_NONE, 0, 60);
    assert_true(seconds >= 30 && seconds <= 33.2);
    assert_int_equal(scene.questions, 1);
    assert_int_equal(metrics_get(METRIC_CONSUMER_REBUILDS), before + 1);
    assert_int_equal(watchdog_rest_us(&scene.watchdog), 0);
}

static void a_member_that_the_group_remembers_and_that_has_nothing_gets_one_as_well(void **state)
{
    (void)state;

    scene.answer = GROUP_SILENT;
    assert_true(seconds_to_rebuild(EXTENT_NONE, 0, 40) < 0);
    scene.answer = GROUP_OWNED;
    double seconds = seconds_to_rebuild(EXTENT_NONE, 0, 60);
    assert_true(seconds >= 0 && seconds <= 33.2 + 10);
}

static void the_time_allowed_is_never_shorter_than_a_drain_and_a_session(void **state)
{
    (void)state;

    scene.settings.consumers.drain_timeout_us = 60 * S;
    watchdog_begin(&scene.watchdog, scene.now_us);
    double seconds = seconds_to_rebuild(EXTENT_NONE, 0, 200);
    assert_true(seconds >= 70 && seconds <= 77.2);
    scene.settings.consumers.session_timeout_us = 120 * S;
    watchdog_begin(&scene.watchdog, scene.now_us);
    seconds = seconds_to_rebuild(EXTENT_NONE, 0, 200);
    assert_true(seconds >= 120 && seconds <= 132.2);
}

static void nothing_is_rebuilt_while_kafka_does_not_answer(void **state)
{
    (void)state;

    scene.answer = GROUP_SILENT;
    assert_true(seconds_to_rebuild(EXTENT_NONE, 0, 300) < 0);
    char why[320];
    assert_false(watchdog_is_content(&scene.watchdog, why, sizeof(why)));
    assert_string_equal(why, "no answer");
    assert_true(scene.questions <= 30);
    scene.answer = GROUP_MOVING;
    double seconds = seconds_to_rebuild(EXTENT_NONE, 0, 60);
    assert_true(seconds >= 20 && seconds <= 33.2 + 10);
}

static void an_empty_assignment_is_given_up_where_partitions_have_no_owner(void **state)
{
    (void)state;

    assert_true(seconds_to_rebuild(EXTENT_PARTIAL, 1, 20) < 0);
    assert_false(is_content());
    assert_true(seconds_to_rebuild(EXTENT_PARTIAL, 1, 20) >= 0);
    /* The coordinator gives a static member that comes back the same assignment again, until it has forgotten it. */
    assert_int_equal(watchdog_rest_us(&scene.watchdog), 0);
    scene.settings.consumers.static_membership = true;
    assert_int_equal(watchdog_rest_us(&scene.watchdog), 11 * S);
}

static void a_worker_for_which_nothing_is_left_is_content(void **state)
{
    (void)state;

    scene.answer = GROUP_OWNED;
    assert_false(is_content());
    assert_true(seconds_to_rebuild(EXTENT_PARTIAL, 1, 600) < 0);
    assert_true(is_content());
    assert_true(scene.questions <= 11);
    /* Partitions that have just been made have no owner until the group's leader sees them. */
    scene.answer = GROUP_UNOWNED;
    double seconds = seconds_to_rebuild(EXTENT_PARTIAL, 1, 100);
    assert_true(seconds >= 30 && seconds <= 60 + 33.2);
    assert_false(is_content());
}

static void a_group_that_is_moving_says_nothing_of_an_empty_assignment(void **state)
{
    (void)state;

    scene.answer = GROUP_MOVING;
    assert_true(seconds_to_rebuild(EXTENT_PARTIAL, 1, 300) < 0);
}

static void with_every_topic_assigned_nothing_is_asked(void **state)
{
    (void)state;

    assert_true(seconds_to_rebuild(EXTENT_FULL, 1, 300) < 0);
    assert_true(is_content());
    assert_int_equal(scene.questions, 0);
}

static void each_assignment_has_the_whole_time(void **state)
{
    (void)state;

    for (uint64_t epoch = 1; epoch < 5; epoch++)
        assert_true(seconds_to_rebuild(EXTENT_PARTIAL, epoch, 25) < 0);
}

static void with_the_protection_off_a_cell_waits_for_ever(void **state)
{
    (void)state;

    scene.settings.protections.watchdog = false;
    assert_true(seconds_to_rebuild(EXTENT_NONE, 0, 600) < 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_cell_without_an_assignment_gets_a_new_consumer_after_the_time_allowed),
        TEST(a_member_that_the_group_remembers_and_that_has_nothing_gets_one_as_well),
        TEST(the_time_allowed_is_never_shorter_than_a_drain_and_a_session),
        TEST(nothing_is_rebuilt_while_kafka_does_not_answer),
        TEST(an_empty_assignment_is_given_up_where_partitions_have_no_owner),
        TEST(a_worker_for_which_nothing_is_left_is_content),
        TEST(a_group_that_is_moving_says_nothing_of_an_empty_assignment),
        TEST(with_every_topic_assigned_nothing_is_asked),
        TEST(each_assignment_has_the_whole_time),
        TEST(with_the_protection_off_a_cell_waits_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
