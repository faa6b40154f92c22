#include "workflows/document/text.h"
#include "workflows/job/job.h"

struct autoclose
{
    struct field_int jobneed_id;
    int notify;
};

static const struct parameter parameters[] = {
    PARAMETER(autoclose, jobneed_id, ID, REQUIRED, .description = "The root jobneed."),
    PARAMETER(autoclose, notify, NAME, NULLABLE, .names = &names_autoclose_notice,
              .description = "Whether mail is to be sent, or a ticket is raised; null: neither."),
    { .name = NULL },
};

static void needs(const struct command *command, struct rows *rows)
{
    const struct autoclose *autoclose = command->parameters;
    rows_want_children(rows, &entity_jobneed, command->aggregate.id);
    if (autoclose->notify == NOTICE_RAISETICKETNOTIFY)
        jobneed_want_ticket(rows, autoclose->jobneed_id);
}

/* Where it goes: PARTIALLYCOMPLETED when work had begun and some but not all checkpoints are COMPLETED, and stays
 * there; else AUTOCLOSED. */
static int target_of(const struct rows *rows, const struct jobneed_row *root)
{
    if (root->status == JOBNEED_PARTIALLYCOMPLETED)
        return JOBNEED_PARTIALLYCOMPLETED;
    int completed = 0, count = 0;
    for (const struct jobneed_row *child = rows_first_child(rows, &entity_jobneed, id_of(root->id.value)); child;
         child = rows_next_child(rows, &entity_jobneed, child))
    {
        count++;
        completed += child->status == JOBNEED_COMPLETED;
    }
    bool partly = root->status == JOBNEED_INPROGRESS && completed > 0 && completed < count;
    return partly ? JOBNEED_PARTIALLYCOMPLETED : JOBNEED_AUTOCLOSED;
}

/* The root to AUTOCLOSED. False: refused. */
static bool close_root(struct rows *rows, struct decision *decision, const struct autoclose *autoclose,
                       const struct jobneed_row *present)
{
    bool mail = autoclose->notify == NOTICE_AUTOCLOSENOTIFY, ticket = autoclose->notify == NOTICE_RAISETICKETNOTIFY;
    const struct json_member flags[] = {
        { SPAN_LITERAL("autoclosed_by_server"), SPAN_LITERAL("true") },
        { SPAN_LITERAL("email_sent"), span_of(mail ? "true" : "false") },
        { SPAN_LITERAL("ticket_generated"), span_of(ticket ? "true" : "false") },
    };
    struct span other_info;
    if (!json_text_merge(decision->arena, present->other_info, flags, sizeof(flags) / sizeof(flags[0]), &other_info))
    {
        decision_refuse_parameter(decision, "/jobneed_id", "other_info of the jobneed is not a JSON object");
        return false;
    }
    if (ticket)
        jobneed_raise_ticket(rows, decision, present);
    struct jobneed_row *root = rows_edit(rows, &entity_jobneed, id_of(autoclose->jobneed_id.value));
    root->status = JOBNEED_AUTOCLOSED;
    root->other_info = other_info;
    return true;
}

static void decide(const struct command *command, struct rows *rows, struct decision *decision)
{
    const struct autoclose *autoclose = command->parameters;
    int64_t id = autoclose->jobneed_id.value;
    const struct jobneed_row *present = jobneed_read_root(rows, decision, id, "/jobneed_id");
    if (!present)
        return;
    if (present->status == JOBNEED_COMPLETED || present->status == JOBNEED_AUTOCLOSED)
    {
        decision_leave(decision);
        return;
    }
    if (transition_check(&machine_jobneed, present->status, JOBNEED_AUTOCLOSED) == TRANSITION_REFUSED)
    {
        decision_refuse_transition(decision, &machine_jobneed, present->status, JOBNEED_AUTOCLOSED);
        return;
    }
    int old_status = present->status, target = target_of(rows, present);
    int count = jobneed_autoclose_checkpoints(rows, decision, id);
    if (count < 0)
        return;
    if (count == 0 && target == old_status)
    {
        decision_leave(decision);
        return;
    }
    decision_add_int(decision, "checkpoints_autoclosed", count);
    if (target == JOBNEED_AUTOCLOSED && !close_root(rows, decision, autoclose, present))
        return;
    struct jobneed_row *root = rows_edit(rows, &entity_jobneed, id_of(id));
    root->status = target;
    decision_apply(decision);
}

const struct workflow workflow_job_autoclose = {
    .type = "job.autoclose",
    .named = NAMED(AGGREGATE_JOBNEED, autoclose, jobneed_id),
    .description = "Closes a jobneed that nobody finished, its open tour checkpoints, and raises its ticket.",
    .parameters = parameters,
    .parameters_size = sizeof(struct autoclose),
    .operation = OPERATION_AUTOCLOSE,
    .lock_class = LOCK_PARENT_WITH_CHILDREN,
    .needs = needs,
    .decide = decide,
};
