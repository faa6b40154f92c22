#include "worker/lane.h"

#include <stdio.h>
#include <stdlib.h>

#include "worker/lane_private.h"
#include "worker/metrics.h"
#include "worker/monotonic.h"
#include "worker/settings.h"

enum
{
    FULL_US = 1000000,   /* held this long in a partition that is full: parked */
    LINGER_FOR = 8,      /* commands that must be expected within worker.batch_linger for the wait to pay */
    LINGER_ENOUGH = 128, /* as many go at once */
};

/* --- collecting ------------------------------------------------------------------------------------------------ */

/* Drops what was revoked; then lane_await_quiet may go on. Nothing is in a batch here. */
static void sweep(struct lane *lane, uint64_t wanted)
{
    struct delivery *kept = NULL, **end = &kept, *dropped = hold_take_revoked(lane->hold);
    int waiting = 0;

    lane->sweeps_seen = wanted;
    pthread_mutex_lock(&lane->mutex);
    if (lane->sweeps_wanted == wanted)
        atomic_store(&lane->hurried, false);
    struct delivery *chain = lane->first, *last = NULL;
    for (struct delivery *next; chain; chain = next)
    {
        next = chain->next;
        if (atomic_load(chain->ownership->revoked))
        {
            chain->next = dropped;
            dropped = chain;
            continue;
        }
        *end = last = chain;
        end = &chain->next;
        waiting++;
    }
    *end = NULL;
    lane->first = kept;
    lane->last = last;
    lane->waiting = waiting;
    pthread_mutex_unlock(&lane->mutex);

    lane_drop(lane, dropped);
    pthread_mutex_lock(&lane->mutex);
    lane->sweeps_done = wanted;
    pthread_cond_broadcast(&lane->quiet);
    pthread_mutex_unlock(&lane->mutex);
}

static void add_to_run(struct lane *lane, struct delivery *chain)
{
    for (struct delivery *next; chain; chain = next)
    {
        next = chain->next;
        chain->next = NULL;
        lane->run[lane->run_count++] = chain;
    }
}

static bool is_full(const struct delivery *delivery)
{
    return delivery->ownership->full && atomic_load_explicit(delivery->ownership->full, memory_order_relaxed);
}

/* Past its longest wait it runs alone (PROTOCOL B2); held for park_after, or while its partition is full of what waits
 * behind it, it is parked (L3, L4), and what stands behind it follows it there. */
static enum lane_turn turn_of(const struct lane *lane, const struct delivery *delivery, int64_t now_us)
{
    int64_t longest_us = is_full(delivery) ? FULL_US : lane->settings->worker.park_after_us;
    if (delivery->stuck_since_us > 0 && now_us - delivery->stuck_since_us >= longest_us &&
        lane->settings->protections.parking)
        return TURN_PARK;
    if (delivery->wait_us > 0 && now_us - delivery->held_since_us >= delivery->wait_us)
        return TURN_WAIT;
    return TURN_COMMON;
}

/* Held keys whose time has come, in front of what is new. */
static void take_due(struct lane *lane, int64_t now_us)
{
    int max = (int)lane->settings->worker.batch_max, count;

    while (lane->run_count < max)
    {
        struct delivery *chain = hold_take_due(lane->hold, now_us, max - lane->run_count, &count);
        if (chain == NULL)
            return;
        enum lane_turn turn = turn_of(lane, chain, now_us);
        if (turn == TURN_COMMON)
        {
            add_to_run(lane, chain);
            continue;
        }
        /* Its followers go back behind it at once: the run is over before they are looked at again. */
        struct delivery *followers = chain->next;
        chain->next = NULL;
        lane_run(lane, lane->run, lane->run_count, TURN_COMMON);
        lane->run_count = 0;
        lane_run(lane, &chain, 1, turn);
        for (struct delivery *next; followers; followers = next)
        {
            next = followers->next;
            while (!hold_put(lane->hold, followers, now_us))
                lane_pause(lane, LANE_PROBE_US);
        }
        /* One turn at a time: between two of them the other keys have a batch, however many wait for theirs. */
        return;
    }
}

/* The mean time between two commands, over the last few batches. */
static void note_rate(struct lane *lane, int taken)
{
    int64_t now_us = monotonic_us();
    int64_t gap_us = (now_us - lane->taken_us) / taken + 1;

    lane->gap_us = lane->gap_us == 0 || lane->taken_us == 0 ? gap_us : (lane->gap_us * 3 + gap_us) / 4;
    lane->taken_us = now_us;
}

