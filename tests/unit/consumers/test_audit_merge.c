#include "tests/fixtures/cmocka.h"

#include <libpq-fe.h>
#include <string.h>

#include "consumers/audit_merge.h"
#include "worker/base/clock.h"

enum
{
    SECOND_US = 1000000,
};

static int asked;
static bool refuses;

static PGresult *ask(void *asker, const char *sql, int count, const char *const *values)
{
    (void)asker;
    (void)values;
    assert_string_equal(sql, "SELECT interlock.merge_audit_indexes()");
    assert_int_equal(count, 0);
    asked++;
    return refuses ? NULL : PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
}

static int start(void **state)
{
    (void)state;
    asked = 0;
    refuses = false;
    return 0;
}

static void nothing_is_asked_where_nothing_was_written(void **state)
{
    (void)state;
    struct audit_merge merge = { 0 };
    int64_t begun_us = monotonic_us();

    for (int s = 0; s < 100; s++)
        audit_merge_round(&merge, 0, begun_us + s * SECOND_US, ask, NULL);
    assert_int_equal(asked, 0);
}

static void a_few_rows_wait_for_seconds_and_many_for_nothing(void **state)
{
    (void)state;
    struct audit_merge merge = { 0 };
    int64_t begun_us = monotonic_us();

    audit_merge_round(&merge, 1, begun_us, ask, NULL);
    audit_merge_round(&merge, 19999, begun_us + 4 * SECOND_US, ask, NULL);
    assert_int_equal(asked, 0);
    audit_merge_round(&merge, 20000, begun_us + 4 * SECOND_US, ask, NULL);
    assert_int_equal(asked, 1);
    audit_merge_round(&merge, 20001, begun_us + 6 * SECOND_US, ask, NULL); /* a new wait */
    audit_merge_round(&merge, 20001, begun_us + 10 * SECOND_US, ask, NULL);
    assert_int_equal(asked, 1);
    audit_merge_round(&merge, 20001, begun_us + 11 * SECOND_US, ask, NULL);
    assert_int_equal(asked, 2);
    for (int s = 12; s < 100; s++)
        audit_merge_round(&merge, 20001, begun_us + s * SECOND_US, ask, NULL);
    assert_int_equal(asked, 2);
}

static void a_merge_that_failed_is_tried_again(void **state)
{
    (void)state;
    struct audit_merge merge = { 0 };
    int64_t begun_us = monotonic_us();

    refuses = true;
    audit_merge_round(&merge, 20000, begun_us, ask, NULL);
    refuses = false;
    audit_merge_round(&merge, 20000, begun_us + SECOND_US, ask, NULL);
    assert_int_equal(asked, 2);
    audit_merge_round(&merge, 20000, begun_us + 60 * SECOND_US, ask, NULL);
    assert_int_equal(asked, 2);
}

static void after_a_long_merge_there_is_a_long_rest(void **state)
{
    (void)state;
    struct audit_merge merge = { 0 };
    int64_t ended_us = monotonic_us(), begun_us = ended_us - SECOND_US; /* it took a second */

    audit_merge_round(&merge, 20000, begun_us, ask, NULL);
    audit_merge_round(&merge, 50000, ended_us + 3 * SECOND_US, ask, NULL);
    assert_int_equal(asked, 1);
    audit_merge_round(&merge, 50000, ended_us + 5 * SECOND_US, ask, NULL);
    assert_int_equal(asked, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(nothing_is_asked_where_nothing_was_written, start),
        cmocka_unit_test_setup(a_few_rows_wait_for_seconds_and_many_for_nothing, start),
        cmocka_unit_test_setup(a_merge_that_failed_is_tried_again, start),
        cmocka_unit_test_setup(after_a_long_merge_there_is_a_long_rest, start),
    };
    return cmocka_run_group_tests_name("audit_merge", tests, NULL, NULL);
}
