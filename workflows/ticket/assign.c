#include "workflows/assignment.h"
#include "workflows/ticket/ticket.h"

struct assign
{
    struct field_int ticket_id, assigned_person_id, assigned_group_id;
};

static const struct parameter parameters[] = {
    PARAMETER(assign, ticket_id, ID, REQUIRED, .description = "The ticket."),
    PARAMETER(assign, assigned_person_id, ID, NULLABLE, .description = "The person; absent: kept, null or 1: nobody."),
    PARAMETER(assign, assigned_group_id, ID, NULLABLE, .description = "The group; absent: kept, null or 1: nobody."),
    { .name = NULL },
};

static bool identify(const void *data, struct arena *arena, struct aggregate *ret, struct span *reterr)
{
    const struct assign *assign = data;
    *ret = ticket_aggregate(assign->ticket_id.value);
    if (assignment_of_id(assign->assigned_person_id).set || assignment_of_id(assign->assigned_group_id).set)
        return true;
    *reterr = parameters_failure(arena, SPAN_LITERAL(""),
                                 "expected assigned_person_id or assigned_group_id of somebody (1 is nobody)");
    return false;
}

static void needs(const struct command *command, struct rows *rows)
{
    rows_want(rows, &entity_ticket, command->aggregate.id);
}

static void decide(const struct command *command, struct rows *rows, struct decision *decision)
{
    const struct assign *assign = command->parameters;
    const struct ticket_row *present = rows_read(rows, &entity_ticket, command->aggregate.id);
    if (!present)
    {
        decision_refuse(decision, REASON_NOT_FOUND);
        return;
    }
    struct assignment assignment = assignment_read(command, assign->assigned_person_id, assign->assigned_group_id);
    if (!assignment_changes(&assignment, present->assigned_person_id, present->assigned_group_id))
    {
        decision_leave(decision);
        return;
    }
    struct ticket_row *ticket =
        ticket_change(command, rows, decision, assign->ticket_id.value, "ASSIGNMENT_CHANGE", SPAN_NULL);
    assignment_set(&assignment, &ticket->assigned_person_id, &ticket->assigned_group_id);
    decision_apply(decision);
}

const struct workflow workflow_ticket_assign = {
    .type = "ticket.assign",
    .named = { AGGREGATE_TICKET, "ticket_id" },
    .description = "Assigns a ticket to a person, a group, or both.",
    .parameters = parameters,
    .parameters_size = sizeof(struct assign),
    .operation = OPERATION_ASSIGNMENT_CHANGE,
    .lock_class = LOCK_STATUS_CHANGE,
    .identify = identify,
    .needs = needs,
    .decide = decide,
};
