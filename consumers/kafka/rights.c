#include "consumers/kafka/rights.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "consumers/kafka/acls.h"
#include "consumers/kafka/clients.h"
#include "consumers/kafka/contact.h"
#include "consumers/kafka/hint.h"
#include "worker/base/clock.h"
#include "worker/base/topic_name.h"
#include "worker/settings/settings.h"

static const int64_t PART_US = 10000000; /* of trying one kind of right */
static const int64_t DESTROY_US = 3000000;

enum
{
    TOPICS_MAX = 64,
    LOOK_MS = 500, /* between two looks at `stop` */
    POLL_MS = 20,
    TRANSACTION_MS = 1000, /* of one call */
};

enum finding
{
    UNKNOWN,
    GRANTED,
    MISSING,
};

struct tried_topic
{
    char name[TOPIC_NAME_MAX + 1];
    enum acl_resource resource;
    int32_t partition; /* one with a leader; -1: none */
    bool there;        /* false: it is not there, or may not be looked at */
    enum finding read, write;
};

struct probe
{
    const struct settings *settings;
    const atomic_bool *stop;
    struct tried_topic topics[TOPICS_MAX];
    int count;
    enum finding group, transactional_id;
    struct buffer *reterr;
};

/* --- the topics -------------------------------------------------------------------------------------------------- */

static void add_topic(struct probe *probe, const char *name, size_t size, const char *suffix,
                      enum acl_resource resource)
{
    struct tried_topic *topic = &probe->topics[probe->count];

    if (size == 0 || probe->count == TOPICS_MAX)
        return;
    snprintf(topic->name, sizeof(topic->name), "%.*s%s", (int)size, name, suffix);
    topic->resource = resource;
    topic->partition = -1;
    probe->count++;
}

static void name_topics(struct probe *probe)
{
    const struct settings *settings = probe->settings;

    for (int kind = 0; kind < 2; kind++)
        for (const char *at = settings->kafka.topics; *at; at += strspn(at, ", "))
        {
            size_t size = strcspn(at, ", ");
            add_topic(probe, at, size, kind ? settings->kafka.dlq_suffix : "", kind ? ACL_DEAD_LETTERS : ACL_COMMANDS);
            at += size;
        }
    add_topic(probe, settings->kafka.audit_topic, strlen(settings->kafka.audit_topic), "", ACL_AUDIT);
}

/* --- what the parts share ---------------------------------------------------------------------------------------- */

static bool is_over(const struct probe *probe, int64_t deadline_us)
{
    return monotonic_us() > deadline_us || (probe->stop && atomic_load_explicit(probe->stop, memory_order_relaxed));
}

static bool fail(struct probe *probe, const rd_kafka_t *client, const char *doing, rd_kafka_resp_err_t error)
{
    buffer_add_text(probe->reterr, "Kafka at ");
    buffer_add_text(probe->reterr, probe->settings->kafka.bootstrap);
    buffer_add_text(probe->reterr, ", ");
    buffer_add_text(probe->reterr, doing);
    buffer_add_text(probe->reterr, ": ");
    contact_explain(client, error, probe->reterr);
    return false;
}

