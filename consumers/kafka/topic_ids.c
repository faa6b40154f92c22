#include "consumers/kafka/topic_ids.h"

#include <stdlib.h>

#include "consumers/kafka/consumer.h"
#include "worker/settings/settings.h"

#define FIRST_VERSION 0x02030000 /* of librdkafka */

#if RD_KAFKA_VERSION >= FIRST_VERSION

static const int64_t WATCH_US = TOPIC_WATCH_S * INT64_C(1000000);

bool topic_ids_are_told(void)
{
    return rd_kafka_version() >= FIRST_VERSION;
}

/* The answer comes to the queue, whatever it is. */
static rd_kafka_queue_t *ask(const struct settings *settings, rd_kafka_t *client, int64_t wait_us)
{
    rd_kafka_topic_partition_list_t *topics = consumer_topics(settings);
    const char **names = calloc((size_t)topics->cnt + 1, sizeof(*names));
    rd_kafka_queue_t *answer = names ? rd_kafka_queue_new(client) : NULL;
    char problem[128];

    if (answer)
    {
        for (int i = 0; i < topics->cnt; i++)
            names[i] = topics->elems[i].topic;
        rd_kafka_TopicCollection_t *asked = rd_kafka_TopicCollection_of_topic_names(names, (size_t)topics->cnt);
        rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(client, RD_KAFKA_ADMIN_OP_DESCRIBETOPICS);
        rd_kafka_AdminOptions_set_request_timeout(options, (int)(wait_us / 1000), problem, sizeof(problem));
        rd_kafka_DescribeTopics(client, asked, options, answer);
        rd_kafka_AdminOptions_destroy(options);
        rd_kafka_TopicCollection_destroy(asked);
    }
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

/* Takes the event. */
static bool tell_all(rd_kafka_event_t *event, topic_id_fn *tell, void *owner)
{
    bool answered = rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR_NO_ERROR;
    const rd_kafka_DescribeTopics_result_t *result = answered ? rd_kafka_event_DescribeTopics_result(event) : NULL;
    size_t count = 0;
    const rd_kafka_TopicDescription_t **topics = result ? rd_kafka_DescribeTopics_result_topics(result, &count) : NULL;

    for (size_t i = 0; i < count; i++)
        tell_topic(topics[i], tell, owner);
    rd_kafka_event_destroy(event);
    return answered;
}

bool topic_ids_read(const struct settings *settings, rd_kafka_t *client, int64_t wait_us, topic_id_fn *tell,
                    void *owner)
{
    rd_kafka_queue_t *answer = topic_ids_are_told() ? ask(settings, client, wait_us) : NULL;
    rd_kafka_event_t *event = answer ? rd_kafka_queue_poll(answer, (int)(wait_us / 1000)) : NULL;

    if (answer)
        rd_kafka_queue_destroy(answer);
    return event && tell_all(event, tell, owner);
}

void topic_watch_step(struct topic_watch *watch, const struct settings *settings, rd_kafka_t *client, int64_t now_us,
                      topic_id_fn *tell, void *owner)
{
    rd_kafka_event_t *event = watch->answer ? rd_kafka_queue_poll(watch->answer, 0) : NULL;

    if (event)
    {
        topic_watch_end(watch);
        tell_all(event, tell, owner);
    }
    if (watch->answer || now_us - watch->asked_us < WATCH_US || !settings->protections.topic_ids ||
        !topic_ids_are_told())
        return;
    watch->asked_us = now_us;
    watch->answer = ask(settings, client, WATCH_US);
}

#else

bool topic_ids_are_told(void)
{
    return false;
}

bool topic_ids_read(const struct settings *settings, rd_kafka_t *client, int64_t wait_us, topic_id_fn *tell,
                    void *owner)
{
    (void)settings, (void)client, (void)wait_us, (void)tell, (void)owner;
    return false;
}

void topic_watch_step(struct topic_watch *watch, const struct settings *settings, rd_kafka_t *client, int64_t now_us,
                      topic_id_fn *tell, void *owner)
{
    (void)watch, (void)settings, (void)client, (void)now_us, (void)tell, (void)owner;
}

#endif

void topic_watch_end(struct topic_watch *watch)
{
    if (watch->answer)
        rd_kafka_queue_destroy(watch->answer);
    watch->answer = NULL;
}
