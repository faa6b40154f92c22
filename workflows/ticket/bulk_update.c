#include "workflows/assignee.h"
#include "workflows/model/limits.h"
#include "workflows/ticket/ticket.h"

struct bulk
{
    struct field_ids ticket_ids;
    int status, priority;
    struct field_int assigned_person_id, assigned_group_id;
    struct span comments;
};

static const struct parameter parameters[] = {
    PARAMETER(bulk, ticket_ids, IDS, REQUIRED, .minimum = 1, .maximum = BULK_MAX,
              .description = "The tickets, each once."),
    PARAMETER(bulk, status, NAME, NULLABLE, .names = &names_ticket_status,
              .description = "The status to go to; one ticket that may not rejects all."),
    PARAMETER(bulk, priority, NAME, NULLABLE, .names = &names_ticket_priority, .description = "The priority."),
    PARAMETER(bulk, assigned_person_id, ID, CLEARABLE, .description = "The person; absent: kept, null or 1: nobody."),
    PARAMETER(bulk, assigned_group_id, ID, CLEARABLE, .description = "The group; absent: kept, null or 1: nobody."),
    PARAMETER(bulk, comments, TEXT, NULLABLE, .maximum = TEXT_SIZE_MAX,
              .description = "Take the place of the tickets' comments."),
    { .name = NULL },
};

static bool identify(const void *data, struct arena *arena, struct aggregate *ret, struct span *reterr)
{
    (void)arena;
    (void)reterr;
    const struct bulk *bulk = data;
    int64_t smallest = bulk->ticket_ids.at[0];
    for (size_t i = 1; i < bulk->ticket_ids.count; i++)
        if (bulk->ticket_ids.at[i] < smallest)
            smallest = bulk->ticket_ids.at[i];
    *ret = ticket_aggregate(smallest);
    return true;
}

/* The operation of a command that changes nothing: the one that it asks for. */
static enum operation name_operation(const void *data)
{
    const struct bulk *bulk = data;
    bool assigns = assignee_is_given(bulk->assigned_person_id, bulk->assigned_group_id);
    return bulk->status ? OPERATION_STATUS_CHANGE : assigns ? OPERATION_ASSIGNMENT_CHANGE : OPERATION_FIELD_UPDATE;
}

static void needs(const struct command *command, struct rows *rows)
{
    const struct bulk *bulk = command->parameters;
    for (size_t i = 0; i < bulk->ticket_ids.count; i++)
        rows_want(rows, &entity_ticket, id_of(bulk->ticket_ids.at[i]));
}

/* Every ticket is asked before one is changed. False: refused, naming the first that may not. */
static bool check(const struct bulk *bulk, const struct rows *rows, struct decision *decision)
{
    bool assigns = assignee_is_given(bulk->assigned_person_id, bulk->assigned_group_id);
    for (size_t i = 0; i < bulk->ticket_ids.count; i++)
    {
        int64_t id = bulk->ticket_ids.at[i];
        const struct ticket_row *ticket = rows_read(rows, &entity_ticket, id_of(id));
        if (!ticket)
        {
            decision_refuse_row(decision, REASON_NOT_FOUND, "ticket_id", id);
            return false;
        }
        if (bulk->status && transition_check(&machine_ticket, ticket->status, bulk->status) == TRANSITION_REFUSED)
        {
            decision_refuse_transition(decision, &machine_ticket, ticket->status, bulk->status);
            decision_add_int(decision, "ticket_id", id);
            return false;
        }
        if (assigns && ticket_is_final(ticket))
        {
            ticket_refuse_final(decision, ticket);
            decision_add_int(decision, "ticket_id", id);
            return false;
        }
    }
    return true;
}

static bool changes(const struct bulk *bulk, const struct assignee *assignee, const struct ticket_row *ticket)
{
    return (bulk->status && bulk->status != ticket->status) || (bulk->priority && bulk->priority != ticket->priority) ||
           (bulk->comments.at && !span_equal(bulk->comments, ticket->comments)) ||
           assignment_changes(assignee, ticket->assigned_person_id, ticket->assigned_group_id);
}

/* The entry of the ticket's history about it. */
static const char *action_on(const struct bulk *bulk, const struct assignee *assignee, const struct ticket_row *ticket)
{
    if (bulk->status && bulk->status != ticket->status)
        return "STATUS_CHANGE";
    bool assigns = assignment_changes(assignee, ticket->assigned_person_id, ticket->assigned_group_id);
    return assigns ? "ASSIGNMENT_CHANGE" : "FIELD_UPDATE";
}

static void change(const struct bulk *bulk, const struct assignee *assignee, struct ticket_row *ticket)
{
    if (bulk->status)
        ticket->status = bulk->status;
    if (bulk->priority)
        ticket->priority = bulk->priority;
    if (bulk->comments.at)
        ticket->comments = bulk->comments;
    assignee_set(assignee, &ticket->assigned_person_id, &ticket->assigned_group_id);
}

static void decide(const struct command *command, struct rows *rows, struct decision *decision)
{
    const struct bulk *bulk = command->parameters;
    struct assignee assignee = assignee_read(bulk->assigned_person_id, bulk->assigned_group_id);
    if (!bulk->status && !bulk->priority && !bulk->comments.at &&
        !assignee_is_given(bulk->assigned_person_id, bulk->assigned_group_id))
    {
        decision_refuse_parameter(decision, "",
                                  "expected at least one of status, priority, assigned_person_id, "
                                  "assigned_group_id, comments");
        return;
    }
    if (!check(bulk, rows, decision))
        return;
    struct span details = ticket_print_comments(decision->arena, bulk->comments);
    int64_t count = 0;
    for (size_t i = 0; i < bulk->ticket_ids.count; i++)
    {
        int64_t id = bulk->ticket_ids.at[i];
        const struct ticket_row *present = rows_read(rows, &entity_ticket, id_of(id));
        if (!changes(bulk, &assignee, present))
            continue;
        const char *action = action_on(bulk, &assignee, present);
        change(bulk, &assignee, ticket_change(command, rows, decision, id, action, details));
        count++;
    }
    decision_add_int(decision, "count", count);
    decision_add_int(decision, "unchanged", (int64_t)bulk->ticket_ids.count - count);
    if (count)
        decision_apply(decision);
    else
        decision_leave(decision);
}

const struct workflow workflow_ticket_bulk_update = {
    .type = "ticket.bulk_update",
    .named = { .kind = AGGREGATE_TICKET, .member = "ticket_ids" },
    .description = "Changes many tickets, all or none.",
    .parameters = parameters,
    .parameters_size = sizeof(struct bulk),
    .operation = OPERATION_FIELD_UPDATE,
    .name_operation = name_operation,
    .flags = WORKFLOW_BULK,
    .lock_class = LOCK_STATUS_CHANGE,
    .identify = identify,
    .needs = needs,
    .decide = decide,
};
