/* Settings that are each right and do not go together. */
#include "tests/fixtures/settings_file.h"

#include <string.h>

static void timeouts_must_nest(void **state)
{
    (void)state;
    refuses("database:\n{\n lock_timeout = \"4s\"; };", 3, "database.lock_timeout (4s)", "statement_timeout (4s)",
            NULL);
    refuses("locks: { embedding: { lease = \"8s\"; }; };", 0, "statement_timeout (4s)", "lease (4s)", NULL);
    refuses("kafka: { consumer = { max.poll.interval.ms = 10000; }; };", 1, "max.poll.interval.ms", "drain_timeout",
            NULL);
    refuses("kafka: { producer = { message.timeout.ms = 10001; }; };", 1, "message.timeout.ms", NULL);
    struct settings settings = load_good("database: { lock_timeout = \"3999ms\"; };\n"
                                         "locks: { embedding: { lease = \"8001ms\"; }; };\n"
                                         "kafka: { producer = { message.timeout.ms = 10000; }; };");
    settings_done(&settings);
}

static void topics_must_not_feed_themselves(void **state)
{
    (void)state;
    refuses("kafka:\n{\n audit_topic = \"x\"; topics = \"a,x\"; };", 3, "kafka.audit_topic", NULL);
    refuses("kafka: { topics = \"a.dlq\"; };", 1, "a.dlq", "dead letters", NULL);
}

static void protections_can_be_switched_off_in_test_builds_only(void **state)
{
    (void)state;
#ifdef INTERLOCK_TEST_BUILD
    struct settings settings = load_good("protections: { fence = false; };");
    assert_false(settings.protections.fence);
    assert_string_equal(settings_protection_off(&settings), "fence");
    settings_done(&settings);
#else
    refuses("protections:\n{\n fence = false; };", 3, "protections.fence = false", NULL);
    refuses_environment("INTERLOCK_PROTECTIONS_INBOX", "false", "protections.inbox", "environment");
#endif
}

static void settings_that_load_code_are_refused_and_those_that_run_a_command_are_reported(void **state)
{
    (void)state;
    refuses("kafka: { consumer = { ssl.engine.location = \"/x.so\"; }; };", 1, "ssl.engine.location", "no further code",
            NULL);
    refuses("kafka: { producer = { ssl.providers = \"x\"; }; };", 1, "ssl.providers", "no further code", NULL);
    refuses("kafka: { consumer = { plugin.library.paths = \"x\"; }; };", 1, "plugin.library.paths", NULL);
    struct settings settings = load_good("kafka: { consumer = { sasl.kerberos.kinit.cmd = \"id\"; }; };");
    struct span warnings = settings_warnings(&settings);
    assert_non_null(memmem(warnings.at, warnings.size, "sasl.kerberos.kinit.cmd", 23));
    settings_done(&settings);
}

#define TEST(function) cmocka_unit_test_setup(function, environment_set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(timeouts_must_nest),
        TEST(topics_must_not_feed_themselves),
        TEST(protections_can_be_switched_off_in_test_builds_only),
        TEST(settings_that_load_code_are_refused_and_those_that_run_a_command_are_reported),
    };
    return cmocka_run_group_tests(tests, settings_file_make, settings_file_remove);
}
