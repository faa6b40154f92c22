#include <assert.h>

#include "consumers/kafka/rights_watch.h"
#include "consumers/poll/cell_private.h"
#include "worker/base/clock.h"
#include "worker/base/fault_point.h"
#include "worker/base/log.h"
#include "worker/base/metrics.h"
#include "worker/lane/lanes.h"
#include "worker/settings/settings.h"

enum
{
    POLL_MS = 100, /* a poll without messages; main and the publisher cut it short */
    /* Half of queued.max.messages.kbytes: so much was read since librdkafka was last busy. */
    NUDGE_BYTES = 2 * 1024 * 1024,
    NUDGE_POLL_MS = 5, /* without a message for this long */
    NUDGE_MS = 100,
};

/* The messages of one round. Counting is done per run of messages of one partition: they come in such runs, and
 * the counters are shared with the publisher. */
struct round
{
    struct delivery *first, *last;
    struct owned_partition *owned; /* of the run, with a reference: a rebalance may come in the middle of a round */
    int64_t count, bytes;          /* of the run */
    int received;
    int64_t taken; /* bytes of the whole round */
    int64_t now_us;
};

static void end_run(struct round *round)
{
    struct owned_partition *owned = round->owned;

    assert((round->count > 0) == (owned != NULL)); /* a run has a message, and its partition a reference for it */
    if (round->count == 0)
        return;
    owned_retain(owned, (int)round->count);
    backlog_note_received(&owned->backlog, owned->poll.next_sequence);
    if (atomic_fetch_add_explicit(&owned->shared.in_flight, round->count, memory_order_relaxed) == 0)
        /* The partition was idle, which is no stall. */
        atomic_store_explicit(&owned->shared.moved_us, round->now_us, memory_order_relaxed);
    atomic_fetch_add_explicit(&owned->shared.in_flight_bytes, round->bytes, memory_order_relaxed);
    owned_release(owned, 1);
    round->owned = NULL;
    round->count = round->bytes = 0;
}

static void begin_run(struct round *round, struct owned_partition *owned, int64_t timestamp_us)
{
    end_run(round);
    assert(round->owned == NULL && round->count == 0); /* else a reference, or messages, would not be counted */
    round->owned = owned_retain(owned, 1);
    backlog_take(&owned->backlog, owned->poll.next_sequence, timestamp_us);
}

static void take_message(struct cell *cell, struct round *round, rd_kafka_message_t *message)
{
    struct owned_partition *owned = assignment_find(cell->assignment, message);

    if (owned == NULL)
        return;                       /* of a former assignment: its next owner reads it again */
    assert(!owned_is_revoked(owned)); /* the lanes would drop it, and the publisher may have ended the partition */
    if (message->offset <= owned->poll.last_offset || message->offset < owned->start_offset)
    {
        /* PROTOCOL O5: the topic was created again while it was read. */
        end_run(round);
        assignment_end_partition(cell->assignment, cell->consumer, owned, true,
                                 "a message came from below the position");
        return;
    }
    spread_note(&cell->spread, cell->consumer, owned->partition.epoch, message);
    struct delivery *delivery = delivery_pool_make(cell->delivery_pool, message, round->now_us);
    if (delivery == NULL)
    {
        end_run(round);
        assignment_end_partition(cell->assignment, cell->consumer, owned, false, "out of memory");
        return;
    }
    if (round->owned != owned)
        begin_run(round, owned, delivery->timestamp_us);
    round->count++;
    round->bytes += (int64_t)delivery_size(delivery);
    if ((int64_t)delivery_size(delivery) > cell->largest_bytes)
        cell->largest_bytes = (int64_t)delivery_size(delivery);
    round->taken += (int64_t)delivery_size(delivery);
    round->received++;
    delivery->partition = &owned->partition;
    delivery->sequence = owned->poll.next_sequence++;
    owned->poll.last_offset = message->offset;
    if (round->last)
        round->last->next = delivery;
    else
        round->first = delivery;
    round->last = delivery;
}

/* Errors come as messages, and so does the end of a partition. Most errors pass by themselves; librdkafka says what it
 * retries. */
static void take_error(struct cell *cell, struct round *round, const rd_kafka_message_t *message)
{
    char text[256];
    struct owned_partition *owned;

    switch (message->err)
    {
    case RD_KAFKA_RESP_ERR__PARTITION_EOF:
        owned = assignment_find(cell->assignment, message);
        if (owned)
            backlog_note_mark(&owned->backlog, message->offset);
        return;
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
        owned = assignment_find(cell->assignment, message);
        end_run(round);
        if (owned)
            assignment_end_partition(cell->assignment, cell->consumer, owned, true, "the offset is out of range");
        return;
    case RD_KAFKA_RESP_ERR__FATAL:
        rd_kafka_fatal_error(cell->consumer, text, sizeof(text));
        log_error("cell %d: consumer: %s; it is replaced", cell->number, text);
        if (cell_state(cell) != CELL_FENCED)
            cell_enter(cell, CELL_FENCED);
        return;
    default:
        rights_watch_suspect(message->err);
        problem_set(&cell->problem, "consumer", rd_kafka_message_errstr(message));
        cell->error_us = monotonic_us();
        return;
    }
}

static void submit(struct cell *cell, struct round *round)
{
    end_run(round);
    assert((round->received > 0) == (round->first != NULL) && (!round->last || round->last->next == NULL));
    if (FAULT_POINT_FAILS(AFTER_POLL))
        rd_kafka_test_fatal_error(cell->consumer, RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID, "a fault point");
    if (round->first)
        lanes_submit(cell->lanes, round->first);
    if (round->received > 0)
    {
        metrics_add(METRIC_RECEIVED, round->received);
        problem_clear(&cell->problem);
    }
}

/* The first message of a round. Where as much was read as librdkafka fetches ahead and now there is nothing, librdkafka
 * more likely pauses than the topic ends. */
static rd_kafka_message_t *wait_message(struct cell *cell)
{
    bool may_pause = cell->read_bytes >= NUDGE_BYTES;
    rd_kafka_message_t *message = rd_kafka_consumer_poll(cell->consumer, may_pause ? NUDGE_POLL_MS : POLL_MS);

    if (message || !may_pause || cell_is_stopping(cell))
        return message;
    cell->read_bytes = 0;
    assignment_nudge(cell->assignment, cell->consumer, NUDGE_MS);
    return rd_kafka_consumer_poll(cell->consumer, POLL_MS);
}

/* One round: a wait for the first message, then what librdkafka has ready, then all of it to the lanes. */
void cell_read_round(struct cell *cell, int64_t limit)
{
    struct round round = { .now_us = monotonic_us() };
    int64_t bytes_max = cell->settings->consumers.in_flight_bytes - cell->counted.bytes;
    rd_kafka_message_t *message = wait_message(cell);

    assert(cell_is_mine(cell) && cell_state(cell) == CELL_SERVING);
    if (message)
        round.now_us = monotonic_us();
    for (; message; message = rd_kafka_consumer_poll(cell->consumer, 0))
    {
        cell->read_bytes += (int64_t)(message->len + message->key_len);
        if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
            take_message(cell, &round, message);
        else
            take_error(cell, &round, message);
        rd_kafka_message_destroy(message);
        if (round.received >= limit || round.taken >= bytes_max || cell_state(cell) != CELL_SERVING ||
            cell_is_stopping(cell))
            break;
    }
    submit(cell, &round);
}
