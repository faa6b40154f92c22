/* The life of a batch, in order (batch_run, at the end):
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
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/base/clock.h"
#include "worker/base/fault_point.h"
#include "worker/base/metrics.h"
#include "worker/batch/item.h"
#include "worker/settings/settings.h"

struct batch *batch_new(const struct batch_tools *tools)
{
    struct batch *batch = calloc(1, sizeof(*batch));

    if (batch == NULL)
        return NULL;
    batch->tools = *tools;
    arena_init(&batch->arena);
    batch->arrays = calloc(BATCH_ARRAYS, sizeof(*batch->arrays));
    if (batch->arrays)
        return batch;
    batch_free(batch);
    return NULL;
}

void batch_free(struct batch *batch)
{
    if (batch == NULL)
        return;
    arena_done(&batch->arena);
    buffer_done(&batch->text);
    buffer_done(&batch->metadata);
    pauses_done(&batch->pauses);
    for (int i = 0; batch->arrays && i < BATCH_ARRAYS; i++)
        array_done(&batch->arrays[i]);
    free(batch->arrays);
    free(batch);
}

/* ARCHITECTURE.md's table of failures, with the SQLSTATEs of worker/postgres/failure.c: the end that a failed call
 * means for a batch as a whole. The command that caused a transient failure or a failure of its own is found by halves
 * (worker/batch/write.c, PROTOCOL B4). */
static const enum batch_end ends[] = {
    [FAILURE_NONE] = BATCH_AGAIN, /* memory */
    [FAILURE_TRANSIENT] = BATCH_AGAIN, [FAILURE_SESSION] = BATCH_SESSION, [FAILURE_RESOURCES] = BATCH_STUCK,
    [FAILURE_COMMAND] = BATCH_AGAIN,   [FAILURE_OURS] = BATCH_STUCK,      [FAILURE_CORRUPTION] = BATCH_STUCK,
};
_Static_assert(sizeof(ends) / sizeof(*ends) == FAILURE__COUNT, "an end for every class");

enum batch_end batch_end_of(const struct failure *failure)
{
    assert(failure->class < FAILURE__COUNT);
    return ends[failure->class];
}

/* --- answer ------------------------------------------------------------------------------------------------------ */

/* In the registry; -1: none. */
static int index_of(const struct workflow *workflow)
{
    for (int i = 0; workflow && workflows[i]; i++)
        if (workflows[i] == workflow)
            return i;
    return -1;
}

static void count_outcomes(const struct batch *batch)
{
    for (int i = 0; i < batch->count; i++)
    {
        const struct item *item = &batch->items[i];
        switch (item->verdict)
        {
        case VERDICT_HOLD:
            metrics_add(METRIC_BUSY, item->hold == HOLD_BUSY);
            break;
        case VERDICT_RECORD:
            metrics_count_command(index_of(item->command.workflow), item->record.outcome - 1, 1);
            break;
        case VERDICT_PARK:
            metrics_add(METRIC_PARKED, 1);
            break;
        case VERDICT_REPRINT:
        case VERDICT_DUPLICATE:
            metrics_add(METRIC_DEDUPE_HITS, 1);
            break;
        case VERDICT_OPEN:
            assert(false); /* it is committed without a decision */
            break;
        case VERDICT_LATER:
        case VERDICT_DEAD:
        case VERDICT_FENCED:
            break;
        }
    }
    metrics_add(METRIC_BATCHES, 1);
    metrics_add(METRIC_BATCH_COMMANDS, batch->count);
    metrics_add(METRIC_TRANSACTION_TIME, monotonic_us() - batch->begun_us);
}

/* An earlier try may have left answers in the deliveries. */
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

/* --- results ----------------------------------------------------------------------------------------------------- */

enum retry_kind batch_retry_kind(const struct batch *batch, int index)
{
    const struct item *item = batch->items ? &batch->items[index] : NULL;

    assert(item == NULL || (index >= 0 && index < batch->count));
    return item && item->command.workflow ? workflow_retry(item->command.workflow) : RETRY_DEFAULT;
}

/* PostgreSQL skips a locked row without naming its owner; Redis names the lock that it refuses. */
static void explain_busy(const struct batch *batch, const struct item *item, struct batch_result *ret)
{
    char name[AGGREGATE_KEY_MAX];
    size_t size = 0;

    assert(item->hold == HOLD_BUSY);
    /* Without a kind it has no name yet: the id is drawn with the row. */
    if (item->command.aggregate.kind != AGGREGATE_NONE)
        size = aggregate_print(item->command.aggregate, name);
    if (batch_is_lock_refused(batch, (struct span){ name, size }))
    {
        ret->retry = RETRY_LOCK_ACQUISITION;
        snprintf(ret->why, sizeof(ret->why), "busy: the Redis lock of %.*s is held by another", (int)size, name);
    }
    else
        snprintf(ret->why, sizeof(ret->why), "busy: %.*s%sa row of it, is locked by another session", (int)size, name,
                 size > 0 ? ", or " : "");
}

