#include "worker/lane/retry_queue.h"

#include <stdio.h>
#include <stdlib.h>

enum
{
    HOLD_BUCKETS = 1024,
    REASON_SIZE = 232,
};

struct held_key
{
    uint64_t key;
    int64_t due_us;
    struct delivery *first, *last;
    struct held_key *next; /* in its bucket */
    int commands;
    char reason[REASON_SIZE];
};

struct hold
{
    struct held_key *buckets[HOLD_BUCKETS];
    int keys;
};

struct hold *hold_new(void)
{
    return calloc(1, sizeof(struct hold));
}

void hold_free(struct hold *hold)
{
    free(hold);
}

static struct held_key **find(struct hold *hold, uint64_t key)
{
    struct held_key **at = &hold->buckets[key % HOLD_BUCKETS];

    while (*at && (*at)->key != key)
        at = &(*at)->next;
    return at;
}

bool hold_blocks(const struct hold *hold, const struct delivery *delivery)
{
    const struct held_key *held = hold->buckets[delivery->lane_hash % HOLD_BUCKETS];

    while (held && held->key != delivery->lane_hash)
        held = held->next;
    return held && held->first->ticket < delivery->ticket;
}

int hold_keys(const struct hold *hold)
{
    return hold->keys;
}

/* Most come behind the last; one that was taken out and is held again goes back to its place. */
static void insert(struct held_key *held, struct delivery *delivery, int64_t due_us)
{
    struct delivery **at = &held->first;

    if (held->last && held->last->ticket < delivery->ticket)
        at = &held->last->next;
    while (*at && (*at)->ticket < delivery->ticket)
        at = &(*at)->next;
    delivery->next = *at;
    *at = delivery;
    if (delivery->next == NULL)
        held->last = delivery;
    if (held->first == delivery)
        held->due_us = due_us;
    held->commands++;
}

bool hold_put(struct hold *hold, struct delivery *delivery, int64_t due_us)
{
    struct held_key **at = find(hold, delivery->lane_hash);

    if (*at == NULL)
    {
        *at = calloc(1, sizeof(**at));
        if (*at == NULL)
            return false;
        (*at)->key = delivery->lane_hash;
        hold->keys++;
    }
    insert(*at, delivery, due_us);
    return true;
}

void hold_say(struct hold *hold, const struct delivery *delivery, const char *reason)
{
    struct held_key *held = *find(hold, delivery->lane_hash);

    if (held && held->first == delivery)
        snprintf(held->reason, sizeof(held->reason), "%s", reason);
}

void hold_show(const struct hold *hold, const char *lane, struct held *into)
{
    for (int i = 0; hold->keys > 0 && i < HOLD_BUCKETS; i++)
        for (const struct held_key *held = hold->buckets[i]; held; held = held->next)
        {
            const struct delivery *first = held->first;
            struct held_key_copy *copy =
                held_place(into, first->stuck_since_us > 0 ? first->stuck_since_us : first->held_since_us);
            if (copy == NULL)
                continue;
            held_describe(copy, first, lane, held->reason[0] ? held->reason : "next of its key");
            copy->next_us = held->due_us;
            copy->commands = held->commands;
        }
}

int hold_count(const struct hold *hold, hold_test_fn *test, const void *owner, int64_t now_us)
{
    int count = 0;

    for (int i = 0; hold->keys > 0 && i < HOLD_BUCKETS; i++)
        for (const struct held_key *held = hold->buckets[i]; held; held = held->next)
            count += test(owner, held->first, now_us);
    return count;
}

void hold_hurry(struct hold *hold, hold_test_fn *test, const void *owner, int64_t now_us)
{
    for (int i = 0; hold->keys > 0 && i < HOLD_BUCKETS; i++)
        for (struct held_key *held = hold->buckets[i]; held; held = held->next)
            if (held->due_us > now_us && test(owner, held->first, now_us))
                held->due_us = now_us;
}

int64_t hold_next_due(const struct hold *hold)
{
    int64_t due_us = INT64_MAX;

    for (int i = 0; hold->keys > 0 && i < HOLD_BUCKETS; i++)
        for (const struct held_key *held = hold->buckets[i]; held; held = held->next)
            due_us = held->due_us < due_us ? held->due_us : due_us;
    return due_us;
}

static void remove_key(struct hold *hold, struct held_key **at)
{
    struct held_key *held = *at;

    *at = held->next;
    free(held);
    hold->keys--;
}

static struct delivery *take_first(struct hold *hold, struct held_key **at, int max, int *ret_count)
{
    struct held_key *held = *at;
    struct delivery *first = held->first, *last = first;

    *ret_count = 1;
    while (*ret_count < max && last->next)
    {
        last = last->next;
        ++*ret_count;
    }
    held->first = last->next;
    held->commands -= *ret_count;
    held->reason[0] = '\0'; /* what is left only stood behind it */
    held->due_us = 0;
    last->next = NULL;
    if (held->first == NULL)
        remove_key(hold, at);
    return first;
}

struct delivery *hold_take_due(struct hold *hold, int64_t now_us, int max, int *ret_count)
{
    *ret_count = 0;
    for (int i = 0; hold->keys > 0 && i < HOLD_BUCKETS; i++)
        for (struct held_key **at = &hold->buckets[i]; *at; at = &(*at)->next)
            if ((*at)->due_us <= now_us)
                return take_first(hold, at, max, ret_count);
    return NULL;
}

/* Splits one key's chain into what is revoked, put before `taken`, and what stays. */
static struct delivery *split_revoked(struct held_key *held, struct delivery *taken)
{
    struct delivery *kept = NULL, *kept_last = NULL;

    for (struct delivery *delivery = held->first, *next; delivery; delivery = next)
    {
        next = delivery->next;
        if (atomic_load(delivery->ownership->revoked))
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
    return taken;
}

struct delivery *hold_take_revoked(struct hold *hold)
{
    struct delivery *taken = NULL;

    for (int i = 0; hold->keys > 0 && i < HOLD_BUCKETS; i++)
        for (struct held_key **at = &hold->buckets[i]; *at;)
        {
            taken = split_revoked(*at, taken);
            if ((*at)->first == NULL)
                remove_key(hold, at);
            else
                at = &(*at)->next;
        }
    return taken;
}
