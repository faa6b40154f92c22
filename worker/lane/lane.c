#include "worker/lane/lane.h"

#include <stdio.h>
#include <stdlib.h>

#include "worker/base/clock.h"
#include "worker/base/metrics.h"
#include "worker/lane/lane_private.h"
#include "worker/settings/settings.h"

enum
{
    FULL_US = 1000000,   /* held this long in a partition that is full: parked */
    LOOK_US = 100000,    /* between two searches among the held keys for those that block others */
    TURN_REST = 4,       /* times as long as a turn of its own took, no other one of the lane */
    TURN_MIN_US = 20000, /* the shortest wait of a turn, however many keys share the longest */
};

/* --- collecting -------------------------------------------------------------------------------------------------- */

/* Drops the revoked deliveries; then lane_await_quiet may go on. Nothing is in a batch here. */
static void drop_revoked(struct lane *lane, uint64_t wanted)
{
    struct delivery *kept = NULL, **end = &kept, *dropped = retry_queue_take_revoked(lane->retry_queue);
    int waiting = 0;

    lane_assert_owner(lane);
    lane->revocations_seen = wanted;
    mutex_lock(&lane->mutex);
    if (lane->revocations_asked == wanted)
        atomic_store(&lane->interrupted, false);
    struct delivery *chain = lane->first, *last = NULL;
    for (struct delivery *next; chain; chain = next)
    {
        next = chain->next;
        if (atomic_load(chain->partition->revoked))
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
    assert(waiting <= lane->waiting && (kept == NULL) == (last == NULL));
    lane->first = kept;
    lane->last = last;
    lane->waiting = waiting;
    mutex_unlock(&lane->mutex);

    lane_drop(lane, dropped);
    mutex_lock(&lane->mutex);
    lane->revocations_handled = wanted;
    pthread_cond_broadcast(&lane->quiet);
    mutex_unlock(&lane->mutex);
}

static void add_to_run(struct lane *lane, struct delivery *chain)
{
    for (struct delivery *next; chain; chain = next)
    {
        next = chain->next;
        chain->next = NULL;
        assert(lane->run_count < lane->settings->worker.batch_max);
        lane->run[lane->run_count++] = chain;
    }
}

static bool is_full(const struct delivery *delivery)
{
    const atomic_bool *full = delivery->partition->full, *on_pause = delivery->partition->on_pause;
    return (full && atomic_load_explicit(full, memory_order_relaxed)) ||
           (on_pause && atomic_load_explicit(on_pause, memory_order_relaxed));
}

/* Applying is not held up by a held command, but answering is: only a contiguous prefix is published. */
static bool is_in_the_way(const struct lane *lane, const struct delivery *delivery, int64_t now_us)
{
    int64_t longest_us = lane->settings->worker.park_when_blocking_us;

    if (longest_us == 0 || delivery->partition->blocked_us == NULL || now_us - delivery->stuck_since_us < longest_us)
        return false;
    int64_t blocked_us = atomic_load_explicit(delivery->partition->blocked_us, memory_order_relaxed);
    return blocked_us > 0 && now_us - blocked_us >= longest_us;
}

/* Parked (PROTOCOL L3, L4): held for park_after, or while its partition is full of deliveries that wait behind it, or in
 * the way of the answers of others. The deliveries behind it follow it there. */
static bool is_to_be_parked(const void *owner, const struct delivery *delivery, int64_t now_us)
{
    const struct lane *lane = owner;

    if (delivery->stuck_since_us == 0 || !lane->settings->protections.parking)
        return false;
    int64_t longest_us = is_full(delivery) ? FULL_US : lane->settings->worker.park_after_us;
    return now_us - delivery->stuck_since_us >= longest_us || is_in_the_way(lane, delivery, now_us);
}

/* PROTOCOL B2. */
static bool wants_a_turn(const void *owner, const struct delivery *delivery, int64_t now_us)
{
    (void)owner;
    return delivery->wait_us > 0 && now_us - delivery->held_since_us >= delivery->wait_us;
}

static enum lane_turn turn_of(const struct lane *lane, const struct delivery *delivery, int64_t now_us)
{
    if (is_to_be_parked(lane, delivery, now_us))
        return TURN_PARK;
    return now_us >= lane->turn_us && wants_a_turn(lane, delivery, now_us) ? TURN_WAIT : TURN_COMMON;
}

static void put_back(struct lane *lane, struct delivery *chain, int64_t due_us)
{
    lane_assert_owner(lane);
    for (struct delivery *next; chain; chain = next)
    {
        next = chain->next;
        chain->next = NULL;
        while (!retry_queue_put(lane->retry_queue, chain, due_us))
            lane_pause(lane, LANE_PROBE_US);
    }
}

/* While it waits for its rows no other key of the lane is served. So the keys that want a turn share the longest wait,
 * and after a turn the lane rests from turns: a fifth of its time goes to them at most, however many rows are locked.
 */
static void take_turn(struct lane *lane, struct delivery *first, int64_t now_us)
{
    struct delivery *followers = first->next;
    int64_t begun_us = monotonic_us();

    assert(wants_a_turn(lane, first, begun_us));
    first->next = NULL;
    lane->turn_wait_us = lane->settings->database.lock_timeout_us / 4 /
                         (1 + retry_queue_count(lane->retry_queue, wants_a_turn, lane, now_us));
    lane->turn_wait_us = lane->turn_wait_us > TURN_MIN_US ? lane->turn_wait_us : TURN_MIN_US;
    lane_run(lane, &first, 1, TURN_WAIT);
    /* Its followers go back behind it at once: the run is over before they are looked at again. */
    put_back(lane, followers, now_us);
    int64_t ended_us = monotonic_us();
    lane->turn_us = ended_us + TURN_REST * (ended_us - begun_us);
}

/* All that are to be parked, as one batch. Their followers wait outside of the retry queue meanwhile. */
static void park(struct lane *lane, struct delivery *followers, int64_t now_us)
{
    assert(lane->park_count > 0);
    lane_run(lane, lane->parks, lane->park_count, TURN_PARK);
    lane->park_count = 0;
    put_back(lane, followers, now_us);
}

/* Held keys that are due, before new deliveries. */
static void take_due(struct lane *lane, int64_t now_us)
{
    int max = (int)lane->settings->worker.batch_max, count;
    struct delivery *turn = NULL, *followers = NULL, **end = &followers;

    assert(lane->run_count == 0 && lane->park_count == 0); /* the former run has ended */
    if (now_us >= lane->look_us && retry_queue_keys(lane->retry_queue) > 0)
    {
        retry_queue_hurry(lane->retry_queue, is_to_be_parked, lane, now_us);
        lane->look_us = now_us + LOOK_US;
    }
    while (turn == NULL && lane->run_count < max && lane->park_count < max)
    {
        struct delivery *chain = retry_queue_take_due(lane->retry_queue, now_us, max - lane->run_count, &count);
        if (chain == NULL)
            break;
        switch (turn_of(lane, chain, now_us))
        {
        case TURN_COMMON:
            add_to_run(lane, chain);
            break;
        case TURN_WAIT:
            turn = chain;
            break;
        case TURN_PARK:
            lane->parks[lane->park_count++] = chain;
            *end = chain->next;
            chain->next = NULL;
            while (*end)
                end = &(*end)->next;
            break;
        }
    }
    if (lane->park_count > 0)
        park(lane, followers, now_us);
    if (turn == NULL)
        return;
    /* One turn at a time: between two of them the other keys have a batch, however many wait for theirs. */
    lane_run(lane, lane->run, lane->run_count, TURN_COMMON);
    lane->run_count = 0;
    take_turn(lane, turn, now_us);
}

static void take_new(struct lane *lane)
{
    int max = (int)lane->settings->worker.batch_max - lane->run_count, count = 0;

    mutex_lock(&lane->mutex);
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
        assert((lane->first == NULL) == (lane->waiting == 0));
    }
    mutex_unlock(&lane->mutex);
    for (struct delivery *at = last ? chain : NULL; at; at = at->next)
        at->arrival = ++lane->tickets;
    if (last)
    {
        linger_note_taken(&lane->linger, count, monotonic_us());
        add_to_run(lane, chain);
    }
}

