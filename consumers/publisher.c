#include "consumers/publisher.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "consumers/audit_scan.h"
#include "consumers/committed.h"
#include "consumers/ownership.h"
#include "consumers/publication.h"
#include "worker/log.h"
#include "worker/metrics.h"
#include "worker/monotonic.h"
#include "worker/settings.h"
#include "worker/slot.h"

static const int64_t RAISE_EVERY_US = 200000;   /* `published` in PostgreSQL lags by this at the most; off the hot path */
static const int64_t RAISE_AT_END_US = 2000000; /* how long the last raise of an ownership may take */
static const int64_t IDLE_US = 1000000;         /* librdkafka's callbacks are served this often without work */
static const int64_t PAUSE_US = 200000;         /* between two attempts at something that is not there */
static const int64_t ANSWER_US = 1000000;       /* of one call that waits for Kafka */
static const int64_t ATTEMPT_US = 10000000;     /* of one publication, at the most */
static const int64_t LOG_EVERY_US = 30000000;

struct publisher
{
    const struct settings *settings;
    struct publisher_options options;
    pthread_t thread;

    pthread_mutex_t mutex; /* guards what follows, up to the next heading */
    pthread_cond_t cond;   /* something was handed over, or a finish is done */
    bool waiting;          /* the thread sleeps on cond */
    bool stopping;
    struct delivery *first, *last; /* answered by lanes */
    struct tenure **asked;
    int asked_count, asked_capacity;
    rd_kafka_consumer_group_metadata_t *asked_group;
    uint64_t finish_wanted, finish_done;
    rd_kafka_t *asked_consumer;
    char problem[320];

    /* Of the publisher's thread. */
    struct producer *producer;
    struct committed *committed;
    struct ownership_books *books;
    rd_kafka_consumer_group_metadata_t *group;
    rd_kafka_t *consumer;
    struct tenure **tenures; /* taken over, each with a reference */
    int count, capacity;
    int turn; /* whose prefix is gathered first */
    struct publication publication;
    bool unclear; /* the last attempt failed: what it reached is read from Kafka before the next (PROTOCOL K3) */
    int slot_number; /* that the producer was made for */
    int64_t next_raise_us;
    struct log_rate problem_rate;

    /* At-least-once: one commit of offsets is out at a time. */
    rd_kafka_queue_t *commit_queue;
    bool commit_out, commit_failed;
    rd_kafka_topic_partition_list_t *commit_offsets; /* what is out */
};

/* --- talking to the outside ------------------------------------------------------------------------------------- */

static void set_problem(struct publisher *publisher, const char *what)
{
    pthread_mutex_lock(&publisher->mutex);
    snprintf(publisher->problem, sizeof(publisher->problem), "%s", what);
    pthread_mutex_unlock(&publisher->mutex);
}

/* Something is waited for: kept for /readyz, and logged now and every 30 s. */
static void complain(struct publisher *publisher, const char *doing, const char *what)
{
    char text[400];

    snprintf(text, sizeof(text), "%s: %s", doing, what);
    set_problem(publisher, text);
    if (log_allowed(&publisher->problem_rate, LOG_EVERY_US))
        log_warning("cell %d: %s; trying again", publisher->options.cell, text);
}

static void clear_problem(struct publisher *publisher)
{
    if (publisher->problem[0] == '\0')
        return; /* only this thread writes it */
    set_problem(publisher, "");
    publisher->problem_rate = (struct log_rate){ 0 };
}

void publisher_problem(struct publisher *publisher, char *into, size_t size)
{
    pthread_mutex_lock(&publisher->mutex);
    snprintf(into, size, "%s", publisher->problem);
    pthread_mutex_unlock(&publisher->mutex);
}

