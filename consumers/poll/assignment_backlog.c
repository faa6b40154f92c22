#include "consumers/poll/assignment_private.h"

static const int64_t MEASURE_EVERY_US = 500000;
static const int64_t ENDS_EVERY_US = 5000000;

enum
{
    ENDS_MS = 100,
};

static bool is_paused(const struct assigned *assigned)
{
    return assigned->owned &&
           (assigned->on_pause ||
            (assigned->fetching && atomic_load_explicit(&assigned->owned->shared.paused, memory_order_relaxed)));
}

static void look(struct assigned *assigned, int64_t end, bool stable, int64_t now_us)
{
    int64_t position = owned_position(assigned->owned);
    backlog_look(&assigned->owned->backlog, position == OFFSET_NONE ? 0 : position, end, stable, now_us);
}

/* Nothing of a paused partition is fetched, so nothing tells its end. The answer is the last stable offset, because the
 * consumer reads committed messages. */
static void ask_ends(struct assignment *assignment, rd_kafka_t *consumer, int64_t now_us)
{
    rd_kafka_topic_partition_list_t *ends = rd_kafka_topic_partition_list_new(assignment->count);

    for (int i = 0; i < assignment->count; i++)
        if (is_paused(&assignment->assigned_partitions[i]))
            rd_kafka_topic_partition_list_add(ends, assignment->assigned_partitions[i].topic,
                                              assignment->assigned_partitions[i].partition)
                ->offset = RD_KAFKA_OFFSET_END;
    bool answered = ends->cnt > 0 && rd_kafka_offsets_for_times(consumer, ends, ENDS_MS) == RD_KAFKA_RESP_ERR_NO_ERROR;
    for (int i = 0; i < assignment->count && answered; i++)
    {
        struct assigned *assigned = &assignment->assigned_partitions[i];
        const rd_kafka_topic_partition_t *end =
            rd_kafka_topic_partition_list_find(ends, assigned->topic, assigned->partition);
        if (end && end->err == RD_KAFKA_RESP_ERR_NO_ERROR && end->offset >= 0)
            look(assigned, end->offset, true, now_us);
    }
    rd_kafka_topic_partition_list_destroy(ends);
}

static void measure(struct assigned *assigned, rd_kafka_t *consumer, int64_t now_us)
{
    struct backlog *backlog = &assigned->owned->backlog;
    int64_t low, high;

    if (is_paused(assigned))
    {
        look(assigned, atomic_load_explicit(&backlog->end, memory_order_relaxed), true, now_us);
        return;
    }
    /* From the last answer of the fetcher: nobody is asked. */
    if (rd_kafka_get_watermark_offsets(consumer, assigned->topic, assigned->partition, &low, &high) !=
            RD_KAFKA_RESP_ERR_NO_ERROR ||
        high < 0)
        high = -1;
    look(assigned, high, false, now_us);
}

void assignment_measure(struct assignment *assignment, rd_kafka_t *consumer, int64_t now_us)
{
    if (now_us < assignment->next_measure_us)
        return;
    assignment->next_measure_us = now_us + MEASURE_EVERY_US;
    for (int i = 0; i < assignment->count; i++)
    {
        struct assigned *assigned = &assignment->assigned_partitions[i];
        if ((assigned->fetching || assigned->on_pause) && assigned->owned)
            measure(assigned, consumer, now_us);
    }
    if (now_us < assignment->next_ends_us)
        return;
    assignment->next_ends_us = now_us + ENDS_EVERY_US;
    ask_ends(assignment, consumer, now_us);
}
