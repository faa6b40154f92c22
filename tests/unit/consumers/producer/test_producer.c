#include "tests/fixtures/cmocka.h"

#include <stdlib.h>
#include <string.h>

#include "consumers/message/delivery_pool.h"
#include "consumers/producer/producer.h"
#include "tests/fixtures/kafka_mock.h"
#include "worker/base/clock.h"
#include "worker/settings/settings.h"

/* The outcome of each failure of the broker. The mock cluster has no fencing and no visibility: exactly once itself
 * is tested on a real broker. */

enum
{
    WAIT_US = 10000000,
    PRODUCE = 0,
    INIT_PRODUCER_ID = 22,
    ADD_PARTITIONS = 24,
    END_TXN = 26,
    TXN_OFFSET_COMMIT = 28,
};

static struct
{
    struct kafka_mock kafka;
    struct settings settings;
    struct producer *producer;
    struct delivery_pool *delivery_pool;
    struct delivery *delivery;
    struct partition partition;
    rd_kafka_topic_partition_list_t *offsets;
    rd_kafka_consumer_group_metadata_t *group;
} scene;

static int set_up(void **state)
{
    char audit[] = "audit", group[] = "group", suffix[] = ".dlq", event[] = "{\"specversion\":\"1.0\"}";
    (void)state;

    kafka_mock_begin(&scene.kafka);
    rd_kafka_mock_topic_create(scene.kafka.cluster, "audit", 1, 1);
    rd_kafka_mock_topic_create(scene.kafka.cluster, "commands", 1,
                               1); /* newer mocks take no offsets of an unknown topic */
    rd_kafka_mock_topic_create(scene.kafka.cluster, "commands.dlq", 1, 1);
    memset(&scene.settings, 0, sizeof(scene.settings));
    scene.settings.kafka.bootstrap = strdup(rd_kafka_mock_cluster_bootstraps(scene.kafka.cluster));
    scene.settings.kafka.audit_topic = strdup(audit);
    scene.settings.kafka.group = strdup(group);
    scene.settings.kafka.dlq_suffix = strdup(suffix);
    scene.settings.kafka.exactly_once = true;
    scene.settings.consumers.transaction_timeout_us = 10000000;
    scene.settings.protections.producer_guard = true;
    scene.producer = producer_new(&scene.settings);
    scene.delivery_pool = delivery_pool_new();
    scene.delivery = delivery_pool_copy(scene.delivery_pool, span_of("ticket/1"), span_of("raw"), NULL);
    scene.partition = (struct partition){ .topic = span_of("commands"), .number = 0 };
    scene.delivery->partition = &scene.partition;
    scene.delivery->answer = ANSWER_EVENT;
    scene.delivery->event = strdup(event);
    scene.delivery->event_size = strlen(event);
    strcpy(scene.delivery->event_key, "ticket/1");
    scene.offsets = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(scene.offsets, "commands", 0)->offset = 1;
    scene.group = rd_kafka_consumer_group_metadata_new("group");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rd_kafka_consumer_group_metadata_destroy(scene.group);
    rd_kafka_topic_partition_list_destroy(scene.offsets);
    delivery_pool_give_back(scene.delivery_pool, scene.delivery);
    delivery_pool_free(scene.delivery_pool);
    producer_free(scene.producer);
    free(scene.settings.kafka.bootstrap);
    free(scene.settings.kafka.audit_topic);
    free(scene.settings.kafka.group);
    free(scene.settings.kafka.dlq_suffix);
    kafka_mock_end(&scene.kafka);
    return 0;
}

static void open_it(const char *transactional_id)
{
    int64_t deadline_us = monotonic_us() + WAIT_US;
    enum producer_result result;

    do
        result = producer_open(scene.producer, transactional_id, 1000000);
    while (result == PRODUCER_AGAIN && monotonic_us() < deadline_us);
    assert_int_equal(result, PRODUCER_DONE);
}

