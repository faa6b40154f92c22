#include "workflows/describe/describe.h"

#include "workflows/describe/schemas.h"
#include "workflows/parameters/cloudevent_attributes.h"
#include "workflows/workflow.h"

static void add_string(struct buffer *into, const char *text)
{
    buffer_add_json_string(into, span_of(text));
}

/* --- JSON Schema ------------------------------------------------------------------------------------------------- */

static const char dialect[] = "\"$schema\":\"https://json-schema.org/draft/2020-12/schema\"";

static void add_definitions(struct buffer *into)
{
    buffer_add_text(into, "\"$defs\":{");
    for (int i = 0; workflows[i]; i++)
    {
        add_string(into, workflows[i]->type);
        buffer_add_text(into, ":{");
        describe_add_command(workflows[i], into);
        buffer_add_text(into, "},");
    }
    buffer_add_text(into, "\"interlock.audit\":{");
    describe_add_event(into);
    buffer_add_text(into, "},\"interlock.operator\":{");
    describe_add_operator_event(into);
    buffer_add_text(into, "}}");
}

bool describe_json_schema(struct span type, struct buffer *into)
{
    const struct workflow *workflow = type.size ? workflow_find(type) : NULL;
    if (type.at && !workflow)
        return false;
    buffer_add_byte(into, '{');
    buffer_add_text(into, dialect);
    buffer_add_byte(into, ',');
    if (workflow)
    {
        describe_add_command(workflow, into);
        buffer_add_byte(into, '}');
        return true;
    }
    buffer_add_text(into, "\"title\":\"Interlock command\",\"oneOf\":[");
    for (int i = 0; workflows[i]; i++)
    {
        buffer_add_text(into, i ? ",{\"$ref\":\"#/$defs/" : "{\"$ref\":\"#/$defs/");
        buffer_add_text(into, workflows[i]->type);
        buffer_add_text(into, "\"}");
    }
    buffer_add_text(into, "],");
    add_definitions(into);
    buffer_add_byte(into, '}');
    return true;
}

/* --- AsyncAPI ---------------------------------------------------------------------------------------------------- */

/* A channel is made from it; `prefix` and a number make its id. */
struct channel
{
    const char *prefix, *title, *description;
    void (*add_messages)(struct buffer *into);
};

static void add_command_messages(struct buffer *into)
{
    for (int i = 0; workflows[i]; i++)
    {
        if (i > 0)
            buffer_add_byte(into, ',');
        add_string(into, workflows[i]->type);
        buffer_add_text(into, ":{\"$ref\":\"#/components/messages/");
        buffer_add_text(into, workflows[i]->type);
        buffer_add_text(into, "\"}");
    }
}

static void add_audit_messages(struct buffer *into)
{
    buffer_add_text(into, "\"interlock.audit\":{\"$ref\":\"#/components/messages/interlock.audit\"},"
                          "\"interlock.operator\":{\"$ref\":\"#/components/messages/interlock.operator\"}");
}

static void add_dead_letter_messages(struct buffer *into)
{
    buffer_add_text(into, "\"dead_letter\":{\"$ref\":\"#/components/messages/dead_letter\"}");
}

static const struct channel command_channel = {
    "commands",
    "Commands",
    "Commands, keyed by their aggregate: each is applied once, and those of one key in the order of the topic.",
    add_command_messages,
};
static const struct channel audit_channel = {
    "audit",
    "Audit events",
    "One event a command, whatever its outcome, keyed by the aggregate; and the acts of operators. Read with "
    "isolation.level=read_committed.",
    add_audit_messages,
};
static const struct channel dead_letter_channel = {
    "dead_letters",
    "Dead letters",
    "Messages that cannot be read as a command: the bytes, key and headers as they came, and why.",
    add_dead_letter_messages,
};

static void add_channel(const struct channel *channel, struct span topic, int number, struct buffer *into)
{
    buffer_add_byte(into, '"');
    buffer_add_text(into, channel->prefix);
    if (number > 1)
        buffer_add_int64(into, number);
    buffer_add_text(into, "\":{\"address\":");
    buffer_add_json_string(into, topic);
    buffer_add_text(into, ",\"title\":");
    add_string(into, channel->title);
    buffer_add_text(into, ",\"description\":");
    add_string(into, channel->description);
    buffer_add_text(into, ",\"messages\":{");
    channel->add_messages(into);
    buffer_add_text(into, "},\"bindings\":{\"kafka\":{\"topic\":");
    buffer_add_json_string(into, topic);
    buffer_add_text(into, ",\"bindingVersion\":\"0.5.0\"}}}");
}

