#include "workflows/job/checkpoint.h"

struct update
{
    struct checkpoint_change change; /* first: the shared rows of the table count from here */
    struct field_int parent_id;
};

static const struct parameter parameters[] = {
    CHECKPOINT_CHANGE_PARAMETERS,
    PARAMETER(update, parent_id, ID, REQUIRED, .description = "The root jobneed it belongs to."),
    { .name = NULL },
};

/* Both rows, each by its id: the parent's other checkpoints may be many. */
static void needs(const struct command *command, struct rows *rows)
{
    const struct update *update = command->parameters;
    rows_want(rows, &entity_jobneed, command->aggregate.id);
    rows_want(rows, &entity_jobneed, id_of(update->change.jobneed_id.value));
}

static void decide(const struct command *command, struct rows *rows, struct decision *decision)
{
    const struct update *update = command->parameters;
    const struct checkpoint_change *change = &update->change;
    int64_t parent_id = update->parent_id.value;
    if (!jobneed_read_root(rows, decision, parent_id, "/parent_id"))
        return;
    const struct jobneed_row *present = checkpoint_check(change, CHECKPOINT_ALONE, parent_id, rows, decision);
    if (!present)
        return;
    if (!checkpoint_differs(change, present))
    {
        decision_leave(decision);
        return;
    }
    decision_add_int(decision, "jobneed_id", change->jobneed_id.value);
    checkpoint_change(change, rows);
    rows_edit(rows, &entity_jobneed, id_of(parent_id));
    decision_apply(decision);
}

const struct workflow workflow_job_update_checkpoint = {
    .type = "job.update_checkpoint",
    .named = NAMED(AGGREGATE_JOBNEED, update, parent_id),
    .description = "Changes one checkpoint and, with it, its parent's modified time and author.",
    .parameters = parameters,
    .parameters_size = sizeof(struct update),
    .operation = OPERATION_CHECKPOINT_UPDATE,
    .flags = WORKFLOW_CHILD,
    .lock_class = LOCK_PARENT_WITH_CHILDREN,
    .needs = needs,
    .decide = decide,
};
