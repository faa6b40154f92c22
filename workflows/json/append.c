#include "workflows/document/text.h"
#include "workflows/json/field.h"
#include "workflows/model/limits.h"

struct append
{
    struct aggregate aggregate;
    struct span field, key;
    const struct node *value;
    struct field_int max_length;
};

static const struct parameter parameters[] = {
    PARAMETER(append, aggregate, AGGREGATE, REQUIRED, .description = "The key of the row, like jobneed/7."),
    PARAMETER(append, field, TEXT, REQUIRED, .minimum = 1, .maximum = WORD_SIZE_MAX,
              .description = "The JSON field of the row, like other_info."),
    PARAMETER(append, key, TEXT, REQUIRED, .minimum = 1, .maximum = WORD_SIZE_MAX,
              .description = "The member that holds the array; one that is missing or no array becomes one."),
    PARAMETER(append, value, JSON, REQUIRED, .description = "Any JSON: the new last element."),
    PARAMETER(append, max_length, INTEGER, NULLABLE, .minimum = 1, .maximum = JSON_LENGTH_MAX,
              .description = "How many elements are kept: the oldest beyond it are dropped."),
    { .name = NULL },
};

static bool identify(const void *data, struct arena *arena, struct aggregate *ret, struct span *reterr)
{
    const struct append *append = data;
    return json_field_identify(append->aggregate, append->field, arena, ret, reterr);
}

static void needs(const struct command *command, struct rows *rows)
{
    const struct append *append = command->parameters;
    rows_want(rows, json_field_find(append->aggregate.kind, append->field)->entity, append->aggregate.id);
}

/* The present text under the key, or null. */
static bool read_member(struct arena *arena, struct span object, struct span key, struct span *ret)
{
    struct json_member *members;
    size_t count;
    *ret = SPAN_NULL;
    if (!object.at)
        return true;
    if (!json_text_read_object(arena, object, &members, &count))
        return false;
    for (size_t i = 0; i < count; i++)
        if (span_equal(members[i].key, key))
            *ret = members[i].value;
    return true;
}

/* Never `unchanged`: pushing out the oldest may leave the array as it was, and the value was appended all the same. */
static void decide(const struct command *command, struct rows *rows, struct decision *decision)
{
    const struct append *append = command->parameters;
    const struct json_field *field = json_field_find(append->aggregate.kind, append->field);
    const struct span *present = json_field_read(field, rows, decision);
    if (!present)
        return;
    size_t length_max = append->max_length.set ? (size_t)append->max_length.value : SIZE_MAX;
    struct json_member change = { .key = append->key };
    struct span array, merged;
    if (!read_member(decision->arena, *present, append->key, &array) ||
        !json_text_append(decision->arena, array, append->value->raw, length_max, &change.value) ||
        !json_text_merge(decision->arena, *present, &change, 1, &merged))
    {
        decision_refuse_parameter(decision, "/field", "does not hold an object");
        return;
    }
    json_field_set(field, rows, decision, merged);
}

const struct workflow workflow_json_append = {
    .type = "json.append",
    .named = { .kind = AGGREGATE_NONE, .member = "aggregate" },
    .description = "Appends a value to an array in a JSON field.",
    .parameters = parameters,
    .parameters_size = sizeof(struct append),
    .operation = OPERATION_JSON_UPDATE,
    .lock_class = LOCK_JOB_WORKFLOW,
    .identify = identify,
    .needs = needs,
    .decide = decide,
};