void publisher_complete(void *owner, struct delivery *chain)
{
    struct publisher *publisher = owner;
    struct delivery *last = chain;

    if (chain == NULL)
        return;
    while (last->next)
        last = last->next;
    pthread_mutex_lock(&publisher->mutex);
    if (publisher->last)
        publisher->last->next = chain;
    else
        publisher->first = chain;
    publisher->last = last;
    if (publisher->waiting)
        pthread_cond_broadcast(&publisher->cond);
    pthread_mutex_unlock(&publisher->mutex);
}

void publisher_take_over(struct publisher *publisher, struct tenure *const *tenures, int count,
                         rd_kafka_consumer_group_metadata_t *group)
{
    pthread_mutex_lock(&publisher->mutex);
    int needed = publisher->asked_count + count;
    if (needed > publisher->asked_capacity)
    {
        struct tenure **asked = realloc(publisher->asked, (size_t)needed * sizeof(struct tenure *));
        if (asked == NULL)
            abort(); /* a few pointers: a process that cannot have them cannot go on */
        publisher->asked = asked;
        publisher->asked_capacity = needed;
    }
    for (int i = 0; i < count; i++)
        publisher->asked[publisher->asked_count++] = tenure_hold(tenures[i], 1);
    if (group)
    {
        if (publisher->asked_group)
            rd_kafka_consumer_group_metadata_destroy(publisher->asked_group);
        publisher->asked_group = group;
    }
    pthread_cond_broadcast(&publisher->cond);
    pthread_mutex_unlock(&publisher->mutex);
}

bool publisher_finish(struct publisher *publisher, int64_t deadline_us)
{
    struct timespec until = monotonic_timespec(deadline_us);

    pthread_mutex_lock(&publisher->mutex);
    uint64_t mine = ++publisher->finish_wanted;
    pthread_cond_broadcast(&publisher->cond);
    while (publisher->finish_done < mine)
        if (pthread_cond_timedwait(&publisher->cond, &publisher->mutex, &until) != 0)
            break;
    bool done = publisher->finish_done >= mine;
    pthread_mutex_unlock(&publisher->mutex);
    return done;
}

void publisher_set_consumer(struct publisher *publisher, rd_kafka_t *consumer)
{
    pthread_mutex_lock(&publisher->mutex);
    publisher->asked_consumer = consumer;
    pthread_mutex_unlock(&publisher->mutex);
}

/* --- giving deliveries back ------------------------------------------------------------------------------------- */

static void give_back(struct publisher *publisher, struct delivery *delivery)
{
    struct tenure *tenure = tenure_of(delivery);

    atomic_fetch_sub_explicit(&tenure->in_flight, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&tenure->in_flight_bytes, (int64_t)parcel_size(delivery), memory_order_relaxed);
    delivery->next = NULL;
    parcels_give_back(publisher->options.parcels, delivery);
    tenure_drop(tenure, 1);
}

/* The tenure publishes nothing any more; what was answered of it goes back. */
static void end_tenure(struct publisher *publisher, struct tenure *tenure)
{
    struct delivery *delivery;

    tenure->live = false;
    while ((delivery = watermark_drop(&tenure->watermark)))
        give_back(publisher, delivery);
}

static void lose_tenure(struct publisher *publisher, struct tenure *tenure)
{
    end_tenure(publisher, tenure);
    /* Release: the poll thread reads the state and asks anew (PROTOCOL O4). */
    atomic_store_explicit(&tenure->state, TENURE_LOST, memory_order_release);
    publisher->options.wake(publisher->options.owner);
}

static bool is_publishable(enum answer answer)
{
    return answer == ANSWER_EVENT || answer == ANSWER_NOTHING || answer == ANSWER_DEAD_LETTER;
}

