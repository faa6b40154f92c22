/* The outer layer of locks (PROTOCOL P5, L2): one name in Redis for each aggregate of the batch, in one script. Nothing
 * rests on it; a batch without Redis goes on. */
#include <assert.h>

#include "worker/base/clock.h"
#include "worker/base/metrics.h"
#include "worker/batch/item.h"
#include "worker/settings/settings.h"

static int64_t lease_of(const struct batch *batch)
{
    int64_t lease_us = 0;

    for (int i = 0; i < batch->count; i++)
        if (batch->items[i].command.workflow)
        {
            int64_t wanted = batch->tools.settings->locks[batch->items[i].command.workflow->lock_class].lease_us;
            lease_us = wanted > lease_us ? wanted : lease_us;
        }
    return lease_us;
}

/* One name per aggregate whose root row the batch wants (DOMAIN.md: one lock name per aggregate, its key). */
static void collect_lock_names(struct batch *batch, int64_t lease_us)
{
    int capacity = 0;

    for (int e = 0; entities[e]; e++)
        capacity += entities[e]->root ? rows_count(batch->rows, entities[e]) : 0;
    batch->locks = arena_take(&batch->arena, (size_t)capacity * sizeof(*batch->locks) + 1);
    for (int e = 0; batch->locks && entities[e]; e++)
        for (struct row *row = rows_first(batch->rows, entities[e]); row && entities[e]->root; row = row->next)
        {
            assert(batch->lock_count < capacity);
            char *name = arena_take(&batch->arena, AGGREGATE_KEY_MAX);
            if (name == NULL)
                return;
            size_t size = aggregate_print((struct aggregate){ entities[e]->aggregate, row->id }, name);
            batch->locks[batch->lock_count++] = (struct lock_name){ { name, size }, lease_us, false, false };
        }
}

/* A refused name makes its row busy: its commands leave the batch and are held back. Past the longest wait they go on
 * without the lock, and PostgreSQL decides alone (PROTOCOL L2). A command that comes back from parking is past it: else
 * a name that is never released would park it again each time. */
static void mark_refused(struct batch *batch)
{
    int at = 0;

    for (int e = 0; entities[e]; e++)
        for (struct row *row = rows_first(batch->rows, entities[e]); row && entities[e]->root; row = row->next)
        {
            assert(at < batch->lock_count); /* the names are those of the same walk */
            if (!batch->locks[at++].refused)
                continue;
            metrics_add(METRIC_LOCK_REFUSED, 1);
            if (batch->mode.waiting || batch->any_returned)
            {
                metrics_add(METRIC_LOCK_DEGRADED, 1);
                continue;
            }
            rows_settle(batch->rows, row, ROW_BUSY);
            batch->any_busy = true;
        }
}

void batch_lock(struct batch *batch)
{
    batch->lock_count = 0;
    batch->lock_wait_us = 0;
    batch->lock_degraded = true;
    if (batch->tools.lock == NULL)
        return;
    int64_t lease_us = lease_of(batch);
    collect_lock_names(batch, lease_us);
    if (batch->lock_count == 0 || arena_failed(&batch->arena))
        return;
    assert(lease_us > 0); /* a lock without a lease would stay after a crash */
    int64_t begun_us = monotonic_us();
    enum lock_result result =
        lock_acquire(batch->tools.lock, batch->locks, batch->lock_count, &batch->lock_valid_until_us);
    batch->lock_wait_us = monotonic_us() - begun_us;
    metrics_add(METRIC_LOCK_WAIT, batch->lock_wait_us);
    batch->lock_degraded = result != LOCK_TAKEN;
    if (result == LOCK_DEGRADED)
        metrics_add(METRIC_LOCK_DEGRADED, 1);
    else if (result == LOCK_TAKEN)
        mark_refused(batch);
}

/* The lease is watched on our own clock, from before the call that took it. Less than a third left before the write:
 * extended; gone: PostgreSQL decides alone, as always (PROTOCOL P5). */
void batch_watch_lease(struct batch *batch)
{
    if (batch->lock_degraded || batch->lock_count == 0)
        return;
    assert(batch->tools.lock); /* the names were taken with it */
    int64_t lease_us = batch->locks[0].lease_us;
    if (batch->lock_valid_until_us - monotonic_us() > lease_us / 3)
        return;
    if (lock_extend(batch->tools.lock, batch->locks, batch->lock_count, &batch->lock_valid_until_us) == LOCK_DEGRADED)
        metrics_add(METRIC_LOCK_DEGRADED, 1);
}

void batch_unlock(struct batch *batch)
{
    assert(batch->lock_degraded || batch->tools.lock);
    if (!batch->lock_degraded && batch->lock_count > 0)
        lock_release_send(batch->tools.lock, batch->locks, batch->lock_count);
}

bool batch_is_lock_refused(const struct batch *batch, struct span name)
{
    for (int i = 0; i < batch->lock_count; i++)
        if (batch->locks[i].refused && span_equal(batch->locks[i].name, name))
            return true;
    return false;
}

enum batch_locking batch_locking(const struct batch *batch)
{
    if (batch->tools.lock == NULL || batch->lock_count == 0)
        return BATCH_LOCKS_NONE;
    return batch->lock_degraded ? BATCH_LOCKS_DEGRADED : BATCH_LOCKS_TAKEN;
}
