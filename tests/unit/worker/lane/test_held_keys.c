#include "tests/fixtures/cmocka.h"

#include <string.h>

#include "worker/lane/held_keys.h"

static const struct partition partition = { .topic = { "commands", 8 }, .number = 5 };

static struct delivery delivery_of(struct span key)
{
    return (struct delivery){ .partition = &partition, .key = key, .offset = 42, .attempts = 7, .lane_hash = 0xABCD };
}

static void add(struct held_keys *held, int64_t since_us)
{
    struct held_key *copy = held_keys_place(held, since_us);
    if (copy)
        copy->offset = since_us;
}

static void the_longest_held_are_shown_in_order_and_all_are_counted(void **state)
{
    struct held_keys held;
    (void)state;
    held_keys_clear(&held);
    for (int i = 0; i < 500; i++)
        add(&held, 1 + i * 7919 % 500); /* every number from 1 to 500 once, in no order */
    assert_int_equal(held.keys, 500);
    assert_int_equal(held.oldest_us, 1);
    assert_int_equal(held.shown, HELD_KEYS_SHOWN);
    for (int i = 0; i < HELD_KEYS_SHOWN; i++)
    {
        assert_int_equal(held.longest[i].since_us, i + 1);
        assert_int_equal(held.longest[i].offset, i + 1);
    }
}

static void copies_of_several_lanes_become_one(void **state)
{
    struct held_keys one, other;
    (void)state;
    held_keys_clear(&one);
    held_keys_clear(&other);
    for (int i = 0; i < 30; i++)
    {
        add(&one, 1000 + 2 * i);
        add(&other, 1001 + 2 * i);
    }
    held_keys_merge(&one, &other);
    assert_int_equal(one.keys, 60);
    assert_int_equal(one.oldest_us, 1000);
    for (int i = 0; i < HELD_KEYS_SHOWN; i++)
        assert_int_equal(one.longest[i].since_us, 1000 + i);
    held_keys_clear(&one);
    held_keys_merge(&one, &other);
    assert_int_equal(one.oldest_us, 1001);
    assert_int_equal(one.keys, 30);
}

static void a_key_that_is_not_text_or_too_long_is_shown_as_text_that_fits(void **state)
{
    static const struct
    {
        struct span key;
        const char *shown;
    } cases[] = {
        { { "ticket/42", 9 }, "ticket/42" },
        { { NULL, 0 }, "#000000000000abcd" },
        { { "a\xff\xe2\x82z", 5 }, "a???z" },
        { { "0123456789012345678901234567890123456789012345678901234567890123456789", 70 },
          "01234567890123456789012345678901234567890123456789012345678901234567..." },
        /* A letter that is cut in two does not go out in half. */
        { { "0123456789012345678901234567890123456789012345678901234567890123456\xe2\x82\xac", 70 },
          "0123456789012345678901234567890123456789012345678901234567890123456..." },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
    {
        struct held_key copy = { 0 };
        struct delivery delivery = delivery_of(cases[i].key);
        held_keys_describe(&copy, &delivery, "lane-0.1", "busy");
        assert_string_equal(copy.key, cases[i].shown);
    }
}

static void held_keys_are_printed_as_json_with_times_never_below_zero(void **state)
{
    struct held_keys held;
    struct buffer json = BUFFER_EMPTY;
    struct delivery delivery = delivery_of((struct span){ "ticket/\"1\"", 10 });
    (void)state;
    held_keys_clear(&held);
    held_keys_print(&held, 5000000, &json);
    buffer_add_byte(&json, '\0');
    assert_string_equal(json.at, "{\"keys\":0,\"oldest_s\":0.000,\"longest\":[]}");
    buffer_clear(&json);

    struct held_key *copy = held_keys_place(&held, 1500000);
    held_keys_describe(copy, &delivery, "lane-0.1", "busy");
    copy->commands = 3;
    copy->next_us = 4000000;
    held_keys_print(&held, 5000000, &json);
    buffer_add_byte(&json, '\0');
    assert_string_equal(
        json.at, "{\"keys\":1,\"oldest_s\":3.500,\"longest\":[{\"key\":\"ticket/\\\"1\\\"\",\"lane\":\"lane-0.1\","
                 "\"topic\":\"commands\",\"partition\":5,\"offset\":42,\"reason\":\"busy\",\"attempts\":7,"
                 "\"commands\":3,\"held_s\":3.500,\"next_try_s\":0.000}]}");
    buffer_done(&json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_longest_held_are_shown_in_order_and_all_are_counted),
        cmocka_unit_test(copies_of_several_lanes_become_one),
        cmocka_unit_test(a_key_that_is_not_text_or_too_long_is_shown_as_text_that_fits),
        cmocka_unit_test(held_keys_are_printed_as_json_with_times_never_below_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
