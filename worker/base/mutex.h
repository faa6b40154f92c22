/* Mutex: a mutex that knows its holder, so that a function that needs it held, or must not be called while it is,
 * asserts that.
 *
 * Threads    any.
 * Locks      it is one. A condition that is waited for with it is initialised by condition_init.
 * Failure    none: a thread that takes it twice, or gives back a mutex that it does not hold, has a defect.
 */
#ifndef WORKER_BASE_MUTEX_H
#define WORKER_BASE_MUTEX_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "worker/base/clock.h"

struct mutex
{
    pthread_mutex_t mutex;
    _Atomic(pthread_t) holder; /* 0: free. Only a thread's own value means something to it, so no order is needed */
};

static inline void mutex_init(struct mutex *mutex)
{
    pthread_mutex_init(&mutex->mutex, NULL);
    atomic_init(&mutex->holder, (pthread_t)0);
}

static inline bool mutex_is_mine(const struct mutex *mutex)
{
    return atomic_load_explicit(&mutex->holder, memory_order_relaxed) == pthread_self();
}

/* This thread holds it. */
static inline void mutex_assert_held(const struct mutex *mutex)
{
    assert(mutex_is_mine(mutex));
}

/* This thread does not. */
static inline void mutex_assert_free(const struct mutex *mutex)
{
    assert(!mutex_is_mine(mutex));
}

static inline void mutex_lock(struct mutex *mutex)
{
    mutex_assert_free(mutex); /* else it waits for itself */
    pthread_mutex_lock(&mutex->mutex);
    atomic_store_explicit(&mutex->holder, pthread_self(), memory_order_relaxed);
}

static inline void mutex_unlock(struct mutex *mutex)
{
    mutex_assert_held(mutex);
    atomic_store_explicit(&mutex->holder, (pthread_t)0, memory_order_relaxed);
    pthread_mutex_unlock(&mutex->mutex);
}

/* Waits for the condition, during which the mutex is free; INT64_MAX: without an end. False: the time is over. */
static inline bool mutex_wait(struct mutex *mutex, pthread_cond_t *condition, int64_t until_us)
{
    struct timespec until = monotonic_timespec(until_us);

    mutex_assert_held(mutex);
    atomic_store_explicit(&mutex->holder, (pthread_t)0, memory_order_relaxed);
    int error = until_us == INT64_MAX ? pthread_cond_wait(condition, &mutex->mutex)
                                      : pthread_cond_timedwait(condition, &mutex->mutex, &until);
    atomic_store_explicit(&mutex->holder, pthread_self(), memory_order_relaxed);
    return error == 0;
}

static inline void mutex_destroy(struct mutex *mutex)
{
    mutex_assert_free(mutex);
    pthread_mutex_destroy(&mutex->mutex);
}

#endif
