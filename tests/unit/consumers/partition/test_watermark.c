#include "tests/fixtures/cmocka.h"

#include <stdlib.h>

#include "consumers/partition/watermark.h"

/* Items are only compared. */
static int items[4096];

static void nothing_is_answered_at_first(void **state)
{
    struct watermark watermark = WATERMARK_EMPTY;
    (void)state;

    assert_null(watermark_peek(&watermark));
    assert_null(watermark_pop(&watermark));
    watermark_done(&watermark);
}

static void answers_in_order_come_out_at_once(void **state)
{
    struct watermark watermark = WATERMARK_EMPTY;
    (void)state;

    for (uint64_t i = 0; i < 1000; i++)
    {
        assert_true(watermark_mark(&watermark, i, &items[i], 1));
        assert_ptr_equal(watermark_pop(&watermark), &items[i]);
        assert_null(watermark_pop(&watermark));
    }
    watermark_done(&watermark);
}

/* PROTOCOL K1: contiguous is what was received one after another, gaps of offsets or not. */
static void an_answer_waits_for_those_before_it(void **state)
{
    struct watermark watermark = WATERMARK_EMPTY;
    (void)state;

    assert_true(watermark_mark(&watermark, 2, &items[2], 1));
    assert_true(watermark_mark(&watermark, 1, &items[1], 1));
    assert_null(watermark_pop(&watermark));
    assert_true(watermark_mark(&watermark, 0, &items[0], 1));
    for (int i = 0; i < 3; i++)
        assert_ptr_equal(watermark_pop(&watermark), &items[i]);
    assert_null(watermark_pop(&watermark));
    watermark_done(&watermark);
}

static void the_ring_grows_to_the_deliveries_in_flight_and_keeps_their_order(void **state)
{
    struct watermark watermark = WATERMARK_EMPTY;
    (void)state;

    /* The base is moved first, so that growing has to move items around the ring's end. */
    for (uint64_t i = 0; i < 200; i++)
    {
        assert_true(watermark_mark(&watermark, i, &items[i], 1));
        assert_ptr_equal(watermark_pop(&watermark), &items[i]);
    }
    for (uint64_t i = 3999; i >= 200; i--)
        assert_true(watermark_mark(&watermark, i, &items[i], 1));
    for (uint64_t i = 200; i < 4000; i++)
        assert_ptr_equal(watermark_pop(&watermark), &items[i]);
    assert_null(watermark_pop(&watermark));
    watermark_done(&watermark);
}

static void a_full_ring_refuses_and_changes_nothing(void **state)
{
    struct watermark watermark = WATERMARK_EMPTY;
    (void)state;

    assert_false(watermark_mark(&watermark, WATERMARK_MAX, &items[0], 1));
    assert_true(watermark_mark(&watermark, 0, &items[0], 1));
    assert_ptr_equal(watermark_pop(&watermark), &items[0]);
    watermark_done(&watermark);
}

static void dropped_deliveries_come_out_whether_contiguous_or_not(void **state)
{
    struct watermark watermark = WATERMARK_EMPTY;
    (void)state;

    assert_true(watermark_mark(&watermark, 1, &items[1], 1));
    assert_true(watermark_mark(&watermark, 5, &items[5], 1));
    assert_ptr_equal(watermark_drop(&watermark), &items[1]);
    assert_ptr_equal(watermark_drop(&watermark), &items[5]);
    assert_null(watermark_drop(&watermark));
    watermark_done(&watermark);
}

/* --- against a model: an array of flags and the lowest one that is not set --------------------------------------- */

