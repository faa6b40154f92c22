#include "worker/lane/retry_queue.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum
{
    RETRY_QUEUE_BUCKETS = 1024,
    REASON_SIZE = 232,
};

struct waiting_key
{
    uint64_t key;
    int64_t due_us;
    struct delivery *first, *last;
    struct waiting_key *next; /* in its bucket */
    int commands;
    char reason[REASON_SIZE];
};

struct retry_queue
{
    struct waiting_key *buckets[RETRY_QUEUE_BUCKETS];
    int keys;
};

struct retry_queue *retry_queue_new(void)
{
    return calloc(1, sizeof(struct retry_queue));
}

void retry_queue_free(struct retry_queue *retry_queue)
{
    assert(retry_queue == NULL || retry_queue->keys == 0);
    free(retry_queue);
}

static struct waiting_key **find(struct retry_queue *retry_queue, uint64_t key)
{
    struct waiting_key **at = &retry_queue->buckets[key % RETRY_QUEUE_BUCKETS];

    while (*at && (*at)->key != key)
        at = &(*at)->next;
    return at;
}

bool retry_queue_blocks(const struct retry_queue *retry_queue, const struct delivery *delivery)
{
    const struct waiting_key *held = retry_queue->buckets[delivery->lane_hash % RETRY_QUEUE_BUCKETS];

    while (held && held->key != delivery->lane_hash)
        held = held->next;
    return held && held->first->arrival < delivery->arrival;
}

int retry_queue_keys(const struct retry_queue *retry_queue)
{
    return retry_queue->keys;
}

/* Most come after the last; one that was taken out and is held again goes back to its place. */
static void insert(struct waiting_key *held, struct delivery *delivery, int64_t due_us)
{
    struct delivery **at = &held->first;

    if (held->last && held->last->arrival < delivery->arrival)
        at = &held->last->next;
    while (*at && (*at)->arrival < delivery->arrival)
        at = &(*at)->next;
    assert(*at == NULL || (*at)->arrival > delivery->arrival); /* no delivery is held twice */
    delivery->next = *at;
    *at = delivery;
    if (delivery->next == NULL)
        held->last = delivery;
    if (held->first == delivery)
        held->due_us = due_us;
    held->commands++;
}

bool retry_queue_put(struct retry_queue *retry_queue, struct delivery *delivery, int64_t due_us)
{
    struct waiting_key **at = find(retry_queue, delivery->lane_hash);

    assert(delivery->next == NULL); /* it is in no other queue */
    if (*at == NULL)
    {
        *at = calloc(1, sizeof(**at));
        if (*at == NULL)
            return false;
        (*at)->key = delivery->lane_hash;
        retry_queue->keys++;
    }
    insert(*at, delivery, due_us);
    return true;
}

void retry_queue_say(struct retry_queue *retry_queue, const struct delivery *delivery, const char *reason)
{
    struct waiting_key *held = *find(retry_queue, delivery->lane_hash);

    if (held && held->first == delivery)
        snprintf(held->reason, sizeof(held->reason), "%s", reason);
}

void retry_queue_show(const struct retry_queue *retry_queue, const char *lane, struct held_keys *into)
{
    for (int i = 0; retry_queue->keys > 0 && i < RETRY_QUEUE_BUCKETS; i++)
        for (const struct waiting_key *held = retry_queue->buckets[i]; held; held = held->next)
        {
            const struct delivery *first = held->first;
            struct held_key *copy =
                held_keys_place(into, first->stuck_since_us > 0 ? first->stuck_since_us : first->held_since_us);
            if (copy == NULL)
                continue;
            held_keys_describe(copy, first, lane, held->reason[0] ? held->reason : "next of its key");
            copy->next_us = held->due_us;
            copy->commands = held->commands;
        }
}

