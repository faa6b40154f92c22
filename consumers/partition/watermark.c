#include "consumers/partition/watermark.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum
{
    CAPACITY_FIRST = 256,
    WHILE_US = 50000,
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

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Two whiles become one. */
static void merge_ages(struct watermark *watermark)
{
    struct watermark_age *ages = watermark->ages;

    for (int i = 0; i < WATERMARK_AGES / 2; i++)
        ages[i] = (struct watermark_age){ ages[2 * i].since_us, later(ages[2 * i].last, ages[2 * i + 1].last) };
    watermark->age_count = WATERMARK_AGES / 2;
    watermark->while_us *= 2;
}

static void note_age(struct watermark *watermark, uint64_t sequence, int64_t now_us)
{
    struct watermark_age *last = watermark->ages + watermark->age_count - 1;

    if (watermark->age_count == 0)
        watermark->while_us = WHILE_US;
    else if (now_us - last->since_us < watermark->while_us)
    {
        last->last = later(last->last, sequence);
        return;
    }
    if (watermark->age_count == WATERMARK_AGES)
        merge_ages(watermark);
    watermark->ages[watermark->age_count++] = (struct watermark_age){ now_us, sequence };
}

int64_t watermark_since(struct watermark *watermark, uint64_t sequence)
{
    int gone = 0;

    while (gone < watermark->age_count && watermark->ages[gone].last < sequence)
        gone++;
    watermark->age_count -= gone;
    memmove(watermark->ages, watermark->ages + gone, (size_t)watermark->age_count * sizeof(*watermark->ages));
    return watermark->age_count > 0 ? watermark->ages[0].since_us : 0;
}

int64_t watermark_blocked(const struct watermark *watermark)
{
    if (watermark->answered == 0 || watermark_peek(watermark))
        return 0;
    for (int i = 0; i < watermark->age_count; i++)
        if (watermark->ages[i].last >= watermark->base)
            return watermark->ages[i].since_us;
    return 0;
}

bool watermark_mark(struct watermark *watermark, uint64_t sequence, void *item, int64_t now_us)
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
    note_age(watermark, sequence, now_us);
    return true;
}

uint64_t watermark_first_unmarked(struct watermark *watermark)
{
    uint64_t end = watermark->base + watermark->capacity;

    if (watermark->prefix < watermark->base)
        watermark->prefix = watermark->base;
    while (watermark->answered > 0 && watermark->prefix < end && *place_of(watermark, watermark->prefix))
        watermark->prefix++;
    return watermark->prefix;
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
    if (watermark->prefix > watermark->base)
        watermark->prefix = watermark->base;
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
