/* Metrics: every number that /metrics shows, each named once in this table (Prometheus units).
 *
 * The metrics of partitions and of the process are in consumers/process_metrics.c.
 *
 * Threads    any; counters and gauges are relaxed atomics. Writers: any. Reader: the HTTP thread.
 */
#ifndef WORKER_BASE_METRICS_H
#define WORKER_BASE_METRICS_H

#include <stdint.h>

#include "workflows/base/buffer.h"

/* X(symbol, kind, name, help); kind: COUNTER, GAUGE, COUNTER_US (summed microseconds, shown as seconds), AGE (a moment
 * of the monotonic clock in microseconds, shown as the seconds since; 0: none), HEAP (no value is kept: malloc is asked
 * when the text is made) */
#define METRICS(X) \
    X(RECEIVED, COUNTER, "interlock_messages_received_total", "Messages read from the command topics.") \
    X(MISROUTED, COUNTER, "interlock_misrouted_total", "Commands whose Kafka key is not their aggregate.") \
    X(UNEXPECTED_PARTITION, COUNTER, "interlock_unexpected_partition_total", \
      "Messages with a key in another partition than murmur2 gives it.") \
    X(DEDUPE_HITS, COUNTER, "interlock_dedupe_hits_total", "Repeated commands.") \
    X(BATCHES, COUNTER, "interlock_batches_total", "Transactions committed in PostgreSQL.") \
    X(BATCH_COMMANDS, COUNTER, "interlock_batch_commands_total", "Commands in committed transactions.") \
    X(BATCH_SPLITS, COUNTER, "interlock_batch_splits_total", "Batches run again in halves.") \
    X(BATCH_RETRIES, COUNTER, "interlock_batch_retries_total", "Batches run again whole.") \
    X(BUSY, COUNTER, "interlock_busy_rows_total", "Commands held back because another session holds a row.") \
    X(LOCK_REFUSED, COUNTER, "interlock_lock_refused_total", "Redis locks that another worker held.") \
    X(LOCK_DEGRADED, COUNTER, "interlock_lock_degraded_total", "Batches that continued without Redis.") \
    X(WITHOUT_REDIS, AGE, "interlock_without_redis_seconds", \
      "How long batches have gone on without Redis; 0: they take its locks.") \
    X(LOCK_WAIT, COUNTER_US, "interlock_lock_wait_seconds_total", "Time spent in the Redis lock script.") \
    X(TRANSACTION_TIME, COUNTER_US, "interlock_transaction_seconds_total", "Time spent in PostgreSQL transactions.") \
    X(FENCE_REJECTIONS, COUNTER, "interlock_fence_rejections_total", "Batches refused by the partition fence.") \
    X(DEFECT_CHECKS, COUNTER, "interlock_check_defects_total", \
      "CHECK constraints violated in PostgreSQL (a defect of Interlock).") \
    X(RECONNECTS, COUNTER, "interlock_database_reconnects_total", "New PostgreSQL sessions after a lost one.") \
    X(EVENTS, COUNTER, "interlock_events_published_total", "Audit events published.") \
    X(PUBLICATIONS, COUNTER, "interlock_publications_total", "Kafka transactions (or offset commits) that succeeded.") \
    X(PUBLISH_TIME, COUNTER_US, "interlock_publish_seconds_total", "Time spent publishing.") \
    X(PUBLICATION_SHRINKS, COUNTER, "interlock_publication_shrinks_total", \
      "Publications made smaller because one failed, or a quota demanded a long pause.") \
    X(THROTTLED, COUNTER_US, "interlock_throttled_seconds_total", "Time that the brokers' quotas demanded to wait.") \
    X(PRODUCER_REBUILDS, COUNTER, "interlock_producer_rebuilds_total", \
      "Producers replaced after an error or a deadline.") \
    X(CONSUMER_REBUILDS, COUNTER, "interlock_consumer_rebuilds_total", \
      "Consumers replaced because the group gave them nothing for too long.") \
    X(REBALANCES, COUNTER, "interlock_rebalances_total", "Assignments received.") \
    X(REWINDS, COUNTER, "interlock_offset_rewinds_total", \
      "Partitions taken over at an offset below the published position: offsets moved or expired, or a recreated " \
      "topic.") \
    X(OUT_OF_RANGE, COUNTER, "interlock_offsets_out_of_range_total", \
      "Partitions whose next offset no longer existed: deleted before it was read, or a recreated topic.") \
    X(AUDIT_SEARCHES, COUNTER, "interlock_audit_searches_total", \
      "Topics searched for recorded events by takeovers: offsets that somebody else moved, expired, a " \
      "recreated topic.") \
    X(RESTORED, COUNTER, "interlock_restored_total", \
      "Recorded events and dead letters that no owner had published, published by a takeover.") \
    X(REBALANCE_DRAIN, COUNTER_US, "interlock_rebalance_drain_seconds_total", "Time spent draining on revoke.") \
    X(IN_FLIGHT, GAUGE, "interlock_inflight", "Messages received and not yet published.") \
    X(IN_FLIGHT_BYTES, GAUGE, "interlock_inflight_bytes", "Bytes of these messages.") \
    X(QUARANTINED, COUNTER, "interlock_quarantined_total", \
      "Commands that became dead letters because the worker ended whenever it tried them.") \
    X(PARKED, COUNTER, "interlock_parked_total", \
      "Commands parked in PostgreSQL until later; a command counts each time.") \
    X(RETURNED, COUNTER, "interlock_parked_returns_total", "Parked commands published again to their topic.") \
    X(PAUSE_FULL, GAUGE, "interlock_pause_full", \
      "1: no more commands may wait for pauses; the partitions of those that match stop.") \
    X(PARKING_FULL, GAUGE, "interlock_parking_full", \
      "1: no more commands may be parked, of some source or at all; they are held at their offsets.") \
    X(HELD_KEYS, GAUGE, "interlock_held_keys", "Keys held back for a retry.") \
    X(HELD_OLDEST, AGE, "interlock_held_oldest_seconds", "How long the longest held key has waited.") \
    X(PARTITIONS, GAUGE, "interlock_partitions_assigned", "Partitions owned.") \
    X(PAUSED, GAUGE, "interlock_partitions_paused", "Partitions paused for back-pressure.") \
    X(HEAP_BYTES, HEAP, "interlock_heap_bytes", \
      "Bytes that malloc has handed out and that are not freed, those of libraries included.")