static void run_new(struct lane *lane)
{
    int64_t begun_us = monotonic_us();
    int count = lane->run_count;

    lane_run(lane, lane->run, count, TURN_COMMON);
    linger_note_run(&lane->linger, count, monotonic_us() - begun_us);
}

/* Until enough of them wait, or the time is over. */
static void await_others(struct lane *lane)
{
    int64_t seen_us = lane->seen_us ? atomic_load_explicit(lane->seen_us, memory_order_relaxed) : 0;
    int64_t until_us = linger_until_us(&lane->linger, lane->settings->worker.batch_linger_us, seen_us, monotonic_us());

    mutex_assert_held(&lane->mutex);
    while (lane->first && lane->waiting < LINGER_ENOUGH && monotonic_us() < until_us && !atomic_load(&lane->stopping) &&
           lane->revocations_asked == lane->revocations_handled)
        mutex_wait(&lane->mutex, &lane->work, until_us);
}

/* Waits for something to do. False: the lane is to end. */
static bool await_work(struct lane *lane, uint64_t *ret_sweep)
{
    int64_t due_us = retry_queue_next_due(lane->retry_queue), show_us = lane_show_due(lane);

    lane_assert_owner(lane);
    due_us = show_us < due_us ? show_us : due_us;
    if (retry_queue_keys(lane->retry_queue) > 0 && lane->look_us < due_us)
        due_us = lane->look_us;
    mutex_lock(&lane->mutex);
    while (lane->first == NULL && !atomic_load(&lane->stopping) &&
           lane->revocations_asked == lane->revocations_handled && monotonic_us() < due_us)
        mutex_wait(&lane->mutex, &lane->work, due_us);
    await_others(lane);
    *ret_sweep = lane->revocations_asked != lane->revocations_handled ? lane->revocations_asked : 0;
    bool go_on = !atomic_load(&lane->stopping);
    mutex_unlock(&lane->mutex);
    return go_on;
}

