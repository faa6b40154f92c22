/* Partition report: what people and monitoring are told of an assigned partition: how much is not decided yet, since
 * when, and why it does not move.
 *
 * Threads    values; no state.
 * Ownership  partition_reports_done frees the list.
 * Failure    without memory for the list it is shorter, and `failed`.
 */
#ifndef CONSUMERS_POLL_PARTITION_REPORT_H
#define CONSUMERS_POLL_PARTITION_REPORT_H

#include "consumers/partition/partition.h"

struct held_keys;

/* The causes that hold for the whole cell. */
struct stall_causes
{
    bool quiet;                   /* nothing is read (TSTP) */
    bool database;                /* a lane is not ready */
    bool publishing;              /* Kafka does not take what is to be published */
    const struct held_keys *held; /* of all lanes */
};

struct partition_report
{
    char topic[TOPIC_NAME_MAX + 1];
    int32_t partition;
    int32_t id; /* partition_owner.id */
    int64_t fence;
    bool taken;             /* else only `stalled` says something */
    int64_t backlog;        /* messages */
    int64_t age_us;         /* of the oldest of them */
    int64_t watermark;      /* the committed offset; -1: not known */
    int64_t end;            /* of the log; -1: not known */
    int64_t unpublished_us; /* how long the first answer of those that are not published waits */
    const char *stalled;    /* held, paused, takeover, database, kafka_transaction or unknown; NULL: it moves, or has no
                              backlog */
};

/* `waits_since_us`: since when the partition is not ours, monotonic; 0: it is. `owned` NULL: it waits to be asked for.
 */
void partition_report_fill(struct partition_report *report, const struct owned_partition *owned, int64_t waits_since_us,
                           const struct stall_causes *causes, int64_t now_us);

struct partition_reports
{
    struct partition_report *at;
    int count, capacity;
    bool failed;
};

#define PARTITION_REPORTS_EMPTY ((struct partition_reports){ NULL, 0, 0, false })

/* A place for one more; NULL: no memory. */
struct partition_report *partition_reports_add(struct partition_reports *reports);
void partition_reports_done(struct partition_reports *reports);

#endif
