/* Plan: the children of a root job, its checkpoint jobs and geofence assignments, and how a command creates, edits or
 * removes one. A struct plan_kind has the differences between the two kinds.
 *
 * The planning side makes roots; a missing one is `not_found` here. Every save of a child raises the
 * root's version and sets its modified time and author. Nobody writes a child without holding its root (PROTOCOL B1),
 * so uniqueness among the children of one root is decided here; the indexes of 0006_job_plan are the last line.
 *
 * Threads    const data; functions keep no state.
 * Ownership  texts belong to the message.
 */
#ifndef WORKFLOWS_JOB_PLAN_H
#define WORKFLOWS_JOB_PLAN_H

#include "workflows/job/job.h"
#include "workflows/model/limits.h"

/* Which child of which job: what the data of both commands begin with. */
struct plan_save
{
    struct field_int parent_id, job_id;
    int action;
};

#define PLAN_SAVE_PARAMETERS \
    PARAMETER(plan_save, parent_id, ID, REQUIRED, .description = "The root job."), \
        PARAMETER(plan_save, action, NAME, REQUIRED, .names = &names_save_action, \
                  .description = "The change of the child; in an edit an absent member is kept and null clears."), \
        PARAMETER(plan_save, job_id, ID, NULLABLE, \
                  .description = "The child; of create: its id, drawn when absent; of edit and remove: needed.")

/* How one parameter is written into the row, and whether a child cannot be created without it. */
struct plan_field
{
    size_t from; /* in the data: a struct field_int, or a struct span where `text` */
    size_t into; /* in the job_row */
    const char *pointer;
    bool needed, text;
};

struct plan_kind
{
    const struct plan_field *fields;
    int field_count;
    bool geofence; /* its children have the identifier GEOFENCE; else the root's */
    /* Whether the root may have children of this kind; false with the refusal made. */
    bool (*admit)(const struct job_row *root, struct decision *decision);
    /* Whether the child may be as it would now be; false with the refusal made. NULL: the parameters say it all. */
    bool (*check)(const struct job_row *next, struct decision *decision);
    /* The mirror of the unique index: whether the two cannot both be children of one root. */
    bool (*is_twin)(const struct job_row *a, const struct job_row *b);
};

static inline bool plan_equal(struct field_int a, struct field_int b)
{
    return a.set == b.set && (!a.set || a.value == b.value);
}

/* For identify: the aggregate is the root; edit and remove name a job, create all that it needs. */
bool plan_identify(const void *data, const struct plan_kind *kind, struct arena *arena, struct aggregate *ret,
                   struct span *reterr);
/* A child is no root row: what makes one or edits it is what it is to its job. */
static inline enum operation plan_name_operation(const void *data, enum operation saved)
{
    return ((const struct plan_save *)data)->action == SAVE_REMOVE ? OPERATION_DELETION : saved;
}

void plan_needs(const struct command *command, struct rows *rows);
void plan_decide(const struct command *command, const struct plan_kind *kind, struct rows *rows,
                 struct decision *decision);

#endif
