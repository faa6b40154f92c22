#include "tests/fixtures/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumers/admin/audit_repair.h"
#include "tests/fixtures/kafka_mock.h"
#include "worker/base/clock.h"
#include "worker/settings/settings.h"

/* A repair and the broker's answers. Whether a torn transaction is seen by nobody, and what fences an earlier
 * repair, is for a real broker: system/test_audit_verify.py. */

enum
{
    WAIT_US = 20000000,
    IN_A_TRANSACTION = 1000,
    ADD_PARTITIONS_TO_TXN = 24,
    INIT_PRODUCER_ID = 22,
    END_TXN = 26,
};

static const char event[] = "{\"specversion\":\"1.0\",\"id\":\"x\"}";

static struct
{
    struct kafka_mock kafka;
    struct settings settings;
    struct audit_repair *repair;
    struct buffer fault;
} scene;

static int set_up(void **state)
{
    char audit[] = "audit", group[] = "group";
    (void)state;

    memset(&scene, 0, sizeof(scene));
    kafka_mock_begin(&scene.kafka);
    rd_kafka_mock_topic_create(scene.kafka.cluster, "audit", 1, 1);
    scene.settings.kafka.bootstrap = strdup(rd_kafka_mock_cluster_bootstraps(scene.kafka.cluster));
    scene.settings.kafka.audit_topic = strdup(audit);
    scene.settings.kafka.group = strdup(group);
    scene.settings.consumers.transaction_timeout_us = 10000000;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    audit_repair_free(scene.repair);
    buffer_done(&scene.fault);
    free(scene.settings.kafka.bootstrap);
    free(scene.settings.kafka.audit_topic);
    free(scene.settings.kafka.group);
    kafka_mock_end(&scene.kafka);
    return 0;
}

static void begin(void)
{
    scene.repair = audit_repair_new(&scene.settings, &scene.fault);
    assert_non_null(scene.repair);
}

static bool publish(const char *key)
{
    return audit_repair_publish(scene.repair, key, span_of(event), &scene.fault);
}

static bool fault_says(const char *words)
{
    buffer_add_byte(&scene.fault, '\0');
    return strstr(scene.fault.at, words) != NULL;
}

/* The next message of the topic; the caller destroys it. */
static rd_kafka_message_t *read_one(rd_kafka_t *reader)
{
    int64_t deadline_us = monotonic_us() + WAIT_US;

    while (monotonic_us() < deadline_us)
    {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(reader, 100);
        if (message && message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
            return message;
        if (message)
            rd_kafka_message_destroy(message);
    }
    fail_msg("no message came");
    return NULL;
}

static rd_kafka_t *new_reader(void)
{
    char problem[256];
    rd_kafka_conf_t *conf = kafka_mock_conf();
    rd_kafka_topic_partition_list_t *all = rd_kafka_topic_partition_list_new(1);

    rd_kafka_conf_set(conf, "bootstrap.servers", scene.settings.kafka.bootstrap, problem, sizeof(problem));
    rd_kafka_conf_set(conf, "group.id", "reader", problem, sizeof(problem));
    rd_kafka_t *reader = rd_kafka_new(RD_KAFKA_CONSUMER, conf, problem, sizeof(problem));
    rd_kafka_poll_set_consumer(reader);
    rd_kafka_topic_partition_list_add(all, "audit", 0)->offset = RD_KAFKA_OFFSET_BEGINNING;
    assert_int_equal(rd_kafka_assign(reader, all), RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_topic_partition_list_destroy(all);
    return reader;
}

/* PROTOCOL R7. */
static void events_come_with_their_bytes_their_key_and_the_header_of_every_event(void **state)
{
    rd_kafka_headers_t *headers;
    const void *value;
    size_t size;

    (void)state;
    begin();
    assert_true(publish("ticket/7"));
    assert_true(publish(""));
    assert_true(audit_repair_commit(scene.repair, &scene.fault));
    rd_kafka_t *reader = new_reader();
    rd_kafka_message_t *first = read_one(reader), *second = read_one(reader);
    assert_int_equal(first->len, sizeof(event) - 1);
    assert_memory_equal(first->payload, event, sizeof(event) - 1);
    assert_int_equal(first->key_len, 8);
    assert_memory_equal(first->key, "ticket/7", 8);
    assert_int_equal(rd_kafka_message_headers(first, &headers), RD_KAFKA_RESP_ERR_NO_ERROR);
    assert_int_equal(rd_kafka_header_get_last(headers, "content-type", &value, &size), RD_KAFKA_RESP_ERR_NO_ERROR);
    assert_memory_equal(value, "application/cloudevents+json", size);
    assert_null(second->key);
    rd_kafka_message_destroy(first);
    rd_kafka_message_destroy(second);
    rd_kafka_destroy(reader);
}

static void a_commit_of_nothing_asks_no_broker(void **state)
{
    (void)state;
    begin();
    rd_kafka_mock_push_request_errors(scene.kafka.cluster, END_TXN, 1, RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH);
    assert_true(audit_repair_commit(scene.repair, &scene.fault));
    assert_int_equal(scene.fault.size, 0);
}

static void a_thousand_events_are_committed_without_being_asked(void **state)
{
    (void)state;
    begin();
    for (int i = 1; i < IN_A_TRANSACTION; i++)
        assert_true(publish("ticket/7"));
    rd_kafka_mock_push_request_errors(scene.kafka.cluster, END_TXN, 1, RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH);
    assert_false(publish("ticket/7"));
}

static void another_transaction_follows_the_first(void **state)
{
    (void)state;
    begin();
    for (int i = 0; i < IN_A_TRANSACTION + 1; i++)
        assert_true(publish("ticket/7"));
    assert_true(audit_repair_commit(scene.repair, &scene.fault));
    assert_true(publish("ticket/7"));
    assert_true(audit_repair_commit(scene.repair, &scene.fault));
}

static void a_retriable_question_is_asked_again(void **state)
{
    (void)state;
    rd_kafka_mock_push_request_errors(scene.kafka.cluster, INIT_PRODUCER_ID, 2,
                                      RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
                                      RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS);
    begin();
    rd_kafka_mock_push_request_errors(scene.kafka.cluster, ADD_PARTITIONS_TO_TXN, 1,
                                      RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS);
    rd_kafka_mock_push_request_errors(scene.kafka.cluster, END_TXN, 1, RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS);
    assert_true(publish("ticket/7"));
    assert_true(audit_repair_commit(scene.repair, &scene.fault));
}

static void a_repair_that_was_fenced_says_so(void **state)
{
    (void)state;
    begin();
    assert_true(publish("ticket/7"));
    rd_kafka_mock_push_request_errors(scene.kafka.cluster, END_TXN, 1, RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH);
    assert_false(audit_repair_commit(scene.repair, &scene.fault));
    assert_true(fault_says("FENCED") || fault_says("EPOCH"));
}

static void a_repair_that_is_not_allowed_to_begin_does_not(void **state)
{
    (void)state;
    rd_kafka_mock_push_request_errors(scene.kafka.cluster, INIT_PRODUCER_ID, 1,
                                      RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
    assert_null(audit_repair_new(&scene.settings, &scene.fault));
    assert_true(fault_says("AUTHORIZATION"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(events_come_with_their_bytes_their_key_and_the_header_of_every_event, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_commit_of_nothing_asks_no_broker, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_thousand_events_are_committed_without_being_asked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_transaction_follows_the_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_retriable_question_is_asked_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_repair_that_was_fenced_says_so, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_repair_that_is_not_allowed_to_begin_does_not, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
