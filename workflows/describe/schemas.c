#include "workflows/describe/schemas.h"

#include "workflows/describe/dead_letter_headers.h"
#include "workflows/parameters/cloudevent_attributes.h"

static void add_string(struct buffer *into, const char *text)
{
    buffer_add_json_string(into, span_of(text));
}

/* --- commands ---------------------------------------------------------------------------------------------------- */

struct attribute_row
{
    const char *name;
    int longest;
    enum attribute_form form;
    const char *description;
};

static const struct attribute_row attribute_rows[] = {
#define X(symbol, name, longest, form, description) { name, longest, form, description },
    CLOUDEVENT_ATTRIBUTES(X)
#undef X
};

/* A text in bytes (see workflows/parameters/schema.c). */
static void add_text(const struct attribute_row *row, const char *type, int shortest, struct buffer *into)
{
    buffer_add_text(into, ",\"type\":");
    buffer_add_text(into, type);
    buffer_add_text(into, ",\"minLength\":");
    buffer_add_int64(into, shortest);
    buffer_add_text(into, ",\"maxLength\":");
    buffer_add_int64(into, row->longest);
    buffer_add_text(into, ",\"x-maxBytes\":");
    buffer_add_int64(into, row->longest);
}

static const char optional_text[] = "[\"string\",\"null\"]";

/* The media type in any case, with any parameters; or no media type. */
static const char json_type_pattern[] =
    "^$|^([Aa][Pp][Pp][Ll][Ii][Cc][Aa][Tt][Ii][Oo][Nn]/[Jj][Ss][Oo][Nn]|[Tt][Ee][Xx][Tt]/[Jj][Ss][Oo][Nn]|"
    "[^/; \\t]+/[^/; \\t]+[+][Jj][Ss][Oo][Nn])([; \\t][\\s\\S]*)?$";

/* JSON null is as if the attribute were absent, as CloudEvents has it; what is required may not be absent. */
static void add_attribute_form(const struct attribute_row *row, const struct workflow *workflow, struct buffer *into)
{
    switch (row->form)
    {
    case FORM_COPIED:
        add_text(row, optional_text, 0, into);
        break;
    case FORM_IDENTITY:
        add_text(row, "\"string\"", 1, into);
        break;
    case FORM_AGGREGATE:
        add_text(row, optional_text, 1, into);
        parameters_add_aggregate_pattern(into);
        break;
    case FORM_JSON_TYPE:
        add_text(row, optional_text, 0, into);
        buffer_add_text(into, ",\"pattern\":");
        add_string(into, json_type_pattern);
        break;
    case FORM_TIME:
        add_text(row, optional_text, 1, into);
        buffer_add_text(into, parameters_time_schema);
        break;
    case FORM_INTEGER:
        buffer_add_text(into, ",\"type\":[\"integer\",\"null\"],\"minimum\":0,\"maximum\":9223372036854775807");
        break;
    case FORM_BOOLEAN:
        buffer_add_text(into, ",\"type\":[\"boolean\",\"null\"]");
        break;
    case FORM_VERSION:
        buffer_add_text(into, ",\"const\":\"1.0\"");
        break;
    case FORM_TYPE:
        buffer_add_text(into, ",\"const\":");
        add_string(into, workflow->type);
        break;
    }
}

static void add_attribute(const struct attribute_row *row, const struct workflow *workflow, struct buffer *into)
{
    add_string(into, row->name);
    buffer_add_text(into, ":{\"description\":");
    add_string(into, row->description);
    if (row->form == FORM_INTEGER && (workflow->flags & (WORKFLOW_BULK | WORKFLOW_COUNTERS)))
        buffer_add_text(into, ",\"type\":\"null\""); /* refused: there is no one version to expect */
    else
        add_attribute_form(row, workflow, into);
    buffer_add_byte(into, '}');
}

void describe_add_command(const struct workflow *workflow, struct buffer *into)
{
    buffer_add_text(into, "\"title\":");
    add_string(into, workflow->type);
    if (workflow->description)
    {
        buffer_add_text(into, ",\"description\":");
        add_string(into, workflow->description);
    }
    /* Further extension attributes are accepted where CloudEvents allows their names. data_base64 is data, which is
     * accepted as JSON only: null is not data. */
    buffer_add_text(into, ",\"type\":\"object\",\"required\":[\"specversion\",\"id\",\"source\",\"type\",\"data\"],"
                          "\"propertyNames\":{\"pattern\":\"^([a-z0-9]+|data_base64)$\"},\"properties\":{"
                          "\"data_base64\":{\"type\":\"null\"},");
    for (size_t i = 0; i < sizeof(attribute_rows) / sizeof(attribute_rows[0]); i++)
    {
        add_attribute(&attribute_rows[i], workflow, into);
        buffer_add_byte(into, ',');
    }
    buffer_add_text(into, "\"data\":");
    parameters_print_schema(workflow->parameters, into);
    buffer_add_byte(into, '}');
}

