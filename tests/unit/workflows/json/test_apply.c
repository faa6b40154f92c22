#include "tests/fixtures/core.h"

#include <stdio.h>
#include <string.h>

#include "workflows/document/decimal.h"
#include "workflows/document/text.h"
#include "workflows/model/limits.h"

/* --- decimals ---------------------------------------------------------------------------------------------------- */

/* a + b as text; NULL: it cannot be had exactly. */
static const char *sum(const char *a, const char *b)
{
    static char text[64];
    struct decimal left, right, result;
    if (!decimal_parse(span_of(a), &left) || !decimal_parse(span_of(b), &right) || !decimal_add(left, right, &result))
        return NULL;
    struct buffer buffer = BUFFER_EMPTY;
    decimal_print(result, &buffer);
    snprintf(text, sizeof(text), "%.*s", (int)buffer.size, buffer.at);
    buffer_done(&buffer);
    return text;
}

static void sums_are_exact(void **state)
{
    (void)state;
    static const char *const sums[][3] = {
        { "0", "1", "1" },
        { "0.1", "0.2", "0.3" },
        { "1.50", "1.5", "3" },
        { "-0.75", "0.5", "-0.25" },
        { "1e2", "1", "101" },
        { "12.5E3", "-12500", "0" },
        { "-0", "0.0", "0" },
        { "0e-99999999999", "3", "3" },
        { "9007199254740993", "1", "9007199254740994" },
        { "9223372036854775806", "1", "9223372036854775807" },
        { "-9223372036854775807", "-1", "-9223372036854775808" },
        { "9223372036854775807", "-9223372036854775808", "-1" },
        { "9.223372036854775806", "0.000000000000000001", "9.223372036854775807" },
        { "0.000000000000000001", "0", "0.000000000000000001" },
        { "-9.223372036854775808", "0", "-9.223372036854775808" },
        { "1000000000000000000e-18", "1", "2" },
        { "0.00000000000000000000000000001e29", "0.5", "1.5" },
        { "100000000000000000000000000000e-29", "-0.05", "0.95" },
        { "922337203685477580.7", "0", "922337203685477580.7" },
    };
    for (size_t i = 0; i < sizeof(sums) / sizeof(sums[0]); i++)
    {
        const char *found = sum(sums[i][0], sums[i][1]);
        if (!found || strcmp(found, sums[i][2]) != 0)
            fail_msg("%s + %s is %s", sums[i][0], sums[i][1], found ? found : "refused");
    }
}

static void a_sum_that_64_bits_do_not_hold_is_refused(void **state)
{
    (void)state;
    static const char *const sums[][2] = {
        { "9223372036854775807", "1" },
        { "-9223372036854775808", "-1" },
        { "9223372036854775808", "-1" }, /* each must fit, not the sum alone */
        { "123456789012345678901234567890", "0" },
        { "1e19", "0" },
        { "1e999999999999999", "0" },
        { "0.0000000000000000001", "0" }, /* 19 places */
        { "1e-999999999999999", "0" },
        { "9223372036854775807", "0.1" },
        { "10", "0.000000000000000001" },
        { "1x", "0" },
        { "1.5e", "0" },
        { "1e+", "0" },
        { "true", "0" },
        { "", "0" },
        { "-", "0" },
    };
    for (size_t i = 0; i < sizeof(sums) / sizeof(sums[0]); i++)
        if (sum(sums[i][0], sums[i][1]))
            fail_msg("%s + %s is taken", sums[i][0], sums[i][1]);
}

/* --- json.apply -------------------------------------------------------------------------------------------------- */

static void put_info(struct core *core, int64_t id, const char *other_info)
{
    core_put_jobneed(core, id, 0, JOBNEED_ASSIGNED, IDENTIFIER_TASK);
    struct jobneed_row row = *core_jobneed(core, id);
    row.other_info = span_of(other_info);
    core_put(core, &entity_jobneed, &row);
}

#define APPLY(operations) "{\"aggregate\":\"jobneed/7\",\"field\":\"other_info\",\"operations\":[" operations "]}"
#define OPERATION(op, path) "{\"op\":\"" op "\",\"path\":\"" path "\"}"
#define WITH_VALUE(op, path, value) "{\"op\":\"" op "\",\"path\":\"" path "\",\"value\":" value "}"
#define WITH_BY(path, by) "{\"op\":\"increment\",\"path\":\"" path "\",\"by\":" by "}"

