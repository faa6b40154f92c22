#include "consumers/audit_scan.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "consumers/clients.h"
#include "consumers/contact.h"
#include "worker/monotonic.h"
#include "worker/settings.h"
#include "workflows/parameters.h"

static const int64_t DESTROY_US = 3000000;
static const int64_t SILENCE_US = 30000000; /* no message, no end of a partition: the broker is not there */
/* An open transaction hides what others committed behind its beginning. Those of live workers end at once; a dead one's
 * lasts consumers.transaction_timeout, and the broker looks for such ones every 10 s. A takeover does not wait for that
 * here: it asks again, and publishes what else there is meanwhile. */
static const int64_t OPEN_US = 500000;
static const int64_t OPEN_SLACK_US = 20000000;

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
    rd_kafka_resp_err_t error = contact_metadata(client, handle, &metadata, ANSWER_MS);
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
    fail(reterr, topic, "");
    contact_explain(client, error, reterr);
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
    int64_t *ends;         /* by partition, of everything, open transactions too; -1 not known yet */
    int64_t *oldest;       /* by partition, the time of the first record; -1 none came */
    int64_t open_us;       /* how long it waits for open transactions, 0: not at all */
    int64_t open_since_us; /* from when an end was one's beginning; 0: none is */
};

/* Whether what is behind `offset` was not there when the reader came first to such an end. */
static bool is_past_everything(struct scan *scan, int32_t partition, int64_t offset)
{
    int64_t low, high;

    if (scan->open_us == 0)
        return true;
    /* As the last fetch told it. */
    if (scan->ends[partition] < 0 &&
        rd_kafka_get_watermark_offsets(scan->client, scan->topic, partition, &low, &high) == RD_KAFKA_RESP_ERR_NO_ERROR)
        scan->ends[partition] = high;
    bool past = scan->ends[partition] >= 0 && offset >= scan->ends[partition];
    if (!past && scan->open_since_us == 0)
        scan->open_since_us = monotonic_us();
    return past;
}

static void end_partition(struct scan *scan, int32_t partition, int64_t offset)
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
    if (!scan->see(scan->owner, &scanned))
        return false;
    if (message->partition >= scan->partition_count)
        return true;
    if (scan->oldest[message->partition] < 0)
        scan->oldest[message->partition] = scanned.timestamp_us;
    if (scan->ends[message->partition] >= 0)
        end_partition(scan, message->partition, message->offset + 1);
    return true;
}

static bool fail_silent(const struct scan *scan, struct buffer *reterr)
{
    char why[CONTACT_TEXT_MAX];

    return fail(reterr, scan->topic,
                contact_problem(scan->client, why, sizeof(why)) ? why : "no answer from the broker");
}

