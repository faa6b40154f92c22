#include "tests/fixtures/document.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Numbers of a document: which are integers, and which double a text is. */

static void integers_are_kept_whole_to_the_ends_of_int64(void **state)
{
    (void)state;
    assert_true(parse("9223372036854775807").nodes[0].integer == INT64_MAX);
    assert_true(parse("-9223372036854775808").nodes[0].integer == INT64_MIN);
    assert_int_equal(parse("-0").nodes[0].kind, NODE_INTEGER);
    assert_int_equal(parse("-0").nodes[0].integer, 0);
    assert_int_equal(parse("999999999999999999").nodes[0].integer, 999999999999999999);
}

static void whole_numbers_beyond_int64_are_not_integers(void **state)
{
    (void)state;
    const char *const texts[] = { "9223372036854775808",         "-9223372036854775809",  "18446744073709551616",
                                  "100000000000000000000",       "9223372036854775808.0", "1e19",
                                  "5.00000000000000000000000001" };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
    {
        struct document document = parse(texts[i]);
        assert_int_equal(document.nodes[0].kind, NODE_NUMBER);
        assert_true(document.nodes[0].number == strtod(texts[i], NULL));
    }
}

static void a_number_is_an_integer_by_its_value_however_it_is_written(void **state)
{
    (void)state;
    static const struct
    {
        const char *text;
        int64_t value;
    } cases[] = {
        { "5.0", 5 },
        { "-5.000", -5 },
        { "50e-1", 5 },
        { "1e2", 100 },
        { "0.5e1", 5 },
        { "1E18", INT64_C(1000000000000000000) },
        { "0.0", 0 },
        { "-0.0", 0 },
        { "0e99999999999999999999", 0 },
        { "9007199254740993.0", INT64_C(9007199254740993) },
        { "9223372036854775807.0", INT64_MAX },
        { "-922337203685477580.80e1", INT64_MIN },
        { "5.0000000000000000000000000000000000000000", 5 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    {
        struct document document = parse(cases[i].text);
        if (document.nodes[0].kind != NODE_INTEGER || document.nodes[0].integer != cases[i].value)
            fail_msg("%s: %d, %lld", cases[i].text, document.nodes[0].kind, (long long)document.nodes[0].integer);
    }
    static const char *const others[] = { "5.5", "1e-1", "9223372036854775808.0", "1e19", "50e-2" };
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_int_equal(parse(others[i]).nodes[0].kind, NODE_NUMBER);
}

/* PROTOCOL R2: whoever decides what to do with 1e400 has its identity. */
static void a_number_beyond_a_double_is_infinite(void **state)
{
    (void)state;
    assert_true(parse("1e400").nodes[0].number == INFINITY);
    assert_true(parse("-1e400").nodes[0].number == -INFINITY);
    assert_true(parse("1e99999999999999999999").nodes[0].number == INFINITY);
}

static void numbers_are_the_nearest_doubles(void **state)
{
    (void)state;
    const char *const texts[] = { "0.1",
                                  "37.421998333333335",
                                  "-122.08400000000002",
                                  "1e22",
                                  "1e23",
                                  "123456789012345678901234567890.5",
                                  "2.2250738585072011e-308",
                                  "4.9e-324",
                                  "1e-400",
                                  "1.7976931348623157e308",
                                  "0.000000000000000000000000000000000000001",
                                  "1e-22",
                                  "1e-99999999999999999999" };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
    {
        struct document document = parse(texts[i]);
        assert_int_equal(document.nodes[0].kind, NODE_NUMBER);
        double expected = strtod(texts[i], NULL);
        assert_memory_equal(&document.nodes[0].number, &expected, sizeof(expected));
    }
}

static void a_number_as_long_as_the_document_is_read_exactly(void **state)
{
    (void)state;
    char text[5000];
    memset(text, '3', sizeof(text));
    text[1] = '.';
    struct document document;
    struct document_failure failure;
    assert_true(document_parse(&arena, (struct span){ text, sizeof(text) }, &document, &failure));
    assert_true(document.nodes[0].number == 10.0 / 3.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_are_kept_whole_to_the_ends_of_int64),
        cmocka_unit_test(whole_numbers_beyond_int64_are_not_integers),
        cmocka_unit_test(a_number_is_an_integer_by_its_value_however_it_is_written),
        cmocka_unit_test(a_number_beyond_a_double_is_infinite),
        cmocka_unit_test(numbers_are_the_nearest_doubles),
        cmocka_unit_test(a_number_as_long_as_the_document_is_read_exactly),
    };
    return cmocka_run_group_tests(tests, set_up_arena, tear_down_arena);
}
