#include "consumers/kafka/topics.h"

#include <stdio.h>
#include <stdlib.h>

#include "consumers/kafka/clients.h"
#include "consumers/kafka/contact.h"
#include "worker/base/clock.h"
#include "worker/settings/settings.h"

static const int64_t DESTROY_US = 3000000;
static const int64_t AWAIT_US = 15000000; /* a broker that has just started takes seconds to list a topic */

enum
{
    ANSWER_MS = 15000,
    ASK_AGAIN_MS = 100,
    REPLICATION_MAX = 3,           /* as many as there are brokers, up to this */
    EVENT_BYTES_MIN = 300 * 1024,  /* an audit event is up to 256 KiB, and has a key and headers (PROTOCOL R5) */
    COMMAND_BYTES_MIN = 80 * 1024, /* a command's value is up to 64 KiB */
};

/* --- which topics ------------------------------------------------------------------------------------------------ */

static bool add_topic(struct topics_report *report, const char *name, size_t name_size, const char *suffix,
                      const char *role, struct buffer *reterr)
{
    struct topic_state *topic = &report->at[report->count];

    if (report->count == TOPICS_REPORTED_MAX || name_size + strlen(suffix) >= sizeof(topic->name))
    {
        buffer_add_text(reterr, "kafka.topics: too many topics, or a name that is too long");
        return false;
    }
    snprintf(topic->name, sizeof(topic->name), "%.*s%s", (int)name_size, name, suffix);
    topic->role = role;
    topic->retention_ms = -1;
    report->count++;
    return true;
}

static bool name_topics(const struct settings *settings, struct topics_report *report, struct buffer *reterr)
{
    const char *const suffixes[] = { "", settings->kafka.dlq_suffix };
    const char *const roles[] = { "commands", "dead letters" };

    if (!add_topic(report, settings->kafka.audit_topic, strlen(settings->kafka.audit_topic), "", "audit", reterr))
        return false;
    for (int kind = 0; kind < 2; kind++)
        for (const char *at = settings->kafka.topics; *at;)
        {
            size_t size = strcspn(at, ", ");
            if (size > 0 && !add_topic(report, at, size, suffixes[kind], roles[kind], reterr))
                return false;
            at += size;
            at += strspn(at, ", ");
        }
    return true;
}

/* --- what the broker says ---------------------------------------------------------------------------------------- */

static bool fail(struct buffer *reterr, const char *doing, const char *what)
{
    buffer_add_text(reterr, doing);
    buffer_add_text(reterr, ": ");
    buffer_add_text(reterr, what);
    return false;
}

static void fill_topic(struct topic_state *topic, const struct rd_kafka_metadata *metadata)
{
    for (int i = 0; i < metadata->topic_cnt; i++)
    {
        const struct rd_kafka_metadata_topic *found = &metadata->topics[i];
        if (strcmp(found->topic, topic->name) != 0)
            continue;
        for (int32_t p = 0; p < found->partition_cnt; p++)
            if (found->partitions[p].leader < 0)
                snprintf(topic->in_the_way, sizeof(topic->in_the_way), "partition %d has no leader", (int)p);
        if (found->err != RD_KAFKA_RESP_ERR_NO_ERROR)
        {
            snprintf(topic->in_the_way, sizeof(topic->in_the_way), "%s", rd_kafka_err2str(found->err));
            continue;
        }
        topic->exists = true;
        topic->partitions = found->partition_cnt;
        topic->replication = found->partition_cnt > 0 ? found->partitions[0].replica_cnt : 0;
    }
}

static bool read_metadata(rd_kafka_t *client, const struct settings *settings, struct topics_report *report,
                          struct buffer *reterr)
{
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_resp_err_t error = contact_metadata(client, NULL, &metadata, ANSWER_MS);

    if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
    {
        buffer_add_text(reterr, "Kafka at ");
        fail(reterr, settings->kafka.bootstrap, "");
        contact_explain(client, error, reterr);
        return false;
    }
    report->brokers = metadata->broker_cnt;
    for (int i = 0; i < report->count; i++)
        fill_topic(&report->at[i], metadata);
    rd_kafka_metadata_destroy(metadata);
    return true;
}

/* A list of all topics lacks those that may not be looked at: they are asked for by name, by a consumer's handle, which
 * makes no topic. */
