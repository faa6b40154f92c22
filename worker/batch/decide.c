/* Deciding: every command of the batch in C, one after another on the same rows, no I/O (PROTOCOL B3). The
 * engine's part of a decision is here: not_found, expectedversion, versions, authors, times, the audit record (PROTOCOL B7,
 * B9). */
#include <assert.h>
#include <stdlib.h>

#include "worker/base/metrics.h"
#include "worker/batch/record.h"
#include "worker/settings/settings.h"

enum
{
    HELD_KEYS_SLOTS = 4096, /* power of two; a clash holds back a key too many, never one too few */
};

/* --- the record -------------------------------------------------------------------------------------------------- */

/* The root row of the command's aggregate, or NULL when it has none that is loaded. */
static struct row *root_of(const struct batch *batch, struct aggregate aggregate)
{
    const struct entity *entity = batch_root_entity(aggregate.kind);
    struct row *row = entity ? rows_find(batch->rows, entity, aggregate.id) : NULL;
    return row && (row->state == ROW_LOADED || row->state == ROW_NEW) ? row : NULL;
}

/* --- refusals ---------------------------------------------------------------------------------------------------- */

void batch_reject(struct batch *batch, struct item *item, const char *reason, struct span metadata)
{
    struct aggregate keyed;

    record_begin(batch, item);
    /* A refused creation whose id would have been drawn has no aggregate: its publisher waits under the key. */
    if (!item->record.aggregate.at && aggregate_parse(item->delivery->key, &keyed))
        item->record.aggregate = record_aggregate(batch, keyed);
    /* A command that was refused unread has asked for no row; that another one of the batch did must not show in its
     * event (PROTOCOL B3). */
    bool asked = item->state == ITEM_NEW && item->command.refusal == REASON_NONE;
    struct row *root = asked ? root_of(batch, item->command.aggregate) : NULL;
    if (root && !(item->command.workflow && item->command.workflow->flags & WORKFLOW_COUNTERS))
        record_change(&item->record, root->entity, root->current, root->current);
    item->record.outcome = 1 + OUTCOME_REJECTED;
    item->record.reason = span_of(reason);
    item->record.metadata = metadata;
}

/* PostgreSQL refused the command for good (PROTOCOL B4): its error becomes the reason. */
static void reject_as_refused(struct batch *batch, struct item *item)
{
    const struct failure *refused = batch->mode.refused;
    struct buffer *text = &batch->text;

    assert(batch->count == 1); /* or another command would be refused with it */
    buffer_clear(text);
    buffer_add_text(text, "{\"sqlstate\":");
    buffer_add_json_string(text, span_of(refused->sqlstate));
    buffer_add_text(text, ",\"message\":");
    buffer_add_json_string(text, span_of(refused->message));
    buffer_add_byte(text, '}');
    struct span metadata = record_text(batch, text);

    buffer_clear(text);
    buffer_add_text(text, reason_name(REASON_INVALID_DATA));
    if (refused->constraint[0] || strcmp(refused->sqlstate, "23502") == 0)
    {
        buffer_clear(text);
        buffer_add_text(text, "constraint:");
        buffer_add_text(text, refused->constraint[0] ? refused->constraint : refused->column);
    }
    struct span reason = record_text(batch, text);
    /* `decide` mirrors every CHECK; a CHECK that fails here is a defect of ours (PROTOCOL B3). */
    if (strcmp(refused->sqlstate, "23514") == 0)
        metrics_add(METRIC_DEFECT_CHECKS, 1);
    batch_reject(batch, item, reason.at, metadata);
}

/* --- edits ------------------------------------------------------------------------------------------------------- */

static void set_field(const struct entity *entity, int column, void *content, struct field_int value)
{
    if (column == COLUMN_NOT_THERE)
        return;
    assert(record_is_number(&entity->columns[column]));
    *(struct field_int *)entity_field(&entity->columns[column], content) = value;
}

/* Every write raises the root's version by one and says when and by whom. */
static void stamp(struct row *row, const void *before, int64_t changed_us, struct span actor)
{
    const struct entity *entity = row->entity;

    if (row->current == NULL)
        return; /* deleted */
    if (record_is_root(row, before))
    {
        int64_t from = before ? record_number(entity, entity->version, before).value : 0;
        set_field(entity, entity->version, row->current, int_of(from + 1));
    }
    else
        set_field(entity, entity->version, row->current,
                  int_of(before ? record_number(entity, entity->version, before).value : 0));
    set_field(entity, entity->modified_at, row->current, int_of(changed_us));
    if (before == NULL)
        set_field(entity, entity->created_at, row->current, int_of(changed_us));
    if (entity->modified_by != COLUMN_NOT_THERE)
        *(struct span *)entity_field(&entity->columns[entity->modified_by], row->current) = actor;
}

