/* Watermark: which messages of one partition are answered, and the contiguous prefix of those that are.
 *
 * Contiguous means in the order received, not offset + 1: transaction markers and compaction leave gaps (PROTOCOL K1).
 * A ring by receive sequence; it grows to what is in flight and never past WATERMARK_MAX.
 *
 * Threads    one owner (the publisher).
 * Ownership  items are the caller's; the ring only points at them.
 * Failure    watermark_mark answers false when memory is out or the sequence cannot be: nothing is changed.
 */
#ifndef CONSUMERS_PARTITION_WATERMARK_H
#define CONSUMERS_PARTITION_WATERMARK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum
{
    WATERMARK_AGES = 32,
    WATERMARK_MAX = 1 << 22, /* messages of one partition between the oldest unanswered and the newest answered */
};

/* The sequences marked within a while: since when, and the last of them. */
struct watermark_age
{
    int64_t since_us;
    uint64_t last;
};

struct watermark
{
    void **items;
    size_t capacity;                           /* a power of two, or 0 */
    uint64_t base;                             /* the sequence that is popped next */
    uint64_t prefix;                           /* every sequence before it is marked, as far as it was looked at */
    uint64_t answered;                         /* how many are marked and not popped */
    struct watermark_age ages[WATERMARK_AGES]; /* by time; the whiles grow longer where there are too many of them */
    int age_count;
    int64_t while_us;
};

#define WATERMARK_EMPTY ((struct watermark){ 0 })

void watermark_done(struct watermark *watermark);

/* Marks a sequence as answered. `item` must not be NULL; each sequence is marked once. */
bool watermark_mark(struct watermark *watermark, uint64_t sequence, void *item, int64_t now_us);

/* Since when the first sequence from `sequence` on is marked, to 50 ms or, where answers wait for long, a few
 * hundredths of that time; 0: none is marked. Forgets the times before `sequence`. */
int64_t watermark_since(struct watermark *watermark, uint64_t sequence);
/* The same of those that wait for an unanswered one before them. */
int64_t watermark_blocked(const struct watermark *watermark);

/* The first sequence that is not marked: each marked one is looked at once, whoever asks how often. */
uint64_t watermark_first_unmarked(struct watermark *watermark);

/* The next item of the prefix, or NULL while the next one is not answered. */
void *watermark_peek(const struct watermark *watermark);
void *watermark_pop(struct watermark *watermark);

/* Makes the last `count` that were popped unanswered again, to be marked again. False: no memory; nothing is changed.
 */
bool watermark_reopen(struct watermark *watermark, uint64_t count);

/* Takes out any one marked item, in order, answered prefix or not: for the end of an ownership. NULL: none is left. */
void *watermark_drop(struct watermark *watermark);

#endif
