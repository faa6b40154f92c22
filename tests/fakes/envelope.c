#include "tests/fakes/envelope.h"

#include <stdio.h>

#include "tests/fixtures/cmocka.h"

/* --- a registry of three types, so that the tests do not move with the real ones ------------------------------------
 */

static const struct parameter thing_parameters[] = {
    { "thing_id", PARAMETER_ID, offsetof(struct thing, thing_id), 0, 0, 0, NULL, NULL, 0, NULL },
    { "level", PARAMETER_INTEGER, offsetof(struct thing, level), 0, 0, 9, NULL, NULL, 0, NULL },
    { .name = NULL },
};

/* Without an id the aggregate is yet to be drawn; level 9 of thing 13 is wrong across parameters. */
static bool identify_thing(const void *parameters, struct arena *into, struct aggregate *ret, struct span *reterr)
{
    const struct thing *thing = parameters;
    if (thing->thing_id.value == 13 && thing->level.value == 9)
    {
        *reterr = parameters_failure(into, SPAN_LITERAL("/level"), "not for this one");
        return false;
    }
    if (thing->thing_id.set)
        *ret = (struct aggregate){ AGGREGATE_TICKET, id_of(thing->thing_id.value) };
    return true;
}

const struct workflow envelope_change = {
    .type = "thing.change",
    .named = { .kind = AGGREGATE_TICKET, .member = "thing_id" },
    .parameters = thing_parameters,
    .parameters_size = sizeof(struct thing),
    .identify = identify_thing,
};
static const struct workflow bulk = {
    .type = "thing.bulk",
    .named = { .kind = AGGREGATE_TICKET, .member = "thing_id" },
    .parameters = thing_parameters,
    .parameters_size = sizeof(struct thing),
    .flags = WORKFLOW_BULK,
    .identify = identify_thing,
};
static const struct workflow counter = {
    .type = "thing.count",
    .named = { .kind = AGGREGATE_TICKET, .member = "thing_id" },
    .parameters = thing_parameters,
    .parameters_size = sizeof(struct thing),
    .flags = WORKFLOW_COUNTERS,
    .identify = identify_thing,
};

const struct workflow *const workflows[] = { &envelope_change, &bulk, &counter, NULL };

const struct workflow *workflow_find(struct span type)
{
    for (int i = 0; workflows[i]; i++)
    {
        if (span_is(type, workflows[i]->type))
            return workflows[i];
    }
    return NULL;
}

/* --- messages ---------------------------------------------------------------------------------------------------- */

bool envelope_find_header(void *owner, const char *name, struct span *ret_value)
{
    const struct message *message = owner;
    for (int i = 0; message->headers[i].name; i++)
    {
        if (strcmp(message->headers[i].name, name) == 0)
        {
            *ret_value = message->headers[i].value;
            return true;
        }
    }
    return false;
}

bool envelope_next_header(void *owner, size_t *cursor, struct span *ret_name, struct span *ret_value)
{
    const struct header *header = &((const struct message *)owner)->headers[*cursor];
    if (!header->name)
        return false;
    *ret_name = span_of(header->name);
    *ret_value = header->value;
    ++*cursor;
    return true;
}

struct arena envelope_arena;

int envelope_setup(void **state)
{
    (void)state;
    arena_init(&envelope_arena);
    return 0;
}

int envelope_teardown(void **state)
{
    (void)state;
    arena_done(&envelope_arena);
    return 0;
}

struct decoded envelope_decode_message(const struct message *message)
{
    struct message copy = *message;
    struct envelope_source source = { message->key, message->value, envelope_find_header, envelope_next_header, &copy };
    struct decoded decoded = { .dead_reason = "unset", .dead_message = "unset" };
    decoded.result = envelope_decode(&source, &envelope_arena, &decoded.command, &decoded.dead_reason,
                                     decoded.dead_message, sizeof(decoded.dead_message));
    return decoded;
}

struct decoded envelope_decode_text(const char *value)
{
    return envelope_decode_message(&(struct message){ .key = SPAN_LITERAL("ticket/42"), .value = span_of(value) });
}

