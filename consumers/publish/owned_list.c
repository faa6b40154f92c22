#include "consumers/publish/owned_list.h"

#include <assert.h>
#include <stdlib.h>

#include "worker/base/memory.h"

/* --- beginnings -------------------------------------------------------------------------------------------------- */

void owned_list_ask(struct owned_list *list, struct owned_partition *const *asked, int count)
{
    size_t needed = (size_t)(list->asked_count + count) * sizeof(struct owned_partition *);

    assert(count > 0);
    list->asked = realloc(list->asked, needed);
    if (list->asked == NULL)
        die_out_of_memory("the list of partitions");
    for (int i = 0; i < count; i++)
        list->asked[list->asked_count++] = asked[i];
}

static void keep(struct owned_list *list, struct owned_partition *owned)
{
    if (list->count == list->capacity)
    {
        int capacity = list->capacity ? 2 * list->capacity : 64;
        list->owned = realloc(list->owned, (size_t)capacity * sizeof(struct owned_partition *));
        if (list->owned == NULL)
            die_out_of_memory("the list of partitions");
        list->capacity = capacity;
    }
    list->owned[list->count++] = owned;
}

void owned_list_begin(struct owned_list *list, int first)
{
    assert(first >= 0 && first <= list->asked_count);
    for (int i = first; i < list->asked_count; i++)
    {
        keep(list, list->asked[i]);
        owned_change(list->asked[i], PARTITION_TAKE);
    }
    list->asked_count = first;
}

/* --- answers ----------------------------------------------------------------------------------------------------- */

static void give_back(struct owned_list *list, struct delivery *delivery)
{
    struct owned_partition *owned = owned_of(delivery);

    assert(atomic_load_explicit(&owned->shared.in_flight, memory_order_relaxed) > 0); /* it is given back once */
    owned_land_unpublished(owned, (int64_t)delivery_bytes(delivery));
    delivery->next = NULL;
    delivery_pool_give_back(list->delivery_pool, delivery);
    owned_release(owned, 1);
}

static void give_all_back(struct owned_list *list, struct owned_partition *owned)
{
    struct delivery *delivery;

    assert(!owned_is_live(owned));
    while ((delivery = watermark_drop(&owned->publisher.watermark)))
        give_back(list, delivery);
}

void owned_list_lose(struct owned_list *list, struct owned_partition *owned)
{
    owned_change(owned, PARTITION_LOSE);
    give_all_back(list, owned);
}

static bool is_publishable(enum answer answer)
{
    return answer == ANSWER_EVENT || answer == ANSWER_NOTHING || answer == ANSWER_DEAD_LETTER;
}

enum answered owned_list_answer(struct owned_list *list, struct delivery *delivery, int64_t now_us)
{
    struct owned_partition *owned = owned_of(delivery);
    bool live = owned_is_live(owned);

    assert(delivery->sequence >= owned->publisher.settled); /* else it is answered a second time */
    /* An event may be many times its command, and waits here for as long as Kafka does not take it. */
    atomic_fetch_add_explicit(&owned->shared.in_flight_bytes, (int64_t)delivery->event_size, memory_order_relaxed);
    if (live && is_publishable(delivery->answer) &&
        watermark_mark(&owned->publisher.watermark, delivery->sequence, delivery, now_us))
        return ANSWERED_KEPT;
    /* Another process is the owner; or the ring cannot grow. */
    bool lost = live && delivery->answer != ANSWER_DROPPED;
    if (lost)
        owned_list_lose(list, owned);
    give_back(list, delivery);
    return lost ? ANSWERED_LOST : ANSWERED_RETURNED;
}

void owned_list_note_waits(const struct owned_list *list)
{
    for (int i = 0; i < list->count; i++)
    {
        struct owned_partition *owned = list->owned[i];
        struct watermark *watermark = &owned->publisher.watermark;
        atomic_store_explicit(&owned->shared.unpublished_us, watermark_since(watermark, owned->publisher.settled),
                              memory_order_relaxed);
        atomic_store_explicit(&owned->shared.blocked_us, watermark_blocked(watermark), memory_order_relaxed);
        backlog_note_answered(&owned->backlog, watermark->base + watermark->answered,
                              watermark_first_unmarked(watermark));
    }
}

/* --- ends -------------------------------------------------------------------------------------------------------- */

void owned_list_end(struct owned_list *list, struct owned_partition *owned)
{
    owned_change(owned, PARTITION_END);
    give_all_back(list, owned);
}

bool owned_list_has_unknown(const struct owned_list *list, int64_t now_us)
{
    for (int i = 0; i < list->count; i++)
    {
        const struct owned_partition *owned = list->owned[i];
        if (owned_is_live(owned) && owned_is_given_up(owned, now_us) &&
            owned->publisher.published_reached > owned->publisher.published_known)
            return true;
    }
    return false;
}

void owned_list_drop_ended(struct owned_list *list, int64_t now_us)
{
    int left = 0;

    for (int i = 0; i < list->count; i++)
    {
        struct owned_partition *owned = list->owned[i];
        if (owned_is_live(owned) && !owned_is_given_up(owned, now_us))
        {
            list->owned[left++] = owned;
            continue;
        }
        owned_list_end(list, owned);
        owned_release(owned, 1);
    }
    list->count = left;
}

void owned_list_end_all(struct owned_list *list)
{
    for (int i = 0; i < list->count; i++)
    {
        owned_list_end(list, list->owned[i]);
        owned_release(list->owned[i], 1);
    }
    list->count = 0;
}

void owned_list_done(struct owned_list *list)
{
    assert(list->count == 0);
    for (int i = 0; i < list->asked_count; i++)
        owned_release(list->asked[i], 1);
    free(list->owned);
    free(list->asked);
    *list = (struct owned_list){ 0 };
}
