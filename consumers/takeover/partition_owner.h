/* Ownership: taking a partition over in PostgreSQL (PROTOCOL O2, O3).
 *
 * A takeover is one transaction per partition: exclusive advisory lock (it waits for the batches of the former owner),
 * fence + 1, a random token; and, where the committed offset is one of ours, `published` raised to it (PROTOCOL R1).
 * After any other commit the partition is taken, but may not be read yet: what was published is not known (arrears.h).
 *
 * Threads    one owner, the publisher, on its own session.
 * Ownership  keeps settings and session by reference.
 * Failure    OWNERSHIP_AGAIN: nothing was changed for good; try again. ownership_problem says why.
 */
#ifndef CONSUMERS_TAKEOVER_PARTITION_OWNER_H
#define CONSUMERS_TAKEOVER_PARTITION_OWNER_H

#include "consumers/partition/audit_positions.h"
#include "consumers/partition/partition.h"
#include "worker/postgres/session.h"
#include "workflows/base/buffer.h"

struct ownership_books;

enum ownership_result
{
    OWNERSHIP_TAKEN,
    OWNERSHIP_IN_ARREARS, /* taken; tenure->arrears is there and must be settled first */
    OWNERSHIP_AGAIN,
};

struct ownership_books *ownership_new(const struct settings *settings);
void ownership_free(struct ownership_books *books);

/* What Kafka has as the group's offset of a partition. */
struct commitment
{
    int64_t offset;       /* OFFSET_NONE: none */
    struct span metadata; /* as it was committed with it */
    bool is_lost;         /* there are no messages at the offset: it says what was published, but not where to begin */
};

/* Writes the tenure's ownership: partition_id, fence, token; its mark; its start_offset. `stop` ends it early. */
enum ownership_result ownership_take(struct ownership_books *books, struct tenure *tenure,
                                     const struct commitment *committed, const struct session_stop *stop);

/* Says that the tenures end in order and not by a crash: no token is left. Waits up to `wait_us`; that it does not
 * arrive costs some care of the next owner (worker/batch/quarantine.h). */
void ownership_give_back(struct ownership_books *books, struct tenure *const *tenures, int count, int64_t wait_us);

const char *ownership_problem(const struct ownership_books *books);

#endif
