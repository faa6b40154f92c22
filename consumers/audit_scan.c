#include "consumers/audit_scan.h"

#include <stdlib.h>

#include "consumers/clients.h"
#include "worker/monotonic.h"
#include "worker/settings.h"
#include "workflows/parameters.h"

static const int64_t DESTROY_US = 3000000;
static const int64_t SILENCE_US = 30000000; /* no message, no end of a partition: the broker is not there */

enum
{
    ANSWER_MS = 10000,
    POLL_MS = 100,
};

static bool fail(struct buffer *reterr, const char *topic, const char *what)
{
    buffer_add_text(reterr, topic);
    buffer_add_text(reterr, ": ");
    buffer_add_text(reterr, what);
    return false;
}

static rd_kafka_t *make_client(const struct settings *settings, struct buffer *reterr)
{
    rd_kafka_conf_t *conf = clients_conf(settings, CLIENT_READER, reterr);

    /* The end of a partition is told by an event: transaction markers stand behind its last message, so that no
     * offset of a message says it. */
    if (conf && clients_set(conf, "enable.partition.eof", "true", reterr) &&
        clients_set(conf, "fetch.wait.max.ms", "10", reterr)) /* how long the broker keeps the end to itself */
        return clients_new(CLIENT_READER, conf, reterr);
    if (conf)
        rd_kafka_conf_destroy(conf);
    return NULL;
}

/* Every partition of the topic with the offset to begin at; NULL with a message. */
static rd_kafka_topic_partition_list_t *find_starts(rd_kafka_t *client, const char *topic, int64_t since_us,
                                                    struct buffer *reterr)
{
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_topic_t *handle = rd_kafka_topic_new(client, topic, NULL);
    rd_kafka_resp_err_t error = rd_kafka_metadata(client, 0, handle, &metadata, ANSWER_MS);
    rd_kafka_topic_partition_list_t *starts = NULL;

    rd_kafka_topic_destroy(handle);
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR)
        error = metadata->topic_cnt == 1 ? metadata->topics[0].err : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR)
    {
        starts = rd_kafka_topic_partition_list_new(metadata->topics[0].partition_cnt);
        for (int i = 0; i < metadata->topics[0].partition_cnt; i++)
            rd_kafka_topic_partition_list_add(starts, topic, metadata->topics[0].partitions[i].id)->offset =
                since_us > 0 ? since_us / 1000 : RD_KAFKA_OFFSET_BEGINNING;
        if (since_us > 0)
            error = rd_kafka_offsets_for_times(client, starts, ANSWER_MS);
    }
    if (metadata)
        rd_kafka_metadata_destroy(metadata);
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR)
        return starts;
    if (starts)
        rd_kafka_topic_partition_list_destroy(starts);
    fail(reterr, topic, rd_kafka_err2str(error));
    return NULL;
}

struct scan
{
    rd_kafka_t *client;
    const char *topic;
    const atomic_bool *stop;
    audit_scan_fn *see;
    void *owner;
    bool *ended; /* by partition */
    int partition_count, left;
};

static void end_partition(struct scan *scan, int32_t partition)
{
    if (partition < 0 || partition >= scan->partition_count || scan->ended[partition])
        return;
    scan->ended[partition] = true;
    scan->left--;
}

/* True: go on. */
static bool see_message(struct scan *scan, rd_kafka_message_t *message)
{
    rd_kafka_timestamp_type_t type;
    int64_t timestamp_ms = rd_kafka_message_timestamp(message, &type);
    struct audit_scanned scanned = {
        .partition = message->partition,
        .offset = message->offset,
        .timestamp_us = timestamp_ms < 0 ? -1 : timestamp_ms * 1000,
        .key = message->key ? (struct span){ message->key, message->key_len } : SPAN_NULL,
        .value = message->payload ? (struct span){ message->payload, message->len } : SPAN_NULL,
        .message = message,
    };
    return scan->see(scan->owner, &scanned);
}

static bool read_all(struct scan *scan, struct buffer *reterr)
{
    int64_t silent_since_us = monotonic_us();

    while (scan->left > 0)
    {
        if (scan->stop && atomic_load_explicit(scan->stop, memory_order_relaxed))
            return fail(reterr, scan->topic, "stopped");
        rd_kafka_message_t *message = rd_kafka_consumer_poll(scan->client, POLL_MS);
        if (message == NULL)
        {
            if (monotonic_us() - silent_since_us > SILENCE_US)
                return fail(reterr, scan->topic, "no answer from the broker");
            continue;
        }
        silent_since_us = monotonic_us();
        bool more = true;
        if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
            more = see_message(scan, message);
        else if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
            end_partition(scan, message->partition);
        else if (message->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET)
            more = fail(reterr, scan->topic, "the log moved on while it was read; try again");
        rd_kafka_message_destroy(message);
        if (!more)
            return reterr->size == 0;
    }
    return true;
}

bool audit_scan(const struct settings *settings, const char *topic, int64_t since_us, const atomic_bool *stop,
                audit_scan_fn *see, void *owner, struct buffer *reterr)
{
    rd_kafka_t *client = make_client(settings, reterr);
    if (client == NULL)
        return false;
    rd_kafka_poll_set_consumer(client);
    rd_kafka_topic_partition_list_t *starts = find_starts(client, topic, since_us, reterr);
    bool read = false;
    if (starts)
    {
        struct scan scan = { .client = client,
                             .topic = topic,
                             .stop = stop,
                             .see = see,
                             .owner = owner,
                             .ended = calloc((size_t)starts->cnt + 1, sizeof(bool)),
                             .partition_count = starts->cnt,
                             .left = starts->cnt };
        rd_kafka_resp_err_t error = rd_kafka_assign(client, starts);
        if (error != RD_KAFKA_RESP_ERR_NO_ERROR || scan.ended == NULL)
            fail(reterr, topic, rd_kafka_err2str(error));
        else
            read = read_all(&scan, reterr);
        free(scan.ended);
        rd_kafka_assign(client, NULL);
        rd_kafka_topic_partition_list_destroy(starts);
    }
    clients_destroy(client, DESTROY_US);
    return read;
}

bool audit_scan_event_id(const struct audit_scanned *scanned, struct id *ret)
{
    /* The printers put it second, behind specversion; whatever else stands on the topic is not ours. */
    static const char prefix[] = "{\"specversion\":\"1.0\",\"id\":\"";
    const size_t start = sizeof(prefix) - 1;

    if (scanned->value.at == NULL || scanned->value.size < start + 37 ||
        memcmp(scanned->value.at, prefix, start) != 0 || scanned->value.at[start + 36] != '"')
        return false;
    return parameters_parse_uuid((struct span){ scanned->value.at + start, 36 }, ret);
}

struct span audit_scan_header(const struct audit_scanned *scanned, const char *name)
{
    rd_kafka_headers_t *headers;
    const void *value;
    size_t size;

    if (rd_kafka_message_headers(scanned->message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR ||
        rd_kafka_header_get_last(headers, name, &value, &size) != RD_KAFKA_RESP_ERR_NO_ERROR || value == NULL)
        return SPAN_NULL;
    return (struct span){ value, size };
}

bool audit_scan_header_number(const struct audit_scanned *scanned, const char *name, int64_t *ret)
{
    struct span text = audit_scan_header(scanned, name);

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
