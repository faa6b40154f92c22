#include "workflows/json/field.h"

#include "workflows/attendance/attendance.h"
#include "workflows/behaviour/behaviour.h"
#include "workflows/document/text.h"
#include "workflows/job/job.h"
#include "workflows/model/limits.h"

#define OBJECT(kind, row, column) \
    { \
        AGGREGATE_##kind, #column, &entity_##row, offsetof(struct row##_row, column), false \
    }
#define ARRAY(kind, row, column) \
    { \
        AGGREGATE_##kind, #column, &entity_##row, offsetof(struct row##_row, column), true \
    }

/* One line a field. */
static const struct json_field fields[] = {
    OBJECT(JOBNEED, jobneed, other_info),           OBJECT(JOB, job, other_info),
    OBJECT(ATTENDANCE, attendance, extras),         ARRAY(BEHAVIOUR, behaviour_profile, anomaly_history),
    OBJECT(BEHAVIOUR, behaviour_profile, arrivals), OBJECT(BEHAVIOUR, behaviour_profile, frequent_locations),
};

const struct json_field *json_field_find(enum aggregate_kind kind, struct span name)
{
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        if (fields[i].kind == kind && span_is(name, fields[i].name))
            return &fields[i];
    return NULL;
}

static bool is_kind_listed(enum aggregate_kind kind)
{
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        if (fields[i].kind == kind)
            return true;
    return false;
}

bool json_field_identify(struct aggregate aggregate, struct span name, struct arena *arena, struct aggregate *ret,
                         struct span *reterr)
{
    if (json_field_find(aggregate.kind, name))
    {
        *ret = aggregate;
        return true;
    }
    *reterr = is_kind_listed(aggregate.kind) ? parameters_failure(arena, SPAN_LITERAL("/field"),
                                                                  "no JSON field of this aggregate may be changed "
                                                                  "by that name")
                                             : parameters_failure(arena, SPAN_LITERAL("/aggregate"),
                                                                  "this kind of aggregate has no JSON field "
                                                                  "that may be changed");
    return false;
}

const struct span *json_field_read(const struct json_field *field, const struct rows *rows, struct decision *decision)
{
    const struct entity *entity = field->entity;
    const void *row = rows_read(rows, entity, decision->aggregate.id);
    if (!row)
    {
        decision_refuse(decision, REASON_NOT_FOUND);
        return NULL;
    }
    if (entity->parent != COLUMN_NOT_THERE)
    {
        const struct field_int *parent = entity_field_const(&entity->columns[entity->parent], row);
        if (parent->set)
        {
            decision_refuse_parameter(decision, "/aggregate", "is a child row: it has no aggregate of its own");
            decision_add_int(decision, "parent_id", parent->value);
            return NULL;
        }
    }
    return (const struct span *)((const char *)row + field->offset);
}

const char *json_field_accept(const struct json_field *field, const struct node *value)
{
    if (field->array)
        return value->kind == NODE_ARRAY ? NULL : "expected an array";
    return value->kind == NODE_OBJECT ? NULL : "expected an object";
}

void json_field_set(const struct json_field *field, struct rows *rows, struct decision *decision, struct span text)
{
    if (json_text_depth(text) > JSON_DEPTH_MAX)
    {
        decision_refuse(decision, REASON_TOO_LARGE);
        decision_add_int(decision, "depth_limit", JSON_DEPTH_MAX);
        return;
    }
    if (json_text_size(decision->arena, text) > JSON_FIELD_MAX)
    {
        decision_refuse(decision, REASON_TOO_LARGE);
        decision_add_int(decision, "limit", JSON_FIELD_MAX);
        return;
    }
    char *row = rows_edit(rows, field->entity, decision->aggregate.id);
    *(struct span *)(row + field->offset) = text;
    decision_add_text(decision, "field", span_of(field->name));
    decision_apply(decision);
}

void json_field_change(const struct json_field *field, struct rows *rows, struct decision *decision,
                       struct span present, struct span text)
{
    if (json_text_equal(decision->arena, present, text))
        decision_leave(decision);
    else
        json_field_set(field, rows, decision, text);
}
