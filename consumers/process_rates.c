#include "consumers/process_rates.h"

#include <stdio.h>

static const struct rates_sample *sample_at(const struct process_rates *rates, int back)
{
    return &rates->samples[(rates->next - 1 - back + 2 * RATES_SAMPLES) % RATES_SAMPLES];
}

void process_rates_sample(struct process_rates *rates, int64_t now_us)
{
    struct rates_sample *sample = &rates->samples[rates->next];

    sample->at_us = now_us;
    sample->commands = metrics_get(METRIC_BATCH_COMMANDS);
    metrics_read_latency(sample->latency);
    rates->next = (rates->next + 1) % RATES_SAMPLES;
    rates->count += rates->count < RATES_SAMPLES;
}

/* The bound that 99 of 100 are below, between the bounds of their class; -1: there are none. */
static int64_t p99_us(const struct rates_sample *first, const struct rates_sample *last)
{
    int64_t sum = 0, before = 0;

    for (int slot = 0; slot < METRICS_LATENCY_SLOTS; slot++)
        sum += last->latency[slot] - first->latency[slot];
    for (int slot = 0; slot < METRICS_LATENCY_SLOTS && sum > 0; slot++)
    {
        int64_t here = last->latency[slot] - first->latency[slot];
        int64_t low_us = slot > 0 ? metrics_latency_bound_us(slot - 1) : 0, high_us = metrics_latency_bound_us(slot);
        if (100 * (before + here) < 99 * sum)
        {
            before += here;
            continue;
        }
        if (high_us == 0 || here == 0)
            return low_us;
        return low_us + (high_us - low_us) * (99 * sum - 100 * before) / (100 * here);
    }
    return -1;
}

/* False: there is no rate yet. *p99_us -1: nothing was published. */
static bool measure(const struct process_rates *rates, int64_t *ret_tenths, int64_t *ret_p99_us)
{
    if (rates->count < 2)
        return false;
    const struct rates_sample *last = sample_at(rates, 0), *first = sample_at(rates, rates->count - 1);
    int64_t us = last->at_us - first->at_us;

    *ret_tenths = us > 0 ? (last->commands - first->commands) * 10000000 / us : 0;
    *ret_p99_us = p99_us(first, last);
    return true;
}

void process_rates_print(const struct process_rates *rates, struct buffer *json)
{
    char text[80] = "{\"commands_per_s\":0,\"p99_ms\":null}";
    int64_t tenths, p99;

    if (measure(rates, &tenths, &p99))
    {
        char p99_text[24] = "null";
        if (p99 >= 0)
            snprintf(p99_text, sizeof(p99_text), "%lld", (long long)(p99 + 999) / 1000);
        snprintf(text, sizeof(text), "{\"commands_per_s\":%lld.%lld,\"p99_ms\":%s}", (long long)tenths / 10,
                 (long long)tenths % 10, p99_text);
    }
    buffer_add_text(json, text);
}

void process_rates_print_line(const struct process_rates *rates, struct buffer *into)
{
    char text[120];
    int64_t tenths, p99;

    if (!measure(rates, &tenths, &p99))
        return;
    int size = snprintf(text, sizeof(text), "%lld.%lld commands/s", (long long)tenths / 10, (long long)tenths % 10);
    if (p99 >= 0)
        snprintf(text + size, sizeof(text) - (size_t)size, ", 99 of 100 published within %lld ms",
                 (long long)(p99 + 999) / 1000);
    buffer_add_text(into, text);
}
