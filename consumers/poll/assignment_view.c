#include <stdio.h>

#include "consumers/poll/assignment_private.h"
#include "worker/base/clock.h"
#include "worker/base/metrics.h"

bool assignment_is_ready(struct assignment *assignment, char *why, size_t why_size)
{
    int waiting = 0;

    mutex_lock(&assignment->mutex);
    bool assigned = assignment->assigned;
    for (int i = 0; i < assignment->count; i++)
    {
        const struct owned_partition *owned = assignment->assigned_partitions[i].owned;
        waiting += owned == NULL || !owned_is_taken(owned);
    }
    mutex_unlock(&assignment->mutex);
    if (!assigned)
        snprintf(why, why_size, "waiting for the consumer group to assign partitions");
    else if (waiting > 0)
        snprintf(why, why_size, "%d partitions are being taken over", waiting);
    return assigned && waiting == 0;
}

/* How long the first answer of those that are not published waits. */
static int64_t waited_us(const struct owned_partition *owned, int64_t now_us)
{
    int64_t since_us = atomic_load_explicit(&owned->shared.unpublished_us, memory_order_relaxed);
    return since_us > 0 && now_us > since_us ? now_us - since_us : 0;
}

static void print_assigned(const struct assigned *assigned, int64_t now_us, struct buffer *json)
{
    const struct owned_partition *owned = assigned->owned;

    buffer_add_text(json, "{\"topic\":");
    buffer_add_json_string(json, span_of(assigned->topic));
    buffer_add_text(json, ",\"partition\":");
    buffer_add_int64(json, assigned->partition);
    bool taken = owned && owned_is_taken(owned);
    buffer_add_text(json, taken ? ",\"taken\":true" : ",\"taken\":false");
    if (taken)
    {
        const struct
        {
            const char *name;
            int64_t value;
        } numbers[] = {
            { ",\"fence\":", owned->partition.fence },
            { ",\"epoch\":", (int64_t)owned->partition.epoch },
            { ",\"watermark\":", atomic_load_explicit(&owned->shared.committed, memory_order_relaxed) },
            { ",\"in_flight\":", atomic_load_explicit(&owned->shared.in_flight, memory_order_relaxed) },
            { ",\"in_flight_bytes\":", atomic_load_explicit(&owned->shared.in_flight_bytes, memory_order_relaxed) },
            { ",\"still_for_us\":", now_us - atomic_load_explicit(&owned->shared.moved_us, memory_order_relaxed) },
            { ",\"unpublished_us\":", waited_us(owned, now_us) },
        };
        for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
        {
            buffer_add_text(json, numbers[i].name);
            buffer_add_int64(json, numbers[i].value);
        }
        bool paused = atomic_load_explicit(&owned->shared.paused, memory_order_relaxed);
        buffer_add_text(json, paused ? ",\"paused\":true" : ",\"paused\":false");
    }
    buffer_add_byte(json, '}');
}

void assignment_print_metrics(struct assignment *assignment, struct buffer *into)
{
    int64_t now_us = monotonic_us();
    char seconds[40];

    mutex_lock(&assignment->mutex);
    for (int i = 0; i < assignment->count; i++)
    {
        const struct owned_partition *owned = assignment->assigned_partitions[i].owned;
        if (owned == NULL)
            continue;
        int64_t us = waited_us(owned, now_us);
        buffer_add_text(into, METRIC_UNPUBLISHED "{topic=\"");
        buffer_add_text(into, assignment->assigned_partitions[i].topic); /* letters, digits, '.', '_' and '-' */
        buffer_add_text(into, "\",partition=\"");
        buffer_add_int64(into, assignment->assigned_partitions[i].partition);
        snprintf(seconds, sizeof(seconds), "\"} %lld.%06lld\n", (long long)(us / 1000000), (long long)(us % 1000000));
        buffer_add_text(into, seconds);
    }
    mutex_unlock(&assignment->mutex);
}

void assignment_print(struct assignment *assignment, struct buffer *json)
{
    int64_t now_us = monotonic_us();

    buffer_add_byte(json, '[');
    mutex_lock(&assignment->mutex);
    for (int i = 0; i < assignment->count; i++)
    {
        if (i > 0)
            buffer_add_byte(json, ',');
        print_assigned(&assignment->assigned_partitions[i], now_us, json);
    }
    mutex_unlock(&assignment->mutex);
    buffer_add_byte(json, ']');
}

int64_t assignment_tell_left(struct assignment *assignment)
{
    int64_t left = 0;

    mutex_lock(&assignment->mutex);
    for (int i = 0; i < assignment->count; i++)
        if (assignment->assigned_partitions[i].owned)
            left += owned_log_unpublished(assignment->assigned_partitions[i].owned, assignment->cell);
    mutex_unlock(&assignment->mutex);
    return left;
}
