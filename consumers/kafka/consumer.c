#include "consumers/kafka/consumer.h"

#include <stdio.h>

#include "consumers/kafka/clients.h"
#include "consumers/kafka/contact.h"
#include "worker/base/clock.h"
#include "worker/base/topic_name.h"
#include "worker/settings/settings.h"

static const int64_t CLOSE_US = 5000000; /* of leaving the group */
static const int64_t DESTROY_US = 5000000;
static const int64_t LAST_US = 500000; /* of each, past the deadline: a broker that answers at all does so in it */

enum
{
    ANSWER_MS = 2000,
    CLOSE_POLL_MS = 50,
};

rd_kafka_topic_partition_list_t *consumer_topics(const struct settings *settings)
{
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(4);
    const char *at = settings->kafka.topics;
    char name[TOPIC_NAME_MAX + 1];

    while (*at)
    {
        size_t size = strcspn(at, ", ");
        if (size > 0 && size < sizeof(name))
        {
            memcpy(name, at, size);
            name[size] = '\0';
            rd_kafka_topic_partition_list_add(topics, name, RD_KAFKA_PARTITION_UA);
        }
        at += size;
        at += strspn(at, ", ");
    }
    return topics;
}

/* 2.0.2 finds a topic that is created later only with the next refresh of its metadata, minutes later: so it is waited
 * for before subscribing. */
static bool topics_exist(const struct settings *settings, rd_kafka_t *consumer,
                         const rd_kafka_topic_partition_list_t *topics, struct buffer *reterr)
{
    for (int i = 0; i < topics->cnt; i++)
    {
        const struct rd_kafka_metadata *metadata = NULL;
        rd_kafka_topic_t *topic = rd_kafka_topic_new(consumer, topics->elems[i].topic, NULL);
        rd_kafka_resp_err_t error = contact_metadata(consumer, topic, &metadata, ANSWER_MS);
        if (error == RD_KAFKA_RESP_ERR_NO_ERROR)
            error = metadata->topic_cnt == 1 ? metadata->topics[0].err : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
        if (metadata)
            rd_kafka_metadata_destroy(metadata);
        rd_kafka_topic_destroy(topic);
        if (error == RD_KAFKA_RESP_ERR_NO_ERROR)
            continue;
        char what[512];
        snprintf(what, sizeof(what), "Kafka at %s, topic %s: ", settings->kafka.bootstrap, topics->elems[i].topic);
        buffer_add_text(reterr, what);
        contact_explain(consumer, error, reterr);
        return false;
    }
    return true;
}

static rd_kafka_t *make_handle(const struct settings *settings, int slot, int cell, consumer_rebalance_fn *on_rebalance,
                               consumer_error_fn *on_error, void *owner, struct buffer *reterr)
{
    rd_kafka_conf_t *conf = clients_conf(settings, CLIENT_CONSUMER, reterr);
    char instance[300];

    if (conf == NULL)
        return NULL;
    snprintf(instance, sizeof(instance), "interlock.%s.%d.%d", settings->kafka.group, slot, cell);
    if (settings->consumers.static_membership && !clients_set(conf, "group.instance.id", instance, reterr))
    {
        rd_kafka_conf_destroy(conf);
        return NULL;
    }
    rd_kafka_conf_set_opaque(conf, owner);
    rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
    rd_kafka_conf_set_error_cb(conf, on_error);
    rd_kafka_t *consumer = clients_new(CLIENT_CONSUMER, conf, reterr);
    if (consumer)
        rd_kafka_poll_set_consumer(consumer);
    return consumer;
}

rd_kafka_t *consumer_open(const struct settings *settings, int slot, int cell, consumer_rebalance_fn *on_rebalance,
                          consumer_error_fn *on_error, void *owner, struct buffer *reterr)
{
    rd_kafka_t *consumer = make_handle(settings, slot, cell, on_rebalance, on_error, owner, reterr);

    if (consumer == NULL)
        return NULL;
    rd_kafka_topic_partition_list_t *topics = consumer_topics(settings);
    bool there = topics_exist(settings, consumer, topics, reterr);
    rd_kafka_resp_err_t error = there ? rd_kafka_subscribe(consumer, topics) : RD_KAFKA_RESP_ERR_NO_ERROR;
    rd_kafka_topic_partition_list_destroy(topics);
    if (there && error == RD_KAFKA_RESP_ERR_NO_ERROR)
        return consumer;
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
        buffer_add_text(reterr, rd_kafka_err2str(error));
    clients_destroy(consumer, DESTROY_US);
    return NULL;
}

static int64_t time_for(int64_t longest_us, int64_t deadline_us)
{
    int64_t left_us = deadline_us - monotonic_us();
    return left_us < LAST_US ? LAST_US : left_us < longest_us ? left_us : longest_us;
}

void consumer_leave(rd_kafka_t *consumer, int64_t deadline_us)
{
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(consumer);
    int64_t until_us = monotonic_us() + time_for(CLOSE_US, deadline_us);
    rd_kafka_error_t *error = rd_kafka_consumer_close_queue(consumer, queue);

    while (error == NULL && !rd_kafka_consumer_closed(consumer) && monotonic_us() < until_us)
    {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer, CLOSE_POLL_MS);
        if (message)
            rd_kafka_message_destroy(message);
    }
    if (error)
        rd_kafka_error_destroy(error);
    rd_kafka_queue_destroy(queue);
}

bool consumer_close(rd_kafka_t *consumer, int64_t deadline_us)
{
    return clients_destroy(consumer, time_for(DESTROY_US, deadline_us));
}
