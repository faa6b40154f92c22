#include "consumers/publish/publisher.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "consumers/kafka/problem.h"
#include "consumers/partition/commit_mark.h"
#include "consumers/publish/mailbox.h"
#include "consumers/publish/offset_commits.h"
#include "consumers/publish/pacing.h"
#include "consumers/publish/portion.h"
#include "consumers/publish/publication.h"
#include "consumers/takeover/takeover.h"
#include "worker/base/clock.h"
#include "worker/base/log.h"
#include "worker/base/memory.h"
#include "worker/base/metrics.h"
#include "worker/settings/settings.h"
#include "worker/slot.h"

static const int64_t RAISE_AT_END_US = 2000000; /* how long the last raise of an ownership may take */
static const int64_t IDLE_US = 1000000;         /* librdkafka's callbacks are served this often without work */
static const int64_t COMMIT_WAIT_US = 10000;    /* at-least-once: the answer to a commit is looked for this often */
static const int64_t PAUSE_US = 200000;         /* between two attempts at something that is not there */
static const int64_t ANSWER_US = 1000000;       /* of one step towards a producer */
static const int64_t ATTEMPT_US = 10000000;     /* of one publication, at the most */

struct publisher
{
    const struct settings *settings;
    struct publisher_options options;
    pthread_t thread;
    struct handover *handover;
    struct complaint complaint;
    _Atomic(rd_kafka_t *) consumer; /* at-least-once: whose handle commits offsets; writer: the poll thread */

    /* Of the publisher's thread. */
    struct producer *producer;
    struct takeover *takeover;
    struct offset_commits commits; /* at-least-once */
    rd_kafka_consumer_group_metadata_t *group;
    struct tenure **tenures; /* taken over, each with a reference */
    int count, capacity;
    struct tenure **taking; /* asked for, not taken over yet, each with a reference */
    int taking_count;
    int64_t next_round_us;
    int turn; /* whose prefix is gathered first */
    struct publication publication;
    struct gathering gathering;
    struct portion portion;
    bool unclear;    /* the last attempt failed: what it reached is read from Kafka before the next (PROTOCOL K3) */
    int slot_number; /* that the producer was made for */
};

/* --- for other threads ------------------------------------------------------------------------------------------ */

bool publisher_problem(struct publisher *publisher, char *into, size_t size)
{
    return complaint_copy(&publisher->complaint, into, size);
}

void publisher_complete(void *owner, struct delivery *chain)
{
    struct publisher *publisher = owner;
    handover_answer(publisher->handover, chain);
}

void publisher_take_over(struct publisher *publisher, struct tenure *const *tenures, int count,
                         rd_kafka_consumer_group_metadata_t *group)
{
    handover_ask(publisher->handover, tenures, count, group);
}

bool publisher_finish(struct publisher *publisher, int64_t deadline_us)
{
    return handover_finish(publisher->handover, deadline_us);
}

void publisher_set_consumer(struct publisher *publisher, rd_kafka_t *consumer)
{
    atomic_store(&publisher->consumer, consumer);
}

/* --- giving deliveries back ------------------------------------------------------------------------------------- */

static void give_back(struct publisher *publisher, struct delivery *delivery)
{
    struct tenure *tenure = tenure_of(delivery);

    tenure_land_unpublished(tenure, (int64_t)parcel_bytes(delivery));
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
    publisher->options.wake(publisher->options.owner, true);
}

static bool is_publishable(enum answer answer)
{
    return answer == ANSWER_EVENT || answer == ANSWER_NOTHING || answer == ANSWER_DEAD_LETTER;
}

/* What lanes and people are told of how long answers wait. */
static void note_waits(struct publisher *publisher)
{
    for (int i = 0; i < publisher->count; i++)
    {
        struct tenure *tenure = publisher->tenures[i];
        atomic_store_explicit(&tenure->unpublished_us, watermark_since(&tenure->watermark, tenure->settled),
                              memory_order_relaxed);
        atomic_store_explicit(&tenure->blocked_us, watermark_blocked(&tenure->watermark), memory_order_relaxed);
    }
}

