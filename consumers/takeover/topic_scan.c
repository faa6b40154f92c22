#include "consumers/takeover/topic_scan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "consumers/kafka/clients.h"
#include "consumers/kafka/contact.h"
#include "worker/base/clock.h"
#include "worker/settings/settings.h"
#include "workflows/parameters/parameters.h"

static const int64_t DESTROY_US = 3000000;
static const int64_t SILENCE_US = 30000000; /* no message, no end of a partition: the broker is not there */
/* An open transaction hides what others committed after its beginning. Those of live workers end at once; a dead one's
 * lasts consumers.transaction_timeout, and the broker looks for such ones every 10 s. */
static const int64_t OPEN_SLACK_US = 20000000;

enum
{
    ANSWER_MS = 10000,
    POLL_MS = 100,
};

struct topic_scan
{
    rd_kafka_t *client;
    const char *bootstrap; /* of the settings */
    char topic[300];
    topic_scan_fn *see;
    void *owner;
    rd_kafka_topic_partition_list_t *starts;
    bool by_positions; /* they may be of a topic that was recreated since, or be cut off */
    bool *ended;       /* by partition */
    int partition_count, left;
    int64_t *ends;         /* by partition, of everything, open transactions too; -1 not known yet */
    int64_t *oldest;       /* by partition, the time of the first record; -1 none came */
    int64_t open_us;       /* how long it waits for open transactions; 0: without an end */
    int64_t open_since_us; /* from when an end was one's beginning; 0: none is */
    int64_t silent_since_us;
};

static bool fail(struct buffer *reterr, const char *topic, const char *what)
{
    buffer_add_text(reterr, topic);
    buffer_add_text(reterr, ": ");
    buffer_add_text(reterr, what);
    return false;
}

static bool fail_contact(const struct topic_scan *scan, rd_kafka_resp_err_t error, struct buffer *reterr)
{
    buffer_add_text(reterr, "Kafka at ");
    buffer_add_text(reterr, scan->bootstrap);
    buffer_add_text(reterr, ", topic ");
    fail(reterr, scan->topic, "");
    contact_explain(scan->client, error, reterr);
    return false;
}

static rd_kafka_t *make_client(const struct settings *settings, struct buffer *reterr)
{
    rd_kafka_conf_t *conf = clients_conf(settings, CLIENT_READER, reterr);

    /* An event tells the end of a partition: transaction markers stand after its last message, so that no
     * offset of a message says it. */
    if (conf && clients_set(conf, "enable.partition.eof", "true", reterr) &&
        clients_set(conf, "fetch.wait.max.ms", "10", reterr)) /* how long the broker keeps the end to itself */
        return clients_new(CLIENT_READER, conf, reterr);
    if (conf)
        rd_kafka_conf_destroy(conf);
    return NULL;
}

/* Every partition of the topic. */
static rd_kafka_topic_partition_list_t *list_partitions(struct topic_scan *scan, struct buffer *reterr)
{
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_topic_t *handle = rd_kafka_topic_new(scan->client, scan->topic, NULL);
    rd_kafka_resp_err_t error = contact_metadata(scan->client, handle, &metadata, ANSWER_MS);
    rd_kafka_topic_partition_list_t *list = NULL;

    rd_kafka_topic_destroy(handle);
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR)
        error = metadata->topic_cnt == 1 ? metadata->topics[0].err : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR)
    {
        list = rd_kafka_topic_partition_list_new(metadata->topics[0].partition_cnt);
        for (int i = 0; i < metadata->topics[0].partition_cnt; i++)
            rd_kafka_topic_partition_list_add(list, scan->topic, metadata->topics[0].partitions[i].id);
    }
    if (metadata)
        rd_kafka_metadata_destroy(metadata);
    if (list)
        return list;
    fail_contact(scan, error, reterr);
    return NULL;
}

/* With the offset to begin at. */
static bool find_starts(struct topic_scan *scan, const struct audit_positions *from, int64_t since_us,
                        struct buffer *reterr)
{
    rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR_NO_ERROR;

