/* Any message: headers, key and value. The bytes are lines "name: value" for headers (a line "key: ..." is the Kafka
 * key), an empty line, then the value; without an empty line all of it is the value. Seeds: tests/fuzz/corpus/envelope.
 */
#include <stdlib.h>

#include "consumers/message/envelope.h"
#include "workflows/workflow.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum
{
    HEADERS_MAX = 32,
};

struct message
{
    struct span names[HEADERS_MAX], values[HEADERS_MAX];
    int count;
};

static bool find_header(void *owner, const char *name, struct span *ret_value)
{
    const struct message *message = owner;
    for (int i = 0; i < message->count; i++)
    {
        if (span_is(message->names[i], name))
        {
            *ret_value = message->values[i];
            return true;
        }
    }
    return false;
}

static bool next_header(void *owner, size_t *cursor, struct span *ret_name, struct span *ret_value)
{
    const struct message *message = owner;
    if (*cursor >= (size_t)message->count)
        return false;
    *ret_name = message->names[*cursor];
    *ret_value = message->values[(*cursor)++];
    return true;
}

/* Returns the bytes after the headers. */
static struct span split(struct span text, struct message *ret, struct span *ret_key)
{
    struct span rest = text;
    while (rest.size > 0 && ret->count < HEADERS_MAX)
    {
        const char *end = memchr(rest.at, '\n', rest.size);
        if (!end)
            break;
        struct span line = { rest.at, (size_t)(end - rest.at) };
        rest = (struct span){ end + 1, rest.size - line.size - 1 };
        if (line.size == 0)
            return rest;
        const char *colon = memchr(line.at, ':', line.size);
        if (!colon)
            break;
        struct span name = { line.at, (size_t)(colon - line.at) };
        struct span value = { colon + 1, line.size - name.size - 1 };
        if (value.size > 0 && value.at[0] == ' ')
            value = (struct span){ value.at + 1, value.size - 1 };
        if (span_is(name, "key"))
        {
            *ret_key = value;
            continue;
        }
        ret->names[ret->count] = name;
        ret->values[ret->count++] = value;
    }
    ret->count = 0;
    *ret_key = SPAN_NULL;
    return text;
}

static void check(const struct command *command)
{
    if (command->id.size == 0 || command->id.size > COMMAND_ID_MAX || command->source.size == 0 ||
        command->source.size > COMMAND_ID_MAX || command->type.size == 0 || command->correlationid.size > 128 ||
        command->actor.size > 128 || command->traceparent.size > 128)
        abort();
    if (command->refusal == REASON_NONE && (!command->workflow || !command->parameters || !command->data))
        abort();
    if (command->refusal != REASON_NONE && (!command->refusal_metadata.at || command->refusal_metadata.size > 4096))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct arena arena;
    struct command command;
    const char *dead_reason;
    char dead_message[160];
    struct message message = { .count = 0 };
    struct envelope_source source = { .header = find_header, .next_header = next_header, .owner = &message };
    source.value = split((struct span){ (const char *)bytes, size }, &message, &source.key);
    arena_init(&arena);
    enum decode_result result =
        envelope_decode(&source, &arena, &command, &dead_reason, dead_message, sizeof(dead_message));
    if (result == DECODE_COMMAND)
        check(&command);
    else if (result == DECODE_DEAD && (!dead_reason || !dead_message[0]))
        abort();
    if (envelope_lane_hash(&source) != envelope_lane_hash(&source))
        abort();
    arena_done(&arena);
    return 0;
}
