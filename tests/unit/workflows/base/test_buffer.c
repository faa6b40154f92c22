#include "tests/fixtures/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "workflows/base/buffer.h"

static void assert_content(struct buffer *buffer, const char *expected)
{
    buffer_add_byte(buffer, '\0');
    assert_false(buffer_failed(buffer));
    assert_string_equal(buffer->at, expected);
    buffer_clear(buffer);
}

static void bytes_are_kept_over_every_growth(void **state)
{
    (void)state;
    struct buffer buffer = BUFFER_EMPTY;
    for (int i = 0; i < 100000; i++)
        buffer_add_byte(&buffer, (char)(i % 251));
    assert_int_equal(buffer.size, 100000);
    for (int i = 0; i < 100000; i++)
        assert_int_equal((unsigned char)buffer.at[i], i % 251);
    buffer_done(&buffer);
}

static void an_empty_buffer_has_an_empty_text(void **state)
{
    (void)state;
    struct buffer buffer = BUFFER_EMPTY;
    buffer_add(&buffer, NULL, 0);
    buffer_add_span(&buffer, SPAN_NULL);
    assert_non_null(buffer_span(&buffer).at);
    assert_int_equal(buffer_span(&buffer).size, 0);
    buffer_done(&buffer);
}

static void taking_the_bytes_leaves_an_empty_buffer(void **state)
{
    (void)state;
    struct buffer buffer = BUFFER_EMPTY;
    buffer_add_text(&buffer, "abc");
    size_t size;
    char *bytes = buffer_take(&buffer, &size);
    assert_int_equal(size, 3);
    assert_memory_equal(bytes, "abc", 3);
    assert_null(buffer.at);
    assert_int_equal(buffer.capacity, 0);
    free(bytes);
}

static void a_size_that_cannot_be_had_is_a_failure_that_stays(void **state)
{
    (void)state;
    struct buffer buffer = BUFFER_EMPTY;
    buffer_add_text(&buffer, "abc");
    assert_false(buffer_reserve(&buffer, SIZE_MAX));
    assert_true(buffer_failed(&buffer));
    buffer_add_text(&buffer, "def");
    assert_int_equal(buffer.size, 3);
    buffer_clear(&buffer);
    buffer_add_text(&buffer, "ghi");
    assert_content(&buffer, "ghi");
    buffer_done(&buffer);
}

static void integers_are_printed_over_their_whole_range(void **state)
{
    (void)state;
    const int64_t values[] = { 0, 1, -1, 9, 10, -10, 1234567890123, INT64_MAX, INT64_MIN };
    struct buffer buffer = BUFFER_EMPTY;
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
    {
        char expected[32];
        snprintf(expected, sizeof(expected), "%lld", (long long)values[i]);
        buffer_add_int64(&buffer, values[i]);
        assert_content(&buffer, expected);
    }
    buffer_done(&buffer);
}

static void json_strings_escape_what_json_demands_and_nothing_else(void **state)
{
    (void)state;
    struct buffer buffer = BUFFER_EMPTY;
    buffer_add_json_string(&buffer, SPAN_LITERAL("plain"));
    assert_content(&buffer, "\"plain\"");
    buffer_add_json_string(&buffer, SPAN_LITERAL(""));
    assert_content(&buffer, "\"\"");
    buffer_add_json_string(&buffer, SPAN_LITERAL("\"\\/\b\f\n\r\t\x01\x1f\x7f"));
    assert_content(&buffer, "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\"");
    buffer_add_json_string(&buffer, SPAN_LITERAL("gr\xc3\xbc\xc3\x9f \xf0\x9f\x99\x82"));
    assert_content(&buffer, "\"gr\xc3\xbc\xc3\x9f \xf0\x9f\x99\x82\"");
    buffer_done(&buffer);
}