/* Everything the lanes answered goes to its watermark, or back when its tenure has ended. */
static void absorb(struct publisher *publisher, struct delivery *chain)
{
    int64_t now_us = monotonic_us();

    if (chain == NULL)
        return;
    gathering_note(&publisher->gathering, chain->received_us, now_us);
    for (struct delivery *delivery = chain, *next; delivery; delivery = next)
    {
        next = delivery->next;
        struct tenure *tenure = tenure_of(delivery);
        /* An event may be many times its command, and waits here for as long as Kafka does not take it. */
        atomic_fetch_add_explicit(&tenure->in_flight_bytes, (int64_t)delivery->event_size, memory_order_relaxed);
        if (tenure->live && is_publishable(delivery->answer) &&
            watermark_mark(&tenure->watermark, delivery->sequence, delivery, now_us))
        {
            publisher->gathering.answered++;
            continue;
        }
        /* Not the owner any more; or the ring cannot grow, which ends a tenure as well: nothing may be left out. */
        if (tenure->live && delivery->answer != ANSWER_DROPPED)
            lose_tenure(publisher, tenure);
        give_back(publisher, delivery);
    }
    note_waits(publisher);
}

/* Waits until something is answered, or somebody wants something (false), or the time is over. */
static bool pause_once(struct publisher *publisher, int64_t pause_us)
{
    bool wanted;
    absorb(publisher, handover_wait(publisher->handover, pause_us, &wanted));
    return !wanted;
}

/* A pause in which answers are still taken in, so that lanes and poll thread get their parcels back. */
static void pause_for(struct publisher *publisher, int64_t pause_us)
{
    int64_t until_us = monotonic_us() + pause_us, left_us = pause_us;

    for (; left_us > 0 && !handover_is_stopping(publisher->handover); left_us = until_us - monotonic_us())
        absorb(publisher, handover_wait(publisher->handover, left_us, NULL));
}

/* --- the producer ----------------------------------------------------------------------------------------------- */

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

    if (publisher->options.slot && !slot_is_held(publisher->options.slot))
        return complaint_make(&publisher->complaint, "publisher", "the slot's PostgreSQL session is lost"), false;
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
        return complaint_make(&publisher->complaint, "publisher", producer_problem(publisher->producer)), false;
    return true;
}

/* --- publishing ------------------------------------------------------------------------------------------------- */

/* Parts whose tenure must not publish any more leave the publication. */
static void drop_given_up(struct publisher *publisher)
{
    struct publication *publication = &publisher->publication;

    for (int i = publication->count - 1; i >= 0; i--)
    {
        struct tenure *tenure = publication->parts[i].tenure;
        if (tenure->live && !tenure_is_given_up(tenure, monotonic_us()))
            continue;
        end_tenure(publisher, tenure);
        tenure_note_dropped(tenure, publication->parts[i].count);
        publication_release(publication, i, publisher->options.parcels);
    }
}

/* The part is published, and its offset committed (at-least-once: about to be). */
static void settle_part(struct publisher *publisher, int index)
{
    const struct part *part = &publisher->publication.parts[index];
    struct tenure *tenure = part->tenure;

    publication_count(part, wall_us());
    tenure->settled = part->last->sequence + 1;
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
    publisher->options.wake(publisher->options.owner, false);
}

/* After an unclear end: parts whose offset Kafka has are done (PROTOCOL K3). False: not known yet. */
static bool settle_reached(struct publisher *publisher)
{
    rd_kafka_topic_partition_list_t *offsets = publication_offsets(&publisher->publication);
    bool known = takeover_read_committed(publisher->takeover, offsets);

    for (int i = publisher->publication.count - 1; known && i >= 0; i--)
    {
        const struct part *part = &publisher->publication.parts[i];
        const rd_kafka_topic_partition_t *found =
            rd_kafka_topic_partition_list_find(offsets, part->tenure->topic, part->tenure->ownership.partition);
        /* A commit that is not ours says nothing: somebody may have moved the group meanwhile (PROTOCOL R1). */
        if (found && found->offset >= part->next_offset && commit_mark_is_ours(part->tenure, commit_mark_of(found)))
            settle_part(publisher, i);
    }
    rd_kafka_topic_partition_list_destroy(offsets);
    if (known)
        publisher->options.wake(publisher->options.owner, false);
    else
        complaint_make(&publisher->complaint, "publisher", takeover_problem(publisher->takeover));
    publisher->unclear = !known;
    return known;
}

