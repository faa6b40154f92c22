#include "worker/lane/lanes.h"

#include <stdlib.h>

#include "worker/lane/lane.h"
#include "worker/settings/settings.h"

struct lanes
{
    int count;
    struct lane **lanes;
    struct delivery **firsts, **lasts; /* lanes_submit sorts a chain by lane here; the poll thread's */
    int *counts;
};

struct lanes *lanes_new(const struct lanes_options *options, const char **reterr)
{
    int count = (int)options->settings->worker.lanes;
    struct lanes *lanes = calloc(1, sizeof(*lanes));

    *reterr = "out of memory or threads for the lanes";
    if (lanes == NULL)
        return NULL;
    lanes->lanes = calloc((size_t)count, sizeof(*lanes->lanes));
    lanes->firsts = calloc((size_t)count, sizeof(*lanes->firsts));
    lanes->lasts = calloc((size_t)count, sizeof(*lanes->lasts));
    lanes->counts = calloc((size_t)count, sizeof(*lanes->counts));
    bool good = lanes->lanes && lanes->firsts && lanes->lasts && lanes->counts;
    while (good && lanes->count < count)
    {
        lanes->lanes[lanes->count] = lane_new(options, lanes->count);
        good = lanes->lanes[lanes->count] != NULL;
        lanes->count += good;
    }
    if (good)
        return lanes;
    lanes_free(lanes, 0);
    return NULL;
}

void lanes_submit(struct lanes *lanes, struct delivery *chain)
{
    for (int i = 0; i < lanes->count; i++)
    {
        lanes->firsts[i] = NULL;
        lanes->counts[i] = 0;
    }
    for (struct delivery *next; chain; chain = next)
    {
        /* The upper half: the retry queue and the held keys of a batch use the lower bits of the same hash. */
        int lane = (int)((chain->lane_hash >> 32) % (uint64_t)lanes->count);
        next = chain->next;
        chain->next = NULL;
        if (lanes->firsts[lane])
            lanes->lasts[lane]->next = chain;
        else
            lanes->firsts[lane] = chain;
        lanes->lasts[lane] = chain;
        lanes->counts[lane]++;
    }
    for (int i = 0; i < lanes->count; i++)
        if (lanes->firsts[i])
            lane_submit(lanes->lanes[i], lanes->firsts[i], lanes->lasts[i], lanes->counts[i]);
}

void lanes_revoke(struct lanes *lanes)
{
    for (int i = 0; i < lanes->count; i++)
        lane_revoke(lanes->lanes[i]);
}

bool lanes_await_quiet(struct lanes *lanes, int64_t deadline_us)
{
    bool quiet = true;

    for (int i = 0; i < lanes->count; i++)
        quiet = lane_await_quiet(lanes->lanes[i], deadline_us) && quiet;
    return quiet;
}

bool lanes_is_ready(struct lanes *lanes, char *why, size_t why_size)
{
    for (int i = 0; i < lanes->count; i++)
        if (!lane_is_ready(lanes->lanes[i], why, why_size))
            return false;
    return true;
}

void lanes_held(struct lanes *lanes, struct held_keys *into)
{
    for (int i = 0; i < lanes->count; i++)
        lane_held(lanes->lanes[i], into);
}

void lanes_free(struct lanes *lanes, int64_t deadline_us)
{
    if (lanes == NULL)
        return;
    for (int i = 0; i < lanes->count; i++)
        lane_ask_stop(lanes->lanes[i], deadline_us);
    for (int i = 0; i < lanes->count; i++)
        lane_free(lanes->lanes[i]);
    free(lanes->lanes);
    free(lanes->firsts);
    free(lanes->lasts);
    free(lanes->counts);
    free(lanes);
}
