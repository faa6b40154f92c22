/* Audit compare: the audit rows of PostgreSQL against the events on the topic (PROTOCOL R7). No I/O: it is given
 * the events first, then the rows, and reports the differences.
 *
 * A topic with too many events for one pass is compared in several: each looks at the aggregates whose key falls to it,
 * with their order, and passes over the others.
 *
 * Threads    one owner.
 * Ownership  copies what it keeps: 48 bytes an event, 32 an aggregate, of one pass.
 * Failure    false from a call: out of memory.
 */
#ifndef WORKER_ADMIN_AUDIT_COMPARE_H
#define WORKER_ADMIN_AUDIT_COMPARE_H

#include "worker/batch/audit.h"

struct audit_compare;

struct audit_compare_counts
{
    long events, rows;
    long holes;      /* rows below `published` whose event is not on the topic */
    long doubles;    /* events that are on the topic more than once */
    long mismatches; /* events whose bytes are not the row's */
    long unknown;    /* events without a row */
    long reordered;  /* events of one aggregate and one command partition that lie in another order than the commands */
};

enum audit_fit
{
    AUDIT_FITS,
    AUDIT_HOLE,
    AUDIT_MISMATCH,
    AUDIT_REORDERED, /* and it would fit otherwise */
    AUDIT_NOT_YET,   /* not published as far as is known */
    AUDIT_TOO_OLD,   /* older than the oldest event of the topic */
};

struct audit_compare *audit_compare_new(void);
void audit_compare_free(struct audit_compare *compare);

/* Begins pass `number` of `of`: forgets events and rows, and keeps the counts of the passes before. Pass 0 begins them
 * too. Without this there is one pass. */
void audit_compare_begin(struct audit_compare *compare, uint32_t number, uint32_t of);
/* Whether what has this key (an aggregate's, a Kafka key) belongs to the pass; SPAN_NULL is a key as well. */
bool audit_compare_takes(const struct audit_compare *compare, struct span key);
/* Events of the pass so far. */
size_t audit_compare_size(const struct audit_compare *compare);

/* An event of the topic, in the order of its partition. *ret_double: it was there before. */
bool audit_compare_event(struct audit_compare *compare, struct id event_id, struct span event, int32_t partition,
                         int64_t offset, bool *ret_double);

/* After the last event, before the first row: what was published since then is still on the topic; 0, as it begins: all
 * there ever was. */
void audit_compare_since(struct audit_compare *compare, int64_t since_us);

/* A row; those of a partition in the order of their positions. `published`: of the partition, read before the events
 * were. False: out of memory. */
bool audit_compare_row(struct audit_compare *compare, const struct audit_record *record, int64_t published,
                       struct buffer *event, enum audit_fit *ret_fit);

/* After the last row of a pass: events that no row answered for are counted. */
void audit_compare_end(struct audit_compare *compare);
struct audit_compare_counts audit_compare_counts(const struct audit_compare *compare);

#endif
