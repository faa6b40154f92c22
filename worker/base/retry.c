#include "worker/base/retry.h"

#include <assert.h>

#include "worker/base/random.h"

const struct retry_policy retry_defaults[RETRY__COUNT] = {
    [RETRY_DEFAULT] = { "default", 3, 100000, 2.0, 5000000, 0.1 },
    [RETRY_AGGRESSIVE] = { "aggressive", 5, 50000, 1.5, 3000000, 0.1 },
    [RETRY_CONSERVATIVE] = { "conservative", 2, 500000, 2.5, 10000000, 0.0 },
    [RETRY_DATABASE_OPERATION] = { "database_operation", 3, 200000, 2.0, 4000000, 0.1 },
    [RETRY_LOCK_ACQUISITION] = { "lock_acquisition", 4, 100000, 1.5, 2000000, 0.1 },
};

/* Grows by multiplication and stops at the longest, so that no count of attempts can leave the range of the type. */
static double delay_without_jitter(const struct retry_policy *policy, int attempt)
{
    double delay = (double)policy->first_us, longest = (double)policy->longest_us;

    if (attempt > policy->retries)
        return longest;
    for (int i = 1; i < attempt && delay < longest; i++)
        delay *= policy->factor;
    return delay < longest ? delay : longest;
}

int64_t retry_delay_us(const struct retry_policy *policy, int attempt, uint64_t *random_state)
{
    assert(attempt >= 1);
    double delay = delay_without_jitter(policy, attempt);
    double low = delay * (1.0 - policy->jitter);
    double high = delay * (1.0 + policy->jitter);

    /* The spread near the longest delay is cut, not the results: those would bunch at the limit. */
    if (high > (double)policy->longest_us)
        high = (double)policy->longest_us;
    if (low < 0)
        low = 0;
    if (low >= high)
        return (int64_t)high;
    return (int64_t)(low + (high - low) * random_fraction(random_state));
}