/* Everything the lanes answered goes to its watermark, or back when its tenure has ended. */
static void absorb(struct publisher *publisher, struct delivery *chain)
{
    for (struct delivery *delivery = chain, *next; delivery; delivery = next)
    {
        next = delivery->next;
        struct tenure *tenure = tenure_of(delivery);
        if (tenure->live && is_publishable(delivery->answer) &&
            watermark_mark(&tenure->watermark, delivery->sequence, delivery))
            continue;
        /* Not the owner any more; or the ring cannot grow, which ends a tenure as well: nothing may be left out. */
        if (tenure->live && delivery->answer != ANSWER_DROPPED)
            lose_tenure(publisher, tenure);
        give_back(publisher, delivery);
    }
}

static struct delivery *take_answered_locked(struct publisher *publisher)
{
    struct delivery *chain = publisher->first;
    publisher->first = publisher->last = NULL;
    return chain;
}

static void absorb_answered(struct publisher *publisher)
{
    pthread_mutex_lock(&publisher->mutex);
    struct delivery *chain = take_answered_locked(publisher);
    pthread_mutex_unlock(&publisher->mutex);
    absorb(publisher, chain);
}

/* A pause in which answers are still taken in, so that lanes and poll thread get their parcels back. */
static void pause_for(struct publisher *publisher, int64_t pause_us)
{
    struct timespec until = monotonic_timespec(monotonic_us() + pause_us);

    pthread_mutex_lock(&publisher->mutex);
    publisher->waiting = true;
    if (publisher->first == NULL && !publisher->stopping)
        pthread_cond_timedwait(&publisher->cond, &publisher->mutex, &until);
    publisher->waiting = false;
    struct delivery *chain = take_answered_locked(publisher);
    pthread_mutex_unlock(&publisher->mutex);
    absorb(publisher, chain);
}

static bool is_stopping(struct publisher *publisher)
{
    pthread_mutex_lock(&publisher->mutex);
    bool stopping = publisher->stopping;
    pthread_mutex_unlock(&publisher->mutex);
    return stopping;
}

/* --- the producer ----------------------------------------------------------------------------------------------- */

static bool slot_is_ours(const struct publisher *publisher)
{
    return publisher->options.slot == NULL || slot_is_held(publisher->options.slot);
}

static int present_slot(const struct publisher *publisher)
{
    return publisher->options.slot ? slot_number(publisher->options.slot) : 0;
}

static void throw_producer_away(struct publisher *publisher)
{
    producer_close(publisher->producer);
    metrics_add(METRIC_PRODUCER_REBUILDS, 1);
}

/* One step towards a producer that may begin a transaction (PROTOCOL O1: only while the slot is held). */
static bool open_producer(struct publisher *publisher)
{
    const struct settings *settings = publisher->settings;
    char id[300];

    if (!slot_is_ours(publisher))
        return complain(publisher, "publisher", "the slot's PostgreSQL session is lost"), false;
    if (publisher->slot_number != present_slot(publisher) && publisher->slot_number >= 0)
        throw_producer_away(publisher);
    publisher->slot_number = present_slot(publisher);
    if (producer_is_open(publisher->producer) && producer_is_suspect(publisher->producer))
    {
        log_info("cell %d: a request of the producer did not come back: it is replaced", publisher->options.cell);
        throw_producer_away(publisher);
    }
    if (producer_is_open(publisher->producer))
        return true;
    snprintf(id, sizeof(id), "interlock.%s.%d.%d", settings->kafka.group, publisher->slot_number,
             publisher->options.cell);
    enum producer_result result =
        producer_open(publisher->producer, settings->kafka.exactly_once ? id : NULL, ANSWER_US);
    if (result == PRODUCER_BROKEN)
        throw_producer_away(publisher);
    if (result != PRODUCER_DONE)
        return complain(publisher, "Kafka producer", producer_problem(publisher->producer)), false;
    return true;
}

/* --- publishing ------------------------------------------------------------------------------------------------- */

