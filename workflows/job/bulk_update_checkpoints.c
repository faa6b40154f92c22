#include "workflows/job/checkpoint.h"

struct bulk
{
    struct field_int parent_id;
    struct field_objects checkpoints;
};

static const struct parameter checkpoint_parameters[] = {
    CHECKPOINT_CHANGE_PARAMETERS,
    { .name = NULL },
};

static const struct parameter parameters[] = {
    PARAMETER(bulk, parent_id, ID, REQUIRED, .description = "The root jobneed they all belong to."),
    PARAMETER(bulk, checkpoints, OBJECTS, REQUIRED, .minimum = 1, .maximum = CHECKPOINTS_MAX,
              .members = checkpoint_parameters, .member_size = sizeof(struct checkpoint_change),
              .description = "Its checkpoints, each once; one that may not change so rejects all."),
    { .name = NULL },
};

/* The index of a checkpoint that the array has a second time, or -1. */
static int find_second(const struct bulk *bulk)
{
    const struct checkpoint_change *changes = bulk->checkpoints.at;
    for (size_t i = 1; i < bulk->checkpoints.count; i++)
        for (size_t n = 0; n < i; n++)
            if (changes[i].jobneed_id.value == changes[n].jobneed_id.value)
                return (int)i;
    return -1;
}

static bool identify(const void *data, struct arena *arena, struct aggregate *ret, struct span *reterr)
{
    const struct bulk *bulk = data;
    *ret = jobneed_aggregate(bulk->parent_id.value);
    int second = find_second(bulk);
    if (second < 0)
        return true;
    char pointer[CHECKPOINT_POINTER_SIZE];
    checkpoint_print_pointer(second, "jobneed_id", pointer);
    *reterr = parameters_failure(arena, span_of(pointer), "stands there twice");
    return false;
}

static void needs(const struct command *command, struct rows *rows)
{
    const struct bulk *bulk = command->parameters;
    const struct checkpoint_change *changes = bulk->checkpoints.at;
    rows_want(rows, &entity_jobneed, command->aggregate.id);
    for (size_t i = 0; i < bulk->checkpoints.count; i++)
        rows_want(rows, &entity_jobneed, id_of(changes[i].jobneed_id.value));
}

/* Every checkpoint is asked before one is changed. */
static bool check(const struct bulk *bulk, const struct rows *rows, struct decision *decision)
{
    const struct checkpoint_change *changes = bulk->checkpoints.at;
    if (!jobneed_read_root(rows, decision, bulk->parent_id.value, "/parent_id"))
        return false;
    for (size_t i = 0; i < bulk->checkpoints.count; i++)
        if (!checkpoint_check(&changes[i], (int)i, bulk->parent_id.value, rows, decision))
            return false;
    return true;
}

static void decide(const struct command *command, struct rows *rows, struct decision *decision)
{
    const struct bulk *bulk = command->parameters;
    const struct checkpoint_change *changes = bulk->checkpoints.at;
    if (!check(bulk, rows, decision))
        return;
    int64_t count = 0;
    for (size_t i = 0; i < bulk->checkpoints.count; i++)
    {
        const struct jobneed_row *present = rows_read(rows, &entity_jobneed, id_of(changes[i].jobneed_id.value));
        if (!checkpoint_differs(&changes[i], present))
            continue;
        checkpoint_change(&changes[i], rows);
        count++;
    }
    decision_add_int(decision, "count", count);
    decision_add_int(decision, "unchanged", (int64_t)bulk->checkpoints.count - count);
    if (count)
    {
        rows_edit(rows, &entity_jobneed, command->aggregate.id);
        decision_apply(decision);
    }
    else
        decision_leave(decision);
}

const struct workflow workflow_job_bulk_update_checkpoints = {
    .type = "job.bulk_update_checkpoints",
    .named = { .kind = AGGREGATE_JOBNEED, .member = "parent_id" },
    .description = "Changes several checkpoints of one parent, all or none.",
    .parameters = parameters,
    .parameters_size = sizeof(struct bulk),
    .operation = OPERATION_CHECKPOINT_UPDATE,
    .lock_class = LOCK_PARENT_WITH_CHILDREN,
    .identify = identify,
    .needs = needs,
    .decide = decide,
};
