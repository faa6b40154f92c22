#include "consumers/publish/publication.h"

#include <assert.h>
#include <stdlib.h>

#include "consumers/partition/commit_mark.h"
#include "worker/base/clock.h"
#include "worker/base/metrics.h"

static bool reserve_parts(struct publication *publication, int count)
{
    if (count <= publication->capacity)
        return true;
    struct part *parts = realloc(publication->parts, (size_t)count * sizeof(*parts));
    if (parts == NULL)
        return false;
    publication->parts = parts;
    publication->capacity = count;
    return true;
}

static void append(struct part *part, struct delivery *delivery)
{
    assert(part->last == NULL ||
           delivery->sequence == part->last->sequence + 1); /* the prefix has no gap (PROTOCOL K1) */
    delivery->next = NULL;
    if (part->last)
        part->last->next = delivery;
    else
        part->first = delivery;
    part->last = delivery;
    part->count++;
    part->events += delivery->answer == ANSWER_EVENT;
    part->dead_letters += delivery->answer == ANSWER_DEAD_LETTER;
    part->bytes += delivery_bytes(delivery);
    part->next_offset = delivery->offset + 1;
}

static int64_t sends(const struct delivery *delivery)
{
    if (delivery->answer == ANSWER_NOTHING)
        return 0;
    return PUBLICATION_RECORD +
           (int64_t)(delivery->answer == ANSWER_DEAD_LETTER ? delivery_size(delivery) : delivery->event_size);
}

bool publication_gather(struct publication *publication, struct owned_partition *const *owned_partitions, int count,
                        int start, int64_t bytes)
{
    int events = 0;

    assert(publication->count == 0);
    if (!reserve_parts(publication, count))
        return false;
    publication->deliveries = 0;
    publication->sends = 0;
    for (int i = 0; i < count; i++)
    {
        struct owned_partition *owned = owned_partitions[(start + i) % count];
        struct part part = { .owned = owned };
        while (owned_is_live(owned) && events < PUBLICATION_EVENTS_MAX && publication->sends < bytes &&
               publication->deliveries < PUBLICATION_DELIVERIES_MAX)
        {
            struct delivery *delivery = watermark_pop(&owned->publisher.watermark);
            if (delivery == NULL)
                break;
            append(&part, delivery);
            publication->deliveries++;
            events += delivery->answer != ANSWER_NOTHING;
            publication->sends += sends(delivery);
        }
        if (part.count > 0)
            publication->parts[publication->count++] = part;
    }
    return publication->count > 0;
}

/* How many of a part are kept; what they send is added. */
static int fitting(const struct part *part, int64_t bytes, int64_t *sum)
{
    int count = 0;

    for (const struct delivery *delivery = part->first; delivery && *sum < bytes; delivery = delivery->next, count++)
        *sum += sends(delivery);
    return count;
}

/* The part with its first `kept` deliveries; the others go back to the watermark. */
static struct part cut(const struct part *part, int kept)
{
    struct part head = { .owned = part->owned };
    struct delivery *next;

    for (struct delivery *delivery = part->first; delivery; delivery = next)
    {
        next = delivery->next;
        if (head.count < kept)
            append(&head, delivery);
        else
        {
            bool marked =
                watermark_mark(&part->owned->publisher.watermark, delivery->sequence, delivery, monotonic_us());
            assert(marked); /* its place was just made */
        }
    }
    return head;
}

void publication_trim(struct publication *publication, int64_t bytes)
{
    int64_t sum = 0;
    int parts = 0;

    if (publication->sends <= bytes)
        return;
    publication->deliveries = 0;
    for (int i = 0; i < publication->count; i++)
    {
        struct part part = publication->parts[i];
        int kept = fitting(&part, bytes, &sum);
        if (kept < part.count && watermark_reopen(&part.owned->publisher.watermark, (uint64_t)(part.count - kept)))
            part = cut(&part, kept);
        if (part.count == 0)
            continue;
        publication->parts[parts++] = part;
        publication->deliveries += part.count;
    }
    /* One delivery stays, or nothing would ever be published. */
    assert(parts > 0 || publication->count == 0);
    publication->count = parts;
    publication->sends = sum;
}

