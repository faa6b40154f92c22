/* wrap: contact_metadata */
/* Rights: each is tried on a broker within librdkafka, whose answers are those of a broker that grants or refuses it.
 * That trying leaves no trace, and that a real broker answers so, is tried in tests/system/test_secured.py. */
#include "tests/fixtures/cmocka.h"

#include <stdio.h>
#include <string.h>

#include "consumers/kafka/contact.h"
#include "consumers/kafka/rights.h"
#include "tests/fixtures/kafka_mock.h"
#include "worker/base/log.h"

enum request
{
    PRODUCE = 0,
    OFFSET_COMMIT = 8,
    INIT_PRODUCER_ID = 22,
    END_TXN = 26,
    TOPICS = 3, /* orders, orders.dlq, audit */
};

static struct
{
    struct kafka_mock kafka;
    struct settings settings;
    atomic_bool stop;
    int count;
    char missing[4096];
    rd_kafka_resp_err_t errors[TOPICS]; /* of topics, as the broker tells them in their metadata */
    struct buffer fault;
} scene;

static const char *const names[TOPICS] = { "orders", "orders.dlq", "audit" };

__typeof__(contact_metadata) __real_contact_metadata, __wrap_contact_metadata;

rd_kafka_resp_err_t __wrap_contact_metadata(rd_kafka_t *client, rd_kafka_topic_t *topic,
                                            const struct rd_kafka_metadata **ret_metadata, int wait_ms)
{
    rd_kafka_resp_err_t error = __real_contact_metadata(client, topic, ret_metadata, wait_ms);

    for (int i = 0; error == RD_KAFKA_RESP_ERR_NO_ERROR && i < (*ret_metadata)->topic_cnt; i++)
        for (int n = 0; n < TOPICS; n++)
            if (scene.errors[n] && strcmp((*ret_metadata)->topics[i].topic, names[n]) == 0)
            {
                (*ret_metadata)->topics[i].err = scene.errors[n];
                (*ret_metadata)->topics[i].partition_cnt = 0;
            }
    return error;
}

static int set_up(void **state)
{
    (void)state;
    memset(&scene, 0, sizeof(scene));
    log_setup(LOG_LEVEL_ERROR, false);
    kafka_mock_begin(&scene.kafka);
    kafka_mock_settings(&scene.kafka, "orders", &scene.settings);
    scene.settings.kafka.exactly_once = true;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    buffer_done(&scene.fault);
    settings_done(&scene.settings);
    kafka_mock_end(&scene.kafka);
    return 0;
}

static void make_topics(void)
{
    for (int i = 0; i < TOPICS; i++)
        rd_kafka_mock_topic_create(scene.kafka.cluster, names[i], 1, 1);
}

static void answer(enum request request, rd_kafka_resp_err_t error)
{
    rd_kafka_mock_push_request_errors(scene.kafka.cluster, (int16_t)request, 1, error);
}

/* A broker looks at the right before it refuses the acknowledgements. */
static void grant_writes(int count)
{
    for (int i = 0; i < count; i++)
        answer(PRODUCE, RD_KAFKA_RESP_ERR_INVALID_REQUIRED_ACKS);
}

static void take(void *owner, const struct buffer *says)
{
    size_t used = strlen(scene.missing);

    assert_ptr_equal(owner, &scene);
    scene.count++;
    snprintf(scene.missing + used, sizeof(scene.missing) - used, "%.*s\n", (int)says->size, says->at);
}

static bool probe(bool publish)
{
    return rights_probe(&scene.settings, publish, &scene.stop, take, &scene, &scene.fault);
}

static void assert_missing(int count, const char *part)
{
    if (scene.count != count || strstr(scene.missing, part) == NULL)
        fail_msg("%d missing, not %d with \"%s\": %s", scene.count, count, part, scene.missing);
}

static void assert_probed(bool publish)
{
    if (!probe(publish))
        fail_msg("%.*s", (int)scene.fault.size, scene.fault.at ? scene.fault.at : "");
}

static void where_all_is_granted_nothing_is_missing(void **state)
{
    (void)state;
    make_topics();
    grant_writes(TOPICS);
    assert_probed(false);
    assert_missing(0, "");
}

static void a_topic_that_may_not_be_looked_at_lacks_both_rights(void **state)
{
    (void)state;
    make_topics();
    scene.errors[1] = RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    grant_writes(TOPICS - 1);
    assert_probed(false);
    assert_missing(2, "no right to read topic orders.dlq");
    assert_missing(2, "no right to write to topic orders.dlq");
}

static void a_write_that_is_refused_is_a_missing_right(void **state)
{
    (void)state;
    make_topics();
    answer(PRODUCE, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
    grant_writes(TOPICS - 1);
    assert_probed(false);
    assert_missing(1, "no right to write to topic ");
}

static void a_commit_that_is_refused_is_a_missing_right_to_the_group(void **state)
{
    (void)state;
    make_topics();
    answer(OFFSET_COMMIT, RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED);
    grant_writes(TOPICS);
    assert_probed(false);
    assert_missing(1, "no right to read group group");
}

static void a_transactional_id_that_is_refused_is_a_missing_right(void **state)
{
    (void)state;
    make_topics();
    grant_writes(TOPICS);
    answer(INIT_PRODUCER_ID, RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
    assert_probed(true);
    assert_missing(1, "no right to use transactional ids");
}

static void without_transactions_no_transactional_id_is_tried(void **state)
{
    (void)state;
    make_topics();
    scene.settings.kafka.exactly_once = false;
    grant_writes(TOPICS);
    answer(INIT_PRODUCER_ID, RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
    assert_probed(true);
    assert_missing(0, "");
}

static void topics_that_are_not_there_are_passed_over(void **state)
{
    (void)state;
    make_topics();
    scene.errors[1] = scene.errors[2] = RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    grant_writes(1);
    assert_probed(true);
    assert_missing(0, "");
}

/* The message is taken, and the transaction aborted. */
static void a_transaction_is_tried_where_it_is_wanted(void **state)
{
    (void)state;
    make_topics();
    grant_writes(TOPICS);
    answer(END_TXN, RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
    assert_false(probe(true));
    buffer_add_byte(&scene.fault, '\0');
    if (strstr(scene.fault.at, "abort_transaction") == NULL)
        fail_msg("%s", scene.fault.at);
}

static void another_check_at_the_same_time_is_no_failure(void **state)
{
    (void)state;
    make_topics();
    grant_writes(TOPICS);
    answer(END_TXN, RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH);
    assert_probed(true);
    assert_missing(0, "");
}

static void who_is_to_stop_ends_without_a_word(void **state)
{
    (void)state;
    make_topics();
    atomic_store(&scene.stop, true);
    assert_false(probe(false));
    assert_int_equal(scene.fault.size, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(where_all_is_granted_nothing_is_missing),
        TEST(a_topic_that_may_not_be_looked_at_lacks_both_rights),
        TEST(a_write_that_is_refused_is_a_missing_right),
        TEST(a_commit_that_is_refused_is_a_missing_right_to_the_group),
        TEST(a_transactional_id_that_is_refused_is_a_missing_right),
        TEST(without_transactions_no_transactional_id_is_tried),
        TEST(topics_that_are_not_there_are_passed_over),
        TEST(a_transaction_is_tried_where_it_is_wanted),
        TEST(another_check_at_the_same_time_is_no_failure),
        TEST(who_is_to_stop_ends_without_a_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
