#include "consumers/message/delivery_pool.h"

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdlib.h>

#include "consumers/message/envelope.h"
#include "workflows/parameters/parameters.h"
#include "workflows/describe/dead_letter_headers.h"

enum
{
    DELIVERY_INLINE = 640, /* bytes of key, value and headers that need no memory of their own: most commands */
    BLOCK_DELIVERIES = 128,
    HEADERS_MAX = 128, /* further ones are left out: nothing reads them, and a message is up to 1 MiB */
};

struct pooled_delivery
{
    struct delivery delivery; /* first: a delivery is found from its delivery */
    char *bytes;              /* `within`, or memory of its own */
    uint32_t size;            /* of key, value and headers, as received */
    char within[DELIVERY_INLINE];
};

struct block
{
    struct block *next;
    struct pooled_delivery delivery_pool[BLOCK_DELIVERIES];
};

struct delivery_pool
{
    struct block *blocks;  /* poll thread */
    struct delivery *free; /* poll thread */

    pthread_mutex_t mutex;
    struct delivery *returned; /* under the mutex */
};

struct delivery_pool *delivery_pool_new(void)
{
    struct delivery_pool *delivery_pool = calloc(1, sizeof(*delivery_pool));
    if (delivery_pool == NULL)
        return NULL;
    pthread_mutex_init(&delivery_pool->mutex, NULL);
    return delivery_pool;
}

void delivery_pool_free(struct delivery_pool *delivery_pool)
{
    if (delivery_pool == NULL)
        return;
    for (struct block *block = delivery_pool->blocks, *next; block; block = next)
    {
        next = block->next;
        free(block);
    }
    pthread_mutex_destroy(&delivery_pool->mutex);
    free(delivery_pool);
}

static struct pooled_delivery *pooled_of(const struct delivery *delivery)
{
    return delivery->message;
}

static bool add_block(struct delivery_pool *delivery_pool)
{
    struct block *block = malloc(sizeof(*block));

    if (block == NULL)
        return false;
    block->next = delivery_pool->blocks;
    delivery_pool->blocks = block;
    for (int i = 0; i < BLOCK_DELIVERIES; i++)
    {
        block->delivery_pool[i].delivery.next = delivery_pool->free;
        delivery_pool->free = &block->delivery_pool[i].delivery;
    }
    return true;
}

static struct pooled_delivery *take_pooled(struct delivery_pool *delivery_pool)
{
    if (delivery_pool->free == NULL)
    {
        pthread_mutex_lock(&delivery_pool->mutex);
        delivery_pool->free = delivery_pool->returned;
        delivery_pool->returned = NULL;
        pthread_mutex_unlock(&delivery_pool->mutex);
    }
    if (delivery_pool->free == NULL && !add_block(delivery_pool))
        return NULL;
    struct delivery *delivery = delivery_pool->free;
    delivery_pool->free = delivery->next;
    return (struct pooled_delivery *)(void *)delivery;
}

/* --- headers: one after another as {name size, value size or -1, name, value} ------------------------------------ */

struct header_mark
{
    uint32_t name_size;
    int32_t value_size;
};

/* Those with which a parked command comes back, in this order. */
static const char *const return_headers[] = { DELIVERY_RETURN_HEADER, DEAD_LETTER_REDRIVE_COUNT,
                                              DELIVERY_UNTRIED_HEADER };

/* They were not among those it was received with. */
static size_t headers_max(const rd_kafka_headers_t *headers)
{
    const char *name;
    const void *value;
    size_t value_size, own = 0;

    while (own < sizeof(return_headers) / sizeof(*return_headers) &&
           !rd_kafka_header_get_all(headers, own, &name, &value, &value_size) && strcmp(name, return_headers[own]) == 0)
        own++;
    return HEADERS_MAX + own;
}

static size_t headers_size(const rd_kafka_headers_t *headers)
{
    const char *name;
    const void *value;
    size_t value_size, size = 0, max = headers_max(headers);

    for (size_t i = 0; i < max && !rd_kafka_header_get_all(headers, i, &name, &value, &value_size); i++)
        size += sizeof(struct header_mark) + strlen(name) + value_size;
    return size;
}

