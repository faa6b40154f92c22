#include "workflows/job/job.h"

struct autoclose
{
    struct field_int jobneed_id;
};

static const struct parameter parameters[] = {
    PARAMETER(autoclose, jobneed_id, ID, REQUIRED, .description = "The root jobneed."),
    { .name = NULL },
};

static void needs(const struct command *command, struct rows *rows)
{
    rows_want_children(rows, &entity_jobneed, command->aggregate.id);
}

static void decide(const struct command *command, struct rows *rows, struct decision *decision)
{
    const struct autoclose *autoclose = command->parameters;
    int64_t id = autoclose->jobneed_id.value;
    if (!jobneed_read_root(rows, decision, id, "/jobneed_id"))
        return;
    int count = jobneed_autoclose_checkpoints(rows, decision, id);
    if (count < 0)
        return;
    if (count == 0)
    {
        decision_leave(decision);
        return;
    }
    rows_edit(rows, &entity_jobneed, id_of(id));
    decision_add_int(decision, "checkpoints_autoclosed", count);
    decision_apply(decision);
}

const struct workflow workflow_job_autoclose_checkpoints = {
    .type = "job.autoclose_checkpoints",
    .named = NAMED(AGGREGATE_JOBNEED, autoclose, jobneed_id),
    .description = "Autocloses the ASSIGNED tour checkpoints of a jobneed.",
    .parameters = parameters,
    .parameters_size = sizeof(struct autoclose),
    .operation = OPERATION_AUTOCLOSE,
    .lock_class = LOCK_PARENT_WITH_CHILDREN,
    .needs = needs,
    .decide = decide,
};
