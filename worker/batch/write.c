/* Pipeline 2 (PROTOCOL B1): deletes, updates, inserts, counters, inbox, audit, COMMIT; one round trip. The events are
 * printed before it, so that none is too large to publish after the commit (PROTOCOL R5). */
#include <assert.h>
#include <stdlib.h>

#include "worker/base/clock.h"
#include "worker/base/log.h"
#include "worker/batch/item.h"
#include "worker/batch/quarantine.h"
#include "worker/postgres/session_terms.h"
#include "worker/settings/settings.h"

static const char commit_sql[] = "COMMIT";
static const char emit_sql[] = "SELECT pg_logical_emit_message(true, 'interlock', '')";

/* Where the kinds of statements begin in the pipeline. */
struct ranges
{
    int inbox, audit, commit; /* statements before `inbox` write rows of the domain */
    int next;
};

/* --- rows of the domain ------------------------------------------------------------------------------------------ */

static bool send_deletes(struct batch *batch, struct ranges *ranges, const struct entity *entity)
{
    struct id *ids = arena_take(&batch->arena, ((size_t)rows_count(batch->rows, entity) + 1) * sizeof(*ids));
    int count = 0;

    for (struct row *row = rows_first(batch->rows, entity); ids && row; row = row->next)
        if ((row->state == ROW_DELETED || row->reborn) && row->loaded)
            ids[count++] = row->id;
    if (count == 0)
        return ids != NULL;
    ranges->next++;
    return statements_send_delete(batch->tools.statements, entity, ids, count);
}

/* A row that this transaction has locked is still where it was read. */
static bool rows_stay(const struct batch *batch)
{
    return batch->tools.settings->protections.row_locks && batch->tools.settings->protections.transaction;
}

/* Whether the row gives up a flag that only one row may have. */
static bool gives_up(const struct row *row)
{
    assert(row->loaded && row->current);
    for (int i = 0; i < row->entity->column_count; i++)
    {
        const struct column *column = &row->entity->columns[i];
        if (column->flags & COLUMN_UNIQUE && *(const bool *)entity_field_const(column, row->loaded) &&
            !*(const bool *)entity_field_const(column, row->current))
            return true;
    }
    return false;
}

/* `giving`: the rows that give a flag up, else the others. Each row is in one of the two statements only: its place is
 * the one it was locked at. */
static bool send_updates(struct batch *batch, struct ranges *ranges, const struct entity *entity, bool giving)
{
    const struct row **changed =
        arena_take(&batch->arena, ((size_t)rows_count(batch->rows, entity) + 1) * sizeof(*changed));
    uint64_t columns = 0;
    int count = 0;

    for (struct row *row = rows_first(batch->rows, entity); changed && row; row = row->next)
    {
        if (row->state != ROW_LOADED || row->step == 0 || row->reborn || gives_up(row) != giving)
            continue;
        uint64_t differing = entity_difference(entity, row->loaded, row->current);
        if (differing == 0)
            continue;
        /* One statement for all: a row keeps its own value in the columns that only others change. */
        columns |= differing;
        changed[count++] = row;
    }
    if (count == 0)
        return changed != NULL;
    ranges->next++;
    return statements_send_update(batch->tools.statements, entity, columns, changed, count, !rows_stay(batch));
}

static bool send_inserts(struct batch *batch, struct ranges *ranges, const struct entity *entity)
{
    int capacity = rows_count(batch->rows, entity) + rows_appended_count(batch->rows, entity);
    const void **added = arena_take(&batch->arena, ((size_t)capacity + 1) * sizeof(*added));
    int count = 0;

    for (struct row *row = rows_first(batch->rows, entity); added && row; row = row->next)
        if (row->state == ROW_NEW || (row->state == ROW_LOADED && row->reborn))
            added[count++] = row->current;
    for (struct row *row = rows_first_appended(batch->rows, entity); added && row; row = row->next)
        added[count++] = row->current;
    if (count == 0)
        return added != NULL;
    assert(count <= capacity);
    ranges->next++;
    return statements_send_insert(batch->tools.statements, entity, added, count);
}

static int compare_counters(const void *a, const void *b)
{
    const int64_t left = (*(const struct field_int *const *)a)->value,
                  right = (*(const struct field_int *const *)b)->value;
    return (left > right) - (left < right);
}

static bool send_additions(struct batch *batch, struct ranges *ranges, const struct entity *entity)
{
    const void **added = arena_take(&batch->arena, ((size_t)rows_count(batch->rows, entity) + 1) * sizeof(*added));
    int count = 0;

    for (struct row *row = rows_first(batch->rows, entity); added && row; row = row->next)
        if (row->state == ROW_ADDED)
            added[count++] = row->current;
    if (count == 0)
        return added != NULL;
    qsort(added, (size_t)count, sizeof(*added), compare_counters); /* the id is the first field of a counter's row */
    ranges->next++;
    return statements_send_add(batch->tools.statements, entity, added, count);
}

