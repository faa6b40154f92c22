#include "worker/batch/quarantine.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static const char note_sql[] =
    "INSERT INTO interlock.crash_suspect AS s (partition_id, kafka_offset, attempts) "
    "SELECT unnest($1::int4[]), unnest($2::int8[]), 1 "
    "ON CONFLICT (partition_id, kafka_offset) DO UPDATE SET attempts = s.attempts + 1, noted_at = clock_timestamp() "
    "RETURNING attempts";
static const char take_back_sql[] =
    "UPDATE interlock.crash_suspect SET attempts = attempts - 1 WHERE partition_id = ANY ($1::int4[]) "
    "AND kafka_offset = ANY ($2::int8[]) AND attempts > 0";
static const char answered_sql[] =
    "DELETE FROM interlock.crash_suspect s USING (SELECT unnest($1::int4[]) AS partition_id, unnest($2::int8[]) AS "
    "kafka_offset) k WHERE s.partition_id = k.partition_id AND s.kafka_offset = k.kafka_offset";

static const char name_sql[] =
    "UPDATE interlock.crash_suspect s SET identity = k.identity, command_source = k.source, command_id = k.id, "
    "command_type = k.type FROM (SELECT unnest($1::int4[]) AS partition_id, unnest($2::int8[]) AS kafka_offset, "
    "unnest($3::uuid[]) AS identity, unnest($4::text[]) AS source, unnest($5::text[]) AS id, unnest($6::text[]) AS "
    "type) "
    "k WHERE s.partition_id = k.partition_id AND s.kafka_offset = k.kafka_offset";

enum
{
    NAME_ARRAYS = 6,
};

/* One statement outside of any transaction of a batch: its Sync commits it. */
static bool run_alone(struct pipeline *pipeline, struct statements *statements, const char *sql, int32_t partition_id,
                      int64_t offset)
{
    struct array ids = { 0 }, offsets = { 0 };
    const struct array *parameters[2] = { &ids, &offsets };

    array_begin(&ids, ARRAY_INT4);
    array_begin(&offsets, ARRAY_INT8);
    array_add_int32(&ids, partition_id);
    array_add_int64(&offsets, offset);
    pipeline_forget_failure(pipeline);
    bool done = statements_send_fixed(statements, sql, parameters, 2) && pipeline_sync(pipeline);
    array_done(&ids);
    array_done(&offsets);
    return done;
}

bool quarantine_note(struct pipeline *pipeline, struct statements *statements, const struct delivery *delivery,
                     int *ret_crashes)
{
    if (!run_alone(pipeline, statements, note_sql, delivery->partition->partition_id, delivery->offset))
        return false;
    assert(PQntuples(pipeline_result(pipeline, 0)) == 1);
    *ret_crashes = array_read_int32(PQgetvalue(pipeline_result(pipeline, 0), 0, 0)) - 1;
    return true;
}

int quarantine_limit(const struct delivery *delivery)
{
    return delivery->redriven == REDRIVEN_UNTRIED ? 1 : QUARANTINE_CRASHES;
}

bool quarantine_name(struct pipeline *pipeline, struct statements *statements, const struct delivery *delivery,
                     const struct command *command)
{
    static const enum array_type types[NAME_ARRAYS] = { ARRAY_INT4, ARRAY_INT8, ARRAY_UUID,
                                                        ARRAY_TEXT, ARRAY_TEXT, ARRAY_TEXT };
    const struct span texts[] = { command->source, command->id, command->type };
    struct array arrays[NAME_ARRAYS];
    const struct array *parameters[NAME_ARRAYS];

    memset(arrays, 0, sizeof(arrays));
    for (int i = 0; i < NAME_ARRAYS; i++)
    {
        array_begin(&arrays[i], types[i]);
        parameters[i] = &arrays[i];
    }
    array_add_int32(&arrays[0], delivery->partition->partition_id);
    array_add_int64(&arrays[1], delivery->offset);
    array_add_bytes(&arrays[2], command->identity, DIGEST_SIZE);
    for (int i = 0; i < 3; i++)
        array_add_bytes(&arrays[3 + i], texts[i].at, texts[i].size);
    pipeline_forget_failure(pipeline);
    bool done = statements_send_fixed(statements, name_sql, parameters, NAME_ARRAYS) && pipeline_sync(pipeline);
    for (int i = 0; i < NAME_ARRAYS; i++)
        array_done(&arrays[i]);
    return done;
}

void quarantine_refuse(struct delivery *delivery)
{
    int limit = quarantine_limit(delivery);

    assert(delivery->event == NULL); /* it is not answered yet */
    delivery->dead_reason = QUARANTINE_REASON;
    if (limit > 1)
        snprintf(delivery->dead_message, sizeof(delivery->dead_message),
                 "the worker ended %d times in a row while it tried this command", limit);
    else
        snprintf(delivery->dead_message, sizeof(delivery->dead_message),
                 "the worker ended again while it tried this command");
}

bool quarantine_take_back(struct pipeline *pipeline, struct statements *statements, int32_t partition_id,
                          int64_t offset)
{
    return run_alone(pipeline, statements, take_back_sql, partition_id, offset);
}

bool quarantine_send_answered(struct statements *statements, const struct array *partition_ids,
                              const struct array *offsets)
{
    const struct array *parameters[2] = { partition_ids, offsets };
    return statements_send_fixed(statements, answered_sql, parameters, 2);
}