static void take_metadata(struct tried_topic *topic, const struct rd_kafka_metadata_topic *found)
{
    topic->there = found->err == RD_KAFKA_RESP_ERR_NO_ERROR;
    if (found->err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
        topic->read = topic->write = MISSING; /* either would include Describe */
    for (int i = 0; i < found->partition_cnt; i++)
        if (found->partitions[i].leader >= 0)
            topic->partition = found->partitions[i].id;
}

static bool look_at(struct probe *probe, rd_kafka_t *client, struct tried_topic *topic)
{
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_topic_t *handle = rd_kafka_topic_new(client, topic->name, NULL);
    int64_t deadline_us = monotonic_us() + PART_US;
    rd_kafka_resp_err_t error;

    do
        error = contact_metadata(client, handle, &metadata, LOOK_MS);
    while (error != RD_KAFKA_RESP_ERR_NO_ERROR && !contact_is_refused(client) && !is_over(probe, deadline_us));

    if (error == RD_KAFKA_RESP_ERR_NO_ERROR && metadata->topic_cnt == 1)
        take_metadata(topic, &metadata->topics[0]);
    if (metadata)
        rd_kafka_metadata_destroy(metadata);
    rd_kafka_topic_destroy(handle);
    return error == RD_KAFKA_RESP_ERR_NO_ERROR || fail(probe, client, topic->name, error);
}

static struct tried_topic *find_topic(struct probe *probe, const char *name)
{
    for (int i = 0; i < probe->count; i++)
        if (strcmp(probe->topics[i].name, name) == 0)
            return &probe->topics[i];
    return NULL;
}

static rd_kafka_t *make_client(const struct probe *probe, enum client_kind kind, const char *name, const char *value)
{
    rd_kafka_conf_t *conf = clients_conf(probe->settings, kind, probe->reterr);

    if (conf && clients_set(conf, name, value, probe->reterr))
        return clients_new(kind, conf, probe->reterr);
    if (conf)
        rd_kafka_conf_destroy(conf);
    return NULL;
}

/* --- reading, and the group -------------------------------------------------------------------------------------- */

/* The right to the group is looked at before the topic, and a topic that is not there leaves nothing to commit. */
static void ask_group(rd_kafka_t *client, rd_kafka_queue_t *answers)
{
    uint64_t chance = 0;
    char topic[64];
    rd_kafka_topic_partition_list_t *offsets = rd_kafka_topic_partition_list_new(1);

    if (getrandom(&chance, sizeof(chance), 0) != sizeof(chance))
        chance = (uint64_t)monotonic_us();
    snprintf(topic, sizeof(topic), "interlock.check.%016llx", (unsigned long long)chance);
    rd_kafka_topic_partition_list_add(offsets, topic, 0)->offset = 0;
    rd_kafka_commit_queue(client, offsets, answers, NULL, NULL);
    rd_kafka_topic_partition_list_destroy(offsets);
}

static void take_group_answer(struct probe *probe, rd_kafka_queue_t *answers)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(answers, 0);

    if (event == NULL)
        return;
    rd_kafka_resp_err_t error = rd_kafka_event_error(event);
    const rd_kafka_topic_partition_list_t *offsets = rd_kafka_event_topic_partition_list(event);
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR && offsets && offsets->cnt == 1)
        error = offsets->elems[0].err;
    if (error == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED)
        probe->group = MISSING;
    else if (error == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || error == RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID ||
             error == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
        probe->group = GRANTED;
    rd_kafka_event_destroy(event);
}

static void take_message(struct probe *probe, const rd_kafka_message_t *message)
{
    struct tried_topic *topic = message->rkt ? find_topic(probe, rd_kafka_topic_name(message->rkt)) : NULL;

    switch (message->err)
    {
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
        probe->group = MISSING;
        return;
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
        if (topic)
            topic->read = MISSING;
        return;
    case RD_KAFKA_RESP_ERR_NO_ERROR:
    case RD_KAFKA_RESP_ERR__PARTITION_EOF:
        if (topic)
            topic->read = GRANTED;
        return;
    default:
        return; /* passes, or the deadline does */
    }
}

static bool is_read_known(const struct probe *probe)
{
    for (int i = 0; i < probe->count; i++)
        if (probe->topics[i].read == UNKNOWN && probe->topics[i].partition >= 0)
            return false;
    return true;
}

static void assign_ends(const struct probe *probe, rd_kafka_t *client)
{
    rd_kafka_topic_partition_list_t *ends = rd_kafka_topic_partition_list_new(probe->count);

    for (int i = 0; i < probe->count; i++)
        if (probe->topics[i].partition >= 0)
            rd_kafka_topic_partition_list_add(ends, probe->topics[i].name, probe->topics[i].partition)->offset =
                RD_KAFKA_OFFSET_END;
    rd_kafka_assign(client, ends);
    rd_kafka_topic_partition_list_destroy(ends);
}

static bool fail_silent(struct probe *probe, const rd_kafka_t *client, const char *doing)
{
    if (probe->stop && atomic_load_explicit(probe->stop, memory_order_relaxed))
        return false;
    return fail(probe, client, doing, RD_KAFKA_RESP_ERR__TIMED_OUT);
}

static void poll_reader(struct probe *probe, rd_kafka_t *client)
{
    rd_kafka_message_t *message = rd_kafka_consumer_poll(client, POLL_MS);

    if (message == NULL)
        return;
    take_message(probe, message);
    rd_kafka_message_destroy(message);
}

