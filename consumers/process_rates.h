/* Process rates: commands a second and latency over the last minute, from samples of the counters every 5 s.
 *
 * Threads    one owner.
 * Failure    none; of a young process it is the time since its start.
 */
#ifndef CONSUMERS_PROCESS_RATES_H
#define CONSUMERS_PROCESS_RATES_H

#include "worker/base/metrics.h"

enum
{
    RATES_SAMPLES = 13, /* a minute, and its beginning */
};

struct process_rates
{
    struct rates_sample
    {
        int64_t at_us, commands;
        int64_t latency[METRICS_LATENCY_SLOTS];
    } samples[RATES_SAMPLES];
    int count, next;
};

void process_rates_sample(struct process_rates *rates, int64_t now_us);

/* {"commands_per_s":41.2,"p99_ms":14}; p99_ms null: nothing was published. Up to the last sample. */
void process_rates_print(const struct process_rates *rates, struct buffer *json);
/* "41.2 commands/s, 99 of 100 published within 14 ms"; nothing: there is no rate yet. */
void process_rates_print_line(const struct process_rates *rates, struct buffer *into);

#endif