/* --- audit events ------------------------------------------------------------------------------------------------ */

static void add_words(struct buffer *into, const char *(*word_of)(int), int first, int count)
{
    buffer_add_text(into, "\"enum\":[");
    for (int i = first; i < count; i++)
    {
        if (i > first)
            buffer_add_byte(into, ',');
        add_string(into, word_of(i));
    }
}

static const char *outcome_word(int index)
{
    return outcome_name((enum outcome)index);
}

static const char *operation_word(int index)
{
    return operation_name((enum operation)index);
}

static const char *reason_word(int index)
{
    return reason_name((enum reason)index);
}

static const char text_or_null[] = "{\"type\":[\"string\",\"null\"]}";
static const char optional_id[] = "{\"type\":[\"integer\",\"null\"]}";

/* "name":{old, new} */
static void add_change(struct buffer *into, const char *name, const char *schema)
{
    add_string(into, name);
    buffer_add_text(into, ":{\"type\":\"object\",\"required\":[\"old\",\"new\"],\"properties\":{\"old\":");
    buffer_add_text(into, schema);
    buffer_add_text(into, ",\"new\":");
    buffer_add_text(into, schema);
    buffer_add_text(into, "}}");
}

static void add_metadata(struct buffer *into, const char *description)
{
    buffer_add_text(into, "\"metadata\":{\"type\":\"object\",\"description\":");
    add_string(into, description);
    buffer_add_byte(into, '}');
}

static const char version_schema[] =
    "\"required\":[\"from\",\"to\"],\"properties\":{\"from\":{\"type\":\"integer\",\"minimum\":0},"
    "\"to\":{\"type\":\"integer\",\"minimum\":0}}";

static void add_event_data(struct buffer *into)
{
    buffer_add_text(into,
                    "\"data\":{\"type\":\"object\",\"required\":[\"command\",\"operation\",\"outcome\",\"reason\","
                    "\"version\",\"status\",\"person\",\"group\",\"also\",\"actor\",\"lock_wait_us\","
                    "\"transaction_us\",\"metadata\"],\"properties\":{\"command\":{\"type\":\"object\","
                    "\"required\":[\"source\",\"id\",\"type\"],\"properties\":{\"source\":{\"type\":\"string\"},"
                    "\"id\":{\"type\":\"string\"},\"type\":{\"type\":\"string\"}}},\"operation\":{");
    add_words(into, operation_word, OPERATION_NONE + 1, OPERATION__COUNT);
    buffer_add_text(into, ",null]},\"outcome\":{");
    add_words(into, outcome_word, 0, OUTCOME__COUNT);
    buffer_add_text(into, "]},\"reason\":{\"anyOf\":[{");
    add_words(into, reason_word, REASON_NONE + 1, REASON__COUNT);
    buffer_add_text(into, ",null]},{\"type\":\"string\",\"pattern\":\"^constraint:\"}]},"
                          "\"version\":{\"type\":[\"object\",\"null\"],");
    buffer_add_text(into, version_schema);
    buffer_add_text(into, "},");
    add_change(into, "status", text_or_null);
    buffer_add_byte(into, ',');
    add_change(into, "person", optional_id);
    buffer_add_byte(into, ',');
    add_change(into, "group", optional_id);
    buffer_add_text(into, ",\"also\":{\"description\":\"Further aggregates changed by the same command.\",\"type\":"
                          "\"array\",\"maxItems\":500,\"items\":{\"type\":\"object\",\"required\":[\"aggregate\","
                          "\"version\",\"status\"],\"properties\":{\"aggregate\":{\"type\":\"string\"},"
                          "\"version\":{\"type\":[\"object\",\"null\"],");
    buffer_add_text(into, version_schema);
    buffer_add_text(into, "},");
    add_change(into, "status", text_or_null);
    buffer_add_byte(into, ',');
    add_metadata(into, "Its changes: the old and new value of each column.");
    buffer_add_text(into, "}}},\"actor\":{\"type\":[\"string\",\"null\"]},"
                          "\"lock_wait_us\":{\"type\":\"integer\",\"minimum\":0},"
                          "\"transaction_us\":{\"type\":\"integer\",\"minimum\":0},");
    add_metadata(into,
                 "For an applied command: the old and new value of every column that it changed in an existing row, "
                 "by the column's name, except version, times of writing and author; JSON columns by key; child "
                 "rows in a list, or beside the id where the command is about one child; and further facts that "
                 "the command adds. For a refused command: the reason in detail. A value that is too long is given "
                 "as {bytes, sha256}.");
    buffer_add_text(into, "}}");
}

