/* Quarantine: a command that ends the worker whenever it is tried. While its partition is run with care
 * (struct partition, solo_until_us) each command is written down before it is tried, alone in the process; a count
 * that goes up without the command being answered is a crash of its own. The third one puts it to the dead letters,
 * with the reason crashed_worker; its neighbours go on. A command that an operator brought back from there runs with
 * care wherever it is; the first crash puts it back unless it was tried in a child process.
 *
 * Threads    one owner per database session, a lane.
 * Failure    false: pipeline_failure tells; nothing was noted, or it is not known.
 */
#ifndef WORKER_BATCH_QUARANTINE_H
#define WORKER_BATCH_QUARANTINE_H

#include "worker/delivery.h"
#include "worker/postgres/statements.h"

enum
{
    QUARANTINE_CRASHES = 3, /* of one command, in a row */
};

#define QUARANTINE_REASON "crashed_worker"

/* How many crashes put it to the dead letters. */
int quarantine_limit(const struct delivery *delivery);

/* Commits that the command is about to be tried; *ret_crashes: how many earlier tries had no answer. */
bool quarantine_note(struct pipeline *pipeline, struct statements *statements, const struct delivery *delivery,
                     int *ret_crashes);

/* Writes the names of a command that has ended the worker before beside its note, for its dead letter: whoever puts it
 * there does not read it any more. */
bool quarantine_name(struct pipeline *pipeline, struct statements *statements, const struct delivery *delivery,
                     const struct command *command);

/* The reason of a quarantined delivery; also where its dead letter was recorded before. */
void quarantine_refuse(struct delivery *delivery);

/* It was held, or dropped: no crash. */
bool quarantine_take_back(struct pipeline *pipeline, struct statements *statements, int32_t partition_id,
                          int64_t offset);

/* Within the transaction that answers it. */
bool quarantine_send_answered(struct statements *statements, const struct array *partition_ids,
                              const struct array *offsets);

#endif
