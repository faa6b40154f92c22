#include "tests/fixtures/arena.h"

#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include "workflows/parameters/parameters.h"

/* A table of its own with every kind, so that the tests do not move with the workflows. */

static const char *const colour_words[] = { NULL, "RED", "GREEN" };
static const struct names colours = { .names = colour_words, .count = 3 };

struct point
{
    struct field_number x, y;
};

struct part
{
    struct field_int id;
    int colour;
};

struct everything
{
    struct field_int id, count, at;
    struct field_number share;
    struct field_bool flag;
    struct span text;
    int colour;
    struct field_id uuid;
    struct aggregate aggregate;
    const struct node *json;
    struct field_ids ids;
    struct point point;
    struct field_objects parts;
    struct field_int optional;
};

#define AT(member) offsetof(struct everything, member)

static const struct parameter point_table[] = {
    { "x", PARAMETER_NUMBER, offsetof(struct point, x), PARAMETER_REQUIRED, -90, 90, NULL, NULL, 0, "east" },
    { "y", PARAMETER_NUMBER, offsetof(struct point, y), 0, 0, 0, NULL, NULL, 0, NULL },
    { .name = NULL },
};

static const struct parameter part_table[] = {
    { "id", PARAMETER_ID, offsetof(struct part, id), PARAMETER_REQUIRED, 0, 0, NULL, NULL, 0, NULL },
    { "colour", PARAMETER_NAME, offsetof(struct part, colour), 0, 0, 0, &colours, NULL, 0, NULL },
    { .name = NULL },
};

static const struct parameter table[] = {
    { "id", PARAMETER_ID, AT(id), PARAMETER_REQUIRED, 0, 0, NULL, NULL, 0, "whose" },
    { "count", PARAMETER_INTEGER, AT(count), 0, 0, 10, NULL, NULL, 0, NULL },
    { "share", PARAMETER_NUMBER, AT(share), 0, 0, 1, NULL, NULL, 0, NULL },
    { "flag", PARAMETER_BOOLEAN, AT(flag), 0, 0, 0, NULL, NULL, 0, NULL },
    { "text", PARAMETER_TEXT, AT(text), 0, 1, 8, NULL, NULL, 0, NULL },
    { "colour", PARAMETER_NAME, AT(colour), PARAMETER_NULLABLE, 0, 0, &colours, NULL, 0, NULL },
    { "at", PARAMETER_TIME, AT(at), 0, 0, 0, NULL, NULL, 0, NULL },
    { "uuid", PARAMETER_UUID, AT(uuid), 0, 0, 0, NULL, NULL, 0, NULL },
    { "aggregate", PARAMETER_AGGREGATE, AT(aggregate), 0, 0, 0, NULL, NULL, 0, NULL },
    { "json", PARAMETER_JSON, AT(json), 0, 0, 0, NULL, NULL, 0, NULL },
    { "ids", PARAMETER_IDS, AT(ids), 0, 1, 3, NULL, NULL, 0, NULL },
    { "point", PARAMETER_OBJECT, AT(point), 0, 0, 0, NULL, point_table, 0, NULL },
    { "parts", PARAMETER_OBJECTS, AT(parts), 0, 0, 2, NULL, part_table, sizeof(struct part), NULL },
    { "optional", PARAMETER_ID, AT(optional), PARAMETER_NULLABLE, 0, 0, NULL, NULL, 0, NULL },
    { .name = NULL },
};

static bool decode(const char *text, struct everything *into, struct span *reterr)
{
    struct document document;
    struct document_failure failure;
    memset(into, 0, sizeof(*into));
    *reterr = SPAN_NULL;
    assert_true(document_parse(&arena, span_of(text), &document, &failure));
    return parameters_decode(table, &document, &document.nodes[0], &arena, into, reterr);
}

static struct everything decoded(const char *text)
{
    struct everything everything;
    struct span error;
    bool good = decode(text, &everything, &error);
    if (!good)
        print_message("%s: %.*s\n", text, (int)error.size, error.at);
    assert_true(good);
    return everything;
}

