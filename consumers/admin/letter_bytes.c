#include "consumers/admin/letter_bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumers/kafka/clients.h"
#include "consumers/kafka/contact.h"
#include "consumers/message/delivery_pool.h"
#include "consumers/takeover/topic_scan.h"
#include "worker/base/clock.h"
#include "worker/settings/settings.h"
#include "workflows/describe/dead_letter_headers.h"

static const int64_t SILENCE_US = 20000000;
static const int64_t DESTROY_US = 3000000;
static const int64_t DLQ_SLACK_US = 86400000000; /* between the clocks of PostgreSQL and of the broker */

enum
{
    POLL_MS = 100,
    READ_ON_MAX = 1000, /* messages between two letters that are read over; past that it is a seek */
};

struct reading
{
    const struct settings *settings;
    struct delivery_pool *pool;
    struct letter_bytes *letters;
    int count, missing;
    size_t bytes, bytes_max;
    struct buffer *reterr;

    rd_kafka_t *client;
    char topic[TOPIC_NAME_MAX + 1]; /* the present assignment; "": none */
    int32_t partition;
    int64_t next; /* the lowest offset that may come */
};

static bool fail(struct reading *reading, const char *topic, const char *what)
{
    buffer_add_text(reading->reterr, topic);
    buffer_add_text(reading->reterr, ": ");
    buffer_add_text(reading->reterr, what);
    return false;
}

/* --- the command topics ------------------------------------------------------------------------------------------ */

static bool open_client(struct reading *reading)
{
    rd_kafka_conf_t *conf = clients_conf(reading->settings, CLIENT_READER, reading->reterr);

    if (conf && clients_set(conf, "enable.partition.eof", "true", reading->reterr) &&
        clients_set(conf, "fetch.wait.max.ms", "10", reading->reterr))
    {
        reading->client = clients_new(CLIENT_READER, conf, reading->reterr);
        if (reading->client)
            rd_kafka_poll_set_consumer(reading->client);
    }
    else if (conf)
        rd_kafka_conf_destroy(conf);
    return reading->client != NULL;
}

static bool seek(struct reading *reading, const struct letter_bytes *letter)
{
    if (strcmp(reading->topic, letter->topic) == 0 && reading->partition == letter->partition &&
        letter->offset >= reading->next && letter->offset - reading->next < READ_ON_MAX)
        return true;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, letter->topic, letter->partition)->offset = letter->offset;
    rd_kafka_resp_err_t error = rd_kafka_assign(reading->client, list);
    rd_kafka_topic_partition_list_destroy(list);
    snprintf(reading->topic, sizeof(reading->topic), "%s", letter->topic);
    reading->partition = letter->partition;
    reading->next = letter->offset;
    return error == RD_KAFKA_RESP_ERR_NO_ERROR || fail(reading, letter->topic, rd_kafka_err2str(error));
}

static bool is_same(const struct letter_bytes *letter, struct span value)
{
    uint8_t digest[DIGEST_SHA256_SIZE];
    return digest_sha256(&value, 1, digest) && memcmp(digest, letter->digest, sizeof(digest)) == 0;
}

static bool keep(struct reading *reading, struct letter_bytes *letter, rd_kafka_message_t *message,
                 enum letter_place place)
{
    letter->delivery = delivery_pool_make(reading->pool, message, monotonic_us());
    if (letter->delivery == NULL)
        return fail(reading, letter->topic, "out of memory");
    letter->place = place;
    reading->bytes += delivery_size(letter->delivery);
    return true;
}

