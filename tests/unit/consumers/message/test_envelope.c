/* fake: envelope */
#include "tests/fixtures/cmocka.h"

#include <openssl/evp.h>
#include <stdio.h>

#include "tests/fakes/envelope.h"

static void assert_sha256(const uint8_t digest[DIGEST_SIZE], struct span text)
{
    unsigned char expected[EVP_MAX_MD_SIZE];
    assert_int_equal(EVP_Digest(text.at, text.size, expected, NULL, EVP_sha256(), NULL), 1);
    assert_memory_equal(digest, expected, DIGEST_SIZE);
}

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
    assert_ptr_equal(command->workflow, &envelope_change);
    const struct thing *thing = command->parameters;
    assert_int_equal(thing->thing_id.value, 42);
    assert_int_equal(thing->level.value, 7);
    assert_int_equal(command->aggregate.kind, AGGREGATE_TICKET);
    assert_true(id_equal(command->aggregate.id, id_of(42)));
}

/* --- good commands -------------------------------------------------------------------------------------------------
 */

static void a_structured_command_is_read_whole(void **state)
{
    (void)state;
    struct decoded decoded = envelope_decode_text(envelope_full);
    assert_full(&decoded);
}

static void structured_mode_may_be_named_by_its_content_type(void **state)
{
    (void)state;
    struct message message = { .value = span_of(envelope_full),
                               .headers = { { "content-type", SPAN_LITERAL("application/cloudevents+json") },
                                            { "ce_specversion", SPAN_LITERAL("1.0") } } };
    struct decoded decoded = envelope_decode_message(&message);
    assert_full(&decoded);
    message.headers[0].value = SPAN_LITERAL("Application/CloudEvents+JSON; charset=UTF-8");
    decoded = envelope_decode_message(&message);
    assert_full(&decoded);
}

static void a_binary_command_is_read_whole_and_is_the_same_command(void **state)
{
    (void)state;
    struct message message = envelope_binary("{\"level\":7, \"thing_id\":42}");
    struct decoded decoded = envelope_decode_message(&message);
    assert_full(&decoded);
    struct decoded structured = envelope_decode_text(envelope_full);
    assert_memory_equal(decoded.command.identity, structured.command.identity, DIGEST_SIZE);
    assert_memory_equal(decoded.command.body_digest, structured.command.body_digest, DIGEST_SIZE);
    envelope_drop_header(&message, "content-type"); /* JSON unless it says otherwise */
    decoded = envelope_decode_message(&message);
    assert_full(&decoded);
}

static void only_what_is_required_is_required(void **state)
{
    (void)state;
    struct decoded decoded = envelope_decode_text(HEAD DATA);
    assert_good(&decoded);
    assert_null(decoded.command.subject.at);
    assert_null(decoded.command.actor.at);
    assert_false(decoded.command.has_expected_version);
    assert_false(decoded.command.has_not_before);
}

static void null_attributes_are_absent(void **state)
{
    (void)state;
    struct decoded decoded = envelope_decode_text(HEAD ",\"subject\":null,\"expectedversion\":null,\"time\":null,"
                                                       "\"data_base64\":null" DATA);
    assert_good(&decoded);
    assert_null(decoded.command.subject.at);
    assert_false(decoded.command.has_expected_version);
}

/* Many serialisers write what is not set as an empty text. */
static void empty_attributes_that_are_only_copied_are_absent(void **state)
{
    (void)state;
    static const char *const names[] = { "correlationid", "causationid",  "traceparent", "tracestate",     "actor",
                                         "tenant",        "partitionkey", "dataschema",  "datacontenttype" };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
    {
        char text[256], header[32];
        snprintf(text, sizeof(text), HEAD ",\"%s\":\"\"" DATA, names[i]);
        struct decoded decoded = envelope_decode_text(text);
        assert_good(&decoded);
        assert_null(decoded.command.correlationid.at);
        assert_null(decoded.command.causationid.at);
        assert_null(decoded.command.traceparent.at);
        assert_null(decoded.command.actor.at);
        assert_null(decoded.command.tenant.at);
        struct message message = envelope_binary("{\"thing_id\":42}");
        snprintf(header, sizeof(header), "ce_%s", names[i]);
        envelope_drop_header(&message, "ce_expectedversion");
        envelope_set_header(&message, strcmp(names[i], "datacontenttype") == 0 ? "content-type" : header,
                            SPAN_LITERAL(""));
        decoded = envelope_decode_message(&message);
        assert_good(&decoded);
    }
}

