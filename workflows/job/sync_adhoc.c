/* A phone's finished ad-hoc task, sent when the phone is online again. Its status goes through the machine: the present
 * status may be sent again with other work done (another attachment); a status that the machine does not allow rejects
 * the whole sync.
 *
 * `modified_at` and `modified_by` are the phone's word on when and by whom the task was last changed on the phone. The
 * columns of these names say for every write, in strictly rising order, when the row changed and who answers for it
 * (PROTOCOL R4), so the phone's values go into the audit record's metadata instead. They alone change nothing.
 */
#include "workflows/assignee.h"
#include "workflows/job/job.h"
#include "workflows/model/limits.h"

struct sync
{
    struct field_int jobneed_id;
    struct field_int performed_by, started_at, ended_at, attachment_count, modified_at;
    struct field_bool alerts;
    int status;
    struct span remarks, modified_by;
};

static const struct parameter parameters[] = {
    PARAMETER(sync, jobneed_id, ID, REQUIRED, .description = "The root jobneed, of type ADHOC."),
    PARAMETER(sync, performed_by, ID, REQUIRED, .description = "The person who did it; 1 is nobody."),
    PARAMETER(sync, started_at, TIME, REQUIRED, .description = "When it was begun."),
    PARAMETER(sync, ended_at, TIME, REQUIRED, .description = "When it was finished; not before started_at."),
    PARAMETER(sync, status, NAME, REQUIRED, .names = &names_jobneed_status, .description = "The status to go to."),
    PARAMETER(sync, remarks, TEXT, NULLABLE, .maximum = TEXT_SIZE_MAX,
              .description = "Take the place of the jobneed's remarks."),
    PARAMETER(sync, alerts, BOOLEAN, NULLABLE, .description = "Whether an answer raised an alert."),
    PARAMETER(sync, attachment_count, INTEGER, NULLABLE, .minimum = 0, .maximum = INT32_LIMIT,
              .description = "How many attachments it has."),
    PARAMETER(sync, modified_at, TIME, NULLABLE, .description = "When the phone changed it last; for the audit."),
    PARAMETER(sync, modified_by, TEXT, NULLABLE, .minimum = 1, .maximum = WORD_SIZE_MAX,
              .description = "Who changed it last on the phone; for the audit."),
    { .name = NULL },
};

static bool identify(const void *data, struct arena *arena, struct aggregate *ret, struct span *reterr)
{
    const struct sync *sync = data;
    *ret = jobneed_aggregate(sync->jobneed_id.value);
    if (sync->ended_at.value >= sync->started_at.value)
        return true;
    *reterr = parameters_failure(arena, SPAN_LITERAL("/ended_at"), "is before started_at");
    return false;
}

/* The jobneed as the phone has it. */
static struct jobneed_row synced(const struct sync *sync, const struct jobneed_row *present)
{
    struct jobneed_row next = *present;
    next.status = sync->status;
    next.performed_by = assignee_of_id(sync->performed_by);
    next.started_at = sync->started_at;
    next.ended_at = sync->ended_at;
    if (sync->remarks.at)
        next.remarks = sync->remarks;
    if (sync->alerts.set)
        next.alerts = sync->alerts.value;
    if (sync->attachment_count.set)
        next.attachment_count = sync->attachment_count;
    return next;
}

static void add_word_of_phone(struct decision *decision, const struct sync *sync)
{
    struct buffer time = BUFFER_EMPTY;
    if (sync->modified_at.set)
    {
        buffer_add_time(&time, sync->modified_at.value);
        decision_add_text(decision, "modified_at", buffer_span(&time));
    }
    if (sync->modified_by.at)
        decision_add_text(decision, "modified_by", sync->modified_by);
    if (buffer_failed(&time))
        decision->arena->failed = true; /* the batch is given up, as for any memory that could not be had */
    buffer_done(&time);
}

static void decide(const struct command *command, struct rows *rows, struct decision *decision)
{
    const struct sync *sync = command->parameters;
    const struct jobneed_row *present = jobneed_read_root(rows, decision, sync->jobneed_id.value, "/jobneed_id");
    if (!present)
        return;
    if (present->type != JOBNEED_TYPE_ADHOC)
    {
        decision_refuse_parameter(decision, "/jobneed_id", "is not of type ADHOC");
        return;
    }
    if (transition_check(&machine_jobneed, present->status, sync->status) == TRANSITION_REFUSED)
    {
        decision_refuse_transition(decision, &machine_jobneed, present->status, sync->status);
        return;
    }
    if (present->status == sync->status)
        decision->operation = OPERATION_FIELD_UPDATE;
    struct jobneed_row next = synced(sync, present);
    add_word_of_phone(decision, sync);
    if (entity_difference(&entity_jobneed, present, &next) == 0)
    {
        decision_leave(decision);
        return;
    }
    struct jobneed_row *jobneed = rows_edit(rows, &entity_jobneed, command->aggregate.id);
    *jobneed = next;
    decision_apply(decision);
}

const struct workflow workflow_job_sync_adhoc = {
    .type = "job.sync_adhoc",
    .named = { .kind = AGGREGATE_JOBNEED, .member = "jobneed_id" },
    .description = "Takes over an ad-hoc task that was finished on a phone.",
    .parameters = parameters,
    .parameters_size = sizeof(struct sync),
    .operation = OPERATION_STATUS_CHANGE,
    .lock_class = LOCK_JOB_WORKFLOW,
    .identify = identify,
    .needs = jobneed_want_root,
    .decide = decide,
};
