/* Histogram: counts of durations in microseconds, log-linear: 64 steps to each power of two, so a value is known to
 * 1.6 %, from 1 us to 30 minutes, in a fixed table.
 *
 * Threads    one owner.
 */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>

enum
{
    HISTOGRAM_STEPS = 64,
    HISTOGRAM_POWERS = 26,
    HISTOGRAM_SIZE = HISTOGRAM_STEPS * HISTOGRAM_POWERS,
};

struct histogram
{
    int64_t counts[HISTOGRAM_SIZE];
    int64_t count, largest_us;
};

void histogram_add(struct histogram *histogram, int64_t us);

/* The value that `share` of all are at most: 0.99. The upper edge of its step. */
int64_t histogram_value(const struct histogram *histogram, double share);

#endif
