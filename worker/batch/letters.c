/* Dead letters in PostgreSQL: the row of each, with the names that people look for, and the fate of a letter whose
 * command came back (PROTOCOL L4). A command that an operator brought back tells its action how it ended; its letter is
 * resolved with its answer, or replaced by another letter where it ended the worker again. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "worker/batch/item.h"
#include "worker/batch/set_aside.h"
#include "worker/settings/settings.h"
#include "workflows/base/utf8.h"

/* A command that ended the worker, or came back and cannot be read, is nameless here: its names come from its parked row, else
 * from the note that an earlier try left (worker/batch/quarantine.h). */
static const char names_sql[] =
    "UPDATE interlock.dead_letter d SET command_source = coalesce(d.command_source, p.command_source, "
    "s.command_source), command_id = coalesce(d.command_id, p.command_id, s.command_id), "
    "command_type = coalesce(d.command_type, p.command_type, s.command_type), "
    "identity = coalesce(p.identity, s.identity), redrives = coalesce(f.redrives + 1, 0) "
    "FROM (SELECT unnest($1::int4[]) AS partition_id, unnest($2::int8[]) AS kafka_offset, unnest($3::bytea[]) AS "
    "digest, unnest($4::uuid[]) AS token) k "
    "LEFT JOIN interlock.parked_command p ON p.token = k.token "
    "LEFT JOIN interlock.crash_suspect s ON s.partition_id = k.partition_id AND s.kafka_offset = k.kafka_offset "
    "LEFT JOIN LATERAL (SELECT max(l.redrives) AS redrives FROM interlock.dead_letter l WHERE l.identity = p.identity "
    "AND l.state = 'redriving') f ON true "
    "WHERE d.partition_id = k.partition_id AND d.kafka_offset = k.kafka_offset AND d.digest = k.digest";
#define SUBJECT "o.topic || '/' || o.partition || '/' || "
static const char put_aside_sql[] =
    "WITH gone AS (DELETE FROM interlock.parked_command WHERE token = ANY ($1::uuid[]) RETURNING identity, action_id, "
    "partition_id, kafka_offset), "
    "former AS (UPDATE interlock.dead_letter d SET state = 'replaced', state_at = clock_timestamp() FROM gone WHERE "
    "d.identity = gone.identity AND d.state = 'redriving'), "
    "told AS (INSERT INTO interlock.operator_item (action_id, subject, outcome) SELECT g.action_id, " SUBJECT
    "g.kafka_offset, 'dead again' FROM gone g JOIN interlock.partition_owner o ON o.id = g.partition_id WHERE "
    "g.action_id IS NOT NULL) "
    "UPDATE interlock.inbox i SET parked = false FROM gone WHERE i.identity = gone.identity";
static const char outcome_sql[] =
    "WITH k AS MATERIALIZED (SELECT unnest($1::uuid[]) AS identity, unnest($2::text[]) AS outcome), "
    "told AS (INSERT INTO interlock.operator_item (action_id, subject, outcome) SELECT p.action_id, " SUBJECT
    "p.kafka_offset, k.outcome FROM k JOIN interlock.parked_command p ON p.identity = k.identity JOIN "
    "interlock.partition_owner o ON o.id = p.partition_id WHERE p.action_id IS NOT NULL) "
    "UPDATE interlock.dead_letter d SET state = 'resolved', state_at = clock_timestamp() FROM k WHERE d.identity = "
    "k.identity AND d.state = 'redriving'";

enum
{
    LETTER_ARRAYS = 4,
    KEY_MAX = 1024, /* bytes; a longer key is for machines */
    OUTCOME_MAX = 128,
};

struct letter_arrays
{
    struct array of[LETTER_ARRAYS];
    const struct array *parameters[LETTER_ARRAYS];
};

static void begin_arrays(struct letter_arrays *arrays, const enum array_type *types, int count)
{
    assert(count <= LETTER_ARRAYS);
    memset(arrays, 0, sizeof(*arrays));
    for (int i = 0; i < count; i++)
    {
        array_begin(&arrays->of[i], types[i]);
        arrays->parameters[i] = &arrays->of[i];
    }
}

static bool send_arrays(struct batch *batch, int *next, const char *sql, struct letter_arrays *arrays, int count)
{
    bool sent = true;

    if (!array_is_empty(&arrays->of[0]))
    {
        ++*next;
        sent = statements_send_fixed(batch->tools.statements, sql, arrays->parameters, count);
    }
    for (int i = 0; i < LETTER_ARRAYS; i++)
        array_done(&arrays->of[i]);
    return sent;
}

/* --- the rows ---------------------------------------------------------------------------------------------------- */

static bool is_put_aside(const struct item *item)
{
    return item->delivery->has_return_token && item->verdict == VERDICT_DEAD;
}

static bool is_new_letter(const struct item *item)
{
    return item->verdict == VERDICT_DEAD && !item->recorded_dead;
}

/* PostgreSQL keeps no NUL in a text. */
static struct span text_or_null(struct span text)
{
    bool good =
        text.at && text.size <= KEY_MAX && utf8_is_valid(text.at, text.size) && !memchr(text.at, '\0', text.size);
    return good ? text : SPAN_NULL;
}