/* PROTOCOL R4: at least a microsecond after the last change of every root that changes. */
static int64_t changed_after(const struct rows *rows, int64_t changed_us)
{
    for (struct row_edit *edit = rows_edits(rows); edit; edit = edit->next)
    {
        struct field_int last =
            edit->before ? record_number(edit->row->entity, edit->row->entity->modified_at, edit->before) : INT_NULL;
        if (last.set && last.value >= changed_us)
            changed_us = last.value + 1;
    }
    return changed_us;
}

/* --- one command ------------------------------------------------------------------------------------------------- */

/* The refusals of the engine, before the workflow is asked. REASON_NONE: go on. */
static enum reason refuse_early(const struct batch *batch, const struct command *command)
{
    const struct workflow *workflow = command->workflow;
    const struct row *root = root_of(batch, command->aggregate);

    assert(workflow);
    if (root == NULL && command->aggregate.kind != AGGREGATE_NONE &&
        !(workflow->flags & (WORKFLOW_CREATES | WORKFLOW_BULK | WORKFLOW_COUNTERS)))
        return REASON_NOT_FOUND;
    if (!command->has_expected_version)
        return REASON_NONE;
    /* 0 = must not exist (PROTOCOL B9). */
    int64_t version = root ? record_number(root->entity, root->entity->version, root->current).value : 0;
    return version == command->expected_version ? REASON_NONE : REASON_STALE_OBJECT;
}

/* Applied: stamps the edited rows and completes the record. False: the event would be too large (PROTOCOL R5). */
static bool apply(struct batch *batch, struct item *item, const struct decision *decision)
{
    struct audit_record *record = &item->record;
    const struct entity *entity = batch_root_entity(decision->aggregate.kind);

    assert(decision->outcome == OUTCOME_APPLIED);
    batch->changed_us = changed_after(batch->rows, batch->changed_us);
    record->changed_at = int_of(batch->changed_us);
    record->aggregate = record_aggregate(batch, decision->aggregate);
    for (struct row_edit *edit = rows_edits(batch->rows); edit; edit = edit->next)
        stamp(edit->row, edit->before, batch->changed_us, item->command.actor);
    struct row *root = root_of(batch, decision->aggregate);
    if (root && entity && !(item->command.workflow->flags & WORKFLOW_COUNTERS))
        record_change(record, entity, root->current, root->current);
    return record_tale(batch, item, decision);
}

/* Fills the record of a command whose rows are here; false: one of them is busy, and nothing is left of the try. */
static bool decide_command(struct batch *batch, struct item *item)
{
    const struct command *command = &item->command;
    enum reason early = refuse_early(batch, command);
    struct decision decision = { .arena = &batch->arena, .aggregate = command->aggregate };

    assert(item->state == ITEM_NEW && command->refusal == REASON_NONE);
    if (early != REASON_NONE)
    {
        batch_reject(batch, item, reason_name(early), SPAN_NULL);
        return true;
    }
    record_begin(batch, item);
    struct row *root = root_of(batch, command->aggregate);
    struct field_int last = root ? record_number(root->entity, root->entity->modified_at, root->current) : INT_NULL;
    if (last.set && last.value >= batch->changed_us)
        batch->changed_us = last.value + 1;
    decision.now_us = batch->changed_us;
    decision.metadata = batch->metadata;
    buffer_clear(&decision.metadata);

    rows_begin(batch->rows);
    command->workflow->decide(command, batch->rows, &decision);
    batch->metadata = decision.metadata;
    if (rows_met_busy(batch->rows))
    {
        rows_undo(batch->rows);
        return false;
    }
    if (decision.outcome != OUTCOME_APPLIED && (decision.metadata.size > 0 || buffer_failed(&decision.metadata)))
        item->record.metadata = record_text(batch, &decision.metadata);
    if (decision.operation != OPERATION_NONE)
        item->record.operation = (int)decision.operation;
    item->record.outcome = 1 + (int)decision.outcome;
    item->record.changed_at = int_of(batch->changed_us);
    if (decision.outcome == OUTCOME_APPLIED && apply(batch, item, &decision))
    {
        rows_keep(batch->rows);
        return true;
    }
    rows_undo(batch->rows);
    item->also_count = 0;
    struct span metadata = item->record.metadata;
    int operation = item->record.operation;
    if (decision.outcome == OUTCOME_APPLIED)
        batch_reject(batch, item, reason_name(REASON_TOO_LARGE), SPAN_NULL);
    else if (decision.outcome == OUTCOME_REJECTED)
        batch_reject(batch, item, reason_name(decision.reason),
                     record_is_too_large(&item->record) ? SPAN_NULL : metadata);
    else if (root && !(command->workflow->flags & WORKFLOW_COUNTERS))
        record_change(&item->record, root->entity, root->current, root->current);
    item->record.operation = operation; /* the operation that it was to be */
    return true;
}

/* --- the batch --------------------------------------------------------------------------------------------------- */

