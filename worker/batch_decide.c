/* Deciding: every command of the batch in C, one after another on the same rows, no I/O (PROTOCOL B3). What a workflow
 * leaves to the engine is here: not_found, expectedversion, versions, authors, times, the audit record (PROTOCOL B7,
 * B9). */
#include <assert.h>
#include <stdlib.h>

#include "worker/batch.h"
#include "worker/event_id.h"
#include "worker/metrics.h"
#include "worker/settings.h"

enum
{
    RECORD_SIZE_SPARE = 8192, /* what the fixed parts and the longest attributes of an event take at most */
    HELD_KEYS_SLOTS = 4096,   /* power of two; a clash holds back a key too many, never one too few */
};

/* --- the record ------------------------------------------------------------------------------------------------ */

static struct span print_aggregate(struct batch *batch, struct aggregate aggregate)
{
    char key[AGGREGATE_KEY_MAX];
    size_t size = aggregate_print(aggregate, key);
    return arena_copy(&batch->arena, (struct span){ key, size });
}

static struct span aggregate_of(struct batch *batch, const struct command *command)
{
    return command->aggregate.kind == AGGREGATE_NONE ? SPAN_NULL : print_aggregate(batch, command->aggregate);
}

/* All of the record that does not depend on the outcome. */
static void begin_record(struct batch *batch, struct item *item)
{
    const struct command *command = &item->command;
    const struct delivery *delivery = item->delivery;
    struct audit_record *record = &item->record;
    uint8_t event_id[16];

    memset(record, 0, sizeof(*record));
    if (!event_id_make(command->identity, delivery->ownership->topic, delivery->ownership->partition, delivery->offset,
                       event_id))
        batch->arena.failed = true; /* the batch is given up, as for any memory that could not be had */
    record->event_id = array_read_id((const char *)event_id);
    record->kafka_offset = int_of(delivery->offset);
    record->fence = int_of(delivery->ownership->fence);
    record->partition_id = int_of(delivery->ownership->partition_id);
    record->changed_at = int_of(++batch->changed_us);
    record->lock_wait_us = int_of(batch->lock_wait_us);
    record->format = int_of(AUDIT_FORMAT);
    record->operation = command->workflow ? (int)command->workflow->operation : OPERATION_NONE;
    record->aggregate = aggregate_of(batch, command);
    record->command_source = command->source;
    record->command_id = command->id;
    record->command_type = command->type;
    record->changed_by = command->actor;
    record->correlation_id = command->correlationid;
    record->traceparent = command->traceparent;
    item->writes_record = true;
}

static struct field_int person_field(const struct entity *entity, int column, const void *content)
{
    if (content == NULL || column == COLUMN_NOT_THERE)
        return INT_NULL;
    return *(const struct field_int *)entity_field_const(&entity->columns[column], content);
}

static struct span status_field(const struct entity *entity, const void *content)
{
    if (content == NULL || entity->status == COLUMN_NOT_THERE)
        return SPAN_NULL;
    const struct column *column = &entity->columns[entity->status];
    int name = *(const int *)entity_field_const(column, content);
    return name > 0 ? span_of(column->names->names[name]) : SPAN_NULL;
}

/* Version, status, person and group of the command's own aggregate before and after; `before` NULL: it was not there.
 */
static void record_change(struct audit_record *record, const struct entity *entity, const void *before,
                          const void *after)
{
    assert(entity != NULL);
    record->version_from = before ? person_field(entity, entity->version, before) : int_of(0);
    record->version_to = person_field(entity, entity->version, after);
    record->status_old = status_field(entity, before);
    record->status_new = status_field(entity, after);
    record->person_old = person_field(entity, entity->person, before);
    record->person_new = person_field(entity, entity->person, after);
    record->group_old = person_field(entity, entity->group, before);
    record->group_new = person_field(entity, entity->group, after);
}

