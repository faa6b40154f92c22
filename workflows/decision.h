/* Decision: the few sentences that a decide says. Metadata is always a complete JSON object, or empty.
 *
 * Threads    one owner, the decision's.
 * Ownership  texts are copied into the decision's buffer.
 * Failure    out of memory shows in the buffer of the metadata, which the engine checks.
 */
#ifndef WORKFLOWS_DECISION_H
#define WORKFLOWS_DECISION_H

#include "workflows/model/names.h"
#include "workflows/workflow.h"

void decision_apply(struct decision *decision);
void decision_leave(struct decision *decision); /* unchanged */

/* Each refusal clears the metadata first. */
void decision_refuse(struct decision *decision, enum reason reason);
/* {"ticket_id":7}: which row it is about. */
void decision_refuse_row(struct decision *decision, enum reason reason, const char *key, int64_t id);
/* {"parameter":"/level","message":"..."}, as parameters_decode says it. `message` needs no escaping. */
void decision_refuse_parameter(struct decision *decision, const char *pointer, const char *message);
/* {"from":"NEW","to":"CLOSED"} */
void decision_refuse_transition(struct decision *decision, const struct machine *machine, int from, int to);
/* Whether the state changes. Else the outcome is made: refused, or unchanged when it is the present one. */
bool decision_pass_transition(struct decision *decision, const struct machine *machine, int from, int to);

/* Further members of the metadata: "key":1. The old and new of what changed are the engine's to add. */
void decision_add_int(struct decision *decision, const char *key, int64_t value);
void decision_add_text(struct decision *decision, const char *key, struct span text);
void decision_add_raw(struct decision *decision, const char *key, struct span json);

#endif
