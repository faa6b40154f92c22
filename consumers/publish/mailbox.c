#include "consumers/publish/mailbox.h"

#include <pthread.h>
#include <stdlib.h>

#include "worker/base/clock.h"
#include "worker/base/memory.h"

struct handover
{
    pthread_mutex_t mutex; /* guards all of it */
    pthread_cond_t handed; /* the publisher waits for it */
    pthread_cond_t finished;
    bool waiting; /* the publisher does */
    bool stopping;
    struct delivery *first, *last;
    struct tenure **asked;
    int asked_count;
    rd_kafka_consumer_group_metadata_t *group;
    uint64_t finish_wanted, finish_done;
};

struct handover *handover_new(void)
{
    struct handover *handover = calloc(1, sizeof(*handover));
    pthread_condattr_t attributes;

    if (handover == NULL)
        return NULL;
    pthread_mutex_init(&handover->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&handover->handed, &attributes);
    pthread_cond_init(&handover->finished, &attributes);
    pthread_condattr_destroy(&attributes);
    return handover;
}

void handover_free(struct handover *handover)
{
    if (handover == NULL)
        return;
    for (int i = 0; i < handover->asked_count; i++)
        tenure_drop(handover->asked[i], 1);
    free(handover->asked);
    if (handover->group)
        rd_kafka_consumer_group_metadata_destroy(handover->group);
    pthread_cond_destroy(&handover->finished);
    pthread_cond_destroy(&handover->handed);
    pthread_mutex_destroy(&handover->mutex);
    free(handover);
}

static void signal_locked(struct handover *handover)
{
    if (handover->waiting)
        pthread_cond_signal(&handover->handed);
}

void handover_answer(struct handover *handover, struct delivery *chain)
{
    struct delivery *last = chain;

    if (chain == NULL)
        return;
    while (last->next)
        last = last->next;
    pthread_mutex_lock(&handover->mutex);
    if (handover->last)
        handover->last->next = chain;
    else
        handover->first = chain;
    handover->last = last;
    signal_locked(handover);
    pthread_mutex_unlock(&handover->mutex);
}

void handover_ask(struct handover *handover, struct tenure *const *tenures, int count,
                  rd_kafka_consumer_group_metadata_t *group)
{
    pthread_mutex_lock(&handover->mutex);
    size_t needed = (size_t)(handover->asked_count + count + 1) * sizeof(struct tenure *);
    struct tenure **asked = realloc(handover->asked, needed);
    if (asked == NULL)
        memory_out("the request for a takeover");
    handover->asked = asked;
    for (int i = 0; i < count; i++)
        handover->asked[handover->asked_count++] = tenure_hold(tenures[i], 1);
    if (group && handover->group)
        rd_kafka_consumer_group_metadata_destroy(handover->group);
    if (group)
        handover->group = group;
    signal_locked(handover);
    pthread_mutex_unlock(&handover->mutex);
}

bool handover_finish(struct handover *handover, int64_t deadline_us)
{
    struct timespec until = monotonic_timespec(deadline_us);

    pthread_mutex_lock(&handover->mutex);
    uint64_t mine = ++handover->finish_wanted;
    signal_locked(handover);
    while (handover->finish_done < mine)
        if (pthread_cond_timedwait(&handover->finished, &handover->mutex, &until) != 0)
            break;
    bool done = handover->finish_done >= mine;
    pthread_mutex_unlock(&handover->mutex);
    return done;
}

void handover_finished(struct handover *handover, uint64_t wanted)
{
    pthread_mutex_lock(&handover->mutex);
    handover->finish_done = wanted;
    pthread_cond_broadcast(&handover->finished);
    pthread_mutex_unlock(&handover->mutex);
}

void handover_stop(struct handover *handover)
{
    pthread_mutex_lock(&handover->mutex);
    handover->stopping = true;
    signal_locked(handover);
    pthread_mutex_unlock(&handover->mutex);
}

bool handover_is_stopping(struct handover *handover)
{
    pthread_mutex_lock(&handover->mutex);
    bool stopping = handover->stopping;
    pthread_mutex_unlock(&handover->mutex);
    return stopping;
}

/* --- the publisher's side --------------------------------------------------------------------------------------- */

static bool is_wanted_locked(const struct handover *handover)
{
    return handover->stopping || handover->asked_count > 0 || handover->group ||
           handover->finish_wanted != handover->finish_done;
}

static void wait_locked(struct handover *handover, int64_t wait_us, bool for_answers)
{
    struct timespec until = monotonic_timespec(monotonic_us() + wait_us);

    handover->waiting = true;
    while (wait_us > 0 && handover->first == NULL && !(for_answers ? handover->stopping : is_wanted_locked(handover)))
        if (pthread_cond_timedwait(&handover->handed, &handover->mutex, &until) != 0)
            break;
    handover->waiting = false;
}

static struct delivery *take_answered_locked(struct handover *handover)
{
    struct delivery *chain = handover->first;
    handover->first = handover->last = NULL;
    return chain;
}

struct handed handover_take(struct handover *handover, int64_t wait_us)
{
    pthread_mutex_lock(&handover->mutex);
    wait_locked(handover, wait_us, false);
    struct handed handed = {
        .chain = take_answered_locked(handover),
        .asked = handover->asked,
        .asked_count = handover->asked_count,
        .group = handover->group,
        .finish_wanted = handover->finish_wanted,
        .finish = handover->finish_wanted != handover->finish_done,
        .stopping = handover->stopping,
    };
    handover->asked = NULL;
    handover->asked_count = 0;
    handover->group = NULL;
    pthread_mutex_unlock(&handover->mutex);
    return handed;
}

struct delivery *handover_wait(struct handover *handover, int64_t wait_us, bool *ret_wanted)
{
    pthread_mutex_lock(&handover->mutex);
    wait_locked(handover, wait_us, ret_wanted == NULL);
    if (ret_wanted)
        *ret_wanted = is_wanted_locked(handover);
    struct delivery *chain = take_answered_locked(handover);
    pthread_mutex_unlock(&handover->mutex);
    return chain;
}