static void take_new(struct lane *lane)
{
    int max = (int)lane->settings->worker.batch_max - lane->run_count, count = 0;

    pthread_mutex_lock(&lane->mutex);
    struct delivery *chain = lane->first, *last = NULL;
    for (struct delivery *at = chain; at && count < max; at = at->next, count++)
        last = at;
    if (last)
    {
        lane->first = last->next;
        last->next = NULL;
        lane->waiting -= count;
        if (lane->first == NULL)
            lane->last = NULL;
    }
    pthread_mutex_unlock(&lane->mutex);
    for (struct delivery *at = last ? chain : NULL; at; at = at->next)
        at->ticket = ++lane->tickets;
    if (last)
    {
        note_rate(lane, count);
        add_to_run(lane, chain);
    }
}

/* A moment more for a batch to fill, where commands come fast enough for it to pay: small batches cost PostgreSQL so
 * much more a command that at half of the drain rate both cores were full. Slower than that, a command is alone anyhow,
 * and goes at once. */
static void linger(struct lane *lane)
{
    int64_t longest_us = lane->settings->worker.batch_linger_us;
    int64_t until_us = monotonic_us() + longest_us;

    if (lane->gap_us == 0 || lane->gap_us * LINGER_FOR > longest_us)
        return;
    while (lane->first && lane->waiting < LINGER_ENOUGH && monotonic_us() < until_us && !atomic_load(&lane->stopping) &&
           lane->sweeps_wanted == lane->sweeps_done)
        lane_wait_until(lane, until_us);
}

/* Waits for something to do. False: the lane is to end. */
static bool await_work(struct lane *lane, uint64_t *ret_sweep)
{
    int64_t due_us = hold_next_due(lane->hold), show_us = lane_show_due(lane);

    due_us = show_us < due_us ? show_us : due_us;
    pthread_mutex_lock(&lane->mutex);
    while (lane->first == NULL && !atomic_load(&lane->stopping) && lane->sweeps_wanted == lane->sweeps_done &&
           monotonic_us() < due_us)
        lane_wait_until(lane, due_us);
    if (lane->settings->worker.batch_linger_us > 0)
        linger(lane);
    *ret_sweep = lane->sweeps_wanted != lane->sweeps_done ? lane->sweeps_wanted : 0;
    bool go_on = !atomic_load(&lane->stopping);
    pthread_mutex_unlock(&lane->mutex);
    return go_on;
}

/* --- the thread ------------------------------------------------------------------------------------------------ */

/* The end: everything that still waits is dropped; its offsets were not committed, so its next owner runs it. */
static void drop_all(struct lane *lane)
{
    int count;

    while (hold_keys(lane->hold) > 0)
        lane_drop(lane, hold_take_due(lane->hold, INT64_MAX, INT32_MAX, &count));
    pthread_mutex_lock(&lane->mutex);
    struct delivery *chain = lane->first;
    lane->first = lane->last = NULL;
    lane->waiting = 0;
    pthread_mutex_unlock(&lane->mutex);
    lane_drop(lane, chain);
    pthread_mutex_lock(&lane->mutex);
    lane->sweeps_done = lane->sweeps_wanted;
    pthread_cond_broadcast(&lane->quiet);
    pthread_mutex_unlock(&lane->mutex);
}

static void connect_idle(struct lane *lane)
{
    for (int attempt = 0; !atomic_load(&lane->stopping) && !database_is_connected(lane->database); attempt++)
    {
        lane_connect(lane, attempt, &lane->hurried);
        pthread_mutex_lock(&lane->mutex);
        uint64_t sweeps = lane->sweeps_wanted;
        pthread_mutex_unlock(&lane->mutex);
        sweep(lane, sweeps);
    }
}

static void *lane_main(void *owner)
{
    struct lane *lane = owner;
    uint64_t wanted;

    connect_idle(lane);
    while (await_work(lane, &wanted))
    {
        if (wanted)
            sweep(lane, wanted);
        lane->run_count = 0;
        take_due(lane, monotonic_us());
        take_new(lane);
        lane_run(lane, lane->run, lane->run_count, TURN_COMMON);
        lane_show(lane, 0, NULL);
        /* What it could not connect for was taken away; without this it were not ready until something else comes. */
        connect_idle(lane);
        (void)lane_pay_notes(lane);
    }
    drop_all(lane);
    lane_show(lane, 0, NULL);
    return NULL;
}

/* --- life ------------------------------------------------------------------------------------------------------ */

static void free_parts(struct lane *lane)
{
    batch_done(&lane->batch);
    statements_free(lane->statements);
    database_free(lane->database);
    lock_free(lane->lock);
    hold_free(lane->hold);
    free(lane->shown);
    free(lane->copied);
    free(lane->run);
    pthread_cond_destroy(&lane->work);
    pthread_cond_destroy(&lane->quiet);
    pthread_mutex_destroy(&lane->mutex);
    free(lane);
}