static bool try_topics(struct probe *probe, rd_kafka_t *client)
{
    int64_t deadline_us = monotonic_us() + PART_US;

    for (int i = 0; i < probe->count; i++)
        if (!look_at(probe, client, &probe->topics[i]))
            return false;
    assign_ends(probe, client);
    while (!is_read_known(probe) && !is_over(probe, deadline_us))
        poll_reader(probe, client);
    rd_kafka_assign(client, NULL);
    return is_read_known(probe) || fail_silent(probe, client, "reading");
}

/* After the topics: nothing is fetched while an offset commit waits for its coordinator, which without the right is for
 * ever. That error came with a message then. */
static bool try_group(struct probe *probe, rd_kafka_t *client)
{
    int64_t deadline_us = monotonic_us() + PART_US;
    rd_kafka_queue_t *answers = rd_kafka_queue_new(client);

    if (probe->group == UNKNOWN)
        ask_group(client, answers);
    while (probe->group == UNKNOWN && !is_over(probe, deadline_us))
    {
        take_group_answer(probe, answers);
        poll_reader(probe, client);
    }
    rd_kafka_queue_destroy(answers);
    return probe->group != UNKNOWN || fail_silent(probe, client, "the consumer group");
}

static bool try_reading(struct probe *probe)
{
    rd_kafka_t *client = make_client(probe, CLIENT_READER, "enable.partition.eof", "true");

    if (client == NULL)
        return false;
    rd_kafka_poll_set_consumer(client);
    bool tried = try_topics(probe, client) && try_group(probe, client);
    clients_destroy(client, DESTROY_US);
    return tried;
}

/* --- writing ----------------------------------------------------------------------------------------------------- */

