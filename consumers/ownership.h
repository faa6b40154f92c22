/* Ownership: taking a partition over in PostgreSQL, and the bookkeeping of what was published (PROTOCOL O2, O3, R1).
 *
 * A takeover is one transaction per partition: exclusive advisory lock (it waits for the batches of the former owner),
 * fence + 1, a random token; `published` raised to the committed offset, or, when that went back, a row in
 * partition_rewind.
 *
 * Threads    one owner, the publisher, on its own session.
 * Ownership  keeps settings and session by reference.
 * Failure    OWNERSHIP_AGAIN: nothing was changed for good; try again. ownership_problem says why.
 */
#ifndef CONSUMERS_OWNERSHIP_H
#define CONSUMERS_OWNERSHIP_H

#include "consumers/tenure.h"
#include "worker/session.h"
#include "workflows/buffer.h"

struct ownership_books;

enum ownership_result
{
    OWNERSHIP_TAKEN,
    OWNERSHIP_AGAIN,
};

/* PROTOCOL R1: of the audit events and dead letters that are recorded at or above `published` (positions of one
 * partition, ascending), which is the highest that a read_committed reader finds on its topic? -1: none. False: not
 * known, and *reterr says why. */
struct recorded_event
{
    int64_t offset;
    struct id event_id;     /* of an audit event; zero for a dead letter */
    int64_t recorded_at_us; /* Unix */
};
typedef bool ownership_find_published_fn(void *owner, const struct tenure *tenure, const struct recorded_event *events,
                                         int count, bool went_back, int64_t *ret_highest, struct buffer *reterr);

struct ownership_books *ownership_new(const struct settings *settings, ownership_find_published_fn *find_published,
                                      void *owner);
void ownership_free(struct ownership_books *books);

/* Writes the tenure's ownership: partition_id, fence, token; raises or rewinds `published`. `committed` is the offset
 * committed to Kafka, or OFFSET_NONE. `stop` ends it early. */
enum ownership_result ownership_take(struct ownership_books *books, struct tenure *tenure, int64_t committed,
                                     const struct session_stop *stop);

/* Sends what tenures have reached (published_reached) to PostgreSQL without waiting; does nothing while an earlier
 * statement is out. `wait_us` > 0 waits for the answer: for the end. */
void ownership_raise(struct ownership_books *books, struct tenure *const *tenures, int count, int64_t wait_us);

/* Says that the tenures end in order and not by a crash: no token is left. Waits up to `wait_us`; that it does not
 * arrive costs some care of the next owner (worker/quarantine.h). */
void ownership_give_back(struct ownership_books *books, struct tenure *const *tenures, int count, int64_t wait_us);

const char *ownership_problem(const struct ownership_books *books);

#endif
