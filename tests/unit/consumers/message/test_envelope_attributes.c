#include "tests/fixtures/cmocka.h"

#include <string.h>

#include "consumers/message/envelope_attributes.h"
#include "tests/fixtures/document.h"

/* The two modes read into one form; the judgement is envelope.c's. */

#define S(text) SPAN_LITERAL(text)

static struct envelope_attributes attributes;

static const struct value *value_of(enum attribute attribute)
{
    return &attributes.values[attribute];
}

static void read_object(const char *text)
{
    static struct document document; /* `data` is a node of it */

    document = parse(text);
    envelope_attributes_of_object(&document, document.nodes, &attributes);
}

/* --- structured mode --------------------------------------------------------------------------------------------- */

static void members_become_values_by_their_kind(void **state)
{
    (void)state;
    read_object("{\"id\":\"c-1\",\"expectedversion\":7,\"afterparked\":false,\"subject\":null,\"source\":[1],"
                "\"data\":{\"x\":1}}");
    assert_int_equal(value_of(ATTRIBUTE_ID)->kind, VALUE_TEXT);
    assert_true(span_is(value_of(ATTRIBUTE_ID)->text, "c-1"));
    assert_int_equal(value_of(ATTRIBUTE_EXPECTEDVERSION)->kind, VALUE_INTEGER);
    assert_int_equal(value_of(ATTRIBUTE_EXPECTEDVERSION)->integer, 7);
    assert_int_equal(value_of(ATTRIBUTE_AFTERPARKED)->kind, VALUE_BOOLEAN);
    assert_int_equal(value_of(ATTRIBUTE_AFTERPARKED)->integer, 0);
    assert_int_equal(value_of(ATTRIBUTE_SUBJECT)->kind, VALUE_ABSENT);
    assert_int_equal(value_of(ATTRIBUTE_SOURCE)->kind, VALUE_OTHER);
    assert_int_equal(value_of(ATTRIBUTE_TYPE)->kind, VALUE_ABSENT);
    assert_non_null(attributes.data);
    assert_int_equal(attributes.data->kind, NODE_OBJECT);
}

static void members_are_found_in_any_order(void **state)
{
    (void)state;
    read_object("{\"afterparked\":true,\"specversion\":\"1.0\",\"type\":\"t\",\"id\":\"i\"}");
    assert_int_equal(value_of(ATTRIBUTE_AFTERPARKED)->integer, 1);
    assert_true(span_is(value_of(ATTRIBUTE_SPECVERSION)->text, "1.0"));
    assert_true(span_is(value_of(ATTRIBUTE_TYPE)->text, "t"));
    assert_true(span_is(value_of(ATTRIBUTE_ID)->text, "i"));
    assert_null(attributes.data);
}

static void the_first_name_that_no_attribute_can_have_is_noted(void **state)
{
    (void)state;
    read_object("{\"id\":\"i\",\"myextension1\":1}");
    assert_null(attributes.bad_name.at); /* an extension that we do not know */
    read_object("{\"expectedVersion\":1,\"other-one\":2}");
    assert_true(span_is(attributes.bad_name, "expectedVersion"));
    read_object("{\"\":1}");
    assert_non_null(attributes.bad_name.at);
}

static void data_in_base64_is_noticed_unless_it_is_null(void **state)
{
    (void)state;
    read_object("{\"data_base64\":\"AA==\"}");
    assert_true(attributes.has_data_base64);
    assert_null(attributes.bad_name.at);
    read_object("{\"data_base64\":null}");
    assert_false(attributes.has_data_base64);
}

/* --- binary mode ------------------------------------------------------------------------------------------------- */

struct header
{
    const char *name;
    struct span value;
};

static bool find_header(void *owner, const char *name, struct span *ret_value)
{
    for (const struct header *header = owner; header->name; header++)
        if (strcmp(header->name, name) == 0)
        {
            *ret_value = header->value;
            return true;
        }
    return false;
}

static bool next_header(void *owner, size_t *cursor, struct span *ret_name, struct span *ret_value)
{
    const struct header *header = (const struct header *)owner + *cursor;

    if (header->name == NULL)
        return false;
    *ret_name = span_of(header->name);
    *ret_value = header->value;
    ++*cursor;
    return true;
}

static void read_headers(struct header *headers)
{
    const struct envelope_source source = { .header = find_header, .next_header = next_header, .owner = headers };
    envelope_attributes_of_headers(&source, &attributes);
}

static void headers_become_values_by_their_attribute(void **state)
{
    struct header headers[] = {
        { "ce_id", S("c-1") },
        { "ce_expectedversion", S("12") },
        { "ce_afterparked", S("True") },
        { "ce_datacontenttype", S("text/plain") },
        { "content-type", S("application/json") },
        { "ce_subject", SPAN_NULL },
        { NULL, SPAN_NULL },
    };
    (void)state;
    read_headers(headers);
    assert_true(span_is(value_of(ATTRIBUTE_ID)->text, "c-1"));
    assert_int_equal(value_of(ATTRIBUTE_EXPECTEDVERSION)->kind, VALUE_INTEGER);
    assert_int_equal(value_of(ATTRIBUTE_EXPECTEDVERSION)->integer, 12);
    assert_int_equal(value_of(ATTRIBUTE_AFTERPARKED)->kind, VALUE_BOOLEAN);
    assert_int_equal(value_of(ATTRIBUTE_AFTERPARKED)->integer, 1);
    assert_true(span_is(value_of(ATTRIBUTE_DATACONTENTTYPE)->text, "application/json"));
    assert_int_equal(value_of(ATTRIBUTE_SUBJECT)->kind, VALUE_ABSENT);
    assert_null(attributes.data);
    assert_null(attributes.bad_name.at);
    assert_false(attributes.bad_encoding);
}

