#include "consumers/producer/producer.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "consumers/kafka/clients.h"
#include "consumers/kafka/contact.h"
#include "consumers/kafka/hint.h"
#include "consumers/kafka/rights_watch.h"
#include "consumers/message/dead_letter.h"
#include "consumers/producer/producer_guard.h"
#include "worker/base/clock.h"
#include "worker/base/fault_point.h"
#include "worker/base/log.h"
#include "worker/base/metrics.h"
#include "worker/settings/settings.h"

static const int64_t DESTROY_US = 3000000; /* longer than that a handle is left to end by itself */
static const int64_t SLICE_MS = 1000;      /* of one blocking call; between two of them the deadline is looked at */
/* Between two producers that both broke. Doubled each time: what is refused for long must not fill the topics with
 * aborted events. The first is replaced at once, because a coordinator that moves breaks it too. */
static const int64_t REST_US = 200000;
static const int64_t REST_MAX_US = 5000000;
static const int64_t MUTED_MAX_US = 30000000;
static const int64_t THROTTLE_LOG_US = 60000000;

enum
{
    DEAD_LETTER_TOPICS_MAX = 16,
    FULL_MS = 20,  /* until a full queue is tried again */
    LOOK_MS = 200, /* at the topic, after a deadline that may have been the last of an ownership */
};

struct topic_handle
{
    char name[300];
    rd_kafka_topic_t *topic;
};

struct producer
{
    const struct settings *settings;
    bool transactional;
    bool initialised; /* init_transactions is through */
    bool open;        /* and the topics are known */
    rd_kafka_t *client;
    struct producer_guard *guard; /* its own memory: an abandoned handle goes on writing to it */
    rd_kafka_topic_t *audit;
    struct topic_handle dead[DEAD_LETTER_TOPICS_MAX];
    int dead_count;
    size_t message_max;
    int64_t deadline_us;    /* of the publication that is being sent */
    int64_t outstanding;    /* sent, not reported; changed by this thread only: reports are served by rd_kafka_poll */
    int64_t failed;         /* reported as not delivered, since begin */
    bool purged;            /* the first of them only because something else had failed */
    bool broke;             /* this handle */
    int breaks;             /* handles in a row, none of which published anything */
    int64_t rested_us;      /* no new one before */
    int64_t muted_until_us; /* a broker that throttles answers first and then reads nothing for so long */
    struct audit_positions positions; /* after every event that was reported */
    char problem[440];
};

struct producer *producer_new(const struct settings *settings)
{
    struct producer *producer = calloc(1, sizeof(*producer));
    if (producer)
        producer->settings = settings;
    return producer;
}

void producer_free(struct producer *producer)
{
    if (producer == NULL)
        return;
    producer_close(producer);
    audit_positions_done(&producer->positions);
    free(producer);
}

bool producer_is_open(const struct producer *producer)
{
    return producer->open;
}

const char *producer_problem(const struct producer *producer)
{
    return producer->problem;
}

static enum producer_result broken(struct producer *producer, const char *call, const char *why)
{
    snprintf(producer->problem, sizeof(producer->problem), "%s: %s", call, why);
    producer->broke = true;
    return PRODUCER_BROKEN;
}

static enum producer_result broken_by(struct producer *producer, const char *call, rd_kafka_error_t *error)
{
    char text[400], why[CONTACT_TEXT_MAX] = "";

    rights_watch_suspect(rd_kafka_error_code(error));
    /* Without an answer, the reason for that; with one, its text. */
    if (rd_kafka_error_is_retriable(error))
        contact_problem(producer->client, why, sizeof(why));
    snprintf(text, sizeof(text), "%s: %.250s%s", rd_kafka_error_name(error), *why ? why : rd_kafka_error_string(error),
             *why ? "" : hint_for_error(rd_kafka_error_code(error)));
    rd_kafka_error_destroy(error);
    return broken(producer, call, text);
}

bool producer_is_suspect(const struct producer *producer)
{
    return producer->broke || (producer->guard && producer->settings->protections.producer_guard &&
                               producer_guard_is_suspect(producer->guard));
}

const struct audit_positions *producer_positions(const struct producer *producer)
{
    return &producer->positions;
}

/* --- making and ending ------------------------------------------------------------------------------------------- */