/* Calls `add` for each name of a list that is separated by commas, spaces around them cut off. */
static void for_each_topic(const char *topics, void (*add)(const struct channel *, struct span, int, struct buffer *),
                           const struct channel *channel, struct buffer *into)
{
    const char *at = topics;
    int number = 0;
    while (*at)
    {
        at += strspn(at, ", ");
        size_t size = strcspn(at, ", ");
        if (size == 0)
            break;
        number++;
        if (number > 1)
            buffer_add_byte(into, ',');
        add(channel, (struct span){ at, size }, number, into);
        at += size;
    }
}

static void add_operation(const struct channel *channel, struct span topic, int number, struct buffer *into)
{
    bool receives = channel == &command_channel;
    (void)topic;
    buffer_add_text(into, receives ? "\"receive_" : "\"send_");
    buffer_add_text(into, channel->prefix);
    if (number > 1)
        buffer_add_int64(into, number);
    buffer_add_text(into, receives ? "\":{\"action\":\"receive\"" : "\":{\"action\":\"send\"");
    buffer_add_text(into, ",\"channel\":{\"$ref\":\"#/channels/");
    buffer_add_text(into, channel->prefix);
    if (number > 1)
        buffer_add_int64(into, number);
    buffer_add_text(into, "\"}}");
}

static const char key_binding[] =
    "\"bindings\":{\"kafka\":{\"key\":{\"type\":\"string\",\"description\":\"The aggregate's key, like ticket/42.\"},"
    "\"bindingVersion\":\"0.5.0\"}}";

static void add_messages(struct buffer *into)
{
    for (int i = 0; workflows[i]; i++)
    {
        add_string(into, workflows[i]->type);
        buffer_add_text(into, ":{\"name\":");
        add_string(into, workflows[i]->type);
        buffer_add_text(into, ",\"summary\":");
        add_string(into, workflows[i]->description ? workflows[i]->description : workflows[i]->type);
        buffer_add_text(into, ",\"contentType\":\"application/cloudevents+json\",");
        buffer_add_text(into, key_binding);
        buffer_add_text(into, ",\"payload\":{\"$ref\":\"#/components/schemas/");
        buffer_add_text(into, workflows[i]->type);
        buffer_add_text(into, "\"}},");
    }
    buffer_add_text(into, "\"interlock.audit\":{\"name\":\"interlock.audit\",\"summary\":\"The outcome of a command.\","
                          "\"contentType\":\"application/cloudevents+json\",");
    buffer_add_text(into, key_binding);
    buffer_add_text(into, ",\"payload\":{\"$ref\":\"#/components/schemas/interlock.audit\"}},");
    buffer_add_text(into,
                    "\"interlock.operator\":{\"name\":\"interlock.operator\",\"summary\":\"An act of an operator.\","
                    "\"contentType\":\"application/cloudevents+json\","
                    "\"payload\":{\"$ref\":\"#/components/schemas/interlock.operator\"}},");
    buffer_add_text(into, "\"dead_letter\":{\"name\":\"dead_letter\",\"summary\":\"A message that is no command.\","
                          "\"contentType\":\"application/octet-stream\",\"headers\":");
    describe_add_dead_letter_headers(into);
    buffer_add_byte(into, '}');
}

static void add_schemas(struct buffer *into)
{
    for (int i = 0; workflows[i]; i++)
    {
        add_string(into, workflows[i]->type);
        buffer_add_text(into, ":{");
        describe_add_command(workflows[i], into);
        buffer_add_text(into, "},");
    }
    buffer_add_text(into, "\"interlock.audit\":{");
    describe_add_event(into);
    buffer_add_text(into, "},\"interlock.operator\":{");
    describe_add_operator_event(into);
    buffer_add_byte(into, '}');
}

void describe_asyncapi(const char *commands_topic, const char *audit_topic, const char *dlq_topic, struct buffer *into)
{
    buffer_add_text(into, "{\"asyncapi\":\"3.0.0\",\"info\":{\"title\":\"Interlock\",\"version\":");
    add_string(into, INTERLOCK_VERSION);
    buffer_add_text(into, ",\"description\":\"Commands are applied once, in order per aggregate; each gets one audit "
                          "event.\"},\"defaultContentType\":\"application/cloudevents+json\",\"channels\":{");
    for_each_topic(commands_topic, add_channel, &command_channel, into);
    buffer_add_byte(into, ',');
    for_each_topic(audit_topic, add_channel, &audit_channel, into);
    buffer_add_byte(into, ',');
    for_each_topic(dlq_topic, add_channel, &dead_letter_channel, into);
    buffer_add_text(into, "},\"operations\":{");
    for_each_topic(commands_topic, add_operation, &command_channel, into);
    buffer_add_byte(into, ',');
    for_each_topic(audit_topic, add_operation, &audit_channel, into);
    buffer_add_byte(into, ',');
    for_each_topic(dlq_topic, add_operation, &dead_letter_channel, into);
    buffer_add_text(into, "},\"components\":{\"messages\":{");
    add_messages(into);
    buffer_add_text(into, "},\"schemas\":{");
    add_schemas(into);
    buffer_add_text(into, "}}}");
}
