#include "consumers/takeover/refetch.h"

#include "consumers/kafka/clients.h"
#include "worker/base/clock.h"

static const int64_t DESTROY_US = 3000000;
static const int64_t SILENCE_US = 10000000;

enum
{
    POLL_MS = 100,
};

static bool fail(struct buffer *reterr, const char *topic, const char *why)
{
    buffer_add_text(reterr, topic);
    buffer_add_text(reterr, ": ");
    buffer_add_text(reterr, why);
    return false;
}

static bool begin(rd_kafka_t *client, const char *topic, int32_t partition, int64_t offset, struct buffer *reterr)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);

    rd_kafka_topic_partition_list_add(list, topic, partition)->offset = offset;
    rd_kafka_resp_err_t error = rd_kafka_assign(client, list);
    rd_kafka_topic_partition_list_destroy(list);
    return error == RD_KAFKA_RESP_ERR_NO_ERROR || fail(reterr, topic, rd_kafka_err2str(error));
}

static bool read_on(rd_kafka_t *client, const char *topic, int32_t partition, const int64_t *offsets, int count,
                    refetch_fn *see, void *owner, struct buffer *reterr)
{
    int64_t heard_us = monotonic_us();
    bool from_first = false, good = begin(client, topic, partition, offsets[0], reterr);

    for (int next = 0; good && next < count;)
    {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(client, POLL_MS);
        if (message == NULL)
        {
            if (monotonic_us() - heard_us > SILENCE_US)
                good = fail(reterr, topic, "no answer from the broker");
            continue;
        }
        heard_us = monotonic_us();
        if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
        {
            while (next < count && offsets[next] < message->offset)
                next++; /* it is gone */
            if (next < count && offsets[next] == message->offset)
            {
                next++;
                good = see(owner, message);
            }
        }
        else if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
            next = count;
        else if (message->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET && !from_first)
        {
            from_first = true;
            good = begin(client, topic, partition, RD_KAFKA_OFFSET_BEGINNING, reterr);
        }
        rd_kafka_message_destroy(message);
    }
    return good;
}

bool refetch_messages(const struct settings *settings, const char *topic, int32_t partition, const int64_t *offsets,
                      int count, refetch_fn *see, void *owner, struct buffer *reterr)
{
    rd_kafka_t *client = count > 0 ? clients_new_reader(settings, reterr) : NULL;

    if (client == NULL)
        return count == 0;
    rd_kafka_poll_set_consumer(client);
    bool read = read_on(client, topic, partition, offsets, count, see, owner, reterr);
    rd_kafka_assign(client, NULL);
    clients_destroy(client, DESTROY_US);
    return read;
}
