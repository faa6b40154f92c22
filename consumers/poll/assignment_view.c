#include <stdio.h>

#include "consumers/poll/assignment_private.h"
#include "worker/base/clock.h"

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

static void fill(struct partition_report *report, const struct assigned *assigned, const struct stall_causes *causes,
                 int64_t now_us)
{
    snprintf(report->topic, sizeof(report->topic), "%s", assigned->topic);
    report->partition = assigned->partition;
    partition_report_fill(report, assigned->owned,
                          atomic_load_explicit(&assigned->waits_since_us, memory_order_relaxed), causes, now_us);
}

void assignment_report(struct assignment *assignment, const struct stall_causes *causes, struct partition_reports *into)
{
    int64_t now_us = monotonic_us();

    mutex_lock(&assignment->mutex);
    for (int i = 0; i < assignment->count; i++)
    {
        struct partition_report *report = partition_reports_add(into);
        if (report)
            fill(report, &assignment->assigned_partitions[i], causes, now_us);
    }
    mutex_unlock(&assignment->mutex);
}

static void print_assigned(const struct assigned *assigned, const struct stall_causes *causes, int64_t now_us,
                           struct buffer *json)
{
    const struct owned_partition *owned = assigned->owned;
    struct partition_report report = { .watermark = -1, .end = -1 };

    fill(&report, assigned, causes, now_us);
    buffer_add_text(json, "{\"topic\":");
    buffer_add_json_string(json, span_of(assigned->topic));
    buffer_add_text(json, ",\"partition\":");
    buffer_add_int64(json, assigned->partition);
    buffer_add_text(json, report.taken ? ",\"taken\":true" : ",\"taken\":false");
    if (report.taken)
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
            { ",\"unpublished_us\":", report.unpublished_us },
            { ",\"backlog\":", report.backlog },
            { ",\"backlog_us\":", report.age_us },
            { ",\"end_offset\":", report.end },
        };
        for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
        {
            buffer_add_text(json, numbers[i].name);
            buffer_add_int64(json, numbers[i].value);
        }
        bool paused = atomic_load_explicit(&owned->shared.paused, memory_order_relaxed);
        buffer_add_text(json, paused ? ",\"paused\":true" : ",\"paused\":false");
        bool on_pause = atomic_load_explicit(&owned->shared.on_pause, memory_order_relaxed);
        buffer_add_text(json, on_pause ? ",\"on_pause\":true" : ",\"on_pause\":false");
    }
    buffer_add_text(json, ",\"stalled\":");
    buffer_add_json_string(json, report.stalled ? span_of(report.stalled) : SPAN_NULL);
    buffer_add_byte(json, '}');
}

void assignment_print(struct assignment *assignment, const struct stall_causes *causes, struct buffer *json)
{
    int64_t now_us = monotonic_us();

    buffer_add_byte(json, '[');
    mutex_lock(&assignment->mutex);
    for (int i = 0; i < assignment->count; i++)
    {
        if (i > 0)
            buffer_add_byte(json, ',');
        print_assigned(&assignment->assigned_partitions[i], causes, now_us, json);
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
