/* Watermark: which messages of one partition are answered, and the contiguous prefix of those that are.
 *
 * Contiguous means in the order received, not offset + 1: transaction markers and compaction leave gaps (PROTOCOL K1).
 * A ring by receive sequence; it grows to what is in flight and never past WATERMARK_MAX.
 *
 * Threads    one owner (the publisher).
 * Ownership  items are the caller's; the ring only points at them.
 * Failure    watermark_mark answers false when memory is out or the sequence cannot be: nothing is changed.
 */
#ifndef CONSUMERS_WATERMARK_H
#define CONSUMERS_WATERMARK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum
{
    WATERMARK_MAX = 1 << 22, /* messages of one partition between the oldest unanswered and the newest answered */
};

struct watermark
{
    void **items;
    size_t capacity;   /* a power of two, or 0 */
    uint64_t base;     /* the sequence that is popped next */
    uint64_t answered; /* how many are marked and not popped */
};

#define WATERMARK_EMPTY ((struct watermark){ NULL, 0, 0, 0 })

void watermark_done(struct watermark *watermark);

/* Marks a sequence as answered. `item` must not be NULL; each sequence is marked once. */
bool watermark_mark(struct watermark *watermark, uint64_t sequence, void *item);

/* The next item of the prefix, or NULL while the next one is not answered. */
void *watermark_peek(const struct watermark *watermark);
void *watermark_pop(struct watermark *watermark);

/* Makes the last `count` that were popped unanswered again, to be marked anew. False: no memory; nothing is changed. */
bool watermark_reopen(struct watermark *watermark, uint64_t count);

/* Takes out any one marked item, in order, answered prefix or not: for the end of an ownership. NULL: none is left. */
void *watermark_drop(struct watermark *watermark);

#endif
