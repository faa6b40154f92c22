#include "tests/fixtures/cmocka.h"

#include "workflows/base/arena.h"

static void memory_is_aligned_and_separate(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena);
    char *last = NULL;
    for (size_t size = 0; size < 300; size++)
    {
        char *taken = arena_take(&arena, size);
        assert_non_null(taken);
        assert_int_equal((uintptr_t)taken % 16, 0);
        assert_ptr_not_equal(taken, last);
        memset(taken, 0x5a, size);
        last = size ? taken : last;
    }
    arena_done(&arena);
}

static void zeroed_memory_is_zero_after_a_reset_too(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena);
    memset(arena_take(&arena, 1000), 0xff, 1000);
    arena_reset(&arena, 1 << 20);
    const char *taken = arena_take_zeroed(&arena, 1000);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(taken[i], 0);
    arena_done(&arena);
}

static void a_reset_keeps_no_more_than_it_was_told(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena);
    for (int i = 0; i < 100; i++)
        assert_non_null(arena_take(&arena, 10000));
    assert_true(arena.total >= 1000000);
    arena_reset(&arena, 300000);
    assert_true(arena.total <= 300000);
    assert_true(arena.total > 0);
    arena_reset(&arena, 0);
    assert_int_equal(arena.total, 0);
    assert_non_null(arena_take(&arena, 1));
    arena_done(&arena);
}

static void equal_batches_soon_need_no_new_blocks(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena);
    size_t total = 0;
    for (int batch = 0; batch < 8; batch++)
    {
        arena_reset(&arena, 8 << 20);
        total = arena.total;
        for (int i = 0; i < 1000; i++)
            assert_non_null(arena_take(&arena, 1000));
    }
    assert_int_equal(arena.total, total);
    arena_done(&arena);
}

static void a_size_that_cannot_be_had_fails_until_the_reset(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena);
    assert_null(arena_take(&arena, SIZE_MAX));
    assert_true(arena_failed(&arena));
    assert_null(arena_take(&arena, 1));
    assert_null(arena_take_zeroed(&arena, 1));
    assert_null(arena_copy(&arena, SPAN_LITERAL("x")).at);
    arena_reset(&arena, 1 << 20);
    assert_false(arena_failed(&arena));
    assert_non_null(arena_take(&arena, 1));
    arena_done(&arena);
}

static void a_copy_ends_with_nul_and_a_null_span_stays_null(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena);
    struct span copy = arena_copy(&arena, SPAN_LITERAL("ticket/42"));
    assert_int_equal(copy.size, 9);
    assert_string_equal(copy.at, "ticket/42");
    assert_null(arena_copy(&arena, SPAN_NULL).at);
    struct span empty = arena_copy(&arena, SPAN_LITERAL(""));
    assert_non_null(empty.at);
    assert_int_equal(empty.size, 0);
    arena_done(&arena);
}

static void only_the_last_taken_is_resized_in_place(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena);
    char *first = arena_take(&arena, 100);
    char *last = arena_take(&arena, 100);
    assert_false(arena_resize_last(&arena, first, 100, 200));
    assert_true(arena_resize_last(&arena, last, 100, 2000));
    memset(last, 1, 2000);
    assert_false(arena_resize_last(&arena, last, 2000, 1 << 20)); /* more than the block has */
    assert_true(arena_resize_last(&arena, last, 2000, 10));
    assert_ptr_equal(arena_take(&arena, 1), last + 16);
    arena_done(&arena);
}

static void a_rewind_gives_back_what_came_after_the_mark(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena);
    char *kept = arena_take(&arena, 32);
    memset(kept, 7, 32);
    struct arena_mark mark = arena_mark(&arena);
    size_t total = arena.total;
    char *first = arena_take(&arena, 64);
    assert_non_null(arena_take(&arena, 1 << 20)); /* in a block of its own */
    arena_rewind(&arena, mark);
    assert_int_equal(arena.total, total);
    assert_ptr_equal(arena_take(&arena, 64), first);
    assert_int_equal(kept[31], 7);
    arena_done(&arena);
}

static void a_rewind_of_an_empty_arena_empties_it(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena);
    struct arena_mark mark = arena_mark(&arena);
    assert_non_null(arena_take(&arena, 64));
    arena_rewind(&arena, mark);
    assert_int_equal(arena.total, 0);
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_aligned_and_separate),
        cmocka_unit_test(zeroed_memory_is_zero_after_a_reset_too),
        cmocka_unit_test(a_reset_keeps_no_more_than_it_was_told),
        cmocka_unit_test(equal_batches_soon_need_no_new_blocks),
        cmocka_unit_test(a_size_that_cannot_be_had_fails_until_the_reset),
        cmocka_unit_test(a_copy_ends_with_nul_and_a_null_span_stays_null),
        cmocka_unit_test(only_the_last_taken_is_resized_in_place),
        cmocka_unit_test(a_rewind_gives_back_what_came_after_the_mark),
        cmocka_unit_test(a_rewind_of_an_empty_arena_empties_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