static void attempt(struct publisher *publisher)
{
    int64_t half_us = publisher->settings->consumers.transaction_timeout_us / 2, begun_us = monotonic_us();
    int64_t longest_us = half_us < ATTEMPT_US ? half_us : ATTEMPT_US;
    int64_t deadline_us = publication_deadline(&publisher->publication, longest_us);
    int64_t sent = publisher->publication.sends;
    enum producer_result result =
        publication_send(&publisher->publication, publisher->producer, publisher->group, deadline_us);
    int64_t took_us = monotonic_us() - begun_us, muted_us = producer_muted_us(publisher->producer);
    bool shrunk = result == PRODUCER_DONE
                      ? portion_note_done(&publisher->portion, sent, took_us < longest_us / 2, muted_us)
                      : portion_note_failed(&publisher->portion, sent, muted_us);

    metrics_add(METRIC_PUBLISH_TIME, took_us);
    metrics_add(METRIC_PUBLICATION_SHRINKS, shrunk);
    if (result == PRODUCER_DONE)
    {
        complaint_end(&publisher->complaint);
        settle_all(publisher);
        return;
    }
    complaint_make(&publisher->complaint, "publisher", producer_problem(publisher->producer));
    throw_producer_away(publisher);
    /* A plain producer's events may be there or not: they are sent again, readers drop doubles by their id. */
    publisher->unclear = publisher->settings->kafka.exactly_once;
}

/* Ended tenures leave the list. */
static void sweep(struct publisher *publisher)
{
    int64_t now_us = monotonic_us();
    int left = 0;

    for (int i = 0; i < publisher->count; i++)
    {
        struct tenure *tenure = publisher->tenures[i];
        if (tenure->live && !tenure_is_given_up(tenure, now_us))
        {
            publisher->tenures[left++] = tenure;
            continue;
        }
        end_tenure(publisher, tenure);
        tenure_drop(tenure, 1);
    }
    publisher->count = left;
}

/* Until every part is published or given up. */
static void publish(struct publisher *publisher)
{
    for (;;)
    {
        drop_given_up(publisher);
        sweep(publisher); /* this may last: what ended meanwhile must not stay in memory */
        if (publisher->publication.count == 0)
            break;
        bool able = open_producer(publisher) && (!publisher->unclear || settle_reached(publisher));
        int64_t rest_us = able ? producer_muted_us(publisher->producer) : PAUSE_US;
        if (rest_us > 0)
        {
            if (handover_is_stopping(publisher->handover))
                break;
            pause_for(publisher, rest_us < PAUSE_US ? rest_us : PAUSE_US);
            continue;
        }
        publication_trim(&publisher->publication, publisher->portion.bytes);
        if (publisher->publication.count > 0)
            attempt(publisher);
    }
    publisher->unclear = false;
}

/* --- beginnings and ends of tenures ----------------------------------------------------------------------------- */

static void keep_tenure(struct publisher *publisher, struct tenure *tenure)
{
    if (publisher->count == publisher->capacity)
    {
        int capacity = publisher->capacity ? 2 * publisher->capacity : 64;
        publisher->tenures = realloc(publisher->tenures, (size_t)capacity * sizeof(struct tenure *));
        if (publisher->tenures == NULL)
            memory_out("the list of tenures");
        publisher->capacity = capacity;
    }
    publisher->tenures[publisher->count++] = tenure;
    tenure->live = true;
    /* Release: the poll thread and the lanes read the ownership that was written before. */
    atomic_store_explicit(&tenure->state, TENURE_TAKEN, memory_order_release);
}

