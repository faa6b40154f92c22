/* The table of settings: defaults, and the file that it prints. */
#include "tests/fixtures/settings_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/settings/key.h"

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

#define TEST(function) cmocka_unit_test_setup(function, environment_set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_a_file_every_key_has_its_default),
        TEST(the_lock_times_are_those_of_the_original),
        TEST(the_table_is_grouped_by_section_and_names_no_key_twice),
        TEST(the_checked_in_file_is_the_printed_example),
        TEST(the_printed_example_loads_and_is_all_defaults),
    };
    return cmocka_run_group_tests(tests, settings_file_make, settings_file_remove);
}
