#include "workflows/job/plan.h"

static bool is_given(const struct plan_field *field, const void *data)
{
    const char *from = (const char *)data + field->from;
    return field->text ? ((const struct span *)from)->at != NULL : ((const struct field_int *)from)->set;
}

bool plan_identify(const void *data, const struct plan_kind *kind, struct arena *arena, struct aggregate *ret,
                   struct span *reterr)
{
    const struct plan_save *save = data;
    const char *missing = NULL;
    *ret = job_aggregate(save->parent_id.value);
    if (save->action != SAVE_CREATE && !save->job_id.set)
        missing = "/job_id";
    for (int i = 0; i < kind->field_count && save->action == SAVE_CREATE && !missing; i++)
        if (kind->fields[i].needed && !is_given(&kind->fields[i], data))
            missing = kind->fields[i].pointer;
    if (missing)
        *reterr = parameters_failure(arena, span_of(missing), "is required for this action");
    return !missing;
}

void plan_needs(const struct command *command, struct rows *rows)
{
    const struct plan_save *save = command->parameters;
    rows_want_children(rows, &entity_job, command->aggregate.id);
    if (save->action != SAVE_CREATE)
        return; /* it is among the children, or not there for this command */
    if (save->job_id.set)
        rows_want(rows, &entity_job, id_of(save->job_id.value));
    else
        rows_want_ids(rows, &entity_job, 1);
}

/* The root; NULL with the refusal made. */
static const struct job_row *read_root(const struct plan_save *save, const struct plan_kind *kind,
                                       const struct rows *rows, struct decision *decision)
{
    const struct job_row *root = rows_read(rows, &entity_job, id_of(save->parent_id.value));
    if (!root)
    {
        decision_refuse_row(decision, REASON_NOT_FOUND, "parent_id", save->parent_id.value);
        return NULL;
    }
    if (root->parent_id.set)
    {
        decision_refuse_parameter(decision, "/parent_id", "is a child of another job: name the root");
        decision_add_int(decision, "parent_id", root->parent_id.value);
        return NULL;
    }
    return kind->admit(root, decision) ? root : NULL;
}

/* The child as it is, of this root and this kind; NULL with the refusal made. */
static const struct job_row *read_child(const struct plan_save *save, const struct plan_kind *kind,
                                        const struct rows *rows, struct decision *decision)
{
    const struct job_row *child = rows_read(rows, &entity_job, id_of(save->job_id.value));
    if (child && child->parent_id.set && child->parent_id.value == save->parent_id.value &&
        (child->identifier == IDENTIFIER_GEOFENCE) == kind->geofence)
        return child;
    decision_refuse_row(decision, REASON_NOT_FOUND, "job_id", save->job_id.value);
    return NULL;
}

static struct job_row begin_child(const struct plan_kind *kind, const struct job_row *root)
{
    return (struct job_row){
        .parent_id = root->id,
        .client_id = root->client_id,
        .seq = int_of(0),
        .grace_minutes = int_of(0),
        .plan_minutes = int_of(0),
        .expiry_minutes = int_of(0),
        .utc_offset_minutes = int_of(0),
        .identifier = kind->geofence ? IDENTIFIER_GEOFENCE : root->identifier,
        .other_info = SPAN_LITERAL("{}"),
    };
}

/* In an edit, null clears a clearable parameter; in a create, null means absent. */
static void set_fields(const struct plan_kind *kind, const struct plan_save *save, struct job_row *next)
{
    for (int i = 0; i < kind->field_count; i++)
    {
        const struct plan_field *field = &kind->fields[i];
        const void *from = (const char *)save + field->from;
        void *into = (char *)next + field->into;
        bool edits = save->action == SAVE_EDIT;
        if (is_given(field, save))
            memcpy(into, from, field->text ? sizeof(struct span) : sizeof(struct field_int));
        else if (field->text && edits && span_is_cleared(*(const struct span *)from))
            *(struct span *)into = SPAN_NULL;
        else if (!field->text && edits && int_is_cleared(*(const struct field_int *)from))
            *(struct field_int *)into = INT_NULL;
    }
}

/* Whether the child has a place among the others: false with the refusal made. */
static bool check_siblings(const struct plan_kind *kind, const struct job_row *next, bool created,
                           const struct rows *rows, struct decision *decision)
{
    int count = 0;
    for (const struct job_row *other = rows_first_child(rows, &entity_job, id_of(next->parent_id.value)); other;
         other = rows_next_child(rows, &entity_job, other))
    {
        count++;
        bool own = next->id.set && other->id.value == next->id.value;
        if (own || (other->identifier == IDENTIFIER_GEOFENCE) != kind->geofence || !kind->is_twin(next, other))
            continue;
        decision_refuse_row(decision, REASON_ALREADY_EXISTS, "job_id", other->id.value);
        return false;
    }
    if (!created || count < JOB_CHILDREN_MAX)
        return true;
    decision_refuse(decision, REASON_TOO_LARGE);
    decision_add_int(decision, "limit", JOB_CHILDREN_MAX);
    return false;
}

/* The new row, in which only its key and parent are set; NULL with the refusal made. */
static struct job_row *insert_child(const struct plan_save *save, struct rows *rows, struct decision *decision)
{
    int64_t id = save->job_id.set ? save->job_id.value : rows_take_id(rows, &entity_job);
    struct job_row *row = rows_insert_child(rows, &entity_job, id_of(id), id_of(save->parent_id.value));
    if (!row)
        decision_refuse_row(decision, REASON_ALREADY_EXISTS, "job_id", id);
    return row;
}

static void write(const struct plan_save *save, struct rows *rows, struct decision *decision, struct job_row *next)
{
    struct job_row *row = save->action == SAVE_CREATE ? insert_child(save, rows, decision)
                                                      : rows_edit(rows, &entity_job, id_of(next->id.value));
    if (!row)
        return;
    next->id = row->id;
    *row = *next;
    rows_edit(rows, &entity_job, id_of(save->parent_id.value));
    decision_add_int(decision, "job_id", row->id.value);
    decision_apply(decision);
}

static void remove_child(const struct plan_save *save, struct rows *rows, struct decision *decision)
{
    rows_delete(rows, &entity_job, id_of(save->job_id.value));
    rows_edit(rows, &entity_job, id_of(save->parent_id.value));
    decision_add_int(decision, "job_id", save->job_id.value);
    decision_apply(decision);
}

void plan_decide(const struct command *command, const struct plan_kind *kind, struct rows *rows,
                 struct decision *decision)
{
    const struct plan_save *save = command->parameters;
    const struct job_row *root = read_root(save, kind, rows, decision), *present = NULL;
    if (!root)
        return;
    if (save->action != SAVE_CREATE)
        present = read_child(save, kind, rows, decision);
    if (save->action != SAVE_CREATE && !present)
        return;
    if (save->action == SAVE_REMOVE)
    {
        remove_child(save, rows, decision);
        return;
    }
    struct job_row next = present ? *present : begin_child(kind, root);
    set_fields(kind, save, &next);
    if ((kind->check && !kind->check(&next, decision)) || !check_siblings(kind, &next, !present, rows, decision))
        return;
    if (present && entity_difference(&entity_job, present, &next) == 0)
        decision_leave(decision);
    else
        write(save, rows, decision, &next);
}
