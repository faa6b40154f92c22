#include "bench/client.h"

#include <stdio.h>
#include <stdlib.h>

enum
{
    ANSWER_MS = 10000,
};

void client_fail(const char *what, const char *why)
{
    fprintf(stderr, "bench: %s: %s\n", what, why);
    exit(1);
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char error[256];
    if (rd_kafka_conf_set(conf, name, value, error, sizeof(error)) != RD_KAFKA_CONF_OK)
        client_fail(name, error);
}

rd_kafka_t *client_new(rd_kafka_type_t type, const struct client_option *options,
                       void (*delivered)(rd_kafka_t *, const rd_kafka_message_t *, void *))
{
    const char *bootstrap = getenv("KAFKA_BOOTSTRAP");
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char error[256];

    if (bootstrap == NULL)
        client_fail("KAFKA_BOOTSTRAP", "is not set");
    set(conf, "bootstrap.servers", bootstrap);
    set(conf, "socket.nagle.disable", "true");
    for (; options->name; options++)
        set(conf, options->name, options->value);
    if (delivered)
        rd_kafka_conf_set_dr_msg_cb(conf, delivered);
    rd_kafka_t *client = rd_kafka_new(type, conf, error, sizeof(error));
    if (client == NULL)
        client_fail("rd_kafka_new", error);
    return client;
}

void client_produce(rd_kafka_t *producer, rd_kafka_topic_t *topic, const void *key, size_t key_size, const void *value,
                    size_t value_size)
{
    char *copy = (char *)(uintptr_t)value; /* librdkafka copies, and does not say const */

    while (rd_kafka_produce(topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, copy, value_size, key, key_size, NULL))
    {
        if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL)
            client_fail("produce", rd_kafka_err2str(rd_kafka_last_error()));
        rd_kafka_poll(producer, 10);
    }
}

rd_kafka_topic_partition_list_t *client_partitions(rd_kafka_t *client, const char *topic)
{
    const struct rd_kafka_metadata *metadata;
    rd_kafka_topic_t *handle = rd_kafka_topic_new(client, topic, NULL);
    rd_kafka_resp_err_t error = rd_kafka_metadata(client, 0, handle, &metadata, ANSWER_MS);

    if (error)
        client_fail(topic, rd_kafka_err2str(error));
    if (metadata->topic_cnt != 1 || metadata->topics[0].err || metadata->topics[0].partition_cnt == 0)
        client_fail(topic, "is not there");
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(metadata->topics[0].partition_cnt);
    for (int i = 0; i < metadata->topics[0].partition_cnt; i++)
        rd_kafka_topic_partition_list_add(list, topic, metadata->topics[0].partitions[i].id);
    rd_kafka_metadata_destroy(metadata);
    rd_kafka_topic_destroy(handle);
    return list;
}
