#include "consumers/poll/cell_private.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "consumers/kafka/consumer.h"
#include "consumers/kafka/rights_watch.h"
#include "worker/base/clock.h"
#include "worker/base/fault_point.h"
#include "worker/base/log.h"
#include "worker/base/metrics.h"
#include "worker/lane/held_keys.h"
#include "worker/lane/lanes.h"
#include "worker/settings/settings.h"
#include "worker/slot.h"

enum
{
    ROUND_MAX = 1000, /* messages of one round: then the lanes get them, and everything else is looked at */
};

static const int64_t FULL_US = 500000;        /* longer than that full: partitions are paused and polling goes on */
static const int64_t ROOM_US = 20000;         /* one wait for room */
static const int64_t RETRY_US = 500000;       /* between two attempts to begin */
static const int64_t FENCED_US = 2000000;     /* for the publisher to notice that it publishes for nobody any more */
static const int64_t UNASSIGNED_US = 3000000; /* without an assignment for longer: does Kafka answer at all? */
static const int64_t ERROR_US = 10000000;     /* an error of librdkafka that did not come again within this is over */

/* --- talking to other threads ------------------------------------------------------------------------------------ */

/* Called by the publisher and by main. Only a state change (`news`) interrupts a poll. Freed room
 * does not: a thread that is polling has room. */
static void wake(void *owner, bool news)
{
    struct cell *cell = owner;

    mutex_lock(&cell->mutex);
    if (cell->waiting)
        pthread_cond_signal(&cell->cond);
    if (news && cell->queue)
        rd_kafka_queue_yield(cell->queue);
    mutex_unlock(&cell->mutex);
}

static void wait_for_wake(struct cell *cell, int64_t wait_us)
{
    int64_t until_us = monotonic_us() + wait_us;

    assert(cell_is_mine(cell)); /* wake wakes one */
    mutex_lock(&cell->mutex);
    cell->waiting = true;
    mutex_wait(&cell->mutex, &cell->cond, until_us);
    cell->waiting = false;
    mutex_unlock(&cell->mutex);
}

/* The states that may come after each, as bits. */
static const unsigned followers[] = {
    [CELL_NEW] = 1u << CELL_WAITING,
    [CELL_WAITING] =
        1u << CELL_SERVING | 1u << CELL_STOPPED | 1u << CELL_NEW, /* CELL_NEW: there was no thread for it */
    [CELL_SERVING] = 1u << CELL_REPLACING | 1u << CELL_FENCED | 1u << CELL_LEAVING,
    [CELL_REPLACING] = 1u << CELL_FENCED | 1u << CELL_LEAVING,
    [CELL_FENCED] = 1u << CELL_LEAVING,
    [CELL_LEAVING] = 1u << CELL_WAITING,
    [CELL_STOPPED] = 0,
};

void cell_enter(struct cell *cell, enum cell_state next)
{
    assert(followers[cell_state(cell)] & 1u << next);
    /* Release: who sees CELL_STOPPED sees `left`. */
    atomic_store_explicit(&cell->state, (int)next, memory_order_release);
}

/* The consumer has to be replaced, which it may have to be already. */
static void replace_consumer(struct cell *cell)
{
    assert(cell_is_mine(cell));
    if (cell_state(cell) == CELL_SERVING)
        cell_enter(cell, CELL_REPLACING);
}

static void show_life(struct cell *cell, int64_t now_us)
{
    assert(cell_is_mine(cell));
    atomic_store_explicit(&cell->seen_us, now_us, memory_order_relaxed);
}

/* --- the consumer ------------------------------------------------------------------------------------------------ */

static void on_rebalance(rd_kafka_t *consumer, rd_kafka_resp_err_t what, rd_kafka_topic_partition_list_t *partitions,
                         void *owner)
{
    struct cell *cell = owner;

    assignment_on_rebalance(cell->assignment, consumer, what, partitions);
    show_life(cell, monotonic_us());
}

