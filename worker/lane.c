#include "worker/lane.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "worker/batch.h"
#include "worker/hold.h"
#include "worker/log.h"
#include "worker/metrics.h"
#include "worker/monotonic.h"
#include "worker/settings.h"

enum
{
    ALONE_TRIES_MAX = 3,         /* PROTOCOL B4: loaded and decided again before a refusal is recorded */
    LOG_EVERY_US = 60 * 1000000, /* a state that lasts is told once a minute */
    STUCK_DELAY_US = 1000000,    /* resources, or a fault of ours: probe once a second */
    RECONNECT_DELAY_MAX_US = 2000000,
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
    bool run_waiting;
    int held_before; /* what METRIC_HELD_KEYS has of us */
    uint64_t tickets;
    uint64_t sweeps_seen; /* of sweeps_wanted: the run in hand was cleared of what is revoked */
    uint64_t random_state;
    struct log_rate stuck_rate, connect_rate, again_rate;
};

/* --- waiting --------------------------------------------------------------------------------------------------- */

static void wait_until(struct lane *lane, int64_t until_us)
{
    struct timespec until = monotonic_timespec(until_us);

    if (until_us == INT64_MAX)
        pthread_cond_wait(&lane->work, &lane->mutex);
    else
        pthread_cond_timedwait(&lane->work, &lane->mutex, &until);
}

/* A delay that a revocation or the end's deadline cuts short. */
static void pause_for(struct lane *lane, int64_t delay_us)
{
    int64_t until_us = monotonic_us() + delay_us;

    pthread_mutex_lock(&lane->mutex);
    while (monotonic_us() < until_us && lane->sweeps_wanted == lane->sweeps_seen)
    {
        if (atomic_load(&lane->stopping) && lane->stop_deadline_us < until_us)
            until_us = lane->stop_deadline_us;
        wait_until(lane, until_us);
    }
    pthread_mutex_unlock(&lane->mutex);
}

static void set_ready(struct lane *lane, bool ready, const char *why)
{
    pthread_mutex_lock(&lane->mutex);
    lane->ready = ready;
    snprintf(lane->why, sizeof(lane->why), "%s", why);
    pthread_mutex_unlock(&lane->mutex);
}

/* --- giving back ----------------------------------------------------------------------------------------------- */

static void drop_chain(struct lane *lane, struct delivery *chain)
{
    for (struct delivery *delivery = chain; delivery; delivery = delivery->next)
        delivery->answer = ANSWER_DROPPED;
    if (chain)
        lane->complete(lane->owner, chain);
}

/* Drops the revoked ones of the run; all of them once the lane is past its end. Order is kept. */
static int drop_revoked(struct lane *lane, struct delivery **deliveries, int count)
{
    struct delivery *dropped = NULL;
    int kept = 0;

    pthread_mutex_lock(&lane->mutex);
    bool all = atomic_load(&lane->stopping) && monotonic_us() >= lane->stop_deadline_us;
    lane->sweeps_seen = lane->sweeps_wanted;
    pthread_mutex_unlock(&lane->mutex);

    for (int i = 0; i < count; i++)
    {
        if (!all && !atomic_load(deliveries[i]->ownership->revoked))
        {
            deliveries[kept++] = deliveries[i];
            continue;
        }
        deliveries[i]->next = dropped;
        dropped = deliveries[i];
    }
    drop_chain(lane, dropped);
    return kept;
}

static void hold_delivery(struct lane *lane, struct delivery *delivery, enum retry_kind kind)
{
    int64_t now_us = monotonic_us();
    int64_t due_us = now_us;

    if (!hold_blocks(lane->hold, delivery))
    {
        delivery->attempts++;
        due_us += retry_delay_us(&lane->settings->retries[kind], delivery->attempts, &lane->random_state);
    }
    if (delivery->held_since_us == 0)
        delivery->held_since_us = now_us;
    while (!hold_put(lane->hold, delivery, due_us))
        pause_for(lane, STUCK_DELAY_US); /* out of memory: nothing may be dropped, so it waits for some */
}

