/* Process group: what this process tells PostgreSQL of itself, and what PostgreSQL tells it of the whole group.
 *
 *   every 5 s   its row of worker_seen; the slot, the committed offset and the end of each partition that it owns
 *   every 2 s   how much is parked, dead, paused and behind, of the whole group, for status
 *   every 2 s   who holds the rows of keys that are held back
 *   every 1 s   whether it is the one process of the group whose /metrics show these numbers: the one whose session
 *               holds an advisory lock. It shows them only as long as it has heard so within the last seconds
 *
 * Threads    process_group_round, process_group_leave: the returner's. process_group_print_metrics,
 *            process_group_print_status: any.
 * Locks      one, around what the last two read.
 * Ownership  belongs to its process.
 * Failure    PostgreSQL away, or a table that is not readable: the numbers get old, then they are not shown.
 */
#ifndef CONSUMERS_PROCESS_GROUP_H
#define CONSUMERS_PROCESS_GROUP_H

#include "consumers/parking/returner.h"
#include "consumers/process_rates.h"
#include "worker/base/mutex.h"

struct held_keys;
struct partition_reports;

/* The questions that it asks its process. */
struct group_sources
{
    bool (*ready)(void *owner, struct buffer *why);
    int (*slot)(void *owner);
    const char *(*http)(void *owner); /* host:port; NULL: there is no endpoint */
    void (*partitions)(void *owner, struct partition_reports *into);
    void (*held)(void *owner, struct held_keys *into);
    void *owner;
    int64_t begun_us; /* Unix */
};

struct process_group
{
    struct group_sources sources;
    struct mutex mutex; /* guards what follows up to the line */
    struct buffer metrics, status, holders, minute, minute_line;
    int64_t told_us;  /* when PostgreSQL told the numbers last; 0: it has not */
    int64_t alone_us; /* when PostgreSQL said last that this process shows them; 0: it does not */

    /* Of the returner's thread. */
    char backend[16]; /* that has the lock; "0": none */
    int64_t next_seen_us, next_sample_us, next_numbers_us, next_holders_us, next_lock_us;
    bool something_stuck; /* parked, because its row is held */
    struct process_rates rates;
};

void process_group_init(struct process_group *group, const struct group_sources *sources);
void process_group_done(struct process_group *group);

/* A step, as far as it is due. */
void process_group_round(void *group, returner_ask_fn *ask, void *asker);
/* The process ends in an orderly way: it is not to be missed. */
void process_group_leave(void *group, returner_ask_fn *ask, void *asker);

/* The group's series, where this process is the one that shows them. */
void process_group_print_metrics(struct process_group *group, struct buffer *into);
/* This process's rates of the last minute, in one line; nothing: not known yet. */
void process_group_print_rates(struct process_group *group, struct buffer *into);
/* Further members of a JSON object. */
void process_group_print_status(struct process_group *group, struct buffer *json);

#endif
