#include "workflows/job/checkpoint.h"

#include <stdio.h>

void checkpoint_print_pointer(int index, const char *member, char into[CHECKPOINT_POINTER_SIZE])
{
    if (index == CHECKPOINT_ALONE)
        snprintf(into, CHECKPOINT_POINTER_SIZE, "/%s", member);
    else
        snprintf(into, CHECKPOINT_POINTER_SIZE, "/checkpoints/%d/%s", index, member);
}

const struct jobneed_row *checkpoint_check(const struct checkpoint_change *change, int index, int64_t parent_id,
                                           const struct rows *rows, struct decision *decision)
{
    const struct jobneed_row *child = rows_read(rows, &entity_jobneed, id_of(change->jobneed_id.value));
    if (!child || !child->parent_id.set || child->parent_id.value != parent_id)
    {
        decision_refuse_row(decision, REASON_NOT_FOUND, "jobneed_id", change->jobneed_id.value);
        return NULL;
    }
    if (change->status && transition_check(&machine_jobneed, child->status, change->status) == TRANSITION_REFUSED)
    {
        decision_refuse_transition(decision, &machine_jobneed, child->status, change->status);
        decision_add_int(decision, "jobneed_id", change->jobneed_id.value);
        return NULL;
    }
    if (change->expires_at.set && change->expires_at.value < child->starts_at.value)
    {
        char pointer[CHECKPOINT_POINTER_SIZE];
        checkpoint_print_pointer(index, "expires_at", pointer);
        decision_refuse_parameter(decision, pointer, "is before the checkpoint's start");
        return NULL;
    }
    return child;
}

static bool is_other(struct field_int given, struct field_int present)
{
    return given.set ? !(present.set && present.value == given.value) : int_is_cleared(given) && present.set;
}

static bool is_other_text(struct span given, struct span present)
{
    return given.at ? !span_equal(given, present) : span_is_cleared(given) && present.at;
}

bool checkpoint_differs(const struct checkpoint_change *change, const struct jobneed_row *present)
{
    return (change->status && change->status != present->status) || is_other(change->seq, present->seq) ||
           is_other(change->expires_at, present->expires_at) || is_other_text(change->remarks, present->remarks);
}

void checkpoint_change(const struct checkpoint_change *change, struct rows *rows)
{
    struct jobneed_row *child = rows_edit(rows, &entity_jobneed, id_of(change->jobneed_id.value));
    if (change->status)
        child->status = change->status;
    if (change->seq.set)
        child->seq = change->seq;
    if (change->expires_at.set || int_is_cleared(change->expires_at))
        child->expires_at = change->expires_at.set ? change->expires_at : INT_NULL;
    if (change->remarks.at || span_is_cleared(change->remarks))
        child->remarks = change->remarks.at ? change->remarks : SPAN_NULL;
}
