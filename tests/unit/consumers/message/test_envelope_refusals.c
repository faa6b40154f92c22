/* fake: envelope */
#include "tests/fixtures/cmocka.h"

#include <stdio.h>

#include "tests/fakes/envelope.h"

/* --- refusals ------------------------------------------------------------------------------------------------------
 */

static void assert_aggregate(const struct decoded *decoded, int64_t ticket)
{
    assert_int_equal(decoded->command.aggregate.kind, ticket ? AGGREGATE_TICKET : AGGREGATE_NONE);
    assert_true(id_equal(decoded->command.aggregate.id, id_of(ticket)));
}

static void an_unknown_type_is_refused_with_an_event(void **state)
{
    (void)state;
    struct decoded decoded = envelope_decode_text(
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
    struct message message = envelope_binary("");
    struct decoded decoded = envelope_decode_message(&message);
    assert_refused(&decoded, REASON_INVALID_DATA, "/data");
}

static void data_that_is_no_object_is_refused(void **state)
{
    (void)state;
    assert_text_refused(HEAD ",\"data\":null}", "/data");
    assert_text_refused(HEAD ",\"data\":[1]}", "/data");
    assert_text_refused(HEAD ",\"data\":\"{\\\"thing_id\\\":42}\"}", "/data");
    struct message message = envelope_binary("[]");
    struct decoded decoded = envelope_decode_message(&message);
    assert_refused(&decoded, REASON_INVALID_DATA, "/data");
}

static void binary_data_that_is_not_json_is_refused(void **state)
{
    (void)state;
    struct message message = envelope_binary("{\"thing_id\":");
    struct decoded decoded = envelope_decode_message(&message);
    assert_refused(&decoded, REASON_INVALID_DATA, "/data");
    struct message other = envelope_binary("{\"thing_id\"-");
    struct decoded second = envelope_decode_message(&other);
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
    struct message message = envelope_binary("{\"thing_id\":42}");
    envelope_set_header(&message, "content-type", SPAN_LITERAL("application/avro"));
    struct decoded decoded = envelope_decode_message(&message);
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

static void data_that_the_workflow_itself_refuses_is_refused(void **state)
{
    (void)state;
    struct decoded decoded = envelope_decode_text(HEAD ",\"data\":{\"thing_id\":13,\"level\":9}}");
    assert_refused(&decoded, REASON_INVALID_DATA, "/level");
    assert_aggregate(&decoded, 13);
}

/* Who waits for an event under its key hears of the refusal. */
static void a_refused_command_is_about_what_its_data_else_its_subject_else_its_key_names(void **state)
{
    (void)state;
    static const struct
    {
        const char *value;
        const char *key;
        int64_t ticket;
    } cases[] = {
        { HEAD ",\"data\":{\"thing_id\":1,\"level\":10}}", NULL, 1 },
        { HEAD ",\"data\":{\"level\":10,\"thing_id\":1.0},\"subject\":\"ticket/2\"}", "ticket/3", 1 },
        { HEAD ",\"data\":{\"thing_id\":\"x\"},\"subject\":\"ticket/2\"}", "ticket/3", 2 },
        { HEAD ",\"data\":[],\"subject\":\"ticket/2\"}", "ticket/3", 2 },
        { HEAD ",\"subject\":\"ticket/2\"}", "ticket/3", 2 },
        { HEAD ",\"data\":{\"thing_id\":0},\"subject\":\"two\"}", "ticket/3", 3 },
        { HEAD ",\"data\":{}, \"time\":\"never\"}", "ticket/3", 3 },
        { HEAD ",\"data\":{\"colour\":1}}", "three", 0 },
        { HEAD "}", NULL, 0 },
        { "{\"specversion\":\"1.0\",\"id\":\"c\",\"source\":\"s\",\"type\":\"thing.paint\",\"subject\":\"ticket/"
          "2\"" DATA,
          NULL, 2 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
    {
        struct message message = { .key = cases[i].key ? span_of(cases[i].key) : SPAN_NULL,
                                   .value = span_of(cases[i].value) };
        struct decoded decoded = envelope_decode_message(&message);
        assert_int_equal(decoded.result, DECODE_COMMAND);
        assert_int_not_equal(decoded.command.refusal, REASON_NONE);
        if (decoded.command.aggregate.kind != (cases[i].ticket ? AGGREGATE_TICKET : AGGREGATE_NONE))
            fail_msg("%s", cases[i].value);
        assert_aggregate(&decoded, cases[i].ticket);
    }
    struct message message = envelope_binary("not JSON");
    struct decoded decoded = envelope_decode_message(&message);
    assert_refused(&decoded, REASON_INVALID_DATA, "/data");
    assert_aggregate(&decoded, 42);
}

static void a_command_that_is_not_refused_is_about_what_its_data_names_alone(void **state)
{
    (void)state;
    struct decoded decoded = envelope_decode_text(HEAD ",\"data\":{}}");
    assert_good(&decoded);
    assert_aggregate(&decoded, 0);
}

static void a_number_beyond_a_double_is_refused_in_either_mode(void **state)
{
    (void)state;
    struct decoded decoded = envelope_decode_text(HEAD ",\"data\":{\"thing_id\":42,\"level\":1e400}}");
    assert_refused(&decoded, REASON_INVALID_DATA, "/level");
    assert_aggregate(&decoded, 42);
    struct message message = envelope_binary("{\"thing_id\":42,\"level\":1e400}");
    decoded = envelope_decode_message(&message);
    assert_refused(&decoded, REASON_INVALID_DATA, "/level");
    assert_aggregate(&decoded, 42);
}

static void empty_attributes_that_decide_something_are_refused(void **state)
{
    (void)state;
    static const char *const names[] = { "subject", "time", "notbefore", "expectedversion", "afterparked" };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
    {
        char text[256], header[32], pointer[32];
        snprintf(text, sizeof(text), HEAD ",\"%s\":\"\"" DATA, names[i]);
        snprintf(pointer, sizeof(pointer), "/%s", names[i]);
        assert_text_refused(text, pointer);
        snprintf(header, sizeof(header), "ce_%s", names[i]);
        struct message message = envelope_binary("{\"thing_id\":42}");
        envelope_drop_header(&message, header);
        envelope_drop_header(&message, "ce_actor");
        envelope_set_header(&message, header, SPAN_LITERAL(""));
        struct decoded decoded = envelope_decode_message(&message);
        assert_refused(&decoded, REASON_INVALID_DATA, pointer);
    }
}

/* Passed over, each of these would be a protection lost. */
static void headers_of_attributes_that_are_misspelt_are_refused_by_name(void **state)
{
    (void)state;
    static const char *const names[] = { "ce_expectedVersion", "CE_NOTBEFORE", "ce-notbefore", "Ce_actor", "ce_",
                                         "ce_after-parked",    "CE-SUBJECT" };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
    {
        char pointer[48];
        struct message message = envelope_binary("{\"thing_id\":42}");
        envelope_drop_header(&message, "ce_tenant");
        envelope_set_header(&message, names[i], SPAN_LITERAL("3"));
        struct decoded decoded = envelope_decode_message(&message);
        snprintf(pointer, sizeof(pointer), "/%s", names[i]);
        assert_refused(&decoded, REASON_INVALID_DATA, pointer);
    }
    struct message message = envelope_binary("{\"thing_id\":42}");
    envelope_drop_header(&message, "ce_tenant");
    envelope_set_header(&message, "ceremony", SPAN_LITERAL("3")); /* somebody else's */
    struct decoded decoded = envelope_decode_message(&message);
    assert_good(&decoded);
}

static void a_bad_expected_version_is_refused(void **state)
{
    (void)state;
    assert_text_refused(HEAD ",\"expectedversion\":-1" DATA, "/expectedversion");
    assert_text_refused(HEAD ",\"expectedversion\":1.5" DATA, "/expectedversion");
    assert_text_refused(HEAD ",\"expectedversion\":\"3\"" DATA, "/expectedversion");
    assert_text_refused(HEAD ",\"expectedversion\":9223372036854775808" DATA, "/expectedversion");
    static const char *const bad[] = { "", "-1", "+1", "1.0", "3 ", "x", "9999999999999999999" };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
    {
        struct message message = envelope_binary("{\"thing_id\":42}");
        envelope_set_header(&message, "ce_expectedversion", span_of(bad[i]));
        struct decoded decoded = envelope_decode_message(&message);
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
    struct decoded decoded = envelope_decode_text(HEAD ",\"subject\":\"ticket/43\"" DATA);
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
    struct decoded decoded = envelope_decode_text(HEAD ",\"data\":{}}");
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
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
    {
        char text[512];
        char pointer[32];
        snprintf(text, sizeof(text), HEAD ",\"%s\":\"%s\"" DATA, names[i], value);
        snprintf(pointer, sizeof(pointer), "/%s", names[i]);
        struct decoded decoded = envelope_decode_text(text);
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

static void envelope_attributes_that_are_no_texts_are_refused(void **state)
{
    (void)state;
    assert_text_refused(HEAD ",\"actor\":9" DATA, "/actor");
    assert_text_refused(HEAD ",\"tenant\":{\"a\":1}" DATA, "/tenant");
    assert_text_refused(HEAD ",\"correlationid\":true" DATA, "/correlationid");
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_unknown_type_is_refused_with_an_event),
        cmocka_unit_test(another_specversion_is_refused),
        cmocka_unit_test(missing_data_is_refused),
        cmocka_unit_test(data_that_is_no_object_is_refused),
        cmocka_unit_test(binary_data_that_is_not_json_is_refused),
        cmocka_unit_test(encoded_data_is_refused),
        cmocka_unit_test(data_of_another_content_type_is_refused),
        cmocka_unit_test(mistyped_unknown_and_out_of_range_data_is_refused),
        cmocka_unit_test(data_that_the_workflow_itself_refuses_is_refused),
        cmocka_unit_test(a_refused_command_is_about_what_its_data_else_its_subject_else_its_key_names),
        cmocka_unit_test(a_command_that_is_not_refused_is_about_what_its_data_names_alone),
        cmocka_unit_test(a_number_beyond_a_double_is_refused_in_either_mode),
        cmocka_unit_test(empty_attributes_that_decide_something_are_refused),
        cmocka_unit_test(headers_of_attributes_that_are_misspelt_are_refused_by_name),
        cmocka_unit_test(a_bad_expected_version_is_refused),
        cmocka_unit_test(an_expected_version_where_there_is_none_is_refused),
        cmocka_unit_test(bad_times_are_refused),
        cmocka_unit_test(a_subject_that_is_not_the_aggregate_is_refused),
        cmocka_unit_test(a_subject_for_an_aggregate_yet_to_be_made_is_refused),
        cmocka_unit_test(over_long_attributes_are_refused_and_do_not_get_into_the_event),
        cmocka_unit_test(envelope_attributes_that_are_no_texts_are_refused),
        cmocka_unit_test(a_name_that_no_attribute_can_have_is_refused),
        cmocka_unit_test(the_first_thing_wrong_is_the_one_told),
    };
    return cmocka_run_group_tests(tests, envelope_setup, envelope_teardown);
}
