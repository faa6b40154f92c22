#include "consumers/publish/mailbox.h"

#include <assert.h>
#include <stdlib.h>

#include "worker/base/clock.h"
#include "worker/base/memory.h"
#include "worker/base/mutex.h"

struct mailbox
{
    struct mutex mutex;  /* guards all of it */
    pthread_cond_t mail; /* the publisher waits for it */
    pthread_cond_t finished;
    bool waiting; /* the publisher does */
    bool stopping;
    struct delivery *first, *last;
    struct owned_partition **asked;
    int asked_count;
    rd_kafka_consumer_group_metadata_t *group;
    uint64_t finish_wanted, finish_done;
};

struct mailbox *mailbox_new(void)
{
    struct mailbox *mailbox = calloc(1, sizeof(*mailbox));

    if (mailbox == NULL)
        return NULL;
    mutex_init(&mailbox->mutex);
    condition_init(&mailbox->mail);
    condition_init(&mailbox->finished);
    return mailbox;
}

void mailbox_free(struct mailbox *mailbox)
{
    if (mailbox == NULL)
        return;
    assert(mailbox->first == NULL);
    for (int i = 0; i < mailbox->asked_count; i++)
        owned_release(mailbox->asked[i], 1);
    free(mailbox->asked);
    if (mailbox->group)
        rd_kafka_consumer_group_metadata_destroy(mailbox->group);
    pthread_cond_destroy(&mailbox->finished);
    pthread_cond_destroy(&mailbox->mail);
    mutex_destroy(&mailbox->mutex);
    free(mailbox);
}

static void signal_locked(struct mailbox *mailbox)
{
    mutex_assert_held(&mailbox->mutex);
    if (mailbox->waiting)
        pthread_cond_signal(&mailbox->mail);
}

void mailbox_answer(struct mailbox *mailbox, struct delivery *chain)
{
    struct delivery *last = chain;

    if (chain == NULL)
        return;
    while (last->next)
        last = last->next;
    mutex_lock(&mailbox->mutex);
    assert(chain != mailbox->first && last != mailbox->last); /* else it is answered twice */
    if (mailbox->last)
        mailbox->last->next = chain;
    else
        mailbox->first = chain;
    mailbox->last = last;
    signal_locked(mailbox);
    mutex_unlock(&mailbox->mutex);
}

void mailbox_ask(struct mailbox *mailbox, struct owned_partition *const *owned_partitions, int count,
                 rd_kafka_consumer_group_metadata_t *group)
{
    mutex_lock(&mailbox->mutex);
    size_t needed = (size_t)(mailbox->asked_count + count + 1) * sizeof(struct owned_partition *);
    struct owned_partition **asked = realloc(mailbox->asked, needed);
    if (asked == NULL)
        die_out_of_memory("the request for a takeover");
    mailbox->asked = asked;
    for (int i = 0; i < count; i++)
    {
        assert(!owned_is_taken(owned_partitions[i]));
        mailbox->asked[mailbox->asked_count++] = owned_retain(owned_partitions[i], 1);
    }
    if (group && mailbox->group)
        rd_kafka_consumer_group_metadata_destroy(mailbox->group);
    if (group)
        mailbox->group = group;
    signal_locked(mailbox);
    mutex_unlock(&mailbox->mutex);
}

bool mailbox_finish(struct mailbox *mailbox, int64_t deadline_us)
{
    mutex_lock(&mailbox->mutex);
    uint64_t mine = ++mailbox->finish_wanted;
    signal_locked(mailbox);
    while (mailbox->finish_done < mine)
        if (!mutex_wait(&mailbox->mutex, &mailbox->finished, deadline_us))
            break;
    bool done = mailbox->finish_done >= mine;
    mutex_unlock(&mailbox->mutex);
    return done;
}

void mailbox_finished(struct mailbox *mailbox, uint64_t wanted)
{
    mutex_lock(&mailbox->mutex);
    assert(wanted > mailbox->finish_done && wanted <= mailbox->finish_wanted);
    mailbox->finish_done = wanted;
    pthread_cond_broadcast(&mailbox->finished);
    mutex_unlock(&mailbox->mutex);
}

void mailbox_stop(struct mailbox *mailbox)
{
    mutex_lock(&mailbox->mutex);
    mailbox->stopping = true;
    signal_locked(mailbox);
    mutex_unlock(&mailbox->mutex);
}

bool mailbox_is_stopping(struct mailbox *mailbox)
{
    mutex_lock(&mailbox->mutex);
    bool stopping = mailbox->stopping;
    mutex_unlock(&mailbox->mutex);
    return stopping;
}

/* --- the publisher's side ---------------------------------------------------------------------------------------- */

static bool is_wanted_locked(const struct mailbox *mailbox)
{
    mutex_assert_held(&mailbox->mutex);
    return mailbox->stopping || mailbox->asked_count > 0 || mailbox->group ||
           mailbox->finish_wanted != mailbox->finish_done;
}

static void wait_locked(struct mailbox *mailbox, int64_t wait_us, bool for_answers)
{
    int64_t until_us = monotonic_us() + wait_us;

    mutex_assert_held(&mailbox->mutex);
    assert(!mailbox->waiting); /* one thread waits, the publisher */
    mailbox->waiting = true;
    while (wait_us > 0 && mailbox->first == NULL && !(for_answers ? mailbox->stopping : is_wanted_locked(mailbox)))
        if (!mutex_wait(&mailbox->mutex, &mailbox->mail, until_us))
            break;
    mailbox->waiting = false;
}

static struct delivery *take_answered_locked(struct mailbox *mailbox)
{
    struct delivery *chain = mailbox->first;

    mutex_assert_held(&mailbox->mutex);
    assert((mailbox->first == NULL) == (mailbox->last == NULL));
    mailbox->first = mailbox->last = NULL;
    return chain;
}

struct mail mailbox_take(struct mailbox *mailbox, int64_t wait_us)
{
    mutex_lock(&mailbox->mutex);
    wait_locked(mailbox, wait_us, false);
    struct mail mail = {
        .chain = take_answered_locked(mailbox),
        .asked = mailbox->asked,
        .asked_count = mailbox->asked_count,
        .group = mailbox->group,
        .finish_wanted = mailbox->finish_wanted,
        .finish = mailbox->finish_wanted != mailbox->finish_done,
        .stopping = mailbox->stopping,
    };
    mailbox->asked = NULL;
    mailbox->asked_count = 0;
    mailbox->group = NULL;
    mutex_unlock(&mailbox->mutex);
    return mail;
}

struct delivery *mailbox_wait(struct mailbox *mailbox, int64_t wait_us, bool *ret_wanted)
{
    mutex_lock(&mailbox->mutex);
    wait_locked(mailbox, wait_us, ret_wanted == NULL);
    if (ret_wanted)
        *ret_wanted = is_wanted_locked(mailbox);
    struct delivery *chain = take_answered_locked(mailbox);
    mutex_unlock(&mailbox->mutex);
    return chain;
}