static bool ask_by_name(rd_kafka_t *client, struct topic_state *topic, struct buffer *reterr)
{
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_topic_t *handle = rd_kafka_topic_new(client, topic->name, NULL);
    rd_kafka_resp_err_t error = contact_metadata(client, handle, &metadata, ANSWER_MS);

    rd_kafka_topic_destroy(handle);
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
    {
        fail(reterr, topic->name, "");
        contact_explain(client, error, reterr);
        return false;
    }
    topic->forbidden =
        metadata->topic_cnt == 1 && metadata->topics[0].err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    rd_kafka_metadata_destroy(metadata);
    return true;
}

static bool find_forbidden(const struct settings *settings, struct topics_report *report, struct buffer *reterr)
{
    rd_kafka_t *client = NULL;
    bool good = true;

    for (int i = 0; i < report->count && good; i++)
    {
        if (report->at[i].exists)
            continue;
        if (client == NULL)
        {
            rd_kafka_conf_t *conf = clients_conf(settings, CLIENT_READER, reterr);
            client = conf ? clients_new(CLIENT_READER, conf, reterr) : NULL;
        }
        good = client && ask_by_name(client, &report->at[i], reterr);
    }
    clients_destroy(client, DESTROY_US);
    return good;
}

static void fill_setting(struct topic_state *topic, const char *name, const char *value)
{
    if (value == NULL)
        return;
    if (strcmp(name, "cleanup.policy") == 0)
        snprintf(topic->cleanup_policy, sizeof(topic->cleanup_policy), "%s", value);
    else if (strcmp(name, "retention.ms") == 0)
        topic->retention_ms = strtoll(value, NULL, 10);
    else if (strcmp(name, "max.message.bytes") == 0)
        topic->max_message_bytes = strtoll(value, NULL, 10);
}

static bool fill_settings(struct topics_report *report, rd_kafka_event_t *event, struct buffer *reterr)
{
    size_t count = 0;
    const rd_kafka_ConfigResource_t **resources =
        rd_kafka_DescribeConfigs_result_resources(rd_kafka_event_DescribeConfigs_result(event), &count);

    for (size_t r = 0; r < count; r++)
    {
        const char *name = rd_kafka_ConfigResource_name(resources[r]);
        size_t entry_count = 0;
        const rd_kafka_ConfigEntry_t **entries = rd_kafka_ConfigResource_configs(resources[r], &entry_count);
        rd_kafka_resp_err_t error = rd_kafka_ConfigResource_error(resources[r]);
        if (error != RD_KAFKA_RESP_ERR_NO_ERROR && error != RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
            return fail(reterr, name, rd_kafka_ConfigResource_error_string(resources[r]));
        for (int i = 0; i < report->count; i++)
        {
            if (strcmp(report->at[i].name, name) != 0)
                continue;
            report->at[i].settings_unknown = error != RD_KAFKA_RESP_ERR_NO_ERROR;
            for (size_t e = 0; e < entry_count; e++)
                fill_setting(&report->at[i], rd_kafka_ConfigEntry_name(entries[e]),
                             rd_kafka_ConfigEntry_value(entries[e]));
        }
    }
    return true;
}

/* Waits for the answer to an admin request; NULL with a message. */
static rd_kafka_event_t *await_answer(rd_kafka_queue_t *queue, const char *doing, struct buffer *reterr)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, 2 * ANSWER_MS);

    if (event && rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR_NO_ERROR)
        return event;
    fail(reterr, doing, event ? rd_kafka_event_error_string(event) : "no answer");
    if (event)
        rd_kafka_event_destroy(event);
    return NULL;
}

static bool read_settings(rd_kafka_t *client, struct topics_report *report, struct buffer *reterr)
{
    rd_kafka_ConfigResource_t *resources[TOPICS_REPORTED_MAX];
    size_t count = 0;

    for (int i = 0; i < report->count; i++)
        if (report->at[i].exists)
            resources[count++] = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, report->at[i].name);
    if (count == 0)
        return true;
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    rd_kafka_DescribeConfigs(client, resources, count, NULL, queue);
    rd_kafka_event_t *event = await_answer(queue, "settings of the topics", reterr);
    bool read = event && fill_settings(report, event, reterr);
    if (event)
        rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    rd_kafka_ConfigResource_destroy_array(resources, count);
    return read;
}

static rd_kafka_t *make_client(const struct settings *settings, struct buffer *reterr)
{
    rd_kafka_conf_t *conf = clients_conf(settings, CLIENT_ADMIN, reterr);
    return conf ? clients_new(CLIENT_ADMIN, conf, reterr) : NULL;
}