static void assert_refused(const char *text, const char *pointer, const char *message)
{
    struct everything everything;
    struct span error;
    if (decode(text, &everything, &error))
        fail_msg("%s is accepted", text);
    char expected[512];
    snprintf(expected, sizeof(expected), "{\"parameter\":\"%s\",\"message\":\"%s\"}", pointer, message);
    assert_string_equal(error.at, expected);
    assert_int_equal(error.size, strlen(expected));
}

static void every_kind_is_decoded_into_its_field(void **state)
{
    (void)state;
    struct everything all =
        decoded("{\"id\":42,\"count\":10,\"share\":0.25,\"flag\":true,\"text\":\"a\\u00fc\",\"colour\":\"GREEN\","
                "\"at\":\"2026-11-24T09:00:00Z\",\"uuid\":\"0c5c7fd0-1234-4e6f-9f00-001122334455\","
                "\"aggregate\":\"jobneed/7\",\"json\":{\"any\":[1]},\"ids\":[3,1,2],\"point\":{\"x\":1,\"y\":-2.5},"
                "\"parts\":[{\"id\":1},{\"id\":2,\"colour\":\"RED\"}],\"optional\":9}");
    assert_true(all.id.set && all.id.value == 42);
    assert_true(all.count.set && all.count.value == 10);
    assert_true(all.share.set && all.share.value == 0.25);
    assert_true(all.flag.set && all.flag.value);
    assert_true(span_is(all.text, "a\xc3\xbc"));
    assert_int_equal(all.colour, 2);
    assert_true(all.at.set && all.at.value == INT64_C(1795510800000000));
    assert_true(all.uuid.set && all.uuid.value.high == UINT64_C(0x0c5c7fd012344e6f));
    assert_int_equal(all.aggregate.kind, AGGREGATE_JOBNEED);
    assert_true(id_equal(all.aggregate.id, id_of(7)));
    assert_int_equal(all.json->kind, NODE_OBJECT);
    assert_int_equal(all.ids.count, 3);
    assert_int_equal(all.ids.at[0], 3);
    assert_int_equal(all.ids.at[2], 2);
    assert_true(all.point.x.value == 1.0 && all.point.y.value == -2.5);
    const struct part *parts = all.parts.at;
    assert_int_equal(all.parts.count, 2);
    assert_int_equal(parts[1].id.value, 2);
    assert_int_equal(parts[0].colour, 0);
    assert_int_equal(parts[1].colour, 1);
    assert_int_equal(all.optional.value, 9);
}

static void an_absent_member_stays_unset(void **state)
{
    (void)state;
    struct everything all = decoded("{\"id\":1}");
    assert_false(all.count.set);
    assert_false(all.flag.set);
    assert_null(all.text.at);
    assert_int_equal(all.colour, 0);
    assert_null(all.json);
    assert_null(all.ids.at);
    assert_int_equal(all.aggregate.kind, AGGREGATE_NONE);
}

static void members_may_come_in_any_order(void **state)
{
    (void)state;
    struct everything all = decoded("{\"optional\":5,\"flag\":false,\"count\":0,\"id\":9223372036854775807}");
    assert_true(all.id.value == INT64_MAX);
    assert_true(all.flag.set && !all.flag.value);
}

static void null_is_absent_where_the_table_says_so_and_wrong_elsewhere(void **state)
{
    (void)state;
    struct everything all = decoded("{\"id\":1,\"colour\":null,\"optional\":null,\"json\":null}");
    assert_int_equal(all.colour, 0);
    assert_false(all.optional.set);
    assert_int_equal(all.json->kind, NODE_NULL); /* any value: null is one */
    assert_refused("{\"id\":null}", "/id", "expected an id, a whole number of at least 1");
    assert_refused("{\"id\":1,\"text\":null}", "/text", "expected a text of 1 to 8 bytes");
}