static void on_delivery(rd_kafka_t *client, const rd_kafka_message_t *message, void *owner)
{
    struct producer *producer = owner;
    (void)client;

    producer->outstanding--;
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
    {
        if (message->_private) /* an event; an offset below 0 was not told */
            audit_positions_raise(&producer->positions, message->partition, message->offset + 1);
        return;
    }
    if (producer->failed++ > 0)
        return;
    rights_watch_suspect(message->err);
    producer->purged =
        message->err == RD_KAFKA_RESP_ERR__PURGE_QUEUE || message->err == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT;
    snprintf(producer->problem, sizeof(producer->problem), "%s: %s%s", rd_kafka_topic_name(message->rkt),
             rd_kafka_err2str(message->err), hint_for_error(message->err));
}

static void on_throttle(rd_kafka_t *client, const char *broker, int32_t id, int throttle_ms, void *owner)
{
    struct producer *producer = owner;
    int64_t muted_us = throttle_ms * INT64_C(1000), now_us = monotonic_us();
    static struct log_rate rate;
    (void)client, (void)id;

    if (throttle_ms <= 0)
        return;
    muted_us = muted_us < MUTED_MAX_US ? muted_us : MUTED_MAX_US;
    metrics_add(METRIC_THROTTLED, muted_us);
    if (now_us + muted_us > producer->muted_until_us)
        producer->muted_until_us = now_us + muted_us;
    if (log_allowed(&rate, THROTTLE_LOG_US))
        log_warning("kafka: %s makes the producer wait for %d ms: a quota of our client.id or user", broker,
                    throttle_ms);
}

int64_t producer_muted_us(const struct producer *producer)
{
    int64_t left_us = producer->muted_until_us - monotonic_us();
    return left_us > 0 ? left_us : 0;
}

static rd_kafka_conf_t *make_conf(struct producer *producer, const char *transactional_id, struct buffer *fault)
{
    enum client_kind kind = transactional_id ? CLIENT_TRANSACTIONAL : CLIENT_IDEMPOTENT;
    rd_kafka_conf_t *conf = clients_conf(producer->settings, kind, fault);

    if (conf == NULL)
        return NULL;
    rd_kafka_conf_set_opaque(conf, producer);
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    rd_kafka_conf_set_throttle_cb(conf, on_throttle);
    producer->message_max = (size_t)clients_number(conf, "message.max.bytes", 1000000);
    if ((transactional_id == NULL || clients_set(conf, "transactional.id", transactional_id, fault)) &&
        producer_guard_watch(producer->guard, conf))
        return conf;
    rd_kafka_conf_destroy(conf);
    return NULL;
}

static bool make_client(struct producer *producer, const char *transactional_id)
{
    struct buffer fault = BUFFER_EMPTY;
    enum client_kind kind = transactional_id ? CLIENT_TRANSACTIONAL : CLIENT_IDEMPOTENT;

    producer->guard = calloc(1, sizeof(*producer->guard));
    if (producer->guard == NULL)
    {
        broken(producer, "producer", "out of memory");
        return false;
    }
    producer_guard_init(producer->guard);
    rd_kafka_conf_t *conf = make_conf(producer, transactional_id, &fault);
    producer->client = conf ? clients_new(kind, conf, &fault) : NULL;
    producer->transactional = transactional_id != NULL;
    if (producer->client == NULL)
    {
        buffer_add_byte(&fault, '\0');
        broken(producer, "producer", fault.at ? fault.at : "out of memory");
        free(producer->guard);
        producer->guard = NULL;
    }
    buffer_done(&fault);
    if (producer->client)
        producer->audit = rd_kafka_topic_new(producer->client, producer->settings->kafka.audit_topic, NULL);
    return producer->client && producer->audit;
}

/* A handle has ended: how long until the next. */
static void note_end(struct producer *producer)
{
    int64_t rest_us = REST_MAX_US;

    if (producer->broke && producer->breaks++ < 6)
        rest_us = producer->breaks == 1 ? 0 : REST_US << (producer->breaks - 2);
    if (producer->broke)
        producer->rested_us = monotonic_us() + (rest_us < REST_MAX_US ? rest_us : REST_MAX_US);
    producer->broke = false;
}

void producer_close(struct producer *producer)
{
    if (producer->audit)
        rd_kafka_topic_destroy(producer->audit);
    producer->audit = NULL;
    for (int i = 0; i < producer->dead_count; i++)
        rd_kafka_topic_destroy(producer->dead[i].topic);
    producer->dead_count = 0;
    /* Reports of a handle that ends are not ours to count any more; a guard that may still be written to is left. */
    if (clients_destroy(producer->client, DESTROY_US))
        free(producer->guard);
    producer->client = NULL;
    producer->guard = NULL;
    producer->open = producer->initialised = false;
    producer->outstanding = 0;
    producer->failed = 0;
    note_end(producer);
}

