#include "tests/fixtures/cmocka.h"

#include <pthread.h>
#include <threads.h>

#include "consumers/kafka/spin_brake.h"

enum
{
    MUTEXES = 3,
    ROUNDS = 10 * SPIN_LOCKS,
};

static mtx_t mutexes[MUTEXES];

struct job
{
    const char *name; /* of the thread */
    int mutexes;      /* locked in turn */
    int wait_every;   /* rounds; 0: never */
};

static int set_up(void **state)
{
    (void)state;
    for (int i = 0; i < MUTEXES; i++)
        mtx_init(&mutexes[i], mtx_plain);
    spin_brake_use(true);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (int i = 0; i < MUTEXES; i++)
        mtx_destroy(&mutexes[i]);
    return 0;
}

static void *lock_in_turn(void *owner)
{
    const struct job *job = owner;

    pthread_setname_np(pthread_self(), job->name);
    for (int i = 0; i < ROUNDS; i++)
    {
        if (job->wait_every && i % job->wait_every == 0)
            spin_brake_note_wait();
        mtx_lock(&mutexes[i % job->mutexes]);
        mtx_unlock(&mutexes[i % job->mutexes]);
    }
    return NULL;
}

static int64_t rests_of(struct job job)
{
    int64_t before = spin_brake_rests();
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, lock_in_turn, &job), 0);
    pthread_join(thread, NULL);
    return spin_brake_rests() - before;
}

static void the_libraries_of_the_process_find_it(void **state)
{
    (void)state;
    assert_true(spin_brake_is_found());
}

static void a_main_thread_that_spins_on_two_mutexes_rests(void **state)
{
    (void)state;
    assert_int_equal(rests_of((struct job){ .name = "rdk:main", .mutexes = 2 }), ROUNDS / SPIN_LOCKS - 1);
    assert_int_equal(rests_of((struct job){ .name = "rdk:main", .mutexes = 1 }), ROUNDS / SPIN_LOCKS);
}

static void a_main_thread_with_work_does_not(void **state)
{
    (void)state;
    assert_int_equal(rests_of((struct job){ .name = "rdk:main", .mutexes = 3 }), 0);
}

static void a_main_thread_that_waits_now_and_then_does_not(void **state)
{
    (void)state;
    assert_int_equal(rests_of((struct job){ .name = "rdk:main", .mutexes = 2, .wait_every = SPIN_LOCKS - 1 }), 0);
}

static void no_other_thread_does(void **state)
{
    (void)state;
    assert_int_equal(rests_of((struct job){ .name = "rdk:broker1", .mutexes = 2 }), 0);
    assert_int_equal(rests_of((struct job){ .name = "lane-0.0", .mutexes = 2 }), 0);
}

static void with_a_library_that_does_not_spin_nobody_does(void **state)
{
    (void)state;
    spin_brake_use(false);
    assert_int_equal(rests_of((struct job){ .name = "rdk:main", .mutexes = 2 }), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(the_libraries_of_the_process_find_it),
        TEST(a_main_thread_that_spins_on_two_mutexes_rests),
        TEST(a_main_thread_with_work_does_not),
        TEST(a_main_thread_that_waits_now_and_then_does_not),
        TEST(no_other_thread_does),
        TEST(with_a_library_that_does_not_spin_nobody_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
