/* Parking (PROTOCOL L4): a command that may not be applied yet waits in PostgreSQL and not in a lane, so that the
 * watermark moves on. In one transaction its bytes go to parked_command, with a random token, and its inbox row says
 * `parked`. It comes back through its topic (returner.c) and is decided here, as new under its new position,
 * when it has the right token and nothing that it waits for is left; the parked row goes in the same transaction.
 *
 * Order is promised within a partition, so what blocks blocks there; afterparked waits for what any partition parked of
 * its aggregate. (With one queue over all partitions, 800 commands of one aggregate, interleaved over six, came back
 * one by one: each had to arrive behind one that another partition brings.)
 *
 *   early   notbefore has not come          later ones of its aggregate pass, but those that say afterparked
 *   held    in a lane for worker.park_after later ones are parked behind it
 *   behind  one of these                    as the one it is behind
 */
#include <assert.h>

#include "worker/base/clock.h"
#include "worker/batch/item.h"
#include "worker/parking_room.h"
#include "worker/settings/settings.h"

static const char heads_sql[] =
    "SELECT k.i, EXISTS (SELECT FROM interlock.parked_command p WHERE p.aggregate = k.a), "
    "EXISTS (SELECT FROM interlock.parked_command p WHERE p.blocks AND p.aggregate = k.a AND p.partition_id = k.p) "
    "FROM (SELECT unnest($1::text[]) AS a, unnest($2::int4[]) AS p, unnest($3::int4[]) AS i) k";
/* Locked: of two arrivals of one return, in whatever lanes, one decides. */
static const char returns_sql[] =
    "SELECT identity, token, place, waits, blocks, partition_id, cancelled_by, released_by IS NOT NULL, "
    "action_id IS NOT NULL FROM interlock.parked_command "
    "WHERE identity = ANY ($1::uuid[]) FOR UPDATE SKIP LOCKED";
/* The commands in front of them: in their aggregate for those that wait for all of it (part 0), else among those that
 * block in their partition. One more than there are of them in the batch says as much as all. */
static const char fronts_sql[] =
    "WITH mine AS MATERIALIZED (SELECT p.aggregate, CASE WHEN p.waits THEN 0 ELSE p.partition_id END AS part, "
    "count(*) AS n FROM interlock.parked_command p WHERE p.identity = ANY ($1::uuid[]) AND p.aggregate IS NOT NULL "
    "GROUP BY 1, 2) "
    "SELECT m.aggregate, m.part, f.place FROM mine m, LATERAL (SELECT e.place FROM interlock.parked_command e "
    "WHERE m.part = 0 AND e.aggregate = m.aggregate ORDER BY e.place LIMIT m.n + 1) f "
    "UNION ALL SELECT m.aggregate, m.part, f.place FROM mine m, LATERAL (SELECT e.place FROM "
    "interlock.parked_command e WHERE m.part <> 0 AND e.blocks AND e.aggregate = m.aggregate AND "
    "e.partition_id = m.part ORDER BY e.place LIMIT m.n + 1) f";

/* --- looking ----------------------------------------------------------------------------------------------------- */

static bool came_back(const struct item *item)
{
    return item->state == ITEM_KNOWN && item->parked.known && item->delivery->has_return_token;
}

static bool may_stand_behind(const struct item *item)
{
    return item->state == ITEM_NEW && item->command.refusal == REASON_NONE &&
           item->command.aggregate.kind != AGGREGATE_NONE;
}

static bool send_heads(struct batch *batch, bool *ret_sent)
{
    const struct array *parameters[3] = { &batch->arrays[0], &batch->arrays[1], &batch->arrays[2] };

    array_begin(&batch->arrays[0], ARRAY_TEXT);
    array_begin(&batch->arrays[1], ARRAY_INT4);
    array_begin(&batch->arrays[2], ARRAY_INT4);
    for (int i = 0; batch->any_parked && i < batch->count; i++)
    {
        struct item *item = &batch->items[i];
        if (!may_stand_behind(item))
            continue;
        item->parked.aggregate = item_print_aggregate(batch, &item->command);
        if (!item->parked.aggregate.at)
            continue;
        array_add_bytes(&batch->arrays[0], item->parked.aggregate.at, item->parked.aggregate.size);
        array_add_int32(&batch->arrays[1], item->delivery->partition->partition_id);
        array_add_int32(&batch->arrays[2], i);
    }
    *ret_sent = !array_is_empty(&batch->arrays[0]);
    return !*ret_sent || statements_send_fixed(batch->tools.statements, heads_sql, parameters, 3);
}

static void read_heads(struct batch *batch, const PGresult *result)
{
    for (int r = 0; r < PQntuples(result); r++)
    {
        int32_t i = array_read_int32(PQgetvalue(result, r, 0));
        assert(i >= 0 && i < batch->count);
        struct parked *parked = &batch->items[i].parked;
        parked->others_parked = *PQgetvalue(result, r, 1) != 0;
        parked->others_block = *PQgetvalue(result, r, 2) != 0;
    }
}

