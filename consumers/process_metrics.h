/* Process metrics: what /metrics shows besides the table of worker/base/metrics.h: series of each partition, and of the
 * process itself.
 *
 * Threads    any.
 * Failure    the buffer's.
 */
#ifndef CONSUMERS_PROCESS_METRICS_H
#define CONSUMERS_PROCESS_METRICS_H

#include "workflows/base/buffer.h"

struct partition_reports;

/* interlock_partition_backlog, _backlog_seconds, _watermark_offset and _stalled, interlock_unpublished_seconds. */
void process_print_partitions(const struct partition_reports *reports, struct buffer *into);

/* interlock_build_info, interlock_ready, process_start_time_seconds, process_resident_memory_bytes. `begun_us`: Unix.
 */
void process_print_self(bool ready, int64_t begun_us, struct buffer *into);

#endif
