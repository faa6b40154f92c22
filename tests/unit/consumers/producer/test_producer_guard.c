#include "tests/fixtures/cmocka.h"

#include <string.h>

#include "consumers/producer/producer_guard.h"
#include "tests/fixtures/kafka_mock.h"

enum
{
    WAIT_MS = 10000,
    END_TXN = 26,
    METADATA = 3,
};

static struct
{
    struct kafka_mock kafka;
    struct producer_guard guard;
    rd_kafka_t *producer;
} scene;

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char problem[256];
    assert_int_equal(rd_kafka_conf_set(conf, name, value, problem, sizeof(problem)), RD_KAFKA_CONF_OK);
}

static int set_up(void **state)
{
    char problem[256];
    (void)state;

    kafka_mock_begin(&scene.kafka);
    rd_kafka_mock_topic_create(scene.kafka.cluster, "audit", 1, 1);
    producer_guard_init(&scene.guard);
    rd_kafka_conf_t *conf = kafka_mock_conf();
    set(conf, "bootstrap.servers", rd_kafka_mock_cluster_bootstraps(scene.kafka.cluster));
    set(conf, "transactional.id", "guarded");
    set(conf, "reconnect.backoff.max.ms", "100");
    assert_true(producer_guard_watch(&scene.guard, conf));
    scene.producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, problem, sizeof(problem));
    assert_null(rd_kafka_init_transactions(scene.producer, WAIT_MS));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rd_kafka_destroy(scene.producer);
    kafka_mock_end(&scene.kafka);
    return 0;
}

/* The call that says OK about an EndTxn that was sent twice. */
static void commit_one_event(void)
{
    assert_null(rd_kafka_begin_transaction(scene.producer));
    assert_int_equal(rd_kafka_producev(scene.producer, RD_KAFKA_VTYPE_TOPIC, "audit", RD_KAFKA_VTYPE_VALUE, "event",
                                       (size_t)5, RD_KAFKA_VTYPE_MSGFLAGS, RD_KAFKA_MSG_F_COPY, RD_KAFKA_VTYPE_END),
                     RD_KAFKA_RESP_ERR_NO_ERROR);
    assert_null(rd_kafka_commit_transaction(scene.producer, WAIT_MS));
}

static void a_producer_whose_answers_all_came_is_not_suspect(void **state)
{
    (void)state;

    commit_one_event();
    commit_one_event();
    assert_false(producer_guard_is_suspect(&scene.guard));
}

/* PROTOCOL K3: what it ended is not known. */
static void a_commit_that_was_sent_again_after_a_broken_connection_makes_it_suspect(void **state)
{
    (void)state;

    commit_one_event();
    rd_kafka_mock_push_request_errors(scene.kafka.cluster, END_TXN, 1, RD_KAFKA_RESP_ERR__TRANSPORT);
    commit_one_event();
    assert_true(producer_guard_is_suspect(&scene.guard));
}

static void an_answer_that_is_an_error_of_the_broker_is_an_answer(void **state)
{
    (void)state;

    rd_kafka_mock_push_request_errors(scene.kafka.cluster, END_TXN, 1, RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS);
    commit_one_event();
    assert_false(producer_guard_is_suspect(&scene.guard));
}

static void a_lost_question_about_metadata_is_harmless(void **state)
{
    const struct rd_kafka_metadata *metadata = NULL;
    (void)state;

    rd_kafka_mock_push_request_errors(scene.kafka.cluster, METADATA, 1, RD_KAFKA_RESP_ERR__TRANSPORT);
    if (rd_kafka_metadata(scene.producer, 1, NULL, &metadata, WAIT_MS) == RD_KAFKA_RESP_ERR_NO_ERROR)
        rd_kafka_metadata_destroy(metadata);
    assert_false(producer_guard_is_suspect(&scene.guard));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_producer_whose_answers_all_came_is_not_suspect),
        TEST(a_commit_that_was_sent_again_after_a_broken_connection_makes_it_suspect),
        TEST(an_answer_that_is_an_error_of_the_broker_is_an_answer),
        TEST(a_lost_question_about_metadata_is_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