/* Parts whose tenure must not publish any more leave the publication. */
static void drop_given_up(struct publisher *publisher)
{
    struct publication *publication = &publisher->publication;
    int64_t now_us = monotonic_us();

    for (int i = publication->count - 1; i >= 0; i--)
    {
        struct tenure *tenure = publication->parts[i].tenure;
        if (tenure->live && !tenure_is_given_up(tenure, now_us))
            continue;
        end_tenure(publisher, tenure);
        publication_release(publication, i, publisher->options.parcels);
    }
}

static void count_published(const struct part *part, int64_t now_us)
{
    metrics_add(METRIC_EVENTS, part->events);
    for (const struct delivery *delivery = part->first; delivery; delivery = delivery->next)
        if (delivery->answer == ANSWER_EVENT && delivery->timestamp_us > 0)
            metrics_observe_latency(now_us - delivery->timestamp_us);
}

/* The part is published, and its offset committed (at-least-once: about to be). */
static void settle_part(struct publisher *publisher, int index)
{
    const struct part *part = &publisher->publication.parts[index];
    struct tenure *tenure = part->tenure;

    count_published(part, wall_us());
    atomic_store_explicit(&tenure->moved_us, monotonic_us(), memory_order_relaxed);
    atomic_store_explicit(&tenure->committed, part->next_offset, memory_order_relaxed);
    if (publisher->settings->kafka.exactly_once)
        tenure->published_reached = part->next_offset;
    publication_release(&publisher->publication, index, publisher->options.parcels);
}

static void settle_all(struct publisher *publisher)
{
    while (publisher->publication.count > 0)
        settle_part(publisher, publisher->publication.count - 1);
    metrics_add(METRIC_PUBLICATIONS, 1);
    publisher->options.wake(publisher->options.owner);
}

/* After an unclear end: parts whose offset Kafka has are done (PROTOCOL K3). False: not known yet. */
static bool settle_reached(struct publisher *publisher)
{
    rd_kafka_topic_partition_list_t *offsets = publication_offsets(&publisher->publication);
    bool known = committed_read(publisher->committed, offsets, ANSWER_US);

    for (int i = publisher->publication.count - 1; known && i >= 0; i--)
    {
        const struct part *part = &publisher->publication.parts[i];
        const rd_kafka_topic_partition_t *found = rd_kafka_topic_partition_list_find(
            offsets, part->tenure->topic, part->tenure->ownership.partition);
        if (found && found->offset >= part->next_offset)
            settle_part(publisher, i);
    }
    rd_kafka_topic_partition_list_destroy(offsets);
    if (!known)
        complain(publisher, "publisher", committed_problem(publisher->committed));
    publisher->unclear = !known;
    return known;
}

static int64_t attempt_deadline(const struct publisher *publisher)
{
    int64_t half_us = publisher->settings->consumers.transaction_timeout_us / 2;
    int64_t deadline_us = monotonic_us() + (half_us < ATTEMPT_US ? half_us : ATTEMPT_US);

    for (int i = 0; i < publisher->publication.count; i++)
    {
        int64_t give_up_us = publisher->publication.parts[i].tenure->give_up_us;
        deadline_us = give_up_us < deadline_us ? give_up_us : deadline_us;
    }
    return deadline_us;
}

static void attempt(struct publisher *publisher)
{
    int64_t begun_us = monotonic_us();
    enum producer_result result = publication_send(&publisher->publication, publisher->producer, publisher->group,
                                                   attempt_deadline(publisher));

    metrics_add(METRIC_PUBLISH_TIME, monotonic_us() - begun_us);
    if (result == PRODUCER_DONE)
    {
        clear_problem(publisher);
        settle_all(publisher);
        return;
    }
    complain(publisher, "publisher", producer_problem(publisher->producer));
    throw_producer_away(publisher);
    /* A plain producer's events may be there or not: they are sent again, readers drop doubles by their id. */
    publisher->unclear = publisher->settings->kafka.exactly_once;
}

