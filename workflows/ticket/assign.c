#include "workflows/assignee.h"
#include "workflows/ticket/ticket.h"

struct assign
{
    struct field_int ticket_id, assigned_person_id, assigned_group_id;
};

static const struct parameter parameters[] = {
    PARAMETER(assign, ticket_id, ID, REQUIRED, .description = "The ticket."),
    PARAMETER(assign, assigned_person_id, ID, CLEARABLE, .description = "The person; absent: kept, null or 1: nobody."),
    PARAMETER(assign, assigned_group_id, ID, CLEARABLE, .description = "The group; absent: kept, null or 1: nobody."),
    { .name = NULL },
};

static bool identify(const void *data, struct arena *arena, struct aggregate *ret, struct span *reterr)
{
    const struct assign *assign = data;
    *ret = ticket_aggregate(assign->ticket_id.value);
    if (assignee_is_given(assign->assigned_person_id, assign->assigned_group_id))
        return true;
    *reterr = parameters_failure(arena, SPAN_LITERAL(""), "expected assigned_person_id or assigned_group_id");
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
    if (ticket_is_final(present))
    {
        ticket_refuse_final(decision, present);
        return;
    }
    struct assignee assignee = assignee_read(assign->assigned_person_id, assign->assigned_group_id);
    if (!assignment_changes(&assignee, present->assigned_person_id, present->assigned_group_id))
    {
        decision_leave(decision);
        return;
    }
    struct ticket_row *ticket =
        ticket_change(command, rows, decision, assign->ticket_id.value, "ASSIGNMENT_CHANGE", SPAN_NULL);
    assignee_set(&assignee, &ticket->assigned_person_id, &ticket->assigned_group_id);
    decision_apply(decision);
}

const struct workflow workflow_ticket_assign = {
    .type = "ticket.assign",
    .named = { .kind = AGGREGATE_TICKET, .member = "ticket_id" },
    .description = "Assigns a ticket that is not CLOSED or CANCELLED to a person, a group, both, or nobody.",
    .parameters = parameters,
    .parameters_size = sizeof(struct assign),
    .operation = OPERATION_ASSIGNMENT_CHANGE,
    .lock_class = LOCK_STATUS_CHANGE,
    .identify = identify,
    .needs = needs,
    .decide = decide,
};
