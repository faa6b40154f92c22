/* Answers from records (PROTOCOL R2): a message that is not new gets its recorded event again, or nothing.
 *
 *   identity known, at the position in its inbox row      the recorded event, unless a rewind says it is published
 *   identity known, elsewhere or parked, same body        the publisher's duplicate: nothing
 *   identity known, elsewhere, another body               id_reused: a record of its own, no inbox row
 *   unreadable, recorded                                  the dead letter again, unless published
 */
#include <assert.h>

#include "worker/batch/item.h"

static const char rewinds_sql[] =
    "SELECT partition_id, fence, below FROM interlock.partition_rewind WHERE partition_id = ANY ($1::int4[])";

static bool same_position(const struct item *item)
{
    assert(item->state == ITEM_KNOWN); /* only then `inbox` is a row that was read */
    return item->inbox.partition_id.value == item->delivery->partition->partition_id &&
           item->inbox.kafka_offset.value == item->delivery->offset;
}

static bool is_digest(const struct item *item, const uint8_t digest[DIGEST_SIZE])
{
    assert(item->state == ITEM_KNOWN);
    return id_equal(item->inbox.body_digest, array_read_id((const char *)digest));
}

/* Rows recorded before equal numbers were equal hold the digest of numbers as written, and are compared with that. */
static bool same_body(const struct item *item)
{
    return is_digest(item, item->command.body_digest) || is_digest(item, item->command.written_digest);
}

/* Not in both forms: an earlier version of the program may have answered id_reused to a body that counts as the same
 * today. */
static bool same_in_every_form(const struct item *item)
{
    return is_digest(item, item->command.body_digest) && is_digest(item, item->command.written_digest);
}

/* Messages whose recorded event lies at their own position: either the command's, or the id_reused that rejected it. A
 * parked command has none (PROTOCOL L4). */
static bool wants_record(const struct item *item)
{
    return item->state == ITEM_KNOWN && ((same_position(item) && !item->parked.known) || !same_in_every_form(item));
}

static bool send_looks(struct batch *batch, bool *ret_sent)
{
    struct array *partitions = &batch->arrays[0], *offsets = &batch->arrays[1];
    const struct array *parameters[1] = { partitions };
    bool any = false;

    array_begin(partitions, ARRAY_INT4);
    array_begin(offsets, ARRAY_INT8);
    for (int i = 0; i < batch->count; i++)
    {
        const struct item *item = &batch->items[i];
        any = any || wants_record(item) || (item->state == ITEM_UNREADABLE && item->recorded_dead);
        if (!wants_record(item))
            continue;
        array_add_int32(partitions, item->delivery->partition->partition_id);
        array_add_int64(offsets, item->delivery->offset);
    }
    *ret_sent = any;
    if (!any)
        return true;
    if (!statements_send_at_positions(batch->tools.statements, &entity_audit_event, partitions, offsets))
        return false;
    array_begin(partitions, ARRAY_INT4);
    for (int i = 0; i < batch->partition_count; i++)
        array_add_int32(partitions, batch->partitions[i].partition->partition_id);
    return statements_send_fixed(batch->tools.statements, rewinds_sql, parameters, 1);
}

/* The record at the item's position, if it is of the same source and id. */
static void read_records(struct batch *batch, const PGresult *result)
{
    for (int r = 0; r < PQntuples(result); r++)
    {
        struct audit_record record;
        memset(&record, 0, sizeof(record));
        statements_read_row(result, r, 0, &entity_audit_event, &batch->arena, &record);
        for (int i = 0; i < batch->count; i++)
        {
            struct item *item = &batch->items[i];
            if (wants_record(item) && item->delivery->offset == record.kafka_offset.value &&
                item->delivery->partition->partition_id == record.partition_id.value &&
                span_equal(item->command.source, record.command_source) &&
                span_equal(item->command.id, record.command_id))
            {
                item->record = record;
                item->recorded = true;
            }
        }
    }
}

/* Published before, if and only if some rewind of its partition came after the row and lies above it. */
static bool is_published(const PGresult *rewinds, int32_t partition_id, int64_t fence, int64_t offset)
{
    for (int r = 0; r < PQntuples(rewinds); r++)
        if (array_read_int32(PQgetvalue(rewinds, r, 0)) == partition_id &&
            fence < array_read_int64(PQgetvalue(rewinds, r, 1)) && offset < array_read_int64(PQgetvalue(rewinds, r, 2)))
            return true;
    return false;
}

static void note_published(struct batch *batch, const PGresult *rewinds)
{
    for (int i = 0; i < batch->count; i++)
    {
        struct item *item = &batch->items[i];
        int64_t fence = item->state == ITEM_UNREADABLE ? item->inbox.fence.value : item->record.fence.value;
        bool known = item->recorded || item->recorded_dead;
        item->published =
            known && is_published(rewinds, item->delivery->partition->partition_id, fence, item->delivery->offset);
    }
}

bool batch_look_recorded(struct batch *batch)
{
    bool sent;

    if (!send_looks(batch, &sent))
        return false;
    if (!sent)
        return true;
    if (!pipeline_sync(batch->tools.pipeline))
        return false;
    read_records(batch, pipeline_result(batch->tools.pipeline, 0));
    note_published(batch, pipeline_result(batch->tools.pipeline, 1));
    return true;
}

/* A repeated item is compared with the first one's body, a known one with its inbox row. */
void batch_answer_known(struct batch *batch, struct item *item)
{
    bool same = item->state == ITEM_REPEATED
                    ? memcmp(item->command.body_digest, item->twin->command.body_digest, DIGEST_SIZE) == 0
                    : same_body(item);

    assert(item->state == ITEM_KNOWN || item->state == ITEM_REPEATED);
    if (item->recorded)
        item_conclude(item, VERDICT_REPRINT, item->published ? ANSWER_NOTHING : ANSWER_EVENT);
    else if (same)
        item_conclude(item, VERDICT_DUPLICATE, ANSWER_NOTHING);
    else
    {
        batch_reject(batch, item, reason_name(REASON_ID_REUSED), SPAN_NULL);
        item_conclude(item, VERDICT_RECORD, ANSWER_EVENT);
    }
}
