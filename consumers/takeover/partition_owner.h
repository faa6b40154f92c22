/* Partition owner: taking a partition over in PostgreSQL (PROTOCOL O2, O3).
 *
 * A takeover is one transaction per partition: exclusive advisory lock (it waits for the batches of the former owner),
 * fence + 1, a random token; and, where the committed offset is one of ours, `published` raised to it (PROTOCOL R1).
 * After any other commit the partition is taken, but may not be read yet: what was published is not known (arrears.h).
 *
 * Threads    one owner, the publisher, on its own session.
 * Ownership  keeps settings and session by reference.
 * Failure    PARTITION_OWNER_AGAIN: nothing was changed for good; try again. partition_owner_problem says why.
 */
#ifndef CONSUMERS_TAKEOVER_PARTITION_OWNER_H
#define CONSUMERS_TAKEOVER_PARTITION_OWNER_H

#include "consumers/partition/audit_positions.h"
#include "consumers/partition/partition.h"
#include "worker/postgres/session.h"
#include "workflows/base/buffer.h"

struct partition_owner;

enum partition_owner_result
{
    PARTITION_OWNER_TAKEN,
    PARTITION_OWNER_IN_ARREARS, /* taken; owned->publisher.arrears is there and must be settled first */
    PARTITION_OWNER_AGAIN,
};

struct partition_owner *partition_owner_new(const struct settings *settings);
void partition_owner_free(struct partition_owner *owners);

/* The group's offset of a partition, as Kafka has it. */
struct commitment
{
    int64_t offset;       /* OFFSET_NONE: none */
    struct span metadata; /* as it was committed with it */
    bool is_lost;         /* there are no messages at the offset: it says what was published, but not where to begin */
};

/* Writes the partition's ownership: partition_id, fence, token; its mark; its start_offset. `stop` ends it early. */
enum partition_owner_result partition_owner_take(struct partition_owner *owners, struct owned_partition *owned,
                                                 const struct commitment *committed, const struct session_stop *stop);

/* Says that the owned partitions end in order and not by a crash: no token is left. Waits up to `wait_us`; that it does
 * not arrive costs some care of the next owner (worker/batch/quarantine.h). */
void partition_owner_give_back(struct partition_owner *owners, struct owned_partition *const *owned_partitions,
                               int count, int64_t wait_us);

const char *partition_owner_problem(const struct partition_owner *owners);

#endif
