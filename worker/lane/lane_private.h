/* Lane, private: shared by the sources of worker/lane/. lane.c has the thread, its waits and what it collects; settle.c
 * brings a run to its end; readiness.c connects and says whether the lane is ready; notes.c runs crash suspects;
 * fence.c notes waits for partitions; view.c shows held keys. Nobody else includes it.
 *
 * Threads    all functions: the lane's own thread.
 */
#ifndef WORKER_LANE_LANE_PRIVATE_H
#define WORKER_LANE_LANE_PRIVATE_H

#include <assert.h>

#include "worker/base/log.h"
#include "worker/base/mutex.h"
#include "worker/batch/batch.h"
#include "worker/lane/lane.h"
#include "worker/lane/linger.h"
#include "worker/lane/retry_queue.h"

enum
{
    LANE_PROBE_US = 1000000, /* resources, or a fault of ours: looked at again once a second */
    LANE_OWED_MAX = 8,       /* at one more the oldest is forgotten, which costs a command one of its three tries */
};

/* A batch that PostgreSQL does not take: its commands wait outside of the retry queue. */
struct lane_stuck
{
    struct delivery *const *deliveries;
    int count; /* 0: no batch waits */
    int attempts;
    int64_t since_us;
};

/* Whether PostgreSQL takes the work of the lane. Only lane_become changes it; ARCHITECTURE.md, "States", draws it. */
enum lane_state
{
    LANE_CONNECTING, /* there is no session, and a try to have one failed, or none was made */
    LANE_READY,      /* the last session or batch was good */
    LANE_STUCK,      /* PostgreSQL refuses to work; a session or a batch that is good ends it */
    LANE_REFUSED,    /* it refuses a statement of ours; only a batch that is good ends it, or the batch's loss */
    LANE_FENCED,     /* batches wait for the locks of their partitions, and somebody holds them for long */
    LANE__STATES,
};

struct lane
{
    const struct settings *settings;
    void (*complete)(void *owner, struct delivery *chain);
    void *owner;
    const atomic_int_fast64_t *seen_us; /* as in struct lanes_options */
    char name[16];
    char lock_owner[192];
    pthread_t thread;

    /* Shared, under the mutex. */
    struct mutex mutex;
    pthread_cond_t work;  /* waited for by the lane */
    pthread_cond_t quiet; /* waited for by lane_await_quiet */
    struct delivery *first, *last;
    int waiting;
    uint64_t revocations_asked, revocations_handled; /* lane_revoke asks; the lane drops the revoked and says so */
    int64_t stop_deadline_us;
    enum lane_state state;   /* writer: the lane */
    char why[256];           /* it is not ready */
    struct held_keys *shown; /* the held keys as they were last copied */

    atomic_bool stopping; /* writer: lane_ask_stop; readers: the lane, also while it connects */
    /* Set by whoever revokes or stops: the run in hand drops the revoked deliveries before it waits on. */
    atomic_bool interrupted;

    /* The lane's own. */
    pthread_t self;
    struct pipeline *pipeline;
    struct statements *statements;
    struct lock *lock;
    struct batch *batch;
    delivery_decode_fn *decode;
    struct retry_queue *retry_queue;
    struct delivery **run; /* the deliveries of the present run, batch_max of them */
    int run_count;
    struct delivery **parks; /* the first of each key that is to be parked now, as many at most */
    int park_count;
    int64_t held_before; /* our part of METRIC_HELD_KEYS */
    uint64_t tickets;
    struct linger linger;
    int64_t turn_us;           /* no turn before it; see take_turn */
    int64_t turn_wait_us;      /* how long the next one may wait for its rows */
    int64_t look_us;           /* the next search among the held keys for those that block others */
    uint64_t revocations_seen; /* of revocations_asked: the run in hand has dropped the deliveries of these */
    uint64_t random_state;
    bool unanswered_in_run; /* a delivery of the present run was held, dropped, or is another owner's */
    struct lane_notes_to_retract
    {
        int32_t partition_id;
        int64_t offset;
    } notes_to_retract[LANE_OWED_MAX]; /* of commands that ran as suspects and were held or dropped without a crash */
    int notes_to_retract_count;
    struct lane_stuck stuck;
    struct held_keys *copied; /* the next copy is made here */
    int64_t copied_us;        /* when the last was */
    bool shows, shows_late;   /* a report is shown; it is not the latest */
    bool without_redis;       /* the log said so, and why: it says the end, too */
    char redis_why[96];
    int64_t fenced_since_us; /* batches wait for their partitions' locks since then; 0: no */
    struct log_rate stuck_rate, connect_rate, again_rate, parked_rate, redis_rate, fence_rate;
};

