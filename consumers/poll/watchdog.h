/* Watchdog: notices that the group gives this cell nothing although it should, and says when the consumer is to be
 * rebuilt (PROTOCOL O7). A member may wait for an answer that was lost, or hold the empty assignment of a leader that
 * was told that a topic does not exist; neither ends by itself.
 *
 * Threads    watchdog_is_content: any. The others: the poll thread.
 * Locks      one, around what watchdog_is_content reads.
 * Failure    while Kafka does not answer nothing is rebuilt: that would not help.
 */
#ifndef CONSUMERS_POLL_WATCHDOG_H
#define CONSUMERS_POLL_WATCHDOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/base/mutex.h"

struct settings;

/* Which command topics the cell has partitions of. */
enum extent
{
    EXTENT_NONE,    /* no assignment */
    EXTENT_PARTIAL, /* one that has no partition of some topic; an empty one has none of any */
    EXTENT_FULL,
};

struct watchdog
{
    const struct settings *settings;
    int cell;

    /* Poll thread. */
    uint64_t epoch; /* of the last assignment */
    enum extent extent;
    int64_t since_us; /* from when it has been so, and Kafka has answered; of a partial one, from when partitions may
                         have had no owner */
    int64_t jitter_us;
    int64_t next_us; /* the next question to the group; 0: none is due */
    bool owned;      /* the last answer: every partition has an owner */
    uint64_t random_state;

    struct mutex mutex; /* guards what follows */
    bool content;
    char why[320];
};

void watchdog_init(struct watchdog *watchdog, const struct settings *settings, int cell);
void watchdog_done(struct watchdog *watchdog);

/* A consumer was made. */
void watchdog_begin(struct watchdog *watchdog, int64_t now_us);

/* True: the consumer is to be rebuilt; said in the log and counted. May ask the group, which takes up to 3 s: only
 * while the cell has nothing of some topic. */
bool watchdog_step(struct watchdog *watchdog, enum extent extent, uint64_t epoch, int64_t now_us);

/* How long the cell is to stay away from the group before it joins again, for the group to forget a static member: else
 * the coordinator gives it the same assignment again. */
int64_t watchdog_rest_us(const struct watchdog *watchdog);

/* The cell has all that it should have; else `why`. Of a partial assignment it is not content until the group said
 * that every partition has an owner: then there are more workers than partitions. */
bool watchdog_is_content(struct watchdog *watchdog, char *why, size_t why_size);

#endif
