#include <stdlib.h>
#include <string.h>

#include "worker/base/clock.h"
#include "worker/base/metrics.h"
#include "worker/lane/lane_private.h"

static const int64_t SHOW_EVERY_US = 1000000;

/* By key, and within a key in order of arrival. */
static int compare_deliveries(const void *a, const void *b)
{
    const struct delivery *one = *(const struct delivery *const *)a, *other = *(const struct delivery *const *)b;

    if (one->lane_hash != other->lane_hash)
        return one->lane_hash > other->lane_hash ? 1 : -1;
    return (one->arrival > other->arrival) - (one->arrival < other->arrival);
}

/* The commands of a stuck batch wait as those of the retry queue do: each key by its first. */
static void add_stuck_keys(struct lane *lane, int64_t next_us, const char *why)
{
    const struct lane_stuck *stuck = &lane->stuck;
    assert(stuck->count > 0);
    const struct delivery **sorted = malloc((size_t)stuck->count * sizeof(*sorted));

    if (sorted == NULL)
        return; /* the keys are not shown, and that is all */
    for (int i = 0; i < stuck->count; i++)
        sorted[i] = stuck->deliveries[i];
    qsort(sorted, (size_t)stuck->count, sizeof(*sorted), compare_deliveries);
    for (int i = 0, commands; i < stuck->count; i += commands)
    {
        const struct delivery *first = sorted[i];
        for (commands = 1; i + commands < stuck->count && sorted[i + commands]->lane_hash == first->lane_hash;)
            commands++;
        struct held_key *copy =
            held_keys_place(lane->copied, first->stuck_since_us > 0 ? first->stuck_since_us : stuck->since_us);
        if (copy == NULL)
            continue;
        held_keys_describe(copy, first, lane->name, why);
        copy->attempts = first->attempts + stuck->attempts;
        copy->next_us = next_us;
        copy->commands = commands;
    }
    free(sorted);
}

static void count_keys(struct lane *lane, int64_t keys)
{
    assert(keys >= 0);
    if (keys != lane->held_before)
        metrics_add(METRIC_HELD_KEYS, keys - lane->held_before);
    lane->held_before = keys;
}

/* The mutex is held for the exchange of two pointers. */
static void publish(struct lane *lane)
{
    struct held_keys *copied = lane->copied;

    assert(copied != lane->shown); /* or a reader sees it being written */
    mutex_lock(&lane->mutex);
    lane->copied = lane->shown;
    lane->shown = copied;
    mutex_unlock(&lane->mutex);
}

void lane_show(struct lane *lane, int64_t next_us, const char *why)
{
    bool any = retry_queue_keys(lane->retry_queue) > 0 || lane->stuck.count > 0;

    lane_assert_owner(lane);
    if (lane->stuck.count == 0)
        count_keys(lane, retry_queue_keys(lane->retry_queue));
    if (!any && !lane->shows)
        return;
    int64_t now_us = monotonic_us();
    /* An empty list is shown immediately, without the one-second limit. */
    lane->shows_late = any && now_us - lane->copied_us < SHOW_EVERY_US;
    if (lane->shows_late)
        return;
    held_keys_clear(lane->copied);
    if (retry_queue_keys(lane->retry_queue) > 0)
        retry_queue_show(lane->retry_queue, lane->name, lane->copied);
    if (lane->stuck.count > 0)
    {
        add_stuck_keys(lane, next_us, why);
        count_keys(lane, lane->copied->keys);
    }
    lane->shows = any;
    if (any)
        lane->copied_us = now_us;
    publish(lane);
}

int64_t lane_show_due(const struct lane *lane)
{
    return lane->shows_late ? lane->copied_us + SHOW_EVERY_US : INT64_MAX;
}
