#include "workflows/model/limits.h"
#include "workflows/ticket/ticket.h"

struct change
{
    struct field_int ticket_id;
    int status;
    struct span comments;
};

static const struct parameter parameters[] = {
    PARAMETER(change, ticket_id, ID, REQUIRED, .description = "The ticket."),
    PARAMETER(change, status, NAME, REQUIRED, .names = &names_ticket_status, .description = "The status to go to."),
    PARAMETER(change, comments, TEXT, NULLABLE, .maximum = TEXT_SIZE_MAX,
              .description = "Take the place of the ticket's comments."),
    { .name = NULL },
};

static void needs(const struct command *command, struct rows *rows)
{
    rows_want(rows, &entity_ticket, command->aggregate.id);
}

static void decide(const struct command *command, struct rows *rows, struct decision *decision)
{
    const struct change *change = command->parameters;
    const struct ticket_row *present = rows_read(rows, &entity_ticket, command->aggregate.id);
    if (!present)
    {
        decision_refuse(decision, REASON_NOT_FOUND);
        return;
    }
    if (!decision_pass_transition(decision, &machine_ticket, present->status, change->status))
        return;
    struct span details = ticket_print_comments(decision->arena, change->comments);
    struct ticket_row *ticket =
        ticket_change(command, rows, decision, change->ticket_id.value, "STATUS_CHANGE", details);
    ticket->status = change->status;
    if (change->comments.at)
        ticket->comments = change->comments;
    decision_apply(decision);
}

const struct workflow workflow_ticket_transition = {
    .type = "ticket.transition",
    .named = NAMED(AGGREGATE_TICKET, change, ticket_id),
    .description = "Takes a ticket to another status that its present one allows.",
    .parameters = parameters,
    .parameters_size = sizeof(struct change),
    .operation = OPERATION_STATUS_CHANGE,
    .lock_class = LOCK_STATUS_CHANGE,
    .needs = needs,
    .decide = decide,
};