/* The field before, the operations, the field after. */
struct example
{
    const char *before, *data, *after;
};

static void assert_examples(struct core *core, const struct example *examples, size_t count)
{
    for (size_t i = 0; i < count; i++)
    {
        put_info(core, 7, examples[i].before);
        struct answer answer = core_run(core, "json.apply", examples[i].data);
        if (answer.outcome != OUTCOME_APPLIED)
            fail_msg("%s: %s %s", examples[i].data, outcome_name(answer.outcome), answer.metadata);
        assert_int_equal(answer.operation, OPERATION_JSON_UPDATE);
        struct span found = core_jobneed(core, 7)->other_info;
        if (!json_text_equal(&core->lasting, found, span_of(examples[i].after)))
            fail_msg("%s: %.*s", examples[i].data, (int)found.size, found.at);
    }
}

static void each_operation_changes_its_place_and_no_other(void **state)
{
    static const struct example examples[] = {
        { "{\"a\":1,\"b\":[1,2]}", APPLY(WITH_VALUE("set", "/a", "{\"c\":null}")), "{\"a\":{\"c\":null},\"b\":[1,2]}" },
        { "{\"a\":1}", APPLY(WITH_VALUE("set", "/b", "null")), "{\"a\":1,\"b\":null}" },
        { "{\"a\":[1,2,3]}", APPLY(WITH_VALUE("set", "/a/1", "9")), "{\"a\":[1,9,3]}" },
        { "{\"a\":[1]}", APPLY(WITH_VALUE("set", "/a/1", "2")), "{\"a\":[1,2]}" },
        { "{\"a\":[1]}", APPLY(WITH_VALUE("set", "/a/-", "2")), "{\"a\":[1,2]}" },
        { "{\"a\":1}", APPLY(WITH_VALUE("set", "", "{\"z\":0}")), "{\"z\":0}" },
        { "{\"a\":4}", APPLY(OPERATION("increment", "/a")), "{\"a\":5}" },
        { "{\"a\":4}", APPLY(WITH_BY("/a", "-4.5")), "{\"a\":-0.5}" },
        { "{\"a\":[0,1]}", APPLY(WITH_BY("/a/1", "10")), "{\"a\":[0,11]}" },
        { "{\"big\":9223372036854775806}", APPLY(OPERATION("increment", "/big")), "{\"big\":9223372036854775807}" },
        { "{\"a\":0.1}", APPLY(WITH_BY("/a", "0.2")), "{\"a\":0.3}" },
        { "{\"a\":[1]}", APPLY(WITH_VALUE("append", "/a", "[2]")), "{\"a\":[1,[2]]}" },
        { "{\"a\":1,\"b\":2}", APPLY(OPERATION("remove", "/a")), "{\"b\":2}" },
        { "{\"a\":[1,2,3]}", APPLY(OPERATION("remove", "/a/0")), "{\"a\":[2,3]}" },
        { "{\"a/b\":1,\"m~n\":2}", APPLY(OPERATION("increment", "/a~1b") "," OPERATION("remove", "/m~0n")),
          "{\"a/b\":2}" },
        { "{\"\":1}", APPLY(OPERATION("increment", "/")), "{\"\":2}" },
    };
    assert_examples(*state, examples, sizeof(examples) / sizeof(examples[0]));
}