static void init_conditions(struct lane *lane)
{
    pthread_condattr_t monotonic;

    pthread_mutex_init(&lane->mutex, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&lane->work, &monotonic);
    pthread_cond_init(&lane->quiet, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

static bool make_parts(struct lane *lane, const struct pool_options *options)
{
    const struct settings *settings = options->settings;

    lane->database = database_new(settings, lane->name);
    lane->statements = lane->database ? statements_new(lane->database) : NULL;
    lane->hold = hold_new();
    lane->shown = calloc(1, sizeof(*lane->shown));
    lane->copied = calloc(1, sizeof(*lane->copied));
    lane->run = calloc((size_t)settings->worker.batch_max, sizeof(*lane->run));
    bool locks = settings->redis.enabled && settings->protections.redis_lock;
    if (locks)
        lane->lock = lock_new(&(struct lock_options){ .url = settings->redis.url,
                                                      .prefix = settings->redis.prefix,
                                                      .owner = lane->lock_owner,
                                                      .connect_timeout_us = settings->redis.connect_timeout_us,
                                                      .command_timeout_us = settings->redis.command_timeout_us });
    struct batch_tools tools = { settings, lane->database, lane->statements, lane->lock, options->decode };
    return lane->database && lane->statements && lane->hold && lane->shown && lane->copied && lane->run &&
           (lane->lock || !locks) && batch_init(&lane->batch, &tools);
}

struct lane *lane_new(const struct pool_options *options, int number)
{
    struct lane *lane = calloc(1, sizeof(*lane));

    if (lane == NULL)
        return NULL;
    lane->settings = options->settings;
    lane->complete = options->complete;
    lane->owner = options->owner;
    lane->random_state = (uint64_t)monotonic_us() * 2654435761u + (uint64_t)number;
    snprintf(lane->name, sizeof(lane->name), "lane-%d.%d", options->cell, number);
    snprintf(lane->lock_owner, sizeof(lane->lock_owner), "%s/%d", options->lock_owner, number);
    snprintf(lane->why, sizeof(lane->why), "waiting for PostgreSQL");
    init_conditions(lane);
    if (!make_parts(lane, options) || pthread_create(&lane->thread, NULL, lane_main, lane) != 0)
    {
        free_parts(lane);
        return NULL;
    }
    pthread_setname_np(lane->thread, lane->name);
    return lane;
}

void lane_submit(struct lane *lane, struct delivery *first, struct delivery *last, int count)
{
    pthread_mutex_lock(&lane->mutex);
    bool wake = lane->first == NULL || (lane->waiting < LINGER_ENOUGH && lane->waiting + count >= LINGER_ENOUGH);
    if (lane->last)
        lane->last->next = first;
    else
        lane->first = first;
    lane->last = last;
    lane->waiting += count;
    if (wake)
        pthread_cond_signal(&lane->work);
    pthread_mutex_unlock(&lane->mutex);
}

void lane_revoke(struct lane *lane, uint64_t epoch)
{
    (void)epoch; /* which deliveries are meant stands in their ownership */
    pthread_mutex_lock(&lane->mutex);
    lane->sweeps_wanted++;
    atomic_store(&lane->hurried, true);
    pthread_cond_signal(&lane->work);
    pthread_mutex_unlock(&lane->mutex);
}

bool lane_await_quiet(struct lane *lane, uint64_t epoch, int64_t deadline_us)
{
    struct timespec deadline = monotonic_timespec(deadline_us);

    (void)epoch;
    pthread_mutex_lock(&lane->mutex);
    uint64_t wanted = lane->sweeps_wanted;
    while (lane->sweeps_done < wanted && monotonic_us() < deadline_us)
        pthread_cond_timedwait(&lane->quiet, &lane->mutex, &deadline);
    bool quiet = lane->sweeps_done >= wanted;
    pthread_mutex_unlock(&lane->mutex);
    return quiet;
}

bool lane_is_ready(struct lane *lane, char *why, size_t why_size)
{
    pthread_mutex_lock(&lane->mutex);
    bool ready = lane->ready;
    if (!ready)
        snprintf(why, why_size, "%s: %s", lane->name, lane->why);
    pthread_mutex_unlock(&lane->mutex);
    return ready;
}

void lane_held(struct lane *lane, struct held *into)
{
    pthread_mutex_lock(&lane->mutex);
    if (lane->shown->keys > 0)
        held_merge(into, lane->shown);
    pthread_mutex_unlock(&lane->mutex);
}

void lane_ask_stop(struct lane *lane, int64_t deadline_us)
{
    pthread_mutex_lock(&lane->mutex);
    lane->stop_deadline_us = deadline_us;
    atomic_store(&lane->stopping, true);
    atomic_store(&lane->hurried, true);
    pthread_cond_signal(&lane->work);
    pthread_mutex_unlock(&lane->mutex);
}

void lane_free(struct lane *lane)
{
    pthread_join(lane->thread, NULL);
    free_parts(lane);
}