/* Where the topic ends now, before anything of this handle is on it. Without an answer nothing is known. */
static void find_positions(struct producer *producer, int partitions, int64_t wait_us)
{
    rd_kafka_topic_partition_list_t *ends = rd_kafka_topic_partition_list_new(partitions);

    audit_positions_done(&producer->positions);
    for (int i = 0; i < partitions; i++)
        rd_kafka_topic_partition_list_add(ends, producer->settings->kafka.audit_topic, i)->offset = RD_KAFKA_OFFSET_END;
    bool told =
        rd_kafka_offsets_for_times(producer->client, ends, (int)(wait_us / 1000) + 1) == RD_KAFKA_RESP_ERR_NO_ERROR;
    for (int i = 0; i < partitions; i++)
        told = told && ends->elems[i].err == RD_KAFKA_RESP_ERR_NO_ERROR && ends->elems[i].offset >= 0;
    for (int i = partitions - 1; told && i >= 0; i--)
        audit_positions_raise(&producer->positions, ends->elems[i].partition, ends->elems[i].offset);
    rd_kafka_topic_partition_list_destroy(ends);
}

/* The topic's partitions must be known before the first event: 2.0.2 may take a second to ask for them otherwise. */
static enum producer_result warm_up(struct producer *producer, int64_t wait_us)
{
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_resp_err_t error =
        contact_metadata(producer->client, producer->audit, &metadata, (int)(wait_us / 1000) + 1);

    if (error == RD_KAFKA_RESP_ERR_NO_ERROR && metadata->topic_cnt == 1)
        error = metadata->topics[0].err;
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR && metadata->topic_cnt == 1)
        find_positions(producer, metadata->topics[0].partition_cnt, wait_us);
    if (metadata)
        rd_kafka_metadata_destroy(metadata);
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR)
        return PRODUCER_DONE;
    struct buffer why = BUFFER_EMPTY;
    contact_explain(producer->client, error, &why);
    snprintf(producer->problem, sizeof(producer->problem), "topic %s: %.*s", producer->settings->kafka.audit_topic,
             (int)why.size, why.at ? why.at : "");
    buffer_done(&why);
    return PRODUCER_AGAIN;
}

enum producer_result producer_open(struct producer *producer, const char *transactional_id, int64_t wait_us)
{
    if (producer->open)
        return PRODUCER_DONE;
    if (producer->client == NULL && monotonic_us() < producer->rested_us)
        return PRODUCER_AGAIN; /* the problem is still that of the last one */
    if (producer->client == NULL && !make_client(producer, transactional_id))
        return PRODUCER_BROKEN;
    rd_kafka_poll(producer->client, 0);
    if (producer->transactional && !producer->initialised)
    {
        rd_kafka_error_t *error = rd_kafka_init_transactions(producer->client, (int)(wait_us / 1000) + 1);
        if (error && rd_kafka_error_is_retriable(error))
        {
            broken_by(producer, "init_transactions", error);
            return PRODUCER_AGAIN;
        }
        if (error)
            return broken_by(producer, "init_transactions", error);
        producer->initialised = true;
    }
    enum producer_result warm = warm_up(producer, wait_us);
    producer->open = warm == PRODUCER_DONE;
    if (producer->open)
        producer->broke = false; /* an attempt that was repeated on the way is not a failure */
    return warm;
}

void producer_idle(struct producer *producer)
{
    if (producer->client)
        rd_kafka_poll(producer->client, 0);
}

/* --- one publication --------------------------------------------------------------------------------------------- */

/* The effect of a fault point on a call: a fatal state is librdkafka's own, and the call finds it; else true, refused.
 */
static bool is_refused(struct producer *producer, const char *call, enum fault_error fault)
{
    if (fault == FAULT_FATAL)
        rd_kafka_test_fatal_error(producer->client, RD_KAFKA_RESP_ERR_PRODUCER_FENCED, "a fault point");
    if (fault == FAULT_ERROR)
        broken(producer, call, "a fault point");
    return fault == FAULT_ERROR;
}

enum producer_result producer_begin(struct producer *producer)
{
    assert(producer->open);
    producer->failed = 0;
    producer->problem[0] = '\0';
    if (is_refused(producer, "begin_transaction", FAULT_POINT_FAILS(BEFORE_BEGIN_TXN)))
        return PRODUCER_BROKEN;
    if (!producer->transactional)
        return PRODUCER_DONE;
    rd_kafka_error_t *error = rd_kafka_begin_transaction(producer->client);
    return error ? broken_by(producer, "begin_transaction", error) : PRODUCER_DONE;
}