/* The root row of the command's aggregate, or NULL when it has none that is loaded. */
static struct row *root_of(const struct batch *batch, struct aggregate aggregate)
{
    const struct entity *entity = batch_root_entity(aggregate.kind);
    struct row *row = entity ? rows_find(batch->rows, entity, aggregate.id) : NULL;
    return row && (row->state == ROW_LOADED || row->state == ROW_NEW) ? row : NULL;
}

/* A text that is cut short would be recorded, and make of an event what nobody can read: the batch is given up, as for
 * any memory that could not be had. */
static struct span keep_text(struct batch *batch, const struct buffer *text)
{
    batch->arena.failed = batch->arena.failed || buffer_failed(text);
    return arena_copy(&batch->arena, buffer_span(text));
}

/* --- refusals -------------------------------------------------------------------------------------------------- */

void batch_reject(struct batch *batch, struct item *item, const char *reason, struct span metadata)
{
    struct aggregate keyed;

    begin_record(batch, item);
    /* Of what was to be created under an id yet to be drawn: its publisher waits under the key. */
    if (!item->record.aggregate.at && aggregate_parse(item->delivery->key, &keyed))
        item->record.aggregate = print_aggregate(batch, keyed);
    /* A command that was refused unread has asked for no row; that another one of the batch did must not show in its
     * event (PROTOCOL B3). */
    bool asked = item->state == ITEM_NEW && item->command.refusal == REASON_NONE;
    struct row *root = asked ? root_of(batch, item->command.aggregate) : NULL;
    if (root && !(item->command.workflow && item->command.workflow->flags & WORKFLOW_COUNTERS))
        record_change(&item->record, root->entity, root->current, root->current);
    item->record.outcome = 1 + OUTCOME_REJECTED;
    item->record.reason = span_of(reason);
    item->record.metadata = metadata;
    item->writes_inbox = item->state == ITEM_NEW;
    item->delivery->answer = ANSWER_EVENT;
}

/* PostgreSQL refused the command for good (PROTOCOL B4): what it says becomes the reason. */
static void reject_by_verdict(struct batch *batch, struct item *item)
{
    const struct failure *verdict = batch->mode.verdict;
    struct buffer *text = &batch->text;

    buffer_clear(text);
    buffer_add_text(text, "{\"sqlstate\":");
    buffer_add_json_string(text, span_of(verdict->sqlstate));
    buffer_add_text(text, ",\"message\":");
    buffer_add_json_string(text, span_of(verdict->message));
    buffer_add_byte(text, '}');
    struct span metadata = keep_text(batch, text);

    buffer_clear(text);
    buffer_add_text(text, reason_name(REASON_INVALID_DATA));
    if (verdict->constraint[0] || strcmp(verdict->sqlstate, "23502") == 0)
    {
        buffer_clear(text);
        buffer_add_text(text, "constraint:");
        buffer_add_text(text, verdict->constraint[0] ? verdict->constraint : verdict->column);
    }
    struct span reason = keep_text(batch, text);
    /* `decide` mirrors every CHECK; one that is met here is a defect of ours (PROTOCOL B3). */
    if (strcmp(verdict->sqlstate, "23514") == 0)
        metrics_add(METRIC_DEFECT_CHECKS, 1);
    batch_reject(batch, item, reason.at, metadata);
}

/* --- edits ----------------------------------------------------------------------------------------------------- */

/* A deleted row is what it was before. */
static bool is_root(const struct row *row, const void *before)
{
    const struct entity *entity = row->entity;
    if (!entity->root)
        return false;
    if (entity->parent == COLUMN_NOT_THERE)
        return true;
    return !person_field(entity, entity->parent, row->current ? row->current : before).set;
}

static void set_field(const struct entity *entity, int column, void *content, struct field_int value)
{
    if (column != COLUMN_NOT_THERE)
        *(struct field_int *)entity_field(&entity->columns[column], content) = value;
}

