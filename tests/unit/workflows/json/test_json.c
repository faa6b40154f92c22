#include "tests/fixtures/core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fixtures/arena.h"
#include "workflows/document/text.h"
#include "workflows/model/limits.h"

/* --- text -------------------------------------------------------------------------------------------------------- */

static struct span merged(const char *object, const char *key, const char *value)
{
    struct json_member change = { span_of(key), span_of(value) };
    struct span ret = SPAN_NULL;
    return json_text_merge(&arena, span_of(object), &change, 1, &ret) ? ret : SPAN_NULL;
}

static void merging_replaces_and_adds_and_leaves_the_rest_byte_for_byte(void **state)
{
    (void)state;
    assert_text(merged("{}", "a", "1"), "{\"a\":1}");
    assert_text(merged(NULL, "a", "1"), "{\"a\":1}");
    assert_text(merged("{\"b\": 0.1, \"a\": 2}", "a", "null"), "{\"a\":null,\"b\":0.1}");
    assert_text(merged("{\"big\": 123456789012345678901234567890.10}", "a", "[]"),
                "{\"a\":[],\"big\":123456789012345678901234567890.10}");
    assert_text(merged("{\"x\": {\"}\": \"]\\\"{\"}, \"y\":[{}, [ ]]}", "z", "0"),
                "{\"x\":{\"}\": \"]\\\"{\"},\"y\":[{}, [ ]],\"z\":0}");
    assert_text(merged("{\"\\u0061\": 1, \"\\u00e9\\n\": 2}", "a", "3"), "{\"a\":3,\"\xc3\xa9\\n\":2}");
    assert_text(merged("{\"q\\\"\": 1}", "q\"", "3"), "{\"q\\\"\":3}");
}

static void a_text_that_is_no_object_is_refused_not_followed(void **state)
{
    (void)state;
    static const char *const texts[] = { "",           " ",         "[]",         "1",
                                         "\"x\"",      "null",      "{",          "{\"a\"",
                                         "{\"a\":",    "{\"a\":1",  "{\"a\":1,",  "{\"a\":1}}",
                                         "{a:1}",      "{\"a\" 1}", "{\"a\":\"",  "{\"a\":\"\\",
                                         "{\"a\":[1}", "{,}",       "{\"a\":1,}", "{\"a\":}" };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (merged(texts[i], "b", "2").at &&
            strcmp(texts[i], "{\"a\":[1}") != 0) /* brackets are counted, not matched */
            fail_msg("%s", texts[i]);
}

static struct span appended(const char *array, const char *value, size_t length_max)
{
    struct span ret = SPAN_NULL;
    assert_true(json_text_append(&arena, span_of(array), span_of(value), length_max, &ret));
    return ret;
}

static void appending_drops_the_oldest_and_makes_an_array_of_another_value(void **state)
{
    (void)state;
    assert_text(appended(NULL, "1", SIZE_MAX), "[1]");
    assert_text(appended("7", "1", SIZE_MAX), "[1]");
    assert_text(appended("{\"a\":1}", "1", SIZE_MAX), "[1]");
    assert_text(appended("[ ]", "1", SIZE_MAX), "[1]");
    assert_text(appended("[1, [2, 3], \"a,b\"]", "{}", SIZE_MAX), "[1,[2, 3],\"a,b\",{}]");
    assert_text(appended("[1,2,3]", "4", 3), "[2,3,4]");
    assert_text(appended("[1,2,3]", "4", 1), "[4]");
    assert_text(appended("[1,2,3]", "4", 4), "[1,2,3,4]");
}

static void values_are_equal_as_jsonb_compares_them(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        { "1", "1.0" },
        { "1e2", "100" },
        { "0.001", "1E-3" },
        { "-0", "0.00e5" },
        { "12.50e3", "12500" },
        { "10.0100", "1001e-2" },
        { "{\"a\":1,\"b\":[1, 2]}", " { \"b\" : [1,2.0], \"a\":1e0 } " },
        { "\"\\u00e9\\/\"", "\"\xc3\xa9/\"" },
        { "\"\\ud83d\\ude00\"", "\"\xf0\x9f\x98\x80\"" },
        { "123456789012345678901234567890", "123456789012345678901234567890.0" },
    };
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
        if (!json_text_equal(&arena, span_of(pairs[i][0]), span_of(pairs[i][1])))
            fail_msg("%s %s", pairs[i][0], pairs[i][1]);
    static const char *const others[][2] = {
        { "1", "-1" },
        { "1", "10" },
        { "[1,2]", "[2,1]" },
        { "\"1\"", "1" },
        { "null", "0" },
        { "{}", "[]" },
        { "{\"a\":1}", "{\"b\":1}" },
        { "0.1", "0.10000000000000001" },
        { "true", "false" },
        { "101", "11" },
        { "tru", "tru" },
        { "1x", "1x" },
    };
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        if (json_text_equal(&arena, span_of(others[i][0]), span_of(others[i][1])))
            fail_msg("%s %s", others[i][0], others[i][1]);
}

