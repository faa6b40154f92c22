/* Lane, private: what lane.c (the thread, what it waits for and collects) and worker/lane/settle.c (how a run is
 * brought to its end) share. Nobody else includes it.
 *
 * Threads    all functions: the lane's own thread.
 */
#ifndef WORKER_LANE_LANE_PRIVATE_H
#define WORKER_LANE_LANE_PRIVATE_H

#include <pthread.h>

#include "worker/base/log.h"
#include "worker/batch/batch.h"
#include "worker/lane/lane.h"
#include "worker/lane/retry_queue.h"

enum
{
    LANE_PROBE_US = 1000000, /* resources, or a fault of ours: looked at again once a second */
    LANE_OWED_MAX = 8,       /* one more: the oldest is forgotten, which costs a command one of its three tries */
};

/* A batch that PostgreSQL does not take: its commands wait without being in the hold. */
struct lane_stuck
{
    struct delivery *const *deliveries;
    int count; /* 0: none waits */
    int attempts;
    int64_t since_us;
    bool refused; /* a new session alone does not make the lane ready */
};

struct lane
{
    const struct settings *settings;
    void (*complete)(void *owner, struct delivery *chain);
    void *owner;
    char name[16];
    char lock_owner[192];
    pthread_t thread;

    /* Shared, under the mutex. */
    pthread_mutex_t mutex;
    pthread_cond_t work;  /* waited for by the lane */
    pthread_cond_t quiet; /* waited for by lane_await_quiet */
    struct delivery *first, *last;
    int waiting;
    uint64_t revocations_asked, revocations_handled; /* lane_revoke asks, the lane drops what is revoked and says so */
    int64_t stop_deadline_us;
    bool ready;
    char why[256];           /* not ready because */
    struct held_keys *shown; /* the held keys as they were last copied */

    atomic_bool stopping; /* writer: lane_ask_stop; readers: the lane, also while it connects */
    atomic_bool
        interrupted; /* set by whoever revokes or stops: the run in hand looks at what is revoked before it waits on */

    /* The lane's own. */
    struct pipeline *pipeline;
    struct statements *statements;
    struct lock *lock;
    struct batch batch;
    struct retry_queue *retry_queue;
    struct delivery **run; /* the deliveries of the present run, batch_max of them */
    int run_count;
    struct delivery **parks; /* the first of each key that is to be parked now, as many at most */
    int park_count;
    int64_t held_before; /* what METRIC_HELD_KEYS has of us */
    uint64_t tickets;
    int64_t taken_us, gap_us;  /* when the last batch was taken; the mean time between two commands, 0: not known */
    int64_t turn_us;           /* no turn of its own before; see take_turn */
    int64_t turn_wait_us;      /* how long the next one may wait for its rows */
    int64_t look_us;           /* when the held keys are looked at again for what blocks others */
    uint64_t revocations_seen; /* of revocations_asked: the run in hand was cleared of what is revoked */
    uint64_t random_state;
    bool unanswered_in_run; /* something of the present run was held, dropped, or is another owner's */
    struct lane_notes_to_retract
    {
        int32_t partition_id;
        int64_t offset;
    } notes_to_retract[LANE_OWED_MAX]; /* notes of commands that were tried with care, held or dropped, and not crashed
                                          of */
    int notes_to_retract_count;
    struct lane_stuck stuck;
    struct held_keys *copied; /* the next copy is made here */
    int64_t copied_us;        /* when the last was */
    bool shows, shows_late;   /* something is shown; it is not the latest */
    bool without_redis;       /* told so, and why; it is told as well when that is over */
    char redis_why[96];
    int64_t fenced_since_us; /* batches wait for their partitions' locks since then; 0: they do not */
    struct log_rate stuck_rate, connect_rate, again_rate, parked_rate, redis_rate, fence_rate;
};

/* On the lane's condition, under its mutex; INT64_MAX: without an end. */
void lane_wait_until(struct lane *lane, int64_t until_us);
/* A delay that a revocation or the end's deadline cuts short. */
void lane_pause(struct lane *lane, int64_t delay_us);

/* worker/lane/view.c: what others may see of the lane's held keys, its hold and a stuck batch, which is tried again at
 * next_us and waits because of `why`; and the metric. Copied at most once a second, and only while something is held.
 */
void lane_show(struct lane *lane, int64_t next_us, const char *why);
/* When the copy is to be made again; INT64_MAX: it is the latest. */
int64_t lane_show_due(const struct lane *lane);

/* Takes back the notes that are owed (worker/batch/quarantine.h); false: some are left. */
bool lane_retract_notes(struct lane *lane);

/* For readiness; `why` is copied. */
void lane_set_ready(struct lane *lane, bool ready, const char *why);

/* worker/lane/fence.c: after each run of a batch; and, where that went on for long, who is in its way: in the log, and
 * for readiness. The second one asks PostgreSQL: pipeline_failure is another one behind it. */
void lane_note_fence(struct lane *lane, enum batch_end end);
void lane_tell_fence(struct lane *lane);

/* Gives a chain back unanswered. */
void lane_drop(struct lane *lane, struct delivery *chain);

/* One attempt at a session, and a delay when it failed; neither goes on when `stop` is set. */
bool lane_connect(struct lane *lane, int attempt, const atomic_bool *stop);

enum lane_turn
{
    TURN_COMMON, /* among others */
    TURN_WAIT,   /* alone, and waits for its rows (PROTOCOL B2) */
    TURN_PARK,   /* held too long, or in the way: each is the first of its key and is parked (PROTOCOL L3, L4) */
};

/* Runs deliveries until each is answered, held or dropped (PROTOCOL B4): whole, in halves in order, alone. */
void lane_run(struct lane *lane, struct delivery **deliveries, int count, enum lane_turn turn);

#endif
