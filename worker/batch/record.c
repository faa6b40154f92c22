/* The record of a command: the part that does not depend on its outcome, the root before and after, other changes. */
#include "worker/batch/record.h"

#include <assert.h>
#include <stdlib.h>

#include "worker/batch/audit_change.h"
#include "worker/batch/event_id.h"

enum
{
    RECORD_SIZE_SPARE = 8192, /* at most, of the fixed parts and the longest attributes of an event */
};

struct span record_aggregate(struct batch *batch, struct aggregate aggregate)
{
    char key[AGGREGATE_KEY_MAX];
    size_t size = aggregate_print(aggregate, key);
    return arena_copy(&batch->arena, (struct span){ key, size });
}

static struct span aggregate_of(struct batch *batch, const struct command *command)
{
    return command->aggregate.kind == AGGREGATE_NONE ? SPAN_NULL : record_aggregate(batch, command->aggregate);
}

/* The operation that the command names; record_tale reads it from the rows of an applied one. */
static enum operation named_operation(const struct command *command)
{
    const struct workflow *workflow = command->workflow;

    if (workflow == NULL)
        return OPERATION_NONE;
    if (workflow->name_operation && command->refusal == REASON_NONE)
        return workflow->name_operation(command->parameters);
    return workflow->operation;
}

void record_begin(struct batch *batch, struct item *item)
{
    const struct command *command = &item->command;
    const struct delivery *delivery = item->delivery;
    struct audit_record *record = &item->record;
    uint8_t event_id[16];

    assert(item->verdict == VERDICT_OPEN);
    memset(record, 0, sizeof(*record));
    if (!event_id_make(command->identity, delivery->partition->topic, delivery->partition->number, delivery->offset,
                       event_id))
        batch->arena.failed = true; /* out of memory: the batch is given up */
    record->event_id = array_read_id((const char *)event_id);
    record->kafka_offset = int_of(delivery->offset);
    record->fence = int_of(delivery->partition->fence);
    record->partition_id = int_of(delivery->partition->partition_id);
    record->changed_at = int_of(++batch->changed_us);
    record->lock_wait_us = int_of(batch->lock_wait_us);
    record->format = int_of(AUDIT_FORMAT);
    record->operation = (int)named_operation(command);
    record->aggregate = aggregate_of(batch, command);
    record->command_source = command->source;
    record->command_id = command->id;
    record->command_type = command->type;
    record->changed_by = command->actor;
    record->correlation_id = command->correlationid;
    record->traceparent = command->traceparent;
}

struct field_int record_number(const struct entity *entity, int column, const void *content)
{
    if (content == NULL || column == COLUMN_NOT_THERE)
        return INT_NULL;
    assert(record_is_number(&entity->columns[column]));
    return *(const struct field_int *)entity_field_const(&entity->columns[column], content);
}

static struct span status_field(const struct entity *entity, const void *content)
{
    if (content == NULL || entity->status == COLUMN_NOT_THERE)
        return SPAN_NULL;
    const struct column *column = &entity->columns[entity->status];
    assert(column->kind == COLUMN_NAME);
    int name = *(const int *)entity_field_const(column, content);
    return name > 0 ? span_of(column->names->names[name]) : SPAN_NULL;
}

void record_change(struct audit_record *record, const struct entity *entity, const void *before, const void *after)
{
    assert(entity != NULL);
    record->version_from = before ? record_number(entity, entity->version, before) : int_of(0);
    record->version_to = record_number(entity, entity->version, after);
    record->status_old = status_field(entity, before);
    record->status_new = status_field(entity, after);
    record->person_old = record_number(entity, entity->person, before);
    record->person_new = record_number(entity, entity->person, after);
    record->group_old = record_number(entity, entity->group, before);
    record->group_new = record_number(entity, entity->group, after);
}

/* A text that is cut short would make an event that cannot be read: the batch is given up, as wherever memory is
 * missing. */
struct span record_text(struct batch *batch, const struct buffer *text)
{
    batch->arena.failed = batch->arena.failed || buffer_failed(text);
    return arena_copy(&batch->arena, buffer_span(text));
}

bool record_is_root(const struct row *row, const void *before)
{
    const struct entity *entity = row->entity;
    if (!entity->root)
        return false;
    if (entity->parent == COLUMN_NOT_THERE)
        return true;
    return !record_number(entity, entity->parent, row->current ? row->current : before).set;
}

/* --- what changed ------------------------------------------------------------------------------------------------ */

/* A row of the step that the record tells of: a further root, or a child of the command's own. */
struct told
{
    struct span aggregate; /* of a root */
    const struct row *row;
    const void *before;
};

struct tale
{
    const void *root_before; /* of the command's own aggregate */
    const struct row *root;  /* NULL: the command did not change it */
    struct told *further, *children;
    int further_count, child_count;
};

