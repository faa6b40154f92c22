#include "workflows/job/job.h"
#include "workflows/limits.h"

struct update
{
    struct field_int jobneed_id, parent_id, seq, expires_at;
    int status;
    struct span remarks;
};

static const struct parameter parameters[] = {
    PARAMETER(update, jobneed_id, ID, REQUIRED, .description = "The checkpoint."),
    PARAMETER(update, parent_id, ID, REQUIRED, .description = "The root jobneed it belongs to."),
    PARAMETER(update, status, NAME, NULLABLE, .names = &names_jobneed_status, .description = "The status to go to."),
    PARAMETER(update, seq, INTEGER, NULLABLE, .minimum = 0, .maximum = INT32_LIMIT,
              .description = "Its place in the tour."),
    PARAMETER(update, expires_at, TIME, NULLABLE, .description = "When it is too late; not before its start."),
    PARAMETER(update, remarks, TEXT, NULLABLE, .maximum = TEXT_SIZE_MAX,
              .description = "Take the place of its remarks."),
    { .name = NULL },
};

static bool identify(const void *data, struct arena *arena, struct aggregate *ret, struct span *reterr)
{
    (void)arena;
    (void)reterr;
    *ret = jobneed_aggregate(((const struct update *)data)->parent_id.value);
    return true;
}

/* Both rows, each by its id: the parent's other checkpoints may be many. */
static void needs(const struct command *command, struct rows *rows)
{
    const struct update *update = command->parameters;
    rows_want(rows, &entity_jobneed, command->aggregate.id);
    rows_want(rows, &entity_jobneed, id_of(update->jobneed_id.value));
}

/* The checkpoint as it is; NULL with the refusal made. */
static const struct jobneed_row *read_child(const struct update *update, const struct rows *rows,
                                            struct decision *decision)
{
    if (!jobneed_read_root(rows, decision, update->parent_id.value, "/parent_id"))
        return NULL;
    const struct jobneed_row *child = rows_read(rows, &entity_jobneed, id_of(update->jobneed_id.value));
    if (!child || !child->parent_id.set || child->parent_id.value != update->parent_id.value)
    {
        decision_refuse_row(decision, REASON_NOT_FOUND, "jobneed_id", update->jobneed_id.value);
        return NULL;
    }
    if (update->status && transition_check(&machine_jobneed, child->status, update->status) == TRANSITION_REFUSED)
    {
        decision_refuse_transition(decision, &machine_jobneed, child->status, update->status);
        return NULL;
    }
    if (update->expires_at.set && update->expires_at.value < child->starts_at.value)
    {
        decision_refuse_parameter(decision, "/expires_at", "is before the checkpoint's start");
        return NULL;
    }
    return child;
}

static bool differs(struct field_int given, struct field_int present)
{
    return given.set && !(present.set && present.value == given.value);
}

static bool changes(const struct update *update, const struct jobneed_row *child)
{
    return (update->status && update->status != child->status) || differs(update->seq, child->seq) ||
           differs(update->expires_at, child->expires_at) ||
           (update->remarks.at && !span_equal(update->remarks, child->remarks));
}

static void decide(const struct command *command, struct rows *rows, struct decision *decision)
{
    const struct update *update = command->parameters;
    const struct jobneed_row *present = read_child(update, rows, decision);
    if (!present)
        return;
    if (!changes(update, present))
    {
        decision_leave(decision);
        return;
    }
    decision_add_int(decision, "jobneed_id", update->jobneed_id.value);
    if (update->status && update->status != present->status)
        decision_add_name_change(decision, "status", &names_jobneed_status, present->status, update->status);
    struct jobneed_row *child = rows_edit(rows, &entity_jobneed, id_of(update->jobneed_id.value));
    if (update->status)
        child->status = update->status;
    if (update->seq.set)
        child->seq = update->seq;
    if (update->expires_at.set)
        child->expires_at = update->expires_at;
    if (update->remarks.at)
        child->remarks = update->remarks;
    /* The parent says when and by whom its checkpoints changed. */
    rows_edit(rows, &entity_jobneed, id_of(update->parent_id.value));
    decision_apply(decision);
}

const struct workflow workflow_job_update_checkpoint = {
    .type = "job.update_checkpoint",
    .description = "Changes one checkpoint and, with it, its parent's modified time and author.",
    .parameters = parameters,
    .parameters_size = sizeof(struct update),
    .operation = OPERATION_CHECKPOINT_UPDATE,
    .lock_class = LOCK_PARENT_WITH_CHILDREN,
    .identify = identify,
    .needs = needs,
    .decide = decide,
};
