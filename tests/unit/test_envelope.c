#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <openssl/evp.h>

#include "consumers/envelope.h"
#include "workflows/workflow.h"

/* --- a registry of three types, so that the tests do not move with the real ones ------------------------------------
 */

struct thing
{
    struct field_int thing_id, level;
};

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

static const struct workflow change = {
    .type = "thing.change",
    .parameters = thing_parameters,
    .parameters_size = sizeof(struct thing),
    .identify = identify_thing,
};
static const struct workflow bulk = {
    .type = "thing.bulk",
    .parameters = thing_parameters,
    .parameters_size = sizeof(struct thing),
    .flags = WORKFLOW_BULK,
    .identify = identify_thing,
};
static const struct workflow counter = {
    .type = "thing.count",
    .parameters = thing_parameters,
    .parameters_size = sizeof(struct thing),
    .flags = WORKFLOW_COUNTERS,
    .identify = identify_thing,
};

const struct workflow *const workflows[] = { &change, &bulk, &counter, NULL };

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

struct header
{
    const char *name;
    struct span value;
};

struct message
{
    struct span key, value;
    struct header headers[16]; /* ends with name NULL */
};

static bool find_header(void *owner, const char *name, struct span *ret_value)
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

struct decoded
{
    enum decode_result result;
    struct command command;
    const char *dead_reason;
    char dead_message[160];
};

static struct arena arena;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_done(&arena);
    return 0;
}

static struct decoded decode(const struct message *message)
{
    struct message copy = *message;
    struct envelope_source source = { message->key, message->value, find_header, &copy };
    struct decoded decoded = { .dead_reason = "unset", .dead_message = "unset" };
    decoded.result = envelope_decode(&source, &arena, &decoded.command, &decoded.dead_reason, decoded.dead_message,
                                     sizeof decoded.dead_message);
    return decoded;
}

static struct decoded decode_text(const char *value)
{
    return decode(&(struct message){ .key = SPAN_LITERAL("ticket/42"), .value = span_of(value) });
}

#define HEAD "{\"specversion\":\"1.0\",\"id\":\"c-1\",\"source\":\"/helpdesk\",\"type\":\"thing.change\""
#define DATA ",\"data\":{\"thing_id\":42}}"

static void assert_dead(const struct decoded *decoded, const char *reason)
{
    assert_int_equal(decoded->result, DECODE_DEAD);
    assert_string_equal(decoded->dead_reason, reason);
    assert_true(decoded->dead_message[0] != '\0');
}

static void assert_refused(const struct decoded *decoded, enum reason reason, const char *pointer)
{
    char expected[64];
    assert_int_equal(decoded->result, DECODE_COMMAND);
    assert_null(decoded->dead_reason);
    assert_int_equal(decoded->command.refusal, reason);
    snprintf(expected, sizeof expected, "{\"parameter\":\"%s\",\"message\":\"", pointer);
    assert_non_null(decoded->command.refusal_metadata.at);
    if (strncmp(decoded->command.refusal_metadata.at, expected, strlen(expected)) != 0)
        fail_msg("%s", decoded->command.refusal_metadata.at);
}

static void assert_text_refused(const char *value, const char *pointer)
{
    struct decoded decoded = decode_text(value);
    assert_refused(&decoded, REASON_INVALID_DATA, pointer);
}

static void assert_text_dead(const char *value, const char *reason)
{
    struct decoded decoded = decode_text(value);
    assert_dead(&decoded, reason);
}

static void assert_good(const struct decoded *decoded)
{
    assert_int_equal(decoded->result, DECODE_COMMAND);
    if (decoded->command.refusal != REASON_NONE)
        fail_msg("%s", decoded->command.refusal_metadata.at);
    assert_non_null(decoded->command.parameters);
}

/* --- good commands -------------------------------------------------------------------------------------------------
 */

static const char full[] =
    "{\"specversion\":\"1.0\",\"id\":\"c-1\",\"source\":\"/helpdesk\",\"type\":\"thing.change\","
    "\"subject\":\"ticket/42\",\"time\":\"2026-11-24T09:00:00.000Z\",\"datacontenttype\":"
    "\"application/json\",\"partitionkey\":\"ticket/42\",\"correlationid\":\"c-17\",\"causationid\":\"c-0\","
    "\"traceparent\":\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\",\"actor\":\"user/9\","
    "\"tenant\":\"acme\",\"expectedversion\":3,\"notbefore\":\"2026-11-24T10:00:00Z\","
    "\"data\":{\"thing_id\":42,\"level\":7}}";