/* Until every part is published or given up. */
static void publish(struct publisher *publisher)
{
    for (;;)
    {
        drop_given_up(publisher);
        if (publisher->publication.count == 0)
            break;
        if (!open_producer(publisher) || (publisher->unclear && !settle_reached(publisher)))
        {
            if (is_stopping(publisher))
                break;
            pause_for(publisher, PAUSE_US);
        }
        else if (publisher->publication.count > 0)
            attempt(publisher);
    }
    publisher->unclear = false;
}

/* --- at-least-once: committing offsets -------------------------------------------------------------------------- */

static void on_committed(rd_kafka_t *consumer, rd_kafka_resp_err_t error, rd_kafka_topic_partition_list_t *offsets,
                         void *owner)
{
    struct publisher *publisher = owner;
    (void)consumer, (void)offsets;

    publisher->commit_out = false;
    publisher->commit_failed = error != RD_KAFKA_RESP_ERR_NO_ERROR;
    for (int i = 0; !publisher->commit_failed && i < publisher->count; i++)
    {
        struct tenure *tenure = publisher->tenures[i];
        const rd_kafka_topic_partition_t *found = rd_kafka_topic_partition_list_find(
            publisher->commit_offsets, tenure->topic, tenure->ownership.partition);
        if (found && found->offset > tenure->published_reached)
            tenure->published_reached = found->offset;
    }
    rd_kafka_topic_partition_list_destroy(publisher->commit_offsets);
    publisher->commit_offsets = NULL;
}

/* Offsets that are published and not committed yet. The consumer is the poll thread's, but rd_kafka_commit_queue only
 * enqueues an operation for librdkafka's own thread, which is what makes it safe from any thread; the answer comes to a
 * queue of ours. A commit that reaches the broker after a revoke sets the offset to one whose prefix is published: at
 * the worst messages are read again. */
static void commit_offsets(struct publisher *publisher)
{
    pthread_mutex_lock(&publisher->mutex);
    publisher->consumer = publisher->asked_consumer;
    pthread_mutex_unlock(&publisher->mutex);
    if (publisher->commit_queue)
        rd_kafka_queue_poll_callback(publisher->commit_queue, 0);
    if (publisher->commit_out || publisher->consumer == NULL)
        return;
    rd_kafka_topic_partition_list_t *offsets = rd_kafka_topic_partition_list_new(publisher->count);
    for (int i = 0; i < publisher->count; i++)
    {
        struct tenure *tenure = publisher->tenures[i];
        int64_t committed = atomic_load_explicit(&tenure->committed, memory_order_relaxed);
        if (tenure->live && committed > tenure->published_reached)
            rd_kafka_topic_partition_list_add(offsets, tenure->topic, tenure->ownership.partition)->offset = committed;
    }
    if (offsets->cnt > 0 && publisher->commit_queue == NULL)
        publisher->commit_queue = rd_kafka_queue_new(publisher->consumer);
    if (offsets->cnt > 0 && rd_kafka_commit_queue(publisher->consumer, offsets, publisher->commit_queue, on_committed,
                                                  publisher) == RD_KAFKA_RESP_ERR_NO_ERROR)
    {
        publisher->commit_out = true;
        publisher->commit_offsets = offsets;
        return;
    }
    rd_kafka_topic_partition_list_destroy(offsets);
}

/* The last commit of an assignment: waits until nothing is out and nothing is left, or the tenures are given up. */
static void commit_last(struct publisher *publisher)
{
    for (;;)
    {
        commit_offsets(publisher);
        if (!publisher->commit_out)
            break;
        int64_t now_us = monotonic_us();
        bool given_up = publisher->count == 0 || tenure_is_given_up(publisher->tenures[0], now_us);
        if (given_up)
            break;
        rd_kafka_queue_poll_callback(publisher->commit_queue, 50);
    }
}

static void forget_consumer(struct publisher *publisher)
{
    if (publisher->commit_queue)
        rd_kafka_queue_destroy(publisher->commit_queue);
    publisher->commit_queue = NULL;
    publisher->consumer = NULL;
}
