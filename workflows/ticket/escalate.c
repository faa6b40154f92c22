#include "workflows/assignee.h"
#include "workflows/model/limits.h"
#include "workflows/ticket/ticket.h"

struct escalate
{
    struct field_int ticket_id, level, assigned_person_id, assigned_group_id;
};

static const struct parameter parameters[] = {
    PARAMETER(escalate, ticket_id, ID, REQUIRED, .description = "The ticket."),
    PARAMETER(escalate, level, INTEGER, NULLABLE, .minimum = 0, .maximum = INT32_LIMIT,
              .description = "The level to go to; the next one when absent."),
    PARAMETER(escalate, assigned_person_id, ID, NULLABLE,
              .description =
                  "The person; null and 1 say nothing. Without a person or group the escalation matrix says, else the "
                  "assignment stays."),
    PARAMETER(escalate, assigned_group_id, ID, NULLABLE, .description = "The group; as the person."),
    { .name = NULL },
};

static void needs(const struct command *command, struct rows *rows)
{
    rows_want(rows, &entity_ticket, command->aggregate.id);
}

static struct assignee read_assignee(const struct command *command)
{
    const struct escalate *escalate = command->parameters;
    return assignee_of_someone(escalate->assigned_person_id, escalate->assigned_group_id);
}

/* The matrix is asked only where the command itself does not say whom the ticket goes to. */
static void look(const struct command *command, struct rows *rows)
{
    struct assignee given = read_assignee(command);
    const struct ticket_row *ticket = rows_read(rows, &entity_ticket, command->aggregate.id);
    if (ticket && !assignee_names_someone(&given))
        ticket_want_matrix(rows, ticket->site_id, ticket->category, ticket->client_id);
}

/* From the command, else from the matrix, else nothing to set: DOMAIN.md, race 6. */
static struct assignee choose_assignee(const struct command *command, const struct rows *rows,
                                       const struct ticket_row *ticket, int64_t level)
{
    struct assignee assignee = read_assignee(command);
    if (assignee_names_someone(&assignee))
        return assignee;
    const struct escalation_matrix_row *matrix = ticket_find_matrix(rows, ticket, level);
    if (!matrix)
        return (struct assignee){ .person_given = false };
    assignee = (struct assignee){
        .person = assignee_of_id(matrix->assigned_person_id),
        .group = assignee_of_id(matrix->assigned_group_id),
    };
    assignee.person_given = assignee.group_given = assignee_names_someone(&assignee);
    return assignee;
}

static void decide(const struct command *command, struct rows *rows, struct decision *decision)
{
    const struct escalate *escalate = command->parameters;
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
    int64_t old_level = present->level.value;
    int64_t level = escalate->level.set ? escalate->level.value : old_level + 1;
    if (level > INT32_LIMIT)
    {
        decision_refuse_parameter(decision, "/level", "the ticket already has the highest level");
        return;
    }
    struct assignee assignee = choose_assignee(command, rows, present, level);
    if (level == old_level && present->escalated &&
        !assignment_changes(&assignee, present->assigned_person_id, present->assigned_group_id))
    {
        decision_leave(decision);
        return;
    }
    struct ticket_row *ticket =
        ticket_change(command, rows, decision, escalate->ticket_id.value, "ESCALATION", SPAN_NULL);
    ticket->level = int_of(level);
    ticket->escalated = true;
    assignee_set(&assignee, &ticket->assigned_person_id, &ticket->assigned_group_id);
    decision_apply(decision);
}

const struct workflow workflow_ticket_escalate = {
    .type = "ticket.escalate",
    .named = NAMED(AGGREGATE_TICKET, escalate, ticket_id),
    .description =
        "Raises the level of a ticket that is not CLOSED or CANCELLED and hands it to whom the command or the "
        "escalation matrix names.",
    .parameters = parameters,
    .parameters_size = sizeof(struct escalate),
    .operation = OPERATION_ESCALATION,
    .lock_class = LOCK_STATUS_CHANGE,
    .needs = needs,
    .look = look,
    .decide = decide,
};
