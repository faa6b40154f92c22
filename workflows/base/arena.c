#include "workflows/base/arena.h"

#include <stdalign.h>
#include <stdlib.h>

#include <sanitizer/asan_interface.h>

/* In builds with AddressSanitizer, memory that is not taken is poisoned, so that a write past what was taken, or a
 * pointer kept over a reset, is found as it would be with malloc. Without it the macros are nothing. */

enum
{
    ALIGNMENT = 16,
    FIRST_BLOCK_SIZE = 16 * 1024,
    STEP_SIZE_MAX = 4 * 1024 * 1024, /* blocks double until here, so that a rare large batch does not double for ever */
};

struct arena_block
{
    alignas(ALIGNMENT) struct arena_block *older;
    size_t size; /* of `bytes` */
    char bytes[];
};

static size_t round_up(size_t size)
{
    return (size + (ALIGNMENT - 1)) & ~(size_t)(ALIGNMENT - 1);
}

static void drop_block(struct arena *arena, struct arena_block *block)
{
    arena->total -= block->size;
    ASAN_UNPOISON_MEMORY_REGION(block->bytes, block->size);
    free(block);
}

void arena_init(struct arena *arena)
{
    *arena = (struct arena){ NULL, 0, 0, false };
}

void arena_done(struct arena *arena)
{
    while (arena->block)
    {
        struct arena_block *older = arena->block->older;
        drop_block(arena, arena->block);
        arena->block = older;
    }
    arena_init(arena);
}

static bool add_block(struct arena *arena, size_t size)
{
    struct arena_block *block = malloc(sizeof(struct arena_block) + size);
    if (!block)
        return false;
    block->older = arena->block;
    block->size = size;
    ASAN_POISON_MEMORY_REGION(block->bytes, block->size);
    arena->block = block;
    arena->used = 0;
    arena->total += size;
    return true;
}

/* One block is kept, or made, as large as all that the last batch took (within `keep`): a batch like it then needs no
 * memory from the system, whose pages would have to be touched for the first time again. */
void arena_reset(struct arena *arena, size_t keep)
{
    size_t wanted = arena->total < keep ? arena->total : keep;
    struct arena_block *kept = NULL;
    struct arena_block *block = arena->block;
    while (block)
    {
        struct arena_block *older = block->older;
        if (!kept && block->size >= wanted && block->size <= keep)
            kept = block;
        else
            drop_block(arena, block);
        block = older;
    }
    arena->block = kept;
    arena->used = 0;
    arena->failed = false;
    if (kept)
    {
        kept->older = NULL;
        ASAN_POISON_MEMORY_REGION(kept->bytes, kept->size);
    }
    else if (wanted > 0)
    {
        add_block(arena, wanted); /* without it the next take tries again */
    }
}

static size_t step_size(const struct arena *arena)
{
    if (arena->total < FIRST_BLOCK_SIZE)
        return FIRST_BLOCK_SIZE;
    return arena->total < STEP_SIZE_MAX ? arena->total : STEP_SIZE_MAX;
}

void *arena_take(struct arena *arena, size_t size)
{
    if (arena->failed || size > SIZE_MAX / 4)
    {
        arena->failed = true;
        return NULL;
    }
    size_t rounded = round_up(size);
    if (!arena->block || arena->block->size - arena->used < rounded)
    {
        size_t step = step_size(arena);
        if (!add_block(arena, rounded > step ? rounded : step))
        {
            arena->failed = true;
            return NULL;
        }
    }
    void *taken = arena->block->bytes + arena->used;
    arena->used += rounded;
    ASAN_UNPOISON_MEMORY_REGION(taken, size);
    return taken;
}

void *arena_take_zeroed(struct arena *arena, size_t size)
{
    void *taken = arena_take(arena, size);
    return taken ? memset(taken, 0, size) : NULL;
}

bool arena_resize_last(struct arena *arena, void *last, size_t size, size_t new_size)
{
    if (!arena->block || arena->failed || new_size > SIZE_MAX / 4)
        return false;
    char *end = arena->block->bytes + arena->used;
    if ((char *)last + round_up(size) != end)
        return false;
    size_t start = (size_t)((char *)last - arena->block->bytes);
    if (round_up(new_size) > arena->block->size - start)
        return false;
    ASAN_POISON_MEMORY_REGION(last, round_up(size));
    ASAN_UNPOISON_MEMORY_REGION(last, new_size);
    arena->used = start + round_up(new_size);
    return true;
}

struct arena_mark arena_mark(const struct arena *arena)
{
    return (struct arena_mark){ arena->block, arena->used };
}

void arena_rewind(struct arena *arena, struct arena_mark mark)
{
    while (arena->block != mark.block)
    {
        struct arena_block *older = arena->block->older;
        drop_block(arena, arena->block);
        arena->block = older;
    }
    arena->used = mark.used;
    if (arena->block)
        ASAN_POISON_MEMORY_REGION(arena->block->bytes + arena->used, arena->block->size - arena->used);
}

struct span arena_copy(struct arena *arena, struct span text)
{
    if (!text.at)
        return SPAN_NULL;
    char *copy = text.size < SIZE_MAX / 4 ? arena_take(arena, text.size + 1) : NULL;
    if (!copy)
        return SPAN_NULL;
    memcpy(copy, text.at, text.size);
    copy[text.size] = '\0';
    return (struct span){ copy, text.size };
}