static bool send_returns(struct batch *batch, bool *ret_sent)
{
    const struct array *parameters[1] = { &batch->arrays[0] };

    array_begin(&batch->arrays[0], ARRAY_UUID);
    for (int i = 0; i < batch->count; i++)
        if (came_back(&batch->items[i]))
            array_add_bytes(&batch->arrays[0], batch->items[i].command.identity, DIGEST_SIZE);
    *ret_sent = !array_is_empty(&batch->arrays[0]);
    return !*ret_sent || (statements_send_fixed(batch->tools.statements, returns_sql, parameters, 1) &&
                          statements_send_fixed(batch->tools.statements, fronts_sql, parameters, 1));
}

/* Without its row it is somebody else's: for a moment, when the returner notes where it is, so it looks once more; or
 * another copy of it is being decided, and this one is nothing. If that comes to nothing, too, it is sent again. A
 * wrong token is a duplicate like any other. */
static void read_return(struct item *item, const PGresult *result)
{
    assert(came_back(item) && !item->parked.returns);
    item->hold = item->delivery->attempts == 0 ? HOLD_BUSY : HOLD_NOT;
    for (int r = 0; r < PQntuples(result); r++)
    {
        if (memcmp(PQgetvalue(result, r, 0), item->command.identity, DIGEST_SIZE) != 0)
            continue;
        item->hold = HOLD_NOT;
        if (!id_equal(array_read_id(PQgetvalue(result, r, 1)), item->delivery->return_token))
            return;
        if (!item->parked.rows_loaded)
        {
            /* Behind another arrival in this batch, for which the rows were asked: one that decides, or not. */
            item->hold = item->twin && item->twin->parked.returns ? HOLD_NOT : HOLD_BEHIND;
            return;
        }
        item->parked.returns = true;
        item->parked.rank = array_read_int64(PQgetvalue(result, r, 2));
        item->parked.waits = *PQgetvalue(result, r, 3) != 0;
        item->parked.blocks = *PQgetvalue(result, r, 4) != 0;
        item->parked.by_operator = *PQgetvalue(result, r, 8) != 0;
        item->parked.part = item->parked.waits ? 0 : array_read_int32(PQgetvalue(result, r, 5));
        item->parked.cancelled_by = PQgetisnull(result, r, 6) ? 0 : array_read_int64(PQgetvalue(result, r, 6));
        item->parked.released = *PQgetvalue(result, r, 7) != 0;
        item_become(item, ITEM_NEW);
        return;
    }
}

static void count_earlier(struct batch *batch, struct item *item, const PGresult *fronts)
{
    assert(item->parked.returns && item->parked.ahead == 0);
    if (item->command.aggregate.kind == AGGREGATE_NONE)
        return;
    struct span aggregate = item_print_aggregate(batch, &item->command);
    for (int r = 0; r < PQntuples(fronts); r++)
    {
        struct span front = { PQgetvalue(fronts, r, 0), (size_t)PQgetlength(fronts, r, 0) };
        item->parked.ahead += array_read_int32(PQgetvalue(fronts, r, 1)) == item->parked.part &&
                              array_read_int64(PQgetvalue(fronts, r, 2)) < item->parked.rank &&
                              span_equal(front, aggregate);
    }
}

bool batch_look_parked(struct batch *batch)
{
    bool heads, returns;

    if (!send_heads(batch, &heads) || !send_returns(batch, &returns))
        return false;
    if (!heads && !returns)
        return true;
    if (!pipeline_sync(batch->tools.pipeline))
        return false;
    if (heads)
        read_heads(batch, pipeline_result(batch->tools.pipeline, 0));
    for (int i = 0; returns && i < batch->count; i++)
        if (came_back(&batch->items[i]))
        {
            read_return(&batch->items[i], pipeline_result(batch->tools.pipeline, heads));
            if (batch->items[i].parked.returns)
                count_earlier(batch, &batch->items[i], pipeline_result(batch->tools.pipeline, heads + 1));
        }
    return true;
}

bool batch_look_pauses(struct batch *batch)
{
    if (batch->pause_epoch == batch->pauses.epoch)
        return true;
    /* The snapshot of this statement is a later one than the epoch's: what it has besides is read once more. */
    return statements_send_fixed(batch->tools.statements, pauses_sql, NULL, 0) &&
           pipeline_sync(batch->tools.pipeline) &&
           pauses_take(&batch->pauses, batch->pause_epoch, pipeline_result(batch->tools.pipeline, 0));
}

/* --- deciding ---------------------------------------------------------------------------------------------------- */

static bool is_early(const struct batch *batch, const struct command *command)
{
    return command->has_not_before && command->not_before_us > batch->clock_us;
}

/* The pause that it waits for, or NULL. */
static const struct pause *pause_of(const struct batch *batch, const struct item *item)
{
    bool pausable = item->command.refusal == REASON_NONE && !item->parked.released;
    return pausable ? pauses_find(&batch->pauses, &item->command, batch->clock_us) : NULL;
}