/* Every write raises the root's version by one and says when and by whom. */
static void stamp(struct row *row, const void *before, int64_t changed_us, struct span actor)
{
    const struct entity *entity = row->entity;

    if (row->current == NULL)
        return; /* deleted */
    if (is_root(row, before))
    {
        int64_t from = before ? person_field(entity, entity->version, before).value : 0;
        set_field(entity, entity->version, row->current, int_of(from + 1));
    }
    else
        set_field(entity, entity->version, row->current,
                  int_of(before ? person_field(entity, entity->version, before).value : 0));
    set_field(entity, entity->modified_at, row->current, int_of(changed_us));
    if (before == NULL)
        set_field(entity, entity->created_at, row->current, int_of(changed_us));
    if (entity->modified_by != COLUMN_NOT_THERE)
        *(struct span *)entity_field(&entity->columns[entity->modified_by], row->current) = actor;
}

/* PROTOCOL R4: at least a microsecond behind the last change of every root that changes. */
static int64_t changed_after(const struct rows *rows, int64_t changed_us)
{
    for (struct row_edit *edit = rows_edits(rows); edit; edit = edit->next)
    {
        struct field_int last =
            edit->before ? person_field(edit->row->entity, edit->row->entity->modified_at, edit->before) : INT_NULL;
        if (last.set && last.value >= changed_us)
            changed_us = last.value + 1;
    }
    return changed_us;
}

struct further
{
    struct span aggregate;
    const struct row *row;
    const void *before;
};

static int compare_further(const void *a, const void *b)
{
    const struct further *left = a, *right = b;
    return strcmp(left->aggregate.at, right->aggregate.at);
}

static void print_further(struct buffer *text, const struct further *further)
{
    const struct entity *entity = further->row->entity;
    struct audit_record change;

    memset(&change, 0, sizeof(change));
    record_change(&change, entity, further->before, further->row->current);
    buffer_add_text(text, "{\"aggregate\":");
    buffer_add_json_string(text, further->aggregate);
    buffer_add_text(text, ",\"version\":{\"from\":");
    buffer_add_int64(text, change.version_from.value);
    buffer_add_text(text, ",\"to\":");
    buffer_add_int64(text, change.version_to.value);
    buffer_add_text(text, "},\"status\":{\"old\":");
    buffer_add_json_string(text, change.status_old);
    buffer_add_text(text, ",\"new\":");
    buffer_add_json_string(text, change.status_new);
    buffer_add_text(text, "}}");
}

/* PROTOCOL B7: the further aggregates that the command changed, sorted. False: more than the event may list. */
static bool record_further(struct batch *batch, struct item *item, struct aggregate own)
{
    int count = 0, capacity = 0;

    for (struct row_edit *edit = rows_edits(batch->rows); edit; edit = edit->next)
        capacity++;
    struct further *further = arena_take(&batch->arena, (size_t)capacity * sizeof(*further) + 1);
    for (struct row_edit *edit = rows_edits(batch->rows); further && edit; edit = edit->next)
    {
        struct aggregate aggregate = { edit->row->entity->aggregate, edit->row->id };
        if (!is_root(edit->row, edit->before) || (aggregate.kind == own.kind && id_equal(aggregate.id, own.id)))
            continue;
        further[count++] = (struct further){ print_aggregate(batch, aggregate), edit->row, edit->before };
    }
    if (count == 0 || arena_failed(&batch->arena))
        return true;
    if (count > AUDIT_ALSO_MAX)
        return false;
    qsort(further, (size_t)count, sizeof(*further), compare_further);
    buffer_clear(&batch->text);
    buffer_add_byte(&batch->text, '[');
    item->also = arena_take(&batch->arena, (size_t)count * sizeof(*item->also));
    for (int i = 0; i < count && item->also; i++)
    {
        const struct entity *entity = further[i].row->entity;
        if (i)
            buffer_add_byte(&batch->text, ',');
        print_further(&batch->text, &further[i]);
        item->also[item->also_count++] = (struct audit_also){
            .kafka_offset = item->record.kafka_offset,
            .fence = item->record.fence,
            .changed_at = item->record.changed_at,
            .partition_id = item->record.partition_id,
            .version_from = further[i].before ? person_field(entity, entity->version, further[i].before) : int_of(0),
            .version_to = person_field(entity, entity->version, further[i].row->current),
            .aggregate = further[i].aggregate,
        };
    }
    buffer_add_byte(&batch->text, ']');
    item->record.also = keep_text(batch, &batch->text);
    return true;
}