    scan->starts = list_partitions(scan, reterr);
    if (scan->starts == NULL)
        return false;
    scan->by_positions = from && from->count > 0;
    for (int i = 0; i < scan->starts->cnt; i++)
    {
        rd_kafka_topic_partition_t *start = &scan->starts->elems[i];
        if (scan->by_positions && start->partition < from->count)
            start->offset = from->at[start->partition];
        else
            start->offset = since_us > 0 && !scan->by_positions ? since_us / 1000 : RD_KAFKA_OFFSET_BEGINNING;
    }
    if (since_us > 0 && !scan->by_positions)
        error = rd_kafka_offsets_for_times(scan->client, scan->starts, ANSWER_MS);
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR)
        return true;
    return fail_contact(scan, error, reterr);
}

/* Whether the messages after `offset` were not there when the reader came first to such an end. */
static bool is_past_everything(struct topic_scan *scan, int32_t partition, int64_t offset)
{
    int64_t low, high;

    /* As the last fetch said. */
    if (scan->ends[partition] < 0 &&
        rd_kafka_get_watermark_offsets(scan->client, scan->topic, partition, &low, &high) == RD_KAFKA_RESP_ERR_NO_ERROR)
        scan->ends[partition] = high;
    bool past = scan->ends[partition] >= 0 && offset >= scan->ends[partition];
    if (!past && scan->open_since_us == 0)
        scan->open_since_us = monotonic_us();
    return past;
}

static void end_partition(struct topic_scan *scan, int32_t partition, int64_t offset)
{
    if (partition < 0 || partition >= scan->partition_count || scan->ended[partition] ||
        !is_past_everything(scan, partition, offset))
        return;
    scan->ended[partition] = true;
    scan->left--;
    scan->open_since_us = 0;
    for (int i = 0; i < scan->partition_count; i++)
        if (scan->ends[i] >= 0 && !scan->ended[i])
            scan->open_since_us = monotonic_us();
}

/* True: go on. */
static bool see_message(struct topic_scan *scan, rd_kafka_message_t *message)
{
    rd_kafka_timestamp_type_t type;
    int64_t timestamp_ms = rd_kafka_message_timestamp(message, &type);
    struct scanned_message scanned = {
        .partition = message->partition,
        .offset = message->offset,
        .timestamp_us = timestamp_ms < 0 ? -1 : timestamp_ms * 1000,
        .key = message->key ? (struct span){ message->key, message->key_len } : SPAN_NULL,
        .value = message->payload ? (struct span){ message->payload, message->len } : SPAN_NULL,
        .message = message,
    };
    bool more = scan->see(scan->owner, &scanned);
    if (message->partition >= scan->partition_count)
        return more;
    if (scan->oldest[message->partition] < 0)
        scan->oldest[message->partition] = scanned.timestamp_us;
    if (scan->ends[message->partition] >= 0)
        end_partition(scan, message->partition, message->offset + 1);
    return more;
}

static bool begin_reading(struct topic_scan *scan, struct buffer *reterr)
{
    scan->left = scan->partition_count;
    for (int i = 0; i < scan->partition_count; i++)
    {
        scan->ended[i] = false;
        scan->ends[i] = scan->oldest[i] = -1;
    }
    scan->open_since_us = 0;
    scan->silent_since_us = monotonic_us();
    rd_kafka_resp_err_t error = rd_kafka_assign(scan->client, scan->starts);
    return error == RD_KAFKA_RESP_ERR_NO_ERROR || fail(reterr, scan->topic, rd_kafka_err2str(error));
}

/* Where a partition was to be begun there is nothing any more: from its beginning. */
static bool begin_again(struct topic_scan *scan, int32_t partition, struct buffer *reterr)
{
    rd_kafka_topic_partition_t *start = rd_kafka_topic_partition_list_find(scan->starts, scan->topic, partition);

    if (!scan->by_positions || start == NULL || start->offset == RD_KAFKA_OFFSET_BEGINNING)
        return fail(reterr, scan->topic, "the log moved on while it was read; try again");
    start->offset = RD_KAFKA_OFFSET_BEGINNING;
    rd_kafka_assign(scan->client, NULL);
    return begin_reading(scan, reterr);
}

enum topic_scan_state topic_scan_step(struct topic_scan *scan, int64_t until_us, topic_scan_fn *see, void *owner,
                                      struct buffer *reterr)
{
    bool more = true;

