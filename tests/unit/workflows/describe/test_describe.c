#include "tests/fixtures/cmocka.h"

#include <stdio.h>

#include <jansson.h>

#include "workflows/describe/describe.h"
#include "workflows/workflow.h"

static json_t *parsed(struct buffer *buffer)
{
    json_error_t error;
    assert_false(buffer_failed(buffer));
    json_t *value = json_loadb(buffer->at, buffer->size, JSON_REJECT_DUPLICATES, &error);
    if (!value)
        fail_msg("%s at %d", error.text, error.position);
    buffer_done(buffer);
    return value;
}

/* Follows the members, the last argument NULL. */
static json_t *at(json_t *value, ...)
{
    va_list names;
    va_start(names, value);
    for (const char *name = va_arg(names, const char *); name; name = va_arg(names, const char *))
    {
        value = json_object_get(value, name);
        if (!value)
            fail_msg("there is no %s", name);
    }
    va_end(names);
    return value;
}

static json_t *schema_of(const char *type)
{
    struct buffer buffer = BUFFER_EMPTY;
    assert_true(describe_json_schema(span_of(type), &buffer));
    return parsed(&buffer);
}

static json_t *asyncapi(const char *commands, const char *dead_letters)
{
    struct buffer buffer = BUFFER_EMPTY;
    describe_asyncapi(commands, "interlock.audit", dead_letters, &buffer);
    return parsed(&buffer);
}

static void every_type_has_a_schema_of_its_whole_command(void **state)
{
    (void)state;
    for (int i = 0; workflows[i]; i++)
    {
        json_t *schema = schema_of(workflows[i]->type);
        assert_string_equal(json_string_value(at(schema, "$schema", NULL)),
                            "https://json-schema.org/draft/2020-12/schema");
        assert_string_equal(json_string_value(at(schema, "properties", "type", "const", NULL)), workflows[i]->type);
        assert_int_equal(json_array_size(at(schema, "required", NULL)), 5);
        json_t *members = at(schema, "properties", "data", "properties", NULL);
        size_t count = 0;
        for (const struct parameter *parameter = workflows[i]->parameters; parameter->name; parameter++, count++)
            assert_non_null(at(members, parameter->name, NULL));
        assert_int_equal(json_object_size(members), count);
        json_decref(schema);
    }
}

static void limits_of_attributes_are_those_of_the_contract(void **state)
{
    (void)state;
    json_t *schema = schema_of("ticket.escalate");
    json_t *properties = at(schema, "properties", NULL);
    assert_int_equal(json_integer_value(at(properties, "id", "maxLength", NULL)), 128);
    assert_int_equal(json_integer_value(at(properties, "source", "maxLength", NULL)), 128);
    assert_string_equal(json_string_value(at(properties, "specversion", "const", NULL)), "1.0");
    assert_string_equal(json_string_value(at(properties, "notbefore", "format", NULL)), "date-time");
    assert_int_equal(json_integer_value(at(properties, "expectedversion", "minimum", NULL)), 0);
    json_decref(schema);
}

static bool is_text(json_t *value, const char *text)
{
    return json_is_string(value) && strcmp(json_string_value(value), text) == 0;
}

static void a_type_without_a_version_refuses_an_expected_one(void **state)
{
    (void)state;
    json_t *schema = schema_of("ticket.bulk_update");
    assert_true(is_text(at(schema, "properties", "expectedversion", "type", NULL), "null"));
    json_decref(schema);
    schema = schema_of("face.record_verification");
    assert_true(is_text(at(schema, "properties", "expectedversion", "type", NULL), "null"));
    json_decref(schema);
}

static void an_unknown_type_has_no_schema(void **state)
{
    (void)state;
    struct buffer buffer = BUFFER_EMPTY;
    assert_false(describe_json_schema(SPAN_LITERAL("ticket.paint"), &buffer));
    assert_false(describe_json_schema(SPAN_LITERAL(""), &buffer));
    assert_int_equal(buffer.size, 0);
    buffer_done(&buffer);
}

static void all_types_and_the_event_stand_in_one_document(void **state)
{
    (void)state;
    struct buffer buffer = BUFFER_EMPTY;
    size_t count = 0;
    assert_true(describe_json_schema(SPAN_NULL, &buffer));
    json_t *document = parsed(&buffer);
    for (; workflows[count]; count++)
        assert_non_null(at(document, "$defs", workflows[count]->type, NULL));
    assert_int_equal(json_array_size(at(document, "oneOf", NULL)), count);
    json_t *event = at(document, "$defs", "interlock.audit", "properties", "data", NULL);
    assert_int_equal(json_array_size(at(event, "required", NULL)), 13);
    assert_int_equal(json_array_size(at(event, "properties", "outcome", "enum", NULL)), OUTCOME__COUNT);
    assert_int_equal(json_array_size(at(event, "properties", "operation", "enum", NULL)), OPERATION__COUNT);
    json_decref(document);
}

