/* cmocka wants these first. */
#include "tests/fixtures/cmocka.h"

#include <string.h>

#include "worker/postgres/session_terms.h"
#include "worker/settings/settings.h"

static struct settings settings;
static struct buffer set, look;

static int start(void **state)
{
    (void)state;
    memset(&settings, 0, sizeof(settings));
    settings.database.statement_timeout_us = 4000000;
    settings.database.lock_timeout_us = 2000000;
    settings.database.idle_in_transaction_timeout_us = 10000000;
    set = look = BUFFER_EMPTY;
    return 0;
}

static int end(void **state)
{
    (void)state;
    buffer_done(&set);
    buffer_done(&look);
    return 0;
}

static bool has(enum session_kind kind, const char *part)
{
    buffer_clear(&set);
    buffer_clear(&look);
    assert_true(session_terms_write_set(kind, &settings, &set));
    assert_true(session_terms_write_look(kind, &settings, &look));
    bool found = strstr(set.at, part) != NULL;
    assert_int_equal(found, strstr(look.at, part) != NULL);
    return found;
}

/* PROTOCOL O6. */
static void every_kind_of_session_has_its_bytes_its_snapshots_and_its_names(void **state)
{
    static const char *const parts[] = { "('client_encoding','UTF8'",
                                         "('default_transaction_isolation','read committed'",
                                         "('search_path','pg_catalog, pg_temp'",
                                         "('standard_conforming_strings','on'",
                                         "('TimeZone','UTC'",
                                         "('DateStyle','ISO, MDY'",
                                         "('IntervalStyle','postgres'",
                                         "('row_security','on'",
                                         "('client_min_messages','warning'",
                                         "('idle_session_timeout','0'" };
    (void)state;
    for (int kind = SESSION_LANE; kind <= SESSION_TRIAL; kind *= 2)
        for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
            assert_true(has((enum session_kind)kind, parts[i]));
}

static void a_lane_has_the_times_of_the_settings_in_milliseconds(void **state)
{
    (void)state;
    assert_true(has(SESSION_LANE, "('statement_timeout','4000'"));
    assert_true(has(SESSION_LANE, "('lock_timeout','2000'"));
    assert_true(has(SESSION_LANE, "('idle_in_transaction_session_timeout','10000'"));
    assert_false(has(SESSION_READS, "('statement_timeout','4000'"));
}

static void a_stricter_commit_is_kept(void **state)
{
    (void)state;
    assert_true(has(SESSION_LANE, "('synchronous_commit','on','remote_apply','set'"));
}

static void only_who_changes_nothing_may_be_read_only(void **state)
{
    (void)state;
    assert_true(has(SESSION_LANE, "('transaction_read_only','off'"));
    assert_true(has(SESSION_BOOKS, "('transaction_read_only','off'"));
    assert_true(has(SESSION_WRITES, "('transaction_read_only','off'"));
    assert_false(has(SESSION_READS, "'transaction_read_only'"));
    assert_false(has(SESSION_TRIAL, "'transaction_read_only'"));
}

static void without_memory_there_is_no_statement(void **state)
{
    (void)state;
    set.failed = true;
    assert_false(session_terms_write_set(SESSION_LANE, &settings, &set));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_kind_of_session_has_its_bytes_its_snapshots_and_its_names, start, end),
        cmocka_unit_test_setup_teardown(a_lane_has_the_times_of_the_settings_in_milliseconds, start, end),
        cmocka_unit_test_setup_teardown(a_stricter_commit_is_kept, start, end),
        cmocka_unit_test_setup_teardown(only_who_changes_nothing_may_be_read_only, start, end),
        cmocka_unit_test_setup_teardown(without_memory_there_is_no_statement, start, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
