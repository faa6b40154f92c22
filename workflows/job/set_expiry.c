/* A tour's expiry is known only after its checkpoints were planned. It says when the sweep may close the jobneed, so
 * a COMPLETED or AUTOCLOSED jobneed (both are final) refuses it: invalid_transition, naming the status. The expiry that
 * the jobneed already has is `unchanged` in any status.
 */
#include "workflows/job/job.h"

struct expiry
{
    struct field_int jobneed_id;
    struct field_int expires_at;
};

static const struct parameter parameters[] = {
    PARAMETER(expiry, jobneed_id, ID, REQUIRED, .description = "The root jobneed."),
    PARAMETER(expiry, expires_at, TIME, REQUIRED, .description = "When it is too late; not before its start."),
    { .name = NULL },
};

static void decide(const struct command *command, struct rows *rows, struct decision *decision)
{
    const struct expiry *expiry = command->parameters;
    const struct jobneed_row *present = jobneed_read_root(rows, decision, expiry->jobneed_id.value, "/jobneed_id");
    if (!present)
        return;
    if (expiry->expires_at.value < present->starts_at.value)
        decision_refuse_parameter(decision, "/expires_at", "is before the jobneed's start");
    else if (present->expires_at.set && present->expires_at.value == expiry->expires_at.value)
        decision_leave(decision);
    else if (present->status == JOBNEED_COMPLETED || present->status == JOBNEED_AUTOCLOSED)
    {
        decision_refuse(decision, REASON_INVALID_TRANSITION);
        decision_add_text(decision, "status", names_word(&names_jobneed_status, present->status));
    }
    else
    {
        struct jobneed_row *jobneed = rows_edit(rows, &entity_jobneed, command->aggregate.id);
        jobneed->expires_at = expiry->expires_at;
        decision_apply(decision);
    }
}

const struct workflow workflow_job_set_expiry = {
    .type = "job.set_expiry",
    .named = NAMED(AGGREGATE_JOBNEED, expiry, jobneed_id),
    .description = "Sets when a root jobneed that is not finished expires.",
    .parameters = parameters,
    .parameters_size = sizeof(struct expiry),
    .operation = OPERATION_FIELD_UPDATE,
    .lock_class = LOCK_JOB_WORKFLOW,
    .needs = jobneed_want_root,
    .decide = decide,
};