static void missing_and_unknown_members_are_named(void **state)
{
    (void)state;
    assert_refused("{}", "/id", "is required");
    assert_refused("{\"id\":1,\"Count\":1}", "/Count", "no such parameter");
    assert_refused("{\"id\":1,\"a/b~c\":1}", "/a~1b~0c", "no such parameter");
    assert_refused("{\"id\":1,\"\":1}", "/", "no such parameter");
    assert_refused("{\"id\":1,\"point\":{\"y\":1}}", "/point/x", "is required");
    assert_refused("{\"id\":1,\"parts\":[{\"id\":1},{}]}", "/parts/1/id", "is required");
    assert_refused("{\"id\":1,\"parts\":[{\"id\":1,\"seq\":1}]}", "/parts/0/seq", "no such parameter");
    assert_refused("[1]", "", "expected an object");
}

static void a_long_unknown_name_is_cut_between_characters(void **state)
{
    (void)state;
    struct buffer text = BUFFER_EMPTY;
    buffer_add_text(&text, "{\"id\":1,\"x");
    for (int i = 0; i < 100; i++)
        buffer_add_text(&text, "\xc3\xbc");
    buffer_add(&text, "\":1}", sizeof "\":1}");
    struct everything everything;
    struct span error;
    assert_false(decode(text.at, &everything, &error));
    buffer_done(&text);
    json_t *metadata = json_loads(error.at, 0, NULL); /* refuses half a character */
    assert_non_null(metadata);
    assert_int_equal(json_string_length(json_object_get(metadata, "parameter")), 1 + 63);
    json_decref(metadata);
}

static void values_out_of_range_or_kind_are_refused(void **state)
{
    (void)state;
    static const char id_message[] = "expected an id, a whole number of at least 1";
    static const char count_message[] = "expected a whole number of 0 to 10";
    assert_refused("{\"id\":0}", "/id", id_message);
    assert_refused("{\"id\":-1}", "/id", id_message);
    assert_refused("{\"id\":1.5}", "/id", id_message);
    assert_refused("{\"id\":1e-1}", "/id", id_message);
    assert_refused("{\"id\":\"1\"}", "/id", id_message);
    assert_refused("{\"id\":9223372036854775808}", "/id", id_message);
    assert_refused("{\"id\":1,\"count\":11}", "/count", count_message);
    assert_refused("{\"id\":1,\"count\":-1}", "/count", count_message);
    assert_refused("{\"id\":1,\"count\":true}", "/count", count_message);
    assert_refused("{\"id\":1,\"share\":1.5}", "/share", "expected a number of 0 to 1");
    assert_refused("{\"id\":1,\"share\":\"0.5\"}", "/share", "expected a number of 0 to 1");
    assert_refused("{\"id\":1,\"point\":{\"x\":1,\"y\":[]}}", "/point/y", "expected a number");
    assert_refused("{\"id\":1,\"point\":7}", "/point", "expected an object");
    assert_refused("{\"id\":1,\"flag\":1}", "/flag", "expected true or false");
    assert_refused("{\"id\":1,\"text\":\"\"}", "/text", "expected a text of 1 to 8 bytes");
    assert_refused("{\"id\":1,\"text\":\"123456789\"}", "/text", "expected a text of 1 to 8 bytes");
    assert_refused("{\"id\":1,\"colour\":\"red\"}", "/colour", "expected one of RED GREEN");
    assert_refused("{\"id\":1,\"colour\":\"\"}", "/colour", "expected one of RED GREEN");
    assert_refused("{\"id\":1,\"colour\":1}", "/colour", "expected one of RED GREEN");
    assert_refused("{\"id\":1,\"at\":\"yesterday\"}", "/at", "expected an RFC 3339 time like 2026-11-24T09:00:00Z");
    assert_refused("{\"id\":1,\"uuid\":\"42\"}", "/uuid", "expected a uuid");
    assert_refused("{\"id\":1,\"aggregate\":\"jobneed/07\"}", "/aggregate", "expected an aggregate like jobneed/7");
}