static void any_media_type_of_json_is_accepted(void **state)
{
    (void)state;
    static const char *const good[] = { "application/json",
                                        "Application/JSON; charset=utf-8",
                                        "text/json",
                                        "application/vnd.acme.v1+json",
                                        "application/ld+json;profile=x",
                                        "application/problem+JSON" };
    static const char *const bad[] = {
        "text/plain",           "application/xml",   "json",   "+json", "application/+json", "application/jsonl",
        "application/a/b+json", "application/json5", "/x+json"
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]) + sizeof(bad) / sizeof(bad[0]); i++)
    {
        bool accepted = i < sizeof(good) / sizeof(good[0]);
        const char *type = accepted ? good[i] : bad[i - sizeof(good) / sizeof(good[0])];
        char text[256];
        snprintf(text, sizeof(text), HEAD ",\"datacontenttype\":\"%s\"" DATA, type);
        struct decoded decoded = envelope_decode_text(text);
        struct message message = envelope_binary("{\"thing_id\":42}");
        envelope_set_header(&message, "content-type", span_of(type));
        struct decoded in_binary = envelope_decode_message(&message);
        if ((decoded.command.refusal == REASON_NONE) != accepted ||
            (in_binary.command.refusal == REASON_NONE) != accepted)
            fail_msg("%s", type);
    }
}

