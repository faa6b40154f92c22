/* A person's geofence for a time: from starts_at to ends_at, and where minutes are given only between these two minutes
 * of the day, in the assignment's own offset from UTC, across midnight when the first is the later one.
 */
#include "workflows/assignee.h"
#include "workflows/job/plan.h"

struct assigned
{
    struct plan_save save; /* first: plan.h */
    struct field_int person_id, geofence_id, starts_at, ends_at, from_minute, until_minute, utc_offset_minutes,
        asset_id, question_set_id, client_id;
    struct span name;
};

enum
{
    MINUTE_MAX = 1439, /* of a day */
    OFFSET_MIN = -720, /* minutes east of UTC */
    OFFSET_MAX = 840,
};

static const struct parameter parameters[] = {
    PLAN_SAVE_PARAMETERS,
    PARAMETER(assigned, name, TEXT, NULLABLE, .minimum = 1, .maximum = WORD_SIZE_MAX,
              .description = "Once per root, asset, question set and client; create needs it."),
    PARAMETER(assigned, person_id, ID, CLEARABLE, .description = "Whose; create needs it, and it is not 1, nobody."),
    PARAMETER(assigned, geofence_id, ID, NULLABLE, .description = "The geofence; create needs it."),
    PARAMETER(assigned, starts_at, TIME, NULLABLE, .description = "Its first moment; create needs it."),
    PARAMETER(assigned, ends_at, TIME, CLEARABLE, .description = "Its last moment; not before starts_at."),
    PARAMETER(assigned, from_minute, INTEGER, CLEARABLE, .minimum = 0, .maximum = MINUTE_MAX,
              .description = "The minute of the day from which it holds; with until_minute."),
    PARAMETER(assigned, until_minute, INTEGER, CLEARABLE, .minimum = 0, .maximum = MINUTE_MAX,
              .description = "The minute of the day until which it holds; with from_minute."),
    PARAMETER(assigned, utc_offset_minutes, INTEGER, NULLABLE, .minimum = OFFSET_MIN, .maximum = OFFSET_MAX,
              .description = "The offset of these minutes: minutes east of UTC; 0 when absent."),
    PARAMETER(assigned, asset_id, ID, CLEARABLE, .description = "The asset."),
    PARAMETER(assigned, question_set_id, ID, CLEARABLE, .description = "The question set."),
    PARAMETER(assigned, client_id, ID, CLEARABLE, .description = "The client; of create when absent: the root's."),
    { .name = NULL },
};

#define FIELD(member) offsetof(struct assigned, member), offsetof(struct job_row, member), "/" #member

static const struct plan_field fields[] = {
    { FIELD(name), true, true },
    { FIELD(person_id), true, false },
    { FIELD(geofence_id), true, false },
    { FIELD(starts_at), true, false },
    { FIELD(ends_at), false, false },
    { FIELD(from_minute), false, false },
    { FIELD(until_minute), false, false },
    { FIELD(asset_id), false, false },
    { FIELD(utc_offset_minutes), false, false },
    { FIELD(client_id), false, false },
    { FIELD(question_set_id), false, false },
};

static bool admit(const struct job_row *root, struct decision *decision)
{
    (void)root;
    (void)decision;
    return true; /* any plan may have them */
}

static bool check(const struct job_row *next, struct decision *decision)
{
    const char *pointer = NULL, *message = NULL;
    if (next->ends_at.set && next->ends_at.value < next->starts_at.value)
        pointer = "/ends_at", message = "is before starts_at";
    else if (next->from_minute.set != next->until_minute.set)
        pointer = next->from_minute.set ? "/until_minute" : "/from_minute", message = "is required with the other one";
    if (pointer)
        decision_refuse_parameter(decision, pointer, message);
    return !pointer;
}

/* job_name_once; the parent and the identifier are the same */
static bool is_twin(const struct job_row *a, const struct job_row *b)
{
    return span_equal(a->name, b->name) && plan_equal(a->asset_id, b->asset_id) &&
           plan_equal(a->question_set_id, b->question_set_id) && plan_equal(a->client_id, b->client_id);
}

static const struct plan_kind kind = {
    .fields = fields,
    .field_count = sizeof(fields) / sizeof(fields[0]),
    .geofence = true,
    .admit = admit,
    .check = check,
    .is_twin = is_twin,
};

static bool identify(const void *data, struct arena *arena, struct aggregate *ret, struct span *reterr)
{
    const struct assigned *assigned = data;
    bool nobody =
        int_is_cleared(assigned->person_id) || (assigned->person_id.set && assigned->person_id.value == NOBODY);
    if (!plan_identify(data, &kind, arena, ret, reterr))
        return false;
    if (nobody && assigned->save.action != SAVE_REMOVE)
        *reterr = parameters_failure(arena, SPAN_LITERAL("/person_id"), "is nobody");
    return !nobody || assigned->save.action == SAVE_REMOVE;
}

static enum operation name_operation(const void *data)
{
    return plan_name_operation(data, OPERATION_FIELD_UPDATE);
}

static void decide(const struct command *command, struct rows *rows, struct decision *decision)
{
    plan_decide(command, &kind, rows, decision);
}

const struct workflow workflow_job_save_geofence_assignment = {
    .type = "job.save_geofence_assignment",
    .named = { .kind = AGGREGATE_JOB, .member = "parent_id" },
    .description = "Creates, edits or removes the assignment of a geofence to a person.",
    .parameters = parameters,
    .parameters_size = sizeof(struct assigned),
    .operation = OPERATION_FIELD_UPDATE,
    .name_operation = name_operation,
    .flags = WORKFLOW_CHILD,
    .lock_class = LOCK_PARENT_WITH_CHILDREN,
    .identify = identify,
    .needs = plan_needs,
    .decide = decide,
};
