/* wrap: rd_kafka_assign rd_kafka_assignment rd_kafka_assignment_lost rd_kafka_pause_partitions
 * rd_kafka_resume_partitions rd_kafka_consumer_group_metadata lanes_revoke lanes_await_quiet publisher_take_over
 * publisher_finish */
#include "tests/fixtures/cmocka.h"

#include <stdio.h>
#include <string.h>

#include "consumers/poll/assignment.h"
#include "consumers/publish/publisher.h"
#include "worker/base/clock.h"
#include "worker/lane/lanes.h"
#include "worker/settings/settings.h"

/* The order of calls to librdkafka, pool and publisher around an assignment, written down as words. */

enum
{
    PARTITIONS = 3,
};

static struct
{
    struct settings settings;
    struct assignment *assignment;
    char log[1024];
    bool lost;
    struct owned_partition *asked[16];
    int asked_count;
    rd_kafka_consumer_group_metadata_t *group;
} scene;

static void note(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void note(const char *format, ...)
{
    va_list arguments;
    size_t used = strlen(scene.log);

    va_start(arguments, format);
    vsnprintf(scene.log + used, sizeof(scene.log) - used, format, arguments);
    va_end(arguments);
}

__typeof__(rd_kafka_assign) __wrap_rd_kafka_assign;
__typeof__(rd_kafka_assignment) __wrap_rd_kafka_assignment;
__typeof__(rd_kafka_assignment_lost) __wrap_rd_kafka_assignment_lost;
__typeof__(rd_kafka_pause_partitions) __wrap_rd_kafka_pause_partitions;
__typeof__(rd_kafka_resume_partitions) __wrap_rd_kafka_resume_partitions;
__typeof__(rd_kafka_consumer_group_metadata) __wrap_rd_kafka_consumer_group_metadata;
__typeof__(lanes_revoke) __wrap_lanes_revoke;
__typeof__(lanes_await_quiet) __wrap_lanes_await_quiet;
__typeof__(publisher_take_over) __wrap_publisher_take_over;
__typeof__(publisher_finish) __wrap_publisher_finish;

rd_kafka_resp_err_t __wrap_rd_kafka_assign(rd_kafka_t *consumer, const rd_kafka_topic_partition_list_t *partitions)
{
    (void)consumer;
    note("assign");
    for (int i = 0; partitions && i < partitions->cnt; i++)
        note("%s%d@%lld", i == 0 ? ":" : ",", partitions->elems[i].partition, (long long)partitions->elems[i].offset);
    note(partitions ? " " : ":none ");
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

rd_kafka_resp_err_t __wrap_rd_kafka_assignment(rd_kafka_t *consumer, rd_kafka_topic_partition_list_t **ret)
{
    (void)consumer;
    *ret = rd_kafka_topic_partition_list_new(0);
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

int __wrap_rd_kafka_assignment_lost(rd_kafka_t *consumer)
{
    (void)consumer;
    return scene.lost;
}

rd_kafka_resp_err_t __wrap_rd_kafka_pause_partitions(rd_kafka_t *consumer, rd_kafka_topic_partition_list_t *list)
{
    (void)consumer;
    note("pause:%d ", list->elems[0].partition);
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

rd_kafka_resp_err_t __wrap_rd_kafka_resume_partitions(rd_kafka_t *consumer, rd_kafka_topic_partition_list_t *list)
{
    (void)consumer;
    note("resume:%d ", list->elems[0].partition);
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

rd_kafka_consumer_group_metadata_t *__wrap_rd_kafka_consumer_group_metadata(rd_kafka_t *consumer)
{
    (void)consumer;
    note("group ");
    return rd_kafka_consumer_group_metadata_new("group");
}

static bool all_revoked(void)
{
    for (int i = 0; i < scene.asked_count; i++)
        if (!owned_is_revoked(scene.asked[i]))
            return false;
    return true;
}

void __wrap_lanes_revoke(struct lanes *lanes)
{
    (void)lanes;
    note("%s ", all_revoked() ? "revoke" : "revoke-too-early");
}

bool __wrap_lanes_await_quiet(struct lanes *lanes, int64_t deadline_us)
{
    (void)lanes, (void)deadline_us;
    note("quiet ");
    return true;
}

void __wrap_publisher_take_over(struct publisher *publisher, struct owned_partition *const *owned_partitions, int count,
                                rd_kafka_consumer_group_metadata_t *group)
{
    (void)publisher;
    note("ask:%d ", count);
    for (int i = 0; i < count; i++)
        scene.asked[scene.asked_count++] = owned_retain(owned_partitions[i], 1);
    if (group)
        rd_kafka_consumer_group_metadata_destroy(group);
}

bool __wrap_publisher_finish(struct publisher *publisher, int64_t deadline_us)
{
    (void)publisher;
    note(deadline_us > 0 ? "finish " : "forget ");
    return true;
}

/* --- the test's side --------------------------------------------------------------------------------------------- */

static int set_up(void **state)
{
    (void)state;
    memset(&scene, 0, sizeof(scene));
    static char topics[] = "commands";
    scene.settings.kafka.topics = topics;
    scene.settings.consumers.drain_timeout_us = 1000000;
    scene.settings.consumers.in_flight_commands = 300;
    scene.settings.consumers.in_flight_bytes = 300000;
    scene.assignment = assignment_new(&scene.settings, 0, NULL, NULL);
    if (scene.assignment == NULL)
        return -1;
    assignment_join(scene.assignment);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    assignment_free(scene.assignment);
    for (int i = 0; i < scene.asked_count; i++)
        owned_release(scene.asked[i], 1);
    return 0;
}

static void rebalance(rd_kafka_resp_err_t what)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(PARTITIONS);

    for (int i = 0; i < PARTITIONS; i++)
        rd_kafka_topic_partition_list_add(list, "commands", i);
    assignment_on_rebalance(scene.assignment, NULL, what, list);
    rd_kafka_topic_partition_list_destroy(list);
}

/* The publisher has taken it over. */
static void take(struct owned_partition *owned, int64_t offset)
{
    owned->start_offset = offset;
    owned_change(owned, PARTITION_TAKE);
}

/* Time of the test: each step is a second later, past every gap. */
static int64_t step(void)
{
    static int64_t seconds;
    int64_t now_us = monotonic_us() + ++seconds * 1000000;

    assignment_step(scene.assignment, NULL, now_us);
    return now_us;
}

static void begin(void)
{
    rebalance(RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS);
    for (int i = 0; i < PARTITIONS; i++)
        take(scene.asked[i], 100 * i);
    step();
    scene.log[0] = '\0';
}

static void nothing_is_fetched_before_it_is_taken_over(void **state)
{
    (void)state;

    rebalance(RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS);
    assert_string_equal(scene.log, "group assign ask:3 ");
    take(scene.asked[0], 10);
    take(scene.asked[1], OFFSET_NONE);
    assignment_step(scene.assignment, NULL, monotonic_us());
    assert_string_equal(scene.log, "group assign ask:3 ");
    take(scene.asked[2], 30);
    assignment_step(scene.assignment, NULL, monotonic_us());
    assert_string_equal(scene.log, "group assign ask:3 assign:0@10,1@-2,2@30 ");
    char why[128];
    assert_true(assignment_is_ready(scene.assignment, why, sizeof(why)));
}

/* PROTOCOL O7. */
static void an_assignment_without_a_partition_of_some_topic_is_a_partial_one(void **state)
{
    static char topics[] = "commands,others";
    uint64_t epoch;
    (void)state;

    assert_int_equal(assignment_extent(scene.assignment, &epoch), EXTENT_NONE);
    rebalance(RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS);
    assert_int_equal(assignment_extent(scene.assignment, &epoch), EXTENT_FULL);
    assert_int_equal(epoch, 1);
    scene.settings.kafka.topics = topics;
    rebalance(RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS);
    assert_int_equal(assignment_extent(scene.assignment, &epoch), EXTENT_PARTIAL);
    assert_int_equal(epoch, 2);
    rebalance(RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS);
    assert_int_equal(assignment_extent(scene.assignment, &epoch), EXTENT_NONE);
}

static void one_partition_that_is_held_up_does_not_hold_up_the_others_for_ever(void **state)
{
    (void)state;

    rebalance(RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS);
    take(scene.asked[0], 10);
    take(scene.asked[2], 30);
    assignment_step(scene.assignment, NULL, monotonic_us() + 60000000);
    assert_string_equal(scene.log, "group assign ask:3 assign:0@10,2@30 ");
    char why[128];
    assert_false(assignment_is_ready(scene.assignment, why, sizeof(why)));
}

static void a_revoke_stops_the_lanes_publishes_and_only_then_lets_go(void **state)
{
    (void)state;

    begin();
    rebalance(RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS);
    assert_string_equal(scene.log, "revoke quiet finish assign:none ");
    for (int i = 0; i < PARTITIONS; i++)
        assert_int_equal(atomic_load(&scene.asked[i]->references), 1);
}

/* librdkafka has given such an assignment up, and would not answer any more. */
static void an_assignment_that_comes_while_the_consumer_closes_is_left_alone(void **state)
{
    int64_t left;
    (void)state;

    begin();
    assert_true(assignment_leave(scene.assignment, NULL, monotonic_us() + 1000000, false, &left));
    scene.log[0] = '\0';
    rebalance(RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS);
    assert_string_equal(scene.log, "");
    rebalance(RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS);
    assert_string_equal(scene.log, "assign:none ");
    assignment_join(scene.assignment);
    rebalance(RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS);
    assert_string_equal(scene.log, "assign:none group assign ask:3 ");
}

static void a_lost_assignment_waits_for_nothing(void **state)
{
    (void)state;

    begin();
    scene.lost = true;
    rebalance(RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS);
    assert_string_equal(scene.log, "revoke forget assign:none ");
    assert_true(owned_is_given_up(scene.asked[0], monotonic_us()));
}

static void each_assignment_has_an_epoch_of_its_own(void **state)
{
    (void)state;

    begin();
    rebalance(RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS);
    rebalance(RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS);
    assert_int_equal(scene.asked[0]->partition.epoch, 1);
    assert_int_equal(scene.asked[PARTITIONS]->partition.epoch, 2);
}

/* --- PROTOCOL O4, O5 --------------------------------------------------------------------------------------------- */

static void an_ended_partition_is_taken_over_again_and_the_others_go_on_where_they_are(void **state)
{
    (void)state;

    begin();
    scene.asked[0]->poll.last_offset = 41;
    assignment_end_partition(scene.assignment, NULL, scene.asked[1], true, "test");
    assert_true(owned_is_revoked(scene.asked[1]));
    assert_false(owned_is_revoked(scene.asked[0]));
    step();
    assert_string_equal(scene.log, "ask:1 assign:0@42,2@200 ");
    assert_true(scene.asked[PARTITIONS]->forget_committed);
    take(scene.asked[PARTITIONS], OFFSET_NONE);
    step();
    assert_string_equal(scene.log, "ask:1 assign:0@42,2@200 assign:0@42,1@-2,2@200 ");
}

/* As long as nothing was committed since, Kafka has the offset that means nothing. */
static void a_committed_offset_is_forgotten_until_there_is_another(void **state)
{
    (void)state;

    begin();
    assignment_end_partition(scene.assignment, NULL, scene.asked[1], true, "test");
    step();
    assert_true(scene.asked[PARTITIONS]->forget_committed);
    assignment_end_partition(scene.assignment, NULL, scene.asked[PARTITIONS], false, "test");
    step();
    assert_true(scene.asked[PARTITIONS + 1]->forget_committed);
    atomic_store(&scene.asked[PARTITIONS + 1]->shared.committed, 7);
    assignment_end_partition(scene.assignment, NULL, scene.asked[PARTITIONS + 1], false, "test");
    step();
    assert_false(scene.asked[PARTITIONS + 2]->forget_committed);
}

static void a_partition_that_the_fence_refused_is_asked_for_again_with_its_committed_offset(void **state)
{
    (void)state;

    begin();
    owned_change(scene.asked[2], PARTITION_LOSE);
    step();
    assert_string_equal(scene.log, "assign:0@0,1@100 ");
    step();
    assert_string_equal(scene.log, "assign:0@0,1@100 ask:1 ");
    assert_false(scene.asked[PARTITIONS]->forget_committed);
}

static void a_topic_that_was_created_again_is_taken_over_again_and_read_from_its_beginning(void **state)
{
    (void)state;

    begin();
    atomic_store(&scene.asked[1]->shared.recreated, true);
    step();
    assert_true(owned_is_revoked(scene.asked[1]));
    assert_false(owned_is_revoked(scene.asked[0]));
    step();
    assert_int_equal(scene.asked_count, PARTITIONS + 1);
    assert_true(scene.asked[PARTITIONS]->forget_committed);
}

/* --- PROTOCOL L3 ------------------------------------------------------------------------------------------------- */

static void fill(struct owned_partition *owned, int64_t commands, int64_t moved_us)
{
    atomic_store(&owned->shared.in_flight, commands);
    atomic_store(&owned->shared.moved_us, moved_us);
}

static void a_partition_at_its_share_that_does_not_move_is_paused_alone(void **state)
{
    int64_t now_us = monotonic_us();
    (void)state;

    begin();
    fill(scene.asked[1], 100, now_us - 1000000);
    fill(scene.asked[2], 99, now_us - 1000000);
    assignment_balance(scene.assignment, NULL, now_us);
    assert_string_equal(scene.log, "pause:1 ");
    assignment_balance(scene.assignment, NULL, now_us);
    assert_string_equal(scene.log, "pause:1 ");
    fill(scene.asked[1], 0, now_us);
    fill(scene.asked[2], 0, now_us);
}

static void a_partition_at_its_share_that_moves_is_only_busy(void **state)
{
    int64_t now_us = monotonic_us();
    (void)state;

    begin();
    fill(scene.asked[1], 250, now_us - 1000);
    assignment_balance(scene.assignment, NULL, now_us);
    assert_string_equal(scene.log, "");
    fill(scene.asked[1], 0, now_us);
}

static void bytes_count_as_commands_do(void **state)
{
    int64_t now_us = monotonic_us();
    (void)state;

    begin();
    fill(scene.asked[0], 1, now_us - 1000000);
    atomic_store(&scene.asked[0]->shared.in_flight_bytes, 100000);
    assignment_balance(scene.assignment, NULL, now_us);
    assert_string_equal(scene.log, "pause:0 ");
    fill(scene.asked[0], 0, now_us);
    atomic_store(&scene.asked[0]->shared.in_flight_bytes, 0);
}

static void a_partition_is_resumed_below_half_of_its_share(void **state)
{
    int64_t now_us = monotonic_us();
    (void)state;

    begin();
    fill(scene.asked[1], 100, now_us - 1000000);
    assignment_balance(scene.assignment, NULL, now_us);
    fill(scene.asked[1], 50, now_us);
    assignment_balance(scene.assignment, NULL, now_us);
    assert_string_equal(scene.log, "pause:1 ");
    fill(scene.asked[1], 49, now_us);
    assignment_balance(scene.assignment, NULL, now_us);
    assert_string_equal(scene.log, "pause:1 resume:1 ");
    fill(scene.asked[1], 0, now_us);
}

static void only_a_paused_partition_is_resumed(void **state)
{
    int64_t now_us = monotonic_us();
    (void)state;

    begin();
    assignment_resume_all(scene.assignment, NULL);
    assert_string_equal(scene.log, "");
    fill(scene.asked[1], 100, now_us - 1000000);
    assignment_balance(scene.assignment, NULL, now_us);
    assignment_pause_all(scene.assignment, NULL);
    assert_string_equal(scene.log, "pause:1 pause:0 pause:2 ");
    assignment_resume_all(scene.assignment, NULL);
    assert_string_equal(scene.log, "pause:1 pause:0 pause:2 resume:0 resume:1 resume:2 ");
    fill(scene.asked[1], 0, now_us);
}

static void a_pause_does_not_outlive_its_assignment(void **state)
{
    (void)state;

    begin();
    assignment_pause_all(scene.assignment, NULL);
    rebalance(RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS);
    assert_string_equal(scene.log, "pause:0 pause:1 pause:2 resume:0 resume:1 resume:2 revoke quiet finish "
                                   "assign:none ");
}

static void deliveries_in_flight_are_summed_over_the_partitions(void **state)
{
    (void)state;

    begin();
    fill(scene.asked[0], 3, 0);
    fill(scene.asked[2], 4, 0);
    assert_int_equal(assignment_pressure(scene.assignment).commands, 7);
    fill(scene.asked[0], 0, 0);
    fill(scene.asked[2], 0, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(nothing_is_fetched_before_it_is_taken_over),
        TEST(an_assignment_without_a_partition_of_some_topic_is_a_partial_one),
        TEST(one_partition_that_is_held_up_does_not_hold_up_the_others_for_ever),
        TEST(a_revoke_stops_the_lanes_publishes_and_only_then_lets_go),
        TEST(an_assignment_that_comes_while_the_consumer_closes_is_left_alone),
        TEST(a_lost_assignment_waits_for_nothing),
        TEST(each_assignment_has_an_epoch_of_its_own),
        TEST(an_ended_partition_is_taken_over_again_and_the_others_go_on_where_they_are),
        TEST(a_committed_offset_is_forgotten_until_there_is_another),
        TEST(a_topic_that_was_created_again_is_taken_over_again_and_read_from_its_beginning),
        TEST(a_partition_that_the_fence_refused_is_asked_for_again_with_its_committed_offset),
        TEST(a_partition_at_its_share_that_does_not_move_is_paused_alone),
        TEST(a_partition_at_its_share_that_moves_is_only_busy),
        TEST(bytes_count_as_commands_do),
        TEST(a_partition_is_resumed_below_half_of_its_share),
        TEST(only_a_paused_partition_is_resumed),
        TEST(a_pause_does_not_outlive_its_assignment),
        TEST(deliveries_in_flight_are_summed_over_the_partitions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
