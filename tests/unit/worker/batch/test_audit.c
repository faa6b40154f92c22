#include "tests/fixtures/cmocka.h"

#include <stdlib.h>

#include <jansson.h>

#include "tests/fixtures/column_size.h"
#include "worker/batch/audit.h"

#define BUFFER __attribute__((cleanup(buffer_done))) struct buffer

/* The example of CONTRACT.md. */
static struct audit_record escalation(void)
{
    return (struct audit_record){
        .event_id = { 0x0C5C7FD000004000, 0x8000000000000001 },
        .changed_at = int_of(1795510800123456),
        .version_from = int_of(3),
        .version_to = int_of(4),
        .person_new = int_of(7),
        .lock_wait_us = int_of(412),
        .transaction_us = int_of(1903),
        .format = int_of(AUDIT_FORMAT),
        .outcome = 1 + OUTCOME_APPLIED,
        .operation = OPERATION_ESCALATION,
        .aggregate = SPAN_LITERAL("ticket/42"),
        .command_source = SPAN_LITERAL("/helpdesk"),
        .command_id = SPAN_LITERAL("0c5c7fd0-5b1c"),
        .command_type = SPAN_LITERAL("ticket.escalate"),
        .status_old = SPAN_LITERAL("OPEN"),
        .status_new = SPAN_LITERAL("OPEN"),
        .changed_by = SPAN_LITERAL("user/9"),
        .correlation_id = SPAN_LITERAL("c-17"),
        .traceparent = SPAN_LITERAL("00-aa-bb-01"),
        .metadata = SPAN_LITERAL("{\"level\":{\"old\":0,\"new\":1}}"),
    };
}

static void assert_prints(const struct audit_record *record, const char *expected)
{
    BUFFER text = BUFFER_EMPTY;
    audit_print_event(record, &text);
    buffer_add_byte(&text, '\0');
    assert_false(buffer_failed(&text));
    assert_string_equal(text.at, expected);
}

static void the_event_is_the_one_of_the_contract_byte_for_byte(void **state)
{
    (void)state;
    struct audit_record record = escalation();
    assert_prints(
        &record,
        "{\"specversion\":\"1.0\",\"id\":\"0c5c7fd0-0000-4000-8000-000000000001\",\"source\":\"/interlock\","
        "\"type\":\"interlock.audit\",\"subject\":\"ticket/42\",\"time\":\"2026-11-24T09:00:00.123456Z\","
        "\"datacontenttype\":\"application/json\",\"partitionkey\":\"ticket/42\",\"correlationid\":\"c-17\","
        "\"causationid\":\"0c5c7fd0-5b1c\",\"traceparent\":\"00-aa-bb-01\","
        "\"data\":{\"command\":{\"source\":\"/helpdesk\",\"id\":\"0c5c7fd0-5b1c\",\"type\":\"ticket.escalate\"},"
        "\"operation\":\"ESCALATION\",\"outcome\":\"applied\",\"reason\":null,"
        "\"version\":{\"from\":3,\"to\":4},\"status\":{\"old\":\"OPEN\",\"new\":\"OPEN\"},"
        "\"person\":{\"old\":null,\"new\":7},\"group\":{\"old\":null,\"new\":null},\"also\":[],"
        "\"actor\":\"user/9\",\"lock_wait_us\":412,\"transaction_us\":1903,"
        "\"metadata\":{\"level\":{\"old\":0,\"new\":1}}}}");
}

static void unknown_values_are_null_or_absent(void **state)
{
    (void)state;
    struct audit_record record = {
        .changed_at = int_of(0),
        .lock_wait_us = int_of(0),
        .transaction_us = int_of(0),
        .outcome = 1 + OUTCOME_REJECTED,
        .operation = OPERATION_NONE,
        .command_source = SPAN_LITERAL("s"),
        .command_id = SPAN_LITERAL("i"),
        .command_type = SPAN_LITERAL("no.such"),
        .reason = SPAN_LITERAL("unknown_type"),
    };
    assert_prints(&record,
                  "{\"specversion\":\"1.0\",\"id\":\"00000000-0000-0000-0000-000000000000\",\"source\":\"/interlock\","
                  "\"type\":\"interlock.audit\",\"time\":\"1970-01-01T00:00:00.000000Z\","
                  "\"datacontenttype\":\"application/json\",\"causationid\":\"i\","
                  "\"data\":{\"command\":{\"source\":\"s\",\"id\":\"i\",\"type\":\"no.such\"},"
                  "\"operation\":null,\"outcome\":\"rejected\",\"reason\":\"unknown_type\","
                  "\"version\":null,\"status\":{\"old\":null,\"new\":null},"
                  "\"person\":{\"old\":null,\"new\":null},\"group\":{\"old\":null,\"new\":null},\"also\":[],"
                  "\"actor\":null,\"lock_wait_us\":0,\"transaction_us\":0,\"metadata\":{}}}");
}