static void depth_is_bounded_and_memory_grows_with_the_text_only(void **state)
{
    (void)state;
    enum
    {
        DEPTH = 100000,
    };
    char *deep = malloc(2 * DEPTH);
    memset(deep, '[', DEPTH);
    memset(deep + DEPTH, ']', DEPTH);
    struct span text = { deep, 2 * DEPTH };
    assert_int_equal(json_text_size(&arena, text), SIZE_MAX);
    assert_false(json_text_equal(&arena, text, text));
    struct json_member change = { SPAN_LITERAL("a"), text };
    struct span ret;
    assert_true(json_text_merge(&arena, SPAN_LITERAL("{}"), &change, 1, &ret)); /* skipping needs no depth */
    free(deep);

    /* 32 levels around a long array: each level takes memory for its own elements only */
    struct buffer nested = BUFFER_EMPTY;
    for (int i = 0; i < 31; i++)
        buffer_add_byte(&nested, '[');
    buffer_add_byte(&nested, '[');
    for (int i = 0; i < 30000; i++)
        buffer_add_text(&nested, i ? ",0" : "0");
    for (int i = 0; i < 32; i++)
        buffer_add_byte(&nested, ']');
    size_t before = arena.total;
    assert_int_equal(json_text_size(&arena, buffer_span(&nested)), nested.size);
    assert_true(arena.total - before < 2 * 1024 * 1024);
    buffer_done(&nested);
}

static void any_cut_of_a_text_is_read_within_its_bounds(void **state)
{
    (void)state;
    static const char text[] = "{\"a\\\"b\": [1, -2.5e+10, \"x\\\\\", {\"c\": null}], \"d\": \"\\u0041\", \"e\": true}";
    for (size_t size = 0; size < sizeof(text); size++)
    {
        char *cut = malloc(size ? size : 1); /* its end is the sanitizer's */
        memcpy(cut, text, size);
        struct span span = { cut, size }, ret;
        struct json_member change = { SPAN_LITERAL("z"), SPAN_LITERAL("1") };
        json_text_merge(&arena, span, &change, 1, &ret);
        json_text_append(&arena, span, SPAN_LITERAL("1"), 3, &ret);
        json_text_equal(&arena, span, span);
        free(cut);
    }
}

/* --- json.merge -------------------------------------------------------------------------------------------------- */

static void put_info(struct core *core, int64_t id, const char *other_info)
{
    core_put_jobneed(core, id, 0, JOBNEED_ASSIGNED, IDENTIFIER_TASK);
    struct jobneed_row row = *core_jobneed(core, id);
    row.other_info = span_of(other_info);
    core_put(core, &entity_jobneed, &row);
}

#define MERGE(value) "{\"aggregate\":\"jobneed/7\",\"field\":\"other_info\",\"value\":" value "}"
#define APPEND(value) "{\"aggregate\":\"jobneed/7\",\"field\":\"other_info\",\"key\":\"log\",\"value\":" value "}"

static void a_merge_changes_the_field_and_the_version(void **state)
{
    struct core *core = *state;
    put_info(core, 7, "{\"a\":1,\"b\":{\"c\":2}}");
    struct answer answer = core_run(core, "json.merge", MERGE("{\"b\":{\"d\":3},\"e\":null}"));
    assert_applied(answer);
    assert_int_equal(answer.operation, OPERATION_JSON_UPDATE);
    assert_int_equal(answer.version_to, 2);
    assert_string_equal(answer.metadata, "{\"field\":\"other_info\"}");
    /* at the top level only, and null is a value */
    assert_text(core_jobneed(core, 7)->other_info, "{\"a\":1,\"b\":{\"d\":3},\"e\":null}");
}

