#include "workflows/assignee.h"
#include "workflows/job/job.h"
#include "workflows/model/limits.h"

struct checkpoint
{
    struct field_int jobneed_id, asset_id, question_set_id, seq;
};

struct create
{
    struct field_int jobneed_id, job_id, parent_id, starts_at, expires_at, grace_minutes, assigned_person_id,
        assigned_group_id, site_id, client_id;
    int identifier, type;
    struct field_objects checkpoints;
    const struct node *other_info;
};

static const struct parameter checkpoint_parameters[] = {
    PARAMETER(checkpoint, jobneed_id, ID, NULLABLE, .description = "The checkpoint's id; drawn when absent."),
    PARAMETER(checkpoint, asset_id, ID, REQUIRED, .description = "The asset to visit."),
    PARAMETER(checkpoint, question_set_id, ID, REQUIRED, .description = "The questions to ask there; once per asset."),
    PARAMETER(checkpoint, seq, INTEGER, REQUIRED, .minimum = 0, .maximum = INT32_LIMIT,
              .description = "Its place in the tour."),
    { .name = NULL },
};

static const struct parameter parameters[] = {
    PARAMETER(create, jobneed_id, ID, NULLABLE, .description = "The new jobneed's id; drawn when absent."),
    PARAMETER(create, job_id, ID, NULLABLE, .description = "The job it is an occurrence of."),
    PARAMETER(create, parent_id, ID, NULLABLE, .description = "A root jobneed: the new one is its checkpoint."),
    PARAMETER(create, identifier, NAME, REQUIRED, .names = &names_jobneed_identifier,
              .description = "The kind of work."),
    PARAMETER(create, type, NAME, REQUIRED, .names = &names_jobneed_type, .description = "Planned or not."),
    PARAMETER(create, starts_at, TIME, REQUIRED, .description = "When it is due."),
    PARAMETER(create, expires_at, TIME, NULLABLE, .description = "When it is too late; not before starts_at."),
    PARAMETER(create, grace_minutes, INTEGER, NULLABLE, .minimum = 0, .maximum = INT32_LIMIT,
              .description = "Minutes of grace."),
    PARAMETER(create, assigned_person_id, ID, NULLABLE, .description = "Who is to do it; 1 is nobody."),
    PARAMETER(create, assigned_group_id, ID, NULLABLE, .description = "Which group is to do it; 1 is nobody."),
    PARAMETER(create, site_id, ID, NULLABLE, .description = "The site."),
    PARAMETER(create, client_id, ID, NULLABLE, .description = "The client."),
    PARAMETER(create, checkpoints, OBJECTS, NULLABLE, .minimum = 0, .maximum = CHECKPOINTS_MAX,
              .members = checkpoint_parameters, .member_size = sizeof(struct checkpoint),
              .description = "The checkpoints of a tour."),
    PARAMETER(create, other_info, JSON, NULLABLE, .description = "An object."),
    { .name = NULL },
};

static bool identify(const void *data, struct arena *arena, struct aggregate *ret, struct span *reterr)
{
    const struct create *create = data;
    if (create->parent_id.set || create->jobneed_id.set)
        *ret = jobneed_aggregate(create->parent_id.set ? create->parent_id.value : create->jobneed_id.value);
    const char *pointer = NULL, *message = NULL;
    if (create->expires_at.set && create->expires_at.value < create->starts_at.value)
        pointer = "/expires_at", message = "is before starts_at";
    else if (create->parent_id.set && create->checkpoints.count)
        pointer = "/checkpoints", message = "a checkpoint has no checkpoints";
    else if (create->other_info && create->other_info->kind != NODE_OBJECT)
        pointer = "/other_info", message = "expected an object";
    if (pointer)
        *reterr = parameters_failure(arena, span_of(pointer), message);
    return !pointer;
}

/* A child makes no root row: it is one more checkpoint of its parent. */
static enum operation name_operation(const void *data)
{
    return ((const struct create *)data)->parent_id.set ? OPERATION_CHECKPOINT_UPDATE : OPERATION_CREATION;
}

/* Wants the row that an id names, or an id to be drawn. */
static void want_new(struct rows *rows, struct field_int id)
{
    if (id.set)
        rows_want(rows, &entity_jobneed, id_of(id.value));
    else
        rows_want_ids(rows, &entity_jobneed, 1);
}

static void needs(const struct command *command, struct rows *rows)
{
    const struct create *create = command->parameters;
    const struct checkpoint *checkpoints = create->checkpoints.at;
    if (create->parent_id.set)
        rows_want(rows, &entity_jobneed, id_of(create->parent_id.value));
    want_new(rows, create->jobneed_id);
    for (size_t i = 0; i < create->checkpoints.count; i++)
        want_new(rows, checkpoints[i].jobneed_id);
    if (create->job_id.set)
        rows_want_look(rows, &entity_job, 1, &(struct job_row){ .id = create->job_id });
}

