#include "bench/histogram.h"

/* Values below HISTOGRAM_STEPS have a step each; above, the six bits after the highest choose it. */
static int step_of(int64_t us)
{
    int power = 0;

    while (us >> power >= 2 * HISTOGRAM_STEPS)
        power++;
    int step = us < HISTOGRAM_STEPS ? (int)us : power * HISTOGRAM_STEPS + (int)(us >> power);
    return step < HISTOGRAM_SIZE ? step : HISTOGRAM_SIZE - 1;
}

static int64_t edge_of(int step)
{
    if (step < 2 * HISTOGRAM_STEPS)
        return step;
    int power = step / HISTOGRAM_STEPS - 1;
    return (int64_t)(step - power * HISTOGRAM_STEPS + 1) << power;
}

void histogram_add(struct histogram *histogram, int64_t us)
{
    us = us > 0 ? us : 0;
    histogram->counts[step_of(us)]++;
    histogram->count++;
    histogram->largest_us = us > histogram->largest_us ? us : histogram->largest_us;
}

int64_t histogram_value(const struct histogram *histogram, double share)
{
    int64_t below = 0, wanted = (int64_t)((double)histogram->count * share + 0.9999999);

    for (int step = 0; step < HISTOGRAM_SIZE; step++)
    {
        below += histogram->counts[step];
        if (below >= wanted && below > 0)
            return edge_of(step) < histogram->largest_us ? edge_of(step) : histogram->largest_us;
    }
    return histogram->largest_us;
}
