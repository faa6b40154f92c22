#include "workflows/assignee.h"
#include "workflows/model/limits.h"
#include "workflows/ticket/ticket.h"

struct entry
{
    struct field_int people_id, when;
    struct span who, action;
    const struct node *details, *previous_state;
};

struct append
{
    struct field_int ticket_id;
    struct entry entry;
};

static const struct parameter entry_parameters[] = {
    PARAMETER(entry, people_id, ID, NULLABLE, .description = "The person it is about, or who did it; 1 is nobody."),
    PARAMETER(entry, when, TIME, NULLABLE, .description = "When it happened; now when absent."),
    PARAMETER(entry, who, TEXT, NULLABLE, .maximum = WORD_SIZE_MAX,
              .description = "Who did it; the command's actor when absent."),
    PARAMETER(entry, action, TEXT, REQUIRED, .minimum = 1, .maximum = WORD_SIZE_MAX, .description = "The action."),
    PARAMETER(entry, details, JSON, NULLABLE, .description = "Any JSON."),
    PARAMETER(entry, previous_state, JSON, NULLABLE, .description = "Any JSON."),
    { .name = NULL },
};

static const struct parameter parameters[] = {
    PARAMETER(append, ticket_id, ID, REQUIRED, .description = "The ticket."),
    PARAMETER(append, entry, OBJECT, REQUIRED, .members = entry_parameters, .description = "The new entry."),
    { .name = NULL },
};

static void needs(const struct command *command, struct rows *rows)
{
    rows_want(rows, &entity_ticket, command->aggregate.id);
}

static struct span json_of(const struct node *node)
{
    return node ? node->raw : SPAN_NULL;
}

static void decide(const struct command *command, struct rows *rows, struct decision *decision)
{
    const struct entry *given = &((const struct append *)command->parameters)->entry;
    if (!rows_read(rows, &entity_ticket, command->aggregate.id))
    {
        decision_refuse(decision, REASON_NOT_FOUND);
        return;
    }
    struct ticket_row *ticket = rows_edit(rows, &entity_ticket, command->aggregate.id);
    struct ticket_history_row *entry = ticket_append_history(command, rows, decision, ticket, given->action);
    entry->people_id = assignee_of_id(given->people_id);
    if (given->when.set)
        entry->occurred_at = given->when;
    if (given->who.at)
        entry->who = given->who;
    entry->details = json_of(given->details);
    entry->previous_state = json_of(given->previous_state);
    decision_add_int(decision, "seq", entry->seq.value);
    decision_apply(decision);
}

const struct workflow workflow_ticket_append_history = {
    .type = "ticket.append_history",
    .named = NAMED(AGGREGATE_TICKET, append, ticket_id),
    .description = "Appends one entry to a ticket's history.",
    .parameters = parameters,
    .parameters_size = sizeof(struct append),
    .operation = OPERATION_HISTORY_APPEND,
    .lock_class = LOCK_STATUS_CHANGE,
    .needs = needs,
    .decide = decide,
};
