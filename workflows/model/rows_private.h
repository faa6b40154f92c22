/* Rows, private: shared by rows.c (reading, changing, steps) and rows_loading.c (needs, looks, loaded rows) alone. */
#ifndef WORKFLOWS_MODEL_ROWS_PRIVATE_H
#define WORKFLOWS_MODEL_ROWS_PRIVATE_H

#include "workflows/model/rows.h"

/* The rows of one entity. */
struct row_set
{
    struct row **buckets;
    size_t bucket_count;
    int count;
    struct row *first, *last;

    struct row *first_appended, *last_appended;
    int appended_count;

    int64_t *ids; /* drawn; the first `ids_taken` are in use */
    int ids_wanted, ids_given, ids_taken, ids_capacity;

    /* The state that rows_undo brings back, noted when a step first touches the set. */
    uint32_t step;
    struct row *mark_appended;
    int mark_count, mark_taken;
    struct row_set *touched;
};

struct rows
{
    struct arena *arena;
    struct row_set sets[PLACE__COUNT];

    struct row_look *looks, *last_look;
    struct row_look **look_buckets;
    size_t look_bucket_count;
    size_t look_count;

    uint32_t step; /* 0 before the first */
    bool in_step;
    bool *met_busy; /* since rows_begin; behind a pointer because reading sets it */
    struct row_edit *edits;
    struct row_set *touched;

    void *spare; /* written instead of a row for which there is no memory */
    size_t spare_size;
};

enum
{
    IMAGE_ALIGNMENT = 16,
};

static inline size_t aligned(size_t size)
{
    return (size + IMAGE_ALIGNMENT - 1) & ~(size_t)(IMAGE_ALIGNMENT - 1);
}

/* A row and its two images are one piece: the image as loaded, then the image as the batch has it. */
static inline void *image_loaded(struct row *row)
{
    return (char *)row + aligned(sizeof(struct row));
}

static inline void *image_current(struct row *row)
{
    return (char *)row + aligned(sizeof(struct row)) + aligned(row->entity->row_size);
}

/* The row whose current image this is. */
static inline const struct row *image_owner(const struct entity *entity, const void *current)
{
    const char *loaded = (const char *)current - aligned(entity->row_size);
    return (const struct row *)(const void *)(loaded - aligned(sizeof(struct row)));
}

static inline uint64_t mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ (hash >> 32);
}

static inline bool row_exists(const struct row *row)
{
    return row->state == ROW_LOADED || row->state == ROW_NEW || row->state == ROW_SEEN;
}

/* A row that is in no hash table. NULL without memory, as the next. */
struct row *rows_make(struct arena *arena, const struct entity *entity, struct id id, enum row_state state);
/* The row with this id, made when there is none. */
struct row *rows_find_or_make(struct rows *rows, const struct entity *entity, struct id id, enum row_state state);
void rows_hang_child(struct row *row, struct row *parent);
/* The key column of a row's content. */
struct id rows_key_id(const struct entity *entity, const void *content);

#endif