static void a_merge_of_what_is_there_already_is_unchanged(void **state)
{
    struct core *core = *state;
    put_info(core, 7, "{\"a\":100,\"b\":[1]}");
    assert_unchanged(core_run(core, "json.merge", MERGE("{\"a\":1e2}")));
    assert_unchanged(core_run(core, "json.merge", MERGE("{\"b\":[1.0]}")));
    assert_unchanged(core_run(core, "json.merge", MERGE("{}")));
    assert_int_equal(core_jobneed(core, 7)->version.value, 1);
}

static void jobs_have_the_field_too_and_child_rows_and_others_have_not(void **state)
{
    struct core *core = *state;
    struct job_row job = {
        .id = int_of(7),
        .version = int_of(4),
        .seq = int_of(0),
        .grace_minutes = int_of(0),
        .plan_minutes = int_of(0),
        .expiry_minutes = int_of(0),
        .other_info = SPAN_LITERAL("{}"),
        .identifier = IDENTIFIER_TASK,
    };
    core_put(core, &entity_job, &job);
    job.id = int_of(8);
    job.parent_id = int_of(7);
    core_put(core, &entity_job, &job);
    core_put_jobneed(core, 1, 0, JOBNEED_ASSIGNED, IDENTIFIER_TASK);
    core_put_jobneed(core, 2, 1, JOBNEED_ASSIGNED, IDENTIFIER_TASK);
    core_put_ticket(core, 1, TICKET_NEW);
    struct answer answer =
        core_run(core, "json.merge", "{\"aggregate\":\"job/7\",\"field\":\"other_info\",\"value\":{\"a\":1}}");
    assert_applied(answer);
    assert_int_equal(answer.version_to, 5);
    static const char *const refused[] = {
        "{\"aggregate\":\"job/8\",\"field\":\"other_info\",\"value\":{\"a\":1}}",
        "{\"aggregate\":\"jobneed/2\",\"field\":\"other_info\",\"value\":{\"a\":1}}",
        "{\"aggregate\":\"jobneed/1\",\"field\":\"remarks\",\"value\":{\"a\":1}}",
        "{\"aggregate\":\"ticket/1\",\"field\":\"other_info\",\"value\":{\"a\":1}}",
        "{\"aggregate\":\"jobneed/x\",\"field\":\"other_info\",\"value\":{\"a\":1}}",
        "{\"aggregate\":\"jobneed/1\",\"field\":\"other_info\",\"value\":[1]}",
        "{\"aggregate\":\"jobneed/1\",\"field\":\"other_info\"}",
        "{\"field\":\"other_info\",\"value\":{\"a\":1}}",
    };
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        assert_refused(core_run(core, "json.merge", refused[i]), REASON_INVALID_DATA);
    assert_refused(core_run(core, "json.merge", "{\"aggregate\":\"job/9\",\"field\":\"other_info\",\"value\":{}}"),
                   REASON_NOT_FOUND);
    put_info(core, 7, "[1]");
    assert_refused(core_run(core, "json.merge", MERGE("{\"a\":1}")), REASON_INVALID_DATA);
    assert_refused(core_run(core, "json.append", APPEND("1")), REASON_INVALID_DATA);
}

static void fifty_writers_of_one_field_in_one_batch_lose_nothing(void **state)
{
    struct core *core = *state;
    struct order orders[50];
    struct answer answers[50];
    char data[50][160];
    put_info(core, 7, "{}");
    for (int i = 0; i < 50; i++)
    {
        snprintf(data[i], sizeof(data[i]), MERGE("{\"key%d\":%d,\"counter\":%d}"), i, i, i);
        orders[i] = (struct order){ "json.merge", data[i] };
    }
    core_run_batch(core, orders, 50, answers);
    struct json_member *members;
    size_t count;
    assert_true(json_text_read_object(&core->lasting, core_jobneed(core, 7)->other_info, &members, &count));
    assert_int_equal(count, 51);
    assert_int_equal(core_jobneed(core, 7)->version.value, 51);
    assert_text(members[0].key, "counter");
    assert_text(members[0].value, "49");
}

/* --- json.append ------------------------------------------------------------------------------------------------- */

