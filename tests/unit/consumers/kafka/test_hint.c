#include "tests/fixtures/cmocka.h"

#include <string.h>

#include "consumers/kafka/hint.h"

static char audit[] = "audit";

static void a_problem_that_an_operator_must_solve_has_a_hint(void **state)
{
    (void)state;
    assert_non_null(strstr(hint_for_error(RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE), "max.message.bytes"));
    assert_non_null(strstr(hint_for_error(RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART), "interlock topics create"));
    assert_non_null(strstr(hint_for_error(RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED), "grant our user Write"));
    assert_non_null(strstr(hint_for_error(RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS), "min.insync.replicas"));
}

static void a_problem_that_passes_by_itself_has_no_hint(void **state)
{
    (void)state;
    assert_string_equal(hint_for_error(RD_KAFKA_RESP_ERR_NOT_COORDINATOR), "");
    assert_string_equal(hint_for_error(RD_KAFKA_RESP_ERR__TRANSPORT), "");
}

static void a_topic_in_good_health_explains_nothing(void **state)
{
    struct rd_kafka_metadata_partition partitions[] = { { .id = 0, .leader = 1, .replica_cnt = 3, .isr_cnt = 3 } };
    struct rd_kafka_metadata_topic topic = { .topic = audit, .partition_cnt = 1, .partitions = partitions };
    char why[200];
    (void)state;

    hint_for_topic(&topic, why, sizeof(why));
    assert_string_equal(why, "");
}

static void a_partition_with_too_few_replicas_is_named(void **state)
{
    struct rd_kafka_metadata_partition partitions[] = { { .id = 0, .leader = 1, .replica_cnt = 3, .isr_cnt = 3 },
                                                        { .id = 1, .leader = 1, .replica_cnt = 3, .isr_cnt = 1 } };
    struct rd_kafka_metadata_topic topic = { .topic = audit, .partition_cnt = 2, .partitions = partitions };
    char why[200];
    (void)state;

    hint_for_topic(&topic, why, sizeof(why));
    assert_non_null(strstr(why, "partition 1 of topic audit has 1 of 3 replicas in sync; start brokers"));
}

static void a_partition_without_a_leader_is_named(void **state)
{
    struct rd_kafka_metadata_partition partitions[] = { { .id = 0, .leader = -1, .replica_cnt = 3, .isr_cnt = 1 } };
    struct rd_kafka_metadata_topic topic = { .topic = audit, .partition_cnt = 1, .partitions = partitions };
    char why[200];
    (void)state;

    hint_for_topic(&topic, why, sizeof(why));
    assert_non_null(strstr(why, "partition 0 of topic audit has no leader"));
}

static void a_missing_topic_is_named(void **state)
{
    struct rd_kafka_metadata_topic topic = { .topic = audit, .err = RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART };
    char why[200];
    (void)state;

    hint_for_topic(&topic, why, sizeof(why));
    assert_non_null(strstr(why, "topic audit: Broker: Unknown topic or partition; make the topic"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_problem_that_an_operator_must_solve_has_a_hint),
        cmocka_unit_test(a_problem_that_passes_by_itself_has_no_hint),
        cmocka_unit_test(a_topic_in_good_health_explains_nothing),
        cmocka_unit_test(a_partition_with_too_few_replicas_is_named),
        cmocka_unit_test(a_partition_without_a_leader_is_named),
        cmocka_unit_test(a_missing_topic_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