static void places_that_are_not_there_are_made(void **state)
{
    static const struct example examples[] = {
        { "{}", APPLY(WITH_VALUE("set", "/a/b/c", "1")), "{\"a\":{\"b\":{\"c\":1}}}" },
        { "{}", APPLY(OPERATION("increment", "/visits/7")), "{\"visits\":{\"7\":1}}" },
        { "{}", APPLY(WITH_BY("/n", "0")), "{\"n\":0}" },
        { "{}", APPLY(WITH_VALUE("append", "/log", "1")), "{\"log\":[1]}" },
        { "{\"l\":[]}", APPLY(WITH_VALUE("set", "/l/-/who", "7")), "{\"l\":[{\"who\":7}]}" },
        { "{\"l\":[3]}", APPLY(WITH_VALUE("append", "/l/1", "7")), "{\"l\":[3,[7]]}" },
        { "{\"l\":[3]}", APPLY(WITH_BY("/l/-", "2")), "{\"l\":[3,2]}" },
        { "{}", APPLY(WITH_VALUE("set", "/a/-", "1")), "{\"a\":{\"-\":1}}" },
        { "{\"keep\":1}", APPLY(OPERATION("remove", "/keep") "," WITH_VALUE("set", "/keep/x", "2")),
          "{\"keep\":{\"x\":2}}" },
    };
    assert_examples(*state, examples, sizeof(examples) / sizeof(examples[0]));
}

static void operations_see_what_those_before_them_left(void **state)
{
    static const struct example examples[] = {
        { "{\"a\":1}",
          APPLY(WITH_VALUE("set", "/b", "[{\"n\":1}]") "," OPERATION("increment", "/b/0/n") "," WITH_VALUE(
              "append", "/b",
              "5") "," WITH_VALUE("test", "/b",
                                  "[{\"n\":2},5.0]") "," OPERATION("remove",
                                                                   "/b/0") "," WITH_VALUE("test", "",
                                                                                          "{\"b\":[5],\"a\":1}")),
          "{\"a\":1,\"b\":[5]}" },
        { "{\"a\":{\"x\":1}}",
          APPLY(OPERATION("increment", "/a/x") "," WITH_VALUE("set", "/a", "{\"x\":10}") "," OPERATION("increment",
                                                                                                       "/a/x")),
          "{\"a\":{\"x\":11}}" },
        { "{\"a\":[0,1,2,3]}", APPLY(OPERATION("remove", "/a/1") "," OPERATION("remove", "/a/1")), "{\"a\":[0,3]}" },
    };
    assert_examples(*state, examples, sizeof(examples) / sizeof(examples[0]));
}

static void parts_that_are_not_named_stay_byte_for_byte(void **state)
{
    struct core *core = *state;
    struct order orders[] = {
        { "json.replace", "{\"aggregate\":\"jobneed/7\",\"field\":\"other_info\",\"value\":"
                          "{\"x\": {\"big\": 123456789012345678901234567890.10, \"s\":\"\\u00e9\"}, \"n\":1}}" },
        { "json.apply", APPLY(OPERATION("increment", "/n")) },
    };
    struct answer answers[2];
    put_info(core, 7, "{}");
    core_run_batch(core, orders, 2, answers);
    assert_applied(answers[1]);
    struct span found = core_jobneed(core, 7)->other_info;
    assert_true(
        json_text_equal(&core->lasting, found,
                        SPAN_LITERAL("{\"n\":2,\"x\":{\"big\":123456789012345678901234567890.1,\"s\":\"\xc3\xa9\"}}")));
}

static void nothing_that_differs_is_unchanged(void **state)
{
    struct core *core = *state;
    static const char *const same[] = {
        APPLY(WITH_VALUE("set", "/a", "1.0")),
        APPLY(WITH_BY("/a", "0")),
        APPLY(WITH_VALUE("test", "/a", "1")),
        APPLY(OPERATION("remove", "/nothing")),
        APPLY(OPERATION("remove", "/nothing/there")),
        APPLY(OPERATION("remove", "/a/x")),
        APPLY(OPERATION("remove", "/l/-")),
        APPLY(OPERATION("remove", "/l/2")),
        APPLY(OPERATION("increment", "/a") "," WITH_BY("/a", "-1")),
        APPLY(WITH_VALUE("set", "", "{\"l\":[1,2],\"a\":1}")),
    };
    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++)
    {
        put_info(core, 7, "{\"a\":1,\"l\":[1,2]}");
        struct answer answer = core_run(core, "json.apply", same[i]);
        if (answer.outcome != OUTCOME_UNCHANGED)
            fail_msg("%s: %s %s", same[i], outcome_name(answer.outcome), answer.metadata);
        assert_int_equal(core_jobneed(core, 7)->version.value, 1);
    }
}

