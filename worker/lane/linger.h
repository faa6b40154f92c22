/* Linger: until when the commands that wait in a lane wait for others, so that one transaction applies all of them.
 *
 * Two reasons to wait. Where commands come fast, a moment fills a batch: small batches cost PostgreSQL so much more a
 * command that at half of the drain rate both cores were full. And with exactly-once nothing is seen before the
 * publisher's next Kafka transaction begins (consumers/publish/pacing.h): a wait that ends shortly before it costs no
 * latency. A command that comes alone goes at once when the publisher's rest is over.
 *
 * Threads    a value of the lane; no clock of its own.
 */
#ifndef WORKER_LANE_LINGER_H
#define WORKER_LANE_LINGER_H

#include <stdint.h>

enum
{
    LINGER_FOR = 8,         /* commands that must be expected within worker.batch_linger for the wait to pay */
    LINGER_ENOUGH = 128,    /* as many go at once */
    LINGER_MAX_US = 30000,  /* the publisher's next transaction is awaited no longer */
    LINGER_RUN_SHORT = 128, /* commands of a run whose time says how long a small batch takes */
};

struct linger
{
    int64_t taken_us; /* when commands were last taken; 0: never */
    int64_t gap_us;   /* the mean time between two commands, over the last few batches; 0: not known */
    int64_t run_us;   /* the mean time of the last small batches */
};

/* `count` commands, at least one, were taken for a batch. */
void linger_note_taken(struct linger *linger, int count, int64_t now_us);

/* A run of `count` commands took so long. */
void linger_note_run(struct linger *linger, int count, int64_t took_us);

/* Until when to wait; now_us or earlier: not at all. `longest_us`: worker.batch_linger. `seen_us`: no answer is seen
 * before (monotonic; a time in the past: answers are seen at once). */
int64_t linger_until_us(const struct linger *linger, int64_t longest_us, int64_t seen_us, int64_t now_us);

#endif