static void fill_id(void *owner, const char *topic, const char *id)
{
    struct topics_report *report = owner;

    for (int i = 0; i < report->count; i++)
        if (strcmp(report->at[i].name, topic) == 0)
            snprintf(report->at[i].id, sizeof(report->at[i].id), "%s", id);
}

bool topics_inspect(const struct settings *settings, struct topics_report *ret, struct buffer *reterr)
{
    memset(ret, 0, sizeof(*ret));
    if (!name_topics(settings, ret, reterr))
        return false;
    rd_kafka_t *client = make_client(settings, reterr);
    if (client == NULL)
        return false;
    bool read = read_metadata(client, settings, ret, reterr) && find_forbidden(settings, ret, reterr) &&
                read_settings(client, ret, reterr);
    if (read)
        topic_ids_read(settings, client, ANSWER_MS * INT64_C(1000), fill_id, ret);
    clients_destroy(client, DESTROY_US);
    return read;
}

static bool all_serve(const struct topics_report *report)
{
    for (int i = 0; i < report->count; i++)
        if (!report->at[i].forbidden && (!report->at[i].exists || report->at[i].in_the_way[0]))
            return false;
    return true;
}

bool topics_await(const struct settings *settings, struct topics_report *ret, struct buffer *reterr)
{
    static const struct timespec pause = { .tv_nsec = 200000000 };
    int64_t deadline_us = monotonic_us() + AWAIT_US;

    for (;;)
    {
        struct buffer fault = BUFFER_EMPTY;
        bool read = topics_inspect(settings, ret, &fault), late = monotonic_us() >= deadline_us;
        if (!read && late)
            buffer_add_span(reterr, buffer_span(&fault));
        buffer_done(&fault);
        if ((read && all_serve(ret)) || late)
            return read;
        nanosleep(&pause, NULL);
    }
}

/* A leader that moved, or that a new topic does not have yet, is found a moment later. */
static rd_kafka_resp_err_t ask_ends(rd_kafka_t *client, const char *topic, int32_t partition, int64_t *ret_start,
                                    int64_t *ret_end)
{
    int64_t until_us = monotonic_us() + (int64_t)ANSWER_MS * 1000;
    rd_kafka_resp_err_t error;

    do
    {
        error = rd_kafka_query_watermark_offsets(client, topic, partition, ret_start, ret_end, ANSWER_MS);
        if (error != RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION && error != RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE)
            break;
        rd_kafka_poll(client, ASK_AGAIN_MS);
    } while (monotonic_us() < until_us);
    return error;
}

static bool see_logs(rd_kafka_t *client, const struct topic_state *topic, topics_log_fn *see, void *owner,
                     struct buffer *reterr)
{
    for (int32_t partition = 0; partition < topic->partitions; partition++)
    {
        int64_t start = 0, end = 0;
        rd_kafka_resp_err_t error = ask_ends(client, topic->name, partition, &start, &end);
        if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
            return fail(reterr, topic->name, rd_kafka_err2str(error));
        see(owner, topic->name, partition, start, end);
    }
    return true;
}

bool topics_logs(const struct settings *settings, topics_log_fn *see, void *owner, struct buffer *reterr)
{
    struct topics_report report = { .count = 0 };
    rd_kafka_t *client = name_topics(settings, &report, reterr) ? make_client(settings, reterr) : NULL;
    if (client == NULL)
        return false;
    bool read = read_metadata(client, settings, &report, reterr);
    for (int i = 0; read && i < report.count; i++)
        if (strcmp(report.at[i].role, "commands") == 0)
            read = report.at[i].exists
                       ? see_logs(client, &report.at[i], see, owner, reterr)
                       : fail(reterr, report.at[i].name, "the topic is not there, or may not be looked at (Describe)");
    clients_destroy(client, DESTROY_US);
    return read;
}

/* --- what is wrong ----------------------------------------------------------------------------------------------- */

bool topics_find_fault(const struct topic_state *topic, struct buffer *into)
{
    bool commands = strcmp(topic->role, "commands") == 0;
    int64_t bytes_min = commands ? COMMAND_BYTES_MIN : EVENT_BYTES_MIN;

    if (topic->settings_unknown)
        return false;
    if (strstr(topic->cleanup_policy, "compact"))
    {
        buffer_add_text(into, commands ? "cleanup.policy is compact: commands would vanish before they are read; set "
                                         "it to delete"
                                       : "cleanup.policy is compact: records would vanish; set it to delete");
        return true;
    }
    if (topic->max_message_bytes < bytes_min)
    {
        buffer_add_text(into, "max.message.bytes is ");
        buffer_add_int64(into, topic->max_message_bytes);
        buffer_add_text(into, "; it takes at least ");
        buffer_add_int64(into, bytes_min);
        return true;
    }
    return false;
}

