#include "consumers/publish/publisher.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "consumers/kafka/problem.h"
#include "consumers/publish/mailbox.h"
#include "consumers/publish/offset_commits.h"
#include "consumers/publish/owned_list.h"
#include "consumers/publish/pacing.h"
#include "consumers/publish/portion.h"
#include "consumers/publish/publication.h"
#include "consumers/takeover/takeover.h"
#include "worker/base/clock.h"
#include "worker/base/log.h"
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
    struct mailbox *mailbox;
    struct problem problem;
    _Atomic(rd_kafka_t *) consumer; /* at-least-once: whose handle commits offsets; writer: the poll thread */
    atomic_int_fast64_t next_us;    /* exactly once: no publication begins before; readers: lanes */

    /* Of the publisher's thread. */
    pthread_t me; /* and, once that has ended, of the thread that frees it */
    struct producer *producer;
    struct takeover *takeover;
    struct offset_commits commits; /* at-least-once */
    rd_kafka_consumer_group_metadata_t *group;
    struct owned_list list;
    int64_t next_round_us;
    int turn; /* whose prefix is gathered first */
    struct publication publication;
    struct pacing pacing;
    struct portion portion;
    bool unclear;    /* the last attempt failed: what it reached is read from Kafka before the next (PROTOCOL K3) */
    int slot_number; /* that the producer was made for */
};

/* --- for other threads ------------------------------------------------------------------------------------------- */

bool publisher_problem(struct publisher *publisher, char *into, size_t size)
{
    return problem_copy(&publisher->problem, into, size);
}

void publisher_complete(void *owner, struct delivery *chain)
{
    struct publisher *publisher = owner;
    mailbox_answer(publisher->mailbox, chain);
}

void publisher_take_over(struct publisher *publisher, struct owned_partition *const *owned_partitions, int count,
                         rd_kafka_consumer_group_metadata_t *group)
{
    mailbox_ask(publisher->mailbox, owned_partitions, count, group);
}

bool publisher_finish(struct publisher *publisher, int64_t deadline_us)
{
    return mailbox_finish(publisher->mailbox, deadline_us);
}

const atomic_int_fast64_t *publisher_next_us(const struct publisher *publisher)
{
    return &publisher->next_us;
}

void publisher_set_consumer(struct publisher *publisher, rd_kafka_t *consumer)
{
    atomic_store(&publisher->consumer, consumer);
}

/* --- asserted ---------------------------------------------------------------------------------------------------- */

static bool is_mine(const struct publisher *publisher)
{
    return pthread_equal(publisher->me, pthread_self());
}

/* --- answers ----------------------------------------------------------------------------------------------------- */

/* Everything the lanes answered goes to its watermark, or back when its owned partition has ended. */
static void absorb(struct publisher *publisher, struct delivery *chain)
{
    int64_t now_us = monotonic_us();

    assert(is_mine(publisher));
    if (chain == NULL)
        return;
    pacing_note(&publisher->pacing, chain->received_us, now_us);
    for (struct delivery *delivery = chain, *next; delivery; delivery = next)
    {
        next = delivery->next;
        enum answered answered = owned_list_answer(&publisher->list, delivery, now_us);
        publisher->pacing.answered += answered == ANSWERED_KEPT;
        if (answered == ANSWERED_LOST)
            publisher->options.wake(publisher->options.owner, true); /* the poll thread asks again (PROTOCOL O4) */
    }
    owned_list_note_waits(&publisher->list);
}

/* Waits until something is answered, or somebody wants something (false), or the time is over. */
static bool pause_once(struct publisher *publisher, int64_t pause_us)
{
    bool wanted;
    absorb(publisher, mailbox_wait(publisher->mailbox, pause_us, &wanted));
    return !wanted;
}

/* A pause in which answers are still taken in, so that lanes and poll thread get their room back. */
static void pause_for(struct publisher *publisher, int64_t pause_us)
{
    int64_t until_us = monotonic_us() + pause_us, left_us = pause_us;

    for (; left_us > 0 && !mailbox_is_stopping(publisher->mailbox); left_us = until_us - monotonic_us())
        absorb(publisher, mailbox_wait(publisher->mailbox, left_us, NULL));
}

/* --- the producer ------------------------------------------------------------------------------------------------ */

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

    assert(is_mine(publisher));
    if (publisher->options.slot && !slot_is_held(publisher->options.slot))
    {
        problem_set(&publisher->problem, "publisher", "the slot's PostgreSQL session is lost");
        return false;
    }
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
    {
        problem_set(&publisher->problem, "publisher", producer_problem(publisher->producer));
        return false;
    }
    return true;
}

