/* Retry: the delays of DOMAIN.md's five policies. Attempts choose the delay and nothing else (PROTOCOL B5): past the
 * policy's count the longest delay repeats; nothing is ever dropped.
 *
 * Threads    pure functions; the jitter's state is the caller's.
 */
#ifndef WORKER_BASE_RETRY_H
#define WORKER_BASE_RETRY_H

#include <stdint.h>

#include "workflows/retry_kind.h"

struct retry_policy
{
    const char *name;
    int retries;
    int64_t first_us;
    double factor;
    int64_t longest_us;
    double jitter; /* 0.1 = +-10 % */
};

/* The delay before attempt number `attempt` (1 = the first retry). `random_state`: splitmix64 state. */
int64_t retry_delay_us(const struct retry_policy *policy, int attempt, uint64_t *random_state);

#endif
