#include "workflows/json/field.h"
#include "workflows/model/limits.h"

struct replace
{
    struct aggregate aggregate;
    struct span field;
    const struct node *value;
};

static const struct parameter parameters[] = {
    PARAMETER(replace, aggregate, AGGREGATE, REQUIRED, .description = "The key of the row, like jobneed/7."),
    PARAMETER(replace, field, TEXT, REQUIRED, .minimum = 1, .maximum = WORD_SIZE_MAX,
              .description = "The JSON field of the row, like other_info."),
    PARAMETER(replace, value, JSON, REQUIRED,
              .description = "An object, or an array where the field holds one: what the field holds from now on."),
    { .name = NULL },
};

static bool identify(const void *data, struct arena *arena, struct aggregate *ret, struct span *reterr)
{
    const struct replace *replace = data;
    if (!json_field_identify(replace->aggregate, replace->field, arena, ret, reterr))
        return false;
    const char *why = json_field_accept(json_field_find(ret->kind, replace->field), replace->value);
    if (why)
        *reterr = parameters_failure(arena, SPAN_LITERAL("/value"), why);
    return !why;
}

static void needs(const struct command *command, struct rows *rows)
{
    const struct replace *replace = command->parameters;
    rows_want(rows, json_field_find(replace->aggregate.kind, replace->field)->entity, replace->aggregate.id);
}

static void decide(const struct command *command, struct rows *rows, struct decision *decision)
{
    const struct replace *replace = command->parameters;
    const struct json_field *field = json_field_find(replace->aggregate.kind, replace->field);
    const struct span *present = json_field_read(field, rows, decision);
    if (present)
        json_field_change(field, rows, decision, *present, replace->value->raw);
}

const struct workflow workflow_json_replace = {
    .type = "json.replace",
    .named = { .kind = AGGREGATE_NONE, .member = "aggregate" },
    .description = "Replaces a JSON field.",
    .parameters = parameters,
    .parameters_size = sizeof(struct replace),
    .operation = OPERATION_JSON_UPDATE,
    .lock_class = LOCK_JOB_WORKFLOW,
    .identify = identify,
    .needs = needs,
    .decide = decide,
};