static rd_kafka_topic_t *dead_letter_topic(struct producer *producer, struct span topic)
{
    char name[300];

    snprintf(name, sizeof(name), "%.*s%s", (int)topic.size, topic.at, producer->settings->kafka.dlq_suffix);
    for (int i = 0; i < producer->dead_count; i++)
        if (strcmp(producer->dead[i].name, name) == 0)
            return producer->dead[i].topic;
    if (producer->dead_count == DEAD_LETTER_TOPICS_MAX)
        return NULL;
    struct topic_handle *handle = &producer->dead[producer->dead_count];
    handle->topic = rd_kafka_topic_new(producer->client, name, NULL);
    if (handle->topic == NULL)
        return NULL;
    memcpy(handle->name, name, sizeof(name));
    producer->dead_count++;
    return handle->topic;
}

/* rd_kafka_producev is called with its tags as they are: the macros around them are statement expressions, which
 * -Wpedantic refuses under clang. Each tag says the types of what follows it. */

static rd_kafka_resp_err_t send_event(struct producer *producer, const struct delivery *delivery)
{
    static const char content_type[] = "application/cloudevents+json";
    size_t key_size = strlen(delivery->event_key);
    const char *key = key_size > 0 ? delivery->event_key : NULL;

    return rd_kafka_producev(producer->client, RD_KAFKA_VTYPE_RKT, producer->audit, RD_KAFKA_VTYPE_MSGFLAGS,
                             RD_KAFKA_MSG_F_COPY, RD_KAFKA_VTYPE_KEY, key, key_size, RD_KAFKA_VTYPE_VALUE,
                             delivery->event, delivery->event_size, RD_KAFKA_VTYPE_OPAQUE, (void *)producer,
                             RD_KAFKA_VTYPE_HEADER, "content-type", content_type, (ssize_t)(sizeof(content_type) - 1),
                             RD_KAFKA_VTYPE_END);
}

static rd_kafka_resp_err_t send_dead_letter(struct producer *producer, const struct delivery *delivery)
{
    struct dead_letter letter;
    rd_kafka_topic_t *topic = dead_letter_topic(producer, delivery->partition->topic);

    if (topic == NULL || !dead_letter_make(delivery, producer->settings->kafka.group, producer->message_max, &letter))
        return RD_KAFKA_RESP_ERR__CRIT_SYS_RESOURCE;
    rd_kafka_resp_err_t error =
        rd_kafka_producev(producer->client, RD_KAFKA_VTYPE_RKT, topic, RD_KAFKA_VTYPE_MSGFLAGS, RD_KAFKA_MSG_F_COPY,
                          RD_KAFKA_VTYPE_KEY, letter.key.at, letter.key.size, RD_KAFKA_VTYPE_VALUE, letter.value.at,
                          letter.value.size, RD_KAFKA_VTYPE_HEADERS, letter.headers, RD_KAFKA_VTYPE_END);
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR)
        letter.headers = NULL; /* librdkafka's now */
    dead_letter_done(&letter);
    return error;
}

enum producer_result producer_send(struct producer *producer, const struct delivery *delivery)
{
    enum fault_error fault = FAULT_POINT_FAILS(MID_PRODUCE);
    rd_kafka_resp_err_t error;

    /* The operator's own queue.buffering.max.messages may be smaller than a publication. */
    while ((error = delivery->answer == ANSWER_EVENT
                        ? send_event(producer, delivery)
                        : send_dead_letter(producer, delivery)) == RD_KAFKA_RESP_ERR__QUEUE_FULL &&
           monotonic_us() < producer->deadline_us)
        rd_kafka_poll(producer->client, FULL_MS);
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
        return broken(producer, "produce", rd_kafka_err2str(error));
    producer->outstanding++;
    if (fault == FAULT_ERROR)
        rd_kafka_purge(producer->client, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT); /* as if it timed out */
    else if (fault != FAULT_NO_ERROR)
        is_refused(producer, "produce", fault);
    return PRODUCER_DONE;
}

/* Events that were thrown away because the transaction had failed say nothing of why; any call that is not allowed then
 * does. Its own refusal is harmless. */
static enum producer_result broken_by_failed(struct producer *producer)
{
    rd_kafka_error_t *error =
        producer->transactional && producer->purged ? rd_kafka_begin_transaction(producer->client) : NULL;

    producer->broke = true;
    if (error && rd_kafka_error_code(error) != RD_KAFKA_RESP_ERR__STATE)
        return broken_by(producer, producer->settings->kafka.audit_topic, error);
    if (error)
        rd_kafka_error_destroy(error);
    return PRODUCER_BROKEN;
}

