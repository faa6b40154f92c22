#include "workflows/job/job.h"

struct mark
{
    struct field_int jobneed_id;
};

static const struct parameter parameters[] = {
    PARAMETER(mark, jobneed_id, ID, REQUIRED, .description = "The root jobneed."),
    { .name = NULL },
};

static void decide(const struct command *command, struct rows *rows, struct decision *decision)
{
    const struct mark *mark = command->parameters;
    const struct jobneed_row *present = jobneed_read_root(rows, decision, mark->jobneed_id.value, "/jobneed_id");
    if (!present)
        return;
    if (present->mail_sent)
    {
        decision_leave(decision);
        return;
    }
    struct jobneed_row *jobneed = rows_edit(rows, &entity_jobneed, command->aggregate.id);
    jobneed->mail_sent = true;
    decision_apply(decision);
}

const struct workflow workflow_job_mark_mail_sent = {
    .type = "job.mark_mail_sent",
    .named = NAMED(AGGREGATE_JOBNEED, mark, jobneed_id),
    .description = "Says once that the mail about a jobneed was sent; whoever reads applied sends it.",
    .parameters = parameters,
    .parameters_size = sizeof(struct mark),
    .operation = OPERATION_FLAG_SET,
    .lock_class = LOCK_JOB_WORKFLOW,
    .needs = jobneed_want_root,
    .decide = decide,
};
