#include "consumers/partition/partition.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "consumers/partition/arrears.h"
#include "worker/base/clock.h"
#include "worker/base/log.h"

struct tenure *tenure_new(const char *topic, int32_t partition, uint64_t epoch)
{
    struct tenure *tenure = calloc(1, sizeof(*tenure));

    if (tenure == NULL)
        return NULL;
    snprintf(tenure->topic, sizeof(tenure->topic), "%s", topic);
    tenure->ownership.topic = span_of(tenure->topic);
    tenure->ownership.partition = partition;
    tenure->ownership.epoch = epoch;
    tenure->ownership.revoked = &tenure->revoked;
    tenure->ownership.full = &tenure->paused;
    tenure->ownership.blocked_us = &tenure->blocked_us;
    tenure->ownership.slot = tenure;
    tenure->start_offset = OFFSET_NONE;
    tenure->last_offset = -1;
    tenure->published_known = -1;
    tenure->watermark = WATERMARK_EMPTY;
    atomic_init(&tenure->references, 1);
    atomic_init(&tenure->state, TENURE_ASKED);
    atomic_init(&tenure->moved_us, monotonic_us());
    atomic_init(&tenure->committed, OFFSET_NONE);
    atomic_init(&tenure->give_up_us, INT64_MAX);
    return tenure;
}

struct tenure *tenure_hold(struct tenure *tenure, int count)
{
    atomic_fetch_add_explicit(&tenure->references, count, memory_order_relaxed);
    return tenure;
}

void tenure_drop(struct tenure *tenure, int count)
{
    /* Release, then acquire by the last one: everything that was done under a reference is over before the free. */
    int before = atomic_fetch_sub_explicit(&tenure->references, count, memory_order_acq_rel);
    assert(before >= count);
    if (before > count)
        return;
    assert(tenure->watermark.answered == 0);
    watermark_done(&tenure->watermark);
    arrears_free(tenure->arrears);
    free(tenure);
}

int tenure_drop_revoked(struct tenure **tenures, int count)
{
    int left = 0;

    for (int i = 0; i < count; i++)
        if (tenure_is_revoked(tenures[i]))
            tenure_drop(tenures[i], 1);
        else
            tenures[left++] = tenures[i];
    return left;
}

int64_t tenure_tell_left(const struct tenure *tenure, int cell)
{
    int64_t count = atomic_load_explicit(&tenure->in_flight, memory_order_relaxed) +
                    atomic_load_explicit(&tenure->dropped, memory_order_relaxed);
    int64_t committed = atomic_load_explicit(&tenure->committed, memory_order_relaxed);

    if (count > 0)
        log_warning("cell %d: left: %s/%d: %lld messages were received and not published; committed offset %lld", cell,
                    tenure->topic, tenure->ownership.partition, (long long)count,
                    (long long)(committed >= 0 ? committed : tenure->start_offset));
    return count;
}