static void a_whole_number_may_be_written_with_a_fraction_or_exponent(void **state)
{
    (void)state;
    struct everything all = decoded("{\"id\":5.0,\"count\":1e1,\"ids\":[3.0,20e-1]}");
    assert_int_equal(all.id.value, 5);
    assert_int_equal(all.count.value, 10);
    assert_int_equal(all.ids.at[1], 2);
    assert_refused("{\"id\":1,\"ids\":[2,2.0]}", "/ids", "an id stands there twice");
}

static void a_number_beyond_a_double_is_refused_where_it_stands(void **state)
{
    (void)state;
    static const char message[] = "a number beyond the range of a double";
    assert_refused("{\"id\":1e400}", "/id", message);
    assert_refused("{\"id\":1,\"share\":-1e400}", "/share", message);
    assert_refused("{\"id\":1,\"point\":{\"x\":1,\"y\":1e400}}", "/point/y", message);
    assert_refused("{\"id\":1,\"json\":1e400}", "/json", message);
    assert_refused("{\"id\":1,\"json\":{\"a\":[0,{\"b\":1e400}]}}", "/json", message);
}

static void arrays_have_their_limits_and_ids_are_distinct(void **state)
{
    (void)state;
    assert_refused("{\"id\":1,\"ids\":[]}", "/ids", "expected an array of 1 to 3 ids");
    assert_refused("{\"id\":1,\"ids\":[1,2,3,4]}", "/ids", "expected an array of 1 to 3 ids");
    assert_refused("{\"id\":1,\"ids\":[2,1,2]}", "/ids", "an id stands there twice");
    assert_refused("{\"id\":1,\"ids\":[2,\"1\"]}", "/ids/1", "expected an id, a whole number of at least 1");
    assert_refused("{\"id\":1,\"ids\":{}}", "/ids", "expected an array of 1 to 3 ids");
    assert_refused("{\"id\":1,\"parts\":[{\"id\":1},{\"id\":2},{\"id\":3}]}", "/parts",
                   "expected an array of 0 to 2 objects");
    assert_refused("{\"id\":1,\"parts\":[{\"id\":1},7]}", "/parts/1", "expected an object");
    assert_int_equal(decoded("{\"id\":1,\"parts\":[]}").parts.count, 0);
}

static void no_memory_is_not_an_answer_about_the_command(void **state)
{
    (void)state;
    struct document document;
    struct document_failure failure;
    struct everything everything = { .flag = { false, false } };
    struct span error = SPAN_NULL;
    assert_true(document_parse(&arena, SPAN_LITERAL("{\"id\":1,\"ids\":[1]}"), &document, &failure));
    assert_null(arena_take(&arena, SIZE_MAX)); /* from here on the arena has failed */
    assert_false(parameters_decode(table, &document, &document.nodes[0], &arena, &everything, &error));
    assert_true(arena_failed(&arena));
    assert_null(error.at);
    arena_reset(&arena, 1 << 20);
}

/* --- times ------------------------------------------------------------------------------------------------------- */

static void rfc_3339_times_are_read(void **state)
{
    (void)state;
    static const struct
    {
        const char *text;
        int64_t unix_us;
    } times[] = {
        { "1970-01-01T00:00:00Z", 0 },
        { "1970-01-01t00:00:00z", 0 },
        { "2026-11-24T09:00:00.000Z", INT64_C(1795510800000000) },
        { "2026-11-24T09:00:00.1Z", INT64_C(1795510800100000) },
        { "2026-11-24T09:00:00.123456Z", INT64_C(1795510800123456) },
        { "2026-11-24T09:00:00.123456999Z", INT64_C(1795510800123456) },
        { "2026-11-24T14:30:00+05:30", INT64_C(1795510800000000) },
        { "2026-11-24T04:00:00-05:00", INT64_C(1795510800000000) },
        { "2026-11-24T09:00:00-00:00", INT64_C(1795510800000000) },
        { "2024-02-29T00:00:00Z", INT64_C(1709164800000000) },
        { "1969-12-31T23:59:59.5Z", -500000 },
        { "2016-12-31T23:59:60Z", INT64_C(1483228800000000) },
        { "2017-01-01T05:29:60.5+05:30", INT64_C(1483228800000000) },
        { "9999-12-31T23:59:59.999999Z", INT64_C(253402300799999999) },
        { "0000-01-01T00:00:00Z", INT64_C(-62167219200000000) },
    };
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
    {
        int64_t unix_us = 7;
        if (!parameters_parse_time(span_of(times[i].text), &unix_us) || unix_us != times[i].unix_us)
            fail_msg("%s: %lld", times[i].text, (long long)unix_us);
    }
}