    scan->see = see;
    scan->owner = owner;
    while (scan->left > 0 && more)
    {
        int64_t now_us = monotonic_us();
        if (now_us >= until_us)
            return TOPIC_SCAN_MORE;
        if (scan->open_us > 0 && scan->open_since_us && now_us - scan->open_since_us > scan->open_us)
            more = fail(reterr, scan->topic,
                        "a transaction on it stays open, which hides what is behind it; try again. If it outlasts its "
                        "timeout: kafka-transactions.sh find-hanging, then abort");
        rd_kafka_message_t *message = more ? rd_kafka_consumer_poll(scan->client, POLL_MS) : NULL;
        if (message == NULL)
        {
            if (more && scan->open_since_us == 0 && now_us - scan->silent_since_us > SILENCE_US)
                more = fail_contact(scan, RD_KAFKA_RESP_ERR__TIMED_OUT, reterr);
            continue;
        }
        scan->silent_since_us = now_us;
        if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
            more = see_message(scan, message);
        else if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
            end_partition(scan, message->partition, message->offset);
        else if (message->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET)
            more = begin_again(scan, message->partition, reterr);
        else if (message->err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
            more = fail(reterr, scan->topic, rd_kafka_err2str(message->err));
        rd_kafka_message_destroy(message);
    }
    if (reterr->size > 0)
        return TOPIC_SCAN_FAILED;
    return scan->left > 0 ? TOPIC_SCAN_MORE : TOPIC_SCAN_END;
}

bool topic_scan_is_held_up(const struct topic_scan *scan)
{
    return scan->open_since_us > 0;
}

static int64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static bool read_ends(const struct topic_scan *scan, int32_t partition, int64_t *ret_low, int64_t *ret_high,
                      struct buffer *reterr)
{
    rd_kafka_resp_err_t error =
        rd_kafka_query_watermark_offsets(scan->client, scan->topic, partition, ret_low, ret_high, ANSWER_MS);
    return error == RD_KAFKA_RESP_ERR_NO_ERROR || fail_contact(scan, error, reterr);
}

/* Whether the log has older records than where the scan began: then nothing of what it was to read is gone. */
static bool has_older(const struct topic_scan *scan, int partition, int64_t low, int64_t high)
{
    int64_t start = scan->starts->elems[partition].offset;
    return start > low || (start == RD_KAFKA_OFFSET_END && high > low);
}

/* Of a partition that still begins with its first record nothing is gone; of another one, what was before its oldest
 * record. The latest of these times is that of the topic. */
static bool find_since(const struct topic_scan *scan, int64_t began_us, int64_t *ret_since_us, struct buffer *reterr)
{
    *ret_since_us = 0;
    for (int32_t i = 0; i < scan->partition_count; i++)
    {
        int64_t low, high;
        if (!read_ends(scan, i, &low, &high, reterr))
            return false;
        bool whole = low == 0 || has_older(scan, i, low, high);
        int64_t since_us = whole ? 0 : scan->oldest[i] < 0 ? began_us : scan->oldest[i];
        *ret_since_us = since_us > *ret_since_us ? since_us : *ret_since_us;
    }
    return true;
}

static int64_t *numbers_for_each(int count)
{
    return calloc((size_t)count + 1, sizeof(int64_t));
}

static bool prepare(struct topic_scan *scan, const struct settings *settings, const struct audit_positions *from,
                    int64_t since_us, struct buffer *reterr)
{
    scan->bootstrap = settings->kafka.bootstrap;
    scan->client = make_client(settings, reterr);
    if (scan->client == NULL)
        return false;
    rd_kafka_poll_set_consumer(scan->client);
    if (!find_starts(scan, from, since_us, reterr))
        return false;
    scan->partition_count = scan->starts->cnt;
    scan->ended = calloc((size_t)scan->partition_count + 1, sizeof(*scan->ended));
    scan->ends = numbers_for_each(scan->partition_count);
    scan->oldest = numbers_for_each(scan->partition_count);
    if (scan->ended == NULL || scan->ends == NULL || scan->oldest == NULL)
        return fail(reterr, scan->topic, "out of memory");
    return begin_reading(scan, reterr);
}

struct topic_scan *topic_scan_open(const struct settings *settings, const char *topic,
                                   const struct audit_positions *from, int64_t since_us, struct buffer *reterr)
{
    struct topic_scan *scan = calloc(1, sizeof(*scan));

    if (scan == NULL)
    {
        fail(reterr, topic, "out of memory");
        return NULL;
    }
    snprintf(scan->topic, sizeof(scan->topic), "%s", topic);
    if (prepare(scan, settings, from, since_us, reterr))
        return scan;
    topic_scan_close(scan);
    return NULL;
}

void topic_scan_close(struct topic_scan *scan)
{
    if (scan == NULL)
        return;
    if (scan->starts)
        rd_kafka_topic_partition_list_destroy(scan->starts);
    clients_destroy(scan->client, DESTROY_US);
    free(scan->ended);
    free(scan->ends);
    free(scan->oldest);
    free(scan);
}

bool topic_scan_all(const struct settings *settings, const char *topic, int64_t from_us, topic_scan_fn *see,
                    void *owner, int64_t *ret_since_us, struct buffer *reterr)
{
    int64_t began_us = now_us();
    struct topic_scan *scan = topic_scan_open(settings, topic, NULL, from_us, reterr);

    if (scan == NULL)
        return false;
    scan->open_us = settings->consumers.transaction_timeout_us + OPEN_SLACK_US;
    /* It ends early only where `see` has had enough. */
    enum topic_scan_state state = topic_scan_step(scan, INT64_MAX, see, owner, reterr);
    bool read = state != TOPIC_SCAN_FAILED && find_since(scan, began_us, ret_since_us, reterr);
    topic_scan_close(scan);
    return read;
}

bool topic_scan_count(const struct settings *settings, const char *topic, int64_t from_us, int64_t *ret,
                      struct buffer *reterr)
{
    struct topic_scan *scan = topic_scan_open(settings, topic, NULL, from_us, reterr);
    bool counted = scan != NULL;

