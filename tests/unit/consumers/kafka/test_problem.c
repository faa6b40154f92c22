/* A problem in the log.
 * wrap: log_write */
#include "tests/fixtures/cmocka.h"

#include "consumers/kafka/problem.h"
#include "worker/base/clock.h"

static int lines;

__typeof__(log_write) __wrap_log_write;
void __wrap_log_write(enum log_level level, const char *format, ...)
{
    (void)format;
    lines += level == LOG_LEVEL_WARNING;
}

static int set_up(void **state)
{
    static struct problem problem;

    problem_init(&problem, 0);
    problem.warns_us = 0;
    *state = &problem;
    lines = 0;
    return 0;
}

static int tear_down(void **state)
{
    problem_done(*state);
    return 0;
}

static void the_same_problem_is_logged_once(void **state)
{
    for (int i = 0; i < 100; i++)
        problem_set(*state, "publisher", i % 2 ? "no answer after 3 ms" : "no answer after 12 ms");
    assert_int_equal(lines, 1);
}

/* The first often hides the cause. */
static void another_problem_is_logged_too(void **state)
{
    int64_t begun_us = monotonic_us();

    problem_set(*state, "publisher", "no answer");
    while (lines == 1 && monotonic_us() - begun_us < 10000000)
        problem_set(*state, "publisher", "no such topic");
    assert_int_equal(lines, 2);
    assert_true(monotonic_us() - begun_us > 900000);
}

static void two_problems_that_alternate_are_not_logged_again(void **state)
{
    another_problem_is_logged_too(state);
    int64_t begun_us = monotonic_us();
    while (monotonic_us() - begun_us < 1200000)
    {
        problem_set(*state, "publisher", "no answer");
        problem_set(*state, "publisher", "no such topic");
    }
    assert_int_equal(lines, 2);
}

static void an_ended_problem_is_logged_when_it_comes_again(void **state)
{
    problem_set(*state, "publisher", "no answer");
    problem_clear(*state);
    problem_set(*state, "publisher", "no answer");
    assert_int_equal(lines, 2);
}

static void a_problem_is_not_a_warning_in_the_first_seconds(void **state)
{
    struct problem *problem = *state;

    problem->warns_us = monotonic_us() + 1000000000;
    problem_set(problem, "publisher", "no answer");
    assert_int_equal(lines, 0);
    problem->warns_us = 0;
    problem_set(problem, "publisher", "no answer");
    problem_set(problem, "publisher", "no answer");
    assert_int_equal(lines, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(the_same_problem_is_logged_once),
        TEST(another_problem_is_logged_too),
        TEST(two_problems_that_alternate_are_not_logged_again),
        TEST(an_ended_problem_is_logged_when_it_comes_again),
        TEST(a_problem_is_not_a_warning_in_the_first_seconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
