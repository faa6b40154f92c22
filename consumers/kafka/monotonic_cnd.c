#include "consumers/kafka/monotonic_cnd.h"

#include <assert.h>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <threads.h>

#include "consumers/kafka/spin_brake.h"
#include "worker/base/clock.h"

static atomic_bool used = true;

void monotonic_cnd_use(bool use)
{
    atomic_store(&used, use);
}

#ifdef __GLIBC__

/* No wait of ours in librdkafka is that long; a clock that is set back between the library's reading of it and the call
 * costs no more than this. */
static const int64_t LONGEST_US = 60000000;

/* The C library's own functions of these types are calls of the pthread ones. */
static_assert(sizeof(cnd_t) == sizeof(pthread_cond_t), "cnd_t is a pthread_cond_t");
static_assert(sizeof(mtx_t) == sizeof(pthread_mutex_t), "mtx_t is a pthread_mutex_t");

/* The mutex was locked by a call of the C library, which TSan does not see: it must not see the wait unlock and lock it
 * either, or counts a lock that nobody gives back. */
static int wait_until(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *end)
{
#ifdef __SANITIZE_THREAD__
    int (*real)(pthread_cond_t *, pthread_mutex_t *, clockid_t, const struct timespec *);
    void *found = dlsym(dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD), "pthread_cond_clockwait");
    memcpy(&real, &found, sizeof(real));
    return real(cond, mutex, CLOCK_MONOTONIC, end);
#else
    return pthread_cond_clockwait(cond, mutex, CLOCK_MONOTONIC, end);
#endif
}

static int told(int error)
{
    return error == 0 ? thrd_success : error == ETIMEDOUT ? thrd_timedout : thrd_error;
}

__attribute__((visibility("default"))) int cnd_timedwait(cnd_t *restrict cond, mtx_t *restrict mutex,
                                                         const struct timespec *restrict until)
{
    spin_brake_note_wait();
    if (!atomic_load_explicit(&used, memory_order_relaxed))
        return told(pthread_cond_timedwait((pthread_cond_t *)cond, (pthread_mutex_t *)mutex, until));
    int64_t left_us = (int64_t)until->tv_sec * 1000000 + until->tv_nsec / 1000 - wall_us();
    if (left_us < 0)
        left_us = 0;
    struct timespec end = monotonic_timespec(monotonic_us() + (left_us < LONGEST_US ? left_us : LONGEST_US));
    return told(wait_until((pthread_cond_t *)cond, (pthread_mutex_t *)mutex, &end));
}

bool monotonic_cnd_is_found(void)
{
    int (*const ours)(cnd_t *restrict, mtx_t *restrict, const struct timespec *restrict) = cnd_timedwait;
    void *found = dlsym(RTLD_DEFAULT, "cnd_timedwait");

    return memcmp(&found, &ours, sizeof(found)) == 0;
}

#else

/* No pthread_cond_clockwait here, and the condition variable is the library's: the library's own wait stays. */
bool monotonic_cnd_is_found(void)
{
    return false;
}

#endif
