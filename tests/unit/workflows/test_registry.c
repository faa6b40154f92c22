#include "tests/fixtures/core.h"

#include <stdio.h>
#include <string.h>

static void every_workflow_is_found_by_its_type_and_by_no_other(void **state)
{
    (void)state;
    char type[64];
    int count = 0;
    for (; workflows[count]; count++)
    {
        const char *name = workflows[count]->type;
        size_t size = strlen(name);
        assert_ptr_equal(workflow_find(span_of(name)), workflows[count]);
        assert_null(workflow_find((struct span){ name, size - 1 }));
        snprintf(type, sizeof(type), "%sx", name);
        assert_null(workflow_find(span_of(type)));
        for (size_t i = 0; i < size; i++) /* one byte another */
        {
            snprintf(type, sizeof(type), "%s", name);
            type[i] ^= 1;
            assert_null(workflow_find(span_of(type)));
        }
        for (int other = 0; other < count; other++)
            assert_string_not_equal(workflows[other]->type, name);
    }
    assert_int_equal(count, 28); /* the commands of the domain */
    assert_null(workflow_find(SPAN_NULL));
    assert_null(workflow_find(SPAN_LITERAL("")));
}

static void every_workflow_has_what_the_engine_calls(void **state)
{
    (void)state;
    for (int i = 0; workflows[i]; i++)
    {
        const struct workflow *workflow = workflows[i];
        assert_non_null(workflow->description);
        assert_non_null(workflow->parameters);
        assert_true(workflow->parameters_size > 0);
        assert_true(workflow->operation > OPERATION_NONE && workflow->operation < OPERATION__COUNT);
        assert_true(workflow->lock_class < LOCK__COUNT);
        assert_true(workflow->needs && workflow->decide);
    }
}

static void check_table(const struct parameter *table, size_t size)
{
    for (; table->name; table++)
    {
        assert_true(table->offset < size);
        assert_non_null(table->description);
        assert_true((table->kind == PARAMETER_NAME) == (table->names != NULL));
        bool nested = table->kind == PARAMETER_OBJECT || table->kind == PARAMETER_OBJECTS;
        assert_true(nested == (table->members != NULL));
        if (table->kind == PARAMETER_OBJECTS)
            check_table(table->members, table->member_size);
        if (table->kind == PARAMETER_OBJECT)
            check_table(table->members, size);
        if (table->kind == PARAMETER_TEXT || table->kind == PARAMETER_IDS || table->kind == PARAMETER_OBJECTS)
            assert_true(table->maximum > 0); /* nothing is unbounded */
        assert_true(table->flags & (PARAMETER_REQUIRED | PARAMETER_NULLABLE | PARAMETER_OPTIONAL));
    }
}

static void every_parameter_is_described_and_bounded(void **state)
{
    (void)state;
    for (int i = 0; workflows[i]; i++)
        check_table(workflows[i]->parameters, workflows[i]->parameters_size);
}

static void an_aggregate_that_nothing_else_identifies_is_named_by_an_id_of_the_data(void **state)
{
    int named = 0;
    (void)state;

    for (int i = 0; workflows[i]; i++)
    {
        const struct parameter *parameter = workflows[i]->parameters;
        if (workflows[i]->identify)
            continue;
        while (parameter->name && strcmp(parameter->name, workflows[i]->named.member) != 0)
            parameter++;
        assert_non_null(parameter->name);
        assert_int_equal(parameter->kind, PARAMETER_ID);
        assert_int_equal(parameter->offset, workflows[i]->named.offset);
        assert_null(workflows[i]->named.otherwise);
        named++;
    }
    assert_true(named > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_workflow_is_found_by_its_type_and_by_no_other),
        cmocka_unit_test(every_workflow_has_what_the_engine_calls),
        cmocka_unit_test(every_parameter_is_described_and_bounded),
        cmocka_unit_test(an_aggregate_that_nothing_else_identifies_is_named_by_an_id_of_the_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