static int compare_further(const void *a, const void *b)
{
    const struct told *left = a, *right = b;
    return strcmp(left->aggregate.at, right->aggregate.at);
}

static int compare_children(const void *a, const void *b)
{
    struct id left = ((const struct told *)a)->row->id, right = ((const struct told *)b)->row->id;
    if (left.high != right.high)
        return left.high < right.high ? -1 : 1;
    return (left.low > right.low) - (left.low < right.low);
}

static void tell_edit(struct batch *batch, struct aggregate own, const struct row_edit *edit, struct tale *tale)
{
    const struct row *row = edit->row;
    const struct aggregate aggregate = { row->entity->aggregate, row->id };

    if (record_is_root(row, edit->before) && aggregate.kind == own.kind && id_equal(aggregate.id, own.id))
    {
        assert(tale->root == NULL); /* a step has one edit of each row */
        tale->root = row;
        tale->root_before = edit->before;
    }
    else if (record_is_root(row, edit->before))
        tale->further[tale->further_count++] = (struct told){ record_aggregate(batch, aggregate), row, edit->before };
    else if (row->entity->children && edit->before)
        tale->children[tale->child_count++] = (struct told){ SPAN_NULL, row, edit->before };
}

/* False: no memory, the arena has failed. */
static bool collect(struct batch *batch, struct aggregate own, struct tale *ret)
{
    size_t count = 0;

    for (struct row_edit *edit = rows_edits(batch->rows); edit; edit = edit->next)
        count++;
    *ret = (struct tale){ .further = arena_take(&batch->arena, count * sizeof(struct told) + 1),
                          .children = arena_take(&batch->arena, count * sizeof(struct told) + 1) };
    if (ret->further == NULL || ret->children == NULL)
        return false;
    for (struct row_edit *edit = rows_edits(batch->rows); edit; edit = edit->next)
        tell_edit(batch, own, edit, ret);
    assert((size_t)ret->further_count + (size_t)ret->child_count <= count);
    if (arena_failed(&batch->arena))
        return false;
    if (ret->further_count > 1)
        qsort(ret->further, (size_t)ret->further_count, sizeof(*ret->further), compare_further);
    if (ret->child_count > 1)
        qsort(ret->children, (size_t)ret->child_count, sizeof(*ret->children), compare_children);
    return true;
}

/* Replaces the text after `start` by its digest. */
static void put_digest(struct batch *batch, struct buffer *text, size_t start)
{
    if (buffer_failed(text))
        return;
    assert(start < text->size);
    struct span whole = arena_copy(&batch->arena, (struct span){ text->at + start, text->size - start });
    text->size = start;
    if (whole.at)
        audit_change_print_digest(whole, text);
}

/* "checkpoints":[{"jobneed_id":8,"status":{"old":"ASSIGNED","new":"AUTOCLOSED"}}] */
static void print_children(struct batch *batch, const struct tale *tale, enum audit_detail detail, struct buffer *text)
{
    const struct entity *entity = tale->children[0].row->entity;

    assert(tale->child_count > 0);
    audit_change_begin_member(text, entity->children);
    size_t start = text->size;
    for (int i = 0; i < tale->child_count; i++)
    {
        const struct told *child = &tale->children[i];
        buffer_add_text(text, i ? ",{" : "[{");
        audit_change_begin_member(text, entity->child_id);
        buffer_add_int64(text, (int64_t)child->row->id.low);
        audit_change_print(entity, child->before, child->row->current, detail, &batch->arena, text);
        buffer_add_byte(text, '}');
    }
    buffer_add_byte(text, ']');
    if (detail == AUDIT_DIGEST)
        put_digest(batch, text, start);
}

/* The metadata of the workflow, then the changes of the root, then its children. Null: nothing. */
static struct span print_metadata(struct batch *batch, const struct tale *tale, const struct decision *decision,
                                  bool one_child, enum audit_detail detail)
{
    struct buffer *text = &batch->text;

    buffer_clear(text);
    buffer_add_byte(text, '{');
    if (decision->metadata.size > 2)
        buffer_add(text, decision->metadata.at + 1, decision->metadata.size - 2);
    if (tale->root && tale->root_before)
        audit_change_print(tale->root->entity, tale->root_before, tale->root->current, detail, &batch->arena, text);
    if (one_child && tale->child_count == 1)
        audit_change_print(tale->children[0].row->entity, tale->children[0].before, tale->children[0].row->current,
                           detail, &batch->arena, text);
    else if (tale->child_count > 0)
        print_children(batch, tale, detail, text);
    buffer_add_byte(text, '}');
    text->failed = text->failed || buffer_failed(&decision->metadata);
    return text->size > 2 || buffer_failed(text) ? record_text(batch, text) : SPAN_NULL;
}

