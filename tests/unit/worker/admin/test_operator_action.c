/* Operator action: who is named as the one who acted. The rows are tried in tests/system/test_verbs.py. */
#include "tests/fixtures/cmocka.h"

#include <stdlib.h>
#include <string.h>

#include "worker/admin/operator_action.h"

static const char *actor_of(const char *claimed, const char *operator_name, const char *sudo_user)
{
    static char into[4 * OPERATOR_NAME_MAX + 1];
    const char *const variables[] = { "INTERLOCK_OPERATOR", "SUDO_USER" };
    const char *const values[] = { operator_name, sudo_user };

    for (int i = 0; i < 2; i++)
        if (values[i])
            setenv(variables[i], values[i], true);
        else
            unsetenv(variables[i]);
    return operator_actor(claimed, into);
}

static void the_option_comes_before_the_environment_and_that_before_the_login(void **state)
{
    (void)state;
    assert_string_equal(actor_of("anna", "bert", "carl"), "anna");
    assert_string_equal(actor_of(NULL, "bert", "carl"), "bert");
    assert_string_equal(actor_of("", "", "carl"), "carl");
    assert_true(strlen(actor_of(NULL, NULL, NULL)) > 0);
}

static void control_characters_are_replaced_and_a_long_name_is_cut_between_characters(void **state)
{
    (void)state;
    char long_name[3 * OPERATOR_NAME_MAX + 4] = "";
    for (int i = 0; i <= OPERATOR_NAME_MAX; i++)
        strcat(long_name, "\xe2\x82\xac");
    const char *shown = actor_of("an\x1b[31mna\n", NULL, NULL);
    assert_null(strchr(shown, '\x1b'));
    assert_null(strchr(shown, '\n'));
    assert_int_equal(strlen(actor_of(long_name, NULL, NULL)), 3 * OPERATOR_NAME_MAX);
}

/* Refused before anything is sent: there is no connection. */
static void a_reason_that_is_missing_empty_long_or_no_utf8_is_refused(void **state)
{
    (void)state;
    char long_reason[OPERATOR_REASON_MAX + 2];
    memset(long_reason, 'a', sizeof(long_reason) - 1);
    long_reason[sizeof(long_reason) - 1] = '\0';
    const struct
    {
        const char *reason, *says;
    } cases[] = { { NULL, "missing" }, { "", "empty" }, { long_reason, "too long" }, { "a\xff", "UTF-8" } };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    {
        struct buffer fault = BUFFER_EMPTY;
        struct operator_action action = { .verb = "pause", .actor = "anna", .reason = cases[i].reason };
        assert_int_equal(operator_action_insert(NULL, &action, &fault), -1);
        buffer_add_byte(&fault, '\0');
        assert_non_null(strstr(fault.at, "--reason"));
        assert_non_null(strstr(fault.at, cases[i].says));
        buffer_done(&fault);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_option_comes_before_the_environment_and_that_before_the_login),
        cmocka_unit_test(control_characters_are_replaced_and_a_long_name_is_cut_between_characters),
        cmocka_unit_test(a_reason_that_is_missing_empty_long_or_no_utf8_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
