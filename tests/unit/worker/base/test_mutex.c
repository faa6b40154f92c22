#include "tests/fixtures/cmocka.h"

#include "tests/fixtures/abort.h"
#include "worker/base/mutex.h"

static struct mutex mutex;
static pthread_cond_t condition;

static void lock(void *of)
{
    mutex_lock(of);
}

static void unlock(void *of)
{
    mutex_unlock(of);
}

static void assert_held(void *of)
{
    mutex_assert_held(of);
}

static void assert_free(void *of)
{
    mutex_assert_free(of);
}

static void wait_on(void *of)
{
    mutex_wait(of, &condition, 0);
}

static int set_up(void **state)
{
    (void)state;
    mutex_init(&mutex);
    condition_init(&condition);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pthread_cond_destroy(&condition);
    mutex_destroy(&mutex);
    return 0;
}

static void a_mutex_knows_that_this_thread_holds_it(void **state)
{
    (void)state;
    mutex_assert_free(&mutex);
    mutex_lock(&mutex);
    mutex_assert_held(&mutex);
    assert_true(aborts(assert_free, &mutex));
    assert_true(aborts(lock, &mutex));
    mutex_unlock(&mutex);
    mutex_assert_free(&mutex);
    assert_true(aborts(assert_held, &mutex));
    assert_true(aborts(unlock, &mutex));
    assert_true(aborts(wait_on, &mutex));
}

static void *look_from_elsewhere(void *of)
{
    mutex_assert_free(of); /* it is not this thread's */
    return aborts(unlock, of) && aborts(assert_held, of) ? of : NULL;
}

static void a_mutex_of_another_thread_is_not_held(void **state)
{
    pthread_t thread;
    void *refused;
    (void)state;
    mutex_lock(&mutex);
    assert_int_equal(pthread_create(&thread, NULL, look_from_elsewhere, &mutex), 0);
    pthread_join(thread, &refused);
    assert_non_null(refused);
    mutex_unlock(&mutex);
}

static void *take_and_signal(void *of)
{
    mutex_lock(of);
    pthread_cond_signal(&condition);
    mutex_unlock(of);
    return NULL;
}

static void a_wait_frees_the_mutex_and_takes_it_again(void **state)
{
    pthread_t thread;
    (void)state;
    mutex_lock(&mutex);
    assert_int_equal(pthread_create(&thread, NULL, take_and_signal, &mutex), 0);
    assert_true(mutex_wait(&mutex, &condition, INT64_MAX));
    mutex_assert_held(&mutex);
    assert_false(mutex_wait(&mutex, &condition, monotonic_us()));
    mutex_assert_held(&mutex);
    mutex_unlock(&mutex);
    pthread_join(thread, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_mutex_knows_that_this_thread_holds_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_mutex_of_another_thread_is_not_held, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_wait_frees_the_mutex_and_takes_it_again, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