static void on_delivery(rd_kafka_t *client, const rd_kafka_message_t *message, void *owner)
{
    struct tried_topic *topic = message->_private;

    (void)client;
    (void)owner;
    if (message->err == RD_KAFKA_RESP_ERR_INVALID_REQUIRED_ACKS)
        topic->write = GRANTED;
    else if (message->err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
        topic->write = MISSING;
}

static rd_kafka_resp_err_t produce(rd_kafka_t *client, struct tried_topic *topic)
{
    return rd_kafka_producev(client, RD_KAFKA_VTYPE_TOPIC, topic->name, RD_KAFKA_VTYPE_PARTITION, topic->partition,
                             RD_KAFKA_VTYPE_VALUE, NULL, (size_t)0, RD_KAFKA_VTYPE_OPAQUE, topic, RD_KAFKA_VTYPE_END);
}

static bool write_with(struct probe *probe, rd_kafka_t *client)
{
    int64_t deadline_us = monotonic_us() + PART_US;

    for (int i = 0; i < probe->count; i++)
    {
        struct tried_topic *topic = &probe->topics[i];
        if (topic->partition < 0)
            continue;
        /* As the user who writes sees it: he need not be the one who reads. */
        if (!look_at(probe, client, topic))
            return false;
        rd_kafka_resp_err_t error = topic->write == UNKNOWN ? produce(client, topic) : RD_KAFKA_RESP_ERR_NO_ERROR;
        if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
            return fail(probe, client, topic->name, error);
    }
    while (rd_kafka_outq_len(client) > 0 && !is_over(probe, deadline_us))
        rd_kafka_poll(client, POLL_MS);
    for (int i = 0; i < probe->count; i++)
        if (probe->topics[i].partition >= 0 && probe->topics[i].write == UNKNOWN)
            return fail_silent(probe, client, probe->topics[i].name);
    return true;
}

static bool try_writing(struct probe *probe)
{
    rd_kafka_conf_t *conf = clients_conf(probe->settings, CLIENT_PROBE, probe->reterr);

    if (conf == NULL)
        return false;
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    rd_kafka_t *client = clients_new(CLIENT_PROBE, conf, probe->reterr);
    if (client == NULL)
        return false;
    bool tried = write_with(probe, client);
    clients_destroy(client, DESTROY_US);
    return tried;
}

/* --- the transaction --------------------------------------------------------------------------------------------- */

/* Until it is done, has failed for good, or PART_US are over. */
static rd_kafka_error_t *call_until_done(const struct probe *probe, rd_kafka_t *client,
                                         rd_kafka_error_t *call(rd_kafka_t *, int))
{
    int64_t deadline_us = monotonic_us() + PART_US;

    for (;;)
    {
        rd_kafka_error_t *error = call(client, TRANSACTION_MS);
        if (error == NULL || !rd_kafka_error_is_retriable(error) || is_over(probe, deadline_us))
            return error;
        rd_kafka_error_destroy(error);
        rd_kafka_poll(client, POLL_MS);
    }
}

/* Two checks at the same time have the same id, and one of the two is fenced: the rights are known by then. */
static bool fail_call(struct probe *probe, const rd_kafka_t *client, const char *doing, rd_kafka_error_t *error)
{
    rd_kafka_resp_err_t code = rd_kafka_error_code(error);
    bool fenced = code == RD_KAFKA_RESP_ERR__FENCED || code == RD_KAFKA_RESP_ERR_PRODUCER_FENCED ||
                  code == RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH;

    rd_kafka_error_destroy(error);
    return fenced || fail(probe, client, doing, code);
}

static bool publish_and_abort(struct probe *probe, rd_kafka_t *client, struct tried_topic *audit)
{
    int64_t deadline_us = monotonic_us() + PART_US;
    rd_kafka_error_t *error = rd_kafka_begin_transaction(client);

    if (error)
        return fail_call(probe, client, "begin_transaction", error);
    rd_kafka_resp_err_t sent = produce(client, audit);
    while (rd_kafka_outq_len(client) > 0 && !is_over(probe, deadline_us))
        rd_kafka_poll(client, POLL_MS);
    bool silent = rd_kafka_outq_len(client) > 0;
    error = call_until_done(probe, client, rd_kafka_abort_transaction);
    if (error)
        return fail_call(probe, client, "abort_transaction", error);
    if (sent != RD_KAFKA_RESP_ERR_NO_ERROR)
        return fail(probe, client, audit->name, sent);
    return !silent || fail_silent(probe, client, audit->name);
}

static bool transact_with(struct probe *probe, rd_kafka_t *client, struct tried_topic *audit)
{
    rd_kafka_error_t *error = call_until_done(probe, client, rd_kafka_init_transactions);
    bool refused = error && rd_kafka_error_code(error) == RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED;

    probe->transactional_id = refused ? MISSING : GRANTED;
    if (error && !refused)
        return fail_call(probe, client, "init_transactions", error);
    if (error)
        rd_kafka_error_destroy(error);
    return refused || audit == NULL || publish_and_abort(probe, client, audit);
}

static bool try_transaction(struct probe *probe, bool publish)
{
    struct tried_topic *audit = find_topic(probe, probe->settings->kafka.audit_topic);
    char id[300];

    if (!probe->settings->kafka.exactly_once)
        return true;
    snprintf(id, sizeof(id), "interlock.%s.%s", probe->settings->kafka.group, publish ? "check" : "rights");
    rd_kafka_t *client = make_client(probe, CLIENT_TRANSACTIONAL, "transactional.id", id);
    if (client == NULL)
        return false;
    publish = publish && audit && audit->write == GRANTED && audit->partition >= 0;
    bool tried = transact_with(probe, client, publish ? audit : NULL);
    clients_destroy(client, DESTROY_US);
    return tried;
}

/* --- the whole --------------------------------------------------------------------------------------------------- */

static void tell(const struct probe *probe, enum finding finding, enum acl_right right, enum acl_resource resource,
                 const char *topic, rights_missing_fn *missing, void *owner)
{
    struct buffer says = BUFFER_EMPTY;

    if (finding != MISSING)
        return;
    acls_add_missing(probe->settings, right, resource, topic, &says);
    missing(owner, &says);
    buffer_done(&says);
}

bool rights_probe(const struct settings *settings, bool publish, const atomic_bool *stop, rights_missing_fn *missing,
                  void *owner, struct buffer *reterr)
{
    struct probe *probe = calloc(1, sizeof(*probe));

    if (probe == NULL)
    {
        buffer_add_text(reterr, "out of memory");
        return false;
    }
    probe->settings = settings;
    probe->stop = stop;
    probe->reterr = reterr;
    name_topics(probe);
    bool tried = try_reading(probe) && try_writing(probe) && try_transaction(probe, publish);
    for (int i = 0; i < probe->count; i++)
    {
        const struct tried_topic *topic = &probe->topics[i];
        tell(probe, topic->read, ACL_READ, topic->resource, topic->name, missing, owner);
        tell(probe, topic->write, ACL_WRITE, topic->resource, topic->name, missing, owner);
    }
    tell(probe, probe->group, ACL_READ, ACL_GROUP, NULL, missing, owner);
    tell(probe, probe->transactional_id, ACL_WRITE, ACL_TRANSACTIONAL_IDS, NULL, missing, owner);
    free(probe);
    return tried;
}