static void further_aggregates_stand_as_they_were_printed(void **state)
{
    (void)state;
    struct audit_record record = escalation();
    record.also = SPAN_LITERAL("[{\"aggregate\":\"ticket/8\",\"version\":{\"from\":0,\"to\":1},"
                               "\"status\":{\"old\":null,\"new\":\"NEW\"}}]");
    BUFFER text = BUFFER_EMPTY;
    audit_print_event(&record, &text);
    buffer_add_byte(&text, '\0');
    assert_non_null(strstr(text.at, ",\"also\":[{\"aggregate\":\"ticket/8\",\"version\":{\"from\":0,\"to\":1},"
                                    "\"status\":{\"old\":null,\"new\":\"NEW\"}}],\"actor\":"));
}

/* Whatever a sender wrote into its attributes, the event stays one JSON object that says the same. */
static void texts_from_outside_are_escaped(void **state)
{
    (void)state;
    static const char evil[] = "a\"b\\c\n\t\x01\x7f\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80/";
    struct audit_record record = escalation();
    record.aggregate = record.command_source = record.command_id = record.command_type = record.changed_by =
        record.correlation_id = record.traceparent = record.reason = SPAN_LITERAL(evil);
    BUFFER text = BUFFER_EMPTY;
    audit_print_event(&record, &text);
    json_t *event = json_loadb(text.at, text.size, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(event);
    static const char *const attributes[] = { "subject", "partitionkey", "correlationid", "causationid",
                                              "traceparent" };
    for (size_t i = 0; i < sizeof(attributes) / sizeof(attributes[0]); i++)
        assert_string_equal(json_string_value(json_object_get(event, attributes[i])), evil);
    json_t *data = json_object_get(event, "data"), *command = json_object_get(data, "command");
    assert_string_equal(json_string_value(json_object_get(command, "source")), evil);
    assert_string_equal(json_string_value(json_object_get(command, "id")), evil);
    assert_string_equal(json_string_value(json_object_get(command, "type")), evil);
    assert_string_equal(json_string_value(json_object_get(data, "actor")), evil);
    assert_string_equal(json_string_value(json_object_get(data, "reason")), evil);
    json_decref(event);
}

static void an_empty_attribute_is_printed_and_an_absent_one_is_not(void **state)
{
    (void)state;
    struct audit_record record = escalation();
    record.correlation_id = SPAN_LITERAL("");
    record.traceparent = SPAN_NULL;
    BUFFER text = BUFFER_EMPTY;
    audit_print_event(&record, &text);
    buffer_add_byte(&text, '\0');
    assert_non_null(strstr(text.at, "\"correlationid\":\"\""));
    assert_null(strstr(text.at, "traceparent"));
}

static void every_outcome_and_operation_has_its_word(void **state)
{
    (void)state;
    char expected[64];
    for (int operation = OPERATION_NONE; operation < OPERATION__COUNT; operation++)
        for (int outcome = 0; outcome < OUTCOME__COUNT; outcome++)
        {
            struct audit_record record = escalation();
            BUFFER text = BUFFER_EMPTY;
            record.operation = operation;
            record.outcome = 1 + outcome;
            audit_print_event(&record, &text);
            buffer_add_byte(&text, '\0');
            if (operation == OPERATION_NONE)
                snprintf(expected, sizeof(expected), "\"operation\":null,\"outcome\":\"%s\"",
                         outcome_name((enum outcome)outcome));
            else
                snprintf(expected, sizeof(expected), "\"operation\":\"%s\",\"outcome\":\"%s\"",
                         operation_name((enum operation)operation), outcome_name((enum outcome)outcome));
            assert_non_null(strstr(text.at, expected));
        }
}

static void numbers_at_their_limits_are_printed_whole(void **state)
{
    (void)state;
    struct audit_record record = escalation();
    record.version_from = int_of(INT64_MAX - 1);
    record.version_to = int_of(INT64_MAX);
    record.person_old = int_of(INT64_MAX);
    record.lock_wait_us = record.transaction_us = int_of(INT32_MAX);
    BUFFER text = BUFFER_EMPTY;
    audit_print_event(&record, &text);
    buffer_add_byte(&text, '\0');
    assert_non_null(strstr(text.at, "\"version\":{\"from\":9223372036854775806,\"to\":9223372036854775807}"));
    assert_non_null(strstr(text.at, "\"person\":{\"old\":9223372036854775807,\"new\":7}"));
    assert_non_null(strstr(text.at, "\"lock_wait_us\":2147483647,\"transaction_us\":2147483647"));
}

static void the_key_of_the_event_is_its_aggregate(void **state)
{
    (void)state;
    struct audit_record record = escalation();
    char key[32];
    audit_print_key(&record, key, sizeof(key));
    assert_string_equal(key, "ticket/42");
    record.aggregate = SPAN_NULL;
    audit_print_key(&record, key, sizeof(key));
    assert_string_equal(key, "");
}

/* PROTOCOL R3: every attribute that is shown is a column, so nothing of the record may be missing in the table. */
static void every_member_of_the_record_is_a_column(void **state)
{
    (void)state;
    static const struct entity *const entities_here[] = { &entity_audit_event, &entity_audit_also, &entity_inbox };
    for (size_t e = 0; e < sizeof(entities_here) / sizeof(entities_here[0]); e++)
    {
        const struct entity *entity = entities_here[e];
        size_t covered = 0;
        for (int i = 0; i < entity->column_count; i++)
        {
            assert_true(entity->columns[i].offset + column_size(&entity->columns[i]) <= entity->row_size);
            covered += column_size(&entity->columns[i]);
        }
        assert_int_equal(covered, entity->row_size);
    }
}

/* The longest attributes that the envelope lets in, each byte of which has to be escaped, leave room for the rest. */
static void the_fixed_parts_of_an_event_fit_into_what_is_set_aside_for_them(void **state)
{
    (void)state;
    enum
    {
        ATTRIBUTE_MAX = 128,
        SPARE = 8192,
    };
    char longest[ATTRIBUTE_MAX];
    memset(longest, 1, sizeof(longest));
    struct span text = { longest, sizeof(longest) };
    struct audit_record record = escalation();
    record.aggregate = record.command_source = record.command_id = record.command_type = record.changed_by =
        record.correlation_id = record.traceparent = text;
    record.version_from = record.version_to = record.person_old = record.person_new = record.group_old =
        record.group_new = int_of(INT64_MIN);
    record.lock_wait_us = record.transaction_us = int_of(INT32_MIN);
    record.status_old = record.status_new = SPAN_LITERAL("PARTIALLYCOMPLETED");
    record.reason = SPAN_LITERAL("constraint:a_name_of_sixty_three_bytes_as_long_as_postgresql_lets_it_be_");
    record.also = record.metadata = SPAN_NULL;
    BUFFER event = BUFFER_EMPTY;
    audit_print_event(&record, &event);
    assert_true(event.size < SPARE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_event_is_the_one_of_the_contract_byte_for_byte),
        cmocka_unit_test(unknown_values_are_null_or_absent),
        cmocka_unit_test(further_aggregates_stand_as_they_were_printed),
        cmocka_unit_test(texts_from_outside_are_escaped),
        cmocka_unit_test(an_empty_attribute_is_printed_and_an_absent_one_is_not),
        cmocka_unit_test(every_outcome_and_operation_has_its_word),
        cmocka_unit_test(numbers_at_their_limits_are_printed_whole),
        cmocka_unit_test(the_key_of_the_event_is_its_aggregate),
        cmocka_unit_test(every_member_of_the_record_is_a_column),
        cmocka_unit_test(the_fixed_parts_of_an_event_fit_into_what_is_set_aside_for_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