/* --- one command ----------------------------------------------------------------------------------------------- */

/* What the engine answers before the workflow is asked. REASON_NONE: go on. */
static enum reason refuse_early(const struct batch *batch, const struct command *command)
{
    const struct workflow *workflow = command->workflow;
    const struct row *root = root_of(batch, command->aggregate);

    if (root == NULL && command->aggregate.kind != AGGREGATE_NONE &&
        !(workflow->flags & (WORKFLOW_CREATES | WORKFLOW_BULK | WORKFLOW_COUNTERS)))
        return REASON_NOT_FOUND;
    if (!command->has_expected_version)
        return REASON_NONE;
    /* 0 = must not exist (PROTOCOL B9). */
    int64_t version = root ? person_field(root->entity, root->entity->version, root->current).value : 0;
    return version == command->expected_version ? REASON_NONE : REASON_STALE_OBJECT;
}

static bool is_too_large(const struct audit_record *record)
{
    return record->metadata.size + record->also.size > AUDIT_EVENT_SIZE_MAX - RECORD_SIZE_SPARE;
}

/* Applied: stamps the edited rows and completes the record. False: the event would be too large (PROTOCOL R5). */
static bool apply(struct batch *batch, struct item *item, const struct decision *decision)
{
    struct audit_record *record = &item->record;
    const struct entity *entity = batch_root_entity(decision->aggregate.kind);

    batch->changed_us = changed_after(batch->rows, batch->changed_us);
    record->changed_at = int_of(batch->changed_us);
    record->aggregate = print_aggregate(batch, decision->aggregate);
    for (struct row_edit *edit = rows_edits(batch->rows); edit; edit = edit->next)
        stamp(edit->row, edit->before, batch->changed_us, item->command.actor);
    struct row *root = root_of(batch, decision->aggregate);
    if (root && entity && !(item->command.workflow->flags & WORKFLOW_COUNTERS))
        record_change(record, entity, root->current, root->current);
    for (struct row_edit *edit = rows_edits(batch->rows); edit; edit = edit->next)
        if (edit->row == root)
            record_change(record, entity, edit->before, root->current);
    return record_further(batch, item, decision->aggregate) && !is_too_large(record);
}

static void decide_command(struct batch *batch, struct item *item)
{
    const struct command *command = &item->command;
    enum reason early = refuse_early(batch, command);
    struct decision decision = { .arena = &batch->arena, .aggregate = command->aggregate };

    if (early != REASON_NONE)
    {
        batch_reject(batch, item, reason_name(early), SPAN_NULL);
        return;
    }
    begin_record(batch, item);
    struct row *root = root_of(batch, command->aggregate);
    struct field_int last = root ? person_field(root->entity, root->entity->modified_at, root->current) : INT_NULL;
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
        item->writes_record = false;
        item->hold = HOLD_BUSY;
        return;
    }
    if (decision.metadata.size > 0 || buffer_failed(&decision.metadata))
        item->record.metadata = keep_text(batch, &decision.metadata);
    if (decision.operation != OPERATION_NONE)
        item->record.operation = (int)decision.operation;
    item->record.outcome = 1 + (int)decision.outcome;
    item->record.changed_at = int_of(batch->changed_us);
    item->writes_inbox = true;
    item->delivery->answer = ANSWER_EVENT;
    if (decision.outcome == OUTCOME_APPLIED && apply(batch, item, &decision))
    {
        rows_keep(batch->rows);
        return;
    }
    rows_undo(batch->rows);
    item->also_count = 0;
    struct span metadata = item->record.metadata;
    if (decision.outcome == OUTCOME_APPLIED)
        batch_reject(batch, item, reason_name(REASON_TOO_LARGE), SPAN_NULL);
    else if (decision.outcome == OUTCOME_REJECTED)
        batch_reject(batch, item, reason_name(decision.reason), is_too_large(&item->record) ? SPAN_NULL : metadata);
    else if (root && !(command->workflow->flags & WORKFLOW_COUNTERS))
        record_change(&item->record, root->entity, root->current, root->current);
}

