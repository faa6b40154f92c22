#include "workflows/parameters/parameters.h"

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

/* `type` and a fixed tail for the kinds that need nothing else. */
struct plain
{
    const char *type;
    const char *tail;
};

/* Many validators take `format` for a remark; a pattern is always checked. */
#define TIME_TAIL \
    ",\"format\":\"date-time\",\"pattern\":\"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])[Tt]([01][0-9]|2[0-3])" \
    ":[0-5][0-9]:([0-5][0-9]|60)([.][0-9]+)?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$\""
#define UUID_TAIL ",\"format\":\"uuid\",\"pattern\":\"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$\""

const char parameters_time_schema[] = TIME_TAIL;

static const struct plain plain_kinds[] = {
    [PARAMETER_ID] = { "integer", ",\"minimum\":1,\"maximum\":9223372036854775807" },
    [PARAMETER_BOOLEAN] = { "boolean", "" },
    [PARAMETER_TIME] = { "string", TIME_TAIL },
    [PARAMETER_UUID] = { "string", UUID_TAIL },
};

static void add_object_body(const struct parameter *table, struct buffer *into);

/* JSON Schema counts characters and the decoder bytes of UTF-8, of which a character has one to four. The schema never
 * refuses what is accepted; the limit itself stands beside it under a name that validators ignore. */
static void add_text_limits(const struct parameter *parameter, struct buffer *into)
{
    if (!parameters_is_bounded(parameter))
        return;
    buffer_add_text(into, ",\"minLength\":");
    buffer_add_int64(into, (parameter->minimum + 3) / 4);
    buffer_add_text(into, ",\"maxLength\":");
    buffer_add_int64(into, parameter->maximum);
    buffer_add_text(into, ",\"x-maxBytes\":");
    buffer_add_int64(into, parameter->maximum);
}

/* Every kind of aggregate by the form of its key. */
void parameters_add_aggregate_pattern(struct buffer *into)
{
    buffer_add_text(into, ",\"pattern\":\"");
    for (int kind = AGGREGATE_NONE + 1; kind < AGGREGATE__COUNT; kind++)
    {
        char key[AGGREGATE_KEY_MAX];
        size_t size = aggregate_print((struct aggregate){ (enum aggregate_kind)kind, id_of(1) }, key);
        const char *slash = memchr(key, '/', size);
        buffer_add_text(into, kind == AGGREGATE_NONE + 1 ? "^" : "|^");
        buffer_add(into, key, (size_t)(slash - key));
        buffer_add_text(into, aggregate_has_uuid((enum aggregate_kind)kind)
                                  ? "/[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"
                                  : "/[1-9][0-9]{0,18}$");
    }
    buffer_add_byte(into, '"');
}

static void add_kind(const struct parameter *parameter, struct buffer *into)
{
    switch (parameter->kind)
    {
    case PARAMETER_INTEGER:
        add_type(parameter, "integer", into);
        add_bounds(parameter, "minimum", "maximum", into);
        return;
    case PARAMETER_DECIMAL:
    case PARAMETER_NUMBER:
        add_type(parameter, "number", into);
        add_bounds(parameter, "minimum", "maximum", into);
        return;
    case PARAMETER_TEXT:
        add_type(parameter, "string", into);
        add_text_limits(parameter, into);
        return;
    case PARAMETER_NAME:
        add_names(parameter, into);
        return;
    case PARAMETER_JSON:
        buffer_add_text(into, "\"type\":[\"object\",\"array\",\"string\",\"number\",\"boolean\",\"null\"]");
        return;
    case PARAMETER_IDS:
        add_type(parameter, "array", into);
        buffer_add_text(
            into,
            ",\"items\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":9223372036854775807},\"uniqueItems\":true");
        add_bounds(parameter, "minItems", "maxItems", into);
        return;
    case PARAMETER_VECTOR:
        add_type(parameter, "array", into);
        buffer_add_text(into, ",\"items\":{\"type\":\"number\",\"minimum\":-3.4028234663852886e38,"
                              "\"maximum\":3.4028234663852886e38}");
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
    case PARAMETER_AGGREGATE:
        add_type(parameter, "string", into);
        parameters_add_aggregate_pattern(into);
        return;
    case PARAMETER_ID:
    case PARAMETER_BOOLEAN:
    case PARAMETER_TIME:
    case PARAMETER_UUID:
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
