#include "workflows/assignee.h"
#include "workflows/model/limits.h"
#include "workflows/ticket/ticket.h"

struct create
{
    struct field_int ticket_id, site_id, client_id, asset_id, assigned_person_id, assigned_group_id;
    int priority, source;
    struct span category, comments;
};

static const struct parameter parameters[] = {
    PARAMETER(create, ticket_id, ID, NULLABLE, .description = "The new ticket's id; drawn when absent."),
    PARAMETER(create, priority, NAME, REQUIRED, .names = &names_ticket_priority, .description = "How urgent it is."),
    PARAMETER(create, category, TEXT, NULLABLE, .maximum = WORD_SIZE_MAX, .description = "Its subject."),
    PARAMETER(create, site_id, ID, NULLABLE, .description = "The site."),
    PARAMETER(create, client_id, ID, NULLABLE, .description = "The client."),
    PARAMETER(create, asset_id, ID, NULLABLE, .description = "The asset."),
    PARAMETER(create, comments, TEXT, NULLABLE, .maximum = TEXT_SIZE_MAX, .description = "Free text."),
    PARAMETER(create, assigned_person_id, ID, NULLABLE, .description = "Who is to do it; 1 is nobody."),
    PARAMETER(create, assigned_group_id, ID, NULLABLE, .description = "Which group is to do it; 1 is nobody."),
    PARAMETER(create, source, NAME, NULLABLE, .names = &names_ticket_source,
              .description = "Who made it; USERDEFINED when absent."),
    { .name = NULL },
};

static void needs(const struct command *command, struct rows *rows)
{
    const struct create *create = command->parameters;
    if (!create->ticket_id.set)
    {
        rows_want_ids(rows, &entity_ticket, 1);
        return;
    }
    rows_want(rows, &entity_ticket, id_of(create->ticket_id.value));
    /* An escalation of this ticket may stand in the same batch, and cannot look for itself while there is no row. */
    ticket_want_matrix(rows, create->site_id, create->category, create->client_id);
}

static void decide(const struct command *command, struct rows *rows, struct decision *decision)
{
    const struct create *create = command->parameters;
    int64_t id = create->ticket_id.set ? create->ticket_id.value : rows_take_id(rows, &entity_ticket);
    struct ticket_row *ticket = rows_insert(rows, &entity_ticket, id_of(id));
    if (!ticket)
    {
        decision_refuse_row(decision, REASON_ALREADY_EXISTS, "ticket_id", id);
        return;
    }
    ticket->assigned_person_id = assignee_of_id(create->assigned_person_id);
    ticket->assigned_group_id = assignee_of_id(create->assigned_group_id);
    ticket->site_id = create->site_id;
    ticket->client_id = create->client_id;
    ticket->asset_id = create->asset_id;
    ticket->history_count = int_of(0);
    ticket->level = int_of(0);
    ticket->status = TICKET_NEW;
    ticket->priority = create->priority;
    ticket->source = create->source ? create->source : SOURCE_USERDEFINED;
    ticket->category = create->category;
    ticket->comments = create->comments;
    decision->aggregate = ticket_aggregate(id);
    decision_apply(decision);
}

const struct workflow workflow_ticket_create = {
    .type = "ticket.create",
    .named = NAMED(AGGREGATE_TICKET, create, ticket_id),
    .description = "Creates a ticket in NEW, level 0, number T<id>.",
    .parameters = parameters,
    .parameters_size = sizeof(struct create),
    .operation = OPERATION_CREATION,
    .flags = WORKFLOW_CREATES,
    .lock_class = LOCK_STATUS_CHANGE,
    .needs = needs,
    .decide = decide,
};