static bool send_domain(struct batch *batch, struct ranges *ranges)
{
    int count = 0;

    while (entities[count])
        count++;
    for (int e = count - 1; e >= 0; e--)
        if (!send_deletes(batch, ranges, entities[e]))
            return false;
    for (int e = 0; e < count; e++)
        if (entity_has(entities[e], COLUMN_UNIQUE) && !send_updates(batch, ranges, entities[e], true))
            return false;
    for (int e = 0; e < count; e++)
        if (!send_updates(batch, ranges, entities[e], false))
            return false;
    for (int e = 0; e < count; e++)
        if (!send_inserts(batch, ranges, entities[e]))
            return false;
    for (int e = 0; e < count; e++)
        if (!send_additions(batch, ranges, entities[e]))
            return false;
    return true;
}

/* --- rows of the engine ------------------------------------------------------------------------------------------- */

static int compare_identities(const void *a, const void *b)
{
    const struct inbox_record *left = *(const struct inbox_record *const *)a,
                              *right = *(const struct inbox_record *const *)b;
    if (left->identity.high != right->identity.high)
        return left->identity.high > right->identity.high ? 1 : -1;
    return (left->identity.low > right->identity.low) - (left->identity.low < right->identity.low);
}

/* In the order of the identities, so that two batches with a common one meet in one order. */
static bool send_inbox(struct batch *batch, struct ranges *ranges)
{
    const void **rows = arena_take(&batch->arena, (size_t)batch->count * sizeof(*rows));
    int count = 0;

    for (int i = 0; rows && i < batch->count; i++)
    {
        struct item *item = &batch->items[i];
        if (!item_writes_inbox(item) || item->parked.returns || !batch->tools.settings->protections.inbox)
            continue;
        assert(!item->parked.known); /* it has a row already */
        item->inbox = (struct inbox_record){
            .identity = array_read_id((const char *)item->command.identity),
            .body_digest = array_read_id((const char *)item->command.body_digest),
            .kafka_offset = item->record.kafka_offset,
            .fence = item->record.fence,
            .partition_id = item->record.partition_id,
        };
        rows[count++] = &item->inbox;
    }
    if (count == 0)
        return rows != NULL;
    qsort(rows, (size_t)count, sizeof(*rows), compare_identities);
    ranges->next++;
    return statements_send_insert(batch->tools.statements, &entity_inbox, rows, count);
}

static bool send_audit(struct batch *batch, struct ranges *ranges)
{
    int count = 0, also_count = 0;

    for (int i = 0; i < batch->count; i++)
        also_count += batch->items[i].also_count;
    const void **rows = arena_take(&batch->arena, (size_t)batch->count * sizeof(*rows));
    const void **also = arena_take(&batch->arena, ((size_t)also_count + 1) * sizeof(*also));
    if (rows == NULL || also == NULL)
        return false;
    also_count = 0;
    for (int i = 0; i < batch->count; i++)
    {
        if (batch->items[i].verdict != VERDICT_RECORD)
            continue;
        rows[count++] = &batch->items[i].record;
        for (int n = 0; n < batch->items[i].also_count; n++)
            also[also_count++] = &batch->items[i].also[n];
    }
    assert(count > 0 || also_count == 0);
    if (count > 0)
    {
        ranges->next++;
        if (!statements_send_insert(batch->tools.statements, &entity_audit_event, rows, count))
            return false;
    }
    if (also_count == 0)
        return true;
    ranges->next++;
    return statements_send_insert(batch->tools.statements, &entity_audit_also, also, also_count);
}

/* The notes of crash suspects that this transaction answers. */
static bool send_suspects(struct batch *batch, struct ranges *ranges)
{
    array_begin(&batch->arrays[0], ARRAY_INT4);
    array_begin(&batch->arrays[1], ARRAY_INT8);
    for (int i = 0; i < batch->count; i++)
    {
        const struct item *item = &batch->items[i];
        if (!item->delivery->suspect || !item_is_answered(item))
            continue;
        array_add_int32(&batch->arrays[0], item->delivery->partition->partition_id);
        array_add_int64(&batch->arrays[1], item->delivery->offset);
    }
    if (array_is_empty(&batch->arrays[0]))
        return true;
    ranges->next++;
    return quarantine_send_answered(batch->tools.statements, &batch->arrays[0], &batch->arrays[1]);
}

/* --- events ------------------------------------------------------------------------------------------------------ */

static bool print_event(struct batch *batch, struct item *item)
{
    struct delivery *delivery = item->delivery;

    assert(delivery->event == NULL); /* nothing is answered twice */
    buffer_clear(&batch->text);
    audit_print_event(&item->record, &batch->text);
    if (buffer_failed(&batch->text))
        return false;
    delivery->event = malloc(batch->text.size);
    if (delivery->event == NULL)
        return false;
    memcpy(delivery->event, batch->text.at, batch->text.size);
    delivery->event_size = batch->text.size;
    audit_print_key(&item->record, delivery->event_key, sizeof(delivery->event_key));
    return true;
}