    *ret = 0;
    for (int32_t i = 0; counted && i < scan->partition_count; i++)
    {
        int64_t low, high, start = scan->starts->elems[i].offset;
        counted = read_ends(scan, i, &low, &high, reterr);
        if (counted && start != RD_KAFKA_OFFSET_END)
            *ret += high - (start > low ? start : low);
    }
    topic_scan_close(scan);
    return counted;
}

bool topic_scan_event_id(const struct scanned_message *scanned, struct id *ret)
{
    /* The printers put it second, behind specversion; whatever else stands on the topic is not ours. */
    static const char prefix[] = "{\"specversion\":\"1.0\",\"id\":\"";
    const size_t start = sizeof(prefix) - 1;

    if (scanned->value.at == NULL || scanned->value.size < start + 37 ||
        memcmp(scanned->value.at, prefix, start) != 0 || scanned->value.at[start + 36] != '"')
        return false;
    return id_parse_uuid((struct span){ scanned->value.at + start, 36 }, ret);
}

bool topic_scan_event_time(const struct scanned_message *scanned, int64_t *ret_us)
{
    static const char name[] = ",\"time\":\""; /* within a text the quotes would be escaped */
    struct span left = scanned->value;

    const char *at = left.at ? memmem(left.at, left.size, name, sizeof(name) - 1) : NULL;
    if (at == NULL)
        return false;
    at += sizeof(name) - 1;
    const char *end = memchr(at, '"', (size_t)(left.at + left.size - at));
    return end && parameters_parse_time((struct span){ at, (size_t)(end - at) }, ret_us);
}

bool topic_scan_is_of(const struct scanned_message *scanned, int64_t changed_at_us)
{
    int64_t time_us;
    return topic_scan_event_time(scanned, &time_us) && time_us == changed_at_us;
}

struct span topic_scan_header(const struct scanned_message *scanned, const char *name)
{
    rd_kafka_headers_t *headers;
    const void *value;
    size_t size;

    if (rd_kafka_message_headers(scanned->message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR ||
        rd_kafka_header_get_last(headers, name, &value, &size) != RD_KAFKA_RESP_ERR_NO_ERROR || value == NULL)
        return SPAN_NULL;
    return (struct span){ value, size };
}

bool topic_scan_header_number(const struct scanned_message *scanned, const char *name, int64_t *ret)
{
    struct span text = topic_scan_header(scanned, name);

    if (text.at == NULL || text.size == 0 || text.size > 18)
        return false;
    *ret = 0;
    for (size_t i = 0; i < text.size; i++)
    {
        if (text.at[i] < '0' || text.at[i] > '9')
            return false;
        *ret = *ret * 10 + (text.at[i] - '0');
    }
    return true;
}