/* After a commit: what is answered goes back as one chain, what is held waits with its key. */
static void settle(struct lane *lane)
{
    struct delivery *first = NULL, **end = &first;

    for (int i = 0; i < lane->batch.count; i++)
    {
        struct item *item = &lane->batch.items[i];
        if (item->hold == HOLD_NOT)
        {
            *end = item->delivery;
            end = &item->delivery->next;
            continue;
        }
        /* What only stands behind another one waits for no row, so it needs no turn of its own either. */
        if (item->command.workflow && item->hold == HOLD_BUSY)
            item->delivery->wait_us = lane->settings->locks[item->command.workflow->lock_class].wait_us;
        hold_delivery(lane, item->delivery, RETRY_LOCK_ACQUISITION);
    }
    *end = NULL;
    if (first)
        lane->complete(lane->owner, first);
}

/* --- connecting ------------------------------------------------------------------------------------------------ */

static bool connect_database(struct lane *lane, int attempt, const atomic_bool *stop)
{
    if (database_connect(lane->database, stop))
    {
        if (attempt > 0)
        {
            metrics_add(METRIC_RECONNECTS, 1);
            log_info("%s: connected to PostgreSQL at %s", lane->name, database_where(lane->database));
        }
        set_ready(lane, true, "");
        return true;
    }
    const struct failure *failure = database_failure(lane->database);
    char why[256];
    snprintf(why, sizeof(why), "PostgreSQL does not answer (%s%s%s)", failure->sqlstate,
             failure->sqlstate[0] ? ": " : "", failure->message);
    set_ready(lane, false, why);
    if (log_allowed(&lane->connect_rate, LOG_EVERY_US))
        log_warning("%s: waiting for PostgreSQL, database.url: %s", lane->name, why);
    int64_t delay_us = 50000 << (attempt < 6 ? attempt : 6);
    pause_for(lane, delay_us < RECONNECT_DELAY_MAX_US ? delay_us : RECONNECT_DELAY_MAX_US);
    return false;
}

/* --- running --------------------------------------------------------------------------------------------------- */

/* What stands behind a held key joins it (PROTOCOL B4: a rejection commits before any later command of its key). */
static int divert_held(struct lane *lane, struct delivery **deliveries, int count)
{
    int kept = 0;

    if (hold_keys(lane->hold) == 0)
        return count;
    for (int i = 0; i < count; i++)
        if (hold_blocks(lane->hold, deliveries[i]))
            hold_delivery(lane, deliveries[i], RETRY_LOCK_ACQUISITION);
        else
            deliveries[kept++] = deliveries[i];
    return kept;
}

static void tell_trouble(struct lane *lane, enum batch_end end, int count)
{
    const struct failure *failure = database_failure(lane->database);
    char why[256];

    snprintf(why, sizeof(why), "%s, SQLSTATE %s: %s", failure_class_name(failure->class),
             failure->sqlstate[0] ? failure->sqlstate : "none", failure->message);
    if (end == BATCH_STUCK)
    {
        set_ready(lane, false, why);
        if (log_allowed(&lane->stuck_rate, LOG_EVERY_US))
            log_error(
                "%s: holding %d commands, PostgreSQL at %s refuses to work (%s); nothing is lost, they go on when "
                "it is mended",
                lane->name, count, database_where(lane->database), why);
    }
    else if (log_allowed(&lane->again_rate, LOG_EVERY_US))
        log_info("%s: batch of %d runs again (%s)", lane->name, count, why);
}