static enum park_reason why_to_park(const struct batch *batch, const struct item *item)
{
    if (is_early(batch, &item->command))
        return PARK_EARLY;
    if (item->parked.pause_id > 0)
        return PARK_PAUSED;
    if (item->parked.others_block || (item->parked.others_parked && item->command.after_parked))
        return PARK_BEHIND;
    return batch->mode.park ? PARK_HELD : PARK_NOT;
}

static bool same_aggregate(const struct item *a, const struct item *b)
{
    const struct aggregate left = a->command.aggregate, right = b->command.aggregate;
    return left.kind != AGGREGATE_NONE && left.kind == right.kind && id_equal(left.id, right.id);
}

static bool same_partition(const struct item *a, const struct item *b)
{
    return a->delivery->partition->partition_id == b->delivery->partition->partition_id;
}

/* The later ones of this batch, of which PostgreSQL does not know yet. */
static void mark_later_items(struct batch *batch, const struct item *item)
{
    for (struct item *later = batch->items + batch->count - 1; later > item; later--)
        if (same_aggregate(later, item))
        {
            later->parked.others_parked = true;
            later->parked.others_block =
                later->parked.others_block || (item->parked.blocks && same_partition(later, item));
        }
}

static void conclude_parked(struct batch *batch, struct item *item, enum park_reason reason)
{
    item->park = reason;
    item->hold = HOLD_NOT; /* it waits in PostgreSQL: for that it needs no row */
    mark_later_items(batch, item);
    item_conclude(item, VERDICT_PARK, ANSWER_NOTHING);
}

/* Whatever it waits for: an operator decided it. It needs no row, and those behind it go on. */
static void conclude_cancelled(struct batch *batch, struct item *item)
{
    item->hold = HOLD_NOT;
    batch_reject(batch, item, reason_name(REASON_CANCELLED), SPAN_NULL);
    item_conclude(item, VERDICT_RECORD, ANSWER_EVENT);
}

/* A row that was busy long enough for its command to be parked once: at the first refusal the command is parked again,
 * and is in nobody's way. */
static bool answer_return(struct batch *batch, struct item *item, bool keeps_order)
{
    bool has_turn = item->parked.ahead == 0;

    if (item->parked.cancelled_by > 0)
    {
        conclude_cancelled(batch, item);
        return true;
    }
    if (item->parked.pause_id > 0 && !is_early(batch, &item->command))
    {
        item->parked.blocks = item->parked.blocks || keeps_order;
        conclude_parked(batch, item, PARK_PAUSED);
        return true;
    }
    if (has_turn && (batch->mode.park || item->hold == HOLD_BUSY))
    {
        item->parked.blocks = true;
        conclude_parked(batch, item, PARK_HELD);
        return true;
    }
    if (has_turn && (item->parked.released || !is_early(batch, &item->command)))
        return false;
    item->hold = HOLD_NOT;
    item_conclude(item, VERDICT_LATER, ANSWER_NOTHING);
    return true;
}

/* A command without room is held, and its partition stops when that is at its cap (PROTOCOL L3, L5). Room comes back by
 * returns through the same partition, so one that is in no pause is parked after all when it was held for long: a full
 * parking slows its partitions down, and never stops them for good. */
static bool has_room(const struct batch *batch, const struct item *item, enum park_reason reason)
{
    if (reason == PARK_PAUSED && parking_room_is_pause_full())
        return false;
    int64_t held_us = item->delivery->held_since_us;
    return !parking_room_is_full(item->command.source) ||
           (held_us > 0 && monotonic_us() - held_us >= batch->tools.settings->worker.park_after_us);
}

/* One that PostgreSQL refused for good is not decided while it is paused, either. */
bool batch_park(struct batch *batch, struct item *item)
{
    if (item->state != ITEM_NEW)
        return false;
    const struct pause *pause = pause_of(batch, item);
    bool keeps_order = pause && pause->keeps_order;
    item->parked.pause_id = pause ? pause->id : 0;
    if (batch->mode.refused && pause == NULL)
        return false;
    if (item->parked.returns)
        return answer_return(batch, item, keeps_order);
    enum park_reason reason = item->command.refusal == REASON_NONE ? why_to_park(batch, item) : PARK_NOT;
    if (reason == PARK_NOT)
        return false;
    if (!has_room(batch, item, reason))
    {
        item->hold = HOLD_FULL;
        return false;
    }
    bool follows = reason == PARK_BEHIND || reason == PARK_PAUSED;
    item->parked.waits = item->command.after_parked;
    item->parked.blocks =
        reason == PARK_HELD || (reason == PARK_PAUSED && keeps_order) || (follows && item->parked.others_block);
    conclude_parked(batch, item, reason);
    return true;
}

void batch_advance_parked(struct batch *batch, const struct item *item)
{
    if (!item->parked.returns || item->verdict != VERDICT_RECORD)
        return;
    for (struct item *later = batch->items + batch->count - 1; later > item; later--)
        if (later->parked.returns && same_aggregate(later, item) && later->parked.rank > item->parked.rank &&
            (later->parked.waits || (item->parked.blocks && same_partition(later, item))))
            later->parked.ahead--;
}