static void a_number_is_up_to_18_digits_and_nothing_else(void **state)
{
    static const struct
    {
        const char *text;
        int64_t number; /* -1: it is no number */
    } cases[] = {
        { "0", 0 },    { "999999999999999999", 999999999999999999 },
        { "", -1 },    { "1000000000000000000", -1 },
        { "-1", -1 },  { "+1", -1 },
        { "1.0", -1 }, { " 1", -1 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
    {
        struct header headers[] = { { "ce_expectedversion", span_of(cases[i].text) }, { NULL, SPAN_NULL } };
        read_headers(headers);
        const struct value *value = value_of(ATTRIBUTE_EXPECTEDVERSION);
        assert_int_equal(value->kind, cases[i].number < 0 ? VALUE_OTHER : VALUE_INTEGER);
        if (cases[i].number >= 0)
            assert_true(value->integer == cases[i].number);
    }
}

static void a_boolean_is_one_of_two_words(void **state)
{
    static const char *const others[] = { "1", "yes", "truer", "tru", "" };
    struct header headers[] = { { "ce_afterparked", S("FALSE") }, { NULL, SPAN_NULL } };
    (void)state;
    read_headers(headers);
    assert_int_equal(value_of(ATTRIBUTE_AFTERPARKED)->kind, VALUE_BOOLEAN);
    assert_int_equal(value_of(ATTRIBUTE_AFTERPARKED)->integer, 0);
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
    {
        headers[0].value = span_of(others[i]);
        read_headers(headers);
        assert_int_equal(value_of(ATTRIBUTE_AFTERPARKED)->kind, VALUE_OTHER);
    }
}

static void bytes_that_are_not_text_are_noted(void **state)
{
    struct header headers[] = { { "ce_id", S("a\xff") }, { NULL, SPAN_NULL } };
    (void)state;
    read_headers(headers);
    assert_true(attributes.bad_encoding);
    headers[0].value = (struct span){ "a\0b", 3 };
    read_headers(headers);
    assert_true(attributes.bad_encoding);
    headers[0] = (struct header){ "other", S("\xff") }; /* not an attribute, and not looked at */
    read_headers(headers);
    assert_false(attributes.bad_encoding);
}

static void a_misspelt_header_is_noted(void **state)
{
    struct header headers[] = { { "ce_id", S("i") }, { "ce-id", S("i") }, { "CE_type", S("t") }, { NULL, SPAN_NULL } };
    (void)state;
    read_headers(headers);
    assert_true(span_is(attributes.bad_name, "ce-id"));
    headers[1].name = "ce_\xff";
    read_headers(headers);
    assert_true(attributes.bad_encoding);
}

static void a_header_is_misspelt_where_it_only_resembles_an_attribute(void **state)
{
    static const char *const bad[] = { "ce-id", "CE_id", "Ce_id", "ce_expectedVersion", "ce_", "ce_a-b", "ce-" };
    static const char *const good[] = { "ce_id", "ce_x9", "ce", "cent", "ceid", "content-type", "acce_id", "" };
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        if (!envelope_attributes_is_misspelt(span_of(bad[i])))
            fail_msg("%s", bad[i]);
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
        if (envelope_attributes_is_misspelt(span_of(good[i])))
            fail_msg("%s", good[i]);
}

/* --- media types ------------------------------------------------------------------------------------------------- */

static void a_media_type_has_any_case_and_any_parameters(void **state)
{
    static const char type[] = "application/cloudevents+json";
    (void)state;
    assert_true(envelope_attributes_is_media_type(S("application/cloudevents+json"), type));
    assert_true(envelope_attributes_is_media_type(S("Application/CloudEvents+JSON; charset=utf-8"), type));
    assert_true(envelope_attributes_is_media_type(S("application/cloudevents+json\t"), type));
    assert_false(envelope_attributes_is_media_type(S("application/cloudevents+jsonx"), type));
    assert_false(envelope_attributes_is_media_type(S("application/cloudevents"), type));
    assert_false(envelope_attributes_is_media_type(SPAN_NULL, type));
}

static void json_is_told_by_its_type_or_its_suffix(void **state)
{
    static const char *const good[] = { "application/json", "text/json; charset=utf-8", "APPLICATION/JSON",
                                        "application/x.y+json; a", "a/b+JSON" };
    static const char *const bad[] = { "text/plain", "application/jsonx", "/b+json",          "a/+json",
                                       "a+json",     "a/b/c+json",        "text/plain;+json", "" };
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
        if (!envelope_attributes_is_json_type(span_of(good[i])))
            fail_msg("%s", good[i]);
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        if (envelope_attributes_is_json_type(span_of(bad[i])))
            fail_msg("%s", bad[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_become_values_by_their_kind),
        cmocka_unit_test(members_are_found_in_any_order),
        cmocka_unit_test(the_first_name_that_no_attribute_can_have_is_noted),
        cmocka_unit_test(data_in_base64_is_noticed_unless_it_is_null),
        cmocka_unit_test(headers_become_values_by_their_attribute),
        cmocka_unit_test(a_number_is_up_to_18_digits_and_nothing_else),
        cmocka_unit_test(a_boolean_is_one_of_two_words),
        cmocka_unit_test(bytes_that_are_not_text_are_noted),
        cmocka_unit_test(a_misspelt_header_is_noted),
        cmocka_unit_test(a_header_is_misspelt_where_it_only_resembles_an_attribute),
        cmocka_unit_test(a_media_type_has_any_case_and_any_parameters),
        cmocka_unit_test(json_is_told_by_its_type_or_its_suffix),
    };
    return cmocka_run_group_tests(tests, set_up_arena, tear_down_arena);
}
