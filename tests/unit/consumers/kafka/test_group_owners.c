/* wrap: clients_conf clients_new clients_destroy contact_metadata contact_explain rd_kafka_topic_new
 * rd_kafka_topic_destroy rd_kafka_metadata_destroy rd_kafka_queue_new rd_kafka_queue_destroy rd_kafka_queue_poll
 * rd_kafka_AdminOptions_new rd_kafka_AdminOptions_destroy rd_kafka_AdminOptions_set_request_timeout
 * rd_kafka_DescribeConsumerGroups rd_kafka_event_error rd_kafka_event_destroy
 * rd_kafka_event_DescribeConsumerGroups_result rd_kafka_DescribeConsumerGroups_result_groups
 * rd_kafka_ConsumerGroupDescription_error rd_kafka_ConsumerGroupDescription_state
 * rd_kafka_ConsumerGroupDescription_member_count rd_kafka_ConsumerGroupDescription_member
 * rd_kafka_MemberDescription_assignment rd_kafka_MemberAssignment_partitions */
#include "tests/fixtures/cmocka.h"

#include <stdio.h>
#include <string.h>

#include "consumers/kafka/clients.h"
#include "consumers/kafka/contact.h"
#include "consumers/kafka/group_owners.h"
#include "worker/settings/settings.h"

/* PROTOCOL O7: the answer of the coordinator, judged. */

enum
{
    MEMBERS_MAX = 3,
    TOPICS = 2,
    PARTITIONS = 2, /* of each topic */
};

static char topics[] = "orders,tickets", group[] = "pool", bootstrap[] = "kafka:9092";
static const char *const names[TOPICS] = { "orders", "tickets" };
static char there; /* the opaque pointers point at it */

static struct
{
    struct settings settings;
    rd_kafka_resp_err_t metadata_error, topic_error, event_error;
    bool silent; /* the coordinator */
    rd_kafka_consumer_group_state_t state;
    rd_kafka_error_t *group_error;
    rd_kafka_topic_partition_list_t *members[MEMBERS_MAX]; /* NULL: without an assignment */
    size_t member_count;
    const char *asked; /* the topic that is asked about */
    struct rd_kafka_metadata_partition partitions[PARTITIONS];
    struct rd_kafka_metadata_topic topic;
    struct rd_kafka_metadata metadata;
    int clients, events;
    int unowned;
    char why[300];
} scene;

static int set_up(void **state)
{
    (void)state;
    memset(&scene, 0, sizeof(scene));
    scene.settings.kafka.topics = topics;
    scene.settings.kafka.group = group;
    scene.settings.kafka.bootstrap = bootstrap;
    scene.state = RD_KAFKA_CONSUMER_GROUP_STATE_STABLE;
    for (int i = 0; i < MEMBERS_MAX; i++)
        scene.members[i] = rd_kafka_topic_partition_list_new(4);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (int i = 0; i < MEMBERS_MAX; i++)
        rd_kafka_topic_partition_list_destroy(scene.members[i]);
    if (scene.group_error)
        rd_kafka_error_destroy(scene.group_error);
    assert_int_equal(scene.clients, 0);
    assert_int_equal(scene.events, 0);
    return 0;
}

/* --- the client -------------------------------------------------------------------------------------------------- */

__typeof__(clients_conf) __wrap_clients_conf;
__typeof__(clients_new) __wrap_clients_new;
__typeof__(clients_destroy) __wrap_clients_destroy;
__typeof__(contact_metadata) __wrap_contact_metadata;
__typeof__(contact_explain) __wrap_contact_explain;
__typeof__(rd_kafka_topic_new) __wrap_rd_kafka_topic_new;
__typeof__(rd_kafka_topic_destroy) __wrap_rd_kafka_topic_destroy;
__typeof__(rd_kafka_metadata_destroy) __wrap_rd_kafka_metadata_destroy;

rd_kafka_conf_t *__wrap_clients_conf(const struct settings *settings, enum client_kind kind, struct buffer *reterr)
{
    (void)settings, (void)reterr;
    assert_int_equal(kind, CLIENT_ADMIN);
    return (rd_kafka_conf_t *)(void *)&there;
}

rd_kafka_t *__wrap_clients_new(enum client_kind kind, rd_kafka_conf_t *conf, struct buffer *reterr)
{
    (void)kind, (void)conf, (void)reterr;
    scene.clients++;
    return (rd_kafka_t *)(void *)&there;
}

