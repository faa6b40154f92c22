#include "consumers/partition/commit_mark.h"

#include <stdio.h>
#include <string.h>

/* Behind the mark of a commit that must not count as ours: it names its owner all the same. */
static const char ARREARS[] = ":arrears";

void commit_mark_add(rd_kafka_topic_partition_list_t *offsets, const struct owned_partition *owned, int64_t offset,
                     bool is_ours)
{
    rd_kafka_topic_partition_t *added =
        rd_kafka_topic_partition_list_add(offsets, owned->topic, owned->partition.number);

    added->offset = offset;
    /* By librdkafka's own allocator: it frees it. Without memory the commit has none, which costs a look-up. */
    size_t room = sizeof(owned->publisher.mark) + sizeof(ARREARS);
    added->metadata = rd_kafka_mem_malloc(NULL, room);
    if (added->metadata)
        added->metadata_size =
            (size_t)snprintf(added->metadata, room, "%s%s", owned->publisher.mark, is_ours ? "" : ARREARS);
}

struct span commit_mark_of(const rd_kafka_topic_partition_t *committed)
{
    return committed->metadata ? (struct span){ committed->metadata, committed->metadata_size } : SPAN_NULL;
}

bool commit_mark_is_ours(const struct owned_partition *owned, struct span metadata)
{
    const char *colon = strchr(owned->publisher.mark, ':');
    size_t size = colon ? (size_t)(colon - owned->publisher.mark) + 1 : 0;

    if (size == 0 || metadata.size <= size || memcmp(metadata.at, owned->publisher.mark, size) != 0)
        return false;
    for (size_t i = size; i < metadata.size; i++)
        if (metadata.at[i] < '0' || metadata.at[i] > '9')
            return false;
    return true;
}

int64_t commit_mark_fence(struct span metadata)
{
    int64_t fence = 0;
    size_t at = metadata.size;

    while (at > 0 && metadata.at[at - 1] != ':')
        at--;
    for (; at < metadata.size; at++)
        if (__builtin_mul_overflow(fence, 10, &fence) || __builtin_add_overflow(fence, metadata.at[at] - '0', &fence))
            return INT64_MAX;
    return fence;
}
