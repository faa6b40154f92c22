#include "consumers/kafka/hint.h"

#include <stdio.h>

static const struct
{
    rd_kafka_resp_err_t error;
    const char *what;
} remedies[] = {
    { RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, "; raise the topic's max.message.bytes (interlock topics plan)" },
    { RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, "; make the topic: interlock topics create" },
    { RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, "; make the topic: interlock topics create" },
    { RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
      "; grant our user Write on the topics of events and dead letters, Read on those of commands" },
    { RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
      "; grant our user Write on the transactional ids that begin with interlock.<group>." },
    { RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED, "; grant our user Read on the consumer group" },
    { RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED, "; grant our user IdempotentWrite on the cluster" },
    { RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, "; start brokers, or lower the topic's min.insync.replicas" },
    { RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND, "; start brokers, or lower the topic's min.insync.replicas" },
    { RD_KAFKA_RESP_ERR_INVALID_TRANSACTION_TIMEOUT,
      "; lower consumers.transaction_timeout, or raise the brokers' transaction.max.timeout.ms" },
    { RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP,
      "; set this host's clock, or the topic's message.timestamp.type to LogAppendTime" },
};

enum
{
    REMEDIES = sizeof(remedies) / sizeof(*remedies),
};

const char *hint_for_error(rd_kafka_resp_err_t error)
{
    for (int i = 0; i < REMEDIES; i++)
        if (remedies[i].error == error)
            return remedies[i].what;
    return "";
}

void hint_for_topic(const struct rd_kafka_metadata_topic *topic, char *into, size_t size)
{
    into[0] = '\0';
    if (topic->err != RD_KAFKA_RESP_ERR_NO_ERROR)
    {
        snprintf(into, size, "; topic %s: %s%s", topic->topic, rd_kafka_err2str(topic->err),
                 hint_for_error(topic->err));
        return;
    }
    for (int i = 0; i < topic->partition_cnt; i++)
    {
        const struct rd_kafka_metadata_partition *partition = &topic->partitions[i];
        if (partition->leader < 0)
            snprintf(into, size, "; partition %d of topic %s has no leader: start brokers", (int)partition->id,
                     topic->topic);
        else if (partition->isr_cnt < partition->replica_cnt)
            snprintf(into, size, "; partition %d of topic %s has %d of %d replicas in sync%s", (int)partition->id,
                     topic->topic, partition->isr_cnt, partition->replica_cnt,
                     hint_for_error(RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS));
        else
            continue;
        return;
    }
}
