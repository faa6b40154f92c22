/* Committed: the offsets a group has committed, read the only way that tells the truth after an unclear end (PROTOCOL
 * O5): by an unsubscribed read_committed consumer of the same group, which waits for transactions that are about to
 * commit. Also the first offsets of partitions.
 *
 * Threads    one owner.
 * Failure    false: not known (yet); ask again. committed_problem says why.
 */
#ifndef CONSUMERS_TAKEOVER_COMMITTED_H
#define CONSUMERS_TAKEOVER_COMMITTED_H

#include <stdbool.h>
#include <stdint.h>

struct settings;
struct committed;
struct rd_kafka_topic_partition_list_s;

struct committed *committed_new(const struct settings *settings);
void committed_free(struct committed *committed);

/* Fills the offset of every element: 0 or more, or RD_KAFKA_OFFSET_INVALID for a definite "none"; and the metadata it
 * was committed with. */
bool committed_read(struct committed *committed, struct rd_kafka_topic_partition_list_s *partitions, int64_t wait_us);

/* Where the messages of a partition begin now. */
bool committed_read_first(struct committed *committed, const char *topic, int32_t partition, int64_t wait_us,
                          int64_t *ret_offset);

const char *committed_problem(const struct committed *committed);

#endif
