/* Any headers of a Kafka message: kept with the message, read back, decoded, and put into a dead letter that must stay
 * below the producer's limit (PROTOCOL R5). The bytes: a limit in two bytes; then headers as {name size, value size or
 * 255 for none, name, value}; a name size of 0 ends them, what follows is the message's value. Seeds:
 * tests/fuzz/corpus/headers. */
#include <stdlib.h>
#include <string.h>

#include <librdkafka/rdkafka.h>

#include "consumers/message/dead_letter.h"
#include "consumers/message/delivery_pool.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum
{
    HEADERS_MAX = 100,
    NO_VALUE = 255,
    LIMIT_LEAST = 5000, /* Interlock's own headers need some room; the producer's limit is never below 64 KiB */
};

struct reader
{
    const uint8_t *at, *end;
};

static bool read_byte(struct reader *reader, uint8_t *ret)
{
    if (reader->at == reader->end)
        return false;
    *ret = *reader->at++;
    return true;
}

static struct span read_span(struct reader *reader, size_t size)
{
    size_t left = (size_t)(reader->end - reader->at);
    struct span span = { (const char *)reader->at, size < left ? size : left };
    reader->at += span.size;
    return span;
}

/* Names are C strings in librdkafka: they end at a NUL. */
static size_t read_headers(struct reader *reader, rd_kafka_headers_t *headers)
{
    size_t count = 0;
    uint8_t name_size, value_size;
    while (count < HEADERS_MAX && read_byte(reader, &name_size) && name_size > 0 && read_byte(reader, &value_size))
    {
        struct span name = read_span(reader, name_size);
        struct span value = value_size == NO_VALUE ? SPAN_NULL : read_span(reader, value_size);
        if (rd_kafka_header_add(headers, name.at, (ssize_t)name.size, value.at, (ssize_t)value.size))
            abort();
        count++;
    }
    return count;
}

static void check_kept(const struct delivery *delivery, const rd_kafka_headers_t *headers, size_t count)
{
    struct span name, value;
    size_t cursor = 0, seen = 0;
    const char *wanted_name;
    const void *wanted_value;
    size_t wanted_size;
    for (; delivery_header(delivery, &cursor, &name, &value); seen++)
        if (rd_kafka_header_get_all(headers, seen, &wanted_name, &wanted_value, &wanted_size) ||
            !span_is(name, wanted_name) || (value.at == NULL) != (wanted_value == NULL) || value.size != wanted_size ||
            (value.size > 0 && memcmp(value.at, wanted_value, value.size) != 0))
            abort();
    if (seen != count)
        abort();
}

static size_t letter_size(const struct dead_letter *letter)
{
    size_t size = letter->key.size + letter->value.size, value_size;
    const char *name;
    const void *value;
    for (size_t i = 0; !rd_kafka_header_get_all(letter->headers, i, &name, &value, &value_size); i++)
        size += strlen(name) + value_size;
    return size;
}

static void check_letter(struct delivery *delivery, size_t limit)
{
    struct dead_letter letter;
    delivery->dead_reason = "not_json";
    if (!dead_letter_make(delivery, "group", limit, &letter))
        abort();
    if (letter_size(&letter) > limit)
        abort();
    dead_letter_done(&letter);
}

static void check_decoded(struct delivery *delivery)
{
    struct arena arena;
    struct command command;
    arena_init(&arena);
    if (delivery_decode(delivery, &arena, &command) == DECODE_DEAD && !delivery->dead_reason)
        abort();
    arena_done(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const struct partition partition = { .topic = { "commands", 8 }, .number = 3 };
    struct reader reader = { bytes, bytes + size };
    uint8_t high = 0, low = 0;
    (void)(read_byte(&reader, &high) && read_byte(&reader, &low));
    rd_kafka_headers_t *headers = rd_kafka_headers_new(8);
    size_t count = read_headers(&reader, headers);
    struct span value = read_span(&reader, size);
    struct delivery_pool *delivery_pool = delivery_pool_new();
    struct delivery *delivery = delivery_pool_copy(delivery_pool, value, value, headers);
    if (!delivery)
        abort();
    delivery->partition = &partition;
    check_kept(delivery, headers, count);
    check_decoded(delivery);
    check_letter(delivery, LIMIT_LEAST + 256U * high + low);
    delivery_pool_give_back(delivery_pool, delivery);
    delivery_pool_free(delivery_pool);
    rd_kafka_headers_destroy(headers);
    return 0;
}
