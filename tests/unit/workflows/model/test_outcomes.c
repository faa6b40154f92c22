#include "tests/fixtures/cmocka.h"

#include "workflows/model/outcomes.h"

static void every_outcome_operation_and_reason_has_a_name(void **state)
{
    (void)state;
    for (int outcome = 0; outcome < OUTCOME__COUNT; outcome++)
        assert_non_null(outcome_name((enum outcome)outcome));
    for (int operation = OPERATION_NONE + 1; operation < OPERATION__COUNT; operation++)
        assert_non_null(operation_name((enum operation)operation));
    for (int reason = REASON_NONE + 1; reason < REASON__COUNT; reason++)
        assert_non_null(reason_name((enum reason)reason));
}

static void the_value_none_has_no_name(void **state)
{
    (void)state;
    assert_null(operation_name(OPERATION_NONE));
    assert_null(reason_name(REASON_NONE));
}

static void names_are_those_of_the_contract(void **state)
{
    (void)state;
    assert_string_equal(outcome_name(OUTCOME_APPLIED), "applied");
    assert_string_equal(outcome_name(OUTCOME_UNCHANGED), "unchanged");
    assert_string_equal(outcome_name(OUTCOME_REJECTED), "rejected");
    assert_string_equal(operation_name(OPERATION_ESCALATION), "ESCALATION");
    assert_string_equal(operation_name(OPERATION_FLAG_SET), "FLAG_SET");
    assert_string_equal(reason_name(REASON_INVALID_DATA), "invalid_data");
    assert_string_equal(reason_name(REASON_UNKNOWN_TYPE), "unknown_type");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_outcome_operation_and_reason_has_a_name),
        cmocka_unit_test(the_value_none_has_no_name),
        cmocka_unit_test(names_are_those_of_the_contract),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
