#include "consumers/kafka/topic_ids.h"

#include <stdlib.h>

#include "consumers/kafka/consumer.h"
#include "worker/settings/settings.h"

#define FIRST_VERSION 0x02030000 /* of librdkafka */

#if RD_KAFKA_VERSION >= FIRST_VERSION

bool topic_ids_are_told(void)
{
    return rd_kafka_version() >= FIRST_VERSION;
}

static void ask(const char **names, size_t count, rd_kafka_t *client, int64_t wait_us, rd_kafka_queue_t *answer)
{
    rd_kafka_TopicCollection_t *topics = rd_kafka_TopicCollection_of_topic_names(names, count);
    rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(client, RD_KAFKA_ADMIN_OP_DESCRIBETOPICS);
    char problem[128];

    rd_kafka_AdminOptions_set_request_timeout(options, (int)(wait_us / 1000), problem, sizeof(problem));
    rd_kafka_DescribeTopics(client, topics, options, answer);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_TopicCollection_destroy(topics);
}

rd_kafka_queue_t *topic_ids_ask(const struct settings *settings, rd_kafka_t *client, int64_t wait_us)
{
    if (!topic_ids_are_told())
        return NULL;
    rd_kafka_topic_partition_list_t *topics = consumer_topics(settings);
    const char **names = calloc((size_t)topics->cnt + 1, sizeof(*names));
    rd_kafka_queue_t *answer = names ? rd_kafka_queue_new(client) : NULL;

    for (int i = 0; names && i < topics->cnt; i++)
        names[i] = topics->elems[i].topic;
    if (answer)
        ask(names, (size_t)topics->cnt, client, wait_us, answer);
    free(names);
    rd_kafka_topic_partition_list_destroy(topics);
    return answer;
}

/* A topic that may not be looked at, or that is being deleted, has an error; brokers without ids say that it is zero.
 */
static void tell_topic(const rd_kafka_TopicDescription_t *topic, topic_id_fn *tell, void *owner)
{
    const rd_kafka_Uuid_t *id = rd_kafka_TopicDescription_topic_id(topic);

    if (rd_kafka_error_code(rd_kafka_TopicDescription_error(topic)) != RD_KAFKA_RESP_ERR_NO_ERROR || id == NULL ||
        (rd_kafka_Uuid_most_significant_bits(id) == 0 && rd_kafka_Uuid_least_significant_bits(id) == 0))
        return;
    const char *text = rd_kafka_Uuid_base64str(id);
    if (text)
        tell(owner, rd_kafka_TopicDescription_name(topic), text);
}

bool topic_ids_take(rd_kafka_queue_t *answer, int64_t wait_us, topic_id_fn *tell, void *owner)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(answer, (int)(wait_us / 1000));

    if (event == NULL)
        return false;
    bool good = rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR_NO_ERROR;
    const rd_kafka_DescribeTopics_result_t *result = good ? rd_kafka_event_DescribeTopics_result(event) : NULL;
    size_t count = 0;
    const rd_kafka_TopicDescription_t **topics = result ? rd_kafka_DescribeTopics_result_topics(result, &count) : NULL;
    for (size_t i = 0; i < count; i++)
        tell_topic(topics[i], tell, owner);
    rd_kafka_event_destroy(event);
    return true;
}

#else

bool topic_ids_are_told(void)
{
    return false;
}

rd_kafka_queue_t *topic_ids_ask(const struct settings *settings, rd_kafka_t *client, int64_t wait_us)
{
    (void)settings, (void)client, (void)wait_us;
    return NULL;
}

bool topic_ids_take(rd_kafka_queue_t *answer, int64_t wait_us, topic_id_fn *tell, void *owner)
{
    (void)answer, (void)wait_us, (void)tell, (void)owner;
    return true;
}

#endif

void topic_ids_read(const struct settings *settings, rd_kafka_t *client, int64_t wait_us, topic_id_fn *tell,
                    void *owner)
{
    rd_kafka_queue_t *answer = topic_ids_ask(settings, client, wait_us);

    if (answer == NULL)
        return;
    topic_ids_take(answer, wait_us, tell, owner);
    rd_kafka_queue_destroy(answer);
}
