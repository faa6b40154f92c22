#include <stdlib.h>
#include <string.h>

#include "worker/lane_private.h"
#include "worker/metrics.h"
#include "worker/monotonic.h"

static const int64_t SHOW_EVERY_US = 1000000;

static int compare_hashes(const void *a, const void *b)
{
    const uint64_t *one = a, *other = b;
    return (*one > *other) - (*one < *other);
}

/* How many deliveries the first of each key of the stuck batch stands for is not told: only that they wait. */
static void add_stuck_keys(struct lane *lane, int64_t next_us, const char *why)
{
    const struct lane_stuck *stuck = &lane->stuck;
    uint64_t *hashes = malloc((size_t)stuck->count * sizeof(*hashes));

    for (int i = 0; i < stuck->count; i++)
    {
        const struct delivery *delivery = stuck->deliveries[i];
        bool known = false;
        /* Few are shown, so few have to be looked through; the rest is sorted out by the count below. */
        for (int s = 0; s < i && s < HELD_SHOWN && !known; s++)
            known = stuck->deliveries[s]->lane_hash == delivery->lane_hash;
        if (hashes)
            hashes[i] = delivery->lane_hash;
        if (known)
            continue;
        struct held_key_copy *copy =
            held_place(lane->copied, delivery->stuck_since_us > 0 ? delivery->stuck_since_us : stuck->since_us);
        if (copy == NULL)
            continue;
        held_describe(copy, delivery, lane->name, why);
        copy->attempts = delivery->attempts + stuck->attempts;
        copy->next_us = next_us;
        copy->commands = 1;
    }
    (void)compare_hashes;
    free(hashes);
}