/* The new row; NULL with the refusal made. `parent` is null for a root. */
static struct jobneed_row *insert(struct rows *rows, struct decision *decision, const struct create *create,
                                  struct field_int id, struct field_int parent)
{
    if (!id.set)
        id = int_of(rows_take_id(rows, &entity_jobneed));
    struct jobneed_row *jobneed = parent.set
                                      ? rows_insert_child(rows, &entity_jobneed, id_of(id.value), id_of(parent.value))
                                      : rows_insert(rows, &entity_jobneed, id_of(id.value));
    if (!jobneed)
    {
        decision_refuse_row(decision, REASON_ALREADY_EXISTS, "jobneed_id", id.value);
        return NULL;
    }
    jobneed->status = JOBNEED_ASSIGNED;
    jobneed->identifier = create->identifier;
    jobneed->type = create->type;
    jobneed->starts_at = create->starts_at;
    jobneed->seq = jobneed->grace_minutes = jobneed->attachment_count = int_of(0);
    jobneed->other_info = SPAN_LITERAL("{}");
    return jobneed;
}

/* The mirror of jobneed_checkpoint_once: the checkpoint's index, or -1. */
static int64_t find_twin(const struct create *create)
{
    const struct checkpoint *checkpoints = create->checkpoints.at;
    for (size_t i = 1; i < create->checkpoints.count; i++)
        for (size_t n = 0; n < i; n++)
            if (checkpoints[i].asset_id.value == checkpoints[n].asset_id.value &&
                checkpoints[i].question_set_id.value == checkpoints[n].question_set_id.value)
                return (int64_t)i;
    return -1;
}

static bool insert_checkpoints(struct rows *rows, struct decision *decision, const struct create *create,
                               struct field_int parent)
{
    const struct checkpoint *checkpoints = create->checkpoints.at;
    struct buffer ids = BUFFER_EMPTY;
    bool all = true;
    for (size_t i = 0; i < create->checkpoints.count && all; i++)
    {
        struct jobneed_row *child = insert(rows, decision, create, checkpoints[i].jobneed_id, parent);
        all = child != NULL;
        if (!all)
            break;
        child->asset_id = checkpoints[i].asset_id;
        child->question_set_id = checkpoints[i].question_set_id;
        child->seq = checkpoints[i].seq;
        buffer_add_byte(&ids, i ? ',' : '[');
        buffer_add_int64(&ids, child->id.value);
    }
    buffer_add_byte(&ids, ']');
    if (buffer_failed(&ids))
        decision->arena->failed = true; /* the batch is given up, as for any memory that could not be had */
    if (all && create->checkpoints.count)
        decision_add_raw(decision, "checkpoint_ids", buffer_span(&ids));
    buffer_done(&ids);
    return all;
}

static bool check(const struct create *create, const struct rows *rows, struct decision *decision)
{
    /* An earlier command of the batch may have made the job: then PostgreSQL does not have it yet. */
    if (create->job_id.set && !rows_look(rows, &entity_job, 1, &(struct job_row){ .id = create->job_id }) &&
        !rows_read(rows, &entity_job, id_of(create->job_id.value)))
    {
        decision_refuse_row(decision, REASON_NOT_FOUND, "job_id", create->job_id.value);
        return false;
    }
    if (create->parent_id.set && !jobneed_read_root(rows, decision, create->parent_id.value, "/parent_id"))
        return false;
    int64_t twin = find_twin(create);
    if (twin >= 0)
        decision_refuse_row(decision, REASON_ALREADY_EXISTS, "checkpoint", twin);
    return twin < 0;
}

static void decide(const struct command *command, struct rows *rows, struct decision *decision)
{
    const struct create *create = command->parameters;
    if (!check(create, rows, decision))
        return;
    struct jobneed_row *jobneed = insert(rows, decision, create, create->jobneed_id, create->parent_id);
    if (!jobneed)
        return;
    jobneed->job_id = create->job_id;
    jobneed->site_id = create->site_id;
    jobneed->client_id = create->client_id;
    jobneed->assigned_person_id = assignee_of_id(create->assigned_person_id);
    jobneed->assigned_group_id = assignee_of_id(create->assigned_group_id);
    jobneed->expires_at = create->expires_at;
    if (create->grace_minutes.set)
        jobneed->grace_minutes = create->grace_minutes;
    if (create->other_info)
        jobneed->other_info = create->other_info->raw;
    if (create->parent_id.set)
    {
        /* The new row belongs to its parent's aggregate, whose version this raises. */
        rows_edit(rows, &entity_jobneed, id_of(create->parent_id.value));
        decision_add_int(decision, "jobneed_id", jobneed->id.value);
    }
    else
        decision->aggregate = jobneed_aggregate(jobneed->id.value);
    if (insert_checkpoints(rows, decision, create, jobneed->id))
        decision_apply(decision);
}

const struct workflow workflow_job_create = {
    .type = "job.create",
    .named = { .kind = AGGREGATE_JOBNEED, .member = "parent_id", .otherwise = "jobneed_id" },
    .description = "Creates a jobneed in ASSIGNED, with its checkpoints.",
    .parameters = parameters,
    .parameters_size = sizeof(struct create),
    .operation = OPERATION_CREATION,
    .name_operation = name_operation,
    .flags = WORKFLOW_CREATES,
    .lock_class = LOCK_PARENT_WITH_CHILDREN,
    .identify = identify,
    .needs = needs,
    .decide = decide,
};