static void copy_headers(const rd_kafka_headers_t *headers, char *into)
{
    const char *name;
    const void *value;
    size_t value_size, max = headers_max(headers);

    for (size_t i = 0; i < max && !rd_kafka_header_get_all(headers, i, &name, &value, &value_size); i++)
    {
        struct header_mark mark = { .name_size = (uint32_t)strlen(name),
                                    .value_size = value ? (int32_t)value_size : -1 };
        memcpy(into, &mark, sizeof(mark));
        into += sizeof(mark);
        memcpy(into, name, mark.name_size);
        into += mark.name_size;
        if (value)
            memcpy(into, value, value_size);
        into += value ? value_size : 0;
    }
}

bool delivery_header_of(struct span headers, size_t *cursor, struct span *ret_name, struct span *ret_value)
{
    struct header_mark mark;
    size_t left = headers.size - *cursor;

    if (left < sizeof(mark))
        return false;
    const char *at = headers.at + *cursor;
    memcpy(&mark, at, sizeof(mark));
    at += sizeof(mark);
    size_t value_size = mark.value_size < 0 ? 0 : (size_t)mark.value_size;
    if (mark.name_size + value_size > left - sizeof(mark))
        return false; /* not what copy_headers wrote */
    *ret_name = (struct span){ at, mark.name_size };
    *ret_value = mark.value_size < 0 ? SPAN_NULL : (struct span){ at + mark.name_size, value_size };
    *cursor += sizeof(mark) + mark.name_size + value_size;
    return true;
}

bool delivery_header(const struct delivery *delivery, size_t *cursor, struct span *ret_name, struct span *ret_value)
{
    return delivery_header_of(delivery->headers, cursor, ret_name, ret_value);
}

struct span delivery_header_last(const struct delivery *delivery, const char *name)
{
    struct span found = SPAN_NULL, header, value;

    for (size_t cursor = 0; delivery_header(delivery, &cursor, &header, &value);)
        if (span_is(header, name))
            found = value;
    return found;
}

/* Every message passes here, and of nearly all of them the first header is another one. */
static enum redriven redriven_of(const struct delivery *delivery)
{
    struct span name, value;
    size_t cursor = 0;

    if (!delivery_header(delivery, &cursor, &name, &value) || !span_is(name, DELIVERY_RETURN_HEADER) ||
        !delivery_header(delivery, &cursor, &name, &value) || !span_is(name, DEAD_LETTER_REDRIVE_COUNT))
        return REDRIVEN_NOT;
    bool untried = delivery_header(delivery, &cursor, &name, &value) && span_is(name, DELIVERY_UNTRIED_HEADER);
    return untried ? REDRIVEN_UNTRIED : REDRIVEN_TRIED;
}

/* --- making ------------------------------------------------------------------------------------------------------ */

/* The last header of the name; one without a value counts as not there. */
static bool source_header(void *owner, const char *name, struct span *ret_value)
{
    *ret_value = delivery_header_last(owner, name);
    return ret_value->at != NULL;
}

static bool source_next_header(void *owner, size_t *cursor, struct span *ret_name, struct span *ret_value)
{
    return delivery_header(owner, cursor, ret_name, ret_value);
}

static struct envelope_source source_of(struct delivery *delivery)
{
    return (struct envelope_source){
        .key = delivery->key,
        .value = delivery->value,
        .header = source_header,
        .next_header = source_next_header,
        .owner = delivery,
    };
}

/* All but the two long texts, which would be a third of this function's time: their first bytes say that they are
 * empty. */
static void clear_delivery(struct delivery *delivery)
{
    memset(delivery, 0, offsetof(struct delivery, event_key));
    delivery->event_key[0] = '\0';
    delivery->dead_reason = NULL;
    delivery->dead_message[0] = '\0';
    delivery->first_failed_us = 0;
    delivery->answer = ANSWER_DROPPED;
}