/* One batch until it is committed, dropped, or has to be split. Returns BATCH_DONE when nothing is left to do. */
static enum batch_end run_until_settled(struct lane *lane, struct delivery **deliveries, int *count,
                                        struct batch_mode mode)
{
    for (int attempt = 0, connects = 0, lost = 0;;)
    {
        *count = drop_revoked(lane, deliveries, *count);
        if (*count == 0)
            return BATCH_DONE;
        if (!database_is_connected(lane->database))
        {
            connect_database(lane, connects++, NULL);
            continue;
        }
        enum batch_end end = batch_run(&lane->batch, deliveries, *count, mode);
        const struct failure *failure = database_failure(lane->database);
        if (end == BATCH_DONE)
        {
            set_ready(lane, true, "");
            settle(lane);
            return BATCH_DONE;
        }
        if (end == BATCH_SPLIT || (end == BATCH_AGAIN && mode.waiting && failure->class == FAILURE_TRANSIENT))
            return BATCH_SPLIT;
        tell_trouble(lane, end, *count);
        metrics_add(METRIC_BATCH_RETRIES, 1);
        if (end == BATCH_STUCK)
            pause_for(lane, STUCK_DELAY_US);
        else if (end == BATCH_AGAIN)
            pause_for(lane, retry_delay_us(&lane->settings->retries[RETRY_DATABASE_OPERATION], ++attempt,
                                           &lane->random_state));
        else
        {
            /* A batch that costs its session every time must not drive PostgreSQL from one recovery into the next. */
            connects = 1;
            if (lost++ > 0)
                pause_for(lane, retry_delay_us(&lane->settings->retries[RETRY_DATABASE_OPERATION], lost,
                                               &lane->random_state));
        }
    }
}

/* A command that failed alone: its turn is not now, or it is refused for good. */
static void run_culprit(struct lane *lane, struct delivery *delivery, bool waiting)
{
    struct failure failure = *database_failure(lane->database);
    struct delivery *one[1] = { delivery };
    int count = 1;

    for (int tries = 1;; tries++)
    {
        if (failure.class != FAILURE_COMMAND)
        {
            if (waiting)
                delivery->held_since_us = 0; /* it had its turn; the next one is after another longest wait */
            hold_delivery(lane, delivery, RETRY_DATABASE_OPERATION);
            return;
        }
        bool last = !failure_may_pass(&failure) || tries > ALONE_TRIES_MAX;
        struct batch_mode mode = { .waiting = waiting, .verdict = last ? &failure : NULL };
        if (run_until_settled(lane, one, &count, mode) == BATCH_DONE)
            return;
        failure = *database_failure(lane->database);
        if (last)
        {
            /* Even the record was refused: never drop; hold and say so through the metrics and the log. */
            tell_trouble(lane, BATCH_STUCK, 1);
            hold_delivery(lane, delivery, RETRY_DATABASE_OPERATION);
            return;
        }
    }
}

/* PROTOCOL B4: halves in order, then singly. */
static void run_deliveries(struct lane *lane, struct delivery **deliveries, int count, bool waiting)
{
    if (!waiting)
        count = divert_held(lane, deliveries, count);
    if (count == 0)
        return;
    struct batch_mode mode = { .waiting = waiting };
    if (run_until_settled(lane, deliveries, &count, mode) == BATCH_DONE)
        return;
    if (count == 1)
    {
        run_culprit(lane, deliveries[0], waiting);
        return;
    }
    metrics_add(METRIC_BATCH_SPLITS, 1);
    run_deliveries(lane, deliveries, count / 2, false);
    run_deliveries(lane, deliveries + count / 2, count - count / 2, false);
}

/* --- collecting ------------------------------------------------------------------------------------------------ */

