/* A lane whose batches wait for the locks of their partitions (PROTOCOL O4). A takeover holds them for moments; a
 * stranger may hold them for as long as he likes, and nothing is applied meanwhile: that must not be silent. */
#include <stdio.h>

#include "worker/base/clock.h"
#include "worker/lane/lane_private.h"
#include "worker/postgres/blockers.h"

static const int64_t FENCED_LONG_US = 5000000;
static const int64_t LOG_EVERY_US = 30000000;

void lane_note_fence(struct lane *lane, enum batch_end end)
{
    const struct batch *batch = &lane->batch;
    bool waited = (end == BATCH_AGAIN || end == BATCH_SPLIT) && batch->fence_at >= 0 &&
                  pipeline_failure(lane->pipeline)->class == FAILURE_TRANSIENT &&
                  pipeline_failed_at(lane->pipeline) == batch->fence_at;

    if (!waited)
        lane->fenced_since_us = 0;
    else if (lane->fenced_since_us == 0)
        lane->fenced_since_us = batch->begun_us;
}

/* Into `into`; empty: not known. */
static void ask_blockers(struct lane *lane, char *into, size_t into_size)
{
    const struct batch *batch = &lane->batch;
    int32_t ids[BATCH_PARTITIONS_MAX];
    struct buffer sql = BUFFER_EMPTY;

    into[0] = '\0';
    for (int i = 0; i < batch->partition_count; i++)
        ids[i] = batch->partitions[i].partition->partition_id;
    if (blockers_write_sql(BLOCKERS_OF_BATCH, ids, batch->partition_count, &sql) &&
        pipeline_send_text(lane->pipeline, sql.at) && pipeline_sync(lane->pipeline) &&
        PQntuples(pipeline_result(lane->pipeline, 0)) == 1)
        snprintf(into, into_size, "%s", PQgetvalue(pipeline_result(lane->pipeline, 0), 0, 0));
    buffer_done(&sql);
}

void lane_tell_fence(struct lane *lane)
{
    int64_t since_us = lane->fenced_since_us;
    char who[192], why[sizeof(lane->why)];

    if (since_us == 0 || monotonic_us() - since_us < FENCED_LONG_US || !pipeline_is_connected(lane->pipeline))
        return;
    ask_blockers(lane, who, sizeof(who));
    snprintf(why, sizeof(why), "the lock of a partition is held in PostgreSQL by %s",
             who[0] ? who : "a session that is gone by now");
    lane_set_ready(lane, false, why);
    if (log_allowed(&lane->fence_rate, LOG_EVERY_US))
        log_warning("%s: nothing is applied for %lld s: %s: end that session, or take its right to advisory locks away "
                    "(schema/roles.sql)",
                    lane->name, (long long)(monotonic_us() - since_us) / 1000000, why);
}