void batch_result(const struct batch *batch, int index, struct batch_result *ret)
{
    const struct item *item = &batch->items[index];
    const struct workflow *workflow = item->command.workflow;

    assert(index >= 0 && index < batch->count && item->verdict != VERDICT_OPEN);
    ret->hold = item->hold;
    ret->parked = item->park == PARK_HELD;
    ret->wait_us = 0;
    ret->why[0] = '\0';
    if (item->hold == HOLD_NOT)
        return;
    ret->retry = batch_retry_kind(batch, index);
    if (item->hold == HOLD_FULL)
    {
        snprintf(ret->why, sizeof(ret->why), "%s: too many commands wait in PostgreSQL",
                 item->parked.pause_id > 0 ? "paused" : "to be parked");
        return;
    }
    if (item->hold == HOLD_BEHIND)
    {
        snprintf(ret->why, sizeof(ret->why), "behind a command that is held");
        return;
    }
    if (workflow)
        ret->wait_us = batch->tools.settings->locks[workflow->lock_class].wait_us;
    explain_busy(batch, item, ret);
}

/* --- the whole --------------------------------------------------------------------------------------------------- */

static enum batch_end run_transaction(struct batch *batch)
{
    if (!batch_load(batch) || !batch_look_pauses(batch) || !batch_look_recorded(batch) || !batch_look_parked(batch))
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
    batch_watch_lease(batch);
    return batch_write(batch);
}

static void begin_run(struct batch *batch, struct delivery *const *deliveries, int count, struct batch_mode mode)
{
    forget_answers(deliveries, count);
    /* Running out of memory sets no failure of its own; the previous try's would be reported as the cause. */
    pipeline_forget_failure(batch->tools.pipeline);
    buffer_clear(&batch->text);
    buffer_clear(&batch->metadata);
    arena_reset(&batch->arena, BATCH_ARENA_KEEP);
    batch->mode = mode;
    batch->any_busy = batch->any_returned = batch->any_parked = batch->fence_failed = false;
}

enum batch_end batch_run(struct batch *batch, struct delivery *const *deliveries, int count, struct batch_mode mode)
{
    assert(count > 0 && (mode.refused == NULL || count == 1));
    begin_run(batch, deliveries, count, mode);
    enum batch_end decoded = batch_decode(batch, deliveries, count);
    if (decoded != BATCH_DONE)
        return decoded;
    batch_lock(batch);
    if (FAULT_POINT_FAILS(AFTER_LOCK))
        batch->lock_degraded = true; /* its answer was lost: the names stay there until their leases end */
    enum batch_end end = arena_failed(&batch->arena) ? BATCH_AGAIN : run_transaction(batch);
    if (end != BATCH_DONE)
    {
        /* Nothing of a failed try may stay. Where the COMMIT failed, the next try finds in the inbox whether it came
         * through. */
        (void)pipeline_rollback(batch->tools.pipeline);
        /* Another server may count other pauses with the same number: one that lacks what this one had committed. */
        if (end == BATCH_SESSION)
            pauses_done(&batch->pauses);
        batch_unlock(batch);
        return end;
    }
    batch_unlock(batch);
    count_outcomes(batch);
    return BATCH_DONE;
}

/* --- trials ------------------------------------------------------------------------------------------------------ */

enum batch_end batch_try(struct batch *batch, struct delivery *const *deliveries, int count)
{
    assert(count > 0);
    begin_run(batch, deliveries, count, (struct batch_mode){ .trial = true });
    enum batch_end end = batch_decode(batch, deliveries, count);
    if (end != BATCH_DONE)
        return end;
    if (!batch_load(batch))
        end = batch_end_of(pipeline_failure(batch->tools.pipeline));
    else
    {
        if (!batch_is_heavy(batch))
            batch_decide(batch);
        end = batch_is_heavy(batch)                                        ? BATCH_SPLIT
              : arena_failed(&batch->arena) || buffer_failed(&batch->text) ? BATCH_AGAIN
                                                                           : BATCH_DONE;
    }
    (void)pipeline_rollback(batch->tools.pipeline);
    return end;
}

void batch_tried(const struct batch *batch, int index, struct batch_trial *ret)
{
    const struct item *item = &batch->items[index];
    const struct audit_record *record = &item->record;

    assert(index >= 0 && index < batch->count && batch->mode.trial);
    *ret = (struct batch_trial){ .waits = item->verdict == VERDICT_PARK };
    if (item->verdict != VERDICT_RECORD)
        return;
    ret->outcome = outcome_name((enum outcome)(record->outcome - 1));
    ret->reason = record->reason;
    ret->has_versions = record->version_from.set && record->version_to.set;
    ret->version_from = record->version_from.value;
    ret->version_to = record->version_to.value;
}
