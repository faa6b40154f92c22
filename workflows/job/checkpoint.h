/* Checkpoint: what a command may change of a tour's checkpoint, one at a time (job.update_checkpoint) or many
 * (job.bulk_update_checkpoints).
 *
 * Threads    pure functions; no state.
 * Ownership  texts belong to the message.
 */
#ifndef WORKFLOWS_JOB_CHECKPOINT_H
#define WORKFLOWS_JOB_CHECKPOINT_H

#include "workflows/job/job.h"
#include "workflows/model/limits.h"

struct checkpoint_change
{
    struct field_int jobneed_id, seq, expires_at;
    int status; /* 0: kept, as everything that is absent; expires_at and remarks may be cleared by null */
    struct span remarks;
};

/* Rows of a parameter table whose struct is, or begins with, a checkpoint_change. */
#define CHECKPOINT_CHANGE_PARAMETERS \
    PARAMETER(checkpoint_change, jobneed_id, ID, REQUIRED, .description = "The checkpoint."), \
        PARAMETER(checkpoint_change, status, NAME, NULLABLE, .names = &names_jobneed_status, \
                  .description = "The status to go to."), \
        PARAMETER(checkpoint_change, seq, INTEGER, NULLABLE, .minimum = 0, .maximum = INT32_LIMIT, \
                  .description = "Its place in the tour."), \
        PARAMETER(checkpoint_change, expires_at, TIME, CLEARABLE, \
                  .description = "When it is too late; not before its start. null: never."), \
        PARAMETER(checkpoint_change, remarks, TEXT, CLEARABLE, .maximum = TEXT_SIZE_MAX, \
                  .description = "Take the place of its remarks; null: none.")

enum
{
    CHECKPOINT_ALONE = -1,
    CHECKPOINT_POINTER_SIZE = 48,
};

/* "/checkpoints/3/seq", or "/seq" for one that is CHECKPOINT_ALONE. */
void checkpoint_print_pointer(int index, const char *member, char into[CHECKPOINT_POINTER_SIZE]);

/* The checkpoint as it is, or NULL with the refusal made: it is not this parent's, or may not change so. `index` is the
 * place of the change in the command's array. */
const struct jobneed_row *checkpoint_check(const struct checkpoint_change *change, int index, int64_t parent_id,
                                           const struct rows *rows, struct decision *decision);

/* Tells whether anything of the checkpoint would be another. */
bool checkpoint_differs(const struct checkpoint_change *change, const struct jobneed_row *present);

/* Changes it. The parent, which says when and by whom its checkpoints changed, is the caller's to edit. */
void checkpoint_change(const struct checkpoint_change *change, struct rows *rows);

#endif