/* One message; true: the letter is found, or is not there. */
static bool see_message(struct reading *reading, struct letter_bytes *letter, rd_kafka_message_t *message)
{
    struct span value = message->payload ? (struct span){ message->payload, message->len } : SPAN_NULL;

    if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
    {
        reading->topic[0] = '\0'; /* it is not told a second time */
        return true;
    }
    if (message->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET || message->err == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE ||
        message->err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || message->err == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC ||
        message->err == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION)
    {
        reading->topic[0] = '\0';
        return true;
    }
    if (message->err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
        return fail(reading, letter->topic, rd_kafka_err2str(message->err)) || true;
    /* One of an earlier assignment, or before the letter. */
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR || message->partition != letter->partition ||
        strcmp(rd_kafka_topic_name(message->rkt), letter->topic) != 0 || message->offset < letter->offset)
        return false;
    reading->next = message->offset + 1;
    if (message->offset == letter->offset && is_same(letter, value))
        (void)keep(reading, letter, message, LETTER_IN_COMMANDS);
    else if (message->offset > letter->offset)
        reading->topic[0] = '\0'; /* the next letter may be this message */
    return true;
}

static bool find_in_commands(struct reading *reading, struct letter_bytes *letter)
{
    int64_t silent_since_us = monotonic_us();
    bool ended = false;

    if (!seek(reading, letter))
        return false;
    while (!ended)
    {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(reading->client, POLL_MS);
        if (message)
        {
            silent_since_us = monotonic_us();
            ended = see_message(reading, letter, message);
            rd_kafka_message_destroy(message);
        }
        else if (monotonic_us() - silent_since_us > SILENCE_US)
        {
            char why[CONTACT_TEXT_MAX];
            return fail(reading, letter->topic,
                        contact_problem(reading->client, why, sizeof(why)) ? why : "no answer from the broker");
        }
    }
    return reading->reterr->size == 0;
}

/* --- the dead letters -------------------------------------------------------------------------------------------- */

static bool is_of(const struct letter_bytes *letter, const struct scanned_message *scanned, int64_t partition,
                  int64_t offset)
{
    return letter->delivery == NULL && letter->offset == offset && letter->partition == partition &&
           span_is(topic_scan_header(scanned, DEAD_LETTER_TOPIC), letter->topic);
}

static bool see_letter(void *owner, const struct scanned_message *scanned)
{
    struct reading *reading = owner;
    int64_t partition, offset;

    if (!topic_scan_header_number(scanned, DEAD_LETTER_PARTITION, &partition) ||
        !topic_scan_header_number(scanned, DEAD_LETTER_OFFSET, &offset))
        return true;
    for (int i = 0; i < reading->count; i++)
    {
        struct letter_bytes *letter = &reading->letters[i];
        if (!is_of(letter, scanned, partition, offset))
            continue;
        bool cut = span_is(topic_scan_header(scanned, DEAD_LETTER_TRUNCATED), "true");
        if (!cut && !is_same(letter, scanned->value))
            continue; /* of a former topic of the name */
        letter->dlq_partition = scanned->partition;
        letter->dlq_offset = scanned->offset;
        if (!keep(reading, letter, scanned->message, cut ? LETTER_CUT : LETTER_IN_DLQ))
            return false;
        reading->missing--;
    }
    return reading->missing > 0 && reading->bytes <= reading->bytes_max;
}

/* Those of one topic that are missing, in one scan of its dead letters. */
static bool find_in_dlq(struct reading *reading, const char *topic)
{
    char name[2 * TOPIC_NAME_MAX];
    int64_t since_us = INT64_MAX;

    for (int i = 0; i < reading->count; i++)
        if (reading->letters[i].delivery == NULL && strcmp(reading->letters[i].topic, topic) == 0 &&
            reading->letters[i].failed_us < since_us)
            since_us = reading->letters[i].failed_us;
    snprintf(name, sizeof(name), "%s%s", topic, reading->settings->kafka.dlq_suffix);
    since_us = since_us > DLQ_SLACK_US ? since_us - DLQ_SLACK_US : 0;
    struct topic_scan *scan = topic_scan_open(reading->settings, name, NULL, since_us, reading->reterr);
    if (scan == NULL)
        return false;
    enum topic_scan_state state =
        topic_scan_step(scan, monotonic_us() + SILENCE_US * 30, see_letter, reading, reading->reterr);
    topic_scan_close(scan);
    return state != TOPIC_SCAN_FAILED;
}