static void texts_that_are_not_times_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "Z",
        "2026-11-24",
        "2026-11-24T09:00:00",
        "2026-11-24T09:00Z",
        "2026-11-24 09:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-01-32T00:00:00Z",
        "2026-01-00T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z",
        "2026-01-01T00:00:61Z",
        "2026-01-01T12:00:60Z",
        "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00:00,5Z",
        "2026-01-01T00:00:00.5",
        "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:00+05:60",
        "2026-01-01T00:00:00+0530",
        "2026-01-01T00:00:00+05",
        "2026-01-01T00:00:00ZZ",
        "2026-01-01T00:00:00Z ",
        " 2026-01-01T00:00:00Z",
        "26-01-01T00:00:00Z",
        "+2026-01-01T00:00:00Z",
        "20a6-01-01T00:00:00Z",
        "2026-01-01T00:00:0xZ",
        "1900-02-29T00:00:00Z",
        "9999-12-31T23:59:59-00:01",
        "0000-01-01T00:00:00+00:01",
        "1795510800",
    };
    int64_t unix_us;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
    {
        if (parameters_parse_time(span_of(bad[i]), &unix_us))
            fail_msg("%s is accepted", bad[i]);
    }
    assert_false(parameters_parse_time(SPAN_NULL, &unix_us));
}

static void printed_times_are_read_back(void **state)
{
    (void)state;
    struct buffer buffer = BUFFER_EMPTY;
    for (int64_t unix_us = INT64_C(-62167219200000000); unix_us < INT64_C(253402300799999999);
         unix_us += INT64_C(31556952007919))
    {
        int64_t read;
        buffer_clear(&buffer);
        buffer_add_time(&buffer, unix_us);
        assert_true(parameters_parse_time(buffer_span(&buffer), &read));
        assert_true(read == unix_us);
    }
    buffer_done(&buffer);
}

/* --- schema ------------------------------------------------------------------------------------------------------ */

static void the_schema_says_what_the_decoder_does(void **state)
{
    (void)state;
    struct buffer buffer = BUFFER_EMPTY;
    parameters_print_schema(table, &buffer);
    json_t *schema = json_loadb(buffer.at, buffer.size, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(schema);
    assert_string_equal(json_string_value(json_object_get(schema, "type")), "object");
    assert_true(json_is_false(json_object_get(schema, "additionalProperties")));
    assert_int_equal(json_array_size(json_object_get(schema, "required")), 1);
    json_t *properties = json_object_get(schema, "properties");
    assert_int_equal(json_object_size(properties), 14);
    assert_string_equal(json_string_value(json_object_get(json_object_get(properties, "id"), "description")), "whose");
    assert_int_equal(json_integer_value(json_object_get(json_object_get(properties, "count"), "maximum")), 10);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(properties, "text"), "maxLength")), 8);
    assert_null(json_object_get(
        json_object_get(json_object_get(json_object_get(properties, "point"), "properties"), "y"), "minimum"));
    json_t *colour = json_object_get(json_object_get(properties, "colour"), "enum");
    assert_int_equal(json_array_size(colour), 3); /* two words and null */
    assert_true(json_is_null(json_array_get(colour, 2)));
    json_t *items = json_object_get(json_object_get(properties, "parts"), "items");
    assert_true(json_is_false(json_object_get(items, "additionalProperties")));
    json_t *optional = json_object_get(json_object_get(properties, "optional"), "type");
    assert_string_equal(json_string_value(json_array_get(optional, 1)), "null");
    json_decref(schema);
    buffer_done(&buffer);
}

