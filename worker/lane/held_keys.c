#include "worker/lane/held_keys.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "workflows/base/utf8.h"

void held_keys_clear(struct held_keys *held)
{
    held->keys = 0;
    held->oldest_us = 0;
    held->shown = 0;
}

struct held_key *held_keys_place(struct held_keys *held, int64_t since_us)
{
    int at = held->shown;

    held->keys++;
    if (held->oldest_us == 0 || since_us < held->oldest_us)
        held->oldest_us = since_us;
    while (at > 0 && since_us < held->longest[at - 1].since_us)
        at--;
    if (at == HELD_KEYS_SHOWN)
        return NULL;
    int behind = (held->shown < HELD_KEYS_SHOWN ? held->shown : HELD_KEYS_SHOWN - 1) - at;
    struct held_key *place = &held->longest[at];
    assert(at + behind < HELD_KEYS_SHOWN);
    memmove(place + 1, place, (size_t)behind * sizeof(*place));
    held->shown += held->shown < HELD_KEYS_SHOWN;
    memset(place, 0, sizeof(*place));
    place->since_us = since_us;
    return place;
}

/* A key may be any bytes, and PostgreSQL's words are cut to a length: only whole letters go out, for JSON's sake. */
static void copy_text(char *into, size_t into_size, const char *text, size_t size)
{
    static const char more[] = "...";
    size_t end = 0, keep = into_size - sizeof(more);

    for (size_t i = 0; i < size && text[i];)
    {
        const unsigned char *letter = (const unsigned char *)text + i;
        size_t step = *letter < 0x80 ? 1 : utf8_measure((const char *)letter, size - i);
        if (end + (step > 0 ? step : 1) > keep)
        {
            memcpy(into + end, more, sizeof(more));
            return;
        }
        if (step > 0)
            memcpy(into + end, letter, step);
        else
            into[end] = '?';
        end += step > 0 ? step : 1;
        i += step > 0 ? step : 1;
    }
    into[end] = '\0';
}

void held_keys_describe(struct held_key *copy, const struct delivery *delivery, const char *lane, const char *reason)
{
    const struct span topic = delivery->partition->topic;

    copy->offset = delivery->offset;
    copy->partition = delivery->partition->number;
    copy->attempts = delivery->attempts;
    snprintf(copy->lane, sizeof(copy->lane), "%s", lane);
    copy_text(copy->topic, sizeof(copy->topic), topic.at ? topic.at : "", topic.size);
    if (delivery->key.at)
        copy_text(copy->key, sizeof(copy->key), delivery->key.at, delivery->key.size);
    else
        snprintf(copy->key, sizeof(copy->key), "#%016llx", (unsigned long long)delivery->lane_hash);
    copy_text(copy->reason, sizeof(copy->reason), reason, strlen(reason));
}

void held_keys_merge(struct held_keys *into, const struct held_keys *from)
{
    int64_t keys = into->keys + from->keys;

    for (int i = 0; i < from->shown; i++)
    {
        struct held_key *place = held_keys_place(into, from->longest[i].since_us);
        if (place)
            *place = from->longest[i];
    }
    into->keys = keys;
    assert(into->shown <= into->keys);
}

static void add_seconds(struct buffer *json, const char *name, int64_t us)
{
    char text[64];
    int64_t ms = us < 0 ? 0 : us / 1000;

    snprintf(text, sizeof(text), ",\"%s\":%lld.%03lld", name, (long long)(ms / 1000), (long long)(ms % 1000));
    buffer_add_text(json, text);
}

static void add_number(struct buffer *json, const char *name, int64_t value)
{
    buffer_add_text(json, name);
    buffer_add_int64(json, value);
}

static void print_key(const struct held_key *copy, int64_t now_us, struct buffer *json)
{
    buffer_add_text(json, "{\"key\":");
    buffer_add_json_string(json, span_of(copy->key));
    buffer_add_text(json, ",\"lane\":");
    buffer_add_json_string(json, span_of(copy->lane));
    buffer_add_text(json, ",\"topic\":");
    buffer_add_json_string(json, span_of(copy->topic));
    add_number(json, ",\"partition\":", copy->partition);
    add_number(json, ",\"offset\":", copy->offset);
    buffer_add_text(json, ",\"reason\":");
    buffer_add_json_string(json, span_of(copy->reason));
    add_number(json, ",\"attempts\":", copy->attempts);
    add_number(json, ",\"commands\":", copy->commands);
    add_seconds(json, "held_s", now_us - copy->since_us);
    add_seconds(json, "next_try_s", copy->next_us - now_us);
    buffer_add_byte(json, '}');
}

void held_keys_print(const struct held_keys *held, int64_t now_us, struct buffer *json)
{
    add_number(json, "{\"keys\":", held->keys);
    add_seconds(json, "oldest_s", held->oldest_us > 0 ? now_us - held->oldest_us : 0);
    buffer_add_text(json, ",\"longest\":[");
    for (int i = 0; i < held->shown; i++)
    {
        if (i > 0)
            buffer_add_byte(json, ',');
        print_key(&held->longest[i], now_us, json);
    }
    buffer_add_text(json, "]}");
}