static void appends_keep_their_order_and_at_most_max_length(void **state)
{
    struct core *core = *state;
    struct order orders[150];
    struct answer answers[150];
    char data[150][160];
    put_info(core, 7, "{\"other\":1,\"log\":\"no array\"}");
    for (int i = 0; i < 150; i++)
    {
        snprintf(
            data[i], sizeof(data[i]),
            "{\"aggregate\":\"jobneed/7\",\"field\":\"other_info\",\"key\":\"log\",\"value\":%d,\"max_length\":100}",
            i);
        orders[i] = (struct order){ "json.append", data[i] };
    }
    for (int i = 0; i < 150; i += 30)
        core_run_batch(core, orders + i, 30, answers);
    struct json_member *members;
    struct span *elements;
    size_t count;
    assert_true(json_text_read_object(&core->lasting, core_jobneed(core, 7)->other_info, &members, &count));
    assert_int_equal(count, 2);
    assert_true(json_text_read_array(&core->lasting, members[0].value, &elements, &count));
    assert_int_equal(count, 100);
    assert_true(json_text_equal(&core->lasting, elements[0], SPAN_LITERAL("50")));
    assert_true(json_text_equal(&core->lasting, elements[99], SPAN_LITERAL("149")));
    assert_int_equal(core_jobneed(core, 7)->version.value, 151);
}

static void an_append_without_data_that_fits_is_refused(void **state)
{
    struct core *core = *state;
    put_info(core, 7, "{}");
    static const char *const refused[] = {
        "{\"aggregate\":\"jobneed/7\",\"field\":\"other_info\",\"key\":\"\",\"value\":1}",
        "{\"aggregate\":\"jobneed/7\",\"field\":\"other_info\",\"value\":1}",
        "{\"aggregate\":\"jobneed/7\",\"field\":\"other_info\",\"key\":\"a\"}",
        "{\"aggregate\":\"jobneed/7\",\"field\":\"other_info\",\"key\":\"a\",\"value\":1,\"max_length\":0}",
        "{\"aggregate\":\"jobneed/7\",\"field\":\"other_info\",\"key\":\"a\",\"value\":1,\"max_length\":10001}",
    };
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        assert_refused(core_run(core, "json.append", refused[i]), REASON_INVALID_DATA);
    assert_applied(core_run(core, "json.append", APPEND("null"))); /* null is a value */
    assert_text(core_jobneed(core, 7)->other_info, "{\"log\":[null]}");
}

static void a_field_that_would_grow_beyond_its_limit_is_too_large_and_stays(void **state)
{
    struct core *core = *state;
    enum
    {
        PIECE = 30000,
    };
    char *data = malloc(PIECE + 200);
    char *piece = malloc(PIECE + 1);
    memset(piece, 'x', PIECE);
    piece[PIECE] = '\0';
    put_info(core, 7, "{}");
    snprintf(data, PIECE + 200, APPEND("\"%s\""), piece);
    assert_applied(core_run(core, "json.append", data));
    assert_applied(core_run(core, "json.append", data));
    struct answer answer = core_run(core, "json.append", data);
    assert_refused(answer, REASON_TOO_LARGE);
    assert_string_equal(answer.metadata, "{\"limit\":65536}");
    assert_int_equal(core_jobneed(core, 7)->version.value, 3);
    snprintf(data, PIECE + 200, MERGE("{\"log\":\"%s\"}"), piece); /* smaller again */
    assert_applied(core_run(core, "json.merge", data));
    free(piece);
    free(data);
}

#define TEXT_TEST(test) cmocka_unit_test_setup_teardown(test, set_up_arena, tear_down_arena)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEXT_TEST(merging_replaces_and_adds_and_leaves_the_rest_byte_for_byte),
        TEXT_TEST(a_text_that_is_no_object_is_refused_not_followed),
        TEXT_TEST(appending_drops_the_oldest_and_makes_an_array_of_another_value),
        TEXT_TEST(values_are_equal_as_jsonb_compares_them),
        TEXT_TEST(depth_is_bounded_and_memory_grows_with_the_text_only),
        TEXT_TEST(any_cut_of_a_text_is_read_within_its_bounds),
        CORE_TEST(a_merge_changes_the_field_and_the_version),
        CORE_TEST(a_merge_of_what_is_there_already_is_unchanged),
        CORE_TEST(jobs_have_the_field_too_and_child_rows_and_others_have_not),
        CORE_TEST(fifty_writers_of_one_field_in_one_batch_lose_nothing),
        CORE_TEST(appends_keep_their_order_and_at_most_max_length),
        CORE_TEST(an_append_without_data_that_fits_is_refused),
        CORE_TEST(a_field_that_would_grow_beyond_its_limit_is_too_large_and_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
