#include "workflows/assignee.h"
#include "workflows/job/job.h"

struct assign
{
    struct field_int jobneed_id, assigned_person_id, assigned_group_id;
};

static const struct parameter parameters[] = {
    PARAMETER(assign, jobneed_id, ID, REQUIRED, .description = "The root jobneed."),
    PARAMETER(assign, assigned_person_id, ID, CLEARABLE, .description = "The person; absent: kept, null or 1: nobody."),
    PARAMETER(assign, assigned_group_id, ID, CLEARABLE, .description = "The group; absent: kept, null or 1: nobody."),
    { .name = NULL },
};

static void decide(const struct command *command, struct rows *rows, struct decision *decision)
{
    const struct assign *assign = command->parameters;
    const struct jobneed_row *present = jobneed_read_root(rows, decision, assign->jobneed_id.value, "/jobneed_id");
    if (!present)
        return;
    struct assignee assignee = assignee_read(assign->assigned_person_id, assign->assigned_group_id);
    if (!assignee.person_given && !assignee.group_given)
    {
        decision_refuse_parameter(decision, "", "expected at least one of assigned_person_id, assigned_group_id");
        return;
    }
    if (!assignment_changes(&assignee, present->assigned_person_id, present->assigned_group_id))
    {
        decision_leave(decision);
        return;
    }
    struct jobneed_row *jobneed = rows_edit(rows, &entity_jobneed, command->aggregate.id);
    assignee_set(&assignee, &jobneed->assigned_person_id, &jobneed->assigned_group_id);
    decision_apply(decision);
}

const struct workflow workflow_job_assign = {
    .type = "job.assign",
    .named = NAMED(AGGREGATE_JOBNEED, assign, jobneed_id),
    .description = "Assigns a root jobneed to a person, a group, both, or nobody.",
    .parameters = parameters,
    .parameters_size = sizeof(struct assign),
    .operation = OPERATION_ASSIGNMENT_CHANGE,
    .lock_class = LOCK_JOB_WORKFLOW,
    .needs = jobneed_want_root,
    .decide = decide,
};
