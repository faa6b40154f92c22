#include "workflows/document/text.h"
#include "workflows/job/job.h"
#include "workflows/ticket/ticket.h"

void jobneed_want_ticket(struct rows *rows, struct field_int jobneed_id)
{
    rows_want_ids(rows, &entity_ticket, 1);
    rows_want_look(rows, &entity_ticket_of_jobneed, 1, &(struct ticket_of_jobneed_row){ .jobneed_id = jobneed_id });
}

/* DOMAIN.md, mistakes of the replaced system, 8: at most one ticket per jobneed. The unique constraint is the last
 * line, this is its mirror. */
static bool has_ticket(const struct rows *rows, struct decision *decision, const struct jobneed_row *root)
{
    struct json_member *members;
    size_t count;
    if (rows_look(rows, &entity_ticket_of_jobneed, 1, &(struct ticket_of_jobneed_row){ .jobneed_id = root->id }))
        return true;
    if (!root->other_info.at || !json_text_read_object(decision->arena, root->other_info, &members, &count))
        return false;
    for (size_t i = 0; i < count; i++)
        if (span_is(members[i].key, "ticket_generated"))
            return span_is(members[i].value, "true");
    return false;
}

void jobneed_raise_ticket(struct rows *rows, struct decision *decision, const struct jobneed_row *root)
{
    if (has_ticket(rows, decision, root))
        return;
    int64_t id = rows_take_id(rows, &entity_ticket);
    struct ticket_row *ticket = rows_insert(rows, &entity_ticket, id_of(id));
    if (!ticket)
        return; /* the id was another's: the arena has failed, the batch is decided again with other ids */
    ticket->jobneed_id = root->id;
    ticket->site_id = root->site_id;
    ticket->client_id = root->client_id;
    ticket->asset_id = root->asset_id;
    ticket->assigned_person_id = root->assigned_person_id;
    ticket->assigned_group_id = root->assigned_group_id;
    ticket->history_count = int_of(0);
    ticket->level = int_of(0);
    ticket->status = TICKET_NEW;
    ticket->priority = PRIORITY_LOW;
    ticket->source = SOURCE_SYSTEMGENERATED;
    ticket->category = SPAN_LITERAL("AUTOCLOSED");
    decision_add_int(decision, "ticket_id", id);
}
