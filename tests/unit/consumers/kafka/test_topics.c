/* wrap: rd_kafka_DescribeConfigs rd_kafka_DescribeConfigs_result_resources rd_kafka_ConfigResource_name
 * rd_kafka_ConfigResource_configs rd_kafka_ConfigResource_error rd_kafka_ConfigResource_error_string
 * rd_kafka_ConfigEntry_name rd_kafka_ConfigEntry_value rd_kafka_NewTopic_new rd_kafka_NewTopic_set_config
 * rd_kafka_CreateTopics rd_kafka_CreateTopics_result_topics rd_kafka_topic_result_error rd_kafka_topic_result_name
 * rd_kafka_topic_result_error_string rd_kafka_queue_poll rd_kafka_event_error rd_kafka_event_error_string
 * rd_kafka_event_destroy rd_kafka_event_DescribeConfigs_result rd_kafka_event_CreateTopics_result contact_metadata */
/* Topics on a broker within librdkafka. It answers no admin requests: their answers are the test's own. That a real
 * broker makes what was asked for is tried in tests/system/test_topics.py. */
#include "tests/fixtures/cmocka.h"

#include <stdio.h>
#include <string.h>

#include "consumers/kafka/contact.h"
#include "consumers/kafka/topics.h"
#include "tests/fixtures/kafka_mock.h"
#include "worker/base/log.h"

enum
{
    RESULTS_MAX = 4,
};

struct described
{
    const char *topic;
    rd_kafka_resp_err_t error;
    const char *entries[3][2];
    int entry_count;
};

struct result
{
    const char *topic;
    rd_kafka_resp_err_t error;
    const char *says;
};

static struct
{
    struct kafka_mock kafka;
    struct settings settings;
    struct topics_report report;
    struct buffer fault;

    struct described described[RESULTS_MAX];
    int described_count;
    struct result results[RESULTS_MAX];
    int result_count;
    bool asked;  /* an admin request is out */
    bool silent; /* and no answer comes */
    int requests;
    const char *forbidden; /* a topic that may not be looked at */
    char made[1024];       /* "topic partitions replication name=value ...;" */
} scene;

/* --- admin requests, replaced ------------------------------------------------------------------------------------ */

/* Opaque to all but librdkafka: these point at what the test says. */
static char event_of_ours;

__typeof__(rd_kafka_DescribeConfigs) __wrap_rd_kafka_DescribeConfigs;
__typeof__(rd_kafka_DescribeConfigs_result_resources) __wrap_rd_kafka_DescribeConfigs_result_resources;
__typeof__(rd_kafka_ConfigResource_name) __wrap_rd_kafka_ConfigResource_name;
__typeof__(rd_kafka_ConfigResource_configs) __wrap_rd_kafka_ConfigResource_configs;
__typeof__(rd_kafka_ConfigResource_error) __wrap_rd_kafka_ConfigResource_error;
__typeof__(rd_kafka_ConfigResource_error_string) __wrap_rd_kafka_ConfigResource_error_string;
__typeof__(rd_kafka_ConfigEntry_name) __wrap_rd_kafka_ConfigEntry_name;
__typeof__(rd_kafka_ConfigEntry_value) __wrap_rd_kafka_ConfigEntry_value;
__typeof__(rd_kafka_NewTopic_new) __real_rd_kafka_NewTopic_new, __wrap_rd_kafka_NewTopic_new;
__typeof__(rd_kafka_NewTopic_set_config) __real_rd_kafka_NewTopic_set_config, __wrap_rd_kafka_NewTopic_set_config;
__typeof__(rd_kafka_CreateTopics) __wrap_rd_kafka_CreateTopics;
__typeof__(rd_kafka_CreateTopics_result_topics) __wrap_rd_kafka_CreateTopics_result_topics;
__typeof__(rd_kafka_topic_result_error) __wrap_rd_kafka_topic_result_error;
__typeof__(rd_kafka_topic_result_name) __wrap_rd_kafka_topic_result_name;
__typeof__(rd_kafka_topic_result_error_string) __wrap_rd_kafka_topic_result_error_string;
__typeof__(rd_kafka_queue_poll) __real_rd_kafka_queue_poll, __wrap_rd_kafka_queue_poll;
__typeof__(rd_kafka_event_error) __real_rd_kafka_event_error, __wrap_rd_kafka_event_error;
__typeof__(rd_kafka_event_error_string) __wrap_rd_kafka_event_error_string;
__typeof__(rd_kafka_event_destroy) __real_rd_kafka_event_destroy, __wrap_rd_kafka_event_destroy;
__typeof__(rd_kafka_event_DescribeConfigs_result) __wrap_rd_kafka_event_DescribeConfigs_result;
__typeof__(rd_kafka_event_CreateTopics_result) __wrap_rd_kafka_event_CreateTopics_result;