/* --- making ------------------------------------------------------------------------------------------------------ */

static int partitions_of(const struct topics_report *report, const struct topic_state *topic,
                         const struct settings *settings, int partitions, int audit_partitions)
{
    if (strcmp(topic->role, "audit") == 0)
        return audit_partitions;
    size_t suffix = strlen(settings->kafka.dlq_suffix), size = strlen(topic->name);

    if (strcmp(topic->role, "dead letters") != 0 || size < suffix)
        return partitions;
    for (int i = 0; i < report->count; i++)
        if (report->at[i].exists && strlen(report->at[i].name) == size - suffix &&
            strncmp(report->at[i].name, topic->name, size - suffix) == 0)
            return report->at[i].partitions;
    return partitions;
}

static rd_kafka_NewTopic_t *new_topic(const struct topic_state *topic, int partitions, int replication,
                                      struct buffer *reterr)
{
    char problem[256];
    rd_kafka_NewTopic_t *made = rd_kafka_NewTopic_new(topic->name, partitions, replication, problem, sizeof(problem));

    if (made == NULL)
    {
        fail(reterr, topic->name, problem);
        return NULL;
    }
    /* A broker whose default is to compact would lose commands. */
    rd_kafka_NewTopic_set_config(made, "cleanup.policy", "delete");
    /* The broker's time: it refuses what a clock that is an hour ahead has stamped, and our events are not to wait
     * until a worker's clock is right. Commands keep their publishers' time, from which latency is counted. */
    if (strcmp(topic->role, "commands") != 0)
        rd_kafka_NewTopic_set_config(made, "message.timestamp.type", "LogAppendTime");
    if (strcmp(topic->role, "dead letters") == 0)
        rd_kafka_NewTopic_set_config(made, "retention.ms", TOPICS_DLQ_RETENTION_MS);
    return made;
}

static bool check_made(rd_kafka_event_t *event, struct buffer *reterr)
{
    size_t count = 0;
    const rd_kafka_topic_result_t **results =
        rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
    bool good = true;

    for (size_t i = 0; i < count; i++)
    {
        rd_kafka_resp_err_t error = rd_kafka_topic_result_error(results[i]);
        /* Somebody else made it meanwhile: that is what was wanted. */
        if (error == RD_KAFKA_RESP_ERR_NO_ERROR || error == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
            continue;
        if (!good)
            buffer_add_text(reterr, "; ");
        const char *said = rd_kafka_topic_result_error_string(results[i]);
        fail(reterr, rd_kafka_topic_result_name(results[i]), said ? said : rd_kafka_err2str(error));
        good = false;
    }
    return good;
}

static bool create(rd_kafka_t *client, rd_kafka_NewTopic_t **topics, size_t count, struct buffer *reterr)
{
    char problem[256];
    rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(client, RD_KAFKA_ADMIN_OP_CREATETOPICS);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);

    /* Answered when the topics are there on the controller, so that who comes next finds them. */
    rd_kafka_AdminOptions_set_operation_timeout(options, ANSWER_MS, problem, sizeof(problem));
    rd_kafka_CreateTopics(client, topics, count, options, queue);
    rd_kafka_event_t *event = await_answer(queue, "making the topics", reterr);
    bool made = event && check_made(event, reterr);
    if (event)
        rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    rd_kafka_AdminOptions_destroy(options);
    return made;
}

bool topics_create(const struct settings *settings, const struct topics_report *report, int partitions,
                   int audit_partitions, struct buffer *reterr)
{
    rd_kafka_NewTopic_t *topics[TOPICS_REPORTED_MAX];
    size_t count = 0;
    int replication = report->brokers < REPLICATION_MAX ? report->brokers : REPLICATION_MAX;
    bool good = true;

    for (int i = 0; i < report->count && good; i++)
    {
        if (report->at[i].exists)
            continue;
        topics[count] =
            new_topic(&report->at[i], partitions_of(report, &report->at[i], settings, partitions, audit_partitions),
                      replication, reterr);
        good = topics[count] != NULL;
        count += good;
    }
    rd_kafka_t *client = good && count > 0 ? make_client(settings, reterr) : NULL;
    if (count > 0)
    {
        good = client && create(client, topics, count, reterr);
        rd_kafka_NewTopic_destroy_array(topics, count);
    }
    clients_destroy(client, DESTROY_US);
    return good;
}
