#include "worker/lane/lanes.h"

#include <stdlib.h>

#include "worker/lane/lane.h"
#include "worker/settings/settings.h"

struct pool
{
    int count;
    struct lane **lanes;
    struct delivery **firsts, **lasts; /* pool_submit sorts a chain by lane here; the poll thread's */
    int *counts;
};

struct pool *pool_new(const struct pool_options *options, const char **reterr)
{
    int count = (int)options->settings->worker.lanes;
    struct pool *pool = calloc(1, sizeof(*pool));

    *reterr = "out of memory or threads for the lanes";
    if (pool == NULL)
        return NULL;
    pool->lanes = calloc((size_t)count, sizeof(*pool->lanes));
    pool->firsts = calloc((size_t)count, sizeof(*pool->firsts));
    pool->lasts = calloc((size_t)count, sizeof(*pool->lasts));
    pool->counts = calloc((size_t)count, sizeof(*pool->counts));
    bool good = pool->lanes && pool->firsts && pool->lasts && pool->counts;
    while (good && pool->count < count)
    {
        pool->lanes[pool->count] = lane_new(options, pool->count);
        good = pool->lanes[pool->count] != NULL;
        pool->count += good;
    }
    if (good)
        return pool;
    pool_free(pool, 0);
    return NULL;
}

void pool_submit(struct pool *pool, struct delivery *chain)
{
    for (int i = 0; i < pool->count; i++)
    {
        pool->firsts[i] = NULL;
        pool->counts[i] = 0;
    }
    for (struct delivery *next; chain; chain = next)
    {
        /* The upper half: the hold and held keys look at the lower bits of the same hash. */
        int lane = (int)((chain->lane_hash >> 32) % (uint64_t)pool->count);
        next = chain->next;
        chain->next = NULL;
        if (pool->firsts[lane])
            pool->lasts[lane]->next = chain;
        else
            pool->firsts[lane] = chain;
        pool->lasts[lane] = chain;
        pool->counts[lane]++;
    }
    for (int i = 0; i < pool->count; i++)
        if (pool->firsts[i])
            lane_submit(pool->lanes[i], pool->firsts[i], pool->lasts[i], pool->counts[i]);
}

void pool_revoke(struct pool *pool, uint64_t epoch)
{
    for (int i = 0; i < pool->count; i++)
        lane_revoke(pool->lanes[i], epoch);
}

bool pool_await_quiet(struct pool *pool, uint64_t epoch, int64_t deadline_us)
{
    bool quiet = true;

    for (int i = 0; i < pool->count; i++)
        quiet = lane_await_quiet(pool->lanes[i], epoch, deadline_us) && quiet;
    return quiet;
}

bool pool_is_ready(struct pool *pool, char *why, size_t why_size)
{
    for (int i = 0; i < pool->count; i++)
        if (!lane_is_ready(pool->lanes[i], why, why_size))
            return false;
    return true;
}

void pool_held(struct pool *pool, struct held *into)
{
    for (int i = 0; i < pool->count; i++)
        lane_held(pool->lanes[i], into);
}

void pool_free(struct pool *pool, int64_t deadline_us)
{
    if (pool == NULL)
        return;
    for (int i = 0; i < pool->count; i++)
        lane_ask_stop(pool->lanes[i], deadline_us);
    for (int i = 0; i < pool->count; i++)
        lane_free(pool->lanes[i]);
    free(pool->lanes);
    free(pool->firsts);
    free(pool->lasts);
    free(pool->counts);
    free(pool);
}