int retry_queue_count(const struct retry_queue *retry_queue, retry_queue_test_fn *test, const void *owner,
                      int64_t now_us)
{
    int count = 0;

    for (int i = 0; retry_queue->keys > 0 && i < RETRY_QUEUE_BUCKETS; i++)
        for (const struct waiting_key *held = retry_queue->buckets[i]; held; held = held->next)
            count += test(owner, held->first, now_us);
    return count;
}

void retry_queue_hurry(struct retry_queue *retry_queue, retry_queue_test_fn *test, const void *owner, int64_t now_us)
{
    for (int i = 0; retry_queue->keys > 0 && i < RETRY_QUEUE_BUCKETS; i++)
        for (struct waiting_key *held = retry_queue->buckets[i]; held; held = held->next)
            if (held->due_us > now_us && test(owner, held->first, now_us))
                held->due_us = now_us;
}

int64_t retry_queue_next_due(const struct retry_queue *retry_queue)
{
    int64_t due_us = INT64_MAX;

    for (int i = 0; retry_queue->keys > 0 && i < RETRY_QUEUE_BUCKETS; i++)
        for (const struct waiting_key *held = retry_queue->buckets[i]; held; held = held->next)
            due_us = held->due_us < due_us ? held->due_us : due_us;
    return due_us;
}

static void remove_key(struct retry_queue *retry_queue, struct waiting_key **at)
{
    struct waiting_key *held = *at;

    assert(held->first == NULL && retry_queue->keys > 0); /* or its deliveries would be lost with it */
    *at = held->next;
    free(held);
    retry_queue->keys--;
}

static struct delivery *take_first(struct retry_queue *retry_queue, struct waiting_key **at, int max, int *ret_count)
{
    struct waiting_key *held = *at;
    struct delivery *first = held->first, *last = first;

    *ret_count = 1;
    while (*ret_count < max && last->next)
    {
        last = last->next;
        ++*ret_count;
    }
    held->first = last->next;
    held->commands -= *ret_count;
    assert((held->first == NULL) == (held->commands == 0));
    held->reason[0] = '\0'; /* the rest of the key only stood behind it */
    held->due_us = 0;
    last->next = NULL;
    if (held->first == NULL)
        remove_key(retry_queue, at);
    return first;
}

struct delivery *retry_queue_take_due(struct retry_queue *retry_queue, int64_t now_us, int max, int *ret_count)
{
    assert(max > 0); /* one is taken at least: the caller has room for it */
    *ret_count = 0;
    for (int i = 0; retry_queue->keys > 0 && i < RETRY_QUEUE_BUCKETS; i++)
        for (struct waiting_key **at = &retry_queue->buckets[i]; *at; at = &(*at)->next)
            if ((*at)->due_us <= now_us)
                return take_first(retry_queue, at, max, ret_count);
    return NULL;
}

/* Splits one key's chain into the revoked deliveries, put before `taken`, and the others, which stay. */
static struct delivery *split_revoked(struct waiting_key *held, struct delivery *taken)
{
    struct delivery *kept = NULL, *kept_last = NULL;

    for (struct delivery *delivery = held->first, *next; delivery; delivery = next)
    {
        next = delivery->next;
        if (atomic_load(delivery->partition->revoked))
        {
            delivery->next = taken;
            taken = delivery;
            held->commands--;
            continue;
        }
        delivery->next = NULL;
        if (kept_last)
            kept_last->next = delivery;
        else
            kept = delivery;
        kept_last = delivery;
    }
    if (held->first != kept)
        held->reason[0] = '\0';
    held->first = kept;
    held->last = kept_last;
    assert((kept == NULL) == (held->commands == 0));
    return taken;
}

struct delivery *retry_queue_take_revoked(struct retry_queue *retry_queue)
{
    struct delivery *taken = NULL;

    for (int i = 0; retry_queue->keys > 0 && i < RETRY_QUEUE_BUCKETS; i++)
        for (struct waiting_key **at = &retry_queue->buckets[i]; *at;)
        {
            taken = split_revoked(*at, taken);
            if ((*at)->first == NULL)
                remove_key(retry_queue, at);
            else
                at = &(*at)->next;
        }
    return taken;
}
