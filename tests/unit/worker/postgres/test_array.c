#include "tests/fixtures/cmocka.h"

#include "worker/postgres/array.h"

#define ARRAY __attribute__((cleanup(array_done))) struct array

enum
{
    HEADER = 20,
};

static void the_header_says_dimension_type_length_and_lower_bound(void **state)
{
    (void)state;
    ARRAY array = { BUFFER_EMPTY, 0 };
    array_begin(&array, ARRAY_INT8);
    array_add_int64(&array, 0x0102030405060708);
    array_add_int64(&array, -2);
    static const unsigned char expected[] = {
        0, 0, 0, 1,                                        /* one dimension */
        0, 0, 0, 0,                                        /* no nulls */
        0, 0, 0, 20,                                       /* int8 */
        0, 0, 0, 2,                                        /* two elements */
        0, 0, 0, 1,                                        /* counted from one */
        0, 0, 0, 8,  1,   2,   3,   4,   5,   6,   7,   8, /* big-endian */
        0, 0, 0, 8,  255, 255, 255, 255, 255, 255, 255, 254,
    };
    assert_int_equal(array.bytes.size, sizeof(expected));
    assert_memory_equal(array.bytes.at, expected, sizeof(expected));
    assert_int_equal(array.count, 2);
}

static void a_null_has_the_length_minus_one_and_sets_the_flag(void **state)
{
    (void)state;
    ARRAY array = { BUFFER_EMPTY, 0 };
    array_begin(&array, ARRAY_TEXT);
    array_add_null(&array);
    array_add_bytes(&array, "ab", 2);
    array_add_bytes(&array, "", 0);
    static const unsigned char expected[] = {
        0, 0, 0, 1,   0,   0,   0,   1, 0, 0, 0, 25,  0,   0, 0, 3, 0,
        0, 0, 1, 255, 255, 255, 255, 0, 0, 0, 2, 'a', 'b', 0, 0, 0, 0,
    };
    assert_int_equal(array.bytes.size, sizeof(expected));
    assert_memory_equal(array.bytes.at, expected, sizeof(expected));
}

static void an_empty_array_has_a_header_and_no_element(void **state)
{
    (void)state;
    ARRAY array = { BUFFER_EMPTY, 0 };
    array_begin(&array, ARRAY_UUID);
    static const unsigned char expected[HEADER] = { 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0x0B, 0x86, 0, 0, 0, 0, 0, 0, 0, 1 };
    assert_int_equal(array.bytes.size, HEADER);
    assert_memory_equal(array.bytes.at, expected, HEADER);
}

static void an_array_that_is_begun_again_holds_nothing_from_before(void **state)
{
    (void)state;
    ARRAY array = { BUFFER_EMPTY, 0 };
    array_begin(&array, ARRAY_TEXT);
    array_add_null(&array);
    array_begin(&array, ARRAY_BOOL);
    array_add_bool(&array, true);
    array_add_bool(&array, false);
    static const unsigned char expected[] = {
        0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 0,
    };
    assert_int_equal(array.bytes.size, sizeof(expected));
    assert_memory_equal(array.bytes.at, expected, sizeof(expected));
    assert_int_equal(array.count, 2);
}

static void integers_read_back_as_they_were_added(void **state)
{
    (void)state;
    static const int64_t values[] = { 0, 1, -1, INT64_MAX, INT64_MIN, 0x123456789ABCDEF };
    ARRAY array = { BUFFER_EMPTY, 0 };
    array_begin(&array, ARRAY_INT8);
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
        array_add_int64(&array, values[i]);
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
        assert_true(array_read_int64(array.bytes.at + HEADER + 12 * i + 4) == values[i]);

    array_begin(&array, ARRAY_INT4);
    array_add_int32(&array, INT32_MIN);
    array_add_int32(&array, INT32_MAX);
    assert_int_equal(array_read_int32(array.bytes.at + HEADER + 4), INT32_MIN);
    assert_int_equal(array_read_int32(array.bytes.at + HEADER + 12), INT32_MAX);
}

static void times_are_counted_from_the_year_2000(void **state)
{
    (void)state;
    static const int64_t values[] = { 946684800000000, 0, -1, 1795510800123456, 946684799999999 };
    ARRAY array = { BUFFER_EMPTY, 0 };
    array_begin(&array, ARRAY_TIMESTAMPTZ);
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
        array_add_time(&array, values[i]);
    assert_true(array_read_int64(array.bytes.at + HEADER + 4) == 0);
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
        assert_true(array_read_time(array.bytes.at + HEADER + 12 * i + 4) == values[i]);
}

static void ids_keep_the_order_of_their_bytes(void **state)
{
    (void)state;
    struct id id = { 0x0001020304050607, 0x08090A0B0C0D0E0F };
    ARRAY array = { BUFFER_EMPTY, 0 };
    array_begin(&array, ARRAY_UUID);
    array_add_id(&array, id);
    const char *at = array.bytes.at + HEADER + 4;
    for (int i = 0; i < 16; i++)
        assert_int_equal(at[i], i);
    struct id read = array_read_id(at);
    assert_true(id_equal(read, id));
}

/* --- fields of rows ---------------------------------------------------------------------------------------------- */

static const char *const words[] = { NULL, "RED", "GREEN" };
static const struct names colours = { words, 3, NULL };

struct sample
{
    struct field_int number, small, time;
    bool flag;
    struct span text;
    int colour;
    struct id uuid;
    struct field_number share;
};