static enum producer_result publish_one(void)
{
    enum producer_result result = producer_begin(scene.producer);

    if (result == PRODUCER_DONE)
        result = producer_send_offsets(scene.producer, scene.offsets, scene.group, monotonic_us() + WAIT_US);
    if (result == PRODUCER_DONE)
        result = producer_send(scene.producer, scene.delivery);
    return result == PRODUCER_DONE ? producer_commit(scene.producer, monotonic_us() + WAIT_US) : result;
}

static void events_and_dead_letters_are_published(void **state)
{
    (void)state;

    open_it("id");
    assert_int_equal(publish_one(), PRODUCER_DONE);
    scene.delivery->answer = ANSWER_DEAD_LETTER;
    assert_int_equal(publish_one(), PRODUCER_DONE);
    assert_false(producer_is_suspect(scene.producer));
}

static void offsets_alone_are_published_too(void **state)
{
    (void)state;

    open_it("id");
    assert_int_equal(producer_begin(scene.producer), PRODUCER_DONE);
    assert_int_equal(producer_send_offsets(scene.producer, scene.offsets, scene.group, monotonic_us() + WAIT_US),
                     PRODUCER_DONE);
    assert_int_equal(producer_commit(scene.producer, monotonic_us() + WAIT_US), PRODUCER_DONE);
}

static void an_error_that_librdkafka_retries_is_not_a_failure(void **state)
{
    (void)state;

    open_it("id");
    rd_kafka_mock_push_request_errors(scene.kafka.cluster, TXN_OFFSET_COMMIT, 1,
                                      RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS);
    rd_kafka_mock_push_request_errors(scene.kafka.cluster, END_TXN, 1, RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS);
    assert_int_equal(publish_one(), PRODUCER_DONE);
}

static void a_commit_whose_answer_was_lost_succeeds_and_leaves_it_suspect(void **state)
{
    (void)state;

    open_it("id");
    rd_kafka_mock_push_request_errors(scene.kafka.cluster, END_TXN, 1, RD_KAFKA_RESP_ERR__TRANSPORT);
    assert_int_equal(publish_one(), PRODUCER_DONE);
    assert_true(producer_is_suspect(scene.producer));
    scene.settings.protections.producer_guard = false;
    assert_false(producer_is_suspect(scene.producer));
}

static void assert_broken_by(int api_key, rd_kafka_resp_err_t error)
{
    open_it("id");
    rd_kafka_mock_push_request_errors(scene.kafka.cluster, (int16_t)api_key, 1, error);
    assert_int_equal(publish_one(), PRODUCER_BROKEN);
    assert_true(strlen(producer_problem(scene.producer)) > 0);
    /* A new handle of the same id goes on. */
    producer_close(scene.producer);
    open_it("id");
    assert_int_equal(publish_one(), PRODUCER_DONE);
}

static void a_generation_that_is_over_breaks_the_producer(void **state)
{
    (void)state;
    assert_broken_by(TXN_OFFSET_COMMIT, RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION);
}

static void a_fenced_member_breaks_the_producer(void **state)
{
    (void)state;
    assert_broken_by(TXN_OFFSET_COMMIT, RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID);
}

static void a_fenced_producer_breaks_the_producer(void **state)
{
    (void)state;
    assert_broken_by(END_TXN, RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH);
}

static void a_transaction_in_the_wrong_state_breaks_the_producer(void **state)
{
    (void)state;
    assert_broken_by(END_TXN, RD_KAFKA_RESP_ERR_INVALID_TXN_STATE);
}

