/* What the tests of the lock share. */
#ifndef TESTS_UNIT_LOCK_FIXTURE_H
#define TESTS_UNIT_LOCK_FIXTURE_H

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "worker/base/clock.h"
#include "worker/redis/lock.h"

enum
{
    LEASE_US = 10000000,
    TIMEOUT_US = 40000,     /* of commands, where they are meant to run into it */
    PATIENCE_US = 10000000, /* of a test, for what must come */
    QUICK_US = 200000,      /* what "costs nothing" may take for many calls on a busy machine */
};

#define OWNER "pool/0/nonce-a/0/1"

static inline struct lock *new_lock(const char *url, const char *owner, int64_t timeout_us)
{
    struct lock_options options = { url, "interlock:", owner, 1000000, timeout_us };
    struct lock *lock = lock_new(&options);

    assert_non_null(lock);
    return lock;
}

static inline struct lock_name name_of(const char *text)
{
    return (struct lock_name){ span_of(text), LEASE_US, true, true };
}

static inline enum lock_result acquire_one(struct lock *lock, const char *text)
{
    struct lock_name name = name_of(text);
    int64_t valid_until_us;

    return lock_acquire(lock, &name, 1, &valid_until_us);
}

static inline void assert_reason_has(const struct lock *lock, const char *part)
{
    if (strstr(lock_reason(lock), part) == NULL)
        fail_msg("the reason is \"%s\", without \"%s\"", lock_reason(lock), part);
}

/* Tries until Redis takes part again. */
static inline void await_taken(struct lock *lock, const char *text)
{
    int64_t deadline_us = monotonic_us() + PATIENCE_US;

    while (acquire_one(lock, text) != LOCK_TAKEN)
    {
        if (monotonic_us() > deadline_us)
            fail_msg("not taken: %s", lock_reason(lock));
        poll(NULL, 0, 1);
    }
}

#endif
