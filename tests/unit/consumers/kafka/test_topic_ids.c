#include "tests/fixtures/cmocka.h"

#include <stdlib.h>
#include <string.h>

#include "consumers/kafka/topic_ids.h"
#include "tests/fixtures/kafka_mock.h"
#include "worker/settings/settings.h"

enum
{
    WAIT_US = 2000000,
};

static char topics[] = "orders, tickets";

static struct
{
    struct kafka_mock mock;
    struct settings settings;
    int told;
} scene;

static int set_up(void **state)
{
    (void)state;
    memset(&scene, 0, sizeof(scene));
    kafka_mock_begin(&scene.mock);
    rd_kafka_mock_topic_create(scene.mock.cluster, "orders", 1, 1);
    scene.settings.kafka.topics = topics;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    kafka_mock_end(&scene.mock);
    return 0;
}

static void count(void *owner, const char *topic, const char *id)
{
    (void)topic;
    assert_ptr_equal(owner, &scene);
    assert_in_range(strlen(id), 1, TOPIC_ID_SIZE - 1);
    scene.told++;
}

static rd_kafka_t *new_client(void)
{
    char problem[256];
    rd_kafka_conf_t *conf = kafka_mock_conf();

    rd_kafka_conf_set(conf, "bootstrap.servers", rd_kafka_mock_cluster_bootstraps(scene.mock.cluster), problem,
                      sizeof(problem));
    rd_kafka_t *client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, problem, sizeof(problem));
    assert_non_null(client);
    return client;
}

static void ids_are_told_from_librdkafka_2_3_on(void **state)
{
    (void)state;
    assert_int_equal(topic_ids_are_told(), RD_KAFKA_VERSION >= 0x02030000 && rd_kafka_version() >= 0x02030000);
}

/* The broker of the mock has no ids: a question to it, or none at all, must tell nothing and must end. */
static void a_broker_without_ids_tells_none(void **state)
{
    rd_kafka_t *client = new_client();
    (void)state;

    rd_kafka_queue_t *answer = topic_ids_ask(&scene.settings, client, WAIT_US);
    assert_int_equal(answer != NULL, topic_ids_are_told());
    if (answer)
    {
        assert_true(topic_ids_take(answer, 2 * WAIT_US, count, &scene));
        rd_kafka_queue_destroy(answer);
    }
    topic_ids_read(&scene.settings, client, WAIT_US, count, &scene);
    assert_int_equal(scene.told, 0);
    rd_kafka_destroy(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(ids_are_told_from_librdkafka_2_3_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_broker_without_ids_tells_none, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