/* --- hand-overs -------------------------------------------------------------------------------------------------- */

static inline void lane_assert_owner(const struct lane *lane)
{
    assert(pthread_equal(lane->self, pthread_self()));
}

/* --- readiness.c ------------------------------------------------------------------------------------------------- */

/* A delay that a revocation or the end's deadline cuts short. */
void lane_pause(struct lane *lane, int64_t delay_us);

/* The lane's state changes. `why` it is not ready is copied. LANE_REFUSED outlasts LANE_CONNECTING, LANE_STUCK and
 * LANE_FENCED: only `why` changes then. Asserts that the transition is one of the drawing. */
void lane_become(struct lane *lane, enum lane_state state, const char *why);
/* One attempt at a session, and a delay when it failed; neither goes on when `stop` is set. */
bool lane_connect(struct lane *lane, int attempt, const atomic_bool *stop);
/* A run begins: whether PostgreSQL refuses it, too, is not known. */
void lane_begin_run(struct lane *lane);
/* The commands in hand were taken away: whether PostgreSQL refuses others is not known. */
void lane_forget_refusal(struct lane *lane);

/* For people: a failure as text; a batch that runs again, or that PostgreSQL refuses; Redis that is away or back. */
void lane_say_failure(const struct failure *failure, char *into, size_t into_size);
void lane_tell_trouble(struct lane *lane, enum batch_end end, int count, int64_t delay_us);
void lane_tell_redis(struct lane *lane);

/* --- view.c ------------------------------------------------------------------------------------------------------ */

/* Copies for others what the lane holds: its retry queue and a stuck batch, which is tried again at next_us and waits
 * because of `why`; and the metric. At most once a second, and only while something is held. */
void lane_show(struct lane *lane, int64_t next_us, const char *why);
/* When the next copy is due; INT64_MAX: the last one is still right. */
int64_t lane_show_due(const struct lane *lane);

/* --- fence.c ----------------------------------------------------------------------------------------------------- */

/* After each run of a batch. */
void lane_note_fence(struct lane *lane, enum batch_end end);
/* Where batches wait for long, the log and readiness say who is in their way. Asks PostgreSQL: pipeline_failure is
 * another one after it. */
void lane_tell_fence(struct lane *lane);

/* --- settle.c ---------------------------------------------------------------------------------------------------- */

enum lane_turn
{
    TURN_COMMON, /* among others */
    TURN_WAIT,   /* alone, and waits for its rows (PROTOCOL B2) */
    TURN_PARK,   /* held too long, or in the way: each is the first of its key and is parked (PROTOCOL L3, L4) */
};

/* Runs deliveries until each is answered, held or dropped: crash suspects alone, the others as lane_run_whole. */
void lane_run(struct lane *lane, struct delivery **deliveries, int count, enum lane_turn turn);
/* Whole, in halves in order, alone. */
void lane_run_whole(struct lane *lane, struct delivery **deliveries, int count, enum lane_turn turn);

/* Gives a chain back unanswered. */
void lane_drop(struct lane *lane, struct delivery *chain);
/* Drops the revoked ones of the run, all of them once the lane is past its end; returns how many are left, in order. */
int lane_drop_revoked(struct lane *lane, struct delivery **deliveries, int count);

/* --- notes.c ----------------------------------------------------------------------------------------------------- */

void lane_run_as_suspect(struct lane *lane, struct delivery *delivery, enum lane_turn turn);
/* Takes back the notes that have to be retracted (worker/batch/quarantine.h); false: some are left. */
bool lane_retract_notes(struct lane *lane);

#endif
