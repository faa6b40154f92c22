/* Status of the group: every worker that interlock.worker_seen names is asked over HTTP.
 *
 * Threads    one owner.
 * Failure    a worker that does not answer is a thing to look at; where none does, the exit code is 1.
 */
#ifndef WORKER_CLI_STATUS_GROUP_H
#define WORKER_CLI_STATUS_GROUP_H

#include "worker/cli/verbs.h"
#include "workflows/base/buffer.h"

/* Adds the screen, one line of it, or the JSON document. Returns 0: all is well; 3: there is something to look at; 1:
 * nobody answers, `fault` says why. */
int status_group_look(const struct invocation *invocation, bool line, struct buffer *into, struct buffer *fault);

#endif
