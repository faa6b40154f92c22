#include "workflows/job/job.h"
#include "workflows/model/limits.h"

struct change
{
    struct field_int jobneed_id;
    int status;
    struct span remarks;
};

static const struct parameter parameters[] = {
    PARAMETER(change, jobneed_id, ID, REQUIRED, .description = "The root jobneed."),
    PARAMETER(change, status, NAME, REQUIRED, .names = &names_jobneed_status, .description = "The status to go to."),
    PARAMETER(change, remarks, TEXT, NULLABLE, .maximum = TEXT_SIZE_MAX,
              .description = "Take the place of the jobneed's remarks."),
    { .name = NULL },
};

static void decide(const struct command *command, struct rows *rows, struct decision *decision)
{
    const struct change *change = command->parameters;
    const struct jobneed_row *present = jobneed_read_root(rows, decision, change->jobneed_id.value, "/jobneed_id");
    if (!present)
        return;
    if (!decision_pass_transition(decision, &machine_jobneed, present->status, change->status))
        return;
    struct jobneed_row *jobneed = rows_edit(rows, &entity_jobneed, command->aggregate.id);
    jobneed->status = change->status;
    if (change->remarks.at)
        jobneed->remarks = change->remarks;
    decision_apply(decision);
}

const struct workflow workflow_job_transition = {
    .type = "job.transition",
    .named = NAMED(AGGREGATE_JOBNEED, change, jobneed_id),
    .description = "Takes a root jobneed to another status that its present one allows.",
    .parameters = parameters,
    .parameters_size = sizeof(struct change),
    .operation = OPERATION_STATUS_CHANGE,
    .lock_class = LOCK_JOB_WORKFLOW,
    .needs = jobneed_want_root,
    .decide = decide,
};