void describe_add_event(struct buffer *into)
{
    buffer_add_text(into,
                    "\"title\":\"interlock.audit\",\"description\":\"The outcome of one command.\",\"type\":"
                    "\"object\",\"required\":[\"specversion\",\"id\",\"source\",\"type\",\"time\","
                    "\"datacontenttype\",\"causationid\",\"data\"],\"properties\":{\"specversion\":{\"const\":"
                    "\"1.0\"},\"id\":{\"type\":\"string\",\"format\":\"uuid\"},\"source\":{\"const\":\"/interlock\"},"
                    "\"type\":{\"const\":\"interlock.audit\"},\"subject\":{\"type\":\"string\",\"description\":"
                    "\"The aggregate; absent where the command names none.\"},\"time\":{\"type\":\"string\","
                    "\"format\":\"date-time\"},\"datacontenttype\":{\"const\":\"application/json\"},"
                    "\"partitionkey\":{\"type\":\"string\"},\"correlationid\":{\"type\":\"string\"},"
                    "\"causationid\":{\"type\":\"string\",\"description\":\"The command's id.\"},"
                    "\"traceparent\":{\"type\":\"string\"},");
    add_event_data(into);
    buffer_add_byte(into, '}');
}

/* Published by consumers/parking/operator_events.c. */
void describe_add_operator_event(struct buffer *into)
{
    buffer_add_text(
        into,
        "\"title\":\"interlock.operator\",\"description\":\"An act of an operator, at least once: repeated ids "
        "are dropped. Never the data of a command.\",\"type\":\"object\",\"required\":[\"specversion\",\"type\","
        "\"source\",\"id\",\"subject\",\"time\",\"datacontenttype\",\"data\"],\"properties\":{\"specversion\":"
        "{\"const\":\"1.0\"},\"type\":{\"const\":\"interlock.operator\"},\"source\":{\"const\":\"/interlock\"},"
        "\"id\":{\"type\":\"string\",\"pattern\":\"^operator/[0-9]+/[0-9]+$\"},\"subject\":{\"type\":\"string\","
        "\"pattern\":\"^operator/[0-9]+$\"},\"time\":{\"type\":\"string\",\"format\":\"date-time\"},"
        "\"datacontenttype\":{\"const\":\"application/json\"},\"data\":{\"type\":\"object\",\"required\":"
        "[\"action\",\"verb\",\"actor\",\"db_user\",\"host\",\"version\",\"reason\",\"filter\",\"expected\","
        "\"before\"],\"properties\":{\"action\":{\"type\":\"integer\",\"minimum\":1},\"verb\":{\"type\":\"string\"},"
        "\"actor\":{\"type\":\"string\",\"description\":\"As it was claimed.\"},\"db_user\":{\"type\":\"string\","
        "\"description\":\"PostgreSQL's session_user.\"},\"host\":{\"type\":\"string\"},\"version\":{\"type\":"
        "\"string\"},\"reason\":{\"type\":\"string\"},\"filter\":{\"type\":\"object\"},\"expected\":{\"type\":"
        "[\"integer\",\"null\"],\"minimum\":0},\"before\":{\"type\":[\"string\",\"null\"],\"format\":\"date-time\"}}}"
        "}");
}

/* --- dead letters ------------------------------------------------------------------------------------------------ */

static const char *const dead_letter_headers[] = { DEAD_LETTER_HEADERS };

void describe_add_dead_letter_headers(struct buffer *into)
{
    size_t count = sizeof(dead_letter_headers) / sizeof(dead_letter_headers[0]);
    buffer_add_text(into, "{\"type\":\"object\",\"required\":[");
    for (size_t i = 0; i < count; i++)
    {
        if (i > 0)
            buffer_add_byte(into, ',');
        add_string(into, dead_letter_headers[i]);
    }
    buffer_add_text(into, "],\"properties\":{");
    for (size_t i = 0; i < count; i++)
    {
        if (i > 0)
            buffer_add_byte(into, ',');
        add_string(into, dead_letter_headers[i]);
        buffer_add_text(into, ":{\"type\":\"string\"}");
    }
    buffer_add_text(into, "}}");
}
