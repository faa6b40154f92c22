#include "consumers/process_metrics.h"

#include <stdio.h>
#include <unistd.h>

#include "consumers/kafka/library.h"
#include "consumers/poll/partition_report.h"
#include "worker/admin/migrate.h"
#include "worker/base/metrics.h"

/* --- partitions -------------------------------------------------------------------------------------------------- */

/* A value of a partition; false: it has none. */
typedef bool value_fn(const struct partition_report *report, struct buffer *into);

static bool add_backlog(const struct partition_report *report, struct buffer *into)
{
    if (report->taken)
        buffer_add_int64(into, report->backlog);
    return report->taken;
}

static bool add_age(const struct partition_report *report, struct buffer *into)
{
    if (report->taken)
        metrics_print_seconds(into, report->age_us);
    return report->taken;
}

static bool add_watermark(const struct partition_report *report, struct buffer *into)
{
    bool known = report->taken && report->watermark >= 0;

    if (known)
        buffer_add_int64(into, report->watermark);
    return known;
}

static bool add_unpublished(const struct partition_report *report, struct buffer *into)
{
    if (report->taken)
        metrics_print_seconds(into, report->unpublished_us);
    return report->taken;
}

static bool add_stalled(const struct partition_report *report, struct buffer *into)
{
    if (report->stalled)
        buffer_add_text(into, "1");
    return report->stalled != NULL;
}

static const struct
{
    const char *name;
    value_fn *add;
    bool has_reason;
    const char *help;
} table[] = {
    { "interlock_partition_backlog", add_backlog, false,
      "Messages that are not decided yet: those to the end that a reader can get, and those received." },
    { "interlock_partition_backlog_seconds", add_age, false,
      "Age of the oldest message of the backlog; of one that is not read yet, since when it is known." },
    { "interlock_partition_watermark_offset", add_watermark, false, "The committed offset." },
    { "interlock_unpublished_seconds", add_unpublished, false,
      "How long the first unpublished answer of a partition has been waiting." },
    { "interlock_partition_stalled", add_stalled, true,
      "1 for a partition whose backlog has not moved for 30 s: held, paused, takeover, database, kafka_transaction or "
      "unknown." },
};

/* Topics are of letters, digits, '.', '_' and '-'. */
static void add_labels(const struct partition_report *report, bool has_reason, struct buffer *into)
{
    buffer_add_text(into, "{topic=\"");
    buffer_add_text(into, report->topic);
    buffer_add_text(into, "\",partition=\"");
    buffer_add_int64(into, report->partition);
    buffer_add_text(into, has_reason ? "\",reason=\"" : "");
    buffer_add_text(into, has_reason ? report->stalled : "");
    buffer_add_text(into, "\"} ");
}

void process_print_partitions(const struct partition_reports *reports, struct buffer *into)
{
    struct buffer value = BUFFER_EMPTY;

    for (size_t row = 0; row < sizeof(table) / sizeof(*table); row++)
    {
        metrics_print_head(into, table[row].name, "gauge", table[row].help);
        for (int i = 0; i < reports->count; i++)
        {
            buffer_clear(&value);
            if (!table[row].add(&reports->at[i], &value))
                continue;
            buffer_add_text(into, table[row].name);
            add_labels(&reports->at[i], table[row].has_reason, into);
            buffer_add_span(into, buffer_span(&value));
            buffer_add_byte(into, '\n');
        }
    }
    buffer_done(&value);
}

/* --- the process ------------------------------------------------------------------------------------------------- */

static int newest_migration(void)
{
    int newest = 0;

    for (const struct migration *migration = migrations; migration->name; migration++)
        newest = migration->number;
    return newest;
}

/* 0: the system does not say. */
static int64_t resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    long long size = 0, resident = 0;

    if (file == NULL)
        return 0;
    if (fscanf(file, "%lld %lld", &size, &resident) != 2)
        resident = 0;
    fclose(file);
    return resident * sysconf(_SC_PAGESIZE);
}

static void add_gauge(struct buffer *into, const char *name, const char *help)
{
    metrics_print_head(into, name, "gauge", help);
    buffer_add_text(into, name);
}

void process_print_self(bool ready, int64_t begun_us, struct buffer *into)
{
    add_gauge(into, "interlock_build_info", "The program that runs, its schema and its librdkafka.");
    buffer_add_text(into, "{version=\"" INTERLOCK_VERSION "\",schema=\"");
    buffer_add_int64(into, newest_migration());
    buffer_add_text(into, "\",librdkafka=\"");
    buffer_add_text(into, library_version());
    buffer_add_text(into, "\"} 1\n");
    add_gauge(into, "interlock_ready", "1 where /readyz says ready.");
    buffer_add_text(into, ready ? " 1\n" : " 0\n");
    add_gauge(into, "process_start_time_seconds", "Start time of the process since unix epoch in seconds.");
    buffer_add_byte(into, ' ');
    metrics_print_seconds(into, begun_us);
    buffer_add_byte(into, '\n');
    add_gauge(into, "process_resident_memory_bytes", "Resident memory size in bytes.");
    buffer_add_byte(into, ' ');
    buffer_add_int64(into, resident_bytes());
    buffer_add_byte(into, '\n');
}
