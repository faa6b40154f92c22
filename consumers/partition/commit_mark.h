/* Commit mark: what a commit of ours carries beside its offset, "<schema id>:<fence>" (PROTOCOL R1). Whoever takes the
 * partition over reads from it that everything before the offset was published; a commit without it was made by
 * somebody else, who moved the group, or, with ":arrears" behind it, while arrears were being published.
 *
 * Threads    any.
 * Ownership  the list owns its copy.
 */
#ifndef CONSUMERS_PARTITION_COMMIT_MARK_H
#define CONSUMERS_PARTITION_COMMIT_MARK_H

#include <librdkafka/rdkafka.h>

#include "consumers/partition/partition.h"

/* Adds the partition with an offset to be committed and the mark of its owner; `is_ours` false: as one that says
 * nothing about what is published, because events at or above the offset are out. */
void commit_mark_add(rd_kafka_topic_partition_list_t *offsets, const struct owned_partition *owned, int64_t offset,
                     bool is_ours);

/* The metadata of an element of a list of committed offsets. */
struct span commit_mark_of(const rd_kafka_topic_partition_t *committed);

/* Whether a worker of the partition's schema put it there, under any fence. */
bool commit_mark_is_ours(const struct owned_partition *owned, struct span metadata);

/* The fence of one that is ours. */
int64_t commit_mark_fence(struct span metadata);

#endif