static uint64_t random_next(uint64_t *seed)
{
    uint64_t mixed = *seed += UINT64_C(0x9E3779B97F4A7C15);
    mixed = (mixed ^ mixed >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    mixed = (mixed ^ mixed >> 27) * UINT64_C(0x94D049BB133111EB);
    return mixed ^ mixed >> 31;
}

static void check_against_model(uint64_t seed)
{
    struct watermark watermark = WATERMARK_EMPTY;
    bool answered[4096] = { false };
    uint64_t received = 0, popped = 0, left = 0;

    while (popped < 4096)
    {
        if (received < 4096 && random_next(&seed) % 3 != 0)
            received += 1 + random_next(&seed) % 40;
        received = received > 4096 ? 4096 : received;
        left = received - popped;
        for (uint64_t tries = random_next(&seed) % (left + 1); tries > 0; tries--)
        {
            uint64_t sequence = popped + random_next(&seed) % left;
            if (answered[sequence])
                continue;
            answered[sequence] = true;
            assert_true(watermark_mark(&watermark, sequence, &items[sequence], 1));
        }
        for (uint64_t limit = random_next(&seed) % 64; limit > 0; limit--)
        {
            void *expected = popped < 4096 && answered[popped] ? &items[popped] : NULL;
            assert_ptr_equal(watermark_peek(&watermark), expected);
            assert_ptr_equal(watermark_pop(&watermark), expected);
            popped += expected != NULL;
            if (expected == NULL)
                break;
        }
    }
    assert_int_equal(watermark.answered, 0);
    watermark_done(&watermark);
}

static void any_order_of_answers_gives_what_a_simple_model_gives(void **state)
{
    (void)state;

    for (uint64_t seed = 1; seed <= 200; seed++)
        check_against_model(seed);
}

/* PROTOCOL K3: a publication that failed is sent again as a smaller one. */
static void a_popped_position_can_be_marked_again(void **state)
{
    (void)state;

    /* Full and half full, at every place of the ring: what is behind must stay where it is. */
    for (uint64_t before = 0; before < 300; before += 37)
        for (uint64_t behind = 0; behind <= 256; behind += 64)
        {
            struct watermark watermark = WATERMARK_EMPTY;
            for (uint64_t i = 0; i < before + 100; i++)
            {
                assert_true(watermark_mark(&watermark, i, &items[i], 1));
                assert_ptr_equal(watermark_pop(&watermark), &items[i]);
            }
            for (uint64_t i = 0; i < behind; i++)
                assert_true(watermark_mark(&watermark, before + 100 + i, &items[before + 100 + i], 1));
            assert_true(watermark_reopen(&watermark, 100));
            assert_null(watermark_peek(&watermark));
            for (uint64_t i = 0; i < 100; i++)
                assert_true(watermark_mark(&watermark, before + i, &items[before + i], 1));
            for (uint64_t i = 0; i < 100 + behind; i++)
                assert_ptr_equal(watermark_pop(&watermark), &items[before + i]);
            assert_null(watermark_pop(&watermark));
            watermark_done(&watermark);
        }
}

/* PROTOCOL L3: what waits behind a held command. */
static void how_long_answers_wait_is_known_of_what_is_blocked_and_of_what_is_not_published(void **state)
{
    enum
    {
        SECOND = 1000000,
    };
    struct watermark watermark = WATERMARK_EMPTY;
    (void)state;

    assert_int_equal(watermark_since(&watermark, 0), 0);
    for (uint64_t i = 1; i < 2000; i++) /* for 200 s, behind one that is not answered */
        assert_true(watermark_mark(&watermark, i, &items[i], (int64_t)i * SECOND / 10));
    assert_int_equal(watermark_since(&watermark, 0), SECOND / 10);
    assert_int_equal(watermark_blocked(&watermark), SECOND / 10);
    assert_true(watermark_mark(&watermark, 0, &items[0], 200 * (int64_t)SECOND));
    assert_int_equal(watermark_blocked(&watermark), 0);
    assert_int_equal(watermark_since(&watermark, 0), SECOND / 10);
    for (int i = 0; i < 1000; i++)
        assert_non_null(watermark_pop(&watermark));
    /* Not published before somebody says so; then the age is one of what is left, to a few hundredths. */
    assert_int_equal(watermark_since(&watermark, 0), SECOND / 10);
    int64_t since_us = watermark_since(&watermark, 1000);
    assert_true(since_us <= 100 * (int64_t)SECOND && since_us >= 85 * (int64_t)SECOND);
    while (watermark_pop(&watermark))
        ;
    assert_int_equal(watermark_since(&watermark, 2000), 0);
    watermark_done(&watermark);
}

static void the_first_unmarked_one_is_behind_the_marked_prefix(void **state)
{
    (void)state;
    struct watermark watermark = WATERMARK_EMPTY;

    assert_int_equal(watermark_first_unmarked(&watermark), 0);
    for (uint64_t sequence = 0; sequence < 4; sequence++)
        if (sequence != 2)
            assert_true(watermark_mark(&watermark, sequence, &items[sequence], 1));
    assert_int_equal(watermark_first_unmarked(&watermark), 2);
    assert_ptr_equal(watermark_pop(&watermark), &items[0]);
    assert_int_equal(watermark_first_unmarked(&watermark), 2);
    assert_true(watermark_mark(&watermark, 2, &items[2], 1));
    assert_int_equal(watermark_first_unmarked(&watermark), 4);
    /* A publication gives its end back. */
    assert_ptr_equal(watermark_pop(&watermark), &items[1]);
    assert_true(watermark_reopen(&watermark, 1));
    assert_int_equal(watermark_first_unmarked(&watermark), 1);
    assert_true(watermark_mark(&watermark, 1, &items[1], 1));
    assert_int_equal(watermark_first_unmarked(&watermark), 4);
    while (watermark_drop(&watermark))
        continue;
    watermark_done(&watermark);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_answered_at_first),
        cmocka_unit_test(answers_in_order_come_out_at_once),
        cmocka_unit_test(an_answer_waits_for_those_before_it),
        cmocka_unit_test(the_ring_grows_to_the_deliveries_in_flight_and_keeps_their_order),
        cmocka_unit_test(a_full_ring_refuses_and_changes_nothing),
        cmocka_unit_test(dropped_deliveries_come_out_whether_contiguous_or_not),
        cmocka_unit_test(any_order_of_answers_gives_what_a_simple_model_gives),
        cmocka_unit_test(a_popped_position_can_be_marked_again),
        cmocka_unit_test(how_long_answers_wait_is_known_of_what_is_blocked_and_of_what_is_not_published),
        cmocka_unit_test(the_first_unmarked_one_is_behind_the_marked_prefix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
