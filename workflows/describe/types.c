#include "workflows/describe/describe.h"

#include "workflows/workflow.h"

static const char *const kind_names[] = {
    [PARAMETER_ID] = "id",           [PARAMETER_INTEGER] = "integer", [PARAMETER_NUMBER] = "number",
    [PARAMETER_BOOLEAN] = "boolean", [PARAMETER_TEXT] = "text",       [PARAMETER_NAME] = "word",
    [PARAMETER_TIME] = "time",       [PARAMETER_UUID] = "uuid",       [PARAMETER_AGGREGATE] = "aggregate",
    [PARAMETER_JSON] = "json",       [PARAMETER_IDS] = "ids",         [PARAMETER_OBJECT] = "object",
    [PARAMETER_OBJECTS] = "objects", [PARAMETER_VECTOR] = "vector",   [PARAMETER_DECIMAL] = "number",
};

static void add_string(struct buffer *into, const char *text)
{
    buffer_add_json_string(into, span_of(text));
}

static void add_flag(struct buffer *into, const char *name, bool set)
{
    buffer_add_text(into, ",\"");
    buffer_add_text(into, name);
    buffer_add_text(into, set ? "\":true" : "\":false");
}

static bool expects_version(const struct workflow *workflow)
{
    return (workflow->flags & (WORKFLOW_BULK | WORKFLOW_COUNTERS)) == 0;
}

/* --- JSON -------------------------------------------------------------------------------------------------------- */

static void add_parameters_json(const struct parameter *table, struct buffer *into)
{
    buffer_add_byte(into, '[');
    for (const struct parameter *parameter = table; parameter->name; parameter++)
    {
        buffer_add_text(into, parameter == table ? "{\"name\":" : ",{\"name\":");
        add_string(into, parameter->name);
        buffer_add_text(into, ",\"kind\":");
        add_string(into, kind_names[parameter->kind]);
        add_flag(into, "required", (parameter->flags & PARAMETER_REQUIRED) != 0);
        buffer_add_text(into, ",\"description\":");
        add_string(into, parameter->description); /* null where there is none */
        if (parameter->members)
        {
            buffer_add_text(into, ",\"members\":");
            add_parameters_json(parameter->members, into);
        }
        buffer_add_byte(into, '}');
    }
    buffer_add_byte(into, ']');
}

static void add_type_json(const struct workflow *workflow, struct buffer *into)
{
    buffer_add_text(into, "{\"type\":");
    add_string(into, workflow->type);
    buffer_add_text(into, ",\"description\":");
    add_string(into, workflow->description);
    buffer_add_text(into, ",\"operation\":");
    add_string(into, operation_name(workflow->operation));
    buffer_add_text(into, ",\"retry_policy\":");
    add_string(into, retry_kind_name(workflow_retry(workflow)));
    add_flag(into, "creates", (workflow->flags & WORKFLOW_CREATES) != 0);
    add_flag(into, "bulk", (workflow->flags & WORKFLOW_BULK) != 0);
    add_flag(into, "expectedversion", expects_version(workflow));
    buffer_add_text(into, ",\"parameters\":");
    add_parameters_json(workflow->parameters, into);
    buffer_add_byte(into, '}');
}

/* --- lines for people -------------------------------------------------------------------------------------------- */

enum
{
    NAME_WIDTH = 24,
    KIND_WIDTH = 10,
};

static void add_padded(struct buffer *into, const char *text, size_t size, size_t width)
{
    buffer_add(into, text, size);
    do
        buffer_add_byte(into, ' ');
    while (++size < width);
}

/* A required parameter has a star; members of objects stand below, further in. */
static void add_parameters_text(const struct parameter *table, int level, struct buffer *into)
{
    for (const struct parameter *parameter = table; parameter->name; parameter++)
    {
        for (int i = 0; i < level; i++)
            buffer_add_text(into, "    ");
        buffer_add_text(into, parameter->flags & PARAMETER_REQUIRED ? "* " : "  ");
        add_padded(into, parameter->name, strlen(parameter->name), NAME_WIDTH);
        const char *kind = kind_names[parameter->kind];
        add_padded(into, kind, strlen(kind), KIND_WIDTH);
        if (parameter->description)
            buffer_add_text(into, parameter->description);
        for (int i = 1; parameter->names && i < parameter->names->count; i++)
        {
            buffer_add_text(into, i == 1 ? " (" : " ");
            buffer_add_text(into, parameter->names->names[i]);
            if (i == parameter->names->count - 1)
                buffer_add_byte(into, ')');
        }
        buffer_add_byte(into, '\n');
        if (parameter->members)
            add_parameters_text(parameter->members, level + 1, into);
    }
}

static void add_type_text(const struct workflow *workflow, struct buffer *into)
{
    buffer_add_text(into, workflow->type);
    buffer_add_text(into, "  [");
    buffer_add_text(into, operation_name(workflow->operation) ? operation_name(workflow->operation) : "-");
    buffer_add_text(into, "; retries ");
    buffer_add_text(into, retry_kind_name(workflow_retry(workflow)));
    buffer_add_text(into, expects_version(workflow) ? "]\n" : "; no expectedversion]\n");
    if (workflow->description)
    {
        buffer_add_text(into, "    ");
        buffer_add_text(into, workflow->description);
        buffer_add_byte(into, '\n');
    }
    add_parameters_text(workflow->parameters, 1, into);
}

void describe_types(bool json, struct buffer *into)
{
    if (json)
        buffer_add_byte(into, '[');
    for (int i = 0; workflows[i]; i++)
    {
        if (i > 0)
            buffer_add_byte(into, json ? ',' : '\n');
        if (json)
            add_type_json(workflows[i], into);
        else
            add_type_text(workflows[i], into);
    }
    if (json)
        buffer_add_byte(into, ']');
}
