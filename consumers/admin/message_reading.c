#include "consumers/admin/message_reading.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumers/kafka/clients.h"
#include "consumers/kafka/topics.h"
#include "consumers/message/delivery_pool.h"
#include "worker/base/clock.h"
#include "worker/settings/settings.h"

static const int64_t DESTROY_US = 3000000;
static const int64_t SILENCE_US = 10000000;

enum
{
    POLL_MS = 100,
    ANSWER_MS = 10000,
    ARENA_KEPT = 1024 * 1024,
};

static bool fail(struct buffer *reterr, const char *topic, const char *why)
{
    buffer_add_text(reterr, topic);
    buffer_add_text(reterr, ": ");
    buffer_add_text(reterr, why);
    return false;
}

/* --- ranges ------------------------------------------------------------------------------------------------------ */

static void add_range(void *owner, const char *topic, int32_t partition, int64_t log_start, int64_t log_end)
{
    struct message_ranges *ranges = owner;
    struct message_range *grown = realloc(ranges->at, (size_t)(ranges->count + 1) * sizeof(*grown));

    ranges->failed = ranges->failed || grown == NULL;
    if (grown == NULL)
        return;
    ranges->at = grown;
    struct message_range *range = &ranges->at[ranges->count++];
    *range = (struct message_range){ .partition = partition, .from = log_start, .to = log_end };
    snprintf(range->topic, sizeof(range->topic), "%s", topic);
}

bool message_ranges_read(const struct settings *settings, struct message_ranges *ret, struct buffer *reterr)
{
    *ret = (struct message_ranges){ NULL, 0, false };
    if (!topics_logs(settings, add_range, ret, reterr))
        return false;
    if (ret->failed)
        buffer_add_text(reterr, "out of memory");
    return !ret->failed;
}

void message_ranges_done(struct message_ranges *ranges)
{
    free(ranges->at);
    *ranges = (struct message_ranges){ NULL, 0, false };
}

bool message_ranges_since(const struct settings *settings, struct message_ranges *ranges, int64_t since_us,
                          struct buffer *reterr)
{
    rd_kafka_t *client = clients_new_reader(settings, reterr);
    rd_kafka_topic_partition_list_t *times = rd_kafka_topic_partition_list_new(ranges->count);

    for (int i = 0; i < ranges->count; i++)
        rd_kafka_topic_partition_list_add(times, ranges->at[i].topic, ranges->at[i].partition)->offset =
            since_us / 1000;
    rd_kafka_resp_err_t error =
        client ? rd_kafka_offsets_for_times(client, times, ANSWER_MS) : RD_KAFKA_RESP_ERR_NO_ERROR;
    bool good = client != NULL && (error == RD_KAFKA_RESP_ERR_NO_ERROR ||
                                   fail(reterr, settings->kafka.bootstrap, rd_kafka_err2str(error)));
    for (int i = 0; good && i < times->cnt; i++)
    {
        int64_t from = times->elems[i].offset < 0 ? ranges->at[i].to : times->elems[i].offset; /* none is so young */
        if (from > ranges->at[i].from)
            ranges->at[i].from = from;
    }
    rd_kafka_topic_partition_list_destroy(times);
    clients_destroy(client, DESTROY_US);
    return good;
}

/* --- reading ----------------------------------------------------------------------------------------------------- */

struct reading
{
    rd_kafka_t *client;
    struct delivery_pool *pool;
    struct arena arena;
    message_seen_fn *see;
    void *owner;
    bool ended; /* by the caller */
};

static bool assign(const struct reading *reading, const struct message_range *range, struct buffer *reterr)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);

    rd_kafka_topic_partition_list_add(list, range->topic, range->partition)->offset = range->from;
    rd_kafka_resp_err_t error = rd_kafka_assign(reading->client, list);
    rd_kafka_topic_partition_list_destroy(list);
    return error == RD_KAFKA_RESP_ERR_NO_ERROR || fail(reterr, range->topic, rd_kafka_err2str(error));
}

static bool show(struct reading *reading, const struct message_range *range, rd_kafka_message_t *message,
                 struct buffer *reterr)
{
    struct delivery *delivery = delivery_pool_make(reading->pool, message, monotonic_us());
    struct command command;

    if (delivery == NULL)
        return fail(reterr, range->topic, "out of memory");
    memset(&command, 0, sizeof(command));
    arena_reset(&reading->arena, ARENA_KEPT);
    enum decode_result decoded = delivery_decode(delivery, &reading->arena, &command);
    const struct message_seen seen = { range, delivery, decoded == DECODE_COMMAND ? &command : NULL };
    if (decoded != DECODE_MEMORY)
        reading->ended = !reading->see(reading->owner, &seen);
    delivery_pool_give_back(reading->pool, delivery);
    return decoded != DECODE_MEMORY || fail(reterr, range->topic, "out of memory");
}

/* Ends at the range's end, or where a read_committed reader gets no further. */
static bool read_range(struct reading *reading, const struct message_range *range, struct buffer *reterr)
{
    int64_t heard_us = monotonic_us();
    bool good = range->from >= range->to || assign(reading, range, reterr);

    for (int64_t at = range->from; good && !reading->ended && at < range->to;)
    {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(reading->client, POLL_MS);
        if (message == NULL)
        {
            if (monotonic_us() - heard_us > SILENCE_US)
                good = fail(reterr, range->topic, "no answer from the broker");
            continue;
        }
        if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
        {
            heard_us = monotonic_us();
            at = message->offset;
            good = at >= range->to || show(reading, range, message, reterr);
            at++;
        }
        else if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
            at = range->to;
        else if (message->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET)
            good = fail(reterr, range->topic, "the start of the range is past the topic's retention");
        else if (monotonic_us() - heard_us > SILENCE_US) /* a broker is away, which may come back */
            good = fail(reterr, range->topic, rd_kafka_err2str(message->err));
        rd_kafka_message_destroy(message);
    }
    return good;
}

bool message_read(const struct settings *settings, const struct message_ranges *ranges, message_seen_fn *see,
                  void *owner, struct buffer *reterr)
{
    struct reading reading = { .see = see, .owner = owner, .client = clients_new_reader(settings, reterr) };
    bool good = reading.client != NULL;

    if (!good)
        return false;
    arena_init(&reading.arena);
    reading.pool = delivery_pool_new();
    good = reading.pool != NULL || fail(reterr, "kafka", "out of memory");
    rd_kafka_poll_set_consumer(reading.client);
    for (int i = 0; good && !reading.ended && i < ranges->count; i++)
        good = read_range(&reading, &ranges->at[i], reterr);
    rd_kafka_assign(reading.client, NULL);
    clients_destroy(reading.client, DESTROY_US);
    if (reading.pool)
        delivery_pool_free(reading.pool);
    arena_done(&reading.arena);
    return good;
}
