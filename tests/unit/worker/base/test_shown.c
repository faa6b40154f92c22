/* Shown: what people see of text from outside. */
#include "tests/fixtures/cmocka.h"

#include <stdio.h>

#include <jansson.h>

#include "worker/base/shown.h"

static void assert_shown(struct span text, const char *expected)
{
    struct buffer shown = BUFFER_EMPTY;
    shown_add(&shown, text);
    buffer_add_byte(&shown, '\0');
    assert_string_equal(shown.at, expected);
    buffer_done(&shown);
}

static void control_sequences_of_a_terminal_are_escaped(void **state)
{
    (void)state;
    assert_shown(SPAN_LITERAL("a\x1b[2J\n\r\t\0\x7f"), "a\\u001b[2J\\u000a\\u000d\\u0009\\u0000\\u007f");
    assert_shown(SPAN_LITERAL("\xc2\x9b"
                              "31m\xc2\x80\xc2\x9f"),
                 "\\u009b31m\\u0080\\u009f");
}

static void characters_that_turn_or_hide_writing_are_escaped(void **state)
{
    (void)state;
    assert_shown(SPAN_LITERAL("\xe2\x80\xae"
                              "x\xe2\x81\xa6y\xe2\x81\xa9"),
                 "\\u202ex\\u2066y\\u2069");
    assert_shown(SPAN_LITERAL("\xe2\x80\xa8\xe2\x80\x8b\xef\xbb\xbf\xd8\x9c"), "\\u2028\\u200b\\ufeff\\u061c");
    assert_shown(SPAN_LITERAL("\xf3\xa0\x81\x81"), "\\udb40\\udc41");
}

static void text_that_people_write_is_shown_as_it_is(void **state)
{
    (void)state;
    static const char *const texts[] = { "ticket/42",
                                         "J\xc3\xb6rg \"x\" \\ <b>",
                                         "\xe5\x90\x8d\xe5\x89\x8d",
                                         "\xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d",
                                         "\xf0\x9f\x99\x82",
                                         "\xc2\xa0",
                                         "" };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        assert_shown(span_of(texts[i]), texts[i]);
    assert_shown(SPAN_NULL, "");
}

static void bytes_that_are_no_text_are_marked(void **state)
{
    (void)state;
    assert_shown(SPAN_LITERAL("a\xff\xc3"), "a\\ufffd\\ufffd");
    assert_shown(SPAN_LITERAL("\xc0\x9b\xed\xa0\x80"), "\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd");
}

static void json_stays_the_same_json(void **state)
{
    (void)state;
    struct buffer json = BUFFER_EMPTY, shown = BUFFER_EMPTY;
    const struct span text = SPAN_LITERAL("\x1b[2J\xc2\x9b\xe2\x80\xae\xf3\xa0\x81\x81\n\"\\");
    buffer_add_text(&json, "{\n\"a\": ");
    buffer_add_json_string(&json, text);
    buffer_add_text(&json, "}\n");
    shown_add_lines(&shown, buffer_span(&json));
    for (size_t i = 0; i < shown.size; i++)
        assert_true((unsigned char)shown.at[i] < 0x7F);
    json_t *root = json_loadb(shown.at, shown.size, 0, NULL);
    assert_non_null(root);
    assert_true(span_is(text, json_string_value(json_object_get(root, "a"))));
    json_decref(root);
    buffer_done(&json);
    buffer_done(&shown);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(control_sequences_of_a_terminal_are_escaped),
        cmocka_unit_test(characters_that_turn_or_hide_writing_are_escaped),
        cmocka_unit_test(text_that_people_write_is_shown_as_it_is),
        cmocka_unit_test(bytes_that_are_no_text_are_marked),
        cmocka_unit_test(json_stays_the_same_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