static void an_event_that_is_not_delivered_breaks_the_producer(void **state)
{
    (void)state;
    assert_broken_by(PRODUCE, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
}

static void an_event_that_was_thrown_away_tells_what_had_failed_before(void **state)
{
    (void)state;

    open_it("id");
    rd_kafka_mock_push_request_errors(scene.kafka.cluster, ADD_PARTITIONS, 1,
                                      RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
    assert_int_equal(publish_one(), PRODUCER_BROKEN);
    assert_non_null(strstr(producer_problem(scene.producer), "; grant our user Write"));
}

static void a_broken_producer_is_replaced_at_once_and_then_ever_more_slowly(void **state)
{
    int64_t closed_us = 0;
    (void)state;

    for (int i = 0; i < 5; i++)
    {
        if (i > 1 && producer_open(scene.producer, "id", 1000000) == PRODUCER_AGAIN)
            assert_non_null(strstr(producer_problem(scene.producer), "too large; raise"));
        open_it("id");
        assert_true(i < 2 || monotonic_us() - closed_us >= 190000 << (i - 2));
        rd_kafka_mock_push_request_errors(scene.kafka.cluster, PRODUCE, 1, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
        assert_int_equal(publish_one(), PRODUCER_BROKEN);
        producer_close(scene.producer);
        closed_us = monotonic_us();
    }
    /* A success ends the row: the next break is the first again. */
    open_it("id");
    assert_int_equal(publish_one(), PRODUCER_DONE);
    rd_kafka_mock_push_request_errors(scene.kafka.cluster, PRODUCE, 1, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
    assert_int_equal(publish_one(), PRODUCER_BROKEN);
    producer_close(scene.producer);
    assert_int_equal(producer_open(scene.producer, "id", WAIT_US), PRODUCER_DONE);
}

static void a_deadline_that_passes_breaks_the_producer(void **state)
{
    (void)state;

    open_it("id");
    rd_kafka_mock_broker_set_down(scene.kafka.cluster, 1);
    assert_int_equal(producer_begin(scene.producer), PRODUCER_DONE);
    assert_int_equal(producer_send(scene.producer, scene.delivery), PRODUCER_DONE);
    assert_int_equal(producer_commit(scene.producer, monotonic_us() + 200000), PRODUCER_BROKEN);
    assert_int_equal(producer_send_offsets(scene.producer, scene.offsets, scene.group, monotonic_us() + 200000),
                     PRODUCER_BROKEN);
    rd_kafka_mock_broker_set_up(scene.kafka.cluster, 1);
}

static void a_broker_that_is_not_ready_is_asked_again(void **state)
{
    (void)state;

    rd_kafka_mock_push_request_errors(scene.kafka.cluster, INIT_PRODUCER_ID, 2,
                                      RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
                                      RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS);
    open_it("id");
    assert_int_equal(publish_one(), PRODUCER_DONE);
}

static void at_least_once_waits_for_the_delivery_reports(void **state)
{
    (void)state;

    open_it(NULL);
    assert_int_equal(publish_one(), PRODUCER_DONE);
    rd_kafka_mock_push_request_errors(scene.kafka.cluster, PRODUCE, 1, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
    assert_int_equal(publish_one(), PRODUCER_BROKEN);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(events_and_dead_letters_are_published),
        TEST(offsets_alone_are_published_too),
        TEST(an_error_that_librdkafka_retries_is_not_a_failure),
        TEST(a_commit_whose_answer_was_lost_succeeds_and_leaves_it_suspect),
        TEST(a_generation_that_is_over_breaks_the_producer),
        TEST(a_fenced_member_breaks_the_producer),
        TEST(a_fenced_producer_breaks_the_producer),
        TEST(a_transaction_in_the_wrong_state_breaks_the_producer),
        TEST(an_event_that_is_not_delivered_breaks_the_producer),
        TEST(an_event_that_was_thrown_away_tells_what_had_failed_before),
        TEST(a_broken_producer_is_replaced_at_once_and_then_ever_more_slowly),
        TEST(a_deadline_that_passes_breaks_the_producer),
        TEST(a_broker_that_is_not_ready_is_asked_again),
        TEST(at_least_once_waits_for_the_delivery_reports),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