static bool is_ours(const rd_kafka_event_t *event)
{
    return (const void *)event == &event_of_ours;
}

rd_kafka_event_t *__wrap_rd_kafka_queue_poll(rd_kafka_queue_t *queue, int wait_ms)
{
    if (!scene.asked)
        return __real_rd_kafka_queue_poll(queue, wait_ms);
    scene.asked = false;
    return scene.silent ? NULL : (rd_kafka_event_t *)&event_of_ours;
}

rd_kafka_resp_err_t __wrap_rd_kafka_event_error(rd_kafka_event_t *event)
{
    return is_ours(event) ? RD_KAFKA_RESP_ERR_NO_ERROR : __real_rd_kafka_event_error(event);
}

const char *__wrap_rd_kafka_event_error_string(rd_kafka_event_t *event)
{
    (void)event;
    return "";
}

void __wrap_rd_kafka_event_destroy(rd_kafka_event_t *event)
{
    if (!is_ours(event))
        __real_rd_kafka_event_destroy(event);
}

const rd_kafka_DescribeConfigs_result_t *__wrap_rd_kafka_event_DescribeConfigs_result(rd_kafka_event_t *event)
{
    return (const rd_kafka_DescribeConfigs_result_t *)event;
}

const rd_kafka_CreateTopics_result_t *__wrap_rd_kafka_event_CreateTopics_result(rd_kafka_event_t *event)
{
    return (const rd_kafka_CreateTopics_result_t *)event;
}

void __wrap_rd_kafka_DescribeConfigs(rd_kafka_t *client, rd_kafka_ConfigResource_t **resources, size_t count,
                                     const rd_kafka_AdminOptions_t *options, rd_kafka_queue_t *queue)
{
    (void)client, (void)resources, (void)count, (void)options, (void)queue;
    scene.asked = true;
    scene.requests++;
}

const rd_kafka_ConfigResource_t **__wrap_rd_kafka_DescribeConfigs_result_resources(
    const rd_kafka_DescribeConfigs_result_t *result, size_t *ret_count)
{
    static const rd_kafka_ConfigResource_t *resources[RESULTS_MAX];

    (void)result;
    for (int i = 0; i < scene.described_count; i++)
        resources[i] = (const rd_kafka_ConfigResource_t *)&scene.described[i];
    *ret_count = (size_t)scene.described_count;
    return resources;
}

const char *__wrap_rd_kafka_ConfigResource_name(const rd_kafka_ConfigResource_t *resource)
{
    return ((const struct described *)resource)->topic;
}

rd_kafka_resp_err_t __wrap_rd_kafka_ConfigResource_error(const rd_kafka_ConfigResource_t *resource)
{
    return ((const struct described *)resource)->error;
}

const char *__wrap_rd_kafka_ConfigResource_error_string(const rd_kafka_ConfigResource_t *resource)
{
    return rd_kafka_err2str(((const struct described *)resource)->error);
}

const rd_kafka_ConfigEntry_t **__wrap_rd_kafka_ConfigResource_configs(const rd_kafka_ConfigResource_t *resource,
                                                                      size_t *ret_count)
{
    static const rd_kafka_ConfigEntry_t *entries[3];
    const struct described *described = (const struct described *)resource;

    for (int i = 0; i < described->entry_count; i++)
        entries[i] = (const rd_kafka_ConfigEntry_t *)described->entries[i];
    *ret_count = (size_t)described->entry_count;
    return entries;
}

const char *__wrap_rd_kafka_ConfigEntry_name(const rd_kafka_ConfigEntry_t *entry)
{
    return ((const char *const *)entry)[0];
}

const char *__wrap_rd_kafka_ConfigEntry_value(const rd_kafka_ConfigEntry_t *entry)
{
    return ((const char *const *)entry)[1];
}

rd_kafka_NewTopic_t *__wrap_rd_kafka_NewTopic_new(const char *topic, int partitions, int replication, char *problem,
                                                  size_t size)
{
    size_t used = strlen(scene.made);

    snprintf(scene.made + used, sizeof(scene.made) - used, "%s%s %d %d", used ? "; " : "", topic, partitions,
             replication);
    return __real_rd_kafka_NewTopic_new(topic, partitions, replication, problem, size);
}

