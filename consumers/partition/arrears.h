/* Arrears: events recorded of a partition that may never have been published (PROTOCOL R1). After a commit that is not
 * ours, one that went back, or none, the partition has been taken over and its rows no longer change, but which of
 * them are on the audit topic must be looked up (consumers/takeover/search.h). The missing ones are published from the
 * rows, in order; dead letters from their messages. Only then is the partition read.
 *
 * It goes portion by portion, the lowest offsets first, so that it needs little memory however much there is.
 *
 * Threads    one owner, the publisher.
 * Ownership  belongs to its owned partition.
 * Failure    NULL: no memory. Reading it is consumers/takeover/arrears_reading.h.
 */
#ifndef CONSUMERS_PARTITION_ARREARS_H
#define CONSUMERS_PARTITION_ARREARS_H

#include "consumers/partition/audit_positions.h"
#include "workflows/model/id.h"

enum
{
    ARREARS_PORTION = 20000, /* rows */
};

/* One row. Zero event_id: a dead letter. */
struct recorded
{
    int64_t offset, fence;
    struct id event_id;
    int64_t recorded_at_us; /* Unix */
    bool found;             /* on its topic */
};

enum arrears_state
{
    ARREARS_UNREAD,    /* the next portion is to be read */
    ARREARS_LOOKED_UP, /* `missing` counts those not found yet; a search is on, or to be begun */
    ARREARS_KNOWN,     /* those marked as missing are not on the topic */
};

struct arrears
{
    enum arrears_state state;
    int64_t published;           /* everything recorded below is */
    struct audit_positions from; /* where its events may begin on the audit topic */
    int64_t next;                /* where the next portion begins */
    bool last;                   /* nothing is recorded after this portion */
    struct recorded *rows;       /* the portion, ascending */
    int count, missing;
    bool has_dead_letters;
};

/* Takes `from`. NULL: no memory. */
struct arrears *arrears_new(int64_t published, struct audit_positions *from);
void arrears_free(struct arrears *arrears);

static inline bool recorded_is_event(const struct recorded *row)
{
    return (row->event_id.high | row->event_id.low) != 0;
}

#endif
