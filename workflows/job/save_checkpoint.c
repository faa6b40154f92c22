/* Checkpoint jobs of guard tours (INTERNALTOUR) and site tours (EXTERNALTOUR): a checkpoint has its root's identifier.
 */
#include "workflows/job/plan.h"

struct checkpoint
{
    struct plan_save save; /* first: plan.h */
    struct field_int asset_id, question_set_id, seq, grace_minutes, plan_minutes, expiry_minutes;
    struct span name;
};

static const struct parameter parameters[] = {
    PLAN_SAVE_PARAMETERS,
    PARAMETER(checkpoint, asset_id, ID, NULLABLE, .description = "The asset to visit; create needs it."),
    PARAMETER(checkpoint, question_set_id, ID, NULLABLE,
              .description = "The questions to ask there, once per asset; create needs it."),
    PARAMETER(checkpoint, seq, INTEGER, NULLABLE, .minimum = 0, .maximum = INT32_LIMIT,
              .description = "Its place in the tour."),
    PARAMETER(checkpoint, grace_minutes, INTEGER, NULLABLE, .minimum = 0, .maximum = INT32_LIMIT,
              .description = "Minutes of grace."),
    PARAMETER(checkpoint, plan_minutes, INTEGER, NULLABLE, .minimum = 0, .maximum = INT32_LIMIT,
              .description = "Minutes that it is planned to take."),
    PARAMETER(checkpoint, expiry_minutes, INTEGER, NULLABLE, .minimum = 0, .maximum = INT32_LIMIT,
              .description = "Minutes until it is too late."),
    PARAMETER(checkpoint, name, TEXT, CLEARABLE, .minimum = 1, .maximum = WORD_SIZE_MAX, .description = "Its name."),
    { .name = NULL },
};

#define FIELD(member) offsetof(struct checkpoint, member), offsetof(struct job_row, member), "/" #member

static const struct plan_field fields[] = {
    { FIELD(asset_id), true, false },      { FIELD(question_set_id), true, false },
    { FIELD(seq), false, false },          { FIELD(grace_minutes), false, false },
    { FIELD(plan_minutes), false, false }, { FIELD(expiry_minutes), false, false },
    { FIELD(name), false, true },
};

static bool admit(const struct job_row *root, struct decision *decision)
{
    bool tour = root->identifier == IDENTIFIER_INTERNALTOUR || root->identifier == IDENTIFIER_EXTERNALTOUR;
    if (!tour)
        decision_refuse_parameter(decision, "/parent_id", "is not a tour");
    return tour;
}

/* job_checkpoint_once */
static bool is_twin(const struct job_row *a, const struct job_row *b)
{
    return plan_equal(a->asset_id, b->asset_id) && plan_equal(a->question_set_id, b->question_set_id);
}

static const struct plan_kind kind = {
    .fields = fields,
    .field_count = sizeof(fields) / sizeof(fields[0]),
    .admit = admit,
    .is_twin = is_twin,
};

static bool identify(const void *data, struct arena *arena, struct aggregate *ret, struct span *reterr)
{
    return plan_identify(data, &kind, arena, ret, reterr);
}

static enum operation name_operation(const void *data)
{
    return plan_name_operation(data, OPERATION_CHECKPOINT_UPDATE);
}

static void decide(const struct command *command, struct rows *rows, struct decision *decision)
{
    plan_decide(command, &kind, rows, decision);
}

const struct workflow workflow_job_save_checkpoint = {
    .type = "job.save_checkpoint",
    .named = { .kind = AGGREGATE_JOB, .member = "parent_id" },
    .description = "Creates, edits or removes a checkpoint of a tour's plan.",
    .parameters = parameters,
    .parameters_size = sizeof(struct checkpoint),
    .operation = OPERATION_CHECKPOINT_UPDATE,
    .name_operation = name_operation,
    .flags = WORKFLOW_CHILD,
    .lock_class = LOCK_PARENT_WITH_CHILDREN,
    .identify = identify,
    .needs = plan_needs,
    .decide = decide,
};
