/* wrap: rd_kafka_metadata rd_kafka_metadata_destroy rd_kafka_topic_name */
#include "tests/fixtures/cmocka.h"

#include "consumers/message/spread.h"
#include "worker/base/metrics.h"

enum
{
    PARTITIONS = 12,
};

static struct rd_kafka_metadata_topic topic = { .partition_cnt = PARTITIONS };
static struct rd_kafka_metadata metadata = { .topic_cnt = 1, .topics = &topic };
static bool answers;
static int asked;

__typeof__(rd_kafka_metadata) __wrap_rd_kafka_metadata;
__typeof__(rd_kafka_metadata_destroy) __wrap_rd_kafka_metadata_destroy;
__typeof__(rd_kafka_topic_name) __wrap_rd_kafka_topic_name;

rd_kafka_resp_err_t __wrap_rd_kafka_metadata(rd_kafka_t *client, int all, rd_kafka_topic_t *only,
                                             const struct rd_kafka_metadata **ret, int timeout_ms)
{
    (void)client, (void)all, (void)only, (void)timeout_ms;
    asked++;
    *ret = &metadata;
    return answers ? RD_KAFKA_RESP_ERR_NO_ERROR : RD_KAFKA_RESP_ERR__TIMED_OUT;
}

void __wrap_rd_kafka_metadata_destroy(const struct rd_kafka_metadata *answered)
{
    assert_ptr_equal(answered, &metadata);
}

const char *__wrap_rd_kafka_topic_name(const rd_kafka_topic_t *of)
{
    (void)of;
    return "commands";
}

/* ticket/42 is in partition 3 of 12. */
static void note(struct spread *spread, int32_t partition)
{
    static char key[] = "ticket/42";
    rd_kafka_message_t message = { .partition = partition, .key = key, .key_len = sizeof(key) - 1 };
    spread_note(spread, NULL, 1, &message);
}

static void messages_are_judged_once_kafka_has_said_how_many_partitions_there_are(void **state)
{
    (void)state;
    struct spread spread = { 0 };

    answers = false;
    note(&spread, 4);
    note(&spread, 4);
    assert_int_equal(asked, 1); /* not for each message */
    assert_int_equal(metrics_get(METRIC_UNEXPECTED_PARTITION), 0);
    spread.topics[0].next_us = 0; /* some seconds later */
    answers = true;
    note(&spread, 4);
    note(&spread, 3);
    note(&spread, 4);
    assert_int_equal(asked, 2);
    assert_int_equal(metrics_get(METRIC_UNEXPECTED_PARTITION), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_are_judged_once_kafka_has_said_how_many_partitions_there_are),
    };
    return cmocka_run_group_tests_name("spread_counting", tests, NULL, NULL);
}
