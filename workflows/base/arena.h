/* Arena: memory that lives as long as one batch. Taking is a bump of a pointer; giving back is all at once.
 *
 * Threads    one owner; never shared.
 * Ownership  everything taken belongs to the arena and dies with arena_reset or arena_done.
 * Failure    out of memory: arena_take returns NULL and arena_failed says true until the reset; callers may check once
 *            at the end of a step. No call aborts.
 */
#ifndef WORKFLOWS_BASE_ARENA_H
#define WORKFLOWS_BASE_ARENA_H

#include "workflows/base/span.h"

struct arena_block;

struct arena
{
    struct arena_block *block; /* the one being filled; it links to the older ones */
    size_t used;               /* bytes taken of `block` */
    size_t total;              /* bytes of all blocks */
    bool failed;
};

void arena_init(struct arena *arena);
void arena_done(struct arena *arena);

/* Forgets everything taken; keeps at most `keep` bytes of blocks for the next batch. */
void arena_reset(struct arena *arena, size_t keep);

/* `size` bytes, aligned to 16, not cleared (arena_take) or cleared (arena_take_zeroed). */
void *arena_take(struct arena *arena, size_t size);
void *arena_take_zeroed(struct arena *arena, size_t size);

/* Changes the size of what was taken last without moving it. False, and nothing changed, when it is not the last or its
 * block has no room for more. */
bool arena_resize_last(struct arena *arena, void *last, size_t size, size_t new_size);

/* Scratch memory: everything taken after the mark is given back by the rewind. Marks nest; a reset ends them. */
struct arena_mark
{
    struct arena_block *block;
    size_t used;
};
struct arena_mark arena_mark(const struct arena *arena);
void arena_rewind(struct arena *arena, struct arena_mark mark);

/* A copy of the bytes, followed by a NUL. A null span stays null. */
struct span arena_copy(struct arena *arena, struct span text);

static inline bool arena_failed(const struct arena *arena)
{
    return arena->failed;
}

#endif