static bool find_all_in_dlq(struct reading *reading)
{
    const char *done = "";

    for (int i = 0; i < reading->count; i++)
        reading->missing += reading->letters[i].delivery == NULL;
    for (int i = 0; i < reading->count && reading->missing > 0; i++)
    {
        if (reading->letters[i].delivery || strcmp(reading->letters[i].topic, done) == 0)
            continue;
        done = reading->letters[i].topic;
        if (!find_in_dlq(reading, done))
            return false;
    }
    return true;
}

bool letter_bytes_read(const struct settings *settings, struct delivery_pool *pool, struct letter_bytes *letters,
                       int count, size_t bytes_max, bool *ret_full, struct buffer *reterr)
{
    struct reading reading = {
        .settings = settings,
        .pool = pool,
        .letters = letters,
        .count = count,
        .bytes_max = bytes_max,
        .reterr = reterr,
    };
    bool good = open_client(&reading);

    for (int i = 0; i < count; i++)
    {
        letters[i].place = LETTER_NOWHERE;
        letters[i].delivery = NULL;
    }
    for (int i = 0; i < count && good && reading.bytes <= bytes_max; i++)
        good = find_in_commands(&reading, &letters[i]);
    clients_destroy(reading.client, DESTROY_US);
    good = good && (reading.bytes > bytes_max || find_all_in_dlq(&reading));
    *ret_full = reading.bytes > bytes_max;
    return good;
}

/* --- on the way back --------------------------------------------------------------------------------------------- */

static bool starts_with(struct span name, const char *prefix)
{
    return name.size >= strlen(prefix) && memcmp(name.at, prefix, strlen(prefix)) == 0;
}

static void add_text_header(rd_kafka_headers_t *headers, const char *name, const char *value)
{
    rd_kafka_header_add(headers, name, -1, value, -1);
}

/* A member in front of the object's others: where there is one of the name already, the copy has it twice and cannot be
 * read, which is said. */
static void add_causation(struct buffer *into, struct span value, const char *causation)
{
    const char *brace = memchr(value.at, '{', value.size);
    size_t before = brace ? (size_t)(brace + 1 - value.at) : 0;

    buffer_add(into, value.at, before);
    if (brace)
    {
        buffer_add_text(into, "\"causationid\":");
        buffer_add_json_string(into, span_of(causation));
        buffer_add_byte(into, ',');
    }
    buffer_add(into, value.at + before, value.size - before);
}

struct delivery *letter_bytes_returned(struct delivery_pool *pool, const struct delivery *original, struct span value,
                                       const char *causation, int redrives, bool untried)
{
    rd_kafka_headers_t *headers = rd_kafka_headers_new(16);
    bool binary = delivery_header_last(original, "ce_specversion").at != NULL;
    struct buffer edited = BUFFER_EMPTY;
    struct span name, text;
    char number[16];

    snprintf(number, sizeof(number), "%d", redrives);
    add_text_header(headers, DEAD_LETTER_REDRIVE_COUNT, number);
    if (untried)
        add_text_header(headers, DELIVERY_UNTRIED_HEADER, "true");
    for (size_t cursor = 0; delivery_header(original, &cursor, &name, &text);)
        if (!starts_with(name, "interlock.") && !starts_with(name, "__dlq.") &&
            !(causation && span_is(name, "ce_causationid")))
            rd_kafka_header_add(headers, name.at, (ssize_t)name.size, text.at, text.at ? (ssize_t)text.size : 0);
    if (causation && binary)
        add_text_header(headers, "ce_causationid", causation);
    else if (causation && value.at)
        add_causation(&edited, value, causation);
    if (value.at == NULL)
        value = original->value;
    else if (edited.size > 0)
        value = buffer_span(&edited);
    struct delivery *made = buffer_failed(&edited) ? NULL : delivery_pool_copy(pool, original->key, value, headers);
    if (made)
        made->offset = original->offset;
    rd_kafka_headers_destroy(headers);
    buffer_done(&edited);
    return made;
}
