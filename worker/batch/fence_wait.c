/* A batch that waits for the locks of its partitions (PROTOCOL O4): whether it does, and who holds them. */
#include <assert.h>
#include <stdio.h>

#include "worker/batch/item.h"
#include "worker/postgres/blockers.h"

int64_t batch_fenced_since_us(const struct batch *batch, enum batch_end end)
{
    const struct pipeline *pipeline = batch->tools.pipeline;
    bool waited = (end == BATCH_AGAIN || end == BATCH_SPLIT) && batch->fence_at >= 0 &&
                  pipeline_failure(pipeline)->class == FAILURE_TRANSIENT &&
                  pipeline_failed_at(pipeline) == batch->fence_at;

    return waited ? batch->begun_us : 0;
}

void batch_ask_fence_holders(struct batch *batch, char *into, size_t into_size)
{
    struct pipeline *pipeline = batch->tools.pipeline;
    int32_t ids[BATCH_PARTITIONS_MAX];
    struct buffer sql = BUFFER_EMPTY;

    assert(batch->partition_count <= BATCH_PARTITIONS_MAX);
    into[0] = '\0';
    for (int i = 0; i < batch->partition_count; i++)
        ids[i] = batch->partitions[i].partition->partition_id;
    if (blockers_write_sql(BLOCKERS_OF_BATCH, ids, batch->partition_count, &sql) &&
        pipeline_send_text(pipeline, sql.at) && pipeline_sync(pipeline) && PQntuples(pipeline_result(pipeline, 0)) == 1)
        snprintf(into, into_size, "%s", PQgetvalue(pipeline_result(pipeline, 0), 0, 0));
    buffer_done(&sql);
}