rd_kafka_resp_err_t __wrap_rd_kafka_NewTopic_set_config(rd_kafka_NewTopic_t *topic, const char *name, const char *value)
{
    size_t used = strlen(scene.made);

    snprintf(scene.made + used, sizeof(scene.made) - used, " %s=%s", name, value);
    return __real_rd_kafka_NewTopic_set_config(topic, name, value);
}

void __wrap_rd_kafka_CreateTopics(rd_kafka_t *client, rd_kafka_NewTopic_t **topics, size_t count,
                                  const rd_kafka_AdminOptions_t *options, rd_kafka_queue_t *queue)
{
    (void)client, (void)topics, (void)count, (void)options, (void)queue;
    scene.asked = true;
    scene.requests++;
}

const rd_kafka_topic_result_t **__wrap_rd_kafka_CreateTopics_result_topics(const rd_kafka_CreateTopics_result_t *result,
                                                                           size_t *ret_count)
{
    static const rd_kafka_topic_result_t *results[RESULTS_MAX];

    (void)result;
    for (int i = 0; i < scene.result_count; i++)
        results[i] = (const rd_kafka_topic_result_t *)&scene.results[i];
    *ret_count = (size_t)scene.result_count;
    return results;
}

rd_kafka_resp_err_t __wrap_rd_kafka_topic_result_error(const rd_kafka_topic_result_t *result)
{
    return ((const struct result *)result)->error;
}

const char *__wrap_rd_kafka_topic_result_name(const rd_kafka_topic_result_t *result)
{
    return ((const struct result *)result)->topic;
}

const char *__wrap_rd_kafka_topic_result_error_string(const rd_kafka_topic_result_t *result)
{
    return ((const struct result *)result)->says;
}

__typeof__(contact_metadata) __real_contact_metadata, __wrap_contact_metadata;

rd_kafka_resp_err_t __wrap_contact_metadata(rd_kafka_t *client, rd_kafka_topic_t *topic,
                                            const struct rd_kafka_metadata **ret_metadata, int wait_ms)
{
    rd_kafka_resp_err_t error = __real_contact_metadata(client, topic, ret_metadata, wait_ms);

    for (int i = 0; error == RD_KAFKA_RESP_ERR_NO_ERROR && scene.forbidden && i < (*ret_metadata)->topic_cnt; i++)
        if (strcmp((*ret_metadata)->topics[i].topic, scene.forbidden) == 0)
            (*ret_metadata)->topics[i].err = RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    return error;
}

/* --- the scene --------------------------------------------------------------------------------------------------- */