static void raise_published(struct publisher *publisher, int64_t wait_us)
{
    struct takeover_means means = { publisher->producer, publisher->group };
    takeover_raise_published(publisher->takeover, &means, publisher->list.owned, publisher->list.count, wait_us);
}

/* Before partitions whose time is over leave: a broker that crashed may know less of them than it acknowledged, and the
 * next owner compares its answer with `published`. */
static void raise_for_ended(struct publisher *publisher)
{
    if (owned_list_has_unknown(&publisher->list, monotonic_us()))
        raise_published(publisher, RAISE_AT_END_US);
}

/* Those whose time is over leave the list, except those whose time ended during the raise. */
static void drop_ended(struct publisher *publisher)
{
    int64_t now_us = monotonic_us();

    raise_for_ended(publisher);
    owned_list_drop_ended(&publisher->list, now_us);
}

/* --- publishing -------------------------------------------------------------------------------------------------- */

static void drop_part(struct publisher *publisher, int index)
{
    const struct part *part = &publisher->publication.parts[index];

    owned_note_dropped(part->owned, part->count);
    publication_release(&publisher->publication, index, publisher->options.delivery_pool);
}

/* Parts whose owned partition must not publish any more leave the publication. */
static void drop_given_up(struct publisher *publisher)
{
    struct publication *publication = &publisher->publication;
    bool raised = false; /* once for all: PostgreSQL may be away, and each raise waits for it */

    for (int i = publication->count - 1; i >= 0; i--)
    {
        struct owned_partition *owned = publication->parts[i].owned;
        if (owned_is_live(owned) && !owned_is_given_up(owned, monotonic_us()))
            continue;
        if (!raised)
            raise_for_ended(publisher);
        raised = true;
        owned_list_end(&publisher->list, owned);
        drop_part(publisher, i);
    }
}

/* The part is published, and its offset committed (at-least-once: about to be). */
static void settle_part(struct publisher *publisher, int index)
{
    const struct part *part = &publisher->publication.parts[index];
    struct owned_partition *owned = part->owned;

    /* The prefix goes on where it ended, and has no gap: nothing is published twice or left out (PROTOCOL K1). */
    assert(part->first->sequence == owned->publisher.settled);
    assert(part->last->sequence + 1 == owned->publisher.settled + (uint64_t)part->count);
    publication_count(part, wall_us());
    owned->publisher.settled = part->last->sequence + 1;
    atomic_store_explicit(&owned->shared.moved_us, monotonic_us(), memory_order_relaxed);
    atomic_store_explicit(&owned->shared.committed, part->next_offset, memory_order_relaxed);
    if (publisher->settings->kafka.exactly_once)
        owned->publisher.published_reached = part->next_offset;
    publication_release(&publisher->publication, index, publisher->options.delivery_pool);
}

static void settle_all(struct publisher *publisher)
{
    while (publisher->publication.count > 0)
        settle_part(publisher, publisher->publication.count - 1);
    metrics_add(METRIC_PUBLICATIONS, 1);
    publisher->options.wake(publisher->options.owner, false);
}

/* After an unclear end: parts whose offset Kafka has are done (PROTOCOL K3). Where it has less than it acknowledged
 * before, it says nothing about the last attempt either: the takeover looks at the audit topic. False: not known yet.
 */
static bool settle_reached(struct publisher *publisher)
{
    rd_kafka_topic_partition_list_t *offsets = publication_offsets(&publisher->publication);
    assert(publisher->unclear);
    bool known = takeover_read_committed(publisher->takeover, offsets);

    for (int i = publisher->publication.count - 1; known && i >= 0; i--)
        switch (publication_outcome(&publisher->publication.parts[i], offsets))
        {
        case PART_REACHED:
            settle_part(publisher, i);
            break;
        case PART_GONE_BACK:
            raise_published(publisher, RAISE_AT_END_US);
            owned_list_lose(&publisher->list, publisher->publication.parts[i].owned);
            drop_part(publisher, i);
            publisher->options.wake(publisher->options.owner, true);
            break;
        case PART_NOT_REACHED:
            break;
        }
    rd_kafka_topic_partition_list_destroy(offsets);
    if (known)
        publisher->options.wake(publisher->options.owner, false);
    else
        problem_set(&publisher->problem, "publisher", takeover_problem(publisher->takeover));
    publisher->unclear = !known;
    return known;
}

