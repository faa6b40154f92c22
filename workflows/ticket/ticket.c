#include "workflows/ticket/ticket.h"

enum
{
    PREVIOUS_STATE_SIZE = 512, /* more than the longest words and numbers take */
};

static void add_member(struct buffer *text, const char *key, struct field_int value)
{
    buffer_add_text(text, key);
    if (value.set)
        buffer_add_int64(text, value.value);
    else
        buffer_add_text(text, "null");
}

/* Printed into memory of the arena at once, one for every escalation: the buffer never has to grow, so it never calls
 * malloc. */
static struct span print_state(struct arena *arena, const struct ticket_row *ticket)
{
    struct buffer text = { arena_take(arena, PREVIOUS_STATE_SIZE), 0, PREVIOUS_STATE_SIZE, false };
    if (!text.at)
        return SPAN_NULL;
    buffer_add_text(&text, "{\"status\":\"");
    buffer_add_span(&text, names_word(&names_ticket_status, ticket->status));
    add_member(&text, "\",\"level\":", ticket->level);
    buffer_add_text(&text, ",\"priority\":\"");
    buffer_add_span(&text, names_word(&names_ticket_priority, ticket->priority));
    add_member(&text, "\",\"assigned_person_id\":", ticket->assigned_person_id);
    add_member(&text, ",\"assigned_group_id\":", ticket->assigned_group_id);
    add_member(&text, ",\"version\":", ticket->version);
    buffer_add_byte(&text, '}');
    return buffer_span(&text);
}

struct ticket_history_row *ticket_append_history(const struct command *command, struct rows *rows,
                                                 const struct decision *decision, struct ticket_row *ticket,
                                                 struct span action)
{
    struct ticket_history_row *entry = rows_append(rows, &entity_ticket_history);
    entry->ticket_id = ticket->id;
    entry->seq = ticket->history_count = int_of(ticket->history_count.value + 1);
    entry->occurred_at = int_of(decision->now_us);
    entry->who = command->actor;
    entry->action = action;
    return entry;
}

struct ticket_row *ticket_change(const struct command *command, struct rows *rows, const struct decision *decision,
                                 int64_t id, const char *action, struct span details)
{
    struct ticket_row *ticket = rows_edit(rows, &entity_ticket, id_of(id));
    struct span state = print_state(decision->arena, ticket);
    struct ticket_history_row *entry = ticket_append_history(command, rows, decision, ticket, span_of(action));
    entry->details = details;
    entry->previous_state = state;
    return ticket;
}

struct span ticket_print_comments(struct arena *arena, struct span comments)
{
    if (!comments.at)
        return SPAN_NULL;
    struct buffer text = BUFFER_EMPTY;
    buffer_add_text(&text, "{\"comments\":");
    buffer_add_json_string(&text, comments);
    buffer_add_byte(&text, '}');
    struct span details = arena_copy(arena, buffer_failed(&text) ? SPAN_NULL : buffer_span(&text));
    if (!details.at)
        arena->failed = true; /* the batch is given up, as for any memory that could not be had */
    buffer_done(&text);
    return details;
}

bool ticket_is_final(const struct ticket_row *ticket)
{
    return ticket->status == TICKET_CLOSED || ticket->status == TICKET_CANCELLED;
}

void ticket_refuse_final(struct decision *decision, const struct ticket_row *ticket)
{
    decision_refuse(decision, REASON_INVALID_TRANSITION);
    decision_add_text(decision, "status", names_word(&names_ticket_status, ticket->status));
}

enum
{
    MATRIX_KEY_COUNT = 3, /* site, category, client: the levels are compared in C */
};

void ticket_want_matrix(struct rows *rows, struct field_int site_id, struct span category, struct field_int client_id)
{
    if (!site_id.set || !category.at || !client_id.set)
        return;
    struct escalation_matrix_row key = { .site_id = site_id, .category = category, .client_id = client_id };
    rows_want_look(rows, &entity_escalation_matrix, MATRIX_KEY_COUNT, &key);
}

const struct escalation_matrix_row *ticket_find_matrix(const struct rows *rows, const struct ticket_row *ticket,
                                                       int64_t level)
{
    if (!ticket->site_id.set || !ticket->category.at || !ticket->client_id.set)
        return NULL;
    struct escalation_matrix_row key = { .site_id = ticket->site_id,
                                         .category = ticket->category,
                                         .client_id = ticket->client_id };
    const struct escalation_matrix_row *row = rows_look(rows, &entity_escalation_matrix, MATRIX_KEY_COUNT, &key);
    while (row && row->level.value != level)
        row = rows_look_next(rows, &entity_escalation_matrix, MATRIX_KEY_COUNT, &key, row);
    return row;
}