/* --- the thread -------------------------------------------------------------------------------------------------- */

/* The end: every delivery that still waits is dropped; its offset was not committed, so its next owner runs it. */
static void drop_all(struct lane *lane)
{
    int count;

    assert(atomic_load(&lane->stopping));
    while (retry_queue_keys(lane->retry_queue) > 0)
        lane_drop(lane, retry_queue_take_due(lane->retry_queue, INT64_MAX, INT32_MAX, &count));
    mutex_lock(&lane->mutex);
    struct delivery *chain = lane->first;
    lane->first = lane->last = NULL;
    lane->waiting = 0;
    mutex_unlock(&lane->mutex);
    lane_drop(lane, chain);
    mutex_lock(&lane->mutex);
    lane->revocations_handled = lane->revocations_asked;
    pthread_cond_broadcast(&lane->quiet);
    mutex_unlock(&lane->mutex);
}

static void connect_idle(struct lane *lane)
{
    lane_assert_owner(lane);
    for (int attempt = 0; !atomic_load(&lane->stopping) && !pipeline_is_connected(lane->pipeline); attempt++)
    {
        lane_connect(lane, attempt, &lane->interrupted);
        mutex_lock(&lane->mutex);
        uint64_t revocations = lane->revocations_asked;
        mutex_unlock(&lane->mutex);
        drop_revoked(lane, revocations);
    }
}

static void *lane_main(void *owner)
{
    struct lane *lane = owner;
    uint64_t wanted;

    lane->self = pthread_self();
    connect_idle(lane);
    while (await_work(lane, &wanted))
    {
        if (wanted)
            drop_revoked(lane, wanted);
        lane->run_count = 0;
        take_due(lane, monotonic_us());
        take_new(lane);
        run_new(lane);
        lane_show(lane, 0, NULL);
        /* The commands that it was reconnecting for may have been revoked: reconnect now, or the lane stays not ready
         * until the next command. */
        connect_idle(lane);
        (void)lane_retract_notes(lane);
    }
    drop_all(lane);
    lane_show(lane, 0, NULL);
    return NULL;
}

/* --- life -------------------------------------------------------------------------------------------------------- */

static void free_parts(struct lane *lane)
{
    assert(lane->first == NULL); /* a delivery that came after the end would be answered by nobody */
    batch_free(lane->batch);
    statements_free(lane->statements);
    pipeline_free(lane->pipeline);
    lock_free(lane->lock);
    retry_queue_free(lane->retry_queue);
    free(lane->shown);
    free(lane->copied);
    free(lane->run);
    free(lane->parks);
    pthread_cond_destroy(&lane->work);
    pthread_cond_destroy(&lane->quiet);
    mutex_destroy(&lane->mutex);
    free(lane);
}