enum metric
{
#define X(symbol, kind, name, help) METRIC_##symbol,
    METRICS(X)
#undef X
    METRIC__COUNT,
};

void metrics_add(enum metric metric, int64_t value);
void metrics_set(enum metric metric, int64_t value);
int64_t metrics_get(enum metric metric);

/* interlock_commands_total{type,outcome}: `workflow_index` is the place in workflows[], or -1 for an unknown type. */
void metrics_count_command(int workflow_index, int outcome, int64_t count);

/* interlock_dlq_total{cause}: dead letters, by the word of their header interlock.reason. */
void metrics_count_dead_letter(const char *cause);
int64_t metrics_dead_letters(void);               /* of all causes */
const char *metrics_dead_letter_cause(int index); /* each that is counted apart; NULL: there is no such one */

/* interlock_effective_latency_seconds: a histogram, message timestamp to publication. */
void metrics_observe_latency(int64_t us);

/* The histogram, not cumulated; the last one is above every bound. */
enum
{
    METRICS_LATENCY_SLOTS = 17,
};
void metrics_read_latency(int64_t ret[METRICS_LATENCY_SLOTS]);
int64_t metrics_latency_bound_us(int slot); /* 0: it has none */

/* Prometheus text of everything above. */
void metrics_print(struct buffer *into);

/* The two lines before the series of a metric; `type`: "gauge", "counter". All series of one stand together. */
void metrics_print_head(struct buffer *into, const char *name, const char *type, const char *help);
void metrics_print_seconds(struct buffer *into, int64_t us);

#endif