/* A command whose row is somebody else's, or that stands behind such a one of its key, is held back with nothing of it
 * written (PROTOCOL B2). A command answered by a record needs no row. */
static enum hold_reason hold_of(struct batch *batch, const struct item *item, const bool *held_keys)
{
    if (held_keys[item->delivery->lane_hash & (HELD_KEYS_SLOTS - 1)])
        return HOLD_BEHIND;
    assert(item->state != ITEM_REPEATED || item->twin->verdict != VERDICT_OPEN); /* it was decided before */
    /* A repeated item is a duplicate once the first one is recorded; this batch does not record a fenced one. */
    if (item->state == ITEM_REPEATED && (item->twin->verdict == VERDICT_HOLD || item->twin->verdict == VERDICT_FENCED))
        return HOLD_BEHIND;
    if (!batch->any_busy || item->state != ITEM_NEW || item->command.refusal != REASON_NONE || batch->mode.refused)
        return HOLD_NOT;
    const struct entity *entity = batch_root_entity(item->command.aggregate.kind);
    const struct row *root = entity ? rows_find(batch->rows, entity, item->command.aggregate.id) : NULL;
    return root && root->state == ROW_BUSY ? HOLD_BUSY : HOLD_NOT;
}

static void hold_item(struct item *item, enum hold_reason reason)
{
    item->hold = reason;
    item_conclude(item, VERDICT_HOLD, ANSWER_NOTHING);
}

static void decide_new(struct batch *batch, struct item *item)
{
    assert(item->verdict == VERDICT_OPEN);
    if (item->command.refusal != REASON_NONE)
        batch_reject(batch, item, reason_name(item->command.refusal), item->command.refusal_metadata);
    else if (batch->mode.refused)
        reject_as_refused(batch, item);
    else if (!decide_command(batch, item))
    {
        /* Another row than its root's was busy. */
        item->hold = HOLD_BUSY;
        if (!item->parked.returns || !batch_park(batch, item))
            hold_item(item, HOLD_BUSY);
        return;
    }
    item_conclude(item, VERDICT_RECORD, ANSWER_EVENT);
}

static void decide_item(struct batch *batch, struct item *item)
{
    assert(item->hold == HOLD_NOT && item->park == PARK_NOT);
    switch (item->state)
    {
    case ITEM_FENCED:
        item_conclude(item, VERDICT_FENCED, ANSWER_NOT_OWNER);
        break;
    case ITEM_UNREADABLE:
        item_conclude(item, VERDICT_DEAD, item->published ? ANSWER_NOTHING : ANSWER_DEAD_LETTER);
        if (!item->recorded_dead)
            item->delivery->first_failed_us = batch->clock_us;
        break;
    case ITEM_KNOWN:
    case ITEM_REPEATED:
        batch_answer_known(batch, item);
        break;
    case ITEM_NEW:
        decide_new(batch, item);
        break;
    case ITEM__STATES:
        break;
    }
}

/* By PostgreSQL's clock, so not before the batch has it. One that is parked already stays. */
static void refuse_far(const struct batch *batch, struct item *item)
{
    static const char metadata[] = "{\"parameter\":\"/notbefore\",\"message\":\"further ahead than "
                                   "worker.park_horizon\"}";
    struct command *command = &item->command;

    if (item->state != ITEM_NEW || item->parked.returns || command->refusal != REASON_NONE ||
        !command->has_not_before ||
        command->not_before_us - batch->clock_us <= batch->tools.settings->worker.park_horizon_us)
        return;
    command->refusal = REASON_INVALID_DATA;
    command->refusal_metadata = span_of(metadata);
}

/* The Kafka key and the aggregate differ: applied safely, and counted (PROTOCOL L1). */
static void count_misrouted(const struct item *item)
{
    if (item->verdict == VERDICT_RECORD && item->record.aggregate.at && item->delivery->key.at &&
        !span_equal(item->record.aggregate, item->delivery->key))
        metrics_add(METRIC_MISROUTED, 1);
}

void batch_decide(struct batch *batch)
{
    bool held_keys[HELD_KEYS_SLOTS] = { false };

    for (int i = 0; i < batch->count && !batch_is_heavy(batch); i++)
    {
        struct item *item = &batch->items[i];
        refuse_far(batch, item);
        if (item->hold == HOLD_NOT)
            item->hold = hold_of(batch, item, held_keys);
        if (item->hold == HOLD_BEHIND || !batch_park(batch, item))
        {
            if (item->hold != HOLD_NOT)
                hold_item(item, item->hold);
            else
                decide_item(batch, item);
        }
        assert(item->verdict != VERDICT_OPEN);
        batch_advance_parked(batch, item);
        if (item->verdict == VERDICT_HOLD)
            held_keys[item->delivery->lane_hash & (HELD_KEYS_SLOTS - 1)] = true;
        else
            count_misrouted(item);
    }
}