int64_t publication_deadline(const struct publication *publication, int64_t longest_us)
{
    int64_t deadline_us = monotonic_us() + longest_us;

    for (int i = 0; i < publication->count; i++)
    {
        int64_t give_up_us = publication->parts[i].owned->shared.give_up_us;
        deadline_us = give_up_us < deadline_us ? give_up_us : deadline_us;
    }
    return deadline_us;
}

rd_kafka_topic_partition_list_t *publication_offsets(const struct publication *publication)
{
    rd_kafka_topic_partition_list_t *offsets = rd_kafka_topic_partition_list_new(publication->count);

    for (int i = 0; i < publication->count; i++)
    {
        const struct part *part = &publication->parts[i];
        assert(part->count > 0 && part->next_offset == part->last->offset + 1);
        commit_mark_add(offsets, part->owned, part->next_offset, true);
    }
    return offsets;
}

enum producer_result publication_send(const struct publication *publication, struct producer *producer,
                                      const rd_kafka_consumer_group_metadata_t *group, int64_t deadline_us)
{
    assert(publication->count > 0);
    enum producer_result result = producer_begin(producer);
    if (result != PRODUCER_DONE)
        return result;
    rd_kafka_topic_partition_list_t *offsets = publication_offsets(publication);
    result = producer_send_offsets(producer, offsets, group, deadline_us);
    rd_kafka_topic_partition_list_destroy(offsets);
    for (int i = 0; i < publication->count && result == PRODUCER_DONE; i++)
        for (const struct delivery *delivery = publication->parts[i].first; delivery && result == PRODUCER_DONE;
             delivery = delivery->next)
            if (delivery->answer != ANSWER_NOTHING)
                result = producer_send(producer, delivery);
    return result == PRODUCER_DONE ? producer_commit(producer, deadline_us) : result;
}

enum part_outcome publication_outcome(const struct part *part, const rd_kafka_topic_partition_list_t *committed)
{
    const struct owned_partition *owned = part->owned;
    const rd_kafka_topic_partition_t *found =
        rd_kafka_topic_partition_list_find(committed, owned->topic, owned->partition.number);

    if (found == NULL)
        return PART_NOT_REACHED;
    if (found->offset < 0)
        return owned->publisher.published_reached > 0 ? PART_GONE_BACK : PART_NOT_REACHED;
    if (!commit_mark_is_ours(owned, commit_mark_of(found)))
        return PART_NOT_REACHED;
    if (found->offset >= part->next_offset)
        return PART_REACHED;
    return found->offset < owned->publisher.published_reached ? PART_GONE_BACK : PART_NOT_REACHED;
}

void publication_count(const struct part *part, int64_t now_us)
{
    metrics_add(METRIC_EVENTS, part->events);
    for (const struct delivery *delivery = part->first; delivery; delivery = delivery->next)
        if (delivery->answer == ANSWER_DEAD_LETTER)
            metrics_count_dead_letter(delivery->dead_reason);
        else if (delivery->answer == ANSWER_EVENT && delivery->timestamp_us > 0)
            metrics_observe_latency(now_us - delivery->timestamp_us);
}

void publication_release(struct publication *publication, int index, struct delivery_pool *delivery_pool)
{
    struct part part = publication->parts[index];

    assert(index < publication->count && publication->deliveries >= part.count);
    assert(atomic_load_explicit(&part.owned->shared.in_flight, memory_order_relaxed) >= part.count);
    publication->parts[index] = publication->parts[--publication->count];
    publication->deliveries -= part.count;
    delivery_pool_give_back(delivery_pool, part.first);
    atomic_fetch_sub_explicit(&part.owned->shared.in_flight, part.count, memory_order_relaxed);
    atomic_fetch_sub_explicit(&part.owned->shared.in_flight_bytes, (int64_t)part.bytes, memory_order_relaxed);
    owned_release(part.owned, part.count);
}

void publication_done(struct publication *publication)
{
    assert(publication->count == 0);
    free(publication->parts);
    *publication = PUBLICATION_EMPTY;
}
