/* The life of a batch, in order:
 *
 *   decode    the messages become commands; each says which rows it needs
 *   lock      Redis, one script (PROTOCOL L2)
 *   load      pipeline 1: BEGIN, fence, inbox, rows, clock (PROTOCOL B1)
 *   look      only where it is needed: recorded answers (R2), parked commands (L4)
 *   decide    every command in C, one after another on the same rows (PROTOCOL B3), or parked
 *   write     pipeline 2: rows, history, inbox, parked commands, audit, COMMIT
 *   release   Redis, one script, not waited for. Never before the commit
 *   answer    each delivery gets its event, its dead letter, or nothing
 */
#include "worker/batch/batch.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "worker/base/clock.h"
#include "worker/base/digest.h"
#include "worker/base/fault_point.h"
#include "worker/base/metrics.h"
#include "worker/batch/quarantine.h"
#include "worker/settings/settings.h"

bool batch_init(struct batch *batch, const struct batch_tools *tools)
{
    memset(batch, 0, sizeof(*batch));
    batch->tools = *tools;
    arena_init(&batch->arena);
    batch->arrays = calloc(BATCH_ARRAYS, sizeof(*batch->arrays));
    return batch->arrays != NULL;
}

void batch_done(struct batch *batch)
{
    arena_done(&batch->arena);
    buffer_done(&batch->text);
    buffer_done(&batch->metadata);
    for (int i = 0; batch->arrays && i < BATCH_ARRAYS; i++)
        array_done(&batch->arrays[i]);
    free(batch->arrays);
}

const struct entity *batch_root_entity(enum aggregate_kind kind)
{
    for (int i = 0; entities[i]; i++)
        if (entities[i]->root && entities[i]->aggregate == kind)
            return entities[i];
    return NULL;
}

/* ARCHITECTURE.md's table of failures, with the SQLSTATEs of worker/postgres/failure.c: what a failed call means for a
 * batch as a whole. Whose fault a transient failure or a command's own is, is found out by halves
 * (worker/batch/write.c, PROTOCOL B4). */
static const enum batch_end ends[] = {
    [FAILURE_NONE] = BATCH_AGAIN, /* memory */
    [FAILURE_TRANSIENT] = BATCH_AGAIN, [FAILURE_SESSION] = BATCH_SESSION, [FAILURE_RESOURCES] = BATCH_STUCK,
    [FAILURE_COMMAND] = BATCH_AGAIN,   [FAILURE_OURS] = BATCH_STUCK,      [FAILURE_CORRUPTION] = BATCH_STUCK,
};
_Static_assert(sizeof(ends) / sizeof(*ends) == FAILURE__COUNT, "an end for every class");

enum batch_end batch_end_of(const struct failure *failure)
{
    return ends[failure->class];
}

/* --- decode ------------------------------------------------------------------------------------------------------ */

static bool add_partition(struct batch *batch, const struct partition *partition)
{
    for (int i = batch->partition_count - 1; i >= 0; i--)
        if (batch->partitions[i].partition == partition)
            return true;
    if (batch->partition_count == BATCH_PARTITIONS_MAX)
        return false;
    batch->partitions[batch->partition_count++] = (struct batch_partition){ partition, false };
    return true;
}

/* Of two equal identities in one batch the first is the command, the other its duplicate (PROTOCOL B1). */
static void note_identity(struct batch *batch, struct item *item)
{
    uint64_t hash;

    memcpy(&hash, item->command.identity, sizeof(hash));
    for (uint32_t at = (uint32_t)hash & (batch->identity_slots - 1);; at = (at + 1) & (batch->identity_slots - 1))
    {
        struct item *other = batch->by_identity[at];
        if (other == NULL)
        {
            batch->by_identity[at] = item;
            return;
        }
        if (memcmp(other->command.identity, item->command.identity, DIGEST_SIZE) == 0)
        {
            item->state = ITEM_REPEATED;
            item->twin = other;
            return;
        }
    }
}

/* What is recorded as refused asks for its root alone, for the version that it met. */
static void want_rows(struct batch *batch, const struct command *command)
{
    const struct entity *root = batch_root_entity(command->aggregate.kind);

    if (batch->mode.verdict == NULL)
        command->workflow->needs(command, batch->rows);
    else if (root)
        rows_want(batch->rows, root, command->aggregate.id);
}

static bool decode_item(struct batch *batch, struct item *item)
{
    enum decode_result decoded = batch->tools.decode(item->delivery, &batch->arena, &item->command);

    if (item->delivery->quarantined)
    {
        quarantine_refuse(item->delivery);
        decoded = DECODE_DEAD;
    }
    if (decoded == DECODE_MEMORY || !add_partition(batch, item->delivery->partition))
        return false;
    if ((decoded == DECODE_DEAD || batch_may_be_quarantined(item->delivery)) &&
        !digest_sha256(&item->delivery->value, 1, item->dead_digest))
        return false;
    if (decoded == DECODE_DEAD)
    {
        item->state = ITEM_UNREADABLE;
        return true;
    }
    FAULT_COMMAND(item->command.id);
    if (batch->tools.settings->protections.inbox)
        note_identity(batch, item);
    item->parked.rows_loaded = item->state == ITEM_NEW;
    batch->any_returned = batch->any_returned || item->delivery->has_return_token;
    if (item->state == ITEM_NEW && item->command.refusal == REASON_NONE)
        want_rows(batch, &item->command);
    return true;
}

