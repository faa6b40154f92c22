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
    owned->partition.revoked = &owned->revoked;
    owned->partition.full = &owned->paused;
    owned->partition.blocked_us = &owned->blocked_us;
    owned->partition.slot = owned;
    owned->start_offset = OFFSET_NONE;
    owned->last_offset = -1;
    owned->published_known = -1;
    owned->watermark = WATERMARK_EMPTY;
    atomic_init(&owned->references, 1);
    atomic_init(&owned->state, PARTITION_REQUESTED);
    atomic_init(&owned->moved_us, monotonic_us());
    atomic_init(&owned->committed, OFFSET_NONE);
    atomic_init(&owned->give_up_us, INT64_MAX);
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
    assert(owned->watermark.answered == 0);
    watermark_done(&owned->watermark);
    arrears_free(owned->arrears);
    free(owned);
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
    int64_t count = atomic_load_explicit(&owned->in_flight, memory_order_relaxed) +
                    atomic_load_explicit(&owned->dropped, memory_order_relaxed);
    int64_t committed = atomic_load_explicit(&owned->committed, memory_order_relaxed);

    if (count > 0)
        log_warning("cell %d: left: %s/%d: %lld messages were received and not published; committed offset %lld", cell,
                    owned->topic, owned->partition.number, (long long)count,
                    (long long)(committed >= 0 ? committed : owned->start_offset));
    return count;
}