static void assert_refusal(struct core *core, const char *data, enum reason reason, const char *parameter)
{
    char expected[256];
    struct answer answer = core_run(core, "json.apply", data);
    snprintf(expected, sizeof(expected), "{\"parameter\":\"%s\",", parameter);
    if (answer.outcome != OUTCOME_REJECTED || answer.reason != reason ||
        strncmp(answer.metadata, expected, strlen(expected)) != 0)
        fail_msg("%s: %s %s %s", data, outcome_name(answer.outcome), reason_name(answer.reason), answer.metadata);
}

static void a_test_that_fails_refuses_the_whole_command_and_names_itself(void **state)
{
    struct core *core = *state;
    static const char before[] = "{\"a\":1,\"l\":[1,2],\"n\":null}";
    static const char *const failing[] = {
        WITH_VALUE("test", "/a", "2"),     WITH_VALUE("test", "/a", "\"1\""),
        WITH_VALUE("test", "/b", "null"),  WITH_VALUE("test", "/l", "[2,1]"),
        WITH_VALUE("test", "/l/-", "2"),   WITH_VALUE("test", "/l/2", "2"),
        WITH_VALUE("test", "/a/b/c", "1"), WITH_VALUE("test", "/n", "0"),
        WITH_VALUE("test", "", "{}"),      WITH_VALUE("test", "/l/99999999999999999999", "1"),
    };
    for (size_t i = 0; i < sizeof(failing) / sizeof(failing[0]); i++)
    {
        char data[512];
        put_info(core, 7, before);
        snprintf(data, sizeof(data), APPLY("%s,%s"), OPERATION("increment", "/a"), failing[i]);
        if (i < 2) /* the first operation did not leave 2 either */
            snprintf(data, sizeof(data), APPLY("%s,%s"), OPERATION("remove", "/l"), failing[i]);
        assert_refusal(core, data, REASON_TEST_FAILED, "/operations/1/value");
        assert_text(core_jobneed(core, 7)->other_info, before);
    }
    assert_applied(core_run(
        core, "json.apply",
        APPLY(WITH_VALUE("test", "/n", "null") "," WITH_VALUE("test", "/l/0", "1e0") "," OPERATION("remove", "/n"))));
}