static int set_up(void **state)
{
    (void)state;
    memset(&scene, 0, sizeof(scene));
    log_setup(LOG_LEVEL_ERROR, false);
    kafka_mock_begin(&scene.kafka);
    kafka_mock_settings(&scene.kafka, "orders, ,tickets", &scene.settings);
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

static void assert_fault(const char *part)
{
    buffer_add_byte(&scene.fault, '\0');
    if (strstr(scene.fault.at, part) == NULL)
        fail_msg("without \"%s\": %s", part, scene.fault.at);
}

static void inspect(void)
{
    if (!topics_inspect(&scene.settings, &scene.report, &scene.fault))
        fail_msg("%.*s", (int)scene.fault.size, scene.fault.at);
}

static const struct topic_state *topic_of(const char *name)
{
    for (int i = 0; i < scene.report.count; i++)
        if (strcmp(scene.report.at[i].name, name) == 0)
            return &scene.report.at[i];
    fail_msg("no topic %s", name);
    return NULL;
}

/* --- what there is ----------------------------------------------------------------------------------------------- */

static void each_topic_of_the_settings_has_its_role(void **state)
{
    static const char *const expected[][2] = { { "audit", "audit" },
                                               { "orders", "commands" },
                                               { "tickets", "commands" },
                                               { "orders.dlq", "dead letters" },
                                               { "tickets.dlq", "dead letters" } };
    (void)state;

    inspect();
    assert_int_equal(scene.report.count, 5);
    assert_int_equal(scene.report.brokers, 1);
    for (int i = 0; i < 5; i++)
    {
        assert_string_equal(scene.report.at[i].name, expected[i][0]);
        assert_string_equal(scene.report.at[i].role, expected[i][1]);
        assert_false(scene.report.at[i].exists);
    }
    assert_int_equal(scene.requests, 0);
}

static void a_topic_that_exists_has_its_partitions_and_settings(void **state)
{
    (void)state;
    rd_kafka_mock_topic_create(scene.kafka.cluster, "orders", 3, 1);
    rd_kafka_mock_topic_create(scene.kafka.cluster, "audit", 1, 1);
    scene.described[0] = (struct described){
        "orders",
        RD_KAFKA_RESP_ERR_NO_ERROR,
        { { "cleanup.policy", "compact,delete" }, { "retention.ms", "60000" }, { "max.message.bytes", "1048588" } },
        3
    };
    scene.described[1] = (struct described){ .topic = "audit", .error = RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED };
    scene.described_count = 2;
    inspect();
    const struct topic_state *orders = topic_of("orders");
    assert_true(orders->exists);
    assert_int_equal(orders->partitions, 3);
    assert_int_equal(orders->replication, 1);
    assert_string_equal(orders->cleanup_policy, "compact,delete");
    assert_int_equal(orders->retention_ms, 60000);
    assert_int_equal(orders->max_message_bytes, 1048588);
    assert_false(orders->settings_unknown);
    assert_true(topic_of("audit")->exists);
    assert_true(topic_of("audit")->settings_unknown);
    assert_int_equal(topic_of("audit")->retention_ms, -1);
}

static void a_topic_without_a_leader_does_not_serve_yet(void **state)
{
    (void)state;
    rd_kafka_mock_topic_create(scene.kafka.cluster, "orders", 2, 1);
    rd_kafka_mock_partition_set_leader(scene.kafka.cluster, "orders", 1, -1);
    inspect();
    assert_string_equal(topic_of("orders")->in_the_way, "partition 1 has no leader");
}

static void a_topic_that_may_not_be_looked_at_may_be_there(void **state)
{
    (void)state;
    scene.forbidden = "tickets";
    inspect();
    assert_false(topic_of("tickets")->exists);
    assert_true(topic_of("tickets")->forbidden);
    assert_false(topic_of("orders")->forbidden);
}

static void settings_that_do_not_come_are_a_failure(void **state)
{
    (void)state;
    rd_kafka_mock_topic_create(scene.kafka.cluster, "orders", 1, 1);
    scene.silent = true;
    assert_false(topics_inspect(&scene.settings, &scene.report, &scene.fault));
    assert_fault("settings of the topics: no answer");
}

/* --- faults ------------------------------------------------------------------------------------------------------ */

static void a_topic_that_would_lose_or_refuse_messages_has_a_fault(void **state)
{
    static const struct
    {
        struct topic_state topic;
        const char *says; /* NULL: nothing */
    } cases[] = {
        { { .role = "commands", .cleanup_policy = "delete", .max_message_bytes = 81920 }, NULL },
        { { .role = "commands", .cleanup_policy = "delete", .max_message_bytes = 81919 }, "takes at least 81920" },
        { { .role = "audit", .cleanup_policy = "delete", .max_message_bytes = 307200 }, NULL },
        { { .role = "audit", .cleanup_policy = "delete", .max_message_bytes = 307199 }, "is 307199; it takes" },
        { { .role = "dead letters", .cleanup_policy = "delete", .max_message_bytes = 81920 }, "at least 307200" },
        { { .role = "commands", .cleanup_policy = "compact,delete", .max_message_bytes = 1048588 },
          "commands would vanish" },
        { { .role = "audit", .cleanup_policy = "compact", .max_message_bytes = 1048588 }, "records would vanish" },
        { { .role = "commands", .settings_unknown = true }, NULL },
    };
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
    {
        struct buffer says = BUFFER_EMPTY;
        assert_int_equal(topics_find_fault(&cases[i].topic, &says), cases[i].says != NULL);
        buffer_add_byte(&says, '\0');
        if (strstr(says.at, cases[i].says ? cases[i].says : "") == NULL)
            fail_msg("%d: %s", (int)i, says.at);
        buffer_done(&says);
    }
}

/* --- making ------------------------------------------------------------------------------------------------------ */

static void add(const char *name, const char *role, bool exists, int partitions)
{
    struct topic_state *topic = &scene.report.at[scene.report.count++];

    snprintf(topic->name, sizeof(topic->name), "%s", name);
    topic->role = role;
    topic->exists = exists;
    topic->partitions = partitions;
}

static bool create(int brokers)
{
    scene.report.brokers = brokers;
    return topics_create(&scene.settings, &scene.report, 12, 4, &scene.fault);
}

static void missing_topics_are_made_and_nothing_else(void **state)
{
    (void)state;
    add("audit", "audit", false, 0);
    add("orders", "commands", true, 6);
    add("tickets", "commands", false, 0);
    add("orders.dlq", "dead letters", false, 0);
    add("tickets.dlq", "dead letters", false, 0);
    assert_true(create(5));
    assert_string_equal(scene.made, "audit 4 3 cleanup.policy=delete message.timestamp.type=LogAppendTime; "
                                    "tickets 12 3 cleanup.policy=delete; "
                                    "orders.dlq 6 3 cleanup.policy=delete message.timestamp.type=LogAppendTime "
                                    "retention.ms=2592000000; "
                                    "tickets.dlq 12 3 cleanup.policy=delete message.timestamp.type=LogAppendTime "
                                    "retention.ms=2592000000");
    assert_int_equal(scene.requests, 1);
}

static void there_are_no_more_replicas_than_brokers(void **state)
{
    (void)state;
    add("orders", "commands", false, 0);
    assert_true(create(2));
    assert_string_equal(scene.made, "orders 12 2 cleanup.policy=delete");
}

static void where_all_is_there_nobody_is_asked(void **state)
{
    (void)state;
    add("orders", "commands", true, 6);
    assert_true(create(1));
    assert_int_equal(scene.requests, 0);
}

static void a_topic_that_somebody_else_made_meanwhile_is_no_failure(void **state)
{
    (void)state;
    add("orders", "commands", false, 0);
    scene.results[0] = (struct result){ "orders", RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS, "it exists" };
    scene.result_count = 1;
    assert_true(create(1));
    assert_int_equal(scene.fault.size, 0);
}

static void every_topic_that_was_refused_is_named(void **state)
{
    (void)state;
    add("orders", "commands", false, 0);
    scene.results[0] = (struct result){ "audit", RD_KAFKA_RESP_ERR_NO_ERROR, NULL };
    scene.results[1] = (struct result){ "orders", RD_KAFKA_RESP_ERR_POLICY_VIOLATION, "too many" };
    scene.results[2] = (struct result){ "tickets", RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, NULL };
    scene.result_count = 3;
    assert_false(create(1));
    assert_fault("orders: too many; tickets: ");
}

static void a_broker_that_does_not_answer_has_made_nothing(void **state)
{
    (void)state;
    add("orders", "commands", false, 0);
    scene.silent = true;
    assert_false(create(1));
    assert_fault("making the topics: no answer");
}

/* --- logs -------------------------------------------------------------------------------------------------------- */

static void see(void *owner, const char *topic, int32_t partition, int64_t log_start, int64_t log_end)
{
    size_t used = strlen(scene.made);

    assert_ptr_equal(owner, &scene);
    snprintf(scene.made + used, sizeof(scene.made) - used, "%s/%d %lld-%lld;", topic, partition, (long long)log_start,
             (long long)log_end);
}

static void the_log_of_each_partition_of_commands_is_told(void **state)
{
    (void)state;
    rd_kafka_mock_topic_create(scene.kafka.cluster, "orders", 2, 1);
    rd_kafka_mock_topic_create(scene.kafka.cluster, "tickets", 1, 1);
    rd_kafka_mock_topic_create(scene.kafka.cluster, "audit", 1, 1);
    kafka_mock_write(&scene.kafka, "orders", 1, SPAN_NULL, SPAN_LITERAL("one"), NULL);
    assert_true(topics_logs(&scene.settings, see, &scene, &scene.fault));
    assert_string_equal(scene.made, "orders/0 0-0;orders/1 0-1;tickets/0 0-0;");
}

static void without_one_of_the_topics_the_logs_are_not_known(void **state)
{
    (void)state;
    rd_kafka_mock_topic_create(scene.kafka.cluster, "orders", 1, 1);
    assert_false(topics_logs(&scene.settings, see, &scene, &scene.fault));
    assert_fault("tickets: the topic is not there, or may not be looked at (Describe)");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_topic_of_the_settings_has_its_role),
        TEST(a_topic_that_exists_has_its_partitions_and_settings),
        TEST(a_topic_without_a_leader_does_not_serve_yet),
        TEST(a_topic_that_may_not_be_looked_at_may_be_there),
        TEST(settings_that_do_not_come_are_a_failure),
        TEST(a_topic_that_would_lose_or_refuse_messages_has_a_fault),
        TEST(missing_topics_are_made_and_nothing_else),
        TEST(there_are_no_more_replicas_than_brokers),
        TEST(where_all_is_there_nobody_is_asked),
        TEST(a_topic_that_somebody_else_made_meanwhile_is_no_failure),
        TEST(every_topic_that_was_refused_is_named),
        TEST(a_broker_that_does_not_answer_has_made_nothing),
        TEST(the_log_of_each_partition_of_commands_is_told),
        TEST(without_one_of_the_topics_the_logs_are_not_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