void assert_dead(const struct decoded *decoded, const char *reason)
{
    assert_int_equal(decoded->result, DECODE_DEAD);
    assert_string_equal(decoded->dead_reason, reason);
    assert_true(decoded->dead_message[0] != '\0');
}

void assert_refused(const struct decoded *decoded, enum reason reason, const char *pointer)
{
    char expected[64];
    assert_int_equal(decoded->result, DECODE_COMMAND);
    assert_null(decoded->dead_reason);
    assert_int_equal(decoded->command.refusal, reason);
    snprintf(expected, sizeof(expected), "{\"parameter\":\"%s\",\"message\":\"", pointer);
    assert_non_null(decoded->command.refusal_metadata.at);
    if (strncmp(decoded->command.refusal_metadata.at, expected, strlen(expected)) != 0)
        fail_msg("%s", decoded->command.refusal_metadata.at);
}

void assert_text_refused(const char *value, const char *pointer)
{
    struct decoded decoded = envelope_decode_text(value);
    assert_refused(&decoded, REASON_INVALID_DATA, pointer);
}

void assert_text_dead(const char *value, const char *reason)
{
    struct decoded decoded = envelope_decode_text(value);
    assert_dead(&decoded, reason);
}

void assert_good(const struct decoded *decoded)
{
    assert_int_equal(decoded->result, DECODE_COMMAND);
    if (decoded->command.refusal != REASON_NONE)
        fail_msg("%s", decoded->command.refusal_metadata.at);
    assert_non_null(decoded->command.parameters);
}

const char envelope_full[] =
    "{\"specversion\":\"1.0\",\"id\":\"c-1\",\"source\":\"/helpdesk\",\"type\":\"thing.change\","
    "\"subject\":\"ticket/42\",\"time\":\"2026-11-24T09:00:00.000Z\",\"datacontenttype\":"
    "\"application/json\",\"partitionkey\":\"ticket/42\",\"correlationid\":\"c-17\",\"causationid\":\"c-0\","
    "\"traceparent\":\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\",\"actor\":\"user/9\","
    "\"tenant\":\"acme\",\"expectedversion\":3,\"notbefore\":\"2026-11-24T10:00:00Z\","
    "\"data\":{\"thing_id\":42,\"level\":7}}";

struct message envelope_binary(const char *data)
{
    return (struct message){
        .key = SPAN_LITERAL("ticket/42"),
        .value = span_of(data),
        .headers = { { "content-type", SPAN_LITERAL("application/json") },
                     { "ce_specversion", SPAN_LITERAL("1.0") },
                     { "ce_id", SPAN_LITERAL("c-1") },
                     { "ce_source", SPAN_LITERAL("/helpdesk") },
                     { "ce_type", SPAN_LITERAL("thing.change") },
                     { "ce_subject", SPAN_LITERAL("ticket/42") },
                     { "ce_time", SPAN_LITERAL("2026-11-24T09:00:00.000Z") },
                     { "ce_correlationid", SPAN_LITERAL("c-17") },
                     { "ce_causationid", SPAN_LITERAL("c-0") },
                     { "ce_traceparent", SPAN_LITERAL("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01") },
                     { "ce_actor", SPAN_LITERAL("user/9") },
                     { "ce_tenant", SPAN_LITERAL("acme") },
                     { "ce_expectedversion", SPAN_LITERAL("3") },
                     { "ce_notbefore", SPAN_LITERAL("2026-11-24T10:00:00Z") } },
    };
}

void envelope_set_header(struct message *message, const char *name, struct span value)
{
    int i = 0;
    while (message->headers[i].name && strcmp(message->headers[i].name, name) != 0)
        i++;
    assert_true(i < 15);
    message->headers[i] = (struct header){ name, value };
}

void envelope_drop_header(struct message *message, const char *name)
{
    int kept = 0;
    for (int i = 0; message->headers[i].name; i++)
    {
        if (strcmp(message->headers[i].name, name) != 0)
            message->headers[kept++] = message->headers[i];
    }
    message->headers[kept] = (struct header){ NULL, SPAN_NULL };
}
