/* Values: which texts a key takes, and what is said of others. */
#include "tests/fixtures/settings_file.h"

#include <stdio.h>
#include <string.h>

#include "worker/settings/key.h"

static void every_kind_of_value_is_read(void **state)
{
    (void)state;
    struct settings settings = load_good("kafka: { group = \"g\"; delivery = \"at_least_once\"; topics = \"a,b.c\" };\n"
                                         "worker: { lanes = 64; batch_linger = \"50ms\" }\n"
                                         "consumers: { static = false, in_flight_bytes = \"1GiB\" };\n"
                                         "/* a comment\n over lines */ # and one\n// and one\n"
                                         "retries: { default: { retries = 0; factor = 1; jitter = 0.25; }; };\n"
                                         "locks: { status_change: { lease = \"1min\"; }; };\n"
                                         "redis: { url = \"unix:/run/redis.sock\"; };\n"
                                         "http: { listen = \"[::1]:0\"; };");
    assert_string_equal(settings.kafka.group, "g");
    assert_false(settings.kafka.exactly_once);
    assert_string_equal(settings.kafka.topics, "a,b.c");
    assert_int_equal(settings.worker.lanes, 64);
    assert_int_equal(settings.worker.batch_linger_us, 50000);
    assert_false(settings.consumers.static_membership);
    assert_int_equal(settings.consumers.in_flight_bytes, 1024 * 1024 * 1024);
    assert_int_equal(settings.retries[RETRY_DEFAULT].retries, 0);
    assert_true(settings.retries[RETRY_DEFAULT].factor == 1);
    assert_true(settings.retries[RETRY_DEFAULT].jitter == 0.25);
    assert_int_equal(settings.locks[LOCK_STATUS_CHANGE].lease_us, 60000000);
    assert_string_equal(settings.http.listen, "[::1]:0");
    settings_done(&settings);
}

static void librdkafka_names_are_taken_verbatim_and_in_order(void **state)
{
    (void)state;
    struct settings settings = load_good("kafka: { consumer = { fetch.min.bytes = 1; debug = \"all\"; a.b = true;\n"
                                         " big = 99999999999; f = 1.50; }; producer = { linger.ms = \"0\" } };");
    static const char *const pairs[][2] = {
        { "fetch.min.bytes", "1" }, { "debug", "all" }, { "a.b", "true" }, { "big", "99999999999" }, { "f", "1.50" },
    };
    assert_int_equal(settings.kafka.consumer.count, 5);
    for (int i = 0; i < 5; i++)
    {
        assert_string_equal(settings.kafka.consumer.at[i].name, pairs[i][0]);
        assert_string_equal(settings.kafka.consumer.at[i].value, pairs[i][1]);
    }
    assert_string_equal(settings_find_pair(&settings.kafka.producer, "linger.ms"), "0");
    assert_null(settings_find_pair(&settings.kafka.producer, "acks"));
    settings_done(&settings);
}

