#include "consumers/watermark.h"

#include <assert.h>
#include <stdlib.h>

enum
{
    CAPACITY_FIRST = 256,
};

void watermark_done(struct watermark *watermark)
{
    free(watermark->items);
    *watermark = WATERMARK_EMPTY;
}

static void **place_of(const struct watermark *watermark, uint64_t sequence)
{
    return &watermark->items[sequence & (watermark->capacity - 1)];
}

/* Makes room for `needed` sequences from the base on. */
static bool grow(struct watermark *watermark, uint64_t needed)
{
    size_t capacity = watermark->capacity ? watermark->capacity : CAPACITY_FIRST;

    while (capacity < needed)
        capacity *= 2;
    void **items = calloc(capacity, sizeof(void *));
    if (items == NULL)
        return false;
    for (uint64_t i = 0; i < watermark->capacity; i++)
    {
        uint64_t sequence = watermark->base + i;
        items[sequence & (capacity - 1)] = *place_of(watermark, sequence);
    }
    free(watermark->items);
    watermark->items = items;
    watermark->capacity = capacity;
    return true;
}

bool watermark_mark(struct watermark *watermark, uint64_t sequence, void *item)
{
    assert(item != NULL && sequence >= watermark->base);
    uint64_t needed = sequence - watermark->base + 1;

    if (needed > WATERMARK_MAX)
        return false;
    if (needed > watermark->capacity && !grow(watermark, needed))
        return false;
    void **place = place_of(watermark, sequence);
    assert(*place == NULL);
    *place = item;
    watermark->answered++;
    return true;
}

void *watermark_peek(const struct watermark *watermark)
{
    return watermark->answered ? *place_of(watermark, watermark->base) : NULL;
}

void *watermark_pop(struct watermark *watermark)
{
    void *item = watermark_peek(watermark);

    if (item == NULL)
        return NULL;
    *place_of(watermark, watermark->base) = NULL;
    watermark->base++;
    watermark->answered--;
    return item;
}

bool watermark_reopen(struct watermark *watermark, uint64_t count)
{
    assert(count <= watermark->base);
    /* Sequences before the base have the places of those a whole ring further on, which may be taken. */
    for (uint64_t i = 1; i <= count; i++)
        if (i > watermark->capacity || *place_of(watermark, watermark->base - i) != NULL)
        {
            if (!grow(watermark, watermark->capacity + count))
                return false;
            break;
        }
    watermark->base -= count;
    return true;
}

void *watermark_drop(struct watermark *watermark)
{
    while (watermark->answered > 0)
    {
        void *item = watermark_pop(watermark);
        if (item)
            return item;
        watermark->base++;
    }
    return NULL;
}