static enum producer_result broken_by_silence(struct producer *producer)
{
    const struct rd_kafka_metadata *metadata = NULL;
    char why[300] = "", text[400];

    if (rd_kafka_metadata(producer->client, 0, producer->audit, &metadata, LOOK_MS) == RD_KAFKA_RESP_ERR_NO_ERROR &&
        metadata->topic_cnt == 1)
        hint_for_topic(&metadata->topics[0], why, sizeof(why));
    if (metadata)
        rd_kafka_metadata_destroy(metadata);
    snprintf(text, sizeof(text), "no delivery report within the time allowed%s", why);
    return broken(producer, "produce", text);
}

/* Until everything sent is reported, or the deadline. */
static enum producer_result await_reports(struct producer *producer, int64_t deadline_us)
{
    while (producer->outstanding > 0)
    {
        int64_t left_ms = (deadline_us - monotonic_us()) / 1000;
        if (left_ms <= 0)
            return broken_by_silence(producer);
        rd_kafka_poll(producer->client, (int)(left_ms < SLICE_MS ? left_ms : SLICE_MS));
        if (producer->failed > 0)
            return broken_by_failed(producer);
    }
    return PRODUCER_DONE;
}

static int slice_ms(int64_t deadline_us)
{
    int64_t left_ms = (deadline_us - monotonic_us()) / 1000;
    return left_ms < 1 ? 1 : left_ms < SLICE_MS ? (int)left_ms : (int)SLICE_MS;
}

/* Calls that answer "retriable" are called again with the same arguments until the deadline. Their finite timeouts are
 * resumable in 2.0.2 (commit), or the call may be repeated with the same offsets (send_offsets). */
static enum producer_result send_offsets(struct producer *producer, const rd_kafka_topic_partition_list_t *offsets,
                                         const rd_kafka_consumer_group_metadata_t *group, int64_t deadline_us)
{
    for (;;)
    {
        enum fault_error fault = FAULT_POINT_FAILS(AFTER_BEGIN_TXN);
        if (is_refused(producer, "send_offsets", fault))
            return PRODUCER_BROKEN;
        if (fault == FAULT_RETRIABLE && monotonic_us() < deadline_us)
            continue;
        rd_kafka_error_t *error =
            rd_kafka_send_offsets_to_transaction(producer->client, offsets, group, slice_ms(deadline_us));
        fault = FAULT_POINT_FAILS(AFTER_SEND_OFFSETS);
        if (error == NULL && fault == FAULT_RETRIABLE && monotonic_us() < deadline_us)
            continue;
        if (error == NULL)
            return is_refused(producer, "send_offsets", fault) ? PRODUCER_BROKEN : PRODUCER_DONE;
        if (!rd_kafka_error_is_retriable(error) || monotonic_us() >= deadline_us)
            return broken_by(producer, "send_offsets", error);
        rd_kafka_error_destroy(error);
        rd_kafka_poll(producer->client, 0);
    }
}

static enum producer_result commit_transaction(struct producer *producer, int64_t deadline_us)
{
    for (;;)
    {
        enum fault_error fault = FAULT_POINT_FAILS(BEFORE_COMMIT_TXN);
        if (is_refused(producer, "commit_transaction", fault))
            return PRODUCER_BROKEN;
        if (fault == FAULT_RETRIABLE && monotonic_us() < deadline_us)
            continue;
        rd_kafka_error_t *error = rd_kafka_commit_transaction(producer->client, slice_ms(deadline_us));
        if (error == NULL)
            return is_refused(producer, "commit_transaction", FAULT_POINT_FAILS(AFTER_COMMIT_TXN)) ? PRODUCER_BROKEN
                                                                                                   : PRODUCER_DONE;
        if (!rd_kafka_error_is_retriable(error) || monotonic_us() >= deadline_us)
            return broken_by(producer, "commit_transaction", error);
        rd_kafka_error_destroy(error);
    }
}

enum producer_result producer_send_offsets(struct producer *producer, const rd_kafka_topic_partition_list_t *offsets,
                                           const rd_kafka_consumer_group_metadata_t *group, int64_t deadline_us)
{
    producer->deadline_us = deadline_us;
    return producer->transactional ? send_offsets(producer, offsets, group, deadline_us) : PRODUCER_DONE;
}

enum producer_result producer_commit(struct producer *producer, int64_t deadline_us)
{
    enum producer_result result = await_reports(producer, deadline_us);

    if (result == PRODUCER_DONE && producer->transactional)
        result = commit_transaction(producer, deadline_us);
    if (result == PRODUCER_DONE)
        producer->breaks = 0;
    return result;
}