/* Called by polls. The call that an error hits says what it means. */
static void on_error(rd_kafka_t *consumer, int error, const char *reason, void *owner)
{
    struct cell *cell = owner;
    int64_t now_us = monotonic_us();

    (void)consumer;
    log_debug("kafka: %s: %s", rd_kafka_err2name((rd_kafka_resp_err_t)error), reason);
    if (error == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
        reach_doubt(&cell->reach, now_us, now_us);
}

static void use_consumer(struct cell *cell, rd_kafka_t *consumer)
{
    rd_kafka_queue_t *queue = consumer ? rd_kafka_queue_get_consumer(consumer) : NULL;

    assert(cell_is_mine(cell) && (cell->consumer == NULL || consumer == NULL));
    cell->consumer = consumer;
    mutex_lock(&cell->mutex);
    rd_kafka_queue_t *former = cell->queue;
    cell->queue = queue;
    mutex_unlock(&cell->mutex);
    if (former)
        rd_kafka_queue_destroy(former);
    publisher_set_consumer(cell->publisher, consumer);
}

/* The silence of the brokers is shown for as long as it lasts, before anything that waits because of it. */
static void watch_kafka(struct cell *cell, int64_t now_us)
{
    char why[sizeof(cell->problem.text)];

    switch (reach_step(&cell->reach, cell->settings, cell->consumer, now_us, why, sizeof(why)))
    {
    case REACH_SAME:
        return;
    case REACH_SILENT:
        problem_set(&cell->problem, "Kafka", why);
        cell->error_us = now_us;
        return;
    case REACH_BACK:
        problem_clear(&cell->problem);
        log_info("cell %d: Kafka answers again", cell->number);
        return;
    }
}

/* PROTOCOL O7. */
static void watch(struct cell *cell, int64_t now_us)
{
    uint64_t epoch;
    enum extent extent = assignment_extent(cell->assignment, &epoch);

    assert(cell_is_mine(cell) && cell->consumer);
    bool rebuild = watchdog_step(&cell->watchdog, extent, epoch, now_us);
    if (extent == EXTENT_NONE && now_us - cell->watchdog.since_us > UNASSIGNED_US)
        reach_doubt(&cell->reach, cell->watchdog.since_us, now_us);
    watch_kafka(cell, now_us);
    if (!rebuild)
        return;
    replace_consumer(cell);
    cell->away_until_us = now_us + watchdog_rest_us(&cell->watchdog);
}

/* Joins the group, when slot, broker and topics are there. */
static bool open_consumer(struct cell *cell)
{
    struct buffer fault = BUFFER_EMPTY;

    assert(cell->consumer == NULL && cell_state(cell) == CELL_WAITING);
    int64_t now_us = monotonic_us();
    if (cell->opening_since_us == 0)
        cell->opening_since_us = now_us;
    if (now_us < cell->away_until_us)
    {
        problem_set(&cell->problem, "waiting", "the group forgets this member before it joins again");
        return false;
    }
    if (!slot_is_held(cell->slot))
    {
        problem_set(&cell->problem, "waiting for PostgreSQL", "no slot of the consumer group is held yet");
        return false;
    }
    cell->slot_number = slot_number(cell->slot);
    rd_kafka_t *consumer =
        consumer_open(cell->settings, cell->slot_number, cell->number, on_rebalance, on_error, cell, &fault);
    if (consumer == NULL)
    {
        char doing[48] = "waiting";
        long long waited_s = (long long)(monotonic_us() - cell->opening_since_us) / 1000000;
        if (waited_s > 0)
            snprintf(doing, sizeof(doing), "waiting for %lld s", waited_s);
        buffer_add_byte(&fault, '\0');
        problem_set(&cell->problem, doing, fault.at ? fault.at : "out of memory");
        buffer_done(&fault);
        return false;
    }
    use_consumer(cell, consumer);
    assignment_join(cell->assignment);
    watchdog_begin(&cell->watchdog, monotonic_us());
    cell->reach = REACH_NEW;
    cell->opening_since_us = 0;
    problem_clear(&cell->problem);
    return true;
}

static void close_consumer(struct cell *cell, bool publisher_is_done, int64_t deadline_us)
{
    rd_kafka_t *consumer = cell->consumer;

    assert(consumer != NULL && assignment_pressure(cell->assignment).commands == 0); /* all of it was given back */
    consumer_leave(consumer, deadline_us);
    use_consumer(cell, NULL);
    FAULT_POINT(IN_CLOSE);
    /* A publisher that is stuck in a call of this handle must find it there when it comes back. */
    if (!publisher_is_done || !consumer_close(consumer, deadline_us))
        log_warning("cell %d: the consumer did not end in time; it is abandoned", cell->number);
}

/* --- back-pressure ----------------------------------------------------------------------------------------------- */

/* How many messages there is room for. */
static int64_t room(const struct cell *cell, struct pressure pressure)
{
    int64_t commands = cell->settings->consumers.in_flight_commands - pressure.commands;
    return pressure.bytes >= cell->settings->consumers.in_flight_bytes ? 0 : commands;
}

static void count_pressure(struct cell *cell, struct pressure pressure)
{
    metrics_add(METRIC_IN_FLIGHT, pressure.commands - cell->counted.commands);
    metrics_add(METRIC_IN_FLIGHT_BYTES, pressure.bytes - cell->counted.bytes);
    cell->counted = pressure;
}

/* Full for a moment: no poll, because a pause throws away what was fetched ahead. Full for longer: everything is
 * paused, and polls go on, which serve the group. True: there is room to poll, or a poll is due anyway. */
static bool make_room(struct cell *cell, struct pressure pressure, int64_t now_us)
{
    bool full = room(cell, pressure) <= 0;

    assert(cell_is_mine(cell) && cell->consumer);
    if (!full)
        cell->full_since_us = 0;
    else if (cell->full_since_us == 0)
        cell->full_since_us = now_us;
    bool long_full = full && now_us - cell->full_since_us > FULL_US;
    bool drained = pressure.commands <= cell->settings->consumers.in_flight_commands / 2 &&
                   pressure.bytes <= cell->settings->consumers.in_flight_bytes / 2;
    if (long_full || atomic_load_explicit(&cell->quiet, memory_order_relaxed))
        assignment_pause_all(cell->assignment, cell->consumer);
    else if (drained)
        assignment_resume_all(cell->assignment, cell->consumer);
    if (!full || long_full)
        return true;
    wait_for_wake(cell, ROOM_US);
    return false;
}

/* The received messages stay within their bound; but their events may be many times larger, and wait for as long as
 * Kafka does not take them. The deliveries in flight of the largest partition are given up, and read again. */
static void shed(struct cell *cell)
{
    struct owned_partition *owned = assignment_largest(cell->assignment);

    assert(cell_is_mine(cell));
    if (owned == NULL)
        return;
    assignment_end_partition(cell->assignment, cell->consumer, owned, false,
                             "its events and commands need more memory than allowed");
    lanes_revoke(cell->lanes);
}

/* --- the life of the poll thread --------------------------------------------------------------------------------- */

static void serve(struct cell *cell)
{
    assert(cell->consumer);
    while (!cell_is_stopping(cell) && cell_state(cell) == CELL_SERVING)
    {
        int64_t now_us = monotonic_us();
        struct pressure pressure = assignment_pressure(cell->assignment);

        show_life(cell, now_us);
        if (now_us - cell->error_us > ERROR_US)
            problem_clear(&cell->problem);
        count_pressure(cell, pressure);
        if (pressure.bytes <= cell->settings->consumers.in_flight_bytes)
            cell->largest_bytes = 0;
        /* To read a single message again would not make it smaller. */
        if (pressure.bytes - cell->largest_bytes > CELL_BYTES_TIMES * cell->settings->consumers.in_flight_bytes)
            shed(cell);
        assignment_step(cell->assignment, cell->consumer, now_us);
        assignment_balance(cell->assignment, cell->consumer, now_us);
        assignment_measure(cell->assignment, cell->consumer, now_us);
        if (make_room(cell, pressure, now_us))
        {
            int64_t left = room(cell, pressure);
            cell_read_round(cell, left < 1 ? 1 : left < ROUND_MAX ? left : ROUND_MAX);
        }
        /* Another process has our slot's ids now: ours must not be used any more (PROTOCOL O1). */
        if (slot_is_held(cell->slot) && slot_number(cell->slot) != cell->slot_number)
            replace_consumer(cell);
        watch(cell, now_us);
    }
}

/* In flight is finished while nothing new is taken; held commands do not hold up the end when the database is away. */
static void drain(struct cell *cell, int64_t deadline_us)
{
    char why[160];

    assert(cell_state(cell) == CELL_LEAVING); /* nothing new is read meanwhile */
    while (assignment_pressure(cell->assignment).commands > 0 && monotonic_us() < deadline_us &&
           lanes_is_ready(cell->lanes, why, sizeof(why)))
    {
        show_life(cell, monotonic_us());
        wait_for_wake(cell, ROOM_US);
        deadline_us = cell_is_stopping(cell) ? atomic_load(&cell->stop_deadline_us) : deadline_us;
    }
}

static void leave(struct cell *cell)
{
    int64_t deadline_us = monotonic_us() + cell->settings->consumers.drain_timeout_us, left;
    bool fenced = cell_state(cell) == CELL_FENCED;
    struct held_keys held;

    assert(cell_is_mine(cell) && cell->consumer);
    cell_enter(cell, CELL_LEAVING);
    if (cell_is_stopping(cell))
        deadline_us = atomic_load(&cell->stop_deadline_us);
    if (fenced && monotonic_us() + FENCED_US < deadline_us)
        deadline_us = monotonic_us() + FENCED_US;
    if (!fenced)
        drain(cell, deadline_us);
    held_keys_clear(&held);
    lanes_held(cell->lanes, &held);
    bool done = assignment_leave(cell->assignment, cell->consumer, deadline_us, fenced, &left);
    if (left > 0)
        held_keys_log(cell->number, &held);
    atomic_store_explicit(&cell->left, left, memory_order_relaxed);
    count_pressure(cell, (struct pressure){ 0, 0 });
    close_consumer(cell, done, deadline_us);
}

static void *cell_main(void *owner)
{
    struct cell *cell = owner;

    cell->me = pthread_self();
    while (!cell_is_stopping(cell))
    {
        show_life(cell, monotonic_us());
        if (!open_consumer(cell))
        {
            wait_for_wake(cell, RETRY_US);
            continue;
        }
        cell_enter(cell, CELL_SERVING);
        log_info("cell %d: slot %d: joining group %s", cell->number, cell->slot_number, cell->settings->kafka.group);
        serve(cell);
        leave(cell);
        cell_enter(cell, CELL_WAITING);
    }
    assert(cell->consumer == NULL);
    cell_enter(cell, CELL_STOPPED);
    return NULL;
}

/* --- for main ---------------------------------------------------------------------------------------------------- */

static void name_lock_owner(struct cell *cell)
{
    uint64_t nonce = 0;

    /* Two starts of one slot must not take each other's locks for their own (PROTOCOL L2). */
    if (getrandom(&nonce, sizeof(nonce), 0) != sizeof(nonce))
        nonce = (uint64_t)monotonic_us();
    int size = snprintf(cell->lock_owner, sizeof(cell->lock_owner), "%s/%d/%016llx/%d", cell->settings->kafka.group,
                        slot_number(cell->slot), (unsigned long long)nonce, cell->number);
    assert(size > 0 && (size_t)size < sizeof(cell->lock_owner)); /* cut short, two cells would be one owner */
}

static bool make_parts(struct cell *cell, const char **reterr)
{
    *reterr = "out of memory";
    cell->delivery_pool = delivery_pool_new();
    if (cell->delivery_pool == NULL)
        return false;
    struct publisher_options publishing = { .settings = cell->settings,
                                            .cell = cell->number,
                                            .slot = cell->slot,
                                            .delivery_pool = cell->delivery_pool,
                                            .wake = wake,
                                            .owner = cell };
    cell->publisher = publisher_new(&publishing, reterr);
    if (cell->publisher == NULL)
        return false;
    struct lanes_options pooling = { .settings = cell->settings,
                                     .cell = cell->number,
                                     .lock_owner = cell->lock_owner,
                                     .decode = delivery_decode,
                                     .complete = publisher_complete,
                                     .owner = cell->publisher,
                                     .seen_us = publisher_next_us(cell->publisher) };
    cell->lanes = lanes_new(&pooling, reterr);
    if (cell->lanes == NULL)
        return false;
    cell->assignment = assignment_new(cell->settings, cell->number, cell->lanes, cell->publisher);
    return cell->assignment != NULL;
}

struct cell *cell_new(const struct settings *settings, int number, struct slot *slot, const char **reterr)
{
    struct cell *cell = calloc(1, sizeof(*cell));

    *reterr = "out of memory";
    if (cell == NULL)
        return NULL;
    cell->settings = settings;
    cell->number = number;
    cell->slot = slot;
    problem_init(&cell->problem, number);
    watchdog_init(&cell->watchdog, settings, number);
    mutex_init(&cell->mutex);
    condition_init(&cell->cond);
    atomic_store(&cell->seen_us, monotonic_us());
    name_lock_owner(cell);
    if (make_parts(cell, reterr))
        return cell;
    cell_free(cell);
    return NULL;
}

void cell_use_board(struct cell *cell, struct pause_board *board)
{
    assignment_use_board(cell->assignment, board);
}

bool cell_start(struct cell *cell, const char **reterr)
{
    char name[16];

    cell_enter(cell, CELL_WAITING); /* before there is a thread that changes it */
    if (pthread_create(&cell->thread, NULL, cell_main, cell) != 0)
    {
        cell_enter(cell, CELL_NEW);
        *reterr = "no thread for the poll loop";
        return false;
    }
    snprintf(name, sizeof(name), "poll-%d", cell->number % 1000);
    pthread_setname_np(cell->thread, name);
    return true;
}

void cell_quiet(struct cell *cell)
{
    atomic_store_explicit(&cell->quiet, true, memory_order_relaxed);
    wake(cell, true);
}

void cell_stop(struct cell *cell, int64_t deadline_us)
{
    atomic_store(&cell->stop_deadline_us, deadline_us);
    atomic_store_explicit(&cell->stopping, true, memory_order_release);
    wake(cell, true);
}

bool cell_is_stopped(const struct cell *cell)
{
    enum cell_state state = cell_state(cell);
    return state == CELL_NEW || state == CELL_STOPPED;
}

void cell_free(struct cell *cell)
{
    if (cell == NULL)
        return;
    assert(cell_is_stopping(cell) || cell_state(cell) == CELL_NEW); /* else the join waits for ever */
    if (cell_state(cell) != CELL_NEW)
        pthread_join(cell->thread, NULL);
    if (cell->lanes)
        lanes_free(cell->lanes, atomic_load(&cell->stop_deadline_us));
    publisher_free(cell->publisher);
    assignment_free(cell->assignment);
    delivery_pool_free(cell->delivery_pool);
    problem_done(&cell->problem);
    watchdog_done(&cell->watchdog);
    pthread_cond_destroy(&cell->cond);
    mutex_destroy(&cell->mutex);
    free(cell);
}
