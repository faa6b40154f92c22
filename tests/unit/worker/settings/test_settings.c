/* Settings: what is accepted, where it comes from, and what a wrong one is told. */
#include "tests/fixtures/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/fixtures/environment.h"
#include "worker/settings/key.h"

static char file_name[] = "/tmp/interlock_settings_XXXXXX";

static int make_file(void **state)
{
    (void)state;
    int file = mkstemp(file_name);
    close(file);
    return file < 0;
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(file_name);
}

static int clear_environment(void **state)
{
    (void)state;
    return environment_clear();
}

static void write_file(const char *text, size_t size)
{
    FILE *file = fopen(file_name, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static bool load(const char *text, struct settings *ret, struct buffer *fault)
{
    write_file(text, strlen(text));
    return settings_load(ret, file_name, fault);
}

static struct settings load_good(const char *text)
{
    struct settings settings;
    struct buffer fault = BUFFER_EMPTY;
    bool good = load(text, &settings, &fault);
    if (!good)
        print_error("%.*s\n", (int)fault.size, fault.at);
    assert_true(good);
    assert_int_equal(fault.size, 0);
    return settings;
}

/* The message must contain "<file>:<line>: " when line > 0, and every further text up to NULL. */
static void refuses(const char *text, int line, ...)
{
    struct settings settings;
    struct buffer fault = BUFFER_EMPTY;
    char where[64];
    bool good = load(text, &settings, &fault);
    buffer_add_byte(&fault, '\0');
    if (good)
        print_error("accepted: %s\n", text);
    assert_false(good);
    snprintf(where, sizeof(where), "%s:%d: ", file_name, line);
    if (line > 0 && strncmp(fault.at, where, strlen(where)) != 0)
        fail_msg("no \"%s\" in \"%s\"", where, fault.at);
    va_list parts;
    va_start(parts, line);
    for (const char *part = va_arg(parts, const char *); part; part = va_arg(parts, const char *))
        if (!strstr(fault.at, part))
            fail_msg("no \"%s\" in \"%s\"", part, fault.at);
    va_end(parts);
    buffer_done(&fault);
}

static void refuses_environment(const char *name, const char *value, const char *part, const char *other)
{
    struct settings settings;
    struct buffer fault = BUFFER_EMPTY;
    setenv(name, value, 1);
    assert_false(settings_load(&settings, NULL, &fault));
    buffer_add_byte(&fault, '\0');
    unsetenv(name);
    if (!strstr(fault.at, part) || !strstr(fault.at, other))
        fail_msg("no \"%s\" or \"%s\" in \"%s\"", part, other, fault.at);
    buffer_done(&fault);
}

static void without_a_file_every_key_has_its_default(void **state)
{
    (void)state;
    struct settings settings;
    struct buffer fault = BUFFER_EMPTY;
    assert_true(settings_load(&settings, NULL, &fault));
    assert_string_equal(settings.kafka.group, "interlock");
    assert_true(settings.kafka.exactly_once);
    assert_int_equal(settings.worker.lanes, 4);
    assert_int_equal(settings.worker.batch_max, 1000);
    assert_int_equal(settings.worker.batch_linger_us, 10000);
    assert_int_equal(settings.consumers.in_flight_commands, 16384);
    assert_int_equal(settings.consumers.in_flight_bytes, 32 * 1024 * 1024);
    assert_int_equal(settings.consumers.session_timeout_us, 10000000);
    assert_int_equal(settings.consumers.drain_timeout_us, 10000000);
    assert_int_equal(settings.consumers.transaction_timeout_us, 10000000);
    assert_int_equal(settings.database.statement_timeout_us, 4000000);
    assert_int_equal(settings.database.lock_timeout_us, 2000000);
    assert_int_equal(settings.database.idle_in_transaction_timeout_us, 10000000);
    assert_int_equal(settings.redis.command_timeout_us, 500000);
    assert_string_equal(settings.http.listen, "127.0.0.1:9464");
    assert_true(settings.protections.inbox && settings.protections.fence && settings.protections.row_locks &&
                settings.protections.producer_guard && settings.protections.retry && settings.protections.redis_lock &&
                settings.protections.transaction && settings.protections.parking && settings.protections.quarantine &&
                settings.protections.steady_waits && settings.protections.standby &&
                settings.protections.session_terms && settings.protections.commit_marks &&
                settings.protections.topic_ids);
    settings_done(&settings);
}

static void the_lock_times_are_those_of_the_original(void **state)
{
    (void)state;
    static const int seconds[LOCK__COUNT][2] = {
        [LOCK_ATTENDANCE] = { 10, 5 },    [LOCK_FACE_VERIFICATION] = { 15, 10 },
        [LOCK_BEHAVIOUR] = { 20, 15 },    [LOCK_EMBEDDING] = { 10, 5 },
        [LOCK_JOB_WORKFLOW] = { 15, 10 }, [LOCK_PARENT_WITH_CHILDREN] = { 20, 15 },
        [LOCK_STATUS_CHANGE] = { 10, 5 },
    };
    struct settings settings = load_good("");
    for (int i = 0; i < LOCK__COUNT; i++)
    {
        assert_int_equal(settings.locks[i].lease_us, seconds[i][0] * 1000000);
        assert_int_equal(settings.locks[i].wait_us, seconds[i][1] * 1000000);
    }
    settings_done(&settings);
}

static void the_retry_policies_have_one_set_of_defaults(void **state)
{
    (void)state;
    struct settings settings = load_good("");
    for (int i = 0; i < RETRY__COUNT; i++)
    {
        assert_string_equal(settings.retries[i].name, retry_defaults[i].name);
        assert_int_equal(settings.retries[i].retries, retry_defaults[i].retries);
        assert_int_equal(settings.retries[i].first_us, retry_defaults[i].first_us);
        assert_int_equal(settings.retries[i].longest_us, retry_defaults[i].longest_us);
        assert_true(settings.retries[i].factor == retry_defaults[i].factor);
        assert_true(settings.retries[i].jitter == retry_defaults[i].jitter);
    }
    settings_done(&settings);
}

static void the_table_is_grouped_by_section_and_names_no_key_twice(void **state)
{
    (void)state;
    const struct settings_section *section = settings_sections;
    for (const struct settings_key *key = settings_keys; key->name; key++)
    {
        while (section->name && strcmp(section->name, key->section) != 0)
            section++;
        assert_non_null(section->name);
        for (const struct settings_key *other = settings_keys; other < key; other++)
            assert_false(strcmp(other->section, key->section) == 0 && strcmp(other->name, key->name) == 0);
    }
}

static void the_checked_in_file_is_the_printed_example(void **state)
{
    (void)state;
    struct buffer example = BUFFER_EMPTY;
    settings_print_example(&example);
    FILE *file = fopen("deploy/interlock.conf", "r");
    assert_non_null(file);
    char *text = calloc(1, example.size + 2);
    size_t size = fread(text, 1, example.size + 1, file);
    fclose(file);
    assert_int_equal(size, example.size);
    assert_memory_equal(text, example.at, size);
    free(text);
    buffer_done(&example);
}

static void the_printed_example_loads_and_is_all_defaults(void **state)
{
    (void)state;
    struct buffer example = BUFFER_EMPTY;
    settings_print_example(&example);
    buffer_add_byte(&example, '\0');
    struct settings from_file = load_good(example.at), from_nothing = load_good("");
    for (const struct settings_key *key = settings_keys; key->name; key++)
    {
        struct buffer one = BUFFER_EMPTY, other = BUFFER_EMPTY;
        settings_add_value(&from_file, key, &one);
        settings_add_value(&from_nothing, key, &other);
        assert_int_equal(one.size, other.size);
        if (one.size > 0)
            assert_memory_equal(one.at, other.at, one.size);
        buffer_done(&one);
        buffer_done(&other);
    }
    settings_done(&from_file);
    settings_done(&from_nothing);
    buffer_done(&example);
}

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
    assert_false(settings_load(&settings, file_name, &fault));
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
    assert_false(settings_load(&settings, file_name, &fault));
    buffer_clear(&fault);
    write_file(text, size - 1);
    assert_true(settings_load(&settings, file_name, &fault));
    settings_done(&settings);
    assert_int_equal(chmod(file_name, 0666), 0);
    assert_false(settings_load(&settings, file_name, &fault));
    buffer_add_byte(&fault, '\0');
    assert_non_null(strstr(fault.at, "chmod o-w"));
    assert_int_equal(chmod(file_name, 0600), 0);
    free(text);
    buffer_done(&fault);
}

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

static void what_kubernetes_adds_for_a_service_of_our_name_is_no_setting(void **state)
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

static void what_loads_code_is_refused_and_what_runs_a_command_is_told(void **state)
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

#define TEST(function) cmocka_unit_test_setup(function, clear_environment)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_a_file_every_key_has_its_default),
        TEST(the_lock_times_are_those_of_the_original),
        TEST(the_retry_policies_have_one_set_of_defaults),
        TEST(the_table_is_grouped_by_section_and_names_no_key_twice),
        TEST(the_checked_in_file_is_the_printed_example),
        TEST(the_printed_example_loads_and_is_all_defaults),
        TEST(every_kind_of_value_is_read),
        TEST(librdkafka_names_are_taken_verbatim_and_in_order),
        TEST(names_that_interlock_owns_are_refused_with_the_reason),
        TEST(numbers_that_libconfig_would_wrap_are_refused_as_written),
        TEST(values_out_of_range_are_refused_with_the_range),
        TEST(durations_and_sizes_need_their_unit),
        TEST(wrong_types_are_refused),
        TEST(unknown_keys_are_refused_with_the_known_ones),
        TEST(texts_that_name_nothing_usable_are_refused),
        TEST(wrong_urls_are_shown_without_their_password),
        TEST(includes_are_refused_before_libconfig_sees_them),
        TEST(text_that_is_no_settings_file_is_refused),
        TEST(a_key_that_stands_twice_is_named),
        TEST(only_a_small_regular_file_that_not_everybody_may_write_is_read),
        TEST(timeouts_must_nest),
        TEST(topics_must_not_feed_themselves),
        TEST(protections_can_be_switched_off_in_test_builds_only),
        TEST(the_environment_overrides_the_file),
        TEST(the_services_variables_stand_between_file_and_own_variables),
        TEST(wrong_variables_are_refused),
        TEST(an_empty_variable_of_a_service_is_refused),
        TEST(what_kubernetes_adds_for_a_service_of_our_name_is_no_setting),
        TEST(what_loads_code_is_refused_and_what_runs_a_command_is_told),
    };
    return cmocka_run_group_tests_name("settings", tests, make_file, remove_file);
}