/* The time from BEGIN to the audit write is one for the whole transaction. */
static bool print_events(struct batch *batch)
{
    struct field_int transaction_us = int_of(monotonic_us() - batch->begun_us);

    for (int i = 0; i < batch->count; i++)
    {
        struct item *item = &batch->items[i];
        assert(item->verdict != VERDICT_OPEN); /* each item is decided before anything is written */
        if (item->verdict == VERDICT_RECORD)
            item->record.transaction_us = transaction_us;
        if (item_is_answered(item) && item->delivery->answer == ANSWER_EVENT && !print_event(batch, item))
            return false;
    }
    return true;
}

/* --- the pipeline ------------------------------------------------------------------------------------------------ */

static bool any_recorded_answer(const struct batch *batch)
{
    for (int i = 0; i < batch->count; i++)
        if (item_is_answered(&batch->items[i]))
            return true;
    return false;
}

static bool send_pipeline(struct batch *batch, struct ranges *ranges)
{
    assert(batch->fence_at >= 0); /* this transaction has the locks of its partitions (PROTOCOL O4) */
    *ranges = (struct ranges){ 0, 0, 0, 0 };
    if (!send_domain(batch, ranges))
        return false;
    FAULT_POINT_QUEUED(AFTER_UPDATE, batch->tools.pipeline);
    ranges->inbox = ranges->next;
    if (!send_inbox(batch, ranges) || !batch_send_parked(batch, &ranges->next))
        return false;
    FAULT_POINT_QUEUED(AFTER_INBOX, batch->tools.pipeline);
    ranges->audit = ranges->next;
    if (!send_audit(batch, ranges) || !batch_send_letters(batch, &ranges->next) || !send_suspects(batch, ranges))
        return false;
    /* PROTOCOL R6: the COMMIT of a batch that only answers from records waits for the standby, too. */
    if (ranges->next == 0 && any_recorded_answer(batch))
    {
        ranges->next++;
        if (!statements_send_fixed(batch->tools.statements, emit_sql, NULL, 0))
            return false;
    }
    ranges->commit = ranges->next;
    FAULT_POINT_QUEUED(BEFORE_COMMIT, batch->tools.pipeline);
    if (!batch->tools.settings->protections.transaction)
        return true;
    return statements_send_fixed(batch->tools.statements, commit_sql, NULL, 0);
}

/* PROTOCOL B4. A conflict in the inbox is nobody's fault: somebody else, usually our own ghost, finished the command
 * meanwhile, or holds it for the moment. Every other refusal of a statement is one command's own, and halves find out
 * whose; a statement that takes longer than it may has too much to do at once. */
static enum batch_end end_of_failure(const struct batch *batch, const struct ranges *ranges)
{
    const struct failure *failure = pipeline_failure(batch->tools.pipeline);
    int at = pipeline_failed_at(batch->tools.pipeline);

    assert(ranges->inbox <= ranges->audit && ranges->audit <= ranges->commit);
    if (failure->class != FAILURE_COMMAND && failure->class != FAILURE_TRANSIENT)
        return batch_end_of(failure);
    bool too_long = strcmp(failure->sqlstate, "57014") == 0;
    if (at >= ranges->inbox && at < ranges->audit && !too_long)
        return BATCH_AGAIN;
    return BATCH_SPLIT;
}

/* PROTOCOL R6: committed here, maybe not on the standby. For Kafka it counts as committed when a later COMMIT answers
 * without the warning. */
static bool await_replication(struct batch *batch)
{
    static struct log_rate rate;

    while (batch->tools.settings->protections.standby && pipeline_is_unreplicated(batch->tools.pipeline))
    {
        if (log_allowed(&rate, 60000000))
            log_warning("commit on %s is not confirmed by the standby: holding its events until one is",
                        pipeline_where(batch->tools.pipeline));
        if (!pipeline_send_text(batch->tools.pipeline, TRANSACTION_BEGIN) ||
            !statements_send_fixed(batch->tools.statements, emit_sql, NULL, 0) ||
            !statements_send_fixed(batch->tools.statements, commit_sql, NULL, 0) ||
            !pipeline_sync(batch->tools.pipeline))
            return false;
    }
    return true;
}

enum batch_end batch_write(struct batch *batch)
{
    struct ranges ranges;

    assert(!batch_is_heavy(batch) && !arena_failed(&batch->arena)); /* part of it may not be decided */
    if (!print_events(batch))
        return BATCH_AGAIN;
    if (!send_pipeline(batch, &ranges))
        return batch_end_of(pipeline_failure(batch->tools.pipeline));
    bool commits = batch->tools.settings->protections.transaction;
    if (!commits && ranges.commit == 0)
        return BATCH_DONE; /* every item is held, and there is no COMMIT to wait for */
    FAULT_POINT_QUEUED(COMMIT_SENT, batch->tools.pipeline);
    if (!pipeline_sync(batch->tools.pipeline))
        return end_of_failure(batch, &ranges);
    FAULT_POINT_CUTS(AFTER_COMMIT, batch->tools.pipeline);
    if (!commits)
        return BATCH_DONE;
    /* COMMIT of a failed transaction answers without an error, with the tag ROLLBACK. */
    if (!pipeline_is_tagged(batch->tools.pipeline, ranges.commit, "COMMIT"))
        return BATCH_AGAIN;
    return await_replication(batch) ? BATCH_DONE : BATCH_SESSION;
}