static void ask_more(struct publisher *publisher, struct tenure *const *asked, int count)
{
    size_t needed = (size_t)(publisher->taking_count + count) * sizeof(struct tenure *);

    publisher->taking = realloc(publisher->taking, needed);
    if (publisher->taking == NULL)
        memory_out("the list of tenures");
    for (int i = 0; i < count; i++)
        publisher->taking[publisher->taking_count++] = asked[i];
    publisher->next_round_us = 0;
}

/* One round at what is asked for. The producer comes first: an unclear transaction of ours must have ended before
 * committed offsets mean anything. What is left is tried again after a pause, while the others go on. */
static void take_over(struct publisher *publisher)
{
    int count = publisher->taking_count = tenure_drop_revoked(publisher->taking, publisher->taking_count);

    if (count == 0 || monotonic_us() < publisher->next_round_us)
        return;
    struct takeover_means means = { publisher->producer, publisher->group };
    bool open = open_producer(publisher);
    int left = open ? takeover_round(publisher->takeover, &means, publisher->taking, count) : count;
    for (int i = left; i < count; i++)
        keep_tenure(publisher, publisher->taking[i]);
    publisher->taking_count = left;
    publisher->next_round_us = open && takeover_is_busy(publisher->takeover) ? 0 : monotonic_us() + PAUSE_US;
    if (left > 0 && open)
        complaint_make(&publisher->complaint, "takeover", takeover_problem(publisher->takeover));
    if (left < count)
        publisher->options.wake(publisher->options.owner, true);
}

static void raise_published(struct publisher *publisher, int64_t wait_us)
{
    struct takeover_means means = { publisher->producer, publisher->group };
    takeover_raise_published(publisher->takeover, &means, publisher->tenures, publisher->count, wait_us);
}

static bool gather(struct publisher *publisher)
{
    if (publisher->count == 0)
        return false;
    publisher->turn = (publisher->turn + 1) % publisher->count;
    return publication_gather(&publisher->publication, publisher->tenures, publisher->count, publisher->turn,
                              publisher->portion.bytes);
}

/* At-least-once: waits until no commit is out and none is due, or the tenures are given up. */
static void commit_last_offsets(struct publisher *publisher)
{
    rd_kafka_t *consumer = atomic_load(&publisher->consumer);

    while (publisher->count > 0 && !tenure_is_given_up(publisher->tenures[0], monotonic_us()) &&
           offset_commits_step(&publisher->commits, consumer, publisher->tenures, publisher->count, 20))
        continue;
    offset_commits_forget(&publisher->commits);
}

static void end_tenures(struct publisher *publisher)
{
    for (int i = 0; i < publisher->count; i++)
    {
        end_tenure(publisher, publisher->tenures[i]);
        tenure_drop(publisher->tenures[i], 1);
    }
    publisher->count = 0;
    if (publisher->group)
        rd_kafka_consumer_group_metadata_destroy(publisher->group);
    publisher->group = NULL;
}

/* The end of an assignment: the prefix goes out, everything else goes back. */
static void finish(struct publisher *publisher, uint64_t wanted)
{
    for (;;)
    {
        absorb(publisher, handover_wait(publisher->handover, 0, NULL));
        sweep(publisher);
        if (!gather(publisher))
            break;
        publish(publisher);
    }
    if (!publisher->settings->kafka.exactly_once)
        commit_last_offsets(publisher);
    raise_published(publisher, RAISE_AT_END_US);
    takeover_give_back(publisher->takeover, publisher->tenures, publisher->count, RAISE_AT_END_US);
    end_tenures(publisher);
    handover_finished(publisher->handover, wanted);
}

/* --- the thread ------------------------------------------------------------------------------------------------- */

/* In order: what was answered belongs to tenures that may be about to end; the end of an assignment comes before the
 * beginning of the next. */
static void serve(struct publisher *publisher, struct handed *handed)
{
    absorb(publisher, handed->chain);
    if (handed->finish)
        finish(publisher, handed->finish_wanted);
    if (handed->group)
    {
        if (publisher->group)
            rd_kafka_consumer_group_metadata_destroy(publisher->group);
        publisher->group = handed->group;
    }
    if (handed->asked_count > 0)
        ask_more(publisher, handed->asked, handed->asked_count);
    free(handed->asked);
    take_over(publisher);
    sweep(publisher);
}