static bool read_all(struct scan *scan, struct buffer *reterr)
{
    int64_t silent_since_us = monotonic_us();

    while (scan->left > 0)
    {
        if (scan->stop && atomic_load_explicit(scan->stop, memory_order_relaxed))
            return fail(reterr, scan->topic, "stopped");
        if (scan->open_since_us && monotonic_us() - scan->open_since_us > scan->open_us)
            return fail(reterr, scan->topic,
                        "a transaction on it stays open, which hides what is behind it; try again. If it outlasts its "
                        "timeout: kafka-transactions.sh find-hanging, then abort");
        rd_kafka_message_t *message = rd_kafka_consumer_poll(scan->client, POLL_MS);
        if (message == NULL)
        {
            if (scan->open_since_us == 0 && monotonic_us() - silent_since_us > SILENCE_US)
                return fail_silent(scan, reterr);
            continue;
        }
        silent_since_us = monotonic_us();
        bool more = true;
        if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
            more = see_message(scan, message);
        else if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
            end_partition(scan, message->partition, message->offset);
        else if (message->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET)
            more = fail(reterr, scan->topic, "the log moved on while it was read; try again");
        else if (message->err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
            more = fail(reterr, scan->topic, rd_kafka_err2str(message->err));
        rd_kafka_message_destroy(message);
        if (!more)
            return reterr->size == 0;
    }
    return true;
}

static int64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Of a partition that still begins with its first record nothing is gone; of another one, what was before its oldest
 * record. The latest of these times is that of the topic. */
static bool find_since(const struct scan *scan, int64_t began_us, int64_t *ret_since_us, struct buffer *reterr)
{
    *ret_since_us = 0;
    for (int32_t i = 0; i < scan->partition_count; i++)
    {
        int64_t low, high;
        rd_kafka_resp_err_t error =
            rd_kafka_query_watermark_offsets(scan->client, scan->topic, i, &low, &high, ANSWER_MS);
        if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
            return fail(reterr, scan->topic, rd_kafka_err2str(error));
        int64_t since_us = low == 0 ? 0 : scan->oldest[i] < 0 ? began_us : scan->oldest[i];
        *ret_since_us = since_us > *ret_since_us ? since_us : *ret_since_us;
    }
    return true;
}

static bool assign_and_read(struct scan *scan, const rd_kafka_topic_partition_list_t *starts, struct buffer *reterr)
{
    scan->partition_count = scan->left = starts->cnt;
    rd_kafka_resp_err_t error = rd_kafka_assign(scan->client, starts);
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
        return fail(reterr, scan->topic, rd_kafka_err2str(error));
    bool read = read_all(scan, reterr);
    rd_kafka_assign(scan->client, NULL);
    return read;
}

static int64_t *unknown_for_each(int count)
{
    int64_t *each = malloc(((size_t)count + 1) * sizeof(*each));

    for (int i = 0; each && i < count; i++)
        each[i] = -1;
    return each;
}

/* ret_since_us may be NULL. */
static bool run(const struct settings *settings, struct scan *scan, int64_t since_us, int64_t *ret_since_us,
                struct buffer *reterr)
{
    int64_t began_us = now_us();
    scan->client = make_client(settings, reterr);
    if (scan->client == NULL)
        return false;
    rd_kafka_poll_set_consumer(scan->client);
    rd_kafka_topic_partition_list_t *starts = find_starts(scan->client, scan->topic, since_us, reterr);
    bool read = starts != NULL;
    if (starts)
    {
        scan->ended = calloc((size_t)starts->cnt + 1, sizeof(*scan->ended));
        scan->ends = unknown_for_each(starts->cnt);
        scan->oldest = unknown_for_each(starts->cnt);
        if (scan->ended == NULL || scan->ends == NULL || scan->oldest == NULL)
            read = fail(reterr, scan->topic, "out of memory");
        read = read && assign_and_read(scan, starts, reterr) &&
               (ret_since_us == NULL || find_since(scan, began_us, ret_since_us, reterr));
        free(scan->ended);
        free(scan->ends);
        free(scan->oldest);
        rd_kafka_topic_partition_list_destroy(starts);
    }
    clients_destroy(scan->client, DESTROY_US);
    return read;
}

bool audit_scan(const struct settings *settings, const char *topic, int64_t since_us, bool miss_nothing,
                const atomic_bool *stop, audit_scan_fn *see, void *owner, struct buffer *reterr)
{
    struct scan scan = {
        .topic = topic, .stop = stop, .see = see, .owner = owner, .open_us = miss_nothing ? OPEN_US : 0
    };

    return run(settings, &scan, since_us, NULL, reterr);
}

bool audit_scan_all(const struct settings *settings, const char *topic, audit_scan_fn *see, void *owner,
                    int64_t *ret_since_us, struct buffer *reterr)
{
    struct scan scan = { .topic = topic,
                         .see = see,
                         .owner = owner,
                         .open_us = settings->consumers.transaction_timeout_us + OPEN_SLACK_US };

    return run(settings, &scan, 0, ret_since_us, reterr);
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

bool audit_scan_is_of(const struct audit_scanned *scanned, int64_t changed_at_us)
{
    static const char name[] = ",\"time\":\""; /* within a text the quotes would be escaped */
    struct span left = scanned->value;
    int64_t time_us;

    const char *at = left.at ? memmem(left.at, left.size, name, sizeof(name) - 1) : NULL;
    if (at == NULL)
        return false;
    at += sizeof(name) - 1;
    const char *end = memchr(at, '"', (size_t)(left.at + left.size - at));
    return end && parameters_parse_time((struct span){ at, (size_t)(end - at) }, &time_us) && time_us == changed_at_us;
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