/* The search for a byte with an escape takes blocks of bytes, then single ones. */
static void an_escape_is_found_wherever_it_stands(void **state)
{
    (void)state;
    struct buffer buffer = BUFFER_EMPTY;
    for (size_t size = 1; size <= 40; size++)
        for (size_t place = 0; place < size; place++)
            for (unsigned byte = 0; byte < 256; byte++)
            {
                char text[40], expected[64];
                memset(text, 'x', sizeof(text));
                text[place] = (char)byte;
                bool plain = byte >= 0x20 && byte != '"' && byte != '\\';
                size_t more = plain ? 0 : byte < 0x20 && !strchr("\b\f\n\r\t", (int)byte) ? 5 : 1;
                more = byte == 0 ? 5 : more;
                buffer_add_json_string(&buffer, (struct span){ text, size });
                assert_int_equal(buffer.size, size + 2 + more);
                expected[0] = '"';
                memcpy(expected + 1, text, place);
                assert_memory_equal(buffer.at, expected, place + 1);
                assert_int_equal(buffer.at[place + 1] == '\\', !plain);
                assert_memory_equal(buffer.at + place + 2 + more, text + place + 1, size - place - 1);
                buffer_clear(&buffer);
            }
    buffer_done(&buffer);
}

static void a_null_span_is_json_null(void **state)
{
    (void)state;
    struct buffer buffer = BUFFER_EMPTY;
    buffer_add_json_string(&buffer, SPAN_NULL);
    assert_content(&buffer, "null");
    buffer_done(&buffer);
}

static void times_are_utc_with_six_decimals(void **state)
{
    (void)state;
    struct buffer buffer = BUFFER_EMPTY;
    buffer_add_time(&buffer, 0);
    assert_content(&buffer, "1970-01-01T00:00:00.000000Z");
    buffer_add_time(&buffer, INT64_C(1795510800000001));
    assert_content(&buffer, "2026-11-24T09:00:00.000001Z");
    buffer_add_time(&buffer, -1);
    assert_content(&buffer, "1969-12-31T23:59:59.999999Z");
    buffer_add_time(&buffer, INT64_C(951782400000000));
    assert_content(&buffer, "2000-02-29T00:00:00.000000Z");
    buffer_add_time(&buffer, INT64_C(253402300799999999));
    assert_content(&buffer, "9999-12-31T23:59:59.999999Z");
    buffer_done(&buffer);
}

static void times_agree_with_libc_over_four_centuries(void **state)
{
    (void)state;
    struct buffer buffer = BUFFER_EMPTY;
    /* A prime step: every hour, month and kind of year is met. */
    for (int64_t second = -INT64_C(6000000000); second < INT64_C(7000000000); second += 1000003)
    {
        time_t when = (time_t)second;
        struct tm parts;
        char expected[64];
        assert_non_null(gmtime_r(&when, &parts));
        strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%S.000000Z", &parts);
        buffer_add_time(&buffer, second * 1000000);
        assert_content(&buffer, expected);
    }
    buffer_done(&buffer);
}

static void the_extreme_times_print_something_and_stay_in_bounds(void **state)
{
    (void)state;
    struct buffer buffer = BUFFER_EMPTY;
    buffer_add_time(&buffer, INT64_MAX);
    assert_content(&buffer, "294247-01-10T04:00:54.775807Z");
    buffer_add_time(&buffer, INT64_MIN);
    assert_content(&buffer, "-290308-12-21T19:59:05.224192Z");
    buffer_done(&buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_kept_over_every_growth),
        cmocka_unit_test(an_empty_buffer_has_an_empty_text),
        cmocka_unit_test(taking_the_bytes_leaves_an_empty_buffer),
        cmocka_unit_test(a_size_that_cannot_be_had_is_a_failure_that_stays),
        cmocka_unit_test(integers_are_printed_over_their_whole_range),
        cmocka_unit_test(json_strings_escape_what_json_demands_and_nothing_else),
        cmocka_unit_test(an_escape_is_found_wherever_it_stands),
        cmocka_unit_test(a_null_span_is_json_null),
        cmocka_unit_test(times_are_utc_with_six_decimals),
        cmocka_unit_test(times_agree_with_libc_over_four_centuries),
        cmocka_unit_test(the_extreme_times_print_something_and_stay_in_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