static struct letter_row *make_letter(struct batch *batch, const struct item *item)
{
    const struct delivery *delivery = item->delivery;
    struct letter_row *row = arena_take(&batch->arena, sizeof(*row));
    char *says = arena_take(&batch->arena, sizeof(delivery->dead_message));

    if (row == NULL || says == NULL)
        return NULL;
    utf8_copy_line(says, sizeof(delivery->dead_message), delivery->dead_message);
    *row = (struct letter_row){
        .partition_id = int_of(delivery->partition->partition_id),
        .kafka_offset = int_of(delivery->offset),
        .fence = int_of(delivery->partition->fence),
        .digest = { (const char *)item->dead_digest, sizeof(item->dead_digest) },
        .reason = span_of(delivery->dead_reason),
        .first_failed_at = int_of(delivery->first_failed_us),
        .key = text_or_null(delivery->key),
        .says = span_of(says),
        .bytes = int_of(delivery->value.at ? (int64_t)delivery->value.size : 0),
        .attempts = int_of(delivery->attempts + 1),
        .command_source = text_or_null(item->command.source),
        .command_id = text_or_null(item->command.id),
        .command_type = text_or_null(item->command.type),
    };
    return row;
}

static bool send_dead(struct batch *batch, int *next)
{
    const void **rows = arena_take(&batch->arena, (size_t)batch->count * sizeof(*rows));
    int count = 0;

    for (int i = 0; rows && i < batch->count; i++)
        if (is_new_letter(&batch->items[i]))
        {
            rows[count] = make_letter(batch, &batch->items[i]);
            if (rows[count++] == NULL)
                return false;
        }
    if (count == 0)
        return rows != NULL;
    ++*next;
    return statements_send_insert(batch->tools.statements, &entity_dead_letter, rows, count);
}

/* Only of those that were not read here: the others have their names, and never come back. */
static bool send_names(struct batch *batch, int *next)
{
    static const enum array_type types[] = { ARRAY_INT4, ARRAY_INT8, ARRAY_BYTEA, ARRAY_UUID };
    struct letter_arrays arrays;

    begin_arrays(&arrays, types, 4);
    for (int i = 0; i < batch->count; i++)
    {
        const struct item *item = &batch->items[i];
        const struct delivery *delivery = item->delivery;
        if (!is_new_letter(item) || !(is_put_aside(item) || delivery->quarantined || delivery->suspect))
            continue;
        array_add_int32(&arrays.of[0], delivery->partition->partition_id);
        array_add_int64(&arrays.of[1], delivery->offset);
        array_add_bytes(&arrays.of[2], item->dead_digest, sizeof(item->dead_digest));
        if (is_put_aside(item))
            array_add_id(&arrays.of[3], delivery->return_token);
        else
            array_add_null(&arrays.of[3]);
    }
    return send_arrays(batch, next, names_sql, &arrays, 4);
}

/* A returned command that ends the worker (worker/batch/quarantine.h), or that this version of the program cannot read:
 * only its token is known. It does not come again, and what stands behind it goes on; its letter was written before. */
static bool send_put_aside(struct batch *batch, int *next)
{
    static const enum array_type types[] = { ARRAY_UUID };
    struct letter_arrays tokens;

    begin_arrays(&tokens, types, 1);
    for (int i = 0; i < batch->count; i++)
        if (is_put_aside(&batch->items[i]))
            array_add_id(&tokens.of[0], batch->items[i].delivery->return_token);
    return send_arrays(batch, next, put_aside_sql, &tokens, 1);
}

bool batch_send_letters(struct batch *batch, int *next)
{
    bool any = false;

    for (int i = 0; i < batch->count; i++)
        any = any || batch->items[i].verdict == VERDICT_DEAD;
    return !any || (send_dead(batch, next) && send_names(batch, next) && send_put_aside(batch, next));
}

/* --- outcomes ---------------------------------------------------------------------------------------------------- */

/* "applied", "unchanged", "rejected: not_found". */
static void add_outcome(struct array *array, const struct audit_record *record)
{
    char text[OUTCOME_MAX + 1];
    const char *outcome = outcome_name((enum outcome)(record->outcome - 1));

    if (record->reason.at)
        snprintf(text, sizeof(text), "%s: %.*s", outcome, (int)record->reason.size, record->reason.at);
    else
        snprintf(text, sizeof(text), "%s", outcome);
    array_add_bytes(array, text, strlen(text));
}

bool batch_send_outcomes(struct batch *batch, int *next)
{
    static const enum array_type types[] = { ARRAY_UUID, ARRAY_TEXT };
    struct letter_arrays arrays;
    bool any = false;

    for (int i = 0; i < batch->count; i++)
        any = any || batch->items[i].parked.by_operator;
    if (!any)
        return true;
    begin_arrays(&arrays, types, 2);
    for (int i = 0; i < batch->count; i++)
    {
        const struct item *item = &batch->items[i];
        if (!item->parked.by_operator || !item_writes_inbox(item))
            continue;
        array_add_bytes(&arrays.of[0], item->command.identity, DIGEST_SIZE);
        add_outcome(&arrays.of[1], &item->record);
    }
    return send_arrays(batch, next, outcome_sql, &arrays, 2);
}