static void names_that_interlock_owns_are_refused_with_the_reason(void **state)
{
    (void)state;
    static const char *const names[] = {
        "group.id",           "enable.auto.commit",     "transactional.id",
        "isolation.level",    "auto.offset.reset",      "partition.assignment.strategy",
        "group.instance.id",  "enable.idempotence",     "bootstrap.servers",
        "session.timeout.ms", "transaction.timeout.ms",
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
    {
        char text[128];
        snprintf(text, sizeof(text), "kafka: {\n consumer = {\n  %s = \"x\"; }; };", names[i]);
        refuses(text, 3, "kafka.consumer.", names[i], settings_owned_name(names[i]), NULL);
    }
}

static void values_out_of_range_are_refused_with_the_range(void **state)
{
    (void)state;
    refuses("worker: { lanes = 0; };", 1, "worker.lanes = 0", "1 to 64", NULL);
    refuses("worker: { lanes = 65; };", 1, "worker.lanes = 65", "1 to 64", NULL);
    refuses("worker:\n{\n batch_linger = \"51ms\"; };", 3, "worker.batch_linger = \"51ms\"", "\"0ms\" to \"50ms\"",
            NULL);
    refuses("consumers: { in_flight_bytes = \"1KiB\"; };", 1, "64KiB", NULL);
}

static void durations_and_sizes_need_their_unit(void **state)
{
    (void)state;
    static const char *const wrong[] = { "\"5\"",
                                         "5",
                                         "5s",
                                         "\"5 s\"",
                                         "\"5S\"",
                                         "\"1.5s\"",
                                         "\"-5s\"",
                                         "\"s\"",
                                         "\"\"",
                                         "\"05s\"",
                                         "\"9223372036854775807h\"",
                                         "\"5KiB\"",
                                         "true" };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
    {
        char text[128];
        snprintf(text, sizeof(text), "database:\n{\n connect_timeout = %s;\n};", wrong[i]);
        refuses(text, 3, "database.connect_timeout", "us, ms, s, min, h", NULL);
    }
    refuses("consumers: { in_flight_bytes = \"32MB\"; };", 1, "B, KiB, MiB, GiB", NULL);
}

static void wrong_types_are_refused(void **state)
{
    (void)state;
    refuses("worker: { lanes = \"4\"; };", 1, "worker.lanes = \"4\"", NULL);
    refuses("worker: { lanes = [ 1, 2 ]; };", 1, "worker.lanes = a list", NULL);
    refuses("worker: { lanes = { }; };", 1, "worker.lanes = a group", NULL);
    refuses("redis: { enabled = \"true\"; };", 1, "redis.enabled", "true, false", NULL);
    refuses("log: { level = true; };", 1, "log.level = true", "\"warning\"", NULL);
    refuses("kafka: { group = 5; };", 1, "kafka.group = 5", NULL);
    refuses("kafka: { consumer = \"x\"; };", 1, "kafka.consumer", "a group", NULL);
    refuses("kafka: { consumer = { a = ( 1 ); }; };", 1, "kafka.consumer.a", NULL);
    refuses("locks = 5;", 1, "locks", "a group", "status_change", NULL);
}

static void unknown_keys_are_refused_with_the_known_ones(void **state)
{
    (void)state;
    refuses("worker:\n{\n lane = 4;\n};", 3, "worker.lane", "lanes, batch_max, batch_linger", NULL);
    refuses("\nwrker: { };", 2, "wrker", "kafka, database, redis", NULL);
    refuses("locks: { status_chang: { }; };", 1, "locks.status_chang", "status_change", NULL);
    refuses("locks: { status_change: { leas = 1; }; };", 1, "locks.status_change.leas", "lease, wait", NULL);
    refuses("locks.status_change: { };", 1, "locks.status_change", NULL);
    refuses("lanes = 4;", 1, "lanes", NULL);
}

static void texts_that_name_nothing_usable_are_refused(void **state)
{
    (void)state;
    refuses("kafka: { topics = \"a,a\"; };", 1, "kafka.topics", "different", NULL);
    refuses("kafka: { topics = \"a, b\"; };", 1, "kafka.topics", NULL);
    refuses("kafka: { topics = \"a,\"; };", 1, "kafka.topics", NULL);
    refuses("kafka: { topics = \"..\"; };", 1, "kafka.topics", NULL);
    refuses("kafka: { group = \"a/b\"; };", 1, "kafka.group", NULL);
    refuses("kafka: { bootstrap = \"\"; };", 1, "kafka.bootstrap", NULL);
    refuses("database: { url = \"mysql://h/d\"; };", 1, "database.url", "postgresql://", NULL);
    refuses("http: { listen = \"127.0.0.1\"; };", 1, "http.listen", "host:port", NULL);
    refuses("http: { listen = \"127.0.0.1:65536\"; };", 1, "http.listen", NULL);
    refuses("redis: { url = \"rediss://h:1\"; };", 1, "redis.url", "no TLS", NULL);
}

static void wrong_urls_are_shown_without_their_password(void **state)
{
    (void)state;
    struct settings settings;
    struct buffer fault = BUFFER_EMPTY;
    assert_false(load("redis: { url = \"rediss://:hunter2@h:1\"; };", &settings, &fault));
    buffer_add_byte(&fault, '\0');
    assert_null(strstr(fault.at, "hunter2"));
    assert_non_null(strstr(fault.at, "redis.url = \"***\""));
    buffer_done(&fault);
}

#define TEST(function) cmocka_unit_test_setup(function, environment_set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_kind_of_value_is_read),
        TEST(librdkafka_names_are_taken_verbatim_and_in_order),
        TEST(names_that_interlock_owns_are_refused_with_the_reason),
        TEST(values_out_of_range_are_refused_with_the_range),
        TEST(durations_and_sizes_need_their_unit),
        TEST(wrong_types_are_refused),
        TEST(unknown_keys_are_refused_with_the_known_ones),
        TEST(texts_that_name_nothing_usable_are_refused),
        TEST(wrong_urls_are_shown_without_their_password),
    };
    return cmocka_run_group_tests(tests, settings_file_make, settings_file_remove);
}
