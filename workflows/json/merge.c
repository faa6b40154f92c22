#include "workflows/document/text.h"
#include "workflows/json/field.h"
#include "workflows/model/limits.h"

struct merge
{
    struct aggregate aggregate;
    struct span field;
    const struct node *value;
};

static const struct parameter parameters[] = {
    PARAMETER(merge, aggregate, AGGREGATE, REQUIRED, .description = "The key of the row, like jobneed/7."),
    PARAMETER(merge, field, TEXT, REQUIRED, .minimum = 1, .maximum = WORD_SIZE_MAX,
              .description = "The JSON field of the row, like other_info."),
    PARAMETER(merge, value, JSON, REQUIRED,
              .description = "An object: its members are added, or put in the place of those of the same name."),
    { .name = NULL },
};

static bool identify(const void *data, struct arena *arena, struct aggregate *ret, struct span *reterr)
{
    const struct merge *merge = data;
    if (merge->value->kind != NODE_OBJECT)
    {
        *reterr = parameters_failure(arena, SPAN_LITERAL("/value"), "expected an object");
        return false;
    }
    return json_field_identify(merge->aggregate, merge->field, arena, ret, reterr);
}

static void needs(const struct command *command, struct rows *rows)
{
    const struct merge *merge = command->parameters;
    rows_want(rows, json_field_find(merge->aggregate.kind, merge->field)->entity, merge->aggregate.id);
}

static struct json_member *read_changes(const struct command *command, const struct node *value, struct arena *arena)
{
    struct json_member *changes = arena_take(arena, value->count * sizeof(*changes));
    size_t count = 0;
    for (const struct node *child = document_first(&command->document, value); child && changes;
         child = document_next(&command->document, value, child))
        changes[count++] = (struct json_member){ child->key, child->raw };
    return changes;
}

static void decide(const struct command *command, struct rows *rows, struct decision *decision)
{
    const struct merge *merge = command->parameters;
    const struct json_field *field = json_field_find(merge->aggregate.kind, merge->field);
    const struct span *present = json_field_read(field, rows, decision);
    if (!present)
        return;
    struct json_member *changes = read_changes(command, merge->value, decision->arena);
    struct span merged;
    if (!changes || !json_text_merge(decision->arena, *present, changes, merge->value->count, &merged))
    {
        decision_refuse_parameter(decision, "/field", "does not hold an object");
        return;
    }
    json_field_change(field, rows, decision, *present, merged);
}

const struct workflow workflow_json_merge = {
    .type = "json.merge",
    .named = { .kind = AGGREGATE_NONE, .member = "aggregate" },
    .description = "Merges an object into a JSON field, at its top level.",
    .parameters = parameters,
    .parameters_size = sizeof(struct merge),
    .operation = OPERATION_JSON_UPDATE,
    .lock_class = LOCK_JOB_WORKFLOW,
    .identify = identify,
    .needs = needs,
    .decide = decide,
};