bool __wrap_clients_destroy(rd_kafka_t *client, int64_t wait_us)
{
    (void)client, (void)wait_us;
    scene.clients--;
    return true;
}

rd_kafka_topic_t *__wrap_rd_kafka_topic_new(rd_kafka_t *client, const char *name, rd_kafka_topic_conf_t *conf)
{
    (void)client, (void)conf;
    scene.asked = name;
    return (rd_kafka_topic_t *)(void *)&there;
}

void __wrap_rd_kafka_topic_destroy(rd_kafka_topic_t *topic)
{
    (void)topic;
}

rd_kafka_resp_err_t __wrap_contact_metadata(rd_kafka_t *client, rd_kafka_topic_t *topic,
                                            const struct rd_kafka_metadata **ret, int wait_ms)
{
    (void)client, (void)topic, (void)wait_ms;
    if (scene.metadata_error != RD_KAFKA_RESP_ERR_NO_ERROR)
        return scene.metadata_error;
    for (int i = 0; i < PARTITIONS; i++)
        scene.partitions[i].id = i;
    scene.topic = (struct rd_kafka_metadata_topic){ .err = scene.topic_error,
                                                    .partition_cnt = PARTITIONS,
                                                    .partitions = scene.partitions };
    scene.metadata = (struct rd_kafka_metadata){ .topic_cnt = 1, .topics = &scene.topic };
    *ret = &scene.metadata;
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

void __wrap_rd_kafka_metadata_destroy(const struct rd_kafka_metadata *metadata)
{
    (void)metadata;
}

void __wrap_contact_explain(const rd_kafka_t *client, rd_kafka_resp_err_t error, struct buffer *into)
{
    (void)client;
    buffer_add_text(into, rd_kafka_err2name(error));
}

/* --- the coordinator --------------------------------------------------------------------------------------------- */

__typeof__(rd_kafka_queue_new) __wrap_rd_kafka_queue_new;
__typeof__(rd_kafka_queue_destroy) __wrap_rd_kafka_queue_destroy;
__typeof__(rd_kafka_queue_poll) __wrap_rd_kafka_queue_poll;
__typeof__(rd_kafka_AdminOptions_new) __wrap_rd_kafka_AdminOptions_new;
__typeof__(rd_kafka_AdminOptions_destroy) __wrap_rd_kafka_AdminOptions_destroy;
__typeof__(rd_kafka_AdminOptions_set_request_timeout) __wrap_rd_kafka_AdminOptions_set_request_timeout;
__typeof__(rd_kafka_DescribeConsumerGroups) __wrap_rd_kafka_DescribeConsumerGroups;
__typeof__(rd_kafka_event_error) __wrap_rd_kafka_event_error;
__typeof__(rd_kafka_event_destroy) __wrap_rd_kafka_event_destroy;
__typeof__(rd_kafka_event_DescribeConsumerGroups_result) __wrap_rd_kafka_event_DescribeConsumerGroups_result;
__typeof__(rd_kafka_DescribeConsumerGroups_result_groups) __wrap_rd_kafka_DescribeConsumerGroups_result_groups;
__typeof__(rd_kafka_ConsumerGroupDescription_error) __wrap_rd_kafka_ConsumerGroupDescription_error;
__typeof__(rd_kafka_ConsumerGroupDescription_state) __wrap_rd_kafka_ConsumerGroupDescription_state;
__typeof__(rd_kafka_ConsumerGroupDescription_member_count) __wrap_rd_kafka_ConsumerGroupDescription_member_count;
__typeof__(rd_kafka_ConsumerGroupDescription_member) __wrap_rd_kafka_ConsumerGroupDescription_member;
__typeof__(rd_kafka_MemberDescription_assignment) __wrap_rd_kafka_MemberDescription_assignment;
__typeof__(rd_kafka_MemberAssignment_partitions) __wrap_rd_kafka_MemberAssignment_partitions;

rd_kafka_queue_t *__wrap_rd_kafka_queue_new(rd_kafka_t *client)
{
    (void)client;
    return (rd_kafka_queue_t *)(void *)&there;
}

void __wrap_rd_kafka_queue_destroy(rd_kafka_queue_t *queue)
{
    (void)queue;
}

rd_kafka_event_t *__wrap_rd_kafka_queue_poll(rd_kafka_queue_t *queue, int wait_ms)
{
    (void)queue;
    assert_in_range(wait_ms, 1, 3000);
    if (scene.silent)
        return NULL;
    scene.events++;
    return (rd_kafka_event_t *)(void *)&there;
}

rd_kafka_AdminOptions_t *__wrap_rd_kafka_AdminOptions_new(rd_kafka_t *client, rd_kafka_admin_op_t operation)
{
    (void)client;
    assert_int_equal(operation, RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS);
    return (rd_kafka_AdminOptions_t *)(void *)&there;
}

void __wrap_rd_kafka_AdminOptions_destroy(rd_kafka_AdminOptions_t *options)
{
    (void)options;
}

rd_kafka_resp_err_t __wrap_rd_kafka_AdminOptions_set_request_timeout(rd_kafka_AdminOptions_t *options, int wait_ms,
                                                                     char *problem, size_t size)
{
    (void)options, (void)wait_ms, (void)problem, (void)size;
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

void __wrap_rd_kafka_DescribeConsumerGroups(rd_kafka_t *client, const char **groups, size_t count,
                                            const rd_kafka_AdminOptions_t *options, rd_kafka_queue_t *queue)
{
    (void)client, (void)options, (void)queue;
    assert_int_equal(count, 1);
    assert_string_equal(groups[0], "pool");
}

rd_kafka_resp_err_t __wrap_rd_kafka_event_error(rd_kafka_event_t *event)
{
    (void)event;
    return scene.event_error;
}

void __wrap_rd_kafka_event_destroy(rd_kafka_event_t *event)
{
    (void)event;
    scene.events--;
}

const rd_kafka_DescribeConsumerGroups_result_t *__wrap_rd_kafka_event_DescribeConsumerGroups_result(
    rd_kafka_event_t *event)
{
    return (const rd_kafka_DescribeConsumerGroups_result_t *)(void *)event;
}

const rd_kafka_ConsumerGroupDescription_t **__wrap_rd_kafka_DescribeConsumerGroups_result_groups(
    const rd_kafka_DescribeConsumerGroups_result_t *result, size_t *ret_count)
{
    static const rd_kafka_ConsumerGroupDescription_t *one[1];

    (void)result;
    one[0] = (const rd_kafka_ConsumerGroupDescription_t *)(void *)&there;
    *ret_count = 1;
    return one;
}

const rd_kafka_error_t *__wrap_rd_kafka_ConsumerGroupDescription_error(const rd_kafka_ConsumerGroupDescription_t *of)
{
    (void)of;
    return scene.group_error;
}

rd_kafka_consumer_group_state_t __wrap_rd_kafka_ConsumerGroupDescription_state(
    const rd_kafka_ConsumerGroupDescription_t *of)
{
    (void)of;
    return scene.state;
}

size_t __wrap_rd_kafka_ConsumerGroupDescription_member_count(const rd_kafka_ConsumerGroupDescription_t *of)
{
    (void)of;
    return scene.member_count;
}

const rd_kafka_MemberDescription_t *__wrap_rd_kafka_ConsumerGroupDescription_member(
    const rd_kafka_ConsumerGroupDescription_t *of, size_t index)
{
    (void)of;
    return (const rd_kafka_MemberDescription_t *)(void *)scene.members[index];
}

const rd_kafka_MemberAssignment_t *__wrap_rd_kafka_MemberDescription_assignment(
    const rd_kafka_MemberDescription_t *member)
{
    /* A member that joined and got nothing yet has none. */
    const rd_kafka_topic_partition_list_t *owned = (const void *)member;
    return owned->cnt > 0 ? (const rd_kafka_MemberAssignment_t *)(const void *)member : NULL;
}

const rd_kafka_topic_partition_list_t *__wrap_rd_kafka_MemberAssignment_partitions(
    const rd_kafka_MemberAssignment_t *assignment)
{
    return (const void *)assignment;
}

/* --- tests ------------------------------------------------------------------------------------------------------- */

static void give(size_t member, int topic, int32_t partition)
{
    rd_kafka_topic_partition_list_add(scene.members[member], names[topic], partition);
    scene.member_count = member + 1 > scene.member_count ? member + 1 : scene.member_count;
}

static enum group_answer ask(void)
{
    return group_owners_ask(&scene.settings, &scene.unowned, scene.why, sizeof(scene.why));
}

static void assert_why(const char *part)
{
    if (strstr(scene.why, part) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", scene.why, part);
}

static void every_partition_of_every_topic_has_an_owner(void **state)
{
    (void)state;
    give(0, 0, 0);
    give(0, 1, 1);
    give(2, 0, 1); /* the member between them has no assignment */
    give(2, 1, 0);
    assert_int_equal(ask(), GROUP_OWNED);
    assert_int_equal(scene.unowned, 0);
}

static void partitions_that_no_member_has_are_counted(void **state)
{
    (void)state;
    give(0, 0, 0);
    give(0, 0, 1);
    give(1, 1, 0);
    assert_int_equal(ask(), GROUP_UNOWNED);
    assert_int_equal(scene.unowned, 1);
}

static void a_partition_of_another_topic_is_nothing_to_us(void **state)
{
    (void)state;
    give(0, 0, 0);
    rd_kafka_topic_partition_list_add(scene.members[0], "other", 1);
    give(0, 0, 7); /* and one that the topic does not have */
    assert_int_equal(ask(), GROUP_UNOWNED);
    assert_int_equal(scene.unowned, 3);
}

static void an_empty_group_owns_nothing(void **state)
{
    (void)state;
    scene.state = RD_KAFKA_CONSUMER_GROUP_STATE_EMPTY;
    assert_int_equal(ask(), GROUP_UNOWNED);
    assert_int_equal(scene.unowned, TOPICS * PARTITIONS);
    scene.state = RD_KAFKA_CONSUMER_GROUP_STATE_DEAD; /* the coordinator does not know it */
    assert_int_equal(ask(), GROUP_UNOWNED);
}

static void a_group_that_rebalances_is_moving(void **state)
{
    (void)state;
    scene.state = RD_KAFKA_CONSUMER_GROUP_STATE_PREPARING_REBALANCE;
    assert_int_equal(ask(), GROUP_MOVING);
    assert_why("consumer group: PreparingRebalance");
    scene.state = RD_KAFKA_CONSUMER_GROUP_STATE_COMPLETING_REBALANCE;
    assert_int_equal(ask(), GROUP_MOVING);
}

static void an_error_of_the_group_says_nothing_about_owners(void **state)
{
    (void)state;
    scene.group_error = rd_kafka_error_new(RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED, "not allowed");
    assert_int_equal(ask(), GROUP_MOVING);
    assert_why("consumer group: not allowed");
    rd_kafka_error_destroy(scene.group_error);
    scene.group_error = rd_kafka_error_new(RD_KAFKA_RESP_ERR__TIMED_OUT, "late");
    assert_int_equal(ask(), GROUP_SILENT);
}

static void a_coordinator_that_does_not_answer_is_silent(void **state)
{
    (void)state;
    scene.silent = true;
    assert_int_equal(ask(), GROUP_SILENT);
    assert_why("Kafka at kafka:9092 does not answer, coordinator of the consumer group: _TIMED_OUT");
    scene.silent = false;
    scene.event_error = RD_KAFKA_RESP_ERR__TRANSPORT;
    assert_int_equal(ask(), GROUP_SILENT);
    assert_why("_TRANSPORT");
}

static void a_broker_that_does_not_answer_is_silent(void **state)
{
    (void)state;
    scene.metadata_error = RD_KAFKA_RESP_ERR__TRANSPORT;
    assert_int_equal(ask(), GROUP_SILENT);
    assert_why("Kafka at kafka:9092 does not answer, orders: _TRANSPORT");
}

static void a_topic_that_is_not_there_leaves_the_owners_open(void **state)
{
    (void)state;
    scene.topic_error = RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    assert_int_equal(ask(), GROUP_MOVING);
    assert_why("topic orders: ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_partition_of_every_topic_has_an_owner, set_up, tear_down),
        cmocka_unit_test_setup_teardown(partitions_that_no_member_has_are_counted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_partition_of_another_topic_is_nothing_to_us, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_empty_group_owns_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_group_that_rebalances_is_moving, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_error_of_the_group_says_nothing_about_owners, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_coordinator_that_does_not_answer_is_silent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_broker_that_does_not_answer_is_silent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_topic_that_is_not_there_leaves_the_owners_open, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
