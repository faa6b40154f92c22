/* Batch: the unit of work. Some commands of one lane become one PostgreSQL transaction in two pipelined round trips.
 *
 * Threads    one owner, the lane.
 * Ownership  deliveries stay the lane's; the batch answers them in place. Everything else lives in the batch's arena
 *            until the next batch_run.
 * Failure    a decision for the lane, enum batch_end; the session's failure says more (pipeline.h). Nothing is lost: a
 *            delivery that is neither answered nor held runs again.
 */
#ifndef WORKER_BATCH_BATCH_H
#define WORKER_BATCH_BATCH_H

#include "worker/base/retry.h"
#include "worker/delivery.h"
#include "worker/postgres/statements.h"
#include "worker/redis/lock.h"

enum
{
    BATCH_ARENA_KEEP = 4 * 1024 * 1024, /* bytes kept from one batch to the next */
    /* A parsed document may be 40 times its text: past this a batch runs in halves. */
    BATCH_ARENA_MAX = 16 * 1024 * 1024,
};

struct batch;

/* The tools of a batch; the lane's. */
struct batch_tools
{
    const struct settings *settings;
    struct pipeline *pipeline;
    struct statements *statements;
    struct lock *lock; /* NULL: Redis is switched off */
    delivery_decode_fn *decode;
};

/* NULL: out of memory. */
struct batch *batch_new(const struct batch_tools *tools);
void batch_free(struct batch *batch);

/* --- a run ------------------------------------------------------------------------------------------------------- */

enum batch_end
{
    BATCH_DONE,    /* committed: every item is answered or held */
    BATCH_AGAIN,   /* not the fault of a command: the same commands again after a delay (PROTOCOL B4) */
    BATCH_SPLIT,   /* one command's fault or turn: again in halves, then alone */
    BATCH_SESSION, /* the session is gone, maybe while COMMIT was out: connect, then again */
    BATCH_STUCK,   /* resources or our own fault: again after a longer delay, not ready, loudly */
};

/* How the lane wants this run. */
struct batch_mode
{
    bool waiting;                  /* wait for rows, go on without a refused Redis lock: alone, past the longest wait */
    int64_t wait_us;               /* then: for so long at most; 0: a quarter of database.lock_timeout */
    const struct failure *refused; /* alone: PostgreSQL refused it for good; the refusal is recorded */
    bool park;                     /* held too long, all of it goes to PostgreSQL until later (PROTOCOL L4) */
    bool trial;                    /* batch_try's: nothing is locked, and neither fence nor inbox is asked */
};

/* The whole life of a batch: see batch.c. `deliveries` in order of receipt. */
enum batch_end batch_run(struct batch *batch, struct delivery *const *deliveries, int count, struct batch_mode mode);

/* Decides the commands, as new, on the rows of now, in a read-only transaction that is rolled back: nothing is written,
 * drawn or locked, and Redis is not asked. For verbs; it needs no more rights than to read. */
enum batch_end batch_try(struct batch *batch, struct delivery *const *deliveries, int count);

/* The fate of one, after BATCH_DONE of batch_try. */
struct batch_trial
{
    const char *outcome; /* static; NULL: it would be parked, or held */
    struct span reason;  /* in the batch; null: none */
    bool waits;          /* parked until its notbefore */
    bool has_versions;
    int64_t version_from, version_to;
};

void batch_tried(const struct batch *batch, int index, struct batch_trial *ret);

/* The end that a failed call of the database means for a batch as a whole. */
enum batch_end batch_end_of(const struct failure *failure);

/* --- its results ------------------------------------------------------------------------------------------------- */

enum hold_reason
{
    HOLD_NOT,
    HOLD_BUSY,   /* another session has its row, or another owner its Redis lock (PROTOCOL B2, L2) */
    HOLD_BEHIND, /* behind a held command of its key */
    HOLD_FULL,   /* it would have to be parked, and there is no room (worker/parking_room.h) */
};

/* The result of one delivery. */
struct batch_result
{
    enum hold_reason hold; /* HOLD_NOT: it is answered */
    bool parked;           /* because it was held too long */
    int64_t wait_us;       /* held as busy: the longest wait of its lock class */
    enum retry_kind retry; /* held: the policy of its delays (PROTOCOL B5) */
    char why[192];         /* held: for people */
};

/* After BATCH_DONE, by the delivery's place in the run. */
void batch_result(const struct batch *batch, int index, struct batch_result *ret);

/* The policy of the command's own delays, also after another end: RETRY_DEFAULT where it was not decoded. */
enum retry_kind batch_retry_kind(const struct batch *batch, int index);

/* How the last run did with Redis. */
enum batch_locking
{
    BATCH_LOCKS_NONE,     /* it asked for no lock */
    BATCH_LOCKS_TAKEN,    /* Redis answered */
    BATCH_LOCKS_DEGRADED, /* it went on without Redis (PROTOCOL P5) */
};

enum batch_locking batch_locking(const struct batch *batch);

/* Monotonic, BEGIN of the last run, when it failed while it waited for its partitions' locks; 0: it did not. */
int64_t batch_fenced_since_us(const struct batch *batch, enum batch_end end);

/* The sessions that hold those locks, as text; empty: not known. Asks PostgreSQL: pipeline_failure is another one after
 * it. */
void batch_ask_fence_holders(struct batch *batch, char *into, size_t into_size);

#endif
