#include "workflows/parameters.h"

static void add_bounds(const struct parameter *parameter, const char *minimum, const char *maximum, struct buffer *into)
{
    if (!parameters_is_bounded(parameter))
        return;
    buffer_add_text(into, ",\"");
    buffer_add_text(into, minimum);
    buffer_add_text(into, "\":");
    buffer_add_int64(into, parameter->minimum);
    buffer_add_text(into, ",\"");
    buffer_add_text(into, maximum);
    buffer_add_text(into, "\":");
    buffer_add_int64(into, parameter->maximum);
}

static void add_type(const struct parameter *parameter, const char *type, struct buffer *into)
{
    bool nullable = (parameter->flags & PARAMETER_NULLABLE) != 0;
    buffer_add_text(into, nullable ? "\"type\":[\"" : "\"type\":\"");
    buffer_add_text(into, type);
    buffer_add_text(into, nullable ? "\",\"null\"]" : "\"");
}

static void add_names(const struct parameter *parameter, struct buffer *into)
{
    buffer_add_text(into, "\"enum\":[");
    for (int i = 1; i < parameter->names->count; i++)
    {
        if (i > 1)
            buffer_add_byte(into, ',');
        buffer_add_json_string(into, span_of(parameter->names->names[i]));
    }
    buffer_add_text(into, parameter->flags & PARAMETER_NULLABLE ? ",null]" : "]");
}

/* `type` and a fixed tail for the kinds that need no more. */
struct plain
{
    const char *type;
    const char *tail;
};

static const struct plain plain_kinds[] = {
    [PARAMETER_ID] = { "integer", ",\"minimum\":1,\"maximum\":9223372036854775807" },
    [PARAMETER_BOOLEAN] = { "boolean", "" },
    [PARAMETER_TIME] = { "string", ",\"format\":\"date-time\"" },
    [PARAMETER_UUID] = { "string", ",\"format\":\"uuid\"" },
    [PARAMETER_AGGREGATE] = { "string", ",\"pattern\":\"^[a-z-]+/[0-9a-f-]+$\"" },
};

static void add_object_body(const struct parameter *table, struct buffer *into);

static void add_kind(const struct parameter *parameter, struct buffer *into)
{
    switch (parameter->kind)
    {
    case PARAMETER_INTEGER:
        add_type(parameter, "integer", into);
        add_bounds(parameter, "minimum", "maximum", into);
        return;
    case PARAMETER_NUMBER:
        add_type(parameter, "number", into);
        add_bounds(parameter, "minimum", "maximum", into);
        return;
    case PARAMETER_TEXT:
        /* JSON Schema counts characters and the limit is in bytes: the schema allows a little more than is accepted
         * where a text is not ASCII. */
        add_type(parameter, "string", into);
        add_bounds(parameter, "minLength", "maxLength", into);
        return;
    case PARAMETER_NAME:
        add_names(parameter, into);
        return;
    case PARAMETER_JSON:
        buffer_add_text(into, "\"type\":[\"object\",\"array\",\"string\",\"number\",\"boolean\",\"null\"]");
        return;
    case PARAMETER_IDS:
        add_type(parameter, "array", into);
        buffer_add_text(into, ",\"items\":{\"type\":\"integer\",\"minimum\":1},\"uniqueItems\":true");
        add_bounds(parameter, "minItems", "maxItems", into);
        return;
    case PARAMETER_OBJECTS:
        add_type(parameter, "array", into);
        add_bounds(parameter, "minItems", "maxItems", into);
        buffer_add_text(into, ",\"items\":");
        parameters_print_schema(parameter->members, into);
        return;
    case PARAMETER_OBJECT:
        add_type(parameter, "object", into);
        add_object_body(parameter->members, into);
        return;
    case PARAMETER_ID:
    case PARAMETER_BOOLEAN:
    case PARAMETER_TIME:
    case PARAMETER_UUID:
    case PARAMETER_AGGREGATE:
        add_type(parameter, plain_kinds[parameter->kind].type, into);
        buffer_add_text(into, plain_kinds[parameter->kind].tail);
        return;
    }
}

static void add_parameter(const struct parameter *parameter, struct buffer *into)
{
    buffer_add_json_string(into, span_of(parameter->name));
    buffer_add_text(into, ":{");
    if (parameter->description)
    {
        buffer_add_text(into, "\"description\":");
        buffer_add_json_string(into, span_of(parameter->description));
        buffer_add_byte(into, ',');
    }
    add_kind(parameter, into);
    buffer_add_byte(into, '}');
}

static void add_object_body(const struct parameter *table, struct buffer *into)
{
    buffer_add_text(into, ",\"properties\":{");
    for (const struct parameter *parameter = table; parameter->name; parameter++)
    {
        if (parameter != table)
            buffer_add_byte(into, ',');
        add_parameter(parameter, into);
    }
    buffer_add_text(into, "},\"required\":[");
    bool first = true;
    for (const struct parameter *parameter = table; parameter->name; parameter++)
    {
        if (!(parameter->flags & PARAMETER_REQUIRED))
            continue;
        if (!first)
            buffer_add_byte(into, ',');
        first = false;
        buffer_add_json_string(into, span_of(parameter->name));
    }
    buffer_add_text(into, "],\"additionalProperties\":false");
}

void parameters_print_schema(const struct parameter *table, struct buffer *into)
{
    buffer_add_text(into, "{\"type\":\"object\"");
    add_object_body(table, into);
    buffer_add_byte(into, '}');
}
