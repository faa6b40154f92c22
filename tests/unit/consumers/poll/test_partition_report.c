#include "tests/fixtures/cmocka.h"

#include <stdio.h>
#include <string.h>

#include "consumers/poll/partition_report.h"
#include "worker/base/clock.h"
#include "worker/lane/held_keys.h"

enum
{
    SECOND_US = 1000000,
    OFFSET = 100,
};

static struct owned_partition *owned;
static struct partition_report report;
static struct stall_causes causes;
static struct held_keys held;
static int64_t now_us;

static int set_up(void **state)
{
    (void)state;
    owned = owned_new("commands", 3, 1);
    owned->start_offset = OFFSET;
    owned_change(owned, PARTITION_TAKE);
    memset(&report, 0, sizeof(report));
    snprintf(report.topic, sizeof(report.topic), "commands");
    report.partition = 3;
    held_keys_clear(&held);
    causes = (struct stall_causes){ .held = &held };
    now_us = monotonic_us() + 1000 * (int64_t)SECOND_US;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    owned_release(owned, 1);
    return 0;
}

/* A backlog of 5 messages that is there for so long. */
static void be_behind(int seconds)
{
    atomic_store(&owned->shared.moved_us, now_us - 900 * (int64_t)SECOND_US);
    backlog_look(&owned->backlog, OFFSET, OFFSET + 5, false, now_us - seconds * (int64_t)SECOND_US);
}

static const char *stalled(void)
{
    partition_report_fill(&report, owned, 0, &causes, now_us);
    return report.stalled ? report.stalled : "";
}

static void hold(const char *topic, int32_t partition)
{
    struct held_key *key = held_keys_place(&held, now_us - 60 * (int64_t)SECOND_US);
    snprintf(key->topic, sizeof(key->topic), "%s", topic);
    key->partition = partition;
}

static void an_idle_partition_is_not_stalled_however_long(void **state)
{
    (void)state;
    atomic_store(&owned->shared.moved_us, now_us - 900 * (int64_t)SECOND_US);
    assert_string_equal(stalled(), "");
    assert_int_equal(report.backlog, 0);
    assert_int_equal(report.watermark, OFFSET);
}

static void one_that_has_just_got_a_backlog_is_not_either(void **state)
{
    (void)state;
    be_behind(29);
    assert_string_equal(stalled(), "");
    assert_int_equal(report.backlog, 5);
    atomic_store(&owned->shared.moved_us, now_us - 29 * (int64_t)SECOND_US);
    be_behind(31);
    atomic_store(&owned->shared.moved_us, now_us - 29 * (int64_t)SECOND_US);
    assert_string_equal(stalled(), "");
}

static void a_backlog_that_has_not_moved_is_stalled_for_a_reason(void **state)
{
    (void)state;
    be_behind(31);
    assert_string_equal(stalled(), "unknown");
    hold("commands", 4);
    hold("others", 3);
    assert_string_equal(stalled(), "unknown");
    hold("commands", 3);
    assert_string_equal(stalled(), "held");
    causes.publishing = true;
    assert_string_equal(stalled(), "kafka_transaction");
    causes.database = true;
    assert_string_equal(stalled(), "database");
    causes.quiet = true;
    assert_string_equal(stalled(), "paused");
}

static void of_more_held_keys_than_are_listed_any_may_be_the_cause(void **state)
{
    (void)state;
    be_behind(31);
    for (int i = 0; i < HELD_KEYS_SHOWN; i++)
        hold("others", 1);
    assert_string_equal(stalled(), "unknown");
    held.keys++;
    assert_string_equal(stalled(), "held");
}

static void a_transaction_of_others_that_does_not_end_is_a_reason_without_a_backlog(void **state)
{
    (void)state;
    backlog_note_mark(&owned->backlog, OFFSET);
    backlog_look(&owned->backlog, OFFSET, OFFSET + 5, false, now_us - 31 * (int64_t)SECOND_US);
    assert_string_equal(stalled(), "kafka_transaction");
    assert_int_equal(report.backlog, 0);
}

static void one_that_is_not_taken_over_in_time_is_stalled(void **state)
{
    (void)state;
    partition_report_fill(&report, NULL, now_us - 29 * (int64_t)SECOND_US, &causes, now_us);
    assert_null(report.stalled);
    partition_report_fill(&report, NULL, now_us - 31 * (int64_t)SECOND_US, &causes, now_us);
    assert_string_equal(report.stalled, "takeover");
    assert_false(report.taken);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(an_idle_partition_is_not_stalled_however_long),
        TEST(one_that_has_just_got_a_backlog_is_not_either),
        TEST(a_backlog_that_has_not_moved_is_stalled_for_a_reason),
        TEST(of_more_held_keys_than_are_listed_any_may_be_the_cause),
        TEST(a_transaction_of_others_that_does_not_end_is_a_reason_without_a_backlog),
        TEST(one_that_is_not_taken_over_in_time_is_stalled),
    };
    return cmocka_run_group_tests_name("partition_report", tests, NULL, NULL);
}
