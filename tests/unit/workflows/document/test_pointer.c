#include "tests/fixtures/arena.h"

#include <stdlib.h>

#include "workflows/document/pointer.h"

/* `steps` ends with NULL. */
static void assert_steps(const char *text, const char *const *steps)
{
    struct pointer pointer;
    const char *why = pointer_parse(&arena, span_of(text), &pointer);
    if (why)
        fail_msg("%s: %s", text, why);
    size_t count = 0;
    for (; steps[count]; count++)
        if (count >= pointer.count || !span_is(pointer.steps[count], steps[count]))
            fail_msg("%s: step %zu is not %s", text, count, steps[count]);
    assert_int_equal(pointer.count, count);
}

#define STEPS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void a_pointer_is_read_into_its_steps(void **state)
{
    (void)state;
    assert_steps("", (const char *const[]){ NULL });
    assert_steps("/", STEPS(""));
    assert_steps("//", STEPS("", ""));
    assert_steps("/a", STEPS("a"));
    assert_steps("/a/b c/0", STEPS("a", "b c", "0"));
    assert_steps("/a//b/", STEPS("a", "", "b", ""));
    assert_steps("/\xc3\xa9/\"/%41", STEPS("\xc3\xa9", "\"", "%41"));
}

/* RFC 6901 4: ~01 is ~1 and not /, because it is read from the left. */
static void escapes_stand_for_the_two_bytes_that_a_step_cannot_hold(void **state)
{
    (void)state;
    assert_steps("/a~1b", STEPS("a/b"));
    assert_steps("/m~0n", STEPS("m~n"));
    assert_steps("/~01", STEPS("~1"));
    assert_steps("/~10~0~1/~0", STEPS("/0~/", "~"));
}

static void a_text_that_is_no_pointer_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = { "a", "a/b", " /a", "#/a", "/~", "/a~", "/~2", "/a/b~x/c", "/~~0", "~0" };
    struct pointer pointer;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (!pointer_parse(&arena, span_of(texts[i]), &pointer))
            fail_msg("%s", texts[i]);
}

static void the_number_of_steps_is_bounded(void **state)
{
    (void)state;
    char text[2 * POINTER_STEPS_MAX + 3];
    struct pointer pointer;
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = i % 2 ? 'a' : '/';
    assert_null(pointer_parse(&arena, (struct span){ text, 2 * POINTER_STEPS_MAX }, &pointer));
    assert_int_equal(pointer.count, POINTER_STEPS_MAX);
    assert_non_null(pointer_parse(&arena, (struct span){ text, 2 * POINTER_STEPS_MAX + 1 }, &pointer));
    assert_non_null(pointer_parse(&arena, (struct span){ text, 2 * POINTER_STEPS_MAX + 2 }, &pointer));
}

static void any_cut_of_a_pointer_is_read_within_its_bounds(void **state)
{
    (void)state;
    static const char text[] = "/ab~0~1/~1//x~2/y";
    for (size_t size = 0; size < sizeof(text); size++)
    {
        char *cut = malloc(size ? size : 1); /* its end is the sanitizer's */
        struct pointer pointer;
        memcpy(cut, text, size);
        pointer_parse(&arena, (struct span){ cut, size }, &pointer);
        free(cut);
    }
}

static enum pointer_index index_of(const char *step, size_t *ret)
{
    return pointer_read_index(span_of(step), ret);
}

static void a_step_is_an_index_when_it_is_a_number_without_a_zero_in_front(void **state)
{
    (void)state;
    size_t index;
    assert_int_equal(index_of("0", &index), POINTER_AT_INDEX);
    assert_int_equal(index, 0);
    assert_int_equal(index_of("10", &index), POINTER_AT_INDEX);
    assert_int_equal(index, 10);
    assert_int_equal(index_of("18446744073709551614", &index), POINTER_AT_INDEX);
    assert_true(index == SIZE_MAX - 1);
    assert_int_equal(index_of("18446744073709551616", &index), POINTER_AT_INDEX);
    assert_true(index == SIZE_MAX);
    assert_int_equal(index_of("99999999999999999999999999", &index), POINTER_AT_INDEX);
    assert_true(index == SIZE_MAX);
    assert_int_equal(index_of("-", &index), POINTER_AFTER_END);
    static const char *const others[] = {
        "", "00", "01", "-1", "+1", "1 ", " 1", "1a", "0x1", "1e0", "--", "\xd9\xa1"
    };
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        if (index_of(others[i], &index) != POINTER_NO_INDEX)
            fail_msg("%s", others[i]);
}

static void no_memory_is_a_failure_of_the_arena(void **state)
{
    (void)state;
    struct pointer pointer;
    assert_null(arena_take(&arena, SIZE_MAX));
    assert_non_null(pointer_parse(&arena, SPAN_LITERAL("/~0"), &pointer));
    assert_true(arena_failed(&arena));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pointer_is_read_into_its_steps),
        cmocka_unit_test(escapes_stand_for_the_two_bytes_that_a_step_cannot_hold),
        cmocka_unit_test(a_text_that_is_no_pointer_is_refused),
        cmocka_unit_test(the_number_of_steps_is_bounded),
        cmocka_unit_test(any_cut_of_a_pointer_is_read_within_its_bounds),
        cmocka_unit_test(a_step_is_an_index_when_it_is_a_number_without_a_zero_in_front),
        cmocka_unit_test(no_memory_is_a_failure_of_the_arena),
    };
    return cmocka_run_group_tests(tests, set_up_arena, tear_down_arena);
}
