/* Settings for people: where each value came from, and never a secret. */
#include "tests/fixtures/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "tests/fixtures/environment.h"
#include "worker/settings/settings.h"

static struct settings load(const char *file)
{
    struct settings settings;
    struct buffer fault = BUFFER_EMPTY;
    bool good = settings_load(&settings, file, &fault);
    if (!good)
        print_error("%.*s\n", (int)fault.size, fault.at);
    assert_true(good);
    return settings;
}

static char *print(const struct settings *settings, bool json)
{
    struct buffer text = BUFFER_EMPTY;
    size_t size;
    settings_print(settings, json, &text);
    buffer_add_byte(&text, '\0');
    assert_false(buffer_failed(&text));
    return buffer_take(&text, &size);
}

static void printed_settings_say_where_each_value_came_from(void **state)
{
    (void)state;
    static const char text[] = "\nworker: { lanes = 2; };\n";
    char name[] = "/tmp/interlock_print_XXXXXX", expected[128];
    int file = mkstemp(name);
    assert_int_equal(write(file, text, sizeof(text) - 1), sizeof(text) - 1);
    close(file);
    setenv("INTERLOCK_WORKER_BATCH_MAX", "5", 1);
    setenv("REDIS_URL", "redis://h:1", 1);
    struct settings settings = load(name);
    char *printed = print(&settings, false);
    snprintf(expected, sizeof(expected), "worker.lanes = 2   (%s:2)\n", name);
    assert_non_null(strstr(printed, expected));
    assert_non_null(strstr(printed, "worker.batch_max = 5   (environment)\n"));
    assert_non_null(strstr(printed, "redis.url = redis://h:1   (service variable)\n"));
    assert_non_null(strstr(printed, "database.lock_timeout = 2s   (default)\n"));
    free(printed);
    settings_done(&settings);
    unlink(name);
}

static void printed_json_has_every_key_with_value_default_and_origin(void **state)
{
    (void)state;
    setenv("INTERLOCK_KAFKA_CONSUMER_CLIENT_ID", "\"quoted\"", 1);
    struct settings settings = load(NULL);
    char *printed = print(&settings, true);
    json_t *root = json_loads(printed, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(root);
    json_t *rows = json_object_get(root, "settings"), *row;
    size_t at, quoted = 0;
    assert_true(json_array_size(rows) > 70);
    json_array_foreach(rows, at, row)
    {
        assert_true(json_is_string(json_object_get(row, "key")) && json_is_string(json_object_get(row, "value")));
        assert_true(json_is_string(json_object_get(row, "from")) && json_is_string(json_object_get(row, "says")));
        quoted += strcmp(json_string_value(json_object_get(row, "value")), "client.id=\"quoted\"") == 0;
    }
    assert_int_equal(quoted, 1);
    json_decref(root);
    free(printed);
    settings_done(&settings);
}

static void printed_settings_hide_secrets(void **state)
{
    (void)state;
    setenv("DATABASE_URL", "postgresql://u:hunter2@h/d?sslpassword=hunter2&sslmode=require", 1);
    setenv("REDIS_URL", "redis://:hunter2@h:1", 1);
    setenv("INTERLOCK_KAFKA_CONSUMER_SASL_PASSWORD", "hunter2", 1);
    setenv("INTERLOCK_KAFKA_CONSUMER_SSL_KEY_PEM", "hunter2", 1);
    setenv("INTERLOCK_KAFKA_PRODUCER_SSL_KEYSTORE_PASSWORD", "hunter2", 1);
    setenv("INTERLOCK_KAFKA_PRODUCER_CLIENT_ID", "shown", 1);
    struct settings settings = load(NULL);
    for (int json = 0; json < 2; json++)
    {
        char *printed = print(&settings, json);
        assert_null(strstr(printed, "hunter2"));
        assert_non_null(strstr(printed, "shown"));
        assert_non_null(strstr(printed, "postgresql://u:***@h/d?sslmode=require&sslpassword=***"));
        free(printed);
    }
    settings_done(&settings);
}

static void a_password_is_hidden_wherever_a_url_may_carry_it(void **state)
{
    (void)state;
    static const char *const urls[][2] = {
        { "postgresql://u:p@h/d", "postgresql://u:***@h/d" },
        { "postgres://u:p%40x%2Fy@h:1/d", "postgresql://u:***@h:1/d" },
        { "postgresql://u:p#x?y@h/d", "postgresql://u:***@h/d" },
        { "postgresql://:p@h/d", "postgresql://:***@h/d" },
        { "postgresql://u:p@x@h/d", "***" },
        { "postgresql://u:p/x@h/d", "***" },
        { "postgresql://u:1/p@h/d", "***" },
        { "postgresql://u:p%zz@h/d", "***" },
        { "postgresql://u@h/d?password=p", "postgresql://u:***@h/d" },
        { "postgresql://u@h/d?pass%77ord=p", "postgresql://u:***@h/d" },
        { "postgresql://u@h/d?%70assword=p&sslmode=disable", "postgresql://u:***@h/d?sslmode=disable" },
        { "postgresql://u@h/d?sslpassword=p", "postgresql://u@h/d?sslpassword=***" },
        { "postgresql://u@h/d?PassWord=p", "***" },
        { "postgresql://u@h/d?pasword=p", "***" },
        { "postgresql://u:p", "***" },
        { "postgresql://a:1,b:2/d?target_session_attrs=any", "postgresql://a:1,b:2/d?target_session_attrs=any" },
        { "postgresql://a,b:2/d", "postgresql://a,b:2/d" },
        { "postgresql://[::1]:7/d", "postgresql://[::1]:7/d" },
        { "postgresql://%2Frun%2Fpg/d", "postgresql://%2Frun/pg/d" },
        { "postgresql:///d", "postgresql:///d" },
        { "host=h password=p user=u", "***" },
        { "mysql://u:p@h/d", "***" },
        { "redis://:p@h", "redis://***@h" },
        { "redis://:p:q@h", "redis://***@h" },
        { "redis://u:p@q/r#s?t@h:1/2", "redis://***@h:1/2" },
        { "redis://p@h", "***" },
        { "redis://:p%zz@h", "***" },
        { "redis://u:p", "***" },
        { "rediss://:p@h", "***" },
        { "unix:/run/x.sock", "unix:/run/x.sock" },
    };
    for (size_t i = 0; i < sizeof(urls) / sizeof(*urls); i++)
    {
        struct buffer shown = BUFFER_EMPTY;
        settings_add_url(urls[i][0], &shown);
        buffer_add_byte(&shown, '\0');
        assert_string_equal(shown.at, urls[i][1]);
        buffer_done(&shown);
    }
}

#define TEST(function) cmocka_unit_test_setup(function, environment_set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(printed_settings_say_where_each_value_came_from),
        TEST(printed_json_has_every_key_with_value_default_and_origin),
        TEST(printed_settings_hide_secrets),
        TEST(a_password_is_hidden_wherever_a_url_may_carry_it),
    };
    return cmocka_run_group_tests_name("settings_print", tests, NULL, NULL);
}
