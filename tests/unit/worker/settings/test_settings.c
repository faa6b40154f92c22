/* Where settings come from: the file as it is read, and the environment above it. */
#include "tests/fixtures/settings_file.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "worker/settings/key.h"

static void numbers_that_libconfig_would_wrap_are_refused_as_written(void **state)
{
    (void)state;
    refuses("worker:\n{\n lanes = 4294967300;\n};", 3, "worker.lanes = 4294967300", "1 to 64", NULL);
    refuses("worker: { lanes = 99999999999999999999999L; };", 1, "99999999999999999999999L", "1 to 64", NULL);
    refuses("worker: { lanes = 0x4; };", 1, "= 0x4", "1 to 64", NULL);
    refuses("worker: { lanes = -1; };", 1, "= -1", "1 to 64", NULL);
    refuses("worker: { lanes = 4.0; };", 1, "= 4.0", "1 to 64", NULL);
    refuses("worker: { lanes = 04; };", 1, "= 04", "1 to 64", NULL);
    refuses("worker: { lanes = 1e1; };", 1, "= 1e1", "1 to 64", NULL);
    refuses("retries: { default: { factor = 1e9; }; };", 1, "retries.default.factor", "1 to 10", NULL);
}

static void includes_are_refused_before_libconfig_sees_them(void **state)
{
    (void)state;
    refuses("@include \"/etc/passwd\"\n", 1, "@include", "one file", NULL);
    refuses("worker: { };\n  @include \".\"\n", 2, "@include", NULL);
    struct settings settings = load_good("# @include \"x\"\nkafka: { consumer = { a = \"@include\"; }; };");
    assert_string_equal(settings_find_pair(&settings.kafka.consumer, "a"), "@include");
    settings_done(&settings);
}

static void text_that_is_no_settings_file_is_refused(void **state)
{
    (void)state;
    refuses("worker: {\n lanes = ;\n};", 2, "syntax error", NULL);
    refuses("worker: { lanes = 4 4; };", 1, "worker.lanes", NULL);
    refuses("a = \"x\n\";", 1, "\" is missing", NULL);
    refuses("\n/* x", 2, "*/ is missing", NULL);
    refuses("a = \"\\x01\";", 1, "backslash", NULL);
    refuses("a = $;", 1, "unexpected '$'", NULL);
    refuses("a*b = 1;", 1, "unexpected '*'", NULL);
    refuses("a = \"\x80\";", 1, "UTF-8", NULL);
    refuses("}", 1, "closing bracket", NULL);
    refuses("a={b={c={d={e={f={g={h={i={", 1, "too deep", NULL);
    struct settings settings;
    struct buffer fault = BUFFER_EMPTY;
    write_file("worker: { lanes = 4; };\0", 24);
    assert_false(settings_load(&settings, settings_file_name, &fault));
    buffer_done(&fault);
}

static void a_key_that_stands_twice_is_named(void **state)
{
    (void)state;
    refuses("worker: { lanes = 4; lanes = 5; };", 1, "worker.lanes:", "second time", NULL);
    refuses("worker: { };\nlog: { };\nworker: { };", 3, " worker:", NULL);
    refuses("kafka: { consumer = { a.b = 1;\n a.b = 2; }; };", 2, "kafka.consumer.a.b:", NULL);
    refuses("locks: { a: { lease = \"1s\"; }; b: { lease = \"1s\"; lease = \"2s\"; }; };", 1, "locks.b.lease:", NULL);
    struct settings settings = load_good("kafka: { consumer = { a = true; b = true; }; producer = { a = true; }; };\n"
                                         "locks: { embedding: { lease = \"9s\" }; attendance: { lease = \"9s\" }; };");
    settings_done(&settings);
}

static void only_a_small_regular_file_that_not_everybody_may_write_is_read(void **state)
{
    (void)state;
    struct settings settings;
    struct buffer fault = BUFFER_EMPTY;
    assert_false(settings_load(&settings, "/nowhere/interlock.conf", &fault));
    buffer_clear(&fault);
    assert_false(settings_load(&settings, "/tmp", &fault));
    buffer_clear(&fault);
    assert_false(settings_load(&settings, "/dev/null", &fault));
    buffer_clear(&fault);
    size_t size = 1024 * 1024 + 1;
    char *text = malloc(size);
    memset(text, '\n', size);
    write_file(text, size);
    assert_false(settings_load(&settings, settings_file_name, &fault));
    buffer_clear(&fault);
    write_file(text, size - 1);
    assert_true(settings_load(&settings, settings_file_name, &fault));
    settings_done(&settings);
    assert_int_equal(chmod(settings_file_name, 0666), 0);
    assert_false(settings_load(&settings, settings_file_name, &fault));
    buffer_add_byte(&fault, '\0');
    assert_non_null(strstr(fault.at, "chmod o-w"));
    assert_int_equal(chmod(settings_file_name, 0600), 0);
    free(text);
    buffer_done(&fault);
}