static void a_word_of_a_header_is_read_in_any_case(void **state)
{
    (void)state;
    static const struct
    {
        const char *word;
        bool accepted, value;
    } cases[] = {
        { "true", true, true },   { "True", true, true },  { "TRUE", true, true }, { "False", true, false },
        { "false", true, false }, { "yes", false, false }, { "1", false, false },  { "truee", false, false }
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    {
        struct message message = envelope_binary("{\"thing_id\":42}");
        envelope_drop_header(&message, "ce_tenant");
        envelope_set_header(&message, "ce_afterparked", span_of(cases[i].word));
        struct decoded decoded = envelope_decode_message(&message);
        assert_int_equal(decoded.command.refusal == REASON_NONE, cases[i].accepted);
        assert_int_equal(decoded.command.after_parked, cases[i].value);
    }
}

static void equal_numbers_make_equal_bodies(void **state)
{
    (void)state;
    struct decoded one = envelope_decode_text(HEAD ",\"data\":{\"thing_id\":100,\"level\":1}}");
    struct decoded other = envelope_decode_text(HEAD ",\"data\":{\"thing_id\":1e2,\"level\":1.0}}");
    assert_good(&one);
    assert_good(&other);
    assert_memory_equal(one.command.body_digest, other.command.body_digest, DIGEST_SIZE);
    assert_memory_equal(one.command.body_digest, one.command.written_digest, DIGEST_SIZE);
    assert_sha256(other.command.written_digest, SPAN_LITERAL("thing.change\0{\"level\":1.0,\"thing_id\":1e2}"));
    one = envelope_decode_text(HEAD ",\"data\":{\"thing_id\":9007199254740993}}");
    other = envelope_decode_text(HEAD ",\"data\":{\"thing_id\":9007199254740992.0}}");
    assert_memory_not_equal(one.command.body_digest, other.command.body_digest, DIGEST_SIZE);
}

static void unknown_extensions_are_ignored(void **state)
{
    (void)state;
    struct decoded decoded =
        envelope_decode_text(HEAD ",\"myext\":[1,{\"x\":2}],\"dataschema\":\"urn:x\",\"ext2\":true" DATA);
    assert_good(&decoded);
}

static void escaped_attributes_are_unescaped(void **state)
{
    (void)state;
    struct decoded decoded =
        envelope_decode_text("{\"specversion\":\"1.0\",\"id\":\"c-\\u0031\",\"source\":\"\\/helpdesk\","
                             "\"type\":\"thing\\u002echange\",\"data\":{\"thing_id\":42,\"level\":7}}");
    assert_good(&decoded);
    struct decoded plain = envelope_decode_text(envelope_full);
    assert_memory_equal(decoded.command.identity, plain.command.identity, DIGEST_SIZE);
    assert_memory_equal(decoded.command.body_digest, plain.command.body_digest, DIGEST_SIZE);
}

static void an_expected_version_of_zero_is_one(void **state)
{
    (void)state;
    struct decoded decoded = envelope_decode_text(HEAD ",\"expectedversion\":0" DATA);
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
    snprintf(text, sizeof(text),
             "{\"specversion\":\"1.0\",\"id\":\"%s\",\"source\":\"%s\",\"type\":\"thing.change\"" DATA, name, name);
    struct decoded decoded = envelope_decode_text(text);
    assert_good(&decoded);
}

/* --- digests -------------------------------------------------------------------------------------------------------
 */

static void digests_are_those_of_the_protocol(void **state)
{
    (void)state;
    struct decoded decoded = envelope_decode_text(HEAD ",\"data\": { \"thing_id\" : 42, \"level\" : 7 } }");
    assert_good(&decoded);
    assert_sha256(decoded.command.identity, SPAN_LITERAL("/helpdesk\0c-1"));
    assert_sha256(decoded.command.body_digest, SPAN_LITERAL("thing.change\0{\"level\":7,\"thing_id\":42}"));
    decoded = envelope_decode_text(HEAD "}");
    assert_sha256(decoded.command.body_digest, SPAN_LITERAL("thing.change\0"));
}

static void a_refused_command_has_its_digests_too(void **state)
{
    (void)state;
    struct decoded decoded = envelope_decode_text(HEAD ",\"data\":{\"thing_id\":\"x\"}}");
    assert_refused(&decoded, REASON_INVALID_DATA, "/thing_id");
    assert_sha256(decoded.command.identity, SPAN_LITERAL("/helpdesk\0c-1"));
    assert_sha256(decoded.command.body_digest, SPAN_LITERAL("thing.change\0{\"thing_id\":\"x\"}"));
}

static void memory_that_is_not_there_is_neither_refusal_nor_death(void **state)
{
    (void)state;
    assert_null(arena_take(&envelope_arena, SIZE_MAX)); /* from here on the arena has failed */
    struct decoded decoded = envelope_decode_text(envelope_full);
    assert_int_equal(decoded.result, DECODE_MEMORY);
    decoded = envelope_decode_text("hello");
    assert_int_equal(decoded.result, DECODE_MEMORY);
    arena_reset(&envelope_arena, 1 << 20);
    decoded = envelope_decode_text(envelope_full);
    assert_good(&decoded);
}

/* --- routing -------------------------------------------------------------------------------------------------------
 */

static uint64_t hash(const struct message *message)
{
    struct message copy = *message;
    struct envelope_source source = { message->key, message->value, envelope_find_header, envelope_next_header, &copy };
    return envelope_lane_hash(&source);
}

/* PROTOCOL L1: the lane is the hash of the key; without one of the subject; without one of the identity. */
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
    struct message structured = { .value = span_of(envelope_full) };
    struct message escaped = { .value = SPAN_LITERAL(HEAD ",\"subject\":\"ticket\\/42\"" DATA) };
    struct message in_headers = envelope_binary("{}");
    in_headers.key = SPAN_NULL;
    assert_true(hash(&structured) == hash(&keyed));
    assert_true(hash(&escaped) == hash(&keyed));
    assert_true(hash(&in_headers) == hash(&keyed));
    structured.key = SPAN_LITERAL(""); /* an empty key counts as missing */
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

static void an_unreadable_message_has_a_lane_too(void **state)
{
    (void)state;
    const struct message messages[] = {
        { .value = { NULL, 0 } },           { .value = SPAN_LITERAL("") },
        { .value = SPAN_LITERAL("hello") }, { .value = SPAN_LITERAL("[1]") },
        { .value = SPAN_LITERAL("{}") },    { .value = SPAN_LITERAL("{\"subject\":7,\"id\":{}}") },
    };
    for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++)
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
            int size = snprintf(key, sizeof(key), "ticket/%d", i);
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
        cmocka_unit_test(empty_attributes_that_are_only_copied_are_absent),
        cmocka_unit_test(any_media_type_of_json_is_accepted),
        cmocka_unit_test(a_word_of_a_header_is_read_in_any_case),
        cmocka_unit_test(equal_numbers_make_equal_bodies),
        cmocka_unit_test(unknown_extensions_are_ignored),
        cmocka_unit_test(escaped_attributes_are_unescaped),
        cmocka_unit_test(an_expected_version_of_zero_is_one),
        cmocka_unit_test(id_and_source_may_have_128_bytes),
        cmocka_unit_test(digests_are_those_of_the_protocol),
        cmocka_unit_test(a_refused_command_has_its_digests_too),
        cmocka_unit_test(memory_that_is_not_there_is_neither_refusal_nor_death),
        cmocka_unit_test(equal_keys_have_one_lane_whatever_the_value),
        cmocka_unit_test(without_a_key_the_subject_decides_as_a_key_would),
        cmocka_unit_test(without_a_subject_the_identity_decides),
        cmocka_unit_test(an_unreadable_message_has_a_lane_too),
        cmocka_unit_test(keys_spread_over_few_lanes),
    };
    return cmocka_run_group_tests(tests, envelope_setup, envelope_teardown);
}