static void attempt(struct publisher *publisher)
{
    int64_t half_us = publisher->settings->consumers.transaction_timeout_us / 2, begun_us = monotonic_us();
    int64_t longest_us = half_us < ATTEMPT_US ? half_us : ATTEMPT_US;
    int64_t deadline_us = publication_deadline(&publisher->publication, longest_us);
    int64_t sent = publisher->publication.sends;
    assert(!publisher->unclear && producer_is_open(publisher->producer)); /* PROTOCOL K3 */
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
        problem_clear(&publisher->problem);
        settle_all(publisher);
        return;
    }
    problem_set(&publisher->problem, "publisher", producer_problem(publisher->producer));
    throw_producer_away(publisher);
    /* A plain producer's events may be there or not: they are sent again, readers drop doubles by their id. */
    publisher->unclear = publisher->settings->kafka.exactly_once;
}

/* Until every part is published or given up. */
static void publish(struct publisher *publisher)
{
    assert(publisher->publication.count > 0);
    for (;;)
    {
        drop_given_up(publisher);
        drop_ended(publisher); /* this may last: what ended meanwhile must not stay in memory */
        if (publisher->publication.count == 0)
            break;
        bool able = open_producer(publisher) && (!publisher->unclear || settle_reached(publisher));
        int64_t rest_us = able ? producer_muted_us(publisher->producer) : PAUSE_US;
        if (rest_us > 0)
        {
            if (mailbox_is_stopping(publisher->mailbox))
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

/* The lanes know when the next one may begin (PROTOCOL K1: nothing is seen before it). */
static void publish_paced(struct publisher *publisher)
{
    if (!publisher->settings->kafka.exactly_once)
    {
        publish(publisher);
        return;
    }
    pacing_begin(&publisher->pacing, monotonic_us());
    atomic_store_explicit(&publisher->next_us, pacing_next_us(&publisher->pacing), memory_order_relaxed);
    publish(publisher);
    pacing_end(&publisher->pacing, monotonic_us());
    atomic_store_explicit(&publisher->next_us, pacing_next_us(&publisher->pacing), memory_order_relaxed);
}

/* --- beginnings and ends of partitions --------------------------------------------------------------------------- */

/* One round at what is asked for. The producer comes first: an unclear transaction of ours must have ended before
 * committed offsets mean anything. Those left are tried again after a pause, while the others go on. */
static void take_over(struct publisher *publisher)
{
    assert(is_mine(publisher) && publisher->publication.count == 0); /* no transaction of ours is open */
    struct owned_list *list = &publisher->list;
    int count = list->asked_count = owned_release_revoked(list->asked, list->asked_count);

    if (count == 0 || monotonic_us() < publisher->next_round_us)
        return;
    struct takeover_means means = { publisher->producer, publisher->group };
    bool open = open_producer(publisher);
    int left = open ? takeover_round(publisher->takeover, &means, list->asked, count) : count;
    owned_list_begin(list, left);
    publisher->next_round_us = open && takeover_is_busy(publisher->takeover) ? 0 : monotonic_us() + PAUSE_US;
    if (left > 0 && open)
        problem_set(&publisher->problem, "takeover", takeover_problem(publisher->takeover));
    if (left < count)
        publisher->options.wake(publisher->options.owner, true);
}

static bool gather(struct publisher *publisher)
{
    if (publisher->list.count == 0)
        return false;
    publisher->turn = (publisher->turn + 1) % publisher->list.count;
    return publication_gather(&publisher->publication, publisher->list.owned, publisher->list.count, publisher->turn,
                              publisher->portion.bytes);
}

/* At-least-once: waits until no commit is out and none is due, or the owned partitions are given up. */
static void commit_last_offsets(struct publisher *publisher)
{
    rd_kafka_t *consumer = atomic_load(&publisher->consumer);

    assert(!publisher->settings->kafka.exactly_once);
    while (publisher->list.count > 0 && !owned_is_given_up(publisher->list.owned[0], monotonic_us()) &&
           offset_commits_step(&publisher->commits, consumer, publisher->list.owned, publisher->list.count, 20))
        continue;
    offset_commits_forget(&publisher->commits);
}

static void end_partitions(struct publisher *publisher)
{
    assert(publisher->publication.count == 0); /* its parts have references on them */
    owned_list_end_all(&publisher->list);
    if (publisher->group)
        rd_kafka_consumer_group_metadata_destroy(publisher->group);
    publisher->group = NULL;
}

/* The end of an assignment: the prefix goes out, everything else goes back. */
static void finish(struct publisher *publisher, uint64_t wanted)
{
    for (;;)
    {
        absorb(publisher, mailbox_wait(publisher->mailbox, 0, NULL));
        drop_ended(publisher);
        if (!gather(publisher))
            break;
        publish(publisher);
    }
    assert(publisher->publication.count == 0);
    if (!publisher->settings->kafka.exactly_once)
        commit_last_offsets(publisher);
    raise_published(publisher, RAISE_AT_END_US);
    takeover_give_back(publisher->takeover, publisher->list.owned, publisher->list.count, RAISE_AT_END_US);
    end_partitions(publisher);
    mailbox_finished(publisher->mailbox, wanted);
}

/* --- the thread -------------------------------------------------------------------------------------------------- */

/* In order: what was answered belongs to owned partitions that may be about to end; the end of an assignment comes
 * before the beginning of the next. */
static void serve(struct publisher *publisher, struct mail *mail)
{
    assert(mail->asked_count == 0 || mail->asked != NULL); /* an empty assignment has a group alone */
    absorb(publisher, mail->chain);
    if (mail->finish)
        finish(publisher, mail->finish_wanted);
    if (mail->group)
    {
        if (publisher->group)
            rd_kafka_consumer_group_metadata_destroy(publisher->group);
        publisher->group = mail->group;
    }
    if (mail->asked_count > 0)
    {
        owned_list_ask(&publisher->list, mail->asked, mail->asked_count);
        publisher->next_round_us = 0;
    }
    free(mail->asked);
    take_over(publisher);
    drop_ended(publisher);
}

/* Gathers more before a transaction, where that pays. */
static void linger(struct publisher *publisher)
{
    int64_t linger_us = publisher->settings->consumers.publish_linger_us, wait_us;

    do
        wait_us = pacing_due_us(&publisher->pacing, linger_us) - monotonic_us();
    while (wait_us > 0 && pause_once(publisher, wait_us));
}

/* Work that no command waits for. */
static void housekeep(struct publisher *publisher)
{
    owned_list_note_waits(&publisher->list);
    if (!publisher->settings->kafka.exactly_once)
        offset_commits_step(&publisher->commits, atomic_load(&publisher->consumer), publisher->list.owned,
                            publisher->list.count, 0);
    raise_published(publisher, 0);
    takeover_watch_topics(publisher->takeover, publisher->list.owned, publisher->list.count);
    producer_idle(publisher->producer);
}

static int64_t wait_time(const struct publisher *publisher)
{
    if (publisher->commits.out)
        return COMMIT_WAIT_US;
    if (publisher->list.asked_count > 0)
        return publisher->next_round_us == 0 ? 0 : PAUSE_US;
    return IDLE_US;
}

static void *publisher_main(void *owner)
{
    struct publisher *publisher = owner;
    bool more = false;

    publisher->me = pthread_self();
    open_producer(publisher); /* while the group still forms: the first command finds it there */
    for (;;)
    {
        struct mail mail = mailbox_take(publisher->mailbox, more ? 0 : wait_time(publisher));
        serve(publisher, &mail);
        if (mail.stopping)
            break;
        if (publisher->pacing.answered > 0)
            linger(publisher);
        more = gather(publisher);
        publisher->pacing.answered = 0;
        if (more)
            publish_paced(publisher);
        else if (open_producer(publisher) && publisher->list.asked_count == 0)
            problem_clear(&publisher->problem);
        housekeep(publisher);
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
    mailbox_free(publisher->mailbox);
    problem_done(&publisher->problem);
    owned_list_done(&publisher->list);
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
    publisher->list.delivery_pool = options->delivery_pool;
    publisher->slot_number = -1;
    publisher->portion = PORTION_NEW;
    problem_init(&publisher->problem, options->cell);
    publisher->mailbox = mailbox_new();
    publisher->producer = producer_new(options->settings);
    publisher->takeover = takeover_new(options->settings);
    if (publisher->mailbox && publisher->producer && publisher->takeover)
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
    mailbox_stop(publisher->mailbox);
    pthread_join(publisher->thread, NULL);
    publisher->me = pthread_self();
    for (int i = publisher->publication.count - 1; i >= 0; i--)
        publication_release(&publisher->publication, i, publisher->options.delivery_pool);
    publication_done(&publisher->publication);
    absorb(publisher, mailbox_wait(publisher->mailbox, 0, NULL));
    end_partitions(publisher);
    offset_commits_forget(&publisher->commits);
    free_parts(publisher);
}