static void the_environment_overrides_the_file(void **state)
{
    (void)state;
    setenv("INTERLOCK_WORKER_LANES", "7", 1);
    setenv("INTERLOCK_LOCKS_STATUS_CHANGE_LEASE", "30s", 1);
    setenv("INTERLOCK_RETRIES_DATABASE_OPERATION_JITTER", "0.5", 1);
    setenv("INTERLOCK_CONSUMERS_STATIC", "false", 1);
    setenv("INTERLOCK_KAFKA_CONSUMER_SASL_PASSWORD", "p", 1);
    setenv("INTERLOCK_KAFKA_CONSUMER_FETCH_MIN_BYTES", "2", 1);
    setenv("INTERLOCK_STACK_DIR", "/x", 1);
    struct settings settings = load_good("worker: { lanes = 2; };\nkafka: { consumer = { fetch.min.bytes = 1; }; };");
    environment_clear();
    assert_int_equal(settings.worker.lanes, 7);
    assert_int_equal(settings.locks[LOCK_STATUS_CHANGE].lease_us, 30000000);
    assert_true(settings.retries[RETRY_DATABASE_OPERATION].jitter == 0.5);
    assert_false(settings.consumers.static_membership);
    assert_string_equal(settings_find_pair(&settings.kafka.consumer, "sasl.password"), "p");
    assert_string_equal(settings_find_pair(&settings.kafka.consumer, "fetch.min.bytes"), "2");
    settings_done(&settings);
}

static void the_services_variables_stand_between_file_and_own_variables(void **state)
{
    (void)state;
    setenv("DATABASE_URL", "postgresql://service/d", 1);
    setenv("KAFKA_BOOTSTRAP", "service:1", 1);
    setenv("INTERLOCK_KAFKA_BOOTSTRAP", "own:1", 1);
    struct settings settings = load_good("database: { url = \"postgresql://file/d\"; };\n"
                                         "redis: { url = \"redis://file\"; };");
    environment_clear();
    assert_string_equal(settings.database.url, "postgresql://service/d");
    assert_string_equal(settings.kafka.bootstrap, "own:1");
    assert_string_equal(settings.redis.url, "redis://file");
    settings_done(&settings);
}

static void wrong_variables_are_refused(void **state)
{
    (void)state;
    refuses_environment("INTERLOCK_WORKER_LANE", "4", "INTERLOCK_WORKER_LANE", "no such setting");
    refuses_environment("INTERLOCK_WORKER_LANES", "x", "INTERLOCK_WORKER_LANES (worker.lanes) = \"x\"", "1 to 64");
    refuses_environment("INTERLOCK_", "x", "INTERLOCK_", "no such setting");
    refuses_environment("INTERLOCK_KAFKA_CONSUMER_GROUP_ID", "x", "group.id", "kafka.group");
    refuses_environment("DATABASE_URL", "mysql://u:hunter2@h", "DATABASE_URL", "***");
}

static void an_empty_variable_of_a_service_is_refused(void **state)
{
    (void)state;
    refuses_environment("DATABASE_URL", "", "environment: DATABASE_URL", "postgresql://");
    refuses_environment("KAFKA_BOOTSTRAP", "", "environment: KAFKA_BOOTSTRAP", "host:port");
    refuses_environment("REDIS_URL", "", "environment: REDIS_URL", "redis://");
}

static void variables_of_kubernetes_for_a_service_of_our_name_are_not_settings(void **state)
{
    static const char *const links[][2] = {
        { "INTERLOCK_PORT", "tcp://10.0.0.1:9464" },
        { "INTERLOCK_PORT_9464_TCP", "tcp://10.0.0.1:9464" },
        { "INTERLOCK_PORT_9464_TCP_PROTO", "tcp" },
        { "INTERLOCK_PORT_9464_TCP_PORT", "9464" },
        { "INTERLOCK_PORT_9464_TCP_ADDR", "10.0.0.1" },
        { "INTERLOCK_SERVICE_HOST", "10.0.0.1" },
        { "INTERLOCK_SERVICE_PORT", "9464" },
        { "INTERLOCK_SERVICE_PORT_HTTP", "9464" },
        { "INTERLOCK_HTTP_PORT", "tcp://10.0.0.1:9464" },
        { "INTERLOCK_KAFKA_CONSUMER_PORT", "tcp://10.0.0.1:9092" },
        { "INTERLOCK_KAFKA_CONSUMER_SERVICE_HOST", "10.0.0.1" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
    {
        setenv(links[i][0], links[i][1], 1);
        struct settings settings = load_good("");
        struct span warnings = settings_warnings(&settings);
        assert_non_null(memmem(warnings.at, warnings.size, links[i][0], strlen(links[i][0])));
        assert_int_equal(settings.kafka.consumer.count, 0);
        settings_done(&settings);
        environment_clear();
    }
    refuses_environment("INTERLOCK_PORT", "9464", "INTERLOCK_PORT", "no such setting");
}

#define TEST(function) cmocka_unit_test_setup(function, environment_set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(numbers_that_libconfig_would_wrap_are_refused_as_written),
        TEST(includes_are_refused_before_libconfig_sees_them),
        TEST(text_that_is_no_settings_file_is_refused),
        TEST(a_key_that_stands_twice_is_named),
        TEST(only_a_small_regular_file_that_not_everybody_may_write_is_read),
        TEST(the_environment_overrides_the_file),
        TEST(the_services_variables_stand_between_file_and_own_variables),
        TEST(wrong_variables_are_refused),
        TEST(an_empty_variable_of_a_service_is_refused),
        TEST(variables_of_kubernetes_for_a_service_of_our_name_are_not_settings),
    };
    return cmocka_run_group_tests(tests, settings_file_make, settings_file_remove);
}
