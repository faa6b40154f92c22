#include "consumers/message/dead_letter.h"

#include <stdio.h>

#include "consumers/message/delivery_pool.h"
#include "worker/base/digest.h"
#include "workflows/base/hex.h"
#include "workflows/describe/dead_letter_headers.h"

/* Room for the bytes that librdkafka and the broker add to a message, and for our own headers. */
static const size_t OVERHEAD = 2048;
static const size_t PER_HEADER = 12;

static const char *const own_names[] = { DEAD_LETTER_HEADERS, DEAD_LETTER_CUT_HEADERS };

static bool is_own(struct span name)
{
    for (size_t i = 0; i < sizeof(own_names) / sizeof(*own_names); i++)
        if (span_is(name, own_names[i]))
            return true;
    return false;
}

static bool add(rd_kafka_headers_t *headers, struct span name, struct span value)
{
    return rd_kafka_header_add(headers, name.at, (ssize_t)name.size, value.at, value.at ? (ssize_t)value.size : 0) ==
           RD_KAFKA_RESP_ERR_NO_ERROR;
}

static bool add_text(rd_kafka_headers_t *headers, const char *name, const char *text)
{
    return add(headers, span_of(name), span_of(text));
}

static bool add_number(rd_kafka_headers_t *headers, const char *name, int64_t number)
{
    char text[32];
    snprintf(text, sizeof(text), "%lld", (long long)number);
    return add_text(headers, name, text);
}

static bool add_time(rd_kafka_headers_t *headers, const char *name, int64_t unix_us)
{
    struct buffer text = BUFFER_EMPTY;

    buffer_add_time(&text, unix_us);
    bool added = !buffer_failed(&text) && add(headers, span_of(name), buffer_span(&text));
    buffer_done(&text);
    return added;
}

/* How often it was redriven is counted by who redrives it; a number that is not one counts as none. */
static int64_t redrive_count(const struct delivery *delivery)
{
    struct span text = delivery_header_last(delivery, DEAD_LETTER_REDRIVE_COUNT);
    int64_t count = 0;

    for (size_t i = 0; text.at && i < text.size && i < 9; i++)
    {
        if (text.at[i] < '0' || text.at[i] > '9')
            return 0;
        count = count * 10 + (text.at[i] - '0');
    }
    return count;
}

static bool add_own(rd_kafka_headers_t *headers, const struct delivery *delivery, const char *group)
{
    const struct partition *partition = delivery->partition;

    return add(headers, SPAN_LITERAL(DEAD_LETTER_TOPIC), partition->topic) &&
           add_number(headers, DEAD_LETTER_PARTITION, partition->number) &&
           add_number(headers, DEAD_LETTER_OFFSET, delivery->offset) && add_text(headers, DEAD_LETTER_GROUP, group) &&
           add_text(headers, DEAD_LETTER_MESSAGE, delivery->dead_message) &&
           add_text(headers, DEAD_LETTER_REASON, delivery->dead_reason ? delivery->dead_reason : "unreadable") &&
           add_time(headers, DEAD_LETTER_FIRST_FAILED_AT, delivery->first_failed_us) &&
           add_number(headers, DEAD_LETTER_ATTEMPTS, delivery->attempts + 1) &&
           add_number(headers, DEAD_LETTER_REDRIVE_COUNT, redrive_count(delivery));
}

static bool add_cut(rd_kafka_headers_t *headers, struct span value)
{
    uint8_t digest[DIGEST_SHA256_SIZE];
    char hex[2 * DIGEST_SHA256_SIZE];

    if (!digest_sha256(&value, 1, digest))
        return false;
    hex_print(digest, sizeof(digest), hex);
    return add_text(headers, DEAD_LETTER_TRUNCATED, "true") &&
           add_number(headers, DEAD_LETTER_LENGTH, value.at ? (int64_t)value.size : 0) &&
           add(headers, span_of(DEAD_LETTER_SHA256), (struct span){ hex, sizeof(hex) });
}

/* The message's own headers, whole ones, as far as `budget` bytes reach; *ret_left_out when some did not fit. */
static bool add_original(rd_kafka_headers_t *headers, const struct delivery *delivery, size_t budget,
                         bool *ret_left_out)
{
    struct span name, value;

    for (size_t cursor = 0; delivery_header(delivery, &cursor, &name, &value);)
    {
        size_t size = name.size + value.size + PER_HEADER;
        if (is_own(name))
            continue;
        if (size > budget)
        {
            *ret_left_out = true;
            continue;
        }
        budget -= size;
        if (!add(headers, name, value))
            return false;
    }
    return true;
}

static struct span cut(struct span text, size_t size)
{
    return text.at && text.size > size ? (struct span){ text.at, size } : text;
}

static size_t original_headers_size(const struct delivery *delivery)
{
    struct span name, value;
    size_t size = 0;

    for (size_t cursor = 0; delivery_header(delivery, &cursor, &name, &value);)
        size += name.size + value.size + PER_HEADER;
    return size;
}

bool dead_letter_make(const struct delivery *delivery, const char *group, size_t limit, struct dead_letter *ret)
{
    size_t budget = limit > 2 * OVERHEAD ? limit - OVERHEAD : OVERHEAD;
    size_t headers_size = original_headers_size(delivery);
    bool too_large = delivery->key.size + delivery->value.size + headers_size > budget;

    *ret = (struct dead_letter){ .key = delivery->key, .value = delivery->value, .headers = rd_kafka_headers_new(16) };
    if (ret->headers == NULL)
        return false;
    if (too_large)
    {
        /* A quarter each for key and headers at the most: the value tells most about what went wrong. */
        ret->key = cut(delivery->key, budget / 4);
        size_t for_headers = headers_size > budget / 4 ? budget / 4 : headers_size;
        ret->value = cut(delivery->value, budget - for_headers - ret->key.size);
        budget = for_headers;
    }
    bool left_out = false;
    if (add_original(ret->headers, delivery, too_large ? budget : headers_size, &left_out) &&
        add_own(ret->headers, delivery, group) && (!too_large || add_cut(ret->headers, delivery->value)))
        return true;
    dead_letter_done(ret);
    return false;
}

void dead_letter_done(struct dead_letter *letter)
{
    if (letter->headers)
        rd_kafka_headers_destroy(letter->headers);
    letter->headers = NULL;
}