static void paths_that_lead_nowhere_a_change_could_be_made_are_refused(void **state)
{
    struct core *core = *state;
    static const char before[] = "{\"a\": 1, \"big\": 123456789012345678901234567890, \"l\": [1, 2], \"s\": \"x\"}";
    static const char *const wrong[] = {
        WITH_VALUE("set", "/a/b", "1"),
        WITH_VALUE("set", "/s/0", "1"),
        WITH_VALUE("set", "/l/3", "1"),
        WITH_VALUE("set", "/l/01", "1"),
        WITH_VALUE("set", "/l/x", "1"),
        WITH_VALUE("set", "/l/3/y", "1"),
        WITH_VALUE("set", "/l/99999999999999999999", "1"),
        WITH_VALUE("test", "/l/00", "1"),
        OPERATION("remove", "/l/x"),
        OPERATION("remove", "/l/01"),
        OPERATION("remove", "/l/"),
        OPERATION("increment", "/s"),
        OPERATION("increment", "/l"),
        OPERATION("increment", ""),
        OPERATION("increment", "/big"),
        WITH_BY("/a", "9223372036854775807"),
        WITH_VALUE("append", "/a", "1"),
        WITH_VALUE("append", "/s", "1"),
        WITH_VALUE("append", "", "1"),
        WITH_BY("/a", "0.0000000000000000001"),
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
    {
        char data[512];
        put_info(core, 7, before);
        snprintf(data, sizeof(data), APPLY("%s,%s"), WITH_VALUE("set", "/new", "1"), wrong[i]);
        assert_refusal(core, data, REASON_INVALID_DATA, "/operations/1/path");
        assert_true(json_text_equal(&core->lasting, core_jobneed(core, 7)->other_info, span_of(before)));
        assert_int_equal(core_jobneed(core, 7)->version.value, 1);
    }
}

static void operations_that_do_not_go_together_are_refused_before_any_row(void **state)
{
    struct core *core = *state; /* there is no row 7: not_found would come later */
    static const struct
    {
        const char *operation, *parameter;
    } wrong[] = {
        { OPERATION("set", "/a"), "/operations/0/value" },
        { OPERATION("append", "/a"), "/operations/0/value" },
        { OPERATION("test", "/a"), "/operations/0/value" },
        { WITH_VALUE("increment", "/a", "1"), "/operations/0/value" },
        { WITH_VALUE("remove", "/a", "null"), "/operations/0/value" },
        { "{\"op\":\"set\",\"path\":\"/a\",\"value\":1,\"by\":1}", "/operations/0/by" },
        { "{\"op\":\"remove\",\"path\":\"/a\",\"by\":1}", "/operations/0/by" },
        { OPERATION("increment", "a"), "/operations/0/path" },
        { OPERATION("increment", "/a~2"), "/operations/0/path" },
        { OPERATION("remove", ""), "/operations/0/path" },
        { WITH_VALUE("set", "", "[1]"), "/operations/0/value" },
        { WITH_VALUE("set", "", "null"), "/operations/0/value" },
        { OPERATION("move", "/a"), "/operations/0/op" },
        { WITH_BY("/a", "\"1\""), "/operations/0/by" },
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
    {
        char data[256];
        snprintf(data, sizeof(data), APPLY("%s"), wrong[i].operation);
        assert_refusal(core, data, REASON_INVALID_DATA, wrong[i].parameter);
    }
    assert_refused(core_run(core, "json.apply", APPLY(OPERATION("increment", "/a"))), REASON_NOT_FOUND);
}

static void the_number_of_operations_is_bounded(void **state)
{
    struct core *core = *state;
    struct buffer data = BUFFER_EMPTY;
    put_info(core, 7, "{}");
    buffer_add_text(&data, "{\"aggregate\":\"jobneed/7\",\"field\":\"other_info\",\"operations\":[");
    for (int i = 0; i < JSON_OPERATIONS_MAX; i++)
        buffer_add_text(&data, i ? "," OPERATION("increment", "/n") : OPERATION("increment", "/n"));
    size_t size = data.size;
    buffer_add(&data, "]}", 3);
    assert_applied(core_run(core, "json.apply", data.at));
    assert_text(core_jobneed(core, 7)->other_info, "{\"n\":1e2}");
    data.size = size;
    buffer_add_text(&data, "," OPERATION("increment", "/n"));
    buffer_add(&data, "]}", 3);
    assert_refusal(core, data.at, REASON_INVALID_DATA, "/operations");
    assert_refusal(core, APPLY(""), REASON_INVALID_DATA, "/operations");
    buffer_done(&data);
}

static void a_field_that_would_be_too_large_or_too_deep_stays(void **state)
{
    struct core *core = *state;
    enum
    {
        PIECE = 30000,
    };
    struct buffer data = BUFFER_EMPTY;
    put_info(core, 7, "{}");
    buffer_add_text(&data, "{\"aggregate\":\"jobneed/7\",\"field\":\"other_info\",\"operations\":[{\"op\":\"append\","
                           "\"path\":\"/log\",\"value\":\"");
    for (int i = 0; i < PIECE; i++)
        buffer_add_byte(&data, 'x');
    buffer_add(&data, "\"}]}", 5);
    assert_applied(core_run(core, "json.apply", data.at));
    assert_applied(core_run(core, "json.apply", data.at));
    struct answer answer = core_run(core, "json.apply", data.at);
    assert_refused(answer, REASON_TOO_LARGE);
    assert_string_equal(answer.metadata, "{\"limit\":65536}");
    assert_int_equal(core_jobneed(core, 7)->version.value, 3);
    buffer_done(&data);

    put_info(core, 7, "{}"); /* the row of 31 members in one another, then one more, then one too many */
    static const char way[] = "/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a";
    char text[512];
    snprintf(text, sizeof(text), APPLY(WITH_VALUE("set", "%s", "{}")), way);
    assert_applied(core_run(core, "json.apply", text));
    snprintf(text, sizeof(text), APPLY(WITH_VALUE("set", "%s", "{\"b\":[]}")), way);
    answer = core_run(core, "json.apply", text);
    assert_refused(answer, REASON_TOO_LARGE);
    assert_string_equal(answer.metadata, "{\"depth_limit\":32}");
    snprintf(text, sizeof(text), APPLY(WITH_VALUE("set", "%s/a", "1")), way);
    assert_applied(core_run(core, "json.apply", text));
    snprintf(text, sizeof(text), APPLY(WITH_VALUE("set", "%s/a/a", "1")), way); /* 33 steps */
    assert_refusal(core, text, REASON_INVALID_DATA, "/operations/0/path");
}

/* The old services read, counted in Python, and wrote. */
static void a_hundred_counts_of_one_field_lose_nothing(void **state)
{
    struct core *core = *state;
    struct order orders[100];
    struct answer answers[100];
    char data[100][300];
    put_info(core, 7, "{}");
    for (int i = 0; i < 100; i++)
    {
        snprintf(data[i], sizeof(data[i]), APPLY("%s,{\"op\":\"append\",\"path\":\"/log\",\"value\":%d}"),
                 OPERATION("increment", "/count/all"), i);
        orders[i] = (struct order){ "json.apply", data[i] };
    }
    for (int i = 0; i < 100; i += 25)
        core_run_batch(core, orders + i, 25, answers);
    struct json_member *members;
    struct span *elements;
    size_t count;
    assert_true(json_text_read_object(&core->lasting, core_jobneed(core, 7)->other_info, &members, &count));
    assert_text(members[0].value, "{\"all\":1e2}");
    assert_true(json_text_read_array(&core->lasting, members[1].value, &elements, &count));
    assert_int_equal(count, 100);
    assert_true(json_text_equal(&core->lasting, elements[99], SPAN_LITERAL("99")));
}

/* --- json.replace ------------------------------------------------------------------------------------------------ */

#define REPLACE(value) "{\"aggregate\":\"jobneed/7\",\"field\":\"other_info\",\"value\":" value "}"

static void a_replacement_is_the_whole_field(void **state)
{
    struct core *core = *state;
    put_info(core, 7, "{\"a\":1,\"b\":2}");
    struct answer answer = core_run(core, "json.replace", REPLACE("{\"c\":[3]}"));
    assert_applied(answer);
    assert_int_equal(answer.operation, OPERATION_JSON_UPDATE);
    assert_string_equal(answer.metadata, "{\"field\":\"other_info\"}");
    assert_text(core_jobneed(core, 7)->other_info, "{\"c\":[3]}");
    assert_unchanged(core_run(core, "json.replace", REPLACE("{ \"c\" : [3.0] }")));
    assert_int_equal(core_jobneed(core, 7)->version.value, 2);
}

static void a_field_stays_an_object(void **state)
{
    struct core *core = *state;
    static const char *const wrong[] = { REPLACE("[1]"), REPLACE("null"), REPLACE("1"), REPLACE("\"{}\"") };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
    {
        struct answer answer = core_run(core, "json.replace", wrong[i]);
        assert_refused(answer, REASON_INVALID_DATA);
        assert_string_equal(answer.metadata, "{\"parameter\":\"/value\",\"message\":\"expected an object\"}");
    }
    assert_refused(core_run(core, "json.replace", REPLACE("{}")), REASON_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_are_exact),
        cmocka_unit_test(a_sum_that_64_bits_do_not_hold_is_refused),
        CORE_TEST(each_operation_changes_its_place_and_no_other),
        CORE_TEST(places_that_are_not_there_are_made),
        CORE_TEST(operations_see_what_those_before_them_left),
        CORE_TEST(parts_that_are_not_named_stay_byte_for_byte),
        CORE_TEST(nothing_that_differs_is_unchanged),
        CORE_TEST(a_test_that_fails_refuses_the_whole_command_and_names_itself),
        CORE_TEST(paths_that_lead_nowhere_a_change_could_be_made_are_refused),
        CORE_TEST(operations_that_do_not_go_together_are_refused_before_any_row),
        CORE_TEST(the_number_of_operations_is_bounded),
        CORE_TEST(a_field_that_would_be_too_large_or_too_deep_stays),
        CORE_TEST(a_hundred_counts_of_one_field_lose_nothing),
        CORE_TEST(a_replacement_is_the_whole_field),
        CORE_TEST(a_field_stays_an_object),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
