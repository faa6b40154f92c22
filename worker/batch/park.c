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

#include "worker/batch/item.h"
#include "worker/batch/set_aside.h"
#include "worker/settings/settings.h"

static const char heads_sql[] =
    "SELECT k.i, EXISTS (SELECT FROM interlock.parked_command p WHERE p.aggregate = k.a), "
    "EXISTS (SELECT FROM interlock.parked_command p WHERE p.blocks AND p.aggregate = k.a AND p.partition_id = k.p) "
    "FROM (SELECT unnest($1::text[]) AS a, unnest($2::int4[]) AS p, unnest($3::int4[]) AS i) k";
/* Locked: of two arrivals of one return, in whatever lanes, one decides. */
static const char returns_sql[] =
    "SELECT identity, token, place, waits, blocks, partition_id FROM interlock.parked_command "
    "WHERE identity = ANY ($1::uuid[]) FOR UPDATE SKIP LOCKED";
/* What stands in front where they stand: in their aggregate for those that wait for all of it (part 0), else among what
 * blocks in their partition. One more than there are of them in the batch says as much as all. */
static const char fronts_sql[] =
    "WITH mine AS MATERIALIZED (SELECT p.aggregate, CASE WHEN p.waits THEN 0 ELSE p.partition_id END AS part, "
    "count(*) AS n FROM interlock.parked_command p WHERE p.identity = ANY ($1::uuid[]) AND p.aggregate IS NOT NULL "
    "GROUP BY 1, 2) "
    "SELECT m.aggregate, m.part, f.place FROM mine m, LATERAL (SELECT e.place FROM interlock.parked_command e "
    "WHERE m.part = 0 AND e.aggregate = m.aggregate ORDER BY e.place LIMIT m.n + 1) f "
    "UNION ALL SELECT m.aggregate, m.part, f.place FROM mine m, LATERAL (SELECT e.place FROM "
    "interlock.parked_command e WHERE m.part <> 0 AND e.blocks AND e.aggregate = m.aggregate AND "
    "e.partition_id = m.part ORDER BY e.place LIMIT m.n + 1) f";

static const char park_inbox_sql[] =
    "INSERT INTO interlock.inbox (identity, body_digest, kafka_offset, fence, partition_id, parked) "
    "SELECT unnest($1::uuid[]), unnest($2::uuid[]), unnest($3::int8[]), unnest($4::int8[]), unnest($5::int4[]), true";
/* It keeps its place, its token and its bytes. Tried again after 10, 20, 40 ... seconds, at most after park_after: each
 * try is a message more on the topic. */
static const char park_again_sql[] =
    "UPDATE interlock.parked_command p SET due_at = k.now + least(k.longest * interval '1 microsecond', "
    "10 * 2 ^ least(p.parkings - 1, 10) * interval '1 second'), next_at = NULL, blocks = true, reason = 'held', "
    "returned_at = NULL, returned_offset = NULL, returned_partition_id = NULL, returned_fence = NULL, "
    "returns = 0, parkings = p.parkings + 1 FROM (SELECT unnest($1::uuid[]) AS identity, "
    "unnest($2::timestamptz[]) AS now, unnest($3::int8[]) AS longest) k WHERE p.identity = k.identity";
static const char return_inbox_sql[] =
    "UPDATE interlock.inbox i SET kafka_offset = k.kafka_offset, fence = k.fence, partition_id = k.partition_id, "
    "parked = false FROM (SELECT unnest($1::uuid[]) AS identity, unnest($2::int8[]) AS kafka_offset, "
    "unnest($3::int8[]) AS fence, unnest($4::int4[]) AS partition_id) k WHERE i.identity = k.identity";
static const char unpark_sql[] = "DELETE FROM interlock.parked_command WHERE identity = ANY ($1::uuid[])";
static const char put_aside_sql[] =
    "WITH gone AS (DELETE FROM interlock.parked_command WHERE token = ANY ($1::uuid[]) RETURNING identity) "
    "UPDATE interlock.inbox i SET parked = false FROM gone WHERE i.identity = gone.identity";

enum
{
    PARK_ARRAYS = 5,
    PARK_FIRST_US = 2000000, /* before a held command is tried for the first time again */
};

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

static struct span print_aggregate(struct batch *batch, const struct command *command)
{
    char key[AGGREGATE_KEY_MAX];

    if (command->aggregate.kind == AGGREGATE_NONE)
        return SPAN_NULL;
    size_t size = aggregate_print(command->aggregate, key);
    return arena_copy(&batch->arena, (struct span){ key, size });
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
        item->parked.aggregate = print_aggregate(batch, &item->command);
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
        item->parked.part = item->parked.waits ? 0 : array_read_int32(PQgetvalue(result, r, 5));
        item_become(item, ITEM_NEW);
        return;
    }
}

