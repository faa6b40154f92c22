/* Audit merge: the entries of new audit rows wait in lists of the audit's GIN indexes (schema/0020), where they cost a
 * command little; they are merged into the indexes here, thousands at once. A question reads the lists, too, so it finds
 * every row; a list that grows past its limit is merged by the transaction of the next command, which then waits for it.
 *
 * A process merges when it has committed many rows since its last merge, or a few some time ago; one process at a time
 * (interlock.merge_audit_indexes). Without rows it asks nothing.
 *
 * Threads    the returner's.
 * Failure    it is said by `ask`; the next round tries again.
 */
#ifndef CONSUMERS_AUDIT_MERGE_H
#define CONSUMERS_AUDIT_MERGE_H

#include "consumers/parking/returner.h"

struct audit_merge
{
    int64_t merged;           /* METRIC_BATCH_COMMANDS at the last merge */
    int64_t next_us;          /* monotonic: not before */
    int64_t waiting_since_us; /* since then some wait; 0: not */
};

/* A merge, if it is due. `committed`: rows of this process so far. */
void audit_merge_round(struct audit_merge *merge, int64_t committed, int64_t now_us, returner_ask_fn *ask, void *asker);

#endif