/* --- vectors ----------------------------------------------------------------------------------------------------- */

static const struct parameter vector_table[] = {
    { "vector", PARAMETER_VECTOR, 0, PARAMETER_REQUIRED, 3, 3, NULL, NULL, 0, NULL },
    { .name = NULL },
};

static void a_vector_is_so_many_numbers_of_single_precision(void **state)
{
    static const struct
    {
        const char *text, *refusal;
    } cases[] = {
        { "{\"vector\":[1,-2.5,1e-60]}", NULL },
        { "{\"vector\":[1,2]}", "{\"parameter\":\"/vector\",\"message\":\"expected an array of 3 numbers\"}" },
        { "{\"vector\":[1,2,3,4]}", "{\"parameter\":\"/vector\",\"message\":\"expected an array of 3 numbers\"}" },
        { "{\"vector\":\"123\"}", "{\"parameter\":\"/vector\",\"message\":\"expected an array of 3 numbers\"}" },
        { "{\"vector\":[1,true,3]}",
          "{\"parameter\":\"/vector/1\",\"message\":\"expected a number that single precision can hold\"}" },
        { "{\"vector\":[1,2,1e39]}",
          "{\"parameter\":\"/vector/2\",\"message\":\"expected a number that single precision can hold\"}" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    {
        struct document document;
        struct document_failure failure;
        struct field_vector vector = { NULL, 0 };
        struct span refusal = SPAN_NULL;
        assert_true(document_parse(&arena, span_of(cases[i].text), &document, &failure));
        bool decoded = parameters_decode(vector_table, &document, &document.nodes[0], &arena, &vector, &refusal);
        assert_int_equal(decoded, cases[i].refusal == NULL);
        if (!decoded)
            assert_true(span_is(refusal, cases[i].refusal));
        else
            assert_true(vector.count == 3 && vector.at[0] == 1 && vector.at[1] == -2.5F && vector.at[2] == 0);
    }
    struct buffer schema = BUFFER_EMPTY;
    parameters_print_schema(vector_table, &schema);
    static const char bounds[] = "\"minItems\":3,\"maxItems\":3";
    assert_non_null(memmem(schema.at, schema.size, bounds, sizeof(bounds) - 1));
    buffer_done(&schema);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_vector_is_so_many_numbers_of_single_precision),
        cmocka_unit_test(every_kind_is_decoded_into_its_field),
        cmocka_unit_test(an_absent_member_stays_unset),
        cmocka_unit_test(members_may_come_in_any_order),
        cmocka_unit_test(null_is_absent_where_the_table_says_so_and_wrong_elsewhere),
        cmocka_unit_test(missing_and_unknown_members_are_named),
        cmocka_unit_test(a_long_unknown_name_is_cut_between_characters),
        cmocka_unit_test(values_out_of_range_or_kind_are_refused),
        cmocka_unit_test(a_whole_number_may_be_written_with_a_fraction_or_exponent),
        cmocka_unit_test(a_number_beyond_a_double_is_refused_where_it_stands),
        cmocka_unit_test(arrays_have_their_limits_and_ids_are_distinct),
        cmocka_unit_test(no_memory_is_not_an_answer_about_the_command),
        cmocka_unit_test(rfc_3339_times_are_read),
        cmocka_unit_test(texts_that_are_not_times_are_refused),
        cmocka_unit_test(printed_times_are_read_back),
        cmocka_unit_test(the_schema_says_what_the_decoder_does),
    };
    return cmocka_run_group_tests(tests, set_up_arena, tear_down_arena);
}
