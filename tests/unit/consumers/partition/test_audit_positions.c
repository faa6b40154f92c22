#include "tests/fixtures/cmocka.h"

#include <stdlib.h>
#include <string.h>

#include "consumers/partition/audit_positions.h"

/* PROTOCOL R1: where a look-up on the audit topic begins. Too early only costs; too late would publish twice. */

static struct audit_positions positions_of(const char *text)
{
    struct audit_positions positions = AUDIT_POSITIONS_NONE;

    audit_positions_read(&positions, text);
    return positions;
}

static void assert_prints(const struct audit_positions *positions, const char *expected)
{
    struct buffer text = BUFFER_EMPTY;

    audit_positions_print(positions, &text);
    buffer_add_byte(&text, '\0');
    assert_string_equal(text.at, expected);
    buffer_done(&text);
}

static void printed_positions_are_read_again(void **state)
{
    const char *const texts[] = { "{}", "{0}", "{5,0,9223372036854775807}" };
    (void)state;

    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
    {
        struct audit_positions positions = positions_of(texts[i]);
        assert_prints(&positions, texts[i]);
        audit_positions_done(&positions);
    }
}

static void null_and_texts_that_are_not_lists_are_read_as_nothing_known(void **state)
{
    const char *const texts[] = { "", "{NULL}", "x", "{" };
    (void)state;

    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
    {
        struct audit_positions positions = positions_of(texts[i]);
        assert_int_equal(positions.count, 0);
        audit_positions_done(&positions);
    }
}

static void a_position_is_raised_and_never_lowered_by_a_report(void **state)
{
    struct audit_positions positions = AUDIT_POSITIONS_NONE;
    (void)state;

    audit_positions_raise(&positions, 2, 7);
    audit_positions_raise(&positions, 2, 5);
    audit_positions_raise(&positions, 0, 3);
    audit_positions_raise(&positions, 1, -1); /* an offset that was not told */
    audit_positions_raise(&positions, -1, 9);
    assert_prints(&positions, "{3,0,7}");
    audit_positions_done(&positions);
}

static void one_look_up_for_several_begins_at_the_lower_position_of_each_partition(void **state)
{
    struct audit_positions one = positions_of("{5,9,4}"), other = positions_of("{6,2,4}");
    (void)state;

    audit_positions_lower(&one, &other);
    assert_prints(&one, "{5,2,4}");
    audit_positions_done(&one);
    audit_positions_done(&other);
}

static void a_partition_that_one_of_them_does_not_know_is_read_from_its_beginning(void **state)
{
    struct audit_positions one = positions_of("{5,9,4}"), other = positions_of("{6}"), none = AUDIT_POSITIONS_NONE;
    (void)state;

    audit_positions_lower(&one, &other);
    assert_prints(&one, "{5}");
    audit_positions_lower(&one, &none);
    assert_int_equal(one.count, 0);
    audit_positions_done(&one);
    audit_positions_done(&other);
}

static void a_copy_is_one_of_its_own(void **state)
{
    struct audit_positions one = positions_of("{5,9,4}"), copy = positions_of("{1,2,3,4,5}");
    (void)state;

    assert_true(audit_positions_copy(&copy, &one));
    audit_positions_raise(&copy, 0, 100);
    assert_prints(&one, "{5,9,4}");
    assert_prints(&copy, "{100,9,4}");
    audit_positions_done(&one);
    audit_positions_done(&copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(printed_positions_are_read_again),
        cmocka_unit_test(null_and_texts_that_are_not_lists_are_read_as_nothing_known),
        cmocka_unit_test(a_position_is_raised_and_never_lowered_by_a_report),
        cmocka_unit_test(one_look_up_for_several_begins_at_the_lower_position_of_each_partition),
        cmocka_unit_test(a_partition_that_one_of_them_does_not_know_is_read_from_its_beginning),
        cmocka_unit_test(a_copy_is_one_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
