/* Backlog: how many messages of an owned partition are not decided yet, how old the oldest of them is, and since when
 * there are some.
 *
 *   unread      behind the position of the poll thread, and committed, so that a reader can get them. The mark that
 *               librdkafka gives at the last stable offset says that there are none, whatever the end of the log says:
 *               markers of transactions and aborted messages count 0
 *   open        behind that mark, in transactions that have not ended
 *   undecided   received, and not answered by the lanes
 *
 * Threads    backlog_take, backlog_note_received, backlog_note_mark, backlog_look: the poll thread.
 *            backlog_note_answered: the publisher. The others: any; their numbers may be of different moments, up to
 *            half a second ago, and are never negative.
 * Ownership  a part of its owned partition.
 * Failure    none; before the first look a backlog is empty.
 */
#ifndef CONSUMERS_PARTITION_BACKLOG_H
#define CONSUMERS_PARTITION_BACKLOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum
{
    BACKLOG_AGES = 32,
};

/* The first of some messages that were received together. */
struct backlog_age
{
    uint64_t sequence;
    int64_t timestamp_us;
};

struct backlog
{
    /* Poll thread. */
    struct backlog_age ages[BACKLOG_AGES]; /* ascending */
    int age_count;
    int64_t mark; /* the last stable offset that the position has reached; -1: none */

    /* Writer: poll thread. */
    atomic_int_fast64_t end; /* of the log, as far as it is known; -1: not known */
    atomic_int_fast64_t unread, open;
    atomic_int_fast64_t received;
    atomic_int_fast64_t oldest_us;               /* Unix, of the oldest undecided message; 0: none, or not known */
    atomic_int_fast64_t since_us, open_since_us; /* monotonic, since when it has not been empty; 0: it is empty */

    /* Writer: publisher. */
    atomic_int_fast64_t answered;
    atomic_int_fast64_t undecided_from; /* the first sequence that is not answered */
};

void backlog_init(struct backlog *backlog);

/* Messages were received, the first of them with this sequence; `timestamp_us` of that one, Unix, 0: not known. */
void backlog_take(struct backlog *backlog, uint64_t sequence, int64_t timestamp_us);
/* All of them, up to this sequence. */
void backlog_note_received(struct backlog *backlog, uint64_t next_sequence);
/* There is nothing to read before this offset, and nothing committed after it as yet. */
void backlog_note_mark(struct backlog *backlog, int64_t offset);

/* `position`: the next offset to be read; `end`: of the log, -1: not known. `stable`: it is the last stable offset, and
 * the marks do not come, because the partition is paused. */
void backlog_look(struct backlog *backlog, int64_t position, int64_t end, bool stable, int64_t now_us);

void backlog_note_answered(struct backlog *backlog, uint64_t answered, uint64_t undecided_from);

/* Unread and undecided. */
int64_t backlog_messages(const struct backlog *backlog);
/* The age of the oldest undecided message. Of one that is not read yet: since when it is known. 0: there is none. */
int64_t backlog_age_us(const struct backlog *backlog, int64_t now_us, int64_t wall_us);

/* Since when there is a backlog without pause, monotonic; 0: there is none. */
static inline int64_t backlog_since_us(const struct backlog *backlog)
{
    return backlog_messages(backlog) > 0 ? atomic_load_explicit(&backlog->since_us, memory_order_relaxed) : 0;
}

/* Since when messages are behind transactions that have not ended; 0: there are none. */
static inline int64_t backlog_open_since_us(const struct backlog *backlog)
{
    return atomic_load_explicit(&backlog->open_since_us, memory_order_relaxed);
}

#endif
