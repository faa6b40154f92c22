/* Lane, private: what lane.c (the thread, what it waits for and collects) and lane_run.c (how a run is brought to its
 * end) share. Nobody else includes it.
 *
 * Threads    all functions: the lane's own thread.
 */
#ifndef WORKER_LANE_PRIVATE_H
#define WORKER_LANE_PRIVATE_H

#include <pthread.h>

#include "worker/batch.h"
#include "worker/hold.h"
#include "worker/lane.h"
#include "worker/log.h"

enum
{
    LANE_PROBE_US = 1000000, /* resources, or a fault of ours: looked at again once a second */
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
    uint64_t sweeps_wanted, sweeps_done; /* lane_revoke asks, the lane drops what is revoked and says so */
    int64_t stop_deadline_us;
    bool ready;
    char why[256]; /* not ready because */

    atomic_bool stopping; /* writer: lane_ask_stop; readers: the lane, also while it connects */

    /* The lane's own. */
    struct database *database;
    struct statements *statements;
    struct lock *lock;
    struct batch batch;
    struct hold *hold;
    struct delivery **run; /* the deliveries of the present run, batch_max of them */
    int run_count;
    int held_before; /* what METRIC_HELD_KEYS has of us */
    uint64_t tickets;
    int64_t taken_us, gap_us; /* when the last batch was taken; the mean time between two commands, 0: not known */
    uint64_t sweeps_seen;     /* of sweeps_wanted: the run in hand was cleared of what is revoked */
    uint64_t random_state;
    struct log_rate stuck_rate, connect_rate, again_rate;
};

/* On the lane's condition, under its mutex; INT64_MAX: without an end. */
void lane_wait_until(struct lane *lane, int64_t until_us);
/* A delay that a revocation or the end's deadline cuts short. */
void lane_pause(struct lane *lane, int64_t delay_us);

/* Gives a chain back unanswered. */
void lane_drop(struct lane *lane, struct delivery *chain);

/* One attempt at a session, and a delay when it failed. */
bool lane_connect(struct lane *lane, int attempt, const atomic_bool *stop);

/* Runs deliveries until each is answered, held or dropped (PROTOCOL B4): whole, in halves in order, alone. `waiting`:
 * one alone that gets its turn (PROTOCOL B2). */
void lane_run(struct lane *lane, struct delivery **deliveries, int count, bool waiting);

#endif
