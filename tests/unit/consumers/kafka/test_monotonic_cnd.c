/* wrap: clock_gettime. Waits of the C library's kind, under a wall clock that is not the system's. The effect of a
 * jump in the middle of a wait is shown by test_clocks.py. */
#include "tests/fixtures/cmocka.h"

#include <pthread.h>
#include <threads.h>
#include <time.h>

#include "consumers/kafka/monotonic_cnd.h"
#include "worker/base/clock.h"

enum
{
    HOUR_S = 3600,
    WAIT_US = 30000,
};

static int64_t wall_jump_s;
static cnd_t cond;
static mtx_t mutex;

__typeof__(clock_gettime) __real_clock_gettime;
__typeof__(clock_gettime) __wrap_clock_gettime;

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
    int result = __real_clock_gettime(clock, ret);
    if (clock == CLOCK_REALTIME)
        ret->tv_sec += wall_jump_s;
    return result;
}

static struct timespec in_a_moment(void)
{
    int64_t until_us = wall_us() + WAIT_US;
    return (struct timespec){ .tv_sec = until_us / 1000000, .tv_nsec = until_us % 1000000 * 1000 };
}

/* How long it took, in microseconds. */
static int64_t wait_until(const struct timespec *until, int wanted)
{
    int64_t begun_us = monotonic_us();

    mtx_lock(&mutex);
    int told = cnd_timedwait(&cond, &mutex, until);
    mtx_unlock(&mutex);
    assert_int_equal(told, wanted);
    return monotonic_us() - begun_us;
}

static void the_libraries_of_the_process_find_it(void **state)
{
    (void)state;
    assert_true(monotonic_cnd_is_found());
}

static void a_wait_is_as_long_as_it_is_whatever_the_wall_clock_says(void **state)
{
    (void)state;
    static const int64_t jumps_s[] = { 0, -HOUR_S, HOUR_S };
    for (size_t i = 0; i < sizeof(jumps_s) / sizeof(*jumps_s); i++)
    {
        wall_jump_s = jumps_s[i];
        struct timespec until = in_a_moment();
        assert_true(wait_until(&until, thrd_timedout) >= WAIT_US - 1000);
    }
    wall_jump_s = 0;
}

static void a_time_that_has_passed_is_not_waited_for(void **state)
{
    (void)state;
    struct timespec until = in_a_moment();
    until.tv_sec -= HOUR_S;
    wait_until(&until, thrd_timedout);
}

static void *call(void *unused)
{
    mtx_lock(&mutex);
    cnd_signal(&cond);
    mtx_unlock(&mutex);
    return unused;
}

static void whoever_is_called_wakes_at_once(void **state)
{
    (void)state;
    pthread_t thread; /* TSan does not know the C library's own kind */
    struct timespec until = in_a_moment();
    until.tv_sec += HOUR_S;
    mtx_lock(&mutex);
    assert_int_equal(pthread_create(&thread, NULL, call, NULL), 0);
    assert_int_equal(cnd_timedwait(&cond, &mutex, &until), thrd_success);
    mtx_unlock(&mutex);
    pthread_join(thread, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_libraries_of_the_process_find_it),
        cmocka_unit_test(a_wait_is_as_long_as_it_is_whatever_the_wall_clock_says),
        cmocka_unit_test(a_time_that_has_passed_is_not_waited_for),
        cmocka_unit_test(whoever_is_called_wakes_at_once),
    };
    cnd_init(&cond);
    mtx_init(&mutex, mtx_plain);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
