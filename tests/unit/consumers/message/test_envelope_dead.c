/* fake: envelope */
#include "tests/fixtures/cmocka.h"

#include <stdio.h>

#include "tests/fakes/envelope.h"

/* --- dead letters --------------------------------------------------------------------------------------------------
 */

static void a_tombstone_is_dead(void **state)
{
    (void)state;
    struct message message = { .key = SPAN_LITERAL("ticket/42"), .value = SPAN_NULL };
    struct decoded decoded = envelope_decode_message(&message);
    assert_dead(&decoded, "tombstone");
    message = envelope_binary("x");
    message.value = SPAN_NULL;
    decoded = envelope_decode_message(&message);
    assert_dead(&decoded, "tombstone");
}

static void text_that_is_not_json_is_dead(void **state)
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
    struct decoded decoded = envelope_decode_text("{\"a\":x}");
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

/* Headers of publishers for HTTP or AMQP are named, with their spelling on Kafka. */
static void headers_that_are_misspelt_are_named_in_the_reason(void **state)
{
    (void)state;
    struct message message = { .value = SPAN_LITERAL("{\"thing_id\":42}"),
                               .headers = { { "content-type", SPAN_LITERAL("application/json") },
                                            { "ce-id", SPAN_LITERAL("c-1") },
                                            { "ce-specversion", SPAN_LITERAL("1.0") },
                                            { "ce-\x1b[2J", SPAN_LITERAL("x") } } };
    struct decoded decoded = envelope_decode_message(&message);
    assert_dead(&decoded, "not_a_cloudevent");
    assert_string_equal(decoded.dead_message, "no specversion; there are headers ce-id, ce-specversion: in Kafka an "
                                              "attribute is spelled ce_ and lower case, as in ce_specversion");
    message.value = SPAN_LITERAL("<not JSON/>");
    message.headers[1].name = "CE_ID";
    decoded = envelope_decode_message(&message);
    assert_dead(&decoded, "not_a_cloudevent");
    assert_non_null(strstr(decoded.dead_message, "CE_ID, ce-specversion"));
    message.value = SPAN_LITERAL(HEAD DATA); /* structured all the same */
    decoded = envelope_decode_message(&message);
    assert_good(&decoded);
}

static void a_batch_of_events_is_dead(void **state)
{
    (void)state;
    struct message message = { .value = SPAN_LITERAL("[" HEAD DATA "]"),
                               .headers = { { "content-type", SPAN_LITERAL("application/cloudevents-batch+json") } } };
    struct decoded decoded = envelope_decode_message(&message);
    assert_dead(&decoded, "not_a_cloudevent");
}

static void a_value_over_64_kib_is_dead(void **state)
{
    (void)state;
    struct buffer text = BUFFER_EMPTY;
    buffer_add_text(&text, HEAD DATA);
    while (text.size < DOCUMENT_SIZE_MAX)
        buffer_add_byte(&text, ' ');
    struct message message = { .value = buffer_span(&text) };
    struct decoded decoded = envelope_decode_message(&message);
    assert_good(&decoded);
    buffer_add_byte(&text, ' ');
    message.value = buffer_span(&text);
    decoded = envelope_decode_message(&message);
    assert_dead(&decoded, "too_large");
    struct message in_binary = envelope_binary("");
    in_binary.value = message.value;
    decoded = envelope_decode_message(&in_binary);
    assert_dead(&decoded, "too_large");
    buffer_done(&text);
}

static void json_deeper_than_32_is_dead(void **state)
{
    (void)state;
    struct buffer text = BUFFER_EMPTY;
    buffer_add_text(&text, HEAD ",\"ext\":");
    for (int i = 0; i < DOCUMENT_DEPTH_MAX; i++)
        buffer_add_byte(&text, '[');
    for (int i = 0; i < DOCUMENT_DEPTH_MAX; i++)
        buffer_add_byte(&text, ']');
    buffer_add(&text, DATA, sizeof(DATA));
    assert_text_dead(text.at, "too_deep");
    buffer_done(&text);
}

static void duplicate_names_are_dead_wherever_they_stand(void **state)
{
    (void)state;
    assert_text_dead(HEAD ",\"id\":\"c-2\"" DATA, "duplicate_key");
    assert_text_dead(HEAD ",\"data\":{\"thing_id\":42,\"thing_id\":43}}", "duplicate_key");
    assert_text_dead(HEAD ",\"data\":{\"thing_id\":42,\"thing\\u005fid\":43}}", "duplicate_key");
    struct message message = envelope_binary("{\"thing_id\":42,\"thing_id\":42}");
    struct decoded decoded = envelope_decode_message(&message);
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
    struct decoded decoded = envelope_decode_message(&message);
    assert_dead(&decoded, "bad_encoding");
    message = envelope_binary("{\"thing_id\":42}");
    envelope_set_header(&message, "ce_actor", SPAN_LITERAL("\xc3"));
    decoded = envelope_decode_message(&message);
    assert_dead(&decoded, "bad_encoding");
    envelope_set_header(&message, "ce_actor", SPAN_LITERAL("a\0b"));
    decoded = envelope_decode_message(&message);
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
        struct message message = envelope_binary("{\"thing_id\":42}");
        envelope_drop_header(&message, headers[i]);
        struct decoded decoded = envelope_decode_message(&message);
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
        snprintf(text, sizeof(text), formats[i], name);
#pragma GCC diagnostic pop
        assert_text_dead(text, reasons[i]);
    }
}

static void dead_messages_keep_nothing_of_the_arena(void **state)
{
    (void)state;
    struct arena_mark before = arena_mark(&envelope_arena);
    assert_text_dead("{\"a\":[1,2,3,\"\\n\"]}", "not_a_cloudevent");
    struct arena_mark behind = arena_mark(&envelope_arena);
    assert_ptr_equal(before.block, behind.block);
    assert_int_equal(before.used, behind.used);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tombstone_is_dead),
        cmocka_unit_test(text_that_is_not_json_is_dead),
        cmocka_unit_test(the_dead_message_names_the_byte),
        cmocka_unit_test(json_that_is_no_object_is_dead),
        cmocka_unit_test(an_object_without_specversion_is_dead),
        cmocka_unit_test(headers_that_are_misspelt_are_named_in_the_reason),
        cmocka_unit_test(a_batch_of_events_is_dead),
        cmocka_unit_test(a_value_over_64_kib_is_dead),
        cmocka_unit_test(json_deeper_than_32_is_dead),
        cmocka_unit_test(duplicate_names_are_dead_wherever_they_stand),
        cmocka_unit_test(nul_and_bad_utf_8_are_dead),
        cmocka_unit_test(a_missing_empty_or_mistyped_identity_is_dead),
        cmocka_unit_test(an_over_long_identity_is_dead),
        cmocka_unit_test(dead_messages_keep_nothing_of_the_arena),
    };
    return cmocka_run_group_tests(tests, envelope_setup, envelope_teardown);
}