static void init_conditions(struct lane *lane)
{
    mutex_init(&lane->mutex);
    condition_init(&lane->work);
    condition_init(&lane->quiet);
}

static bool make_parts(struct lane *lane, const struct lanes_options *options)
{
    const struct settings *settings = options->settings;

    lane->pipeline = pipeline_new(settings, lane->name);
    lane->statements = lane->pipeline ? statements_new(lane->pipeline) : NULL;
    lane->retry_queue = retry_queue_new();
    lane->shown = calloc(1, sizeof(*lane->shown));
    lane->copied = calloc(1, sizeof(*lane->copied));
    lane->run = calloc((size_t)settings->worker.batch_max, sizeof(*lane->run));
    lane->parks = calloc((size_t)settings->worker.batch_max, sizeof(*lane->parks));
    bool locks = settings->redis.enabled && settings->protections.redis_lock;
    if (locks)
        lane->lock = lock_new(&(struct lock_options){ .url = settings->redis.url,
                                                      .prefix = settings->redis.prefix,
                                                      .owner = lane->lock_owner,
                                                      .connect_timeout_us = settings->redis.connect_timeout_us,
                                                      .command_timeout_us = settings->redis.command_timeout_us });
    lane->decode = options->decode;
    lane->batch =
        batch_new(&(struct batch_tools){ settings, lane->pipeline, lane->statements, lane->lock, options->decode });
    return lane->pipeline && lane->statements && lane->retry_queue && lane->shown && lane->copied && lane->run &&
           lane->parks && (lane->lock || !locks) && lane->batch;
}

struct lane *lane_new(const struct lanes_options *options, int number)
{
    struct lane *lane = calloc(1, sizeof(*lane));

    if (lane == NULL)
        return NULL;
    lane->settings = options->settings;
    lane->complete = options->complete;
    lane->owner = options->owner;
    lane->seen_us = options->seen_us;
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
    assert(count > 0 && last->next == NULL);
    mutex_lock(&lane->mutex);
    bool wake = lane->first == NULL || (lane->waiting < LINGER_ENOUGH && lane->waiting + count >= LINGER_ENOUGH);
    if (lane->last)
        lane->last->next = first;
    else
        lane->first = first;
    lane->last = last;
    lane->waiting += count;
    if (wake)
        pthread_cond_signal(&lane->work);
    mutex_unlock(&lane->mutex);
}

void lane_revoke(struct lane *lane)
{
    mutex_lock(&lane->mutex);
    lane->revocations_asked++;
    assert(lane->revocations_handled < lane->revocations_asked); /* or lane_await_quiet would not wait for this one */
    atomic_store(&lane->interrupted, true);
    pthread_cond_signal(&lane->work);
    mutex_unlock(&lane->mutex);
}

bool lane_await_quiet(struct lane *lane, int64_t deadline_us)
{
    mutex_lock(&lane->mutex);
    uint64_t wanted = lane->revocations_asked;
    while (lane->revocations_handled < wanted && monotonic_us() < deadline_us)
        mutex_wait(&lane->mutex, &lane->quiet, deadline_us);
    bool quiet = lane->revocations_handled >= wanted;
    mutex_unlock(&lane->mutex);
    return quiet;
}

bool lane_is_ready(struct lane *lane, char *why, size_t why_size)
{
    mutex_lock(&lane->mutex);
    bool ready = lane->state == LANE_READY;
    if (!ready)
        snprintf(why, why_size, "%s: %s", lane->name, lane->why);
    mutex_unlock(&lane->mutex);
    return ready;
}

void lane_held(struct lane *lane, struct held_keys *into)
{
    mutex_lock(&lane->mutex);
    if (lane->shown->keys > 0)
        held_keys_merge(into, lane->shown);
    mutex_unlock(&lane->mutex);
}

void lane_ask_stop(struct lane *lane, int64_t deadline_us)
{
    mutex_lock(&lane->mutex);
    lane->stop_deadline_us = deadline_us;
    atomic_store(&lane->stopping, true);
    atomic_store(&lane->interrupted, true);
    pthread_cond_signal(&lane->work);
    mutex_unlock(&lane->mutex);
}

void lane_free(struct lane *lane)
{
    assert(atomic_load(&lane->stopping)); /* or it never ends */
    pthread_join(lane->thread, NULL);
    free_parts(lane);
}