static void count_earlier(struct batch *batch, struct item *item, const PGresult *fronts)
{
    assert(item->parked.returns && item->parked.ahead == 0);
    if (item->command.aggregate.kind == AGGREGATE_NONE)
        return;
    struct span aggregate = print_aggregate(batch, &item->command);
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

/* --- deciding ---------------------------------------------------------------------------------------------------- */

static bool is_early(const struct batch *batch, const struct command *command)
{
    return command->has_not_before && command->not_before_us > batch->clock_us;
}

static enum park_reason why_to_park(const struct batch *batch, const struct item *item)
{
    if (is_early(batch, &item->command))
        return PARK_EARLY;
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

/* A row that was busy long enough for its command to be parked once: at the first refusal the command is parked again,
 * and is in nobody's way. */
static bool answer_return(struct batch *batch, struct item *item)
{
    bool has_turn = item->parked.ahead == 0;

    if (has_turn && (batch->mode.park || item->hold == HOLD_BUSY))
    {
        item->parked.blocks = true;
        conclude_parked(batch, item, PARK_HELD);
        return true;
    }
    if (has_turn && !is_early(batch, &item->command))
        return false;
    item->hold = HOLD_NOT;
    item_conclude(item, VERDICT_LATER, ANSWER_NOTHING);
    return true;
}

bool batch_park(struct batch *batch, struct item *item)
{
    if (item->state != ITEM_NEW || batch->mode.refused)
        return false;
    if (item->parked.returns)
        return answer_return(batch, item);
    enum park_reason reason = item->command.refusal == REASON_NONE ? why_to_park(batch, item) : PARK_NOT;
    if (reason == PARK_NOT)
        return false;
    item->parked.waits = item->command.after_parked;
    item->parked.blocks = reason == PARK_HELD || (reason == PARK_BEHIND && item->parked.others_block);
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

/* --- writing ----------------------------------------------------------------------------------------------------- */

struct park_arrays
{
    struct array of[PARK_ARRAYS];
    const struct array *parameters[PARK_ARRAYS];
};

static void begin_arrays(struct park_arrays *arrays, const enum array_type *types, int count)
{
    assert(count <= PARK_ARRAYS);
    memset(arrays, 0, sizeof(*arrays));
    for (int i = 0; i < count; i++)
    {
        array_begin(&arrays->of[i], types[i]);
        arrays->parameters[i] = &arrays->of[i];
    }
}

static bool send_arrays(struct batch *batch, int *next, const char *sql, struct park_arrays *arrays, int count)
{
    bool sent = true;

    if (!array_is_empty(&arrays->of[0]))
    {
        ++*next;
        sent = statements_send_fixed(batch->tools.statements, sql, arrays->parameters, count);
    }
    for (int i = 0; i < PARK_ARRAYS; i++)
        array_done(&arrays->of[i]);
    return sent;
}

static bool is_parked_now(const struct item *item)
{
    return item->verdict == VERDICT_PARK && !item->parked.returns;
}

static bool send_park_inbox(struct batch *batch, int *next)
{
    static const enum array_type types[] = { ARRAY_UUID, ARRAY_UUID, ARRAY_INT8, ARRAY_INT8, ARRAY_INT4 };
    struct park_arrays arrays;

    begin_arrays(&arrays, types, 5);
    for (int i = 0; i < batch->count; i++)
    {
        const struct item *item = &batch->items[i];
        if (!is_parked_now(item))
            continue;
        array_add_bytes(&arrays.of[0], item->command.identity, DIGEST_SIZE);
        array_add_bytes(&arrays.of[1], item->command.body_digest, DIGEST_SIZE);
        array_add_int64(&arrays.of[2], item->delivery->offset);
        array_add_int64(&arrays.of[3], item->delivery->partition->fence);
        array_add_int32(&arrays.of[4], item->delivery->partition->partition_id);
    }
    return send_arrays(batch, next, park_inbox_sql, &arrays, 5);
}

/* A held command is tried again soon, then at growing intervals; one behind others is due when those are gone. */
static int64_t due_us(const struct batch *batch, const struct item *item)
{
    int64_t longest_us = batch->tools.settings->worker.park_after_us;

    if (item->park == PARK_EARLY)
        return item->command.not_before_us;
    if (item->park == PARK_BEHIND)
        return batch->clock_us;
    return batch->clock_us + (longest_us < PARK_FIRST_US ? longest_us : PARK_FIRST_US);
}

static struct parked_row *make_row(struct batch *batch, const struct item *item)
{
    static const char *const reasons[] = { [PARK_EARLY] = "notbefore", [PARK_HELD] = "held", [PARK_BEHIND] = "behind" };
    const struct delivery *delivery = item->delivery;
    struct parked_row *row = arena_take(&batch->arena, sizeof(*row));

    assert(item->park != PARK_NOT && item->state == ITEM_NEW);
    if (row)
        *row = (struct parked_row){
            .identity = array_read_id((const char *)item->command.identity),
            .kafka_offset = int_of(delivery->offset),
            .fence = int_of(delivery->partition->fence),
            .partition_id = int_of(delivery->partition->partition_id),
            .due_at = int_of(due_us(batch, item)),
            .blocks = item->parked.blocks,
            .waits = item->parked.waits,
            .reason = span_of(reasons[item->park]),
            .aggregate = print_aggregate(batch, &item->command),
            .command_source = item->command.source,
            .command_id = item->command.id,
            .command_type = item->command.type,
            .kafka_key = delivery->key,
            .headers = delivery->headers,
            .value = delivery->value,
        };
    return row;
}

static bool send_park(struct batch *batch, int *next)
{
    const void **rows = arena_take(&batch->arena, (size_t)batch->count * sizeof(*rows));
    int count = 0;

    for (int i = 0; rows && i < batch->count; i++)
        if (is_parked_now(&batch->items[i]))
        {
            rows[count] = make_row(batch, &batch->items[i]);
            if (rows[count++] == NULL)
                return false;
        }
    if (count == 0)
        return rows != NULL;
    ++*next;
    return statements_send_insert(batch->tools.statements, &entity_parked_command, rows, count);
}

static bool send_park_again(struct batch *batch, int *next)
{
    static const enum array_type types[] = { ARRAY_UUID, ARRAY_TIMESTAMPTZ, ARRAY_INT8 };
    struct park_arrays arrays;

    begin_arrays(&arrays, types, 3);
    for (int i = 0; i < batch->count; i++)
    {
        const struct item *item = &batch->items[i];
        if (item->verdict != VERDICT_PARK || !item->parked.returns)
            continue;
        array_add_bytes(&arrays.of[0], item->command.identity, DIGEST_SIZE);
        array_add_time(&arrays.of[1], batch->clock_us);
        array_add_int64(&arrays.of[2], batch->tools.settings->worker.park_after_us);
    }
    return send_arrays(batch, next, park_again_sql, &arrays, 3);
}

/* The inbox row names the position under which the command was decided: a redelivery of it is answered by the record
 * there, the former position is a duplicate's (PROTOCOL R2). */
static bool send_returned(struct batch *batch, int *next)
{
    static const enum array_type types[] = { ARRAY_UUID, ARRAY_INT8, ARRAY_INT8, ARRAY_INT4 };
    struct park_arrays inbox, gone;

    begin_arrays(&inbox, types, 4);
    begin_arrays(&gone, types, 1);
    for (int i = 0; i < batch->count; i++)
    {
        const struct item *item = &batch->items[i];
        if (!item->parked.returns || !item_writes_inbox(item))
            continue;
        array_add_bytes(&inbox.of[0], item->command.identity, DIGEST_SIZE);
        array_add_int64(&inbox.of[1], item->delivery->offset);
        array_add_int64(&inbox.of[2], item->delivery->partition->fence);
        array_add_int32(&inbox.of[3], item->delivery->partition->partition_id);
        array_add_bytes(&gone.of[0], item->command.identity, DIGEST_SIZE);
    }
    bool sent = send_arrays(batch, next, return_inbox_sql, &inbox, 4);
    return send_arrays(batch, next, unpark_sql, &gone, 1) && sent;
}

static bool is_put_aside(const struct item *item)
{
    return item->delivery->quarantined && item->delivery->has_return_token && item->verdict == VERDICT_DEAD;
}

/* A returned command that ends the worker (worker/batch/quarantine.h): only its token is known. It does not come again,
 * and what stands behind it goes on; its letter is written in this transaction. */
static bool send_put_aside(struct batch *batch, int *next)
{
    static const enum array_type types[] = { ARRAY_UUID };
    struct park_arrays tokens;

    begin_arrays(&tokens, types, 1);
    for (int i = 0; i < batch->count; i++)
        if (is_put_aside(&batch->items[i]))
            array_add_id(&tokens.of[0], batch->items[i].delivery->return_token);
    return send_arrays(batch, next, put_aside_sql, &tokens, 1);
}

/* Without memory for an aggregate's name the batch is given up: written as null, it would let later commands pass. */
bool batch_send_parked(struct batch *batch, int *next)
{
    bool any = false;

    for (int i = 0; i < batch->count; i++)
        any = any || batch->items[i].verdict == VERDICT_PARK || batch->items[i].parked.returns ||
              is_put_aside(&batch->items[i]);
    return !any || (send_park_inbox(batch, next) && send_park(batch, next) && send_park_again(batch, next) &&
                    send_returned(batch, next) && send_put_aside(batch, next) && !arena_failed(&batch->arena));
}
