#include "tests/fixtures/document.h"

#include <stdlib.h>
#include <string.h>

static void assert_canonical(const char *text, const char *expected)
{
    struct buffer buffer = BUFFER_EMPTY;
    struct document document = parse(text);
    document_canonical(&document, &document.nodes[0], &buffer);
    buffer_add_byte(&buffer, '\0');
    assert_false(buffer_failed(&buffer));
    assert_string_equal(buffer.at, expected);
    buffer_done(&buffer);
}

static void the_canonical_form_sorts_names_by_bytes_and_drops_white_space(void **state)
{
    (void)state;
    assert_canonical("{ \"b\" : 1 , \"a\" : [ 1 , { \"d\" : null, \"c\" : true } ] }",
                     "{\"a\":[1,{\"c\":true,\"d\":null}],\"b\":1}");
    assert_canonical("{\"B\":1,\"a\":2,\"\":3,\"ab\":4,\"\xc3\xbc\":5,\"aa\":6,\"A\":7}",
                     "{\"\":3,\"A\":7,\"B\":1,\"a\":2,\"aa\":6,\"ab\":4,\"\xc3\xbc\":5}");
    assert_canonical("{\"abcdefghij\":1,\"abcdefgh\":2,\"abcdefghi\":3,\"abcdefg\":4}",
                     "{\"abcdefg\":4,\"abcdefgh\":2,\"abcdefghi\":3,\"abcdefghij\":1}");
    assert_canonical(" [ ] ", "[]");
    assert_canonical(" { } ", "{}");
}

static void the_canonical_form_spells_strings_and_numbers_one_way(void **state)
{
    (void)state;
    assert_canonical("[\"\\u0061\\/\\u00fc\\u000a\",1.0,1,10e1,-0]", "[\"a/\xc3\xbc\\n\",1,1,100,0]");
    assert_canonical("{\"\\u0061\":\"\\u001f\"}", "{\"a\":\"\\u001f\"}");
}

/* Each line is one value, and no two lines are. */
static void equal_numbers_have_one_canonical_form_and_others_do_not(void **state)
{
    (void)state;
    static const char *const lines[][5] = {
        { "0", "-0", "0.0", "-0.00e7", "0e99999999999999999999" },
        { "1", "1.0", "1e0", "10e-1", "0.1e1" },
        { "100", "100.00", "1e2", "10e1", "0.001e5" },
        { "-12.5", "-12.50", "-125e-1", "-1.25e1", "-0.125E+2" },
        { "9007199254740992", "9007199254740992.0", "9007199254740992e0", "90071992547409920e-1" },
        { "9007199254740993", "9007199254740993.0", "9007199254740.993e3" },
        { "1e400", "10e399", "0.1e401", "1E+400" },
        { "1e19", "10000000000000000000", "100e17" },
        { "1e-30", "0.000000000000000000000000000001", "10e-31" },
        { "37.421998333333335", "37421998333333335e-15" },
        { "37.421998333333334" },
        { "1e-400", "0.1e-399" },
        { "1e9999999999999999999" },
        { "1e9999999999999999998" },
    };
    enum
    {
        LINES = sizeof(lines) / sizeof(lines[0]),
    };
    struct buffer forms[LINES] = { BUFFER_EMPTY };
    for (size_t line = 0; line < LINES; line++)
    {
        for (size_t i = 0; i < 5 && lines[line][i]; i++)
        {
            struct buffer form = BUFFER_EMPTY;
            struct document document = parse(lines[line][i]);
            document_canonical(&document, &document.nodes[0], &form);
            if (i == 0)
                buffer_add_span(&forms[line], buffer_span(&form));
            if (!span_equal(buffer_span(&forms[line]), buffer_span(&form)))
                fail_msg("%s: %.*s", lines[line][i], (int)form.size, form.at);
            buffer_done(&form);
        }
        for (size_t before = 0; before < line; before++)
            assert_false(span_equal(buffer_span(&forms[line]), buffer_span(&forms[before])));
    }
    for (size_t line = 0; line < LINES; line++)
        buffer_done(&forms[line]);
}

static void the_form_as_written_keeps_numbers(void **state)
{
    (void)state;
    static const struct
    {
        const char *text, *written;
        bool changed;
    } cases[] = { { "{\"b\":1.0, \"a\":1e2}", "{\"a\":1e2,\"b\":1.0}", true },
                  { "{\"b\":1, \"a\":0.5}", "{\"a\":0.5,\"b\":1}", false } };
    for (int i = 0; i < 2; i++)
    {
        struct buffer form = BUFFER_EMPTY;
        struct document document = parse(cases[i].text);
        document_canonical_as_written(&document, &document.nodes[0], &form);
        assert_true(span_is(buffer_span(&form), cases[i].written));
        buffer_clear(&form);
        assert_int_equal(document_canonical(&document, &document.nodes[0], &form), cases[i].changed);
        assert_int_equal(span_is(buffer_span(&form), cases[i].written), !cases[i].changed);
        buffer_done(&form);
    }
}

static void large_objects_are_sorted_too(void **state)
{
    (void)state;
    for (int count = 1; count < 300; count += 7)
    {
        size_t size;
        char *text = object_of(count, -1, "", &size);
        struct document document;
        struct document_failure failure;
        struct buffer buffer = BUFFER_EMPTY;
        assert_true(document_parse(&arena, (struct span){ text, size }, &document, &failure));
        document_canonical(&document, &document.nodes[0], &buffer);
        assert_int_equal(buffer.size, size);
        struct document sorted;
        assert_true(document_parse(&arena, buffer_span(&buffer), &sorted, &failure));
        struct span last = SPAN_LITERAL("");
        for (const struct node *child = document_first(&sorted, &sorted.nodes[0]); child;
             child = document_next(&sorted, &sorted.nodes[0], child))
        {
            size_t common = last.size < child->key.size ? last.size : child->key.size;
            int order = memcmp(last.at, child->key.at, common);
            assert_true(order < 0 || (order == 0 && last.size < child->key.size));
            last = child->key;
        }
        buffer_done(&buffer);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_canonical_form_sorts_names_by_bytes_and_drops_white_space),
        cmocka_unit_test(the_canonical_form_spells_strings_and_numbers_one_way),
        cmocka_unit_test(equal_numbers_have_one_canonical_form_and_others_do_not),
        cmocka_unit_test(the_form_as_written_keeps_numbers),
        cmocka_unit_test(large_objects_are_sorted_too),
    };
    return cmocka_run_group_tests(tests, set_up_arena, tear_down_arena);
}