static void asyncapi_names_the_topics_and_every_message(void **state)
{
    (void)state;
    json_t *document = asyncapi("interlock.commands", "interlock.commands.dlq");
    assert_string_equal(json_string_value(at(document, "asyncapi", NULL)), "3.0.0");
    assert_string_equal(json_string_value(at(document, "channels", "commands", "address", NULL)), "interlock.commands");
    assert_string_equal(json_string_value(at(document, "channels", "audit", "address", NULL)), "interlock.audit");
    assert_string_equal(json_string_value(at(document, "channels", "dead_letters", "address", NULL)),
                        "interlock.commands.dlq");
    assert_string_equal(
        json_string_value(at(document, "channels", "audit", "bindings", "kafka", "bindingVersion", NULL)), "0.5.0");
    assert_string_equal(json_string_value(at(document, "operations", "receive_commands", "action", NULL)), "receive");
    assert_string_equal(json_string_value(at(document, "operations", "send_audit", "action", NULL)), "send");
    for (int i = 0; workflows[i]; i++)
    {
        assert_non_null(at(document, "channels", "commands", "messages", workflows[i]->type, NULL));
        assert_non_null(at(document, "components", "messages", workflows[i]->type, "payload", NULL));
        assert_non_null(at(document, "components", "schemas", workflows[i]->type, NULL));
    }
    assert_non_null(at(document, "components", "messages", "dead_letter", "headers", NULL));
    json_decref(document);
}

static void asyncapi_has_a_channel_for_each_command_topic(void **state)
{
    (void)state;
    json_t *document = asyncapi("a, b,c", "a.dlq,b.dlq,c.dlq");
    assert_int_equal(json_object_size(at(document, "channels", NULL)), 7);
    assert_string_equal(json_string_value(at(document, "channels", "commands2", "address", NULL)), "b");
    assert_string_equal(json_string_value(at(document, "channels", "dead_letters3", "address", NULL)), "c.dlq");
    assert_int_equal(json_object_size(at(document, "operations", NULL)), 7);
    json_decref(document);
}

/* Every "$ref" of AsyncAPI, resolved. */
static void check_references(json_t *document, json_t *value)
{
    const char *name;
    json_t *member;
    size_t index;
    json_object_foreach(value, name, member)
    {
        if (strcmp(name, "$ref") != 0)
        {
            check_references(document, member);
            continue;
        }
        char path[256];
        char *rest = path;
        json_t *target = document;
        snprintf(path, sizeof(path), "%s", json_string_value(member) + 2);
        for (char *step = strtok_r(path, "/", &rest); step; step = strtok_r(NULL, "/", &rest))
            target = at(target, step, NULL);
    }
    if (json_is_array(value))
    {
        json_array_foreach(value, index, member) check_references(document, member);
    }
}

static void every_reference_leads_somewhere(void **state)
{
    (void)state;
    struct buffer buffer = BUFFER_EMPTY;
    json_t *document = asyncapi("a,b", "a.dlq,b.dlq");
    check_references(document, document);
    json_decref(document);
    assert_true(describe_json_schema(SPAN_NULL, &buffer));
    document = parsed(&buffer);
    check_references(document, document);
    json_decref(document);
}

static void types_are_listed_for_programs(void **state)
{
    (void)state;
    struct buffer buffer = BUFFER_EMPTY;
    describe_types(true, &buffer);
    json_t *types = parsed(&buffer);
    for (size_t i = 0; workflows[i]; i++)
    {
        json_t *type = json_array_get(types, i);
        assert_string_equal(json_string_value(at(type, "type", NULL)), workflows[i]->type);
        assert_true(json_array_size(at(type, "parameters", NULL)) > 0);
        assert_true(json_is_boolean(at(type, "expectedversion", NULL)));
    }
    json_decref(types);
}

static void types_are_listed_for_people(void **state)
{
    (void)state;
    struct buffer buffer = BUFFER_EMPTY;
    describe_types(false, &buffer);
    buffer_add_byte(&buffer, '\0');
    assert_false(buffer_failed(&buffer));
    for (int i = 0; workflows[i]; i++)
        assert_non_null(strstr(buffer.at, workflows[i]->type));
    assert_non_null(strstr(buffer.at, "    * ticket_id"));
    buffer_done(&buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_has_a_schema_of_its_whole_command),
        cmocka_unit_test(limits_of_attributes_are_those_of_the_contract),
        cmocka_unit_test(a_type_without_a_version_refuses_an_expected_one),
        cmocka_unit_test(an_unknown_type_has_no_schema),
        cmocka_unit_test(all_types_and_the_event_stand_in_one_document),
        cmocka_unit_test(asyncapi_names_the_topics_and_every_message),
        cmocka_unit_test(asyncapi_has_a_channel_for_each_command_topic),
        cmocka_unit_test(every_reference_leads_somewhere),
        cmocka_unit_test(types_are_listed_for_programs),
        cmocka_unit_test(types_are_listed_for_people),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