static const struct column columns[] = {
    COLUMN(sample, number, COLUMN_INT64, 0, NULL), COLUMN(sample, small, COLUMN_INT32, 0, NULL),
    COLUMN(sample, time, COLUMN_TIME, 0, NULL),    COLUMN(sample, flag, COLUMN_BOOL, 0, NULL),
    COLUMN(sample, text, COLUMN_TEXT, 0, NULL),    COLUMN(sample, text, COLUMN_JSON, 0, NULL),
    COLUMN(sample, text, COLUMN_JSONB, 0, NULL),   COLUMN(sample, colour, COLUMN_NAME, 0, &colours),
    COLUMN(sample, uuid, COLUMN_UUID, 0, NULL),    COLUMN(sample, share, COLUMN_NUMBER, 0, NULL),
};

/* The length word of the one element of a fresh array. */
static int32_t length_of(struct array *array, const struct column *column, const struct sample *row)
{
    array_begin(array, array_type_of(column->kind));
    array_add_field(array, column, row);
    assert_int_equal(array->count, 1);
    return array_read_int32(array->bytes.at + HEADER);
}

static void every_kind_of_column_has_its_binary_form(void **state)
{
    (void)state;
    ARRAY array = { BUFFER_EMPTY, 0 };
    struct sample row = { int_of(7), int_of(-8), int_of(946684800000001), true, SPAN_LITERAL("{}"),
                          2,         { 1, 2 },   number_of(-0.1) };
    const char *value;

    assert_int_equal(length_of(&array, &columns[0], &row), 8);
    value = array.bytes.at + HEADER + 4;
    assert_true(array_read_int64(value) == 7);
    assert_int_equal(length_of(&array, &columns[1], &row), 4);
    assert_int_equal(array_read_int32(array.bytes.at + HEADER + 4), -8);
    assert_int_equal(length_of(&array, &columns[2], &row), 8);
    assert_true(array_read_int64(array.bytes.at + HEADER + 4) == 1);
    assert_int_equal(length_of(&array, &columns[3], &row), 1);
    assert_int_equal(array.bytes.at[HEADER + 4], 1);
    for (int i = 4; i < 7; i++)
    {
        assert_int_equal(length_of(&array, &columns[i], &row), 2);
        assert_memory_equal(array.bytes.at + HEADER + 4, "{}", 2);
        assert_int_equal(array_read_int32(array.bytes.at + 8), ARRAY_TEXT);
    }
    assert_int_equal(length_of(&array, &columns[7], &row), 5);
    assert_memory_equal(array.bytes.at + HEADER + 4, "GREEN", 5);
    assert_int_equal(length_of(&array, &columns[8], &row), 16);
    assert_int_equal(length_of(&array, &columns[9], &row), 8);
    assert_true(array_read_number(array.bytes.at + HEADER + 4) == -0.1);
    assert_int_equal(array.bytes.at[HEADER + 4] & 0xFF, 0xBF); /* sign and exponent come first */
    assert_int_equal(array_read_int32(array.bytes.at + 8), ARRAY_FLOAT8);
}

static void unset_values_are_null(void **state)
{
    (void)state;
    static const bool can_be_null[] = { true, true, true, false, true, true, true, true, false, true };
    ARRAY array = { BUFFER_EMPTY, 0 };
    struct sample row = { 0 };

    for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
        assert_int_equal(length_of(&array, &columns[i], &row) == -1, can_be_null[i]);
}

static void an_empty_text_is_not_null(void **state)
{
    (void)state;
    ARRAY array = { BUFFER_EMPTY, 0 };
    struct sample row = { .text = SPAN_LITERAL("") };
    assert_int_equal(length_of(&array, &columns[4], &row), 0);
}

/* Of a row that another program wrote; what comes of it stands in statements.c. */
static void a_word_that_is_not_in_the_list_is_an_empty_text(void **state)
{
    (void)state;
    ARRAY array = { BUFFER_EMPTY, 0 };
    struct sample row = { .colour = NAME_UNKNOWN };
    assert_int_equal(length_of(&array, &columns[7], &row), 0);
}

static void ten_thousand_elements_are_all_counted(void **state)
{
    (void)state;
    ARRAY array = { BUFFER_EMPTY, 0 };
    array_begin(&array, ARRAY_INT4);
    for (int i = 0; i < 10000; i++)
        array_add_int32(&array, i);
    assert_int_equal(array_read_int32(array.bytes.at + 12), 10000);
    assert_int_equal(array.bytes.size, HEADER + 8 * 10000);
    assert_int_equal(array_read_int32(array.bytes.at + HEADER + 8 * 9999 + 4), 9999);
    assert_false(array_failed(&array));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_header_says_dimension_type_length_and_lower_bound),
        cmocka_unit_test(a_null_has_the_length_minus_one_and_sets_the_flag),
        cmocka_unit_test(an_empty_array_has_a_header_and_no_element),
        cmocka_unit_test(an_array_that_is_begun_again_holds_nothing_from_before),
        cmocka_unit_test(integers_read_back_as_they_were_added),
        cmocka_unit_test(times_are_counted_from_the_year_2000),
        cmocka_unit_test(ids_keep_the_order_of_their_bytes),
        cmocka_unit_test(every_kind_of_column_has_its_binary_form),
        cmocka_unit_test(unset_values_are_null),
        cmocka_unit_test(an_empty_text_is_not_null),
        cmocka_unit_test(a_word_that_is_not_in_the_list_is_an_empty_text),
        cmocka_unit_test(ten_thousand_elements_are_all_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
