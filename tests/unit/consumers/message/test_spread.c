/* wrap: rd_kafka_metadata rd_kafka_metadata_destroy rd_kafka_topic_name */
#include "tests/fixtures/cmocka.h"

#include <stdlib.h>
#include <string.h>

#include "consumers/message/spread.h"
#include "tests/fixtures/kafka_mock.h"
#include "worker/base/metrics.h"
#include "worker/settings/settings.h"

/* murmur2("kafka") is 0xd067cf64, as Kafka's own tests have it: partition 4 of 6. */
enum
{
    PARTITIONS = 6,
    EXPECTED = 4,
};

static char kafka[] = "kafka";

static struct
{
    struct spread spread;
    int questions, partitions;
    bool silent;
    struct rd_kafka_metadata_topic topic;
    struct rd_kafka_metadata metadata;
    char handles[SPREAD_TOPICS_MAX + 1]; /* their addresses */
} scene;

__typeof__(rd_kafka_metadata) __wrap_rd_kafka_metadata;
__typeof__(rd_kafka_metadata_destroy) __wrap_rd_kafka_metadata_destroy;
__typeof__(rd_kafka_topic_name) __wrap_rd_kafka_topic_name;

rd_kafka_resp_err_t __wrap_rd_kafka_metadata(rd_kafka_t *client, int all, rd_kafka_topic_t *topic,
                                             const struct rd_kafka_metadata **ret, int wait_ms)
{
    (void)all, (void)topic;
    assert_null(client);
    assert_in_range(wait_ms, 1, 1000);
    scene.questions++;
    if (scene.silent)
        return RD_KAFKA_RESP_ERR__TIMED_OUT;
    scene.topic = (struct rd_kafka_metadata_topic){ .partition_cnt = scene.partitions };
    scene.metadata = (struct rd_kafka_metadata){ .topic_cnt = 1, .topics = &scene.topic };
    *ret = &scene.metadata;
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

void __wrap_rd_kafka_metadata_destroy(const struct rd_kafka_metadata *metadata)
{
    assert_ptr_equal(metadata, &scene.metadata);
}

const char *__wrap_rd_kafka_topic_name(const rd_kafka_topic_t *topic)
{
    (void)topic;
    return "commands";
}

static int set_up(void **state)
{
    (void)state;
    memset(&scene, 0, sizeof(scene));
    scene.partitions = PARTITIONS;
    return 0;
}

/* How many messages more are counted as lying elsewhere. */
static int64_t note(int handle, uint64_t epoch, int32_t partition, size_t key_size)
{
    int64_t before = metrics_get(METRIC_UNEXPECTED_PARTITION);
    rd_kafka_message_t message = { .rkt = (rd_kafka_topic_t *)(void *)&scene.handles[handle],
                                   .partition = partition,
                                   .key = kafka,
                                   .key_len = key_size };

    spread_note(&scene.spread, NULL, epoch, &message);
    return metrics_get(METRIC_UNEXPECTED_PARTITION) - before;
}

static void a_key_in_another_partition_than_murmur2_gives_it_is_counted(void **state)
{
    (void)state;
    for (int32_t partition = 0; partition < PARTITIONS; partition++)
        assert_int_equal(note(0, 1, partition, 5), partition != EXPECTED);
}

static void a_message_without_a_key_may_lie_anywhere(void **state)
{
    (void)state;
    assert_int_equal(note(0, 1, 0, 0), 0);
    assert_int_equal(scene.questions, 0);
}

static void kafka_is_asked_once_for_each_topic_and_epoch(void **state)
{
    (void)state;
    note(0, 1, EXPECTED, 5);
    note(0, 1, EXPECTED, 5);
    assert_int_equal(scene.questions, 1);
    note(1, 1, EXPECTED, 5);
    note(0, 1, EXPECTED, 5);
    assert_int_equal(scene.questions, 2);
    scene.partitions = 7; /* partitions were added: partition 3 of 7 */
    assert_int_equal(note(0, 2, EXPECTED, 5), 1);
    assert_int_equal(note(0, 2, 3, 5), 0);
    assert_int_equal(scene.questions, 3);
}

static void a_topic_of_an_unknown_size_is_not_judged(void **state)
{
    (void)state;
    scene.silent = true;
    assert_int_equal(note(0, 1, 0, 5), 0);
    scene.silent = false;
    assert_int_equal(note(0, 1, 0, 5), 0); /* and is not asked about again for some seconds */
    assert_int_equal(scene.questions, 1);
}

static void topics_past_the_limit_are_not_judged(void **state)
{
    (void)state;
    for (int i = 0; i < SPREAD_TOPICS_MAX; i++)
        assert_int_equal(note(i, 1, 0, 5), 1);
    assert_int_equal(note(SPREAD_TOPICS_MAX, 1, 0, 5), 0);
    assert_int_equal(scene.questions, SPREAD_TOPICS_MAX);
}

/* --- a sample ---------------------------------------------------------------------------------------------------- */

static void produce(const char *bootstrap, int32_t partition, size_t key_size)
{
    char problem[256];
    rd_kafka_conf_t *conf = kafka_mock_conf();

    rd_kafka_conf_set(conf, "bootstrap.servers", bootstrap, problem, sizeof(problem));
    rd_kafka_t *producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, problem, sizeof(problem));
    assert_non_null(producer);
    assert_int_equal(rd_kafka_producev(producer, RD_KAFKA_V_TOPIC("commands"), RD_KAFKA_V_PARTITION(partition),
                                       RD_KAFKA_V_KEY(kafka, key_size), RD_KAFKA_V_VALUE(kafka, 5), RD_KAFKA_V_END),
                     RD_KAFKA_RESP_ERR_NO_ERROR);
    assert_int_equal(rd_kafka_flush(producer, 10000), RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_destroy(producer);
}

static void a_sample_counts_the_last_messages_of_every_partition(void **state)
{
    struct kafka_mock mock;
    struct settings settings = { .consumers.session_timeout_us = 10000000 };
    struct spread_sampled sampled;
    struct buffer fault = BUFFER_EMPTY;
    (void)state;

    kafka_mock_begin(&mock);
    settings.kafka.group = kafka;
    settings.kafka.bootstrap = strdup(rd_kafka_mock_cluster_bootstraps(mock.cluster));
    rd_kafka_mock_topic_create(mock.cluster, "commands", PARTITIONS, 1);
    produce(settings.kafka.bootstrap, EXPECTED, 5);
    produce(settings.kafka.bootstrap, 0, 5);
    produce(settings.kafka.bootstrap, 5, 5);
    produce(settings.kafka.bootstrap, 1, 0);
    if (!spread_sample(&settings, "commands", PARTITIONS, &sampled, &fault))
        fail_msg("%.*s", (int)fault.size, fault.at);
    assert_int_equal(sampled.keyed, 3);
    assert_int_equal(sampled.elsewhere, 2);
    buffer_done(&fault);
    free(settings.kafka.bootstrap);
    kafka_mock_end(&mock);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_key_in_another_partition_than_murmur2_gives_it_is_counted, set_up),
        cmocka_unit_test_setup(a_message_without_a_key_may_lie_anywhere, set_up),
        cmocka_unit_test_setup(kafka_is_asked_once_for_each_topic_and_epoch, set_up),
        cmocka_unit_test_setup(a_topic_of_an_unknown_size_is_not_judged, set_up),
        cmocka_unit_test_setup(topics_past_the_limit_are_not_judged, set_up),
        cmocka_unit_test_setup(a_sample_counts_the_last_messages_of_every_partition, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