/* Drops what was revoked; then lane_await_quiet may go on. Nothing is in a batch here. */
static void sweep(struct lane *lane, uint64_t wanted)
{
    struct delivery *kept = NULL, **end = &kept, *dropped = hold_take_revoked(lane->hold);
    int waiting = 0;

    lane->sweeps_seen = wanted;
    pthread_mutex_lock(&lane->mutex);
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

    drop_chain(lane, dropped);
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

/* Held keys whose time has come, in front of what is new. One past its longest wait runs alone (PROTOCOL B2). */
static void take_due(struct lane *lane, int64_t now_us)
{
    int max = (int)lane->settings->worker.batch_max, count;

    while (lane->run_count < max)
    {
        struct delivery *chain = hold_take_due(lane->hold, now_us, max - lane->run_count, &count);
        if (chain == NULL)
            return;
        if (chain->wait_us == 0 || now_us - chain->held_since_us < chain->wait_us)
        {
            add_to_run(lane, chain);
            continue;
        }
        /* Its followers go back behind it at once: the run is over before they are looked at again. */
        struct delivery *followers = chain->next;
        chain->next = NULL;
        run_deliveries(lane, lane->run, lane->run_count, false);
        lane->run_count = 0;
        run_deliveries(lane, &chain, 1, true);
        for (struct delivery *next; followers; followers = next)
        {
            next = followers->next;
            while (!hold_put(lane->hold, followers, now_us))
                pause_for(lane, STUCK_DELAY_US);
        }
    }
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
        add_to_run(lane, chain);
}

static void count_held(struct lane *lane)
{
    int held = hold_keys(lane->hold);

    if (held != lane->held_before)
        metrics_add(METRIC_HELD_KEYS, held - lane->held_before);
    lane->held_before = held;
}

/* A moment more for a batch to fill, when the settings allow one and something is there already. */
static void linger(struct lane *lane)
{
    int64_t until_us = monotonic_us() + lane->settings->worker.batch_linger_us;

    while (lane->first && lane->waiting < lane->settings->worker.batch_max && monotonic_us() < until_us &&
           !atomic_load(&lane->stopping) && lane->sweeps_wanted == lane->sweeps_done)
        wait_until(lane, until_us);
}

/* Waits for something to do. False: the lane is to end. */
static bool await_work(struct lane *lane, uint64_t *ret_sweep)
{
    int64_t due_us = hold_next_due(lane->hold);

    pthread_mutex_lock(&lane->mutex);
    while (lane->first == NULL && !atomic_load(&lane->stopping) && lane->sweeps_wanted == lane->sweeps_done &&
           monotonic_us() < due_us)
        wait_until(lane, due_us);
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
        drop_chain(lane, hold_take_due(lane->hold, INT64_MAX, INT32_MAX, &count));
    pthread_mutex_lock(&lane->mutex);
    struct delivery *chain = lane->first;
    lane->first = lane->last = NULL;
    lane->waiting = 0;
    pthread_mutex_unlock(&lane->mutex);
    drop_chain(lane, chain);
    pthread_mutex_lock(&lane->mutex);
    lane->sweeps_done = lane->sweeps_wanted;
    pthread_cond_broadcast(&lane->quiet);
    pthread_mutex_unlock(&lane->mutex);
}

static void *lane_main(void *owner)
{
    struct lane *lane = owner;
    uint64_t wanted;

    for (int attempt = 0; !atomic_load(&lane->stopping) && !database_is_connected(lane->database); attempt++)
    {
        connect_database(lane, attempt, &lane->stopping);
        pthread_mutex_lock(&lane->mutex);
        uint64_t sweeps = lane->sweeps_wanted;
        pthread_mutex_unlock(&lane->mutex);
        sweep(lane, sweeps);
    }
    while (await_work(lane, &wanted))
    {
        if (wanted)
            sweep(lane, wanted);
        lane->run_count = 0;
        take_due(lane, monotonic_us());
        take_new(lane);
        run_deliveries(lane, lane->run, lane->run_count, false);
        count_held(lane);
    }
    drop_all(lane);
    count_held(lane);
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
    lane->run = calloc((size_t)settings->worker.batch_max, sizeof(*lane->run));
    if (settings->redis.enabled)
        lane->lock = lock_new(&(struct lock_options){ .url = settings->redis.url,
                                                      .prefix = settings->redis.prefix,
                                                      .owner = lane->lock_owner,
                                                      .connect_timeout_us = settings->redis.connect_timeout_us,
                                                      .command_timeout_us = settings->redis.command_timeout_us });
    struct batch_tools tools = { settings, lane->database, lane->statements, lane->lock, options->decode };
    return lane->database && lane->statements && lane->hold && lane->run && (lane->lock || !settings->redis.enabled) &&
           batch_init(&lane->batch, &tools);
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
    bool wake = lane->first == NULL || lane->settings->worker.batch_linger_us > 0;
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

void lane_ask_stop(struct lane *lane, int64_t deadline_us)
{
    pthread_mutex_lock(&lane->mutex);
    lane->stop_deadline_us = deadline_us;
    atomic_store(&lane->stopping, true);
    pthread_cond_signal(&lane->work);
    pthread_mutex_unlock(&lane->mutex);
}

void lane_free(struct lane *lane)
{
    pthread_join(lane->thread, NULL);
    free_parts(lane);
}
