#include "tests/fixtures/cmocka.h"

#include <string.h>

#include "consumers/kafka/acls.h"
#include "worker/settings/settings.h"

static struct
{
    struct settings settings;
    struct buffer text;
} scene;

static char bootstrap[] = "kafka-1:9092,kafka-2:9092", group[] = "pool", topics[] = "orders, tickets",
            audit[] = "audit", suffix[] = ".dlq";

static int set_up(void **state)
{
    (void)state;
    memset(&scene, 0, sizeof(scene));
    scene.text = BUFFER_EMPTY;
    scene.settings.kafka.bootstrap = bootstrap;
    scene.settings.kafka.group = group;
    scene.settings.kafka.topics = topics;
    scene.settings.kafka.audit_topic = audit;
    scene.settings.kafka.dlq_suffix = suffix;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    buffer_done(&scene.text);
    return 0;
}

static const char *print(bool json)
{
    buffer_clear(&scene.text);
    acls_print(&scene.settings, json, &scene.text);
    buffer_add_byte(&scene.text, '\0');
    return scene.text.at;
}

static const char *missing(enum acl_right right, enum acl_resource resource, const char *topic)
{
    buffer_clear(&scene.text);
    acls_add_missing(&scene.settings, right, resource, topic, &scene.text);
    buffer_add_byte(&scene.text, '\0');
    return scene.text.at;
}

static void assert_has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("without \"%s\":\n%s", part, text);
}

static int count(const char *text, const char *part)
{
    int found = 0;
    for (const char *at = text; (at = strstr(at, part)) != NULL; at += strlen(part))
        found++;
    return found;
}

#define ADD "kafka-acls.sh --bootstrap-server kafka-1:9092,kafka-2:9092 --add --allow-principal User:"

static void every_role_has_its_lines_under_one_comment(void **state)
{
    const char *text = print(false);
    (void)state;

    assert_int_equal(count(text, "# "), 5);
    assert_has(text, "# worker: run, check, audit verify --repair\n" ADD
                     "interlock_worker --operation Read --topic orders\n" ADD
                     "interlock_worker --operation Read --topic tickets\n");
    assert_has(text, ADD "interlock_worker --operation Read --group pool\n");
    assert_has(text, "# publisher: ");
    assert_has(text, ADD "interlock_reader --operation Read --topic audit\n");
    assert_has(text, ADD "interlock_operator --operation DescribeConfigs --topic tickets.dlq\n");
}

static void a_topic_is_granted_by_its_own_name(void **state)
{
    char one[] = ",orders,";
    const char *text;
    (void)state;

    scene.settings.kafka.topics = one;
    text = print(false);
    assert_int_equal(count(text, "--topic orders.dlq\n"), 5);
    assert_int_equal(count(text, "--topic \n") + count(text, "--topic ''"), 0);
}

static void transactional_ids_and_reader_groups_are_granted_by_prefix(void **state)
{
    const char *text = print(false);
    (void)state;

    assert_has(text, ADD "interlock_worker --operation Write --resource-pattern-type prefixed --transactional-id "
                         "interlock.pool.\n");
    assert_has(text, ADD "interlock_reader --operation Read --resource-pattern-type prefixed --group pool.\n");
    assert_int_equal(count(text, "prefixed"), 2);
}

static void a_name_with_signs_of_the_shell_is_one_word(void **state)
{
    char strange[] = "it's $HOME";
    (void)state;

    scene.settings.kafka.group = strange;
    assert_has(print(false), "--group 'it'\\''s $HOME'\n");
}

static void json_has_the_same_lines(void **state)
{
    int lines = count(print(false), ADD);
    const char *text = print(true);
    (void)state;

    assert_int_equal(count(text, "{\"role\":"), lines);
    assert_has(
        text, "{\"acls\":[\n{\"role\":\"worker\",\"operation\":\"Read\",\"why\":\"to take commands\",\"command\":\"" ADD
              "interlock_worker --operation Read --topic orders\"},\n");
    assert_has(text, "\n]}\n");
}

static void a_missing_right_says_what_for_and_how_to_grant_it(void **state)
{
    (void)state;
    assert_string_equal(missing(ACL_READ, ACL_COMMANDS, "orders"),
                        "no right to read topic orders (to take commands): " ADD
                        "interlock_worker --operation Read --topic orders");
    assert_has(missing(ACL_READ, ACL_GROUP, NULL), "no right to read group pool (to join the consumer group");
    assert_has(missing(ACL_WRITE, ACL_TRANSACTIONAL_IDS, NULL),
               "no right to use transactional ids that begin with interlock.pool. (to publish exactly once)");
}

static void the_user_of_the_line_is_the_one_that_logs_in(void **state)
{
    char name[] = "sasl.username", alice[] = "alice", bob[] = "bob";
    struct settings_pair consumer = { name, alice }, producer = { name, bob };
    (void)state;
    scene.settings.kafka.consumer = (struct settings_pairs){ &consumer, 1 };
    scene.settings.kafka.producer = (struct settings_pairs){ &producer, 1 };
    assert_has(missing(ACL_READ, ACL_AUDIT, NULL), "--allow-principal User:alice ");
    assert_has(missing(ACL_WRITE, ACL_AUDIT, NULL), "--allow-principal User:bob ");
    assert_has(missing(ACL_READ, ACL_TRANSACTIONAL_IDS, NULL), "--allow-principal User:bob ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_role_has_its_lines_under_one_comment, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_topic_is_granted_by_its_own_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(transactional_ids_and_reader_groups_are_granted_by_prefix, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_name_with_signs_of_the_shell_is_one_word, set_up, tear_down),
        cmocka_unit_test_setup_teardown(json_has_the_same_lines, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_missing_right_says_what_for_and_how_to_grant_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_user_of_the_line_is_the_one_that_logs_in, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
