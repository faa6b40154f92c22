#include "worker/base/retry.h"

#include <assert.h>

#include "worker/base/random.h"

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