/* --- the batch ------------------------------------------------------------------------------------------------- */

/* A command whose row is somebody else's, or that stands behind such a one of its key, is held back with nothing of it
 * written (PROTOCOL B2). A command answered by a record needs no row. */
static enum hold_reason hold_of(struct batch *batch, const struct item *item, const bool *held_keys)
{
    if (held_keys[item->delivery->lane_hash & (HELD_KEYS_SLOTS - 1)])
        return HOLD_BEHIND;
    /* A twin is a duplicate once the first one is recorded; nobody records a lost one here. */
    if (item->state == ITEM_TWIN && (item->twin->hold != HOLD_NOT || item->twin->state == ITEM_LOST))
        return HOLD_BEHIND;
    if (!batch->any_busy || item->state != ITEM_NEW || item->command.refusal != REASON_NONE)
        return HOLD_NOT;
    const struct entity *entity = batch_root_entity(item->command.aggregate.kind);
    const struct row *root = entity ? rows_find(batch->rows, entity, item->command.aggregate.id) : NULL;
    return root && root->state == ROW_BUSY ? HOLD_BUSY : HOLD_NOT;
}

static void decide_item(struct batch *batch, struct item *item)
{
    switch (item->state)
    {
    case ITEM_LOST:
        item->delivery->answer = ANSWER_NOT_OWNER;
        break;
    case ITEM_DEAD:
        item->delivery->answer = item->published ? ANSWER_NOTHING : ANSWER_DEAD_LETTER;
        if (!item->recorded_dead)
            item->delivery->first_failed_us = batch->clock_us;
        break;
    case ITEM_SEEN:
    case ITEM_TWIN:
        batch_answer_seen(batch, item);
        break;
    case ITEM_NEW:
        if (item->command.refusal != REASON_NONE)
            batch_reject(batch, item, reason_name(item->command.refusal), item->command.refusal_metadata);
        else if (batch->mode.verdict)
            reject_by_verdict(batch, item);
        else
            decide_command(batch, item);
        break;
    }
}

/* The Kafka key and the aggregate differ: applied safely, and counted (PROTOCOL L1). */
static void count_misrouted(const struct item *item)
{
    if (item->writes_record && item->record.aggregate.at && item->delivery->key.at &&
        !span_equal(item->record.aggregate, item->delivery->key))
        metrics_add(METRIC_MISROUTED, 1);
}

void batch_decide(struct batch *batch)
{
    bool held_keys[HELD_KEYS_SLOTS] = { false };

    for (int i = 0; i < batch->count && !batch_is_heavy(batch); i++)
    {
        struct item *item = &batch->items[i];
        item->hold = item->hold == HOLD_NOT ? hold_of(batch, item, held_keys) : item->hold;
        if (item->hold != HOLD_BEHIND && batch_park(batch, item))
            item->hold = HOLD_NOT; /* it waits in PostgreSQL: for that it needs no row */
        else if (item->hold == HOLD_NOT)
        {
            decide_item(batch, item);
            batch_pass_parked(batch, item);
        }
        if (item->hold != HOLD_NOT)
            held_keys[item->delivery->lane_hash & (HELD_KEYS_SLOTS - 1)] = true;
        else
            count_misrouted(item);
    }
}