static enum batch_end decode(struct batch *batch, struct delivery *const *deliveries, int count)
{
    batch->count = count;
    batch->items = arena_take_zeroed(&batch->arena, (size_t)count * sizeof(*batch->items));
    batch->partitions = arena_take(&batch->arena, BATCH_PARTITIONS_MAX * sizeof(*batch->partitions));
    batch->partition_count = 0;
    batch->fence_at = -1;
    batch->identity_slots = 16;
    while (batch->identity_slots < (uint32_t)count * 2)
        batch->identity_slots *= 2;
    batch->by_identity = arena_take_zeroed(&batch->arena, batch->identity_slots * sizeof(struct item *));
    batch->rows = rows_new(&batch->arena);
    if (arena_failed(&batch->arena))
        return BATCH_AGAIN;
    for (int i = 0; i < count; i++)
    {
        batch->items[i].delivery = deliveries[i];
        if (!decode_item(batch, &batch->items[i]))
            return BATCH_AGAIN;
        if (batch_is_heavy(batch))
            return BATCH_SPLIT;
    }
    return arena_failed(&batch->arena) ? BATCH_AGAIN : BATCH_DONE;
}

/* --- lock -------------------------------------------------------------------------------------------------------- */

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

static void lock(struct batch *batch)
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
static void watch_lease(struct batch *batch)
{
    if (batch->lock_degraded || batch->lock_count == 0)
        return;
    int64_t lease_us = batch->locks[0].lease_us;
    if (batch->lock_valid_until_us - monotonic_us() > lease_us / 3)
        return;
    if (lock_extend(batch->tools.lock, batch->locks, batch->lock_count, &batch->lock_valid_until_us) == LOCK_DEGRADED)
        metrics_add(METRIC_LOCK_DEGRADED, 1);
}

static void release(struct batch *batch)
{
    if (!batch->lock_degraded && batch->lock_count > 0)
        lock_release_send(batch->tools.lock, batch->locks, batch->lock_count);
}

/* --- answer ------------------------------------------------------------------------------------------------------ */

static void count_outcomes(const struct batch *batch)
{
    for (int i = 0; i < batch->count; i++)
    {
        const struct item *item = &batch->items[i];
        if (item->hold != HOLD_NOT)
            metrics_add(METRIC_BUSY, item->hold == HOLD_BUSY);
        else if (item->writes_record)
        {
            int index = -1;
            for (int w = 0; item->command.workflow && workflows[w]; w++)
                if (workflows[w] == item->command.workflow)
                    index = w;
            metrics_count_command(index, item->record.outcome - 1, 1);
        }
        else if (item->park != PARK_NOT)
            metrics_add(METRIC_PARKED, 1);
        else if (item->state == ITEM_KNOWN || item->state == ITEM_REPEATED)
            metrics_add(METRIC_DEDUPE_HITS, 1);
    }
    metrics_add(METRIC_BATCHES, 1);
    metrics_add(METRIC_BATCH_COMMANDS, batch->count);
    metrics_add(METRIC_TRANSACTION_TIME, monotonic_us() - batch->begun_us);
}

/* An earlier try may have left answers in the deliveries; this run starts clean. */
static void forget_answers(struct delivery *const *deliveries, int count)
{
    for (int i = 0; i < count; i++)
    {
        free(deliveries[i]->event);
        deliveries[i]->event = NULL;
        deliveries[i]->event_size = 0;
        deliveries[i]->event_key[0] = '\0';
    }
}

/* --- the whole --------------------------------------------------------------------------------------------------- */

static enum batch_end run_transaction(struct batch *batch)
{
    if (!batch_load(batch) || !batch_look_recorded(batch) || !batch_look_parked(batch))
    {
        /* PROTOCOL B4. The fence's statements cannot fail by a command's data; a look or a draw can, and a batch whose
         * rows take longer than a statement may would take so long at every try. */
        const struct failure *failure = pipeline_failure(batch->tools.pipeline);
        bool splits = failure->class == FAILURE_COMMAND || failure->class == FAILURE_TRANSIENT;
        return splits && !batch->fence_failed ? BATCH_SPLIT : batch_end_of(failure);
    }
    FAULT_POINT_CUTS(AFTER_LOAD, batch->tools.pipeline);
    if (!batch_is_heavy(batch))
        batch_decide(batch);
    if (batch_is_heavy(batch))
        return BATCH_SPLIT;
    batch->drew_short = arena_failed(&batch->arena);
    if (arena_failed(&batch->arena) || buffer_failed(&batch->text))
        return BATCH_AGAIN;
    watch_lease(batch);
    return batch_write(batch);
}

enum batch_end batch_run(struct batch *batch, struct delivery *const *deliveries, int count, struct batch_mode mode)
{
    assert(count > 0 && (mode.verdict == NULL || count == 1));
    forget_answers(deliveries, count);
    /* What failed the try before must not be taken for the reason when this one runs out of memory. */
    pipeline_forget_failure(batch->tools.pipeline);
    buffer_clear(&batch->text);
    buffer_clear(&batch->metadata);
    arena_reset(&batch->arena, BATCH_ARENA_KEEP);
    batch->mode = mode;
    batch->any_busy = batch->any_returned = batch->fence_failed = false;
    enum batch_end decoded = decode(batch, deliveries, count);
    if (decoded != BATCH_DONE)
        return decoded;
    lock(batch);
    if (FAULT_POINT_FAILS(AFTER_LOCK))
        batch->lock_degraded = true; /* its answer was lost: the names stay there until their leases end */
    enum batch_end end = arena_failed(&batch->arena) ? BATCH_AGAIN : run_transaction(batch);
    if (end != BATCH_DONE)
    {
        /* Nothing of a failed try may stay: whether it was our COMMIT that failed is found out by running again. */
        (void)pipeline_rollback(batch->tools.pipeline);
        release(batch);
        return end;
    }
    release(batch);
    count_outcomes(batch);
    return BATCH_DONE;
}