static void print_further(struct batch *batch, const struct told *further, enum audit_detail detail,
                          struct buffer *text)
{
    const struct entity *entity = further->row->entity;
    struct audit_record change;

    assert(record_is_root(further->row, further->before) && further->aggregate.at);
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
    buffer_add_text(text, "},\"metadata\":");
    size_t start = text->size;
    buffer_add_byte(text, '{');
    if (further->before)
        audit_change_print(entity, further->before, further->row->current, detail, &batch->arena, text);
    buffer_add_byte(text, '}');
    if (detail == AUDIT_DIGEST)
        put_digest(batch, text, start);
    buffer_add_byte(text, '}');
}

/* PROTOCOL B7: the further aggregates that the command changed, sorted. */
static struct span print_also(struct batch *batch, const struct tale *tale, enum audit_detail detail)
{
    if (tale->further_count == 0)
        return SPAN_NULL;
    buffer_clear(&batch->text);
    for (int i = 0; i < tale->further_count; i++)
    {
        buffer_add_byte(&batch->text, i ? ',' : '[');
        print_further(batch, &tale->further[i], detail, &batch->text);
    }
    buffer_add_byte(&batch->text, ']');
    return record_text(batch, &batch->text);
}

static void record_also(struct batch *batch, struct item *item, const struct tale *tale)
{
    assert(item->also == NULL && tale->further_count <= AUDIT_ALSO_MAX);
    item->also = arena_take(&batch->arena, (size_t)tale->further_count * sizeof(*item->also) + 1);
    for (int i = 0; i < tale->further_count && item->also; i++)
    {
        const struct told *further = &tale->further[i];
        const struct entity *entity = further->row->entity;
        item->also[item->also_count++] = (struct audit_also){
            .kafka_offset = item->record.kafka_offset,
            .fence = item->record.fence,
            .changed_at = item->record.changed_at,
            .partition_id = item->record.partition_id,
            .version_from = further->before ? record_number(entity, entity->version, further->before) : int_of(0),
            .version_to = record_number(entity, entity->version, further->row->current),
            .aggregate = further->aggregate,
        };
    }
}

static bool differs(const struct entity *entity, int column, const void *before, const void *after)
{
    return column != COLUMN_NOT_THERE && !column_equal(&entity->columns[column], before, after);
}

/* DOMAIN.md, "Operations", from the rows: a root created, else a status changed, else an assignment. */
static enum operation told_operation(const struct tale *tale)
{
    bool status = false, assignment = false;

    if (tale->root && !tale->root_before)
        return OPERATION_CREATION;
    for (int i = tale->root ? -1 : 0; i < tale->further_count; i++)
    {
        const struct row *row = i < 0 ? tale->root : tale->further[i].row;
        const void *before = i < 0 ? tale->root_before : tale->further[i].before;
        const struct entity *entity = row->entity;
        if (before == NULL)
            continue;
        status = status || differs(entity, entity->status, before, row->current);
        assignment = assignment || differs(entity, entity->person, before, row->current) ||
                     differs(entity, entity->group, before, row->current);
    }
    return status ? OPERATION_STATUS_CHANGE : assignment ? OPERATION_ASSIGNMENT_CHANGE : OPERATION_FIELD_UPDATE;
}

bool record_is_too_large(const struct audit_record *record)
{
    return record->metadata.size + record->also.size > AUDIT_EVENT_SIZE_MAX - RECORD_SIZE_SPARE;
}

bool record_tale(struct batch *batch, struct item *item, const struct decision *decision)
{
    struct audit_record *record = &item->record;
    bool one_child = item->command.workflow->flags & WORKFLOW_CHILD;
    struct tale tale;

    assert(decision->outcome == OUTCOME_APPLIED && item->also_count == 0);
    if (!collect(batch, decision->aggregate, &tale))
        return true; /* the batch is given up */
    if (tale.root && !(item->command.workflow->flags & WORKFLOW_COUNTERS))
        record_change(record, tale.root->entity, tale.root_before, tale.root->current);
    if (operation_is_told_by_rows((enum operation)record->operation))
        record->operation = (int)told_operation(&tale);
    if (tale.further_count > AUDIT_ALSO_MAX)
        return false;
    if (tale.further_count > 0)
        record_also(batch, item, &tale);
    for (enum audit_detail detail = AUDIT_WHOLE; detail < AUDIT_DETAIL__COUNT; detail++)
    {
        record->metadata = print_metadata(batch, &tale, decision, one_child, detail);
        record->also = print_also(batch, &tale, detail);
        if (!record_is_too_large(record))
            return true;
    }
    return false;
}
