/* Writing of parked commands (PROTOCOL L4), in pipeline 2: those that are parked now, parked again, or decided at last.
 * The fate of each is decided in worker/batch/park.c. */
#include <assert.h>

#include "worker/batch/item.h"
#include "worker/batch/set_aside.h"
#include "worker/settings/settings.h"

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
/* The same for one whose pause came while it was on its way. The action that put it there is not forgotten. */
static const char pause_again_sql[] =
    "UPDATE interlock.parked_command p SET due_at = 'infinity', next_at = NULL, pause_id = k.pause_id, "
    "blocks = k.blocks, reason = CASE WHEN p.reason IN ('redriven', 'replayed') THEN p.reason ELSE 'paused' END, "
    "returned_at = NULL, returned_offset = NULL, returned_partition_id = NULL, returned_fence = NULL, "
    "returns = 0, parkings = p.parkings + 1 FROM (SELECT unnest($1::uuid[]) AS identity, "
    "unnest($2::int4[]) AS pause_id, unnest($3::bool[]) AS blocks) k WHERE p.identity = k.identity";
static const char return_inbox_sql[] =
    "UPDATE interlock.inbox i SET kafka_offset = k.kafka_offset, fence = k.fence, partition_id = k.partition_id, "
    "parked = false FROM (SELECT unnest($1::uuid[]) AS identity, unnest($2::int8[]) AS kafka_offset, "
    "unnest($3::int8[]) AS fence, unnest($4::int4[]) AS partition_id) k WHERE i.identity = k.identity";
static const char unpark_sql[] = "DELETE FROM interlock.parked_command WHERE identity = ANY ($1::uuid[])";
/* PostgreSQL gives the time of an item. */
static const char cancelled_sql[] = "INSERT INTO interlock.operator_item (action_id, subject, outcome) "
                                    "SELECT unnest($1::int8[]), left(unnest($2::text[]), 512), 'rejected: cancelled'";
enum
{
    PARK_ARRAYS = 5,
    PARK_FIRST_US = 2000000, /* before a held command is tried for the first time again */
};

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
    if (item->park == PARK_PAUSED)
        return ARRAY_TIME_INFINITE;
    if (item->park == PARK_BEHIND)
        return batch->clock_us;
    return batch->clock_us + (longest_us < PARK_FIRST_US ? longest_us : PARK_FIRST_US);
}

static struct parked_row *make_row(struct batch *batch, const struct item *item)
{
    static const char *const reasons[] = {
        [PARK_EARLY] = "notbefore", [PARK_HELD] = "held", [PARK_BEHIND] = "behind", [PARK_PAUSED] = "paused"
    };
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
            .aggregate = item_print_aggregate(batch, &item->command),
            .command_source = item->command.source,
            .command_id = item->command.id,
            .command_type = item->command.type,
            .kafka_key = delivery->key,
            .headers = delivery->headers,
            .value = delivery->value,
            .tenant = item->command.tenant,
            .pause_id = item->park == PARK_PAUSED ? int_of(item->parked.pause_id) : INT_NULL,
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
        if (item->verdict != VERDICT_PARK || !item->parked.returns || item->park == PARK_PAUSED)
            continue;
        array_add_bytes(&arrays.of[0], item->command.identity, DIGEST_SIZE);
        array_add_time(&arrays.of[1], batch->clock_us);
        array_add_int64(&arrays.of[2], batch->tools.settings->worker.park_after_us);
    }
    return send_arrays(batch, next, park_again_sql, &arrays, 3);
}

static bool send_pause_again(struct batch *batch, int *next)
{
    static const enum array_type types[] = { ARRAY_UUID, ARRAY_INT4, ARRAY_BOOL };
    struct park_arrays arrays;

    begin_arrays(&arrays, types, 3);
    for (int i = 0; i < batch->count; i++)
    {
        const struct item *item = &batch->items[i];
        if (item->verdict != VERDICT_PARK || !item->parked.returns || item->park != PARK_PAUSED)
            continue;
        array_add_bytes(&arrays.of[0], item->command.identity, DIGEST_SIZE);
        array_add_int32(&arrays.of[1], item->parked.pause_id);
        array_add_bool(&arrays.of[2], item->parked.blocks);
    }
    return send_arrays(batch, next, pause_again_sql, &arrays, 3);
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

static bool is_cancelled(const struct item *item)
{
    return item->parked.returns && item->parked.cancelled_by > 0 && item->verdict == VERDICT_RECORD;
}

/* The outcome of a command for the action that cancelled it. */
static bool send_cancelled(struct batch *batch, int *next)
{
    static const enum array_type types[] = { ARRAY_INT8, ARRAY_TEXT };
    struct park_arrays arrays;

    begin_arrays(&arrays, types, 2);
    for (int i = 0; i < batch->count; i++)
    {
        const struct command *command = &batch->items[i].command;
        if (!is_cancelled(&batch->items[i]))
            continue;
        buffer_clear(&batch->text);
        buffer_add_span(&batch->text, command->source);
        buffer_add_byte(&batch->text, ' ');
        buffer_add_span(&batch->text, command->id);
        if (buffer_failed(&batch->text))
            return false;
        array_add_int64(&arrays.of[0], batch->items[i].parked.cancelled_by);
        array_add_bytes(&arrays.of[1], batch->text.at, batch->text.size);
    }
    return send_arrays(batch, next, cancelled_sql, &arrays, 2);
}

/* Without memory for an aggregate's name the batch is given up: written as null, it would let later commands pass. */
bool batch_send_parked(struct batch *batch, int *next)
{
    bool any = false;

    for (int i = 0; i < batch->count; i++)
        any = any || batch->items[i].verdict == VERDICT_PARK || batch->items[i].parked.returns;
    return !any || (send_park_inbox(batch, next) && send_park(batch, next) && send_park_again(batch, next) &&
                    send_pause_again(batch, next) && batch_send_outcomes(batch, next) && send_returned(batch, next) &&
                    send_cancelled(batch, next) && !arena_failed(&batch->arena));
}
