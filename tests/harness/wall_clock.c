/* A wall clock that jumps, preloaded into a program: every reading of it is late or early by the seconds in the file
 * that WALL_CLOCK names (eight bytes, mapped, so that a jump is seen at once). The monotonic clock stays as it is.
 *
 * A wait until a time of the wall clock ends when that clock says so, as in the kernel: after a jump back it lasts an
 * hour longer. It is waited for in slices, between which the clock is looked at. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

enum
{
    SLICE_NS = 20000000,
    SECOND_NS = 1000000000,
    COND_IS_MONOTONIC = 2, /* glibc: of __wrefs */
};

static const int64_t none = 0;
static const int64_t *jump = &none;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("WALL_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *at = file >= 0 ? mmap(NULL, sizeof(*jump), PROT_READ, MAP_SHARED, file, 0) : MAP_FAILED;

    if (file >= 0)
        close(file);
    if (at != MAP_FAILED)
        jump = at;
}

static struct timespec real_time(clockid_t clock)
{
    struct timespec now = { 0 };
    syscall(SYS_clock_gettime, clock, &now);
    return now;
}

static struct timespec wall_time(void)
{
    struct timespec now = real_time(CLOCK_REALTIME);
    now.tv_sec += __atomic_load_n(jump, __ATOMIC_RELAXED);
    return now;
}

int clock_gettime(clockid_t clock, struct timespec *ret)
{
    if (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)
        return (int)syscall(SYS_clock_gettime, clock, ret);
    *ret = wall_time();
    return 0;
}

int gettimeofday(struct timeval *restrict ret, void *restrict zone)
{
    struct timespec now = wall_time();
    (void)zone;
    *ret = (struct timeval){ now.tv_sec, now.tv_nsec / 1000 };
    return 0;
}

time_t time(time_t *ret)
{
    time_t now = wall_time().tv_sec;
    if (ret)
        *ret = now;
    return now;
}

int timespec_get(struct timespec *ret, int base)
{
    if (base != TIME_UTC)
        return 0;
    *ret = wall_time();
    return base;
}

static int has_come(const struct timespec *until)
{
    struct timespec now = wall_time();
    return now.tv_sec > until->tv_sec || (now.tv_sec == until->tv_sec && now.tv_nsec >= until->tv_nsec);
}

typedef int wait_function(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);

static wait_function *next_wait(void)
{
    static wait_function *found;
    wait_function *wait = __atomic_load_n(&found, __ATOMIC_RELAXED);
    if (wait == NULL)
    {
        wait = (wait_function *)dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
        wait = wait ? wait : (wait_function *)dlsym(RTLD_NEXT, "pthread_cond_timedwait");
        __atomic_store_n(&found, wait, __ATOMIC_RELAXED);
    }
    return wait;
}

/* The caller has the mutex between two slices, so no signal is missed. */
static int wait_in_slices(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until)
{
    while (!has_come(until))
    {
        struct timespec slice = real_time(CLOCK_REALTIME);
        slice.tv_nsec += SLICE_NS;
        if (slice.tv_nsec >= SECOND_NS)
        {
            slice.tv_sec++;
            slice.tv_nsec -= SECOND_NS;
        }
        int result = next_wait()(cond, mutex, &slice);
        if (result != ETIMEDOUT)
            return result;
    }
    return ETIMEDOUT;
}

int pthread_cond_timedwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict until)
{
    if (cond->__data.__wrefs & COND_IS_MONOTONIC)
        return next_wait()(cond, mutex, until);
    return wait_in_slices(cond, mutex, until);
}

int cnd_timedwait(cnd_t *restrict cond, mtx_t *restrict mutex, const struct timespec *restrict until)
{
    int result = wait_in_slices((pthread_cond_t *)cond, (pthread_mutex_t *)mutex, until);
    return result == 0 ? thrd_success : result == ETIMEDOUT ? thrd_timedout : thrd_error;
}
