#include "consumers/kafka/group_owners.h"

#include <stdio.h>

#include "consumers/kafka/clients.h"
#include "consumers/kafka/consumer.h"
#include "consumers/kafka/contact.h"
#include "worker/settings/settings.h"

static const int64_t DESTROY_US = 500000;

enum
{
    ANSWER_MS = 1000, /* of one question */
    OWNED = 1,        /* in the offset of a listed partition */
};

static enum group_answer silent(const struct settings *settings, rd_kafka_t *client, const char *what,
                                rd_kafka_resp_err_t error, char *why, size_t why_size)
{
    struct buffer text = BUFFER_EMPTY;

    contact_explain(client, error, &text);
    snprintf(why, why_size, "Kafka at %s does not answer, %s: %.*s", settings->kafka.bootstrap, what, (int)text.size,
             text.at ? text.at : "");
    buffer_done(&text);
    return GROUP_SILENT;
}

static enum group_answer list_topic(const struct settings *settings, rd_kafka_t *client, const char *name,
                                    rd_kafka_topic_partition_list_t *partitions, char *why, size_t why_size)
{
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(client, name, NULL);
    rd_kafka_resp_err_t error = contact_metadata(client, topic, &metadata, ANSWER_MS);

    rd_kafka_topic_destroy(topic);
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
        return silent(settings, client, name, error, why, why_size);
    error = metadata->topic_cnt == 1 ? metadata->topics[0].err : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    for (int i = 0; error == RD_KAFKA_RESP_ERR_NO_ERROR && i < metadata->topics[0].partition_cnt; i++)
        rd_kafka_topic_partition_list_add(partitions, name, metadata->topics[0].partitions[i].id)->offset = 0;
    rd_kafka_metadata_destroy(metadata);
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
        snprintf(why, why_size, "topic %s: %s", name, rd_kafka_err2str(error));
    return error == RD_KAFKA_RESP_ERR_NO_ERROR ? GROUP_OWNED : GROUP_MOVING;
}

/* Every partition of every topic; another answer than GROUP_OWNED: they are not known. */
static enum group_answer list_partitions(const struct settings *settings, rd_kafka_t *client,
                                         rd_kafka_topic_partition_list_t *partitions, char *why, size_t why_size)
{
    rd_kafka_topic_partition_list_t *topics = consumer_topics(settings);
    enum group_answer answer = GROUP_OWNED;

    for (int i = 0; i < topics->cnt && answer == GROUP_OWNED; i++)
        answer = list_topic(settings, client, topics->elems[i].topic, partitions, why, why_size);
    rd_kafka_topic_partition_list_destroy(topics);
    return answer;
}

static void strike_out(rd_kafka_topic_partition_list_t *partitions, const rd_kafka_MemberDescription_t *member)
{
    const rd_kafka_MemberAssignment_t *assignment = rd_kafka_MemberDescription_assignment(member);
    const rd_kafka_topic_partition_list_t *owned = assignment ? rd_kafka_MemberAssignment_partitions(assignment) : NULL;

    for (int i = 0; owned && i < owned->cnt; i++)
    {
        rd_kafka_topic_partition_t *found =
            rd_kafka_topic_partition_list_find(partitions, owned->elems[i].topic, owned->elems[i].partition);
        if (found)
            found->offset = OWNED;
    }
}

static enum group_answer judge(const rd_kafka_ConsumerGroupDescription_t *group,
                               rd_kafka_topic_partition_list_t *partitions, int *ret_unowned, char *why,
                               size_t why_size)
{
    const rd_kafka_error_t *error = rd_kafka_ConsumerGroupDescription_error(group);
    rd_kafka_consumer_group_state_t state = rd_kafka_ConsumerGroupDescription_state(group);

    if (error)
    {
        snprintf(why, why_size, "consumer group: %s", rd_kafka_error_string(error));
        return rd_kafka_error_code(error) == RD_KAFKA_RESP_ERR__TIMED_OUT ? GROUP_SILENT : GROUP_MOVING;
    }
    /* An empty group, or one that the coordinator does not know, owns nothing. */
    if (state != RD_KAFKA_CONSUMER_GROUP_STATE_STABLE && state != RD_KAFKA_CONSUMER_GROUP_STATE_EMPTY &&
        state != RD_KAFKA_CONSUMER_GROUP_STATE_DEAD)
    {
        snprintf(why, why_size, "consumer group: %s", rd_kafka_consumer_group_state_name(state));
        return GROUP_MOVING;
    }
    for (size_t i = 0; i < rd_kafka_ConsumerGroupDescription_member_count(group); i++)
        strike_out(partitions, rd_kafka_ConsumerGroupDescription_member(group, i));
    *ret_unowned = 0;
    for (int i = 0; i < partitions->cnt; i++)
        *ret_unowned += partitions->elems[i].offset != OWNED;
    return *ret_unowned > 0 ? GROUP_UNOWNED : GROUP_OWNED;
}

static rd_kafka_event_t *describe_group(const struct settings *settings, rd_kafka_t *client)
{
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(client, RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS);
    const char *groups[1] = { settings->kafka.group };
    char problem[128];

    rd_kafka_AdminOptions_set_request_timeout(options, ANSWER_MS, problem, sizeof(problem));
    rd_kafka_DescribeConsumerGroups(client, groups, 1, options, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, 2 * ANSWER_MS);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_queue_destroy(queue);
    return event;
}

static enum group_answer ask_coordinator(const struct settings *settings, rd_kafka_t *client,
                                         rd_kafka_topic_partition_list_t *partitions, int *ret_unowned, char *why,
                                         size_t why_size)
{
    rd_kafka_event_t *event = describe_group(settings, client);
    rd_kafka_resp_err_t error = event ? rd_kafka_event_error(event) : RD_KAFKA_RESP_ERR__TIMED_OUT;
    const rd_kafka_DescribeConsumerGroups_result_t *result =
        event ? rd_kafka_event_DescribeConsumerGroups_result(event) : NULL;
    enum group_answer answer;
    size_t count = 0;

    const rd_kafka_ConsumerGroupDescription_t **groups =
        result && error == RD_KAFKA_RESP_ERR_NO_ERROR ? rd_kafka_DescribeConsumerGroups_result_groups(result, &count)
                                                      : NULL;
    if (groups && count == 1)
        answer = judge(groups[0], partitions, ret_unowned, why, why_size);
    else
        answer = silent(settings, client, "coordinator of the consumer group", error, why, why_size);
    if (event)
        rd_kafka_event_destroy(event);
    return answer;
}

enum group_answer group_owners_ask(const struct settings *settings, int *ret_unowned, char *why, size_t why_size)
{
    struct buffer fault = BUFFER_EMPTY;
    rd_kafka_conf_t *conf = clients_conf(settings, CLIENT_ADMIN, &fault);
    rd_kafka_t *client = conf ? clients_new(CLIENT_ADMIN, conf, &fault) : NULL;

    *ret_unowned = 0;
    if (client == NULL)
    {
        snprintf(why, why_size, "a client for questions: %.*s", (int)fault.size, fault.at ? fault.at : "out of memory");
        buffer_done(&fault);
        return GROUP_SILENT;
    }
    rd_kafka_topic_partition_list_t *partitions = rd_kafka_topic_partition_list_new(16);
    enum group_answer answer = list_partitions(settings, client, partitions, why, why_size);
    if (answer == GROUP_OWNED)
        answer = ask_coordinator(settings, client, partitions, ret_unowned, why, why_size);
    rd_kafka_topic_partition_list_destroy(partitions);
    clients_destroy(client, DESTROY_US);
    buffer_done(&fault);
    return answer;
}