/* Gathers more before a transaction, where that pays. */
static void linger(struct publisher *publisher)
{
    int64_t linger_us = publisher->settings->consumers.publish_linger_us, wait_us;

    do
        wait_us = gathering_due_us(&publisher->gathering, linger_us) - monotonic_us();
    while (wait_us > 0 && pause_once(publisher, wait_us));
}

/* What is never on the path of a command. */
static void keep_house(struct publisher *publisher)
{
    note_waits(publisher);
    if (!publisher->settings->kafka.exactly_once)
        offset_commits_step(&publisher->commits, atomic_load(&publisher->consumer), publisher->tenures,
                            publisher->count, 0);
    raise_published(publisher, 0);
    producer_idle(publisher->producer);
}

static int64_t wait_time(const struct publisher *publisher)
{
    if (publisher->commits.out)
        return COMMIT_WAIT_US;
    if (publisher->taking_count > 0)
        return publisher->next_round_us == 0 ? 0 : PAUSE_US;
    return IDLE_US;
}

static void *publisher_main(void *owner)
{
    struct publisher *publisher = owner;
    bool more = false;

    open_producer(publisher); /* while the group still forms: the first command finds it there */
    for (;;)
    {
        struct handed handed = handover_take(publisher->handover, more ? 0 : wait_time(publisher));
        serve(publisher, &handed);
        if (handed.stopping)
            break;
        if (publisher->gathering.answered > 0)
            linger(publisher);
        more = gather(publisher);
        publisher->gathering.answered = 0;
        if (more)
        {
            publish(publisher);
            if (publisher->settings->kafka.exactly_once)
                gathering_rest(&publisher->gathering, monotonic_us());
        }
        else if (open_producer(publisher) && publisher->taking_count == 0)
            complaint_end(&publisher->complaint);
        keep_house(publisher);
    }
    return NULL;
}

static bool start(struct publisher *publisher)
{
    char name[16];

    if (pthread_create(&publisher->thread, NULL, publisher_main, publisher) != 0)
        return false;
    snprintf(name, sizeof(name), "publish-%d", publisher->options.cell % 1000);
    pthread_setname_np(publisher->thread, name);
    return true;
}

static void free_parts(struct publisher *publisher)
{
    producer_free(publisher->producer);
    takeover_free(publisher->takeover);
    handover_free(publisher->handover);
    complaint_done(&publisher->complaint);
    free(publisher->tenures);
    free(publisher->taking);
    free(publisher);
}

struct publisher *publisher_new(const struct publisher_options *options, const char **reterr)
{
    struct publisher *publisher = calloc(1, sizeof(*publisher));

    *reterr = "out of memory";
    if (publisher == NULL)
        return NULL;
    publisher->settings = options->settings;
    publisher->options = *options;
    publisher->slot_number = -1;
    publisher->portion = PORTION_NEW;
    complaint_init(&publisher->complaint, options->cell);
    publisher->handover = handover_new();
    publisher->producer = producer_new(options->settings);
    publisher->takeover = takeover_new(options->settings);
    if (publisher->handover && publisher->producer && publisher->takeover)
    {
        if (start(publisher))
            return publisher;
        *reterr = "no thread for the publisher";
    }
    free_parts(publisher);
    return NULL;
}

void publisher_free(struct publisher *publisher)
{
    if (publisher == NULL)
        return;
    handover_stop(publisher->handover);
    pthread_join(publisher->thread, NULL);
    for (int i = publisher->publication.count - 1; i >= 0; i--)
        publication_release(&publisher->publication, i, publisher->options.parcels);
    publication_done(&publisher->publication);
    absorb(publisher, handover_wait(publisher->handover, 0, NULL));
    end_tenures(publisher);
    for (int i = 0; i < publisher->taking_count; i++)
        tenure_drop(publisher->taking[i], 1);
    offset_commits_forget(&publisher->commits);
    free_parts(publisher);
}
