#include "tests/fixtures/cmocka.h"

#include <string.h>

#include "worker/postgres/failure.h"

struct row
{
    const char *sqlstate;
    enum failure_class class;
};

/* Every code that ARCHITECTURE.md's table of failures names, and for a named class some codes of it. */
static const struct row rows[] = {
    { "40001", FAILURE_TRANSIENT },  { "40P01", FAILURE_TRANSIENT },  { "55P03", FAILURE_TRANSIENT },
    { "57014", FAILURE_TRANSIENT },  { "08000", FAILURE_SESSION },    { "08003", FAILURE_SESSION },
    { "08006", FAILURE_SESSION },    { "08P01", FAILURE_SESSION },    { "57P01", FAILURE_SESSION },
    { "57P02", FAILURE_SESSION },    { "57P03", FAILURE_SESSION },    { "57P04", FAILURE_SESSION },
    { "57P05", FAILURE_SESSION },    { "25P03", FAILURE_SESSION },    { "08007", FAILURE_SESSION },
    { "53000", FAILURE_RESOURCES },  { "53100", FAILURE_RESOURCES },  { "53200", FAILURE_RESOURCES },
    { "53300", FAILURE_RESOURCES },  { "53400", FAILURE_RESOURCES },  { "58000", FAILURE_RESOURCES },
    { "58030", FAILURE_RESOURCES },  { "22003", FAILURE_COMMAND },    { "22P02", FAILURE_COMMAND },
    { "22021", FAILURE_COMMAND },    { "22P05", FAILURE_COMMAND },    { "23502", FAILURE_COMMAND },
    { "23503", FAILURE_COMMAND },    { "23505", FAILURE_COMMAND },    { "23514", FAILURE_COMMAND },
    { "23P01", FAILURE_COMMAND },    { "P0001", FAILURE_COMMAND },    { "42501", FAILURE_OURS },
    { "42P01", FAILURE_OURS },       { "42703", FAILURE_OURS },       { "28000", FAILURE_OURS },
    { "28P01", FAILURE_OURS },       { "3D000", FAILURE_OURS },       { "3F000", FAILURE_OURS },
    { "0A000", FAILURE_OURS },       { "XX000", FAILURE_CORRUPTION }, { "XX001", FAILURE_CORRUPTION },
    { "XX002", FAILURE_CORRUPTION },
};

static void every_row_of_the_failure_table_has_its_class(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
    {
        if (failure_classify(rows[i].sqlstate) != rows[i].class)
            fail_msg("%s is %s, expected %s", rows[i].sqlstate, failure_class_name(failure_classify(rows[i].sqlstate)),
                     failure_class_name(rows[i].class));
    }
}

static void no_code_at_all_means_that_the_session_died(void **state)
{
    (void)state;
    assert_int_equal(failure_classify(NULL), FAILURE_SESSION);
    assert_int_equal(failure_classify(""), FAILURE_SESSION);
}

static void a_standby_that_refuses_to_write_is_left_for_another_host(void **state)
{
    (void)state;
    assert_int_equal(failure_classify("25006"), FAILURE_SESSION);
}

static void a_code_that_nobody_thought_of_never_rejects_a_command(void **state)
{
    (void)state;
    static const char *const codes[] = { "21000", "25001", "25P02", "26000", "2200",  "54000", "55000", "55006",
                                         "P0000", "P0002", "F0000", "HV000", "72000", "99999", "4",     "40002" };
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
    {
        /* A cut code of class 22 is still class 22: what counts is its first two letters. */
        if (strcmp(codes[i], "2200") == 0)
            assert_int_equal(failure_classify(codes[i]), FAILURE_COMMAND);
        else
            assert_int_equal(failure_classify(codes[i]), FAILURE_OURS);
    }
}

static void only_conflicts_with_other_rows_may_pass_when_decided_again(void **state)
{
    (void)state;
    static const char *const may[] = { "23505", "23503", "23P01" };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
    {
        struct failure failure = { .class = rows[i].class };
        bool expected = false;
        strcpy(failure.sqlstate, rows[i].sqlstate);
        for (size_t m = 0; m < sizeof(may) / sizeof(may[0]); m++)
            expected = expected || strcmp(may[m], rows[i].sqlstate) == 0;
        assert_int_equal(failure_may_pass(&failure), expected);
    }
}

static void every_class_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (int a = FAILURE_NONE; a <= FAILURE_CORRUPTION; a++)
    {
        assert_non_null(failure_class_name((enum failure_class)a));
        for (int b = FAILURE_NONE; b < a; b++)
            assert_string_not_equal(failure_class_name((enum failure_class)a),
                                    failure_class_name((enum failure_class)b));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_of_the_failure_table_has_its_class),
        cmocka_unit_test(no_code_at_all_means_that_the_session_died),
        cmocka_unit_test(a_standby_that_refuses_to_write_is_left_for_another_host),
        cmocka_unit_test(a_code_that_nobody_thought_of_never_rejects_a_command),
        cmocka_unit_test(only_conflicts_with_other_rows_may_pass_when_decided_again),
        cmocka_unit_test(every_class_has_a_name_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
