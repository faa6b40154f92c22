#include "consumers/publish/offset_commits.h"

#include <assert.h>

#include "consumers/partition/commit_mark.h"

static void on_committed(rd_kafka_t *consumer, rd_kafka_resp_err_t error, rd_kafka_topic_partition_list_t *offsets,
                         void *owner)
{
    struct offset_commits *commits = owner;
    (void)consumer, (void)offsets;

    assert(commits->out && !commits->answered);
    commits->answered = true;
    commits->good = error == RD_KAFKA_RESP_ERR_NO_ERROR;
}

static void take_answer(struct offset_commits *commits, struct owned_partition *const *owned_partitions, int count)
{
    for (int i = 0; commits->good && i < count; i++)
    {
        const rd_kafka_topic_partition_t *found = rd_kafka_topic_partition_list_find(
            commits->out, owned_partitions[i]->topic, owned_partitions[i]->partition.number);
        if (found && found->offset > owned_partitions[i]->publisher.published_reached)
            owned_partitions[i]->publisher.published_reached = found->offset;
    }
    rd_kafka_topic_partition_list_destroy(commits->out);
    commits->out = NULL;
    commits->answered = false;
}

static void send_offsets(struct offset_commits *commits, rd_kafka_t *consumer,
                         struct owned_partition *const *owned_partitions, int count)
{
    rd_kafka_topic_partition_list_t *offsets = rd_kafka_topic_partition_list_new(count);

    assert(commits->out == NULL && !commits->answered); /* one commit at a time */
    for (int i = 0; i < count; i++)
    {
        int64_t committed = atomic_load_explicit(&owned_partitions[i]->shared.committed, memory_order_relaxed);
        if (owned_is_live(owned_partitions[i]) && committed > owned_partitions[i]->publisher.published_reached)
            commit_mark_add(offsets, owned_partitions[i], committed, true);
    }
    if (offsets->cnt > 0 && commits->queue == NULL)
        commits->queue = rd_kafka_queue_new(consumer);
    if (offsets->cnt > 0 &&
        rd_kafka_commit_queue(consumer, offsets, commits->queue, on_committed, commits) == RD_KAFKA_RESP_ERR_NO_ERROR)
        commits->out = offsets;
    else
        rd_kafka_topic_partition_list_destroy(offsets);
}

bool offset_commits_step(struct offset_commits *commits, rd_kafka_t *consumer,
                         struct owned_partition *const *owned_partitions, int count, int wait_ms)
{
    if (commits->out)
        rd_kafka_queue_poll_callback(commits->queue, wait_ms);
    if (commits->answered)
        take_answer(commits, owned_partitions, count);
    if (commits->out == NULL && consumer)
        send_offsets(commits, consumer, owned_partitions, count);
    return commits->out != NULL;
}

void offset_commits_forget(struct offset_commits *commits)
{
    if (commits->queue)
        rd_kafka_queue_destroy(commits->queue);
    if (commits->out)
        rd_kafka_topic_partition_list_destroy(commits->out);
    *commits = OFFSET_COMMITS_EMPTY;
}
