/* Replay fate: what the missing commands of `interlock replay` would become, decided in a child process on the rows of now
 * (consumers/admin/trial.h), and its words.
 *
 * Threads    main, without another thread: it forks.
 * Ownership  borrows the missing commands; replay_fates_done frees the rest.
 * Failure    false, and one line in *fault.
 */
#ifndef WORKER_CLI_REPLAY_FATE_H
#define WORKER_CLI_REPLAY_FATE_H

#include "consumers/admin/trial.h"
#include "worker/admin/replay_judge.h"

struct replay_fates
{
    struct partition *partitions;
    struct delivery *deliveries, **tried;
    struct trial_result *results;
    int count;
    int *of; /* per missing command: its result; -1: it was not tried */
};

/* In the order of the topic, as they would come back. */
bool replay_fates_try(struct replay_fates *fates, const struct settings *settings, const struct replay_missing *missing,
                      int count, struct buffer *fault);
void replay_fates_done(struct replay_fates *fates);

/* For people: "would be applied, version 3->4". */
void replay_fates_add_text(const struct replay_fates *fates, int index, struct buffer *into);
/* Members of a JSON object, each with a comma before it: decision, says, version. */
void replay_fates_add_json(const struct replay_fates *fates, int index, struct buffer *into);

#endif