static void put_back(struct delivery_pool *delivery_pool, struct pooled_delivery *pooled)
{
    pooled->delivery.next = delivery_pool->free;
    delivery_pool->free = &pooled->delivery;
}

struct delivery *delivery_pool_copy(struct delivery_pool *delivery_pool, struct span key, struct span value,
                                    const struct rd_kafka_headers_s *headers)
{
    size_t size = key.size + value.size + (headers ? headers_size(headers) : 0);
    struct pooled_delivery *pooled = take_pooled(delivery_pool);

    if (pooled == NULL)
        return NULL;
    pooled->bytes = size <= DELIVERY_INLINE ? pooled->within : malloc(size);
    if (pooled->bytes == NULL)
    {
        put_back(delivery_pool, pooled);
        return NULL;
    }
    struct delivery *delivery = &pooled->delivery;
    clear_delivery(delivery);
    delivery->message = pooled;
    pooled->size = (uint32_t)size;
    char *value_at = pooled->bytes + key.size;
    if (key.size > 0)
        memcpy(pooled->bytes, key.at, key.size);
    if (value.size > 0)
        memcpy(value_at, value.at, value.size);
    delivery->headers = (struct span){ value_at + value.size, size - key.size - value.size };
    if (headers)
        copy_headers(headers, value_at + value.size);
    delivery->key = key.at ? (struct span){ pooled->bytes, key.size } : SPAN_NULL;
    delivery->value = value.at ? (struct span){ value_at, value.size } : SPAN_NULL;
    delivery->redriven = redriven_of(delivery);
    struct envelope_source source = source_of(delivery);
    delivery->lane_hash = envelope_lane_hash(&source);
    return delivery;
}

struct delivery *delivery_pool_make(struct delivery_pool *delivery_pool, struct rd_kafka_message_s *message,
                                    int64_t now_us)
{
    rd_kafka_headers_t *headers = NULL;
    rd_kafka_timestamp_type_t type;
    int64_t timestamp_ms = rd_kafka_message_timestamp(message, &type);
    struct span key = message->key ? (struct span){ message->key, message->key_len } : SPAN_NULL;
    struct span value = message->payload ? (struct span){ message->payload, message->len } : SPAN_NULL;

    if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR)
        headers = NULL;
    struct delivery *delivery = delivery_pool_copy(delivery_pool, key, value, headers);
    if (delivery == NULL)
        return NULL;
    delivery->offset = message->offset;
    delivery->received_us = now_us;
    delivery->timestamp_us = type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE || timestamp_ms < 0 ? 0 : timestamp_ms * 1000;
    return delivery;
}

void delivery_pool_give_back(struct delivery_pool *delivery_pool, struct delivery *chain)
{
    struct delivery *last = NULL;

    for (struct delivery *delivery = chain; delivery; delivery = delivery->next)
    {
        struct pooled_delivery *pooled = pooled_of(delivery);
        free(delivery->event);
        delivery->event = NULL;
        if (pooled->bytes != pooled->within)
            free(pooled->bytes);
        last = delivery;
    }
    if (last == NULL)
        return;
    pthread_mutex_lock(&delivery_pool->mutex);
    last->next = delivery_pool->returned;
    delivery_pool->returned = chain;
    pthread_mutex_unlock(&delivery_pool->mutex);
}

size_t delivery_size(const struct delivery *delivery)
{
    return pooled_of(delivery)->size;
}

size_t delivery_bytes(const struct delivery *delivery)
{
    return delivery_size(delivery) + delivery->event_size;
}

size_t delivery_room(void)
{
    return sizeof(struct pooled_delivery);
}

enum decode_result delivery_decode(struct delivery *delivery, struct arena *arena, struct command *ret)
{
    struct envelope_source source = source_of(delivery);
    struct span token = delivery_header_last(delivery, DELIVERY_RETURN_HEADER);

    delivery->has_return_token = token.at && id_parse_uuid(token, &delivery->return_token);
    if (delivery->quarantined)
        return DECODE_DEAD;
    return envelope_decode(&source, arena, ret, &delivery->dead_reason, delivery->dead_message,
                           sizeof(delivery->dead_message));
}
