#include "consumers/partition/partition.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "consumers/partition/arrears.h"
#include "worker/base/clock.h"
#include "worker/base/log.h"

struct owned_partition *owned_new(const char *topic, int32_t partition, uint64_t epoch)
{
    struct owned_partition *owned = calloc(1, sizeof(*owned));

    if (owned == NULL)
        return NULL;
    snprintf(owned->topic, sizeof(owned->topic), "%s", topic);
    owned->partition.topic = span_of(owned->topic);
    owned->partition.number = partition;
    owned->partition.epoch = epoch;
    owned->partition.revoked = &owned->shared.revoked;
    owned->partition.full = &owned->shared.paused;
    owned->partition.on_pause = &owned->shared.on_pause;
    owned->partition.blocked_us = &owned->shared.blocked_us;
    owned->partition.slot = owned;
    owned->start_offset = OFFSET_NONE;
    owned->poll.last_offset = -1;
    backlog_init(&owned->backlog);
    owned->publisher.published_known = -1;
    owned->publisher.watermark = WATERMARK_EMPTY;
    atomic_init(&owned->references, 1);
    atomic_init(&owned->shared.state, PARTITION_REQUESTED);
    atomic_init(&owned->shared.moved_us, monotonic_us());
    atomic_init(&owned->shared.committed, OFFSET_NONE);
    atomic_init(&owned->shared.give_up_us, INT64_MAX);
    return owned;
}

struct owned_partition *owned_retain(struct owned_partition *owned, int count)
{
    atomic_fetch_add_explicit(&owned->references, count, memory_order_relaxed);
    return owned;
}

void owned_release(struct owned_partition *owned, int count)
{
    /* Release, then acquire by the last one: everything that was done under a reference is over before the free. */
    int before = atomic_fetch_sub_explicit(&owned->references, count, memory_order_acq_rel);
    assert(before >= count);
    if (before > count)
        return;
    assert(owned->publisher.watermark.answered == 0);
    watermark_done(&owned->publisher.watermark);
    arrears_free(owned->publisher.arrears);
    free(owned);
}

enum
{
    BUG = -1,
};

/* The state after a change. BUG: the thread that asks for it has done something before that excludes it. A REVOKE of
 * one that the publisher has ended comes too late; so does a further END. */
static const int changes[][PARTITION_END + 1] = {
    [PARTITION_REQUESTED] = { [PARTITION_TAKE] = PARTITION_OWNED,
                              [PARTITION_REVOKE] = PARTITION_CANCELLED,
                              [PARTITION_LOSE] = BUG,
                              [PARTITION_END] = BUG },
    [PARTITION_CANCELLED] = { [PARTITION_TAKE] = PARTITION_DRAINING,
                              [PARTITION_REVOKE] = BUG,
                              [PARTITION_LOSE] = BUG,
                              [PARTITION_END] = BUG },
    [PARTITION_OWNED] = { [PARTITION_TAKE] = BUG,
                          [PARTITION_REVOKE] = PARTITION_DRAINING,
                          [PARTITION_LOSE] = PARTITION_LOST,
                          [PARTITION_END] = PARTITION_GIVEN_UP },
    [PARTITION_DRAINING] = { [PARTITION_TAKE] = BUG,
                             [PARTITION_REVOKE] = BUG,
                             [PARTITION_LOSE] = PARTITION_GIVEN_UP,
                             [PARTITION_END] = PARTITION_GIVEN_UP },
    [PARTITION_LOST] = { [PARTITION_TAKE] = BUG,
                         [PARTITION_REVOKE] = PARTITION_GIVEN_UP,
                         [PARTITION_LOSE] = BUG,
                         [PARTITION_END] = PARTITION_LOST },
    [PARTITION_GIVEN_UP] = { [PARTITION_TAKE] = BUG,
                             [PARTITION_REVOKE] = PARTITION_GIVEN_UP,
                             [PARTITION_LOSE] = BUG,
                             [PARTITION_END] = PARTITION_GIVEN_UP },
};

enum partition_state owned_change(struct owned_partition *owned, enum partition_change change)
{
    int state = atomic_load_explicit(&owned->shared.state, memory_order_acquire), next;

    /* Release: the other thread reads what was written before the change. */
    do
    {
        next = changes[state][change];
        assert(next != BUG);
    } while (!atomic_compare_exchange_weak_explicit(&owned->shared.state, &state, next, memory_order_acq_rel,
                                                    memory_order_acquire));
    return (enum partition_state)next;
}

void owned_revoke(struct owned_partition *owned, int64_t give_up_us)
{
    assert(!owned_is_revoked(owned));
    /* The deadline first: from the change on the publisher goes by it. */
    atomic_store_explicit(&owned->shared.give_up_us, give_up_us, memory_order_release);
    owned_change(owned, PARTITION_REVOKE);
    atomic_store_explicit(&owned->shared.revoked, true, memory_order_release);
}

int owned_release_revoked(struct owned_partition **owned_partitions, int count)
{
    int left = 0;

    for (int i = 0; i < count; i++)
        if (owned_is_revoked(owned_partitions[i]))
            owned_release(owned_partitions[i], 1);
        else
            owned_partitions[left++] = owned_partitions[i];
    return left;
}

int64_t owned_log_unpublished(const struct owned_partition *owned, int cell)
{
    int64_t count = atomic_load_explicit(&owned->shared.in_flight, memory_order_relaxed) +
                    atomic_load_explicit(&owned->shared.dropped, memory_order_relaxed);
    int64_t committed = atomic_load_explicit(&owned->shared.committed, memory_order_relaxed);

    if (count > 0)
        log_warning("cell %d: left: %s/%d: %lld messages were received and not published; committed offset %lld", cell,
                    owned->topic, owned->partition.number, (long long)count,
                    (long long)(committed >= 0 ? committed : owned->start_offset));
    return count;
}
