#include "consumers/poll/partition_report.h"

#include <stdlib.h>
#include <string.h>

#include "worker/base/clock.h"
#include "worker/lane/held_keys.h"

static const int64_t STALLED_US = 30000000; /* a partition with a backlog that has not moved for so long */

static int64_t load(const atomic_int_fast64_t *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

/* Of many held keys only some are listed: then those that are not may be of any partition. */
static bool is_held(const struct partition_report *report, const struct held_keys *held)
{
    for (int i = 0; i < held->shown; i++)
        if (held->longest[i].partition == report->partition && strcmp(held->longest[i].topic, report->topic) == 0)
            return true;
    return held->keys > held->shown;
}

static const char *find_cause(const struct partition_report *report, const struct stall_causes *causes, bool on_pause,
                              bool open)
{
    if (causes->quiet || on_pause)
        return "paused";
    if (causes->database)
        return "database";
    if (causes->publishing || open)
        return "kafka_transaction";
    return causes->held && is_held(report, causes->held) ? "held" : "unknown";
}

static bool is_long(int64_t since_us, int64_t now_us)
{
    return since_us > 0 && now_us - since_us > STALLED_US;
}

static int64_t watermark_of(const struct owned_partition *owned)
{
    int64_t committed = load(&owned->shared.committed);
    return committed >= 0 ? committed : owned->start_offset;
}

void partition_report_fill(struct partition_report *report, const struct owned_partition *owned, int64_t waits_since_us,
                           const struct stall_causes *causes, int64_t now_us)
{
    report->taken = owned && owned_is_taken(owned);
    if (!report->taken)
    {
        report->stalled = is_long(waits_since_us, now_us) ? "takeover" : NULL;
        return;
    }
    int64_t backlog_us = backlog_since_us(&owned->backlog), moved_us = load(&owned->shared.moved_us),
            unpublished_us = load(&owned->shared.unpublished_us);
    bool open = is_long(backlog_open_since_us(&owned->backlog), now_us);
    bool still = backlog_us > 0 && is_long(moved_us > backlog_us ? moved_us : backlog_us, now_us);

    bool on_pause = atomic_load_explicit(&owned->shared.on_pause, memory_order_relaxed);
    report->id = owned->partition.partition_id;
    report->fence = owned->partition.fence;
    report->backlog = backlog_messages(&owned->backlog);
    report->age_us = backlog_age_us(&owned->backlog, now_us, wall_us());
    report->watermark = watermark_of(owned);
    report->end = load(&owned->backlog.end);
    report->unpublished_us = unpublished_us > 0 && now_us > unpublished_us ? now_us - unpublished_us : 0;
    report->stalled = still || open ? find_cause(report, causes, on_pause, open) : NULL;
}

struct partition_report *partition_reports_add(struct partition_reports *reports)
{
    if (reports->count == reports->capacity)
    {
        int capacity = reports->capacity ? 2 * reports->capacity : 64;
        struct partition_report *at = realloc(reports->at, (size_t)capacity * sizeof(*at));
        if (at == NULL)
        {
            reports->failed = true;
            return NULL;
        }
        reports->at = at;
        reports->capacity = capacity;
    }
    struct partition_report *report = &reports->at[reports->count++];
    memset(report, 0, sizeof(*report));
    report->watermark = report->end = -1;
    return report;
}

void partition_reports_done(struct partition_reports *reports)
{
    free(reports->at);
    *reports = PARTITION_REPORTS_EMPTY;
}
