#include "tests/fixtures/cmocka.h"

#include <stdlib.h>
#include <string.h>

#include "consumers/takeover/committed.h"
#include "tests/fixtures/kafka_mock.h"
#include "worker/settings/settings.h"

/* PROTOCOL O5: only a definite answer is one. The effect of a commit in an open transaction needs a real broker. */

enum
{
    WAIT_US = 5000000,
    OFFSET_FETCH = 9,
};

static struct
{
    struct kafka_mock kafka;
    struct settings settings;
    struct committed *committed;
    rd_kafka_topic_partition_list_t *asked;
} scene;

static int set_up(void **state)
{
    char group[] = "group";
    (void)state;

    memset(&scene, 0, sizeof(scene));
    kafka_mock_begin(&scene.kafka);
    rd_kafka_mock_topic_create(scene.kafka.cluster, "commands", 2, 1);
    scene.settings.kafka.bootstrap = strdup(rd_kafka_mock_cluster_bootstraps(scene.kafka.cluster));
    scene.settings.kafka.group = strdup(group);
    scene.settings.consumers.session_timeout_us = 10000000;
    scene.committed = committed_new(&scene.settings);
    scene.asked = rd_kafka_topic_partition_list_new(2);
    rd_kafka_topic_partition_list_add(scene.asked, "commands", 0)->offset = 99;
    rd_kafka_topic_partition_list_add(scene.asked, "commands", 1)->offset = 99;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    committed_free(scene.committed);
    rd_kafka_topic_partition_list_destroy(scene.asked);
    free(scene.settings.kafka.bootstrap);
    free(scene.settings.kafka.group);
    kafka_mock_end(&scene.kafka);
    return 0;
}

static bool ask(int64_t wait_us)
{
    return committed_read(scene.committed, scene.asked, wait_us);
}

/* As the group's own, plainly: the mock forgets what a transaction commits. */
static void commit_with(int32_t partition, int64_t offset, const char *metadata)
{
    char problem[256];
    rd_kafka_conf_t *conf = kafka_mock_conf();
    rd_kafka_topic_partition_list_t *one = rd_kafka_topic_partition_list_new(1);

    rd_kafka_conf_set(conf, "bootstrap.servers", scene.settings.kafka.bootstrap, problem, sizeof(problem));
    rd_kafka_conf_set(conf, "group.id", scene.settings.kafka.group, problem, sizeof(problem));
    rd_kafka_t *consumer = rd_kafka_new(RD_KAFKA_CONSUMER, conf, problem, sizeof(problem));
    rd_kafka_topic_partition_t *added = rd_kafka_topic_partition_list_add(one, "commands", partition);
    added->offset = offset;
    added->metadata = metadata ? strdup(metadata) : NULL;
    added->metadata_size = metadata ? strlen(metadata) : 0;
    assert_int_equal(rd_kafka_commit(consumer, one, 0), RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_topic_partition_list_destroy(one);
    rd_kafka_destroy(consumer);
}

static void commit(int32_t partition, int64_t offset)
{
    commit_with(partition, offset, NULL);
}

static void a_missing_offset_is_written_over_the_former_one(void **state)
{
    (void)state;
    assert_true(ask(WAIT_US));
    assert_int_equal(scene.asked->elems[0].offset, RD_KAFKA_OFFSET_INVALID);
    assert_int_equal(scene.asked->elems[1].offset, RD_KAFKA_OFFSET_INVALID);
}

static void a_committed_offset_is_returned_beside_a_missing_one(void **state)
{
    (void)state;
    commit(1, 42);
    assert_true(ask(WAIT_US));
    assert_int_equal(scene.asked->elems[0].offset, RD_KAFKA_OFFSET_INVALID);
    assert_int_equal(scene.asked->elems[1].offset, 42);
    commit(1, 43);
    assert_true(ask(WAIT_US));
    assert_int_equal(scene.asked->elems[1].offset, 43);
}

/* PROTOCOL R1: it says whose commit it is. */
static void the_metadata_of_a_committed_offset_is_returned(void **state)
{
    (void)state;
    commit_with(0, 7, "schema:3");
    commit(1, 8);
    assert_true(ask(WAIT_US));
    assert_int_equal(scene.asked->elems[0].metadata_size, 8);
    assert_memory_equal(scene.asked->elems[0].metadata, "schema:3", 8);
    assert_int_equal(scene.asked->elems[1].metadata_size, 0);
    commit(0, 9); /* somebody else's: what was there before is gone */
    assert_true(ask(WAIT_US));
    assert_int_equal(scene.asked->elems[0].offset, 9);
    assert_int_equal(scene.asked->elems[0].metadata_size, 0);
}

static void an_error_is_no_answer_and_the_next_question_is_answered(void **state)
{
    (void)state;
    commit(0, 7);
    rd_kafka_mock_push_request_errors(scene.kafka.cluster, OFFSET_FETCH, 1,
                                      RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED);
    assert_false(ask(WAIT_US));
    assert_non_null(strstr(committed_problem(scene.committed), "committed offsets: "));
    assert_true(ask(WAIT_US));
    assert_int_equal(scene.asked->elems[0].offset, 7);
}

static void a_coordinator_that_moves_is_asked_again_within_the_time(void **state)
{
    (void)state;
    commit(0, 7);
    rd_kafka_mock_push_request_errors(scene.kafka.cluster, OFFSET_FETCH, 1,
                                      RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS);
    for (int i = 0; i < 20 && !ask(WAIT_US); i++)
        assert_true(strlen(committed_problem(scene.committed)) > 0);
    assert_int_equal(scene.asked->elems[0].offset, 7);
}

static void a_broker_that_does_not_answer_costs_the_time_it_was_given(void **state)
{
    (void)state;
    assert_true(ask(WAIT_US));
    rd_kafka_mock_broker_set_down(scene.kafka.cluster, 1);
    assert_false(ask(100000));
    assert_true(strlen(committed_problem(scene.committed)) > 0);
    rd_kafka_mock_broker_set_up(scene.kafka.cluster, 1);
    bool answered = false;
    for (int i = 0; i < 20 && !answered; i++)
        answered = ask(WAIT_US);
    assert_true(answered);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_missing_offset_is_written_over_the_former_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_committed_offset_is_returned_beside_a_missing_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_metadata_of_a_committed_offset_is_returned, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_error_is_no_answer_and_the_next_question_is_answered, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_coordinator_that_moves_is_asked_again_within_the_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_broker_that_does_not_answer_costs_the_time_it_was_given, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
