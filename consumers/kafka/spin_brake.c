#include "consumers/kafka/spin_brake.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <threads.h>
#include <time.h>

static atomic_bool used = true;
static atomic_llong rests;

void spin_brake_use(bool use)
{
    atomic_store(&used, use);
}

int64_t spin_brake_rests(void)
{
    return atomic_load_explicit(&rests, memory_order_relaxed);
}

#ifdef __GLIBC__

static _Thread_local struct
{
    const mtx_t *last, *other; /* that were locked last */
    unsigned locks;            /* in a row, of these two */
    bool is_other_thread;      /* it is not librdkafka's main thread */
} spin;

static void rest(void)
{
    char name[16] = "";

    spin.locks = 0;
    pthread_getname_np(pthread_self(), name, sizeof(name));
    spin.is_other_thread = strcmp(name, "rdk:main") != 0;
    if (spin.is_other_thread)
        return;
    atomic_fetch_add_explicit(&rests, 1, memory_order_relaxed);
    nanosleep(&(struct timespec){ .tv_nsec = SPIN_REST_US * 1000 }, NULL);
}

static void note_lock(const mtx_t *mutex)
{
    if (mutex != spin.last && mutex != spin.other)
    {
        spin.locks = 0;
        spin.other = spin.last;
    }
    else if (mutex == spin.other)
        spin.other = spin.last;
    spin.last = mutex;
    if (++spin.locks >= SPIN_LOCKS)
        rest();
}

void spin_brake_note_wait(void)
{
    spin.locks = 0;
}

typedef int lock_fn(mtx_t *mutex);

static lock_fn *find_real(void)
{
    static _Atomic(lock_fn *) known;
    lock_fn *real = atomic_load_explicit(&known, memory_order_relaxed);

    if (real == NULL)
    {
        void *found = dlsym(RTLD_NEXT, "mtx_lock");
        memcpy(&real, &found, sizeof(real));
        atomic_store_explicit(&known, real, memory_order_relaxed);
    }
    return real;
}

__attribute__((visibility("default"))) int mtx_lock(mtx_t *mutex)
{
    if (!spin.is_other_thread && atomic_load_explicit(&used, memory_order_relaxed))
        note_lock(mutex);
    return find_real()(mutex);
}

bool spin_brake_is_found(void)
{
    lock_fn *const ours = mtx_lock;
    void *found = dlsym(RTLD_DEFAULT, "mtx_lock");

    return memcmp(&found, &ours, sizeof(found)) == 0;
}

#else

void spin_brake_note_wait(void)
{
}

bool spin_brake_is_found(void)
{
    return false;
}

#endif
