#include "consumers/message/spread.h"

#include "consumers/kafka/clients.h"
#include "worker/base/clock.h"
#include "worker/base/log.h"
#include "worker/base/metrics.h"

static const int64_t TELL_EVERY_US = 60000000;
static const int64_t ASK_AGAIN_US = 5000000;
static const int64_t SAMPLE_US = 5000000;
static const int64_t DESTROY_US = 3000000;

enum
{
    ANSWER_MS = 500,
    SAMPLE_TAIL = 100, /* messages of each partition */
    SAMPLE_MAX = 10000,
    POLL_MS = 100,
};

/* Some producers leave an empty key to chance, as one that is not there. */
static bool is_elsewhere(const rd_kafka_message_t *message, int32_t partitions)
{
    return message->key_len > 0 && partitions > 0 &&
           rd_kafka_msg_partitioner_murmur2(NULL, message->key, message->key_len, partitions, NULL, NULL) !=
               message->partition;
}

static int32_t count_partitions(rd_kafka_t *consumer, rd_kafka_topic_t *handle)
{
    const struct rd_kafka_metadata *metadata = NULL;
    int32_t count = 0;

    if (rd_kafka_metadata(consumer, 0, handle, &metadata, ANSWER_MS) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return 0;
    if (metadata->topic_cnt == 1 && metadata->topics[0].err == RD_KAFKA_RESP_ERR_NO_ERROR)
        count = metadata->topics[0].partition_cnt;
    rd_kafka_metadata_destroy(metadata);
    return count;
}

static int32_t partitions_of(struct spread *spread, rd_kafka_t *consumer, rd_kafka_topic_t *handle)
{
    struct spread_topic *topic = spread->topics;

    while (topic < spread->topics + spread->count && topic->handle != handle)
        topic++;
    if (topic == spread->topics + SPREAD_TOPICS_MAX)
        return 0;
    if (topic == spread->topics + spread->count)
    {
        *topic = (struct spread_topic){ .handle = handle };
        spread->count++;
    }
    if (topic->partitions == 0 && monotonic_us() >= topic->next_us)
    {
        topic->partitions = count_partitions(consumer, handle);
        topic->next_us = monotonic_us() + ASK_AGAIN_US;
    }
    return topic->partitions;
}

void spread_note(struct spread *spread, rd_kafka_t *consumer, uint64_t epoch, const rd_kafka_message_t *message)
{
    static struct log_rate rate;

    if (message->key_len == 0)
        return;
    if (spread->epoch != epoch)
    {
        spread->epoch = epoch;
        spread->count = 0;
    }
    if (!is_elsewhere(message, partitions_of(spread, consumer, message->rkt)))
        return;
    metrics_add(METRIC_UNEXPECTED_PARTITION, 1);
    if (log_allowed(&rate, TELL_EVERY_US))
        log_warning("topic %s, partition %d, offset %lld: murmur2 puts this message's key into another partition; its "
                    "producer needs partitioner=murmur2_random, or the commands of one aggregate lose their order",
                    rd_kafka_topic_name(message->rkt), (int)message->partition, (long long)message->offset);
}

/* --- a sample ---------------------------------------------------------------------------------------------------- */

static rd_kafka_t *open_sample(const struct settings *settings, const char *topic, int partitions,
                               struct buffer *reterr)
{
    rd_kafka_conf_t *conf = clients_conf(settings, CLIENT_READER, reterr);
    if (conf && !clients_set(conf, "enable.partition.eof", "true", reterr))
    {
        rd_kafka_conf_destroy(conf);
        return NULL;
    }
    rd_kafka_t *client = conf ? clients_new(CLIENT_READER, conf, reterr) : NULL;

    if (client == NULL)
        return NULL;
    rd_kafka_poll_set_consumer(client);
    rd_kafka_topic_partition_list_t *tails = rd_kafka_topic_partition_list_new(partitions);
    for (int i = 0; i < partitions; i++)
        rd_kafka_topic_partition_list_add(tails, topic, i)->offset = RD_KAFKA_OFFSET_TAIL(SAMPLE_TAIL);
    rd_kafka_resp_err_t error = rd_kafka_assign(client, tails);
    rd_kafka_topic_partition_list_destroy(tails);
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR)
        return client;
    buffer_add_text(reterr, rd_kafka_err2str(error));
    clients_destroy(client, DESTROY_US);
    return NULL;
}

bool spread_sample(const struct settings *settings, const char *topic, int partitions, struct spread_sampled *ret,
                   struct buffer *reterr)
{
    rd_kafka_t *client = open_sample(settings, topic, partitions, reterr);
    int64_t end_us = monotonic_us() + SAMPLE_US;
    int ended = 0;

    *ret = (struct spread_sampled){ 0, 0 };
    if (client == NULL)
        return false;
    for (int seen = 0; seen < SAMPLE_MAX && ended < partitions && monotonic_us() < end_us;)
    {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(client, POLL_MS);
        if (message && message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
        {
            seen++;
            ret->keyed += message->key_len > 0;
            ret->elsewhere += is_elsewhere(message, partitions);
        }
        ended += message && message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF;
        if (message)
            rd_kafka_message_destroy(message);
    }
    clients_destroy(client, DESTROY_US);
    return true;
}
