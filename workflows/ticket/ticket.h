/* Ticket: the rows of tickets, their history and the escalation matrix, and what the ticket workflows share.
 *
 * Threads    const data; functions keep no state.
 * Ownership  texts of rows live in the batch's arena or in the message.
 */
#ifndef WORKFLOWS_TICKET_TICKET_H
#define WORKFLOWS_TICKET_TICKET_H

#include "workflows/decision.h"

struct ticket_row
{
    struct field_int id, version, assigned_person_id, assigned_group_id, site_id, client_id, asset_id, jobneed_id,
        history_count, created_at, modified_at, level;
    bool escalated;
    int status, priority, source;
    struct span category, modified_by, comments;
};

struct ticket_history_row
{
    struct field_int ticket_id, seq, occurred_at, people_id;
    struct span who, action, details, previous_state;
};

struct escalation_matrix_row
{
    struct field_int site_id;
    struct span category;
    struct field_int client_id, level, assigned_person_id, assigned_group_id;
};

struct ticket_of_jobneed_row
{
    struct field_int jobneed_id, id;
};

static inline struct aggregate ticket_aggregate(int64_t id)
{
    return (struct aggregate){ AGGREGATE_TICKET, id_of(id) };
}

/* The ticket for changing, with a history row that has its present state: one change, one entry, in the same
 * transaction. `details` is JSON or null. */
struct ticket_row *ticket_change(const struct command *command, struct rows *rows, const struct decision *decision,
                                 int64_t id, const char *action, struct span details);

/* The next history row of a ticket that is being changed; occurred_at and who are the command's. */
struct ticket_history_row *ticket_append_history(const struct command *command, struct rows *rows,
                                                 const struct decision *decision, struct ticket_row *ticket,
                                                 struct span action);

/* CLOSED and CANCELLED: nobody is to do it any more. The refusal names the status. */
bool ticket_is_final(const struct ticket_row *ticket);
void ticket_refuse_final(struct decision *decision, const struct ticket_row *ticket);

/* {"comments":"..."}, or null without comments: the ticket keeps only the last ones. */
struct span ticket_print_comments(struct arena *arena, struct span comments);

/* The matrix rows that may concern a ticket of this site, category and client: all levels, one look. Nothing where one
 * of the three is null. */
void ticket_want_matrix(struct rows *rows, struct field_int site_id, struct span category, struct field_int client_id);
const struct escalation_matrix_row *ticket_find_matrix(const struct rows *rows, const struct ticket_row *ticket,
                                                       int64_t level);

#endif