static void assert_full(const struct decoded *decoded)
{
    const struct command *command = &decoded->command;
    assert_good(decoded);
    assert_true(span_is(command->id, "c-1"));
    assert_true(span_is(command->source, "/helpdesk"));
    assert_true(span_is(command->type, "thing.change"));
    assert_true(span_is(command->subject, "ticket/42"));
    assert_true(span_is(command->time, "2026-11-24T09:00:00.000Z"));
    assert_true(span_is(command->correlationid, "c-17"));
    assert_true(span_is(command->causationid, "c-0"));
    assert_true(span_is(command->traceparent, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
    assert_true(span_is(command->actor, "user/9"));
    assert_true(span_is(command->tenant, "acme"));
    assert_true(command->has_expected_version);
    assert_int_equal(command->expected_version, 3);
    assert_true(command->has_not_before);
    assert_true(command->not_before_us == INT64_C(1795514400000000));
    assert_ptr_equal(command->workflow, &change);
    const struct thing *thing = command->parameters;
    assert_int_equal(thing->thing_id.value, 42);
    assert_int_equal(thing->level.value, 7);
    assert_int_equal(command->aggregate.kind, AGGREGATE_TICKET);
    assert_true(id_equal(command->aggregate.id, id_of(42)));
}

static void a_structured_command_is_read_whole(void **state)
{
    (void)state;
    struct decoded decoded = decode_text(full);
    assert_full(&decoded);
}

static void structured_mode_may_be_named_by_its_content_type(void **state)
{
    (void)state;
    struct message message = { .value = span_of(full),
                               .headers = { { "content-type", SPAN_LITERAL("application/cloudevents+json") },
                                            { "ce_specversion", SPAN_LITERAL("1.0") } } };
    struct decoded decoded = decode(&message);
    assert_full(&decoded);
    message.headers[0].value = SPAN_LITERAL("Application/CloudEvents+JSON; charset=UTF-8");
    decoded = decode(&message);
    assert_full(&decoded);
}

static struct message binary(const char *data)
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

static void set_header(struct message *message, const char *name, struct span value)
{
    int i = 0;
    while (message->headers[i].name && strcmp(message->headers[i].name, name) != 0)
        i++;
    assert_true(i < 15);
    message->headers[i] = (struct header){ name, value };
}

static void drop_header(struct message *message, const char *name)
{
    int kept = 0;
    for (int i = 0; message->headers[i].name; i++)
    {
        if (strcmp(message->headers[i].name, name) != 0)
            message->headers[kept++] = message->headers[i];
    }
    message->headers[kept] = (struct header){ NULL, SPAN_NULL };
}

static void a_binary_command_is_read_whole_and_is_the_same_command(void **state)
{
    (void)state;
    struct message message = binary("{\"level\":7, \"thing_id\":42}");
    struct decoded decoded = decode(&message);
    assert_full(&decoded);
    struct decoded structured = decode_text(full);
    assert_memory_equal(decoded.command.identity, structured.command.identity, DIGEST_SIZE);
    assert_memory_equal(decoded.command.body_digest, structured.command.body_digest, DIGEST_SIZE);
    drop_header(&message, "content-type"); /* JSON unless it says otherwise */
    decoded = decode(&message);
    assert_full(&decoded);
}

static void only_what_is_required_is_required(void **state)
{
    (void)state;
    struct decoded decoded = decode_text(HEAD DATA);
    assert_good(&decoded);
    assert_null(decoded.command.subject.at);
    assert_null(decoded.command.actor.at);
    assert_false(decoded.command.has_expected_version);
    assert_false(decoded.command.has_not_before);
}

static void null_attributes_are_absent(void **state)
{
    (void)state;
    struct decoded decoded = decode_text(HEAD ",\"subject\":null,\"expectedversion\":null,\"time\":null,"
                                              "\"data_base64\":null" DATA);
    assert_good(&decoded);
    assert_null(decoded.command.subject.at);
    assert_false(decoded.command.has_expected_version);
}

static void unknown_extensions_are_ignored(void **state)
{
    (void)state;
    struct decoded decoded = decode_text(HEAD ",\"myext\":[1,{\"x\":2}],\"dataschema\":\"urn:x\",\"ext2\":true" DATA);
    assert_good(&decoded);
}

static void escaped_attributes_are_unescaped(void **state)
{
    (void)state;
    struct decoded decoded = decode_text("{\"specversion\":\"1.0\",\"id\":\"c-\\u0031\",\"source\":\"\\/helpdesk\","
                                         "\"type\":\"thing\\u002echange\",\"data\":{\"thing_id\":42,\"level\":7}}");
    assert_good(&decoded);
    struct decoded plain = decode_text(full);
    assert_memory_equal(decoded.command.identity, plain.command.identity, DIGEST_SIZE);
    assert_memory_equal(decoded.command.body_digest, plain.command.body_digest, DIGEST_SIZE);
}

static void an_expected_version_of_zero_is_one(void **state)
{
    (void)state;
    struct decoded decoded = decode_text(HEAD ",\"expectedversion\":0" DATA);
    assert_good(&decoded);
    assert_true(decoded.command.has_expected_version);
    assert_int_equal(decoded.command.expected_version, 0);
}

static void id_and_source_may_have_128_bytes(void **state)
{
    (void)state;
    char name[COMMAND_ID_MAX + 1];
    char text[1024];
    memset(name, 'x', COMMAND_ID_MAX);
    name[COMMAND_ID_MAX] = '\0';
    snprintf(text, sizeof text,
             "{\"specversion\":\"1.0\",\"id\":\"%s\",\"source\":\"%s\",\"type\":\"thing.change\"" DATA, name, name);
    struct decoded decoded = decode_text(text);
    assert_good(&decoded);
}

/* --- dead letters --------------------------------------------------------------------------------------------------
 */

static void a_tombstone_is_dead(void **state)
{
    (void)state;
    struct message message = { .key = SPAN_LITERAL("ticket/42"), .value = SPAN_NULL };
    struct decoded decoded = decode(&message);
    assert_dead(&decoded, "tombstone");
    message = binary("x");
    message.value = SPAN_NULL;
    decoded = decode(&message);
    assert_dead(&decoded, "tombstone");
}

static void what_is_not_json_is_dead(void **state)
{
    (void)state;
    assert_text_dead("", "not_json");
    assert_text_dead("hello", "not_json");
    assert_text_dead(HEAD, "not_json");
    assert_text_dead("<event/>", "not_json");
    assert_text_dead(HEAD DATA "{}", "not_json");
}

static void the_dead_message_names_the_byte(void **state)
{
    (void)state;
    struct decoded decoded = decode_text("{\"a\":x}");
    assert_string_equal(decoded.dead_message, "byte 5: expected a value");
}

static void json_that_is_no_object_is_dead(void **state)
{
    (void)state;
    assert_text_dead("[]", "not_an_object");
    assert_text_dead("7", "not_an_object");
    assert_text_dead("null", "not_an_object");
}

static void an_object_without_specversion_is_dead(void **state)
{
    (void)state;
    assert_text_dead("{}", "not_a_cloudevent");
    assert_text_dead("{\"id\":\"1\",\"source\":\"s\",\"type\":\"thing.change\",\"data\":{}}", "not_a_cloudevent");
}

static void a_batch_of_events_is_dead(void **state)
{
    (void)state;
    struct message message = { .value = SPAN_LITERAL("[" HEAD DATA "]"),
                               .headers = { { "content-type", SPAN_LITERAL("application/cloudevents-batch+json") } } };
    struct decoded decoded = decode(&message);
    assert_dead(&decoded, "not_a_cloudevent");
}

static void a_value_over_64_kib_is_dead(void **state)
{
    (void)state;
    char *text = malloc(DOCUMENT_SIZE_MAX + 1);
    assert_non_null(text);
    size_t size = strlen(HEAD DATA);
    memcpy(text, HEAD DATA, size);
    memset(text + size, ' ', DOCUMENT_SIZE_MAX + 1 - size);
    struct message message = { .value = { text, DOCUMENT_SIZE_MAX } };
    struct decoded decoded = decode(&message);
    assert_good(&decoded);
    message.value.size++;
    decoded = decode(&message);
    assert_dead(&decoded, "too_large");
    struct message in_binary = binary("");
    in_binary.value = message.value;
    decoded = decode(&in_binary);
    assert_dead(&decoded, "too_large");
    free(text);
}

static void json_deeper_than_32_is_dead(void **state)
{
    (void)state;
    char text[512] = HEAD ",\"ext\":";
    for (int i = 0; i < DOCUMENT_DEPTH_MAX; i++)
        strcat(text, "[");
    for (int i = 0; i < DOCUMENT_DEPTH_MAX; i++)
        strcat(text, "]");
    strcat(text, DATA);
    assert_text_dead(text, "too_deep");
}

static void duplicate_names_are_dead_wherever_they_stand(void **state)
{
    (void)state;
    assert_text_dead(HEAD ",\"id\":\"c-2\"" DATA, "duplicate_key");
    assert_text_dead(HEAD ",\"data\":{\"thing_id\":42,\"thing_id\":43}}", "duplicate_key");
    assert_text_dead(HEAD ",\"data\":{\"thing_id\":42,\"thing\\u005fid\":43}}", "duplicate_key");
    struct message message = binary("{\"thing_id\":42,\"thing_id\":42}");
    struct decoded decoded = decode(&message);
    assert_dead(&decoded, "duplicate_key");
}

static void nul_and_bad_utf_8_are_dead(void **state)
{
    (void)state;
    assert_text_dead(HEAD ",\"actor\":\"\\u0000\"" DATA, "bad_encoding");
    assert_text_dead(HEAD ",\"actor\":\"\xff\"" DATA, "bad_encoding");
    assert_text_dead(HEAD ",\"actor\":\"\\ud800\"" DATA, "bad_encoding");
    assert_text_dead("\xef\xbb\xbf" HEAD DATA, "bad_encoding");
    struct message message = { .value = SPAN_LITERAL(HEAD ",\"actor\":\"a\0b\"" DATA) };
    struct decoded decoded = decode(&message);
    assert_dead(&decoded, "bad_encoding");
    message = binary("{\"thing_id\":42}");
    set_header(&message, "ce_actor", SPAN_LITERAL("\xc3"));
    decoded = decode(&message);
    assert_dead(&decoded, "bad_encoding");
    set_header(&message, "ce_actor", SPAN_LITERAL("a\0b"));
    decoded = decode(&message);
    assert_dead(&decoded, "bad_encoding");
}

static void a_missing_empty_or_mistyped_identity_is_dead(void **state)
{
    (void)state;
    assert_text_dead("{\"specversion\":\"1.0\",\"source\":\"s\",\"type\":\"t\"" DATA, "missing_id");
    assert_text_dead("{\"specversion\":\"1.0\",\"id\":\"\",\"source\":\"s\",\"type\":\"t\"" DATA, "missing_id");
    assert_text_dead("{\"specversion\":\"1.0\",\"id\":null,\"source\":\"s\",\"type\":\"t\"" DATA, "missing_id");
    assert_text_dead("{\"specversion\":\"1.0\",\"id\":17,\"source\":\"s\",\"type\":\"t\"" DATA, "missing_id");
    assert_text_dead("{\"specversion\":\"1.0\",\"id\":\"1\",\"type\":\"t\"" DATA, "missing_source");
    assert_text_dead("{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":{},\"type\":\"t\"" DATA, "missing_source");
    assert_text_dead("{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"s\"" DATA, "missing_type");
    assert_text_dead("{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"s\",\"type\":\"\"" DATA, "missing_type");
    static const char *const headers[] = { "ce_id", "ce_source", "ce_type" };
    static const char *const reasons[] = { "missing_id", "missing_source", "missing_type" };
    for (int i = 0; i < 3; i++)
    {
        struct message message = binary("{\"thing_id\":42}");
        drop_header(&message, headers[i]);
        struct decoded decoded = decode(&message);
        assert_dead(&decoded, reasons[i]);
    }
}

static void an_over_long_identity_is_dead(void **state)
{
    (void)state;
    static const char *const formats[] = {
        "{\"specversion\":\"1.0\",\"id\":\"%s\",\"source\":\"s\",\"type\":\"t\"" DATA,
        "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"%s\",\"type\":\"t\"" DATA,
        "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"s\",\"type\":\"%s\"" DATA,
    };
    static const char *const reasons[] = { "id_too_long", "source_too_long", "type_too_long" };
    char name[COMMAND_ID_MAX + 2];
    memset(name, 'x', COMMAND_ID_MAX + 1);
    name[COMMAND_ID_MAX + 1] = '\0';
    for (int i = 0; i < 3; i++)
    {
        char text[512];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* the formats stand right above */
        snprintf(text, sizeof text, formats[i], name);
#pragma GCC diagnostic pop
        assert_text_dead(text, reasons[i]);
    }
}

static void dead_messages_keep_nothing_of_the_arena(void **state)
{
    (void)state;
    struct arena_mark before = arena_mark(&arena);
    assert_text_dead("{\"a\":[1,2,3,\"\\n\"]}", "not_a_cloudevent");
    struct arena_mark behind = arena_mark(&arena);
    assert_ptr_equal(before.block, behind.block);
    assert_int_equal(before.used, behind.used);
}

/* --- refusals ------------------------------------------------------------------------------------------------------
 */

static void an_unknown_type_is_refused_with_an_event(void **state)
{
    (void)state;
    struct decoded decoded = decode_text(
        "{\"specversion\":\"1.0\",\"id\":\"c-1\",\"source\":\"s\",\"type\":\"thing.paint\",\"time\":\"bad\"" DATA);
    assert_refused(&decoded, REASON_UNKNOWN_TYPE, "/type");
    assert_null(decoded.command.workflow);
    assert_true(span_is(decoded.command.type, "thing.paint"));
}

static void another_specversion_is_refused(void **state)
{
    (void)state;
    assert_text_refused("{\"specversion\":\"0.3\",\"id\":\"c-1\",\"source\":\"s\",\"type\":\"thing.change\"" DATA,
                        "/specversion");
    assert_text_refused("{\"specversion\":1.0,\"id\":\"c-1\",\"source\":\"s\",\"type\":\"thing.change\"" DATA,
                        "/specversion");
}

static void missing_data_is_refused(void **state)
{
    (void)state;
    assert_text_refused(HEAD "}", "/data");
    struct message message = binary("");
    struct decoded decoded = decode(&message);
    assert_refused(&decoded, REASON_INVALID_DATA, "/data");
}

static void data_that_is_no_object_is_refused(void **state)
{
    (void)state;
    assert_text_refused(HEAD ",\"data\":null}", "/data");
    assert_text_refused(HEAD ",\"data\":[1]}", "/data");
    assert_text_refused(HEAD ",\"data\":\"{\\\"thing_id\\\":42}\"}", "/data");
    struct message message = binary("[]");
    struct decoded decoded = decode(&message);
    assert_refused(&decoded, REASON_INVALID_DATA, "/data");
}

static void binary_data_that_is_not_json_is_refused(void **state)
{
    (void)state;
    struct message message = binary("{\"thing_id\":");
    struct decoded decoded = decode(&message);
    assert_refused(&decoded, REASON_INVALID_DATA, "/data");
    struct message other = binary("{\"thing_id\"-");
    struct decoded second = decode(&other);
    assert_memory_not_equal(decoded.command.body_digest, second.command.body_digest, DIGEST_SIZE);
}

static void encoded_data_is_refused(void **state)
{
    (void)state;
    assert_text_refused(HEAD ",\"data_base64\":\"e30=\"}", "/data_base64");
    assert_text_refused(HEAD ",\"data_base64\":\"e30=\"" DATA, "/data_base64");
}

static void data_of_another_content_type_is_refused(void **state)
{
    (void)state;
    assert_text_refused(HEAD ",\"datacontenttype\":\"text/xml\"" DATA, "/datacontenttype");
    struct message message = binary("{\"thing_id\":42}");
    set_header(&message, "content-type", SPAN_LITERAL("application/avro"));
    struct decoded decoded = decode(&message);
    assert_refused(&decoded, REASON_INVALID_DATA, "/datacontenttype");
}

static void mistyped_unknown_and_out_of_range_data_is_refused(void **state)
{
    (void)state;
    assert_text_refused(HEAD ",\"data\":{\"thing_id\":\"42\"}}", "/thing_id");
    assert_text_refused(HEAD ",\"data\":{\"thing_id\":42,\"colour\":1}}", "/colour");
    assert_text_refused(HEAD ",\"data\":{\"thing_id\":42,\"level\":10}}", "/level");
    assert_text_refused(HEAD ",\"data\":{\"thing_id\":9223372036854775808}}", "/thing_id");
}

static void what_the_workflow_itself_refuses_is_refused(void **state)
{
    (void)state;
    struct decoded decoded = decode_text(HEAD ",\"data\":{\"thing_id\":13,\"level\":9}}");
    assert_refused(&decoded, REASON_INVALID_DATA, "/level");
    assert_int_equal(decoded.command.aggregate.kind, AGGREGATE_NONE);
}

static void a_bad_expected_version_is_refused(void **state)
{
    (void)state;
    assert_text_refused(HEAD ",\"expectedversion\":-1" DATA, "/expectedversion");
    assert_text_refused(HEAD ",\"expectedversion\":1.5" DATA, "/expectedversion");
    assert_text_refused(HEAD ",\"expectedversion\":\"3\"" DATA, "/expectedversion");
    assert_text_refused(HEAD ",\"expectedversion\":9223372036854775808" DATA, "/expectedversion");
    static const char *const bad[] = { "", "-1", "+1", "1.0", "3 ", "x", "9999999999999999999" };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
    {
        struct message message = binary("{\"thing_id\":42}");
        set_header(&message, "ce_expectedversion", span_of(bad[i]));
        struct decoded decoded = decode(&message);
        assert_refused(&decoded, REASON_INVALID_DATA, "/expectedversion");
    }
}

static void an_expected_version_where_there_is_none_is_refused(void **state)
{
    (void)state;
    assert_text_refused(
        "{\"specversion\":\"1.0\",\"id\":\"c-1\",\"source\":\"s\",\"type\":\"thing.bulk\",\"expectedversion\":1" DATA,
        "/expectedversion");
    assert_text_refused(
        "{\"specversion\":\"1.0\",\"id\":\"c-1\",\"source\":\"s\",\"type\":\"thing.count\",\"expectedversion\":1" DATA,
        "/expectedversion");
}

static void bad_times_are_refused(void **state)
{
    (void)state;
    assert_text_refused(HEAD ",\"time\":\"yesterday\"" DATA, "/time");
    assert_text_refused(HEAD ",\"time\":1795510800" DATA, "/time");
    assert_text_refused(HEAD ",\"notbefore\":\"2026-11-24\"" DATA, "/notbefore");
}

static void a_subject_that_is_not_the_aggregate_is_refused(void **state)
{
    (void)state;
    struct decoded decoded = decode_text(HEAD ",\"subject\":\"ticket/43\"" DATA);
    assert_refused(&decoded, REASON_INVALID_DATA, "/subject");
    assert_int_equal(decoded.command.aggregate.kind, AGGREGATE_TICKET); /* the event is still about the ticket */
    assert_text_refused(HEAD ",\"subject\":\"42\"" DATA, "/subject");
    assert_text_refused(HEAD ",\"subject\":\"ticket/042\"" DATA, "/subject");
    assert_text_refused(HEAD ",\"subject\":\"\"" DATA, "/subject");
    assert_text_refused(HEAD ",\"subject\":42" DATA, "/subject");
}

static void a_subject_for_an_aggregate_yet_to_be_made_is_refused(void **state)
{
    (void)state;
    assert_text_refused(HEAD ",\"subject\":\"ticket/42\",\"data\":{}}", "/subject");
    struct decoded decoded = decode_text(HEAD ",\"data\":{}}");
    assert_good(&decoded);
    assert_int_equal(decoded.command.aggregate.kind, AGGREGATE_NONE);
}

static void over_long_attributes_are_refused_and_do_not_get_into_the_event(void **state)
{
    (void)state;
    static const char *const names[] = { "subject", "correlationid", "causationid",     "traceparent", "actor",
                                         "tenant",  "partitionkey",  "datacontenttype", "time",        "notbefore" };
    char value[130];
    memset(value, 'x', 129);
    value[129] = '\0';
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
    {
        char text[512];
        char pointer[32];
        snprintf(text, sizeof text, HEAD ",\"%s\":\"%s\"" DATA, names[i], value);
        snprintf(pointer, sizeof pointer, "/%s", names[i]);
        struct decoded decoded = decode_text(text);
        assert_refused(&decoded, REASON_INVALID_DATA, pointer);
        assert_null(decoded.command.subject.at);
        assert_null(decoded.command.correlationid.at);
        assert_null(decoded.command.causationid.at);
        assert_null(decoded.command.traceparent.at);
        assert_null(decoded.command.actor.at);
        assert_null(decoded.command.tenant.at);
        assert_null(decoded.command.time.at);
    }
}

static void attributes_that_are_no_texts_are_refused(void **state)
{
    (void)state;
    assert_text_refused(HEAD ",\"actor\":9" DATA, "/actor");
    assert_text_refused(HEAD ",\"tenant\":{\"a\":1}" DATA, "/tenant");
    assert_text_refused(HEAD ",\"correlationid\":true" DATA, "/correlationid");
    assert_text_refused(HEAD ",\"actor\":\"\"" DATA, "/actor");
}

static void a_name_that_no_attribute_can_have_is_refused(void **state)
{
    (void)state;
    /* Ignored, a misspelt expectedversion would be a lost protection. */
    assert_text_refused(HEAD ",\"expectedVersion\":3" DATA, "/expectedVersion");
    assert_text_refused(HEAD ",\"not/before\":3" DATA, "/not~1before");
}

static void the_first_thing_wrong_is_the_one_told(void **state)
{
    (void)state;
    assert_text_refused(HEAD ",\"time\":\"bad\",\"data\":{\"colour\":1}}", "/time");
}

/* --- digests -------------------------------------------------------------------------------------------------------
 */

static void assert_sha256(const uint8_t digest[DIGEST_SIZE], struct span text)
{
    unsigned char expected[EVP_MAX_MD_SIZE];
    assert_int_equal(EVP_Digest(text.at, text.size, expected, NULL, EVP_sha256(), NULL), 1);
    assert_memory_equal(digest, expected, DIGEST_SIZE);
}

static void digests_are_those_of_the_protocol(void **state)
{
    (void)state;
    struct decoded decoded = decode_text(HEAD ",\"data\": { \"thing_id\" : 42, \"level\" : 7 } }");
    assert_good(&decoded);
    assert_sha256(decoded.command.identity, SPAN_LITERAL("/helpdesk\0c-1"));
    assert_sha256(decoded.command.body_digest, SPAN_LITERAL("thing.change\0{\"level\":7,\"thing_id\":42}"));
    decoded = decode_text(HEAD "}");
    assert_sha256(decoded.command.body_digest, SPAN_LITERAL("thing.change\0"));
}

static void a_refused_command_has_its_digests_too(void **state)
{
    (void)state;
    struct decoded decoded = decode_text(HEAD ",\"data\":{\"thing_id\":\"x\"}}");
    assert_refused(&decoded, REASON_INVALID_DATA, "/thing_id");
    assert_sha256(decoded.command.identity, SPAN_LITERAL("/helpdesk\0c-1"));
    assert_sha256(decoded.command.body_digest, SPAN_LITERAL("thing.change\0{\"thing_id\":\"x\"}"));
}

static void memory_that_is_not_there_is_neither_refusal_nor_death(void **state)
{
    (void)state;
    assert_null(arena_take(&arena, SIZE_MAX)); /* from here on the arena has failed */
    struct decoded decoded = decode_text(full);
    assert_int_equal(decoded.result, DECODE_MEMORY);
    decoded = decode_text("hello");
    assert_int_equal(decoded.result, DECODE_MEMORY);
    arena_reset(&arena, 1 << 20);
    decoded = decode_text(full);
    assert_good(&decoded);
}

/* --- routing -------------------------------------------------------------------------------------------------------
 */

static uint64_t hash(const struct message *message)
{
    struct message copy = *message;
    struct envelope_source source = { message->key, message->value, find_header, &copy };
    return envelope_lane_hash(&source);
}

static void equal_keys_have_one_lane_whatever_the_value(void **state)
{
    (void)state;
    struct message a = { .key = SPAN_LITERAL("ticket/42"), .value = SPAN_LITERAL("x") };
    struct message b = { .key = SPAN_LITERAL("ticket/42"), .value = SPAN_NULL };
    struct message c = { .key = SPAN_LITERAL("ticket/43"), .value = SPAN_LITERAL("x") };
    assert_true(hash(&a) == hash(&b));
    assert_true(hash(&a) != hash(&c));
}

static void without_a_key_the_subject_decides_as_a_key_would(void **state)
{
    (void)state;
    struct message keyed = { .key = SPAN_LITERAL("ticket/42"), .value = SPAN_LITERAL("x") };
    struct message structured = { .value = span_of(full) };
    struct message escaped = { .value = SPAN_LITERAL(HEAD ",\"subject\":\"ticket\\/42\"" DATA) };
    struct message in_headers = binary("{}");
    in_headers.key = SPAN_NULL;
    assert_true(hash(&structured) == hash(&keyed));
    assert_true(hash(&escaped) == hash(&keyed));
    assert_true(hash(&in_headers) == hash(&keyed));
    structured.key = SPAN_LITERAL(""); /* an empty key is none */
    assert_true(hash(&structured) == hash(&keyed));
}

static void without_a_subject_the_identity_decides(void **state)
{
    (void)state;
    struct message first = { .value = SPAN_LITERAL(HEAD ",\"data\":{}}") };
    struct message again = { .value = SPAN_LITERAL(HEAD ",\"data\":{\"thing_id\":1}}") };
    struct message other = { .value =
                                 SPAN_LITERAL("{\"specversion\":\"1.0\",\"id\":\"c-2\",\"source\":\"/helpdesk\"}") };
    assert_true(hash(&first) == hash(&again));
    assert_true(hash(&first) != hash(&other));
}

static void what_cannot_be_read_has_a_lane_too(void **state)
{
    (void)state;
    static const struct message messages[] = {
        { .value = { NULL, 0 } },           { .value = SPAN_LITERAL("") },
        { .value = SPAN_LITERAL("hello") }, { .value = SPAN_LITERAL("[1]") },
        { .value = SPAN_LITERAL("{}") },    { .value = SPAN_LITERAL("{\"subject\":7,\"id\":{}}") },
    };
    for (size_t i = 0; i < sizeof messages / sizeof messages[0]; i++)
        assert_true(hash(&messages[i]) == hash(&messages[i]));
}

static void keys_spread_over_few_lanes(void **state)
{
    (void)state;
    enum
    {
        KEYS = 8192,
    };
    for (int lanes = 2; lanes <= 16; lanes++)
    {
        int counts[16] = { 0 };
        for (int i = 1; i <= KEYS; i++)
        {
            char key[32];
            int size = snprintf(key, sizeof key, "ticket/%d", i);
            struct message message = { .key = { key, (size_t)size } };
            counts[hash(&message) % (uint64_t)lanes]++;
        }
        for (int lane = 0; lane < lanes; lane++)
            assert_in_range(counts[lane], KEYS / lanes * 8 / 10, KEYS / lanes * 12 / 10);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_structured_command_is_read_whole),
        cmocka_unit_test(structured_mode_may_be_named_by_its_content_type),
        cmocka_unit_test(a_binary_command_is_read_whole_and_is_the_same_command),
        cmocka_unit_test(only_what_is_required_is_required),
        cmocka_unit_test(null_attributes_are_absent),
        cmocka_unit_test(unknown_extensions_are_ignored),
        cmocka_unit_test(escaped_attributes_are_unescaped),
        cmocka_unit_test(an_expected_version_of_zero_is_one),
        cmocka_unit_test(id_and_source_may_have_128_bytes),
        cmocka_unit_test(a_tombstone_is_dead),
        cmocka_unit_test(what_is_not_json_is_dead),
        cmocka_unit_test(the_dead_message_names_the_byte),
        cmocka_unit_test(json_that_is_no_object_is_dead),
        cmocka_unit_test(an_object_without_specversion_is_dead),
        cmocka_unit_test(a_batch_of_events_is_dead),
        cmocka_unit_test(a_value_over_64_kib_is_dead),
        cmocka_unit_test(json_deeper_than_32_is_dead),
        cmocka_unit_test(duplicate_names_are_dead_wherever_they_stand),
        cmocka_unit_test(nul_and_bad_utf_8_are_dead),
        cmocka_unit_test(a_missing_empty_or_mistyped_identity_is_dead),
        cmocka_unit_test(an_over_long_identity_is_dead),
        cmocka_unit_test(dead_messages_keep_nothing_of_the_arena),
        cmocka_unit_test(an_unknown_type_is_refused_with_an_event),
        cmocka_unit_test(another_specversion_is_refused),
        cmocka_unit_test(missing_data_is_refused),
        cmocka_unit_test(data_that_is_no_object_is_refused),
        cmocka_unit_test(binary_data_that_is_not_json_is_refused),
        cmocka_unit_test(encoded_data_is_refused),
        cmocka_unit_test(data_of_another_content_type_is_refused),
        cmocka_unit_test(mistyped_unknown_and_out_of_range_data_is_refused),
        cmocka_unit_test(what_the_workflow_itself_refuses_is_refused),
        cmocka_unit_test(a_bad_expected_version_is_refused),
        cmocka_unit_test(an_expected_version_where_there_is_none_is_refused),
        cmocka_unit_test(bad_times_are_refused),
        cmocka_unit_test(a_subject_that_is_not_the_aggregate_is_refused),
        cmocka_unit_test(a_subject_for_an_aggregate_yet_to_be_made_is_refused),
        cmocka_unit_test(over_long_attributes_are_refused_and_do_not_get_into_the_event),
        cmocka_unit_test(attributes_that_are_no_texts_are_refused),
        cmocka_unit_test(a_name_that_no_attribute_can_have_is_refused),
        cmocka_unit_test(the_first_thing_wrong_is_the_one_told),
        cmocka_unit_test(digests_are_those_of_the_protocol),
        cmocka_unit_test(a_refused_command_has_its_digests_too),
        cmocka_unit_test(memory_that_is_not_there_is_neither_refusal_nor_death),
        cmocka_unit_test(equal_keys_have_one_lane_whatever_the_value),
        cmocka_unit_test(without_a_key_the_subject_decides_as_a_key_would),
        cmocka_unit_test(without_a_subject_the_identity_decides),
        cmocka_unit_test(what_cannot_be_read_has_a_lane_too),
        cmocka_unit_test(keys_spread_over_few_lanes),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
